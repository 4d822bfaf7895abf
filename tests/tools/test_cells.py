"""What a lesson's tags hide and fold on the site, and that the lessons are tagged."""

import ast
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document

from moe_tutorial.course.lesson import Cell, Lesson
from moe_tutorial.show.widgets.claim_box import box
from moe_tutorial.study.claims import Claim
from moe_tutorial.study.estimates import estimate
from moe_tutorial.tools.site.content.cells import CODE, LABELS, Fold, answers, fold, veil_text

ROOT = Path(__file__).parents[2]
PAGES = [Lesson.read(path) for path in sorted((ROOT / "notebooks").glob("*.py"))]
SOLVED = 'def f(x):\n    """Words."""\n    ### BEGIN SOLUTION\n    return x + 1\n    ### END SOLUTION'


def cell(code, *tags, prints="", shows=()):
    """A code cell as MyST-NB makes it; ``shows`` is the HTML of its displayed outputs."""
    made = nodes.container("", classes=["cell", *(f"tag_{tag}" for tag in tags)], nb_element="cell_code")
    source = nodes.literal_block(code, code)
    made += nodes.container("", source, classes=["cell_input"], nb_element="cell_code_source")
    if prints:
        output = nodes.literal_block(prints, prints, classes=["output", "stream"])
        made += nodes.container("", output, nb_element="cell_code_output")
    if shows:
        bundles = [nodes.container("", nodes.raw("", html), nb_element="mime_bundle") for html in shows]
        made += nodes.container("", *bundles, nb_element="cell_code_output")
    return made


def folded(*children, title="Measure it"):
    """A section with these children, after folding: its children below the title."""
    page = new_document("a lesson")
    page += nodes.section("", nodes.title(title, title), *children)
    fold(SimpleNamespace(srcdir=ROOT / "notebooks"), page)
    return page.children[0].children[1:]


def test_what_is_true_has_a_tick():
    (shown,) = folded(cell("compare()", prints="same choice: True\n  rows equal:   True\nTrue: 3\nmore even: False"))
    assert shown.astext() == "compare()\n\n✓ same choice\n  ✓ rows equal\nTrue: 3\nmore even: False"


ORDER = [
    Cell("markdown", "## Guess\n\nA question.", []),
    Cell("code", 'guess("03.order", "How much?")', []),
    Cell("code", "moved = 0", []),
    Cell("code", 'reveal("03.order", moved)', []),
    Cell("markdown", "### Nine\n\nof ten.", []),
    Cell("code", 'guess("03.more", "How many?")', []),
    Cell("markdown", "Ten", []),
    Cell("markdown", "## The end\n\nAll is said.", []),
    Cell("code", "print(moved)", ["measure", "03.order"]),
    Cell("code", 'quiz("03")', []),
]


def test_a_guess_is_answered_from_it_to_the_end_of_its_section_and_by_what_has_its_id_as_a_tag():
    order, both = {"03.order"}, {"03.order", "03.more"}
    assert answers(ORDER) == [set(), set(), order, order, order, set(), both, set(), order, set()]


def test_text_that_answers_a_guess_is_marked_for_the_veil_below_its_title_and_code_gets_the_id_as_a_tag():
    pages = [{"cell_type": each.kind, "metadata": {"tags": each.tags}, "source": [each.source]} for each in ORDER]
    content = [json.dumps({"cells": pages})]
    veil_text(SimpleNamespace(env=SimpleNamespace(doc2path="{}.ipynb".format)), "03_router", content)
    made = json.loads(content[0])["cells"]
    assert made[4]["source"] == "### Nine\n\n:::{container} moe-veil moe-veil-03-order\nof ten.\n:::"
    assert made[6]["source"] == ":::{container} moe-veil moe-veil-03-more moe-veil-03-order\nTen\n:::"
    assert [each["metadata"]["tags"] for each in made[2:4]] == [["03.order"], ["03.order"]]
    for unchanged in (0, 1, 5, 7, 9):
        assert made[unchanged] == pages[unchanged] | {"source": ORDER[unchanged].source}


def test_a_further_section_folds_whole_and_counts_what_it_holds():
    prose = nodes.paragraph("", "Is it so?")
    claim = box(Claim("02.1", "So", estimate(1.0), holds=True))
    shown = cell("claim()", "measure", prints="2 of 3", shows=[claim, "<figure></figure>", claim])
    (evidence,) = folded(prose, shown, title="Further: is it so?")
    assert [part["label"] for part in evidence.findall(Fold)] == ["Open: 2 claims, 1 figure"]


