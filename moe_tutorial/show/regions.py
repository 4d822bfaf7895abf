"""Who answers for which part of the plane? A router's decision regions, to explore and to watch as they move.

Both widgets compute in the page: the kernel hands over logits on a grid once, and temperature, k, the order of softmax
and top-k, and the step of training are then JavaScript. So they move the same in JupyterLab and on the website.
"""

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets as t
from torch import Tensor

from moe_tutorial.show.web import bundle, style

MAX_EXPERTS = 16
"""There are 16 expert colours, and a colour names one expert."""
MAX_POINTS = 2_000
MAX_CLASSES = 10
FRAME_BUDGET = 1_000_000
"""Bytes that a recorded training may put into the page; more frames than fit are thinned out evenly."""
MAX_USAGE_FRAMES = 160
"""Frames of a recorded usage: what a slider can step through, and Play in eight seconds."""

Array = Any  # a tensor, an array, or nested sequences of numbers


class RouterRegions(anywidget.AnyWidget):
    """The widget behind `explore_router`. Everything it shows is in its state."""

    _esm = bundle("web/explore.js")
    _css = style()
    settings = t.Dict().tag(sync=True)
    logits = t.Bytes().tag(sync=True)  # float32 (resolution * resolution, experts), rows from the top
    point_logits = t.Bytes().tag(sync=True)  # float32 (points, experts)
    points = t.Bytes().tag(sync=True)  # float32 (points, 2)
    labels = t.Bytes().tag(sync=True)  # uint8 (points,)

    def __repr__(self) -> str:
        s = self.settings
        return f"Router regions: {s['experts']} experts, {s['points']} points (an interactive picture)"


class TrainingRegions(anywidget.AnyWidget):
    """The widget behind `watch_training` and, without frames, `watch_usage`. Everything it shows is in its state."""

    _esm = bundle("web/watch.js")
    _css = style()
    settings = t.Dict().tag(sync=True)
    frames = t.Bytes().tag(sync=True)  # uint8 (frames, resolution * resolution, experts), see _pack
    points = t.Bytes().tag(sync=True)
    labels = t.Bytes().tag(sync=True)

    def __repr__(self) -> str:
        s = self.settings
        what = "Router regions" if s["resolution"] else "Expert usage"
        return f"{what} while training: {s['experts']} experts, {len(s['steps'])} frames (an interactive picture)"


def grid(points: Array, resolution: int = 40, extent: Sequence[float] | None = None) -> Tensor:
    """Evenly spaced places that cover the points, row by row from the top: (resolution**2, 2), float32.

    Record a router's logits here while it trains, and hand them to `watch_training`.

    Args:
        points: (N, 2) data that the plane has to show.
        resolution: places along each side, 8 to 128.
        extent: left, right, bottom, top of the plane; by default the points' range and a margin.
    """
    if not 8 <= resolution <= 128:
        raise ValueError(f"resolution is {resolution}; allowed are 8 to 128 places along each side")
    left, right, bottom, top = _extent(_points(points), extent)
    x = torch.linspace(left, right, resolution)
    y = torch.linspace(top, bottom, resolution)
    return torch.cartesian_prod(y, x).flip(1).contiguous()


def explore_router(
    router: Callable[[Tensor], Any],
    points: Array,
    labels: Array | None = None,
    *,
    k: int | None = None,
    resolution: int = 64,
    title: str | None = None,
    extent: Sequence[float] | None = None,
) -> RouterRegions:
    """Your router's decision regions, with temperature, k and the order of softmax and top-k to play with.

    Args:
        router: anything that takes (N, 2) and returns logits (N, experts), a Routing, or (output, Routing) as a
            MixtureOfExperts does. Its logits are read in eval mode; choice and weights are made from them in the page.
        points: (N, 2), at most 2,000.
        labels: N whole numbers from 0 to 9; a class is drawn as a shape.
        k: experts chosen at first; by default as many as the router's Routing holds, or 1.
        resolution: places along each side where the router is asked.
        title: a few words above the picture that name what is shown; its message is computed.
        extent: left, right, bottom, top of the plane; by default the points' range and a margin.
    """
    xy, classes = _points(points), _labels(labels, points)
    extent = _extent(xy, extent)
    plane, _ = _ask(router, grid(xy, resolution, extent))
    at_points, chosen = _ask(router, torch.from_numpy(xy))
    n_experts = plane.shape[1]
    return RouterRegions(
        settings={
            "experts": n_experts,
            "points": len(xy),
            "resolution": resolution,
            "extent": extent,
            "k": _k(chosen if k is None else k, n_experts),
            "labelled": labels is not None,
            "title": title or "",
        },
        logits=plane.tobytes(),
        point_logits=at_points.tobytes(),
        points=xy.tobytes(),
        labels=classes.tobytes(),
    )


