"""Where things lie that are found from more than one place."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def lessons_folder() -> Path:
    """The lessons: an installed course carries them beside this module, in the repository they are in notebooks/."""
    carried = Path(__file__).parent / "notebooks"
    return carried if carried.is_dir() else REPOSITORY / "notebooks"
