"""Lesson 07's long training: a selection bias that moves at DeepSeek-V3's rate, 0.001 a step.

Ten of the lesson's mixtures train for ten times the lesson's steps, so their curve is stored in ``slow_bias.json``.
``python -m moe_tutorial.study.systems.slow_bias`` makes it again in a minute. A test compares its beginning with the
code's, and the nightly tests compare all of it.
"""

import json
from pathlib import Path

from moe_tutorial.layers import BiasBalancer, MixtureOfExperts
from moe_tutorial.study.data import digits4, put_aside
from moe_tutorial.study.environment import seeds
from moe_tutorial.study.training import Seeds, train
from moe_tutorial.study.usage import dead

STORED = Path(__file__).with_suffix(".json")


def curve(steps: int = 6000, every: int = 300, rate: float = 0.001) -> dict[str, list[float]]:
    """Train ten seeds on raw digits4; columns ``step``, and of the test images ``right`` (per cent) and ``dead`` (of 8
    experts), both means over the seeds, with an entry after every ``every`` steps.
    """
    data, _ = put_aside(digits4("raw"))
    found = {"step": [], "right": [], "dead": []}

    def on_step(step: int, trained: Seeds) -> None:
        if step:
            BiasBalancer(rate).update(trained.buffers["router.bias"], trained.last_routing.indices)
        if step and step % every == 0:
            right = 100 * trained.accuracy(data.x_test, data.y_test).mean().item()
            gone = dead(trained.shares(data.x_test)).float().mean().item()
            for column, number in zip(found.values(), (step, round(right, 2), round(gone, 2)), strict=True):
                column.append(number)

    train(lambda: MixtureOfExperts(64, 8, 8, 1, bias=True, d_out=10), data, seeds(10), steps=steps, on_step=on_step)
    return found


def stored() -> dict[str, list[float]]:
    """What :func:`curve` returned for the course's own seeds, those of MOE_SEED 0."""
    return json.loads(STORED.read_text(encoding="utf-8"))


if __name__ == "__main__":
    STORED.write_text(json.dumps(curve()) + "\n", encoding="utf-8")
