"""Lesson 14: a published block from its weights and its config, and probes that a right mixture passes."""

import torch
from torch import Tensor, nn

from moe_tutorial.course.planted_bugs import SUSPECTS, suspect
from moe_tutorial.course.running import NotYet
from moe_tutorial.course.vocabulary import Ask, checks, draw, kind, numbers
from moe_tutorial.layers import MixtureOfExperts, Router, Routing


@checks(
    "14.published_block",
    hints=(
        "First the router: `(x @ weights['gate.weight'].T).softmax(-1)`, and of these the `topk`.",
        "Where `norm_topk_prob` is true, divide the chosen weights by their sum: `g.sum(-1, keepdim=True)`.",
        "An expert says `(F.silu(x @ gate.T) * (x @ up.T)) @ down.T`. A token's weight for expert e is "
        "`(g * (chosen == e)).sum(-1, keepdim=True)`, 0 where it did not choose it.",
    ),
    mistakes={
        "`gate` goes through the silu, and `up` multiplies it. Yours are the other way round.": (
            "F.silu(x @ gate.T) * (x @ up.T) => F.silu(x @ up.T) * (x @ gate.T)"
        ),
        "You divide by the sum, whatever the config says. (A softmax of the chosen does so, too.)": (
            'if config["norm_topk_prob"]: => if True:'
        ),
        "Where the config says `norm_topk_prob`, the chosen weights are divided by their sum.": (
            'if config["norm_topk_prob"]: => if False:'
        ),
        "The softmax goes over the experts, for each token by itself.": "softmax(-1) => softmax(0)",
        "The weights are probabilities. You forget the softmax.": ".softmax(-1) => ",
        "These scores are a softmax over the experts, and not a sigmoid of each.": "softmax(-1) => sigmoid()",
        "Only the last expert's answer is left. Add up those of all that were chosen.": "y = y + => y =",
        "All experts answer with their whole weight, chosen or not.": (
            "(g * (chosen == e)).sum(-1, keepdim=True) => probs[:, e, None]"
        ),
        "An answer counts as much as the router says. You forget its weight.": "(g * (chosen == e)) => (chosen == e)",
        "The gate goes through a silu, and not a relu.": "F.silu => F.relu",
        "The gate goes through a silu, and not a gelu.": "F.silu => F.gelu",
        "You forget `up`, which multiplies the gate.": " * (x @ up.T) => ",
    },
)
def published_block(ask: Ask) -> None:
    width, hidden, n = 2, 3, 3
    weights = {"gate.weight": draw(1, n, width)}
    for e in range(n):
        for place, name in enumerate(("gate", "up", "down")):
            shape = (width, hidden) if name == "down" else (hidden, width)
            weights[f"experts.{e}.{name}_proj.weight"] = draw(3 * e + place + 2, *shape)
    x = draw(20, 4, width)
    given = {"x": x, "weights": weights, "config": {"num_experts_per_tok": 2, "norm_topk_prob": False}}
    for k, norm in ((2, False), (2, True), (1, False), (3, True)):
        config = {"num_experts_per_tok": k, "norm_topk_prob": norm}
        ask.gives(given | {"config": config}, "the block's answers", where=f"the config is {config}")
    order = [2, 0, 1]
    renamed = {"gate.weight": weights["gate.weight"][order]}
    for new, old in enumerate(order):
        for name in ("gate", "up", "down"):
            renamed[f"experts.{new}.{name}_proj.weight"] = weights[f"experts.{old}.{name}_proj.weight"]
    says = "Experts that get other numbers, with their rows of the router, should give the same answers."
    ask.follows(given, given | {"weights": renamed}, lambda y: y, says)


class ReadsPartner(Router):
    """A router that sends each second token where the one before it goes."""

    def forward(self, x: Tensor) -> Routing:
        read = x.clone()
        read[1::2] = x[: len(x) - 1 : 2]
        return super().forward(read)


def drawn(bug: str = "nothing is wrong", size: float = 1.0, **options) -> tuple[MixtureOfExperts, Tensor]:
    """A mixture with this bug, or, from options, one of the package's; its answers ``size`` times as large; tokens."""
    torch.manual_seed(3)
    moe = MixtureOfExperts(6, 8, 8, 2, dispatch="dense", **options) if options else suspect(bug, 6)
    nn.init.normal_(moe.router.weight, std=0.5)
    for bias in moe.router.buffers():
        nn.init.normal_(bias, std=0.1)
    with torch.no_grad():
        moe.experts.w_out *= size
        moe.experts.b_out *= size
    return moe.eval(), torch.randn(24, 6)


def accused(ask: Ask, cases: dict[str, tuple[MixtureOfExperts, Tensor]]) -> dict[str, bool]:
    """What is special about a mixture -> whether the answer, a probe, fails it."""
    found = {}
    for where, given in cases.items():
        value = numbers(said := ask.once(*given))
        if value is None or value.ndim or value.dtype == torch.bool:
            shape = f", of shape {tuple(value.shape)}" if value is not None and value.ndim else ""
            raise NotYet(f"The answer is {kind(said)}{shape}. A single number is asked for.")
        found[where] = not float(value) < 1e-3
    return found


