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
# # Modern MoE
#
# 10 minutes. You leave able to count a published model's parameters from its `config.json`, and to say which part of
# them works for a token.
#
# So far a mixture was good or bad by its accuracy. Now to the models that people use. Each states two sizes: all of its
# parameters, and those that are active for one token.

# %% tags=["setup"]
import textwrap

from moe_tutorial.course import guess, quiz, reveal
from moe_tutorial.show import explorable, look, scatter, table
from moe_tutorial.study import (
    above,
    below,
    claim,
    count_parameters,
    in_every_seed,
    multiplications_per_token,
    parts,
    published,
)

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

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.active",
    "Mixtral 8x7B has eight experts in each layer, and asks two of them for each token. "
    "Which part of all its parameters is active for a token?",
    slider=(0, 100, 1, "%"),
)


# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output", "09.active"]
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

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
counted_mixtral = models["Mixtral 8x7B"].counted
reveal("09.active", 100 * counted_mixtral.active / counted_mixtral.total)

# %% [markdown]
# Look at the two columns on the right. If *active is k/E of the total* were right, they would be equal.


# %% tags=["measure", "09.active"]
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

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output", "09.active"]
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

# %% tags=["09.active"]
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

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("09")

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

# %% tags=["measure", "09.active"]
for name, model in models.items():
    print(textwrap.fill(f"{name}: {model.note}", 88, subsequent_indent="    "))

# %% [markdown]
# ## Try it
#
# 1. Halve `intermediate_size` in `my_config`, and double both numbers of experts. What happens to the total, and to the
#    active part?
# 2. Take the `config.json` of a model that you know, and hold the count against what its publisher states.
#
# ## Recap
#
# - Count part by part. The active part is larger than k/E, since attention, embedding and router work for every token.
# - Eight experts of a 7B model are not 56 billion parameters: they share all the rest.
#
# **Sources.** Mixtral: [Jiang et al. 2024](https://arxiv.org/abs/2401.04088).
