"""Lesson 09: active parameters, balance within groups, experts copied from a network, finer and shared experts."""

import torch
from torch import nn

from moe_tutorial.course.checks.vocabulary import Affine, Ask, affine_experts, checks, draw, reaches
from moe_tutorial.course.running import NotYet

SIZES = "num_hidden_layers", "hidden_size", "intermediate_size", "num_local_experts", "num_experts_per_tok"


def working(config, total, matrices=3, rest=True, layers=True):
    """All parameters but those of the experts that rest, or a mistake."""
    n_layers, d, h, n_experts, top_k = (config[name] for name in SIZES)
    return total - (n_layers if layers else 1) * (n_experts - top_k if rest else top_k) * matrices * d * h


@checks(
    "09.active_count",
    hints=(
        "In a layer, `num_local_experts - num_experts_per_tok` experts rest.",
        "They rest in each of the `num_hidden_layers` layers, and each has `expert` parameters.",
        '`total - config["num_hidden_layers"] * resting * expert`',
    ),
    puzzle={
        'return total * config["num_experts_per_tok"] // config["num_local_experts"]': "Not all are experts.",
        "return total - resting * expert": "That is one layer. Experts rest in each.",
        'return config["num_hidden_layers"] * resting * expert': "Those are the parameters that rest.",
    },
)
def active_count(ask: Ask) -> None:
    mistakes = {
        "That is k/E of all parameters. What is no expert works for every token.": lambda c, total: (
            total * c["num_experts_per_tok"] / c["num_local_experts"]
        ),
        "That is one layer's. Experts rest in each.": lambda *given: working(*given, layers=False),
        "You leave out the chosen experts. The others rest.": lambda *given: working(*given, rest=False),
        "You count one matrix of an expert. It has three: `expert` is all of it.": lambda *given: working(*given, 1),
        "Those are the parameters that rest. The others are active.": lambda c, total: total - working(c, total),
        "You count the chosen experts alone. What is no expert works, too.": lambda c, total: (
            -working(c, 0, rest=False)
        ),
    }
    for sizes in ((4, 3, 2, 8, 3), (3, 2, 5, 5, 1), (2, 2, 2, 4, 4)):
        given = {"config": dict(zip(SIZES, sizes, strict=True)), "total": 1000}
        ask.gives(given, {"active": working(*given.values())}, "all but the experts that rest", mistakes)
    more = given | {"total": 1700}
    ask.follows(given, more, lambda active: active + 700, "With 700 more that are no experts, 700 more are active.")


def group_losses(loss, probs, indices, group):
    """The loss of each group's tokens."""
    return torch.stack([loss(probs[group == g], indices[group == g]) for g in group.unique()])


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


def weighed(loss, probs, indices, group):
    """The mean over the tokens, in place of that over the groups."""
    parts = group_losses(loss, probs, indices, group)
    return (parts * group.unique(return_counts=True)[1]).sum() / len(group)


