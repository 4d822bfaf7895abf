"""A buffer pool for large gradients.

The operating system zeroes a fresh array of many megabytes page by page, and takes it back when it is freed. For the
gradient of a stack of experts, that takes longer than the computation. So the memory of a freed gradient is kept for
the next step.
"""

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

LARGE = 2**16  # from this many elements on, a gradient's memory is kept

_free = WeakTensorKeyDictionary()  # weights -> a list with the memory of their last gradient, if no tensor uses it


class Buffer(np.ndarray):
    """An array that puts its memory back into a list when the tensor made from it is freed."""

    free = None

    def __del__(self):
        if self.free is not None:
            self.free[:] = [self.base]


def empty_gradient(weights: Tensor) -> Tensor:
    """An uninitialised float32 tensor for the gradient of these weights."""
    if weights.numel() < LARGE:
        return torch.empty_like(weights)
    free = _free.setdefault(weights, [])
    try:
        memory = free.pop()
    except IndexError:
        memory = np.empty(weights.shape, np.float32)
    buffer = memory.view(Buffer)
    buffer.free = free
    return torch.from_numpy(buffer)
