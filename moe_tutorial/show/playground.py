"""The playground: a mixture of experts to train in the page, without a kernel, or in the kernel with torch.

The widget is JavaScript (the files in ``playground/``): data, model, backward pass, pictures. Here they are joined into
the single text that an anywidget wants, and an experiment that a notebook asks for is checked.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import traitlets as t
from torch import Tensor, nn

from moe_tutorial.show.playground_kernel import KernelTraining
from moe_tutorial.show.regions import _extent, _labels, _points
from moe_tutorial.show.web import source, style

FILES = (
    "data.js",
    "training.js",
    "model.js",
    "presets.js",
    "engine.js",
    "kernel.js",
    "url.js",
    "charts.js",
    "words.js",
    "view.js",
)
"""In an order in which each file comes after those that it imports."""
MAX_STEPS = 1_000_000
"""That an experiment may train by itself when it is opened."""

CHOICES = {
    "data": ("regimes", "spirals", "checkerboard", "clusters"),
    "gate": ("softmax_topk", "topk_softmax", "sigmoid_topk", "hash"),
    "balance": ("none", "switch", "importance", "bias"),
    "centred": (True, False),
}
WHOLE = {"seed": (0, 999_999), "batch": (1, 512), "E": (2, 16), "k": (1, 16), "width": (1, 64)}
NUMBERS = {"rate": (1e-5, 1), "noise": (0, 10), "coefficient": (0, 1000)}


def _read(name: str) -> str:
    return (files("moe_tutorial.show") / "playground" / name).read_text(encoding="utf-8")


def joined() -> str:
    """The playground's modules as one: each in a scope of its own, which hands out what the others import from it."""
    code = {name: _read(name) for name in FILES}
    wanted: dict[str, set[str]] = {name: set() for name in FILES}
    for text in code.values():
        for names, file in re.findall(r'^import \{ (.*) \} from "\./(.*)";$', text, flags=re.MULTILINE):
            wanted[file].update(names.split(", "))
    parts = [source("plane.js")]
    for name, text in code.items():
        body = re.sub(r"^import .*;\n|^export (?!default)", "", text, flags=re.MULTILINE)
        names = ", ".join(sorted(wanted[name]))
        parts.append(f"const {{ {names} }} = (() => {{\n{body}return {{ {names} }};\n}})();" if names else body)
    return "\n".join(parts)


PRESETS = tuple(re.findall(r'^    id: "([\w-]+)"', _read("presets.js"), flags=re.MULTILINE))
"""The names of the experiments to start from."""


class Playground(KernelTraining):
    """The widget behind `playground`.

    Attributes:
        state: the experiment as the page has it now, as a plain dict: ``playground(**widget.state)`` opens it again.
    """

    _esm = joined()
    _css = style() + _read("playground.css")
    options = t.Dict().tag(sync=True)
    state = t.Dict().tag(sync=True)

    def __repr__(self) -> str:
        return "Playground: a mixture of experts to train in the page (interactive)"


