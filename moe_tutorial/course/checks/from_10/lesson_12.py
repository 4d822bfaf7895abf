"""Lesson 12: a tree's leaves, all at once and one alone; its hardening loss and its balance."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moe_tutorial.course.running import NotYet
from moe_tutorial.course.vocabulary import Ask, checks, draw


@checks(
    "12.leaf_weights",
    hints=(
        "Begin with the root: `p = right[:, :1]`. Its left child gets `weights * (1 - p)`, the right `weights * p`.",
        "Do the same for all nodes of a level at once: `p = right[:, 2**level - 1 : 2 ** (level + 1) - 1]`.",
        "A node's children stand side by side: `torch.stack([weights * (1 - p), weights * p], dim=-1)` has the shape "
        "(T, nodes, 2), and `.flatten(1)` makes a row of it.",
    ),
    mistakes={
        "You send the part `p` to the left. It is the probability of going RIGHT.": (
            "[weights * (1 - p), weights * p] => [weights * p, weights * (1 - p)]"
        ),
        "In your answer all left children stand first. A node's two children should stand side by side.": (
            "dim=-1 => dim=1"
        ),
        "You add probabilities. Along a way they are multiplied.": (
            "[weights * (1 - p), weights * p] => [weights + 1 - p, weights + p]"
        ),
        "A node divides what ARRIVES at it. In your answer every node divides a whole token.": (
            "[weights * (1 - p), weights * p] => [1 - p, p]"
        ),
        "You read the first nodes again at each level. Level l begins at node 2**l - 1.": (
            "2**level - 1 : 2 ** (level + 1) - 1 => : 2**level"
        ),
        "Level l begins at node 2**l - 1, and not at 2**l: the root is node 0.": (
            "2**level - 1 : 2 ** (level + 1) - 1 => 2**level : 2 ** (level + 1)"
        ),
        "You stop one level too early.": "range(depth) => range(depth - 1)",
        "The part that goes left and the part that goes right are one: `1 - p` and `p`.": "(1 - p) => p",
        "You decide already. Here every leaf speaks, with its weight.": (
            ": 2 ** (level + 1) - 1] => : 2 ** (level + 1) - 1].round()"
        ),
    },
)
def leaf_weights(ask: Ask) -> None:
    says = "each leaf's weight: the probabilities along its way, multiplied"
    for rows, depth in (
        ([[0.6, 0.9, 0.2], [0.3, 0.5, 0.7]], 2),
        ([[0.25], [1.0]], 1),
        ([[0.4, 0.1, 0.8, 0.3, 0.9, 0.7, 0.2]], 3),
    ):
        given = {"right": torch.tensor(rows), "depth": depth}
        ask.gives(given, says, where=f"the tree has {2**depth - 1} node{'s' * (depth > 1)} and {2**depth} leaves")
    p = given["right"]
    root = p[:, [0, 2, 1, 5, 6, 3, 4]].clone()
    root[:, 0] = 1 - root[:, 0]
    says = (
        "With the root turned round (1 - p for p, its subtrees exchanged), the leaves' two halves should be exchanged."
    )
    ask.follows(given, given | {"right": root}, lambda found: found[:, [4, 5, 6, 7, 0, 1, 2, 3]], says)
    child = p[:, [0, 1, 2, 4, 3, 5, 6]].clone()
    child[:, 1] = 1 - child[:, 1]
    says = "With node 1 turned round (1 - p for p, its subtrees exchanged), leaves 0, 1 and 2, 3 should be exchanged."
    ask.follows(given, given | {"right": child}, lambda found: found[:, [2, 3, 0, 1, 4, 5, 6, 7]], says)


def heaviest(x: torch.Tensor, node_weight: torch.Tensor, node_bias: torch.Tensor, depth: int) -> torch.Tensor:
    """The leaf of the largest weight, the right one of two."""
    right, weights = torch.sigmoid(x @ node_weight.T + node_bias), torch.ones(len(x), 1)
    for level in range(depth):
        p = right[:, 2**level - 1 : 2 ** (level + 1) - 1]
        weights = torch.stack([weights * (1 - p), weights * p], dim=-1).flatten(1)
    return weights.shape[1] - 1 - weights.flip(1).argmax(-1)


class Computed(TorchDispatchMode):
    """Counts the floating-point numbers that operations compute: an expanded view, not contiguous, has none."""

    numbers = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        if torch.is_tensor(found) and found.is_floating_point() and found.is_contiguous():
            self.numbers += found.numel()
        return found


@checks(
    "12.descend",
    hints=(
        "Every token has a node of its own, in `node` (T,). `node_weight[node]` (T, d) are the weights of those nodes.",
        "`logit = (x * node_weight[node]).sum(-1) + node_bias[node]` is each token's answer to its own question. Then "
        "`logit >= 0` is 1 where it goes right.",
        "`node = 2 * node + 1 + (logit >= 0)`, once a level.",
    ),
    mistakes={
        "You look for the heaviest leaf; the descent asks one question at a time.": heaviest,
        "You turn to the wrong side: where the logit is 0 or more, a token goes right.": "(logit >= 0) => (logit < 0)",
        "A node's children are 2 n + 1 and 2 n + 2. Yours are 2 n and 2 n + 1.": "2 * node + 1 + => 2 * node +",
        "You forget the nodes' bias.": " + node_bias[node] => ",
        "You ask the root again at each level. Each token asks the node at which it is.": "[node] => [0 * node]",
        "You go down one level too few.": "range(depth) => range(depth - 1)",
        "You go down one level too many: the last one has no nodes any more.": ("range(depth) => range(depth + 1)"),
        "A logit of exactly 0 goes right, too.": "logit >= 0 => logit > 0",
        "A probability is never below 0. Compare the logit with 0, or the probability with a half.": (
            "logit >= 0 => logit.sigmoid() >= 0"
        ),
        "Your nodes' weights meet the wrong tokens: multiply number by number, and add up along the last dimension.": (
            ".sum(-1) => .sum(0)"
        ),
    },
)
def descend(ask: Ask) -> None:
    names = ("x", "node_weight", "node_bias", "depth")
    x = torch.tensor([[1.0, 2.0], [-3.0, 1.0], [2.0, -2.0], [-1.0, -2.0]])
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    bias = torch.tensor([-0.5, 1.5, -1.0])
    says = "the leaf at which each token ends"
    given = dict(zip(names, (x, weight, bias, 2), strict=True))
    ask.gives(given, says, where="the tree has 3 nodes and 4 leaves")
    chain = dict(zip(names, (torch.ones(1, 1), torch.tensor([[0.2], [2.2], [0.1]]), torch.zeros(3), 2), strict=True))
    ask.gives(chain, says, where="55 % goes right at the root, where it is halved, and 90 % of the rest to one leaf")
    none = dict(zip(names, (x, torch.tensor([[1.0, 1.0]]), torch.tensor([0.0]), 1), strict=True))
    ask.gives(none, says, where="the tree has 1 node, and a logit is exactly 0")
    deep = dict(zip(names, (draw(3, 9, 3), draw(4, 15, 3), draw(5, 15), 4), strict=True))
    ask.gives(deep, says, where="the tree has 15 nodes and 16 leaves")
    scale = torch.tensor([0.5, 2.0, 4.0, 0.25, 8.0] * 3)
    scaled = deep | {"node_weight": weight_of(deep, scale), "node_bias": deep["node_bias"] * scale}
    says = "With a node's weights and bias multiplied by a positive number, every token should go the same way."
    ask.follows(deep, scaled, lambda leaf: leaf, says)
    turned = torch.tensor([-1.0, 1.0, 1.0])
    moved = given | {
        "node_weight": weight_of(given, turned)[[0, 2, 1]],
        "node_bias": (given["node_bias"] * turned)[[0, 2, 1]],
    }
    says = (
        "With the root turned round (its signs and its subtrees exchanged), the leaves' two halves should be exchanged."
    )
    ask.follows(given, moved, lambda leaf: (leaf + 2) % 4, says)
    high = dict(zip(names, (draw(6, 32, 2), draw(7, 1023, 2), draw(8, 1023), 10), strict=True))
    with Computed() as computed:
        ask.answer(*high.values())
    if computed.numbers >= 32 * 1023:
        raise NotYet(
            "The leaves are right, but each token asked all 1,023 nodes of a tree. Ten of them are on its way: ask "
            "only those, `node_weight[node]`."
        )


def weight_of(given: dict, factor: torch.Tensor) -> torch.Tensor:
    """The nodes' weights, each node's multiplied by its factor."""
    return given["node_weight"] * factor[:, None]


@checks(
    "12.hardening",
    hints=(
        "A node that goes right with probability p has the entropy -p log p - (1 - p) log(1 - p). Take the mean "
        "over all nodes and all tokens.",
        "`p = logits.sigmoid()` is rounded to 1 for a large logit, and 1 - p has no logarithm then. But -log p is "
        "`F.softplus(-logits)`, and -log(1 - p) is `F.softplus(logits)`.",
        "`(p * F.softplus(-logits) + (1 - p) * F.softplus(logits)).mean()`, or "
        "`F.binary_cross_entropy_with_logits(logits, logits.sigmoid())`.",
    ),
    mistakes={
        "The sign is turned round: an entropy is never negative.": "return ( => return -(",
        "You weigh -log p by 1 - p, and the other way round: -log p is `F.softplus(-logits)`.": (
            "p * F.softplus(-logits) + (1 - p) * F.softplus(logits) => "
            "p * F.softplus(logits) + (1 - p) * F.softplus(-logits)"
        ),
        "That is the half of it: going left has a part, too.": " + (1 - p) * F.softplus(logits) => ",
        "That is the authors' sum over the nodes. Take their mean.": ".mean() => .sum(-1).mean()",
        "You add up the entropies. The mean is asked for.": ".mean() => .sum()",
        "Those are logits, and not probabilities yet: `sigmoid` makes them so.": (
            "return ... => (torch.special.entr(logits) + torch.special.entr(1 - logits)).mean()"
        ),
        "That is an entropy for each decision. Take their mean.": ".mean() => ",
        "Those are bits. `log` is the natural logarithm here, as in all losses.": "return ( => return 1.4426950409 * (",
        "The probabilities are missing in front of the logarithms.": (
            "p * F.softplus(-logits) + (1 - p) * F.softplus(logits) => F.softplus(-logits) + F.softplus(logits)"
        ),
        "For a logit of 30, p is rounded to 1, and 0 times log 0 is no number. -log p is `F.softplus(-logits)`, and "
        "-log(1 - p) is `F.softplus(logits)`.": "return ... => -(p * p.log() + (1 - p) * (1 - p).log()).mean()",
    },
)
def hardening(ask: Ask) -> None:
    says = "the mean entropy of the decisions"
    for rows in ([[0.5, 0.2, 0.9], [0.6, 0.1, 0.3]], [[0.5, -1.0, 3.0], [2.0, 0.0, -4.0]], [[6.0], [-2.0]]):
        ask.gives({"logits": torch.tensor(rows)}, says)
    given = {"logits": torch.tensor([[0.5, -1.0], [2.0, 4.0]])}
    says = "It asks how clear a decision is, and not for which side: with all signs turned round it should be the same."
    ask.follows(given, {"logits": -given["logits"]}, lambda loss: loss, says)
    ask.gives({"logits": torch.tensor([[30.0, 0.0]])}, "the mean entropy of the decisions", where="one is quite clear")
    sure = torch.tensor([[30.0, -120.0]], requires_grad=True)
    loss = ask.once(sure)
    if torch.is_tensor(loss) and loss.requires_grad and not torch.autograd.grad(loss, sure)[0].isfinite().all():
        raise NotYet(
            "For the logits 30 and -120 the value is a number, and its gradient is not: training would be lost at the "
            "first node that is quite sure. -log p is `F.softplus(-logits)`, and -log(1 - p) is `F.softplus(logits)`."
        )


def each_first(weights: torch.Tensor, depth: int) -> torch.Tensor:
    """Each token's own m, and only then a mean over the tokens."""
    load, uneven = weights, []
    for _ in range(depth):
        left, right = load[:, ::2], load[:, 1::2]
        load = left + right
        uneven.append((2 * (right / load).mean(0) - 1) ** 2)
    return torch.cat(uneven).mean()


