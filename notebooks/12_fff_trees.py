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
# # 12 Fast feedforward trees
#
# 45 minutes. You leave able to weigh a tree's leaves, to find one with one question per level, to say what makes a tree decide, and to
# judge it fairly.
#
# A router compares a token with every expert. With a thousand experts that is a thousand comparisons. A **tree** asks one
# question, then another that depends on the answer, and after ten questions it has found one of a thousand leaves. In each
# leaf lives a small network.
#
# In 2023, Belcak and Wattenhofer built such a tree, the **fast feedforward network** (FFF for short), and reported it "up to 220x faster
# than feedforward networks". The post from which this course was made adds (S. Desai, 14 January 2024):
#
# > "Aims to replicate a balanced distribution of data among experts."
#
# You build the tree, and measure its balance and its speed on a small scale.

# %% tags=["setup"]
# Setup: what this lesson uses.
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import (
    FastFeedForward,
    hardening_loss,
    hardening_ramp,
    node_balance_loss,
)
from moe_tutorial.show import (
    Line,
    bars,
    curves,
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
    digits4,
    estimate,
    in_the_median,
    seeds,
    train,
)
from moe_tutorial.study.timing import beyond_cache, in_turn, time_side_by_side

torch.set_num_threads(1)  # small models are fastest on one thread

# %% [markdown]
# ## One node: a soft *if*
#
# Two small networks, $L$ and $R$, and one question: on which side of a plane does the token lie? A program would say *if
# right: R, else: L*. Such a jump has no slope to learn from. So let the answer be a number between 0 and 1: the sigmoid of how
# far the token lies to the right. And mix:
#
# $$\begin{aligned} p &= \sigma(w \cdot x + b) \\ y &= (1 - p)\, L(x) + p\, R(x) \end{aligned}$$
#
# Here the token is a single number, so the plane is a point, zero. The two networks are straight lines. From which steepness on would you
# call it an *if*?


# %% tags=["draw", "nbval-ignore-output"]
# A slider: one node, from a soft question to a steep one.
def text(x, y, words, color="text"):
    return f'<text x="{x:.1f}" y="{y}" font-size="11" text-anchor="middle" fill="var(--moe-{color})">{words}</text>'


def line(x, y, color, width):
    places = " ".join(
        f"{60 * a + 150:.1f},{90 - 38 * b:.1f}" for a, b in zip(x, y, strict=True)
    )
    return f'<polyline points="{places}" fill="none" stroke="var(--moe-{color})" stroke-width="{width}"/>'


def one_node(steepness):
    x = torch.linspace(-2.4, 2.4, 97)
    left, right = -0.6 * x - 0.8, 0.5 * x + 0.6
    p = (steepness * x).sigmoid()
    both = 100 * ((p > 0.05) & (p < 0.95)).float().mean()
    drawn = (
        '<path d="M150 8V165" stroke="var(--moe-muted)" stroke-dasharray="4"/>'
        + line(x, left, "e0", 2)
        + line(x, right, "e1", 2)
        + line(x, (1 - p) * left + p * right, "text", 3.5)
        + text(14, 58, "L", "e0")
        + text(286, 17, "R", "e1")
        + text(75, 178, "left of the plane", "muted")
        + text(225, 178, "right of it", "muted")
    )
    size = 'viewBox="0 0 300 182" style="width:100%;max-width:420px;display:block"'
    return (
        message(
            f"On {both:.0f} % of the axis both have a say",
            "Thick: the mixture. Dashed: the plane, where p is one half. To have a say: more than 5 %.",
        )
        + f'<svg {size} role="img" aria-label="The lines L and R, and their mixture">{drawn}</svg>'
    )


sweep(one_node, steepness=("Steepness w", [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0]))

# %% [markdown]
# ## From a node to a tree
#
# A steep sigmoid is nearly an *if*, and near the plane it still has a slope. Now let each of the two networks be such a mixture
# itself: that is the tree. A tree of depth $d$ has $2^d - 1$ nodes, and below them $2^d$ leaves. Node $n$ has the children $2n+1$ on
# the left and $2n+2$ on the right. Here $d = 3$:
#
# ```
# level 0                 0
# level 1         1               2
# level 2     3       4       5       6
# leaves    0   1   2   3   4   5   6   7
# ```
#
# How much does a leaf weigh in the mixture? A token comes to the root with a weight of 1. Each node divides what arrives at it
# between its two children.
#
# **Your turn.** Go down level by level. The nodes of level $l$ are the columns `2**l - 1 : 2 ** (l + 1) - 1` of `right`. A node's two
# children stand side by side, the left one first: `torch.stack([a, b], dim=-1).flatten(1)` puts column 0 of `b` right after column 0 of
# `a`, and so on.


# %% tags=["exercise"]
def leaf_weights(right, depth):
    """Each node's probability of going right (T, 2**depth - 1)
    -> the leaves' weights (T, 2**depth)."""
    weights = torch.ones(len(right), 1)  # what arrives at the root
    ### BEGIN SOLUTION
    for level in range(depth):
        p = right[:, 2**level - 1 : 2 ** (level + 1) - 1]
        weights = torch.stack([weights * (1 - p), weights * p], dim=-1).flatten(1)
    ### END SOLUTION
    return weights


# %%
leaf_weights = check("12.leaf_weights", leaf_weights)

# %% [markdown]
# With it the whole layer is three lines. Gradients flow through every step, so it trains as any network does. We check it against
# the package's layer with the same nodes and leaves:


# %%
def soft(tree, x):
    """All leaves answer, each as loudly as its weight: (T, d) -> (T, d_out)."""
    right = torch.sigmoid(x @ tree.node_weight.T + tree.node_bias)
    weights = leaf_weights(right, tree.depth)
    return torch.einsum("tl,tlo->to", weights, tree.leaves(x))


fresh, x = FastFeedForward(64, 10, depth=3, leaf_width=8), torch.randn(256, 64)
assert torch.allclose(soft(fresh, x), fresh(x)[0], atol=1e-5)
print("your soft tree and the package's say the same about", len(x), "tokens")

# %% [markdown]
# ## One leaf answers
#
# In use, a tree should be fast, so one leaf answers. At each node a token goes right if the logit $w \cdot x + b$ is 0 or more, and
# left if not. After $d$ questions it is at its leaf.
#
# **Your turn.** Write the descent. The leaves are numbered after the nodes: with 7 nodes, leaf 0 has number 7, and leaf 7 number 14.


# %% tags=["exercise"]
def descend(x, node_weight, node_bias, depth):
    """x (T, d), nodes (N, d) and (N,)
    -> the leaf at which each token ends, (T,).
    Right where its logit is 0 or more.
    Ask only the nodes on its way."""
    node = torch.zeros(len(x), dtype=torch.long)  # all begin at the root
    ### BEGIN SOLUTION
    for _ in range(depth):
        logit = (x * node_weight[node]).sum(-1) + node_bias[node]
        node = 2 * node + 1 + (logit >= 0)
    ### END SOLUTION
    return node - len(node_weight)  # the leaves' numbers follow the nodes'


# %%
descend = check("12.descend", descend)

# %%
leaf = descend(x, fresh.node_weight, fresh.node_bias, fresh.depth)
same = (leaf == fresh.eval()(x)[1].leaf).sum()
print(
    f"your descent and the package's end in the same leaf for {same} of {len(x)} tokens"
)

# %% [markdown]
# ## What does that cost?
#
# Ten trees of eight leaves with 8 neurons each learn `digits4` (digits in four rotations, each with a rule of its own) for 400 steps.
# The pixels are **centred**: each pixel's mean is subtracted.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "12.hard",
    "In training all eight leaves of a tree speak at once, each as loudly as its weight. Then we use it as a tree: one leaf "
    "for each image. How many points of accuracy does that cost?",
    slider=(0, 60, 1, "points"),
)

# %% tags=["measure"]
# Measured: ten trees learn digits4, all leaves speaking. Then each is asked twice.
raw = digits4("raw")
mean = raw.x_train.mean(0)
centred = raw._replace(x_train=raw.x_train - mean, x_test=raw.x_test - mean)
STEPS, EVERY = 400, 50


def asked(trained, data):
    """Per cent right with all leaves and with one, and each leaf's share, of each seed."""
    with torch.no_grad():
        all_leaves = trained(data.x_test)[0].argmax(-1)  # in train(): soft
    return {
        "soft": 100 * (all_leaves == data.y_test).float().mean(-1),
        "hard": 100 * trained.accuracy(data.x_test, data.y_test),
        "shares": trained.shares(data.x_test),
    }


def run(data, harden=0.0, balanced=None, depth=3, leaf=8, leak=0.0, way=None):
    """Train ten trees. harden: the weight of the hardening loss, a number or a function
    of the step. balanced: descent -> a loss that is added. way: a list for what they are asked on the way."""

    def penalty(descent, step):
        weight = harden(step) if callable(harden) else harden
        loss = weight * hardening_loss(descent)
        return loss + balanced(descent) if balanced else loss

    def note(step, trained):
        if way is not None and step % EVERY == 0:
            way.append(asked(trained, data))

    trained = train(
        lambda: FastFeedForward(64, 10, depth, leaf, region_leak=leak),
        data,
        seeds(10),
        steps=STEPS,
        penalty=penalty,
        on_step=note,
    )
    trained.model.region_leak = 0.0  # only while training
    return trained, asked(trained, data)


def dense_right(width, data):
    """Per cent right of ten dense networks with one hidden layer."""
    trained = train(
        lambda: nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)),
        data,
        seeds(10),
        steps=STEPS,
    )
    return 100 * float(trained.accuracy(data.x_test, data.y_test).mean())


unhardened = []
trees, plain = run(centred, way=unhardened)
dense_11, dense_64 = dense_right(11, centred), dense_right(64, centred)
tree = trees.one(0).eval()  # the first of the ten

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
lost = plain["soft"] - plain["hard"]
reveal(
    "12.hard",
    float(lost.mean()),
    says=f"With all leaves speaking {plain['soft'].mean():.0f} % are right, with one leaf {plain['hard'].mean():.0f} %. "
    + (
        "Where a node is undecided, the mixture uses both sides, and training has fitted the mixture. One leaf is only a part of it."
        if lost.mean() > 5
        else "So most decisions are clear, though nobody asked for it."
    ),
)

# %% [markdown]
# See it happen: a digit walks down the first of the ten trees, by your two functions. Each node shows the probability of going
# right. The grey streams show `leaf_weights`: the wider, the more of the token arrives. The dark line shows `descend`. Find a digit
# whose dark line does not end in the leaf with the largest weight.


# %% tags=["draw", "nbval-ignore-output"]
# A slider: digits walk down a trained tree.
def disc(x, y, r, fill):
    return f'<circle cx="{x:.1f}" cy="{y}" r="{r}" fill="var(--moe-{fill})" stroke="var(--moe-border)"/>'


