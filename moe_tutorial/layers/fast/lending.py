"""Memory that stays: a large gradient is written where the one of the step before lay.

A fresh array of many megabytes comes from the system page by page, each page filled with zeros first, and goes back to
it when it is freed. For the gradient of a stack of experts, that takes longer than to compute it. So its memory is
lent: when the gradient goes, it comes back here and waits for the next step, until the weights go themselves.
"""

import weakref

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

LARGE = 2**20  # bytes from which on it matters

LINE = 64  # bytes of a line of the cache, where a product writes best

_waiting = WeakTensorKeyDictionary()  # whose gradient -> the memory that waits for it


class Loan(np.ndarray):
    """Memory that goes back when nobody looks at it any more: a tensor made from it keeps it."""

    owner = None  # a weak reference, so that a gradient keeps no weights alive

    def __del__(self):
        owner = self.owner and self.owner()
        if owner is not None:
            _waiting.setdefault(owner, self.base)


def empty_like(weights: Tensor) -> Tensor:
    """A tensor for the gradient of these weights, not filled."""
    n_bytes = weights.numel() * weights.element_size()
    if n_bytes < LARGE or not weights.is_cpu:
        return torch.empty_like(weights)
    memory = _waiting.pop(weights, None)
    if memory is None or len(memory) != n_bytes:
        memory = np.empty(n_bytes + LINE, np.uint8)
        memory = memory[-memory.ctypes.data % LINE :][:n_bytes]
    loan = memory.view(Loan)
    loan.owner = weakref.ref(weights)
    return torch.from_numpy(loan).view(weights.dtype).view(weights.shape)
