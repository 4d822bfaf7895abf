"""Make a learner's folder, bring it up to date with the course, and give a lesson anew.

Nothing of the learner's is lost: whatever is replaced lies in ``old`` first. A run that was stopped halfway is finished by
the next one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout
from nbformat import NotebookNode

from moe_tutorial.course import CourseError
from moe_tutorial.course.progress import FILE
from moe_tutorial.course.workspace import files, status
from moe_tutorial.course.workspace.copies import MARK, Page, as_file
from moe_tutorial.course.workspace.merge import Merged, answers, exercises, ids, merge, untouched
from moe_tutorial.course.workspace.opened import refuse_open

LOCK = ".workspace.lock"
ALIKE = 1 / 3  # the least part of their cells that a lesson and its new version, under another name, have in common


@dataclass
class Theirs:
    """A notebook of the course in a learner's folder: its file, the bytes in it, and what they say."""

    path: Path
    content: bytes
    notebook: NotebookNode


@dataclass
class Change:
    """What is to be done for one page of the course."""

    page: Page
    theirs: Theirs | None  # None: the learner has none yet
    merged: Merged
    receives: bool  # an answer that stands in another notebook until now

    @property
    def path(self) -> Path:
        """The file that is to be replaced."""
        return self.theirs.path


@dataclass
class Report:
    """What an update says: line by line what it did, the lessons that it left to `update`, and what is amiss."""

    done: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)


def is_workspace(folder: Path) -> bool:
    """Whether this is a learner's folder: it keeps their progress."""
    return (folder / FILE).is_file()


def refuse_foreign(folder: Path) -> None:
    """Raise where a learner's folder neither is nor can be made.

    Raises:
        CourseError: it is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise CourseError(f"{folder} is a file; name a folder: --folder my-course")
    if folder.is_dir() and not is_workspace(folder) and any(not each.name.startswith(".") for each in folder.iterdir()):
        raise CourseError(
            f"{folder} is not empty, and not a folder that this course made (those hold a {FILE}). Nothing was changed. Name "
            "a new one: --folder my-course"
        )


def refuse_other(folder: Path) -> None:
    """Raise where there is no workspace.

    Raises:
        CourseError: it says how one is made.
    """
    refuse_foreign(folder)
    if not is_workspace(folder):
        raise CourseError(f"there is no course in {folder} yet; `moe-tutorial lab` makes one")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Work on this folder while no other command does. A stopped program holds no lock.

    Raises:
        CourseError: another command works on it.
    """
    try:
        with FileLock(folder / LOCK, timeout=0):
            files.sweep(folder)
            yield
    except Timeout:
        raise CourseError(f"another command is at work on {folder}; try again when it has ended") from None


def make_or_update(folder: Path, course: list[Page], *, only_untouched: bool = False) -> Report:
    """Bring a workspace up to date; where there is none yet, make it.

    ``only_untouched`` leaves alone what the learner has written in, and reports those lessons as waiting.

    Raises:
        CourseError: the folder is something else, or a notebook to be replaced is open.
    """
    refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        if not is_workspace(folder):
            files.write(
                folder / FILE, b"{}\n"
            )  # first, so that a workspace that is half made is finished the next time
        report = Report()
        update(folder, course, report, only_untouched, datetime.now())
        status.write_start(folder, course)
    return report


def update(folder: Path, course: list[Page], report: Report, only_untouched: bool, now: datetime) -> None:
    """The work of ``make_or_update`` on the notebooks."""
    found = read_all(folder, course, report)
    renamed, gone = follow(found, course)
    for old, name in renamed.items():
        found[name] = found.pop(old)
    changes = sorted(plan(found, course, now, report), key=lambda change: not change.receives)
    for page in course if only_untouched else []:
        change = next((each for each in changes if each.page is page and each.theirs), None)
        if change and not untouched(change.theirs.notebook):
            report.waiting.append(page.name)
            changes.remove(change)
    replaced = [change for change in changes if change.theirs]
    leaving = [found[name] for name in gone if not only_untouched or untouched(found[name].notebook)]
    refuse_open([each.path for each in [*replaced, *leaving]])
    for change in changes:
        report.done += carry_out(folder, change, now)
    for theirs in leaving:
        copy = files.keep(theirs.path, now)
        theirs.path.unlink()
        report.done.append(f"✓ {theirs.path.stem} is no longer in the course; yours is {copy.relative_to(folder)}")


def read_all(folder: Path, course: list[Page], report: Report) -> dict[str, Theirs]:
    """The notebooks in the folder that are the course's or were, by their names. What cannot be read is amiss."""
    names = {page.name for page in course}
    found = {}
    for path in sorted(folder.glob("*.ipynb")):
        content = path.read_bytes()
        try:
            notebook = nbformat.reads(content.decode(), as_version=4)
            mark = notebook.metadata.get(MARK, {})
        except Exception:  # nbformat raises what the many ways of being no notebook lead to
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


