"""Time several functions in turns, by the processor's time of one thread, so that other programs hardly matter."""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from moe_tutorial.layers.checks import check_count, check_number


def time_side_by_side(
    functions: Mapping[str, Callable[[], Any]], turns: int = 10, seconds: float = 0.02
) -> dict[str, np.ndarray]:
    """Seconds for one call of each function, on one thread: name -> one median per turn, (turns,).

    In every turn each function is called again and again, and its figure is the median of these calls. The clock stands
    still while other programs have the processor. Compare figures of the same turn: between turns the machine's speed
    may change.

    Args:
        functions: name -> a function without arguments. Each is called once before the clock starts.
        turns: number of turns.
        seconds: how long a function is called in each turn; always at least once.

    Raises:
        TypeError, ValueError: no function, ``turns`` below 1, or ``seconds`` below 0.
    """
    if not functions:
        raise ValueError("functions is empty; allowed is one function or more")
    check_count("turns", turns)
    check_number("seconds", seconds)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for function in functions.values():
            function()
        results: dict[str, list[float]] = {name: [] for name in functions}
        for _ in range(turns):
            for name, function in functions.items():
                results[name].append(_median_call(function, seconds))
    finally:
        torch.set_num_threads(threads)
    return {name: np.array(figures) for name, figures in results.items()}


def beyond_cache(build: Callable[[], nn.Module], n_bytes: int = 48 * 2**20) -> list[nn.Module]:
    """As many new layers as it takes to fill this many bytes, more than most caches hold; at least one.

    A layer that is called again and again stays in the cache. In a model, the other layers have been read until a
    layer's turn comes again, so its weights come from memory.
    """
    first = build()
    size = sum(parameter.nbytes for parameter in first.parameters())
    return [first, *(build() for _ in range(n_bytes // size))]


def last_cache() -> int | None:
    """Bytes of the processor's last cache, the largest; None where the system does not say."""
    sizes = [path.read_text() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    if sys.platform == "darwin":
        names = ("hw.l3cachesize", "hw.perflevel0.l2cachesize", "hw.l2cachesize")
        found = [subprocess.run(["sysctl", "-n", name], capture_output=True, text=True).stdout for name in names]
        return max((int(size) for size in found if size.strip()), default=None)
    return max((int(size.strip().removesuffix("K")) * 1024 for size in sizes), default=None)


def in_turn(layers: Sequence[Callable], inputs: Sequence[Any]) -> Callable[[], Any]:
    """A function that calls the next layer with the next input at each call, and begins again after the last."""
    layer, given = itertools.cycle(layers), itertools.cycle(inputs)
    return lambda: next(layer)(next(given))


# Windows counts a thread's time in steps of some milliseconds, which is too coarse.
clock = time.perf_counter if sys.platform == "win32" else time.thread_time


def _median_call(function: Callable[[], Any], seconds: float) -> float:
    calls = []
    end = clock() + seconds
    while True:
        start = clock()
        function()
        now = clock()
        calls.append(now - start)
        if now >= end:
            return median(calls)
