"""Lesson 07: a penalty, a bias that moves, experts that choose, and an older penalty."""

import torch

from moe_tutorial.course.checks.vocabulary import Ask, checks, draw, reaches
from moe_tutorial.course.running import NotYet


def choices(seed: int, T: int, E: int, k: int) -> torch.Tensor:
    """Different experts for each token, (T, k), of which the first is chosen most."""
    draws = torch.Generator().manual_seed(seed)
    busy = torch.tensor([3.0, *[1.0] * (E - 1)]).expand(T, -1)
    return torch.multinomial(busy, k, generator=draws)


def counts_of(indices, n_experts):
    return indices.flatten().bincount(minlength=n_experts)


def pushed(probs, indices, f=None, P=None):
    """The reference: E times the sum of shares and mean probabilities, or of what a mistake has in their place."""
    f = counts_of(indices, probs.shape[-1]) / indices.numel() if f is None else f
    return probs.shape[-1] * (f * (probs.mean(0) if P is None else P)).sum()


def chosen_alone(probs, indices):
    """The probabilities, and 0 for experts that were not chosen."""
    return torch.zeros_like(probs).scatter(-1, indices, probs.gather(-1, indices))


def renormalised(probs, indices):
    kept = chosen_alone(probs, indices)
    return pushed(probs, indices, P=(kept / kept.sum(-1, keepdim=True)).mean(0))


def each_token_apart(probs, indices):
    chosen = torch.zeros_like(probs).scatter(-1, indices, 1.0) / indices.shape[-1]
    return probs.shape[-1] * (chosen * probs).sum(-1).mean()


@checks(
    "07.switch_loss",
    hints=(
        "Two numbers for each expert: the share of the choices that it got, and the mean of its column of `probs`.",
        "`torch.bincount(indices.flatten(), minlength=n_experts)` counts the choices. There are `indices.numel()` of "
        "them, T times k.",
        "With the shares in `f`: `n_experts * (f * probs.mean(0)).sum()`.",
    ),
    puzzle={
        "f = counts / len(indices)": "There are T times k choices, k for each token. Then even use gives k, not 1.",
        "return (f * probs.mean(0)).sum()": "That is 1/E at even use. The number of experts stands before the sum.",
    },
)
def switch_loss(ask: Ask) -> None:
    mistakes = {
        "Your shares add up to k, not to 1: you divide by the tokens. There are T times k choices.": (
            lambda p, i: pushed(p, i) * i.shape[-1]
        ),
        "The sum is right. Before it stands the number of experts.": lambda p, i: pushed(p, i) / p.shape[-1],
        "That is the mean over the experts. Their products are added up, and the number of experts stands before the "
        "sum.": lambda p, i: pushed(p, i) / p.shape[-1] ** 2,
        "You count choices and do not divide them: f is a SHARE.": lambda p, i: pushed(p, i) * i.numel(),
        "Your probabilities are those of the chosen alone. P is the mean over all tokens, whether they chose the "
        "expert or not: only so does it reach an expert that nobody chooses.": (
            lambda p, i: pushed(p, i, P=chosen_alone(p, i).mean(0))
        ),
        "Your probabilities are divided by those of the chosen, so an expert that nobody chooses has none. P is the "
        "mean of `probs` as it comes.": renormalised,
        "You multiply token by token and then take the mean. First the mean over the tokens, for f and for P, and then "
        "the product.": each_token_apart,
        "You multiply shares by shares. One of the two factors is the mean probability: it has the slope.": (
            lambda p, i: pushed(p, i, P=counts_of(i, p.shape[-1]) / i.numel())
        ),
        "You multiply probabilities by probabilities. One of the two factors is the share of the choices.": (
            lambda p, i: pushed(p, i, f=p.mean(0))
        ),
        "`bincount` stops at the last expert that was chosen. With `minlength` it counts to the last of all.": (
            lambda p, i: (i.flatten().bincount() / i.numel() * p.mean(0)).sum()
        ),
        "You add the probabilities up over the tokens. Their mean is wanted.": lambda p, i: pushed(p, i, P=p.sum(0)),
        "Only the first choice of each token counts in your shares.": lambda p, i: pushed(p, i[:, :1]),
        "You multiply by 8. Here it is another number: `n_experts`.": lambda p, i: 8 * pushed(p, i) / p.shape[-1],
    }
    for T, E, k in ((5, 3, 2), (4, 5, 1), (7, 4, 3)):
        given = {"probs": draw(T, T, E).softmax(-1), "indices": choices(T, T, E, k)}
        says = f"{E} times the sum over the experts of share * mean probability"
        where = f"each of {T} tokens chooses {k} of {E} experts (the choices are given, not the largest)"
        ask.gives(given, {"loss": pushed(**given)}, says, mistakes, where)
    unused = {"probs": given["probs"], "indices": given["indices"] % 3}
    says = "the same sum where nobody chooses the last expert, whose share is 0"
    ask.gives(unused, {"loss": pushed(**unused)}, says, mistakes)
    order = torch.tensor([4, 0, 6, 2, 5, 1, 3])
    moved = {name: value[order] for name, value in given.items()}
    ask.follows(given, moved, lambda loss: loss, "With the tokens in another order, the loss should be the same.")
    order = torch.tensor([2, 0, 3, 1])
    moved = {"probs": given["probs"][:, order], "indices": order.argsort()[given["indices"]]}
    ask.follows(given, moved, lambda loss: loss, "With the experts under other numbers, the loss should be the same.")
    probs = given["probs"].clone().requires_grad_()
    loss = ask(given | {"probs": probs})
    reaches(loss, probs, "No gradient comes from the loss to `probs`: .item(), .detach() or no_grad cuts it off.")


