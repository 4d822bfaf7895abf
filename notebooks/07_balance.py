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
# # Balance
#
# 40 minutes. You leave able to balance experts by a penalty, by a bias, and by letting them choose; to pick a coefficient
# on images put aside; and to tell even use from even strength, and both from a good mixture.
#
# In a mixture that is left alone, a few experts take the data, and noise mends little of it. So we ask for balance outright:
# we add to the loss a number that is small when the work is shared.
#
# And what is balance for? One often hears: “the objective is uniform strength across the experts.” At the end we measure
# what equal strength is worth.

# %% tags=["setup"]
# Setup: what this lesson uses.
import math
from functools import cache

import torch
from torch import nn

from moe_tutorial import layers
from moe_tutorial.course import check, guess, my_moe, quiz, reveal, scoreboard
from moe_tutorial.layers import (
    BiasBalancer,
    ExpertChoiceRouter,
    HashRouter,
    MixtureOfExperts,
    Router,
    Routing,
    z_loss,
)
from moe_tutorial.show import (
    Line,
    bars,
    beside,
    draw_curves,
    expert_bars,
    look,
    message,
    picture,
    playground,
    sweep,
    usage_bars,
    watch_layer,
)
from moe_tutorial.study import (
    above,
    below,
    claim,
    dead,
    digits4,
    in_every_seed,
    max_share,
    regimes_2d,
    score,
    seeds,
    share,
    specialisation,
    strength,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread
E = 8

# %% [markdown]
# ## Turn the knobs first
#
# Eight small experts, four rules. Press play. After 600 steps, raise the coefficient of the *Switch loss*, which comes next, to
# 0.32, and train on until all experts work. What became of the accuracy? Turn it off, and do the same with 1 as *Seed*.

# %% tags=["draw", "nbval-ignore-output"]
# A mixture that trains while you turn the knobs.
playground(width=2, balance="switch", coefficient=0)

# %% [markdown]
# From one seed it pays to wake the dead; from the other, where the living get nearly everything right, it costs. So we measure
# both: who works, and what is right.
#
# ## A penalty: share times probability
#
# For each expert, the **Switch loss** multiplies the share of the choices that it got, $f_i$, by the mean probability that
# the router gave it, $P_i$.
#
# $$L = E \sum_i f_i \, P_i$$
#
# The share is a count, so it has no slope. The probability has one, and the share says how hard to push: the busier an
# expert, the more its probability is pressed down.
#
# **Your turn.** Three lines: the shares, the mean probabilities, and the sum.


# %% tags=["exercise"]
def switch_loss(probs, indices):
    """probs (T, E), chosen (T, k) -> E times the sum of share * mean probability."""
    n_experts = probs.shape[-1]
    ### BEGIN SOLUTION
    counts = torch.bincount(indices.flatten(), minlength=n_experts)
    f = counts / indices.numel()
    return n_experts * (f * probs.mean(0)).sum()
    ### END SOLUTION


# %%
switch_loss = check("07.switch_loss", switch_loss)

# %% [markdown]
# Two routings of a thousand tokens, and what your loss says of them:

# %% tags=["measure"]
# Measured: your loss of two routings.
probs = torch.rand(1000, E).softmax(-1)
even_use = torch.arange(1000)[:, None] % E
one_for_all = torch.zeros(1000, 1, dtype=int)
certain = torch.eye(E)[one_for_all[:, 0]]  # the router is sure of expert 0
print(f"even use: {switch_loss(probs, even_use):.3f}")
print(f"one expert has all, for sure: {switch_loss(certain, one_for_all):.3f}")

routing = Router(16, E, 2)(torch.randn(256, 16))
assert torch.allclose(
    switch_loss(routing.probs, routing.indices), layers.switch_loss(routing)
)  # the package's

# %% [markdown]
# Even use gives 1, whatever the probabilities are. The most is $E$, at $k = 1$.
#
# ## How much of it?
#
# The loss of the task plus a *coefficient* times the Switch loss: that is all. Its authors took 0.01, and most models take
# something between 0.001 and 0.1.
#
# We measure on `digits4` with raw pixels, where collapse is expensive: 8 experts of 8 neurons, one chosen, 600 steps, ten
# seeds. A coefficient is something that we choose, and so a fifth of the *training* images is put aside to choose on. The
# test images decide nothing.


# %% tags=["setup"]
# Setup: the data with a fifth put aside, and how the mixtures are trained.
def put_aside(data):
    """Four fifths of the training images, in all rotations; and the others, (x, y)."""
    images = len(data.x_train) // 4  # each comes in four rotations
    kept = torch.arange(len(data.x_train)) % images < images * 4 // 5
    most = data._replace(
        x_train=data.x_train[kept],
        y_train=data.y_train[kept],
        regime_train=data.regime_train[kept],
    )
    return most, (data.x_train[~kept], data.y_train[~kept])


def trained_with(data, penalty=None, router=None, rate=None, steps=600, **options):
    """Ten mixtures with a penalty, a router of another kind, or a bias moved at a rate."""

    def move_bias(step, trained):
        if rate and trained.last_routing is not None:
            BiasBalancer(rate).update(
                trained.buffers["router.bias"], trained.last_routing.indices
            )

    return train(
        lambda: MixtureOfExperts(64, 8, E, 1, router and router(), d_out=10, **options),
        data,
        seeds(10),
        steps=steps,
        penalty=penalty,
        on_step=move_bias,
    )


def dense_with(width, data):
    """Ten dense networks."""
    return train(
        lambda: nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)),
        data,
        seeds(10),
        steps=600,
    )


