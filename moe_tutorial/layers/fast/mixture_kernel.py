"""A mixture's experts compiled for processors, for few tokens each: every weight in use is read once.

With few tokens an expert's matrix products wait for the memory that its weights come from, so they are one pass.
"""

from collections.abc import Sequence

import numpy as np
from numba import carray, prange
from torch import Tensor

from .activations import ACTIVATIONS, gelu, relu, silu
from .blocks import ROWS, add, adds, adds_of_one, copy, dot, dots, dots_of_one
from .kernels import addresses, floats_at, integers_at, kernel, run, threads_for

BLOCK = 32  # tokens of an expert at a time, so that they stay in the nearest cache
NEAR = 2**13  # numbers of a matrix at a time that all tokens ask for, so that they stay there, too
FEW = 3  # tokens from which on taking them in fours pays, the missing ones as zeros


@kernel()
def rows_for(n):
    """As how many tokens n tokens are taken."""
    return n if n < FEW else (n + ROWS - 1) // ROWS * ROWS


@kernel()
def read(x, w, n, neurons):
    """x (n, d), w (m, d) -> neurons (n, m), both with room for ``rows_for(n)``."""
    m = w.shape[0]
    fours = m - m % ROWS
    if n < FEW:
        for r in range(n):
            for j in range(0, fours, ROWS):
                dots_of_one(x, r, w, j, neurons)
    else:
        for j in range(0, fours, ROWS):
            for r in range(0, n, ROWS):
                dots(x, r, w, j, neurons)
    for j in range(fours, m):
        for r in range(n):
            neurons[r, j] = dot(x[r], w[j])


@kernel()
def write_fours(neurons, w, n, y):
    m = w.shape[0]
    for r in range(0, n, ROWS):
        for j in range(0, m - m % ROWS, ROWS):  # from 0, or else LLVM asks in each turn whether the arrays overlap
            adds(y, neurons, r, w, j)


