"""The section Further: the last of its lesson, collapsed in a learner's copy, and asked about by nobody."""

import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from moe_tutorial.course.lesson import Lesson, lesson_files
from moe_tutorial.course.quizzes import questions
from moe_tutorial.tools.workspace.copies import learners_copy

PATHS = lesson_files()
TITLES = re.compile(r"^(#+) (.+)$", re.MULTILINE)


@pytest.fixture(params=PATHS, ids=[path.stem for path in PATHS])
def lesson(request) -> Lesson:
    return Lesson.read(request.param)


def further(lesson):
    """The cells of the section Further, without its title's; none where there is none."""
    begins = [
        n for n, cell in enumerate(lesson.cells) if cell.kind == "markdown" and cell.source.startswith("## Further")
    ]
    return lesson.cells[begins[0] :] if begins else []


def test_it_is_one_section_and_the_last(lesson):
    titles = [TITLES.findall(cell.source) for cell in lesson.cells if cell.kind == "markdown"]
    main = [title for cell in titles for level, title in cell if level == "##"]
    assert all(level == "##" for cell in titles for level, title in cell if title.startswith("Further"))
    assert not any(title.startswith("Further") for title in main[:-1]), main


def test_neither_a_guess_nor_the_quiz_asks_about_it(lesson):
    cells = further(lesson)
    assert not any(cell.ids(asked) for cell in cells for asked in ("guess", "reveal", "quiz"))
    assert all("optional" in cell.tags for cell in cells if "exercise" in cell.tags)
    claims = {id for cell in cells for id in cell.ids("claim")}
    asked = json.dumps(questions.load(lesson.name[:2]))
    assert not claims & set(re.findall(r"\b\d\d\.\d+\b", asked))


def test_a_learners_copy_has_it_collapsed():
    cells = [new_markdown_cell(text) for text in ("# A lesson", "## Recap", "## Further\n\n### More", "### Most")]
    notebook = new_notebook(cells=[*cells, new_code_cell("1")])
    copy = learners_copy(Lesson.of("01_lesson", notebook), nbformat.from_dict(notebook))
    collapsed = ["jp-MarkdownHeadingCollapsed" in cell.metadata for cell in copy.cells]
    assert collapsed == [False, False, True, False, False]
