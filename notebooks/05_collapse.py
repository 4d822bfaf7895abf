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
# # 05 Collapse
#
# 45 minutes. You leave able to say who works in a mixture and how even that is, to measure how strong each expert is by
# itself, and to check whether few at work makes a mixture less accurate.
#
# Eight experts of one size start at random. Nobody is told to share, and nobody is told not to. The router is free to use all of them,
# and using more of them should make the network better. So it will, won't it?

# %% tags=["setup"]
# Setup: what this lesson uses.
import torch
from torch import nn

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import MixtureOfExperts, Router
from moe_tutorial.show import (
    Line,
    curves,
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
# The data are handwritten digits, *raw*: pixels between 0 and 1, not standardised. A mixture has eight experts of 16 neurons, and each
# image goes to one of them. We train it from sixty random starts, 300 steps each (some ten seconds). An expert counts as **dead**
# when it gets less than one in a hundred of the test images. A mixture has **collapsed** when at least five of the eight are dead.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.sixty",
    "We train the same small mixture from sixty random starts, with nothing added to spread the work. How many of the sixty collapse?",
    slider=(0, 60, 1, "of 60"),
)

# %% tags=["measure"]
# Measured: the shares of all experts while sixty mixtures train.
raw = digits("raw")
STEPS = 300
STAGES = (0, 1, 10, 50, 100, STEPS)


def mixture(router=None, **options):
    return MixtureOfExperts(64, 16, E, 1, router, d_out=10, **options)


def run(data, n_seeds, build=mixture, before_step=lambda *_: None, **options):
    """The trained seeds, and step -> their shares on the test images (n_seeds, E)."""
    at = {}

    def note(step, trained):
        before_step(step, trained)
        if step in STAGES:
            at[step] = share(trained.routing(data.x_test).indices, E)

    trained = train(build, data, seeds(n_seeds), steps=STEPS, on_step=note, **options)
    return trained, at


def average_dead(shares):
    return f"{dead(shares).float().mean():.1f}"


sixty, at = run(raw, 60)
start, end = at[0], at[STEPS]
collapsed = int((dead(end) >= 5).sum())
winner = end.argmax(-1)

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
    + f"Before any training, {average_dead(start)} of 8 experts are dead already, on average, and {int((dead(start) >= 5).sum())} of the "
    f"sixty count as collapsed; after {STEPS} steps, {average_dead(end)} are dead. Lesson 06 says why.",
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: sixty starts, before and after training.
def columns(figure, theme):
    """A column for each mixture, those with one winner side by side."""
    order = (2 * winner - end.amax(-1)).argsort()
    rows = {"before training": start, f"after {STEPS} steps": end}
    for axes, (name, shares) in zip(figure.subplots(2, 1), rows.items(), strict=True):
        below = torch.zeros(60)
        for expert in range(E):
            color, part = look.expert_color(expert, theme), 100 * shares[order, expert]
            axes.bar(range(60), part, 0.86, below, color=color)
            below += part
        axes.set_title(name, loc="left", color=look.color("muted", theme), fontsize=11)
        axes.set(xlim=(-0.6, 59.6), ylim=(0, 100), xticks=[], yticks=[0, 50, 100])
        axes.set_ylabel("% of images")
    won = winner.unique().tolist()
    middles = [(winner[order] == e).nonzero().float().mean().item() for e in won]
    axes.set_xticks(middles, won)
    axes.set_xlabel("sixty mixtures, sorted by winner")


picture(
    columns,
    title=f"Of 8 experts, {average_dead(start)} are dead before training, {average_dead(end)} after it (means of sixty mixtures)",
    note="A column is one mixture. Each colour is one expert's share. Below: the winner, the expert that ends with most images.",
    alt=f"Sixty columns, each cut into the shares of its experts. Before training {int(dead(start).min())} to {int(dead(start).max())} "
    f"experts of a mixture are dead, after it {int(dead(end).min())} to {int(dead(end).max())}. Experts {', '.join(map(str, winner.unique().tolist()))} win.",
    height=350,
    narrow_height=400,
)

# %% tags=["measure"]
# Claim 05.1.
claim(
    "05.1",
    f"With nothing added to spread the work, at least five of eight experts are dead after {STEPS} steps on raw digits, in every seed",
    quantity="dead experts (of 8)",
    measured=dead(end),
    holds=in_every_seed(above(4.5)),
    control=dead(start),
    control_is="the same routers before training",
)

