"""Guesses and quizzes on a page: their cells show what they ask, without the code that asks it.

A quotation that begins with "Guess first" becomes the panel that asks before the lesson answers.
"""

from docutils import nodes
from sphinx.application import Sphinx

OPENING = "Guess first"
ASKING = {"tag_guess", "tag_quiz"}


def mark(app: Sphinx, doctree: nodes.document) -> None:
    """Give such quotations their class; the words that open them become the panel's label."""
    for quote in doctree.findall(nodes.block_quote):
        if not quote.astext().startswith(OPENING):
            continue
        quote["classes"].append("moe-guess")
        label = next(iter(quote.findall(nodes.strong)), None)
        if label is not None and label.astext().startswith(OPENING):
            label.children = [nodes.Text(label.astext().rstrip(":."))]
            label["classes"].append("moe-label")


def hide_code(app: Sphinx, doctree: nodes.document) -> None:
    """Take the code out of cells that a lesson tags as a guess or a quiz."""
    for part in list(doctree.findall(nodes.container)):
        if "cell_input" in part["classes"] and ASKING & set(part.parent["classes"]):
            part.parent.remove(part)


def setup(app: Sphinx) -> None:
    """Register it."""
    app.connect("doctree-read", mark)
    app.connect("doctree-read", hide_code)
