"""Lesson 06: what a step does to other inputs, noisy top-k, and a probe for noise left on."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_tutorial.course.running import NotYet
from moe_tutorial.course.vocabulary import Ask, checks, draw, reaches
from moe_tutorial.layers import MixtureOfExperts, Router, Routing

PRODUCTS = "torch.outer(others @ x, dL_dz)"


@checks(
    "06.others_move",
    hints=(
        "Row i of the router's matrix moves by `-eta * dL_dz[i] * x`. A logit of another image is this row's product "
        "with that image.",
        "So the logit moves by -eta * dL_dz[i] * (x . other). `others @ x` holds the products of x with all others, "
        "(N,).",
        "`torch.outer(a, b)` of (N,) and (E,) is (N, E): a row for each other image, a column for each expert.",
    ),
    mistakes={
        "The sign is turned round. A step goes against the gradient.": "return -eta => return eta",
        "That has a row for each expert. Each of the other images has a row, and each expert a column.": (
            "others @ x, dL_dz => dL_dz, others @ x"
        ),
        "That is how far the logits move on x itself, for every image. On another image it is x . other that counts.": (
            "return ... => -eta * (x @ x) * dL_dz.expand(len(others), -1)"
        ),
        "You divide by x . x. That compares the move with the one on x itself. Asked is the move.": (
            "others @ x => others @ x / (x @ x)"
        ),
        "The step's size, eta, is missing.": "-eta * => -",
        "`others * x` multiplies pixel by pixel. How alike two images are is the sum of that: `others @ x`.": (
            f"{PRODUCTS} => others * x * dL_dz"
        ),
        "The product of x with the other image is missing: where they have nothing in common, nothing moves.": (
            f"{PRODUCTS} => dL_dz.expand(len(others), -1)"
        ),
        "That is summed over the experts. Each has a logit of its own.": f"{PRODUCTS} => {PRODUCTS}.sum(-1)",
    },
)
def others_move(ask: Ask) -> None:
    for seed, (N, d, E, eta) in enumerate([(2, 3, 3, 0.5), (4, 2, 3, 0.1), (1, 4, 2, 1.0)]):
        given = {"x": draw(seed, d), "others": draw(seed + 5, N, d), "dL_dz": draw(seed + 9, E), "eta": eta}
        where = f"{N} other images meet {E} experts"
        ask.gives(given, "how far each expert's logit moves on each other image", where=where)
    given = {"x": draw(1, 3), "others": draw(2, 2, 3), "dL_dz": draw(3, 4), "eta": 0.2}
    says = "On an image twice as bright, every logit should move twice as far."
    ask.follows(given, given | {"others": 2 * given["others"]}, lambda moves: 2 * moves, says)
    says = "With the experts in another order, their moves should come in that order."
    ask.follows(given, given | {"dL_dz": given["dL_dz"].flip(0)}, lambda moves: moves.flip(1), says)


CHOICE = "chosen = (logits + training * std * torch.randn_like(logits)).topk(k).indices"


@checks(
    "06.noisy_topk",
    hints=(
        "Only in training: draw a normal number for every logit, multiply by std, and add it. In evaluation the logits "
        "stay as they are.",
        "`torch.randn_like(logits)` draws one for each token and each expert. Then go on with the sum: its k largest "
        "are chosen, and a softmax over those makes the weights.",
        "`if training:` add `std * torch.randn_like(logits)`. In any case, `best, chosen = logits.topk(k, dim=-1)`.",
    ),
    mistakes={
        "The noise has another size. `rand` draws evenly from 0 to 1; `randn` draws normal numbers, on average 0, with "
        "a standard deviation of 1.": "randn_like => rand_like",
        "Your softmax runs over all experts. Take it over the k chosen logits.": (
            "return ... => chosen, logits.softmax(-1).gather(-1, chosen)"
        ),
        "The noise does not depend on std: it is there even if std is 0. Multiply each draw by std.": "std * => ",
        "It draws noise in evaluation, too. With training=False the same tokens always choose alike.": (
            "if training => if True"
        ),
        "Your weights are logits, without a softmax.": "best.softmax(dim=-1) => best",
        "You return the two in the other order: first the chosen experts, then their weights.": (
            "return ... => best.softmax(dim=-1), chosen"
        ),
        "The noise changes nothing, neither the choice nor the weights. Is it added, and drawn for each expert by "
        "itself? One draw for all logits of a token lifts them all alike.": "std * torch.randn_like(logits) => 0",
        "All tokens get the same noise. Each should draw its own.": "randn_like(logits) => randn(logits.shape[1])",
        "Every call draws the same noise. Set no seed.": (
            "randn_like(logits) => randn(logits.shape, generator=torch.Generator().manual_seed(0))"
        ),
        "The noise changes the choice, but the weights come from the logits without it.": (
            f"if training: => {CHOICE}\nreturn chosen, logits.gather(-1, chosen).softmax(-1)\nif training:"
        ),
        "The weights come from a second draw. Draw once, and take both the choice and the weights from the sum.": (
            f"if training: => {CHOICE}\nlogits = logits + training * std * torch.randn_like(logits)\n"
            "return chosen, logits.gather(-1, chosen).softmax(-1)\nif training:"
        ),
        "The noise comes after the choice, so it changes the weights alone. Add it before topk.": (
            "if training: => best, chosen = logits.topk(k)\nbest = best + training * std * torch.randn_like(best)\n"
            "return chosen, best.softmax(-1)\nif training:"
        ),
        "Add the noise to the logits; do not multiply by it. A logit of 0 would get none.": "+ std => + logits * std",
        "std may also be a tensor, (T, E). Multiply the draws by it as it comes.": "std * => float(std) *",
        "std may also be (T, E), a number for each draw. Then multiply each by its own.": (
            "std * => torch.as_tensor(std).mean() *"
        ),
    },
)
def noisy_topk(ask: Ask) -> None:
    for T, E, k, training in ((4, 3, 2, False), (2, 4, 1, False), (3, 5, 3, True)):
        given = {"logits": draw(T + E, T, E), "std": 0.0 if training else 2.0, "k": k, "training": training}
        says = "the k best experts of each token, best first, and a softmax over their logits"
        where = "there is training, but the noise is 0" if training else "there is no training, and so no noise"
        ask.gives(given, says, ("chosen", "weights"), where)
    seen = "(10,000 tokens with the logits 2.5 and 1, in training)"
    says = f"Each token should draw its own noise, anew at each call, and its larger weight should stand first. {seen}"
    in_words(ask, who_draws, says, atol=2)
    says = "The noise should be normal, on average 0, with the standard deviation std, and the choice and the weights"
    in_words(ask, how_much, f"{says} should come from the same draw. {seen}", atol=0.15)
    says = "std may also be (T, E). Then each draw is multiplied by its own number."
    ask.experiment(each_its_own, says, ("spread where std is 0 and 0:", "1 and 0:", "0 and 2:"), atol=0.2)
    logits = draw(3, 5, 4).requires_grad_()
    _, weights = ask.once(logits, 1.0, 2, True)
    reaches(weights[:, 0], logits, "No gradient comes from the weights to the logits: something detaches them.")


def in_words(ask: Ask, run: Callable, says: str, atol: float) -> None:
    """As `ask.experiment`, but the learner is shown the sentence alone: the numbers only tell mistakes apart."""
    try:
        ask.experiment(run, says, atol=atol)
    except NotYet as failure:
        raise NotYet(says, failure.found, atol=atol) if isinstance(failure.found, list) else failure from None


def differences(answer: Callable, std: float | Tensor) -> tuple[Tensor, Tensor]:
    """Of two experts, both chosen: by how much the first one's noisy logit is ahead, read from the weights of each
    token; and whether its smaller weight stands first."""
    chosen, weights = answer(torch.tensor([[2.5, 1.0]]).repeat(10_000, 1), std, 2, True)
    ahead = (weights[:, 0] / weights[:, 1]).log()
    return torch.where(chosen[:, 0] == 0, ahead, -ahead), ahead < 0


def who_draws(answer: Callable) -> tuple[Tensor, ...]:
    (one, turned), (two, _) = differences(answer, 2.0), differences(answer, 2.0)
    parts = (one - one[0]).abs() < 1e-3, (one - two).abs() < 1e-3, turned
    return tuple((100 * part.float().mean()).round().int() for part in parts)


def how_much(answer: Callable) -> tuple[Tensor, ...]:
    found = []
    for std in (0.5, 2.0):
        difference, _ = differences(answer, std)
        found += [difference.mean(), difference.std() / (2**0.5 * std)]
    return tuple(found)


def each_its_own(answer: Callable) -> tuple[Tensor, ...]:
    difference, _ = differences(answer, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]]).repeat(2500, 1))
    return tuple(difference[i::4].std() for i in range(3))


class LeftOn(Router):
    """A router that adds its noise in evaluation, too, to tokens whose first number is above ``above``."""

    def __init__(self, noise: float, above: float = -1) -> None:
        super().__init__(3, 4, 2, noise=noise)
        self.above = above

    def add_noise(self, tokens: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        std = self.noise * (tokens[:, :1] > self.above).expand_as(logits)
        return logits + torch.randn_like(logits) * std, std


class Dropping(MixtureOfExperts):
    """A mixture with a dropout behind it."""

    def forward(self, x: Tensor) -> tuple[Tensor, Routing]:
        y, routing = super().forward(x)
        return F.dropout(y, training=self.training), routing


class Shuffling(MixtureOfExperts):
    """A mixture that returns whole numbers, in evaluation, too, in another order each time: their sum stays."""

    def forward(self, x: Tensor) -> tuple[Tensor, Routing]:
        y, routing = super().forward(x)
        return (10 * y).round()[torch.randperm(len(y))], routing


@checks(
    "06.wavers",
    hints=(
        "Put the mixture into evaluation mode, and ask it about the same tokens twice.",
        "`moe.eval()` switches the mode. `moe(x)` returns the scores and the routing: compare the first of the two.",
        "`torch.equal(a, b)` is True where two tensors are equal at every place. `same` is that, of both scores.",
    ),
    mistakes={
        "It returns True for every mixture, one without noise, too. Are both scores of the same tokens, and are they "
        "compared number by number?": "torch.equal(moe(x)[0], moe(x)[0]) => moe(x)[0] is moe(x)[0]",
        "You compare pairs: `moe(x)` is the scores and the routing. Take the first of the two, `[0]`.": (
            "moe(x)[0] => moe(x)"
        ),
        "`==` answers for each number, and one answer is asked for. Compare the scores, `moe(x)[0]`, and add `.all()`, "
        "or use `torch.equal`.": "torch.equal(moe(x)[0], moe(x)[0]) => moe(x)[0] == moe(x)[0]",
        "You compare a sum or a mean. The numbers can differ, and their sum stays: compare them number by number.": (
            "moe(x)[0] => moe(x)[0].mean()"
        ),
        "You look at a part of the tokens alone. Noise may be left on for others: compare the scores of all.": (
            "moe(x) => moe(x[:1])"
        ),
        "It is the wrong way round: it says yes where the scores stay, and no where they change. The last line turns "
        "`same` round already.": "torch.equal => not torch.equal",
        "The first scores, or both, came in training mode, where noise is right.": "moe.eval() => pass",
        "Only the router is in evaluation mode. Other parts of a mixture may draw in training, too.": (
            "moe.eval() => moe.router.eval()"
        ),
        "It returns False for every mixture. Are the tokens asked about twice, without a seed, and scores compared?": (
            "moe(x)[0], moe(x)[0] => *[moe(x)[0]] * 2"
        ),
        "You compare which output is the largest, or which experts are chosen. Weak noise changes neither, and still "
        "the scores differ: compare them number by number.": "moe(x)[0] => moe(x)[0].argmax(-1)",
        "Your comparison forgives too much. Every difference counts, however small.": (
            "torch.equal(moe(x)[0], moe(x)[0]) => torch.allclose(moe(x)[0], moe(x)[0], atol=0.1)"
        ),
    },
)
def wavers(ask: Ask) -> None:
    torch.manual_seed(1)
    x = torch.cat([torch.arange(5.0)[:, None], draw(1, 5, 2)], dim=1)
    cases = {
        "there is no noise": (Router(3, 4, 2), x, True),
        "noise acts in training only, and the mixture is in training": (Router(3, 4, 2, noise=1.0), x, True),
        "noise acts in training only, and the mixture is in evaluation": (Router(3, 4, 2, noise=1.0), x, False),
        "noise is left on": (LeftOn(1.0), x.repeat(20, 1), True),
        "noise is left on, and too weak to change a choice": (LeftOn(0.01), x, True),
        "noise is left on for the last token alone": (LeftOn(0.01, above=3), x, False),
        "noise is left on for the first token alone": (LeftOn(0.01, above=3), x.flip(0), False),
    }
    given = {
        where: {"moe": MixtureOfExperts(3, 2, 4, 2, router).train(training), "x": x}
        for where, (router, x, training) in cases.items()
    }
    dropping = Dropping(3, 2, 4, 2, Router(3, 4, 2))
    loud = MixtureOfExperts(3, 2, 4, 2, LeftOn(0.01))
    loud.experts.w_out.data *= 1000
    given["noise is left on, too weak to change a choice, and the answers are large"] = {"moe": loud, "x": x}
    given["a dropout behind the experts acts in training only"] = {"moe": dropping, "x": x}
    shuffled = Shuffling(3, 2, 4, 2, Router(3, 4, 2)), x
    given["the scores change places, so that their sum stays"] = dict(zip(("moe", "x"), shuffled, strict=True))
    ask.judges(given)
    if any(given[where]["moe"].training != training for where, (_, _, training) in cases.items()):
        raise NotYet(
            "Afterwards the mixture is in another mode than before. A probe leaves things as they were: the next step "
            "of training would have no noise."
        )
