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
# # 08 A GPT with experts
#
# 45 minutes. You leave able to swap a GPT's feed-forward for experts, train it to predict the next character, and test
# whether it looks ahead; and to say whether experts pay, by steps and by seconds, and whether that takes a router that learns.
#
# From digits to language: a GPT is a stack of blocks. Each has a feed-forward, a small dense network as in lesson 01. A mixture takes
# its place. The rest stays; only the loss gets an addition.

# %% tags=["setup"]
# Setup: what this lesson uses.
import math
import re
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F  # noqa: F401, for who writes the loss with it

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
# Here is a GPT with experts. It reads characters and predicts the next. In each of its two blocks (below: *layers*), a router sends each
# character to one of eight experts. When it has learned, look at its sentence: who takes the digits, and who the spaces?
# Then switch off one expert. A letter is *wrong* when it is not the one written with all 16 experts (2 blocks of 8). Switch it on
# again, and try another. Which can the GPT do without? (One early slip, and all that follows is another text.)

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
sentence = "def f(x): 7*8=56, and the 12 monkeys ate the "
live_gpt(
    gpt,
    sentence,
    title="A GPT with experts, trained for this lesson",
)

# %% [markdown]
# It has learned from three texts that differ: **prose** from Python's own manual, **code** from its standard library, and **arithmetic** that
# we generate. A token is one of 96 characters. (Do experts divide the texts among themselves? *Further* finds out.)

# %% tags=["measure", "nbval-ignore-output"]
# A line of each text.
for name, stream in zip(data.names, data.test, strict=True):
    print(f"{name:11}", max(decode(stream[:600]).splitlines(), key=len)[:70])

# %% [markdown]
# ## The swap
#
# A block has two halves. The first is **attention**. Each position makes a *query*, a *key* and a *value* from its vector. It compares its
# query with its own key and those before it. The better a key fits, the more of that position's value it takes.
#
# The second half, the **feed-forward**, works on each position alone: a vector goes in, and a vector comes out. That is exactly
# what a mixture does, so it can take the feed-forward's place.
#
# Each half reads `x` through a *norm*, which brings vectors to a common scale. What the half returns is *added* to `x` itself. This
# is the **residual**.
#
# **Your turn.** Write the second half, with the mixture, in two lines. `moe(...)` returns what the experts say, and a `Routing`.


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
# Your block now runs the GPT from above, which writes what it finds likeliest. Before the first block, each character's vector and its
# position's vector are added. After the last, a norm and a linear layer turn each vector into 96 scores, one for each character.


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
# Measured: it goes on with four beginnings. Are its sums right?
for text in ("The value of ", "def get_", "if not ", "12*11="):
    begun = len(text)
    for _ in range(40):
        text += decode(scores(text).argmax()[None])
    print(repr(text[:begun]), "goes on", repr(text[begun:]))
    for a, sign, b, c in re.findall(r"(?m)^(\d+)([-+*])(\d+)=(-?\d+)\n", text):
        is_ = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign]
        print(f"{a}{sign}{b}={c}", "right" if int(c) == is_ else f"wrong: {is_}")

# %% [markdown]
# It always takes the likeliest character, and repeats itself. What it writes looks like prose, code and sums.
#
# ## What it learns from
#
# A text holds the answers, too: for each character, the next one. The loss is the mean cross-entropy, in **nats** (natural
# logarithm). At a loss of $L$, the right character typically (in the geometric mean) got a probability of $e^{-L}$.
#
# To this we add lesson 07's Switch loss, `switch_loss(routing)`. Each block has its own router, and so its own Switch loss. We multiply
# their sum by a coefficient `c`. (One loss over all blocks at once
# [hides what each of them does](museum.ipynb#the-loss-says-balanced-and-each-layer-has-a-favourite).)
#
# **Your turn.** Two lines. Of `T + 1` characters, the model reads `T` and predicts `T`. `model(inputs, targets)` returns the scores, the
# mean cross-entropy, and a list with each block's `Routing`.


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
# Your loss at work, on a new GPT. Its training losses contain the Switch losses; the test loss does not.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(seed)
yours = GPT(moe_config)
optimizer = torch.optim.AdamW(yours.parameters(), lr=3e-3)
pieces = torch.Generator().manual_seed(seed)
for step in range(101):
    inputs, targets, _ = windows(data.train, 16, 64, pieces)
    piece = torch.cat([inputs, targets[:, -1:]], dim=1)
    loss = lm_loss(yours, piece, c=0.01)
    optimizer.zero_grad()
    loss.backward()
    if step % 50 == 0:
        print(f"step {step:3}: {loss.item():.2f}")
    optimizer.step()
