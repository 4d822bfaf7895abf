"""A learner's notebook and the course's new version of it become one, in which nothing of the learner's is missing.

- An answer to an exercise goes into the exercise of the same id.
- A cell of their own goes below the course's cell that stood above it.
- A change to another cell of the course stays in its place where the course's text is the same as before. Where that
  has changed as well, the new text stands, and the learner's below it as text: running all cells does not stop there.
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

ALIKE = 0.5  # of their letters, if one cell is the other's new version


@dataclass
class Merged:
    """The new notebook, and what became of the learner's work."""

    notebook: NotebookNode
    answers: list[str] = field(default_factory=list)  # the ids of exercises that have the learner's answer
    own: int = 0  # cells that the learner added
    changed: int = 0  # changed cells of the course that stay in their place
    beside: int = 0  # changed cells of the course that are kept below the new text


class Cell(NamedTuple):
    """A cell of a learner's notebook, and what its mark says."""

    cell: NotebookNode
    id: str | None  # the course's cell that it is, or None for one of the learner's own
    given: str | None  # the digest of its text when it was given

    @property
    def touched(self) -> bool:
        """Whether the learner wrote in it."""
        return text_digest(self.cell) != self.given


def parse_cells(notebook: NotebookNode) -> list[Cell]:
    """The cells of a learner's notebook. Of two cells with one id (JupyterLab copies marks when it splits a cell) the
    first is the course's. Empty cells of their own are left out: JupyterLab adds those by itself."""
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
    """The ids of the course's cells in it."""
    return {each.id for each in parse_cells(notebook) if each.id}


def exercises(notebook: NotebookNode) -> list[str]:
    """The ids of its exercises."""
    marked = [cell.metadata for cell in notebook.cells if MARK in cell.metadata]
    return [mark[MARK]["id"] for mark in marked if mark.get("nbgrader", {}).get("solution")]


def answers(notebook: NotebookNode) -> dict[str, str]:
    """What the learner wrote in its exercises: id -> source."""
    asked = set(exercises(notebook))
    return {each.id: each.cell.source for each in parse_cells(notebook) if each.id in asked and each.touched}


def untouched(notebook: NotebookNode) -> bool:
    """Whether the learner wrote nothing in it; what cells showed when they ran does not count."""
    return not any(each.touched for each in parse_cells(notebook))


def divided(notebook: NotebookNode, lessons: list[NotebookNode]) -> list[NotebookNode]:
    """A learner's notebook, divided as the course divided it: each part has the cells that are in its lesson now, or
    are like one there, and those that stand below them."""
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
    """The course's ``new`` version with what the learner wrote in ``yours``.

    ``answered`` are the learner's answers in the whole workspace; those to exercises ``elsewhere``, in other lessons of
    the new course, go in there. ``day`` is said where the learner's text stands below the course's.
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
    """The place of what stands for a cell whose text is no longer in the course: below ``place`` and before a cell that
    was there already, the first that is like it, or else the first of its type; or ``place``, where there is none."""
    rest = range(place + 1, len(cells))
    new = list(takewhile(lambda number: cells[number].metadata[MARK].id not in known, rest))
    like = (n for n in new if SequenceMatcher(None, cell.source, cells[n].source).ratio() >= ALIKE)
    return next(like, next((n for n in new if cells[n].cell_type == cell.cell_type), place))


def own(cell: NotebookNode) -> NotebookNode:
    """A cell of the learner's without the marks that it may have from being copied or split."""
    cell = copy.deepcopy(cell)
    cell.metadata.pop(MARK, None)
    cell.metadata.pop("nbgrader", None)
    return cell


def in_place(cell: NotebookNode, given: NotebookNode) -> NotebookNode:
    """The learner's version of a cell whose text in the course is as it was."""
    cell = copy.deepcopy(cell)
    cell.metadata = given.metadata
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    return cell


def as_text(cell: NotebookNode, day: str) -> NotebookNode:
    """A changed cell of the course as text of the learner's."""
    text = cell.source if cell.cell_type == "markdown" else f"````python\n{cell.source}\n````"
    kept = new_markdown_cell(f"*What you had here before the update of {day}:*\n\n{text}")
    if "attachments" in cell:
        kept.attachments = copy.deepcopy(cell.attachments)
    return kept


def dedupe_ids(cells: list[NotebookNode]) -> None:
    """Give a cell a new name where two have the same, as a notebook must not have."""
    seen: set[str] = set()
    for cell in cells:
        if cell.get("id") in seen or "id" not in cell:
            cell.id = nbformat.v4.new_raw_cell().id
        seen.add(cell.id)
