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
# # Noise
#
# 45 minutes. You leave able to say by experiment why mixtures collapse, to build noisy top-k, to tell what noise mends and
# what it does not, and to find the bug that noise likes to leave behind.
#
# In lesson 05 eight experts started alike, and one or two ended with all the work. First we find out why. Then we take the
# oldest cure, noise, and judge it by what we found.

# %% tags=["setup"]
# Setup: what this lesson uses.
import torch
import torch.nn.functional as F
from torch import nn

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import (
    MixtureOfExperts,
    Router,
    importance_loss,
    load_estimate,
    load_loss,
)
from moe_tutorial.show import (
    Line,
    curves,
    interval_chart,
    look,
    message,
    picture,
    playground,
    sweep,
    table,
    usage_bars,
)
from moe_tutorial.study import (
    above,
    below,
    between,
    claim,
    dead,
    digits,
    digits4,
    in_every_seed,
    max_share,
    seeds,
    share,
    train,
)
from moe_tutorial.study.everyone_learns import EveryoneLearns, with_labels

torch.set_num_threads(1)  # small models are fastest on one thread
E, STEPS, EVERY = 8, 300, 10
raw = digits("raw")


def mixture(top_k=1, router=None, **options):
    return MixtureOfExperts(64, 16, E, top_k, router, d_out=10, **options)


def run(data=raw, n_seeds=10, build=mixture, **options):
    """The trained seeds, and their shares on the test images (n_seeds, E)."""
    trained = train(build, data, seeds(n_seeds), steps=STEPS, **options)
    return trained, share(trained.routing(data.x_test).indices, E)


# %% [markdown]
# ## How soon is it decided?
#
# Forty mixtures as in lesson 05: eight experts of 16 neurons, one of them for each image, raw digits, 300 steps. In each of
# them one expert ends with the most images. Call it the winner.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.soon",
    "Of the 300 steps, how many pass until the later winner is ahead in nine of ten "
    "mixtures?",
    slider=(0, 300, 10, "steps"),
)

# %% tags=["measure"]
# Measured: who is ahead while forty mixtures train.
history = []


def note(step, trained):
    if step % EVERY == 0:
        history.append(share(trained.routing(raw.x_test).indices, E))


base, end = run(n_seeds=40, on_step=note)
winner, start = end.argmax(-1), history[0]
ahead = [(shares.argmax(-1) == winner).float().mean().item() for shares in history]
soon = EVERY * next(i for i, part in enumerate(ahead) if part >= 0.9)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "06.soon",
    soon,
    says=f"Before the first step the later winner is ahead in {ahead[0]:.0%} of the mixtures, ten steps later in "
    f"{ahead[1]:.0%}. "
    + ("The first steps decide." if soon < STEPS / 4 else "So it takes its time."),
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: how often the later winner is ahead already.
steps = list(range(0, 101, EVERY))
curves(
    {
        "the later winner\nis ahead": Line(steps, ahead[: len(steps)]),
        "nine of ten": Line([soon, soon, 0], [0, 0.9, 0.9], ":", "muted"),
        "chance": Line([0, 100], [1 / E] * 2, "--", "muted"),
    },
    x="steps of training",
    y="part of the mixtures",
    ylim=(0, 1.05),
    title=f"After {soon} of {STEPS} steps the later winner is ahead in nine of ten mixtures",
    note="Forty mixtures on raw digits. Ahead: most of the test images go there. Drawn: the first hundred steps.",
    alt=f"The part rises from {ahead[0]:.2f} before the first step to {ahead[1]:.2f} after ten.",
    height=300,
)

# %% [markdown]
# ## What one step does to the others
#
# Take a plain gradient step on one image $x$. Row $i$ of the router's matrix moves by
# $-\eta\, \frac{\partial L}{\partial z_i}\, x$, where $z_i$ is expert $i$'s logit and $\eta$ the size of the step (lesson 04).
# But the same row makes the logits of all other images, too.
#
# **Your turn.** How far does each expert's logit move on each *other* image?


# %% tags=["exercise"]
def others_move(x, others, dL_dz, eta):
    """x (d,), other images (N, d), dL_dz (E,) -> how far their logits move (N, E)."""
    ### BEGIN SOLUTION
    return -eta * torch.outer(others @ x, dL_dz)
    ### END SOLUTION


# %%
others_move = check("06.others_move", others_move)

# %% [markdown]
# What counts is $x \cdot x'$, how much two images have in common. Pixels are never negative, and so neither is this
# product. Twenty real steps, each on one image, raw and with the mean image subtracted: how does the chosen expert's logit
# move?


