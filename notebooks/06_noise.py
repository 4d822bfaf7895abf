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
# 35 minutes. You leave able to build noisy top-k and its load estimate, to say what noise does to a mixture, and to
# find the bug that noise likes to leave behind.
#
# The popular cure for collapse is to add noise to the router. It sounds right: if the choice wobbles, everybody gets a
# turn, everybody learns, and nobody dies.

# %% tags=["setup"]
import torch
import torch.nn.functional as F

from moe_tutorial.course import guess, quiz, reveal
from moe_tutorial.layers import (
    MixtureOfExperts,
    Router,
    importance_loss,
    load_estimate,
    load_loss,
)
from moe_tutorial.show import (
    interval_chart,
    message,
    playground,
    seed_strip,
    sweep,
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
    seeds,
    share,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread
E, k = 8, 1

# %% [markdown]
# ## Build it: noisy top-k
#
# Draw a normal number for every logit, scale it, add it, and choose by the sum. The scale is either a constant that we
# pick, or it is *learned*: a second matrix looks at the token and says how uncertain it wants to be here. The softplus
# keeps the scale positive.
#
# $$H_i(x) = (W x)_i + \varepsilon_i \cdot \mathrm{softplus}\big((W_\text{noise}\, x)_i\big), \qquad \varepsilon_i \sim \mathcal{N}(0, 1)$$


# %%
def noisy_logits(x, weight, noise):
    """Clean logits, noisy logits and the noise's scale, each (T, E), for x (T, d).

    noise: a number, or a matrix (E, d) for learned noise.
    """
    logits = x @ weight.T
    if isinstance(noise, float):
        scale = torch.full_like(logits, noise)
    else:
        scale = F.softplus(x @ noise.T)
    return logits, logits + torch.randn_like(logits) * scale, scale


# %% [markdown]
# ## See it: one image, a thousand choices
#
# Take one image, and let the untrained router choose a thousand times. Without noise it would say the same every time.
# Move the slider: how much noise until everybody gets a turn?

# %% tags=["measure"]
raw = digits("raw")
torch.manual_seed(seeds(1)[0])
constant, learned = Router(64, E, k, noise=1.0), Router(64, E, k, noise="learned")
with torch.no_grad():
    learned.noise_weight.normal_(std=0.1)  # as training might leave it


# %% tags=["draw", "nbval-ignore-output"]
def a_thousand_choices(noise):
    torch.manual_seed(0)
    image = raw.x_test[:1].expand(1000, -1)
    with torch.no_grad():
        _, noisy, _ = noisy_logits(image, constant.weight, float(noise))
    shares = share(noisy.argmax(-1, keepdim=True), E)
    alive = E - int(dead(shares))
    who = (
        "Every time the same expert"
        if alive == 1
        else f"{alive} of 8 experts get a turn"
    )
    return message(
        who, f"One image, 1,000 choices, noise of standard deviation {noise}."
    ) + usage_bars(shares, idle="never")


sweep(a_thousand_choices, noise=("Noise", [0, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3]))

# %% tags=["measure"]
for router, noise in ((constant, 1.0), (learned, learned.noise_weight)):
    torch.manual_seed(1)
    _, ours, _ = noisy_logits(raw.x_train, router.weight, noise)
    torch.manual_seed(1)
    theirs = router(raw.x_train).noisy_logits
    print("same as the package's:", torch.allclose(ours, theirs, atol=1e-5))

# %% [markdown]
# So in an untrained router noise does what it promises.
#
# (Shazeer et al. take the softmax after the picking. With one expert picked that gate has no gradient, as lesson 04
# showed, so we keep ours.)
#
# ## The load estimate
#
# Noise has a second use. "How many tokens went to expert $i$?" is a count, and a count has no slope. But with noise we can
# ask a smoother question: *if only expert $i$'s noise were drawn again, how likely would it be chosen?* That is a
# probability, it depends smoothly on the logits, and its sum over the tokens is a load that training can push on.
#
# Expert $i$ is chosen if it beats the $k$-th best of *the others*. If $i$ is among the best $k$ now, that is number $k+1$ of
# all; otherwise it is number $k$. With $\Phi$ the normal distribution function:
#
# $$P_i(x) = \Phi\!\left(\frac{(Wx)_i - \text{to beat}_i}{\text{scale}_i}\right), \qquad \text{load}_i = \sum_x P_i(x)$$


# %%
def my_load_estimate(logits, noisy, scale, k):
    """Expected number of tokens that choose each expert, (E,)."""
    best = noisy.topk(k + 1).values
    among_the_best = noisy >= best[:, k - 1 : k]
    to_beat = torch.where(among_the_best, best[:, k : k + 1], best[:, k - 1 : k])
    return torch.special.ndtr((logits - to_beat) / scale).sum(0)


with torch.no_grad():
    routing = constant(raw.x_train)
ours = my_load_estimate(routing.logits, routing.noisy_logits, routing.noise_std, k)
theirs = load_estimate(routing)
print("same as the package's:", torch.allclose(ours, theirs, rtol=1e-4))

# %% [markdown]
# ### Further: do the loads add up?
#
# How do we know that the estimate is right? Every token chooses $k$ experts, so the loads must add up to $k$ times the tokens, on
# average. This is worth a test, because a small slip in the threshold goes unnoticed. The control makes
# one: everybody has to beat the $k$-th best of *all*, even the one who is the $k$-th best.


# %% tags=["measure"]
def sum_of_loads(seed, threshold):
    """Sum of the load estimate over k * T, on average over 20 draws."""
    torch.manual_seed(seed)
    router = Router(64, E, 2, noise=0.5)
    sums = []
    for _ in range(20):
        with torch.no_grad():
            r = router(raw.x_test)
        if threshold == "right":
            load = my_load_estimate(r.logits, r.noisy_logits, r.noise_std, 2)
        else:
            to_beat = r.noisy_logits.topk(2).values[:, 1:]
            load = torch.special.ndtr((r.logits - to_beat) / r.noise_std).sum(0)
        sums.append(float(load.sum()) / (2 * len(raw.x_test)))
    return sum(sums) / len(sums)


claim(
    "06.1",
    "The load estimates of all experts add up to k choices for each token, within "
    "two percent",
    quantity="choices for each token, estimated",
    measured=[sum_of_loads(seed, "right") for seed in seeds(10)],
    holds=in_every_seed(between(0.98, 1.02)),
    control=[sum_of_loads(seed, "of all") for seed in seeds(10)],
    control_is="everybody has to beat the k-th best of all",
)

# %% [markdown]
# ## The popular claim, tested
#
# *Noise prevents collapse.* Lesson 05 gave us a mixture that collapses every time: raw digits, one expert picked. We give
# it noise, a little and a lot, constant and learned, twenty seeds each. And beside them the same noise with a small
# penalty on the load estimate (the next lesson is about penalties).

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "06.alive",
    "We take the collapsing mixture of lesson 05 and add noise that is larger than "
    "the differences between its logits. After training, how many of the eight "
    "experts are alive?",
    slider=(0, 8, 1, "of 8"),
)

