"""Lesson 02: experts one after the other, all at once, and what they cost."""

import torch

from moe_tutorial.course.checks.vocabulary import Ask, affine_experts, checks, draw
from moe_tutorial.course.running import NotYet


def directed(x, oracle, experts, n_classes):
    """The reference, image by image."""
    return torch.cat([experts[i](x[b : b + 1]) for b, i in enumerate(oracle.tolist())])


def in_experts_order(x, oracle, experts, n_classes):
    return torch.cat([expert(x[oracle == i]) for i, expert in enumerate(experts)])


@checks(
    "02.by_loop",
    hints=(
        "Begin with `scores = torch.zeros(len(x), n_classes)`, and fill in each expert's rows.",
        "`mine = oracle == i` is True for the images of expert i. `x[mine]` are those images.",
        "For each i: `scores[mine] = experts[i](x[mine])`.",
    ),
    puzzle={
        "scores = expert(x[mine])": (
            "That throws the answers of the other experts away. Fill in the rows that are mine."
        ),
        "scores[mine] = expert(x)": "The expert would answer all images. It gets its own alone.",
    },
)
def by_loop(ask: Ask) -> None:
    mistakes = {
        "One expert answers the whole batch, the one of the first image. Each image has its own word in `oracle`.": (
            lambda x, oracle, experts, n_classes: experts[oracle[0]](x)
        ),
        "The answers stand in the order of the experts. Each belongs into the row of its image.": in_experts_order,
        "You add up what all experts say. Only the one that the oracle names answers.": (
            lambda x, oracle, experts, n_classes: sum(expert(x) for expert in experts)
        ),
        "Expert 0 answers every image. Each image has its own word in `oracle`.": lambda x, o, e, n: e[0](x),
        "A list takes one number at a time, not all of `oracle`.": lambda x, o, e, n: e[o],
        "Give an expert its own images: expert(x[mine]).": lambda x, o, e, n: e[0](x).__setitem__(o == 0, e[0](x)),
        "Only the last expert's answers are left: scores[mine] = ...": lambda x, o, e, n: e[-1](x[o == len(e) - 1]),
        "Only expert 0 answers. Does the loop return too early?": lambda x, o, e, n: (o == 0)[:, None] * e[0](x),
        "The rows are zeros: the experts' answers are never put in.": lambda x, o, e, n: torch.zeros(len(x), n),
    }
    for words, where in (([1, 0, 1], "each expert has images"), ([2, 0, 2, 0], "expert 1 gets no image")):
        oracle = torch.tensor(words)
        given = {"x": draw(len(words), len(words), 3), "oracle": oracle}
        given |= {"experts": affine_experts(max(words) + 1, 2), "n_classes": 2}
        scores = directed(*given.values()).detach()
        for expert in given["experts"]:
            expert.rows = 0
        ask.gives(given, {"scores": scores}, "for each image what its own expert says", mistakes, where)
        for i, expert in enumerate(given["experts"]):
            sent = words.count(i)
            if expert.rows > sent + 1:  # one row more is allowed, to find the output shape
                raise NotYet(
                    f"Right, but expert {i} was asked about {expert.rows} images, and the oracle sends it {sent}. "
                    "Let it see its own images alone: x[oracle == i]."
                )
    order = torch.tensor([3, 1, 0, 2])
    moved = given | {"x": given["x"][order], "oracle": oracle[order]}
    ask.follows(given, moved, lambda y: y[order], "With the images in another order, their answers should move along.")
    moved = given | {"oracle": 2 - oracle, "experts": given["experts"][::-1]}
    ask.follows(given, moved, lambda y: y, "With the experts under other numbers, the answers should be the same.")


def side_by_side(x, w_in, b_in, w_out, b_out, activation=torch.relu):
    """The reference, expert by expert."""
    answers = [activation(x @ w_in[e].T + b_in[e]) @ w_out[e] + b_out[e] for e in range(len(w_in))]
    return torch.stack(answers, dim=1)


