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
# # 07 Balance
#
# 45 minutes. You leave able to balance experts by a penalty, by a bias, and by letting them choose; to pick a coefficient
# on images put aside; and to tell even use from a good mixture.
#
# In a mixture that is left alone, a few experts take the data, and noise mends little of it. So we ask for balance outright. We
# measure what it is worth, and at the end you compete with a penalty of your own.

# %% tags=["setup"]
# Setup: what this lesson uses.
import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial import layers
from moe_tutorial.course import check, guess, my_moe, quiz, reveal, scoreboard
from moe_tutorial.layers import MixtureOfExperts, Router
from moe_tutorial.show import (
    Line,
    bars,
    draw_curves,
    is_narrow,
    look,
    message,
    picture,
    playground,
    sweep,
    table,
)
from moe_tutorial.study import (
    above,
    below,
    claim,
    dead,
    digits4,
    estimate,
    in_every_seed,
    max_share,
    put_aside,
    score,
    seeds,
    share,
    specialisation,
    strength,
    train,
)
from moe_tutorial.study.systems import slow_bias

torch.set_num_threads(1)  # small models are fastest on one thread
E = 8

# %% [markdown]
# ## Turn the knobs first
#
# Eight small experts learn points that follow four hidden rules. Press play. After 600 steps, raise *Coefficient* to 0.32 (on a phone it stands under *Change the
# experiment*), and train on until all experts work. It is the coefficient of a *Switch loss*, which comes next.

# %% tags=["draw", "nbval-ignore-output"]
# A mixture that trains while you turn the knobs.
playground(width=2, balance="switch", coefficient=0)

# %% [markdown]
# So a penalty can put all to work. Did more points come right by it, or by the further steps? Below we compare at equal steps, on
# images, over ten seeds.
#
# ## A penalty: share times probability
#
# For each of the $E$ experts, the **Switch loss** multiplies the share of the choices that it got, $f_i$, by the mean
# probability that the router gave it, $P_i$.
#
# $$L = E \sum_i f_i \, P_i$$
#
# At even use it is 1. (That is not its lowest value: *Further*.) One expert that has all, for sure, gives $E$.
#
# The share is a count, so it has no gradient. The probability has one, and the share weights it: the busier an expert, the harder its
# probability is pushed down. An expert that nobody chose has share 0, and is not pushed
# down. But probabilities sum to 1, so what the busy lose goes to the others. So the logit of an expert that nobody chose is pushed up. (As in lesson
# 04, the push on a logit has the factor $p$. A router that is nearly sure hardly feels it.)
#
# **Your turn.** Each expert's choices are counted. Two lines: the shares, and the sum.


# %% tags=["exercise"]
def switch_loss(probs, indices):
    """probs (T, E), chosen (T, k) -> E times the sum of share * mean probability."""
    n_experts = probs.shape[-1]
    counts = torch.bincount(indices.flatten(), minlength=n_experts)
    ### BEGIN SOLUTION
    f = counts / indices.numel()
    return n_experts * (f * probs.mean(0)).sum()
    ### END SOLUTION


# %%
switch_loss = check("07.switch_loss", switch_loss)

# %% [markdown]
# ## How much of it?
#
# The loss of the task plus a *coefficient* times the Switch loss: that is all. **Switch 0.1** is short for a coefficient of 0.1 (it is not
# the loss's value).
#
# We measure on `digits4` with raw pixels, where collapse is expensive: 8 experts of 8 neurons, one chosen, 600 steps, ten
# seeds. The coefficient is chosen on a fifth of the *training* images, put aside: of those
# within half a point of the best, we take the smallest coefficient. The test images do not choose it. (The mixtures
# of this section take half a minute.)


# %% tags=["setup"]
# Setup: the data with a fifth put aside, and how the mixtures are trained.
raw, aside = put_aside(digits4("raw"))


def trained_with(router=None, bias=False, width=8, data=raw, steps=600, **options):
    """Ten mixtures with a router of another kind, or a bias; the options are `train`'s."""

    def build():
        chooses = {"router": router()} if router else {"bias": bias}
        return MixtureOfExperts(64, width, E, 1, d_out=10, **chooses)

    return train(build, data, seeds(10), steps=steps, **options)


def with_penalty(penalty, **options):
    return trained_with(penalty=lambda routing, step: penalty(routing), **options)


def with_switch(coefficient, **options):
    return with_penalty(lambda r: coefficient * layers.switch_loss(r), **options)


def with_bias(rate, watch=None, **options):
    """Ten mixtures whose bias moves at a rate, watched at every step."""

    def move(step, trained):
        if step:
            chosen = trained.last_routing.indices
            layers.BiasBalancer(rate).update(trained.buffers["router.bias"], chosen)
        if watch:
            watch(step, trained)

    return trained_with(on_step=move, bias=True, **options)


@cache
def accuracy(trained):
    """Per cent of the test images that each seed gets right."""
    return 100 * trained.accuracy(raw.x_test, raw.y_test)


@cache
def dead_in(trained):
    return dead(trained.shares(raw.x_test)).float()


# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "07.usual",
    "Eight experts. Without a penalty, six of them are dead in the end, more or less. "
    "How many are dead with Switch 0.01, the coefficient of its authors?",
    slider=(0, 8, 0.5, "of 8"),
)

