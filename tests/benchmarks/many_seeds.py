"""What do ten seeds cost against one? Run it by hand: timings are for people, not for pass or fail.

    python tests/benchmarks/many_seeds.py

The setting is digits4 with E=8, width 8, batch 128, as in lesson 04. Three runs take turns, so that a busy machine is
busy for all of them: ten seeds as one batched model, one seed through the same `train`, and one seed in the plain loop
that everybody writes. The ratios of the medians are printed.
"""

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from moe_tutorial.layers import MixtureOfExperts
from moe_tutorial.study import digits4, train

torch.set_num_threads(1)
DATA = digits4("standardised")
STEPS, BATCH = 300, 128


def mixture() -> MixtureOfExperts:
    return MixtureOfExperts(64, 8, 8, 1, d_out=10, dispatch="dense")


def plain_loop() -> None:
    torch.manual_seed(0)
    model = mixture()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        rows = torch.randint(len(DATA.x_train), (BATCH,))
        loss = F.cross_entropy(model(DATA.x_train[rows])[0], DATA.y_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


runs = {
    "ten seeds": lambda: train(mixture, DATA, range(10), steps=STEPS, batch_size=BATCH),
    "one seed": lambda: train(mixture, DATA, [0], steps=STEPS, batch_size=BATCH),
    "one seed, plain loop": plain_loop,
}
for run in runs.values():
    run()  # the first call pays for imports
turns = [{name: seconds(run) for name, run in runs.items()} for _ in range(9)]
median = {name: statistics.median(turn[name] for turn in turns) for name in runs}
for name, value in median.items():
    print(
        f"{name:22}{1000 * value / STEPS:6.2f} ms a step; ten seeds cost {median['ten seeds'] / value:.2f} times this"
    )
