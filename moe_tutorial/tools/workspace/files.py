"""Files of a learner, written so that nothing is lost whenever the program or the machine stops.

A file is written under another name, and takes its own in one step: whoever looks finds the old or the new, whole.
"""

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

OLD = "old"
PART = ".part"


def write(path: Path, content: bytes) -> None:
    """Put this content into the file in one step."""
    part = path.with_name(f".{path.name}{PART}")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def sweep(folder: Path) -> None:
    """Remove what a program that was stopped had begun to write."""
    for part in [*folder.glob(f".*{PART}"), *folder.glob(f"{OLD}/.*{PART}")]:
        with suppress(OSError):
            part.unlink()


def dated(path: Path, now: datetime) -> Path:
    """The name of a copy of this file, in ``old``, that says when it was replaced."""
    return path.parent / OLD / f"{path.stem}.{now:%Y-%m-%d-%H%M}{path.suffix}"


def keep(path: Path, now: datetime) -> Path:
    """Keep a dated copy of this file, and return where. A copy that is there already is not made twice."""
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
