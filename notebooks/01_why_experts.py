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
# # Why experts?
#
# 40 minutes. You leave able to measure how many neurons a prediction needs, and whether every input needs the same ones,
# and to show that a layer is a sum of small networks.
#
# Here is an ordinary network, and a good one. It reads handwritten digits with one hidden layer of 512 neurons.

# %% tags=["setup"]
# Setup: what this lesson uses.
import torch
from matplotlib.colors import LinearSegmentedColormap
from torch import nn

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.show import (
    Line,
    bars,
    beside,
    curves,
    interval_chart,
    is_narrow,
    look,
    message,
    picture,
    pixels,
    sweep,
    table,
)
from moe_tutorial.study import above, below, claim, digits, seeds, train

torch.set_num_threads(1)  # small models are fastest on one thread

# %%
WIDTH = 512
data = digits("standardised")  # 8 x 8 pixels, ten classes; they come with scikit-learn


def build():
    return nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))


# `train` trains one network for each seed; here is one.
network = train(build, data, seeds(1), steps=300, learning_rate=1e-3).one(0)
right = network(data.x_test).argmax(-1) == data.y_test
print(f"reads {right.float().mean():.0%} of the test digits")

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: one digit, and what it does to the hidden neurons.
shown = 3
with torch.no_grad():
    firing = network[1](network[0](data.x_test[shown]))
n_fire, digit = int((firing > 0).sum()), int(data.y_test[shown])


def digit_and_neurons(figure, theme):
    """The digit, and the hidden layer as a field of squares."""
    narrow = is_narrow(figure)
    shape = {"height_ratios": [1, 1.5]} if narrow else {"width_ratios": [1, 3]}
    left, field = figure.subplots(*((2, 1) if narrow else (1, 2)), gridspec_kw=shape)
    ink = LinearSegmentedColormap.from_list(
        "ink", [look.color(role, theme) for role in ("sunken", "text")]
    )
    left.imshow(digits("raw").x_test[shown].view(8, 8), cmap=ink)
    field.imshow(firing.view(16, -1), cmap=ink)
    left.set_title("in: 64 pixels")
    field.set_title(f"hidden layer: {WIDTH} neurons")
    for axes in (left, field):
        axes.set(xticks=[], yticks=[])


picture(
    digit_and_neurons,
    title=f"All {WIDTH} neurons are computed for this {digit}, and {n_fire} of them fire",
    note="A small square is a neuron. The more strongly it fires, the more it stands out.",
    alt=f"A handwritten {digit}, and {WIDTH} squares for the hidden neurons: {n_fire} of them fire, some far more strongly than others.",
    height=250,
    narrow_height=390,
)

# %% [markdown]
# Such a network is called **dense**: every input goes through every neuron. Does it have to?
#
# ## Who contributes?
#
# A neuron adds its activation, times its column of output weights, to the ten scores. So its contribution to one
# digit is as large as
#
# $$c_j(x) = h_j(x) \cdot \lVert w_j \rVert$$
#
# where $h_j(x)$ is the activation and $w_j$ are its ten output weights. A neuron that does not fire contributes nothing.
#
# **Your turn.** The network's first layer reads by the rows of `w_in`, and neuron $j$ writes through the column
# `w_out[:, j]`.


# %% tags=["exercise"]
def contribution(x, w_in, b_in, w_out):
    """x (N, d), w_in (h, d), b_in (h,), w_out (10, h) -> contributions (N, h)."""
    ### BEGIN SOLUTION
    activation = (x @ w_in.T + b_in).relu()
    return activation * w_out.norm(dim=0)
    ### END SOLUTION


# %%
contribution = check("01.contribution", contribution)

# %%
first, relu, last = network
with torch.no_grad():
    contributions = contribution(data.x_test, first.weight, first.bias, last.weight)
print(
    "a row for each test digit, a number for each neuron:", tuple(contributions.shape)
)

# %% [markdown]
# ## See it
#
# Take a digit that its first few neurons misread. The neuron that contributes most comes first. Move the slider to let more
# of them speak. When does the answer become right?

