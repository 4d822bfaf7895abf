"""Every lie that a stored output could tell makes nbval fail; what two honest runs may differ in does not."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
LIES = {
    "a number in an evidence cell": ('"dead experts: 6 of 8\\n', '"dead experts: 5 of 8\\n'),
    "a verdict": ("✓ claim 09.1 holds", "✗ claim 09.1 fails"),
    "a number in the statement": ("holds: Half of 10", "holds: Half of 12"),
    "a figure": ("measured 0.500", "measured 0.620"),
    "an interval elsewhere": ("[0.487, 0.513]", "[0.587, 0.613]"),
    "the control's figure": ("(no router) 0.102", "(no router) 0.302"),
    "the seeds": ("| 10 seeds", "| 60 seeds"),
    "what it refutes": ("refutes: All", "refutes: None"),
    "a time's statement": ("holds: It is twice", "holds: It is thrice"),
    "a time's rule": ("rule: mean > 1.5", "rule: mean > 1.2"),
    "a time that fails": ("✓ claim 09.3 holds", "✗ claim 09.3 fails"),
    "a time that became a figure": ("measured here 2.050", "measured 2.050"),
    "an accuracy of the scoreboard": ("accuracy 0.500", "accuracy 0.620"),
    "a size on the scoreboard": ("8 of 32 neurons", "8 of 64 neurons"),
    "a measurement that moved": ("values = [0.50, 0.52,", "values = [0.80, 0.82,"),
}
HONEST = {
    "the last digit of a mean": ("measured 0.500", "measured 0.501"),
    "the last digit of an accuracy": ("accuracy 0.500", "accuracy 0.501"),
    "another machine's times": ("measured here 2.050", "measured here 5.050"),
    "what a time refutes": (" | ✗ refutes: It costs the same", ""),
    "the verdict on a time": (
        "✓ claim 09.3 holds: It is twice as fast | measured here 2.050",
        "– claim 09.3 not on this machine: It is twice as fast | measured here 1.050",
    ),
}


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
    for number, (name, (old, new)) in enumerate(cases.items()):
        assert old in text, f"{name}: {old!r} is not there"
        changed = json.loads(text.replace(old, new, 1))["cells"]
        assert len(changed) == CELLS
        cells += [cell | {"id": f"{number}-{cell['id']}"} for cell in changed]
    path.write_text(json.dumps(json.loads(text) | {"cells": cells}), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-p", "no:cacheprovider", "-rA", "--tb=no", "--color=no", "-q", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    said = re.findall(r"^(PASSED|FAILED|ERROR) .*::Cell (\d+)", done.stdout, re.MULTILINE)
    by_cell = {int(cell): outcome for outcome, cell in said}
    assert sorted(by_cell) == list(range(len(cells))), done.stdout + done.stderr
    return {name: [by_cell[CELLS * i + j] for j in range(CELLS)] for i, name in enumerate(cases)}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_fails(outcomes, lie):
    assert sorted(outcomes[lie]) == ["FAILED"] + ["PASSED"] * (CELLS - 1)


@pytest.mark.parametrize("difference", HONEST)
def test_an_honest_difference_passes(outcomes, difference):
    assert outcomes[difference] == ["PASSED"] * CELLS


LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("notebook", LESSONS, ids=lambda path: path.stem)
def test_every_stored_claim_is_read_as_one(notebook):
    """A claim line that the site and the comparison of figures could not read would pass unnoticed."""
    from moe_tutorial.study.claims import read_claims
    from moe_tutorial.tools.notebooks.executed import printed

    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [o | {"text": "".join(o["text"])} for c in cells for o in c.get("outputs", []) if "text" in o]
    text = printed(outputs)
    lines = [line for line in text.splitlines() if line.startswith(("✓ claim", "✗ claim", "– claim"))]
    claims = read_claims(text)
    assert len(claims) == len(lines)
    assert all(claim.holds or claim.timed for claim in claims)
    moved = {"06_noise": {"05.2", "05.3", "05.4", "05.5", "05.6"}}.get(notebook.stem, set())  # an id never changes
    assert all(claim.id.startswith(notebook.stem[:2] + ".") or claim.id in moved for claim in claims)
