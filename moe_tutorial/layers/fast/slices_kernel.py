"""A mixture's experts compiled around BLAS: sorted by expert, an expert's tokens are a slice.

Between the products are many small passes: gather, add a bias, activate, weigh, add up. Here they run over some hundred
tokens at a time, which stay in the cache from one product to the next. Stacks in bfloat16 are read and written as such,
and an expert's matrix at a time is widened; all that is computed is float32.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numba import carray
from torch import Tensor

from . import lending
from .blas import find_sgemm, multiply
from .blocks import ACTIVATIONS, activate, add, dot, narrow, slope, widen
from .kernels import addresses, floats_at, halves_at, integers_at, kernel, run
from .mixture_kernel import biases, fire, of_choices, refuse, sort_choices

BLOCK = 2**17  # neurons at a time: half a megabyte


@kernel()
def floats(address, n, m):
    return carray(floats_at(address), (n, m))


@kernel()
def halves(address, n):
    return carray(halves_at(address), n)


@kernel()
def block_for(T, k, h):
    return max(1, min(max(16, BLOCK // h), T * k))


@kernel()
def room_for(half, n, m):
    return np.empty((n, m) if half else (0, 0), np.float32)


@kernel()
def matrix(half, stack, e, n, m, room):
    """Expert e's matrix (n, m) of the stack at this address; what is bfloat16 is widened into the room."""
    if not half:
        return floats(stack + 4 * e * n * m, n, m)
    widen(halves(stack + 2 * e * n * m, n * m), room.ravel())
    return room


@kernel()
def gradient(half, stack, e, n, m, room):
    """Where the gradient by an expert's matrix is added up, until ``put`` puts it in its place."""
    return room if half else floats(stack + 4 * e * n * m, n, m)


@kernel()
def put(half, stack, e, found):
    if half:
        narrow(found.ravel(), halves(stack + 2 * e * found.size, found.size))


