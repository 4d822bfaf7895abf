"""The hard descent compiled for processors: a token reads one node a level and one leaf, and nothing else.

Importing this module needs numba; ``tree.py`` goes on in plain torch where there is none. Each kernel compiles at its
first call and is kept beside this file for the next process.

Tensors arrive as addresses: turning one into a NumPy array takes half a microsecond, and a token as a whole takes ten.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Sequence

import numba
import numpy as np
import torch
from numba import carray, njit, prange, types
from numba.extending import intrinsic
from torch import Tensor

ACTIVATIONS = ("relu", "gelu", "silu")  # the kernels know them by number
FEW = 4  # tokens of a leaf from which on taking them together pays
BLOCK = 32  # tokens of a leaf at a time, so that they stay in the cache
MANY = 64  # tokens from which on several threads share the work

# Sums may be reordered, so that they use the processor's vectors; infinities and NaN keep their meaning.
_options = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy", "nogil": True}
_ready = set()  # kernels that this process has compiled or loaded
_one_at_a_time = threading.Lock()  # numba's own thread pool ends the process when two threads use it at once


def kept(**more):
    """numba's njit, its result kept on disk where there is a folder that can be written."""

    def compile(function):
        try:
            return njit(cache=True, **_options, **more)(function)
        except RuntimeError:  # no such folder: a read-only installation
            return njit(**_options, **more)(function)

    return compile


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


@kept(inline="always")
def dot(a, b):
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@kept(inline="always")
def add(y, value, row):
    for i in range(y.shape[0]):
        y[i] += value * row[i]


@kept()
def activate(value, kind):
    if kind == 0:
        return max(value, np.float32(0))
    if kind == 1:
        return np.float32(0.5 * value * (1 + math.erf(value * math.sqrt(0.5))))
    return np.float32(value / (1 + math.exp(-value)))


@kept()
def find_leaves(x, node_weight, node_bias, depth, leaf, first, last):
    """The leaf of each token from ``first`` up to ``last``."""
    for t in range(first, last):
        node = 0
        for _ in range(depth):
            node = 2 * node + 1 + (dot(node_weight[node], x[t]) + node_bias[node] >= 0)
        leaf[t] = node - node_weight.shape[0]


@kept()
def answer_one(x, w_in, b_in, w_out, b_out, y, kind):
    """One token, one leaf: (d,) -> y (o,). Each weight is read once, in the order in which it lies in memory: several
    rows at a time would be quicker from the nearest cache, and slower from memory, where leaves come from."""
    hidden = np.empty_like(b_in)
    for j in range(w_in.shape[0]):
        hidden[j] = activate(dot(w_in[j], x) + b_in[j], kind)
    y[:] = b_out
    for j in range(w_in.shape[0]):
        add(y, hidden[j], w_out[j])


@kept()
def dot_four(w, x):
    """x (d,) with each of four rows (4, d): it is read once for the four."""
    a = b = c = d = np.float32(0)
    for i in range(x.shape[0]):
        a += w[0, i] * x[i]
        b += w[1, i] * x[i]
        c += w[2, i] * x[i]
        d += w[3, i] * x[i]
    return a, b, c, d


@kept()
def add_four(y, values, w):
    """Add four rows (4, o), each times its value, to y (o,): it is written once for the four."""
    a, b, c, d = values[0], values[1], values[2], values[3]
    for i in range(y.shape[0]):
        y[i] += a * w[0, i] + b * w[1, i] + c * w[2, i] + d * w[3, i]


@kept()
def answer_block(x, rows, w_in, b_in, w_out, b_out, y, kind):
    """Several tokens of one leaf: four of its neurons stay in the nearest cache while all the tokens pass."""
    n, h = rows.shape[0], w_in.shape[0]
    fours = h - h % 4
    hidden = np.empty((n, h), np.float32)
    for j in range(0, fours, 4):
        for r in range(n):
            hidden[r, j], hidden[r, j + 1], hidden[r, j + 2], hidden[r, j + 3] = dot_four(w_in[j : j + 4], x[rows[r]])
    for j in range(fours, h):
        for r in range(n):
            hidden[r, j] = dot(w_in[j], x[rows[r]])
    for r in range(n):
        for j in range(h):
            hidden[r, j] = activate(hidden[r, j] + b_in[j], kind)
        y[rows[r]] = b_out
    for j in range(0, fours, 4):
        for r in range(n):
            add_four(y[rows[r]], hidden[r, j : j + 4], w_out[j : j + 4])
    for j in range(fours, h):
        for r in range(n):
            add(y[rows[r]], hidden[r, j], w_out[j])


