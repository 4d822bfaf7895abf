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
# # 04 Training through the gate
#
# 45 minutes. You leave able to derive the gradient that reaches the router, match autograd with it, and spot the
# routers that cannot learn.
#
# Choosing an expert is a jump. Nudge a logit a little, and the same expert is chosen: the slope is zero. How can a loss
# teach a router to choose better?

# %% tags=["setup"]
# Setup: what this lesson uses.
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.course import check, guess, my_moe, quiz, reveal, scoreboard
from moe_tutorial.layers import MixtureOfExperts, Router
from moe_tutorial.show import (
    expert_bars,
    grid,
    is_narrow,
    look,
    message,
    picture,
    sweep,
    watch_training,
)
from moe_tutorial.study import (
    above,
    below,
    claim,
    digits4,
    in_every_seed,
    multiplications,
    parameters,
    regimes_2d,
    score,
    seeds,
    share,
    specialisation,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread

# %% tags=["setup"]
# Setup: the plane, and what is noted of a mixture while it trains.
plane = regimes_2d(seed=seeds(1)[0])
places = grid(plane.x_train, 40)
STEPS, EVERY = 800, 20


def snapshot(moe):
    """A moment to remember: logits all over the plane, shares, and the accuracy."""
    with torch.no_grad():
        scores, routing = moe(plane.x_test)
        logits = moe(places)[1].logits
    accuracy = (scores.argmax(-1) == plane.y_test).float().mean().item()
    return logits, share(routing.indices, 4), accuracy


# %% [markdown]
# ## A complete run, watched
#
# First, see that a router can learn. The plane has four quarters, each with its own rule. We take four experts of four neurons.
# Nobody tells the router where the quarters are.
#
# **Your turn.** One step of training, as for any network. `moe(x)` returns the class scores and the routing; the loss is
# the cross-entropy of the scores.


# %% tags=["exercise"]
def training_step(moe, optimizer, x, y):
    """One step on the inputs x (B, d) and their classes y (B,) -> the loss before it."""
    ### BEGIN SOLUTION
    scores, _ = moe(x)
    loss = F.cross_entropy(scores, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    ### END SOLUTION
    return loss


# %%
training_step = check("04.training_step", training_step)

# %% [markdown]
# The rest is a loop over such steps. Watch the borders look for the quarters.

# %% tags=["measure"]
# Trained by your step: a mixture of four experts on the plane.
torch.manual_seed(seeds(1)[0])
moe = MixtureOfExperts(d_model=2, d_hidden=4, n_experts=4, top_k=1, d_out=2)
optimizer = torch.optim.Adam(moe.parameters(), lr=1e-2)
history = []
for step in range(STEPS + 1):
    if step % EVERY == 0:
        history.append(snapshot(moe))
    rows = torch.randint(len(plane.x_train), (128,))
    training_step(moe, optimizer, plane.x_train[rows], plane.y_train[rows])
print(
    f"{100 * history[0][2]:.0f} % right before training, {100 * history[-1][2]:.0f} % after it"
)

# %% tags=["draw", "nbval-ignore-output"]
# A film of this training.
watch_training(
    torch.stack([logits for logits, _, _ in history]),
    plane.x_train[:240],
    plane.y_train[:240],
    steps=list(range(0, STEPS + 1, EVERY)),
    shares=torch.stack([shares for _, shares, _ in history]),
    score=[correct for _, _, correct in history],
    score_name="accuracy",
)

# %% [markdown]
# With the course's step, three of the four borders end near the axes, and one stays oblique.
#
# ## Derive it: one token
#
# A token $x$ has logits $z = Wx$ and probabilities $p = \mathrm{softmax}(z)$. The $k$ likeliest experts are chosen. Call
# their set $C$, and let $g_i = p_i$ for a chosen expert and $g_i = 0$ for the others. $E_i(x)$ is what expert $i$ answers,
# and the layer's output is
#
# $$y = \sum_i g_i \, E_i(x)$$
#
# The loss $L(y)$ depends on this output. We need its slope $\partial L / \partial z_j$ at the logit of every expert $j$. We follow one
# example in NumPy: six experts, two chosen.

# %% tags=["setup"]
# Setup: one token, its six experts' answers, and the gate weights g of the two that are chosen.
n_experts, k, d = 6, 2, 5
rng = np.random.default_rng(seeds(1)[0])
x = rng.normal(size=d)
W = rng.normal(size=(n_experts, d)) / np.sqrt(d)
answers = rng.normal(size=(n_experts, d))  # row i is E_i(x)
target = rng.normal(size=d)

z = W @ x
p = np.exp(z - z.max())
p = p / p.sum()
chosen = np.argsort(-p)[:k]
g = np.zeros(n_experts)
g[chosen] = p[chosen]
y = g @ answers
loss = ((y - target) ** 2).mean()

# %% [markdown]
# **Step 1: from the loss to the output.** The loss is a mean of squares over the $d$ entries of $y$.
#
# $$\frac{\partial L}{\partial y} = \frac{2}{d}\,(y - \text{target})$$

# %%
dL_dy = 2 / d * (y - target)

# %% [markdown]
# **Step 2: from the output to the gate.** In the output, $g_i$ multiplies $E_i(x)$. So the slope at $g_i$ is a dot product. It is positive
# if more of this expert raises the loss, and negative if it lowers it:
#
# $$\frac{\partial L}{\partial g_i} = \Big\langle \frac{\partial L}{\partial y},\, E_i(x) \Big\rangle \quad \text{for } i \in C$$
#
# where $\langle a, b \rangle$ is the dot product. The weight of an expert that was not chosen is fixed at 0, so no slope
# comes through it.
#
# **Your turn.** One line: these slopes, at the chosen experts' places.


# %% tags=["exercise"]
def answers_slope(answers, chosen, dL_dy):
    """answers (E, d), the chosen (k,), dL_dy (d,) -> dL_dg (E,), 0 if not chosen."""
    dL_dg = np.zeros(len(answers))
    ### BEGIN SOLUTION
    dL_dg[chosen] = answers[chosen] @ dL_dy
    ### END SOLUTION
    return dL_dg


# %%
answers_slope = check("04.answers_slope", answers_slope)
dL_dg = answers_slope(answers, chosen, dL_dy)

# %% [markdown]
# **Step 3: from the gate to the logits.** Here is the trick: we do not differentiate the choice. We differentiate the
# *weight*. A chosen expert's weight is its probability, which depends smoothly on *all* logits:
#
# $$\frac{\partial p_i}{\partial z_j} = p_i\,(\delta_{ij} - p_j)$$
#
# where $\delta_{ij}$ is 1 if $i = j$, and 0 otherwise. So a logit moves the weights of all chosen experts at once, and the
# chain rule adds up what comes through each:
#
# $$\frac{\partial L}{\partial z_j} = \sum_{i \in C} \frac{\partial L}{\partial g_i}\, p_i\,(\delta_{ij} - p_j)$$
#
# **Your turn.** This sum, for all $j$. Experts that were not chosen have a 0 in `dL_dg`, so it may run over all.


# %% tags=["exercise"]
def gate_gradient(p, dL_dg):
    """Arrays p (E,), dL_dg (E,), 0 for experts that were not chosen -> dL_dz (E,)."""
    ### BEGIN SOLUTION
    s = p * dL_dg
    return s - p * s.sum()
    ### END SOLUTION


# %%
gate_gradient = check("04.gate_gradient", gate_gradient)
dL_dz = gate_gradient(p, dL_dg)

# %% [markdown]
# **Step 4: from the logits to the router.** A logit is a row of $W$ times the token, so
# $\partial L/\partial W = (\partial L / \partial z)\, x^\top$. Now let autograd do the same.

# %% tags=["measure"]
# Measured: the same gradient by autograd.
by_hand = np.outer(dL_dz, x)


def by_autograd(W, x, answers, target, k, renormalize=False):
    """Gradient of the loss for the router's weight, (E, d), by PyTorch."""
    W = torch.tensor(W, requires_grad=True)
    probs = (W @ torch.tensor(x)).softmax(-1)
    weights, indices = probs.topk(k)
    if renormalize:
        weights = weights / weights.sum()
    output = weights @ torch.tensor(answers)[indices]
    F.mse_loss(output, torch.tensor(target)).backward()
    return W.grad.numpy()


gap = np.abs(by_hand - by_autograd(W, x, answers, target, k)).max()
assert gap < 1e-10
print("by hand and by autograd: the same to ten decimals")

# %% [markdown]
# ## Read it
#
# A step on this token alone, by plain gradient descent, moves each logit *against* its gradient. So where `gate_gradient` is
# negative, a step raises the logit, and where it is positive, a step lowers it.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "04.rises",
    "Three experts have the probabilities 0.5, 0.3 and 0.2. The first two are chosen, and "
    "both hurt, so that more of them raises the loss: dL/dg is 2 for the first and 1 for the second. Whose logits does a step raise?",
    choices=["nobody's", "the third's", "the second's and the third's"],
)

# %% tags=["measure"]
# Measured: the gradient at the three logits.
three, hurt = np.array([0.5, 0.3, 0.2]), np.array([2.0, 1.0, 0.0])
gradient, average = gate_gradient(three, hurt), three @ hurt

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
_, second, third = gradient < 0
reveal(
    "04.rises",
    "the second's and the third's"
    if second
    else "the third's"
    if third
    else "nobody's",
    says="The gradients are "
    + ", ".join(f"{slope:+.2f}" for slope in gradient)
    + ". A step raises whoever is better, that is, below the average, weighed by p: 0.5 · 2 + 0.3 · 1 + 0.2 · 0 = "
    f"{average:.1f}. The second hurts, but less than that. The third "
    "was not chosen and counts as 0: it rises because the others hurt. Where they help, it falls.",
)

# %% [markdown]
# Call $s_j = p_j \, \partial L / \partial g_j$, which is 0 for experts that were not chosen. Then your sum is $s_j - p_j \sum_i s_i$, or
#
# $$\frac{\partial L}{\partial z_j} = p_j \Big( \frac{\partial L}{\partial g_j} - \sum_i s_i \Big)$$
#
# Here $\sum_i s_i$ is the average from the guess. The logit of an expert that was not chosen gets a gradient, too. But it says nothing about that expert's own
# answer: it only says whether the chosen ones did well or badly.

# %% [markdown]
# So how does the *choice* improve? Say that the third expert would help: once chosen, its dL/dg is -1. The router cannot know that yet. Your
# `gate_gradient` takes steps on the three logits. (To keep it simple, an expert's dL/dg stays the same.) At which step is the third chosen?
# What happens then?


# %% tags=["draw", "nbval-ignore-output"]
# A slider: steps by your gradient, where the third expert would help.
would = np.array([*hurt[:2], -1.0])


def now(three_logits):
    """Their probabilities, the two chosen, and dL/dg: 0 for the one not chosen."""
    weights = np.exp(three_logits) / np.exp(three_logits).sum()
    two, slopes = sorted(np.argsort(-weights)[:2].tolist()), np.zeros(3)
    slopes[two] = would[two]
    return weights, two, slopes


def at_step(steps):
    three_logits = np.log(three)
    for _ in range(steps):
        weights, _, slopes = now(three_logits)
        three_logits = three_logits - 0.5 * gate_gradient(weights, slopes)
    weights, two, _ = now(three_logits)
    one, other = (("first", "second", "third")[i] for i in two)
    texts = [
        f"{weight:.2f}, " + (f"dL/dg {would[i]:+.0f}" if i in two else "counts as 0")
        for i, weight in enumerate(weights)
    ]
    return message(
        f"Step {steps}: the {one} and the {other} are chosen",
        "Bars 0, 1 and 2: the probabilities of the first, second and third. With a positive dL/dg an expert hurts, with a negative one it helps.",
    ) + expert_bars(weights.tolist(), texts, 0, "Probability of each expert", least=1)


sweep(at_step, steps=("Steps", list(range(9))))

# %% [markdown]
# The same logits set the weight and the choice. The first hurts more than the average, so it sinks, until the third overtakes it. Only
# then is the third tried, and judged by its own answer: it helps, and rises on. (A harmful third would have been tried at
# the same step. And had the first two helped, the third would have sunk, however good.) Now the average is below 0, so the one that rests, which counts
# as 0, sinks as well. The one that is chosen hurts and sinks faster, so the other two change places now and then.

# %% [markdown]
# ## Four routers, one choice
#
# The loss reaches the router through the weight, if that depends on the logits. Here are four routers that choose the same expert. They
# differ only in the weight that scales its output:


# %%
def gate_weight(kind, logits):
    """The number that scales the chosen expert's output: (tokens, 1)."""
    probs = logits.softmax(-1)
    best = logits.argmax(-1, keepdim=True)
    if kind == "probability":  # softmax over all experts, then choose
        return probs.gather(-1, best)
    if kind == "softmax of the chosen":  # choose, then softmax over what was chosen
        return logits.gather(-1, best).softmax(-1)
    if kind == "renormalised":  # choose, then divide by the sum of what was chosen
        chosen = probs.gather(-1, best)
        return chosen / chosen.sum(-1, keepdim=True)
    return torch.ones(len(logits), 1)  # "unscaled": the expert's output as it is


KINDS = ["probability", "softmax of the chosen", "renormalised", "unscaled"]

# %% [markdown]
# Which of these weights change when the logits change a little? Say it before you read on.

# %% tags=["measure"]
# Measured: the slopes of the four weights.
logits = torch.randn(100, 8, requires_grad=True)
for kind in KINDS:
    weight = gate_weight(kind, logits)
    try:
        (slope,) = torch.autograd.grad(weight.sum(), logits)
        print(f"{kind:>22}: the largest slope is {slope.abs().max():.2f}")
    except RuntimeError as refusal:
        print(f"{kind:>22}: {refusal}")

# %% [markdown]
# Only the first. With one chosen, the other three are 1, *whatever the logits say*: the second and the third divide what was chosen by
# itself, and the last is a constant, for which autograd has no slope to give. (With two chosen, renormalised weights do have a slope:
# they say how the two compare.)

# %% [markdown]
# ## Would you notice?
#
# A router that hears nothing still chooses, and nothing crashes. Do its weights give it away? We train all four on `digits4`, with
# ten seeds: 8 experts of 8 neurons, one chosen. (This takes half a minute.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "04.still",
    "The loss teaches only one of the four routers. After 800 steps of Adam, in how many of the four are the router's "
    "weights exactly the same as at the start?",
    slider=(0, 4, 1, "of 4"),
)


