"""A mixture's experts compiled for processors, for few tokens each: every weight in use is read once.

With few tokens an expert's matrix products wait for the memory that its weights come from. So forward they are one
pass, and backward, too: a neuron's weights are read once more for the tokens' gradient, and in the same moment the
gradient of these weights is written. Nothing is kept in between but the tokens: the neurons are computed again.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numba import carray, prange
from torch import Tensor

from .blocks import ACTIVATIONS, ROWS, activate, add, adds, dot, dots, slope
from .kernels import addresses, floats_at, integers_at, kernel, run, threads_for

BLOCK = 32  # tokens of an expert at a time, so that they stay in the nearest cache
FEW = 3  # tokens from which on taking them in fours pays, the missing ones as zeros


@kernel()
def read(x, w, n, neurons):
    """x (n, d), w (m, d) -> neurons (n, m). From ``FEW`` tokens on, x and neurons have room for a multiple of four."""
    m = w.shape[0]
    fours = m - m % ROWS if n >= FEW else 0  # for one token row after row, in the order in which they lie in memory
    for j in range(0, fours, ROWS):
        for r in range(0, n, ROWS):
            dots(x[r : r + ROWS], w[j : j + ROWS], neurons[r : r + ROWS, j : j + ROWS])
    for j in range(fours, m):
        for r in range(n):
            neurons[r, j] = dot(x[r], w[j])


@kernel()
def write(neurons, w, n, y):
    """neurons (n, m), w (m, d): their products, added to y (n, d), with the same room."""
    m = w.shape[0]
    fours = m - m % ROWS if n >= FEW else 0
    for j in range(0, fours, ROWS):
        for r in range(0, n, ROWS):
            adds(y[r : r + ROWS], neurons[r : r + ROWS, j : j + ROWS], w[j : j + ROWS])
    for j in range(fours, m):
        for r in range(n):
            add(y[r], neurons[r, j], w[j])


@kernel()
def outer(v, x, n, y):
    """v (n, m), x (n, d): the transposed v times x, added to y (m, d)."""
    fours = n - n % ROWS if len(y) == ROWS else 0
    for r in range(0, fours, ROWS):
        adds(y, v[r : r + ROWS].T, x[r : r + ROWS])
    for r in range(fours, n):
        for j in range(len(y)):
            add(y[j], v[r, j], x[r])


@kernel()
def biases(b, n, neurons):
    for r in range(n):
        for j in range(len(b)):
            neurons[r, j] += b[j]


@kernel(inline="always")
def each(kind, gated, value, gates, neurons):
    for i in range(len(value)):
        neurons[i] = activate(gates[i], kind) * value[i] if gated else activate(value[i], kind)


@kernel()
def fire(kind, gated, value, gates, neurons):
    """The neurons, from what came before their activation.

    To become vector code, a loop must have no branch, so there is one for each kind; and what it writes must lie
    elsewhere than what it reads.
    """
    if kind == 0:
        each(0, gated, value, gates, neurons)
    elif kind == 1:
        each(1, gated, value, gates, neurons)
    else:
        each(2, gated, value, gates, neurons)


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
    """The tokens of n choices, and zeros up to a multiple of four."""
    for r in range(n):
        rows[r] = x[order[r] // k]
    for r in range(n, min(n + ROWS, len(rows))):
        rows[r] = 0


@kernel()
def add_up(k, rows, y):
    """The choices' rows (T * k, o) added up per token: y (T, o)."""
    for t in range(y.shape[0]):
        y[t] = rows[t * k]
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
            for r in range(min(n + ROWS, BLOCK)):
                said[r] = 0
                if biased:
                    add(said[r], np.float32(1), b_out[e])
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


