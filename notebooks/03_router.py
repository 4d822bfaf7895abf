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
# # 03 The router
#
# 35 minutes. You leave able to turn an input into probabilities, a choice, and gate weights; to say what changes when
# softmax and top-k change places; and to write a mixture of experts, whole, in ten lines.
#
# In lesson 02 an oracle, which knows the right expert, chose. Now the layer has to choose for itself, from the input alone. The usual
# way is almost disappointingly plain: one matrix. Here is a digit on its way through what you will have written at the end.

# %% tags=["setup"]
# Setup: what this lesson uses, six digits, and a router's matrix.
import torch

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import MixtureOfExperts, Router
from moe_tutorial.show import (
    explore_router,
    grid,
    region_maps,
    token_path,
    watch_layer,
)
from moe_tutorial.study import (
    above,
    below,
    claim,
    digits4,
    exactly,
    in_every_seed,
    regimes_2d,
    seeds,
)

torch.set_num_threads(1)  # small models are fastest on one thread
torch.manual_seed(seeds(1)[0])

data = digits4("standardised")
tokens = data.x_test[:6]  # six digits, 64 pixels each
weight = torch.randn(8, 64) / 8  # a router's matrix: a row for each of 8 experts

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the way of one digit.
with torch.random.fork_rng(), torch.no_grad():  # what is drawn below stays the same
    preview = Router(d_model=64, n_experts=8, top_k=2)
    preview.weight.copy_(weight)
images = digits4("raw").x_test[:6].view(-1, 8, 8)
token_path(preview(tokens), 0, name="the first digit", image=images[0])

# %% [markdown]
# From left to right:
#
# 1. **Score.** The matrix has a row of weights for each expert. Its product with the token $x$, here the 64 pixels of a
#    digit, is that expert's *logit*.
# 2. **Compare.** The softmax turns a token's logits into probabilities: all positive, and they add up to 1.
# 3. **Choose.** The `k` largest stay. Their probabilities are the *gate weights* that scale the experts' answers.
# 4. **Join.** Ask the chosen experts, weigh what they say, add it up. $E_i(x)$ is what expert $i$ says.

# %% [markdown]
# ## Build it: three steps
#
# **Your turn.** Score, compare, choose: a line for each. `x` holds `T` tokens of width `d`, `weight` a row for each of `E`
# experts. The fourth step comes at the end of the lesson.


# %% tags=["exercise"]
def route(x, weight, k):
    """x (T, d), weight (E, d) -> chosen, best first, and gate weights, both (T, k)."""
    ### BEGIN SOLUTION
    logits = x @ weight.T
    probs = logits.softmax(dim=-1)
    weights, chosen = probs.topk(k, dim=-1)
    ### END SOLUTION
    return chosen, weights


# %%
route = check("03.route", route)

# %% [markdown]
# That is a router. The package's `Router` does the same and returns all of it, as a `Routing`. (A wrong axis in such
# a line was a real bug: [the larger the batch, the weaker the layer](museum.ipynb#the-larger-the-batch-the-weaker-the-layer).)

# %%
chosen, weights = route(tokens, weight, k=2)

router = Router(d_model=64, n_experts=8, top_k=2)
with torch.no_grad():
    router.weight.copy_(weight)
routing = router(tokens)

assert torch.equal(routing.indices, chosen)
assert torch.allclose(routing.weights, weights)
print("a Routing has", ", ".join(routing._fields[:4]))

# %% [markdown]
# ## Turn the temperature
#
# Can we change the choice without a change of the matrix? A **temperature** divides all logits before the softmax. A token divided by 3 has
# logits divided by 3, so `route(x / 3, ...)` routes at temperature 3.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "03.temperature",
    "Turn the temperature up, and the probabilities come closer together. How many of a hundred tokens will go "
    "to another expert than before?",
    slider=(0, 100, 1, "of 100"),
)

# %%
x, W = data.x_test.double(), weight.double()  # in float64
before, _ = route(x, W, k=2)
otherwise = []
for temperature in (0.1, 0.3, 3.0, 10.0):
    now, _ = route(x / temperature, W, k=2)
    otherwise.append((now != before).any(-1).double().mean().item())

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
moved = max(otherwise)
reveal(
    "03.temperature",
    100 * moved,
    says=f"At 0.1, 0.3, 3 and 10 none of {len(x):,} digits goes to other experts. Dividing all logits by one positive number "
    "keeps their order, and top-k looks at nothing else. What can move is how much the chosen ones count.\n\n"
    "(If experts were drawn from the probabilities, temperature would change the choice as well. Mixtures of experts as they are built today "
    "rarely draw.)"
    if moved == 0
    else f"At one of the four temperatures, {100 * moved:.1f} % of the digits go to other experts.",
)

