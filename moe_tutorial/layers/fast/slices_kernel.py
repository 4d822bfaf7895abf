"""A mixture's experts compiled around BLAS, or loops of our own: sorted by expert, an expert's tokens are a slice.

Between the products are many small passes: gather, add a bias, activate, weigh, add up. Here they run over some hundred
tokens at a time, which stay in the cache from one product to the next. Stacks in bfloat16 are read and written as such,
and widened on the way, for BLAS an expert's matrix at a time; all that is computed is float32.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numba import carray
from torch import Tensor

from . import lending
from .activations import ACTIVATIONS, gelu, gelu_slope, relu, relu_slope, silu, silu_slope
from .blas import find_sgemm, multiply, own_loops
from .blocks import ROWS, add, adds, copy, dot, narrow, outer, widen
from .kernels import addresses, floats_at, halves_at, integers_at, kernel, run
from .mixture_kernel import FEW, biases, fire, of_choices, read, refuse, rows_for, sort_choices, write

LINE = lending.LINE
BLOCK = 2**17  # neurons at a time: half a megabyte


@kernel()
def floats(address, n, m):
    return carray(floats_at(address), (n, m))


@kernel()
def halves(address, n, m):
    return carray(halves_at(address), (n, m))


@kernel()
def lines_for(n, m):
    """The lines of the cache that an array (n, m) fills."""
    return (4 * n * m + LINE - 1) // LINE


@kernel()
def block_for(T, k, h):
    return max(ROWS, min(max(16, BLOCK // h // ROWS * ROWS), (T * k + ROWS - 1) // ROWS * ROWS))


@kernel()
def take(room, n, m):
    """An array (n, m) where the room begins, and where what is left of it begins."""
    return floats(room, n, m), room + LINE * lines_for(n, m)


@kernel()
def kept_at(kept, S, E, h, o, gated):
    """What the way back wants to have, at this address: the choices in the order of their experts (S,), where each
    expert's begin (E + 1,), and in that order value (S, h), gates (S, h) and said (S, o), with room for fours."""
    rows = S + ROWS
    order, kept = integers_at(kept), kept + LINE * lines_for(S, 2)
    start, kept = integers_at(kept), kept + LINE * lines_for(E + 1, 2)
    value, kept = take(kept, rows, h)
    gates, kept = take(kept, rows * gated, h)
    return carray(order, S), carray(start, E + 1), value, gates, floats(kept, rows, o)


@kernel()
def matrix(half, stack, e, n, m, room):
    """Expert e's matrix (n, m) of the stack at this address; what is bfloat16 is widened into the room at that one."""
    if not half:
        return floats(stack + 4 * e * n * m, n, m)
    widen(halves(stack + 2 * e * n * m, 1, n * m)[0], floats(room, 1, n * m)[0])
    return floats(room, n, m)


@kernel()
def gradient(half, stack, e, n, m, room):
    """Where the gradient by an expert's matrix is added up, until ``put`` puts it in its place."""
    return room if half else floats(stack + 4 * e * n * m, n, m)


@kernel()
def ask(sgemm, settings, loops, half, x, stack, e, m, d, room, n, y):
    """y (n, m) = x (n, d) times expert e's matrix (m, d) of the stack transposed, with room for ``rows_for(n)``: by our
    own loops, or by BLAS."""
    if not loops:
        multiply(sgemm, settings, x[:n], False, matrix(half, stack, e, m, d, room), True, y[:n], False)
    elif half:
        read(x, halves(stack + 2 * e * m * d, m, d), n, y)
    else:
        read(x, floats(stack + 4 * e * m * d, m, d), n, y)


@kernel()
def say(sgemm, settings, loops, half, x, stack, e, m, o, room, n, y, more):
    """y (n, o) = x (n, m) times expert e's matrix (m, o), or that added to y, with the same room."""
    if not loops or n < FEW:
        multiply(sgemm, settings, x[:n], False, matrix(half, stack, e, m, o, room), False, y[:n], more)
        return
    if not more:
        y[: rows_for(n)] = 0
    if half:
        write(x, halves(stack + 2 * e * m * o, m, o), n, y)
    else:
        write(x, floats(stack + 4 * e * m * o, m, o), n, y)


@kernel()
def give(sgemm, settings, loops, left, right, n, to, more):
    """The gradient by a matrix (m, o), or that added to it: left (n, m) transposed times right (n, o), a sum over the
    rows. After n rows, both have rows of zeros up to the next four."""
    if loops and n <= ROWS and not more:
        outer(left[:n], right[:n], to)
    elif loops:
        fours = (n + ROWS - 1) // ROWS * ROWS
        give_fours(left[:fours], right[:fours], to, more)
    else:
        multiply(sgemm, settings, left[:n], True, right[:n], False, to, more)


