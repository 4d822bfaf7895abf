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
# # A GPT with experts
#
# 45 minutes. You leave able to swap a GPT's feed-forward for experts, train it to predict the next character, and test
# whether it looks ahead; to say by which count experts win; and to read who handles what.
#
# Until now a mixture was a layer that classified digits. In practice it sits in a language model: each block of a GPT
# has a feed-forward network, and a mixture takes its place. Nothing else changes.

# %% tags=["setup"]
# Setup: what this lesson uses.
import math
from copy import deepcopy

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import GPT, ExpertChoiceRouter, GPTConfig, switch_loss
from moe_tutorial.show import (
    Line,
    beside,
    draw_curves,
    expert_bars,
    interval_chart,
    is_narrow,
    live_gpt,
    look,
    message,
    picture,
    sweep,
    table,
    who_answers,
)
from moe_tutorial.study import (
    CHARACTER_CLASSES,
    CHARACTERS,
    above,
    below,
    character_class,
    claim,
    decode,
    encode,
    estimate,
    loss_by_domain,
    missed,
    progress,
    route_text,
    seeds,
    share,
    texts,
    train_gpt,
    windows,
)
from moe_tutorial.study.systems import comparison

torch.set_num_threads(1)  # small models are fastest on one thread
E, STEPS, seed = 8, 600, seeds(1)[0]

# %% [markdown]
# Here is one. It reads character by character and guesses the next, and each of its two blocks asks one of eight experts for
# each character. (A layer, below, is a block.) In JupyterLab it learns on your machine, while the next cell runs. Then type
# into it, and switch off an expert.

# %% tags=["measure"]
# Train a GPT with experts, in a quarter of a minute or a little more.
data = texts()  # a text of your own joins in: texts(own={"mine": "my_text.txt"})
moe_config = GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128, n_experts=E)


