"""The Sphinx extension of the website: local assets, the course's look, claim boxes, and plotly pictures.

Every page loads its scripts, fonts and styles from the site itself, so that it works offline and from a folder.
"""

import json
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from moe_tutorial.course.site import claims, experiments, guess, repository
from moe_tutorial.show import look
from moe_tutorial.show.web import read

STATIC = Path(__file__).parent / "static"


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
    """Point Sphinx and MyST-NB to the assets that `make book` gathered beside the pages."""
    assets = Path(app.srcdir).parent / "_build/assets"
    if not (assets / "require.js").exists():
        raise ExtensionError("the site's assets are not gathered yet: build it with `make book`")
    made = assets / "moe"
    made.mkdir(exist_ok=True)
    (made / "look.css").write_text(look.css() + read("web/claim.css"), encoding="utf-8")
    (made / "icon.svg").write_text(icon(), encoding="utf-8")
    (made / "themes.js").write_text(themes_script(), encoding="utf-8")
    # In _static, the assets keep their own folder's shape: MathJax and the widgets find their fonts beside them.
    config.html_static_path += [str(assets), str(STATIC)]
    config.html_context.setdefault("default_mode", "auto")  # the theme follows the reader's system
    config.mathjax_path = "mathjax/tex-mml-chtml.js"
    config.mathjax3_config = {"options": {"enableMenu": False}}
    config.nb_ipywidgets_js = {"require.js": {}, "require-paths.js": {}, "html-manager/embed-amd.js": {}}


def finish_head(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load what draws plotly pictures where a page has some; plotly itself comes when a reader is near one.

    Every page gets the icon: without one, a browser asks for a file that is not there.

    Jupyter Book always adds Thebe, which would run code on another host's server: its scripts are taken out.
    """
    scripts = context["script_files"]
    scripts[:] = [script for script in scripts if "thebe" not in str(script).lower()]
    context["metatags"] = context.get("metatags", "") + '<link rel="icon" href="_static/moe/icon.svg" />\n'
    if 'class="moe-plotly' in context.get("body", ""):
        app.add_js_file("moe/themes.js", priority=150)
        app.add_js_file("plotly-pictures.js", priority=900, loading_method="defer")


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """Send the site's bare address on to the first page, as Jupyter Book would, but with an icon.

    The icon stands in the page itself: a file would be asked for and then dropped, because the reader moves on at once.
    """
    if exception or app.builder.format != "html":
        return
    first = f"{app.config.root_doc}.html"
    (Path(app.outdir) / "index.html").write_text(
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(app.config.html_title)}</title>\n'
        f'<link rel="icon" href="data:image/svg+xml,{quote(icon().strip())}">\n'
        f'<meta http-equiv="refresh" content="0; url={first}">\n<a href="{first}">The course</a>\n</html>\n',
        encoding="utf-8",
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    app.connect("config-inited", configure)
    app.connect("html-page-context", finish_head, priority=900)  # after Jupyter Book's own
    app.connect("build-finished", write_index, priority=400)  # before Jupyter Book's own, which keeps what is there
    app.add_css_file("moe/look.css", priority=800)
    app.add_css_file("site.css", priority=900)
    claims.setup(app)
    experiments.setup(app)
    guess.setup(app)
    repository.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
