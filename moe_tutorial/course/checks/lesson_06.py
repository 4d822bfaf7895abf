"""Lesson 06: what a step does to other inputs, noisy top-k, its load estimate, and a probe for noise left on."""

from functools import partial

import torch

from moe_tutorial.course.checks.vocabulary import Ask, checks, draw, reaches, same, verdicts
from moe_tutorial.course.running import NotYet
from moe_tutorial.layers import MixtureOfExperts, Router


def moved(x, others, dL_dz, eta):
    return -eta * torch.outer(others @ x, dL_dz)


@checks(
    "06.others_move",
    hints=(
        "Row i of the router's matrix moves by `-eta * dL_dz[i] * x`. A logit of another image is this row's product "
        "with that image.",
        "So the logit moves by -eta * dL_dz[i] * (x . other). `others @ x` holds the products of x with all others, "
        "(N,).",
        "`torch.outer(a, b)` of (N,) and (E,) is (N, E): a row for each other image, a column for each expert.",
    ),
    puzzle={
        "return eta * torch.outer(others @ x, dL_dz)": "A step goes against the gradient.",
        "return -eta * torch.outer(dL_dz, others @ x)": "That has a row for each expert. Each image has a row.",
        "return -eta * (x @ x) * dL_dz.expand(len(others), -1)": (
            "That is how far they move on x itself. How alike are x and the other image?"
        ),
    },
)
def others_move(ask: Ask) -> None:
    mistakes = {
        "The sign is turned round. A step goes against the gradient.": lambda x, others, dL_dz, eta: (
            -moved(x, others, dL_dz, eta)
        ),
        "The step's size, eta, is missing.": lambda x, others, dL_dz, eta: moved(x, others, dL_dz, 1.0),
        "A step goes against the gradient, and eta long: both the sign and the size are missing.": (
            lambda x, others, dL_dz, eta: moved(x, others, dL_dz, -1.0)
        ),
        "`others * x` multiplies pixel by pixel. How alike two images are is the sum of that: `others @ x`.": (
            lambda x, others, dL_dz, eta: -eta * others * x * dL_dz
        ),
        "That has a row for each expert. Each of the other images has a row, and each expert a column.": (
            lambda *given: moved(*given).T
        ),
        "That is how far the logits move on x itself, for every image. On another image it is x . other that counts.": (
            lambda x, others, dL_dz, eta: moved(x, x.expand_as(others), dL_dz, eta)
        ),
        "The product of x with the other image is missing: where they have nothing in common, nothing moves.": (
            lambda x, others, dL_dz, eta: -eta * dL_dz.expand(len(others), -1)
        ),
        "That is summed over the experts. Each has a logit of its own.": lambda *given: moved(*given).sum(-1),
    }
    for seed, (N, d, E, eta) in enumerate([(2, 3, 3, 0.5), (4, 2, 3, 0.1), (1, 4, 2, 1.0)]):
        given = {"x": draw(seed, d), "others": draw(seed + 5, N, d), "dL_dz": draw(seed + 9, E), "eta": eta}
        says = "how far each expert's logit moves on each other image"
        ask.gives(given, {"moves": moved(**given)}, says, mistakes, f"{N} other images meet {E} experts")
    given = {"x": draw(1, 3), "others": draw(2, 2, 3), "dL_dz": draw(3, 4), "eta": 0.2}
    says = "On an image twice as bright, every logit should move twice as far."
    ask.follows(given, given | {"others": 2 * given["others"]}, lambda moves: 2 * moves, says)
    says = "With the experts in another order, their moves should come in that order."
    ask.follows(given, given | {"dL_dz": given["dL_dz"].flip(0)}, lambda moves: moves.flip(1), says)


def top(logits, k):
    best, chosen = logits.topk(k)
    return chosen, best.softmax(-1)


