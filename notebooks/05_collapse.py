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
import torch
from torch import nn

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import MixtureOfExperts, Router
from moe_tutorial.show import (
    is_narrow,
    look,
    message,
    picture,
    playground,
    sweep,
    usage_bars,
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
    seeds,
    share,
    train,
)
from moe_tutorial.study.everyone_learns import EveryoneLearns, with_labels

torch.set_num_threads(1)  # small models are fastest on one thread
E = 8

# %% [markdown]
# ## Sixty mixtures
#
# The data are handwritten digits as they come, pixels between 0 and 1. A mixture has eight experts of 16 neurons, and each
# image goes to one of them. We train it from sixty random starts, 300 steps each. An expert counts as **dead** when it gets
# less than one image in a hundred. A mixture has **collapsed** when at least five of the eight are dead.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.sixty",
    "We train the same small mixture from sixty random starts, with nothing added "
    "to spread the work. How many of the sixty collapse?",
    slider=(0, 60, 1, "of 60"),
)

# %% tags=["measure"]
# Measured: the shares of all experts while sixty mixtures train.
raw = digits("raw")
STEPS, STAGES = 300, (0, 10, 50, 300)


def mixture(width=16, router=None):
    return MixtureOfExperts(64, width, E, 1, router, d_out=10)


def run(data, n_seeds, build=mixture, steps=STEPS, **options):
    """The trained seeds, and their shares on the test images (n_seeds, E)."""
    trained = train(build, data, seeds(n_seeds), steps=steps, **options)
    return trained, share(trained.routing(data.x_test).indices, E)


at = {}  # step -> the shares (60, E)


def note(step, trained):
    if step in STAGES:
        at[step] = share(trained.routing(raw.x_test).indices, E)


def average_dead(shares):
    return f"{dead(shares).float().mean():.1f}"


sixty, end = run(raw, 60, on_step=note)
start = at[0]
collapsed = int((dead(end) >= 5).sum())

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "05.sixty",
    collapsed,
    says=(
        "Nobody asked for this: the loss only asked for better answers. "
        if collapsed > 30
        else ""
    )
    + f"And even untrained, {average_dead(start)} of 8 experts are dead: lesson 06 says why.",
)


# %% tags=["draw", "nbval-ignore-output"]
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
                x, y = n_dead + (i % across - middle) * 0.8 / across, i // across
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
    title=f"Before training {average_dead(start)} of 8 experts are dead; "
    f"after it, {average_dead(end)}",
    note="A dot is one of the sixty. Number and colour: the expert that gets most of its images. "
    "Each expert wins somewhere.",
    alt=f"Sixty dots above the number of dead experts. Before training they lie at {int(dead(start).min())} "
    f"to {int(dead(start).max())}, after it at {int(dead(end).min())} to {int(dead(end).max())}.",
    height=380,
    narrow_height=560,
)

# %% tags=["measure"]
# Claim 05.1.
claim(
    "05.1",
    "With nothing added to spread the work, at least five of eight experts are dead "
    "after 300 steps on raw digits, in every seed",
    quantity="dead experts (of 8)",
    measured=dead(end),
    holds=in_every_seed(above(4.5)),
    control=dead(start),
    control_is="the same routers before training",
)

# %% [markdown]
# ## Watch it happen
#
# Here are all sixty. Move the step, from before training to its end. Then take another mixture.

# %% [markdown] tags=["05.sixty"]
# Can you find one that kept two experts?


# %% tags=["draw", "nbval-ignore-output", "05.sixty"]
# Sliders: all sixty, before, during and after training.
def one_of_sixty(step, number):
    shares = at[step][number - 1]
    title = f"{E - int(dead(shares))} of 8 experts work"
    note = f"Mixture {number} of 60 after {step} steps. Upright line: even use."
    return message(title, note) + usage_bars(shares)