# %% tags=["measure"]
# Measured: a step on one image, and what it does to the expert that was chosen.
def one_step(x_train, x_test, seed):
    """A step on one image: the part of the other images on which the chosen expert's
    logit moves the same way, and how far it moves there on average (1: as on the image).
    """
    torch.manual_seed(seed)
    moe, row = mixture(), torch.randint(len(x_train), (1,))
    x, label = x_train[row], raw.y_train[row]
    scores, routing = moe(x)
    weight, loss = moe.router.weight, F.cross_entropy(scores, label)
    slope, push = torch.autograd.grad(loss, [routing.logits, weight])
    with torch.no_grad():
        before = x_test @ weight.T
        weight -= 0.1 * push
        moved = x_test @ weight.T - before
        assert torch.allclose(
            moved, others_move(x[0], x_test, slope[0], 0.1), atol=1e-5
        )
        chosen = routing.indices[0, 0]
        here = others_move(x[0], x, slope[0], 0.1)[0, chosen]
    ratio = moved[:, chosen] / here
    return float((ratio > 0).float().mean()), float(ratio.mean())


mean = raw.x_train.mean(0)
for name, centre in {"raw": 0 * mean, "centred": mean}.items():
    steps_on_one = [
        one_step(raw.x_train - centre, raw.x_test - centre, s) for s in seeds(20)
    ]
    same, far = torch.tensor(steps_on_one).mean(0)
    print(
        f"{name:8} the same way on {same:4.0%} of the other images, "
        f"on average by {far:.1f} of its move on its own"
    )

# %% [markdown]
# Raw, an expert that helps on one image rises on all, and more of them choose it next time. Centred, it rises on some, falls
# on others, and on average stays.
#
# ## What all inputs share
#
# So take away what the images have in common, the mean image. That also makes them shorter; the control shrinks raw images
# to the same length.

# %% tags=["measure"]
# Claim 06.1.
centred = raw._replace(x_train=raw.x_train - mean, x_test=raw.x_test - mean)
length = centred.x_train.norm(dim=1).mean() / raw.x_train.norm(dim=1).mean()
shrunk = raw._replace(x_train=raw.x_train * length, x_test=raw.x_test * length)

centred_run, centred_end = run(centred)
_, shrunk_end = run(shrunk)
largest = max_share(end)[:10]
claim(
    "06.1",
    "Subtracting the mean image lowers the largest share by more than 0.4",
    quantity="fall of the largest share",
    measured=largest - max_share(centred_end),
    holds=above(0.4),
    control=largest - max_share(shrunk_end),
    control_is="pixels shrunk to the same length, not centred",
)

# %% [markdown]
# Why not always centre, then, and go home? A layer deep inside a network gets what the layers below make of the input, and
# the mean of that changes at every step.
#
# ## Experts that become useful
#
# What else does collapse need? Freeze the experts as they were drawn; the router stays free.

# %% tags=["measure"]
# Claim 06.2.
EXPERTS = ["experts.w_in", "experts.b_in", "experts.w_out", "experts.b_out"]
_, frozen_end = run(freeze=EXPERTS)


def growth(shares):
    """How much the largest share grew in training, one a seed."""
    return max_share(shares) - max_share(start)[: len(shares)]


