"""A widget's memory of what a learner answered: in their workspace, or in this kernel, or in a reader's browser."""

from html import escape
from typing import Any

import anywidget
import traitlets as t

from moe_tutorial.course.progress import progress
from moe_tutorial.show.web import style
from moe_tutorial.study.watched import builds_page

_in_kernel: dict[str, dict[str, Any]] = {}  # where there is no workspace


def answered() -> dict[str, dict[str, Any]]:
    """What was answered, kind -> id -> value: by this workspace's learner, or else since this kernel started."""
    if builds_page():
        return {}
    kept = progress()
    return kept.read() if kept else _in_kernel


def place() -> str:
    """Where answers are kept: by the "browser" that shows a page, in the "workspace", or in the "kernel" alone."""
    return "browser" if builds_page() else "workspace" if progress() else "kernel"


class Asking(anywidget.AnyWidget):
    """A widget that asks something, and says it in plain HTML, too."""

    _css = style("web/ask.css")
    place = t.Unicode().tag(sync=True)  # as place() says it; or "page", when the workspace could not be written

    def page(self) -> str:
        """HTML that says the same, for a page until the widget comes, and for readers without JavaScript."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**options)
        return data | {"text/html": self.page()}, metadata


class Keeper(Asking):
    """One answer, whose ``kept`` outlives the widget. Its JavaScript reads and writes it (``show/web/kept.js``)."""

    kind = t.Unicode().tag(sync=True)
    id = t.Unicode().tag(sync=True)
    kept = t.Dict(default_value=None, allow_none=True).tag(sync=True)

    def __init__(self, kind: str, id: str, **traits: Any) -> None:
        kept = answered().get(kind, {}).get(id)
        super().__init__(kind=kind, id=id, place=place(), kept=kept if isinstance(kept, dict) else None, **traits)
        self.observe(self._keep, "kept")

    def _keep(self, change: dict[str, Any]) -> None:
        kept = progress()
        if not kept:
            _in_kernel.setdefault(self.kind, {})[self.id] = change["new"]
            return
        try:
            kept.put(self.kind, self.id, change["new"])
        except OSError:  # a full disk, a folder that nobody may write to: the widget says what is true
            self.place = "page"


def prose(text: str) -> str:
    """Plain text as HTML; what stands between backticks is code."""
    return "".join(f"<code>{escape(part)}</code>" if i % 2 else escape(part) for i, part in enumerate(text.split("`")))
