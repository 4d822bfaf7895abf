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
# # At scale
#
# 10 minutes. You leave able to say what a mixture buys with thousands of tokens at once, and what it costs there: tokens
# that are dropped.
#
# Lesson 10 ended in the awkward middle. With sixteen tokens at once a mixture multiplies as little as a small layer, and
# reads nearly as much as a large one. Now many more come at once.

# %% tags=["setup"]
import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap

from moe_tutorial.course import guess, quiz, reveal
from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.show import (
    Line,
    curves,
    expert_bars,
    look,
    message,
    picture,
    seed_dots,
    sweep,
    table,
)
from moe_tutorial.study import (
    above,
    below,
    between,
    claim,
    distinct_experts,
    in_every_seed,
    in_the_median,
    multiplications,
    seeds,
)
from moe_tutorial.study.systems.parallel import run
from moe_tutorial.study.systems.serving import capacity, expert_step, kept, serve
from moe_tutorial.study.timing import in_turn, time_side_by_side

torch.set_num_threads(1)  # times are compared on one thread
E, K = 16, 2

# %% [markdown]
# ## Many users
#
# An expert is **full** when computing its tokens takes as long as reading its weights (in the fleet under *Further*,
# with `READ / COMPUTE` tokens). How many does it get? Counted with the formula of lesson 10:

# %% tags=["measure"]
for batch in (1, 4, 16, 64, 256, 1024, 4096):
    n_asked = distinct_experts(E, K, batch)
    print(
        f"{batch:5,} tokens: it reads {n_asked / K:3.1f} times as much as for one, and an "
        f"expert asked gets {batch * K / n_asked:5.1f}"
    )

# %% [markdown]
# The layers are those of lesson 10. `small` reads the same for any number of tokens, and so does `large`.

# %% tags=["measure"]
WIDTH, HIDDEN = 512, 512
ROUTER = E // 2  # neurons that multiply as much as a router of E outputs


def dense(neurons):
    return MixtureOfExperts(WIDTH, neurons, 1, 1)


def all_asked(mixture):
    """The same experts, with a router that chooses all of them."""
    layer = MixtureOfExperts(WIDTH, HIDDEN, E, E)
    layer.experts = mixture.experts
    return layer


torch.manual_seed(seeds(1)[0])
mixtures = [MixtureOfExperts(WIDTH, HIDDEN, E, K) for _ in range(4)]
layers = {
    "small": [dense(K * HIDDEN + ROUTER) for _ in range(32)],
    "mixture": mixtures,
    "mixture, all asked": [all_asked(mixture) for mixture in mixtures],
    "large": [dense(E * HIDDEN + ROUTER) for _ in range(4)],
}
stored, computed = {}, {}
for name, own in layers.items():
    stored[name] = sum(p.untyped_storage().nbytes() for p in own[0].parameters())
    computed[name] = multiplications(own[0], torch.randn(16, WIDTH)) // 16
    print(
        f"{name:18} {len(own):2} x {stored[name]:10,} bytes, "
        f"{computed[name]:9,} multiplications for each of 16 tokens"
    )
expert_bytes = sum(p.nbytes for p in mixtures[0].experts.parameters()) // E
router_bytes = sum(p.nbytes for p in mixtures[0].router.parameters())