# %% tags=["measure", "06.alive"]
STEPS = 300


def run(data, penalty=None, noise=None, top_k=k):
    """The trained seeds, their shares on the test images (n_seeds, E), and accuracy."""
    trained = train(
        lambda: MixtureOfExperts(64, 16, E, top_k, noise=noise, d_out=10),
        data,
        seeds(20),
        steps=STEPS,
        penalty=penalty,
    )
    shares = trained.shares(data.x_test)
    return trained, shares, trained.accuracy(data.x_test, data.y_test)


def load_penalty(routing):
    return 0.1 * load_loss(routing)


on_raw = {
    "no noise": run(raw),
    "noise 0.3": run(raw, noise=0.3),
    "noise 1": run(raw, noise=1.0),
    "noise 3": run(raw, noise=3.0),
    "learned noise": run(raw, noise="learned"),
    "noise 1 + load penalty": run(raw, load_penalty, noise=1.0),
}
for name, (_, shares, _) in on_raw.items():
    five_dead = int((dead(shares) >= 5).sum())
    print(f"{name:>24}: at least five experts dead in {five_dead:2} of 20 seeds")
alive = E - dead(on_raw["noise 3"][1]).float().mean()
print(f"alive with noise 3: {alive:.0f} of {E}")

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal("06.alive", float(alive))

# %% tags=["draw", "nbval-ignore-output", "06.alive"]
alive = {name: E - dead(shares).float() for name, (_, shares, _) in on_raw.items()}
seed_strip(
    {
        name: on_raw[name][1]
        for name in ("no noise", "noise 1", "noise 1 + load penalty")
    },
    title=f"With noise alone, {alive['noise 1'].mean():.1f} of 8 experts survive; "
    f"without noise, {alive['no noise'].mean():.1f}",
    note=(
        "Raw digits after training: one column is one seed. Number and colour: the "
        "expert. The last row has noise and a penalty."
    ),
)

# %% tags=["measure", "06.alive"]
claim(
    "06.2",
    "With one expert picked, noise of standard deviation 1 and no penalty, at least five "
    "of eight experts are dead after training on raw digits, in every seed",
    quantity="dead experts",
    unit="of 8",
    measured=dead(on_raw["noise 1"][1]),
    holds=in_every_seed(above(4.5)),
    control=dead(on_raw["noise 1 + load penalty"][1]),
    control_is="the same noise, with a penalty on the load estimate",
    refutes="Noise prevents collapse",
)

