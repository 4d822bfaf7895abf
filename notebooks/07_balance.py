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
# # Balance
#
# 45 minutes. You leave able to balance experts in five ways, to pick a coefficient from a curve, and to say what even
# use is worth.
#
# Noise alone did not help, so we ask for balance outright: we add to the loss a number that is small when the work is
# shared. Some say that this is all there is to it, and that even use is the goal. Is it?

# %% tags=["setup"]
import torch
import torch.nn.functional as F
from matplotlib.colors import ListedColormap
from torch import nn

from moe_tutorial.course import guess, quiz, reveal
from moe_tutorial.layers import (
    BiasBalancer,
    ExpertChoiceRouter,
    HashRouter,
    MixtureOfExperts,
    Router,
    Routing,
    importance_loss,
    load_loss,
    switch_loss,
    z_loss,
)
from moe_tutorial.show import (
    beside,
    explorable,
    grid,
    is_narrow,
    look,
    message,
    picture,
    playground,
    region_map,
    scatter,
    seed_dots,
    sweep,
    table,
    usage_bars,
)
from moe_tutorial.study import (
    above,
    below,
    claim,
    dead,
    digits4,
    in_every_seed,
    max_share,
    regimes_2d,
    seeds,
    share,
    specialisation,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread
E = 8

# %% [markdown]
# ## Turn the knobs first
#
# The plane of lesson 04, with twice as many experts as rules. This is your own mixture: the panel trains whatever layer
# you hand it. Press play, wait until experts are dead, then pull at noise and at the Switch loss's coefficient while it
# runs. What the *Switch loss* asks for is said below.

# %% tags=["nbval-ignore-output"]
plane = regimes_2d(seed=seeds(1)[0])
torch.manual_seed(seeds(1)[0])
mine = MixtureOfExperts(d_model=2, d_hidden=4, n_experts=8, top_k=1, d_out=2)
playground(mine, plane, balance=switch_loss, coefficient=0)

# %% [markdown]
# ## Penalty one: even importance
#
# An expert's **importance** is the sum of its gate weights over the batch. We want the importances equal, so we penalise
# their squared coefficient of variation, which lesson 05 introduced: 0 when all are equal, $E - 1$ when one has all.


# %%
def my_importance_loss(routing):
    """Squared coefficient of variation of the summed gate weights: a scalar."""
    weights = torch.zeros_like(routing.probs)
    weights = weights.scatter(-1, routing.indices, routing.weights)
    importance = weights.sum(0)
    return importance.var(correction=0) / importance.mean() ** 2


# %% tags=["measure"]
torch.manual_seed(seeds(1)[0])
routing = Router(16, E, 2)(torch.randn(256, 16))
print(
    "same as the package's:",
    torch.allclose(my_importance_loss(routing), importance_loss(routing)),
)

# %% [markdown]
# ## Penalty two: share times probability
#
# The **Switch loss** multiplies two things for each expert: the share of choices that it got, $f_i$, and the mean
# probability that the router gave it, $P_i$.
#
# $$L = E \sum_i f_i \, P_i$$
#
# The share is a count and has no slope. The probability has one, and the share says how hard to push: the busier an
# expert, the more its probability is pressed down. With even use the value is exactly 1, for every $k$.


# %%
def my_switch_loss(routing):
    """E times the sum of share * mean probability: a scalar."""
    chosen = torch.zeros_like(routing.probs).scatter(-1, routing.indices, 1.0)
    f = chosen.mean(0) / routing.indices.shape[-1]
    return E * (f * routing.probs.mean(0)).sum()


# %% tags=["measure"]
print(
    "same as the package's:",
    torch.allclose(my_switch_loss(routing), switch_loss(routing)),
)
for k in (1, 2, 4, 8):
    token = torch.arange(E)
    even = Routing(
        logits=torch.zeros(E, E),
        probs=torch.rand(E, E).softmax(-1),
        indices=(token[:, None] + torch.arange(k)) % E,
        weights=torch.full((E, k), 1 / E),
    )
    print(f"even use, k = {k}: {my_switch_loss(even):.3f}")

# %% [markdown]
# So use it to push. To measure balance, use shares: this value can fall below 1 at uneven use (claim 07.2). The **z-loss**,
# often seen beside it, is the mean of $(\log \sum_i e^{z_i})^2$. It punishes large logits. Does it balance? We shall see.
#
# ### Further: whom it reaches, and what it does not tell
#
# One detail decides whether it can wake the dead. $P_i$ has to come from the softmax over *all* experts. Some published
# code takes the probabilities *after* the others were masked out. Then an expert that nobody picks has probability 0
# everywhere, and a zero from a mask has no slope.


# %% tags=["measure"]
def gradient_for_the_dead(seed, masked):
    """Size of the Switch loss's gradient for the row of an expert nobody picks."""
    torch.manual_seed(seed)
    x = torch.rand(256, 16)
    weight = torch.randn(E, 16)
    weight[0] = -0.5  # the inputs are positive, so expert 0 comes last
    weight.requires_grad_()
    logits = x @ weight.T
    probs = logits.softmax(-1)
    indices = probs.topk(2).indices
    assert not (indices == 0).any()
    if masked:
        kept = torch.zeros_like(probs).scatter(-1, indices, 1.0).bool()
        probs = logits.masked_fill(~kept, -torch.inf).softmax(-1)
    loss = my_switch_loss(Routing(logits, probs, indices, probs))
    return float(torch.autograd.grad(loss, weight)[0][0].norm())


claim(
    "07.1",
    "The Switch loss reaches the router's row of an expert that nobody picks",
    quantity="size of the gradient",
    measured=[gradient_for_the_dead(seed, masked=False) for seed in seeds(10)],
    holds=in_every_seed(above(1e-9)),
    control=[gradient_for_the_dead(seed, masked=True) for seed in seeds(10)],
    control_is="probabilities after masking the others",
)

# %% [markdown]
# Is the value a measure of balance, then? Even use gives 1, and it is tempting to read 1 as *best*. Build a
# counterexample: two experts. Nine tokens in ten slightly prefer expert 0, at .51 to .49. The tenth is certain of
# expert 1. Who is used how much, and what does the loss say?

# %% tags=["measure"]
probs = torch.tensor([[0.51, 0.49]] * 9 + [[0.0, 1.0]])
indices = probs.argmax(-1, keepdim=True)
uneven = Routing(probs.log(), probs, indices, probs.gather(-1, indices))
evenly = torch.tensor([[0.51, 0.49], [0.49, 0.51]])
even = Routing(evenly.log(), evenly, torch.tensor([[0], [1]]), torch.full((2, 1), 0.51))

print("shares:", [f"{part:.1f}" for part in share(indices, 2)])
claim(
    "07.2",
    "A routing that gives one expert nine tenths of the tokens can have a Switch loss "
    "below 1",
    quantity="Switch loss",
    measured=switch_loss(uneven),
    holds=below(1 - 1e-6),
    control=switch_loss(even),
    control_is="two experts used equally",
    refutes="The Switch loss is smallest at even use",
)

# %% [markdown]
# ## No penalty at all: move a bias
#
# A penalty pulls at the router while the task does too. Wang et al. go another way, and DeepSeek-V3 uses it, with a very
# small penalty beside it: add a **bias** to each expert's score, for the picking only. After each step, raise the bias of
# those who got less than the mean, and lower the others'. The bias changes who is picked. The gate weight stays that
# expert's own probability, small as it may be.


# %%
def my_bias_update(bias, indices, rate):
    """The bias after a step: up for those with too little to do, down for the others."""
    load = torch.bincount(indices.flatten(), minlength=len(bias)).float()
    return bias + rate * torch.sign(load.mean() - load)


# %% tags=["measure"]
torch.manual_seed(seeds(1)[0])
router = Router(16, E, 1, bias=True)
x = torch.rand(512, 16)  # never negative, so there is a favourite, as in lesson 05
before = router(x)
for _ in range(400):
    indices = router(x).indices
    expected = my_bias_update(router.bias, indices, 0.001)
    BiasBalancer(0.001).update(router.bias, indices)
    assert torch.allclose(router.bias, expected)
after = router(x)

print(
    "more even:",
    bool(max_share(share(after.indices, E)) < max_share(share(before.indices, E))),
)
print("probabilities unchanged:", torch.equal(before.probs, after.probs))
print(
    "weights are probabilities without the bias:",
    torch.equal(after.weights, after.probs.gather(-1, after.indices)),
)

# %% [markdown]
# ## Turn the tables: experts choose
#
# In **expert choice** the experts pick: each takes the tokens that score highest for it, and each takes the same number.
# Balance is then no longer a goal but a fact. A token may be picked by several experts, or by none.

# %%
torch.manual_seed(seeds(1)[0])
router = ExpertChoiceRouter(16, E, top_k=1)
routing = router(torch.rand(512, 16))
picked = torch.zeros(512, E).scatter(-1, routing.indices, routing.weights) > 0
print("tokens of each expert:", picked.sum(0).tolist())
print("some tokens got nobody:", bool((picked.sum(-1) == 0).any()))
print("some tokens got several:", bool((picked.sum(-1) > 1).any()))

# %% [markdown]
# ## Each on its own
#
# Now measure. `digits4` with raw pixels, where collapse is expensive (lesson 05). Eight experts of 8 neurons, one picked,
# 600 steps, ten seeds. The **hash** router is our control for balance: it uses everyone evenly and learns nothing.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "07.hash",
    "Two mixtures on `digits4`. In the first, most experts are dead. The second sends "
    "each image to an expert by a hash of its pixels: almost perfectly even, forever. "
    "Which of the two is more accurate?",
    choices=[
        "the one with dead experts",
        "the even one",
        "they are equal, within two points",
    ],
)

