"""The tables of lessons in README and in lesson 00, made from ``book.yml`` and from each lesson's first lines.

``book.yml`` has a lesson's title and the question that it ``asks``; what the reader leaves able to do, the lesson says
after its minutes: "25 minutes. You leave able to ...".
"""

import re
from pathlib import Path
from typing import NamedTuple

import jupytext
import yaml

from moe_tutorial.course import CourseError

OPENING = re.compile(r"# (?P<title>[^\n]+)\n\n\d+ minutes\. You leave able to (?P<able>.+?)\.(?:\n\n|$)", re.DOTALL)


class TableError(CourseError):
    """A lesson or ``book.yml`` lacks what its row is made from; the message names it."""


class Row(NamedTuple):
    """A lesson in a table."""

    file: str
    title: str
    able: str
    asks: str


def contents(repository: Path) -> dict:
    """The table of contents in ``book.yml``: a ``root``, and ``chapters`` with a ``file`` each."""
    return yaml.safe_load((repository / "book.yml").read_text(encoding="utf-8"))["toc"]


def lessons(repository: Path) -> list[Row]:
    """The lessons in the order of ``book.yml``.

    Raises:
        TableError: a lesson is not in ``book.yml``, or has no question there, or does not open as lessons do.
    """
    toc = contents(repository)
    chapters = {chapter["file"]: chapter for chapter in [{"file": toc["root"]}, *toc["chapters"]]}
    rows = []
    for path in sorted((repository / "notebooks").glob("[0-9][0-9]_*.py")):
        if path.stem not in chapters:
            raise TableError(f"{path.name} is not in the toc of book.yml")
        chapter = chapters[path.stem]
        if "asks" not in chapter and path.stem != toc["root"]:
            raise TableError(f"book.yml does not say what {path.stem} asks")
        opening = OPENING.match(jupytext.read(path).cells[0].source)
        if not opening:
            raise TableError(f'{path.name} must open with its title and "NN minutes. You leave able to ..."')
        title = chapter.get("title", f"{path.stem[:2]} {opening['title']}")
        rows.append(Row(path.stem, title, " ".join(opening["able"].split()), chapter.get("asks", "")))
    return rows


def filled(text: str, head: str, rows: list[str]) -> str:
    """The text with these rows in its table of this head. Lines may begin with ``# ``, as in a lesson's source."""
    prefix = "# " if f"\n# {head}\n" in text else ""
    form = re.compile(rf"(?<=^{re.escape(prefix + head)}\n)((?:{prefix}\|.*\n)+)", re.MULTILINE)
    body = "".join(f"{prefix}{row}\n" for row in ["|---|---|", *rows])
    changed, found = form.subn(lambda _: body, text)
    if not found:
        raise TableError(f"there is no table with the head {head!r}")
    return changed


def tables(repository: Path) -> dict[Path, str]:
    """Each file with a table of lessons, and its text as it should be; none where there is no ``book.yml``.

    Raises:
        TableError: as ``lessons``, or a file has no such table.
    """
    if not (repository / "book.yml").exists():
        return {}
    rows = lessons(repository)
    readme, start = repository / "README.md", repository / "notebooks" / f"{rows[0].file}.py"
    able = [f"| [{row.title}](notebooks/{row.file}.ipynb) | {row.able} |" for row in rows]
    asks = [f"| [{row.title}]({row.file}.ipynb) | {row.asks} |" for row in rows[1:]]
    return {
        readme: filled(readme.read_text(encoding="utf-8"), "| lesson | you leave able to |", able),
        start: filled(start.read_text(encoding="utf-8"), "| lesson | the question |", asks),
    }
