"""Each package that the course is asked to stand on serves its lessons.

environment.yml has them too (test_environment), and JupyterLab opens the lessons (test_setup).
"""

import base64
import re
import tomllib
from pathlib import Path

import jupytext
import nbformat
from nbformat.v4 import new_code_cell

from moe_tutorial.tools.jupyter.kernels import execute
from moe_tutorial.tools.notebooks.executed import printed

ROOT = Path(__file__).parents[2]
PACKAGES = {"jupyterlab", "torch", "matplotlib", "ipywidgets", "plotly", "jupytext", "nbval"}


def test_all_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {re.match(r"[\w-]+", name)[0] for name in [*project["dependencies"], *extras["lab"], *extras["test"]]}
    assert declared >= PACKAGES


def shown(name, piece, more):
    """The outputs of a lesson, run down to the cell with this piece of code, and then this code."""
    path = ROOT / f"notebooks/{name}.py"
    notebook = jupytext.read(path)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (last,) = [number for number, cell in enumerate(notebook.cells) if piece in cell.source]
    notebook.cells[last + 1 :] = [new_code_cell(more)]
    execute(notebook, path)
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    return printed(outputs), [output.data for output in outputs if "data" in output]


def test_a_lesson_trains_by_torch_and_shows_what_matplotlib_and_ipywidgets_draw():
    said, data = shown("01_why_experts", "sweep(speak", "print(type(network.get_parameter('0.weight')))")
    assert "reads 98% of the test digits" in said
    assert "torch.nn.parameter.Parameter" in said
    pictures = re.findall(r"data:image/png;base64,([\w+/=]+)", "".join(each.get("text/html", "") for each in data))
    assert any(b"Matplotlib version" in base64.b64decode(picture) for picture in pictures)
    assert "application/vnd.jupyter.widget-view+json" in set().union(*data)


def test_a_lesson_shows_what_plotly_draws():
    _, data = shown("09_modern_moe", "explorable(", "")
    assert "application/vnd.plotly.v1+json" in set().union(*data)


def test_jupytext_pairs_a_lesson_and_nbval_takes_each_of_its_cells_for_a_test(request):
    file = ROOT / "notebooks/01_why_experts.ipynb"
    source = jupytext.read(file.with_suffix(".py"))
    assert [cell.source for cell in nbformat.read(file, as_version=4).cells] == [cell.source for cell in source.cells]
    (collected,) = request.config.hook.pytest_collect_file(file_path=file, parent=request.session)
    tested = [test.cell.source for test in collected.collect()]
    assert tested == [cell.source for cell in source.cells if cell.cell_type == "code"]