def moved_bias(bias, indices, rate, push=torch.sign):
    """The reference, or a mistake that pushes otherwise."""
    load = counts_of(indices, len(bias)).to(bias.dtype)
    return bias + rate * push(load.mean() - load)


@checks(
    "07.bias_update",
    hints=(
        "The load is how many choices each expert got: `torch.bincount` counts them, `minlength=len(bias)` counts "
        "those that got none, too.",
        "Whoever has less than the mean goes up by `rate`, whoever has more goes down by `rate`, however far from it "
        "they are.",
        "`bias + rate * torch.sign(load.mean() - load)`, with the load as floating-point numbers.",
    ),
    puzzle={
        "return bias + rate * torch.sign(load - load.mean())": "That lifts the busy. They should go down.",
        "return bias + rate * (load.mean() - load)": "Each moves by the rate, up or down, however far it is off.",
        "return rate * torch.sign(load.mean() - load)": "The bias keeps what it has, and moves from there.",
    },
)
def bias_update(ask: Ask) -> None:
    mistakes = {
        "The sign is turned round: who has more than the mean goes down.": lambda b, i, r: moved_bias(b, i, -r),
        "You move by how far each is from the mean. Each moves by the rate, up or down: take the sign.": (
            lambda b, i, r: moved_bias(b, i, r, lambda off: off)
        ),
        "You move by how far each share is from the mean share. Each moves by the rate, up or down: take the sign.": (
            lambda b, i, r: moved_bias(b, i, r, lambda off: off / i.numel())
        ),
        "You return the step alone. The new bias is the old one and the step.": lambda b, i, r: moved_bias(b, i, r) - b,
        "Only those with too little move in your answer. Those with too much go down by the rate.": (
            lambda b, i, r: moved_bias(b, i, r, lambda off: (off > 0).float())
        ),
        "Only those with too much move in your answer. Those with too little go up by the rate.": (
            lambda b, i, r: moved_bias(b, i, r, lambda off: -(off < 0).float())
        ),
        "An expert with exactly the mean load moves in your answer. It stays where it is.": lambda b, i, r: moved_bias(
            b, i, r, lambda off: torch.where(off > 0, 1.0, -1.0)
        ),
        "An expert with exactly the mean load goes up in your answer. It stays where it is.": lambda b, i, r: (
            moved_bias(b, i, r, lambda off: torch.where(off >= 0, 1.0, -1.0))
        ),
        "`bincount` stops at the last expert that was chosen. With `minlength` it counts to the last of all.": (
            lambda b, i, r: b + r * (i.numel() / len(b) - i.flatten().bincount().to(b.dtype)).sign()
        ),
        "Only the first choice of each token counts in your load. Its other choices count, too.": lambda b, i, r: (
            moved_bias(b, i[:, :1], r)
        ),
        "`bincount` gives whole numbers. Write `.float()` behind it.": lambda b, i, r: counts_of(i, len(b)).mean(),
        "The mean load is T times k choices over E experts. You forget the k.": lambda b, i, r: (
            b + r * torch.sign(len(i) / len(b) - counts_of(i, len(b)))
        ),
        "All go up in your answer. Do you compare a share with a number of choices?": lambda b, i, r: b + r,
        "The step has the size 1 in your answer. It has the size `rate`.": lambda b, i, r: moved_bias(b, i, 1),
    }
    cases = (
        ([0.1, -0.2, 0.0], [[1, 0], [1, 0], [0, 2]]),
        ([0.3, 0.2, -0.1, 0.0], [[0], [0], [0], [1], [2]]),
        ([0.0, 0.1, 0.2, -0.3], [[3, 0], [3, 0], [1, 3], [0, 1], [2, 3], [0, 1]]),
    )
    for bias, indices in cases:
        given = {"bias": torch.tensor(bias), "indices": torch.tensor(indices), "rate": 0.05}
        says = "the bias, up by the rate for experts with less than the mean load, down for those with more"
        ask.gives(given, {"bias": moved_bias(**given)}, says, mistakes)
    order = torch.tensor([2, 0, 3, 1])
    moved = given | {"bias": given["bias"][order], "indices": order.argsort()[given["indices"]]}
    says = "With the experts under other numbers, their biases should move along."
    ask.follows(given, moved, lambda bias: bias[order], says)
    doubled = given | {"indices": given["indices"].repeat(2, 1)}
    says = "With every token twice, the same experts have too much, and the bias should be the same."
    ask.follows(given, doubled, lambda bias: bias, says)


