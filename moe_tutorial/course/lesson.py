"""The course's files, and a lesson's contents.

A :class:`Lesson` is parsed from its source, a ``.py`` in Jupytext's percent format, or from a notebook. Jupytext itself
takes over a second to import, and every kernel with an exercise would wait for it.
"""

import json
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from moe_tutorial.course import CourseError

REPOSITORY = Path(__file__).resolve().parents[2]
CARRIED = Path(__file__).parent / "notebooks"  # the lessons of an installed course, copied by setup.py

CELL = re.compile(r"^# %%(.*)\n", re.MULTILINE)
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION\n?", re.MULTILINE | re.DOTALL)
OPENING = re.compile(r"# [^\n]+\n\n(\d+) minutes\. You leave able to (.+?)\.(?:\n\n|$)", re.DOTALL)
LINK = re.compile(r"\]\((https?://[^)\s]+)\)")


@dataclass(frozen=True)
class Cell:
    """A cell of a lesson; ``kind`` is "code" or "markdown"."""

    kind: str
    source: str
    tags: list[str]

    def ids(self, function: str) -> list[str]:
        """The ids that a code cell passes to ``check``, ``claim``, ``guess`` or ``quiz``."""
        call = rf"""^(?:\w+ = )?{function}\(\s*["']([^"']+)["']"""
        return re.findall(call, self.source, re.MULTILINE) if self.kind == "code" else []


@dataclass(frozen=True)
class Task:
    """An exercise in a lesson: its permanent id and its cell, which has the solution between nbgrader's markers."""

    id: str
    cell: str
    place: int  # the cell's index in the lesson
    check_place: int  # the index of the cell that checks it

    @property
    def name(self) -> str:
        """The function that the learner writes."""
        return self.id.partition(".")[2]

    @property
    def stub(self) -> str:
        """The cell as a learner gets it, with nbgrader's placeholder instead of the solution."""
        return stub(self.cell)

    @property
    def parts(self) -> tuple[str, list[tuple[str, int]], str]:
        """The lines above the solution, the solution's lines with their indentation, and the lines below it."""
        cell = _ended(self.cell)
        found = SOLUTION.search(cell)
        lines = [line.partition("  # ")[0] for line in textwrap.dedent(found[2]).splitlines() if line.strip()]
        indented = [(line.strip(), (len(line) - len(line.lstrip())) // 4) for line in lines]
        return cell[: found.start()].rstrip("\n"), indented, cell[found.end() :].strip("\n")

    @property
    def solution(self) -> str:
        """The cell with the solution, without nbgrader's markers."""
        return solved(self.cell)


@dataclass(frozen=True)
class Lesson:
    """A lesson's name, such as "03_router", and its cells."""

    name: str
    cells: list[Cell]

    @classmethod
    def read(cls, path: Path) -> "Lesson":
        """Parse a lesson's ``.py``."""
        _, *parts = CELL.split(path.read_text(encoding="utf-8"))
        return cls(path.stem, [_cell(head, text) for head, text in zip(parts[::2], parts[1::2], strict=True)])

    @classmethod
    def of(cls, name: str, notebook: Any) -> "Lesson":
        """The lesson in a notebook read by nbformat or Jupytext."""
        return cls(name, notebook_cells(notebook.cells))

    @cached_property
    def tasks(self) -> list[Task]:
        """The exercises: cells with the tag "exercise". The next code cell checks it.

        Raises:
            CourseError: an exercise has no solution markers, or the next code cell does not check it.
        """
        found = []
        for place, cell in enumerate(self.cells):
            if "exercise" not in cell.tags:
                continue
            here = f"{self.name}, cell {place}"
            if not SOLUTION.search(cell.source + "\n"):
                raise CourseError(f"{here}: an exercise needs ### BEGIN SOLUTION and ### END SOLUTION")
            below = range(place + 1, len(self.cells))
            check = next((number for number in below if self.cells[number].kind == "code"), place)
            ids = self.cells[check].ids("check")
            if not ids:
                raise CourseError(f'{here}: no check("...") follows this exercise')
            found.append(Task(ids[0], cell.source, place, check))
        return found

    @property
    def asked(self) -> dict[str, list[str]]:
        """The ids of what a learner is asked: kind ("exercise", "guess", "quiz", "detective") -> ids."""
        asked = {kind: [id for cell in self.cells for id in cell.ids(kind)] for kind in ("guess", "quiz", "detective")}
        return {"exercise": [task.id for task in self.tasks]} | asked

    @property
    def title(self) -> str:
        """Its heading, such as "03 The router": the first line of its first cell."""
        return self.cells[0].source.partition("\n")[0].removeprefix("# ")

    @property
    def minutes(self) -> int:
        """How long the lesson takes, by its first cell."""
        return int(self._opening[1])

    @property
    def able(self) -> str:
        """What a learner is able to do afterwards, by its first cell: the end of "You leave able to"."""
        return " ".join(self._opening[2].split())

    @property
    def _opening(self) -> re.Match:
        opening = OPENING.match(self.cells[0].source)
        if not opening:
            raise CourseError(f'{self.name}.py must open with its title and "NN minutes. You leave able to ..."')
        return opening

    @property
    def links(self) -> set[str]:
        """The addresses outside the course that it links to, in text or in what a reveal says."""
        text = " ".join(cell.source for cell in self.cells)
        return set(LINK.findall(text.replace("\n", " ")))


def stub(cell: str) -> str:
    """A cell with nbgrader's placeholder instead of each solution."""
    return SOLUTION.sub(r"\1# YOUR CODE HERE\n\1raise NotImplementedError()\n", _ended(cell)).rstrip("\n")


def solved(cell: str) -> str:
    """A cell with its solution, without nbgrader's markers."""
    return SOLUTION.sub(r"\2", _ended(cell)).rstrip("\n")


def notebook_cells(cells: Iterable[Any]) -> list[Cell]:
    """The cells of a notebook read by nbformat or Jupytext, without outputs."""
    return [Cell(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in cells]


def lesson_files(folder: Path | None = None, suffix: str = ".py") -> list[Path]:
    """The lessons' files in order, by default those of this course's sources."""
    return sorted((folder or lessons_folder()).glob(f"[0-9][0-9]_*{suffix}"))


def _ended(cell: str) -> str:
    return textwrap.dedent(cell).rstrip("\n") + "\n"


def _cell(head: str, text: str) -> Cell:
    tags = re.search(r"tags=(\[.*?\])", head)
    kind, source = "code", text.rstrip("\n")
    if "[markdown]" in head:
        kind, source = "markdown", re.sub("^# ?", "", source, flags=re.MULTILINE)
    return Cell(kind, source, json.loads(tags[1]) if tags else [])


def lessons_folder() -> Path:
    """The lessons' folder: beside this module in an installed course, ``notebooks/`` in the repository."""
    return CARRIED if CARRIED.is_dir() else REPOSITORY / "notebooks"


def contents_folder() -> Path:
    """The folder of ``book.yml``, the course's table of contents."""
    return CARRIED if CARRIED.is_dir() else REPOSITORY


def repository() -> Path:
    """The repository, for contributors' commands.

    Raises:
        CourseError: the course was installed without one.
    """
    if not (REPOSITORY / "book.yml").exists():
        raise CourseError("this is done in the course's repository, and here the course is installed without it")
    return REPOSITORY