sweep(
    one_of_sixty,
    step=("Step", list(STAGES)),
    number=("Mixture", list(range(1, 61))),
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

# %% tags=["05.sixty"]
one = sixty.one(0)  # the first of the sixty
chosen = one(raw.x_test)[1].indices  # [1]: its Routing
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
    """shares (E,) -> their variance (divide by E, not by E - 1) over their mean squared."""
    ### BEGIN SOLUTION
    return shares.var(correction=0) / shares.mean() ** 2
    ### END SOLUTION


# %%
my_cv2 = check("05.my_cv2", my_cv2)

# %% [markdown]
# Each of the four numbers notices something different:

# %% tags=["measure"]
# Measured: four situations, each in four numbers.
situations = {
    "even": torch.tensor([0.25, 0.25, 0.25, 0.25]),
    "uneven": torch.tensor([0.55, 0.15, 0.15, 0.15]),
    "two alive": torch.tensor([0.50, 0.50, 0.00, 0.00]),
    "one for all": torch.tensor([1.00, 0.00, 0.00, 0.00]),
}
print(f"{'':13}{'shares':19}{'largest':>9}{'dead':>6}{'entropy':>9}{'cv2':>6}")
for name, shares in situations.items():
    print(
        f"{name:13}{' '.join(f'{s:.2f}' for s in shares)}{shares.max():9.2f}{dead(shares):6d}"
        f"{entropy(shares):9.2f}{float(my_cv2(shares)):6.2f}"
    )
    assert abs(float(my_cv2(shares) - cv2(shares))) < 1e-5

# %% [markdown]
# Compare *uneven* with *two alive*. The largest share finds *uneven* worse; the other three say the opposite. Half of the
# experts are gone in *two alive*, and the largest share cannot see it. So read the number of dead, and one more.
#
# ## How strong is each?
#
# A share says how often an expert is asked. It does not say what the expert can do. Its **strength** is its accuracy when it
# answers alone, on all images, also those it never gets.
#
# **Your turn.** `answers` holds what each of `E` experts says to each of `T` images: a score for each of `C` classes.


# %% tags=["exercise"]
def my_strength(answers, labels):
    """answers (T, E, C), labels (T,) -> each expert's own accuracy (E,), float32."""
    ### BEGIN SOLUTION
    right = answers.argmax(-1) == labels[:, None]
    return right.float().mean(0)
    ### END SOLUTION


# %%
my_strength = check("05.my_strength", my_strength)

# %% [markdown]
# Now the dead experts of all sixty mixtures have to answer, too.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.strength",
    "How many of a hundred images does a dead expert get right, on average?",
    slider=(0, 100, 1, "of 100"),
)

# %%
with torch.no_grad():
    answers = [sixty.one(i).experts(raw.x_test) for i in range(60)]
strong = torch.stack([my_strength(each, raw.y_test) for each in answers])
dead_right = 100 * strong[end < 0.01].mean()

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "05.strength",
    float(dead_right),
    says="An expert that is asked becomes strong. One that is not asked is taught nothing"
    + (
        ": chance alone would get ten right."
        if dead_right < 20
        else ", and yet it does better than chance, which gets ten right."
    ),
)

# %% [markdown]
# Expert by expert, in the first of the sixty:

# %%
for name, of in {"its shares:": end, "strengths:": strong}.items():
    print(f"{name:11}", "  ".join(f"{s:.2f}" for s in of[0].tolist()))

# %% [markdown]
# ## Does the stronger one win?
#
# A chosen expert learns, so it gets stronger, so it is chosen more. Is that the whole story? Then nobody should win among
# equals. So let all eight start with the *same* parameters, and *every* expert learn from *every* image, chosen or not: each
# from the loss of its own answer. The mixture's loss reaches the router only. (The package's `EveryoneLearns` does this.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.equal",
    "All eight experts start the same and learn the same, so none is ever stronger. How many "
    "of them are dead after training, on average?",
    slider=(0, 8, 0.5, "of 8"),
)


# %% tags=["measure"]
# Measured: twenty mixtures of equals, in which every expert learns from every image.
def all_equal():
    moe = mixture()
    with torch.no_grad():
        for parameter in moe.experts.parameters():
            parameter[:] = parameter[:1].clone()  # expert 0's
    return EveryoneLearns(moe)


labelled = with_labels(raw)
everyone, everyone_end = run(
    labelled,
    20,
    all_equal,
    penalty=lambda routing, step: routing.logits.mean(0).sum(),
)
with torch.no_grad():
    answers = [everyone.one(i).moe.experts(raw.x_test) for i in range(20)]