# %% [markdown]
# ## See it: the plane, divided
#
# Digits have 64 dimensions. To see what a router does, we give it points with two. Each place in the picture has the
# colour of the expert that gets it, deeper where the router is surer.

# %% tags=["setup"]
# Setup: points in the plane, and two fresh routers for them.
points = regimes_2d(n=240, seed=seeds(1)[0])


def fresh_router(d_model, n_experts=6):
    """A router with weights large enough to have an opinion."""
    router = Router(d_model, n_experts, top_k=1)
    torch.nn.init.normal_(router.weight, std=2.0)
    return router


def with_one(x):
    """The points with a third coordinate that is always 1."""
    return torch.cat([x, torch.ones(len(x), 1)], dim=-1)


through_the_middle = fresh_router(2)
anywhere = fresh_router(3)
places = grid(points.x_train, 96)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the regions of the two routers.
with torch.no_grad():
    views = {
        "two inputs": through_the_middle(places).probs,
        "two inputs and a 1": anywhere(with_one(places)).probs,
    }
owners = [len(view.argmax(-1).unique()) for view in views.values()]
region_maps(
    views,
    places,
    points.x_train[:120],
    points.y_train[:120],
    title="Every border is straight; with a constant input it need not pass through the middle",
    note=f"Two fresh routers with six experts each; {owners[0]} and {owners[1]} of them own a part. Shape: the class.",
    alt=(
        f"Two maps of the plane. On the left {owners[0]} regions, wedges that meet in "
        f"the middle; on the right {owners[1]}, polygons."
    ),
)

# %% [markdown]
# On the border between two experts their logits are equal: $(w_i - w_j) \cdot x = 0$. On the left that is a straight line through the
# middle, where $x = 0$; you see the part where these two beat all others. Add an input that is always 1, and each expert gets an offset:
# the cuts may lie anywhere. In both maps they are straight. An expert that is nowhere the largest owns nothing.
#
# ## The order of softmax and top-k
#
# There are two ways to get gate weights for the chosen, and papers use both.
#
# - **Softmax, then top-k** (Switch Transformer, OLMoE): as above, probabilities over all experts, of which the `k` largest
#   stay. They add up to less than 1. Some models then divide by their sum, which is called *renormalising*.
# - **Top-k, then softmax** (Shazeer et al., Mixtral): keep the `k` largest logits, softmax over those. They add up to 1.
#
# **Your turn.** The second way, from the logits on.


# %% tags=["exercise"]
def topk_then_softmax(logits, k):
    """logits (T, E) -> gate weights of each token's k experts, best first (T, k)."""
    ### BEGIN SOLUTION
    return logits.topk(k, dim=-1).values.softmax(dim=-1)
    ### END SOLUTION


# %%
topk_then_softmax = check("03.topk_then_softmax", topk_then_softmax)

# %% [markdown]
# Both ways for one token, the first also renormalised. (The chosen are the same each time, since softmax keeps the order of the logits.)

# %% tags=["measure"]
# Measured: the gate weights of one token, in three ways.
some_logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
for k in (1, 2):
    first = some_logits.softmax(-1).topk(k).values
    rows = {
        "softmax, then top-k": first,
        "softmax, then top-k, renormalised": first / first.sum(-1, keepdim=True),
        "top-k, then softmax": topk_then_softmax(some_logits, k),
    }
    print(f"k = {k}")
    for order, row in rows.items():
        numbers = "  ".join(f"{w:.3f}" for w in row[0])
        print(f"  {order:34} {numbers}   sum {row.sum():.3f}")

# %% [markdown]
# Two things stand out. At `k = 2` the last two lines agree. *Why:* both are $e^{z_i}$ over a sum of exponentials, where
# $z_i$ is a logit. Renormalising cancels the sum over all experts and leaves the sum over the chosen.
#
# And at `k = 1` both say 1.000. *Why:* a number over itself. Do both hold for every digit?

