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
# 35 minutes. You leave able to say who works in a mixture and how even that is, to measure how strong each expert is by
# itself, and to tell what it costs when few of them work.
#
# Eight experts start alike. Nobody is told to share, and nobody is told not to. The router is free to use all of them,
# and using more of them should make the network better. So it will, won't it?

# %% tags=["setup"]
# Setup: what this lesson uses.
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.show import (
    interval_chart,
    is_narrow,
    look,
    picture,
    playground,
    watch_usage,
)
from moe_tutorial.study import (
    above,
    below,
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
    strength,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread
E = 8

# %% [markdown]
# ## Sixty mixtures
#
# The data are handwritten digits as they come, pixels between 0 and 1. A mixture has eight experts of 16 neurons, and each
# image goes to one of them. We train it from sixty random starts, 300 steps each. An expert counts as **dead** when it gets
# less than one image in a hundred.

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
# Measured: the shares of all experts while sixty mixtures train.
raw = digits("raw")
STEPS, EVERY = 300, 10


def mixture(width=16):
    return MixtureOfExperts(64, width, E, 1, d_out=10)


def run(data, n_seeds, build=mixture, steps=STEPS, **options):
    """The trained seeds, and their shares on the test images (n_seeds, E)."""
    trained = train(build, data, seeds(n_seeds), steps=steps, **options)
    return trained, share(trained.routing(data.x_test).indices, E)


history = []


def note(step, trained):
    if step % EVERY == 0:
        history.append(share(trained.routing(raw.x_test).indices, E))


sixty, end = run(raw, 60, on_step=note)
history = torch.stack(history)
start = history[0]
collapsed = int((dead(end) >= 5).sum())
print("seeds in which at least five experts die:", collapsed, "of 60")

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal("05.sixty", collapsed)


# %% tags=["draw", "nbval-ignore-output", "05.sixty"]
# Drawn: sixty starts, before and after training.
def stacks(figure, theme):
    """A dot for each seed, stacked above the number of its dead experts."""
    across, size = (3, 9) if is_narrow(figure) else (5, 11)
    rows = {"before training": start, f"after {STEPS} steps": end}
    high = [dead(shares).bincount().max() // across + 2 for shares in rows.values()]
    places = figure.subplots(2, 1, sharex=True, height_ratios=[int(h) for h in high])
    for axes, top, (name, shares) in zip(places, high, rows.items(), strict=True):
        for n_dead in range(E):
            winners = shares[dead(shares) == n_dead].argmax(-1).sort().values
            middle = (min(across, len(winners)) - 1) / 2
            for i, expert in enumerate(winners.tolist()):
                x, y = n_dead + (i % across - middle) * 0.9 / across, i // across
                color, on = (
                    look.expert_color(expert, theme, w) for w in ("color", "on")
                )
                axes.plot(x, y, "o", ms=size, color=color)
                axes.text(
                    x, y, expert, color=on, fontsize=size - 3, ha="center", va="center"
                )
        muted = look.color("muted", theme)
        axes.set_title(name, loc="left", color=muted, fontsize=11)
        axes.set(xlim=(-0.6, E - 0.4), ylim=(-0.8, top), xticks=range(E), yticks=[])
        axes.spines["left"].set_visible(False)
    places[1].set_xlabel("dead experts of 8")


picture(
    stacks,
    title=f"Before training {dead(start).float().mean():.1f} of 8 experts are dead; "
    f"after it, {dead(end).float().mean():.1f}",
    note="A dot is one of the sixty. Number and colour: the expert that gets most of its images.",
    alt=f"Sixty dots above the number of dead experts. Before training they lie at {int(dead(start).min())} "
    f"to {int(dead(start).max())}, after it at {int(dead(end).min())} to {int(dead(end).max())}. Each expert wins somewhere.",
    height=380,
    narrow_height=560,
)

# %% tags=["measure", "05.sixty"]
# Claim 05.1.
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
# Here is one of the sixty, from before the first step. Who is ahead, and who will be? Press Play.

# %% tags=["draw", "nbval-ignore-output"]
# A film of one of the sixty.
overtaken = int((start.argmax(-1) != end.argmax(-1)).nonzero()[0])
watch_usage(
    history[:, overtaken],
    steps=list(range(0, STEPS + 1, EVERY)),
    title="One of the sixty: raw digits, no noise, no penalty",
)

# %% [markdown]
# ## Who works?
#
# We have looked. Now we measure, and everything starts from the **share** $s_i$: the part of all choices that went to
# expert $i$.
#
# **Your turn.** Each of `T` tokens has chosen `k` experts, by their numbers.


# %% tags=["exercise"]
def my_share(chosen, n_experts):
    """chosen (T, k), numbers of experts -> the part of the choices each got (E,)."""
    ### BEGIN SOLUTION
    counts = torch.bincount(chosen.flatten(), minlength=n_experts)
    return counts / chosen.numel()
    ### END SOLUTION


# %%
my_share = check("05.my_share", my_share)

# %%
one = sixty.one(overtaken)  # the mixture of the film
chosen = one(raw.x_test)[1].indices
print("its shares:", [round(s, 2) for s in my_share(chosen, E).tolist()])

# %% [markdown]
# Eight numbers are easy to read. Sixty times eight are not, so we boil a set of shares down to one number. Four are in
# common use:
#
# - The **largest share**: even use gives $1/E$, one expert for everything gives 1.
# - **Dead experts**: how many get less than one choice in a hundred.
# - The **entropy** $-\sum_i s_i \log s_i$, divided by $\log E$: 1 is even, 0 is one for all.
# - The **squared coefficient of variation** $\mathrm{cv}^2$: the variance of the shares over the square of their mean.
#   0 is even, $E - 1$ is one for all.
#
# **Your turn.** The last one is what the oldest balance losses push down (lesson 07).


# %% tags=["exercise"]
def my_cv2(shares):
    """shares (E,) -> their variance over all E, divided by their mean squared."""
    ### BEGIN SOLUTION
    return shares.var(correction=0) / shares.mean() ** 2
    ### END SOLUTION


# %%
my_cv2 = check("05.my_cv2", my_cv2)

# %% [markdown]
# Each of the four notices something different:

# %% tags=["measure"]
# Measured: four situations, each in four numbers.
situations = {
    "even": torch.tensor([0.25, 0.25, 0.25, 0.25]),
    "uneven": torch.tensor([0.55, 0.15, 0.15, 0.15]),
    "two alive": torch.tensor([0.50, 0.50, 0.00, 0.00]),
    "collapsed": torch.tensor([1.00, 0.00, 0.00, 0.00]),
}
print(f"{'':10}{'largest':>9}{'dead':>6}{'entropy':>9}{'cv2':>6}")
for name, shares in situations.items():
    print(
        f"{name:10}{shares.max():9.2f}{dead(shares):6d}"
        f"{entropy(shares):9.2f}{float(my_cv2(shares)):6.2f}"
    )
    assert abs(float(my_cv2(shares) - cv2(shares))) < 1e-5

# %% [markdown]
# Compare *uneven* with *two alive*. The largest share finds *uneven* worse; the other three say the opposite. Half of the
# experts are gone in *two alive*, and the largest share cannot see it. So look at two numbers, not at one.
#
# ## How strong is each?
#
# A share says how often an expert is asked. It does not say what the expert can do. Its **strength** is its accuracy when it
# answers alone, chosen or not.
#
# **Your turn.** `answers` holds what each of `E` experts says to each of `T` images: a score for each of `C` classes.


# %% tags=["exercise"]
def my_strength(answers, labels):
    """answers (T, E, C), labels (T,) -> each expert's own accuracy (E,)."""
    ### BEGIN SOLUTION
    right = answers.argmax(-1) == labels[:, None]
    return right.float().mean(0)
    ### END SOLUTION


# %%
my_strength = check("05.my_strength", my_strength)

# %% [markdown]
# Before you use it, a question. On plain digits one good expert can serve everybody. So we take `digits4`, images in four
# rotations, each rotation with a rule of its own, and judge an expert by the rule that it is best at. Ten mixtures train
# there; their experts have 8 neurons.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.strength",
    "After training we ask the dead experts, too, each about the images of the rule "
    "that it is best at. How many of a hundred does a dead expert get right, on "
    "average?",
    slider=(0, 100, 1, "of 100"),
)


# %% tags=["measure", "05.strength"]
# Measured: share and strength of each expert, and again where every expert learns from every image.
class Choice(NamedTuple):
    """What a mixture in which everyone learns hands out beside its scores."""

    indices: torch.Tensor  # (T, 1)
    own_loss: torch.Tensor  # cross-entropy of every expert's own answer, summed


class EveryoneLearns(nn.Module):
    """A mixture in which every expert learns from every image, by its own answer's loss.

    x (T, 64 + 10): the image, and beside it the label, as ten numbers of which one is 1.
    """

    def __init__(self):
        super().__init__()
        self.moe = mixture(width=8)

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


rules = digits4("raw")
labelled = rules._replace(
    x_train=beside(rules.x_train, rules.y_train),
    x_test=beside(rules.x_test, rules.y_test),
)
given, given_shares = run(rules, 10, lambda: mixture(width=8), steps=800)
everyone, everyone_shares = run(
    labelled, 10, EveryoneLearns, steps=800, penalty=lambda choice: choice.own_loss
)


@torch.no_grad()
def strengths(mixtures):
    """Each expert's accuracy on the rule that it is best at, (n_seeds, E)."""
    answers = torch.stack([moe.experts(rules.x_test) for moe in mixtures])
    return strength(answers, rules.y_test, rules.regime_test).amax(-1)


shares_of = {"given": given_shares, "everyone": everyone_shares}
strength_of = {
    "given": strengths(given.one(i) for i in range(10)),
    "everyone": strengths(everyone.one(i).moe for i in range(10)),
}
is_dead = shares_of["given"] < 0.01
dead_right = 100 * strength_of["given"][is_dead].mean()

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal("05.strength", float(dead_right))


# %% tags=["draw", "nbval-ignore-output", "05.strength"]
# Drawn: share against strength.
def against(figure, theme):
    """A dot for each expert of ten mixtures: how much it is asked, how strong it is."""
    axes = figure.add_subplot()
    ink, muted = (look.color(role, theme) for role in ("text", "muted"))
    styles = {"everyone": ("o", muted, "none"), "given": ("o", ink, ink)}
    for name, (mark, color, fill) in styles.items():
        shares, strong = shares_of[name].flatten(), strength_of[name].flatten()
        axes.plot(shares, strong, mark, ms=6, color=color, mfc=fill, alpha=0.75)
    axes.axhline(0.1, color=look.color("line", theme), lw=1.5)
    axes.set(xlabel="share of the images", ylabel="strength", ylim=(0, 1))


busiest = strength_of["given"].gather(-1, shares_of["given"].argmax(-1, keepdim=True))
picture(
    against,
    title=f"The busiest expert gets {busiest.mean():.0%} of its best rule right, a dead one {dead_right:.0f}%",
    note=(
        "A dot is an expert of one of ten mixtures. Filled: it learns from the images that it is given. "
        "Hollow: every expert learns from every image. The line is chance."
    ),
    alt=(
        f"Strength against share. Filled dots rise from {dead_right / 100:.2f} at share 0 to "
        f"{busiest.mean():.2f}; hollow dots lie at {strength_of['everyone'].mean():.2f} whatever their share."
    ),
    height=320,
)


# %% tags=["measure", "05.strength"]
# Claim 05.10.
def correlation(name):
    """How share and strength of eight experts go together, from -1 to 1: one a seed."""
    pairs = zip(shares_of[name], strength_of[name], strict=True)
    return [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs]


claim(
    "05.10",
    "On raw digits4, an expert is as strong as its share is large: in every seed the two "
    "correlate by more than 0.7",
    quantity="correlation of share and strength",
    measured=correlation("given"),
    holds=in_every_seed(above(0.7)),
    control=correlation("everyone"),
    control_is="every expert learns from every image",
)

# %% [markdown]
# Now your function, on the eight of the film. Compare what it says with their shares.

# %% tags=["05.strength"]
with torch.no_grad():
    answers = one.experts(raw.x_test)
print(
    "its strengths:", [round(s, 1) for s in my_strength(answers, raw.y_test).tolist()]
)

# %% [markdown]
# An expert that is asked becomes strong, and one that is not asked stays where it began. Where everybody learns from
# everything, all are about equally strong, and the share tells nothing.
#
# Is that the better mixture? Look at the height of the hollow dots: nobody there is as strong as the busiest expert, because
# each has to learn all four rules. Whether we *want* experts of equal strength is a question for lesson 07.
#
# ## What does it cost?
#
# A mixture in which one expert does the work has the parameters of eight and the wits of one. That must cost accuracy. We
# compare with mixtures that do not collapse. For those it is enough to subtract the mean image from all images (the next
# lesson finds out why).


# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.cost",
    "On plain digits, with one rule for all: how accurate are the collapsed mixtures, "
    "beside those that did not collapse?",
    choices=[
        "more than two points worse",
        "the same, within two points",
        "more than two points better",
    ],
)


