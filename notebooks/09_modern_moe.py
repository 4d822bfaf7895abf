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
# # 09 Modern MoE
#
# 45 minutes. You leave able to read from a config file what a model of 2026 chose, to count what works for a token, and to say
# which choices show in a small mixture.
#
# You have built the whole layer, and its plan is that of 2017: a router chooses, experts work, and their answers are added. What
# changes from model to model are the choices around it: how many experts, how small, what keeps them even, and what they start
# from. Papers say which choices are good. Here you are the referee: you hear a sentence from a paper, you say whether it is right
# in our small mixtures, and we measure.

# %% tags=["setup"]
# Setup: what this lesson uses, how twenty models are trained, and how a sentence is judged.
import math

import torch
from torch import nn

from moe_tutorial import layers
from moe_tutorial.course import check, guess, my_moe, quiz, reveal
from moe_tutorial.layers import BiasBalancer, MixtureOfExperts, Routing
from moe_tutorial.show import (
    Line,
    bars,
    beside,
    curves,
    draw_curves,
    interval_chart,
    is_narrow,
    message,
    picture,
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
    max_share,
    parts,
    published,
    seeds,
    share,
    specialisation,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread
E = 8
data = digits4("standardised")
NEURON = 64 + 10  # multiplications of a neuron, in and out
mixtures = {model.name: model for model in published() if model.choices}
k3 = mixtures["Kimi K3"]
WATCHED = (25, 50, 100, 200, 400, 800)  # steps; 800 of the dense networks alone
heard = {}  # each trial's verdict, and the points gained


def mixture(n_experts=E, width=8, top_k=1, **options):
    return MixtureOfExperts(64, width, n_experts, top_k, d_out=10, **options)


def dense(width):
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def balanced(coefficient):
    return lambda routing, step: coefficient * layers.switch_loss(routing)


switch_01 = balanced(0.1)


def learn(
    build, penalty=switch_01, rate=None, data=data, steps=400, watched=(400,), n=20
):
    """Trained models of n seeds; at the watched steps, per cent right; after 400, the routing."""
    right, seen = {}, []

    def watch(step, trained):
        if rate and trained.last_routing is not None:
            BiasBalancer(rate).update(
                trained.buffers["router.bias"], trained.last_routing.indices
            )
        if step in watched:
            right[step] = 100 * trained.accuracy(data.x_test, data.y_test)
        if step == 400:
            seen.append(trained.routing(data.x_test))

    trained = train(build, data, seeds(n), steps=steps, penalty=penalty, on_step=watch)
    return trained, right, seen


def special(indices):
    """Specialisation, one number a seed."""
    return torch.tensor([specialisation(i[:, 0], data.regime_test) for i in indices])


def in_words(gain):
    """The mean over the seeds and its 95 % interval."""
    figure = estimate(gain)
    text = f"{figure.mean:+.2f} ({figure.low:+.2f} to {figure.high:+.2f})"
    return text.replace("-", "−")


def judge(trial, points, also=None):
    """Your verdict on a sentence, from each gain that it promises (a number a seed)."""
    gains = [*points.values()] if also is None else [*points.values(), also]
    found = {verdict(gain) for gain in gains}
    said = (
        found.pop() if len(found) == 1 else "wrong" if "wrong" in found else "unclear"
    )
    heard[trial] = said, points
    return said


def either(first, second):
    """The choices of a guess: under which of two conditions is a sentence right?"""
    alone = f"right {first} alone", f"right {second} alone"
    return ["right both times", *alone, "wrong or unclear both times"]


def true_of(choices, *verdicts):
    """Which of four such choices two verdicts make true."""
    first, second = (said == "right" for said in verdicts)
    return choices[2 * (not first) + (not second)]


# %% [markdown]
# ## What models chose
#
# A model on the Hugging Face hub comes with a `config.json`, which holds the layer's choices. Below are lines of two such files:
# first of Mixtral 8x7B (2023), then, printed, of Kimi K3 (2026). How many experts does a token ask in a layer of each?

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
lines = ["num_hidden_layers", "num_experts", "num_experts_per_token"]
print("Kimi K3:")
for line in [*lines, "num_shared_experts", "moe_intermediate_size"]:
    print(f"{line:24}{k3.config[line]:6,}")


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: what models chose.
def gate(model):
    """How logits become weights, in short."""
    name = model.choices.gate.replace("top-k, then ", "")
    return name.replace("sqrt(softplus)", "√softplus").partition(",")[0]


def row(model):
    c = model.choices
    experts = f"{c.num_experts_per_tok} of {c.num_experts + c.zero_expert_num}"
    return [experts, gate(model), f"{c.n_shared_experts or ''}", f"{c.expert_width:,}"]


recent = [gate(model) for model in mixtures.values() if model.year >= 2025]
biased = [name for name in recent if "bias" in name]
two = "Mixtral 8x7B", "Kimi K3"
table(
    ["", "experts", "gate", "shared", "neurons"],
    {
        f"{name}, {model.year}{' ●' * (name in two)}": row(model)
        for name, model in mixtures.items()
    },
    title=f"{len(biased)} of {len(recent)} models since 2025 choose with a bias",
    note="●: the two above. Experts: chosen for a token, of all in a layer (256 of LongCat's do nothing). Gate: how logits become "
    "weights. Shared: experts for every token. Neurons: of one expert.",
)

# %% [markdown]
# A token asks 2 of Mixtral's 8 experts. In Kimi K3 it asks 16 of 896, and also 2 **shared** experts, which work for every token.
#
# The column *gate* shows two more changes. Many models choose with a bias, which moves until the experts are even (lesson 07). And
# many take a **sigmoid** in place of the softmax. It scores each expert by itself, so the scores need not add up to 1.
#
# ## Count the active parameters
#
# A config is all you need to count parameters: the **total**, and those that are **active** for one token.
#
# **Your turn.** How many are active? One line. In each layer, `resting` experts do not work for this token. Everything else does.


# %% tags=["exercise"]
def active_count(config, total):
    """A config like Mixtral's, all parameters -> how many are active for a token."""
    expert = 3 * config["hidden_size"] * config["intermediate_size"]  # 3 matrices
    resting = config["num_local_experts"] - config["num_experts_per_tok"]
    ### BEGIN SOLUTION
    return total - config["num_hidden_layers"] * resting * expert
    ### END SOLUTION


# %%
active_count = check("09.active_count", active_count)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
total = count_parameters(mixtral).total
guess(
    "09.active",
    "Kimi K3 has 2,800 billion parameters. [A page](https://www.latent.space/p/ainews-kimi-k3-28t-a50b-the-largest) says that 50 billion are active: "
    f"2,800 × 16/896. (For Mixtral, the same rule would say {total / 4e9:.1f} billion, and your count says "
    f"{active_count(mixtral, total) / 1e9:.1f}.) How many does its publisher state?",
    slider=(0, 150, 5, "billion"),
)


# %% tags=["measure"]
# Measured: what is active in each part of a model, in billions.
def active_parts(model):
    return {p.name: p.copies * p.active / 1e9 for p in parts(model.config)}


def k_of_e(model):
    c = model.choices
    return c.num_experts_per_tok / (c.num_experts + c.zero_expert_num)


k3_parts = active_parts(k3)
attention = sum(n for name, n in k3_parts.items() if name.endswith("attention"))
shared_ones = k3_parts["shared experts"]
others = k3.counted.active / 1e9 - k3_parts["experts"] - attention - shared_ones
low_by = {m.name: 1 - k_of_e(m) * m.total / m.active for m in mixtures.values()}

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "09.active",
    k3.active / 1e9,
    says=f"Of these {k3.active / 1e9:.0f} billion, the chosen experts have {k3_parts['experts']:.0f}, about as the page says. But all the rest works "
    f"for every token: attention has {attention:.0f}, the shared experts {shared_ones:.0f}, and all else {others:.0f}. Mixtral has "
    f"little beside its experts, so there 2/8 was nearly right.\n\nSo k/E, the share of experts that a token asks, is too low in every model "
    f"of the table: by {100 * min(low_by.values()):.0f} % at least, and in Kimi K3 by {100 * low_by['Kimi K3']:.0f} %. The slider below shows each model.",
)