# %%
logits = x @ W.T
first = logits.softmax(-1).topk(2).values
renormalised = first / first.sum(-1, keepdim=True)
assert torch.allclose(renormalised, topk_then_softmax(logits, 2))
best = logits.softmax(-1).topk(1).values
assert (best / best.sum(-1, keepdim=True) == 1).all()
assert (topk_then_softmax(logits, 1) == 1).all()
print(f"at k = 2 the two agree, and at k = 1 both are 1, for all {len(x):,} digits")

# %% [markdown]
# A weight that is always 1 looks harmless. The next lesson shows what it breaks.

# %% [markdown]
# ## Push it around
#
# Take `anywhere`, the router that also reads the 1. Turn the temperature, choose more experts for a token (`k`), change the order of softmax and top-k, and
# click on a point to see its probabilities and gate weights.
#
# Which of your moves shift the *borders*, and which shift only the *weights*?

# %% tags=["draw", "nbval-ignore-output"]
# A router to push around.
explore_router(lambda x: anywhere(with_one(x)), points.x_train, points.y_train)

# %% [markdown]
# ## Measure it: what a linear router cannot do
#
# With *one* expert chosen, an expert wins a point if its logit is larger than every other expert's. Each of these comparisons is one
# straight cut, and keeps one side of it. What is left after all cuts is *convex*: if two points are in the region, so is every point
# between them. We take many pairs of digits that go to the same expert, and ask whether their midpoint goes there, too. The control has a
# hidden layer in the router, and may bend its borders.

# %% tags=["measure"]
# Claim 03.1.
pairs = torch.randint(
    len(x), (2, 20_000), generator=torch.Generator().manual_seed(seeds(1)[0])
)


def betrayed(logits, top_k=1):
    """Of the experts that both digits of a pair go to: per cent to which their midpoint does not go."""

    def chosen(x):
        indices = logits(x).topk(top_k).indices
        return torch.zeros(len(x), 8).scatter(-1, indices, 1.0).bool()

    first, second = x[pairs[0]], x[pairs[1]]
    shared = chosen(first) & chosen(second)
    lost = shared & ~chosen((first + second) / 2)
    return 100 * (lost.sum() / shared.sum()).item()


straight, bent, two_chosen = [], [], []
for seed in seeds(10):
    draw = torch.Generator().manual_seed(seed)
    rows, hidden = (
        torch.randn(8, 64, generator=draw, dtype=torch.float64) for _ in range(2)
    )
    straight.append(betrayed(lambda x, rows=rows: x @ rows.T))
    two_chosen.append(betrayed(lambda x, rows=rows: x @ rows.T, top_k=2))
    bent.append(
        betrayed(
            lambda x, rows=rows, hidden=hidden: (x @ rows.T).tanh() @ hidden[:, :8]
        )
    )

claim(
    "03.1",
    "With one expert chosen, a linear router's regions are convex: if two inputs go to one expert, so does every input between them",
    measured=straight,
    holds=exactly(0),
    control=bent,
    control_is="a router with a hidden layer",
    quantity="shared experts lost at the midpoint (%)",
)

# %% [markdown]
# So with one expert chosen, a linear router cannot give an expert two groups of tokens and leave a group between them to another.
#
# With *two* chosen it is another matter: there an expert's region is where it is among the chosen. Let experts A, B and C have the logits 4, 0, 1 at one end, and 0, 4, 1 at the other: C is second at
# both. In the middle a linear router's logits are the averages: 2, 2, 1. There C is third, and is not chosen. That is rare here, and it happens:

# %% tags=["measure"]
# Claim 03.2.
claim(
    "03.2",
    "With two experts chosen, there are inputs that both go to an expert to which their "
    "midpoint does not go",
    measured=two_chosen,
    holds=in_every_seed(above(0)),
    control=straight,
    control_is="one expert chosen",
    quantity="shared experts lost at the midpoint (%)",
    refutes="A linear router's regions are convex, however many experts are chosen",
)

# %% [markdown]
# ## A mixture, whole
#
# You have a router that chooses two experts for a token and says how much each should count. Put experts behind it. What is
# missing is the sentence that joins them: *ask the chosen ones, weigh what they say, add it up.*
#
# $$y = \sum_{i \in \text{chosen}} g_i \, E_i(x)$$
#
# where $g_i$ is the gate weight of expert $i$.
#
# **Your turn.** `chosen` and `weights` are what your router returns, and `experts[i](x)` is what expert *i* says to the
# tokens `x`. A loop that asks every expert about all tokens is fine here. It saves no work; speed comes later.


