"""Lesson 13: a path layer, a verdict on a lead, what layers multiply, and a tree as a mixture."""

import torch

from moe_tutorial.course.vocabulary import Ask, checks


@checks(
    "13.path_layer",
    hints=(
        "`w_in[node]` (T, d) holds each token's own row. A score is the sum of their products, and the node's bias.",
        "The answer grows on each level by `F.gelu(score)[:, None] * w_out[node]`. After that a token goes on.",
        "`node = 2 * node + 1 + (score >= 0)`: True counts as 1.",
    ),
    mistakes={
        "Your tokens turn to the other side: a score of 0 or more goes on to 2 n + 2.": "score >= 0 => score < 0",
        "Left and right are exchanged: a score above 0 goes on to 2 n + 2.": "score >= 0 => score <= 0",
        "Only the last node's answer is left. Add up those of all nodes on the way.": "y = y + => y =",
        "You forget the nodes' biases.": " + b_in[node] => ",
        "`@` computes the scores of all nodes. Each token needs its own node's alone: `w_in[node]`.": (
            "(x * w_in[node]).sum(-1) + b_in[node] => x @ w_in.T + b_in"
        ),
        "A node adds the gelu of its score, and not the score.": "F.gelu(score)[:, None] => score[:, None]",
        "A node adds the gelu of its score, and not its relu.": "F.gelu => F.relu",
        "A token's score is one number: sum up its products, by `.sum(-1)`.": ".sum(-1) => ",
        "`if` asks about one token, but `score` holds all. Add `(score >= 0)`: for each token it is 1 or 0.": (
            "node = 2 * node + 1 + (score >= 0) => node = 2 * node + (2 if score >= 0 else 1)"
        ),
        "`@` scores each token by all tokens' nodes. Multiply each by its own row, number by number, and sum up.": (
            "(x * w_in[node]).sum(-1) => x @ w_in[node].T"
        ),
        "`@` adds up over all tokens. Each has a node of its own: multiply number by number, also for the answer.": (
            "(x * w_in[node]).sum(-1) + b_in[node]\ny = y + F.gelu(score)[:, None] * w_out => "
            "x @ w_in[node].T + b_in[node]\ny = y + F.gelu(score) @ w_out"
        ),
        "`@` multiplies each token by all rows. Multiply each by its own row, number by number, and sum up.": (
            "(x * w_in[node]).sum(-1) => x @ w_in[node]"
        ),
        "A score of exactly 0 goes to 2 n + 2, too.": "score >= 0 => score > 0",
        "The children of node n are 2 n + 1 and 2 n + 2.": "2 * node + 1 + => 2 * node +",
        "You go on before the node has answered, and take the next node's output weights. First answer, then go on.": (
            "w_out[node] => w_out[2 * node + 1 + (score >= 0)]"
        ),
        "The score's sign says where to go on, and not its gelu's, which is rounded to -0 for a score of -8.": (
            "(score >= 0) => (F.gelu(score) >= 0)"
        ),
        "Each token's gelu multiplies its own row of `w_out[node]`: `[:, None]` makes (T, 1) of (T,).": (
            "F.gelu(score)[:, None] => F.gelu(score)"
        ),
    },
)
def path_layer(ask: Ask) -> None:
    w_in = torch.tensor([[1.0, 0], [0, 1], [1, -1], [2, 1], [0, -1], [1, 1], [-1, 0]])
    b_in = torch.tensor([0.0, 1, 0.5, -1, 0, -0.5, 2])
    w_out = torch.tensor([[1.0, 0, 2], [0, 3, 0], [4, 0, 0], [0, 0, 5], [1, 1, 1], [2, -1, 0], [0, 1, -3]])
    x = torch.tensor([[1.0, 0], [-1, 1], [0, 2], [-2, -2], [2, 1]])
    for depth in (1, 2, 3):
        n = 2**depth - 1
        given = {"x": x, "w_in": w_in[:n], "b_in": b_in[:n], "w_out": w_out[:n], "depth": depth}
        says = "for each token the sum of what the nodes on its way add"
        ask.gives(given, says, where=f"the tree has {depth} level{'s' * (depth > 1)}")
    far = given | {"x": torch.tensor([[-9.0, 0.0], [0.0, -9.0]])}
    ask.gives(far, says, where="some scores are -8 or less, where the gelu is rounded to -0")
    doubled = given | {"w_out": 2 * given["w_out"]}
    ask.follows(given, doubled, lambda y: 2 * y, "With twice the output weights, the answers should be twice as large.")