# %% tags=["draw", "nbval-ignore-output"]
# A slider: what is active, model by model.
def active(name):
    model = mixtures[name]
    idle = " for tokens that ask no idle expert" * bool(model.choices.zero_expert_num)
    billions = dict(sorted(active_parts(model).items(), key=lambda part: -part[1]))
    texts = {part: f"{n:.2g}" for part, n in billions.items()}
    return message(
        f"{100 * model.active / model.total:.1f} % is active, k/E is {100 * k_of_e(model):.1f} %",
        f"Of {model.total / 1e9:,g} billion, {model.active / 1e9:g} are active{idle}, as published. Below: billions, counted from the config, the embedding, too.",
    ) + bars(billions, "billion active parameters", ["experts"], texts=texts)


sweep(active, name=("Model", [*reversed(mixtures)]))  # the newest first

# %% [markdown]
# ## When is a sentence right?
#
# A sentence promises a **gain**. We measure it over twenty seeds. The 95 % interval of the mean gain decides. The sentence is
#
# - *right* if the whole interval is above zero,
# - *wrong* if the whole interval is below zero,
# - *unclear* if zero lies in it.
#
# If it promises two gains, it is right if both are right, wrong if one is wrong, and otherwise unclear. Luck plays a part, too: about
# one in twenty comparisons without any effect ends right or wrong.
#
# **Your turn.** Three lines. Your `verdict` will judge each sentence below. We print the mean gain, and its interval in brackets.


# %% tags=["exercise"]
def verdict(gain):
    """The gain in each of n seeds (n,) -> "right", "wrong" or "unclear"."""
    figure = estimate(gain)  # its 95 % interval goes from figure.low to figure.high
    ### BEGIN SOLUTION
    if figure.low > 0:
        return "right"
    return "wrong" if figure.high < 0 else "unclear"
    ### END SOLUTION


# %%
verdict = check("09.verdict", verdict)