def watch_training(
    frames: Array,
    points: Array,
    labels: Array | None = None,
    *,
    steps: Sequence[int],
    k: int = 1,
    extent: Sequence[float] | None = None,
    shares: Array | None = None,
    score: Array | None = None,
    score_name: str = "accuracy",
    title: str | None = None,
) -> TrainingRegions:
    """A router's regions while it trains: a step slider, a play button, each expert's share, and a score.

    Args:
        frames: (F, resolution**2, experts) logits at the places of `grid(points, resolution)`, one frame per step.
        points: (N, 2), at most 2,000, as given to `grid`.
        labels: N whole numbers from 0 to 9; a class is drawn as a shape.
        steps: the F training steps at which the frames were taken, rising.
        k: experts chosen per point.
        extent: as given to `grid`.
        shares: (F, experts) part of the choices that each expert got; by default counted on the points.
        score: (F,) one number per frame, drawn as a line.
        score_name: what the score is: "accuracy", "loss".
        title: a few words above the picture that name what is shown; its message is computed.
    """
    xy, classes = _points(points), _labels(labels, points)
    logits = _array(frames if not isinstance(frames, list | tuple) else [_array(f, "frames") for f in frames], "frames")
    if logits.ndim != 3 or isqrt(logits.shape[1]) ** 2 != logits.shape[1] or not len(logits):
        raise ValueError(f"frames has shape {logits.shape}; allowed is (F, resolution**2, experts) with F of 1 or more")
    n_frames, n_places, n_experts = logits.shape
    _experts(n_experts, "frames")
    resolution = isqrt(n_places)
    if not 8 <= resolution <= 128:
        raise ValueError(f"frames has {resolution} places along each side; allowed are 8 to 128")
    taken = _steps(steps, n_frames)
    kept = np.unique(np.linspace(0, n_frames - 1, max(2, FRAME_BUDGET // logits[0].size)).round().astype(int))
    codes, span = _pack(logits[kept])

    return TrainingRegions(
        settings={
            "experts": n_experts,
            "points": len(xy),
            "resolution": resolution,
            "extent": _extent(xy, extent),
            "k": _k(k, n_experts),
            "labelled": labels is not None,
            "title": title or "",
            "steps": [taken[i] for i in kept],
            "span": span,
            "shares": _per_frame(shares, "shares", (n_frames, n_experts), kept),
            "score": _per_frame(score, "score", (n_frames,), kept),
            "scoreName": score_name,
        },
        frames=codes.tobytes(),
        points=xy.tobytes(),
        labels=classes.tobytes(),
    )


def watch_usage(
    shares: Array,
    steps: Sequence[int],
    *,
    score: Array | None = None,
    score_name: str = "accuracy",
    title: str | None = None,
) -> TrainingRegions:
    """The experts' race for the data: their shares over the steps, a step slider, a play button, and a score.

    Args:
        shares: (F, experts) part of the choices that each expert got; every row sums to 1.
        steps: the F training steps at which the shares were taken, rising. More than 160 are thinned out evenly.
        score: (F,) one number per frame, drawn as a line.
        score_name: what the score is: "accuracy", "loss".
        title: a few words above the picture that name what is shown; its message is computed.
    """
    parts = _array(shares, "shares")
    if parts.ndim != 2 or not len(parts):
        raise ValueError(f"shares has shape {parts.shape}; allowed is (F, experts) with F of 1 or more")
    _experts(parts.shape[1], "shares")
    wrong = np.flatnonzero((parts < 0).any(1) | (np.abs(parts.sum(1) - 1) > 1e-3))
    if len(wrong):
        raise ValueError(f"shares sums to {parts[wrong[0]].sum():.4g} in row {wrong[0]}; allowed are parts of 1")
    taken = _steps(steps, len(parts))
    kept = np.unique(np.linspace(0, len(parts) - 1, MAX_USAGE_FRAMES).round().astype(int))
    return TrainingRegions(
        settings={
            "experts": parts.shape[1],
            "resolution": 0,
            "title": title or "",
            "steps": [taken[i] for i in kept],
            "shares": _per_frame(parts, "shares", parts.shape, kept),
            "score": _per_frame(score, "score", (len(parts),), kept),
            "scoreName": score_name,
        }
    )


def _steps(steps: Sequence[int], n_frames: int) -> list[int]:
    taken = [int(step) for step in steps]
    if len(taken) != n_frames or taken != sorted(set(taken)):
        raise ValueError(f"steps is {taken}; allowed are {n_frames} rising numbers, one per frame")
    return taken


def _per_frame(values: Array | None, name: str, shape: tuple[int, ...], kept: np.ndarray) -> list | None:
    """The kept frames' values as short numbers."""
    if values is None:
        return None
    values = _array(values, name)
    if values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape}; allowed is {shape}")
    return [[float(f"{v:.4g}") for v in row] if row.ndim else float(f"{row:.4g}") for row in values[kept]]


def _pack(logits: np.ndarray) -> tuple[np.ndarray, float]:
    """One byte per logit: how far it lies below the best one, on a square-root scale, so finest where regions meet."""
    below = logits.max(-1, keepdims=True) - logits
    span = float(below.max()) or 1.0
    return np.round(255 * np.sqrt(below / span)).astype(np.uint8), span


def _ask(router: Callable[[Tensor], Any], x: Tensor) -> tuple[np.ndarray, int]:
    """The router's clean logits at x, float32 (N, experts), and how many experts its own routing chooses."""
    modules = list(router.modules()) if isinstance(router, torch.nn.Module) else []
    modes = [module.training for module in modules]
    for parameter in router.parameters() if modules else ():
        x = x.to(parameter)
        break
    try:
        for module in modules:
            module.training = False
        with torch.no_grad():
            out = router(x)
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
    if isinstance(out, tuple) and not hasattr(out, "logits"):
        out = out[-1]
    chosen = out.indices.shape[-1] if hasattr(out, "logits") and hasattr(out, "indices") else 1
    logits = _array(getattr(out, "logits", out), "router")
    if logits.ndim != 2 or len(logits) != len(x):
        raise ValueError(f"router returns shape {logits.shape} for {len(x)} points; allowed is ({len(x)}, experts)")
    _experts(logits.shape[1], "router")
    return np.ascontiguousarray(logits), chosen


def _array(values: Array, name: str) -> np.ndarray:
    """Values as finite float32."""
    try:
        array = torch.as_tensor(np.asarray(values) if isinstance(values, list | tuple) else values)
        array = array.detach().cpu().to(torch.float32).numpy()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} is {type(values).__name__}; allowed are numbers in a regular shape ({error})"
        ) from None
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} holds {int((~np.isfinite(array)).sum())} values that are NaN or infinite; none may be"
        )
    return array


