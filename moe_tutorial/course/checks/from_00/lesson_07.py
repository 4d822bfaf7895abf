"""Lesson 07: a penalty, a bias that moves or is set, and experts that choose."""

import torch

from moe_tutorial.course.vocabulary import Ask, checks, draw, reaches


def choices(seed: int, T: int, E: int, k: int) -> torch.Tensor:
    """Different experts for each token, (T, k), of which the first is chosen most."""
    draws = torch.Generator().manual_seed(seed)
    busy = torch.tensor([3.0, *[1.0] * (E - 1)]).expand(T, -1)
    return torch.multinomial(busy, k, generator=draws)


CHOSEN = "F.one_hot(indices, n_experts).sum(1)"


@checks(
    "07.switch_loss",
    hints=(
        "Two numbers for each expert: the share of the choices that it got, and the mean of its column of `probs`.",
        "`counts` has the choices that each expert got. There are `indices.numel()` in all, T times k.",
        "With the shares in `f`: `n_experts * (f * probs.mean(0)).sum()`.",
    ),
    mistakes={
        "Your shares add up to k, not to 1: you divide by the tokens. There are T times k choices.": (
            "indices.numel() => len(indices)"
        ),
        "At even use that is 1/E. The number of experts stands before the sum; a mean over the experts in place of the "
        "sum takes it away again.": "n_experts * (f => (f",
        "That is the mean over the experts. Their products are added up, and the number of experts stands before the "
        "sum.": "return ... => (f * probs.mean(0)).mean()",
        "You count choices and do not divide them: f is a SHARE.": " / indices.numel() => ",
        "Your probabilities are those of the chosen alone. P is the mean over all tokens, whether they chose the "
        "expert or not: only so does it reach an expert that nobody chooses.": f"probs.mean => (probs * {CHOSEN}).mean",
        "You multiply token by token and then take the mean. First the mean over the tokens, for f and for P, and then "
        "the product.": f"f * probs.mean(0) => probs * {CHOSEN} / indices.numel()",
        "You multiply shares by shares. One of the two factors is the mean probability: it has the slope.": (
            "probs.mean(0) => f"
        ),
        "You multiply probabilities by probabilities. One of the two factors is the share of the choices.": (
            "(f * => (probs.mean(0) *"
        ),
        "You add the probabilities up over the tokens. Their mean is wanted.": "probs.mean(0) => probs.sum(0)",
        "That is the mean probability of the chosen. P has one number for each expert, its mean over all tokens, "
        "chosen or not.": "probs.mean(0) => probs.gather(1, indices).mean(0)",
        "You multiply by 8. Here it is another number: `n_experts`.": "return n_experts => return 8",
    },
)
def switch_loss(ask: Ask) -> None:
    for T, E, k in ((5, 3, 2), (4, 5, 1), (7, 4, 3)):
        given = {"probs": draw(T, T, E).softmax(-1), "indices": choices(T, T, E, k)}
        where = f"each of {T} tokens chooses {k} of {E} experts (the choices are given, not the largest)"
        ask.gives(given, f"{E} times the sum over the experts of share * mean probability", where=where)
    unused = {"probs": given["probs"], "indices": given["indices"] % 3}
    ask.gives(unused, "the same sum where nobody chooses the last expert, whose share is 0")
    order = torch.tensor([4, 0, 6, 2, 5, 1, 3])
    moved = {name: value[order] for name, value in given.items()}
    ask.follows(given, moved, lambda loss: loss, "With the tokens in another order, the loss should be the same.")
    order = torch.tensor([2, 0, 3, 1])
    moved = {"probs": given["probs"][:, order], "indices": order.argsort()[given["indices"]]}
    ask.follows(given, moved, lambda loss: loss, "With the experts under other numbers, the loss should be the same.")
    probs = given["probs"].clone().requires_grad_()
    loss = ask(given | {"probs": probs})
    reaches(loss, probs, "No gradient comes from the loss to `probs`: .item(), .detach() or no_grad cuts it off.")


STEP = "torch.sign(load.mean() - load)"