def digit(image, x, y, scale):
    """The image as a tile in the middle of (x, y)."""
    ink = "".join(
        f'<rect x="{i % 8}" y="{i // 8}" width="1.02" height="1.02" opacity="{grey:.2f}"/>'
        for i, grey in enumerate(raw.x_test[image].tolist())
        if grey
    )
    tile = '<rect x="-.8" y="-.8" width="9.6" height="9.6" rx="1.6" fill="var(--moe-ground)" stroke="var(--moe-text)" stroke-width=".3"/>'
    corner = f"translate({x - 4 * scale:.1f} {y - 4 * scale:.1f}) scale({scale})"
    return f'<g transform="{corner}" fill="var(--moe-text)">{tile}{ink}</g>'


def way_down(image):
    x = centred.x_test[image : image + 1]
    with torch.no_grad():
        right = torch.sigmoid(x @ tree.node_weight.T + tree.node_bias)
    weights = leaf_weights(right, 3)[0].tolist()
    leaf = int(descend(x, tree.node_weight, tree.node_bias, 3))
    way = [leaf + 8 >> up for up in (3, 2, 1, 0)]  # the root is 1, the leaves 8 to 15
    arrives = [0.0] * 8 + weights
    for n in range(7, 0, -1):
        arrives[n] = arrives[2 * n] + arrives[2 * n + 1]
    places = {0: (172, 24)} | {
        n: (344 * (n + 0.5) / 2 ** (n.bit_length() - 1) - 344, 54 * n.bit_length() + 26)
        for n in range(1, 16)
    }
    streams, dark, marks = "", "", ""
    for n in range(1, 16):
        a, b = places[n]
        ends = "M{:.1f} {}L{:.1f} {}".format(*places[n // 2], a, b)
        wide = 1 + 17 * arrives[n]
        streams += f'<path d="{ends}" stroke-width="{wide:.1f}"/>'
        if n in way:
            dark += f'<path d="{ends}" stroke="var(--moe-text)" stroke-width="2.5"/>'
        if n < 8:
            marks += disc(a, b, 22, "ground")
            marks += text(a, b + 4, f"{100 * right[0, n - 1]:.0f} %")
        else:
            marks += disc(a, b, 20 if n in way else 15, f"e{n - 8}")
            marks += text(a, b + 4, n - 8, f"on{n - 8}")
            marks += text(a, b + 36, f"{100 * arrives[n]:.0f} %")
    marks += text(116, 96, "left", "muted") + text(230, 96, "right", "muted")
    a, b = places[leaf + 8]
    steps = "".join(
        f"{at}{{transform:translate({places[n][0] - a:.1f}px,{places[n][1] - b}px)}}"
        for at, n in zip(
            ("0%", "15%,25%", "45%,55%", "75%,85%", "to"), [0, *way], strict=True
        )
    )
    walk = f"<style>@media(prefers-reduced-motion:no-preference){{.walk{{animation:walk 4s}}}}@keyframes walk{{{steps}}}</style>"
    heaviest = max(range(8), key=weights.__getitem__)
    other = (
        "the largest"
        if heaviest == leaf
        else f"leaf {heaviest} has {100 * weights[heaviest]:.1f} %"
    )
    size = 'viewBox="0 0 344 284" style="width:100%;max-width:520px;display:block"'
    return message(
        f"Leaf {leaf} answers, with {100 * weights[leaf]:.1f} % of the weight: {other}",
        f"Below a leaf: its weight. In {100 * lighter:.0f} % of the images another leaf has more weight than the one that answers. "
        "At least eight of those are on the slider.",
    ) + (
        f'{walk}<svg {size} role="img" aria-label="A digit walks down a tree to leaf {leaf}">'
        f'<g stroke="var(--moe-border)" stroke-opacity=".4">{streams}</g>{dark}{marks}'
        f'{digit(image, 172, 24, 4.5)}<g class="walk">{digit(image, a, b, 2.6)}</g></svg>'
    )


with torch.no_grad():
    reached = tree.train()(centred.x_test)[1]
taken = reached.weights.gather(-1, reached.leaf[:, None])[:, 0]
odd = (reached.weights.amax(-1) - taken).topk(8).indices.tolist()
lighter = float((reached.weights.amax(-1) > taken + 1e-6).float().mean())
sweep(
    way_down,
    image=("Image", list(dict.fromkeys([0, 200, *odd, *range(400, 1800, 200)]))),
)

# %% [markdown]
# How can the descent miss that leaf? At each node it takes the heavier side. But the heavier side may spread its weight over
# several leaves, while the lighter side gives nearly all of its own to one.

# %% [markdown]
# ## Make it decide
#
# So far no tree was asked to decide. Now a node that says half and half has to pay for it. The **hardening loss**, after Belcak and
# Wattenhofer, is the mean entropy of the decisions, $-p \log p - (1 - p) \log(1 - p)$: 0 when all are clear, and $\log 2$ when all
# are half and half.
#
# **Your turn.** For $-\log p$ take `F.softplus(-logits)`, and for $-\log(1 - p)$ take `F.softplus(logits)`. They are the same numbers,
# and they stay finite for every logit.


# %% tags=["exercise"]
def hardening(logits):
    """logits (T, N) of going right -> mean entropy of the decisions, in nats."""
    p = logits.sigmoid()
    ### BEGIN SOLUTION
    return (p * F.softplus(-logits) + (1 - p) * F.softplus(logits)).mean()
    ### END SOLUTION


# %%
hardening = check("12.hardening", hardening)

# %% [markdown]
# The loss gets a **ramp**: its weight rises from 0 to 10 while the tree trains. The idea is to learn first and decide later.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "12.meet",
    f"Never hardened, all leaves together get {plain['soft'].mean():.0f} % right, and one leaf {plain['hard'].mean():.0f} %. "
    "Hardening nearly closes this gap. How?",
    choices=[
        "one leaf gets as good as all leaves were",
        "one leaf gets better, and all leaves together get worse",
        "all leaves together get as bad as one leaf was",
    ],
)


# %% tags=["measure"]
# Measured: ten trees that are hardened more and more.
def ramp(step):
    return hardening_ramp(step, start=0, end=STEPS, peak=10.0)


on_the_way = []
ramped = run(centred, ramp, way=on_the_way)[1]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
was, now = ([each[how].mean() for how in ("soft", "hard")] for each in (plain, ramped))
reveal(
    "12.meet",
    "all leaves together get as bad as one leaf was"
    if now[1] < was[1] + 2
    else "one leaf gets better, and all leaves together get worse"
    if now[0] < was[0] - 2
    else "one leaf gets as good as all leaves were",
    says=f"One leaf: {was[1]:.0f} % right without hardening, {now[1]:.0f} % with it. All leaves: {was[0]:.0f} % without, "
    f"{now[0]:.0f} % with. Judge a tree by what one leaf gets right, and never by how small the gap is.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: all leaves and one leaf, while the tree learns and the hardening rises.
at = list(range(EVERY, STEPS + 1, EVERY))


def rises(way, how, *style):
    return Line(at, [float(each[how].mean()) for each in way[1:]], *style)


curves(
    {
        "all leaves,\nnever hardened": rises(unhardened, "soft", ":", "muted"),
        "all leaves": rises(on_the_way, "soft", "-", "muted", "●"),
        "one leaf": rises(on_the_way, "hard", "-", "accent", "●"),
        "one leaf,\nnever hardened": rises(unhardened, "hard", ":", "accent"),
    },
    x="step",
    y="right, %",
    xticks=range(100, STEPS + 1, 100),
    title=f"Hardened while it learns: one leaf gets {now[1]:.0f} % right in the end, all leaves {now[0]:.0f} %",
    note=f"Means of ten trees, asked every {EVERY} steps. The dotted lines rise by learning alone.",
    height=380,
)

# %% tags=["measure", "12.hard"]
# Claim 12.1.
claim(
    "12.1",
    "Trained on digits4 with all leaves mixed and nothing else, a tree of depth 3 loses more than 10 points of accuracy when one "
    "leaf answers",
    quantity="accuracy lost (points)",
    measured=lost,
    holds=above(10),
    control=ramped["soft"] - ramped["hard"],
    control_is="trees hardened while they learned",
)

# %% [markdown]
# ## Does every leaf work?
#
# One leaf is better now. But are all eight used? *"Aims to replicate a balanced distribution of data among experts"*: each node has a
# left and a right, but does the data divide? A leaf that gets less than one image in a hundred counts as **dead**, and any other is
# **at work**. (Leaves at work may still get very different shares.)
#
# First we make it difficult on purpose: no ramp, but the full weight of 10 from the first step (in a **hurry**), and
# no centring, but raw pixels from 0 to 1.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "12.leaves",
    "Hardened in a hurry, on raw pixels: how many of the eight leaves are at work in the end, on average?",
    slider=(0, 8, 0.5, "of 8"),
)


# %% tags=["measure"]
# Measured: ten trees, hardened in a hurry on raw pixels.
def at_work(result):
    return float(8 - dead(result["shares"]).float().mean())


on_raw, hurried = run(raw, 10.0)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
one_for_all = int((hurried["shares"].amax(-1) > 0.99).sum())
roots = [on_raw.one(i).node_weight[0] > 0 for i in range(10)]
one_sign = sum(bool(up.all() or not up.any()) for up in roots)
reveal(
    "12.leaves",
    at_work(hurried),
    says=f"In {one_for_all} of 10 trees one leaf gets over 99 % of the images. "
    + (
        "To send everybody the same way is a clear decision, too. On raw pixels it is an easy one: they are never negative, so "
        f"weights of one sign push every image the same way. In {one_sign} of 10 trees all 64 weights of the root have one sign."
        if at_work(hurried) < 4
        else "Here the decisions divide the images."
    ),
)

# %% [markdown]
# ## Centring or balance
#
# Two things may help a tree that is hardened in a hurry:
#
# - **Centre the pixels**, as above. Then the images lie on all sides of zero.
# - **Ask for balance.** Let $m$ be the part of the whole batch at a node that goes right. The **node-balance loss** ${(2m - 1)^2}$
#   pulls it toward one half, as lesson 07 pulled the experts' shares. Hardening asks for clear decisions, balance for a divided crowd. Its
#   weight is 10 here, like that of the hardening loss. (In “Further” you can write it.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "12.cure",
    "Hardened in a hurry again, once with the pixels centred, and once on raw pixels with the balance loss. Which gets more leaves "
    "to work?",
    choices=["centring", "balance", "both alike, within one leaf"],
)


