"""The sparse way of a mixture, chosen by shape: a kernel for few tokens of each expert, another around BLAS for more,
and grouped products in plain torch where neither can.

All keep little between forward and backward, and all write the gradient of the experts' weights where that of the
step before lay (``lending``). The gradient of an expert without a token is zero, and not missing.
"""

import copy
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active as are_transforms_active
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from ..checks import autocasts
from ..experts import Experts
from . import groups, lending
from .dispatch import load

if TYPE_CHECKING:
    from ..mixture import MixtureOfExperts
    from ..routing import Routing

STACKS = ("w_in", "b_in", "w_gate", "b_gate", "w_out", "b_out")
# In evaluation, the numbers that an expert is given, its tokens times their width, up to which reading its weights once
# is the quickest way. For a single token it always is. Measured with one thread, widths 64 to 512, 1 to 64 experts.
FEW = 200
# On several threads, these times the neurons of all choices, beyond which plain torch is quicker: it divides among them
# what lies between the products, too. Measured with two.
MANY = 2**22
# In bfloat16, an expert's tokens times the size of its matrix times its neurons, up to which widening the matrix is
# quicker than what torch has, whose products take long to begin. Measured as above, on a processor that has to widen
# in any case, and on one that multiplies bfloat16 itself. Where our own loops multiply what is widened, it is
# quicker up to OWN tokens of an expert, whatever its size, too.
NARROW, NATIVE, OWN = 2**30, 2**28, 128


def mix(mixture: "MixtureOfExperts", tokens: Tensor, routing: "Routing") -> Tensor | None:
    """``mixture.sparse(tokens, routing)``, quickly; None where that way has to be taken: by experts of a class of one's
    own, under a transform of ``torch.func``, and while somebody watches the operations, as who counts multiplications.

    ValueError for an expert that there is not.
    """
    experts = mixture._modules.get("experts")  # nn.Module's own search takes a microsecond, and a token some fifty
    if type(experts) is not Experts:
        return None
    if not torch.compiler.is_compiling() and (are_transforms_active() or is_in_torch_dispatch_mode()):
        return None
    own = experts._parameters
    stacks = [own[name] if name in own else getattr(experts, name) for name in STACKS]
    if autocasts(tokens):
        dtype = torch.get_autocast_dtype(tokens.device.type)
        tokens, stacks = tokens.to(dtype), [None if stack is None else stack.to(dtype) for stack in stacks]
    indices, weights = routing.indices, routing.weights.to(tokens.dtype)
    if torch.compiler.is_compiling():
        return torch.ops.moe_tutorial.mix(tokens, indices, weights, *stacks, experts.activation)
    if torch.is_grad_enabled():
        for tensor in (tokens, weights, *stacks):
            if tensor is not None and tensor.requires_grad:
                return Mix.apply(mixture, tokens, indices, weights, *stacks)
    return way_for(tokens, indices, weights, stacks, False).forward(
        tokens, indices, weights, stacks, experts.activation, False
    )[0]


def way_for(
    tokens: Tensor, indices: Tensor, weights: Tensor, stacks: Sequence[Tensor | None], training: bool
) -> ModuleType:
    """The quickest way, a module with these two functions:

    - ``forward(tokens, indices, weights, stacks, activation, keep)``: the chosen experts' answers, times their weights,
      added up: tokens (T, d), choices (T, k) -> (T, o); and with ``keep`` a list of what ``backward`` wants to have.
    - ``backward``: see below.

    Kernels take float32 or bfloat16 on a processor, row after row in memory.
    """
    w_in, slices = stacks[0], load("slices_kernel")
    (E, h, d), dtype = w_in.shape, w_in.dtype
    if slices is None or indices.dtype is not torch.int64 or not indices.is_contiguous():
        return groups
    for tensor in (tokens, weights, *stacks):
        if tensor is not None and not (tensor.dtype is dtype and tensor.is_cpu and tensor.is_contiguous()):
            return groups
    choices, threads = indices.numel(), torch.get_num_threads()
    if dtype is torch.float32 and not training and (len(tokens) == 1 or choices * d <= FEW * E):
        return load("mixture_kernel")
    if not slices.find_sgemm() or (threads > 1 and choices * h * threads > MANY):
        return groups
    if dtype is torch.bfloat16 and choices * d * h * h > (NATIVE if multiplies_bfloat16() else NARROW) * E:
        return slices if slices.own_loops() and choices <= OWN * E else groups
    return slices if dtype in (torch.float32, torch.bfloat16) else groups


@cache
def multiplies_bfloat16() -> bool:
    """Whether the processor does, as far as this torch can say."""
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def backward(
    way: ModuleType,
    tokens: Tensor,
    indices: Tensor,
    weights: Tensor,
    by_y: Tensor,
    stacks: Sequence[Tensor | None],
    activation: str,
    kept: list[Tensor],
    by_tokens_too: bool = True,
) -> list[Tensor | None]:
    """The gradients by tokens (T, d), weights (T, k), and the six stacks."""
    by_stacks = [None if stack is None else lending.empty_like(stack) for stack in stacks]
    arguments = tokens, indices, weights, by_y.contiguous(), stacks, activation, by_stacks, by_tokens_too, kept
    return [*way.backward(*arguments), *by_stacks]


class Mix(torch.autograd.Function):
    """``forward`` with its gradients. Asked for the gradient of a gradient, it goes the plain way once more."""

    @staticmethod
    def forward(ctx, mixture, tokens: Tensor, indices: Tensor, weights: Tensor, *stacks: Tensor | None):
        ctx.mixture, ctx.way = mixture, way_for(tokens, indices, weights, stacks, True)
        y, kept = ctx.way.forward(tokens, indices, weights, stacks, mixture.experts.activation, True)
        ctx.save_for_backward(tokens, indices, weights, *stacks, *kept)
        return y

    @staticmethod
    def backward(ctx, by_y: Tensor):
        tokens, indices, weights, *rest = ctx.saved_tensors
        stacks, kept = rest[: len(STACKS)], rest[len(STACKS) :]
        if torch.is_grad_enabled():
            return None, *again(ctx, by_y, tokens, indices, weights, stacks)
        activation, by_tokens_too = ctx.mixture.experts.activation, ctx.needs_input_grad[1]
        by_tokens, by_weights, *by_stacks = backward(
            ctx.way, tokens, indices, weights, by_y, stacks, activation, kept, by_tokens_too
        )
        return None, by_tokens, None, by_weights, *by_stacks


def again(ctx, by_y: Tensor, tokens: Tensor, indices: Tensor, weights: Tensor, stacks: list[Tensor | None]) -> list:
    """The gradients with a graph of their own, from the plain way with these weights."""
    from ..routing import Routing  # which imports this folder

    # A view of each is asked for its gradient: the weights come from the tokens, but through the router, not through y.
    tokens, weights, *stacks = (None if t is None else t.view_as(t) for t in (tokens, weights, *stacks))
    experts, mixture = copy.copy(ctx.mixture.experts), copy.copy(ctx.mixture)
    experts._parameters = {name: stack for name, stack in zip(STACKS, stacks, strict=True) if stack is not None}
    mixture._modules = {**mixture._modules, "experts": experts}
    y = mixture.sparse(tokens, Routing(weights, weights, indices, weights))
    asked = [tokens, None, weights, *stacks]
    asked = [tensor if needed else None for tensor, needed in zip(asked, ctx.needs_input_grad[1:], strict=True)]
    found = iter(torch.autograd.grad(y, [t for t in asked if t is not None], by_y, create_graph=True))
    return [None if tensor is None else next(found) for tensor in asked]
