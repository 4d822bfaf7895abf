"""Answers to lesson 03's exercises: what a learner may write."""

import torch
from answers import right, wrong

# ── route ──


@wrong("03.route", "over the tokens")
def softmax_over_tokens(x, weight, k):
    probs = (x @ weight.T).softmax(dim=0)
    weights, chosen = probs.topk(k, dim=-1)
    return chosen, weights


@wrong("03.route", "gate weights are logits")
def logits_for_weights(x, weight, k):
    weights, chosen = (x @ weight.T).topk(k)
    return chosen, weights


@wrong("03.route", "runs over the chosen alone")
def softmax_of_the_picked(x, weight, k):
    best, chosen = (x @ weight.T).topk(k)
    return chosen, best.softmax(-1)


@wrong("03.route", "runs over the chosen alone")
def renormalised(x, weight, k):
    weights, chosen = (x @ weight.T).softmax(-1).topk(k)
    return chosen, weights / weights.sum(-1, keepdim=True)


@wrong("03.route", "in the other order")
def swapped(x, weight, k):
    return (x @ weight.T).softmax(-1).topk(k)


@wrong("03.route", "smallest")
def smallest(x, weight, k):
    weights, chosen = (x @ weight.T).softmax(-1).topk(k, largest=False)
    return chosen, weights


@wrong("03.route", "turn it, weight.T")
def not_turned(x, weight, k):
    weights, chosen = (x @ weight).softmax(-1).topk(k)
    return chosen, weights


@wrong("03.route", "Best first")
def worst_first(x, weight, k):
    probs = (x @ weight.T).softmax(-1)
    chosen = probs.argsort(-1)[:, -k:]
    return chosen, probs.gather(-1, chosen)


@wrong("03.route", "softmax of a softmax")
def softmax_again(x, weight, k):
    weights, chosen = (x @ weight.T).softmax(-1).topk(k)
    return chosen, weights.softmax(-1)


@wrong("03.route", "a tuple of 2 things")
def nested(x, weight, k):
    weights, chosen = (x @ weight.T).softmax(-1).topk(k)
    return chosen, (weights, chosen)


@wrong("03.route", "2 things: chosen, weights")
def weights_alone(x, weight, k):
    return (x @ weight.T).softmax(-1).topk(k).values


@wrong("03.route", "No gradient")
def detached(x, weight, k):
    weights, chosen = (x @ weight.T).detach().softmax(-1).topk(k)
    return chosen, weights


@right("03.route")
def by_einsum(x, weight, k):
    scores = torch.einsum("td,ed->te", x, weight).exp()
    probs = scores / scores.sum(1, keepdim=True)
    chosen = probs.argsort(dim=1, descending=True)[:, :k]
    return chosen, probs.gather(1, chosen)


@right("03.route")
def token_by_token(x, weight, k):
    chosen, weights = [], []
    for token in x:
        best = torch.softmax(weight @ token, 0).topk(k)
        chosen.append(best.indices)
        weights.append(best.values)
    return [torch.stack(chosen), torch.stack(weights)]


# ── topk_then_softmax ──


@wrong("03.topk_then_softmax", "softmax of a softmax")
def double_softmax(logits, k):
    return logits.softmax(-1).topk(k).values.softmax(-1)


@wrong("03.topk_then_softmax", "divide by the sum over all experts")
def sum_over_all(logits, k):
    best = logits.topk(k).values
    return best.exp() / logits.exp().sum(-1, keepdim=True)


@wrong("03.topk_then_softmax", "without a softmax")
def bare_logits(logits, k):
    return logits.topk(k).values


@wrong("03.topk_then_softmax", "sum of the chosen logits")
def no_exponential(logits, k):
    best = logits.topk(k).values
    return best / best.sum(-1, keepdim=True)


@wrong("03.topk_then_softmax", "over the tokens")
def over_tokens(logits, k):
    return logits.topk(k).values.softmax(0)


@wrong("03.topk_then_softmax", "numbers of the chosen experts")
def numbers_of_experts(logits, k):
    return logits.topk(k).indices


@wrong("03.topk_then_softmax", "topk returns two things")
def softmax_of_the_pair(logits, k):
    return logits.topk(k).softmax(-1)


