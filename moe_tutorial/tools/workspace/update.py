"""Make a learner's folder, update it to the present course, and reset a lesson.

No work is lost: a file with the learner's work is backed up in ``old`` before it is replaced. If a run is interrupted,
the next one completes it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import nbformat
from filelock import FileLock, Timeout
from nbformat import NotebookNode

from moe_tutorial.course import CourseError
from moe_tutorial.course.progress import backups
from moe_tutorial.course.progress.file import FILE, Progress, write_file
from moe_tutorial.tools.workspace.copies import MARK, Page, as_file, find
from moe_tutorial.tools.workspace.merge import answers, is_touched, merge
from moe_tutorial.tools.workspace.opened import opened
from moe_tutorial.tools.workspace.start import write_start

LOCK = ".workspace.lock"
CLOSE = "Save there, choose File, Close and Shut Down Notebook, and try again"


class Yours(NamedTuple):
    """A notebook in a learner's folder: the file's bytes, and the parsed notebook."""

    content: bytes
    notebook: NotebookNode


@dataclass
class Report:
    """What an update reports.

    ``done`` has lines on what it did, ``waiting`` the lessons that it left alone because the learner changed them, and
    ``amiss`` lines on what could not be updated.
    """

    done: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)


def is_workspace(folder: Path) -> bool:
    """Whether this is a learner's folder, which has a progress file."""
    return (folder / FILE).is_file()


def refuse_foreign(folder: Path) -> None:
    """Raise if this is not a learner's folder and cannot become one.

    Raises:
        CourseError: it is a file, or a folder with other files in it.
    """
    if folder.exists() and not folder.is_dir():
        raise CourseError(f"{folder} is a file; name a folder: --folder my-course")
    if folder.is_dir() and not is_workspace(folder) and any(not each.name.startswith(".") for each in folder.iterdir()):
        raise CourseError(
            f"{folder} is not empty, and not a folder of this course (those hold a {FILE}). Nothing was changed. "
            "Name a new one: --folder my-course"
        )


def refuse_other(folder: Path) -> None:
    """Raise if this is not a workspace.

    Raises:
        CourseError: the message says how to make one.
    """
    refuse_foreign(folder)
    if not is_workspace(folder):
        raise CourseError(f"there is no course in {folder} yet; `moe-tutorial lab` makes one")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock this folder against other commands, and remove leftover temporary files. The lock ends with the process.

    Raises:
        CourseError: another command holds the lock.
    """
    try:
        with FileLock(folder / LOCK, timeout=0):
            backups.sweep(folder)
            yield
    except Timeout:
        raise CourseError(f"another command is at work on {folder}; try again when it has ended") from None


def make_or_update(folder: Path, course: list[Page], *, only_untouched: bool = False) -> Report:
    """Update a workspace, or make it if there is none.

    With ``only_untouched``, lessons that the learner changed are left alone and reported as waiting.

    Raises:
        CourseError: the folder has other contents or is locked, or a Jupyter server does not say what is open.
    """
    refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        if not is_workspace(folder):
            write_file(folder / FILE, b"{}\n")  # first, so that the next run completes this one if it stops
        report = _update(folder, course, only_untouched)
        write_start(folder, course)
    return report


def _update(folder: Path, course: list[Page], only_untouched: bool) -> Report:
    report, now = Report(), datetime.now()
    found = read_all(folder)
    answered = {id: source for yours in found.values() for id, source in answers(yours.notebook).items()}
    changed = []
    for page in course:
        path, yours = folder / page.file, found.get(page.name)
        if not path.exists():
            write_file(path, as_file(merge(page.notebook, page.notebook, answered)[0]))
            report.done.append(f"✓ {page.name} is new")
        elif not yours:
            report.amiss.append(
                f"{page.file} is not a notebook of the course any more, and was left alone; "
                f"`moe-tutorial reset {page.name}` gives it anew"
            )
        elif yours.notebook.metadata[MARK] != page.notebook.metadata[MARK]:
            if only_untouched and any(map(is_touched, yours.notebook.cells)):
                report.waiting.append(page.name)
            else:
                changed.append(page)
    there = opened(folder) if changed else set()
    for page in changed:
        path, yours = folder / page.file, found[page.name]
        if path.resolve() in there or path.read_bytes() != yours.content:
            report.amiss.append(f"{page.file} is open in JupyterLab, and was left alone. {CLOSE}")
        else:
            report.done += replace(path, page, yours, answered, now)
    return report


def read_all(folder: Path) -> dict[str, Yours]:
    """The notebooks that the course gave, by name."""
    found = {}
    for path in sorted(folder.glob("*.ipynb")):
        content = path.read_bytes()
        try:
            notebook = nbformat.reads(content.decode(), as_version=4)
        except Exception:  # nbformat raises many kinds of errors for invalid notebooks
            continue
        if notebook.metadata.get(MARK, {}).get("lesson") == path.stem:  # not so in a copy
            found[path.stem] = Yours(content, notebook)
    return found


def replace(path: Path, page: Page, yours: Yours, answered: dict[str, str], now: datetime) -> list[str]:
    """Replace a notebook by the course's new version with the learner's work; returns the lines that report it."""
    merged, n_answers, n_own = merge(yours.notebook, page.notebook, answered | answers(yours.notebook))
    said = [f"✓ {page.name} is the course's present version"]
    said += [f"    your answers are in it: {n_answers}"] if n_answers else []
    said += [f"    your own and changed cells stand at its end: {n_own}"] if n_own else []
    if any(map(is_touched, yours.notebook.cells)):
        said.append(f"    as it was before: {backups.back_up(path, now).relative_to(path.parent)}")
    write_file(path, as_file(merged))
    return said


def reset(folder: Path, course: list[Page], which: str) -> list[str]:
    """Replace a lesson by a fresh copy and forget its progress; returns the lines that report it.

    Raises:
        CourseError: there is no such lesson or workspace, or the lesson is open.
    """
    refuse_other(folder)
    page, now = find(course, which), datetime.now()
    path = folder / page.file
    said = [f"✓ {page.name} is as the course gives it"]
    with alone(folder):
        if path.exists():
            if path.resolve() in opened(folder):
                raise CourseError(f"{page.file} is open in JupyterLab, and nothing was changed. {CLOSE}")
            said.append(f"    yours is {backups.back_up(path, now).relative_to(folder)}")
        write_file(path, as_file(page.notebook))
        forgotten = forget(folder, page, now)
        write_start(folder, course)
    if forgotten:
        said.append(
            f"    its guesses, exercises and quiz are open again; your progress before: {forgotten.relative_to(folder)}"
        )
    return said


def forget(folder: Path, page: Page, now: datetime) -> Path | None:
    """Remove a lesson from the progress file. Returns the file's backup, or None if there was nothing to remove."""
    file = Progress(folder / FILE)
    with file.alone():
        kept, asked = file.read(), page.lesson.asked
        rest = {
            kind: {id: value for id, value in each.items() if id not in asked.get(kind, [])}
            for kind, each in kept.items()
        }
        if rest == kept:
            return None
        copy = backups.back_up(file.file, now)
        file.write(rest)
    return copy
