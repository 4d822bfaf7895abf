"""Serving: how many tokens an expert may take, and how long the users of a replica wait.

A replica, one copy of a model with the GPUs that hold it, is simulated step by step. Nothing is timed: how long a step
takes is given as a function of the requests in it, so that every computer simulates the same.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from moe_tutorial.layers.checks import check_count, check_number, check_positive


def capacity(n_tokens: int, n_experts: int, top_k: int, factor: float) -> int:
    """How many tokens an expert may take: its even share of the T * k choices, times ``factor``, rounded up.

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


def kept(indices: Tensor, n_experts: int, capacity: int) -> Tensor:
    """Which choices fit if no expert takes more than ``capacity``: bool (T, k). The rest is dropped.

    An expert keeps the first to come, token by token, so that no later token changes what an earlier one gets.

    Args:
        indices: chosen experts, int (T, k), as in ``routing.indices``.
        n_experts: E.
        capacity: choices that one expert may keep, at least 1.

    Raises:
        ValueError: indices that are not (T, k), or a capacity below 1.
    """
    if indices.dim() != 2:
        raise ValueError(f"indices is of shape {tuple(indices.shape)}; it must be (tokens, k)")
    check_count("capacity", capacity)
    asked = indices.flatten().unsqueeze(-1) == torch.arange(n_experts, device=indices.device)
    place = (asked.cumsum(0) * asked).sum(-1)  # of each choice at its expert: 1 is the first
    return (place <= capacity).view_as(indices)


def serve(
    rate: float,
    step_time: Callable[[int], float],
    seed: int,
    *,
    n_requests: int = 1000,
    n_tokens: float = 32,
    max_batch: int = 32,
) -> np.ndarray:
    """Seconds from each request's arrival to its last token, (n_requests,), with continuous batching.

    Requests arrive at random, as a Poisson process; their lengths are geometric, so ``n_tokens=1`` is always one token.
    Every step makes one token for each request in the batch. Between two steps, finished requests leave, and waiting
    ones join in the order of their arrival while there is room (Orca, Yu et al. 2022, section 3.1). Two calls with one
    seed see the same requests, whatever ``step_time`` is; another ``rate`` stretches their arrivals.

    Args:
        rate: requests a second.
        step_time: requests in the batch -> seconds that one step takes.
        seed: of arrivals and lengths.
        n_requests: how many are served; the simulation ends when all are. Above what the replica can do, latency has no
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
    now, next_request = 0.0, 0
    running: list[int] = []
    while running or next_request < n_requests:
        if not running:
            now = max(now, arrivals[next_request])
        while next_request < n_requests and len(running) < max_batch and arrivals[next_request] <= now:
            running.append(next_request)
            next_request += 1
        duration = step_time(len(running))
        if not duration > 0:
            raise ValueError(f"step_time gave {duration} for {len(running)} requests; allowed is a time above 0")
        now += duration
        left[running] -= 1
        for request in running:
            if left[request] == 0:
                finishes[request] = now
        running = [request for request in running if left[request]]
    return finishes - arrivals