# %% [markdown]
# It was not too little noise either: three times as much, and learned noise, end the same way. Why does the wobble not
# help? Look at what the router does about it. Noise changes a choice only while the two best logits are close. How far
# apart does training drive them, with strong noise and without?


# %% tags=["measure"]
def gap(logits):
    """Median distance between the best and the second-best logit, one a seed."""
    best = logits.topk(2).values
    return (best[..., 0] - best[..., 1]).median(-1).values


def untrained(seed):
    torch.manual_seed(seed)
    return Router(64, E, k)(raw.x_test).logits


with torch.no_grad():
    before = gap(torch.stack([untrained(seed) for seed in seeds(20)]))
    gaps = {
        name: gap(trained(raw.x_test)[1].logits)
        for name, (trained, _, _) in on_raw.items()
    }
print(
    "training without noise widens the gap more than ten times:",
    bool(gaps["no noise"].mean() > 10 * before.mean()),
)
claim(
    "06.3",
    "Training with noise of standard deviation 3 drives the best logit more than 3 "
    "further ahead of the second than training without noise",
    quantity="how much further ahead the best logit is",
    measured=gaps["noise 3"] - gaps["no noise"],
    holds=above(3),
    control=gaps["noise 0.3"] - gaps["no noise"],
    control_is="noise of standard deviation 0.3",
)

# %% tags=["draw", "nbval-ignore-output"]
interval_chart(
    {"before training": before}
    | {name: gaps[name] for name in ("no noise", "noise 0.3", "noise 1", "noise 3")},
    title=f"Training takes the best logit's lead from {before.mean():.1f} to "
    f"{gaps['no noise'].mean():.1f}, and with noise 3 to {gaps['noise 3'].mean():.1f}",
    note=(
        "Raw digits: how far the best clean logit is ahead of the second, the median over "
        "the test images. Each of 20 seeds, the mean, and its 95 % interval."
    ),
    unit="lead of the best logit",
    zero=0,
)

# %% [markdown]
# Even without noise the router learns to shout, and with strong noise it shouts louder still.
#
# Let us be exact about what we showed: these data, this size, one expert picked. It is enough to refute *always*. But the
# recipe that is quoted, Shazeer et al.'s, picks two or more. So pick two, and change nothing else.

# %% tags=["measure"]
two_picked = {
    "no noise": run(raw, top_k=2),
    "noise 3": run(raw, noise=3.0, top_k=2),
    "noise 1 + load penalty": run(raw, load_penalty, noise=1.0, top_k=2),
}


def back(name):
    """How many more experts are alive than without noise, two picked: one a seed."""
    return (dead(two_picked["no noise"][1]) - dead(two_picked[name][1])).float()


claim(
    "06.7",
    "With two experts picked, noise of standard deviation 3 brings back fewer than two "
    "of eight experts on average",
    quantity="experts brought back",
    unit="of 8",
    measured=back("noise 3"),
    holds=below(2),
    control=back("noise 1 + load penalty"),
    control_is="noise of standard deviation 1, with a penalty on the load estimate",
)

# %% tags=["draw", "nbval-ignore-output"]
still_dead = {
    name: dead(shares).float().mean() for name, (_, shares, _) in two_picked.items()
}
seed_strip(
    {name: shares for name, (_, shares, _) in two_picked.items()},
    title=f"Two picked: {still_dead['no noise']:.1f} of 8 experts are dead without noise, "
    f"{still_dead['noise 3']:.1f} with noise 3",
    note=(
        "Raw digits after training: how each seed's choices divide among the experts. "
        "Number and colour: the expert."
    ),
)

# %% [markdown]
# With two picked, strong noise does a little: in some seeds an expert or two more find work. The penalty does the rest.
#
# Here is one more, which trains in the page. Its noise is strong, and its points lie away from the origin. Press play,
# and pull at the noise while the experts die. The slider below Play goes back to any step, to try another way from there.

# %% tags=["playground", "nbval-ignore-output"]
playground(preset="kill")

# %% [markdown]
# ## What noise does do
#
# Noise is not useless. On *centred* digits no expert takes everything (lesson 05), and there noise turns out to be good
# for something else. The control has a hundredth of it.

# %% tags=["measure"]
mean = raw.x_train.mean(0)
centred = raw._replace(x_train=raw.x_train - mean, x_test=raw.x_test - mean)
on_centred = {noise: run(centred, noise=noise)[2] for noise in (None, 0.01, 1.0)}
claim(
    "06.4",
    "On centred digits, noise of standard deviation 1 makes the mixture more accurate "
    "by more than 0.7 points",
    quantity="accuracy gained",
    measured=on_centred[1.0] - on_centred[None],
    holds=above(0.007),
    control=on_centred[0.01] - on_centred[None],
    control_is="noise of standard deviation 0.01",
)