@kernel()
def learn_experts(
    kind,
    gated,
    biased,
    by_tokens_too,
    k,
    x,
    weights,
    by_y,
    stacks,
    order,
    start,
    by_x,
    by_weights,
    by_stacks,
    first,
    last,
):
    """The gradients of the experts from ``first`` up to ``last``, and of their choices: by_x (S, d), by_weights (S,).

    Those of an expert without a token are zero, and not missing: for Adam the two differ.
    """
    w_in, b_in, w_gate, b_gate, w_out, b_out = stacks
    by_w_in, by_b_in, by_w_gate, by_b_gate, by_w_out, by_b_out = by_stacks
    h, d = w_in.shape[1:]
    o = w_out.shape[2]
    tokens, by_tokens = np.empty((BLOCK, d), np.float32), np.empty((BLOCK, d), np.float32)
    back, scaled = np.empty((BLOCK, o), np.float32), np.empty((BLOCK, o), np.float32)
    value, gates = np.zeros((BLOCK, ROWS), np.float32), np.zeros((BLOCK, ROWS), np.float32)
    neurons, by_neurons = np.zeros((BLOCK, ROWS), np.float32), np.zeros((BLOCK, ROWS), np.float32)
    by_value, by_gates = np.zeros((BLOCK, ROWS), np.float32), np.zeros((BLOCK, ROWS), np.float32)
    by_weight = np.empty(BLOCK, np.float32)
    for e in range(first, last):
        if biased:
            by_b_in[e], by_b_out[e] = 0, 0
            if gated:
                by_b_gate[e] = 0
        if start[e] == start[e + 1]:
            by_w_in[e], by_w_out[e] = 0, 0
            if gated:
                by_w_gate[e] = 0
        for at in range(start[e], start[e + 1], BLOCK):
            n = min(BLOCK, start[e + 1] - at)
            room = n if n < FEW else (n + ROWS - 1) // ROWS * ROWS
            gather(x, order[at : at + n], k, n, tokens)
            gather(by_y, order[at : at + n], k, n, back)
            scaled[:room], by_tokens[:room] = 0, 0
            for r in range(n):
                add(scaled[r], weights[order[at + r]], back[r])
                by_weight[r] = dot(b_out[e], back[r]) if biased else 0
                if biased:
                    add(by_b_out[e], np.float32(1), scaled[r])
            for j in range(0, h, ROWS):
                some = slice(j, min(j + ROWS, h))
                m = some.stop - j
                if at == start[e]:  # now, and not for all rows before: so they are written once
                    by_w_in[e, some], by_w_out[e, some] = 0, 0
                    if gated:
                        by_w_gate[e, some] = 0
                read(tokens, w_in[e, some], n, value)
                read(back, w_out[e, some], n, by_neurons)
                if biased:
                    biases(b_in[e, some], n, value)
                if gated:
                    read(tokens, w_gate[e, some], n, gates)
                    if biased:
                        biases(b_gate[e, some], n, gates)
                fire_back(
                    kind, gated, value[:room].ravel(), gates[:room].ravel(), by_neurons[:room].ravel(),
                    neurons[:room].ravel(), by_value[:room].ravel(), by_gates[:room].ravel(),
                )  # fmt: skip
                for r in range(n):
                    by_weight[r] += dot(neurons[r, :m], by_neurons[r, :m])
                    for i in range(ROWS):
                        by_value[r, i] *= weights[order[at + r]]
                        by_gates[r, i] *= weights[order[at + r]]
                outer(neurons, scaled, room, by_w_out[e, some])
                outer(by_value, tokens, room, by_w_in[e, some])
                if by_tokens_too:
                    write(by_value, w_in[e, some], n, by_tokens)
                if gated:
                    outer(by_gates, tokens, room, by_w_gate[e, some])
                    if by_tokens_too:
                        write(by_gates, w_gate[e, some], n, by_tokens)
                if biased:
                    for r in range(n):
                        add(by_b_in[e, some], np.float32(1), by_value[r, :m])
                        if gated:
                            add(by_b_gate[e, some], np.float32(1), by_gates[r, :m])
            for r in range(n):
                by_x[order[at + r]], by_weights[order[at + r]] = by_tokens[r], by_weight[r]


