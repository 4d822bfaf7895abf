"""Answers to lesson 11's exercises in other styles."""

import numpy as np
import torch
from answers import right, wrong


@right("11.crossing")
def by_an_experts_own(n_experts, top_k, flop_per_byte, bytes_a_weight):
    of_one_expert = flop_per_byte * bytes_a_weight / 2
    part = top_k / n_experts
    return of_one_expert / part


@right("11.crossing")
def from_two_times(n_experts, top_k, flop_per_byte, bytes_a_weight):
    reading = n_experts * bytes_a_weight  # in units of the time of a byte, a weight of each expert
    computing = 2 * top_k / flop_per_byte  # for each token
    return reading / computing


@right("11.crossing")
def as_a_tensor(n_experts, top_k, flop_per_byte, bytes_a_weight):
    return torch.tensor([n_experts, 1 / top_k, flop_per_byte, bytes_a_weight, 0.5]).prod()


@right("11.kept")
def by_loop(indices, n_experts, room):
    left, fits = [room] * n_experts, torch.zeros_like(indices, dtype=torch.bool)
    for token, experts in enumerate(indices.tolist()):
        for choice, expert in enumerate(experts):
            fits[token, choice] = left[expert] > 0
            left[expert] -= 1
    return fits


@right("11.kept")
def by_one_hot(indices, n_experts, room):
    hot = torch.nn.functional.one_hot(indices.reshape(-1), n_experts)
    before = (hot.cumsum(0) - hot).gather(1, indices.reshape(-1, 1))
    return (before < room).reshape(indices.shape)


@right("11.kept")
def expert_by_expert(indices, n_experts, room):
    flat, fits = indices.flatten(), torch.zeros(indices.numel(), dtype=torch.bool)
    for expert in range(n_experts):
        fits[(flat == expert).nonzero().flatten()[:room]] = True
    return fits.reshape(indices.shape)


@wrong("11.kept", "column by column")
def first_choices_first(indices, n_experts, room):
    fits = torch.zeros_like(indices, dtype=torch.bool)
    left = [room] * n_experts
    for choice in range(indices.shape[1]):
        for token in range(len(indices)):
            fits[token, choice] = left[indices[token, choice]] > 0
            left[indices[token, choice]] -= 1
    return fits


@right("11.price")
def with_one_more_where_some_are_left(rate, most, gpus):
    replicas = int(rate // most) + (rate % most > 0)
    return replicas / rate * gpus


@right("11.price")
def by_numpy(rate, most, gpus):
    return np.ceil(rate / most) * gpus / rate


@right("11.price")
def one_replica_after_the_other(rate, most, gpus):
    rented = 0
    while rented * most < rate:
        rented += 1
    return rented * gpus / rate


@right("11.place")
def in_python(load, machines):
    room = len(load) // machines
    held = [[] for _ in range(machines)]
    owner = [0] * len(load)
    for expert in sorted(range(len(load)), key=lambda e: -load[e]):
        free = [m for m in range(machines) if len(held[m]) < room]
        best = min(free, key=lambda m: sum(held[m]))
        held[best].append(float(load[expert]))
        owner[expert] = best
    return torch.tensor(owner)


@right("11.place")
def with_full_machines_at_infinity(load, machines):
    owner = torch.full((len(load),), -1)
    total = torch.zeros(machines)
    for expert in torch.argsort(-load):
        best = int(total.argmin())
        owner[expert] = best
        total[best] += load[expert]
        if (owner == best).sum() == len(load) // machines:
            total[best] = float("inf")
    return owner


@right("11.place")
def by_masks(load, machines):
    _, experts = load.sort(descending=True)
    owner = torch.full_like(experts, machines)
    for expert in experts.tolist():
        work = [load[owner == m].sum().item() for m in range(machines)]
        full = [int((owner == m).sum()) >= len(load) // machines for m in range(machines)]
        owner[expert] = min((full[m], work[m], m) for m in range(machines))[2]
    return owner


@right("11.dispatch")
def by_sorted(indices, n_experts):
    experts = [int(e) for row in indices for e in row]
    order = sorted(range(len(experts)), key=experts.__getitem__)
    return torch.tensor(order), torch.tensor([experts.count(e) for e in range(n_experts)])


@right("11.dispatch")
def expert_after_expert(indices, n_experts):
    flat = indices.reshape(-1)
    own = [(flat == expert).nonzero()[:, 0] for expert in range(n_experts)]
    return torch.cat(own), torch.tensor([len(each) for each in own])


@right("11.dispatch")
def by_one_number_for_both(indices, n_experts):
    flat = indices.reshape(-1)
    order = (flat * len(flat) + torch.arange(len(flat))).sort().indices
    return order, torch.nn.functional.one_hot(flat, n_experts).sum(0)


@wrong("11.dispatch", "where each choice goes")
def the_place_of_each(indices, n_experts):
    flat = indices.reshape(-1)
    place = torch.empty_like(flat)
    place[flat.argsort(stable=True)] = torch.arange(len(flat))
    return place, flat.bincount(minlength=n_experts)