# %% tags=["measure"]
# Measured: ten seeds of each, their accuracy, and how far their routers moved.
class Unscaled(Router):
    """Chooses like a router, and leaves the output as it is."""

    def forward(self, x):
        routing = super().forward(x)
        return routing._replace(weights=torch.ones_like(routing.weights))


ROUTERS = {
    "probability": lambda: Router(64, 8, 1),
    "softmax of the chosen": lambda: Router(64, 8, 1, gate="topk_softmax"),
    "renormalised": lambda: Router(64, 8, 1, renormalize=True),
    "unscaled": lambda: Unscaled(64, 8, 1),
}

digits = digits4("standardised")


def run(make_router, freeze=()):
    """Ten seeds' test accuracy, and the way of the router's weights over their length at the start."""
    start = []

    def keep_start(step, trained):
        if step == 0:
            start.append(trained.parameters["router.weight"].detach().clone())

    trained = train(
        lambda: MixtureOfExperts(64, 8, 8, 1, make_router(), d_out=10),
        digits,
        seeds(10),
        freeze=freeze,
        on_step=keep_start,
    )
    way = (trained.parameters["router.weight"].detach() - start[0]).norm(dim=(1, 2))
    moved = way / start[0].norm(dim=(1, 2))
    return trained.accuracy(digits.x_test, digits.y_test), moved