def trained(name, config):
    """A new GPT that learns from `data`, and its test loss on the way."""
    torch.manual_seed(seed)
    model = GPT(config)
    run = train_gpt(model, data, seed=seed, steps=STEPS, every=50)
    *_, last = progress(run, STEPS // 50 + 1, name)
    return model, last.loss


gpt, gpt_loss = trained("experts", moe_config)

# %% tags=["draw", "nbval-ignore-output"]
# The GPT, to type into.
sentence = "The 12 monkeys ate 7*8=56 bananas, def f(x):"
live_gpt(
    gpt,
    sentence,
    title="A GPT with experts, trained for this lesson",
)

# %% [markdown]
# Experts can only divide what is divisible. So it has learned from three kinds of text: **prose** from Python's own manual,
# **code** from its standard library, and **arithmetic** that we generate. All of it is on your machine already. A token is
# one character; there are 96 different ones.

# %% tags=["measure", "nbval-ignore-output"]
# A line of each kind.
for name, stream in zip(data.names, data.test, strict=True):
    print(f"{name:11}", max(decode(stream[:600]).splitlines()[1:-1], key=len)[:70])

# %% [markdown]
# ## Who looks at whom
#
# A block has two halves. The first is **attention**, in which each position gathers from those before it. A position asks a
# *query*; each position up to it, itself too, holds out a *key* and a *value*. The softmax of the query's products with the
# keys says how much of each value it takes. Four such *heads* work side by side.
#
# Here is one head of the GPT above. Each row is a character that reads; the more a square stands out, the more it takes
# from the character above.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the attention weights of one head in the first block.
line = "for i in range(12):"
first = gpt.blocks[0]
later = torch.ones(len(line), len(line)).triu(1).bool()
with torch.no_grad():
    x = first.attention_norm(gpt.token(encode(line)) + gpt.position.weight[: len(line)])
    q, k, _ = first.attention.query_key_value(x).unflatten(-1, (3, 4, -1)).unbind(1)
    products = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
    reads = products.masked_fill(later, -torch.inf).softmax(-1)
from_before = reads.diagonal(-1, 1, 2).mean(1)  # of each head
head = int(from_before.argmax())


def triangle(figure, theme):
    axes = figure.add_subplot()
    colors = [look.color(name, theme) for name in ("sunken", "text")]
    ink = LinearSegmentedColormap.from_list("ink", colors)
    axes.imshow(reads[head].masked_fill(later, torch.nan), cmap=ink, vmin=0, vmax=1)
    marks = line.replace(" ", "·")
    axes.set_xticks(range(len(line)), marks)
    axes.set_yticks(range(len(line)), marks)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


picture(
    triangle,
    title=f"{from_before[head]:.0%} comes from the character before, and nothing from a later one",
    note=(
        f"Head {head + 1} of the first block, of four the one that reads most from the "
        "character before; · is a space. A row adds up to 1."
    ),
    alt="A triangle of squares, a row for each character. In most rows the square left of the "
    f"diagonal stands out most, with {from_before[head]:.0%} on average.",
    height=330,
)

# %% [markdown]
# Above the diagonal nothing is drawn: what comes later is hidden. A model that writes keeps the keys and values of what came
# before, in a **key-value cache**.
#
# ## The swap
#
# The second half of a block is the **feed-forward**. It works on each position alone: a vector goes in, and a vector comes
# out. That is exactly what a mixture does, so it can take the feed-forward's place.
#
# Two things belong to each half. A *norm* in front brings the vectors to a common scale. And what the half says is *added* to
# `x`. This is the **residual**: a half changes what is there, it does not replace it.
#
# **Your turn.** The first half stands there. Write the second, with the mixture, in two lines. `moe(...)` returns what the
# experts say, and a `Routing`.


# %% tags=["exercise"]
def block(x, norms, attend, moe):
    """x (B, T, d) -> x after both halves of the block (B, T, d), and the routing."""
    x = x + attend(norms[0](x))
    ### BEGIN SOLUTION
    y, routing = moe(norms[1](x))
    return x + y, routing
    ### END SOLUTION


# %%
block = check("08.block", block)

# %% [markdown]
# Your block now runs the GPT from above, which writes what it finds likeliest, one character after the other.


# %%
@torch.no_grad()
def scores(text):
    """The scores of the next character, from the trained parts, joined by your block."""
    x = gpt.token(encode(text)) + gpt.position.weight[: len(text)]
    x = x[None]
    for part in gpt.blocks:
        norms = part.attention_norm, part.feed_forward_norm
        x, _ = block(x, norms, part.attention, part.feed_forward)
    return gpt.head(gpt.norm(x))[0, -1]


# %% tags=["measure", "nbval-ignore-output"]
# Measured: it goes on with four beginnings.
for text in ("The value of ", "def get_", "12*11=", "if not "):
    for _ in range(40):
        text += decode(scores(text).argmax()[None])
    print(repr(text))

# %% [markdown]
# It knows what prose, code and sums look like. Does it know what they mean? Check its sums.
#
# ## What it learns from
#
# A text is question and answer at once: at each character, the answer is the one that comes next. The loss is the mean
# cross-entropy, in **nats**. A loss of $L$ means: the right character got, typically, a probability of $e^{-L}$.
#
# The penalty of lesson 07 is added: `switch_loss(routing)`. Each block has a router of its own, so each has a Switch loss of
# its own, and a coefficient `c` multiplies their sum.
#
# **Your turn.** Two lines. `model(inputs, targets)` returns three things: the scores, the mean cross-entropy, and a list with
# the `Routing` of each block.


# %% tags=["exercise"]
def lm_loss(model, tokens, c):
    """tokens (B, T + 1) -> mean cross-entropy, plus c times the Switch losses."""
    ### BEGIN SOLUTION
    _, loss, records = model(tokens[:, :-1], tokens[:, 1:])
    return loss + c * sum(switch_loss(routing) for routing in records)
    ### END SOLUTION


# %%
lm_loss = check("08.lm_loss", lm_loss)

# %% [markdown]
# Your loss at work, on a new GPT: pieces of 65 characters, of which it reads 64 and predicts 64.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(seed)
yours = GPT(moe_config)
optimizer = torch.optim.AdamW(yours.parameters(), lr=3e-3)
pieces = torch.Generator().manual_seed(seed)
for step in range(101):
    inputs, targets, _ = windows(data.train, 16, 64, pieces)
    loss = lm_loss(yours, torch.cat([inputs, targets[:, -1:]], dim=1), c=0.01)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step:3}: {loss.item():.2f}, with the penalties")
print(
    f"the GPT at the top, after {STEPS} steps: {gpt_loss.mean():.2f} on test text, without penalties"
)

# %% [markdown]
# ## Does it look ahead?
#
# What a model is to predict, it must not see. Attention hides what comes later. But routing could give it away.
#
# **Your turn.** A test that finds out, in two lines. Make a second text: the first `t` characters are the same, each of the
# others is replaced by another one. If the scores of the first `t` change, the model has looked ahead.
#
# Scores are `model(tokens)[0]`. The next number, modulo `n`, is another character. And `torch.allclose` with `atol=1e-5` lets
# rounding pass.


# %% tags=["exercise"]
def peeks(model, tokens, t):
    """tokens (1, T) -> True if the first t scores depend on later characters."""
    n = model.config.vocab_size
    ### BEGIN SOLUTION
    new = torch.cat([tokens[:, :t], (tokens[:, t:] + 1) % n], dim=1)
    return not torch.allclose(model(new)[0][:, :t], model(tokens)[0][:, :t], atol=1e-5)
    ### END SOLUTION


# %%
peeks = check("08.peeks", peeks)

# %% [markdown]
# Your test asks two GPTs, at every place of a text: the one from above, and a new one with lesson 07's routers, in which each
# expert chooses its tokens.

# %% tags=["measure"]
# Measured: how often two GPTs look ahead.
torch.manual_seed(seed)
choosing = GPT(moe_config)
for part in choosing.blocks:
    part.feed_forward.router = ExpertChoiceRouter(64, E, 1)
