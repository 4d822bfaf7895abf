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
# # At the edge
#
# 15 minutes. You leave able to say what a mixture buys on a phone and with a few users at once, and what it costs
# there: memory, and weights that are read.
#
# A mixture has to earn its keep. Its arithmetic is that of a small network, and its memory that of a large one. Whether
# this is a bargain depends on how many tokens come at once. Here they are few.

# %% tags=["setup"]
import json
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import torch
from torch import nn

from moe_tutorial.course import guess, quiz, reveal
from moe_tutorial.layers import GPT, GPTConfig, MixtureOfExperts
from moe_tutorial.show import Line, bars, curves, message, sweep, table
from moe_tutorial.study import (
    CHARACTERS,
    above,
    below,
    bytes_per_token,
    claim,
    distinct_experts,
    in_every_seed,
    in_the_median,
    multiplications,
    parts,
    progress,
    published,
    route_text,
    seeds,
    texts,
    train_gpt,
)
from moe_tutorial.study.systems import speed
from moe_tutorial.study.timing import in_turn, time_side_by_side

torch.set_num_threads(1)  # times are compared on one thread
E, K = 16, 2

# %% [markdown]
# ## At the edge: one token at a time
#
# A phone serves one person, and writes one token after the other. We take one layer and two dense ones to hold it against.
# `small` does as many multiplications as the mixture, to a thousandth: those of two experts, and eight more neurons for the
# router's. `large` does as many as all sixteen experts and the router. Both are built as mixtures of one expert, so that the
# same code computes all of them.
#
# A model has many layers, and uses one after the other. When the first has its turn again, the others have pushed its
# weights out of the **cache**, a small and fast memory, and they come from main memory once more. So we build several
# layers of each sort, as many as fill about the same number of bytes, and use them in turn. Beside them, to see what the
# cache does, one small layer that is called again and again.

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
layers["one small"] = layers["small"][:1]
stored, computed = {}, {}
for name, own in layers.items():
    stored[name] = sum(p.untyped_storage().nbytes() for p in own[0].parameters())
    computed[name] = multiplications(own[0], torch.randn(16, WIDTH)) // 16
    print(
        f"{name:18} {len(own):2} x {stored[name]:10,} bytes, "
        f"{computed[name]:9,} multiplications for each of 16 tokens"
    )
assert abs(computed["small"] / computed["mixture"] - 1) < 0.001
assert abs(computed["large"] / computed["mixture, all asked"] - 1) < 0.001

expert_bytes = sum(p.nbytes for p in mixtures[0].experts.parameters()) // E
router_bytes = sum(p.nbytes for p in mixtures[0].router.parameters())
one_token = K * expert_bytes + router_bytes
print(f"for one token the mixture reads {one_token:,} bytes")

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
reads = {"small": stored["small"], "mixture": one_token, "large": stored["large"]}
table(
    ["millions", "bytes stored", "bytes read", "multiplications"],
    {
        name: [f"{n / 1e6:.1f}" for n in (stored[name], read, computed[name])]
        for name, read in reads.items()
    },
    title="The mixture stores as much as the large layer, and for one token reads and "
    "multiplies as little as the small one",
    note="Counted: read and multiplied for one token.",
)

# %% [markdown]
# The machine may be busy with other things, so the sorts of layers take turns, and each claim compares
# times of one and the same turn. Every call gets other tokens and, in turn, the next layer of its sort.


