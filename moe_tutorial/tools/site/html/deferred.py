"""Defer the theme's scripts, most of which block rendering, and load the search's scripts on the search page only."""

import re
from pathlib import Path

from sphinx.application import Sphinx

STOPS = re.compile(r"<script (?=[^>]*\bsrc=)(?![^>]*\b(?:defer|async)\b)(?![^>]*documentation_options)")
AHEAD = re.compile(r'<link rel="preload" as="script"[^>]*>\n?')
SEARCHES = re.compile(r'<script[^>]*src="(?:_static/searchtools|_static/language_data|searchindex)\.js[^>]*></script>')
# On a first visit, follow the system's colour scheme at once: the theme's script would do so after the first paint,
# and a dark page would flash.
GIVEN = 'dataset.theme = localStorage.getItem("theme") || "auto"'
SYSTEM = 'matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"'


def quicken(html: str, searches: bool = False) -> str:
    """Defer the scripts in a page's HTML, except for documentation_options.js, which inline scripts need.

    Also removes the search's scripts unless ``searches`` is set, and sets the colours of a first visit.
    """
    html = STOPS.sub("<script defer ", AHEAD.sub("", html)).replace(GIVEN, GIVEN.replace('"auto"', f"({SYSTEM})"))
    return html if searches else SEARCHES.sub("", html)


def rewrite(app: Sphinx, exception: Exception | None) -> None:
    """Apply :func:`quicken` to every page."""
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).glob("*.html"):
        page.write_text(quicken(page.read_text(encoding="utf-8"), page.stem == "search"), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register this part of the extension with Sphinx."""
    app.connect("build-finished", rewrite, priority=940)  # before csp.py hashes the inline scripts
