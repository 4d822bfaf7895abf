"""Widgets that show a router's decision regions in the plane, and how they change during training.

The kernel sends logits on a grid once. JavaScript in the page then applies temperature, k, the order of softmax and
top-k, and the training step, so the widgets work the same in JupyterLab and on the website.
"""

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets as t
from torch import Tensor

from moe_tutorial.layers.checks import check_count
from moe_tutorial.show.arrays import (
    RESOLUTIONS,
    Array,
    ask_router,
    check_experts,
    extent_of,
    floats,
    grid,
    labels_of,
    pack_logits,
    points_of,
    shaped,
)
from moe_tutorial.show.web import bundle, style

RESOLUTION = 64
"""Grid points along each side at which `explore_router` evaluates the router."""
FRAME_BUDGET = 1_000_000
"""Maximum bytes of a recorded training in the page; more frames than fit are thinned out evenly."""
MAX_USAGE_FRAMES = 160
"""Maximum frames of a recorded usage: a slider can step through them, and Play takes eight seconds."""


class Regions(anywidget.AnyWidget):
    """Base class of the widgets with points in the plane. Everything that the page shows is in its traits."""

    _css = style()
    settings = t.Dict().tag(sync=True)
    points = t.Bytes().tag(sync=True)  # float32 (points, 2)
    labels = t.Bytes().tag(sync=True)  # uint8 (points,)


class RouterRegions(Regions):
    """The widget behind `explore_router`."""

    _esm = bundle("web/widgets/explore.js")
    logits = t.Bytes().tag(sync=True)  # float32 (resolution * resolution, experts), rows from the top
    point_logits = t.Bytes().tag(sync=True)  # float32 (points, experts)

    def __repr__(self) -> str:
        s = self.settings
        return f"Router regions: {s['experts']} experts, {s['points']} points (an interactive picture)"


class TrainingRegions(Regions):
    """The widget behind `watch_training` and, without frames, `watch_usage`."""

    _esm = bundle("web/widgets/watch.js")
    frames = t.Bytes().tag(sync=True)  # uint8 (frames, resolution * resolution, experts), see `pack_logits`

    def __repr__(self) -> str:
        s = self.settings
        what = "Router regions" if s["resolution"] else "Expert usage"
        return f"{what} while training: {s['experts']} experts, {len(s['steps'])} frames (an interactive picture)"


def explore_router(router: Callable[[Tensor], Any], points: Array, labels: Array | None = None) -> RouterRegions:
    """Show a router's decision regions, with controls for temperature, k, and the order of softmax and top-k.

    Args:
        router: anything that takes (N, 2) and returns logits (N, experts), a Routing, or (output, Routing) as a
            MixtureOfExperts does. A module is evaluated in eval mode. The page computes choices and weights from the
            logits.
        points: (N, 2), at most 2,000.
        labels: N integers from 0 to 9; each class has its own shape.
    """
    xy, settings, data = _shown(points, labels)
    plane, _ = ask_router(router, grid(xy, RESOLUTION))
    at_points, chosen = ask_router(router, torch.from_numpy(xy))
    n_experts = plane.shape[1]
    k = check_count("k", chosen, 1, n_experts, "n_experts")
    return RouterRegions(
        settings=settings | {"experts": n_experts, "resolution": RESOLUTION, "k": k},
        logits=plane.tobytes(),
        point_logits=at_points.tobytes(),
        **data,
    )


