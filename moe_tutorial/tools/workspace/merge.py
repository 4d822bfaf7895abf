"""Merge a learner's notebook with the course's new version of it, without losing any of the learner's work.

- An answer goes into the exercise with the same id.
- A cell that the learner added goes below the course's cell that it followed.
- Another course cell that the learner changed keeps the change if the course's text is the same as before. If both
  changed, the new text is used, and the learner's goes below it as Markdown, which Run All cannot fail on.
"""

import copy
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from nbformat.validator import normalize

from moe_tutorial.tools.workspace.copies import MARK, text_digest


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


def places(notebook: NotebookNode) -> dict[str, int]:
    """Id of each course cell in a new lesson -> its index."""
    return {cell.metadata[MARK].id: place for place, cell in enumerate(notebook.cells)}


def divided(notebook: NotebookNode, lessons: list[NotebookNode]) -> list[NotebookNode]:
    """Split a learner's notebook into one part for each of the lessons that replace it.

    A part has the cells that its lesson has now, and the cells that follow them.
    """
    parts, here = [nbformat.from_dict(notebook | {"cells": []}) for _ in lessons], 0
    known = {id: number for number, lesson in enumerate(lessons) for id in places(lesson)}
    for each in parse_cells(notebook):
        here = known.get(each.id, here)
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
    tasks = exercises(new)
    merged.answers = [id for id in tasks if id in answered]
    for id in merged.answers:
        cells[places(new)[id]].source = answered[id]

    below: dict[int, list[NotebookNode]] = defaultdict(list)
    theirs = parse_cells(yours)
    now, place = destinations([each for each in theirs if each.id], new), -1
    for each in theirs:
        place = now.get(each.id, place)
        if not each.touched or each.id in tasks or each.id in elsewhere:
            continue
        if each.id is None:
            below[place].append(own(each.cell))
            merged.own += 1
        elif {"id": each.id, "given": each.given} == cells[place].metadata[MARK]:
            cells[place] = in_place(each.cell, cells[place])
            merged.changed += 1
        else:
            below[place].append(as_text(each.cell, day))
            merged.beside += 1
    whole = list(below[-1])
    for number, cell in enumerate(cells):
        whole += [cell, *below[number]]
    merged.notebook.cells = whole
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names each missing or duplicate cell id that it replaces
        merged.notebook = normalize(merged.notebook)[1]
    for name in ("kernelspec", "widgets"):  # they may have chosen another kernel; their own cells may show widgets
        if name in yours.metadata:
            merged.notebook.metadata[name] = yours.metadata[name]
    return merged


def destinations(given: list[Cell], new: NotebookNode) -> dict[str, int]:
    """Id of each course cell in a learner's notebook -> the index of the new cell that it is now.

    A cell whose text changed is the only new one with the same first line. If there is none, it keeps its distance to
    the next cell that is still there.
    """
    found, known = places(new), {each.id for each in given}
    added: dict[tuple, list[int]] = defaultdict(list)
    for id, place in found.items():
        if id not in known:
            added[first_line(new.cells[place])].append(place)
    for each in given:
        if each.id not in found and len(alike := added[first_line(each.cell)]) == 1:
            found[each.id] = alike.pop()

    place, counted = len(new.cells), {}
    for each in reversed(given):
        place = found.get(each.id, place - 1)
        counted[each.id] = place
    place = -1
    for each in given:  # and it stays below the cell that it followed
        place = found.setdefault(each.id, max(counted[each.id], place))
    return found


def first_line(cell: NotebookNode) -> tuple[str, str]:
    """The type of a cell and the first line of its text."""
    return cell.cell_type, cell.source.strip().partition("\n")[0]


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
