"""Edit every page after Sphinx has written it.

A page loads the files that it uses and no others, and no script blocks its rendering.
"""

import gc
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from sphinx.application import Sphinx

from moe_tutorial.tools.site.content import front_page
from moe_tutorial.tools.site.html.social_meta import address

# Script or style -> the classes, ids and elements of which a page must have one, or else does not load the file.
USED_BY = {
    "katex.min.css": {"math"},
    "lazy.js": {"moe-late", "moe-plotly"},
    "themes.js": {"moe-plotly"},
    "folds.js": {"details", "moe-veil", "moe-how"},
    "veil.js": {"moe-veil"},
    "terms.js": {"moe-term"},
    "toc.js": {"bd-sidebar-primary"},
    "claims.js": {"moe-claim"},
    "progress.js": {"bd-sidebar-primary"},
    "claims.css": {"moe-claims-filter"},
    "searchtools.js": {"search-results"},
    "language_data.js": {"search-results"},
    "searchindex.js": {"search-results"},
    "fontawesome.js": set(),  # site.css has the few icons that are used
}
# site.css shows the page's hidden code while it is on, without JavaScript.
SWITCH = (
    '<label class="moe-switch"><input id="moe-code" type="checkbox" role="switch" autocomplete="off">Show code</label>'
)
# The theme's script sets the colour scheme of a first visit after the first paint, so that a dark page would flash.
FIRST_THEME = '|| "auto"'
SYSTEM_THEME = '|| (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'


def remove_unused(page: BeautifulSoup) -> None:
    """Remove the scripts and styles that a page does not use, and those that it would fetch ahead of the styles."""
    present = set()
    for element in page.find_all(True):
        present |= {element.name, element.get("id"), *element.get("class", [])}
    for asset in page.find_all(["script", "link"]):
        address = asset.get("src") or asset.get("href", "")
        unused = any(file in address and not users & present for file, users in USED_BY.items())
        if unused or asset.get("rel") == ["preload"]:
            asset.decompose()


def defer_scripts(page: BeautifulSoup) -> None:
    """Defer all scripts except documentation_options.js, which inline scripts need."""
    for script in page.find_all("script", src=True, attrs={"async": False}):
        if "documentation_options.js" not in script["src"]:
            script["defer"] = ""


def correct_theme(page: BeautifulSoup) -> None:
    """Follow the reader's colour scheme from the first paint on, and correct the accessibility of the theme's HTML."""
    for script in page.find_all("script", attrs={"data-cfasync": True}):
        mode, theme = script.string.rsplit(FIRST_THEME, 1)
        script.string = mode + SYSTEM_THEME + theme
    for button in page.select(".theme-switch-button"):
        button["aria-label"] = button["data-bs-title"] = "Colour mode: light, dark or auto"
    for sidebar in page.find_all("div", id="pst-primary-sidebar"):
        sidebar.attrs |= {"role": "complementary", "aria-label": "The course"}
    for contents in page.find_all("nav", id="pst-page-toc-nav"):
        contents["id"] = "page-toc"  # toc.js marks the section that is read, in place of the theme's script
    for button in page.find_all("button", title="Search"):
        del button["aria-label"]  # the button's text says more


def make_absolute(page: BeautifulSoup, root: str) -> None:
    """Make relative links absolute; ``root`` is the path of the site on its host."""
    for name in ("href", "src", "action", "data-content_root"):
        for element in page.select(f"[{name}]"):
            if not element[name].startswith(("http:", "https:", "data:", "#", "/")):
                element[name] = root + element[name].removeprefix("./")


def edit_pages(app: Sphinx, exception: Exception | None) -> None:
    """Apply all of these to every page."""
    if exception or app.builder.format != "html":
        return
    of = front_page.to_do(Path(app.srcdir).parent)
    gc.freeze()  # or the garbage collector checks all of Sphinx's objects again and again while pages are parsed
    for file in Path(app.outdir).glob("*.html"):
        page = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        remove_unused(page)
        defer_scripts(page)
        correct_theme(page)
        if page.find(class_="moe-how"):
            page.find(class_="article-header-buttons").insert(0, BeautifulSoup(SWITCH, "html.parser"))
        for link in page.select(".bd-sidebar-primary .toctree-l1 > a"):
            link["data-of"] = of[link.text.strip()[:2]]  # for progress.js
        if file.stem == "404":
            make_absolute(page, urlsplit(address(app)).path or "/")
        file.write_text(str(page), encoding="utf-8")
