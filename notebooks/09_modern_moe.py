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
# 40 minutes. You leave able to read from a config file what a model of 2026 chose, to build its choices, and to say which
# of them show in a small mixture.
#
# You have built the whole layer, and it has hardly changed since 2017. What changes from model to model are the choices
# around it: how many experts, how small, what keeps them even, and what they start from.

# %% tags=["setup"]
# Setup: what this lesson uses.
import textwrap

import torch
from torch import nn

from moe_tutorial import layers
from moe_tutorial.course import check, guess, my_moe, quiz, reveal
from moe_tutorial.layers import (
    BiasBalancer,
    HashRouter,
    MixtureOfExperts,
    Routing,
)
from moe_tutorial.show import (
    Line,
    bars,
    curves,
    explorable,
    is_narrow,
    look,
    message,
    picture,
    scatter,
    sweep,
    table,
)
from moe_tutorial.study import (
    above,
    below,
    claim,
    count_parameters,
    digits4,
    estimate,
    in_every_seed,
    max_share,
    multiplications_per_token,
    mutual_information,
    parts,
    published,
    refuted,
    seeds,
    share,
    specialisation,
    strength,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread
E = 8

# %% [markdown]
# ## What models chose
#
# A model on the Hugging Face hub comes with a `config.json`. It holds the layer's choices, and all that is needed to count the
# parameters: the **total**, and those that are **active** for one token. From Mixtral 8x7B's, what matters here:

# %%
mixtral = {
    "model_type": "mixtral",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,  # neurons of an expert
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
}

# %% tags=["setup"]
# Setup: published models, and the part of each that is experts.
models = {model.name: model for model in published()}


def mixtures():
    """The published models that have experts."""
    for model in models.values():
        experts = [part for part in parts(model.config) if part.name == "experts"]
        if experts:
            yield model, experts[0]


def billions(number):
    return f"{number / 1e9:.2f}" if number < 1e10 else f"{number / 1e9:.1f}"


# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.active",
    "Mixtral 8x7B has eight experts in each layer, and asks two of them for each token. "
    "Which part of all its parameters is active for a token?",
    slider=(0, 100, 1, "%"),
)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
counted = models["Mixtral 8x7B"].counted
part = counted.active / counted.total
reveal(
    "09.active",
    100 * part,
    says=f"Of {billions(counted.total)} billion parameters, {billions(counted.active)} are active"
    + (
        ", and not k/E of them, a quarter. A model is more than its experts: attention, embedding and output work for every "
        "token. For the same reason Mixtral 8x7B does not have 8 times 7 billion parameters: its eight experts share all the "
        "rest."
        if part > 0.26
        else ": k/E of them, a quarter."
    ),
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: what models chose.
def gate(choices):
    """How logits become weights, in short."""
    name = choices.gate.replace("top-k, then ", "").replace(
        "sqrt(softplus)", "√softplus"
    )
    return name.partition(",")[0]


def row(model, part):
    c = model.choices
    return [
        f"{model.active / model.total:.1%}",
        f"{part.active / part.total:.1%}",
        f"{model.active / 1e9:g} of {model.total / 1e9:,g}",
        f"{c.num_experts_per_tok} of {c.num_experts + c.zero_expert_num}",
        f"{c.n_shared_experts or ''}",
        f"{c.expert_width:,}",
        gate(c),
        str(model.year),
    ]


recent = [gate(model.choices) for model, _ in mixtures() if model.year >= 2025]
biased = [name for name in recent if "bias" in name]
columns = "part,k/E,active,experts,shared,neurons,gate,year"
table(
    ["", *columns.split(",")],
    {model.name: row(model, part) for model, part in mixtures()},
    title=f"{len(biased)} of {len(recent)} models since 2025 choose with a bias",
    note="Part: active over total. Active: of the total, in billions of parameters, as published. Experts: chosen for a "
    "token, of all in a layer (256 of LongCat's do nothing). Shared: experts for every token. Neurons: of one expert. "
    "Gate: how logits become weights. Year: of publication. All else is from each config.json.",
)

# %% [markdown]
# Read down a column. Experts are many and small now. Many models choose with a bias, be it on a sigmoid, a softmax or a √softplus, and
# some have a shared expert. Which of these choices can you see at work in a small mixture? That is this lesson.
#
# First the two columns on the left. If *active is k/E of the total* were right, they would be equal.

# %% [markdown]
# ## Count it
#
# **Your turn.** How many parameters are active? Two lines: in each layer, all experts but the chosen ones rest. Everything else
# works.


# %% tags=["exercise"]
def active_count(config, total):
    """A config like Mixtral's, all parameters -> how many are active for a token."""
    expert = 3 * config["hidden_size"] * config["intermediate_size"]  # three matrices
    ### BEGIN SOLUTION
    resting = config["num_local_experts"] - config["num_experts_per_tok"]
    return total - config["num_hidden_layers"] * resting * expert
    ### END SOLUTION


# %%
active_count = check("09.active_count", active_count)

# %% tags=["09.active"]
total = count_parameters(mixtral).total
print(f"total            {total:,}")
print(f"active           {active_count(mixtral, total):,}")
print(f"k/E of the total {total * 2 // 8:,}")


# %% tags=["measure", "09.active"]
# Claim 09.1.
def too_large(active, total, part):
    """How many times more than k/E of the total is active."""
    return active / (total * part.active / part.total)


over = [too_large(model.active, model.total, part) for model, part in mixtures()]
experts_alone = [too_large(part.active, part.total, part) for _, part in mixtures()]
claim(
    "09.1",
    "In every published mixture of the table, by its publisher's own figures, more than "
    "k/E of the parameters are active, by 5 % at least",
    quantity="active parameters over k/E of the total",
    measured=min(over),
    holds=in_every_seed(above(1.05)),
    control=min(experts_alone),
    control_is="the experts alone, by definition 1",
    refutes="A token meets k/E of the parameters",
)

# %% [markdown]
# ## Balance, over which batch?
#
# The first choice: over which tokens is the work to be even? A large model trains on many machines, and each gets a small part
# of the batch, a **micro-batch**: a few texts, perhaps all of one kind. For years each machine computed its own Switch loss.
#
# **Your turn.** Three lines: the loss of each group's tokens, and the mean of these losses. `loss` is any balance loss that
# takes `(probs, indices)`, such as your `switch_loss` of lesson 07. Groups have numbers, and some numbers may be missing.


# %% tags=["exercise"]
def micro_loss(loss, probs, indices, group):
    """probs (T, E), chosen (T, k), group of each token (T,) -> mean of the losses."""
    ### BEGIN SOLUTION
    rows = [group == g for g in group.unique()]
    losses = [loss(probs[own], indices[own]) for own in rows]
    return sum(losses) / len(losses)
    ### END SOLUTION


# %%
micro_loss = check("09.micro_loss", micro_loss)

# %% [markdown]
# With one group, it is the loss of the whole batch that you know. Now the four rules of `digits4` stand for four kinds of
# text. Ten mixtures are balanced over the whole batch, ten in four groups of random images, and ten in four groups of *one
# rule* each. All have 8 experts of 8 neurons, one chosen, and a Switch loss of 0.1, on standardised pixels.
#
# **Specialisation** says how much the choice of expert tells about the rule: 0 is nothing.

# %% tags=["setup"]
# Setup: the data, and how ten models are trained and watched.
data = digits4("standardised")
WATCHED = (25, 50, 100, 200, 400, 800)  # steps


def mixture(n_experts=E, width=8, top_k=1, **options):
    return MixtureOfExperts(64, width, n_experts, top_k, d_out=10, **options)


def dense(width):
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def balanced(routing, step):
    return 0.1 * layers.switch_loss(routing)


def learn(build, penalty=balanced, rate=None, data=data, steps=800):
    """Ten trained models, and per cent of test images right at the watched steps."""
    right = {}

    def watch(step, trained):
        if rate and trained.last_routing is not None:
            BiasBalancer(rate).update(
                trained.buffers["router.bias"], trained.last_routing.indices
            )
        if step in WATCHED:
            right[step] = 100 * trained.accuracy(data.x_test, data.y_test)

    trained = train(build, data, seeds(10), steps=steps, penalty=penalty, on_step=watch)
    return trained, right


# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.micro",
    "With a loss over the whole batch, a router learns more or less which rule an image "
    "follows. Now each group is of one rule. How much of this specialisation is left?",
    slider=(0, 100, 5, "%"),
)


