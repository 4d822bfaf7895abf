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
# Both a mixture and a tree have many small networks and ask one of them. Does the tree do it better? S. Desai's post of
# 14 January 2024, from which this course was made, says of fast feedforward networks:
#
# 1. “An improvement upon the mixture of experts.”
# 2. “Aims to replicate a balanced distribution of data among experts.”
# 3. “Reduces the need for artificial noise during training.”
# 4. “Results in a similar training time as a standard GPT but quicker inference.”
#
# Each sentence is judged where it is measured. At the end, one grid collects the numbers.

# %% tags=["setup"]
# Setup: what this lesson uses.
from copy import deepcopy
from dataclasses import replace
from functools import partial

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
COLUMNS = {  # and how many decimals
    "right, %": 1,
    "idle, %": 0,
    "one token, µs": 0,
    "compiled, µs": 0,
    "a step, ms": 0,
}
grid = {}  # (row, column) -> the cell
verdicts = {}  # what is said of trees -> what was measured here


def shown(numbers, digits, clock=False):
    """Seeds: the mean ± half its 95 % interval. Turns of a clock: the median ± half of the middle half."""
    e, (low, middle, high) = estimate(numbers), np.percentile(numbers, [25, 50, 75])
    at, width = (middle, high - low) if clock else (e.mean, e.high - e.low)
    half = round(width / 2, digits)
    return f"{at:,.{digits}f}" + (f" ± {half:,.{digits}f}" if half > 0 else "")


def fill(column, found):
    """Fill a column of the grid: name -> one number for each seed, or for each turn of the clock."""
    for name in found:
        grid[name, column] = shown(found[name], COLUMNS[column], column.endswith("s"))


# %% [markdown]
# ## Five layers, two sizes
#
# Each layer comes in two sizes: **8 × 8** for `digits4`, with 8 experts or leaves of 8 neurons, and **16 × 128** as in a small language
# model. Their neurons, in all / answering for one token:
#
# | | who answers | 8 × 8 | 16 × 128 |
# |---|---|---|---|
# | **dense small** | all: as many as answer in mixture and tree | 8 / 8 | 128 / 128 |
# | **dense large** | all: as many as mixture and tree have | 64 / 64 | 2,048 / 2,048 |
# | **mixture** | one expert, chosen by its score | 64 / 8 | 2,048 / 128 |
# | **tree** | one leaf, to which questions lead | 64 / 8 | 2,048 / 128 |
# | **path** | one neuron on each level: it asks *and* answers | 63 / 6 | 2,047 / 11 |
#
# Two pairs of words:
#
# - In training the tree is **soft**: all leaves answer, weighted, so that its questions can learn. In use it is **hard**: one leaf
#   answers. A hardening loss pushes it from soft to hard.
# - **Plain** code calls PyTorch step by step. In **compiled** code the whole layer is one machine program.

# %% [markdown]
# ## The path layer
#
# You know the other four. The path layer is new, so build it first. UltraFastBERT, a language model by the tree's authors, uses it.
# It has no leaves, and is hard from the start.
#
# A token begins at the root. At node $n$ it gets the score $w_n x + b_n$. The score does two things:
#
# - Its value answers: the node adds `F.gelu(score)` times its row of output weights.
# - Its sign says where to go: to node $2n+2$ if it is 0 or more, and to $2n+1$ if not.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: a token's way, and its scores.
SCORES = {0: "0.7: right", 2: "-0.3: left", 5: "1.2"}


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
    for n, (x, y, side) in {
        0: (20, 0, "left"),
        2: (-20, 0, "right"),
        5: (0, -25, "center"),
    }.items():
        axes.annotate(
            SCORES[n],
            at[n],
            (x, y),
            textcoords="offset points",
            ha=side,
            va="center",
            color=text,
        )


picture(
    way_of_a_token,
    title="Three nodes answer: 0, 2 and 5",
    note="Beside each node on the way: its score, and where the token goes.",
    alt="A tree of seven nodes. Node 0 has the score 0.7, so the token goes right to node 2. Its score is -0.3, so the token goes left to "
    "node 5, which is on the last level and has the score 1.2.",
    height=240,
)

# %% [markdown]
# **Your turn.** Four lines: on each level, the score of each token's node, what it adds to the answer, and the next node.


# %% tags=["exercise"]
def path_layer(x, w_in, b_in, w_out, depth):
    """x (T, d), of N nodes w_in (N, d), b_in (N,), w_out (N, d_out)
    -> answers (T, d_out)."""
    node = torch.zeros(len(x), dtype=torch.long)  # each token's, at first the root
    y = torch.zeros(len(x), w_out.shape[1])
    ### BEGIN SOLUTION
    for _ in range(depth):
        score = (x * w_in[node]).sum(-1) + b_in[node]
        y = y + F.gelu(score)[:, None] * w_out[node]
        node = 2 * node + 1 + (score >= 0)
    ### END SOLUTION
    return y


# %%
path_layer = check("13.path_layer", path_layer)

# %%
torch.manual_seed(seed)
layer, x = PathLayer(64, 10, depth=6).eval(), torch.randn(500, 64)
with torch.no_grad():
    ours = path_layer(x, layer.w_in, layer.b_in, layer.w_out, 6)
    same = torch.allclose(ours, layer(x)[0], atol=1e-5)
