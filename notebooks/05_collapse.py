# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Collapse
#
# 35 minutes. You leave able to measure who works, and to say why it is so and what it costs.
#
# Eight experts start alike. Nobody is told to share, and nobody is told not to. The router is free to use all of them,
# and using more of them should make the network better. So it will, won't it?

# %% tags=["setup"]
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.course import guess, quiz, reveal
from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.show import (
    explorable,
    interval_chart,
    look,
    playground,
    scatter,
    seed_strip,
    watch_usage,
)
from moe_tutorial.study import (
    above,
    claim,
    cv2,
    dead,
    digits,
    digits4,
    entropy,
    in_every_seed,
    max_share,
    seeds,
    share,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread
E = 8

# %% [markdown]
# ## Sixty mixtures
#
# The data are handwritten digits as they come, pixels between 0 and 1. Eight experts of 16 neurons, one picked for each
# image, 300 steps. Sixty starts are trained as one batched model, so this takes seconds. An expert counts as **dead** when
# it gets less than one choice in a hundred.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.sixty",
    "We train the same small mixture from sixty random starts, without noise and "
    "without any penalty. In how many of the sixty do at least five of the eight "
    "experts end up without work?",
    slider=(0, 60, 1, "of 60"),
)

# %% tags=["measure", "05.sixty"]
raw = digits("raw")
STEPS, EVERY = 300, 10


def mixture(width=16):
    return MixtureOfExperts(64, width, E, 1, d_out=10)


def run(data, n_seeds, build=mixture, steps=STEPS, freeze=(), penalty=None):
    """Shares by step, (snapshots, n_seeds, E), and each seed's test accuracy."""
    history = []

    def look(step, trained):
        if step % EVERY == 0:
            history.append(share(trained.routing(data.x_test).indices, E))

    trained = train(
        build,
        data,
        seeds(n_seeds),
        steps=steps,
        penalty=penalty,
        freeze=freeze,
        on_step=look,
    )
    return torch.stack(history), trained.accuracy(data.x_test, data.y_test)


history, accuracy = run(raw, 60)
start, end = history[0], history[-1]
collapsed = int((dead(end) >= 5).sum())
print("seeds in which at least five experts die:", collapsed, "of 60")

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal("05.sixty", collapsed)

# %% tags=["draw", "nbval-ignore-output", "05.sixty"]
seed_strip(
    {"before training": start, f"after {STEPS} steps": end},
    title=f"After training {dead(end).float().mean():.1f} of 8 experts are dead; "
    f"before it, {dead(start).float().mean():.1f}",
    note=(
        "One column is one seed: how the test images divide among the experts. "
        "Number and colour: the expert."
    ),
)

# %% tags=["measure", "05.sixty"]
claim(
    "05.1",
    "Without noise and without a penalty, at least five of eight experts are dead "
    "after 300 steps on raw digits, in every seed",
    quantity="dead experts",
    unit="of 8",
    measured=dead(end),
    holds=in_every_seed(above(4.5)),
    control=dead(start),
    control_is="the same routers before training",
)

# %% [markdown]
# Nobody asked for this. The loss only asked for better answers.
#
# ## Watch it happen
#
# This is one of the sixty: the first in which the expert that is ahead at the start does not win. Press play, or pull
# the slider, and watch the race.

# %% tags=["draw", "nbval-ignore-output"]
overtaken = int((start.argmax(-1) != end.argmax(-1)).nonzero()[0])
watch_usage(
    history[:, overtaken],
    steps=list(range(0, STEPS + 1, EVERY)),
    title="One of the sixty: raw digits, no noise, no penalty",
)

# %% [markdown]
# ## Who works?
#
# To say how bad this is, and why, we need words for it. Everything starts from the **share**: which part of all choices went
# to each expert. Ten tokens chose these experts, one each:

# %%
chosen = torch.tensor([[2], [0], [2], [2], [3], [2], [2], [0], [2], [2]])


def my_share(indices, n_experts):
    """indices (T, k) -> the part of the choices that each expert got, (n_experts,)."""
    counts = torch.bincount(indices.flatten(), minlength=n_experts)
    return counts / indices.numel()