equals = torch.stack([my_strength(each, raw.y_test) for each in answers])

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "05.equal",
    float(dead(everyone_end).float().mean()),
    says=f"The dead get {100 * equals[everyone_end < 0.01].mean():.1f} of a hundred images right, the others "
    f"{100 * equals[everyone_end >= 0.01].mean():.1f}. "
    + (
        "So nobody has to be stronger to win. The router takes to one of them, and lesson 06 finds out why."
        if dead(everyone_end).float().mean() > 5
        else "So a winner has to be stronger."
    ),
)

# %% tags=["measure"]
# Claim 05.2.
claim(
    "05.2",
    "When all experts start the same and learn from every image, at least five of eight "
    "are dead all the same, in every seed",
    quantity="dead experts (of 8)",
    measured=dead(everyone_end),
    holds=in_every_seed(above(4.5)),
    control=dead(start)[:20],
    control_is="the same routers before training",
    refutes="Mixtures collapse only because the stronger expert wins",
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: share against strength.
panels = {
    "each learns what it is given": (end[:20], strong[:20]),
    "each learns everything": (everyone_end, equals),
}


def against(figure, theme):
    """A dot for each expert of twenty mixtures: how much it is asked, how strong it is."""
    rows = (2, 1) if is_narrow(figure) else (1, 2)
    places = figure.subplots(*rows, sharex=True, sharey=True)
    ink, muted = (look.color(role, theme) for role in ("text", "muted"))
    for axes, (name, (shares, right)) in zip(places, panels.items(), strict=True):
        gone = shares < 0.01
        x = shares.clone()
        x[gone] = torch.linspace(-0.22, -0.03, int(gone.sum()))  # side by side
        axes.plot(x.flatten(), right.flatten(), "o", ms=4, color=ink, alpha=0.5)
        axes.set_title(name, loc="left", color=muted, fontsize=11)
        axes.set_xticks([-0.12, 0.5, 1], ["dead", "share .5", "share 1"])
        axes.set(ylim=(0, 1.05), yticks=[0, 0.5, 1], ylabel="strength")


stayed = strong[:20][end[:20] < 0.01].mean()
picture(
    against,
    title=f"A dead expert gets {stayed:.0%} right where each learns what it is given, and "
    f"{equals[everyone_end < 0.01].mean():.0%} where each learns everything",
    note="A dot is an expert of one of twenty mixtures.",
    alt=f"Strength against share. On the left the dead lie at {stayed:.2f} and those with a share higher; "
    f"on the right all lie at {equals.mean():.2f}.",
    height=260,
    narrow_height=420,
)


# %% tags=["measure"]
# Claim 05.3.
def lead(strengths, shares):
    """How many points stronger the living are than the dead: one number a seed."""
    pairs = zip(strengths, shares < 0.01, strict=True)
    leads = [each[~gone].mean() - each[gone].mean() for each, gone in pairs]
    return [round(100 * float(points), 3) for points in leads]


claim(
    "05.3",
    "On raw digits, the experts that are asked get over 20 points more right than the "
    "dead ones, in every seed",
    quantity="lead of the living over the dead (points)",
    measured=lead(strong, end),
    holds=in_every_seed(above(20)),
    control=lead(equals, everyone_end),
    control_is="all start the same, and learn from every image",
)

# %% [markdown]
# ## What does it cost?
#
# A mixture in which one expert does the work has the parameters of eight and the wits of one. That must cost accuracy. We
# compare with mixtures that collapse less: a small change in their router is enough (lesson 06 says which, and why). Their
# experts see the same images. And we do the same on `digits4`, digits in four rotations, each with a rule of its own.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.cost",
    "On plain digits, with one rule for all: how accurate are the collapsed mixtures, "
    "beside those that collapse less?",
    choices=[
        "more than two points worse",
        "the same, within two points",
        "more than two points better",
    ],
)


# %% tags=["measure"]
# Measured: mixtures that collapse less, on plain digits and digits4.
class Changed(Router):
    """A router that subtracts the mean image; the experts see the image as it is."""

    def __init__(self, data):
        super().__init__(64, E, 1)
        self.register_buffer("mean", data.x_train.mean(0))

    def forward(self, x):
        return super().forward(x - self.mean)


