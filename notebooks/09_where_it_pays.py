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
# # Where it pays
#
# 50 minutes. You leave able to count a published model's parameters from its `config.json`, and to say what a mixture
# buys on a phone, on a workstation and in a data centre, and what it costs there.
#
# So far a mixture was good or bad by its accuracy. Now it has to earn its keep. Its arithmetic is that of a small
# network, and its memory that of a large one. Whether this is a bargain depends on how many tokens come at once.

# %% tags=["guess", "nbval-ignore-output"]
from moe_tutorial.course import guess

guess(
    "09.sixteen",
    "One layer, 16 experts, 2 chosen for each token. Beside it a dense layer that does "
    "just as many multiplications. For one token both read about as many weights. How "
    "many times as many does the mixture read for 16 tokens at once?",
    slider=(1, 16, 0.5, "times as many"),
)

# %% [markdown]
# And for 1,024 tokens: does it fall further behind then, or catch up?

# %% tags=["setup"]
import itertools
import json
import subprocess
import sys
import textwrap
from collections import OrderedDict

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from torch import nn

from moe_tutorial.course import quiz, reveal
from moe_tutorial.layers import GPT, GPTConfig, MixtureOfExperts
from moe_tutorial.show import (
    Line,
    bars,
    curves,
    expert_bars,
    explorable,
    look,
    message,
    picture,
    scatter,
    seed_dots,
    sweep,
    table,
)
from moe_tutorial.study import (
    CHARACTERS,
    above,
    below,
    between,
    bytes_per_token,
    claim,
    count_parameters,
    distinct_experts,
    in_every_seed,
    in_the_median,
    multiplications,
    multiplications_per_token,
    parts,
    progress,
    published,
    route_text,
    seeds,
    texts,
    train_gpt,
)
from moe_tutorial.study.parallel import run
from moe_tutorial.study.serving import capacity, expert_step, kept, serve
from moe_tutorial.study.timing import time_side_by_side

torch.set_num_threads(1)  # times are compared on one thread
E, K = 16, 2

# %% [markdown]
# ## Published models
#
# A model on the Hugging Face hub comes with a `config.json`. It holds all that is needed to count its parameters. Here are
# some families, counted from their public files, and held against what their publishers state.

# %% tags=["measure"]
models = {model.name: model for model in published()}
errors = [
    abs(ours / theirs - 1)
    for model in models.values()
    for ours, theirs in zip(model.counted, (model.total, model.active), strict=True)
]
print(f"{'ours / stated':15}{'total':>8}{'active':>8}")
for name, model in models.items():
    total_ratio = model.counted.total / model.total
    active_ratio = model.counted.active / model.active
    print(f"{name:15}{total_ratio:8.3f}{active_ratio:8.3f}  {model.source}")


# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
def billions(number):
    return f"{number / 1e9:.2f}" if number < 1e10 else f"{number / 1e9:.1f}"


table(
    ["billions", "total", "stated", "active", "stated", "active part", "k/E"],
    {
        name: [
            billions(model.counted.total),
            billions(model.total),
            billions(model.counted.active),
            billions(model.active),
            f"{model.counted.active / model.counted.total:.1%}",
            "".join(
                f"{part.active / part.total:.1%}"
                for part in parts(model.config)
                if part.name == "experts"
            ),
        ]
        for name, model in models.items()
    },
    title=f"All counts are within {max(errors):.1%} of what the publishers state",
    note=(
        "Parameters in billions, from each model's config.json, counted as its "
        "publisher counts where it says so. Qwen3's card and DeepSeek-V3's paper do "
        "not say whether the embedding is active; we count it. Beside them the "
        "publisher's own rounded figure."
    ),
)

# %% [markdown]
# Look at the two columns on the right. If *active is k/E of the total* were right, they would be equal.


# %% tags=["measure"]
def mixtures():
    """The published models that have experts."""
    for model in models.values():
        experts = [part for part in parts(model.config) if part.name == "experts"]
        if experts:
            yield model, experts[0]