# %% tags=["measure", "07.hash"]
rules = digits4("raw")


def usage_of(routing):
    """Shares (n_seeds, E) of the choices that count.

    Expert choice lists all experts for each token, those that did not take it with weight 0.
    """
    got = torch.zeros(*routing.indices.shape[:-1], E)
    got = got.scatter(-1, routing.indices, routing.weights).gt(0).float().sum(1)
    return got / got.sum(-1, keepdim=True)


def run(data=rules, penalty=None, router=None, bias_rate=None, **options):
    """Accuracy, largest share, dead experts and specialisation: one a seed each.

    And the trained seeds themselves.
    """

    def move_bias(step, trained):
        if bias_rate and trained.last_routing is not None:
            BiasBalancer(bias_rate).update(
                trained.buffers["router.bias"], trained.last_routing.indices
            )

    if bias_rate:
        options["bias"] = True
    trained = train(
        lambda: MixtureOfExperts(64, 8, E, 1, router and router(), d_out=10, **options),
        data,
        seeds(10),
        steps=600,
        penalty=penalty,
        on_step=move_bias,
    )
    routing = trained.routing(data.x_test)
    shares = usage_of(routing)
    return {
        "trained": trained,
        "accuracy": trained.accuracy(data.x_test, data.y_test),
        "largest": max_share(shares),
        "dead": dead(shares).float(),
        "nmi": torch.tensor(
            [
                specialisation(choice[got], data.regime_test[got])
                for choice, got in zip(
                    routing.indices[..., 0], routing.weights[..., 0] > 0, strict=True
                )
            ]
        ),
    }


