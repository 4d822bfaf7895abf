"""Lesson 13's contest on ``digits4``: five layers, each with the best of nine tries, then ten seeds on the test images.

The tries are judged on a fifth of the training images, which nobody trains on, with seeds of their own. What is found
stands in ``contest.json``; ``python -m moe_tutorial.study.systems.trees.contest`` makes it again in some minutes. The
lesson trains two of the layers again, a test compares a part of the tries with the code, and a nightly test all layers.
Beside them stand sums of path layers of which as many neurons answer, from twelve of depth 1 to one of depth 12.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from moe_tutorial.layers import (
    Descent,
    FastFeedForward,
    MixtureOfExperts,
    PathLayer,
    hardening_loss,
    hardening_ramp,
    node_balance_loss,
    switch_loss,
)
from moe_tutorial.study.data import Dataset, digits4, put_aside
from moe_tutorial.study.environment import seeds
from moe_tutorial.study.training import Seeds, train

STORED = Path(__file__).with_suffix(".json")
STEPS, TRIED = 500, [900, 901, 902]  # the seeds of the tries
DEPTH, LEAF = 3, 8  # of the tree; the mixture has as many experts as the tree has leaves, and as wide


def dense(neurons: int) -> nn.Module:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(64, neurons), nn.ReLU(), nn.Linear(neurons, 10))


def mixture(**options: Any) -> nn.Module:
    """Eight experts, of which one answers."""
    return MixtureOfExperts(64, LEAF, 2**DEPTH, 1, d_out=10, **options)


class Forest(nn.Module):
    """The sum of several path layers, as in UltraFastBERT; the options are those of ``PathLayer``."""

    def __init__(self, trees: int, depth: int, **options: Any):
        super().__init__()
        self.trees = nn.ModuleList(PathLayer(64, 10, depth, **options) for _ in range(trees))

    def forward(self, x: Tensor) -> tuple[Tensor, Descent]:
        """x (B, 64) -> class scores (B, 10), and the ways in the first tree."""
        answers, ways = zip(*(tree(x) for tree in self.trees), strict=True)
        return sum(answers), ways[0]


FORESTS = {f"{12 // depth} of depth {depth}": depth for depth in (1, 2, 3, 4, 6, 12)}  # 12 neurons answer in each
BUILD: dict[str, Callable[[], nn.Module]] = {
    "dense small": lambda: dense(LEAF),
    "dense large": lambda: dense(LEAF * 2**DEPTH),
    "mixture": mixture,
    "tree": lambda: FastFeedForward(64, 10, DEPTH, LEAF),
    "path": lambda: PathLayer(64, 10, 6),  # 63 neurons, of which 6 answer
    "dense small, 16 x 128": lambda: dense(128),  # the size of the lesson's times
    "dense large, 16 x 128": lambda: dense(16 * 128),
    "mixture, 16 x 128": lambda: MixtureOfExperts(64, 128, 16, 1, d_out=10),
    "tree, 16 x 128": lambda: FastFeedForward(64, 10, 4, 128),
    "path, 16 x 128": lambda: PathLayer(64, 10, 11),
    **{name: partial(Forest, 12 // depth, depth) for name, depth in FORESTS.items()},
}
RATES = (0.003, 0.01, 0.03)
COEFFICIENTS = {"mixture": (0.01, 0.1, 1.0), "tree": (5.0, 10.0, 20.0)}  # of the Switch loss; of the hardening loss
COEFFICIENTS |= {"mixture, 16 x 128": (0.0001, 0.001, 0.01), "tree, 16 x 128": (40.0, 80.0, 160.0)}


class Try(NamedTuple):
    """A learning rate, and the layer's own coefficient, 0 where there is none."""

    rate: float
    coefficient: float = 0.0


MANY = {"who": range(100)}  # idle experts differ much from seed to seed
NOISY = {f"noise {rate}": {"chosen": Try(rate), "build": partial(mixture, noise="learned")} | MANY for rate in RATES}
CALM = {f"no noise {rate}": {"chosen": Try(rate)} | MANY for rate in RATES}
IDLE: dict[str, dict[str, Any]] = {"mixture": NOISY | CALM | {"later": {"steps": 2000}}}
IDLE["tree"] = {"fast": {"steps": 2000, "until": 250}, "slow": {"steps": 2000, "until": 1000}}
"""Idle without a balance loss: after more steps, with learned noise or none, a tree hardened fast or slowly."""


