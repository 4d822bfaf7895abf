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
# # 11 At scale
#
# 45 minutes. You leave able to say how many tokens must come at once before a mixture computes for longer than it reads, what a
# limit on its experts drops, what a request costs, and what happens when the experts live on many machines.
#
# In lesson 10 one person waited for one token. In a data centre thousands wait at once, and a weight that is read once
# serves many of them. The post from which this course was made has two sentences about it (S. Desai, 14 January 2024):
#
# > "At an enterprise scale, MoE provides a fraction of inference cost since a single expert does the processing instead of
# > a whole standard model."
# >
# > "However, a high volume of requests is needed for this efficient batching and routing."
#
# We begin with the second. How high?

# %% tags=["setup"]
# Setup: what this lesson uses.
import math
from bisect import bisect
from functools import cache
from itertools import product

import numpy as np
import torch
from torch import nn

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import MixtureOfExperts, Router, switch_loss
from moe_tutorial.show import (
    Line,
    bars,
    curves,
    expert_bars,
    is_narrow,
    look,
    message,
    picture,
    sweep,
    table,
)
from moe_tutorial.study import (
    above,
    between,
    bytes_per_token,
    claim,
    count_parameters,
    digits4,
    distinct_experts,
    in_the_median,
    multiplications_per_token,
    published,
    put_aside,
    seeds,
    train,
)
from moe_tutorial.study.systems import parallel, serving
from moe_tutorial.study.timing import beyond_cache, in_turn, time_side_by_side

torch.set_num_threads(1)  # times are compared on one thread
E, K = 16, 2

# %% [markdown]
# ## One token, a few, a thousand
#
# Three layers, all of plain PyTorch:
#
# - The **mixture** has 16 experts, and asks 2 of them for each token.
# - The **small** dense layer is as wide as two experts. For a token it multiplies as much as the mixture.
# - The **large** dense layer is as wide as all sixteen. It keeps as many weights as the mixture.
#
# We use several of each in turn, as a model does. So the weights come from memory, not from a cache.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "11.worst",
    "For each token the mixture multiplies as much as the small layer. With how many "
    "tokens at once is it slowest, compared with the small layer?",
    choices=["1 token", "16 tokens", "256 tokens", "1,024 tokens"],
)

# %% tags=["measure"]
# Measured: three layers, from one token at once to a thousand.
WIDTH, HIDDEN = 512, 1024


def dense(width):
    return nn.Sequential(
        nn.Linear(WIDTH, width, bias=False),
        nn.ReLU(),
        nn.Linear(width, WIDTH, bias=False),
    )


