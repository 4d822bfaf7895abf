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
# 45 minutes. You leave able to swap a GPT's feed-forward for experts, train it to predict the next character, and read
# who handles what.
#
# Until now a mixture was a layer that classified digits. In practice it sits in a language model: each block of a GPT
# has a feed-forward network, and a mixture takes its place. Nothing else changes.

# %% tags=["setup"]
import copy
import textwrap

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.course import guess, quiz, reveal
from moe_tutorial.layers import (
    GPT,
    ExpertChoiceRouter,
    GPTConfig,
    MixtureOfExperts,
    switch_loss,
)
from moe_tutorial.show import (
    Line,
    draw_curves,
    is_narrow,
    live_gpt,
    picture,
    table,
    token_path,
)
from moe_tutorial.study import (
    CHARACTER_CLASSES,
    CHARACTERS,
    above,
    character_class,
    claim,
    decode,
    encode,
    loss_by_domain,
    multiplications,
    parameters,
    progress,
    route_text,
    seeds,
    texts,
    train_gpt,
    windows,
)
from moe_tutorial.study.systems import comparison

torch.set_num_threads(1)  # small models are fastest on one thread
E, STEPS, seed = 8, 600, seeds(1)[0]

# %% [markdown]
# Here is one. It reads character by character, guesses the next, and each block asks one of its eight experts for each
# character. In JupyterLab it learns on your machine, while the next cell runs. Then type into it, and switch off an expert.

# %% tags=["measure"]
# Train a GPT with experts, in half a minute or a little more.
data = texts()  # a text of your own joins in: texts(own={"mine": "my_text.txt"})
moe_config = GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128, n_experts=E)


