"""Answers to lesson 03's exercises in other styles."""

import torch
from answers import right, wrong


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


@right("03.route")
def sorted_in_double(x, weight, k):
    weights, chosen = (x.double() @ weight.double().T).softmax(1).sort(1, descending=True)
    return chosen[:, :k].int(), weights[:, :k]


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
def gathered_in_double(x, chosen, weights, experts):
    everyone = torch.stack([expert(x) for expert in experts], 1).double()
    chosen = everyone[torch.arange(len(x))[:, None], chosen]
    return (chosen * weights[..., None]).sum(1).float()


@wrong("03.my_mixture", "takes the place of the one before")
def overwritten(x, chosen, weights, experts):
    y = torch.zeros(len(x), experts[0](x).shape[1])
    for i, expert in enumerate(experts):
        rows, places = (chosen == i).nonzero(as_tuple=True)
        y[rows] = weights[rows, places, None] * expert(x[rows])
    return y