def times(names, n_tokens, turns=10, seconds=0.02):
    """Seconds a call on n_tokens tokens, for each layer one number a turn."""
    inputs = torch.randn(max(2, min(64, 4096 // n_tokens)), n_tokens, WIDTH)
    asked = {name: in_turn(layers[name], inputs) for name in names}
    with torch.inference_mode():
        return time_side_by_side(asked, turns, seconds)


shown = ["small", "mixture", "large"]
alone, few = times(shown, 1), times(shown, 16, seconds=0.05)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "11.many",
    "With 16 tokens at once, a mixture takes several times as long as a dense layer that "
    "does just as many multiplications. And with 1,024 tokens: does it fall further "
    "behind then, or catch up?",
    choices=["it falls further behind", "it stays as far behind", "it catches up"],
)

# %% tags=["measure"]
many = times(["small", "mixture", "mixture, all asked", "large"], 1024, turns=5)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
before, behind = (np.median(took["mixture"] / took["small"]) for took in (few, many))
verdict = (
    "it catches up"
    if behind / before < 0.8
    else "it stays as far behind"
    if behind / before < 1.25
    else "it falls further behind"
)
reveal(
    "11.many",
    verdict,
    says=f"With 16 tokens it takes {before:.1f} times as long as the dense layer, with 1,024 tokens {behind:.1f} times, measured "
    "here. "
    + (
        "With 1,024 it reads every expert, but each weight that is read serves many tokens."
        if verdict == "it catches up"
        else "Another machine may say otherwise: see the claim."
    ),
)

# %% tags=["measure"]
claim(
    "11.1",
    "1,024 tokens take the mixture less than twice as long as the small layer",
    quantity="time (times as long)",
    measured=many["mixture"] / many["small"],
    holds=in_the_median(below(2)),
    control=few["mixture"] / few["small"],
    control_is="16 tokens",
    timed=True,
)

# %% [markdown]
# As a curve, from one token to thousands:

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
batches = [1, 4, 16, 64, 256, 1024, 4096]
times_at = {name: [] for name in shown}
for batch in batches:
    found = times(shown, batch, turns=5 if batch < 1000 else 1)
    for name in shown:
        times_at[name].append(1e6 * np.median(found[name]) / batch)
slower = np.array(times_at["mixture"]) / np.array(times_at["small"])
worst = int(slower.argmax())
full = next((b for i, b in enumerate(batches) if (slower[i:] < 1.5).all()), None)


close = (
    f"from {full:,} on, {full * K // E} an expert, below 1.5 times"
    if full
    else f"at {batches[-1]:,} tokens {slower[-1]:.1f} times"
)
curves(
    {
        "small": Line(batches, times_at["small"], "--", "muted", marker="●"),
        "mixture": Line(batches, times_at["mixture"], marker="●"),
        "large": Line(batches, times_at["large"], "--", "muted", marker="●"),
    },
    x="tokens at once",
    y="microseconds per token",
    log="xy",
    xticks=batches,
    yticks=[10, 100, 1000],
    title=f"The gap is widest at {batches[worst]:,} tokens, where the mixture takes "
    f"{slower[worst]:.1f} times as long as the small layer; {close}",
    note="Measured here, on one thread.",
    height=300,
)

# %% [markdown]
# Read it from left to right, beside the counts. One token: the mixture reads and multiplies as much as the small layer. A
# few tokens: it still multiplies as little, but reads more and more, with sixteen nearly as much as the large one. Many
# tokens: it reads everything, but each weight that is read serves many. Where that makes up for the reading is what the
# title says, in all and for each expert. It is another number on another machine.

# %% tags=["measure"]
claim(
    "11.2",
    "For 1,024 tokens the mixture is more than three times as fast as the large layer",
    quantity="speed (times as fast)",
    measured=many["large"] / many["mixture"],
    holds=in_the_median(above(3)),
    control=many["large"] / many["mixture, all asked"],
    control_is="all experts asked",
    timed=True,
)

# %% [markdown]
# ## A place for every token: the capacity
#
# Many machines like fixed shapes. So a lot of code gives every expert room for a fixed number of tokens: its even part
# times a **capacity factor**. Tokens beyond that are dropped: this expert does nothing for them.


# %%
def my_capacity(n_tokens, n_experts, top_k, factor):
    even_part = n_tokens * top_k / n_experts
    return max(1, int(np.ceil(factor * even_part)))


print("512 tokens:", my_capacity(512, E, K, 1.25), "for each expert")
print("4 tokens:  ", my_capacity(4, E, K, 1.25), "for each expert, never 0")
print(
    "same as the package's:",
    all(
        my_capacity(n, E, K, factor) == capacity(n, E, K, factor)
        for n in (1, 7, 64, 512)
        for factor in (0.5, 1.0, 1.25, 2.0)
    ),
)

# %% [markdown]
# Who has to go? The package keeps the choices with the highest gate weights. We let tokens draw their experts by
# popularity, so that we can make it as uneven as we like.


# %% tags=["measure"]
def route(n_tokens, skew, seed, n_experts=8):
    """Choices (T, K) and gate weights; expert i is asked for like 1 / (i + 1)**skew."""
    generator = torch.Generator().manual_seed(seed)
    popularity = torch.arange(1, n_experts + 1.0) ** -skew
    noise = torch.empty(n_tokens, n_experts).exponential_(generator=generator)
    score = popularity / noise  # its k largest are k draws without replacement
    weights, indices = (score / score.sum(-1, keepdim=True)).topk(K)
    return indices, weights


indices, weights = route(16, 0.5, seeds(1)[0])
room = capacity(16, 8, K, factor=0.5)
fits = kept(indices, weights, 8, room)
within = indices[fits].bincount(minlength=8) <= room
lowest_kept = all(
    weights[(indices == e) & fits].min() >= weights[(indices == e) & ~fits].max()
    for e in indices[~fits].unique()
)
print("no expert has more than its room:", bool(within.all()))
print("nobody was kept before a higher weight:", lowest_kept)

# %% [markdown]
# Pull at the factor, at how uneven the experts' popularity is, and at the number of tokens.


# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
def capacity_bars(indices, fits, room, n_experts=8):
    """Kept choices in the expert's colour, dropped ones as a dashed box behind them."""
    asked = indices.flatten().bincount(minlength=n_experts)
    stays = indices[fits].bincount(minlength=n_experts)
    lost = [f"{n or 'none'} dropped" for n in (asked - stays).tolist()]
    return expert_bars(
        stays.tolist(), lost, room, "Choices of each expert", behind=asked.tolist()
    )


def show_capacity(factor, skew, n_tokens):
    indices, weights = route(n_tokens, skew, seeds(1)[0])
    room = capacity(n_tokens, 8, K, factor)
    fits = kept(indices, weights, 8, room)
    lost = [
        1 - kept(*route(n_tokens, skew, seed), 8, room).float().mean()
        for seed in seeds(10)
    ]
    used = fits.sum() / (8 * room)
    return (
        message(
            f"{1 - fits.float().mean():.0%} of the choices are dropped, and "
            f"{1 - used:.0%} of the room stays empty",
            f"{n_tokens} tokens choose {K} of 8 experts; room for {room} each, the "
            "upright line. Dashed: dropped. Dots: ten draws.",
        )
        + capacity_bars(indices, fits, room)
        + seed_dots({"Dropped": lost})
    )


sweep(
    show_capacity,
    factor=("Capacity factor", [0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 4.0]),
    skew=("Popularity skew", [0.0, 0.25, 0.5, 1.0]),
    n_tokens=("Tokens", [16, 64, 256, 1024]),
)

# %% [markdown]
# With a skew of zero every expert is equally popular. Nothing should be dropped then, should it?


# %% tags=["measure"]
def dropped_part(n_tokens, seed, factor=1.25, skew=0.0):
    indices, weights = route(n_tokens, skew, seed)
    fits = kept(indices, weights, 8, capacity(n_tokens, 8, K, factor))
    return 1 - fits.float().mean().item()


dropped_few = [dropped_part(16, seed) for seed in seeds(100)]
dropped_many = [dropped_part(4096, seed) for seed in seeds(100)]
claim(
    "11.3",
    "With perfectly even popularity and room for a quarter more than the even part, 16 "
    "tokens lose more than 2 % of their choices",
    quantity="choices lost",
    measured=dropped_few,
    holds=above(0.02),
    control=dropped_many,
    control_is="4,096 tokens",
    refutes="A balanced router drops nothing",
)

# %% [markdown]
# Chance is uneven in small numbers. Once more it takes many tokens.
#
# Much code keeps whoever comes first. That has favourites. But it has a virtue: no later token can push an earlier one out.
# Keeping the highest weights lets the future decide, which a model that predicts the next token must not do (lesson 08).
#
# To see it, change the last 10 of 64 tokens, and look at the other 54. With weights that fall with the position, `kept`
# keeps whoever comes first.


# %% tags=["measure"]
def keep(indices, weights, by_position):
    """Which choices are kept at capacity factor 1."""
    if by_position:
        first_highest = torch.arange(float(len(indices)), 0, -1)
        weights = first_highest[:, None].expand(-1, K)
    return kept(indices, weights, 8, capacity(len(indices), 8, K, 1.0))


def an_earlier_choice_changes(seed, by_position):
    before = route(64, 0.5, seed)
    after = [tensor.clone() for tensor in before]
    for tensor, other in zip(after, route(64, 0.5, seed + 500), strict=True):
        tensor[-10:] = other[-10:]
    changes = keep(*before, by_position) != keep(*after, by_position)
    return bool(changes[:-10].any())


for rule in ("by weight", "by position"):
    changes = [an_earlier_choice_changes(s, rule == "by position") for s in seeds(20)]
    print(f"{rule:12} in 20 draws, some earlier choice changes: {any(changes)}")

# %% [markdown]
# And the favourites?


# %% tags=["measure"]
def late_minus_early(seed, by_position):
    """Dropped part of the last quarter of the tokens minus that of the first."""
    indices, weights = route(512, 0.5, seed)
    drops = 1 - keep(indices, weights, by_position).float()
    return float(drops[-128:].mean() - drops[:128].mean())


claim(
    "11.4",
    "Keeping whoever comes first drops more late choices than early ones: the last "
    "quarter loses 10 points more than the first",
    quantity="late losses beyond the early ones",
    measured=[late_minus_early(seed, by_position=True) for seed in seeds(20)],
    holds=above(0.1),
    control=[late_minus_early(seed, by_position=False) for seed in seeds(20)],
    control_is="keeping the highest gate weights",
)

# %% [markdown]
# ## The verdict
#
# The three columns are layers in turn on one thread, with more and more tokens; no phone and no graphics processor was
# measured. What is used is counted, what it takes is timed on this machine.

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output", "11.many"]
of_large = f"{stored['mixture'] / stored['large']:.0%} (10.5)"


def ratio(found, name, other, digits=1):
    return f"{np.median(found[name] / found[other]):.{digits}f}"


def used(batch):
    """The part of the large layer's weights that this many tokens ask for."""
    asked = distinct_experts(E, K, batch) * expert_bytes + router_bytes
    return f"{asked / stored['large']:.0%}"


table(
    ["the mixture", "edge: 1 token", "workstation: 16", "data centre: 1,024"],
    {
        "memory when loaded, of large's": [of_large] * 3,
        "weights used, of large's": [used(batch) for batch in (1, 16, 1024)],
        "multiplications, of large's": [
            f"{computed['mixture'] / computed['large']:.0%}"
        ]
        * 3,
        "time, of large's": [
            f"{ratio(alone, 'mixture', 'large', 2)} (10.1)",
            f"{ratio(few, 'mixture', 'large', 2)} (10.4)",
            f"{ratio(many, 'mixture', 'large', 2)} (11.2)",
        ],
        "time, times small's": [
            f"{ratio(alone, 'mixture', 'small')} (10.2)",
            f"{ratio(few, 'mixture', 'small')} (10.3)",
            f"{ratio(many, 'mixture', 'small')} (11.1)",
        ],
    },
    title="What the mixture needs of the large layer's memory, weights, multiplications "
    "and time",
    note="Measured on this page; in brackets the claim that carries it, here or in "
    "lesson 10. Weights do not depend on the batch, so the memory was counted once.",
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("11")

# %% [markdown]
# ## Try it
#
# 1. Take the capacity factor that loses next to nothing with 1,024 tokens and an even popularity. What does it lose
#    with 16?
#
# ## Recap
#
# - Many tokens: the mixture reads everything, and each weight serves many. The claims say what this is in time.
# - Capacity drops tokens by chance even under perfect balance, if they are few. Keeping the highest weights lets later
#   tokens decide about earlier ones; keeping whoever comes first drops the late ones.
#
# **Sources.** Capacity: [Fedus et al. 2021](https://arxiv.org/abs/2101.03961), equation 3; with k, and experts over machines:
# [Lepikhin et al. 2020](https://arxiv.org/abs/2006.16668). Keeping the highest weights:
# [Riquelme et al. 2021](https://arxiv.org/abs/2106.05974), section 4. Reading against computing:
# [Williams et al. 2009](https://doi.org/10.1145/1498765.1498785). Batches that requests join and leave:
# [Yu et al. 2022](https://www.usenix.org/conference/osdi22/presentation/yu). Few machines for a token:
# [DeepSeek-V3 2024](https://arxiv.org/abs/2412.19437), section 2.1.2.

# %% [markdown]
# ## Further
#
# ### A fleet, latency against load
#
# In a data centre requests come at random, and a step of the model makes one token for everybody who is there. Between two
# steps, requests that are done leave, and waiting ones join (**continuous batching**). We simulate such a fleet: four
# machines, four experts on each. A step waits for the busiest machine. The numbers are made up, round, and on the page, so
# that you can put in your own:
#
# - **Read.** Reading an expert's weights takes 1 ms.
# - **Compute.** One token in one expert takes 10 µs. An expert takes the longer of the two, reading or computing.
# - **Rest.** Everything else takes 2 ms a step.
# - **Length.** A request wants 32 tokens on average, and at most 1,024 requests share a step.
#
# Left out are sending tokens between the machines, prompts, and that attention costs more with more requests. All three
# make a large batch dearer than here.
#
# Is the simulation right? Where queueing theory has a formula, it has to agree. One server, one request at a time, every
# service one second, at 60 % load: the mean wait is $\rho / (2 (1 - \rho))$ seconds.

# %% tags=["measure"]
queue = serve(0.6, lambda n, rng: 1.0, 0, n_requests=100_000, n_tokens=1, max_batch=1)
wait, theory = queue.latency.mean() - 1, 0.6 / (2 * (1 - 0.6))
print("wait agrees with theory within 5 %:", abs(wait / theory - 1) < 0.05)

# %% [markdown]
# Now the fleet. When is an expert full there, and how many requests a second can a fleet serve, if its steps are full?

# %% tags=["measure"]
READ, COMPUTE, REST = 1e-3, 1e-5, 2e-3  # seconds
LENGTH, TOGETHER = 32, 1024  # tokens of a request, requests in a step
OWNER = [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4  # the machine of each expert


def dense_step(n_experts):
    """A dense model of as many weights as these experts, split evenly over four."""
    return lambda n, rng: REST + n_experts * max(READ, n * COMPUTE) / 4


def mixture_step(popularity, owner):
    return expert_step(popularity, owner, K, base=REST, read=READ, compute=COMPUTE)


even, four_popular = [1] * E, [4] * 4 + [1] * 12
fleets = {
    "small": dense_step(K),
    "mixture": mixture_step(even, OWNER),
    "large": dense_step(E),
    "popular together": mixture_step(four_popular, OWNER),
    "popular apart": mixture_step(four_popular, [0, 1, 2, 3] * 4),
}
print(f"an expert is full with {round(READ / COMPUTE)} tokens")
ceiling = {}
for name, step in fleets.items():
    full_step = step(TOGETHER, np.random.default_rng(seeds(1)[0]))
    ceiling[name] = TOGETHER / LENGTH / full_step
    print(f"{name:16} serves at most {ceiling[name]:5,.0f} requests a second")


def latency(name, rate, seed, n_requests=4000):
    """Mean seconds from a request's arrival to its last token."""
    served = serve(
        rate,
        fleets[name],
        seed,
        n_requests=n_requests,
        n_tokens=LENGTH,
        max_batch=TOGETHER,
    )
    return served.latency.mean()


def large_over_mixture(rate):
    """How many times as long a request takes the large model, seed by seed."""
    return [
        latency("large", rate, s, 500) / latency("mixture", rate, s, 500)
        for s in seeds(10)
    ]


# %% tags=["measure"]
claim(
    "11.5",
    "At 4 requests a second, the simulated large model takes more than 1.4 times as "
    "long for a request as the mixture",
    quantity="time of a request (times as long)",
    measured=large_over_mixture(4),
    holds=above(1.4),
    control=large_over_mixture(100),
    control_is="100 requests a second",
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
rates = [4, 16, 64, 250, 650, 1000, 2000, 3000, 4000]
lines = {
    "small": ("small", "--", "muted"),
    "mixture": ("mixture", "-", "text"),
    "popular together": ("mixture, popular\nexperts together", ":", "text"),
    "large": ("large", "--", "muted"),
}
waits = {
    name: [
        latency(name, rate, seeds(1)[0], 4000 if rate > 200 else 500) for rate in rates
    ]
    for name in lines
}


times_large = np.array(waits["large"]) / np.array(waits["mixture"])
told = [f"{times_large[rates.index(rate)]:.1f} times" for rate in (4, 250, 650)]
curves(
    {
        label: Line(rates, waits[name], dash, role)
        for name, (label, dash, role) in lines.items()
    },
    x="requests a second",
    y="seconds a request",
    log="xy",
    xticks=[4, 16, 64, 250, 1000, 4000],
    yticks=[0.1, 0.2, 0.5, 1, 2],
    title=f"The large model takes {told[0]} as long as the mixture at 4 requests a "
    f"second, {told[1]} at 250, and {told[2]} at 650",
    note=(
        "A simulated fleet of four machines, from the numbers above. Mean time from a "
        "request's arrival to its last token. Beyond "
        f"{ceiling['large']:,.0f} requests a second the large model is overloaded, and "
        f"the popular experts together beyond {ceiling['popular together']:,.0f}: the "
        "times there are those of 4,000 requests, and more would make them longer."
    ),
    height=360,
)

# %% [markdown]
# At a low rate the mixture reads few experts. In the middle it reads all of them, and is no faster than the large model
# (the control of 11.5). Under a heavy load reading is shared by so many tokens that arithmetic decides, and there the
# mixture has less to do: look at how many requests the fleets above can serve, and where the lines part again.
#
# A fleet that gets more requests than it can serve has no mean latency: the queue grows for as long as requests come. So
# we do not compare latencies there, but send twice as many requests at the same rate, and see who falls behind.


# %% tags=["measure"]
def growth(name, rate):
    """Mean latency of 8,000 requests as a multiple of that of 4,000, seed by seed."""
    return [latency(name, rate, s, 8000) / latency(name, rate, s) for s in seeds(10)]


claim(
    "11.6",
    "At 1,500 requests a second, twice as many requests make the large model's mean "
    "latency more than 1.3 times as long: it falls behind",
    quantity="latency after twice as many requests (times as long)",
    measured=growth("large", 1500),
    holds=above(1.3),
    control=growth("mixture", 1500),
    control_is="the mixture at the same rate",
)

# %% [markdown]
# Now suppose that four experts are four times as popular as the others. Does it matter where they live?

# %% tags=["measure"]
claim(
    "11.7",
    "At 3,000 requests a second, a mixture with its four popular experts on one machine "
    "falls behind: twice as many requests make its mean latency more than 1.25 times as "
    "long",
    quantity="latency after twice as many requests (times as long)",
    measured=growth("popular together", 3000),
    holds=above(1.25),
    control=growth("popular apart", 3000),
    control_is="the popular experts on four machines",
)

# %% [markdown]
# In the cell that begins with `READ, COMPUTE`, set `READ` to nearly zero, then `COMPUTE` instead, and run the fleet's cells
# again. In which of the two is the mixture no better than the large model, and in which as good as the small one? A claim
# may fail: that is the answer.

# %% [markdown]
# ### More than one machine
#
# When the experts live on several machines, tokens have to travel to them, and the answers back. This is **expert
# parallelism**. Every machine sends to every other, twice in each layer: tokens out (**dispatch**), answers back
# (**combine**). The field calls this exchange **all-to-all**. The package does it with `torch.distributed`: here it starts
# four processes, each with two of eight experts and tokens of its own, and compares them with one process that has
# everything.

# %% tags=["measure"]
result = run(ranks=4, tokens=256, seed=seeds(1)[0])
print("outputs equal one process to 1e-6:  ", result.forward_difference < 1e-6)
print("gradients equal one process to 1e-6:", result.gradient_difference < 1e-6)
print("every choice arrived:", int(result.traffic.sum()) == sum(result.tokens) * 2)


# %% tags=["measure"]
def leaves(traffic):
    """Which part of the choices goes to another machine."""
    return float(1 - traffic.diagonal().sum() / traffic.sum())


claim(
    "11.8",
    "With the experts spread over four machines, about three quarters of all choices "
    "leave their machine, within five points",
    quantity="choices that leave their machine",
    measured=leaves(result.traffic),
    holds=in_every_seed(between(0.7, 0.8)),
    control=leaves(run(ranks=2, tokens=256, seed=seeds(1)[0]).traffic),
    control_is="two machines",
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
traffic = result.traffic.numpy()


def draw(figure, theme):
    axes = figure.add_subplot()
    shades = [look.color(name, theme) for name in ("ground", "border")]
    depths = LinearSegmentedColormap.from_list("traffic", shades)
    axes.imshow(traffic, cmap=depths, vmin=0, vmax=2 * traffic.max())
    for (sender, receiver), number in np.ndenumerate(traffic):
        weight = "bold" if sender == receiver else "normal"
        place = {"ha": "center", "va": "center", "weight": weight}
        axes.text(receiver, sender, number, **place)
    ends = range(len(traffic))
    axes.set_xticks(ends, [f"to {r}" for r in ends])
    axes.set_yticks(ends, [f"from {r}" for r in ends])
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)


picture(
    draw,
    title=f"{leaves(result.traffic):.0%} of the choices travel to another machine",
    note=(
        "Choices that one machine sends to the experts of another; machine 0 owns the "
        "experts 0 and 1, and so on. Bold: they stay at home."
    ),
    alt=(
        "Of the choices of each machine's tokens, these many stay at home: "
        f"{', '.join(map(str, traffic.diagonal()))} of {traffic.sum(1).max()}."
    ),
    height=340,
)

# %% [markdown]
# A token that may choose among all experts finds about a quarter of them at home. DeepSeek-V3 limits how many machines a
# token may visit (`n_groups` and `top_groups` in the package's `Router`).