# %% tags=["measure"]
# Measured: balance over the whole batch, and in groups.
class Told(nn.Module):
    """A mixture that hands out each image's rule, the last number of x, beside its routing."""

    def __init__(self):
        super().__init__()
        self.moe = mixture()

    def forward(self, x):
        y, routing = self.moe(x[..., :-1])
        return y, (routing, x[..., -1])


def in_groups(group_of, coefficient=0.1):
    """Your `micro_loss` with tables of 0 and 1 in place of rows, for many seeds at once."""

    def penalty(told, step):
        routing, rule = told
        member = (group_of(rule)[:, None] == torch.arange(4)).float()
        member = member / member.sum(0).clamp_min(1)  # each group's mean
        chosen = torch.zeros_like(routing.probs).scatter(-1, routing.indices, 1.0)
        f, P = member.T @ chosen, member.T @ routing.probs
        return coefficient * E * (f * P).sum(-1).mean()

    return penalty


def of_one_rule(rule):
    return rule


def at_random(rule):
    return torch.arange(len(rule)) % 4  # batches are in random order


def switch_loss(probs, indices):
    """That of lesson 07."""
    return layers.switch_loss(Routing(probs, probs, indices, indices.float()))


with_rule = data._replace(
    x_train=torch.cat([data.x_train, data.regime_train[:, None]], -1),
    x_test=torch.cat([data.x_test, data.regime_test[:, None]], -1),
)
whole, whole_right = learn(mixture)
grouped = {
    "groups at random": learn(Told, in_groups(at_random), data=with_rule),
    "groups of one rule": learn(Told, in_groups(of_one_rule), data=with_rule),
}
chosen = {"whole batch": whole.routing(data.x_test).indices} | {
    name: trained.routing(with_rule.x_test)[0].indices
    for name, (trained, _) in grouped.items()
}
right = {"whole batch": whole_right[800]} | {
    name: run[1][800] for name, run in grouped.items()
}


def special(indices):
    """Specialisation, one number a seed."""
    return torch.tensor([specialisation(i[:, 0], data.regime_test) for i in indices])


special_to = {name: special(indices) for name, indices in chosen.items()}

routing = whole.one(0)(data.x_test[::9])[1]  # your loss says the same
rule = data.regime_test[::9]
yours = micro_loss(switch_loss, routing.probs, routing.indices, rule)
assert torch.allclose(in_groups(of_one_rule, 1.0)((routing, rule), 0), yours)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
left = special_to["groups of one rule"].mean() / special_to["whole batch"].mean()
reveal(
    "09.micro",
    100 * left.item(),
    says=f"Specialisation is {special_to['whole batch'].mean():.2f} over the whole batch, "
    f"{special_to['groups at random'].mean():.2f} in groups at random, and {special_to['groups of one rule'].mean():.2f} in "
    "groups of one rule. "
    + (
        "What harms is not that groups are small, but that a group is of one rule: there each expert has to serve each rule."
        if left < 0.5
        else "So specialists may stay, though each group is of one rule."
    ),
)

