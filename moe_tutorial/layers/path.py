"""The path layer: a binary tree in which every node on a token's way answers.

It has no leaves and mixes nothing. A node is one neuron: the sign of its score says where the token goes on, and its
activated score, times the node's output row, is added to the answer. So it is hard from the first training step: the
nodes on the way learn from what they answer, and a decision itself has no gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import as_tokens, check_choice, check_count, check_dtype
from .experts import ACTIVATIONS, DISPATCHES, uniform
from .tree import Descent, follow


class PathLayer(nn.Module):
    """``2**depth - 1`` neurons in a tree, of which a token uses the ``depth`` on its way.

    ``y = sum of act(w_in[n] x + b_in[n]) * w_out[n]`` over the nodes n on the way. It goes on to ``2n + 2`` where the
    score of n is 0 or more, and to ``2n + 1`` elsewhere.

    Source: Belcak and Wattenhofer 2023, Exponentially Faster Language Modelling (arXiv:2311.10770), UltraFastBERT's
    layer, which is the sum of several such trees; its depth counts from 0.

    Args:
        d_in, d_out: width of a token and of the output.
        depth: nodes on a token's way, at least 1.
        activation: "relu", "gelu" or "silu".
        dispatch: how ``eval()`` computes. "sparse": only the nodes on the way. "dense": all of them, as in ``train()``.

    Parameters: ``w_in`` (N, d_in), ``b_in`` (N,), ``w_out`` (N, d_out), uniform within 1/sqrt(d_in) and 1/sqrt(depth).

    Raises TypeError or ValueError for sizes that do not fit and for an unknown activation or dispatch.
    """

    def __init__(self, d_in: int, d_out: int, depth: int, activation: str = "gelu", dispatch: str = "sparse"):
        super().__init__()
        self.d_in, self.d_out = check_count("d_in", d_in), check_count("d_out", d_out)
        self.depth = check_count("depth", depth)
        self.activation = check_choice("activation", activation, ACTIVATIONS)
        self.dispatch = check_choice("dispatch", dispatch, DISPATCHES)
        n_nodes = 2**depth - 1
        self.w_in, self.b_in = uniform((n_nodes, d_in), fan_in=d_in), uniform((n_nodes,), fan_in=d_in)
        self.w_out = uniform((n_nodes, d_out), fan_in=depth)

    def forward(self, x: Tensor) -> tuple[Tensor, Descent]:
        """x (..., d_in) -> y (..., d_out) and the ways of its T tokens: ``leaf`` is where one leaves the last node.

        ``train()`` also gives ``logits`` (T, N), the nodes' scores, and ``weights`` (T, 2**depth), 1 at ``leaf``.

        TypeError for an integer tensor or another dtype than the weights', ValueError for a wrong width.
        """
        tokens = as_tokens(x, self.d_in)
        check_dtype(tokens, self.w_in)
        y, descent = self.all_nodes(tokens) if self.training or self.dispatch == "dense" else self.walk(tokens)
        return y.reshape(*x.shape[:-1], self.d_out), descent

    def all_nodes(self, tokens: Tensor) -> tuple[Tensor, Descent]:
        """Compute all scores, and use those on the way: two matrix products over all nodes."""
        scores = F.linear(tokens, self.w_in, self.b_in)
        leaf = follow(scores, self.depth)
        up = torch.arange(self.depth, 0, -1, device=tokens.device)
        way = (leaf.unsqueeze(-1) + 2**self.depth >> up) - 1  # (T, depth) from the root down
        answers = ACTIVATIONS[self.activation](scores.gather(-1, way))
        y = torch.zeros_like(scores).scatter(-1, way, answers) @ self.w_out
        return y, Descent(leaf, scores, F.one_hot(leaf, 2**self.depth).to(scores.dtype))

    def walk(self, tokens: Tensor) -> tuple[Tensor, Descent]:
        """Compute only the nodes on each token's way."""
        node, y = tokens.new_zeros(len(tokens), dtype=torch.long), tokens.new_zeros(len(tokens), self.d_out)
        for _ in range(self.depth):
            score = (tokens * self.w_in[node]).sum(-1, keepdim=True) + self.b_in[node].unsqueeze(-1)
            right = score.detach().squeeze(-1) >= 0
            y = y + ACTIVATIONS[self.activation](score) * self.w_out[node]
            node = 2 * node + 1 + right
        return y, Descent(node - (2**self.depth - 1))
