"""Answers to lesson 14's exercises in other styles."""

import torch
import torch.nn.functional as F
from answers import right, wrong


@right("14.published_block")
def token_by_token(x, weights, config):
    answers = []
    for token in x:
        probs = torch.softmax(weights["gate.weight"] @ token, 0)
        best = probs.argsort(descending=True)[: config["num_experts_per_tok"]].tolist()
        total = sum(probs[e] for e in best) if config["norm_topk_prob"] else 1.0
        answer = 0
        for e in best:
            gate, up, down = (weights[f"experts.{e}.{name}_proj.weight"] for name in ("gate", "up", "down"))
            read = gate @ token
            answer = answer + probs[e] / total * (down @ (read * read.sigmoid() * (up @ token)))
        answers.append(answer)
    return torch.stack(answers)


@right("14.published_block")
def all_experts_and_a_table(x, weights, config):
    probs = F.softmax(F.linear(x, weights["gate.weight"]), dim=1)
    top = probs.topk(config["num_experts_per_tok"], dim=1)
    table = torch.zeros_like(probs).scatter(1, top.indices, top.values)
    if config["norm_topk_prob"]:
        table = F.normalize(table, p=1, dim=1)
    stacks = [
        torch.stack([weights[f"experts.{e}.{name}_proj.weight"] for e in range(probs.shape[1])])
        for name in ("gate", "up", "down")
    ]
    read = F.silu(torch.einsum("td,ehd->teh", x, stacks[0])) * torch.einsum("td,ehd->teh", x, stacks[1])
    return torch.einsum("te,teh,edh->td", table, read, stacks[2])


@right("14.published_block")
def experts_that_read_their_own(x, weights, config):
    g, chosen = (x @ weights["gate.weight"].T).softmax(-1).topk(config["num_experts_per_tok"])
    if config["norm_topk_prob"]:
        g = g / g.sum(-1, keepdim=True)
    y = torch.zeros_like(x)
    for e in range(len(weights["gate.weight"])):
        rows, place = (chosen == e).nonzero(as_tuple=True)
        gate, up, down = (weights[f"experts.{e}.{name}_proj.weight"] for name in ("gate", "up", "down"))
        said = F.linear(F.silu(F.linear(x[rows], gate)) * F.linear(x[rows], up), down)
        y.index_add_(0, rows, g[rows, place, None] * said)
    return y


@wrong("14.published_block", "whatever the config says")
def always_divides(x, weights, config):
    return token_by_token(x, weights, config | {"norm_topk_prob": True})


@wrong("14.published_block", "swapped")
def gate_and_up_swapped(x, weights, config):
    other = {"gate_proj": "up_proj", "up_proj": "gate_proj"}
    swapped = {}
    for name, matrix in weights.items():
        part = name.split(".")[-2]
        swapped[name.replace(part, other.get(part, part))] = matrix
    return token_by_token(x, swapped, config)


@right("14.alone")
def largest_difference(moe, x):
    together = moe(x)[0].detach()
    alone = torch.stack([moe(token[None])[0][0] for token in x]).detach()
    return float((alone - together).abs().max() / together.abs().max())


@right("14.alone")
def mean_over_the_tokens(moe, x):
    apart = []
    together, _ = moe(x)
    for t in range(len(x)):
        alone, _ = moe(x[t : t + 1])
        apart.append((alone[0] - together[t]).norm() / together[t].norm())
    return torch.stack(apart).mean().item()


@right("14.alone")
def by_cosine_and_size(moe, x):
    with torch.no_grad():
        together = moe(x)[0].flatten()
        alone = torch.cat([moe(x[t : t + 1])[0] for t in range(len(x))]).flatten()
    return float(1 - torch.cosine_similarity(alone, together, dim=0) + (alone.norm() / together.norm() - 1).abs())


@wrong("14.alone", "Divide by the size of the answers")
def absolute(moe, x):
    together, _ = moe(x)
    return float((torch.cat([moe(token)[0] for token in x.split(1)]) - together).norm())


@right("14.reaches_router")
def by_backward(moe, x):
    moe.router.weight.grad = None
    moe(x)[0].square().mean().backward()
    gradient = moe.router.weight.grad
    return 0.0 if gradient is not None and gradient.abs().sum() > 0 else 1.0


@right("14.reaches_router")
def by_a_target(moe, x):
    y, _ = moe(x)
    gradients = torch.autograd.grad(F.mse_loss(y, torch.ones_like(y)), moe.router.weight, allow_unused=True)
    return float(all(g is None or bool((g == 0).all()) for g in gradients))


@right("14.reaches_router")
def by_the_sum(moe, x):
    (gradient,) = torch.autograd.grad(moe(x)[0].sum(), [moe.router.weight], allow_unused=True, materialize_grads=True)
    return 1 - float(gradient.count_nonzero() > 0)


@wrong("14.reaches_router", "nothing but zeros")
def none_alone(moe, x):
    (gradient,) = torch.autograd.grad(moe(x)[0].square().sum(), moe.router.weight, allow_unused=True)
    return 0.0 if gradient is not None else 1.0


@right("14.your_probe")
def asked_twice(moe, x):
    return float((moe(x)[0] - moe(x)[0]).norm())


@right("14.your_probe")
def in_another_order(moe, x):
    order = torch.randperm(len(x))
    there, here = moe(x[order])[0], moe(x)[0][order]
    return float((there - here).norm() / here.norm())


@right("14.your_probe")
def weights_are_probabilities(moe, x):
    weights = moe(x)[1].weights
    return float((weights < 0).any() or (weights.sum(-1) > 2.001).any() or (moe(x)[0].std() == 0)) + asked_twice(moe, x)


@wrong("14.your_probe", "It accuses")
def weights_sum_to_one(moe, x):
    return float((moe(x)[1].weights.sum(-1) - 1).abs().max())


@wrong("14.your_probe", "It accuses nobody")
def is_finite(moe, x):
    return float(not moe(x)[0].isfinite().all())
