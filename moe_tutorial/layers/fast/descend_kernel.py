"""The hard descent compiled for processors: a token reads one node a level and one leaf, and nothing else."""

from collections.abc import Sequence

import numpy as np
import torch
from numba import carray, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import mixing
from .activations import ACTIVATIONS, activate
from .blocks import add, adds_of_one, copy, dot, dots_apart
from .kernels import floats_at, integers_at, kernel, run, threads_for
from .mixture_kernel import answer_experts, part_of, sort_choices

TOGETHER = 8  # tokens that ask their nodes in turn
APART = 2  # tokens of a leaf up to which none of their rows is copied
FEW = 4  # tokens from which on taking those of a leaf together pays


@kernel()
def find_leaves(x, node_weight, node_bias, depth, leaf, first, last):
    """The leaf of each token from ``first`` up to ``last``: some go level by level, as none of these waits."""
    for at in range(first, last, TOGETHER):
        end = min(at + TOGETHER, last)
        for t in range(at, end):
            leaf[t] = 0
        for _ in range(depth):
            for t in range(at, end):
                node = leaf[t]
                leaf[t] = 2 * node + 1 + (dot(node_weight[node], x[t]) + node_bias[node] >= 0)
        for t in range(at, end):
            leaf[t] -= node_weight.shape[0]


@kernel()
def answer_one(x, w_in, b_in, w_out, b_out, y, kind):
    """One token, one leaf: (1, d) -> y (1, o). Each weight is read once, mostly from memory, which brings more in a
    second when it is asked for the four quarters of a matrix in turn than for one row after the other.
    """
    h = len(b_in)
    step, hidden = h // 4, np.empty((1, h), np.float32)
    for j in range(step):
        dots_apart(x[0], w_in, j, step, hidden[0])
    for j in range(4 * step, h):
        hidden[0, j] = dot(x[0], w_in[j])
    for j in range(h):
        hidden[0, j] = activate(hidden[0, j] + b_in[j], kind)
    copy(b_out, y[0])
    for j in range(step):
        adds_of_one(y, hidden, 0, w_out, j, step)
    for j in range(4 * step, h):
        add(y[0], hidden[0, j], w_out[j])


@kernel()
def answer_leaves(x, order, start, w_in, b_in, w_out, b_out, y, kind, first, last):
    """The leaves from ``first`` up to ``last``, as experts that are chosen alone, with weight 1. Those of few
    tokens go without copies of their rows, which would take longer than they save.
    """
    stacks, ones = (w_in, b_in, w_in, b_in, w_out, b_out), np.ones(len(order), np.float32)
    for e in range(first, last):
        if start[e + 1] - start[e] > APART:
            answer_experts(kind, False, True, 1, x, ones, stacks, order, start, y, e, e + 1)
        else:
            for t in order[start[e] : start[e + 1]]:
                answer_one(x[t : t + 1], w_in[e], b_in[e], w_out[e], b_out[e], y[t : t + 1], kind)


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
            answer_one(x[t : t + 1], w_in[at], b_in[at], w_out[at], b_out[at], y[t : t + 1], kind)
    else:
        order, start, _ = sort_choices(leaf, w_in.shape[0])
        answer_leaves(x, order, start, w_in, b_in, w_out, b_out, y, kind, 0, w_in.shape[0])


@kernel(parallel=True)
def on_threads(kind, T, d, h, o, depth, x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf):
    x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf = arrays(
        T, d, h, o, depth, x, node_weight, node_bias, w_in, b_in, w_out, b_out, y, leaf
    )
    parts = T // 16 + 1  # more than threads, so that one with full leaves does not keep the others waiting
    for part in prange(parts):
        find_leaves(x, node_weight, node_bias, depth, leaf, part * T // parts, (part + 1) * T // parts)
    order, start, _ = sort_choices(leaf, w_in.shape[0])
    for part in prange(parts):
        first, last = part_of(part, parts, start), part_of(part + 1, parts, start)
        answer_leaves(x, order, start, w_in, b_in, w_out, b_out, y, kind, first, last)


def descend(tokens: Tensor, tensors: Sequence[Tensor], activation: str) -> tuple[Tensor, Tensor]:
    """Each token's answer (T, o), and the leaf that gave it (T,), int64.

    Args:
        tokens: float32 (T, d). All tensors lie on the processor, one row after the other (contiguous).
        tensors: node_weight (N, d), node_bias (N,), w_in (L, h, d), b_in (L, h), w_out (L, h, o), b_out (L, o): in
            this order.
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
    """The kernel with its gradients. With the way decided, a tree is a mixture that chooses one expert, its leaf, with
    weight 1; a hard decision has no slope.
    """

    @staticmethod
    def forward(ctx, activation: str, tokens: Tensor, *parameters: Tensor):
        y, leaf = descend(tokens, parameters, activation)
        ctx.activation = activation
        ctx.save_for_backward(tokens, leaf, *parameters[2:])
        ctx.mark_non_differentiable(leaf)
        return y, leaf

    @staticmethod
    @once_differentiable
    def backward(ctx, by_y: Tensor, _):
        return None, *by_leaves(by_y, *ctx.saved_tensors, ctx.activation)


def by_leaves(
    by_y: Tensor,
    tokens: Tensor,
    leaf: Tensor,
    w_in: Tensor,
    b_in: Tensor,
    w_out: Tensor,
    b_out: Tensor,
    activation: str,
) -> tuple[Tensor | None, ...]:
    """The gradients by tokens and by the six parameters; the nodes have none."""
    choices, weights = leaf.unsqueeze(1), tokens.new_ones(len(tokens), 1)
    stacks = w_in, b_in, None, None, w_out, b_out
    way = mixing.way_for(tokens, choices, weights, stacks, True)
    kept = way.forward(tokens, choices, weights, stacks, activation, True)[1]
    by_tokens, _, by_w_in, by_b_in, _, _, by_w_out, by_b_out = mixing.backward(
        way, tokens, choices, weights, by_y, stacks, activation, kept
    )
    return by_tokens, None, None, by_w_in, by_b_in, by_w_out, by_b_out