alone = {
    "nothing": run(),
    "importance 1": run(penalty=importance_loss),
    "Switch 0.1": run(penalty=lambda r: 0.1 * switch_loss(r)),
    "noise 1, load 0.1": run(noise=1.0, penalty=lambda r: 0.1 * load_loss(r)),
    "z-loss 0.1": run(penalty=lambda r: 0.1 * z_loss(r)),
    "bias, rate 0.01": run(bias_rate=0.01),
    "expert choice": run(router=lambda: ExpertChoiceRouter(64, E, 1)),
    "hash": run(router=lambda: HashRouter(64, E)),
}

# %% tags=["measure", "07.hash"]
plain = alone["nothing"]["accuracy"]
cost = plain - alone["hash"]["accuracy"]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
if abs(cost.mean()) < 0.02:
    better = "they are equal, within two points"
else:
    better = "the one with dead experts" if cost.mean() > 0 else "the even one"
reveal("07.hash", better)

# %% [markdown]
# And several ways together, because that is how they are used.

# %% tags=["measure"]
together = {
    "Switch 0.1, noise 0.3": run(noise=0.3, penalty=lambda r: 0.1 * switch_loss(r)),
    "importance and load 0.1, noise 1": run(
        noise=1.0, penalty=lambda r: 0.1 * (importance_loss(r) + load_loss(r))
    ),
    "Switch 0.1, bias 0.01": run(
        bias_rate=0.01, penalty=lambda r: 0.1 * switch_loss(r)
    ),
}
standardised = digits4("standardised")
on_standardised = {
    "nothing, standardised": run(standardised),
    "Switch 0.1, standardised": run(standardised, lambda r: 0.1 * switch_loss(r)),
}

