"""Hide the code of cells with guesses and quizzes.

A block quote that begins with "Guess first" becomes a panel.
"""

from docutils import nodes
from sphinx.application import Sphinx

OPENING = "Guess first"
ASKING = {"tag_guess", "tag_quiz"}


def mark(app: Sphinx, doctree: nodes.document) -> None:
    """Give such block quotes their class; their opening words become the panel's label."""
    for quote in doctree.findall(nodes.block_quote):
        if not quote.astext().startswith(OPENING):
            continue
        quote["classes"].append("moe-guess")
        label = next(iter(quote.findall(nodes.strong)), None)
        if label is not None and label.astext().startswith(OPENING):
            label.children = [nodes.Text(label.astext().rstrip(":."))]
            label["classes"].append("moe-label")


def hide_code(app: Sphinx, doctree: nodes.document) -> None:
    """Remove the code of cells that a lesson tags as a guess or a quiz."""
    for part in list(doctree.findall(nodes.container)):
        if "cell_input" in part["classes"] and ASKING & set(part.parent["classes"]):
            part.parent.remove(part)


def setup(app: Sphinx) -> None:
    """Register this part of the extension with Sphinx."""
    app.connect("doctree-read", mark)
    app.connect("doctree-read", hide_code)