# %% [markdown]
# ## Balance, over which batch?
#
# Balance is measured over a set of tokens. Which set? A large model trains on many machines. Each gets a small part of the batch, a
# **micro-batch**: a few texts, perhaps all of one kind. Each machine may compute its own Switch loss.
#
# **Your turn.** `group` says which machine holds each token. Each element of `rows` marks the tokens of one machine. Return the mean
# of the machines' losses: one line. `loss` takes `(probs, indices)`, like your `switch_loss` of lesson 07.


# %% tags=["exercise"]
def micro_loss(loss, probs, indices, group):
    """probs (T, E), chosen (T, k), group of each token (T,) -> mean of the losses."""
    rows = [group == g for g in group.unique()]  # True for the group's own tokens
    ### BEGIN SOLUTION
    return sum(loss(probs[own], indices[own]) for own in rows) / len(rows)
    ### END SOLUTION


# %%
micro_loss = check("09.micro_loss", micro_loss)

# %% [markdown]
# Now the four rules of `digits4` stand for four kinds of text. Twenty mixtures (8 experts of 8 neurons, one chosen, 400
# steps) are balanced over the *whole batch*, and twenty others in four *groups of one rule* each. (This takes half a minute.)
#
# **Specialisation** says how much the choice of expert tells about the rule. 0 is nothing, and 1 is one expert for each rule.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.qiu",
    "Qiu et al. (2025) compute the loss over the whole batch: it “yields excellent performance gains” and “also greatly improves the domain "
    "specialization of MoE experts”. So it promises two gains over groups of one rule: in accuracy and in specialisation. Is that right here, "
    "with a Switch loss of 0.1, and with a weaker one of 0.01?",
    choices=either("with 0.1", "with 0.01"),
)


# %% tags=["measure"]
# Measured: balance over the whole batch, and in groups, with two coefficients.
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


def switch_loss(probs, indices):
    """That of lesson 07."""
    return layers.switch_loss(Routing(probs, probs, indices, indices.float()))


with_rule = data._replace(
    x_train=torch.cat([data.x_train, data.regime_train[:, None]], -1),
    x_test=torch.cat([data.x_test, data.regime_test[:, None]], -1),
)

scratch_run = learn(mixture, watched=WATCHED)  # again where we upcycle
by_coefficient = {}
for c in (0.1, 0.01):
    _, right, (seen,) = learn(mixture, balanced(c)) if c < 0.1 else scratch_run
    ours = seen.indices, right[400]
    _, right, (seen,) = learn(Told, in_groups(lambda rule: rule, c), data=with_rule)
    by_coefficient[c] = ours, (seen[0].indices, right[400])
(whole, whole_right), (by_rule, by_rule_right) = by_coefficient[0.1]
shuffled = in_groups(lambda rule: torch.arange(len(rule)) % 4)
random_groups = learn(Told, shuffled, data=with_rule)[2][0][0].indices

# Your loss, on two experts that keep to a rule each: over all tokens, and rule by rule.
rule = torch.tensor([0, 0, 1, 1])
certain, chosen = torch.eye(2)[rule], rule[:, None]
together = micro_loss(switch_loss, certain, chosen, torch.zeros(4)).item()
apart = micro_loss(switch_loss, certain, chosen, rule).item()

# And on all test images of one of these mixtures: your rows against the tables of 0 and 1.
one = Routing(*(field[0] for field in seen[0]))
by_rows = micro_loss(switch_loss, one.probs, one.indices, data.regime_test)
by_tables = in_groups(lambda rule: rule, 1)((one, data.regime_test), 0)
assert torch.allclose(by_rows, by_tables, atol=1e-4)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
QIU = "Qiu: whole batch, loss of 0.1"
QIU_WEAK = QIU.replace("0.1", "0.01")
gained, kept = {}, {}
for trial, c in ((QIU, 0.1), (QIU_WEAK, 0.01)):
    (ours, right), (theirs, their_right) = by_coefficient[c]
    gained[c] = right - their_right
    kept[c] = special(ours) - special(theirs)
    judge(trial, {"": gained[c]}, kept[c])