print("shares", [round(float(part), 2) for part in my_share(chosen, 4)])
print("same as the package's:", torch.equal(my_share(chosen, 4), share(chosen, 4)))

# %% [markdown]
# Four numbers are easy to read. Sixty times eight are not, so we boil a set of shares down to one number. There are
# four numbers in common use, and each notices something different.
#
# - The **largest share**: $\max_i s_i$. Even use gives $1/E$, one expert for everything gives 1.
# - **Dead experts**: how many get less than one choice in a hundred.
# - The **entropy** $-\sum_i s_i \log s_i$, divided by $\log E$: 1 is even, 0 is one for all.
# - The **squared coefficient of variation**, variance over squared mean: 0 is even, $E - 1$ is one for all. Shazeer et
#   al. 2017 build their balance losses on it (lesson 07).


# %%
def my_entropy(shares):
    """Entropy over its largest value, (n_experts,) -> a number from 0 to 1."""
    used = shares[shares > 0]  # an unused expert adds nothing
    return float((used * (1 / used).log()).sum() / math.log(len(shares)))


def my_cv2(shares):
    """Variance over squared mean, (n_experts,) -> a number from 0 to E - 1."""
    return float(((shares - shares.mean()) ** 2).mean() / shares.mean() ** 2)


# %% tags=["measure"]
situations = {
    "even": torch.tensor([0.25, 0.25, 0.25, 0.25]),
    "uneven": torch.tensor([0.55, 0.15, 0.15, 0.15]),
    "two alive": torch.tensor([0.50, 0.50, 0.00, 0.00]),
    "collapsed": torch.tensor([1.00, 0.00, 0.00, 0.00]),
}
print(f"{'':10}{'largest':>9}{'dead':>6}{'entropy':>9}{'cv2':>6}")
for name, shares in situations.items():
    print(
        f"{name:10}{shares.max():9.2f}{(shares < 0.01).sum():6d}"
        f"{my_entropy(shares):9.2f}{my_cv2(shares):6.2f}"
    )
    assert math.isclose(my_entropy(shares), entropy(shares), abs_tol=1e-6)
    assert math.isclose(my_cv2(shares), cv2(shares), abs_tol=1e-6)

# %% [markdown]
# Read the two middle rows. The largest share finds *uneven* worse than *two alive*; the other three say the opposite. Half
# of the experts are gone in *two alive*, and the largest share cannot see it. So look at two numbers, not at one.

# %% [markdown]
# ## Why, part one: do the rich get richer?
#
# The usual story goes like this. A picked expert trains, and one that is not picked does not. A trained expert answers
# better; an expert that helps is picked more (lesson 04); and so it trains more. Is this loop the cause?
#
# Cut it, in three places. Freeze the router. Or freeze the experts, so that nobody gets better. Or let *everybody* learn
# from every image, each expert from the cross-entropy of its *own* answer, picked or not. Then being picked teaches
# nobody anything, and if the story is right, the collapse must end.


# %% tags=["measure"]
class Choice(NamedTuple):
    """What a mixture in which everyone learns hands out beside its scores."""

    indices: torch.Tensor  # (T, 1)
    own_loss: torch.Tensor  # cross-entropy of every expert's own answer, summed


class EveryoneLearns(nn.Module):
    """A mixture in which every expert learns from every image, and from nothing else.

    x (T, 64 + 10): the image, and beside it the label, as ten numbers of which one is 1.
    """

    def __init__(self):
        super().__init__()
        self.moe = mixture()

    def forward(self, x):
        image, label = x[:, :64], x[:, 64:]
        routing = self.moe.router(image)
        answers = self.moe.experts(image)  # (T, E, 10)
        own = -(answers.log_softmax(-1) * label[:, None]).sum(-1)  # (T, E)
        weights = torch.zeros_like(routing.probs)
        weights = weights.scatter(-1, routing.indices, routing.weights)
        # The mixture's loss teaches the router alone: it does not reach the experts.
        scores = (answers.detach() * weights[..., None]).sum(1)
        return scores, Choice(routing.indices, own.mean(0).sum())


def beside(x, y):
    """Each image with its label beside it: (N, 64 + 10)."""
    return torch.cat([x, F.one_hot(y, 10)], -1)


