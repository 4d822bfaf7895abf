"""Serving: how many tokens an expert may take, and which choices then fit."""

import math

import torch
from torch import Tensor

from moe_tutorial.layers.checks import check_count, check_number


def capacity(n_tokens: int, n_experts: int, top_k: int, factor: float) -> int:
    """How many tokens an expert may take: its even share of the T * k choices, times ``factor``, rounded up.

    Never 0: for short inputs a capacity that is rounded down would drop every token.

    Raises:
        TypeError, ValueError: a count is no integer of at least 1, or ``factor`` is negative or not finite.

    Source: Switch (https://arxiv.org/abs/2101.03961), equation 3, where k is 1; with k, GShard
    (https://arxiv.org/abs/2006.16668), section 2.2.
    """
    for name, value in {"n_tokens": n_tokens, "n_experts": n_experts, "top_k": top_k}.items():
        check_count(name, value)
    check_number("factor", factor)
    return max(1, math.ceil(factor * n_tokens * top_k / n_experts))


def kept(indices: Tensor, n_experts: int, capacity: int) -> Tensor:
    """Which choices fit if no expert takes more than ``capacity``: bool (T, k). The rest is dropped.

    An expert keeps the first to come, token by token, so that no later token changes what an earlier one gets.

    Args:
        indices: chosen experts, int (T, k), as in ``routing.indices``.
        n_experts: E.
        capacity: choices that one expert may keep, at least 1.

    Raises:
        ValueError: indices that are not (T, k), or a capacity below 1.
    """
    if indices.dim() != 2:
        raise ValueError(f"indices is of shape {tuple(indices.shape)}; it must be (tokens, k)")
    check_count("capacity", capacity)
    asked = indices.flatten().unsqueeze(-1) == torch.arange(n_experts, device=indices.device)
    place = (asked.cumsum(0) * asked).sum(-1)  # of each choice at its expert: 1 is the first
    return (place <= capacity).view_as(indices)
