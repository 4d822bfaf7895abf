"""The matrix product of the BLAS that torch brings, called from kernels.

An expert of many tokens is best left to BLAS. From Python, a product costs some microseconds before it begins, and a
mixture's training step makes nine for each of its experts.
"""

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiling import kernel

TRANSPOSED, AS_IT_IS = ord("T"), ord("N")
ONE = int(np.float32(1).view(np.int32))


@cache
def find_sgemm() -> int:
    """Where torch's library has the BLAS routine ``sgemm``; 0 where it does not export it, as on Windows."""
    for library in Path(torch.__file__).parent.glob("lib/libtorch_cpu.*"):
        try:
            return ctypes.cast(ctypes.CDLL(str(library)).sgemm_, ctypes.c_void_p).value or 0
        except (OSError, AttributeError):
            continue
    return 0


@intrinsic
def call_sgemm(context, sgemm, settings, a, b, c):
    """sgemm with ten settings in a row, each in eight bytes, and three matrices: all of them are addresses."""

    def generate(context, builder, signature, arguments):
        sgemm, settings, a, b, c = arguments
        integer = ir.IntType(64)
        ta, tb, m, n, k, alpha, lda, ldb, beta, ldc = (
            builder.add(settings, ir.Constant(integer, 8 * place)) for place in range(10)
        )
        function = builder.inttoptr(sgemm, ir.FunctionType(ir.VoidType(), [integer] * 13).as_pointer())
        builder.call(function, [ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc])
        return context.get_dummy_value()

    return types.none(sgemm, settings, a, b, c), generate


@kernel()
def matmul(blas, x, x_transposed, w, w_transposed, y, add):
    """y = x w, or that added to y, for arrays row after row; x or w transposed where it says so.

    BLAS wants columns: read as such, the arrays are transposed, and y' = w' x'. ``blas`` is the address of sgemm and
    room for its ten settings.
    """
    sgemm, settings = blas
    settings[0] = TRANSPOSED if w_transposed else AS_IT_IS
    settings[1] = TRANSPOSED if x_transposed else AS_IT_IS
    settings[2], settings[3] = y.shape[1], y.shape[0]
    settings[4] = x.shape[0] if x_transposed else x.shape[1]
    settings[5], settings[8] = ONE, ONE if add else 0
    settings[6], settings[7], settings[9] = w.shape[1], x.shape[1], y.shape[1]
    call_sgemm(sgemm, settings.ctypes.data, w.ctypes.data, x.ctypes.data, y.ctypes.data)