own = "<the course's" in str(getattr(path_layer, "__code__", ""))
print("the course's" if own else "your", "layer gives the package's answers:", same)

# %% [markdown]
# In training, too, only the nodes on a token's way answer, and only they learn from it. (The package still computes all scores, so a
# step is not cheap.) The sign of a score has no gradient: where a node sends a token changes only because its answer is trained.

# %% [markdown]
# ## “An improvement upon the mixture of experts”
#
# Now the five compete on `digits4`, in the size 8 × 8. A comparison is fair only if all get the same care. So for each layer we tried
# nine settings, such as learning rates (listed in *Further*), and judged them on images put aside. With its best setting it trains on
# standardised pixels for 500 steps, from ten seeds. We train mixture and tree now; the rest is stored.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.improvement",
    "Tree and mixture have the same widths, and got the same care. On `digits4`, is the "
    "tree ahead by a point of accuracy or more?",
    choices=["yes", "no"],
)

# %% tags=["measure"]
# Measured: the mixture and the tree, and both with less care.
stored = contest.stored()
data, raw = digits4("standardised"), digits4("raw")
tuned = {name: contest.best(stored, name) for name in ("mixture", "tree")}


def lies(numbers, sign="", digits=1):
    """The mean of seeds and its 95 % interval, in words."""
    e, how = estimate(numbers), f"{sign}.{digits}f"
    return f"{e.mean:{how}} ({e.low:{how}} to {e.high:{how}})"


right = {name: stored[name]["right"] for name in LAYERS}


def trained(name, images, **options):
    """Of ten seeds, per cent: test images that are right, and neurons that are idle."""
    found = contest.run(name, tuned[name], images, seeds(10), **options)
    return np.array([contest.right(found, images), contest.idle(found, images)])


of_mixture = {"the Switch loss": trained("mixture", data)}
of_mixture["neither"] = trained("mixture", data, balanced=False)
right["mixture"] = of_mixture["the Switch loss"][0]
right["tree"] = trained("tree", data)[0]
lead = right["tree"] - right["mixture"]
careless = {  # the tree's lead over a mixture with less care
    "on raw pixels": right["tree"] - trained("mixture", raw)[0],
    "without the Switch loss": right["tree"] - of_mixture["neither"][0],
    "both": right["tree"] - trained("mixture", raw, balanced=False)[0],
}
tree_raw = trained("tree", raw)[0].mean()

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
ahead = lead.mean() >= 1
mean = {name: np.mean(numbers) for name, numbers in right.items()}
verdicts["An improvement upon the mixture of experts"] = [
    f"here, {'yes' if ahead else 'no'}: {lead.mean():+.1f} points of accuracy"
]
reveal(
    "13.improvement",
    "yes" if ahead else "no",
    says=f"The tree's lead over the mixture, in points, and its 95 % interval: {lies(lead, '+')}.\n\n"
    "Now give less care to the mixture alone. The tree's lead: "
    + "; ".join(f"{how}, {lies(numbers, '+')}" for how, numbers in careless.items())
    + ". With raw pixels for both, the tree's lead is "
    f"{tree_raw - mean['tree'] + careless['on raw pixels'].mean():+.1f}. When you read that something beats "
    "mixtures, ask how they were balanced, and what inputs they got.\n\n"
    "“An improvement upon the mixture of experts”: "
    + (
        "here it is, in accuracy."
        if ahead
        else "if it means accuracy, not here. "
        "Elsewhere a tree may be better: we have not refuted that."
    ),
)

# %% tags=["measure"]
# Claim 13.1.
claim(
    "13.1",
    "On digits4, the tree is not a point ahead of a mixture of the same widths",
    quantity="the tree's lead in accuracy (points)",
    measured=lead,
    holds=below(1),
    control=careless["both"],
    control_is="less care twice: the mixture alone on raw pixels, and without its Switch loss",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the grid's first column.
fill("right, %", right)
interval_chart(
    right,
    title="Right, of a hundred: " + ", ".join(f"{n} {mean[n]:.1f}" for n in mean),
    note="digits4: each of ten seeds in grey, above them mean and 95 % interval. Coloured: the two with a tree's branches.",
    colors={"tree": "accent", "path": "accent"},
    unit="right, %",
)

# %% [markdown]
# ## “A balanced distribution”, and “the need for artificial noise”
#
# Sentences 2 and 3 are about who works.
#
# - For sentence 2 we take the balance loss away: the Switch loss from the mixture, the node-balance loss from the tree, which is
#   hardened as before. The path layer has no balance loss.
# - For sentence 3 the mixture trains with learned noise (lesson 06) and without, each with its Switch loss and without.
#
# A neuron is **idle** if its expert, leaf or node gets hardly any images. For one of eight experts or leaves, that is less than 1 % of all
# images, as for a dead expert in lesson 05. In general it is less than 8 % of an even share of its level: 1 % is 8 % of an eighth.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.idle",
    "Mixture and tree train without their balance losses, and the path layer has none. Which of the three has the largest part of its neurons idle?",
    choices=["the mixture", "the tree", "the path layer"],
)

