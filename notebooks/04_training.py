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
# # Training through the gate
#
# 35 minutes. You leave able to derive the gradient that reaches the router, match autograd with it, and spot the
# routers that cannot learn.
#
# Picking an expert is a jump. Nudge a logit a little and the same expert is picked; nothing changes, and the slope of
# nothing is zero. So how can a loss teach a router to pick better?

# %% tags=["setup"]
import numpy as np
import torch
import torch.nn.functional as F

from moe_tutorial.course import check, quiz, reveal
from moe_tutorial.layers import MixtureOfExperts, Router
from moe_tutorial.show import (
    grid,
    interval_chart,
    region_maps,
    watch_training,
)
from moe_tutorial.study import (
    claim,
    digits4,
    regimes_2d,
    seeds,
    share,
    specialisation,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread

# %% tags=["setup"]
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
# First see that it can. The plane has four quarters, each with its own rule. Four experts of four neurons; one expert's
# neurons suffice for one rule. Nobody tells the router where the quarters are.
#
# **Your turn.** One step of training, as for any network. The mixture's output is the class scores, the loss their
# cross-entropy, and it reaches experts and router in one backward pass.


# %% tags=["exercise"]
def training_step(moe, optimizer, x, y):
    """One step on the inputs x (B, d) and their classes y (B,) -> the loss before it."""
    ### BEGIN SOLUTION
    scores, _ = moe(x)
    loss = F.cross_entropy(scores, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
    ### END SOLUTION


# %%
training_step = check("04.training_step", training_step)

# %% [markdown]
# The rest of the training is a loop:

# %%
torch.manual_seed(seeds(1)[0])
moe = MixtureOfExperts(d_model=2, d_hidden=4, n_experts=4, top_k=1, d_out=2)
optimizer = torch.optim.Adam(moe.parameters(), lr=1e-2)
history = []
for step in range(STEPS + 1):
    if step % EVERY == 0:
        history.append(snapshot(moe))
    rows = torch.randint(len(plane.x_train), (128,))
    training_step(moe, optimizer, plane.x_train[rows], plane.y_train[rows])
print("snapshots:", len(history))

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
moments = [0, len(history) // 8, len(history) // 3, -1]


steps = range(0, STEPS + 1, EVERY)
region_maps(
    {
        f"step {steps[moment]}, {history[moment][2]:.0%} right": history[moment][
            0
        ].softmax(-1)
        for moment in moments
    },
    places,
    plane.x_train[:60],
    plane.y_train[:60],
    title=f"The router's regions turn until accuracy has gone from {history[0][2]:.0%} to {history[-1][2]:.0%}",
    note=(
        "One run, four moments. Colour: the expert that gets the place, deeper "
        "where the router is surer. Shape: class."
    ),
    alt=(
        "Four maps of the plane during training; the four regions move toward the "
        "four quarters."
    ),
)

# %% [markdown]
# The same run as a film. Press play, or pull the slider, and watch the borders look for the quarters.

# %% tags=["draw", "nbval-ignore-output"]
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
# ## Derive it: one token
#
# A token $x$ has logits $z = Wx$ and probabilities $p = \mathrm{softmax}(z)$. The $k$ likeliest experts are picked. Call
# their set $C$, and let $g_i = p_i$ for a picked expert and $g_i = 0$ for the others. The layer's output is
#
# $$y = \sum_i g_i \, E_i(x)$$
#
# and somewhere behind it a loss $L(y)$ is computed. We need $\partial L / \partial z_j$ for every expert $j$. Numbers
# first: six experts, two picked, in double precision.

# %%
E, k, d = 6, 2, 5
rng = np.random.default_rng(seeds(1)[0])
x = rng.normal(size=d)
W = rng.normal(size=(E, d)) / np.sqrt(d)
answers = rng.normal(size=(E, d))  # E_i(x): what each expert says about this token
target = rng.normal(size=d)

z = W @ x
p = np.exp(z - z.max())
p = p / p.sum()
picked = np.argsort(-p)[:k]
g = np.zeros(E)
g[picked] = p[picked]
y = g @ answers
loss = ((y - target) ** 2).mean()
print("gate weights that are not zero:", np.count_nonzero(g), "of", E)

# %% [markdown]
# **Step 1: from the loss to the output.** For a mean squared error that is school mathematics.
#
# $$\frac{\partial L}{\partial y} = \frac{2}{d}\,(y - \text{target})$$

# %%
dL_dy = 2 / d * (y - target)

# %% [markdown]
# **Step 2: from the output to the gate.** The output is a sum in which $g_i$ multiplies $E_i(x)$. So the loss asks expert
# $i$'s weight to move by how well its answer lines up with what the loss wants changed:
#
# $$\frac{\partial L}{\partial g_i} = \Big\langle \frac{\partial L}{\partial y},\, E_i(x) \Big\rangle \quad \text{for } i \in C$$
#
# An expert that was not picked has no answer in the sum: nothing comes back through it.

# %%
dL_dg = np.zeros(E)
dL_dg[picked] = answers[picked] @ dL_dy

# %% [markdown]
# **Step 3: from the gate to the logits.** Here the picking happened, and here is the trick: we do not differentiate the
# picking. We differentiate the *weight*. A picked expert's weight is its probability, and a probability depends
# smoothly on *all* logits:
#
# $$\frac{\partial p_i}{\partial z_j} = p_i\,(\delta_{ij} - p_j)$$
#
# where $\delta_{ij}$ is 1 if $i = j$, and 0 otherwise. So a logit moves the weights of all picked experts at once, and the
# chain rule adds up what comes through each:
#
# $$\frac{\partial L}{\partial z_j} = \sum_{i \in C} \frac{\partial L}{\partial g_i}\, p_i\,(\delta_{ij} - p_j)$$
#
# **Your turn.** This sum, for all $j$. Experts that were not picked have a 0 in `dL_dg`, so it may run over all.


# %% tags=["exercise"]
def gate_gradient(p, dL_dg):
    """p (E,), dL_dg (E,), 0 for experts that were not picked -> dL_dz (E,)."""
    ### BEGIN SOLUTION
    s = p * dL_dg
    return s - p * s.sum()
    ### END SOLUTION


# %%
gate_gradient = check("04.gate_gradient", gate_gradient)
dL_dz = gate_gradient(p, dL_dg)

# %% [markdown]
# Sort the sum by its two parts. With $s_i = p_i \, \partial L/\partial g_i$, which is zero for experts that were not picked,
#
# $$\boxed{\;\frac{\partial L}{\partial z_j} = s_j - p_j \sum_i s_i\;}$$
#
# **Step 4: from the logits to the router.** A logit is a row of $W$ times the token: $\partial L/\partial W = (\partial L /
# \partial z)\, x^\top$. That is all. Now let autograd do the same.

# %%
by_hand = np.outer(dL_dz, x)


def by_autograd(W, x, answers, target, k, renormalize=False):
    """Gradient of the loss for the router's weight, (E, d), by PyTorch."""
    W = torch.tensor(W, requires_grad=True)
    probs = (W @ torch.tensor(x)).softmax(-1)
    weights, chosen = probs.topk(k)
    if renormalize:
        weights = weights / weights.sum()
    output = weights @ torch.tensor(answers)[chosen]
    F.mse_loss(output, torch.tensor(target)).backward()
    return W.grad.numpy()


print(
    "same to ten decimals:",
    np.abs(by_hand - by_autograd(W, x, answers, target, k)).max() < 1e-10,
)

# %% [markdown]
# ## Read it
#
# Training moves each logit *against* its gradient. Look at the two terms.
#
# - $s_j$ is negative when expert $j$'s answer, as it counts now, pulls the output toward where the loss wants it. Then its
#   logit rises: **a picked expert that helps is picked more.**
# - $p_j \sum_i s_i$ is the same story told to everyone. If the picked ones help together, the others' logits fall, in
#   proportion to $p_j$; if the picked ones hurt together, the others rise, and get their chance.
#
# So the router learns about experts that it did not ask, but only one thing: that somebody else did well or badly.
# Keep this in mind for lesson 05, where it makes the rich richer.
#
# It learns this through the sum over *all* experts in a probability. Divide the weights by their sum, and that sum cancels:
# the unpicked ones hear nothing at all.

# %% tags=["measure"]
unpicked = np.setdiff1d(np.arange(E), picked)
for renormalize in (False, True):
    gradient = by_autograd(W, x, answers, target, k, renormalize)
    heard = np.abs(gradient[unpicked]).sum() > 1e-12
    name = "probability, renormalised" if renormalize else "probability"
    print(
        f"{name:>26}: the unpicked hear {'how the picked did' if heard else 'nothing'}"
    )

# %% [markdown]
# Is the second term needed? The first claim takes it away.

# %% tags=["measure"]
with_both, first_only = [], []
for seed in seeds(10):
    rng = np.random.default_rng(seed)
    x, W = rng.normal(size=d), rng.normal(size=(E, d))
    answers, target = rng.normal(size=(E, d)), rng.normal(size=d)
    p = np.exp(W @ x) / np.exp(W @ x).sum()
    picked = np.argsort(-p)[:k]
    dL_dy = 2 / d * (p[picked] @ answers[picked] - target)
    s = np.zeros(E)
    s[picked] = p[picked] * (answers[picked] @ dL_dy)
    autograd = by_autograd(W, x, answers, target, k)
    with_both.append(np.abs(np.outer(s - p * s.sum(), x) - autograd).max())
    first_only.append(np.abs(np.outer(s, x) - autograd).max())

claim(
    "04.1",
    "The gradient through the gate is s_j - p_j * (sum of s): by hand and by autograd "
    "it is the same",
    measured=with_both,
    holds=lambda gap: bool((gap < 1e-10).all()),
    control=first_only,
    control_is="without the second term",
)

# %% [markdown]
# ## Four routers, one pick
#
# All four pick the likeliest expert. They differ in the line that makes its weight.

# %% tags=["guess", "nbval-ignore-output"]
from moe_tutorial.course import guess

guess(
    "04.still",
    "Four routers pick the same single expert and differ only in the number that "
    "scales its output: its probability; a softmax over the picked; its probability "
    "divided by the sum of the picked; or no scaling at all. In how many of the "
    "four does the router stay exactly as it was, however long you train?",
    slider=(0, 4, 1, "of 4"),
)


# %%
def gate_weight(kind, logits):
    """The number that scales the picked expert's output: (tokens, 1)."""
    probs = logits.softmax(-1)
    best = logits.argmax(-1, keepdim=True)
    if kind == "probability":  # softmax over all experts, then pick
        return probs.gather(-1, best)
    if kind == "softmax of the picked":  # pick, then softmax over what was picked
        return logits.gather(-1, best).softmax(-1)
    if kind == "renormalised":  # pick, then divide by the sum of what was picked
        picked = probs.gather(-1, best)
        return picked / picked.sum(-1, keepdim=True)
    return (
        torch.ones_like(probs.gather(-1, best)) + 0 * logits.sum()
    )  # "unscaled": the expert's output as it is


KINDS = ["probability", "softmax of the picked", "renormalised", "unscaled"]

# %% [markdown]
# **Your turn.** Take any mixture, tokens and targets. Does the loss reach the router? Take a mean squared error, and look at
# `moe.router.weight.grad` afterwards. Beware of two things: where the loss does not depend on the router at all, PyTorch
# leaves `None` there; and a gradient of a billionth is rounding.


# %% tags=["exercise"]
def can_it_learn(moe, x, target):
    """A mixture, x (T, d), target (T, d_out) -> True where the loss reaches the router."""
    ### BEGIN SOLUTION
    output, _ = moe(x)
    F.mse_loss(output, target).backward()
    gradient = moe.router.weight.grad
    return gradient is not None and bool(gradient.norm() > 1e-6)
    ### END SOLUTION


# %%
can_it_learn = check("04.can_it_learn", can_it_learn)


# %%
class Unscaled(Router):
    """Picks like a router, and leaves the output as it is."""

    def forward(self, x):
        routing = super().forward(x)
        return routing._replace(weights=torch.ones_like(routing.weights))


ROUTERS = {
    "probability": lambda: Router(64, 8, 1),
    "softmax of the picked": lambda: Router(64, 8, 1, gate="topk_softmax"),
    "renormalised": lambda: Router(64, 8, 1, renormalize=True),
    "unscaled": lambda: Unscaled(64, 8, 1),
}
torch.manual_seed(seeds(1)[0])
some_tokens, some_targets = torch.randn(2, 100, 64)
for kind, make_router in ROUTERS.items():
    mixture = MixtureOfExperts(64, 8, 8, 1, make_router())
    hears = can_it_learn(mixture, some_tokens, some_targets)
    print(f"{kind:>22}: {'hears the loss' if hears else 'hears nothing'}")

# %% [markdown]
# Only the first router hears anything. In the other three the weight is 1, *whatever the logits say*, and a constant
# has no slope.
#
# For the second and the fourth this holds to the last bit. In the third, PyTorch computes the slope of a number over
# itself as the difference of two equal terms, and rounding may leave a trace of it. The same four over ten seeds:


# %% tags=["measure"]
def router_gradient(kind, seed):
    """Length of the gradient that reaches a router of 8 experts from 64 tokens."""
    draw = torch.Generator().manual_seed(seed)
    x, outputs, target = (
        torch.randn(64, n, 16, generator=draw, dtype=torch.float64) for n in (1, 8, 1)
    )
    W = torch.randn(8, 16, generator=draw, dtype=torch.float64).requires_grad_()
    logits = x[:, 0] @ W.T
    answer = outputs[torch.arange(64), logits.argmax(-1)]
    loss = F.mse_loss(gate_weight(kind, logits) * answer, target[:, 0])
    return torch.autograd.grad(loss, W)[0].norm().item()


gradients = {
    kind: [router_gradient(kind, seed) for seed in seeds(10)] for kind in KINDS
}
constant = ("softmax of the picked", "unscaled")
print("exactly zero:", all(max(gradients[kind]) == 0 for kind in constant))

# %% tags=["measure"]
claim(
    "04.2",
    "With one expert picked, a weight that is the probability over all experts lets "
    "the loss reach the router",
    measured=gradients["probability"],
    holds=lambda length: bool((length > 1e-3).all()),
    control=gradients["softmax of the picked"],
    control_is="softmax over the picked",
)


# %% tags=["measure"]
def renormalised_part(top_k, seed):
    """Router gradient with renormalising, over the gradient without."""
    lengths = []
    for renormalize in (True, False):
        torch.manual_seed(seed)
        moe = MixtureOfExperts(16, 8, 8, top_k, renormalize=renormalize).double()
        x, target = torch.randn(2, 64, 16, dtype=torch.float64)
        F.mse_loss(moe(x)[0], target).backward()
        lengths.append(moe.router.weight.grad.norm().item())
    return lengths[0] / lengths[1]


claim(
    "04.3",
    "Renormalising the weight of a single picked expert silences the router",
    measured=[renormalised_part(1, seed) for seed in seeds(10)],
    holds=lambda part: bool((part < 1e-6).all()),
    control=[renormalised_part(2, seed) for seed in seeds(10)],
    control_is="two picked experts",
    refutes="Renormalising the gate weights only rescales the output",
)

# %% [markdown]
# ## Does it matter? Train all four
#
# A router that never moves still picks, and the experts still learn to work with its picks. Perhaps that is enough?
# We train the four on `digits4`, ten seeds each, from the same starts: 8 experts of 8 neurons, one picked.


# %% tags=["measure"]
digits = digits4("standardised")


def run(make_router, freeze=()):
    """Ten seeds' test accuracy, and how far each router's weights moved: both (10,)."""
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
    moved = (trained.parameters["router.weight"].detach() - start[0]).norm(dim=(1, 2))
    return trained.accuracy(digits.x_test, digits.y_test), moved


accuracy, moved = {}, {}
for kind in KINDS:
    accuracy[kind], moved[kind] = run(ROUTERS[kind])
never = [kind for kind in KINDS if (moved[kind] == 0).all()]
print("weights bit for bit as they were drawn, in all ten seeds:", ", ".join(never))
print("most accurate:", max(accuracy, key=lambda kind: accuracy[kind].mean()))

# %% tags=["guess", "nbval-ignore-output"]
reveal("04.still", len(never))

# %% [markdown]
# The router that divides by the sum should not move either: its weight is a number over itself, 1. It moves by rounding
# errors alone, which is why it does not count as still.

# %% [markdown]
# The first router differs from the others in two ways: it learns, and it scales the output by a probability. Which of the
# two makes the difference? A fifth run keeps the scaling and takes away the learning: its router's weights stay as drawn.

# %% tags=["measure"]
FROZEN = "probability, router frozen"
accuracy[FROZEN], moved[FROZEN] = run(ROUTERS["probability"], freeze=["router.weight"])
print("the frozen router moved:", bool((moved[FROZEN] > 0).any()))

# %% tags=["draw", "nbval-ignore-output"]
points = 100 * (accuracy["probability"] - accuracy[FROZEN]).mean()
interval_chart(
    accuracy,
    title=f"The router that can learn is worth {points:.0f} points of accuracy",
    note=(
        "Test accuracy on digits4: ten seeds, their mean, and its 95 % interval. "
        "Same picks at the start, same experts."
    ),
    controls=[FROZEN],
    unit="test accuracy",
)

# %% tags=["measure"]
gain = {kind: accuracy[kind] - accuracy["unscaled"] for kind in accuracy}
claim(
    "04.4",
    "On digits4, a router that learns through its probability is more than two points "
    "more accurate than one that leaves the output unscaled",
    measured=gain["probability"],
    holds=lambda gain: gain.mean() > 0.02,
    control=gain[FROZEN],
    control_is="scaled by the probability too, but the router is frozen",
)
print(
    "scaling alone is worth less than a point:", bool(abs(gain[FROZEN].mean()) < 0.01)
)

# %% [markdown]
# ### Further: was the renormalised router quite still?
#
# Its gradient is rounding error, but Adam divides a gradient by its own size,
# and makes steps of noise.

# %% tags=["draw", "nbval-ignore-output"]
moved_part = {kind: moved[kind] / moved["probability"].mean() for kind in KINDS}
interval_chart(
    moved_part,
    title="Rounding error, enlarged by Adam, moves a router "
    f"{moved_part['renormalised'].mean():.0%} as far as learning does",
    note=(
        "Distance between the router's weights before and after training; 1 is "
        "the mean of the router that learns."
    ),
    controls=["softmax of the picked", "unscaled"],
    unit="distance moved",
    zero=0,
)

# %% [markdown]
# That is why this mistake is hard to notice: the weights change, the loss falls (the experts see to that), and nothing
# looks broken.

# %% [markdown]
# ## Measure it
#
# The run at the top is an anecdote. Do the regions move toward the quarters in general? *Specialisation* says how much the picked
# expert tells about the quarter. It is their normalised mutual information (NMI): the information that the two have in
# common, over what they hold each, on average. 0: knowing the expert says nothing about the quarter. 1: each tells the
# other without a doubt.
#
# We measure it after training, over twenty seeds. In the control the weight is a softmax over the picked, so that the
# router cannot learn, and its figure is what both had before training. That is not 0: cuts through the middle tell quarters
# apart by themselves.


# %% tags=["measure"]
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
print("before training, both are the same: ", np.array_equal(before, deaf_before))
print("the control is then as it was before:", np.array_equal(deaf_before, deaf_after))

claim(
    "04.5",
    "Trained through the gate, the router comes to pick experts by the hidden rule: "
    "specialisation rises above 0.7",
    measured=after,
    holds=lambda nmi: nmi.mean() > 0.7,
    control=deaf_after,
    control_is="softmax over the picked, as before training",
)

# %% tags=["quiz", "nbval-ignore-output"]
quiz("04")

# %% [markdown]
# ## Try it
#
# 1. In the complete run, give the mixture `gate="topk_softmax"`. Play the film: the borders stand still. How accurate
#    do the experts get all the same? The [gate that cannot learn](playground.ipynb#preset=deaf) is in the playground too:
#    change its gate while it trains.
# 2. Use 8 experts instead of 4 (in `snapshot` as well). Who is left without a region? That is lesson 05.
# 3. In the derivation, change `k` to 1 and to 6, and print `dL_dz.sum()` each time. Why is it always the same number?
#
# ## Recap
#
# - The picking has no slope; the weight has. The loss reaches the router through the weight alone.
# - $\partial L/\partial z_j = s_j - p_j \sum_i s_i$: picked experts hear how they did, the others hear how the picked did.
#   Renormalised, the others hear nothing.
# - With one expert picked, only the probability over *all* experts teaches the router. A weight that is always 1
#   teaches nothing, and renormalising makes it so.
#
# **Sources.** Scaling by the probability, so that the router learns:
# [Switch Transformers, Fedus et al. 2021](https://arxiv.org/abs/2101.03961), section 2.1. Softmax over the picked, for two
# or more: [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538). Adam: [Kingma and Ba 2014](https://arxiv.org/abs/1412.6980).
