"""Lesson 01: what a neuron contributes, which neurons to keep, and a small network trained from scratch."""

import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.course.checks.vocabulary import Ask, checks, draw
from moe_tutorial.course.running import NotYet
from moe_tutorial.study import Dataset, Seeds


def contributed(x, w_in, b_in, w_out):
    return (x @ w_in.T + b_in).relu() * w_out.norm(dim=0)


@checks(
    "01.contribution",
    hints=(
        "Two factors for each neuron: how strongly it fires, and how long its column of w_out is.",
        "`(x @ w_in.T + b_in).relu()` has a row for each digit. Neuron j writes through w_out[:, j]: ten numbers, "
        "one norm.",
        "`(x @ w_in.T + b_in).relu() * w_out.norm(dim=0)`.",
    ),
    puzzle={
        "return activation": "A neuron that fires loudly may hardly be listened to: its output weights count as well.",
        "return activation * w_out.norm(dim=1)": (
            "dim=1 measures each class's row. Neuron j writes through the column w_out[:, j]."
        ),
        "return activation * w_out.sum(dim=0)": "In a sum, positive and negative weights cancel.",
    },
)
def contribution(ask: Ask) -> None:
    mistakes = {
        "The norm of the output weights is missing. A neuron that fires loudly may hardly be listened to.": (
            lambda x, w_in, b_in, w_out: (x @ w_in.T + b_in).relu()
        ),
        "The norm goes along the wrong axis: it measures each class's row. Neuron j's weights are the column "
        "w_out[:, j], so dim=0.": lambda x, w_in, b_in, w_out: (x @ w_in.T + b_in).relu() * w_out.norm(dim=1),
        "w_in has a row for each neuron: turn it, w_in.T.": lambda x, w, b, o: x @ w,
        "The bias b_in comes before the relu.": lambda x, w, b, o: ((x @ w.T).relu() + b) * o.norm(dim=0),
        "That is one norm for all. Each neuron has its own: dim=0.": lambda x, w, b, o: (x @ w.T + b).relu() * o.norm(),
        "That is the sum of sizes. A norm squares first.": lambda x, w, b, o: (x @ w.T + b).relu() * o.abs().sum(0),
        "The relu is missing: a neuron that did not fire contributes nothing.": (
            lambda x, w_in, b_in, w_out: (x @ w_in.T + b_in) * w_out.norm(dim=0)
        ),
        "You take the size of what comes before the relu. A neuron that did not fire contributes nothing.": (
            lambda x, w_in, b_in, w_out: (x @ w_in.T + b_in).abs() * w_out.norm(dim=0)
        ),
        "The bias b_in is missing.": lambda x, w_in, b_in, w_out: contributed(x, w_in, 0 * b_in, w_out),
        "The square root of the norm is missing: those are sums of squares.": (
            lambda x, w_in, b_in, w_out: (x @ w_in.T + b_in).relu() * w_out.square().sum(0)
        ),
        "You add up the output weights, so that positive and negative ones cancel. The norm is meant.": (
            lambda x, w_in, b_in, w_out: (x @ w_in.T + b_in).relu() * w_out.sum(0)
        ),
    }
    for N, d, h, C in ((2, 4, 3, 5), (1, 3, 4, 2), (4, 1, 2, 3)):
        given = {
            "x": draw(N + 20, N, d),
            "w_in": draw(h + 10, h, d),
            "b_in": draw(d + 2, h),
            "w_out": draw(C + 6, C, h),
        }
        says = f"how much each of {h} neurons contributes to each of {N} digits"
        ask.gives(given, {"contribution": contributed(*given.values())}, says, mistakes)
    turned = {"w_in": given["w_in"].flip(0), "b_in": given["b_in"].flip(0), "w_out": given["w_out"].flip(1)}
    says = "With the neurons in another order, their contributions should move along."
    ask.follows(given, given | turned, lambda found: found.flip(1), says)


def kept(contribution, n):
    return torch.zeros_like(contribution).scatter(-1, contribution.topk(n, dim=-1).indices, 1.0)


