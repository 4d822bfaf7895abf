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
# # A museum of real bugs
#
# All of these shipped: in libraries that train or serve models of hundreds of billions of parameters, and in ones
# people learn from. Each is shown in a few lines, as it shipped and as it was mended, with one symptom that this page
# measures when it runs. Hardly any of them stopped a program.
#
# The code is rewritten, as short as the bug allows: the names and the details of the originals are behind the links. What
# the links say was looked up on the day that stands beside them.
#
# <a data-jupyter-id="from-symptom-to-cause"></a>
#
# ## From symptom to cause
#
# A bug shows itself by a symptom, and one has to find its cause.
#
# | you see | it was |
# |---|---|
# | [The router never moves](#the-router-never-moves) | a number divided by itself |
# | [The balance loss is the same for every router](#the-balance-loss-is-the-same-for-every-router) | a mean over the wrong axis |
# | [The balance loss hardly notices a collapse](#the-balance-loss-hardly-notices-a-collapse) | a softmax of a softmax |
# | [The coefficient of the balance loss changes nothing](#the-coefficient-of-the-balance-loss-changes-nothing) | a return value thrown away |
# | [The loss says balanced, and each layer has a favourite](#the-loss-says-balanced-and-each-layer-has-a-favourite) | layers averaged before the loss |
# | [The balance depends on the longest text of the batch](#the-balance-depends-on-the-longest-text-of-the-batch) | padding counted as tokens |
# | [The balance loss goes to 0](#the-balance-loss-goes-to-0) | an epsilon that scores can undercut |
# | [NaN as soon as the balance is perfect](#nan-as-soon-as-the-balance-is-perfect) | the slope of a square root at 0 |
# | [The logged balance loss doubles](#the-logged-balance-loss-doubles) | a side effect in a forward pass that runs twice |
# | [Smaller microbatches, stronger balancing](#smaller-microbatches-stronger-balancing) | two losses, one of them divided |
# | [The right experts, and weights that are too alike](#the-right-experts-and-weights-that-are-too-alike) | the selection bias in the weights |
# | [A neglected expert stays neglected](#a-neglected-expert-stays-neglected) | bfloat16 |
# | [Some tokens get weights that are far off, or NaN](#some-tokens-get-weights-that-are-far-off-or-nan) | a sum taken apart again |
# | [Validation changes the training](#validation-changes-the-training) | a buffer, which `no_grad` does not stop |
# | [A token goes to a group that was ruled out](#a-token-goes-to-a-group-that-was-ruled-out) | 0 where $-\infty$ was meant |
# | [A shift of the logits changes who is served](#a-shift-of-the-logits-changes-who-is-served) | 0 where $-\infty$ was meant, again |
# | [Half of the experts are never asked](#half-of-the-experts-are-never-asked) | a loop as wide as the models of its day |
# | [The larger the batch, the weaker the layer](#the-larger-the-batch-the-weaker-the-layer) | a dropped axis |
# | [The training begins with too high a loss](#the-training-begins-with-too-high-a-loss) | a bias added outside the bracket |
# | [Right on one processor, garbage on eight](#right-on-one-processor-garbage-on-eight) | a whole added to parts before the parts are summed |
# | [Everything runs, and the benchmark falls](#everything-runs-and-the-benchmark-falls) | a scaling factor applied twice |
#
# Lessons 03 to 09 point here where you may just have made one of them yourself. Before two of them stands a guess.

# %% tags=["setup"]
# Setup: what the page uses.
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from moe_tutorial.course import guess, reveal
from moe_tutorial.show import exhibit
from moe_tutorial.study import above, below, between, exactly, in_every_seed, seeds

torch.set_num_threads(1)


def draw(seed):
    """A source of random numbers."""
    return torch.Generator().manual_seed(seed)


# %%
# Lesson 07's balance loss, for one expert a token. Several exhibits use it.
def balance(probs):
    """probs (T, E) -> E times the sum over experts of share times mean probability: 1 if even, E if one has all."""
    n_experts = probs.shape[-1]
    share = F.one_hot(probs.argmax(-1), n_experts).float().mean(0)
    return n_experts * (share * probs.mean(0)).sum()


# %% [markdown]
# <a data-jupyter-id="the-router-never-moves"></a>
#
# ## The router never moves
#
# minimind, a language model that many people learn from, chose one of four experts and divided its weight by the sum of the
# chosen weights. With two experts that is right. With one, a number is divided by itself: the weight is 1 whatever the
# router says, and the loss has no way to the router. The balance loss alone moved it, and the load looked perfect.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the router that never moves.


def wrong(probs, k):
    weights, chosen = probs.topk(k)
    weights = weights / weights.sum(-1, keepdim=True)
    return weights, chosen


def right(probs, k):
    weights, chosen = probs.topk(k)
    if k > 1:
        weights = weights / weights.sum(-1, keepdim=True)
    return weights, chosen


def symptom(version, seed):
    logits = torch.randn(256, 4, generator=draw(seed)).requires_grad_()
    answers, wanted = torch.randn(2, 256, 4, generator=draw(seed + 1))
    weights, chosen = version(logits.softmax(-1), k=1)
    said = (weights * answers.gather(-1, chosen)).sum(-1)
    F.mse_loss(said, wanted[:, 0]).backward()
    return logits.grad.norm().item()