@kernel()
def learn(
    kind, gated, biased, by_tokens_too, T, k, E, d, h, o, x, indices, weights, by_y,
    w_in, b_in, w_gate, b_gate, w_out, b_out, by_x, by_weights,
    by_w_in, by_b_in, by_w_gate, by_b_gate, by_w_out, by_b_out,
):  # fmt: skip
    x, indices, weights, by_y = of_choices(T, k, d, o, x, indices, weights, by_y)
    stacks = of_experts(E, d, h, o, w_in, b_in, w_gate, b_gate, w_out, b_out)
    by_stacks = of_experts(E, d, h, o, by_w_in, by_b_in, by_w_gate, by_b_gate, by_w_out, by_b_out)
    by_weights, rows = carray(floats_at(by_weights), T * k), np.empty((T * k, d), np.float32)
    order, start, _ = sort_choices(indices, E)
    learn_experts(
        kind, gated, biased, by_tokens_too, k, x, weights, by_y, stacks, order, start, rows, by_weights, by_stacks, 0, E
    )
    add_up(k, rows, carray(floats_at(by_x), (T, d)))


@kernel(parallel=True)
def learn_on_threads(
    kind, gated, biased, by_tokens_too, T, k, E, d, h, o, x, indices, weights, by_y,
    w_in, b_in, w_gate, b_gate, w_out, b_out, by_x, by_weights,
    by_w_in, by_b_in, by_w_gate, by_b_gate, by_w_out, by_b_out,
):  # fmt: skip
    x, indices, weights, by_y = of_choices(T, k, d, o, x, indices, weights, by_y)
    stacks = of_experts(E, d, h, o, w_in, b_in, w_gate, b_gate, w_out, b_out)
    by_stacks = of_experts(E, d, h, o, by_w_in, by_b_in, by_w_gate, by_b_gate, by_w_out, by_b_out)
    by_weights, rows = carray(floats_at(by_weights), T * k), np.empty((T * k, d), np.float32)
    order, start, _ = sort_choices(indices, E)
    parts = min(E, T * k // 16 + 1)
    for part in prange(parts):
        first, last = part_of(part, parts, start), part_of(part + 1, parts, start)
        learn_experts(
            kind, gated, biased, by_tokens_too, k, x, weights, by_y, stacks, order, start, rows, by_weights, by_stacks,
            first, last,
        )  # fmt: skip
    add_up(k, rows, carray(floats_at(by_x), (T, d)))


def call(on_one, on_threads, more: tuple, choices: Sequence[Tensor], experts: Sequence[Tensor | None], *rest) -> None:
    """One of two kernels that do the same. ValueError for an expert that there is not."""
    (T, k), (E, h, d), o = choices[1].shape, experts[0].shape, experts[4].shape[2]
    kind = experts[2] is not None, experts[1] is not None
    threads = threads_for(T * k)
    right = run(
        on_one if threads == 1 else on_threads, threads, more[0], *kind, *more[1:], T, k, E, d, h, o,
        *addresses(choices), *addresses(experts), *addresses(rest),
    )  # fmt: skip
    if right is False:
        wrong = next(e for e in choices[1].flatten().tolist() if not 0 <= e < E)
        raise ValueError(f"the router chose expert {wrong}, but there are only {E}")


def forward(
    tokens: Tensor, indices: Tensor, weights: Tensor, experts: Sequence[Tensor | None], activation: str, keep: bool
) -> tuple[Tensor, list[Tensor]]:
    """What the chosen experts say, times its weight, added up: tokens (T, d), choices (T, k) -> (T, o).

    Nothing is kept for the way back.

    Args:
        experts: ``w_in`` (E, h, d), ``b_in``, ``w_gate``, ``b_gate``, ``w_out`` (E, h, o), ``b_out`` of ``Experts``.
            All but the int64 indices are float32, on the processor, one row after the other (contiguous).
    """
    y = tokens.new_empty(len(tokens), experts[4].shape[2])
    call(answer, answer_on_threads, (ACTIVATIONS.index(activation),), (tokens, indices, weights, y), experts)
    return y, []


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
    by_x, by_weights = torch.empty_like(tokens), torch.empty_like(weights)
    more = ACTIVATIONS.index(activation), by_tokens_too
    call(learn, learn_on_threads, more, (tokens, indices, weights, by_y), experts, by_x, by_weights, *by_experts)
    return by_x if by_tokens_too else None, by_weights