@checks(
    "06.noisy_topk",
    hints=(
        "Only in training: draw a normal number for every logit, multiply by std, and add it. In evaluation the logits "
        "stay as they are.",
        "`torch.randn_like(logits)` draws one for each token and each expert. Then go on with the sum: its k largest "
        "are chosen, and a softmax over those makes the weights.",
        "`if training:` add `std * torch.randn_like(logits)`. In any case, `best, chosen = logits.topk(k, dim=-1)`.",
    ),
    puzzle={
        "logits = logits + std * torch.rand_like(logits)": "rand draws from 0 to 1, so it never takes anything away.",
        "return chosen, logits.softmax(dim=-1)": "The weights are a softmax over the chosen alone.",
    },
)
def noisy_topk(ask: Ask) -> None:
    quiet = {"logits": draw(0, 4, 3), "std": 2.0, "k": 2, "training": False}
    if not same(ask.once(quiet), ask.once(quiet)):
        raise NotYet("It draws noise in evaluation, too. With training=False the same tokens always choose alike.")
    mistakes = {
        "Your softmax runs over all experts. Take it over the k chosen logits.": lambda logits, std, k, training: (
            top(logits, k)[0],
            logits.softmax(-1).topk(k).values,
        ),
        "Your weights are logits, without a softmax.": lambda logits, std, k, training: (
            top(logits, k)[0],
            logits.topk(k).values,
        ),
        "You return the two in the other order: first the chosen experts, then their weights.": (
            lambda logits, std, k, training: top(logits, k)[::-1]
        ),
        "std is added even without a draw. In evaluation the logits stay as they are.": (
            lambda logits, std, k, training: top(logits + std * (torch.arange(logits.shape[-1]) == 0), k)
        ),
    }
    for T, E, k, training in ((4, 3, 2, False), (2, 4, 1, False), (3, 5, 3, True)):
        given = {"logits": draw(T + E, T, E), "std": 0.0 if training else 2.0, "k": k, "training": training}
        chosen, weights = top(given["logits"], k)
        says = "the k best experts of each token, best first, and a softmax over their logits"
        where = "there is training, but the noise is 0" if training else "there is no training, and so no noise"
        ask.gives(given, {"chosen": chosen, "weights": weights}, says, mistakes, where)
    order = torch.tensor([2, 0, 1])
    ask.follows(
        quiet,
        quiet | {"logits": quiet["logits"][:, order]},
        lambda found: (order.argsort()[found[0]], found[1]),
        "With the experts in another order, the same ones should be chosen, under their new numbers.",
    )
    noise_is_right(ask)
    logits = draw(3, 5, 4).requires_grad_()
    _, weights = ask.once({"logits": logits, "std": 1.0, "k": 2, "training": True})
    reaches(weights[:, 0], logits, "No gradient comes from the weights to the logits: something detaches them.")


