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
# # Trees, mixtures and dense networks
#
# 45 minutes. You leave able to hold dense network, mixture and tree side by side, and to judge what is said about fast
# feedforward networks (FFF).
#
# Both a mixture and a tree have many small networks and ask one of them. What is said about the tree sounds like the end
# of the mixture. A summary of early 2024 says of it, in these words:
#
# 1. “An improvement upon the mixture of experts.”
# 2. “Aims to replicate a balanced distribution of data among experts.”
# 3. “Reduces the need for artificial noise during training.”
# 4. “Results in a similar training time as a standard GPT but quicker inference.”
#
# And its source, Belcak and Wattenhofer's abstract: FFFs are “up to 220x faster than feedforward networks, up to 6x faster
# than mixture-of-experts networks, and exhibit better training properties than mixtures of experts thanks to noiseless
# conditional execution”. We make a question of each sentence and measure it, with the same data, the same widths and the
# same care for all.

# %% tags=["setup"]
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.course import guess, quiz, reveal
from moe_tutorial.layers import (
    GPT,
    FastFeedForward,
    GPTConfig,
    MixtureOfExperts,
    hardening_loss,
    hardening_ramp,
    node_balance_loss,
    switch_loss,
)
from moe_tutorial.layers.fast.blocks import dot
from moe_tutorial.layers.fast.compiling import kernel
from moe_tutorial.layers.fast.descent import answer_one, descend_arrays
from moe_tutorial.show import (
    bars,
    interval_chart,
    is_narrow,
    look,
    message,
    picture,
    seed_dots,
    seed_strip,
    sweep,
    table,
)
from moe_tutorial.study import (
    CHARACTERS,
    above,
    below,
    claim,
    dead,
    digits,
    digits4,
    entropy,
    in_every_seed,
    in_the_median,
    seeds,
    share,
    texts,
    train,
    train_gpt,
)
from moe_tutorial.study.language import unseen_windows
from moe_tutorial.study.timing import beyond_cache, in_turn, time_side_by_side

torch.set_num_threads(1)  # small models are fastest, and times fair, on one thread
DEPTH, LEAF = 3, 8
E = 2**DEPTH  # leaves of the tree, and experts of the mixture

# %% [markdown]
# ## One step apart
#
# How much do the two differ? Write both choices down. The mixture asks all its rows at once, and the largest score wins.
# The tree asks one row after the other, and each answer decides which row is next.

