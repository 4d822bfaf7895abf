"""The soft descent compiled for processors: one pass over the neurons on the way forward, and one on the way back."""

import numpy as np
import torch
import torch.nn.functional as F
from numba import carray, prange
from torch import Tensor

from .activations import ACTIVATIONS, gelu, gelu_slope, relu, relu_slope, sigmoid, silu, silu_slope
from .blocks import dot
from .kernels import addresses, floats_at, integers_at, kernel, run, threads_for


@kernel()
def rows(address, T, n):
    return carray(floats_at(address), (T, n))


@kernel()
def stack(address, T, leaves, h):
    return carray(floats_at(address), (T, leaves, h))


@kernel(inline="always")
def fire_leaf(activation, weight, neurons, mixed):
    for j in range(len(neurons)):
        mixed[j] = activation(neurons[j]) * weight


@kernel(inline="always")
def fire_leaf_back(slope, weight, neurons, by_mixed, by_neurons):
    for j in range(len(neurons)):
        by_neurons[j] = by_mixed[j] * weight * slope(neurons[j])


@kernel()
def weigh(kind, T, leaves, h, decisions, neurons, right, weights, mixed, leaf, first, last):
    """Of each token from ``first`` up to ``last``: the leaves' weights, the activated neurons times these, and the leaf
    that a hard descent would reach."""
    nodes = leaves - 1
    decisions, right, weights = rows(decisions, T, nodes), rows(right, T, nodes), rows(weights, T, leaves)
    neurons, mixed, reached = stack(neurons, T, leaves, h), stack(mixed, T, leaves, h), carray(integers_at(leaf), T)
    arriving = np.empty(nodes + leaves, np.float32)  # at each node, and after them at each leaf
    for t in range(first, last):
        node = 0
        while node < nodes:
            node = 2 * node + 1 + (decisions[t, node] >= 0)
        reached[t] = node - nodes
        arriving[0] = 1
        for n in range(nodes):
            right[t, n] = sigmoid(decisions[t, n])
        for n in range(nodes):
            to_the_right = arriving[n] * right[t, n]
            arriving[2 * n + 1], arriving[2 * n + 2] = arriving[n] - to_the_right, to_the_right
        for leaf in range(leaves):
            weight = weights[t, leaf] = arriving[nodes + leaf]
            # A loop for each kind: to become vector code, it must have no branch.
            if kind == 0:
                fire_leaf(relu, weight, neurons[t, leaf], mixed[t, leaf])
            elif kind == 1:
                fire_leaf(gelu, weight, neurons[t, leaf], mixed[t, leaf])
            else:
                fire_leaf(silu, weight, neurons[t, leaf], mixed[t, leaf])


@kernel()
def weigh_back(
    kind, T, leaves, h, by_mixed, by_weights, right, weights, mixed, neurons, by_neurons, by_decisions, first, last
):
    """The gradients by weighted neurons and by weights -> the gradients by neurons and by decisions. Of relu, whose
    slope shows in the weighted neurons, these may come in the neurons' place."""
    nodes = leaves - 1
    right, by_decisions = rows(right, T, nodes), rows(by_decisions, T, nodes)
    weights, by_weights = rows(weights, T, leaves), rows(by_weights, T, leaves)
    mixed, by_mixed = stack(mixed, T, leaves, h), stack(by_mixed, T, leaves, h)
    neurons, by_neurons = stack(neurons, T, leaves, h), stack(by_neurons, T, leaves, h)
    worth = np.empty(nodes + leaves, np.float32)  # of a node and of a leaf: its weight times the gradient by it
    for t in range(first, last):
        for leaf in range(leaves):
            weight, given, own = weights[t, leaf], by_mixed[t, leaf], neurons[t, leaf]
            worth[nodes + leaf] = dot(given, mixed[t, leaf]) + by_weights[t, leaf] * weight
            if kind == 0:
                fire_leaf_back(relu_slope, weight, own, given, by_neurons[t, leaf])
            elif kind == 1:
                fire_leaf_back(gelu_slope, weight, own, given, by_neurons[t, leaf])
            else:
                fire_leaf_back(silu_slope, weight, own, given, by_neurons[t, leaf])
        for n in range(nodes - 1, -1, -1):
            worth[n] = worth[2 * n + 1] + worth[2 * n + 2]
            by_decisions[t, n] = worth[2 * n + 2] - right[t, n] * worth[n]


@kernel(parallel=True)
def weigh_on_threads(kind, T, leaves, h, decisions, neurons, right, weights, mixed, leaf):
    parts = T // 16 + 1
    for part in prange(parts):
        first, last = part * T // parts, (part + 1) * T // parts
        weigh(kind, T, leaves, h, decisions, neurons, right, weights, mixed, leaf, first, last)


