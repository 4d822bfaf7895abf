"""What a page does to a widget, for tests without one."""

from collections.abc import Iterable
from typing import Any

from ipywidgets import Widget


def say(widget: Widget, content: dict[str, Any], buffers: Iterable[bytes] = ()) -> None:
    """Send a message to the widget's Python side, as its page would."""
    data = {"method": "custom", "content": content}
    widget.comm.handle_msg({"content": {"data": data}, "buffers": list(buffers)})


def draw_at_once(widget: Widget) -> Widget:
    """A page that draws every frame as soon as it comes, and says so, until the widget is closed."""

    def drawn(change: dict[str, Any]) -> None:
        if widget.comm is not None:
            say(widget, {"seen": change["new"]["number"]})

    widget.observe(drawn, "frame")
    return widget
