"""Lesson 04: the gradient through the gate, by hand, and a whole training step."""

import numpy as np
import torch

from moe_tutorial.course.vocabulary import Ask, checks, draw
from moe_tutorial.layers import MixtureOfExperts


@checks(
    "04.answers_slope",
    hints=(
        "Only the chosen experts have a slope, and `chosen` lists their numbers. The other places stay 0.",
        "The slope of a chosen expert i is the dot product of its answer, `answers[i]`, with `dL_dy`.",
        "`answers[chosen]` are the chosen rows, and `answers[chosen] @ dL_dy` their dot products: they belong in "
        "`dL_dg[chosen]`.",
    ),
    mistakes={
        "Every expert has a slope in your answer. Those that were not chosen keep their 0.": (
            "dL_dg[chosen] = answers[chosen] @ dL_dy => dL_dg = answers @ dL_dy"
        ),
        "All signs are turned round.": "= answers[chosen] => = -answers[chosen]",
        "You take the first rows. Those of the chosen experts are `answers[chosen]`.": (
            "= answers[chosen] => = answers[: len(chosen)]"
        ),
        "You add up each answer as it is. Its entries come times those of `dL_dy`.": (
            "answers[chosen] @ dL_dy => answers[chosen].sum(1)"
        ),
        "You fill the first places. The slopes belong where the chosen experts are: `dL_dg[chosen]`.": (
            "dL_dg[chosen] = => dL_dg[: len(chosen)] ="
        ),
    },
)
def answers_slope(ask: Ask) -> None:
    for answers, chosen, dL_dy in (
        ([[1, 2], [3, 1], [-1, 1]], [2, 0], [2, 1]),
        ([[2, 0, 1], [1, 3, 1], [0, 1, -2], [1, 1, 0]], [1], [1, -1, 3]),
        ([[1, 2], [2, -1], [4, 1], [0, 3]], [3, 1, 2], [1, 2.5]),
    ):
        given = {"answers": np.array(answers, dtype=float), "chosen": np.array(chosen)}
        given["dL_dy"] = np.array(dL_dy, dtype=float)
        says = "dL/dg: the dot product of each chosen expert's answer with dL/dy, and 0 for the others"
        ask.gives(given, says, where=f"{len(chosen)} of {len(answers)} experts are chosen")
    order = np.array([2, 0, 3, 1])
    moved = given | {"answers": given["answers"][order], "chosen": order.argsort()[given["chosen"]]}
    says = "With the experts in another order, their slopes should move along."
    ask.follows(given, moved, lambda dL_dg: np.asarray(dL_dg)[order], says)


@checks(
    "04.gate_gradient",
    hints=(
        "The sum has a term for each chosen expert i. Write its two parts apart: the one with the 1 of the delta is "
        "there only where i = j, the one with p_j always.",
        "Call s_i = p_i * dL/dg_i. The first part leaves s_j. The second is p_j times something that is the same "
        "for all j.",
        "That something is the sum of all s_i: dL/dz_j = s_j - p_j * s.sum().",
    ),
    mistakes={
        "The second term is missing: every expert's logit hears how the chosen did, times its own probability.": (
            " - p * s.sum() => "
        ),
        "The second term has the other sign: it is taken away.": "s - p => s + p",
        "In your second term each expert hears only itself. It hears the sum over all chosen.": "s.sum() => s",
        "The second term reaches the chosen alone in your answer. A probability depends on all logits, so those "
        "that were not chosen hear it, too.": "p * s.sum() => p * s.sum() * (dL_dg != 0)",
        "All signs are turned round. The gradient points where the loss grows.": "return ... => p * s.sum() - s",
        "In the second term, each dL/dg_i comes times its own p_i before they are added up.": "s.sum => dL_dg.sum",
        "The first term is missing, the one where i = j.": "return s - => return -",
        "In the second term, p_j is missing.": "p * s.sum() => s.sum()",
        "In the first term, dL/dg_j comes times p_j.": "return s => return dL_dg",
        "The p_j before the bracket is missing: it multiplies both terms.": "return ... => dL_dg - s.sum()",
    },
)
def gate_gradient(ask: Ask) -> None:
    for p, dL_dg in (([0.5, 0.3, 0.2], [3, 0, -1]), ([0.2, 0.1, 0.4, 0.3], [0, 0, 0, 2])):
        given = {"p": np.array(p), "dL_dg": np.array(dL_dg, dtype=float)}
        says = "dL/dz: the sum over i of dL/dg_i * p_i * (delta_ij - p_j), for each j"
        ask.gives(given, says, where=f"{np.count_nonzero(dL_dg)} of {len(p)} experts are chosen")
    order = np.array([2, 0, 3, 1])
    moved = {name: value[order] for name, value in given.items()}
    says = "With the experts in another order, their gradients should move along."
    ask.follows(given, moved, lambda dL_dz: np.asarray(dL_dz)[order], says)


@checks(
    "04.training_step",
    changes=True,
    hints=(
        "Five lines: scores, loss, clear the old gradients, backward, and a step of the optimizer.",
        "Without `optimizer.zero_grad()`, the gradients of all steps before are still there, and backward() adds to "
        "them.",
        "`scores, routing = moe(x)`, `loss = F.cross_entropy(scores, y)`, `optimizer.zero_grad()`, `loss.backward()`, "
        "`optimizer.step()`, and return the loss.",
    ),
    mistakes={
        "There is a softmax before the cross-entropy, which takes one of its own. Give it the scores as they are.": (
            "scores, y => scores.softmax(-1), y"
        ),
        "moe(x) returns two things: scores, routing = moe(x).": "scores, _ = moe(x) => scores = moe(x)",
        "The loss has the backward pass. The optimizer takes the step.": "loss.backward => optimizer.backward",
        "The gradients of the step before are still there, and add up: optimizer.zero_grad() is missing.": (
            "optimizer.zero_grad() => pass"
        ),
        "Nothing moves. Is loss.backward() there, and optimizer.step() after it, with nothing cleared between them?": (
            "optimizer.step() => pass"
        ),
        "The router's weights do not move, only the experts': the loss does not reach the router.": (
            "optimizer.step() => moe.router.weight.grad = None\noptimizer.step()"
        ),
        "That is the loss after the step. The one before it is asked for.": (
            "optimizer.step() => optimizer.step()\nloss = F.cross_entropy(moe(x)[0], y)"
        ),
        "Your loss is a sum over the batch. The mean is asked for, so that a larger batch makes no larger steps.": (
            'scores, y => scores, y, reduction="sum"'
        ),
    },
    swaps=[
        ("scores, _ = moe(x)", "optimizer.zero_grad()"),
        ("loss = F.cross_entropy(scores, y)", "optimizer.zero_grad()"),
    ],
)
def training_step(ask: Ask) -> None:
    def two_steps(answer):
        torch.manual_seed(3)
        moe = MixtureOfExperts(2, 2, 3, 2, d_out=2)
        optimizer = torch.optim.SGD(moe.parameters(), lr=0.5)
        x, y = draw(1, 6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
        found = []
        for _ in range(2):
            found += [answer(moe, optimizer, x, y), moe.router.weight.detach().clone()]
        return (*found, moe.experts.w_out[0].detach().clone())

    says = "Two steps should move router and experts as SGD does, and return each step's loss, the mean cross-entropy."
    names = ("first loss", "router after it", "second loss", "router after it, too", "an expert at the end")
    ask.experiment(two_steps, says, names)
