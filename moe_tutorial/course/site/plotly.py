"""Plotly pictures on the site: the figure's JSON in the page, drawn there by a local plotly.js."""

import html
import json

from docutils import nodes
from myst_nb.core.render import MimeData, MimeRenderPlugin, NbElementRenderer

MIME = "application/vnd.plotly.v1+json"


class PlotlyRenderer(MimeRenderPlugin):
    """MyST-NB finds it through the entry point in pyproject.toml."""

    mime_priority_overrides = [("html", MIME, 1)]  # noqa: RUF012

    @staticmethod
    def handle_mime(renderer: NbElementRenderer, data: MimeData, inline: bool) -> list[nodes.Element] | None:
        """The picture as a labelled box with its data, or None for anything else."""
        if inline or data.mime_type != MIME:
            return None
        figure = data.content if isinstance(data.content, dict) else json.loads(data.string)
        title = figure.get("layout", {}).get("title", {})
        title = title.get("text", "") if isinstance(title, dict) else title
        height = figure.get("layout", {}).get("height", 450)
        payload = json.dumps(figure).replace("</", "<\\/")  # a string in the data must not end the script
        text = (
            f'<div class="moe-plotly" role="group" aria-label="{html.escape(title or "Figure", quote=True)}"'
            f' style="min-height:{height:g}px"><script type="application/json">{payload}</script></div>'
        )
        return [nodes.raw(text=text, format="html", classes=["output"])]
