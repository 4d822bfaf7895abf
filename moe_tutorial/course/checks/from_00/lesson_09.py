"""Lesson 09: active parameters, a verdict, balance in groups, multiplications, experts copied from a network."""

import torch
from torch import nn

from moe_tutorial.course.running import NotYet
from moe_tutorial.course.vocabulary import Ask, checks, draw, reaches

SIZES = "num_hidden_layers", "hidden_size", "intermediate_size", "num_local_experts", "num_experts_per_tok"


@checks(
    "09.active_count",
    hints=(
        "`resting` experts rest in a layer, and each has `expert` parameters.",
        "They rest in each of the `num_hidden_layers` layers. All other parameters are active.",
        '`total - config["num_hidden_layers"] * resting * expert`',
    ),
    mistakes={
        "That is k/E of all parameters. What is no expert works for every token.": (
            'return ... => total * config["num_experts_per_tok"] / config["num_local_experts"]'
        ),
        "That is one layer's. Experts rest in each.": 'config["num_hidden_layers"] * resting => resting',
        "Those are the parameters that rest. The others are active.": "return total - => return",
        "You leave out the chosen experts. The others rest.": '* resting => * config["num_experts_per_tok"]',
        "You count one matrix of an expert. It has three: `expert` is all of it.": "* expert => * (expert // 3)",
        "You count the chosen experts alone. What is no expert works, too.": (
            'return ... => config["num_hidden_layers"] * config["num_experts_per_tok"] * expert'
        ),
        "You take off every expert. The chosen ones work.": '* resting => * config["num_local_experts"]',
        "You fixed Mixtral's number of layers. Read it from the config.": 'config["num_hidden_layers"] => 32',
    },
)
def active_count(ask: Ask) -> None:
    for sizes in ((4, 3, 2, 8, 3), (3, 2, 5, 5, 1), (2, 2, 2, 4, 4)):
        given = {"config": dict(zip(SIZES, sizes, strict=True)), "total": 1000}
        ask.gives(given, "all but the experts that rest")
    says = "With 700 more that are no experts, 700 more are active."
    ask.follows(given, given | {"total": 1700}, lambda active: active + 700, says)


@checks(
    "09.verdict",
    hints=(
        "Three cases: all of the interval is above zero, all of it is below, or neither.",
        "All of it is above zero if its lower end is, `figure.low`, and below zero if its upper end is, `figure.high`.",
        '`if figure.low > 0: return "right"`, then the same with `figure.high < 0` for "wrong"; "unclear" is left.',
    ),
    mistakes={
        "Zero lies in the interval, and you call the sentence right. All of the interval has to be above zero: look at "
        "its lower end.": "figure.low > 0 => figure.mean > 0",
        "Zero lies in the interval, and you call the sentence wrong. All of the interval has to be below zero: look at "
        "its upper end.": "figure.high < 0 => figure.low < 0",
        "You ask whether every seed gains. The interval is that of their mean, and single seeds may lose.": (
            "figure.low > 0 => (gain > 0).all()"
        ),
        "It is upside down: a gain above zero speaks for the sentence.": (
            '"right"\nreturn "wrong" => "wrong"\nreturn "right"'
        ),
        "An interval that ends at zero has zero in it, and so it is unclear: `>`, and not `>=`.": "> 0 => >= 0",
        "An interval that ends at zero is not below zero, and so it is unclear: `<`, and not `<=`.": "< 0 => <= 0",
    },
)
def verdict(ask: Ask) -> None:
    for numbers, where in (
        ([1.0, 3.0, 2.0, 2.5], "all of the interval is above zero"),
        ([-1.0, -3.0, -2.0, -2.5], "all of it is below zero"),
        ([2.0, -1.0, 1.5, -0.5], "zero lies in it, and the mean is above zero"),
        ([-2.0, 1.0, -1.5, 0.5], "zero lies in it, and the mean is below zero"),
        ([3.0, 2.5, 3.5, -0.5, 3.0, 2.0], "it is above zero, and one seed loses"),
        ([0.0, 0.0, 0.0], "every seed gains 0"),
    ):
        ask.gives({"gain": torch.tensor(numbers)}, "the verdict on the interval", where=where)
    given = {"gain": 0.8 + draw(4, 10)}
    says = "With the seeds in another order, the verdict should be the same."
    ask.follows(given, {"gain": given["gain"].flip(0)}, lambda said: said, says)
    turned = {"right": "wrong", "wrong": "right"}
    says = "With every gain turned into a loss, right should be wrong, and wrong right."
    ask.follows(given, {"gain": -given["gain"]}, lambda said: turned.get(said, said), says)


