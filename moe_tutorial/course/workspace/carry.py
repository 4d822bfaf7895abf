"""A learner's progress is taken to another machine, and a lesson is taken out of it."""

import json
from datetime import datetime
from pathlib import Path

from moe_tutorial.course import CourseError
from moe_tutorial.course.progress import FILE, Progress
from moe_tutorial.course.renumbered import answers_moved
from moe_tutorial.course.workspace import files
from moe_tutorial.course.workspace.copies import Page
from moe_tutorial.course.workspace.status import asked

FORM = "progress in the course on mixtures of experts"


def forget(folder: Path, page: Page, now: datetime) -> Path | None:
    """Take a lesson out of the progress; returns where the former is kept, or None where it had nothing of it."""
    file = Progress(folder / FILE)
    with file.alone():
        kept = file.read()
        ids = {kind: set(found) & kept.get(kind, {}).keys() for kind, found in asked(page).items()}
        if not any(ids.values()):
            return None
        copy = files.keep(file.file, now)
        rest = {
            kind: {id: value for id, value in each.items() if id not in ids.get(kind, ())}
            for kind, each in kept.items()
        }
        file.write(rest)
    return copy


def export(folder: Path, target: Path) -> None:
    """Write the progress to one file, for another machine.

    Raises:
        CourseError: there is a file of that name already.
    """
    if target.exists():
        raise CourseError(f"{target} is there already; name another file")
    kept = {"form": FORM, "written": f"{datetime.now():%Y-%m-%d %H:%M}", "progress": Progress(folder / FILE).read()}
    files.write(target, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode())


def take_in(folder: Path, source: Path) -> tuple[int, Path]:
    """Put an exported progress in; what it says nothing of stays. Returns how many entries it had, and where the former
    progress is kept.

    Raises:
        CourseError: the file is not there, or holds something else.
    """
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
        new = found["progress"] if found["form"] == FORM else None
        entries = sum(len(each.keys()) for each in new.values())
    except OSError as error:
        raise CourseError(f"{source} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CourseError(f"{source} is no progress that `moe-tutorial export` wrote; nothing was changed") from None
    file = Progress(folder / FILE)
    with file.alone():
        copy = files.keep(file.file, datetime.now())
        kept = file.read()
        for kind, each in answers_moved(new).items():
            kept[kind] = kept.get(kind, {}) | each
        file.write(kept)
    return entries, copy
