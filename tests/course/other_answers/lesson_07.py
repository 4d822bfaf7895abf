"""Answers to lesson 07's exercises: what a learner may write."""

import torch
from answers import right, wrong

# ── switch_loss ──


@wrong("07.switch_loss", "Your shares add up to k")
def divided_by_tokens(probs, indices):
    f = torch.bincount(indices.flatten(), minlength=probs.shape[1]) / len(indices)
    return probs.shape[1] * (f * probs.mean(0)).sum()


@wrong("07.switch_loss", "Before it stands the number of experts")
def factor_forgotten(probs, indices):
    return right_by_one_hot(probs, indices) / probs.shape[1]


@wrong("07.switch_loss", "mean over the experts")
def averaged(probs, indices):
    f = torch.bincount(indices.flatten(), minlength=probs.shape[1]) / indices.numel()
    return (f * probs.mean(0)).mean()


@wrong("07.switch_loss", "do not divide them")
def counted(probs, indices):
    counts = torch.bincount(indices.flatten(), minlength=probs.shape[1])
    return probs.shape[1] * (counts * probs.mean(0)).sum()


@wrong("07.switch_loss", "those of the chosen alone")
def masked(probs, indices):
    chosen = torch.zeros_like(probs).scatter(1, indices, 1.0)
    f = chosen.mean(0) / indices.shape[1]
    return probs.shape[1] * (f * (probs * chosen).mean(0)).sum()


@wrong("07.switch_loss", "divided by those of the chosen")
def masked_and_renormalised(probs, indices):
    chosen = torch.zeros_like(probs).scatter(1, indices, 1.0)
    kept = probs * chosen
    kept = kept / kept.sum(1, keepdim=True)
    return probs.shape[1] * (chosen.mean(0) / indices.shape[1] * kept.mean(0)).sum()


@wrong("07.switch_loss", "token by token")
def mean_of_products(probs, indices):
    chosen = torch.zeros_like(probs).scatter(1, indices, 1.0) / indices.shape[1]
    return probs.shape[1] * (chosen * probs).mean(0).sum()


@wrong("07.switch_loss", "shares by shares")
def no_slope(probs, indices):
    f = torch.bincount(indices.flatten(), minlength=probs.shape[1]) / indices.numel()
    return probs.shape[1] * (f * f).sum()


@wrong("07.switch_loss", "probabilities by probabilities")
def no_share(probs, indices):
    return probs.shape[1] * (probs.mean(0) ** 2).sum()


@wrong("07.switch_loss", "No gradient")
def detached(probs, indices):
    return right_by_one_hot(probs.detach(), indices)


@wrong("07.switch_loss", "With `minlength` it counts")
def no_minlength(probs, indices):
    f = torch.bincount(indices.flatten()) / indices.numel()
    return probs.shape[1] * (f * probs.mean(0)).sum()


@wrong("07.switch_loss", "You multiply by 8")
def of_eight(probs, indices):
    return 8 * right_by_one_hot(probs, indices) / probs.shape[1]


@wrong("07.switch_loss", "add the probabilities up")
def summed_probabilities(probs, indices):
    n_experts = probs.shape[-1]
    f = torch.bincount(indices.flatten(), minlength=n_experts) / indices.numel()
    return n_experts * (f * probs.sum(0)).sum()


@wrong("07.switch_loss", "Only the first choice")
def first_choices_share(probs, indices):
    n_experts = probs.shape[-1]
    f = torch.bincount(indices[:, 0], minlength=n_experts) / len(indices)
    return n_experts * (f * probs.mean(0)).sum()


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


# ── bias_update ──


