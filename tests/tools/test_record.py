"""Only a lesson that nbval finds right is kept, as a run of its own would leave it; and a page shows no other."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jupytext
import nbformat
import pytest

from moe_tutorial.tools.book import execute_lessons
from moe_tutorial.tools.notebooks import executed, lessons

ROOT = Path(__file__).parents[2]
# A file of each part of the package that lessons use.
CODE = [f"moe_tutorial/{part}/code.py" for part in executed.USED]
LESSON = """# %% [markdown]
# # A small lesson

# %%
import os, sys
import anywidget, ipywidgets, traitlets
print("page", os.environ["MOE_SITE"], os.environ["OMP_NUM_THREADS"], os.environ.get("MOE_SEED"), end="; ")
print("in", os.path.basename(os.getcwd()), flush=True)
print("aside", file=sys.stderr)
assert os.name == "nt" or get_ipython().kernel.parent.transport == "ipc"  # another program can take its port
6 * 7

# %%
class Picture(anywidget.AnyWidget):
    _esm = "export default { render({ model, el }) { el.textContent = model.get('data').byteLength } }"
    data = traitlets.Bytes().tag(sync=True)
    more = traitlets.Dict().tag(sync=True)

    def __repr__(self):
        return "a picture"

picture = Picture(data=bytes(range(200)), more={"inside": b"\\x00\\x01", "n": 3})
picture

# %%
picture.data = bytes(300)

# %%
import threading
later = ipywidgets.IntText(1)
timer = threading.Timer(0.05, lambda: setattr(later, "value", 8))
timer.start()
later

# %%
timer.join()
"""


def write(path: Path, *cells: tuple[str, str]) -> None:
    """A notebook whose code cells store what they print."""
    notebook = nbformat.v4.new_notebook(metadata=lessons.METADATA)
    for number, (source, stored) in enumerate(cells):
        outputs = [nbformat.v4.new_output("stream", text=stored)] if stored else []
        cell = nbformat.v4.new_code_cell(source, id=str(number), execution_count=number + 1, outputs=outputs)
        notebook.cells.append(cell)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A repository with four lessons, after nbval has judged them: one is right."""
    folder = tmp_path_factory.mktemp("course")
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    for code in map(folder.joinpath, CODE):
        code.parent.mkdir(parents=True, exist_ok=True)
        code.write_text("x = 1\n")
    notebook = jupytext.reads(LESSON, fmt="py:percent")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.tags = ["nbval-ignore-output"]
    nbformat.write(notebook, notebooks / "01_right.ipynb")
    write(notebooks / "02_lies.ipynb", ("print(1)", "2\n"), ("print(2)", "2\n"))
    write(notebooks / "03_breaks.ipynb", ("print(1)", "1\n"), ("raise ValueError", ""))
    write(notebooks / "04_in_part.ipynb", ("print(1)", "1\n"), ("print(2)", "2\n"))
    command = [sys.executable, "-P", "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)]
    command += ["-n", "0", "--nbval-sanitize-with", str(ROOT / "tests/nbval.cfg"), "-p", "no:cacheprovider", "-q"]
    command += ["--deselect", "notebooks/04_in_part.ipynb::Cell 0", str(notebooks)]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    assert "2 failed, 8 passed, 1 deselected" in done.stdout, done.stdout + done.stderr
    return folder


def kept(course: Path, name: str) -> nbformat.NotebookNode | None:
    """What the page of a lesson would show."""
    return executed.find(course / f"notebooks/{name}.ipynb", executed.folder(course), executed.code_digest(course))


def widgets(notebook: nbformat.NotebookNode) -> dict[str, dict]:
    return notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]


def without_ids(notebook: nbformat.NotebookNode) -> tuple[list, list]:
    """Outputs, and the widgets in the order of their texts: the ids of widgets are random."""
    parts = [[cell.get("outputs") for cell in notebook.cells], list(widgets(notebook).values())]
    outputs, states = json.loads(re.sub(r"\b(IPY_MODEL_)?[0-9a-f]{32}\b", "a widget", json.dumps(parts)))
    return outputs, sorted(json.dumps(state, sort_keys=True) for state in states)


def test_what_nbval_ran_is_what_a_run_of_its_own_leaves(course):
    path = course / "notebooks/01_right.ipynb"
    (own,) = execute_lessons([path], course / "own", "code", executed.environment(course))
    heard = kept(course, "01_right")
    late = [state for state in widgets(heard).values() if state["model_name"] == "IntTextModel"]
    assert [state["state"]["value"] for state in late] == [8]  # changed when its own cell had ended
    assert without_ids(heard) == without_ids(own)
    assert [cell.get("execution_count") for cell in heard.cells] == [None, *range(1, 6)]
    outputs = [output for cell in heard.cells for output in cell.get("outputs", [])]
    assert outputs[0].text == "page 1 1 None; in notebooks\n"
    assert any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("name", ["02_lies", "03_breaks", "04_in_part"])
def test_a_lesson_that_did_not_pass_whole_is_not_kept(course, name):
    assert kept(course, name) is None
    assert not (executed.folder(course) / f"{name}.ipynb").exists()


def test_the_outputs_of_another_source_are_not_used(course, tmp_path):
    path = tmp_path / "01_right.ipynb"
    for change in (lambda cells: cells[0].update(source="# Another"), lambda cells: cells[1].metadata.update(tags=[])):
        notebook = nbformat.read(course / "notebooks/01_right.ipynb", as_version=4)
        change(notebook.cells)
        nbformat.write(notebook, path)
        assert executed.find(path, executed.folder(course), executed.code_digest(course)) is None


def test_nor_those_of_other_code_or_of_another_version(course, monkeypatch):
    for code in map(course.joinpath, CODE):
        code.write_text("x = 2\n")
        assert kept(course, "01_right") is None, code
        code.write_text("x = 1\n")
        assert kept(course, "01_right") is not None, code
    for package in executed.SHOWN_BY:
        monkeypatch.setattr(executed, "version", lambda name, p=package: "0" if name == p else metadata.version(name))
        assert kept(course, "01_right") is None, package
