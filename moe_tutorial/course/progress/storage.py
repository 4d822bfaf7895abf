"""Widgets that store a learner's answers: in the workspace, in this kernel, or in a reader's browser."""

import copy
import re
from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import anywidget
import traitlets as t

from moe_tutorial.course.progress.file import progress
from moe_tutorial.show.playground import when_won
from moe_tutorial.show.web import style
from moe_tutorial.study.environment import builds_page

_in_kernel: dict[str, dict[str, Any]] = {}  # kind -> id -> value, used if there is no workspace
when_stored: list[Callable[[], None]] = []  # called after an answer is stored


def answered() -> dict[str, dict[str, Any]]:
    """The stored answers, kind -> id -> value: the workspace's, or without one those given since this kernel started.

    Empty while the site is built.
    """
    if builds_page():
        return {}
    kept = progress()
    return kept.read() if kept else copy.deepcopy(_in_kernel)


def store(kind: str, id: str, value: dict[str, Any]) -> None:
    """Store an answer in the workspace, or without one in this kernel."""
    kept = progress()
    if kept:
        kept.put(kind, id, value)
    else:
        _in_kernel.setdefault(kind, {})[id] = value
    for hear in when_stored:
        hear()


when_won.append(partial(store, "challenge"))


def place() -> str:
    """Where answers are stored: "browser" on a page of the site, otherwise "workspace", or "kernel" without one."""
    return "browser" if builds_page() else "workspace" if progress() else "kernel"


class Asking(anywidget.AnyWidget):
    """Base class of widgets that also have a plain HTML form."""

    _css = style("web/ask/ask.css")
    label = t.Unicode().tag(sync=True)  # the heading
    place = t.Unicode().tag(sync=True)  # from place(), or "page" if the workspace could not be written

    def page(self) -> str:
        """The HTML form, shown until the widget loads and to readers without JavaScript."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**options)
        return data | {"text/html": self.page()}, metadata


class StoredAnswer(Asking):
    """Base class of widgets with one answer, ``stored``, which ``show/web/ask/storage.js`` reads and writes."""

    kind = t.Unicode().tag(sync=True)
    id = t.Unicode().tag(sync=True)
    stored = t.Dict(default_value=None, allow_none=True).tag(sync=True)

    def __init__(self, kind: str, id: str, **traits: Any) -> None:
        stored = answered().get(kind, {}).get(id)
        super().__init__(kind=kind, id=id, place=place(), stored=stored if isinstance(stored, dict) else None, **traits)
        self.observe(self._store, "stored")

    def _store(self, change: dict[str, Any]) -> None:
        try:
            store(self.kind, self.id, change["new"])
        except OSError:  # such as a full disk: the widget then says that nothing is stored
            self.place = "page"


def prose(text: str) -> str:
    """Plain text as HTML: `` `code` `` and ``[a link](https://...)``, as in ``show/web/ask/answers.js``."""
    code = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\[([^\]]+)\]\((https?:[^)\s]+)\)", r'<a href="\2">\1</a>', code)