# %% tags=["draw", "nbval-ignore-output"]
torch.manual_seed(seeds(1)[0])
tree, token = FastFeedForward(64, 10, DEPTH, LEAF).eval(), torch.randn(1, 64)
leaf = int(tree(token)[1].leaf)
way = [(leaf + E) // 2**level - 1 for level in range(1, DEPTH + 1)]  # its nodes


def draw(figure, theme):
    mixture, below_it = figure.subplots(
        *((2, 1) if is_narrow(figure) else (1, 2)), sharex=True, sharey=True
    )
    ink, ground = (look.color(name, theme) for name in ("text", "ground"))

    def dots(axes, places, read, marker):
        colors = [ink if yes else ground for yes in read]
        axes.scatter(*places, s=110, marker=marker, c=colors, edgecolors=ink, zorder=3)

    def leaves(axes):
        dots(axes, (range(E), [0] * E), [n == leaf for n in range(E)], "s")

    mixture.set_title(f"a mixture reads all {E} rows")
    mixture.vlines(leaf, 0, DEPTH, color=ink, linewidth=2)
    dots(mixture, (range(E), [DEPTH] * E), [True] * E, "o")
    leaves(mixture)

    below_it.set_title(f"a tree reads {DEPTH} of {E - 1}")
    nodes = range(1, 2 * E)  # the root is 1; from E on they are leaves
    level = [n.bit_length() - 1 for n in nodes]
    x = [(n - 2**d + 0.5) * E / 2**d - 0.5 for n, d in zip(nodes, level, strict=True)]
    y = [DEPTH - d for d in level]
    for n in nodes[1:]:
        on_the_way = n - 1 in way or n == leaf + E
        ends = [n - 1, n // 2 - 1]
        below_it.plot(
            [x[i] for i in ends],
            [y[i] for i in ends],
            color=ink,
            linewidth=2 if on_the_way else 0.5,
        )
    dots(below_it, (x[: E - 1], y[: E - 1]), [n in way for n in range(E - 1)], "o")
    leaves(below_it)
    for axes in (mixture, below_it):
        axes.set(xlim=(-1.2, E + 0.2), ylim=(-0.6, DEPTH + 0.6))
        axes.axis("off")


picture(
    draw,
    title=f"To find one of {E}, a mixture reads {E} rows and a tree {DEPTH}",
    note="Circles: rows of weights that are read against the token; filled: these were read. "
    "Squares: experts, or leaves; filled: the one that answers.",
    alt=f"A row of {E} filled circles above {E} squares; and a tree of {E - 1} circles, of "
    f"which {DEPTH} are filled, from the root down to one of {E} squares.",
    height=220,
    narrow_height=400,
)


# %%
def choose_by_scores(x, router_weight):
    """The expert with the largest score: (T, d) -> (T,)."""
    return (x @ router_weight.T).argmax(-1)


def choose_by_questions(x, node_weight, node_bias):
    """The leaf at the end of the way: (T, d) -> (T,)."""
    node = torch.zeros(len(x), dtype=torch.long)
    for _ in range(DEPTH):
        logit = (x * node_weight[node]).sum(-1) + node_bias[node]
        node = 2 * node + 1 + (logit >= 0)
    return node - len(node_weight)


# %% [markdown]
# After that they are the same: one small network answers. Only that the mixture still multiplies the answer by the gate
# weight, the probability of its choice. That gate weight is how the mixture's router learns (lesson 04). The tree has no gate weight; how
# it learns, lesson 12 has shown. Keep this in mind for the fourth sentence.

# %% [markdown]
# ## The contestants
#
# Widths have to be fair, and there are two of them. In **training** the tree has 8 leaves of 8 neurons, 64 in all. In
# **inference** it asks 8. So it gets two dense opponents: one as wide as all leaves, one as wide as a leaf. The mixture
# has 8 experts of 8 neurons and asks one.
#
# (By width, as the tree's authors compare. Choosing is left out; at this size that favours mixture and tree over the
# small dense network.)
#
# Care has to be fair as well. All get standardised inputs. The mixture gets its Switch loss. The tree gets what lesson 12
# found it to need: a hardening ramp and a node-balance loss.

# %% tags=["measure"]
STEPS = 500


def run(
    build,
    data,
    hardening=0.0,
    node_balance=0.0,
    switch=0.0,
    learning_rate=0.01,
    who=None,
):
    """Train ten seeds. Accuracy and, where there is a choice, what became of it."""

    def penalty(record, step):
        if hasattr(record, "indices"):
            return switch * switch_loss(record)
        ramp = hardening_ramp(step, 0, STEPS // 2, hardening)
        return ramp * hardening_loss(record) + node_balance * node_balance_loss(record)

    losses = hardening or node_balance or switch
    trained = train(
        build,
        data,
        who or seeds(10),
        steps=STEPS,
        learning_rate=learning_rate,
        penalty=penalty if losses else None,
    )
    found = {"accuracy": trained.accuracy(data.x_test, data.y_test)}  # tree: hard
    with torch.no_grad():
        output = trained(data.x_test)  # still in training mode: the tree is soft
    if isinstance(output, tuple):
        scores, record = output
        found["shares"] = trained.shares(data.x_test)
        found["dead"] = dead(found["shares"]).float()
        found["entropy"] = entropy(found["shares"])
        if hasattr(record, "leaf"):
            found["soft"] = (scores.argmax(-1) == data.y_test).float().mean(-1)
    return found


def dense(neurons):
    return lambda: nn.Sequential(
        nn.Linear(64, neurons), nn.ReLU(), nn.Linear(neurons, 10)
    )


def a_mixture():
    return MixtureOfExperts(64, LEAF, E, 1, d_out=10)


def a_tree():
    return FastFeedForward(64, 10, DEPTH, LEAF)


# %% [markdown]
# On which images do we choose the coefficients? Not on the test images: what was chosen on them is no test any more. A quarter
# of the *training* images is put aside, for **validation**. There each of the four gets three tries, on seeds that nothing
# below uses. Then all train anew on all training images, and only then the test images are asked.

# %% tags=["measure"]
HARD, EVEN = 20.0, 1.0  # coefficients of the hardening and of the node-balance loss
BUILD = {
    "dense 64": dense(64),
    "dense 8": dense(8),
    "mixture": a_mixture,
    "tree": a_tree,
}
rates = [{"learning_rate": rate} for rate in (0.01, 0.003, 0.03)]
TRIES = {  # the first of each is the one that we use from here on
    "dense 64": rates,
    "dense 8": rates,
    "mixture": [{"switch": weight} for weight in (0.1, 0.01, 1.0)],
    "tree": [
        {"hardening": hard, "node_balance": even}
        for hard, even in ((HARD, EVEN), (HARD / 4, EVEN), (HARD, 3 * EVEN))
    ],
}


def validation(data):
    """Three quarters of the training images, and the others, in all rotations, to test on."""
    images = len(data.x_train) // 4
    order = torch.randperm(images, generator=torch.Generator().manual_seed(0))
    kept, aside = (
        torch.cat([part + images * rotation for rotation in range(4)])
        for part in order.split([images - images // 4, images // 4])
    )
    return data._replace(
        x_train=data.x_train[kept],
        y_train=data.y_train[kept],
        x_test=data.x_train[aside],
        y_test=data.y_train[aside],
    )


held_out = validation(digits4("standardised"))
for name, tries in TRIES.items():
    first, *others = (
        float(run(BUILD[name], held_out, **setting, who=[900, 901])["accuracy"].mean())
        for setting in tries
    )
    print(
        f"{name:9} the first is within a point of the best: {first > max(others) - 0.01}"
    )

# %% [markdown]
# ## “An improvement upon the mixture of experts”
#
# Now all four train, and once more a mixture without any care: raw pixels, no Switch loss. A comparison is only as fair as
# the care that the opponent got.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.improvement",
    "“An improvement upon the mixture of experts.” A tree and a mixture of the same "
    "widths, with the same care, on `digits4`: is the tree ahead by a point of accuracy "
    "or more?",
    choices=["yes", "no"],
)


# %% tags=["measure"]
def contest(data):
    return {name: run(BUILD[name], data, **TRIES[name][0]) for name in BUILD}


def lead(results, one, other):
    return results[one]["accuracy"] - results[other]["accuracy"]


on_digits4 = contest(digits4("standardised"))
careless = run(a_mixture, digits4("raw"))

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
over_mixture = lead(on_digits4, "tree", "mixture")
over_careless = on_digits4["tree"]["accuracy"] - careless["accuracy"]
ahead = over_mixture.mean() >= 0.01
reveal(
    "13.improvement",
    "yes" if ahead else "no",
    says="Verdict: "
    + ("yes, in accuracy" if ahead else "no, not in accuracy")
    + f". The tree's lead over the mixture is {100 * over_mixture.mean():+.1f} points. Over a mixture without care, on raw pixels "
    f"and without a Switch loss, it is {100 * over_careless.mean():+.1f}. So whenever you read that X beats mixtures, look for the "
    "line that says how the mixture was balanced.\n\n"
    "These are small networks on small images. "
    + (
        "One case does not prove a sentence without an if."
        if ahead
        else "The sentence has no if, and so one case refutes it. That a tree can improve on a mixture somewhere, we have not "
        "refuted."
    ),
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]


def results_table(results, name):
    accuracy = {key: float(r["accuracy"].mean()) for key, r in results.items()}
    ranking = sorted(accuracy, key=accuracy.get, reverse=True)
    return table(
        ["", "accuracy", "soft", "dead", "entropy"],
        {
            key: [
                f"{accuracy[key]:.3f}",
                f"{r['soft'].mean():.3f}" if "soft" in r else "",
                f"{r['dead'].mean():.1f}" if "dead" in r else "",
                f"{r['entropy'].mean():.2f}" if "dead" in r else "",
            ]
            for key, r in results.items()
        },
        title=f"On {name}: "
        + ", ".join(f"{accuracy[key]:.2f} for {key}" for key in ranking),
        note="Means over ten seeds. The tree's accuracy is that of the hard descent; soft: "
        "all leaves mixed. Dead: of 8 experts or leaves. Entropy of their use: 1 is even.",
    )


results_table(on_digits4, "digits4")

# %% tags=["measure"]
claim(
    "13.1",
    "On digits4 the tree is not ahead of a mixture of the same widths, not by a point",
    quantity="the tree's lead in accuracy",
    measured=lead(on_digits4, "tree", "mixture"),
    holds=below(0.01),
    control=on_digits4["tree"]["accuracy"] - careless["accuracy"],
    control_is="a mixture on raw pixels, without the Switch loss",
    refutes="“An improvement upon the mixture of experts”, as far as accuracy goes here",
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
interval_chart(
    {
        "dense 64": on_digits4["dense 64"]["accuracy"],
        "mixture": on_digits4["mixture"]["accuracy"],
        "tree": on_digits4["tree"]["accuracy"],
        "mixture without care": careless["accuracy"],
        "dense 8": on_digits4["dense 8"]["accuracy"],
    },
    title=f"The tree's lead: {100 * over_careless.mean():+.0f} points over a mixture "
    f"without care, {100 * over_mixture.mean():+.1f} over one with care",
    note="Test accuracy on digits4: ten seeds, the mean, and its 95 % interval. Without "
    "care: raw pixels and no Switch loss.",
    unit="test accuracy",
)

# %% [markdown]
# ## Against dense networks
#
# First the good news, for mixture and tree alike. Against a dense network of the width that *answers* both win clearly
# where there are several rules. And where there is one rule, and nothing to divide? That is the control.

# %% tags=["measure"]
on_digits = contest(digits("standardised"))


# %% tags=["measure"]
def smaller_lead(results):
    """Of tree and mixture the one that is less ahead: one a seed."""
    tree, mixture = (lead(results, n, "dense 8") for n in ("tree", "mixture"))
    return torch.minimum(tree, mixture)


claim(
    "13.2",
    "On digits4, tree and mixture are both more accurate than a dense network of their "
    "inference width, by more than eight points",
    quantity="lead in accuracy, the smaller of the two",
    measured=smaller_lead(on_digits4),
    holds=above(0.08),
    control=smaller_lead(on_digits),
    control_is="plain digits, one rule",
)

# %% [markdown]
# Then the price. All the neurons that were trained, in one dense network, would do better than either.

# %% tags=["measure"]
best_of_both = torch.maximum(
    on_digits4["tree"]["accuracy"], on_digits4["mixture"]["accuracy"]
)
claim(
    "13.3",
    "On digits4 a dense network of the training width is more accurate than both tree "
    "and mixture, by more than a point",
    quantity="lead in accuracy",
    measured=on_digits4["dense 64"]["accuracy"] - best_of_both,
    holds=above(0.01),
    control=on_digits4["dense 8"]["accuracy"] - best_of_both,
    control_is="dense of the inference width",
)

# %% [markdown]
# ## “Aims to replicate a balanced distribution of data among experts”
#
# An aim cannot be refuted. But does the tree get there by itself? Take the node-balance loss away. On raw pixels first, where
# mixtures collapse.

# %% tags=["measure"]
raw = digits4("raw")
left_alone = {
    "no balance loss": run(a_tree, raw, hardening=HARD),
    "with it": run(a_tree, raw, hardening=HARD, node_balance=10 * EVEN),
}
claim(
    "13.4",
    "On raw digits4 a hardened tree without a balance loss has more than four dead "
    "leaves of eight, on average",
    quantity="dead leaves (of 8)",
    measured=left_alone["no balance loss"]["dead"],
    holds=above(4),
    control=left_alone["with it"]["dead"],
    control_is="with a node-balance loss of weight 10, as in lesson 12",
    refutes="A hardened tree reaches “a balanced distribution of data among experts” by itself",
)

# %% [markdown]
# **Verdict: not by itself, for the tree that you would use.** Without hardening and with good inputs: balanced, but not to be
# descended. With hardening: leaves die, as experts do, unless a balance loss holds them. We are not the first to see it:
# load balancing for this very tree was proposed in 2024 (see the sources).

# %% [markdown]
# ## “Reduces the need for artificial noise during training”
#
# The tree trains without noise, that much is true. To *reduce* a need, somebody must have it. Does the mixture? Give ours the noise
# of lesson 06, and keep its Switch loss.

# %% tags=["measure"]
standardised = digits4("standardised")
noisy = run(
    lambda: MixtureOfExperts(64, LEAF, E, 1, d_out=10, noise="learned"),
    standardised,
    **TRIES["mixture"][0],
)
claim(
    "13.5",
    "Noise does not make a mixture with a Switch loss more accurate, not by two points",
    quantity="accuracy gained",
    measured=noisy["accuracy"] - on_digits4["mixture"]["accuracy"],
    holds=below(0.02),
    control=on_digits4["mixture"]["accuracy"] - careless["accuracy"],
    control_is="what standardised pixels and the Switch loss gain",
)

# %% [markdown]
# **Verdict: true, and no advantage here.** The tree needs no noise, and a mixture with a balance loss needs none either. What both of
# them need is the balance loss. Noise alone balanced neither: not the mixture (06.2), not the tree (lesson 12, the row of region
# leak). The abstract's “better training properties than mixtures of experts thanks to noiseless conditional execution” is
# about mixtures that train with noise.

# %% [markdown]
# ## “A similar training time as a standard GPT”
#
# So similar to *dense*. Before the clock, ask the count. A layer from 256 to 256, as it could sit in a small language model:
# 16 leaves or experts of 128 neurons, so 2,048 in training and 128 in inference. What one token has to multiply for an
# answer, choosing included:

# %% tags=["measure"]
WIDTH, D, H = 2048, 256, 128
N = WIDTH // H
work = {
    "dense, training width": 2 * D * WIDTH,
    "dense, inference width": 2 * D * H,
    "mixture": N * D + 2 * D * H,
    "tree": (N.bit_length() - 1) * D + 2 * D * H,
}
for name, number in work.items():
    print(f"{name:24}{number:10,} multiplications for a token")

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "13.training",
    "“A similar training time as a standard GPT.” Does a tree in training multiply as "
    "often as a dense network of all its neurons, within a tenth?",
    choices=["yes", "no"],
)

# %% tags=["measure"]
in_training = work | {"tree": (N - 1) * D + 2 * D * WIDTH}

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
times = in_training["tree"] / in_training["dense, training width"]
of_mixture = in_training["tree"] / in_training["mixture"]
reveal(
    "13.training",
    "yes" if abs(times - 1) < 0.1 else "no",
    says="In training the tree asks all its nodes and all its leaves, and the mixture one expert. So the tree multiplies "
    f"{times:.2f} times as much as the dense network, and {of_mixture:.0f} times as much as the mixture. Verdict: "
    + ("true, for what it says." if abs(times - 1) < 0.1 else "not so, by the count."),
)

# %% tags=["measure"]
for name, number in in_training.items():
    of_tree = number / in_training["tree"]
    print(f"{name:24}{number:10,} multiplications, {of_tree:.2f} of the tree's")

# %% [markdown]
# ## The clock, and what it is asked
#
# By the first count the tree has next to nothing on the mixture: for an answer, at this size, both spend nearly everything on
# the leaf or expert. The clock sees more than multiplications. All will take turns on one thread, and only times of one turn are compared. For
# the controls there are two more: a tree that asks *all* leaves and silences all but one, and a mixture that asks all.
#
# And like has to be compared with like. A single small layer, asked again and again, stays in the processor's cache, which no
# layer of a model does: until its turn comes again, the others have been read. So there are many layers of each kind, more
# than most caches hold, and they are asked in turn. Nor may one be quicker because its code is better. A dense layer is a tree
# of one leaf, so that is how we build it: the same compiled code computes both. (We time layers. In a whole GPT attention
# takes its time too, the same for all, and makes all ratios smaller.)


# %% tags=["measure"]
def wide(neurons):
    return FastFeedForward(D, D, 0, neurons)


torch.manual_seed(seeds(1)[0])
DOWN = N.bit_length() - 1  # the tree's depth
kinds = {
    "dense, training width": lambda: wide(WIDTH),
    "dense, inference width": lambda: wide(H),
    "mixture": lambda: MixtureOfExperts(D, H, N, 1),
    "tree": lambda: FastFeedForward(D, D, DOWN, H),
    "tree, all leaves": lambda: FastFeedForward(D, D, DOWN, H, dispatch="dense"),
}
layers = {name: beyond_cache(build) for name, build in kinds.items()}
layers["mixture, all experts"] = [MixtureOfExperts(D, H, N, N)]
stored = {
    name: sum(p.untyped_storage().nbytes() for p in layers[name][0].parameters())
    for name in layers
}


# %% tags=["measure"]
def inference_times(n_tokens, names, turns=10):
    """Seconds a call: another layer of the kind each time, new tokens each time; one number a turn."""
    inputs = torch.randn(max(2, 256 // n_tokens), n_tokens, D)
    asked = {name: in_turn(layers[name], inputs) for name in names}
    with torch.inference_mode():
        return time_side_by_side(asked, turns, seconds=0.01)


def training_times(n_tokens, names, turns=10):
    """Seconds a training step, with the losses that mixture and tree need."""
    x, target = torch.randn(2, n_tokens, D)

    def step(layer):
        (output, record), loss = layer(x), 0.0
        if hasattr(record, "indices"):
            loss = 0.1 * switch_loss(record)
        elif layer.depth:
            loss = HARD * hardening_loss(record) + EVEN * node_balance_loss(record)
        layer.zero_grad()
        (loss + F.mse_loss(output, target)).backward()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter -= 1e-4 * parameter.grad

    steps = {name: lambda layer=layers[name][0]: step(layer) for name in names}
    return time_side_by_side(steps, turns, seconds=0.01)


def set_training(mode):
    for layer in itertools.chain(*layers.values()):
        layer.train(mode)


four = ["dense, training width", "dense, inference width", "mixture", "tree"]
set_training(True)
training = {
    256: training_times(256, four),
    1024: training_times(1024, [*four, "mixture, all experts"], turns=6),
}
set_training(False)
inference = {n: inference_times(n, [*four, "tree, all leaves"]) for n in (1, 32, 1024)}

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output", "13.training"]


def compared(times):
    """Each layer's time, with that of the tree as 1."""
    return {name: np.median(times[name] / times["tree"]) for name in four}


situations = {
    "training, 256": training[256],
    "training, 1,024": training[1024],
    "1 token": inference[1],
    "32 tokens": inference[32],
    "1,024 tokens": inference[1024],
}
relative = {name: compared(times) for name, times in situations.items()}
step, one, many = (
    relative[name]["mixture"] for name in ("training, 1,024", "1 token", "1,024 tokens")
)
table(
    ["tree = 1", "wide", "narrow", "mixture"],
    {
        name: [f"{numbers[other]:.2g}" for other in four[:3]]
        for name, numbers in relative.items()
    },
    title=f"For one token the mixture takes {one:.1f} times as long as the tree, for 1,024 "
    f"tokens {many:.1f} times, and for a training step {step:.2f} times",
    note="Time over that of the tree, for a training step or for an answer, by tokens at "
    "once: below 1 is quicker than the tree. Wide: dense of the training width; narrow: "
    "of the inference width. Measured when this page was made, on one thread: medians "
    "over the turns.",
)

# %% tags=["measure", "13.training"]
claim(
    "13.6",
    "A training step of the tree takes less than 2.5 times as long as that of a dense "
    "network of its training width",
    quantity="time of a step (times as long)",
    measured=training[1024]["tree"] / training[1024]["dense, training width"],
    holds=in_the_median(below(2.5)),
    control=training[1024]["tree"] / training[1024]["dense, inference width"],
    control_is="dense of the inference width",
    timed=True,
)

# %% [markdown]
# Of the mixture the sentence says nothing. We ask all the same.

# %% tags=["measure", "13.training"]
claim(
    "13.7",
    "With 1,024 tokens and 16 leaves, a training step of the tree takes more than 2.5 "
    "times as long as the mixture's",
    quantity="time of a step (times as long)",
    measured=training[1024]["tree"] / training[1024]["mixture"],
    holds=in_the_median(above(2.5)),
    control=training[1024]["tree"] / training[1024]["mixture, all experts"],
    control_is="a mixture that asks all experts",
    timed=True,
)

# %% [markdown] tags=["13.training"]
# What your clock makes of the count is in 13.6 and 13.7; the control of 13.7 is a mixture that has to ask all its experts.

# %% [markdown]
# ## “But quicker inference”, “up to 220x”, “up to 6x faster than mixture-of-experts”
#
# Quicker than what, and with how many tokens at once? One token, against the dense network of its training width, of which
# the tree multiplies a sixteenth. (The 220 are lesson 12's: there the tree is eight times as wide as this one, and the ratio grows
# with the width.)

# %% tags=["measure"]
claim(
    "13.8",
    "For one token the tree is more than five times as fast as a dense network of its "
    "training width",
    quantity="speed (times as fast)",
    measured=inference[1]["dense, training width"] / inference[1]["tree"],
    holds=in_the_median(above(5)),
    control=inference[1]["dense, training width"] / inference[1]["tree, all leaves"],
    control_is="a tree that asks all leaves",
    timed=True,
)

# %% [markdown]
# **Verdict: it depends on the opponent.** The count says: of dense of the training width the tree multiplies a sixteenth. Of
# dense of the inference width it multiplies a little more, and with many tokens it has more leaves to read. Of a mixture with as
# many experts it multiplies nearly as much where these are few and wide, and a small part where they are many and small. The
# clock's word on each of these is in 13.8, and in 13.12 to 13.15.

# %% [markdown]
# ## When to reach for which

# %% [markdown] tags=["13.improvement", "13.training"]
# Everything in this table was counted or measured in this course. In brackets: the claim. For times, run the claims on your
# machine.
#
# | you want | dense | mixture | tree |
# |---|---|---|---|
# | the best accuracy from the neurons you train | yes (13.3) | behind (13.3) | behind (13.3) |
# | accuracy with few neurons an answer, several rules in the data | no (13.2) | yes (13.2) | yes (13.2), but not ahead of the mixture (13.1) |
# | the same, one rule in the data | yes (control of 13.2) | no need (control of 13.2) | no need (control of 13.2) |
# | few multiplications in training | yes, if narrow | yes, one expert a token (13.7) | no, as dense of the training width (13.6) |
# | few multiplications an answer | no, if wide (13.8) | scores, and one expert (13.12) | questions, and one leaf (13.8); far fewer than the mixture only with many small leaves (13.12) |
# | few bytes to read for many answers at once | yes, if narrow | the experts that are asked (lesson 10) | the leaves that are asked (13.13) |
# | little memory | yes, if narrow (lesson 10, 13.11) | no (lesson 10, 13.11) | no (13.11) |
# | no balance to look after | yes, nobody is chosen | no (05.1, 07.1) | no (13.4, 13.16) |
#
# So the tree has a place of its own: many small leaves, few tokens at a time, a processor, a compiled descent, and time to
# train it as a wide network.

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("13")

# %% [markdown]
# ## Try it
#
# 1. Give the tree `HARD = 3.0`. What happens to *hard* and *soft*? And with `HARD = 0.3`?
# 2. Train the tree in 13.4 with the full hardening from the first step (`hardening_ramp(now["step"], -1, 0, hardening)`).
#    Does the balance loss still save the leaves?
# 3. Make the layers of *The clock* 64 leaves of 32 neurons. Which claims about time still hold, and which become stronger?
# 4. Standardise nothing: `contest(digits4("raw"))`. Who suffers most, and who least?
#
# ## Recap
#
# - A mixture chooses by scores, a tree by questions. What comes after is the same network.
# - “An improvement upon the mixture of experts”: not in accuracy, here, where both got the same care.
# - “Aims to replicate a balanced distribution”: gets there without hardening, and then it cannot be descended; hardened, it needs
#   a balance loss.
# - “Reduces the need for artificial noise”: true, and a mixture with a balance loss has no such need either.
# - “A similar training time as a standard GPT”: as many multiplications as dense of the training width; a mixture's step needs
#   a small part of them.
# - “Quicker inference”: than dense of the training width. “Up to 6x faster than mixture-of-experts”: only where experts are many
#   and small, and only if both are compiled is it the tree that you measure.
#
# **Sources.** The four sentences: S. Desai, *Mixture of Experts (MoE)*, a blog post of 14 January 2024. The abstract that it
# sums up: [Belcak and Wattenhofer 2023](https://arxiv.org/abs/2308.14711), fast feedforward networks;
# [UltraFastBERT](https://arxiv.org/abs/2311.10770), the same in a language model. Load balancing for these trees, and a leaf
# that all tokens share: [Charalampopoulos et al. 2024](https://arxiv.org/abs/2405.16836); our node-balance loss is written
# after Shazeer's importance loss, and we have not compared it with theirs. The tree written as a mixture with a fixed matrix, and
# faster so on a GPU where it is shallow: [Chaunin and Mikhaylovskiy
# 2025](https://ntr.ai/publications/matrix-mixture-of-experts-is-the-best-fast-feed-forward). Mixtures:
# [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538); the Switch loss,
# [Fedus et al. 2021](https://arxiv.org/abs/2101.03961).

# %% [markdown]
# ## Further
#
# ### Larger layers, and that after the choice they are the same
#
# What choosing costs: a row an expert for scores, a row a level for questions.

# %% tags=["measure"]
print("experts or leaves   rows that a mixture reads   rows that a tree reads")
for depth in (3, 6, 11):
    print(f"{2**depth:17}{2**depth:28}{depth:25}")

# %% [markdown]
# The same choices, and then the same network: held against the package.

# %% tags=["measure"]
torch.manual_seed(seeds(1)[0])
mixture = MixtureOfExperts(64, LEAF, E, top_k=1, d_out=10).eval()
tree = FastFeedForward(64, 10, DEPTH, LEAF).eval()
x = torch.randn(500, 64)
with torch.no_grad():
    y, routing = mixture(x)
    z, descent = tree(x)
expert = choose_by_scores(x, mixture.router.weight)
leaf = choose_by_questions(x, tree.node_weight, tree.node_bias)
print("same experts as the package's:", torch.equal(expert, routing.indices[:, 0]))
print("same leaves as the package's: ", torch.equal(leaf, descent.leaf))


# %% tags=["measure"]
def ask(x, chosen, networks):
    """Each token's answer from its own network: (T, d) -> (T, d_out)."""
    answers = torch.empty(len(x), networks.w_out.shape[-1])
    for n in range(E):
        mine = chosen == n
        neurons = F.relu(x[mine] @ networks.w_in[n].T + networks.b_in[n])
        answers[mine] = neurons @ networks.w_out[n] + networks.b_out[n]
    return answers


# %% tags=["measure"]
with torch.no_grad():
    gate = (x @ mixture.router.weight.T).softmax(-1).gather(-1, expert[:, None])
    same_y = torch.allclose(gate * ask(x, expert, mixture.experts), y, atol=1e-5)
    same_z = torch.allclose(ask(x, leaf, tree.leaves), z, atol=1e-5)
print("same answers as the mixture's:", same_y)
print("same answers as the tree's:   ", same_z)

# %% [markdown]
# ### The same on plain digits
#
# `digits4` has four rules in one data set, and there is something to divide. Plain `digits` has one rule.

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
results_table(on_digits, "digits")

# %% [markdown]
# ### Seed by seed, and a tree that is not hardened

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
alive = {name: E - float(r["dead"].mean()) for name, r in left_alone.items()}
seed_strip(
    {f"tree, {name}": r["shares"] for name, r in left_alone.items()},
    title=f"Without a balance loss {alive['no balance loss']:.1f} of 8 leaves are in use, "
    f"with it {alive['with it']:.1f}",
    note="Raw digits4 after training: one column is one seed. Number and colour: the leaf.",
)

# %% [markdown]
# Without hardening and on good inputs it gets there:

# %% tags=["measure"]
unhardened = run(a_tree, standardised)
unbalanced = run(a_tree, standardised, hardening=HARD)
claim(
    "13.9",
    "On standardised digits4 a tree without hardening has fewer than one dead leaf of "
    "eight on average, without any balance loss",
    quantity="dead leaves (of 8)",
    measured=unhardened["dead"],
    holds=below(1),
    control=unbalanced["dead"],
    control_is="hardened, without a balance loss",
)

# %% [markdown]
# But such a tree is good only as long as it is soft, and then it computes all its leaves. Ask it the hard way, one leaf
# for each image:

# %% tags=["measure"]
claim(
    "13.10",
    "A tree without hardening loses more than five points of accuracy when its "
    "decisions are made hard",
    quantity="accuracy lost",
    measured=unhardened["soft"] - unhardened["accuracy"],
    holds=above(0.05),
    control=on_digits4["tree"]["soft"] - on_digits4["tree"]["accuracy"],
    control_is="the hardened tree",
)

# %% [markdown]
# ### What has to be stored

# %% tags=["measure"]
claim(
    "13.11",
    "A tree and a mixture store more than 0.9 times as many bytes as a dense network of "
    "their training width",
    quantity="bytes stored, against the dense network",
    measured=min(stored[name] for name in ("tree", "mixture"))
    / stored["dense, training width"],
    holds=in_every_seed(above(0.9)),
    control=stored["dense, inference width"] / stored["dense, training width"],
    control_is="dense of the inference width",
    refutes="What is not asked needs no memory",
)

# %% [markdown]
# Everything that was trained has to be kept.

# %% [markdown]
# ### Against the mixture, compiled alike
#
# The table of the clock shows the tree ahead for one token. Careful with this one. The tree's descent is one compiled
# function; of the mixture the experts are compiled, but its router is a row of PyTorch calls, each with a price of its own.
# To compare tree and mixture, and not compiled and not compiled, we compile the mixture whole. Scores, the best, its
# probability; the answer then comes from `answer_one`, the very function with which the tree's kernel asks a leaf.


# %% tags=["measure"]
@kernel()
def top_one(x, router, w_in, b_in, w_out, b_out, y, expert):
    """A mixture's answers y and choices; one expert a token, relu."""
    scores = np.empty(len(router), np.float32)
    for t in range(len(x)):
        for e in range(len(router)):
            scores[e] = dot(router[e], x[t])
        best, one = scores.argmax(), slice(t, t + 1)
        answer_one(0, x[one], w_in[best], b_in[best], w_out[best], b_out[best], y[one])
        y[t] *= 1 / np.exp(scores - scores[best]).sum()  # the softmax of the best
        expert[t] = best


def compiled_mixture(x, weights):
    """(T, d), the five weights -> answers (T, d), experts (T,): all are NumPy arrays."""
    y, expert = np.empty_like(x), np.empty(len(x), np.int64)
    top_one(x, *weights, y, expert)
    return y, expert


def compiled_tree(x, weights):
    """The same of a tree and its six weights: ``fast.descend`` calls this function."""
    y, leaf = np.empty_like(x), np.empty(len(x), np.int64)
    descend_arrays(0, x, *weights, y, leaf)
    return y, leaf


def weights(layer):
    """What the compiled function needs, in its order."""
    if isinstance(layer, FastFeedForward):
        own, chosen = [layer.node_weight, layer.node_bias], layer.leaves
    else:
        own, chosen = [layer.router.weight], layer.experts
    own += [chosen.w_in, chosen.b_in, chosen.w_out, chosen.b_out]
    return [weight.numpy(force=True) for weight in own]


x = torch.randn(64, D)
with torch.inference_mode():
    y, routing = layers["mixture"][0](x)
ours, chosen = compiled_mixture(x.numpy(), weights(layers["mixture"][0]))
print("same experts as the package's:", (chosen == routing.indices[:, 0].numpy()).all())
print("same answers as the package's:", np.allclose(ours, y, atol=1e-5))

# %% [markdown]
# Now both are one call of one kernel. When should the tree be ahead? Where *choosing* is a large part of the work: with many
# experts that are small. So we take two pairs: ours, 16 of 128 neurons, and 2,048 of 8. Count first.

# %% tags=["measure"]
layers["2,048 experts"] = beyond_cache(lambda: MixtureOfExperts(D, 8, 2048, 1))
layers["2,048 leaves"] = beyond_cache(lambda: FastFeedForward(D, D, 11, 8))
PAIRS = {
    "16 of 128": (N, H, "mixture", "tree"),
    "2,048 of 8": (2048, 8, "2,048 experts", "2,048 leaves"),
}
counted = {
    name: (n + 2 * h) / (n.bit_length() - 1 + 2 * h)
    for name, (n, h, *_) in PAIRS.items()
}
for name, times in counted.items():
    print(f"{name:10} the mixture multiplies {times:.2f} times as much as the tree")


def one_by_one(function, kind):
    """One token a call, another layer of the kind and another token each time."""
    own = itertools.cycle([weights(layer) for layer in layers[kind]])
    tokens = itertools.cycle(torch.randn(256, 1, D).numpy())
    return lambda: function(next(tokens), next(own))


functions = {}
for name, (_, _, mixture_kind, tree_kind) in PAIRS.items():
    functions[name, "mixture"] = one_by_one(compiled_mixture, mixture_kind)
    functions[name, "tree"] = one_by_one(compiled_tree, tree_kind)
found = time_side_by_side(functions, turns=10, seconds=0.01)
alike = {name: found[name, "mixture"] / found[name, "tree"] for name in PAIRS}
claim(
    "13.12",
    "For one token, compiled alike, a mixture of 16 experts takes less than 1.5 times as "
    "long as a tree of 16 leaves of their width",
    quantity="time (times as long)",
    measured=alike["16 of 128"],
    holds=in_the_median(below(1.5)),
    control=alike["2,048 of 8"],
    control_is="2,048 experts and leaves of 8 neurons, where choosing is most of the work",
    timed=True,
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
table(
    ["mixture over tree", "multiplications", "time, compiled alike"],
    {name: [f"{counted[name]:.2f}", f"{np.median(alike[name]):.2f}"] for name in PAIRS}
    | {"16 of 128, router in PyTorch": [f"{counted['16 of 128']:.2f}", f"{one:.1f}"]},
    title=f"One token: the mixture takes {np.median(alike['16 of 128']):.2f} times as long as "
    f"the tree with 16 of 128 neurons, {np.median(alike['2,048 of 8']):.1f} times with 2,048 of 8",
    note="Measured when this page was made, on one thread, layers in turn. Said: FFFs are up to "
    "6 times as fast as mixtures of experts.",
)

# %% [markdown]
# So “up to 6x faster than mixture-of-experts networks” has a place where the count supports it: many small experts, where scores
# cost more than answers. With few wide ones there is nothing to win by choosing faster, and the lead in the first table is the
# price of the router's calls.

# %% [markdown]
# ### 1,024 tokens at once
#
# How far is the tree from the ideal, a dense network of one leaf's width? For one token, see the column *narrow* in the table.
# And for 1,024? Guess what decides, then compare our tree with two others, which differ in one thing: the number of their
# leaves.

# %% tags=["measure"]
layers["two leaves"] = beyond_cache(lambda: FastFeedForward(D, D, 1, H).eval())
layers["512 leaves"] = beyond_cache(lambda: FastFeedForward(D, D, 9, H).eval())
a_leaf = 4 * (2 * D * H + H + D)  # bytes
tokens = torch.randn(1024, D)
for name in ("two leaves", "tree", "512 leaves"):
    with torch.inference_mode():
        met = len(layers[name][0](tokens)[1].leaf.unique())
    print(
        f"{name:10} 1,024 tokens have to read {met * a_leaf / 2**20:6.1f} MB of leaves"
    )

# %% tags=["measure", "nbval-ignore-output"]
by_leaves = inference_times(
    1024, ["dense, inference width", "two leaves", "tree", "512 leaves"]
)
over_narrow = {
    name: times / by_leaves["dense, inference width"]
    for name, times in by_leaves.items()
}
for n_leaves, name in ((2, "two leaves"), (N, "tree"), (512, "512 leaves")):
    median = np.median(over_narrow[name])
    print(f"leaves {n_leaves:3}: {median:.1f} times the time of dense")

# %% tags=["measure"]
claim(
    "13.13",
    "For 1,024 tokens at once a tree of 512 leaves takes more than twice as long as a "
    "dense network of its inference width",
    quantity="time (times as long)",
    measured=over_narrow["512 leaves"],
    holds=in_the_median(above(2)),
    control=over_narrow["two leaves"],
    control_is="a tree of two leaves",
    timed=True,
)

# %% [markdown]
# Each token multiplies nearly the same in all of them. But the dense network reads its weights once for all tokens; a tree
# has to sort the tokens by leaf, and to read every leaf that is asked, with 512 of them for very few tokens each. Lesson
# 10's mixture met the same. And against the training width, in a large batch?

# %% tags=["measure"]
claim(
    "13.14",
    "For 1,024 tokens at once the tree is more than 2.5 times as fast as a dense network "
    "of its training width",
    quantity="speed (times as fast)",
    measured=inference[1024]["dense, training width"] / inference[1024]["tree"],
    holds=in_the_median(above(2.5)),
    control=inference[1024]["dense, training width"]
    / inference[1024]["tree, all leaves"],
    control_is="a tree that asks all leaves",
    timed=True,
)

# %% tags=["measure"]
set_training(False)
small = inference_times(1024, ["2,048 experts", "2,048 leaves"], turns=5)
claim(
    "13.15",
    "For 1,024 tokens at once the tree of 16 leaves is not three times as fast as the "
    "mixture of 16 experts",
    quantity="speed (times as fast)",
    measured=inference[1024]["mixture"] / inference[1024]["tree"],
    holds=in_the_median(below(3)),
    control=small["2,048 experts"] / small["2,048 leaves"],
    control_is="2,048 experts and leaves of 8 neurons",
    timed=True,
)

# %% [markdown]
# ### Turn the knobs
#
# Depth and leaf width of a tree on `digits4`, three seeds, a third of the steps. A move trains the trees anew (on the website
# all places were trained and timed beforehand). Keep the neurons and trade one for the other: which is worth more?

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
GRID_STEPS = 200


def knobs(depth, leaf_width):
    trained = train(
        lambda: FastFeedForward(64, 10, depth, leaf_width),
        standardised,
        seeds(3),
        steps=GRID_STEPS,
        penalty=lambda d, step: (
            hardening_ramp(step, 0, GRID_STEPS // 2, HARD) * hardening_loss(d)
            + EVEN * node_balance_loss(d)
        ),
    )
    hard = trained.accuracy(standardised.x_test, standardised.y_test)
    with torch.no_grad():
        soft = trained(standardised.x_test)[0].argmax(-1) == standardised.y_test
    tree = trained.one(0).eval()  # hard: this is what is timed
    width = 2**depth * leaf_width
    opponents = {"tree": tree}
    for name, neurons in (("dense, wide", width), ("dense, narrow", leaf_width)):
        opponents[name] = FastFeedForward(64, 10, 0, neurons).eval()  # of one leaf
    images = standardised.x_test[:256]
    with torch.inference_mode():
        times = time_side_by_side(
            {name: lambda m=m: m(images) for name, m in opponents.items()}, 5, 0.003
        )
    base = np.median(times["dense, wide"])
    percent = {name: 100 * np.median(t) / base for name, t in times.items()}
    return (
        message(
            f"{2**depth} {'leaves' if depth else 'leaf'} of {leaf_width}: "
            f"{hard.mean():.0%} right, in {percent['tree'] / 100:.2f} times the time of "
            f"dense with {width} neurons",
            "Dots: accuracy of three seeds, from 0 to 1. Bars: time for 256 images. Wide: "
            "dense, as many neurons as all leaves, its time is 100; narrow: as many as "
            "one leaf. Measured when this was made.",
        )
        + seed_dots({"hard": hard, "soft": soft.float().mean(-1)})
        + '<div style="height:12px"></div>'
        + bars(percent, "time, wide dense network = 100", strong=["tree"])
    )


sweep(
    knobs,
    depth=("Depth", [3, 0, 1, 2, 4, 5]),
    leaf_width=("Leaf width", [8, 2, 16]),
)

# %% [markdown]
# ### In a language model
#
# Does the balance go the same way in a GPT? We put trees into the GPT of lesson 08, much smaller so that many seeds fit: one
# block, width 32, context 32, 8 leaves of 16 neurons. A hundred steps, the hardening rising all the while, to its full weight at
# the last: the very beginning of a training. Layer norm stands before the tree, so the inputs are centred in their way. Is
# the balance loss still needed? And is it in a mixture, whose balance loss we take away in the same way?

# %% tags=["measure"]
data = texts()
GPT_STEPS = 100


def small_gpt(seed, hardening=1.0, node_balance=0.0, **options):
    """Test loss soft and hard, and dead leaves or experts, after a short training."""
    torch.manual_seed(seed)
    config = {"context": 32, "n_layers": 1, "d_model": 32, "d_hidden": 16} | options
    model = GPT(GPTConfig(len(CHARACTERS), **config))

    def penalty(descent, step):
        ramp = hardening_ramp(step, GPT_STEPS // 4, GPT_STEPS, hardening)
        return ramp * hardening_loss(descent) + node_balance * node_balance_loss(
            descent
        )

    run = train_gpt(
        model,
        data,
        seed=seed,
        steps=GPT_STEPS,
        batch_size=8,
        learning_rate=1e-2,
        balance=0.0,  # no Switch loss
        penalty=penalty,
        every=GPT_STEPS,
    )
    hard = float(list(run)[-1].loss.mean())
    tokens, targets, _ = unseen_windows(model, data)
    with torch.no_grad():
        _, soft, (record,) = model(tokens, targets)
    chosen = record.leaf[:, None] if hasattr(record, "leaf") else record.indices
    return hard, float(soft), int(dead(share(chosen, E)))


def in_seeds(n, **options):
    """(n, 3): hard loss, soft loss, dead leaves or experts."""
    return np.array([small_gpt(seed, **options) for seed in seeds(n)])


a_moe = {"feed_forward": "moe", "n_experts": E, "top_k": 1}
a_moe["dispatch"] = "dense"  # the quicker way at this size
in_gpt = {
    "tree, no balance loss": in_seeds(20, feed_forward="fff", depth=DEPTH),
    "tree, balance loss": in_seeds(
        10, feed_forward="fff", depth=DEPTH, node_balance=1.0
    ),
    "mixture, no balance loss": in_seeds(10, **a_moe),
}
claim(
    "13.16",
    "After the first hundred steps of a small GPT, trees that are hardened and have no "
    "balance loss have more than three dead leaves of eight, on average",
    quantity="dead leaves (of 8)",
    measured=in_gpt["tree, no balance loss"][:, 2],
    holds=above(3),
    control=in_gpt["tree, balance loss"][:, 2],
    control_is="with the node-balance loss",
    refutes="Behind a layer norm a tree can be hardened without a balance loss and keep its "
    "leaves at work",
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
alone, held = in_gpt["tree, no balance loss"], in_gpt["tree, balance loss"]
table(
    ["", "hard", "soft", "dead"],
    {
        name: [
            f"{r[:, 0].mean():.3f}",
            f"{r[:, 1].mean():.3f}" if "tree" in name else "",
            f"{r[:, 2].mean():.1f}",
        ]
        for name, r in in_gpt.items()
    },
    title=f"The balance loss brings {alone[:, 2].mean() - held[:, 2].mean():.1f} of 8 leaves back, "
    f"and changes the hard test loss by {held[:, 0].mean() - alone[: len(held), 0].mean():+.3f} nats",
    note="Test loss in nats a character, hard and soft, and dead leaves or experts of 8: means "
    f"over the seeds after {GPT_STEPS} steps, the very beginning of a training. Lower is better.",
)

# %% [markdown]
# All leaves at work again, and what did it buy? Read the column *hard* before you answer. It is lesson 07's point once
# more: balanced is not yet better. And compare, in the column *dead*, the mixture without a balance loss: a mixture is not
# hardened. A hundred steps say nothing about long trainings: train for 600, and see whether the order of the
# test losses stays.
