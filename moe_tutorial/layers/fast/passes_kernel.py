"""How a mixture chooses and sorts its choices, compiled.

In plain torch these are many small passes over the tokens. Beside narrow experts they take as long as the products.
"""

from collections.abc import Sequence

import numpy as np
from numba import carray
from torch import Tensor

from .activations import exp
from .blocks import dot
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


def call(compiled, sizes: Sequence[int], *tensors: Tensor | None) -> bool | None:
    """What a kernel of this module returns for these sizes and tensors: contiguous, float32 or int64."""
    return run(compiled, 1, *sizes, *addresses(tensors))
