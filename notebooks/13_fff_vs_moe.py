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
# # 13 Trees against mixtures
#
# 45 minutes. You leave able to compare dense networks, mixtures and trees of two kinds, and to judge what is said about fast
# feedforward networks (FFF).
#
# Both a mixture and a tree have many small networks and ask one of them. Does the tree do it better? The post from which this course
# was made says of fast feedforward networks (S. Desai, 14 January 2024; it stands among the [sources](sources.md)):
#
# 1. “An improvement upon the mixture of experts.”
# 2. “Aims to replicate a balanced distribution of data among experts.”
# 3. “Reduces the need for artificial noise during training.”
# 4. “Results in a similar training time as a standard GPT but quicker inference.”
#
# You measure what each sentence says. At the end you give each its verdict, and decide: which layer would you take, and when?

# %% tags=["setup"]
# Setup: what this lesson uses.
from copy import deepcopy
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import (
    GPT,
    FastFeedForward,
    GPTConfig,
    MixtureOfExperts,
    PathLayer,
    hardening_loss,
    node_balance_loss,
    switch_loss,
)
from moe_tutorial.show import (
    Line,
    bars,
    curves,
    interval_chart,
    is_narrow,
    look,
    message,
    picture,
    sweep,
    table,
)
from moe_tutorial.study import (
    above,
    below,
    claim,
    digits4,
    estimate,
    in_the_median,
    seeds,
    texts,
    train_gpt,
)
from moe_tutorial.study.systems import comparison
from moe_tutorial.study.systems.trees import contest
from moe_tutorial.study.timing import beyond_cache, in_turn, time_side_by_side

torch.set_num_threads(1)  # small models are fastest, and times fair, on one thread
seed = seeds(1)[0]
LAYERS = ["dense small", "dense large", "mixture", "tree", "path"]

# %% [markdown]
# ## Five layers
#
# Neurons that answer, in two sizes:
#
# | | who answers a token | **8 × 8** | **16 × 128** |
# |---|---|---|---|
# | **dense small** | all: as many as one expert has | 8 of 8 | 128 of 128 |
# | **dense large** | all: as many as all experts have together | 64 of 64 | 2,048 of 2,048 |
# | **mixture** | one expert, chosen by its score | 8 of 64 | 128 of 2,048 |
# | **tree** | one leaf, found by three questions (or four) | 8 of 64 | 128 of 2,048 |
# | **path** | one neuron on each level: it asks *and* answers | 6 of 63 | 11 of 2,047 |
#
# In 8 × 8, one of eight experts has 8 neurons. That is too few for `digits4` (small images of digits, and four rules for their labels:
# lesson 01), so it matters who answers. 16 experts of 128 are as in a small language model.
#
# In training the tree is **soft**: all leaves answer, weighted, so that its questions can learn. In use it is **hard**: one leaf
# answers.

# %% [markdown]
# ## The path layer
#
# You know the other four. The path layer is new, so build it first. UltraFastBERT, a language model by the tree's authors, uses it.
#
# A token begins at the root. At node $n$ it gets the score $w_n x + b_n$. The score does two things:
#
# - Its value answers: the node adds `F.gelu(score)` times its row of output weights.
# - Its sign says where to go: to node $2n+2$ if it is 0 or more, and to $2n+1$ if not.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: a token's way, and its scores.
SCORES = {  # node -> what stands beside it, and where
    0: ("0.7: right", 20, 0, "left"),
    2: ("−0.3: left", -20, 0, "right"),
    5: ("1.2: the last", 0, -25, "center"),
}


def way_of_a_token(figure, theme):
    axes = figure.add_subplot(xlim=(0, 1), ylim=(-2.7, 0.4))
    text, line, ground = (
        look.color(name, theme) for name in ("text", "line", "ground")
    )
    axes.set_axis_off()
    at = {0: (0.5, 0)}
    for n in range(7):
        level = (n + 1).bit_length() - 1
        at[n] = (n + 1.5) / 2**level - 1, -level
        color, width = (text, 3) if n in SCORES else (line, 1)
        axes.plot(
            *zip(at[(n - 1) // 2 if n else 0], at[n], strict=True),
            color=color,
            lw=width,
            zorder=0,
        )
        circle = {"boxstyle": "circle", "fc": ground, "ec": color, "lw": width}
        axes.text(*at[n], n, ha="center", va="center", color=text, bbox=circle)
    for n, (score, *offset, side) in SCORES.items():
        where = {"textcoords": "offset points", "ha": side, "va": "center"}
        axes.annotate(score, at[n], offset, color=text, **where)


picture(
    way_of_a_token,
    title="Three nodes answer: 0, 2 and 5",
    note="Beside each node on the way: its score, and where the token goes.",
    alt="A tree of seven nodes. Node 0 has the score 0.7, so the token goes right to node 2. Its score is −0.3, so the token goes left to "
    "node 5, which is on the last level and has the score 1.2.",
    height=240,
)

# %% [markdown]
# **Your turn.** Three lines for each level: the score of each token's node, what it adds to the answer, and the next node.


# %% tags=["exercise"]
def path_layer(x, w_in, b_in, w_out, depth):
    """x (T, d), of the N nodes on `depth` levels w_in (N, d), b_in (N,),
    w_out (N, d_out) -> answers (T, d_out)."""
    node = torch.zeros(len(x), dtype=torch.long)  # each token's, at first the root
    y = torch.zeros(len(x), w_out.shape[1])
    for _ in range(depth):
        ### BEGIN SOLUTION
        score = (x * w_in[node]).sum(-1) + b_in[node]
        y = y + F.gelu(score)[:, None] * w_out[node]
        node = 2 * node + 1 + (score >= 0)
        ### END SOLUTION
    return y


# %%
path_layer = check("13.path_layer", path_layer)

# %% [markdown]
# `x @ w_in.T` would lead to the same answers, but it computes the scores of all nodes. The layer is there to compute only those on the
# way. It learns from what the nodes on the way answer; a sign has no gradient.

# %% tags=["measure"]
# Measured: your function beside `PathLayer`, which is trained and timed below.
torch.manual_seed(0)
layer, x = PathLayer(64, 10, 6), torch.randn(200, 64)
with torch.no_grad():
    far = path_layer(x, layer.w_in, layer.b_in, layer.w_out, 6) - layer(x)[0]
same = "the same answers" if far.abs().max() < 1e-5 else "other answers"
print(f"your path layer, and the course's with the same weights: {same}")

# %% [markdown]
# ## “An improvement upon the mixture of experts”
#
# Now mixture and tree compete on `digits4`. A comparison is fair only if both get the same care. So for each layer we tried nine settings,
# such as learning rates (listed in *Further*). With the best one each layer trains for 500 steps from ten seeds. (In 16 × 128 from thirty, as
# its leads are small.)
#
# One rule judges the leads in this lesson. It looks at the lead's 95 % interval, and at a limit: what is within the limit, up or down, is too
# small to care about. (Here we chose a quarter of a point.)
#
# - **ahead**: the whole interval is above the limit. **behind**: all of it is below minus the limit.
# - **alike**: the whole interval is within the limit, up and down.
# - **unsettled**: none of these. The interval reaches across a limit.
#
# **Your turn.** Write this rule. *Behind* is there; *ahead* and *alike* are a line each. Every verdict below is then yours.


# %% tags=["exercise"]
def verdict(low, high, limit):
    """A lead's 95 % interval, from low to high, and the limit (above 0)
    -> "ahead", "behind", "alike" or "unsettled"."""
    behind = high < -limit
    ### BEGIN SOLUTION
    ahead = low > limit
    alike = -limit <= low and high <= limit
    ### END SOLUTION
    words = {"ahead": ahead, "behind": behind, "alike": alike}
    return next((word for word in words if words[word]), "unsettled")


# %%
verdict = check("13.verdict", verdict)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.improvement",
    "In the size 8 × 8, tree and mixture got the same care. Which gets more of `digits4` right?",
    choices=["the tree", "the mixture", "neither clearly"],
)

# %% tags=["measure"]
# Measured: mixture and tree. Stored: the rest.
stored = contest.stored()
data, raw = digits4("standardised"), digits4("raw")
tuned = {name: contest.best(stored, name) for name in ("mixture", "tree")}


def interval(numbers, sign="", digits=1):
    """The mean of seeds and its 95 % interval, in words."""
    e, how = estimate(numbers), f"{sign}.{digits}f"
    mean, low, high = (round(x, digits) + 0.0 for x in (e.mean, e.low, e.high))
    words = f"{mean:{how}} ({low:{how}} to {high:{how}})"  # + 0.0: never -0.0
    return words.replace("-", "−")


def judge(lead, limit=0.25):
    """The verdict on a lead of one number per seed."""
    e = estimate(lead)
    return verdict(e.low, e.high, limit)


def judged(lead):
    """A lead in points, its interval and the verdict, in words."""
    return f"{interval(lead, '+')}, {judge(lead)}"


@cache
def trained(name, images=data, **options):
    """Of ten seeds, per cent: test images that are right, and neurons that are idle."""
    found = contest.run(name, tuned[name], images, seeds(10), **options)
    return np.array([contest.right(found, images), contest.idle(found, images)])


right = {name: stored[name]["right"] for name in LAYERS}
right |= {name: trained(name, data)[0] for name in ("mixture", "tree")}
lead = right["tree"] - right["mixture"]
in_large = {name: stored[f"{name}, 16 x 128"] for name in LAYERS}
idle_large = {name: of["idle"] for name, of in in_large.items() if "idle" in of}
right_large = {name: np.array(found["right"]) for name, found in in_large.items()}
large = right_large["tree"] - right_large["mixture"]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
mean = {name: np.mean(numbers) for name, numbers in right.items()}
winner = {"ahead": "the tree", "behind": "the mixture"}
small_lead = estimate(large).low > 0 and judge(large) == "unsettled"
small_lead = ": it is above 0, and perhaps within the limit" * small_lead
reveal(
    "13.improvement",
    winner.get(judge(lead), "neither clearly"),
    says=f"The mixture gets {mean['mixture']:.1f} % of the test images right, the tree {mean['tree']:.1f} %. The tree's lead, in points: {judged(lead)}.\n\n"
    f"In the size 16 × 128, from {len(large)} seeds, it is {judged(large)}{small_lead}. Why the two sizes differ, we have not measured.",
)

# %% [markdown]
# ## Less care for one side
#
# Give one side less care, and a comparison can turn. How little is enough? We take one thing at a time from one side: its images are
# **raw pixels**, not standardised; or it trains with **no balance loss**. The other keeps all its care.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.rigged",
    "The mixture gets less care, in one way or the other, and the tree keeps all. After which of the two is the tree ahead, by your rule?",
    choices=["raw pixels", "no balance loss", "each of them", "neither"],
)