print(f"the GPT at the top, after {STEPS} steps: {gpt_loss.mean():.2f} on test text")
print(f"typically, its right character has {100 * math.exp(-gpt_loss.mean()):.0f} %")

# %% [markdown]
# ## Does it look ahead?
#
# A model must not see the characters that it has to predict. Attention hides them. But what of experts that choose, as in lesson 07?
#
# **Your turn.** A test, in two lines. A token is a number below `n`. Make a second text: keep the first `t` tokens, and add 1 to each
# later one, modulo `n`. If the scores of the first `t` change, the model has looked ahead.
#
# `model(tokens)[0]` are the scores. `torch.allclose` with `atol=1e-5` ignores rounding.


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
# Your test examines two GPTs on one text, at each `t`: the one from above, and an untrained one whose experts choose (lesson 07).

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
# An expert that picks the best of *all* characters sees the later ones. A model that writes does not have them yet.
#
# ## Does it pay?
#
# The **fair opponent** is a dense GPT with as many multiplications. A vector has 64 numbers, so a neuron takes 64 + 64 = 128. The mixture
# computes one expert of 128 neurons, and the router: 8 · 64 = 512 multiplications, those of 512 / 128 = 4 neurons. So the dense
# feed-forward gets 132.
#
# Both were trained beforehand, from ten seeds, at one learning rate. (Other rates are not measured.)

# %% tags=["setup"]
# Setup: ten seeds of each GPT, trained once for this lesson.
long = comparison.results()
if long is None:  # MOE_SEED names other seeds, and nobody has trained them yet
    print(f"Results of these seeds are missing: {comparison.command(seed)} makes them.")
    print("What follows shows the course's own seeds, and judges no claim by them.")
    long = comparison.results(first=0)

    def claim(*_, **__):
        """Results of other seeds judge nothing."""


lengths = range(comparison.EVERY, comparison.STEPS["experts"] + 1, comparison.EVERY)


def ahead(kind, other="dense", count="steps", steps=comparison.SHORT):
    """How far a kind is ahead of another after so many steps of its own: nats, one number a seed."""
    return comparison.lead(long, kind, other, count, steps)


# %% tags=["measure", "nbval-ignore-output"]
# What the two cost.
for kind in ("dense", "experts"):
    cost = long["kinds"][kind]
    print(
        f"{kind:8} {cost['parameters']:8,} parameters, {cost['multiplications']:,} multiplications a character"
    )

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "08.steps",
    "Two small GPTs do equally many multiplications for a character. One has a dense "
    "feed-forward, the other eight experts of about that size and picks one. Which "
    f"predicts better, both after {comparison.SHORT} steps of training?",
    choices=["the one with experts", "the dense one", "equal, within 0.03 nats"],
)

# %% tags=["measure"]
# Measured: the difference of their test losses, ten seeds.
mean_lead = ahead("experts").mean()

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "08.steps",
    "equal, within 0.03 nats"
    if abs(mean_lead) < 0.03
    else "the one with experts"
    if mean_lead > 0
    else "the dense one",
    says=f"After {comparison.SHORT} steps, in the mean of ten seeds, the experts' test loss is {abs(mean_lead):.2f} nats "
    + ("lower" if mean_lead > 0 else "higher")
    + f" than the dense one's, a factor of {math.exp(abs(mean_lead)):.2f} in probability. "
    "The price is memory: "
    f"{long['kinds']['experts']['parameters'] / long['kinds']['dense']['parameters']:.1f} times the parameters.",
)

