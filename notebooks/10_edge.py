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
# # 10 At the edge
#
# 45 minutes. You leave able to say how many experts some tokens read, to predict tokens a second from a machine's
# memory, to tell which models run on it, and to say when a cache of experts helps.
#
# On a phone or a laptop, one person waits for one token after the other. S. Desai wrote on 14 January 2024:
#
# > MoE can speed up inference on edge devices like laptops, but won't shrink the model size.
#
# These are two statements, and this lesson judges both. A weight has to come from memory before it can be multiplied. With
# one token, each weight that is read is multiplied once, and processors usually multiply faster than memory delivers. We shall
# measure how much of the time is waiting. So we ask: what is read, and from where?

# %% tags=["setup"]
# Setup: what this lesson uses.
from functools import partial

import numpy as np
import psutil
import torch

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import GPT, GPTConfig, MixtureOfExperts
from moe_tutorial.show import (
    Line,
    bars,
    curves,
    expert_cards,
    interval_chart,
    message,
    sweep,
    table,
)
from moe_tutorial.study import (
    CHARACTERS,
    above,
    between,
    bytes_per_token,
    claim,
    digits4,
    distinct_experts,
    encode,
    estimate,
    in_the_median,
    parameters,
    parts,
    progress,
    published,
    route_text,
    seeds,
    texts,
    train,
    train_gpt,
)
from moe_tutorial.study.environment import interactive
from moe_tutorial.study.estimates import Figure
from moe_tutorial.study.systems.edge import expert_cache, speed
from moe_tutorial.study.timing import in_turn, last_cache, time_side_by_side

torch.set_num_threads(1)  # times are compared on one thread
seed = seeds(1)[0]

# %% [markdown]
# ## What is read
#
# Lesson 08's GPT has two blocks with eight experts each. A token asks for one in each block, so for 2 of the 16. If several
# tokens come at once, an expert is read once, whoever asks for it.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "10.sixteen",
    "Sixteen people write at the same time, so 16 tokens come at once. Each asks for 2 "
    "of 16 experts. How many different experts are read, on average?",
    slider=(2, 16, 0.5, "of 16"),
)

