"""The mixture's speed beside others, measured by ``make bench`` on one machine and stored in speed.json."""

import json
from pathlib import Path
from typing import Any

STORED = Path(__file__).with_name("speed.json")


def measured() -> dict[str, Any]:
    """The stored results: the ``machine``, what it ``can`` do, and of a forward pass of 8 experts of width 512, top 2,
    width 256, in float32: ``tokens`` at once, and the ``seconds`` of each implementation and of the machine's limit.
    """
    return json.loads(STORED.read_text(encoding="utf-8"))


def machine_lines(found: dict[str, Any]) -> str:
    """The machine, its memory bandwidth and its peak arithmetic, in two lines."""
    machine, can = found["machine"], found["can"]
    caches = ", ".join(f"{name} {size}" for name, size in machine["cache"].items())
    return (
        f"{machine['processor']} ({caches}), one thread,\ntorch {machine['torch']}, {machine['date']}: "
        f"{can['bytes a second'] / 1e9:.0f} GB/s from memory, {can['operations a second'] / 1e9:.0f} GFLOP/s at most"
    )
