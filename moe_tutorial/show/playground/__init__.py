"""The playground: a widget that trains a mixture of experts or a tree in the page.

The page's data, models, backward passes and pictures are JavaScript (the files in ``playground/``). This module checks
the experiment that a notebook asks for.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets as t

from moe_tutorial.show.arrays import extent_of, labels_of, parts_of, points_of
from moe_tutorial.show.web import bundle, read, style
from moe_tutorial.study.environment import builds_page, interactive

MAX_STEPS = 1_000_000
"""Maximum steps that an experiment trains when it is opened."""

_table = json.loads(read("playground/experiment/experiment.json"))
SETTINGS: dict[str, dict[str, Any]] = _table["settings"]
"""The settings of an experiment, from the table that the page reads, too."""
PRESETS: dict[str, str] = {preset["id"]: preset["kind"] for preset in _table["presets"]}
"""Name of a preset experiment -> the kind of layer that it trains."""
KINDS = tuple(dict.fromkeys(PRESETS.values()))


when_won: list[Callable[[str, dict[str, Any]], None]] = []
"""Called with a challenge's id, such as "06.seven", and ``{"won": step, "score": score}`` when it is won."""


class Playground(anywidget.AnyWidget):
    """The widget behind `playground`.

    Attributes:
        state: the current experiment as a plain dict; ``playground(**widget.state)`` opens it again.
    """

    _esm = bundle("playground/page.js")
    _css = style("playground/panels/playground.css")
    script = t.Unicode(read("playground/pytorch.py")).tag(sync=True)  # a run as a PyTorch script
    options = t.Dict().tag(sync=True)
    state = t.Dict().tag(sync=True)
    won = t.Dict().tag(sync=True)  # the challenge that was won here

    @t.observe("won")
    def _tell(self, change: dict[str, Any]) -> None:
        result = dict(change["new"])
        id = result.pop("id")
        for hear in when_won:
            hear(id, result)

    def __repr__(self) -> str:
        trained = "a binary tree" if self.options["settings"]["layer"] == "tree" else "a mixture of experts"
        return f"Playground: {trained} to train in the page (interactive)"


def playground(
    layer: str | None = None,
    data: Any = "regimes",
    preset: str | None = None,
    *,
    steps: int | None = None,
    point: int = 0,
    state: Mapping[str, Any] | None = None,
    out: Sequence[int] = (),
    then: Sequence[Sequence[Any]] = (),
    link: bool = False,
    **settings: Any,
) -> Playground:
    """Train a mixture of experts, or a tree, in the page, with every slider of the course and without a kernel.

    ``playground()`` starts with an untrained mixture, ``playground("tree")`` with a fast feedforward tree,
    ``playground(preset="kill")`` with one of the experiments above the picture, and ``playground(**widget.state)``
    with the state of another playground. A layer of your own is trained by `watch_layer`.

    Args:
        layer: "mixture" (the default) or "tree".
        data: "regimes", "spirals", "checkerboard" or "clusters"; or points of your own in the plane, of up to 10
            classes: a Dataset, or anything with ``x_train``, ``y_train``, ``x_test`` and ``y_test``.
        preset: "rules", "spare", "deaf", "kill", "revive", "penalty" or "hash"; a challenge: "seven", "even" or "few";
            with a tree, "leaves", "mixed" or "one".
        steps: steps trained when it opens; by default 0, or in a challenge those before it begins.
        point: index of the training point that is inspected.
        state: another playground's ``state``, instead of separate arguments; settings change it.
        out: experts of a mixture that are knocked out from the start.
        then: changes during training, as ``(step, setting, value)`` in the order of the steps: a setting that can
            change during training, or "out" or "in" with an expert as its value.
        link: on the site, keep the experiment in the page's URL. At most one playground on a page should do so.
        settings: values that differ from the preset: centred, seed, batch, rate; of a mixture E, k, width, gate, noise,
            balance, coefficient; of a tree depth, leaf_width, hardening, node_balance.
    """
    if state is not None:
        return playground(link=link, **{**state, **settings})
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset is {preset!r}; allowed are {', '.join(PRESETS)}, or None")
    kind = _kind(layer, preset)
    own = None if isinstance(data, str) else _own(data)
    if own is None and (data != "regimes" or preset is None):
        settings = {"data": data, **settings}
    _check(kind, settings)
    if kind == "tree" and out:
        raise ValueError("out is for a mixture's experts; a tree has leaves, which nobody can knock out")
    base = next((known["settings"] for known in _table["presets"] if known["id"] == preset), {})
    experts = (base | settings).get("E", SETTINGS["E"]["default"])
    _number("steps", 0 if steps is None else steps, 0, MAX_STEPS)
    _number("point", point, 0, 1_000_000)
    for expert in out:
        _number("out", expert, 0, experts - 1)
    if len(set(out)) >= experts:
        raise ValueError(f"out is {list(out)}; one of the {experts} experts has to stay")
    _check_changes(kind, base | settings, then)
    return Playground(
        options={
            "preset": preset,
            "settings": {"layer": kind, **settings},
            "steps": steps,
            "point": point,
            "out": list(out),
            "then": [list(change) for change in then],
            "link": link,
            "short": not link and (interactive() or builds_page()),
            "own": own,
        },
    )


