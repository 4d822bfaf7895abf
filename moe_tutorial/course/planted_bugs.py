"""Nine suspects for lesson 14, one correct and eight with one planted bug each, and twenty mutants with other bugs.

Reading on spoils the lesson. All have the same parameters and shapes. The nine suspects learn when trained, and the
lesson's probes were written with their bugs in mind. The twenty ``MUTANTS`` test the probes: two to four mistakes for
each step of the block, in the order of the steps. All were written before a probe was run on any of them, and none was
removed.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_tutorial.layers import Experts, MixtureOfExperts, Router, Routing

# Each function makes a class of router or mixture that differs from the correct one in one step, given as ``change``.


def reads(change: Callable[[Tensor], Tensor]) -> type[Router]:
    """A router that reads ``change(x)`` instead of the tokens x (T, d)."""

    class Reads(Router):
        def forward(self, x: Tensor) -> Routing:
            return super().forward(change(x))

    return Reads


def scores(change: Callable[[Router, Tensor], Tensor]) -> type[Router]:
    """A router whose probabilities (T, E) are ``change(router, logits)``, from logits (T, E)."""

    class Scores(Router):
        def probabilities(self, logits: Tensor) -> Tensor:
            return change(self, logits)

    return Scores


def chooses(change: Callable[[Router, Tensor], Tensor]) -> type[Router]:
    """A router whose choice (T, k) is ``change(router, ranking)``, from the ranking (T, E) without the bias."""

    class Chooses(Router):
        def choose(self, ranking: Tensor) -> Tensor:
            return change(self, ranking)

    return Chooses


def weighs(change: Callable[[Router, Routing], Tensor]) -> type[Router]:
    """A router whose weights (T, k) of the chosen experts are ``change(router, routing)``."""

    class Weighs(Router):
        def forward(self, x: Tensor) -> Routing:
            routing = super().forward(x)
            return routing._replace(weights=change(self, routing))

    return Weighs


def obeys(change: Callable[[Routing], Routing]) -> type[MixtureOfExperts]:
    """A mixture that uses ``change(routing)`` instead of its router's routing."""

    class Obeys(MixtureOfExperts):
        def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
            return super().dense(tokens, change(routing))

    return Obeys


def adds(change: Callable[[MixtureOfExperts, Tensor, Routing], Tensor]) -> type[MixtureOfExperts]:
    """A mixture that returns ``change(mixture, y, routing)`` instead of the weighted sum y (T, d_out)."""

    class Adds(MixtureOfExperts):
        def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
            return change(self, super().dense(tokens, routing), routing)

    return Adds


def softmax(router: Router, logits: Tensor) -> Tensor:
    """The correct router's probabilities."""
    return Router.probabilities(router, logits)


def k_hot(routing: Routing, values: Tensor) -> Tensor:
    """A (T, E) tensor with the values (T, k) at the chosen experts and zero elsewhere."""
    return torch.zeros_like(routing.probs).scatter(-1, routing.indices, values)