class Penalty:
    """A balance loss that is easy to follow by hand."""

    def __call__(self, probs, indices):
        if not len(probs):
            raise ValueError(
                "this group has no tokens, so it has no loss; group.unique() lists the groups that have some"
            )
        f = indices.flatten().bincount(minlength=probs.shape[-1]) / indices.numel()
        return probs.shape[-1] * (f * probs.mean(0)).sum()

    def __repr__(self) -> str:
        return "the Switch loss"


class Squares:
    """Another loss, so that an answer has to call the one that it is given."""

    def __call__(self, probs, indices):
        return (probs**2).sum() + indices.sum()

    def __repr__(self) -> str:
        return "a sum of squares and of indices"


@checks(
    "09.micro_loss",
    hints=(
        "Each `own` in `rows` is True for the tokens of one group, so `probs[own]` are their probabilities.",
        "The loss of one group is `loss(probs[own], indices[own])`.",
        "`sum(loss(probs[own], indices[own]) for own in rows) / len(rows)`",
    ),
    mistakes={
        "You add the groups' losses up. Their mean is asked for.": " / len(rows) => ",
        "Give the loss the choices of the group's tokens alone, like their probabilities.": "indices[own] => indices",
        "Give the loss the probabilities of the group's tokens alone, like their choices.": "probs[own] => probs",
        "That is the loss of all tokens together. Each group is to be even by itself: first the loss of each, then "
        "their mean.": "return ... => loss(probs, indices)",
        "A larger group counts for more in your mean. Every group counts once.": (
            "return ... => sum(loss(probs[own], indices[own]) * own.float().mean() for own in rows)"
        ),
        "That is the loss of the first group. Does the loop return too early?": (
            "return ... => loss(probs[rows[0]], indices[rows[0]])"
        ),
        "That is the loss of the last group. The others belong to the mean, too.": (
            "return ... => loss(probs[rows[-1]], indices[rows[-1]])"
        ),
        "Those are the losses of the groups. Their mean is one number.": (
            "return ... => torch.stack([loss(probs[own], indices[own]) for own in rows])"
        ),
        "You cut the tokens by their place. Those of a group stand anywhere: `rows` marks them.": (
            "for own in rows => for own in torch.arange(len(group)).chunk(len(rows))"
        ),
        "You divide by the number of tokens. There are fewer groups.": "len(rows) => len(group)",
        "You call the Switch loss. `loss` is an argument: the answer has to work with another one, too.": (
            "loss(probs[own], indices[own]) => "
            "len(probs[0]) * (torch.bincount(indices[own].flatten(), minlength=len(probs[0])) / indices[own].numel() * "
            "probs[own].mean(0)).sum()"
        ),
    },
)
def micro_loss(ask: Ask) -> None:
    groups_of = ([0, 1, 0, 1, 1], 3, 1), ([2, 0, 2, 2, 0, 5], 4, 2), ([1, 1, 1], 2, 1), ([3, 0, 0], 3, 2)
    for (groups, E, k), loss in zip(groups_of, (Penalty(), Penalty(), Penalty(), Squares()), strict=True):
        T = len(groups)
        probs = draw(T, T, E).softmax(-1)
        given = {"loss": loss, "probs": probs, "indices": probs.topk(k).indices, "group": torch.tensor(groups)}
        where = f"the {T} tokens are in {len(set(groups))} group{'s' * (len(set(groups)) > 1)}"
        ask.gives(given, "the mean over the groups of the loss of each group's tokens", where=where)
    probs = draw(9, 6, 3).softmax(-1)
    given = {"loss": Penalty(), "probs": probs, "indices": probs.topk(1).indices}
    given |= {"group": torch.tensor([0, 1, 2, 0, 1, 0])}
    moved = given | {"group": 7 - given["group"]}
    ask.follows(given, moved, lambda loss: loss, "With the groups under other numbers, the loss should be the same.")
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    moved = given | {name: given[name][order] for name in ("probs", "indices", "group")}
    ask.follows(given, moved, lambda loss: loss, "With the tokens in another order, the loss should be the same.")
    probs = probs.clone().requires_grad_()
    loss = ask(given | {"probs": probs})
    says = "No gradient comes from the loss to `probs`: .item(), .detach(), no_grad or torch.tensor() cuts it off. "
    says += "`torch.stack` puts losses together and keeps it."
    reaches(loss, probs, says)