# %% tags=["measure"]
# Measured: ten seeds for each of four coefficients, and a dense network.
coefficients = [0, 0.01, 0.1, 1]
curve = {c: with_switch(c) for c in coefficients}
tried = {c: 100 * curve[c].accuracy(*aside).mean().item() for c in coefficients}
gone = {c: dead_in(curve[c]).mean().item() for c in coefficients}
as_good = [c for c in coefficients if tried[c] > max(tried.values()) - 0.5]
best = min(as_good)  # the smallest of those that are within half a point
right = {c: accuracy(curve[c]).mean().item() for c in coefficients}


def of_15():
    return nn.Sequential(nn.Linear(64, 15), nn.ReLU(), nn.Linear(15, 10))


dense = train(of_15, raw, seeds(10), steps=600)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "07.usual",
    gone[0.01],
    says=f"Without a penalty it is {gone[0]:.1f}."
    + " With 0.01 most experts are dead still. But most of the gain in right images is there already, as the picture below shows."
    * (
        gone[0.01] > E / 2
        and tried[0.01] - tried[0] > (max(tried.values()) - tried[0]) / 2
    )
    + " The authors' models are far larger and train longer, so their coefficient need not suit ours.",
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: dead experts and right images, over the coefficient.
def in_panels(columns, ticks, along, by):
    """Two panels of {title: a row of seeds for each tick}, with the number of each mean."""

    def draw(figure, theme):
        shape = (2, 1) if is_narrow(figure) else (1, 2)
        panels = figure.subplots(*shape, sharex=True)
        text, muted = look.color("text", theme), look.color("muted", theme)
        at = {"textcoords": "offset points", "weight": "bold", "color": text}
        for axes, place, (name, rows) in zip(panels, by, columns.items(), strict=True):
            axes.plot(torch.stack(rows), ".", color=muted, ms=5, alpha=0.5)
            means = [row.mean().item() for row in rows]
            axes.plot(means, "o-", color=text)
            for i, mean in enumerate(means):
                axes.annotate(f"{mean:.1f}", (i, mean), place, **at)
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_title(name, loc="left", fontsize=11)
            axes.margins(x=0.2, y=0.15)
        figure.supxlabel(along, fontsize=11)

    return draw


picture(
    in_panels(
        {
            "dead experts (of 8)": [dead_in(each) for each in curve.values()],
            "% right of those put aside": [
                100 * each.accuracy(*aside) for each in curve.values()
            ],
        },
        [f"{c:g}" for c in coefficients],
        "coefficient of the Switch loss",
        by=((7, 7), (7, -15)),
    ),
    title=f"Within half a point of the best: {' and '.join(f'{c:g}' for c in as_good)}. We take {best:g}: {gone[best]:.1f} dead, "
    f"{tried[best]:.0f} % right",
    note="Each of ten seeds (small), and their mean. Dead: on the test images.",
    alt="; ".join(
        f"coefficient {c:g}: {gone[c]:.1f} dead, {tried[c]:.0f} % right"
        for c in coefficients
    ),
    height=250,
    narrow_height=440,
)

# %% [markdown]
# As a control we aim the same penalty badly: each expert is pressed down by its *neighbour's* share. If the push alone helped, this would
# help, too.


# %% tags=["measure"]
# Claim 07.1: does Switch 0.1 put most to work?
def badly_aimed(routing):
    """The Switch loss with the shares moved on by one expert."""
    chosen = torch.zeros_like(routing.probs).scatter(-1, routing.indices, 1.0)
    return E * (chosen.mean(0).roll(1) * routing.probs.mean(0)).sum()


astray = with_penalty(lambda routing: 0.1 * badly_aimed(routing))
claim(
    "07.1",
    "With a Switch loss of coefficient 0.1, fewer than three of eight experts are dead on average",
    measured=dead_in(curve[0.1]),
    holds=below(3),
    control=dead_in(astray),
    control_is="each expert is pressed down by its neighbour's share",
    quantity="dead experts (of 8)",
)

# %% [markdown]
# ## No penalty at all: move a bias
#
# A penalty's gradient moves the router, too, and may pull it away from its task. Can we change only who is chosen, without any gradient? Wang et al. go this way: each expert has a **bias** $b_i$ beside its probability $p_i$. Experts are chosen by $p_i + b_i$, and
# the gate weight stays $p_i$.
#
# An expert's **load** is how many choices it got in a step. After the step, biases of experts below the mean load go up by a small
# *rate*, and those above it go down. At exactly the mean, a bias stays.
#
# **Your turn.** Two lines: the load of each expert, and the new bias. `torch.sign` gives -1, 0 or 1. (Counts are integers; a mean
# needs `.float()`.)


# %% tags=["exercise"]
def bias_update(bias, indices, rate):
    """bias (E,), chosen (T, k) -> the bias after this step, a new (E,)."""
    ### BEGIN SOLUTION
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias + rate * torch.sign(load.mean() - load)
    ### END SOLUTION


# %%
bias_update = check("07.bias_update", bias_update)

# %% [markdown]
# ## How fast?
#
# DeepSeek-V3 has such a bias. It takes a rate of 0.001 for most of a very long training. Our mixtures train 600 steps.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "07.rate",
    "Ten mixtures train 600 steps with a bias that moves by DeepSeek-V3's 0.001 a step. Compared with mixtures without a bias, what do "
    "you expect?",
    choices=["fewer dead, more right", "fewer dead, fewer right", "hardly a change"],
)

