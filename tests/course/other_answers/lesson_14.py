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


@wrong("14.published_block", "swapped")
def gate_and_up_swapped(x, weights, config):
    other = {"gate_proj": "up_proj", "up_proj": "gate_proj"}
    swapped = {}
    for name, matrix in weights.items():
        part = name.split(".")[-2]
        swapped[name.replace(part, other.get(part, part))] = matrix
    return token_by_token(x, swapped, config)


def expert_of(weights, name, read):
    gate, up, down = (weights[f"{name}.{part}_proj.weight"] for part in ("gate", "up", "down"))
    return F.linear(F.silu(F.linear(read, gate)) * F.linear(read, up), down)


@right("14.deepseek_block")
def deepseek_token_by_token(x, weights, config):
    answers, size = [], len(weights["gate.weight"]) // config["n_group"]
    for token in x:
        scores = torch.sigmoid(weights["gate.weight"] @ token)
        ranking = (scores + weights["gate.e_score_correction_bias"]).tolist()
        groups = [range(start, start + size) for start in range(0, len(ranking), size)]
        groups.sort(key=lambda group: -sum(sorted(ranking[e] for e in group)[-2:]))
        allowed = [e for group in groups[: config["topk_group"]] for e in group]
        best = sorted(allowed, key=lambda e: -ranking[e])[: config["num_experts_per_tok"]]
        total = sum(scores[e] for e in best) if config["norm_topk_prob"] else 1
        factor = config["routed_scaling_factor"] / total
        answer = sum(factor * scores[e] * expert_of(weights, f"experts.{e}", token) for e in best)
        answers.append(answer + (expert_of(weights, "shared_experts", token) if config["n_shared_experts"] else 0))
    return torch.stack(answers)


@right("14.deepseek_block")
def deepseek_by_a_table(x, weights, config):
    scores = F.linear(x, weights["gate.weight"]).sigmoid()
    ranking = scores.detach() + weights["gate.e_score_correction_bias"]
    groups = ranking.view(len(x), config["n_group"], -1).sort(-1).values[..., -2:].sum(-1)
    worst = groups.topk(config["topk_group"]).values[:, -1:]
    open_groups = (groups >= worst).repeat_interleave(scores.shape[1] // config["n_group"], 1)
    places = ranking.where(open_groups, torch.tensor(-1e9)).topk(config["num_experts_per_tok"]).indices
    table = scores * torch.zeros_like(scores).scatter(1, places, 1.0)
    if config["norm_topk_prob"]:
        table = F.normalize(table, p=1, dim=1)
    said = torch.stack([expert_of(weights, f"experts.{e}", x) for e in range(scores.shape[1])], 1)
    y = config["routed_scaling_factor"] * (table[..., None] * said).sum(1)
    return y + expert_of(weights, "shared_experts", x) if config["n_shared_experts"] else y


@right("14.deepseek_block")
def deepseek_with_experts_that_read_their_own(x, weights, config):
    scores = (x @ weights["gate.weight"].T).sigmoid()
    ranking = scores + weights["gate.e_score_correction_bias"]
    size = scores.shape[1] // config["n_group"]
    good = torch.stack([part.topk(2).values.sum(-1) for part in ranking.split(size, 1)], 1)
    best = good.topk(config["topk_group"]).indices
    places = (best[..., None] * size + torch.arange(size)).flatten(1)
    chosen = places.gather(1, ranking.gather(1, places).topk(config["num_experts_per_tok"]).indices)
    g = scores.gather(1, chosen)
    g = g / (g.sum(1, keepdim=True) if config["norm_topk_prob"] else 1) * config["routed_scaling_factor"]
    y = config["n_shared_experts"] * expert_of(weights, "shared_experts", x)
    for e in range(scores.shape[1]):
        rows, place = (chosen == e).nonzero(as_tuple=True)
        y = y.index_add(0, rows, g[rows, place, None] * expert_of(weights, f"experts.{e}", x[rows]))
    return y


@right("14.gpt_oss_block")
def gpt_oss_token_by_token(x, weights, config):
    answers = []
    for token in x:
        logits = weights["router.weight"] @ token + weights["router.bias"]
        best = logits.argsort(descending=True)[: config["num_experts_per_tok"]]
        answer = 0
        for e, weight in zip(best.tolist(), logits[best].softmax(0), strict=True):
            read = token @ weights["experts.gate_up_proj"][e] + weights["experts.gate_up_proj_bias"][e]
            gate, up = read.unflatten(0, (-1, 2)).unbind(1)
            gate, up = gate.clamp(max=7), up.clamp(-7, 7)
            neurons = gate / (1 + (-1.702 * gate).exp()) * (up + 1)
            answer = answer + weight * (
                neurons @ weights["experts.down_proj"][e] + weights["experts.down_proj_bias"][e]
            )
        answers.append(answer)
    return torch.stack(answers)


@right("14.gpt_oss_block")
def gpt_oss_by_a_table(x, weights, config):
    logits = F.linear(x, weights["router.weight"], weights["router.bias"])
    worst = logits.topk(config["num_experts_per_tok"]).values[:, -1:]
    table = logits.masked_fill(logits < worst, -torch.inf).softmax(1)
    read = torch.einsum("td,edh->teh", x, weights["experts.gate_up_proj"]) + weights["experts.gate_up_proj_bias"]
    gate, up = read[..., 0::2].clamp(max=7), read[..., 1::2].clamp(-7, 7)
    said = (up + 1) * gate * torch.sigmoid(gate * 1.702)
    said = torch.einsum("teh,ehd->ted", said, weights["experts.down_proj"]) + weights["experts.down_proj_bias"]
    return torch.einsum("te,ted->td", table, said)


@right("14.gpt_oss_block")
def gpt_oss_divides_probabilities(x, weights, config):
    probs = (x @ weights["router.weight"].T + weights["router.bias"]).softmax(-1)
    g, chosen = probs.topk(config["num_experts_per_tok"])
    g = g / g.sum(-1, keepdim=True)
    y = torch.zeros_like(x)
    for e in range(probs.shape[1]):
        rows, place = (chosen == e).nonzero(as_tuple=True)
        read = x[rows] @ weights["experts.gate_up_proj"][e] + weights["experts.gate_up_proj_bias"][e]
        gate, up = torch.minimum(read[:, ::2], torch.tensor(7.0)), read[:, 1::2].clip(-7, 7)
        said = (up * gate + gate) * (1.702 * gate).sigmoid()
        said = said @ weights["experts.down_proj"][e] + weights["experts.down_proj_bias"][e]
        y = y.index_add(0, rows, g[rows, place, None] * said)
    return y


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


@wrong("14.your_probe", "The nine do so, too")
def asked_twice(moe, x):
    return float((moe(x)[0] - moe(x)[0]).norm())


@right("14.your_probe")
def the_largest_difference(moe, x):
    routing = moe(x)[1]
    rows = torch.arange(len(x))[:, None]
    return float((routing.probs[rows, routing.indices] / routing.weights - 1).abs().max())


@right("14.your_probe")
def every_chosen_expert_learns(moe, x):
    y, routing = moe(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), moe.experts.w_out, materialize_grads=True)
    return float(not gradient.flatten(1).any(-1)[routing.indices].all())