@kernel(parallel=True)
def weigh_back_on_threads(
    kind, T, leaves, h, by_mixed, by_weights, right, weights, mixed, neurons, by_neurons, by_decisions
):
    parts = T // 16 + 1
    for part in prange(parts):
        first, last = part * T // parts, (part + 1) * T // parts
        weigh_back(
            kind, T, leaves, h, by_mixed, by_weights, right, weights, mixed, neurons, by_neurons, by_decisions,
            first, last,
        )  # fmt: skip


def share_out(alone, on_threads, kind: int, shape: tuple[int, int, int], *tensors: Tensor) -> None:
    """One of two kernels that do the same: on one thread, or on as many as torch uses."""
    T, threads = shape[0], threads_for(shape[0])
    if threads == 1:
        run(alone, 1, kind, *shape, *addresses(tensors), 0, T)
    else:
        run(on_threads, threads, kind, *shape, *addresses(tensors))


class Soften(torch.autograd.Function):
    """Decisions (T, N) and neurons before their activation (T, L, h), float32 on the processor -> the activated neurons
    times their leaf's weight (T, L, h), the weights (T, L), and what the way back wants; last the leaf that the hard
    decisions lead to, int64 (T,).

    What a decision gains by moving is a difference of sums over the leaves on its two sides of weight times gradient,
    which is what the weighted neurons' gradient times themselves adds up to. With relu the way back needs no neurons.
    """

    @staticmethod
    def forward(decisions: Tensor, neurons: Tensor, activation: str) -> tuple[Tensor, ...]:
        decisions, neurons = decisions.contiguous(), neurons.contiguous()
        right, weights = torch.empty_like(decisions), neurons.new_empty(neurons.shape[:2])
        mixed, leaf = torch.empty_like(neurons), torch.empty(len(neurons), dtype=torch.int64)
        tensors = decisions, neurons, right, weights, mixed, leaf
        share_out(weigh, weigh_on_threads, ACTIVATIONS.index(activation), neurons.shape, *tensors)
        return mixed, weights, right, leaf

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        mixed, weights, right, leaf = output
        decisions, neurons, ctx.activation = inputs
        neurons = mixed if ctx.activation == "relu" else neurons.contiguous()
        ctx.save_for_backward(mixed, weights, right, neurons, decisions)
        ctx.mark_non_differentiable(right, leaf)

    @staticmethod
    def backward(ctx, by_mixed: Tensor, by_weights: Tensor, *_):
        mixed, weights, right, neurons, decisions = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient of a gradient is asked for
            return *again(ctx.activation, by_mixed, by_weights, mixed, weights, neurons, decisions), None
        given = by_mixed.contiguous(), by_weights.contiguous(), right, weights, mixed, neurons
        by_neurons, by_decisions = torch.empty_like(mixed), torch.empty_like(right)
        kind = ACTIVATIONS.index(ctx.activation)
        share_out(weigh_back, weigh_back_on_threads, kind, mixed.shape, *given, by_neurons, by_decisions)
        return by_decisions, by_neurons, None

    @staticmethod
    def vmap(info, in_dims, decisions: Tensor, neurons: Tensor, activation: str):
        """Under ``torch.vmap`` all seeds' tokens are simply tokens."""
        stacked = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip((decisions, neurons), in_dims, strict=False)
        ]
        outputs = Soften.apply(*(tensor.flatten(0, 1) for tensor in stacked), activation)
        return tuple(output.unflatten(0, stacked[0].shape[:2]) for output in outputs), (0, 0, 0, 0)


def again(
    activation: str, by_mixed: Tensor, by_weights: Tensor, mixed: Tensor, weights: Tensor, neurons: Tensor,
    decisions: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """What ``weigh_back`` does, in steps that have gradients themselves."""
    if activation == "relu":
        slopes = (neurons > 0).to(neurons.dtype)
    else:
        fired = getattr(F, activation)(neurons)
        (slopes,) = torch.autograd.grad(fired, neurons, torch.ones_like(fired), create_graph=True)
    right, worth, levels = decisions.sigmoid(), (by_mixed * mixed).sum(-1) + by_weights * weights, []
    while (nodes := worth.shape[1] // 2) > 0:  # of a level, from the leaves up
        left_worth, right_worth = worth.unflatten(1, (nodes, 2)).unbind(-1)
        worth = left_worth + right_worth
        levels.insert(0, right_worth - right[:, nodes - 1 : 2 * nodes - 1] * worth)
    by_decisions = torch.cat(levels, 1) if levels else torch.zeros_like(decisions)
    return by_decisions, by_mixed * weights.unsqueeze(-1) * slopes
