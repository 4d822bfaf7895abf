"""The soft descent compiled for processors: one pass over the neurons on the way forward, and one on the way back."""

import numpy as np
import torch
from numba import carray, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from .kernels import floats_at, kernel, run, threads_for


@kernel()
def rows(address, T, n):
    return carray(floats_at(address), (T, n))


@kernel()
def stack(address, T, leaves, h):
    return carray(floats_at(address), (T, leaves, h))


@kernel()
def weigh(T, leaves, h, decisions, neurons, right, weights, mixed, first, last):
    """Of each token from ``first`` up to ``last``: the leaves' weights, and the activated neurons times these."""
    nodes = leaves - 1
    decisions, right, weights = rows(decisions, T, nodes), rows(right, T, nodes), rows(weights, T, leaves)
    neurons, mixed = stack(neurons, T, leaves, h), stack(mixed, T, leaves, h)
    arriving = np.empty(nodes + leaves, np.float32)  # at each node, and after them at each leaf
    for t in range(first, last):
        arriving[0] = 1
        for n in range(nodes):
            right[t, n] = np.float32(1) / (np.float32(1) + np.exp(-decisions[t, n]))
            to_the_right = arriving[n] * right[t, n]
            arriving[2 * n + 1], arriving[2 * n + 2] = arriving[n] - to_the_right, to_the_right
        for leaf in range(leaves):
            weight = weights[t, leaf] = arriving[nodes + leaf]
            for j in range(h):
                value = neurons[t, leaf, j]
                mixed[t, leaf, j] = (np.float32(0) if value <= 0 else value) * weight  # NaN stays NaN, as in torch


@kernel()
def weigh_back(T, leaves, h, by_mixed, by_weights, right, weights, mixed, by_neurons, by_decisions, first, last):
    """The gradients by weighted neurons and by weights -> the gradients by neurons and by decisions."""
    nodes = leaves - 1
    right, by_decisions = rows(right, T, nodes), rows(by_decisions, T, nodes)
    weights, by_weights = rows(weights, T, leaves), rows(by_weights, T, leaves)
    mixed, by_mixed, by_neurons = (
        stack(mixed, T, leaves, h),
        stack(by_mixed, T, leaves, h),
        stack(by_neurons, T, leaves, h),
    )
    worth = np.empty(nodes + leaves, np.float32)  # of a node and of a leaf: its weight times the gradient by it
    for t in range(first, last):
        for leaf in range(leaves):
            weight, total = weights[t, leaf], np.float32(0)
            for j in range(h):
                value = mixed[t, leaf, j]
                total += by_mixed[t, leaf, j] * value
                by_neurons[t, leaf, j] = np.float32(0) if value <= 0 else by_mixed[t, leaf, j] * weight
            worth[nodes + leaf] = total + by_weights[t, leaf] * weight
        for n in range(nodes - 1, -1, -1):
            worth[n] = worth[2 * n + 1] + worth[2 * n + 2]
            by_decisions[t, n] = worth[2 * n + 2] - right[t, n] * worth[n]


@kernel(parallel=True)
def weigh_on_threads(T, leaves, h, decisions, neurons, right, weights, mixed):
    parts = T // 16 + 1
    for part in prange(parts):
        first, last = part * T // parts, (part + 1) * T // parts
        weigh(T, leaves, h, decisions, neurons, right, weights, mixed, first, last)


@kernel(parallel=True)
def weigh_back_on_threads(T, leaves, h, by_mixed, by_weights, right, weights, mixed, by_neurons, by_decisions):
    parts = T // 16 + 1
    for part in prange(parts):
        first, last = part * T // parts, (part + 1) * T // parts
        weigh_back(
            T, leaves, h, by_mixed, by_weights, right, weights, mixed, by_neurons, by_decisions, first, last
        )  # fmt: skip


def share_out(alone, on_threads, shape: tuple[int, int, int], *tensors: Tensor) -> None:
    """One of two kernels that do the same: on one thread, or on as many as torch uses."""
    T, addresses = shape[0], [tensor.data_ptr() for tensor in tensors]
    threads = threads_for(T)
    if threads == 1:
        run(alone, 1, *shape, *addresses, 0, T)
    else:
        run(on_threads, threads, *shape, *addresses)


class Soften(torch.autograd.Function):
    """Decisions (T, N) and relu neurons before their activation (T, L, h), float32 on the processor -> the activated
    neurons times their leaf's weight (T, L, h), and the weights (T, L).

    The way back needs no neurons: what a decision gains by moving is a difference of sums over the leaves on its two
    sides of weight times gradient, which is what the weighted neurons' gradient times themselves adds up to.
    """

    @staticmethod
    def forward(decisions: Tensor, neurons: Tensor) -> tuple[Tensor, ...]:
        decisions, neurons = decisions.contiguous(), neurons.contiguous()
        right, weights = torch.empty_like(decisions), neurons.new_empty(neurons.shape[:2])
        mixed = torch.empty_like(neurons)
        share_out(weigh, weigh_on_threads, neurons.shape, decisions, neurons, right, weights, mixed)
        return mixed, weights, right

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*output)
        ctx.mark_non_differentiable(output[2])

    @staticmethod
    @once_differentiable
    def backward(ctx, by_mixed: Tensor, by_weights: Tensor, _):
        mixed, weights, right = ctx.saved_tensors
        given = by_mixed.contiguous(), by_weights.contiguous(), right, weights, mixed
        by_neurons, by_decisions = torch.empty_like(mixed), torch.empty_like(right)
        share_out(weigh_back, weigh_back_on_threads, mixed.shape, *given, by_neurons, by_decisions)
        return by_decisions, by_neurons

    @staticmethod
    def vmap(info, in_dims, *inputs: Tensor):
        """Under ``torch.vmap`` all seeds' tokens are simply tokens."""
        stacked = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip(inputs, in_dims, strict=True)
        ]
        outputs = Soften.apply(*(tensor.flatten(0, 1) for tensor in stacked))
        return tuple(output.unflatten(0, stacked[0].shape[:2]) for output in outputs), (0, 0, 0)