text = data.test[:1, :64]
for name, model in {"tokens choose": gpt, "experts choose": choosing}.items():
    with torch.no_grad():
        places = sum(peeks(model, text, t) for t in range(1, 64))
    print(f"{name:14} looks ahead at {places:2} of 63 places")

# %% [markdown]
# An expert that picks the best of *all* characters has read the future. So expert choice, with its perfect balance, is not for
# a model that writes.
#
# ## Who learned?
#
# The mixture asks one expert of 128 neurons for each character. Its router computes eight logits, each from 64 numbers. A
# neuron has 64 weights in and 64 out, so the router costs as much as four more. A **fair opponent** has one feed-forward of 132
# neurons. A second one, **large**, is dense too, and has as many parameters as the mixture in all.

# %% tags=["setup"]
# Setup: ten seeds of each GPT, trained once for this lesson.
long = comparison.results()
if long is None:  # MOE_SEED names other seeds, and nobody has trained them yet
    print(f"Results of these seeds are missing: {comparison.command(seed)} makes them.")
    print("What follows shows the course's own seeds, and judges no claim by them.")
    long = comparison.results(first=0)

    def claim(*_, **__):
        """Results of other seeds judge nothing."""


ahead = {  # nats, one number a seed
    kind: comparison.lead(long, kind, "dense", "steps")
    for kind in ("large", "experts", "frozen", "table", "dice")
}


def better(lead, other):
    """The choice that is right at this mean lead of the experts."""
    if abs(lead) < 0.03:
        return "they are equal, within 0.03 nats"
    return "the one with experts" if lead > 0 else other


def stands(other, count):
    """How the experts stand at the end, where the 95 % interval is sure."""
    lead = estimate(comparison.lead(long, "experts", other, count))
    return "ahead" if lead.low > 0 else "behind" if lead.high < 0 else "level"


# %% tags=["draw", "nbval-ignore-output"]
# A table of what the three cost.
costs = {kind: long["kinds"][kind] for kind in ("dense", "large", "experts")}
table(
    ["", "parameters", "multiplications"],
    {
        kind: [f"{cost[what]:,}" for what in ("parameters", "multiplications")]
        for kind, cost in costs.items()
    },
    title=f"With {costs['experts']['parameters'] / costs['dense']['parameters']:.1f} times the parameters, the "
    "experts multiply as often as the dense one",
    note="Multiplications: of the forward pass, for a character.",
)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "08.steps",
    "Two small GPTs do equally many multiplications for a character. One has a dense "
    "feed-forward, the other eight experts of about that size and picks one. Which "
    "predicts better after the same number of training steps?",
    choices=[
        "the one with experts",
        "the dense one",
        "they are equal, within 0.03 nats",
    ],
)

# %% tags=["measure"]
# Train the dense GPT, on the same pieces of text.
dense, dense_loss = trained("dense", comparison.DENSE)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
mean_lead = ahead["experts"].mean()
reveal(
    "08.steps",
    better(mean_lead, "the dense one"),
    says=f"After {comparison.STEPS['experts']} steps, in the mean of ten seeds, the experts' test loss is {abs(mean_lead):.2f} nats "
    + ("lower" if mean_lead > 0 else "higher")
    + " than the dense one's. So equally many multiplications "
    + ("predict better" if mean_lead >= 0.03 else "predict no better")
    + " with experts to choose from. What the choice has to do with it comes next.",
)

# %% tags=["draw", "nbval-ignore-output"]
# A table of the two test losses.
lead = float(dense_loss.mean() - gpt_loss.mean())
table(
    ["nats", *data.names, "mean"],
    {
        "nothing learned": [f"{np.log(len(CHARACTERS)):.2f}"] * (len(data.names) + 1),
        **{
            name: [f"{loss:.2f}" for loss in [*losses, losses.mean()]]
            for name, losses in {"dense": dense_loss, "experts": gpt_loss}.items()
        },
    },
    title=f"After {STEPS} steps the "
    f"{'experts are' if lead > 0 else 'dense model is'} ahead by {abs(lead):.2f} nats",
    note="Test loss, nats a character: lower is better. One run of each.",
)

# %% [markdown]
# One run of each says little, so a program trained six GPTs over ten seeds: these two, *large*, and three with the same experts, where
# something else chooses them. Each is compared with the dense one after 500 steps; *large* after 400, where its training ends.
#
# - **frozen**: a router that stays as it was drawn, while all else learns;
# - **table**: a table, drawn once, says who takes an `a`, who a `b`, who a `c`;
# - **dice**: a die, thrown anew for each character.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: how far each is ahead of the dense GPT, ten seeds.
order = sorted(ahead, key=lambda kind: -ahead[kind].mean())
interval_chart(
    {kind: ahead[kind] for kind in order},
    title="After equally many steps, ahead of the dense GPT: "
    + ", ".join(kind for kind in order if estimate(ahead[kind]).low > 0),
    note=(
        "Lead in test loss over ten seeds. Ticks: seeds. Points: means with 95 % intervals. "
        f"After {comparison.STEPS['experts']} steps, the large one's after {comparison.STEPS['large']}."
    ),
    controls=["frozen", "dice"],
    unit="nats a character ahead of dense",
    zero=0,
)

