"""What a learner has done, kept in one file of their workspace: guesses, exercises, quizzes.

Outside a workspace (the repository, CI, a build of the site) there is none, and nothing is read or written.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from moe_tutorial.course.renumbered import answers_moved

FILE = "progress.json"


@dataclass(frozen=True)
class Progress:
    """The progress in one file: a kind ("guess", "exercise", "quiz") and a permanent id lead to what is kept."""

    file: Path

    def read(self) -> dict[str, dict[str, Any]]:
        """Everything: kind -> id -> value, under the present ids. A file that is no JSON (cut off by another program)
        counts as empty, and is kept beside under another name when the next value is written."""
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        whole = isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())
        return answers_moved(found) if whole else {}

    def get(self, kind: str, id: str) -> Any:
        """One value, or None."""
        return self.read().get(kind, {}).get(id)

    def put(self, kind: str, id: str, value: Any) -> None:
        """Keep a value that JSON can hold. Several notebooks may write at once."""
        with self.alone():
            kept = self.read()
            if not kept and self.file.exists() and self.file.stat().st_size > len("{}\n"):
                shutil.copyfile(self.file, self.file.with_suffix(".unreadable.json"))
            kept.setdefault(kind, {})[id] = value
            self.write(kept)

    def alone(self) -> FileLock:
        """While this is held, nobody else writes."""
        return FileLock(self.file.with_name(f".{self.file.stem}.lock"))

    def write(self, kept: dict[str, dict[str, Any]]) -> None:
        """Write everything. Nobody finds the file half written."""
        half = self.file.with_name(f".{self.file.stem}.{os.getpid()}")
        half.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        half.replace(self.file)


def progress() -> Progress | None:
    """The progress of the workspace that this process works in: the nearest folder, from here up, that has the file."""
    if os.environ.get("MOE_SITE"):
        return None
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return Progress(folder / FILE)
    return None