@kernel()
def give_fours(left, right, to, more):
    n, m, columns = len(left), len(to), left.T
    for j in range(0, m - m % ROWS, ROWS):
        if not more:
            to[j : j + ROWS] = 0
        for r in range(0, n - n % ROWS, ROWS):  # as in ``write_fours``
            adds(to, columns, j, right, r)
    for j in range(m - m % ROWS, m):
        if not more:
            to[j] = 0
        for r in range(n):
            add(to[j], left[r, j], right[r])


@kernel()
def clear(rows, n):
    """Zeros after n rows, up to the next four."""
    for r in range(n, (n + ROWS - 1) // ROWS * ROWS):
        rows[r] = 0


@kernel()
def put(half, stack, e, found):
    if half:
        narrow(found.ravel(), halves(stack + 2 * e * found.size, 1, found.size)[0])


@kernel()
def gather(rows, order, k, found):
    for r in range(len(order)):
        copy(rows[order[r] // k], found[r])


@kernel(inline="always")
def each_back(activation, slope, gated, value, gates, by_neurons, neurons, by_value, by_gates):
    for i in range(len(value)):
        v, by = value[i], by_neurons[i]
        if gated:
            act = activation(gates[i])
            neurons[i], by_value[i], by_gates[i] = act * v, act * by, v * by * slope(gates[i])
        else:
            neurons[i], by_value[i] = activation(v), by * slope(v)


@kernel()
def fire_back(kind, gated, value, gates, by_neurons, neurons, by_value, by_gates):
    """The neurons once more, and the gradients by value and by gates."""
    if kind == 0:
        each_back(relu, relu_slope, gated, value, gates, by_neurons, neurons, by_value, by_gates)
    elif kind == 1:
        each_back(gelu, gelu_slope, gated, value, gates, by_neurons, neurons, by_value, by_gates)
    else:
        each_back(silu, silu_slope, gated, value, gates, by_neurons, neurons, by_value, by_gates)


@kernel()
def answer(
    sgemm, loops, kind, half, gated, biased, keep, T, k, E, d, h, o, x, indices, weights, y,
    w_in, b_in, w_gate, b_gate, w_out, b_out, room, kept,
):  # fmt: skip
    """y (T, o), and what is kept."""
    x, indices, weights, y = of_choices(T, k, d, o, x, indices, weights, y)
    b_in, b_gate, b_out = floats(b_in, E, h), floats(b_gate, E, h), floats(b_out, E, o)
    choices, begins, right = sort_choices(indices, E)
    if not right:
        return False
    S, block, settings = T * k, block_for(T, k, h), np.empty(10, np.int64)
    tokens, room = take(room, block, d)
    neurons, room = take(room, block, h)
    own, room = room, room + LINE * lines_for(h * half, max(d, o))
    if keep:
        order, start, values, all_gates, all_said = kept_at(kept, S, E, h, o, gated)
        order[:], start[:] = choices, begins
    else:
        values, room = take(room, block, h)
        all_gates, room = take(room, block * gated, h)
        all_said, room = take(room, block, o)
    y[:] = 0
    for e in range(E):
        if begins[e] == begins[e + 1]:
            continue
        for at in range(begins[e], begins[e + 1], block):
            n = min(block, begins[e + 1] - at)
            chosen, place = choices[at : at + n], at if keep else 0
            value, said = values[place : place + n], all_said[place : place + n]
            gather(x, chosen, k, tokens)
            ask(sgemm, settings, loops, half, tokens, w_in, e, h, d, own, n, values[place:])
            if biased:
                biases(b_in[e], n, value)
            gates = value
            if gated:
                gates = all_gates[place : place + n]
                ask(sgemm, settings, loops, half, tokens, w_gate, e, h, d, own, n, all_gates[place:])
                if biased:
                    biases(b_gate[e], n, gates)
            fire(kind, gated, value.ravel(), gates.ravel(), neurons[:n].ravel())
            say(sgemm, settings, loops, half, neurons, w_out, e, h, o, own, n, all_said[place:], False)
            if biased:
                biases(b_out[e], n, said)
            for r in range(n):
                add(y[chosen[r] // k], weights[chosen[r]], said[r])
    return True


@kernel()
def learn(
    sgemm, loops, kind, half, gated, biased, by_tokens_too, T, k, E, d, h, o, x, weights, by_y,
    w_in, w_gate, w_out, room, kept, by_x, by_weights,
    by_w_in, by_b_in, by_w_gate, by_b_gate, by_w_out, by_b_out,
):  # fmt: skip
    """The gradients. Those of an expert without a token are zero, and not missing: for Adam the two differ."""
    S, block, settings = T * k, block_for(T, k, h), np.empty(10, np.int64)
    x, weights, by_y = floats(x, T, d), carray(floats_at(weights), S), floats(by_y, T, o)
    order, start, values, all_gates, all_said = kept_at(kept, S, E, h, o, gated)
    by_x, by_weights = floats(by_x, T, d), carray(floats_at(by_weights), S)
    by_b_in, by_b_gate, by_b_out = floats(by_b_in, E, h), floats(by_b_gate, E, h), floats(by_b_out, E, o)
    tokens, room = take(room, block, d)
    by_tokens, room = take(room, block, d)
    back, room = take(room, block, o)
    by_neurons, room = take(room, block, h)
    neurons, room = take(room, block, h)
    by_values, room = take(room, block, h)
    all_by_gates, room = take(room, block * gated, h)
    own, room = room, room + LINE * lines_for(h * half, max(d, o))
    by_in, room = take(room, h * half, d)
    by_gate, room = take(room, h * (half and gated), d)
    by_out, room = take(room, h * half, o)
    if by_tokens_too:
        by_x[:] = 0
    for e in range(E):
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
            chosen, value, by_value, by_gates = order[at : at + n], values[at : at + n], by_values[:n], all_by_gates[:n]
            some_gates = all_gates[at : at + n] if gated else value
            gather(x, chosen, k, tokens)
            clear(tokens, n)
            clear(back, n)
            for r in range(n):
                row, weight = by_y[chosen[r] // k], weights[chosen[r]]
                by_weights[chosen[r]] = dot(all_said[at + r], row)
                for i in range(o):
                    back[r, i] = weight * row[i]
            ask(sgemm, settings, loops, half, back, w_out, e, h, o, own, n, by_neurons)
            fire_back(
                kind, gated, value.ravel(), some_gates.ravel(), by_neurons[:n].ravel(),
                neurons[:n].ravel(), by_value.ravel(), by_gates.ravel(),
            )  # fmt: skip
            clear(neurons, n)
            clear(by_values, n)
            give(sgemm, settings, loops, neurons, back, n, to_out, more)
            give(sgemm, settings, loops, by_values, tokens, n, to_in, more)
            if gated:
                clear(all_by_gates, n)
                give(sgemm, settings, loops, all_by_gates, tokens, n, to_gate, more)
            if biased:
                for r in range(n):
                    add(by_b_out[e], np.float32(1), back[r])
                    add(by_b_in[e], np.float32(1), by_value[r])
                    if gated:
                        add(by_b_gate[e], np.float32(1), by_gates[r])
            if by_tokens_too:
                say(sgemm, settings, loops, half, by_values, w_in, e, h, d, own, n, by_tokens, False)
                if gated:
                    say(sgemm, settings, loops, half, all_by_gates, w_gate, e, h, d, own, n, by_tokens, True)
                for r in range(n):
                    add(by_x[chosen[r] // k], np.float32(1), by_tokens[r])
        put(half, by_w_in, e, to_in)
        put(half, by_w_out, e, to_out)
        if gated:
            put(half, by_w_gate, e, to_gate)


@lru_cache
def lines_kept(S: int, E: int, h: int, o: int, gated: bool) -> int:
    """How many lines of the cache ``kept_at`` divides."""
    rows = S + ROWS
    return lines((S, 2), (E + 1, 2), (rows, h), (rows * gated, h), (rows, o))


@lru_cache
def lines_of_room(way: str, T: int, k: int, d: int, h: int, o: int, half: bool, gated: bool) -> int:
    """How many lines of the cache are needed besides: to ``answer``, with what is kept or without, and to ``learn``."""
    block, wide = block_for.py_func(T, k, h), h * half
    widened = wide, max(d, o)
    if way == "learn":
        found = (wide, d), (wide * gated, d), (wide, o)
        return lines(*[(block, d)] * 2, (block, o), *[(block, h)] * 3, (block * gated, h), widened, *found)
    beside = [] if way == "keep" else [(block, h), (block * gated, h), (block, o)]
    return lines((block, d), (block, h), widened, *beside)


def lines(*sizes: tuple[int, int]) -> int:
    return sum(lines_for.py_func(*size) for size in sizes)


def memory(owner: Tensor, lines: int) -> Tensor:
    return lending.empty(owner, (lines, LINE // 4), torch.float32)


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
    y, way = x.new_empty(T, o), "keep" if keep else "answer"
    room = memory(w_in, lines_of_room(way, T, k, d, h, o, half, gated))
    if keep:
        kept = [memory(w_in, lines_kept(T * k, E, h, o, gated))]
    arrays = x, indices, scale, y, w_in, b_in, w_gate, b_gate, w_out, b_out, room, *(kept or [None])
    right = run(
        answer, 1, find_sgemm(), own_loops(), ACTIVATIONS.index(activation), half, gated, biased, keep,
        T, k, E, d, h, o, *addresses(arrays),
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
    room = memory(w_in, lines_of_room("learn", T, k, d, h, o, half, gated))
    run(
        learn, 1, find_sgemm(), own_loops(), ACTIVATIONS.index(activation), half, gated, biased, by_tokens_too,
        T, k, E, d, h, o, *addresses((x, scale, by_y, w_in, w_gate, w_out, room, *kept, by_x, by_scale, *found)),
    )  # fmt: skip
    for by, own in zip(by_experts, found, strict=True):
        if by is not own:
            by.copy_(own)
    return None if by_x is None else by_x.to(tokens.dtype), by_scale.to(weights.dtype)