# %% tags=["measure"]
# Claim 08.1.
claim(
    "08.1",
    "After 500 equal steps, the GPT with experts predicts better than the dense one "
    "by more than 0.03 nats",
    quantity="lead in test loss (nats)",
    measured=ahead["experts"],
    holds=above(0.03),
    control=ahead["frozen"],
    control_is="the same, and the router is frozen",
)

# %% [markdown]
# More experts alone do not help: chosen by dice, they are far behind. And where the router is frozen, little or nothing is
# left of the lead. So it takes a router that learns? The table has learned nothing either:

# %% tags=["measure"]
# Claim 08.2.
claim(
    "08.2",
    "A fixed table from character to expert predicts better than the router that "
    "learns",
    quantity="lead in test loss (nats)",
    measured=comparison.lead(long, "table", "experts", "steps"),
    holds=above(0),
    control=comparison.lead(long, "frozen", "experts", "steps"),
    control_is="a frozen router, which has learned nothing either",
)

# %% [markdown]
# How we read this: an expert gets better if it meets the same kind of character again and again. The table grants it that
# from the first step. A router reads vectors that change while the GPT learns. One that learns can follow them; where it is
# frozen, only the vectors can adapt. (The table's choice counts with weight 1, a router's with its probability, and only routers
# feel the Switch loss. How much that adds is open.)

# %% [markdown]
# ## On which count?
#
# Equal steps are one way to count. Multiplications, seconds and bytes are others.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "08.large",
    "The large dense GPT has as many parameters as the one with experts, and uses them "
    "all for every character. Both are trained with equally many multiplications, so "
    "that the large one takes fewer steps. Which predicts better?",
    choices=[
        "the one with experts",
        "the large dense one",
        "they are equal, within 0.03 nats",
    ],
)

# %% tags=["guess", "nbval-ignore-output", "08.steps"]
# Your guess and what was measured.
large_behind = {
    kind: comparison.lead(long, kind, "large", "multiplications").mean()
    for kind in ("experts", "dense")
}
reveal(
    "08.large",
    better(large_behind["experts"], "the large dense one"),
    says="Sources contradict each other on whether mixtures pay at small scale. Look at what they count.\n\n"
    "[nanochat's log](https://github.com/karpathy/nanochat/blob/master/dev/LOG.md), 2026: a layer of experts “improves "
    "per-step validation loss, but is not a net improvement on wall clock time (at least for our scale of interest ...)”. Steps "
    "and seconds, against a dense network of equal work. Here, within 500 steps, the experts are "
    f"{stands('dense', 'steps')} by steps and {stands('dense', 'seconds')} by seconds: routing, sorting and the balance loss "
    "take time, too.\n\n"
    "[Ludziejewski et al. 2025](https://arxiv.org/abs/2502.05172), “under fixed memory and compute budgets”: mixtures “can be "
    "more memory-efficient than dense models, contradicting conventional wisdom”. Bytes and multiplications. Here the experts "
    f"lead the large dense GPT by {large_behind['experts']:.2f} nats, and the small dense GPT, with no experts, leads it by "
    f"{large_behind['dense']:.2f}"
    + (
        ": most of the lead comes from cheaper steps."
        if large_behind["dense"] > large_behind["experts"] / 2
        else "."
    )
    + "\n\nEach counts something, and both can be right.",
)

# %% tags=["draw", "nbval-ignore-output", "08.steps"]
# Drawn: three GPTs, by three counts.
COUNTS = {
    "steps": (1, "steps"),
    "multiplications": (1e-9, "billions of multiplications"),
    "seconds": (1, "seconds"),
}
DASHES = {"dense": "--", "large": ":", "experts": "-"}


def by_three_counts(figure, theme):
    narrow = is_narrow(figure)
    panels = figure.subplots(*((3, 1) if narrow else (1, 3)))
    for axes, (count, (unit, label)) in zip(panels, COUNTS.items(), strict=True):
        reached = {kind: comparison.curve(long, kind, count) for kind in DASHES}
        end = min(spent[:, -1].mean() for spent, _ in reached.values())
        lines = {}
        for kind, dash in DASHES.items():
            x, y = (part.mean(0) for part in reached[kind])
            shown = np.union1d(x[(x > 0) & (x < end)], end)
            color = "text" if kind == "experts" else "muted"
            lines[kind] = Line(shown * unit, np.interp(shown, x, y), dash, color)
        y = "test loss, nats" if narrow or count == "steps" else ""
        draw_curves(axes, theme, lines, x=label, y=y, ylim=(1.6, 2.6), yticks=[2, 2.5])


