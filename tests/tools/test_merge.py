"""Whatever a learner and the course's author do to a lesson, all that either wrote stands in it afterwards, once."""

import nbformat
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from moe_tutorial.course.lesson import Lesson
from moe_tutorial.tools.workspace.copies import learners_copy
from moe_tutorial.tools.workspace.merge import answers, destinations, merge, parse_cells

SOLUTION = "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"
TEXTS = ["# Title", "import math", "Read this.", SOLUTION, 'f = check("01.f", f)', "print(1)", "## Recap"]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["edit", "add", "delete", "move", "split"]), st.integers(0, 99), st.integers(0, 99)),
    max_size=8,
)


def lesson(texts: list[str]) -> nbformat.NotebookNode:
    """A lesson of these cells, as a learner gets it."""
    code = ("import", "def ", "f = ", "print")
    cells = [new_code_cell(text) if text.startswith(code) else new_markdown_cell(text) for text in texts]
    for cell in cells:
        if cell.source == SOLUTION:
            cell.metadata["tags"] = ["exercise"]
    notebook = new_notebook(cells=cells)
    return learners_copy(Lesson.of("01_lesson", notebook), notebook)


def authored(operations: list) -> list[str]:
    """The texts of the course's cells after its author changed it; the exercise and its check stay together."""
    texts = list(TEXTS)
    for number, (what, one, other) in enumerate(operations):
        place, to = one % len(texts), other % len(texts)
        exercise = {texts.index(SOLUTION), texts.index(SOLUTION) + 1}
        if what == "edit" and place not in exercise:
            texts[place] += f" theirs-{number}"
        elif what == "add" and place + 1 not in exercise - {min(exercise)}:
            texts.insert(place + 1, f"theirs-{number}")
        elif what == "delete" and place not in exercise and len(texts) > 3:
            del texts[place]
        elif what == "move" and not exercise & {place, to}:
            texts[place], texts[to] = texts[to], texts[place]
    return texts


def learnt(notebook: nbformat.NotebookNode, operations: list) -> list[str]:
    """Do to the learner's notebook what these say; returns what was written, as far as it still stands there."""
    for number, (what, one, other) in enumerate(operations):
        cells = notebook.cells
        place = one % len(cells)
        if what == "edit":
            cells[place].source = f"mine-{number};"
        elif what == "add":
            cells.insert(place + 1, new_code_cell(f"mine-{number};"))
            if other % 2:
                del cells[place + 1]["id"]  # as Colab leaves it
        elif what == "delete" and len(cells) > 1:
            del cells[place]
        elif what == "move":
            cells.insert(other % len(cells), cells.pop(place))
        elif what == "split":
            half = nbformat.from_dict(cells[place] | {"source": f"mine-{number};", "id": f"half-{number}"})
            cells.insert(place + 1, half)  # with the mark of the whole, as JupyterLab does it
    text = "\n".join(cell.source for cell in notebook.cells)
    return [f"mine-{number};" for number in range(len(operations)) if f"mine-{number};" in text]


@settings(max_examples=150, deadline=None)
@given(OPERATIONS, OPERATIONS)
def test_nothing_is_lost_and_nothing_is_there_twice(by_learner, by_author):
    yours, new = lesson(TEXTS), lesson(authored(by_author))
    written = learnt(yours, by_learner)
    merged = merge(yours, new, answers(yours), set(), "today").notebook
    assert len({cell["id"] for cell in merged.cells}) == len(merged.cells)
    nbformat.validate(merged)
    text = "\n".join(cell.source for cell in merged.cells)
    assert [text.count(piece) for piece in written] == [1] * len(written)
    # The course's cells are there, in its order, but for those that the learner wrote in.
    stands = [cell.source for cell in merged.cells if "moe" in cell.metadata and "mine-" not in cell.source]
    wanted = [cell.source for cell in new.cells]
    assert stands == [source for source in wanted if source in stands]
    assert len(stands) + sum("mine-" in cell.source for cell in merged.cells if "moe" in cell.metadata) == len(wanted)
    again = merge(merged, new, answers(merged), set(), "today").notebook
    assert [cell.source for cell in again.cells] == [cell.source for cell in merged.cells]


def test_a_cell_whose_text_changed_is_known_by_its_first_line_or_by_its_distance_to_the_next():
    yours = lesson(["# Title", "## One\n\nold", "Some text.", "## Recap"])
    new = lesson(["# Title", "New.", "## One\n\nnew", "And new.", "Other text.", "## Recap"])
    found = destinations(parse_cells(yours), new)
    assert [found[each.id] for each in parse_cells(yours)] == [0, 2, 4, 5]
