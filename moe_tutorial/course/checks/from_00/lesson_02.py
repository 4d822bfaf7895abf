"""Lesson 02: experts one after the other, all at once, and what they cost."""

import torch

from moe_tutorial.course.running import NotYet
from moe_tutorial.course.vocabulary import Ask, affine_experts, checks, draw, reaches

ROWS = "scores[mine] = expert(x[mine])"


@checks(
    "02.by_loop",
    hints=(
        "`scores` is there, full of zeros: fill in each expert's rows.",
        "`mine = oracle == i` is True for the images of expert i. `x[mine]` are those images.",
        "For each i: `scores[mine] = experts[i](x[mine])`.",
    ),
    mistakes={
        "Only the last expert's answers are left. Fill in the rows that are its own: scores[mine] = ...": (
            "scores[mine] = => scores ="
        ),
        "Give an expert its own images: expert(x[mine]).": "expert(x[mine]) => expert(x)",
        "Those are an expert's answers to the first images. Ask it about its own: expert(x[mine]).": (
            "expert(x[mine]) => expert(x)[: int(mine.sum())]"
        ),
        "One expert answers the whole batch, the one of the first image. Each image has its own word in `oracle`.": (
            f"{ROWS} => scores = experts[oracle[0]](x)"
        ),
        "The answers stand in the order of the experts. Each belongs into the row of its image.": (
            f"{ROWS} => scores = torch.cat([each(x[oracle == i]) for i, each in enumerate(experts)])"
        ),
        "You add up what all experts say. Only the one that the oracle names answers.": (
            f"{ROWS} => scores = scores + expert(x)"
        ),
        "Expert 0 answers every image. Each image has its own word in `oracle`.": f"{ROWS} => scores = experts[0](x)",
        "A list takes one number at a time, not all of `oracle`.": "expert(x[mine]) => experts[oracle](x)",
        "Only expert 0 answers. Does the loop return too early?": "enumerate(experts) => enumerate(experts[:1])",
        "The rows are zeros: the experts' answers are never put in.": "scores[mine] = => scores[mine][:] =",
    },
)
def by_loop(ask: Ask) -> None:
    for words, where in (([1, 0, 1], "each expert has images"), ([2, 0, 2, 0], "expert 1 gets no image")):
        oracle = torch.tensor(words)
        given = {"x": draw(len(words), len(words), 3), "oracle": oracle}
        given |= {"experts": affine_experts(max(words) + 1, 2), "n_classes": 2}
        ask.gives(given, "for each image what its own expert says", where=where)
        for i, expert in enumerate(given["experts"]):
            sent = words.count(i)
            if expert.rows > sent + 1:  # one row more is allowed, to find the output shape
                raise NotYet(
                    f"Right, but expert {i} was asked about {expert.rows} images, and the oracle sends it {sent}. "
                    "Let it see its own images alone: x[oracle == i]."
                )
    says = "Right, but no gradient reaches the experts, so they could not learn. Is it under torch.no_grad()?"
    reaches(ask(given), given["experts"][-1].factor, says)
    order = torch.tensor([3, 1, 0, 2])
    moved = given | {"x": given["x"][order], "oracle": oracle[order]}
    ask.follows(given, moved, lambda y: y[order], "With the images in another order, their answers should move along.")
    moved = given | {"oracle": 2 - oracle, "experts": given["experts"][::-1]}
    ask.follows(given, moved, lambda y: y, "With the experts under other numbers, the answers should be the same.")


SECOND = 'torch.einsum("beh,eho->beo", neurons.relu(), w_out)'


