"""The course's command line on small lessons: what runs, what is stored, what is noticed."""

import json
from pathlib import Path

import nbformat
import pytest

from moe_tutorial.tools.__main__ import main
from moe_tutorial.tools.notebooks import lessons

HEADER = "# ---\n# jupyter:\n#   jupytext:\n#     formats: ipynb,py:percent\n# ---\n\n"
LESSON = (
    HEADER
    + """# %% [markdown]
# # A small lesson

# %%
import os
print("threads", os.environ["OMP_NUM_THREADS"], "seed", os.environ.get("MOE_SEED", "none"))

# %%
from moe_tutorial.study import above, claim
claim("09.1", "It is so", [0.4, 0.6], above(0.3), control=[0.1, 0.2], control_is="not so")
6 * 7

# %% tags=["nbval-ignore-output"]
from IPython.display import HTML
HTML("<b>a picture</b>")
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "09_small.py").write_text(LESSON, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def paired(tmp_path_factory) -> str:
    """The lesson's notebook, as `make reference` writes it."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "09_small.py").write_text(LESSON, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOE_SEED", "7")  # the reference is that of the course's own seeds
        assert main(["reference", "--folder", str(folder)]) == 0
    return (folder / "09_small.ipynb").read_text(encoding="utf-8")


def test_lessons_run_count_claims_and_write_nothing(folder, capfd, monkeypatch):
    monkeypatch.setenv("MOE_SEED", "7")
    assert main(["lessons", "--folder", str(folder)]) == 0
    printed = capfd.readouterr().out
    assert "✓ 09_small" in printed
    assert "1 claims hold" in printed
    assert "MOE_SEED=7" in printed
    assert [path.name for path in folder.iterdir()] == ["09_small.py"]


def test_a_failing_cell_is_named_and_the_status_says_so(tmp_path, capfd):
    (tmp_path / "10_broken.py").write_text(HEADER + "# %%\nx = 1\n\n# %%\nraise ValueError('it broke')\n")
    assert main(["lessons", "--folder", str(tmp_path)]) == 1
    printed = capfd.readouterr().out
    assert "10_broken.py, cell 1" in printed
    assert "ValueError: it broke" in printed
    assert "\x1b[" not in printed


def test_no_lessons_is_not_a_success(tmp_path, capsys):
    assert main(["lessons", "--folder", str(tmp_path)]) == 1
    assert "no lessons" in capsys.readouterr().err


def test_the_reference_keeps_text_and_stays_the_same(folder, paired):
    notebook = nbformat.reads(paired, as_version=4)
    assert "seed none" in notebook.cells[1].outputs[0].text
    assert [output.output_type for output in notebook.cells[2].outputs] == ["display_data", "execute_result"]
    assert notebook.cells[3].outputs == []
    assert notebook.metadata == lessons.METADATA
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert main(["reference", "--folder", str(folder)]) == 0
    assert (folder / "09_small.ipynb").read_text(encoding="utf-8") == paired
    assert main(["sync", "--folder", str(folder)]) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda nb: nb["cells"][2]["source"].insert(0, "x = 1\n"), "cell 2"),
        (lambda nb: nb["cells"][3]["metadata"].clear(), "tags"),
        (lambda nb: nb["cells"].pop(), "cell 3: 'type code' against 'type none'"),
        (lambda nb: nb["metadata"].update(widgets={}), "widgets"),
        (lambda nb: nb["cells"][2]["outputs"][1]["data"].update({"image/png": "AAAA"}), "image/png"),
    ],
)
def test_sync_names_what_differs(folder, paired, capsys, change, says):
    notebook = json.loads(paired)
    change(notebook)
    (folder / "09_small.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    assert main(["sync", "--folder", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert says in printed
    assert "make reference" in printed


def test_sync_misses_neither_a_missing_nor_a_stray_notebook(folder, capsys):
    (folder / "11_stray.ipynb").write_text("{}")
    assert main(["sync", "--folder", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "09_small.ipynb is missing" in printed
    assert "11_stray.ipynb has no 11_stray.py" in printed


def test_the_course_itself_is_in_sync(root, capsys):
    assert lessons.sync(root / "notebooks") == 0, capsys.readouterr().out
