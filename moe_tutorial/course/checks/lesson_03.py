"""Lesson 03: a router's three steps, the order of softmax and top-k, and a whole mixture."""

import torch

from moe_tutorial.course.checks.vocabulary import Ask, affine_experts, checks, draw, reaches


def routed(x, weight, k, over=-1):
    """The reference: a softmax over the experts, or over the dimension ``over`` of a mistake, and its top k."""
    weights, chosen = (x @ weight.T).softmax(over).topk(k)
    return chosen, weights


def logits_as_weights(x, weight, k):
    logits, chosen = (x @ weight.T).topk(k)
    return chosen, logits


def chosen_softmax(x, weight, k):
    logits, chosen = (x @ weight.T).topk(k)
    return chosen, logits.softmax(-1)


def least(x, weight, k):
    weights, chosen = (x @ weight.T).softmax(-1).topk(k, largest=False)
    return chosen, weights


@checks(
    "03.route",
    hints=(
        "Three lines: a logit for each expert, a softmax, a choice. `x @ weight.T` has a row for each token.",
        "The softmax compares the experts with each other, so it runs along the dimension that counts the experts.",
        "`probs.topk(k, dim=-1)` returns two things: the k largest of each row, and where they stood.",
    ),
    puzzle={
        "probs = logits.softmax(dim=0)": "That compares different tokens for one expert. A token compares the experts.",
        "weights, chosen = logits.topk(k, dim=-1)": (
            "Those weights would be logits, which may be negative. Choose among the probabilities."
        ),
    },
)
def route(ask: Ask) -> None:
    mistakes = {
        "Your softmax goes over the tokens: it compares different tokens for one expert. Each token should compare the "
        "experts, so that each row of probabilities adds up to 1.": lambda x, w, k: routed(x, w, k, over=0),
        "Your gate weights are logits: they may be negative, and do not compare. The softmax has to come before, and "
        "its probabilities are the weights.": logits_as_weights,
        "Your softmax runs over the chosen alone: the weights of a token add up to 1. Here it comes first, over all "
        "experts, and the chosen keep their probabilities.": chosen_softmax,
        "That is a softmax of a softmax.": lambda *given: (routed(*given)[0], routed(*given)[1].softmax(-1)),
        "You return the two in the other order: first the chosen experts, then their weights.": lambda *given: routed(
            *given
        )[::-1],
        "weight has a row for each expert: turn it, weight.T.": lambda x, w, k: x @ w,
        "Best first: yours stand the other way round.": lambda *given: tuple(part.flip(-1) for part in routed(*given)),
        "You keep the experts with the smallest probabilities; the largest are wanted.": least,
    }
    for T, E, k in ((4, 3, 2), (3, 4, 1), (5, 3, 3)):
        given = {"x": draw(T, T, 2), "weight": draw(E + 7, E, 2), "k": k}
        chosen, weights = routed(*given.values())
        says = f"the {k} likeliest of {E} experts for each token, best first, and their probabilities"
        ask.gives(given, {"chosen": chosen, "weights": weights}, says, mistakes)
    order = torch.tensor([2, 0, 1])
    ask.follows(
        given,
        given | {"weight": given["weight"][order]},
        lambda found: (order.argsort()[found[0]], found[1]),
        "With the experts in another order, the same ones should be chosen, under their new numbers.",
    )
    x, weight = draw(1, 3, 2), draw(2, 4, 2).requires_grad_()
    _, weights = ask({"x": x, "weight": weight, "k": 2})
    reaches(weights, weight, "No gradient comes from the gate weights to `weight`: something detaches it.")


def double_softmax(logits, k):
    return logits.softmax(-1).topk(k).values.softmax(-1)


def softmax_first(logits, k):
    return logits.softmax(-1).topk(k).values


