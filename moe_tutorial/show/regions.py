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
)
from moe_tutorial.show.web import bundle, style

RESOLUTION = 64
"""Places along each side where `explore_router` asks the router."""
FRAME_BUDGET = 1_000_000
"""Bytes that a recorded training may put into the page; more frames than fit are thinned out evenly."""
MAX_USAGE_FRAMES = 160
"""Frames of a recorded usage: what a slider can step through, and Play in eight seconds."""


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
    frames = t.Bytes().tag(sync=True)  # uint8 (frames, resolution * resolution, experts), see `pack_logits`
    points = t.Bytes().tag(sync=True)
    labels = t.Bytes().tag(sync=True)

    def __repr__(self) -> str:
        s = self.settings
        what = "Router regions" if s["resolution"] else "Expert usage"
        return f"{what} while training: {s['experts']} experts, {len(s['steps'])} frames (an interactive picture)"


def explore_router(
    router: Callable[[Tensor], Any],
    points: Array,
    labels: Array | None = None,
) -> RouterRegions:
    """Your router's decision regions, with temperature, k and the order of softmax and top-k to play with.

    Args:
        router: anything that takes (N, 2) and returns logits (N, experts), a Routing, or (output, Routing) as a
            MixtureOfExperts does. Its logits are read in eval mode; choice and weights are made from them in the page.
        points: (N, 2), at most 2,000.
        labels: N whole numbers from 0 to 9; a class is drawn as a shape.
    """
    xy, classes = points_of(points), labels_of(labels, points)
    plane, _ = ask_router(router, grid(xy, RESOLUTION))
    at_points, chosen = ask_router(router, torch.from_numpy(xy))
    n_experts = plane.shape[1]
    return RouterRegions(
        settings={
            "experts": n_experts,
            "points": len(xy),
            "resolution": RESOLUTION,
            "extent": extent_of(xy),
            "k": check_count("k", chosen, 1, n_experts, "n_experts"),
            "labelled": labels is not None,
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
    shares: Array | None = None,
    score: Array | None = None,
    score_name: str = "accuracy",
) -> TrainingRegions:
    """A router's regions while it trains: a step slider, a play button, each expert's share, and a score.

    Args:
        frames: (F, resolution**2, experts) logits at the places of `grid(points, resolution)`, one frame per step.
        points: (N, 2), at most 2,000, as given to `grid`.
        labels: N whole numbers from 0 to 9; a class is drawn as a shape.
        steps: the F training steps at which the frames were taken, rising.
        k: experts chosen per point.
        shares: (F, experts) part of the choices that each expert got; by default counted on the points.
        score: (F,) one number per frame, drawn as a line.
        score_name: what the score is: "accuracy", "loss".
    """
    xy, classes = points_of(points), labels_of(labels, points)
    logits = floats(frames if not isinstance(frames, list | tuple) else [floats(f, "frames") for f in frames], "frames")
    if logits.ndim != 3 or isqrt(logits.shape[1]) ** 2 != logits.shape[1] or not len(logits):
        raise ValueError(f"frames has shape {logits.shape}; allowed is (F, resolution**2, experts) with F of 1 or more")
    n_frames, n_places, n_experts = logits.shape
    check_experts(n_experts, "frames")
    resolution = isqrt(n_places)
    check_count("frames' places along each side", resolution, *RESOLUTIONS)
    taken = _steps(steps, n_frames)
    kept = np.unique(np.linspace(0, n_frames - 1, max(2, FRAME_BUDGET // logits[0].size)).round().astype(int))
    codes, span = pack_logits(logits[kept])

    return TrainingRegions(
        settings={
            "experts": n_experts,
            "points": len(xy),
            "resolution": resolution,
            "extent": extent_of(xy),
            "k": check_count("k", k, 1, n_experts, "n_experts"),
            "labelled": labels is not None,
            "title": "",
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
    parts = floats(shares, "shares")
    if parts.ndim != 2 or not len(parts):
        raise ValueError(f"shares has shape {parts.shape}; allowed is (F, experts) with F of 1 or more")
    check_experts(parts.shape[1], "shares")
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
    values = floats(values, name)
    if values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape}; allowed is {shape}")
    return [[float(f"{v:.4g}") for v in row] if row.ndim else float(f"{row:.4g}") for row in values[kept]]