def taken_by(probs, room, over=0, largest=True):
    """The reference: what each expert takes; or, over the other dimension, what each token takes."""
    room = min(room, probs.shape[over])
    taken = probs.topk(room, dim=over, largest=largest).indices
    return torch.zeros_like(probs).scatter(over, taken, 1.0) * probs


@checks(
    "07.expert_choice",
    hints=(
        "A column of `probs` belongs to an expert. `probs.topk(room, dim=0)` looks for the largest of each column.",
        "From a tensor of zeros, `scatter(0, taken, 1.0)` writes a 1 where an expert takes a token.",
        "Times `probs`, each 1 becomes the probability: that is the gate weight.",
    ),
    puzzle={
        "return torch.zeros_like(probs).scatter(0, taken, 1.0)": (
            "That says who takes whom, by ones. The gate weight is the probability."
        ),
        "return torch.zeros_like(probs).scatter(1, taken, 1.0) * probs": (
            "The numbers in `taken` are tokens, which are counted along dimension 0."
        ),
        "return probs.gather(0, taken)": "Those are the weights, but no longer beside the tokens to which they belong.",
    },
)
def expert_choice(ask: Ask) -> None:
    mistakes = {
        "In your answer each token takes its best experts. Here each expert, a column, takes its best tokens.": (
            lambda probs, room: taken_by(probs, room, over=1)
        ),
        "That says who takes whom, by ones. The gate weight is asked for: the probability.": lambda probs, room: (
            taken_by(probs, room) > 0
        ).to(probs.dtype),
        "Each expert takes the tokens with its smallest probabilities; the largest are wanted.": lambda probs, room: (
            taken_by(probs, room, largest=False)
        ),
        "A token stays with one expert in your answer. It may be taken by several: each takes its best.": (
            lambda probs, room: taken_by(probs, room) * (probs == probs.amax(-1, keepdim=True))
        ),
        "You divide each token's weights by their sum. They are the probabilities as they come.": lambda probs, room: (
            taken_by(probs, room) / taken_by(probs, room).sum(-1, keepdim=True).clamp_min(1e-9)
        ),
        "Your answer has a row for each expert. Turn it back: a row for each token.": lambda p, room: (
            taken_by(p, room).T
        ),
        "Each expert takes one token too many.": lambda probs, room: taken_by(probs, room + 1),
        "Your softmax goes over `probs` again. They are probabilities already.": lambda probs, room: taken_by(
            probs.softmax(-1), room
        ),
    }
    for T, E, room in ((5, 3, 2), (6, 2, 3), (4, 5, 1)):
        given = {"probs": draw(T + E, T, E).softmax(-1), "room": room}
        says = f"for each of {E} experts its {room} largest probabilities, and 0 for other tokens"
        ask.gives(given, {"weights": taken_by(**given)}, says, mistakes)
    order = torch.tensor([3, 1, 0, 2])
    says = "With the tokens in another order, the same ones should be taken."
    ask.follows(given, given | {"probs": given["probs"][order]}, lambda weights: weights[order], says)
    probs = given["probs"].clone().requires_grad_()
    weights = ask(given | {"probs": probs})
    reaches(weights, probs, "No gradient comes from the gate weights to `probs`: something detaches it.")