most = specialisation(torch.arange(E), torch.arange(E) // 2)  # two experts for a rule
in_short = {"right": "gains", "wrong": "loses", "unclear": "is unclear"}
reveal(
    "09.qiu",
    true_of(either("with 0.1", "with 0.01"), heard[QIU][0], heard[QIU_WEAK][0]),
    says=f"With 0.1 the sentence is {heard[QIU][0]}: the whole batch gains {in_words(gained[0.1])} points, and specialisation is {special(whole).mean():.2f}, against "
    f"{special(by_rule).mean():.2f} in groups. (Eight evenly used experts reach {most:.2f} at most: the expert then tells the rule, but the "
    "rule does not tell which of its two experts.)\n\n"
    f"With 0.01 it is {heard[QIU_WEAK][0]}: specialisation {in_short[verdict(kept[0.01])]}, {in_words(kept[0.01])}, "
    f"and accuracy {in_short[verdict(gained[0.01])]}, {in_words(gained[0.01])} points.\n\n"
    "Why? Take four tokens of two rules, and two experts, each with a rule of its own. Over the whole batch, your `micro_loss` is "
    f"{together:.1f}: perfectly even. In groups of one rule it is {apart:.1f}, the worst for two experts: in each group, one expert does "
    "everything. So this loss pushes every expert to serve every rule, and little specialisation is left. (With 0.01, it pushes ten times less.) "
    "The cure: the machines add up their counts, and compute the loss from those.",
)


# %% tags=["draw", "nbval-ignore-output"]
# A slider: who serves which rule, by the loss's coefficient.
def served(indices):
    """A bar for each rule, divided among the experts of its images; the first of twenty seeds."""
    bar = ""
    for r in range(4):
        shares = share(indices[0, data.regime_test == r], E).tolist()
        told = ", ".join(
            f"expert {e} {100 * p:.0f} %" for e, p in enumerate(shares) if p > 0
        )
        pieces = "".join(
            f'<span style="flex:{p:.3f};background:var(--moe-e{e});color:var(--moe-on{e});text-align:center;overflow:hidden">'
            f"{e if p > 0.06 else ''}</span>"
            for e, p in enumerate(shares)
        )
        bar += f'<div role="img" aria-label="Rule {r}: {told}" style="display:flex;margin:3px 0;font-size:12px">rule {r}&ensp;{pieces}</div>'
    return bar


def who_serves(coefficient):
    (ours, our_right), (theirs, their_right) = by_coefficient[coefficient]
    loads = [E * share(i, E) for i in (ours, theirs)]
    idle = [(load < 0.1).sum(-1).float().mean() for load in loads]
    return message(
        f"Specialisation {special(ours).mean():.2f} over the whole batch, {special(theirs).mean():.2f} in groups of one rule",
        f"{our_right.mean():.1f} and {their_right.mean():.1f} % right; the busiest expert has {max_share(loads[0]).mean():.1f} and {max_share(loads[1]).mean():.1f} times an even share, and "
        f"{idle[0]:.1f} and {idle[1]:.1f} experts are nearly idle (below a tenth of it). Means over twenty mixtures. Bars: the images of each rule, by expert, in the first.",
    ) + beside(
        message("Whole batch") + served(ours),
        message("Groups of one rule") + served(theirs),
    )


sweep(who_serves, coefficient=("Coefficient of the Switch loss", [*by_coefficient]))

# %% tags=["measure"]
# Claim 09.1.
claim(
    "09.1",
    "With a Switch loss of 0.1 in groups of one rule, the choice of expert tells next to nothing about the rule: specialisation below 0.15",
    measured=special(by_rule),
    holds=below(0.15),
    control=special(random_groups),
    control_is="groups of the same number, at random",
    quantity="specialisation (NMI)",
)

# %% [markdown]
# ## Or no loss
#
# Another choice is lesson 07's **bias**, without any loss. After each step, it goes up by a fixed rate for experts below the mean load,
# and down for those above it.
#
# Like Wang et al., we take a sigmoid gate, for the bias and for the losses. The rate is 0.001. (With lesson 07's softmax and raw
# pixels, that was too slow.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.wang",
    "Wang et al. (2024) on the bias: it “achieves both better performance and better load balance compared with traditional "
    "auxiliary-loss-controlled load balancing”. Is that right here, against a Switch loss of 0.1, and against one of 0.01?",
    choices=either("against 0.01", "against 0.1"),
)


# %% tags=["measure"]
# Measured: a sigmoid gate with a loss, with a bias, and without balance; then a softmax.
def gated(penalty, rate=None):
    """Per cent right, and the busiest expert's load, times an even one."""
    options = {"gate": "sigmoid_topk", "bias": rate is not None}
    trained, right, _ = learn(lambda: mixture(**options), penalty, rate)
    return right[400], E * max_share(trained.shares(data.x_test))


RATE = 0.001
ways = {f"sigmoid with a loss of {c}": gated(balanced(c)) for c in (0.1, 0.01)}
ways[f"sigmoid with a bias of {RATE}"] = gated(None, RATE)
ways["sigmoid without balance"] = gated(None)
whole_busy = E * max_share(torch.stack([share(i, E) for i in whole]))
ways["softmax with a loss of 0.1"] = whole_right, whole_busy


# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
WANG = "Wang: bias over a loss of 0.1"
WANG_WEAK = WANG.replace("0.1", "0.01")
right, busy = zip(*ways.values(), strict=True)
ahead = [right[2] - other for other in right]  # the bias over each way
evener = [other - busy[2] for other in busy]
for trial, other in ((WANG, 0), (WANG_WEAK, 1)):
    judge(trial, {"": ahead[other]}, evener[other])
