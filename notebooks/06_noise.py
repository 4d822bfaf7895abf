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
# # 06 Noise
#
# 45 minutes. You leave able to say by experiment why mixtures collapse, to build noisy top-k, to tell what noise mends and
# what it does not, and to find the bug that noise likes to leave behind.
#
# In lesson 05 most experts died. This lesson is a detective story: who did it? Then we test noise, an old remedy. (On these
# digits the dead hardly cost accuracy, as lesson 05 showed. We ask why they die.)
#
# Our mixtures have eight experts of 16 neurons, and *two* are chosen for each image. They train on raw digits for 300 steps. As
# before, an expert with less than one choice in a hundred is dead.

# %% tags=["setup"]
# Setup: what this lesson uses.
import torch
import torch.nn.functional as F

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import (
    MixtureOfExperts,
    Router,
    importance_loss,
    load_estimate,
)
from moe_tutorial.show import (
    expert_bars,
    interval_chart,
    look,
    message,
    picture,
    playground,
    sweep,
    table,
)
from moe_tutorial.study import (
    above,
    claim,
    dead,
    digits,
    estimate,
    seeds,
    share,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread
E, STEPS = 8, 300
raw = digits("raw")


def mixture(router=None, k=2, **options):
    router = router or Router(64, E, k, **options)
    return MixtureOfExperts(64, 16, E, k, router, d_out=10)


def run(data=raw, n_seeds=20, build=mixture, **options):
    """The trained seeds, and their shares on the test images (n_seeds, E)."""
    trained = train(build, data, seeds(n_seeds), steps=STEPS, **options)
    return trained, share(trained.routing(data.x_test).indices, E)


def killed(shares):
    """Dead experts: one number a seed."""
    return dead(shares).double()


# %% [markdown]
# ## Three suspects
#
# - **The shared mean.** Every image contains the mean image. *Taken away:* we subtract it from every image.
# - **Experts that learn.** A chosen expert learns, and the more it helps, the more the router raises it: the rich get richer.
#   *Taken away:* we freeze the experts as they were drawn.
# - **The gate.** Its probabilities for *all* experts add up to 1. The chosen can rise only if others fall, so the gradient pushes
#   the others' logits down. *Taken away:* we use a softmax over the two chosen alone (top-k, then softmax: lesson 03).

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.suspect",
    "Accuse one. Which suspect must we take away so that the fewest experts die?",
    choices=["the shared mean", "experts that learn", "the gate"],
)

# %% tags=["measure"]
# Measured: mixtures without one suspect or another (some 25 seconds).
EXPERTS = ["experts.w_in", "experts.b_in", "experts.w_out", "experts.b_out"]
CHOSEN_ALONE = {"gate": "topk_softmax"}
mean = raw.x_train.mean(0)
centred = raw._replace(x_train=raw.x_train - mean, x_test=raw.x_test - mean)
_, centred_end = run(centred)
begin = []  # the shares before the first step


def note(step, trained):
    if step == 0:
        begin.append(share(trained.routing(raw.x_test).indices, E))


without_noise, end = run(n_seeds=40, on_step=note)


def their_gate():
    return mixture(**CHOSEN_ALONE)


without = {
    "nothing": end,
    "experts that learn": run(n_seeds=40, freeze=EXPERTS)[1],
    "the gate": run(build=their_gate)[1],
    "experts and gate": run(build=their_gate, freeze=EXPERTS)[1],
    "the shared mean": centred_end,
}
n_dead = {name: killed(shares).double().mean() for name, shares in without.items()}
culprit = min(("the shared mean", "experts that learn", "the gate"), key=n_dead.get)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "06.suspect",
    culprit,
    says=f"With all three present, {n_dead['nothing']:.1f} of 8 experts are dead after training ({killed(begin[0]).mean():.1f} were dead before the "
    f"first step); without the mean, {n_dead['the shared mean']:.1f}. "
    + (
        "Here, with two chosen, the mean is convicted: without it, the other two harm nobody."
        if n_dead["the shared mean"] < 0.5
        else f"Most of it was done by {culprit}."
    ),
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: dead experts in all mixtures, without one suspect or another.
names = {
    "nothing": "all three present",
    "experts that learn": "experts frozen",
    "the gate": "the other gate",
    "experts and gate": "frozen, and the other gate",
    "the shared mean": "the mean subtracted",
}
interval_chart(
    {"before training": killed(begin[0])}
    | {names[taken]: killed(shares) for taken, shares in without.items()},
    title=f"All three present, {n_dead['nothing']:.1f} of 8 experts are dead; without the shared mean {n_dead['the shared mean']:.1f}",
    note="Raw digits, twenty or forty seeds, in grey: the larger a dot, the more seeds. Above them the mean, and its 95 % interval. "
    "Before training: all three present.",
    colors={"before training": "muted", "the mean subtracted": "accent"},
    unit="dead experts of 8",
    zero=0,
)

# %% [markdown]
# Must it be this mean image? As a control, we add one random image, of the same length (norm), to every centred image.

# %% tags=["measure"]
# Claim 06.1.
draws = torch.Generator().manual_seed(seeds(1)[0])
random_image = F.normalize(torch.randn(64, generator=draws), dim=0) * mean.norm()
swapped = centred._replace(
    x_train=centred.x_train + random_image, x_test=centred.x_test + random_image
)


