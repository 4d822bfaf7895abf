"""Lesson 01: what a neuron contributes, which neurons to keep, and a small network trained from scratch."""

import torch
import torch.nn.functional as F

from moe_tutorial.course.running import NotYet
from moe_tutorial.course.vocabulary import Ask, checks, draw, kind
from moe_tutorial.study import Dataset, Seeds


@checks(
    "01.contribution",
    hints=(
        "Two factors for each neuron: how strongly it fires, and how long its column of w_out is.",
        "`(x @ w_in.T + b_in).relu()` has a row for each image. Neuron j writes through w_out[:, j]: ten numbers, "
        "one norm.",
        "`(x @ w_in.T + b_in).relu() * w_out.norm(dim=0)`.",
    ),
    mistakes={
        "The norm of the output weights is missing. A neuron that fires loudly may hardly be listened to.": (
            "return ... => activation"
        ),
        "The norm goes along the wrong axis: it measures each class's row. Neuron j's weights are the column "
        "w_out[:, j], so dim=0.": "dim=0 => dim=1",
        "You add up the output weights, so that positive and negative ones cancel. The norm is meant.": (
            "norm(dim=0) => sum(dim=0)"
        ),
        "w_in has a row for each neuron: turn it, w_in.T.": "w_in.T => w_in",
        "The bias b_in comes before the relu.": "(x @ w_in.T + b_in).relu() => (x @ w_in.T).relu() + b_in",
        "That is one norm for all. Each neuron has its own: dim=0.": "norm(dim=0) => norm()",
        "The relu is missing: a neuron that did not fire contributes nothing.": ".relu() => ",
        "You take the size of what comes before the relu. A neuron that did not fire contributes nothing.": (
            "relu => abs"
        ),
        "The bias b_in is missing.": " + b_in => ",
        "The square root of the norm is missing: those are sums of squares.": "norm(dim=0) => square().sum(dim=0)",
    },
)
def contribution(ask: Ask) -> None:
    for N, d, h, C in ((2, 4, 3, 5), (1, 3, 4, 2), (4, 1, 2, 3)):
        given = {
            "x": draw(N + 20, N, d),
            "w_in": draw(h + 10, h, d),
            "b_in": draw(d + 2, h),
            "w_out": draw(C + 6, C, h),
        }
        ask.gives(given, f"how much each of {h} neurons contributes to each of {N} images")
    turned = {"w_in": given["w_in"].flip(0), "b_in": given["b_in"].flip(0), "w_out": given["w_out"].flip(1)}
    says = "With the neurons in another order, their contributions should move along."
    ask.follows(given, given | turned, lambda found: found.flip(1), says)