reveal(
    "09.wang",
    true_of(either("against 0.01", "against 0.1"), heard[WANG_WEAK][0], heard[WANG][0]),
    says=f"Against 0.1 the sentence is {heard[WANG][0]}: it gains {in_words(ahead[0])} points, and {in_words(evener[0])} in load. "
    f"Against 0.01 it is {heard[WANG_WEAK][0]}: {in_words(ahead[1])} points"
    + " (only just: other seeds may say right)"
    * (-0.1 < estimate(ahead[1]).low <= 0)
    + f", and {in_words(evener[1])} in load. (Load: how many even shares less the busiest expert has.) Another rate may change both verdicts: Try it 2.\n\n"
    "Does the bias gain, or does the loss cost? Compared with mixtures without any "
    f"balance, the bias is at {in_words(ahead[3])} points, and the loss of 0.1 at {in_words(right[0] - right[3])}.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: accuracy and load, way by way.
most_right = max(ways, key=lambda way: ways[way][0].mean())
evenest = min(ways, key=lambda way: ways[way][1].mean())
table(
    ["", "right, %", "busiest expert"],
    {
        way: [f"{right.mean():.1f}", f"{busy.mean():.2f}"]
        for way, (right, busy) in ways.items()
    },
    title=f"Of these five, the {evenest} is the most even, the {most_right} gets most right",
    note="The last row differs in its gate, too. Busiest expert: its load, times an even one. Bias: its rate. "
    "The Switch loss reads a sigmoid's scores divided by their sum. digits4, standardised, 400 steps, means over twenty seeds, test images.",
)

# %% [markdown]
# ## How many experts?
#
# A token asks one expert, however many there are. So more experts look free. But to choose, the router compares the token with
# each of them.
#
# **Your turn.** How many multiplications does a mixture do for a token of 64 numbers? One line. For each expert, the router has a row
# of 64 weights. Each neuron that works multiplies 64 numbers on the way in, and 10 on the way out.


# %% tags=["exercise"]
def multiplications(n_experts, width, k):
    """k of n_experts experts of `width` neurons are chosen -> multiplications."""
    ### BEGIN SOLUTION
    return 64 * n_experts + (64 + 10) * width * k
    ### END SOLUTION


# %%
multiplications = check("09.multiplications", multiplications)

# %% [markdown]
# Fedus et al. (2021): “when keeping the FLOPS per token fixed, having more parameters (experts) speeds up training”. So are 16
# experts ahead of 2 after 400 steps, with a Switch loss of 0.1? First we compare *equal experts*, of 8 neurons each, and do not
# count the router. (This takes some seconds.)

# %% tags=["measure"]
# Measured: from 1 to 16 equal experts.
counts = [1, 2, 4, 8, 16]
many = {}
for n in counts:
    # Thirty seeds of 16 experts: the comparison that follows is close.
    runs = 30 if n == 16 else 20
    trained = learn(lambda n=n: mixture(n), n=runs)[1][400] if n != E else whole_right
    many[n] = trained[:20]
fixed = judge("Fedus: 16 over 2, equal experts", {"": many[16] - many[2]})
# So wide that 2 experts cost as much as 16.
wide = round((multiplications(16, 8, 1) - 64 * 2) / NEURON)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.router",
    f"With equal experts the sentence is {fixed}: 16 experts gain {in_words(many[16] - many[2])} points over 2. But by your count, the 2 do "
    f"{multiplications(2, 8, 1):,} multiplications, and the 16 do {multiplications(16, 8, 1):,}. At about that cost, each of "
    f"the 2 experts can have {wide} neurons. By how many points are 16 experts of 8 neurons ahead of 2 experts of {wide}? (Below 0: behind.)",
    slider=(-4, 8, 0.5, "points"),
)

# %% tags=["measure"]
# Measured: 2 experts at equal multiplications, and dense networks.
two_wide = learn(lambda: mixture(2, wide), n=30)[1][400]
over_wide = trained - two_wide
as_dense = {}
for n in counts:
    # At least as many multiplications, in whole neurons. A single expert needs no router.
    width = 8 if n == 1 else math.ceil(multiplications(n, 8, 1) / NEURON)
    as_dense[n] = learn(lambda w=width: dense(w), None)[1][400]