def saved(shares):
    """How many experts fewer are dead than with all three suspects: one number a seed."""
    return killed(end[: len(shares)]) - killed(shares)


claim(
    "06.1",
    "On raw digits, subtracting the mean image saves more than three of eight experts from dying",
    quantity="experts saved (of 8)",
    measured=saved(centred_end),
    holds=above(3),
    control=saved(run(swapped)[1]),
    control_is="a random image of the same length takes its place",
)

# %% [markdown]
# So it need not be the mean: a random image kills as many. Why does it kill when all images share a part?

# %% [markdown]
# ## How it is done
#
# Take a plain gradient step on one image $x$. (Our mixtures train with Adam. We measure its steps further down.) Row $i$ of the
# router's matrix moves by $-\eta\, \frac{\partial L}{\partial z_i}\, x$, where $z_i$ is expert $i$'s logit and $\eta$ the size of the
# step (lesson 04). The same row gives expert $i$'s logit on every other image.
#
# **Your turn.** How far does each expert's logit move on each *other* image?


# %% tags=["exercise"]
def others_move(x, others, dL_dz, eta):
    """x (d,), others (N, d), dL_dz (E,) -> how far their logits move (N, E)."""
    ### BEGIN SOLUTION
    return -eta * torch.outer(others @ x, dL_dz)
    ### END SOLUTION


# %%
others_move = check("06.others_move", others_move)

# %% [markdown]
# So on another image $x'$ the logit moves in proportion to $x \cdot x'$, and on $x$ itself to $x \cdot x$. Now write each image as the mean
# $m$ plus a rest, $x = m + r$ and $x' = m + r'$, and multiply out:
#
# $$x \cdot x' = (m + r) \cdot (m + r') = m \cdot m + m \cdot r' + r \cdot m + r \cdot r'$$
#
# Now take the average over all images $x'$: $r'$ averages to zero, and so do $m \cdot r'$ and $r \cdot r'$. Averaged over all $x$,
# $r \cdot m$ is zero, too. On average $m \cdot m$ is left, and it is positive.
#
# We draw twenty mixtures. Each takes *one* plain step on one image $x$. The picture shows $\frac{x \cdot x'}{x \cdot x}$ for the test
# images $x'$: how far the logit of $x$'s first choice moves there, if its move on $x$ counts as 1.


# %% tags=["measure", "06.suspect"]
# Measured: a step on one image, and what it does to the expert that was chosen.
def one_step(data, seed):
    """One plain step on one image: how far the logit of its first choice moves on each
    of the others (1: as on the image itself).
    """
    torch.manual_seed(seed)
    moe, row = mixture(), torch.randint(len(data.x_train), (1,))
    x, before = data.x_train[row], moe.router(data.x_test).logits
    scores, routing = moe(x)
    loss = F.cross_entropy(scores, data.y_train[row])
    slope, push = torch.autograd.grad(loss, [routing.logits, moe.router.weight])
    with torch.no_grad():
        moe.router.weight -= 0.1 * push
        moved = moe.router(data.x_test).logits - before
    by_hand = others_move(x[0], data.x_test, slope[0], 0.1)
    assert torch.allclose(moved, by_hand, atol=1e-5)
    best = routing.indices[0, 0]
    own = others_move(x[0], x, slope[0], 0.1)[0, best]
    return moved[:, best] / own


moves = {
    name: torch.cat([one_step(data, seed) for seed in seeds(20)])
    for name, data in {"raw": raw, "centred": centred, "random image": swapped}.items()
}
same = {name: float((each > 0).float().mean()) for name, each in moves.items()}
labels = {name: f"{name}: {part:.0%} same way" for name, part in same.items()}


# %% tags=["draw", "nbval-ignore-output", "06.suspect"]
# Drawn: how far the logit moves on the other images.
def on_the_others(figure, theme):
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    accent, muted = look.color("accent", theme), look.color("muted", theme)
    for axes, (name, each) in zip(panels, moves.items(), strict=True):
        color = muted if name == "centred" else accent
        axes.hist(each, bins=60, range=(-1, 1.5), color=color)
        axes.axvline(0, color=muted, lw=1)
        axes.axvline(each.mean(), color=look.color("text", theme), lw=1.5, ls="--")
        axes.set_title(labels[name], loc="left", fontsize=11)
        says = f"average {each.mean():.1f}".replace("-0.0", "0.0")
        axes.text(0.02, 0.75, says, transform=axes.transAxes)
        axes.set_yticks([])
    axes.set_xlabel("move (1: as on the image itself)")


picture(
    on_the_others,
    title=f"On raw pixels, the logit moves the same way on {same['raw']:.0%} of the others",
    note="Height: how many images. Twenty plain steps, each on one image, and the moves on the 450 test images. Dashed: the average.",
    alt="; ".join(labels.values()),
    height=440,
)

# %% [markdown] tags=["06.suspect"]
# On raw images, a plain step that raises an expert's logit on one image raises it on *all*. Such steps can carry a few experts to the
# top everywhere. On centred images, a step raises the logit on about half and lowers it on the rest. With the random image added, it
# is as on raw ones.
#
# Now the real training: 300 steps of Adam, each on a batch. We watch the first twenty. What does the *next* step do?
#
# - **What the images ask for.** On how many images does the gradient raise the first choice's logit?
# - **What the step does.** An expert's logit moves up on some images, and down on the others. How many are the larger part? (95 %: up on
#   95 of 100 and down on 5, or the reverse. 50 % is the least.) The table has the average over the eight experts.


