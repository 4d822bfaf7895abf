"""Dot products of rows in hand-written vector code.

LLVM also vectorises a loop with many sums, but then adds up the lanes of each sum separately: with rows of 256 numbers,
that is a quarter of the time on a Zen 5. Here the lanes of all sums are added up together.
"""

import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = {"AVX512": 16, "AVX2": 8}.get(torch.backends.cpu.get_cpu_capability(), 4)  # float32 numbers in a vector
ROWS = 4  # rows at once: the 16 sums and 8 rows of a block of four by four fit in a CPU's registers
INTEGER = ir.IntType(64)
VECTOR, LANE_NUMBERS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
ZERO = ir.Constant(VECTOR, [0.0] * LANES)


def load(builder, row, i):
    """LANES numbers of a row from i on, as a vector."""
    return builder.load(builder.bitcast(builder.gep(row, [i]), VECTOR.as_pointer()), align=4)


def add_up(builder, vectors):
    """The sums of the lanes of LANES vectors, as one vector: neighbours are added until each sum is one lane."""
    even, odd = (ir.Constant(LANE_NUMBERS, [*range(first, 2 * LANES, 2)]) for first in (0, 1))
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [
            builder.fadd(builder.shuffle_vector(a, b, even), builder.shuffle_vector(a, b, odd)) for a, b in pairs
        ]
    return vectors[0]


def last_lanes(builder, n):
    """A mask of the last n lanes of a vector."""
    one = builder.insert_element(
        ir.Constant(LANE_NUMBERS, ir.Undefined), builder.trunc(n, ir.IntType(32)), ir.IntType(32)(0)
    )
    n = builder.shuffle_vector(one, one, ir.Constant(LANE_NUMBERS, [0] * LANES))
    return builder.icmp_signed("<=", ir.Constant(LANE_NUMBERS, [*range(LANES, 0, -1)]), n)


def products(rows):
    """An intrinsic (x, r, w, j, out): out[r, j] = x[r] . w[j] for ``rows`` rows from r on and ROWS from j on, all
    contiguous and of at least LANES columns."""

    def generate(context, builder, signature, arguments):
        kinds, (_, r, _, j, _) = signature.args, arguments

        def at(place, first, n, column):
            array = context.make_array(kinds[place])(context, builder, arguments[place])
            each = ([builder.add(first, INTEGER(row)), column] for row in range(n))
            return [cgutils.get_item_pointer(context, builder, kinds[place], array, which) for which in each]

        x, w, out = at(0, r, rows, INTEGER(0)), at(2, j, ROWS, INTEGER(0)), at(4, r, rows, j)
        array = context.make_array(kinds[0])(context, builder, arguments[0])
        columns = cgutils.unpack_tuple(builder, array.shape)[1]
        totals = [cgutils.alloca_once_value(builder, ZERO) for _ in range(rows * ROWS)]

        def take(i, chosen=None):
            """Add the products of LANES columns from i on, or of the chosen ones, to the totals."""
            left = [load(builder, row, i) for row in x]
            right = [load(builder, row, i) for row in w]
            if chosen is not None:
                left, right = ([builder.select(chosen, row, ZERO) for row in side] for side in (left, right))
            for total, (a, b) in zip(totals, [(a, b) for a in left for b in right], strict=True):
                product = builder.fmul(a, b, flags=("contract",))
                builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)

        whole = builder.and_(columns, INTEGER(-LANES))
        with cgutils.for_range_slice(builder, INTEGER(0), whole, INTEGER(LANES), INTEGER) as (i, _):
            take(i)
        rest = builder.sub(columns, whole)
        with builder.if_then(builder.icmp_signed(">", rest, INTEGER(0))):  # the last LANES, without those taken before
            take(builder.sub(columns, INTEGER(LANES)), last_lanes(builder, rest))

        found = [builder.load(total) for total in totals]
        found += [ZERO] * (-len(found) % LANES)
        sums = [add_up(builder, found[first : first + LANES]) for first in range(0, len(found), LANES)]
        some = ir.VectorType(ir.FloatType(), ROWS)
        for row in range(rows):
            total, lane = sums[row * ROWS // LANES], row * ROWS % LANES
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), ROWS), [*range(lane, lane + ROWS)])
            part = builder.shuffle_vector(total, total, lanes)
            builder.store(part, builder.bitcast(out[row], some.as_pointer()), align=4)
        return context.get_dummy_value()

    @intrinsic
    def products_of_rows(context, x, r, w, j, out):
        return types.none(x, r, w, j, out), generate

    return products_of_rows
