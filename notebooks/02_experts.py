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
# # 02 Experts
#
# 40 minutes. You leave able to build experts that run side by side, send each input to one of them by an oracle, and
# count what was computed.
#
# The last lesson ended with a wish: choose the part of the network *before* computing it. Here we grant it. An **oracle**,
# somebody who simply knows, tells each input where to go. What is that worth?
#
# ## A problem with four rules
#
# `digits4` is the task at which a small network failed. Each image comes in four rotations, and each rotation has its own names for the
# digits.

# %% tags=["setup"]
# Setup: what this lesson uses, and its data.
import torch
from torch import nn

from moe_tutorial.course import check, guess, quiz, reveal, scoreboard
from moe_tutorial.layers import Experts, MixtureOfExperts
from moe_tutorial.show import bars, interval_chart, message, picture, sweep, table
from moe_tutorial.study import (
    above,
    between,
    claim,
    digits4,
    estimate,
    multiplications,
    parameters,
    score,
    seeds,
    train,
)

torch.set_num_threads(1)  # small models are fastest on one thread

data = digits4("standardised")
print(f"{len(data.x_train):,} training and {len(data.x_test):,} test images, 64 pixels")
# The test images come four times, once under each rule, and always in the same order.
names = data.y_test.reshape(4, -1)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: three images in their four rotations.
pixels = digits4("raw").x_test.reshape(4, -1, 8, 8)  # four rotations of each image
which = {3: 0, 6: 2, 7: 2}  # legible ones
examples = [int((names[0] == digit).nonzero()[n]) for digit, n in which.items()]


def draw(figure, theme):
    axes = figure.subplots(len(examples), 4)
    ink = "gray_r" if theme == "light" else "gray"
    for row, example in enumerate(examples):
        for rule in range(4):
            place = axes[row, rule]
            place.imshow(pixels[rule, example], cmap=ink)
            place.set(xticks=[], yticks=[])
            place.set_xlabel(f"called {names[rule, example]}", labelpad=2)
            if row == 0:
                place.set_title(f"rule {rule}", fontsize=11)
            for spine in place.spines.values():
                spine.set_visible(True)


picture(
    draw,
    title="Each rule has its own names for the digits",
    note=(
        "Three test images (rows) in their four rotations (columns). Only the "
        "first keeps all the usual names."
    ),
    alt="Images of a 3, a 6 and a 7 in four rotations, each with its own label.",
    height=360,
)

# %% [markdown]
# ## Build it: experts side by side
#
# To let an oracle choose, we first need several networks to choose from. An expert is a small network: a linear layer, an activation, a
# linear layer. Nothing about it is special. The plainest way to hold four of them is a list.


# %%
def expert():
    return nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))


torch.manual_seed(seeds(1)[0])
as_list = nn.ModuleList(expert() for _ in range(4))

# %% [markdown]
# **Your turn.** `oracle` holds an expert's number for each image. Fill `scores`; each expert may compute only its own images.


# %% tags=["exercise"]
def by_loop(x, oracle, experts, n_classes):
    """x (B, d) -> class scores (B, n_classes): experts[oracle[b]] answers image b."""
    scores = torch.zeros(len(x), n_classes)
    ### BEGIN SOLUTION
    for i, expert in enumerate(experts):
        mine = oracle == i
        scores[mine] = expert(x[mine])
    ### END SOLUTION
    return scores


# %%
by_loop = check("02.by_loop", by_loop)

# %% [markdown]
# A loop asks one expert after the other. To ask all of them at once, we stack them: each layer is one tensor for all, and `w_in[e]`
# is what expert `e` has there.
#
# `torch.einsum("ij,jk->ik", a, b)` is `a @ b`: the letters name the dimensions, and one that is missing on the right is summed over.
# With one letter more, `"ij,ejk->iek"` multiplies `a` by each of E matrices at once.
#
# **Your turn.** Compute every expert's scores for every image, without a loop: first layer, ReLU, second layer.
# `w_in[e]` and `w_out[e]` have a row for each of the expert's neurons (so `w_out[e]` is the transpose of what `nn.Linear` keeps).