# %% tags=["measure", "06.suspect"]
# Measured: the shares over the first steps, and what the next step pushes up and moves.
def pushed_up(moe, data):
    """Of 512 images, on how many a step raises the logit of their best expert."""
    scores, routing = moe.train()(data.x_train[:512])
    loss = F.cross_entropy(scores, data.y_train[:512])
    (slope,) = torch.autograd.grad(loss, routing.logits)
    return (slope.gather(-1, routing.indices[:, :1]) < 0).float().mean()


LOOK = (0, 1, 2, 3, 10)  # after so many steps
film, dead_at, up_at, one_way = ({"raw": {}, "centred": {}} for _ in range(4))


def watched(name, data):
    weight = {}  # the routers' matrices before each step

    def watch(step, trained):
        weight[step] = trained.parameters["router.weight"].detach().clone()
        shares = share(trained.routing(data.x_test).indices, E)
        film[name][step] = shares[0]
        if step in LOOK:
            dead_at[name][step] = f"{killed(shares).mean():.1f}"
            each = [pushed_up(trained.one(i), data) for i in range(5)]
            up_at[name][step] = f"{sum(each) / 5:.0%}"
        if step - 1 in LOOK:  # what Adam's step has moved
            moved = data.x_test @ (weight[step] - weight[step - 1]).mT
            up = (moved > 0).float().mean(1)  # (5, E)
            one_way[name][step - 1] = f"{torch.maximum(up, 1 - up).mean():.0%}"

    train(mixture, data, seeds(5), steps=20, on_step=watch)


watched("raw", raw)
watched("centred", centred)
alive = {name: E - int(dead(at[20])) for name, at in film.items()}


# %% tags=["draw", "nbval-ignore-output", "06.suspect"]
# Drawn: eight shares over the first 20 steps, on raw and on centred pixels.
def eight_shares(figure, theme):
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, at) in zip(panels, film.items(), strict=True):
        shares = 100 * torch.stack([*at.values()], -1)  # (E, times)
        axes.stackplot(
            list(at), shares, colors=[look.expert_color(e, theme) for e in range(E)]
        )
        below = (shares.cumsum(0) - shares / 2)[:, -1]
        for e in (shares[:, -1] > 2).nonzero().flatten().tolist():
            axes.text(20.4, below[e], e, va="center", fontsize=10)
        axes.set(xlabel="steps", xlim=(0, 20), ylim=(0, 100), xticks=range(0, 21, 5))
        axes.set_title(name, loc="left", fontsize=11)
    panels[0].set_ylabel("choices, %")


picture(
    eight_shares,
    title=f"After 20 of {STEPS} steps, {alive['raw']} of eight experts are alive on raw pixels, and {alive['centred']} on centred ones",
    note="One mixture on each kind of pixels. A band for each expert.",
    alt="; ".join(f"{name}: {n} of 8 experts alive" for name, n in alive.items()),
    height=280,
)

# %% tags=["draw", "nbval-ignore-output", "06.suspect"]
# A table: who is dead, what the next step pushes up, and how far it reaches.
table(
    ["steps taken", *map(str, LOOK)],
    {
        f"{name}: {what}": [at[name][step] for step in LOOK]
        for what, at in {
            "dead, of 8": dead_at,
            "first choice raised": up_at,
            "a logit moved one way": one_way,
        }.items()
        for name in at
    },
    title=f"After three steps, the next one moves a logit the same way on {one_way['raw'][3]} of the raw images, and on {one_way['centred'][3]} of the centred",
    note="Means of five mixtures.",
)

# %% [markdown] tags=["06.suspect"]
# Within three steps, most who will die are dead. From step 1 on, no fewer first choices are raised on centred pixels, and there
# nobody dies. So being raised does not kill the others. What differs is how many images *one* step moves the same way. With Adam, too,
# it is nearly all of the raw ones, and about half of the centred ones.
#
# Two tests. We draw a router whose rows are all orthogonal to the mean: is it only the draw? Then we subtract the mean from the router's
# input alone, and the experts see raw pixels: is it the router at all?


# %% tags=["measure", "06.suspect"]
# Measured: raw pixels, and a router drawn orthogonal to the mean, or one that never sees it.
def blind_to_the_mean():
    router = Router(64, E, 2)
    with torch.no_grad():
        router.weight -= torch.outer(router.weight @ mean, mean) / (mean @ mean)
    return mixture(router)


class CentredRouter(Router):
    """It subtracts the mean image from what it gets."""

    def forward(self, x):
        return super().forward(x - mean)


_, blind_end = run(build=blind_to_the_mean, on_step=note)
_, router_end = run(build=lambda: mixture(CentredRouter(64, E, 2)), on_step=note)