# %% tags=["exercise"]
def my_mixture(x, chosen, weights, experts):
    """x (T, d), chosen and weights (T, k), a list of E experts -> y (T, d_out)."""
    y = 0
    ### BEGIN SOLUTION
    for i, expert in enumerate(experts):
        counts = weights * (chosen == i)  # 0 where the token did not choose expert i
        y = y + counts.sum(-1, keepdim=True) * expert(x)
    ### END SOLUTION
    return y


# %%
my_mixture = check("03.my_mixture", my_mixture)

# %% [markdown]
# That is the whole layer. Large models keep this core. They add ways to balance the experts and to run them fast, which later lessons
# build. Here it is beside the package's, with your router's choices and the same experts.

# %%
moe = MixtureOfExperts(
    d_model=64, d_hidden=8, n_experts=8, top_k=2, router=router, d_out=10
)
# moe.experts(x) is every expert's answer, (T, 8, 10); expert i's is slice i.
experts = [lambda x, i=i: moe.experts(x)[:, i] for i in range(8)]
chosen, weights = route(tokens, router.weight, k=2)
y = my_mixture(tokens, chosen, weights, experts)

package, routing = moe(tokens)
assert torch.allclose(y, package, atol=1e-6)
print("your layer and the package's say the same about", len(y), "digits")

# %% [markdown]
# The way of another digit through the same layer:

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the way of the second digit.
token_path(routing, 1, name="the second digit", image=images[1])

# %% [markdown]
# And one more guess: does an expert's number matter?

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "03.order",
    "Somebody reverses the order of the experts, and of the router's rows with them. How much does the output change?",
    choices=["not at all", "a little", "completely"],
)