@checks(
    "02.stacked",
    hints=(
        "All neurons first: each image against each expert's rows of w_in, plus b_in, then relu. That is (B, E, h).",
        '`torch.einsum("bd,ehd->beh", x, w_in)` multiplies every image with every neuron of every expert.',
        'The second layer is `torch.einsum("beh,eho->beo", neurons, w_out)`, plus b_out.',
    ),
    mistakes={
        "There is no relu between the two layers.": "neurons.relu() => neurons",
        "Without e on the right of the einsum, the experts' answers are added up. Each is asked for.": "beo => bo",
        "The relu comes last. It belongs between the two layers.": (
            f"{SECOND} + b_out => ({SECOND.replace('.relu()', '')} + b_out).relu()"
        ),
        "There is a relu at the end, too. Answers may be negative.": f"return ... => ({SECOND} + b_out).relu()",
        "The bias b_in is missing: it comes before the relu.": " + b_in => ",
        "The bias b_out is missing: it comes last.": " + b_out => ",
        "w_out is turned round. Expert e's neurons (h) meet w_out[e], which is (h, d_out).": "eho => eoh",
        "w_in is turned round. Expert e's neuron j reads the image through the row w_in[e, j].": "ehd => edh",
        "The relu comes after the bias b_in.": "neurons.relu() => (neurons - b_in).relu() + b_in",
        "The experts stand first in your answer. The images belong first: (B, E, d_out).": (
            f"return ... => ({SECOND} + b_out).transpose(0, 1)"
        ),
        "w_in has three dimensions: name them, in an einsum.": 'torch.einsum("bd,ehd->beh", x, w_in) => x @ w_in.T',
    },
)
def stacked(ask: Ask) -> None:
    for B, E, h, d, d_out in ((4, 3, 2, 2, 2), (1, 3, 2, 4, 5), (4, 2, 3, 5, 1)):
        given = {"x": draw(B + 20, B, d), "w_in": draw(h + 10, E, h, d), "b_in": draw(d + 30, E, h)}
        given |= {"w_out": draw(E + 5, E, h, d_out), "b_out": draw(9, E, d_out)}
        ask.gives(given, f"what each of {E} experts says about each of {B} images, as (B, E, d_out)")
    turned = {name: given[name].flip(0) for name in ("w_in", "b_in", "w_out", "b_out")}
    says = "With the experts in another order, their answers should stand in that order."
    ask.follows(given, given | turned, lambda answers: answers.flip(1), says)


@checks(
    "02.bill",
    hints=(
        "Count one expert first: two matrices, two biases.",
        "One expert has d * h + h parameters on the way in, and h * d_out + d_out on the way out.",
        "All experts are kept: n_experts times one. An image meets those that are asked: n_asked times one.",
    ),
    mistakes={
        "That is the total twice. An image meets only the experts that are asked.": "n_asked => n_experts",
        "The other way round: first what is kept, then what one image meets.": (
            "return ... => n_asked * one, n_experts * one"
        ),
        "That is one expert's parameters. Several may be asked.": "n_asked * one => one",
        "The biases are missing: an expert has one for each neuron, and one for each output.": (
            "h + h * d_out + d_out => h * d_out"
        ),
        "The way out is missing: h * d_out weights and d_out biases for each expert.": " + h * d_out + d_out => ",
        "The sum for one expert wants parentheses: n_experts * (d * h + ...).": (
            "return ... => n_experts * d * h + h + h * d_out + d_out, n_asked * d * h + h + h * d_out + d_out"
        ),
        "A layer has one bias for each output.": "d * h + h + h * d_out + d_out => d * h + d + h * d_out + h",
        "n_asked is a count, not a share of the experts.": "n_asked * one => n_asked / n_experts * one",
        "The biases on the way out are missing: one for each output.": " + d_out => ",
        "The biases on the way in are missing: one for each neuron.": "d * h + h => d * h",
        "The way out begins at the h neurons: h * d_out weights.": "h * d_out => d * d_out",
        "That is one expert's parameters twice. All experts are kept: n_experts times one.": "return ... => one, one",
        "There is no router yet. Count the experts alone.": (
            "return ... => n_experts * one + d * n_experts, n_asked * one + d * n_experts"
        ),
    },
)
def bill(ask: Ask) -> None:
    for sizes in ((4, 1, 6, 4, 3), (3, 2, 5, 2, 4), (1, 1, 3, 7, 2)):
        given = dict(zip(ask.names, sizes, strict=True))
        says = "two whole numbers, the parameters that are kept and those that one image meets"
        ask.gives(given, says, ("total", "active"))
    says = "Twice as many experts are twice as many parameters to keep, and no more that one image meets."
    ask.follows(given, given | {"n_experts": 2}, lambda found: (2 * found[0], found[1]), says)
