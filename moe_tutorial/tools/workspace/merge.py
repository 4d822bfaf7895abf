"""Merge a learner's notebook with the course's new version of it, without losing any of the learner's work.

- An answer goes into the exercise with the same id.
- A cell that the learner added goes below the course's cell that it followed.
- Another course cell that the learner changed keeps the change if the course's text is the same as before. If both
  changed, the new text is used, and the learner's goes below it as Markdown, which Run All cannot fail on.
"""

import copy
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches
from itertools import takewhile
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from moe_tutorial.tools.workspace.copies import MARK, text_digest

ALIKE = 0.5  # least similarity (0 to 1) at which one cell counts as the other's new version


@dataclass
class Merged:
    """The new notebook, and what became of the learner's work."""

    notebook: NotebookNode
    answers: list[str] = field(default_factory=list)  # the ids of exercises that have the learner's answer
    own: int = 0  # cells that the learner added
    changed: int = 0  # the course's cells that keep the learner's change
    beside: int = 0  # changed cells whose old text is kept below the new one


class Cell(NamedTuple):
    """A cell of a learner's notebook, and what its mark says."""

    cell: NotebookNode
    id: str | None  # of the course's cell, or None for a cell that the learner added
    given: str | None  # the digest of the text that the course gave

    @property
    def touched(self) -> bool:
        """Whether the learner changed or added it."""
        return text_digest(self.cell) != self.given


def parse_cells(notebook: NotebookNode) -> list[Cell]:
    """The cells of a learner's notebook.

    If two cells have the same id (JupyterLab copies metadata when it splits a cell), the first is the course's and the
    second the learner's own. Empty cells of the learner's are left out: JupyterLab adds some by itself.
    """
    cells, seen = [], set()
    for cell in notebook.cells:
        mark = cell.metadata.get(MARK)
        id = mark.get("id") if isinstance(mark, dict) else None
        if id is not None and id not in seen:
            seen.add(id)
            cells.append(Cell(cell, id, mark.get("given")))
        elif cell.source.strip():
            cells.append(Cell(cell, None, None))
    return cells


def ids(notebook: NotebookNode) -> set[str]:
    """The ids of the course's cells in a notebook."""
    return {each.id for each in parse_cells(notebook) if each.id}


def exercises(notebook: NotebookNode) -> list[str]:
    """The ids of the exercises in a notebook, in order."""
    marked = [cell.metadata for cell in notebook.cells if MARK in cell.metadata]
    return [mark[MARK]["id"] for mark in marked if mark.get("nbgrader", {}).get("solution")]


def answers(notebook: NotebookNode) -> dict[str, str]:
    """The learner's answers in a notebook: exercise id -> source."""
    asked = set(exercises(notebook))
    return {each.id: each.cell.source for each in parse_cells(notebook) if each.id in asked and each.touched}


def untouched(notebook: NotebookNode) -> bool:
    """Whether the learner changed nothing in a notebook. Outputs do not count."""
    return not any(each.touched for each in parse_cells(notebook))


def divided(notebook: NotebookNode, lessons: list[NotebookNode]) -> list[NotebookNode]:
    """Split a learner's notebook into one part for each of the lessons that replace it.

    A part has the cells that its lesson has now, those similar to one there, and the cells that follow either.
    """
    parts, here = [nbformat.from_dict(notebook | {"cells": []}) for _ in lessons], 0
    known = {id: number for number, lesson in enumerate(lessons) for id in ids(lesson)}
    texts = {cell.source: number for number, lesson in enumerate(lessons) for cell in lesson.cells}
    for each in parse_cells(notebook):
        if each.id in known:
            here = known[each.id]
        elif each.id:
            here = next((texts[like] for like in get_close_matches(each.cell.source, texts, 1, ALIKE)), here)
        parts[here].cells.append(each.cell if each.id else own(each.cell))
    return parts