work = [long["kinds"][kind]["multiplications"] for kind in ("experts", "large")]
taken = comparison.STEPS["experts"] * work[0] / work[1]
picture(
    by_three_counts,
    title="The experts against the large one: "
    + ", ".join(f"{stands('large', count)} by {count}" for count in COUNTS),
    note=(
        "Test loss, means of ten seeds, as far as all three were trained. Multiplications are "
        f"those of the forward pass: when the experts' are spent, the large one has taken {taken:.0f} "
        "steps. Seconds are of the machine that made the results."
    ),
    alt="; ".join(
        f"the experts lead {other} by "
        f"{comparison.lead(long, 'experts', other, count).mean():+.2f} nats at equally many {count}"
        for other in ("dense", "large")
        for count in COUNTS
    ),
    height=280,
    narrow_height=620,
)

# %% tags=["draw", "nbval-ignore-output", "08.steps"]
# A table of the leads.
rows = {
    "dense, equal steps and multiplications": ("dense", "steps"),
    "dense, equal seconds": ("dense", "seconds"),
    "large, equal bytes and steps": ("large", "steps"),
    "large, equal bytes and multiplications": ("large", "multiplications"),
    "large, equal bytes and seconds": ("large", "seconds"),
}


def crossing(other, count):
    """Where the mean curves cross for the last time, so that the experts are ahead from there on."""
    places = np.linspace(0.1, 1, 91)
    leads = [comparison.lead(long, "experts", other, count, p).mean() for p in places]
    behind = [place for place, lead in zip(places, leads, strict=True) if lead <= 0]
    if not behind or behind[-1] == 1:
        return "never" if behind else "the first tenth"
    spent = [comparison.curve(long, kind, count)[0] for kind in ("experts", other)]
    place = behind[-1] * np.minimum(*(each[:, -1] for each in spent)).mean()
    return f"{place:.0f} {count}"


def cells(other, count):
    early, late = (
        estimate(comparison.lead(long, "experts", other, count, part))
        for part in (0.5, 1)
    )
    numbers = (early.mean, late.mean, late.low, late.high)
    e, mean, low, high = (f"{n:+z.2f}".replace("+0.00", "0.00") for n in numbers)
    return e, mean, f"{low} to {high}", crossing(other, count)


table(
    ["the experts' lead over", "halfway", "at the end", "95 % interval", "ahead from"],
    {name: cells(*row) for name, row in rows.items()},
    title=f"Against dense, equal steps: {stands('dense', 'steps')}. "
    f"Equal seconds: {stands('dense', 'seconds')}",
    note="Nats a character; + where the experts are ahead. Ten seeds, at the last point that both reach. Ahead from: "
    "where the mean curves cross for the last time.",
)

# %% [markdown]
# ## Who handles what?
#
# Nobody told the experts what a digit is. Move the slider through the kinds of characters, and through the three texts: who
# takes them, in each of the two blocks?

# %% tags=["draw", "nbval-ignore-output"]
# A slider: who takes which characters of text that the GPT never saw.
unseen = data.test[:, :6400].flatten()
chosen = [routing.indices for routing in route_text(gpt, unseen)]  # of each block
kind_of = character_class(unseen)
domain_of = torch.arange(len(data.names)).repeat_interleave(6400)
groups = {name: kind_of == i for i, name in enumerate(CHARACTER_CLASSES)} | {
    f"all of {name}": domain_of == i for i, name in enumerate(data.names)
}


def bars(shares):
    texts = [f"{part:.0%}" for part in shares]
    lengths = shares.clip(0.001).tolist()  # 0 would be drawn as dead
    return expert_bars(lengths, texts, 1 / E, "Share of each expert", least=1)


shares = {
    name: [share(indices[group], E) for indices in chosen]
    for name, group in groups.items()
}


def who_takes(which):
    first, second = shares[which]
    return message(
        f"{which[0].upper()}{which[1:]}: {first.max():.0%} to expert {int(first.argmax())} of the "
        f"first block, {second.max():.0%} to expert {int(second.argmax())} of the second",
        f"{int(groups[which].sum()):,} characters of {len(unseen):,}. The line is an even share.",
    ) + beside(
        message("First block") + bars(first), message("Second block") + bars(second)
    )


sharpest_first = sorted(groups, key=lambda name: -shares[name][0].max())
sweep(who_takes, which=("Characters", sharpest_first))

# %% [markdown]
# ## How many neurons does a character need?
#
# The essay that this course grew from says why there are mixtures at all. Of a dense model, “a smaller set of neurons
# significantly contribute to predicting the next token”. Is it so?
#
# As in lesson 01, a neuron contributes its value times its column of output weights. So its contribution is as large as
# $|h_j| \cdot \lVert w_j \rVert$.
#
# **Your turn.** Two lines: for each token, the `n` neurons that contribute most keep their values, and all others become 0.


# %% tags=["exercise"]
def keep(h, w_out, n):
    """h (..., H), output weights (d, H) -> h with n neurons left for each token."""
    ### BEGIN SOLUTION
    best = (h.abs() * w_out.norm(dim=0)).topk(n, dim=-1).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * h
    ### END SOLUTION


# %%
keep = check("08.keep", keep)

