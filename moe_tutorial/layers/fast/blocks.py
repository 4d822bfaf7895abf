"""What kernels are made of: products of a few rows.

Weights are float32, or bfloat16 as int16, which is widened on the way.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .kernels import kernel
from .vectors import LANES, ROWS, products

one_with_four, four_with_four = products(1), products(ROWS)


@intrinsic
def number(context, value):
    """A weight as float32: bfloat16, as int16, is its upper bits."""

    def generate(context, builder, signature, arguments):
        if signature.args[0] == types.float32:
            return arguments[0]
        bits = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(bits, ir.Constant(ir.IntType(32), 16)), ir.FloatType())

    return types.float32(value), generate


@kernel(inline="always")
def dot(x, w):
    total = np.float32(0)
    for i in range(x.shape[0]):
        total += x[i] * number(w[i])
    return total


@kernel(inline="always")
def add(y, value, row):
    for i in range(y.shape[0]):
        y[i] += value * number(row[i])


@kernel(inline="always")
def dots_apart(x, w, j, step, out):
    """out[i] = x . w[i] for four rows i from j on, ``step`` apart."""
    wa, wb, wc, wd = w[j], w[j + step], w[j + 2 * step], w[j + 3 * step]
    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for i in range(x.shape[0]):
        a += x[i] * number(wa[i])
        b += x[i] * number(wb[i])
        c += x[i] * number(wc[i])
        d += x[i] * number(wd[i])
    out[j], out[j + step], out[j + 2 * step], out[j + 3 * step] = a, b, c, d


@kernel(inline="always")
def dots_of_one(x, r, w, j, out):
    """out[r, j] = x[r] . w[j] for four rows from j on."""
    if x.shape[1] >= LANES:
        one_with_four(x, r, w, j, out)
    else:
        for b in range(j, j + ROWS):
            out[r, b] = dot(x[r], w[b])


@kernel(inline="always")
def adds_of_one(y, v, r, w, j, step):
    """y[r] += v[r, i] * w[i] for four rows i from j on, ``step`` apart: y is read and written once for the four."""
    yr, wa, wb, wc, wd = y[r], w[j], w[j + step], w[j + 2 * step], w[j + 3 * step]
    a, b, c, d = v[r, j], v[r, j + step], v[r, j + 2 * step], v[r, j + 3 * step]
    for i in range(y.shape[1]):
        yr[i] += a * number(wa[i]) + b * number(wb[i]) + c * number(wc[i]) + d * number(wd[i])


@kernel(inline="always")
def copy(row, to):
    """As ``to[:] = row``, which would look first whether the two overlap."""
    for i in range(row.shape[0]):
        to[i] = row[i]


@kernel(inline="always")
def dots(x, r, w, j, out):
    """out[r, j] = x[r] . w[j] for four rows from r on and four from j on: each number is read once for four products.

    The rows are told by their numbers: to make slices of the arrays would take as long as a hundred columns do.
    """
    if x.shape[1] >= LANES:
        four_with_four(x, r, w, j, out)
    else:
        for a in range(r, r + ROWS):
            for b in range(j, j + ROWS):
                out[a, b] = dot(x[a], w[b])


@kernel(inline="always")
def adds(y, v, r, w, j):
    """y[r] += v[r, j] * w[j] + ... + v[r, j + 3] * w[j + 3] for four rows from r on."""
    ya, yb, yc, yd = y[r], y[r + 1], y[r + 2], y[r + 3]
    wa, wb, wc, wd = w[j], w[j + 1], w[j + 2], w[j + 3]
    aa, ab, ac, ad = v[r, j], v[r, j + 1], v[r, j + 2], v[r, j + 3]
    ba, bb, bc, bd = v[r + 1, j], v[r + 1, j + 1], v[r + 1, j + 2], v[r + 1, j + 3]
    ca, cb, cc, cd = v[r + 2, j], v[r + 2, j + 1], v[r + 2, j + 2], v[r + 2, j + 3]
    da, db, dc, dd = v[r + 3, j], v[r + 3, j + 1], v[r + 3, j + 2], v[r + 3, j + 3]
    for i in range(y.shape[1]):
        p, q, s, t = number(wa[i]), number(wb[i]), number(wc[i]), number(wd[i])
        ya[i] += aa * p + ab * q + ac * s + ad * t
        yb[i] += ba * p + bb * q + bc * s + bd * t
        yc[i] += ca * p + cb * q + cc * s + cd * t
        yd[i] += da * p + db * q + dc * s + dd * t


@kernel()
def outer(v, w, out):
    """out[j] = v[0, j] * w[0] + ... + v[n - 1, j] * w[n - 1] for up to four rows n: each row of out is written once."""
    n = v.shape[0]
    for j in range(out.shape[0]):
        row, a = out[j], v[0, j]
        if n == 1:
            for i in range(len(row)):
                row[i] = a * w[0, i]
        elif n == 2:
            b = v[1, j]
            for i in range(len(row)):
                row[i] = a * w[0, i] + b * w[1, i]
        elif n == 3:
            b, c = v[1, j], v[2, j]
            for i in range(len(row)):
                row[i] = a * w[0, i] + b * w[1, i] + c * w[2, i]
        else:
            b, c, d = v[1, j], v[2, j], v[3, j]
            for i in range(len(row)):
                row[i] = a * w[0, i] + b * w[1, i] + c * w[2, i] + d * w[3, i]


@intrinsic
def bits_of(context, value):
    """The 32 bits of a float32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@kernel()
def widen(halves, floats):
    """bfloat16, as int16, to float32."""
    for i in range(len(halves)):
        floats[i] = number(halves[i])


@kernel()
def narrow(floats, halves):
    """float32 to bfloat16, as int16: to the nearest, and of two to the even one."""
    for i in range(len(floats)):
        bits = bits_of(floats[i])
        rounded = (bits + np.int32(0x7FFF) + ((bits >> np.int32(16)) & np.int32(1))) >> np.int32(16)
        halves[i] = np.int16(rounded) if floats[i] == floats[i] else np.int16(0x7FC0)
