"""A square of elements, as many rows as a vector has lanes, transposed in registers."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastlstm.kernels.emit import (
    data_pointer,
    fused_multiply_add,
    load_vector,
    splat,
    store_vector,
    strided,
)
from fastlstm.kernels.simd import Vector


@intrinsic
def transpose_square(typingctx, out, out_at, out_row, a, a_at, a_row):
    """out[j, i] = a[i, j] for i and j below ``lanes(a)``; rows start at ``at + i * row``."""
    vector = Vector(a.dtype)

    def codegen(context, builder, sig, args):
        target = data_pointer(context, builder, sig.args[0], args[0])
        source = data_pointer(context, builder, sig.args[3], args[3])
        rows = [
            load_vector(builder, vector, strided(builder, source, args[4], args[5], index))
            for index in range(vector.lanes)
        ]
        for index, row in enumerate(_transposed(builder, rows)):
            store_vector(builder, vector, row, strided(builder, target, args[1], args[2], index))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(out, intp, intp, a, intp, intp), codegen


@intrinsic
def add_square(typingctx, sums, a, a_at, a_row, b, b_at):
    """sums[i] + Σ a[i, j]·b[j] for i and j below ``lanes(a)``, one chain over j."""
    vector = Vector(a.dtype)

    def codegen(context, builder, sig, args):
        total = args[0]
        source = data_pointer(context, builder, sig.args[1], args[1])
        factors = data_pointer(context, builder, sig.args[4], args[4])
        rows = [
            load_vector(builder, vector, strided(builder, source, args[2], args[3], index))
            for index in range(vector.lanes)
        ]
        for index, column in enumerate(_transposed(builder, rows)):
            at = builder.add(args[5], ir.Constant(args[5].type, index))
            value = splat(builder, builder.load(builder.gep(factors, [at])), vector.lanes)
            total = fused_multiply_add(builder, value, column, total)
        return total

    intp = types.intp
    return vector(vector, a, intp, intp, b, intp), codegen


def _transposed(builder, rows):
    """Exchange the off-diagonal halves of ever larger squares: 2 x 2, 4 x 4 and so on."""
    lanes = len(rows)
    size = 1
    while size < lanes:
        upper = [lane if not lane & size else lanes + lane - size for lane in range(lanes)]
        lower = [lane + size if not lane & size else lanes + lane for lane in range(lanes)]
        for i in range(lanes):
            if not i & size:
                pair = rows[i], rows[i + size]
                rows[i], rows[i + size] = (_shuffle(builder, *pair, o) for o in (upper, lower))
        size *= 2
    return rows


def _shuffle(builder, x, y, order):
    index = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
    return builder.shuffle_vector(x, y, index)
