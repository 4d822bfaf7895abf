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
# 40 minutes. You leave able to say by experiment why mixtures collapse, to build noisy top-k, to tell when it helps, and to
# find the bug that noise likes to leave behind.
#
# In lesson 05 most experts died. This lesson is a detective story: who did it? Then an old remedy, noise, stands trial.
#
# Our mixtures have eight experts of 16 neurons, and *two* are chosen for each image. They train on raw digits for 300 steps. As
# before, an expert with less than one choice in a hundred is dead. (On these digits, the dead hardly cost accuracy.)

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
    Line,
    curves,
    expert_bars,
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
# - **The gate.** Its probabilities for *all* experts add up to 1: where the chosen rise, all others fall. *Taken away:* the
#   softmax runs over the two chosen alone (top-k, then softmax: lesson 03).

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.suspect",
    "Accuse one. We take away one suspect at a time. Without which one do the fewest experts die?",
    choices=["experts that learn", "the shared mean", "the gate"],
)

# %% tags=["measure"]
# Measured: mixtures without one suspect or another (some 10 seconds).
EXPERTS = ["experts.w_in", "experts.b_in", "experts.w_out", "experts.b_out"]
CHOSEN_ALONE = {"gate": "topk_softmax"}
mean = raw.x_train.mean(0)
centred = raw._replace(x_train=raw.x_train - mean, x_test=raw.x_test - mean)
without_noise, end = run()
without = {
    "experts that learn": run(freeze=EXPERTS)[1],
    "the gate": run(build=lambda: mixture(**CHOSEN_ALONE))[1],
    "the shared mean": run(centred)[1],
}
n_dead = {name: killed(shares).mean() for name, shares in without.items()}
culprit = min(n_dead, key=n_dead.get)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "06.suspect",
    culprit,
    says=f"With all three present, {killed(end).mean():.1f} of 8 experts are dead after training; without the mean, "
    f"{n_dead['the shared mean']:.1f}. "
    + (
        "Here, with two chosen, the mean is convicted: without it, the other two harm nobody."
        if n_dead["the shared mean"] < 0.5
        else f"Most of it was done by {culprit}."
    ),
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the experts that are alive in each mixture.
def draw_alive(groups, title, what):
    """Four groups of mixtures: a column for each, with a square for each expert."""

    def draw(figure, theme):
        panels = figure.subplots(2, 2, gridspec_kw={"wspace": 0.1, "hspace": 0.22}).flat
        for axes, (name, shares) in zip(panels, groups.items(), strict=True):
            alive = E - killed(shares).sort(descending=True).values
            x, ground = range(len(alive)), look.color("ground", theme)
            axes.bar(x, alive, 0.78, color=look.color("accent", theme))
            axes.bar(x, E - alive, 0.78, alive, color=look.color("line", theme))
            axes.hlines(range(E + 1), -0.5, len(alive) - 0.5, color=ground, lw=3)
            words = f"{name}: {killed(shares).mean():.1f}"
            words += "" if is_narrow(figure) else " dead"
            axes.set_title(words, loc="left", fontsize=9 if is_narrow(figure) else 11)
            axes.set(xlim=(-0.5, len(alive) - 0.5), ylim=(0, E))
            axes.set_axis_off()

    return picture(
        draw,
        title=title,
        note=f"{what} Each column is a mixture, each square an expert. In colour: alive. Grey: dead, with the mean of the twenty.",
        alt="; ".join(
            f"{name}: {killed(shares).mean():.1f} dead"
            for name, shares in groups.items()
        ),
        height=300,
    )


draw_alive(
    {
        "all three": end,
        "without learning": without["experts that learn"],
        "without the gate": without["the gate"],
        "without the mean": without["the shared mean"],
    },
    f"All three present, {killed(end).mean():.1f} of 8 experts are dead; without the shared mean {n_dead['the shared mean']:.1f}",
    "One suspect is taken away in each of the other three.",
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
    measured=saved(without["the shared mean"]),
    holds=above(3),
    control=saved(run(swapped)[1]),
    control_is="a random image of the same length takes its place",
)

# %% [markdown]
# So it need not be the mean: a random image kills as many. Why does it kill when all images share a part?

# %% [markdown]
# ## How it is done
#
# Take a plain gradient step on one image $x$. Row $i$ of the router's matrix moves by
# $-\eta\, \frac{\partial L}{\partial z_i}\, x$, where $z_i$ is expert $i$'s logit and $\eta$ the size of the step (lesson 04). The same
# row gives expert $i$'s logit on every other image.
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