@kernel()
def write(neurons, w, n, y):
    """neurons (n, m), w (m, d): their products, added to y (n, d), with the same room."""
    m = w.shape[0]
    fours = m - m % ROWS
    if n < FEW:
        for r in range(n):
            for j in range(0, fours, ROWS):
                adds_of_one(y, neurons, r, w, j, 1)
    else:
        near = max(ROWS, NEAR // w.shape[1] // ROWS * ROWS)
        for first in range(0, fours, near):
            write_fours(neurons[:, first : first + near], w[first : first + near], n, y)
    for j in range(fours, m):
        for r in range(n):
            add(y[r], neurons[r, j], w[j])


@kernel()
def biases(b, n, neurons):
    for r in range(n):
        for j in range(len(b)):
            neurons[r, j] += b[j]


@kernel(inline="always")
def each(activation, gated, value, gates, neurons):
    for i in range(len(value)):
        neurons[i] = activation(gates[i]) * value[i] if gated else activation(value[i])


@kernel()
def fire(kind, gated, value, gates, neurons):
    """The neurons, from what came before their activation.

    To become vector code, a loop must have no branch, so there is one for each kind; and what it writes must lie
    elsewhere than what it reads.
    """
    if kind == 0:
        each(relu, gated, value, gates, neurons)
    elif kind == 1:
        each(gelu, gated, value, gates, neurons)
    else:
        each(silu, gated, value, gates, neurons)


@kernel()
def sort_choices(indices, E):
    """The choices in the order of their experts, and where each expert's begin, (S,) and (E + 1,); and whether there
    are all these experts."""
    start = np.zeros(E + 1, np.int64)
    order = np.empty(len(indices), np.int64)
    for expert in indices:
        if not 0 <= expert < E:
            return order, start, False
        start[expert + 1] += 1
    for e in range(E):
        start[e + 1] += start[e]
    at = start.copy()
    for c in range(len(indices)):
        order[at[indices[c]]] = c
        at[indices[c]] += 1
    return order, start, True


@kernel()
def of_experts(E, d, h, o, w_in, b_in, w_gate, b_gate, w_out, b_out):
    """The six stacks at these addresses, in their shapes; those that are not there are never read."""
    return (
        carray(floats_at(w_in), (E, h, d)),
        carray(floats_at(b_in), (E, h)),
        carray(floats_at(w_gate), (E, h, d)),
        carray(floats_at(b_gate), (E, h)),
        carray(floats_at(w_out), (E, h, o)),
        carray(floats_at(b_out), (E, o)),
    )


@kernel()
def of_choices(T, k, d, o, x, indices, weights, y):
    return (
        carray(floats_at(x), (T, d)),
        carray(integers_at(indices), T * k),
        carray(floats_at(weights), T * k),
        carray(floats_at(y), (T, o)),
    )


@kernel()
def gather(x, order, k, n, rows):
    """The tokens of n choices, and zeros in the rows that are there for the fours."""
    for r in range(n):
        copy(x[order[r] // k], rows[r])
    for r in range(n, rows_for(n)):
        rows[r] = 0


@kernel()
def add_up(k, rows, y):
    """The choices' rows (T * k, o) added up per token: y (T, o)."""
    for t in range(y.shape[0]):
        copy(rows[t * k], y[t])
        for c in range(t * k + 1, t * k + k):
            add(y[t], np.float32(1), rows[c])


@kernel()
def part_of(part, parts, start):
    """The expert with which a part begins, so that all parts have about as many choices."""
    return 0 if part == 0 else np.searchsorted(start, part * start[-1] // parts) if part < parts else len(start) - 1


@kernel()
def answer_experts(kind, gated, biased, k, x, weights, stacks, order, start, answers, first, last):
    """What the experts from ``first`` up to ``last`` say, times its weight, in the choice's row of answers (S, o)."""
    w_in, b_in, w_gate, b_gate, w_out, b_out = stacks
    h, d = w_in.shape[1:]
    tokens, said = np.empty((BLOCK, d), np.float32), np.empty((BLOCK, w_out.shape[2]), np.float32)
    value, gates = np.empty((BLOCK, h), np.float32), np.empty((BLOCK, h), np.float32)
    neurons = np.zeros((BLOCK, h), np.float32)
    for e in range(first, last):
        for at in range(start[e], start[e + 1], BLOCK):
            n = min(BLOCK, start[e + 1] - at)
            gather(x, order[at : at + n], k, n, tokens)
            read(tokens, w_in[e], n, value)
            if biased:
                biases(b_in[e], n, value)
            if gated:
                read(tokens, w_gate[e], n, gates)
                if biased:
                    biases(b_gate[e], n, gates)
            for r in range(n):
                fire(kind, gated, value[r], gates[r], neurons[r])
            for r in range(rows_for(n)):
                if biased:
                    copy(b_out[e], said[r])
                else:
                    said[r] = 0
            write(neurons, w_out[e], n, said)
            for r in range(n):
                weight, row = weights[order[at + r]], answers[order[at + r]]
                for i in range(len(row)):
                    row[i] = weight * said[r, i]


@kernel()
def answer(
    kind, gated, biased, T, k, E, d, h, o, x, indices, weights, y, w_in, b_in, w_gate, b_gate, w_out, b_out
):  # fmt: skip
    x, indices, weights, y = of_choices(T, k, d, o, x, indices, weights, y)
    stacks = of_experts(E, d, h, o, w_in, b_in, w_gate, b_gate, w_out, b_out)
    order, start, right = sort_choices(indices, E)
    if right:
        answers = np.empty((T * k, o), np.float32)
        answer_experts(kind, gated, biased, k, x, weights, stacks, order, start, answers, 0, E)
        add_up(k, answers, y)
    return right


@kernel(parallel=True)
def answer_on_threads(
    kind, gated, biased, T, k, E, d, h, o, x, indices, weights, y, w_in, b_in, w_gate, b_gate, w_out, b_out
):  # fmt: skip
    x, indices, weights, y = of_choices(T, k, d, o, x, indices, weights, y)
    stacks = of_experts(E, d, h, o, w_in, b_in, w_gate, b_gate, w_out, b_out)
    order, start, right = sort_choices(indices, E)
    if right:
        answers = np.empty((T * k, o), np.float32)
        parts = min(E, T * k // 16 + 1)
        for part in prange(parts):
            first, last = part_of(part, parts, start), part_of(part + 1, parts, start)
            answer_experts(kind, gated, biased, k, x, weights, stacks, order, start, answers, first, last)
        add_up(k, answers, y)
    return right


def forward(
    tokens: Tensor, indices: Tensor, weights: Tensor, experts: Sequence[Tensor | None], activation: str, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    """What the chosen experts say, times its weight, added up: tokens (T, d), choices (T, k) -> (T, o).

    Nothing is kept, whatever ``keep`` says: the way back is another kernel's.

    Args:
        experts: ``w_in`` (E, h, d), ``b_in``, ``w_gate``, ``b_gate``, ``w_out`` (E, h, o), ``b_out`` of ``Experts``.
            All but the int64 indices are float32, on the processor, one row after the other (contiguous).

    ValueError for an expert that there is not.
    """
    (T, k), (E, h, d), o = indices.shape, experts[0].shape, experts[4].shape[2]
    y, kind, threads = tokens.new_empty(T, o), ACTIVATIONS.index(activation), threads_for(T * k)
    right = run(
        answer if threads == 1 else answer_on_threads, threads, kind, experts[2] is not None, experts[1] is not None,
        T, k, E, d, h, o, *addresses((tokens, indices, weights, y)), *addresses(experts),
    )  # fmt: skip
    if not right:
        refuse(indices, E)
    return y, []


def refuse(indices: Tensor, E: int) -> None:
    """Raise ValueError: among these choices is one of an expert that there is not."""
    wrong = next(e for e in indices.flatten().tolist() if not 0 <= e < E)
    raise ValueError(f"the router chose expert {wrong}, but there are only {E}")