class Mixture(nn.Module):
    """Sorts the tokens by expert, asks each expert once, and adds the answers up."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, E, bias=False)
        self.experts = nn.ModuleList(dense(HIDDEN) for _ in range(E))

    def forward(self, x):
        weights, chosen = self.router(x).softmax(-1).topk(K)
        order = chosen.flatten().argsort()
        counts = chosen.flatten().bincount(minlength=E).tolist()
        parts = zip(self.experts, x[order // K].split(counts), strict=True)
        answers = torch.cat([expert(own) for expert, own in parts if len(own)])
        weighted = answers * weights.flatten()[order, None]
        return torch.zeros_like(x).index_add_(0, order // K, weighted)


torch.manual_seed(seeds(1)[0])
kinds = {
    "small": lambda: dense(K * HIDDEN),
    "mixture": Mixture,
    "large": lambda: dense(E * HIDDEN),
}
layers = {name: beyond_cache(build, 100 * 2**20) for name, build in kinds.items()}


def times(n_tokens, names=("small", "mixture", "large"), runs=1):
    """Seconds a call on n_tokens tokens: for each layer the fastest of ten calls, run by run."""
    inputs = torch.randn(max(2, min(64, 4096 // n_tokens)), n_tokens, WIDTH)
    with torch.inference_mode():
        asked = {name: in_turn(layers[name], inputs) for name in names}
        calls = time_side_by_side(asked, 10 * runs, seconds=0)
    return {name: each.reshape(runs, 10).min(1) for name, each in calls.items()}


TOKENS = (1, 4, 16, 64, 256, 1024)
took = {n: times(n, runs=3 if n < 100 else 1) for n in TOKENS}


def over(n, other):
    """How many times as long as another layer the mixture takes with n tokens."""
    return float(took[n]["mixture"].min() / took[n][other].min())


# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
behind = {n: over(n, "small") for n in (1, 16, 256, 1024)}
worst = max(behind, key=behind.get)
read = distinct_experts(E, K, 16)
longer = float(took[16]["small"].min() / took[1]["small"].min())
why = {
    1: "It reads as much; router and calls come on top.",
    16: f"About {read:.0f} experts are read, {read / K:.0f} times as much. "
    f"But the small layer, too, takes {longer:.1f} times as long as with 1: it computes more.",
    256: f"All {E} are read, and each serves {256 * K // E} tokens.",
    1024: f"Reading counts little: each expert serves {1024 * K // E}.",
}
reveal(
    "11.worst",
    f"{worst:,} token{'s' if worst > 1 else ''}",
    says="\n\n".join(
        f"{n:,} token{'s' if n > 1 else ''}: {behind[n]:.1f} times{' as long as the small layer' if n == 1 else ''}. {why[n]}"
        for n in sorted({1, 16, worst, 1024})
    )
    + (
        ""
        if worst == 16
        else "\n\nBy reading and computing together, 16 should be the worst."
    ),
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the mixture beside both dense layers.
over_small, over_large = (
    [over(n, name) for n in TOKENS] for name in ("small", "large")
)
peak = int(np.argmax(over_small))
curves(
    {
        "over small": Line(TOKENS, over_small, marker="●"),
        "over large": Line(TOKENS, over_large, color="muted", marker="●"),
    },
    x="tokens at once",
    y="mixture's time / dense layer's",
    log="xy",
    xticks=TOKENS,
    yticks=[0.1, 0.2, 0.5, 1, 2, 5],
    title=f"Of these, the mixture is slowest with {TOKENS[peak]:,} at once: it takes {over_small[peak]:.1f} times as long as the small layer",
    note="Below 1 the mixture is faster than the dense layer.",
    height=320,
)

# %% [markdown]
# ## When does a mixture compute for longer than it reads?
#
# A dense layer reads its weights once, however many tokens come, and computes with them for each token. With few tokens it
# mostly waits for its weights, with many for its arithmetic.
#
# Say that a machine does $F$ floating-point operations (FLOP) while it reads one byte. A weight has $b$ bytes, so it does $F b$ FLOP while
# it reads a weight. A token takes 2 FLOP with this weight. So with $F b / 2$ tokens, computing takes as long as reading.
#
# An expert is such a layer, too. But of $T$ tokens it gets only $T k / E$, on average.
#
# **Your turn.** How many tokens does a mixture need, so that computing takes as long as reading all its experts?


# %% tags=["exercise"]
def crossing(n_experts, top_k, flop_per_byte, bytes_a_weight):
    """numbers -> tokens at once with which
    reading all experts takes as long as computing."""
    ### BEGIN SOLUTION
    return n_experts / top_k * flop_per_byte * bytes_a_weight / 2
    ### END SOLUTION


# %%
crossing = check("11.crossing", crossing)

# %% [markdown]
# Is it true on your machine? Two timings of the small layer, with 1 and with 256 tokens, say how fast it reads and computes. From this
# your `crossing` predicts how many tokens the mixture needs.
#
# Then we time the mixture itself, with 64 and more tokens. A line through these times has a fixed part (reading, and the calls
# themselves) and a part for each token. With how many tokens has the second part grown as large as the first?

# %% tags=["measure"]
# Claim 11.1.
SMALL, MIXTURE = (1, 256), (64, 256, 1024)  # tokens
# With few tokens all three take turns, so that weights come from memory.
small = times(1, runs=10)["small"], times(256, ["small"], runs=10)["small"]
mixture = [times(64, runs=10)["mixture"]]
mixture += [times(n, ["mixture"], runs=10)["mixture"] for n in MIXTURE[1:]]
WEIGHTS = 2 * WIDTH * K * HIDDEN  # of the small layer, 4 bytes each


def read_and_compute(took, tokens):
    """Of a time that grows with the tokens: its fixed part, and that of each token."""
    took = np.array(took)
    a_token, fixed = np.polyfit(tokens, took, 1, w=1 / took.mean(1))
    return fixed, a_token


reads, computes = read_and_compute(small, SMALL)
bytes_a_second, flop_a_second = 4 * WEIGHTS / reads, 2 * WEIGHTS / computes
flop_per_byte = flop_a_second / bytes_a_second
predicted = crossing(E, K, flop_per_byte, 4)
fixed, a_token = read_and_compute(mixture, MIXTURE)
measured = fixed / a_token
ratios = measured / predicted
ratio = np.median(ratios)
claim(
    "11.1",
    "A mixture needs as many tokens as the formula says, within a factor of two, before computing takes as long as reading",
    quantity="measured over predicted, median of the runs (times)",
    measured=ratio,
    holds=in_the_median(between(0.5, 2)),
    n_seeds=len(measured),
    control=np.median(measured / (flop_per_byte * 4 / 2)),
    control_is="predicted for a dense layer, without E / k",
    timed=True,
)


# %% [markdown]
# And a published model in a data centre, on NVIDIA's H100, a graphics processor (GPU)? We count 2 bytes a weight.

# %% tags=["measure"]
# Given: the data sheet of the H100, and the configs of published models.
FLOPS, BANDWIDTH, MEMORY = 989e12, 3.35e12, 80e9  # a second, a second, bytes
models = {model.name: model for model in published()}


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: this mixture here, and published models on an H100.
def on_h100(name):
    """A row of the table: experts asked, and the tokens that they need."""
    design = models[name].choices
    E, K = design.num_experts, design.num_experts_per_tok
    return [f"{K} of {E}", f"{crossing(E, K, FLOPS / BANDWIDTH, 2):,.0f}"]


shown = ["Mixtral 8x7B", "Qwen3-30B-A3B", "DeepSeek-V3"]
DENSE = crossing(1, 1, FLOPS / BANDWIDTH, 2)
ours = {
    "a dense layer, here": ["1 of 1", f"{np.median(predicted) * K / E:,.0f}"],
    "our mixture, here": [f"{K} of {E}", f"{np.median(predicted):,.0f}"],
    "a dense layer, on an H100": ["1 of 1", f"{DENSE:,.0f}"],
}
table(
    ["", "experts asked", "tokens at once"],
    ours | {name: on_h100(name) for name in shown},
    title=f"DeepSeek-V3 needs {on_h100('DeepSeek-V3')[1]} tokens at once before computing takes as long as reading its experts",
    note=f"By the formula. For our mixture {np.median(measured):,.0f} were measured"
    + (
        f", {np.median(measured) / np.median(predicted):.1f} times as many: calls, and probably slower small products, come on top. "
        if ratio > 1
        else ". "
    )
    + f"The others are on an H100, which does {FLOPS / BANDWIDTH:.1f} FLOP per byte by its data sheet. Here it is {np.median(flop_per_byte):.1f}.",
)

# %% [markdown] tags=["11.worst"]
# The first row explains the peak of the first picture. Up to about so many tokens the small layer mostly waits for its weights, while
# the mixture reads more and more experts. Beyond, the small layer's time grows with each token.
#
# A model reads a prompt all at once (**prefill**). Then it writes the answer step by step (**decode**): each step makes one token for
# each user. So in decode, that many tokens at once are that many users.
#
# *"A high volume of requests is needed"*: yes, to keep the experts busy. One user gains only beside a large dense model, as only $k$
# experts are read.

# %% [markdown]
# ## What does a request cost?
#
# Back to *"a fraction of inference cost"*. Whoever runs a model pays for its GPUs, busy or not. A **replica** is one copy of a model, on
# `gpus` GPUs. It can serve `most` requests a second. If more come, another replica is rented.
#
# **Your turn.** Each second `rate` requests come, and each rented GPU is paid for one second. How many **GPU-seconds** does one
# request cost?


# %% tags=["exercise"]
def price(rate, most, gpus):
    """Requests a second, those that a replica can serve, its GPUs
    -> GPU-seconds a request."""
    ### BEGIN SOLUTION
    replicas = math.ceil(rate / most)
    return replicas * gpus / rate
    ### END SOLUTION


# %%
price = check("11.price", price)

# %% [markdown]
# ## Is the mixture cheaper?
#
# We compare the **mixture** Mixtral 8x7B with a **large** dense model of as many weights. All is computed, and this is assumed:
#
# | | |
# |---|---|
# | a replica | is one server with eight H100s, and full when contexts fill its memory |
# | a request | has 1,000 tokens of context, kept in memory (a **key-value cache**), and wants an answer of 100 tokens |
# | a step | makes one token for each request; then finished ones leave and waiting ones join (**continuous batching**) |
# | its time | max(reading weights, computing) + reading contexts, by the data sheet |
# | left out | the answer's own context, and what GPUs send each other |


# %% tags=["measure"]
# Computed: how long a step takes on an H100, from its data sheet and a model's config.
def step(config, users, context, gpus):
    """Milliseconds that a step takes: reading weights, computing with them, reading contexts.

    A context is computed with while it is read, which takes longer.
    """
    whole = users * bytes_per_token(config, users, context)
    weights = users * bytes_per_token(config, users)
    flop = 2 * users * multiplications_per_token(config)
    work = weights / BANDWIDTH, flop / FLOPS, (whole - weights) / BANDWIDTH
    return [1e3 * seconds / gpus for seconds in work]


def length_of(parts):
    """A GPU reads weights and computes at once, so the longer counts; contexts come on top."""
    reading, computing, context = parts
    return max(reading, computing) + context


# %% tags=["measure"]
# Computed: how many requests a replica serves.
CONTEXT, LENGTH, GPUS = 1_000, 100, 8
MIXTRAL = models["Mixtral 8x7B"].config
A_CONTEXT = bytes_per_token(MIXTRAL, 1, CONTEXT) - bytes_per_token(MIXTRAL, 1)


def dense_of(experts):
    """Mixtral with one expert that is as wide as so many."""
    width = experts * MIXTRAL["intermediate_size"]
    one = {"num_local_experts": 1, "num_experts_per_tok": 1}
    return MIXTRAL | one | {"intermediate_size": width}


served = {"mixture": MIXTRAL, "large": dense_of(8)}


def takes(config, n, gpus=GPUS, context=CONTEXT, lasts=length_of):
    """Seconds that a request takes, if n share each step."""
    return LENGTH * lasts(step(config, n, context, gpus)) / 1e3


def together(config, gpus=GPUS, seconds=math.inf, context=CONTEXT, **how):
    """Requests that share a step: as many as find room, if each may take so long."""
    free = gpus * MEMORY - 2 * count_parameters(config).total
    room = range(1, int(free / A_CONTEXT * CONTEXT / context) + 1)
    return bisect(room, seconds, key=lambda n: takes(config, n, gpus, context, **how))


def most(config, gpus=GPUS, seconds=math.inf, context=CONTEXT, **how):
    """Requests a second that one replica serves, if each may take so long."""
    n = together(config, gpus, seconds, context, **how)
    return n / takes(config, n, gpus, context, **how) if n else 0.0


def dearer(**how):
    """How many times as much as the mixture the large model costs, in full replicas."""
    return most(served["mixture"], **how) / most(served["large"], **how)


full = {name: most(config) for name, config in served.items()}
FEW = 100  # requests a second, of which so many share a step of the mixture
sharing = next(n for n in range(1, together(MIXTRAL)) if n / takes(MIXTRAL, n) >= FEW)
alike = [takes(config, sharing) for config in served.values()]

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "11.sooner",
    f"A full replica serves {full['large']:,.0f} requests a second with the large model, {full['mixture']:,.0f} with the mixture. But "
    f"only {FEW} a second come. By your `price`, a request then costs {price(FEW, full['large'], GPUS):.2f} GPU-seconds with the large model, "
    f"{price(FEW, full['mixture'], GPUS):.2f} with the mixture. Which answers sooner?",
    choices=[
        "the mixture, in about a quarter of the time: a quarter of the experts is asked",
        "the mixture, in about half of the time",
        "neither",
    ],
)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was computed.
part = alike[0] / alike[1]
reveal(
    "11.sooner",
    "neither"
    if part > 0.8
    else "the mixture, in about half of the time"
    if part > 0.35
    else "the mixture, in about a quarter of the time: a quarter of the experts is asked",
    says=f"A request takes {alike[0]:.2f} s with the mixture, {alike[1]:.2f} with the large model. Some {sharing} requests share each step, "
    f"and together they ask {distinct_experts(8, 2, sharing):.1f} of 8 experts"
    + (", so the mixture reads as much.\n\n" if part > 0.8 else ".\n\n")
    + f"One request alone takes {takes(MIXTRAL, 1):.2f} s and {takes(served['large'], 1):.2f}.",
)

# %% [markdown]
# With many requests, replicas are full. What does a full one do in a step of decode, and what in a step of prefill with about as many
# tokens?

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: what a step of a full replica does, in prefill and in decode.
KINDS = {"reading weights": "muted", "computing": "text", "reading contexts": "accent"}
PROMPTS, fit = 4, together(MIXTRAL)  # prompts that are read at once; requests
steps = {
    f"prefill: {PROMPTS * CONTEXT:,} tokens": {
        name: step(each, PROMPTS * CONTEXT, 0, GPUS) for name, each in served.items()
    },
    f"decode: {fit:,} tokens": {
        name: step(each, fit, CONTEXT, GPUS) for name, each in served.items()
    },
}
in_prefill, in_decode = (
    f"{length_of(each['large']) / length_of(each['mixture']):.1f} times"
    for each in steps.values()
)
longest = max(length_of(each) for row in steps.values() for each in row.values())


def show_steps(figure, theme):
    """Reading and computing side by side, then contexts."""
    axes, y, ticks = figure.add_subplot(), 0, {}
    for title, models in steps.items():
        axes.text(0, y, title, va="center")
        for name, parts in models.items():
            y += 1
            ticks[y] = name
            places = (y - 0.2, 0.4, 0), (y + 0.2, 0.4, 0), (y, 0.8, max(parts[:2]))
            for part, place, kind in zip(parts, places, KINDS, strict=True):
                at, high, left = place
                color = look.color(KINDS[kind], theme)
                bar = {"color": color, "linewidth": 0, "label": kind}
                axes.barh(
                    at, part, high, left, **bar if y == 1 else bar | {"label": ""}
                )
            axes.text(length_of(parts), y, f" {length_of(parts):.0f}", va="center")
        y += 1.2
    axes.set_yticks([*ticks], [*ticks.values()])
    axes.set(xlim=(0, 1.1 * longest), ylim=(y - 0.6, -0.6), xlabel="milliseconds")
    columns = 1 if is_narrow(figure) else 3
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, handlelength=1)
    axes.spines["left"].set_visible(False)


picture(
    show_steps,
    title=f"The large model's step takes {in_prefill} as long in prefill, {in_decode} in decode",
    note=f"Computed for a replica: {PROMPTS} prompts of {CONTEXT:,} tokens, or a token for each of {fit:,} requests. Attention within a prompt is left out.",
    alt="Milliseconds of reading weights, computing, contexts. "
    + "; ".join(
        f"{title}, {name}: {', '.join(f'{part:.1f}' for part in parts)}"
        for title, models in steps.items()
        for name, parts in models.items()
    ),
    height=340,
)

# %% [markdown]
# ## What do longer contexts change?
#
# The mixture computes far less. But in decode, both models read the same contexts on top, and in a full replica these fill the memory.
# With 2,000 tokens each, half as many requests find room as with 1,000. Reading their contexts takes equally long.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "11.contexts",
    f"A full replica of eight GPUs holds {fit:,} requests with {CONTEXT:,} tokens of context. Longer contexts leave room for fewer. "
    "From what context on is the mixture no cheaper?",
    choices=["2,000 tokens", "4,000 tokens", "16,000 tokens", "none of these"],
)

# %% tags=["measure"]
# Computed: how many requests a full replica holds, and what part of the price is left.
held = {n: together(MIXTRAL, context=n) for n in (2_000, 4_000, 16_000)}
left = {n: 1 / dearer(context=n) for n in held}
gone = next((n for n in held if left[n] > 0.99), None)


def at_once(parts):
    """Contexts are read while the GPU computes."""
    reading, computing, context = parts
    return max(reading + context, computing)


sooner = next(n for n in held if dearer(context=n, lasts=at_once) < 1.01)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was computed.
reveal(
    "11.contexts",
    f"{gone:,} tokens" if gone else "none of these",
    says=f"A full replica then holds only {fit:,} / 16 = {held[16_000]:,} requests, a token of each at once. A dense layer waits for its weights below {DENSE:.0f}, its crossing. So "
    f"even the large model waits for its weights, and the mixture reads as many.\n\n"
    f"With 4,000 tokens it costs {100 * left[4_000]:.0f} % of the large model's price. Were contexts read while computing, nothing would be "
    f"left from {sooner:,} on (lines below).",
)

# %% [markdown]
# See it: move the context. Then go back, and let fewer requests come.


# %% tags=["draw", "nbval-ignore-output"]
# Sliders: the price of a request, by its context and by how many come.
def show_price(context, rate):
    serves = {name: most(each, context=context) for name, each in served.items()}
    bill = {name: price(rate, each, GPUS) for name, each in serves.items()}
    return message(
        f"Decode costs {100 * bill['mixture'] / bill['large']:.0f} % of the large model's price with the mixture",
        f"{rate:,} requests a second, each with {context:,} tokens of context. In a full replica {together(MIXTRAL, context=context):,} "
        f"share a step. Bars: GPUs to rent, {GPUS} in a replica.",
    ) + bars({n: rate * cost for n, cost in bill.items()}, "GPUs", ["mixture"])


sweep(
    show_price,
    context=("Tokens of context", [1_000, 2_000, 4_000, 16_000]),
    rate=("Requests a second (fewer to the right)", [20_000, 2_000, 1_000, FEW]),
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: what part of the large model's price the mixture costs.
CONTEXTS = (500, 1_000, 2_000, 4_000, 8_000, 16_000)
ways = {"read after": length_of, "meanwhile": at_once}
lines = {
    name: [1 / dearer(context=n, lasts=lasts) for n in CONTEXTS]
    for name, lasts in ways.items()
}
prompts, prompt = (
    np.divide(
        *(length_of(step(each, n * CONTEXT, 0, GPUS)) for each in served.values())
    )
    for n in (PROMPTS, 1)
)
few = np.divide(*(price(FEW, each, GPUS) for each in full.values()))
curves(
    {
        name: Line(CONTEXTS, line, style, color, marker="●")
        for (name, line), style, color in zip(
            lines.items(), ("-", "--"), ("accent", "muted"), strict=True
        )
    },
    x="tokens of context",
    y="mixture's price / large model's",
    log="x",
    xticks=CONTEXTS,
    ylim=(0, 1.05),
    title=f"In decode the mixture costs {100 / dearer():.0f} % of the large model's price with contexts of {CONTEXT:,} tokens, "
    f"{100 * left[16_000]:.0f} % with 16,000",
    note=f"Full replicas (the slider counts whole ones); contexts are read after computing, or meanwhile. In prefill it is {100 * prompts:.0f} % with {PROMPTS} prompts of {CONTEXT:,} "
    f"tokens at once, {100 * prompt:.0f} % with one; in decode with only {FEW} requests a second {100 * few:.0f} %.",
    height=300,
)

# %% [markdown]
# *"A fraction of inference cost"*: true in prefill most of all; in decode while contexts are short; and not at all where as many GPUs
# have to be rented for either model (here: one server of eight). A whole request lies between (*Further*).
#
# We assumed that contexts are read after computing. In each layer the experts wait for attention, which reads them. So this is likelier
# than reading at the same time, unless a GPU works on two batches at once.
#
# Beside a small dense model, which computes as much for a token, the mixture's decode is nowhere cheaper: at 2,000 requests a second it
# costs as much or up to 35 % more; at 100, and contexts of 1,000 tokens, twice as much, as it needs two GPUs to fit (*Further*).
#
# *"Since a single expert does the processing"*: in Mixtral, two of eight do, for one token in one layer. A batch asks all eight.

# %% [markdown]
# ## A place for every token
#
# Machines like fixed shapes. So a lot of code gives each expert **room** for a fixed number of choices: its even share, times a
# **capacity factor**. A choice that finds its expert full is **dropped**: this expert does nothing for that token.
#
# **Your turn.** Choices come token by token, and each expert keeps its first `room` choices. `asked` has a row for each choice, with True
# in its expert's column; `asked.cumsum(0)` counts down each column. Write two lines: each choice's place at its expert (the first has
# place 1), and which choices stay.


# %% tags=["exercise"]
def kept(indices, n_experts, room):
    """indices (T, k) -> whether each choice
    still finds room at its expert, bool (T, k)."""
    choice = indices.flatten()  # in the order in which they come
    asked = choice[:, None] == torch.arange(n_experts)  # (T k, E)
    ### BEGIN SOLUTION
    place = (asked.cumsum(0) * asked).sum(-1)  # at its expert: 1 is the first
    return (place <= room).view_as(indices)
    ### END SOLUTION


# %%
kept = check("11.kept", kept)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "11.dropped",
    "16 tokens choose 2 of 8 equally popular experts each, by chance. Each expert has "
    "room for 5 choices, where 4 are its even share. How many of a hundred choices are "
    "dropped?",
    slider=(0, 40, 1, "of 100"),
)


# %% tags=["measure"]
# Measured: what is dropped, if each token draws its experts by their popularity.
def route(n_tokens, skew, seed, n_experts=8, top_k=2):
    """Choices (T, k) by popularity: expert i is drawn with the weight 1 / (i + 1) ** skew."""
    draw = torch.Generator().manual_seed(seed)
    popularity = torch.arange(1, n_experts + 1.0) ** -skew
    noise = torch.empty(n_tokens, n_experts).exponential_(generator=draw)
    return (popularity / noise).topk(top_k).indices


def lost(n_tokens, draws=20):
    """Per cent of the choices that are dropped: one number for each draw."""
    room = serving.capacity(n_tokens, 8, 2, 1.25)
    found = [route(n_tokens, 0.0, seed) for seed in seeds(draws)]
    return [100 - 100 * kept(d, 8, room).float().mean().item() for d in found]


few_tokens, many_tokens = np.mean(lost(16, draws=500)), np.mean(lost(1024))

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "11.dropped",
    float(few_tokens),
    says=f"With 1,024 tokens it is {many_tokens:.1f}. "
    + (
        "With few choices for each expert, chance spreads them unevenly. With many, it evens out."
        if few_tokens > many_tokens + 1
        else "Chance makes no difference here."
    ),
)


# %% [markdown]
# Where some experts are more popular, more is dropped. *Further* measures how much, and what drops cost.

# %% [markdown]
# ## Experts over machines
#
# The largest mixtures spread each layer's experts over many machines (**expert parallelism**). Each machine sends its tokens to the
# machines of their experts (**dispatch**), and those send the answers back (**combine**). So a step waits for the busiest machine.
#
# Here 64 experts live on 8 machines, 8 on each as they are numbered. Which ones are popular is drawn by chance: at a **skew** of 1 the
# first is drawn with twice the weight of the second, at 0 all are alike. 8,192 tokens ask 4 experts each. A machine's work is the
# number of choices that it gets.
#
# Three cures, by what was asked in the step before:
#
# - **Rearrange**: the most asked expert first, each to the machine that has the least to do so far and still has room.
# - Rearrange with a **ninth place** on each machine, so that a machine with a hot expert can hold fewer others.
# - Put 8 **copies** of the hottest experts into these places. Copies share their expert's tokens.
#
# **Your turn.** Rearrange. Say four experts with loads 10, 3, 2 and 1 go to two machines, two to each. Machine 0 gets the 10, machine 1
# the 3, and the 2, as 3 is less than 10. Now it is full, so the 1 goes to machine 0.
#
# `total` holds each machine's work so far, `held` its experts. Write three lines: the machine that gets `expert`, and what that adds to
# both. Of machines with equally little work, take the first.


# %% tags=["exercise"]
def place(load, machines):
    """How often each expert is asked (E,)
    -> each expert's machine (E,)."""
    room = len(load) // machines
    owner = torch.zeros(len(load), dtype=torch.long)
    total, held = torch.zeros(machines), torch.zeros(machines)
    for expert in load.argsort(descending=True, stable=True):
        ### BEGIN SOLUTION
        machine = torch.where(held < room, total, math.inf).argmin()
        total[machine] += load[expert]
        held[machine] += 1
        ### END SOLUTION
        owner[expert] = machine
    return owner


