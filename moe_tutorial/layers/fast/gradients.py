"""Memory for large gradients that is used again.

A fresh array of many megabytes comes from the system page by page, each page filled with zeros first, and goes back to
it when it is freed. For the gradient of a stack of experts that takes longer than to compute it. So its memory waits
for the next step, when the gradient itself has gone.
"""

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

LARGE = 2**16  # numbers from which on it matters

_free = WeakTensorKeyDictionary()  # weights -> a list: the memory of their last gradient, once no tensor uses it


class Buffer(np.ndarray):
    """Memory that goes back to its list when the tensor that was made of it has gone."""

    free = None

    def __del__(self):
        if self.free is not None:
            self.free[:] = [self.base]


def empty_gradient(weights: Tensor) -> Tensor:
    """A float32 tensor for the gradient of these weights, not filled."""
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
