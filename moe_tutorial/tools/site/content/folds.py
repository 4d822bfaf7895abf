"""Fold the code of cells that are tagged as measuring, drawing or setting up, below their outputs.

A section whose title begins with "Further" is folded as a whole; the fold's label counts its claims and figures. The
list of things to try is folded, too, since they need JupyterLab.
"""

from html import escape
from itertools import groupby

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from moe_tutorial.study.claims import Claim
from moe_tutorial.tools.site.content.claims import parts

FURTHER = "Further"
TRY = "Try it"
LABELS = {
    frozenset({"setup"}): "Imports and set-up",
    frozenset({"draw"}): "How this is drawn",
    frozenset({"measure"}): "How this was measured",
    frozenset({"measure", "draw"}): "How this was measured and drawn",
    frozenset({"playground"}): "Open the playground here",
    frozenset({"quiz"}): "Test yourself: questions on this lesson",
}
TAGS = frozenset.union(*LABELS)


class Fold(nodes.General, nodes.Element):
    """A ``<details>`` element, which needs no JavaScript, with the summary ``label``."""


def visit(translator: HTML5Translator, node: Fold) -> None:
    """Write the start tag of a closed fold, and its summary."""
    translator.body.append(f'<details class="moe-fold"><summary>{escape(node["label"])}</summary>\n')


def depart(translator: HTML5Translator, node: Fold) -> None:
    """Write the end tag."""
    translator.body.append("</details>\n")


def tags(node: nodes.Node) -> frozenset[str]:
    """The tags of a cell that fold its code; empty for other cells and for other nodes."""
    if not isinstance(node, nodes.container):
        return frozenset()
    return TAGS & {name.removeprefix("tag_") for name in node["classes"] if name.startswith("tag_")}


def kind(node: nodes.Node) -> str:
    """The kind of a folded cell, or "". Neighbours of one kind share a fold; measuring and drawing are one kind."""
    return next(("evidence" if tag in {"measure", "draw"} else tag for tag in tags(node)), "")


def fold_code(parent: nodes.Element) -> None:
    """Put the code of neighbouring cells of one kind into one fold, below their outputs."""
    children: list[nodes.Node] = []
    for name, run in groupby(parent.children, kind):
        cells = list(run)
        if not name:
            children += cells
            continue
        fold = Fold(label=LABELS[frozenset.union(*map(tags, cells))])
        for cell in cells:
            code = cell.children[0]
            cell.remove(code)
            if name == "quiz":  # fold the questions, and drop the code
                fold += cell
                continue
            fold += code
            if name == "playground":  # two screens high, so its output is folded as well
                fold.insert(0, cell)
            elif cell.children:  # it has outputs
                children.append(cell)
        children.append(fold)
    parent.children = []
    parent.extend(children)


def fold_section(section: nodes.section) -> None:
    """Put everything below a section's title into one fold."""
    title, *rest = section.children
    outputs = [block for block in section.findall(nodes.literal_block) if "output" in block["classes"]]
    claims = sum(isinstance(part, Claim) for block in outputs for part in parts(block.astext()))
    figures = sum(box.get("nb_element") == "mime_bundle" for box in section.findall(nodes.container))
    held = [f"{n} {what}{'s' * (n > 1)}" for n, what in ((claims, "claim"), (figures, "figure")) if n]
    fold = Fold(label=f"Open: {', '.join(held) or 'code and its output'}")
    fold.extend(rest)
    section.children = [title]
    section += fold


def fold_list(section: nodes.section) -> None:
    """Put a section's numbered list into a fold."""
    for numbered in [child for child in section.children if isinstance(child, nodes.enumerated_list)]:
        fold = Fold(label=f"{len(numbered)} things to try in JupyterLab")
        numbered.replace_self(fold)
        fold += numbered


def fold(app: Sphinx, doctree: nodes.document) -> None:
    """Fold a page's cells and sections. Claims must still be lines of text."""
    for parent in {id(cell.parent): cell.parent for cell in doctree.findall(tags)}.values():
        fold_code(parent)
    for section in list(doctree.findall(nodes.section)):
        title = section.children[0].astext()
        if title.startswith(FURTHER):
            fold_section(section)
        elif title == TRY:
            fold_list(section)


def setup(app: Sphinx) -> None:
    """Register this part of the extension with Sphinx."""
    app.add_node(Fold, html=(visit, depart))
    app.connect("doctree-read", fold, priority=400)  # before claims become boxes