@checks(
    "03.topk_then_softmax",
    hints=(
        "First `logits.topk(k, dim=-1)`. Which of the two things that it returns does the softmax need?",
        "The softmax sees k numbers a token and no others, so each row of weights adds up to 1.",
        "One line does it: the values of `logits.topk(k, dim=-1)`, and `.softmax(dim=-1)` behind them.",
    ),
    puzzle={
        "return logits.softmax(dim=-1).topk(k, dim=-1).values": (
            "That divides by the sum over all experts. Choose first; the softmax then sees the chosen alone."
        ),
        "return logits.topk(k, dim=-1).values": "Those are logits, without a softmax.",
        "return logits.topk(k, dim=-1).indices.softmax(dim=-1)": (
            "The indices say which experts. Their logits are needed."
        ),
    },
)
def topk_then_softmax(ask: Ask) -> None:
    mistakes = {
        "That is a softmax of a softmax. The second one is to see logits, not probabilities.": double_softmax,
        "You divide by the sum over all experts, so a token's weights add up to less than 1. Take the k largest logits "
        "first; the softmax then sees those alone.": softmax_first,
        "Those are the logits of the chosen, without a softmax.": lambda logits, k: logits.topk(k).values,
        "You divide each logit by the sum of the chosen logits. A softmax takes e to the power of each first.": (
            lambda logits, k: logits.topk(k).values / logits.topk(k).values.sum(-1, keepdim=True)
        ),
        "Your softmax goes over the tokens. Each token should compare its own chosen experts.": lambda logits, k: (
            logits.topk(k).values.softmax(0)
        ),
        "Those are the numbers of the chosen experts. Their weights are wanted.": lambda z, k: z.topk(k).indices,
        "topk returns two things. The softmax needs the values.": lambda logits, k: logits.topk(k).softmax(-1),
        "The indices say which experts. Take the values.": lambda logits, k: logits.topk(k).indices.softmax(-1),
        "Best first: yours stand the other way round.": lambda logits, k: logits.topk(k).values.softmax(-1).flip(-1),
        "A logit of 0 still counts, as e to the power of 0 is 1. Mask with -inf.": lambda z, k: (
            (z * (z >= z.topk(k).values[:, -1:])).softmax(-1).topk(k).values
        ),
        "A token's weights should add up to 1: divide by their sum.": lambda logits, k: logits.topk(k).values.exp(),
        "You keep the smallest; the largest are wanted.": lambda z, k: z.topk(k, largest=False).values.softmax(-1),
    }
    for T, E, k in ((4, 3, 2), (2, 4, 1), (2, 3, 3)):
        given = {"logits": draw(T + E, T, E), "k": k}
        right = given["logits"].topk(k).values.softmax(-1)
        says = f"for each token, a softmax over its {k} largest logits, best first"
        ask.gives(given, {"weights": right}, says, mistakes)
    ask.follows(
        given,
        given | {"logits": given["logits"] + 5},
        lambda found: found,
        "Five more on every logit should change no weight: a softmax looks at differences.",
    )
    ask.follows(
        given,
        given | {"logits": given["logits"].flip(1)},
        lambda found: found,
        "With the experts in another order, the weights should be the same, best first.",
    )


def mixed(x, chosen, weights, experts):
    """The reference: the weighted sum, token by token and choice by choice."""
    rows = []
    for t in range(len(x)):
        answers = [experts[e](x[t : t + 1])[0] for e in chosen[t].tolist()]
        rows.append(sum(weight * answer for weight, answer in zip(weights[t], answers, strict=True)))
    return torch.stack(rows)


def with_weights(change):
    """A mixture that first replaces its weights (T, k) by ``change(weights, chosen)``."""
    return lambda x, chosen, weights, experts: mixed(x, chosen, change(weights, chosen), experts)


def in_order(weights, chosen):
    """The weights that the experts get if the experts are sorted by number but the weights are not."""
    return weights.gather(-1, chosen.argsort(-1).argsort(-1))


def last_one_wins(x, chosen, weights, experts):
    last = chosen == chosen.amax(-1, keepdim=True)
    return mixed(x, chosen, weights * last, experts)


def gate_first(x, chosen, weights, experts):
    parts = []
    for column in range(chosen.shape[1]):
        scaled = x * weights[:, [column]]
        parts.append(mixed(scaled, chosen[:, [column]], torch.ones(len(x), 1), experts))
    return sum(parts)


