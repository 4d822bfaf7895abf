"""Train a GPT on texts of several domains, and measure its loss on each of them."""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_tutorial.layers import GPT, Descent, Router, Routing, switch_loss
from moe_tutorial.layers.checks import check_count
from moe_tutorial.layers.modes import evaluating
from moe_tutorial.study.data import Texts
from moe_tutorial.study.training import TrainingDiverged

TEST_WINDOWS = 48
"""Pieces of test text per domain that a loss is computed on, the same for every model."""


class Snapshot(NamedTuple):
    """The progress of a training: steps done, CPU seconds that they took, and the test loss (D,) in nats."""

    step: int
    seconds: float
    loss: Tensor


def windows(streams: Tensor, n: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Random pieces of text from the domains in turn: streams (D, N) -> tokens, targets (n, length), domains (n,).

    A target is the character after its token.

    Raises:
        ValueError: the streams are shorter than a piece and the character after it.
    """
    if streams.shape[1] <= length:
        raise ValueError(f"length is {length}; allowed is less than the streams' {streams.shape[1]} characters")
    domains = torch.arange(n) % len(streams)
    start = torch.randint(streams.shape[1] - length, (n,), generator=generator)
    pieces = streams[domains[:, None], start[:, None] + torch.arange(length + 1)]
    return pieces[:, :-1], pieces[:, 1:], domains


def train_gpt(
    model: GPT,
    texts: Texts,
    *,
    seed: int,
    steps: int,
    batch_size: int = 16,
    learning_rate: float = 3e-3,
    balance: float = 0.01,
    penalty: Callable[[Descent, int], Tensor] | None = None,
    every: int = 100,
) -> Iterator[Snapshot]:
    """Train ``model`` in place with AdamW, as a generator: a snapshot at step 0 and after every ``every`` steps.

    It pauses until the next snapshot is requested, so several models can be trained in turn, side by side.

    Args:
        model: its context is the length of the training pieces.
        texts: trained on ``texts.train``, tested on ``texts.test``.
        seed: of the batches; models with the same seed see the same batches.
        steps, batch_size, learning_rate: of the optimiser.
        balance: factor of the blocks' Switch losses, whose sum is added to the loss of a GPT with mixtures.
        penalty: (descent of a block, step) -> scalar, added to the loss of a GPT with trees, for each block; the first
            step is 1.
        every: steps between snapshots.

    Raises:
        TrainingDiverged: the loss is not finite.
        TypeError, ValueError: ``steps``, ``batch_size`` or ``every`` is not an integer of at least 1.
    """
    for name, value in {"steps": steps, "batch_size": batch_size, "every": every}.items():
        check_count(name, value)
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, fused=True)
    generator = torch.Generator().manual_seed(seed)
    seconds = 0.0
    yield Snapshot(0, seconds, loss_by_domain(model, texts))
    for step in range(1, steps + 1):
        start = time.process_time()
        tokens, targets, _ = windows(texts.train, batch_size, model.config.context, generator)
        _, loss, records = model(tokens.to(device), targets.to(device))
        if not loss.isfinite():
            raise TrainingDiverged(
                f"the loss became {loss.item()} at step {step} (seed {seed}); training stopped there"
            )
        for record in records:
            if isinstance(record, Routing) and balance:
                loss = loss + balance * switch_loss(record)
            if isinstance(record, Descent) and penalty:
                loss = loss + penalty(record, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds += time.process_time() - start
        if step % every == 0:
            yield Snapshot(step, seconds, loss_by_domain(model, texts))


@torch.no_grad()
def loss_by_domain(model: GPT, texts: Texts) -> Tensor:
    """Mean cross-entropy of the next test character in each domain, in nats: (D,). The model is in eval mode."""
    seeded = torch.Generator().manual_seed(0)  # so that the pieces are always the same
    tokens, targets, domains = windows(texts.test, TEST_WINDOWS * len(texts.names), model.config.context, seeded)
    with evaluating(model):
        logits = model(tokens.to(next(model.parameters()).device))[0].cpu()
    loss = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(1)
    return torch.stack([loss[domains == d].mean() for d in range(len(texts.names))])


@torch.no_grad()
def route_text(model: GPT, text: Tensor) -> list[Routing | Descent]:
    """The routing or descent of a text in each block, in evaluation: int (N,) -> one record per block, fields (N, ...).

    The text is split into pieces of the model's context, which are independent of each other.
    """
    whole = len(text) - len(text) % model.config.context
    pieces = [text[:whole].view(-1, model.config.context), text[whole:].view(1, -1)]
    with evaluating(model):
        read = [model(piece)[2] for piece in pieces if piece.numel()]
    fields = [zip(*block, strict=True) for block in zip(*read, strict=True)]  # of each block, field by field
    return [type(read[0][0])(*(None if f[0] is None else torch.cat(f) for f in block)) for block in fields]


@torch.no_grad()
def losses_of_a_tenth(model: GPT, texts: Texts) -> dict[str, float]:
    """Mean test loss of a dense GPT with ``all`` its neurons, and where each block keeps a tenth and silences the rest.

    Which tenth: each token's ``own``, which writes most for it (by its activation times the length of what it writes);
    a ``random`` one for each token; or the ``fixed`` one that writes most for the training text, on average.
    """
    losses = {"all": float(loss_by_domain(model, texts).mean())}
    model, usual, generator = copy.deepcopy(model), {}, torch.Generator().manual_seed(0)

    def silence(layer: nn.Linear, neurons: tuple[Tensor]) -> Tensor | None:
        strength = neurons[0].abs() * layer.weight.norm(dim=0)
        if kept == "all":
            usual[layer] = strength.mean((0, 1))
            return None
        drawn = torch.rand(strength.shape, generator=generator) if kept == "random" else strength
        best = (usual[layer].expand_as(strength) if kept == "fixed" else drawn).topk(strength.shape[-1] // 10).indices
        return neurons[0] * torch.zeros_like(strength).scatter(-1, best, 1)

    for block in model.blocks:
        block.feed_forward[-1].register_forward_pre_hook(silence)
    kept = "all"
    loss_by_domain(model, texts._replace(test=texts.train))
    for kept in ("own", "random", "fixed"):
        losses[kept] = float(loss_by_domain(model, texts).mean())
    return losses


def without_experts(model: GPT, off: Sequence[Sequence[bool]]) -> GPT:
    """A copy of a GPT with experts whose routers never ask those that are off: the next best takes the token.

    Args:
        model: a GPT with mixtures, whose routers are ``Router``.
        off: for each block, a truth value for each expert; at least one expert of a block stays on.
    """
    reduced = copy.deepcopy(model)
    gone = torch.as_tensor(off, dtype=torch.bool)
    for block, experts in zip(reduced.blocks, gone, strict=True):
        block.feed_forward.router = _Reduced(block.feed_forward.router, experts)
    return reduced


@torch.no_grad()
def missed(model: GPT, ids: Tensor) -> tuple[float, Tensor, Tensor]:
    """How much each expert is missed in a text (T + 1,), while it is off and the next best takes its tokens.

    Returns the loss in nats a character with all experts, how much larger it is without each expert (blocks, experts),
    and whether anybody asked it (blocks, experts).
    """
    tokens, targets = ids[None, :-1], ids[None, 1:]
    _, usual, records = model(tokens, targets)
    shape = len(model.blocks), model.config.n_experts
    each = torch.eye(shape[0] * shape[1]).view(-1, *shape)
    losses = torch.stack([without_experts(model, off.tolist())(tokens, targets)[1] for off in each])
    asked = torch.stack([torch.zeros(shape[1]).scatter(0, r.indices.flatten(), 1) for r in records])
    return usual.item(), losses.view(shape) - usual, asked.bool()


class _Reduced(nn.Module):
    """A router whose logits are minus infinity for the experts that are off."""

    def __init__(self, router: Router, off: Tensor):
        super().__init__()
        self.router = router
        self.register_buffer("off", off)

    def forward(self, x: Tensor) -> Routing:
        logits = self.router(x).logits.masked_fill(self.off, -torch.inf)
        return Routing(logits, *self.router.pick(logits))