# %% tags=["exercise"]
def stacked(x, w_in, b_in, w_out, b_out):
    """What every expert says about every image: x (B, d) -> (B, E, d_out).

    w_in (E, h, d), b_in (E, h), w_out (E, h, d_out), b_out (E, d_out)
    """
    ### BEGIN SOLUTION
    neurons = torch.einsum("bd,ehd->beh", x, w_in) + b_in
    return torch.einsum("beh,eho->beo", neurons.relu(), w_out) + b_out
    ### END SOLUTION


# %%
stacked = check("02.stacked", stacked)

# %% [markdown]
# The package's `Experts` are such a stack. We copy the list's weights in; all three must give the same answers.

# %% tags=["measure"]
# Measured: whether list, stack and package give the same answers.
experts = Experts(n_experts=4, d_model=64, d_hidden=8, d_out=10)
with torch.no_grad():
    for number, own in enumerate(as_list):
        experts.w_in[number] = own[0].weight
        experts.b_in[number] = own[0].bias
        experts.w_out[number] = own[2].weight.T
        experts.b_out[number] = own[2].bias

x, oracle = data.x_test[::18], data.regime_test[::18]  # 100 images, under all rules
everyone = stacked(x, experts.w_in, experts.b_in, experts.w_out, experts.b_out)
answered = everyone[torch.arange(100), oracle]
assert torch.allclose(answered, by_loop(x, oracle, as_list, 10), atol=1e-6)
assert torch.allclose(experts(x), everyone, atol=1e-6)
print("what every expert would say:", tuple(everyone.shape))
print("list, stack and package give the same answers")

# %% [markdown]
# `by_loop` asked each expert about its own images only. `stacked` asked *everyone*, and then we chose: the same answer for four times the
# work. (The package can also sort the images by expert first, and then each expert computes only its own.)
#
# ## Count it
#
# *Total* parameters are all that a layer keeps. *Active* parameters are those that are used for one image.
#
# **Your turn.** Each expert has two layers, with weights and biases. Return the total and the active parameters.


# %% tags=["exercise"]
def bill(n_experts, n_asked, d, h, d_out):
    """Experts with layers d -> h -> d_out, of which an image uses n_asked
    -> parameters (total, active)."""
    ### BEGIN SOLUTION
    one = d * h + h + h * d_out + d_out
    return n_experts * one, n_asked * one
    ### END SOLUTION


# %%
bill = check("02.bill", bill)

# %% [markdown]
# Four candidates:
#
# - a dense network of 8 neurons, as wide as one expert;
# - four experts of 8 neurons, all of which are asked;
# - the same four, of which one is asked;
# - a dense network of 32 neurons, as wide as all four.
#
# PyTorch counts the multiplications while they run.


# %% tags=["measure"]
# Measured: parameters and multiplications of the four.
def dense(width, inputs=64):
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 10))


def asked_alone(x):
    """Each expert's own images, one expert after the other, by the package."""
    counts = oracle.bincount(minlength=4).tolist()
    return experts.grouped(x[oracle.argsort()], counts)


candidates = {  # the bill, and what is run
    "dense, 8 neurons": (bill(1, 1, 64, 8, 10), dense(8)),
    "four experts, all asked": (bill(4, 4, 64, 8, 10), experts),
    "four experts, one asked": (bill(4, 1, 64, 8, 10), asked_alone),
    "dense, 32 neurons": (bill(1, 1, 64, 32, 10), dense(32)),
}
work = {name: multiplications(ask, x) / len(x) for name, (_, ask) in candidates.items()}
print(f"{'':26}{'total':>8}{'active':>8}{'multiplications an image':>27}")
for name, ((total, active), _) in candidates.items():
    print(f"{name:26}{total:8,}{active:8,}{work[name]:27,.0f}")
assert parameters(experts) == bill(4, 1, 64, 8, 10)[0]

# %% [markdown]
# An expert takes 64 x 8 multiplications in its first layer and 8 x 10 in its second. So does a dense network of its width. Which
# dense network is it fair to compare experts with? There are two:
#
# - the dense network of **equal active cost**, as wide as one expert: it does the same work, and keeps less;
# - the dense network of **equal total size**, as wide as all of them: it keeps about as much, and works harder.
#
# Always report both. Beside only one of them, experts can look better or worse than they are.
#
# Try other sizes: each move builds the layer and counts anew. A real **router** chooses here. It multiplies the image by one vector of
# weights for each expert, and that is on the bill, too. Where does the router cost more than the experts?