exhibit(
    wrong, right, symptom, "Length of the loss's gradient at the router", above(1e-3)
)

# %% [markdown]
# **Found** by somebody who trained the dense model and the mixture on the same data: three times the parameters, and a
# worse loss. **Mended** so that a single chosen expert keeps its probability as its weight. Issue
# [#858](https://github.com/jingyaogong/minimind/issues/858), closed, and pull request
# [#859](https://github.com/jingyaogong/minimind/pull/859), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-balance-loss-is-the-same-for-every-router"></a>
#
# ## The balance loss is the same for every router
#
# The first Mixtral in transformers took the softmax over the chosen two, and then a mean over these two. Two numbers whose
# sum is 1 have the mean one half. What was meant is a mean over the tokens, for each expert. A number came out, it was
# positive and of the right size, and it was added to the loss.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the balance loss that is a constant.


def wrong(logits, k):
    weights, chosen = logits.topk(k)
    probs = weights.softmax(-1).mean(-1, keepdim=True)
    asked = F.one_hot(chosen, logits.shape[-1]).sum(1).float().mean(0)
    return (asked * probs).sum(-1).mean() * logits.shape[-1] / k


def right(logits, k):
    chosen = logits.topk(k).indices
    probs = logits.softmax(-1).mean(0)
    asked = F.one_hot(chosen, logits.shape[-1]).sum(1).float().mean(0)
    return (asked * probs).sum() * logits.shape[-1] / k


def symptom(version, seed):
    even = torch.randn(512, 8, generator=draw(seed))
    collapsed = even + torch.tensor([9.0, 9.0, 0, 0, 0, 0, 0, 0])
    return (version(collapsed, k=2) - version(even, k=2)).abs().item()


exhibit(
    wrong,
    right,
    symptom,
    "Balance loss of a collapsed router, minus that of an even one",
    above(1),
)

# %% tags=["measure"]
# Measured: the first repair.


def first_repair(logits, k):
    probs = logits.softmax(-1)
    chosen = F.one_hot(probs.topk(k).indices.flatten(), logits.shape[-1])
    asked = chosen.amax(-2).float().mean()  # over the tokens, and then the experts
    return (asked * probs.mean(0)).sum() * logits.shape[-1]


logits = torch.randn(512, 8, generator=draw(seeds(1)[0])).requires_grad_()
collapsed = logits.detach() + torch.tensor([9.0, 9.0, 0, 0, 0, 0, 0, 0])
first_repair(logits, k=2).backward()
print(
    f"The first repair: {first_repair(logits, k=2).item():.1f} for the even router, "
    f"{first_repair(collapsed, k=2).item():.1f} for the collapsed one; "
    f"length of the gradient: {logits.grad.norm().item():.3f}"
)

# %% [markdown]
# **Found** by a reader who saw that the function returns the same number for all logits. **Mended** twice. The first
# repair ([#28115](https://github.com/huggingface/transformers/pull/28115), merged) took a softmax over all experts,
# and then a maximum over the wrong axis: a constant again. What is left is how many experts anybody asks, and a count
# has no gradient. The second ([#28256](https://github.com/huggingface/transformers/pull/28256), merged) is what
# stands above. Issues [#28093](https://github.com/huggingface/transformers/issues/28093) and
# [#28255](https://github.com/huggingface/transformers/issues/28255). Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-balance-loss-hardly-notices-a-collapse"></a>
#
# ## The balance loss hardly notices a collapse
#
# In about ten models of transformers the router took its softmax and returned the result under the old name,
# `router_logits`. The balance loss expects logits, and takes a softmax itself. In a softmax of numbers between 0 and
# 1 no entry exceeds another by more than a factor of 2.7, so the loss sees little of a collapse. The model's answers
# are right, since they do not use the loss.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: a softmax of a softmax.


def wrong(router_logits):
    router_logits = router_logits.softmax(-1)  # the choice needs it
    return balance(router_logits.softmax(-1))  # the loss takes its own


def right(router_logits):
    router_probs = router_logits.softmax(-1)
    return balance(router_probs)


def symptom(version, seed):
    logits = torch.randn(512, 8, generator=draw(seed))
    logits[:, 0] += 9  # nearly all tokens go to expert 0
    return version(logits).item()


exhibit(wrong, right, symptom, "Balance loss of a collapsed router (even: 1)", above(4))

# %% [markdown]
# **Seen** in the sums of the rows of `router_logits`: logits seldom add up to 1. **Mended** with a name of its own
# for the probabilities. A softmax too many had been mended there before, in DBRX
# ([#39056](https://github.com/huggingface/transformers/pull/39056), merged). Issue
# [#45120](https://github.com/huggingface/transformers/issues/45120) and pull request
# [#45131](https://github.com/huggingface/transformers/pull/45131), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-coefficient-of-the-balance-loss-changes-nothing"></a>
#
# ## The coefficient of the balance loss changes nothing
#
# NeMo Automodel, as Megatron does, hangs the balance loss on the gate weights by a function that returns them unchanged and
# adds a gradient on the way back. The function was called, and what it returned was not used. The loss was computed and
# logged in each step, and no gradient of it ever arrived.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the balance loss without a gradient.


