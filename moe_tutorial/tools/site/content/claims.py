"""The page of all claims."""

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from moe_tutorial.show.widgets.claim_list import Measured, listed, stored, summary
from moe_tutorial.tools.notebooks import executed
from moe_tutorial.tools.notebooks.tables import contents as toc

CLAIM = re.compile(r'<section class="moe-claim [^"]*" id="(claim-(\d+)-(\d+))"')


@cache
def measured(repository: Path) -> list[Measured]:
    """The claims of every lesson, as they were judged when it was executed for this site."""
    pages = {page["file"] for page in toc(repository)}
    return [
        lesson._replace(address=f"{lesson.file}.html")
        for lesson in stored(executed.folder(repository))
        if lesson.file in pages  # the cache also has lessons that were renamed
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


def all_claims(lessons: list[Measured]) -> str:
    """The page of all claims: summary, what is shown, by the claims' CSS classes or by words, and list."""
    which = {"": "all claims", "refutes": "refuted beliefs", "timed": "what depends on the machine"}
    options = "".join(f'<option id="{name or "all"}" value="{name}">{words}</option>' for name, words in which.items())
    show = f'<label class="moe-claims-filter">Show <select autocomplete="off">{options}</select></label>'
    show += ' <label class="moe-claims-filter">with the words <input type="search" autocomplete="off"></label>'
    return summary([claim for lesson in lessons for claim in lesson.claims]) + show + listed(lessons, in_page=True)