# %% tags=["measure", "nbval-ignore-output"]
# Specialisation and accuracy, and what eight evenly used experts would show.
experts = torch.arange(16) // 2
in_pairs = 2 * (experts // 4) + torch.arange(16) % 2  # each expert serves two rules
for name in chosen:
    print(
        f"{name:18}  specialisation {special_to[name].mean():.2f}, {right[name].mean():.1f} % right"
    )
print("If eight evenly used experts shared the rules out,")
print(f"two for each rule:           {specialisation(experts, experts // 2):.2f}")
print(f"four for each pair of rules: {specialisation(experts, in_pairs):.2f}")


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: who serves which rule.
def who_serves(figure, theme):
    names = ["whole batch", "groups of one rule"]
    shape = (2, 1) if is_narrow(figure) else (1, 2)
    for axes, name in zip(figure.subplots(*shape).flat, names, strict=True):
        rules = [chosen[name][0, data.regime_test == r] for r in range(4)]
        shares = torch.stack([share(rule, E) for rule in rules])
        start = torch.zeros(4)
        for expert, part in enumerate(shares.T):
            color, on = (look.expert_color(expert, theme, w) for w in ("color", "on"))
            drawn = axes.barh(range(4), part, 0.8, start, color=color)
            texts = [str(expert) if p > 0.06 else "" for p in part]
            axes.bar_label(drawn, texts, label_type="center", color=on, fontsize=9)
            start = start + part
        axes.set_title(name, loc="left", color=look.color("muted", theme), fontsize=11)
        axes.set(xlim=(0, 1), xticks=[], yticks=range(4), ylim=(3.5, -0.5))
        axes.set_yticklabels([f"rule {r}" for r in range(4)])
        axes.spines[:].set_visible(False)


picture(
    who_serves,
    title=f"Balanced rule by rule, every expert serves every rule: {right['groups of one rule'].mean():.0f} % right, "
    f"against {right['whole batch'].mean():.0f} %",
    note="A row holds the test images of one rule. Number and colour: the expert that they go to. First of ten seeds.",
    alt="Two pictures, each with 4 rows, a rule each, divided among experts. Balanced over the whole batch, rules 0 and 2 "
    "share their experts, and 1 and 3 others; in groups of one rule, all experts serve all rules.",
    height=210,
    narrow_height=380,
)

# %% [markdown]
# Which rules share their experts under *whole batch*? Rules 0 and 2 show the same digits, upside down, and so do 1 and 3. So the
# router has learned the two pairs. Balanced rule by rule, it is kept from that.

# %% tags=["measure"]
# Claim 09.2.
claim(
    "09.2",
    "With a Switch loss of 0.1 in groups of one rule, the choice of expert tells next to nothing "
    "about the rule: specialisation below 0.15",
    measured=special_to["groups of one rule"],
    holds=below(0.15),
    control=special_to["groups at random"],
    control_is="groups of the same number, at random",
    quantity="specialisation (NMI)",
)

# %% [markdown]
# *Why?* Ask your own loss. Four tokens, two rules, two experts, and each expert keeps to its rule:

# %%
expert_of = torch.tensor([[0], [0], [1], [1]])
certain = torch.eye(2)[expert_of[:, 0]]
in_one, by_rules = torch.zeros(4, dtype=int), expert_of[:, 0]
print(f"whole batch: {micro_loss(switch_loss, certain, expert_of, in_one):.1f}")
print(
    f"in groups of one rule: {micro_loss(switch_loss, certain, expert_of, by_rules):.1f}"
)

# %% [markdown]
# Over the whole batch these two specialists are perfectly even. In groups of one rule they are as bad as can be: there each expert
# has to serve each rule.
#
# The cure costs next to nothing: add up the *counts* of all machines, and compute the loss from those.

# %% [markdown]
# ## Or no loss
#
# The other choice is lesson 07's **bias**, without any loss. After each step, the bias of every expert with less than the
# mean load goes up by a fixed rate, and that of every expert with more goes down. Loads are counts, so machines can add theirs up: then the bias
# balances the whole batch.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: a bias at a rate of 0.01, and no balance at all.
by_bias, by_bias_right = learn(lambda: mixture(bias=True), None, rate=0.01)
alone, alone_right = learn(mixture, None)
ways = {"Switch 0.1": whole, "bias": by_bias, "nothing": alone}
right |= {"Switch 0.1": whole_right[800], "bias": by_bias_right[800]}
right |= {"nothing": alone_right[800]}
busiest = {n: E * max_share(t.shares(data.x_test)) for n, t in ways.items()}
rows = {}
for name, trained in ways.items():
    indices = trained.routing(data.x_test).indices
    special_to[name] = special(indices)
    told = [mutual_information(i[:, 0], data.regime_test) for i in indices]
    rows[name] = [
        f"{busiest[name].mean():.1f}",
        f"{special_to[name].mean():.2f}",
        f"{sum(told) / len(told):.2f}",
        f"{right[name].mean():.1f}",
    ]

# %% tags=["draw", "nbval-ignore-output"]
# A table of balance with a loss, with a bias, and without.
table(
    ["", "busiest", "NMI", "bits", "% right"],
    rows,
    title=f"The busiest expert: {rows['Switch 0.1'][0]} times its part with the loss, {rows['bias'][0]} with the bias, "
    f"{rows['nothing'][0]} without",
    note="Means over ten seeds. Busiest: over an even part. NMI: specialisation. Bits: what the choice tells about the rule.",
)

# %% [markdown]
# At these settings the bias balances better than the loss, and the two are about equally accurate.
#
# Does balance cost specialisation? In part that is arithmetic. Specialisation divides the bits that the choice tells by the mean
# of two entropies, the experts' and the rules'. Where few experts work, their entropy is small, and so the quotient is large.
# Compare the bits, too.

# %% [markdown]
# ## How many experts?
#
# With one expert chosen, more experts cost a token nothing but a longer router. Here a row of the router takes 64
# multiplications, and an expert of 8 neurons 592. So we count both, and beside each mixture stands a dense network of *as
# many multiplications*.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.lead",
    "With 2, 4, 8, or 16 experts: where is the mixture furthest ahead of the dense network "
    "that does as many multiplications?",
    choices=["2", "4", "8", "16"],
)

# %% tags=["measure"]
# Measured: from 1 to 16 experts, and dense networks.
NEURON = 64 + 10  # multiplications of a neuron, in and out
counts = [1, 2, 4, 8, 16]
many, as_dense, bill = {1: learn(lambda: mixture(1))[1][800]}, {}, {}
small, small_right = learn(lambda: dense(8), None)
for n in counts:
    if n > 1:
        many[n] = whole_right[800] if n == E else learn(lambda n=n: mixture(n))[1][800]
    router = 64 * n if n > 1 else 0  # a single expert needs none
    width = round(8 + router / NEURON)
    run = small_right if width == 8 else learn(lambda w=width: dense(w), None)[1]
    as_dense[n] = run[800]
    bill[n] = f"{8 * NEURON + router:5,} multiplications", f"dense {width:2}"
lead = {n: many[n] - as_dense[n] for n in counts}

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
best = max(lead, key=lambda n: lead[n].mean().item())
reveal(
    "09.lead",
    str(best),
    says=f"With {best} experts the lead is {lead[best].mean():.1f} points, with 2 it is {lead[2].mean():.1f}, and with 16 "
    f"{lead[16].mean():.1f}. Each doubling costs more, as the router grows with the experts: at 16 of them it does most of the "
    "work."
    + (
        " And each helps less."
        if many[16].mean() - many[8].mean() < many[4].mean() - many[2].mean()
        else ""
    ),
)