claim(
    "06.2",
    "The largest share grows by more than a fifth of the data where router and experts "
    "learn, and not where the experts are frozen",
    quantity="growth of the largest share",
    measured=growth(end[:10]),
    holds=above(0.2),
    control=growth(frozen_end),
    control_is="the experts stay as they were drawn",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the largest share, with one thing taken away at a time.
largest_shares = {
    "before training": start[:10],
    "after it": end[:10],
    "pixels shrunk": shrunk_end,
    "experts frozen": frozen_end,
    "images centred": centred_end,
}
mean_of = {name: max_share(each).mean() for name, each in largest_shares.items()}
interval_chart(
    {name: max_share(shares) for name, shares in largest_shares.items()},
    title=f"The largest share grows from {mean_of['before training']:.2f} to {mean_of['after it']:.2f}; with "
    f"frozen experts it ends at {mean_of['experts frozen']:.2f}, with centred images at {mean_of['images centred']:.2f}",
    note=(
        "Largest share on the test images: each of ten seeds, the mean, and its 95 % "
        "interval. The upright line is even use."
    ),
    unit="largest share",
    zero=1 / E,
)

# %% [markdown]
# ## What the gate tells the others
#
# The third cause stands in the gate. Lesson 04: a probability over *all* experts depends on all logits. So where the chosen
# help, the logits of the *others* fall, image after image. A gate over the chosen alone (top-k first, then softmax) tells
# the others nothing. With one chosen it is always 1 and teaches nobody, so choose two. Its weights are larger, too; the
# control is a gate over all experts, made twice as large.

# %% tags=["measure"]
# Claim 06.3.
n_dead = {}  # what was done -> dead experts, one number a seed; two experts are chosen


def two_chosen(name, n_seeds=20, make_router=Router, penalty=None, **options):
    _, shares = run(
        n_seeds=n_seeds,
        build=lambda: mixture(2, make_router(64, E, 2, **options)),
        penalty=penalty,
    )
    n_dead[name] = dead(shares).float()


two_chosen("gate over all")
two_chosen("twice as large", n_seeds=10, scale=2.0)
two_chosen("their gate", gate="topk_softmax")
fewer = n_dead["gate over all"] - n_dead["their gate"]
claim(
    "06.3",
    "With two chosen, a gate that compares only the chosen has fewer dead experts than a "
    "gate over all, by more than 0.75 of 8",
    quantity="dead experts fewer (of 8)",
    measured=fewer,
    holds=above(0.75),
    control=n_dead["gate over all"][:10] - n_dead["twice as large"],
    control_is="a gate over all experts, twice as large",
)

# %% [markdown]
# So this is why: images have much in common, so a step on one moves the logits of all; experts that become useful rise; and a
# gate over all experts pushes the others down.

# %% [markdown]
# ## Build it: noisy top-k
#
# Would it help if the choice *wobbled*? In 2017 Shazeer et al. wrote: “The noise term helps with load balancing.” Retold, it
# became a remedy: “to load balance, it is helpful to add standard normal noise to the logits”. Who gets a turn can learn.
#
# $$H_i(x) = z_i + \varepsilon_i \cdot \text{std}_i, \qquad \varepsilon_i \sim \mathcal{N}(0, 1)$$
#
# Experts are chosen by $H_i$, and their weights are a softmax over the $H_i$ of the chosen. In evaluation there is no noise.
#
# **Your turn.** A router's last part, with noise. `torch.randn_like` draws normal numbers in a tensor's shape.


# %% tags=["exercise"]
def noisy_topk(logits, std, k, training):
    """logits (T, E), std a number or (T, E) -> chosen, weights, both (T, k)."""
    ### BEGIN SOLUTION
    if training:
        logits = logits + std * torch.randn_like(logits)
    best, chosen = logits.topk(k, dim=-1)
    return chosen, best.softmax(dim=-1)
    ### END SOLUTION


# %%
noisy_topk = check("06.noisy_topk", noisy_topk)

# %% [markdown]
# Let an untrained router choose an expert for one image a thousand times. Without noise it says the same every time. Move
# the slider: how much noise until everybody gets a turn?

# %% tags=["draw", "nbval-ignore-output"]
# A slider: one image, a thousand choices.
torch.manual_seed(seeds(1)[0])
untrained = mixture()


def a_thousand_choices(noise):
    torch.manual_seed(0)
    with torch.no_grad():
        logits = untrained.router(raw.x_test[:1]).logits.expand(1000, -1)
        chosen, _ = noisy_topk(logits, float(noise), 1, training=True)
    shares = share(chosen, E)
    alive = E - int(dead(shares))
    who = (
        "Every time the same expert"
        if alive == 1
        else f"{alive} of 8 experts get a turn"
    )
    return message(
        who,
        f"One image, 1,000 choices, noise of standard deviation {noise}. Upright line: even use.",
    ) + usage_bars(shares, idle="never")


sweep(a_thousand_choices, noise=("Noise", [0, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3]))

# %% [markdown]
# In an untrained router noise does what it promises.
#
# ## The popular claim, tested
#
# Now train with it. One expert is chosen, by the gate over all experts (a gate over the chosen alone would always be 1).
# The noise is small or large, constant or *learned*: a second matrix looks at the token and says how much noise it wants
# here. One run has a small penalty on uneven load as well, the next lesson's subject.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.alive",
    "We take the collapsing mixture of lesson 05 and add noise of standard deviation 3, "
    "far more than its logits differ by at first. After training, how many of the eight "
    "experts are alive?",
    slider=(0, 8, 1, "of 8"),
)


# %% tags=["measure"]
# Measured: one expert chosen, with noise of several kinds.
def load_penalty(routing, step):
    return 0.1 * load_loss(routing)


