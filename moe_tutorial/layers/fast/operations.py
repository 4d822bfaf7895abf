"""What ``torch.compile`` sees of this folder: operations without insides, so that its graph needs no break.

Nothing but the inputs is kept for the way back; what it wants to have besides is computed once more. Where shapes are
described, ``len`` of a tensor would tie the graph to one number of tokens.
"""

import torch
from torch import Tensor

from . import mixing
from .dispatch import load


@torch.library.custom_op("moe_tutorial::mix", mutates_args=())
def mix_operation(
    tokens: Tensor, indices: Tensor, weights: Tensor, w_in: Tensor, b_in: Tensor | None, w_gate: Tensor | None,
    b_gate: Tensor | None, w_out: Tensor, b_out: Tensor | None, activation: str,
) -> Tensor:  # fmt: skip
    stacks = w_in, b_in, w_gate, b_gate, w_out, b_out
    way = mixing.way_for(tokens, indices, weights, stacks, False)
    return way.forward(tokens, indices, weights, stacks, activation, False)[0]


@torch.library.custom_op("moe_tutorial::mix_backward", mutates_args=())
def mix_backward_operation(
    by_y: Tensor, tokens: Tensor, indices: Tensor, weights: Tensor, w_in: Tensor, b_in: Tensor | None,
    w_gate: Tensor | None, b_gate: Tensor | None, w_out: Tensor, b_out: Tensor | None, activation: str,
) -> list[Tensor]:  # fmt: skip
    stacks = w_in, b_in, w_gate, b_gate, w_out, b_out
    way = mixing.way_for(tokens, indices, weights, stacks, True)
    kept = way.forward(tokens, indices, weights, stacks, activation, True)[1]
    gradients = mixing.backward(way, tokens, indices, weights, by_y, stacks, activation, kept)
    return [gradient for gradient in gradients if gradient is not None]


@mix_operation.register_fake
def _(tokens, indices, weights, w_in, b_in, w_gate, b_gate, w_out, b_out, activation):
    return tokens.new_empty(tokens.shape[0], w_out.shape[-1])


@mix_backward_operation.register_fake
def _(by_y, tokens, indices, weights, w_in, b_in, w_gate, b_gate, w_out, b_out, activation):
    asked = tokens, weights, w_in, b_in, w_gate, b_gate, w_out, b_out
    return [torch.empty_like(tensor) for tensor in asked if tensor is not None]


def keep_inputs(ctx, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:-1])
    ctx.activation = inputs[-1]


def compiled_backward(ctx, by_y: Tensor) -> tuple:
    tokens, indices, weights, *stacks = ctx.saved_tensors
    found = torch.ops.moe_tutorial.mix_backward(by_y, tokens, indices, weights, *stacks, ctx.activation)
    by_tokens, by_weights, *by_stacks = found
    by_stack = iter(by_stacks)
    return by_tokens, None, by_weights, *(None if stack is None else next(by_stack) for stack in stacks), None


mix_operation.register_autograd(compiled_backward, setup_context=keep_inputs)


@torch.library.custom_op("moe_tutorial::descend", mutates_args=())
def descend_operation(
    tokens: Tensor, node_weight: Tensor, node_bias: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor,
    activation: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    parameters = node_weight, node_bias, w_in, b_in, w_out, b_out
    return load("descend_kernel").descend(tokens.contiguous(), parameters, activation)


@torch.library.custom_op("moe_tutorial::descend_backward", mutates_args=())
def descend_backward_operation(
    by_y: Tensor, tokens: Tensor, leaf: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor,
    activation: str,
) -> list[Tensor]:  # fmt: skip
    found = load("descend_kernel").by_leaves(by_y, tokens, leaf, w_in, b_in, w_out, b_out, activation)
    return [gradient for gradient in found if gradient is not None]


@descend_operation.register_fake
def _(tokens, node_weight, node_bias, w_in, b_in, w_out, b_out, activation):
    return tokens.new_empty(tokens.shape[0], w_out.shape[-1]), tokens.new_empty(tokens.shape[0], dtype=torch.int64)


@descend_backward_operation.register_fake
def _(by_y, tokens, leaf, w_in, b_in, w_out, b_out, activation):
    return [torch.empty_like(tensor) for tensor in (tokens, w_in, b_in, w_out, b_out)]


def keep_descent(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    tokens, _, _, *leaves, ctx.activation = inputs
    ctx.save_for_backward(tokens, output[1], *leaves)


def descend_back(ctx, by_y: Tensor, _) -> tuple:
    by_tokens, *by_leaves = torch.ops.moe_tutorial.descend_backward(by_y, *ctx.saved_tensors, ctx.activation)
    return by_tokens, None, None, *by_leaves, None


descend_operation.register_autograd(descend_back, setup_context=keep_descent)
