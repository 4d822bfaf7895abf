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
# # Capstone: match a published model, find the planted bugs
#
# 50 minutes. You leave able to rebuild a published model's mixture from its weights, to prove that it is the same, and to
# find a bug that somebody has planted in a mixture.
#
# Experts, router, softmax gate and balance you have built before. Some of what published models add is new here: gated
# experts, an expert that all tokens share, a sigmoid for the gate, a choice within groups, weights that are scaled. Each is
# said in a sentence where it comes up. Two jobs are left, and they are the jobs that people who work with mixtures have
# every week. First: *here are the weights of a model; compute what it computes.* Second: *something is wrong with this
# layer; what?*

# %% tags=["setup"]
import copy
import itertools
import re

import torch
import torch.nn.functional as F
import transformers
from torch import nn
from transformers import DeepseekV3Config, MixtralConfig, OlmoeConfig, Qwen3MoeConfig
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
from transformers.models.olmoe.modeling_olmoe import OlmoeSparseMoeBlock
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

from moe_tutorial.course import guess, quiz, reveal, score_card
from moe_tutorial.course.planted_bugs import (
    BUGS,
    MUTANTS,
    SUSPECTS,
    accuse,
    mutant,
    suspect,
)
from moe_tutorial.layers import BiasBalancer, MixtureOfExperts, from_transformers
from moe_tutorial.show import interval_chart, table, token_path
from moe_tutorial.study import above, below, claim, digits4, in_every_seed, seeds, train

transformers.logging.set_verbosity_error()  # it has views on blocks without a model
torch.set_num_threads(1)  # small models are fastest on one thread
D, H, E, K = 16, 24, 8, 2

# %% [markdown]
# ## Here are the weights
#
# The library `transformers` holds the code that published models run on. We take Mixtral's block from it and make it
# small. The course downloads nothing, so its weights are drawn here; the real ones have the same names and more numbers.


# %% tags=["setup"]
def filled(block, seed):
    """The block with weights, and a selection bias if it has one, from a seed."""
    draw = torch.Generator().manual_seed(seed)
    for numbers in (*block.parameters(), *block.buffers()):
        nn.init.normal_(numbers, std=0.3, generator=draw)
    return block.eval()


def mixtral(seed):
    sizes = {"hidden_size": D, "intermediate_size": H}
    config = MixtralConfig(**sizes, num_local_experts=E, num_experts_per_tok=K)
    return filled(MixtralSparseMoeBlock(config), seed)


def on_the_hub(block):
    """The block's weights, one matrix at a time, as Mixtral's files name them."""
    weights = {"gate.weight": block.gate.weight}
    for e in range(E):
        gate, up = block.experts.gate_up_proj[e].chunk(2)
        weights |= {
            f"experts.{e}.w1.weight": gate,
            f"experts.{e}.w2.weight": block.experts.down_proj[e],
            f"experts.{e}.w3.weight": up,
        }
    return {name: tensor.detach() for name, tensor in weights.items()}


block = mixtral(seeds(1)[0])
weights = on_the_hub(block)
for name, tensor in list(weights.items())[:4]:
    print(f"{name:20} {tuple(tensor.shape)}")
print("and so on for", E - 1, "more experts")

# %% [markdown]
# Is that a mixture as you know it? Here is what happens to one token in it:

# %% tags=["draw", "nbval-ignore-output"]
torch.manual_seed(seeds(1)[0])
_, routing = from_transformers(block)(torch.randn(1, D))
token_path(routing, name="one token in Mixtral's block")

# %% [markdown]
# ## Rebuild it
#
# One router, and three matrices an expert. Mixtral's experts are **gated**, which is new: one reading of the token goes
# through a silu, $x\,\sigma(x)$, and multiplies the other. The rest you know: softmax, the two likeliest, their weights
# divided by their sum.


# %%
def expert(x, w1, w2, w3):
    """A gated expert, (T, d) -> (T, d)."""
    return (F.silu(x @ w1.T) * (x @ w3.T)) @ w2.T