def uneven(weights, indices, n_experts, correction=0):
    """The reference: squared coefficient of variation of the summed weights."""
    importance = torch.zeros(n_experts).scatter_add(0, indices.flatten(), weights.flatten())
    return importance.var(correction=correction) / importance.mean() ** 2


@checks(
    "07.importance_loss",
    hints=(
        "First the importance of each expert, (n_experts,): the sum of the weights with which it was chosen.",
        "`torch.zeros(n_experts).scatter_add(0, indices.flatten(), weights.flatten())` adds each weight where its "
        "expert stands.",
        "`importance.var(correction=0) / importance.mean() ** 2`",
    ),
    puzzle={
        "return importance.std(correction=0) / importance.mean()": (
            "That is the coefficient itself. Its square is asked."
        ),
        "return importance.var(correction=0)": "Twice the weights would give four times the loss. Divide by the mean's "
        "square.",
    },
)
def importance_loss(ask: Ask) -> None:
    mistakes = {
        "You count the choices. An expert's importance is the sum of its gate WEIGHTS.": lambda w, i, n: uneven(
            torch.ones_like(w), i, n
        ),
        "Your variance divides by E - 1. These are all the experts, no sample: correction=0.": lambda w, i, n: uneven(
            w, i, n, correction=1
        ),
        "That is the coefficient of variation. Its square is asked: variance over squared mean.": lambda w, i, n: (
            uneven(w, i, n).sqrt()
        ),
        "That is the variance alone. Divide it by the squared mean.": lambda w, i, n: (
            uneven(w, i, n) * (w.sum() / n) ** 2
        ),
        "You divide by the mean. Its square is wanted.": lambda w, i, n: uneven(w, i, n) * w.sum() / n,
        "Only the first choice of each token counts in your importance.": lambda w, i, n: uneven(w[:, :1], i[:, :1], n),
        "The experts that nobody chose are missing: their importance is 0, and it counts.": lambda w, i, n: uneven(
            w, torch.unique(i, return_inverse=True)[1], len(i.unique())
        ),
    }
    for T, E, k in ((4, 3, 2), (5, 6, 1), (3, 5, 3)):
        weights = draw(T + k, T, k).abs().sort(-1, descending=True).values / 4
        given = {"weights": weights, "indices": choices(T + E, T, E, k), "n_experts": E}
        says = "the variance of the experts' summed gate weights, over their squared mean"
        ask.gives(given, {"loss": uneven(**given)}, says, mistakes)
    says = "Three times the weights should give the same loss."
    ask.follows(given, given | {"weights": 3 * weights}, lambda loss: loss.detach(), says)
    order = torch.tensor([2, 0, 1])
    moved = given | {"weights": weights[order], "indices": given["indices"][order]}
    ask.follows(given, moved, lambda loss: loss, "With the tokens in another order, the loss should be the same.")
    weights = weights.clone().requires_grad_()
    loss = ask(given | {"weights": weights})
    try:
        reaches(
            loss, weights, "No gradient comes from the loss to the weights: .item(), .detach() or no_grad cuts it off."
        )
    except RuntimeError:
        raise NotYet("`bincount` has no slope. Add the weights with `scatter_add`.") from None
