"""Plan the changes that update a learner's notebooks to the present course and keep their work."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from moe_tutorial.course.progress.renumbered import LESSONS
from moe_tutorial.tools.workspace.copies import MARK, Page
from moe_tutorial.tools.workspace.merge import Merged, answers, divided, merge


@dataclass
class Theirs:
    """A notebook of the course in a learner's folder: the file, its bytes, and the parsed notebook.

    After a lesson was split, ``notebook`` is the part of the file that is a lesson of its own now.
    """

    path: Path
    content: bytes
    notebook: NotebookNode


@dataclass
class Change:
    """A planned change to one page of the course."""

    page: Page
    theirs: Theirs | None  # None: the learner has none yet
    merged: Merged
    receives: bool  # whether it gets an answer from another notebook


@dataclass
class Report:
    """What an update reports.

    ``done`` has lines on what it did, ``renewed`` the lessons that it wrote, ``waiting`` the lessons that it left alone
    because the learner changed them, and ``amiss`` lines on problems.
    """

    done: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)


def read_all(folder: Path, course: list[Page], report: Report) -> dict[str, Theirs | None]:
    """The folder's notebooks that are or were the course's, by name.

    A notebook of the course that is not readable or has no mark is reported in ``report.amiss``, and None here.
    """
    names = {page.name for page in course}
    found = {}
    for path in sorted(folder.glob("*.ipynb")):
        content = path.read_bytes()
        try:
            notebook = nbformat.reads(content.decode(), as_version=4)
            mark = notebook.metadata.get(MARK, {})
        except Exception:  # nbformat raises many kinds of errors for invalid notebooks
            mark = None
        if path.stem in names and not mark:
            lacks = "does not say what in it is the course's" if mark is not None else "is not a notebook any more"
            report.amiss.append(
                f"{path.name} {lacks}, and was left alone; `moe-tutorial reset {path.stem}` gives it anew"
            )
            found[path.stem] = None
        elif mark and path.stem in names | {mark.get("lesson")}:
            found[path.stem] = Theirs(path, content, notebook)
    return found


def follow(found: dict[str, Theirs | None], course: list[Page]) -> list[Theirs]:
    """Add to ``found`` the lessons that replace renamed or split ones. Returns the notebooks with former names."""
    pages = {page.name: page.notebook for page in course}
    leaving = [theirs for name, theirs in found.items() if name not in pages]
    for theirs in leaving:
        names = [name for name in LESSONS.get(theirs.path.stem, []) if name in pages]
        parts = divided(theirs.notebook, [pages[name] for name in names]) if names else []
        for name, part in zip(names, parts, strict=True):
            found.setdefault(name, Theirs(theirs.path, theirs.content, part))  # a stopped update may have written it
    return leaving


def plan(found: dict[str, Theirs | None], course: list[Page], day: str) -> Iterator[Change]:
    """The changes that bring every page up to date with the learner's work in it; ``day`` is as in :func:`merge`."""
    written = {name: answers(theirs.notebook) for name, theirs in found.items() if theirs}
    everywhere = {id: text for each in written.values() for id, text in each.items()}
    asked = {page.name: set(page.lesson.asked["exercise"]) for page in course}
    for page in course:
        if page.name in found and not found[page.name]:
            continue
        theirs, own = found.get(page.name), written.get(page.name, {})
        receives = bool(asked[page.name] & (everywhere.keys() - own.keys()))
        if theirs and theirs.notebook.metadata[MARK].get("version") == page.version and not receives:
            continue
        elsewhere = set().union(*(each for name, each in asked.items() if name != page.name))
        before = theirs.notebook if theirs else page.notebook
        yield Change(page, theirs, merge(before, page.notebook, everywhere | own, elsewhere, day), receives)
