"""Answers to lesson 09's exercises in other styles."""

import copy

import torch
from answers import right, wrong
from scipy import stats
from torch import nn

from moe_tutorial.study import estimate


@right("09.active_count")
def by_what_works(config, total):
    expert = 3 * config["hidden_size"] * config["intermediate_size"] * config["num_hidden_layers"]
    return total - config["num_local_experts"] * expert + config["num_experts_per_tok"] * expert


@right("09.active_count")
def layer_by_layer(config, total):
    for _ in range(config["num_hidden_layers"]):
        for _ in range(config["num_experts_per_tok"], config["num_local_experts"]):
            total = total - 3 * config["hidden_size"] * config["intermediate_size"]
    return total


@right("09.micro_loss")
def by_set(loss, probs, indices, group):
    names = set(group.tolist())
    return sum(loss(probs[group == g], indices[group == g]) for g in names) / len(names)


@right("09.micro_loss")
def by_sorting(loss, probs, indices, group):
    order = group.argsort(stable=True)
    sizes = group.unique(return_counts=True)[1].tolist()
    parts = zip(probs[order].split(sizes), indices[order].split(sizes), strict=True)
    return torch.stack([loss(p, i) for p, i in parts]).mean()


@right("09.micro_loss")
def one_by_one(loss, probs, indices, group):
    total, seen = 0.0, []
    for t in range(len(group)):
        if int(group[t]) not in seen:
            seen.append(int(group[t]))
            rows = (group == group[t]).nonzero()[:, 0]
            total = total + loss(probs[rows], indices[rows])
    return total / len(seen)


@right("09.multiplications")
def row_by_row(n_experts, width, k):
    total = 0
    for _ in range(n_experts):
        total += 64
    for _ in range(k):
        total += width * 64 + width * 10
    return total


@right("09.multiplications")
def by_sums(n_experts, width, k):
    return sum([64] * n_experts) + sum([74] * width * k)


@right("09.multiplications")
def by_weights(n_experts, width, k):
    router = torch.nn.Linear(64, n_experts, bias=False).weight.numel()
    expert = torch.empty(64, width).numel() + torch.empty(width, 10).numel()
    return router + k * expert


@wrong("09.upcycle", "no noise on them")
def almost(dense, n_experts):
    experts = nn.ModuleList(copy.deepcopy(dense) for _ in range(n_experts))
    experts[0][0].weight.data += 1e-7
    return experts


@wrong("09.upcycle", "the dense network itself")
def dense_among_them(dense, n_experts):
    return nn.ModuleList([dense, *(copy.deepcopy(dense) for _ in range(n_experts - 1))])


@right("09.upcycle")
def one_after_the_other(dense, n_experts):
    experts = nn.ModuleList()
    while len(experts) < n_experts:
        experts.append(copy.deepcopy(dense))
    return experts


@right("09.verdict")
def by_hand(gain):
    mean, error = gain.mean().item(), gain.std().item() / len(gain) ** 0.5
    half = stats.t.ppf(0.975, len(gain) - 1) * error
    return "unclear" if abs(mean) <= half else "right" if mean > 0 else "wrong"


@right("09.verdict")
def unclear_first(gain):
    figure = estimate(gain)
    if figure.low <= 0 <= figure.high:
        return "unclear"
    return "right" if figure.mean > 0 else "wrong"


@right("09.verdict")
def by_signs(gain):
    figure = estimate(gain)
    above = sum(end > 0 for end in (figure.low, figure.high))
    below = sum(end < 0 for end in (figure.low, figure.high))
    return "right" if above == 2 else "wrong" if below == 2 else "unclear"


@right("09.active_count")
def by_share(config, total):
    n_layers, E = config["num_hidden_layers"], config["num_local_experts"]
    experts = n_layers * E * 3 * config["hidden_size"] * config["intermediate_size"]
    return total - experts * (E - config["num_experts_per_tok"]) / E


@right("09.upcycle")
def reinitialised(dense, n_experts):
    experts = nn.ModuleList(copy.deepcopy(dense) for _ in range(n_experts))
    for expert in experts:
        for weight in expert.parameters():
            nn.init.normal_(weight)
        expert.load_state_dict(dense.state_dict())
    return experts


@right("09.upcycle")
def by_state(dense, n_experts):
    experts = nn.ModuleList(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)) for _ in range(n_experts))
    for expert in experts:
        expert.load_state_dict(dense.state_dict())
    return experts