# %% [markdown]
# ## When is it decided?
#
# Is a collapse slow, or sudden?

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.decided",
    f"Some experts work before training and are dead after {STEPS} steps. Of a hundred of those, how many are dead after ten steps already?",
    slider=(0, 100, 1, "of 100"),
)

# %% tags=["measure"]
# Measured: when they died, whether any came back, and when the winner is known.
gone = {step: shares < 0.01 for step, shares in at.items()}
died = gone[STEPS] & ~gone[0]  # while it trained
by_ten = 100 * (died & gone[10]).sum() / died.sum()
back = int((gone[10] & ~gone[STEPS]).sum())
woke = gone[0] & ~gone[1]
led = {step: int((shares.argmax(-1) == winner).sum()) for step, shares in at.items()}

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "05.decided",
    float(by_ten),
    says=(
        "Mostly sudden, at this learning rate (Adam, 0.01). "
        if by_ten > 50
        else "Rather slow. "
    )
    + f"{died.sum()} of the 480 experts die while they train, {(died & gone[10]).sum()} of them in the first ten steps. Of those dead after ten steps, "
    f"{back or 'none'} came back; of the {gone[0].sum()} dead before training, {woke.sum()} work after the first step, but "
    f"{(woke & gone[STEPS]).sum()} of these are dead again at the end.\n\nIn {led[0]} of "
    f"the 60 mixtures the winner (the expert that ends with most images) was in the lead before training, in {led[10]} after ten steps.",
)

# %% [markdown] tags=["05.sixty"]
# Here are all sixty. Move the step: does mixture 1 end with one expert, or with two? Find one that ends with the other number, and one
# in which the winner was not in the lead at step 0.


# %% tags=["draw", "nbval-ignore-output", "05.sixty"]
# Sliders: all sixty, before, during and after training.
def one_of_sixty(step, number):
    shares = at[step][number - 1]
    working = E - int(dead(shares))
    title = f"{working} of 8 experts work{'s' * (working == 1)}"
    note = f"Mixture {number} of 60 after {step} steps. Upright line: even use."
    return message(title, note) + usage_bars(shares)


sweep(
    one_of_sixty,
    step=("Step", list(STAGES)),
    number=("Mixture", list(range(1, 61))),
)

# %% [markdown]
# ## A fairer start
#
# Is the start to blame, then? Before training, some experts happen to have larger logits than others, whatever the image. Make
# their mean logits equal, and see whether the mixture still collapses.
#
# **Your turn.** Give each expert a *handicap*: one number that is added to its logit on every image (a bias). It brings the mean of these
# logits to 0. Say expert 0 has the logits 3, 4 and 5 on three images. Its handicap is -4, and the logits become -1, 0 and 1.


# %% tags=["exercise"]
def handicap(logits):
    """logits (N, E) on N images -> what to add to each expert's logits (E,)."""
    ### BEGIN SOLUTION
    return -logits.mean(0)
    ### END SOLUTION


# %%
handicap = check("05.handicap", handicap)

# %% [markdown]
# We train twenty of the mixtures again, in three ways: with your handicap set once, before the first step; with it set anew at each
# step up to the fiftieth; and with it set anew at every step. (This takes some ten seconds.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.fair",
    f"With your handicap, set once, the mean logits of all eight are equal at the start. How many are dead after {STEPS} steps, on average?",
    slider=(0, 8, 0.5, "of 8"),
)


# %% tags=["measure"]
# Measured: the handicap set once, at each step up to the fiftieth, and at each step.
def with_handicap(data, last):
    """Twenty mixtures. The handicap is set before the first step, and at each up to `last`."""

    @torch.no_grad()
    def set_it(step, trained):
        if step <= last:
            bias = trained.parameters["router.logit_bias"]  # (20, 8), not trained
            weight = trained.parameters["router.weight"]  # (20, 8, 64)
            logits = data.x_train @ weight.flatten(0, 1).T  # all 160 experts' at once
            bias[:] = handicap(logits).view_as(bias)

    build, frozen = (lambda: mixture(logit_bias=True)), ["router.logit_bias"]
    return run(data, 20, build, set_it, freeze=frozen)


