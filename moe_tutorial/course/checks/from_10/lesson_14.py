"""Lesson 14: a published block from its weights and its config, and probes that a right mixture passes."""

import torch
from torch import Tensor, nn

from moe_tutorial.course.planted_bugs import MUTANTS, SUSPECTS, suspect
from moe_tutorial.course.running import NotYet
from moe_tutorial.course.vocabulary import Ask, checks, draw, kind, numbers, reaches
from moe_tutorial.layers import MixtureOfExperts, Router, Routing


class ByName(dict):
    """Weights by name: too many numbers for a message."""

    def __repr__(self) -> str:
        return f"{len(self)} matrices by name"


@checks(
    "14.published_block",
    hints=(
        "First the router: `(x @ weights['gate.weight'].T).softmax(-1)`, and of these the `topk(k)`.",
        "If `divide` is True, divide the chosen weights by their sum: `g.sum(-1, keepdim=True)`.",
        "`(F.silu(x @ gate.T) * (x @ up.T)) @ down.T` answers, weighted by `(g * (chosen == e)).sum(-1, keepdim=True)`",
    ),
    mistakes={
        "`up` multiplies the silu of `gate`. Yours are swapped.": "gate.T) * (x @ up.T => up.T) * (x @ gate.T",
        "The softmax goes over the experts, for each token by itself.": "softmax(-1) => softmax(0)",
        "You divide by the sum over all tokens. The weights of each token are divided by their own.": (
            "g.sum(-1, keepdim=True) => g.sum()"
        ),
        "How many are chosen stands in the config. It is `k`.": "topk(k) => topk(2)",
        "You divide by the sum where the config says not to. (A softmax over the chosen alone does so, too.)": (
            "if divide => if True"
        ),
        "Where the config says `norm_topk_prob`, divide by the sum.": "if divide => if False",
        "The weights are probabilities. You forget the softmax.": ".softmax(-1) => ",
        "These scores are a softmax over the experts, and not a sigmoid of each.": "softmax(-1) => sigmoid()",
        "Of a token's experts only the last one's answer is left: add them, with `+=`.": (
            "y + (g * (chosen == e)).sum(-1, keepdim=True) * answer => "
            "torch.where((chosen == e).any(-1, keepdim=True), (g * (chosen == e)).sum(-1, keepdim=True) * answer, y)"
        ),
        "Only the last expert's answer is left. Add up those of all that were chosen.": "y = y + => y =",
        "Each expert's answer counts only for the tokens that chose it: `chosen == e`.": "g * (chosen == e) => g",
        "An answer counts as much as the router says. You forget its weight.": "(g * (chosen == e)) => (chosen == e)",
        "The gate goes through a silu, which is z times its sigmoid, and not a sigmoid.": "F.silu => F.sigmoid",
        "You forget `up`, which multiplies the gate.": " * (x @ up.T) => ",
        "You forget the silu.": "F.silu => ",
        "The gate alone goes through the silu. Then `up` multiplies it.": (
            "F.silu(x @ gate.T) * (x @ up.T) => F.silu((x @ gate.T) * (x @ up.T))"
        ),
        "`up` multiplies the silu of the gate, and is not added to it.": ") * (x @ up => ) + (x @ up",
        "A chosen expert has a weight of its own. Yours all get the weight of the token's first expert.": (
            "(g * (chosen == e)).sum(-1, keepdim=True) => g[:, :1] * (chosen == e).any(-1, keepdim=True)"
        ),
        "All answers are 0. `topk` gives the values first, then the experts. Is each answer added to `y`?": (
            "g, chosen = => chosen, g ="
        ),
        "A file stores a matrix as (out, in), so a token meets it as `x @ matrix.T`.": "@ gate.T => @ gate",
        "`down` is stored as (out, in), too, so it has to be turned: `@ down.T`.": "@ down.T => @ down",
        "The weights of one expert are (T,). `keepdim=True` makes them (T, 1), which multiplies answers of (T, d).": (
            "(chosen == e)).sum(-1, keepdim=True) => (chosen == e)).sum(-1)"
        ),
        "`g` has a column for each chosen expert, not for each expert: `(g * (chosen == e)).sum(-1, keepdim=True)`.": (
            "(g * (chosen == e)).sum(-1, keepdim=True) => g[:, e : e + 1]"
        ),
        "`g[chosen == e]` keeps only the tokens that chose e. Keep one weight for each token, 0 for the rest.": (
            "(g * (chosen == e)).sum(-1, keepdim=True) => g[chosen == e]"
        ),
        "`g[chosen == e]` has no row for a token that did not choose e. Keep one weight for each, 0 for the rest.": (
            "(g * (chosen == e)).sum(-1, keepdim=True) => g[chosen == e][:, None]"
        ),
        "The sums are (T,). `keepdim=True` makes them (T, 1), which divides weights of (T, k).": (
            "g.sum(-1, keepdim=True) => g.sum(-1)"
        ),
    },
)
def published_block(ask: Ask) -> None:
    shapes = {"gate": (3, 2), "up": (3, 2), "down": (2, 3)}
    parts = [(e, name, f"experts.{{}}.{name}_proj.weight") for e in range(3) for name in shapes]
    weights = {"gate.weight": draw(1, 3, 2)}
    weights |= {name.format(e): draw(n + 2, *shapes[part]) for n, (e, part, name) in enumerate(parts)}
    given = {"x": draw(20, 4, 2), "weights": ByName(weights)}
    for k, norm in ((2, False), (2, True), (1, False), (3, True)):
        given["config"] = {"num_experts_per_tok": k, "norm_topk_prob": norm}
        ask.gives(given, "the block's answers")
    order = [2, 0, 1]
    renamed = {name.format(e): weights[name.format(order[e])] for e, _, name in parts}
    renamed["gate.weight"] = weights["gate.weight"][order]
    says = "Experts that get other numbers, with their rows of the router, should give the same answers."
    ask.follows(given, given | {"weights": ByName(renamed)}, lambda y: y, says)
    learned = {name: matrix.clone().requires_grad_() for name, matrix in weights.items()}
    y = ask.once(given["x"], learned, given["config"])
    for name, part in (("gate.weight", "the router"), ("experts.0.up_proj.weight", "the experts")):
        missing = f"The answers are right, but no gradient reaches {part}: .detach() or no_grad cuts it off."
        reaches(y, learned[name], missing)


