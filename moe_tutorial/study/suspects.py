"""Nine mixtures for lesson 12: one is right, and each of the others has one bug planted.

All nine have the same parameters and the same shapes, and all of them learn. Reading on spoils the lesson.
"""

import torch
from torch import Tensor

from moe_tutorial.layers import MixtureOfExperts, Router, Routing


class Unsure(Router):
    def probabilities(self, logits: Tensor) -> Tensor:
        return super().probabilities(logits).softmax(-1)  # a softmax of what was a softmax already


class AcrossTokens(Router):
    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(0)  # over the tokens of the batch, not over the experts


class Shaky(Router):
    def add_noise(self, tokens: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        std = torch.full_like(logits, 0.5)  # whether it trains or not
        return logits + torch.randn_like(logits) * std, std


class Leaky(Router):
    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=(routing.probs + self.bias).gather(-1, routing.indices))


class Deaf(Router):
    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=routing.weights.detach())


class Crowded(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        asked = torch.zeros_like(routing.probs).scatter(-1, routing.indices, 1.0)
        room = 1.25 * routing.indices.numel() / self.experts.n_experts  # whoever comes later is left out
        kept = (asked.cumsum(0) <= room).to(asked.dtype).gather(-1, routing.indices)
        return super().dense(tokens, routing._replace(weights=routing.weights * kept))


class Overwritten(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        last = routing.indices == routing.indices.amax(-1, keepdim=True)  # y[rows] = ..., where += was meant
        return super().dense(tokens, routing._replace(weights=routing.weights * last))


class Alike(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        return super().dense(tokens, routing._replace(indices=torch.zeros_like(routing.indices)))  # [expert] * E


SUSPECTS = {
    "A": ("softmax over the tokens", AcrossTokens, MixtureOfExperts),
    "B": ("last answer wins", Router, Overwritten),
    "C": ("router cut off", Deaf, MixtureOfExperts),
    "D": ("noise in evaluation", Shaky, MixtureOfExperts),
    "E": ("nothing", Router, MixtureOfExperts),
    "F": ("softmax twice", Unsure, MixtureOfExperts),
    "G": ("late tokens dropped", Router, Crowded),
    "H": ("bias in the weights", Leaky, MixtureOfExperts),
    "I": ("one expert under every name", Router, Alike),
}
BUGS = tuple(sorted(name for name, _, _ in SUSPECTS.values()))
"""The names to accuse with; "nothing" is the name of the mixture without a bug."""


def suspect(
    letter: str, d_model: int = 64, d_hidden: int = 8, n_experts: int = 8, top_k: int = 2, d_out: int | None = None
) -> MixtureOfExperts:
    """The mixture of this letter: softmax, then the ``top_k`` likeliest, weights not renormalised, a selection bias.

    Raises ValueError for a letter that no suspect has, and what :class:`MixtureOfExperts` raises for bad sizes.
    """
    if letter not in SUSPECTS:
        raise ValueError(f"letter must be one of {', '.join(SUSPECTS)}, got {letter!r}")
    _, router, mixture = SUSPECTS[letter]
    return mixture(
        d_model,
        d_hidden,
        n_experts,
        top_k,
        router(d_model, n_experts, top_k, bias=True),
        d_out=d_out,
        dispatch="dense",
    )


def accuse(**verdicts: str) -> None:
    """Say which of your verdicts are right, such as ``accuse(A="softmax twice", B="nothing")``.

    Raises ValueError for a letter that no suspect has, and for a bug that is not one of ``BUGS``.
    """
    for letter, bug in verdicts.items():
        if letter not in SUSPECTS:
            raise ValueError(f"the suspects are {', '.join(SUSPECTS)}, got {letter}")
        if bug not in BUGS:
            raise ValueError(f"{letter} must be one of {', '.join(map(repr, BUGS))}, got {bug!r}")
    right = [letter for letter, bug in verdicts.items() if bug == SUSPECTS[letter][0]]
    for letter, bug in verdicts.items():
        print(f"{letter}: {'right' if letter in right else 'no'}, {bug}")
    print(f"{len(right)} of {len(SUSPECTS)} solved")