labelled = raw._replace(
    x_train=beside(raw.x_train, raw.y_train), x_test=beside(raw.x_test, raw.y_test)
)
EXPERTS = ["experts.w_in", "experts.b_in", "experts.w_out", "experts.b_out"]
cut = {
    "router frozen": run(raw, 20, freeze=["router.weight"])[0],
    "experts frozen": run(raw, 20, freeze=EXPERTS)[0],
    "everyone learns": run(
        labelled, 20, EveryoneLearns, penalty=lambda choice: choice.own_loss
    )[0],
}


def growth(history):
    """How much the largest share grows in training, one a seed."""
    return max_share(history[-1]) - max_share(history[0])


claim(
    "05.2",
    "Where router and experts learn, the largest share grows by more than a tenth of the "
    "data",
    quantity="growth of the largest share",
    measured=growth(history[:, :20]),
    holds=above(0.1),
    control=growth(cut["experts frozen"]),
    control_is="the experts stay as they were drawn",
)

# %% [markdown]
# With a frozen router the shares cannot move at all, of course. But with frozen *experts* the router is free, and still
# no one takes over. So somebody has to become useful. And the third cut?

# %% tags=["measure"]
claim(
    "05.3",
    "When every expert learns from every image, by its own loss, the largest share grows "
    "all the same, by more than a tenth of the data",
    quantity="growth of the largest share",
    measured=growth(cut["everyone learns"]),
    holds=above(0.1),
    control=growth(cut["experts frozen"]),
    control_is="the experts stay as they were drawn",
    refutes="Experts collapse because only the picked ones learn",
)

# %% [markdown]
# So nobody has to be starved. It takes experts that become useful, and a router that is free to back them: it is the
# router in which the rich get richer.

# %% [markdown]
# ### Further: does the leader win?
#
# Who is it that wins? If the rich get richer, whoever is ahead at the start should win often. *Often* needs a comparison:
# if the start meant nothing, the leader would win one time in eight. So we also pair each end with the start of *another*
# seed.

# %% tags=["measure"]
leader, winner = start.argmax(-1), end.argmax(-1)
claim(
    "05.4",
    "The expert that is ahead before training wins more than twice as often as by "
    "chance",
    quantity="how often the leader wins",
    measured=(leader == winner).float(),
    holds=above(2 / E),
    control=(leader.roll(1) == winner).float(),
    control_is="the leader of another seed",
)

# %% [markdown]
# More often, but by no means always. The start is an advantage, and training can overturn it.
#
# ## Why, part two: what all inputs share
#
# Look at the strip again. Even *before* training, the use is far from even. Why should a random router prefer anyone?
#
# Pixels are never negative. So all images have something in common: their mean $m$. A logit is a row of the router's
# matrix times the image, $w_i \cdot x = w_i \cdot m + w_i \cdot (x - m)$, and the first part is *the same for every image*.
# How much of the difference between the experts' logits is this constant? (Centred, it is zero by construction.)


# %% tags=["measure"]
def constant_part(x, seed):
    """Part of the logits' differences (squared) that is the same for all inputs x."""
    torch.manual_seed(seed)
    router = MixtureOfExperts(64, 16, E, 1, d_out=10).router
    with torch.no_grad():
        logits = router(x).logits
    logits = logits - logits.mean(-1, keepdim=True)  # only differences pick experts
    return float(logits.mean(0).square().sum() / logits.square().sum(-1).mean())


mean = raw.x_train.mean(0)
claim(
    "05.5",
    "At the start, more than half of the difference between the experts' logits is, on "
    "average, the same for every raw image",
    quantity="part that is the same for every image",
    measured=[constant_part(raw.x_train, seed) for seed in seeds(20)],
    holds=above(0.5),
    control=[constant_part(raw.x_train - mean, seed) for seed in seeds(20)],
    control_is="centred images",
)

# %% [markdown]
# Most of the router's opinion is about images in general and not about the image at hand. All of them are pushed
# to the same experts.
#
# That is the start. Why does a lead *grow*? Lesson 04: where a picked expert helps, its logit rises and the others fall.
# Now follow one step on one image $x$. Row $i$ of the router's matrix moves by $-\eta\, \frac{\partial L}{\partial z_i}\, x$.
# So on any other image $x'$, expert $i$'s logit moves by
#
# $$-\eta\, \frac{\partial L}{\partial z_i}\, (x \cdot x').$$
#
# Pixels are never negative, and neither is $x \cdot x'$. What one image does to the logits, it does to those of *all*
# images. Take a plain gradient step, and look.