class Attach(torch.autograd.Function):
    """Returns the weights; on the way back, the loss gets the gradient 1, as if it had been added."""

    @staticmethod
    def forward(ctx, weights, loss):
        return weights.view_as(weights)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, torch.ones(())


def wrong(weights, balance_loss):
    Attach.apply(weights, balance_loss)
    return weights


def right(weights, balance_loss):
    weights = Attach.apply(weights, balance_loss)
    return weights


def symptom(version, seed):
    logits = (torch.randn(256, 8, generator=draw(seed)) + torch.eye(8)[0]).detach()
    probs = logits.requires_grad_().softmax(-1)
    weights = version(probs.amax(-1), balance(probs))
    (0 * weights.sum()).backward()  # the task has nothing to say
    return logits.grad.norm().item()


exhibit(
    wrong,
    right,
    symptom,
    "Length of the balance loss's gradient at the router",
    above(1e-3),
)

# %% [markdown]
# **Found** together with two more bugs that this one had hidden: the coefficient was never multiplied in, and with the
# first mended alone the gradient would have been some 180,000 times too strong. **Mended** by an assignment, and by the
# scale. Issue [#1408](https://github.com/NVIDIA-NeMo/Automodel/issues/1408) and pull request
# [#1412](https://github.com/NVIDIA-NeMo/Automodel/pull/1412), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-loss-says-balanced-and-each-layer-has-a-favourite"></a>
#
# ## The loss says balanced, and each layer has a favourite
#
# transformers joined the routers' logits of all layers into one long batch and computed one balance loss. But expert
# 3 of one layer and expert 3 of the next are two experts. Where each layer has a favourite of its own, the favourites
# cancel, and the loss looks as if all were well. (Here eight layers have eight different ones, so that they cancel
# entirely.)

# %% tags=["measure", "nbval-ignore-output"]
# Measured: imbalances that cancel.


def wrong(layers):
    return balance(torch.cat(layers))


def right(layers):
    return torch.stack([balance(probs) for probs in layers]).mean()


def symptom(version, seed):
    layers = []
    for favourite in range(8):
        logits = torch.randn(256, 8, generator=draw(seed + favourite))
        logits[:, favourite] += 9
        layers.append(logits.softmax(-1))
    return version(layers).item()


exhibit(
    wrong,
    right,
    symptom,
    "Balance loss where each of eight layers has collapsed (even: 1)",
    above(4),
)

# %% [markdown]
# **Found** in January 2024 by a reader of the paper, in which each layer has a loss of its own. **Mended** late: since a
# pull request of August 2026, whose aim was memory, the function goes through the layers one by one. Issue
# [#28255](https://github.com/huggingface/transformers/issues/28255), closed, and pull request
# [#48131](https://github.com/huggingface/transformers/pull/48131), merged. The same question about Qwen3,
# [#1418](https://github.com/QwenLM/Qwen3/issues/1418), was open. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-balance-depends-on-the-longest-text-of-the-batch"></a>
#
# ## The balance depends on the longest text of the batch
#
# Short texts are filled up with padding. The task's loss leaves it out, and it was easy to forget that the router
# sees it, too. Padding is much alike, so most of it goes to the same few experts; here, all to one. The balance loss
# pushes real tokens away from there.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: padding in the balance loss.


def wrong(probs, is_text):
    return balance(probs)


def right(probs, is_text):
    return balance(probs[is_text])


def symptom(version, seed):
    text = torch.randn(512, 8, generator=draw(seed)).softmax(-1)
    found = {}
    for padded in (0, 0.25, 0.5, 0.75):
        padding = torch.eye(8)[[3]].repeat(int(512 * padded / (1 - padded)), 1)
        probs = torch.cat([text, padding])
        is_text = torch.arange(len(probs)) < 512
        found[f"{100 * padded:.0f} % padding"] = version(probs, is_text).item()
    return found


exhibit(
    wrong,
    right,
    symptom,
    "Balance loss of the same texts (even: 1)",
    in_every_seed(below(1.5)),
)

# %% [markdown]
# **Found** by somebody who missed the attention mask in the loss. **Mended** by one, and once more a month later, because
# the mask was wrong; Megatron followed in 2025, torchtitan in 2026. Pull request
# [#28517](https://github.com/huggingface/transformers/pull/28517),
# [#29363](https://github.com/huggingface/transformers/pull/29363), Megatron-LM
# [#2121](https://github.com/NVIDIA/Megatron-LM/pull/2121) and torchtitan
# [#4594](https://github.com/pytorch/torchtitan/pull/4594), all merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-balance-loss-goes-to-0"></a>
#
# ## The balance loss goes to 0
#
# A router with sigmoids divides its scores by their sum; a tiny number is added to the sum, so that it is never 0. In
# OLMo-core it was $10^{-20}$. Sigmoids can be smaller than that. The router found out: it pushed all scores down
# together, which changes no choice, and the loss was gone.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: a router that games the balance loss.


def wrong(logits):
    scores = logits.sigmoid()
    return balance(scores / (scores.sum(-1, keepdim=True) + 1e-20))


def right(logits):
    scores = logits.sigmoid()
    tiny = torch.finfo(scores.dtype).tiny
    return balance(scores / (scores.sum(-1, keepdim=True) + tiny))