def test_things_to_try_fold_and_what_stands_beside_them_does_not():
    things = nodes.enumerated_list("", *(nodes.list_item("", nodes.paragraph("", text)) for text in "abc"))
    aim, tries = folded(nodes.paragraph("", "Or press play."), things, title="Try it")
    assert aim.astext() == "Or press play."
    assert tries["label"] == "3 things to try in JupyterLab"
    (recap,) = folded(nodes.bullet_list("", *things.deepcopy().children), title="Recap")
    assert recap["label"] == "3 things to remember"


def test_the_code_of_guesses_and_quizzes_is_left_out():
    asked = cell('guess("02.many", "Which?")', "guess", prints="Which?")
    result = cell('reveal("02.many", 3)', "guess")  # shown in the card of its guess
    guess, quiz = folded(asked, result, cell('quiz("02")', "quiz", prints="Why?"))
    assert guess.astext() == "Which?"
    assert quiz["label"] == "Test yourself: questions on this lesson"
    assert quiz.astext() == "Why?"


def test_an_exercises_stub_is_in_sight_and_the_solution_folds_with_its_check():
    check = cell('f = check("99.f", f)', prints="✓ exercise 99.f: right")
    shown, solution, last = folded(cell(SOLVED, "exercise"), check, cell("f(1)", prints="2"))
    assert shown.astext() == 'def f(x):\n    """Words."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
    (block,) = shown.findall(nodes.literal_block)
    assert block.rawsource == block.astext()  # Sphinx highlights the one only if it equals the other
    assert solution["label"] == "One solution"
    assert solution["classes"] == ["moe-press", "moe-solution"]
    solved, checked = (part.astext() for part in solution.children)
    assert solved == 'def f(x):\n    """Words."""\n    return x + 1'
    assert checked == 'f = check("99.f", f)\n\n✓ exercise 99.f: right'
    assert last.astext() == "f(1)\n\n2"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_lessons_cells_say_what_folds(page):
    folding = CODE | {*LABELS}
    known = folding | {"exercise", "optional", "guess", "all-claims", "nbval-ignore-output", "remove-output"}
    known |= set(page.asked["guess"])
    for cell in page.cells:
        tags = set(cell.tags)
        assert tags <= known, f"{sorted(tags - known)} in {cell.source[:60]}; allowed are {sorted(known)}"
        assert len(tags & folding) <= 1, cell.source[:60]
        if cell.kind == "markdown" and tags:
            assert not re.search(r"\n#", cell.source), "a title cannot stand in what is veiled"
        if cell.kind == "code" and re.search(r"^claim\(", cell.source, re.MULTILINE):
            assert "measure" in tags, f"a claim's code is not tagged: {cell.source[:60]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_learner_is_asked_and_told_is_its_cells_last_expression_for_jupyter_shows_no_other(page):
    for cell in page.cells:
        code = ast.parse(cell.source if cell.kind == "code" else "")
        for call in ast.walk(code):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("guess", "reveal", "quiz"):
                assert getattr(code.body[-1], "value", None) is call, f"not shown: {cell.source}"
                says = [part.value for part in ast.walk(call) if isinstance(part, ast.Constant)]
                markdown = re.compile(r"\*[A-Za-z][^*\n]*\*|^- ", re.MULTILINE)  # which a card does not set
                assert not [text for text in says if isinstance(text, str) and markdown.search(text)]


def test_printed_lines_in_columns_are_a_table_and_sentences_around_them_stay():
    rows = "              total   active\ndense, 8 <n>    610      610\nfour experts  2,440      610"
    (shown,) = folded(cell("count()", "measure", prints=f"k = 1\n{rows}\nAll the same."))
    before, table, after = shown.children[1].children
    assert (before.astext(), after.astext()) == ("k = 1", "All the same.")
    assert '<thead><tr><td></td><th scope="col">total</th><th scope="col">active</th></tr></thead>' in table.astext()
    assert "<tbody><tr><td>dense, 8 &lt;n&gt;</td><td>610</td><td>610</td></tr><tr>" in table.astext()


@pytest.mark.parametrize(
    "prints", ["step   0: 4.7 nats\nstep  50: 2.6 nats", "a   1\nb   2", "[#    ] 1\n[##   ] 2\n[#####] 3"]
)
def test_other_prints_stay_one_block(prints):
    (shown,) = folded(cell("count()", "measure", prints=prints))
    assert [part.astext() for part in shown.children[1].children] == [prints]
