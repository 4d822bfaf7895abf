"""The 404 page. A host shows it for addresses at any depth, so its links are absolute paths."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from sphinx.application import Sphinx

from moe_tutorial.tools.site.content.front_page import cards
from moe_tutorial.tools.site.html.social_meta import address

NAME = "404"
OWN = re.compile(r'\b(href|src|action|data-content_root)="(?!https?:|data:|#|/)(?:\./)?([^"]*)"')
BODY = """<section><h1>There is no page here</h1>
<p>The address may be misspelt, or a lesson has another name now. <a href="search.html">Search the course</a>,
begin at <a href="index.html">the front page</a>, or take a lesson:</p>
{lessons}</section>"""


def page(app: Sphinx) -> list[tuple[str, dict, str]]:
    """The 404 page in the site's layout, with the map of the lessons."""
    body = BODY.format(lessons=cards(Path(app.srcdir).parent))
    return [(NAME, {"title": "There is no page here", "body": body}, "page.html")]


def whole_paths(html: str, root: str) -> str:
    """Make relative links in a page absolute; ``root`` is the path of the site on its host."""
    return OWN.sub(lambda found: f'{found[1]}="{root}{found[2]}"', html)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Make the page's links absolute: below the site's path, or below ``/`` if that is not known."""
    file = Path(app.outdir) / f"{NAME}.html"
    if not exception and file.exists():
        root = urlsplit(address(app)).path or "/"
        file.write_text(whole_paths(file.read_text(encoding="utf-8"), root), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register this part of the extension with Sphinx."""
    app.connect("html-collect-pages", page)
    app.connect("build-finished", finish)  # before its Content-Security-Policy is written
