"""Edit every page after Sphinx has written it.

A page loads the files that it uses and no others, no script blocks its rendering, and a Content-Security-Policy allows
scripts from the site itself, and inline scripts by their hash.
"""

import base64
import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from sphinx.application import Sphinx

from moe_tutorial.tools.site.html.social_meta import address

# A page loads these scripts and styles if an element matches the selector. Other files stay on every page.
USED_FOR = {
    ".math": ("katex.min.css",),
    ".moe-late, .moe-plotly": ("lazy.js",),
    ".moe-plotly": ("themes.js",),
    "article details": ("folds.js",),
    ".moe-claim": ("claims.js",),
    ".moe-claims-filter": ("claims.css",),
    "#search-results": ("excerpts.js", "searchtools.js", "language_data.js", "searchindex.js"),
}
# The theme's icons, of which site.css has the few that are used, and scripts that it fetches before the styles.
UNUSED = 'script[src*="/fontawesome.js"], link[rel="preload"]'
# The theme's script sets the colour scheme of a first visit after the first paint, so that a dark page would flash.
FIRST_THEME = '|| "auto"'
SYSTEM_THEME = '|| (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'


def remove_unused(page: BeautifulSoup) -> None:
    """Remove the scripts and styles that a page does not use."""
    for asset in page.select(UNUSED):
        asset.decompose()
    for selector, files in USED_FOR.items():
        if not page.select_one(selector):
            for file in files:
                for asset in page.select(f'script[src*="{file}"], link[href*="{file}"]'):
                    asset.decompose()


def defer_scripts(page: BeautifulSoup) -> None:
    """Defer all scripts except documentation_options.js, which inline scripts need."""
    for script in page.select('script[src]:not([async], [src*="documentation_options.js"])'):
        script["defer"] = ""


def correct_theme(page: BeautifulSoup) -> None:
    """Follow the reader's colour scheme from the first paint on, and correct the accessibility of the theme's HTML."""
    for script in page.select("script[data-cfasync]"):
        mode, theme = script.string.rsplit(FIRST_THEME, 1)
        script.string = mode + SYSTEM_THEME + theme
    for sidebar in page.select("#pst-primary-sidebar"):
        sidebar.attrs |= {"role": "complementary", "aria-label": "The course"}
    for button in page.select('button[title="Search"]'):
        del button["aria-label"]  # the button's text says more


def make_absolute(page: BeautifulSoup, root: str) -> None:
    """Make relative links absolute; ``root`` is the path of the site on its host."""
    for name in ("href", "src", "action", "data-content_root"):
        for element in page.select(f"[{name}]"):
            if not element[name].startswith(("http:", "https:", "data:", "#", "/")):
                element[name] = root + element[name].removeprefix("./")


def policy(page: BeautifulSoup) -> str:
    """The Content-Security-Policy of a page."""
    hashes = set()
    for script in page.select('script:not([src], [type="application/json"])'):
        digest = hashlib.sha256(script.string.encode()).digest()
        hashes.add(f"'sha256-{base64.b64encode(digest).decode()}'")
    scripts = " ".join(["'self'", *sorted(hashes)])
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'"
    )


def add_policy(page: BeautifulSoup) -> None:
    """Insert the policy ahead of everything that it governs."""
    meta = page.new_tag("meta", attrs={"http-equiv": "Content-Security-Policy", "content": policy(page)})
    page.select_one("meta[charset]").insert_after("\n", meta)


def edit_pages(app: Sphinx, exception: Exception | None) -> None:
    """Apply all of these to every page."""
    if exception or app.builder.format != "html":
        return
    for file in Path(app.outdir).glob("*.html"):
        page = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        remove_unused(page)
        defer_scripts(page)
        correct_theme(page)
        if file.stem == "404":
            make_absolute(page, urlsplit(address(app)).path or "/")
        add_policy(page)
        file.write_text(str(page), encoding="utf-8")