def playground(
    layer: nn.Module | None = None,
    data: Any = "regimes",
    preset: str | None = None,
    *,
    state: Mapping[str, Any] | None = None,
    steps: int | None = None,
    point: int = 0,
    out: Sequence[int] = (),
    forced: Sequence[float] | None = None,
    title: str | None = None,
    link: bool = False,
    **settings: Any,
) -> Playground:
    """A mixture of experts to train in the page, with every slider of the course in hand. It needs no kernel.

    ``playground()`` starts untrained, ``playground(preset="kill")`` with one of the experiments above the picture, and
    ``playground(**widget.state)`` where another playground stands.

    Args:
        layer: your own layer, as `train_live` takes it, for the kernel to train. The page's own stays a click away.
        data: "regimes", "spirals", "checkerboard" or "clusters", or your own Dataset of points in the plane.
        preset: "rules", "deaf", "kill", "revive", "penalty" or "hash".
        state: another playground's ``state``, in place of its parts.
        steps: trained when it opens; by default the preset's, or none.
        point: the training point that is inspected.
        out: experts that are knocked out.
        forced: an expert and its share of the choices, such as ``(3, 0.5)``.
        title: a few words above the picture.
        link: on the site, the page's address carries the experiment. At most one playground on a page should own it.
        settings: what differs from the preset: centred, seed, batch, rate, E, k, width, gate, noise, balance,
            coefficient.
    """
    if state is not None:
        return playground(layer, preset=preset, title=title, link=link, **{"data": data, **state})
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset is {preset!r}; allowed are {', '.join(PRESETS)}, or None")
    own = None
    if isinstance(data, str):
        if data != "regimes" or preset is None:
            settings = {"data": data, **settings}
    else:
        own = _own(data)
    _check(settings)
    experts = settings.get("E", 8)
    _whole("steps", 0 if steps is None else steps, 0, MAX_STEPS)
    _whole("point", point, 0, 1_000_000)
    for expert in out:
        _whole("out", expert, 0, experts - 1)
    if len(set(out)) >= experts:
        raise ValueError(f"out is {list(out)}; one of the {experts} experts has to stay")
    if forced is not None:
        expert, share = forced
        _whole("forced", expert, 0, experts - 1)
        if not 0 <= share <= 1 / settings.get("k", 1):
            raise ValueError(f"forced has the share {share!r}; allowed are numbers from 0 to 1 / k")
    if layer is not None and not isinstance(layer, nn.Module):
        raise ValueError(f"layer is {type(layer).__name__}; allowed is a torch.nn.Module, as train_live takes it")
    return Playground(
        layer,
        None if own is None else data,
        own["extent"] if own else (),
        options={
            "preset": preset,
            "settings": settings,
            "steps": steps,
            "point": point,
            "out": list(out),
            "forced": None if forced is None else list(forced),
            "title": title or "",
            "link": link,
            "page": "playground.html",
            "own": own,
            "kernel": True,
            "layer": layer is not None,
        },
    )


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers from {low} to {high}")


def _check(settings: Mapping[str, Any]) -> None:
    """The same limits as the page's (model.js); a notebook hears of a mistake at once."""
    for name, value in settings.items():
        if name in CHOICES:
            if value not in CHOICES[name]:
                raise ValueError(f"{name} is {value!r}; allowed are {', '.join(map(str, CHOICES[name]))}")
        elif name in WHOLE:
            low, high = WHOLE[name]
            _whole(name, value, low, settings.get("E", 8) if name == "k" else high)
        elif name in NUMBERS:
            low, high = NUMBERS[name]
            if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(f"{name} is {value!r}; allowed are numbers from {low} to {high}")
        else:
            known = ", ".join([*CHOICES, *WHOLE, *NUMBERS])
            raise ValueError(f"there is no setting {name!r}; allowed are {known}")


def _own(data: Any) -> dict[str, Any]:
    """The learner's own points, as the page reads them."""
    parts = [getattr(data, name, None) for name in ("x_train", "y_train", "x_test", "y_test")]
    if not all(isinstance(part, Tensor) and len(part) for part in parts):
        raise ValueError(
            f"data is {type(data).__name__}; allowed is a name ({', '.join(CHOICES['data'])}) or a Dataset: anything "
            "with the tensors x_train and x_test (N, 2), y_train and y_test (N,)"
        )
    x, y, x_test, y_test = parts
    points, tested = _points(x), _points(x_test)
    labels, test_labels = _labels(y, x), _labels(y_test, x_test)
    left, right, bottom, top = _extent(points, None)
    half, across, up = max(right - left, top - bottom) / 2, (left + right) / 2, (bottom + top) / 2
    regimes = [getattr(data, name, fallback) for name, fallback in (("regime_train", y), ("regime_test", y_test))]
    return {
        "x": points.astype(np.float64).tobytes(),
        "y": labels.tobytes(),
        "regime": regimes[0].numpy().astype(np.uint8).tobytes(),
        "xTest": tested.astype(np.float64).tobytes(),
        "yTest": test_labels.tobytes(),
        "regimeTest": regimes[1].numpy().astype(np.uint8).tobytes(),
        "classes": int(max(labels.max(), test_labels.max())) + 1,
        "extent": [across - half, across + half, up - half, up + half],
    }