# %% [markdown]
# Two questions before we look. What would *standardised* inputs do for a network that has nothing to balance? The dense
# network of equal active cost, with 15 neurons as in lesson 05, will say. And whom does expert choice serve? It may pass
# over an image, and what it picks depends on who else is there. So we count the images that get nobody, and ask again
# in shuffled batches of 32 instead of all 1,800 at once.


# %% tags=["measure"]
def dense_accuracy(data):
    trained = train(
        lambda: nn.Sequential(nn.Linear(64, 15), nn.ReLU(), nn.Linear(15, 10)),
        data,
        seeds(10),
        steps=600,
    )
    return trained.accuracy(data.x_test, data.y_test)


dense = {
    "dense": dense_accuracy(rules),
    "dense, standardised": dense_accuracy(standardised),
}


def served(result):
    """Part of the raw test images that get no expert, and the accuracy in batches of 32."""
    trained = result["trained"]
    order = torch.randperm(
        len(rules.x_test), generator=torch.Generator().manual_seed(0)
    )
    right = []
    nobody = (trained.routing(rules.x_test).weights == 0).all(-1).float().mean(-1)
    for rows in order.split(32):
        scores = trained.scores(rules.x_test[rows])
        right.append(scores.argmax(-1) == rules.y_test[rows])
    return nobody, torch.cat(right, -1).float().mean(-1)


nobody, in_batches = served(alone["expert choice"])
nobody_control, in_batches_control = served(alone["nothing"])

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output", "07.hash"]
everything = alone | together | on_standardised
best = max(alone | together, key=lambda name: everything[name]["accuracy"].mean())
gained = everything[best]["accuracy"] - alone["nothing"]["accuracy"]
table(
    ["", "accuracy", "largest share", "dead", "specialisation"],
    {
        name: [
            f"{r['accuracy'].mean():.3f}",
            f"{r['largest'].mean():.2f}",
            f"{r['dead'].mean():.1f}",
            f"{r['nmi'].mean():.2f}",
        ]
        for name, r in everything.items()
    }
    | {
        name: [f"{accuracy.mean():.3f}", "–", "–", "–"]
        for name, accuracy in dense.items()
    },
    title=f"On raw pixels, {best} gets {100 * gained.mean():.0f} points more than nothing",
    note=(
        "Means over ten seeds on digits4. Specialisation: how much the expert tells "
        "about the rule, from 0 to 1. Numbers in names are coefficients and rates. Expert "
        f"choice: {nobody.mean():.0%} of the test images get no expert and score zeros (no "
        f"residual), and in batches of 32 its accuracy is {in_batches.mean():.3f}."
    ),
)

# %% tags=["measure"]
claim(
    "07.3",
    "On raw digits4, a Switch loss of 0.1 makes the mixture more than two points "
    "more accurate",
    quantity="accuracy gained",
    measured=alone["Switch 0.1"]["accuracy"] - plain,
    holds=above(0.02),
    control=alone["z-loss 0.1"]["accuracy"] - plain,
    control_is="the z-loss",
)

# %% [markdown]
# That is accuracy. Do both of them balance?

# %% tags=["measure"]
claim(
    "07.4",
    "With a Switch loss of 0.1, fewer than three of eight experts are dead on average",
    quantity="dead experts",
    unit="of 8",
    measured=alone["Switch 0.1"]["dead"],
    holds=below(3),
    control=alone["z-loss 0.1"]["dead"],
    control_is="the z-loss",
    refutes="The z-loss balances the experts",
)