# %% [markdown] tags=["06.suspect"]
# So on another image $x'$ the logit moves in proportion to $x \cdot x'$. Write each image as the mean $m$ plus a rest,
# $x = m + r$ and $x' = m + r'$. Averaged over all pairs of images, the rests cancel:
#
# $$\text{average of } x \cdot x' = m \cdot m > 0$$
#
# Twenty times, a mixture takes *one* plain step on one image $x$. How far does the logit of $x$'s first choice move on the test
# images, if its move on $x$ itself counts as 1?


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
    for name, data in {"raw": raw, "centred": centred}.items()
}
same = {name: float((each > 0).float().mean()) for name, each in moves.items()}


# %% tags=["draw", "nbval-ignore-output", "06.suspect"]
# Drawn: how far the logit moves on the other images.
def on_the_others(figure, theme):
    axes = figure.add_subplot()
    for name, role in {"raw": "muted", "centred": "accent"}.items():
        color = look.color(role, theme)
        shape = {"histtype": "stepfilled", "lw": 2, "ec": color, "fc": (color, 0.25)}
        height, _, _ = axes.hist(moves[name], bins=60, range=(-1, 1.5), **shape)
        at = moves[name].mean() - 0.3 * (name == "centred"), height.max() * 1.04
        axes.text(*at, name, color=color, ha="center", weight="bold", fontsize=12)
    axes.axvline(0, color=look.color("text", theme), lw=1.2, ymax=0.92)
    axes.set(yticks=[], xlim=(-1, 1.5), xticks=(-1, 0, 1))
    axes.set_xlabel("move of the logit")
    axes.spines["left"].set_visible(False)
    axes.margins(y=0.15)


picture(
    on_the_others,
    title=f"The logit moves the same way on {100 * same['raw']:.0f} % of the raw images, and on {100 * same['centred']:.0f} % of the centred",
    note="Height: how many test images. Right of the line: the same way as on the image of the step, where the move is 1.",
    alt="; ".join(
        f"{name}: {100 * part:.0f} % the same way" for name, part in same.items()
    ),
)

# %% [markdown] tags=["06.suspect"]
# On raw images, one step moves an expert's logit the same way on *all* images, up or down. (No pixel is negative, so no product
# $x \cdot x'$ is, either.) So steps on many images add up. On centred images, what rises here falls there.
#
# Now we watch a real training with Adam: its first twenty steps.


# %% tags=["measure", "06.suspect"]
# Measured: the shares over the first steps of one mixture on each kind of pixels.
def filmed(data):
    film = {}

    def watch(step, trained):
        film[step] = share(trained.routing(data.x_test).indices, E)[0]

    train(mixture, data, seeds(1), steps=20, on_step=watch)
    return film


film = {"raw": filmed(raw), "centred": filmed(centred)}
alive = {name: E - int(dead(at[20])) for name, at in film.items()}


# %% tags=["draw", "nbval-ignore-output", "06.suspect"]
# Drawn: eight shares over the first 20 steps, on raw and on centred pixels.
def eight_shares(figure, theme):
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, at) in zip(panels, film.items(), strict=True):
        shares = 100 * torch.stack([*at.values()], -1)  # (E, times)
        colors = [look.expert_color(e, theme) for e in range(E)]
        ground = look.color("ground", theme)
        axes.stackplot(list(at), shares, colors=colors, edgecolor=ground, lw=0.8)
        below = (shares.cumsum(0) - shares / 2)[:, -1]
        for e in (shares[:, -1] > 2).nonzero().flatten().tolist():
            axes.text(20.4, below[e], e, va="center", fontsize=10)
        axes.set(xlabel="steps", xlim=(0, 20), ylim=(0, 100), xticks=(0, 10, 20))
        axes.set_title(name, loc="left", fontsize=11)
    panels[0].set_ylabel("choices, %")


picture(
    eight_shares,
    title=f"After 20 of {STEPS} steps, {alive['raw']} of eight experts are alive on raw pixels, and {alive['centred']} on centred ones",
    note="One mixture on each kind of pixels. A band for each expert: its part of all choices.",
    alt="; ".join(f"{name}: {n} of 8 experts alive" for name, n in alive.items()),
    height=280,
)

# %% [markdown] tags=["06.suspect"]
# So this is how a shared mean can kill: a step moves an expert on nearly all images at once (Adam's steps do so, too: *Further*), and
# soon a few are chosen everywhere.
#
# Why not always subtract the mean? In the router that works here, too (*Further*). But the remedy that was tried first, and that is
# found in many papers, is another one.