def with_switch(coefficient):
    return trained_with(raw, lambda r, step: coefficient * layers.switch_loss(r))


@cache
def accuracy(trained):
    """Per cent of the test images that each seed gets right."""
    return 100 * trained.accuracy(raw.x_test, raw.y_test)


@cache
def dead_in(trained):
    return dead(trained.shares(raw.x_test)).float()


raw, aside = put_aside(digits4("raw"))

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "07.usual",
    "Eight experts. Without a penalty, six of them are dead in the end, more or less. "
    "How many are dead with a Switch loss of 0.01, the coefficient of its authors?",
    slider=(0, 8, 0.5, "of 8"),
)

# %% tags=["measure"]
# Measured: ten seeds for each of five coefficients, and a dense network.
coefficients = [0, 0.001, 0.01, 0.1, 1]
curve = {c: with_switch(c) for c in coefficients}
tried = {c: curve[c].accuracy(*aside).mean().item() for c in coefficients}
best = max(tried, key=tried.get)
dense = dense_with(15, raw)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
gone = {c: dead_in(curve[c]).mean().item() for c in coefficients}
reveal(
    "07.usual",
    gone[0.01],
    says=f"Without a penalty {gone[0]:.1f} of 8 are dead, with ten times their coefficient {gone[0.1]:.1f}. "
    + (
        "So what is usual need not suit your data. Choose a coefficient on your own."
        if gone[0.1] < gone[0.01] - 0.5
        else "So a larger coefficient would bring nobody back."
    ),
)

# %% [markdown]
# How many are dead, and how many of the images put aside are right:

# %% tags=["measure", "nbval-ignore-output"]
# Dead and right for each coefficient.
print("coefficient   dead   right of those put aside")
for c in coefficients:
    print(f"{c:11}{gone[c]:7.1f}{tried[c]:10.2%}")

# %% [markdown]
# Beside them the dense network of equal active cost. The router costs nearly as much as the one expert that it chooses, so
# that a dense network gets 15 neurons for the same multiplications.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: accuracy and dead experts for each coefficient.
right = {c: accuracy(curve[c]).mean().item() for c in coefficients}
dense_right = accuracy(dense).mean().item()
stops = range(len(coefficients))
axis = {
    "x": "coefficient of the Switch loss",
    "xticks": {stop: f"{c:g}" for stop, c in zip(stops, coefficients, strict=True)},
}


def two_curves(figure, theme):
    above_, below_ = figure.subplots(2, 1, gridspec_kw={"height_ratios": [3, 2]})
    lines = {
        "mixture": Line(stops, list(right.values()), marker="●"),
        "dense": Line(stops, [dense_right] * len(stops), "--", "muted"),
    }
    draw_curves(above_, theme, lines, **axis | {"x": ""}, y="% right")
    counted = {"dead": Line(stops, list(gone.values()), marker="●")}
    draw_curves(
        below_, theme, counted, **axis, y="dead", ylim=(-0.4, 8), yticks=[0, 4, 8]
    )


picture(
    two_curves,
    title=f"Against the dense network: {right[0] - dense_right:+.0f} points without a penalty, "
    f"{right[best] - dense_right:+.0f} with {best:g}",
    note=(
        f"digits4, raw pixels, means over ten seeds, test images. {best:g} was best on the "
        "images put aside. Dashed: the dense network of equal active cost."
    ),
    alt="; ".join(
        f"coefficient {c:g}: {right[c]:.0f} % right, {gone[c]:.1f} of 8 dead"
        for c in coefficients
    )
    + f"; dense: {dense_right:.0f} % right",
    height=300,
)

# %% [markdown]
# Would any such push help? As a control we aim the same penalty badly: each expert is pressed down by its *neighbour's* share.
# This leaves most experts dead, and gains nothing on the dense network.


# %% tags=["measure"]
# Claim 07.1.
def badly_aimed(routing):
    """The Switch loss with the shares moved on by one expert."""
    chosen = torch.zeros_like(routing.probs).scatter(-1, routing.indices, 1.0)
    return E * (chosen.mean(0).roll(1) * routing.probs.mean(0)).sum()


astray = trained_with(raw, lambda r, step: 0.1 * badly_aimed(r))
claim(
    "07.1",
    "With a Switch loss of 0.1, fewer than three of eight experts are dead on average",
    measured=dead_in(curve[0.1]),
    holds=below(3),
    control=dead_in(astray),
    control_is="each expert is pressed down by its neighbour's share",
    quantity="dead experts (of 8)",
)

