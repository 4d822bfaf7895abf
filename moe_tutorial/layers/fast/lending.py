"""Memory that stays: a large gradient is written where the one of the step before lay, and so is what is kept for it.

A fresh array of many megabytes comes from the system page by page, each page filled with zeros first, and goes back to
it when it is freed. For the gradient of a stack of experts, that takes longer than to compute it. So its memory is
lent: when the gradient goes, it comes back here and waits for the next step, until the weights go themselves. Where
sizes change from step to step, what waits and does not fit makes room for what does.
"""

import math
import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

LARGE = 2**18  # bytes from which on it matters
LINE = 64  # bytes of a line of the cache, where a product writes best
MOST = 8  # arrays that wait for one owner
NUMPY = {torch.float32: np.float32, torch.float64: np.float64, torch.float16: np.float16, torch.bfloat16: np.int16}

_waiting = WeakTensorKeyDictionary()  # weights -> the memory that waits for what belongs to them
_one_at_a_time = threading.RLock()  # memory may come back in the middle of a search


class Loan(np.ndarray):
    """Memory that goes back when nobody looks at it any more: a tensor made from it keeps it."""

    waiting = None  # where it goes back to; when the weights have gone, this is the last that holds the list

    def __del__(self):
        if self.waiting is not None and len(self.waiting) < MOST:
            self.waiting.append(self.base)


def empty(owner: Tensor, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
    """A tensor, of the owner's dtype if none is asked for, not filled, whose memory waits for the owner's next one when
    it is freed."""
    dtype = dtype or owner.dtype
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes < LARGE or not owner.is_cpu or dtype not in NUMPY:
        return owner.new_empty(shape, dtype=dtype)
    with _one_at_a_time:
        waiting = _waiting.get(owner)
        if waiting is None:
            waiting = _waiting[owner] = []
        fits = [place for place, memory in enumerate(waiting) if n_bytes <= len(memory) <= 2 * n_bytes]
        best = min(fits, key=lambda place: len(waiting[place]), default=0)
        memory = waiting.pop(best) if waiting else None
    if not fits:
        del memory
        memory = np.empty(n_bytes + LINE, np.uint8)
        memory = memory[-memory.ctypes.data % LINE :][:n_bytes]
    loan = Loan(shape, NUMPY[dtype], memory)
    loan.waiting = waiting
    tensor = torch.from_numpy(loan)
    return tensor if tensor.dtype is dtype else tensor.view(dtype)


def empty_like(weights: Tensor) -> Tensor:
    """A tensor for the gradient of these weights, not filled."""
    return empty(weights, weights.shape)