def _points(points: Array) -> np.ndarray:
    array = _array(points, "points")
    if array.ndim != 2 or array.shape[1] != 2 or not 1 <= len(array) <= MAX_POINTS:
        raise ValueError(f"points has shape {array.shape}; allowed is (N, 2) with N from 1 to {MAX_POINTS}")
    return np.ascontiguousarray(array)


def _labels(labels: Array | None, points: Array) -> np.ndarray:
    n_points = len(points)
    if labels is None:
        return np.zeros(n_points, np.uint8)
    array = _array(labels, "labels")
    if array.shape != (n_points,):
        raise ValueError(f"labels has shape {array.shape}; allowed is ({n_points},), one per point")
    wrong = array[(array < 0) | (array >= MAX_CLASSES) | (array != array.round())]
    if len(wrong):
        raise ValueError(f"labels holds {wrong[0]:g}; allowed are whole numbers from 0 to {MAX_CLASSES - 1}")
    return array.astype(np.uint8)


def _extent(points: np.ndarray, extent: Sequence[float] | None) -> list[float]:
    """Left, right, bottom, top: as given, or the points' range with a margin of 4 %."""
    if extent is None:
        low, high = points.min(0).astype(float), points.max(0).astype(float)
        margin = np.where(high > low, 0.04 * (high - low), 1.0)
        low, high = low - margin, high + margin
        return [float(low[0]), float(high[0]), float(low[1]), float(high[1])]
    sides = [float(side) for side in extent]
    if len(sides) != 4 or not np.isfinite(sides).all() or sides[0] >= sides[1] or sides[2] >= sides[3]:
        raise ValueError(f"extent is {sides}; allowed are left, right, bottom, top with left < right and bottom < top")
    return sides


def _experts(n_experts: int, name: str) -> None:
    if not 1 <= n_experts <= MAX_EXPERTS:
        raise ValueError(f"{name} has {n_experts} experts; allowed are 1 to {MAX_EXPERTS}, one colour each")


def _k(k: int, n_experts: int) -> int:
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= n_experts:
        raise ValueError(f"k is {k!r}; allowed are whole numbers from 1 to {n_experts}, the number of experts")
    return k