# %% tags=["measure"]
# Claim 07.2.
claim(
    "07.2",
    "On raw digits4, a mixture with a Switch loss of 0.1 is more than four points more "
    "accurate than the dense network of equal active cost",
    measured=accuracy(curve[0.1]) - accuracy(dense),
    holds=above(4),
    control=accuracy(astray) - accuracy(dense),
    control_is="each expert is pressed down by its neighbour's share",
    quantity="accuracy over the dense network (points)",
)

# %% [markdown]
# ## No penalty at all: move a bias
#
# A penalty pulls at the router while the task does, too. Wang et al. go another way, and so does DeepSeek-V3: each expert's
# probability gets a **bias**, for the choice only. After each step, the biases of those with less than the mean load go up by a
# small *rate*, those with more go down, and one with exactly the mean stays. The gate weight stays the expert's own probability.
#
# **Your turn.** Two lines: the load of each expert, and the new bias. `torch.sign` gives -1, 0 or 1.


# %% tags=["exercise"]
def bias_update(bias, indices, rate):
    """bias (E,), chosen (T, k) -> the bias after this step, (E,)."""
    ### BEGIN SOLUTION
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias + rate * torch.sign(load.mean() - load)
    ### END SOLUTION


# %%
bias_update = check("07.bias_update", bias_update)

# %% [markdown]
# Here it balances a router that is not trained at all. The inputs are never negative, so there is a favourite.

# %% tags=["measure"]
# Measured: your bias, moved in 400 steps.
torch.manual_seed(seeds(1)[0])
router = Router(16, E, 1, bias=True)
x = torch.rand(512, 16)
for step in range(401):
    routing = router(x)
    if step % 100 == 0:
        busiest = max_share(share(routing.indices, E))
        print(f"after {step:3} steps the busiest expert has {busiest:.0%}")
    router.bias = bias_update(router.bias, routing.indices, rate=0.001)
weights = routing.probs.gather(-1, routing.indices)
assert torch.equal(routing.weights, weights)  # still the probabilities

# %% [markdown]
# The rate is a choice, too. DeepSeek-V3 takes 0.001 for most of a very long training. Ours has 600 steps.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: ten seeds for each of two rates, and without a bias.
biased = {0: curve[0]}
biased |= {rate: trained_with(raw, rate=rate, bias=True) for rate in (0.001, 0.01)}
tried_rates = {r: moved.accuracy(*aside).mean().item() for r, moved in biased.items()}
best_rate = max(tried_rates, key=tried_rates.get)
print(" rate   dead   right   median gate weight")
for rate, moved in biased.items():
    gates = moved.routing(raw.x_test).weights
    print(
        f"{rate:5}{dead_in(moved).mean():7.1f}{tried_rates[rate]:8.0%}{gates.median():12.2f}"
    )

# %% [markdown]
# At 0.001 fewer experts are dead than without a bias, and *fewer* images are right. The router grows sure before the bias catches
# up. Then the bias sends images to experts of small probability, and the gate weight is that probability: they hardly speak.

# %% [markdown]
# ## Turn the tables: experts choose
#
# In **expert choice** each expert takes the tokens that score highest for it, and each takes the same number. Then balance is
# no longer a goal but a fact.
#
# **Your turn.** Two lines, almost those of `keep_top` in lesson 01. There each row kept its largest; here each *column* does.


# %% tags=["exercise"]
def expert_choice(probs, room):
    """probs (T, E) -> the same where an expert keeps its `room` largest, else 0."""
    ### BEGIN SOLUTION
    taken = probs.topk(room, dim=0).indices
    return torch.zeros_like(probs).scatter(0, taken, 1.0) * probs
    ### END SOLUTION


# %%
expert_choice = check("07.expert_choice", expert_choice)

# %% [markdown]
# Every expert gets its `room` of tokens. Does every token get an expert? We train a mixture whose experts choose, and your
# function says who is served. Move the slider: how many images are there to choose from?

# %% tags=["draw", "nbval-ignore-output"]
# A slider: how many images stand for choice at once.
choosers = trained_with(raw, router=lambda: ExpertChoiceRouter(64, E, 1))
shuffled = torch.randperm(
    len(raw.x_test), generator=torch.Generator().manual_seed(seeds(1)[0])
)
with torch.no_grad():
    one = choosers.one(0)
    one_probs = one.router(raw.x_test).probs
    answers = one.experts(raw.x_test)


def gates_of(at_once):
    parts = [
        expert_choice(one_probs[rows], math.ceil(len(rows) / E))
        for rows in shuffled.split(at_once)
    ]
    return torch.cat(parts)


together = gates_of(len(raw.x_test)) > 0


