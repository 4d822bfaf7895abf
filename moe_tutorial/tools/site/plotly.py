"""Plotly pictures on the site: the figure's JSON in the page, drawn by a local plotly.js when a reader is near."""

import json
from html import escape

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
        return [nodes.raw(text=box(figure), format="html", classes=["output"])]


def box(figure: dict) -> str:
    """A figure of ``show.explorable``: its words, and room as high as the picture, which holds the text alternative.

    Raises ValueError where it is another figure.

    Title and note leave plotly's layout, since it does not break lines; so the room does not change with the width.
    """
    words, layout = figure["layout"].get("meta"), dict(figure["layout"])
    if not words:
        raise ValueError("a plotly figure has no text alternative; on the site, allowed are those of show.explorable")
    del layout["title"], layout["meta"]
    layout |= {"height": words["height"], "margin": layout["margin"] | {"t": 8}}
    layout |= {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    payload = json.dumps({"data": figure["data"], "layout": layout}).replace("</", "<\\/")  # must not end the script
    return (
        f'<div class="moe-plotly" role="group" aria-label="{escape(words["title"])}">'
        f'<p class="moe-title">{escape(words["title"])}</p><p class="moe-note">{escape(words["note"])}</p>'
        f'<div class="moe-room" style="height:{words["height"]:g}px"><p class="moe-alt">{escape(words["alt"])}</p>'
        f'<div class="moe-plot"></div></div><script type="application/json">{payload}</script></div>'
    )