def trained(name, config):
    """A new GPT that learns from `data`, and its test loss on the way."""
    torch.manual_seed(seed)
    model = GPT(config)
    run = train_gpt(model, data, seed=seed, steps=STEPS, every=50)
    return model, list(progress(run, STEPS // 50 + 1, name))


models, history = {}, {}
models["experts"], history["experts"] = trained("experts", moe_config)

# %% tags=["draw", "nbval-ignore-output"]
live_gpt(
    models["experts"],
    "The 12 monkeys ate 7*8=56 bananas, def f(x):",
    title="A GPT with experts, trained for this lesson",
)

# %% [markdown]
# The letter x of *mixture*, on its way through the first of the two blocks:

# %% tags=["draw", "nbval-ignore-output"]
word, place = "mixture", 2
with torch.no_grad():
    routings = models["experts"](encode(word)[None])[-1]  # one for each block
token_path(routings[0], place, name=f"the letter {word[place]}, in the first block,")

# %% [markdown]
# ## Three kinds of text
#
# Experts can only divide what is divisible. So we mix three kinds of text, and keep the label of each: **prose** from
# Python's own manual, **code** from its standard library, and **arithmetic** that we generate. All of it is on your
# machine already. A token is one character; there are 96.

# %%
print("domains:", ", ".join(data.names))
print("characters to train on, for each:", data.train.shape[1])
assert decode(encode("7*8=56\n")) == "7*8=56\n"

# %% [markdown]
# ### Further: a sample of each


# %% tags=["nbval-ignore-output"]
def show(name, text):
    lines = [textwrap.fill(line, 72) for line in text.split("\n")]
    print(f"--- {name}", *lines, "", sep="\n")


for name, stream in zip(data.names, data.test, strict=True):
    show(name, decode(stream[:120]))

# %% [markdown]
# ## The swap
#
# A block of a GPT has two halves. **Attention** lets each position gather from those before it. The **feed-forward** then
# works on each position alone: it takes a vector and returns a vector. That is exactly what a mixture does, so the swap
# is one line.


# %%
class MyBlock(nn.Module):
    """A GPT's block around whatever feed-forward it is given."""

    def __init__(self, width, heads, feed_forward):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = feed_forward

    def forward(self, x):
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(self.attention_norm(x)).chunk(3, -1)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        y, routing = self.feed_forward(self.feed_forward_norm(x))
        return x + y, routing


torch.manual_seed(seeds(1)[0])
mine = MyBlock(64, 4, MixtureOfExperts(64, 128, E, 1, activation="gelu"))

# %% [markdown]
# ### Further: it is the package's block
#
# The package's GPT is made of such blocks, and its config's `feed_forward` makes the swap. Give its first block the
# parameters of ours, and the numbers have to agree.

# %% tags=["measure"]
block = GPT(moe_config).blocks[0]
names = [name.removeprefix("attention.") for name in block.state_dict()]
own = mine.state_dict()
block.load_state_dict(
    dict(zip(block.state_dict(), (own[name] for name in names), strict=True))
)

x = torch.randn(2, 10, 64)
(y, routing), (other_y, other_routing) = mine(x), block(x)
assert torch.allclose(y, other_y, atol=1e-6)
assert torch.equal(routing.indices, other_routing.indices)

# %% [markdown]
# ## A fair opponent
#
# The mixture asks one expert of 128 neurons for each character. Its router computes eight logits, each from 64 numbers;
# that costs as much as four more neurons. So the dense opponent gets 132.

# %% tags=["measure"]
dense_config = GPTConfig(len(CHARACTERS), d_hidden=132)
characters = torch.zeros(1, 64, dtype=torch.long)
for name, config in {"dense": dense_config, "experts": moe_config}.items():
    model = GPT(config)
    print(
        f"{name:8}{parameters(model):8,} parameters,"
        f"{multiplications(model, characters) // 64:8,} multiplications a character"
    )

# %% [markdown]
# Equal work, and nearly four times the parameters.
#
# ## Further: no peeking
#
# A model that predicts the next character must not see it. Attention hides what comes later. Routing could give it away:
# so we change the last ten characters, and look whether anything before them notices, scores or choice of experts.


# %% tags=["measure"]
def notices(model):
    """Do scores or routing of the first 54 characters depend on the last 10?"""
    before = data.test[:1, :64]
    after = torch.cat([before[:, :54], data.test[1:2, :10]], dim=1)
    (one, _, records), (other, _, others) = model(before), model(after)
    scores = not torch.allclose(one[:, :54], other[:, :54], atol=1e-5)
    choice = any(
        not torch.allclose(r.weights[:54], o.weights[:54], atol=1e-5)
        for r, o in zip(records, others, strict=True)
    )
    return scores, choice


torch.manual_seed(seeds(1)[0])
honest, peeking = GPT(moe_config), GPT(moe_config)
for block in peeking.blocks:
    block.feed_forward.router = ExpertChoiceRouter(64, E, 1)
print("each token chooses, scores and routing notice: ", *notices(honest))
print("each expert chooses, scores and routing notice:", *notices(peeking))

# %% [markdown]
# Expert choice (lesson 07) balances perfectly, but an expert that picks the best of *all* tokens has read the future.
#
# ## Train
#
# The readable loop: draw pieces of text, ask for the loss, add a little of each block's Switch loss, step. The records
# that a call returns are of this call. Nothing is stored in the model, so nothing can go stale.


# %%
def my_train(model, steps, seed):
    """Train on random pieces of 64 characters."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        tokens, targets, _ = windows(data.train, 16, 64, generator)
        _, loss, records = model(tokens, targets)
        for routing in records:
            loss = loss + 0.01 * switch_loss(routing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss_by_domain(model, data)


# %% tags=["measure"]
torch.manual_seed(seed)
one = GPT(moe_config)
other = copy.deepcopy(one)
by_hand = my_train(one, 10, seed)
*_, last = train_gpt(other, data, seed=seed, steps=10, every=10)
assert torch.allclose(by_hand, last.loss, atol=1e-3)  # the package's loop is the same

# %% [markdown]
# The GPT at the top of this page learned so, for 600 steps. Now the dense one, on the same pieces of text. In JupyterLab a
# bar shows how far it is.
#
# The loss is in **nats**: with a loss of $L$, the right character got a probability of $e^{-L}$, in the geometric mean. One
# nat is 1.44 bits.

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

# %% [markdown]
# And which after the same *time*? Keep that answer to yourself: the time is your machine's affair.

# %% tags=["measure", "08.steps"]
models["dense"], history["dense"] = trained("dense", dense_config)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output", "08.steps"]
ends = {name: history[name][-1].loss for name in ("dense", "experts")}
lead = float(ends["dense"].mean() - ends["experts"].mean())
table(
    ["test loss, nats a character", *data.names, "mean"],
    {
        "nothing learned": [f"{np.log(len(CHARACTERS)):.2f}"] * 4,
        **{
            name: [f"{loss:.2f}" for loss in [*end, end.mean()]]
            for name, end in ends.items()
        },
    },
    title=f"After {STEPS} steps the "
    f"{'experts are' if lead > 0 else 'dense model is'} ahead by {abs(lead):.2f} nats",
    note="One run of each, so it proves nothing yet. Lower is better.",
)

# %% [markdown]
# ## The long comparison
#
# One run proves nothing. So a program trains ten seeds of four models on the same text, with a test every hundred steps,
# and takes the processor's time beside it:
#
# - **dense**: our opponent;
# - **experts**: chosen by a router that learns;
# - **table**: the same experts, but a fixed table says which one takes an `a`, a `b`, a `c`. It is drawn once and learns
#   nothing;
# - **dice**: the same experts, and a die for each character. This is the control.
#
# It takes some minutes, so its results come with the course: those of one machine, on the manual and the library of its
# Python. In a terminal, `make comparison` makes them again, of yours.

# %% tags=["measure", "08.steps"]
long = comparison.results()
if long is None:  # MOE_SEED names other seeds, and nobody has trained them yet
    print(
        "Results of these seeds are missing:", comparison.command(seed), "makes them."
    )
    print("What follows shows the course's own seeds, so that these claims are")
    print("not judged: 08.1, 08.2, 08.3, 08.4, 08.5, 08.6, 08.7.")
    long = comparison.results(first=0)

    def claim(*_, **__):
        """Results of other seeds judge nothing."""


print(f"seeds {long['runs'][0]['seed']} to {long['runs'][-1]['seed']},", end=" ")
print(f"{comparison.STEPS} steps; dense goes on to {comparison.DENSE_STEPS}.")


# %% tags=["measure", "08.steps"]
def curves(kind, column):
    """(seeds, tests) of a domain's loss, or of "seconds"."""
    return np.array([run["curves"][kind][column] for run in long["runs"]])


KINDS = ["dense", "experts", "table", "dice"]
loss = {  # seeds, tests, domains
    kind: np.stack([curves(kind, name) for name in data.names], -1) for kind in KINDS
}
mean = {kind: by_domain.mean(-1) for kind, by_domain in loss.items()}
seconds = {kind: curves(kind, "seconds") for kind in KINDS}
end = comparison.STEPS // comparison.EVERY

# %% [markdown]
# **Equal steps.** All have read the same text, and all do the same work per character (the table and the dice save the
# router's).

# %% tags=["measure", "08.steps"]
ahead = mean["dense"][:, end] - mean["experts"][:, end]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
if abs(ahead.mean()) < 0.03:
    better = "they are equal, within 0.03 nats"
else:
    better = "the one with experts" if ahead.mean() > 0 else "the dense one"
reveal("08.steps", better)

# %% tags=["measure", "08.steps"]
claim(
    "08.1",
    "After 700 equal steps, the GPT with experts predicts better than the dense one "
    "by more than 0.03 nats",
    quantity="lead in test loss",
    unit="nats",
    measured=ahead,
    holds=above(0.03),
    control=mean["dense"][:, end] - mean["dice"][:, end],
    control_is="dice in place of the router",
)

# %% [markdown]
# So parameters alone do not help: with dice, the same experts are far *behind*. Is it the learning of the router, then? The
# table has learned nothing. Guess where it ends before you run the next cell.

# %% tags=["measure"]
claim(
    "08.2",
    "A fixed table from character to expert predicts better than the router that "
    "learns",
    quantity="lead in test loss",
    unit="nats",
    measured=mean["experts"][:, end] - mean["table"][:, end],
    holds=above(0),
    control=mean["experts"][:, end] - mean["dice"][:, end],
    control_is="dice in place of the table",
    refutes="Experts help because the router learns whom to ask",
)

# %% [markdown]
# Table and dice have both learned nothing. But with the table the same character always comes back to the same expert.
# That is enough here, and after so few steps the learned router does not do better. Whether it would catch up, this
# comparison does not say.

# %% [markdown]
# **Equal time.** The tokens of a mixture have to be sorted by expert, and each expert gets a small matrix product of
# its own. The multiplications are as many. Is the time? *Here* is the machine that made the results.

# %% tags=["measure"]
step_time = {
    kind: seconds[kind][:, end] / comparison.STEPS for kind in ("dense", "experts")
}
later = seconds["dense"][:, -1] - seconds["dense"][:, end]
later = later / (comparison.DENSE_STEPS - comparison.STEPS)
claim(
    "08.4",
    "A training step with experts takes more than 1.15 times as long as a dense one "
    "with as many multiplications",
    quantity="time of a step",
    unit="times as long",
    measured=step_time["experts"] / step_time["dense"],
    holds=above(1.15),
    control=later / step_time["dense"],
    control_is="dense again, its later steps",
    timed=True,
    refutes="Equal active cost is equal time",
)


# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output", "08.steps"]
def lead_at_the_time_of(test):
    """Lead of the experts, one a seed, over what dense has reached in the same time."""
    return np.array(
        [
            np.interp(when, clock, dense) - experts
            for when, clock, dense, experts in zip(
                seconds["experts"][:, test],
                seconds["dense"],
                mean["dense"],
                mean["experts"][:, test],
                strict=True,
            )
        ]
    )


def verdict(lead):
    """Ahead or behind where the mean is twice its standard error away from zero."""
    error = lead.std(ddof=1) / len(lead) ** 0.5
    if abs(lead.mean()) < 2 * error:
        return "level"
    return "ahead" if lead.mean() > 0 else "behind"


def draw(figure, theme):
    panels = figure.subplots(2, 1) if is_narrow(figure) else figure.subplots(1, 2)
    styles = {
        "dice": ("--", "control"),
        "dense": ("-", "muted"),
        "experts": ("-", "text"),
        "table": (":", "muted"),
    }
    for axes, by_time in zip(panels, (False, True), strict=True):
        lines = {}
        for kind, style in styles.items():
            ys = (mean[kind] if by_time else mean[kind][:, : end + 1])[:, 1:]
            xs = comparison.EVERY * np.arange(1, ys.shape[1] + 1)
            if by_time:
                xs = seconds[kind].mean(0)[1:]
            lines[kind] = Line(xs, ys.mean(0), *style, low=ys.min(0), high=ys.max(0))
        draw_curves(
            axes,
            theme,
            lines,
            x="seconds of training" if by_time else "steps",
            y="" if by_time else "test loss, nats",
            ylim=(1.33, 2.75),
            yticks=[1.6, 2.0, 2.4],
        )


lead = mean["dense"][:, : end + 1] - mean["experts"]
sure = [
    comparison.EVERY * test for test in range(1, end + 1) if (lead[:, test:] > 0).all()
]
at_steps = f"in all ten seeds from step {sure[0]} on" if sure else "in most seeds"
# Where the dense run ends earlier than the experts', nothing can be compared.
enough = (seconds["experts"] <= seconds["dense"][:, -1:]).all(0)
last = int(np.flatnonzero(enough)[-1])
early = min(4, last)
at_time = (
    f"{verdict(lead_at_the_time_of(early))} in the time of {100 * early} of their "
    f"steps, and {verdict(lead_at_the_time_of(last))} in the time of {100 * last}"
)
picture(
    draw,
    title=f"At equal steps the experts lead {at_steps}; at equal time they are "
    + at_time,
    note=(
        "Mean test loss of three domains, by steps and by time. Lines: means of ten "
        "seeds; bands: from the lowest to the highest. Seconds of the machine that made "
        "the results."
    ),
    alt=f"Test loss after {comparison.STEPS} steps: "
    + ", ".join(f"{kind} {mean[kind][:, end].mean():.2f}" for kind in KINDS)
    + f". At equal time the experts are {at_time}.",
    height=320,
    narrow_height=520,
)

# %% [markdown]
# Whoever counts steps sees the experts win. Whoever counts seconds has to read the title again. Lesson 11 asks where a
# step with experts costs little more than a dense one.

# %% [markdown]
# ### Further: where the results come from, and on which text experts help
#
# The results and their machine:

# %% tags=["measure", "nbval-ignore-output"]
made = long["made"]
print(
    f"Made by {made['command']} on {made['date']}, {made['workers']} seeds at a time,"
)
print(f"in {made['processor minutes']:.0f} minutes of a processor's time,")
print(f"with PyTorch {made['torch']}, on the texts of Python {made['python']}.")
same = comparison.fingerprints(data) == made["texts"]
print("Your Python's texts are", "the same." if same else "a little different.")

# %% [markdown]
# All three domains count the same above. One by one:

# %% tags=["measure", "08.steps"]
by_domain = loss["dense"][:, end] - loss["experts"][:, end]
by_dice = loss["dense"][:, end] - loss["dice"][:, end]
prose, code, arithmetic = range(3)
claim(
    "08.3",
    "The experts' lead on prose is larger than on arithmetic, by more than 0.04 nats",
    quantity="larger lead on prose",
    unit="nats",
    measured=by_domain[:, prose] - by_domain[:, arithmetic],
    holds=above(0.04),
    control=by_dice[:, prose] - by_dice[:, arithmetic],
    control_is="dice in place of the router",
)

# %% [markdown]
# Is there nothing to win on arithmetic? Operands and signs are random, so nobody can foresee them. Only the result can be
# calculated. A perfect calculator would pay for the random part alone:

# %% tags=["measure"]
lines = decode(data.test[2]).split("\n")[1:-1]
length = np.mean([len(line) + 1 for line in lines])
random_part = (2 * np.log(100) + np.log(3)) / length
print(f"a perfect calculator's loss on arithmetic: {random_part:.1f} nats a character")
ours = loss["experts"][:, end, arithmetic].mean()
print(f"the experts' loss on arithmetic:           {ours:.1f}")

# %% [markdown]
# There would be a lot to win. With this training the experts have not found it.

# %% [markdown]
# ## Further: let them write
#
# Feed the model a few characters, draw the next from its softmax, append it, and go on. A **temperature** divides the
# scores before the softmax: below 1 the model becomes careful, above 1 daring. Try it: change the prompt, the
# temperature, the model.

# %% tags=["nbval-ignore-output"]
for prompt in ("The value of ", "def get_", "12*11="):
    written = models["experts"].generate(
        encode("\n" + prompt)[None],
        n_new=120,
        temperature=0.7,
        generator=torch.Generator().manual_seed(seed),
    )
    show(repr(prompt), decode(written[0, 1:]))

# %% [markdown]
# Does it know what prose, code and sums *look* like? And does it know what they mean? Check a sum.

# %% [markdown]
# ### Further: what the cache saves
#
# Each new character needs the keys and values of all characters before it, which do not change. `generate` keeps them: a
# **key-value cache**. As long as everything fits into the context of 64, the cache may change the cost, but not the text.
# Beyond that, `generate` goes on from the newer half.


# %% tags=["measure"]
def without_cache(model, tokens, n_new):
    """The likeliest continuation, reading everything again for each character."""
    for _ in range(n_new):
        scores = model(tokens)[0][:, -1]
        tokens = torch.cat([tokens, scores.argmax(-1, keepdim=True)], dim=1)
    return tokens


start = encode("def get_")[None]
model = models["experts"]
kept = model.generate(start, 50, temperature=0)
assert torch.equal(kept, without_cache(model, start, 50))


def work(generate):
    """Multiplications a new character."""
    with torch.no_grad():
        return multiplications(generate, start) // 50


with_it = work(lambda start: model.generate(start, 50, temperature=0))
without = work(lambda start: without_cache(model, start, 50))
print(f"multiplications a character: {with_it:,} with the cache, {without:,} without")

# %% [markdown]
# ## Who handles what?
#
# Here is text that the model never saw, some of each kind. Each character carries the colour and the number of the expert
# that took it. Write lines of your own, then switch off the expert that takes most of the digits: who takes them now, and
# how much worse does the model guess?

# %% tags=["draw", "nbval-ignore-output"]
unseen = "\n".join(decode(stream[2000:2025]) for stream in data.test)
live_gpt(
    models["experts"],
    " ".join(unseen.split()),
    title="The same GPT, on text that it never saw",
)

# %% [markdown]
# Does any expert prefer spaces, digits, signs, or one domain? Nobody told them what a digit is.

# %% [markdown]
# Is this structure, or do we see faces in clouds? That needs numbers, and more than one run.
#
# ### Further: who takes how much

# %% tags=["measure"]
LENGTH = 192
text = "".join(decode(stream[:LENGTH]) for stream in data.test)
routings = route_text(models["experts"], encode(text))
indices = torch.stack([routing.indices for routing in routings])

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
kinds = character_class(encode(text))
where = torch.arange(len(data.names)).repeat_interleave(LENGTH)
groups = {name: where == i for i, name in enumerate(data.names)} | {
    name: kinds == i for i, name in enumerate(CHARACTER_CLASSES)
}


def favourites(chosen):
    """The two experts that take most of these characters, with their parts."""
    parts = torch.bincount(chosen, minlength=E) / len(chosen)
    best = parts.topk(2)
    return " · ".join(
        f"{e}: {p:.0%}"
        for e, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )


sharpest = max(
    (torch.bincount(block[mask, 0], minlength=E).max() / mask.sum(), name, number)
    for number, block in enumerate(indices)
    for name, mask in groups.items()
    if mask.sum() > 9
)
table(
    ["", "characters", *(f"block {n + 1}" for n in range(len(indices)))],
    {
        name: [
            str(int(mask.sum())),
            *(favourites(block[mask, 0]) for block in indices),
        ]
        for name, mask in groups.items()
        if mask.sum() > 9
    },
    title=f"In block {sharpest[2] + 1} one expert takes {sharpest[0]:.0%} of the "
    f"characters of the kind “{sharpest[1]}”",
    note="The two experts that take most of each domain and of each kind of character "
    "that occurs ten times or more.",
)

# %% [markdown]
# ## Structure, in numbers
#
# Back to the faces in the clouds. How many bits does the expert's number tell about a character? This is the **mutual
# information** between expert and label: how much less uncertain the label is when you hear the expert's number. Three
# equally likely domains have 1.58 bits to tell. By chance a little is told as well, so we shuffle the labels.

# %% tags=["measure"]


def bits(about, model="trained"):
    """(seeds, blocks) of mutual information, in bits."""
    return np.array([run["information"][model][about] for run in long["runs"]])


# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
domain_most, class_most = bits("most").mean(0)
table(
    ["bits about", "trained", "untrained", "shuffled", "at most"],
    {
        f"{name}, block {block + 1}": [
            f"{bits(about)[:, block].mean():.2f}",
            f"{bits(about, 'untrained')[:, block].mean():.2f}",
            f"{bits(f'{about}, shuffled')[:, block].mean():.3f}",
            most,
        ]
        for about, name, most in (
            ("domain", "domain", f"{domain_most:.2f}"),
            ("domain beyond the character", "domain, character known", ""),
            ("class", "kind of character", f"{class_most:.2f}"),
        )
        for block in range(2)
    },
    title="Training raises what the expert tells about the kind of a character from "
    f"{bits('class', 'untrained')[:, 0].mean():.1f} to "
    f"{bits('class')[:, 0].mean():.1f} bits",
    note="Means over ten seeds, on test text. Kinds: lower and upper case, digit, "
    "space, line end, sign.",
)

# %% [markdown]
# So there is structure of both sorts, and not by chance. Is it the router that learned it, or the model around it, whose
# vectors the router reads? This comparison cannot say; exercise 5 helps.

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("08")

# %% [markdown]
# ### Further: more than chance, more than an untrained model knows, more than the character tells

# %% tags=["measure"]
claim(
    "08.5",
    "In the first block, the expert's number tells more than 0.2 bits about the domain",
    quantity="what the expert's number tells",
    unit="bits",
    measured=bits("domain")[:, 0],
    holds=above(0.2),
    control=bits("domain, shuffled")[:, 0],
    control_is="shuffled labels",
)

# %% [markdown]
# Shuffled labels are an easy opponent. An *untrained* model also sends equal characters the same way, since they look
# the same to it. What does training add?

# %% tags=["measure"]
claim(
    "08.6",
    "In the first block of a trained model, the expert's number tells more than 0.5 "
    "bits about the kind of character",
    quantity="what the expert's number tells",
    unit="bits",
    measured=bits("class")[:, 0],
    holds=above(0.5),
    control=bits("class", "untrained")[:, 0],
    control_is="the same model, untrained",
)

# %% [markdown]
# Digits are mostly arithmetic. So is the domain only the character in disguise? Compare equal characters: the same `e`, in
# prose and in code. If the expert still tells the domain, it has looked at what stands around. The control shuffles the
# domains among equal characters.

# %% tags=["measure"]
claim(
    "08.7",
    "In the second block, the expert's number tells more than 0.08 bits about the "
    "domain that the character itself does not tell",
    quantity="what the expert's number tells",
    unit="bits",
    measured=bits("domain beyond the character")[:, 1],
    holds=above(0.08),
    control=bits("domain beyond the character, shuffled")[:, 1],
    control_is="domains shuffled among equal characters",
)

# %% [markdown]
# ## Try it
#
# 1. Pick two experts of 64 neurons each: `GPTConfig(..., d_hidden=64, top_k=2)`. Is the active cost the same? Train it,
#    and look at who answers. What changes for the spaces?
# 2. Take the balance away: `train_gpt(..., balance=0)`. Do experts die, as in lesson 05? And what becomes of the loss?
# 3. Give the dense model eight times the neurons, `d_hidden=8 * 128`. It has the *total* size of the mixture then: is it
#    better, and what does a step cost?
# 4. Add a text of your own as a fourth domain. Does it get an expert of its own?
# 5. Freeze the routers before training: call `requires_grad_(False)` on `feed_forward.router` of each of `model.blocks`.
#    What does the loss say, and who answers now?
#
# ## Recap
#
# - A mixture replaces the feed-forward of each block. Records are returned with each call, one a block.
# - Routing by token is causal. Expert choice is not.
# - At equal steps and equal active cost, experts predict better here. With dice the same experts predict worse; with a
#   fixed table, better still.
# - Equal multiplications need not be equal time: that is for a clock to say.
# - The expert's number tells about the kind of character and about the domain, far beyond chance.
#
# **Sources.** GPT-2: [Radford et al. 2019](https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf).
# Experts in every other block: [Lepikhin et al. 2020](https://arxiv.org/abs/2006.16668) and
# [Fedus et al. 2021](https://arxiv.org/abs/2101.03961). What experts specialise in:
# [Jiang et al. 2024](https://arxiv.org/abs/2401.04088), section 5; [OLMoE](https://arxiv.org/abs/2409.02060), section 5. A fixed
# table: [Roller et al. 2021](https://arxiv.org/abs/2106.04426). The texts: [Python's documentation](https://docs.python.org/3/license.html) and library, under the PSF licence.