# %% tags=["measure"]
# Measured, and of tree and path stored: who is idle, and what noise does to the mixture.
noisy = partial(contest.mixture, noise="learned")
of_mixture["both"] = trained("mixture", data, build=noisy)
of_mixture["noise"] = trained("mixture", data, balanced=False, build=noisy)
idle = {name: stored[name]["idle"] for name in LAYERS}
idle |= {"mixture": of_mixture["neither"][1], "tree": stored["tree"]["unbalanced"]}
fill("idle, %", idle)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
most = max(("mixture", "tree", "path"), key=lambda name: np.mean(idle[name]))
of_eight = {name: lies(0.08 * np.array(idle[name])) for name in ("tree", "mixture")}
alone = f"without a balance loss, {of_eight['tree']} of 8 leaves are idle, and {of_eight['mixture']} of 8 experts"
part = {way: numbers[1].mean() for way, numbers in of_mixture.items()}
gained = of_mixture["both"][0] - of_mixture["the Switch loss"][0]
replaces = estimate(of_mixture["noise"][1] - of_mixture["neither"][1]).high < 0
helps = replaces or estimate(gained).low > 0
fewer = estimate(np.subtract(idle["tree"], idle["mixture"])).high < 0
alone += f": {'' if fewer else 'not clearly '}fewer leaves than experts"
if estimate(idle["tree"]).low > 0:
    alone += ", but not balanced by itself: the tree, too, has its own loss"
verdicts["Aims to replicate a balanced distribution"] = [alone]
verdicts["Reduces the need for artificial noise"] = [
    f"true, {'and noise helped' if helps else 'and no advantage: noise did not help'} the mixture"
]
reveal(
    "13.idle",
    {"mixture": "the mixture", "tree": "the tree", "path": "the path layer"}[most],
    says=f"Idle without a balance loss: mixture {part['neither']:.1f} %, tree {np.mean(idle['tree']):.1f} %, path {np.mean(idle['path']):.1f} %. "
    "(Idle neurons are counted, not how evenly the others share.)\n\n“Aims to replicate a balanced distribution of data among experts”: "
    f"{alone}. With their losses: mixture {part['the Switch loss']:.0f} %, tree {np.mean(stored['tree']['idle']):.0f} %.\n\n“Reduces the need "
    "for artificial noise during training”: the tree trains without. Does the mixture need it? With noise in place of the Switch loss, "
    f"{part['noise']:.0f} % of its neurons are idle, without both {part['neither']:.0f} %: here noise {'does work' if replaces else 'cannot do the work'} "
    f"of that loss. On top of that loss, noise changes accuracy by {lies(gained, '+')} points.",
)

# %% tags=["draw", "nbval-ignore-output", "13.improvement"]
# Drawn: the mixture with noise and without, with the Switch loss and without.
table(
    ["the mixture trains with", "idle, %", "right, %"],
    {
        way: [shown(of_mixture[way][1], 0), shown(of_mixture[way][0], 1)]
        for way in ("neither", "noise", "the Switch loss", "both")
    },
    title=f"Idle: with noise {part['noise']:.0f} %, with the Switch loss {part['the Switch loss']:.0f} %",
    note="Ten seeds: the mean ± half its 95 % interval.",
)

# %% [markdown]
# ## What a token costs
#
# Now the time in use (hard): first counted, in multiplications, and then measured. From here on the layers have the size 16 × 128, and a token is
# $d$ = 256 numbers wide. A neuron multiplies $2d$ times, $d$ to read and $d$ to write. A score of a router, or a question of a tree,
# multiplies $d$ times.
#
# **Your turn.** How many multiplications does a token's answer take? Four lines, without biases and gate weights.
#
# - There are `n` experts or leaves of `h` neurons. Dense has `n` times `h` neurons.
# - A path layer has `n - 1` nodes and no `h`, so its `n` is 2,048 here.
# - `n` is a power of two, and `n.bit_length() - 1` is its logarithm to base 2.


# %% tags=["exercise"]
def multiplications(kind, n, d, h):
    """kind "dense", "mixture", "tree" or "path"
    -> multiplications of one token's answer."""
    ### BEGIN SOLUTION
    levels = n.bit_length() - 1
    rows = {"mixture": n, "tree": levels}.get(kind, 0)
    neurons = {"dense": n * h, "path": levels}.get(kind, h)
    return d * rows + 2 * d * neurons
    ### END SOLUTION


# %%
multiplications = check("13.multiplications", multiplications)

# %%
D, H, N = 256, 128, 16  # width of a token, neurons of an expert, experts
SHAPES = {"dense small": ("dense", 1), "dense large": ("dense", N)}
SHAPES |= {"mixture": ("mixture", N), "tree": ("tree", N), "path": ("path", N * H)}
for name, (kind, n) in SHAPES.items():
    print(f"{name:12}{multiplications(kind, n, D, H):12,} multiplications a token")

# %% [markdown]
# Now the clock. A batch has to be sorted by expert, one token does not. So each layer is written again for one token, in a few
# lines of plain PyTorch (folded below). Dense layers and the tree also run compiled. Our compiled mixture is made for batches, so
# mixture and tree are compared plain. All run on one thread. As in a model, weights come from memory, not from the cache.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.token",
    "Of the five, your count puts the path layer first, by far. One token, in plain PyTorch: which place does the clock give it?",
    choices=["first", "second", "third", "fourth", "fifth"],
)


# %% tags=["measure"]
# Measured with these: each layer for one token x (d,), in plain PyTorch.
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


