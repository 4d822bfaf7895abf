"""The soft descent of a tree, compiled: one pass over the neurons forward, and one backward.

In plain torch, the leaves' weights and the activation take four more passes over the neurons, and four more arrays.
Their time matters beside two matrix products.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .activations import ACTIVATIONS, gelu, gelu_slope, relu, relu_slope, sigmoid, silu, silu_slope
from .arrays import INTEGER, array
from .blocks import dot
from .compiling import kernel, refuse_graph, run_rows


@kernel(inline="always")
def weigh_leaf(activation, weight, neurons, weighted):
    for j in range(len(neurons)):
        weighted[j] = activation(neurons[j]) * weight


@kernel(inline="always")
def weigh_leaf_backward(slope, weight, neurons, grad_weighted, grad_neurons):
    for j in range(len(neurons)):
        grad_neurons[j] = grad_weighted[j] * weight * slope(neurons[j])


@kernel()
def weigh(kind, decisions, neurons, right, weights, weighted, leaf, first, last):
    """For the tokens from ``first`` up to ``last``, write the probabilities of going right (T, N), the leaves' weights
    (T, L), the activated neurons times these (T, L, h), and the leaf of the hard decisions (T,)."""
    nodes, leaves = right.shape[1], weights.shape[1]
    arriving = np.empty(nodes + leaves, np.float32)  # probability of reaching each node, then each leaf
    for t in range(first, last):
        node = 0
        while node < nodes:
            node = 2 * node + 1 + (decisions[t, node] >= 0)
        leaf[t] = node - nodes
        arriving[0] = 1
        for n in range(nodes):
            right[t, n] = sigmoid(decisions[t, n])
        for n in range(nodes):
            to_the_right = arriving[n] * right[t, n]
            arriving[2 * n + 1], arriving[2 * n + 2] = arriving[n] - to_the_right, to_the_right
        for e in range(leaves):
            weight = weights[t, e] = arriving[nodes + e]
            # One loop for each kind, as a loop with a branch is not vectorised.
            if kind == 0:
                weigh_leaf(relu, weight, neurons[t, e], weighted[t, e])
            elif kind == 1:
                weigh_leaf(gelu, weight, neurons[t, e], weighted[t, e])
            else:
                weigh_leaf(silu, weight, neurons[t, e], weighted[t, e])


@kernel()
def weigh_backward(
    kind, grad_weighted, grad_weights, right, weights, weighted, neurons, grad_neurons, grad_decisions, first, last
):  # fmt: skip
    """Write the gradients of neurons and decisions. For relu, ``neurons`` may be the weighted neurons, which give the
    same result."""
    nodes, leaves = right.shape[1], weights.shape[1]
    worth = np.empty(nodes + leaves, np.float32)  # of each node, then each leaf: its weight times the gradient of it
    for t in range(first, last):
        for e in range(leaves):
            weight, grad, own = weights[t, e], grad_weighted[t, e], neurons[t, e]
            worth[nodes + e] = dot(grad, weighted[t, e]) + grad_weights[t, e] * weight
            if kind == 0:
                weigh_leaf_backward(relu_slope, weight, own, grad, grad_neurons[t, e])
            elif kind == 1:
                weigh_leaf_backward(gelu_slope, weight, own, grad, grad_neurons[t, e])
            else:
                weigh_leaf_backward(silu_slope, weight, own, grad, grad_neurons[t, e])
        for n in range(nodes - 1, -1, -1):
            worth[n] = worth[2 * n + 1] + worth[2 * n + 2]
            grad_decisions[t, n] = worth[2 * n + 2] - right[t, n] * worth[n]


def soften(
    tokens: Tensor, decisions: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor, activation: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix all leaves by these decisions: outputs (T, o), the leaves' weights (T, L), and the leaf of the hard decisions
    (T,), int64.

    Args:
        tokens (T, d), decisions (T, L - 1), w_in (L, h, d), b_in (L, h), w_out (L, h, o), b_out (L, o): float32 on the
            CPU. L is a power of 2. Decisions are the logits of going right.
        activation: "relu", "gelu" or "silu".

    Raises ValueError if the shapes of decisions and leaves do not fit.
    """
    neurons = F.linear(tokens, w_in.flatten(0, 1), b_in.flatten()).unflatten(-1, b_in.shape)
    weighted, weights, _, leaf = Soften.apply(decisions, neurons, activation)
    return torch.addmm(weights @ b_out, weighted.flatten(1), w_out.flatten(0, 1)), weights, leaf


class Soften(torch.autograd.Function):
    """Decisions (T, N) and neurons before their activation (T, L, h) -> the activated neurons times their leaf's weight
    (T, L, h), the weights (T, L), the probabilities of going right (T, N), and the leaf of the hard decisions (T,).

    The gradient of a node's decision is ``right - p * (left + right)``, where p is the probability of going right. Here
    ``left`` and ``right`` are sums over the leaves on either side of the leaf's weight times that weight's gradient.
    That product is the dot product of the weighted neurons and their gradient, plus the part that comes through the
    returned weights. With relu, the backward pass needs no neurons.
    """

    @staticmethod
    def forward(decisions: Tensor, neurons: Tensor, activation: str) -> tuple[Tensor, ...]:
        decisions, neurons = decisions.contiguous(), neurons.contiguous()
        (T, L, h), kind = neurons.shape, ACTIVATIONS.index(activation)
        right, weights = torch.empty_like(decisions), neurons.new_empty(T, L)
        weighted, leaf = torch.empty_like(neurons), torch.empty(T, dtype=INTEGER)
        arrays = [
            array(decisions, T, L - 1), array(neurons, T, L, h), array(right, T, L - 1), array(weights, T, L),
            array(weighted, T, L, h), array(leaf, T, dtype=INTEGER),
        ]  # fmt: skip
        run_rows(weigh, T, [kind, *arrays])
        return weighted, weights, right, leaf

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        weighted, weights, right, leaf = output
        _, neurons, ctx.activation = inputs
        neurons = weighted if ctx.activation == "relu" else neurons.contiguous()
        ctx.save_for_backward(weighted, weights, right, neurons)
        ctx.mark_non_differentiable(right, leaf)

    @staticmethod
    def backward(ctx, grad_weighted: Tensor, grad_weights: Tensor, *_):
        refuse_graph()
        weighted, weights, right, neurons = ctx.saved_tensors
        T, L, h = weighted.shape
        grad_neurons, grad_decisions = torch.empty_like(weighted), torch.empty_like(right)
        arrays = [
            array(grad_weighted.contiguous(), T, L, h), array(grad_weights.contiguous(), T, L),
            array(right, T, L - 1), array(weights, T, L), array(weighted, T, L, h), array(neurons, T, L, h),
            array(grad_neurons, T, L, h), array(grad_decisions, T, L - 1),
        ]  # fmt: skip
        run_rows(weigh_backward, T, [ACTIVATIONS.index(ctx.activation), *arrays])
        return grad_decisions, grad_neurons, None

    @staticmethod
    def vmap(info, in_dims, decisions: Tensor, neurons: Tensor, activation: str):
        """Under ``torch.vmap``, the tokens of all seeds are flattened into one batch."""
        stacked = [
            tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip((decisions, neurons), in_dims, strict=False)
        ]
        outputs = Soften.apply(*(tensor.flatten(0, 1) for tensor in stacked), activation)
        return tuple(output.unflatten(0, stacked[0].shape[:2]) for output in outputs), (0, 0, 0, 0)
