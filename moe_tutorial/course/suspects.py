"""Nine mixtures for lesson 12: one is right, and each of the others has one bug planted. And twenty mistakes more.

All have the same parameters and the same shapes. The nine learn, and the lesson's probes were written with their bugs
in mind. The twenty of ``MUTANTS`` examine the probes: two to four mistakes for each step of the block, written down in
that order before a probe was run on any of them, and all kept. Reading on spoils the lesson.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_tutorial.layers import Experts, MixtureOfExperts, Router, Routing


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


# What the router reads


class OverBatch(Router):
    def forward(self, x: Tensor) -> Routing:
        return super().forward(x - x.mean(0))  # a token's choice hangs on its company


class OffByOne(Router):
    def forward(self, x: Tensor) -> Routing:
        return super().forward(x.roll(1, 0))


# Scores


class Cooled(Router):
    def probabilities(self, logits: Tensor) -> Tensor:
        return super().probabilities(logits / self.d_model**0.5)  # attention divides like this, a router does not


class EachForItself(Router):
    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


class Coarse(Router):
    def probabilities(self, logits: Tensor) -> Tensor:
        return super().probabilities(logits.bfloat16().to(logits.dtype))


# Choice


class Contrary(Router):
    def choose(self, ranking: Tensor) -> Tensor:
        return super().choose(ranking - 2 * self.bias)  # which is then added once


class NextBest(Router):
    def choose(self, ranking: Tensor) -> Tensor:
        return (ranking + self.bias).topk(self.top_k + 1).indices[:, 1:]


class Worst(Router):
    def choose(self, ranking: Tensor) -> Tensor:
        return (ranking + self.bias).topk(self.top_k, largest=False).indices


# Weights


class Whole(Router):
    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=routing.weights / routing.weights.sum(-1, keepdim=True))


class Crossed(Router):
    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=routing.weights.flip(-1))


class Squared(Router):
    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=routing.weights.square())  # applied here and once more later


class Unsquashed(Router):
    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=routing.logits.gather(-1, routing.indices))


# Experts


class Flat(Experts):
    def neurons(self, tokens: Tensor, w_in: Tensor, b_in: Tensor, w_gate: None, b_gate: None) -> Tensor:
        return F.linear(tokens, w_in, b_in)


class Unbiased(Experts):
    def neurons(self, tokens: Tensor, w_in: Tensor, b_in: Tensor, w_gate: None, b_gate: None) -> Tensor:
        return super().neurons(tokens, w_in, None, w_gate, b_gate)


class GateFirst(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        weighted = routing.weights.unsqueeze(-1) * tokens.unsqueeze(1)  # (T, k, d): the token, not the answer
        answers = self.experts(weighted.flatten(0, 1)).unflatten(0, routing.weights.shape)  # (T, k, E, d_out)
        chosen = routing.indices[..., None, None].expand(*routing.indices.shape, 1, answers.shape[-1])
        return answers.gather(2, chosen).squeeze(2).sum(1)


class CutOff(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        answers = self.experts(tokens).detach()
        table = torch.zeros_like(routing.probs).scatter(-1, routing.indices, routing.weights)
        return torch.einsum("te,teo->to", table, answers)


# The sum


class Mean(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        return super().dense(tokens, routing) / routing.indices.shape[-1]


class BiasInFull(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        asked = torch.zeros_like(routing.probs).scatter(-1, routing.indices, 1 - routing.weights)
        return super().dense(tokens, routing) + asked @ self.experts.b_out


class OnlyTheFirst(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        return super().dense(tokens, routing._replace(indices=routing.indices[:, :1], weights=routing.weights[:, :1]))


class AlwaysDropping(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        return F.dropout(super().dense(tokens, routing), 0.1)  # whether it trains or not


MUTANTS: dict[str, type] = {
    "router input centred over the batch": OverBatch,
    "router reads the neighbour": OffByOne,
    "logits divided by a root": Cooled,
    "sigmoid for softmax": EachForItself,
    "logits in bfloat16": Coarse,
    "selection bias subtracted": Contrary,
    "the best left out": NextBest,
    "the least likely chosen": Worst,
    "weights divided by their sum": Whole,
    "weights in the other order": Crossed,
    "weights squared": Squared,
    "logits as weights": Unsquashed,
    "activation forgotten": Flat,
    "hidden bias forgotten": Unbiased,
    "token weighted, not the answer": GateFirst,
    "experts cut off": CutOff,
    "mean for sum": Mean,
    "output bias not weighted": BiasInFull,
    "second answer forgotten": OnlyTheFirst,
    "dropout in evaluation": AlwaysDropping,
}
"""What is wrong -> the router, the mixture or the experts that do it."""


def suspect(
    letter: str, d_model: int = 64, d_hidden: int = 8, n_experts: int = 8, top_k: int = 2, d_out: int | None = None
) -> MixtureOfExperts:
    """The mixture of this letter: softmax, then the ``top_k`` likeliest, weights not renormalised, a selection bias.

    Raises ValueError for a letter that no suspect has, and what :class:`MixtureOfExperts` raises for bad sizes.
    """
    if letter not in SUSPECTS:
        raise ValueError(f"letter must be one of {', '.join(SUSPECTS)}, got {letter!r}")
    _, router, mixture = SUSPECTS[letter]
    return _built(router, mixture, d_model, d_hidden, n_experts, top_k, d_out)


def mutant(
    name: str, d_model: int = 64, d_hidden: int = 8, n_experts: int = 8, top_k: int = 2, d_out: int | None = None
) -> MixtureOfExperts:
    """The mixture with this mistake of ``MUTANTS``, otherwise as :func:`suspect` builds it.

    Raises ValueError for a name that is not in ``MUTANTS``, and what :class:`MixtureOfExperts` raises for bad sizes.
    """
    if name not in MUTANTS:
        raise ValueError(f"name must be one of {', '.join(map(repr, MUTANTS))}, got {name!r}")
    part = MUTANTS[name]
    router = part if issubclass(part, Router) else Router
    mixture = part if issubclass(part, MixtureOfExperts) else MixtureOfExperts
    moe = _built(router, mixture, d_model, d_hidden, n_experts, top_k, d_out)
    if issubclass(part, Experts):
        moe.experts = part(n_experts, d_model, d_hidden, d_out)
    return moe


def _built(
    router: type[Router],
    mixture: type[MixtureOfExperts],
    d_model: int,
    d_hidden: int,
    n_experts: int,
    top_k: int,
    d_out: int | None,
) -> MixtureOfExperts:
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
