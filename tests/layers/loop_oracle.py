"""The mixture written out as a loop over tokens and experts: slow, plain, and of other operations than the package.

Differentiable, so that gradients can be compared too.
"""

import math

import torch

from moe_tutorial.layers import ClampedSwiGLU

# Options of a mixture whose experts are gpt-oss's, with a limit that small numbers reach.
CLAMPED = {"activation": ClampedSwiGLU(0.3, 1.702, offset=1.0), "gated": True, "expert_bias": True}


def activate(name, z):
    if name == "relu":
        return z * (z > 0)
    if name == "silu":
        return z / (1 + torch.exp(-z))
    return z * 0.5 * (1 + torch.erf(z / math.sqrt(2)))


def clamped(experts, gate, up):
    limit, alpha, offset = (getattr(experts.activation, name) for name in ("limit", "alpha", "offset"))
    gate = torch.where(gate > limit, limit, gate)
    up = torch.where(up.abs() > limit, limit * up.sign(), up)
    return activate("silu", alpha * gate) / alpha * (up + offset)


def answer(experts, e, token):
    """What expert ``e`` says to one token (d,): (d_out,)."""
    z = experts.w_in[e] @ token
    if experts.b_in is not None:
        z = z + experts.b_in[e]
    if experts.gated:
        g = experts.w_gate[e] @ token
        if experts.b_gate is not None:
            g = g + experts.b_gate[e]
        neurons = activate(experts.activation, g) * z if isinstance(experts.activation, str) else clamped(experts, g, z)
    else:
        neurons = activate(experts.activation, z)
    y = experts.w_out[e].T @ neurons
    return y if experts.b_out is None else y + experts.b_out[e]


def scores(router, logits):
    """The score of each expert for one token, from its logits."""
    if router.gate == "sigmoid_topk":
        return [1 / (1 + torch.exp(-logit)) for logit in logits]
    if router.gate == "sqrtsoftplus_topk":
        return [torch.log(1 + torch.exp(logit)) ** 0.5 for logit in logits]
    total = sum(torch.exp(logit) for logit in logits)
    return [torch.exp(logit) / total for logit in logits]


def route(router, token, logits=None):
    """The chosen experts of one token, best first, and their weights, from ``logits`` if these are given."""
    E = router.n_experts
    if logits is None:
        logits = [(router.weight[e] * token).sum() for e in range(E)]
        if router.logit_bias is not None:
            logits = [logit + router.logit_bias[e] for e, logit in enumerate(logits)]
    weighed = scores(router, logits)
    ranking = [v.item() for v in (logits if router.gate == "topk_softmax" else weighed)]
    if router.bias is not None:
        ranking = [value + router.bias[e].item() for e, value in enumerate(ranking)]
    allowed = list(range(E))
    if router.n_groups is not None:
        size = E // router.n_groups
        members = [list(range(g * size, (g + 1) * size)) for g in range(router.n_groups)]
        members.sort(key=lambda group: -sum(sorted(ranking[e] for e in group)[-2:]))
        allowed = [e for group in members[: router.top_groups] for e in group]
    chosen = sorted(allowed, key=lambda e: -ranking[e])[: router.top_k]
    if router.gate == "topk_softmax":
        total = sum(torch.exp(logits[e]) for e in chosen)
        weights = [torch.exp(logits[e]) / total for e in chosen]
    else:
        weights = [weighed[e] for e in chosen]
    if router.renormalize:
        total = sum(weights)
        weights = [w / total for w in weights]
    return chosen, [w * router.scale for w in weights]


def mixture(moe, x):
    """What ``moe(x)[0]`` should be, for x (T, d)."""
    rows = []
    for token in x:
        y = torch.zeros(moe.experts.d_out, dtype=x.dtype)
        for e, weight in zip(*route(moe.router, token), strict=True):
            y = y + weight * answer(moe.experts, e, token)
        for e in range(moe.shared.n_experts if moe.shared is not None else 0):
            y = y + answer(moe.shared, e, token)
        rows.append(y)
    return torch.stack(rows)
