"""Interactive plotly pictures: hover texts, zoom, and a legend that shows and hides traces."""

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from moe_tutorial.show.look import LOOK, styled
from moe_tutorial.show.picture import check_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

DRAWN = ("scatter", "bar")
"""Types of trace that lessons use; the site serves plotly's basic bundle, which has few others."""


def explorable(
    traces: Sequence[dict[str, Any]], title: str, note: str, *, alt: str, height: int = 400, **layout: Any
) -> "Figure":
    """A plotly figure in the course's style. The site loads it when a reader scrolls near it.

    Args:
        traces: plotly's traces, of type "scatter" or "bar", in ``look``'s colours for the light theme. The site
            replaces these by the colours for the dark theme.
        title, note, alt: as in :func:`picture`.
        height: in CSS pixels.
        layout: further plotly layout settings, such as ``xaxis_title="steps"``.

    Raises:
        ValueError: a trace of another type, an empty title or alt, or an argument that plotly does not know.
    """
    import plotly.graph_objects as go  # the import takes half a second, and most lessons do not need it

    check_words(title=title, alt=alt)
    for trace in traces:
        if trace["type"] not in DRAWN:
            raise ValueError(f"type of a trace is {trace['type']!r}; allowed are {', '.join(DRAWN)}")
    head, below = "<br>".join(wrap(title, 80)), "<br>".join(wrap(note, 110))
    above = 34 + 20 * (2 + (head + below).count("<br>"))
    axis, base = styled(LOOK["plotly"]["axis"]), styled(LOOK["plotly"]["layout"])
    figure = go.Figure(traces, base | {"template": {"layout": {"xaxis": axis, "yaxis": axis}}})
    # The site moves title and note out of the picture, so that the browser wraps their lines.
    figure.update_layout(title_text=head, title_subtitle_text=below, font_family=LOOK["type"]["family"])
    figure.update_layout(margin_t=above, height=above + height)
    figure.update_layout(meta={"title": title, "note": note, "alt": alt, "height": height})
    return figure.update_layout(**layout)


def scatter(
    x: Iterable[float | None], y: Iterable[float | None], hover: Sequence[str], name: str = "", **more: Any
) -> dict[str, Any]:
    """A scatter trace of markers, or of a line with ``mode="lines"``.

    ``hover`` holds one text per point, or none. A trace with a name appears in the legend. None in ``x`` or ``y``
    interrupts a line.
    """
    x, y = ([None if number is None else round(float(number), 4) for number in numbers] for numbers in (x, y))
    words = {"hovertext": hover, "hoverinfo": "text" if hover else "skip", "name": name, "showlegend": bool(name)}
    return {"type": "scatter", "mode": "markers", "x": x, "y": y} | words | more
