"""How a kernel is written and called: numba's options, arrays at addresses, threads.

Importing this module needs numba. A kernel compiles at its first call and is kept beside its file for the next process,
until any file of this folder changes.
Tensors arrive as addresses: turning one into a NumPy array takes half a microsecond, and a token as a whole takes ten.
"""

import hashlib
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numba
import torch
from numba import njit, types
from numba.extending import intrinsic
from torch import Tensor

from moe_tutorial.layers import fast

MANY = 64  # tokens from which on several threads share the work

# Sums may be reordered, so that they use the processor's vectors; infinities and NaN keep their meaning.
_options = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy", "nogil": True}
_ready = set()  # kernels that this process has compiled or loaded
_one_at_a_time = threading.Lock()  # numba's own thread pool ends the process when two threads use it at once


def kernel(**more):
    """A decorator: numba's njit. What it compiles of this folder is kept on disk, where there is one to be written.

    A notebook's kernel is not: numba would keep it while the notebook stays as it is, whatever it imports.
    """

    def compile(function):
        if Path(function.__code__.co_filename).parent != Path(__file__).parent:
            return njit(**_options, **more)(function)
        try:
            compiled = njit(cache=True, **_options, **more)(function)
        except RuntimeError:  # no such folder: a read-only installation
            return njit(**_options, **more)(function)
        forget_stale(Path(compiled.stats.cache_path))
        return compiled

    return compile


@cache
def forget_stale(folder: Path) -> None:
    """Throw away what was compiled from other sources: numba looks at a kernel's own file, not at what that imports."""
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
        pass  # a folder that others may write


@intrinsic
def floats_at(context, address):
    """The float32 numbers at an address."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), generate


@intrinsic
def integers_at(context, address):
    """The int64 numbers at an address."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int64)(types.int64), generate


@intrinsic
def halves_at(context, address):
    """The bfloat16 numbers at an address, as int16."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.int16)(types.int64), generate


def addresses(tensors: Sequence[Tensor | None]) -> list[int]:
    """Where they begin; 0 for one that is not there."""
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]


def threads_for(tokens: int) -> int:
    """Among how many threads these tokens are shared out: torch's number, where numba has as many."""
    return 1 if tokens < MANY else min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)


def run(compiled, threads: int, *arguments: int) -> bool | None:
    """What a kernel returns, on so many threads. Its first call compiles it, or loads what another process compiled."""
    if threads == 1 and compiled in _ready:
        return compiled(*arguments)
    begun = time.perf_counter()
    with _one_at_a_time:
        if threads > 1:
            torch_threads = torch.get_num_threads()
            numba.set_num_threads(threads)  # its first call starts OpenMP anew, with all processors, for torch as well
            torch.set_num_threads(torch_threads)
        result = compiled(*arguments)
    if compiled not in _ready:
        _ready.add(compiled)
        if compiled.stats.cache_misses and fast.on_compile:
            fast.on_compile(time.perf_counter() - begun)
    return result