# %% tags=["measure"]
# Measured: train the GPT for some seconds, and count the experts that unseen texts ask for.
data, STEPS = texts(), 300
config = GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128)
torch.manual_seed(seed)
gpt = GPT(config)
run = train_gpt(gpt, data, seed=seed, steps=STEPS, every=50)
list(progress(run, STEPS // 50 + 1, "GPT"))


def experts_of(text):
    """The two of 16 experts that each token asks for: (T, 2)."""
    first, second = route_text(gpt, text)
    return torch.cat([first.indices, second.indices + 8], dim=1)


dice = torch.Generator().manual_seed(seed)
in_a_row = torch.cat([experts_of(text[:8192]) for text in data.test])
streams = {
    "in a row": in_a_row,
    "from anywhere": in_a_row[torch.randperm(len(in_a_row), generator=dice)],
}


def mean_distinct(choices, n, n_experts):
    """Different experts that n tokens ask for, the mean over a stream (T, k)."""
    groups = choices[: len(choices) // n * n].reshape(-1, n * choices.shape[1])
    hit = torch.zeros(len(groups), n_experts).scatter(1, groups, 1.0)
    return hit.sum(1).mean().item()


apart, near = (mean_distinct(streams[s], 16, 16) for s in ("from anywhere", "in a row"))

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "10.sixteen",
    round(apart, 1),
    says=f"{apart:.1f} of 16, on average, if the tokens come from anywhere in the texts. Two tokens may ask for the same expert, "
    f"but sixteen leave few out: {apart / 2:.1f} times as much is read as for one token. "
    f"Sixteen tokens in a row of one text ask for {near:.1f}"
    + (", as neighbours have more in common." if near < apart - 0.5 else "."),
)

# %% [markdown]
# Was that to be expected? If each token drew `k` different experts of `E` at random, there would be a formula. Begin with one
# expert. What is the probability that one token does not ask for it? That none of `n` tokens asks for it? So how many of the `E`
# are asked for, on average? (One of 8 in each of two blocks comes to the same as 2 of 16.)
#
# **Your turn.** One line.


# %% tags=["exercise"]
def distinct(E, k, n):
    """n tokens each draw k of E experts at random -> how many different ones, on average."""
    ### BEGIN SOLUTION
    return E * (1 - (1 - k / E) ** n)
    ### END SOLUTION


# %%
distinct = check("10.distinct", distinct)

# %% [markdown]
# Now move the slider: from one token on a phone, past a few on a workstation, to thousands in a data centre. An expert
# lights up when its weights are read; each row is a block. Two bars grow: what is read, and what is multiplied. Which one stops?
#
# Then switch from tokens *from anywhere* in the texts to tokens *in a row*, neighbours in one text. Which of them does your formula
# describe?

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: tokens at once.
AT_ONCE = [1, 2, 4, 8, 16, 32, 64, 256, 1024, 4096]
means = {
    (s, n): mean_distinct(stream, n, 16)
    for s, stream in streams.items()
    for n in AT_ONCE
}


def tokens_at_once(n, come):
    tokens = streams[come][:n]
    asked = torch.bincount(tokens.flatten(), minlength=16).tolist()
    read = sum(count > 0 for count in asked)
    times = {"read": read / 2, "multiplied": n}  # as much as for one token
    rows = {f"{name}: {by:,g} times": np.log2(by) for name, by in times.items()}
    cards = "".join(
        expert_cards(half, "{:,}".format) for half in (asked[:8], asked[8:])
    )
    where = "phone" if n == 1 else "workstation" if n < 256 else "data centre"
    return (
        message(
            f"{where}, {n:,} token{'s' * (n > 1)}: {read} of 16 experts are read, and each serves {2 * n / read:,.3g} token{'s' * (n > 1)}",
            f"Read on average: {means[come, n]:.1f} for tokens {come}, {distinct(16, 2, n):.1f} by your formula. "
            "A bar's length: how often the amount of one token was doubled.",
        )
        + cards.replace("not asked", "–")
        + bars(
            rows,
            "doublings",
            strong=list(rows)[:1],
            whole=np.log2(AT_ONCE[-1]),
            texts={row: f"{by:.3g} doublings" for row, by in rows.items()},
        )
    )


sweep(
    tokens_at_once,
    n=("Tokens at once", AT_ONCE),
    come=("They come", list(streams)[::-1]),
)

# %% [markdown]
# Soon all experts are read, but the multiplying still grows: with thousands of tokens, each weight that is read serves hundreds of
# them. This lesson is about the left end of the slider, the next one about the right.
#
# Tokens from anywhere nearly follow your formula, and neighbours ask for fewer. (So do those of ten more GPTs: *Further*.)

# %% [markdown]
# ## Tokens a second
#
# A machine's memory has a **bandwidth**: how many bytes it delivers in a second. A token reads all *active* weights: those that
# every token uses, and those of its `k` experts. If reading is the whole cost, that gives the tokens a second.
#
# **Your turn.** Two lines: the active weights, and the tokens a second.


# %% tags=["exercise"]
def tokens_per_second(always, experts, E, k, n_bytes, bandwidth):
    """Tokens a second, if a token's time is that of reading its active weights.

    always: weights that every token uses; experts: weights of all E experts together,
    of which a token uses k; n_bytes: of one weight; bandwidth: bytes a second.
    """
    ### BEGIN SOLUTION
    active = always + experts * k / E
    return bandwidth / (active * n_bytes)
    ### END SOLUTION


# %%
tokens_per_second = check("10.tokens_per_second", tokens_per_second)

# %% [markdown]
# Is reading the whole cost? We time three layers in plain PyTorch, for one token of width 768, with 4 bytes a weight:
#
# - `mixture` has 16 experts and asks for 2;
# - `small` is dense, with as many neurons as two experts, so it reads as much as the mixture;
# - `large` is dense, with as many as all sixteen.
#
# What was read a moment ago may still lie in the processor's **cache**, a small and fast store of its own, and need not come from memory
# again. In a large model that does not happen: before a layer is used again, the others have pushed it out. So we build many
# layers of each sort, and use them in turn.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "10.clock",
    "Your function says: the mixture makes 8 times as many tokens a second as the large "
    "dense layer. And by the clock of this machine?",
    choices=["less than 5 times", "5 to 7 times", "7 to 9 times", "more than 9 times"],
)


# %% tags=["measure"]
# The layers, in plain PyTorch.
def dense(x, w_in, w_out):
    return w_out @ (w_in @ x).relu()


def mixture(x, router, w_in, w_out):
    weights, chosen = (router @ x).softmax(-1).topk(2)
    pairs = zip(weights, chosen.tolist(), strict=True)
    return sum(weight * dense(x, w_in[e], w_out[e]) for weight, e in pairs)


# %% tags=["measure"]
# Measured: layers of three sorts in turn, and beside them how fast memory is read.
CACHE = last_cache()
LARGE = 2 * 16 * 768**2  # weights of a layer of 16 experts, each as wide as the token
N_LAYERS = -(-4 * (CACHE or 2**25) // (4 * LARGE))  # together four times the last cache
N_LAYERS = max(2, min(N_LAYERS, 2**29 // (4 * LARGE)))  # but no more than 512 MB
numbers = torch.empty(N_LAYERS * LARGE)
numbers.uniform_(-0.03, 0.03, generator=torch.Generator().manual_seed(seed))


def layers(width, n_bytes):
    """Layers of each sort, called in turn; `read` reads what a small layer has."""
    large, dtype = 2 * 16 * width**2, {4: torch.float32, 2: torch.bfloat16}[n_bytes]
    pieces = numbers[: len(numbers) // large * large].to(dtype).view(-1, 2, large // 2)
    sorts = {"read": [], "small": [], "mixture": [], "large": []}
    for w_in, w_out in pieces:  # the same numbers, cut in several ways
        cut = {"w_in": w_in.view(-1, width), "w_out": w_out.view(width, -1)}
        sorts["large"].append(partial(dense, **cut))
        cut = {"w_in": w_in.view(16, -1, width), "w_out": w_out.view(16, width, -1)}
        router = torch.randn(16, width).to(dtype) / width**0.5
        sorts["mixture"].append(partial(mixture, router=router, **cut))
        for a, b in zip(w_in.view(8, -1, width), w_out.view(8, width, -1), strict=True):
            sorts["small"].append(partial(dense, w_in=a, w_out=b))
    for piece in pieces.view(-1, large // 8 // width, width):
        sorts["read"].append(partial(torch.mv, piece))
    sorts["from cache"] = sorts["small"][:1]
    tokens = torch.randn(64, width).to(dtype)
    return {(name, width, n_bytes): in_turn(s, tokens) for name, s in sorts.items()}


def reading(name, width, n_bytes):
    """Seconds of reading what one such layer has for a token, by your function, one number a round."""
    large = 2 * 16 * width**2
    always, experts = {"mixture": (16 * width, large), "large": (large, 0)}.get(
        name, (large / 8, 0)
    )
    speeds = [tokens_per_second(always, experts, 16, 2, n_bytes, b) for b in bandwidth]
    return 1 / np.array(speeds)


torch.manual_seed(seed)
took = time_side_by_side(layers(768, 4) | layers(768, 2))  # seconds by round
bandwidth = LARGE / 8 * 4 / took["read", 768, 4]  # bytes a second, one number a round
per_second = np.median(bandwidth)
each_round = took["large", 768, 4] / took["mixture", 768, 4]
faster = np.median(each_round)
beside_small = np.median(took["mixture", 768, 4] / took["small", 768, 4])
filled = 4 * LARGE * N_LAYERS  # bytes

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "10.clock",
    "less than 5 times"
    if faster < 5
    else "5 to 7 times"
    if faster < 7
    else "7 to 9 times"
    if faster < 9
    else "more than 9 times",
    says=f"{faster:.1f} times as many as the large layer, in the median of {len(each_round)} rounds ({each_round.min():.1f} to {each_round.max():.1f}). "
    f"The small layer reads as much as the mixture, but the mixture takes {beside_small:.2f} times as long: presumably the "
    "router, the choice, and a few small products in place of two large ones take time, too.\n\n"
    f"The next picture predicts with {per_second / 1e9:.1f} GB a second. One thread got that when it multiplied a matrix of the small layer's size with a "
    "token. So for the small layer the prediction nearly has to fit; the other layers are the test."
    + (
        " (The layers fill less than three times the cache, so a part may have come from there.)"
        if CACHE and filled < 3 * CACHE
        else ""
    )
    + "\n\n“MoE can speed up inference on edge devices like laptops”: "
    + (
        "our layer is faster than a dense layer of its whole size, but not than one that reads as much."
        if faster > 1.5
        else "on this machine our layer is not faster, not even than a dense layer of its whole size."
    ),
)

# %% [markdown]
# Does a layer wait for its weights, or for the multiplying? `mixture` and `large` cannot tell: the mixture reads an eighth of the
# bytes, but it also makes an eighth of the products. Two tests keep the products as they are:
#
# - *From cache* is *one* `small` layer, called again and again, so its weights may stay in the cache. What it gains was waiting
#   for memory.
# - With *2 bytes a weight*, half is read. If reading were the whole cost, each layer would be twice as fast. (This is the weaker
#   test: some processors multiply 2-byte numbers faster than 4-byte ones, and some slower.)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the time of a layer beside that of reading.
def over_reading(names, width, n_bytes):
    """By sort of layer: its time over that of reading, the median of the rounds."""
    return {
        name: np.median(took[name, width, n_bytes] / reading(name, width, n_bytes))
        for name in names
    }


def draw_over_reading(groups, title, note):
    rows = {
        f"{name}, {group}": Figure(ratio, ratio, ratio, f"{ratio:.2f}")
        for group, sorts in groups.items()
        for name, ratio in sorts.items()
    }
    colors = {row: "accent" for row in rows if row.startswith("mixture")}
    unit = "time over that of reading"
    return interval_chart(rows, title, note, colors=colors, unit=unit, zero=1)


wide = {"4 bytes": over_reading(["large", "mixture", "small"], 768, 4)}
wide["2 bytes"] = over_reading(wide["4 bytes"], 768, 2)
over, over_half = (list(sorts.values()) for sorts in wide.values())
wide["4 bytes"] |= over_reading(["from cache"], 768, 4)
draw_over_reading(
    wide,
    f"A token takes {min(over):.1f} to {max(over):.1f} times as long as reading its weights from memory; with half the bytes, {min(over_half):.1f} to "
    f"{max(over_half):.1f} times",
    f"Layers of width 768, one thread, medians of the rounds. Line: what your function predicts with {per_second / 1e9:.1f} GB a "
    "second. Left of it, the layer got its weights faster than that.",
)

# %% tags=["measure", "nbval-ignore-output"]
# Measured: how much of the time is waiting.
cached = np.median(took["from cache", 768, 4] / took["small", 768, 4])
of_mixture, of_large = (
    np.median(took[name, 768, 2] / took[name, 768, 4]) for name in ("mixture", "large")
)
print(f"From the cache, a small layer still takes {100 * cached:.0f} % of the time.")
print(f"So about {100 * max(0, 1 - cached):.0f} % of it is waiting for memory.")
print(
    f"With half the bytes, the mixture takes {100 * of_mixture:.0f} % of the time, the large layer {100 * of_large:.0f} %."
)
print("If reading were the whole cost, it would be 50 %.")
if of_mixture > 1:
    print("Slower, with less to read: here products of 2-byte numbers are slow.")

# %% tags=["measure"]
# Claim 10.1.
claim(
    "10.1",
    "For one token, a mixture (width 768, plain PyTorch, 4 bytes a weight) needs as long as reading its active bytes takes, "
    "within a factor of 1.5",
    quantity="time over the time of reading (times)",
    measured=took["mixture", 768, 4] / reading("mixture", 768, 4),
    holds=in_the_median(between(0.67, 1.5)),
    control=took["mixture", 768, 4] / reading("large", 768, 4),
    control_is="all its bytes in place of the active ones",
    timed=True,
    refutes="A token takes as long as all of the model is read from memory",
)

# %% [markdown]
# Does the prediction hold for a real model, too? Somebody [timed](https://inventivehq.com/blog/moe-on-cpu-benchmark) four dense
# models and a mixture, Qwen3-30B-A3B, on one desktop processor. If reading is the whole cost, a dense model shows the bandwidth:
# the bytes it reads for a token, times its tokens a second. With the mean of the four, your function predicts the mixture.

# %% tags=["measure"]
# Predicted and measured: a real mixture, from the speed of four dense models.
# Bytes of the file, tokens a second, and the part of the file that is a separate embedding. A
# token reads one row of that, so it is left out. (The two smaller models use one table for
# embedding and output, and read it whole.)
dense_models = [(986e6, 22.4, 0), (1930e6, 11.8, 0)]
dense_models += [(4683e6, 4.9, 0.072), (4921e6, 4.2, 0.065)]
found = [file * (1 - apart) * per_s for file, per_s, apart in dense_models]

models = {model.name: model for model in published()}
qwen = models["Qwen3-30B-A3B"]
size = {p.name: p.copies * p.total for p in parts(qwen.config)}
always = qwen.counted.total - size["experts"] - size["embedding"]
of_weight = 18557e6 / qwen.counted.total
says = tokens_per_second(always, size["experts"], 128, 8, of_weight, np.mean(found))
print(
    f"Four dense models: {min(found) / 1e9:.1f} to {max(found) / 1e9:.1f} GB a second."
)
print(f"The mixture: predicted {says:.1f} tokens a second, measured 10.6.")
print(f"If a token read all of its weights: {np.mean(found) / 18557e6:.1f}.")

# %% [markdown]
# The prediction is a little too high. But the measured speed is far above what reading all weights would give. (This cannot tell
# reading from multiplying, as both shrink alike. And our own GPT? It is so small that other work takes the time: *Further*.)

# %% [markdown]
# ## Will it run here?
#
# A model runs from memory if *all* of its weights fit. If not, experts may stay on disk, and are read from there when a token asks
# for them: **offloading**. We assume that memory must hold what every token uses, and the experts of one token. Which other experts
# it holds is left to chance, for now. (Other models, and a laptop of your own: *Which model for this laptop?*, at the end.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
oss = models["gpt-oss-120b"]
guess(
    "10.fits",
    f"gpt-oss-120b has {oss.counted.total / 1e9:.0f} billion weights, and a token uses {oss.counted.active / 1e9:.1f} billion of them. "
    "A laptop has 32 GB of memory. Does the model run on it, at half a byte (4 bits) a weight?",
    choices=["yes, from memory", "yes, with experts on disk", "no"],
)

# %% tags=["measure"]
# Calculated: where a model's weights are, and tokens a second.
DISK = 3e9  # bytes a second


def runs(model, n_bytes, memory, bandwidth):
    """Where from, tokens a second, and the part of the experts that is on disk."""
    total = model.counted.total * n_bytes
    read = bytes_per_token(model.config, bytes_per_weight=n_bytes)
    of_experts = [p for p in parts(model.config) if p.name == "experts"]
    stored = sum(p.copies * p.total for p in of_experts) * n_bytes
    asked = sum(p.copies * p.active for p in of_experts) * n_bytes
    if total <= memory:
        return "memory", bandwidth / read, 0.0
    if total - stored + asked > memory:
        return "no", 0.0, 1.0
    missing = (total - memory) / stored
    fetched = asked * missing
    return "disk", 1 / ((read - fetched) / bandwidth + fetched / DISK), missing


how, with_disk, missing = runs(oss, 0.5, 32e9, 50e9)
_, all_in_memory, _ = runs(oss, 0.5, 64e9, 50e9)
all_asked = mean_distinct(in_a_row, 1024, 16)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was calculated.
reveal(
    "10.fits",
    {"memory": "yes, from memory", "disk": "yes, with experts on disk"}.get(how, how),
    says=f"Calculated, not measured: its weights take {oss.counted.total / 2e9:.0f} GB. With 32 GB of memory, {100 * missing:.0f} % of the experts' weights stay on "
    f"disk. So {100 * missing:.0f} % of what a token asks its experts for comes from there, at {DISK / 1e9:.0f} GB a second in place of 50: {with_disk:.1f} "
    f"tokens a second. With 64 GB of memory it would be {all_in_memory:.1f}."
    "\n\nMixtures “won't shrink the model size”: right. A token leaves most experts alone, but any may be the next that is asked. "
    f"In 1,024 characters of a text, our GPT asks for {all_asked:.1f} of its 16.",
)

# %% [markdown]
# ## A cache of experts
#
# A token waits for experts from disk, unless they are in memory already. Memory can be a cache for the disk: it keeps the experts
# that were fetched. If a token asks for one that is there, that is a **hit**. If not, the expert is fetched, and if no room is left,
# another has to go. Often that is the **least recently used** one (LRU): its last use is longest ago.
#
# We try it on ten GPTs that were trained once and stored. They have four blocks, in each of which a token asks for two of eight experts.
# So a token's **demand** is 8 of 32. They read token by token, and each token goes through block after block.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "10.cliff",
    "One LRU cache for all blocks has room for 6 experts, three quarters of a token's demand. How many of a hundred requests are hits?",
    slider=(0, 100, 1, "of 100"),
)

# %% tags=["measure"]
# Measured: hits of one cache for all blocks by its room, one number a GPT.
stored = expert_cache.stored()  # (GPTs, texts, characters, blocks, chosen)
E, K, BLOCKS = 8, 2, stored.shape[3]
by_text = stored.flatten(1, 2)  # (GPTs, tokens, blocks, chosen)
numbered = by_text + E * torch.arange(BLOCKS)[:, None]  # the expert's number, of 32
DEMAND = BLOCKS * K
ROOMS = [4, 6, 7, 8, 12, 16, 24]
below, between_them, at, twice = (ROOMS.index(room) for room in (6, 7, 8, 16))


def hits(stream, room, leaves="oldest"):
    """Hits of a hundred, of one GPT's stream (tokens, blocks, chosen)."""
    requests = stream.flatten().tolist()
    return 100 * (1 - expert_cache.fetches(requests, room, leaves) / len(requests))


def of_all(cache):
    return np.array([[cache(one, room) for room in ROOMS] for one in numbered])


one_for_all = of_all(hits)  # (GPTs, rooms)
shared = one_for_all.mean(0)
never_move = [100 * room / (BLOCKS * E) for room in ROOMS]  # a fixed set, on average


def by_use(seen, text, room):
    """Hits of a hundred in the text, of the experts that were asked for most in what was seen."""
    often = torch.bincount(seen.flatten(), minlength=BLOCKS * E).topk(room).indices
    return 100 * torch.isin(text, often).double().mean().item()


def lru_then(seen, text, room):
    """Hits of a hundred of LRU in the text, after what was seen."""
    both, first = torch.cat([seen, text]).flatten().tolist(), seen.flatten().tolist()
    fetched = expert_cache.fetches(both, room) - expert_cache.fetches(first, room)
    return 100 * (1 - fetched / text.numel())


halves = (stored + E * torch.arange(BLOCKS)[:, None]).flatten(0, 1).chunk(2, dim=1)
same_text, lru_there = (
    [
        np.mean([way(*pair, room) for pair in zip(*halves, strict=True)])
        for room in ROOMS
    ]
    for way in (by_use, lru_then)
)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "10.cliff",
    shared[below],
    says=(
        "Between two visits to a block, the three other blocks ask for six experts. These fill a cache of six, so the block's own experts "
        "are gone, whatever the router chooses. "
        if shared[below] < 1 < shared[at]
        else "A token's demand is no limit here. "
    )
    + f"Room for 7 gives {shared[between_them]:.0f} hits of a hundred, room for 8 gives {shared[at]:.0f}. "
    f"A fixed set of six, drawn at random, would get {never_move[below]:.0f} on average.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: hits by room.
room_over_demand = [room / DEMAND for room in ROOMS]
look_of = {"x": "room / one token's demand", "y": "hits of 100"} | {
    "xticks": [0.5, 0.75, 1, 1.5, 2, 3],
    "ylim": (-3, 100),
    "height": 320,
}
curves(
    {
        "LRU": Line(room_over_demand, shared, "-", "text", "●"),
        "fixed, at random": Line(room_over_demand, never_move, "--", "muted"),
        "fixed, by use": Line(room_over_demand, same_text, ":", "accent"),
    },
    title="Below one token's demand, one cache for all blocks has hardly a hit"
    if shared[between_them] < 10
    else "Hits, by the room of the cache",
    note="Means of ten GPTs on three texts. Fixed: a set of experts that stays, drawn at random, or those that the first half of the text asked for "
    f"most (then the hits in its second half, where LRU has at most {max(np.subtract(lru_there, shared)):.1f} more than drawn).",
    **look_of,
)

# %% [markdown]
# Below a token's demand, this cache has fewer hits than a fixed set drawn at random. LRU gives up the experts whose last use
# is longest ago, and those belong to the block that comes next. Follow one token with room for six:
#
# | block that asks | whose experts are in memory, the oldest first | what has to go |
# |---|---|---|
# | 1 | 2 2 3 3 4 4 | 2 2 |
# | 2 | 3 3 4 4 1 1 | 3 3 |
# | 3 | 4 4 1 1 2 2 | 4 4 |
# | 4 | 1 1 2 2 3 3 | 1 1 |
#
# With room for a token's demand or more, it has more hits than a set drawn at random. But look at the third line: a set that stays and
# is chosen by what this text has asked for has more hits still, at every room. (*Further* gives each block a part of the room, and
# has caches that others measured.)

# %% [markdown]
# ## Fewer experts than trained
#
# Another way to fetch less: ask for fewer experts than the mixture was trained with. But what would be lost? We measure that on a
# small mixture for `digits4`.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "10.fewer",
    "Mixtures were trained with two of eight experts for an image. Asked with one, they "
    "read half as many bytes of experts. How many points of accuracy does that cost?",
    slider=(0, 20, 0.5, "points"),
)

# %% tags=["measure"]
# Measured: twenty mixtures each, trained with 1, 2, 4 of 8 experts, asked with 1, 2, 4, 8.
rules = digits4("standardised")
right = {}
for own in (1, 2, 4):
    trained = train(
        lambda own=own: MixtureOfExperts(64, 8, 8, own, d_out=10),
        rules,
        seeds(20),
        steps=400,
    )
    for now in (1, 2, 4, 8):
        trained.model.router.top_k = now
        right[own, now] = 100 * trained.accuracy(rules.x_test, rules.y_test)
lost = (right[2, 2] - right[2, 1]).mean().item()
back = estimate(right[1, 1] - right[2, 1])  # by training with one
with_two = oss._replace(config=oss.config | {"num_experts_per_tok": 2})
_, laptop, _ = runs(with_two, 0.5, 32e9, 50e9)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "10.fewer",
    lost,
    says=f"{right[2, 2].mean():.1f} % are right with two, {right[2, 1].mean():.1f} % with one. A mixture that was trained with one has "
    f"{right[1, 1].mean():.1f} %: a difference of {back.mean:.1f} points ({back.low:.1f} to {back.high:.1f}). "
    + (
        "So a part of the loss is won back by training with one."
        if back.low >= 0.05
        else "With these seeds one cannot tell whether training with one wins anything back."
    )
    + f"\n\nAnd the gain? By calculation, the laptop above makes {laptop:.1f} tokens a second with two experts, and {with_disk:.1f} with four. "
    "What gpt-oss-120b's answers would lose, `digits4` cannot say. One would have to measure it.",
)

# %% [markdown]
# ## Which model for this laptop?
#
# Now decide. A laptop has 32 GB of memory, which delivers 50 GB a second, and its owner reads about 5 tokens a second. Which of the
# models that the course counts would you put on it, at how many bytes a weight? Find two that fit, but differ much in speed.
#
# Then raise the bandwidth. Whose tokens a second rise with it, and whose hardly? (In JupyterLab the sliders also stop at your
# machine's memory, and at the bandwidth that one thread got above. All threads together may get more.)

# %% tags=["draw", "nbval-ignore-output", "10.fits"]
# Drawn: which models run, and how fast.
here = (psutil.virtual_memory().total, per_second) if interactive() else ()
here = [round(number / 1e9) for number in here]
by_size = sorted(models.values(), key=lambda model: model.counted.total)


def which_run(n_bytes, memory, bandwidth):
    rows, texts, sources = {}, {}, []
    for model in by_size:
        how, per_s, _ = runs(model, n_bytes, memory * 1e9, bandwidth * 1e9)
        name = f"{model.name}, {model.counted.total * n_bytes / 1e9:,.0f} GB"
        rows[name] = max(0, np.log10(100 * per_s)) if per_s else 0
        texts[name] = (
            f"{how} {per_s:,.{(per_s < 10) + (per_s < 0.1)}f}" if per_s else how
        )
        sources.append(how)
    return message(
        f"{sources.count('memory')} of {len(rows)} models run from memory, {sources.count('disk')} with experts on disk",
        "Tokens a second for one user, calculated. Ten times as many make a bar longer by the same length (a log axis, from 0.01). "
        "Left out: reading the prompt, what a long text adds, the overhead of calls, and memory for anything but weights.",
    ) + bars(
        rows,
        "tokens a second, on a log axis",
        strong=[name for name in rows if texts[name].startswith("memory")],
        whole=np.log10(100 * 2000),
        texts=texts,
    )


memories = sorted({8, 16, 32, 64, 128, 512, *here[:1]})
bandwidths = sorted({10, 50, 100, 400, 1000, *here[1:]})
on_laptop = sweep(
    which_run,
    n_bytes=("Bytes a weight", [0.5, 1, 2, 4]),
    memory=("Memory, GB", memories),
    bandwidth=("Bandwidth, GB a second", bandwidths),
)
on_laptop.wanted = [0, memories.index(32), bandwidths.index(50)]
on_laptop

# %% [markdown]
# Whether a model runs from memory depends on *all* its weights; how fast it then is, on its *active* ones. Whether it runs at all
# depends, by our assumption, on what every token uses: GPT-3 has no experts to leave on disk. (At half a byte, compare
# Mixtral 8x7B with Qwen3.5-35B-A3B.) A faster memory helps those that run from memory. Those with experts on disk gain less, as they
# also wait for the disk.

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("10")

# %% [markdown]
# ## Try it
#
# 1. A finer mixture has twice as many experts, half as wide, and asks for twice as many of them. For one token, it reads as many
#    bytes. And for 8 tokens? Ask your `distinct`. (Exactly as many, too: only k / E counts.)
# 2. What does a disk of twice the speed bring on the laptop? Open the folded cell *Calculated: where a model's weights are*, set
#    `DISK = 6e9`, and run it and the sliders again.
#
# ## Recap
#
# - Where a token asks for 2 of 16, sixteen tokens at once ask for most of the experts, a thousand for nearly all.
# - With one token at a time and 4 bytes a weight, our layers of width 768 needed about as long as a plain product with their active
#   weights. A layer from the cache tells how much of that was waiting for memory.
# - The mixture was faster than a dense layer of its whole size, but not faster than one that reads as much. To run from memory,
#   all its weights must fit, not only the active ones.
# - If not all fit, experts may stay on disk. Then a token waits for those that it needs from there.
# - An LRU cache for all blocks has no hit if it holds no more than the other blocks ask for in between. In our GPTs, it beat a fixed
#   set drawn at random only with room for at least a token's demand, and a set chosen by use at no room that we tried.
# - Asked for fewer experts than it was trained with, a mixture reads less, and on `digits4` it was right less often.
#
# **Sources.** Reading against computing: [Williams et al. 2009](https://doi.org/10.1145/1498765.1498785).

# %% [markdown]
# ## Further

# %% [markdown]
# ### Trained with four
#
# How much does a mixture lose that was trained with four experts and is asked for fewer? And what does it gain from more?

# %% tags=["draw", "nbval-ignore-output", "10.fewer"]
# Drawn: right images by how many experts are asked.
curves(
    {
        f"trained with {own}": Line(
            (1, 2, 4, 8),
            [right[own, now].mean().item() for now in (1, 2, 4, 8)],
            dash,
            color,
            "●",
        )
        for own, dash, color in ((1, ":", "muted"), (2, "-", "muted"), (4, "-", "text"))
    },
    title=f"Trained with four: {right[4, 1].mean():.1f} % are right when one of eight is asked, {right[4, 8].mean():.1f} % when all are",
    note="digits4, standardised, test images, means of twenty seeds, 400 steps.",
    x="experts asked, of eight",
    y="% right",
    log="x",
    xticks=(1, 2, 4, 8),
    height=320,
)

# %% tags=["measure", "10.fewer"]
# Claim 10.2.
claim(
    "10.2",
    "Asked with one expert, a mixture that was trained with four of eight is more than 1.5 points behind one that was trained with one",
    quantity="accuracy behind one trained with one (points)",
    measured=right[1, 1] - right[4, 1],
    holds=above(1.5),
    control=right[1, 1] - right[4, 4],
    control_is="the same mixture, asked with four",
)

# %% [markdown]
# ### Neighbours share experts
#
# The GPT at the top of this page reads fewer experts for tokens in a row. The ten stored GPTs, too?

# %% tags=["measure", "10.sixteen"]
# Claim 10.3.
mix = torch.randperm(by_text.shape[1], generator=torch.Generator().manual_seed(0))


def fewer_than_formula(gpts, n=8):
    """The formula minus what n tokens ask for in a block, one number a GPT."""
    each = [
        np.mean([mean_distinct(block, n, E) for block in one.unbind(1)]) for one in gpts
    ]
    return distinct_experts(E, K, n) - np.array(each)


claim(
    "10.3",
    "Eight characters in a row ask for fewer experts of a block than by chance, by more than 0.5",
    quantity="fewer than by chance (experts of 8)",
    measured=fewer_than_formula(by_text),
    holds=above(0.5),
    control=fewer_than_formula(by_text[:, mix]),
    control_is="eight characters from anywhere in three texts",
    refutes="The tokens of a text draw their experts at random",
)

# %% [markdown]
# ### Narrower layers
#
# In a narrower layer, less is read for a token. Does the prediction still fit?

# %% tags=["draw", "nbval-ignore-output", "10.clock"]
# Drawn: prediction and measurement in narrower layers.
took |= time_side_by_side(layers(512, 4) | layers(256, 4))
narrower = {
    f"width {width}": over_reading(wide["2 bytes"], width, 4) for width in (512, 256)
}
over_narrow = narrower["width 256"].values()
draw_over_reading(
    narrower,
    f"With width 256, a token takes {min(over_narrow):.1f} to {max(over_narrow):.1f} times as long as reading; with 768 it was {min(over):.1f} to "
    f"{max(over):.1f}",
    f"As above, with {per_second / 1e9:.1f} GB a second and 4 bytes a weight. The layers of a sort fill {filled / 1e6:.0f} MB, "
    + (
        f"{filled / CACHE:.1f} times the last cache."
        if CACHE
        else "and how large the last cache is, this system does not say."
    ),
)

# %% [markdown]
# And the GPT from the top of this page? It is so small that it may stay in the cache, where reading costs less. How near is
# the prediction?

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the course's GPT, as it is: other work takes the time.
of_gpt = sum(p.numel() for b in gpt.blocks for p in b.feed_forward.experts.parameters())
of_all_tokens = (
    parameters(gpt) - of_gpt - parameters(gpt.token) - parameters(gpt.position)
)
own = tokens_per_second(of_all_tokens, of_gpt, 8, 1, 4, per_second)
start = encode("The ")[None]
writes = time_side_by_side({"60": lambda: gpt.generate(start, 60)}, turns=3, seconds=0)
measured = 60 / np.median(writes["60"])
print(
    f"It reads {per_second / own / 1e6:.2f} MB a token: {own:,.0f} tokens a second if that came from memory, measured {measured:,.0f}."
)
print(f"A token takes {own / measured:.0f} times as long as reading would.")

# %% [markdown] tags=["10.cliff"]
# ### A part for each block
#
# One cache for all blocks gives up the experts of the very block that comes next. So each block gets a part of the room, which no
# other block may use: of six places, 2, 2, 1 and 1. The rule is the same.


# %% tags=["measure"]
# Measured: the same with a cache for each block, and with experts that never move.
def one_each(stream, room):
    """The same room in four parts, one for each block's own cache."""
    rooms = [room // BLOCKS + (b < room % BLOCKS) for b in range(BLOCKS)]
    return np.mean([hits(s, r) for s, r in zip(stream.unbind(1), rooms, strict=True)])


one_a_block = of_all(one_each)
ahead = of_all(partial(hits, leaves="look-ahead")).mean(0)
parted = one_a_block.mean(0)

# %% tags=["draw", "nbval-ignore-output", "10.cliff"]
# Drawn: hits by room, with a part for each block.
curves(
    {
        "look-ahead": Line(room_over_demand, ahead, ":", "muted"),
        "one a block": Line(room_over_demand, parted, "-", "accent", "●"),
        "one for all": Line(room_over_demand, shared, "-", "text", "●"),
        "never move": Line(room_over_demand, never_move, "--", "muted"),
    },
    title=f"Room for six: {parted[below]:.0f} hits of a hundred with a part for each block, {shared[below]:.0f} with one cache for all",
    note="LRU. Look-ahead: one cache that knows the future. Never move: a fixed set, drawn at random. With room for just the demand, one for all and one a block hold the same.",
    **look_of,
)

# %% tags=["measure", "10.cliff"]
# Claim 10.4.
gain = one_a_block - one_for_all
claim(
    "10.4",
    "With room for three quarters of one token's demand, LRU caches, one a block, have at least 10 hits of 100 more than one for all "
    "blocks",
    quantity="hits gained by one cache a block (of 100)",
    measured=gain[:, below],
    holds=above(10),
    control=gain[:, twice],
    control_is="room for twice the demand",
    refutes="One cache for all blocks makes the best of its room",
)

# %% [markdown]
# (A cache for each block: [Eliseev and Mazur 2023](https://arxiv.org/abs/2312.17238).)
#
# People who measured caches of experts contradict each other: LRU is useless, or it is all one needs. How much room did each have,
# compared with a token's demand and with all experts?

# %% tags=["draw", "nbval-ignore-output", "10.cliff"]
# A table of what others measured.
table(
    ["model, program", "room / demand", "room / all experts", "hits of 100"],
    {
        "GLM-5.2, colibri": [f"{3 / 12:.2f}", f"{100 * 3 / 256:.0f} %", "4"],
        "gpt-oss-120b, BigMoeOnEdge": [f"{0.03 / (4 / 128):.2f}", "3 %", "8 to 9"],
        "DeepSeek-V4-Flash, FreeToken": [
            f"{700 / (43 * 6):.2f}",
            f"{100 * 700 / (43 * 256):.0f} %",
            "8 to 18",
        ],
        "Qwen3-30B-A3B, imp": [f"{0.4 / (8 / 128):.2f}", "40 %", "90 to 95"],
    },
    title="Little room, few hits: what others measured, with LRU",
    note="Room computed by us from what they say, and from DeepSeek's published config, which has 43 blocks. Colibri gives each block its own part.",
)

# %% [markdown] tags=["10.cliff"]
# Little room, few hits: on this they agree. But FreeToken has room for more than a token's demand, and still few hits. This may be
# why: in our GPTs a token asks for a quarter of all experts, in FreeToken's model for 2 %. So that room holds few of all experts.

# %% [markdown]
# (Measured in [colibri 223](https://github.com/JustVugg/colibri/pull/223),
# [BigMoeOnEdge 33](https://github.com/Helldez/BigMoeOnEdge/issues/33),
# [FreeToken 174](https://github.com/FlashML-org/FreeToken/issues/174) and [imp 1359](https://github.com/kekzl/imp/pull/1359).)
#
# **Your turn, if you like.** The LRU cache, in seven lines. A list will do: the least recently used stands first.


# %% tags=["exercise", "optional"]
def fetched(stream, room):
    """stream: numbers of experts, in the order asked; room: how many fit -> how many are fetched."""
    memory, n_fetched = [], 0
    ### BEGIN SOLUTION
    for expert in stream:
        if expert in memory:
            memory.remove(expert)
        else:
            n_fetched += 1
        memory = [*memory, expert][-room:]
    return n_fetched
    ### END SOLUTION


# %%
fetched = check("10.fetched", fetched)

# %% tags=["10.cliff"]
stream = numbered[0].flatten().tolist()
for room in ROOMS:
    print(
        f"room for {room:2}: {100 * (1 - fetched(stream, room) / len(stream)):2.0f} hits of 100"
    )

# %% [markdown]
# ### Drafting ahead
#
# Many programs let a small model *draft* the next token, and the large one checks both in one step (**speculative
# decoding**). A mixture then also reads what the second token asks for and the first did not. Let `r` be the part of its experts
# that a token shares with the one before, and `a` how often a draft is right. If experts were all that is read, a step would
# make `1 + a` tokens in the time of `2 - r`. How often has a draft to be right, so that it pays?

# %% tags=["measure"]
# Measured: the part of its experts that the next token asks for again.
hot = torch.zeros(*numbered.shape[:2], E * BLOCKS).scatter(2, numbered.flatten(2), 1.0)
r = ((hot[:, 1:] * hot[:, :-1]).sum(-1) / DEMAND).mean().item()
print(f"our ten GPTs: r = {r:.2f}, so a > 1 - r = {1 - r:.2f}")
print(
    f"GLM-4.7-Flash, r .257, a .77: {(1 + 0.77) / (2 - 0.257):.2f} times as fast, reported 1.11"
)
print(
    f"GLM-5.2, a .86; the step costs 2.2, above 2 - r: {(1 + 0.86) / 2.2:.2f}, reported .82"
)

# %% [markdown]
# (Reported in [mlx-lm 1485](https://github.com/ml-explore/mlx-lm/issues/1485) and
# [omlx 2077](https://github.com/jundot/omlx/issues/2077).)
#
# ### Is the course's own layer fast?
#
# Here it ran (*ours*) beside the *loop* that tutorials teach, and the faster of two ways of the `transformers` library. All computed
# the same numbers from the same weights. The dotted line is the limit of the machine: the time in which memory could bring the
# weights, or the processor could do the products, whichever takes longer.

# %% tags=["measure"]
# The stored times and their machine.
stored_times = speed.measured()
print(speed.machine_lines(stored_times))

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the time of a token, by how many come at once.
at_once = stored_times["tokens"]
styles = {
    "ours": ("accent", "-"),
    "loop": ("muted", "-"),
    "transformers": ("text", "-"),
    "limit": ("muted", ":"),
}
micros = {
    name: [1e6 * took / n for took, n in zip(seconds, at_once, strict=True)]
    for name, seconds in stored_times["seconds"].items()
}
micros["transformers"] = np.minimum(micros["eager"], micros["grouped_mm"])
curves(
    {
        name: Line(at_once, micros[name], dash, color, "" if name == "limit" else "●")
        for name, (color, dash) in styles.items()
    },
    f"Alone, a token takes the course's layer {micros['ours'][0]:.0f} µs, and among "
    f"{at_once[-1]:,} it takes {micros['ours'][-1]:.0f}",
    "Forward, 8 experts of width 512, top 2, width 256, float32, one thread.",
    x="tokens at once",
    y="µs a token",
    log="xy",
    xticks=(1, 10, 100, 1000),
    yticks=(10, 20, 50, 100, 200),
    legend=True,
)

# %% [markdown]
# `make bench` measures it anew, on your machine. What each trick brings, and how the layer stands beside a dense one, is told in
# `tests/benchmarks/README.md`.
