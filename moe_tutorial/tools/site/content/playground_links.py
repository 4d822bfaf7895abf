"""Links to a playground experiment: the fragment of ``playground.ipynb#preset=kill`` is a state, not a heading."""

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx


def link(app: Sphinx, doctree: nodes.document) -> None:
    """Turn such links into plain references, before Sphinx looks for a heading of that name."""
    for xref in list(doctree.findall(pending_xref)):
        state: Any = xref.get("reftargetid")
        if xref.get("refdomain") == "doc" and state and "=" in state:
            page = app.builder.get_relative_uri(app.env.docname, xref["reftarget"])
            xref.replace_self(nodes.reference("", "", *xref.children, internal=True, refuri=f"{page}#{state}"))