@checks(
    "12.balance",
    hints=(
        "What arrives at a leaf is its mean weight over all tokens; what arrives at a node is the sum of its leaves'.",
        "Go upwards. Of a level's loads, two neighbours are the left and the right child of one node: "
        "`left, right = load.view(-1, 2).T`, and `left + right` is the load of the level above.",
        "The node's mean decision is `right / (left + right)`, and 2 m - 1 is `(right - left) / (right + left)`. "
        "`uneven.append(((right - left) / (right + left)) ** 2)`, then `load = left + right`.",
    ),
    mistakes={
        "You divide by all tokens. A node's mean is over those that arrive at it, left and right together.": (
            "((right - left) / (right + left)) ** 2 => (right - left) ** 2"
        ),
        "Without the square, an uneven node to the left and one to the right cancel each other.": (
            "((right - left) / (right + left)) ** 2 => (right - left) / (right + left)"
        ),
        "You compare the first half of the leaves with the second. Neighbours are the children of one node.": (
            "load.view(-1, 2).T => load.view(2, -1)"
        ),
        "You stop before you reach the root.": "range(depth) => range(depth - 1)",
        "You ask whether the leaves are even. Even is asked of each node, of what arrives at it.": (
            "return ... => (len(weights.T) * weights.mean(0) - 1).square().mean()"
        ),
        "You add up the nodes. Their mean is asked for.": ".mean() => .sum()",
        "m is a part of what ARRIVES at the node: divide what goes right by all that arrives.": (
            "((right - left) / (right + left)) ** 2 => (2 * right - 1) ** 2"
        ),
        "That is a mean of the levels' means. All nodes count alike: take one mean over them.": (
            "torch.cat(uneven).mean() => torch.stack([level.mean() for level in uneven]).mean()"
        ),
        "You divide for each token, and take the mean then. First add up what arrives over the tokens, then divide.": (
            each_first
        ),
        "That is m. Even is a half, so ask how far 2 m - 1 is from 0.": (
            "((right - left) / (right + left)) ** 2 => (right / (right + left)) ** 2"
        ),
    },
    swaps=(("uneven.append(((right - left) / (right + left)) ** 2)", "load = left + right"),),
)
def balance(ask: Ask) -> None:
    says = "the mean of (2 m - 1)² over the nodes"
    for rows in (
        [[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]],
        [[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]],
        [[0.05, 0.1, 0.2, 0.25, 0.05, 0.2, 0.05, 0.1]],
    ):
        given = {"weights": torch.tensor(rows), "depth": len(rows[0]).bit_length() - 1}
        ask.gives(given, says, where=f"the tree has {len(rows[0])} leaves")
    turned = given["weights"][:, [4, 5, 6, 7, 0, 1, 2, 3]]
    says = "With the root turned round, its two halves of leaves exchanged, it should be the same."
    ask.follows(given, given | {"weights": turned}, lambda loss: loss, says)
    twice = torch.cat([given["weights"]] * 2)
    ask.follows(given, given | {"weights": twice}, lambda loss: loss, "With every token twice, it should be the same.")