def watch_training(
    frames: Array,
    points: Array,
    labels: Array | None = None,
    *,
    steps: Sequence[int],
    shares: Array,
    k: int = 1,
    score: Array | None = None,
    score_name: str = "accuracy",
) -> TrainingRegions:
    """Show a router's regions during training: a step slider, a play button, each expert's share, and a score.

    Args:
        frames: (F, resolution**2, experts) logits at the points of `grid(points, resolution)`, one frame per step.
        points: (N, 2), at most 2,000, as given to `grid`.
        labels: N integers from 0 to 9; each class has its own shape.
        steps: the F training steps at which the frames were taken, in increasing order.
        shares: (F, experts) fraction of the choices that went to each expert.
        k: experts chosen per point.
        score: (F,) one number per frame, drawn as a line.
        score_name: what the score is: "accuracy", "loss".
    """
    _, settings, data = _shown(points, labels)
    logits = floats(frames if not isinstance(frames, list | tuple) else [floats(f, "frames") for f in frames], "frames")
    if logits.ndim != 3 or isqrt(logits.shape[1]) ** 2 != logits.shape[1] or not len(logits):
        raise ValueError(f"frames has shape {logits.shape}; allowed is (F, resolution**2, experts) with F of 1 or more")
    n_experts, resolution = logits.shape[2], isqrt(logits.shape[1])
    check_experts(n_experts, "frames")
    check_count("frames' places along each side", resolution, *RESOLUTIONS)
    check_count("k", k, 1, n_experts, "n_experts")
    parts = shaped(shares, "shares", (len(logits), n_experts))
    chosen, film = _film(parts, steps, FRAME_BUDGET // logits[0].size, score, score_name)
    codes, span = pack_logits(logits[chosen])
    own = {"resolution": resolution, "k": k, "title": "", "span": span}
    return TrainingRegions(settings=settings | film | own, frames=codes.tobytes(), **data)


def watch_usage(
    shares: Array,
    steps: Sequence[int],
    *,
    score: Array | None = None,
    score_name: str = "accuracy",
    title: str | None = None,
) -> TrainingRegions:
    """Show each expert's share of the choices during training: a step slider, a play button, and a score.

    Args:
        shares: (F, experts) fraction of the choices that went to each expert; every row sums to 1.
        steps: the F training steps at which the shares were taken, in increasing order. More than 160 are thinned out
            evenly.
        score: (F,) one number per frame, drawn as a line.
        score_name: what the score is: "accuracy", "loss".
        title: a short heading that names what is shown; the page computes the message below it.
    """
    parts = floats(shares, "shares")
    if parts.ndim != 2 or not len(parts):
        raise ValueError(f"shares has shape {parts.shape}; allowed is (F, experts) with F of 1 or more")
    check_experts(parts.shape[1], "shares")
    wrong = np.flatnonzero((parts < 0).any(1) | (np.abs(parts.sum(1) - 1) > 1e-3))
    if len(wrong):
        raise ValueError(f"shares sums to {parts[wrong[0]].sum():.4g} in row {wrong[0]}; allowed are parts of 1")
    _, film = _film(parts, steps, MAX_USAGE_FRAMES, score, score_name)
    return TrainingRegions(settings=film | {"resolution": 0, "title": title or ""})


def _shown(points: Array, labels: Array | None) -> tuple[np.ndarray, dict[str, Any], dict[str, bytes]]:
    """Return the points as an array, and the widget's settings and bytes traits for them."""
    xy, classes = points_of(points), labels_of(labels, points)
    settings = {"points": len(xy), "extent": extent_of(xy), "labelled": labels is not None}
    return xy, settings, {"points": xy.tobytes(), "labels": classes.tobytes()}


def _film(
    shares: np.ndarray, steps: Sequence[int], most: int, score: Array | None, score_name: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """Choose up to ``max(2, most)`` evenly spaced frames.

    Returns:
        The frames' indices, and the widget's settings for them, with numbers of four significant digits.
    """
    n_frames, n_experts = shares.shape
    taken = [int(step) for step in steps]
    if len(taken) != n_frames or taken != sorted(set(taken)):
        raise ValueError(f"steps is {taken}; allowed are {n_frames} rising numbers, one per frame")
    chosen = np.unique(np.linspace(0, n_frames - 1, max(2, most)).round().astype(int))
    scores = None if score is None else shaped(score, "score", (n_frames,))[chosen]
    return chosen, {
        "experts": n_experts,
        "steps": [taken[i] for i in chosen],
        "shares": [[_short(part) for part in row] for row in shares[chosen]],
        "score": None if scores is None else [_short(one) for one in scores],
        "scoreName": score_name,
    }


def _short(number: float) -> float:
    return float(f"{number:.4g}")
