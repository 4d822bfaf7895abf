"""Routing: which experts a token goes to, and how much each of them counts."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import as_precise_tokens, autocasts, check_choice, check_count, check_number
from .experts import uniform

GATES = ("softmax_topk", "topk_softmax", "sigmoid_topk", "sqrtsoftplus_topk")


class Routing(NamedTuple):
    """What a router decided for ``T`` tokens. The last two fields are for losses that need to know the noise.

    ``Router`` fills all fields with tensors, because ``torch.vmap`` can return nothing else; a router of your own may
    leave the last two out.
    """

    logits: Tensor  # (T, E) the router's linear map, without noise or selection bias
    probs: Tensor  # (T, E) softmax of these logits, or their scores in "sigmoid_topk" and "sqrtsoftplus_topk"
    indices: Tensor  # (T, k) the chosen experts, best first
    weights: Tensor  # (T, k) what scales the chosen experts' outputs
    noisy_logits: Tensor | None = None  # (T, E) logits + noise; the logits themselves when there was no noise
    noise_std: Tensor | None = None  # (T, E) the noise's standard deviation; (T, 0) when there was no noise

    @property
    def noisy(self) -> bool:
        """Whether noise took part in this choice."""
        return self.noise_std is not None and self.noise_std.shape[-1] > 0


class Router(nn.Module):
    """One linear map from a token to a logit per expert, and the choice of the ``top_k`` best.

    Gates (how logits become a ranking and weights):
        "softmax_topk": softmax over all experts, then pick; a weight is the probability of a picked expert (Switch,
            arXiv:2101.03961, eq. 1 and 2; OLMoE; with ``renormalize`` Mixtral and Qwen3).
        "topk_softmax": pick by logit, then softmax over the picked (Shazeer et al. 2017, arXiv:1701.06538, eq. 3 and
            5; Mixtral, arXiv:2401.04088, section 2.1; gpt-oss, arXiv:2508.10925). Weights sum to 1, so at ``top_k=1``
            the router gets no gradient.
        "sigmoid_topk": a sigmoid per expert, then pick (DeepSeek-V3, arXiv:2412.19437, eq. 13 to 16).
        "sqrtsoftplus_topk": ``sqrt(softplus(logit))`` per expert, which has no upper limit, then pick (DeepSeek-V4).

    Args:
        d_model, n_experts, top_k: width ``d``, experts ``E``, and how many a token goes to (1 to E).
        renormalize: divide a token's weights by their sum (DeepSeek-V3 eq. 13). Changes nothing in "topk_softmax".
        noise: Gaussian noise on the logits, in ``train()`` only. It changes the choice AND the weights, as in Shazeer
            et al. 2017. A number is its standard deviation; "learned" is their noisy top-k (eq. 4), with standard
            deviation ``softplus(noise_weight @ x)``, where ``noise_weight`` (E, d) starts at zero.
        bias: add the buffer ``bias`` (E,), zero at first, to the ranking and to nothing else (DeepSeek-V3 eq. 16). The
            ranking is by probability, in "topk_softmax" by logit. It gets no gradient; ``BiasBalancer`` can update it.
        n_groups, top_groups: choose only within the ``top_groups`` best of ``n_groups`` equal groups of neighbouring
            experts. A group's score is the sum of its two highest rankings (DeepSeek-V3, section 2.1.2, node-limited
            routing).
        scale: a number that multiplies all weights (DeepSeek-V3's routed scaling factor).
        logit_bias: add the parameter ``logit_bias`` (E,) to the logits (gpt-oss). Unlike ``bias`` it gets a gradient,
            and changes the choice AND the weights.

    Parameters: ``weight`` (E, d) and ``logit_bias``, initialised as in ``nn.Linear``; with learned noise
    ``noise_weight`` (E, d).

    Logits and weights are computed in float32 or a wider dtype, whatever the tokens' dtype, and under autocast, too
    (Switch, section 2.4): in bfloat16, close logits tie. The selection bias stays float32 when the module is cast: in
    bfloat16, steps of .001 could not take it beyond 0.5.

    Raises TypeError or ValueError for sizes that do not fit, an unknown gate, negative noise, groups that do not
    divide the experts or hold fewer than two each, and ``top_groups`` too few to hold ``top_k`` experts.
    """

    def __init__(
        self,
        d_model: int,
        n_experts: int,
        top_k: int,
        gate: str = "softmax_topk",
        renormalize: bool = False,
        noise: float | str | None = None,
        bias: bool = False,
        n_groups: int | None = None,
        top_groups: int | None = None,
        scale: float = 1.0,
        logit_bias: bool = False,
    ):
        super().__init__()
        self.d_model, self.n_experts, self.top_k = check_sizes(d_model, n_experts, top_k)
        self.gate = check_choice("gate", gate, GATES)
        self.renormalize = renormalize
        self.noise = check_noise(noise)
        self.n_groups, self.top_groups = check_groups(n_groups, top_groups, self.n_experts, self.top_k)
        self.scale = check_number("scale", scale)

        self.weight = uniform((self.n_experts, self.d_model), fan_in=self.d_model)
        self.logit_bias = uniform((self.n_experts,), fan_in=self.d_model) if logit_bias else None
        self.noise_weight = nn.Parameter(torch.zeros_like(self.weight)) if noise == "learned" else None
        self.register_buffer("bias", torch.zeros(self.n_experts, dtype=torch.float32) if bias else None)

    def forward(self, x: Tensor) -> Routing:
        """x (..., d) -> the routing of its T tokens. TypeError for integer tensors, ValueError for a wrong width."""
        tokens = as_precise_tokens(x, self.d_model)
        logits = full_linear(tokens, self.weight, self.logit_bias)
        noisy_logits, noise_std = self.add_noise(tokens, logits)

        scores, indices, weights = self.pick(noisy_logits)
        probs = scores if noisy_logits is logits else self.probabilities(logits)
        if self.scale != 1:
            weights = weights * self.scale
        return Routing(logits, probs, indices, weights, noisy_logits, noise_std)

    def add_noise(self, tokens: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The noisy logits (T, E) and their standard deviation, (T, E) with noise and (T, 0) without."""
        if not self.training or self.noise is None or self.noise == 0:
            return logits, logits.new_empty(len(logits), 0)
        if self.noise == "learned":
            noise_std = F.softplus(full_linear(tokens, self.noise_weight))
        else:
            noise_std = torch.full_like(logits, self.noise)
        return logits + torch.randn_like(logits) * noise_std, noise_std

    def pick(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities (T, E), chosen experts and their weights (T, k)."""
        probs = self.probabilities(logits)
        if self.gate == "topk_softmax":
            indices = self.choose(logits)
            return probs, indices, logits.gather(-1, indices).softmax(-1)
        indices = self.choose(probs)
        weights = probs.gather(-1, indices)
        if self.renormalize:
            total = weights.sum(-1, keepdim=True)
            weights = weights / (total if self.gate == "softmax_topk" else total + 1e-20)  # other scores can all be 0
        return probs, indices, weights

    def probabilities(self, logits: Tensor) -> Tensor:
        if self.gate == "sqrtsoftplus_topk":
            # Where softplus underflows to 0, the slope of a square root is infinite, and that of the router NaN.
            return F.softplus(logits).clamp_min(torch.finfo(logits.dtype).tiny).sqrt()
        return logits.sigmoid() if self.gate == "sigmoid_topk" else logits.softmax(-1)

    def choose(self, ranking: Tensor) -> Tensor:
        """The ``top_k`` experts that rank highest, best first: (T, E) -> (T, k)."""
        if self.bias is not None:
            ranking = ranking + self.bias
        if self.n_groups is not None:
            groups = ranking.unflatten(-1, (self.n_groups, -1))
            best_groups = groups.topk(2).values.sum(-1).topk(self.top_groups).indices
            kept = torch.zeros_like(groups[..., 0]).scatter(-1, best_groups, 1.0).bool()
            ranking = groups.masked_fill(~kept.unsqueeze(-1), -torch.inf).flatten(-2)
        return ranking.topk(self.top_k).indices

    def _apply(self, fn, recurse=True):
        """Called by ``to``, ``half``, ``cuda`` and the like: the bias moves with the module, but stays float32."""
        bias = self.bias
        super()._apply(fn, recurse)
        if bias is not None and self.bias.dtype != bias.dtype:
            self.bias = bias.to(self.bias.device)
        return self


def full_linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``tokens @ weight.T + bias`` in the dtype of ``tokens``, under autocast, too."""
    if weight.dtype is not tokens.dtype:
        weight, bias = weight.to(tokens.dtype), None if bias is None else bias.to(tokens.dtype)
    if not autocasts(tokens):
        return F.linear(tokens, weight, bias)
    with torch.autocast(tokens.device.type, enabled=False):
        return F.linear(tokens, weight, bias)


def check_sizes(d_model: int, n_experts: int, top_k: int) -> tuple[int, int, int]:
    """The three sizes of a router as ints; TypeError or ValueError if they do not fit."""
    n_experts = check_count("n_experts", n_experts)
    top_k = check_count("top_k", top_k, high=n_experts, high_name="n_experts")
    return check_count("d_model", d_model), n_experts, top_k


def check_noise(noise: float | str | None) -> float | str | None:
    """``noise`` if a router can use it; TypeError or ValueError otherwise."""
    allowed = "None, 'learned' or a finite number of at least 0"
    if noise is None or noise == "learned":
        return noise
    if isinstance(noise, str):
        raise ValueError(f"noise must be {allowed}, got {noise!r}")
    return check_number("noise", noise, allowed=allowed)


def check_groups(
    n_groups: int | None, top_groups: int | None, n_experts: int, top_k: int
) -> tuple[int | None, int | None]:
    """``n_groups`` and ``top_groups`` if a router of this size can use them; TypeError or ValueError otherwise."""
    if n_groups is None and top_groups is None:
        return None, None
    if n_groups is None or top_groups is None:
        raise ValueError(f"n_groups and top_groups go together, got n_groups={n_groups} and top_groups={top_groups}")
    n_groups = check_count("n_groups", n_groups, high=n_experts, high_name="n_experts")
    top_groups = check_count("top_groups", top_groups, high=n_groups, high_name="n_groups")
    if n_experts % n_groups or n_experts // n_groups < 2:
        raise ValueError(
            f"n_groups must divide n_experts = {n_experts} into groups of at least 2 experts, got {n_groups}"
        )
    if top_groups * (n_experts // n_groups) < top_k:
        raise ValueError(
            f"top_groups must leave at least top_k = {top_k} experts to choose from, "
            f"got {top_groups} groups of {n_experts // n_groups}"
        )
    return n_groups, top_groups
