"""Paths that several modules use."""

from pathlib import Path

from moe_tutorial.course import CourseError

REPOSITORY = Path(__file__).resolve().parents[2]
CARRIED = Path(__file__).parent / "notebooks"  # the lessons of an installed course, copied by setup.py


def lessons_folder() -> Path:
    """The lessons' folder: beside this module in an installed course, ``notebooks/`` in the repository."""
    return CARRIED if CARRIED.is_dir() else REPOSITORY / "notebooks"


def contents_file() -> Path:
    """The path of ``book.yml``, the course's table of contents."""
    return (CARRIED if CARRIED.is_dir() else REPOSITORY) / "book.yml"


def repository() -> Path:
    """The repository, for contributors' commands.

    Raises:
        CourseError: the course was installed without one.
    """
    if not (REPOSITORY / "book.yml").exists():
        raise CourseError("this is done in the course's repository, and here the course is installed without it")
    return REPOSITORY