# %% [markdown]
# Equal steps are equal multiplications here. And seconds? Routing, sorting and the Switch loss take time, so in equal seconds the
# dense GPT gets more steps.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the seconds of a step.
spent = {
    kind: comparison.curve(long, kind, "seconds")[0] for kind in ("experts", "dense")
}
a_step = {kind: (s[:, -1] / comparison.STEPS[kind]).mean() for kind, s in spent.items()}
print(
    f"A step with experts takes {a_step['experts'] / a_step['dense']:.2f} times as long."
)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
choices = {
    300: "within the first 300 steps",
    1_000: "between 300 and 1,000 steps",
    lengths[-1]: f"between 1,000 and {lengths[-1]:,} steps",
    math.inf: "later than that, or never",
}
guess(
    "08.clock",
    "Stop both GPTs after equally many seconds. From which of its steps on does the one with experts stay ahead, in the mean of ten seeds?",
    choices=list(choices.values()),
)

# %% tags=["measure"]
# Measured: the experts' lead over dense after 100, 200, ... steps of theirs.
lead_by = {
    count: [estimate(ahead("experts", count=count, steps=n)) for n in lengths]
    for count in ("steps", "seconds")
}
behind = [n for n, e in zip(lengths, lead_by["seconds"], strict=True) if e.mean <= 0]
crossing = max(behind, default=0) + comparison.EVERY  # above 0 from here on
unclear = [n for n, e in zip(lengths, lead_by["seconds"], strict=True) if e.low <= 0]
clear = (
    max(unclear, default=0) + comparison.EVERY
)  # the whole interval is above 0 from here on

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
never = crossing > lengths[-1]
verdict = "do not take the lead" if never else f"lead from {crossing:,} steps on"
verdict += f", clearly from {clear:,}" if clear <= lengths[-1] else ""
reveal(
    "08.clock",
    next(words for most, words in choices.items() if crossing <= most),
    says=f"In equal seconds, at this learning rate, the experts {verdict}, in the mean of ten seeds. "
    f"After {lengths[-1]:,} of their steps, where we stopped, their lead is {lead_by['seconds'][-1].mean:.2f} nats, and "
    f"{lead_by['steps'][-1].mean:.2f} at equal steps."
    "\n\n[nanochat's log](https://github.com/karpathy/nanochat/blob/master/dev/LOG.md) of February 2026 says of its experts, at about "
    "GPT-2's capability: “not a net improvement on wall clock time”. "
    + (
        "So it is here."
        if never
        else "Here they win by the clock, if trained for long enough, and the lead stays small. A step's cost decides: how much longer it takes with experts depends on model and machine."
    ),
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the lead over the length of training, on both counts.
around = [*lengths, *lengths[::-1]]
edge = [e.low for e in lead_by["seconds"]] + [e.high for e in lead_by["seconds"][::-1]]
line = {"color": look.color("accent"), "width": 0}  # the fill has its colour
shape = {"mode": "lines", "fill": "toself", "opacity": 0.4, "line": line}
traces = [scatter(around, edge, [], **shape)]
for count, color, dash in (("steps", "muted", "dash"), ("seconds", "accent", "solid")):
    means = [lead.mean for lead in lead_by[count]]
    hover = [
        f"{n:,} steps: {mean:+.2f}" for n, mean in zip(lengths, means, strict=True)
    ]
    line = {"color": look.color(color), "width": 3, "dash": dash}
    traces.append(
        scatter(lengths, means, hover, f"equal {count}", mode="lines", line=line)
    )
ends = [lengths[0], lengths[-1]]
line = {"color": look.color("muted"), "width": 1}
traces.append(scatter(ends, [0, 0], [], "level with dense", mode="lines", line=line))
explorable(
    traces,
    title=f"In equal seconds, experts {verdict}",
    note="Mean of ten seeds. Band: its 95 % interval in equal seconds; clear where all of it is above 0. Seconds: "
    "processor time on the machine that made the results.",
    alt="The experts' lead in nats, from the first to the last test: "
    + "; ".join(
        f"at equal {count} {found[0].mean:+.2f} to {found[-1].mean:+.2f}"
        for count, found in lead_by.items()
    ),
    height=320,
    xaxis_title="steps of the GPT with experts",
    yaxis_title="nats ahead of dense",
)

# %% tags=["draw", "nbval-ignore-output"]
# A slider: how long both are trained. It opens where the lead in equal seconds begins.
in_a_step = comparison.TRAINING["batch_size"] * comparison.EXPERTS.context
in_a_step *= long["kinds"]["experts"]["multiplications"]
seconds = {kind: each.mean(0) for kind, each in spent.items()}
dense_steps = comparison.EVERY * np.arange(len(seconds["dense"]))


def at_length(steps):
    """The experts' lead after so many steps of theirs, on three counts."""
    took = seconds["experts"][steps // comparison.EVERY]
    meanwhile = np.interp(took, seconds["dense"], dense_steps)
    notes = {
        "steps": f"Dense has taken {steps:,} steps, too; both, {steps * in_a_step / 1e9:,.0f} billion multiplications.",
        "seconds": f"In {took:.0f} seconds, dense has taken {meanwhile:,.0f} steps.",
    }
    cards = []
    for count, note in notes.items():
        e = lead_by[count][lengths.index(steps)]
        stands = (
            "ahead" if e.low > 0 else "behind" if e.high < 0 else "no clear difference"
        )
        says = f"Equal {count}: {stands}, {e.mean:+.2f} nats"
        note = f"95 % interval {e.low:+.2f} to {e.high:+.2f}. {note}"
        cards.append(message(says, note))
    return beside(*cards)


slider = sweep(at_length, steps=("Steps of the GPT with experts", list(lengths)))
slider.wanted = [lengths.index(min(crossing, lengths[-1]))]
slider

# %% tags=["measure"]
# Claim 08.1.
claim(
    "08.1",
    "Trained at one learning rate for as many seconds as 2,400 steps with experts take, "
    "the GPT with experts predicts better than the dense one",
    quantity="lead in test loss (nats)",
    measured=ahead("experts", count="seconds", steps=lengths[-1]),
    holds=above(0),
    control=ahead("experts", count="seconds", steps=300),
    control_is="the same, after the seconds of 300 steps",
)

# %% [markdown]
# ## Does it take a router that learns?
#
# Does the lead come from having eight experts, or from how they are chosen? Four GPTs have the same experts. First, who chooses?
#
# | | who chooses |
# |---|---|
# | **router** | the router from above |
# | **frozen** | a router, random and never trained |
# | **table** | a table, random and fixed from the start: who takes an `a`, who a `b` |
# | **dice** | a die, thrown anew for each character |
#
# *Frozen* and *table* are both random and fixed. But the table sees only the character. The frozen router sees a vector, made of the
# character, its *position* and, by attention, what stood before. And this vector changes as the GPT learns.
#
# Second, what weight does an answer have? For *router*, *frozen* and *table* it is *p*, as in your mixture. (The table has a router, too,
# for *p* alone.) Dice have no router, so the weight is 1, and there is no Switch loss. To compare fairly, we measure the other three
# with weight 1, too.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
arms = {"router": "experts", "frozen": "frozen", "table": "table p", "dice": "dice"}
guess(
    "08.chooser",
    f"Which of the four is furthest ahead of the dense GPT after {comparison.SHORT} steps?",
    choices=list(arms),
)

# %% tags=["measure"]
# Measured: the leads, with both weights, and the table's lead over the router as both train on.
leads = {name: ahead(kind) for name, kind in arms.items()}
full = {"router": "experts 1", "frozen": "frozen 1", "table": "table 1"}
full = {name: ahead(kind) for name, kind in full.items()}  # with weight 1
order = sorted(leads, key=lambda name: -leads[name].mean())
short = ahead("table p", "experts")
table_over_router = [ahead("table p", "experts", steps=n) for n in lengths]
late = table_over_router[-1]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "08.chooser",
    order[0],
    says=(
        "With a frozen router, eight experts gain nothing clear; with weight 1 they lose to dense "
        f"({full['frozen'].mean():+.2f}), and with dice they lose more ({leads['dice'].mean():+.2f}). "
        if estimate(leads["frozen"]).low < 0
        and leads["dice"].mean() < full["frozen"].mean() < 0
        else ""
    )
    + (
        "So it matters who chooses. But over these steps the chooser need not learn: a fixed table leads.\n\n"
        + (
            f"With weight 1 the router, too, loses to dense ({full['router'].mean():+.2f}): there it learns only from the Switch loss. "
            f"The table, where nothing of the choice learns then, leads by {full['table'].mean():.2f}.\n\n"
            if estimate(full["router"]).high < 0 < estimate(full["table"]).low
            else ""
        )
        + "How we read this (not tested): an expert learns faster if it always meets the same characters. With a table it does from the "
        "first step. A router has to find out first, and to begin with it hears of the position, too. "
        + (
            f"By {lengths[-1]:,} steps, with weight p, the two differ by {abs(late.mean()):.2f} nats (“Further”)."
            if late.mean() < short.mean() / 2
            else f"After {lengths[-1]:,} steps the table is still {late.mean():.2f} nats ahead."
        )
        if order[0] == "table"
        else "So it takes a router that learns."
    ),
)

# %% tags=["draw", "nbval-ignore-output", "08.steps"]
# Drawn: how far each is ahead of the dense GPT, ten seeds.
rows = {}
for name in order:
    rows[f"{name} (weight {'1' if name == 'dice' else 'p'})"] = leads[name]
    if name in full:
        rows[f"{name} (weight 1)"] = full[name]
in_front = [name for name in rows if estimate(rows[name]).low > 0]
interval_chart(
    rows,
    title=f"Ahead of the dense GPT: {', '.join(in_front)}",
    note=f"Lead in test loss after {comparison.SHORT} steps. Grey dots: ten seeds (a larger one: several). Above them means with 95 % intervals. "
    "The Switch loss acts wherever there is a router: not with dice, nor with the table of weight 1.",
    colors=dict.fromkeys(in_front, "accent"),
    controls=[name for name in rows if name.startswith(("frozen", "dice"))],
    unit="nats a character ahead of dense",
    zero=0,
)

# %% tags=["measure", "08.steps"]
# Claim 08.2.
claim(
    "08.2",
    "After 500 equal steps, the GPT with experts predicts better than the dense one "
    "by more than 0.03 nats",
    quantity="lead in test loss (nats)",
    measured=ahead("experts"),
    holds=above(0.03),
    control=ahead("frozen"),
    control_is="the same, and the router is frozen",
)

# %% [markdown]
# ## Your file
#
# Your `my_moe.py` now reads and writes. Your block and your loss go into it, and a small GPT whose feed-forwards are your mixtures.
# Your `peeks` tests it before it trains.

# %%
mine = my_moe(until="08")

# %% tags=["measure"]
# Measured: how often the GPT of your file looks ahead.
torch.manual_seed(seed)
my_gpt = mine.GPT(CHARACTERS)
with torch.no_grad():
    places = sum(mine.peeks(my_gpt, data.test[:1, :64], t) for t in range(1, 64))
print(f"the GPT of your file looks ahead at {places} of 63 places")

# %% [markdown]
# Give it a text of your own, of ten thousand characters or more, as `my_text.txt` beside `my_moe.py`. In JupyterLab, open
# *File*, *New*, *Terminal*.
#
# ```sh
# python my_moe.py train my_text.txt 1500
# python my_moe.py write "The "
# ```
#
# This trains 1500 steps (without the number, 400), but never on the last tenth. There it prints two losses: your GPT's, and that
# of a table of pairs, which counts what follows each character. Which is lower? Who takes what? What does it write?

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("08")

# %% [markdown]
# ## Try it
#
# 1. Ask two experts of 64 neurons each. Is the active cost the same? In a new cell: `config = GPTConfig(len(CHARACTERS),
#    feed_forward="moe", d_hidden=64, n_experts=E, top_k=2)`, then `two, _ = trained("two experts", config)`, then
#    `live_gpt(two, sentence, title="Two experts")`. What changes for the spaces?
# 2. Take the balance away: open the folded cell *Train a GPT with experts*, and add `balance=0` to its `train_gpt`. Print
#    `gpt_loss.mean()` before and after: does it rise? Then run *Who handles what?* again: does an expert get nothing, as in lesson 05?
# 3. Add a text of your own as a fourth domain: open the folded cell *Train a GPT with experts*, write `data = texts(own={"mine":
#    "my_text.txt"})`, run it and the next cell again, and type a line of your text. (It
#    needs 120,000 characters; with fewer, give `texts` a smaller `n`, too.) Does it get an expert of its own?
#
# ## Recap
#
# - A mixture takes the feed-forward's place in each block: normalise, ask, add. Each router has its own Switch loss.
# - Where tokens chose, no score looked ahead. Where experts chose, scores did.
# - After 500 equal steps, experts lead a dense GPT that multiplies as often. In equal seconds, on one thread of our machine and at one
#   learning rate, they are behind at first, ahead in the mean from 600 of their steps, and clearly from 700 up to 2,400, where we stopped.
# - It matters who chooses. After 500 steps with weight *p*, a frozen router gains nothing clear, a router that learns leads, and a fixed
#   table leads by more; by 2,400 steps the router draws level. With weight 1 only the table leads, and dice lose most.
#
# **Sources.** GPT-2: [Radford et al. 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf).
# Experts in every other block: [Lepikhin et al. 2020](https://arxiv.org/abs/2006.16668). What they specialise in:
# [Jiang et al. 2024](https://arxiv.org/abs/2401.04088), [OLMoE](https://arxiv.org/abs/2409.02060). A table: [Roller et al.
# 2021](https://arxiv.org/abs/2106.04426). Texts: [Python's documentation](https://docs.python.org/3/license.html) and library, PSF licence.

# %% [markdown]
# ## Further

# %% [markdown] tags=["08.chooser"]
# ### The table's head start
#
# The table is ahead of the router after 500 steps. Here both train on.

# %% tags=["draw", "nbval-ignore-output", "08.chooser"]
# Drawn: the table's lead over the router, as both train on.
over = [estimate(each) for each in table_over_router]
lost = estimate(short - late)
curves(
    {
        "table over router": Line(
            lengths,
            [e.mean for e in over],
            low=[e.low for e in over],
            high=[e.high for e in over],
        ),
        "equal": Line([lengths[0], lengths[-1]], [0, 0], ":", "muted"),
    },
    x="steps of both",
    y="nats ahead",
    title=f"From 500 to {lengths[-1]:,} steps, the table's lead over the router shrinks by {lost.mean:.2f} nats ({lost.low:.2f} to {lost.high:.2f})",
    note="Both count with weight p. The mean of the seeds, and its 95 % interval.",
    legend=True,
    height=280,
)

# %% [markdown]
# ### Who handles what?
#
# The table was told who takes an `a`. Nobody told the router what a digit is, or that there are three texts. What has it found?
#
# Look for an expert for code. Move the slider to *all of code*: who takes most of it in the first block? Then move through the
# kinds: what does it take?

# %% tags=["measure"]
# Measured: who takes which character, in text that the GPT never saw.
unseen = data.test[:, :6400].flatten()
by_block = route_text(gpt, unseen)
chosen = [routing.indices[:, 0] for routing in by_block]
kind_of = character_class(unseen)
domain_of = torch.arange(len(data.names)).repeat_interleave(6400)

# %% tags=["draw", "nbval-ignore-output"]
# A slider: who takes which characters.
groups = {name: kind_of == i for i, name in enumerate(CHARACTER_CLASSES)} | {
    f"all of {name}": domain_of == i for i, name in enumerate(data.names)
}


def bars(shares):
    texts = [f"{100 * part:.0f} %" for part in shares]
    lengths = shares.clip(0.001).tolist()  # 0 would be drawn as dead
    return expert_bars(lengths, texts, 1 / E, "Share of each expert", least=1)


shares = {
    name: [share(experts[group, None], E) for experts in chosen]
    for name, group in groups.items()
}


def who_takes(which):
    first, second = shares[which]
    return message(
        f"{which[0].upper()}{which[1:]}: {100 * first.max():.0f} % to expert {int(first.argmax())} of the "
        f"first block, {100 * second.max():.0f} % to expert {int(second.argmax())} of the second",
        f"{int(groups[which].sum()):,} characters of {len(unseen):,}. The line is an even share.",
    ) + beside(
        message("First block") + bars(first), message("Second block") + bars(second)
    )


sharpest_first = sorted(groups, key=lambda name: -shares[name][0].max())
sweep(who_takes, which=("Characters", sharpest_first))

# %% [markdown]
# Is it code that this expert takes, or the characters that code is full of?
#
# We count in **bits**. Naming one of eight equally used experts takes three yes-or-no answers: three bits. A clue, a label of each
# character, saves some of them. How many it saves is the **mutual information**: the entropy of the expert, plus that of the label, less
# that of the pair.
#
# To know which text a character comes from saves some of the bits that name its expert. Now shuffle these labels, but only among equal
# characters: all `e` swap labels with each other, and so on. A label then tells only which characters its text is made of. How much
# of the saving is left?


# %% tags=["measure"]
# Measured: how many bits each clue saves, in text that the GPT never saw.
def entropy(numbers):
    """Whole numbers from 0 on -> bits."""
    return torch.special.entr(numbers.bincount() / len(numbers)).sum() / math.log(2)


def bits(expert, label):
    """How many bits the one tells about the other."""
    pair = expert * (label.max() + 1) + label
    return entropy(expert) + entropy(label) - entropy(pair)


mixed = torch.randperm(len(unseen), generator=torch.Generator().manual_seed(seed))


def shuffled(label, within):
    """The labels, shuffled among the characters that are alike in `within`."""
    found = torch.empty_like(label)
    found[within.argsort(stable=True)] = label[
        mixed[within[mixed].argsort(stable=True)]
    ]
    return found


clues = {
    "the text": domain_of,
    "the text, shuffled among equal characters": shuffled(domain_of, unseen),
    "the kind": kind_of,
    "the character itself": unseen,
    "the character, shuffled (control)": unseen[mixed],
}
saves = {
    clue: np.array([float(bits(experts, label)) for experts in chosen])
    for clue, label in clues.items()
}
to_name = np.array([float(bits(experts, experts)) for experts in chosen])
of_text, of_text_by_character, of_kind, of_character, _ = saves.values()
stays, known = of_text_by_character / of_text, of_character / to_name  # of each block

# %% tags=["draw", "nbval-ignore-output"]
# A table of the clues.
table(
    ["bits saved by", "first block", "second block"],
    {clue: [f"{bits:.2f}" for bits in both] for clue, both in saves.items()},
    title=f"In the first block, to know the text saves {of_text[0]:.2f} bits; {of_text_by_character[0]:.2f} are due to which characters it uses",
    note=f"One GPT, {len(unseen):,} characters. To name the expert takes {to_name[0]:.2f} and {to_name[1]:.2f} bits.",
)

# %% tags=["measure", "nbval-ignore-output"]
# Printed: how much of the saving is left, and how much of a table each router has become.
for name, left, part in zip(("first", "second"), stays, known, strict=True):
    print(
        f"{name} block: shuffled, {100 * left:.0f} % of the text's saving is left; "
        f"the character alone saves {100 * part:.0f} % of all bits"
    )
print(
    "What looks like an expert for code is, in the first block, one for the characters that code is full of."
    if stays[0] > 0.8
    else "So the text counts by itself, too."
)

# %% [markdown]
# A table from character to expert would save all bits. The rest hangs on what stands before the character, and where. That differs
# between the texts, too.

# %% [markdown]
# ### Who is missed, and who answers what
#
# Switch off one expert of the GPT at the top, and the next best takes its characters. What does that change in the prediction of
# its sentence?

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
    f"{costs.max():.2f} nats more, on average over this sentence",
    note=f"“{sentence}” With all experts, a character costs {usual:.2f} nats.",
)

