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
# # 00 Start here
#
# 20 minutes. You leave able to run a cell, move a slider, have a line of yours checked, read a claim, and use the two
# words that every paper on experts needs: *total* and *active*.
#
# A **token** is one thing that a network works on, as a list of numbers: a piece of a word, or here also an image or a
# point. A **mixture of experts** is a layer of many small networks, the **experts**, and a **router** that sends each token
# to a few of them. All experts are kept, but only a few run for each token. So a model can grow with almost no more arithmetic for a token.
#
# This course builds one from nothing, trains it, and tests its main statements. Here is one at work. Four experts
# share a plane in which every quarter has its own hidden rule, and the router has to find out who should answer where.
# Watch the borders move; **Play** shows it again. In JupyterLab, click this text and press **Shift + Enter** twice: the
# second time runs the grey line below, which takes some seconds.

# %% jupyter={"source_hidden": true} tags=["draw", "nbval-ignore-output"]
# A film of four experts in training.
def film():
    """Train a small mixture on the plane, and show it step by step."""
    # Its own imports, so that this cell and the next can each be the first to run.
    import torch

    from moe_tutorial.layers import MixtureOfExperts
    from moe_tutorial.show import grid, watch_training
    from moe_tutorial.study import regimes_2d, seeds, share, train

    torch.set_num_threads(1)  # small models are fastest on one thread
    plane = regimes_2d(seed=seeds(1)[0])
    places = grid(plane.x_train, 40)
    moments = []

    def remember(step, trained):
        if step % 20 == 0:
            shares = share(trained.routing(plane.x_test).indices[0], 4)
            right = trained.accuracy(plane.x_test, plane.y_test).item()
            moments.append((trained.routing(places).logits[0], shares, right))

    train(
        lambda: MixtureOfExperts(2, 4, n_experts=4, top_k=1, d_out=2),
        plane,
        seeds(1),
        steps=800,
        on_step=remember,
    )
    logits, shares, right = zip(*moments, strict=True)
    return watch_training(
        torch.stack(logits),
        plane.x_train[:240],
        plane.y_train[:240],
        steps=[20 * moment for moment in range(len(moments))],
        shares=torch.stack(shares),
        score=right,
        score_name="accuracy",
    )


film()

# %% [markdown]
# A colour is an expert, and its region is where the router sends a point to it. The shape of a point is its class.
#
# ## Run a cell
#
# Below is code. On the website you see what it printed. In JupyterLab it is yours: click into the cell and press
# **Shift + Enter**. A grey line with three dots is a cell that you need not read, such as the one that makes the film above.
# It is run in the same way: Shift + Enter goes from cell to cell. (A click on its text opens it; a click on the blue bar at
# its left closes it again.)

# %%
import numpy as np
import torch

from moe_tutorial.course import check, guess, quiz, reveal
from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.show import bars, expert_cards, message, sweep
from moe_tutorial.study import ClaimFailed, above, below, claim, parameters, seeds

torch.set_num_threads(1)  # small models are fastest on one thread
torch.manual_seed(seeds(1)[0])

moe = MixtureOfExperts(d_model=16, d_hidden=32, n_experts=8, top_k=2, activation="gelu")
tokens = torch.randn(5, 16)
output, routing = moe(tokens)

print("in: ", tuple(tokens.shape))
print("out:", tuple(output.shape))
print("experts chosen for each token:", tuple(routing.indices.shape))

# %% [markdown]
# Five tokens go in and five come out, each as wide as before. Beside the output stands the *routing*: which experts
# each token went to, and how much each of them counted.
#
# From here on a cell may need what the cells above it made. Run them in their order, or all at once: *Run*, *Run All Cells*.
#
# ## The words and letters
#
# The next pages use a few words and letters; look them up here. The [notation](glossary.md#notation) has them all.
#
# | | what it is | in this lesson |
# |---|---|---|
# | token | one thing that the layer works on, as a list of numbers | a row of `tokens` |
# | $d$ | width of a token: how many numbers | `d_model` |
# | $E$ | experts that are kept | `n_experts` |
# | $h$ | width of an expert: how many hidden neurons | `d_hidden` |
# | $k$ | experts chosen for each token | `top_k` |
# | logit | the router's score for one expert; the $k$ largest win | `routing.logits` |
# | gate weight | how much a chosen expert's answer counts; made from the logits | `routing.weights` |
# | seed | the number that fixes everything random in a run | `seeds(10)` gives ten |
# | $[a, b]$ | the 95 % interval of a mean over the seeds | in claims, from lesson 01 on |
# | ○ | the control: the same measurement with the supposed cause removed | in claims |

# %% [markdown]
# ## Guess before you look
#
# We can ask the layer itself which parameters one token uses. Send the token through, and let autograd say which had a part in the
# answer: their gradient is not zero. (With GELU it is rarely 0 by chance.)


# %%
def touched(layer, token):
    """How many parameters had a part in this token's output."""
    layer.zero_grad()
    output, _ = layer(token)
    output.square().sum().backward()
    return sum(int((p.grad != 0).sum()) for p in layer.parameters())


# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "00.active",
    "The mixture keeps eight experts, and a token asks two of them. What percentage of the layer's parameters does one token use?",
    slider=(0, 100, 1, "%"),
)

# %%
total = parameters(moe)
active = touched(moe, tokens[:1])

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
reveal(
    "00.active",
    100 * active / total,
    says=f"Of {total:,} parameters, {active:,} had a part in this token's output. The first number is called total: it "
    "fills the memory. The second is called active: about one multiplication each for a token.",
)

# %% [markdown]
# ## Write a line
#
# **Your turn.** Count the total: all that it keeps. In JupyterLab, write your line in place of YOUR CODE HERE and the line
# below it. Run the cell, and then the next one: it says whether you are right, or why not yet, and then with hints. You may read
# on without it; then the course's own solution goes on. To stop a loop that does not end, press ■, the Stop button above.


# %% tags=["exercise"]
def count_total(n_experts, expert, router):
    """Parameters of one expert and of the router -> how many are kept."""
    ### BEGIN SOLUTION
    return n_experts * expert + router
    ### END SOLUTION


# %%
count_total = check("00.count_total", count_total)

# %% [markdown]
# And the active ones? The two experts that it asks, and what else? **Your turn.**


# %% tags=["exercise"]
def count_active(n_experts, top_k, expert, router):
    """Parameters of one expert and of the router -> how many a token meets."""
    ### BEGIN SOLUTION
    return top_k * expert + router
    ### END SOLUTION


# %%
count_active = check("00.count_active", count_active)

# %% tags=["00.active"]
expert, router = parameters(moe.experts) // 8, parameters(moe.router)
print(f"total:  by hand {count_total(8, expert, router):,}, kept {total:,}")
print(f"active: by hand {count_active(8, 2, expert, router):,}, by autograd {active:,}")

# %% [markdown]
# The router is always asked: it has to look at the token before it can choose.

# %% [markdown]
# ## Move a slider
#
# Pick another token and another number of experts. The layer runs anew each time.


# %% tags=["draw", "nbval-ignore-output"]
# Two sliders: which token, and how many experts are chosen.
def mixture(top_k, seed):
    """Eight experts as above; each token goes to `top_k` of them."""
    torch.manual_seed(seed)
    return MixtureOfExperts(16, 32, 8, top_k, activation="gelu")


def show_token(token, top_k):
    layer = mixture(top_k=top_k, seed=seeds(1)[0])
    _, routing = layer(tokens[[token]])
    weights = torch.zeros(8).scatter(0, routing.indices[0], routing.weights[0].detach())
    total, active = parameters(layer), touched(layer, tokens[[token]])
    return (
        message(
            f"Token {token} asks {top_k} of 8 experts and "
            f"meets {100 * active / total:.0f} % of the parameters",
            "A coloured card is a chosen expert, with the gate weight that scales its "
            "answer.",
        )
        + expert_cards(weights.tolist())
        + bars({"total": total, "active": active}, "parameters", strong=["active"])
    )


sweep(
    show_token,
    token=("Token", list(range(5))),
    top_k=("Experts chosen, k", list(range(1, 9))),
)

# %% [markdown]
# Different tokens can choose different experts, although nothing is trained yet: a fresh router already divides its inputs, at
# random. And the upper bar never moves: choosing fewer experts saves arithmetic, not memory.
#
# ## Read a claim
#
# We have counted one layer. Does it hold for other weights and tokens? The course's main statements are **claims**: a sentence, the
# number that was measured for it, and a **control**, the same measurement with the mechanism taken away. One rule judges both. It must
# say yes to the measurement and no to the control.
#
# The claim here is that a token uses less than half of the layer. The mechanism is the choice, so the control is the
# same layer where all eight experts are chosen.
#
# **Your turn.** Write its rule. `part` holds one number for each seed: the part of the parameters that one token used. Return True or
# False.


# %% tags=["exercise"]
def rule(part):
    """part (n_seeds,), numbers from 0 to 1 -> True where the claim holds."""
    ### BEGIN SOLUTION
    return part.mean() < 0.5
    ### END SOLUTION


# %%
rule = check("00.rule", rule)

# %% [markdown]
# Your rule judges both, over ten seeds:

# %% tags=["measure", "00.active"]
# Measured over ten seeds: the part of the layer that one token meets, with and without a choice.
active_part, without_choice = [], []
for seed in seeds(10):
    chooses, asks_all = mixture(top_k=2, seed=seed), mixture(top_k=8, seed=seed)
    token = torch.randn(1, 16)
    active_part.append(touched(chooses, token) / parameters(chooses))
    without_choice.append(touched(asks_all, token) / parameters(asks_all))

claim(
    "00.1",
    "With 2 of 8 experts chosen, one token meets less than half of the layer's "
    "parameters",
    quantity="parameters that one token meets (of all)",
    measured=active_part,
    holds=rule,
    control=without_choice,
    control_is="all 8 experts chosen",
)