def ask_path(x, w_in, b_in, w_out):
    """Collect the scores on the way, then add up the answers."""
    node, way, scores = 0, [], []
    while node < len(w_in):
        way.append(node)
        scores.append(w_in[node] @ x + b_in[node])
        node = 2 * node + 1 + (scores[-1].item() >= 0)
    return F.gelu(torch.stack(scores)) @ w_out[way]


ASK = {nn.Sequential: answer, MixtureOfExperts: ask_mixture}
ASK |= {FastFeedForward: ask_tree, PathLayer: ask_path}


class ForOne(nn.Module):
    """A layer's own weights, asked by the lines above: one token (..., d) -> (..., d)."""

    def __init__(self, layer):
        super().__init__()
        self.ask = next(ask for kind, ask in ASK.items() if isinstance(layer, kind))
        self.weights = [parameter.detach() for parameter in layer.parameters()]
        if self.ask is answer:  # nn.Linear keeps a row for each output
            self.weights[2] = self.weights[2].T

    def forward(self, x):
        return self.ask(x.flatten(), *self.weights).view(*x.shape[:-1], -1)


# %% tags=["measure"]
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
builds = {
    "dense small": lambda: dense(H),
    "dense large": lambda: dense(N * H),
    "mixture": lambda: PlainMixture(D, H, N, 1, **GELU),
    "tree": lambda: PlainTree(D, D, 4, H, **GELU),
    "path": lambda: PathLayer(D, D, 11),
    "dense small, compiled": lambda: FastFeedForward(
        D, D, 0, H, **GELU
    ),  # a tree of one leaf
    "dense large, compiled": lambda: FastFeedForward(D, D, 0, N * H, **GELU),
    "mixture, compiled": lambda: MixtureOfExperts(D, H, N, 1, **GELU),
    "tree, compiled": lambda: FastFeedForward(D, D, 4, H, **GELU),
}
layers = {name: beyond_cache(build) for name, build in builds.items()}
for_one = {name: [ForOne(layer) for layer in layers[name]] for name in LAYERS}
for x in torch.randn(20, 1, D):
    for name in LAYERS:
        y = layers[name][0].eval()(x)
        y = y[0] if isinstance(y, tuple) else y
        assert torch.allclose(for_one[name][0](x), y, atol=1e-5)