def symptom(version, seed):
    logits = torch.randn(512, 8, generator=draw(seed))
    logits[:, 0] += 4  # most tokens go to expert 0
    return {
        f"logits lowered by {lower}": version(logits - lower).item()
        for lower in (20, 40, 50, 60)
    }


exhibit(
    wrong,
    right,
    symptom,
    "Balance loss of an uneven router (even: 1)",
    in_every_seed(above(1)),
)

# %% tags=["measure"]
# Measured: the repair, further down.
logits = torch.randn(512, 8, generator=draw(seeds(1)[0]))
logits[:, 0] += 4
for lower in (60, 110):
    found = right(logits - lower).item()
    print(f"mended, logits lowered by {lower}: {found:.1f}")

# %% [markdown]
# **Found** in a training run whose balance loss fell below 1, and on towards 0. **Mended** by a far smaller number.
# That moves the edge, from a logit of about -46 to one of about -87, and does not remove it. Pull request
# [#255](https://github.com/allenai/OLMo-core/pull/255), merged. Megatron-LM, where the number came from, was told
# ([#1545](https://github.com/NVIDIA/Megatron-LM/issues/1545), open). Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="nan-as-soon-as-the-balance-is-perfect"></a>
#
# ## NaN as soon as the balance is perfect
#
# V-MoE's losses square a standard deviation. Its derivative has the deviation in the denominator: where all experts have
# the same load, 0 is divided by 0. That happens rarely, except at the start, if the router begins with zeros. (PyTorch's
# `std` has the gradient 0 there. Take the root yourself, and it is NaN.)

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the gradient at perfect balance.


def wrong(load):
    deviation = load.var(correction=0).sqrt()
    return (deviation / load.mean()) ** 2


def right(load):
    return load.var(correction=0) / load.mean() ** 2


def symptom(version, seed):
    tokens = torch.randn(256, 16, generator=draw(seed))
    router = torch.zeros(8, 16, requires_grad=True)
    version((tokens @ router.T).softmax(-1).sum(0)).backward()
    return router.grad.isnan().sum().item()


exhibit(
    wrong,
    right,
    symptom,
    "Router weights, of 128, whose gradient is NaN in the first step",
    exactly(0),
)

# %% [markdown]
# **Mended** by the variance, which needs no root, with tests of the case that training aims at. Pull request
# [#218](https://github.com/google-research/vmoe/pull/218), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-logged-balance-loss-doubles"></a>
#
# ## The logged balance loss doubles
#
# To save memory, a layer can be computed again in the backward pass in place of being remembered. Megatron's router
# logged its balance loss in the forward pass, which then ran twice. The gradients were right.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: what is logged with and without recomputation.


def wrong(logits, log):
    probs = logits.softmax(-1)
    log.append(balance(probs).item())
    return probs.amax(-1)


def right(logits, log):
    probs = logits.softmax(-1)
    if torch.is_grad_enabled():  # not so in the first pass, if use_reentrant=True
        log.append(balance(probs).item())
    return probs.amax(-1)


def symptom(version, seed):
    logits = torch.randn(256, 8, generator=draw(seed)).requires_grad_()
    log = []
    checkpoint(version, logits, log, use_reentrant=True).sum().backward()
    return len(log)


exhibit(
    wrong,
    right,
    symptom,
    "Balance losses logged in one step, with recomputation",
    exactly(1),
)

# %% [markdown]
# **Found** by two runs side by side: 1.09 and 2.20 where 1 is even. **Mended** as here, which holds for
# `use_reentrant=True` only: with `False` both passes have gradients, and `right` logs twice, too. It was reported
# three times. Issue [#1330](https://github.com/NVIDIA/Megatron-LM/issues/1330), closed, and pull request
# [#1331](https://github.com/NVIDIA/Megatron-LM/pull/1331), taken over into another change. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="smaller-microbatches-stronger-balancing"></a>
#
# ## Smaller microbatches, stronger balancing
#
# A batch that does not fit is cut into microbatches, whose gradients add up. NeMo Automodel divided the task's loss by
# their number, and the balance loss was added later, by other code. Whoever halved the microbatch doubled the balancing.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the gradient of the balance loss over microbatches.


def wrong(task_loss, balance_loss, microbatches):
    return task_loss / microbatches + balance_loss


def right(task_loss, balance_loss, microbatches):
    return (task_loss + balance_loss) / microbatches


def symptom(version, seed):
    tokens = torch.randn(1024, 16, generator=draw(seed)) + 0.5
    start = torch.randn(8, 16, generator=draw(seed + 1))
    lengths = {}
    for microbatches in (1, 2, 4, 8):
        router = start.clone().requires_grad_()
        for part in tokens.chunk(microbatches):
            loss = balance((part @ router.T).softmax(-1))
            version(torch.zeros(()), loss, microbatches).backward()
        lengths[microbatches] = router.grad.norm().item()
    return {f"microbatches: {n}": length / lengths[1] for n, length in lengths.items()}


exhibit(
    wrong,
    right,
    symptom,
    "Length of the balance loss's gradient, over that of the whole batch",
    in_every_seed(between(0.7, 1.4)),
)