def too_large(active, total, part):
    """How many times more than k/E of the total is active."""
    return active / (total * part.active / part.total)


whole = [too_large(model.active, model.total, part) for model, part in mixtures()]
experts_alone = [too_large(part.active, part.total, part) for _, part in mixtures()]

claim(
    "09.1",
    "In every published mixture of the table, by its publisher's own figures, more than "
    "k/E of the parameters are active, by 5 % at least",
    quantity="active parameters over k/E of the total",
    measured=min(whole),
    holds=in_every_seed(above(1.05)),
    control=min(experts_alone),
    control_is="the experts alone, by definition 1",
    refutes="A token meets k/E of the parameters",
)

# %% tags=["measure"]
by_the_part = [
    abs(part.active / part.total * model.total / model.active - 1)
    for model, part in mixtures()
]
claim(
    "09.2",
    "Counted part by part, every total and active figure of the table is within 3 % of "
    "the published one",
    quantity="largest error of the count",
    measured=max(errors),
    holds=in_every_seed(below(0.03)),
    control=max(by_the_part),
    control_is="active counted as k/E of the total",
)

# %% [markdown]
# ### Further: model by model

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
sparse = {model.name: model for model, _ in mixtures()}
k_of_e = {
    model.name: model.total * part.active / part.total for model, part in mixtures()
}
actives = {name: model.active for name, model in models.items()}


def marks(numbers, what, name, **more):
    """A mark for each model at its total, in billions, and at another number of it."""
    hover = [
        f"{n}<br>total {billions(models[n].total)}<br>{what} {billions(number)}"
        for n, number in numbers.items()
    ]
    xs = [models[n].total / 1e9 for n in numbers]
    return scatter(xs, [y / 1e9 for y in numbers.values()], hover, name, marker=more)


explorable(
    [
        scatter(
            [x for m in sparse.values() for x in [m.total / 1e9] * 2 + [None]],
            [y for n in sparse for y in (k_of_e[n] / 1e9, actives[n] / 1e9, None)],
            [],
            mode="lines",
            line={"color": look.color("line"), "width": 3},
        ),
        marks(
            {n: a for n, a in actives.items() if n not in sparse},
            "active",
            "dense",
            color=look.color("border"),
            size=9,
            symbol="square",
        ),
        marks(
            {n: actives[n] for n in sparse},
            "active",
            "mixtures",
            color=look.color("text"),
            size=11,
        ),
        marks(
            k_of_e,
            "k/E of the total",
            "k/E of the total",
            color=look.color("muted"),
            size=9,
            symbol="circle-open",
        ),
    ],
    title=f"Between {min(whole):.2f} and {max(whole):.2f} times k/E of the total is "
    "active",
    note=(
        "Published figures. Point at a mark for its model; drag to look closer, and click "
        "twice to go back."
    ),
    alt="; ".join(
        f"{name}: {models[name].total / 1e9:.3g} billion, active "
        f"{models[name].active / 1e9:.3g}, k/E of the total {k_of_e[name] / 1e9:.3g}"
        for name in sparse
    ),
    height=420,
    xaxis={
        "type": "log",
        "title": {"text": "total, billions"},
        "tickvals": [10, 20, 50, 100, 200, 500],
    },
    yaxis={
        "type": "log",
        "title": {"text": "active, billions"},
        "tickvals": [1, 2, 5, 10, 20, 50, 100, 200],
    },
)

# %% [markdown]
# ## Count one by hand
#
# Here is the part of Mixtral 8x7B's `config.json` that matters.

# %%
mixtral = {
    "model_type": "mixtral",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
}

# %% [markdown]
# Line by line. An expert has three matrices (it is gated: `gated=True` in the package). Attention has four; keys and values
# are narrower, because four query heads share one of theirs.

# %%
d, h, n_layers = 4096, 14336, 32
head = d // 32

expert = 3 * d * h
router = d * 8
attention = 2 * d * d + 2 * d * (8 * head)
norms = 2 * d
embedding_and_output = 2 * 32000 * d

