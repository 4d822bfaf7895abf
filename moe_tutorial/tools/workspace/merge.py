"""Put a learner's work into the course's new version of a lesson.

An answer, finished or not, goes into the exercise with the same id. Cells that the learner added or changed go to the
end of the lesson, in their order.
"""

import copy
import uuid

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from moe_tutorial.tools.nbgrader import clear_outputs
from moe_tutorial.tools.workspace.copies import MARK, text_digest

HEADING = "## Your own cells before the update"


def is_touched(cell: NotebookNode) -> bool:
    """Whether the learner added or changed a cell. Empty cells do not count: JupyterLab adds some by itself."""
    return bool(cell.source.strip()) and text_digest(cell) != cell.metadata.get(MARK, {}).get("given")


def exercise(cell: NotebookNode) -> str | None:
    """The permanent id of an exercise's cell, or None for any other cell."""
    task = cell.metadata.get("nbgrader", {})
    return task["grade_id"] if task.get("solution") else None


def answers(notebook: NotebookNode) -> dict[str, str]:
    """The learner's answers in a notebook: exercise id -> source."""
    found: dict[str, str] = {}
    for cell in notebook.cells:
        if (id := exercise(cell)) and is_touched(cell):
            found.setdefault(id, cell.source)  # a split or copied cell has the same id: the first is the answer
    return found


def merge(yours: NotebookNode, new: NotebookNode, answered: dict[str, str]) -> tuple[NotebookNode, int, int]:
    """The course's new version of a lesson with the learner's work in it.

    Args:
        yours: the learner's notebook.
        new: the course's new version of it.
        answered: the learner's answers: exercise id -> source.

    Returns:
        The merged notebook, without outputs; how many answers are in it; and how many cells stand at its end.
    """
    merged = copy.deepcopy(new)
    placed = [cell for cell in merged.cells if exercise(cell) in answered]
    for cell in placed:
        cell.source = answered[exercise(cell)]
    present = {HEADING, *(cell.source for cell in placed)}
    own = [cell for cell in yours.cells if is_touched(cell) and cell.source not in present]
    if own:
        merged.cells.append(new_markdown_cell(HEADING))
        merged.cells += [nbformat.from_dict(cell | {"id": uuid.uuid4().hex[:8], "metadata": {}}) for cell in own]
        clear_outputs(merged)
    merged.metadata.kernelspec = yours.metadata.get("kernelspec", new.metadata.kernelspec)  # they may have another
    return merged, len(placed), len(own)