@checks(
    "02.stacked",
    hints=(
        "All neurons first: each image against each expert's rows of w_in, plus b_in, then relu. That is (B, E, h).",
        '`torch.einsum("bd,ehd->beh", x, w_in)` multiplies every image with every neuron of every expert.',
        'The second layer is `torch.einsum("beh,eho->beo", neurons, w_out)`, plus b_out.',
    ),
    puzzle={
        'return torch.einsum("beh,eho->beo", neurons, w_out) + b_out': "The relu between the two layers is missing.",
        'return torch.einsum("beh,eho->bo", neurons.relu(), w_out) + b_out': (
            "Without e on the right the experts' answers are added up. Each is asked for."
        ),
        'return (torch.einsum("beh,eho->beo", neurons, w_out) + b_out).relu()': (
            "The relu belongs between the two layers."
        ),
    },
)
def stacked(ask: Ask) -> None:
    mistakes = {
        "Both biases are missing: b_in before the relu, b_out at the end.": (
            lambda x, w_in, b_in, w_out, b_out: side_by_side(x, w_in, 0 * b_in, w_out, 0 * b_out)
        ),
        "The bias b_in is missing: it comes before the relu.": (
            lambda x, w_in, b_in, w_out, b_out: side_by_side(x, w_in, 0 * b_in, w_out, b_out)
        ),
        "The bias b_out is missing: it comes last.": (
            lambda x, w_in, b_in, w_out, b_out: side_by_side(x, w_in, b_in, w_out, 0 * b_out)
        ),
        "w_out is turned round. Expert e's neurons (h) meet w_out[e], which is (h, d_out).": (
            lambda x, w_in, b_in, w_out, b_out: side_by_side(x, w_in, b_in, w_out.transpose(1, 2), b_out)
        ),
        "w_in is turned round. Expert e's neuron j reads the image through the row w_in[e, j].": (
            lambda x, w_in, b_in, w_out, b_out: side_by_side(x, w_in.transpose(1, 2), b_in, w_out, b_out)
        ),
        "There is no relu between the two layers.": lambda *given: side_by_side(*given, activation=lambda x: x),
        "The relu comes after the bias b_in.": lambda x, w_in, b_in, w_out, b_out: side_by_side(
            x, w_in, 0 * b_in, w_out, b_out + torch.einsum("eh,eho->eo", b_in, w_out)
        ),
        "There is a relu at the end, too. Answers may be negative.": lambda *given: side_by_side(*given).relu(),
        "A bias (E, ...) joins (B, E, ...). Is e on the right of the einsum?": lambda x, a, b, c, d: x[:, :1] + d,
        "A reshape swaps no axes. Take transpose(0, 1).": lambda *g: side_by_side(*g).swapaxes(0, 1).reshape(4, 3, 2),
        "The relu comes last. It belongs between the two layers.": (
            lambda *given: side_by_side(*given, activation=lambda x: x).relu()
        ),
    }
    for B, E, h, d, d_out in ((4, 3, 2, 2, 2), (1, 3, 2, 4, 5), (4, 2, 3, 5, 1)):
        given = {"x": draw(B + 20, B, d), "w_in": draw(h + 10, E, h, d), "b_in": draw(d + 30, E, h)}
        given |= {"w_out": draw(E + 5, E, h, d_out), "b_out": draw(9, E, d_out)}
        says = f"what each of {E} experts says about each of {B} images, as (B, E, d_out)"
        ask.gives(given, {"answers": side_by_side(*given.values())}, says, mistakes)
    turned = {name: given[name].flip(0) for name in ("w_in", "b_in", "w_out", "b_out")}
    ask.follows(
        given,
        given | turned,
        lambda answers: answers.flip(1),
        "With the experts in another order, their answers should stand in that order.",
    )


def counted(n_experts, n_asked, d, h, d_out):
    one = d * h + h + h * d_out + d_out
    return n_experts * one, n_asked * one


@checks(
    "02.bill",
    hints=(
        "Count one expert first: two matrices, two biases.",
        "One expert has d * h + h parameters on the way in, and h * d_out + d_out on the way out.",
        "All experts are kept: n_experts times one. An image meets those that are asked: n_asked times one.",
    ),
    puzzle={
        "return n_experts * one, n_experts * one": "An image meets only the experts that are asked.",
        "return n_asked * one, n_experts * one": "First what is kept, then what one image meets.",
        "return n_experts * one, one": "Several experts may be asked.",
    },
)
def bill(ask: Ask) -> None:
    mistakes = {
        "That is the total twice. An image meets only the experts that are asked.": (
            lambda n, k, d, h, o: (counted(n, k, d, h, o)[0],) * 2
        ),
        "The other way round: first what is kept, then what one image meets.": lambda *given: counted(*given)[::-1],
        "The biases are missing: an expert has one for each neuron, and one for each output.": (
            lambda n, k, d, h, o: (n * (d * h + h * o), k * (d * h + h * o))
        ),
        "The way out is missing: h * d_out weights and d_out biases for each expert.": (
            lambda n, k, d, h, o: (n * (d * h + h), k * (d * h + h))
        ),
        "The sum for one expert wants parentheses: n_experts * (d * h + ...).": (
            lambda n, k, d, h, o: (n * d * h + h + h * o + o, k * d * h + h + h * o + o)
        ),
        "That is one expert's parameters. Several may be asked.": (
            lambda n, k, d, h, o: (counted(n, k, d, h, o)[0], counted(1, 1, d, h, o)[0])
        ),
        "The biases on the way out are missing: one for each output.": (
            lambda n, k, d, h, o: (n * (d * h + h + h * o), k * (d * h + h + h * o))
        ),
    }
    for sizes in ((4, 1, 6, 4, 3), (3, 2, 5, 2, 4), (1, 1, 3, 7, 2)):
        given = dict(zip(("n_experts", "n_asked", "d", "h", "d_out"), sizes, strict=True))
        total, active = counted(*sizes)
        says = "two whole numbers, the parameters that are kept and those that one image meets"
        ask.gives(given, {"total": total, "active": active}, says, mistakes)
    ask.follows(
        given,
        given | {"n_experts": 2},
        lambda found: (2 * found[0], found[1]),
        "Twice as many experts are twice as many parameters to keep, and no more that one image meets.",
    )