@kept()
def answer_leaves(x, order, start, w_in, b_in, w_out, b_out, y, kind, first, last):
    """The tokens of each leaf from ``first`` up to ``last``: those of leaf l are ``order[start[l]:start[l + 1]]``."""
    for leaf in range(first, last):
        at, end = start[leaf], start[leaf + 1]
        while at < end:
            few = end - at < FEW
            until = at + 1 if few else min(at + BLOCK, end)
            if few:
                t = order[at]
                answer_one(x[t], w_in[leaf], b_in[leaf], w_out[leaf], b_out[leaf], y[t], kind)
            else:
                answer_block(x, order[at:until], w_in[leaf], b_in[leaf], w_out[leaf], b_out[leaf], y, kind)
            at = until


@kept()
def sort_by_leaf(leaf, n_leaves):
    """The tokens in the order of their leaves, and where each leaf's begin."""
    order = np.argsort(leaf, kind="mergesort")
    return order, np.searchsorted(leaf[order], np.arange(n_leaves + 1))


@kept()
def arrays(T, d, h, o, depth, x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf):
    """Everything at these addresses, in its shape."""
    n_nodes, n_leaves = (1 << depth) - 1, 1 << depth
    return (
        carray(floats_at(x), (T, d)),
        carray(floats_at(node_weight), (n_nodes, d)),
        carray(floats_at(node_bias), n_nodes),
        carray(floats_at(w_in), (n_leaves, h, d)),
        carray(floats_at(b_in), (n_leaves, h)),
        carray(floats_at(w_out), (n_leaves, h, o)),
        carray(floats_at(b_out), (n_leaves, o)),
        carray(floats_at(y), (T, o)),
        carray(integers_at(leaf), T),
    )


@kept()
def on_one_thread(kind, T, d, h, o, depth, x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf):
    x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf = arrays(
        T, d, h, o, depth, x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf
    )
    find_leaves(x, node_weight, node_bias, depth, leaf, 0, T)
    if T < FEW:  # nothing to group, and sorting is not free
        for t in range(T):
            at = leaf[t]
            answer_one(x[t], w_in[at], b_in[at], w_out[at], b_out[at], y[t], kind)
    else:
        order, start = sort_by_leaf(leaf, w_in.shape[0])
        answer_leaves(x, order, start, w_in, b_in, w_out, b_out, y, kind, 0, w_in.shape[0])


@kept(parallel=True)
def on_threads(kind, T, d, h, o, depth, x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf):
    x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf = arrays(
        T, d, h, o, depth, x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf
    )
    parts = T // 16 + 1  # more than threads, so that one with full leaves does not keep the others waiting
    for part in prange(parts):
        find_leaves(x, node_weight, node_bias, depth, leaf, part * T // parts, (part + 1) * T // parts)
    order, start = sort_by_leaf(leaf, w_in.shape[0])
    # Parts of equally many tokens; a leaf belongs to the part in which its first token is.
    border = np.searchsorted(start, np.arange(parts + 1) * T // parts)
    border[0], border[parts] = 0, w_in.shape[0]
    for part in prange(parts):
        answer_leaves(x, order, start, w_in, b_in, w_out, b_out, y, kind, border[part], border[part + 1])


def descend(tokens: Tensor, tensors: Sequence[Tensor], activation: str) -> tuple[Tensor, Tensor]:
    """Each token's answer (T, o), and the leaf that gave it (T,), int64.

    Args:
        tokens: float32 (T, d). All tensors lie on the processor, one row after the other (contiguous).
        tensors: node_weight (N, d), node_bias (N,), w_in (L, h, d), b_in (L, h), w_out (L, h, o), b_out (L, o).
        activation: one of ``ACTIVATIONS``.
    """
    T, d = tokens.shape
    L, h, o = tensors[4].shape
    y, leaf = tokens.new_empty(T, o), tokens.new_empty(T, dtype=torch.int64)  # whatever torch's defaults are
    addresses = map(Tensor.data_ptr, (tokens, *tensors, y, leaf))
    threads = threads_for(T)
    kernel = on_one_thread if threads == 1 else on_threads
    run(kernel, threads, ACTIVATIONS.index(activation), T, d, h, o, L.bit_length() - 1, *addresses)
    return y, leaf


def threads_for(tokens: int) -> int:
    """Among how many threads these tokens are shared out: torch's number, where numba has as many."""
    return 1 if tokens < MANY else min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)


def run(kernel, threads: int, *arguments: int) -> None:
    """A kernel on so many threads. Its first call compiles it, or loads it, and says so where somebody waits."""
    if threads == 1 and kernel in _ready:
        kernel(*arguments)
        return
    begun = time.perf_counter()
    with _one_at_a_time:
        if threads > 1:
            torch_threads = torch.get_num_threads()
            numba.set_num_threads(threads)  # its first call starts OpenMP anew, with all processors, for torch as well
            torch.set_num_threads(torch_threads)
        kernel(*arguments)
    if kernel not in _ready:
        _ready.add(kernel)
        if kernel.stats.cache_misses and ("JPY_SESSION_NAME" in os.environ or sys.stderr.isatty()):
            took = time.perf_counter() - begun
            print(f"A part of the tree was compiled ({took:.0f} s) and is kept for the next time.", file=sys.stderr)