@checks(
    "01.keep_top",
    hints=(
        "First which: `contribution.topk(n, dim=-1).indices` names each image's n neurons. Then a 1 at each of "
        "these places.",
        "Begin with `torch.zeros_like(contribution)`. `scatter` puts a value at the places that indices name.",
        "`torch.zeros_like(contribution).scatter(-1, indices, 1.0)`.",
    ),
    mistakes={
        "The others keep their contribution. They should be 0.": "torch.zeros_like(contribution) => contribution",
        "You look for images: dimension 0 counts them. The indices name neurons, along dim -1.": (
            "scatter(-1 => scatter(0"
        ),
        "The ones and zeros have changed places: those are the neurons to drop.": (
            "return ... => torch.ones_like(contribution).scatter(-1, best, 0.0)"
        ),
        "You look for images: one tensor of indices, as in kept[best], names rows.": "return ... => contribution[best]",
        "Your top-k goes over the batch: for each neuron it looks for images. Each image is to choose its own "
        "neurons, so dim=-1.": (
            "return ... => torch.zeros_like(contribution).scatter(0, contribution.topk(n, dim=0).indices, 1.0)"
        ),
        "Those are the numbers of the neurons. A 1 or 0 for every neuron is asked for.": "return ... => best",
        "Those are the n largest contributions. A 1 or 0 for every neuron is asked for.": (
            "return ... => contribution.topk(n).values"
        ),
        "You keep the contributions themselves. A 1 for each kept neuron is asked for.": (
            "return torch => return contribution * torch"
        ),
        "scatter takes the first numbers of `contribution`, not those of the kept neurons. Give it 1.0.": (
            "best, 1.0 => best, contribution"
        ),
        "A 1 or 0 is asked for: .float() turns True and False into them.": "1.0) => 1.0).bool()",
        "You keep the n neurons that contribute least.": "topk(n, dim=-1) => topk(n, largest=False)",
        "You keep one too few: the n-th largest is kept, too.": "topk(n, => topk(n - 1,",
        "You keep one too many.": "topk(n, => topk(n + 1,",
        "argsort names the neurons in order; it does not give each neuron's rank.": (
            "return ... => (contribution.argsort(descending=True) < n).float()"
        ),
        "All are 0: scatter() returns a new tensor, and leaves the old one.": "return ... => 0 * contribution",
        "All images keep the same neurons, the best on average. Each chooses its own.": (
            "contribution.topk(n, dim=-1).indices => contribution.mean(0).topk(n).indices.expand(len(contribution), -1)"
        ),
        "Where several neurons contribute the same, you keep more than n, as `>=` does. Many contribute 0.": (
            "return ... => (contribution >= contribution.topk(n).values[:, -1:]).float()"
        ),
    },
)
def keep_top(ask: Ask) -> None:
    for N, h, n in ((3, 5, 2), (2, 3, 1), (1, 5, 4), (4, 3, 3)):
        given = {"contribution": draw(N * h, N, h).abs() + torch.arange(h) / 100, "n": n}
        ask.gives(given, f"a 1 for each image's own {n} neurons that contribute most, a 0 for the others")
    given = {"contribution": draw(12, 3, 4), "n": 2}
    moved = given | {"contribution": given["contribution"].flip(0)}
    says = "With the images in another order, their ones should move along."
    ask.follows(given, moved, lambda found: torch.as_tensor(found).flip(0), says)
    tied = torch.tensor([[0.0, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.4, 0.2, 0.2, 0.1]])

    def kept(answer):
        found = torch.as_tensor(answer(tied, 2))
        return found.sum(-1), (found * tied).sum(-1)

    says = "Where several neurons contribute the same, as 0, each image should keep n of them, here 2."
    ask.experiment(kept, says, ("neurons kept", "their contributions"))


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
        "`train` wants a function that makes a network: `def build():`, inside yours, without arguments.",
        "It returns the network at the top, but `width` wide: its layers are 64 -> width and width -> 10.",
        "`return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))`.",
    ),
    mistakes={
        "That is the large network. The hidden layer is `width` wide.": "width => 512",
        "The relu is missing. Without an activation, two layers are no more than one.": "nn.ReLU(),  => ",
        "`train` wants a function, such as build: no network, and no () behind it.": (
            "nn.Linear(width, 10)) => nn.Linear(width, 10))\n\nbuild = build()"
        ),
        "Each seed gets the same network: build() must make a new one each time it is called.": (
            "nn.Linear(width, 10)) => nn.Linear(width, 10))\n\none = build()\nbuild = lambda: one"
        ),
        "Your build() returns nothing. Does it end with `return`?": "return nn.Sequential => nn.Sequential",
        "nn.ReLU is a class. Write nn.ReLU().": "nn.ReLU() => nn.ReLU",
    },
)
def train_small(ask: Ask) -> None:
    for width, seeds, steps in ((16, [0, 1], 5), (12, [2], 100)):  # the first shows nearly all mistakes at once
        data = ten_heaps(width)
        trained = ask({"data": data, "width": width, "seeds": seeds, "steps": steps})
        if not isinstance(trained, Seeds):
            raise NotYet(f"It returns {kind(trained)}. Return what `train` returns.")
        if len(trained) != len(seeds):
            raise NotYet(
                f"It trains one network for {len(trained)} of {len(seeds)} seeds. Hand all of `seeds` to train."
            )
        if len(trained.losses) != steps:
            raise NotYet(f"It trains for {len(trained.losses)} steps; {steps} were asked for.")
        layers = [weight.shape[:0:-1] for weight in trained.parameters.values() if weight.dim() == 3]
        if sorted(map(sorted, layers)) != [[10, width], [width, 64]]:
            yours = ", ".join(f"{d} -> {d_out}" for d, d_out in layers)
            raise NotYet(f"The layers should be 64 -> {width}, {width} -> 10; yours are {yours}.")
        if additive(trained, data):
            raise NotYet("Your network is linear: there is no relu between its two layers.")
        if (trained.scores(data.x_train) >= 0).all():
            raise NotYet("No score is below 0: is a relu or a softmax behind the last layer? Leave the scores bare.")
        learned, other = (trained.accuracy(x, y).min() for x, y in (data[:2], data[3:5]))
        if other > 0.5:
            raise NotYet("It learned the test data. Train on x_train and y_train, as `train` does by itself.")
        if steps == 100 and learned < 0.4:  # chance is 0.1
            raise NotYet(f"It has not learned: {100 * learned:.0f} % of {len(data.x_train)} training points are right.")


def additive(trained, data):
    """Whether the scores are an affine function of x >= 0, so that no activation is between the layers.

    A sum shows it also where there are no biases: a network with a relu doubles its scores for 2 x then.
    """
    one, other = data.x_train[:8].abs(), data.x_train[1:9].abs()
    zero = trained.scores(0 * one)
    return torch.allclose(trained.scores(one + other) + zero, trained.scores(one) + trained.scores(other), atol=1e-4)
