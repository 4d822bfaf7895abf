"""Load balancing: auxiliary losses, a balancer without a loss, and two routers that need neither.

A loss takes the ``Routing`` of one batch of tokens and returns a scalar, which training adds to its own loss with a
small factor; ``torch.vmap`` maps it over a stack of routings. ``BiasBalancer`` moves a router's selection bias instead,
and ``QuantileBalancer`` sets it, without a gradient. In ``ExpertChoiceRouter`` the experts choose the tokens, and
``HashRouter`` learns nothing.
"""

import math

import torch
from torch import Tensor, nn

from .checks import as_precise_tokens, check_count, check_positive
from .experts import uniform
from .routing import Routing, check_sizes, full_linear

_HASH_STEPS = 10_000  # steps per unit length: inputs a few ten-thousandths apart may go to different experts


def importance(routing: Routing) -> Tensor:
    """Sum over the tokens of each expert's gate weights: (E,).

    Source: Shazeer et al. 2017 (arXiv:1701.06538), eq. 6. Raises as ``switch_loss`` does.
    """
    _check_one_batch(routing)
    return _per_expert(routing, routing.weights)


def importance_loss(routing: Routing) -> Tensor:
    """Squared coefficient of variation of the importance: a scalar, 0 if it is equal for all, E - 1 if one has it all.

    With the gate "topk_softmax" it has no gradient for an expert that no token chooses, and cannot revive it.

    Source: Shazeer et al. 2017 (arXiv:1701.06538), eq. 7 without the factor. Raises as ``switch_loss`` does.
    """
    return _cv2(importance(routing))


def load_estimate(routing: Routing) -> Tensor:
    """Expected number of tokens that choose each expert if only that expert's noise is drawn again: (E,).

    A count has no gradient; this smooth estimate has one, to the logits and to learned noise. Its mean over the noise
    of all experts is the mean count, so it sums to ``k * T`` on average. It assumes that the noisy logits alone decide
    the choice, as in a ``Router`` without selection bias and groups.

    Source: Shazeer et al. 2017 (arXiv:1701.06538), eq. 8 to 10. Raises as ``switch_loss`` does, and ValueError for a
    routing without noise.
    """
    _check_one_batch(routing)
    if not routing.noisy:
        raise ValueError("a load estimate needs noise: use a router with noise in train(), got a routing without noise")
    noisy, k = routing.noisy_logits, routing.indices.shape[-1]
    if k == noisy.shape[-1]:
        return (0 * noisy + 1).sum(0)  # every expert is chosen, whatever its noise; the product keeps a (zero) gradient
    # Expert i must beat the k-th best of the OTHERS. If i is among the k best, that is number k + 1 of all.
    best = noisy.topk(k + 1).values
    kth, next_best = best[:, k - 1 : k], best[:, k:]
    to_beat = torch.where(noisy > next_best, next_best, kth)
    std = routing.noise_std.clamp_min(torch.finfo(noisy.dtype).eps)  # 1 / 0 would make the gradient nan
    return torch.special.ndtr((routing.logits - to_beat) / std).sum(0)


def switch_loss(routing: Routing) -> Tensor:
    """Share of the choices times mean probability, ``E * sum_i f_i P_i``: a scalar, exactly 1 at uniform use for any k.

    ``f_i`` is the share of all ``T * k`` choices that went to expert i, and has no gradient. ``P_i`` is the mean over
    the tokens of its probability among ALL experts, so that an expert that no token chooses is raised, too. Scores that
    are no softmax are first divided by their sum. The maximum is ``E / k``, when k experts
    are chosen with certainty. The loss is not a distance from balance: it falls BELOW 1 when an expert is chosen often,
    but by a narrow margin.

    Sources: Switch (arXiv:2101.03961), eq. 4 to 6; DeepSeek-V3 (arXiv:2412.19437), eq. 17 to 20; without the factor.

    Raises TypeError for anything but a ``Routing``; ValueError if it is not of a single batch, or if it has no tokens.
    """
    _check_one_batch(routing)
    probs, (T, k) = routing.probs, routing.indices.shape
    counts = _per_expert(routing, torch.ones_like(routing.weights))
    shares = probs / probs.sum(-1, keepdim=True).clamp_min(torch.finfo(probs.dtype).tiny)  # sigmoids can all be 0
    chosen, mean = counts / (T * k), shares.mean(0)
    return probs.shape[-1] * (chosen * mean).sum()