def judges(ask: Ask, cases: dict[str, tuple[MixtureOfExperts, Tensor]]) -> None:
    """Require that a probe fails the mixtures that the solution fails, and no others."""
    found = accused(ask, cases)
    for where, given in cases.items():
        passes = float(ask.right(*given)) < 1e-3
        if found[where] == passes:
            says = f"It {'accuses' if found[where] else 'lets pass'} {where}. It should not."
            raise NotYet(says, list(found.values()))


RIGHT = {
    "a right mixture": {"gate": "softmax_topk"},
    "a right mixture whose weights are divided by their sum": {"renormalize": True},
    "a right mixture with sigmoids and a selection bias": {"gate": "sigmoid_topk", "bias": True},
}


@checks(
    "14.alone",
    hints=(
        "In company: `moe(x)[0]`. Alone: each token in a batch of one.",
        "`x.split(1)` are the tokens, each as (1, d). `torch.cat` puts their answers below each other.",
        "How far apart, as a part of the answers' size: `float((alone - together).norm() / together.norm())`.",
    ),
    mistakes={
        "One token says nothing about the others. Ask each of them alone.": "x.split(1) => [x[:1]] * len(x)",
        "Divide by the size of the answers: if they are small, so are their differences.": " / together.norm() => ",
        "That asks about the first token alone.": "(alone - together).norm() => (alone - together)[0].norm()",
        "Both times you ask the whole batch.": "x.split(1) => [x]",
    },
)
def alone(ask: Ask) -> None:
    cases = {name: drawn(**options) for name, options in RIGHT.items()}
    cases |= {f"one with this bug: {bug}": drawn(bug) for bug in ("softmax twice", "softmax over the tokens")}
    cases["one that drops late tokens"] = drawn("late tokens dropped")
    cases["one with a softmax over the tokens and small answers"] = drawn("softmax over the tokens", 1e-4)
    moe, x = drawn()
    router = ReadsPartner(6, 8, 2, bias=True)
    router.load_state_dict(moe.router.state_dict())
    moe.router = router
    cases["one that sends each second token where the one before it goes"] = moe, x
    judges(ask, cases)


@checks(
    "14.reaches_router",
    hints=(
        "Make a loss of the answers, such as `y.square().sum()`.",
        "`torch.autograd.grad(loss, moe.router.weight, allow_unused=True)` is a tuple with one gradient, or with None.",
        "1 where it is None or holds no number but 0: `float(gradient is None or not gradient.any())`.",
    ),
    mistakes={
        "It is the other way round: 0 for a mixture whose router learns.": "return ... => float(gradient is not None)",
        "A gradient of nothing but zeros teaches nothing, either.": " or not gradient.any() => ",
        "That asks about the experts. Ask about the router's weight.": "moe.router.weight => moe.experts.w_in",
        "Where the loss does not reach it, `grad` raises an error: say `allow_unused=True`.": ", allow_unused=True => ",
    },
)
def reaches_router(ask: Ask) -> None:
    cases = {name: drawn(**options) for name, options in RIGHT.items()}
    cases["one whose router is cut off"] = drawn("router cut off")
    cases["one with the weights divided by their sum, of one expert, which are always 1"] = (
        MixtureOfExperts(6, 8, 8, 1, dispatch="dense", gate="topk_softmax"),
        cases["a right mixture"][1],
    )
    cases["one with small answers, which is right"] = drawn(size=1e-4)
    judges(ask, cases)


@checks(
    "14.your_probe",
    hints=(
        "What must hold for every right mixture? Ask about something that the other probes do not ask about.",
        "Which numbers need a gradient besides the router's? What if all experts are copies of one, or a token is 0?",
        "Such as: the loss reaches every expert that somebody asked. "
        "`torch.autograd.grad(loss, moe.experts.w_out, allow_unused=True)`.",
    ),
    mistakes={
        "It accuses right mixtures. What it asks has to hold for each of them.": "return ... => 1.0",
        "It accuses nobody: each mixture with a bug passes it.": "return ... => 0.0",
    },
)
def your_probe(ask: Ask) -> None:
    right = {name: drawn(**options) for name, options in RIGHT.items()}
    right["a right mixture with small answers"] = drawn(size=1e-4)
    wrong = {bug: drawn(bug) for bug in list(SUSPECTS)[1:]}
    alarms = accused(ask, right | wrong)
    for name in right:
        if alarms[name]:
            says = f"It accuses {name}. What it asks has to hold for every right mixture."
            raise NotYet(says, list(alarms.values()))
    if not any(alarms.values()):
        raise NotYet(f"It lets all pass, those with these bugs, too: {', '.join(wrong)}.", list(alarms.values()))