# %% tags=["measure"]
# Measured: ten seeds for each of two rates, watched every 50 steps.
gone_at, right_at = {}, {}  # rate -> step -> a number of each seed


def watched(rate):
    gone_at[rate], right_at[rate] = {}, {}

    def watch(step, trained):
        if step and step % 50 == 0:
            gone_at[rate][step] = dead(trained.shares(raw.x_test)).float()
            right_at[rate][step] = 100 * trained.accuracy(raw.x_test, raw.y_test)

    return with_bias(rate, watch)


slow, fast = watched(0.001), watched(0.01)
slow_gone = dead_in(slow).mean()
unsure = slow.routing(raw.x_test).weights[..., 0] < 0.1
is_right = slow.scores(raw.x_test).argmax(-1) == raw.y_test

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
more = "more" if accuracy(slow).mean() > right[0] else "fewer"
became = f"fewer dead, {more} right" if slow_gone < gone[0] - 0.5 else "hardly a change"
reveal(
    "07.rate",
    became,
    says=f"Dead: {slow_gone:.1f} of 8, without a bias {gone[0]:.1f}. Right, of the test images: {accuracy(slow).mean():.0f} %, without a "
    f"bias {right[0]:.0f} %.\n\n{100 * unsure.float().mean():.0f} % of the images go to an expert to which the router gave less than 0.1. Of "
    f"these {100 * is_right[unsure].float().mean():.0f} % are right, of the others {100 * is_right[~unsure].float().mean():.0f} %.",
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: a slow bias and a fast one, step by step.
def two_rates(figure, theme):
    """Two panels with a curve for each rate, and the end without a bias."""
    panels = figure.subplots(*((2, 1) if is_narrow(figure) else (1, 2)))
    shown = {
        "dead experts (of 8)": (gone_at, gone[0]),
        "% right": (right_at, right[0]),
    }
    colors = {0.001: "accent", 0.01: "text"}
    for axes, (name, (at, without)) in zip(panels, shown.items(), strict=True):
        lines = {"no bias": Line([steps[0], steps[-1]], [without] * 2, ":", "muted")}
        for rate, numbers in at.items():
            each = torch.stack([*numbers.values()])  # (steps, seeds)
            lines[f"rate {rate:g}"] = Line(
                steps,
                each.mean(-1).tolist(),
                color=colors[rate],
                low=each.amin(-1).tolist(),
                high=each.amax(-1).tolist(),
            )
        draw_curves(axes, theme, lines, x="step", xticks=[200, 400, 600])
        axes.set_title(name, loc="left", fontsize=11)


steps = list(right_at[0.001])
means = torch.stack([*right_at[0.001].values()]).mean(-1)
fall = int(means.diff().argmin()) + 1
title = "A slow bias and a fast one, step by step"
if means[fall] < means[fall - 1] - 5:
    title = (
        f"Between steps {steps[fall - 1]} and {steps[fall]} the slow bias takes over: right images fall from "
        f"{means[fall - 1]:.0f} % to {means[fall]:.0f} %"
    )
picture(
    two_rates,
    title=title,
    note="Means of ten seeds, and bands from the lowest to the highest; test images. Dotted: without a bias, after 600 steps.",
    alt=f"{title}. After 600 steps: "
    + "; ".join(
        f"rate {rate:g}, {gone_at[rate][steps[-1]].mean():.1f} dead, {right_at[rate][steps[-1]].mean():.0f} % right"
        for rate in right_at
    ),
    height=280,
    narrow_height=480,
)

# %% [markdown]
# At a rate of 0.001, the gap between two biases grows by at most 0.002 a step. After 500 steps it can be 1, the largest gap that two
# probabilities can have. Now the bias
# can overrule even a router that is sure, in favour of experts that have answered few images so far. How deep the fall is differs with the seeds. At ten times the rate this can come after 50
# steps, when all experts still have most of their training before them. (Both rates are examples, not tuned. In *Further*: the slow bias in ten times the steps, and one
# that needs no rate.)

# %% [markdown]
# ## Turn the tables: experts choose
#
# Penalty and bias only approach even use. What if we force it? In **expert choice** each expert takes the tokens that score highest for it, and each takes the same number, its *room*: $k/E$ of
# the tokens. Then balance is no longer a goal but a fact.
#
# **Your turn.** Two lines, almost those of `keep_top` in lesson 01. There each row kept its largest; here each *column* does.


# %% tags=["exercise"]
def expert_choice(probs, room):
    """probs (T, E) -> the `room` largest of each column, and 0 elsewhere, (T, E)."""
    ### BEGIN SOLUTION
    taken = probs.topk(room, dim=0).indices
    return torch.zeros_like(probs).scatter(0, taken, 1.0) * probs
    ### END SOLUTION


# %%
expert_choice = check("07.expert_choice", expert_choice)

# %% [markdown]
# Does every token get an expert? (A token is an image here.) We train a mixture whose experts choose, in batches of 128, and your function says who is
# served. Move the slider: are more images left without an expert when 8 are routed together, or when all are?

# %% tags=["draw", "nbval-ignore-output"]
# A slider: how many images stand for choice at once.
choosers = trained_with(router=lambda: layers.ExpertChoiceRouter(64, E, 1))
draws = torch.Generator().manual_seed(seeds(1)[0])
shuffled = torch.randperm(len(raw.x_test), generator=draws)
with torch.no_grad():
    probs = choosers.one(0).router(raw.x_test[shuffled]).probs
    answers = choosers.one(0).experts(raw.x_test[shuffled])


def gates_of(at_once):
    parts = probs.split(at_once)
    return torch.cat([expert_choice(part, math.ceil(len(part) / E)) for part in parts])


together = gates_of(len(raw.x_test)) > 0


def served(at_once):
    gates = gates_of(at_once)
    scores = torch.einsum("te,teo->to", gates, answers)
    correct = (scores.argmax(-1) == raw.y_test[shuffled]).float().mean()
    got = (gates > 0).sum(-1).clamp_max(2).bincount(minlength=3).tolist()
    moved = ((gates > 0) != together).any(-1).float().mean()
    counts = dict(zip(("no expert", "one", "two or more"), got, strict=True))
    return message(
        f"{100 * got[0] / sum(got):.0f} % of the images get no expert, and {100 * correct:.0f} % are right",
        f"{at_once:,} images at once, {math.ceil(at_once / E):,} for each expert. {100 * moved:.0f} % of the "
        "images have other experts than with all at once.",
    ) + bars(counts, "images", strong=["no expert"])


sweep(served, at_once=("Images at once", [len(raw.x_test), 256, 32, 8]))

# %% [markdown]
# Some images get no expert, others several. An image without an expert gets scores of 0, and the largest is then the first: it counts as the digit 0. And an image's experts depend on its company. In a text, a token's company includes *later* tokens, which do not exist yet while a
# model writes. That is why expert choice is for models that have all tokens at once.

# %% [markdown]
# ## Let a hash choose
#
# Is even use all we need? A **hash router** gives it without learning anything: some arithmetic on the pixels names an expert, each of
# the eight almost equally often. It costs next to nothing. The other mixtures pay for 8
# neurons and a router. For as many multiplications, each expert of the hash can have 15 neurons, and so can a dense network.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "07.hash",
    "A mixture sends each image to one of eight experts by a hash of its pixels. How many does it get right? The dense network of "
    f"15 neurons gets {accuracy(dense).mean():.0f} %.",
    slider=(0, 100, 1, "%"),
)

