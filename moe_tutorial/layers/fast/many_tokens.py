"""A mixture's forward and backward pass around BLAS. The choices are sorted by expert, so each expert's are a slice.

Between the matrix products are many small passes: gather, add a bias, activate, weight, sum. They run over blocks of
some hundred tokens, which stay in the cache from one product to the next.
"""

import numpy as np

from .activations import activate, activate_backward
from .blas import matmul
from .blocks import add, add_rows, copy, dot
from .compiling import kernel
from .few_tokens import sort_choices

BLOCK = 2**17  # neurons at a time: half a megabyte


@kernel()
def rows_at_a_time(S, h):
    return min(max(16, BLOCK // h), max(S, 1))


@kernel()
def gather(rows, order, k, found):
    for r in range(len(order)):
        copy(rows[order[r] // k], found[r])


@kernel(inline="always")
def scale(row, value):
    for i in range(len(row)):
        row[i] *= value


@kernel()
def forward(
    sgemm, kind, k, x, indices, weights, w_in, b_in, w_gate, b_gate, w_out, b_out, y, save, order, start, values, gates
):  # fmt: skip
    """y (T, o) = the outputs of the chosen experts, weighted and added up; x (T, d), indices and weights (T * k,).

    A stack that the mixture lacks is an array without elements. For the backward pass, this also writes ``order`` (S,),
    the choices sorted by expert, where S = T * k; ``start`` (E + 1,), where each expert's begin; and if ``save``, in
    the same order, the neurons before their activation, ``values`` and ``gates`` (S, h).

    Returns False if an index is out of range.
    """
    (E, h, d), S = w_in.shape, len(indices)
    gated, biased, block = len(w_gate) > 0, len(b_in) > 0, rows_at_a_time(S, h)
    if not sort_choices(indices, E, order, start):
        return False
    blas = sgemm, np.empty(10, np.int64)
    tokens, neurons = np.empty((block, d), np.float32), np.empty((block, h), np.float32)
    outputs = np.empty((block, w_out.shape[2]), np.float32)
    if not save:
        values, gates = np.empty((block, h), np.float32), np.empty((block * gated, h), np.float32)
    y[:] = 0
    for e in range(E):
        for at in range(start[e], start[e + 1], block):
            n, place = min(block, start[e + 1] - at), at if save else 0
            chosen, value, output = order[at : at + n], values[place : place + n], outputs[:n]
            gate = gates[place : place + n] if gated else value
            gather(x, chosen, k, tokens)
            matmul(blas, tokens[:n], False, w_in[e], True, value, False)
            if gated:
                matmul(blas, tokens[:n], False, w_gate[e], True, gate, False)
            if biased:
                add_rows(value, b_in[e])
                if gated:
                    add_rows(gate, b_gate[e])
            activate(kind, gated, value.ravel(), gate.ravel(), neurons[:n].ravel())
            matmul(blas, neurons[:n], False, w_out[e], False, output, False)
            if biased:
                add_rows(output, b_out[e])
            for r in range(n):
                add(y[chosen[r] // k], weights[chosen[r]], output[r])
    return True


@kernel()
def backward(
    sgemm, kind, k, x, weights, grad_output, w_in, b_in, w_gate, w_out, b_out, order, start, values, gates,
    grad_x, grad_weights, grad_w_in, grad_b_in, grad_w_gate, grad_b_gate, grad_w_out, grad_b_out,
):  # fmt: skip
    """Write the gradients, from what ``forward`` has saved; that of x only if ``grad_x`` has elements.

    The gradients of an expert without tokens are zero, not missing: for Adam the two differ.
    """
    (E, h, d), o, S = w_in.shape, w_out.shape[2], len(weights)
    gated, biased, block = len(w_gate) > 0, len(b_in) > 0, rows_at_a_time(S, h)
    blas, wants_x, one = (sgemm, np.empty(10, np.int64)), len(grad_x) > 0, np.float32(1)
    tokens, grad_tokens = np.empty((block, d), np.float32), np.empty((block, d), np.float32)
    grad_outputs, neurons = np.empty((block, o), np.float32), np.empty((block, h), np.float32)
    grad_neurons, grad_values = np.empty((block, h), np.float32), np.empty((block, h), np.float32)
    all_grad_gates = np.empty((block * gated, h), np.float32)
    grad_x[:], grad_b_in[:], grad_b_gate[:], grad_b_out[:] = 0, 0, 0, 0
    for e in range(E):
        if start[e] == start[e + 1]:
            grad_w_in[e], grad_w_out[e] = 0, 0
            if gated:
                grad_w_gate[e] = 0
        for at in range(start[e], start[e + 1], block):
            n, more = min(block, start[e + 1] - at), at > start[e]
            chosen, value, grad_value, grad_out = (
                order[at : at + n],
                values[at : at + n],
                grad_values[:n],
                grad_outputs[:n],
            )
            gate, grad_gate = (gates[at : at + n], all_grad_gates[:n]) if gated else (value, grad_value)
            gather(x, chosen, k, tokens)
            gather(grad_output, chosen, k, grad_outputs)
            matmul(blas, grad_out, False, w_out[e], True, grad_neurons[:n], False)
            activate_backward(
                kind, gated, value.ravel(), gate.ravel(), grad_neurons[:n].ravel(),
                neurons[:n].ravel(), grad_value.ravel(), grad_gate.ravel(),
            )  # fmt: skip
            for r in range(n):
                choice = chosen[r]
                grad_weights[choice] = dot(neurons[r], grad_neurons[r])
                if biased:
                    grad_weights[choice] += dot(b_out[e], grad_out[r])
                for rows in (grad_out, grad_value):
                    scale(rows[r], weights[choice])
                if gated:
                    scale(grad_gate[r], weights[choice])
            matmul(blas, neurons[:n], True, grad_out, False, grad_w_out[e], more)
            matmul(blas, grad_value, True, tokens[:n], False, grad_w_in[e], more)
            if gated:
                matmul(blas, grad_gate, True, tokens[:n], False, grad_w_gate[e], more)
            if biased:
                for r in range(n):
                    add(grad_b_out[e], one, grad_out[r])
                    add(grad_b_in[e], one, grad_value[r])
                    if gated:
                        add(grad_b_gate[e], one, grad_gate[r])
            if wants_x:
                matmul(blas, grad_value, False, w_in[e], False, grad_tokens[:n], False)
                if gated:
                    matmul(blas, grad_gate, False, w_gate[e], False, grad_tokens[:n], True)
                for r in range(n):
                    add(grad_x[chosen[r] // k], one, grad_tokens[r])