# %% tags=["measure", "05.cost"]
# Claim 05.7.
def centre(data):
    """The same images, with the mean training image subtracted."""
    mean = data.x_train.mean(0)
    return data._replace(x_train=data.x_train - mean, x_test=data.x_test - mean)


centred, rules_centred = centre(raw), centre(rules)
spread, _ = run(centred, 20)
spread_given, spread_shares = run(
    rules_centred, 10, lambda: mixture(width=8), steps=800
)
by_collapse = 100 * (
    sixty.accuracy(raw.x_test, raw.y_test)[:20]
    - spread.accuracy(centred.x_test, centred.y_test)
)
mixtures = {
    "raw": 100 * given.accuracy(rules.x_test, rules.y_test),
    "centred": 100 * spread_given.accuracy(rules_centred.x_test, rules.y_test),
}

claim(
    "05.7",
    "On plain digits the collapsed mixtures are not less accurate than those that did "
    "not collapse, within two points",
    quantity="accuracy gained by collapsing",
    unit="points",
    measured=by_collapse,
    holds=above(-2),
    control=mixtures["raw"] - mixtures["centred"],
    control_is="digits4, where four rules compete",
    refutes="A mixture that has collapsed is a worse network",
)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "05.cost",
    "more than two points worse"
    if by_collapse.mean() < -2
    else "more than two points better"
    if by_collapse.mean() > 2
    else "the same, within two points",
)