accuracy, moved = {}, {}
for kind in KINDS:
    accuracy[kind], moved[kind] = run(ROUTERS[kind])
frozen = "probability, frozen"
accuracy[frozen], moved[frozen] = run(ROUTERS["probability"], freeze=["router.weight"])
never = [kind for kind in KINDS if (moved[kind] == 0).all()]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "04.still",
    len(never),
    says=f"Unchanged since the start, in all ten seeds: {', '.join(never)}. "
    + (
        "A softmax of one number has a slope of exactly 0. In p divided by p two terms cancel, but only up to rounding. Adam divides a "
        "gradient by a running average of its size, so even rounding errors move the renormalised router. Its weights change, although "
        "the loss teaches it nothing. So look at the size of the gradient, and not at whether the weights moved. (“Further” has that test.)"
        if moved["renormalised"].min() > 0
        else "As the formula says: no gradient, no step."
    ),
)

# %% [markdown]
# ## What is the learning worth?
#
# Experts learn to work even with a router that hears nothing. Is that enough? In lesson 02, experts that an untrained matrix chose were
# well ahead of a dense network of 8 neurons, but not of one that did as much work as expert and matrix. A router is work, too:

# %% tags=["measure"]
# Measured: the work for one image.
image = digits.x_test[:1]
layer = MixtureOfExperts(64, 8, 8, 1, d_out=10)
work, by_router = multiplications(layer, image), multiplications(layer.router, image)
width = round(work / (64 + 10))  # a neuron multiplies 64 numbers in and 10 out
total = round(parameters(layer) / (64 + 10 + 1))  # and keeps them, with a bias
print(f"{work:,} multiplications an image, {by_router} of them in the router")
print(f"a dense network of {width} neurons takes {width * (64 + 10):,}")

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "04.work",
    "Compare two mixtures with the dense network of as much work. In one the router learns. In the other it is deaf: no gradient reaches "
    "it (the unscaled one). Which mixture is more accurate than the dense network?",
    choices=["both", "only the one that learns", "neither"],
)


