"""The playground: a widget that trains a mixture of experts or a tree in the page, or a mixture in the kernel.

The page's data, models, backward passes and pictures are JavaScript (the files in ``playground/``). This module checks
the experiment that a notebook asks for, and prepares a layer of the learner's own.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import traitlets as t
from torch import Tensor, nn

from moe_tutorial.layers import FastFeedForward
from moe_tutorial.show.arrays import MAX_CLASSES, MAX_POINTS, extent_of, labels_of, parts_of, points_of
from moe_tutorial.show.playground.engines.kernel import LOSSES, KernelTraining
from moe_tutorial.show.playground.engines.layer import examine, settings_like
from moe_tutorial.show.web import bundle, read, style
from moe_tutorial.study import regimes_2d
from moe_tutorial.study.environment import builds_page, interactive

RECORDED = 200
"""Steps that a layer is trained which the page cannot train, if it is made without a kernel."""
MAX_STEPS = 1_000_000
"""Maximum steps that an experiment trains when it is opened."""

_table = json.loads(read("playground/experiment/experiment.json"))
SETTINGS: dict[str, dict[str, Any]] = _table["settings"]
"""The settings of an experiment, from the table that the page reads, too."""
PRESETS: dict[str, str] = {preset["id"]: preset["kind"] for preset in _table["presets"]}
"""Name of a preset experiment -> the kind of layer that it trains."""
KINDS = tuple(dict.fromkeys(PRESETS.values()))


class Playground(KernelTraining):
    """The widget behind `playground`.

    Attributes:
        state: the current experiment as a plain dict; ``playground(**widget.state)`` opens it again.
        layer: the learner's own layer, which the kernel trains in place; None if there is none.
        start, pause, advance, reset: methods that train this layer, as the page's buttons do.
        step, running: training steps done in the kernel since the start, and whether it trains in the background.
    """

    _esm = bundle("playground/page.js")
    _css = style("playground/panels/playground.css")
    script = t.Unicode(read("playground/pytorch.py")).tag(sync=True)  # a run as a PyTorch script
    options = t.Dict().tag(sync=True)
    state = t.Dict().tag(sync=True)

    def __repr__(self) -> str:
        if self.layer is not None:
            return f"Playground: a layer of your own to train, at step {self.step} (interactive)"
        trained = "a binary tree" if self.options["settings"]["layer"] == "tree" else "a mixture of experts"
        return f"Playground: {trained} to train in the page (interactive)"


def playground(
    layer: nn.Module | str | None = None,
    data: Any = "regimes",
    preset: str | None = None,
    *,
    state: Mapping[str, Any] | None = None,
    steps: int | None = None,
    point: int = 0,
    out: Sequence[int] = (),
    then: Sequence[Sequence[Any]] = (),
    title: str | None = None,
    link: bool = False,
    **settings: Any,
) -> Playground:
    """Train a mixture of experts, or a tree, in the page, with every slider of the course and without a kernel.

    ``playground()`` starts with an untrained mixture, ``playground("tree")`` with a fast feedforward tree,
    ``playground(preset="kill")`` with one of the experiments above the picture, and ``playground(**widget.state)``
    with the state of another playground.

    Args:
        layer: "mixture" (the default) or "tree"; or a layer of your own, which the kernel trains in place, by Adam: a
            MixtureOfExperts, or a module whose call on (B, d) returns ``(scores, routing)``: (B, classes), and an
            object with ``indices`` (B, k) and ``logits`` (B, experts). The sliders for noise and k set
            ``layer.router.noise`` and ``layer.router.top_k``. On the website the page trains a mixture that is built
            like yours; what it cannot build is trained ``steps`` steps (by default 200) when the page is made.
        data: "regimes", "spirals", "checkerboard" or "clusters"; or a Dataset of your own, or anything with
            ``x_train``, ``y_train``, ``x_test`` and ``y_test``. Points of another width than 2, and more than 10
            classes, need a layer of your own, and have no map.
        preset: "rules", "spare", "deaf", "kill", "revive", "penalty" or "hash"; a challenge: "seven", "even" or "few";
            with a tree, "leaves", "mixed" or "one".
        state: another playground's ``state``, instead of separate arguments.
        steps: steps trained when it opens; by default 0, or in a challenge those before it begins.
        point: index of the training point that is inspected.
        out: experts of a mixture that are knocked out from the start.
        then: changes during training, as ``(step, setting, value)`` in the order of the steps: a setting that can
            change during training, or "out" or "in" with an expert as its value.
        title: a few words above the picture.
        link: on the site, keep the experiment in the page's URL. At most one playground on a page should do so.
        settings: values that differ from the preset: centred, seed, batch, rate; of a mixture E, k, width, gate, noise,
            balance, coefficient; of a tree depth, leaf_width, hardening, node_balance. ``balance`` may also be
            `switch_loss` or `importance_loss`, and with a layer of your own any function routing -> scalar tensor.

    With a layer and data of your own, the same seed, steps and settings give the same numbers, and the global random
    state does not change.
    """
    if state is not None:
        asked = {"data": data, **state, **settings}
        if asked.pop("forced", None) is not None:
            warnings.warn("forced is no more: no expert's share can be forced. The rest of state stands.", stacklevel=2)
        return playground(asked.pop("layer", layer), preset=preset, title=title, link=link, **asked)
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset is {preset!r}; allowed are {', '.join(PRESETS)}, or None")
    kind = _kind(layer, preset)
    mine = layer if isinstance(layer, nn.Module) else None
    loss = _own_loss(mine, settings)
    own, like = None, None
    if mine is not None:
        _, n_classes = examine(mine, regimes_2d(8) if isinstance(data, str) else data, loss)
    if not isinstance(data, str):
        own = _own(data) if mine is None else _own_of_any_width(data, n_classes)
    elif data != "regimes" or preset is None:
        settings = {"data": data, **settings}
    if mine is not None and loss is None and (own is None or own.get("all")):
        like = _settings_like(mine)
    base = next((known["settings"] for known in _table["presets"] if known["id"] == preset), {})
    settings = (base if mine is not None else {}) | settings | (like or {})
    _check(kind, settings)
    if kind == "tree" and out:
        raise ValueError("out is for a mixture's experts; a tree has leaves, which nobody can knock out")
    experts = (base | settings).get("E", SETTINGS["E"]["default"])
    _number("steps", 0 if steps is None else steps, 0, MAX_STEPS)
    _number("point", point, 0, 1_000_000)
    for expert in out:
        _number("out", expert, 0, experts - 1)
    if len(set(out)) >= experts:
        raise ValueError(f"out is {list(out)}; one of the {experts} experts has to stay")
    _check_changes(kind, base | settings, then)
    widget = Playground(
        mine,
        None if own is None else data,
        own["extent"] if own else (),
        loss,
        options={
            "preset": preset if mine is None else None,
            "settings": {"layer": kind, **settings},
            "steps": steps,
            "point": point,
            "out": list(out),
            "then": [list(change) for change in then],
            "title": title or "",
            "link": link,
            "short": not link and (interactive() or builds_page()),
            "own": own,
            "layer": mine is not None,
            "page": mine is None or like is not None,
            "loss": None if loss is None else _name_of(loss),
        },
    )
    if mine is not None and own is not None:
        defaults = {name: row["default"] for name, row in _rows(kind).items()}
        widget.build(defaults | base | settings | ({} if loss is None else {"balance": "own"}))
        if interactive() or like is None:
            widget.reset()  # sends the first frame
        if not interactive() and like is None:
            widget.advance(RECORDED if steps is None else steps)
    return widget


def _number(name: str, value: Any, low: float, high: float, whole: bool = True, why: str = "") -> None:
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; allowed are {'whole ' * whole}numbers from {low} to {high}{why}")


def _kind(layer: Any, preset: str | None) -> str:
    """What is trained: "mixture" or "tree"."""
    if isinstance(layer, FastFeedForward):
        raise ValueError('layer is FastFeedForward; the kernel trains mixtures. A tree trains in the page: "tree"')
    if layer is None:
        return PRESETS.get(preset or "", "mixture")
    kind = "mixture" if isinstance(layer, nn.Module) else layer
    if not isinstance(kind, str) or kind not in KINDS:
        given = repr(layer) if isinstance(layer, str) else type(layer).__name__
        raise ValueError(f'layer is {given}; allowed are "mixture", "tree", or a torch.nn.Module')
    if preset is not None and PRESETS[preset] != kind:
        raise ValueError(f"preset is {preset!r}, an experiment with a {PRESETS[preset]}, and layer says {kind}")
    return kind


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


def _own_loss(layer: nn.Module | None, settings: dict[str, Any]) -> Callable[[Any], Tensor] | None:
    """Take a function out of the setting `balance`: the page knows the package's losses by name; return another one."""
    function = settings.get("balance")
    if not callable(function):
        return None
    for name, loss in LOSSES.items():
        if function is loss:
            settings["balance"] = name
            return None
    if layer is None:
        raise ValueError("balance is a function; allowed is that with a layer of your own, which the kernel trains")
    del settings["balance"]
    return function