everything_else = n_layers * (router + attention + norms) + embedding_and_output + d
total = everything_else + n_layers * 8 * expert
active = everything_else + n_layers * 2 * expert

print(f"total  {total:,}")
print(f"active {active:,}")
print("same as the package's:", (total, active) == count_parameters(mixtral))
print(f"two eighths of the total would be {total * 2 // 8:,}")

# %% [markdown]
# Compare the last lines. Only the experts are divided by four. Attention, embedding and router are there for every token.
#
# The name is worth a look as well: 8 x 7 would make 56 billion. But the experts share all the rest.

# %% [markdown]
# ### Further: count your own
#
# Paste a `config.json` as a dict (`json.load(open("config.json"))`), or change ours.

# %%
my_config = mixtral | {"num_local_experts": 16, "num_experts_per_tok": 1}

count = count_parameters(my_config)
print(f"total {count.total:,}, active {count.active:,}")
for part in parts(my_config):
    print(f"{part.copies:3} x {part.name:12} {part.total:15,} each")
print(f"multiplications for a token: {multiplications_per_token(my_config):,}")

# %% [markdown]
# ### Further: how does each publisher count?
#
# In the notes that come with the figures:

# %% tags=["measure"]
for name, model in models.items():
    print(textwrap.fill(f"{name}: {model.note}", 88, subsequent_indent="    "))

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
for name, in_turn in layers.items():
    stored[name] = sum(p.untyped_storage().nbytes() for p in in_turn[0].parameters())
    computed[name] = multiplications(in_turn[0], torch.randn(16, WIDTH)) // 16
    print(
        f"{name:18} {len(in_turn):2} x {stored[name]:10,} bytes, "
        f"{computed[name]:9,} multiplications for each of 16 tokens"
    )
assert abs(computed["small"] / computed["mixture"] - 1) < 0.001
assert abs(computed["large"] / computed["mixture, all asked"] - 1) < 0.001

expert_bytes = sum(p.nbytes for p in mixtures[0].experts.parameters()) // E
router_bytes = sum(p.nbytes for p in mixtures[0].router.parameters())
one_token = K * expert_bytes + router_bytes
print(f"for one token the mixture reads {one_token:,} bytes")

# %% [markdown]
# The machine may be busy with other things, so the sorts of layers take turns, and each claim compares
# times of one and the same turn. Every call gets other tokens and, in turn, the next layer of its sort.


