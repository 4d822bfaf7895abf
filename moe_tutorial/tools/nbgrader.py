"""Make an nbgrader course from the lessons with exercises: source notebooks with solutions and metadata."""

from pathlib import Path

import nbformat

from moe_tutorial.course import CourseError
from moe_tutorial.course.folders import lessons_folder
from moe_tutorial.tools.stubs import add_nbgrader, is_exercise

CONFIG = """# A class on mixtures of experts. Made by `moe-tutorial nbgrader`; change it as you like.
c = get_config()
c.CourseDirectory.course_id = "{name}"
c.CourseDirectory.root = "{root}"
c.Execute.timeout = 120  # seconds for a cell: a slow machine trains for a while
"""


def make_class(folder: Path, lessons: Path | None = None) -> list[str]:
    """Write ``source/NN_name/NN_name.ipynb`` for every lesson with exercises, and nbgrader's settings.

    Returns the lessons' names.

    Raises:
        CourseError: the folder exists and is not empty, or no lesson has an exercise.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CourseError(f"{folder} is there already, and not empty; name a new folder")
    made = []
    for path in sorted((lessons or lessons_folder()).glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if not any(is_exercise(cell) for cell in notebook.cells):
            continue
        add_nbgrader(notebook.cells, path.name)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
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