# %% tags=["measure"]
# Measured: ten trees for each cure.
def for_balance(descent, weight=10):
    return weight * node_balance_loss(descent)


on_centred, hurried_centred = run(centred, 10.0)
balanced = run(raw, 10.0, for_balance)[1]
balanced_centred = run(centred, 10.0, for_balance)[1]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
more = at_work(balanced) - at_work(hurried_centred)
alike = 1.0  # how often each node gives the root's answer, or else always its opposite
for one in (on_centred.one(i) for i in range(10)):
    answers = centred.x_test @ one.node_weight.T + one.node_bias >= 0
    agree = (answers == answers[:, :1]).float().mean(0)
    alike = min(alike, float(torch.maximum(agree, 1 - agree).min()))
reveal(
    "12.cure",
    "both alike, within one leaf"
    if abs(more) <= 1
    else "balance"
    if more > 0
    else "centring",
    says=f"With balance {at_work(balanced):.1f} of 8 leaves are at work, with centring {at_work(hurried_centred):.1f}. "
    "Balance asks each node to divide the images that reach it."
    + (
        "\n\nWhy two leaves with centring? Because all seven nodes ask the same question: in all ten trees, a node agrees with the root on "
        + (
            "every test image, or on none. "
            if alike == 1
            else "nearly all images, or on nearly none. "
        )
        + "So only the root divides the images, and each of its two answers leads to one leaf. Hardening asks for clear answers, not for new questions."
        if alike > 0.99
        else ""
    ),
)