# %% tags=["measure"]
def times(names, n_tokens, turns=10, seconds=0.02, equal=False):
    """Seconds a call on n_tokens (equal) tokens, for each layer one number a turn."""
    n = max(2, min(64, 4096 // n_tokens))
    different, copies = (1, n_tokens) if equal else (n_tokens, 1)
    inputs = itertools.cycle(torch.randn(n, different, WIDTH).repeat(1, copies, 1))
    in_turn = {name: itertools.cycle(layers[name]) for name in names}
    with torch.inference_mode():
        found = time_side_by_side(
            {
                name: lambda name=name: next(in_turn[name])(next(inputs))
                for name in names
            },
            turns,
            seconds,
        )
    return {name: np.array(numbers) for name, numbers in found.items()}


alone = times(layers, 1)
claim(
    "09.4",
    "For one token the mixture is faster than the large layer, by a factor of at "
    "least 1.5",
    quantity="speed",
    unit="times as fast",
    measured=alone["large"] / alone["mixture"],
    holds=in_the_median(above(1.5)),
    control=alone["large"] / alone["mixture, all asked"],
    control_is="all experts asked",
    timed=True,
)

# %% tags=["measure"]
claim(
    "09.5",
    "One token takes the mixture less than 1.5 times as long as the small layer, if "
    "both read their weights from main memory",
    quantity="time",
    unit="times as long",
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
# as large as the large one. (Loaded, it takes as much memory: claim 09.3.)

# %% [markdown]
# ### Further: memory, loaded and mapped
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
    "09.3",
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
    "09.19",
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
# ## Further: offloading, an expert is fetched when it is needed
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
    "09.6",
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
    alt="; ".join(
        f"{name}: {n:.2f} experts fetched per character with room for half"
        for name, n in at_room.items()
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

# %% [markdown]
# ## A few users: the awkward middle
#
# Now let a few tokens come at once. Each asks for two experts. How many of the sixteen does a batch of $B$
# tokens need? Not $2B$, since tokens share. If every token draws at random, one token misses a given expert with
# probability $1 - k/E$, so that all of them miss it with $(1 - k/E)^B$. On average a batch needs
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
# That is a count. Does it show in the time? Back to our layers, with 16 tokens. Multiplications are as many as in
# `small`, but the experts get two tokens each. The control is sixteen *equal* tokens: as many multiplications again, in
# two experts only.
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
    "09.9",
    "Sixteen tokens take the mixture more than 2.5 times as long as the small layer, "
    "which multiplies as much",
    quantity="time",
    unit="times as long",
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
    "09.10",
    "For sixteen tokens the mixture is less than three times as fast as the large layer",
    quantity="speed",
    unit="times as fast",
    measured=few["large"] / few["mixture"],
    holds=in_the_median(below(3)),
    control=few_equal["large"] / few_equal["mixture"],
    control_is="sixteen equal tokens",
    timed=True,
)

# %% [markdown]
# ### Further: the weights that a published model reads
#
# With the formula we can count for published models how many weights a batch needs from memory. Pick a model and a batch:

# %% tags=["draw", "nbval-ignore-output"]
with_experts = [
    name
    for name, model in models.items()
    if any(part.name == "experts" for part in parts(model.config))
]


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
    model=("Model", with_experts),
    batch=("Tokens at once", [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]),
)

# %% [markdown]
# ### Further: do tokens draw at random?
#
# First the formula, for those that do.

# %% tags=["measure"]
counted = np.array([counted_experts(8, seed) for seed in seeds(10)])
claim(
    "09.7",
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
# of a text of the same kind or of another. Here are the GPTs of the last section once more.


# %% tags=["measure"]
def fewer_than_random(stream, batch=8):
    """The formula minus the mean of distinct experts in batches of the stream."""
    n = config.n_experts
    together = stream[..., : stream.shape[-1] // batch * batch].reshape(-1, batch)
    needed = torch.zeros(len(together), n).scatter(1, together, 1.0).sum(1).mean()
    return distinct_experts(n, 1, batch) - float(needed)


fewer = {name: [fewer_than_random(gpt) for gpt in s] for name, s in streams.items()}
claim(
    "09.8",
    "8 characters from anywhere in one text need fewer experts than the formula says, "
    "by more than 0.7",
    quantity="fewer experts than the formula says",
    unit="experts",
    measured=fewer["text by text"],
    holds=above(0.7),
    control=fewer["mixed"],
    control_is="from three texts",
)

# %% tags=["measure"]
more = np.mean(fewer["in order"]) - np.mean(fewer["text by text"])
print("in a row, 8 characters save less than 0.3 experts more:", bool(more < 0.3))

# %% [markdown]
# ## Many users: where it pays
#
# A good place for a break.
#
# An expert is **full** when computing its tokens takes as long as reading its weights (in the fleet further down, with
# `READ / COMPUTE` tokens). How many does it get? Here is the answer to the guess, counted with the formula.

# %% tags=["measure"]
for batch in (1, 4, 16, 64, 256, 1024, 4096):
    n_asked = distinct_experts(E, K, batch)
    print(
        f"{batch:5,} tokens: it reads {n_asked / K:3.1f} times as much as for one, and an "
        f"expert asked gets {batch * K / n_asked:5.1f}"
    )

# %% tags=["guess", "nbval-ignore-output"]
reveal("09.sixteen", distinct_experts(E, K, 16) / K)

# %% [markdown]
# `small` reads the same for any number of tokens, and so does `large`. Now as a curve in time: from how many tokens on does
# the mixture take nearly as little as `small`?

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
batches = [1, 4, 16, 64, 256, 1024, 4096]
shown = ["small", "mixture", "large"]
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
    alt="Microseconds per token: "
    + "; ".join(
        f"{batch} tokens: " + ", ".join(f"{n} {times_at[n][i]:.0f}" for n in shown)
        for i, batch in enumerate(batches)
    ),
    height=300,
)

# %% [markdown]
# Read it from left to right, beside the counts. One token: the mixture reads and multiplies as much as the small layer. A
# few tokens: it still multiplies as little, but reads more and more, with sixteen nearly as much as the large one. Many
# tokens: it reads everything, but each weight that is read serves many. Where that makes up for the reading is what the
# title says, in all and for each expert. It is another number on another machine.

# %% tags=["measure"]
many = times(["small", "mixture", "mixture, all asked", "large"], 1024, turns=5)
claim(
    "09.11",
    "1,024 tokens take the mixture less than twice as long as the small layer",
    quantity="time",
    unit="times as long",
    measured=many["mixture"] / many["small"],
    holds=in_the_median(below(2)),
    control=few["mixture"] / few["small"],
    control_is="16 tokens",
    timed=True,
)

# %% tags=["measure"]
claim(
    "09.12",
    "For 1,024 tokens the mixture is more than three times as fast as the large layer",
    quantity="speed",
    unit="times as fast",
    measured=many["large"] / many["mixture"],
    holds=in_the_median(above(3)),
    control=many["large"] / many["mixture, all asked"],
    control_is="all experts asked",
    timed=True,
)

# %% [markdown]
# ## Further: a place for every token, the capacity
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
    "09.13",
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
    "09.14",
    "Keeping whoever comes first drops more late choices than early ones: the last "
    "quarter loses 10 points more than the first",
    quantity="late losses beyond the early ones",
    measured=[late_minus_early(seed, by_position=True) for seed in seeds(20)],
    holds=above(0.1),
    control=[late_minus_early(seed, by_position=False) for seed in seeds(20)],
    control_is="keeping the highest gate weights",
)

# %% [markdown]
# ## Further: a fleet, latency against load
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
    "09.15",
    "At 4 requests a second, the simulated large model takes more than 1.4 times as "
    "long for a request as the mixture",
    quantity="time of a request",
    unit="times as long",
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
    alt="; ".join(
        f"{name}: "
        + ", ".join(f"{w:.2f} s at {r}" for r, w in zip(rates, ws, strict=True))
        for name, ws in waits.items()
    ),
    height=360,
)

# %% [markdown]
# At a low rate the mixture reads few experts. In the middle it reads all of them, and is no faster than the large model
# (the control of 09.15). Under a heavy load reading is shared by so many tokens that arithmetic decides, and there the
# mixture has less to do: look at how many requests the fleets above can serve, and where the lines part again.
#
# A fleet that gets more requests than it can serve has no mean latency: the queue grows for as long as requests come. So
# we do not compare latencies there, but send twice as many requests at the same rate, and see who falls behind.


# %% tags=["measure"]
def growth(name, rate):
    """Mean latency of 8,000 requests as a multiple of that of 4,000, seed by seed."""
    return [latency(name, rate, s, 8000) / latency(name, rate, s) for s in seeds(10)]


claim(
    "09.16",
    "At 1,500 requests a second, twice as many requests make the large model's mean "
    "latency more than 1.3 times as long: it falls behind",
    quantity="latency after twice as many requests",
    unit="times as long",
    measured=growth("large", 1500),
    holds=above(1.3),
    control=growth("mixture", 1500),
    control_is="the mixture at the same rate",
)

# %% [markdown]
# Now suppose that four experts are four times as popular as the others. Does it matter where they live?

# %% tags=["measure"]
claim(
    "09.17",
    "At 3,000 requests a second, a mixture with its four popular experts on one machine "
    "falls behind: twice as many requests make its mean latency more than 1.25 times as "
    "long",
    quantity="latency after twice as many requests",
    unit="times as long",
    measured=growth("popular together", 3000),
    holds=above(1.25),
    control=growth("popular apart", 3000),
    control_is="the popular experts on four machines",
)

# %% [markdown]
# ## Further: more than one machine
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
    "09.18",
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
#
# ## The verdict
#
# The three columns are layers in turn on one thread, with more and more tokens; no phone and no graphics processor was
# measured. What is used is counted, what it takes is timed on this machine.

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
of_large = f"{resident['mixture'] / resident['large']:.0%} (09.3)"


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
            f"{ratio(alone, 'mixture', 'large', 2)} (09.4)",
            f"{ratio(few, 'mixture', 'large', 2)} (09.10)",
            f"{ratio(many, 'mixture', 'large', 2)} (09.12)",
        ],
        "time, times small's": [
            f"{ratio(alone, 'mixture', 'small')} (09.5)",
            f"{ratio(few, 'mixture', 'small')} (09.9)",
            f"{ratio(many, 'mixture', 'small')} (09.11)",
        ],
    },
    title="What the mixture needs of the large layer's memory, weights, multiplications "
    "and time",
    note="Measured on this page; in brackets the claim that carries it. Weights do not "
    "depend on the batch, so the memory was measured once.",
)

