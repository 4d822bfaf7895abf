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
# 20 minutes. You leave able to show that a dense network computes every neuron although a few suffice for a
# prediction, and that *which* few depends on the input.
#
# Here is an ordinary network, a good one. It reads handwritten digits with one hidden layer of 512 neurons. For each
# digit it computes all 512. How many of them does it need?

# %% tags=["guess", "nbval-ignore-output"]
from moe_tutorial.course import guess

guess(
    "01.spare",
    "For each digit we keep the neurons that contribute most and set the rest to "
    "zero. How many of 512 can go before accuracy drops by two points?",
    choices=["about a tenth", "about half", "nine tenths or more"],
)

# %% [markdown]
# ## Build it
#
# The data ship with scikit-learn: 8 x 8 pixels, ten classes, nothing to download. The network is two linear layers.

# %% tags=["setup"]
import torch
from torch import nn

from moe_tutorial.course import check, quiz, reveal
from moe_tutorial.show import (
    Line,
    curves,
    explorable,
    interval_chart,
    look,
    plotly_slider,
)
from moe_tutorial.study import claim, digits, seeds, train

torch.set_num_threads(1)  # small models are fastest on one thread

# %%
WIDTH = 512
data = digits("standardised")
print(
    "training digits",
    tuple(data.x_train.shape),
    " test digits",
    tuple(data.x_test.shape),
)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, WIDTH)
        self.out = nn.Linear(WIDTH, 10)

    def forward(self, x):
        return self.out(self.hidden(x).relu())


# %% [markdown]
# One training run proves little: perhaps this network was lucky. So we train ten, from ten seeds. `train` stacks them
# and runs them as one batched model; each seed's arithmetic stays the same.

# %%
trained = train(Network, data, seeds(10), steps=300, learning_rate=1e-3)
accuracy_all = trained.accuracy(data.x_test, data.y_test)
print(
    "all ten networks read more than 95% of the test digits:",
    bool((accuracy_all > 0.95).all()),
)

# %% [markdown]
# ## Who contributes?
#
# A neuron adds its activation, times its column of output weights, to the ten scores. So its contribution to one
# digit is as large as
#
# $$c_j(x) = |h_j(x)| \cdot \lVert w_j \rVert$$
#
# where $h_j(x)$ is the activation and $w_j$ are its ten output weights. Neurons that did not fire contribute nothing.
#
# **Your turn.** For one network. Its first layer reads by the rows of `w_in`, and neuron $j$ writes through the column
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

# %% tags=["measure"]
p = trained.parameters
with torch.no_grad():
    networks = zip(
        p["hidden.weight"], p["hidden.bias"], p["out.weight"], strict=True
    )  # ten of each
    contributions = torch.stack([contribution(data.x_test, *own) for own in networks])
    activation = (
        torch.einsum("nd,shd->snh", data.x_test, p["hidden.weight"])
        + p["hidden.bias"][:, None]
    )
    activation = activation.relu()  # (seed, digit, neuron)


def accuracy_with(kept):
    """Test accuracy of each seed when only the neurons where `kept` is 1 may speak."""
    with torch.no_grad():
        scores = (
            torch.einsum("snh,soh->sno", activation * kept, p["out.weight"])
            + p["out.bias"][:, None]
        )
        return (scores.argmax(-1) == data.y_test).float().mean(-1)


# %% [markdown]
# Three ways to keep a few neurons. The first asks each digit for its own. The other two are controls: as many
# neurons, but picked at random, or the same ones for all digits.
#
# **Your turn.** The first way, again for one network.


# %% tags=["exercise"]
def keep_top(contribution, n):
    """contribution (N, h) -> (N, h): 1 for each digit's n largest, 0 for the others."""
    ### BEGIN SOLUTION
    best = contribution.topk(n, dim=-1).indices
    return torch.zeros_like(contribution).scatter(-1, best, 1.0)
    ### END SOLUTION


# %%
keep_top = check("01.keep_top", keep_top)


# %% tags=["measure"]
def own_best(n):
    """The n neurons that contribute most, digit by digit, in each network."""
    return torch.stack([keep_top(own, n) for own in contributions])


def random_ones(n):
    """n neurons at random, digit by digit."""
    draw = torch.rand(
        contributions.shape, generator=torch.Generator().manual_seed(seeds(1)[0])
    )
    return torch.zeros_like(contributions).scatter(-1, draw.topk(n).indices, 1.0)


def same_for_all(n):
    """The n neurons that contribute most on average, the same for every digit."""
    average = contributions.mean(1, keepdim=True)
    return torch.zeros_like(average).scatter(-1, average.topk(n).indices, 1.0)


# %% [markdown]
# ## See it
#
# One digit, one network. Each bar is a neuron, and the one that contributes most stands first. Move the slider: only
# the neurons that contribute most remain. Does the answer change?