runs = {
    name: run(build=lambda noise=noise: mixture(noise=noise), penalty=penalty)
    for name, (noise, penalty) in {
        "noise 0.3": (0.3, None),
        "noise 1": (1.0, None),
        "noise 3": (3.0, None),
        "learned noise": ("learned", None),
        "noise 1 and a penalty": (1.0, load_penalty),
    }.items()
}
one_chosen = {"no noise": dead(end[:10]).float()}
one_chosen |= {name: dead(shares).float() for name, (_, shares) in runs.items()}

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
with_noise = E - one_chosen["noise 3"].mean()
without = E - one_chosen["no noise"].mean()
reveal(
    "06.alive",
    float(with_noise),
    says=f"Without noise {without:.1f} are alive. "
    + (
        "So noise by itself does not prevent collapse."
        if with_noise < E / 2
        else "So noise keeps most of them at work."
    ),
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: dead experts with noise, one chosen.
interval_chart(
    one_chosen,
    title=f"One chosen: {one_chosen['no noise'].mean():.1f} of 8 experts are dead without noise, "
    f"{one_chosen['noise 3'].mean():.1f} with noise 3",
    note="Raw digits after training: each of ten seeds, the mean, and its 95 % interval.",
    unit="dead experts of 8",
    zero=0,
)

# %% tags=["measure"]
# Claim 06.4.
claim(
    "06.4",
    "With one expert chosen, noise of standard deviation 1 and no penalty, at least five "
    "of eight experts are dead after training on raw digits, in every seed",
    quantity="dead experts (of 8)",
    measured=one_chosen["noise 1"],
    holds=in_every_seed(above(4.5)),
    control=one_chosen["noise 1 and a penalty"],
    control_is="the same noise, with a penalty on the load estimate",
    refutes="Noise prevents collapse",
)

# %% [markdown]
# ## What noise has to overtake
#
# Noise changes a choice only where it overtakes the *gap* between the best logit and the next.
#
# **Your turn.** Two experts are `gap` apart, and each logit gets noise of standard deviation `std`. How likely does the second
# overtake the first? `torch.special.ndtr(z)` is the probability that a normal number of standard deviation 1 is below $z$.


# %% tags=["exercise"]
def flip_probability(gap, std):
    """gap (N,), at least 0, std a number -> how likely noise turns the order (N,)."""
    ### BEGIN SOLUTION
    return torch.special.ndtr(-gap / (2**0.5 * std))
    ### END SOLUTION


# %%
flip_probability = check("06.flip_probability", flip_probability)

# %%
print("gap     ", "".join(f"{gap:8}" for gap in (0, 1, 3, 10)))
for std in (0.3, 1.0, 3.0):
    parts = flip_probability(torch.tensor([0.0, 1.0, 3.0, 10.0]), std).tolist()
    print(f"noise {std:3}", "".join(f"{part:8.1%}" for part in parts))

# %% [markdown]
# So it depends on the gap, and the gap is the router's to choose. What does training make of it?


# %% tags=["measure"]
# Measured: the gap between the best logit and the next, before and after training.
def gaps_of(logits):
    """Distance between the best and the second-best logit, one a seed and image."""
    best = logits.topk(2).values
    return best[..., 0] - best[..., 1]


def fresh(seed):
    torch.manual_seed(seed)
    return mixture().router(raw.x_test).logits


with torch.no_grad():
    gap = {"before training": gaps_of(torch.stack([fresh(s) for s in seeds(10)]))}
    gap["no noise"] = gaps_of(base.routing(raw.x_test).logits)[:10]
    for name in ("noise 0.3", "noise 1", "noise 3"):
        gap[name] = gaps_of(runs[name][0].routing(raw.x_test).logits)
turned = float(flip_probability(gap["noise 3"].flatten(), 3.0).mean())
gap = {name: each.median(-1).values for name, each in gap.items()}

# %% tags=["draw", "nbval-ignore-output", "06.alive"]
# Drawn: the gap, before and after training.
interval_chart(
    gap,
    title=f"Training widens the gap from {gap['before training'].mean():.1f} to "
    f"{gap['no noise'].mean():.1f}, and with noise 3 to {gap['noise 3'].mean():.0f}, "
    f"so that noise turns {turned:.1%} of the choices",
    note=(
        "Even without noise the router learns to shout. Raw digits: how far the best clean logit is ahead "
        "of the next, the median over the test images. Each of ten seeds, the mean, and its 95 % interval."
    ),
    unit="gap between the two best logits",
    zero=0,
)

# %% [markdown]
# ## Their own recipe
#
# We were not fair to Shazeer et al. They choose two experts or more; their gate compares the chosen with each other; their
# noise is learned; and both of their matrices start at zero, so that at first the noise alone decides. (They also have two
# penalties. We leave those out, to see what the noise does by itself.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.recipe",
    "Two chosen, their gate, their learned noise, both matrices from zero, no penalty: how "
    "many of eight experts are dead after training, on average?",
    slider=(0, 8, 0.5, "of 8"),
)