# %% [markdown]
# And this is what each expert answers, in text that the GPT never saw:

# %% tags=["draw", "nbval-ignore-output"]
# A table of the first block's experts.
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
# We train a small dense GPT. For each character the `n` neurons that contribute most keep their values, and all others become 0.


# %% tags=["measure", "nbval-ignore-output"]
# Measured: what a dense GPT loses with fewer and fewer neurons.
dense, _ = trained("dense", comparison.DENSE)


def keep(h, w_out, n):
    """h (..., H), output weights (d, H) -> h with n neurons left for each token."""
    best = (h.abs() * w_out.norm(dim=0)).topk(n, dim=-1).indices
    return torch.zeros_like(h).scatter(-1, best, 1.0) * h


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
for n in (width, width // 2, width // 10, 1, 0):
    print(f"test loss with {n:3} of {width} neurons: {loss_keeping(n):.2f} nats")

# %% [markdown]
# Now ten **large** dense GPTs, which have as many parameters as the mixture in all. For each character a tenth of the neurons speak
# in each block: those that contribute most to it, or the same for all characters.

# %% tags=["measure"]
# Claim 08.3.
claim(
    "08.3",
    "Keeping the tenth of the neurons that contribute most to each character costs a "
    "large dense GPT less than 0.1 nats",
    quantity="rise of the test loss (nats)",
    measured=[run["keep"]["own"] - run["keep"]["all"] for run in long["runs"]],
    holds=below(0.1),
    control=[run["keep"]["fixed"] - run["keep"]["all"] for run in long["runs"]],
    control_is="the same tenth for every character, the best on average",
)

# %% [markdown]
# But to know which neurons contribute, all of them were computed first. A mixture has to say before who will contribute. That is
# the router's work, and why it is hard.

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
# Claim 08.4.
def lead_on(domain, kind="experts"):
    """How far a kind is ahead of dense on one text after 500 steps: one number a seed."""
    place = comparison.SHORT // comparison.EVERY
    dense, ours = (
        [run["curves"][each][domain][place] for run in long["runs"]]
        for each in ("dense", kind)
    )
    return np.subtract(dense, ours)


claim(
    "08.4",
    "The experts' lead on prose is larger than on arithmetic, by more than 0.04 nats",
    quantity="larger lead on prose (nats)",
    measured=lead_on("prose") - lead_on("arithmetic"),
    holds=above(0.04),
    control=lead_on("prose", "dice") - lead_on("arithmetic", "dice"),
    control_is="dice in place of the router",
)

# %% [markdown] tags=["08.steps"]
# ### A large opponent
#
# With equal multiplications *large* takes fewer steps than the others, so we compare early, where its training ends.
# [Ludziejewski et al. 2025](https://arxiv.org/abs/2502.05172) find, “under fixed memory and compute budgets”, that mixtures “can
# be more memory-efficient than dense models, contradicting conventional wisdom”. They count bytes and multiplications.
#
# Look at the small dense GPT first: it leads *large* without any experts. So having experts explains at most a part of their lead over
# *large*. Longer trainings of *large* are not measured here.

# %% tags=["measure", "nbval-ignore-output", "08.steps"]
# Measured: who leads the large dense GPT after equally many multiplications.
for kind in ("experts", "dense"):
    e = estimate(ahead(kind, "large", "multiplications", None))
    print(f"{kind:7} {e.mean:+.2f} nats ({e.low:+.2f} to {e.high:+.2f})")

# %% [markdown]
# ### What a step takes
#
# A step with experts multiplies as often as a dense one. But it also routes, computes the balance loss, and sorts characters by
# expert, so that each expert gets a small product of its own. The control is a mixture of one expert, as wide as the dense feed-forward:
# it routes, too, but has nothing to sort. (Only the first 200 steps count here, so the ratio differs a little.)

# %% tags=["measure"]
# Claim 08.5.
clock = {  # after 200 steps
    kind: comparison.curve(long, kind, "seconds")[0][:, 2]
    for kind in ("dense", "experts", "one")
}
longer = {
    kind: (clock[kind] / clock["dense"]).mean() - 1 for kind in ("experts", "one")
}
print(
    f"in the first 200 steps {100 * longer['experts']:.0f} % more time than dense; with one expert, {100 * longer['one']:.0f} %"
)
claim(
    "08.5",
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