# %% tags=["draw", "nbval-ignore-output", "12.leaves"]
# Drawn: where the images go in three of these trees.
cures = {"raw": hurried, "centred": hurried_centred, "raw, with balance": balanced}


def draw_tree(axes, theme, shares, title, size=130, shown=True):
    """The eight shares as streams, each as wide as its share."""
    arrives = [0.0] * 8 + (100 * shares).tolist()
    for n in range(7, 0, -1):
        arrives[n] = arrives[2 * n] + arrives[2 * n + 1]
    place = {0: (0.5, 1)}
    for n in range(1, 16):
        level, full = n.bit_length() - 1, arrives[n] >= 1
        place[n] = x, y = (n + 0.5) / 2**level - 1, -level
        color = look.color("muted" if full else "line", theme)
        style = {"lw": max(1, arrives[n] * size / 1040), "solid_capstyle": "round"}
        ends = zip(place[n // 2], place[n], strict=True)
        axes.plot(*ends, color=color, zorder=1 + full, **style)
        if n > 7:
            fill = look.expert_color(n - 8, theme) if full else "none"
            axes.scatter(x, y, size, fill, edgecolor=color, zorder=3, clip_on=False)
        if n > 7 and full and shown:
            axes.text(x, y - 0.3, f"{arrives[n]:.0f}", ha="center", va="top")
    axes.set_title(title, fontsize=11)
    axes.axis("off")


def streams(figure, theme):
    parts = figure.subplots(*((3, 1) if is_narrow(figure) else (1, 3)))
    for axes, (name, found) in zip(parts, cures.items(), strict=True):
        draw_tree(axes, theme, found["shares"][0], name)
        axes.set_ylim(-3.9, 1)


picture(
    streams,
    title=f"In a hurry, the raw tree uses {at_work(hurried):.0f} of 8 leaves, the centred one {at_work(hurried_centred):.0f}; with balance, "
    f"{at_work(balanced):.0f}",
    note="The first of the ten trees of each kind. A stream is as wide as its share of the images. Below a leaf: its share, in %.",
    alt="Shares of the leaves in %; "
    + "; ".join(
        f"{n}: {(100 * c['shares'][0]).int().tolist()}" for n, c in cures.items()
    ),
    height=230,
    narrow_height=580,
)

# %% tags=["measure", "12.leaves"]
# Claim 12.2.
claim(
    "12.2",
    "Hardened with a weight of 10 from the first step, a tree of depth 3 has over five of its eight leaves dead on average, on raw "
    "pixels and on centred ones",
    quantity="dead leaves, the fewer of raw and centred (of 8)",
    measured=torch.minimum(dead(hurried["shares"]), dead(hurried_centred["shares"])),
    holds=above(5),
    control=torch.maximum(dead(balanced["shares"]), dead(balanced_centred["shares"])),
    control_is="with a balance loss, the more of the two",
    refutes="A tree hardened with full weight gets to “a balanced distribution of data among experts” by itself",
)

# %% [markdown]
# ## What are working leaves worth?
#
# Leaves at work are not yet accuracy. So we train trees on centred pixels in nine ways: never hardened, hardened slowly (with the ramp)
# or in a hurry, and each of these with a balance loss of weight 0, 1 and 10. One leaf answers.
#
# Beside them stand two dense layers. One has the **training width**: as many neurons as all leaves, 64. The other has 11 neurons, and
# so it multiplies about as much as one leaf and its three questions: it has **equal cost** ($11 \cdot 74$ beside
# $3 \cdot 64 + 8 \cdot 74$).

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "12.best",
    f"Of trees that were never hardened, {at_work(plain):.1f} leaves are at work, and one leaf gets {plain['hard'].mean():.0f} % of the images right. Now we "
    "add the balance loss with a weight of 10, and still do not harden. How many does one leaf get right?",
    choices=["more", "about as many, within two points", "fewer"],
)

# %% tags=["measure"]
# Measured: nine ways to train, four of them from above.
WEIGHTS = (0, 1, 10)
ways = {"never hardened": 0.0, "slowly": ramp, "in a hurry": 10.0}
tried = {
    ("never hardened", 0): plain,
    ("slowly", 0): ramped,
    ("in a hurry", 0): hurried_centred,
    ("in a hurry", 10): balanced_centred,
}
for way, weight in ((way, weight) for way in ways for weight in WEIGHTS):
    if (way, weight) not in tried:
        push = partial(for_balance, weight=weight)
        tried[way, weight] = run(centred, ways[way], push)[1]
leaves = {each: at_work(found) for each, found in tried.items()}
right = {each: float(found["hard"].mean()) for each, found in tried.items()}
best = tried[max(right, key=right.get)]["hard"]
tied = [each for each in tried if estimate(best - tried[each]["hard"]).low <= 0]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
gained = right["never hardened", 10] - right["never hardened", 0]
strong, weak = tried["slowly", 10], tried["slowly", 1]
gap = estimate((strong["soft"] - strong["hard"]) - (weak["soft"] - weak["hard"]))
later = estimate(weak["hard"] - balanced_centred["hard"])
reveal(
    "12.best",
    "about as many, within two points"
    if abs(gained) <= 2
    else "more"
    if gained > 0
    else "fewer",
    says=f"One leaf gets {right['never hardened', 10]:.0f} % right, with {leaves['never hardened', 10]:.1f} leaves at work. Hardened in a hurry, "
    f"{leaves['in a hurry', 0]:.1f} leaves get {right['in a hurry', 0]:.0f} %. "
    + (
        "So leaves at work are no goal by themselves."
        if right["never hardened", 10] < right["in a hurry", 0]
        else ""
    )
    + "\n\nTogether with hardening it helps, if its weight fits that of the hardening loss.\n\n"
    + (
        f"In a hurry, 1 is too light: {leaves['in a hurry', 1]:.1f} leaves are at work. "
        if leaves["in a hurry", 1] < 4
        else ""
    )
    + (
        f"Slowly, 10 is too heavy: all leaves get {strong['soft'].mean():.0f} % right and one leaf {strong['hard'].mean():.0f} %, so the trees have not quite decided. "
        f"(With 1 it is {weak['soft'].mean():.0f} and {weak['hard'].mean():.0f} %.)"
        if gap.low > 0
        else ""
    )
    + f"\n\nWith weights that fit, slowly hardened trees get {weak['hard'].mean():.0f} % right, and hurried ones {balanced_centred['hard'].mean():.0f} %"
    + (
        ": beside balance, ten trees show no use of the ramp."
        if later.low <= 0 <= later.high
        else "."
    )
    + f"\n\nWithout balance, slow hardening took all leaves together from {was[0]:.0f} to {now[0]:.0f} %, with {leaves['slowly', 0]:.1f} leaves at work. With "
    f"{leaves['slowly', 1]:.0f} at work they get {weak['soft'].mean():.0f} %: most of that fall came with the leaves that died."
    * bool(plain["soft"].mean() - weak["soft"].mean() < 2),
)


# %% tags=["draw", "nbval-ignore-output", "12.leaves", "12.cure"]
# Drawn: a tree of each way to train, and how many images one leaf gets right.
def each_way(figure, theme):
    parts = figure.subplots(3, 3)
    for row, way in zip(parts, ways, strict=True):
        for axes, weight in zip(row, WEIGHTS, strict=True):
            shares = tried[way, weight]["shares"][0]
            title = f"{right[way, weight]:.0f} %"
            draw_tree(axes, theme, shares, title, size=30, shown=False)
            axes.set_ylim(-3.4, 1)
            if (way, weight) in tied:
                axes.title.set(color=look.color("accent", theme), weight="bold")
        put = {"transform": row[0].transAxes, "va": "center", "rotation": 90}
        words = way.replace(" hardened", "\nhardened")
        row[0].text(-0.1, 0.5, words, ha="right", ma="center", **put)
    for axes, weight in zip(parts[0], WEIGHTS, strict=True):
        words = f"balance {weight}" if weight else "no balance"
        axes.text(0.5, 1.45, words, transform=axes.transAxes, ha="center")


picture(
    each_way,
    title=(
        "Hardening costs leaves, and balance keeps them; "
        if leaves["in a hurry", 0] < leaves["never hardened", 0] - 1
        and leaves["in a hurry", 10] > 7
        else ""
    )
    + f"the best trees get {best.mean():.0f} % right, a dense layer of equal cost {dense_11:.0f} %, one of the training width {dense_64:.0f} %",
    note="The first tree of each kind, and how many images one leaf gets right (means of ten). Coloured: the best, and what ten trees cannot tell from it.",
    alt="; ".join(
        f"{way}, balance {weight}: {right[way, weight]:.0f} % right, {leaves[way, weight]:.1f} leaves at work"
        for way, weight in tried
    ),
    height=400,
    narrow_height=400,
)

# %% [markdown]
# ## Log time
#
# Now what the tree is made for: speed. With each level the neurons double, and a token is asked only one question more: the number of
# questions grows like the logarithm of the number of leaves. The authors compare with two dense layers: one of the training width,
# and one of the **inference width**, as wide as one leaf.
#
# Before the clock, we count the multiplications for one token of 768 numbers, with leaves of 32 neurons. Make the tree deeper.


# %% tags=["draw", "nbval-ignore-output"]
# A slider: multiplications for one token, counted.
D, LEAF, DEPTHS = 768, 32, (2, 5, 9)


def counted(depth):
    by_narrow = 2 * D * LEAF
    by_tree, by_wide = by_narrow + depth * D, 2**depth * by_narrow
    rows = {
        "dense, inference width": by_narrow,
        "the tree": by_tree,
        "dense, training width": by_wide,
        "the tree in training": by_wide + (2**depth - 1) * D,
    }
    return message(
        f"{2**depth * LEAF:,} neurons: to use them all takes {by_wide / by_tree:.0f} times the tree's multiplications",
        f"{2**depth} leaves. The tree, {depth} questions and one leaf, costs as much as a dense layer of {by_tree // (2 * D)} neurons. "
        "In training it computes all leaves and all questions.",
    ) + bars(rows, "multiplications", strong=["the tree"])


sweep(counted, depth=("Depth", [2, 3, 5, 7, 9]))

# %% [markdown]
# Now the clock: all layers in plain PyTorch, on one thread, and a new token at each call. We time many copies of each layer in turn, so
# that each call reads its weights from main memory, not from the cache.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "12.fast",
    "At 16,384 neurons the dense layer of the training width multiplies over 400 times as much as the tree. How many times as "
    "fast is the tree on this machine, in plain PyTorch?",
    slider=(0, 450, 5, "times"),
)

