"""Answers to lesson 07's exercises: what a learner may write."""

import torch
from answers import right, wrong


@right("07.switch_loss")
def right_by_one_hot(probs, indices):
    f = torch.nn.functional.one_hot(indices, probs.shape[1]).float().mean((0, 1))
    return probs.shape[1] * f @ probs.mean(0)


@right("07.switch_loss")
def by_loop(probs, indices):
    loss = 0
    for expert in range(probs.shape[1]):
        loss = loss + (indices == expert).float().mean() * probs[:, expert].mean()
    return probs.shape[1] * loss


@right("07.switch_loss")
def by_scatter(probs, indices):
    T, k = indices.shape
    chosen = torch.zeros_like(probs).scatter_add(1, indices, torch.ones(T, k))
    return (chosen.sum(0) * probs.sum(0)).sum() * probs.shape[1] / (k * T * T)


@wrong("07.switch_loss", "No gradient comes from the loss")
def of_plain_numbers(probs, indices):
    n_experts = probs.shape[1]
    return n_experts * sum(((indices == e).float().mean() * probs[:, e].mean()).item() for e in range(n_experts))


@right("07.bias_update")
def by_shares(bias, indices, rate):
    f = torch.nn.functional.one_hot(indices, len(bias)).sum((0, 1))
    return bias + rate * (indices.numel() - len(bias) * f).sign()


@right("07.bias_update")
def one_by_one(bias, indices, rate):
    new = bias.clone()
    for expert in range(len(bias)):
        too_many = int((indices == expert).sum()) * len(bias) - indices.numel()
        new[expert] -= rate * ((too_many > 0) - (too_many < 0))
    return new


@right("07.bias_update")
def up_and_down(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias + rate * (load < load.mean()) - rate * (load > load.mean())


@right("07.quantile")
def by_sorting(probs, bias, k):
    T, E = probs.shape
    bar = (probs + bias).sort(dim=1, descending=True).values[:, k]
    needs = (bar[:, None] - probs).sort(dim=0).values
    new = needs[round(k / E * (T - 1))]
    return new - sum(new) / E


@right("07.quantile")
def as_the_quantile_of_the_lead(probs, bias, k):
    just_missed = torch.topk(probs + bias, k + 1, dim=1)[0].min(dim=1, keepdim=True)[0]
    new = -torch.quantile(probs - just_missed, 1 - k / probs.shape[1], dim=0)
    return new - torch.mean(new)


@right("07.quantile")
def quantile_by_loop(probs, bias, k):
    new = torch.zeros(len(bias))
    bars = [(row + bias).sort().values[-k - 1] for row in probs]
    for expert in range(len(bias)):
        needs = torch.stack([bar - row[expert] for bar, row in zip(bars, probs, strict=True)])
        new[expert] = needs.quantile(k / len(bias))
    return new - new.mean()


@right("07.expert_choice")
def by_threshold(probs, room):
    least = probs.topk(room, dim=0).values[-1]
    return probs.where(probs >= least, 0.0)


@right("07.expert_choice")
def expert_by_expert(probs, room):
    weights = torch.zeros_like(probs)
    for expert, column in enumerate(probs.T):
        rows = column.argsort(descending=True)[:room]
        weights[rows, expert] = column[rows]
    return weights


@right("07.expert_choice")
def from_values(probs, room):
    values, taken = probs.topk(room, dim=0)
    return torch.zeros_like(probs).scatter(0, taken, values)