# %% tags=["quiz", "nbval-ignore-output"]
quiz("09")

# %% [markdown]
# ## Try it
#
# 1. Halve `intermediate_size` in `my_config`, and double both numbers of experts. What happens to the total, to the
#    active part, and to `distinct_experts` of 8 tokens? Where would you rather run the finer mixture?
# 2. In the cell that begins with `READ, COMPUTE`, set `READ` to nearly zero, then `COMPUTE` instead, and run the fleet's
#    cells again. In which of the two is the mixture no better than the large model, and in which as good as the small
#    one? A claim may fail: that is the answer.
# 3. Train the GPTs of the offloading section as lesson 08 does, 600 steps of 16 pieces. Does a text still keep to its
#    experts? Then train them with `balance=0`. Fewer fetches or more? Look at the shares, as in lesson 05, before you
#    praise it.
# 4. Take the capacity factor that loses next to nothing with 1,024 tokens and an even popularity. What does it lose
#    with 16?
#
# ## Recap
#
# - Count part by part. The active part is larger than k/E, since attention, embedding and router work for every token.
# - A mixture has the memory of its total. Mapped from a file, a token touches a part of it, and a text all of it. Part of it
#   can stay on disk while the stream keeps to its subject.
# - One token: the mixture reads and multiplies as little as the small layer. A few tokens: each asks for two experts, so it
#   multiplies as little, but reads nearly as much as the large one. Many tokens: it reads everything, and each weight
#   serves many. The claims say what this is in time; a fair opponent has its weights in memory, not in the cache.
# - Tokens of one subject share experts: fewer are fetched, and a batch needs fewer, than by chance. It matters little
#   whether they are neighbours.
# - Capacity drops tokens by chance even under perfect balance, if they are few. Keeping the highest weights lets later
#   tokens decide about earlier ones; keeping whoever comes first drops the late ones.
# - Over machines, latency waits for the busiest one, and most choices travel.
#
# **Sources.** Mixtral: [Jiang et al. 2024](https://arxiv.org/abs/2401.04088). Capacity:
# [Fedus et al. 2021](https://arxiv.org/abs/2101.03961), equation 3; with k, and experts over machines:
# [Lepikhin et al. 2020](https://arxiv.org/abs/2006.16668). Keeping the highest weights:
# [Riquelme et al. 2021](https://arxiv.org/abs/2106.05974), section 4. A memory of the experts last used:
# [Eliseev and Mazur 2023](https://arxiv.org/abs/2312.17238). Reading against computing:
# [Williams et al. 2009](https://doi.org/10.1145/1498765.1498785). Batches that requests join and leave:
# [Yu et al. 2022](https://www.usenix.org/conference/osdi22/presentation/yu). Few machines for a token:
# [DeepSeek-V3 2024](https://arxiv.org/abs/2412.19437), section 2.1.2.