# %% tags=["measure"]
# Measured: one token, in turn.
torch.manual_seed(seeds(1)[0])
tokens = torch.randn(256, D).split(1)


def dense(width):
    return nn.Sequential(nn.Linear(D, width), nn.ReLU(), nn.Linear(width, D))


def tree_way(tree, x):
    """One token's way down, and what its leaf says."""
    node = 0
    for _ in range(tree.depth):
        right = x @ tree.node_weight[node] + tree.node_bias[node] >= 0
        node = 2 * node + 1 + int(right)
    leaf = node - len(tree.node_weight)
    hidden = F.linear(x, tree.leaves.w_in[leaf], tree.leaves.b_in[leaf]).relu()
    return hidden @ tree.leaves.w_out[leaf] + tree.leaves.b_out[leaf]


kinds = {"narrow": beyond_cache(lambda: dense(LEAF))}
for depth in DEPTHS:
    built = beyond_cache(lambda depth=depth: FastFeedForward(D, D, depth, LEAF))
    kinds[f"tree {depth}"] = [partial(tree_way, layer) for layer in built]
    kinds[f"dense {depth}"] = beyond_cache(lambda depth=depth: dense(LEAF * 2**depth))
kinds["compiled"] = [layer.eval() for layer in built]
with torch.inference_mode():
    last = built[0].eval()
    assert torch.allclose(tree_way(last, tokens[0]), last(tokens[0])[0], atol=1e-4)
    calls = {name: in_turn(layers, tokens) for name, layers in kinds.items()}
    found = time_side_by_side(calls)
