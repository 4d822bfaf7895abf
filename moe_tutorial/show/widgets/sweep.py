"""Sliders that run your own function: move one, and the page shows what the function returns.

In JupyterLab a move calls the function in the kernel. The website has no kernel, so its build computes every
combination, and the same sliders look the results up.
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any

import anywidget
import traitlets as t

from moe_tutorial.show.web import bundle, style
from moe_tutorial.study.environment import builds_page

MAX_STORED = 400
"""Maximum combinations that the website stores for one sweep."""


class Sweep(anywidget.AnyWidget):
    """The widget behind `sweep`. The page requests one combination at a time and shows only the newest answer."""

    _esm = bundle("web/widgets/sweep.js")
    _css = style("web/widgets/cards.css")
    controls = t.List().tag(sync=True)  # [{"label": str, "values": [str, ...]}, ...]
    stored = t.Dict().tag(sync=True)  # "i,j" -> HTML, known from the start
    wanted = t.List().tag(sync=True)  # the indices of the combination that the page requests
    answer = t.Dict().tag(sync=True)  # {"at": "i,j", "html" or "error": str}

    def __init__(self, fn: Callable[..., str], names: list[str], values: list[list], **traits: Any) -> None:
        self._fn, self._names, self._values = fn, names, values
        self._cache: dict[str, str] = {}
        start = [0] * len(names)
        self._compute(start)
        if builds_page():
            count = prod(map(len, values))
            if count > MAX_STORED:
                raise ValueError(f"controls make {count} combinations; a page holds at most {MAX_STORED}")
            for place in product(*(range(len(each)) for each in values)):
                self._compute(place)
        super().__init__(stored=dict(self._cache), wanted=start, **traits)

    def _compute(self, place: Sequence[int]) -> str:
        key = ",".join(map(str, place))
        if key not in self._cache:
            chosen = {name: values[i] for name, values, i in zip(self._names, self._values, place, strict=True)}
            self._cache[key] = self._fn(**chosen)
        return self._cache[key]

    @t.observe("wanted")
    def _answer(self, change: dict) -> None:
        place = change["new"]
        key = ",".join(map(str, place))
        if change["old"] is t.Undefined or not place:
            return
        try:
            self.answer = {"at": key, "html": self._compute(place)}
        except Exception as error:  # of the learner's function: show its message and go on
            self.answer = {"at": key, "error": f"{type(error).__name__}: {error}"}

    def __repr__(self) -> str:
        return f"Sweep over {', '.join(c['label'] for c in self.controls)} (an interactive picture)"


def sweep(fn: Callable[..., str], **controls: Sequence | tuple[str, Sequence]) -> Sweep:
    """One slider per control, which steps through its values, and below them the HTML that ``fn(**values)`` returns.

    Args:
        fn: takes the controls by name and returns HTML; inline SVG may use the course's ``var(--moe-e0)`` colours.
        controls: ``name=[values]`` or ``name=("label", [values])``; the first values are shown first.

    Example:
        >>> sweep(lambda temperature: f"<p>{temperature}</p>", temperature=("Temperature", [1, 2, 5]))
        Sweep over Temperature (an interactive picture)
    """
    shown, lists = [], []
    for name, control in controls.items():
        label, values = name.replace("_", " "), control
        if isinstance(control, tuple) and len(control) == 2 and isinstance(control[0], str):
            label, values = control
        shown.append({"label": label, "values": [_text(value) for value in values]})
        lists.append([*values])
    return Sweep(fn, list(controls), lists, controls=shown)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
