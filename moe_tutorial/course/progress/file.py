"""A learner's progress (guesses, exercises, quizzes), stored in one file of their workspace.

Outside a workspace (the repository, CI, a build of the site) there is no such file, and nothing is read or written.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

FILE = "progress.json"
PART = ".part"  # the end of temporary files' names


@dataclass(frozen=True)
class Progress:
    """The progress file: it maps a kind ("guess", "exercise", "quiz") and a permanent id to a value."""

    file: Path

    def read(self) -> dict[str, dict[str, Any]]:
        """All values, kind -> id -> value.

        A file that is not valid JSON (truncated by another program) counts as empty; ``put`` copies it to another name
        before it writes the next value.
        """
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        whole = isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())
        return found if whole else {}

    def put(self, kind: str, id: str, value: Any) -> None:
        """Store a value that JSON can represent. Several notebooks may write at once."""
        with self.alone():
            kept = self.read()
            if not kept and self.file.exists() and self.file.stat().st_size > len("{}\n"):
                shutil.copyfile(self.file, self.file.with_suffix(".unreadable.json"))
            kept.setdefault(kind, {})[id] = value
            self.write(kept)

    def alone(self) -> FileLock:
        """The file lock to hold while writing."""
        return FileLock(self.file.with_name(f".{self.file.stem}.lock"))

    def write(self, kept: dict[str, dict[str, Any]]) -> None:
        """Replace all values in one atomic write."""
        write_file(self.file, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode())


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically: under a temporary name, and then rename it.

    After a crash, either the old or the new file is there, and it is complete.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def progress() -> Progress | None:
    """The progress file of the working directory or its nearest parent that has one.

    None if there is no such file, and while the site is built.
    """
    if os.environ.get("MOE_SITE"):
        return None
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return Progress(folder / FILE)
    return None