# %% [markdown]
# ## Noise, the remedy
#
# In 2017 Shazeer et al. wrote: “The noise term helps with load balancing.” A common reading: with noise, a dead expert is chosen now
# and then, learns, and comes back. (What they mean is in *Further*.) So each logit $z_i$ gets normal noise of standard deviation
# $\text{std}_i$:
#
# $$H_i(x) = z_i + \varepsilon_i \cdot \text{std}_i, \qquad \varepsilon_i \sim \mathcal{N}(0, 1)$$
#
# The experts with the largest $H_i$ are chosen. Their weights are a softmax over the chosen $H_i$ alone. In evaluation there is no
# noise.
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
# Shazeer et al.'s gate, the one you wrote, compares the chosen alone. We put noise on trial with the gate over all experts.
# (*Further* has their gate and their noise.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.alive",
    f"Without noise, {killed(end).mean():.1f} of 8 experts die. We add noise of standard deviation 1 while the mixtures train. How many are dead "
    "after training, on average? (The noise is off while we count.)",
    slider=(0, 8, 0.5, "of 8"),
)


# %% tags=["measure"]
# Measured: training with noise.
AFTER = (1, 3, 10, 30, 100, STEPS)  # steps
logits = {}


def note_logits(step, trained):
    if step in AFTER:
        logits[step] = trained.routing(raw.x_test).logits


noisy, noisy_end = run(build=lambda: mixture(noise=1.0), on_step=note_logits)
noise_dead = killed(noisy_end)
doomed = noisy_end < 0.01  # (seeds, E): who is dead at the end
torch.manual_seed(seeds(1)[0])
turns = []  # of the doomed, with noise: per cent of all choices
for found in logits.values():
    chosen, _ = noisy_topk(found.flatten(0, 1), 1.0, 2, training=True)
    shares = share(chosen.view(len(found), -1, 2), E)
    turns.append(100 * float(shares[doomed].mean()))

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
with_noise = float(noise_dead.mean())
reveal(
    "06.alive",
    with_noise,
    says=(
        "So here, noise alone does not keep the experts alive. Do the dead not get their turns? Your noisy_topk counts them: the next picture "
        "follows those who are dead at the end."
        if with_noise > killed(end).mean() - 1
        else "So noise brings some of them back."
    ),
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: how often the doomed are chosen while the noise is on.
curves(
    {
        "the doomed": Line(AFTER, turns, color="accent", marker="●"),
        "an even share": Line(AFTER, [100 / E] * len(AFTER), "--", "muted"),
    },
    x="steps of training",
    y="choices of each, %",
    log="x",
    xticks=AFTER,
    title=f"The doomed get {turns[1]:.0f} % of the choices each after {AFTER[1]} steps, {turns[2]:.0f} % after {AFTER[2]}, and {turns[4]:.1f} % after {AFTER[4]}",
    note="The doomed: the experts that are dead at the end. Their mean over twenty mixtures, with the noise on, by your function.",
    height=260,
)

# %% [markdown]
# They were chosen, so they could learn. All the same they fell behind, until noise of 1 seldom lifted them.

# %% [markdown]
# ## Noise beside a penalty
#
# In their paper, noise comes with two penalties. We take one of them. An expert's *importance* is the sum of its gate weights over a
# batch. We add the cv² (lesson 05) of the eight importances to the loss, with coefficient 1.


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
    f"The penalty alone leaves {alone:.1f} of 8 experts dead. With noise of 1 beside it, how many are dead?",
    slider=(0, 8, 0.5, "of 8"),
)


# %% tags=["measure"]
# Measured: noise beside the penalty.
strong, strong_end = run(build=lambda: mixture(noise=1.0), penalty=importance_penalty)
both = float(killed(strong_end).mean())

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "06.mends",
    both,
    says=(
        "The noise that does not save them alone saves them here. A probable reason: importance adds up the weights of the chosen. An expert that is "
        "never chosen has an importance of zero, whatever its logit. With noise it is chosen now and then, and the penalty can "
        "raise it. (Further tests it.)"
        if both < alone / 2
        else "Here, too, the noise does not save many."
    ),
)

# %% [markdown]
# ## The verdict