# %% tags=["measure", "nbval-ignore-output"]
# Work and accuracy for each number of experts.
for n, (work, network) in bill.items():
    print(
        f"E = {n:2}: {work}, {many[n].mean():.1f} % right; {network}: {as_dense[n].mean():.1f} %"
    )

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: accuracy over the number of experts.
curves(
    {
        "mixture": Line(counts, [m.mean().item() for m in many.values()], marker="●"),
        "dense": Line(
            counts, [m.mean().item() for m in as_dense.values()], "--", "muted"
        ),
    },
    title=f"Ahead by {lead[best].mean():.0f} points with {best} experts, "
    f"by {lead[16].mean():.0f} with 16",
    note="digits4, standardised, means over ten seeds, test images. Dashed: the dense network of as many "
    "multiplications, the router counted.",
    height=280,
    x="experts",
    y="% right",
    log="x",
    xticks=counts,
    yticks=[75, 80, 85, 90],
)

# %% tags=["measure"]
# Claim 09.3.
claim(
    "09.3",
    "With 4 experts, one chosen, a mixture is more than four points more accurate than the "
    "dense network of as many multiplications",
    measured=lead[4],
    holds=above(4),
    control=lead[1],
    control_is="one expert, so that there is nothing to choose",
    quantity="accuracy over the dense network (points)",
)

# %% [markdown]
# Move the slider: how wide must experts be before the router is next to nothing?


# %% tags=["draw", "nbval-ignore-output"]
# A slider: the router's part of the work.
def work(width):
    costs = {"router": 64 * 16, "expert": width * NEURON}
    router = costs["router"] / sum(costs.values())
    return message(
        f"With experts of {width:,} neurons, the router does {router:.1%} of the work",
        "Multiplications for a token, 16 experts, one chosen.",
    ) + bars(costs, "multiplications", strong=["router"])


sweep(work, width=("Neurons of an expert", [8, 32, 128, 512, 2048]))

# %% [markdown]
# In the models of the first table an expert has hundreds of neurons, or thousands. So ours is a picture of a *small* model: count the router before you say
# that experts pay.

# %% [markdown]
# ## Start from a dense network
#
# Training a mixture from nothing is dear. If somebody has trained a dense network already, there is **upcycling**: each expert
# starts as a copy of that network, and the router starts anew. Where the gate weights add up to 1, the mixture then answers
# as the network does, whatever the router chooses. Ours, with one chosen, scales
# that answer by one gate weight: the likeliest class stays.
#
# **Your turn.** Make the experts. (`copy.deepcopy` copies a network.) Each has to be free to go its own way.


# %% tags=["exercise"]
def upcycle(dense, n_experts):
    """A trained network -> n_experts experts, an nn.ModuleList, that start as it is."""
    import copy

    ### BEGIN SOLUTION
    copies = [copy.deepcopy(dense) for _ in range(n_experts)]
    return nn.ModuleList(copies)
    ### END SOLUTION


# %%
upcycle = check("09.upcycle", upcycle)

# %% [markdown]
# Is that better than beginning anew? Ten dense networks of 8 neurons have trained for 800 steps. From there we train ten upcycled
# mixtures, and beside them ten mixtures *from scratch*, for as many steps. The dense networks go on, too.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.cross",
    "The upcycled mixtures begin ahead. After how many steps do those from scratch draw "
    "level with them?",
    choices=["up to 50", "50 to 200", "200 to 800", "more than 800"],
)

# %% tags=["measure"]
# Measured: upcycled, from scratch, and dense.
networks = [small.one(i) for i in range(10)]


def copies_of(network):
    """The package's mixture, whose experts start as copies of the network."""
    moe = mixture()
    first, _, last = network
    with torch.no_grad():
        moe.experts.w_in.copy_(first.weight)
        moe.experts.b_in.copy_(first.bias)
        moe.experts.w_out.copy_(last.weight.T)
        moe.experts.b_out.copy_(last.bias)
    return moe


yours = torch.stack([expert(data.x_test) for expert in upcycle(networks[0], E)], 1)
assert torch.allclose(copies_of(networks[0]).experts(data.x_test), yours, atol=1e-4)

first = copies_of(networks[0])(data.x_test)[0].argmax(-1)
same = (first == networks[0](data.x_test).argmax(-1)).float().mean()

each = iter(networks)
_, upcycled = learn(lambda: copies_of(next(each)))
_, untrained = learn(lambda: copies_of(dense(8)))
each = iter(networks)
_, goes_on = learn(lambda: next(each), None)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
level = [s for s in (50, 200, 800) if whole_right[s].mean() >= upcycled[s].mean()]
reveal(
    "09.cross",
    {50: "up to 50", 200: "50 to 200", 800: "200 to 800", 0: "more than 800"}[
        min(level, default=0)
    ],
    says="After 50 further steps the upcycled mixtures' lead over those from scratch is "
    f"{(upcycled[50] - whole_right[50]).mean():+.1f} points, after 200 {(upcycled[200] - whole_right[200]).mean():+.1f}, after 800 "
    f"{(upcycled[800] - whole_right[800]).mean():+.1f}. "
    + (
        "Upcycling saves the beginning. So Komatsuzaki et al., who saw upcycling win, and Nakamura et al., who saw it fall "
        "behind, may both be right: ask how long they went on."
        if level
        else "Here the lead lasts, as Komatsuzaki et al. saw it, and not Nakamura et al."
    ),
)

# %% tags=["measure", "nbval-ignore-output"]
# What each gets right on the way.
print(f"before the first step, {same:.0%} of the answers are the network's")
for step in (50, 200, 800):
    print(
        f"after {step:3} steps: upcycled {upcycled[step].mean():.1f} % right, "
        f"from scratch {whole_right[step].mean():.1f} %, dense {goes_on[step].mean():.1f} %"
    )

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: three ways on.
places = range(len(WATCHED))
lines = {
    "upcycled": (upcycled, "-", "text", "●"),
    "from scratch": (whole_right, "--", "muted", "●"),
    "dense goes on": (goes_on, ":", "muted", ""),
}
curves(
    {
        name: Line(places, [run[WATCHED[p]].mean().item() for p in places], *style)
        for name, (run, *style) in lines.items()
    },
    title=f"{upcycled[50].mean() - whole_right[50].mean():+.1f} points for the upcycled after 50 steps, "
    f"{upcycled[800].mean() - whole_right[800].mean():+.1f} after 800",
    note="digits4, standardised, means over ten seeds, test images.",
    height=300,
    x="further steps",
    y="% right",
    xticks={p: str(WATCHED[p]) for p in places},
)