@checks(
    "07.bias_update",
    hints=(
        "The load is how many choices each expert got: `torch.bincount` counts them, `minlength=len(bias)` counts "
        "those that got none, too.",
        "Whoever has less than the mean goes up by `rate`, whoever has more goes down by `rate`, however far from it "
        "they are.",
        "`bias + rate * torch.sign(load.mean() - load)`, with the load as floating-point numbers.",
    ),
    mistakes={
        "The sign is turned round: who has more than the mean goes down.": "load.mean() - load => load - load.mean()",
        "You move by how far each is from the mean. Each moves by the rate, up or down: take the sign.": (
            "torch.sign => "
        ),
        "You return the step alone. The new bias is the old one and the step.": "return bias + => return",
        "Only those with too little move in your answer. Those with too much go down by the rate.": (
            f"{STEP} => (load < load.mean())"
        ),
        "Only those with too much move in your answer. Those with too little go up by the rate.": (
            f"+ rate * {STEP} => - rate * (load > load.mean())"
        ),
        "An expert with exactly the mean load moves in your answer. It stays where it is.": (
            "return ... => torch.where(load < load.mean(), bias + rate, bias - rate)"
        ),
        "An expert with exactly the mean load goes up in your answer. It stays where it is.": (
            "return ... => torch.where(load > load.mean(), bias - rate, bias + rate)"
        ),
        "`bincount` stops at the last expert that was chosen. With `minlength` it counts to the last of all.": (
            ", minlength=len(bias) => "
        ),
        "Only the first choice of each token counts in your load. Its other choices count, too.": (
            "indices.flatten() => indices[:, 0]"
        ),
        "`bincount` gives whole numbers. Write `.float()` behind it.": ".float() => ",
        "The mean load is T times k choices over E experts. You forget the k.": (
            "load.mean() => len(indices) / len(bias)"
        ),
        "All go up in your answer. Do you compare a share with a number of choices?": "- load => - load / load.sum()",
        "The step has the size 1 in your answer. It has the size `rate`.": "rate * => ",
    },
)
def bias_update(ask: Ask) -> None:
    cases = (
        ([0.1, -0.2, 0.0], [[1, 0], [1, 0], [0, 2]]),
        ([0.3, 0.2, -0.1, 0.0], [[0], [0], [0], [1], [2]]),
        ([0.0, 0.1, 0.2, -0.3], [[3, 0], [3, 0], [1, 3], [0, 1], [2, 3], [0, 1]]),
    )
    for bias, indices in cases:
        given = {"bias": torch.tensor(bias), "indices": torch.tensor(indices), "rate": 0.05}
        ask.gives(given, "the bias, up by the rate for experts with less than the mean load, down for those with more")
    order = torch.tensor([2, 0, 3, 1])
    moved = given | {"bias": given["bias"][order], "indices": order.argsort()[given["indices"]]}
    says = "With the experts under other numbers, their biases should move along."
    ask.follows(given, moved, lambda bias: bias[order], says)
    doubled = given | {"indices": given["indices"].repeat(2, 1)}
    says = "With every token twice, the same experts have too much, and the bias should be the same."
    ask.follows(given, doubled, lambda bias: bias, says)