# %% tags=["measure"]
# Measured: the tree's lead if only the mixture gets less care, and if both do.
no_care = {"raw pixels": (raw, {}), "no balance loss": (data, {"balanced": False})}
unfair, both = {}, {}
for how, (images, options) in no_care.items():
    less_care = trained("mixture", images, **options)[0]
    unfair[how] = right["tree"] - less_care
    both[how] = trained("tree", images, **options)[0] - less_care

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
turned = [how for how, found in unfair.items() if judge(found) == "ahead"]


def fewer_right(name, images, **options):
    """Points of accuracy lost in this way, on average."""
    return mean[name] - trained(name, images, **options)[0].mean()


reveal(
    "13.rigged",
    "each of them" if len(turned) == 2 else next(iter(turned), "neither"),
    says=f"No balance loss costs the mixture {fewer_right('mixture', data, balanced=False):.1f} points. The tree's lead is then {judged(unfair['no balance loss'])}.\n\n"
    f"Raw pixels cost the mixture {fewer_right('mixture', raw):.1f} points, and would cost the tree {fewer_right('tree', raw):.1f}. "
    "Two things may be why: raw images share a large mean, so a step for one moves the choices of all (lesson 06), and the learning rates "
    "were tuned for standardised images.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the tree's lead with less care for one, and for both.
leads = {"the same care": lead}
for how, found in unfair.items():
    leads |= {f"mixture: {how}": found, f"both: {how}": both[how]}
leads = {f"{name} ({judge(found)})": found for name, found in leads.items()}
ahead = [name for name, found in leads.items() if judge(found) == "ahead"]
interval_chart(
    leads,
    title=f"The tree's lead: {len(ahead)} of {len(leads)} comparisons put it ahead",
    note="Who gets less care, and in brackets your verdict on the lead. Each has its mean, its 95 % interval and, below them, ten seeds.",
    colors=dict.fromkeys(ahead, "accent"),
    unit="points by which the tree is ahead",
    zero=0,
)

# %% [markdown]
# **Your turn to cheat.** Put the tree over five points ahead, then over five behind. In the brackets, write `raw` in place of `data`, or add
# `balanced=False` (no balance loss), or both.

# %% tags=["nbval-ignore-output", "13.improvement"]
# Change what is in the brackets.
rigged = trained("tree", data)[0] - trained("mixture", data)[0]
print("The tree's lead, in points:", judged(rigged))
if abs(rigged.mean()) > 5:
    print("Over five! And no layer has changed: only the care has.")

# %% tags=["measure", "13.improvement"]
# Claim 13.1. Its control is a case in which its rule has to say no.
claim(
    "13.1",
    "On digits4, in the size 8 × 8, the tree gets over a quarter of a point less right than the mixture, in the mean of ten seeds",
    quantity="the tree's lead in accuracy (points)",
    measured=lead,
    holds=below(-0.25),
    control=unfair["raw pixels"],
    control_is="only the mixture's images are raw pixels",
)

# %% [markdown]
# ## “A balanced distribution”, and “the need for artificial noise”
#
# Who works? Mixture and tree train once more, without their balance losses. (The path layer has none.)
#
# An expert, a leaf or a node is **idle** if it gets less than 8 % of an even share of the images: of eight experts, less than 1 % (as in
# lesson 05). A node's even share is that of its level.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
own = tuned["mixture"].rate  # the learning rate
no_noise, noise = (stored["mixture"][f"{how} {own}"] for how in ("no noise", "noise"))
guess(
    "13.idle",
    f"Without its balance loss, {np.mean(no_noise):.0f} % of the mixture's experts are idle. Still without it, it now gets learned noise, which sends tokens to "
    "other experts, too (lesson 06). What part is idle then?",
    slider=(0, 100, 1, "%"),
)

# %% tags=["measure"]
# Measured: who is idle. Stored: the path, and the mixture without its loss.
alone = {"no loss": np.array(no_noise), "noise alone": np.array(noise)}
idle = {"mixture": alone["no loss"], "path": np.array(stored["path"]["idle"])}
idle["tree"] = trained("tree", data, balanced=False)[1]
balanced = {name: trained(name, data)[1] for name in ("mixture", "tree")}
part = {name: numbers.mean() for name, numbers in idle.items()}
by_rate = [
    np.subtract(*(stored["mixture"][f"{how} {rate}"] for how in ("noise", "no noise")))
    for rate in contest.RATES
]
fewer = sum(estimate(added).high < 0 for added in by_rate)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
calm = balanced["mixture"].mean()
needless = not fewer and calm < np.mean(noise)
no_need = (
    "So in 8 × 8, by who is idle, the balance loss leaves nothing for noise to mend. Where nobody needs noise, it cannot be told whether a "
    "tree reduces that need."
)
reveal(
    "13.idle",
    round(np.mean(noise)),
    says=f"We tried three learning rates. Noise left fewer idle at {fewer or 'none'} of them. With the balance loss and no noise, {calm:.0f} % are idle.\n\n"
    f"{no_need if needless else 'So noise, too, puts experts to work.'}",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: who is idle, without and with losses.
shown = {f"mixture, {how}": numbers for how, numbers in alone.items()}
shown |= {"mixture, its loss": balanced["mixture"], "tree, no loss": idle["tree"]}
shown |= {"tree, its loss": balanced["tree"], "path": idle["path"]}
does_it = max(numbers.max() for numbers in balanced.values()) == 0
busy = "In 8 × 8, with its balance loss, every expert and every leaf works"
busy = busy if does_it else "In 8 × 8, even with a balance loss, not all work"
interval_chart(
    shown,
    title=busy,
    note="Mean, 95 % interval, and below in grey each of ten seeds (a hundred in the first two rows). Seeds with the same value share a dot, which is then larger. "
    f"In 16 × 128, with their losses, {np.mean(idle_large['tree']):.0f} % of the leaves and {np.mean(idle_large['mixture']):.0f} % of the experts are idle.",
    colors={name: "accent" for name in shown if name.startswith(("tree", "path"))},
    unit="idle, %",
)

# %% [markdown]
# The path layer has no balance loss, and in this size hardly any idle nodes. A tree without its loss has fewer idle if it hardens more
# slowly (*Further* shows it beside a mixture that trains as long).
#
# Why are so many idle in 16 × 128? There we took the setting that gets most right, and a few experts of 128 neurons are probably enough
# for `digits4`. (*Further* has a setting that keeps nearly all of them busy, and gets fewer right.)

# %% [markdown]
# ## What a token costs
#
# Now the time in use, in the size 16 × 128. A token is $d$ = 256 numbers wide, as in a language model. First we count multiplications.
#
# - A neuron reads $d$ numbers and writes $d$: it multiplies $2d$ times.
# - A score of a router, or a question of a tree, reads $d$ numbers: it multiplies $d$ times.
#
# **Your turn.** Three lines: what do mixture, tree and path multiply for one token, to choose and to answer? Mixture and tree have `n`
# experts or leaves of `h` neurons each. A path layer has `n - 1` nodes, and each is one neuron. `n` is 2 to the power of `levels`. Biases and
# gate weights don't count.


# %% tags=["exercise"]
def multiplications(kind, n, d, h):
    """kind "dense", "mixture", "tree" or "path"
    -> multiplications of one token's answer."""
    levels = n.bit_length() - 1  # 4 if n is 16
    if kind == "dense":
        return 2 * d * n * h
    ### BEGIN SOLUTION
    mixture = n * d + h * 2 * d
    tree = levels * d + h * 2 * d
    path = levels * 2 * d
    ### END SOLUTION
    return {"mixture": mixture, "tree": tree, "path": path}[kind]


# %%
multiplications = check("13.multiplications", multiplications)

# %%
D, H, N = 256, 128, 16  # width of a token, neurons of an expert, experts
SHAPES = {"dense small": ("dense", 1), "dense large": ("dense", N)}
SHAPES |= {"mixture": ("mixture", N), "tree": ("tree", N)}
SHAPES["path"] = "path", N * H  # each of its nodes is one neuron
for name, (kind, n) in SHAPES.items():
    print(f"{name:12}{multiplications(kind, n, D, H):12,} multiplications a token")

# %% [markdown]
# ## “Quicker inference”
#
# Now the clock. Each layer answers one token, in a few lines of plain PyTorch (folded below), on one thread. The tree asks its questions
# one by one, as you counted. Each call asks another copy of the layer, so that its weights come mostly from memory (lesson 10),
# as in a model with many layers. A machine's speed changes from minute to minute, so compare only times of one run. (Here it takes
# half a minute.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
counted = {n: multiplications(*SHAPES[n], D, H) for n in LAYERS}
of_large = {n: number / counted["dense large"] for n, number in counted.items()}
guess(
    "13.token",
    f"By your count, the path layer multiplies {100 * of_large['path']:.1f} % as often as dense large. What part of dense large's time does it take?",
    slider=(0, 100, 1, "%"),
)


# %% tags=["measure"]
# Measured: each layer for one token x (d,), by these lines of plain PyTorch.
def answer(x, w_in, b_in, w_out, b_out):
    """A dense network: all its neurons."""
    return F.gelu(w_in @ x + b_in) @ w_out + b_out


def ask_mixture(x, w_in, b_in, w_out, b_out, router):
    """Score all experts, ask the best."""
    p, best = (router @ x).softmax(0).max(0)
    e = best.item()
    return p * answer(x, w_in[e], b_in[e], w_out[e], b_out[e])


def ask_tree(x, questions, biases, w_in, b_in, w_out, b_out):
    """One question after the other, then one leaf."""
    node = 0
    while node < len(questions):
        score = questions[node] @ x + biases[node]
        node = 2 * node + 1 + (score.item() >= 0)
    e = node - len(questions)
    return answer(x, w_in[e], b_in[e], w_out[e], b_out[e])


def ask_at_once(x, questions, biases, w_in, b_in, w_out, b_out):
    """All questions in one call, a walk over their scores, then one leaf."""
    node, said = 0, (questions @ x + biases).tolist()  # plain numbers
    while node < len(said):
        node = 2 * node + 1 + (said[node] >= 0)
    e = node - len(said)
    return answer(x, w_in[e], b_in[e], w_out[e], b_out[e])


def ask_path(x, w_in, b_in, w_out):
    """Collect the scores on the way, then add up the answers."""
    node, way, scores = 0, [], []
    while node < len(w_in):
        way.append(node)
        scores.append(w_in[node] @ x + b_in[node])
        node = 2 * node + 1 + (scores[-1].item() >= 0)
    return F.gelu(torch.stack(scores)) @ w_out[way]


def scores(x, *weights):
    """A mixture's scores alone."""
    return weights[-1] @ x


ASK = {nn.Sequential: answer, MixtureOfExperts: ask_mixture}
ASK |= {FastFeedForward: ask_tree, PathLayer: ask_path}


class ForOne(nn.Module):
    """A layer's own weights, asked by the lines above: one token (..., d) -> (..., d)."""

    def __init__(self, layer, ask=None):
        super().__init__()
        self.ask = ask or next(a for k, a in ASK.items() if isinstance(layer, k))
        self.weights = [parameter.detach() for parameter in layer.parameters()]
        if self.ask is answer:  # nn.Linear keeps a row for each output
            self.weights[2] = self.weights[2].T

    def forward(self, x):
        return self.ask(x.flatten(), *self.weights).view(*x.shape[:-1], -1)


# Measured: one run of the clock for all layers, plain and compiled.
class PlainMixture(MixtureOfExperts):
    """An own `sparse` turns the compiled kernels off."""

    def sparse(self, tokens, routing):
        return super().sparse(tokens, routing)


class PlainTree(FastFeedForward):
    """The same for a tree, hard and soft."""

    def descend(self, tokens):
        return super().descend(tokens)

    def soften(self, tokens, decisions):
        return super().soften(tokens, decisions)


def dense(neurons, width=D):
    return nn.Sequential(
        nn.Linear(width, neurons), nn.GELU(), nn.Linear(neurons, width)
    )


torch.manual_seed(seed)
GELU = {"activation": "gelu"}
builds = {  # a dense layer, compiled, is a tree of one leaf
    "dense small": lambda: dense(H),
    "dense large": lambda: dense(N * H),
    "mixture": lambda: PlainMixture(D, H, N, 1, **GELU),
    "tree": lambda: PlainTree(D, D, 4, H, **GELU),
    "path": lambda: PathLayer(D, D, 11),
    "dense small, compiled": lambda: FastFeedForward(D, D, 0, H, **GELU),
    "dense large, compiled": lambda: FastFeedForward(D, D, 0, N * H, **GELU),
    "mixture, compiled": lambda: MixtureOfExperts(D, H, N, 1, **GELU),
    "tree, compiled": lambda: FastFeedForward(D, D, 4, H, **GELU),
}
# Of these a token reads only a part, so more copies keep what it reads out of the cache.
partly = ("mixture", "tree", "path")
copies = {name: 192 if name.startswith(partly) else 48 for name in builds}  # MB
layers = {n: beyond_cache(build, copies[n] * 2**20) for n, build in builds.items()}
for_one = {name: [ForOne(layer) for layer in layers[name]] for name in LAYERS}
for_one["tree, at once"] = [ForOne(layer, ask_at_once) for layer in layers["tree"]]
for x in torch.randn(20, 1, D):
    for name, asked in for_one.items():
        y = layers[name.partition(",")[0]][0].eval()(x)
        y = y[0] if isinstance(y, tuple) else y
        assert torch.allclose(asked[0](x), y, atol=1e-5)
for_one["cached"] = for_one["dense large"][:1]  # one copy alone stays in the cache
for_one["scores"] = [ForOne(layer, scores) for layer in layers["mixture"]]


def answering(n_tokens, of, width=D):
    """Seconds a call, another layer and other tokens each time: one number for each turn."""
    x = torch.randn(max(2, 256 // n_tokens), n_tokens, width)
    asked = {
        name: in_turn([layer.eval() for layer in each], x) for name, each in of.items()
    }
    with torch.inference_mode():
        return time_side_by_side(asked, 40, seconds=0.005)


def training(n_tokens):
    """Seconds a training step, with the losses that mixture and tree need."""
    x, target = torch.randn(2, n_tokens, D)

    def step(layer):
        y, record = out if isinstance(out := layer(x), tuple) else (out, None)
        loss = F.mse_loss(y, target)
        if isinstance(layer, MixtureOfExperts):
            loss = loss + switch_loss(record)
        elif isinstance(layer, FastFeedForward) and layer.depth:
            loss = loss + hardening_loss(record) + node_balance_loss(record)
        layer.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter -= 1e-4 * parameter.grad

    learn = {name: layers[name][0] for name in LAYERS}
    learn["mixture, all experts"] = PlainMixture(D, H, N, N, **GELU)
    steps = {name: lambda m=m: step(m.train()) for name, m in learn.items()}
    return time_side_by_side(steps, 10, seconds=0.01)


took = {512: answering(512, layers), "step": training(512)}
took[1] = answering(1, layers | for_one)


def times_as_long(what, one, other):
    """How many times as long one layer takes as another, by their medians."""
    return np.median(took[what][one]) / np.median(took[what][other])


def of_turns(ratios):
    """The median of the turns' ratios between the ends of its 95 % interval, by their ranks."""
    return np.percentile(ratios, 50 + np.array([-98, 0, 98]) / len(ratios) ** 0.5)


def in_micro(times, base):
    """Name -> µs. By the turns' ratios to one of them, as the machine's speed changes from turn to turn."""
    unit = 1e6 * np.median(times[base])
    return {name: unit * np.median(its / times[base]) for name, its in times.items()}


def in_words(others, its, other):
    """How fast or slow beside another, by the turns' ratios: their median, and the verdict on its interval within a tenth."""
    low, middle, high = of_turns(others / its)
    found = verdict(low - 1, high - 1, 0.1)
    if found == "alike":
        return f"within a tenth of the speed of {other}"
    times = f"{middle:.1f}" if middle > 2 else f"{middle:.2f}"
    return f"{times} times as fast as {other}" + " (unsettled)" * (found == "unsettled")


# Measured: the path layer for one token, in three widths.
def asked_in(width):
    """A path layer of 11 levels, this wide, which answers one token a call."""
    copies = [
        ForOne(layer) for layer in beyond_cache(lambda: PathLayer(width, width, 11))
    ]
    return in_turn(copies, torch.randn(256, 1, width))


asked = {width: asked_in(width) for width in (16, 256, 1024)}
with torch.inference_mode():
    in_widths = time_side_by_side(asked, 10, seconds=0.01)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
LARGE, SMALL = "dense large", "dense small"
micro = in_micro(took[1], "mixture")


def beside(times, other, tree="tree"):
    """The tree's speed beside another layer's, in words."""
    name = "the mixture" if other == "mixture" else other
    return in_words(times[other], times[tree], name)


def beside_both(times, tree="tree"):
    return f"{beside(times, LARGE, tree)}, {beside(times, SMALL, tree)}"


def beside_it(times, other):
    """The tree's speed beside another, its 95 % interval, and your verdict."""
    if other == "tree":
        return "", ""
    low, middle, high = of_turns(times[other] / times["tree"])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})", verdict(low - 1, high - 1, 0.1)


path_time = micro["path"] / micro[LARGE]
in_us = {width: 1e6 * np.median(times) for width, times in in_widths.items()}
most = "Most of its time goes into calls of PyTorch, and not into multiplications."
most = (
    most
    if in_us[1024] < 2 * in_us[16]
    else "So multiplications take a part of its time."
)
reveal(
    "13.token",
    round(100 * path_time),
    says=f"Why so much? Another run timed path layers {', '.join(f'{width:,}' for width in in_widths)} wide. 16 times as many multiplications took {in_us[256] / in_us[16]:.1f} times as long, "
    f"64 times as many {in_us[1024] / in_us[16]:.1f} times. {most}",
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: what the count promises, and what the clock says.
def drawn(ways, unit, ticks=()):
    """A row for each layer, and in it a mark for each of two ways: way -> layer -> time."""
    rows = list(max(ways.values(), key=len))

    def draw(figure, theme):
        axes = figure.add_subplot(xscale="log" if ticks else "linear")
        text, muted, line = (look.color(c, theme) for c in ("text", "muted", "line"))
        ground = look.color("ground", theme)
        styles = {"count": ("D", muted, 10), "compiled": ("o", text, 11)}
        one, other = ways.values()
        for n in one.keys() & other.keys():
            axes.plot((one[n], other[n]), [rows.index(n)] * 2, color=line, lw=3)
        for how, found in ways.items():
            mark, color, size = styles.get(how, ("o", text, 7))
            mfc = ground if how in styles else color
            at = [rows.index(n) for n in found]
            axes.plot(
                found.values(), at, mark, color=color, mfc=mfc, ms=size, label=how
            )
            beside = {"textcoords": "offset points", "ha": "center", "size": 10}
            for y, x in zip(at, found.values(), strict=True):
                axes.annotate(f"{x:.0f}", (x, y), (0, 9), color=color, **beside)
        names = [n.replace(" ", "\n") if is_narrow(figure) else n for n in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.8)
        for label, row in zip(axes.get_yticklabels(), rows, strict=True):
            if row.startswith(("tree", "path")):
                label.set_color(look.color("accent", theme))
        if ticks:
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            axes.minorticks_off()
        axes.set_xlim(left=None if ticks else 0)
        axes.set_xlabel(unit + ", log scale" * bool(ticks))
        axes.legend(
            loc=(0, 1), ncols=2, columnspacing=1, handlelength=1, handletextpad=0.5
        )

    return draw


ways = {
    "count": {n: round(each * micro[LARGE], 2) for n, each in of_large.items()},
    "clock": {n: round(micro[n], 2) for n in LAYERS},
}
picture(
    drawn(ways, "µs a token", [1, 10, 100, 1000]),
    title=f"The path layer: {100 * of_large['path']:.1f} % of dense large's multiplications, {100 * path_time:.0f} % of its time",
    note="Count: what its multiplications would take, each as long as one of dense large's. Clock: the median of 40 turns. Beside the "
    f"mixture, the tree is {' times as fast: '.join(beside_it(took[1], 'mixture'))}. (In brackets: 95 % interval. For times, the limit is a tenth.)",
    alt=f"In µs: {ways}",
    height=270,
)

# %% [markdown]
# ## Fewer calls
#
# A call of PyTorch costs time, whatever it multiplies. How can a tree make fewer calls? In two ways:
#
# - A mixture's scores are one call of PyTorch. The tree asked its questions **one by one**, each in calls of its own. It can ask them **all
#   at once**, in one call: their scores are then plain numbers, and the walk over them needs no more calls. But it multiplies for all its
#   questions, and not only for those on the way.
# - All of this is **plain** code, which calls PyTorch step by step. **Compiled**, a whole layer is one machine program, and one call. We
#   have that for dense layers and the tree, not for a whole mixture or the path layer.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: one token, plain and compiled.
COMPILED = ("dense small", "dense large", "tree")


def both_codes(found):
    """Plain and compiled: name -> time."""
    rows = [*LAYERS[:-1], "tree, at once", "path"]
    plain = {n: round(float(found[n]), 2) for n in rows if n in found}
    compiled = {n: round(float(found[f"{n}, compiled"]), 2) for n in COMPILED}
    return {"plain": plain, "compiled": compiled}


def compiled_beside(other):
    """The compiled tree's speed beside a compiled dense layer's, in words."""
    of = took[1]
    return in_words(of[f"{other}, compiled"], of["tree, compiled"], other)


parts = both_codes(micro)
picture(
    drawn(parts, "µs a token", [10, 100, 1000]),
    title=f"Compiled, the tree is {compiled_beside(SMALL)}",
    note=f"All at once, the tree is {in_words(took[1]['tree'], took[1]['tree, at once'], 'one by one')}. Compiled, it is {compiled_beside(LARGE)}. "
    f"Dense large makes few calls, but waits for its weights: from a cache, its plain code takes {micro['cached']:.0f} µs.",
    alt=f"In µs: {parts}",
    height=300,
)


# %% tags=["measure"]
# Any two of them, side by side.
def side_by_side(one, other):
    """How often one layer multiplies, and how fast it is, beside another that the clock timed."""
    timed = [*LAYERS, "tree, at once", *(f"{name}, compiled" for name in COMPILED)]
    for name in (one, other):
        if name not in timed:
            raise ValueError(f"{name!r} was not timed. Take: {'; '.join(timed)}")
    often, base = (
        counted[name.partition(",")[0]] + ("at once" in name) * (N - 5) * D
        for name in (one, other)
    )
    words = f"{one}: {in_words(took[1][other], took[1][one], other)}\nIt multiplies {often / base:.2f} times as often."
    if np.median(took[1][other] / took[1][one]) > 10:
        without = "Dense small stands nowhere in it, and may be as fast."
        few = "So few neurons that answer are enough, with or without a tree."
        words += f" Ten times! {few if 'dense small' in one else without}"
    differ = ("compiled" in one) != ("compiled" in other)
    return words + differ * " One is compiled, and the other is not."


# %% [markdown]
# **Now write an advertisement.** Which two have to stand side by side, so that the tree looks ten times as fast? Then let dense small
# look ten times as fast, too. So what did your first advertisement leave out?

# %% tags=["nbval-ignore-output"]
# Try other names, such as "tree, compiled", "tree, at once" or "dense small, compiled".
print(side_by_side("tree", "dense large"))

# %% [markdown]
# ## “A similar training time as a standard GPT”
#
# In training the tree is soft: all its leaves answer. What does that cost in a whole model? We take lesson 08's GPT
# four times, each time with another layer in its blocks:
#
# - a **mixture**, as in lesson 08
# - a **tree** of the same size, 8 × 128
# - **dense large**, with as many parameters
# - or **dense small**, which, in use, multiplies about as much for a token.
#
# The sentence does not say which of the two dense ones is its standard GPT, so the trees stand beside both. All four learn the
# same text from ten seeds (stored), all at lesson 08's learning rate. The trees get more care than the others: of four settings of their
# losses we took the best, which favours them. They are hard when they are tested.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.same_time",
    "The GPT with trees trains for 400 steps. How many steps does the one with dense small take in the same seconds?",
    slider=(0, 3000, 50, "steps"),
)

# %% tags=["measure"]
# Measured: the losses are stored; a step, and writing 40 characters, are timed here.
KINDS = {"dense small": "dense", "dense large": "large", "mixture": "experts"}
KINDS |= {"tree": "tree"}
long = comparison.results() or comparison.results(first=0)
read = {name: comparison.curve(long, kind, "steps") for name, kind in KINDS.items()}
loss = {name: nats[:, 400 // comparison.EVERY] for name, (_, nats) in read.items()}
gpts, text = {}, texts()
text = text._replace(names=text.names[:1], test=text.test[:1])  # it need not be tested
for name, kind in KINDS.items():
    torch.manual_seed(seed)
    gpts[name] = comparison.KINDS[kind](seed)
    if name in ("mixture", "tree"):
        for block in gpts[name].blocks:
            block.feed_forward.__class__ = PlainTree if name == "tree" else PlainMixture
options = {"steps": 20, "every": 2, "penalty": comparison.tree_losses}
runs = [
    train_gpt(gpt, text, seed=seed, **options, **comparison.TRAINING)
    for gpt in gpts.values()
]
spent = np.array([[next(run).seconds for run in runs] for _ in range(11)])
a_step = dict(zip(gpts, 1e3 * np.diff(spent, axis=0).T / 2, strict=True))
start = torch.zeros(1, 1, dtype=torch.long)
asked_one = deepcopy(gpts)  # each layer asked for one token by the lines above
for name, gpt in asked_one.items():
    for block in gpt.blocks:
        ask = ask_at_once if name == "tree" else None
        block.feed_forward = ForOne(block.feed_forward, ask)
    same = (g.generate(start, 20, temperature=0) for g in (gpt, gpts[name]))
    assert torch.equal(*same)
asked_one["no layer"] = deepcopy(gpts["dense small"])  # attention and the rest alone
for block in asked_one["no layer"].blocks:
    block.feed_forward = nn.Identity()
writing = time_side_by_side(
    {n: lambda g=g: g.generate(start, 40) for n, g in asked_one.items()}, 30, seconds=0
)
slower = {n: np.median(times / a_step["dense small"]) for n, times in a_step.items()}


def in_that_time(name):
    """The test losses of another GPT after the time of the trees' 400 steps."""
    steps = 400 * slower["tree"] / slower[name]
    return np.array([np.interp(steps, *row) for row in zip(*read[name], strict=True)])


meanwhile = in_that_time("dense small")

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
nats = {name: numbers.mean() for name, numbers in loss.items()}
step = {other: of_turns(a_step["tree"] / a_step[other]) for other in (SMALL, LARGE)}
layers_take = 100 * (1 - np.median(writing["no layer"] / writing[LARGE]))
by_layers = {n: writing[n] - writing["no layer"] for n in ("tree", LARGE)}
of_layers = np.median(by_layers["tree"] / by_layers[LARGE])
reveal(
    "13.same_time",
    int(round(400 * step[SMALL][1], -1)),
    says=f"A step with trees takes {step[SMALL][1]:.1f} times as long as with dense small, and {step[LARGE][1]:.1f} times as long as with dense large.\n\n"
    f"In the time of the trees' 400 steps, dense small comes to a test loss of {meanwhile.mean():.2f} nats, the mixture to {in_that_time('mixture').mean():.2f}, and the trees to "
    f"{nats['tree']:.2f}. Lower is better: beside dense small the trees are {judge(meanwhile - loss['tree'], 0.01)}. (For nats, the limit is .01.)",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: loss and writing of each GPT.
table(
    [
        "GPT with",
        "nats after 400 steps; the trees are",
        "characters a second",
        "the trees are, times as fast",
    ],
    {
        n: [
            interval(loss[n], digits=2)
            + f", {judge(loss[n] - loss['tree'], 0.01)}" * (n != "tree"),
            f"{40e6 / in_micro(writing, 'tree')[n]:,.0f}",
            ", ".join(beside_it(writing, n)).strip(", "),
        ]
        for n in sorted(nats, key=nats.get)
    },
    title=f"In writing, the GPT with trees is {beside(writing, LARGE)}",
    note=f"Plain code, ten seeds, 95 % intervals. Attention and all else take {100 - layers_take:.0f} % of dense large's time. Of what its layers take, the trees take {100 * of_layers:.0f} %. "
    "(These layers, 8 × 128, are small: a cache may keep their weights.)",
)

# %% [markdown]
# ## Which layer would you take?
#
# *Right*, on `digits4`, should be high. Memory and times, of layers 256 wide, should be low. *512 tokens* is one call with so many, and *a step*
# one step of training on them. For one token, the tree asks all at once.

# %% tags=["measure"]
# Counted: each layer's memory, in bytes.
memory = {n: sum(p.nbytes for p in layers[n][0].parameters()) for n in LAYERS}


# %% tags=["draw", "nbval-ignore-output", "13.improvement", "13.idle", "13.token"]
# Drawn: the whole grid.
def of_seeds(numbers):
    """The mean between the ends of its 95 % interval."""
    e = estimate(numbers)
    return e.low, e.mean, e.high


for_token = took[1] | {"tree": took[1]["tree, at once"]}
COLUMNS = {  # size, what and unit -> numbers of each layer, how many make one unit, decimals
    "8 × 8\nright\n%": (right, 1, 1),
    "8 × 8\nidle\n%": (balanced | {"path": idle["path"]}, 1, 0),
    "16 × 128\nright\n%": (right_large, 1, 1),
    "16 × 128\nidle\n%": (idle_large, 1, 0),
    "16 × 128\nmemory\nMB": (memory, 1e-6, 2),
    "16 × 128\n1 token\nµs": (for_token, 1e6, 0),
    "16 × 128\n512 tokens\nms": (took[512], 1e3, 1),
    "16 × 128\na step\nms": (took["step"], 1e3, 1),
}


def column(heading):
    """Layer -> its figure and interval in words, and the verdict on its lead over dense large."""
    numbers, unit, digits = COLUMNS[heading]
    found = {n: unit * np.array(numbers[n]) for n in LAYERS if n in numbers}
    cells = {}
    for n, each in found.items():
        if "%" in heading:
            low, figure, high = of_seeds(each)
            mark = judge(each - found[LARGE]) if "right" in heading else ""
        else:
            base = found["mixture"]  # as in `in_micro`
            turns = of_turns(each) / np.median(each) if each.ndim else np.ones(3)
            low, figure, high = np.median(each / base) * np.median(base) * turns
            ratio = (
                of_turns(found[LARGE] / each) if each.ndim else [found[LARGE] / each]
            )
            mark = verdict(ratio[0] - 1, ratio[-1] - 1, 0.1)
        reach = np.ceil(max(high - figure, figure - low) * 10**digits) / 10**digits
        around = f"±{reach:.{digits}f}" if reach else ""
        cells[n] = f"{figure:,.{digits}f}", around, mark * (n != LARGE)
    return cells


grid = {heading: column(heading) for heading in COLUMNS}


def whole_grid(figure, theme):
    """The two sizes side by side, or one below the other if it is narrow."""
    axes = figure.add_subplot(xlim=(0, 1))
    axes.set_axis_off()
    colors = (look.color(c, theme) for c in ("text", "muted", "accent", "line"))
    text, muted, accent, line = colors
    narrow = is_narrow(figure)
    big, breaks = (9.5, "\n") if narrow else (11, " ")
    for block, size in enumerate(["8 × 8", "16 × 128"]):
        columns = {h: cells for h, cells in grid.items() if h.startswith(size)}
        wide = (0.2 if len(columns) < 3 else 0.138) if narrow else 0.103
        left, down = 0.18 if narrow else 0.15, 8 * block * narrow
        if not narrow:
            left += block * (2 * wide + 0.025)
        top = down - 1.4 - 0.75 * narrow  # of three lines of headings
        axes.text(left, top, size, color=text, size=11, weight="bold")
        end = left + len(columns) * wide - 0.02
        axes.plot((left, end), [top + 0.1] * 2, color=line, lw=1)
        for row, name in enumerate(LAYERS):
            words = name.replace(" ", breaks)
            color = accent if name in ("tree", "path") else text
            if narrow or not block:
                axes.text(
                    0, down + row, words, va="center", color=color, size=big - 0.5
                )
            below = [down + row + 0.5] * 2
            axes.plot((0 if narrow else left, end), below, color=line, lw=0.5)
        for heading, cells in columns.items():
            _, what, unit = heading.split("\n")
            left += 0.02 * (what == "memory" and not narrow)
            words = f"{what.replace(' ', breaks)}\n{unit}"
            axes.text(left, down - 0.45, words, va="bottom", color=muted, size=big - 2)
            for y, name in enumerate(LAYERS, start=down):
                number, around, mark = cells.get(name, ("–", "", ""))
                sign = {
                    "ahead": "●",
                    "behind": "○",
                    "alike": "≈",
                    "unsettled": "?",
                }.get(mark, "")
                style = {"va": "center", "color": text}
                axes.text(
                    left - (0.03 if narrow else 0.016), y, sign, size=big, **style
                )
                right_of = left + (0.08 if narrow else 0.042)
                shown = axes.text(right_of, y, number, size=big, ha="right", **style)
                after = {"xycoords": shown, "textcoords": "offset points"}
                after |= {"va": "center", "color": muted, "size": big - 2.5}
                after["ha"] = "right" if narrow else "left"
                at = ((1, 0), (0, -5)) if narrow else ((1, 0.45), (2, 0))
                axes.annotate(around, *at, **after)  # below, or beside
            left += wide
    axes.set_ylim(4.6 + 8 * narrow, -1.7 - 0.75 * narrow)


quicker, more_right = (
    [name for name in LAYERS if grid[heading][name][2] == "ahead"]
    for heading in ("16 × 128\n1 token\nµs", "8 × 8\nright\n%")
)
picture(
    whole_grid,
    title=f"For one token, {'all four' if len(quicker) == 4 else ' and '.join(quicker) or 'none'} are quicker than dense large; in 8 × 8 "
    f"{' and '.join(more_right) or 'none'} gets more right",
    note="By your rule: ● ahead of dense large, ○ behind it, ≈ alike, ? unsettled. ±: how far the 95 % interval reaches. Plain code. "
    "In a step, our path layer computes all nodes.",
    alt="; ".join(
        f"{heading}: {', '.join(f'{n} {cell[0]}' for n, cell in cells.items())}"
        for heading, cells in grid.items()
    ).replace("\n", " "),
    height=250,
    narrow_height=590,
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions: your verdicts, and your choice.
quiz("13")

# %% tags=["draw", "nbval-ignore-output", "13.improvement", "13.idle", "13.token", "13.same_time"]
# Drawn: what we would take.
table(
    ["layer", "when"],
    {
        "dense small": ["First: it is quick, and may be right enough"],
        "dense large": ["Where dense small is not right enough"],
        "mixture": [
            "Where dense small is not right enough and dense large too slow. In 8 × 8 it needs a balance loss"
        ],
        "tree": [
            "One token at a time, in compiled code, where dense small is not right enough: in 16 × 128 it gets "
            f"{interval(right_large['tree'] - right_large[SMALL])} points more right, and is {compiled_beside(SMALL)}. It has to "
            "harden, and trains slowly. A compiled mixture we have not measured"
        ],
        "path": ["It multiplies least, and gets fewest right, clearly so in 16 × 128"],
    },
    title="What we would take",
)

# %% [markdown] tags=["13.improvement", "13.idle", "13.token", "13.same_time"]
# ## Recap
#
# All of this holds for small layers on one thread of a processor. When you read about larger ones, ask: which dense layer stood
# beside it, how many tokens came at once, and who was tuned?
#
# A count of multiplications says what could be won if nothing else took time. The clock also counts calls, and weights that come from
# memory.
#
# **Sources.** S. Desai, *Mixture of Experts (MoE)*, a blog post of 14 January 2024. Trees:
# [Belcak and Wattenhofer 2023](https://arxiv.org/abs/2308.14711). Path: [UltraFastBERT](https://arxiv.org/abs/2311.10770).

# %% [markdown]
# ## Further
#
# ### Sentence by sentence

# %% tags=["draw", "nbval-ignore-output", "13.improvement", "13.idle", "13.token", "13.same_time"]
# Drawn: sentences, and what was measured.
with_loss = {n: f"{numbers.mean():.0f} %" for n, numbers in balanced.items()}
need = "no need for it is seen" if needless else "noise puts experts to work, too"
table(
    ["sentence", "measured"],
    {
        "1. “An improvement”": [
            f"In accuracy the tree is, beside the mixture, {judge(lead)} in 8 × 8, and {judge(large)} in 16 × 128"
        ],
        "2. “A balanced distribution”": [
            f"Idle in 8 × 8 without a balance loss: {part['tree']:.0f} % of the leaves, {part['mixture']:.0f} % of the experts. With it: "
            f"{with_loss['tree']} and {with_loss['mixture']}. With it in 16 × 128, as tuned: {np.mean(idle_large['tree']):.0f} % and "
            f"{np.mean(idle_large['mixture']):.0f} %. Without it, in 2,000 steps and hardened slowly: {np.mean(stored['tree']['slow']):.0f} % of the leaves, "
            f"{np.mean(stored['mixture']['later']):.0f} % of the experts"
        ],
        "3. “Reduces the need for artificial noise”": [
            f"In 8 × 8, {need}. Idle with its loss and no noise: {with_loss['mixture']}. With noise and no loss: {np.mean(noise):.0f} %, with "
            f"neither {np.mean(no_noise):.0f} %"
        ],
        "4. “A similar training time”": [
            f"With trees, a step of the GPT takes {step[LARGE][1]:.1f} times as long as with dense large, {step[SMALL][1]:.1f} times as with dense small"
        ],
        "4. “Quicker inference”, one token": [
            f"A tree, all at once, is {beside_both(took[1], 'tree, at once')}"
        ],
        "4. The same, compiled": [
            f"{compiled_beside(LARGE)}, {compiled_beside(SMALL)}"
        ],
        "4. The same, the GPT in plain code": [beside_both(writing)],
    },
    title="What was measured: small layers, one thread",
)

# %% [markdown]
# ### Nine tries each
#
# The tries were judged on a fifth of the training images that nobody trained on. Images are standardised.
#
# - mixture and tree: learning rates of .003, .01 and .03 by three weights of their loss: .01, .1 and 1 of the Switch loss (in 16 × 128:
#   .0001, .001 and .01); 5, 10 and 20 of the hardening loss (in 16 × 128: 40, 80 and 160), on a ramp. The tree's balance loss keeps a
#   weight of 1.
# - the others, which have no such loss: nine learning rates, from .001 to .1.

# %% [markdown]
# ### All at work, in 16 × 128
#
# The setting of 8 × 8 keeps nearly all busy in 16 × 128, too. What does it cost?

# %% tags=["draw", "nbval-ignore-output", "13.idle"]
# Drawn: in the size 16 × 128, the most right of nine settings, and the one that the small size has.
price, rows = {}, {}
for n in ("mixture", "tree"):
    price[n] = right_large[n].mean() - np.mean(in_large[n]["right as small"])
    for words, how in {"most right": "", "as in 8 × 8": " as small"}.items():
        own = in_large[n][f"right{how}"], in_large[n][f"idle{how}"]
        rows[f"{n}, {words}"] = [interval(own[0]), f"{np.mean(own[1]):.0f}"]


def weighs(what, name):
    """The weight of a loss in both settings, in words."""
    own = contest.best(stored, f"{name}, 16 x 128").coefficient
    return f"{what} then weighs {tuned[name].coefficient:g}, not {own:g}"


table(
    ["in the size 16 × 128", "right, %", "idle, %"],
    rows,
    title=f"Tuned as in 8 × 8, few idle in 16 × 128; the mixture has {price['mixture']:.1f} points fewer right, the tree {price['tree']:.1f}",
    note="Mixture and tree have their losses. Most right: of nine settings tried. "
    f"{weighs('The Switch loss', 'mixture')}; {weighs('the hardening loss', 'tree')}, and its balance loss the same. Ten seeds, most right thirty, 95 % intervals (stored).",
)

# %% [markdown]
# ### A tree that hardens slowly
#
# Without a balance loss, does more time help? 2,000 steps in place of 500, stored.

# %% tags=["draw", "nbval-ignore-output", "13.idle"]
# Drawn: idle neurons after 2,000 steps without a balance loss.
fast, slow = (np.array(stored["tree"][how]) for how in ("fast", "slow"))
later = np.array(stored["mixture"]["later"])
longest = {"mixture": later, "tree": fast, "tree, hardened slowly": slow}
interval_chart(
    longest,
    title=f"Hardened slowly, the tree has {slow.mean():.0f} % idle, the mixture {later.mean():.0f} %",
    note=f"Hardened slowly: in 1,000 steps, not in 250. The mixture over it, in points: {interval(later - slow, '+')}.",
    colors=dict.fromkeys(["tree", "tree, hardened slowly"], "accent"),
    unit="idle, %",
)

# %% [markdown]
# ### A tree, written as a mixture
#
# **Your turn, if you like.** A router scores all experts, and the largest score wins. How can a tree do the same?
# Each question on the path to a leaf adds +1 to the leaf's score if the answer leads to it, and -1 if it leads away. `ways` (leaves,
# nodes) holds these signs: +1 where the path goes right, -1 where it goes left, and 0 for nodes that are not on the path.


# %% tags=["exercise", "optional"]
def choose_path(x, w, b, ways):
    """x (T, d), questions w (N, d), b (N,), ways (L, N)
    -> each token's leaf (T,)."""
    ### BEGIN SOLUTION
    answers = (x @ w.T + b >= 0) * 2.0 - 1
    return (answers @ ways.T).argmax(-1)
    ### END SOLUTION


# %%
choose_path = check("13.choose_path", choose_path)

# %% [markdown]
# So a tree is a mixture whose router is a few questions and a table. What it saves is to ask only the questions on one way.
#
# Two papers about this: trees, balanced in another way than ours
# ([Charalampopoulos et al. 2024](https://arxiv.org/abs/2405.16836)), and trees as a mixture
# ([Chaunin and Mikhaylovskiy 2025](https://openreview.net/forum?id=DtLHemXw3w)), with the verdict “MOE is still somewhat better”.

# %% [markdown]
# ### “You're missing the point”
#
# A user of the authors' code was disappointed. In [issue 8](https://github.com/pbelcak/fastfeedforward/issues/8), a dense
# network with about as many parameters reads handwritten digits better, 97.9 % against 92.9 %, and faster, 196 iterations a second
# against 112: FFF “do not perform as well as baseline FFNs in any metric”. The author answers “you're missing the point”. In the
# grid, too, the tree loses to dense large in 8 × 8; in 16 × 128 that is unsettled. What it should win is time.

# %% [markdown]
# ### Plain and compiled
#
# Our compiled mixture still chooses in plain PyTorch. So mixture and tree meet in plain code, with each call of it.

# %% tags=["measure", "13.token"]
# Claim 13.2.
claim(
    "13.2",
    "For one token, in plain PyTorch, a tree of 16 leaves that asks one question after the other is no faster than a mixture of 16 such experts",
    quantity="the tree's speed (times the mixture's speed)",
    measured=times_as_long(1, "mixture", "tree"),
    holds=in_the_median(below(1)),
    n_seeds=40,
    control=times_as_long(1, "mixture", "tree, compiled"),
    control_is="the tree compiled, the mixture not",
    timed=True,
)

# %% [markdown]
# ### Fewer, larger ones
#
# 16 experts or leaves of 128 neurons, 128 of 32, or 2,048 of 8: the neurons in all differ. So compare only within a stop. At 2,048 a
# cache can hold what is read, at 16 most comes from memory.

# %% tags=["measure"]
# Measured: one token, from 16 large experts or leaves to 2,048 small ones.
SIZES = {16: 128, 128: 32, 2048: 8}  # how many -> neurons of each
WAYS = {"mixture": "mixture", "tree": "one by one", "tree, at once": "all at once"}


def one_token(n, h):
    """Times for n experts or leaves of h neurons."""
    mixture = beyond_cache(lambda: MixtureOfExperts(D, h, n, 1, **GELU))
    tree = beyond_cache(lambda: FastFeedForward(D, D, n.bit_length() - 1, h, **GELU))
    asked = {
        "mixture": [ForOne(layer) for layer in mixture],
        "scores": [ForOne(layer, scores) for layer in mixture],
        "tree": [ForOne(layer) for layer in tree],
        "tree, at once": [ForOne(layer, ask_at_once) for layer in tree],
    }
    return answering(1, asked | {"tree, compiled": tree})


by_size = {N: took[1]} | {n: one_token(n, h) for n, h in SIZES.items() if n != N}
takes = {n: in_micro(of, "mixture") for n, of in by_size.items()}
takes = {n: {WAYS[name]: us[name] for name in WAYS} for n, us in takes.items()}


# %% tags=["draw", "nbval-ignore-output"]
# A slider: more and smaller experts, or leaves.
def ways(n):
    faster = {
        way: in_words(by_size[n]["mixture"], by_size[n][name], "the mixture")
        for name, way in WAYS.items()
    }
    return message(
        f"{n:,} leaves of {SIZES[n]} neurons: all at once is {in_words(by_size[n]['tree'], by_size[n]['tree, at once'], 'one by one')}",
        f"One by one, the tree asks {n.bit_length() - 1} questions, and is {faster['one by one']}. All at once, it asks {n - 1:,}, and is "
        f"{faster['all at once']}.",
    ) + bars(
        takes[n],
        "µs a token",
        ["one by one", "all at once"],
        max(us for of in takes.values() for us in of.values()),
        texts={way: f"{us:.0f} µs" for way, us in takes[n].items()},
    )


sweep(ways, n=("Experts, or leaves", list(SIZES)))

# %% [markdown]
# ### Up to 6 times
#
# One of the post's four references is the paper by Belcak and Wattenhofer. Its abstract says that they are “up to 220x faster than
# feedforward networks, up to 6x faster than mixture-of-experts networks, and exhibit better training properties than
# mixtures of experts thanks to noiseless conditional execution”. Both ratios are to layers with as many neurons in all.
#
# The 6 times have their place where experts are many and small, so that scoring them costs
# more than their answers. The slider above timed one token with 2,048 of 8 neurons, and with 16 of 128. All scores are one matrix
# product, a single call of PyTorch, which leaves compiling little to gain. So in the claim plain scores stand beside a compiled tree.

# %% tags=["measure"]
# Claim 13.3.
few, many = by_size[16], by_size[2048]
claim(
    "13.3",
    "For one token, the scores of 2,048 experts alone take more than 2.5 times as long as the whole answer of a compiled tree of as many leaves of 8 neurons",
    quantity="time (times as long)",
    measured=np.median(many["scores"] / many["tree, compiled"]),
    holds=in_the_median(above(2.5)),
    n_seeds=40,
    control=np.median(few["scores"] / few["tree, compiled"]),
    control_is="16 experts, and leaves of 128 neurons",
    timed=True,
)

# %% [markdown]
# On the slider, with plain code on both sides, the lead is far from that, even at 2,048. What they take from memory there, we have not
# timed. Nor have we timed a compiled tree beside a compiled mixture.
#
# ### A step of training
#
# On a batch of 512 tokens, the tree computes all its leaves, as its choices are soft; the mixture asks one expert a token.

# %% tags=["measure"]
# Claim 13.4: a step of training.
claim(
    "13.4",
    "With 512 tokens and 16 leaves, a training step of the tree takes more than 2.5 times as long as the mixture's",
    quantity="time of a step (times as long)",
    measured=times_as_long("step", "tree", "mixture"),
    holds=in_the_median(above(2.5)),
    n_seeds=10,
    control=times_as_long("step", "tree", "mixture, all experts"),
    control_is="a mixture that asks all experts",
    timed=True,
)

# %% [markdown]
# ### The GPTs by time and by steps, and in use
#
# In use, each layer is asked for one token by the lines of *Quicker inference*; the tree asks all at once.

# %% tags=["draw", "nbval-ignore-output", "13.same_time"]
# Drawn: the four GPTs by the clock.
styles = [
    ("-", "muted", "●"),
    ("--", "muted", "●"),
    ("-", "text", "●"),
    ("-", "accent", "●"),
]
lines = {}
a_test = comparison.EVERY / 1e3 * np.median(a_step[SMALL])  # seconds, of dense small
for style, (n, (_, found)) in zip(styles, read.items(), strict=True):
    tests = np.arange(1, min(found.shape[1], int(4 * slower["tree"] / slower[n]) + 1))
    if n in (SMALL, "mixture"):  # up to the trees' last dot
        tests = np.append(tests, 4 * slower["tree"] / slower[n])
    means = np.interp(tests, range(found.shape[1]), found.mean(0))
    name = f"{n}, dashed" if style[0] == "--" else n
    lines[name] = Line(a_test * slower[n] * tests, means, *style)
curves(
    lines,
    x="seconds of training",
    y="test loss, nats",
    xticks=range(0, int(lines["tree"].x[-1]) + 1, 5),
    title=f"In the time of the trees' 400 steps: trees {nats['tree']:.2f} nats, mixture {in_that_time('mixture').mean():.2f}, dense small {meanwhile.mean():.2f}",
    note="Lower is better, further left is sooner. Dots: the mean of ten seeds. Dense large, too, was stopped at 400 steps; more steps we have not seen. All code is plain. (In lesson 08 the mixture's was compiled.)",
)

# %% tags=["measure"]
# Claim 13.5.
claim(
    "13.5",
    "After 400 steps, GPTs with trees predict worse than dense large ones, which have as many parameters",
    quantity="the trees' test loss over dense large's (nats)",
    measured=loss["tree"] - loss["dense large"],
    holds=above(0),
    control=loss["tree"] - loss["dense small"],
    control_is="dense small in place of dense large",
)

# %% [markdown]
# ### Fifty times as fast, and 15 % slower
#
# In [issue 1](https://github.com/pbelcak/UltraFastBERT/issues/1) of UltraFastBERT somebody finds that the benchmark of a layer
# shows “a ~50x speedup”, and that the whole published model “performs maybe 15% more slowly” than a BERT of similar size. Both
# can be right. The benchmark asks only the nodes on the way. The published model's layer computes the scores of *all* nodes, as
# in training, and then multiplies those that are not on the way by 0. We time both:
# a layer of BERT's width with 4,095 neurons, and a GPT of that width with one block.

# %% tags=["measure"]
# Claim 13.6.
WIDTH = 768
alone = {
    "dense": beyond_cache(lambda: dense(4095, WIDTH)),
    "path": beyond_cache(lambda: PathLayer(WIDTH, WIDTH, 12)),
    "all nodes": beyond_cache(lambda: PathLayer(WIDTH, WIDTH, 12, dispatch="dense")),
}
layer_alone = answering(1, alone, WIDTH)
config = GPTConfig(96, n_layers=1, n_heads=12, d_model=WIDTH, d_hidden=4095)
whole = {}
for name, each in alone.items():
    whole[name] = GPT(config).eval()
    if name != "dense":
        whole[name].blocks[0].feed_forward = each[0]
window = torch.zeros(1, 64, dtype=torch.long)
with torch.inference_mode():
    in_a_gpt = time_side_by_side(
        {name: lambda m=m: m(window) for name, m in whole.items()}, 10, seconds=0.01
    )
claim(
    "13.6",
    "Alone, and for one token, the path layer is more than 1.5 times as fast as a dense layer of its 4,095 neurons",
    quantity="speed (times as fast)",
    measured=np.median(layer_alone["dense"] / layer_alone["path"]),
    holds=in_the_median(above(1.5)),
    n_seeds=40,
    control=np.median(layer_alone["dense"] / layer_alone["all nodes"]),
    control_is="all nodes computed, as in the published model",
    timed=True,
)

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the same in all four cases.
for place, t in (("alone, one token", layer_alone), ("in a GPT, 64 tokens", in_a_gpt)):
    for name, how in (("path", "only the way"), ("all nodes", "all nodes")):
        faster = np.median(t["dense"] / t[name])
        print(f"{place:20} {how:13} {faster:5.2f} times as fast as dense")

# %% [markdown]
# ### Many short trees or one deep one?
#
# UltraFastBERT's layer is one such tree, or a sum of several. [Issue 20](https://github.com/pbelcak/UltraFastBERT/issues/20) asks how fast many
# short ones are beside one deep one, and has no answer. We ask how accurate. In each of these six layers 12 neurons answer: from twelve trees of one
# node, which is a dense network, to one tree of depth 12. Each had three learning rates to choose from. (Stored.)

# %% tags=["measure"]
# Claim 13.7.
forests = {name: np.array(stored[name]["right"]) for name in contest.FORESTS}
claim(
    "13.7",
    "Of layers in which 12 neurons answer, two trees of depth 6 get over 1.5 points more of digits4 right than twelve single nodes",
    quantity="accuracy gained (points)",
    measured=forests["2 of depth 6"] - forests["12 of depth 1"],
    holds=above(1.5),
    control=forests["6 of depth 2"] - forests["12 of depth 1"],
    control_is="six trees of depth 2",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: right, from many short trees to one deep one.
kept = {name: 12 // d * (2**d - 1) for name, d in contest.FORESTS.items()}
most_right = max(forests, key=lambda name: forests[name].mean())
labelled = {f"{name} ({kept[name]:,})": numbers for name, numbers in forests.items()}
interval_chart(
    labelled,
    title=f"{most_right}, {kept[most_right]:,} neurons: {forests[most_right].mean():.1f} %. "
    f"1 of depth 12, {kept['1 of depth 12']:,} neurons: {forests['1 of depth 12'].mean():.1f} %",
    note="digits4: each of ten seeds in grey, above them mean and 95 % interval. In brackets: neurons in all. Where two intervals overlap, "
    "this does not settle who is better.",
    colors={f"{most_right} ({kept[most_right]:,})": "accent"},
    unit="right, %",
)
