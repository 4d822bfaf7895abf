"""Backups of a learner's files."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from moe_tutorial.course.progress.file import PART, write_file

OLD = "old"


def sweep(folder: Path) -> None:
    """Remove temporary files that an interrupted write left behind."""
    for part in [*folder.glob(f".*{PART}"), *folder.glob(f"{OLD}/.*{PART}")]:
        with suppress(OSError):
            part.unlink()


def back_up(path: Path, now: datetime) -> Path:
    """Back up a file in ``old`` with the time in its name, unless an equal backup is there. Returns its path."""
    content = path.read_bytes()
    wanted = path.parent / OLD / f"{path.stem}.{now:%Y-%m-%d-%H%M}{path.suffix}"
    wanted.parent.mkdir(exist_ok=True)
    copy, number = wanted, 1
    while copy.exists():
        if copy.read_bytes() == content:
            return copy
        number += 1
        copy = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    write_file(copy, content)
    return copy