# %% tags=["measure"]
# Claim 09.4.
claim(
    "09.4",
    "After 50 further steps, an upcycled mixture is more than four points ahead of one from "
    "scratch",
    measured=upcycled[50] - whole_right[50],
    holds=above(4),
    control=untrained[50] - whole_right[50],
    control_is="copies of a network that is not trained",
    quantity="accuracy over the mixture from scratch (points)",
)

# %% [markdown]
# ## This is yours
#
# Your `upcycle` goes into your `my_moe.py`, where your bias of lesson 07 is, too. There `upcycled(network, 8, 1)` turns
# a network of two layers into a mixture: your route, your mixture, and your copies.

# %%
mine = my_moe()  # in a terminal: python my_moe.py

# %% [markdown]
# ## The referee's table
#
# What sources say, and whether it shows in these small mixtures: ✓ it does, ✗ the opposite does, – the 95 % interval over the
# seeds, before rounding, has zero in it. (*Further* has more of them.)


# %% tags=["draw", "nbval-ignore-output", "09.micro", "09.lead", "09.cross"]
# Drawn: what sources say, and what was measured here.
def referee(sentences):
    """A table of what is said, and of the gain that was measured."""
    verdicts = {}
    for source, unit, sentence, gained in sentences:
        figure = estimate(gained)
        shows = "✓" if figure.low > 0 else "✗" if figure.high < 0 else "–"
        mean, interval = figure.rounded
        verdicts[f"{shows} {sentence} ({source})"] = [f"{mean} ({interval}) {unit}"]
    said = [row[0] for row in verdicts]
    return table(
        ["what is said: how it is asked here", "gain"],
        dict(sorted(verdicts.items(), key=lambda row: "✓✗–".index(row[0][0]))),
        title=f"{len(said)} sentences: {said.count('✓')} show, {said.count('✗')} show the opposite, "
        f"{said.count('–')} neither",
        note="digits4, standardised, 8 experts of 8 neurons, ten seeds, test images; 800 steps unless said, and 400 for "
        "tables, finer and shared experts.",
    )


every, by_rule = right["whole batch"], "groups of one rule"
sentences = [  # source, unit, how it is asked, and the gain that it expects, in each seed
    (
        "Qiu 2025",
        "NMI",
        "The whole batch lets experts specialise: against groups of one rule",
        special_to["whole batch"] - special_to[by_rule],
    ),
    (
        "Qiu 2025",
        "points",
        "So the mixture gets better: against groups of one rule",
        every - right[by_rule],
    ),
    (
        "Wang 2026",
        "points",
        "Balancing fights the model: no balance against Switch 0.1",
        right["nothing"] - every,
    ),
    (
        "Wang 2024",
        "points",
        "A bias is better than a loss: rate 0.01 against coefficient 0.1",
        right["bias"] - every,
    ),
    (
        "Ludziejewski 2025",
        "points",
        "Experts pay at equal cost: 4 against dense, the router counted",
        lead[4],
    ),
    (
        "Fedus 2021",
        "points",
        "More experts are further ahead of dense: 16 against 4",
        lead[16] - lead[4],
    ),
    (
        "Komatsuzaki 2022",
        "points",
        "Upcycling is ahead: after 50 further steps",
        upcycled[50] - whole_right[50],
    ),
    (
        "Nakamura 2025",
        "points",
        "Upcycling falls behind: after 800 further steps",
        whole_right[800] - upcycled[800],
    ),
]
referee(sentences)

# %% [markdown]
# A ✗ here does not refute a paper, whose models are large and read texts. It says that the effect is no law of mixtures. So ask
# of every such sentence: at which cost, after how many steps, and against what?

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("09")

# %% [markdown]
# ## Try it
#
# 1. Balance with a coefficient of 0.01 in groups of one rule: `weak, _ = learn(Told, in_groups(of_one_rule, 0.01),
#    data=with_rule)`. Is specialisation gone? `special(weak.routing(with_rule.x_test)[0].indices).mean()`
# 2. Let the networks train for 100 steps only before they are copied: `small, _ = learn(lambda: dense(8), None, steps=100)`. Do the
#    mixtures from scratch draw level sooner?
# 3. Take the `config.json` of a model that you know, and hold the count against what its publisher states.
#
# ## Recap
#
# - Models of today choose many small experts. More than k/E of their parameters are active.
# - Balance in groups of one kind takes away what experts specialise in. Count the load over the whole batch.
# - A bias balances without a loss.
# - More experts help, and the router has to be paid for: count it.
# - Upcycling saves the beginning. After 800 steps nothing was left of its lead.
#
# **Sources.** Balance over the whole batch: [Qiu et al. 2025](https://arxiv.org/abs/2501.11873). Against balancing, and the
# committee: [Wang et al. 2026](https://arxiv.org/abs/2601.03425); specialists: [the count on
# GLM-5.2](https://github.com/JustVugg/colibri/issues/175). Bias: [Wang et al. 2024](https://arxiv.org/abs/2408.15664). Mixtures
# against dense networks: [Ludziejewski et al. 2025](https://arxiv.org/abs/2502.05172), [Fedus et al.
# 2021](https://arxiv.org/abs/2101.03961). Tables: [Roller et al. 2021](https://arxiv.org/abs/2106.04426). Finer experts: [Krajewski et al.
# 2024](https://arxiv.org/abs/2402.07871); with shared ones: [Dai et al. 2024](https://arxiv.org/abs/2401.06066). Upcycling:
# [Komatsuzaki et al. 2022](https://arxiv.org/abs/2212.05055), [Nakamura et al. 2025](https://arxiv.org/abs/2502.19261).
# Splitting: [Zhang et al. 2021](https://arxiv.org/abs/2110.01786). A bias in bfloat16: [sglang
# #31213](https://github.com/sgl-project/sglang/pull/31213). Mixtral: [Jiang et al. 2024](https://arxiv.org/abs/2401.04088).

# %% [markdown]
# ## Further
#
# ### Count your own
#
# Paste a `config.json` as a dict (`json.load(open("config.json"))`), or change ours.

# %% tags=["09.active"]
my_config = mixtral | {"num_local_experts": 16, "num_experts_per_tok": 1}