# %% tags=["draw", "nbval-ignore-output"]
# A slider: how many neurons are kept.
counts = [n for n in (5, 10, 25, 51, 102, 256) if n < WIDTH] + [WIDTH]
order = contributions.argsort(dim=-1, descending=True)


@torch.no_grad()
def probabilities(n):
    """What the network says of each test digit with its best n neurons, (N, 10)."""
    best = torch.zeros(len(order), WIDTH).scatter(1, order[:, :n], 1.0)
    return last(relu(first(data.x_test)) * best).softmax(-1)


few, all_of_them = probabilities(counts[0]), probabilities(WIDTH)
misread = (few.argmax(-1) != data.y_test) & (all_of_them.argmax(-1) == data.y_test)
hard = int((misread * all_of_them.amax(-1)).argmax())  # the network is surest of it
image = pixels(digits("raw").x_test[hard].view(8, 8))


def speak(n):
    says = probabilities(n)[hard]
    answer, size = int(says.argmax()), contributions[hard].sort(descending=True).values
    verdict = "right" if answer == data.y_test[hard] else "wrong"
    percent = {str(digit): 100 * p for digit, p in enumerate(says.tolist())}
    return message(
        f"{n} of {WIDTH} neurons say {answer}, {says.max():.0%} sure: {verdict}",
        f"They make up {size[:n].sum() / size.sum():.0%} of what all neurons contribute to it.",
    ) + beside(image, bars(percent, "percent", strong=[str(answer)], whole=100))


sweep(speak, n=("Neurons that may speak", counts))

# %% [markdown]
# ## Keep a few
#
# That was one digit. Now each of the test digits keeps neurons of its own.
#
# **Your turn.** Return a 1 for every neuron that a digit keeps, and a 0 for every other.


# %% tags=["exercise"]
def keep_top(contribution, n):
    """contribution (N, h) -> (N, h): 1 for each digit's n largest, 0 for the others."""
    ### BEGIN SOLUTION
    best = contribution.topk(n, dim=-1).indices
    return torch.zeros_like(contribution).scatter(-1, best, 1.0)
    ### END SOLUTION


# %%
keep_top = check("01.keep_top", keep_top)


# %%
@torch.no_grad()
def accuracy_with(network, kept):
    """Test accuracy where only the neurons with a 1 in `kept` (N, h) may speak."""
    first, relu, last = network
    scores = last(relu(first(data.x_test)) * kept)
    return (scores.argmax(-1) == data.y_test).float().mean().item()


# %% [markdown]
# ## Measure it
#
# One network proves little: perhaps it was lucky. So we train ten, each from a seed of its own. Which neurons are kept? We
# try three ways:
#
# - **each digit's own**: for each digit those that contribute most to it;
# - **random**: for each digit some at random;
# - **one for all**: for all digits the same, those that contribute most on average.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "01.spare",
    "For each digit we keep the neurons that contribute most and set the rest to "
    "zero. How many of 512 can go before accuracy drops by two points?",
    choices=["about a tenth", "about half", "nine tenths or more"],
)

# %% tags=["measure"]
# Measured: ten networks, and their accuracy with some of the neurons.
trained = train(build, data, seeds(10), steps=300, learning_rate=1e-3)
networks = [trained.one(i) for i in range(10)]
accuracy_all = trained.accuracy(data.x_test, data.y_test)


@torch.no_grad()
def contributions_in(network):
    """What each neuron of this network contributes to each test digit, (N, h)."""
    first, _, last = network
    return contribution(data.x_test, first.weight, first.bias, last.weight)


contributed = [contributions_in(network) for network in networks]
generator = torch.Generator().manual_seed(seeds(1)[0])
WAYS = {  # contributions of one network -> the score by which neurons are kept
    "each digit's own": lambda c: c,
    "random": lambda c: torch.rand(c.shape, generator=generator),
    "one for all": lambda c: c.mean(0, keepdim=True),
}


def accuracies(way, n):
    """Accuracy of each network that keeps n neurons in this way."""
    return torch.tensor(
        [
            accuracy_with(network, keep_top(WAYS[way](c), n))
            for network, c in zip(networks, contributed, strict=True)
        ]
    )


