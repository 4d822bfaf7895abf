"""The Sphinx extension of the website.

Every page loads its scripts, fonts and styles from the site itself, so that it works offline and from a folder.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from moe_tutorial.show import look
from moe_tutorial.show.web import read
from moe_tutorial.tools.site import repository
from moe_tutorial.tools.site.content import (
    cells,
    claims,
    front_page,
    glossary,
    katex,
    playground_links,
    sources,
)
from moe_tutorial.tools.site.html import not_found, postprocess, social_meta

STATIC = Path(__file__).parent / "static"
# The styles come after the theme's. postprocess.py removes those styles and scripts that a page does not use.
STYLES = ("moe/look.css", "katex/katex.min.css", "site.css", "claims.css")
SCRIPTS = (
    "moe/themes.js",
    "lazy.js",
    "folds.js",
    "terms.js",
    "toc.js",
    "claims.js",
    "search.js",
    "print.js",
    "progress.js",
)


def themes_script() -> str:
    """The colours of both themes, by role and by expert, for the script that recolours plotly pictures."""
    experts = look.LOOK["experts"]
    themes = {
        theme: look.LOOK["color"][theme] | {f"e{expert['id']}": expert[theme]["color"] for expert in experts}
        for theme in ("light", "dark")
    }
    return f"window.moeThemes = {json.dumps(themes)};\n"


def icon() -> str:
    """The page's icon: a token, and the two experts that it is sent to."""
    paths = "".join(
        f'<path d="M8 16L24 {y}" stroke="{look.expert_color(expert)}" stroke-width="4"/>'
        f'<circle cx="25" cy="{y}" r="6" fill="{look.expert_color(expert)}"/>'
        for expert, y in ((0, 8), (1, 24))
    )
    dot = f'<circle cx="7" cy="16" r="5" fill="{look.color("border")}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{paths}{dot}</svg>\n'


def configure(app: Sphinx, config: Any) -> None:
    """Add the assets that `make book` gathered to Sphinx's static files, with the course's styles, icon and colours."""
    assets = Path(app.srcdir).parent / "_build/assets"
    if not (assets / "katex").exists():
        raise ExtensionError("the site's assets are not gathered yet: build it with `make book`")
    made = assets / "moe"
    made.mkdir(exist_ok=True)
    css = look.css() + "".join(map(read, ("web/widgets/claim.css", "web/ask/ask.css", "web/draw/figure.css")))
    (made / "look.css").write_text(css, encoding="utf-8")
    (made / "icon.svg").write_text(icon(), encoding="utf-8")
    (made / "themes.js").write_text(themes_script(), encoding="utf-8")
    # The course as it was committed, for a site without an address on GitHub. Outside a git repository there is none.
    archive = ["git", "archive", "--prefix=moe-course/", "-o", made / "course.zip", "HEAD"]
    subprocess.run(archive, cwd=Path(app.srcdir).parent, capture_output=True, check=False)
    # The assets keep their folder structure in _static, so that KaTeX's style sheet finds its fonts.
    config.html_static_path += [str(assets), str(STATIC)]
    config.html_favicon = str(made / "icon.svg")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension's parts with Sphinx, which calls them in this order."""
    app.connect("config-inited", configure)
    app.connect("config-inited", repository.add_buttons)
    app.connect("config-inited", social_meta.draw_card)
    for style in STYLES:
        app.add_css_file(style, priority=900)
    for script in SCRIPTS:
        app.add_js_file(script, priority=900)
    app.add_js_file("veil.js", priority=100)  # it reads what sphinx_highlight.js removes
    app.add_directive("hero", front_page.Hero)
    app.add_directive("lessons", front_page.Lessons)
    app.add_directive("measured", front_page.Measured)
    app.add_directive("run", front_page.Run)
    app.add_directive("sources", sources.Sources)
    app.add_node(cells.Fold, html=(cells.visit_fold, cells.depart_fold))
    app.add_html_math_renderer("katex", (katex.visit, None), (katex.visit, None))
    app.connect("source-read", cells.veil_text)
    app.connect("doctree-read", cells.fold, priority=400)  # before Sphinx collects the table of contents
    for change in (claims.draw, playground_links.link, glossary.link, front_page.link_run):
        app.connect("doctree-read", change)
    for change in (social_meta.add_tags, repository.change_buttons):
        app.connect("html-page-context", change, priority=900)  # after the theme's own
    app.connect("html-collect-pages", not_found.page)
    app.connect("build-finished", postprocess.edit_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