# %% [markdown]
# We set your function between the two matrices of the dense GPT's feed-forward, in both blocks.


# %% tags=["measure", "nbval-ignore-output"]
# Measured: what the dense GPT loses with no neurons at all.
def loss_keeping(n):
    """Test loss of the dense GPT if each character keeps n neurons."""
    sparse = deepcopy(dense)
    for part in sparse.blocks:
        w = part.feed_forward[2].weight
        part.feed_forward[1].register_forward_hook(
            lambda _, __, h, w=w: keep(h, w, n) if n else 0 * h
        )
    return loss_by_domain(sparse, data).mean().item()


width = comparison.DENSE.d_hidden
everything = loss_keeping(width)
print(f"test loss with all {width} neurons: {everything:.2f} nats")
print(f"with none of them:            {loss_keeping(0):.2f} nats")

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "08.keep",
    f"Now the large dense GPT, with {comparison.LARGE.d_hidden:,} neurons in each block. A tenth of "
    "them speak: for each character, those that contribute most. How much does the test loss "
    "rise, in the mean of ten seeds?",
    slider=(0, 1, 0.05, "nats"),
)

# %% tags=["measure"]
# Measured: ten large dense GPTs, with a tenth of their neurons, chosen in three ways.
tenth = {
    way: np.array([run["keep"][way] - run["keep"]["all"] for run in long["runs"]])
    for way in ("own", "fixed", "random")
}

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "08.keep",
    tenth["own"].mean(),
    says=f"One tenth for all characters costs {tenth['fixed'].mean():.2f} nats, a random tenth for each "
    f"{tenth['random'].mean():.2f}. "
    + (
        "So the essay is right: few neurons contribute, and others for each character. "
        if tenth["own"].mean() < tenth["fixed"].mean() / 2
        else "So it matters little which tenth speaks. "
    )
    + "But to know which contribute, all of them were computed first. A mixture has to say before who will contribute. That is "
    "the router's work, and why it is hard.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: a tenth of the neurons in ten large dense GPTs, chosen in three ways.
interval_chart(
    {
        "each character's own tenth": tenth["own"],
        "one tenth for all": tenth["fixed"],
        "a random tenth for each": tenth["random"],
    },
    title=f"A tenth of the neurons is enough, if it is the right tenth: "
    f"{tenth['own'].mean():.2f} nats more, not {tenth['random'].mean():.2f}",
    note="Large dense GPTs, ten seeds. One for all: the best on average, on training text.",
    controls=[
        "one tenth for all",
        "a random tenth for each",
    ],
    unit="nats lost",
    zero=0,
)