# %%
with torch.no_grad():
    renumbered = route(tokens, router.weight.flip(0), k=2)
    moved = (my_mixture(tokens, *renumbered, experts[::-1]) - y).abs().max().item()

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
same = moved < 1e-6
reveal(
    "03.order",
    "not at all" if same else "completely",
    says="The number is only a label. Each expert moved together with its row, so each token met the same experts with the same weights."
    if same
    else f"The largest change of an output is {moved:.2f}.",
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("03")

# %% [markdown]
# ## Try it
#
# 1. In the explorer, set `k` to 2 and change the order. The borders stay; look at the weights of one point. Then do the
#    same at `k = 1`.
# 2. Make the weights of `anywhere` smaller: `with torch.no_grad(): anywhere.weight.mul_(0.05)`, and run the maps again. Its
#    borders stay, and its colours fade. What has become of the gate weights, and of the output that they scale? (`mul_(20)` restores them.)
# 3. In a new cell, hand `explore_router` a router of your own, any function from (N, 2) to (N, experts):
#    `explore_router(lambda x: -torch.cdist(x, points.x_train[:6]), points.x_train, points.y_train)` sends each point to the nearest of six.
# 4. In the [playground](playground.ipynb#preset=rules) a router learns on four quarters with a rule each. Press play,
#    and watch the straight borders turn.
#
# Or let a router of this lesson learn: the one of the left map, with an untrained expert behind each of its six rows. The
# film shows 300 steps of its training. In JupyterLab, sliders train it again.

# %% tags=["draw", "nbval-ignore-output"]
# A film of this router's training.
moe = MixtureOfExperts(
    d_model=2, d_hidden=8, n_experts=6, top_k=1, router=through_the_middle, d_out=2
)
watch_layer(moe, points)

# %% [markdown]
# The borders turn, and stay straight. How a router can learn at all, with a choice in the middle, is the next lesson's
# question.
#
# ## Recap
#
# - A router is one matrix, a softmax, and a choice of the `k` largest.
# - A mixture asks the chosen experts, multiplies each answer by its gate weight, and adds them up.
# - With one expert chosen, each expert's region under a linear router is convex; with two it need not be.
# - Temperature never moves the borders. It moves the weights, except where they are always 1.
# - Softmax and top-k in either order choose the same experts. Renormalised softmax-then-top-k is top-k-then-softmax. With one expert chosen, both
#   give the expert a weight of 1, for every token.
#
# **Sources.** [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538) (top-k, then softmax);
# [Switch Transformers, Fedus et al. 2021](https://arxiv.org/abs/2101.03961) (softmax, then top-1);
# [OLMoE, Muennighoff et al. 2024](https://arxiv.org/abs/2409.02060) (softmax, then top-k, not renormalised);
# [Mixtral, Jiang et al. 2024](https://arxiv.org/abs/2401.04088).

# %% [markdown]
# ## Further
#
# ### The same over ten seeds, with controls
#
# Three theorems, and what each needs. The temperature has to be one for all experts:

# %% tags=["measure", "03.temperature"]
# Claim 03.3.
temperatures = torch.tensor([0.1, 0.3, 1.0, 3.0, 10.0], dtype=torch.float64)


def drawn(seed):
    """A router's matrix and the generator that drew it."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(8, 64, generator=draw, dtype=torch.float64) / 8, draw


def changed(divide):
    """Per cent of the digits that choose otherwise than at temperature 1, one number a seed."""
    parts = []
    for seed in seeds(10):
        rows, draw = drawn(seed)
        logits = x @ rows.T
        before = logits.softmax(-1).topk(2).indices
        moved = [
            (divide(logits, t, draw).softmax(-1).topk(2).indices != before).any(-1)
            for t in temperatures
        ]
        parts.append(100 * torch.stack(moved).double().mean().item())
    return parts


def of_its_own(logits, temperature, draw):
    """Each expert's logit divided by a temperature of its own."""
    return logits / (
        temperature * (0.5 + torch.rand(8, generator=draw, dtype=torch.float64))
    )


claim(
    "03.3",
    "Temperature, one for all experts, never changes which ones are chosen",
    measured=changed(lambda logits, temperature, draw: logits / temperature),
    holds=exactly(0),
    control=changed(of_its_own),
    control_is="each expert has a temperature of its own",
    quantity="digits whose experts or their order change (%)",
    refutes="A higher temperature sends tokens to other experts",
)

# %% [markdown]
# Softmax first agrees with top-k first only where it is renormalised:

# %% tags=["measure"]
# Claim 03.4.
orders = {
    "softmax, then top-k": {"gate": "softmax_topk"},
    "softmax, then top-k, renormalised": {"gate": "softmax_topk", "renormalize": True},
    "top-k, then softmax": {"gate": "topk_softmax"},
}


def gate_weights(order, top_k, x, weight):
    """Gate weights (tokens, k) of the package's router with this order."""
    router = Router(weight.shape[1], weight.shape[0], top_k, **orders[order]).to(
        x.dtype
    )
    with torch.no_grad():
        router.weight.copy_(weight)
        return router(x).weights


def gaps(order):
    """How far its gate weights are from those of top-k, then softmax: a number a seed."""
    return [
        (
            gate_weights(order, 2, x, drawn(seed)[0])
            - gate_weights("top-k, then softmax", 2, x, drawn(seed)[0])
        )
        .abs()
        .max()
        .item()
        for seed in seeds(10)
    ]


claim(
    "03.4",
    "Softmax, top-k, then renormalise is the same function as top-k, then softmax",
    measured=gaps("softmax, then top-k, renormalised"),
    holds=in_every_seed(below(1e-12)),
    control=gaps("softmax, then top-k"),
    control_is="not renormalised",
    quantity="largest difference of two gate weights (of a weight of 1)",
)

# %% [markdown]
# With one expert chosen, the weight is 1 for every token if the softmax runs over the chosen, or if the weights are renormalised:


# %% tags=["measure"]
# Claim 03.5.
def spread(order):
    """Standard deviation of the only gate weight over the digits: a number a seed."""
    return [
        gate_weights(order, 1, x, drawn(seed)[0]).std().item() for seed in seeds(10)
    ]


claim(
    "03.5",
    "With one expert chosen, a softmax over the chosen gives every token the same "
    "gate weight",
    measured=spread("top-k, then softmax"),
    holds=exactly(0),
    control=spread("softmax, then top-k"),
    control_is="softmax over all experts",
    quantity="standard deviation of the gate weight (of a weight of 1)",
)

# %% [markdown]
# So which gate weights does temperature move? All but those that are always 1:

# %% tags=["measure"]
# Measured: the largest change of a gate weight at temperature 3.
print("Temperature 3 moves a gate weight by at most")
for top_k in (1, 2):
    for order in orders:
        moved = gate_weights(order, top_k, x / 3, W) - gate_weights(order, top_k, x, W)
        print(f"  k = {top_k}  {order:34} {moved.abs().max():.2f}")
