"""Lesson 07's long training: a selection bias that moves at DeepSeek-V3's rate, 0.001 a step.

Ten of the lesson's mixtures train for ten times the lesson's steps, with such a bias and without one, so their curves
are stored in ``slow_bias.json``. ``python -m moe_tutorial.study.systems.slow_bias`` makes them again in two minutes. A
test compares their beginning with the code's, and the nightly tests compare their end.
"""

import json
from pathlib import Path

from moe_tutorial.layers import BiasBalancer, MixtureOfExperts
from moe_tutorial.study.data import digits4, put_aside
from moe_tutorial.study.environment import seeds
from moe_tutorial.study.training import Seeds, train
from moe_tutorial.study.usage import dead

STORED = Path(__file__).with_suffix(".json")


def curve(rate: float, steps: int = 6000, every: int = 300) -> dict[str, list[float]]:
    """Train ten seeds on raw digits4, their bias moved by ``rate``, with 0 not at all.

    Returns columns with an entry for every ``every`` steps: ``step``, and on the test images, as means over the seeds,
    ``right`` (per cent) and ``dead`` (of 8 experts).
    """
    data, _ = put_aside(digits4("raw"))
    found = {"step": [], "right": [], "dead": []}

    def on_step(step: int, trained: Seeds) -> None:
        if step and rate:
            BiasBalancer(rate).update(trained.buffers["router.bias"], trained.last_routing.indices)
        if step and step % every == 0:
            right = 100 * trained.accuracy(data.x_test, data.y_test).mean().item()
            gone = dead(trained.shares(data.x_test)).float().mean().item()
            for column, number in zip(found.values(), (step, round(right, 2), round(gone, 2)), strict=True):
                column.append(number)

    train(lambda: MixtureOfExperts(64, 8, 8, 1, bias=True, d_out=10), data, seeds(10), steps=steps, on_step=on_step)
    return found


def stored() -> dict[str, dict[str, list[float]]]:
    """What :func:`curve` returned at the rates "0.001" and "0" for the course's own seeds, those of MOE_SEED 0."""
    return json.loads(STORED.read_text(encoding="utf-8"))


if __name__ == "__main__":
    STORED.write_text(json.dumps({str(rate): curve(rate) for rate in (0.001, 0)}) + "\n", encoding="utf-8")
