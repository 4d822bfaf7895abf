"""An exercise on its page: the stub in sight, and below it, folded, one solution with what its check said."""

from docutils import nodes
from sphinx.application import Sphinx

from moe_tutorial.course.exercises import solved, stub
from moe_tutorial.tools.site.folds import Fold

LABEL = "One solution"


def show_stub(app: Sphinx, doctree: nodes.document) -> None:
    """Put a solution and its check, which stands in the next cell, into a fold below the stub."""
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


def written(cell: nodes.container, how) -> nodes.container:
    """A copy of a cell with its source as this function writes it."""
    copy = cell.deepcopy()
    (block,) = copy.findall(nodes.literal_block)
    block.rawsource = how(block.rawsource)
    block.children = []
    block += nodes.Text(block.rawsource)
    return copy


def setup(app: Sphinx) -> None:
    """Register it."""
    app.connect("doctree-read", show_stub, priority=300)  # before other cells fold
