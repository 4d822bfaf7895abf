"""Find a lesson's exercises, and give them and their checks nbgrader's metadata.

An author tags the cell "exercise", puts the solution between nbgrader's markers, and adds a cell with
``check("03.my_mixture", ...)`` below. That id is permanent: it identifies the learner's answer when the lesson changes.
"""

import re

from nbformat import NotebookNode

from moe_tutorial.course import CourseError
from moe_tutorial.course.exercises import SOLUTION

GOES_ON = "raises-exception"
CHECK = re.compile(r"""\bcheck\(\s*["']([^"']+)["']""")


def is_exercise(cell: NotebookNode) -> bool:
    """Whether a learner writes in this cell."""
    return cell.cell_type == "code" and "exercise" in cell.metadata.get("tags", [])


def exercise_ids(cells: list[NotebookNode], name: str) -> dict[int, str]:
    """Cell index of each exercise in a lesson -> its id, which is that of the next check.

    Raises:
        CourseError: an exercise has no check of its own below, or no solution markers.
    """
    found: dict[int, str] = {}
    waiting = None
    for place, cell in enumerate(cells):
        if is_exercise(cell):
            if waiting is not None:
                break
            if not SOLUTION.search(cell.source):
                raise CourseError(f"{name}, cell {place}: an exercise needs ### BEGIN SOLUTION and ### END SOLUTION")
            waiting = place
        elif waiting is not None and cell.cell_type == "code" and (check := CHECK.search(cell.source)):
            found[waiting], waiting = check[1], None
    if waiting is not None:
        raise CourseError(f'{name}, cell {waiting}: no check("...") follows this exercise')
    return found


def add_nbgrader(cells: list[NotebookNode], name: str) -> dict[int, str]:
    """Give exercises and their checks the metadata with which nbgrader releases and grades them.

    They also get the tag "raises-exception": Jupyter's Run All then continues after an error in one of them.

    Returns the index of each of these cells -> its id; a check's id is that of its exercise with ``.check`` appended.
    """
    ids = exercise_ids(cells, name)
    for place, id in ids.items():
        cells[place].metadata["nbgrader"] = nbgrader(id, solution=True)
    asked = set(ids.values())
    for place, cell in enumerate(cells):
        if cell.cell_type == "code" and (check := CHECK.search(cell.source)) and check[1] in asked:
            ids[place] = f"{check[1]}.check"
            cell.metadata["nbgrader"] = nbgrader(ids[place], solution=False) | {"points": 1}
    for place in ids:
        cells[place].metadata["tags"] = [*cells[place].metadata.get("tags", []), GOES_ON]
    return ids


def nbgrader(id: str, solution: bool) -> dict:
    """nbgrader's metadata of an answer's cell, or of a cell that grades it. nbgrader allows no dot in an id."""
    kind = {"grade": not solution, "locked": not solution, "solution": solution, "task": False}
    return {"grade_id": id.replace(".", "-"), "schema_version": 3} | kind
