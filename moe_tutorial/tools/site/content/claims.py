"""The page of all claims, with a filter."""

import re
from collections import Counter
from functools import cache
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from moe_tutorial.show.widgets.claim_box import kinds
from moe_tutorial.show.widgets.claim_list import Measured, listed, stored, summary
from moe_tutorial.tools.notebooks import executed
from moe_tutorial.tools.notebooks.tables import contents as toc

CLAIM = re.compile(r'<section class="moe-claim [^"]*" id="(claim-(\d+)-(\d+))"')
KINDS = {
    "holds": "holds here",
    "fails": "fails",
    "elsewhere": "not on this machine",
    "refutes": "refutes a popular belief",
    "timed": "depends on the machine",
}


@cache
def measured(repository: Path) -> list[Measured]:
    """The claims of every lesson, as they were judged when it was executed for this site."""
    titles = {page["file"]: page.get("title", "") for page in toc(repository)}
    return [
        lesson._replace(title=titles[lesson.file], address=f"{lesson.file}.html")
        for lesson in stored(executed.folder(repository))
        if lesson.file in titles  # the cache also has lessons that were renamed
    ]


def draw(app: Sphinx, doctree: nodes.document) -> None:
    """Replace the cell that lists all claims by their page, and let the search find a lesson's claims by number."""
    for html in list(doctree.findall(nodes.raw)):
        for place, lesson, number in CLAIM.findall(html.astext()):
            names = f"{lesson}.{number}", f"claim {lesson}.{number}"
            entries = [("single", name, place, "main", None) for name in names]
            html.parent.insert(0, addnodes.index(entries=entries))
    for cell in list(doctree.findall(nodes.container)):
        if "tag_all-claims" in cell["classes"]:
            lessons = measured(Path(app.srcdir).parent)
            cell.replace_self(nodes.raw("", all_claims(lessons), format="html"))


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
    """The page of all claims: summary, filter and list."""
    figures = summary([claim for lesson in lessons for claim in lesson.claims])
    return figures + choices(lessons) + listed(lessons, in_page=True)