def _number(name: str, value: Any, low: float, high: float, whole: bool = True, why: str = "") -> None:
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; allowed are {'whole ' * whole}numbers from {low} to {high}{why}")


def _kind(layer: str | None, preset: str | None) -> str:
    """What is trained: "mixture" or "tree"."""
    if layer is None:
        return PRESETS.get(preset or "", "mixture")
    if not isinstance(layer, str) or layer not in KINDS:
        given = repr(layer) if isinstance(layer, str) else type(layer).__name__
        raise ValueError(f'layer is {given}; allowed are "mixture" and "tree"; watch_layer trains one of your own')
    if preset is not None and PRESETS[preset] != layer:
        raise ValueError(f"preset is {preset!r}, an experiment with a {PRESETS[preset]}, and layer says {layer}")
    return layer


def _check_changes(kind: str, settings: Mapping[str, Any], then: Sequence[Sequence[Any]]) -> None:
    """Check the changes during training: their form, their order, and their settings and values."""
    now, before = dict(settings), 0
    live = [name for name, row in _rows(kind).items() if row["change"] == "live"]
    for change in then:
        if len(change) != 3:
            raise ValueError(f"then holds {change!r}; allowed are (step, setting, value)")
        step, name, value = change
        _number("a step in then", step, before, MAX_STEPS)
        before = step
        if name in ("out", "in") and kind == "mixture":
            _number(f"an expert in then ({name})", value, 0, now.get("E", SETTINGS["E"]["default"]) - 1)
            continue
        if name not in live:
            allowed = ", ".join(live)
            raise ValueError(f"then changes {name!r}, which a {kind} cannot while it trains; allowed are {allowed}")
        now[name] = value
        _check(kind, now)


def _rows(kind: str) -> dict[str, dict[str, Any]]:
    return {name: row for name, row in SETTINGS.items() if row["kind"] in (kind, "both")}


def _check(kind: str, settings: Mapping[str, Any]) -> None:
    """Check settings against the table's limits, as the page does, so that a notebook reports a mistake at once."""
    rows = _rows(kind)
    for name, value in settings.items():
        if name not in rows:
            raise ValueError(f"there is no setting {name!r} for a {kind}; allowed are {', '.join(rows)}")
        row = rows[name]
        if row["type"] in ("choice", "flag"):
            allowed = tuple(row.get("choices", (True, False)))
            if not isinstance(value, str | bool) or value not in allowed:
                raise ValueError(f"{name} is {value!r}; allowed are {', '.join(map(str, allowed))}")
            continue
        (low, high), why = row["range"], ""
        if most := row.get("most"):
            high, why = settings.get(most["of"], rows[most["of"]]["default"]), f", {most['words']}"
        _number(name, value, low, high, row["type"] == "whole", why)


def _own(data: Any) -> dict[str, Any]:
    """Convert the learner's own points to the format that the page reads."""
    x, y, x_test, y_test = parts_of(data, f"a name ({', '.join(SETTINGS['data']['choices'])}), ")
    left, right, bottom, top = extent_of(points_of(x))
    half, across, up = max(right - left, top - bottom) / 2, (left + right) / 2, (bottom + top) / 2
    own: dict[str, Any] = {"classes": 1, "extent": [across - half, across + half, up - half, up + half]}
    for end, points, labels, name in (("", x, y, "regime_train"), ("Test", x_test, y_test, "regime_test")):
        classes = labels_of(labels, points)
        own["classes"] = max(own["classes"], int(classes.max()) + 1)
        own[f"x{end}"] = points_of(points).astype(np.float64).tobytes()
        own[f"y{end}"] = classes.tobytes()
        own[f"regime{end}"] = getattr(data, name, labels).numpy().astype(np.uint8).tobytes()
    return own