def served(at_once):
    gates = gates_of(at_once)
    scores = torch.einsum("te,teo->to", gates, answers[shuffled])
    correct = (scores.argmax(-1) == raw.y_test[shuffled]).float().mean()
    got = (gates > 0).sum(-1)
    moved = ((gates > 0) != together).any(-1).float().mean()
    counts = {
        "no expert": int((got == 0).sum()),
        "one": int((got == 1).sum()),
        "two or more": int((got > 1).sum()),
    }
    return message(
        f"{counts['no expert'] / len(got):.0%} of the images get no expert; {correct:.0%} are right",
        f"{at_once:,} images at once; each expert takes {math.ceil(at_once / E):,}. {moved:.0%} of "
        "the images have other experts than with all at once.",
    ) + bars(counts, "images", strong=["no expert"])


sweep(served, at_once=("Images at once", [len(raw.x_test), 256, 32, 8]))

# %% [markdown]
# Every expert has equally much to do at every stop, and some images get nobody. An image's experts depend on its company. In a
# text that is the *later* tokens, too, which do not exist yet while a model writes. So expert choice is for models that have all
# tokens at once.
#
# ## Even, and right
#
# Last comes a **hash router**: some arithmetic on the pixels names an expert, and it names each of the eight equally often.
# No use is more even.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "07.hash",
    "Two mixtures on `digits4`. In the first, most experts are dead. The second sends "
    "each image to an expert by a hash of its pixels: almost perfectly even, forever. "
    "Which of the two is more accurate?",
    choices=[
        "the one with dead experts",
        "the even one",
        "they are equal, within two points",
    ],
)

# %% tags=["measure"]
# Measured: the hash beside the mixture that was left alone.
by_hash = trained_with(raw, router=lambda: HashRouter(64, E))
cost = accuracy(curve[0]) - accuracy(by_hash)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
if abs(cost.mean()) < 2:
    better = "they are equal, within two points"
else:
    better = "the one with dead experts" if cost.mean() > 0 else "the even one"
two = {"dead": curve[0], "even": by_hash}
busiest = {
    name: max_share(each.shares(raw.x_test)).mean() for name, each in two.items()
}
correct = {name: accuracy(each).mean() for name, each in two.items()}
reveal(
    "07.hash",
    better,
    says=f"With most experts dead, {correct['dead']:.0f} % are right, and the busiest expert has {busiest['dead']:.0%} of the "
    f"images. With the hash {correct['even']:.0f} % are right, and the busiest has {busiest['even']:.0%}. "
    + (
        "Even use alone does not make a mixture good."
        if cost.mean() > 2
        else "Here even use does no harm."
    ),
)

# %% [markdown]
# ## Equal in strength
#
# Use is one thing. What about *strength*? As in lesson 05, an expert's **strength** is its accuracy when it answers alone, on
# the rule that it is best at. The standard deviation of the eight strengths says how unequal they are. We call it their
# *spread*.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "07.strength",
    "In which of these mixtures are the eight experts most nearly equal in strength?",
    choices=["nothing", "Switch 0.1", "Switch 1", "bias", "hash"],
)

# %% tags=["measure"]
# Measured: each expert's strength, and its accuracy on the images that it is asked.
five = {
    "nothing": curve[0],
    "Switch 0.1": curve[0.1],
    "Switch 1": curve[1],
    "bias": biased[best_rate],
    "hash": by_hash,
}


@torch.no_grad()
def strengths(trained):
    """Each expert's strength, and its accuracy where it is asked (0 if nobody asks it): (10, E)."""
    alone = torch.stack([trained.one(i).experts(raw.x_test) for i in range(10)])
    asked = trained.routing(raw.x_test).indices == torch.arange(E)  # (10, T, E)
    correct = (alone.argmax(-1) == raw.y_test[:, None]) & asked
    where_asked = correct.sum(1) / asked.sum(1).clamp_min(1)
    return strength(alone, raw.y_test, raw.regime_test).amax(-1), where_asked


strong = {name: strengths(trained) for name, trained in five.items()}
spread = {name: own.std(-1, correction=0) for name, (own, _) in strong.items()}

# %% tags=["guess", "nbval-ignore-output", "07.hash"]
# Your guess and what was measured.
unequal = {name: spread[name].mean().item() for name in five}
right_by = {name: accuracy(each).mean().item() for name, each in five.items()}
says = (
    "The spread of strength: "
    + ", ".join(f"{name} {x:.2f}" for name, x in unequal.items())
    + "."
)
if unequal["Switch 1"] < unequal["nothing"]:
    says += (
        "\n\n“The objective is uniform strength across the experts.” Half of this is true: where experts are dead, strength "
        "is uneven, and a penalty evens both."
    )
if (
    right_by["hash"] < right_by["Switch 0.1"]
    and unequal["hash"] < unequal["Switch 0.1"]
):
    says += (
        f"\n\nBut equal strength does not make a mixture good: with the hash {right_by['hash']:.0f} % are right, with the Switch "
        f"loss of 1 {right_by['Switch 1']:.0f} %. With one expert chosen, a mixture is right where the chosen one is right. "
        "Each of the hash's experts is asked about everything, and knows a little of everything. Under the Switch loss of 1 "
        "each is asked about a part, and knows that part well."
    )
