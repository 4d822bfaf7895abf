"""The tables of lessons in README, CONTRIBUTING and lesson 00, made from ``book.yml`` and the lessons' first lines.

``book.yml`` has the question that a lesson ``asks``, and its ``home``, the modules that contain what it teaches. The
lesson itself has its title, and says what readers can do afterwards: "25 minutes. You leave able to ...".
"""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

from moe_tutorial.course import CourseError
from moe_tutorial.course.lesson import Lesson, lesson_files


class Entry(NamedTuple):
    """A lesson with its entry in ``book.yml``."""

    lesson: Lesson
    asks: str
    home: list[str]
    needs: list[str]


def contents(folder: Path) -> list[dict]:
    """The pages in a folder's ``book.yml``, in their order; each has a ``file``."""
    return yaml.safe_load((folder / "book.yml").read_text(encoding="utf-8"))["toc"]


def lessons(repository: Path) -> list[Entry]:
    """The lessons in order.

    Raises:
        CourseError: a lesson is not in ``book.yml``, or lacks an entry there.
    """
    pages = {page["file"]: page for page in contents(repository)}
    found = []
    for path in lesson_files(repository / "notebooks"):
        page = pages.get(path.stem)
        if not page:
            raise CourseError(f"{path.name} is not in the toc of book.yml")
        for name in ("asks", "home"):
            if name not in page:
                raise CourseError(f"the toc of book.yml has no {name!r} for {path.stem}")
        needs = page.get("needs", [])
        found.append(Entry(Lesson.read(path), page["asks"], page["home"], needs))
    return found


def filled(file: Path, head: str, rows: list[str], prefix: str = "") -> str:
    """The file's text with these rows in the table whose header is ``head``; its lines begin with ``prefix``."""
    text = file.read_text(encoding="utf-8")
    table = re.compile(rf"(^{re.escape(prefix + head)}\n)(?:{re.escape(prefix)}\|.*\n)+", re.MULTILINE)
    if not table.search(text):
        raise CourseError(f"{file.name} has no table with the head {head!r}")
    body = "".join(f"{prefix}{row}\n" for row in ["|---|---|", *rows])
    return table.sub(lambda found: found[1] + body, text)


def tables(repository: Path) -> dict[Path, str]:
    """Each file with a table of lessons -> its text with the table updated; empty if there is no ``book.yml``.

    Raises:
        CourseError: as in :func:`lessons`, a lesson does not begin as lessons do, or a file has no such table.
    """
    if not (repository / "book.yml").exists():
        return {}
    taught = lessons(repository)
    able = [f"| [{each.lesson.title}](notebooks/{each.lesson.name}.ipynb) | {each.lesson.able} |" for each in taught]
    asks = [f"| [{each.lesson.title}]({each.lesson.name}.ipynb) | {each.asks} |" for each in taught[1:]]
    home = [f"| {each.lesson.name} | {', '.join(f'`{module}`' for module in each.home)} |" for each in taught]
    readme, contributing = repository / "README.md", repository / "CONTRIBUTING.md"
    start = repository / "notebooks" / f"{taught[0].lesson.name}.py"
    return {
        readme: filled(readme, "| lesson | you leave able to |", able),
        start: filled(start, "| lesson | the question |", asks, prefix="# "),
        contributing: filled(contributing, "| lesson | home |", home),
    }
