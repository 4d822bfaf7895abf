"""Answers to lesson 10's exercises: what a learner may write."""

from collections import OrderedDict

import torch
from answers import right, wrong


@right("10.distinct")
def in_two_steps(E, k, n):
    missed = ((E - k) / E) ** n
    return E - E * missed


@right("10.distinct")
def token_by_token(E, k, n):
    drawn = 0.0
    for _ in range(n):
        drawn = drawn + (E - drawn) * k / E
    return drawn


@right("10.distinct")
def with_torch(E, k, n):
    return E * (1 - torch.tensor(1 - k / E).pow(n))


@right("10.tokens_per_second")
def by_seconds(always, experts, E, k, n_bytes, bandwidth):
    seconds = (always * n_bytes + experts / E * k * n_bytes) / bandwidth
    return 1 / seconds


@right("10.tokens_per_second")
def what_rests_is_not_read(always, experts, E, k, n_bytes, bandwidth):
    resting = (E - k) * (experts / E)
    return bandwidth / n_bytes / (always + experts - resting)


@right("10.tokens_per_second")
def with_tensors(always, experts, E, k, n_bytes, bandwidth):
    weights = torch.tensor([float(always), experts * k / E])
    return bandwidth / (weights * n_bytes).sum()


@right("10.fetched")
def in_an_ordered_dict(stream, room):
    memory, n_fetched = OrderedDict(), 0
    for expert in stream:
        n_fetched += expert not in memory
        memory[expert] = True
        memory.move_to_end(expert)
        if len(memory) > room:
            memory.popitem(last=False)
    return n_fetched


@right("10.fetched")
def by_the_time_of_last_use(stream, room):
    last, n_fetched = {}, 0
    for time, expert in enumerate(stream):
        if expert not in last:
            n_fetched += 1
            if len(last) == room:
                del last[min(last, key=last.get)]
        last[expert] = time
    return n_fetched


@right("10.fetched")
def by_looking_back(stream, room):
    n_fetched = 0
    for time, expert in enumerate(stream):
        since = []
        for other in reversed(stream[:time]):
            if other not in since:
                since.append(other)
        n_fetched += expert not in since[:room]
    return n_fetched


@wrong("10.fetched", "keeps its old place")
def first_in_first_out(stream, room):
    memory, n_fetched = [], 0
    for expert in stream:
        if expert not in memory:
            n_fetched += 1
            memory.append(expert)
            if len(memory) > room:
                memory.pop(0)
    return n_fetched