reveal("07.strength", min(unequal, key=unequal.get), says=says)

# %% tags=["measure", "nbval-ignore-output", "07.hash"]
# Spread, mean strength and accuracy of the five.
print("              spread   mean strength   % right")
for name, (own, _) in strong.items():
    print(f"{name:12}{unequal[name]:8.2f}{own.mean():16.2f}{right_by[name]:10.0f}")

# %% [markdown]
# The further left, the more equal in strength; the higher, the more often right.

# %% tags=["draw", "nbval-ignore-output", "07.hash"]
# Drawn: the spread of strength and the accuracy of the five.
centres = {
    way: (spread[way].mean().item(), accuracy(five[way]).mean().item()) for way in five
}


def all_five(figure, theme):
    axes = figure.subplots()
    for way, centre in centres.items():
        every = (spread[way], accuracy(five[way]))
        axes.scatter(*every, s=12, color=look.color("border", theme))
        axes.scatter(*centre, s=60, color=look.color("text", theme))
        place = {"xytext": (0, 9 if way == "Switch 1" else -17), "ha": "center"}
        axes.annotate(way, centre, textcoords="offset points", **place)
    axes.set(xlabel="spread of strength", ylabel="% right")


picture(
    all_five,
    title="Experts about equal in strength: "
    f"{centres['Switch 1'][1]:.0f} % right with Switch 1, {centres['hash'][1]:.0f} % with the hash",
    note="digits4, raw pixels. Large: means of ten seeds. Small: each seed.",
    alt="; ".join(
        f"{way}: spread {x:.2f}, {y:.0f} % right" for way, (x, y) in centres.items()
    ),
    height=300,
)

# %% [markdown]
# Move the slider from *nothing* to the *hash*: which experts are used, how strong is each, and how often is each right *where
# it is asked*?


# %% tags=["draw", "nbval-ignore-output", "07.hash"]
# A slider: five mixtures, their experts' use and strength.
def even_and_right(way):
    own, asked = (part[0].tolist() for part in strong[way])
    texts = [
        f"{s:.2f} / {a:.2f}" if a else f"{s:.2f} / not asked"
        for s, a in zip(own, asked, strict=True)
    ]
    return message(
        f"{way.capitalize()}: {accuracy(five[way]).mean():.0f} % right, spread of strength "
        f"{spread[way].mean():.2f}",
        "Bars of the first of ten seeds: each expert's share; then its strength (the upright line "
        "is their mean) / its accuracy where it is asked (dashed).",
    ) + beside(
        usage_bars(five[way].shares(raw.x_test)[0].tolist()),
        expert_bars(
            own, texts, sum(own) / E, "Strength of each expert", behind=asked, least=1
        ),
    )


sweep(even_and_right, way=("Balanced by", list(five)))

# %% tags=["measure"]
# Claim 07.3.
claim(
    "07.3",
    "With a Switch loss of 1, the spread of the experts' strength is below 0.15",
    measured=spread["Switch 1"],
    holds=below(0.15),
    control=spread["nothing"],
    control_is="no penalty",
    quantity="standard deviation of eight experts' strength",
)

# %% tags=["measure", "07.hash"]
# Claim 07.4.
assert spread["hash"].mean() < spread["Switch 0.1"].mean()
claim(
    "07.4",
    "Experts chosen by a hash are more nearly equal in strength than with a Switch loss of "
    "0.1, and the mixture is more than 20 points less accurate",
    measured=accuracy(five["Switch 0.1"]) - accuracy(five["hash"]),
    holds=above(20),
    control=accuracy(five["Switch 0.1"]) - accuracy(five["Switch 1"]),
    control_is="a Switch loss of 1: more equal, too, but the router learns",
    quantity="accuracy lost against a Switch loss of 0.1 (points)",
    refutes="The more equal the experts are in strength, the better the mixture",
)

# %% [markdown]
# Report use and strength beside the accuracy, not in its place.

# %% [markdown]
# ## This is yours
#
# What you wrote goes into your `my_moe.py`, too. As soon as your penalty, your bias, or the noise of lesson 06 is right, the file
# has a `BalancedMoE` and a `train_balanced` that use them.

# %%
mine = my_moe()  # in a terminal: python my_moe.py
plane = regimes_2d(seed=seeds(1)[0])
torch.manual_seed(seeds(1)[0])
my_layer = mine.MyMoE(d_model=2, d_hidden=4, n_experts=E, top_k=1, d_out=2)


def my_penalty(routing):
    return switch_loss(routing.probs, routing.indices)


# %% [markdown]
# Here your own layer learns the plane of lesson 04, with your own penalty. In JupyterLab, set its coefficient to 0: the layer is
# trained again without it. Then wake the dead.


