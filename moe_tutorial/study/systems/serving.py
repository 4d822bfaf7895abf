"""Serving: how many tokens an expert may take, and how long the users of a fleet of machines wait.

The fleet is simulated step by step. Nothing is timed: a step's length follows from how many bytes the busiest machine
reads and how much it multiplies, so that every computer simulates the same fleet.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from moe_tutorial.layers.checks import check_count, check_number, check_positive
from moe_tutorial.study.usage import check_indices

StepTime = Callable[[int, np.random.Generator], float]
"""(requests in the batch, random generator) -> seconds that one decoding step takes."""


def capacity(n_tokens: int, n_experts: int, top_k: int, factor: float) -> int:
    """How many tokens an expert may take: its even part of the T * k choices, times ``factor``, rounded up.

    Never 0: for short inputs a capacity that is rounded down would drop every token.

    Raises:
        TypeError, ValueError: a count is no integer of at least 1, or ``factor`` is negative or not finite.

    Source: Switch (https://arxiv.org/abs/2101.03961), equation 3, where k is 1; with k, GShard
    (https://arxiv.org/abs/2006.16668), section 2.2.
    """
    for name, value in {"n_tokens": n_tokens, "n_experts": n_experts, "top_k": top_k}.items():
        check_count(name, value)
    check_number("factor", factor)
    return max(1, math.ceil(factor * n_tokens * top_k / n_experts))


def kept(indices: Tensor, weights: Tensor, n_experts: int, capacity: int) -> Tensor:
    """Which choices fit if no expert takes more than ``capacity``: bool (T, k). The rest is dropped.

    An expert keeps the choices with the highest gate weights; of equal ones, the earlier token's. Much code keeps the
    first to come instead, and so drops late tokens. ``weights`` that fall with the position show what that does.

    Args:
        indices: chosen experts, int (T, k), as in ``routing.indices``.
        weights: what ranks the choices, (T, k), as in ``routing.weights``.
        n_experts: E.
        capacity: choices that one expert may keep, at least 1.

    Raises:
        ValueError: shapes that differ or are not (T, k), an index outside 0..E-1, or a capacity below 1.

    Source: Riquelme et al. 2021 (https://arxiv.org/abs/2106.05974), section 4, batch prioritized routing (they rank
    tokens, here each choice is ranked for itself).
    """
    if indices.dim() != 2 or indices.shape != weights.shape:
        raise ValueError(f"indices {tuple(indices.shape)} and weights {tuple(weights.shape)} must both be (tokens, k)")
    check_indices(indices, n_experts)
    check_count("capacity", capacity)
    choice = indices.flatten()
    best_first = weights.flatten().argsort(descending=True, stable=True)
    by_expert = best_first[choice[best_first].argsort(stable=True)]  # expert by expert, each one's best first
    counts = choice.bincount(minlength=n_experts)
    start = counts.cumsum(0) - counts
    place = torch.empty_like(choice)  # of each choice in its expert's own queue
    place[by_expert] = torch.arange(len(choice), device=choice.device) - start[choice[by_expert]]
    return (place < capacity).view_as(indices)


class Served(NamedTuple):
    """What happened to the requests of one simulation, in order of arrival."""

    arrivals: np.ndarray  # (n_requests,) seconds
    finishes: np.ndarray  # (n_requests,) seconds
    busy: float  # part of the time until the last finish in which a step was running
    batch: float  # mean number of requests in a step

    @property
    def latency(self) -> np.ndarray:
        """Seconds from each request's arrival to its last token, (n_requests,)."""
        return self.finishes - self.arrivals


def serve(
    rate: float,
    step_time: StepTime,
    seed: int,
    *,
    n_requests: int = 1000,
    n_tokens: float = 32,
    max_batch: int = 32,
) -> Served:
    """Serve requests that arrive at random, with continuous batching.

    Every step makes one token for each request in the batch. Between two steps, finished requests leave, and waiting
    ones join in the order of their arrival while there is room (Orca, Yu et al. 2022, section 3.1). Arrivals are a
    Poisson process; lengths are geometric, so ``n_tokens=1`` is always one token. Two calls with one seed see the same
    requests, whatever ``step_time`` is; another ``rate`` stretches their arrivals.

    Args:
        rate: requests a second.
        step_time: seconds that a step takes, given how many requests are in it and the random generator.
        seed: of arrivals, lengths and ``step_time``.
        n_requests: how many are served; the simulation ends when all are. Above what the fleet can do, latency has no
            mean: it grows with this number.
        n_tokens: mean tokens of a request, at least 1.
        max_batch: requests that fit into one step.

    Raises:
        TypeError, ValueError: a number outside its range, or a step that takes no time.
    """
    check_count("n_requests", n_requests)
    check_count("max_batch", max_batch)
    check_number("n_tokens", n_tokens, low=1.0, allowed="a finite number of at least 1")
    check_positive("rate", rate)
    rng = np.random.default_rng(seed)
    arrivals = rng.exponential(1.0, n_requests).cumsum() / rate
    left = rng.geometric(1 / n_tokens, n_requests)
    finishes = np.zeros(n_requests)
    now = busy = 0.0
    next_request = steps = tokens = 0
    running: list[int] = []
    while running or next_request < n_requests:
        if not running:
            now = max(now, arrivals[next_request])
        while next_request < n_requests and len(running) < max_batch and arrivals[next_request] <= now:
            running.append(next_request)
            next_request += 1
        duration = step_time(len(running), rng)
        if not duration > 0:
            raise ValueError(f"step_time gave {duration} for {len(running)} requests; allowed is a time above 0")
        now, busy, steps, tokens = now + duration, busy + duration, steps + 1, tokens + len(running)
        left[running] -= 1
        for request in running:
            if left[request] == 0:
                finishes[request] = now
        running = [request for request in running if left[request]]
    return Served(arrivals, finishes, busy / now, tokens / steps)


def expert_step(
    popularity: Sequence[float],
    placement: Sequence[int],
    top_k: int,
    *,
    base: float,
    read: float,
    compute: float,
) -> StepTime:
    """The step time of a mixture whose experts are spread over machines: all wait for the busiest one.

    Every token of a step draws ``top_k`` different experts by popularity. An expert that got at least one token takes
    the longer of two times, reading its weights or computing its tokens (the roofline model, Williams et al. 2009).
    A machine takes the sum over its experts.

    Args:
        popularity: (E,) how much each expert is asked for, in any unit; at least ``top_k`` of them above 0.
        placement: (E,) the machine, from 0, that holds each expert.
        top_k: experts a token asks.
        base: seconds that every step takes besides its experts.
        read: seconds in which a machine reads one expert's weights.
        compute: seconds in which it computes one token in one expert.

    Raises:
        TypeError, ValueError: sizes that do not fit, or a negative number.
    """
    weights, machines = np.asarray(popularity, dtype=float), np.asarray(placement)
    if weights.ndim != 1 or weights.shape != machines.shape:
        raise ValueError(f"popularity {weights.shape} and placement {machines.shape} must both be (n_experts,)")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"popularity is {weights.tolist()}; allowed are finite numbers of at least 0")
    check_count("top_k", top_k, high=int((weights > 0).sum()), high_name="experts with a popularity above 0")
    for name, value in {"base": base, "read": read, "compute": compute}.items():
        check_number(name, value, low=0.0, allowed="a finite number of at least 0 (seconds)")
    with np.errstate(divide="ignore"):
        logits = np.log(weights)

    def step_time(n_requests: int, rng: np.random.Generator) -> float:
        # The k largest of logits + Gumbel noise are k draws without replacement.
        noisy = logits + rng.gumbel(size=(n_requests, len(weights)))
        tokens = np.bincount(np.argpartition(-noisy, top_k - 1)[:, :top_k].ravel(), minlength=len(weights))
        seconds = np.where(tokens > 0, np.maximum(read, tokens * compute), 0.0)
        return base + float(np.bincount(machines, weights=seconds).max())

    return step_time
