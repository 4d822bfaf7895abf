"""The 404 page."""

from pathlib import Path

from sphinx.application import Sphinx

from moe_tutorial.tools.site.content.front_page import cards

BODY = """<section><h1>There is no page here</h1>
<p>The address may be misspelt. <a href="search.html">Search the course</a>,
begin at <a href="index.html">the front page</a>, or take a lesson:</p>
{lessons}</section>"""


def page(app: Sphinx) -> list[tuple[str, dict, str]]:
    """The 404 page in the site's layout, with the map of the lessons."""
    body = BODY.format(lessons=cards(Path(app.srcdir).parent))
    return [("404", {"title": "There is no page here", "body": body}, "page.html")]
