"""Softmax and top-k in one pass, for a router that does no more than that."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active as are_transforms_active
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from .dispatch import load

if TYPE_CHECKING:
    from ..routing import Router


def pick(router: "Router", logits: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Probabilities (T, E), the chosen experts (T, k), best first, and their weights (T, k); None where the
    router has to go its plain way: it ranks otherwise, numba is missing, or ``mixing.mix`` would not be quick either.
    """
    if router.gate != "softmax_topk" or router.n_groups is not None or router._buffers["bias"] is not None:
        return None
    if logits.dtype is not torch.float32 or not logits.is_cpu or not logits.is_contiguous():
        return None
    if torch.compiler.is_compiling() or are_transforms_active() or is_in_torch_dispatch_mode():
        return None
    if load("passes_kernel") is None:
        return None
    if logits.requires_grad and torch.is_grad_enabled():
        return Pick.apply(logits, router.top_k, router.renormalize)
    return forward(logits, router.top_k, router.renormalize)


def forward(logits: Tensor, k: int, renormalize: bool) -> tuple[Tensor, Tensor, Tensor]:
    (T, E), kernels = logits.shape, load("passes_kernel")
    probs, weights = torch.empty_like(logits), logits.new_empty(T, k)
    indices = torch.empty(T, k, dtype=torch.int64)
    if not kernels.call(kernels.pick, (T, E, k, renormalize), logits, probs, indices, weights):  # NaN, or infinite
        probs = logits.softmax(-1)
        weights, indices = probs.topk(k)
        if renormalize:
            weights = weights / weights.sum(-1, keepdim=True)
    return probs, indices, weights


class Pick(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor, k: int, renormalize: bool):
        probs, indices, weights = forward(logits, k, renormalize)
        ctx.renormalize = renormalize
        ctx.save_for_backward(probs, indices)
        ctx.mark_non_differentiable(indices)
        ctx.set_materialize_grads(False)
        return probs, indices, weights

    @staticmethod
    def backward(ctx, by_probs: Tensor | None, _, by_weights: Tensor | None):
        probs, indices = ctx.saved_tensors
        if by_probs is None and by_weights is None:
            return None, None, None
        if torch.is_grad_enabled():  # the gradient of a gradient is asked for
            by = torch.zeros_like(probs) if by_probs is None else by_probs
            if by_weights is not None:
                by = by.scatter_add(-1, indices, by_chosen(probs, indices, by_weights, ctx.renormalize))
            return probs * (by - (by * probs).sum(-1, keepdim=True)), None, None
        by_probs, by_weights = (None if by is None else by.contiguous() for by in (by_probs, by_weights))
        kernels, by_logits = load("passes_kernel"), torch.empty_like(probs)
        sizes = *probs.shape, indices.shape[-1], ctx.renormalize
        kernels.call(kernels.pick_back, sizes, probs, indices, by_probs, by_weights, by_logits)
        return by_logits, None, None


def by_chosen(probs: Tensor, indices: Tensor, by_weights: Tensor, renormalize: bool) -> Tensor:
    """The gradient by the chosen probabilities (T, k)."""
    if not renormalize:
        return by_weights
    chosen = probs.gather(-1, indices)
    total = chosen.sum(-1, keepdim=True)
    return (by_weights - (by_weights * chosen / total).sum(-1, keepdim=True)) / total