@checks(
    "09.micro_loss",
    hints=(
        "`group == g` is True for the tokens of group g, and `group.unique()` lists the groups.",
        "With `own = group == g`, the loss of one group is `loss(probs[own], indices[own])`.",
        "Collect these in a list, and return `sum(losses) / len(losses)`.",
    ),
    puzzle={
        "return sum(losses)": "With more groups the sum grows. Their mean is asked for.",
        "losses = [loss(probs[own], indices) for own in rows]": "The choices have to be those of the same tokens.",
    },
)
def micro_loss(ask: Ask) -> None:
    mistakes = {
        "That is the loss of all tokens together. Each group is to be even by itself: first the loss of each, then "
        "their mean.": lambda loss, p, i, g: loss(p, i),
        "You add the groups' losses up. Their mean is asked for.": lambda *given: group_losses(*given).sum(),
        "A larger group counts for more in your mean. Every group counts once.": weighed,
        "That is the loss of the first group. Does the loop return too early?": lambda *given: group_losses(*given)[0],
        "That is the loss of the last group. The others belong to the mean, too.": lambda *given: group_losses(*given)[
            -1
        ],
        "Those are the losses of the groups. Their mean is one number.": group_losses,
        "Give the loss the choices of the group's tokens alone, like their probabilities.": lambda loss, p, i, g: (
            torch.stack([loss(p[g == own], i) for own in g.unique()]).mean()
        ),
        "Give the loss the probabilities of the group's tokens alone, like their choices.": lambda loss, p, i, g: (
            torch.stack([loss(p, i[g == own]) for own in g.unique()]).mean()
        ),
        "You cut the tokens by their place. Those of a group stand anywhere: take those where `group == g`.": (
            lambda loss, p, i, g: torch.stack(
                [loss(*both) for both in zip(*(t.chunk(len(g.unique())) for t in (p, i)), strict=True)]
            ).mean()
        ),
        "You divide by the number of tokens. There are fewer groups.": lambda *given: (
            group_losses(*given).sum() / len(given[3])
        ),
    }
    for groups, E, k in (([0, 1, 0, 1, 1], 3, 1), ([2, 0, 2, 2, 0, 5], 4, 2), ([1, 1, 1], 2, 1)):
        T = len(groups)
        probs = draw(T, T, E).softmax(-1)
        given = {"loss": Penalty(), "probs": probs, "indices": probs.topk(k).indices, "group": torch.tensor(groups)}
        says = "the mean over the groups of the loss of each group's tokens"
        where = f"the {T} tokens are in {len(set(groups))} group{'s' * (len(set(groups)) > 1)}"
        ask.gives(given, {"loss": group_losses(*given.values()).mean()}, says, mistakes, where)
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
    reaches(loss, probs, "No gradient comes from the loss to `probs`: .item(), .detach() or no_grad cuts it off.")


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
    puzzle={
        "return nn.ModuleList([dense] * n_experts)": "That is one network under many names.",
        "return nn.ModuleList([copy.deepcopy(dense)] * n_experts)": "One copy for all. Each expert needs its own.",
        "return nn.ModuleList(copy.copy(dense) for _ in range(n_experts))": (
            "A flat copy shares the tensors. With deepcopy each expert has its own."
        ),
    },
)
def upcycle(ask: Ask) -> None:
    x = draw(5, 4, 3)
    for seed, n_experts in ((0, 2), (10, 3)):
        dense = small_network(seed)
        experts = ask({"dense": dense, "n_experts": n_experts})
        if not isinstance(experts, nn.ModuleList):
            raise NotYet(
                f"It returns a {type(experts).__name__}. In an nn.ModuleList of {n_experts} networks, an optimizer "
                "finds their weights."
            )
        if len(experts) != n_experts:
            raise NotYet(f"It returns {len(experts)} networks. {n_experts} are asked for, one for each expert.")
        if not all(torch.equal(expert(x), dense(x)) for expert in experts):
            raise NotYet(
                "An expert answers otherwise than the dense network. Each starts with the dense network's weights as "
                "they are: no new ones, and no noise on them."
            )
        own = [list(expert.parameters()) for expert in experts]
        if not all(weight.requires_grad and weight.is_leaf for weights in own for weight in weights):
            raise NotYet(
                "An expert's weights do not learn: they need requires_grad, as those of the dense network have."
            )
        with torch.no_grad():
            own[0][0].add_(1.0)  # the first expert learns something
        if torch.equal(own[0][0], dense[0].weight):
            raise NotYet(
                "What the first expert learns, the dense network learns, too: they share a tensor. "
                "`copy.copy` shares the tensors, `copy.deepcopy` does not."
            )
        if torch.equal(own[0][0], own[1][0]):
            raise NotYet(
                "What the first expert learns, the second learns, too: they are one network under two names. Make a "
                "copy for each."
            )