# %% tags=["measure"]
def times(names, n_tokens, turns=10, seconds=0.02, equal=False):
    """Seconds a call on n_tokens (equal) tokens, for each layer one number a turn."""
    inputs = torch.randn(max(2, min(64, 4096 // n_tokens)), n_tokens, WIDTH)
    if equal:
        inputs[:] = inputs[:, :1]
    asked = {name: in_turn(layers[name], inputs) for name in names}
    with torch.inference_mode():
        return time_side_by_side(asked, turns, seconds)


alone = times(layers, 1)
claim(
    "10.1",
    "For one token the mixture is faster than the large layer, by a factor of at "
    "least 1.5",
    quantity="speed (times as fast)",
    measured=alone["large"] / alone["mixture"],
    holds=in_the_median(above(1.5)),
    control=alone["large"] / alone["mixture, all asked"],
    control_is="all experts asked",
    timed=True,
)

# %% tags=["measure"]
claim(
    "10.2",
    "One token takes the mixture less than 1.5 times as long as the small layer, if "
    "both read their weights from main memory",
    quantity="time (times as long)",
    measured=alone["mixture"] / alone["small"],
    holds=in_the_median(below(1.5)),
    control=alone["mixture"] / alone["one small"],
    control_is="one small layer again and again, from the cache",
    timed=True,
)

# %% [markdown]
# The control is how such comparisons often go wrong: a layer that is called again and again stays in the cache, and makes
# a baseline that no model has.
#
# That is the bargain of the edge: for each token the mixture reads and multiplies as little as the small layer, and it is
# as large as the large one. (Loaded, it takes as much memory: claim 10.5.)

# %% [markdown]
# ## A few users
#
# Now let a few tokens come at once. Each asks for two experts.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "10.sixteen",
    "One layer, 16 experts, 2 chosen for each token. Beside it a dense layer that does "
    "just as many multiplications. For one token both read about as many weights. How "
    "many times as many does the mixture read for 16 tokens at once?",
    slider=(1, 16, 0.5, "times as many"),
)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
needed = distinct_experts(E, K, 16)
reveal(
    "10.sixteen",
    needed / K,
    says=f"One token needs {K} of {E} experts. Sixteen tokens, if each draws at random, need {needed:.1f}: nearly all, though an "
    "expert serves about two of them. Here is the awkward middle, as a count: it multiplies as little as the small layer, and "
    "reads nearly as much as the large one.",
)

# %% [markdown]
# How many experts does a batch of $B$ tokens need? Not $2B$, since tokens share. If every token draws at random,
# one token misses a given expert with probability $1 - k/E$, so that all of them miss it with $(1 - k/E)^B$. On average
# a batch needs
#
# $$E \left(1 - (1 - k/E)^B\right)$$


# %%
def my_distinct_experts(n_experts, top_k, batch):
    return n_experts * (1 - (1 - top_k / n_experts) ** batch)


def counted_experts(batch, seed, draws=400):
    """Distinct experts of a batch in which every token draws K of E: a mean."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(draws, batch, E, generator=generator).topk(K).indices
    return torch.zeros(draws, E).scatter(1, drawn.flatten(1), 1.0).sum(1).mean().item()


for batch in (1, 4, 8, 16, 64):
    assert my_distinct_experts(E, K, batch) == distinct_experts(E, K, batch)
    print(f"{batch:3} tokens need {distinct_experts(E, K, batch):5.2f} of {E} experts")

# %% [markdown]
# Does it show in the time? Back to our layers, with 16 tokens. Multiplications
# are as many as in `small`, but the experts get two tokens each. The control is sixteen *equal* tokens: as many
# multiplications again, in two experts only.
#
# Equal tokens take away two things at once: reading the other experts' weights, and a dozen small products of about two
# rows each. To tell them apart we also build sixteen experts in **one memory**: views of a single expert's weights. It is
# read once, and the other fifteen find it in the cache. The small products are still there.


# %% tags=["measure"]
def one_memory(expert, mixture):
    """A mixture whose experts are all one and the same."""
    with torch.device("meta"):  # without weights
        layer = MixtureOfExperts(WIDTH, HIDDEN, E, K)
    layer.router = mixture.router
    for name, w in mixture.experts.named_parameters():
        own = w.detach()[expert : expert + 1].clone()
        setattr(layer.experts, name, nn.Parameter(own.expand(w.shape)))
    return layer


layers["one memory"] = [
    one_memory(i, mixture) for mixture in mixtures for i in range(E)
]


def asked(name, equal):
    """How many experts 16 (equal) tokens ask for, the mean of the layers."""
    tokens = torch.randn(1 if equal else 16, WIDTH)
    return np.mean([len(layer(tokens)[1].indices.unique()) for layer in layers[name]])


with torch.inference_mode():
    print("16 tokens ask for more than 12 experts:", bool(asked("mixture", False) > 12))
    print("16 equal tokens ask for two:           ", asked("mixture", True) == 2)
one = layers["one memory"][0]
for name, layer in {"mixture": mixtures[0], "one memory": one}.items():
    stores = sum(p.untyped_storage().nbytes() for p in layer.experts.parameters())
    print(f"{name:10} its experts store {stores:10,} bytes")
tokens = torch.randn(16, WIDTH)
print(
    "as many multiplications:",
    multiplications(one, tokens) // 16 == computed["mixture"],
)

# %% tags=["measure"]
several = ["small", "mixture", "one memory", "large"]
few = times(several, 16, seconds=0.05)
few_equal = times(several, 16, seconds=0.05, equal=True)
claim(
    "10.3",
    "Sixteen tokens take the mixture more than 2.5 times as long as the small layer, "
    "which multiplies as much",
    quantity="time (times as long)",
    measured=few["mixture"] / few["small"],
    holds=in_the_median(above(2.5)),
    control=few_equal["mixture"] / few_equal["small"],
    control_is="sixteen equal tokens",
    timed=True,
    refutes="Equal multiplications take equal time",
)


# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
def ratio(found, name, other, digits=1):
    return f"{np.median(found[name] / found[other]):.{digits}f}"


table(
    ["times as long as small", "16 tokens", "16 equal tokens"],
    {
        label: [ratio(few, name, "small"), ratio(few_equal, name, "small")]
        for label, name in {
            "sixteen experts in one memory": "one memory",
            "the mixture": "mixture",
            "the large layer": "large",
        }.items()
    },
    title=f"Sixteen tokens: in one memory {ratio(few, 'one memory', 'small')} times as "
    f"long as small, each expert in its own {ratio(few, 'mixture', 'small')} times",
    note="Medians, measured here on one thread.",
)

# %% [markdown]
# Two things can cost: weights from memory, and products of two rows. The row of *one memory* shows the second nearly alone;
# what the mixture takes beyond it is the first. And how does it do against the large layer, which reads little more?

# %% tags=["measure"]
claim(
    "10.4",
    "For sixteen tokens the mixture is less than three times as fast as the large layer",
    quantity="speed (times as fast)",
    measured=few["large"] / few["mixture"],
    holds=in_the_median(below(3)),
    control=few_equal["large"] / few_equal["mixture"],
    control_is="sixteen equal tokens",
    timed=True,
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("10")

# %% [markdown]
# ## Try it
#
# 1. A finer mixture has twice as many experts, half as wide, and asks twice as many of them. What happens to
#    `distinct_experts` of 8 tokens? Where would you rather run it?
#
# ## Recap
#
# - A mixture has the memory of its total.
# - One token: the mixture reads and multiplies as little as the small layer. A few tokens: each asks for two experts, so it
#   multiplies as little, but reads nearly as much as the large one. The claims say what this is in time; a fair opponent has
#   its weights in memory, not in the cache.
#
# **Sources.** A memory of the experts last used: [Eliseev and Mazur 2023](https://arxiv.org/abs/2312.17238). Reading against
# computing: [Williams et al. 2009](https://doi.org/10.1145/1498765.1498785).

# %% [markdown]
# ## Further
#
# ### Memory, loaded and mapped
#
# Some say that a mixture needs only $k/E$ of the memory, since only that part works. We ask the
# operating system for the **resident memory** of a fresh process, the part of it that lies in the machine's main memory:
# how much does it grow with four such layers and a token through each?
#
# Then the same for a mixture that is not loaded but **mapped**: its weights stay in a file, and the system brings a page
# of it into memory when somebody touches it. So here *stored* and *touched* come apart.

# %% tags=["measure"]
GROWTH = """
import json, os, tempfile, psutil, torch
from torch import nn
from moe_tutorial.layers import MixtureOfExperts

def dense(neurons):
    return nn.Sequential(nn.Linear(512, neurons), nn.ReLU(), nn.Linear(neurons, 512))

def mapped(path):
    with torch.device("meta"):  # without weights
        layer = MixtureOfExperts(512, 512, 16, 2)
    layer.load_state_dict(torch.load(path, mmap=True), assign=True)
    return layer

build = {
    "warm-up": lambda: MixtureOfExperts(512, 16, 4, 2),
    "dense warm-up": lambda: dense(16),
    "small": lambda: dense(2 * 512 + 8),
    "mixture": lambda: MixtureOfExperts(512, 512, 16, 2),
    "large": lambda: dense(16 * 512 + 8),
}
torch.set_num_threads(1)
torch.set_grad_enabled(False)
torch.manual_seed(0)
alive, growth, experts = [], {}, {}
for name, make in build.items():
    before = psutil.Process().memory_info().rss
    layers = [make() for _ in range(4)]
    for layer in layers:
        layer(torch.randn(1, 512))
    alive.append(layers)
    growth[name] = psutil.Process().memory_info().rss - before

number, path = tempfile.mkstemp()
os.close(number)
torch.save(MixtureOfExperts(512, 512, 16, 2).state_dict(), path)
mapped(path)(torch.randn(64, 512))  # a warm-up
before = psutil.Process().memory_info().rss
layer = mapped(path)
for n_tokens in (1, 64):
    routing = layer(torch.randn(n_tokens, 512))[1]
    growth[f"mapped, {n_tokens}"] = psutil.Process().memory_info().rss - before
    experts[n_tokens] = len(routing.indices.unique())
del layer  # some systems remove no file that is mapped
os.remove(path)
print(json.dumps([growth, experts]))
"""
answer = subprocess.run(
    [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True
)
resident, touched = json.loads(answer.stdout)
for n_tokens, experts in touched.items():
    print(
        f"{n_tokens:>2} tokens touch {experts:2} of {E} experts of the mapped mixture"
    )

# %% tags=["measure"]
claim(
    "10.5",
    "A process that has loaded four mixtures and used each for one token has grown more "
    "than 0.8 times as much as with four large layers",
    quantity="growth in memory over the large layers'",
    measured=resident["mixture"] / resident["large"],
    holds=in_every_seed(above(0.8)),
    control=resident["small"] / resident["large"],
    control_is="the dense layer of the active size",
    timed=True,
    refutes="What is not asked is not in memory",
)

# %% tags=["measure"]
claim(
    "10.6",
    "A process that maps a mixture from a file has grown by more than 0.8 times its "
    "bytes after 64 tokens",
    quantity="growth in memory over its bytes",
    measured=resident["mapped, 64"] / stored["mixture"],
    holds=in_every_seed(above(0.8)),
    control=resident["mapped, 1"] / stored["mixture"],
    control_is="after one token",
    timed=True,
    refutes="A mixture needs k/E of the memory",
)

# %% [markdown]
# A token touches two of the sixteen experts, an eighth of the weights. The system may map more than is touched: it works
# in pages, and some of them are as large as an expert's matrix here. But the other tokens touch the other experts. Over a
# text, a mixture needs the memory of all of them.

# %% [markdown]
# ### Offloading, an expert is fetched when it is needed
#
# Where memory is short, can the idle experts stay on disk? Keep a few experts in memory, and fetch the others when a token asks for them. When the memory is full, the expert that
# was not used for longest has to go. How many experts must be fetched for each token? This is simulated: we count, and
# nothing is read from disk.


# %%
def fetched(indices, room):
    """Experts fetched per token, by a memory with room for so many of them."""
    memory, n_fetched = OrderedDict(), 0
    for expert in indices.flatten().tolist():
        if expert in memory:
            memory.move_to_end(expert)
            continue
        n_fetched += 1
        memory[expert] = True
        if len(memory) > room:
            memory.popitem(last=False)
    return n_fetched / len(indices)


print("always the same two:", fetched(torch.tensor([[0, 1]] * 100), room=2))
print("always two others:  ", fetched(torch.arange(200).view(100, 2) % E, room=8))

# %% [markdown]
# It depends on what comes next. So we need trained routers and a stream of real tokens: lesson 08's GPT with eight
# experts in each of its two blocks, one of them chosen for each character. We train ten, each for a hundred short steps
# only. Then they read prose, code and arithmetic that they have never seen.

# %% tags=["measure"]
data, LENGTH, ROOM = texts(), 1920, 4
config = GPTConfig(len(CHARACTERS), feed_forward="moe", d_hidden=128)


def chosen(seed):
    """Train a GPT and read the test texts: experts (blocks, texts, LENGTH)."""
    torch.manual_seed(seed)
    model = GPT(config)
    list(train_gpt(model, data, seed=seed, steps=100, batch_size=8))
    read = [route_text(model, text[:LENGTH]) for text in data.test]
    blocks = zip(*read, strict=True)  # the records of each block, text by text
    return torch.stack(
        [torch.stack([r.indices.flatten() for r in block]) for block in blocks]
    )


choices = torch.stack([chosen(s) for s in progress(seeds(10), 10, "GPTs")])
print("GPTs, blocks, texts, characters:", *choices.shape)

# %% [markdown]
# Every block has a memory of its own, with room for four of its eight experts. The same choices come in three orders:
#
# - **in order:** one text after the other, as they were read;
# - **text by text:** still one text after the other, but the characters of each are shuffled;
# - **mixed:** all characters of the three texts are shuffled.
#
# So *mixed* against *text by text* is what the subject does. *Text by text* against *in order* is what the neighbour does.

# %% tags=["measure"]
dice = torch.Generator().manual_seed(seeds(1)[0])


def shuffled(choices):
    """The last dimension in another order."""
    return choices[..., torch.randperm(choices.shape[-1], generator=dice)]


streams = {  # GPTs, blocks, characters
    "in order": choices.flatten(2),
    "text by text": torch.cat([shuffled(text) for text in choices.unbind(2)], dim=-1),
    "mixed": shuffled(choices.flatten(2)),
}
streams["random experts"] = torch.randint(
    config.n_experts, streams["mixed"].shape, generator=dice
)


def fetches(name, room=ROOM):
    """Fetched per character, the mean of the blocks: one number a GPT."""
    return np.array(
        [np.mean([fetched(block, room) for block in gpt]) for gpt in streams[name]]
    )


n_fetched = {name: fetches(name) for name in streams}
claim(
    "10.7",
    "With room for half of the experts, a stream that keeps to one text fetches less "
    "than 0.75 times as many as one that mixes the texts, in whatever order each text's "
    "characters come",
    quantity="experts fetched, against the mixed stream",
    measured=n_fetched["text by text"] / n_fetched["mixed"],
    holds=below(0.75),
    control=n_fetched["in order"] / n_fetched["text by text"],
    control_is="a text in order against the same text shuffled",
    refutes="Tokens in a row share experts because they are neighbours",
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
rooms = range(1, config.n_experts + 1)
curve = {name: [fetches(name, room).mean() for room in rooms] for name in streams}


styles = {
    "in order": ("-", "text"),
    "text by text": ("--", "text"),
    "mixed": ("-.", "text"),
    "random experts": (":", "muted"),
}
at_room = {name: ys[ROOM - 1] for name, ys in curve.items()}
curves(
    {name: Line(rooms, ys, *styles[name]) for name, ys in curve.items()},
    x="room for so many of 8 experts",
    y="fetched per character",
    xticks=rooms,
    ylim=(0, 1),
    legend=True,
    title=f"With room for half, {at_room['mixed']:.2f} experts are fetched per "
    f"character if texts are mixed, {at_room['text by text']:.2f} text by text, and "
    f"{at_room['in order']:.2f} in order",
    note=(
        "Simulated, means over two blocks of ten GPTs. If those experts had the size of "
        f"our layer's, {expert_bytes / 1e6:.1f} million bytes, a character would fetch, "
        "with room for half: "
        + ", ".join(
            f"{n * expert_bytes / 1e6:.1f} million {name}"
            for name, n in at_room.items()
        )
        + "."
    ),
    height=300,
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
of_each_text = [
    {
        order: np.mean([fetched(block, ROOM) for block in stream.flatten(0, 1)])
        for order, stream in (("in order", text), ("shuffled", shuffled(text)))
    }
    for text in choices.unbind(2)
]
table(
    ["fetched per character", *data.names, "all, mixed"],
    {
        order: [
            *(f"{text[order]:.2f}" for text in of_each_text),
            f"{at_room['mixed']:.2f}" if order == "shuffled" else "",
        ]
        for order in ("in order", "shuffled")
    },
    title="Shuffled within its text, a character needs "
    f"{sum(text['shuffled'] - text['in order'] for text in of_each_text) / 3:.2f} "
    "fetches more than in order",
    note=f"Each text alone, with room for {ROOM} of {config.n_experts} experts. Means "
    "over two blocks of ten GPTs.",
)

# %% [markdown]
# Is it the router, or the order? Mixed, they are the same routers with the same characters.

# %% tags=["measure"]
for name in ("text by text", "mixed"):
    most = n_fetched[name].mean() / n_fetched["random experts"].mean() > 0.7
    print(f"{name:12} more than 0.7 times the fetches of random experts: {most}")

# %% [markdown]
# Mixed, the characters need most of the fetches that experts drawn at random need. It is the subject that lasts, and its
# experts with it. The order within a text saves little beyond that: a neighbour is hardly likelier to ask for the same
# expert than a character from further on. These are small GPTs after a short training, and their tokens are characters.
#
# Train them as lesson 08 does, 600 steps of 16 pieces. Does a text still keep to its experts? Then train them with
# `balance=0`. Fewer fetches or more? Look at the shares, as in lesson 05, before you praise it.

# %% [markdown]
# ### The weights that a published model reads
#
# With the formula we can count for published models how many weights a batch needs from memory. Pick a model and a batch:

# %% tags=["draw", "nbval-ignore-output"]
models = {model.name: model for model in published()}
shown = ["Mixtral 8x7B", "OLMoE-1B-7B", "Qwen3-30B-A3B", "DeepSeek-V3", "gpt-oss-120b"]


def show_reads(model, batch):
    config = models[model].config
    part = next(part for part in parts(config) if part.name == "experts")
    one, all_of_them = bytes_per_token(config), bytes_per_token(config, 10**6) * 10**6
    step = bytes_per_token(config, batch) * batch
    tokens = f"{batch} token{'s' * (batch > 1)}"
    return message(
        f"{tokens}: the step reads {step / all_of_them:.0%} of the weights, "
        f"{step / one:.1f} times what one token reads",
        f"{model}, even routing, 2 bytes a weight. {part.copies} layers with experts.",
    ) + bars(
        {
            "a step, million bytes": step / 1e6,
            "for each token": step / batch / 1e6,
            "for a token alone": one / 1e6,
        },
        "million bytes read",
        strong=["for each token"],
    )


sweep(
    show_reads,
    model=("Model", shown),
    batch=("Tokens at once", [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]),
)

# %% [markdown]
# ### Do tokens draw at random?
#
# First the formula, for those that do.

# %% tags=["measure"]
counted = np.array([counted_experts(8, seed) for seed in seeds(10)])
claim(
    "10.8",
    "If every token draws at random, the formula tells within 3 % how many experts 8 "
    "tokens need",
    quantity="error of the formula",
    measured=abs(distinct_experts(E, K, 8) / counted - 1),
    holds=in_every_seed(below(0.03)),
    control=abs(min(E, 8 * K) / counted - 1),
    control_is="counted as min(E, Bk)",
    refutes="B tokens need min(E, Bk) experts",
)

# %% [markdown]
# A trained router does not draw at random. And users who write at once are not tokens in a row: each is at another place,
# of a text of the same kind or of another. Here are the GPTs of the fetched experts once more.


# %% tags=["measure"]
def fewer_than_random(stream, batch=8):
    """The formula minus the mean of distinct experts in batches of the stream."""
    n = config.n_experts
    together = stream[..., : stream.shape[-1] // batch * batch].reshape(-1, batch)
    needed = torch.zeros(len(together), n).scatter(1, together, 1.0).sum(1).mean()
    return distinct_experts(n, 1, batch) - float(needed)


fewer = {name: [fewer_than_random(gpt) for gpt in s] for name, s in streams.items()}
claim(
    "10.9",
    "8 characters from anywhere in one text need fewer experts than the formula says, "
    "by more than 0.7",
    quantity="fewer experts than the formula says (experts)",
    measured=fewer["text by text"],
    holds=above(0.7),
    control=fewer["mixed"],
    control_is="from three texts",
)

# %% tags=["measure"]
more = np.mean(fewer["in order"]) - np.mean(fewer["text by text"])
print("in a row, 8 characters save less than 0.3 experts more:", bool(more < 0.3))

# %% [markdown]
# ### Is the course's own layer fast?
#
# Here it ran (*ours*) beside the code that people use: the *loop* that tutorials teach, and two ways of the `transformers`
# library (*eager*, *grouped_mm*). All computed the same numbers from the same weights. The dotted line is the limit of the
# machine: the time in which memory could bring the weights, or the processor could do the products, whichever takes
# longer. Read it from left to right.

# %% tags=["measure"]
# The stored times and their machine.
stored_times = speed.measured()
print(speed.machine_lines(stored_times))

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the time of a token, by how many come at once.
at_once = stored_times["tokens"]
styles = {
    "ours": ("text", "-"),
    "loop": ("muted", "-"),
    "eager": ("muted", "--"),
    "grouped_mm": ("accent", "-"),
    "limit": ("muted", ":"),
}
micros = {
    name: [1e6 * took / n for took, n in zip(seconds, at_once, strict=True)]
    for name, seconds in stored_times["seconds"].items()
}
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
    xticks=at_once,
    legend=True,
)

# %% [markdown]
# `make bench` measures it anew, on your machine. What each trick brings, and how the layer stands beside a dense one, is told in
# `tests/benchmarks/README.md`.