# %% tags=["draw", "nbval-ignore-output"]
# Your mixture on the plane, with your penalty.
class Watched(nn.Module):
    """Your mixture, which also tells what its router says."""

    def __init__(self, moe):
        super().__init__()
        self.moe = moe

    def forward(self, x):
        y, (chosen, weights) = self.moe(x)
        logits = x @ self.moe.router.T
        return y, Routing(logits, logits.softmax(-1), chosen, weights)


watch_layer(Watched(my_layer), plane, balance=my_penalty, coefficient=0.1)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("07")

# %% [markdown]
# ## Try it
#
# 1. Write a penalty of your own, a function of `routing`, and hand it to the panel in place of `my_penalty`. Start from
#    `-routing.probs.mean(0).log().mean()`. Does it wake the dead?
# 2. `trained_with(raw, rate=0.001, bias=True, steps=6000)`: is DeepSeek-V3's rate enough then? Ask `dead_in` and `accuracy`.
# 3. A hash chooses in the [playground](playground.ipynb#preset=hash), and every expert is asked everywhere. Press play. The
#    opposite, a router that serves its penalty alone, is [one click away](playground.ipynb#preset=penalty).
#
# ## Recap
#
# - A penalty pushes the busy down: share times probability, over all experts. A coefficient is chosen on images put aside.
# - A bias balances without touching the loss or the gate weights. Its rate has to fit the length of the training.
# - Where experts choose, balance is a fact; some tokens are nobody's, and the others in the batch decide.
# - Balance evens out use, and strength with it. A hash has much of both, and gets the fewest right. What counts is that
#   experts are right where they are asked.
#
# **Sources.** Share times probability: [Fedus et al. 2021](https://arxiv.org/abs/2101.03961), section 2.2. Importance:
# [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538). z-loss: [Zoph et al. 2022](https://arxiv.org/abs/2202.08906).
# The bias: [Wang et al. 2024](https://arxiv.org/abs/2408.15664), [DeepSeek-V3 2024](https://arxiv.org/abs/2412.19437).
# Expert choice: [Zhou et al. 2022](https://arxiv.org/abs/2202.09368). Hash: [Roller et al. 2021](https://arxiv.org/abs/2106.04426).

# %% [markdown]
# ## Further
#
# ### Two rows for the scoreboard
#
# With the coefficient and the rate that were best on the images put aside. As in lesson 04, the
# pixels are standardised, and training takes 800 steps and all training images.