@checks(
    "09.multiplications",
    hints=(
        "The router: 64 for each of `n_experts`, chosen or not.",
        "A neuron does 64 + 10. There are `width` of them in each of the `k` chosen experts.",
        "`64 * n_experts + (64 + 10) * width * k`",
    ),
    mistakes={
        "You leave the router out.": "64 * n_experts + => ",
        "You leave the experts out: their neurons multiply, too.": " + (64 + 10) * width * k => ",
        "All experts work in your count. A token asks k of them.": "width * k => width * n_experts",
        "One expert works in your count. A token asks k of them.": "width * k => width",
        "Your router has a row for each chosen expert. It has one for every expert: it compares before it chooses.": (
            "64 * n_experts => 64 * k"
        ),
        "Your router has a single row. It has one for every expert.": "64 * n_experts => 64",
        "A neuron's answer costs, too: 10 on the way out.": "(64 + 10) => 64",
        "A neuron reads 64 numbers, and multiplies each.": "(64 + 10) => 10",
        "A neuron multiplies 64 numbers, then 10: 64 + 10, and not 64 x 10.": "(64 + 10) => 64 * 10",
        "You multiply the router's work by k. It compares once for a token.": "64 * n_experts => 64 * n_experts * k",
        "You count one neuron in each chosen expert. It has `width`.": "width * k => k",
    },
)
def multiplications(ask: Ask) -> None:
    for sizes in ((8, 5, 2), (16, 4, 3), (6, 3, 4), (5, 7, 5)):
        given = dict(zip(("n_experts", "width", "k"), sizes, strict=True))
        ask.gives(given, "the router's multiplications and those of the neurons that work")
    says = "Three experts more, and as many chosen: only the router does more, by 3 rows of 64."
    ask.follows(given, given | {"n_experts": 8}, lambda found: found + 3 * 64, says)


def small_network(seed: int) -> nn.Module:
    """A dense network of two layers with weights that the seed draws."""
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        for number, weight in enumerate(network.parameters()):
            weight.copy_(draw(seed + number, *weight.shape))
    return network


@checks(
    "09.upcycle",
    hints=(
        "`copy.deepcopy(dense)` is a network with the same weights, in tensors of its own.",
        "`[dense] * n_experts` would be one network under several names. Call deepcopy once for each expert.",
        "`nn.ModuleList(copy.deepcopy(dense) for _ in range(n_experts))`",
    ),
    mistakes={
        "What the first expert learns, the dense network learns, too: they share a tensor. `copy.copy` shares the "
        "tensors, `copy.deepcopy` does not.": "copy.deepcopy => copy.copy",
        "What the first expert learns, the second learns, too: they are one network under two names. Make a copy for "
        "each.": "copy.deepcopy(dense) for _ in range(n_experts) => [copy.deepcopy(dense)] * n_experts",
        "It returns a list. In an nn.ModuleList, an optimizer finds the weights of the networks.": (
            "return ... => [copy.deepcopy(dense) for _ in range(n_experts)]"
        ),
        "In an nn.Sequential each network would read what the one before it says. An nn.ModuleList holds them side by "
        "side.": "return ... => nn.Sequential(*[copy.deepcopy(dense) for _ in range(n_experts)])",
        "There is a network too few. There should be one for each expert.": "range(n_experts) => range(n_experts - 1)",
        "An expert's weights do not learn: they need requires_grad, as those of the dense network have.": (
            "range(n_experts)) => range(n_experts)).requires_grad_(False)"
        ),
    },
)
def upcycle(ask: Ask) -> None:
    x = draw(5, 4, 3)
    for seed, n_experts in ((0, 2), (10, 3)):
        dense = small_network(seed)
        experts = ask.once(dense, n_experts)  # an answer that draws new weights is told so below
        if not isinstance(experts, nn.ModuleList):
            raise NotYet(
                f"It returns a {type(experts).__name__}. In an nn.ModuleList of {n_experts} networks, an optimizer "
                "finds their weights."
            )
        if len(experts) != n_experts:
            networks = "1 network" if len(experts) == 1 else f"{len(experts)} networks"
            raise NotYet(f"It returns {networks}. There should be {n_experts}, one for each expert.")
        if not all(torch.equal(expert(x), dense(x)) for expert in experts):
            raise NotYet(
                "An expert answers otherwise than the dense network. Each starts with the dense network's weights as "
                "they are: no new ones, and no noise on them."
            )
        if any(expert is dense for expert in experts):
            raise NotYet("One of your experts is the dense network itself. Make a copy for each.")
        weights = [weight for expert in experts for weight in expert.parameters()]
        if not all(weight.requires_grad and weight.is_leaf for weight in weights):
            raise NotYet("An expert's weights do not learn: some have no requires_grad.")
        with torch.no_grad():
            weights[0].add_(1.0)  # the first expert learns something
        if torch.equal(weights[0], dense[0].weight):
            raise NotYet("What the first expert learns, the dense network learns, too: they share a tensor.")
        if any(torch.equal(weights[0], next(expert.parameters())) for expert in experts[1:]):
            raise NotYet("What the first expert learns, another one learns, too: they share a tensor.")
