"""Lesson 03: a router's three steps, the order of softmax and top-k, and a whole mixture."""

import torch

from moe_tutorial.course.vocabulary import Ask, affine_experts, checks, draw, reaches


@checks(
    "03.route",
    hints=(
        "Three lines: a logit for each expert, a softmax, a choice. `x @ weight.T` has a row for each token.",
        "The softmax compares the experts with each other, so it runs along the dimension that counts the experts.",
        "`probs.topk(k, dim=-1)` returns two things: the k largest of each row, and where they stood.",
    ),
    mistakes={
        "Your softmax goes over the tokens: it compares different tokens for one expert. Each token should compare the "
        "experts, so that each row of probabilities adds up to 1.": "softmax(dim=-1) => softmax(dim=0)",
        "Your gate weights are logits: they may be negative, and do not compare. The softmax has to come before, and "
        "its probabilities are the weights.": "probs.topk => logits.topk",
        "Your softmax runs over the chosen alone: the weights of a token add up to 1. Here it comes first, over all "
        "experts, and the chosen keep their probabilities.": (
            "weights, chosen = probs.topk(k, dim=-1) => weights, chosen = logits.topk(k)\nweights = weights.softmax(-1)"
        ),
        "That is a softmax of a softmax.": "probs.topk(k, dim=-1) => probs.topk(k)\nweights = weights.softmax(-1)",
        "You return the two in the other order: first the chosen experts, then their weights.": (
            "weights, chosen => chosen, weights"
        ),
        "weight has a row for each expert: turn it, weight.T.": "weight.T => weight",
        "Best first: yours stand the other way round.": (
            "probs.topk(k, dim=-1) => (part.flip(-1) for part in probs.topk(k))"
        ),
        "You keep the experts with the smallest probabilities; the largest are wanted.": (
            "topk(k, dim=-1) => topk(k, largest=False)"
        ),
    },
)
def route(ask: Ask) -> None:
    for T, E, k in ((4, 3, 2), (3, 4, 1), (5, 3, 3)):
        given = {"x": draw(T, T, 2), "weight": draw(E + 7, E, 2), "k": k}
        says = f"the {k} likeliest of {E} experts for each token, best first, and their probabilities"
        ask.gives(given, says, ("chosen", "weights"))
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


@checks(
    "03.topk_then_softmax",
    hints=(
        "First `logits.topk(k, dim=-1)`. Which of the two things that it returns does the softmax need?",
        "The softmax sees k numbers a token and no others, so each row of weights adds up to 1.",
        "One line does it: the values of `logits.topk(k, dim=-1)`, and `.softmax(dim=-1)` behind them.",
    ),
    mistakes={
        "You divide by the sum over all experts, so a token's weights add up to less than 1. Take the k largest logits "
        "first; the softmax then sees those alone.": "return ... => logits.softmax(dim=-1).topk(k, dim=-1).values",
        "Those are the logits of the chosen, without a softmax.": ".softmax(dim=-1) => ",
        "The indices say which experts. Take the values.": "values => indices",
        "That is a softmax of a softmax. The second one is to see logits, not probabilities.": (
            "logits.topk => logits.softmax(-1).topk"
        ),
        "You divide each logit by the sum of the chosen logits. A softmax takes e to the power of each first.": (
            "return ... => logits.topk(k).values / logits.topk(k).values.sum(-1, keepdim=True)"
        ),
        "Your softmax goes over the tokens. Each token should compare its own chosen experts.": (
            "softmax(dim=-1) => softmax(dim=0)"
        ),
        "Those are the numbers of the chosen experts. Their weights are wanted.": ("values.softmax(dim=-1) => indices"),
        "topk returns two things. The softmax needs the values.": ".values => ",
        "Best first: yours stand the other way round.": "return ... => logits.topk(k).values.softmax(-1).flip(-1)",
        "A logit of 0 still counts, as e to the power of 0 is 1. Mask with -inf.": (
            "return ... => (logits * (logits >= logits.topk(k).values[:, -1:])).softmax(-1).topk(k).values"
        ),
        "A token's weights should add up to 1: divide by their sum.": "softmax(dim=-1) => exp()",
        "You keep the smallest; the largest are wanted.": "topk(k, dim=-1) => topk(k, largest=False)",
    },
)
def topk_then_softmax(ask: Ask) -> None:
    for T, E, k in ((4, 3, 2), (2, 4, 1), (2, 3, 3)):
        given = {"logits": draw(T + E, T, E), "k": k}
        ask.gives(given, f"for each token, a softmax over its {k} largest logits, best first")
    says = "Five more on every logit should change no weight: a softmax looks at differences."
    ask.follows(given, given | {"logits": given["logits"] + 5}, lambda found: found, says)
    says = "With the experts in another order, the weights should be the same, best first."
    ask.follows(given, given | {"logits": given["logits"].flip(1)}, lambda found: found, says)


