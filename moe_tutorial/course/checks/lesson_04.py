"""Lesson 04: the gradient through the gate, by hand; which routers get it; and a whole training step."""

import numpy as np
import torch
import torch.nn.functional as F

from moe_tutorial.course.checks.vocabulary import Ask, checks, compare, draw, verdicts
from moe_tutorial.course.running import NotYet
from moe_tutorial.layers import MixtureOfExperts, Router


def through_the_gate(p, dL_dg):
    s = p * dL_dg
    return s - p * s.sum()


@checks(
    "04.gate_gradient",
    hints=(
        "The sum has a term for each chosen expert i. Write its two parts apart: the one with the 1 of the delta is "
        "there only where i = j, the one with p_j always.",
        "Call s_i = p_i * dL/dg_i. The first part leaves s_j. The second is p_j times something that is the same "
        "for all j.",
        "That something is the sum of all s_i: dL/dz_j = s_j - p_j * s.sum().",
    ),
    puzzle={
        "return s": "The second term is missing: every logit moves the probabilities of all.",
        "return s + p * s.sum()": "The second term is taken away.",
        "return s * (1 - p)": "Here each expert hears only itself. It hears the sum over all chosen.",
    },
)
def gate_gradient(ask: Ask) -> None:
    mistakes = {
        "The second term is missing: every expert's logit hears how the chosen did, times its own probability.": (
            lambda p, dL_dg: p * dL_dg
        ),
        "The second term reaches the chosen alone in your answer. A probability depends on all logits, so those "
        "that were not chosen hear it, too.": lambda p, dL_dg: p * dL_dg - p * (p * dL_dg).sum() * (dL_dg != 0),
        "The second term has the other sign: it is taken away.": lambda p, dL_dg: p * dL_dg + p * (p * dL_dg).sum(),
        "All signs are turned round. The gradient points where the loss grows.": lambda p, dL_dg: (
            -through_the_gate(p, dL_dg)
        ),
        "In the second term, each dL/dg_i comes times its own p_i before they are added up.": (
            lambda p, dL_dg: p * dL_dg - p * dL_dg.sum()
        ),
        "The first term is missing, the one where i = j.": lambda p, dL_dg: -p * (p * dL_dg).sum(),
        "In the second term, p_j is missing.": lambda p, dL_dg: p * dL_dg - (p * dL_dg).sum(),
        "All are 0, up to rounding. Is each dL/dg_i in the sum for j?": lambda p, dL_dg: 0 * p,
        "In the first term, dL/dg_j comes times p_j.": lambda p, dL_dg: dL_dg - p * (p * dL_dg).sum(),
        "In your second term each expert hears only itself. It hears the sum over all chosen.": (
            lambda p, dL_dg: p * dL_dg * (1 - p)
        ),
    }
    for p, dL_dg in (([0.5, 0.3, 0.2], [3, 0, -1]), ([0.2, 0.1, 0.4, 0.3], [0, 0, 0, 2])):
        given = {"p": np.array(p), "dL_dg": np.array(dL_dg, dtype=float)}
        says = "dL/dz: the sum over i of dL/dg_i * p_i * (delta_ij - p_j), for each j"
        where = f"{np.count_nonzero(dL_dg)} of {len(p)} experts are chosen"
        ask.gives(given, {"dL_dz": through_the_gate(**given)}, says, mistakes, where)
    order = np.array([2, 0, 3, 1])
    moved = {name: value[order] for name, value in given.items()}
    says = "With the experts in another order, their gradients should move along."
    ask.follows(given, moved, lambda dL_dz: dL_dz[order], says)
    if abs(float(sum(ask(given)))) > 1e-6:
        raise NotYet("The gradients should add up to 0: one more on every logit changes no probability.")


class Unscaled(Router):
    """A router whose weights are all 1, so that no gradient flows through them."""

    def forward(self, x):
        routing = super().forward(x)
        return routing._replace(weights=torch.ones_like(routing.weights))


ROUTERS = {
    "the probability over all experts": (lambda: Router(3, 4, 1), True),
    "a softmax over the one that is chosen": (lambda: Router(3, 4, 1, gate="topk_softmax"), False),
    "a probability divided by itself": (lambda: Router(3, 4, 1, renormalize=True), False),
    "nothing, as the answer stays unscaled": (lambda: Unscaled(3, 4, 1), False),
    "a softmax over the two that one small token chooses": (lambda: Router(3, 4, 2, gate="topk_softmax"), True),
}