# %% [markdown]
# **Mended** by one place that computes the scale for every recipe, and checked against the same training in another
# framework. Pull request [#3359](https://github.com/NVIDIA-NeMo/Automodel/pull/3359), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-right-experts-and-weights-that-are-too-alike"></a>
#
# ## The right experts, and weights that are too alike
#
# DeepSeek-V3 adds a bias to the scores to choose experts, and to nothing else. vLLM took the weights of the chosen from the
# biased scores: one call of `topk` gives both. The experts are the right ones, and nothing fails.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the selection bias in the weights.


def wrong(scores, bias, k):
    weights, _ = (scores + bias).topk(k)
    return weights / weights.sum(-1, keepdim=True)


def right(scores, bias, k):
    chosen = (scores + bias).topk(k).indices
    weights = scores.gather(-1, chosen)
    return weights / weights.sum(-1, keepdim=True)


def symptom(version, seed):
    scores = (2 * torch.randn(512, 64, generator=draw(seed)) - 3).sigmoid()
    largest = {}
    for level in (0, 1, 2, 4):
        bias = torch.full((64,), float(level))  # of all experts: it cannot matter
        largest[level] = version(scores, bias, k=8).amax(-1).mean().item()
    return {
        f"bias {level} for all": part / largest[0] for level, part in largest.items()
    }


exhibit(
    wrong,
    right,
    symptom,
    "Largest of a token's eight weights, over what it is without a bias",
    in_every_seed(above(0.99)),
)

# %% [markdown]
# **Found** by reading the paper beside the code. **Mended** by gathering from the unbiased scores. In transformers a
# refactoring brought the same bug into further models within the year. vLLM
# [#12002](https://github.com/vllm-project/vllm/pull/12002), merged, and transformers
# [#41663](https://github.com/huggingface/transformers/pull/41663), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="a-neglected-expert-stays-neglected"></a>
#
# ## A neglected expert stays neglected
#
# A balancer without a loss raises or lowers each expert's bias by a small step. Megatron registered the bias in float32,
# and the wrapper that casts the model to bfloat16 cast it, too, for a buffer is part of the model. A bfloat16 has eight
# bits of precision.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "14.museum_bias",
    "A bias begins at 0. In each of 2,000 steps its expert has too few tokens, and it is raised by 0.001. "
    "In exact arithmetic it ends at 2. Where does it end in bfloat16?",
    slider=(0, 2, 0.05, ""),
)

# %% tags=["measure"]
# Measured: a bias in bfloat16, and one in float32.


def wrong(bias, counts, rate=0.001):
    bias = bias.bfloat16()
    return bias + rate * (counts.mean() - counts).sign().bfloat16()


def right(bias, counts, rate=0.001):
    bias = bias.float()
    return bias + rate * (counts.mean() - counts).sign()


def symptom(version, seed):
    counts = 100 * torch.rand(8, generator=draw(seed)) + 100
    counts[0] = 0.0
    bias = torch.zeros(8)
    for _ in range(2000):
        bias = version(bias, counts)
    return bias[0].item()


ends = symptom(wrong, seeds(1)[0])

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "14.museum_bias",
    ends,
    says=f"From {ends:.2g} on, the next number of the format is more than two steps away, so each sum is rounded back to where it was."
    if ends < 1.9
    else f"It arrives at {ends:.3g}: here the steps are large enough.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: both.
exhibit(
    wrong,
    right,
    symptom,
    "Bias after 2,000 steps of 0.001 (exactly: 2)",
    above(1.9),
)

# %% [markdown]
# **Found** by looking at the dtype during training. **Mended** by keeping the bias in float32. In 2026 the counts were
# found to be in bfloat16, too: above 256 it cannot count by ones, and which way a bias moved depended on the order of a
# sum. Issue [#1482](https://github.com/NVIDIA/Megatron-LM/issues/1482), closed, and pull request
# [#7081](https://github.com/NVIDIA/Megatron-LM/pull/7081), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="some-tokens-get-weights-that-are-far-off-or-nan"></a>
#
# ## Some tokens get weights that are far off, or NaN
#
# A kernel of flashinfer kept one number for each expert, score plus bias, and got the score back by a subtraction. The
# biases of that model are near 12, and a float32 near 12 has steps of about $10^{-6}$. The sigmoid of an expert that is
# hardly wanted is smaller than that. Where all scores of a token are, 0 is divided by 0.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: a score that is taken out of a sum.


def wrong(scores, bias, k):
    biased, chosen = (scores + bias).topk(k)
    weights = biased - bias[chosen]
    return weights / weights.sum(-1, keepdim=True), chosen


def right(scores, bias, k):
    chosen = (scores + bias).topk(k).indices
    weights = scores.gather(-1, chosen)
    return weights / weights.sum(-1, keepdim=True), chosen


def symptom(version, seed):
    bias = 12 + 0.1 * torch.rand(64, generator=draw(seed))
    found = {}
    for mean in (0, -8, -12, -16):
        scores = (torch.randn(512, 64, generator=draw(seed + 1)) + mean).sigmoid()
        weights, chosen = version(scores, bias, k=8)
        exact = scores.double().gather(-1, chosen)
        exact = exact / exact.sum(-1, keepdim=True)
        near = (weights - exact).abs() < 0.01  # NaN is not near
        found[f"mean logit {mean}"] = 100 * (~near.all(-1)).double().mean().item()
    return found


exhibit(
    wrong,
    right,
    symptom,
    "Tokens with a weight that is off by .01 or more (%)",
    in_every_seed(exactly(0)),
)