def follow(found: dict[str, Theirs | None], course: list[Page]) -> tuple[dict[str, str], list[str]]:
    """Which of the learner's lessons have another name in the course now, and which are no longer in it."""
    free = {page.name: ids(page.notebook) for page in course if page.name not in found}
    names = {page.name for page in course}
    renamed, gone = {}, []
    for name in [name for name in found if name not in names]:
        marks = ids(found[name].notebook)
        asked = set(exercises(found[name].notebook))
        shared = {other: len(marks & theirs) / len(marks | theirs) for other, theirs in free.items()}
        likely = [other for other in free if asked & free[other] or shared[other] >= ALIKE or other[2:] == name[2:]]
        if likely:
            renamed[name] = max(likely, key=shared.get)
            del free[renamed[name]]
        else:
            gone.append(name)
    return renamed, gone


def plan(found: dict[str, Theirs | None], course: list[Page], now: datetime, report: Report) -> Iterator[Change]:
    """What has to be done so that every page is the course's, with what the learner wrote."""
    written = {name: answers(theirs.notebook) for name, theirs in found.items() if theirs}
    everywhere = {id: text for each in written.values() for id, text in each.items()}
    asked = {page.name: set(exercises(page.notebook)) for page in course}
    for page in course:
        if page.name in found and not found[page.name]:
            continue
        theirs, own = found.get(page.name), written.get(page.name, {})
        receives = bool(asked[page.name] & (everywhere.keys() - own.keys()))
        if theirs and theirs.notebook.metadata[MARK].get("version") == page.version and not receives:
            continue
        elsewhere = set().union(*(each for name, each in asked.items() if name != page.name))
        before = theirs.notebook if theirs else page.notebook
        yield Change(
            page, theirs, merge(before, page.notebook, everywhere | own, elsewhere, f"{now:%Y-%m-%d}"), receives
        )


def carry_out(folder: Path, change: Change, now: datetime) -> list[str]:
    """Write one lesson; returns the lines that say what became of it."""
    page, theirs, merged = change.page, change.theirs, change.merged
    said = [f"✓ {page.name} is new" if not theirs else f"✓ {page.name} is the course's present version"]
    if theirs:
        if theirs.path.read_bytes() != theirs.content:
            raise CourseError(
                f"{theirs.path.name} was saved by another program just now; close it there, and try again"
            )
        if theirs.path.stem != page.name:
            said[0] += f"; it was {theirs.path.stem}"
        if not untouched(theirs.notebook) or any(cell.get("outputs") for cell in theirs.notebook.cells):
            copy = files.keep(theirs.path, now)
            said.append(f"    as it was before: {copy.relative_to(folder)}")
        if theirs.path.stem != page.name:
            theirs.path.rename(folder / page.file)  # first the name and then the text: a stopped update is gone on with
    files.write(folder / page.file, as_file(merged.notebook))
    return said[:1] + told(merged) + said[1:]


def told(merged: Merged) -> list[str]:
    """What became of the learner's work in a lesson."""
    said = []
    if merged.answers:
        said.append(f"    your answers are in it: {', '.join(merged.answers)}")
    if merged.own:
        said.append(f"    your own cells are in it, each below the cell that it followed: {merged.own}")
    if merged.changed:
        said.append(f"    cells of the course that you had changed stay so: {merged.changed}")
    if merged.beside:
        said.append(
            f"    cells that you and the course had changed: {merged.beside}; yours stands below the new one, as text"
        )
    return said


def find(course: list[Page], which: str) -> Page:
    """The page that a learner names by its number or its name.

    Raises:
        CourseError: there is no such page.
    """
    for page in course:
        if which in (page.name, page.file) or page.name.startswith(f"{which.zfill(2)}_"):
            return page
    raise CourseError(f"there is no lesson {which!r}; there are {', '.join(page.name for page in course)}")


def reset(folder: Path, course: list[Page], which: str) -> list[str]:
    """Give a lesson anew, with nothing answered in it; returns the lines that say what became of the former.

    Raises:
        CourseError: there is no such lesson or workspace, or the lesson is open.
    """
    refuse_other(folder)
    page, now = find(course, which), datetime.now()
    path = folder / page.file
    said = [f"✓ {page.name} is as the course gives it"]
    with alone(folder):
        if path.exists():
            refuse_open([path])
            said.append(f"    yours is {files.keep(path, now).relative_to(folder)}")
        files.write(path, as_file(page.notebook))
        forgotten = status.forget(folder, page, now)
        status.write_start(folder, course)
    if forgotten:
        said.append(
            f"    its guesses, exercises and quiz are open again; the former progress is {forgotten.relative_to(folder)}"
        )
    return said
