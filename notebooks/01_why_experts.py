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
# # 01 Why experts?
#
# 30 minutes. You leave able to measure how few neurons a network needs for each image, to name a task at which a small network fails while it
# learns each part alone, and to say why a layer is a sum of small networks.
#
# Here is an ordinary network, and a good one. It reads images of handwritten digits with one hidden layer of 512 neurons.

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
    is_narrow,
    look,
    message,
    picture,
    pixels,
    sweep,
)
from moe_tutorial.study import above, below, claim, digits, digits4, seeds, train

torch.set_num_threads(1)  # small models are fastest on one thread

# %%
WIDTH = 512
data = digits("standardised")  # 8 x 8 pixels, ten classes; they come with scikit-learn


def build():
    return nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))


# `train` trains one network for each seed; here is one.
network = train(build, data, seeds(1), steps=300, learning_rate=1e-3).one(0)
right = network(data.x_test).argmax(-1) == data.y_test
print(f"reads {100 * right.float().mean():.0f} % of the test images")

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: one image, and what it does to the hidden neurons.
shown = 3
with torch.no_grad():
    firing = network[1](network[0](data.x_test[shown]))
n_fire, digit = int((firing > 0).sum()), int(data.y_test[shown])


def image_and_neurons(figure, theme):
    """The image, and the hidden layer as a field of squares."""
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
    image_and_neurons,
    title=f"All {WIDTH} neurons are computed for this {digit}, and {n_fire} of them fire",
    note="A small square is a neuron. It fires if its activation is above 0; the more strongly, the more it stands out.",
    alt=f"A handwritten {digit}, and {WIDTH} squares for the hidden neurons: {n_fire} of them fire, some far more strongly than others.",
    height=250,
    narrow_height=390,
)

# %% [markdown]
# Such a network is called **dense**: every input goes through every neuron. Does it have to?
#
# ## Who contributes?
#
# A neuron adds its activation, times its column of output weights, to the ten scores. We measure the size of its contribution to one
# image by
#
# $$c_j(x) = a_j(x) \cdot \lVert w_j \rVert$$
#
# where $a_j(x)$ is the activation, $w_j$ are its ten output weights, and $\lVert w_j \rVert$ is their length, the root of the summed squares.
# A neuron that does not fire contributes nothing.
#
# **Your turn.** Row $j$ of `w_in` holds the input weights of neuron $j$, and column `w_out[:, j]` its output weights. Compute what each
# neuron contributes to each image.


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
    "a row for each test image, a number for each neuron:", tuple(contributions.shape)
)

# %% [markdown]
# ## See it
#
# Here is an image that the whole network reads rightly, and that its five strongest neurons alone misread. (We picked it for that.) Move
# the slider to let more of them speak. From how many on does the answer stay right?

# %% tags=["draw", "nbval-ignore-output"]
# A slider: how many neurons are kept.
counts = [n for n in (1, 2, 3, 5, 7, 10, 15, 20, 25, 50) if n < WIDTH] + [WIDTH]
order = contributions.argsort(dim=-1, descending=True)


@torch.no_grad()
def probabilities(n):
    """What the network says of each test image with its best n neurons, (N, 10)."""
    best = torch.zeros(len(order), WIDTH).scatter(1, order[:, :n], 1.0)
    return last(relu(first(data.x_test)) * best).softmax(-1)


few, all_of_them = probabilities(5), probabilities(WIDTH)
misread = (few.argmax(-1) != data.y_test) & (all_of_them.argmax(-1) == data.y_test)
hard = int((misread * all_of_them.amax(-1)).argmax())  # the network is surest of it
image = pixels(digits("raw").x_test[hard].view(8, 8))


def speak(n):
    says = probabilities(n)[hard]
    answer, size = int(says.argmax()), contributions[hard].sort(descending=True).values
    true = int(data.y_test[hard])
    verdict = "right" if answer == true else f"wrong, it is a {true}"
    percent = {str(digit): 100 * p for digit, p in enumerate(says.tolist())}
    return message(
        f"{n} of {WIDTH} neurons say {answer}, {100 * says.max():.0f} % sure: {verdict}",
        f"They make up {100 * size[:n].sum() / size.sum():.0f} % of what all neurons contribute to it.",
    ) + beside(image, bars(percent, "percent", strong=[str(answer)], whole=100))


sweep(speak, n=("Neurons that may speak", counts))

# %% [markdown]
# ## Keep a few
#
# That was one image. Now each of the test images keeps neurons of its own.
#
# **Your turn.** Return a 1 for every neuron that an image keeps, and a 0 for every other.