# %% [markdown]
# A count is the same for every seed. Later claims vary from seed to seed, and show an interval.
#
# ## Two more claims
#
# A claim has to be able to fail. Let us make two more from the same two measurements.

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "00.stops",
    "First: “a token meets less than a tenth of the parameters”. Second: “a token meets more than a tenth of "
    "them, because it asks only 2 of 8 experts”. Which of them fails?",
    choices=["only the first", "only the second", "both"],
)

# %% tags=["measure"]
# Measured: which of the two fails.
RULES = {
    "A token meets less than a tenth of the parameters": below(0.1),
    "A token meets more than a tenth of them, because it asks only 2 of 8 experts": (
        above(0.1)
    ),
}
failed = [
    statement
    for statement, holds in RULES.items()
    if not holds(np.array(active_part)) or holds(np.array(without_choice))
]

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
first, second = (statement in failed for statement in RULES)
reveal(
    "00.stops",
    "both" if first and second else "only the first" if first else "only the second",
    says=f"A token that asks 2 of 8 experts meets {100 * np.mean(active_part):.0f} % of the parameters, "
    + ("so the first fails. " if first else "so the first holds. ")
    + f"A token that asks all 8 meets {100 * np.mean(without_choice):.0f} %"
    + (
        ": more than a tenth as well. The rule says yes to the control, too, so the second fails as well."
        if second
        else ", and the second holds."
    ),
)

# %% [markdown]
# The two claims as the course prints them. Compare *measured* and *control* with the rule:

# %% tags=["measure"]
# Two claims from the same measurement.
for statement, holds in RULES.items():
    try:
        claim(
            "00.0",
            statement,
            measured=active_part,
            holds=holds,
            control=without_choice,
            control_is="all 8 experts chosen",
        )
    except ClaimFailed as failure:  # outside JupyterLab a claim that fails is an error
        print(
            "ClaimFailed:",
            str(failure).replace(" fails: ", " fails | ").replace(" | ", "\n    "),
        )

# %% [markdown]
# ## The way ahead
#
# | lesson | the question |
# |---|---|
# | [01 Why experts?](01_why_experts.ipynb) | How many neurons of an ordinary network does one input need? |
# | [02 Experts](02_experts.ipynb) | What do four small networks gain over one, if somebody tells each input where to go? |
# | [03 The router](03_router.ipynb) | How does a layer choose, and how much does each choice count? |
# | [04 Training through the gate](04_training.ipynb) | How does the loss reach the router through the gate, and when does it not? |
# | [05 Collapse](05_collapse.ipynb) | Left alone, do the experts share the work, and how strong does each become? |
# | [06 Noise](06_noise.ipynb) | Why do mixtures collapse, and does noise prevent it? |
# | [07 Balance](07_balance.ipynb) | What evens out the work, what does it cost, and is even use the goal? |
# | [08 A GPT with experts](08_moe_gpt.ipynb) | Does a language model gain from experts, and must the router learn? |
# | [09 Modern MoE](09_modern_moe.ipynb) | What do models of today choose, and which of these choices shows in a small mixture? |
# | [10 At the edge](10_edge.ipynb) | What does a token read, from where, and which models run on your machine? |
# | [11 At scale](11_scale.ipynb) | From how many tokens at once does a mixture compute for longer than it reads, and what matters then? |
# | [12 Fast feedforward trees](12_fff_trees.ipynb) | Can questions find an expert faster than scores do? |
# | [13 Trees against mixtures](13_fff_vs_moe.ipynb) | Is a tree better than a mixture, as some say? |
# | [14 Capstone](14_capstone.ipynb) | How do you match a published model, and find a bug that accuracy hides? |

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("00")

# %% [markdown]
# ## Try it
#
# Click on a cell's grey line to unfold it.
#
# 1. In the cell above claim 00.1, change `top_k=2` to `top_k=1`. The rule still says yes. Which number in the row changes?
# 2. Set both layers of that cell to `top_k=8`. The claim now fails: read why.
# 3. In the lesson's first layer, make `d_hidden` ten times as large, and run the cells down to your guess again. Does
#    the part move closer to two eighths, and why?
#
# Or train four experts without a line of code, here or on [a page of its own](playground.ipynb): open the playground, press
# Play, and watch the borders move.

# %% tags=["playground", "nbval-ignore-output"]
from moe_tutorial.show import playground

playground(E=4)

# %% [markdown]
# ## Recap
#
# - A mixture keeps all of its experts and asks a few of them for each token.
# - *Total* parameters cost memory; *active* parameters cost arithmetic. The router is always active.
# - A claim's rule must say yes to the measurement, and no to the control.
#
# **Sources.** The mixture of experts: [Jacobs et al. 1991](https://doi.org/10.1162/neco.1991.3.1.79). The sparsely-gated
# layer that this course builds: [Shazeer et al. 2017](https://arxiv.org/abs/1701.06538).
