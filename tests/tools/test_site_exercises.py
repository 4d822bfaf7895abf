"""What the site shows of an exercise: the stub, and folded below it a solution with what its check said."""

from docutils import nodes
from docutils.utils import new_document
from test_folds import cell

from moe_tutorial.tools.site.content.exercises import show_stub
from moe_tutorial.tools.site.content.folds import Fold

SOLVED = 'def f(x):\n    """Words."""\n    ### BEGIN SOLUTION\n    return x + 1\n    ### END SOLUTION'


def test_the_stub_is_in_sight_and_the_solution_folds_with_its_check():
    page = new_document("a lesson")
    check = cell('f = check("99.f", f)', prints="✓ exercise 99.f: right")
    after = cell("f(1)", prints="2")
    page += nodes.section("", nodes.title("Build it", "Build it"), cell(SOLVED, "exercise"), check, after)
    show_stub(None, page)
    _, shown, fold, last = page.children[0].children
    assert shown.astext() == 'def f(x):\n    """Words."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
    (block,) = shown.findall(nodes.literal_block)
    assert block.rawsource == block.astext()  # Sphinx colours the one only where it equals the other
    assert isinstance(fold, Fold)
    assert fold["label"] == "One solution"
    solution, checked = fold.children
    assert solution.astext() == 'def f(x):\n    """Words."""\n    return x + 1'
    assert checked.astext() == 'f = check("99.f", f)\n\n✓ exercise 99.f: right'
    assert last.astext() == "f(1)\n\n2"
