"""Make a learner's folder, update it to the present course, and reset a lesson.

No work is lost: a file with the learner's work is backed up in ``old`` before it is replaced. If a run is interrupted,
the next one completes it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from moe_tutorial.course import CourseError
from moe_tutorial.course.progress import backups
from moe_tutorial.course.progress.file import FILE, Progress, write_file
from moe_tutorial.course.progress.renumbered import LESSONS
from moe_tutorial.tools.workspace.copies import Page, as_file, find
from moe_tutorial.tools.workspace.merge import Merged, untouched
from moe_tutorial.tools.workspace.opened import refuse_open
from moe_tutorial.tools.workspace.plan import Change, Report, follow, plan, read_all
from moe_tutorial.tools.workspace.start import write_start

LOCK = ".workspace.lock"


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
        CourseError: the folder has other contents or is locked, or a notebook to be replaced is open.
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
    found = read_all(folder, course, report)
    leaving = follow(found, course)
    changes = list(plan(found, course, f"{now:%Y-%m-%d}"))
    if only_untouched:
        touched = {theirs.path for theirs in found.values() if theirs and not untouched(theirs.notebook)}
        report.waiting = [each.page.name for each in changes if each.theirs and each.theirs.path in touched]
        changes = [each for each in changes if each.page.name not in report.waiting]
        leaving = [each for each in leaving if each.path not in touched]
    refuse_open([each.path for each in [*(change.theirs for change in changes if change.theirs), *leaving]])
    for change in sorted(changes, key=lambda each: not each.receives):  # write moved answers first
        report.done += carry_out(folder, change, now)
        report.renewed.append(change.page.name)
    for theirs in leaving:
        copy = backups.back_up(theirs.path, now)
        theirs.path.unlink()
        became = ", ".join(LESSONS.get(theirs.path.stem, []))
        said = f"is {became} now" if became else "is no longer in the course"
        report.done.append(f"✓ {theirs.path.stem} {said}; yours is {copy.relative_to(folder)}")
    return report


def carry_out(folder: Path, change: Change, now: datetime) -> list[str]:
    """Write one lesson; returns the lines that report it."""
    page, theirs, merged = change.page, change.theirs, change.merged
    said = [f"✓ {page.name} is new" if not theirs else f"✓ {page.name} is the course's present version"]
    if theirs:
        if theirs.path.read_bytes() != theirs.content:
            raise CourseError(
                f"{theirs.path.name} was saved by another program just now; close it there, and try again"
            )
        if theirs.path.stem != page.name:  # `update` removes it when all of its lessons are written
            said[0] += f"; it was {theirs.path.stem}"
        elif not untouched(theirs.notebook) or any(cell.get("outputs") for cell in theirs.notebook.cells):
            copy = backups.back_up(theirs.path, now)
            said.append(f"    as it was before: {copy.relative_to(folder)}")
    write_file(folder / page.file, as_file(merged.notebook))
    return said[:1] + told(merged) + said[1:]


def told(merged: Merged) -> list[str]:
    """The lines that report what became of the learner's work in a lesson."""
    counts = {
        "your answers are in it: {}": ", ".join(merged.answers),
        "your own cells are in it, each below the cell that it followed: {}": merged.own,
        "cells of the course that you had changed stay so: {}": merged.changed,
        "cells that you and the course had changed: {}; yours stands below the new one, as text": merged.beside,
    }
    return [f"    {text.format(count)}" for text, count in counts.items() if count]


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
            refuse_open([path])
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
