"""Make an nbgrader course from the lessons with exercises: source notebooks with solutions and metadata."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from moe_tutorial.course import CourseError
from moe_tutorial.course.lesson import Lesson, Task, lesson_files

CONFIG = """# A class on mixtures of experts. Made by `moe-tutorial nbgrader`; change it as you like.
c = get_config()
c.CourseDirectory.course_id = "{name}"
c.CourseDirectory.root = "{root}"
c.Execute.timeout = 120  # seconds for a cell: a slow machine trains for a while
c.Execute.iopub_timeout = 60  # and for what it shows
"""
GOES_ON = "raises-exception"  # the tag of a cell after whose errors Jupyter's Run All continues


def make_class(folder: Path, lessons: Path | None = None) -> list[str]:
    """Write ``source/NN_name/NN_name.ipynb`` for every lesson with exercises, and nbgrader's settings.

    Returns the lessons' names.

    Raises:
        CourseError: the folder exists and is not empty, or no lesson has an exercise.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CourseError(f"{folder} is there already, and not empty; name a new folder")
    made = []
    for path in lesson_files(lessons, ".ipynb"):
        notebook = nbformat.read(path, as_version=4)
        tasks = Lesson.of(path.stem, notebook).tasks
        if not tasks:
            continue
        add_nbgrader(notebook, tasks)
        clear_outputs(notebook)
        notebook.metadata.pop("jupytext", None)  # students do not get the paired .py
        source = folder / "source" / path.stem / path.name
        source.parent.mkdir(parents=True)
        nbformat.write(notebook, source)
        made.append(path.stem)
    if not made:
        raise CourseError("no lesson has an exercise yet")
    config = CONFIG.format(name=folder.resolve().name, root=folder.resolve().as_posix())
    (folder / "nbgrader_config.py").write_text(config, encoding="utf-8")
    return made


def add_nbgrader(notebook: NotebookNode, tasks: list[Task]) -> None:
    """Give exercises and their checks the metadata with which nbgrader releases and grades them.

    They also get the tag "raises-exception": Jupyter's Run All then continues after an error in one of them.
    """
    for task in tasks:
        answer, check = notebook.cells[task.place], notebook.cells[task.check_place]
        answer.metadata["nbgrader"] = _metadata(task.id, solution=True)
        check.metadata["nbgrader"] = _metadata(f"{task.id}.check", solution=False) | {"points": 1}
        for cell in (answer, check):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), GOES_ON]


def clear_outputs(notebook: NotebookNode) -> None:
    """Remove the outputs and execution counts."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def _metadata(id: str, solution: bool) -> dict:
    """nbgrader's metadata of an answer's cell, or of a cell that grades it. nbgrader allows no dot in an id."""
    kind = {"grade": not solution, "locked": not solution, "solution": solution, "task": False}
    return {"grade_id": id.replace(".", "-"), "schema_version": 3} | kind
