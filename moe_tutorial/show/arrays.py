"""Checks of the arrays that widgets are given, and their conversion for the page.

An error names the argument, its value and what is allowed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moe_tutorial.layers.checks import check_count
from moe_tutorial.layers.modes import evaluating

MAX_EXPERTS = 16
"""There are 16 expert colours, and a colour names one expert."""
MAX_POINTS = 2_000
MAX_CLASSES = 10
RESOLUTIONS = (8, 128)
"""Minimum and maximum number of grid points along each side of a plane."""

Array = Any  # a tensor, an array, or nested sequences of numbers


def grid(points: Array, resolution: int = 40) -> Tensor:
    """Evenly spaced grid points that cover the data, row by row from the top: (resolution**2, 2), float32.

    Record a router's logits here while it trains, and hand them to `watch_training`.

    Args:
        points: (N, 2) data that the grid covers.
        resolution: grid points along each side, 8 to 128.
    """
    check_count("resolution", resolution, *RESOLUTIONS)
    left, right, bottom, top = extent_of(points_of(points))
    x, y = torch.linspace(left, right, resolution), torch.linspace(top, bottom, resolution)
    return torch.cartesian_prod(y, x).flip(1).contiguous()


def pack_logits(logits: np.ndarray) -> tuple[np.ndarray, float]:
    """Encode each logit as one byte: its distance below the best one, on a scale that is finest where regions meet.

    Returns:
        The codes, ``255 * sqrt(distance / span)`` as uint8 in the shape of ``logits``, and the span, the largest
        distance (1 if all are 0).
    """
    below = logits.max(-1, keepdims=True) - logits
    span = float(below.max()) or 1.0
    return np.round(255 * np.sqrt(below / span)).astype(np.uint8), span


def ask_router(router: Callable[[Tensor], Any], x: Tensor) -> tuple[np.ndarray, int]:
    """Evaluate a router at x; a module is in eval mode meanwhile.

    Returns:
        The logits without noise, float32 (N, experts), and the number of experts chosen per point (1 if the router
        returns only logits).
    """
    with torch.no_grad():
        if isinstance(router, torch.nn.Module):
            with evaluating(router):
                out = router(x.to(next(router.parameters(), x)))
        else:
            out = router(x)
    if isinstance(out, tuple) and not hasattr(out, "logits"):
        out = out[-1]
    chosen = out.indices.shape[-1] if hasattr(out, "logits") and hasattr(out, "indices") else 1
    logits = floats(getattr(out, "logits", out), "router")
    if logits.ndim != 2 or len(logits) != len(x):
        raise ValueError(f"router returns shape {logits.shape} for {len(x)} points; allowed is ({len(x)}, experts)")
    check_experts(logits.shape[1], "router")
    return np.ascontiguousarray(logits), chosen


def floats(values: Array, name: str) -> np.ndarray:
    """Convert values to float32; ValueError unless all are finite numbers."""
    try:
        array = torch.as_tensor(np.asarray(values) if isinstance(values, list | tuple) else values)
        array = array.detach().cpu().to(torch.float32).numpy()
    except (TypeError, ValueError, RuntimeError) as error:
        got = f"{name} is {type(values).__name__}"
        raise ValueError(f"{got}; allowed are numbers in a regular shape ({error})") from None
    if wrong := int((~np.isfinite(array)).sum()):
        raise ValueError(f"{name} holds {wrong} values that are NaN or infinite; none may be")
    return array


def shaped(values: Array, name: str, shape: tuple[int, ...], why: str = "") -> np.ndarray:
    """Convert values to finite float32; ValueError unless they have this shape."""
    array = floats(values, name)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; allowed is {shape}{why}")
    return array


def refuse(wrong: np.ndarray, name: str, allowed: str) -> None:
    """Raise ValueError with the first of the wrong values, if there are any."""
    if wrong.size:
        raise ValueError(f"{name} holds {wrong[0]:g}; allowed are {allowed}")


def whole_below(array: np.ndarray, limit: int, name: str) -> np.ndarray:
    """Convert integers from 0 to ``limit - 1`` to uint8; ``limit`` is at most 256. ValueError for other numbers."""
    wrong = array[(array < 0) | (array >= limit) | (array != array.round())]
    refuse(wrong, name, f"whole numbers from 0 to {limit - 1}")
    return array.astype(np.uint8)


def parts_of(data: Any, other: str = "") -> list[Tensor]:
    """The tensors x_train, y_train, x_test and y_test of a Dataset, or of anything that has them.

    ``other`` begins the list of allowed values in the error message.
    """
    parts = [getattr(data, name, None) for name in ("x_train", "y_train", "x_test", "y_test")]
    if not all(isinstance(part, Tensor) and len(part) for part in parts) or parts[0].ndim != 2:
        tensors = "the tensors x_train and x_test (N, d) and y_train and y_test (N,)"
        raise ValueError(f"data is {type(data).__name__}; allowed is {other}a Dataset, or anything with {tensors}")
    return parts


def points_of(points: Array) -> np.ndarray:
    """Points in the plane as float32 (N, 2), at most MAX_POINTS."""
    array = floats(points, "points")
    if array.ndim != 2 or array.shape[1] != 2 or not 1 <= len(array) <= MAX_POINTS:
        raise ValueError(f"points has shape {array.shape}; allowed is (N, 2) with N from 1 to {MAX_POINTS}")
    return np.ascontiguousarray(array)


def labels_of(labels: Array | None, points: Array) -> np.ndarray:
    """One class per point as uint8 (N,); all are 0 if ``labels`` is None."""
    if labels is None:
        return np.zeros(len(points), np.uint8)
    return whole_below(shaped(labels, "labels", (len(points),), ", one per point"), MAX_CLASSES, "labels")


def extent_of(points: np.ndarray) -> list[float]:
    """Left, right, bottom, top of a plane that shows the points (N, 2): their range and a margin of 4 %."""
    low, high = points.min(0).astype(float), points.max(0).astype(float)
    margin = np.where(high > low, 0.04 * (high - low), 1.0)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    return [left, right, bottom, top]


def check_experts(n_experts: int, name: str) -> int:
    """Return the number of experts; ValueError unless it is from 1 to MAX_EXPERTS."""
    if not 1 <= n_experts <= MAX_EXPERTS:
        raise ValueError(f"{name} has {n_experts} experts; allowed are 1 to {MAX_EXPERTS}, one colour each")
    return n_experts