once, fifty = with_handicap(raw, 0)[1], with_handicap(raw, 50)[1]
kept, always = with_handicap(raw, STEPS)
leader_won = int((once[0].argmax(-1) == once[STEPS].argmax(-1)).sum())

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "05.fair",
    float(average_dead(once[STEPS])),
    says=f"Before training {average_dead(once[0])} are dead, after one step {average_dead(once[1])}, after ten "
    f"{average_dead(once[10])}. "
    + (
        "So collapse needs no dead at the start: training alone brings it. "
        if dead(once[STEPS]).min() > 4
        else "So the start has a part in it. "
    )
    + f"Set anew at each step, your handicap leaves {average_dead(always[STEPS])} dead at the end; stop at step 50, and it is {average_dead(fifty[STEPS])}."
    f"\n\nThe mean logits are equal at the start, but the shares are not quite. The expert that has the largest share then wins in {leader_won} of the 20 "
    f"mixtures; by chance it would be {20 / E}.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: dead experts over the steps.
arms = {"once": (once, ":", "muted"), "up to step 50": (fifty, "--", "accent")}
arms["at each step"] = (always, "-", "accent")
places = [max(step, 0.2) for step in STAGES]  # a logarithmic axis has no 0
lines = {}
for name, (of, dash, color) in arms.items():
    path = [float(dead(of[step]).float().mean()) for step in STAGES]
    lines[name] = Line(places, path, dash, color, "●")
curves(
    lines,
    title=f"Set at each step, your handicap leaves {average_dead(always[STEPS])} dead; set up to step 50, {average_dead(fifty[STEPS])}",
    note="Each line: how long your handicap is set. Raw digits, means over twenty seeds. The axis is logarithmic, but for step 0.",
    x="steps",
    xticks={max(step, 0.2): str(step) for step in STAGES},
    log="x",
    y="dead experts of 8",
    yticks=range(0, E + 1, 2),
    ylim=(-0.3, E),
    height=280,
)

# %% tags=["measure"]
# Claim 05.2.
claim(
    "05.2",
    f"From a start with equal mean logits, at least five of eight experts are still dead after {STEPS} steps, in every seed",
    quantity="dead experts (of 8)",
    measured=dead(once[STEPS]),
    holds=in_every_seed(above(4.5)),
    control=dead(always[STEPS]),
    control_is="made equal again at each step",
)

# %% [markdown]
# ## Who works?
#
# Two experts may have shares of 0.9 and 0.1, or of 0.5 and 0.5: six are dead either way. So we look at the **share** $s_i$ itself:
# the part of all choices that went to expert $i$.
#
# **Your turn.** Each of `T` images has chosen `k` experts, and `chosen` holds their numbers. Return the share of each expert.


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
# Eight numbers are easy to read. Sixty times eight are not, so we sum up the shares of a mixture in one number. Four such numbers
# are in common use:
#
# - The **largest share**: even use gives $1/E$, one expert for everything gives 1. (If each image chooses $k$, it is at most $1/k$.)
# - **Dead experts**: how many get less than one choice in a hundred (one image, if each makes one choice).
# - The **entropy** $-\sum_i s_i \log s_i$, divided by $\log E$: 1 is even, 0 is one for all.
# - The **squared coefficient of variation** $\mathrm{cv}^2$: the variance of the shares over the square of their mean.
#   0 is even, $E - 1$ is one for all.
#
# **Your turn.** Compute cv² from the shares. (As a loss it has [a trap](museum.ipynb#nan-as-soon-as-the-balance-is-perfect).)


# %% tags=["exercise"]
def my_cv2(shares):
    """shares (E,) -> their variance (divide by E, not E - 1) over their mean squared."""
    ### BEGIN SOLUTION
    return shares.var(correction=0) / shares.mean() ** 2
    ### END SOLUTION


# %%
my_cv2 = check("05.my_cv2", my_cv2)

# %% [markdown]
# They do not always agree:

# %% tags=["measure"]
# Measured: four situations, each in four numbers.
situations = {
    "even": torch.tensor([0.25, 0.25, 0.25, 0.25]),
    "uneven": torch.tensor([0.55, 0.15, 0.15, 0.15]),
    "two alive": torch.tensor([0.50, 0.50, 0.00, 0.00]),
    "one for all": torch.tensor([1.00, 0.00, 0.00, 0.00]),
}
print(f"{'':13}{'shares':19}{'largest':>7}{'dead':>6}{'entropy':>9}{'cv2':>6}")
for name, shares in situations.items():
    print(
        f"{name:13}{' '.join(f'{s:.2f}'.lstrip('0') for s in shares):19}{shares.max():7.2f}{dead(shares):6d}"
        f"{entropy(shares):9.2f}{float(my_cv2(shares)):6.2f}"
    )
    assert abs(float(my_cv2(shares) - cv2(shares))) < 1e-5

