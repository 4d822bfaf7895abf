"""Atomic writes and backups of a learner's files.

A file is written under a temporary name and then renamed. After a crash, either the old or the new file is there, and
it is complete.
"""

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

OLD = "old"
PART = ".part"


def write(path: Path, content: bytes) -> None:
    """Write the file atomically."""
    part = path.with_name(f".{path.name}{PART}")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def sweep(folder: Path) -> None:
    """Remove temporary files that an interrupted write left behind."""
    for part in [*folder.glob(f".*{PART}"), *folder.glob(f"{OLD}/.*{PART}")]:
        with suppress(OSError):
            part.unlink()


def dated(path: Path, now: datetime) -> Path:
    """The path of this file's backup in ``old``, with the time in its name."""
    return path.parent / OLD / f"{path.stem}.{now:%Y-%m-%d-%H%M}{path.suffix}"


def keep(path: Path, now: datetime) -> Path:
    """Back up this file under a dated name, unless an equal backup with that name exists. Returns its path."""
    content, wanted = path.read_bytes(), dated(path, now)
    wanted.parent.mkdir(exist_ok=True)
    copy, number = wanted, 1
    while copy.exists():
        if copy.read_bytes() == content:
            return copy
        number += 1
        copy = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    write(copy, content)
    return copy
