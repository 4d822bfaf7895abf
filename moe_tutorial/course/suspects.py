"""Nine mixtures for lesson 14: one is right, and each of the others has one bug planted. And twenty mistakes more.

All have the same parameters and the same shapes. The nine learn, and the lesson's probes were written with their bugs
in mind. The twenty of ``MUTANTS`` examine the probes: two to four mistakes for each step of the block, written down in
that order before a probe was run on any of them, and all kept. Reading on spoils the lesson.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_tutorial.layers import Experts, MixtureOfExperts, Router, Routing

# Ways to be wrong: each makes a router or a mixture that differs from the right one in what ``change`` says.


def reads(change: Callable[[Tensor], Tensor]) -> type[Router]:
    """A router that gets changed tokens (T, d)."""

    class Reads(Router):
        def forward(self, x: Tensor) -> Routing:
            return super().forward(change(x))

    return Reads


def scores(change: Callable[[Router, Tensor], Tensor]) -> type[Router]:
    """A router with other probabilities, from its logits (T, E)."""

    class Scores(Router):
        def probabilities(self, logits: Tensor) -> Tensor:
            return change(self, logits)

    return Scores


def chooses(change: Callable[[Router, Tensor], Tensor]) -> type[Router]:
    """A router that chooses otherwise, from its ranking (T, E) without the bias."""

    class Chooses(Router):
        def choose(self, ranking: Tensor) -> Tensor:
            return change(self, ranking)

    return Chooses


def weighs(change: Callable[[Router, Routing], Tensor]) -> type[Router]:
    """A router that gives the chosen experts other weights (T, k)."""

    class Weighs(Router):
        def forward(self, x: Tensor) -> Routing:
            routing = super().forward(x)
            return routing._replace(weights=change(self, routing))

    return Weighs


def obeys(change: Callable[[Routing], Routing]) -> type[MixtureOfExperts]:
    """A mixture that follows another routing than its router's."""

    class Obeys(MixtureOfExperts):
        def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
            return super().dense(tokens, change(routing))

    return Obeys


def adds(change: Callable[[MixtureOfExperts, Tensor, Routing], Tensor]) -> type[MixtureOfExperts]:
    """A mixture that makes something else of its answers' weighted sum (T, d_out)."""

    class Adds(MixtureOfExperts):
        def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
            return change(self, super().dense(tokens, routing), routing)

    return Adds


def softmax(router: Router, logits: Tensor) -> Tensor:
    """As the right router scores."""
    return Router.probabilities(router, logits)


def k_hot(routing: Routing, values: Tensor) -> Tensor:
    """Values (T, k) in the places of the chosen experts, (T, E)."""
    return torch.zeros_like(routing.probs).scatter(-1, routing.indices, values)


class Shaky(Router):
    def add_noise(self, tokens: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        std = torch.full_like(logits, 0.5)  # whether it trains or not
        return logits + torch.randn_like(logits) * std, std


def crowded(routing: Routing) -> Routing:
    """Whoever comes to a full expert later is left out."""
    asked = k_hot(routing, torch.ones_like(routing.weights))
    room = 1.25 * routing.indices.numel() / routing.probs.shape[-1]
    kept = (asked.cumsum(0) <= room).to(asked.dtype).gather(-1, routing.indices)
    return routing._replace(weights=routing.weights * kept)


def overwritten(routing: Routing) -> Routing:
    """y[rows] = ..., where += was meant."""
    last = routing.indices == routing.indices.amax(-1, keepdim=True)
    return routing._replace(weights=routing.weights * last)


def alike(routing: Routing) -> Routing:
    """[expert] * E: one expert under every name."""
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
"""The names to accuse with; "nothing" is the name of the mixture without a bug."""


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
        return torch.einsum("te,teo->to", k_hot(routing, routing.weights), answers)


MUTANTS: dict[str, type] = {
    # What the router reads
    "router input centred over the batch": reads(lambda x: x - x.mean(0)),  # a token's choice hangs on its company
    "router reads the neighbour": reads(lambda x: x.roll(1, 0)),
    # Scores. Attention divides by a root, a router does not.
    "logits divided by a root": scores(lambda router, logits: softmax(router, logits / router.d_model**0.5)),
    "sigmoid for softmax": scores(lambda _, logits: logits.sigmoid()),
    "logits in bfloat16": scores(lambda router, logits: softmax(router, logits.bfloat16().to(logits.dtype))),
    # Choice. The right one adds the bias once.
    "selection bias subtracted": chooses(lambda router, ranking: Router.choose(router, ranking - 2 * router.bias)),
    "the best left out": chooses(lambda router, ranking: (ranking + router.bias).topk(router.top_k + 1).indices[:, 1:]),
    "the least likely chosen": chooses(
        lambda router, ranking: (ranking + router.bias).topk(router.top_k, largest=False).indices
    ),
    # Weights
    "weights divided by their sum": weighs(lambda _, routing: routing.weights / routing.weights.sum(-1, keepdim=True)),
    "weights in the other order": weighs(lambda _, routing: routing.weights.flip(-1)),
    "weights squared": weighs(lambda _, routing: routing.weights.square()),  # applied here and once more later
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
    "dropout in evaluation": adds(lambda _, y, routing: F.dropout(y, 0.1)),  # whether it trains or not
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