lead = {n: many[n] - as_dense[n] for n in counts}
best = max(lead, key=lambda n: lead[n].mean().item())

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
paid = judge("Fedus: 16 over 2, equal cost", {"": over_wide})
reveal(
    "09.router",
    over_wide.mean(),
    says=f"At equal cost, with a loss of 0.1, the sentence is {paid}: {in_words(over_wide)} points, over thirty seeds. After twenty it was {verdict(over_wide[:20])}, "
    f"{in_words(over_wide[:20])}, and we took ten more. Do not copy that: fix the number of seeds before you look. Else you can go on until you like the verdict.\n\n"
    f"Why? With 16 experts, the router does {64 * 16:,} of the multiplications, and the chosen expert {NEURON * 8:,}. With 2, the router does {64 * 2:,}, "
    f"and the chosen expert {NEURON * wide:,}.\n\n"
    "The picture adds dense networks of the same cost, which need no router.",
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: accuracy over the number of experts.
def line(x, runs, **style):
    found = [estimate(run) for run in runs.values()]
    low, high = [each.low for each in found], [each.high for each in found]
    return Line(x, [each.mean for each in found], low=low, high=high, **style)


curves(
    {
        "mixture": line(counts, many, color="accent", marker="●"),
        "dense, at\nequal cost": line(counts, as_dense, dash="--", color="muted"),
        "2 wide": Line([16], [two_wide[:20].mean()], marker="●"),
    },
    title=f"At equal cost, {best} experts are {lead[best].mean():.0f} points ahead of a dense network, "
    f"16 are {lead[16].mean():.0f}",
    note="digits4, standardised, 400 steps, means over twenty seeds and their 95 % intervals, test images. Dashed: a dense network of at least as many "
    f"multiplications as the mixture (the router counted; a single expert needs none). 2 wide: 2 experts of {wide} neurons, at the cost of 16.",
    x="experts of the mixture",
    y="% right",
    log="x",
    xticks=counts,
    yticks=[75, 80, 85, 90],
)

# %% tags=["measure"]
# Claim 09.2.
claim(
    "09.2",
    "With 4 experts, one chosen, a mixture is more than four points more accurate than a dense network of at least as many multiplications",
    measured=lead[4],
    holds=above(4),
    control=lead[1],
    control_is="one expert, so that there is nothing to choose",
    quantity="accuracy over the dense network (points)",
)

# %% [markdown]
# ## Finer, and one for everybody
#
# Cut each expert into two, and choose twice as many. As many neurons work as before, in far more combinations. But the router needs
# twice as many rows. So we compare three mixtures:
#
# - **A**, before the cut: 8 experts of 8 neurons, 1 chosen.
# - **B**, after the cut: 16 experts of 4 neurons, 2 chosen.
# - **C**, as costly as B, with its router: 8 experts of 15 neurons, 1 chosen.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.finer",
    "Krajewski et al. (2024): “the common practice of setting the size of experts in MoE to mirror the feed-forward layer is not optimal at "
    "almost any computational budget”. They want narrower experts, as in B. By your count, A does "
    f"{multiplications(8, 8, 1):,} multiplications, B {multiplications(16, 4, 2):,}, and C {multiplications(8, 15, 1):,}. Whom does B beat here?",
    choices=["A and C", "C alone", "A alone", "neither"],
)

# %% tags=["measure"]
# Measured: B and C (A is the one balanced over the whole batch), and a shared expert.
finer = learn(lambda: mixture(16, 4, 2))[1][400]
large = learn(lambda: mixture(8, 15))[1][400]
shared = learn(lambda: mixture(15, 4, 1, n_shared=1))[1][400]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
said = (
    judge("Krajewski: finer, equal neurons", {"": finer - whole_right}),
    judge("Krajewski: finer, equal cost", {"": finer - large}),
)
reveal(
    "09.finer",
    true_of(["A and C", "C alone", "A alone", "neither"], *said[::-1]),
    says=f"Against A, with as many neurons at work, the sentence is {said[0]}: {in_words(finer - whole_right)} points for B. "
    f"Against C, at equal cost, it is {said[1]}: {in_words(finer - large)} points for B. But C holds {8 * 15} neurons, and B {16 * 4}.\n\n"
    f"Here the router does {100 * 64 * 16 / multiplications(16, 4, 2):.0f} % of B's work. In Kimi K3 it has "
    f"{100 * k3_parts['router'] / (k3.counted.active / 1e9):.1f} % of the active parameters, so there a router of twice the size adds little.",
)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "09.shared",
    "Dai et al. (2024) on a shared expert, which serves every token: it “contributes to a stronger model performance”. "
    "Is that right here? Two experts of 4 neurons work for each image: both chosen out of 16, or one chosen out of 15 and "
    "one shared.",
    choices=["right", "unclear", "wrong"],
)

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
by_one = judge("Dai: one shared, one chosen", {"": shared - finer})
reveal(
    "09.shared",
    by_one,
    says=f"The sentence is {by_one}: {in_words(shared - finer)} points with a shared expert. But here it leaves the router one expert to choose. "
    "In Kimi K3, it leaves sixteen. With two shared and two chosen, does the verdict stay? Try it 3.",
)

# %% [markdown]
# ## Start from a dense network
#
# Has somebody trained a dense network already? Then there is **upcycling**: each expert starts as a copy of that network, and the
# router starts anew. Does that save training? Two papers seem to disagree.
#
# **Your turn.** Make the experts: one line. (`copy.deepcopy` copies a network.) Training must change each copy by itself, so they
# cannot share parameters.


# %% tags=["exercise"]
def upcycle(dense, n_experts):
    """A trained network -> n_experts experts, an nn.ModuleList, that start as it is."""
    import copy

    ### BEGIN SOLUTION
    return nn.ModuleList(copy.deepcopy(dense) for _ in range(n_experts))
    ### END SOLUTION


# %%
upcycle = check("09.upcycle", upcycle)