@checks(
    "01.keep_top",
    hints=(
        "First which: `contribution.topk(n, dim=-1).indices` names each digit's n neurons. Then a 1 at each of "
        "these places.",
        "Begin with `torch.zeros_like(contribution)`. `scatter` puts a value at the places that indices name.",
        "`torch.zeros_like(contribution).scatter(-1, indices, 1.0)`.",
    ),
    puzzle={
        "return contribution.scatter(-1, best, 1.0)": (
            "The other neurons keep their contribution here. They should be 0."
        ),
        "return torch.zeros_like(contribution).scatter(0, best, 1.0)": (
            "Dimension 0 counts the digits. The neurons are along the last one."
        ),
        "return torch.ones_like(contribution).scatter(-1, best, 0.0)": "The ones and zeros have changed places.",
    },
)
def keep_top(ask: Ask) -> None:
    mistakes = {
        "Your top-k goes over the batch: for each neuron it looks for digits. Each digit is to choose its own "
        "neurons, so dim=-1.": lambda c, n: torch.zeros_like(c).scatter(0, c.topk(n, dim=0).indices, 1.0),
        "Those are the numbers of the neurons. A 1 or 0 for every neuron is asked for.": (
            lambda c, n: c.topk(n, dim=-1).indices
        ),
        "Those are the n largest contributions. A 1 or 0 for every neuron is asked for.": (
            lambda c, n: c.topk(n, dim=-1).values
        ),
        "You keep the contributions themselves. A 1 for each kept neuron is asked for.": lambda c, n: c * kept(c, n),
        "You keep the n neurons that contribute least.": lambda c, n: kept(-c, n),
        "The ones and zeros have changed places: those are the neurons to drop.": lambda c, n: 1 - kept(c, n),
        "You keep one too few: the n-th largest is kept, too.": lambda c, n: kept(c, n - 1),
        "You keep one too many.": lambda c, n: kept(c, n + 1),
        "argsort names the neurons in order; it does not give each neuron's rank.": (
            lambda c, n: (c.argsort(dim=-1, descending=True) < n).to(c.dtype)
        ),
        "All are 0: scatter() returns a new tensor, and leaves the old one.": lambda c, n: 0 * c,
        "The others keep their contribution. They should be 0.": lambda c, n: torch.where(kept(c, n) > 0, 1.0, c),
        "Each digit gets what any digit keeps, as by [:, best].": lambda c, n: kept(c, n).amax(0).expand_as(c),
        "You look for digits. The indices name neurons, along dim -1.": lambda c, n: c[c.topk(n).indices],
        "All digits keep the neurons of the first. Each chooses its own.": lambda c, n: kept(c[:1], n).expand_as(c),
        "All digits keep the same neurons, the best on average. Each chooses its own.": (
            lambda c, n: kept(c.mean(0, keepdim=True), n).expand_as(c)
        ),
    }
    for N, h, n in ((3, 5, 2), (2, 3, 1), (1, 5, 4), (4, 3, 3)):
        given = {"contribution": draw(N * h, N, h).abs() + torch.arange(h) / 100, "n": n}
        says = f"a 1 for each digit's own {n} neurons that contribute most, a 0 for the others"
        ask.gives(given, {"kept": kept(*given.values())}, says, mistakes)
    given = {"contribution": draw(12, 3, 4), "n": 2}
    moved = given | {"contribution": given["contribution"].flip(0)}
    says = "With the digits in another order, their ones should move along."
    ask.follows(given, moved, lambda found: torch.as_tensor(found).flip(0), says)


def ten_heaps(seed):
    """A Dataset of ten well separated classes of 64 features, as the digits have. Test points have other labels."""
    label = torch.arange(100) % 10
    centres = 6.0 * torch.eye(10).repeat_interleave(6, dim=1)
    x = draw(seed, 100, 64) / 2000 + F.pad(centres, (0, 4))[label]
    rule = torch.zeros_like(label)
    return Dataset(x, label, rule, x + 0.1, (label + 1) % 10, rule)


@checks(
    "01.train_small",
    hints=(
        "`train` wants a function that builds a network. Inside yours, define one, such as build().",
        "The network is the one at the top, but n_neurons wide: `nn.Sequential(nn.Linear(64, n_neurons), nn.ReLU(), "
        "nn.Linear(n_neurons, 10))`.",
        "`return train(build, data, seeds, steps=steps)`, and build() returns that network.",
    ),
    puzzle={
        "first, last = nn.Linear(64, 512), nn.Linear(512, 10)": (
            "That is the large network. The hidden layer is n_neurons wide."
        ),
        "return nn.Sequential(first, last)": "Without an activation, two layers are no more than one.",
    },
)
def train_small(ask: Ask) -> None:
    mistakes = {
        "`train` wants a function, such as build: no network, and no () behind it.": lambda *given: nn.Sequential()(),
        "Your build() returns nothing. Does it end with `return`?": lambda *given: None.to,
        "nn.ReLU is a class. Write nn.ReLU().": lambda *given: nn.Sequential(nn.ReLU),
    }
    for n_neurons, seeds in ((16, [0, 1]), (12, [2])):
        data, steps = ten_heaps(n_neurons), 100
        trained = ask({"data": data, "n_neurons": n_neurons, "seeds": seeds, "steps": steps}, mistakes=mistakes)
        if not isinstance(trained, Seeds):
            raise NotYet(f"It returns a {type(trained).__name__}. Return what `train` returns.")
        if len(trained) != len(seeds):
            raise NotYet(f"It trains {len(trained)} networks for {len(seeds)} seeds. Hand all of `seeds` to train.")
        if len(trained.losses) != steps:
            raise NotYet(f"It trains for {len(trained.losses)} steps; {steps} were asked for.")
        widths = {size for weight in trained.parameters.values() for size in weight.shape[1:]} - {1}
        if widths != {64, n_neurons, 10}:
            raise NotYet(
                f"With {n_neurons} hidden neurons the sizes are 64, {n_neurons} and 10; yours are {sorted(widths)}."
            )
        if additive(trained, data):
            raise NotYet("Your network is linear: the relu between its two layers is missing.")
        if (trained.scores(data.x_train) >= 0).all():
            raise NotYet("No score is below 0: is a relu or a softmax behind the last layer? Leave the scores bare.")
        learned, other = (trained.accuracy(x, y).min() for x, y in (data[:2], data[3:5]))
        if other > 0.5:
            raise NotYet("It learned the test data. Train on x_train and y_train, as `train` does by itself.")
        if learned < 0.4:  # chance is 0.1
            raise NotYet(f"It has not learned: of {len(data.x_train)} training points it gets {learned:.0%} right.")


def additive(trained, data):
    """Whether the scores are an affine function of x, so that no activation is between the layers."""
    x = data.x_train[:8]
    zero = trained.scores(0 * x)
    return torch.allclose(trained.scores(2 * x) - zero, 2 * (trained.scores(x) - zero), atol=1e-4)