def merge(yours: NotebookNode, new: NotebookNode, answered: dict[str, str], elsewhere: set[str], day: str) -> Merged:
    """Merge the learner's notebook ``yours`` into the course's ``new`` version.

    Args:
        yours: the learner's notebook.
        new: the course's new version of it.
        answered: the learner's answers in the whole workspace: exercise id -> source.
        elsewhere: ids of exercises in other lessons of the new course; answers to these are merged there.
        day: the date to print above a learner's text that goes below the course's.
    """
    merged = Merged(copy.deepcopy(new))
    cells = merged.notebook.cells
    places = {cell.metadata[MARK].id: place for place, cell in enumerate(cells)}
    tasks = set(exercises(new))
    for id in tasks & answered.keys():
        cells[places[id]].source = answered[id]
    merged.answers = [id for id in exercises(new) if id in answered]

    below: dict[int, list[NotebookNode]] = {}
    known, place = ids(yours), -1
    for each in parse_cells(yours):
        if each.id in places:
            place = places[each.id]
        elif each.id:
            place = successor(each.cell, cells, place, known)
        if not each.touched or each.id in tasks or each.id in elsewhere:
            continue
        if each.id is None:
            below.setdefault(place, []).append(own(each.cell))
            merged.own += 1
        elif each.id in places and each.given == cells[place].metadata[MARK].given:
            cells[place] = in_place(each.cell, cells[place])
            merged.changed += 1
        else:
            below.setdefault(place, []).append(as_text(each.cell, day))
            merged.beside += 1
    merged.notebook.cells = list(below.get(-1, []))
    for number, cell in enumerate(cells):
        merged.notebook.cells += [cell, *below.get(number, [])]
    dedupe_ids(merged.notebook.cells)
    if "kernelspec" in yours.metadata:  # they may have chosen another kernel
        merged.notebook.metadata.kernelspec = yours.metadata.kernelspec
    return merged


def successor(cell: NotebookNode, cells: list[NotebookNode], place: int, known: set[str]) -> int:
    """The index of the new cell that replaces a cell whose text is no longer in the course.

    Candidates are the new cells after ``place``, up to the next cell that is already ``known``. The first similar one
    is taken, or else the first of the same type, or else ``place``.
    """
    rest = range(place + 1, len(cells))
    new = list(takewhile(lambda number: cells[number].metadata[MARK].id not in known, rest))
    like = (n for n in new if SequenceMatcher(None, cell.source, cells[n].source).ratio() >= ALIKE)
    return next(like, next((n for n in new if cells[n].cell_type == cell.cell_type), place))


def own(cell: NotebookNode) -> NotebookNode:
    """A copy of a learner's own cell, without metadata from the course's cell that it was copied or split from."""
    cell = copy.deepcopy(cell)
    cell.metadata.pop(MARK, None)
    cell.metadata.pop("nbgrader", None)
    return cell


def in_place(cell: NotebookNode, given: NotebookNode) -> NotebookNode:
    """A copy of the learner's version of a cell, without outputs and with the metadata of the course's ``given``."""
    cell = copy.deepcopy(cell)
    cell.metadata = given.metadata
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    return cell


def as_text(cell: NotebookNode, day: str) -> NotebookNode:
    """A Markdown cell that quotes the learner's version of a course cell."""
    text = cell.source if cell.cell_type == "markdown" else f"````python\n{cell.source}\n````"
    kept = new_markdown_cell(f"*What you had here before the update of {day}:*\n\n{text}")
    if "attachments" in cell:
        kept.attachments = copy.deepcopy(cell.attachments)
    return kept


def dedupe_ids(cells: list[NotebookNode]) -> None:
    """Give a new nbformat id to each cell whose id is missing or a duplicate, which nbformat does not allow."""
    seen: set[str] = set()
    for cell in cells:
        if cell.get("id") in seen or "id" not in cell:
            cell.id = nbformat.v4.new_raw_cell().id
        seen.add(cell.id)
