"""Which calls of a tree a kernel can take. For all others these functions return None: the tree goes the plain way.

A token as a whole takes ten microseconds, so the way to the kernel counts: what looks roundabout saves parts of one.
"""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_dtype
from ..experts import Experts

if TYPE_CHECKING:
    from ..tree import FastFeedForward


NUMBA = find_spec("numba") is not None


@cache
def load(name: str) -> ModuleType | None:
    """The kernels of this folder's module, or None where numba is missing. Loading them takes a second, once."""
    try:
        return import_module(f"{__package__}.{name}")
    except ImportError:
        return None


def descend(tree: "FastFeedForward", tokens: Tensor) -> tuple[Tensor, Tensor] | None:
    """``tree.descend(tokens)``, compiled: float32 on a processor, everything one row after the other in memory."""
    compiling = torch.compiler.is_compiling()
    kernels = NUMBA if compiling else load("descend_kernel")
    if not kernels or not tokens.is_cpu or type(tree._modules["leaves"]) is not Experts:
        return None
    try:
        parameters = in_order(tree)
    except KeyError:  # pruned or parametrised: attributes, but no parameters
        return None
    float32 = torch.float32
    for tensor in parameters:
        if tensor.dtype is not float32 or not tensor.is_contiguous():
            return None
    if tokens.dtype is not float32:
        check_dtype(tokens, parameters[2])
        tokens = tokens.to(float32)  # autocast is on, and does not reach a kernel
    if not tokens.is_contiguous() or not parameters[2].is_cpu:
        return None
    if compiling:
        return torch.ops.moe_tutorial.descend(tokens, *parameters, tree._modules["leaves"].activation)
    if torch.is_grad_enabled():
        for tensor in (tokens, *parameters):
            if tensor.requires_grad:
                return kernels.Descend.apply(tree._modules["leaves"].activation, tokens, *parameters)
    return kernels.descend(tokens, parameters, tree._modules["leaves"].activation)


def in_order(tree: "FastFeedForward") -> list[Tensor]:
    """The six parameters, as the kernel wants them. nn.Module's own search for six attributes would cost more than a
    tree's level."""
    nodes, leaves = tree._parameters, tree._modules["leaves"]._parameters
    return [
        nodes["node_weight"], nodes["node_bias"],
        leaves["w_in"], leaves["b_in"], leaves["w_out"], leaves["b_out"],
    ]  # fmt: skip


def soften(tree: "FastFeedForward", tokens: Tensor, decisions: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """``tree.soften(tokens, decisions)``, compiled, and the leaf (T,) that these lead to: float32 on a processor.

    In plain torch the weights and the activation take four passes more over the neurons, and as many arrays, which is
    felt beside two matrix products.
    """
    if torch.compiler.is_compiling():  # which makes kernels of its own of the plain way
        return None
    kernels, leaves = load("soften_kernel"), tree.leaves
    dtypes = decisions.dtype, leaves.w_in.dtype
    if kernels is None or not decisions.is_cpu or type(leaves) is not Experts or dtypes != (torch.float32,) * 2:
        return None
    w_in, b_in, w_out = leaves.w_in.flatten(0, 1), leaves.b_in.flatten(), leaves.w_out.flatten(0, 1)
    products = load("products_kernel")
    own = products.can((tokens, w_in, b_in, w_out, leaves.b_out))
    neurons = (products.Linear.apply if own else F.linear)(tokens, w_in, b_in).unflatten(-1, leaves.b_in.shape)
    weighted, weights, _, leaf = kernels.Soften.apply(decisions, neurons, leaves.activation)
    if own:
        y = products.TwoProducts.apply(weights, leaves.b_out, weighted.flatten(1), w_out)
    else:
        y = torch.addmm(weights @ leaves.b_out, weighted.flatten(1), w_out)
    return y, weights, leaf
