"""Tensors as arrays that kernels read and write. Only this file turns an address into an array.

Most kernels take NumPy views. A view takes a microsecond, and a tree computes a token in ten, so the kernel of its hard
descent takes addresses.
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
    """Kernels cannot take this tensor; plain PyTorch can."""


def array(tensor: Tensor | None, *shape: int, dtype: torch.dtype = FLOAT) -> np.ndarray:
    """A view of the tensor as a NumPy array; an array without elements for None.

    Raises ``CannotServe``, a ValueError, for another dtype, another device than the CPU, and a tensor that is not
    contiguous; ValueError for another shape.
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
    """The addresses of float32 tensors, then the number of elements of each, which ``floats`` checks. Raises
    ``CannotServe`` as ``array`` does."""
    for tensor in tensors:
        if tensor.dtype is not FLOAT or not tensor.is_contiguous() or not tensor.is_cpu:
            check(tensor)
    return [*map(Tensor.data_ptr, tensors), *map(Tensor.numel, tensors)]


def pointer_to(number):
    """An intrinsic that casts an address to a pointer to this type of number."""

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
    """The float32 array of this shape at an address with ``size`` elements; ValueError if size and shape differ."""
    check_size(size, shape)
    return carray(floats_at(address), shape)


@njit(inline="always")
def integers(address, size, shape):
    """The int64 array, as ``floats``."""
    check_size(size, shape)
    return carray(integers_at(address), shape)
