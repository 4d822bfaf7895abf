"""Which machine a benchmark runs on, and what it does against that machine's luck."""

import ctypes
import os
import platform
import sys
from datetime import date
from pathlib import Path
from typing import Any

import torch


def machine() -> dict[str, Any]:
    """What these figures are of."""
    told = {}
    if Path("/proc/cpuinfo").exists():
        for row in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = row.partition(":")
            told.setdefault(name.strip(), value.strip())
    caches = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if (index / "type").read_text().strip() != "Instruction":
            caches[f"L{(index / 'level').read_text().strip()}"] = (index / "size").read_text().strip()
    return {
        "processor": told.get("model name", platform.processor()), "cache": caches, "cores": os.cpu_count(),
        "threads": 1, "torch": torch.__version__, "system": platform.system(), "date": date.today().isoformat(),
    }  # fmt: skip


def keep_memory() -> None:
    """Let the process keep what it freed. Else a step's arrays go back to the system and are faulted in again, or not:
    luck that falls on the one or the other of two that take turns, and is up to a tenth of a step."""
    if sys.platform == "linux":
        glibc = ctypes.CDLL(None)
        if hasattr(glibc, "mallopt"):
            glibc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
            glibc.mallopt(-3, 2**25)  # M_MMAP_THRESHOLD