count = count_parameters(my_config)
print(f"total {count.total:,}, active {count.active:,}")
for part in parts(my_config):
    print(f"{part.copies:3} x {part.name:12} {part.total:15,} each")
print(f"multiplications for a token: {multiplications_per_token(my_config):,}")

# %% [markdown]
# ### Our counts and the publishers'
#
# A figure like *37B* stands for every number that rounds to it. What a publisher counts: `print(models["DeepSeek-V3"].note)`.

# %% tags=["measure", "09.active"]
# Claim 09.5.
by_the_part = [
    100 * abs(part.active / part.total * model.total / model.active - 1)
    for model, part in mixtures()
]
claim(
    "09.5",
    "Our counts, part by part, miss the published totals and active figures by less than 1 % "
    "beyond rounding",
    quantity="largest error of the count (%)",
    measured=100 * max(max(model.beyond_rounding) for model in models.values()),
    holds=in_every_seed(below(1)),
    control=max(by_the_part),
    control_is="active counted as k/E of the total",
)

# %% [markdown]
# Other figures are copied from page to page, and a config refutes them:

# %% tags=["measure", "09.active"]
# What is copied, and what the config says.
for wrong in refuted():
    lines = f"{wrong.name}: “{wrong.claim}”. Published: {wrong.published}. {wrong.why}"
    print(textwrap.fill(lines, 88, subsequent_indent="    "))

# %% [markdown]
# ### Model by model

# %% tags=["draw", "nbval-ignore-output", "09.active"]
# Drawn: total and active parameters of each model.
sparse = {model.name: model for model, _ in mixtures()}
k_of_e = {
    model.name: model.total * part.active / part.total for model, part in mixtures()
}
actives = {name: model.active for name, model in sparse.items()}


def marks(numbers, what, **marker):
    """A mark for each model at its total, in billions, and at another number of it."""
    hover = [
        f"{n}<br>total {billions(models[n].total)}<br>{what} {billions(number)}"
        for n, number in numbers.items()
    ]
    xs = [models[n].total / 1e9 for n in numbers]
    return scatter(xs, [y / 1e9 for y in numbers.values()], hover, marker=marker)


explorable(
    [
        scatter(
            [x for m in sparse.values() for x in [m.total / 1e9] * 2 + [None]],
            [y for n in sparse for y in (k_of_e[n] / 1e9, actives[n] / 1e9, None)],
            [],
            mode="lines",
            line={"color": look.color("line"), "width": 3},
        ),
        marks(actives, "active", color=look.color("text"), size=11),
        marks(
            k_of_e,
            "k/E of the total",
            color=look.color("muted"),
            size=9,
            symbol="circle-open",
        ),
    ],
    title=f"Between {min(over):.2f} and {max(over):.2f} times k/E of the total is "
    "active",
    note=(
        "Full: what is active, as published. Hollow: k/E of the total. Point at a mark, or tap it, "
        "for its model."
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
        "tickvals": [10, 20, 50, 100, 200, 500, 1000],
    },
    yaxis={
        "type": "log",
        "title": {"text": "active, billions"},
        "tickvals": [1, 2, 5, 10, 20, 50],
    },
)

# %% [markdown]
# ### Specialists, or a committee?
#
# One paper finds that a few experts serve every domain, a *standing committee*. A count on GLM-5.2 finds 3,386 *specialists*
# among 19,456 experts. We take both measures of one router.
#
# - A **specialist** gets half of its images from one of the four rules, or more.
# - For each rule, the few busiest experts serve half of its images. The **committee** are those that do so for *every* rule.
#
# Beside it stands the same routing *shuffled*: each expert keeps its number of images, but chance decides which.


# %% tags=["measure", "nbval-ignore-output", "09.micro"]
# Measured: one router, and shuffled routing.
def measures(indices, at_most=None, shuffled=False, least=1 / 2):
    """Specialists, and members of the committee: two tensors, one number a seed."""
    found = []
    for seed, choice in zip(seeds(len(indices)), indices, strict=True):
        draw = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(choice), generator=draw)[:at_most]
        rule, choice = data.regime_test[rows], choice[rows, 0]
        if shuffled:
            rule = rule[torch.randperm(len(rule), generator=draw)]
        counts = torch.zeros(4, E).index_put(
            (rule, choice), torch.tensor(1.0), accumulate=True
        )
        specialists = counts.amax(0) >= least * counts.sum(0).clamp_min(1)
        best, order = counts.sort(-1, descending=True)
        before = best.cumsum(-1) - best  # images of busier experts
        serves = torch.zeros(4, E).scatter(
            -1, order, (2 * before < best.sum(-1, keepdim=True)).float()
        )
        found.append((specialists.sum(), serves.all(0).sum()))
    return torch.tensor(found, dtype=torch.float).T


routings = chosen["whole batch"]
taken = {
    "learned": measures(routings),
    "shuffled": measures(routings, shuffled=True),
    "learned, two thirds": measures(routings, least=2 / 3),
    "learned, 24 images": measures(routings, 24),
    "shuffled, 24 images": measures(routings, 24, shuffled=True),
}
for name, (specialists, committee) in taken.items():
    print(
        f"{name:20} {specialists.mean():.1f} specialists of 8, {committee.mean():.1f} in the committee"
    )

# %% [markdown] tags=["09.micro"]
# This router has specialists and hardly a committee; the same choices *shuffled* have a committee, and no specialists. So a
# committee is also what routing without any knowledge shows. And what is found depends on the domains: our two pairs of rules
# share next to nothing, while texts of all domains share their commas.
#
# It depends on the bar, too. An expert that serves a pair gets half of its images from one of the two rules. Ask for two thirds,
# and few specialists are left.
#
# And look at the last two lines. Counted on 24 images, shuffled routing is full of specialists, too: of three images that an expert
# gets, two are often of one rule. A count of specialists needs many tokens, and shuffled routing beside it.

# %% tags=["measure", "09.micro"]
# Claim 09.6.
claim(
    "09.6",
    "Counted on 24 images, even shuffled routing shows more than three specialists of 8",
    measured=taken["shuffled, 24 images"][0],
    holds=above(3),
    control=taken["shuffled"][0],
    control_is="counted on all test images",
    quantity="specialists (of 8)",
)

# %% [markdown]
# ### The bias over ten seeds

