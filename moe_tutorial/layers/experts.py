"""Experts: many small networks of one shape, side by side.

Neuron ``j`` of expert ``e`` reads the token through the row ``w_in[e, j]`` and writes to the output along the row
``w_out[e, j]``. Laid end to end, the ``E`` experts of width ``h`` are one wide network of ``E * h`` neurons, of which a
token uses some blocks.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import as_tokens, check_choice, check_count, check_dtype, check_positive

DISPATCHES = ("sparse", "dense")  # compute only the chosen experts or leaves, or all, the others times 0
# relu works in place: the backward pass of the matrix product before it does not need that product's output.
ACTIVATIONS = {"relu": torch.relu_, "gelu": F.gelu, "silu": F.silu}


@dataclass(frozen=True)
class ClampedSwiGLU:
    """SwiGLU with clamped inputs: ``(up + offset) * gate * sigmoid(alpha * gate)``, an activation of gated experts.

    ``gate`` is ``W_gate x`` clamped to at most ``limit``, ``up`` is ``W_in x`` clamped to ``-limit`` to ``limit``, each
    with its bias if there is one. gpt-oss (arXiv:2508.10925): limit 7, alpha 1.702, offset 1. DeepSeek-V4: limit 10.

    Raises TypeError or ValueError for a limit that is not a finite number above 0.
    """

    limit: float
    alpha: float = 1.0
    offset: float = 0.0

    def __post_init__(self):
        check_positive("limit", self.limit)

    def __call__(self, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        return (up + self.offset) * (gate * torch.sigmoid(self.alpha * gate))


class Experts(nn.Module):
    """``n_experts`` two-layer networks with their weights stacked.

    Plain:  ``E_i(x) = W_out act(W_in x + b_in) + b_out``
    Gated:  ``E_i(x) = W_out (act(W_gate x) * W_in x)``, SwiGLU when ``act`` is silu (Shazeer 2020, arXiv:2002.05202,
    eq. 6), the expert of Mixtral, OLMoE, Qwen3 and DeepSeek-V3.
    Clamped: ``E_i(x) = W_out act(W_gate x, W_in x)``, where ``act`` is a ``ClampedSwiGLU``.

    Args:
        n_experts, d_model, d_hidden: ``E`` experts, each from width ``d`` through ``h`` neurons.
        d_out: width of an expert's output; ``d_model`` if None.
        activation: "relu", "gelu" or "silu", for gated experts also a ``ClampedSwiGLU``; None means "silu" for gated
            experts and "relu" for plain ones.
        gated: multiply the neurons by a second, activated linear map of the token.
        bias: biases on all layers; None means no for gated experts and yes for plain ones.

    Parameters: ``w_in`` (E, h, d), ``w_out`` (E, h, d_out), gated ``w_gate`` (E, h, d); with bias ``b_in`` (E, h),
    ``b_out`` (E, d_out), gated ``b_gate`` (E, h). Each is initialised as in ``nn.Linear``: uniform within
    1/sqrt(inputs of that layer of that expert).

    Raises TypeError or ValueError for a size that is not a positive integer and for an unknown activation.
    """

    def __init__(
        self,
        n_experts: int,
        d_model: int,
        d_hidden: int,
        d_out: int | None = None,
        activation: str | ClampedSwiGLU | None = None,
        gated: bool = False,
        bias: bool | None = None,
    ):
        super().__init__()
        self.n_experts = check_count("n_experts", n_experts)
        self.d_model = check_count("d_model", d_model)
        self.d_hidden = check_count("d_hidden", d_hidden)
        self.d_out = self.d_model if d_out is None else check_count("d_out", d_out)
        self.gated = gated
        self.activation = check_activation(activation, gated)
        bias = not gated if bias is None else bias

        E, h, d = self.n_experts, self.d_hidden, self.d_model
        self.w_in = uniform((E, h, d), fan_in=d)
        self.b_in = uniform((E, h), fan_in=d) if bias else None
        self.w_gate = uniform((E, h, d), fan_in=d) if gated else None
        self.b_gate = uniform((E, h), fan_in=d) if gated and bias else None
        self.w_out = uniform((E, h, self.d_out), fan_in=h)
        self.b_out = uniform((E, self.d_out), fan_in=h) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Every expert's output for every token: x (..., d) -> (..., E, d_out).

        TypeError for an integer tensor or another dtype than the weights', ValueError for a wrong width.
        """
        tokens = as_tokens(x, self.d_model)
        check_dtype(tokens, self.w_in)
        outputs = torch.einsum("teh,eho->teo", self.all_neurons(tokens), self.w_out)
        if self.b_out is not None:
            outputs = outputs + self.b_out
        return outputs.reshape(*x.shape[:-1], self.n_experts, self.d_out)

    def mixed(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Compute every expert and sum their outputs with ``weights``: (T, d), (T, E) -> (T, d_out).

        An expert's output layer is linear, so scaling its neurons scales its output. Then all output layers and the
        sum over experts are ONE matrix product over E * h neurons.
        """
        neurons = self.all_neurons(tokens)
        weights = weights.to(neurons.dtype)
        neurons, w_out = (neurons * weights.unsqueeze(-1)).flatten(1), self.w_out.flatten(0, 1)
        return neurons @ w_out if self.b_out is None else torch.addmm(weights @ self.b_out, neurons, w_out)

    def grouped(self, tokens: Tensor, counts: list[int]) -> Tensor:
        """Each expert computes its own slice: the first ``counts[0]`` tokens belong to expert 0, the next
        ``counts[1]`` to expert 1, and so on: (N, d) -> (N, d_out), where ``sum(counts) == N``.
        """
        # unbind hands out all experts' weights at once. Indexing w[e] in the loop would allocate a gradient of the
        # whole stack for every expert.
        stacks = (self.w_in, self.b_in, self.w_gate, self.b_gate, self.w_out, self.b_out)
        per_expert = zip(*([None] * self.n_experts if s is None else s.unbind() for s in stacks), strict=True)
        answers = []
        for own, (w_in, b_in, w_gate, b_gate, w_out, b_out) in zip(tokens.split(counts), per_expert, strict=True):
            if len(own) == 0 and len(tokens) > 0:  # without any token, the empty slices keep the autograd graph
                continue
            answer = self.neurons(own, w_in, b_in, w_gate, b_gate) @ w_out
            answers.append(answer if b_out is None else answer + b_out)
        return torch.cat(answers)

    def all_neurons(self, tokens: Tensor) -> Tensor:
        """The neurons of all experts as one wide layer: (T, d) -> (T, E, h)."""
        stacks = (self.w_in, self.b_in, self.w_gate, self.b_gate)
        wide = self.neurons(tokens, *(None if s is None else s.flatten(0, 1) for s in stacks))
        return wide.unflatten(-1, (self.n_experts, self.d_hidden))

    def neurons(self, tokens: Tensor, w_in: Tensor, b_in, w_gate, b_gate) -> Tensor:
        """A layer of n neurons after their activation: (T, d), weights (n, d), biases (n,) or None -> (T, n)."""
        if isinstance(self.activation, ClampedSwiGLU):
            return self.activation(F.linear(tokens, w_gate, b_gate), F.linear(tokens, w_in, b_in))
        act = ACTIVATIONS[self.activation]
        if w_gate is None:
            return act(F.linear(tokens, w_in, b_in))
        return act(F.linear(tokens, w_gate, b_gate)) * F.linear(tokens, w_in, b_in)


def check_activation(activation: str | ClampedSwiGLU | None, gated: bool) -> str | ClampedSwiGLU:
    """The activation of such experts, the default for None; ValueError if they cannot have it."""
    if not isinstance(activation, ClampedSwiGLU):
        return check_choice("activation", activation or ("silu" if gated else "relu"), ACTIVATIONS)
    if not gated:
        raise ValueError(
            f"activation must be one of {', '.join(map(repr, ACTIVATIONS))} without gated=True, got {activation}"
        )
    return activation


def uniform(shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
    """A parameter drawn as ``nn.Linear`` draws its weights and biases: uniform within 1/sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
