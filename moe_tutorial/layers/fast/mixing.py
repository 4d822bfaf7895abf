"""A mixture's sparse dispatch with compiled kernels, chosen by shape: one for few tokens per expert, one around BLAS.

The gradient of an expert without tokens is zero, not missing.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from . import few_tokens, many_tokens
from .activations import ACTIVATIONS
from .arrays import INTEGER, array
from .blas import find_sgemm
from .compiling import refuse_graph
from .gradients import empty_gradient

# Without gradients, ``few_tokens`` is used for a single token, and for up to this many input numbers per expert (tokens
# times width, on average). Measured on one thread with widths 64 to 256, and 8 and 64 experts: on a Zen 4 it is faster
# for up to eight times as many, on a processor with a better BLAS only for fewer.
FEW = 2**10
# On several threads, plain torch is faster if threads times the neurons of all choices exceed this: it parallelises
# what lies between the products, too. Measured with two threads.
MANY = 2**22


def mix(
    tokens: Tensor,
    indices: Tensor,
    weights: Tensor,
    w_in: Tensor,
    b_in: Tensor | None,
    w_gate: Tensor | None,
    b_gate: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    activation: str,
) -> Tensor | None:
    """The outputs of the chosen experts, weighted and added up, with gradients for all but the indices.

    Args:
        tokens (T, d), weights (T, k): float32. indices (T, k): int64, the chosen experts.
        w_in, b_in, w_gate, b_gate, w_out, b_out: the stacks of E experts, see ``Experts``; None for a stack that the
            mixture lacks. (E, h, d), (E, h), (E, h, d), (E, h), (E, h, o), (E, o), float32.
        activation: "relu", "gelu" or "silu".

    All tensors are contiguous and on the CPU. Returns (T, o); None if plain torch is faster, and if it does not
    export its BLAS. Raises ValueError if an index is out of range, and for a tensor of another shape;
    ``CannotServe``, a ValueError, for another dtype or layout.
    """
    threads = torch.get_num_threads()
    if not find_sgemm() or (threads > 1 and indices.numel() * w_in.shape[1] * threads > MANY):
        return None
    tensors = tokens, indices, weights, w_in, b_in, w_gate, b_gate, w_out, b_out
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return Mix.apply(activation, *tensors)
    return forward(activation, *tensors, save=False)[0]


def forward(
    activation: str, tokens: Tensor, indices: Tensor, weights: Tensor, *stacks: Tensor | None, save: bool
) -> tuple[Tensor, list[Tensor]]:
    """The outputs (T, o), and what ``many_tokens.backward`` needs: order, start, values and gates if ``save``."""
    (T, k), (E, h, d), o = indices.shape, stacks[0].shape, stacks[4].shape[2]
    S, kind, y = T * k, ACTIVATIONS.index(activation), tokens.new_empty(T, o)
    given = array(tokens, T, d), array(indices, T, k, dtype=INTEGER).ravel(), array(weights, T, k).ravel()
    arrays = [*given, *arrays_of(stacks, E, d, h, o), array(y, T, o)]
    saved = []
    if not save and (T == 1 or S * d <= FEW * E):
        fits = few_tokens.forward(kind, k, *arrays)
    else:
        rows = S if save else 0
        saved = [torch.empty(S, dtype=INTEGER), torch.empty(E + 1, dtype=INTEGER)]
        saved += [tokens.new_empty(rows, h), tokens.new_empty(rows if stacks[2] is not None else 0, h)]
        fits = many_tokens.forward(find_sgemm(), kind, k, *arrays, save, *(tensor.numpy() for tensor in saved))
    if not fits:
        wrong = next(e for e in indices.flatten().tolist() if not 0 <= e < E)
        raise ValueError(f"the router chose expert {wrong}, but there are only {E}")
    return y, saved


class Mix(torch.autograd.Function):
    """``forward`` with its gradients, which have none themselves."""

    @staticmethod
    def forward(ctx, activation: str, tokens: Tensor, indices: Tensor, weights: Tensor, *stacks: Tensor | None):
        y, saved = forward(activation, tokens, indices, weights, *stacks, save=True)
        ctx.activation = activation
        ctx.save_for_backward(tokens, weights, *stacks, *saved)
        return y

    @staticmethod
    def backward(ctx, grad_output: Tensor):
        refuse_graph()
        tokens, weights, *rest = ctx.saved_tensors
        stacks, saved = rest[:6], rest[6:]
        (T, k), (E, h, d), o = weights.shape, stacks[0].shape, stacks[4].shape[2]
        w_in, b_in, w_gate, _, w_out, b_out = arrays_of(stacks, E, d, h, o)
        grads = [None if stack is None else empty_gradient(stack) for stack in stacks]
        grad_x = torch.empty_like(tokens) if ctx.needs_input_grad[1] else None
        grad_weights = torch.empty_like(weights)
        many_tokens.backward(
            find_sgemm(), ACTIVATIONS.index(ctx.activation), k,
            array(tokens, T, d), array(weights, T, k).ravel(), array(grad_output.contiguous(), T, o),
            w_in, b_in, w_gate, w_out, b_out, *(tensor.numpy() for tensor in saved),
            array(grad_x, T, d), array(grad_weights, T, k).ravel(), *arrays_of(grads, E, d, h, o),
        )  # fmt: skip
        return None, grad_x, None, grad_weights, *grads


def arrays_of(stacks: Sequence[Tensor | None], E: int, d: int, h: int, o: int) -> list[np.ndarray]:
    shapes = (E, h, d), (E, h), (E, h, d), (E, h), (E, h, o), (E, o)
    return [array(stack, *shape) for stack, shape in zip(stacks, shapes, strict=True)]
