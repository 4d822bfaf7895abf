"""Pictures that are better explored than looked at: hover, zoom, a legend that shows and hides. plotly draws them."""

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from moe_tutorial.show.look import LOOK, color
from moe_tutorial.show.picture import check_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

DRAWN = ("scatter", "bar")
"""Kinds of trace that lessons use; the site serves plotly's basic bundle, which has few others."""


def explorable(
    traces: Sequence[dict[str, Any]], title: str, note: str, *, alt: str, height: int = 400, **layout: Any
) -> "Figure":
    """A plotly figure in the course's look. On the site it is loaded when a reader comes near it.

    Args:
        traces: plotly's traces, of type "scatter" or "bar"; their colours are ``look``'s for the light theme, which
            the site swaps for the dark one's.
        title, note, alt: as in :func:`picture`.
        height: in CSS pixels.
        layout: more of plotly's layout, such as ``xaxis_title="steps"``.

    Raises:
        ValueError: a trace of another type, an empty title or alt, or an argument that plotly does not know.
    """
    import plotly.graph_objects as go  # it takes half a second, and most lessons do without

    check_words(title=title, alt=alt)
    for trace in traces:
        if trace["type"] not in DRAWN:
            raise ValueError(f"type of a trace is {trace['type']!r}; allowed are {', '.join(DRAWN)}")
    figure = go.Figure(traces, plotly_layout(title, note, alt, height))
    return figure.update_layout(**layout)


def scatter(
    x: Iterable[float | None], y: Iterable[float | None], hover: Sequence[str], name: str = "", **more: Any
) -> dict[str, Any]:
    """A trace of marks, or of a line with ``mode="lines"``; each place says its own text, if it has one, on hover.

    A name stands in the legend, and None interrupts a line.
    """
    x, y = ([None if number is None else round(float(number), 4) for number in numbers] for numbers in (x, y))
    words = {"hovertext": hover, "hoverinfo": "text" if hover else "skip", "name": name, "showlegend": bool(name)}
    return {"type": "scatter", "mode": "markers", "x": x, "y": y} | words | more


def plotly_layout(title: str, note: str, alt: str, height: int) -> dict[str, Any]:
    """The course's look as plotly's layout. The site moves title and note above the picture, where lines break."""
    lines = {"title": "<br>".join(wrap(title, 80)), "note": "<br>".join(wrap(note, 110))}
    axis = {"gridcolor": color("line"), "linecolor": color("line"), "showgrid": False, "zeroline": False}
    axis |= {"automargin": True, "title": {"standoff": 8}}
    above = 34 + sum(20 * (1 + text.count("<br>")) for text in lines.values())
    return {
        "template": {"layout": {"xaxis": axis, "yaxis": axis}},
        "title": {
            "text": lines["title"],
            "subtitle": {"text": lines["note"], "font": {"size": 13.5, "color": color("muted")}},
            "font": {"size": 17, "color": color("text")},
            "x": 0,
            "yref": "container",
            "y": 0.97,
            "yanchor": "top",
        },
        "meta": {"title": title, "note": note, "alt": alt, "height": height},
        "height": height + above,
        "margin": {"l": 8, "r": 8, "t": above, "b": 8},
        "font": {"family": LOOK["type"]["family"], "size": 12.5, "color": color("muted")},
        "paper_bgcolor": color("ground"),
        "plot_bgcolor": color("ground"),
        "hoverlabel": {"bgcolor": color("panel"), "bordercolor": color("border"), "font": {"color": color("text")}},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemwidth": 30},
    }


def plotly_slider(label: str, steps: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A slider in the course's look: name of a step -> what it changes of the traces. The last is shown first."""
    return {
        "active": len(steps) - 1,
        "currentvalue": {"prefix": label, "font": {"size": 13.5, "color": color("text")}},
        "steps": [{"label": name, "method": "restyle", "args": [change]} for name, change in steps.items()],
        "bgcolor": color("accent"),
        "activebgcolor": color("accent"),
        "bordercolor": color("line"),
        "tickcolor": color("border"),
        "pad": {"t": 36, "b": 8},
    }