@checks(
    "14.deepseek_block",
    hints=(
        "The scores are the sigmoids of the logits. Add the bias for the choice; the weights are scores without it.",
        "`ranking.unflatten(-1, (n_group, -1))` is (T, groups, in a group): rank groups by `topk(2)` of these, summed.",
        "Other groups' experts must not be chosen: `masked_fill` their places with `-torch.inf`, then `topk`.",
    ),
    mistakes={
        "The bias chooses, and does no more: the weights are scores without it.": "= scores.gather => = ranking.gather",
        "The weights of the chosen are divided by their sum where the config says so.": (
            "g / g.sum(-1, keepdim=True) => g"
        ),
        "You divide by the sum, whatever the config says.": 'if config["norm_topk_prob"]: => if True:',
        "Only experts of the best groups may be chosen.": "closed[..., None] => closed[..., None] < 0",
        "A group is as good as its best two experts together, not as its best one.": "topk(2) => topk(1)",
        "At last the weights are multiplied by `routed_scaling_factor`.": 'config["routed_scaling_factor"] * g => g',
        "The bias takes part in the choice, of the groups and of the experts.": (
            'scores + weights["gate.e_score_correction_bias"] => scores'
        ),
        "Where biases are below 0, a closed expert's 0 is the best. It has to be -inf.": "-torch.inf => 0",
    },
)
def deepseek_block(ask: Ask) -> None:
    bias = "gate.e_score_correction_bias"
    shapes = {"gate.weight": (6, 2), bias: (6,)}
    for name in (*(f"experts.{e}" for e in range(6)), "shared_experts"):
        shapes |= {f"{name}.gate_proj.weight": (3, 2), f"{name}.up_proj.weight": (3, 2)}
        shapes[f"{name}.down_proj.weight"] = 2, 3
    config = {"num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "routed_scaling_factor": 2.5}
    config |= {"norm_topk_prob": True, "n_shared_experts": 1}
    other = {"num_experts_per_tok": 3, "topk_group": 2, "norm_topk_prob": False, "n_shared_experts": 0}
    given = same_block(ask, 16, shapes, [config | other, config])
    lower = given | {"weights": given["weights"] | {bias: given["weights"][bias] - 3}}
    ask.follows(given, lower, lambda y: y, "3 taken from every bias changes no choice.")


@checks(
    "14.gpt_oss_block",
    hints=(
        "The `topk` of the logits are the chosen; a `softmax` of these alone gives the weights.",
        "Of `read`, the even columns `read[:, ::2]` are the gate and the odd ones `read[:, 1::2]` are up.",
        "`(up + 1) * gate * (1.702 * gate).sigmoid()`, with the gate at most 7 and up between -7 and 7.",
    ),
    mistakes={
        "Gate and up stand in turns, and not one half after the other.": (
            "read[:, ::2].clamp(max=7), read[:, 1::2] => read.chunk(2, -1)[0].clamp(max=7), read.chunk(2, -1)[1]"
        ),
        "The gate comes first: columns 0, 2, 4. Yours are swapped.": (
            "read[:, ::2].clamp(max=7), read[:, 1::2] => read[:, 1::2].clamp(max=7), read[:, ::2]"
        ),
        "1 is added to up before it multiplies.": "(up + 1) => up",
        "In the sigmoid, the gate is multiplied by 1.702.": "1.702 * gate => gate",
        "The gate is at most 7.": ".clamp(max=7) => ",
        "Up stays between -7 and 7.": ".clamp(-7, 7) => ",
        "The softmax goes over the chosen alone.": "best.softmax(-1) => logits.softmax(-1).gather(-1, chosen)",
        "The router has a bias.": ' + weights["router.bias"] => ',
    },
)
def gpt_oss_block(ask: Ask) -> None:
    shapes = {"router.weight": (3, 2), "router.bias": (3,)}
    shapes |= {"experts.gate_up_proj": (3, 2, 6), "experts.gate_up_proj_bias": (3, 6)}
    shapes |= {"experts.down_proj": (3, 3, 2), "experts.down_proj_bias": (3, 2)}
    same_block(ask, 6, shapes, [{"num_experts_per_tok": 2}, {"num_experts_per_tok": 1}])


def same_block(ask: Ask, seed: int, shapes: dict[str, tuple[int, ...]], configs: list[dict]) -> dict:
    """Require the solution's answers under these configs, token by token, and a gradient for the first weight.

    Returns the last arguments.
    """
    weights = {name: draw(seed + n, *shape) for n, (name, shape) in enumerate(shapes.items())}
    given = {"x": draw(20, 4, 2), "weights": ByName(weights)}
    for given["config"] in configs:
        ask.gives(given, "the block's answers", where=f"the config is {given['config']}")
    turned = given | {"x": given["x"].flip(0)}
    ask.follows(given, turned, lambda y: y.flip(0), "Each token is answered by itself, whatever their order.")
    learned = {name: matrix.clone().requires_grad_() for name, matrix in weights.items()}
    missing = "The answers are right, but no gradient reaches the router: .detach() or no_grad cuts it off."
    reaches(ask.once(given["x"], learned, configs[0]), learned[next(iter(shapes))], missing)
    return given


class ReadsPartner(Router):
    """A router that sends each second token where the one before it goes."""

    def forward(self, x: Tensor) -> Routing:
        read = x.clone()
        read[1::2] = x[: len(x) - 1 : 2]
        return super().forward(read)


Drawn = tuple[MixtureOfExperts, Tensor]
Cases = dict[str, Drawn]


def drawn(bug: str = "nothing is wrong", size: float = 1.0, seed: int = 3, **options) -> Drawn:
    """A mixture with this bug, or, from options, one of the package's; its answers ``size`` times as large; tokens."""
    torch.manual_seed(seed)
    moe = MixtureOfExperts(6, 8, 8, dispatch="dense", **{"top_k": 2} | options) if options else suspect(bug, 6)
    nn.init.normal_(moe.router.weight, std=0.5)
    for bias in moe.router.buffers():
        nn.init.normal_(bias, std=0.1)
    with torch.no_grad():
        moe.experts.w_out *= size
        moe.experts.b_out *= size
    return moe.eval(), torch.randn(24, 6)


def right() -> Cases:
    """What is said of a right mixture -> the mixture and its tokens."""
    return {
        "a right mixture": drawn(top_k=2),
        "a right mixture with a selection bias": drawn(),
        "a right mixture with small answers": drawn(size=1e-4),
        "a right mixture whose weights are divided by their sum": drawn(renormalize=True),
        "a right mixture with sigmoids and a selection bias": drawn(gate="sigmoid_topk", bias=True),
        "a right mixture with a shared expert, `moe.shared`": drawn(n_shared=1),
    }


def accused(ask: Ask, cases: Cases) -> list[float]:
    """What the answer, a probe, returns for each mixture: 0 where it is nearly 0. Above 0 it accuses the mixture."""
    found = []
    for given in cases.values():
        value = numbers(said := ask.once(*given))
        if value is None or value.ndim or value.dtype == torch.bool:
            raise NotYet(
                f"The answer is {kind(said)}. A single number is asked for: 0 if all is well, else more. "
                "`.norm().item()` makes one of a difference."
            )
        found.append(0.0 if abs(far := float(value.nan_to_num(nan=torch.inf))) < 1e-3 else far)
    return found


def judges(ask: Ask, cases: Cases) -> None:
    """Require that a probe fails the mixtures that the solution fails, and no others."""
    found = [far > 0 for far in accused(ask, cases)]
    for (where, given), fails in zip(cases.items(), found, strict=True):
        if fails != (not float(ask.right(*given)) < 1e-3):
            raise NotYet(f"It {'accuses' if fails else 'lets pass'} {where}. It should not.", found)


def not_divided(moe: MixtureOfExperts, x: Tensor) -> float:
    """The probe ``alone`` without its division."""
    return (torch.cat([moe(token)[0] for token in x.split(1)]) - moe(x)[0]).norm().item()


@checks(
    "14.alone",
    hints=(
        "Each token goes through `moe` in a batch of one: `moe(token)[0]` is its answer, (1, d).",
        "`x.split(1)` are the tokens, each as (1, d). `torch.cat` puts their answers below each other.",
        "A list of all of them: `[moe(token)[0] for token in x.split(1)]`. Now join it.",
    ),
    mistakes={
        "It accuses right mixtures. Is each token asked, and not the first one each time? If they are stacked: "
        "`torch.cat` joins them as (T, d), `torch.stack` makes (T, 1, d).": "x.split(1) => [x[:1]] * len(x)",
        "It finds no difference in any mixture. Is each token asked by itself, in a batch of one?": "x.split(1) => [x]",
        "Each token is asked by itself: `moe(token)`. Yours asks all tokens each time.": "moe(token)[0] => moe(x)[0]",
        "A mixture returns answers and a routing. Take the answers: `moe(token)[0]`.": "moe(token)[0] => moe(token)",
        "A loop over `x` gives tokens as (d,). `x.split(1)` gives them as (1, d).": "x.split(1) => x",
        "Divide by the size of the answers: if they are small, so are their differences.": not_divided,
    },
)
def alone(ask: Ask) -> None:
    bugs = ("softmax twice", "softmax over the tokens", "late tokens dropped")
    cases = right() | {f"one with this bug: {bug}": drawn(bug) for bug in bugs}
    cases["one with a softmax over the tokens and small answers"] = drawn("softmax over the tokens", 1e-4)
    moe, x = drawn()
    moe.router.__class__ = ReadsPartner
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
        "It passes a router that no loss reaches. Ask for the gradient of `moe.router.weight`, not of the experts, and "
        "not whether it could have one.": "moe.router.weight => moe.experts.w_in",
        "Where the loss does not reach it, `grad` raises an error: say `allow_unused=True`.": ", allow_unused=True => ",
    },
)
def reaches_router(ask: Ask) -> None:
    cases = right() | {"one whose router is cut off": drawn("router cut off")}
    cases["one that asks one expert, with a weight that is always 1"] = drawn(gate="topk_softmax", top_k=1)
    judges(ask, cases)


