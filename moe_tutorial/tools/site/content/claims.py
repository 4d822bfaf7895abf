"""Turn claim lines in a lesson's outputs into rows that unfold, and collect all claims on one page with a filter."""

from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from moe_tutorial.show.widgets.claim_box import anchor, box, kinds
from moe_tutorial.show.widgets.claim_list import Measured, listed, summary
from moe_tutorial.study.claims import Claim
from moe_tutorial.tools.notebooks.tables import contents as toc

ALL_CLAIMS = "tag_all-claims"  # the cell that lists all claims in JupyterLab; the site replaces it
KINDS = {
    "holds": "holds here",
    "fails": "fails",
    "elsewhere": "not on this machine",
    "refutes": "refutes a popular belief",
    "timed": "depends on the machine",
}


class ClaimsHere(nodes.General, nodes.Element):
    """Placeholder for the list of all claims, until every page is read."""


def store(env: BuildEnvironment) -> dict[str, list[Claim]]:
    """The claims of each page, stored in Sphinx's environment."""
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
    """Replace each claim line by its row; other lines of the same output stay as they are."""
    for cell in list(doctree.findall(nodes.container)):
        if ALL_CLAIMS in cell["classes"]:
            cell.replace_self(ClaimsHere())
    found: list[Claim] = []
    for block in list(doctree.findall(nodes.literal_block)):
        if "output" not in block["classes"] or " claim " not in block.astext():
            continue
        new: list[nodes.Node] = []
        for part in parts(block.astext()):
            if isinstance(part, Claim):
                found.append(part)
                new.append(nodes.raw("", box(part, address=f"#{anchor(part)}"), format="html"))
            else:
                plain = block.deepcopy()
                plain.rawsource = part.strip("\n")
                plain.children = [nodes.Text(plain.rawsource)]
                new.append(plain)
        block.replace_self(new)
    if found:
        store(app.env)[app.env.docname] = found


def contents(lessons: list[Measured]) -> str:
    """The page's contents: the lessons, and how many claims each has."""
    items = "".join(
        f'<li><a href="#lesson-{lesson.number}">{escape(lesson.title)}</a> <small>{len(lesson.claims)}</small></li>'
        for lesson in lessons
    )
    return f'<nav class="moe-claims-contents" aria-label="Claims by lesson"><ol>{items}</ol></nav>'


def choices(lessons: list[Measured]) -> str:
    """The filter, hidden until ``static/claims.js`` runs. Without JavaScript, all claims are shown."""
    counts = Counter(kind for lesson in lessons for claim in lesson.claims for kind in kinds(claim))
    boxes = "".join(
        f'<label><input type="checkbox" name="{kind}"> {words} <small>{counts[kind]}</small></label>'
        for kind, words in KINDS.items()
        if counts[kind]
    )
    options = "".join(f'<option value="{lesson.number}">{escape(lesson.title)}</option>' for lesson in lessons)
    return (
        '<form class="moe-claims-filter" hidden autocomplete="off" role="search" aria-label="Claims">'
        '<input type="search" name="text" aria-label="Words in a claim" placeholder="Words in a claim, such as dead">'
        f'<select name="lesson" aria-label="Lesson"><option value="">All lessons</option>{options}</select>'
        f'<div>{boxes}</div><p role="status"></p></form>'
    )


def all_claims(lessons: list[Measured]) -> str:
    """The page of all claims: summary, contents, filter and list."""
    figures = summary([claim for lesson in lessons for claim in lesson.claims])
    return figures + contents(lessons) + choices(lessons) + listed(lessons, in_page=True)


def collect(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Fill the page of all claims, lesson by lesson."""
    for place in list(doctree.findall(ClaimsHere)):
        titles = {page["file"]: page.get("title", "") for page in toc(Path(app.srcdir).parent)}
        lessons = [
            Measured(lesson, titles[lesson], app.builder.get_relative_uri(page, lesson), claims)
            for lesson, claims in sorted(store(app.env).items())
        ]
        place.replace_self(nodes.raw("", all_claims(lessons), format="html"))


def add_files(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Add the script to pages with claims, and the style sheet to the page of all claims."""
    body = context.get("body", "")
    if 'class="moe-claim ' in body:
        app.add_js_file("claims.js", priority=900, loading_method="defer")
    if 'class="moe-claims-filter' in body:
        app.add_css_file("claims.css", priority=950)


def forget(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    """Drop the claims of a page that Sphinx is about to read again."""
    store(env).pop(page, None)


def merge(app: Sphinx, env: BuildEnvironment, pages: Any, other: BuildEnvironment) -> None:
    """Merge the claims of pages that another Sphinx process has read."""
    store(env).update(store(other))


def setup(app: Sphinx) -> None:
    """Register this part of the extension with Sphinx."""
    app.add_node(ClaimsHere)
    app.connect("doctree-read", draw)
    app.connect("doctree-resolved", collect)
    app.connect("html-page-context", add_files, priority=900)  # after Jupyter Book's own
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