# %% tags=["measure"]
# Measured: their recipe, and what is left of it without one part or another.
class FromZero(Router):
    """A router whose matrix starts at zero, as its noise matrix does."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        nn.init.zeros_(self.weight)


THEIRS = {"gate": "topk_softmax"}
two_chosen("their gate, noise 1", 10, **THEIRS, noise=1.0)
two_chosen("their gate, learned noise", **THEIRS, noise="learned")
two_chosen("their recipe: from zero", make_router=FromZero, **THEIRS, noise="learned")
two_chosen("gate over all, noise 3", 10, noise=3.0)
two_chosen("gate over all, noise 1, penalty", 10, penalty=load_penalty, noise=1.0)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
dead_with = {name: float(each.mean()) for name, each in n_dead.items()}
by_gate = dead_with["gate over all"] - dead_with["their gate"]
by_noise = dead_with["their gate"] - dead_with["their recipe: from zero"]
reveal(
    "06.recipe",
    dead_with["their recipe: from zero"],
    says=f"A gate over all leaves {dead_with['gate over all']:.1f} dead, their gate without noise "
    f"{dead_with['their gate']:.1f}. "
    + (
        "“Helps” is right, in part: their gate does most of it. Learned noise adds less. Below, hold its two starts, the "
        "usual one and theirs, against the gate alone, and look at the width of the intervals."
        if by_gate > by_noise
        else "“Helps” is right: the noise does most of it."
    ),
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: dead experts, two chosen.
interval_chart(
    {
        name: n_dead[name]
        for name in (
            "gate over all",
            "their gate",
            "their gate, noise 1",
            "their gate, learned noise",
            "their recipe: from zero",
            "gate over all, noise 1, penalty",
        )
    },
    title=f"Their gate takes the dead from {dead_with['gate over all']:.1f} to {dead_with['their gate']:.1f}, "
    f"learned noise to {dead_with['their gate, learned noise']:.1f}, and from zero to "
    f"{dead_with['their recipe: from zero']:.1f}; constant noise leaves {dead_with['their gate, noise 1']:.1f}",
    note="Raw digits, two chosen: each seed, ten or twenty, the mean, and its 95 % interval.",
    unit="dead experts of 8",
    zero=0,
)

# %% [markdown]
# ## What noise does, and what it does not

# %% tags=["measure"]
# Measured: noise on centred digits, and noise beside a penalty.
rules = digits4("raw")
accuracy = {None: centred_run.accuracy(centred.x_test, centred.y_test)}
noisy = {}
for std in (0.01, 1.0):
    noisy[std], _ = run(centred, build=lambda std=std: mixture(noise=std))
    accuracy[std] = noisy[std].accuracy(centred.x_test, centred.y_test)
gained = {std: 100 * (accuracy[std] - accuracy[None]) for std in (0.01, 1.0)}

on_rules = {
    (std, bool(penalty)): run(
        rules, build=lambda std=std: mixture(noise=std), penalty=penalty
    )[1]
    for std in (None, 0.3)
    for penalty in (None, lambda routing, step: importance_loss(routing))
}
lost = {each: dead(shares).float() for each, shares in on_rules.items()}

# %% tags=["draw", "nbval-ignore-output", "06.alive", "06.recipe"]
# A table of what noise does.
table(
    ["", "without noise", "with noise"],
    {
        "Dead: one chosen": [
            f"{one_chosen['no noise'].mean():.1f}",
            f"{one_chosen['noise 1'].mean():.1f}",
        ],
        "Dead: two, their gate": [
            f"{dead_with['their gate']:.1f}",
            f"{dead_with['their gate, noise 1']:.1f}; learned {dead_with['their gate, learned noise']:.1f}",
        ],
        "Dead: beside a penalty": [
            f"{lost[None, True].mean():.1f}",
            f"{lost[0.3, True].mean():.1f}",
        ],
        "Accuracy, centred": [
            f"{accuracy[None].mean():.1%}",
            f"{accuracy[1.0].mean():.1%}",
        ],
    },
    title="Constant noise alone prevents nothing; beside a penalty it brings experts back",
    note="Dead of 8 experts; noise of standard deviation 1, beside the penalty 0.3. Raw digits, "
    "beside the penalty digits4. Ten or twenty seeds.",
)

# %% [markdown]
# This was 2017. What is usual today is a penalty ([OLMoE](https://arxiv.org/abs/2409.02060)) or a bias
# ([DeepSeek-V3](https://arxiv.org/abs/2412.19437)), without noise. Those are lesson 07.
#
# ## A bug to find
#
# Your colleague's router adds noise, too. Nothing crashes, and it learns. Which property should a router have that this one
# lacks?


# %%
class ColleaguesNoise(nn.Module):
    """Noisy top-k, written in a hurry."""

    def __init__(self, router):
        super().__init__()
        self.router = router

    def forward(self, x):
        routing = self.router(x)
        chosen, weights = noisy_topk(routing.logits, 1.0, k=2, training=True)
        return routing._replace(indices=chosen, weights=weights)


# %% [markdown]
# **Your turn.** A probe that finds it in any mixture. When training is over, the same tokens should get the same answer.
# `moe(x)` returns the answer and the routing.


# %% tags=["exercise"]
def wavers(moe, x):
    """A mixture, x (T, d) -> True where it answers otherwise when asked again, training over."""
    was_training = moe.training
    ### BEGIN SOLUTION
    moe.eval()
    same = torch.equal(moe(x)[0], moe(x)[0])
    ### END SOLUTION
    moe.train(was_training)
    return not same


# %%
wavers = check("06.wavers", wavers)

# %%
plain, hurried = Router(64, E, 2, gate="topk_softmax"), Router(64, E, 2)
for name, router in {"package": plain, "colleague": ColleaguesNoise(hurried)}.items():
    verdict = "wavers" if wavers(mixture(2, router), raw.x_test) else "is steady"
    print(f"the router of the {name} {verdict}")

# %% [markdown]
# The hurried router never asks whether it is training.

# %% [markdown]
# ## With your own hands
#
# One more, which trains in the page. Its points lie away from the origin, so few experts work from the start. Press play, and
# pull at the noise: does anybody come back? The slider below Play goes back to any step, to try another way from there.

# %% tags=["playground", "nbval-ignore-output"]
playground(preset="kill", seed=35)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("06")

# %% [markdown]
# ## Try it
#
# 1. Mend `ColleaguesNoise`: its `training` should be `self.training`. What does `wavers` say now?
# 2. Choose four experts on raw digits: `dead(run(build=lambda: mixture(4, noise=3.0))[1])`. Does noise do more there than
#    with two?
#
# ## Recap
#
# - A step on one image moves every logit of another by $-\eta\, \partial L / \partial z_i\, (x \cdot x')$. Raw images have
#   much in common, so the first steps decide who wins.
# - Collapse takes inputs that share a mean and experts that become useful, and a gate over all experts makes it worse.
# - Noise alone does not prevent it: the router learns to shout louder. Of what the recipe of 2017 does, its gate does most. What
#   its learned noise adds depends on how both matrices start: from zero it may be nothing.
# - Noise helps a penalty, and helps on new images where nobody takes everything. It must be off in evaluation.
#
# **Sources.** Noisy top-k, its zero start, and the load estimate: [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538),
# section 2.1, equations 3 to 5, and appendix A. The retelling: A. Soori, *makeMoE*, a blog post of 2024.

# %% [markdown]
# ## Further
#
# ### Nobody has to starve; and who wins?
#
# The usual story goes like this. A chosen expert trains, and one that is not chosen does not. A trained expert answers
# better, so it is chosen more, and trains more. Do the others have to starve? Let *everybody* learn from every image,
# each expert from the cross-entropy of its *own* answer, chosen or not. Then being chosen teaches nobody anything.

# %% tags=["measure"]
# Claim 06.5.
_, everyone_end = run(
    with_labels(raw),
    build=lambda: EveryoneLearns(mixture()),
    penalty=lambda routing, step: routing.logits.mean(0).sum(),
)
claim(
    "06.5",
    "When every expert learns from every image, by its own loss, the largest share grows "
    "all the same, by more than a fifth of the data",
    quantity="growth of the largest share",
    measured=growth(everyone_end),
    holds=above(0.2),
    control=growth(frozen_end),
    control_is="the experts stay as they were drawn",
    refutes="Experts collapse only where those that are not chosen do not learn",
)

# %% [markdown]
# Starving is not *needed*. It may still do its part: this does not say how large that is.
#
# And who wins? Your formula names one before any training: add up what a first step on 128 images does to the logits of the
# mean image, and take the expert that it lifts most. Or take the one that is ahead already. Chance is one in eight.


# %% tags=["measure"]
# Claims 06.6 and 06.7.
def lifted_most(seed):
    """The expert that a first step lifts most on the mean image, before training."""
    torch.manual_seed(seed)
    moe = mixture()
    x, y = raw.x_train[:128], raw.y_train[:128]
    scores, routing = moe(x)
    (slopes,) = torch.autograd.grad(F.cross_entropy(scores, y), routing.logits)
    lifts = sum(others_move(x[i], mean[None], slopes[i], 1.0) for i in range(len(x)))
    return int(lifts.argmax())


named = torch.tensor([lifted_most(seed) for seed in seeds(40)])


def of_another_seed(guesses):
    """How often the guess of another seed would be right, one number a seed."""
    hits = (guesses[:, None] == winner).float()
    return (hits.sum(0) - hits.diagonal()) / (len(winner) - 1)


leader = start.argmax(-1)
claim(
    "06.6",
    "The expert that the first step lifts most on the mean image wins more than twice "
    "as often as by chance",
    quantity="how often the named expert wins",
    measured=(named == winner).float(),
    holds=above(2 / E),
    control=of_another_seed(named),
    control_is="the expert that another seed's first step lifts",
)
claim(
    "06.7",
    "The expert that is ahead before training wins more than twice as often as by "
    "chance",
    quantity="how often the leader wins",
    measured=(leader == winner).float(),
    holds=above(2 / E),
    control=of_another_seed(leader),
    control_is="the leader of another seed",
)
print(
    f"both name the same expert in {(named == leader).float().mean():.0%} of the seeds"
)

# %% [markdown]
# So the formula does about as well as the head start, mostly by naming another expert.
#
# And why is anybody ahead? A logit is $w_i \cdot x = w_i \cdot m + w_i \cdot (x - m)$, with $m$ the mean image, and the first
# part is *the same for every image*. How much of the difference between the experts' logits is this constant?


# %% tags=["measure"]
# Claim 06.8.
def constant_part(x, seed):
    """Part of the logits' differences (squared) that is the same for all inputs x."""
    torch.manual_seed(seed)
    with torch.no_grad():
        logits = mixture().router(x).logits
    logits = logits - logits.mean(-1, keepdim=True)  # only differences choose
    return float(logits.mean(0).square().sum() / logits.square().sum(-1).mean())


