"""Products of a lone row of gradients, for which packing would take longer than the product.

The row is in panel order: (P, blocks · width), ``width`` units of each block in a panel. The bits
are those of the products of ``fastlstm.kernels.matmul``, which take any number of rows.
"""

from __future__ import annotations

from fastlstm.kernels.jit import inline
from fastlstm.kernels.matmul import K_BLOCK
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fill, fma, lanes, load_first, store, store_first
from fastlstm.kernels.team import share
from fastlstm.kernels.transpose import add_square

# Rows that are written side by side: one place serves them all.
ROWS_TOGETHER = 8


@kernel
def outer_product(d, a, b, width, blocks, ones, more, crew):
    """``multiply_transposed`` of one row: d is written once.

    d : (K + ones, blocks · units)
    a : (1, K)
    b : the row, flat
    """
    depth = a.shape[1]
    units = d.shape[1] // blocks
    step = lanes(d)
    zero = fill(d, 0.0)
    first, last = share(depth + ones, crew)
    for k0 in range(first, last, ROWS_TOGETHER):
        k1 = min(k0 + ROWS_TOGETHER, last)
        for g in range(blocks):
            for p in range((units + width - 1) // width):
                for v in range(0, width, step):
                    u = p * width + v
                    count = max(0, min(step, units - u))
                    line = load_first(b, (p * blocks + g) * width + v, count)
                    for k in range(k0, k1):
                        total = fma(line, a[0, k] if k < depth else 1.0, zero)
                        d_at = (k * blocks + g) * units + u
                        if more:
                            total = load_first(d, d_at, count) + total
                        store_first(total, d, d_at, count)


@kernel
def multiply_by_rows(d, b, matrix, width, blocks, crew):
    """``multiply`` of one row with the packed transpose of a matrix, which is read as it is.

    d : (1, N), whole vectors
    b : the row, flat
    matrix : (N, blocks · units), whole panels of units
    """
    step = lanes(d)
    first, last = share(matrix.shape[0] // step, crew)
    for n in range(first, last, 2):
        # Two sums at once, so that neither waits for itself; the last one may be its own second.
        second = step if n + 1 < last else 0
        _multiply_rows(d, b, matrix, width, blocks, n * step, second)


@inline
def _multiply_rows(d, b, matrix, width, blocks, n, second):
    line = matrix.shape[1]
    units = line // blocks
    panels, columns = units // width, blocks * width
    together = max(1, K_BLOCK // columns)
    step = lanes(d)
    low = high = fill(d, 0.0)
    for p0 in range(0, panels, together):
        part = other = fill(d, 0.0)
        for p in range(p0, min(p0 + together, panels)):
            for g in range(blocks):
                for v in range(0, width, step):
                    at = n * line + g * units + p * width + v
                    b_at = p * columns + g * width + v
                    part = add_square(part, matrix, at, line, b, b_at)
                    other = add_square(other, matrix, at + second * line, line, b, b_at)
        low = low + part
        high = high + other
    store(high, d, n + second)
    store(low, d, n)