fractions = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
curves_kept = {
    way: [accuracies(way, max(1, int(f * WIDTH))).mean().item() for f in fractions]
    for way in WAYS
}

N_KEPT = WIDTH // 10
drop = {way: 100 * (accuracy_all - accuracies(way, N_KEPT)) for way in WAYS}
half = curves_kept["each digit's own"][fractions.index(0.5)]
if drop["each digit's own"].mean() < 2:
    spare = "nine tenths or more"
else:
    spare = "about half" if accuracy_all.mean() - half < 0.02 else "about a tenth"

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
own, dice, fixed = (f"{drop[way].mean():.1f}" for way in WAYS)
reveal(
    "01.spare",
    spare,
    says=f"With {N_KEPT} of {WIDTH} neurons, its own for each digit, accuracy drops by {own} points. "
    f"As many at random lose {dice}.",
)

# %% tags=["measure"]
# Claim 01.1.
claim(
    "01.1",
    "Set nine in ten neurons to zero for each digit, all but those that contribute most "
    "to it, and accuracy drops by less than two points",
    measured=drop["each digit's own"],
    holds=below(2),
    control=drop["random"],
    control_is="as many, but a random tenth is kept",
    quantity="drop in accuracy (points)",
)

# %% [markdown]
# ## The same for all?
#
# And the two ways that do not look at the digit?

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "01.fixed",
    "Keep a tenth of the neurons. Which loses less accuracy: for all digits the same "
    "tenth, the one that contributes most on average, or for each digit a random tenth?",
    choices=["the same tenth for all", "the random tenths", "they lose about as much"],
)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
gap = (drop["one for all"] - drop["random"]).mean().item()
reveal(
    "01.fixed",
    "they lose about as much"
    if abs(gap) < 2
    else "the random tenths"
    if gap > 0
    else "the same tenth for all",
    says=f"A random tenth for each digit loses {dice} points, the same tenth for all {fixed}, though "
    "it is the one that contributes most on average. "
    + (
        "For a single digit, the best on average are worse than chance."
        if gap > 0
        else "It is worth something, then, to contribute much on average."
    ),
)

# %% tags=["draw", "nbval-ignore-output", "01.spare"]
# Drawn: accuracy against the part of the neurons that is kept.
tenth = {name: curve[fractions.index(0.1)] for name, curve in curves_kept.items()}
curves(
    {
        "each digit's own": Line(
            fractions, curves_kept["each digit's own"], marker="●"
        ),
        "random": Line(fractions, curves_kept["random"], "--", "muted", "○"),
        "one for all": Line(fractions, curves_kept["one for all"], ":", "accent"),
    },
    x="part of the neurons kept",
    y="test accuracy",
    log="x",
    xticks={f: f"{f:.0%}" for f in fractions},
    ylim=(0, 1.05),
    legend=True,
    title=f"A tenth of the neurons keeps {tenth[max(tenth, key=tenth.get)]:.0%} accuracy, if each digit chooses its own",
    note=(
        "Mean of ten networks. Dashed and dotted: as many neurons, chosen without "
        "looking at the digit."
    ),
)

# %% [markdown]
# Can we throw the other neurons away for good, and keep the tenth that contributes most on average?

# %% tags=["measure", "01.spare"]
# Claim 01.2.
claim(
    "01.2",
    "Cut the trained network down to one tenth for all digits alike, without training it "
    "again, and accuracy drops by more than five points",
    measured=drop["one for all"],
    holds=above(5),
    control=drop["each digit's own"],
    control_is="each digit's own tenth",
    quantity="drop in accuracy (points)",
)

# %% [markdown]
# What goes wrong is measured at the end, under *Further*.

# %% [markdown]
# ## Does the task need them all?
#
# All this is about a network that was trained large. Does the *task* need 512 neurons? Only training can tell. So we train
# a network that has a tenth of the neurons from its first step on.
#
# **Your turn.** `train(build, data, seeds, steps=...)` trains one network for each seed; `build` is a function that makes
# one, such as the one at the top.