def noise_is_right(ask: Ask) -> None:
    """Examine the noise itself: two experts, both chosen, so that the weights tell both noisy logits' difference."""
    T, gap = 4000, 1.0
    logits = torch.tensor([[gap, 0.0]]).repeat(T, 1)
    seen = " (4,000 tokens with the logits 1 and 0, in training)"

    def differences(std):
        given = {"logits": logits.clone(), "std": std, "k": 2, "training": True}
        chosen, weights = ask.once(given)
        if not torch.equal(given["logits"], logits):
            raise NotYet("It changes the logits that it is given. Make a new tensor instead.")
        size = (weights[:, 0] / weights[:, 1]).log()
        return torch.where(chosen[:, 0] == 0, size, -size), chosen

    found, chosen = differences(0.5)
    if found.std() < 1e-3:
        if (chosen != chosen[0]).any():
            raise NotYet(f"The noise changes the choice, but the weights come from the logits without it.{seen}")
        if abs(found.mean() - gap) < 1e-3:
            raise NotYet(f"Noise of 0.5 never changes who is first. Is it drawn for each expert by itself?{seen}")
        raise NotYet(f"All tokens get the same noise. Each should draw its own.{seen}")
    zeros = {"logits": torch.zeros(T, 2), "std": 1.0, "k": 2, "training": True}
    if ask.once(zeros)[1].std() < 1e-3:
        raise NotYet("Where the logits are 0, it draws no noise. Add the noise to the logits; do not multiply by it.")
    one, two = found.std() / 2**0.5, differences(2.0)[0].std() / 2**0.5
    if not abs(two / one - 4) <= 0.4:  # also where it is not a number
        says = "does not depend on std" if two / one < 1.3 else "does not grow in proportion to std"
        raise NotYet(f"The noise {says}. Multiply each draw by std.{seen}")
    if abs(found.mean() - gap) > 0.1:
        raise NotYet(f"The noise favours one expert: it should be 0 on average.{seen}")
    if abs(one / 0.5 - 1) > 0.1:
        says = f"expected a standard deviation of 0.5\ngot      {one:.2f}"
        raise NotYet(f"The noise has another size. torch.randn draws with a standard deviation of 1.{seen}\n{says}")
    each = torch.tensor([[0.0, 0.0], [2.0, 2.0]]).repeat(T // 2, 1)
    found, _ = differences(each)
    if found[::2].std() > 1e-3 or abs(found[1::2].std() / 8**0.5 - 1) > 0.1:
        raise NotYet("std may also be (T, E), a number for each draw. Then multiply each by its own.")


def flips(gap, std):
    return torch.special.ndtr(-gap / (2**0.5 * std))


@checks(
    "06.flip_probability",
    hints=(
        "The second expert wins where its noise is larger than the first one's by more than the gap. What is the "
        "standard deviation of the difference of two such draws?",
        "Variances add up: the difference has the standard deviation √2 · std. `torch.special.ndtr(z)` is how likely a "
        "normal number of standard deviation 1 lies below z.",
        "A difference that lies below -gap turns the order. Measure gap in standard deviations of the difference.",
    ),
    puzzle={
        "return torch.special.ndtr(-gap / std)": "There are two draws, one on each logit.",
        "return torch.special.ndtr(gap / (2**0.5 * std))": "That is how often the first one stays first.",
        "return torch.special.ndtr(-gap / (2 * std))": "Variances add up, not standard deviations.",
    },
)
def flip_probability(ask: Ask) -> None:
    given = {"gap": torch.tensor([0.5, 1.0]), "std": 1.0}
    if not same(ask.once(given), ask.once(given)):
        raise NotYet("It draws numbers. The exact probability is wanted, and `torch.special.ndtr` gives it.")
    mistakes = {
        "That is how often the first expert stays first. A wide gap should make a flip rare.": (
            lambda gap, std: flips(-gap, std)
        ),
        "Both logits get noise. The difference of two draws is wider than one: its variance is twice as large.": (
            lambda gap, std: flips(gap, std / 2**0.5)
        ),
        "Variances add up, standard deviations do not: that of the difference is √2 · std.": (
            lambda gap, std: flips(gap, std * 2**0.5)
        ),
        "You multiply by std. A large noise should make the gap count less.": lambda gap, std: flips(2 * gap, 1 / std),
        "That is twice too much: the second expert overtakes on one side.": lambda gap, std: 2 * flips(gap, std),
        "You divide by the variance, not the standard deviation.": lambda gap, std: flips(gap, 2**0.5 * std**2),
        "√2 · std is wanted, and not the root of 2 · std.": lambda gap, std: flips(gap, std**0.5),
    }
    for gaps, std in (([1.0, 2.0], 3.0), ([0.0, 0.5, 3.0], 1.0), ([0.2, 0.1, 0.4, 0.7], 0.3)):
        given = {"gap": torch.tensor(gaps), "std": std}
        says = "how likely the second expert overtakes the first, for each gap"
        ask.gives(given, {"probability": flips(**given)}, says, mistakes)
    says = "Gap and noise three times as large should give the same probability: only their ratio counts."
    ask.follows(given, {"gap": 3 * given["gap"], "std": 3 * given["std"]}, lambda found: found, says)


def right_threshold(noisy, k, chosen=torch.ge):
    best = noisy.topk(k + 1).values
    return torch.where(chosen(noisy, best[:, [k - 1]]), best[:, [k]], best[:, [k - 1]])


def expected(logits, noisy, std, k, to_beat=right_threshold):
    return torch.special.ndtr((logits - to_beat(noisy, k)) / std).sum(0)


def number(place):
    """The threshold of a mistake: for every expert the noisy logit number k + ``place``."""
    return lambda noisy, k: noisy.topk(k + 1).values[:, [k + place - 1]]


@checks(
    "06.expected_load",
    hints=(
        "Expert i has to beat the k-th best of the OTHERS. If i is among the k best, that is number k + 1 of all; "
        "otherwise it is number k.",
        "`best = noisy.topk(k + 1, dim=-1).values` holds both: `best[:, k - 1 : k]` is number k, `best[:, k:]` number "
        "k + 1. `torch.where(noisy >= best[:, k - 1 : k], ...)` picks between them for each expert.",
        "What is drawn again is the expert's own noise, so start from its clean logit: "
        "`torch.special.ndtr((logits - to_beat) / std).sum(0)`.",
    ),
    puzzle={
        "to_beat = best[:, k - 1 : k]": "The k-th best itself would have to beat its own logit.",
        "return torch.special.ndtr((noisy - to_beat) / std).sum(0)": "Its own noise is drawn again: start without it.",
    },
)
def expected_load(ask: Ask) -> None:
    mistakes = {
        "In your answer everybody has to beat the k-th best of all. One of the best would have to beat itself: for it, "
        "take number k + 1.": lambda *given: expected(*given, number(0)),
        "In your answer everybody has to beat number k + 1. An expert that is not among the best has to beat k.": (
            lambda *given: expected(*given, number(1))
        ),
        "The k-th best is chosen, too, and would have to beat itself: `>=`, not `>`.": lambda *given: expected(
            *given, partial(right_threshold, chosen=torch.gt)
        ),
        "The others keep their noise: take what it has to beat from `noisy`.": lambda logits, noisy, std, k: expected(
            logits, logits, std, k
        ),
        "Its own noise is drawn again, so start from the clean logit, not from the noisy one.": (
            lambda logits, noisy, std, k: expected(noisy, noisy, std, k)
        ),
        "That is a mean. A load is a sum over the tokens.": lambda logits, noisy, std, k: (
            expected(logits, noisy, std, k) / len(logits)
        ),
        "Measure the distance in standard deviations: divide by std.": lambda logits, noisy, std, k: expected(
            logits, noisy, 1.0, k
        ),
    }
    for seed, (T, E, k) in enumerate([(2, 5, 2), (3, 4, 1), (4, 3, 2)]):
        logits = draw(seed, T, E)
        given = {"logits": logits, "noisy": logits + draw(seed + 3, T, E) / 2, "std": 0.7 + draw(5, T, E) ** 2, "k": k}
        says = "for each expert, the sum over the tokens of how likely it is chosen"
        ask.gives(given, {"load": expected(**given)}, says, mistakes, f"a token chooses {k} of {E} experts")
    shifted = given | {"logits": given["logits"] + 3, "noisy": given["noisy"] + 3}
    says = "Three more on every logit should change nothing: only differences choose."
    ask.follows(given, shifted, lambda load: load, says)
    turned = {name: value.flip(1) if name != "k" else value for name, value in given.items()}
    ask.follows(given, turned, lambda load: load.flip(0), "With the experts in another order, the loads should follow.")


class AlwaysNoisy(Router):
    """A router that adds its noise in evaluation, too, to the logits of the tokens from ``first`` on."""

    first = 0

    def add_noise(self, tokens, logits):
        std = torch.zeros_like(logits)
        std[self.first :] = self.noise
        return logits + torch.randn_like(logits) * std, std


class NoisyAtTheEnd(AlwaysNoisy):
    first = -1


MIXTURES = {
    "there is no noise": (lambda: Router(3, 4, 2), True, False),
    "noise acts in training only, and the mixture is in training": (lambda: Router(3, 4, 2, noise=1.0), True, False),
    "noise acts in training only, and the mixture is in evaluation": (lambda: Router(3, 4, 2, noise=1.0), False, False),
    "noise is left on": (lambda: AlwaysNoisy(3, 4, 2, noise=1.0), True, True),
    "noise is left on, and too weak to change a choice": (lambda: AlwaysNoisy(3, 4, 2, noise=0.01), True, True),
    "noise is left on for the last token alone": (lambda: NoisyAtTheEnd(3, 4, 2, noise=1.0), False, True),
}


@checks(
    "06.wavers",
    hints=(
        "Put the mixture into evaluation mode, and ask it about the same tokens twice.",
        "`moe.eval()` switches the mode. `moe(x)` returns the answer and the routing: compare the first of the two.",
        "`torch.equal(a, b)` is True where two tensors are equal at every place. `same` is that, of two answers.",
    ),
    puzzle={
        "same = torch.equal(moe(x)[0], moe(x[:1])[0])": "Those are other tokens.",
        "same = moe(x)[0] is moe(x)[0]": "That asks whether both are one thing in memory. They never are.",
        "same = not torch.equal(moe(x)[0], moe(x)[0])": "The last line turns it round already.",
    },
)
def wavers(ask: Ask) -> None:
    cases = {}
    for name, (router, training, right) in MIXTURES.items():
        torch.manual_seed(1)
        moe = MixtureOfExperts(3, 2, 4, 2, router()).double().train(training)
        cases[name] = ({"moe": moe, "x": draw(1, 5, 3).double()}, right)
    found = verdicts(ask, cases)
    for name, (given, _) in cases.items():
        if given["moe"].training != MIXTURES[name][1]:
            raise NotYet(
                "Afterwards the mixture is in another mode than before. A probe leaves things as they were: the next "
                "step of training would have no noise."
            )
    right = {name: right for name, (_, right) in cases.items()}
    if all(found[name] != right[name] for name in found):
        raise NotYet("It is the wrong way round: it says yes where the answers stay, and no where they change.")
    if all(found.values()):
        raise NotYet("It says yes of every mixture, of one without noise, too.")
    if not any(found.values()):
        raise NotYet("It says no of every mixture. Are the tokens asked about twice, and the two answers compared?")
    for name in found:
        if found[name] != right[name]:
            train = "One of the answers, or both, came in training mode, where noise is right. "
            whole = "Compare the whole answers, number by number, of all tokens. "
            why = train if "in training only" in name else whole if right[name] else ""
            raise NotYet(f"{why}It says {found[name]} where {name}. Right is {right[name]}.")
    given, _ = cases["noise is left on"]
    if not ask(given | {"x": given["x"].flip(0)}):
        raise NotYet("With the tokens in another order, the verdict should be the same.")
