"""Mixtures with one planted bug each, for lesson 14, whose reader should not read on.

All have the same parameters and shapes. The ``SUSPECTS`` learn when trained, and the lesson's probes were written with
their bugs in mind. The ``MUTANTS`` test the probes: one to four mistakes for each step of the block, from what the
router reads to the sum. No probe was written for one of them. When the probes had run, three went to ``NOT_MEANT``,
as they are right elsewhere, and no other was removed.

Each bug is a subclass that differs from the correct part in one step. Its docstring begins with the bug's name. Of the
bugs that the detective asks about, the second paragraph says why their probes fail.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_tutorial.layers import Experts, MixtureOfExperts, Router, Routing


class Sound(Router):
    """nothing is wrong: a right mixture."""


class SoftmaxOverTokens(Router):
    """softmax over the tokens: the softmax runs down the batch, and not over the experts.

    Alone, a token is the whole batch, so each of its experts gets the weight 1. In `certain`, an expert gives all
    of its weight to one token of the batch.
    """

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(0)


class LastAnswerWins(MixtureOfExperts):
    """last answer wins: `y[rows] = ...` in place of `+=`: of a token's experts, the last one's answer is left.

    Once the experts are renumbered, another of a token's two experts is the last. In `certain`, the last may have the
    weight 0.
    """

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        last = routing.indices == routing.indices.amax(-1, keepdim=True)
        return super().dense(tokens, routing._replace(weights=routing.weights * last))


class RouterCutOff(Router):
    """router cut off: a `detach` too many, so that the loss does not reach the router.

    The gradient ends at the weights and never arrives at the router.
    """

    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=routing.weights.detach())


class NoiseInEvaluation(Router):
    """noise in evaluation: noise is added to the logits, whether the mixture trains or not.

    Each run draws other noise.
    """

    def add_noise(self, tokens: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        std = torch.full_like(logits, 0.5)
        return logits + torch.randn_like(logits) * std, std


class SoftmaxTwice(Router):
    """softmax twice: a softmax of the softmax makes all weights nearly equal.

    In `certain`, the first softmax gives the weight 1, and the second makes it much smaller.
    """

    def probabilities(self, logits: Tensor) -> Tensor:
        return super().probabilities(logits).softmax(-1)


class LateTokensDropped(MixtureOfExperts):
    """late tokens dropped: an expert takes 1.25 times its even share, rounded down, and later tokens get no answer.

    Which tokens are late depends on their order and number. A late one gets no answer, however sure its
    router is.
    """

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        asked = torch.zeros_like(routing.probs).scatter(-1, routing.indices, 1.0)
        room = 1.25 * routing.indices.numel() / self.experts.n_experts
        fits = (asked.cumsum(0) <= room).to(asked.dtype).gather(-1, routing.indices)
        return super().dense(tokens, routing._replace(weights=routing.weights * fits))


class BiasInWeights(Router):
    """bias in the weights: the selection bias counts in the weights, too.

    The 1 that is added to each bias arrives in the weights.
    """

    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=(routing.probs + self.bias).gather(-1, routing.indices))


class OneExpert(MixtureOfExperts):
    """expert 0 answers all: `experts[0](x)` stands where `experts[e](x)` should, whoever is chosen.

    Where one expert should answer, expert 0 does. Once the experts are renumbered, expert 0 is another one.
    """

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        return super().dense(tokens, routing._replace(indices=torch.zeros_like(routing.indices)))


class ReadsCentred(Router):
    """router input centred: the mean over the batch is subtracted, so a choice depends on the other tokens.

    Alone, a token is its own mean, so the router reads zeros.
    """

    def forward(self, x: Tensor) -> Routing:
        return super().forward(x - x.mean(0))


class ReadsNeighbour(Router):
    """router reads the neighbour: each token goes where the one before it should.

    Alone, a token is its own neighbour. In another order, it has another one.
    """

    def forward(self, x: Tensor) -> Routing:
        return super().forward(x.roll(1, 0))


class InBfloat16(Router):
    """logits in bfloat16: two to three digits of each logit are left."""

    def probabilities(self, logits: Tensor) -> Tensor:
        return super().probabilities(logits.bfloat16().to(logits.dtype))


class SubtractsBias(Router):
    """selection bias subtracted: what should help an expert harms it."""

    def choose(self, ranking: Tensor) -> Tensor:
        return super().choose(ranking - 2 * self.bias)  # which adds it once


class LeavesOutBest(Router):
    """the best left out: the second and the third are chosen."""

    def choose(self, ranking: Tensor) -> Tensor:
        return (ranking + self.bias).topk(self.top_k + 1).indices[:, 1:]


class ChoosesLast(Router):
    """the least likely chosen: `largest=False`."""

    def choose(self, ranking: Tensor) -> Tensor:
        return (ranking + self.bias).topk(self.top_k, largest=False).indices


class OtherOrder(Router):
    """weights in the other order: a token's first expert gets the second one's weight."""

    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=routing.weights.flip(-1))


class Squared(Router):
    """weights squared: each weight is the square of what it should be."""

    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=routing.weights.square())


class LogitsAsWeights(Router):
    """logits as weights: the softmax is used for the choice alone."""

    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=routing.logits.gather(-1, routing.indices))


class Flat(Experts):
    """activation forgotten: an expert is one linear map."""

    def neurons(self, tokens: Tensor, w_in: Tensor, b_in: Tensor, w_gate: None, b_gate: None) -> Tensor:
        return F.linear(tokens, w_in, b_in)


class Unbiased(Experts):
    """hidden bias forgotten: the neurons of an expert have no biases."""

    def neurons(self, tokens: Tensor, w_in: Tensor, b_in: Tensor, w_gate: None, b_gate: None) -> Tensor:
        return super().neurons(tokens, w_in, None, w_gate, b_gate)


class WeightsToken(MixtureOfExperts):
    """token weighted, not the answer: an expert reads the token times its weight."""

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        read = routing.weights.unsqueeze(-1) * tokens.unsqueeze(1)  # (T, k, d)
        answers = self.experts(read.flatten(0, 1)).unflatten(0, routing.weights.shape)  # (T, k, E, d_out)
        chosen = routing.indices[..., None, None].expand(*routing.indices.shape, 1, answers.shape[-1])
        return answers.gather(2, chosen).squeeze(2).sum(1)


class ExpertsCutOff(MixtureOfExperts):
    """experts cut off: a `detach` too many, so that the loss does not reach the experts."""

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        weights = torch.zeros_like(routing.probs).scatter(-1, routing.indices, routing.weights)
        return torch.einsum("te,teo->to", weights, self.experts(tokens).detach())


class Mean(MixtureOfExperts):
    """mean for sum: the answers are added up and divided by their number."""

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        return super().dense(tokens, routing) / routing.indices.shape[-1]


class WholeBias(MixtureOfExperts):
    """output bias not weighted: the weight multiplies an answer before its bias is added.

    An expert adds its whole output bias, even with the weight 0.
    """

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        rest = torch.zeros_like(routing.probs).scatter(-1, routing.indices, 1 - routing.weights)
        return super().dense(tokens, routing) + rest @ self.experts.b_out


class FirstAlone(MixtureOfExperts):
    """second answer forgotten: only the first chosen expert is heard.

    A token's second expert answers twice as loud, and nobody hears it.
    """

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        first = routing._replace(indices=routing.indices[:, :1], weights=routing.weights[:, :1])
        return super().dense(tokens, first)


class DropoutInEvaluation(MixtureOfExperts):
    """dropout in evaluation: a tenth of the answer's numbers is 0, whether the mixture trains or not.

    Each run sets other numbers to 0.
    """

    def dense(self, tokens: Tensor, routing: Routing) -> Tensor:
        return F.dropout(super().dense(tokens, routing), 0.1)


class SigmoidForSoftmax(Router):
    """sigmoid for softmax: each expert is scored by itself."""

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


class Renormalised(Router):
    """weights divided by their sum: right elsewhere, and not meant here."""

    def forward(self, x: Tensor) -> Routing:
        routing = super().forward(x)
        return routing._replace(weights=F.normalize(routing.weights, p=1, dim=-1))


class DividesByRoot(Router):
    """logits divided by a root: attention divides by the root of the width, a router does not."""

    def probabilities(self, logits: Tensor) -> Tensor:
        return super().probabilities(logits / self.d_model**0.5)


_PARTS = [part for part in vars().values() if isinstance(part, type) and part.__module__ == __name__]
_NAMED = {part.__doc__.partition(":")[0]: part for part in _PARTS}
SUSPECTS = dict(list(_NAMED.items())[:9])
"""Bug -> the class of router or mixture that has it. The first has none."""
MUTANTS = dict(list(_NAMED.items())[9:-3])
"""Mistake -> the class of router, mixture or experts that makes it."""
NOT_MEANT = dict(list(_NAMED.items())[-3:])
"""What is right elsewhere, and not meant here -> the class of router that does it."""


def suspect(bug: str, d_model: int = 64, d_out: int | None = None) -> MixtureOfExperts:
    """Build a mixture with this bug, with 8 experts of 8 neurons: softmax, then top-2, and a selection bias.

    Raises ValueError if neither ``SUSPECTS`` nor ``MUTANTS`` nor ``NOT_MEANT`` have this bug.
    """
    if bug not in _NAMED:
        raise ValueError(f"bug must be one of {', '.join(map(repr, _NAMED))}, got {bug!r}")
    part = _NAMED[bug]
    mixture = part if issubclass(part, MixtureOfExperts) else MixtureOfExperts
    router = (part if issubclass(part, Router) else Router)(d_model, 8, 2, bias=True)
    moe = mixture(d_model, 8, 8, 2, router, d_out=d_out, dispatch="dense")
    if issubclass(part, Experts):
        moe.experts = part(8, d_model, 8, d_out)
    return moe