SUM = "counts.sum(-1, keepdim=True)"


@checks(
    "03.my_mixture",
    hints=(
        "Go through the experts, one after the other, and add to y what each contributes.",
        "`chosen == i` is True where expert i was chosen. `weights * (chosen == i)`, summed over the k choices, is how "
        "much expert i counts for each token: its weight, or 0.",
        "For each i: `y = y + (weights * (chosen == i)).sum(-1, keepdim=True) * experts[i](x)`, from y = 0.",
    ),
    mistakes={
        "You add up the answers of all experts. Only the chosen ones count, each times its gate weight.": (
            f"{SUM} * expert => expert"
        ),
        "The last expert's answer replaces the others. Add it to y.": "y = y + => y =",
        "The chosen experts' answers are added up, but no gate weight scales them. Multiply each answer by its "
        "weight.": "weights * ( => 1 * (",
        "You take the mean of the chosen answers. Each counts by its gate weight, and they are added up.": (
            "counts = weights => counts = 1 / weights.shape[1]"
        ),
        "You divide the sum by the number of chosen experts. The gate weights say already how much each "
        "counts.": "counts = weights => counts = weights / weights.shape[1]",
        "You divide by the sum of the weights. They count as they come, and need not add up to 1.": (
            "counts = weights => counts = weights / weights.sum(-1, keepdim=True)"
        ),
        "The weights go to the wrong experts: the weight in column j belongs to the expert that column j of `chosen` "
        "names.": "counts = weights => counts = weights.flip(-1)",
        "You ask the first k experts of the list. Which ones a token asks stands in `chosen`.": (
            "chosen == i => torch.arange(chosen.shape[1]) == i"
        ),
        "Only the first choice of each token counts in your sum. Its other choices are missing.": (
            f"{SUM} => counts[:, :1]"
        ),
        "An answer takes the place of the one before. Add it: y[rows] += ..., not y[rows] = ...": (
            "y = y + => y = (~(chosen == i).any(-1, keepdim=True)) * y +"
        ),
        "Only expert 0 counts. Does the loop return too early?": "enumerate(experts) => enumerate(experts[:1])",
        "Every choice gets the first weight. Each has its own.": "counts = weights => counts = weights[:, :1]",
        "One weight scales a token's whole row: keepdim=True.": "sum(-1, keepdim=True) => sum(-1)",
        "A row has k weights. One is needed, as by .sum(-1, keepdim=True).": f"{SUM} => weights",
        "A list takes one number at a time, not all of `chosen`.": "expert(x) => experts[chosen](x)",
        "You scale the token before the expert reads it. The gate weight scales the expert's answer.": (
            f"{SUM} * expert(x) => (counts != 0).sum(-1, keepdim=True) * expert({SUM} * x)"
        ),
    },
)
def my_mixture(ask: Ask) -> None:
    for T, E, k, d_out in ((4, 3, 2, 3), (3, 4, 1, 3), (3, 3, 3, 1), (1, 4, 2, 2)):
        draws = torch.Generator().manual_seed(T * E)
        chosen = torch.stack([torch.randperm(E, generator=draws)[:k] for _ in range(T)])
        weights = draw(T + k, T, k).abs().sort(-1, descending=True).values / 4
        given = {"x": draw(T, T, 3), "chosen": chosen, "weights": weights, "experts": affine_experts(E, d_out)}
        says = "the chosen experts' answers, each times its gate weight, added up"
        ask.gives(given, says, where=f"a token chooses {k} of {E} experts")
    chosen = torch.tensor([[2, 0], [1, 2], [0, 1], [2, 1]])
    given = {"x": draw(5, 4, 3), "chosen": chosen, "weights": draw(6, 4, 2), "experts": affine_experts(3, 2)}
    order = torch.tensor([1, 2, 0])
    renumbered = {"chosen": order.argsort()[chosen], "experts": [given["experts"][i] for i in order]}
    says = "With the experts under other numbers, in the list and in `chosen`, the answer should be the same."
    ask.follows(given, given | renumbered, lambda y: y.detach(), says)
    weights = given["weights"].clone().requires_grad_()
    y = ask(given | {"weights": weights})
    reaches(y, weights, "No gradient comes from y to the gate weights: .item(), .detach() or no_grad cuts it off.")
    reaches(y, given["experts"][0].factor, "No gradient comes from y to the experts: something detaches their answers.")
