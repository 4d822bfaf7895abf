"""The hard descent of a tree, compiled: a token reads one node a level and one leaf, and nothing else."""

import numpy as np
import torch
from torch import Tensor

from .activations import ACTIVATIONS, activate_one
from .arrays import addresses, floats, integers
from .blocks import add, adds_of_one, copy, dot, dots_apart
from .compiling import kernel, run_rows
from .few_tokens import add_outputs, sort_choices

TOGETHER = 8  # tokens that descend together, level by level
APART = 2  # up to this many tokens of a leaf are computed one by one, without a copy
FEW = 4  # from this many tokens on, grouping them by leaf is faster


@kernel()
def find_leaves(x, node_weight, node_bias, leaf):
    """Write the leaf of each token (T,). Several tokens descend together, as their products can overlap in the CPU."""
    nodes = len(node_bias)
    for at in range(0, len(x), TOGETHER):
        end = min(at + TOGETHER, len(x))
        for t in range(at, end):
            leaf[t] = 0
        while leaf[at] < nodes:
            for t in range(at, end):
                node = leaf[t]
                leaf[t] = 2 * node + 1 + (dot(node_weight[node], x[t]) + node_bias[node] >= 0)
        for t in range(at, end):
            leaf[t] -= nodes


@kernel()
def answer_one(kind, x, w_in, b_in, w_out, b_out, y):
    """Compute one token with one leaf: x (1, d) -> y (1, o).

    Each weight is read once, mostly from main memory. Reading the four quarters of a matrix side by side has a higher
    bandwidth than reading row after row.
    """
    h = len(b_in)
    step, neurons = h // 4, np.empty((1, h), np.float32)
    for j in range(step):
        dots_apart(x[0], w_in, j, step, neurons[0])
    for j in range(4 * step, h):
        neurons[0, j] = dot(x[0], w_in[j])
    for j in range(h):
        neurons[0, j] = activate_one(kind, neurons[0, j] + b_in[j])
    copy(b_out, y[0])
    for j in range(step):
        adds_of_one(y, neurons, 0, w_out, j, step)
    for j in range(4 * step, h):
        add(y[0], neurons[0, j], w_out[j])


@kernel()
def answer_leaves(kind, x, order, start, w_in, b_in, w_out, b_out, y):
    """Compute the tokens leaf by leaf, each leaf as an expert with weight 1. For a leaf with few tokens, copying them
    side by side would take longer than it saves.
    """
    stacks, ones = (w_in, b_in, w_in[:0], b_in[:0], w_out, b_out), np.ones(len(order), np.float32)
    y[:] = 0
    for e in range(len(w_in)):
        if start[e + 1] - start[e] > APART:
            add_outputs(kind, 1, x, ones, stacks, order, start, e, e + 1, y)
        else:
            for t in order[start[e] : start[e + 1]]:
                answer_one(kind, x[t : t + 1], w_in[e], b_in[e], w_out[e], b_out[e], y[t : t + 1])


@kernel()
def descend_arrays(kind, x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf):
    """y (T, o) and leaf (T,) of the tokens x (T, d)."""
    find_leaves(x, node_weight, node_bias, leaf)
    if len(x) < FEW:  # sorting by leaf would take longer than it saves
        for t in range(len(x)):
            e, row = leaf[t], slice(t, t + 1)
            answer_one(kind, x[row], w_in[e], b_in[e], w_out[e], b_out[e], y[row])
    else:
        order, start = np.empty(len(x), np.int64), np.empty(len(w_in) + 1, np.int64)
        sort_choices(leaf, len(w_in), order, start)
        answer_leaves(kind, x, order, start, w_in, b_in, w_out, b_out, y)


@kernel()
def descend_rows(
    kind, T, d, L, h, o, y, leaf, x, node_weight, node_bias, w_in, b_in, w_out, b_out,
    of_x, of_node_weight, of_node_bias, of_w_in, of_b_in, of_w_out, of_b_out, first, last,
):  # fmt: skip
    """``descend_arrays`` for the tokens from ``first`` up to ``last``. Arrays are addresses of ``of_...`` elements."""
    descend_arrays(
        kind, floats(x, of_x, (T, d))[first:last],
        floats(node_weight, of_node_weight, (L - 1, d)), floats(node_bias, of_node_bias, (L - 1,)),
        floats(w_in, of_w_in, (L, h, d)), floats(b_in, of_b_in, (L, h)),
        floats(w_out, of_w_out, (L, h, o)), floats(b_out, of_b_out, (L, o)),
        floats(y, T * o, (T, o))[first:last], integers(leaf, T, (T,))[first:last],
    )  # fmt: skip


def descend(tokens: Tensor, tensors: tuple[Tensor, ...], activation: str) -> tuple[Tensor, Tensor]:
    """Each token's output (T, o), without gradients, and the leaf that gave it (T,), int64.

    Args:
        tokens: (T, d).
        tensors: node_weight (L - 1, d), node_bias (L - 1,), w_in (L, h, d), b_in (L, h), w_out (L, h, o), b_out (L, o);
            L is a power of 2.
        activation: "relu", "gelu" or "silu".

    All are float32, contiguous and on the CPU, or ``CannotServe`` is raised. ValueError for sizes that do not fit.
    """
    (T, d), (L, h, o) = tokens.shape, tensors[4].shape
    y, leaf = tokens.new_empty(T, o), tokens.new_empty(T, dtype=torch.int64)  # whatever torch's defaults are
    sizes = [ACTIVATIONS.index(activation), T, d, L, h, o, y.data_ptr(), leaf.data_ptr()]
    run_rows(descend_rows, T, sizes + addresses((tokens, *tensors)))
    return y, leaf
