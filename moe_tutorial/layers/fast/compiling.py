"""Compile, cache and call kernels.

Importing this module needs numba. A kernel compiles at its first call and is cached on disk until any file of this
folder changes.
"""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from numba import njit

MANY = 64  # from this many rows on, several threads share the work

# Sums may be reordered, so that they can be vectorised; infinities and NaN stay as in IEEE 754.
_options = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy", "nogil": True}


def kernel(**more) -> Callable[[Callable], Any]:
    """A decorator: numba's ``njit``, with a cache on disk for kernels of this folder, if it can be written.

    A notebook's kernel is not cached: numba would reuse it until its cell changes, even if what it imports has changed.
    """

    def compile(function: Callable) -> Any:
        if Path(function.__code__.co_filename).parent != Path(__file__).parent:
            return njit(**_options, **more)(function)
        try:
            compiled = njit(cache=True, **_options, **more)(function)
        except RuntimeError:  # no writable cache folder: a read-only installation
            return njit(**_options, **more)(function)
        remove_stale(Path(compiled.stats.cache_path))
        return compiled

    return compile


@cache
def remove_stale(folder: Path) -> None:
    """Delete cached kernels if any source has changed: numba checks a kernel's own file, not its imports."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    now = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    stamp = folder / "moe_kernels.sha256"
    try:
        if stamp.exists() and stamp.read_text() == now:
            return
        for kept in (path for source in sources for path in folder.glob(f"{source.stem}.*.nb[ic]")):
            kept.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        stamp.write_text(now)
    except OSError:
        pass  # the cache folder cannot be written


def run_rows(compiled: Callable, n: int, arguments: list[Any]) -> None:
    """Call a kernel for ``n`` rows; its last two arguments are the first row and the end (exclusive). If there are many
    rows, as many threads as torch uses share them."""
    if (threads := 1 if n < MANY else torch.get_num_threads()) == 1:
        compiled(*arguments, 0, n)
        return
    compiled(*arguments, 0, 0)  # compile once, before several threads need it
    edges = [n * part // threads for part in range(threads + 1)]
    own = pool(os.getpid(), threads)
    for done in [own.submit(compiled, *arguments, *rows) for rows in pairwise(edges)]:
        done.result()


@cache
def pool(process: int, threads: int) -> ThreadPoolExecutor:
    """The thread pool of this process: the threads of a parent do not survive ``fork``."""
    return ThreadPoolExecutor(threads)


def refuse_graph() -> None:
    """Raise RuntimeError in a backward pass that autograd would differentiate: a kernel's gradient has no graph."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "a compiled layer has no second derivatives, which create_graph=True and torch.func.grad ask for; use the "
            "plain layer: call double() on layer and input, or set moe_tutorial.layers.fast.HAS_NUMBA = False"
        )