# %% [markdown]
# And the way without a penalty?

# %% tags=["measure"]
claim(
    "07.6",
    "Moving a bias keeps the largest share below a third on average, without any "
    "penalty",
    quantity="largest share",
    measured=alone["bias, rate 0.01"]["largest"],
    holds=below(0.33),
    control=alone["nothing"]["largest"],
    control_is="the bias is never moved",
)

# %% [markdown]
# ### Further: what do standardised inputs repair?
#
# Compare the rows with *standardised* with the rest, before you fall in love with a penalty. Standardised inputs alone reach
# the accuracy that the Switch loss reaches on raw pixels. But they do not do the same thing. Some experts stay dead, and
# the dense network gains too: part of what they repair has nothing to do with experts. (The two together do best.)

# %% tags=["measure"]
claim(
    "07.5",
    "Standardised inputs without any penalty reach the accuracy of the Switch loss on raw "
    "pixels, within a point",
    quantity="accuracy against the Switch loss",
    measured=on_standardised["nothing, standardised"]["accuracy"]
    - alone["Switch 0.1"]["accuracy"],
    holds=above(-0.01),
    control=plain - alone["Switch 0.1"]["accuracy"],
    control_is="raw pixels without any penalty",
)

# %% tags=["measure"]
claim(
    "07.12",
    "Standardised inputs without any penalty lift the mixture's accuracy by more than 6.5 "
    "points",
    quantity="accuracy gained",
    measured=on_standardised["nothing, standardised"]["accuracy"] - plain,
    holds=above(0.065),
    control=dense["dense, standardised"] - dense["dense"],
    control_is="the dense network of equal active cost",
)

# %% [markdown]
# The control's figure is the part of the gain that any network has.

# %% [markdown]
# ## How much?
#
# Every penalty has a coefficient, and between too little and too much lies a curve that is worth seeing once. From no
# Switch loss at all, each stop has ten times more. The usual coefficient is 0.01 (Fedus et al.); 100 is ten thousand times
# that, and nobody would use it: it shows what balance is worth when it is all that counts. Above we took 0.1; the picture
# shows what the usual one does in 600 steps.

# %% tags=["measure"]
coefficients = [0, 0.01, 0.1, 1, 10, 100]
curve = {
    c: run(penalty=lambda r, c=c: c * switch_loss(r))
    for c in coefficients
    if c not in (0, 0.1)
}
curve[0], curve[0.1] = alone["nothing"], alone["Switch 0.1"]
curve = {c: curve[c] for c in coefficients}

claim(
    "07.7",
    "A Switch loss of 100, ten thousand times the usual 0.01, costs more than ten points of "
    "accuracy against one of 1",
    quantity="accuracy lost",
    measured=curve[1]["accuracy"] - curve[100]["accuracy"],
    holds=above(0.1),
    control=curve[1]["accuracy"] - curve[0.01]["accuracy"],
    control_is="the usual 0.01 against 1",
)