# %% tags=["exercise"]
def keep_top(contribution, n):
    """contribution (N, h) -> (N, h): 1 for each image's n largest, 0 for the others."""
    ### BEGIN SOLUTION
    best = contribution.topk(n, dim=-1).indices
    return torch.zeros_like(contribution).scatter(-1, best, 1.0)
    ### END SOLUTION


# %%
keep_top = check("01.keep_top", keep_top)

# %% [markdown]
# ## Measure it
#
# One network proves little: perhaps it was lucky. So we train ten, each from a seed of its own. Your guess is about the first way to
# keep neurons, and the other two are for comparison:
#
# - **each image's own**: for each image those that contribute most to it;
# - **random**: for each image the same number, drawn at random from the neurons that fire for it;
# - **one for all**: for all images the same, those that contribute most on average.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "01.spare",
    "For each image we keep the neurons that contribute most and set the rest to "
    f"zero. How many of {WIDTH} must stay, so that accuracy drops by less than two points?",
    slider=(1, WIDTH, 1, f"of {WIDTH}"),
)

# %% tags=["measure"]
# Measured: ten networks, and their accuracy with some of the neurons.
trained = train(build, data, seeds(10), steps=300, learning_rate=1e-3)
networks = [trained.one(i) for i in range(10)]
accuracy_all = trained.accuracy(data.x_test, data.y_test)


@torch.no_grad()
def contributions_in(network):
    """What each neuron of this network contributes to each test image, (N, h)."""
    first, _, last = network
    return contribution(data.x_test, first.weight, first.bias, last.weight)


contributed = [contributions_in(network) for network in networks]
generator = torch.Generator().manual_seed(seeds(1)[0])
WAYS = {  # contributions of one network -> the score by which neurons are kept
    "each image's own": lambda c: c,
    "random": lambda c: (c > 0) * torch.rand(c.shape, generator=generator),
    "one for all": lambda c: c.mean(0, keepdim=True),
}


@torch.no_grad()
def accuracy_with(network, kept):
    """Test accuracy where only the neurons with a 1 in `kept` (N, h) may speak."""
    first, relu, last = network
    scores = last(relu(first(data.x_test)) * kept)
    return (scores.argmax(-1) == data.y_test).float().mean().item()


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
needed = 1
while (accuracy_all - accuracies("each image's own", needed)).mean() >= 0.02:
    needed += 1

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
own, random, fixed = (f"{drop[way].mean():.1f}" for way in WAYS)
reveal(
    "01.spare",
    needed,
    says=f"{needed} are enough, on average over ten networks. Now keep a tenth, {N_KEPT}. If each image keeps those that contribute most to "
    f"it, accuracy drops by {own} points; with random ones of those that fire for it, by {random}; with the same for all images, by {fixed}.\n\n"
    f"Part of this is the ReLU's doing: for the {digit} at the top, {WIDTH - n_fire} of {WIDTH} neurons did not fire at all.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: accuracy against the part of the neurons that is kept.
tenth = curves_kept["each image's own"][fractions.index(0.1)]
curves(
    {
        "each image's own": Line(
            fractions, curves_kept["each image's own"], color="accent", marker="●"
        ),
        "random": Line(fractions, curves_kept["random"], "--", "muted", "○"),
        "one for all": Line(fractions, curves_kept["one for all"], ":", marker="●"),
    },
    x="part of the neurons kept",
    y="test accuracy",
    log="x",
    xticks={f: f"{100 * f:.0f} %" for f in fractions},
    ylim=(0, 1.05),
    legend=True,
    title=f"With a tenth of its neurons, chosen for each image, a network still reads {100 * tenth:.0f} %",
    note="Mean of ten networks. Random: of those that fire. Where more are kept than fire, each image's own and random are the same.",
)

# %% tags=["measure"]
# Claim 01.1.
claim(
    "01.1",
    "If each image keeps only the tenth of the neurons that contribute most to it, accuracy drops by less than two points",
    measured=drop["each image's own"],
    holds=below(2),
    control=drop["random"],
    control_is="as many, random ones of those that fire",
    quantity="drop in accuracy (points)",
)

# %% [markdown]
# ## Does the task need a large network?
#
# So with few neurons, chosen for each image, the network still reads. Then why train 512? Perhaps a small network learns the task as well?
# Only training can tell.
#
# **Your turn.** `train(build, data, seeds, steps=...)` trains one network for each seed. Write the function `build` that
# makes one: the network at the top, with `width` in place of 512.


# %% tags=["exercise"]
def train_small(data, width, seeds, steps):
    """One network a seed, with a hidden layer of this width -> what train returns."""

    ### BEGIN SOLUTION
    def build():
        return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    ### END SOLUTION
    return train(build, data, seeds, steps=steps)


# %%
train_small = check("01.train_small", train_small)

# %%
for width in (32, 8):
    yours = train_small(data, width, seeds(10), steps=800)
    mean = yours.accuracy(data.x_test, data.y_test).mean()
    print(
        f"{width:3} neurons, after 800 steps, read {100 * mean:.0f} % of the test images"
    )
print(f"{WIDTH} neurons, after 300 steps, read {100 * accuracy_all.mean():.0f} %")

# %% [markdown]
# ## A task of four parts
#
# So this task needs no large network: eight neurons nearly manage it. Here is a harder one, `digits4`. The same images come in four rotations, and each rotation has
# a rule of its own for what the digits are called: a 7 on its side is not called 7.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: a 7 in its four rotations.
four = digits4("standardised")
names = four.y_test.reshape(4, -1)  # each test image comes four times, in this order
seven = int((names[0] == 7).nonzero()[2])  # a legible one
called = names[:, seven].tolist()


def one_seven(figure, theme):
    ink = LinearSegmentedColormap.from_list(
        "ink", [look.color(role, theme) for role in ("sunken", "text")]
    )
    rotated = digits4("raw").x_test.reshape(4, -1, 8, 8)[:, seven]
    for rule, axes in enumerate(figure.subplots(1, 4)):
        axes.imshow(rotated[rule], cmap=ink)
        axes.set(xticks=[], yticks=[], xlabel=f"called {called[rule]}")


picture(
    one_seven,
    title="The same 7 has four names",
    note="A test image of a 7, and what it is called in each rotation.",
    alt=f"A 7 in four rotations, called {', '.join(map(str, called))}.",
    height=150,
    narrow_height=115,
)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "01.four",
    f"Eight neurons that learn one rule read {100 * mean:.0f} % of its images. Another eight "
    "learn all four rules at once. What percentage of the images do they read, over all four rules?",
    slider=(0, 100, 1, "%"),
)