claim(
    "06.8",
    "At the start, more than half of the difference between the experts' logits is, on "
    "average, the same for every raw image",
    quantity="part that is the same for every image",
    measured=[constant_part(raw.x_train, seed) for seed in seeds(20)],
    holds=above(0.5),
    control=[constant_part(centred.x_train, seed) for seed in seeds(20)],
    control_is="centred images",
)

# %% [markdown]
# ### How sure is all this?
#
# Strong noise makes the router shout:

# %% tags=["measure", "06.alive"]
# Claim 06.9.
claim(
    "06.9",
    "Training with noise of standard deviation 3 drives the best logit more than 4 "
    "further ahead of the second than training without noise",
    quantity="how much further ahead the best logit is",
    measured=gap["noise 3"] - gap["no noise"],
    holds=above(4),
    control=gap["noise 0.3"] - gap["no noise"],
    control_is="noise of standard deviation 0.3",
)

# %% [markdown]
# Beside a penalty that leaves some experts dead, weak noise brings them back. The penalty is on uneven *importance*, the sum
# of an expert's gate weights, with coefficient 1 (lesson 07).

# %% tags=["measure"]
# Claim 06.10.
claim(
    "06.10",
    "On digits4, noise of standard deviation 0.3 beside an importance penalty of "
    "coefficient 1 brings more than one expert of eight back to work",
    quantity="experts brought back (of 8)",
    measured=lost[None, True] - lost[0.3, True],
    holds=above(1),
    control=lost[None, False] - lost[0.3, False],
    control_is="the same noise without the penalty",
)

