"""What do ten seeds cost against one? Run it by hand: timings are for people, not for pass or fail.

    python tests/benchmarks/many_seeds.py

Both are measured side by side, in turns, and the ratio of the medians is printed: the setting is digits4 with E=8,
width 8, batch 128, as in lesson 04.
"""

import statistics
import time

import torch

from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.study import digits4, train

torch.set_num_threads(1)
DATA = digits4("standardised")


def mixture() -> MixtureOfExperts:
    return MixtureOfExperts(64, 8, 8, 1, d_out=10, dispatch="dense")


def seconds(n_seeds: int) -> float:
    start = time.perf_counter()
    train(
        lambda: MixtureOfExperts(64, 8, 8, 1, d_out=10, dispatch="dense"),
        DATA,
        range(n_seeds),
        steps=300,
        batch_size=128,
    )
    return time.perf_counter() - start


seconds(1)  # the first call pays for imports
turns = [(seconds(1), seconds(10)) for _ in range(7)]
one, ten = (statistics.median(column) for column in zip(*turns, strict=True))
print(f"one seed {one:.2f} s, ten seeds {ten:.2f} s: ten cost {ten / one:.2f} times one")