class BiasBalancer:
    """Balance without a loss: after each step, every selection bias moves by ``rate`` towards an even load.

    An expert with fewer choices than the mean goes up, one with more goes down. The bias enters the ranking only, not
    the gate weights.

    Sources: Wang et al. 2024 (arXiv:2408.15664), algorithm 1; DeepSeek-V3 (arXiv:2412.19437), section 2.1.2.

    Raises TypeError or ValueError for a ``rate`` that is not a finite number above 0.
    """

    def __init__(self, rate: float):
        self.rate = check_positive("rate", rate)

    @torch.no_grad()
    def update(self, bias: Tensor | None, indices: Tensor) -> None:
        """Update ``bias`` (..., E) in place from the choices ``indices`` (..., T, k); leading dimensions are seeds.

        Raises ValueError for a router without bias, shapes that do not fit, and an index out of range; TypeError for
        other types.
        """
        _check_bias_and_indices(bias, indices)
        chosen, E = indices.flatten(-2), bias.shape[-1]
        load = chosen.new_zeros(bias.shape).scatter_add(-1, chosen, torch.ones_like(chosen))
        too_few = (load.sum(-1, keepdim=True) - E * load).sign()  # sign of E * (mean - load), in exact integers
        bias.add_(too_few.to(bias.dtype), alpha=self.rate)


class QuantileBalancer:
    """Balance without a loss and without a rate: every update sets the selection bias by quantiles of one batch.

    Expert j is chosen where its score and bias beat the (k + 1)-th best biased score of the token, its bar. The new
    ``bias_j`` is the ``k / E`` quantile, over the tokens, of the bar minus the score of j, so that j passes the bar of
    that part of the tokens. The bars move with the biases, so even use takes some updates. Only differences between
    biases count: their mean is subtracted.

    Sources: Su 2026 (https://kexue.fm/archives/11619); Megatron-LM, pull request 5349.

    Raises TypeError or ValueError for a ``top_k`` that is not an integer of at least 1.
    """

    def __init__(self, top_k: int):
        self.top_k = check_count("top_k", top_k)

    @torch.no_grad()
    def update(self, bias: Tensor | None, scores: Tensor) -> None:
        """Set ``bias`` (..., E) in place from the ``scores`` (..., T, E) that the router ranks by; leading are seeds.

        The scores are ``routing.probs``, or ``routing.logits`` with the gate "topk_softmax". Without tokens, the bias
        stays as it is.

        Raises ValueError for a router without bias, shapes that do not fit, and a ``top_k`` that leaves no expert out;
        TypeError for other types.
        """
        _check_bias_and_scores(bias, scores, self.top_k)
        if scores.shape[-2]:
            bar = (scores + bias.unsqueeze(-2)).topk(self.top_k + 1).values[..., -1:]
            new = (bar - scores).float().quantile(self.top_k / bias.shape[-1], dim=-2)
            bias.copy_(new - new.mean(-1, keepdim=True))


class ExpertChoiceRouter(nn.Module):
    """Every expert chooses its tokens: softmax over the experts, then each takes the tokens that score highest for it.

    Each takes ``ceil(T * top_k / E)`` tokens, so the load is even and a token has ``top_k`` experts on average, or more
    where that rounds up. A token may get no expert or all of them; alone in its batch, it gets all. Its experts depend
    on the other tokens of the batch, LATER ones included, so this router is not for a causal model.

    The routing lists all E experts for every token, highest weight first. A weight is the probability if the expert
    took the token and 0 otherwise, so count only choices with a weight above 0. A mixture computes the others, too, and
    multiplies them by 0: this shows what expert choice learns, not the computation that it saves.

    Args:
        d_model, n_experts, top_k: width ``d``, experts ``E``, and how many a token has on average (1 to E).

    Parameters: ``weight`` (E, d), initialised as in ``nn.Linear``.

    Source: Zhou et al. 2022 (arXiv:2202.09368), section 3.2. Raises TypeError or ValueError for sizes that do not fit.
    """

    def __init__(self, d_model: int, n_experts: int, top_k: int):
        super().__init__()
        self.d_model, self.n_experts, self.top_k = check_sizes(d_model, n_experts, top_k)
        self.weight = uniform((self.n_experts, self.d_model), fan_in=self.d_model)

    def forward(self, x: Tensor) -> Routing:
        """x (..., d) -> the routing of its T tokens. TypeError for integer tensors, ValueError for a wrong width."""
        tokens = as_precise_tokens(x, self.d_model)
        logits = full_linear(tokens, self.weight)
        probs = logits.softmax(-1)
        capacity = math.ceil(len(tokens) * self.top_k / self.n_experts)  # at least 1 token, at most T
        taken = torch.zeros_like(probs).scatter(0, probs.topk(capacity, dim=0).indices, 1.0)
        weights, indices = (probs * taken).sort(dim=-1, descending=True)
        return Routing(logits, probs, indices, weights, logits, logits[:, :0].detach())