# %% tags=["measure"]
# Measured: the hash, and a dense network that learns from every eighth image.
by_hash = trained_with(router=lambda: layers.HashRouter(64, E), width=15)
cost = (accuracy(curve[0]) - accuracy(by_hash)).mean()
eighth = raw._replace(x_train=raw.x_train[::E], y_train=raw.y_train[::E])
by_eighth = accuracy(train(of_15, eighth, seeds(10), steps=600, batch_size=128 // E))

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "07.hash",
    accuracy(by_hash).mean(),
    says=f"Without any balance it is {right[0]:.0f} %. "
    + (
        "So even use alone does not make a mixture good."
        if cost > 2
        else "Here even use does no harm."
    )
    + f"\n\nThe dense network of 15 neurons, taught with every eighth image in batches of {128 // E}, gets {by_eighth.mean():.0f} %."
    + " The hash does about as well: it is eight dense networks, each taught with about an eighth of the images."
    * (abs(accuracy(by_hash).mean() - by_eighth.mean()) < 3),
)

# %% tags=["measure"]
# Measured: how even and how good, by ways to choose.
methods = {"nothing": curve[0], "Switch 0.1": curve[0.1], "Switch 1": curve[1]}
methods["bias 0.01"] = fast
ways = methods | {"bias 0.001": slow, "hash": by_hash}
evenness = {n: E * max_share(way.shares(raw.x_test)) for n, way in ways.items()}
ways["experts choose"] = choosers
evenness["experts choose"] = torch.ones(len(choosers))  # each takes the same number
evenness = dict(sorted(evenness.items(), key=lambda way: -way[1].mean()))
rightness = {name: accuracy(ways[name]) for name in evenness}


# %% tags=["draw", "nbval-ignore-output", "07.rate"]
# Drawn: how even and how good, by ways to choose.
def in_rows(columns, line, word, strong):
    """A row for each way, a column for each of {title: {way: a number of each seed}}; a line in the last column."""

    def draw(figure, theme):
        text, muted, ground, accent = (
            look.color(c, theme) for c in ("text", "muted", "ground", "accent")
        )
        panels = figure.subplots(1, 2, sharey=True)
        panels[1].axvline(line, color=muted, ls="--", lw=1, zorder=0)
        for axes, (title, ways) in zip(panels, columns.items(), strict=True):
            digits = int(max(each.nanmean() for each in ways.values()) < 10)
            for row, (name, each) in enumerate(ways.items()):
                mean = float(each.nanmean())
                color = accent if name.startswith(strong) else text
                axes.plot(each, [row] * len(each), ".", color=muted, ms=5, alpha=0.5)
                star = {"marker": "*", "ms": 16} if name == "yours" else {"marker": "o"}
                axes.plot(mean, row, color=color, **star)
                number = f"{mean:.{digits}f}"
                at = {"textcoords": "offset points", "ha": "center", "color": color}
                at["bbox"] = {"fc": ground, "ec": "none", "pad": 0.5}
                axes.annotate(number, (mean, row), (0, 9), weight="bold", **at)
            axes.set_title(title, loc="left", fontsize=11)
            axes.margins(x=0.15)
            axes.locator_params(axis="x", nbins=4, integer=True)
        panels[0].set_yticks(range(len(ways)), ways)
        panels[0].set_ylim(len(ways) - 0.1, -0.7)
        at = {"textcoords": "offset points", "ha": "right", "va": "center"}
        panels[1].annotate(word, (line, len(ways) - 0.4), (-4, 0), color=muted, **at)

    return draw


title = "How even, and how good"
if cost > 2 and evenness["hash"].mean() < evenness["Switch 0.1"].mean():
    title = "The hash is more even than Switch 0.1, and gets fewer right than no balance at all"
picture(
    in_rows(
        {"busiest expert,\ntimes even": evenness, "% right": rightness},
        accuracy(dense).mean(),
        "dense",
        strong="hash",
    ),
    title=title,
    note="From uneven to even. Each of ten seeds (small), and their mean; test images. Where experts choose, all images stand for choice "
    "at once. Dashed: the dense network of 15 neurons.",
    alt="; ".join(
        f"{n}: busiest {evenness[n].mean():.1f} times even, {rightness[n].mean():.0f} % right"
        for n in evenness
    ),
    height=370,
)

# %% [markdown]
# On raw pixels, balance pays: after 600 steps, Switch 0.1, Switch 1 and the fast bias get more right than a mixture without balance, and than a
# dense network of their cost, on average. The slow bias is more even than nothing, and gets fewer right: balance that comes late costs.
# But it is no end in itself. What counts is that experts are right where they are asked.

# %% [markdown]
# ## Your penalty against theirs
#
# So design for accuracy. Write a penalty of your own: what it returns is added to the loss. In `routing` it finds `logits`, `probs`
# (T, E), `indices` and `weights` (T, k). As it stands, large logits are expensive. What else should be? Large mean probabilities?
#
# Can you beat Switch 0.1, and Switch 1, too? The images put aside judge. A second goal: keep all experts at work without looking at the
# shares, and lose at most half a point.

# %%
your_seeds = slice(0, 5)  # the first five; slice(0, 10) takes all, and twice the time


def own_penalty(routing):
    return 0.01 * routing.logits.square().mean()


# %% tags=["measure"]
# Measured: mixtures with your penalty, trained as the others are, from the same seeds.
def trained_alone(penalty, seed):
    """One mixture, in a plain loop."""
    torch.manual_seed(seed)
    moe = MixtureOfExperts(64, 8, E, 1, d_out=10, dispatch="dense")
    optimizer = torch.optim.Adam(moe.parameters(), lr=0.01)
    draws = torch.Generator().manual_seed(seed)
    for rows in torch.randint(len(raw.x_train), (600, 128), generator=draws):
        scores, routing = moe(raw.x_train[rows])
        loss = F.cross_entropy(scores, raw.y_train[rows]) + penalty(routing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return moe.eval()


def trouble(penalty):
    """What is wrong with a penalty, if anything is."""
    try:
        cost = penalty(Router(64, E, 1)(raw.x_train[:128]))
    except Exception as error:
        return f"Your penalty stops with {type(error).__name__}: {error}"
    if cost is None:
        return "Your penalty returns nothing. Is there a `return`?"
    cost = torch.as_tensor(cost)
    if cost.numel() != 1:
        return f"Your penalty has shape {tuple(cost.shape)}: return one number."
    return (
        "" if cost.requires_grad else "Your penalty has no slope: it will move nothing."
    )


yours, wrong = [], trouble(own_penalty)
if not wrong:
    yours = [trained_alone(own_penalty, seed) for seed in seeds(10)[your_seeds]]
    if not all(moe.router.weight.isfinite().all() for moe in yours):
        yours = []
        wrong = "Your penalty became NaN on the way: a log of 0, a division by 0?"
if yours:
    judged = [moe(aside[0]) for moe in yours]
    hits = [(scores.argmax(-1) == aside[1]).float().mean() for scores, _ in judged]
    your_right = 100 * torch.stack(hits)
    used = torch.stack([share(routing.indices, E) for _, routing in judged])
    your_dead = dead(used).float()

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: your penalty among the methods, from the same seeds.
n = len(seeds(10)[your_seeds])
places = {
    name: (dead(each.shares(aside[0])).float(), 100 * each.accuracy(*aside))
    for name, each in methods.items()
}
places = {name: [x[your_seeds] for x in pair] for name, pair in places.items()}
title = wrong
if yours:
    places["yours"] = your_dead, your_right
    ahead = estimate(your_right - places["Switch 0.1"][1])
    title = (
        f"Yours {your_right.mean():.1f} %: {ahead.mean:+.1f} points against Switch 0.1 "
        f"(the same {n} seeds; 95 % interval {ahead.low:+.1f} to {ahead.high:+.1f})"
    )


picture(
    in_rows(
        {
            "dead experts\n(of 8)": {way: x for way, (x, _) in places.items()},
            "% right of\nthose put aside": {way: y for way, (_, y) in places.items()},
        },
        places["Switch 0.1"][1].mean(),
        "to beat",
        strong="yours",
    ),
    title=title,
    note=f"On the images put aside. Large: means of the same {n} seeds (above they were ten); small: each seed."
    + " Star: your penalty." * bool(yours),
    alt="; ".join(
        f"{way}: {x.mean():.1f} dead, {y.mean():.0f} %"
        for way, (x, y) in places.items()
    ),
    height=300,
)

# %% [markdown]
# You are ahead where the interval lies above 0, and behind where it lies below. The more often you try, the more easily you get ahead by luck. If it contains 0,
# these seeds do not tell which is better; more seeds make it narrower.

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("07")

# %% [markdown]
# ## Try it
#
# 1. When your penalty is ahead, does it stay ahead on seeds that it was not chosen on? Set `your_seeds = slice(5, 10)`. (The images
#    are still the ones that you tuned on.)
# 2. In the playground above, train 600 steps at coefficient 0 with *Seed* 1, and then raise it. What happens to *Right, held out*?
# 3. In the [playground](playground.ipynb#preset=hash) a hash chooses. Press play: how even is the use, and how many come right? Then a router
#    that serves [its penalty alone](playground.ipynb#preset=penalty): which number gets better, and which does not?
#
# ## Recap
#
# - A penalty pushes the busy down: share times probability, over all experts. A coefficient is chosen on images put aside.
# - A bias balances without a term in the loss. It changes who is chosen; an expert's gate weight stays its probability. (In
#   [code that shipped](museum.ipynb#the-right-experts-and-weights-that-are-too-alike), it touched the weights.) Its rate has to fit the
#   length of the training.
# - Where experts choose, balance is a fact. Some tokens get no expert, and which ones depends on the other tokens in the batch.
# - Even use is not yet a good mixture: a hash is very even, and gets fewer right than no balance at all. Report use beside the
#   accuracy, not in its place. (In *Further*: equal strength is no goal, either.)
#
# **Sources.** Share times probability: [Fedus et al. 2021](https://arxiv.org/abs/2101.03961), section 2.2. Importance:
# [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538). z-loss: [Zoph et al. 2022](https://arxiv.org/abs/2202.08906).
# The bias: [Wang et al. 2024](https://arxiv.org/abs/2408.15664), [DeepSeek-V3 2024](https://arxiv.org/abs/2412.19437), both on sigmoid
# scores; we keep the softmax. Quantiles:
# [Su 2026](https://kexue.fm/archives/11619); Kimi K3's, in [torchtitan](https://github.com/pytorch/torchtitan/pull/4577).
# Expert choice: [Zhou et al. 2022](https://arxiv.org/abs/2202.09368). Hash: [Roller et al. 2021](https://arxiv.org/abs/2106.04426).

# %% [markdown]
# ## Further
#
# ### Equal in strength
#
# Should experts be equally *good*? An expert's accuracy over all images, as in lesson 05, hides what it is good
# at. So we measure each expert on each of the four rules of `digits4`. Its highest accuracy is its **strength**. The **spread** is the
# standard deviation of the strengths of the experts at work.

# %% tags=["measure"]
# Measured: each expert's strength.
by_hash_8 = trained_with(router=lambda: layers.HashRouter(64, E))
compared = methods | {"hash, 15 neurons": by_hash, "hash, 8 neurons": by_hash_8}


@torch.no_grad()
def strengths(moe):
    """Each expert's accuracy on the rule that it is best at, in per cent: (E,)."""
    scores = moe.experts(raw.x_test)
    return 100 * strength(scores, raw.y_test, raw.regime_test).amax(-1)


strong = {
    name: torch.stack([strengths(trained.one(i)) for i in range(10)])
    for name, trained in compared.items()
}


def spread_of(strengths, shares):
    """The standard deviation of the strengths (E,) of the experts at work; one alone has none."""
    at_work = strengths[shares >= 0.01]
    return at_work.std(correction=0) if len(at_work) > 1 else torch.tensor(torch.nan)


spread = {
    name: torch.stack(list(map(spread_of, strong[name], way.shares(raw.x_test))))
    for name, way in compared.items()
}
own = {name: each.mean().item() for name, each in strong.items()}
unequal = {name: each.nanmean().item() for name, each in spread.items()}
alone = int(spread["nothing"].isnan().sum())
right_by = {name: accuracy(each).mean().item() for name, each in compared.items()}

# %% tags=["draw", "nbval-ignore-output", "07.hash"]
# A table: how strong, how equal and how good.
extremes = (
    min(unequal, key=unequal.get),
    min(right_by, key=right_by.get),
)
table(
    ["", "strength", "spread", "right together"],
    {
        name: [
            f"{own[name]:.0f} %",
            f"{unequal[name]:.0f} points",
            f"{right_by[name]:.0f} %",
        ]
        for name in compared
    },
    title="The hash's experts are the most equal, and get the fewest right of these"
    if all(name.startswith("hash") for name in extremes)
    else "How strong the experts are, how unequal, and how good together",
    note="Means of ten seeds, test images. Strength: of all eight experts; spread: of those at work. Experts have 8 neurons, and at equal "
    "cost a hash's have 15. Who compares strength itself takes the hash of 8."
    + f" One expert at work has no spread ({alone} of 10 seeds with nothing)."
    * (alone > 0),
)


# %% tags=["measure", "07.hash"]
# Claim 07.2: are equal experts better together?
assert spread["hash, 15 neurons"].mean() < spread["Switch 0.1"].mean()
claim(
    "07.2",
    "At equal cost, a mixture that chooses by a hash, whose experts are more equal in strength, is more than 15 points less "
    "accurate than with a Switch loss of coefficient 0.1",
    measured=accuracy(methods["Switch 0.1"]) - accuracy(by_hash),
    holds=above(15),
    control=accuracy(methods["Switch 0.1"]) - accuracy(methods["Switch 1"]),
    control_is="Switch 1: more equal, too, but the router learns",
    quantity="accuracy lost against Switch 0.1 (points)",
    refutes="The more equal the experts are in strength, the better the mixture",
)

# %% [markdown]
# A mixture can get more right than its experts' strengths: each image is answered by one expert, and comes out right where that one is
# right. Strength does not see who is sent where. (Eight experts share four rules: even of its best rule an expert learns from some
# images only.)

# %% [markdown]
# ### Balanced and dense, over ten seeds
#
# Which is better, a penalty or a bias? Too few coefficients and rates were tried to say. But both are ahead of the dense network, and
# for the penalty we claim it.

# %% tags=["measure"]
# Claim 07.3: is a balanced mixture ahead of a dense network?
claim(
    "07.3",
    "On raw digits4, a mixture with a Switch loss of coefficient 0.1 is more than four points more "
    "accurate than the dense network of equal active cost",
    measured=accuracy(curve[0.1]) - accuracy(dense),
    holds=above(4),
    control=accuracy(astray) - accuracy(dense),
    control_is="each expert is pressed down by its neighbour's share",
    quantity="accuracy over the dense network (points)",
)

# %% [markdown]
# ### Two rows for the scoreboard
#
# With the coefficient that was chosen on the images put aside, and a rate of 0.01. As in lesson 04, the pixels are standardised,
# and training takes 800 steps and all training images.

# %% tags=["measure", "remove-output"]
# Two rows for the scoreboard.
standardised = digits4("standardised")
by_penalty = with_switch(best, data=standardised, steps=800)
by_bias = with_bias(0.01, data=standardised, steps=800)
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
    title=f"Balanced by a penalty, the mixture gets {100 * by_penalty.accuracy(*on_test).mean():.0f} % "
    f"right; by a bias {100 * by_bias.accuracy(*on_test).mean():.0f} %",
)

# %% [markdown]
# Beside lesson 04's mixture the gain is small: on standardised pixels, collapse costs little. Balance brings the mixture, of 64
# neurons, close to a dense network of 32 that is not told the rule and uses all of them for every image. It stays below one as large as
# itself (lesson 04).
#
# ### This is yours
#
# What you wrote goes into your `my_moe.py`, too. As soon as your penalty, your bias, or the noise of lesson 06 is right, the file
# has a `BalancedMoE`. Here it trains on the plane with your penalty. Which experts work? Then set the penalty to 0.

# %% tags=["nbval-ignore-output"]
mine = my_moe()  # in a terminal: python my_moe.py
if hasattr(mine, "BalancedMoE"):
    torch.manual_seed(seeds(1)[0])
    moe = mine.BalancedMoE(2, 4, n_experts=E, top_k=1, d_out=2)
    mine.train_balanced(moe, *mine.plane(1000), penalty=0.1)
    _, (chosen, _) = moe(mine.plane(1000)[0])
    print("points of each expert:", chosen.flatten().bincount(minlength=E).tolist())

# %% [markdown]
# ### What the Switch loss does not tell
#
# Is its value a measure of balance? Your loss of two routings of a thousand tokens:

# %% tags=["measure"]
# Measured: your loss of two routings.
drawn = torch.rand(1000, E).softmax(-1)
one_for_all = torch.zeros(1000, 1, dtype=int)
certain = torch.eye(E)[one_for_all[:, 0]]  # the router is sure of expert 0
print(f"even use: {switch_loss(drawn, torch.arange(1000)[:, None] % E):.3f}")
print(f"one expert has all, for sure: {switch_loss(certain, one_for_all):.3f}")
routing = Router(16, E, 2)(torch.randn(256, 16))
by_hand = switch_loss(routing.probs, routing.indices)
assert torch.allclose(by_hand, layers.switch_loss(routing))  # the package's

# %% [markdown]
# It is tempting to read 1 as *best*. Build a counterexample with two experts. Nine tokens in ten slightly prefer expert 0, at .51
# to .49. The tenth is certain of expert 1.

# %% tags=["measure"]
# Claim 07.4: is the Switch loss smallest at even use?
slight = torch.tensor([[0.51, 0.49]] * 9 + [[0.0, 1.0]])
evenly = torch.tensor([[0.51, 0.49], [0.49, 0.51]])
print("shares: {:.1f} and {:.1f}".format(*share(slight.argmax(-1, True), 2)))
claim(
    "07.4",
    "A routing that gives one expert nine tenths of the tokens can have a Switch loss below 1",
    measured=switch_loss(slight, slight.argmax(-1, keepdim=True)),
    holds=below(1 - 1e-6),
    control=switch_loss(evenly, evenly.argmax(-1, keepdim=True)),
    control_is="two experts used equally",
    quantity="Switch loss (1 is even)",
    refutes="The Switch loss is smallest at even use",
)

# %% [markdown]
# So use it to push. To measure balance, use shares.
#
# ### A bias without a rate
#
# Kimi K3 does without a rate, by **quantile balancing**. Say that one of four experts is chosen, and a token's scores plus biases are
# .5, .3, .15 and .05. The first stays chosen as long as it passes .3, the token's number $k + 1$. That is the token's *bar*: an
# expert is chosen with a bias larger than bar minus score. (The other three would have to pass .5, so for them it is a little low.)
#
# Even use means that $k/E$ of the tokens choose an expert. So its bias becomes the $k/E$ quantile of bar minus score, over the tokens
# of a batch. A few such updates even out what the low bar leaves. Only differences between biases count: their mean is subtracted.
#
# **Your turn, if you like.** Three lines: the bars, the quantiles over the tokens, and the mean.


# %% tags=["exercise", "optional"]
def quantile(probs, bias, k):
    """probs (T, E), bias (E,), k chosen per token -> the new bias, (E,)."""
    ### BEGIN SOLUTION
    bar = (probs + bias).topk(k + 1).values[:, -1:]
    new = (bar - probs).quantile(k / len(bias), dim=0)
    return new - new.mean()
    ### END SOLUTION


# %%
quantile = check("07.quantile", quantile)

# %% [markdown]
# Here is your rule on a router that is not trained. Its inputs are never negative, so it has a favourite.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the busiest expert's share while your rule sets the biases.
torch.manual_seed(seeds(1)[0])
router, x = Router(16, E, 1, bias=True), torch.rand(512, 16)
for updates in range(6):
    busiest = E * max_share(share(router(x).indices, E))
    print(f"{updates} updates: the busiest has {busiest:.2f} times its even share")
    router.bias = quantile(router(x).probs, router.bias, 1)


# %% tags=["measure"]
# Claim 07.5: does a bias set by quantiles balance?
def set_bias(step, trained):
    if step:
        bias, routing = trained.buffers["router.bias"], trained.last_routing
        layers.QuantileBalancer(top_k=1).update(bias, routing.probs)


quantiles = trained_with(on_step=set_bias, bias=True)
print(f"with quantiles: {accuracy(quantiles).mean():.0f} % right")
claim(
    "07.5",
    "A bias set by quantiles keeps the busiest expert below 1.6 times its even share, without any rate",
    measured=E * max_share(quantiles.shares(raw.x_test)),
    holds=below(1.6),
    control=E * max_share(curve[0].shares(raw.x_test)),
    control_is="no bias",
    quantity="share of the busiest expert (of an even share)",
)

# %% [markdown]
# ### An older penalty, and one that is none
#
# Shazeer et al. asked for even **importance**: an expert's importance is the sum of its gate weights over the batch. The penalty is
# the squared coefficient of variation of the importances, the `cv2` of lesson 05.
#
# The **z-loss** often stands beside these in a model's code: the mean of $(\log \sum_i e^{z_i})^2$ over the tokens. It does not
# look at shares, and is no penalty for balance: it keeps the logits small.
#
# ### Balanced is not specialised


# %% tags=["measure", "07.hash"]
# Claim 07.6: does even use mean that experts specialise?
def specialisation_of(trained):
    """How much the chosen expert tells about the rule, one number a seed."""
    chosen = trained.routing(raw.x_test).indices[..., 0]
    return torch.tensor([specialisation(choice, raw.regime_test) for choice in chosen])


claim(
    "07.6",
    "A hash's choice of expert tells next to nothing about the rule: specialisation below 0.05 in every seed",
    measured=specialisation_of(by_hash),
    holds=in_every_seed(below(0.05)),
    control=specialisation_of(curve[0.1]),
    control_is="balanced by the Switch loss",
    quantity="specialisation (NMI)",
    refutes="Even use means that the experts have specialised",
)

# %% [markdown]
# Keep this in mind for lesson 08. There a table, which learns nothing either, gives every character its expert, and does
# well. One difference: the same character always comes back to the same expert. This hash is of a *vector*, and may send
# two images that are nearly alike to different experts.
#
# ### The slow bias, equal strength and expert choice over ten seeds

# %% tags=["measure", "07.rate"]
# Claim 07.7: the slow bias after 600 steps, and what ten times the steps make of it.
for name, rate in {"a bias that moves by 0.001": "0.001", "no bias": "0"}.items():
    end = {column: x[-1] for column, x in slow_bias.stored()[rate].items()}
    print(
        f"{name}, {end['step']:,} steps (stored): {end['dead']:.1f} dead, {end['right']:.0f} % right"
    )
claim(
    "07.7",
    "A bias that moves by 0.001 a step costs more than five points of accuracy after 600 steps",
    measured=accuracy(curve[0]) - accuracy(slow),
    holds=above(5),
    control=accuracy(curve[0]) - accuracy(fast),
    control_is="it moves by 0.01 a step",
    quantity="accuracy lost against no bias (points)",
)

# %% tags=["measure"]
# Claim 07.8: how equal does a strong push make the experts?
claim(
    "07.8",
    "With a Switch loss of coefficient 1, the strengths of the experts at work have a spread below nine points",
    measured=spread["Switch 1"],
    holds=below(9),
    control=spread["Switch 0.1"],
    control_is="a coefficient of 0.1",
    quantity="standard deviation of the strengths (points)",
)


# %% [markdown]
# Without an expert, all scores are 0, which counts as the answer 0. And a part of what small batches cost may come from the change of
# size: the mixture was trained with 128.


# %% tags=["measure"]
# Claim 07.9: what do small batches cost where experts choose?
def lost_in_batches(trained):
    """Points of accuracy lost in shuffled batches of 32, one number a seed."""
    rows = shuffled.split(32)
    said = torch.cat([trained.scores(raw.x_test[part]).argmax(-1) for part in rows], -1)
    return accuracy(trained) - 100 * (said == raw.y_test[shuffled]).float().mean(-1)


claim(
    "07.9",
    "Asked in batches of 32 instead of all at once, expert choice is more than three points less accurate",
    measured=lost_in_batches(choosers),
    holds=above(3),
    control=lost_in_batches(curve[0]),
    control_is="tokens choose",
    quantity="accuracy lost (points)",
)