@checks(
    "04.can_it_learn",
    hints=(
        "Run the mixture, take a loss such as F.mse_loss, and call backward(). Where does PyTorch put the router's "
        "gradient?",
        "`moe.router.weight.grad` is None where the loss does not reach it at all, and a tensor otherwise.",
        "That tensor may be exactly 0, or hold only a trace of rounding. Compare its norm with a small number, such "
        "as 1e-6.",
    ),
    puzzle={
        "gradient = moe.experts.w_in.grad": (
            "The experts always hear the loss. The question is whether the router does."
        ),
        "return bool(gradient.norm() > 0)": (
            "Where the loss does not depend on the router there is no gradient at all, and rounding is not 0."
        ),
    },
)
def can_it_learn(ask: Ask) -> None:
    cases = {}
    for weight, (router, learns) in ROUTERS.items():
        torch.manual_seed(1)
        moe = MixtureOfExperts(3, 2, 4, router().top_k, router()).double()
        x, target = draw(1, 5, 3).double(), draw(2, 5, 3).double()
        x, target = (x[:1] / 1000, target[:1]) if "small" in weight else (x, target)
        cases[weight] = ({"moe": moe, "x": x, "target": target}, learns)
    found = verdicts(ask, cases)
    wrong = [weight for weight, (_, learns) in cases.items() if found[weight] != learns]
    if not wrong:
        given, learns = cases["the probability over all experts"]
        order = torch.tensor([4, 2, 0, 3, 1])
        moved = given | {"x": given["x"][order], "target": given["target"][order]}
        if bool(ask(moved)) != learns:
            raise NotYet("With the tokens in another order, the verdict should be the same.")
        return
    if all(found.values()):
        raise NotYet(
            "It says yes of every router. The experts' gradients always have a length: look at the router's own, "
            "moe.router.weight."
        )
    if not any(found.values()):
        raise NotYet("It says no of every router. Is backward() missing, or something detached? A sum cancels to 0.")
    if len(wrong) == len(cases):
        raise NotYet("It is the wrong way round: it says no where the loss reaches the router, and yes elsewhere.")
    if wrong == ["a probability divided by itself"]:
        raise NotYet(
            "A gradient that is only rounding error counts as learning in your answer. Compare its norm with a small "
            "number, such as 1e-6, not with 0."
        )
    says = f"the gate weight is {wrong[0]}"
    raise NotYet(f"It says {found[wrong[0]]} where {says}. Right is {cases[wrong[0]][1]}.")


def step(moe, optimizer, x, y, clear=True, move=True, hear=True, late=False, loss_of=F.cross_entropy):
    """One training step; each flag can leave a part of it out, and ``loss_of`` can be another loss."""
    scores, _ = moe(x)
    loss = loss_of(scores, y)
    if clear:
        optimizer.zero_grad()
    loss.backward()
    if not hear:
        moe.router.weight.grad = None
    if move:
        optimizer.step()
    return loss_of(moe(x)[0], y) if late else loss


def two_steps(one_step):
    """Run two steps; return the loss and the router's weights of each, and then an expert's weights."""
    torch.manual_seed(3)
    moe = MixtureOfExperts(2, 2, 3, 2, d_out=2)
    optimizer = torch.optim.SGD(moe.parameters(), lr=0.5)
    x, y = draw(1, 6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    found = []
    for _ in range(2):
        found.append(one_step(moe, optimizer, x, y))
        found.append(moe.router.weight.detach().clone())
    return (*found, moe.experts.w_out[0].detach().clone())


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
    puzzle={
        "loss = F.cross_entropy(scores.softmax(-1), y)": (
            "The cross-entropy takes a softmax of its own. It wants the scores."
        ),
        "optimizer.backward()": "The loss has the backward pass. The optimizer takes the step.",
    },
    swaps=[
        ("scores, _ = moe(x)", "optimizer.zero_grad()"),
        ("loss = F.cross_entropy(scores, y)", "optimizer.zero_grad()"),
    ],
)
def training_step(ask: Ask) -> None:
    mistakes = {
        "The gradients of the step before are still there, and add up: optimizer.zero_grad() is missing.": {
            "clear": False
        },
        "Nothing moves. Is loss.backward() there, and optimizer.step() after it, with nothing cleared between them?": {
            "move": False
        },
        "The router's weights do not move, only the experts': the loss does not reach the router.": {"hear": False},
        "There is a softmax before the cross-entropy, which takes one of its own. Give it the scores as they are.": {
            "loss_of": lambda scores, y: F.cross_entropy(scores.softmax(-1), y)
        },
        "That is the loss after the step. The one before it is asked for.": {"late": True},
        "Your loss is a sum over the batch. The mean is asked for, so that a larger batch makes no larger steps.": {
            "loss_of": lambda scores, y: F.cross_entropy(scores, y, reduction="sum")
        },
    }

    def asked(*given):
        return ask(dict(zip(("moe", "optimizer", "x", "y"), given, strict=True)))

    names = ("first loss", "router after it", "second loss", "router after it, too", "an expert at the end")
    expected = dict(zip(names, two_steps(step), strict=True))
    compare(
        two_steps(asked),
        expected,
        "Two steps should move router and experts as SGD does, and return each step's loss, the mean cross-entropy.",
        {},
        {says: lambda left=left: two_steps(lambda *given: step(*given, **left)) for says, left in mistakes.items()},
        "",
    )