# %% [markdown]
# On plain digits, losing most of the experts costs nothing. Whoever shows collapse on such a problem, and promises
# better accuracy from its cure, promises too much. On `digits4` the raw mixtures fall behind.
#
# But the inputs changed as well. So hold the mixtures against the cheap alternative: one dense network in which every
# input costs as many multiplications as it does in the mixture. One expert has 8 neurons; the router's 8 logits cost
# as much as 7 more.


# %% tags=["measure"]
# Claim 05.8.
class Dense(nn.Module):
    """One hidden layer: the network that a mixture has to beat."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
        )

    def forward(self, x):
        return self.layers(x)


def dense_accuracy(data):
    trained = train(lambda: Dense(15), data, seeds(10))
    return 100 * trained.accuracy(data.x_test, data.y_test)


print("multiplications: mixture", 64 * E + (64 + 10) * 8, " dense", (64 + 10) * 15)
dense = {"raw": dense_accuracy(rules), "centred": dense_accuracy(rules_centred)}
claim(
    "05.8",
    "On digits4, mixtures on centred inputs beat the dense network of equal active cost",
    quantity="lead in accuracy",
    unit="points",
    measured=mixtures["centred"] - dense["centred"],
    holds=above(0),
    control=mixtures["raw"] - dense["raw"],
    control_is="raw inputs",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the accuracy of mixtures and dense networks.
lost = (mixtures["centred"] - mixtures["raw"]).mean()
interval_chart(
    {
        "dense, raw": dense["raw"] / 100,
        "mixture, raw": mixtures["raw"] / 100,
        "dense, centred": dense["centred"] / 100,
        "mixture, centred": mixtures["centred"] / 100,
    },
    title=f"On raw pixels the mixture loses {lost:.0f} points, "
    f"the dense network {(dense['centred'] - dense['raw']).mean():.0f}",
    note=(
        "Test accuracy on digits4 at equal active cost: each of ten seeds, the mean, "
        "and its 95 % interval."
    ),
    unit="test accuracy",
)

# %% [markdown]
# Centring helps the dense network too. The mixture gains more by it: raw, it has no lead over the dense network, and
# centred it has one.
#
# ## Further: have the raw mixtures collapsed here?
#
# Dead experts need not be a loss. `digits4` has four rules, so four experts could be enough for it, and the other four
# superfluous. Are there four left?

# %% tags=["measure"]
# Claim 05.9.
left = {
    "raw": E - dead(given_shares),
    "centred": E - dead(spread_shares),
}
claim(
    "05.9",
    "On digits4, raw, fewer than 3.7 experts are left for the four rules, on average",
    quantity="experts that are not dead",
    unit="of 8",
    measured=left["raw"],
    holds=below(3.7),
    control=left["centred"],
    control_is="centred images",
)
for name, shares in {"raw": given_shares, "centred": spread_shares}.items():
    print(f"{name:8} largest share {max_share(shares).mean():.1f}")

# %% [markdown]
# There are not. Raw, an expert has to serve several rules. By the largest share alone it would not look like much: in most
# seeds a few experts divide the images among themselves. One number would have told half of it.
#
# ## Let it happen in your hands
#
# This mixture trains in the page. Its points lie away from the origin, like raw pixels. Press play, and watch the shares.
# Then take the mean away (*Centred input*), or change the seed: how often does one expert win?

# %% tags=["playground", "nbval-ignore-output"]
playground(preset="revive")

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("05")

# %% [markdown]
# ## Try it
#
# 1. Pick two experts in `mixture`, and run the cells up to the picture. Does the collapse come? Which number would hide
#    it: the largest share, or the dead experts?
# 2. Train 20 seeds for a tenth of the steps, then for ten times as many. Do dead experts ever come back?
# 3. Let all experts start the same: in a `build` of your own, copy expert 0's parameters into the others
#    (`p[:] = p[:1].clone()` for each `p`, under `torch.no_grad()`). Does the collapse still come?
#
# ## Recap
#
# - Share is the raw number. Largest share, dead experts, entropy and squared variation each notice something different:
#   read two.
# - Left alone on raw digits, training collapses every mixture that we tried.
# - Strength follows the share: an expert becomes good at what it is given, and a dead one has learned nothing.
# - Collapse costs nothing on plain digits. On raw `digits4` fewer experts are left than there are rules, and the mixture
#   loses its lead.
#
# **Sources.** The self-reinforcing imbalance: [Eigen et al. 2013](https://arxiv.org/abs/1312.4314), section 3, and
# [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538), section 4. Squared coefficient of variation: the same,
# equation 7.