@checks(
    "07.quantile",
    hints=(
        "The bar of a token is the score, with its bias, that just missed: number k + 1 of its row.",
        "`(probs + bias).topk(k + 1).values[:, -1:]` are the bars, (T, 1). An expert passes a bar where its bias is "
        "larger than `bar - probs`.",
        "`(bar - probs).quantile(k / len(bias), dim=0)`, and then its mean is subtracted.",
    ),
    mistakes={
        "Your bar is the last that is chosen, number k. The bar is the best of those that are not: number k + 1.": (
            "topk(k + 1) => topk(k)"
        ),
        "Your bar leaves the bias out. It is the best of the BIASED scores that are not chosen.": (
            "(probs + bias).topk => probs.topk"
        ),
        "Your bar is the highest score of the token. It is the best of those that are not chosen, number k + 1.": (
            "[:, -1:] => [:, :1]"
        ),
        "You subtract the score with its old bias from the bar. The new bias takes the place of the old one: subtract "
        "the score alone.": "(bar - probs) => (bar - probs - bias)",
        "You subtract the bar from the score. An expert needs as much bias as its score lacks: bar minus score.": (
            "(bar - probs) => (probs - bar)"
        ),
        "You add to the old bias. The quantile is the bias itself.": "return new => return bias + new",
        "The mean of the biases is not subtracted.": " - new.mean() => ",
        "Your quantile is that of one choice a token, 1/E. Each expert should get k/E of the tokens.": (
            "k / len(bias) => 1 / len(bias)"
        ),
        "Your bias lets 1 - k/E of the tokens choose each expert. It should be k/E.": (
            "k / len(bias) => 1 - k / len(bias)"
        ),
        "That is the mean over the tokens. Their quantile is asked for: k/E of them should need less.": (
            ".quantile(k / len(bias), dim=0) => .mean(0)"
        ),
        "Your quantile goes over the experts of each token. Each expert needs one over all tokens: dim=0.": (
            "dim=0 => dim=1"
        ),
    },
)
def quantile(ask: Ask) -> None:
    # Sizes at which the quantile is one of the numbers, so that every way to interpolate gives the same.
    for T, E, k in ((6, 5, 2), (5, 4, 3), (11, 5, 3)):
        given = {"probs": draw(T, T, E).softmax(-1), "bias": draw(E, E) / 4, "k": k}
        ask.gives(given, "for each expert the k/E quantile of bar minus score, less the mean of all")
    says = "A bias raised by the same for all experts changes no choice, and nothing here."
    ask.follows(given, given | {"bias": given["bias"] + 1}, lambda bias: bias, says)
    order = torch.arange(T).flip(0)
    says = "With the tokens in another order, the bias should be the same."
    ask.follows(given, given | {"probs": given["probs"][order]}, lambda bias: bias, says)
    order = torch.tensor([2, 0, 3, 1, 4])
    moved = given | {"probs": given["probs"][:, order], "bias": given["bias"][order]}
    says = "With the experts under other numbers, their biases should move along."
    ask.follows(given, moved, lambda bias: bias[order], says)


KEPT = "torch.zeros_like(probs).scatter(0, taken, 1.0) * probs"


@checks(
    "07.expert_choice",
    hints=(
        "A column of `probs` belongs to an expert. `probs.topk(room, dim=0)` looks for the largest of each column.",
        "With `.indices` of that, `scatter(0, indices, 1.0)` writes 1s into zeros where an expert takes a token.",
        "Times `probs`, each 1 becomes the probability: that is the gate weight.",
    ),
    mistakes={
        "That says who takes whom, by ones. The gate weight is asked for: the probability.": " * probs => ",
        "The indices that `topk` gives are tokens, which are counted along dimension 0.": "scatter(0 => scatter(1",
        "Those are the weights, but no longer beside the tokens to which they belong.": (
            "return ... => probs.gather(0, taken)"
        ),
        "In your answer each token takes its best experts. Here each expert, a column, takes its best tokens.": (
            "return ... => torch.zeros_like(probs).scatter(1, probs.topk(room, dim=1).indices, 1.0) * probs"
        ),
        "Each expert takes the tokens with its smallest probabilities; the largest are wanted.": (
            "dim=0 => dim=0, largest=False"
        ),
        "You divide each token's weights by their sum. They are the probabilities as they come.": (
            f"return {KEPT} => kept = {KEPT}\nreturn kept / kept.sum(-1, keepdim=True)"
        ),
        "Your answer has a row for each expert. Turn it back: a row for each token.": f"{KEPT} => ({KEPT}).T",
        "Each expert takes one token too many.": "room => room + 1",
        "Each expert takes one token too few. The last of its `room` is taken, too: `>=`, not `>`.": "room => room - 1",
        "You take the largest of the whole table, so a few experts take more than their `room`, and others less. Each "
        "column has a top-k of its own.": (
            "return ... => probs.where(probs >= probs.flatten().topk(room * probs.shape[1]).values[-1], 0.0)"
        ),
        "Your softmax goes over `probs` again. They are probabilities already.": (
            "taken = => probs = probs.softmax(-1)\ntaken ="
        ),
    },
)
def expert_choice(ask: Ask) -> None:
    for T, E, room in ((5, 3, 2), (6, 2, 3), (4, 5, 1)):
        given = {"probs": draw(T + E, T, E).softmax(-1), "room": room}
        ask.gives(given, f"for each of {E} experts its {room} largest probabilities, and 0 for other tokens")
    order = torch.tensor([3, 1, 0, 2])
    says = "With the tokens in another order, the same ones should be taken."
    ask.follows(given, given | {"probs": given["probs"][order]}, lambda weights: weights[order], says)
    probs = given["probs"].clone().requires_grad_()
    weights = ask(given | {"probs": probs})
    reaches(weights, probs, "No gradient comes from the gate weights to `probs`: something detaches it.")