# %% tags=["measure"]
shown = 3  # which test digit
counts = [n for n in (5, 10, 25, 51, 102, 256) if n < WIDTH] + [WIDTH]
order = contributions[0, shown].argsort(descending=True)


def say(n):
    """What the network says, and how sure it is, when n neurons remain."""
    kept = torch.zeros(WIDTH).scatter(0, order[:n], 1.0)
    with torch.no_grad():
        scores = p["out.weight"][0] @ (activation[0, shown] * kept) + p["out.bias"][0]
    return scores.argmax().item(), scores.softmax(-1).max().item()


# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
digit, heights = int(data.y_test[shown]), contributions[0, shown, order]
told = {}
for n in counts:
    answer, sure = say(n)
    verdict = "right" if answer == digit else "wrong"
    told[n] = f"{n} of {WIDTH} neurons say {answer}, {sure:.0%} sure: {verdict}"
enough = next(
    n for i, n in enumerate(counts) if all(say(m)[0] == digit for m in counts[i:])
)
explorable(
    [
        {
            "type": "bar",
            "x": list(range(1, WIDTH + 1)),
            "y": heights.tolist(),
            "text": [f"neuron {neuron}" for neuron in order.tolist()],
            "textposition": "none",
            "hovertemplate": "%{text} contributes %{y:.2f}<extra></extra>",
            "marker": {"color": look.color("text"), "line": {"width": 0}},
            "name": told[WIDTH],
            "showlegend": True,
        }
    ],
    title=f"From {enough} of {WIDTH} neurons on, the network calls this {digit} a "
    f"{digit}",
    note=(
        "Point at a bar for its neuron; drag to look closer, and click twice to go back."
    ),
    alt=". ".join(told.values()),
    xaxis_title="neurons, sorted",
    yaxis_title="contribution",
    bargap=0,
    legend_itemclick=False,
    sliders=[
        plotly_slider(
            "neurons kept: ",
            {
                str(n): {
                    "y": [torch.where(torch.arange(WIDTH) < n, heights, 0).tolist()],
                    "name": [told[n]],
                }
                for n in counts
            },
        )
    ],
)

# %% [markdown]
# That was one digit. Now all 450 test digits, all ten networks, and all three ways of choosing.

# %% tags=["measure"]
fractions = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
curves_kept = {
    name: [accuracy_with(keep(max(1, int(f * WIDTH)))).mean().item() for f in fractions]
    for name, keep in {
        "each digit's own": own_best,
        "random": random_ones,
        "the same for all": same_for_all,
    }.items()
}

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
tenth = {name: curve[fractions.index(0.1)] for name, curve in curves_kept.items()}


own, *controls = curves_kept
curves(
    {own: Line(fractions, curves_kept[own], marker="●")}
    | {
        name: Line(fractions, curves_kept[name], "--", "muted", marker="○")
        for name in controls
    },
    x="part of the neurons kept",
    y="test accuracy",
    log="x",
    xticks={f: f"{f:.0%}" for f in fractions},
    ylim=(0, 1.05),
    legend=True,
    title=f"A tenth of the neurons keeps {tenth[max(tenth, key=tenth.get)]:.0%} accuracy, if each digit picks its own",
    note=(
        "Mean of ten networks. Dashed: as many neurons, chosen without looking "
        "at the digit."
    ),
    alt="Accuracy against the part of the neurons kept. At a tenth: "
    + ", ".join(f"{name} {value:.2f}" for name, value in tenth.items()),
)

# %% [markdown]
# ## Measure it
#
# The first claim is the answer to the guess. Its control takes away one thing, the choice by contribution.

# %% tags=["measure"]
N_KEPT = WIDTH // 10
drop = {
    "each digit's own tenth": accuracy_all - accuracy_with(own_best(N_KEPT)),
    "a random tenth": accuracy_all - accuracy_with(random_ones(N_KEPT)),
    "the same tenth for all": accuracy_all - accuracy_with(same_for_all(N_KEPT)),
}

claim(
    "01.1",
    "Keep the tenth of the neurons that contributes most to each digit, and accuracy "
    "drops by less than two points",
    measured=drop["each digit's own tenth"],
    holds=lambda drop: drop.mean() < 0.02,
    control=drop["a random tenth"],
    control_is="a random tenth",
)
small = drop["each digit's own tenth"].mean() < 0.02

# %% tags=["guess", "nbval-ignore-output"]
reveal("01.spare", "nine tenths or more" if small else "about half")

# %% [markdown]
# So one digit does not need the other nine tenths. Can we throw them away for good? Not from this network as it stands:
# cut down to the tenth that contributes most on average, it loses much more.

# %% tags=["measure"]
claim(
    "01.2",
    "Cut the trained network down to one tenth for all digits alike, without training it "
    "again, and accuracy drops by more than five points",
    measured=drop["the same tenth for all"],
    holds=lambda drop: drop.mean() > 0.05,
    control=drop["each digit's own tenth"],
    control_is="each digit's own tenth",
)