# %% tags=["exercise"]
def train_small(data, n_neurons, seeds, steps):
    """One network a seed, with a hidden layer of n_neurons -> what train returns."""

    ### BEGIN SOLUTION
    def build():
        first, last = nn.Linear(64, n_neurons), nn.Linear(n_neurons, 10)
        return nn.Sequential(first, nn.ReLU(), last)

    ### END SOLUTION
    return train(build, data, seeds, steps=steps)


# %%
train_small = check("01.train_small", train_small)

# %%
yours = train_small(data, N_KEPT, seeds(10), steps=300)
mean = yours.accuracy(data.x_test, data.y_test).mean()
print(f"{N_KEPT} neurons from the first step on read {mean:.0%} of the test digits")

# %% [markdown]
# How much better is the large one? That depends on the learning rate, and what suits 512 neurons need not suit 51. So each
# gets the best of five. We choose it without the test digits: both networks train on four fifths of the training digits, and
# we look how many of the other fifth they read.

# %% tags=["measure"]
# Measured: which of five learning rates suits each of the two networks.
RATES = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
part = len(data.x_train) * 4 // 5
most = data._replace(x_train=data.x_train[:part], y_train=data.y_train[:part])
others = data.x_train[part:], data.y_train[part:]


def trained_with(width, rate, data, seeds, steps):
    """Networks of this width, trained with this learning rate."""

    def build():
        return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    return train(build, data, seeds, steps=steps, learning_rate=rate)


tried = {}  # three seeds that nothing else uses
for width in (WIDTH, N_KEPT):
    runs = [
        trained_with(width, rate, most, seeds(13)[10:], steps=300) for rate in RATES
    ]
    tried[width] = [run.accuracy(*others).mean().item() for run in runs]
best = {width: RATES[row.index(max(row))] for width, row in tried.items()}

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: accuracy for each learning rate.
table(
    ["learning rate", *map(str, RATES)],
    {
        f"{width} neurons": [f"{accuracy:.3f}" for accuracy in row]
        for width, row in tried.items()
    },
    title=f"{WIDTH} neurons learn best with {best[WIDTH]}, and {N_KEPT} with {best[N_KEPT]}",
    note=(
        "Accuracy on the fifth of the training digits that was put aside, mean of three networks. "
        "Where the best rate is the last, a larger one may suit better still."
    ),
)

# %% [markdown]
# With these two rates, both train on all training digits:

# %% tags=["measure", "01.fixed"]
# Claim 01.3.
large = trained_with(WIDTH, best[WIDTH], data, seeds(10), steps=300)
small = trained_with(N_KEPT, best[N_KEPT], data, seeds(10), steps=300)
accuracy_large = large.accuracy(data.x_test, data.y_test)
drop["trained small"] = 100 * (
    accuracy_large - small.accuracy(data.x_test, data.y_test)
)


def cut_down(network):
    """Test accuracy with the tenth of the neurons that contributes most on average."""
    on_average = contributions_in(network).mean(0, keepdim=True)
    return accuracy_with(network, keep_top(on_average, N_KEPT))


cut = torch.tensor([cut_down(large.one(i)) for i in range(10)])

claim(
    "01.3",
    "A network with a tenth of the neurons, trained from scratch, is less than two points "
    "less accurate than the large one, each at the best of five learning rates",
    measured=drop["trained small"],
    holds=below(2),
    control=100 * (accuracy_large - cut),
    control_is="as many neurons of the large network, not trained again",
    quantity="drop in accuracy (points)",
    refutes="As no fixed tenth of the large network will do, the task needs a large network",
)

# %% tags=["draw", "nbval-ignore-output", "01.spare", "01.fixed"]
# Drawn: what a tenth of the neurons loses, in four ways.
lost = [row.mean().item() for row in drop.values()]
interval_chart(
    drop,
    title=f"A tenth of the neurons loses {lost[0]:.1f} points if each digit chooses it, "
    f"and {lost[-1]:.1f} if the network was trained so small",
    note=(
        "Drop in test accuracy: ten networks as ticks, their mean, and its 95 % interval. "
        "“Trained small” is held against large networks at their own best learning rate."
    ),
    controls=["random"],
    unit="points of accuracy lost",
    zero=0,
)