# %% tags=["draw", "nbval-ignore-output", "06.alive", "06.mends"]
# Drawn: the mixtures without noise and with it, without the penalty and with it.
draw_alive(
    {
        "neither": end,
        "noise": noisy_end,
        "penalty": penalty_end,
        "both": strong_end,
    },
    f"Noise alone leaves {with_noise:.1f} of 8 experts dead; beside the penalty it leaves {both:.1f}",
    "Raw digits, noise of standard deviation 1.",
)

# %% [markdown] tags=["06.alive", "06.mends"]
# Noise alone is no remedy here, and the penalty alone leaves some dead. With both, fewest are dead.

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
right = torch.tensor([[accuracy(moe) for moe in each] for each in pairs])
points, between = estimate(100 * (right[:, 0] - right[:, 1])).rounded

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "06.bug",
    sum(changed) / 20,
    says=f"One mixture changes {min(changed)}, another {max(changed)}. Yet {100 * right[:, 1].mean():.1f} % of the answers are right, only {points} points fewer "
    f"({between}) than without noise. An accuracy alone does not show the bug, unless you know what it is without the bug.",
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
#    from there on. Does noise still save those that the penalty leaves dead?
#
# ## Recap
#
# - A plain step on one image moves the logits of another by $-\eta\, \partial L / \partial z_i\, (x \cdot x')$.
# - Here, with two chosen, hardly any expert was dead once the shared mean was taken away.
# - With the gate over all, noise alone left most experts dead. Beside an importance penalty of coefficient 1, it left hardly any.
# - In evaluation noise must be off, or the same image can get two answers. (And an evaluation
#   [must not change the training](museum.ipynb#validation-changes-the-training).)
#
# **Sources.** Noisy top-k and the load estimate: [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538),
# section 2.1, equations 3 to 5, and appendix A.

# %% [markdown]
# ## Further


# %% [markdown]
# ### Noise alone, as a claim
#
# The control, of ten seeds, has the same noise, but no shared mean.

# %% tags=["measure", "06.alive"]
# Claim 06.2.
claim(
    "06.2",
    "With noise of standard deviation 1 and nothing else, more than four of eight experts "
    "are dead after training on raw digits",
    quantity="dead experts (of 8)",
    measured=noise_dead,
    holds=above(4),
    control=killed(run(centred, 10, build=lambda: mixture(noise=1.0))[1]),
    control_is="the same noise, on centred images",
    refutes="With two chosen, noise alone prevents collapse",
)

# %% [markdown]
# ### Is it only the draw?
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
# So we draw a router whose rows are all orthogonal to the mean: is it only the draw? Then we subtract the mean from the router's input
# alone, and the experts see raw pixels: is it the router at all?


# %% tags=["measure", "06.suspect"]
# Measured: a router drawn orthogonal to the mean, or one that never sees it.
def blind_to_the_mean():
    router = Router(64, E, 2)
    with torch.no_grad():
        router.weight -= torch.outer(router.weight @ mean, mean) / (mean @ mean)
    return mixture(router)


class CentredRouter(Router):
    """It subtracts the mean image from what it gets."""

    def forward(self, x):
        return super().forward(x - mean)


def start_and_end(build, last=None):
    """Dead experts before the first step and after training, ten seeds."""
    first = []

    def note(step, trained):
        first.append(share(trained.routing(raw.x_test).indices, E))

    train(build, raw, seeds(10), steps=1, on_step=note)
    last = run(n_seeds=10, build=build)[1] if last is None else last
    return [f"{killed(shares).mean():.1f}" for shares in (first[0], last)]


drawn = {
    "as drawn": start_and_end(mixture, end[:10]),
    "drawn orthogonal to the mean": start_and_end(blind_to_the_mean),
    "the router's input centred": start_and_end(
        lambda: mixture(CentredRouter(64, E, 2))
    ),
}

# %% tags=["draw", "nbval-ignore-output", "06.suspect"]
# A table: dead experts at the start and at the end.
_, orthogonal, routers = (last for _, last in drawn.values())
table(
    ["dead experts, of 8", "at the start", "at the end"],
    drawn,
    title=f"Drawn orthogonal to the mean, {orthogonal} of 8 experts are dead at the end; with the router's input centred, {routers}",
    note="Raw digits, means of ten seeds.",
)

# %% [markdown] tags=["06.suspect"]
# Drawn orthogonal, nobody is dead at the start, and yet most are at the end: the mean kills through the *steps*. And it kills
# through the *router*: one that never sees the mean leaves nobody dead.

# %% [markdown]
# ### How far do Adam's steps reach?
#
# A step moves an expert's logit up on some images and down on the others. How many are the larger part? (50 % is the least.)


