"""Trees to test, and the hard answer token by token."""

import torch
import torch.nn.functional as F

from moe_tutorial.layers import FastFeedForward


def make(depth=3, leaf_width=4, d_in=6, d_out=5, seed=0, **options) -> FastFeedForward:
    torch.manual_seed(seed)
    return FastFeedForward(d_in, d_out, depth, leaf_width, **options)


def by_hand(layer: FastFeedForward, x: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """Token by token, question by question: the definition of the hard answer."""
    act = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}[layer.leaves.activation]
    answers, arrived = [], []
    for token in x:
        node = 0
        for _ in range(layer.depth):
            node = 2 * node + (2 if token @ layer.node_weight[node] + layer.node_bias[node] >= 0 else 1)
        leaf = node - (2**layer.depth - 1)
        hidden = act(layer.leaves.w_in[leaf] @ token + layer.leaves.b_in[leaf])
        answers.append(hidden @ layer.leaves.w_out[leaf] + layer.leaves.b_out[leaf])
        arrived.append(leaf)
    return torch.stack(answers), arrived