@wrong("07.bias_update", "The sign is turned round")
def sign_turned(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias + rate * torch.sign(load - load.mean())


@wrong("07.bias_update", "take the sign")
def by_distance(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias + rate * (load.mean() - load)


@wrong("07.bias_update", "how far each share is")
def by_distance_of_shares(bias, indices, rate):
    f = torch.bincount(indices.flatten(), minlength=len(bias)) / indices.numel()
    return bias + rate * (1 / len(bias) - f)


@wrong("07.bias_update", "the step alone")
def step_alone(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return rate * torch.sign(load.mean() - load)


@wrong("07.bias_update", "Only those with too little")
def only_up(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias + rate * (load < load.mean())


@wrong("07.bias_update", "exactly the mean load moves")
def by_where(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return torch.where(load < load.mean(), bias + rate, bias - rate)


@wrong("07.bias_update", "Only the first choice")
def first_choice(bias, indices, rate):
    load = torch.bincount(indices[:, 0], minlength=len(bias)).float()
    return bias + rate * torch.sign(load.mean() - load)


@wrong("07.bias_update", "With `minlength` it counts")
def counted_short(bias, indices, rate):
    load = torch.bincount(indices.flatten()).float()
    return bias + rate * torch.sign(load.mean() - load)


@wrong("07.bias_update", "Write `.float()`")
def whole_numbers(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias))
    return bias + rate * torch.sign(load.mean() - load)


@wrong("07.bias_update", "You forget the k")
def mean_of_tokens(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias))
    return bias + rate * torch.sign(len(indices) / len(bias) - load)


@wrong("07.bias_update", "changes what it is given")
def in_place(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias.add_(rate * torch.sign(load.mean() - load))


@wrong("07.bias_update", "with too much move")
def downwards_only(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias - rate * (load > load.mean())


@wrong("07.bias_update", "the mean load goes up")
def mean_goes_up(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return torch.where(load > load.mean(), bias - rate, bias + rate)


@wrong("07.bias_update", "All go up")
def share_against_counts(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias + rate * torch.sign(load.mean() - load / load.sum())


@wrong("07.bias_update", "has the size 1")
def step_of_1(bias, indices, rate):
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias + torch.sign(load.mean() - load)


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


# ── expert_choice ──


@wrong("07.expert_choice", "each token takes its best experts")
def tokens_choose(probs, room):
    taken = probs.topk(min(room, probs.shape[1]), dim=1).indices
    return torch.zeros_like(probs).scatter(1, taken, 1.0) * probs


@wrong("07.expert_choice", "by ones")
def ones(probs, room):
    return torch.zeros_like(probs).scatter(0, probs.topk(room, dim=0).indices, 1.0)


@wrong("07.expert_choice", "smallest probabilities")
def smallest(probs, room):
    taken = probs.topk(room, dim=0, largest=False).indices
    return torch.zeros_like(probs).scatter(0, taken, 1.0) * probs


@wrong("07.expert_choice", "may be taken by several")
def one_each(probs, room):
    taken = torch.zeros_like(probs).scatter(0, probs.topk(room, dim=0).indices, 1.0)
    return taken * probs * (probs == probs.max(1, keepdim=True).values)


@wrong("07.expert_choice", "divide each token's weights")
def renormalised(probs, room):
    weights = torch.zeros_like(probs).scatter(0, probs.topk(room, dim=0).indices, 1.0) * probs
    return weights / weights.sum(1, keepdim=True).clamp_min(1e-12)


@wrong("07.expert_choice", "has shape (2, 3)")
def without_places(probs, room):
    return probs.topk(room, dim=0).values


@wrong("07.expert_choice", "Turn it back")
def turned(probs, room):
    return tokens_choose(probs.T, room)


@wrong("07.expert_choice", "No gradient")
def cut_off(probs, room):
    return torch.zeros_like(probs).scatter(0, probs.topk(room, dim=0).indices, 1.0) * probs.detach()


@wrong("07.expert_choice", "one token too many")
def one_more(probs, room):
    threshold = probs.sort(dim=0, descending=True).values[room]
    return torch.where(probs >= threshold, probs, 0)


@wrong("07.expert_choice", "probabilities already")
def softmax_again(probs, room):
    probs = probs.softmax(-1)
    return torch.zeros_like(probs).scatter(0, probs.topk(room, dim=0).indices, 1.0) * probs


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


# ── importance_loss ──


@wrong("07.importance_loss", "sum of its gate WEIGHTS")
def counts(weights, indices, n_experts):
    load = torch.bincount(indices.flatten(), minlength=n_experts).float()
    return load.var(correction=0) / load.mean() ** 2


@wrong("07.importance_loss", "no sample")
def sample(weights, indices, n_experts):
    importance = torch.zeros(n_experts).index_add(0, indices.flatten(), weights.flatten())
    return importance.var() / importance.mean() ** 2


@wrong("07.importance_loss", "Its square is asked")
def not_squared(weights, indices, n_experts):
    importance = torch.zeros(n_experts).index_add(0, indices.flatten(), weights.flatten())
    return importance.std(correction=0) / importance.mean()


@wrong("07.importance_loss", "variance alone")
def variance(weights, indices, n_experts):
    importance = torch.zeros(n_experts).index_add(0, indices.flatten(), weights.flatten())
    return importance.var(correction=0)


@wrong("07.importance_loss", "divide by the mean")
def by_the_mean(weights, indices, n_experts):
    importance = torch.zeros(n_experts).index_add(0, indices.flatten(), weights.flatten())
    return importance.var(correction=0) / importance.mean()


@wrong("07.importance_loss", "No gradient")
def gone(weights, indices, n_experts):
    importance = torch.zeros(n_experts)
    for expert, weight in zip(indices.flatten().tolist(), weights.flatten().tolist(), strict=True):
        importance[expert] += weight
    return importance.var(correction=0) / importance.mean() ** 2


@wrong("07.importance_loss", "`bincount` has no slope")
def by_bincount(weights, indices, n_experts):
    importance = torch.bincount(indices.flatten(), weights.flatten(), n_experts)
    return importance.var(correction=0) / importance.mean() ** 2


@wrong("07.importance_loss", "Only the first choice")
def first_weights(weights, indices, n_experts):
    importance = torch.zeros(n_experts).scatter_add(0, indices[:, 0], weights[:, 0])
    return importance.var(correction=0) / importance.mean() ** 2


@wrong("07.importance_loss", "nobody chose are missing")
def only_the_chosen(weights, indices, n_experts):
    own = torch.stack([weights[indices == e].sum() for e in indices.unique()])
    return own.var(correction=0) / own.mean() ** 2


@right("07.importance_loss")
def by_table(weights, indices, n_experts):
    table = torch.zeros(len(weights), n_experts).scatter(1, indices, weights).sum(0)
    return ((table - table.mean()) ** 2).mean() / table.mean() ** 2


@right("07.importance_loss")
def by_expert(weights, indices, n_experts):
    importance = torch.stack([(weights * (indices == e)).sum() for e in range(n_experts)])
    return (importance / importance.mean()).var(correction=0)


@right("07.importance_loss")
def by_squares(weights, indices, n_experts):
    importance = torch.zeros(n_experts).index_add(0, indices.flatten(), weights.flatten())
    return n_experts * importance.square().sum() / importance.sum() ** 2 - 1