# %% tags=["measure"]
# Claim 09.7.
claim(
    "09.7",
    "On standardised digits4, a bias that moves by 0.01 keeps the busiest expert below one "
    "and a half times its part, without any loss",
    measured=busiest["bias"],
    holds=below(1.5),
    control=busiest["nothing"],
    control_is="the bias is never moved",
    quantity="share of the busiest expert over even use",
)

# %% [markdown]
# ### In numbers of 16 bits
#
# Models train in bfloat16, which keeps 8 binary digits of a number. Two things follow for a router, by arithmetic. A bias that
# moves by 0.001 stops where the next number in bfloat16 is too far away:

# %% tags=["measure"]
# In bfloat16: a bias that moves, and biases that are rounded.
start, step = torch.tensor(0.0), torch.tensor(0.001)
for dtype in (torch.float32, torch.bfloat16):
    bias = start.to(dtype)
    for _ in range(1000):
        bias = bias + step.to(dtype)
    print(f"{dtype}: after 1,000 steps of 0.001 the bias is {bias.item():.3f}")

biases = torch.linspace(6.817, 7.063, 238)  # as large as those of GLM-5.2
kept = biases.bfloat16().unique()
print(f"238 different biases become {len(kept)} in bfloat16")

# %% [markdown]
# A bug report on GLM-5.2 counted 8. (Ours are evenly spaced, the model's need not be. Only differences between
# biases matter, so all of them could be lowered to near 0, where bfloat16's numbers lie close together.)
#
# And two large *logits* may tie. Subtracting one number from all logits of a token changes no probability, and can lower a
# **z-loss**. Then fewer tie:

# %% tags=["measure"]
# In bfloat16: logits that tie.
pairs = 16 + torch.arange(0, 4, 0.01)  # logits, 0.01 apart
for name, logits in {"large": pairs, "lowered by 16": pairs - 16}.items():
    close = torch.stack([logits, logits + 0.02]).bfloat16()
    print(
        f"{name:14} {(close[0] == close[1]).float().mean():.0%} of pairs 0.02 apart tie"
    )

# %% [markdown]
# That is why routers compute in 32 bits. It is arithmetic, and says nothing about accuracy.
#
# ### A table, and a hash
#
# In its first layers, DeepSeek-V4 chooses by a table that names the experts of each word; its router only weighs them. Such
# layers are called *hash layers*. Why does a table work (lesson 08's was best) where lesson 07's hash was so bad? With the table,
# the same word always meets the same expert. Lesson 07's hash sent even two nearly equal images to unrelated experts.
#
# So we make a table for images: 64 training images, drawn once, each with an expert by chance. Any image goes to the expert of
# the nearest of the 64. In the control *near* is scrambled: like images lie as far apart as unlike ones.


# %% tags=["measure", "nbval-ignore-output"]
# Measured: tables and a hash, which learn nothing, 400 steps each.
class Table(nn.Module):
    """The nearest of 64 images names the expert."""

    def __init__(self):
        super().__init__()
        drawn = torch.randperm(len(data.x_train))[:64]
        self.register_buffer("images", data.x_train[drawn])
        self.register_buffer("experts", torch.randperm(64) % E)

    def seen(self, x):
        return x

    def forward(self, x):
        images, x = self.seen(self.images), self.seen(x)
        far = (images**2).sum(-1) - 2 * x @ images.T
        indices = self.experts[far.argmin(-1)][:, None]
        even = torch.zeros(len(x), E)
        weights = torch.ones(indices.shape)
        return Routing(even, even, indices, weights, even, even[:, :0])


