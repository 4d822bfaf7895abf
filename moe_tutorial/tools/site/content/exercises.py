"""Show an exercise as its stub, with one solution and the check's output in a fold below."""

from collections.abc import Callable

from docutils import nodes
from sphinx.application import Sphinx

from moe_tutorial.course.exercises import solved, stub
from moe_tutorial.tools.site.content.folds import Fold

LABEL = "One solution"


def show_stub(app: Sphinx, doctree: nodes.document) -> None:
    """Replace a solution by its stub, and put the solution and the next cell, its check, into a fold below."""
    cells = [node for node in doctree.findall(nodes.container) if "tag_exercise" in node["classes"]]
    for cell in cells:
        parent = cell.parent
        check = parent[parent.index(cell) + 1]
        fold = Fold(label=LABEL)
        fold += written(cell, solved)
        parent.remove(check)
        fold += check
        parent.insert(parent.index(cell) + 1, fold)
        parent.replace(cell, written(cell, stub))


def written(cell: nodes.container, how: Callable[[str], str]) -> nodes.container:
    """A copy of a cell with ``how(source)`` as its source."""
    copy = cell.deepcopy()
    (block,) = copy.findall(nodes.literal_block)
    block.rawsource = how(block.rawsource)
    block.children = []
    block += nodes.Text(block.rawsource)
    return copy


def setup(app: Sphinx) -> None:
    """Register this part of the extension with Sphinx."""
    app.connect("doctree-read", show_stub, priority=300)  # before other cells fold