class HashRouter(nn.Module):
    """A fixed choice that learns nothing: even use, and neighbouring inputs get unrelated experts.

    Roller et al. hash a word's id. Here inputs are vectors, so the first expert is the number of fine steps along a
    fixed random direction, modulo ``E``. The next ``top_k - 1`` experts follow it, each with weight 1 / top_k. Inputs
    should be of size about 1: beyond 1,000, float32 is too coarse for the steps, and use can become uneven.

    Args:
        d_model, n_experts, top_k: width ``d``, experts ``E``, and how many a token goes to (1 to E).

    Buffers: ``direction`` (d,), drawn from a normal distribution. No parameters.

    Source: Roller et al. 2021 (arXiv:2106.04426). Raises TypeError or ValueError for sizes that do not fit.
    """

    def __init__(self, d_model: int, n_experts: int, top_k: int = 1):
        super().__init__()
        self.d_model, self.n_experts, self.top_k = check_sizes(d_model, n_experts, top_k)
        self.register_buffer("direction", torch.randn(self.d_model))

    def forward(self, x: Tensor) -> Routing:
        """x (..., d) -> the routing of its T tokens. TypeError for integer tensors, ValueError for a wrong width."""
        tokens = as_precise_tokens(x, self.d_model)
        # Round before the sum: integers add up exactly, so the order of the sum cannot change a token's expert.
        steps = (tokens * (_HASH_STEPS * self.direction.to(tokens.dtype))).round().long().sum(-1, keepdim=True)
        indices = (steps + torch.arange(self.top_k, device=tokens.device)) % self.n_experts
        logits = tokens.new_zeros(len(tokens), self.n_experts)
        weights = torch.full_like(indices, 1 / self.top_k, dtype=tokens.dtype)
        return Routing(logits, logits.scatter(-1, indices, weights), indices, weights, logits, logits[:, :0])


def _per_expert(routing: Routing, values: Tensor) -> Tensor:
    """Sum of the choices' ``values`` (T, k) for each expert: (E,)."""
    return values.new_zeros(routing.probs.shape).scatter_add(-1, routing.indices, values).sum(0)


def _cv2(x: Tensor) -> Tensor:
    """Squared coefficient of variation, variance over squared mean: (E,) -> a scalar, 0 if all numbers are 0."""
    return (x / x.mean().clamp_min(torch.finfo(x.dtype).tiny)).var(correction=0)


def _check_one_batch(routing: Routing) -> None:
    """Raise TypeError or ValueError unless ``routing`` is of one batch of tokens."""
    if not isinstance(routing, Routing):
        raise TypeError(f"routing must be a Routing, got {type(routing).__name__}")
    if routing.probs.ndim != 2 or len(routing.probs) == 0:
        raise ValueError(
            "routing must be of one batch, probs (T, E) with at least one token (torch.vmap takes a loss over a stack "
            f"of routings), got probs {tuple(routing.probs.shape)}"
        )


def _check_bias(bias: Tensor | None) -> None:
    """Raise ValueError for a router without selection bias."""
    if bias is None:
        raise ValueError("bias must be the router's selection bias, got None: build the router with bias=True")


def _check_bias_and_scores(bias: Tensor | None, scores: Tensor, top_k: int) -> None:
    """Raise TypeError or ValueError for arguments that ``QuantileBalancer.update`` cannot use."""
    _check_bias(bias)
    for name, value in {"bias": bias, "scores": scores}.items():
        if not isinstance(value, Tensor) or not torch.is_floating_point(value):
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"{name} must be a floating-point tensor, got {got}")
    if bias.ndim == 0 or scores.ndim < 2 or bias.shape != scores.shape[:-2] + scores.shape[-1:]:
        raise ValueError(
            "bias (..., E) and scores (..., T, E) must have the same experts and leading dimensions, "
            f"got {tuple(bias.shape)} and {tuple(scores.shape)}"
        )
    if top_k >= bias.shape[-1]:
        raise ValueError(f"top_k must leave an expert out, got {top_k} of {bias.shape[-1]}")


def _check_bias_and_indices(bias: Tensor | None, indices: Tensor) -> None:
    """Raise TypeError or ValueError for arguments that ``BiasBalancer.update`` cannot use."""
    _check_bias(bias)
    allowed = "bias must be a floating-point tensor and indices an int64 tensor"
    if not isinstance(bias, Tensor) or not isinstance(indices, Tensor):
        raise TypeError(f"{allowed}, got {type(bias).__name__} and {type(indices).__name__}")
    if not torch.is_floating_point(bias) or indices.dtype != torch.int64:
        raise TypeError(f"{allowed}, got {bias.dtype} and {indices.dtype}")
    if bias.ndim == 0 or indices.ndim < 2 or bias.shape[:-1] != indices.shape[:-2]:
        raise ValueError(
            "bias (..., E) and indices (..., T, k) must have the same leading dimensions, "
            f"got {tuple(bias.shape)} and {tuple(indices.shape)}"
        )
    low, high = (int(indices.min()), int(indices.max())) if indices.numel() else (0, 0)
    if low < 0 or high >= bias.shape[-1]:
        raise ValueError(f"indices must run from 0 to {bias.shape[-1] - 1}, got {low} to {high}")