@wrong("03.topk_then_softmax", "The indices say which experts")
def softmax_of_numbers(logits, k):
    return logits.topk(k).indices.softmax(-1)


@wrong("03.topk_then_softmax", "Best first")
def last_k_of_the_sorted(logits, k):
    return logits.sort(-1).values[:, -k:].softmax(-1)


@wrong("03.topk_then_softmax", "divide by their sum")
def not_divided(logits, k):
    return logits.topk(k).values.exp()


@wrong("03.topk_then_softmax", "Mask with -inf")
def masked_with_zero(logits, k):
    best = logits.topk(k)
    return torch.zeros_like(logits).scatter(-1, best.indices, best.values).softmax(-1).topk(k).values


@wrong("03.topk_then_softmax", "keep the smallest")
def smallest_weights(logits, k):
    return logits.sort(dim=-1).values[:, :k].softmax(-1)


@right("03.topk_then_softmax")
def renormalise(logits, k):
    weights = logits.softmax(-1).topk(k).values
    return weights / weights.sum(-1, keepdim=True)


@right("03.topk_then_softmax")
def in_double(logits, k):
    best = logits.double().sort(dim=1, descending=True).values[:, :k]
    return (torch.exp(best) / torch.exp(best).sum(1, keepdim=True)).float()


@right("03.topk_then_softmax")
def masked(logits, k):
    least = logits.topk(k).values[:, -1:]
    return logits.masked_fill(logits < least, -torch.inf).softmax(-1).topk(k).values


# ── my_mixture ──


@wrong("03.my_mixture", "no gate weight scales them")
def gate_forgotten(x, chosen, weights, experts):
    return torch.stack([sum(experts[e](x[[t]])[0] for e in row.tolist()) for t, row in enumerate(chosen)])


@wrong("03.my_mixture", "the mean of the chosen answers")
def averaged(x, chosen, weights, experts):
    return gate_forgotten(x, chosen, weights, experts) / chosen.shape[1]


@wrong("03.my_mixture", "divide the sum by the number")
def weighted_average(x, chosen, weights, experts):
    y = torch.stack([experts[e](x[[t]])[0] * weights[t, j] for t, row in enumerate(chosen) for j, e in enumerate(row)])
    return y.reshape(*chosen.shape, -1).mean(1)


@wrong("03.my_mixture", "divide by the sum of the weights")
def renormalised_sum(x, chosen, weights, experts):
    return right_sum(x, chosen, weights / weights.sum(-1, keepdim=True), experts)


@wrong("03.my_mixture", "go to the wrong experts")
def best_weight_to_last(x, chosen, weights, experts):
    return right_sum(x, chosen, weights.flip(1), experts)


@wrong("03.my_mixture", "as if `chosen` were sorted")
def experts_sorted_weights_not(x, chosen, weights, experts):
    return right_sum(x, chosen.sort(-1).values, weights, experts)


@wrong("03.my_mixture", "first k experts of the list")
def first_k(x, chosen, weights, experts):
    return sum(weights[:, [j]] * experts[j](x) for j in range(chosen.shape[1]))


@wrong("03.my_mixture", "Only the first choice")
def second_choice_ignored(x, chosen, weights, experts):
    return right_sum(x, chosen[:, :1], weights[:, :1], experts)


@wrong("03.my_mixture", "Only the last choice")
def last_choice_alone(x, chosen, weights, experts):
    for j in range(chosen.shape[1]):
        y = right_sum(x, chosen[:, [j]], weights[:, [j]], experts)
    return y


@wrong("03.my_mixture", "takes the place of the one before")
def overwritten(x, chosen, weights, experts):
    y = torch.zeros(len(x), experts[0](x).shape[1])
    for i, expert in enumerate(experts):
        rows, places = (chosen == i).nonzero(as_tuple=True)
        y[rows] = weights[rows, places, None] * expert(x[rows])
    return y


@wrong("03.my_mixture", "The last expert's answer replaces the others")
def last_expert_alone(x, chosen, weights, experts):
    for i, expert in enumerate(experts):
        y = (weights * (chosen == i)).sum(-1, keepdim=True) * expert(x)
    return y