# %% [markdown]
# *Two alive* has lost half of its experts. The largest share misses this: it calls *uneven* worse than *two alive*. The number of dead
# misses that *uneven* is not even. Entropy and cv² rank all four in the same order, but do not say how many are dead. So we read two
# numbers: how many are dead, and the entropy (cv² would do, too).
#
# ## How strong is each?
#
# A share says how often an expert is asked. It does not say what the expert can do. Its **strength** is its accuracy when it
# answers alone, on all images, also those it never gets.
#
# **Your turn.** `answers` holds what each of `E` experts says to each of `T` images: a score for each of `C` classes. Return the accuracy
# of each expert.


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
# gone[STEPS] is True where an expert is dead at the end.
with torch.no_grad():
    answers = [sixty.one(i).experts(raw.x_test) for i in range(60)]
strong = torch.stack([my_strength(each, raw.y_test) for each in answers])
dead_right = 100 * strong[gone[STEPS]].mean()

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
busiest = 100 * strong[range(60), winner]
shared = dead(end) < 7  # two experts or more work
early, late = (100 * strong[gone[STEPS] & of] for of in (gone[0], ~gone[0]))
reveal(
    "05.strength",
    float(dead_right),
    says=f"Where one expert works, it gets {busiest[~shared].mean():.0f} of a hundred right by itself"
    + (
        f"; where two share the images, the busier has {100 * end.amax(-1)[shared].mean():.0f} of a hundred and gets {busiest[shared].mean():.0f} right"
        if shared.any()
        else ""
    )
    + f".\n\nAn expert that is hardly asked learns hardly anything: those dead before training and at the end get {early.mean():.1f} right (guessing: "
    f"about 10), the worst {early.min():.0f}, the best {early.max():.0f}. Those that died while they trained were asked for a while: they get "
    f"{late.mean():.1f}, the best {late.max():.0f}.",
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: share and strength of all 480 experts.
def share_and_strength(figure, theme):
    axes = figure.add_subplot()
    text, muted = look.color("text", theme), look.color("muted", theme)
    works = ~gone[STEPS]
    axes.axvline(0, color=look.color("line", theme), lw=1)
    axes.plot([0, 100], [0, 100], color=look.color("line", theme), lw=1)
    axes.axhline(10, color=muted, ls="--", lw=1)
    axes.text(100, 11, "guessing", color=muted, ha="right", va="bottom")
    idle = torch.linspace(-23, -3, int((~works).sum()))  # beside each other
    axes.scatter(idle, 100 * strong[~works], 12, muted, alpha=0.6, lw=0)
    axes.scatter(100 * end[works], 100 * strong[works], 30, text, alpha=0.5, lw=0)
    axes.text(-13, 101, f"{len(idle)}\ndead", color=muted, ha="center", va="top")
    at_work = f"{int(works.sum())} at work,\n{int((~shared).sum())} of them alone"
    axes.text(3, 101, at_work, va="top", fontsize=10.5)
    axes.set(xlim=(-26, 104), xticks=range(0, 101, 20), ylim=(0, 102))
    axes.set(xlabel="share of the images, %", ylabel="right by itself, %")


picture(
    share_and_strength,
    title=f"By itself, an expert that works alone gets {busiest[~shared].mean():.0f} % right; a dead one gets {dead_right:.0f} %",
    note="A dot is one of all 480 experts. Slanted line: as many right as its share. The dead (share below 1 %) stand beside each other.",
    alt=f"Dead experts get {dead_right:.0f} % right, those that work alone {busiest[~shared].mean():.0f} %, and those that share lie between.",
    height=300,
)

# %% [markdown]
# ## Does the stronger one win?
#
# A chosen expert learns, gets stronger, and so is chosen more often. If that is the whole story, nobody should win among experts that
# are always equally strong. We make them so:
#
# - All eight experts start with the *same* parameters.
# - *Every* expert learns from *every* image, chosen or not, from the loss of its own answer.
# - The mixture's loss trains the router only.

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
everyone, everyone_at = run(
    labelled,
    20,
    all_equal,
    # `EveryoneLearns` returns each expert's own loss on each image in place of logits.
    penalty=lambda routing, step: routing.logits.mean(0).sum(),
)
everyone_end = everyone_at[STEPS]
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
        "So nobody has to be stronger to win. By the gradient of lesson 04, a chosen expert whose answer helps gets a larger logit. "
        "This explains why an expert keeps an image. Why it also wins the others, lesson 06 finds out."
        if dead(everyone_end).float().mean() > 5
        else "So a winner has to be stronger."
    ),
)

