"""Work along the rows of a matrix; sums in an order that the row's length alone fixes."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastlstm.kernels import emit
from fastlstm.kernels.jit import inline
from fastlstm.kernels.math import exp_falling
from fastlstm.kernels.simd import (
    Mask,
    Vector,
    fill,
    lanes,
    load,
    load_first,
    select,
    store_first,
    sum_lanes,
)
from fastlstm.kernels.team import meet

# Vectors between which a sum moves on to float64: few enough that float32 loses nothing.
SUM_VECTORS = 32
# Rows that a thread takes at a time, where some may be left out.
ROWS_TAKEN = 16


@intrinsic
def first_lanes(typingctx, array, count):
    """Mask of the first ``count`` lanes of the array's vectors."""
    vector = Vector(array.dtype)

    def codegen(context, builder, sig, args):
        return emit.first_lanes(builder, vector.lanes, args[1])

    return Mask(vector.lanes)(array, types.intp), codegen


@intrinsic
def max_lanes(typingctx, x):
    """Largest lane; NaN does not count."""

    def codegen(context, builder, sig, args):
        value, count = args[0], x.lanes
        while count > 1:
            count //= 2
            index = ir.VectorType(ir.IntType(32), count)
            undefined = ir.Constant(value.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(
                    value, undefined, ir.Constant(index, list(range(start, start + count)))
                )
                for start in (0, count)
            )
            value = builder.select(builder.fcmp_ordered(">", low, high), low, high)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return x.dtype(x), codegen


@inline
def load_or(x, at, count, other):
    """The first ``count`` elements at ``at``, or a whole vector; ``other`` in lanes beyond."""
    if count >= lanes(x):
        return load(x, at)
    return select(first_lanes(x, count), load_first(x, at, count), other)


@inline
def row_max(x, at, n):
    """Largest of ``n`` elements; NaN does not count."""
    step = lanes(x)
    first, second = fill(x, -np.inf), fill(x, -np.inf)
    whole = n - n % (2 * step)
    for j in range(0, whole, 2 * step):
        # Of two chains, one is compared while the other waits.
        value, other = load(x, at + j), load(x, at + j + step)
        first = select(value > first, value, first)
        second = select(other > second, other, second)
    for j in range(whole, n, step):
        value = load_or(x, at + j, n - j, -np.inf)
        first = select(value > first, value, first)
    return max_lanes(select(first > second, first, second))


@inline
def row_sum(x, at, n):
    """Sum of ``n`` elements, in float64."""
    step = lanes(x)
    total = 0.0
    for j0 in range(0, n, step * SUM_VECTORS):
        part = fill(x, 0.0)
        for j in range(j0, min(n, j0 + step * SUM_VECTORS), step):
            part = part + load_or(x, at + j, n - j, 0.0)
        total += np.float64(sum_lanes(part))
    return total


@inline
def exp_row(out, wants_out, x, at, n, shift):
    """e**(x - shift) of a row whose largest element is ``shift``, into ``out`` where wanted.

    Returns their sum in float64.
    """
    step = lanes(x)
    total = 0.0
    for j0 in range(0, n, step * SUM_VECTORS):
        part = fill(x, 0.0)
        for j in range(j0, min(n, j0 + step * SUM_VECTORS), step):
            # e**-inf is nothing, so that lanes beyond the row add nothing.
            value = exp_falling(load_or(x, at + j, n - j, -np.inf) - shift)
            part = part + value
            if wants_out:
                store_first(value, out, at + j, min(step, n - j))
        total += np.float64(sum_lanes(part))
    return total


@inline
def scale_row(x, at, n, factor):
    """x *= factor."""
    step = lanes(x)
    for j in range(0, n, step):
        count = min(step, n - j)
        store_first(load_or(x, at + j, count, 0.0) * factor, x, at + j, count)


@inline
def dot_rows(x, x_at, y, y_at, n):
    """Sum of x · y over ``n`` elements of each, in float64."""
    step = lanes(x)
    total = 0.0
    for j0 in range(0, n, step * SUM_VECTORS):
        part = fill(x, 0.0)
        for j in range(j0, min(n, j0 + step * SUM_VECTORS), step):
            count = min(step, n - j)
            part = part + load_first(x, x_at + j, count) * load_first(y, y_at + j, count)
        total += np.float64(sum_lanes(part))
    return total


@inline
def fill_row(x, at, n, value):
    """x = value."""
    step = lanes(x)
    for j in range(0, n, step):
        store_first(fill(x, value), x, at + j, min(step, n - j))


@inline
def weighted_sum(values, weights):
    """Sum of a vector's elements times their weights (one where there are none), in float64."""
    total = 0.0
    if len(weights) == 0:
        for m in range(len(values)):
            total += np.float64(values[m])
    else:
        for m in range(len(values)):
            total += np.float64(values[m]) * np.float64(weights[m])
    return total


@inline
def mean_of_rows(total, row_loss, weights, crew):
    """total = sum of weight · loss over all rows, divided by their number."""
    meet(crew)
    if crew.member == 0:
        total[0] = weighted_sum(row_loss, weights) / len(row_loss)


@inline
def row_weight(weights, m):
    """Weight of row ``m``, in float64."""
    return 1.0 if len(weights) == 0 else np.float64(weights[m])