# %% tags=["measure", "06.suspect"]
# Measured: how many images Adam's next step moves the same way, in five mixtures.
LOOK = (0, 1, 2, 3, 10)  # after so many steps
dead_at, one_way = ({"raw": {}, "centred": {}} for _ in range(2))


def watched(name, data):
    weight = {}  # the routers' matrices before each step

    def watch(step, trained):
        weight[step] = trained.parameters["router.weight"].detach().clone()
        if step in LOOK:
            shares = share(trained.routing(data.x_test).indices, E)
            dead_at[name][step] = f"{killed(shares).mean():.1f}"
        if step - 1 in LOOK:  # what Adam's step has moved
            moved = data.x_test @ (weight[step] - weight[step - 1]).mT
            up = (moved > 0).float().mean(1)  # (5, E)
            one_way[name][step - 1] = f"{100 * torch.maximum(up, 1 - up).mean():.0f} %"

    train(mixture, data, seeds(5), steps=LOOK[-1] + 1, on_step=watch)


watched("raw", raw)
watched("centred", centred)

# %% tags=["draw", "nbval-ignore-output", "06.suspect"]
# A table: who is dead, and how far the next step reaches.
table(
    ["steps taken", *map(str, LOOK)],
    {
        "raw: dead, of 8": [*dead_at["raw"].values()],
        "raw: a logit moved one way": [*one_way["raw"].values()],
        "centred: dead, of 8": [*dead_at["centred"].values()],
        "centred: a logit moved one way": [*one_way["centred"].values()],
    },
    title=f"After three steps, Adam's next one moves a logit the same way on {one_way['raw'][3]} of the raw images, and on {one_way['centred'][3]} of the centred",
    note="Means of five mixtures and of the eight experts.",
)

# %% [markdown]
# ### How sure is all this?
#
# Two suspects were accomplices. Two controls, of ten seeds, check whether our replacements changed something else. Perhaps it helps to freeze just
# anything? Perhaps the other gate just has larger weights?

# %% tags=["measure", "06.suspect"]
# Claims 06.4 and 06.5.
claim(
    "06.4",
    "Freezing the experts, so that none learns, saves more than 0.4 of eight experts from dying",
    quantity="experts saved (of 8)",
    measured=saved(without["experts that learn"]),
    holds=above(0.4),
    control=saved(run(n_seeds=10, freeze=EXPERTS[1::2])[1]),
    control_is="only their biases are frozen",
)
claim(
    "06.5",
    "A gate that compares the chosen alone saves more than 0.75 of eight experts from dying",
    quantity="experts saved (of 8)",
    measured=saved(without["the gate"]),
    holds=above(0.75),
    control=saved(run(n_seeds=10, build=lambda: mixture(scale=2.0))[1]),
    control_is="a gate over all experts, twice as large",
)

# %% [markdown]
# ### Weak noise, and why the penalty needs it
#
# Beside the penalty, weaker noise helps, too. The control, of ten seeds, has no penalty.

# %% tags=["measure", "06.alive", "06.mends"]
# Claim 06.6.
weak, weak_end = run(n_seeds=10, build=lambda: mixture(noise=0.3))
weak_both = killed(run(build=lambda: mixture(noise=0.3), penalty=importance_penalty)[1])
claim(
    "06.6",
    "Noise of standard deviation 0.3 beside an importance penalty of coefficient 1 saves "
    "more than one expert of eight from dying",
    quantity="experts saved (of 8)",
    measured=killed(penalty_end) - weak_both,
    holds=above(1),
    control=saved(weak_end),
    control_is="the same noise without the penalty",
)

# %% [markdown]
# Why does the penalty need noise? Importance adds up the weights of the chosen alone. If that is the reason, a penalty on the
# probabilities of *all* experts should do without noise.


# %% tags=["measure", "06.mends"]
# Measured: the same penalty on all probabilities, without noise.
def all_probabilities(routing, step):
    asked = routing.probs.sum(0)
    return asked.var(correction=0) / asked.mean() ** 2


whole = killed(run(n_seeds=10, penalty=all_probabilities)[1]).mean()
print(f"dead, without noise, a penalty on the chosen alone: {alone:.1f} of 8")
print(f"dead, without noise, a penalty on all probabilities: {whole:.1f} of 8")

# %% [markdown] tags=["06.alive", "06.mends"]
# That fits the reason.

