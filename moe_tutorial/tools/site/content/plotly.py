"""Plotly pictures on the site: the page has the figure's JSON, and plotly.js draws it when it is near the screen."""

import json
from html import escape

MIME = "application/vnd.plotly.v1+json"


def box(figure: dict) -> str:
    """HTML for a figure of ``show.explorable``: title, note, and a box of its height with the text alternative.

    Title and note are taken out of plotly's layout, which does not wrap lines. So the height is the same at any width.

    Raises ValueError for another figure.
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
