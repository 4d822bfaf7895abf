"""The learner's copy of each lesson: with stubs, without outputs, and with a mark in each cell's metadata.

A mark is ``given``, a digest of the text in this version of the course: from it, a later update knows what the learner
changed. An answer is found again by the exercise's permanent id, in nbgrader's metadata.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from moe_tutorial.course import CourseError
from moe_tutorial.course.lesson import Lesson, contents_folder, lessons_folder
from moe_tutorial.tools.nbgrader import add_nbgrader, clear_outputs
from moe_tutorial.tools.notebooks.tables import contents

MARK = "moe"
COLLAPSED = {"setup", "measure", "draw", "guess", "quiz"}
"""Tags of cells that a learner need not read. JupyterLab shows the first line of a collapsed cell, a comment."""
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class Page(NamedTuple):
    """A notebook of the course, its entries in ``book.yml``, and the copy that a learner gets."""

    lesson: Lesson
    asks: str
    needs: list[str]
    notebook: NotebookNode

    @property
    def name(self) -> str:
        return self.lesson.name

    @property
    def file(self) -> str:
        return f"{self.name}.ipynb"


def text_digest(cell: NotebookNode) -> str:
    """A digest of a cell's type and text; white space around the text does not count."""
    return hashlib.sha1(f"{cell.cell_type}:{cell.source.strip()}".encode()).hexdigest()[:8]


def learners_copy(lesson: Lesson, notebook: NotebookNode) -> NotebookNode:
    """The lesson's notebook as a learner gets it.

    Raises:
        CourseError: an exercise has no check or no solution markers.
    """
    add_nbgrader(notebook, lesson.tasks)
    clear_outputs(notebook)
    for task in lesson.tasks:
        notebook.cells[task.place].source = task.stub
    for cell in notebook.cells:
        if COLLAPSED & set(cell.metadata.get("tags", [])):
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "markdown" and cell.source.startswith("## Further"):
            cell.metadata["jp-MarkdownHeadingCollapsed"] = True
        cell.metadata[MARK] = {"given": text_digest(cell)}
    whole = [lesson.name, *((cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells)]
    mark = {"lesson": lesson.name, "version": hashlib.sha1(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:12]}
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}, MARK: mark})
    return notebook


def read_course(folder: Path | None = None) -> list[Page]:
    """The notebooks of the course, or of the one in a repository's folder, in the order of its table of contents.

    Raises:
        CourseError: there are none, or as in :func:`learners_copy`.
    """
    notebooks = folder / "notebooks" if folder else lessons_folder()
    pages = []
    for entry in contents(folder or contents_folder()):
        path = notebooks / f"{entry['file']}.ipynb"
        if path.exists():
            notebook = nbformat.read(path, as_version=4)
            lesson = Lesson.of(path.stem, notebook)
            said = entry.get("asks", ""), entry.get("needs", [])
            pages.append(Page(lesson, *said, learners_copy(lesson, notebook)))
    if not pages:
        raise CourseError(f"no lessons in {notebooks}")
    return pages


def find(course: list[Page], which: str) -> Page:
    """The page with this number or name.

    Raises:
        CourseError: there is no such page.
    """
    for page in course:
        if which in (page.name, page.file) or page.name.startswith(f"{which.zfill(2)}_"):
            return page
    raise CourseError(f"there is no lesson {which!r}; there are {', '.join(page.name for page in course)}")


def as_file(notebook: NotebookNode) -> bytes:
    """The notebook as JupyterLab would write it."""
    return (nbformat.writes(notebook) + "\n").encode()
