"""A mixture's forward pass for few tokens per expert: every weight in use is read once.

With few tokens, an expert's matrix products are limited by memory bandwidth, so they share one pass over its weights.
"""

import numpy as np

from .activations import activate
from .blocks import add, add_matmul, add_rows, copy, matmul_transposed, padded
from .compiling import kernel

BLOCK = 32  # tokens of an expert at a time, so that they stay in the L1 cache


@kernel()
def sort_choices(indices, E, order, start):
    """Write ``order`` (S,), the choices sorted by expert, where S = T * k, and ``start`` (E + 1,), where each expert's
    begin. Returns False if an index is out of range."""
    start[:] = 0
    for expert in indices:
        if not 0 <= expert < E:
            return False
        start[expert + 1] += 1
    for e in range(E):
        start[e + 1] += start[e]
    at = start.copy()
    for c in range(len(indices)):
        order[at[indices[c]]] = c
        at[indices[c]] += 1
    return True


@kernel()
def gather(x, order, k, n, rows):
    """Copy the tokens of n choices to ``rows``, and pad them with rows of zeros."""
    for r in range(n):
        copy(x[order[r] // k], rows[r])
    for r in range(n, padded(n)):
        rows[r] = 0


@kernel()
def add_outputs(kind, k, x, weights, stacks, order, start, first, last, y):
    """Add the outputs of the experts from ``first`` up to ``last``, times their weights, to y (T, o)."""
    w_in, b_in, w_gate, b_gate, w_out, b_out = stacks
    h, d = w_in.shape[1:]
    gated, biased = len(w_gate) > 0, len(b_in) > 0
    tokens, outputs = np.empty((BLOCK, d), np.float32), np.empty((BLOCK, w_out.shape[2]), np.float32)
    values, gates = np.empty((BLOCK, h), np.float32), np.empty((BLOCK, h), np.float32)
    neurons = np.zeros((BLOCK, h), np.float32)
    for e in range(first, last):
        for at in range(start[e], start[e + 1], BLOCK):
            n = min(BLOCK, start[e + 1] - at)
            gather(x, order[at : at + n], k, n, tokens)
            matmul_transposed(tokens, w_in[e], n, values)
            if biased:
                add_rows(values[:n], b_in[e])
            if gated:
                matmul_transposed(tokens, w_gate[e], n, gates)
                if biased:
                    add_rows(gates[:n], b_gate[e])
            for r in range(n):
                activate(kind, gated, values[r], gates[r], neurons[r])
            for r in range(padded(n)):
                if biased:
                    copy(b_out[e], outputs[r])
                else:
                    outputs[r] = 0
            add_matmul(neurons, w_out[e], n, outputs)
            for r in range(n):
                choice = order[at + r]
                add(y[choice // k], weights[choice], outputs[r])


@kernel()
def forward(kind, k, x, indices, weights, w_in, b_in, w_gate, b_gate, w_out, b_out, y):
    """y (T, o) = the outputs of the chosen experts, weighted and added up; x (T, d), indices and weights (T * k,).

    A stack that the mixture lacks is an array without elements. Returns False if an index is out of range.
    """
    E = len(w_in)
    order, start = np.empty(len(indices), np.int64), np.empty(E + 1, np.int64)
    if not sort_choices(indices, E, order, start):
        return False
    y[:] = 0
    add_outputs(kind, k, x, weights, (w_in, b_in, w_gate, b_gate, w_out, b_out), order, start, 0, E, y)
    return True
