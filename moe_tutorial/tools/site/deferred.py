"""A page shows itself when its styles are there: its scripts come after, and those of the search where one searches.

The theme of Sphinx has most of them stop the page until they have run.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

STOPS = re.compile(r"<script (?=[^>]*\bsrc=)(?![^>]*\b(?:defer|async)\b)(?![^>]*documentation_options)")
AHEAD = re.compile(r'<link rel="preload" as="script"[^>]*>\n?')
SEARCHES = re.compile(r'<script[^>]*src="(?:_static/searchtools|_static/language_data|searchindex)\.js[^>]*></script>')
# The colours of a first visit, which the theme's script would set after the first paint: a dark page would flash.
GIVEN = 'dataset.theme = localStorage.getItem("theme") || "auto"'
SYSTEM = 'matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"'


def quicken(html: str, searches: bool = False) -> str:
    """A page's HTML with no script that it would have to wait for, but the few words that others in it build on."""
    html = STOPS.sub("<script defer ", AHEAD.sub("", html)).replace(GIVEN, GIVEN.replace('"auto"', f"({SYSTEM})"))
    return html if searches else SEARCHES.sub("", html)


def rewrite(app: Sphinx, exception: Exception | None) -> None:
    """Every page that was built."""
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).glob("*.html"):
        page.write_text(quicken(page.read_text(encoding="utf-8"), page.stem == "search"), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register it."""
    app.connect("build-finished", rewrite, priority=940)  # before the policy, which knows scripts by their hash