# %% [markdown]
# ### Their gate and their noise
#
# Shazeer et al. use the gate that you wrote, and the size of their noise is *learned*: it comes from a second matrix, $V$, beside the
# router's $W$ (softplus makes it positive).
#
# $$H(x) = W x + \varepsilon \cdot \text{softplus}(V x)$$
#
# Both matrices start at zero. So at first only the noise decides, and its standard deviation is softplus(0). We leave out their
# penalties.


# %% tags=["measure", "06.alive"]
# Measured: their gate, with their noise and start.
its_noise = {}  # standard deviation of the noise, at two steps


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

# %% tags=["draw", "nbval-ignore-output", "06.alive"]
# A table: their gate, without their noise and with it.
table(
    ["dead experts, of 8", "mean", "95 % interval"],
    {
        "their gate, no noise": estimate(gate_dead).rounded,
        "their gate, noise and start": estimate(recipe_dead).rounded,
        "saved": estimate(gate_dead - recipe_dead).rounded,
    },
    title=f"The standard deviation of their noise is {its_noise[0]:.2f} at the start and {its_noise[STEPS]:.2f} after {STEPS} steps",
    note="Raw digits, twenty seeds. From other seeds, those saved may be more or fewer.",
)

# %% [markdown]
# ### What noise has to overtake
#
# An expert that is behind gets a turn only where noise overtakes the *gap*.
#
# Two experts are `gap` apart, and each logit gets noise of standard deviation `std`. The difference of two independent noises has
# the standard deviation $\sqrt{2}\,$`std`, so the second overtakes the first with probability
# $\Phi(-$`gap`$/(\sqrt{2}\,$`std`$))$, where $\Phi$ is the normal distribution function.
#
# Back to the mixtures that trained without noise and with it. The weaker of the two chosen holds the *last place*.
#
# - How far below it are the experts that end dead?
# - How likely is noise to lift one above it? (For those trained without noise: noise of 1.)
# - How much of the weight does the last place get?


# %% tags=["measure"]
# Measured: gap, flips and the second weight, after one step of training and at its end.
def gaps(trained, shares):
    """How far the experts that end dead are below the last place, on each image."""
    logits = trained.routing(raw.x_test).logits
    gap = (logits.topk(2).values[..., 1:] - logits).clamp(min=0)
    return gap.transpose(1, 2)[shares < 0.01].flatten()


one_step_only = train(lambda: mixture(noise=1.0), raw, seeds(20), steps=1)
NO_NOISE = f"after {STEPS} steps, no noise"
stages = {"after 1 step, noise 1": (1.0, one_step_only, noisy_end)}
stages[NO_NOISE] = 1.0, without_noise, end
noises = {0.3: (weak, weak_end), 1.0: (noisy, noisy_end)}
noises[3.0] = run(n_seeds=10, build=lambda: mixture(noise=3.0))
for std, (trained, shares) in noises.items():
    stages[f"after {STEPS} steps, noise {std:g}"] = std, trained, shares

escapes = {}
for name, (std, trained, shares) in stages.items():
    gap = gaps(trained, shares)
    flips = torch.special.ndtr(-gap / (2**0.5 * std)).mean()
    weights = trained.last_routing.weights
    second = (weights[..., 1] / weights.sum(-1)).median()
    escapes[name] = f"{gap.mean():.1f}", f"{100 * flips:.1f} %", f"{100 * second:.1f} %"

# %% tags=["draw", "nbval-ignore-output", "06.alive"]
# Drawn: the table.
*_, with_weak, _, with_strong = escapes.values()
table(
    ["", "gap", "noise overtakes it", "weight of the last place"],
    escapes,
    title=f"Weak noise lifts a dead expert above the last place with probability {with_weak[1]}; strong noise with "
    f"{with_strong[1]}, and there this place weighs {with_strong[2]}",
    note="Twenty mixtures in each row, ten with noise of 0.3 and of 3. Gap and probability: the mean of the experts that end dead. Weight: the median.",
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
# otherwise it is number $k$:
#
# $$P_i(x) = \Phi\!\left(\frac{z_i - \text{to beat}_i}{\text{std}_i}\right), \qquad \text{load}_i = \sum_x P_i(x)$$
#
# Every token chooses $k$ experts, so the loads must add up to $k$ times the tokens, on average. This is worth a test, because
# a small slip in the threshold goes unnoticed.

# %%
with torch.no_grad():
    r = Router(64, E, 2, noise=0.5)(raw.x_test.repeat(20, 1))
load = load_estimate(r)
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