# %% [markdown]
# **Found** on one path of the kernel; another path of it was right, so the two could be compared. By then an epsilon
# of $10^{-20}$ ([#3803](https://github.com/flashinfer-ai/flashinfer/pull/3803), merged) had made all weights of such
# a token 0 in place of NaN. **Mended** by keeping the sigmoid. Pull request
# [#3875](https://github.com/flashinfer-ai/flashinfer/pull/3875), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="validation-changes-the-training"></a>
#
# ## Validation changes the training
#
# torchtitan counted in each forward pass how many tokens an expert got. After a training step the counts move the
# bias and are cleared. A validation in between counted, too: `no_grad` stops gradients, and a buffer is not a
# gradient. Nothing is to be seen but a bias that moves a little otherwise. (Here it is much: the validation texts
# like the opposite experts, and are eight times as many.)

# %% tags=["measure", "nbval-ignore-output"]
# Measured: how many biases take another step after a validation.


def wrong(counts, chosen, training):
    counts += chosen.bincount(minlength=len(counts))


def right(counts, chosen, training):
    if training:
        counts += chosen.bincount(minlength=len(counts))


def symptom(version, seed):
    liked = torch.linspace(2, -2, 8)  # by the training texts
    texts = torch.randn(512, 8, generator=draw(seed)) + liked
    others = torch.randn(4096, 8, generator=draw(seed + 1)) - liked
    steps = []
    for validates in (False, True):
        counts = torch.zeros(8)
        if validates:
            with torch.no_grad():
                version(counts, others.argmax(-1), training=False)
        version(counts, texts.argmax(-1), training=True)
        steps.append((counts.mean() - counts).sign())
    return (steps[0] != steps[1]).sum().item()


exhibit(
    wrong,
    right,
    symptom,
    "Biases, of 8, that step the other way after a validation",
    exactly(0),
)

# %% [markdown]
# **Mended** by counting in training mode only, with a test that evaluates in between. Pull request
# [#4148](https://github.com/pytorch/torchtitan/pull/4148), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="a-token-goes-to-a-group-that-was-ruled-out"></a>
#
# ## A token goes to a group that was ruled out
#
# DeepSeek-V3 first picks four of eight groups of experts, and then experts within them. vLLM and SGLang set the scores of
# the other groups to 0. A sigmoid is positive, so 0 loses; a sigmoid plus a negative bias may not be. In the published V3
# the smallest bias is above 2, so there it never happened.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: picks outside of the groups that were picked.


def wrong(scores, is_allowed, k):
    return scores.masked_fill(~is_allowed, 0.0).topk(k).indices


def right(scores, is_allowed, k):
    return scores.masked_fill(~is_allowed, float("-inf")).topk(k).indices


def symptom(version, seed):
    plain = torch.randn(512, 256, generator=draw(seed)).sigmoid()
    found = {}
    for bias in (0, -0.8, -0.9, -1):
        scores = plain + bias
        group = scores.view(512, 8, 32).topk(2).values.sum(-1)
        is_picked = torch.zeros(512, 8).scatter(1, group.topk(4).indices, 1.0).bool()
        is_allowed = is_picked.repeat_interleave(32, dim=1)
        chosen = version(scores, is_allowed, k=8)
        outside = (~is_allowed).gather(1, chosen).double().mean().item()
        found[f"bias {bias} for all"] = 100 * outside
    return found


exhibit(
    wrong,
    right,
    symptom,
    "Choices of experts in groups that were ruled out (%)",
    in_every_seed(exactly(0)),
)

# %% [markdown]
# **Found** by a comparison with the published code. **Mended** by $-\infty$. vLLM
# [#13474](https://github.com/vllm-project/vllm/pull/13474), merged, SGLang
# [#3705](https://github.com/sgl-project/sglang/pull/3705), merged, and a year later transformers
# [#45441](https://github.com/huggingface/transformers/pull/45441), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="a-shift-of-the-logits-changes-who-is-served"></a>
#
# ## A shift of the logits changes who is served
#
# An expert of DeepSpeed has room for so many tokens, its capacity. If more choose it, it takes the best of them,
# which the router's logits tell. A number added to all of them should change nothing.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "14.museum_room",
    "Each expert has 1.5 times the room it needs on average. All logits are lowered by 4: no probability changes. "
    "What part of the choices is kept?",
    slider=(0, 100, 1, "%"),
)

# %% tags=["measure"]
# Measured: choices that find room.


def wrong(logits, k, capacity):
    best, chosen = logits.topk(k)
    ranked = torch.zeros_like(logits).scatter(1, chosen, best)
    taken = ranked.topk(capacity, dim=0).indices  # an expert's tokens
    return torch.zeros_like(logits).scatter(0, taken, 1.0).gather(1, chosen)


def right(logits, k, capacity):
    best, chosen = logits.softmax(-1).topk(k)
    ranked = torch.zeros_like(logits).scatter(1, chosen, best)
    taken = ranked.topk(capacity, dim=0).indices  # an expert's tokens
    return torch.zeros_like(logits).scatter(0, taken, 1.0).gather(1, chosen)


def symptom(version, seed):
    logits = torch.randn(1024, 8, generator=draw(seed))
    return {
        f"mean logit {-lower}": 100 * version(logits - lower, 2, 384).mean().item()
        for lower in (0, 1, 2, 4)
    }