# %% tags=["draw", "nbval-ignore-output"]
# Three sliders: experts, how many are chosen, and their width.
def show_cost(n_experts, top_k, width):
    layer = MixtureOfExperts(64, width, n_experts, top_k, d_out=10)
    image = torch.randn(1, 64)
    total, active_cost = parameters(layer), multiplications(layer, image)
    router = multiplications(layer.router, image)
    more = "more" if router > active_cost - router else "less"
    return message(
        f"{top_k} of {n_experts} experts: {total:,} parameters, "
        f"{active_cost:,} multiplications an image",
        f"The router costs {more} than the experts: 64 E = {64 * n_experts:,}, and 74 k h = {74 * top_k * width:,}.",
    ) + bars(
        {
            "parameters kept": total,
            "multiplications, mixture": active_cost,
            "the router's part of these": router,
            "the experts' part": active_cost - router,
            "multiplications, dense as wide as all experts": 74 * n_experts * width,
        },
        "parameters and multiplications",
        strong=["multiplications, mixture"],
    )


sweep(
    show_cost,
    n_experts=("Experts, E", [4, 8, 16, 32, 64]),
    top_k=("Chosen, k", [1, 2, 4]),
    width=("Neurons an expert, h", [8, 32, 128]),
)

# %% [markdown]
# ## Train it
#
# Four experts of which one is asked cost as little as the small network. Are they as accurate as the large one?
# No image meets two experts. So each expert trains by itself, on its own images, and at the test each answers its own.