# %% tags=["measure"]
def one_step(x_train, x_test, seed):
    """A step on one image: the part of the other images on which the picked expert's
    logit moves the same way, and how far it moves there on average (1: as on the image).
    """
    torch.manual_seed(seed)
    moe, row = mixture(), torch.randint(len(x_train), (1,))
    x, label = x_train[row], raw.y_train[row]
    scores, routing = moe(x)
    weight, loss = moe.router.weight, F.cross_entropy(scores, label)
    slope, push = torch.autograd.grad(loss, [routing.logits, weight])
    with torch.no_grad():
        before = x_test @ weight.T
        weight -= 0.1 * push
        moved = x_test @ weight.T - before
    assert torch.allclose(
        moved, -0.1 * slope * (x_test @ x.T), atol=1e-5
    )  # the formula
    picked = routing.indices[0, 0]
    here = -0.1 * slope[0, picked] * x.square().sum()
    ratio = moved[:, picked] / here
    return float((ratio > 0).float().mean()), float(ratio.mean())


for name, centre in {"raw": 0 * raw.x_train[0], "centred": raw.x_train.mean(0)}.items():
    steps = [one_step(raw.x_train - centre, raw.x_test - centre, s) for s in seeds(20)]
    same, far = torch.tensor(steps).mean(0)
    print(f"{name:8} the same way on {same:4.0%} of the images, {far:.1f} times as far")

# %% [markdown]
# Raw, an expert that helps on one image rises on all of them, and more of them pick it next time. Centred, it rises on
# some, falls on others, and on average stays where it was.
#
# Then subtracting the mean should help. To be sure that it is the mean, and not that the inputs became smaller, the
# control shrinks the raw pixels until they are as long as the centred ones.

# %% tags=["measure"]
centred = raw._replace(x_train=raw.x_train - mean, x_test=raw.x_test - mean)
length = centred.x_train.norm(dim=1).mean() / raw.x_train.norm(dim=1).mean()
shrunk = raw._replace(x_train=raw.x_train * length, x_test=raw.x_test * length)

centred_history, centred_accuracy = run(centred, 20)
shrunk_history, _ = run(shrunk, 20)
largest = max_share(end)[:20]
claim(
    "05.6",
    "Subtracting the mean image lowers the largest share by more than 0.4",
    quantity="fall of the largest share",
    measured=largest - max_share(centred_history[-1]),
    holds=above(0.4),
    control=largest - max_share(shrunk_history[-1]),
    control_is="pixels shrunk to the same length, not centred",
)

# %% tags=["draw", "nbval-ignore-output"]
largest_shares = {
    "raw pixels": max_share(end),
    "raw pixels, shrunk": max_share(shrunk_history[-1]),
    "raw pixels, experts frozen": max_share(cut["experts frozen"][-1]),
    "raw pixels, router frozen": max_share(cut["router frozen"][-1]),
    "raw pixels, everyone learns": max_share(cut["everyone learns"][-1]),
    "centred": max_share(centred_history[-1]),
}
interval_chart(
    largest_shares,
    title=f"Centring takes the largest share from {max_share(end).mean():.2f} to "
    f"{max_share(centred_history[-1]).mean():.2f}; freezing the experts, to "
    f"{max_share(cut['experts frozen'][-1]).mean():.2f}",
    note=(
        "Largest share on the test images: each seed, the mean, and its 95 % "
        "interval. The upright line is even use."
    ),
    unit="largest share",
    zero=1 / E,
)

# %% [markdown]
# It takes both: inputs that share a mean, and experts that learn. Centred, nobody takes the data. Raw, with experts that
# never learn, the largest share does not grow.
#
# ### Further: the way there, seed by seed
#
# Point at a line: which expert wins, and when? The names above the picture show and hide the conditions.

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
steps = list(range(0, STEPS + 1, EVERY))
conditions = {
    "raw pixels": history,
    "centred": centred_history,
    "raw, experts frozen": cut["experts frozen"],
    "raw, everyone learns": cut["everyone learns"],
}


