"""What a mixture does between its products, compiled: it chooses, sorts, gathers and adds up.

In plain torch these are many small passes over the tokens. Beside narrow experts they take as long as the products.
"""

from collections.abc import Sequence

import numpy as np
from numba import carray
from torch import Tensor

from .blocks import add, dot, exp
from .kernels import addresses, floats_at, integers_at, kernel, run
from .mixture_kernel import sort_choices


@kernel()
def pick(T, E, k, renormalize, logits, probs, indices, weights):
    """Softmax over each row, its k largest, best first; divided by their sum, if asked. Returns False for a row that is
    not finite."""
    logits, probs = carray(floats_at(logits), (T, E)), carray(floats_at(probs), (T, E))
    indices, weights = carray(integers_at(indices), (T, k)), carray(floats_at(weights), (T, k))
    left = np.empty(E, np.float32)
    for t in range(T):
        row, shares = logits[t], probs[t]
        top, wrong, total = row[0], np.float32(0), np.float32(0)
        for e in range(E):
            top = max(top, row[e])
            wrong += row[e] * np.float32(0)  # NaN, where it is NaN or infinite
        if wrong != 0:
            return False
        for e in range(E):
            shares[e] = exp(row[e] - top)
            left[e] = shares[e]
        for e in range(E):
            total += shares[e]
        for e in range(E):
            shares[e] /= total
        for c in range(k):
            best = 0
            for e in range(1, E):
                if left[e] > left[best]:
                    best = e
            indices[t, c], weights[t, c], left[best] = best, shares[best], -1
        if renormalize:
            total = weights[t].sum()
            for c in range(k):
                weights[t, c] /= total
    return True


@kernel()
def pick_back(T, E, k, renormalize, probs, indices, by_probs, by_weights, by_logits):
    """The gradient by the logits. An address of 0 stands for a gradient that is not there."""
    all_probs, by_all = by_probs != 0, by_weights != 0
    probs, by_logits = carray(floats_at(probs), (T, E)), carray(floats_at(by_logits), (T, E))
    by_probs, by_weights = carray(floats_at(by_probs), (T, E)), carray(floats_at(by_weights), (T, k))
    indices = carray(integers_at(indices), (T, k))
    for t in range(T):
        shares, by = probs[t], by_logits[t]
        for e in range(E):
            by[e] = by_probs[t, e] if all_probs else np.float32(0)
        if by_all:
            total, mean = np.float32(1), np.float32(0)
            if renormalize:
                total = np.float32(0)
                for c in range(k):
                    total += shares[indices[t, c]]
                    mean += by_weights[t, c] * shares[indices[t, c]]
                mean /= total
            for c in range(k):
                by[indices[t, c]] += (by_weights[t, c] - mean) / total
        mean = dot(by, shares)
        for e in range(E):
            by[e] = shares[e] * (by[e] - mean)


@kernel()
def sort(S, E, k, indices, order, token, counts):
    """The choices in the order of their experts, the token of each, and how many each expert has. Returns whether there
    are all these experts."""
    order, token = carray(integers_at(order), S), carray(integers_at(token), S)
    counts = carray(integers_at(counts), E)
    choices, start, right = sort_choices(carray(integers_at(indices), S), E)
    if right:
        for place in range(S):
            order[place], token[place] = choices[place], choices[place] // k
        for e in range(E):
            counts[e] = start[e + 1] - start[e]
    return right


@kernel()
def add_biases(E, n, h, counts, b, y):
    """Each expert's bias, added to its rows of y (n, h): so many has each of E experts, one after the other."""
    counts, b, y = carray(integers_at(counts), E), carray(floats_at(b), (E, h)), carray(floats_at(y), (n, h))
    r = 0
    for e in range(E):
        for _ in range(counts[e]):
            add(y[r], np.float32(1), b[e])
            r += 1


@kernel()
def sum_biases(E, n, h, counts, y, by_b):
    """The sum of each expert's rows of y (n, h)."""
    counts, by_b, y = carray(integers_at(counts), E), carray(floats_at(by_b), (E, h)), carray(floats_at(y), (n, h))
    r = 0
    for e in range(E):
        by_b[e] = 0
        for _ in range(counts[e]):
            add(by_b[e], np.float32(1), y[r])
            r += 1


@kernel()
def add_rows(n, d, T, rows, token, scale, y):
    """y[token[r]] += scale[r] * rows[r]; times 1 where the scale's address is 0."""
    scaled = scale != 0
    rows, y = carray(floats_at(rows), (n, d)), carray(floats_at(y), (T, d))
    token, scale = carray(integers_at(token), n), carray(floats_at(scale), n)
    for r in range(n):
        add(y[token[r]], scale[r] if scaled else np.float32(1), rows[r])


@kernel()
def take_back(n, d, T, S, by_y, token, order, said, scale, back, by_scale):
    """back[r] = scale[r] * by_y[token[r]], and by_scale, of all S choices, at order[r]: what was said times by_y."""
    by_y, by_scale = carray(floats_at(by_y), (T, d)), carray(floats_at(by_scale), S)
    said, back, scale = carray(floats_at(said), (n, d)), carray(floats_at(back), (n, d)), carray(floats_at(scale), n)
    token, order = carray(integers_at(token), n), carray(integers_at(order), n)
    for r in range(n):
        row = by_y[token[r]]
        by_scale[order[r]] = dot(said[r], row)
        for i in range(d):
            back[r, i] = scale[r] * row[i]


def call(compiled, sizes: Sequence[int], *tensors: Tensor | None) -> bool | None:
    """What a kernel of this module returns for these sizes and tensors: contiguous, float32 or int64."""
    return run(compiled, 1, *sizes, *addresses(tensors))