class Shaky(Router):
    def add_noise(self, tokens: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        std = torch.full_like(logits, 0.5)  # in training and in evaluation
        return logits + torch.randn_like(logits) * std, std


def crowded(routing: Routing) -> Routing:
    """Each expert takes at most 1.25 T k / E tokens; later ones get weight zero."""
    asked = k_hot(routing, torch.ones_like(routing.weights))
    room = 1.25 * routing.indices.numel() / routing.probs.shape[-1]
    fits = (asked.cumsum(0) <= room).to(asked.dtype).gather(-1, routing.indices)
    return routing._replace(weights=routing.weights * fits)


def overwritten(routing: Routing) -> Routing:
    """``y[rows] = ...`` instead of ``+=``: of a token's experts, only the one with the highest index counts."""
    last = routing.indices == routing.indices.amax(-1, keepdim=True)
    return routing._replace(weights=routing.weights * last)


def alike(routing: Routing) -> Routing:
    """``[expert] * E``: every index leads to the same expert."""
    return routing._replace(indices=torch.zeros_like(routing.indices))


SUSPECTS = {
    "A": ("softmax over the tokens", scores(lambda _, logits: logits.softmax(0)), MixtureOfExperts),
    "B": ("last answer wins", Router, obeys(overwritten)),
    "C": ("router cut off", weighs(lambda _, routing: routing.weights.detach()), MixtureOfExperts),
    "D": ("noise in evaluation", Shaky, MixtureOfExperts),
    "E": ("nothing", Router, MixtureOfExperts),
    "F": ("softmax twice", scores(lambda router, logits: softmax(router, logits).softmax(-1)), MixtureOfExperts),
    "G": ("late tokens dropped", Router, obeys(crowded)),
    "H": (
        "bias in the weights",
        weighs(lambda router, routing: (routing.probs + router.bias).gather(-1, routing.indices)),
        MixtureOfExperts,
    ),
    "I": ("one expert under every name", Router, obeys(alike)),
}
BUGS = tuple(sorted(name for name, _, _ in SUSPECTS.values()))
"""The verdicts that ``accuse`` accepts; "nothing" means no bug."""


class Flat(Experts):
    def neurons(self, tokens: Tensor, w_in: Tensor, b_in: Tensor, w_gate: None, b_gate: None) -> Tensor:
        return F.linear(tokens, w_in, b_in)


class Unbiased(Experts):
    def neurons(self, tokens: Tensor, w_in: Tensor, b_in: Tensor, w_gate: None, b_gate: None) -> Tensor:
        return super().neurons(tokens, w_in, None, w_gate, b_gate)


class GateFirst(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        weighted = routing.weights.unsqueeze(-1) * tokens.unsqueeze(1)  # (T, k, d): weights the token, not the answer
        answers = self.experts(weighted.flatten(0, 1)).unflatten(0, routing.weights.shape)  # (T, k, E, d_out)
        chosen = routing.indices[..., None, None].expand(*routing.indices.shape, 1, answers.shape[-1])
        return answers.gather(2, chosen).squeeze(2).sum(1)


class CutOff(MixtureOfExperts):
    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        answers = self.experts(tokens).detach()
        return torch.einsum("te,teo->to", k_hot(routing, routing.weights), answers)


MUTANTS: dict[str, type] = {
    # What the router reads
    "router input centred over the batch": reads(lambda x: x - x.mean(0)),  # a token's choice depends on the batch
    "router reads the neighbour": reads(lambda x: x.roll(1, 0)),
    # Scores. Attention divides its logits by sqrt(d), a router does not.
    "logits divided by a root": scores(lambda router, logits: softmax(router, logits / router.d_model**0.5)),
    "sigmoid for softmax": scores(lambda _, logits: logits.sigmoid()),
    "logits in bfloat16": scores(lambda router, logits: softmax(router, logits.bfloat16().to(logits.dtype))),
    # Choice. The correct router adds the bias once.
    "selection bias subtracted": chooses(lambda router, ranking: Router.choose(router, ranking - 2 * router.bias)),
    "the best left out": chooses(lambda router, ranking: (ranking + router.bias).topk(router.top_k + 1).indices[:, 1:]),
    "the least likely chosen": chooses(
        lambda router, ranking: (ranking + router.bias).topk(router.top_k, largest=False).indices
    ),
    # Weights
    "weights divided by their sum": weighs(lambda _, routing: routing.weights / routing.weights.sum(-1, keepdim=True)),
    "weights in the other order": weighs(lambda _, routing: routing.weights.flip(-1)),
    "weights squared": weighs(lambda _, routing: routing.weights.square()),  # as if they were applied twice
    "logits as weights": weighs(lambda _, routing: routing.logits.gather(-1, routing.indices)),
    # Experts
    "activation forgotten": Flat,
    "hidden bias forgotten": Unbiased,
    "token weighted, not the answer": GateFirst,
    "experts cut off": CutOff,
    # The sum
    "mean for sum": adds(lambda _, y, routing: y / routing.indices.shape[-1]),
    "output bias not weighted": adds(
        lambda moe, y, routing: y + k_hot(routing, 1 - routing.weights) @ moe.experts.b_out
    ),
    "second answer forgotten": obeys(
        lambda routing: routing._replace(indices=routing.indices[:, :1], weights=routing.weights[:, :1])
    ),
    "dropout in evaluation": adds(lambda _, y, routing: F.dropout(y, 0.1)),  # in training and in evaluation
}
"""Mistake -> the class of router, mixture or experts that makes it."""


def suspect(
    letter: str, d_model: int = 64, d_hidden: int = 8, n_experts: int = 8, top_k: int = 2, d_out: int | None = None
) -> MixtureOfExperts:
    """Build the suspect of this letter: softmax, then top-k, weights not renormalised, a selection bias.

    Raises ValueError if no suspect has this letter, and for bad sizes what :class:`MixtureOfExperts` raises.
    """
    if letter not in SUSPECTS:
        raise ValueError(f"letter must be one of {', '.join(SUSPECTS)}, got {letter!r}")
    _, router, mixture = SUSPECTS[letter]
    return _built(router, mixture, d_model, d_hidden, n_experts, top_k, d_out)


def mutant(
    name: str, d_model: int = 64, d_hidden: int = 8, n_experts: int = 8, top_k: int = 2, d_out: int | None = None
) -> MixtureOfExperts:
    """Build the mixture with this mistake of ``MUTANTS``, otherwise like a :func:`suspect`.

    Raises ValueError if the name is not in ``MUTANTS``, and for bad sizes what :class:`MixtureOfExperts` raises.
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
    """Print which of your verdicts are right, such as ``accuse(A="softmax twice", B="nothing")``.

    Raises ValueError if no suspect has a letter, or if a verdict is not in ``BUGS``.
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