@checks(
    "13.verdict",
    hints=(
        "For `ahead`, turn `behind` round. `alike` asks about both ends: neither may be further from 0 than the limit.",
        "`ahead = low > limit`: if the lower end is above the limit, all of the interval is.",
        "`alike = -limit <= low and high <= limit`: both ends are within the limit.",
    ),
    mistakes={
        "A lead within the limit is too small to care about. Compare with `limit`, not 0.": "low > limit => low > 0",
        "The whole interval has to be above the limit, its lower end, too.": "low > limit => high > limit",
        "Alike needs both ends within the limit. An interval that reaches across a limit is unsettled.": (
            "-limit <= low and high <= limit => not ahead and not behind"
        ),
        "A lead a little below 0 is alike, too: the lower end may be as low as `-limit`.": "-limit <= low => 0 <= low",
        "A lead a little above 0 is alike, too: the upper end may be as high as `limit`.": "high <= limit => high <= 0",
    },
    swaps=[("ahead = low > limit", "alike = -limit <= low and high <= limit")],
)
def verdict(ask: Ask) -> None:
    says = "what the whole interval says, beside the limit"
    clear = ((2, 3), (-3, -2), (0.2, 0.6), (-0.6, -0.2))
    across = ((-1.1, -0.9), (-0.7, 1.2), (-1.2, 0.5), (-0.2, 2.5), (-2, 2))  # a limit
    for low, high in clear + across:
        ask.gives({"low": low, "high": high, "limit": 1}, says)
    for low, high in ((0.3, 0.9), (0.1, 0.24), (-0.9, -0.3), (-0.4, -0.1)):
        ask.gives({"low": low, "high": high, "limit": 0.25}, says)


@checks(
    "13.multiplications",
    hints=(
        "To choose, a mixture scores all `n` experts, and a tree asks one question on each of its `levels`: `d` each.",
        "Which numbers does a node on the path need to say where to go, and which to answer? Add both up.",
        "`n * d + h * 2 * d` for the mixture. The tree has `levels` in place of `n`. The path: `levels` neurons.",
    ),
    mistakes={
        "A tree asks one question on each level, and not all its nodes.": "tree = levels => tree = (n - 1)",
        "A tree has no score for each leaf. It asks one question on each level.": "tree = levels => tree = n",
        "A path's node asks with the score with which it answers. It reads the token once.": (
            "path = levels * 2 * d => path = levels * 3 * d"
        ),
        "On a path answers one node of each level, and not all nodes.": "path = levels => path = (n - 1)",
        "A path's nodes don't only ask: each is a neuron, which also writes d numbers.": (
            "path = levels * 2 * d => path = levels * d"
        ),
        "Of the path layer's nodes each is one neuron: it has no leaves of `h`.": (
            "path = levels * 2 * d => path = levels * d + h * 2 * d"
        ),
        "A node of a path layer is one neuron, and not `h`.": "path = levels * 2 * d => path = levels * h * 2 * d",
        "A neuron reads d numbers and writes d: it multiplies 2 d times.": "h * 2 * d => h * d",
        "All `h` neurons of an expert or leaf answer.": "h * 2 * d => 2 * d",
        "To choose costs, too.": "d + h => 0 + h",
        "A score, or a question, multiplies all d numbers of a token.": "d + h => 1 + h",
        "That is one level too many: one question finds one of two.": "tree = levels => tree = (levels + 1)",
        "Of experts and leaves only one answers.": "h * 2 * d => n * h * 2 * d",
        "A mixture's score writes nothing: it multiplies d times.": "mixture = n * d => mixture = n * 2 * d",
        "A tree's question writes nothing: it multiplies d times.": "tree = levels * d => tree = levels * 2 * d",
        "A path has one node on each of its `levels` levels.": "path = levels => path = (levels + 1)",
        "A mixture scores all its `n` experts, and not one on each level.": "mixture = n => mixture = levels",
    },
)
def multiplications(ask: Ask) -> None:
    for kind in ("dense", "mixture", "tree", "path"):
        for n, d, h in ((8, 5, 4), (1, 7, 4), (2, 3, 10), (64, 10, 7)):
            given = {"kind": kind, "n": n, "d": d, "h": h}
            ask.gives(given, "what is multiplied to choose and to answer")
    tree = {"kind": "tree", "n": 16, "d": 9, "h": 5}
    says = "A tree of twice as many leaves asks one question more."
    ask.follows(tree, tree | {"n": 32}, lambda found: found + 9, says)


