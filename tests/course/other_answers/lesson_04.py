"""Answers to lesson 04's exercises: what a learner may write."""

import numpy as np
import torch
import torch.nn.functional as F
from answers import right, wrong


@right("04.answers_slope")
def by_a_loop(answers, chosen, dL_dy):
    dL_dg = np.zeros(len(answers))
    for i in chosen:
        dL_dg[i] = (answers[i] * dL_dy).sum()
    return dL_dg


@right("04.answers_slope")
def by_a_mask(answers, chosen, dL_dy):
    return np.isin(np.arange(len(answers)), chosen) * (answers @ dL_dy)


@right("04.answers_slope")
def in_a_list(answers, chosen, dL_dy):
    return [float(np.dot(answers[i], dL_dy)) if i in chosen else 0.0 for i in range(len(answers))]


@right("04.gate_gradient")
def by_the_matrix(p, dL_dg):
    return (np.diag(p) - np.outer(p, p)) @ dL_dg


@right("04.gate_gradient")
def by_loops_in_a_list(p, dL_dg):
    n = range(len(p))
    return [sum(dL_dg[i] * p[i] * ((i == j) - p[j]) for i in n) for j in n]


@right("04.gate_gradient")
def by_autograd_in_single(p, dL_dg):
    z = torch.tensor(p).log().float().requires_grad_()
    (z.softmax(0) @ torch.tensor(dL_dg).float()).backward()
    return z.grad


@wrong("04.gate_gradient", "reaches the chosen alone")
def second_term_for_the_chosen(p, dL_dg):
    s = p * dL_dg
    gradient = np.zeros_like(p)
    chosen = dL_dg != 0
    gradient[chosen] = s[chosen] - p[chosen] * s.sum()
    return gradient


@right("04.training_step")
def cleared_first(moe, optimizer, x, y):
    optimizer.zero_grad(set_to_none=False)
    loss = -moe(x)[0].log_softmax(-1)[torch.arange(len(y)), y].mean()
    loss.backward()
    optimizer.step()
    return loss.item()


@right("04.training_step")
def by_closure(moe, optimizer, x, y):
    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(moe(x)[0], y)
        loss.backward()
        return loss

    return optimizer.step(closure)


@right("04.training_step")
def cleared_at_the_end(moe, optimizer, x, y):
    loss = F.nll_loss(moe(x)[0].log_softmax(-1), y)
    for parameter, gradient in zip(moe.parameters(), torch.autograd.grad(loss, list(moe.parameters())), strict=True):
        parameter.grad = gradient
    optimizer.step()
    moe.zero_grad()
    return loss.detach()


@wrong("04.training_step", "loss does not reach the router")
def routing_detached(moe, optimizer, x, y):
    moe.router.requires_grad_(False)
    return cleared_first(moe, optimizer, x, y)
