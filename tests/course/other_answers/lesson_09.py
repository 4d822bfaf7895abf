"""Answers to lesson 09's exercises: what a learner may write."""

import copy

import torch
from answers import right, wrong
from torch import nn

# ── active_count ──


@wrong("09.active_count", "k/E of all parameters")
def part_of_all(config, total):
    return total * config["num_experts_per_tok"] // config["num_local_experts"]


@wrong("09.active_count", "one layer's")
def one_layer(config, total):
    expert = 3 * config["hidden_size"] * config["intermediate_size"]
    return total - (config["num_local_experts"] - config["num_experts_per_tok"]) * expert


@wrong("09.active_count", "The others rest")
def without_the_chosen(config, total):
    expert = 3 * config["hidden_size"] * config["intermediate_size"]
    return total - config["num_hidden_layers"] * config["num_experts_per_tok"] * expert


@wrong("09.active_count", "the parameters that rest")
def resting_alone(config, total):
    expert = 3 * config["hidden_size"] * config["intermediate_size"]
    return config["num_hidden_layers"] * (config["num_local_experts"] - config["num_experts_per_tok"]) * expert


@wrong("09.active_count", "count the chosen experts alone")
def chosen_alone(config, total):
    expert = 3 * config["hidden_size"] * config["intermediate_size"]
    return config["num_hidden_layers"] * config["num_experts_per_tok"] * expert


@wrong("09.active_count", "one matrix of an expert")
def one_matrix(config, total):
    resting = config["num_local_experts"] - config["num_experts_per_tok"]
    return total - config["num_hidden_layers"] * resting * config["hidden_size"] * config["intermediate_size"]


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


# ── micro_loss ──


@wrong("09.micro_loss", "loss of all tokens together")
def whole_batch(loss, probs, indices, group):
    return loss(probs, indices)


@wrong("09.micro_loss", "add the groups' losses up")
def added_up(loss, probs, indices, group):
    return sum(loss(probs[group == g], indices[group == g]) for g in group.unique())


@wrong("09.micro_loss", "Every group counts once")
def by_size(loss, probs, indices, group):
    total = 0
    for g in group.unique():
        own = group == g
        total = total + own.float().mean() * loss(probs[own], indices[own])
    return total


@wrong("09.micro_loss", "return too early")
def first_alone(loss, probs, indices, group):
    for g in group.unique():
        own = group == g
        return loss(probs[own], indices[own])


@wrong("09.micro_loss", "loss of the last group")
def last_alone(loss, probs, indices, group):
    for g in group.unique():
        found = loss(probs[group == g], indices[group == g])
    return found


@wrong("09.micro_loss", "Their mean is one number")
def not_averaged(loss, probs, indices, group):
    return torch.stack([loss(probs[group == g], indices[group == g]) for g in group.unique()])


@wrong("09.micro_loss", "choices of the group's tokens alone")
def choices_of_all(loss, probs, indices, group):
    losses = [loss(probs[group == g], indices) for g in group.unique()]
    return sum(losses) / len(losses)


@wrong("09.micro_loss", "probabilities of the group's tokens alone")
def probabilities_of_all(loss, probs, indices, group):
    losses = [loss(probs, indices[group == g]) for g in group.unique()]
    return sum(losses) / len(losses)


@wrong("09.micro_loss", "divide by the number of tokens")
def per_token(loss, probs, indices, group):
    return sum(loss(probs[group == g], indices[group == g]) for g in group.unique()) / len(group)


@wrong("09.micro_loss", "No gradient")
def by_item(loss, probs, indices, group):
    losses = [loss(probs[group == g], indices[group == g]).item() for g in group.unique()]
    return torch.tensor(losses).mean()


@wrong("09.micro_loss", "has no tokens")
def groups_from_nought(loss, probs, indices, group):
    losses = [loss(probs[group == g], indices[group == g]) for g in range(int(group.max()) + 1)]
    return sum(losses) / len(losses)


@wrong("09.micro_loss", "by their place")
def by_place(loss, probs, indices, group):
    n = len(group.unique())
    return sum(loss(p, i) for p, i in zip(probs.chunk(n), indices.chunk(n), strict=True)) / n


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


# ── upcycle ──


@wrong("09.upcycle", "the dense network learns, too")
def under_many_names(dense, n_experts):
    return nn.ModuleList([dense] * n_experts)


@wrong("09.upcycle", "one network under two names")
def one_copy(dense, n_experts):
    return nn.ModuleList([copy.deepcopy(dense)] * n_experts)


@wrong("09.upcycle", "the dense network learns, too")
def flat(dense, n_experts):
    return nn.ModuleList(copy.copy(dense) for _ in range(n_experts))


@wrong("09.upcycle", "draw random numbers")
def new_ones(dense, n_experts):
    d, h, d_out = dense[0].in_features, dense[0].out_features, dense[2].out_features
    return nn.ModuleList(nn.Sequential(nn.Linear(d, h), nn.ReLU(), nn.Linear(h, d_out)) for _ in range(n_experts))


@wrong("09.upcycle", "Each starts with the dense network's weights")
def divided(dense, n_experts):
    experts = nn.ModuleList(copy.deepcopy(dense) for _ in range(n_experts))
    for expert in experts:
        for weight in expert.parameters():
            weight.data /= n_experts
    return experts


@wrong("09.upcycle", "are asked for, one for each")
def one_less(dense, n_experts):
    return nn.ModuleList(copy.deepcopy(dense) for _ in range(n_experts - 1))


