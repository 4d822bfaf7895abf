"""The hard descent compiled for processors: a token reads one node a level and one leaf, and nothing else."""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from numba import carray, prange
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.func import functional_call, vjp

from .kernels import floats_at, integers_at, kernel, run, threads_for

ACTIVATIONS = ("relu", "gelu", "silu")  # the kernels know them by number
FEW = 4  # tokens of a leaf from which on taking them together pays
BLOCK = 32  # tokens of a leaf at a time, so that they stay in the cache
PARAMETERS = ("node_weight", "node_bias", "leaves.w_in", "leaves.b_in", "leaves.w_out", "leaves.b_out")


@kernel(inline="always")
def dot(a, b):
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@kernel(inline="always")
def add(y, value, row):
    for i in range(y.shape[0]):
        y[i] += value * row[i]


@kernel()
def activate(value, kind):
    if kind == 0:
        return max(value, np.float32(0))
    if kind == 1:
        return np.float32(0.5 * value * (1 + math.erf(value * math.sqrt(0.5))))
    return np.float32(value / (1 + math.exp(-value)))


@kernel()
def find_leaves(x, node_weight, node_bias, depth, leaf, first, last):
    """The leaf of each token from ``first`` up to ``last``."""
    for t in range(first, last):
        node = 0
        for _ in range(depth):
            node = 2 * node + 1 + (dot(node_weight[node], x[t]) + node_bias[node] >= 0)
        leaf[t] = node - node_weight.shape[0]


@kernel()
def answer_one(x, w_in, b_in, w_out, b_out, y, kind):
    """One token, one leaf: (d,) -> y (o,). Each weight is read once, in the order in which it lies in memory: several
    rows at a time would be quicker from the nearest cache, and slower from memory, where leaves come from."""
    hidden = np.empty_like(b_in)
    for j in range(w_in.shape[0]):
        hidden[j] = activate(dot(w_in[j], x) + b_in[j], kind)
    y[:] = b_out
    for j in range(w_in.shape[0]):
        add(y, hidden[j], w_out[j])


@kernel()
def dot_four(w, x):
    """x (d,) with each of four rows (4, d): it is read once for the four."""
    a = b = c = d = np.float32(0)
    for i in range(x.shape[0]):
        a += w[0, i] * x[i]
        b += w[1, i] * x[i]
        c += w[2, i] * x[i]
        d += w[3, i] * x[i]
    return a, b, c, d


@kernel()
def add_four(y, values, w):
    """Add four rows (4, o), each times its value, to y (o,): it is written once for the four."""
    a, b, c, d = values[0], values[1], values[2], values[3]
    for i in range(y.shape[0]):
        y[i] += a * w[0, i] + b * w[1, i] + c * w[2, i] + d * w[3, i]


@kernel()
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


@kernel()
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


@kernel()
def sort_by_leaf(leaf, n_leaves):
    """The tokens in the order of their leaves, and where each leaf's begin."""
    order = np.argsort(leaf, kind="mergesort")
    return order, np.searchsorted(leaf[order], np.arange(n_leaves + 1))


@kernel()
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


@kernel()
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


@kernel(parallel=True)
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
        tensors: node_weight (N, d), node_bias (N,), w_in (L, h, d), b_in (L, h), w_out (L, h, o), b_out (L, o): those
            of ``PARAMETERS``.
        activation: one of ``ACTIVATIONS``.
    """
    T, d = tokens.shape
    L, h, o = tensors[4].shape
    y, leaf = tokens.new_empty(T, o), tokens.new_empty(T, dtype=torch.int64)  # whatever torch's defaults are
    addresses = map(Tensor.data_ptr, (tokens, *tensors, y, leaf))
    threads = threads_for(T)
    compiled = on_one_thread if threads == 1 else on_threads
    run(compiled, threads, ACTIVATIONS.index(activation), T, d, h, o, L.bit_length() - 1, *addresses)
    return y, leaf


class Descend(torch.autograd.Function):
    """The kernel with its gradients, which are those of the same answer computed with all leaves."""

    @staticmethod
    def forward(ctx, tree, tokens: Tensor, *parameters: Tensor):
        y, leaf = descend(tokens, parameters, tree.leaves.activation)
        ctx.tree = tree
        ctx.save_for_backward(tokens, *parameters)
        ctx.mark_non_differentiable(leaf)
        return y, leaf

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, _):
        dense = copy.copy(ctx.tree)  # shares its parameters; the two settings are its own
        dense.dispatch, dense.training = "dense", False

        def again(tokens: Tensor, *parameters: Tensor) -> Tensor:
            return functional_call(dense, dict(zip(PARAMETERS, parameters, strict=True)), (tokens,))[0]

        by_tokens, _, _, *by_leaves = vjp(again, *ctx.saved_tensors)[1](gradient)
        return None, by_tokens, None, None, *by_leaves  # a hard decision has no slope
