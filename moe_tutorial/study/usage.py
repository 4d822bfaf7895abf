"""Measures of how the tokens spread over the experts.

Most take the shares that :func:`share` returns: the fraction of the choices that went to each expert, shape (..., E).
Leading dimensions are free, so that the shares of many seeds or steps are measured at once. :func:`specialisation`
takes the choices themselves, :func:`strength` every expert's own answers.
"""

import math

import torch
import torch.nn.functional as F
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

DEAD_BELOW = 0.01
"""An expert with less than this share of the choices is called dead."""


def share(indices: Tensor, n_experts: int) -> Tensor:
    """Fraction of the choices that went to each expert.

    Args:
        indices: chosen experts, int (..., T, k), as in ``routing.indices``.
        n_experts: E.

    Returns:
        float (..., E), summing to 1 (all zero for an empty batch).

    Raises:
        ValueError: an index is not in 0..E-1, or ``indices`` has fewer than two dimensions.
    """
    if indices.dim() < 2:
        raise ValueError(f"indices has shape {tuple(indices.shape)}; allowed is (..., tokens, k)")
    check_indices(indices, n_experts)
    flat = indices.flatten(-2)
    counts = torch.zeros(*flat.shape[:-1], n_experts, device=indices.device)
    counts.scatter_add_(-1, flat, torch.ones(flat.shape, device=indices.device))
    return counts / max(flat.shape[-1], 1)


def max_share(shares: Tensor) -> Tensor:
    """Share of the busiest expert, (..., E) -> (...). Even use gives 1/E, full collapse 1."""
    return shares.amax(-1)


def dead(shares: Tensor, threshold: float = DEAD_BELOW) -> Tensor:
    """Number of experts with a share below ``threshold``, (..., E) -> int (...)."""
    return (shares < threshold).sum(-1)


def entropy(shares: Tensor) -> Tensor:
    """Entropy of the shares divided by its maximum log E, (..., E) -> (...). 1 is even use, 0 is one expert for all."""
    n_experts = shares.shape[-1]
    if n_experts == 1:
        return torch.ones(shares.shape[:-1], device=shares.device)
    return torch.special.entr(shares).sum(-1) / math.log(n_experts)


def cv2(shares: Tensor) -> Tensor:
    """Squared coefficient of variation, (..., E) -> (...): variance over squared mean. 0 is even use, E - 1 collapse.

    Source: Shazeer et al. 2017 (https://arxiv.org/abs/1701.06538), equation 7, with the population variance.
    """
    return shares.var(-1, correction=0) / shares.mean(-1).square()


def strength(scores: Tensor, labels: Tensor, rules: Tensor | None = None) -> Tensor:
    """Accuracy of each expert when it answers alone, chosen or not.

    With ``rules``, an expert that is good at one rule's inputs is not judged by the others: take the largest over R.

    Args:
        scores: what each expert says to each input, float (..., T, E, C).
        labels: the right classes, int (T,).
        rules: which rule each input follows, int (T,) in 0..R-1.

    Returns:
        float (..., E), or with ``rules`` (..., E, R), the accuracy on each rule's inputs.

    Raises:
        ValueError: the numbers of inputs differ, or a rule in 0..R-1 has no input.
    """
    if labels.dim() != 1 or scores.dim() < 3 or scores.shape[-3] != len(labels):
        raise ValueError(
            f"scores {tuple(scores.shape)} and labels {tuple(labels.shape)} must be "
            "(..., inputs, experts, classes) and (inputs,)"
        )
    correct = (scores.argmax(-1) == labels[:, None]).float()
    if rules is None:
        return correct.mean(-2)
    _check_pairs(rules, labels, "rules")
    counts = torch.bincount(rules)
    if not counts.all():
        raise ValueError(f"no input follows rule {int((counts == 0).nonzero()[0])}; rules run from 0 to R - 1")
    return correct.mT @ F.one_hot(rules).to(correct) / counts


def specialisation(choices: Tensor, labels: Tensor) -> float:
    """How much the choice of expert tells about the label: normalised mutual information, 0 (nothing) to 1 (all).

    Even use says nothing about it: a random choice is balanced and has a specialisation near 0.

    Args:
        choices: the first chosen expert of each token, int (T,).
        labels: what the experts might have divided among themselves (a rule, a domain), int (T,).

    Raises:
        ValueError: the two differ in shape or are not one-dimensional.
    """
    _check_pairs(choices, labels)
    return float(normalized_mutual_info_score(labels.cpu().numpy(), choices.cpu().numpy()))


def check_indices(indices: Tensor, n_experts: int) -> None:
    """Raise ValueError if an index is out of range."""
    if indices.numel() and (indices.min() < 0 or indices.max() >= n_experts):
        raise ValueError(
            f"indices run from {int(indices.min())} to {int(indices.max())}; "
            f"with n_experts={n_experts} allowed are 0 to {n_experts - 1}"
        )


def _check_pairs(choices: Tensor, labels: Tensor, name: str = "choices") -> None:
    if choices.dim() != 1 or choices.shape != labels.shape:
        raise ValueError(f"{name} {tuple(choices.shape)} and labels {tuple(labels.shape)} must both be (tokens,)")