# %% [markdown]
# And the rest: with two chosen by the gate over all, strong noise does little, and a penalty much; where nobody takes
# everything, noise helps on new images; left on, it changes answers.


# %% tags=["measure"]
# Claims 06.11, 06.12 and 06.13.
class ColleaguesRouter(Router):
    """Noisy top-1, written in a hurry."""

    def add_noise(self, tokens, logits):
        scale = torch.full_like(logits, self.noise)
        return logits + torch.randn_like(logits) * scale, scale


def changed_answers(trained, x):
    """Per cent of the inputs that get another answer when asked again: one a seed."""
    first, second = (trained.scores(x).argmax(-1) for _ in range(2))
    return 100 * (first != second).float().mean(-1)


right = changed_answers(noisy[1.0], centred.x_test)
noisy[1.0].model.router = ColleaguesRouter(64, E, 1, noise=1.0)
left_on = changed_answers(noisy[1.0], centred.x_test)

without = n_dead["gate over all"][:10]
claim(
    "06.11",
    "With two experts chosen, noise of standard deviation 3 brings back fewer than two "
    "of eight experts on average",
    quantity="experts brought back (of 8)",
    measured=without - n_dead["gate over all, noise 3"],
    holds=below(2),
    control=without - n_dead["gate over all, noise 1, penalty"],
    control_is="noise of standard deviation 1, with a penalty on the load estimate",
)
claim(
    "06.12",
    "On centred digits, noise of standard deviation 1 makes the mixture more accurate "
    "by more than 0.7 points",
    quantity="accuracy gained (points)",
    measured=gained[1.0],
    holds=above(0.7),
    control=gained[0.01],
    control_is="noise of standard deviation 0.01",
)
claim(
    "06.13",
    "Noise left on in evaluation changes more than one answer in two hundred when the "
    "same image is asked about twice",
    quantity="answers that change (%)",
    measured=left_on,
    holds=above(0.5),
    control=right,
    control_is="noise in training only",
)

# %% [markdown]
# ### The load estimate
#
# Noise has a second use, and it is what Shazeer et al. mean by “helps”. How many tokens went to expert $i$ is a count, and a
# count has no slope. With noise we can ask a smoother question: *if only expert $i$'s noise were drawn again, how likely would
# it be chosen?* That depends smoothly on the logits, and its sum over the tokens is a load that training can push on.
#
# Expert $i$ has to beat the $k$-th best of *the others*. If $i$ is among the best $k$ now, that is number $k + 1$ of all;
# otherwise it is number $k$. With $\Phi$ the normal distribution function:
#
# $$P_i(x) = \Phi\!\left(\frac{z_i - \text{to beat}_i}{\text{std}_i}\right), \qquad \text{load}_i = \sum_x P_i(x)$$

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: two experts, and the line that each has to pass.
clean = torch.tensor([1.6, 1.1, 0.2, -0.9])  # logits of four experts
drawn = torch.tensor([2.2, 0.6, 1.2, -1.4])  # and with noise: two are chosen, A and C
ORDER = drawn.sort(descending=True).values