UNSEEN = ["experts cut off", "selection bias subtracted", "activation forgotten", "hidden bias forgotten"]
UNSEEN += ["weights squared", "logits in bfloat16"]  # the mistakes that the nine probes do not always catch
BY_THE_RULES = "By the rules, the selection bias chooses, too, and the two weights need not sum to 1."


@checks(
    "14.your_probe",
    hints=(
        "Find two things that are equal in a right mixture: what the mixture has, and what you compute. How far apart?",
        "Weights: beside `routing.probs`. Choice: beside the `topk(2)` of `routing.probs + moe.router.bias`. Logits: "
        "beside `x @ moe.router.weight.T`. Experts: `moe.experts(x)` beside your own. Loss: as `reaches_router` does.",
        "Weights: of the chosen, `routing.probs.gather(-1, routing.indices)`. How far are `routing.weights` from them?",
    ),
    mistakes={
        "The bias chooses, too: the chosen need not be the likeliest. `.gather(-1, routing.indices)` takes theirs.": (
            "routing.probs.gather(-1, routing.indices) => routing.probs.topk(2).values"
        ),
        "`gather(0, ...)` takes other tokens' probabilities. A token's own are along -1.": "gather(-1 => gather(0",
        "It accuses right mixtures: by rule 3 their weights are not divided by their sum.": (
            "routing.weights - routing.probs.gather(-1, routing.indices) => routing.weights.sum(-1) - 1"
        ),
    },
)
def your_probe(ask: Ask) -> None:
    for seed in range(10):
        cases = {"a right mixture": drawn(seed=seed), "a right mixture with small answers": drawn(size=1e-4, seed=seed)}
        for where, far in zip(cases, accused(ask, cases), strict=True):
            if far > 0:
                raise NotYet(f"It accuses {where}: it returns {far:.2g} there. {BY_THE_RULES}", [far])
    times = {bug: times_caught(ask, bug) for bug in UNSEEN}
    if max(times.values()) == 10:
        return
    if some := [f"{bug}, {n} times" for bug, n in times.items() if n]:
        raise NotYet(f"In ten draws it catches {'; '.join(some)}. The bug is in all ten.", some)
    found = [bug for bug in [*list(SUSPECTS)[1:], *MUTANTS] if times_caught(ask, bug)]
    if not found:
        raise NotYet("It accuses no mixture with a bug: not with the eight of the table, and no other.", "nobody")
    raise NotYet(f"That holds. It catches {', '.join(found)}. The nine do so, too: catch one of the six.", found)


def times_caught(ask: Ask, bug: str) -> int:
    """How many of ten mixtures with this bug fail a probe; one at which it stops with an error does."""
    times = 0
    for seed in range(10):
        try:
            (far,) = accused(ask, {bug: drawn(bug, seed=seed)})
        except NotYet:
            far = 1.0
        if far < 0:
            raise NotYet(f"With {bug} it returns {far:.2g}. Below .001 a mixture passes: take `.abs()` or `.norm()`.")
        times += far > 0
    return times
