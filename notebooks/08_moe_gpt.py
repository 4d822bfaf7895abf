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

from moe_tutorial.course import check, guess, my_moe, quiz, reveal
from moe_tutorial.layers import GPT, ExpertChoiceRouter, GPTConfig, switch_loss
from moe_tutorial.show import (
    Line,
    beside,
    curves,
    expert_bars,
    explorable,
    interval_chart,
    live_gpt,
    look,
    message,
    picture,
    scatter,
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
E, STEPS, seed = 8, comparison.SHORT, seeds(1)[0]

# %% [markdown]
# Here is one. It reads character by character and guesses the next, and each of its two blocks asks one of eight experts for
# each character. (The picture calls a block a layer.) In JupyterLab it learns on your machine, while the next cell runs. Then type
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


def ahead(kind, other="dense", count="steps", steps=comparison.SHORT):
    """How far a kind is ahead of another after so many steps of its own: nats, one number a seed."""
    return comparison.lead(long, kind, other, count, steps)


def better(lead, other):
    """The choice that is right at this mean lead of the experts."""
    if abs(lead) < 0.03:
        return "they are equal, within 0.03 nats"
    return "the one with experts" if lead > 0 else other


def stands(lead):
    """How a kind with this lead stands, where the 95 % interval is sure."""
    lead = estimate(lead)
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
mean_lead = ahead("experts").mean()
reveal(
    "08.steps",
    better(mean_lead, "the dense one"),
    says=f"After {comparison.SHORT} steps, in the mean of ten seeds, the experts' test loss is {abs(mean_lead):.2f} nats "
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
# One run of each says little, so a program trained GPTs over ten seeds: these two, *large*, and three with the same experts, where
# something else chooses them. Each is compared with the dense one after 400 steps, where the training of *large* ends.
#
# - **frozen**: a router that stays as it was drawn, while all else learns;
# - **table**: a table, drawn once, says who takes an `a`, who a `b`, who a `c`;
# - **dice**: a die, thrown anew for each character.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: how far each is ahead of the dense GPT, ten seeds.
AS_LARGE = comparison.STEPS["large"]
kinds = {
    "large": "large",
    "experts": "experts",
    "frozen": "frozen",
    "table": "table 1",
    "dice": "dice",
}
leads = {name: ahead(kind, steps=AS_LARGE) for name, kind in kinds.items()}
order = sorted(leads, key=lambda kind: -leads[kind].mean())
part = (
    costs["experts"]["multiplications"] / costs["large"]["multiplications"]
)  # of the large one's
interval_chart(
    {kind: leads[kind] for kind in order},
    title="After equally many steps, ahead of the dense GPT: "
    + ", ".join(kind for kind in order if estimate(leads[kind]).low > 0),
    note=f"Lead in test loss after {AS_LARGE} steps, ten seeds. Ticks: seeds. Points: means with 95 % intervals. The experts have "
    f"{leads['experts'].mean() / leads['large'].mean():.0%} of the large one's lead, at {part:.0%} of its multiplications.",
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
    measured=ahead("experts"),
    holds=above(0.03),
    control=ahead("frozen"),
    control_is="the same, and the router is frozen",
)

# %% [markdown]
# More experts alone do not help: chosen by dice, they are far behind. And where the router is frozen, little or nothing is
# left of the lead. So it takes a router that learns? The table has learned nothing either, and leads by most.
#
# But the table's choice counts with weight 1. What the router chooses counts with the router's probability *p* of that expert. So
# there are more GPTs to train. In one of them, as in the first layers of DeepSeek-V4, a table chooses and a router says with which
# *p* it counts.

# %% tags=["measure"]
# Measured: three that choose, with both weights.
arms = {
    "a table": ("table 1", "table p"),
    "a router that learns": ("experts 1", "experts"),
    "a frozen router": ("frozen 1", "frozen"),
}
arms = {name: [ahead(kind) for kind in kinds] for name, kinds in arms.items()}

# %% tags=["draw", "nbval-ignore-output"]
# A table of the six.
with_1, with_p = (lead.mean() for lead in arms["a table"])
table(
    ["ahead of dense, nats", "weight 1", "weight p"],
    {
        name: [
            f"{e.mean:+.2f} ({e.low:+.2f} to {e.high:+.2f})"
            for e in map(estimate, both)
        ]
        for name, both in arms.items()
    },
    title=f"After {comparison.SHORT} steps, the table is ahead by {with_1:.2f} with weight 1, by {with_p:.2f} with p",
    note="Means over ten seeds, with 95 % intervals. All but the table with weight 1 feel the Switch loss. Weight 1 takes the "
    "router's gradient away, as in lesson 04.",
)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
short = ahead("table p", "experts")
guess(
    "08.table",
    f"Both with weight p, the table is {short.mean():.2f} nats ahead of the router that learns, after {comparison.SHORT} steps. Both "
    f"train on. And after {comparison.STEPS['experts']:,} steps?",
    choices=[
        "the table is ahead",
        "they are equal, within 0.02 nats",
        "the router is ahead",
    ],
)

# %% tags=["measure"]
# Measured: the table's lead over the router, as both train on.
lengths = range(comparison.EVERY, comparison.STEPS["experts"] + 1, comparison.EVERY)
table_over_router = [ahead("table p", "experts", steps=n) for n in lengths]
late = table_over_router[-1]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "08.table",
    "they are equal, within 0.02 nats"
    if abs(late.mean()) < 0.02
    else "the table is ahead"
    if late.mean() > 0
    else "the router is ahead",
    says=f"After {lengths[-1]:,} steps, {abs(late.mean()):.3f} nats are between them. "
    + (
        "So the table, with weight p, has a head start that the router makes up.\n\n"
        if late.mean() < short.mean() / 2
        else "So the table's lead stays.\n\n"
    )
    + "How we read this: an expert gets better if it meets the same kind of character again and again. The table grants it that "
    "from the first step. A router reads vectors that change while the GPT learns, and has to find out first.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the table's lead over the router that learns, both with weight p.
found = [estimate(lead) for lead in table_over_router]
curves(
    {
        "table": Line(
            list(lengths),
            [lead.mean for lead in found],
            low=[lead.low for lead in found],
            high=[lead.high for lead in found],
        ),
        "router\nthat learns": Line([lengths[0], lengths[-1]], [0, 0], "--", "muted"),
    },
    title=f"The table's lead over the router: {short.mean():.2f} nats after {comparison.SHORT} steps, "
    f"{late.mean():.2f} after {lengths[-1]:,}".replace("-0.00", "0.00"),
    note="Both with weight p. Mean of ten seeds with 95 % interval.",
    x="steps",
    y="nats ahead of the router",
    yticks=[0, 0.05, 0.1],
    height=260,
)

# %% tags=["measure"]
# Claim 08.2.
claim(
    "08.2",
    "With equal gate weights, the lead of a fixed table over a router that learns "
    "shrinks by more than 0.02 nats from 500 to 2,400 steps",
    quantity="lead lost (nats)",
    measured=short - late,
    holds=above(0.02),
    control=ahead("experts") - ahead("experts", steps=lengths[-1]),
    control_is="the experts' lead over the dense GPT",
)

# %% [markdown]
# ## On which count?
#
# Equal steps are one way to count. Multiplications, seconds and bytes are others, and sources that contradict each other often
# count differently.

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
over_large = ahead("experts", "large", "multiplications", None)
dense_over_large = ahead("dense", "large", "multiplications", None).mean()
taken = comparison.STEPS["large"] * long["kinds"]["large"]["multiplications"]
taken /= long["kinds"]["experts"]["multiplications"]
reveal(
    "08.large",
    better(over_large.mean(), "the large dense one"),
    says=f"When the large one has taken its {comparison.STEPS['large']} steps, the experts have taken {taken:,.0f}, and lead by "
    f"{over_large.mean():.2f} nats. The small dense GPT, with no experts, leads it by {dense_over_large:.2f}"
    + (
        ": most of the lead comes from cheaper steps, so early in a training. With more multiplications the large one would come "
        "closer; where, is not measured here."
        if dense_over_large > over_large.mean() / 2
        else "."
    )
    + "\n\n[Ludziejewski et al. 2025](https://arxiv.org/abs/2502.05172), “under fixed memory and compute budgets”: mixtures “can be "
    "more memory-efficient than dense models, contradicting conventional wisdom”. They count bytes and multiplications.",
)

# %% [markdown]
# Against the small dense GPT, bytes are not equal, but multiplications are. And seconds? [nanochat's
# log](https://github.com/karpathy/nanochat/blob/master/dev/LOG.md) of 2026 found: a layer of experts “improves per-step validation
# loss, but is not a net improvement on wall clock time (at least for our scale of interest ...)”. Routing, sorting and the
# balance loss take time, so in equal seconds the dense GPT gets more steps. We let both run on.

# %% tags=["guess", "nbval-ignore-output", "08.steps"]
# A guess.
choices = {
    300: "within the first 300 steps",
    1_000: "between 300 and 1,000 steps",
    comparison.STEPS[
        "experts"
    ]: f"between 1,000 and {comparison.STEPS['experts']:,} steps",
    math.inf: "later than that, or never",
}
guess(
    "08.clock",
    f"A step with experts takes longer. Both GPTs get equally many seconds, until the experts have taken {comparison.STEPS['experts']:,} "
    "steps. From when on are the experts ahead, in the mean of ten seeds?",
    choices=list(choices.values()),
)

# %% tags=["measure", "08.steps"]
# Measured: the experts' lead over dense after 100, 200, ... steps of theirs.
lead_by = {
    count: [estimate(ahead("experts", count=count, steps=n)) for n in lengths]
    for count in ("steps", "seconds")
}
not_ahead = [
    n for n, lead in zip(lengths, lead_by["seconds"], strict=True) if lead.mean <= 0
]
# The mean is above 0 from here on.
crossing = not_ahead[-1] + comparison.EVERY if not_ahead else lengths[0]
if crossing > lengths[-1]:
    crossing = math.inf
spent = {
    kind: comparison.curve(long, kind, "seconds")[0] for kind in ("experts", "dense")
}
a_step = {kind: (s[:, -1] / comparison.STEPS[kind]).mean() for kind, s in spent.items()}

# %% tags=["guess", "nbval-ignore-output", "08.steps"]
# Your guess and what was measured.
last = {count: leads[-1] for count, leads in lead_by.items()}
reveal(
    "08.clock",
    next(words for most, words in choices.items() if crossing <= most),
    says=(
        f"From {crossing:,} steps on. "
        if crossing < math.inf
        else f"Not within {lengths[-1]:,} steps. "
    )
    + f"A step with experts takes {a_step['experts'] / a_step['dense']:.2f} times as long. After {lengths[-1]:,} steps the experts lead by "
    f"{last['seconds'].mean:.2f} nats at equal seconds, and by {last['steps'].mean:.2f} at equal steps. So what nanochat's log says "
    + (
        "holds here for a short training, and not for a longer one"
        if comparison.EVERY < crossing < math.inf
        else "holds here throughout"
        if crossing == math.inf
        else "does not hold here"
    )
    + ". How long one trains belongs to the question, as does the scale.",
)

# %% tags=["draw", "nbval-ignore-output", "08.steps"]
# Drawn: the lead over the length of training, on both counts.
traces = []
for count, color, dash in (("steps", "muted", "dash"), ("seconds", "text", "solid")):
    found = lead_by[count]
    color = look.color(color)
    for edge in ("low", "high"):
        ends = [getattr(lead, edge) for lead in found]
        line = {"color": color, "width": 1, "dash": "dot"}
        traces.append(scatter(lengths, ends, [], mode="lines", line=line))
    hover = [
        f"{n:,} steps with experts<br>at equal {count} {lead.mean:+.2f} nats"
        for n, lead in zip(lengths, found, strict=True)
    ]
    line = {"color": color, "width": 3, "dash": dash}
    means = [lead.mean for lead in found]
    name = f"equal {count}"
    traces.append(scatter(lengths, means, hover, name, mode="lines", line=line))
explorable(
    traces,
    title="By the clock, the experts' lead "
    + (f"begins after {crossing:,} steps" if crossing < math.inf else "never begins"),
    note="Lead over the dense GPT: means of ten seeds, and dotted their 95 % intervals. Equal steps are equal multiplications. "
    "Seconds are a processor's, of the machine that made the results.",
    alt="The experts' lead in nats, "
    + "; ".join(
        f"at equal {count} {found[0].mean:+.2f} after {lengths[0]:,} steps and {found[-1].mean:+.2f} after {lengths[-1]:,}"
        for count, found in lead_by.items()
    ),
    height=320,
    xaxis_title="steps of the GPT with experts",
    yaxis_title="nats ahead of dense",
)

# %% tags=["draw", "nbval-ignore-output", "08.steps"]
# A slider: how long both are trained.
a_step = comparison.TRAINING["batch_size"] * comparison.EXPERTS.context
a_step *= long["kinds"]["experts"]["multiplications"]
seconds = {kind: each.mean(0) for kind, each in spent.items()}
dense_steps = comparison.EVERY * np.arange(len(seconds["dense"]))


def at_length(steps):
    """The experts' lead after so many steps of theirs, on three counts."""
    took = seconds["experts"][steps // comparison.EVERY]
    meanwhile = np.interp(took, seconds["dense"], dense_steps)
    notes = {
        "steps": f"Dense has taken {steps:,} steps, too; both, {steps * a_step / 1e9:,.0f} billion multiplications.",
        "seconds": f"In {took:.0f} seconds, dense has taken {meanwhile:,.0f} steps.",
    }
    cards = []
    for count, note in notes.items():
        lead = ahead("experts", count=count, steps=steps)
        e = estimate(lead)
        cards.append(
            message(
                f"Equal {count}: {stands(lead)}, {e.mean:+.2f} nats",
                f"95 % interval {e.low:+.2f} to {e.high:+.2f}. {note}",
            )
        )
    return beside(*cards)


sweep(at_length, steps=("Steps of the GPT with experts", list(lengths)))

# %% tags=["measure", "08.steps"]
# Claim 08.3.
claim(
    "08.3",
    "Trained for as many seconds as 2,400 steps with experts take, the GPT with experts "
    "predicts better than the dense one",
    quantity="lead in test loss (nats)",
    measured=ahead("experts", count="seconds", steps=comparison.STEPS["experts"]),
    holds=above(0),
    control=ahead("experts", count="seconds", steps=300),
    control_is="the same, after the seconds of 300 steps",
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
# ## Your file
#
# Your `my_moe.py` now reads and writes. Your block and your loss go into it, and a small GPT whose feed-forwards are your mixtures:
# your router chooses, and only the chosen experts compute. Your `peeks` tests it before it trains.

# %%
mine = my_moe(gpt=True)

# %% tags=["measure"]
# Measured: how often the GPT of your file looks ahead.
torch.manual_seed(seed)
my_gpt = mine.GPT(CHARACTERS)
with torch.no_grad():
    places = sum(mine.peeks(my_gpt, data.test[:1, :64], t) for t in range(1, 64))
print(f"the GPT of your file looks ahead at {places} of 63 places")

# %% [markdown]
# Give it a text of your own, the longer the better: below some ten thousand characters it learns little. In JupyterLab, open *File*,
# *New*, *Terminal*. 1500 is the number of steps; without it there are 400.
#
# ```sh
# python my_moe.py train my_text.txt 1500
# python my_moe.py write "The "
# ```
#
# The last tenth of the text is held out. Its loss there stands beside that of a table, which has counted what character follows
# each. Does your GPT beat the table? And what does it write?

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
#
# ## Recap
#
# - A mixture takes the feed-forward's place in each block: normalise, ask, add. Each block's router has a penalty of its own.
# - Where each token chooses for itself, nothing looks ahead. Where experts choose, they do.
# - Experts alone do not help: chosen by dice they are far behind. With a router that learns they lead. A table, which learns
#   nothing, has a head start; with equal gate weights the router makes it up.
# - Against a dense network of equal work, experts win by steps after a few hundred, and by seconds only after a longer training.
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
# ### How many neurons does a character need?
#
# The essay that this course grew from says why there are mixtures at all. Of a dense model, “a smaller set of neurons
# significantly contribute to predicting the next token”. Is it so?
#
# As in lesson 01, a neuron contributes its value times its column of output weights. So its contribution is as large as
# $|h_j| \cdot \lVert w_j \rVert$.
#
# **Your turn, if you like.** Two lines: for each token, the `n` neurons that contribute most keep their values, and all others become 0.


# %% tags=["exercise", "optional"]
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

# %% [markdown]
# Now ten large dense GPTs. For each character a tenth of the neurons speak in each block: those that contribute most to it, the
# same for all characters, or a random tenth.

# %% tags=["measure"]
# Measured: ten large dense GPTs, with a tenth of their neurons, chosen in three ways.
tenth = {
    way: np.array([run["keep"][way] - run["keep"]["all"] for run in long["runs"]])
    for way in ("own", "fixed", "random")
}

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
# Claim 08.4.
claim(
    "08.4",
    "Keeping the tenth of the neurons that contribute most to each character costs a "
    "large dense GPT less than 0.1 nats",
    quantity="rise of the test loss (nats)",
    measured=tenth["own"],
    holds=below(0.1),
    control=tenth["fixed"],
    control_is="the same tenth for every character, the best on average",
)

# %% [markdown]
# But to know which neurons contribute, all of them were computed first. A mixture has to say before who will contribute. That is
# the router's work, and why it is hard.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the small dense GPT, with fewer and fewer neurons.
for n in (width // 2, width // 4, width // 10, width // 20, 1):
    print(f"the small one, with {n:2} of {width} neurons: {loss_keeping(n):.2f} nats")

# %% [markdown]
# ### The ten seeds, and on which text experts help

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
# Claim 08.5.
def lead_on(domain, kind="experts"):
    """How far a kind is ahead of dense on one text after 500 steps: one number a seed."""
    place = comparison.SHORT // comparison.EVERY
    dense, ours = (
        [run["curves"][each][domain][place] for run in long["runs"]]
        for each in ("dense", kind)
    )
    return np.subtract(dense, ours)


claim(
    "08.5",
    "The experts' lead on prose is larger than on arithmetic, by more than 0.04 nats",
    quantity="larger lead on prose (nats)",
    measured=lead_on("prose") - lead_on("arithmetic"),
    holds=above(0.04),
    control=lead_on("prose", "dice") - lead_on("arithmetic", "dice"),
    control_is="dice in place of the router",
)

# %% [markdown]
# ### What a step takes
#
# A step with experts multiplies as often as a dense one. But it also routes and computes the balance loss, and characters are
# sorted by expert, so that each expert gets a small product of its own. Here is what the clock of the ten seeds' machine says. The
# control routes, too, and has nothing to sort: a mixture of one expert, as wide as the dense feed-forward. (Memory was not
# handed back between steps.)

# %% tags=["measure"]
# Claim 08.6.
clock = {  # after 200 steps
    kind: comparison.curve(long, kind, "seconds")[0][:, 2]
    for kind in ("dense", "experts", "one")
}
longer = {
    kind: (clock[kind] / clock["dense"]).mean() - 1 for kind in ("experts", "one")
}
print(
    f"in the first 200 steps {longer['experts']:.0%} more time than dense; with one expert, {longer['one']:.0%}"
)
claim(
    "08.6",
    "In the first 200 steps, a training step with experts takes more than 1.16 times as long "
    "as a dense one with as many multiplications",
    quantity="time of a step (times as long)",
    measured=clock["experts"] / clock["dense"],
    holds=above(1.16),
    control=clock["one"] / clock["dense"],
    control_is="a mixture of one expert, with nothing to sort",
    timed=True,
    refutes="Equal active cost is equal time",
)
