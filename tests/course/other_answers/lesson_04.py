"""Answers to lesson 04's exercises: what a learner may write."""

import numpy as np
import torch
import torch.nn.functional as F
from answers import right, wrong

# ── gate_gradient ──


@wrong("04.gate_gradient", "second term is missing")
def no_second_term(p, dL_dg):
    return p * dL_dg


@wrong("04.gate_gradient", "reaches the chosen alone")
def second_term_for_the_picked(p, dL_dg):
    s = p * dL_dg
    gradient = np.zeros_like(p)
    chosen = dL_dg != 0
    gradient[chosen] = s[chosen] - p[chosen] * s.sum()
    return gradient


@wrong("04.gate_gradient", "other sign")
def sign_of_the_second(p, dL_dg):
    s = p * dL_dg
    return s + p * s.sum()


@wrong("04.gate_gradient", "All signs are turned")
def sign_of_all(p, dL_dg):
    s = p * dL_dg
    return p * s.sum() - s


@wrong("04.gate_gradient", "times its own p_i before")
def sum_without_p(p, dL_dg):
    return p * dL_dg - p * dL_dg.sum()


@wrong("04.gate_gradient", "In the first term")
def first_without_p(p, dL_dg):
    return dL_dg - p * (p * dL_dg).sum()


@wrong("04.gate_gradient", "hears only itself")
def own_slope_alone(p, dL_dg):
    return dL_dg * p * (1 - p)


@wrong("04.gate_gradient", "The first term is missing")
def no_first_term(p, dL_dg):
    return -np.outer(p, p) @ dL_dg


@wrong("04.gate_gradient", "p_j is missing")
def second_without_p(p, dL_dg):
    return dL_dg * p - p @ dL_dg


@wrong("04.gate_gradient", "All are 0")
def summed_over_j(p, dL_dg):
    return (dL_dg[:, None] * p[:, None] * (np.eye(len(p)) - p)).sum(axis=1)


@wrong("04.gate_gradient", "It should return dL/dz")
def first_expert_skipped(p, dL_dg):
    return sum(dL_dg[i] * p[i] * ((np.arange(len(p)) == i) - p) for i in range(1, len(p)))


@right("04.gate_gradient")
def by_the_matrix(p, dL_dg):
    return (np.diag(p) - np.outer(p, p)) @ dL_dg


@right("04.gate_gradient")
def by_loops(p, dL_dg):
    gradient = torch.zeros(len(p), dtype=torch.float64)
    for j in range(len(p)):
        for i in range(len(p)):
            gradient[j] += dL_dg[i] * p[i] * ((i == j) - p[j])
    return gradient


@right("04.gate_gradient")
def by_autograd(p, dL_dg):
    z = torch.tensor(p).log().requires_grad_()
    (z.softmax(0) @ torch.tensor(dL_dg)).backward()
    return z.grad


# ── can_it_learn ──


@wrong("04.can_it_learn", "The experts' gradients always have a length")
def of_the_experts(moe, x, target):
    moe.zero_grad()
    F.mse_loss(moe(x)[0], target).backward()
    return bool(moe.experts.w_out.grad.norm() > 1e-6)


@wrong("04.can_it_learn", "no of every router")
def weights_detached(moe, x, target):
    routing = moe.router(x)
    answers = moe.experts(x)[torch.arange(len(x)), routing.indices[:, 0]]
    loss = F.mse_loss(routing.weights[:, :1].detach() * answers, target)
    moe.zero_grad()
    loss.backward()
    return moe.router.weight.grad is not None


@wrong("04.can_it_learn", "RuntimeError: element 0 of tensors does not require grad")
def output_detached(moe, x, target):
    F.mse_loss(moe(x)[0].detach(), target).backward()
    return bool(moe.router.weight.grad.norm() > 1e-6)


@wrong("04.can_it_learn", "only rounding error")
def not_exactly_zero(moe, x, target):
    F.mse_loss(moe(x)[0], target).backward()
    gradient = moe.router.weight.grad
    return gradient is not None and bool((gradient != 0).any())