# %% tags=["measure"]
claim(
    "07.8",
    "A Switch loss of 100, ten thousand times the usual 0.01, instead of 1 lowers "
    "specialisation by more than 0.1",
    quantity="specialisation lost",
    unit="NMI",
    measured=curve[1]["nmi"] - curve[100]["nmi"],
    holds=above(0.1),
    control=curve[1]["nmi"] - curve[0.1]["nmi"],
    control_is="a Switch loss of 0.1 instead of 1",
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output", "07.hash"]
others = {
    name: result
    for name, result in everything.items()
    if name not in ("nothing", "Switch 0.1")
}


def height(c):
    return float(curve[c]["accuracy"].mean())


peak = max(curve, key=height)


def each_seed(results, name, **more):
    """A small mark for every seed of some ways."""
    every = [
        (way, seed, 1 - float(largest), float(accuracy))
        for way, r in results.items()
        for seed, (largest, accuracy) in enumerate(
            zip(r["largest"], r["accuracy"], strict=True)
        )
    ]
    hover = [f"{way}, seed {seed}: accuracy {y:.3f}" for way, seed, _, y in every]
    marker = {"color": look.color("border"), "size": 5, "opacity": 0.7}
    _, _, xs, ys = zip(*every, strict=True)
    return scatter(xs, ys, hover, name, marker=marker | more)


def means(results, name, **more):
    """A mark for the mean of each way."""
    xs = [1 - float(r["largest"].mean()) for r in results.values()]
    ys = [float(r["accuracy"].mean()) for r in results.values()]
    hover = [
        f"{way}, mean: accuracy {y:.3f}" for way, y in zip(results, ys, strict=True)
    ]
    return scatter(xs, ys, hover, name, **more)


switch = {f"Switch {c}" if c else "nothing": r for c, r in curve.items()}
text, rim = look.color("text"), {"color": look.color("muted"), "width": 1.6}
hidden = {"visible": "legendonly"}
# Where each label stands, in pixels from its mark: clear of the line and of the rings.
spots = {
    0: (0, 15),
    0.01: (6, -15),
    0.1: (-6, 16),
    1: (24, 0),
    10: (20, 0),
    100: (24, 0),
}


def label(words, result, spot):
    """Words beside the mean of a way."""
    x, y = 1 - float(result["largest"].mean()), float(result["accuracy"].mean())
    shift = {"xshift": spot[0], "yshift": spot[1], "showarrow": False}
    return {"x": x, "y": y, "text": words, "font": {"color": text}} | shift


explorable(
    [
        each_seed(switch, "Switch loss, each seed") | hidden,
        each_seed(others, "the others, each seed", symbol="circle-open") | hidden,
        means(
            others,
            "the other ways",
            marker={"color": look.color("ground"), "size": 9, "line": rim},
        ),
        means(
            switch,
            "Switch loss, its coefficient",
            line={"color": text},
            marker={"size": 8},
            mode="lines+markers",
        ),
    ],
    title=f"Accuracy climbs to {height(peak):.2f} at coefficient {peak} and falls to "
    f"{height(100):.2f} at 100; the largest share goes from "
    f"{curve[peak]['largest'].mean():.2f} to {curve[100]['largest'].mean():.2f}",
    note=(
        "digits4, means over ten seeds; the names above the picture show each seed. Line: the "
        "Switch loss on raw pixels, with its coefficient. Rings: the other ways; point at one "
        "for its name. Drag to look closer, and click twice to go back."
    ),
    alt="; ".join(
        f"Switch coefficient {c}: largest share {r['largest'].mean():.2f}, "
        f"accuracy {height(c):.2f}"
        for c, r in curve.items()
    ),
    height=480,
    annotations=[label(f"<b>{c}</b>", curve[c], spot) for c, spot in spots.items()]
    + [label("hash", alone["hash"], (-26, 0))],
    xaxis_title="1 minus the largest share",
    yaxis_title="test accuracy",
)

# %% [markdown]
# The right-hand side of the picture holds good and bad mixtures, and balance does not tell them apart.
#
# ## Balanced is not specialised
#
# The hash router is very nearly even. But it knows nothing of the rule, so that every expert meets
# all four of them.

# %% tags=["measure", "07.hash"]
claim(
    "07.9",
    "A mixture balanced by a hash is more than ten points less accurate than one that "
    "was left to collapse",
    quantity="accuracy lost",
    measured=cost,
    holds=above(0.1),
    control=plain - alone["Switch 0.1"]["accuracy"],
    control_is="balanced by the Switch loss",
    refutes="The more evenly the experts are used, the better the mixture",
)

# %% tags=["measure"]
claim(
    "07.10",
    "A hash's choice of expert tells next to nothing about the rule: specialisation "
    "below 0.05 in every seed",
    quantity="specialisation",
    unit="NMI",
    measured=alone["hash"]["nmi"],
    holds=in_every_seed(below(0.05)),
    control=alone["Switch 0.1"]["nmi"],
    control_is="balanced by the Switch loss",
    refutes="Even use means that the experts have specialised",
)

# %% tags=["measure"]
images = rules.x_test[:100]
brighter = images[:, None] + torch.eye(64) / 16  # each pixel in turn, one level of grey
torch.manual_seed(seeds(1)[0])
hash_router = HashRouter(64, E)
moved = hash_router(brighter).indices.view(100, 64) != hash_router(images).indices
print(
    f"one pixel a level brighter: another expert in {moved.float().mean():.1f} of all cases"
)

# %% [markdown]
# Keep this in mind for lesson 08. There a table, which learns nothing either, gives every character its expert, and does
# well. One thing is different: the table is stable, the same character always comes back to the same expert. This hash of
# a *vector* is chaotic: the smallest change mostly sends the image to another one.
#
# A balance number alone says that the experts are busy. It does not say that they are any good. Report it beside the
# accuracy, and beside a measure of who does what.
#
# See it on the plane: a hash chooses here, and every expert is asked everywhere. Press play. Then choose a gate that
# learns. The
# opposite, a router that serves its penalty alone, is [one click away](playground.ipynb#preset=penalty).

# %% tags=["playground", "nbval-ignore-output"]
playground(preset="hash")

# %% [markdown]
# ## Further: what expert choice cannot do
#
# Expert choice balances perfectly without a coefficient. So why doesn't everyone use it? In a language model a token may
# only depend on the tokens *before* it. But whether an expert picks a token depends on its competitors, and these
# include tokens that come *later*. Keep the first eight tokens, change the eight that follow, and look at the first.


# %% tags=["measure"]
def experts_of(router, x):
    """Which experts work on each token: (T, E), True or False."""
    with torch.no_grad():
        routing = router(x)
    return torch.zeros(len(x), E).scatter(-1, routing.indices, routing.weights) > 0


def two_futures(kind, seed):
    """The first eight tokens' experts, followed by one future and by another."""
    torch.manual_seed(seed)
    router = kind(16, E, 2)
    past, future, other = torch.randn(3, 8, 16)
    return [experts_of(router, torch.cat([past, x]))[:8] for x in (future, other)]


def changed(kind):
    """Part of the first eight tokens that the future sends elsewhere: one a seed."""
    pairs = [two_futures(kind, seed) for seed in seeds(20)]
    return [float((a != b).any(-1).float().mean()) for a, b in pairs]


claim(
    "07.11",
    "With expert choice, other later tokens change the experts of more than a tenth of "
    "the earlier ones",
    quantity="earlier tokens whose experts change",
    measured=changed(ExpertChoiceRouter),
    holds=above(0.1),
    control=changed(Router),
    control_is="tokens choose",
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
one, other = two_futures(ExpertChoiceRouter, seeds(1)[0])
differs = (one != other).any(-1)


def draw(figure, theme):
    places = figure.subplots(2, 1) if is_narrow(figure) else figure.subplots(1, 2)
    titles = "one future", "another future"
    ground, line = look.color("ground", theme), look.color("line", theme)
    colors = ListedColormap([ground, *(look.expert_color(e, theme) for e in range(E))])
    for axes, experts, name in zip(places, (one, other), titles, strict=True):
        numbers = experts * torch.arange(1, E + 1)  # 0: this expert does not work on it
        axes.pcolormesh(numbers, cmap=colors, vmin=0, vmax=E, edgecolor=line, lw=1.5)
        for token, expert in experts.nonzero().tolist():
            color = look.expert_color(expert, theme, "on")
            place = {"ha": "center", "va": "center", "fontsize": 9, "color": color}
            axes.text(expert + 0.5, token + 0.5, expert, **place)
        axes.set(title=name, aspect="equal", xticks=[])
        axes.invert_yaxis()
        tokens = [f"≠ {t}" if differs[t] else str(t) for t in range(8)]
        axes.set_yticks(torch.arange(8) + 0.5, tokens)
        axes.spines[:].set_visible(False)


picture(
    draw,
    title=f"{int(differs.sum())} of the same eight tokens get other experts because of "
    "tokens that come later",
    note=(
        "One sequence, a row for each token. A filled square: this expert works on it. "
        "≠ marks the tokens that differ."
    ),
    alt=f"Tokens and their experts; {int(differs.sum())} of 8 differ between the futures.",
    height=330,
    narrow_height=560,
)

# %% [markdown]
# Peeking is one price. The two others stand below the table of results: an expert may be nobody's, and the rest of the
# batch matters.

# %% tags=["measure"]
claim(
    "07.13",
    "Expert choice leaves more than two test images in a hundred without any expert",
    quantity="images without an expert",
    measured=nobody,
    holds=above(0.02),
    control=nobody_control,
    control_is="tokens choose",
)

# %% tags=["measure"]
claim(
    "07.14",
    "Asked in batches of 32 instead of all at once, expert choice is more than three points "
    "less accurate",
    quantity="accuracy lost",
    measured=alone["expert choice"]["accuracy"] - in_batches,
    holds=above(0.03),
    control=plain - in_batches_control,
    control_is="tokens choose",
)

# %% [markdown]
# In training such a model can peek; when it writes text token by token, there is no future to choose from, and it has
# to route differently from how it learned. It is fine where all tokens are there at once, as in encoders.

# %% [markdown]
# ## Turn the knobs over seeds
#
# The experiment of the first panel, six mixtures for each setting of noise and Switch loss. Where do you find the
# most accurate ones, and are they the most balanced?

# %% tags=["draw", "nbval-ignore-output"]
places = grid(plane.x_train, 40)


def six_seeds(noise, balance):
    trained = train(
        lambda: MixtureOfExperts(2, 4, E, 1, noise=noise, d_out=2),
        plane,
        seeds(6),
        steps=400,
        penalty=lambda r: balance * switch_loss(r),
    )
    shares = trained.shares(plane.x_test)
    owners = trained.routing(places).indices[0, :, 0]
    accuracy = trained.accuracy(plane.x_test, plane.y_test)
    return (
        message(
            f"{accuracy.mean():.0%} right, "
            f"{dead(shares).float().mean():.1f} of 8 experts dead",
            f"Noise {noise:g}, Switch loss {balance:g}, 400 steps. Map and bars: the "
            "first of six seeds. Dots: all six.",
        )
        + beside(region_map(F.one_hot(owners, E)), usage_bars(shares[0]))
        + seed_dots({"Accuracy": accuracy, "Largest share": max_share(shares)})
    )


sweep(
    six_seeds,
    noise=("Noise", [0.0, 0.1, 0.3, 0.5, 1.0, 3.0]),
    balance=("Switch loss", [0.0, 0.01, 0.03, 0.1, 1.0, 10.0]),
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("07")

# %% [markdown]
# ## Try it
#
# 1. Give `run` a `bias_rate` of 0.001, which DeepSeek-V3 uses for most of its far longer training. Is that enough for
#    600 steps? Look at the largest share *and* at the accuracy, and then at `routing.weights`.
# 2. In the first panel, wait until experts are dead, then raise the Switch loss. Who comes back first? Can you bring
#    them back with noise alone? And what happens to the accuracy?
# 3. Hand the panel your own layer: any module that returns class scores and a `Routing`. Start from `Router`, and
#    let it choose at random: `r._replace(indices=i, weights=r.probs.gather(-1, i))` with random `i`. What do the bars
#    say, and what does the accuracy?
#
# ## Recap
#
# - Importance, load and Switch losses push toward even use; the z-loss does not. A bias balances without touching the loss or
#   the weights; expert choice balances by construction, looks into the future, and leaves some tokens to nobody.
# - The Switch loss pushes well and measures badly: it falls below 1 at uneven use. Its probabilities must be those of all experts.
# - A little penalty repairs collapse. Ten thousand times the usual costs accuracy and specialisation. Standardised inputs
#   reach as much accuracy, but a part of that any network gains, and some experts stay dead.
# - Balanced is not specialised. A hash that knows nothing of the rule is almost perfectly balanced, and here worse than
#   collapse.
#
# **Sources.** Importance and load: [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538). Share times probability:
# [Fedus et al. 2021](https://arxiv.org/abs/2101.03961), section 2.2. z-loss: [Zoph et al. 2022](https://arxiv.org/abs/2202.08906).
# The bias: [Wang et al. 2024](https://arxiv.org/abs/2408.15664), [DeepSeek-V3 2024](https://arxiv.org/abs/2412.19437).
# Expert choice: [Zhou et al. 2022](https://arxiv.org/abs/2202.09368). Hash: [Roller et al. 2021](https://arxiv.org/abs/2106.04426).