# %% tags=["measure"]
# Measured: ten networks of each width, on one rule and on all four.
WIDTHS = [4, 8, 16, 32, 128]
TASKS = {"one rule": data, "four rules": four}


def reads(width, task):
    """Test accuracy of ten networks of this width that learned this task."""

    def build():
        return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    learned = train(build, task, seeds(10), steps=800)
    return learned.accuracy(task.x_test, task.y_test)


accuracy = {
    name: {width: reads(width, task) for width in WIDTHS}
    for name, task in TASKS.items()
}
behind = {name: 100 * (found[32] - found[8]) for name, found in accuracy.items()}

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
one_rule, all_rules = behind["one rule"].mean(), behind["four rules"].mean()
reveal(
    "01.four",
    100 * accuracy["four rules"][8].mean().item(),
    says="Wider networks read "
    + ", ".join(
        f"{100 * each.mean():.1f} % with {width} neurons"
        for width, each in accuracy["four rules"].items()
        if width >= 32
    )
    + f". Eight neurons are {all_rules:.1f} points "
    f"behind 32 when they learn four rules, and {one_rule:.1f} when they learn one. "
    + ("" if all_rules > 3 * one_rule else "The small network does not fail here."),
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: accuracy over the width, for one rule and for four.
means = {
    name: (list(found), [each.mean().item() for each in found.values()])
    for name, found in accuracy.items()
}
curves(
    {
        "one rule": Line(*means["one rule"], "--", "muted", "○"),
        "four rules": Line(*means["four rules"], color="accent", marker="●"),
    },
    x="hidden neurons",
    y="test accuracy",
    log="x",
    xticks=WIDTHS,
    ylim=(0.5, 1),
    legend=True,
    title=f"Eight neurons read {100 * accuracy['one rule'][8].mean():.0f} % of one rule's images, and {100 * accuracy['four rules'][8].mean():.0f} % of four rules'",
    note="Mean of ten networks of each width. All train for equally many steps, at the same rate: with four rules, each rule gets about a quarter of "
    "every batch. The axis begins at 50 %.",
)

# %% tags=["measure"]
# Claim 01.2.
claim(
    "01.2",
    "When it learns four rules, a network of 8 neurons is more than eight points behind "
    "one of 32",
    measured=behind["four rules"],
    holds=above(8),
    control=behind["one rule"],
    control_is="when both learn one rule",
    quantity="accuracy behind 32 neurons (points)",
)

# %% [markdown]
# On `digits4`, eight neurons fail. Even 128, trained for as many steps and at the same rate, read no more than eight neurons do that learn
# a single rule. (Each rule is as easy as the first: a rotation only reorders the pixels, and a rule only renames the digits.)
#
# What else may be difficult? A network that learns four rules must also recognise which rule an image follows. In lesson 02 the rule is told; from lesson 03 on it has to be found out. (A network
# that learns four rules also saw each rule a quarter as often. *Try it* 3 gives it four times the steps.)
#
# This suggests a plan: keep several small networks, and send each image only to the one for its rule. Such small networks are **experts**.
# In lesson 02 we give each its rule. Later nobody gives an expert a topic: it learns from the inputs that it gets.

# %% [markdown]
# ## Who chooses?
#
# Suppose that we have such experts. Who decides which one an image meets? With a tenth of their neurons, chosen for each image, our ten
# networks lost next to nothing. But we saved nothing: to know which tenth contributes most, we computed all of it. What is missing is
# somebody who can tell *before* the work is done which part an input will need, and who costs little: the **router**.
#
# A router does not choose single neurons. It chooses whole groups of them. Any hidden layer can be cut into such groups. Here we cut the
# hidden layer of the network at the top into eight blocks. Each block, with its columns of output weights, is a small network. The ten scores are the
# sum of the eight answers, plus the output bias:

# %%
with torch.no_grad():
    hidden = relu(first(data.x_test)).chunk(8, dim=1)  # eight blocks of neurons
    columns = last.weight.chunk(8, dim=1)
    answers = [h @ w.T for h, w in zip(hidden, columns, strict=True)]
    assert torch.allclose(sum(answers) + last.bias, network(data.x_test), atol=1e-4)
print("the eight blocks' answers and the bias, added up, are the network's scores")

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("01")

# %% [markdown]
# ## Try it
#
# 1. In the slider's cell, set `hard` to the number of another test image, such as 3, the one at the top. How few neurons does it
#    need?
# 2. Make the network at the top narrower: `WIDTH = 64`. Does a tenth still suffice? Claim 01.1 tells.
# 3. Perhaps eight neurons only need more time for four rules? In the cell *Measured: ten networks of each width*, set
#    `steps=3200` (it takes four times as long). How far behind are they now?
#
# ## Recap
#
# - A dense network computes every neuron for every input, and a tenth of these 512, well chosen, carries the answer.
# - Which tenth depends on the input. As many random ones of those that fire lose more. The same ones for all images lose far more.
# - On `digits4`, eight neurons fail at four rules together, though they can learn one. That is one reason for experts, if somebody sees
#   which rule an image has.
# - Choosing after computing saves nothing. The choice has to come first.
# - A layer is a sum of small networks. An expert is a small network of the same form, trained for the inputs sent to it.
#
# **Sources.** Conditional computation: [Bengio et al. 2013](https://arxiv.org/abs/1308.3432). Sparse activations in
# large transformers: [Li et al. 2022, The Lazy Neuron Phenomenon](https://arxiv.org/abs/2210.06313). Feed-forward
# layers as hidden mixtures of experts: [Zhang et al. 2022, MoEfication](https://arxiv.org/abs/2110.01786).
# Data: UCI optical digits, [Alpaydin and Kaynak 1998](https://doi.org/10.24432/C50P49).

# %% [markdown]
# ## Further
#
# ### Is one block enough?
#
# The eight blocks of the network at the top are small networks. Does an image need only one of them, the one whose neurons contribute
# most to it in all?


# %% tags=["measure"]
# Claim 01.3.
def best_block(c):
    """contributions (N, h) -> 1 for the neurons of each image's best block, (N, h)."""
    blocks = c.unflatten(1, (8, -1)).sum(-1)
    return keep_top(blocks, 1).repeat_interleave(c.shape[1] // 8, dim=1)


def lost(choose):
    """Points of accuracy that each network loses if it keeps the neurons that are chosen."""
    kept = [
        accuracy_with(network, choose(c))
        for network, c in zip(networks, contributed, strict=True)
    ]
    return 100 * (accuracy_all - torch.tensor(kept))


claim(
    "01.3",
    "Leave each image only one of eight blocks, the one that contributes most, and accuracy "
    "drops by more than two points",
    measured=lost(best_block),
    holds=above(2),
    control=lost(lambda c: keep_top(c, WIDTH // 8)),
    control_is="as many neurons, chosen one by one",
    quantity="drop in accuracy (points)",
)


# %% tags=["measure", "nbval-ignore-output"]
# Measured: as many random neurons that fire as fire in the block.
def as_many_firing(c):
    """For each image as many of those that fire for it as its best block has, (N, h)."""
    n = ((c > 0) * best_block(c)).sum(1, keepdim=True)
    return (WAYS["random"](c).argsort(descending=True).argsort() < n).float()


block, at_random = lost(best_block), lost(as_many_firing)
print(f"the best block loses {block.mean():.1f} points")
print(f"as many firing neurons at random lose {at_random.mean():.1f}")
print(f"the block is ahead in {(block < at_random).sum()} of {len(block)} networks")

# %% [markdown]
# On average a block loses less than as many firing neurons at random, and far more than the 64 that contribute most. Nothing in training
# made the neurons that an image needs end up in one block. A mixture trains its blocks to be chosen.