def bells(figure, theme):
    """Where an expert's noise may take it, and what it has to beat."""
    reach = torch.linspace(-4, 5, 300)
    places = figure.subplots(2, 1, sharex=True)
    for axes, (expert, line) in zip(places, {2: 2, 1: 1}.items(), strict=True):
        color, to_beat = look.expert_color(expert, theme), float(ORDER[line])
        bell = torch.exp(-((reach - clean[expert]) ** 2) / 2)
        axes.plot(reach, bell, color=color, lw=2)
        axes.fill_between(reach, bell, where=reach > to_beat, color=color, alpha=0.3)
        axes.axvline(to_beat, color=look.color("text", theme), lw=1.5)
        for other, value in enumerate(drawn.tolist()):
            fill, on = (look.expert_color(other, theme, w) for w in ("color", "on"))
            axes.plot(value, 0, "o", ms=13, color=fill, zorder=3)
            axes.text(
                value,
                0,
                "ABCD"[other],
                color=on,
                ha="center",
                va="center",
                fontsize=9,
                zorder=4,
            )
        part = float(torch.special.ndtr(clean[expert] - to_beat))
        chosen = "chosen" if expert == 2 else "not chosen"
        says = (
            f"expert {'ABCD'[expert]}, {chosen}: beats number {line + 1} in {part:.0%}"
        )
        axes.set_title(says, loc="left", fontsize=10)
        axes.set(yticks=[], ylim=(-0.25, 1.1))
        axes.spines["left"].set_visible(False)
    places[1].set_xlabel("logit with noise")


picture(
    bells,
    title="An expert among the best k has to beat number k + 1; any other, number k",
    note=(
        "Discs: the noisy logits of four experts, two of which are chosen. Bell: where new noise may "
        "take this expert from its clean logit. Line: what it has to beat. Filled: how likely it is chosen."
    ),
    alt=(
        "Two bells. Expert C is chosen and has to pass expert B, number 3; expert B is not "
        "chosen and has to pass expert C, number 2."
    ),
    height=380,
)

# %% [markdown]
# **Your turn, if you like.** `best[:, k - 1 : k]` is a column with number $k$ of each token.


# %% tags=["exercise", "optional"]
def expected_load(logits, noisy, std, k):
    """logits without and with noise, std, all (T, E) -> expected tokens (E,)."""
    ### BEGIN SOLUTION
    best = noisy.topk(k + 1, dim=-1).values
    chosen = noisy >= best[:, k - 1 : k]
    to_beat = torch.where(chosen, best[:, k:], best[:, k - 1 : k])
    return torch.special.ndtr((logits - to_beat) / std).sum(dim=0)
    ### END SOLUTION


# %%
expected_load = check("06.expected_load", expected_load)

# %% [markdown]
# Every token chooses $k$ experts, so the loads must add up to $k$ times the tokens, on average. This is worth a test, because
# a small slip in the threshold goes unnoticed. The control makes one: everybody has to beat the $k$-th best of *all*, even
# the one who is the $k$-th best.


# %% tags=["measure"]
# Claim 06.14.
def sum_of_loads(seed, threshold):
    """Sum of the load estimate over k * T, on average over 20 draws."""
    torch.manual_seed(seed)
    router = Router(64, E, 2, noise=0.5)
    sums = []
    for _ in range(20):
        with torch.no_grad():
            r = router(raw.x_test)
        if threshold == "right":
            load = expected_load(r.logits, r.noisy_logits, r.noise_std, 2)
            assert torch.allclose(load, load_estimate(r), rtol=1e-3)
        else:
            to_beat = r.noisy_logits.topk(2).values[:, 1:]
            load = torch.special.ndtr((r.logits - to_beat) / r.noise_std).sum(0)
        sums.append(float(load.sum()) / (2 * len(raw.x_test)))
    return sum(sums) / len(sums)


claim(
    "06.14",
    "The load estimates of all experts add up to k choices for each token, within "
    "two percent",
    quantity="choices for each token, estimated",
    measured=[sum_of_loads(seed, "right") for seed in seeds(10)],
    holds=in_every_seed(between(0.98, 1.02)),
    control=[sum_of_loads(seed, "of all") for seed in seeds(10)],
    control_is="everybody has to beat the k-th best of all",
)

# %% [markdown]
# Try a mistake found in published teaching code: in `expected_load`, compare the logits with
# `noisy.softmax(-1).topk(k + 1)`. By what factor are the loads wrong now?