# %% tags=["measure"]
# Measured: the two dense networks.
def dense_accuracy(width):
    def dense():
        return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    return train(dense, digits, seeds(10)).accuracy(digits.x_test, digits.y_test)


as_much_work, as_large = dense_accuracy(width), dense_accuracy(total)
learned, deaf = accuracy["probability"], accuracy["unscaled"]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
beats = [each.mean() > as_much_work.mean() for each in (learned, deaf)]
reveal(
    "04.work",
    "both" if all(beats) else "only the one that learns" if beats[0] else "neither",
    says=f"The dense network gets {100 * as_much_work.mean():.1f} % right, the mixture {100 * learned.mean():.1f} % with a router that learns and "
    f"{100 * deaf.mean():.1f} % with a deaf one."
    + (
        " With a deaf router, the same work is better spent on a dense network."
        if not beats[1]
        else ""
    )
    + f"\n\nWhere do the points come from? Take the router that could learn, but freeze it at its random start, and the mixture gets {100 * accuracy[frozen].mean():.1f} %. "
    f"So learning is worth about {100 * (learned - accuracy[frozen]).mean():.0f} points, after 800 steps at one learning rate for all.",
)

# %% tags=["measure"]
# Claim 04.1.
claim(
    "04.1",
    "On digits4, the mixture whose router learns is more than one point more accurate than a "
    "dense network of as much work, the router's included",
    measured=100 * (learned - as_much_work),
    holds=above(1),
    control=100 * (accuracy[frozen] - as_much_work),
    control_is="the same router, frozen",
    quantity="test accuracy over dense (points)",
)