@checks(
    "13.choose_path",
    hints=(
        "First all questions at once: `x @ w.T + b >= 0` is True where the answer is right.",
        "Write the answers as numbers, +1 for right and -1 for left: `(...) * 2.0 - 1`.",
        "`answers @ ways.T` counts for each leaf the answers that lead to it. The most are at `.argmax(-1)`.",
    ),
    mistakes={
        "That is the leaf with which most questions disagree. Is it the smallest score, or left in place of right?": (
            "argmax(-1) => argmin(-1)"
        ),
        "An answer to the left has to count -1, so that it speaks for the leaves on the left.": "* 2.0 - 1 => * 1.0",
        "A question that is very sure outweighs the others. Each counts +1 or -1.": (
            "(x @ w.T + b >= 0) * 2.0 - 1 => x @ w.T + b"
        ),
        "A sigmoid counts an answer to the left for the right, too. Each counts +1 or -1.": (
            "(x @ w.T + b >= 0) * 2.0 - 1 => torch.sigmoid(x @ w.T + b)"
        ),
        "You forget the questions' biases.": "w.T + b >= 0 => w.T >= 0",
        "An answer of exactly 0 goes right.": ">= 0 => > 0",
        "That is a leaf's best token. Take each token's best leaf.": "argmax(-1) => argmax(0)",
        "Those are the scores. The leaf with the largest is asked for.": ".argmax(-1) => ",
    },
)
def choose_path(ask: Ask) -> None:
    w = torch.tensor([[1.0, 0], [0, 1], [1, -1]])
    b = torch.tensor([0.0, 1, 5])
    ways = torch.tensor([[-1.0, -1, 0], [-1, 1, 0], [1, 0, -1], [1, 0, 1]])
    x = torch.tensor([[1.0, 0], [-1, 1], [-2, -2], [2, 9], [-7, 1], [3, 4], [-1, -9]])
    given = {"x": x, "w": w, "b": b, "ways": ways}
    ask.gives(given, "the leaf that each token's answers lead to")
    edge = torch.tensor([[0.0, 2], [0, 7], [-1, -1]])
    ask.gives(given | {"x": edge}, "the leaf that each token's answers lead to", where="an answer is exactly 0")
    unsure = {"x": torch.tensor([[1.0, 0.02], [-0.02, 5.0]]), "w": torch.tensor([[1.0, 0], [0, 9.0], [1.0, 0]])}
    unsure |= {"b": torch.zeros(3), "ways": torch.tensor([[-1.0, -1, 0], [-1, 1, 0], [1, 0, -1], [1, 0, 1]])}
    ask.gives(
        unsure, "the leaf that each token's answers lead to", where="one question is very sure, and others are not"
    )
    larger = given | {"w": 3 * w, "b": 3 * b}
    says = "With all questions three times as sure, the leaves should be the same."
    ask.follows(given, larger, lambda leaf: leaf, says)