def seed_lines(name, shares):
    """The largest share of each seed, in the colour of the expert that wins there."""
    group = {"mode": "lines", "legendgroup": name}
    group["visible"] = True if name == "raw pixels" else "legendonly"
    n_seeds, muted = shares.shape[1], {"color": look.color("muted")}
    yield scatter([None], [None], [], f"{name}, {n_seeds} seeds", line=muted, **group)
    for seed in range(n_seeds):
        winner = int(shares[-1, seed].argmax())
        tops, n_dead = max_share(shares[:, seed]), dead(shares[:, seed])
        hover = [
            f"{name}, seed {seed}: expert {winner} wins<br>step {step}: largest share "
            f"{top:.2f}, {gone} dead"
            for step, top, gone in zip(steps, tops, n_dead, strict=True)
        ]
        color = {"color": look.expert_color(winner), "width": 1.5}
        yield scatter(steps, tops, hover, line=color, opacity=0.7, **group)


late = int((max_share(history[len(steps) // 2]) < max_share(history[-1]) - 0.1).sum())
explorable(
    [line for name, shares in conditions.items() for line in seed_lines(name, shares)],
    title=f"In {late} of 60 seeds the largest share still grows by more than a tenth in "
    "the second half of training",
    note=(
        "One line a seed, in the colour of the expert that wins there. Drag to look "
        "closer, and click twice to go back."
    ),
    alt="Largest share, mean of the seeds, before training, half-way, and at the end. "
    + ". ".join(
        f"{name}: "
        + ", ".join(
            f"{max_share(shares[i]).mean():.2f}" for i in (0, len(steps) // 2, -1)
        )
        for name, shares in conditions.items()
    ),
    xaxis_title="steps",
    yaxis={"title": {"text": "largest share"}, "range": [0, 1.02]},
)

# %% [markdown]
# ## What does it cost?
#
# A mixture in which one expert does the work has the parameters of eight and the wits of one. That must cost accuracy.
# Compare raw inputs with centred ones: on the digits, where the raw mixtures collapsed and the centred did not, and on
# `digits4`, where four rules compete.

# %% tags=["measure"]
rules = digits4("raw")
middle = rules.x_train.mean(0)
rules_centred = rules._replace(
    x_train=rules.x_train - middle, x_test=rules.x_test - middle
)
mixtures = {
    name: run(data, 20, lambda: mixture(width=8), steps=800)
    for name, data in {"raw": rules, "centred": rules_centred}.items()
}

claim(
    "05.7",
    "On plain digits the collapsed mixtures are not less accurate than those that did "
    "not collapse, within two points",
    quantity="accuracy gained by collapsing",
    measured=accuracy[:20] - centred_accuracy,
    holds=above(-0.02),
    control=mixtures["raw"][1] - mixtures["centred"][1],
    control_is="digits4, where four rules compete",
    refutes="A mixture that has collapsed is a worse network",
)

# %% [markdown]
# On plain digits, losing most of the experts costs nothing. Whoever shows collapse on such a problem, and promises
# better accuracy from its cure, promises too much. On `digits4` the raw mixtures fall behind.
#
# But the inputs changed as well. So hold the mixtures against the cheap alternative: one dense network in which every
# input costs as many multiplications as it does in the mixture. One expert has 8 neurons; the router's 8 logits cost
# as much as 7 more.


# %% tags=["measure"]
class Dense(nn.Module):
    """One hidden layer: the network that a mixture has to beat."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
        )

    def forward(self, x):
        return self.layers(x)


print("multiplications: mixture", 64 * E + (64 + 10) * 8, " dense", (64 + 10) * 15)


# %% tags=["measure"]
def dense_accuracy(data):
    trained = train(lambda: Dense(15), data, seeds(20))
    return trained.accuracy(data.x_test, data.y_test)


dense = {
    name: dense_accuracy(data)
    for name, data in {"raw": rules, "centred": rules_centred}.items()
}
claim(
    "05.8",
    "On digits4, mixtures on centred inputs beat the dense network of equal active "
    "cost by more than half a point",
    quantity="lead in accuracy",
    measured=mixtures["centred"][1] - dense["centred"],
    holds=above(0.005),
    control=mixtures["raw"][1] - dense["raw"],
    control_is="raw inputs",
)

# %% tags=["draw", "nbval-ignore-output"]
lost = mixtures["centred"][1] - mixtures["raw"][1]
interval_chart(
    {
        "dense, raw": dense["raw"],
        "mixture, raw": mixtures["raw"][1],
        "dense, centred": dense["centred"],
        "mixture, centred": mixtures["centred"][1],
    },
    title=f"On raw pixels the mixture loses {100 * lost.mean():.0f} points, "
    f"the dense network {100 * (dense['centred'] - dense['raw']).mean():.0f}",
    note=(
        "Test accuracy on digits4 at equal active cost: each of 20 seeds, the mean, "
        "and its 95 % interval."
    ),
    unit="test accuracy",
)

# %% [markdown]
# Centring helps the dense network too. The mixture gains more by it: raw, it has no lead over the dense network, and
# centred it has one.
#
# ### Further: have the raw mixtures collapsed here?
#
# We said it of the digits, and have not looked at `digits4`. Read two numbers.

# %% tags=["draw", "nbval-ignore-output"]
on_rules = {name: history[-1] for name, (history, _) in mixtures.items()}
seed_strip(
    on_rules,
    title=f"digits4, raw: {dead(on_rules['raw']).float().mean():.1f} of 8 experts are dead, "
    f"and the largest share is {max_share(on_rules['raw']).mean():.2f}",
    note=(
        f"Centred, {dead(on_rules['centred']).float().mean():.1f} are dead, and the largest "
        f"share is {max_share(on_rules['centred']).mean():.2f}. Means over 20 seeds, one a "
        "column. Number and colour: the expert."
    ),
)

# %% tags=["measure"]
claim(
    "05.9",
    "On digits4, raw, more than 4.5 of eight experts are dead after training, on average",
    quantity="dead experts",
    unit="of 8",
    measured=dead(on_rules["raw"]),
    holds=above(4.5),
    control=dead(on_rules["centred"]),
    control_is="centred images",
)

# %% [markdown]
# By the dead experts this is collapse. By the largest share it mostly is not: in most seeds a few experts are left, and
# they divide the images among themselves. One number would have told half of it.
#
# ## Let it happen in your hands
#
# This mixture trains in the page. Its points lie away from the origin, like raw pixels. Press play, and watch the shares.
# Then take the mean away (*Centred input*), or change the seed: how often does one expert win?

# %% tags=["playground", "nbval-ignore-output"]
playground(preset="revive")

# %% [markdown]
# So why not always centre and go home? A layer deep inside a network gets what the layers below make of the input. That
# changes at every step, so no mean can be subtracted once and for all. Batch normalisation measures it anew in every
# batch, but then what a token gets in training depends on the others in its batch. The popular answer is noise. Let us see.

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("05")

# %% [markdown]
# ## Try it
#
# 1. Pick two experts in `mixture`, and run the cells up to the strip. Does the collapse come? Which number would hide
#    it: the largest share, or the dead experts?
# 2. Train 20 seeds for a tenth of the steps, then for ten times as many. Do dead experts ever come back?
# 3. Let all experts start the same: in a `build` of your own, copy expert 0's parameters into the others
#    (`p[:] = p[:1].clone()` for each `p`, under `torch.no_grad()`). Does the collapse still come?
#
# ## Recap
#
# - Share is the raw number. Largest share, dead experts, entropy and squared variation each notice something different:
#   read two.
# - Left alone on raw digits, training collapses every mixture that we tried. It takes inputs that share a mean, and
#   experts that become useful. It does not take starved ones: a step on one raw image moves the logits of all.
# - Centring removes the common favourite. Collapse costs nothing on plain digits. On raw `digits4` most experts are dead,
#   a few divide the images, and the mixture loses its lead.
#
# **Sources.** The self-reinforcing imbalance: [Eigen et al. 2013](https://arxiv.org/abs/1312.4314), section 3, and
# [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538), section 4. Squared coefficient of variation: the same,
# equation 7.