@kernel()
def gather(rows, order, k, found):
    for r in range(len(order)):
        found[r] = rows[order[r] // k]


@kernel(inline="always")
def each_back(kind, gated, value, gates, by_neurons, neurons, by_value, by_gates):
    for i in range(len(value)):
        v, by = value[i], by_neurons[i]
        if gated:
            act = activate(gates[i], kind)
            neurons[i], by_value[i], by_gates[i] = act * v, act * by, v * by * slope(gates[i], kind)
        else:
            neurons[i], by_value[i] = activate(v, kind), by * slope(v, kind)


@kernel()
def fire_back(kind, gated, value, gates, by_neurons, neurons, by_value, by_gates):
    """The neurons once more, and the gradients by value and by gates."""
    if kind == 0:
        each_back(0, gated, value, gates, by_neurons, neurons, by_value, by_gates)
    elif kind == 1:
        each_back(1, gated, value, gates, by_neurons, neurons, by_value, by_gates)
    else:
        each_back(2, gated, value, gates, by_neurons, neurons, by_value, by_gates)


@kernel()
def answer(
    sgemm, kind, half, gated, biased, keep, T, k, E, d, h, o, x, indices, weights, y,
    w_in, b_in, w_gate, b_gate, w_out, b_out, order, start, value, gates, said,
):  # fmt: skip
    """y (T, o). Kept for the way back, in the choices' new order: value (S, h), gates (S, h), said (S, o)."""
    x, indices, weights, y = of_choices(T, k, d, o, x, indices, weights, y)
    b_in, b_gate, b_out = floats(b_in, E, h), floats(b_gate, E, h), floats(b_out, E, o)
    choices, begins, right = sort_choices(indices, E)
    if not right:
        return False
    S, block, settings = T * k, block_for(T, k, h), np.empty(10, np.int64)
    tokens, neurons = np.empty((block, d), np.float32), np.empty((block, h), np.float32)
    own_in, own_gate, own_out = room_for(half, h, d), room_for(half and gated, h, d), room_for(half, h, o)
    if keep:
        carray(integers_at(order), S)[:], carray(integers_at(start), E + 1)[:] = choices, begins
        values, all_gates, all_said = floats(value, S, h), floats(gates, S, h), floats(said, S, o)
    else:
        values, all_said = np.empty((block, h), np.float32), np.empty((block, o), np.float32)
        all_gates = np.empty((block if gated else 0, h), np.float32)
    y[:] = 0
    for e in range(E):
        if begins[e] == begins[e + 1]:
            continue
        into, out, gate = matrix(half, w_in, e, h, d, own_in), matrix(half, w_out, e, h, o, own_out), own_gate
        if gated:
            gate = matrix(half, w_gate, e, h, d, own_gate)
        for at in range(begins[e], begins[e + 1], block):
            n = min(block, begins[e + 1] - at)
            own, place = choices[at : at + n], at if keep else 0
            value, said = values[place : place + n], all_said[place : place + n]
            gather(x, own, k, tokens)
            multiply(sgemm, settings, tokens[:n], False, into, True, value, False)
            if biased:
                biases(b_in[e], n, value)
            gates = value
            if gated:
                gates = all_gates[place : place + n]
                multiply(sgemm, settings, tokens[:n], False, gate, True, gates, False)
                if biased:
                    biases(b_gate[e], n, gates)
            fire(kind, gated, value.ravel(), gates.ravel(), neurons[:n].ravel())
            multiply(sgemm, settings, neurons[:n], False, out, False, said, False)
            if biased:
                biases(b_out[e], n, said)
            for r in range(n):
                add(y[own[r] // k], weights[own[r]], said[r])
    return True


@kernel()
def learn(
    sgemm, kind, half, gated, biased, by_tokens_too, T, k, E, d, h, o, x, weights, by_y,
    w_in, w_gate, w_out, order, start, value, gates, said, by_x, by_weights,
    by_w_in, by_b_in, by_w_gate, by_b_gate, by_w_out, by_b_out,
):  # fmt: skip
    """The gradients. Those of an expert without a token are zero, and not missing: for Adam the two differ."""
    S, block, settings = T * k, block_for(T, k, h), np.empty(10, np.int64)
    x, weights, by_y = floats(x, T, d), carray(floats_at(weights), S), floats(by_y, T, o)
    order, start = carray(integers_at(order), S), carray(integers_at(start), E + 1)
    values, all_gates, all_said = floats(value, S, h), floats(gates, S, h), floats(said, S, o)
    by_x, by_weights = floats(by_x, T, d), carray(floats_at(by_weights), S)
    by_b_in, by_b_gate, by_b_out = floats(by_b_in, E, h), floats(by_b_gate, E, h), floats(by_b_out, E, o)
    tokens, by_tokens = np.empty((block, d), np.float32), np.empty((block, d), np.float32)
    back, by_neurons = np.empty((block, o), np.float32), np.empty((block, h), np.float32)
    neurons, by_values = np.empty((block, h), np.float32), np.empty((block, h), np.float32)
    all_by_gates = np.empty((block if gated else 0, h), np.float32)
    own_in, own_gate, own_out = room_for(half, h, d), room_for(half and gated, h, d), room_for(half, h, o)
    by_in, by_gate, by_out = room_for(half, h, d), room_for(half and gated, h, d), room_for(half, h, o)
    if by_tokens_too:
        by_x[:] = 0
    for e in range(E):
        into, out, gate = own_in, own_out, own_gate
        if start[e] < start[e + 1]:
            out = matrix(half, w_out, e, h, o, own_out)
            if by_tokens_too:
                into = matrix(half, w_in, e, h, d, own_in)
                if gated:
                    gate = matrix(half, w_gate, e, h, d, own_gate)
        to_in, to_out = gradient(half, by_w_in, e, h, d, by_in), gradient(half, by_w_out, e, h, o, by_out)
        to_gate = gradient(half, by_w_gate, e, h, d, by_gate) if gated else by_gate
        if start[e] == start[e + 1]:
            to_in[:], to_out[:], to_gate[:] = 0, 0, 0
        if biased:
            by_b_in[e], by_b_out[e] = 0, 0
            if gated:
                by_b_gate[e] = 0
        for at in range(start[e], start[e + 1], block):
            n, more = min(block, start[e + 1] - at), at > start[e]
            own, value, by_value, by_gates = order[at : at + n], values[at : at + n], by_values[:n], all_by_gates[:n]
            some_gates = all_gates[at : at + n] if gated else value
            gather(x, own, k, tokens)
            for r in range(n):
                row, weight = by_y[own[r] // k], weights[own[r]]
                by_weights[own[r]] = dot(all_said[at + r], row)
                for i in range(o):
                    back[r, i] = weight * row[i]
            multiply(sgemm, settings, back[:n], False, out, True, by_neurons[:n], False)
            fire_back(
                kind, gated, value.ravel(), some_gates.ravel(), by_neurons[:n].ravel(),
                neurons[:n].ravel(), by_value.ravel(), by_gates.ravel(),
            )  # fmt: skip
            multiply(sgemm, settings, neurons[:n], True, back[:n], False, to_out, more)
            multiply(sgemm, settings, by_value, True, tokens[:n], False, to_in, more)
            if gated:
                multiply(sgemm, settings, by_gates, True, tokens[:n], False, to_gate, more)
            if biased:
                for r in range(n):
                    add(by_b_out[e], np.float32(1), back[r])
                    add(by_b_in[e], np.float32(1), by_value[r])
                    if gated:
                        add(by_b_gate[e], np.float32(1), by_gates[r])
            if by_tokens_too:
                multiply(sgemm, settings, by_value, False, into, False, by_tokens[:n], False)
                if gated:
                    multiply(sgemm, settings, by_gates, False, gate, False, by_tokens[:n], True)
                for r in range(n):
                    add(by_x[own[r] // k], np.float32(1), by_tokens[r])
        put(half, by_w_in, e, to_in)
        put(half, by_w_out, e, to_out)
        if gated:
            put(half, by_w_gate, e, to_gate)


def forward(
    tokens: Tensor, indices: Tensor, weights: Tensor, experts: Sequence[Tensor | None], activation: str, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    """As ``mixture_kernel.forward``, in float32 or bfloat16; and, if asked, what ``backward`` wants to have."""
    (T, k), (E, h, d), o = indices.shape, experts[0].shape, experts[4].shape[2]
    w_in, b_in, w_gate, b_gate, w_out, b_out = experts
    half, gated, biased = w_in.dtype is torch.bfloat16, w_gate is not None, b_in is not None
    x, scale, kept = tokens, weights, []
    if half:  # what is small goes to the kernel in float32
        x, scale = x.float(), scale.float()
        b_in, b_gate, b_out = (None if b is None else b.float() for b in (b_in, b_gate, b_out))
    y = x.new_empty(T, o)
    if keep:
        kept = [indices.new_empty(T * k), indices.new_empty(E + 1)]
        sizes = (T * k, h), (T * k if gated else 0, h), (T * k, o)
        kept += [lending.empty(w_in, size, x.dtype) for size in sizes]
    arrays = x, indices, scale, y, w_in, b_in, w_gate, b_gate, w_out, b_out, *(kept or [None] * 5)
    right = run(
        answer, 1, find_sgemm(), ACTIVATIONS.index(activation), half, gated, biased, keep, T, k, E, d, h, o,
        *addresses(arrays),
    )  # fmt: skip
    if not right:
        refuse(indices, E)
    return y.to(tokens.dtype), kept


def backward(
    tokens: Tensor,
    indices: Tensor,
    weights: Tensor,
    by_y: Tensor,
    experts: Sequence[Tensor | None],
    activation: str,
    by_experts: Sequence[Tensor | None],
    by_tokens_too: bool,
    kept: list[Tensor],
) -> tuple[Tensor | None, Tensor]:
    """The gradients by tokens (T, d) and by weights (T, k); those by experts are written where ``by_experts`` are."""
    (T, k), (E, h, d), o = indices.shape, experts[0].shape, experts[4].shape[2]
    w_in, b_in, w_gate, _, w_out, _ = experts
    x, scale, by_y = tokens.float(), weights.float(), by_y.float()
    by_x, by_scale = torch.empty_like(x) if by_tokens_too else None, torch.empty_like(scale)
    # Of biases, too, what is added up is float32.
    found = [
        by if by is None or by.dim() > 2 or by.dtype is x.dtype else torch.empty_like(by, dtype=x.dtype)
        for by in by_experts
    ]
    half, gated, biased = w_in.dtype is torch.bfloat16, w_gate is not None, b_in is not None
    run(
        learn, 1, find_sgemm(), ACTIVATIONS.index(activation), half, gated, biased, by_tokens_too, T, k, E, d, h, o,
        *addresses((x, scale, by_y, w_in, w_gate, w_out, *kept, by_x, by_scale, *found)),
    )  # fmt: skip
    for by, own in zip(by_experts, found, strict=True):
        if by is not own:
            by.copy_(own)
    return None if by_x is None else by_x.to(tokens.dtype), by_scale.to(weights.dtype)