# %% [markdown]
# Twenty dense networks of 8 neurons train for 800 steps. From each we make a mixture, and train it for 400 steps with a Switch loss of
# 0.1. We compare these with mixtures *from scratch*, those of the whole batch above. (This takes half a minute.) The two papers:
#
# - Nakamura et al. (2025): upcycling “leads to initial performance gains”, but “the training progresses slower than when trained
#   from scratch, leading to suboptimal performance in the long term”.
# - Komatsuzaki et al. (2022): after half as many steps, the upcycled should beat those from scratch. In their words: for about half of
#   the dense network's cost they “also outperform sparse models trained from scratch on 100% of the initial dense pretraining
#   computation budget”. The table counts this in our steps.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: who is promised to lead.
dense_steps = 800
per_step = {"dense": 8 * NEURON / 1000, "mixture": multiplications(E, 8, 1) / 1000}
as_mixture = dense_steps * per_step["dense"] / per_step["mixture"]
budget = max(step for step in WATCHED if step <= as_mixture)
half = max(step for step in WATCHED if step <= as_mixture / 2)
table(
    ["", "upcycled", "scratch", "promised to lead"],
    {
        "Nakamura, early": ["50 steps", "50 steps", "upcycled"],
        "Nakamura, late": ["400 steps", "400 steps", "scratch"],
        "Komatsuzaki": [f"{half} steps", f"{budget} steps", "upcycled"],
    },
    title="What the two papers promise for our mixtures",
    note=f"Steps: of the mixture. Last row: {dense_steps} dense steps cost as much as {as_mixture:.0f} of the mixture (its router works, too). Of the steps "
    f"that we watch, {budget} is the nearest below that, and {half} the nearest below its half.",
)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
papers = ["both", "Komatsuzaki et al. alone", "Nakamura et al. alone", "neither"]
guess(
    "09.papers",
    "A paper is right if all of its rows are. Who is right here?",
    choices=papers,
)

# %% tags=["measure"]
# Measured: dense, upcycled, and from scratch.
small, small_right, _ = learn(
    lambda: dense(8), None, steps=dense_steps, watched=WATCHED
)
networks = [small.one(i) for i in range(20)]


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

each = iter(networks)
upcycled = learn(lambda: copies_of(next(each)), watched=WATCHED)[1]
untrained = learn(lambda: copies_of(dense(8)), steps=50, watched=[50])[1]
scratch = scratch_run[1]
late = upcycled[half] - scratch[budget]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
gains = {
    ": upcycled, 50 steps": upcycled[50] - scratch[50],
    ": scratch, 400 steps": scratch[400] - upcycled[400],
}
said = judge("Nakamura", gains), judge("Komatsuzaki: half the steps", {"": late})
reveal(
    "09.papers",
    true_of(papers, *said[::-1]),
    says=f"Nakamura et al.: {said[0]}. Upcycled over scratch, after 50 steps: {in_words(upcycled[50] - scratch[50])} points. "
    f"Scratch over upcycled, after 400: {in_words(scratch[400] - upcycled[400])}.\n\n"
    f"Komatsuzaki et al.: {said[1]}. Upcycled over scratch, {half} steps against {budget}: {in_words(late)} points. And with the dense network's "
    f"cost, the upcycled paid for {as_mixture + half:.0f} steps, those from scratch for {budget}."
    + " So upcycling pays here if the dense network is there already, and if you stop early."
    * (verdict(late) == "wrong"),
)


# %% tags=["draw", "nbval-ignore-output"]
# Drawn: the lead by the steps after upcycling, and all by the multiplications that were paid.
leads = {step: upcycled[step] - scratch[step] for step in scratch if step >= 50}


def paid_for(runs, kind, start=0, **style):
    """A line over all multiplications of an image so far, in thousands."""
    spent = [start * per_step["dense"] + step * per_step[kind] for step in runs]
    return line(spent, runs, **style)


def both_axes(figure, theme):
    shape = (2, 1) if is_narrow(figure) else (1, 2)
    after, paid = figure.subplots(*shape).flat
    lines = {
        "scratch": Line([*leads], [0] * len(leads)),
        "upcycled": line([*leads], leads, color="accent", marker="●"),
    }
    draw_curves(
        after,
        theme,
        lines,
        x="steps of the mixture",
        y="points ahead of scratch",
        log="x",
        xticks=[*leads],
        yticks=[0, 3, 6, 9],
    )
    lines = {
        "scratch": paid_for(scratch, "mixture", marker="●"),
        "upcycled": paid_for(
            upcycled, "mixture", dense_steps, color="accent", marker="●"
        ),
        "dense": paid_for(small_right, "dense", dash=":", color="muted"),
    }
    label = "multiplications, thousands"
    draw_curves(
        paid, theme, lines, x=label, y="% right", xticks=[0, 400, 800], legend=True
    )
    paid.get_legend().remove()
    # Each line's name stands at one of its points, some points of space away.
    drawn = [*paid.lines]
    places = [(2, (9, -7)), (0, (9, -7)), (-2, (12, -15))]
    for each, (place, shift) in zip(drawn, places, strict=True):
        style = {"textcoords": "offset points", "color": each.get_color()}
        paid.annotate(each.get_label(), each.get_xydata()[place], shift, **style)
    # The upcycled go on where the dense network ended.
    joined = drawn[2].get_xydata()[-1], drawn[1].get_xydata()[0]
    paid.plot(*zip(*joined, strict=True), ":", color=drawn[1].get_color(), lw=1)


