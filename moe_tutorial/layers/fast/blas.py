"""The matrix product of the BLAS that torch brings, called from kernels.

An expert of many tokens is best left to BLAS. From Python, a product costs some microseconds before it begins, and a
mixture's step makes nine for each of its experts.
"""

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
import torch
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name
from numba import types
from numba.extending import intrinsic

from .kernels import kernel

TURNED, AS_IT_IS = ord("T"), ord("N")
ONE = int(np.float32(1).view(np.int32))


@cache
def find_sgemm() -> int:
    """Where torch's library has the BLAS routine ``sgemm``; 0 where it keeps it to itself, as on Windows."""
    for library in Path(torch.__file__).parent.glob("lib/libtorch_cpu.*"):
        try:
            return ctypes.cast(ctypes.CDLL(str(library)).sgemm_, ctypes.c_void_p).value or 0
        except (OSError, AttributeError):
            continue
    return 0


@cache
def own_loops() -> bool:
    """Whether a kernel's own loops multiply more quickly than BLAS.

    They use AVX-512 where there is any. MKL, which torch brings, multiplies on a Zen 5 at AVX2's pace; a Zen 4 has
    AVX-512 at half the pace. Measured on a Zen 5, widths 64 to 768, 4 to 512 rows. On Intel's processors BLAS was the
    quicker.
    """
    name = get_host_cpu_name()
    return name.startswith("znver") and name != "znver4" and bool(get_host_cpu_features().get("avx512f"))


@intrinsic
def call(context, sgemm, settings, a, b, c):
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
def multiply(sgemm, settings, x, x_turned, w, w_turned, y, more):
    """y = x w for arrays row after row, of either the transposed one if it says so; with ``more``, added to y.

    BLAS wants columns: read as such, the arrays are transposed, and y' = w' x'. ``settings`` is room for ten integers.
    """
    settings[0] = TURNED if w_turned else AS_IT_IS
    settings[1] = TURNED if x_turned else AS_IT_IS
    settings[2], settings[3] = y.shape[1], y.shape[0]
    settings[4] = x.shape[0] if x_turned else x.shape[1]
    settings[5], settings[8] = ONE, ONE if more else 0
    settings[6], settings[7], settings[9] = w.shape[1], x.shape[1], y.shape[1]
    call(sgemm, settings.ctypes.data, w.ctypes.data, x.ctypes.data, y.ctypes.data)