# %% tags=["measure"]
# Claim 05.3.
claim(
    "05.3",
    "When all experts start with the same parameters and learn from every image, at least five of eight still die, in every seed",
    quantity="dead experts (of 8)",
    measured=dead(everyone_end),
    holds=in_every_seed(above(4.5)),
    control=dead(start)[:20],
    control_is="the same routers before training",
    refutes="Mixtures collapse only because the stronger expert wins",
)

# %% [markdown]
# ## What does it cost?
#
# Dead experts are parameters that nobody uses. Does that cost accuracy? We compare
#
# - mixtures that are *left alone*, as above;
# - mixtures with *your handicap*, set at each step;
# - mixtures with *another router*, under which fewer die (what it does is the secret of lesson 06);
# - a dense network as large as *one* expert.
#
# We do this on the digits from above (*plain digits*), and on `digits4`: four rotations, each with its own names for the digits.
# (This takes some twenty seconds.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "05.cost",
    "On plain digits: how accurate are mixtures that are left alone, compared with those whose handicap is set anew at each step?",
    choices=[
        "more than two points worse",
        "the same, within two points",
        "more than two points better",
    ],
)


# %% tags=["measure"]
# Measured: four kinds of networks, on plain digits and on digits4.
class Changed(Router):
    """A router that subtracts the mean image; the experts see the image as it is."""

    def __init__(self, data):
        super().__init__(64, E, 1)
        self.register_buffer("mean", data.x_train.mean(0))

    def forward(self, x):
        return super().forward(x - self.mean)


def one_expert():
    """A dense network of the size of one expert."""
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def right(trained, data):
    return 100 * trained.accuracy(data.x_test, data.y_test)


def kinds_on(data, alone, yours):
    """Kind of mixture -> its shares (20, E) and % right (20,); and % right of one expert."""
    another = run(data, 20, lambda: mixture(router=Changed(data)))
    kinds = {"left alone": alone, "your handicap": yours, "another router": another}
    found = {
        kind: (at[STEPS][:20], right(trained, data)[:20])
        for kind, (trained, at) in kinds.items()
    }
    return found, right(train(one_expert, data, seeds(20), steps=STEPS), data)


rules = digits4("raw")
plain, plain_one = kinds_on(raw, (sixty, at), (kept, always))
four, four_one = kinds_on(rules, run(rules, 20), with_handicap(rules, STEPS))
collapsed_right, kept_right = plain["left alone"][1], plain["your handicap"][1]
by_collapse = collapsed_right - kept_right

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
    says=f"Left alone, they get {collapsed_right.mean():.1f} % right, and with your handicap {kept_right.mean():.1f} %. One expert alone gets "
    f"{plain_one.mean():.1f} %"
    + (
        f". So after {STEPS} steps, on average, neither kind beats one expert alone. Where all experts work, each learns from a part of the images only. "
        "That may be one reason why they get fewer right. (Lesson 07 tests it.)"
        if plain_one.mean() > collapsed_right.mean() - 1
        else ", so others have something to add."
    ),
)


# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
# Drawn: all four kinds, on both data sets.
def in_rows(figure, theme):
    """A row for each kind: a small dot for each seed, a large one for their mean."""
    line, muted = look.color("line", theme), look.color("muted", theme)
    colors = {"your handicap": "accent", "one expert alone": "muted"}
    small = {"ms": 5, "alpha": 0.35, "mew": 0}
    panels, narrow = figure.subplots(1, 2, sharey=True), is_narrow(figure)
    for axes, (name, kinds) in zip(panels, on_both.items(), strict=True):
        axes.set_title(name, weight="bold", fontsize=11)
        for y, (kind, (shares, of)) in enumerate(kinds.items()):
            color = look.color(colors.get(kind, "text"), theme)
            axes.axhline(y, color=line, lw=0.8, zorder=0)
            axes.plot(of, y + torch.linspace(-0.1, 0.1, 20), "o", color=color, **small)
            axes.plot(of.mean(), y, "o", ms=10, color=color)
            at = {"x": of.mean(), "ha": "center", "color": color}
            axes.text(
                y=y - 0.2, s=f"{of.mean():.1f} %", va="bottom", weight="bold", **at
            )
            if shares is not None:
                s = f"{average_dead(shares)} dead" + ("\n" if narrow else ", ")
                s += f"entropy {entropy(shares).mean():.2f}"
                axes.text(y=y + 0.16, s=s, va="top", **at)
        axes.set(ylim=(3.4, -0.65), xlabel="% right", yticks=[])
        axes.margins(x=0.42)
        axes.spines["left"].set_visible(False)
    for y, kind in enumerate(kinds):  # on a phone above its row
        at = {"transform": panels[0].get_yaxis_transform(), "color": muted}
        at |= {"va": "bottom"} if narrow else {"va": "center", "ha": "right"}
        panels[0].text(0 if narrow else -0.02, y - 0.4 * narrow, kind, **at)