def mixtral_by_hand(x, weights):
    """Mixtral's block, (T, d) -> (T, d), from the weights as the hub names them."""
    probs = (x @ weights["gate.weight"].T).softmax(-1)
    g, indices = probs.topk(K)
    g = g / g.sum(-1, keepdim=True)
    y = torch.zeros_like(x)
    for e in range(E):
        own = [weights[f"experts.{e}.{name}.weight"] for name in ("w1", "w2", "w3")]
        rows, place = (indices == e).nonzero(as_tuple=True)
        y[rows] += g[rows, place, None] * expert(x[rows], *own)
    return y


def gap(ours, theirs):
    """How far apart two answers are, as a part of the second's size: a number from 0."""
    distance = (ours - theirs).norm().detach()
    return float(distance / theirs.norm().detach()) if distance else 0.0


torch.manual_seed(seeds(1)[0])
x = torch.randn(64, D)
theirs = block(x[None])[0]  # published blocks want (batch, tokens, d)
print("same as the published block:", gap(mixtral_by_hand(x, weights), theirs) < 1e-5)

# %% [markdown]
# How do we know that `w1` is the gate and not `w3`? Both are (h, d). The names do not say. Try the other way round:

# %% tags=["measure"]
other_name = {"w1": "w3", "w3": "w1", "w2": "w2"}
swapped = {
    re.sub(r"w\d", lambda match: other_name[match[0]], name): tensor
    for name, tensor in weights.items()
}
fits = all(swapped[name].shape == tensor.shape for name, tensor in weights.items())
print("every shape fits:", fits)
print("same as the published block:", gap(mixtral_by_hand(x, swapped), theirs) < 1e-5)

# %% [markdown]
# Right shapes, no error, wrong answer. **Only comparing with the original's outputs tells.** Make it a habit: the first
# thing to write beside a rebuilt layer is this one comparison.
#
# ## Four families
#
# The package's `from_transformers` does this for Mixtral, Qwen3-MoE, OLMoE and DeepSeek-V3 (and for gpt-oss and DeepSeek-V4,
# except the layers whose experts a table of token ids chooses), by copying the weights into a `MixtureOfExperts` and setting
# the router as the model's config says. The first three differ by one setting: whether the picked weights are divided
# by their sum. DeepSeek-V3 adds what no lesson has built:
#
# - a **sigmoid** for each expert's score, instead of one softmax over all;
# - **groups**: the experts stand in `n_group` groups, and only the best `topk_group` of these are chosen from;
# - a **scale**: all weights times `routed_scaling_factor`;
# - a **shared expert** that answers every token, unasked, with weight 1.
#
# Are they the same to rounding error? In the control that one setting is turned round.


# %% tags=["measure"]
def qwen3(seed):
    sizes = {"hidden_size": D, "moe_intermediate_size": H}
    config = Qwen3MoeConfig(
        **sizes, num_experts=E, num_experts_per_tok=K, norm_topk_prob=True
    )
    return filled(Qwen3MoeSparseMoeBlock(config), seed)


def olmoe(seed):
    sizes = {"hidden_size": D, "intermediate_size": H}
    config = OlmoeConfig(
        **sizes, num_experts=E, num_experts_per_tok=K, norm_topk_prob=False
    )
    return filled(OlmoeSparseMoeBlock(config), seed)