# %% tags=["draw", "nbval-ignore-output", "06.suspect"]
# A table: dead experts at the start and at the end.
table(
    ["dead experts, of 8", "at the start", "at the end"],
    {
        name: [f"{killed(shares).mean():.1f}" for shares in pair]
        for name, pair in {
            "as drawn": (begin[0][:20], end[:20]),
            "drawn orthogonal to the mean": (begin[1], blind_end),
            "the router's input centred": (begin[2], router_end),
        }.items()
    },
    title=f"Drawn orthogonal to the mean, {killed(blind_end).mean():.1f} of 8 experts are dead at the end; with the router's "
    f"input centred, {killed(router_end).mean():.1f}",
    note="Raw digits, means of the first twenty seeds from above.",
)

# %% [markdown] tags=["06.suspect"]
# Drawn orthogonal, nobody is dead at the start, but at the end nearly as many as ever: the mean kills through the *steps*. And it kills
# through the *router*: one that never sees the mean leaves nobody dead.
#
# Why not always centre, then? With pixels we can: lesson 05's other router did. But deep inside a network, the mean changes with every
# step of the layers below. So we test another remedy.

# %% [markdown]
# ## Noise, the remedy
#
# In 2017 Shazeer et al. wrote: “The noise term helps with load balancing.” A common reading: with noise, a dead expert is chosen now
# and then. It can learn, and may come back. (What they mean by “helps” is in *Further*.) So each
# logit $z_i$ gets normal noise of standard deviation $\text{std}_i$:
#
# $$H_i(x) = z_i + \varepsilon_i \cdot \text{std}_i, \qquad \varepsilon_i \sim \mathcal{N}(0, 1)$$
#
# The experts with the largest $H_i$ are chosen. Their weights are a softmax over the chosen $H_i$ alone. In evaluation there is no noise.
#
# **Your turn.** `torch.randn_like` draws normal numbers in a tensor's shape.


# %% tags=["exercise"]
def noisy_topk(logits, std, k, training):
    """logits (T, E), std a number or (T, E) -> chosen, weights, both (T, k)."""
    ### BEGIN SOLUTION
    if training:
        logits = logits + std * torch.randn_like(logits)
    best, chosen = logits.topk(k, dim=-1)
    return chosen, best.softmax(dim=-1)
    ### END SOLUTION


# %%
noisy_topk = check("06.noisy_topk", noisy_topk)

# %% [markdown]
# An untrained router chooses two experts for one image, a thousand times. Move the slider: how much noise does it take until every
# expert gets a turn?

# %% tags=["draw", "nbval-ignore-output"]
# A slider: one image, a thousand choices.
torch.manual_seed(seeds(1)[0])
untrained = mixture()


def a_thousand_choices(noise):
    torch.manual_seed(0)
    with torch.no_grad():
        logits = untrained.router(raw.x_test[:1]).logits.expand(1000, -1)
        chosen, _ = noisy_topk(logits, float(noise), 2, training=True)
    counts = torch.bincount(chosen.flatten(), minlength=E)
    turns = int((counts > 0).sum())
    who = "Every time the same two" if turns == 2 else f"{turns} of 8 get a turn"
    return message(
        who,
        f"One image, 1,000 times two experts, noise of standard deviation {noise}. Upright line: even use.",
    ) + expert_bars(
        (counts / counts.sum()).tolist(),
        [f"{n:,}" if n else "never" for n in counts.tolist()],
        1 / E,
        "How often each expert is chosen",
    )


sweep(a_thousand_choices, noise=("Noise", [0, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3]))

# %% [markdown]
# ## Does it keep experts alive?
#
# Three trials follow, each without noise and with it:
#
# | Trial | Gate | Noise |
# |---|---|---|
# | alone | over all experts: with it most die, so noise has most to save | of one size |
# | their recipe | over the chosen, as in your `noisy_topk` | learned, as Shazeer et al. wrote |
# | beside a penalty | over all experts | of one size |
#
# First, noise alone. (Some 15 seconds.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.alive",
    "We add noise of standard deviation 1 while the mixtures train. How many of the eight experts are dead after training, on average? (The "
    "noise is off while we count.)",
    slider=(0, 8, 0.5, "of 8"),
)


# %% tags=["measure"]
# Measured: training with noise.
noisy = {std: run(build=lambda std=std: mixture(noise=std)) for std in (0.3, 1.0, 3.0)}
noise_dead = {std: killed(shares) for std, (_, shares) in noisy.items()}


def gaps(trained, shares):
    """How far the experts that end dead are below the last place, on each image."""
    logits = trained.routing(raw.x_test).logits
    gap = (logits.topk(2).values[..., 1:] - logits).clamp(min=0)
    return gap.transpose(1, 2)[shares < 0.01].flatten()


one_step_only = train(lambda: mixture(noise=1.0), raw, seeds(20), steps=1)
behind = [gaps(each, noisy[1.0][1]) for each in (one_step_only, noisy[1.0][0])]
overtakes = [  # the noise of both differs
    torch.special.ndtr(-gap / 2**0.5).mean() for gap in behind
]


def saves(before, after):
    """How many experts it saves, in words, if the 95 % interval says so."""
    gain = estimate(before - after)
    if gain.low > 0:
        return f"saves {gain.mean:.1f}"
    if gain.high < 0:
        return f"kills {-gain.mean:.1f} more"
    return "makes no sure difference"


# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
with_noise = float(noise_dead[1.0].mean())
figures = [estimate(each) for each in noise_dead.values()]
widest = max((figure.high - figure.low) / 2 for figure in figures)
reveal(
    "06.alive",
    with_noise,
    says=f"Without noise it is {killed(end[:20]).mean():.1f}, with "
    + ", ".join(
        f"noise of {std:g} {each.mean():.1f}" for std, each in noise_dead.items()
    )
    + f" (means of twenty; 95 % intervals: plus or minus {widest:.1f} at most). "
    + (
        "So with this gate and two chosen, noise alone does not keep the experts alive. Why? With noise of 1, those that will die are on "
        f"average {behind[0].mean():.1f} below the second choice after one step, and the noise lifts one above it in {overtakes[0]:.0%} of the cases. So at first they "
        f"get their turns. But training widens this gap: at the end it is {behind[1].mean():.1f}, and the noise overtakes it in {overtakes[1]:.1%} of the cases."
        if with_noise > n_dead["nothing"] - 1
        else "So noise brings some of them back."
    ),
)

# %% [markdown]
# ## Their gate and their noise
#
# The second trial takes the gate that you wrote. The size of Shazeer et al.'s noise is *learned*: it comes from a second matrix, $V$,
# beside the router's $W$ (softplus makes it positive).
#
# $$H(x) = W x + \varepsilon \cdot \text{softplus}(V x)$$
#
# Both matrices start at zero. So at first only the noise decides, and its standard deviation is softplus(0). (Some ten seconds.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.recipe",
    "Their gate, their noise and their start, without their penalties: how many of eight "
    "experts are dead after training, on average?",
    slider=(0, 8, 0.5, "of 8"),
)


# %% tags=["measure"]
# Measured: their gate, with their noise and start.
its_noise = {}  # standard deviation of the noise of their recipe, at two steps


def whole_recipe():
    router = Router(64, E, 2, noise="learned", **CHOSEN_ALONE)  # V starts at zero
    torch.nn.init.zeros_(router.weight)
    return mixture(router)


def note_noise(step, trained):
    if step in (0, STEPS):
        matrix = trained.parameters["router.noise_weight"].detach()
        its_noise[step] = F.softplus(raw.x_test @ matrix.mT).mean().item()


gate_dead = killed(without["the gate"])
recipe_dead = killed(run(build=whole_recipe, on_step=note_noise)[1])

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "06.recipe",
    float(recipe_dead.mean()),
    says=f"Their gate alone: {gate_dead.mean():.1f} dead. Their noise with their start {saves(gate_dead, recipe_dead)} (experts saved: {', '.join(estimate(gate_dead - recipe_dead).rounded)}). "
    f"The standard deviation of their noise is {its_noise[0]:.2f} at the start and {its_noise[STEPS]:.2f} after {STEPS} steps"
    + (": training turns it down." if its_noise[STEPS] < its_noise[0] / 3 else "."),
)

# %% [markdown]
# ## Noise beside a penalty
#
# In their paper, noise comes with two penalties. We take one of them. An expert's *importance* is the sum of its gate weights over a
# batch. We add the cv² (lesson 05) of the eight importances to the loss, with coefficient 1. Beside this penalty we set weak noise, of
# standard deviation 0.3. (Some ten seconds.)


# %% tags=["measure"]
# Measured: the penalty alone.
def importance_penalty(routing, step):
    return importance_loss(routing)


penalty, penalty_end = run(penalty=importance_penalty)
alone = float(killed(penalty_end).mean())

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.mends",
    f"The penalty alone leaves {alone:.1f} of 8 experts dead. With weak noise beside it, how many are dead?",
    slider=(0, 8, 0.5, "of 8"),
)


# %% tags=["measure"]
# Measured: weak and strong noise beside the penalty.
with_both, both_end = run(build=lambda: mixture(noise=0.3), penalty=importance_penalty)
strong, strong_end = run(build=lambda: mixture(noise=1.0), penalty=importance_penalty)
both = float(killed(both_end).mean())


def all_probabilities(routing, step):
    """The same penalty, but on the probabilities of all experts, not of the chosen."""
    asked = routing.probs.sum(0)
    return asked.var(correction=0) / asked.mean() ** 2


whole_dead = float(killed(run(penalty=all_probabilities)[1]).mean())
gate_penalty, gate_both = (
    killed(run(build=lambda o=o: mixture(**o), penalty=importance_penalty)[1])
    for o in (CHOSEN_ALONE, CHOSEN_ALONE | {"noise": 1.0})
)
right_by = [
    100 * each.accuracy(raw.x_test, raw.y_test)[:20] for each in (without_noise, strong)
]


# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "06.mends",
    both,
    says=(
        "Less than half as many."
        if both < alone / 2
        else "Fewer, but no less than half as many."
        if both < alone
        else "No fewer: the noise does not help."
    )
    + f" With noise of 1 beside it, {killed(strong_end).mean():.1f} are dead.\n\nWhy can the penalty not do it alone? Importance adds up the "
    "weights of the chosen alone. If an expert is never chosen, a larger logit does not raise its importance. With noise, it is chosen now and "
    f"then. A test of this reason, without noise: the penalty is now the cv² of the probabilities of all eight experts. It leaves {whole_dead:.1f} dead"
    + (
        ", which fits the reason."
        if whole_dead < both
        else ": so that is not the reason."
    ),
)