# %%
place = check("11.place", place)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "11.busiest",
    "At a skew of 1, rearranged without copies: how many times its even share of the work does the busiest machine have?",
    slider=(1, 3, 0.1, "times"),
)

# %% tags=["measure"]
# Measured: the busiest machine, as numbered, rearranged, and rearranged with copies.
EXPERTS, MACHINES, ASKED, COPIES, BATCH = 64, 8, 4, 8, 8192


@cache
def asked(skew, seed, step, n_tokens=BATCH):
    """How often each expert is asked in a step. Which ones are popular is drawn by the seed alone."""
    indices = route(n_tokens, skew, 10 * seed + step, EXPERTS, ASKED)
    order = torch.randperm(EXPERTS, generator=torch.Generator().manual_seed(seed))
    return order[indices].flatten().bincount(minlength=EXPERTS).float()


def four_ways(skew, seed, planned_by=None, **how):
    """As numbered. And by the step before (of another seed): rearranged, with 9 places, with copies in these.

    Of each: whose box it is, an expert's or its copy's; the box's work, over a machine's even share; its machine.
    """
    of = seed if planned_by is None else planned_by
    before, now = asked(skew, of, 1, **how), asked(skew, seed, 2, **how)
    now = now / now.sum() * MACHINES
    every, copies = torch.arange(EXPERTS), torch.ones(EXPERTS)
    for _ in range(COPIES):
        copies[(before / copies).argmax()] += 1
    each = every.repeat_interleave(copies.long())
    with_empty = torch.cat([before, torch.zeros(COPIES)])
    return {
        "as numbered": (every, now, every * MACHINES // EXPERTS),
        "rearranged": (every, now, place(before, MACHINES)),
        "+ ninth place": (every, now, place(with_empty, MACHINES)[:EXPERTS]),
        "+ copies": (
            each,
            (now / copies)[each],
            place((before / copies)[each], MACHINES),
        ),
    }


def busiest(work, owner):
    """Work of the busiest machine, over its even share."""
    return float(torch.zeros(MACHINES).index_add(0, owner, work).max())


def means(drawn):
    """Of each way, the busiest machine in the mean of the draws."""
    return {w: np.mean([busiest(*d[w][1:]) for d in drawn]) for w in drawn[0]}


by_skew = {s: [four_ways(s, seed) for seed in seeds(20)] for s in (0, 0.5, 1)}
at_1 = by_skew[1]
work = {f"skew {s:g}": means(drawn) for s, drawn in by_skew.items()}
CHANGED = "skew 1, others popular"
pairs = [(n, m) for n in seeds(20) for m in seeds(20) if 0 < (m - n) % 20 < 6]
work[CHANGED] = means([four_ways(1.0, n, planned_by=m) for n, m in pairs])
by_chance = means([four_ways(0.0, seed, n_tokens=128) for seed in seeds(20)])

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
numbered, rearranged, spare, copied = work["skew 1"].values()
hottest = np.mean([float(d["rearranged"][1].max()) for d in at_1])
owners = [
    (work.argmax(), owner) for _, work, owner in (d["+ ninth place"] for d in at_1)
]
alone = sum(int((owner == owner[hot]).sum() == 1) for hot, owner in owners)
reveal(
    "11.busiest",
    float(rearranged),
    says=f"As numbered it has {numbered:.2f} times its even share, rearranged {rearranged:.2f}."
    + (
        f" The hottest expert alone has {hottest:.2f} times a machine's even share, and seven more stand beside it."
        if hottest > 1.1
        else ""
    )
    + f"\n\nWith a ninth place it is {spare:.2f}: in {alone} of {len(at_1)} draws the hottest expert stands alone, as the seven other machines "
    f"hold nine each. Only copies split its work: {copied:.2f}.",
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: eight machines and their experts, in one draw.
first, second = sum(
    route(BATCH, 1.0, seed, EXPERTS, ASKED).flatten().bincount(minlength=EXPERTS)[:2]
    for seed in seeds(20)
).tolist()


def show_machines(figure, theme):
    """A column for each machine, a box for each of its experts."""
    rows, columns = (2, 2) if is_narrow(figure) else (1, 4)
    places = figure.subplots(rows, columns, sharey=True, sharex=True)
    for axes, (way, (whose, work, owner)) in zip(
        places.flat, at_1[0].items(), strict=True
    ):
        hot, high, below = whose[work.argmax()], torch.zeros(MACHINES), []
        order = sorted(range(len(whose)), key=lambda n: (whose[n] != hot, -work[n]))
        for box in order:
            below.append(float(high[owner[box]]))
            high[owner[box]] += work[box]
        colors = [
            look.color("accent" if whose[n] == hot else "muted", theme) for n in order
        ]
        edge = {"edgecolor": look.color("ground", theme), "linewidth": 0.7}
        axes.bar(owner[order], work[order], 0.9, below, color=colors, **edge)
        axes.axhline(1, color=look.color("text", theme), linewidth=1, linestyle="--")
        axes.set_title(f"{way}: {high.max():.2f}")
        axes.set(xticks=[], yticks=[0, 1, 2])


shown = {way: busiest(*boxes[1:]) for way, boxes in at_1[0].items()}
picture(
    show_machines,
    title=f"In this draw the busiest of eight machines has {shown['as numbered']:.2f} times its even share, rearranged "
    f"{shown['rearranged']:.2f}, with copies {shown['+ copies']:.2f}",
    note="A column is a machine, a box one of its experts, as high as its work; dashed: the even share. Purple: the hottest expert and its copies. "
    f"At a skew of 1 the first expert has twice the weight of the second, but is asked {first / second:.1f} times as often: no token asks it twice.",
    alt="Busiest machine over its even share: "
    + ", ".join(f"{way} {high:.2f}" for way, high in shown.items()),
    height=210,
    narrow_height=340,
)

# %% tags=["draw", "nbval-ignore-output"]
# Counted: the busiest machine by popularity, and where the popular experts change.
changed = work[CHANGED]
table(
    ["busiest / even share", *work],
    {way: [f"{row[way]:.2f}" for row in work.values()] for way in changed},
    title=f"Where other experts are popular now than in the step before, the busiest machine has {changed['rearranged']:.2f} times its even "
    f"share rearranged, {changed['+ copies']:.2f} with copies, and {changed['as numbered']:.2f} as numbered",
    note=f"Means of 20 draws; of {len(pairs)} pairs of draws where others are popular. At a skew of 0 with 128 tokens in place of {BATCH:,}: {by_chance['as numbered']:.2f} as numbered, "
    f"{by_chance['rearranged']:.2f} rearranged. Below {crossing(EXPERTS, ASKED, FLOPS / BANDWIDTH, 2):,.0f} tokens (the crossing, on H100s) machines wait "
    "for weights, and choices are not time.",
)

# %% [markdown]
# The cures trust the step before. Where other experts become popular, all three are lost (last column). And moving an expert takes time,
# which is not counted here. At a skew of 0 only chance is uneven. The step before does not foretell it, but with more tokens it evens out.


# %% tags=["measure"]
# Claim 11.2.
def without_over_with_copies(skew):
    """The busiest machine's work with nine places, over that with copies in the ninth: a number for each draw."""
    ways = [
        [busiest(*d[way][1:]) for d in by_skew[skew]]
        for way in ("+ ninth place", "+ copies")
    ]
    return np.divide(*ways)


claim(
    "11.2",
    "At a skew of 1 and with nine places on each machine, the busiest has over 1.1 times as much to do without copies of the hottest experts as with eight",
    quantity="work without copies over work with them (times)",
    measured=without_over_with_copies(1),
    holds=above(1.1),
    control=without_over_with_copies(0),
    control_is="skew 0: chance alone",
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("11")

# %% [markdown]
# ## Try it
#
# From which context on does a full replica of Mixtral hold fewer requests than its own crossing asks for? Compute it first, from the
# two numbers that the cell prints. Then set `tokens` to it, rounded up to a hundred.

# %%
tokens = 1_000
needed = crossing(8, 2, FLOPS / BANDWIDTH, 2)
now, before = (together(MIXTRAL, context=tokens - less) for less in (0, 100))
print(f"{tokens:,} tokens: {now:,} requests, crossing {needed:,.0f}.")
if now < needed <= before:
    print("Right. From here on, by the formula, its experts wait for their weights.")

# %% [markdown]
# ## Recap
#
# - By the formula, a mixture needs $E/k$ times as many tokens as a dense layer before computing takes as long as reading.
# - All GPUs that hold the weights are paid for. With full replicas, a mixture's prefill costs about a quarter of that of a dense model of
#   its size, its decode half with contexts of 1,000 tokens, and with 16,000 as much.
# - With few choices for each expert, a limit on the experts drops some by chance alone.
# - With experts on many machines, a step waits for the busiest. As long as the same experts stay popular, rearranging helps, and more
#   with a spare place. Only copies can split the hottest expert's work.
#
# **Sources.** Capacity: [Fedus et al. 2021](https://arxiv.org/abs/2101.03961), equation 3; with k, and experts over machines:
# [Lepikhin et al. 2020](https://arxiv.org/abs/2006.16668); keeping the highest weights in place of the first to come:
# [Riquelme et al. 2021](https://arxiv.org/abs/2106.05974). No drops, and copies of hot experts:
# [DeepSeek-V3 2024](https://arxiv.org/abs/2412.19437), sections 2.1.2 and 3.4. Reading against computing:
# [Williams et al. 2009](https://doi.org/10.1145/1498765.1498785). Batches that requests join and leave:
# [Yu et al. 2022](https://www.usenix.org/conference/osdi22/presentation/yu). Contexts against experts, up to
# where a dense model as good would serve more: [Adhinarayanan and Jayasena 2026](https://arxiv.org/abs/2603.08960).

# %% [markdown]
# ## Further
#
# ### Prompts and answers together
#
# A prompt is read first (prefill), and then the answer is written (decode). How much cheaper is a whole request?

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the price of a whole request, by the length of its answer.
ANSWERS = (100, 1_000, 2_000)
prefill, decode = (
    np.array([GPUS * length_of(models[n]) / each for n in ("large", "mixture")])
    for models, each in zip(steps.values(), (PROMPTS, fit), strict=True)
)  # GPU-milliseconds a prompt and a token
both_parts = [prefill + n * decode for n in ANSWERS]
table(
    ["answer", "prefill", "decode", "together"],
    {
        f"{n:,} tokens": [f"{a / b:.1f}" for a, b in (prefill, decode, each)]
        for n, each in zip(ANSWERS, both_parts, strict=True)
    },
    title=f"A whole request costs {both_parts[0][0] / both_parts[0][1]:.1f} times as much with the large model, and "
    f"{both_parts[1][0] / both_parts[1][1]:.1f} times with answers of {ANSWERS[1]:,} tokens",
    note=f"Computed, with contexts of {CONTEXT:,} tokens. Prompts are read {PROMPTS} at a time, on servers of their own; answers are written in full replicas.",
)

# %% [markdown]
# ### Other replicas, less time, and a small model
#
# Now each model gets replicas of its cheapest size: 1, 2, 4 or 8 GPUs. The **small** model is dense, computes as much for a token as
# Mixtral, and fits on one GPU. Move the seconds.


# %% tags=["draw", "nbval-ignore-output"]
# Sliders: the price of a request, by its context and by how long it may take.
rivals = served | {"small": dense_of(2)}


def cheapest(config, rate, *limits):
    """GPU-seconds a request in replicas of the cheapest size, and their GPUs."""
    serves = {gpus: most(config, gpus, *limits) for gpus in (1, 2, 4, 8)}
    return min((price(rate, each, gpus), gpus) for gpus, each in serves.items() if each)


limits = {
    "seconds": ("Seconds that a request may take", [6.0, 2.0, 1.6, 1.2]),
    "context": ("Tokens of context", [1_000, 500, 2_000, 4_000, 16_000]),
}
to_small = [
    np.divide(*(cheapest(rivals[n], 2000, *limit)[0] for n in ("mixture", "small")))
    for limit in product(*(values for _, values in limits.values()))
]
to_small_few = np.divide(*(cheapest(rivals[n], FEW)[0] for n in ("mixture", "small")))


def show_time(seconds, context):
    found = {n: cheapest(each, 2000, seconds, context) for n, each in rivals.items()}
    bill = {f"{n}, {gpus} a replica": 2000 * cost for n, (cost, gpus) in found.items()}
    return message(
        f"Decode costs {100 * found['mixture'][0] / found['large'][0]:.0f} % of the large model's price with the mixture, "
        f"{100 * found['mixture'][0] / found['small'][0]:.0f} % of the small one's",
        f"2,000 requests a second, each with {context:,} tokens of context, and done within {seconds:g} s. Bars: GPUs to rent. Over all "
        f"settings the mixture costs {100 * min(to_small):.0f} % to {100 * max(to_small):.0f} % of the small model's price; with {FEW} requests a second of "
        f"{CONTEXT:,} tokens, as late as they like, {100 * to_small_few:.0f} %.",
    ) + bars(bill, "GPUs", [*bill][:1])


sweep(show_time, **limits)

# %% [markdown]
# With less time, larger replicas are the cheapest. The mixture never costs less than the small model here. What it costs more has to
# buy quality, which this lesson does not measure.

# %% [markdown]
# ### Room for popular experts
#
# And if some experts are more popular? Expert $n$ is drawn with the weight $1/n^{\text{skew}}$. So at a **skew** of 0 all are alike.
# Move the factor: when is nothing dropped any more, and how much room is empty then?


# %% tags=["draw", "nbval-ignore-output"]
# Sliders: what fits, by the factor and the popularity.
def show_capacity(factor, skew):
    room = serving.capacity(64, 8, 2, factor)
    draws = [route(64, skew, seed) for seed in seeds(100)]
    asked, stays = (
        sum(each.flatten().bincount(minlength=8) for each in chosen) / 100
        for chosen in (draws, [each[serving.kept(each, 8, room)] for each in draws])
    )
    texts = [f"{n:.1f} dropped" for n in (asked - stays).tolist()]
    return message(
        f"{100 * (1 - stays.sum() / 128):.1f} % of the choices are dropped, and "
        f"{100 * (1 - stays.sum() / (8 * room)):.0f} % of the room stays empty",
        f"64 tokens choose 2 of 8 experts; room for {room} each, the upright line. Dashed: dropped. Means of 100 draws.",
    ) + expert_bars(
        stays.tolist(), texts, room, "Choices of each expert", behind=asked.tolist()
    )


sweep(
    show_capacity,
    factor=("Capacity factor", [1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0]),
    skew=("Popularity skew", [1.0, 0.0]),
)

# %% [markdown]
# At a skew of 1 almost nothing is dropped from a factor of 3 on. But then two thirds of the room stay empty, as every expert has as much
# room as the hottest fills. So some models accept drops.

# %% [markdown]
# ### What do drops cost?
#
# We train mixtures on `digits4` (8 experts, one chosen, a Switch loss against unevenness), with room for the even share alone, and with
# room for all. A dropped image is not lost: a **shared expert** sees every image, as a GPT's residual stream still carries a dropped token.

# %% tags=["measure"]
# Claim 11.3.
data, _ = put_aside(digits4("standardised"))


class Limited(Router):
    """A router whose choices count 0 where the expert has no room."""

    def __init__(self, factor):
        super().__init__(64, 8, 1)
        self.factor = factor

    def forward(self, x):
        routing = super().forward(x)
        room = serving.capacity(len(x), 8, 1, self.factor)
        fits = serving.kept(routing.indices, 8, room)
        return routing._replace(weights=routing.weights * fits)


def trained(factor):
    return train(
        lambda: MixtureOfExperts(64, 8, 8, 1, Limited(factor), n_shared=1, d_out=10),
        data,
        seeds(10),
        steps=300,
        penalty=lambda routing, step: 0.1 * switch_loss(routing),
    )


def right(seeds_of, factor):
    """Per cent of the test images that each seed gets right, with this room."""
    seeds_of.model.router.factor = factor
    return 100 * seeds_of.accuracy(data.x_test, data.y_test)


TIGHT, ALL = 1.0, 8.0  # room for the even share, and for all images at every expert
tight, without_limit = trained(TIGHT), right(trained(ALL), ALL)
tight.model.router.factor = TIGHT
dropped = (tight.routing(data.x_test).weights == 0).float().mean()
print(
    f"With room for the even share, {100 * dropped:.0f} % of the test images are dropped."
)
claim(
    "11.3",
    "With room for the even share alone, mixtures on digits4 get over one point less right "
    "than without a limit",
    quantity="accuracy lost (points)",
    measured=without_limit - right(tight, TIGHT),
    holds=above(1),
    control=without_limit - right(tight, ALL),
    control_is="trained with that room, and tested without a limit",
)

# %% [markdown]
# ### A queue
#
# So far requests came as if by a clock. Now they come at random, and want 100 tokens on average. Does a replica, here of two GPUs, still
# serve as many?


# %% tags=["measure", "nbval-ignore-output"]
# Simulated: three times 20,000 requests to one replica of the mixture.
def serve(rate, step_time, seed, n_requests, n_tokens, max_batch):
    """Seconds from each request's arrival to its last token: continuous batching (Orca, Yu et al. 2022). Requests
    arrive at random (Poisson), their lengths are geometric. Between steps some leave, and waiting ones join.
    step_time: requests in the batch -> seconds."""
    rng = np.random.default_rng(seed)
    arrivals = rng.exponential(1.0, n_requests).cumsum() / rate
    left = rng.geometric(1 / n_tokens, n_requests)
    finishes, running, now, coming = np.zeros(n_requests), [], 0.0, 0
    while running or coming < n_requests:
        if not running:
            now = max(now, arrivals[coming])
        while (
            coming < n_requests and len(running) < max_batch and arrivals[coming] <= now
        ):
            running.append(coming)
            coming += 1
        now += step_time(len(running))
        left[running] -= 1
        finishes[[request for request in running if not left[request]]] = now
        running = [request for request in running if left[request]]
    return finishes - arrivals


alone = serve(0.8, lambda n: 1.0, 0, 200_000, 1, 1).mean() - 1
print(f"One by one, each a second, 0.8 a second: they wait {alone:.1f} seconds.")
print(f"The formula for such a queue (M/D/1) says {0.8 / (2 * (1 - 0.8)):.1f}.")
at_most, room = most(MIXTRAL, 2), together(MIXTRAL, 2)
lasting = [0, *(takes(MIXTRAL, n, 2) / LENGTH for n in range(1, room + 1))]
for part in (0.95, 1.0):
    print(
        f"with {100 * part:.0f} % of what it can serve, seconds in each quarter of a run:"
    )
    for seed in seeds(3):
        waited = serve(part * at_most, lasting.__getitem__, seed, 20_000, LENGTH, room)
        print(*(f"{quarter.mean():.1f}" for quarter in np.split(waited, 4)))

# %% [markdown]
# Nearly as many. If as many come as it can serve at most, chance decides: waits differ from run to run, and do not settle.

# %% [markdown]
# ### Dispatch and combine
#
# Each machine sorts its tokens' choices by expert, and says how many will come before it sends them. Every machine sends to every
# other: an **all-to-all**.
#
# **Your turn, if you like.** The sorting.


# %% tags=["exercise", "optional"]
def dispatch(indices, n_experts):
    """indices (T, k) -> the order (T * k,) in which the choices, read token by token, stand
    expert by expert, the earlier token first; and how many each expert gets (E,)."""
    ### BEGIN SOLUTION
    choice = indices.flatten()
    order = choice.argsort(stable=True)
    counts = choice.bincount(minlength=n_experts)
    ### END SOLUTION
    return order, counts


# %%
dispatch = check("11.dispatch", dispatch)

# %% [markdown]
# Two processes stand for two machines. PyTorch's `torchrun` starts them, each with four of eight experts and with tokens of
# its own, and they sort by your `dispatch`. The router prefers the first experts, which live on machine 0.


# %% tags=["measure"]
# Measured: two processes, each with half of the experts, beside one with all of them.
def two_machines():
    """What the two did, and where: here, or when it was stored."""
    options = {"tokens": 2048, "width": 128, "uneven": True, "seed": seeds(1)[0]}
    try:
        return parallel.run(
            2, **options, dispatch=dispatch, timeout=20
        ), "Measured here."
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        return (
            parallel.stored(),
            f"Stored, as two processes could not run here: {reason}.",
        )


both, where = two_machines()
ends = [list(machine.values()) for machine in both.trace]  # of the four parts
slower = max(compute for _, _, compute, _ in ends)
waited = 100 * (slower - ends[1][2]) / ends[1][3]
same = (
    "those of one process, up to rounding"
    if both.forward_difference < 1e-5
    else "not those of one process"
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: who computes when, and who waits for whom.
def timeline(figure, theme):
    axes, room = figure.add_subplot(), 0.28 if is_narrow(figure) else 0.12
    last = max(times[-1] for times in ends)
    for machine, (route, dispatched, computed, combined) in enumerate(ends):
        for name, start, end, fill, ink in (
            ("dispatch", route, dispatched, "muted", "ground"),
            ("compute", dispatched, computed, "text", "ground"),
            ("wait", computed, slower, "line", "text"),
            ("combine", slower, combined, "muted", "ground"),
        ):
            color, ink = look.color(fill, theme), look.color(ink, theme)
            bar = axes.barh(machine, 1e3 * (end - start), 0.6, 1e3 * start, color=color)
            if end - start > room * last:
                axes.bar_label(bar, [name], label_type="center", color=ink)
    axes.set(yticks=[0, 1], yticklabels=["machine 0", "machine 1"])
    axes.set(xlim=(0, 1e3 * last), xlabel="milliseconds")
    axes.invert_yaxis()
    axes.spines["left"].set_visible(False)


picture(
    timeline,
    title=f"Machine 0 computes {both.traffic[:, 0].sum():,} of {both.traffic.sum():,} choices, and machine 1 waits for it",
    note=f"One layer, forwards: dispatch and combine in grey, waiting fainter, here {waited:.0f} % of machine 1's time. "
    f"Tokens of machine 0 make {both.traffic[0].sum():,} of the choices, those of machine 1 {both.traffic[1].sum():,}. The outputs are {same}. {where}",
    alt="Milliseconds until each part of the layer ends: "
    + "; ".join(
        f"machine {n}: "
        + ", ".join(f"{part} {1e3 * end:.1f}" for part, end in machine.items())
        for n, machine in enumerate(both.trace)
    ),
    height=190,
)

# %% [markdown]
# ### Why does an answer depend on its neighbours?
#
# The same question, asked twice at temperature 0, may get two answers: how a sum is split up depends on how many others are in
# the batch, and rounding depends on the order of adding. A dense model's numbers change in the last digit. A router's *choice*
# may change: where two experts score nearly alike, another one answers.
#
# Here a token is the sum of 16 parts, added forwards and backwards. (That exaggerates: a batch changes the order inside each product,
# and less often.) A random router chooses 8 of 128 experts. We count the tokens that get another set of experts, by the tokens'
# rounding, by the router's, and by both.

# %% tags=["measure"]
# Claim 11.4.
D, N_EXPERTS, CHOSEN = 1024, 128, 8


def flipped(token, router, seed):
    """Per cent of 256 tokens that go to other experts if their parts are added backwards; both types of numbers."""
    draw = torch.Generator().manual_seed(seed)
    parts = torch.randn(16, 256, D, generator=draw).to(token)
    rows = torch.randn(N_EXPERTS, D, generator=draw).to(router).float() / D**0.5
    chosen = []
    for order in (parts, parts.flip(0)):
        x = torch.zeros_like(parts[0])
        for part in order:
            x = x + part  # rounded after each part
        logits = (x.float() @ rows.T).to(router)
        chosen.append(logits.topk(CHOSEN).indices.sort(-1).values)
    return 100 * (chosen[0] != chosen[1]).any(-1).float().mean().item()


BF16, F32 = torch.bfloat16, torch.float32
coarse, tokens_alone, router_alone, fine = (
    [flipped(*types, seed) for seed in seeds(10)]
    for types in ((BF16, BF16), (BF16, F32), (F32, BF16), (F32, F32))
)
claim(
    "11.4",
    "In bfloat16, adding the same numbers in another order sends over 2 % of the tokens of "
    "one layer to other experts",
    quantity="tokens with other experts (%)",
    measured=coarse,
    holds=above(2),
    control=fine,
    control_is="float32",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: whose rounding it is.
of_each = {
    "tokens and router": coarse,
    "tokens alone": tokens_alone,
    "router alone": router_alone,
}
table(
    ["in bfloat16", "tokens with other experts"],
    {name: [f"{np.mean(flips):.1f} %"] for name, flips in of_each.items()},
    title=f"The tokens' rounding alone sends {np.mean(tokens_alone):.1f} % of them to other experts, the router's alone "
    f"{np.mean(router_alone):.1f} %",
    note="One layer. What is not in bfloat16 is in float32.",
)

# %% [markdown]
# So a router in float32, which many models have, helps little here. Whoever needs the same answer twice fixes the order of adding, or,
# in reinforcement learning, stores the choices and replays them.
