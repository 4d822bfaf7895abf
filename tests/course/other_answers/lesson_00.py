"""Answers to lesson 00's exercises: what a learner may write."""

import numpy as np
from answers import right, wrong

# ── count_total ──


@wrong("00.count_total", "The router is missing")
def experts_alone(n_experts, expert, router):
    return n_experts * expert


@wrong("00.count_total", "one expert and the router")
def the_first(n_experts, expert, router):
    return expert + router


@wrong("00.count_total", "The router is counted for each")
def router_for_each(n_experts, expert, router):
    return n_experts * (expert + router)


@wrong("00.count_total", "times the router's")
def product(n_experts, expert, router):
    return n_experts * expert * router


@wrong("00.count_total", "You add the number of experts")
def added(n_experts, expert, router):
    return n_experts + expert + router


@right("00.count_total")
def summed(n_experts, expert, router):
    return sum([expert] * n_experts, router)


@right("00.count_total")
def counted_one_by_one(n_experts, expert, router):
    total = router
    for _ in range(n_experts):
        total += expert
    return total


# ── count_active ──


@wrong("00.count_active", "The router is missing")
def router_forgotten(n_experts, top_k, expert, router):
    return top_k * expert


@wrong("00.count_active", "k / E of the total")
def part_of_the_total(n_experts, top_k, expert, router):
    total = n_experts * expert + router
    return total * top_k / n_experts


@wrong("00.count_active", "all parameters, the total")
def everything(n_experts, top_k, expert, router):
    return n_experts * expert + router


@wrong("00.count_active", "one expert and the router")
def one_expert(n_experts, top_k, expert, router):
    return expert + router


@wrong("00.count_active", "The router is counted for each")
def router_twice(n_experts, top_k, expert, router):
    return top_k * (expert + router)


@wrong("00.count_active", "k / E of the total")
def rounded_part(n_experts, top_k, expert, router):
    return (n_experts * expert + router) * top_k // n_experts


@wrong("00.count_active", "a part of the total. How many")
def as_a_part(n_experts, top_k, expert, router):
    return (top_k * expert + router) / (n_experts * expert + router)


@right("00.count_active")
def added_up(n_experts, top_k, expert, router):
    active = router
    for _ in range(top_k):
        active += expert
    return active


@right("00.count_active")
def taken_away(n_experts, top_k, expert, router):
    return float(n_experts * expert + router) - (n_experts - top_k) * expert


# ── rule ──


@wrong("00.rule", "says yes to everything, and so to the control")
def always(part):
    return True


@wrong("00.rule", "says yes to everything, and so to the control")
def control_passes_too(part):
    return part.mean() <= 1


@wrong("00.rule", "says True to a little more than half")
def too_kind(part):
    return part.mean() < 0.9


@wrong("00.rule", "says False to a little less than half")
def too_strict(part):
    return part.mean() < 0.3


@wrong("00.rule", "The control passes, too")
def not_between(part):
    return abs(part.mean() - 0.5) > 0.005 and not 0.5 < part.mean() < 0.9


@wrong("00.rule", "One seed is not enough")
def smallest(part):
    return part.min() < 0.5


@wrong("00.rule", "One seed is not enough")
def last_seed(part):
    return part[-1] < 0.5


@wrong("00.rule", "says True to exactly half")
def half_passes(part):
    return part.mean() <= 0.5


@wrong("00.rule", "says False to five seeds, all below half")
def divided_by_three(part):
    return sum(part) / 3 < 0.5


@wrong("00.rule", "before .all(), not after")
def compared_too_late(part):
    return part.all() < 0.5


@wrong("00.rule", "part is another one afterwards")
def sorted_in_place(part):
    part.sort()
    return part[len(part) // 2] < 0.5


@wrong("00.rule", "wrong way round")
def wrong_way_round(part):
    return part.mean() > 0.5


@wrong("00.rule", "no to everything")
def never(part):
    return bool((part > 1).all())


@wrong("00.rule", "yes or no several times")
def each_for_itself(part):
    return part < 0.5


@right("00.rule")
def in_each_seed(part):
    return (part < 0.5).all()


@right("00.rule")
def median(part):
    return np.median(part) < 0.5


@right("00.rule")
def by_hand(part):
    return bool(sum(part) / len(part) < 1 / 2)


@right("00.rule")
def largest(part):
    return max(part) < 0.5