def tries(name: str) -> list[Try]:
    """Nine for each layer: three rates by three coefficients, or nine rates over a wider range; for forests three."""
    if name in FORESTS:
        return [Try(rate) for rate in RATES]
    if name in COEFFICIENTS:
        return [Try(rate, own) for rate in RATES for own in COEFFICIENTS[name]]
    return [Try(round(0.001 * 10 ** (n / 4), 4)) for n in range(9)]


def run(
    name: str,
    chosen: Try,
    data: Dataset,
    who: Sequence[int],
    balanced: bool = True,
    build: Callable[[], nn.Module] | None = None,
    steps: int = STEPS,
    until: int = STEPS // 2,
) -> Seeds:
    """Train a layer for the seeds ``who``. Not balanced: without the Switch loss, or without the node-balance loss.

    build: another layer than that of this name, trained as it is.
    until: the step up to which the weight of a tree's hardening loss grows.
    """

    def penalty(record: Any, step: int) -> Tensor:
        if name.startswith("mixture"):
            return balanced * chosen.coefficient * switch_loss(record)
        hard = hardening_ramp(step, 0, until, chosen.coefficient) * hardening_loss(record)
        return hard + balanced * node_balance_loss(record)

    own = penalty if name in COEFFICIENTS else None
    return train(build or BUILD[name], data, who, steps=steps, learning_rate=chosen.rate, penalty=own)


def right(trained: Seeds, data: Dataset) -> list[float]:
    """Per cent of the test images that each seed gets right; a tree is asked hard, one leaf an image."""
    return (100 * trained.accuracy(data.x_test, data.y_test)).tolist()


def idle(trained: Seeds, data: Dataset) -> list[float]:
    """Per cent of each seed's neurons that get less than 8 % of their even share of the test images.

    For experts and leaves these are the dead ones of :func:`dead`. Not for dense networks, in which all neurons answer.
    """
    levels = [trained.shares(data.x_test)]
    if isinstance(trained.model, PathLayer):  # from the ends of the ways up to the nodes
        while levels[-1].shape[-1] > 1:
            levels.append(levels[-1].unflatten(-1, (-1, 2)).sum(-1))
        del levels[0]
    of_even = torch.cat([level.shape[-1] * level for level in levels], dim=-1)
    return (100 * (of_even < 0.08).float().mean(-1)).tolist()


def tune(name: str, chosen: Sequence[Try] = ()) -> list[float]:
    """The validation accuracy in per cent of each of the layer's tries, or of these: means of three seeds."""
    data, (x, y) = put_aside(digits4("standardised"))
    judge = data._replace(x_test=x, y_test=y)
    each = (right(run(name, one, data, TRIED), judge) for one in chosen or tries(name))
    return [round(sum(found) / len(found), 2) for found in each]


def best(found: dict, name: str) -> Try:
    """The try of a layer with the highest validation accuracy in :func:`stored`; the first of equal ones."""
    validation = found[name]["validation"]
    return tries(name)[validation.index(max(validation))]


def measured(name: str, chosen: Try) -> dict[str, list[float]]:
    """Of ten seeds, or of thirty for 16 x 128, where layers differ by less, trained on all images: ``right``, ``idle``.

    Of mixture and tree of 16 x 128 also both ``as small``, of ten seeds: with the small size's best try, the fifth.

    Of mixture and tree also the columns of ``IDLE``.
    """
    data = digits4("standardised")
    trained = run(name, chosen, data, seeds(30 if "16 x 128" in name else 10))
    found = {"right": right(trained, data)}
    if name in COEFFICIENTS or name.startswith("path"):
        found["idle"] = idle(trained, data)
    for column, how in IDLE.get(name, {}).items():
        found[column] = idle(run(name, **{"chosen": chosen, "who": seeds(10)} | how, data=data, balanced=False), data)
    if name in ("mixture, 16 x 128", "tree, 16 x 128"):
        as_small = run(name, tries(name.split(",")[0])[4], data, seeds(10))
        found |= {"right as small": right(as_small, data), "idle as small": idle(as_small, data)}
    return {column: [round(number, 2) for number in numbers] for column, numbers in found.items()}


def stored() -> dict[str, dict[str, list[float]]]:
    """Of each layer, in per cent, for the seeds of MOE_SEED 0: ``validation`` of its tries, and what the best gives."""
    return json.loads(STORED.read_text(encoding="utf-8"))


def build() -> None:
    """Make the file again."""
    found = {name: {"validation": tune(name)} for name in BUILD}
    for name in BUILD:
        found[name] |= measured(name, best(found, name))
    lines = (f"{json.dumps(name)}: {json.dumps(columns)}" for name, columns in found.items())
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    build()