# %% [markdown]
# So these digits need neither 512 neurons nor experts: where a small network learns the whole task, it is the better
# bargain. Experts are for tasks that a small network cannot hold.
#
# ## What this does not show
#
# We saved nothing yet. To know which tenth contributes most, we computed all of them. What is missing is somebody who can
# tell *before* the work is done which part of the network an input will need, and who costs little: the **router**.
#
# ## From neurons to experts
#
# A router chooses no single neurons. It chooses **experts**, which are small networks. The leap is smaller than it seems. Cut
# the hidden layer into eight blocks. Each block, with its columns of output weights, is a small network of its own, and
# the scores are the sum of what the eight say:

# %%
with torch.no_grad():
    hidden = relu(first(data.x_test)).chunk(8, dim=1)  # eight blocks of neurons
    columns = last.weight.chunk(8, dim=1)
    answers = [h @ w.T for h, w in zip(hidden, columns, strict=True)]
    assert torch.allclose(sum(answers) + last.bias, network(data.x_test), atol=1e-4)
print("the eight blocks, added up, are the network")

# %% [markdown]
# Is one block enough for a digit, then: the one that contributes most to it?


# %% tags=["measure"]
# Claim 01.4.
def best_block(c):
    """contributions (N, h) -> 1 for the neurons of each digit's best block, (N, h)."""
    blocks = c.unflatten(1, (8, -1)).sum(-1)
    return keep_top(blocks, 1).repeat_interleave(c.shape[1] // 8, dim=1)


with_block = [
    accuracy_with(network, best_block(c))
    for network, c in zip(networks, contributed, strict=True)
]
own = keep_top(contributed[0], WIDTH // 8).unflatten(1, (8, -1))
blocks = own.amax(-1).sum(-1).mean().item()
print(f"a digit's own {WIDTH // 8} neurons lie in {blocks:.1f} of the 8 blocks")
claim(
    "01.4",
    "Leave each digit only one of eight blocks, the one that contributes most, and accuracy "
    "drops by more than two points",
    measured=100 * (accuracy_all - torch.tensor(with_block)),
    holds=above(2),
    control=100 * (accuracy_all - accuracies("each digit's own", WIDTH // 8)),
    control_is="as many neurons, chosen one by one",
    quantity="drop in accuracy (points)",
)

# %% [markdown]
# The neurons that a digit needs lie scattered over the blocks. Nobody had asked them to lie together. A mixture asks: its
# blocks are trained to be chosen.

# %% [markdown]
# ## What an expert is not
#
# GPT-3, of 2020, was dense: every token met all of it. GPT-4 is *supposedly* a mixture of experts. That is not confirmed:
# its report does not say how it is built. The makers of Mixtral and DeepSeek-V3 do say it, and lesson 09 counts their
# experts. But what is one?
#
# | people think of: a topic of expertise | what is built: an expert for each token |
# |---|---|
# | One expert knows physics, another French. | Nobody gives an expert a topic. It learns from the tokens that it gets. |
# | A question goes to the expert on it. | The router chooses for each token, in each layer. One sentence can meet many experts. |
#
# Lesson 08 measures who handles what in a small language model.

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("01")

# %% [markdown]
# ## Try it
#
# 1. In the slider's cell, set `hard` to the number of another test image, such as 3, the digit at the top, and add 1 and 2
#    to `counts`. How few neurons does it need?
# 2. Make the network narrower: `WIDTH = 64`. Does a tenth still suffice? The first claim's line tells.
# 3. Open the cell of claim 01.3, and give `small` a tenth of its steps: `steps=30`. What does the claim say then, and was
#    the network too small?
#
# ## Recap
#
# - A dense network computes every neuron for every input, and a tenth of them, well chosen, carries the answer.
# - Which tenth depends on the input: the one that contributes most on average will not do for all.
# - That is about a network trained large. A small network trained from scratch reads these digits nearly as well.
# - Choosing after computing saves nothing. The choice has to come first.
# - A layer is a sum of small networks. In one that was trained whole, a single block does not do for an input.
#
# **Sources.** Conditional computation: [Bengio et al. 2013](https://arxiv.org/abs/1308.3432). Sparse activations in
# large transformers: [Li et al. 2022, The Lazy Neuron Phenomenon](https://arxiv.org/abs/2210.06313). Feed-forward
# layers as hidden mixtures of experts: [Zhang et al. 2022, MoEfication](https://arxiv.org/abs/2110.01786). GPT-3:
# [Brown et al. 2020](https://arxiv.org/abs/2005.14165). GPT-4: [OpenAI 2023](https://arxiv.org/abs/2303.08774), section 2.
# Data: UCI optical digits, [Alpaydin and Kaynak 1998](https://doi.org/10.24432/C50P49).

# %% [markdown]
# ## Further
#
# ### What goes wrong with the best tenth on average
#
# Two things could be wrong with it: all digits share the same neurons, or these are the wrong ones. The control tells them
# apart: a random tenth that all digits share.

# %% tags=["measure", "01.fixed"]
# Claim 01.5.
dice = {
    "each digit's own": WAYS["each digit's own"],
    "random for each digit": WAYS["random"],
    "random, the same for all": lambda c: torch.rand(c.shape[1], generator=generator),
    "best on average, the same for all": WAYS["one for all"],
}


@torch.no_grad()
def served(network, c, way):
    """Accuracy, accuracy on the digit that is read worst, and how often one digit is said at most."""
    first, relu, last = network
    kept = keep_top(way(c).expand(c.shape), N_KEPT)
    said = last(relu(first(data.x_test)) * kept).argmax(-1)
    right = (said == data.y_test).float()
    worst = min(right[data.y_test == digit].mean().item() for digit in range(10))
    return right.mean().item(), worst, said.bincount().max().item() / len(said)


rows = {
    name: torch.tensor(
        [served(*each, way) for each in zip(networks, contributed, strict=True)]
    )
    for name, way in dice.items()
}
claim(
    "01.5",
    "With the tenth that contributes most on average, the network reads its worst digit right "
    "in less than 45 % of its images",
    measured=rows["best on average, the same for all"][:, 1],
    holds=below(0.45),
    control=rows["random, the same for all"][:, 1],
    control_is="a random tenth, the same for all",
    quantity="accuracy on the digit that is read worst",
)

# %% tags=["draw", "nbval-ignore-output", "01.fixed"]
# Drawn: whom each tenth serves.
table(
    ["a tenth of the neurons", "accuracy", "worst digit", "said most"],
    {name: [f"{part:.0%}" for part in row.mean(0)] for name, row in rows.items()},
    title="The tenth that contributes most on average serves the digits unevenly",
    note=(
        "Mean of ten networks. Worst digit: accuracy on the digit that is read worst. "
        "Said most: how often the answer is one and the same digit; a tenth would be even."
    ),
)

# %% [markdown] tags=["01.fixed"]
# Sharing is not what costs: a random tenth that all digits share reads about as many as a random one for each. The best on
# average does worse than both. It names one digit too often, and misreads another more often than not. Why, we did not
# measure.

# %% [markdown]
# ### Is any neuron idle?
#
# What do the other nine tenths do? They are in some other digit's tenth.

# %% tags=["measure"]
# Claim 01.6.
used = [keep_top(c, N_KEPT).amax(0).mean().item() for c in contributed]
for_all = [keep_top(c.mean(0, keepdim=True), N_KEPT).mean().item() for c in contributed]

claim(
    "01.6",
    "More than nine in ten neurons belong to the tenth that contributes most to some digit",
    measured=used,
    holds=above(0.9),
    control=for_all,
    control_is="the same tenth for all digits",
    quantity="neurons that belong to a tenth (of all neurons)",
)
fire = torch.stack([(c > 0).float().mean() for c in contributed]).mean()
print(f"for one digit, {fire:.0%} of the neurons fire")

# %% [markdown]
# To fire is not to be needed: many more neurons fire for a digit than carry its answer.
#
# Nor is it so for every network. Train with `digits("raw")`, pixels from 0 to 1 instead of standardised ones: claims 01.6
# and 01.5 now fail. What part of the neurons is in no digit's tenth?
