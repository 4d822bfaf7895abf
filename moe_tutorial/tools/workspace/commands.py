"""The commands for learners and instructors."""

import argparse
from collections.abc import Callable
from pathlib import Path

from moe_tutorial.course import CourseError
from moe_tutorial.course.lesson import repository
from moe_tutorial.course.progress.file import FILE, Progress
from moe_tutorial.tools.jupyter.lab import open_lab
from moe_tutorial.tools.nbgrader import make_class
from moe_tutorial.tools.workspace.copies import read_course
from moe_tutorial.tools.workspace.start import START
from moe_tutorial.tools.workspace.update import (
    Report,
    is_workspace,
    make_or_update,
    refuse_other,
    reset,
)

DEFAULT = Path("my-course")


def run(chosen: argparse.Namespace, rest: list[str]) -> int:
    """Run one of the commands; returns the exit status.

    Raises:
        CourseError: the command cannot continue.
    """
    here = Path()
    folder = chosen.folder or (here if is_workspace(here) else DEFAULT)
    try:
        return COMMANDS[chosen.command](folder, chosen, rest)
    except OSError as error:  # such as a full disk or a missing permission
        raise CourseError(f"{error.filename or folder}: {error.strerror}") from None


def lab(folder: Path, chosen: argparse.Namespace, rest: list[str]) -> int:
    """Open the folder in JupyterLab, after :func:`new`; or for contributors, the repository."""
    if chosen.repository:
        open_lab(repository(), "notebooks/00_start_here.ipynb", chosen.port, rest)
    else:
        new(folder, chosen, rest)
        open_lab(folder, START, chosen.port, rest)
    return 0


def new(folder: Path, chosen: argparse.Namespace, rest: list[str]) -> int:
    """Make the folder, or update the lessons that the learner has not changed."""
    course, had = read_course(), is_workspace(folder)
    try:
        report = make_or_update(folder, course, only_untouched=True)
    except CourseError as error:
        if not had:
            raise
        print(f"The course was not brought up to date: {error}")  # the folder can be opened all the same
        return 1
    if not had:
        print(f"✓ {folder.resolve()} is your own folder of the course: {len(course)} notebooks, and {START} first")
        report.done.clear()
    if report.waiting:
        report.done.append(f"`moe-tutorial update` brings {', '.join(report.waiting)} up to date, with your work in it")
    show(report)
    return 0


def update(folder: Path, chosen: argparse.Namespace, rest: list[str]) -> int:
    """Update the folder, keeping the learner's work."""
    refuse_other(folder)
    report = make_or_update(folder, read_course())
    show(report)
    if not report.done and not report.amiss:
        print("✓ every lesson is up to date")
    return int(bool(report.amiss))


def show(report: Report) -> None:
    """Print what was done, and the problems."""
    for line in [*report.done, *(f"✗ {problem}" for problem in report.amiss)]:
        print(line)


def reset_lesson(folder: Path, chosen: argparse.Namespace, rest: list[str]) -> int:
    """Replace a lesson by a fresh copy."""
    print("\n".join(reset(folder, read_course(), chosen.lesson)))
    return 0


def collect(folder: Path, chosen: argparse.Namespace, rest: list[str]) -> int:
    """Collect the learner's right answers into ``my_moe.py``."""
    from moe_tutorial.course.progress import my_moe  # it loads torch

    refuse_other(folder)
    print("\n".join(my_moe.write(folder, my_moe.parts(Progress(folder / FILE).read(), until="08"))))
    return 0


def make_nbgrader(folder: Path, chosen: argparse.Namespace, rest: list[str]) -> int:
    """Make an nbgrader course."""
    made = make_class(folder)
    print(f"✓ {folder} is a course of nbgrader's: {', '.join(made)}")
    print(f"  next, in it: nbgrader generate_assignment {made[0]}")
    return 0


COMMANDS: dict[str, Callable[[Path, argparse.Namespace, list[str]], int]] = {
    "lab": lab,
    "new": new,
    "update": update,
    "reset": reset_lesson,
    "my-moe": collect,
    "nbgrader": make_nbgrader,
}
