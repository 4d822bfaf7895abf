"""Answers to lesson 12's exercises in other styles."""

import torch
from answers import right, wrong
from torch.nn import functional as F


@right("12.leaf_weights")
def leaf_after_leaf(right, depth):
    leaves = []
    for leaf in range(2**depth):
        weight, node = torch.ones(len(right)), 0
        for level in reversed(range(depth)):
            turn = leaf >> level & 1
            weight = weight * (right[:, node] if turn else 1 - right[:, node])
            node = 2 * node + 1 + turn
        leaves.append(weight)
    return torch.stack(leaves, 1)


@right("12.leaf_weights")
def node_after_node(right, depth):
    arrives = [torch.ones(len(right), dtype=right.dtype)]
    for node in range(2**depth - 1):
        arrives += [arrives[node] * (1 - right[:, node]), arrives[node] * right[:, node]]
    return torch.stack(arrives[2**depth - 1 :], dim=1)


@right("12.leaf_weights")
def by_calling_itself(right, depth, node=0):
    if node >= right.shape[1]:
        return torch.ones(len(right), 1)
    p, below = right[:, node, None], 2 * node + 1
    return torch.cat(
        [(1 - p) * by_calling_itself(right, depth, below), p * by_calling_itself(right, depth, below + 1)], 1
    )


@right("12.descend")
def token_by_token(x, node_weight, node_bias, depth):
    leaves = []
    for token in x:
        node = 0
        while node < 2**depth - 1:
            node = 2 * node + (2 if token @ node_weight[node] + node_bias[node] >= 0 else 1)
        leaves.append(node + 1 - 2**depth)
    return torch.tensor(leaves)


@wrong("12.descend", "asked all 1,023 nodes")
def all_questions_at_once(x, node_weight, node_bias, depth):
    turns = (F.linear(x, node_weight, node_bias) >= 0).long()
    leaf = torch.zeros(len(x), 1, dtype=torch.long)
    for level in range(depth):
        leaf = 2 * leaf + turns.gather(1, leaf + 2**level - 1)
    return leaf[:, 0]


@right("12.descend")
def with_einsum(x, node_weight, node_bias, depth):
    node = x.new_zeros(len(x)).long()
    for _ in range(depth):
        p = torch.sigmoid(torch.einsum("td,td->t", x, node_weight[node]) + node_bias[node])
        node = torch.where(p >= 0.5, 2 * node + 2, 2 * node + 1)
    return node - 2**depth + 1


@right("12.descend")
def by_gathering(x, node_weight, node_bias, depth):
    node = torch.zeros(len(x), 1, dtype=torch.long)
    for _ in range(depth):
        of_each = node_weight.expand(len(x), -1, -1).gather(1, node[:, :, None].expand(-1, 1, x.shape[1]))
        node = 2 * node + 1 + (of_each @ x[:, :, None] + node_bias[node, None] >= 0)[:, 0].long()
    return node[:, 0] - len(node_bias)


@right("12.hardening")
def by_binary_cross_entropy(logits):
    return F.binary_cross_entropy_with_logits(logits, logits.sigmoid())


@wrong("12.hardening", "its gradient is not")
def by_entr(logits):
    both = torch.stack([logits.sigmoid(), (-logits).sigmoid()])
    return torch.special.entr(both).sum(0).mean()


@right("12.hardening")
def by_logsigmoid(logits):
    p = torch.sigmoid(logits)
    return -torch.mean(p * F.logsigmoid(logits) + (1 - p) * F.logsigmoid(-logits))


@right("12.hardening")
def by_softplus(logits):
    return (F.softplus(logits) - logits * logits.sigmoid()).mean()


@right("12.balance")
def node_by_node(weights, depth):
    load, losses = weights.mean(0), []
    while len(load) > 1:
        pairs = load.reshape(-1, 2)
        share = pairs[:, 1] / pairs.sum(1)
        losses += ((2 * share - 1) ** 2).tolist()
        load = pairs.sum(1)
    return torch.tensor(sum(losses) / len(losses))


@right("12.balance")
def from_the_root(weights, depth):
    load = weights.mean(0)
    losses, parts = [], [load]
    while len(parts[0]) > 1:
        halves = [part.chunk(2) for part in parts]
        losses += [((right.sum() - left.sum()) / (left.sum() + right.sum())) ** 2 for left, right in halves]
        parts = [half for pair in halves for half in pair]
    return torch.stack(losses).mean()


@right("12.balance")
def by_slices(weights, depth):
    load, total = weights.sum(0), 0.0
    nodes = len(load) - 1
    while len(load) > 1:
        total = total + (1 - 2 * load[::2] / (load[::2] + load[1::2])).pow(2).sum()
        load = load[::2] + load[1::2]
    return total / nodes


@wrong("12.balance", "levels' means")
def level_by_level(weights, depth):
    load, losses = weights.mean(0), []
    while len(load) > 1:
        left, right = load[::2], load[1::2]
        load = left + right
        losses.append((1 - 2 * right / load).square().mean())
    return sum(losses) / depth