# %% [markdown]
# ## The verdict

# %% tags=["draw", "nbval-ignore-output", "06.alive", "06.recipe", "06.mends"]
# Drawn: dead experts without noise and with it, for two gates, without the penalty and with it.
NO, before = "no noise", killed(end[:20])
weak = {NO: killed(penalty_end), "noise of 0.3": killed(both_end)}
trials = {
    "gate over all": {NO: before, "noise of 1": noise_dead[1.0]},
    "their gate": {NO: gate_dead, "their noise": recipe_dead},
    "gate over all, with penalty": weak | {"noise of 1": killed(strong_end)},
    "their gate, with penalty": {NO: gate_penalty, "noise of 1": gate_both},
}


def four_groups(figure, theme):
    panels = figure.subplots(4, 1, sharex=True, height_ratios=[2, 2, 3, 2])
    for axes, (heading, group) in zip(panels, trials.items(), strict=True):
        axes.set_title(heading, loc="left", fontsize=11)
        for y, each in enumerate(map(estimate, group.values())):
            color = look.color("accent" if y else "text", theme)
            axes.plot([each.low, each.high], [y, y], color=color, lw=2)
            axes.plot(each.mean, y, "o", ms=7, color=color)
            words = f"{each.mean:.2f}"
            axes.text(
                each.mean, y - 0.2, words, color=color, ha="center", weight="bold"
            )
        axes.set_yticks(range(len(group)), group)
        axes.set(xlim=(-0.4, 6.4), ylim=(len(group) - 0.5, -0.9), xticks=range(7))
    panels[-1].set_xlabel("dead experts of 8")


picture(
    four_groups,
    title=f"Noise of 1 alone {saves(before, noise_dead[1.0])}; beside the penalty it {saves(killed(penalty_end), killed(strong_end))}",
    note="Raw digits, twenty seeds: the mean and its 95 % interval. In colour: with noise. With the gate over all experts "
    f"{right_by[0].mean():.1f} % of the test images are right with neither noise nor penalty, {right_by[1].mean():.1f} % with the penalty and noise of 1. "
    f"(Difference in points: {' ('.join(estimate(right_by[1] - right_by[0]).rounded)}).)",
    alt="; ".join(
        f"{heading}, {name}: {each.mean():.1f} dead"
        for heading, group in trials.items()
        for name, each in group.items()
    ),
    height=480,
)

# %% [markdown] tags=["06.alive", "06.recipe", "06.mends"]
# - **Alone**, with two chosen and a gate over all experts, noise leaves most experts dead.
# - **With their gate**, their noise and start save less than one expert on average. (Without their two penalties. The last panel has one
#   of them, beside noise of 1.)
# - **Beside a penalty** of coefficient 1, noise helps much more, with either gate.
#
# By “helps” Shazeer et al. mean something else, an estimate of the load (*Further*).

# %% [markdown]
# ## The bug that noise leaves
#
# Your colleague's router adds its noise in evaluation as well. Nothing crashes. We take mixtures that trained with noise of 1 and
# the penalty, and put their routers' weights into your colleague's router.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.bug",
    "In evaluation, you ask a mixture with your colleague's router about each of the 450 test images twice. For how many images does the "
    "predicted class change? (On average over twenty mixtures.)",
    slider=(0, 100, 1, "of 450"),
)


# %% tags=["measure"]
# Measured: the same images twice, and how many are right.
class ColleaguesRouter(Router):
    """Noisy top-k, written in a hurry."""

    def add_noise(self, tokens, logits):
        std = torch.full_like(logits, self.noise)
        return logits + torch.randn_like(logits) * std, std


def accuracy(moe):
    return float((moe(raw.x_test)[0].argmax(-1) == raw.y_test).double().mean())


def pair(seed):
    ours, theirs = (strong.one(seed).eval() for _ in range(2))
    theirs.router = ColleaguesRouter(64, E, 2, noise=1.0).eval()
    theirs.router.load_state_dict(ours.router.state_dict())
    return ours, theirs


torch.manual_seed(seeds(1)[0])
pairs = [pair(i) for i in range(20)]
ours, wobbly = pairs[0]
twice = [[theirs(raw.x_test) for _ in range(2)] for _, theirs in pairs]
changed = [int((a.argmax(-1) != b.argmax(-1)).sum()) for (a, _), (b, _) in twice]
kept = [(a.indices == b.indices)[:, 0].double().mean() for (_, a), (_, b) in twice]
right = torch.tensor([[accuracy(moe) for moe in each] for each in pairs])
points, between = estimate(100 * (right[:, 0] - right[:, 1])).rounded

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "06.bug",
    sum(changed) / 20,
    says=f"Of the twenty mixtures, one changes {min(changed)} and another {max(changed)}. For {sum(kept) / 20:.0%} of the images, the router's first choice is the same both times. "
    f"On average, {right[:, 0].mean():.1%} of the "
    f"answers are right without noise, and {points} points fewer ({between}) with your colleague's router. An accuracy alone does not show "
    "the bug, unless you know what it is without the bug.",
)

# %% [markdown]
# ## A probe
#
# **Your turn.** Write a probe that finds noise left on, in any mixture. `moe(x)` returns the scores and the routing. Ask twice in
# evaluation, compare the scores number by number, and set `same`.


