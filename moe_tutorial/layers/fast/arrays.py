"""Tensors as the arrays that kernels read and write. No other file looks at memory without its tensor.

A view as a NumPy array is the rule. It takes a microsecond, and a tree answers a token in ten, so the tree's kernel
gets addresses.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numba import carray, njit, types
from numba.extending import intrinsic
from torch import Tensor

FLOAT, INTEGER = torch.float32, torch.int64
NUMPY = {FLOAT: np.float32, INTEGER: np.int64}


class CannotServe(ValueError):
    """A tensor that kernels do not take: plain torch does."""


def array(tensor: Tensor | None, *shape: int, dtype: torch.dtype = FLOAT) -> np.ndarray:
    """The tensor's memory in this shape; an array without elements in place of None.

    ``CannotServe``, a ValueError, for another dtype or device than the CPU, and for a tensor that is not contiguous;
    ValueError for another shape.
    """
    if tensor is None:
        return np.empty((0,) * len(shape), NUMPY[dtype])
    check(tensor, dtype)
    if tensor.shape != shape:
        raise ValueError(f"a tensor must have shape {shape}, got {tuple(tensor.shape)}")
    return tensor.numpy(force=True)


def check(tensor: Tensor, dtype: torch.dtype = FLOAT) -> None:
    if tensor.dtype is not dtype or not tensor.is_contiguous() or not tensor.is_cpu:
        how = f"{tensor.dtype}, strides {tensor.stride()}, on {tensor.device}"
        raise CannotServe(f"a kernel takes contiguous {dtype} tensors on the CPU, got {how}")


def addresses(tensors: Sequence[Tensor]) -> list[int]:
    """Where the memory of float32 tensors begins, and after all of these how many elements each has: for ``floats``,
    which checks them. ``CannotServe`` as for ``array``."""
    for tensor in tensors:
        if tensor.dtype is not FLOAT or not tensor.is_contiguous() or not tensor.is_cpu:
            check(tensor)
    return [*map(Tensor.data_ptr, tensors), *map(Tensor.numel, tensors)]


def pointer_to(number):
    """An intrinsic: an address -> a pointer to numbers of this kind."""

    @intrinsic
    def pointer(context, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(number)(types.int64), generate

    return pointer


floats_at, integers_at = pointer_to(types.float32), pointer_to(types.int64)


@njit(inline="always")
def check_size(size, shape):
    elements = 1
    for n in shape:
        elements *= n
    if elements != size:
        raise ValueError("a tensor's size does not fit the shape that a kernel reads it in")


@njit(inline="always")
def floats(address, size, shape):
    """The float32 array of this shape at an address with ``size`` elements. ValueError where these do not fit."""
    check_size(size, shape)
    return carray(floats_at(address), shape)


@njit(inline="always")
def integers(address, size, shape):
    """The int64 array, as ``floats``."""
    check_size(size, shape)
    return carray(integers_at(address), shape)