kept = symptom(wrong, seeds(1)[0])["mean logit -4"]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "14.museum_room",
    kept,
    says="The logits of the chosen stood in a table of zeros, a row for each token. The zeros of tokens that had not chosen "
    "an expert stand above every negative logit, and take its room."
    if kept < 20
    else f"{kept:.0f} % find room, for many logits are still positive.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: both.
exhibit(
    wrong,
    right,
    symptom,
    "Choices that find room, where there is room for all (%)",
    in_every_seed(above(90)),
)

# %% [markdown]
# **Found** by three prints: the mask of the chosen, the mask of the capacity, and both together, in which hardly anything
# was left. **Mended** by ranking probabilities, which are above 0. Pull request
# [#7986](https://github.com/deepspeedai/DeepSpeed/pull/7986), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="half-of-the-experts-are-never-asked"></a>
#
# ## Half of the experts are never asked
#
# On a graphics processor, each of 256 threads of the engine imp looked at one expert, which was enough for every
# model until one had 512. Its logits were right, and each token whose best expert had a higher number went to the
# best of the others.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: experts that nobody asks.


def wrong(logits, k, threads=256):
    n_experts = logits.shape[-1]
    seen = [thread for thread in range(threads) if thread < n_experts]
    return torch.tensor(seen)[logits[:, seen].topk(k).indices]


def right(logits, k, threads=256):
    n_experts = logits.shape[-1]
    seen = [i for thread in range(threads) for i in range(thread, n_experts, threads)]
    return torch.tensor(seen)[logits[:, seen].topk(k).indices]


def symptom(version, seed):
    found = {}
    for n_experts in (128, 256, 512):
        logits = torch.randn(4096, n_experts, generator=draw(seed))
        asked = version(logits, k=10).unique()
        found[f"{n_experts} experts"] = n_experts - len(asked)
    return found


exhibit(
    wrong,
    right,
    symptom,
    "Experts that none of 4,096 tokens asks",
    in_every_seed(exactly(0)),
)

# %% [markdown]
# **Found** by a comparison with another engine, block by block: one chose expert 338, the other 68. **Mended** by a loop,
# so that a thread looks at every 256th expert. Pull request [#2056](https://github.com/kekzl/imp/pull/2056), merged. Looked
# up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-larger-the-batch-the-weaker-the-layer"></a>
#
# ## The larger the batch, the weaker the layer
#
# For one expert a token, MegaBlocks called `max` in place of `topk`, which is faster. It also returns a tensor with an axis
# less. The next line divides by the sum over the last axis. That axis held a token's experts; now it holds the tokens.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the weight of one token in batches of several sizes.


def wrong(probs):
    weights, _ = probs.max(dim=-1)
    return weights / weights.norm(p=1, dim=-1, keepdim=True)


def right(probs):
    weights, _ = probs.max(dim=-1, keepdim=True)
    return weights / weights.norm(p=1, dim=-1, keepdim=True)


def symptom(version, seed):
    probs = torch.randn(640, 8, generator=draw(seed)).softmax(-1)
    return {f"tokens: {n}": version(probs[:n]).mean().item() for n in (1, 8, 64, 640)}


exhibit(
    wrong,
    right,
    symptom,
    "Mean gate weight of a token",
    in_every_seed(above(0.99)),
)

# %% [markdown]
# **Mended** by keeping the axis. All weights are 1 then, which is what the option asks for, and the first bug of this
# museum. Pull request [#87](https://github.com/databricks/megablocks/pull/87), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="the-training-begins-with-too-high-a-loss"></a>
#
# ## The training begins with too high a loss
#
# Experts of gpt-oss end with a bias. One of NeMo Automodel's ways to compute them multiplied the gate weight in early, at
# the hidden layer, and the library that did the last product added the bias whole. So $k$ experts added $k$ biases, where
# their weighted mean was meant. A loss that starts too high and falls looks like training.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: how often a bias counts.


def wrong(hidden, w_out, b_out, weights):
    answers = (weights.unsqueeze(-1) * hidden) @ w_out + b_out
    return answers.sum(1)


def right(hidden, w_out, b_out, weights):
    answers = weights.unsqueeze(-1) * (hidden @ w_out + b_out)
    return answers.sum(1)


def symptom(version, seed):
    w_out, b_out = torch.randn(2, 16, 16, generator=draw(seed))
    found = {}
    for k in (1, 2, 4, 8):
        weights = torch.rand(64, k, generator=draw(seed + 1)) + 0.1
        weights = weights / weights.sum(-1, keepdim=True)
        silent = torch.zeros(64, k, 16)
        said = version(silent, w_out, b_out[0], weights)
        found[f"k = {k}"] = (said / b_out[0]).mean().item()
    return found


exhibit(
    wrong,
    right,
    symptom,
    "How often the output bias counts",
    in_every_seed(between(0.99, 1.01)),
)

# %% [markdown]
# **Found** by the first loss of a fine-tuning, 8.2 where another way of computing had 4.5. **Mended** by taking away what
# was too much. Pull request [#2591](https://github.com/NVIDIA-NeMo/Automodel/pull/2591), merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="right-on-one-processor-garbage-on-eight"></a>
#
# ## Right on one processor, garbage on eight
#
# Eight processors hold a part of each expert, and an `all_reduce` adds up their answers. The shared expert is whole on
# every one of them. In TensorRT-LLM a refactoring moved its addition before the `all_reduce`, so that one was enough for
# both, and its answer counted eight times. With one processor there is no difference, and most tests have one.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: the answer of several processors, against that of one.