# %% tags=["exercise"]
def wavers(moe, x):
    """x (T, d) -> True if, in evaluation, the scores differ when asked twice."""
    was_training = moe.training
    ### BEGIN SOLUTION
    moe.eval()
    same = torch.equal(moe(x)[0], moe(x)[0])
    ### END SOLUTION
    moe.train(was_training)
    return not same


# %%
wavers = check("06.wavers", wavers)

# %%
for whose, moe in {"our": ours, "your colleague's": wobbly}.items():
    print(f"{whose} mixture", "wavers" if wavers(moe, raw.x_test) else "is steady")

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("06")

# %% [markdown]
# ## Try it
#
# 1. Mend `ColleaguesRouter`: where `self.training` is false, `add_noise` should return what `super().add_noise` returns. What
#    does `wavers` say now?
# 2. Another coefficient for the penalty: `def importance_penalty(routing, step): return 0.1 * importance_loss(routing)`. Run the cells
#    from there on. Does weak noise still save half of those that the penalty leaves dead?
#
# ## Recap
#
# - A plain step on one image moves the logits of another by $-\eta\, \partial L / \partial z_i\, (x \cdot x')$.
# - Here, with two chosen, hardly any expert was dead once the shared mean was taken away. With the mean, a gate over the chosen alone
#   saved some experts, and so did freezing all experts as they were drawn.
# - With a gate over all experts, noise alone left most dead; with their gate, it and their start saved less than one.
#   Beside an importance penalty of coefficient 1, weak noise saved more than half of those that the penalty left dead. A
#   probable reason: importance sees only the chosen.
# - In evaluation noise must be off, or the same image can get two answers. (And an evaluation
#   [must not change the training](museum.ipynb#validation-changes-the-training).)
#
# **Sources.** Noisy top-k and the load estimate: [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538),
# section 2.1, equations 3 to 5, and appendix A.

# %% [markdown]
# ## Further


# %% [markdown]
# ### The first trial as a claim
#
# The control has the same noise, but no shared mean.

# %% tags=["measure", "06.alive"]
# Claim 06.2.
claim(
    "06.2",
    "With noise of standard deviation 1 and nothing else, more than four of eight experts "
    "are dead after training on raw digits",
    quantity="dead experts (of 8)",
    measured=noise_dead[1.0],
    holds=above(4),
    control=killed(run(centred, build=lambda: mixture(noise=1.0))[1]),
    control_is="the same noise, on centred images",
    refutes="With two chosen, noise alone prevents collapse",
)

# %% [markdown]
# ### Why is anybody dead before training?
#
# Before the first step, some experts are dead already. A logit is
# $w_i \cdot x = w_i \cdot m + w_i \cdot (x - m)$, with $m$ the mean image, and the first part is *the same for every image*. How much of
# the difference between the experts' logits is this constant? (For centred images it is zero by construction: the control checks our
# arithmetic.)


# %% tags=["measure"]
# Claim 06.3.
def constant_part(x, seed):
    """Part of the logits' differences (squared) that is the same for all inputs x."""
    torch.manual_seed(seed)
    with torch.no_grad():
        logits = mixture().router(x).logits
    logits = logits - logits.mean(-1, keepdim=True)  # only differences choose
    return float(logits.mean(0).square().sum() / logits.square().sum(-1).mean())


claim(
    "06.3",
    "At the start, more than half of the difference between the experts' logits is, on "
    "average, the same for every raw image",
    quantity="part that is the same for every image (of the difference)",
    measured=[constant_part(raw.x_train, seed) for seed in seeds(40)],
    holds=above(0.5),
    control=[constant_part(centred.x_train, seed) for seed in seeds(40)],
    control_is="centred images",
)

# %% [markdown]
# ### How sure is all this?
#
# Two suspects were accomplices. Two controls check whether our replacements changed something else. Perhaps it helps to freeze just
# anything? Perhaps the other gate just has larger weights?

# %% tags=["measure", "06.suspect"]
# Claims 06.4 and 06.5.
claim(
    "06.4",
    "Freezing the experts, so that none learns, saves more than 0.4 of eight experts from dying",
    quantity="experts saved (of 8)",
    measured=saved(without["experts that learn"]),
    holds=above(0.4),
    control=saved(run(freeze=EXPERTS[1::2])[1]),
    control_is="only their biases are frozen",
)
claim(
    "06.5",
    "A gate that compares the chosen alone saves more than 0.75 of eight experts from dying",
    quantity="experts saved (of 8)",
    measured=saved(without["the gate"]),
    holds=above(0.75),
    control=saved(run(build=lambda: mixture(scale=2.0))[1]),
    control_is="a gate over all experts, twice as large",
)

# %% tags=["measure", "06.mends"]
# Claim 06.6.
claim(
    "06.6",
    "Noise of standard deviation 0.3 beside an importance penalty of coefficient 1 saves "
    "more than one expert of eight from dying",
    quantity="experts saved (of 8)",
    measured=killed(penalty_end) - killed(both_end),
    holds=above(1),
    control=killed(end[:20]) - noise_dead[0.3],
    control_is="the same noise without the penalty",
)

