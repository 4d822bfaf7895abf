"""The mixture's speed beside other implementations, measured by ``make bench`` on one machine and stored in speed.json.

A cell is one shape in float32: T tokens of width d, E experts of width 2d, k of them chosen. Its ratio is our time over
that of the fastest peer, as (low, median, high): the median over turns and the ends of its 95 % interval.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moe_tutorial.study.estimates import Figure

STORED = Path(__file__).with_name("speed.json")
ORDER = ("ours", "loop", "eager", "grouped_mm", "batched_mm", "litgpt")


def measured() -> dict[str, Any]:
    """The stored results: the ``machine``, what it ``can`` do, the ``cells``, ``dense``, ``tricks`` and ``memory``."""
    return json.loads(STORED.read_text(encoding="utf-8"))


def machine_lines(found: dict[str, Any]) -> str:
    """The machine, its memory bandwidth and its peak arithmetic, in two lines."""
    machine, can = found["machine"], found["can"]
    caches = ", ".join(f"{name} {size}" for name, size in machine["cache"].items())
    return (
        f"{machine['processor']} ({caches}), one thread,\ntorch {machine['torch']}, {machine['date']}: "
        f"{can['bytes a second'] / 1e9:.0f} GB/s from memory, {can['operations a second'] / 1e9:.0f} GFLOP/s at most"
    )


def interval(ratio: Sequence[float]) -> Figure:
    """A stored ratio (low, median, high) as a figure, which pictures take."""
    low, middle, high = ratio
    return Figure(middle, low, high, f"{middle:.2f} [{low:.2f}, {high:.2f}]")


def counted(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All cells but those of training on one token, which nobody does."""
    return [one for one in cells if one["T"] > 1 or not one["training"]]


def over_tokens(
    cells: Sequence[dict[str, Any]], E: int, d: int, k: int, training: bool
) -> tuple[dict[str, dict[int, float]], dict[int, float]]:
    """Seconds by number of tokens: name -> T -> seconds, and T -> the machine's lower limit."""
    times: dict[str, dict[int, float]] = {}
    limit = {}
    for one in cells:
        if (one["E"], one["d"], one["k"], one["training"]) != (E, d, k, training):
            continue
        limit[one["T"]] = one["limit"]
        for name, seconds in one["seconds"].items():
            times.setdefault(name, {})[one["T"]] = seconds
    return {name: times[name] for name in ORDER if name in times}, limit


def named(one: dict[str, Any]) -> str:
    """A cell in words."""
    kind = "training" if one["training"] else "forward"
    return f"{one['T']:,} tokens, {one['E']} experts, width {one['d']}, top {one['k']}, {kind}"


def summary(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summarise the counted cells: how many (``cells``), the share whose ratio is at most 1 (``level``) and at most .9
    (``faster``), or whose interval begins at 1 or less (``not worse``), the geometric mean (``mean``), and the
    ``worst`` cell.
    """
    cells = counted(cells)
    low, middle, _ = np.array([one["ratio"] for one in cells]).T
    return {
        "cells": len(cells),
        "level": float(np.mean(middle <= 1)),
        "faster": float(np.mean(middle <= 0.9)),
        "not worse": float(np.mean(low <= 1)),
        "mean": float(np.exp(np.log(middle).mean())),
        "worst": cells[int(middle.argmax())],
    }