took = {name: 1e6 * times for name, times in found.items()}  # microseconds
middle = {name: float(np.median(times)) for name, times in took.items()}
faster = middle["dense 9"] / middle["tree 9"]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "12.fast",
    faster,
    says=f"For one token the tree takes {middle['tree 9']:,.0f} microseconds, the dense layer of the training width "
    f"{middle['dense 9']:,.0f}, and the one of the inference width {middle['narrow']:,.0f}. "
    + (
        "The tree is slower than its multiplications say, for each of its nine questions is several calls of PyTorch. Compiled into one "
        f"program, it takes {middle['compiled']:,.0f} microseconds. (Lesson 13 compiles dense layers, too.)"
        if 1.5 * middle["compiled"] < middle["tree 9"]
        else ""
    )
    + "\n\n“Up to 220x” was measured on other machines and other layers, so this does not refute it.",
)

# %% tags=["measure"]
# Claim 12.3.
claim(
    "12.3",
    "For one token, a tree of 16,384 neurons is more than 5 times as fast as a dense layer of its training width, "
    "both in plain PyTorch",
    quantity="speed (times as fast)",
    measured=took["dense 9"] / took["tree 9"],
    holds=in_the_median(above(5)),
    control=took["narrow"] / took["tree 9"],
    control_is="the tree against a dense layer of its inference width",
    timed=True,
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: one token's time, by the number of neurons.
widths = [LEAF * 2**depth for depth in DEPTHS]
dense_times, tree_times = (
    [middle[f"{kind} {d}"] for d in DEPTHS] for kind in ("dense", "tree")
)
curves(
    {
        "dense,\ntraining width": Line(widths, dense_times, "--", "muted", "●"),
        "the tree": Line(widths, tree_times, color="accent", marker="●"),
        "dense,\ninference width": Line(widths, [middle["narrow"]] * 3, ":", "muted"),
    },
    x="neurons of all leaves",
    y="microseconds a token",
    log="xy",
    xticks=widths,
    yticks=[100, 1000, 10000],
    title=f"From 128 to 16,384 neurons the dense layer takes {dense_times[-1] / dense_times[0]:.0f} times as long, the "
    f"tree {tree_times[-1] / tree_times[0]:.1f} times",
    note="One token, measured here on one thread, all in plain PyTorch.",
    height=330,
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("12")

# %% [markdown]
# ## Try it
#
# Train a tree in the page. Its points lie away from the origin, as raw pixels do. Press play: how many leaves work? Pull at
# *Node-balance loss*. Then tick *Centred input*, set the balance to 1, and reset.

# %% tags=["playground", "nbval-ignore-output"]
playground(preset="one")

# %% [markdown]
# 1. **A bug to find.** In evaluation, the published code computes a leaf as `hidden @ w_out`, without the leaf's bias
#    `b_out`; in training it has it. Find the smallest tree on which all leaves and one leaf *must* agree, and make a test of it.
# 2. **Beat the best.** `mine = run(centred, 10.0, partial(for_balance, weight=3))[1]` hardens with a weight of 10 from the first step,
#    and balances with 3. Look at `mine["hard"].mean()` and `at_work(mine)`. Then choose other weights.
#
# ## Recap
#
# - A node is a soft *if*, and a tree is a soft *if* whose branches are soft *ifs*. A leaf's weight is the product of the
#   probabilities along its way.
# - Training fits the mixture, and one leaf is another function. Hardening lifts what one leaf gets right. Where leaves die, it also
#   lowers what all leaves get. Judge a tree by one leaf, beside a dense layer of equal cost.
# - *A balanced distribution of data?* Within 400 steps, trees hardened with a weight of 10 did not get there by themselves. With a balance
#   loss of a fitting weight they were the best trees: better than the dense layer of equal cost, and worse than the one of the training
#   width.
# - *Up to 220x faster?* The tree was many times as fast as a dense layer of the training width, and in plain PyTorch it was slower than
#   one of the inference width. And in training all leaves are computed.
#
# **Sources.** The tree, its hardening loss and "up to 220x": [Belcak and Wattenhofer 2023](https://arxiv.org/abs/2308.14711); region leak
# and the bug: their code, [fastfeedforward](https://pypi.org/project/fastfeedforward/). Their next paper,
# [UltraFastBERT](https://arxiv.org/abs/2311.10770), calls another kind of tree FFF, too. It has no leaves, and lesson 13 builds it.
# ([Sedghi et al. 2026](https://arxiv.org/abs/2604.08565) trained that kind beyond a billion parameters.) *Hierarchical mixtures of
# experts*, with soft trees: [Jordan and Jacobs 1994](https://doi.org/10.1162/neco.1994.6.2.181). Balance for fast feedforward trees:
# [Charalampopoulos et al. 2024](https://arxiv.org/abs/2405.16836); ours is written after
# [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538), and not compared with theirs. The sentence on balance: S. Desai,
# *Mixture of Experts (MoE)*, a blog post of 14 January 2024.

# %% [markdown]
# ## Further
#
# ### Write the balance loss
#
# **Your turn, if you like.** The leaves' weights are enough: what arrives at a node is the sum of what arrives at its leaves.


# %% tags=["exercise", "optional"]
def balance(weights, depth):
    """The leaves' weights (T, 2**depth)
    -> the mean of (2 m - 1)**2 over all nodes, m being
    the part of what arrives at a node that goes right."""
    load = weights.mean(0)  # what arrives at each leaf
    uneven = []  # (2 m - 1)**2 of each level's nodes
    ### BEGIN SOLUTION
    for _ in range(depth):
        left, right = load.view(-1, 2).T
        uneven.append(((right - left) / (right + left)) ** 2)
        load = left + right
    return torch.cat(uneven).mean()
    ### END SOLUTION


# %%
balance = check("12.balance", balance)

# %% [markdown]
# ### Raw pixels
#
# What is centring worth? Four of these ways to train, on raw pixels:

# %% tags=["measure"]
# Measured: the ways to train on raw pixels.
raw_ways = {
    ("never hardened", 0): run(raw)[1],
    ("slowly", 0): run(raw, ramp)[1],
    ("in a hurry", 0): hurried,
    ("in a hurry", 10): balanced,
}
gains = [right[each] - float(found["hard"].mean()) for each, found in raw_ways.items()]

# %% tags=["draw", "nbval-ignore-output", "12.leaves", "12.cure", "12.best"]
# A table: images right, on raw pixels and on centred ones.
table(
    ["images right, %", "raw", "centred"],
    {
        f"{way}, balanced (10)" if weight else way: [
            f"{found['hard'].mean():.0f}",
            f"{right[way, weight]:.0f}",
        ]
        for (way, weight), found in raw_ways.items()
    },
    title=f"Centring brings a tree {min(gains):.0f} to {max(gains):.0f} points of accuracy"
    if min(gains) > 0
    else "Images right, on raw pixels and on centred ones",
    note="Means of ten. Trees answer with one leaf.",
)

# %% [markdown]
# ### What region leak is for
#
# A deep tree cuts its data into small pieces (**fragmentation**): once its decisions are clear, each leaf learns almost only from the
# few images that reach it. Against this, Belcak and Wattenhofer turn some decisions round at random in training, so that now and then a leaf gets
# a neighbour's image (**region leak**, 5 % of the decisions here). Does it help where leaves are many, and images few? (These trees
# are hardened slowly, and balanced with a weight of 1.)

# %% tags=["measure"]
# Claim 12.4.
images = len(centred.x_train) // 4
few = torch.arange(len(centred.x_train)) % images < 170  # of each rotation
scarce = centred._replace(x_train=centred.x_train[few], y_train=centred.y_train[few])


def gained(depth):
    """Points of accuracy with one leaf that region leak brings, one number a seed."""
    without, leaky = (
        run(scarce, ramp, node_balance_loss, depth, leaf=4, leak=leak)[1]["hard"]
        for leak in (0.0, 0.05)
    )
    return leaky - without


claim(
    "12.4",
    "Where 32 leaves of 4 neurons learn from 680 images, region leak makes the tree more accurate by more than 4 points",
    quantity="accuracy gained (points)",
    measured=gained(5),
    holds=above(4),
    control=gained(2),
    control_is="4 leaves for the same images",
)

# %% [markdown]
# The control has fewer leaves, but also more images for each. So this does not tell which of the two matters.
