"""The page for an address where nothing stands. It is shown at any depth, so its own links are whole paths."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from sphinx.application import Sphinx

from moe_tutorial.tools.site.front import cards
from moe_tutorial.tools.site.social_meta import address

NAME = "404"
OWN = re.compile(r'\b(href|src|action|data-content_root)="(?!https?:|data:|#|/)(?:\./)?([^"]*)"')
BODY = """<section><h1>There is no page here</h1>
<p>The address may be misspelt, or a lesson has another name now. <a href="search.html">Search the course</a>,
begin at <a href="index.html">the front page</a>, or take a lesson:</p>
{lessons}</section>"""


def page(app: Sphinx) -> list[tuple[str, dict, str]]:
    """The page, in the site's own frame, with the lessons' map."""
    body = BODY.format(lessons=cards(Path(app.srcdir).parent))
    return [(NAME, {"title": "There is no page here", "body": body}, "page.html")]


def whole_paths(html: str, root: str) -> str:
    """The page with links that begin at the host; ``root`` is the path at which the site stands."""
    return OWN.sub(lambda found: f'{found[1]}="{root}{found[2]}"', html)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Rewrite its links: below the site's address, or where that is not known, below the host."""
    file = Path(app.outdir) / f"{NAME}.html"
    if not exception and file.exists():
        root = urlsplit(address(app)).path or "/"
        file.write_text(whole_paths(file.read_text(encoding="utf-8"), root), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register it."""
    app.connect("html-collect-pages", page)
    app.connect("build-finished", finish)  # before its Content-Security-Policy is written