# %% tags=["measure", "remove-output"]
# Two rows for the scoreboard.
standardised = digits4("standardised")
by_penalty = trained_with(
    standardised, lambda r, step: best * layers.switch_loss(r), steps=800
)
by_bias = trained_with(standardised, rate=best_rate, steps=800, bias=True)
on_test = standardised.x_test, standardised.y_test
rows = score(
    "07",
    {
        "experts balanced by a penalty": (8, 64, by_penalty.accuracy(*on_test)),
        "experts balanced by a bias": (8, 64, by_bias.accuracy(*on_test)),
    },
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the scoreboard.
scoreboard(
    rows,
    title=f"Balanced by a penalty, the mixture gets {by_penalty.accuracy(*on_test).mean():.0%} "
    f"right; by a bias {by_bias.accuracy(*on_test).mean():.0%}",
)

# %% [markdown]
# Beside lesson 04's mixture the gain is small: on standardised pixels, collapse costs little. Balance brings the mixture, of 64
# neurons, close to the dense network of 32, all of which every image meets.

# %% [markdown]
# ### Whom the Switch loss reaches, and what it does not tell
#
# One detail decides whether it can wake the dead. $P_i$ has to come from the softmax over *all* experts. Some published code
# takes the probabilities *after* the others were masked out. Then an expert that nobody chooses has probability 0
# everywhere, and a zero from a mask has no slope.


# %% tags=["measure"]
# Claim 07.5.
def gradient_for_the_dead(seed, masked):
    """Size of the Switch loss's gradient for the row of an expert nobody chooses."""
    torch.manual_seed(seed)
    x = torch.rand(256, 16)
    weight = torch.randn(E, 16)
    weight[0] = -0.5  # the inputs are positive, so expert 0 comes last
    weight.requires_grad_()
    logits = x @ weight.T
    probs = logits.softmax(-1)
    indices = probs.topk(2).indices
    assert not (indices == 0).any()
    if masked:
        kept = torch.zeros_like(probs).scatter(-1, indices, 1.0).bool()
        probs = logits.masked_fill(~kept, -torch.inf).softmax(-1)
    loss = layers.switch_loss(Routing(logits, probs, indices, probs))
    return float(torch.autograd.grad(loss, weight)[0][0].norm())


claim(
    "07.5",
    "The Switch loss reaches the router's row of an expert that nobody chooses",
    measured=[gradient_for_the_dead(seed, masked=False) for seed in seeds(10)],
    holds=in_every_seed(above(1e-9)),
    control=[gradient_for_the_dead(seed, masked=True) for seed in seeds(10)],
    control_is="probabilities after masking the others",
    quantity="size of the gradient",
)

# %% [markdown]
# Is its value a measure of balance? Even use gives 1, and it is tempting to read 1 as *best*. Build a counterexample with two
# experts. Nine tokens in ten slightly prefer expert 0, at .51 to .49. The tenth is certain of expert 1.

# %% tags=["measure"]
# Claim 07.6.
slight = torch.tensor([[0.51, 0.49]] * 9 + [[0.0, 1.0]])
evenly = torch.tensor([[0.51, 0.49], [0.49, 0.51]])
print("shares: {:.1f} and {:.1f}".format(*share(slight.argmax(-1, True), 2)))
claim(
    "07.6",
    "A routing that gives one expert nine tenths of the tokens can have a Switch loss "
    "below 1",
    measured=switch_loss(slight, slight.argmax(-1, keepdim=True)),
    holds=below(1 - 1e-6),
    control=switch_loss(evenly, evenly.argmax(-1, keepdim=True)),
    control_is="two experts used equally",
    quantity="Switch loss",
    refutes="The Switch loss is smallest at even use",
)

# %% [markdown]
# So use it to push. To measure balance, use shares.
#
# ### An older penalty, and one that is none
#
# Shazeer et al. asked for even **importance**: an expert's importance is the sum of its gate weights over the batch. The penalty is
# the squared coefficient of variation of the importances, the `cv2` of lesson 05.
#
# **Your turn, if you like.** `weights` and `indices` are what a router returns.


# %% tags=["exercise", "optional"]
def importance_loss(weights, indices, n_experts):
    """Gate weights (T, k) of the chosen (T, k) -> variance over squared mean."""
    ### BEGIN SOLUTION
    importance = torch.zeros(n_experts)
    importance = importance.scatter_add(0, indices.flatten(), weights.flatten())
    return importance.var(correction=0) / importance.mean() ** 2
    ### END SOLUTION


# %%
importance_loss = check("07.importance_loss", importance_loss)

# %% [markdown]
# The **z-loss** often stands beside these in a model's code: the mean of $(\log \sum_i e^{z_i})^2$ over the tokens. It does not
# look at shares, and nobody says that it balances. It is there to keep the logits small, where numbers of 16 bits round them
# less. Its authors took 0.001.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the logits and the dead with a z-loss of 0.001.
kept_small = trained_with(raw, lambda r, step: 0.001 * z_loss(r))
print("               largest   smallest logit of an image   dead")
for name, trained in {"without": curve[0], "z-loss 0.001": kept_small}.items():
    logits = trained.routing(raw.x_test).logits
    print(
        f"{name:13}{logits.amax(-1).mean():9.1f}{logits.amin(-1).mean():11.1f}"
        f"{dead_in(trained).mean():25.0f}"
    )

# %% [markdown]
# It moves them down until the largest is near 0, and here the smallest goes further from 0 than any was. So look at both ends.

# %% [markdown]
# ### What do standardised inputs repair?
#
# Before you fall in love with a penalty: standardised inputs alone, without any penalty, reach the accuracy that the Switch loss
# reaches on raw pixels.

# %% tags=["measure"]
# Claim 07.7.
scaled, _ = put_aside(standardised)
scaled_alone = trained_with(scaled).accuracy(*on_test) * 100
claim(
    "07.7",
    "Standardised inputs without any penalty reach the accuracy of a Switch loss of 0.1 on "
    "raw pixels, within a point",
    measured=scaled_alone - accuracy(curve[0.1]),
    holds=above(-1),
    control=accuracy(curve[0]) - accuracy(curve[0.1]),
    control_is="raw pixels without any penalty",
    quantity="accuracy against the Switch loss (points)",
)

# %% [markdown]
# But a part of that gain has nothing to do with experts: a dense network of equal active cost gains, too.

# %% tags=["measure"]
# Claim 07.8.
claim(
    "07.8",
    "Standardised inputs without any penalty lift the mixture's accuracy by more than eight "
    "points",
    measured=scaled_alone - accuracy(curve[0]),
    holds=above(8),
    control=dense_with(15, scaled).accuracy(*on_test) * 100 - accuracy(dense),
    control_is="the dense network of equal active cost",
    quantity="accuracy gained (points)",
)

# %% [markdown]
# ### Balanced is not specialised
#
# A coefficient of 100 shows what balance is worth when it is all that counts.


# %% tags=["measure"]
# Claim 07.9.
def specialisation_of(trained):
    """How much the chosen expert tells about the rule, one number a seed."""
    chosen = trained.routing(raw.x_test).indices[..., 0]
    return torch.tensor([specialisation(choice, raw.regime_test) for choice in chosen])


absurd = with_switch(100)
assert (specialisation_of(curve[1]) - specialisation_of(absurd)).mean() > 0.1
claim(
    "07.9",
    "A Switch loss of 100, ten thousand times the usual 0.01, costs more than ten points of "
    "accuracy against one of 1, and more than 0.1 of specialisation",
    measured=accuracy(curve[1]) - accuracy(absurd),
    holds=above(10),
    control=accuracy(curve[1]) - accuracy(curve[0.01]),
    control_is="the usual 0.01 against 1",
    quantity="accuracy lost (points)",
)

# %% [markdown]
# And the hash, beside the mixture that was left to collapse:

# %% tags=["measure", "07.hash"]
# Claim 07.10.
claim(
    "07.10",
    "A mixture balanced by a hash is more than ten points less accurate than one that "
    "was left to collapse",
    measured=cost,
    holds=above(10),
    control=accuracy(curve[0]) - accuracy(curve[0.1]),
    control_is="balanced by the Switch loss",
    quantity="accuracy lost (points)",
    refutes="The more evenly the experts are used, the better the mixture",
)

# %% tags=["measure"]
# Claim 07.11.
claim(
    "07.11",
    "A hash's choice of expert tells next to nothing about the rule: specialisation "
    "below 0.05 in every seed",
    measured=specialisation_of(by_hash),
    holds=in_every_seed(below(0.05)),
    control=specialisation_of(curve[0.1]),
    control_is="balanced by the Switch loss",
    quantity="specialisation (NMI)",
    refutes="Even use means that the experts have specialised",
)

# %% [markdown]
# Keep this in mind for lesson 08. There a table, which learns nothing either, gives every character its expert, and does
# well. One thing is different: the table is stable, and the same character always comes back to the same expert. This hash of a
# *vector* is chaotic:

# %% tags=["measure"]
# Measured: how often one pixel, a level brighter, sends an image to another expert.
images = raw.x_test[:100]
brighter = images[:, None] + torch.eye(64) / 16  # each pixel in turn, one level of grey
torch.manual_seed(seeds(1)[0])
hash_router = HashRouter(64, E)
moved = hash_router(brighter).indices.view(100, 64) != hash_router(images).indices
print(
    f"one pixel a level brighter: another expert in {moved.float().mean():.1f} of all cases"
)

# %% [markdown]
# ### The bias and expert choice over ten seeds

# %% tags=["measure"]
# Claim 07.12.
claim(
    "07.12",
    "Moving a bias keeps the largest share below a third on average, without any "
    "penalty",
    measured=max_share(biased[0.01].shares(raw.x_test)),
    holds=below(0.33),
    control=max_share(curve[0].shares(raw.x_test)),
    control_is="the bias is never moved",
    quantity="largest share",
)

# %% [markdown]
# Where experts choose, an image may be nobody's, and the rest of the batch matters.


# %% tags=["measure"]
# Claim 07.13.
def without_expert(trained):
    """Per cent of the test images that get no expert, one number a seed."""
    return 100 * (trained.routing(raw.x_test).weights == 0).all(-1).float().mean(-1)


claim(
    "07.13",
    "Expert choice leaves more than two test images in a hundred without any expert",
    measured=without_expert(choosers),
    holds=above(2),
    control=without_expert(curve[0]),
    control_is="tokens choose",
    quantity="images without an expert (%)",
)


# %% tags=["measure"]
# Claim 07.14.
def lost_in_batches(trained):
    """Points of accuracy lost in shuffled batches of 32, one number a seed."""
    right = [
        trained.scores(raw.x_test[rows]).argmax(-1) == raw.y_test[rows]
        for rows in shuffled.split(32)
    ]
    return accuracy(trained) - 100 * torch.cat(right, -1).float().mean(-1)


claim(
    "07.14",
    "Asked in batches of 32 instead of all at once, expert choice is more than three points "
    "less accurate",
    measured=lost_in_batches(choosers),
    holds=above(3),
    control=lost_in_batches(curve[0]),
    control_is="tokens choose",
    quantity="accuracy lost (points)",
)

# %% [markdown]
# And in a text, whether an expert takes a token depends on tokens that come *later*. Keep the first eight tokens, change the
# eight that follow, and look at the first.


# %% tags=["measure"]
# Claim 07.15.
def two_futures(kind, seed):
    """Part of the first eight tokens whose experts change with the eight that follow."""
    torch.manual_seed(seed)
    router = kind(16, E, 2)
    past, future, other = torch.randn(3, 8, 16)
    one, two = (router(torch.cat([past, x])) for x in (future, other))
    took = [
        torch.zeros(16, E).scatter(-1, r.indices, r.weights)[:8] > 0 for r in (one, two)
    ]
    return float((took[0] != took[1]).any(-1).float().mean())


claim(
    "07.15",
    "With expert choice, other later tokens change the experts of more than a tenth of "
    "the earlier ones",
    measured=[two_futures(ExpertChoiceRouter, seed) for seed in seeds(20)],
    holds=above(0.1),
    control=[two_futures(Router, seed) for seed in seeds(20)],
    control_is="tokens choose",
    quantity="earlier tokens whose experts change",
)