@checks(
    "09.granularity",
    hints=(
        "Each expert is cut into m pieces, so there are m times as many, and each has the m-th part of the neurons.",
        "For as many active neurons as before, a token asks m times as many experts.",
        "`m * n_experts, m * top_k, width // m`",
    ),
    puzzle={
        "return m * n_experts, top_k, width // m": "Then fewer neurons are active: k times width is to stay.",
        "return m * n_experts, m * top_k, width": "Then there are m times as many neurons. Each expert has fewer.",
        "return n_experts, m * top_k, width // m": "The pieces are experts of their own: there are more of them.",
    },
)
def granularity(ask: Ask) -> None:
    mistakes = {
        "A token asks as many experts as before in your answer, which are smaller now. As many neurons as before "
        "are to be active.": lambda E, k, h, m: (m * E, k, h // m),
        "Your experts are as wide as before. Each is cut into m pieces.": lambda E, k, h, m: (m * E, m * k, h),
        "The number of experts is the old one. There are m pieces of each.": lambda E, k, h, m: (E, m * k, h // m),
    }
    for n_experts, top_k, width, m in ((8, 1, 8, 4), (16, 2, 12, 3), (4, 2, 5, 1), (8, 2, 16, 16)):
        given = {"n_experts": n_experts, "top_k": top_k, "width": width, "m": m}
        right = {"experts": m * n_experts, "chosen": m * top_k, "width": width // m}
        ask.gives(given, right, "how many experts, how many chosen, and how wide each is", mistakes)
        if any(isinstance(number, float) for number in ask(given)):
            raise NotYet("Experts and neurons are whole numbers, and `/` makes a float. Divide by `//`.")


class Mixed:
    """The mixture of lesson 03, which says so when its arguments come in another order."""

    def __call__(self, x, chosen, weights, experts):
        floats = [torch.is_tensor(each) and each.is_floating_point() for each in (x, chosen, weights, experts)]
        if floats != [True, False, True, False] or chosen.shape != weights.shape:
            raise TypeError("call it as my_mixture(x, chosen, weights, experts), in this order")
        return sum((weights * (chosen == e)).sum(-1, keepdim=True) * expert(x) for e, expert in enumerate(experts))

    def __repr__(self) -> str:
        return "that of lesson 03"


@checks(
    "09.shared_plus_routed",
    hints=(
        "Add up what the shared experts say to every token, and what the mixture of the routed ones says.",
        "`my_mixture(x, chosen, weights, routed)` is the mixture. A shared expert says `expert(x)`.",
        "`my_mixture(x, chosen, weights, routed) + sum(expert(x) for expert in shared)`",
    ),
    puzzle={
        "return y + sum(expert(x) for expert in shared) / len(shared)": "Each shared expert counts with weight 1.",
        "return y + shared[0](x)": "There may be more shared experts than one.",
        "return y": "The shared experts are missing.",
    },
)
def shared_plus_routed(ask: Ask) -> None:
    mistakes = {
        "The routed experts are missing.": lambda x, s, r, c, w, m: sum(e(x) for e in s),
        "The shared experts are missing: they answer every token.": lambda x, s, r, c, w, m: m(x, c, w, r),
        "Only the first of the shared experts answers. Every token asks all of them.": lambda x, s, r, c, w, m: (
            s[0](x) + m(x, c, w, r)
        ),
        "You take the mean over the shared experts. Each counts with weight 1.": lambda x, s, r, c, w, m: (
            sum(e(x) for e in s) / len(s) + m(x, c, w, r)
        ),
        "A gate weight scales your shared experts. Each counts with weight 1.": lambda x, s, r, c, w, m: (
            sum(e(x) for e in s) * w.sum(-1, keepdim=True) + m(x, c, w, r)
        ),
        "`chosen` has numbers of routed experts. You look them up among the shared ones.": lambda x, s, r, c, w, m: m(
            x, c, w, s + r
        ),
    }
    for seed, offsets in ((0, [5.0]), (2, [2.0, -4.0])):
        weights, chosen = draw(seed, 4, 3).softmax(-1).topk(2)
        shared = [Affine(factor, offset, 2) for factor, offset in zip((2.0, -3.0), offsets, strict=False)]
        given = {"x": draw(seed + 1, 4, 3), "shared": shared, "routed": affine_experts(3, 2)}
        given |= {"chosen": chosen, "weights": weights, "my_mixture": Mixed()}
        y = Mixed()(given["x"], chosen, weights, given["routed"]) + sum(expert(given["x"]) for expert in shared)
        ask.gives(
            given, {"y": y.detach()}, "the mixture of the routed experts and all the shared ones' answers", mistakes
        )
    moved = given | {"shared": shared[::-1]}
    ask.follows(given, moved, lambda y: y, "With the shared experts in another order, the answer should be the same.")
