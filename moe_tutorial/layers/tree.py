"""Fast feedforward: a binary tree of decisions, with a small network in each of its leaves.

A node decides on which side of a plane a token lies. After ``depth`` decisions the token has reached one of
``2**depth`` leaves. In training the decisions are soft: all leaves are computed, each weighted by the probability of
reaching it. In evaluation a token goes left or right, and only one leaf is computed: the cost grows with the depth,
which is the LOGARITHM of the number of leaves.

Node ``n`` has the children ``2n + 1`` (left) and ``2n + 2`` (right, where its logit is 0 or more). Leaves are counted
from the left.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import fast
from .checks import as_tokens, autocasts, check_choice, check_count, check_dtype, check_number
from .experts import DISPATCHES, Experts, uniform


class Descent(NamedTuple):
    """The way of ``T`` tokens down a tree of ``N`` nodes and ``L = N + 1`` leaves.

    ``eval()`` computes only the nodes on a token's way, so the last two fields are None there, except with
    ``dispatch="dense"``.
    """

    leaf: Tensor  # (T,) the leaf that the hard descent reaches
    logits: Tensor | None = None  # (T, N) logit of going right, without region leak
    weights: Tensor | None = None  # (T, L) weight of each leaf; a row sums to 1


class FastFeedForward(nn.Module):
    """``2**depth`` leaves of ``leaf_width`` neurons each, and a tree of ``2**depth - 1`` nodes that leads to them.

    The *training width* is ``2**depth * leaf_width`` neurons, the *inference width* ``leaf_width``.

    Source: Belcak and Wattenhofer 2023, Fast Feedforward Networks (arXiv:2308.14711), algorithm 1. Nodes are single
    neurons, as in the paper's experiments.

    Args:
        d_in, d_out: width of a token and of the output.
        depth: decisions on the way to a leaf; 0 is a plain feedforward network of ``leaf_width`` neurons.
        leaf_width: neurons of a leaf.
        activation: "relu", "gelu" or "silu".
        region_leak: the probability, from 0 to 0.5, with which a token's decision changes sides in ``train()``, so that
            leaves learn from their neighbours' tokens, too (``region_leak`` of the authors' code).
        dispatch: how ``eval()`` computes. "sparse" computes only the nodes and the leaf on a token's way. "dense"
            computes all of them, and multiplies all leaves but one by 0: the same output at the cost of the training
            width, but it works under ``torch.vmap``.

    Parameters: ``node_weight`` (N, d_in), ``node_bias`` (N,), and the leaves' ``leaves.w_in`` (L, h, d_in),
    ``leaves.b_in`` (L, h), ``leaves.w_out`` (L, h, d_out), ``leaves.b_out`` (L, d_out), initialised as in
    ``nn.Linear``.

    ``descend`` and ``soften`` define what is computed. On a CPU in float32, compiled kernels compute the same (see
    ``fast``).

    Raises TypeError or ValueError for sizes that do not fit and for an unknown activation or dispatch.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        depth: int,
        leaf_width: int,
        activation: str = "relu",
        region_leak: float = 0.0,
        dispatch: str = "sparse",
    ):
        super().__init__()
        self.depth = check_count("depth", depth, low=0)
        check_count("leaf_width", leaf_width)
        self.d_in, self.d_out = check_count("d_in", d_in), check_count("d_out", d_out)
        self.region_leak = check_number("region_leak", region_leak, allowed="a number from 0 to 0.5")
        if self.region_leak > 0.5:
            raise ValueError(f"region_leak must be a number from 0 to 0.5, got {region_leak}")
        self.dispatch = check_choice("dispatch", dispatch, DISPATCHES)
        self.node_weight = uniform((2**self.depth - 1, self.d_in), fan_in=self.d_in)
        self.node_bias = uniform((2**self.depth - 1,), fan_in=self.d_in)
        self.leaves = Experts(2**self.depth, self.d_in, leaf_width, self.d_out, activation=activation)

    @property
    def n_leaves(self) -> int:
        return 2**self.depth

    def forward(self, x: Tensor) -> tuple[Tensor, Descent]:
        """x (..., d_in) -> y (..., d_out) and the descent of its T tokens: soft in ``train()``, hard in ``eval()``.

        The hard output has gradients to ``x`` and to the leaves. The nodes get none: a hard decision has no gradient.

        TypeError for an integer tensor or another dtype than the weights', ValueError for a wrong width.
        """
        tokens = as_tokens(x, self.d_in)
        if self.training or self.dispatch == "dense":
            y, descent = self.mix(tokens)
        else:
            y, leaf = self.compiled(tokens) or self.descend(tokens)
            descent = Descent(leaf)
        return (y if tokens is x else y.reshape(*x.shape[:-1], self.d_out)), descent

    def mix(self, tokens: Tensor) -> tuple[Tensor, Descent]:
        """Compute all nodes and all leaves: tokens (T, d_in) -> output (T, d_out) and descent.

        The output is the weighted sum of the leaves' outputs. Their output layers are linear, so it is enough to weight
        their neurons (``Experts.mixed``): two matrix products.
        """
        check_dtype(tokens, self.leaves.w_in)
        # F.linear, transposed: the nodes are few and odd in number, so the tokens should fill BLAS's vectors.
        logits = torch.addmm(self.node_bias.unsqueeze(1), self.node_weight, tokens.T).T
        if not self.training:
            leaf = follow(logits, self.depth)
            weights = F.one_hot(leaf, self.n_leaves).to(tokens.dtype)
            return self.leaves.mixed(tokens, weights), Descent(leaf, logits, weights)
        decisions = logits
        if self.region_leak:
            decisions = torch.where(torch.rand_like(logits) < self.region_leak, -logits, logits)
        y, weights, leaf = self.compiled_soft(tokens, decisions) or (*self.soften(tokens, decisions), None)
        if leaf is None or decisions is not logits:
            leaf = follow(logits, self.depth)
        return y, Descent(leaf, logits, weights)

    def soften(self, tokens: Tensor, decisions: Tensor) -> tuple[Tensor, Tensor]:
        """Mix all leaves by these decisions: (T, d_in), logits (T, N) -> outputs (T, d_out), leaf weights (T, L)."""
        weights = leaf_weights(decisions.sigmoid(), self.depth)
        return self.leaves.mixed(tokens, weights), weights

    def descend(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute only the leaf that each token reaches: (T, d_in) -> outputs (T, d_out), leaves (T,)."""
        stacks = (self.leaves.w_in, self.leaves.b_in, self.leaves.w_out, self.leaves.b_out)
        check_dtype(tokens, stacks[0])
        tokens = tokens.to(stacks[0].dtype)  # they differ only under autocast, which does not cast what follows
        node = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        for _ in range(self.depth):
            logits = (tokens * self.node_weight[node]).sum(-1) + self.node_bias[node]
            node = 2 * node + 1 + (logits >= 0)
        leaf = node - (self.n_leaves - 1)

        # Leaf by leaf. The used leaves are taken from the stacks in one indexing: one by one, each would allocate a
        # gradient of the whole stack.
        order = leaf.argsort(stable=True)
        used, counts = leaf[order].unique_consecutive(return_counts=True)
        of_each = zip(tokens[order].split(counts.tolist()), *(stack[used].unbind() for stack in stacks), strict=True)
        answers = [tokens.new_empty(0, self.d_out)]  # so that torch.cat works without tokens
        for own, w_in, b_in, w_out, b_out in of_each:
            answers.append(self.leaves.neurons(own, w_in, b_in, None, None) @ w_out + b_out)
        return torch.cat(answers)[order.argsort()], leaf

    def compiled(self, tokens: Tensor) -> tuple[Tensor, Tensor] | None:
        """``descend`` with a compiled kernel (``fast.descend``); None if it cannot be used, and if a subclass overrides
        ``descend``.

        A token takes some ten microseconds. So the six parameters are read from their dictionaries: with nn.Module's
        attribute lookup it takes up to half as long again.
        """
        leaves, kind = self._modules["leaves"], type(self)
        own = kind is not FastFeedForward and kind.descend is not FastFeedForward.descend
        if own or type(leaves) is not Experts or not fast.serves():
            return None
        nodes, stacks = self._parameters, leaves._parameters
        try:
            tensors = (
                nodes["node_weight"], nodes["node_bias"],
                stacks["w_in"], stacks["b_in"], stacks["w_out"], stacks["b_out"],
            )  # fmt: skip
            y, leaf = fast.descend(tokens, tensors, leaves.activation)
        except (KeyError, fast.CannotServe):  # pruned or parametrised weights are attributes, not parameters
            return None
        if torch.is_grad_enabled() and (tokens.requires_grad or any(stack.requires_grad for stack in tensors[2:])):
            # Once the leaves are known, a tree is a mixture that chooses one expert, the leaf, with weight 1.
            _, _, w_in, b_in, w_out, b_out = tensors
            ones = tokens.new_ones(len(tokens), 1)
            y = fast.mix(tokens, leaf.unsqueeze(1), ones, w_in, b_in, None, None, w_out, b_out, leaves.activation)
        return None if y is None else (y, leaf)

    def compiled_soft(self, tokens: Tensor, decisions: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """``soften`` with a compiled kernel (``fast.soften``), and the leaf of the hard decisions (T,); or None."""
        leaves, own = self.leaves, type(self).soften is not FastFeedForward.soften
        if own or type(leaves) is not Experts or not fast.serves(under_vmap=True):
            return None
        if tokens.dtype is not torch.float32 or not tokens.is_cpu or autocasts(tokens):
            return None
        return fast.soften(tokens, decisions, leaves.w_in, leaves.b_in, leaves.w_out, leaves.b_out, leaves.activation)


def follow(logits: Tensor, depth: int) -> Tensor:
    """The leaf that hard decisions lead to: logits (T, N) -> int64 (T,)."""
    step = (logits.detach() >= 0).long() + 1
    node = torch.zeros_like(logits[:, :1] if depth else logits.sum(-1, keepdim=True), dtype=torch.long)
    for _ in range(depth):
        node = torch.add(step.gather(-1, node), node, alpha=2)
    return node.squeeze(-1) - (2**depth - 1)


def leaf_weights(right: Tensor, depth: int) -> Tensor:
    """The probability of reaching each leaf: probabilities of going right (T, N) -> (T, 2**depth)."""
    weights = torch.ones_like(right[:, :1] if depth else right.sum(-1, keepdim=True))
    for level in range(depth):
        to_the_right = weights * right[:, 2**level - 1 : 2 ** (level + 1) - 1]
        weights = torch.stack([weights - to_the_right, to_the_right], dim=-1).flatten(1)
    return weights


def hardening_loss(descent: Descent) -> Tensor:
    """Mean entropy of the decisions, over tokens and nodes, in nats: a scalar from 0 (hard) to log 2 (undecided).

    It ignores balance: it is as low when all tokens go the same way as when they are divided.

    Source: Belcak and Wattenhofer 2023 (arXiv:2308.14711), section "Hardening", which sums over the nodes.

    Raises ValueError for a descent without logits: ``eval()`` with ``dispatch="sparse"``.
    """
    logits = _logits(descent, "hardening_loss")
    entropies = F.softplus(logits) - logits * logits.sigmoid()  # -p log p - (1-p) log(1-p), also where p is 0 or 1
    return entropies.mean() if logits.shape[-1] else logits.sum()


def node_balance_loss(descent: Descent) -> Tensor:
    """How far each node's mean decision is from a half: mean over the nodes of (2 mean - 1)², a scalar from 0 to 1.

    A node's mean weights each token by its probability of reaching the node.

    Source: after the importance loss of Shazeer et al. 2017 (arXiv:1701.06538), eq. 6 and 7, node by node. Load
    balancing for these trees was proposed earlier by Charalampopoulos et al. 2024 (arXiv:2405.16836); not compared.

    Raises ValueError as ``hardening_loss`` does.
    """
    logits = _logits(descent, "node_balance_loss")
    load = descent.weights.mean(0)
    uneven = []
    while len(load) > 1:
        left, right = load.unflatten(0, (-1, 2)).unbind(-1)
        load = left + right
        uneven.append(((right - left) / load.clamp_min(1e-6)).square())
    return torch.cat(uneven).mean() if uneven else logits.sum()


def hardening_ramp(step: int, start: int, end: int, peak: float) -> float:
    """The hardening weight at a step: 0 until ``start``, linear up to ``peak`` at ``end``, and constant after it.

    A tree that is hardened from the first step decides before it has learned anything.

    Raises ValueError if ``end`` is not after ``start``.
    """
    if not start < end:
        raise ValueError(f"end must be after start = {start}, got {end}")
    return peak * min(max((step - start) / (end - start), 0.0), 1.0)


def _logits(descent: Descent, name: str) -> Tensor:
    if descent.logits is None:
        raise ValueError(f"{name} needs the decisions of all nodes: call the tree in train(), got a descent of eval()")
    return descent.logits
