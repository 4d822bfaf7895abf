"""Matrix products by torch's own BLAS, called from kernels.

BLAS is the fastest for an expert with many tokens. Called from Python, each product has an overhead of some
microseconds, and a training step makes up to nine for each expert.
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
    """The address of the BLAS routine ``sgemm`` in torch's library; 0 if it is not exported, as on Windows."""
    for library in Path(torch.__file__).parent.glob("lib/libtorch_cpu.*"):
        try:
            return ctypes.cast(ctypes.CDLL(str(library)).sgemm_, ctypes.c_void_p).value or 0
        except (OSError, AttributeError):
            continue
    return 0


@intrinsic
def call_sgemm(context, sgemm, settings, a, b, c):
    """Call sgemm, by address, with the addresses of its ten scalar arguments (eight bytes each) and three matrices."""

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
    """y = x w, or y += x w if ``add``, for row-major arrays; x or w can be transposed.

    BLAS is column-major, so it sees the arrays transposed: y' = w' x'. ``blas`` is the address of sgemm and an int64
    array for its ten scalar arguments.
    """
    sgemm, settings = blas
    settings[0] = TRANSPOSED if w_transposed else AS_IT_IS
    settings[1] = TRANSPOSED if x_transposed else AS_IT_IS
    settings[2], settings[3] = y.shape[1], y.shape[0]
    settings[4] = x.shape[0] if x_transposed else x.shape[1]
    settings[5], settings[8] = ONE, ONE if add else 0
    settings[6], settings[7], settings[9] = w.shape[1], x.shape[1], y.shape[1]
    call_sgemm(sgemm, settings.ctypes.data, w.ctypes.data, x.ctypes.data, y.ctypes.data)