def wrong(parts, shared):
    on_each = [part + shared for part in parts]
    return sum(on_each)  # all_reduce


def right(parts, shared):
    return sum(parts) + shared  # all_reduce, then the rest


def symptom(version, seed):
    routed, shared = torch.randn(2, 64, 16, generator=draw(seed), dtype=torch.float64)
    found = {}
    for ranks in (1, 2, 4, 8):
        said = version([routed / ranks] * ranks, shared)
        off = (said - routed - shared).norm() / (routed + shared).norm()
        found[f"processors: {ranks}"] = 100 * off.item()
    return found


exhibit(
    wrong,
    right,
    symptom,
    "Distance from the right answer (% of its length)",
    in_every_seed(below(1)),
)

# %% [markdown]
# **Found** by benchmarks on eight processors: MMLU had fallen from about 85 to 0.05. **Mended** twice. A first repair
# ([#14667](https://github.com/NVIDIA/TensorRT-LLM/pull/14667), merged) after the refactoring
# ([#13478](https://github.com/NVIDIA/TensorRT-LLM/pull/13478), merged) kept the shared expert whole and put the sums
# in order; it came back. The second ([#16286](https://github.com/NVIDIA/TensorRT-LLM/pull/16286), merged) cuts the
# shared expert into parts, like the others, so that one `all_reduce` is right for both. It supersedes the old order,
# as above ([#15922](https://github.com/NVIDIA/TensorRT-LLM/pull/15922), open). SGLang's
# [#31476](https://github.com/sgl-project/sglang/pull/31476) and vLLM's
# [#49378](https://github.com/vllm-project/vllm/pull/49378) are of the same kind, and open, too. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="everything-runs-and-the-benchmark-falls"></a>
#
# ## Everything runs, and the benchmark falls
#
# DeepSeek-V3 multiplies what its routed experts say by 2.5, beside the shared expert, which has no factor. In vLLM
# the model did so. Then the routing learned to do it as well, for faster kernels, and the model went on. A model
# whose factor is 1 shows nothing.

# %% tags=["measure", "nbval-ignore-output"]
# Measured: how strong the routed experts are.


def wrong(scores, answers, factor):
    weights = factor * scores / scores.sum(-1, keepdim=True)
    return factor * (weights.unsqueeze(-1) * answers).sum(1)


def right(scores, answers, factor):
    weights = scores / scores.sum(-1, keepdim=True)
    return factor * (weights.unsqueeze(-1) * answers).sum(1)


def symptom(version, seed):
    scores = torch.rand(64, 8, generator=draw(seed))
    answers = torch.randn(64, 8, 16, generator=draw(seed + 1))
    found = {}
    for factor in (1, 1.5, 2.5):
        said = version(scores, answers, factor).norm()
        meant = factor * version(scores, answers, 1).norm()
        found[f"factor {factor}"] = (said / meant).item()
    return found


exhibit(
    wrong,
    right,
    symptom,
    "Length of what the routed experts say, over what was meant",
    in_every_seed(between(0.99, 1.01)),
)

# %% [markdown]
# **Found** by a benchmark: DeepSeek-R1 solved .66 of GSM8K, and .95 when it was mended. **Mended** by multiplying in
# one place. Two more models had it and were mended a day later, and in 2026 it came back by a refactoring. vLLM
# [#24119](https://github.com/vllm-project/vllm/pull/24119), [#24132](https://github.com/vllm-project/vllm/pull/24132)
# and [#45037](https://github.com/vllm-project/vllm/pull/45037), all merged. Looked up 2026-11-29.

# %% [markdown]
# <a data-jupyter-id="what-they-have-in-common"></a>
#
# ## What they have in common
#
# - Nearly always the code ran, and a number came out that looked right.
# - Many were found by a comparison: with the paper, with another path, with the same run at another size. An invariance is
#   such a comparison without a second implementation: lower all logits, add the same bias to all, double the batch.
# - Several came back. A repair without a test is a repair until the next refactoring.
#
# Lesson [14](14_capstone.ipynb) has you find bugs by probes of your own.
#
# <a data-jupyter-id="how-to-add-a-bug"></a>
#
# ## How to add a bug
#
# A section, a cell, and a paragraph. The page itself is the test: `exhibit` raises if `wrong` does not show the symptom, or
# `right` does. Ten lines are enough:
#
# ```python
# def wrong(logits):
#     return logits.softmax(0)
#
# def right(logits):
#     return logits.softmax(-1)
#
# def symptom(version, seed):
#     return version(torch.randn(8, 4, generator=draw(seed)))[0].sum().item()
#
# exhibit(wrong, right, symptom, "Sum of a token's probabilities", between(0.99, 1.01))
# ```
#
# Above it stands the symptom as a title, where it shipped, what was meant, and why nobody saw it; below it how it was found
# and mended, the link, and the day on which you looked. Then add its row to the table, and the title's
# anchor above it, as the others have it: JupyterLab makes none that the site has, too. Choose a cause that is not here yet.