def answering(n_tokens, of, width=D):
    """Seconds a call, another layer and other tokens each time: one number for each turn."""
    x = torch.randn(max(2, 256 // n_tokens), n_tokens, width)
    asked = {
        name: in_turn([layer.eval() for layer in each], x) for name, each in of.items()
    }
    with torch.inference_mode():
        return time_side_by_side(asked, 10, seconds=0.01)


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


took = {1: answering(1, layers | for_one), "step": training(512)}


def times_as_long(what, one, other):
    """How many times as long one layer takes as another, the median of the turns."""
    return np.median(took[what][one] / took[what][other])


def of_turns(ratios):
    """The median of the turns' ratios between the ends of its 95 % interval, by their ranks."""
    return np.percentile(ratios, 50 + np.array([-98, 0, 98]) / len(ratios) ** 0.5)


def in_words(ratios):
    """From each turn's ratio of speeds: how fast or slow, if the interval lies beyond 5 %."""
    low, middle, high = of_turns(ratios)
    if low > 1.05:
        return f"{middle:.1f} times as fast"
    return f"{1 / middle:.1f} times as slow" if high < 0.95 else "not told apart"


# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
micro = {name: 1e6 * np.median(times) for name, times in took[1].items()}
in_order = sorted(LAYERS, key=micro.get)
place = ["first", "second", "third", "fourth", "fifth"][in_order.index("path")]
both = ("", ", compiled")
quicker = {  # the tree's speed beside another layer's
    name: [in_words(took[1][f"{name}{how}"] / took[1][f"tree{how}"]) for how in both]
    for name in ("dense large", "dense small", "mixture")
}
quicker["mixture"][1] = "–"
reveal(
    "13.token",
    place,
    says=f"First is {in_order[0]}, with {micro[in_order[0]]:.0f} µs (millionths of a second); path takes {micro['path']:.0f} µs. Each call "
    "of PyTorch has a price, however small its arrays. A question is a few calls, and the path layer asks eleven, one after the other.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the tree's speed.
table(
    ["beside", "plain", "compiled"],
    quicker,
    title="“But quicker inference”: the tree, one token",
    note="Both plain, or both compiled: the median of ten turns. “Not told apart”: its 95 % interval reaches within 5 % of equal speed. "
    "–: our compiled mixture is made for batches.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: what the count promises, and what the clock says.
counted = {name: multiplications(*SHAPES[name], D, H) for name in LAYERS}
COMPILED = ("dense small", "dense large", "tree")
PART = {  # each layer's part of what dense large needs
    "the count": {n: counted[n] / counted["dense large"] for n in LAYERS},
    "plain": {n: micro[n] / micro["dense large"] for n in LAYERS},
    "compiled": {
        n: micro[f"{n}, compiled"] / micro["dense large, compiled"] for n in COMPILED
    },
}


def promised_and_paid(figure, theme):
    axes = figure.add_subplot(xscale="log")
    text, muted, line = (look.color(name, theme) for name in ("text", "muted", "line"))
    styles = [("D", muted, muted), ("o", text, "none"), ("o", text, text)]
    rows = zip((-0.26, 0, 0.26), PART.items(), styles, strict=True)
    for shift, (how, part), (mark, color, fill) in rows:
        at = [LAYERS.index(n) + shift for n in part]
        axes.plot(list(part.values()), at, mark, color=color, mfc=fill, ms=8, label=how)
    axes.axvline(1, color=line, zorder=0)
    for row, n in enumerate(LAYERS):  # from the count to the clock
        ends = [part[n] for part in PART.values() if n in part]
        axes.plot(ends[:2], [row - 0.26, row], color=line, lw=2, zorder=0)
    narrow = is_narrow(figure)
    axes.set_yticks(range(5), [n.replace(" ", "\n") if narrow else n for n in LAYERS])
    axes.set_ylim(4.6, -0.6)
    ticks = [0.01, 0.1, 1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("part of dense large's, one token")
    axes.margins(x=0.08)
    tight = {"handlelength": 1, "handletextpad": 0.3, "columnspacing": 1}
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, **tight
    )


picture(
    promised_and_paid,
    title=f"The path layer multiplies {PART['the count']['path']:.3f} of what dense large does, and takes {PART['plain']['path']:.2f} of its time",
    note="Plain times are divided by dense large's plain time, compiled ones by its compiled time: do not compare the two. For mixture and path "
    "there is no compiled code for one token.",
    alt="; ".join(
        f"{how}: " + ", ".join(f"{n} {x:.3f}" for n, x in part.items())
        for how, part in PART.items()
    ),
    height=330,
)

# %% tags=["measure"]
# Claim 13.2.
claim(
    "13.2",
    "For one token, in plain PyTorch, a tree of 16 leaves is no faster than a mixture of 16 such experts",
    quantity="the tree's speed (times the mixture's)",
    measured=times_as_long(1, "mixture", "tree"),
    holds=in_the_median(below(1)),
    n_seeds=10,
    control=times_as_long(1, "mixture", "tree, compiled"),
    control_is="the tree compiled, the mixture not",
    timed=True,
)

# %% [markdown]
# But 16 experts are few, and scoring them costs little. From how many on, if at all, is the tree
# faster, in plain code for both? Think of a number, then move the slider.

# %% tags=["measure"]
# Measured: one token, from 16 large experts or leaves to 2,048 small ones.
SIZES = {16: 128, 128: 32, 512: 16, 2048: 8}  # how many -> neurons of each


def one_token(n, h):
    """Times of all scores alone, of a whole mixture, and of a tree, plain and compiled."""
    mixture = beyond_cache(lambda: MixtureOfExperts(D, h, n, 1, **GELU))
    tree = beyond_cache(lambda: FastFeedForward(D, D, n.bit_length() - 1, h, **GELU))
    timed = {
        name: [ForOne(layer) for layer in mixture] for name in ("scores", "mixture")
    }
    for layer in timed["scores"]:
        layer.ask = lambda x, *weights: weights[-1] @ x
    timed |= {"tree": [ForOne(layer) for layer in tree], "tree, compiled": tree}
    return answering(1, timed)


by_size = {n: one_token(n, h) for n, h in SIZES.items()}


# %% tags=["draw", "nbval-ignore-output"]
# A slider: more and smaller experts, or leaves.
def beside_tree(n):
    t, h = by_size[n], SIZES[n]
    more = multiplications("mixture", n, D, h) / multiplications("tree", n, D, h)
    plain, fast = (np.median(t["mixture"] / t[f"tree{how}"]) for how in both)
    return message(
        f"Both plain, the tree is {max(plain, 1 / plain):.1f} times as {'fast' if plain > 1 else 'slow'} as the mixture",
        f"{n:,} experts or leaves of {h} neurons, {n * h:,} in all: {n:,} scores at once, or {n.bit_length() - 1} questions, one after the other. The mixture "
        f"multiplies {more:.1f} times as much. Beside the compiled tree, the plain mixture takes {fast:.1f} times as long. In µs:",
    ) + bars({m: 1e6 * np.median(t[m]) for m in t if m != "scores"}, "µs")


sweep(beside_tree, n=("Experts, or leaves", list(SIZES)))

# %% [markdown]
# ## “A similar training time”
#
# So much for use. In training the tree is soft, and all its leaves answer. What does that cost? First one layer, then a whole GPT.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.training",
    "A training step on 512 tokens: how many times as long as the mixture of 16 experts does the tree of 16 leaves take?",
    slider=(0, 30, 0.5, "times"),
)

# %% tags=["measure"]
# Measured above, in the same run of the clock.
by_count = multiplications("dense", N, D, H) + D * (N - 1)  # all leaves and nodes
by_count /= multiplications("mixture", N, D, H)
over_mixture = times_as_long("step", "tree", "mixture")
over_large, over_small = (
    times_as_long("step", "tree", f"dense {size}") for size in ("large", "small")
)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "13.training",
    float(over_mixture),
    says="A soft tree asks all its nodes and all its leaves, a mixture one expert a token. By "
    f"multiplications it would be {by_count:.0f} times as long, but the mixture's step also sorts tokens, and calls its experts one by one."
    f"\n\n“A similar training time”: the tree's step takes {over_large:.1f} times as long as dense large's, and {over_small:.0f} times as "
    "long as dense small's.",
)

# %% tags=["measure"]
# Claim 13.3.
claim(
    "13.3",
    "With 512 tokens and 16 leaves, a training step of the tree takes more than 2.5 times as "
    "long as the mixture's",
    quantity="time of a step (times as long)",
    measured=over_mixture,
    holds=in_the_median(above(2.5)),
    n_seeds=10,
    control=times_as_long("step", "tree", "mixture, all experts"),
    control_is="a mixture that asks all experts",
    timed=True,
)

# %% [markdown]
# ## “... as a standard GPT but quicker inference”
#
# The last sentence speaks of a GPT. So we take lesson 08's GPT, and put trees of the size 8 × 128 in place of its mixtures. Beside it
# stand the GPT of mixtures and two dense ones: dense large, with as many parameters as the mixture, and dense small, which multiplies as much
# for a token. All see the same text for 400 steps, from ten seeds (stored). The trees got more care than the others: the best of four
# pairs of weights for their losses.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.gpt",
    "The GPT with trees has as many neurons as dense large, and for a token about as many "
    "answer as in dense small. How well does it predict after 400 steps?",
    choices=["better than dense large", "between the two", "worse than dense small"],
)

# %% tags=["measure"]
# Measured: the losses are stored; a step and a word are timed here, in plain PyTorch and compiled.
KINDS = {"dense small": "dense", "dense large": "large", "mixture": "experts"}
KINDS |= {"tree": "tree"}
long = comparison.results() or comparison.results(first=0)
read = {name: comparison.curve(long, kind, "steps") for name, kind in KINDS.items()}
loss = {name: nats[:, 400 // comparison.EVERY] for name, (_, nats) in read.items()}
gpts, writers = {}, {}
for name, kind in KINDS.items():
    torch.manual_seed(seed)
    gpts[name], fast = (comparison.KINDS[kind](seed) for _ in range(2))
    if name in ("mixture", "tree"):
        for block in gpts[name].blocks:
            block.feed_forward.__class__ = PlainTree if name == "tree" else PlainMixture
    else:
        fast = GPT(replace(fast.config, feed_forward="fff", depth=0))  # one leaf
    writers[name], writers[f"{name}, compiled"] = deepcopy(gpts[name]), fast.eval()
    for block in writers[name].blocks:  # plain: the lines for one token
        block.feed_forward = ForOne(block.feed_forward)

prompt, text = torch.zeros(1, 1, dtype=torch.long), texts()
words = {
    n: lambda m=m: m.generate(prompt, 12, temperature=0) for n, m in writers.items()
}
writing = time_side_by_side(words, 40, seconds=0)
again = {  # width -> one plain layer, called again and again
    64: answering(1, {n: [writers[n].blocks[0].feed_forward] for n in KINDS}, 64),
    D: answering(1, {n: for_one[n][:1] for n in KINDS}),
}
options = {"steps": 20, "every": 2, "penalty": comparison.tree_losses}
runs = [
    train_gpt(gpt, text, seed=seed, **options, **comparison.TRAINING)
    for gpt in gpts.values()
]
spent = np.array([[next(run).seconds for run in runs] for _ in range(11)])
a_step = dict(zip(gpts, 1e3 * np.diff(spent, axis=0).T / 2, strict=True))
slower = {n: np.median(times / a_step["dense small"]) for n, times in a_step.items()}
small = list(zip(*read["dense small"], strict=True))
meanwhile = {  # dense small's loss in the time of another GPT's 400 steps
    n: np.array([np.interp(400 * slower[n], *row) for row in small]) for n in KINDS
}

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
nats = {name: numbers.mean() for name, numbers in loss.items()}
LARGE, SMALL = "dense large", "dense small"
longer = " and ".join(
    f"{np.median(a_step['tree'] / a_step[n]):.1f} times as long as {n}'s"
    for n in (LARGE, SMALL)
)
beside = {  # the tree's speed in writing, beside another GPT
    n: [in_words(writing[f"{n}{how}"] / writing[f"tree{how}"]) for how in both]
    for n in (LARGE, SMALL, "mixture")
}
beside["mixture"][1] = "–"


def judged(beside):
    """Whether the tree is quicker, plain and compiled, from its speed in words."""
    short = {"fast": "yes", "slow": "no", "apart": "not told apart"}
    said = {
        n: [short[words.split()[-1]] for words in beside[n]] for n in (LARGE, SMALL)
    }
    return "; ".join(
        f"than {n}: " + (p if p == c else f"{p} (plain), {c} (compiled)")
        for n, (p, c) in said.items()
    )


leads = all(estimate(loss[n] - meanwhile[n]).low > 0 for n in KINDS if n != SMALL)
verdicts |= {
    "Results in a similar training time as a standard GPT": [
        f"a step takes {longer}" + leads * "; for the same time dense small leads"
    ],
    "But quicker inference: one layer, one token": [judged(quicker)],
    "But quicker inference: a GPT that writes": [judged(beside)],
}
tiny, wide = (
    [np.median(again[width][n] / again[width][LARGE]) for n in ("mixture", "tree")]
    for width in again
)
compiled = {
    steps: lies(comparison.lead(long, "experts", "dense", "seconds", steps), "+", 2)
    for steps in (400, 2400)
}
reveal(
    "13.gpt",
    "better than dense large"
    if nats["tree"] < nats[LARGE]
    else "between the two"
    if nats["tree"] < nats[SMALL]
    else "worse than dense small",
    says=f"The test loss after 400 steps, in nats: trees {nats['tree']:.2f}, dense large {nats[LARGE]:.2f}, dense small {nats[SMALL]:.2f}, the mixture "
    f"{nats['mixture']:.2f}.\n\n“Results in a similar training time as a standard GPT”: in plain code, a step takes {longer}.\n\nAnd what does "
    "dense small reach in the same time, by more steps? In the time of the trees "
    f"{meanwhile['tree'].mean():.2f} nats (trees {nats['tree']:.2f}), in that of the mixture {meanwhile['mixture'].mean():.2f} (mixture "
    f"{nats['mixture']:.2f}), in that of dense large {meanwhile[LARGE].mean():.2f} (dense large {nats[LARGE]:.2f})"
    + leads
    * ": for the same time dense small leads"
    + f". (Lesson 08's compiled mixture against plain dense small, in equal seconds: {compiled[400]} nats after 400 of its steps, {compiled[2400]} "
    f"after 2,400.)\n\n“But quicker inference”, in writing? {judged(beside).capitalize()}. "
    + (
        "These layers are so small (64 wide) that the price of PyTorch's calls outweighs what is saved. "
        if min(tiny) > 0.95 > max(wide)
        else ""
    )
    + "And a GPT's other parts take time, too.",
)

# %% tags=["measure"]
# Claim 13.4.
claim(
    "13.4",
    "After 400 steps, GPTs with trees predict worse than dense large ones, which have as many "
    "parameters",
    quantity="the trees' test loss over dense large's (nats)",
    measured=loss["tree"] - loss["dense large"],
    holds=above(0),
    control=loss["tree"] - loss["dense small"],
    control_is="dense small in place of dense large",
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the four GPTs by the clock.
styles = [("-", "muted"), ("--", "muted"), ("-", "text"), ("-", "accent")]
lines = {}
for style, (n, (_, found)) in zip(styles, read.items(), strict=True):
    tests = np.arange(1, min(found.shape[1], int(4 * slower["tree"] / slower[n]) + 1))
    seconds = comparison.EVERY / 1e3 * np.median(a_step[n]) * tests
    lines[n] = Line(seconds, found.mean(0)[tests], *style, "●")
curves(
    lines,
    x="seconds of training, plain code",
    y="test loss, nats",
    title=f"In the time of the trees' 400 steps: trees {nats['tree']:.2f} nats, dense small {meanwhile['tree'].mean():.2f}",
    note="Mean of ten seeds, a dot every 100 steps, up to the time of the trees' 400. Dense large was stopped at 400 steps, too. Seconds: the median "
    "step, timed here.",
    legend=True,
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: one layer, small and large, and the tree's speed in writing.
table(
    ["", *(f"{width} wide" for width in again), "plain", "compiled"],
    {
        n: [shown(1e6 * found[n], 0, clock=True) for found in again.values()]
        + beside.get(n, ["", ""])
        for n in KINDS
    },
    title="A layer, small and large, and “quicker inference” in writing",
    note="Layers of these GPTs, and of the size 16 × 128, called again and again, plain: the median of ten turns ± half of the middle half. Writing: of 40 "
    "turns. Compiled: the feed-forward layers only; our compiled mixture is made for batches.",
    groups={"one layer, µs": 2, "the tree writes, beside it": 2},
)

# %% [markdown]
# ## When to reach for which
#
# Here is the grid. It does not say how accurate layers of the size 16 × 128 are.

# %% tags=["draw", "nbval-ignore-output", "13.improvement", "13.idle", "13.token", "13.training"]
# Drawn: the whole grid.
fill("one token, µs", {name: 1e6 * took[1][name] for name in LAYERS})
fill("compiled, µs", {name: 1e6 * took[1][f"{name}, compiled"] for name in COMPILED})
grid |= {(name, "compiled, µs"): "–" for name in ("mixture", "path")}
fill("a step, ms", {name: 1e3 * took["step"][name] for name in LAYERS})
table(
    ["", *COLUMNS],
    {row: [grid.get((row, column), "") for column in COLUMNS] for row in LAYERS},
    groups={"8 × 8, digits4": 2, "16 × 128": 3},
    title=f"Most right: {max(mean, key=mean.get)}. Quickest for one token, plain: {in_order[0]}",
    note="8 × 8: ten seeds, the mean ± half its 95 % interval; right with the balance loss, idle without. 16 × 128: one thread, the median of "
    "ten turns ± half of the middle half; a step of training, plain, on 512 tokens. –: we have no compiled code of it for one token.",
)

# %% tags=["draw", "nbval-ignore-output", "13.improvement", "13.idle", "13.token", "13.gpt"]
# Drawn: what was said of trees, and what was measured.
table(
    ["“...”", "measured here"],
    verdicts,
    title="Each sentence, held against what was measured",
)

# %% [markdown] tags=["13.improvement", "13.idle", "13.token", "13.training", "13.gpt"]
# | | when | what it costs | not measured |
# |---|---|---|---|
# | **dense** | to begin with | dense large: all neurons answer | larger layers |
# | **mixture** | dense small is not good enough, dense large too slow in use | memory; balance needs care | one token, compiled |
# | **tree** | one token at a time, compiled, many small leaves | two losses; training computes all leaves | how accurate it then is; a compiled mixture |
# | **path** | few multiplications count most | a training step like the tree's; at 8 × 8, after 500 steps, no more right than dense small | a compiled one; more steps (Try it 1) |
#
# - In use, large mixtures and trees save time over dense large. The small layers of our GPTs save none in plain code.
# - In training, all three lead dense small at 400 steps. In the same time, in plain code, dense small leads.
#
# All of this holds for small layers on one thread of a processor. When you read about larger ones, ask: which dense layer stood
# beside it, who was compiled, how many tokens came at once, and who was tuned?

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("13")

# %% [markdown]
# ## Try it
#
# The path layer learns slowly. Give all more time, `contest.STEPS = 2000`, and compare `path` with `dense small`:
# `np.mean(contest.right(contest.run(name, contest.best(stored, name), data, seeds(3)), data))`. Does it still trail?
#
# ## Recap
#
# - A mixture chooses by scores, a tree by questions. A path layer's questions are its answers.
# - Like against like means the same care, code of the same kind, and both dense opponents: as many neurons in all, and as many
#   that answer.
# - A count of multiplications says what a good program can win. The clock says what yours wins.
#
# **Sources.** The four sentences: S. Desai, *Mixture of Experts (MoE)*, a blog post of 14 January 2024. Trees with leaves:
# [Belcak and Wattenhofer 2023](https://arxiv.org/abs/2308.14711), who report 220 and 6 times. The path layer, another kind:
# [UltraFastBERT](https://arxiv.org/abs/2311.10770). A tree written as a mixture:
# [Chaunin and Mikhaylovskiy 2025](https://openreview.net/forum?id=DtLHemXw3w). Load balancing for trees, and a leaf that all tokens share:
# [Charalampopoulos et al. 2024](https://arxiv.org/abs/2405.16836); our node-balance loss is written after Shazeer's importance loss,
# and we have not compared it with theirs. Mixtures: [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538); the Switch loss:
# [Fedus et al. 2021](https://arxiv.org/abs/2101.03961).

# %% [markdown]
# ## Further
#
# ### Nine tries each
#
# The tries of the first column were judged on a fifth of the training images that nobody trained on:
#
# - mixture and tree: three learning rates by three weights of their loss (the Switch loss; the hardening loss, on a ramp). The tree's
#   balance loss keeps a weight of 1.
# - the others, which have no such loss: nine learning rates.
#
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

# %% [markdown]
# ### “You're missing the point”
#
# A user of the authors' code was disappointed. In [issue 8](https://github.com/pbelcak/fastfeedforward/issues/8), a dense
# network with about as many parameters reads handwritten digits better, 97.9 % against 92.9 %, and faster, 196 iterations a second
# against 112: FFF “do not perform as well as baseline FFNs in any metric”. The author answers “you're missing the point”. In the
# grid, too, the tree loses to dense large, all of whose neurons answer. What it should win is time.
#
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
# Claim 13.5.
few, many = by_size[16], by_size[2048]
claim(
    "13.5",
    "For one token, the scores of 2,048 experts alone take more than 2.5 times as long as the whole "
    "answer of a compiled tree of as many leaves of 8 neurons",
    quantity="time (times as long)",
    measured=np.median(many["scores"] / many["tree, compiled"]),
    holds=in_the_median(above(2.5)),
    n_seeds=10,
    control=np.median(few["scores"] / few["tree, compiled"]),
    control_is="16 experts, and leaves of 128 neurons",
    timed=True,
)

# %% [markdown]
# On the slider, with plain code on both sides, the lead is small even at 2,048. Only a compiled tree of very many tiny leaves, beside a
# plain mixture, comes near to 6 times or passes it. Both compiled we have not compared.
#
# ### 512 tokens at once
#
# The grid's token comes alone. In a training step, or where many texts are read together, tokens come in batches.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: 512 tokens at once.
took[512] = {
    name: 1e3 * np.median(times) for name, times in answering(512, layers).items()
}
for name in (*COMPILED, "mixture"):
    plain, fast = (took[512][f"{name}{how}"] for how in both)
    print(f"{name:12}{plain:6.1f} ms plain{fast:6.1f} ms compiled")

# %% [markdown]
# ### Fifty times as fast, and 15 % slower
#
# In [issue 1](https://github.com/pbelcak/UltraFastBERT/issues/1) of UltraFastBERT somebody finds that the benchmark of a layer
# shows “a ~50x speedup”, and that the whole published model “performs maybe 15% more slowly” than a BERT of similar size. Both
# can be right. The benchmark asks only the nodes on the way. The published model's layer computes the scores of *all* nodes, as
# in training, and then multiplies those that are not on the way by 0. (And the benchmark calls its dense opponent *naive*: faster dense
# code would shrink the ratio.) We time both: a layer of BERT's width with 4,095 neurons, and a GPT
# of that width with one block.

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
    "Alone, and for one token, the path layer is more than 1.5 times as fast as a dense layer of "
    "its 4,095 neurons",
    quantity="speed (times as fast)",
    measured=np.median(layer_alone["dense"] / layer_alone["path"]),
    holds=in_the_median(above(1.5)),
    n_seeds=10,
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
    "Of layers in which 12 neurons answer, two trees of depth 6 get over 1.5 points more of digits4 "
    "right than twelve single nodes",
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
