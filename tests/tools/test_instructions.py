"""What lessons 00 to 04 tell a reader to do, done in a fresh kernel: it runs, and shows what the text says it shows."""

import re
from typing import NamedTuple

import jupytext
import pytest

from moe_tutorial.study.claims import read_claims
from moe_tutorial.tools.jupyter.kernels import LessonError, execute
from moe_tutorial.tools.notebooks.executed import printed


class Instruction(NamedTuple):
    """Change a lesson's cells as its text says, and run them down to the one that answers.

    ``last`` is a piece of the cell to end with, ``shows`` a pattern in what it prints or claims, or in what stops it.
    """

    lesson: str
    says: str
    edits: dict[str, str]
    last: str
    shows: str


ORACLE = "trained_apart(data.regime_train, data.regime_test)"
INSTRUCTIONS = [
    Instruction(
        "00_start_here",
        "change `top_k=2` to `top_k=1`. The rule still says yes.",
        {"mixture(top_k=2, seed=seed)": "mixture(top_k=1, seed=seed)"},
        last='"00.1"',
        shows=r"^✓ claim 00\.1 holds: .*measured 0\.138",
    ),
    Instruction(
        "00_start_here",
        "Set both layers of that cell to `top_k=8`. The claim now fails",
        {"mixture(top_k=2, seed=seed)": "mixture(top_k=8, seed=seed)"},
        last='"00.1"',
        shows=r"claim 00\.1 fails",
    ),
    Instruction(
        "00_start_here",
        "In the lesson's first layer, make `d_hidden` ten times as large",
        {"d_hidden=32": "d_hidden=320"},
        last="expert, router = parameters",
        shows="active: by hand 21,280",
    ),
    Instruction(
        "01_why_experts",
        "Make the network at the top narrower: `WIDTH = 64`. Does a tenth still suffice?",
        {"WIDTH = 512": "WIDTH = 64"},
        last='"01.1"',
        shows=r"claim 01\.1 fails",
    ),
    Instruction(
        "02_experts",
        "a copy of `data.regime_test` in which every tenth number is wrong, as one more (modulo 4) is. How much does",
        {ORACLE: "trained_apart(data.regime_train, (data.regime_test + (torch.arange(1800) % 10 < 1)) % 4)"},
        last='"02.1"',
        shows=r"claim 02\.1 fails",
    ),
    Instruction(
        "04_training",
        "In the derivation, change `k` to 1 and to 6, and print `dL_dz.sum()` each time.",
        {"n_experts, k, d = 6, 2, 5": "n_experts, k, d = 6, 6, 5",
         "dL_dz = gate_gradient(p, dL_dg)": "dL_dz = gate_gradient(p, dL_dg)\nprint(abs(dL_dz.sum()) < 1e-12)"},
        last="dL_dz = gate_gradient",
        shows="True",
    ),
]  # fmt: skip


def place(notebook, piece):
    """The number of the only cell that holds this piece of code."""
    found = [i for i, cell in enumerate(notebook.cells) if piece in cell.source]
    assert len(found) == 1, f"{piece!r} is in cells {found}"
    return found[0]


def sampled_or_nightly(which):
    marks = [] if which is INSTRUCTIONS[0] else pytest.mark.nightly
    return pytest.param(which, marks=marks, id=f"{which.lesson[:2]}-{which.says[:30]}")


@pytest.mark.parametrize("which", [sampled_or_nightly(which) for which in INSTRUCTIONS])
def test_what_the_text_says_to_change_runs_and_shows_it(which, root, monkeypatch):
    monkeypatch.delenv("MOE_SEED", raising=False)
    notebook = jupytext.read(root / "notebooks" / f"{which.lesson}.py")
    assert which.says in " ".join(" ".join(c.source for c in notebook.cells if c.cell_type == "markdown").split())
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = notebook.cells[: place(notebook, which.last) + 1]
    for old, new in which.edits.items():
        cell = notebook.cells[place(notebook, old)]
        cell.source = cell.source.replace(old, new)
    try:
        outputs = execute(notebook, root / "notebooks/instructions.ipynb").cells[-1].outputs
        said = "\n".join([printed(outputs), *map(str, read_claims(outputs))])
    except LessonError as error:
        said = str(error)
    assert re.search(which.shows, said, re.MULTILINE), said