@checks(
    "03.my_mixture",
    hints=(
        "Go through the experts, one after the other, and add to y what each contributes.",
        "`chosen == i` is True where expert i was chosen. `weights * (chosen == i)`, summed over the k choices, is how "
        "much expert i counts for each token: its weight, or 0.",
        "For each i: `y = y + (weights * (chosen == i)).sum(-1, keepdim=True) * experts[i](x)`, from y = 0.",
    ),
    puzzle={
        "y = y + expert(x)": "No gate weight scales this answer.",
        "y = counts.sum(-1, keepdim=True) * expert(x)": "That throws away what the experts before have added.",
    },
)
def my_mixture(ask: Ask) -> None:
    mistakes = {
        "The chosen experts' answers are added up, but no gate weight scales them. Multiply each answer by its "
        "weight.": with_weights(lambda weights, chosen: torch.ones_like(weights)),
        "You take the mean of the chosen answers. Each counts by its gate weight, and they are added up.": with_weights(
            lambda weights, chosen: torch.ones_like(weights) / weights.shape[1]
        ),
        "You divide the sum by the number of chosen experts. The gate weights say already how much each "
        "counts.": with_weights(lambda weights, chosen: weights / weights.shape[1]),
        "You divide by the sum of the weights. They count as they come, and need not add up to 1.": with_weights(
            lambda weights, chosen: weights / weights.sum(-1, keepdim=True)
        ),
        "The weights go to the wrong experts: the weight in column j belongs to the expert that column j of `chosen` "
        "names.": with_weights(lambda weights, chosen: weights.flip(-1)),
        "The weights go to the wrong experts, as if `chosen` were sorted by number. It is sorted by weight: column j "
        "of `weights` belongs to the expert in column j of `chosen`.": with_weights(in_order),
        "You ask the first k experts of the list. Which ones a token asks stands in `chosen`.": (
            lambda x, chosen, weights, experts: mixed(
                x, torch.arange(chosen.shape[1]).expand_as(chosen), weights, experts
            )
        ),
        "Only the first choice of each token counts in your sum. Its other choices are missing.": with_weights(
            lambda weights, chosen: weights * (torch.arange(weights.shape[1]) == 0)
        ),
        "Only the last choice of each token counts in your sum. Its other choices are missing.": with_weights(
            lambda weights, chosen: weights * (torch.arange(weights.shape[1]) == weights.shape[1] - 1)
        ),
        "An answer takes the place of the one before. Add it: y[rows] += ..., not y[rows] = ...": last_one_wins,
        "The last expert's answer replaces the others. Add it to y.": with_weights(lambda w, c: w * (c == c.max())),
        "Only expert 0 counts. Does the loop return too early?": with_weights(lambda w, c: w * (c == 0)),
        "Every choice gets the first weight. Each has its own.": with_weights(lambda w, c: w[:, :1].expand_as(w)),
        "One weight scales a token's whole row: keepdim=True.": lambda x, c, w, e: w.sum(-1) * e[0](x),
        "A row has k weights. One is needed, as by .sum(-1, keepdim=True).": lambda x, c, w, e: w * e[0](x),
        "A list takes one number at a time, not all of `chosen`.": lambda x, c, w, e: e[c],
        "You scale the token before the expert reads it. The gate weight scales the expert's answer.": gate_first,
        "Every token goes where the first one goes. Each has its own row in `chosen`.": (
            lambda x, chosen, weights, experts: mixed(x, chosen[:1].expand_as(chosen), weights, experts)
        ),
        "You add up the answers of all experts. Only the chosen ones count, each times its gate weight.": (
            lambda x, chosen, weights, experts: sum(expert(x) for expert in experts)
        ),
    }
    for T, E, k, d_out in ((4, 3, 2, 3), (3, 4, 1, 3), (3, 3, 3, 1), (1, 4, 2, 2)):
        draws = torch.Generator().manual_seed(T * E)
        chosen = torch.stack([torch.randperm(E, generator=draws)[:k] for _ in range(T)])
        weights = draw(T + k, T, k).abs().sort(-1, descending=True).values / 4
        given = {"x": draw(T, T, 3), "chosen": chosen, "weights": weights, "experts": affine_experts(E, d_out)}
        says = "the chosen experts' answers, each times its gate weight, added up"
        where = f"a token chooses {k} of {E} experts"
        ask.gives(given, {"y": mixed(*given.values()).detach()}, says, mistakes, where)
    chosen = torch.tensor([[2, 0], [1, 2], [0, 1], [2, 1]])
    given = {"x": draw(5, 4, 3), "chosen": chosen, "weights": draw(6, 4, 2), "experts": affine_experts(3, 2)}
    order = torch.tensor([1, 2, 0])
    renumbered = {"chosen": order.argsort()[chosen], "experts": [given["experts"][i] for i in order]}
    ask.follows(
        given,
        given | renumbered,
        lambda y: y.detach(),
        "With the experts under other numbers, in the list and in `chosen`, the answer should be the same.",
    )
    weights = given["weights"].clone().requires_grad_()
    y = ask(given | {"weights": weights})
    reaches(y, weights, "No gradient comes from y to the gate weights: .item(), .detach() or no_grad cuts it off.")
    reaches(y, given["experts"][0].factor, "No gradient comes from y to the experts: something detaches their answers.")
