"""Products of a few rows: the building blocks of the kernels."""

import numpy as np

from .compiling import kernel

ROWS = 4  # rows at once: the 16 sums and 8 rows of a block of four by four fit in a CPU's registers
NEAR = 2**13  # elements of a matrix to use for all rows at a time, so that they stay in the L1 cache
FEW = 3  # from this many rows on, blocks of four are faster, padded with zeros


@kernel(inline="always")
def dot(x, w):
    total = np.float32(0)
    for i in range(x.shape[0]):
        total += x[i] * w[i]
    return total


@kernel(inline="always")
def add(y, value, row):
    for i in range(y.shape[0]):
        y[i] += value * row[i]


@kernel(inline="always")
def copy(row, to):
    """``to[:] = row`` without its check for overlap."""
    for i in range(row.shape[0]):
        to[i] = row[i]


@kernel(inline="always")
def add_rows(rows, row):
    for r in range(len(rows)):
        add(rows[r], np.float32(1), row)


@kernel(inline="always")
def dots_apart(x, w, j, step, out):
    """out[i] = x . w[i] for four rows i from j on, in steps of ``step``."""
    wa, wb, wc, wd = w[j], w[j + step], w[j + 2 * step], w[j + 3 * step]
    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for i in range(x.shape[0]):
        a += x[i] * wa[i]
        b += x[i] * wb[i]
        c += x[i] * wc[i]
        d += x[i] * wd[i]
    out[j], out[j + step], out[j + 2 * step], out[j + 3 * step] = a, b, c, d


@kernel(inline="always")
def dots_of_one(x, r, w, j, out):
    """out[r, j] = x[r] . w[j] for four rows from j on."""
    dots_apart(x[r], w, j, 1, out[r])


@kernel(inline="always")
def adds_of_one(y, v, r, w, j, step):
    """y[r] += v[r, i] * w[i] for four rows i from j on, in steps of ``step``: y is read and written once."""
    yr, wa, wb, wc, wd = y[r], w[j], w[j + step], w[j + 2 * step], w[j + 3 * step]
    a, b, c, d = v[r, j], v[r, j + step], v[r, j + 2 * step], v[r, j + 3 * step]
    for i in range(y.shape[1]):
        yr[i] += a * wa[i] + b * wb[i] + c * wc[i] + d * wd[i]


@kernel(inline="always")
def dots(x, r, w, j, out):
    """out[r, j] = x[r] . w[j] for four rows from r on and four from j on, each number read once for four products."""
    xa, xb, xc, xd = x[r], x[r + 1], x[r + 2], x[r + 3]
    wa, wb, wc, wd = w[j], w[j + 1], w[j + 2], w[j + 3]
    aa, ab, ac, ad = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    ba, bb, bc, bd = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    ca, cb, cc, cd = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    da, db, dc, dd = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for i in range(x.shape[1]):
        p, q, s, t = wa[i], wb[i], wc[i], wd[i]
        own = xa[i]
        aa, ab, ac, ad = aa + own * p, ab + own * q, ac + own * s, ad + own * t
        own = xb[i]
        ba, bb, bc, bd = ba + own * p, bb + own * q, bc + own * s, bd + own * t
        own = xc[i]
        ca, cb, cc, cd = ca + own * p, cb + own * q, cc + own * s, cd + own * t
        own = xd[i]
        da, db, dc, dd = da + own * p, db + own * q, dc + own * s, dd + own * t
    out[r, j], out[r, j + 1], out[r, j + 2], out[r, j + 3] = aa, ab, ac, ad
    out[r + 1, j], out[r + 1, j + 1], out[r + 1, j + 2], out[r + 1, j + 3] = ba, bb, bc, bd
    out[r + 2, j], out[r + 2, j + 1], out[r + 2, j + 2], out[r + 2, j + 3] = ca, cb, cc, cd
    out[r + 3, j], out[r + 3, j + 1], out[r + 3, j + 2], out[r + 3, j + 3] = da, db, dc, dd


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
        p, q, s, t = wa[i], wb[i], wc[i], wd[i]
        ya[i] += aa * p + ab * q + ac * s + ad * t
        yb[i] += ba * p + bb * q + bc * s + bd * t
        yc[i] += ca * p + cb * q + cc * s + cd * t
        yd[i] += da * p + db * q + dc * s + dd * t


@kernel()
def padded(n):
    """The number of rows that an array needs for a product of n rows: those after the n-th must be zeros."""
    return n if n < FEW else (n + ROWS - 1) // ROWS * ROWS


@kernel()
def matmul_transposed(x, w, n, y):
    """y (n, m) = x (n, d) times w (m, d) transposed; x and y have ``padded(n)`` rows."""
    m = w.shape[0]
    fours = m - m % ROWS
    if n < FEW:
        for r in range(n):
            for j in range(0, fours, ROWS):
                dots_of_one(x, r, w, j, y)
    else:
        for j in range(0, fours, ROWS):
            for r in range(0, n, ROWS):
                dots(x, r, w, j, y)
    for j in range(fours, m):
        for r in range(n):
            y[r, j] = dot(x[r], w[j])


@kernel()
def add_matmul_of_fours(x, w, n, y):
    m = w.shape[0]
    for r in range(0, n, ROWS):
        for j in range(0, m - m % ROWS, ROWS):  # from 0, or else LLVM checks for overlap in each iteration
            adds(y, x, r, w, j)


@kernel()
def add_matmul(x, w, n, y):
    """x (n, m) times w (m, d), added to y (n, d); x and y have ``padded(n)`` rows."""
    m = w.shape[0]
    fours = m - m % ROWS
    if n < FEW:
        for r in range(n):
            for j in range(0, fours, ROWS):
                adds_of_one(y, x, r, w, j, 1)
    else:
        near = max(ROWS, NEAR // w.shape[1] // ROWS * ROWS)
        for first in range(0, fours, near):
            add_matmul_of_fours(x[:, first : first + near], w[first : first + near], n, y)
    for j in range(fours, m):
        for r in range(n):
            add(y[r], x[r, j], w[j])