# %% tags=["measure", "remove-output"]
# Four rows for the scoreboard.
rows = score(
    "04",
    {
        "experts and a router that learns": (8, 64, learned),
        "experts and a deaf router": (8, 64, deaf),
        "dense of as much work": (width, width, as_much_work),
        "dense as large as these mixtures": (total, total, as_large),
    },
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the scoreboard.
scoreboard(
    rows,
    title=f"A dense network as large as these mixtures gets {100 * as_large.mean():.1f} % right, for about {total * (64 + 10) / work:.0f} times the work",
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("04")

# %% [markdown]
# ## This is yours
#
# A router, a mixture, a training step: you wrote all that a mixture needs. `my_moe` collects it into one file,
# `my_moe.py`, which needs PyTorch alone. On the plane, from three starts:

# %%
mine = my_moe()  # in a terminal: python my_moe.py

# %% tags=["measure"]
# Measured: how many new points your mixture gets right, and how many experts it uses.
for seed in seeds(3):
    torch.manual_seed(seed)
    layer = mine.MyMoE(d_model=2, d_hidden=4, n_experts=4, top_k=1, d_out=2)
    mine.train(layer, plane.x_train, plane.y_train, steps=STEPS, batch=128, lr=1e-2)
    with torch.no_grad():
        scores, routing = layer(plane.x_test)
    right = (scores.argmax(-1) == plane.y_test).double().mean().item()
    used = len(routing.indices.unique())
    print(f"your mixture: {100 * right:.0f} % right, {used} of 4 experts chosen")

# %% [markdown]
# The same settings each time, and another accuracy: the start and the batches differ, and much hangs on them. (The film at the top is
# one run, too: its accuracy is no promise.) Do all four experts get points? If no training point chooses an expert, its own weights get no
# gradient. Lesson 05 is about such experts.

# %% [markdown]
# ## Try it
#
# 1. Open the folded cell of the complete run, give the mixture `gate="topk_softmax"`, and run it and the film again: the borders stand still. How accurate
#    do the experts get all the same? The [gate that cannot learn](playground.ipynb#preset=deaf) is in the playground too:
#    change its gate while it trains.
# 2. Use 8 experts instead of 4 (in `snapshot` as well). Who is left without a region? That is lesson 05.
# 3. In the derivation, change `k` to 1 and to 6, and print `dL_dz.sum()` each time. Why is it always 0, up to rounding?
#    (Then set `k` back to 2.)
#
# ## Recap
#
# - No gradient passes through the choice. It passes through the weight, if that depends on the logits.
# - If the weight is the probability, $\partial L/\partial z_j = s_j - p_j \sum_i s_i$: on one token, a step down this gradient raises whoever is better than the average. Experts that were not chosen
#   hear only how the chosen did.
# - With one expert chosen, a weight that is divided by the sum of the chosen is always 1, and teaches the router nothing.
#   [This mistake was released](museum.ipynb#the-router-never-moves).
#
# **Sources.** Scaling by the probability, so that the router learns:
# [Switch Transformers, Fedus et al. 2021](https://arxiv.org/abs/2101.03961), section 2.1. Softmax over the chosen:
# [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538). Adam: [Kingma and Ba 2014](https://arxiv.org/abs/1412.6980).

# %% [markdown]
# ## Further
#
# ### Two chosen, divided by their sum
#
# Renormalise (divide the chosen weights by their sum), and experts that were not chosen get no gradient at all. For chosen experts,
#
# $$\frac{p_i}{\sum_{c \in C} p_c} = \frac{e^{z_i}}{\sum_{c \in C} e^{z_c}}$$
#
# and the logits of the others have dropped out. Here is the token from the derivation: its probabilities, and which way a step pushes each
# logit.

# %% tags=["measure"]
# Measured: the push on the six logits of the token above, by PyTorch.
others, push = np.setdiff1d(np.arange(n_experts), chosen), {}
for name, renormalize in {"by probability": False, "renormalised": True}.items():
    by_W = by_autograd(W, x, answers, target, k, renormalize)
    push[name] = -(by_W @ x / (x @ x)).round(9) + 0.0
    assert (push[name][others] == 0).all() == renormalize


# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
# Drawn: the push on each logit.
def pushes(figure, theme):
    """A bar from zero for each expert, coloured if it is chosen."""
    panels = figure.subplots(*((2, 1) if is_narrow(figure) else (1, 2)), sharey=True)
    text, muted = look.color("text", theme), look.color("muted", theme)
    colors = [
        look.expert_color(i, theme) if i in chosen else look.color("border", theme)
        for i in range(n_experts)
    ]
    longest = max(np.abs(each).max() for each in push.values())
    for axes, (name, each) in zip(panels, push.items(), strict=True):
        axes.bar(range(n_experts), each, color=colors)
        axes.axhline(0, color=muted, lw=1)
        for i, by in enumerate(each):
            at = by + 0.06 * longest * (1 if by >= 0 else -1)
            style = {"ha": "center", "va": "bottom" if by >= 0 else "top"}
            axes.text(
                i, at, f"{by:+.2f}" if by else "0", color=text if by else muted, **style
            )
        axes.set_title(name, loc="left", color=muted, fontsize=11)
        labels = [f"{i}\n{share:.2f}" for i, share in enumerate(p)]
        axes.set_xticks(range(n_experts), labels)
        axes.set(xlabel="expert, and its probability", yticks=[])
        axes.set_ylim(-1.35 * longest, 1.35 * longest)
        axes.spines["left"].set_visible(False)


heard = {name: int((each != 0).sum()) for name, each in push.items()}
picture(
    pushes,
    title=f"Weighted by probability, {heard['by probability']} of {n_experts} logits are pushed; renormalised, {heard['renormalised']}",
    note="Bars: minus the gradient at each logit, so up means that a step of plain gradient descent raises it. Coloured: the two chosen. By "
    "probability, whoever rises is better than the average; the grey ones count as 0.",
    alt="; ".join(
        f"{name}: " + ", ".join(f"expert {i} {by:+.2f}" for i, by in enumerate(each))
        for name, each in push.items()
    ),
    height=300,
    narrow_height=520,
)

# %% [markdown]
# ### Does renormalising silence the router of a whole layer?
#
# With one chosen, and with two?


# %% tags=["measure"]
# Claim 04.2.
def router_gradient(seed, top_k=1, **options):
    """Length of the gradient that reaches a router of 8 experts from 64 tokens."""
    torch.manual_seed(seed)
    moe = MixtureOfExperts(16, 8, 8, top_k, **options).double()
    x, target = torch.randn(2, 64, 16, dtype=torch.float64)
    F.mse_loss(moe(x)[0], target).backward()
    return moe.router.weight.grad.norm().item()


def renormalised_part(seed, top_k):
    """Router gradient with renormalising, over the gradient without."""
    return router_gradient(seed, top_k, renormalize=True) / router_gradient(seed, top_k)


claim(
    "04.2",
    "Renormalising the weight of a single chosen expert silences the router",
    measured=[renormalised_part(seed, 1) for seed in seeds(10)],
    holds=in_every_seed(below(1e-6)),
    control=[renormalised_part(seed, 2) for seed in seeds(10)],
    control_is="two chosen experts",
    quantity="router's gradient, renormalised over not (times)",
    refutes="Renormalising the gate weights only rescales the output",
)

# %% [markdown]
# ### The four routers, side by side
#
# How far did the weights move, over their norm at the start? And how many images are right? The last row has the same kind of router as the
# first, and never updates it.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: all four, side by side, and the first with a router that stays as it was drawn.
print(f"{'router':22}{'weights moved':>15}{'accuracy':>10}")
for kind in [*KINDS, frozen]:
    print(f"{kind:22}{moved[kind].mean():15.2f}{100 * accuracy[kind].mean():8.1f} %")

# %% [markdown]
# Only where the router learns are clearly more images right.

# %% [markdown]
# ### Do regions move toward the quarters in general?
#
# The run at the top is one run. *Specialisation* says how much the chosen expert tells about the quarter. It is their
# **normalised mutual information** (NMI): the information that the two share, divided by the average of their two entropies.
# 0: knowing the expert says nothing about the quarter. 1: each tells the other without a doubt.
#
# We measure it before and after training, over twenty seeds. The control weighs by a softmax over the chosen, so its router
# cannot learn.


# %% tags=["measure"]
# Claim 04.3.
def specialisation_of(gate):
    """Specialisation before and after training: each one number a seed."""
    measured = {}

    def measure(step, trained):
        if step in (0, STEPS):
            chosen = trained.routing(plane.x_test).indices[..., 0]
            measured[step] = np.array(
                [specialisation(choice, plane.regime_test) for choice in chosen]
            )

    train(
        lambda: MixtureOfExperts(2, 4, 4, 1, gate=gate, d_out=2),
        plane,
        seeds(20),
        steps=STEPS,
        on_step=measure,
    )
    return measured[0], measured[STEPS]


before, after = specialisation_of("softmax_topk")
deaf_before, deaf_after = specialisation_of("topk_softmax")
print("specialisation      before  after")
print(f"probability        {before.mean():7.1f}{after.mean():7.1f}")
print(f"softmax of chosen  {deaf_before.mean():7.1f}{deaf_after.mean():7.1f}")

claim(
    "04.3",
    "Trained through the gate, the router comes to choose experts by the hidden rule: "
    "specialisation rises above 0.7",
    measured=after,
    holds=above(0.7),
    control=deaf_after,
    control_is="softmax over the chosen, as before training",
    quantity="specialisation (NMI)",
)

# %% [markdown]
# Before training it is not 0: borders drawn by chance tell quarters apart to a degree. Learning raises it far above that.

# %% [markdown]
# ### Does the loss reach a router?
#
# Take a mean squared error, and look at the gradient of `moe.router.weight`. Where the loss does not depend on the router at all,
# PyTorch leaves `None` there; and a gradient of a billionth is rounding. We ask the four, and a fifth weight: a sigmoid of the
# chosen expert's own logit.

# %% tags=["measure"]
# Measured: which routers hear the loss.
torch.manual_seed(seeds(1)[0])
some_tokens, some_targets = torch.randn(2, 100, 64)
own_sigmoid = {"sigmoid": lambda: Router(64, 8, 1, gate="sigmoid_topk")}
for kind, make_router in (ROUTERS | own_sigmoid).items():
    mixture = MixtureOfExperts(64, 8, 8, 1, make_router())
    F.mse_loss(mixture(some_tokens)[0], some_targets).backward()
    gradient = mixture.router.weight.grad
    hears = gradient is not None and gradient.norm() > 1e-6
    print(f"{kind:>22}: {'hears the loss' if hears else 'hears nothing'}")

# %% [markdown]
# The sigmoid depends on the chosen expert's logit, and nothing cancels that. So the loss reaches the router, through this logit alone.