@wrong("03.my_mixture", "Does the loop return too early")
def returned_in_the_loop(x, chosen, weights, experts):
    y = 0
    for i, expert in enumerate(experts):
        y = y + (weights * (chosen == i)).sum(-1, keepdim=True) * expert(x)
        return y


@wrong("03.my_mixture", "Every choice gets the first weight")
def first_weight(x, chosen, weights, experts):
    y = torch.zeros(len(x), experts[0](x).shape[1])
    for i, expert in enumerate(experts):
        rows, _ = torch.where(chosen == i)
        y[rows] += weights[rows, 0, None] * expert(x[rows])
    return y


@wrong("03.my_mixture", "keepdim=True")
def no_keepdim(x, chosen, weights, experts):
    y = 0
    for i, expert in enumerate(experts):
        y = y + (weights * (chosen == i)).sum(-1) * expert(x)
    return y


@wrong("03.my_mixture", "A row has k weights")
def not_summed(x, chosen, weights, experts):
    y = 0
    for i, expert in enumerate(experts):
        y = y + weights * (chosen == i) * expert(x)
    return y


@wrong("03.my_mixture", "not all of `chosen`")
def list_asked_by_a_tensor(x, chosen, weights, experts):
    return (weights * experts[chosen](x)).sum(-1)


@wrong("03.my_mixture", "It should return the chosen experts' answers")
def first_expert_skipped(x, chosen, weights, experts):
    return sum((weights * (chosen == i)).sum(-1, keepdim=True) * experts[i](x) for i in range(1, len(experts)))


@wrong("03.my_mixture", "scale the token before")
def token_scaled(x, chosen, weights, experts):
    y = 0
    for j in range(chosen.shape[1]):
        y = y + torch.stack([experts[e](weights[[t], j] * x[[t]])[0] for t, e in enumerate(chosen[:, j].tolist())])
    return y


@wrong("03.my_mixture", "Every token goes where the first one goes")
def one_choice_for_all(x, chosen, weights, experts):
    return sum(weights[:, [j]] * experts[e](x) for j, e in enumerate(chosen[0].tolist()))


@wrong("03.my_mixture", "all experts")
def everybody(x, chosen, weights, experts):
    return sum(expert(x) for expert in experts)


@wrong("03.my_mixture", "has shape (4, 1, 3)")
def extra_dimension(x, chosen, weights, experts):
    return right_sum(x, chosen, weights, experts).unsqueeze(1)


@wrong("03.my_mixture", "to the gate weights")
def cut_off(x, chosen, weights, experts):
    return right_sum(x, chosen, weights.detach(), experts)


@wrong("03.my_mixture", "to the experts")
def experts_cut_off(x, chosen, weights, experts):
    return right_sum(x, chosen, weights, [lambda x, e=expert: e(x).detach() for expert in experts])


@right("03.my_mixture")
def right_sum(x, chosen, weights, experts):
    rows = []
    for t in range(x.shape[0]):
        row = 0
        for j in range(chosen.shape[1]):
            row = row + weights[t, j] * experts[int(chosen[t, j])](x[t : t + 1])[0]
        rows.append(row)
    return torch.stack(rows)


@right("03.my_mixture")
def vectorised(x, chosen, weights, experts):
    everyone = torch.stack([expert(x) for expert in experts], dim=1)
    gates = torch.zeros(len(x), len(experts)).scatter(1, chosen, weights)
    return torch.einsum("te,teo->to", gates, everyone)


@right("03.my_mixture")
def only_the_picked(x, chosen, weights, experts):
    y = torch.zeros(len(x), experts[0](x[:1]).shape[1])
    for i in range(len(experts)):
        rows, places = torch.where(chosen == i)
        y = y.index_add(0, rows, weights[rows, places].unsqueeze(1) * experts[i](x[rows]))
    return y


@right("03.my_mixture")
def gathered_in_double(x, chosen, weights, experts):
    everyone = torch.stack([expert(x) for expert in experts], 1).double()
    chosen = everyone[torch.arange(len(x))[:, None], chosen]
    return (chosen * weights[..., None]).sum(1).float()


@right("03.my_mixture")
def choice_by_choice(x, chosen, weights, experts):
    rows = [sum(weights[t, j] * experts[e](x[t]) for j, e in enumerate(chosen[t])) for t in range(len(x))]
    return torch.stack(rows)
