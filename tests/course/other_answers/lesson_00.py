"""Answers to lesson 00's exercises: what a learner may write."""

import numpy as np
from answers import right, wrong


@right("00.count_total")
def summed(n_experts, expert, router):
    return sum([expert] * n_experts, router)


@right("00.count_total")
def counted_one_by_one(n_experts, expert, router):
    total = router
    for _ in range(n_experts):
        total += expert
    return total


@right("00.count_total")
def by_product(n_experts, expert, router):
    return np.dot([n_experts, 1], [expert, router])


@right("00.count_active")
def added_up(n_experts, top_k, expert, router):
    active = router
    for _ in range(top_k):
        active += expert
    return active


@right("00.count_active")
def taken_away(n_experts, top_k, expert, router):
    return float(n_experts * expert + router) - (n_experts - top_k) * expert


@right("00.count_active")
def in_a_list(n_experts, top_k, expert, router):
    return sum([router, *[expert] * top_k])


@right("00.rule")
def median(part):
    return np.median(part) < 0.5


@right("00.rule")
def by_hand(part):
    return bool(sum(part) / len(part) < 1 / 2)


@right("00.rule")
def by_an_interval(part):
    t = {3: 4.30, 5: 2.78}[len(part)]
    return part.mean() + t * part.std(ddof=1) / len(part) ** 0.5 < 0.5


@wrong("00.rule", "It returns True where all are a little more than half")
def too_kind(part):
    return part.mean() < 0.9