@right("14.your_probe")
def the_experts_by_hand(moe, x):
    e = moe.experts
    neurons = F.relu(torch.einsum("td,ehd->teh", x, e.w_in) + e.b_in)
    return float((torch.einsum("teh,eho->teo", neurons, e.w_out) + e.b_out - e(x)).norm() / e(x).norm())


@wrong("14.your_probe", "With weights squared it returns -")
def without_its_size(moe, x):
    routing = moe(x)[1]
    return float((routing.weights - routing.probs.gather(-1, routing.indices)).sum())


@wrong("14.your_probe", "0 if all is well, else more")
def close_enough(moe, x):
    routing = moe(x)[1]
    return torch.allclose(routing.weights, routing.probs.gather(-1, routing.indices))


@wrong("14.your_probe", "In ten draws it catches selection bias subtracted")
def the_first_choice_alone(moe, x):
    routing = moe(x)[1]
    first = (routing.probs + moe.router.bias)[0].argmax()
    return float(first != routing.indices[0, 0])


@wrong("14.your_probe", "the two weights need not sum to 1")
def weights_sum_to_one(moe, x):
    return float((moe(x)[1].weights.sum(-1) - 1).abs().max())


@wrong("14.published_block", "only the last one's answer is left")
def last_answer_wins(x, weights, config):
    g, chosen = (x @ weights["gate.weight"].T).softmax(-1).topk(config["num_experts_per_tok"])
    if config["norm_topk_prob"]:
        g = g / g.sum(-1, keepdim=True)
    y = torch.zeros_like(x)
    for e in range(len(weights["gate.weight"])):
        rows, place = (chosen == e).nonzero(as_tuple=True)
        y[rows] = g[rows, place, None] * expert_of(weights, f"experts.{e}", x[rows])
    return y