def right(trained, data):
    return 100 * trained.accuracy(data.x_test, data.y_test)


rules = digits4("raw")
changed, changed_end = run(raw, 20, lambda: mixture(router=Changed(raw)))
by_collapse = right(sixty, raw)[:20] - right(changed, raw)
# The control: the same on digits4, where four rules compete.
four, four_end = run(rules, 20)
four_changed, four_changed_end = run(rules, 20, lambda: mixture(router=Changed(rules)))
by_collapse_on_four = right(four, rules) - right(four_changed, rules)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
worse, better = by_collapse.mean() < -2, by_collapse.mean() > 2
reveal(
    "05.cost",
    "more than two points worse"
    if worse
    else "more than two points better"
    if better
    else "the same, within two points",
    says=f"Collapsed, {average_dead(end[:20])} of 8 experts are dead, the others have {average_dead(changed_end)}; "
    f"by collapse the accuracy changes by {by_collapse.mean():+.1f} points. "
    + (
        "Here collapse has its price. "
        if worse
        else "Whoever shows collapse on such a problem, and promises better accuracy from its cure, promises too much. "
    )
    + f"On digits4, with four rules, {average_dead(four_end)} and {average_dead(four_changed_end)} are dead, and it changes by "
    f"{by_collapse_on_four.mean():+.1f}.",
)

# %% tags=["measure"]
# Claim 05.4.
claim(
    "05.4",
    "On plain digits, after 300 steps, the collapsed mixtures are not less accurate than "
    "those that collapse less, within one point",
    quantity="accuracy gained by collapsing (points)",
    measured=by_collapse,
    holds=above(-1),
    control=by_collapse_on_four,
    control_is="digits4, where four rules compete",
    refutes="A mixture that has collapsed is always a worse network",
)

# %% [markdown]
# ## Let it happen in your hands
#
# This mixture trains in the page, on points that lie away from the origin, like raw pixels. How many work at its end? Then
# change the seed, or what you like: can you get more of them to work? (The Switch loss that it offers is lesson 07's.)

# %% tags=["playground", "nbval-ignore-output"]
playground(preset="revive")

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("05")

# %% [markdown]
# ## Try it
#
# 1. In `mixture`, let each image choose two experts (`E, 2` for `E, 1`), and run the cells up to the picture. Does the
#    collapse come? Which number would hide it: the largest share, or the dead experts?
# 2. Train 20 seeds for a tenth of the steps, then for ten times as many (two minutes). Do dead experts ever come back?
#
# ## Recap
#
# - Share is the raw number. Read how many are dead, and one of largest share, entropy and squared variation.
# - Left alone on raw digits, with one expert chosen, training collapsed every mixture that we tried.
# - An expert becomes good at what it is given; a dead one stays, on average, where it began. But a winner need not be
#   stronger: among equals one takes everything, too.
# - In these short trainings collapse costs nothing on plain digits. On `digits4`, where four rules compete, it does.
#
# **Sources.** The self-reinforcing imbalance: [Eigen et al. 2013](https://arxiv.org/abs/1312.4314), section 3, and
# [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538), section 4. Squared coefficient of variation: the same,
# equation 7.

# %% [markdown]
# ## Further
#
# ### What was lost on `digits4`?
#
# Hold the mixtures against the cheap alternative: one dense network in which every input costs as many multiplications as it
# does in the mixture. Here an expert has eight neurons.


# %% tags=["measure"]
# Claim 05.5.
class Dense(nn.Module):
    """One hidden layer: the network that a mixture has to beat."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
        )

    def forward(self, x):
        return self.layers(x)


narrow, _ = run(rules, 20, lambda: mixture(width=8), steps=800)
apart, _ = run(rules, 20, lambda: mixture(8, Changed(rules)), steps=800)
print("multiplications: mixture", 64 * E + (64 + 10) * 8, " dense", (64 + 10) * 15)
dense = right(train(lambda: Dense(15), rules, seeds(20), steps=800), rules)
claim(
    "05.5",
    "On digits4, mixtures that collapse less beat the dense network of equal active cost",
    quantity="lead in accuracy (points)",
    measured=right(apart, rules) - dense,
    holds=above(0),
    control=right(narrow, rules) - dense,
    control_is="collapsed mixtures",
)
