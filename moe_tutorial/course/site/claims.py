"""Claim lines in a lesson's outputs become boxes, and one page collects them all."""

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from moe_tutorial.show.claim_box import anchor, box
from moe_tutorial.study.claims import Claim


class ClaimsHere(nodes.General, nodes.Element):
    """Stands where all claims go, until every page is read."""


class ClaimsDirective(SphinxDirective):
    """``{claims}``: every claim of every lesson."""

    def run(self) -> list[nodes.Node]:
        """Mark the place."""
        return [ClaimsHere()]


def store(env: BuildEnvironment) -> dict[str, list[Claim]]:
    """The claims of each page, kept with Sphinx's environment."""
    if not hasattr(env, "moe_claims"):
        env.moe_claims = {}  # type: ignore[attr-defined]
    return env.moe_claims  # type: ignore[attr-defined]


def parts(text: str) -> list[Claim | str]:
    """An output's claims, and the text between them."""
    found: list[Claim | str] = []
    for line in text.splitlines():
        part = Claim.read(line) or line
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += f"\n{part}"
        else:
            found.append(part)
    return [part for part in found if isinstance(part, Claim) or part.strip()]


def draw(app: Sphinx, doctree: nodes.document) -> None:
    """Replace each claim line by its box; other lines of the same output stay as they are."""
    found: list[Claim] = []
    for block in list(doctree.findall(nodes.literal_block)):
        if "output" not in block["classes"] or " claim " not in block.astext():
            continue
        new: list[nodes.Node] = []
        for part in parts(block.astext()):
            if isinstance(part, Claim):
                found.append(part)
                new.append(nodes.raw("", box(part), format="html"))
            else:
                plain = block.deepcopy()
                plain.rawsource = part.strip("\n")
                plain.children = [nodes.Text(plain.rawsource)]
                new.append(plain)
        block.replace_self(new)
    if found:
        store(app.env)[app.env.docname] = found


def collect(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Fill the page of all claims, lesson by lesson."""
    for place in list(doctree.findall(ClaimsHere)):
        parts = []
        for lesson in sorted(store(app.env)):
            title = escape(app.env.titles[lesson].astext())
            uri = app.builder.get_relative_uri(page, lesson)
            parts.append(f'<h2><a href="{uri}">{lesson[:2]} {title}</a></h2>')
            for claim in store(app.env)[lesson]:
                link = f' <a href="{uri}#{anchor(claim)}">where it is measured</a>'
                parts.append(box(claim, link=link))
        place.replace_self(nodes.raw("", "".join(parts), format="html"))


def forget(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    """Sphinx reads a page anew."""
    store(env).pop(page, None)


def merge(app: Sphinx, env: BuildEnvironment, pages: Any, other: BuildEnvironment) -> None:
    """Sphinx read pages in another process."""
    store(env).update(store(other))


def setup(app: Sphinx) -> None:
    """Register it."""
    app.add_node(ClaimsHere)
    app.add_directive("claims", ClaimsDirective)
    app.connect("doctree-read", draw)
    app.connect("doctree-resolved", collect)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
