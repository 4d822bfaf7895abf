"""A guess keeps its secret in every lesson: what stands around it, what answers it, and what the site hides."""

import ast
import json
import re

from moe_tutorial.course.guesses import ID
from moe_tutorial.course.lesson import Cell
from moe_tutorial.course.quizzes import questions
from moe_tutorial.tools.site.content.cells import TITLE, answers

PRINTS = re.compile(r"\bprint\(")


def guesses(lesson):
    """The id of each guess, the number of its cell, and that of its reveal."""
    for number, cell in enumerate(lesson.cells):
        for id in cell.ids("guess"):
            (reveal,) = (n for n, other in enumerate(lesson.cells) if id in other.ids("reveal"))
            yield id, number, reveal


def names(cell):
    """The names that a code cell uses."""
    return {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}


def test_between_a_guess_and_its_reveal_stands_only_what_measures_and_prints_nothing(lesson):
    imports = [node for cell in lesson.cells if cell.kind == "code" for node in ast.parse(cell.source).body]
    imports = [node for node in imports if getattr(node, "module", "") == "moe_tutorial.show"]
    drawing = {alias.name for node in imports for alias in node.names}
    learner = {place for task in lesson.tasks for place in (task.place, task.check_place)}
    for id, asked, reveal in guesses(lesson):
        assert asked < reveal
        for number in range(asked + 1, reveal):
            cell, here = lesson.cells[number], f"{id}: {lesson.cells[number].source[:60]}"
            assert cell.kind == "code", here
            assert not {"draw", "nbval-ignore-output"} & set(cell.tags), here
            assert not re.search(r"^\s*claim\(", cell.source, re.MULTILINE), here
            assert number in learner or not PRINTS.search(cell.source), here
            assert not drawing & names(cell), here


def test_a_reveal_says_what_answers_its_guess_from_what_was_measured(lesson):
    for id, _, reveal in guesses(lesson):
        calls = [node for node in ast.walk(ast.parse(lesson.cells[reveal].source)) if isinstance(node, ast.Call)]
        (call,) = (node for node in calls if ast.unparse(node.func) == "reveal")
        says = [keyword.value for keyword in call.keywords if keyword.arg == "says"]
        assert says, id
        assert not isinstance(says[0], ast.Constant), f"{id}: whatever is measured, its reveal says the same"


def test_the_site_hides_a_guesss_answers_by_their_place_and_a_tag_hides_only_what_its_place_does_not(lesson):
    hidden = answers([Cell(cell.kind, cell.source, []) for cell in lesson.cells])
    for id, _, reveal in guesses(lesson):
        assert id in hidden[reveal], f"{id}: its reveal stands in another section"
        assert not any(id in cell.tags for cell in lesson.cells[:reveal]), id
    for cell, by_place in zip(lesson.cells, hidden, strict=True):
        tags = {tag for tag in cell.tags if ID.fullmatch(tag)}
        assert not tags & by_place, f"its place hides it: {cell.source[:60]}"


def test_a_section_ends_where_a_cell_begins(lesson):
    for cell, ids in zip(lesson.cells, answers(lesson.cells), strict=True):
        if ids and cell.kind == "markdown":
            _, *below = cell.source.split("\n")
            assert not any(TITLE.match(line) for line in below), cell.source[:60]


def test_neither_a_guess_nor_the_quiz_asks_about_the_section_further(lesson):
    begins = [number for number, cell in enumerate(lesson.cells) if cell.source.startswith("## Further")]
    further = lesson.cells[begins[0] :] if begins else []
    assert not any(cell.ids(asked) for cell in further for asked in ("guess", "reveal", "quiz"))
    assert all("optional" in cell.tags for cell in further if "exercise" in cell.tags)
    claims = {id for cell in further for id in cell.ids("claim")}
    asked = json.dumps(questions.load(lesson.name[:2]))
    assert not claims & set(re.findall(r"\b\d\d\.\d+\b", asked))