@wrong("04.can_it_learn", "It says True where the gate weight is a softmax over the one that is chosen")
def whether_there_is_one(moe, x, target):
    F.mse_loss(moe(x)[0], target).backward()
    return moe.router.weight.grad is not None


@wrong("04.can_it_learn", "'NoneType' object has no attribute 'norm'")
def refused_by_none(moe, x, target):
    F.mse_loss(moe(x)[0], target).backward()
    return bool(moe.router.weight.grad.norm() > 1e-6)


@wrong("04.can_it_learn", "Is backward() missing")
def no_backward(moe, x, target):
    F.mse_loss(moe(x)[0], target)
    return moe.router.weight.grad is not None


@wrong("04.can_it_learn", "A sum cancels to 0")
def signs_cancel(moe, x, target):
    F.mse_loss(moe(x)[0], target).backward()
    gradient = moe.router.weight.grad
    return gradient is not None and bool(gradient.mean().abs() > 1e-6)


@wrong("04.can_it_learn", "two that one small token chooses")
def every_weight(moe, x, target):
    F.mse_loss(moe(x)[0], target).backward()
    gradient = moe.router.weight.grad
    return gradient is not None and bool((gradient.abs() > 1e-6).all())


@wrong("04.can_it_learn", "two that one small token chooses")
def bound_too_large(moe, x, target):
    F.mse_loss(moe(x)[0], target).backward()
    gradient = moe.router.weight.grad
    return gradient is not None and bool(gradient.norm() > 0.1)


@wrong("04.can_it_learn", "wrong way round")
def wrong_way_round(moe, x, target):
    F.mse_loss(moe(x)[0], target).backward()
    gradient = moe.router.weight.grad
    return gradient is None or bool(gradient.norm() < 1e-6)


@right("04.can_it_learn")
def by_grad(moe, x, target):
    loss = F.mse_loss(moe(x)[0], target)
    (gradient,) = torch.autograd.grad(loss, moe.router.weight, allow_unused=True)
    return gradient is not None and gradient.abs().max() > 1e-8


@right("04.can_it_learn")
def by_moving_the_weights(moe, x, target):
    """Try it: nudge each weight, and see whether the loss moves."""
    with torch.no_grad():
        before = F.mse_loss(moe(x)[0], target)
        for place in range(moe.router.weight.numel()):
            moe.router.weight.view(-1)[place] += 1e-6
            after = F.mse_loss(moe(x)[0], target)
            moe.router.weight.view(-1)[place] -= 1e-6
            if abs(after - before) > 1e-11:
                return True
    return False


# ── training_step ──


@wrong("04.training_step", "zero_grad() is missing")
def no_zero_grad(moe, optimizer, x, y):
    scores, _ = moe(x)
    loss = F.cross_entropy(scores, y)
    loss.backward()
    optimizer.step()
    return loss


@wrong("04.training_step", "loss does not reach the router")
def routing_detached(moe, optimizer, x, y):
    moe.router.requires_grad_(False)
    loss = F.cross_entropy(moe(x)[0], y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


@wrong("04.training_step", "There is a softmax before the cross-entropy")
def softmax_twice(moe, optimizer, x, y):
    loss = F.cross_entropy(moe(x)[0].softmax(-1), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


@wrong("04.training_step", "Your loss is a sum over the batch")
def summed_loss(moe, optimizer, x, y):
    loss = F.cross_entropy(moe(x)[0], y, reduction="sum")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


@wrong("04.training_step", "Nothing moves")
def no_step(moe, optimizer, x, y):
    loss = F.cross_entropy(moe(x)[0], y)
    optimizer.zero_grad()
    loss.backward()
    return loss


@wrong("04.training_step", "Nothing moves")
def cleared_too_late(moe, optimizer, x, y):
    loss = F.cross_entropy(moe(x)[0], y)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss


@wrong("04.training_step", "the loss after the step")
def loss_after(moe, optimizer, x, y):
    loss = F.cross_entropy(moe(x)[0], y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return F.cross_entropy(moe(x)[0], y)


@wrong("04.training_step", "It returns None")
def no_return(moe, optimizer, x, y):
    loss = F.cross_entropy(moe(x)[0], y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


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