@wrong("09.upcycle", "It returns a Linear")
def a_layer(dense, n_experts):
    return copy.deepcopy(dense[0])


@wrong("09.upcycle", "no noise on them")
def almost(dense, n_experts):
    experts = nn.ModuleList(copy.deepcopy(dense) for _ in range(n_experts))
    experts[0][0].weight.data += 1e-7
    return experts


@wrong("09.upcycle", "do not learn")
def frozen(dense, n_experts):
    experts = nn.ModuleList(copy.deepcopy(dense) for _ in range(n_experts))
    return experts.requires_grad_(False)


@wrong("09.upcycle", "the dense network learns, too")
def dense_among_them(dense, n_experts):
    return nn.ModuleList([dense, *(copy.deepcopy(dense) for _ in range(n_experts - 1))])


@right("09.upcycle")
def by_weights(dense, n_experts):
    experts = []
    for _ in range(n_experts):
        first, last = dense[0], dense[2]
        expert = nn.Sequential(
            nn.Linear(first.in_features, first.out_features), nn.ReLU(), nn.Linear(last.in_features, last.out_features)
        )
        expert.load_state_dict(dense.state_dict())
        experts.append(expert)
    return nn.ModuleList(experts)


@wrong("09.upcycle", "It returns a list")
def as_a_list(dense, n_experts):
    return [copy.deepcopy(dense) for _ in range(n_experts)]


@right("09.upcycle")
def one_after_the_other(dense, n_experts):
    experts = nn.ModuleList()
    while len(experts) < n_experts:
        experts.append(copy.deepcopy(dense))
    return experts


# ── granularity ──


@wrong("09.granularity", "asks as many experts as before")
def few_chosen(n_experts, top_k, width, m):
    return m * n_experts, top_k, width // m


@wrong("09.granularity", "as wide as before")
def wide(n_experts, top_k, width, m):
    return m * n_experts, m * top_k, width


@wrong("09.granularity", "the old one")
def few_experts(n_experts, top_k, width, m):
    return n_experts, m * top_k, width // m


@wrong("09.granularity", "Divide by `//`")
def divided_by_m(n_experts, top_k, width, m):
    return m * n_experts, m * top_k, width / m


@right("09.granularity")
def by_totals(n_experts, top_k, width, m):
    new = width // m
    return n_experts * width // new, top_k * width // new, new


@right("09.granularity")
def by_adding(n_experts, top_k, width, m):
    return sum([n_experts] * m), sum([top_k] * m), int(width / m)


@right("09.granularity")
def by_tensor(n_experts, top_k, width, m):
    experts, chosen = (torch.tensor([n_experts, top_k]) * m).tolist()
    return experts, chosen, width // m


# ── shared_plus_routed ──


@wrong("09.shared_plus_routed", "mean over the shared experts")
def mean_of_the_shared(x, shared, routed, chosen, weights, my_mixture):
    return sum(expert(x) for expert in shared) / len(shared) + my_mixture(x, chosen, weights, routed)


@wrong("09.shared_plus_routed", "Only the first")
def first_shared(x, shared, routed, chosen, weights, my_mixture):
    return shared[0](x) + my_mixture(x, chosen, weights, routed)


@wrong("09.shared_plus_routed", "shared experts are missing")
def routed_alone(x, shared, routed, chosen, weights, my_mixture):
    return my_mixture(x, chosen, weights, routed)


@wrong("09.shared_plus_routed", "routed experts are missing")
def shared_alone(x, shared, routed, chosen, weights, my_mixture):
    return sum(expert(x) for expert in shared)


@wrong("09.shared_plus_routed", "in this order")
def weights_first(x, shared, routed, chosen, weights, my_mixture):
    return sum(expert(x) for expert in shared) + my_mixture(x, weights, chosen, routed)


@wrong("09.shared_plus_routed", "in this order")
def experts_first(x, shared, routed, chosen, weights, my_mixture):
    return sum(expert(x) for expert in shared) + my_mixture(routed, x, chosen, weights)


@wrong("09.shared_plus_routed", "in this order")
def tokens_third(x, shared, routed, chosen, weights, my_mixture):
    return sum(expert(x) for expert in shared) + my_mixture(weights, chosen, x, routed)


@wrong("09.shared_plus_routed", "numbers of routed experts")
def all_routed(x, shared, routed, chosen, weights, my_mixture):
    return my_mixture(x, chosen, weights, shared + routed)


@wrong("09.shared_plus_routed", "A gate weight scales")
def gated(x, shared, routed, chosen, weights, my_mixture):
    return sum(expert(x) for expert in shared) * weights.sum(-1, keepdim=True) + my_mixture(x, chosen, weights, routed)


@right("09.shared_plus_routed")
def as_one_mixture(x, shared, routed, chosen, weights, my_mixture):
    T, n = len(x), len(shared)
    every = torch.arange(n).expand(T, n)
    weights = torch.cat([torch.ones(T, n), weights], 1)
    return my_mixture(x, torch.cat([every, chosen + n], 1), weights, shared + routed)


@right("09.shared_plus_routed")
def by_loop(x, shared, routed, chosen, weights, my_mixture):
    y = my_mixture(x, chosen, weights, routed)
    for expert in shared:
        y += expert(x)
    return y


@right("09.shared_plus_routed")
def by_stack(x, shared, routed, chosen, weights, my_mixture):
    return torch.stack([my_mixture(x, chosen, weights, routed), *(expert(x) for expert in shared)]).sum(0)
