"""Every lie that a stored output could tell makes nbval fail; what two honest runs may differ in does not."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from moe_tutorial.study import above
from moe_tutorial.study.claims import Claim, read_claims
from moe_tutorial.study.estimates import Figure
from moe_tutorial.tools.notebooks import lessons

ROOT = Path(__file__).parents[2]
LESSON = """# %%
from moe_tutorial.study import above, claim
import uuid, time
print("dead experts: 6 of 8")
print(f"took {time.perf_counter():.3f} s, {uuid.uuid4()}, {object()}")

# %%
values = [0.50, 0.52, 0.48, 0.51, 0.49, 0.50, 0.53, 0.47, 0.50, 0.50]
claim("09.1", "Half of 10 tokens stay (and 2 of 8 experts)", values, lambda v: v.mean() > 0.4,
      control=[0.1] * 9 + [0.12], control_is="no router", refutes="All stay (always)")

# %%
claim("09.3", "It is twice as fast", [2.0, 2.1], above(1.5), control=[1.0, 1.1], control_is="one",
      quantity="speed (times)", refutes="It costs the same", timed=True)

# %%
from moe_tutorial.study import score
rows = score("09", {"dense": (8, 32, [0.49, 0.50, 0.51])})

# %% tags=["nbval-ignore-output"]
from IPython.display import HTML
HTML("<b>a picture</b>")
"""


CELLS = 5  # of the lesson
# An old and a new text of the stored notebook, or a claim's id and what changes in its data and its line.
LIES = {
    "a number in an evidence cell": ('"dead experts: 6 of 8\\n', '"dead experts: 5 of 8\\n'),
    "a verdict": ("09.1", {"holds": False}),
    "a number in the statement": ("09.1", {"statement": "Half of 12 tokens stay (and 2 of 8 experts)"}),
    "a figure": ("09.1", {"measured": Figure.read("0.620 [0.487, 0.513]")}),
    "an interval elsewhere": ("09.1", {"measured": Figure.read("0.500 [0.587, 0.613]")}),
    "the control's figure": ("09.1", {"control": Figure.read("0.302 [0.097, 0.107]")}),
    "the seeds": ("09.1", {"n_seeds": 60}),
    "what it refutes": ("09.1", {"refutes": "None stay (always)"}),
    "a time's statement": ("09.3", {"statement": "It is thrice as fast"}),
    "a time's rule": ("09.3", {"rule": above(1.2)}),
    "a time that became a figure": ("09.3", {"timed": False}),
    "a line that its data do not say": ("measured 0.500", "measured 0.501"),
    "an accuracy of the scoreboard": ("accuracy 0.500", "accuracy 0.620"),
    "a size on the scoreboard": ("8 of 32 neurons", "8 of 64 neurons"),
    "a measurement that moved": ("values = [0.50, 0.52,", "values = [0.80, 0.82,"),
}
HONEST = {
    "the last digit of a mean": ("09.1", {"measured": Figure.read("0.501 [0.487, 0.513]")}),
    "the last digit of an accuracy": ("accuracy 0.500", "accuracy 0.501"),
    "another machine's times": ("09.3", {"measured": Figure.read("5.050 [4.000, 6.000]")}),
    "what a time refutes": ("09.3", {"refutes": ""}),
    "the verdict on a time": ("09.3", {"measured": Figure.read("1.050 [0.900, 1.200]"), "holds": False}),
}


def changed(text: str, old: str, new: str | dict) -> list[dict]:
    """The cells of a stored notebook with one text, or what it stores of one claim, replaced."""
    if isinstance(new, str):
        assert old in text, f"{old!r} is not there"
        return json.loads(text.replace(old, new, 1))["cells"]
    cells = json.loads(text)["cells"]
    (output,) = (o for cell in cells for o in cell["outputs"] if f'"{old}"' in o.get("metadata", {}).get("claim", ""))
    data, metadata = replace(Claim.read(output["metadata"]["claim"]), **new)._repr_mimebundle_()
    output.update(data=data, metadata=metadata)
    return cells


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, list[str]]:
    """What nbval, with the course's own settings, says of each cell of each changed copy of the lesson.

    All copies are one notebook, one after the other: a kernel for each would be most of the time.
    """
    folder = tmp_path_factory.mktemp("lesson")
    (folder / "09_small.py").write_text(LESSON, encoding="utf-8")
    lessons.reference(folder, [])
    path = folder / "09_small.ipynb"
    text = path.read_text(encoding="utf-8")
    cases, cells = HONEST | LIES, []
    for number, change in enumerate(cases.values()):
        copy = changed(text, *change)
        assert len(copy) == CELLS
        cells += [cell | {"id": f"{number}-{cell['id']}"} for cell in copy]
    path.write_text(json.dumps(json.loads(text) | {"cells": cells}), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-p", "no:cacheprovider", "-rA", "--tb=no", "--color=no", "-q", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    said = re.findall(r"^(PASSED|FAILED|ERROR) .*::Cell (\d+)", done.stdout, re.MULTILINE)
    by_cell = {int(cell): outcome for outcome, cell in said}
    assert sorted(by_cell) == list(range(len(cells))), done.stdout + done.stderr
    return {name: [by_cell[CELLS * i + j] for j in range(CELLS)] for i, name in enumerate(cases)}


@pytest.mark.parametrize("change", HONEST | LIES)
def test_a_lie_fails_and_an_honest_difference_passes(outcomes, change):
    lies = int(change in LIES)
    assert sorted(outcomes[change]) == ["FAILED"] * lies + ["PASSED"] * (CELLS - lies)


LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("notebook", LESSONS, ids=lambda path: path.stem)
def test_every_stored_claim_is_read_as_one(notebook):
    """A claim without data, which the site and the comparison of figures do not see, would pass unnoticed."""
    outputs = [o for c in nbformat.read(notebook, as_version=4).cells for o in c.get("outputs", [])]
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    claims = read_claims(outputs)
    assert len(claims) == sum(len(re.findall(r"(?m)^[✓✗–] claim ", text)) for text in texts) > 0
    assert all(claim.holds or claim.timed for claim in claims)
    assert all(claim.id.startswith(notebook.stem[:2] + ".") for claim in claims)