# %%
def trained_apart(oracle_train, oracle_test):
    """Test accuracy of four experts, each trained on what the oracle sends to it: (10,)."""
    right = torch.zeros(10)
    for i in range(4):
        learns, answers = oracle_train == i, oracle_test == i
        # The same data, but its training images are those that are sent to expert i.
        own = data._replace(x_train=data.x_train[learns], y_train=data.y_train[learns])
        # Every fourth of forty seeds, so that no two experts start alike. A dense network
        # sees 128 images in a step, an expert a quarter of that: the team sees as many.
        trained = train(expert, own, seeds(40)[i::4], batch_size=128 // 4)
        accuracy = trained.accuracy(data.x_test[answers], data.y_test[answers])
        right += accuracy * answers.sum()
    return right / len(data.y_test)


# %% [markdown]
# An expert sees images of one rule only, so in effect it knows the rule. To be fair, we tell dense networks the rule, too: by four more
# inputs beside the pixels, one for each rule (6 for its rule, 0 for the others).
#
# And what does splitting do without knowing? We shuffle the expert numbers among the training images, and separately among the test
# images: **dice**. Each expert gets as many images as before. Only the knowledge is gone.


# %% tags=["measure"]
# Measured over ten seeds: accuracy of dense networks, not told the rule and told.
def dense_accuracy(width, data=data):
    """Test accuracy of ten dense networks of this width."""
    n_inputs = data.x_train.shape[1]
    trained = train(lambda: dense(width, n_inputs), data, seeds(10))
    return trained.accuracy(data.x_test, data.y_test)


def with_rule(x, rule):
    return torch.cat([x, 6.0 * nn.functional.one_hot(rule, 4)], dim=1)


told = data._replace(
    x_train=with_rule(data.x_train, data.regime_train),
    x_test=with_rule(data.x_test, data.regime_test),
)
accuracy = {
    "dense, 8 neurons": dense_accuracy(8),
    "dense, 32 neurons": dense_accuracy(32),
    "dense, 8 neurons, told": dense_accuracy(8, told),
    "dense, 32 neurons, told": dense_accuracy(32, told),
}

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
not_told, is_told = (
    f"{100 * accuracy[name].mean():.1f} %"
    for name in ("dense, 8 neurons", "dense, 8 neurons, told")
)
guess(
    "02.gain",
    f"One network with 8 hidden neurons learns all four rules. It gets {not_told} of the test "
    f"images right, and {is_told} if it is told the rule. Four experts of 8 neurons get their "
    "images from the oracle. How many points are they ahead of the network that is told? "
    "(Below 0: behind.)",
    slider=(-20, 30, 1, "points"),
)

# %% tags=["measure"]
# Measured over ten seeds: accuracy of the experts, with the oracle and with dice.
generator = torch.Generator().manual_seed(seeds(1)[0])
dice_train, dice_test = (  # the oracle's words in a random order
    words[torch.randperm(len(words), generator=generator)]
    for words in (data.regime_train, data.regime_test)
)
accuracy["experts and an oracle"] = trained_apart(data.regime_train, data.regime_test)
accuracy["experts and dice"] = trained_apart(dice_train, dice_test)
# And one network that learns from a quarter of the images, in batches of a quarter.
quarter = dice_train == 0
part = data._replace(x_train=data.x_train[quarter], y_train=data.y_train[quarter])
trained = train(expert, part, seeds(10), batch_size=128 // 4)
accuracy["one network, a quarter"] = trained.accuracy(data.x_test, data.y_test)


def ahead(name, other):
    """By how many points the one is more accurate than the other, for each seed."""
    return 100 * (accuracy[name] - accuracy[other])


# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
right = {name: f"{100 * each.double().mean():.1f} %" for name, each in accuracy.items()}
as_good = ahead("experts and an oracle", "dense, 32 neurons, told").mean()
reveal(
    "02.gain",
    float(ahead("experts and an oracle", "dense, 8 neurons, told").mean()),
    says=f"The experts get {right['experts and an oracle']} right."
    f"\n\nAnd a dense network of 32 neurons that is told the rule? It gets {right['dense, 32 neurons, told']}. "
    + (
        "Four small experts equal the large network, at a quarter of its work."
        if abs(as_good) < 1
        else f"The experts are {abs(as_good):.1f} points {'ahead of' if as_good > 0 else 'behind'} it, at a quarter of its work."
    )
    + f"\n\nWith dice, four experts get {right['experts and dice']}. Why so few? Each learns from a quarter of the images. One network of 8 neurons that "
    f"learns from such a quarter alone, in equally small batches, gets {right['one network, a quarter']}.",
)

# %% tags=["draw", "nbval-ignore-output"]
# Drawn: what knowing and splitting are worth, each by itself and together.
kinds = {
    "told the rule, not split": "dense, 8 neurons, told",
    "split, not told (dice)": "experts and dice",
    "split and told (oracle)": "experts and an oracle",
    "32 neurons, told": "dense, 32 neurons, told",
    "32 neurons, not told": "dense, 32 neurons",
}
gains = {row: ahead(kind, "dense, 8 neurons") for row, kind in kinds.items()}
knowing, splitting, both, *_ = (
    f"{gain.double().mean():+.1f}".replace("-", "−") for gain in gains.values()
)
interval_chart(
    gains,
    title=f"Knowing alone brings {knowing} points, splitting alone {splitting}, both together {both}",
    note="Gained over one network of 8 neurons that is not told. Small dots: ten seeds; above them the mean, and its 95 % interval. Split: "
    "four experts of 8 neurons; each learns from a quarter of the images, in batches of a quarter.",
    colors={"split and told (oracle)": "accent"}
    | dict.fromkeys(["32 neurons, told", "32 neurons, not told"], "muted"),
    unit="points gained",
    zero=0,
)

# %% tags=["measure"]
# Claim 02.1.
claim(
    "02.1",
    "Where both are told each image's rule, experts directed by an oracle beat one dense network of equal active cost "
    "by more than ten points",
    measured=ahead("experts and an oracle", "dense, 8 neurons, told"),
    holds=above(10),
    control=ahead("experts and dice", "dense, 8 neurons"),
    control_is="nobody is told: experts chosen by dice",
    quantity="accuracy gained (points)",
)

# %% tags=["measure"]
# Claim 02.2.
claim(
    "02.2",
    "Where both are told each image's rule, experts directed by an oracle equal the dense network of equal total size, "
    "within one point, at a quarter of its work",
    measured=ahead("experts and an oracle", "dense, 32 neurons, told"),
    holds=between(-1, 1),
    control=ahead("experts and dice", "dense, 32 neurons"),
    control_is="nobody is told: experts chosen by dice",
    quantity="accuracy gained (points)",
)

# %% [markdown]
# ## A choice that never learned
#
# An oracle knows the rule, and dice look at no image. What if the choice only *looks*? The third chooser looks at the image, and
# knows nothing: a matrix with one vector of random weights for each expert. An image goes to the expert whose vector has the
# largest product with it. The matrix is drawn once and never learns. (The four experts train together, in batches of 128.)

# %% tags=["guess", "nbval-ignore-output"]
# A guess.
guess(
    "02.drawn",
    "The same four experts learn with this chooser. How do they compare with one "
    "dense network of 8 neurons that is not told the rule?",
    choices=["less accurate", "about as accurate", "more accurate"],
)


# %% tags=["measure"]
# Measured over ten seeds: drawn matrices, and dense networks of a little less and more work.
class DrawnOnce(nn.Module):
    """Four experts, and a matrix that chooses among them and never learns."""

    def __init__(self):
        super().__init__()
        self.experts = Experts(n_experts=4, d_model=64, d_hidden=8, d_out=10)
        self.register_buffer("matrix", torch.randn(64, 4))

    def forward(self, x):
        chosen = (x @ self.matrix).argmax(-1)[:, None, None]
        return self.experts(x).gather(1, chosen.expand(-1, 1, 10))[:, 0]


trained = train(DrawnOnce, data, seeds(10))
accuracy["experts and a drawn matrix"] = trained.accuracy(data.x_test, data.y_test)
work_of_all = 64 * 4 + 64 * 8 + 8 * 10  # multiplications: the matrix, and one expert
less = work_of_all // (64 + 10)  # neurons
for width in (less, less + 1):
    accuracy[f"dense, {width} neurons"] = dense_accuracy(width)

chosen = (data.x_test @ trained.buffers["matrix"]).argmax(-1)  # (10, images)
# Of each matrix and expert, the images of the rule that it gets most of.
betrayed = sum(
    data.regime_test[by_one == e].bincount(minlength=4).max()
    for by_one in chosen
    for e in range(4)
) / len(chosen.flatten())

# %% tags=["guess", "nbval-ignore-output"]
# Your guess and what was measured.
drawn = "experts and a drawn matrix"
mean = ahead(drawn, "dense, 8 neurons").mean().item()
reveal(
    "02.drawn",
    "about as accurate"
    if abs(mean) < 2
    else "more accurate"
    if mean > 0
    else "less accurate",
    says=f"They get {100 * accuracy[drawn].mean():.1f} % right. What sets this choice apart from dice? An expert's number tells something "
    f"about the rule: guess each expert's most frequent rule, and you are right in {100 * betrayed:.0f} % of the cases. A blind guess is right in a quarter."
    f"\n\nIt is not free: the matrix takes 64 x 4 = {64 * 4} more multiplications. Spend them on a wider dense network instead:",
)


# %% tags=["draw", "nbval-ignore-output"]
# A table: the matrix among dense networks.
def against(width):
    gain = estimate(ahead(drawn, f"dense, {width} neurons"))
    ends = f"95 % interval {gain.low:+.1f} to {gain.high:+.1f}".replace("-", "−")
    if gain.low <= 0 <= gain.high:
        return f"Against {width} neurons, ten seeds show no difference ({ends} points)."
    place = f"{'ahead' if gain.mean > 0 else 'behind'} by {abs(gain.mean):.1f} points"
    return f"Against {width} neurons, the matrix is {place} ({ends})."


costs = {drawn: (work_of_all, bill(4, 1, 64, 8, 10)[0] + 64 * 4)}
for width in (8, less, less + 1, 32):
    costs[f"dense, {width} neurons"] = 74 * width, bill(1, 1, 64, width, 10)[0]
right |= {name: f"{100 * accuracy[name].double().mean():.1f} %" for name in costs}
by_cost = sorted(costs, key=costs.get)
table(
    ["", "accuracy", "multiplications", "parameters kept"],
    {name: [right[name], *map("{:,}".format, costs[name])] for name in by_cost},
    title=f"With the matrix, experts get {right[drawn]}; dense networks of about as much work get "
    + " and ".join(right[f"dense, {width} neurons"] for width in (less, less + 1)),
    note=f"{against(less + 1)} {against(less)}",
)

# %% tags=["measure"]
# Claim 02.3.
claim(
    "02.3",
    "Experts chosen by a matrix that was drawn once and never learns are as accurate, within two and a half points, "
    "as a dense network of 12 neurons, which multiplies a little more",
    measured=ahead(drawn, "dense, 12 neurons"),
    holds=between(-2.5, 2.5),
    control=ahead("experts and dice", "dense, 12 neurons"),
    control_is="experts chosen by dice, which look at no image",
    quantity="accuracy gained (points)",
)

# %% [markdown]
# ## The scoreboard
#
# Here begins a scoreboard that goes through the course: whatever a later lesson trains on `digits4` has to find its place
# on it. (The work of choosing is not in these numbers: for the drawn matrix, see the table above.)

# %% tags=["measure", "remove-output"]
# Seven rows for the scoreboard.
rows = score(
    "02",
    {
        "dense of active size": (8, 8, accuracy["dense, 8 neurons"]),
        "dense of total size": (32, 32, accuracy["dense, 32 neurons"]),
        "dense of active size, told": (8, 8, accuracy["dense, 8 neurons, told"]),
        "dense of total size, told": (32, 32, accuracy["dense, 32 neurons, told"]),
        "experts and an oracle": (8, 32, accuracy["experts and an oracle"]),
        "experts and a drawn matrix": (8, 32, accuracy["experts and a drawn matrix"]),
        "experts and dice": (8, 32, accuracy["experts and dice"]),
    },
)

# %% tags=["draw", "nbval-ignore-output", "02.gain", "02.drawn"]
# Drawn: the scoreboard.
scoreboard(
    rows,
    title=f"Four experts get {100 * accuracy['experts and dice'].mean():.1f} % right with dice, {100 * accuracy[drawn].mean():.1f} % with a random matrix, "
    f"{right['experts and an oracle']} with an oracle",
)

# %% [markdown]
# ## What this does not show
#
# No real router is told the rule, and what the oracle knows is not on the bill. The data were made so that there is something to divide.
# Splitting is no good in itself: with dice it is worse than not splitting. And all experts here have 8 neurons (*Try it* 3).

# %% tags=["quiz", "nbval-ignore-output"]
# Questions.
quiz("02")

# %% [markdown]
# ## Try it
#
# 1. Let the oracle lie at the test: give `trained_apart` a copy of `data.regime_test` in which every tenth number is wrong, as one
#    more (modulo 4) is. How much does one wrong word in ten cost?
# 2. Let the oracle's word be the answer's remainder: `trained_apart(data.y_train % 4, data.y_test % 4)`. Is that oracle
#    better than the one that knows the rule, and why would it be cheating?
# 3. Give each expert 4 neurons: change `expert`, and run `trained_apart(data.regime_train, data.regime_test).mean()`. Do they still
#    equal a dense network of 16 neurons that is told, `dense_accuracy(16, told).mean()`?
#
# ## Recap
#
# - Experts are small networks of one shape, held as stacked tensors.
# - Two fair dense baselines: equal *active* cost and equal *total* size, told what the experts are told.
# - Told the same, four experts of 8 neurons equal the dense network of 32, at a quarter of its work (other widths may differ: *Try it* 3).
# - Splitting by dice loses: each expert learns from a quarter of the images. A random matrix that never learns
#   gains about what its extra work would gain in a dense network.
# - Four experts of the same shape did worst with dice, better with a random matrix, best with an oracle: how the images are divided among
#   them decides what they are worth. How can a layer choose by itself? That is the next lesson.
#
# **Sources.** Experts for parts of a problem: [Jacobs et al. 1991](https://doi.org/10.1162/neco.1991.3.1.79). Total and
# active cost in a released model: [Mixtral of Experts, Jiang et al. 2024](https://arxiv.org/abs/2401.04088).
