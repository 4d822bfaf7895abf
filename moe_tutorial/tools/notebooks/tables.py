"""The tables of lessons in README, CONTRIBUTING and lesson 00, made from ``book.yml`` and the lessons' first lines.

``book.yml`` has a lesson's title, the question that it ``asks``, and its ``home``, the modules that contain what it
teaches. The lesson itself says what readers can do afterwards: "25 minutes. You leave able to ...".
"""

import re
from pathlib import Path
from typing import NamedTuple

import jupytext
import yaml

from moe_tutorial.course import CourseError

OPENING = re.compile(r"# [^\n]+\n\n\d+ minutes\. You leave able to (.+?)\.(?:\n\n|$)", re.DOTALL)


class TableError(CourseError):
    """A lesson or ``book.yml`` lacks an entry for its row, or a file its table; the message names it."""


class Lesson(NamedTuple):
    """What the tables say of a lesson."""

    file: str
    title: str
    asks: str
    home: list[str]
    able: str
    needs: list[str]


def contents(repository: Path) -> list[dict]:
    """The pages in ``book.yml``, in their order; each has a ``file``."""
    return yaml.safe_load((repository / "book.yml").read_text(encoding="utf-8"))["toc"]


def lessons(repository: Path) -> list[Lesson]:
    """The lessons in order.

    Raises:
        TableError: a lesson is not in ``book.yml``, lacks an entry there, or does not begin as lessons do.
    """
    pages = {page["file"]: page for page in contents(repository)}
    found = []
    for path in sorted((repository / "notebooks").glob("[0-9][0-9]_*.py")):
        page = pages.get(path.stem)
        if not page:
            raise TableError(f"{path.name} is not in the toc of book.yml")
        for name in ("title", "asks", "home"):
            if name not in page:
                raise TableError(f"the toc of book.yml has no {name!r} for {path.stem}")
        opening = OPENING.match(jupytext.read(path).cells[0].source)
        if not opening:
            raise TableError(f'{path.name} must open with its title and "NN minutes. You leave able to ..."')
        able = " ".join(opening[1].split())
        found.append(Lesson(path.stem, page["title"], page["asks"], page["home"], able, page.get("needs", [])))
    return found


def filled(file: Path, head: str, rows: list[str], prefix: str = "") -> str:
    """The file's text with these rows in the table whose header is ``head``; its lines begin with ``prefix``."""
    text = file.read_text(encoding="utf-8")
    table = re.compile(rf"(^{re.escape(prefix + head)}\n)(?:{re.escape(prefix)}\|.*\n)+", re.MULTILINE)
    if not table.search(text):
        raise TableError(f"{file.name} has no table with the head {head!r}")
    body = "".join(f"{prefix}{row}\n" for row in ["|---|---|", *rows])
    return table.sub(lambda found: found[1] + body, text)


def tables(repository: Path) -> dict[Path, str]:
    """Each file with a table of lessons -> its text with the table updated; empty if there is no ``book.yml``.

    Raises:
        TableError: as in :func:`lessons`, or a file has no such table.
    """
    if not (repository / "book.yml").exists():
        return {}
    taught = lessons(repository)
    able = [f"| [{lesson.title}](notebooks/{lesson.file}.ipynb) | {lesson.able} |" for lesson in taught]
    asks = [f"| [{lesson.title}]({lesson.file}.ipynb) | {lesson.asks} |" for lesson in taught[1:]]  # not 00 itself
    home = [f"| {lesson.file} | {', '.join(f'`{module}`' for module in lesson.home)} |" for lesson in taught]
    readme, contributing = repository / "README.md", repository / "CONTRIBUTING.md"
    start = repository / "notebooks" / f"{taught[0].file}.py"
    return {
        readme: filled(readme, "| lesson | you leave able to |", able),
        start: filled(start, "| lesson | the question |", asks, prefix="# "),
        contributing: filled(contributing, "| lesson | home |", home),
    }