def deepseek(seed):
    sizes = {"hidden_size": D, "moe_intermediate_size": H, "n_shared_experts": 1}
    routing = {"n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5}
    config = DeepseekV3Config(
        **sizes, **routing, n_routed_experts=E, num_experts_per_tok=K
    )
    return filled(DeepseekV3MoE(config), seed)


FAMILIES = {
    "Mixtral": mixtral,
    "Qwen3-MoE": qwen3,
    "OLMoE": olmoe,
    "DeepSeek-V3": deepseek,
}


def rebuilt_gap(family, seed, change=lambda moe: None):
    """Gap between a published block and the package's copy of it, after a change to the copy."""
    block = FAMILIES[family](seed)
    moe = from_transformers(block)
    change(moe)
    x = torch.randn(1, 64, D, generator=torch.Generator().manual_seed(seed))
    return gap(moe(x)[0], block(x))


def turn_renormalising(moe):
    moe.router.renormalize = not moe.router.renormalize


claim(
    "14.1",
    "Rebuilt from their weights, the blocks of Mixtral, Qwen3-MoE, OLMoE and "
    "DeepSeek-V3 answer as the published code does, to a hundred-thousandth of the "
    "answer",
    quantity="difference, against the answer's size",
    measured=[max(rebuilt_gap(f, seed) for f in FAMILIES) for seed in seeds(10)],
    holds=in_every_seed(below(1e-5)),
    control=[
        min(rebuilt_gap(f, seed, turn_renormalising) for f in FAMILIES)
        for seed in seeds(10)
    ],
    control_is="renormalising turned round, the family that minds least",
)

# %% [markdown]
# ## What no shape shows
#
# Which lines of a config decide what is computed, although every tensor fits without them? We change one at a time, and
# measure how far the answer moves.


# %% tags=["measure"]
def swap_gate_and_up(moe):
    moe.experts.w_gate, moe.experts.w_in = moe.experts.w_in, moe.experts.w_gate


CHANGES = {
    "w1 and w3 swapped": ("Mixtral", swap_gate_and_up),
    "not renormalised": ("Mixtral", turn_renormalising),
    "norm_topk_prob=True ignored": ("Qwen3-MoE", turn_renormalising),
    "norm_topk_prob=False ignored": ("OLMoE", turn_renormalising),
    "routed_scaling_factor ignored": (
        "DeepSeek-V3",
        lambda moe: setattr(moe.router, "scale", 1.0),
    ),
    "groups ignored": (
        "DeepSeek-V3",
        lambda moe: setattr(moe.router, "n_groups", None),
    ),
    "selection bias forgotten": ("DeepSeek-V3", lambda moe: moe.router.bias.zero_()),
    "shared expert forgotten": (
        "DeepSeek-V3",
        lambda moe: setattr(moe, "shared", None),
    ),
}
moved = {
    what: torch.tensor([rebuilt_gap(family, seed, change) for seed in seeds(10)])
    for what, (family, change) in CHANGES.items()
}
claim(
    "14.2",
    "Each of eight changes fits every tensor, raises no error, and moves the answer on "
    "average by more than a tenth of its size",
    quantity="smallest movement of the answer (of its size)",
    measured=torch.stack(list(moved.values())).amin(0),
    holds=above(0.1),
    control=[max(rebuilt_gap(f, seed) for f in FAMILIES) for seed in seeds(10)],
    control_is="nothing changed",
    refutes="Weights that load without an error are loaded right",
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
least = min(moved, key=lambda what: moved[what].mean())
table(
    ["one change", "in", "the answer moves by"],
    {what: [CHANGES[what][0], f"{gaps.mean():.0%}"] for what, gaps in moved.items()},
    title=f"The mildest mistake, “{least}”, moves the answer by {moved[least].mean():.0%}",
    note="Distance between the changed copy's answers and the published block's, as a part "
    "of the published answers' size: mean over ten seeds.",
)

# %% [markdown]
# ## Nine suspects
#
# Now there is no original to compare with. Nine mixtures, A to I: eight experts, two picked by a softmax over all, weights
# not renormalised, a selection bias that a balancer moves. One of them is right. In each of the others one of these bugs is
# planted. What they break you have built in earlier lessons: here all experts are plain, and the gate is a softmax.

# %%
for bug in BUGS:
    print(bug)

# %% [markdown]
# Train all nine on `digits4`, ten seeds each, from the same starts.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "14.seen",
    "Eight mixtures have a bug planted, one each. A ninth is right. All nine are trained "
    "on the same data. How many of the eight bugs can you see in the test accuracy?",
    slider=(0, 8, 1, "of 8"),
)

# %% tags=["measure"]
rules = digits4("standardised")


def balance(step, trained):
    if trained.last_routing is not None:
        bias, indices = trained.buffers["router.bias"], trained.last_routing.indices
        BiasBalancer(0.001).update(bias, indices)


runs = {
    letter: train(
        lambda letter=letter: suspect(letter, d_out=10),
        rules,
        seeds(10),
        steps=400,
        on_step=balance,
    )
    for letter in SUSPECTS
}
accuracy = {
    letter: run.accuracy(rules.x_test, rules.y_test) for letter, run in runs.items()
}
fell = {
    letter: bool((run.losses[-20:].mean(0) < run.losses[0] / 2).all())
    for letter, run in runs.items()
}
QUIET, LOUD = "DFGH", "ABCI"


def cost(letter):
    """Accuracy lost to this letter's bug, one a seed."""
    return accuracy["E"] - accuracy[letter]


def mean_cost(letter):
    return cost(letter).mean()


# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
seen = [letter for letter in QUIET + LOUD if mean_cost(letter) > 0.02]
hidden = 8 - len(seen)
reveal(
    "14.seen",
    len(seen),
    says="A bug is seen, here, if it costs more than two points of accuracy on average. "
    + (
        f"{hidden} of the eight cost less: among the best, one mixture is right and the others are not."
        if hidden
        else "Here all of them do."
    ),
)

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
best = max(accuracy, key=lambda letter: accuracy[letter].mean())
close = [n for n in accuracy if accuracy[n].mean() > accuracy[best].mean() - 0.01]
interval_chart(
    accuracy,
    title=f"{len(close)} of the nine are within a point of each other: "
    f"{', '.join(close)}. One is right",
    note="Test accuracy on digits4: ten seeds, their mean, and its 95 % interval.",
    unit="test accuracy",
)

# %% [markdown]
# And the losses?

# %% tags=["measure"]
print("loss fell to less than half, in all ten seeds:", *[n for n in fell if fell[n]])

# %% [markdown]
# Nothing in the figure says which mixture is right. A claim about the group at the top names the bugs' letters. Their names
# stay with you.

# %% tags=["measure"]
claim(
    "14.3",
    "Of the bugs D, F, G and H even the one that costs most costs less than two points of "
    "test accuracy on average",
    quantity="test accuracy lost",
    measured=cost(max(QUIET, key=mean_cost)),
    holds=below(0.02),
    control=cost(min(LOUD, key=mean_cost)),
    control_is="the one of the other four that costs least",
    refutes="If the loss falls and the accuracy is good, the code is right",
)

# %% [markdown]
# ## Ask a question whose answer you know
#
# A test set asks how good the layer is. A **probe** asks something that *must* hold for a right mixture, whatever its
# weights: then no training is needed, and no original. Ask twice, and the answer has to be the same. Ask about a token
# alone, and it must be told what it was told in company.


# %%
def twice(moe, x):
    """In evaluation, the same question has the same answer."""
    return gap(moe(x)[0], moe(x)[0])


def alone(moe, x):
    """A token gets the same answer alone as among others."""
    return gap(torch.cat([moe(token)[0] for token in x.split(1)]), moe(x)[0])


def reordered(moe, x):
    """The order of the tokens changes nothing for any of them."""
    order = torch.randperm(len(x))
    return gap(moe(x[order])[0], moe(x)[0][order])


# %% [markdown]
# The next three change the layer, and know what has to come of it. Experts have no rank: give them other numbers, with
# their rows of the router, and nothing may change. A bias for selection, raised for all alike, selects as before. And a
# router that is quite sure must say what its one expert says.


# %% tags=["measure"]
def bias_of(moe):
    """The router's selection bias, (E,), or None where it has none."""
    return getattr(moe.router, "bias", None)


@torch.no_grad()
def renamed(moe, x):
    """Experts that trade their numbers, router rows and all, answer as before."""
    other, order = copy.deepcopy(moe), torch.arange(moe.experts.n_experts).flip(0)
    for numbers in (other.router.weight, bias_of(other), *other.experts.parameters()):
        if numbers is not None:
            numbers.copy_(numbers[order])
    return gap(other(x)[0], moe(x)[0])


@torch.no_grad()
def lifted(moe, x):
    """A selection bias that rises by 1 for all experts changes nothing."""
    other = copy.deepcopy(moe)
    if bias_of(other) is not None:
        bias_of(other).add_(1)
    return gap(other(x)[0], moe(x)[0])


@torch.no_grad()
def certain(moe, x):
    """A router that is sure of one expert gives that expert's answer."""
    other = copy.deepcopy(moe)
    other.shared = None  # shared experts answer without being asked
    other.router.weight *= 1e9
    if bias_of(other) is not None:
        bias_of(other).zero_()
    y, routing = other(x)
    likeliest = routing.logits.argmax(-1)
    return gap(y, other.experts(x)[torch.arange(len(x)), likeliest])


# %% [markdown]
# Two more. Double what one expert says: exactly the tokens that asked it may change. And the loss must reach the router.


# %% tags=["measure"]
@torch.no_grad()
def who_changes(moe, x, e):
    """Double expert e's answers: which tokens change, and which asked for it, (T,) each."""
    y, routing = moe(x)
    other = copy.deepcopy(moe)
    for numbers in (other.experts.w_out, other.experts.b_out):
        if numbers is not None:
            numbers[e] *= 2
    changed = (other(x)[0] - y).norm(dim=-1) > 1e-5 * y.norm(dim=-1).mean()
    return changed, (routing.indices == e).any(-1)


def doubled(moe, x):
    """An expert that says everything twice as loud is heard by those who asked it."""
    pairs = [who_changes(moe, x, e) for e in range(moe.experts.n_experts)]
    return sum(float((c != a).float().mean()) for c, a in pairs) / len(pairs)


def unheard(moe, x):
    """1 if the loss does not reach the router, else 0."""
    y, _ = moe(x)
    reached = torch.autograd.grad(
        y.square().sum(), moe.router.weight, allow_unused=True
    )[0]
    return float(reached is None or not reached.any())


PROBES = [twice, alone, reordered, renamed, lifted, certain, doubled, unheard]


def examine(moe, x):
    """The probes that a mixture fails."""
    moe.eval()
    return [probe.__name__ for probe in PROBES if not probe(moe, x) < 1e-3]


# %% [markdown]
# First two mixtures that we trust, the package's and Mixtral's block as we rebuilt it. Then suspect D, to see how it is
# done.


# %% tags=["measure"]
def drawn(name, seed, build=suspect):
    """A suspect with weights and selection bias from a seed, untrained, and tokens for it."""
    torch.manual_seed(seed)
    moe = build(name, D, 8, E, K)
    nn.init.normal_(moe.router.weight, std=0.3)
    nn.init.normal_(moe.router.bias, std=0.1)
    return moe, torch.randn(48, D)


torch.manual_seed(seeds(1)[0])
x = torch.randn(96, D)
print("the package's fails:", examine(MixtureOfExperts(D, 8, E, K), x))
print("Mixtral's fails:    ", examine(from_transformers(block), x))
print("suspect D fails:    ", examine(*drawn("D", seeds(1)[0])))

# %% [markdown]
# D does not answer the same question twice with the same words. Then of course it fails the others too: they compare two
# answers. Something random is at work where nothing random should be. That is enough for a verdict:

# %%
accuse(D="noise in evaluation")

# %% [markdown]
# ## Your turn
#
# Here is what every suspect fails. Which bug fails just these? Put your verdicts into the cell above: `accuse(D=..., A=...)`.

# %% tags=["measure"]
failed = {letter: examine(*drawn(letter, seeds(1)[0])) for letter in SUSPECTS}
for letter, probes in failed.items():
    print(letter, ", ".join(probes) or "nothing")

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
clean = [letter for letter, probes in failed.items() if not probes]
table(
    ["", *[probe.__name__ for probe in PROBES]],
    {
        letter: ["✗" if probe.__name__ in probes else "·" for probe in PROBES]
        for letter, probes in failed.items()
    },
    title=f"Every suspect fails some probe, except {' and '.join(clean)}",
    note="✗: the mixture fails the probe. Untrained, one seed.",
)

# %% [markdown]
# <details>
# <summary>The verdicts, when you have yours</summary>
#
# - **A**, softmax over the tokens: the softmax runs down the batch, so a token's weights depend on its company. In a batch
#   of one, every expert has weight 1. That a new order changes nothing shows that it is not about places.
# - **B**, last answer wins: `y[rows] = ...` where `+=` was meant. Of a token's two experts the one computed later stays.
# - **C**, router cut off: a `detach` too many. Everything that it computes is right; it just never learns to choose.
# - **D**, noise in evaluation: the noise does not ask whether the layer trains.
# - **E**, nothing.
# - **F**, softmax twice: of eight probabilities a second softmax makes eight nearly equal weights. A router could be as sure
#   as it likes, and its expert would still whisper.
# - **G**, late tokens dropped: each expert has room for 1.25 times the mean load, and whoever comes later in the batch gets
#   nothing. Alone, a token finds no room at all.
# - **H**, bias in the weights: selected with the bias, as it should be, and weighted with it, as it should not. It cannot
#   be seen until a balancer moves the bias.
# - **I**, one expert under every name: `[expert] * 8` is eight times the same expert.
#
# </details>

# %% [markdown]
# ## Examine the probes
#
# Was it luck that one seed sufficed? Ten seeds, all suspects, and as many mixtures without a bug:


# %% tags=["measure"]
def n_caught(mixtures):
    """Of these mixtures, each with its tokens, how many fail some probe."""
    return sum(bool(examine(moe, x)) for moe, x in mixtures)


known = [n_caught(drawn(letter, s) for letter in QUIET + LOUD) for s in seeds(10)]
sound = [
    n_caught(drawn("E", 100 + 8 * seed + i) for i in range(8)) for seed in seeds(10)
]
print("bugs caught, of 8, in ten seeds:      ", *known)
print("accused without a bug, of 8, ten seeds:", *sound)

# %% [markdown]
# All caught, and nobody accused who is innocent. Are the probes good, then? That does not follow. They were written for these
# eight bugs; a probe that missed one would not be here. To examine the *probes*, they need mistakes that they were not
# written for. Here are twenty, two to four for each step of the block, from what the router reads to the sum. They were
# written down before a probe was run on any of them, and none was dropped afterwards.


# %% tags=["measure"]
def with_mistake(name, seed):
    """A mixture with this mistake, drawn like the suspects, and tokens for it."""
    return drawn(name, seed, build=mutant)


fails = {
    name: [examine(*with_mistake(name, seed)) for seed in seeds(10)] for name in MUTANTS
}
caught = torch.tensor([[bool(f) for f in found] for found in fails.values()])
claim(
    "14.4",
    "Of twenty mistakes that the probes were not written for, they catch more than half "
    "in every seed, without training and without an original",
    quantity="mistakes caught",
    measured=caught.float().mean(0),
    holds=in_every_seed(above(0.5)),
    control=[accused / 8 for accused in sound],
    control_is="eight mixtures without a bug",
)

# %% [markdown]
# So more than half, and not all. What gets through? Do these mistakes matter at all? Compare each with a right mixture of the same
# weights: does it answer otherwise, or does a weight that should learn get no gradient?


# %% tags=["measure"]
def matters(name, seed):
    """Whether the mistake changes an answer, or cuts a weight off from the loss."""
    wrong, x = with_mistake(name, seed)
    right, _ = drawn("E", seed)
    right.load_state_dict(wrong.state_dict())
    answers = [moe.eval()(x)[0] for moe in (wrong, right)]
    gradients = torch.autograd.grad(
        answers[0].square().sum(), list(wrong.parameters()), allow_unused=True
    )
    return gap(*answers) > 0.01 or any(g is None for g in gradients)


harm = torch.tensor([[matters(name, s) for s in seeds(10)] for name in MUTANTS])
missed = harm & ~caught
claim(
    "14.5",
    "In every seed more than a fifth of these mistakes pass all probes, although each "
    "changes the answer or stops weights from learning",
    quantity="mistakes missed",
    measured=missed.float().mean(0),
    holds=in_every_seed(above(0.2)),
    control=[1 - caught / 8 for caught in known],
    control_is="the eight bugs that the probes were written for",
    refutes="A layer that passes every probe is right",
)

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("14")

# %% [markdown]
# And the whole course: your guesses, exercises and quizzes.

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: what you did in each lesson.
score_card()

# %% [markdown]
# ## Try it
#
# 1. Take a mistake that nobody caught (*Further* lists them) and write the probe that catches it. Do the package's own mixture and Mixtral's
#    pass your probe?
# 2. With how many tokens do `alone` and `reordered` catch suspect G? Try 1, 2, 8 and 1,000. Why not with very few?
# 3. Which probes does an `ExpertChoiceRouter` fail, and why is that no bug? What does it say about using one in a GPT?
# 4. Load a real model with transformers' `AutoModelForCausalLM`, such as `allenai/OLMoE-1B-7B-0924`, give the `mlp` of its
#    first layer to `from_transformers`, and run the comparison of 14.1. It needs the network and a large disk, so it is
#    not run here.
#
# ## Recap
#
# - Weights that fit are not yet a model that is right. One comparison with the original's outputs says more than any
#   number of shapes.
# - A mixture learns around its bugs. Accuracy shows how good a layer is, not whether it is what you think it is.
# - Ask questions whose answers you know: twice, alone, in another order, under other names, quite sure, twice as loud. They
#   need no training, no data and no original.
# - Examine a test with mistakes that it was not written for. These probes catch more than half of them (14.4), and the rest only
#   an original or a test by hand can tell (14.5).
#
# This was the last lesson. You can build a mixture of experts from nothing, train it, keep its experts at work, say what it
# costs and where it pays, and tell when it is wrong. [What this course proves](claims.ipynb) has every claim in one place;
# the [playground](playground.ipynb) is open.
#
# **Sources.** Mixtral: [Jiang et al. 2024](https://arxiv.org/abs/2401.04088). Qwen3:
# [Yang et al. 2025](https://arxiv.org/abs/2505.09388). OLMoE: [Muennighoff et al. 2024](https://arxiv.org/abs/2409.02060).
# DeepSeek-V3: [DeepSeek-AI 2024](https://arxiv.org/abs/2412.19437). Their code:
# [transformers](https://github.com/huggingface/transformers). Questions whose answers are known from one another:
# metamorphic testing, [Chen et al. 1998](https://arxiv.org/abs/2002.12543). Mistakes planted to examine a test: mutation
# testing, [DeMillo et al. 1978](https://doi.org/10.1109/C-M.1978.218136).

# %% [markdown]
# ## Further
#
# ### What each bug costs

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output", "14.seen"]
interval_chart(
    {letter: cost(letter) for letter in QUIET + LOUD},
    title=f"Lost to each bug, in points: "
    f"{', '.join(f'{n} {100 * mean_cost(n):.1f}' for n in QUIET + LOUD)}",
    note="Accuracy of E, which is right, less that of the suspect, from the same starts: ten "
    "seeds, their mean, and its 95 % interval. An interval across 0: ten seeds cannot tell "
    "the suspect from a right one.",
    unit="accuracy lost",
)

# %% [markdown]
# ### B and I fail the same probes
#
# Look closer: double one expert after the other, and count who hears it.

# %% tags=["measure"]
for letter in "BI":
    moe, x = drawn(letter, seeds(1)[0])
    print(f"{letter}: expert   asked by  heard by")
    for e in range(E):
        heard, asked = who_changes(moe.eval(), x, e)
        print(f"{e:9} {int(asked.sum()):10} {int(heard.sum()):9}")

# %% [markdown]
# In one of them, a single expert does all the talking. In the other, experts with high numbers are heard, and those with
# low numbers are talked over.

# %% [markdown]
# ### The twenty mistakes, one by one

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
table(
    ["a mistake", "caught", "by", "matters"],
    {
        name: [
            f"{int(caught[row].sum())} of 10",
            ", ".join(dict.fromkeys(itertools.chain(*fails[name]))) or "nobody",
            f"{int(harm[row].sum())} of 10",
        ]
        for row, name in enumerate(MUTANTS)
    },
    title=f"Eight probes catch {caught.float().mean():.0%} of the mistakes that they were not "
    "written for",
    note="Ten seeds. Caught: some probe fails. Matters: the answer moves by more than a "
    "hundredth of its size, or a weight gets no gradient. The catch rate on the eight bugs that they "
    "were written for is 100 %.",
)

# %% [markdown]
# Look at what those that nobody caught have in common. None of them breaks a law that *every* mixture keeps. They make a good mixture, only
# another one than was meant: a cooler softmax, weights that sum to 1, experts without their relu. A probe cannot know what
# you meant. That takes an original (14.1), or a test of each part against a few lines written by hand.

# %% [markdown]
# ### Your own layer
#
# `examine` takes any mixture with the package's names: `router`, `experts`, and a call that returns the answer and the
# routing. (`certain` is a question for softmax gates: a sigmoid may be sure of several experts, and a `scale` scales the
# answer.) Plant a bug of your own, and see whether it is caught. This one forgets to scale what the experts say; write another that no
# probe catches.


# %%
class Mine(MixtureOfExperts):
    def dense(self, tokens, routing):
        return super().dense(
            tokens, routing._replace(weights=torch.ones_like(routing.weights))
        )


torch.manual_seed(seeds(1)[0])
print("mine fails:", examine(Mine(D, 8, E, K, dispatch="dense"), torch.randn(96, D)))
