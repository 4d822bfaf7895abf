"""From a lesson as it is written to what a learner gets: the solution cut out of an exercise, and nbgrader's metadata.

An author marks the cell with the tag "exercise" and the solution in it by nbgrader's own marks, and lets a cell with
``check("03.my_mixture", ...)`` follow. That id is permanent: by it an answer is found again when the lesson changes.
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
    """The places of a lesson's exercises, and the id of each: that of the next check.

    Raises:
        CourseError: an exercise is followed by no check of its own, or has no solution to cut out.
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
    """Give exercises and their checks the metadata by which nbgrader releases and grades them, and the tag by which
    Jupyter's Run All goes on where one of them raises.

    Returns the places of these cells and the id of each; a check's is its exercise's with ``.check`` behind it.
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
    """nbgrader's metadata of a cell that is written in, or of one that grades what was written. It allows no dot."""
    kind = {"grade": not solution, "locked": not solution, "solution": solution, "task": False}
    return {"grade_id": id.replace(".", "-"), "schema_version": 3} | kind