# %% [markdown]
# Is a part of the network idle, then? No: nearly every neuron has its digits.

# %% tags=["measure"]
fires = activation > 0  # (seed, digit, neuron)
fires_sometime = fires.any(1).float().mean(-1)
fires_at_once = fires.float().mean((1, 2))

claim(
    "01.3",
    "Nearly every neuron fires for some digit, but not for any one digit",
    measured=fires_sometime,
    holds=lambda part: part.mean() > 0.95,
    control=fires_at_once,
    control_is="one digit at a time",
)

# %% [markdown]
# The control says that about half of them fire for one digit. Half is not few: many neurons speak, and claim 01.1 says
# that a tenth of them carries the answer.
#
# All this is about a network that was trained large. Does the *task* need 512 neurons? Only training can tell. So we train
# a network that has a tenth of the neurons from its first step on.
#
# **Your turn.** `train(build, data, seeds, steps=...)` trains one network a seed; `build` is a function that makes one.


# %% tags=["exercise"]
def train_small(data, n_neurons, seeds, steps):
    """Networks with one hidden layer of n_neurons and a relu, one a seed -> what train returns."""
    ### BEGIN SOLUTION
    n_inputs, n_classes = data.x_train.shape[1], int(data.y_train.max()) + 1

    def build():
        return nn.Sequential(
            nn.Linear(n_inputs, n_neurons), nn.ReLU(), nn.Linear(n_neurons, n_classes)
        )

    return train(build, data, seeds, steps=steps)
    ### END SOLUTION


# %%
train_small = check("01.train_small", train_small)

# %% tags=["measure"]
small = train_small(data, N_KEPT, seeds(10), steps=300)
drop["a tenth, trained alone"] = accuracy_all - small.accuracy(data.x_test, data.y_test)

claim(
    "01.4",
    "Train a network with a tenth of the neurons from scratch, and it is less than two "
    "points less accurate than the large one",
    measured=drop["a tenth, trained alone"],
    holds=lambda drop: drop.mean() < 0.02,
    control=drop["the same tenth for all"],
    control_is="as many neurons of the large network, not trained again",
    refutes="As no fixed tenth of the large network will do, the task needs a large network",
)

# %% [markdown]
# So these digits need neither 512 neurons nor experts: where a small network learns the whole task, it is the better
# bargain. Experts are for tasks that a small network cannot hold. The next lesson makes one.

# %% tags=["draw", "nbval-ignore-output"]
interval_chart(
    drop,
    title="A tenth is enough if each digit chooses it, or if it was trained alone",
    note=(
        "Drop in test accuracy with a tenth of the neurons: ten networks, their "
        "mean, and its 95 % interval."
    ),
    controls=["a random tenth"],
    unit="drop in accuracy",
    zero=0,
)

# %% [markdown]
# ## What this does not show
#
# We saved nothing yet. To know which tenth contributes most, we computed all of them. What is missing is somebody who
# can tell *before* the work is done which part of the network an input will need, and who costs little.
#
# That somebody is the router. And the parts will not be scattered neurons, but whole small networks: the experts. Nothing
# on this page shows that the neurons which an input needs lie together in such blocks. We will build the network in blocks
# and train it so.

# %% tags=["quiz", "nbval-ignore-output"]
quiz("01")

# %% [markdown]
# ## Try it
#
# 1. Set `shown` to another test digit. How few neurons does it need before the answer is wrong? Look for digits that
#    need more than others.
# 2. Train with `digits("raw")`: pixels from 0 to 1 instead of standardised ones. Claim 01.3 now fails. Print
#    `fires_sometime` to see how many neurons never fire.
# 3. Make the network narrower: `WIDTH = 64`. Does a tenth still suffice? The first claim's line tells.
# 4. Train the small network for a tenth of its steps: `steps=30`. What does claim 01.4 say then, and was the network too
#    small?
#
# ## Recap
#
# - A dense network computes every neuron for every input, and a tenth of them, well chosen, carries the answer.
# - Which tenth depends on the input: the one that contributes most on average will not do for all.
# - That is about a network trained large. A small network trained from scratch reads these digits nearly as well.
# - Choosing after computing saves nothing. The choice has to come first.
#
# **Sources.** Conditional computation: [Bengio et al. 2013](https://arxiv.org/abs/1308.3432). Sparse activations in
# large transformers: [Li et al. 2022, The Lazy Neuron Phenomenon](https://arxiv.org/abs/2210.06313). Feed-forward
# layers as hidden mixtures of experts: [Zhang et al. 2022, MoEfication](https://arxiv.org/abs/2110.01786). Data: UCI
# optical digits, [Alpaydin and Kaynak 1998](https://doi.org/10.24432/C50P49).