def _name_of(function: Callable) -> str:
    """What the page calls a balance loss."""
    name = getattr(function, "__name__", "<lambda>")
    return "balance loss" if name == "<lambda>" else name.strip("_").replace("_", " ")


def _settings_like(layer: nn.Module) -> dict[str, Any] | None:
    """The settings with which the page trains a mixture that is built like this layer; None if it cannot."""
    try:
        settings = settings_like(layer)
        _check("mixture", settings or {})
    except ValueError:  # more experts, neurons or noise than the page's sliders allow
        return None
    return settings


def _own_of_any_width(data: Any, n_classes: int) -> dict[str, Any]:
    """Convert the points for the learner's own layer; those that have no picture in the plane stay in the kernel."""
    width = data.x_train.shape[1]
    if width == 2 and n_classes <= MAX_CLASSES:
        fits = max(len(data.x_train), len(data.x_test)) <= MAX_POINTS
        return _own(data, MAX_POINTS) | {"all": fits}
    return {"width": width, "classes": n_classes, "extent": []}


def _own(data: Any, most: int | None = None) -> dict[str, Any]:
    """Convert the learner's own points to the format that the page reads."""
    parts = parts_of(data, f"a name ({', '.join(SETTINGS['data']['choices'])}), ")
    x, y, x_test, y_test = (part[:most] for part in parts)
    left, right, bottom, top = extent_of(points_of(x))
    half, across, up = max(right - left, top - bottom) / 2, (left + right) / 2, (bottom + top) / 2
    own: dict[str, Any] = {"classes": 1, "extent": [across - half, across + half, up - half, up + half], "width": 2}
    for end, points, labels, name in (("", x, y, "regime_train"), ("Test", x_test, y_test, "regime_test")):
        classes = labels_of(labels, points)
        own["classes"] = max(own["classes"], int(classes.max()) + 1)
        own[f"x{end}"] = points_of(points).astype(np.float64).tobytes()
        own[f"y{end}"] = classes.tobytes()
        own[f"regime{end}"] = getattr(data, name, labels)[:most].numpy().astype(np.uint8).tobytes()
    return own
