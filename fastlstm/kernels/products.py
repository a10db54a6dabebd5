"""Products of small matrices, sample by sample, on the register tile.

``products`` takes all rows of one array with all rows of another:

a      (I, B, K)
c      (J, B, K)
out    (I, B, J)

A thread takes samples as a whole, so every sum has one order. The second matrix of a product is
laid out as panels first, in ``scratch`` (threads, ``scratch_size``).
"""

from __future__ import annotations

from fastlstm.kernels.cell import PANEL_VECTORS, PLAIN
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import inline
from fastlstm.kernels.matmul import K_BLOCK, ROW_BLOCK
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fill, lanes, load, load_first, store, store_first
from fastlstm.kernels.team import share
from fastlstm.kernels.tile import multiply_panel
from fastlstm.kernels.transpose import transpose_square


def scratch_size(rows: int, columns: int, depth: int, itemsize: int) -> int:
    """Elements that each thread needs for A·B, A·Bᵀ and Aᵀ·B of matrices of these sizes."""
    width = PANEL_VECTORS * HOST.lanes(8 * itemsize)
    sizes = rows, columns, depth
    packed = max(-(-n // width) * k for n in sizes for k in sizes)
    return (ROW_BLOCK + packed) * width


@inline
def lay_rows(scratch, member, b, b_at, b_row, depth, columns):
    """Lay out B, whose ``depth`` rows stand from ``b_at`` on, ``b_row`` apart."""
    step = lanes(scratch)
    width = PANEL_VECTORS * step
    at = member * scratch.shape[1] + ROW_BLOCK * width
    for column in range(0, columns, step):
        count = min(step, columns - column)
        target = at + column // width * depth * width + column % width
        for k in range(depth):
            store(load_first(b, b_at + k * b_row + column, count), scratch, target + k * width)


@inline
def lay_columns(scratch, member, b, b_at, b_row, depth, columns):
    """Lay out Bᵀ: rows of B stand from ``b_at`` on, ``b_row`` apart, ``depth`` long."""
    step = lanes(scratch)
    width = PANEL_VECTORS * step
    at = member * scratch.shape[1] + ROW_BLOCK * width
    whole = depth // step * step
    for column in range(0, columns, step):
        target = at + column // width * depth * width + column % width
        source = b_at + column * b_row
        k = 0
        if column + step <= columns:
            while k < whole:
                transpose_square(scratch, target + k * width, width, b, source + k, b_row)
                k += step
        flat = b.reshape(-1)
        laid = scratch.reshape(-1)
        for j in range(min(step, columns - column)):
            for i in range(k, depth):
                laid[target + i * width + j] = flat[source + j * b_row + i]


@inline
def multiply_laid(
    out, out_at, out_row, factor, more, a, a_at, a_row, a_k, scratch, member, rows, depth, columns
):  # fmt: skip
    """out = factor · A·B, or more of it; B is what was laid out last.

    A[r, k] stands at ``a_at + r * a_row + k * a_k``; rows of ``out`` start ``out_row`` apart.
    """
    step = lanes(scratch)
    width = PANEL_VECTORS * step
    sums = member * scratch.shape[1]
    laid = sums + ROW_BLOCK * width
    for r0 in range(0, rows, ROW_BLOCK):
        height = min(ROW_BLOCK, rows - r0)
        for column in range(0, columns, width):
            panel = laid + column * depth
            for at in range(sums, sums + height * width, step):
                store(fill(scratch, 0.0), scratch, at)
            for k in range(0, depth, K_BLOCK):
                multiply_panel(
                    PLAIN, scratch, sums, width, a, a_at + r0 * a_row + k * a_k, a_row, 0, a_k,
                    scratch, panel + k * width, height, 1, min(K_BLOCK, depth - k),
                )  # fmt: skip
            for v in range(0, min(width, columns - column), step):
                count = min(step, columns - column - v)
                for r in range(height):
                    value = factor * load(scratch, sums + r * width + v)
                    at = out_at + (r0 + r) * out_row + column + v
                    if more:
                        value = value + load_first(out, at, count)
                    store_first(value, out, at, count)


@kernel
def products(out, scratch, a, c, crew):
    """out[i, b, j] = the sum of a[i, b, k] · c[j, b, k] over k."""
    rows, batch, depth = a.shape
    columns = c.shape[0]
    member = crew.member
    first, last = share(batch, crew)
    for b in range(first, last):
        lay_columns(scratch, member, c, b * depth, batch * depth, depth, columns)
        multiply_laid(
            out, b * columns, batch * columns, 1.0, False,
            a, b * depth, batch * depth, 1, scratch, member, rows, depth, columns,
        )  # fmt: skip


@kernel
def products_gradients(d_a, d_c, scratch, d_out, a, c, crew):
    """The gradients of ``products``."""
    rows, batch, depth = a.shape
    columns = c.shape[0]
    member = crew.member
    row, d_row = batch * depth, batch * columns
    first, last = share(batch, crew)
    for b in range(first, last):
        at, d_at = b * depth, b * columns
        lay_rows(scratch, member, c, at, row, columns, depth)
        multiply_laid(
            d_a, at, row, 1.0, False, d_out, d_at, d_row, 1, scratch, member, rows, columns, depth
        )
        lay_rows(scratch, member, a, at, row, rows, depth)
        multiply_laid(
            d_c, at, row, 1.0, False, d_out, d_at, 1, d_row, scratch, member, columns, rows, depth
        )