behind = [step for step in scratch if scratch[step].mean() <= upcycled[step].mean()]
ahead_from = next((step for step in scratch if step > max(behind)), "none")
picture(
    both_axes,
    title=f"The lead of the upcycled is over by step {ahead_from}; the second panel counts what the dense network had cost, too",
    note="digits4, standardised, means over twenty seeds and their 95 % intervals, test images. Multiplications of one image's forward pass, added up over the steps.",
    alt=f"First: the upcycled are {leads[50].mean():.1f} points ahead of scratch after 50 steps, and {leads[400].mean():.1f} after 400. Second: the upcycled begin when those from scratch have trained for "
    f"{as_mixture:.0f} steps.",
    height=300,
    narrow_height=520,
)

# %% tags=["measure"]
# Claim 09.3.
claim(
    "09.3",
    "After 50 steps, copies of a trained network are more than four points ahead of mixtures from scratch",
    measured=upcycled[50] - scratch[50],
    holds=above(4),
    control=untrained[50] - scratch[50],
    control_is="copies of a network that is not trained",
    quantity="accuracy over the mixture from scratch (points)",
)

# %% [markdown]
# ## The referee's verdicts
#
# Here is what you judged: most sentences under two conditions. Does the verdict stay?
#
# Wrong *here* does not refute a paper, whose models and data are far larger. So ask of every such sentence: at which cost, after how
# many steps, with which coefficient, and against what?

# %% tags=["draw", "nbval-ignore-output", "09.qiu", "09.wang", "09.router", "09.finer", "09.shared", "09.papers"]
# Drawn: what sources say, and what was measured here.
MARKS = {"right": "✓", "wrong": "✗", "unclear": "?"}
found = [said for said, *_ in heard.values()]
rows = {}
for trial, (said, points) in heard.items():
    for what, gain in points.items():
        interval = in_words(gain).partition(" ")[2]
        rows[f"{MARKS[said]} {trial}{what}\n{interval}"] = estimate(gain)
interval_chart(
    rows,
    title=f"Of {len(heard)} comparisons, {found.count('right')} end right here, {found.count('wrong')} wrong, {found.count('unclear')} unclear",
    note="✓ right, ✗ wrong, ? unclear. In brackets: the 95 % interval. Nakamura's sentence promises two gains: one comparison, two rows (in the second, a lead "
    f"of scratch is the gain). Not drawn: Qiu's specialisation and Wang's load. Do effects differ where verdicts do? The difference in each seed tells: for Wang's two, {in_words(ahead[0] - ahead[1])} points. "
    "digits4, standardised, means over twenty seeds (Fedus at equal cost: thirty).",
    colors={row: {"✓": "holds", "✗": "fails"}.get(row[0], "muted") for row in rows},
    unit="points gained (below 0: lost)",
    zero=0,
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("09")

# %%
# Your my_moe.py can start from a dense network now. In a terminal: python my_moe.py
mine = my_moe()

# %% [markdown]
# ## Try it
#
# 1. Let the dense networks train for 100 steps only before they are copied: `dense_steps = 100` in *Drawn: who is promised to lead*.
#    Run that cell and the next four. Does either paper's verdict change? How much of the lead after 50 steps does
#    an early copy keep, and is it still behind after 400?
# 2. Wang et al.'s sentence with a faster bias: `RATE = 0.03` in *Measured: a sigmoid gate*, and run it and the next two cells. Do
#    both verdicts stay?
# 3. Dai et al.'s sentence with four experts of 2 neurons. Train `learn(lambda: mixture(14, 2, 2, n_shared=2))[1][400]`, where two are
#    shared and two chosen, and `learn(lambda: mixture(16, 2, 4))[1][400]`, where all four are chosen. What does your `verdict` say of the gain?
#
# ## Recap
#
# - Most models in the table have many small experts. More than k/E of their parameters are active.
# - A strong loss in groups of one kind leaves little specialisation. The whole batch keeps it, and so do random groups here.
# - With a sigmoid gate, a bias keeps the load more even than the two losses that we tried (rate 0.001, 400 steps; another rate may
#   not). A softmax with a loss of 0.1 gets more right: the gate counts, too. (In bfloat16, a bias
#   [stops moving](museum.ipynb#a-neglected-expert-stays-neglected).)
# - With a loss of 0.1, each doubling of the experts gained less than the one before. Count the router, also when experts are cut finer.
# - One shared expert beside one chosen lost against two chosen.
# - Copies of a network trained for 800 steps save the beginning. On average, mixtures from scratch overtake them between 100 and 200
#   steps, and at 400 they are clearly ahead.
#
# **Sources.** [Qiu et al. 2025](https://arxiv.org/abs/2501.11873), [Wang et al. 2024](https://arxiv.org/abs/2408.15664), [Fedus et al.
# 2021](https://arxiv.org/abs/2101.03961), [Krajewski et al. 2024](https://arxiv.org/abs/2402.07871), [Dai et al.
# 2024](https://arxiv.org/abs/2401.06066), [Nakamura et al. 2025](https://arxiv.org/abs/2502.19261), [Komatsuzaki et al.
# 2022](https://arxiv.org/abs/2212.05055). Mixtral: [Jiang et al. 2024](https://arxiv.org/abs/2401.04088). Kimi K3: [Kimi Team
# 2026](https://arxiv.org/abs/2607.24653); its config: [Hugging
# Face](https://huggingface.co/moonshotai/Kimi-K3/blob/main/config.json).
