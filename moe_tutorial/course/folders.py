"""Where things lie that are found from more than one place."""

from pathlib import Path

from moe_tutorial.course import CourseError

REPOSITORY = Path(__file__).resolve().parents[2]
CARRIED = Path(__file__).parent / "notebooks"  # an installed course has its lessons here; setup.py puts them there


def lessons_folder() -> Path:
    """The lessons: an installed course carries them beside this module, in the repository they are in notebooks/."""
    return CARRIED if CARRIED.is_dir() else REPOSITORY / "notebooks"


def contents_file() -> Path:
    """The contents of the course, ``book.yml``."""
    return (CARRIED if CARRIED.is_dir() else REPOSITORY) / "book.yml"


def repository() -> Path:
    """The repository, for what only a contributor does.

    Raises:
        CourseError: the course was installed without one.
    """
    if not (REPOSITORY / "book.yml").exists():
        raise CourseError("this is done in the course's repository, and here the course is installed without it")
    return REPOSITORY