# %% [markdown]
# ### What noise has to overtake
#
# An expert that is behind gets a turn only where noise overtakes the *gap*.
#
# **Your turn, if you like.** Two experts are `gap` apart, and each logit gets noise of standard deviation `std`. How likely
# does the second overtake the first? `torch.special.ndtr(z)` is the probability that a normal number of standard deviation 1 is below $z$.


# %% tags=["exercise", "optional"]
def flip_probability(gap, std):
    """gap (N,), at least 0, std a number -> how likely noise turns the order (N,)."""
    ### BEGIN SOLUTION
    return torch.special.ndtr(-gap / (2**0.5 * std))
    ### END SOLUTION


# %%
flip_probability = check("06.flip_probability", flip_probability)

# %% [markdown]
# (The difference of two independent noises has the standard deviation $\sqrt{2} \cdot$ `std`.)
#
# Back to the mixtures that trained without noise and with it. The weaker of the two chosen holds the *last place*.
#
# - How far below it are the experts that end dead?
# - How likely is noise to lift one above it? (For those trained without noise: noise of 1.)
# - How much of the weight does the last place get?

# %% tags=["measure"]
# Measured: gap, flips and the second weight, after one step of training and at its end.
NO_NOISE = f"after {STEPS} steps, no noise"
stages = {"after 1 step, noise 1": (1.0, one_step_only, noisy[1.0][1])}
stages[NO_NOISE] = 1.0, without_noise, end
for std, (trained, shares) in noisy.items():
    stages[f"after {STEPS} steps, noise {std:g}"] = std, trained, shares

escapes = {}
for name, (std, trained, shares) in stages.items():
    gap = gaps(trained, shares)
    flips, weights = flip_probability(gap, std).mean(), trained.last_routing.weights
    second = (weights[..., 1] / weights.sum(-1)).median()
    escapes[name] = f"{gap.mean():.1f}", f"{flips:.1%}", f"{second:.1%}"

# %% tags=["draw", "nbval-ignore-output", "06.alive"]
# Drawn: the table.
*_, with_weak, _, with_strong = escapes.values()
table(
    ["", "gap", "noise overtakes it", "weight of the last place"],
    escapes,
    title=f"Weak noise lifts a dead expert above the last place with probability {with_weak[1]}; strong noise with "
    f"{with_strong[1]}, and there this place weighs {with_strong[2]}",
    note="Twenty mixtures with each noise, forty without. Gap and probability: the mean of the experts that end dead. Weight: the median.",
)

# %% [markdown] tags=["06.alive"]
# The gap widens even without noise, and weak noise cannot follow. Strong noise sometimes lifts the dead. But there the router has
# raised its first choice so far that the last place has almost no weight. That may be why the dead stay dead: a weight near
# zero gives almost no gradient.

# %% [markdown]
# ### The load estimate
#
# Noise has a second use, and it is what Shazeer et al. mean by “helps”. How many tokens went to expert $i$ is a count, and a
# count has no slope. With noise we can ask a smoother question: *if only expert $i$'s noise were drawn again, how likely would
# it be chosen?* That depends smoothly on the logits, and its sum over the tokens is a load that training can push on.
#
# Expert $i$ has to beat the $k$-th best of *the others*. If $i$ is among the best $k$ now, that is number $k + 1$ of all;
# otherwise it is number $k$. With $\Phi$ the normal distribution function:
#
# $$P_i(x) = \Phi\!\left(\frac{z_i - \text{to beat}_i}{\text{std}_i}\right), \qquad \text{load}_i = \sum_x P_i(x)$$
#
# **Your turn, if you like.** `best[:, k - 1 : k]` is a column with number $k$ of each token.


# %% tags=["exercise", "optional"]
def expected_load(logits, noisy, std, k):
    """logits without and with noise, std, all (T, E) -> expected tokens (E,)."""
    ### BEGIN SOLUTION
    best = noisy.topk(k + 1, dim=-1).values
    chosen = noisy >= best[:, k - 1 : k]
    to_beat = torch.where(chosen, best[:, k:], best[:, k - 1 : k])
    return torch.special.ndtr((logits - to_beat) / std).sum(dim=0)
    ### END SOLUTION


# %%
expected_load = check("06.expected_load", expected_load)

# %% [markdown]
# Every token chooses $k$ experts, so the loads must add up to $k$ times the tokens, on average. This is worth a test, because
# a small slip in the threshold goes unnoticed.

# %%
with torch.no_grad():
    r = Router(64, E, 2, noise=0.5)(raw.x_test.repeat(20, 1))
load = expected_load(r.logits, r.noisy_logits, r.noise_std, 2)
assert torch.allclose(load, load_estimate(r), rtol=1e-3)
to_beat = r.noisy_logits.topk(2).values[:, 1:]
slip = torch.special.ndtr((r.logits - to_beat) / r.noise_std)
print(f"choices for each token, estimated: {load.sum() / len(r.logits):.1f}")
print(f"if all have to beat the k-th best of all: {slip.sum() / len(r.logits):.1f}")

# %% [markdown]
# ### Where only one is chosen
#
# What does noise do where only one expert is chosen? This mixture trains in the page, on points away from the origin, with *one* expert for
# each, and strong noise. Press play: how many work in the end? Then take the noise away: do the dead come back?

# %% tags=["playground", "nbval-ignore-output"]
playground(preset="kill", seed=35)
