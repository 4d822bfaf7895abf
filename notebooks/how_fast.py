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
# # How fast
#
# Is the course's own layer a toy? Here it runs beside the code that people use: the loop that tutorials teach, and the
# three ways of the `transformers` library. All compute the same numbers from the same weights, on one thread, in turns.

# %%
from moe_tutorial.show import curves, interval_chart, table
from moe_tutorial.show.figures import Line
from moe_tutorial.study.systems import speed

found = speed.measured()
print(speed.machine_lines(found))

# %% [markdown]
# ## Time over tokens
#
# Read a line from left to right: with more tokens at once, a token costs less. The dotted line is the limit: the time in
# which memory could bring the weights, or the processor could do the products, whichever takes longer. Its pace is that of
# BLAS, the library that multiplies PyTorch's matrices.

# %% tags=["draw", "nbval-ignore-output"]
STYLES = {
    "ours": ("text", "-"),
    "loop": ("muted", "-"),
    "eager": ("muted", "--"),
    "grouped_mm": ("accent", "-"),
}


def over_tokens(n_experts: int, training: bool, title: str):
    """A picture of microseconds for each token."""
    cells = found["cells"]
    times, limit = speed.over_tokens(cells, n_experts, d=256, k=2, training=training)
    of = {"limit": limit, **{name: times[name] for name in STYLES if name in times}}
    lines = {}
    for name, seconds in of.items():
        color, dash = STYLES.get(name, ("muted", ":"))
        micros = [1e6 * took / tokens for tokens, took in seconds.items()]
        lines[name] = Line(
            [*seconds], micros, dash, color, "●" if name in STYLES else ""
        )
    spoken = "; ".join(f"{name}: {line.y[-1]:.0f} µs" for name, line in lines.items())
    return curves(
        lines,
        title,
        f"{n_experts} experts of width 512, top 2, width 256.",
        alt=f"{title}. With the most tokens, {spoken} for each.",
        x="tokens at once",
        y="µs a token",
        log="xy",
        xticks=[*times["ours"]],
        legend=True,
    )


over_tokens(8, training=False, title="Eight experts, forward")

# %% tags=["draw", "nbval-ignore-output"]
over_tokens(
    64,
    training=True,
    title="64 experts, training: all their weights get a gradient, used or not",
)

# %% [markdown]
# ## All shapes
#
# One ratio for each shape: our time over that of the fastest of the others.

# %%
all_of_them = speed.summary(found["cells"])
print(
    f"{all_of_them['cells']} shapes: {all_of_them['level']:.0%} take at most the time of the fastest other,"
)
print(
    f"{all_of_them['faster']:.0%} at most nine tenths of it; geometric mean {all_of_them['mean']:.2f}"
)
low, middle, high = all_of_them["worst"]["ratio"]
print(f"the worst: {middle:.2f} ({low:.2f} to {high:.2f}), with")
print(speed.named(all_of_them["worst"]))

# %% tags=["draw", "nbval-ignore-output"]
rows: dict[str, list[str]] = {}
for one in found["cells"]:
    name = " · ".join(f"{one[size]:,}" for size in "TEdk")
    row, place = rows.setdefault(name, [""] * 4), 2 * one["training"]
    row[place] = f"{one['ratio'][1]:.2f}"
    row[place + 1] = f"{one['limit'] / one['seconds']['ours']:.0%}"
header = ["T · E · d · k", "forward", "of the limit", "training", "of the limit"]
note = "Below 1, ours is the faster. Beyond 100 %, weights were still in the cache."
table(header, rows, "Time over that of the fastest other, float32", note)

# %% [markdown]
# ## What each trick brings
#
# Each line takes away one trick, and the step goes the next best of the ways that are left: how many times as long does it
# take?

# %% tags=["draw", "nbval-ignore-output"]
gains = {
    f"{trick['name']}\n{trick['shape']}": speed.interval(trick["gain"])
    for trick in found["tricks"]
}
interval_chart(
    gains,
    "How many times as long it takes without",
    "Median and 95 % interval over turns.",
    unit="times",
    zero=1,
)

# %% [markdown]
# - **Sorting.** Sort the choices once, and each expert's tokens are a slice. The tutorial's loop, which stands here for
#   the way without, searches all tokens for each expert, and has its experts in a list.
# - **No padding.** To make the slices equally long, so that one regular product does, is to multiply zeros.
# - **Unbinding.** `w[e]` in a loop makes, on the way back, a gradient as large as the whole stack for each expert.
#   `unbind` hands out all of them at once.
# - **BLAS from a kernel.** A compiled loop over the experts calls BLAS, and does the small work in between while the tokens
#   are in the cache. From Python, each product has a cost before it begins, and a training step makes nine for each expert.
#   The way without is plain PyTorch, sorted and unbound.
# - **Memory that stays.** A fresh array of megabytes comes from the system page by page, zeros first. The layer writes each
#   gradient where that of the step before lay.
# - **Each weight once.** For few tokens of an expert, a product waits for the weights to come from memory. A kernel of its
#   own reads each of them once, for all of these tokens. The way without is BLAS from a kernel.
# - **One call.** With one token, what PyTorch does around its small products takes longer than they do. Compiled, the experts
#   are one call. The way without is plain PyTorch again.
#
# In other dtypes than float32, and in `torch.compile`, the layer is plain PyTorch: as right, and not measured here.

# %% [markdown]
# ## Beside one dense layer
#
# The dense layer has the size that a token uses. With one token both sides are eight layers in turn, as in a model, so that
# weights come from memory. The dense layer is plain PyTorch, and fetches new arrays each time. The last three lines are
# training steps of lesson 08's GPT with experts, over those of its dense GPT of equal cost, in a process that keeps its
# memory from step to step.

# %% tags=["draw", "nbval-ignore-output"]
dense = {
    name.split(":")[0].removeprefix("forward, "): speed.interval(ratio)
    for name, ratio in found["dense"].items()
}
interval_chart(
    dense,
    "Time over that of a dense layer of the active size",
    "Eight experts; forward, and whole training steps of lesson 08's GPT.",
    unit="times",
    zero=1,
)

# %%
print("at the peak of a training step, 8,192 tokens, 8 experts of width 512, top 2:")
for name, megabytes in found["memory"].items():
    print(f"{name:12} {megabytes:5.0f} MB")

# %% [markdown]
# `make bench` measures all of this anew, on your machine.
