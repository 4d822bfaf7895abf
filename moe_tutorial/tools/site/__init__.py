"""The Sphinx extension of the website: local assets, the course's look, claim boxes, and plotly pictures.

Every page loads its scripts, fonts and styles from the site itself, so that it works offline and from a folder.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from moe_tutorial.show import look
from moe_tutorial.show.web import read

STATIC = Path(__file__).parent / "static"
PARTS = (
    "content.claims html.deferred content.exercises content.playground_links content.folds content.katex "
    "content.front_page content.guess html.social_meta html.not_found html.redirects content.sources content.glossary "
    "html.repository html.csp"
)
"""The submodules of the extension, in the order in which they are set up."""


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
    (made / "look.css").write_text(
        look.css() + read("web/widgets/claim.css") + read("web/ask/ask.css"), encoding="utf-8"
    )
    (made / "icon.svg").write_text(icon(), encoding="utf-8")
    (made / "themes.js").write_text(themes_script(), encoding="utf-8")
    # The assets keep their folder structure in _static, so that KaTeX's style sheet finds its fonts.
    config.html_static_path += [str(assets), str(STATIC)]
    config.html_context.setdefault("default_mode", "auto")  # the theme follows the reader's system


def finish_head(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Add the scripts and styles that a page uses, and the icon, without which browsers request a missing file."""
    body = context.get("body", "")
    context["metatags"] = context.get("metatags", "") + '<link rel="icon" href="_static/moe/icon.svg" />\n'
    if 'class="math' in body:
        app.add_css_file("katex/katex.min.css", priority=800)
    if 'class="moe-late' in body:
        app.add_js_file("widgets.js", priority=900, loading_method="defer")
    if "<details" in body:
        app.add_js_file("folds.js", priority=900, loading_method="defer")
    if 'class="moe-plotly' in body:
        app.add_js_file("moe/themes.js", priority=150)
        app.add_js_file("plotly-pictures.js", priority=900, loading_method="defer")
    if page == "search":
        app.add_js_file("excerpts.js", priority=300)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    app.connect("config-inited", configure)
    app.connect("html-page-context", finish_head, priority=900)  # after Jupyter Book's own
    app.add_css_file("moe/look.css", priority=800)
    app.add_css_file("site.css", priority=900)
    app.add_js_file("print.js", priority=900, loading_method="defer")
    for part in PARTS.split():
        import_module(f"{__name__}.{part}").setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
