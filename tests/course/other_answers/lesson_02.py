"""Answers to lesson 02's exercises: what a learner may write."""

import torch
from answers import right, wrong


@right("02.by_loop")
def image_by_image(x, oracle, experts, n_classes):
    return torch.stack([experts[oracle[b]](x[b]) for b in range(len(x))])


@right("02.by_loop")
def sorted_first(x, oracle, experts, n_classes):
    answers = torch.cat([expert(x[oracle == i]) for i, expert in enumerate(experts)])
    return answers[oracle.argsort(stable=True).argsort()]


@right("02.by_loop")
def only_who_is_named(x, oracle, experts, n_classes):
    scores = torch.empty(len(x), n_classes)
    for i in oracle.unique():
        scores[oracle == i] = experts[i](x[oracle == i])
    return scores


@wrong("02.by_loop", "Right, but expert 0 was asked about 3 images, and the oracle sends it 1")
def everybody_asked(x, oracle, experts, n_classes):
    everyone = torch.stack([expert(x) for expert in experts])
    return everyone[oracle, torch.arange(len(x))]


@wrong("02.by_loop", "Right, but no gradient reaches the experts")
@torch.no_grad()
def nothing_trains(x, oracle, experts, n_classes):
    return only_who_is_named(x, oracle, experts, n_classes)


@right("02.stacked")
def expert_by_expert(x, w_in, b_in, w_out, b_out):
    answers = []
    for e in range(w_in.shape[0]):
        answers.append(torch.relu(x @ w_in[e].T + b_in[e]) @ w_out[e] + b_out[e])
    return torch.stack(answers, dim=1)


@right("02.stacked")
def by_batched_products(x, w_in, b_in, w_out, b_out):
    neurons = torch.relu(x @ w_in.transpose(1, 2) + b_in[:, None])  # (E, B, h)
    return (neurons @ w_out + b_out[:, None]).transpose(0, 1)


@right("02.stacked")
def by_vmap(x, w_in, b_in, w_out, b_out):
    def one(w_in, b_in, w_out, b_out):
        return torch.nn.functional.linear(x, w_in, b_in).clamp(min=0) @ w_out + b_out

    return torch.vmap(one, out_dims=1)(w_in, b_in, w_out, b_out)


@right("02.bill")
def by_division(n_experts, n_asked, d, h, d_out):
    total = n_experts * ((d + 1) * h + (h + 1) * d_out)
    return total, total / n_experts * n_asked


@right("02.bill")
def counted_on_modules(n_experts, n_asked, d, h, d_out):
    layers = torch.nn.Linear(d, h), torch.nn.Linear(h, d_out)
    one = torch.tensor(sum(p.numel() for layer in layers for p in layer.parameters()))
    return [n_experts * one, n_asked * one]


@right("02.bill")
def part_by_part(n_experts, n_asked, d, h, d_out):
    total = active = 0
    for part in (torch.zeros(h, d), torch.zeros(h), torch.zeros(d_out, h), torch.zeros(d_out)):
        total, active = total + n_experts * part.numel(), active + n_asked * part.numel()
    return total, active
