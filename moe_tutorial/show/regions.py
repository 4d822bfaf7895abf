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
import torch.nn.functional as F
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
"""Places along each side where `explore_router` asks the router."""
FRAME_BUDGET = 1_000_000
"""Bytes that a recorded training may put into the page; more frames than fit are thinned out evenly."""
MAX_USAGE_FRAMES = 160
"""Frames of a recorded usage: what a slider can step through, and Play in eight seconds."""


class Regions(anywidget.AnyWidget):
    """Points in the plane, and what a router does with them. Everything that the page shows is in its state."""

    _css = style()
    settings = t.Dict().tag(sync=True)
    points = t.Bytes().tag(sync=True)  # float32 (points, 2)
    labels = t.Bytes().tag(sync=True)  # uint8 (points,)


class RouterRegions(Regions):
    """The widget behind `explore_router`."""

    _esm = bundle("web/explore.js")
    logits = t.Bytes().tag(sync=True)  # float32 (resolution * resolution, experts), rows from the top
    point_logits = t.Bytes().tag(sync=True)  # float32 (points, experts)

    def __repr__(self) -> str:
        s = self.settings
        return f"Router regions: {s['experts']} experts, {s['points']} points (an interactive picture)"


class TrainingRegions(Regions):
    """The widget behind `watch_training` and, without frames, `watch_usage`."""

    _esm = bundle("web/watch.js")
    frames = t.Bytes().tag(sync=True)  # uint8 (frames, resolution * resolution, experts), see `pack_logits`

    def __repr__(self) -> str:
        s = self.settings
        what = "Router regions" if s["resolution"] else "Expert usage"
        return f"{what} while training: {s['experts']} experts, {len(s['steps'])} frames (an interactive picture)"


def explore_router(router: Callable[[Tensor], Any], points: Array, labels: Array | None = None) -> RouterRegions:
    """Your router's decision regions, with temperature, k and the order of softmax and top-k to play with.

    Args:
        router: anything that takes (N, 2) and returns logits (N, experts), a Routing, or (output, Routing) as a
            MixtureOfExperts does. Its logits are read in eval mode; choice and weights are made from them in the page.
        points: (N, 2), at most 2,000.
        labels: N whole numbers from 0 to 9; a class is drawn as a shape.
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
    xy, settings, data = _shown(points, labels)
    logits = floats(frames if not isinstance(frames, list | tuple) else [floats(f, "frames") for f in frames], "frames")
    if logits.ndim != 3 or isqrt(logits.shape[1]) ** 2 != logits.shape[1] or not len(logits):
        raise ValueError(f"frames has shape {logits.shape}; allowed is (F, resolution**2, experts) with F of 1 or more")
    n_experts, resolution = logits.shape[2], isqrt(logits.shape[1])
    check_experts(n_experts, "frames")
    check_count("frames' places along each side", resolution, *RESOLUTIONS)
    check_count("k", k, 1, n_experts, "n_experts")
    shares = _counted(logits, xy, k) if shares is None else shares
    parts = shaped(shares, "shares", (len(logits), n_experts))
    kept, film = _film(parts, steps, FRAME_BUDGET // logits[0].size, score, score_name)
    codes, span = pack_logits(logits[kept])
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
    _, film = _film(parts, steps, MAX_USAGE_FRAMES, score, score_name)
    return TrainingRegions(settings=film | {"resolution": 0, "title": title or ""})


def _shown(points: Array, labels: Array | None) -> tuple[np.ndarray, dict[str, Any], dict[str, bytes]]:
    """The points as an array, and what a widget's settings and its other traits say of them."""
    xy, classes = points_of(points), labels_of(labels, points)
    settings = {"points": len(xy), "extent": extent_of(xy), "labelled": labels is not None}
    return xy, settings, {"points": xy.tobytes(), "labels": classes.tobytes()}


def _film(
    shares: np.ndarray, steps: Sequence[int], most: int, score: Array | None, score_name: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """Which frames are kept, evenly, at most so many but two; and what the settings say of them, in short numbers."""
    n_frames, n_experts = shares.shape
    taken = [int(step) for step in steps]
    if len(taken) != n_frames or taken != sorted(set(taken)):
        raise ValueError(f"steps is {taken}; allowed are {n_frames} rising numbers, one per frame")
    kept = np.unique(np.linspace(0, n_frames - 1, max(2, most)).round().astype(int))
    scores = None if score is None else shaped(score, "score", (n_frames,))[kept]
    return kept, {
        "experts": n_experts,
        "steps": [taken[i] for i in kept],
        "shares": [[_short(part) for part in row] for row in shares[kept]],
        "score": None if scores is None else [_short(one) for one in scores],
        "scoreName": score_name,
    }


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def _counted(logits: np.ndarray, points: np.ndarray, k: int) -> Tensor:
    """Each expert's part of the choices at the points, (F, experts): logits are interpolated between the places."""
    side, n_experts = isqrt(logits.shape[1]), logits.shape[2]
    left, right, bottom, top = extent_of(points)
    middle, half = [(left + right) / 2, (bottom + top) / 2], [(right - left) / 2, (bottom - top) / 2]
    where = (torch.from_numpy(points) - torch.tensor(middle)) / torch.tensor(half)
    planes = torch.from_numpy(logits).unflatten(1, (side, side)).movedim(-1, 1)
    there = F.grid_sample(planes, where.expand(len(planes), 1, -1, -1), padding_mode="border", align_corners=True)
    chosen = there.argsort(dim=1, descending=True, stable=True)[:, :k]  # (F, k, 1, points)
    return F.one_hot(chosen, n_experts).float().mean((1, 2, 3))