on_both = {
    "plain digits": plain | {"one expert alone": (None, plain_one)},
    "digits4": four | {"one expert alone": (None, four_one)},
}
means = {
    data: {kind: of.mean() for kind, (_, of) in kinds.items()}
    for data, kinds in on_both.items()
}
best = {data: max(of, key=of.get) for data, of in means.items()}
picture(
    in_rows,
    title="One expert is enough for plain digits; on digits4 another router is best"
    if max(means["plain digits"].values()) < plain_one.mean() + 0.5
    and best["digits4"] == "another router"
    else f"Best on plain digits: {best['plain digits']}; best on digits4: {best['digits4']}",
    note="Small: twenty seeds of each kind. Large: their mean, with the means of the dead experts and of the entropy (1: even use).",
    alt="; ".join(
        f"{data}: "
        + ", ".join(f"{kind} {of:.1f} % right" for kind, of in found.items())
        for data, found in means.items()
    ),
    height=340,
    narrow_height=620,
)

# %% [markdown]
# On `digits4` one expert is not enough: mixtures that are left alone keep about two, and do better. With your handicap more experts work,
# but the mixtures get no more right than those left alone. Another router lies between these two, in the dead and in the entropy, and is
# best after these steps. So neither number tells which kind is better.

# %% tags=["measure"]
# Claim 05.4.
claim(
    "05.4",
    f"On plain digits, after {STEPS} steps, mixtures that are left alone are at most one point less accurate than those with another "
    "router, in which fewer experts die",
    quantity="accuracy, left alone over another router (points)",
    measured=collapsed_right - plain["another router"][1],
    holds=above(-1),
    control=four["left alone"][1] - four["another router"][1],
    control_is="digits4, where four rules compete",
    refutes="A mixture that has collapsed is always a worse network",
)

# %% [markdown]
# ## Let it happen in your hands
#
# Now watch a collapse from step to step. This mixture trains in the page, on points that lie
# away from the origin, like raw pixels. How many experts work when it stops?
# Change the seed, or what you like: can you get more to work? (The Switch loss that it offers is lesson 07's.)

# %% tags=["playground", "nbval-ignore-output"]
playground(preset="revive")

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("05")

# %% [markdown]
# ## Try it
#
# 1. In `mixture` (in *Measured: the shares of all experts*), let each image choose two experts (`E, 2` for `E, 1`), and run the cells up to
#    the first picture. Does the collapse come? Which number would hide it: the largest share
#    (`end.max(-1).values`), or the dead experts? (Then set it back to `E, 1`.)
# 2. Set `STEPS = 1500`, and run all cells (some minutes). Which kind of network is best on `digits4` now, and by roughly how much?
#
# ## Recap
#
# - Read two numbers: how many experts are dead, and the entropy or cv² of the shares. Neither tells how accurate a mixture is.
# - Left alone on raw digits, with one expert chosen, every mixture that we tried collapsed. Many experts are dead before training; most
#   of the others die in ten steps. A start at which nobody is dead does not prevent it; making the mean
#   logits equal at each step does.
# - An expert learns from what it is given: one that gets all images reads nearly all of them by itself; dead ones are close to guessing.
#   But a winner need not be stronger: among equals, one still takes everything.
# - After 300 steps on plain digits, one expert alone reads, on average, as well as any of these kinds of mixtures, and those that are
#   left alone are the best of the mixtures. On `digits4` another router is best.
#
# **Sources.** The self-reinforcing imbalance: [Eigen et al. 2013](https://arxiv.org/abs/1312.4314), section 3, and
# [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538), section 4. Squared coefficient of variation: the same,
# equation 7.