# %% [markdown]
# And noise works beside a penalty. We take the same mixture to raw `digits4`, where collapse costs accuracy (lesson 05).
# To see what noise adds we need a penalty that works without it, and the load estimate needs noise. So we
# penalise uneven *importance*, the sum of an expert's gate weights, with coefficient 1. Under it alone some experts stay
# dead. Beside it we try our weakest noise, and noise 1.

# %% tags=["measure"]
rules = digits4("raw")
on_rules = {
    "nothing": run(rules),
    "noise 0.3": run(rules, noise=0.3),
    "penalty": run(rules, importance_loss),
    "penalty, noise 0.3": run(rules, importance_loss, noise=0.3),
    "penalty, noise 1": run(rules, importance_loss, noise=1.0),
}
lost = {name: dead(shares).float() for name, (_, shares, _) in on_rules.items()}

claim(
    "06.5",
    "On digits4, noise of standard deviation 0.3 beside an importance penalty of "
    "coefficient 1 brings more than one expert of eight back to work",
    quantity="experts brought back",
    unit="of 8",
    measured=lost["penalty"] - lost["penalty, noise 0.3"],
    holds=above(1),
    control=lost["nothing"] - lost["noise 0.3"],
    control_is="the same noise without the penalty",
)

# %% tags=["draw", "nbval-ignore-output"]
accuracy = {name: accuracy for name, (_, _, accuracy) in on_rules.items()}


def points(name):
    return f"{100 * (accuracy[name] - accuracy['penalty']).mean():+.1f} points"


interval_chart(
    accuracy,
    title=f"Beside the penalty, noise 0.3 changes accuracy by {points('penalty, noise 0.3')}, "
    f"noise 1 by {points('penalty, noise 1')}",
    note=(
        "Test accuracy on raw digits4: 20 seeds, the mean, and its 95 % interval. Dead "
        f"experts: {lost['penalty'].mean():.1f} with the penalty alone, "
        f"{lost['penalty, noise 0.3'].mean():.1f} with noise 0.3 beside it, "
        f"{lost['penalty, noise 1'].mean():.1f} with noise 1."
    ),
    unit="test accuracy",
)

# %% [markdown]
# Alone, noise revives nobody here. Beside the penalty it does. But alive is not the same as accurate: compare the dead
# experts in the note with the rows.
#
# ## A bug to find
#
# This router passes a quick look. It takes over the noise of our `Router` with a version of its own, and makes one
# mistake. Read it before you go on.


# %%
class ColleaguesRouter(Router):
    """Noisy top-1, written in a hurry."""

    def add_noise(self, tokens, logits):
        scale = torch.full_like(logits, self.noise)
        return logits + torch.randn_like(logits) * scale, scale


# %% [markdown]
# > **Guess first.** You ask the trained mixture about the same image twice. What should happen, and what does?

# %% tags=["measure"]
trained = on_rules["penalty, noise 1"][0]


def changed_answers(trained, x):
    """Part of the inputs that get another answer when asked again: one a seed."""
    first, second = (trained.scores(x).argmax(-1) for _ in range(2))
    return (first != second).float().mean(-1)


right = changed_answers(trained, rules.x_test)
correct_router = trained.model.router
trained.model.router = ColleaguesRouter(64, E, k, noise=1.0)
wrong = changed_answers(trained, rules.x_test)
trained.model.router = correct_router

claim(
    "06.6",
    "Noise left on in evaluation changes more than one answer in a hundred when the "
    "same image is asked about twice",
    quantity="answers that change",
    measured=wrong,
    holds=above(0.01),
    control=right,
    control_is="noise in training only",
)

# %% [markdown]
# The hurried router never asks `self.training`. Nothing crashes, and the answers waver from one evaluation to the next.

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("06")

# %% [markdown]
# ## Try it
#
# 1. Mend `ColleaguesRouter` with one `if`. Claim 06.6 must then fail: run its cell, and read what the claim says.
# 2. Pick four experts (`top_k=4`) on raw digits. Does noise do more there than with two? Then take the importance penalty
#    on `digits4` down to a tenth. Does noise 1 still bring anybody back?
# 3. In `my_load_estimate`, compare the logits with `noisy.softmax(-1).topk(k + 1)`, a mistake found in published
#    teaching code. By what factor are the loads wrong now? (Claim 06.1 will say so too.)
#
# ## Recap
#
# - Noisy top-k adds noise to the logits, constant or learned, and only in training.
# - With noise, "how likely would this expert be chosen?" has a slope: the load estimate. Its sum is the test for its bugs.
# - On raw digits with one expert picked, noise alone does not prevent collapse: the router learns to shout louder. With
#   two picked, strong noise does a little. Where nobody takes everything it makes the mixture more accurate on new images,
#   and it helps a penalty to revive the dead.
#
# **Sources.** Noisy top-k and the load estimate: [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538), equations 3 to 5
# and appendix A. Importance: the same, section 4.