class Scrambled(Table):
    """The same table; distances between scrambled images say nothing."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mix", 1000 * torch.randn(64, 64))

    def seen(self, x):
        return (x @ self.mix).sin()


fixed = {"table": Table, "scrambled": Scrambled, "hash": lambda: HashRouter(64, E)}
for name, router in fixed.items():
    _, run = learn(lambda router=router: mixture(router=router()), None, steps=400)
    right[name] = run[400]
    print(f"{name:9} {right[name].mean():.1f} % right")

# %% tags=["measure"]
# Claim 09.8.
claim(
    "09.8",
    "A table that learns nothing and sends like images to one expert is more than ten points more "
    "accurate than a hash",
    measured=right["table"] - right["hash"],
    holds=above(10),
    control=right["scrambled"] - right["hash"],
    control_is="the table with scrambled likeness",
    quantity="accuracy gained (points)",
)

# %% [markdown]
# ### Finer experts, and one for everybody
#
# Today's experts are many and small. Cut each expert into *m* pieces, and choose *m* times as many. The number of neurons
# stays, and so does that of active ones, but there are far more combinations.
#
# **Your turn, if you like.**


# %% tags=["exercise", "optional"]
def granularity(n_experts, top_k, width, m):
    """Each expert in m pieces -> how many experts, how many chosen, how wide."""
    ### BEGIN SOLUTION
    return m * n_experts, m * top_k, width // m
    ### END SOLUTION


# %%
granularity = check("09.granularity", granularity)

# %% [markdown]
# And a **shared expert** serves every token, beside those that the router chooses. It counts with weight 1, and the
# router knows nothing of it.
#
# **Your turn, if you like.** One of the arguments is lesson 03's `my_mixture`.


# %% tags=["exercise", "optional"]
def shared_plus_routed(x, shared, routed, chosen, weights, my_mixture):
    """x (T, d), two lists of experts, chosen and weights (T, k) -> answers (T, d_out).

    Call my_mixture(x, chosen, weights, experts), in this order."""
    ### BEGIN SOLUTION
    y = my_mixture(x, chosen, weights, routed)
    return y + sum(expert(x) for expert in shared)
    ### END SOLUTION


# %%
shared_plus_routed = check("09.shared_plus_routed", shared_plus_routed)

# %% tags=["measure", "nbval-ignore-output"]
# Measured: finer experts, and a shared one, 400 steps each.
large, large_right = learn(lambda: dense(64), None, steps=400)
fine, cost = {1: whole_right[400]}, {1: 8 * NEURON + 64 * E}
for m in (2, 8):
    n, k, width = granularity(E, 1, 8, m)
    _, run = learn(lambda n=n, w=width, k=k: mixture(n, w, k), steps=400)
    fine[m] = run[400]
    cost[m] = k * width * NEURON + 64 * n
with_shared, run = learn(lambda: mixture(15, 4, 1, n_shared=1), steps=400)
shared = run[400]
for m in fine:
    n, k, width = granularity(E, 1, 8, m)
    print(
        f"{n:2} of {width}, {k} chosen: {cost[m]:5,} multiplications, {fine[m].mean():.1f} % right"
    )
print(
    f"15 of 4, 1 chosen, 1 shared: {cost[2] - 64:5,} multiplications, {shared.mean():.1f} % right"
)
print(
    f"dense, of 64: {64 * NEURON:5,} multiplications, {large_right[400].mean():.1f} % right"
)


def my_mixture(x, chosen, weights, experts):
    """That of lesson 03."""
    return sum(
        (weights * (chosen == i)).sum(-1, keepdim=True) * expert(x)
        for i, expert in enumerate(experts)
    )


first, x = with_shared.one(0), data.x_test
routed = [lambda x, i=i: first.experts(x)[:, i] for i in range(15)]
one = [lambda x: first.shared(x)[:, 0]]
y, routing = first(x)
yours = shared_plus_routed(x, one, routed, routing.indices, routing.weights, my_mixture)
assert torch.allclose(yours, y, atol=1e-4)
hits = (yours.argmax(-1) == data.y_test).float().mean()
print(f"with 1 shared, first seed: {100 * hits:.1f} % right by your function, too")

# %% [markdown]
# Finer is better, but the router grows, too: a dense network of that cost is better still. And a shared expert loses here.

# %% [markdown]
# ### After 800 steps

# %% [markdown] tags=["09.cross"]
# Do the copies suffer from being alike? Then copies of an *untrained* network would fall behind, too. If the interval holds
# zero, that is not shown.

# %% tags=["measure", "nbval-ignore-output", "09.cross"]
# Measured: copies of trained and of untrained networks.
for name, run in {"upcycled": upcycled, "untrained copies": untrained}.items():
    mean, interval = estimate(run[800] - whole_right[800]).rounded
    print(f"{name:16} over from scratch, 800 steps: {mean} points ({interval})")

# %% tags=["measure", "09.cross"]
# Claim 09.9.
claim(
    "09.9",
    "After 800 further steps, less than a point is left of an upcycled mixture's lead",
    measured=upcycled[800] - whole_right[800],
    holds=below(1),
    control=upcycled[50] - whole_right[50],
    control_is="after 50 further steps",
    quantity="accuracy over the mixture from scratch (points)",
)

# %% [markdown]
# ### A single network, split
#
# One also hears of “splitting a single model to several parallel ones”. So we take dense networks of 64 neurons, which are
# as large as all eight experts, and cut them into eight blocks of 8: at random, or by what fires together on the training
# images. A new router chooses one block.


# %% tags=["measure", "nbval-ignore-output"]
# Measured: networks of 64 neurons, cut in two ways.
def blocks(network, together, seed):
    """The 64 neurons in eight blocks, (8, 8)."""
    order = torch.randperm(64, generator=torch.Generator().manual_seed(seed))
    if not together:
        return order.view(8, 8)
    with torch.no_grad():
        alike = network[:2](data.x_train).T.corrcoef().nan_to_num()
    left, found = order.tolist(), []
    while left:
        nearest = alike[left[0], left].argsort(descending=True)[:8].tolist()
        found.append([left[i] for i in nearest])
        left = [n for i, n in enumerate(left) if i not in nearest]
    return torch.tensor(found)


def cut(network, together, seed):
    """A mixture whose experts are the network's blocks."""
    torch.manual_seed(seed)  # the new router's
    moe, rows, (first, _, last) = mixture(), blocks(network, together, seed), network
    with torch.no_grad():
        moe.experts.w_in.copy_(first.weight[rows])
        moe.experts.b_in.copy_(first.bias[rows])
        moe.experts.w_out.copy_(last.weight.T[rows])
        moe.experts.b_out.copy_(last.bias)
    return moe


split, strongest = {}, {}
for name, together in {"at random": False, "by firing": True}.items():
    parts_of = [cut(large.one(i), together, s) for i, s in enumerate(seeds(10))]
    with torch.no_grad():
        answers = torch.stack([moe.experts(data.x_test) for moe in parts_of])
    strongest[name] = 100 * strength(answers, data.y_test).amax(-1)
    each = iter(parts_of)
    _, split[name] = learn(lambda: next(each), steps=200)  # noqa: B023
    print(
        f"cut {name:9}  best block {strongest[name].mean():.0f} % right, mixture "
        f"{split[name][50].mean():.1f} % after 50 steps, {split[name][200].mean():.1f} % after 200"
    )
print(
    f"in one piece {large_right[400].mean():.1f} %; mixture from scratch "
    f"{whole_right[50].mean():.1f} % after 50 steps, {whole_right[200].mean():.1f} % after 200"
)

# %% [markdown]
# A block by itself knows little: the network has learned as a whole, and each of its answers needs all of it. After
# 200 further steps, on top of the network's 400, the pieces are about level with experts trained from scratch for 200 steps.

# %% [markdown]
# ### The referee's table, whole

# %% tags=["draw", "nbval-ignore-output", "09.micro", "09.lead", "09.cross"]
# Drawn: the referee's table, whole.
more_sentences = [
    (
        "Krajewski 2024",
        "points",
        "Finer experts are better: 64 of 1 neuron against 8 of 8, cost not counted",
        fine[8] - fine[1],
    ),
    (
        "Krajewski 2024",
        "points",
        "Finer experts pay at equal cost: 64 of 1 neuron against dense",
        fine[8] - large_right[400],
    ),
    (
        "Dai 2024",
        "points",
        "A shared expert helps: 1 of 15 and a shared one, against 2 of 16",
        shared - fine[2],
    ),
    (
        "Zhang 2021",
        "points",
        "One model splits into several: against from scratch, 200 steps",
        split["by firing"][200] - whole_right[200],
    ),
    (
        "GLM-5.2, counted",
        "of 8",
        "Experts are specialists: against shuffled routing",
        taken["learned"][0] - taken["shuffled"][0],
    ),
    (
        "Wang 2026",
        "of 8",
        "A few experts serve every domain: against shuffled routing",
        taken["learned"][1] - taken["shuffled"][1],
    ),
    (
        "Roller 2021",
        "points",
        "A fixed table is better than a router: against a learned one",
        right["table"] - whole_right[400],
    ),
]
referee(sentences + more_sentences)