# %% tags=["measure"]
# Claim 08.3.
claim(
    "08.3",
    "Keeping the tenth of the neurons that contribute most to each character costs a "
    "large dense GPT less than 0.1 nats",
    quantity="rise of the test loss (nats)",
    measured=tenth["own"],
    holds=below(0.1),
    control=tenth["fixed"],
    control_is="the same tenth for every character, the best on average",
)

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the small dense GPT, with fewer and fewer neurons.
for n in (width // 2, width // 4, width // 10, width // 20, 1):
    print(f"the small one, with {n:2} of {width} neurons: {loss_keeping(n):.2f} nats")

# %% [markdown]
# ## Your file
#
# Your `my_moe.py` now reads and writes. Your block and your loss go into it, and a small GPT whose feed-forwards are your mixtures:
# your router chooses, and only the chosen experts compute. Your `peeks` tests it before it trains.
#
# Give it a text of your own, of some thousand characters. In JupyterLab, after the next cell, open *File*, *New*, *Terminal*:
#
# ```sh
# python my_moe.py train my_text.txt
# python my_moe.py write "The "
# ```
#
# The last tenth of the text is held out. Its loss there stands beside that of a table, which has counted what character follows
# each. Does your GPT beat the table? And what does it write?

# %%
from moe_tutorial.course import my_moe

mine = my_moe(gpt=True)

# %% tags=["measure"]
# Measured: how often the GPT of your file looks ahead.
torch.manual_seed(seed)
my_gpt = mine.GPT(CHARACTERS)
with torch.no_grad():
    places = sum(mine.peeks(my_gpt, data.test[:1, :64], t) for t in range(1, 64))
print(f"the GPT of your file looks ahead at {places} of 63 places")

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("08")

# %% [markdown]
# ## Try it
#
# 1. Pick two experts of 64 neurons each: `GPTConfig(..., d_hidden=64, top_k=2)`. Is the active cost the same? Train it,
#    and look at who answers. What changes for the spaces?
# 2. Take the balance away: `train_gpt(..., balance=0)`. Do experts die, as in lesson 05? And what becomes of the loss?
# 3. Add a text of your own as a fourth domain. Does it get an expert of its own?
# 4. Ask `keep` in an expert, which has 128 neurons. Do few of them contribute, too?
#
# ## Recap
#
# - A mixture takes the feed-forward's place in each block: normalise, ask, add. Each block's router has a penalty of its own.
# - Routing by token does not look ahead. Expert choice does.
# - Experts alone do not help: chosen by dice they are far behind. With a router that learns they lead, with a frozen one no
#   lead is measured, and with a table, which learns nothing, most.
# - Against a dense network of equal work, experts win by steps, not by seconds. Against one of equal bytes they are level by steps,
#   and win by multiplications and seconds. A small dense network wins by those two as well, and loses by steps.
# - In the large dense GPT, a tenth of the neurons is enough for a character, if it is its own tenth.
#
# **Sources.** GPT-2: [Radford et al. 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf).
# Experts in every other block: [Lepikhin et al. 2020](https://arxiv.org/abs/2006.16668) and
# [Fedus et al. 2021](https://arxiv.org/abs/2101.03961). What experts specialise in:
# [Jiang et al. 2024](https://arxiv.org/abs/2401.04088), section 5; [OLMoE](https://arxiv.org/abs/2409.02060), section 5. A fixed
# table: [Roller et al. 2021](https://arxiv.org/abs/2106.04426). The texts: [Python's documentation](https://docs.python.org/3/license.html) and library, under the PSF licence.

# %% [markdown]
# ## Further
#
# ### Structure, or faces in clouds?
#
# How many bits does the expert's number tell about a character? This is the
# **mutual information** between expert and label: how much less uncertain the label is once you hear the expert. It is the
# entropy of the one, plus that of the other, less that of the pair.
#
# **Your turn, if you like.** Two lines. `entropy` takes whole numbers from 0 on, so a pair needs a number of its own.


# %% tags=["exercise", "optional"]
def bits(expert, label):
    """expert (N,), label (N,) -> how many bits the one tells about the other."""

    def entropy(numbers):
        return torch.special.entr(numbers.bincount() / len(numbers)).sum() / math.log(2)

    ### BEGIN SOLUTION
    pair = expert * (label.max() + 1) + label
    return entropy(expert) + entropy(label) - entropy(pair)
    ### END SOLUTION


# %%
bits = check("08.bits", bits)

# %% [markdown]
# Your `bits` of the slider's characters. With shuffled labels it finds next to nothing.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: bits that the expert tells, in each block.
shuffled = torch.randperm(len(unseen), generator=torch.Generator().manual_seed(seed))
for name, label in {"kind of character": kind_of, "text": domain_of}.items():
    for number, indices in enumerate(chosen, start=1):
        told, by_chance = (bits(indices[:, 0], one) for one in (label, label[shuffled]))
        print(
            f"{name:18} block {number}: {told:.2f} bits of {bits(label, label):.2f}, "
            f"shuffled {by_chance:.3f}"
        )

# %% [markdown]
# ### Who is missed, and who answers what
#
# Switch off one expert of the GPT at the top, and the next best takes its characters. How much worse is its sentence predicted
# then?

# %% tags=["draw", "nbval-ignore-output"]
# A table of what the sentence costs without each expert.
usual, costs, asked = missed(gpt, encode(sentence))
in_block, most = divmod(int(costs.argmax()), E)


def rise(at):
    return f"{costs[at]:+.2f}" if asked[at] else "not asked"


table(
    ["without expert", "first block", "second block"],
    {str(e): [rise((b, e)) for b in range(2)] for e in range(E)},
    title=f"Without expert {most} of the {('first', 'second')[in_block]} block, each character costs "
    f"{costs.max():.2f} nats more",
    note=f"“{sentence}” With all experts, a character costs {usual:.2f} nats.",
)

# %% [markdown]
# And this is what each expert answers, in text that the GPT never saw:

# %% tags=["draw", "nbval-ignore-output"]
# A table of the first block's experts.
by_block = route_text(gpt, unseen)
who_answers(by_block[0], unseen, "What the experts of the first block answer")

# %% tags=["draw", "nbval-ignore-output"]
# A table of the second block's experts.
who_answers(by_block[1], unseen, "What the experts of the second block answer")

# %% [markdown]
# ### More than chance, and more than the character tells


# %% tags=["measure"]
# Claim 08.4.
def told_by(about, model="trained"):
    """(seeds, blocks) of the bits that the expert tells, in the ten seeds."""
    return np.array([run["information"][model][about] for run in long["runs"]])


claim(
    "08.4",
    "In the first block, the expert's number tells more than 0.2 bits about the domain",
    quantity="what the expert's number tells (bits)",
    measured=told_by("domain")[:, 0],
    holds=above(0.2),
    control=told_by("domain, shuffled")[:, 0],
    control_is="shuffled labels",
)

# %% tags=["measure"]
# Claim 08.5.
claim(
    "08.5",
    "In the first block of a trained model, the expert's number tells more than 0.5 "
    "bits about the kind of character",
    quantity="what the expert's number tells (bits)",
    measured=told_by("class")[:, 0],
    holds=above(0.5),
    control=told_by("class", "untrained")[:, 0],
    control_is="the same model, untrained",
)

# %% [markdown]
# An untrained GPT, too, sends equal characters the same way, as they look the same to it. So it is the control of 08.5.
#
# Is it the router that has learned this, or the model around it, whose vectors the router reads? Ask the GPTs with frozen routers:

# %% tags=["measure"]
# Measured: what a frozen router's expert tells.
print("bits about the kind of character, both blocks, means over ten seeds:")
for model, name in {
    "untrained": "before training",
    "frozen": "frozen router, after it",
    "trained": "learned router, after it",
}.items():
    first, second = told_by("class", model).mean(0)
    print(f"  {name:25} {first:.1f}  {second:.1f}")

# %% [markdown]
# In the first block, most of what training adds comes from the model around the router; that the router learns adds the rest.
# In the second, a frozen router's expert tells about as much.
#
# Digits are mostly arithmetic. So is the domain only the character in disguise? Compare equal characters: the same `e`, in
# prose and in code. If the expert still tells the domain, it has looked at what stands around. The control shuffles the
# domains among equal characters.

# %% tags=["measure"]
# Claim 08.6.
claim(
    "08.6",
    "In the second block, the expert's number tells more than 0.08 bits about the "
    "domain, beyond what the character tells",
    quantity="what the expert's number tells (bits)",
    measured=told_by("domain beyond the character")[:, 1],
    holds=above(0.08),
    control=told_by("domain beyond the character, shuffled")[:, 1],
    control_is="domains shuffled among equal characters",
)

# %% [markdown]
# ### The ten seeds, on which text experts help, and equal work

# %% tags=["measure", "nbval-ignore-output"]
# The results and their machine.
made = long["made"]
print(f"Made by '{made['command']}' on {made['date']}, on the texts of Python", end=" ")
print(f"{made['python']}, with PyTorch {made['torch']}.")
same = comparison.fingerprints(data) == made["texts"]
print("Your Python's texts are", "the same." if same else "a little different.")

# %% [markdown] tags=["08.steps"]
# Above, the three texts count equally. One by one, the lead is larger on prose than on arithmetic, where operands are random
# and nobody can foresee them.


# %% tags=["measure", "08.steps"]
# Claim 08.7.
def lead_on(domain, kind="experts"):
    """How far a kind is ahead of dense on one text after 500 steps: one number a seed."""
    place = comparison.STEPS["experts"] // comparison.EVERY
    dense, ours = (
        [run["curves"][each][domain][place] for run in long["runs"]]
        for each in ("dense", kind)
    )
    return np.subtract(dense, ours)


claim(
    "08.7",
    "The experts' lead on prose is larger than on arithmetic, by more than 0.04 nats",
    quantity="larger lead on prose (nats)",
    measured=lead_on("prose") - lead_on("arithmetic"),
    holds=above(0.04),
    control=lead_on("prose", "dice") - lead_on("arithmetic", "dice"),
    control_is="dice in place of the router",
)

# %% [markdown]
# ### Equal work

# %% [markdown] tags=["08.large"]
# Against the large GPT, which multiplies more in a step, the small dense one leads, too. So we ask how much further ahead the
# experts are.


# %% tags=["measure", "08.large"]
# Claim 08.8.
def over_large(kind):
    """Lead over the large one at equally many multiplications, one number a seed."""
    return comparison.lead(long, kind, "large", "multiplications")


for kind in ("experts", "dense"):
    print(f"{kind:7} ahead of large: {over_large(kind).mean():.2f} nats")
claim(
    "08.8",
    "With equally many multiplications, the GPT with experts is further ahead of the "
    "large dense one than the small dense one is, by more than 0.03 nats",
    quantity="lead beyond the small dense one's (nats)",
    measured=over_large("experts") - over_large("dense"),
    holds=above(0.03),
    control=over_large("frozen") - over_large("dense"),
    control_is="the same, and the router is frozen",
)

# %% [markdown]
# A step with experts multiplies as often as a dense one. But it also routes and computes the balance loss, and characters are
# sorted by expert, so that each expert gets a small product of its own. Here is what the clock of the ten seeds' machine says. The
# control routes, too, and has nothing to sort: a mixture of one expert, as wide as the dense feed-forward. (Memory was not
# handed back between steps.)

# %% tags=["measure"]
# Claim 08.9.
clock = {  # after 200 steps
    kind: comparison.curve(long, kind, "seconds")[0][:, 2]
    for kind in ("dense", "experts", "one")
}
longer = {
    kind: (clock[kind] / clock["dense"]).mean() - 1 for kind in ("experts", "one")
}
print(
    f"{longer['experts']:.0%} more time than dense; with one expert, {longer['one']:.0%}"
)
claim(
    "08.9",
    "A training step with experts takes more than 1.16 times as long as a dense one "
    "with as many multiplications",
    quantity="time of a step (times as long)",
    measured=clock["experts"] / clock["dense"],
    holds=above(1.16),
    control=clock["one"] / clock["dense"],
    control_is="a mixture of one expert, with nothing to sort",
    timed=True,
    refutes="Equal active cost is equal time",
)
