"""The learner's copy of each lesson: with stubs, without outputs, and with a mark in each cell's metadata.

A mark has the id of the course's cell (permanent for an exercise and its check, otherwise a digest of the text) and
``given``, a digest of the text in this version of the course. From these, a later update knows what the learner changed
and where it belongs.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml
from nbformat import NotebookNode

from moe_tutorial.course import CourseError
from moe_tutorial.course.exercises import stub
from moe_tutorial.course.folders import contents_file, lessons_folder
from moe_tutorial.tools.stubs import add_nbgrader, is_exercise

MARK = "moe"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class Page(NamedTuple):
    """A notebook of the course as a learner gets it, with its entries in ``book.yml``."""

    name: str
    title: str
    asks: str
    needs: list[str]
    notebook: NotebookNode

    @property
    def file(self) -> str:
        return f"{self.name}.ipynb"

    @property
    def version(self) -> str:
        return self.notebook.metadata[MARK].version


def text_digest(cell: NotebookNode) -> str:
    """A digest of a cell's type and text; white space around the text does not count."""
    return hashlib.sha1(f"{cell.cell_type}:{cell.source.strip()}".encode()).hexdigest()[:8]


def learners_copy(path: Path) -> NotebookNode:
    """The lesson at ``path`` as a learner gets it.

    Raises:
        CourseError: an exercise has no check of its own or no solution markers.
    """
    notebook = nbformat.read(path, as_version=4)
    ids = add_nbgrader(notebook.cells, path.name)
    seen: Counter[str] = Counter()
    for place, cell in enumerate(notebook.cells):
        if is_exercise(cell):
            cell.source = stub(cell.source)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        given = text_digest(cell)
        seen[given] += 1
        cell.metadata[MARK] = {"id": ids.get(place, f"{given}-{seen[given]}"), "given": given}
    whole = [path.stem, *((cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells)]
    mark = {"lesson": path.stem, "version": hashlib.sha1(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:12]}
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}, MARK: mark})
    return notebook


def read_course(folder: Path | None = None, contents: Path | None = None) -> list[Page]:
    """The notebooks of the course, in the order of its table of contents.

    Raises:
        CourseError: there are none, or as in :func:`learners_copy`.
    """
    folder, contents = folder or lessons_folder(), contents or contents_file()
    pages = []
    for entry in yaml.safe_load(contents.read_text(encoding="utf-8"))["toc"]:
        path = folder / f"{entry['file']}.ipynb"
        if path.exists():
            title = entry.get("title", entry["file"].capitalize())
            said = title, entry.get("asks", ""), entry.get("needs", [])
            pages.append(Page(entry["file"], *said, learners_copy(path)))
    if not pages:
        raise CourseError(f"no lessons in {folder}")
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
