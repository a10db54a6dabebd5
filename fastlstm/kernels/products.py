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
from fastlstm.kernels.tile import multiply_panel_onto
from fastlstm.kernels.transpose import transpose_square


def scratch_size(rows: int, columns: int, depth: int, itemsize: int) -> int:
    """Elements that each thread needs for A·B, A·Bᵀ and Aᵀ·B of matrices of these sizes."""
    panel = PANEL_VECTORS * HOST.lanes(8 * itemsize)
    sizes = rows, columns, depth
    laid = max(-(-n // panel) * panel * k for n in sizes for k in sizes)
    return panel + ROW_BLOCK * (panel + -(-max(sizes) // K_BLOCK) * K_BLOCK) + laid


@inline
def _laid(scratch, member, depth):
    """Where B is laid out: behind zeros, sums and a copy of rows of A."""
    panel = PANEL_VECTORS * lanes(scratch)
    copied = (depth + K_BLOCK - 1) // K_BLOCK * K_BLOCK
    return member * scratch.shape[1] + panel + ROW_BLOCK * (panel + copied)


@inline
def lay_rows(scratch, member, b, b_at, b_row, depth, columns):
    """Lay out B, whose ``depth`` rows stand from ``b_at`` on, ``b_row`` apart."""
    panel = PANEL_VECTORS * lanes(scratch)
    at = _laid(scratch, member, depth)
    for k in range(depth):
        for column in range(0, columns, panel):
            target, count = at + column * depth + k * panel, min(panel, columns - column)
            _copy_row(scratch, target, b, b_at + k * b_row + column, count)


@inline
def _copy_row(out, out_at, a, a_at, columns):
    """Copy some columns, and fill the last vector up with zeros."""
    step = lanes(out)
    whole = columns // step * step
    for v in range(0, whole, step):
        store(load(a, a_at + v), out, out_at + v)
    if whole < columns:
        store(load_first(a, a_at + whole, columns - whole), out, out_at + whole)


@inline
def lay_columns(scratch, member, b, b_at, b_row, depth, columns):
    """Lay out Bᵀ: rows of B stand from ``b_at`` on, ``b_row`` apart, ``depth`` long."""
    step = lanes(scratch)
    panel = PANEL_VECTORS * step
    at = _laid(scratch, member, depth)
    whole = depth // step * step
    flat, laid = b.reshape(-1), scratch.reshape(-1)
    for column in range(0, columns, step):
        target = at + column // panel * depth * panel + column % panel
        source = b_at + column * b_row
        k = 0
        if column + step <= columns:
            while k < whole:
                transpose_square(scratch, target + k * panel, panel, b, source + k, b_row)
                k += step
        for j in range(min(step, columns - column)):
            for i in range(k, depth):
                laid[target + i * panel + j] = flat[source + j * b_row + i]


@inline
def multiply_laid(
    out, out_at, out_row, factor, more, a, a_at, a_row, a_k, scratch, member, rows, depth, columns
):  # fmt: skip
    """out = factor · A·B, or more of it; B is what was laid out last.

    A[r, k] stands at ``a_at + r * a_row + k * a_k``, and either step is 1; rows of ``out`` start
    ``out_row`` apart.
    """
    step = lanes(scratch)
    panel = PANEL_VECTORS * step
    zeros = member * scratch.shape[1]
    sums = zeros + panel
    copied = sums + ROW_BLOCK * panel
    laid = _laid(scratch, member, depth)
    result, own = out.reshape(-1), scratch.reshape(-1)
    for v in range(0, panel, step):
        store(fill(own, 0.0), own, zeros + v)
    blocks = (rows + ROW_BLOCK - 1) // ROW_BLOCK
    block = (rows + blocks - 1) // blocks
    for r0 in range(0, rows, block):
        height = min(block, rows - r0)
        # Rows of a sample stand far apart, and would drive each other out of the caches.
        length, lines, width = (depth, height, K_BLOCK) if a_k == 1 else (height, depth, ROW_BLOCK)
        apart = a_row if a_k == 1 else a_k
        for line in range(lines):
            for k in range(0, length, width):
                target = copied + k * lines + line * width
                source = a_at + r0 * a_row + line * apart + k
                _copy_row(own, target, a, source, min(width, length - k))
        for column in range(0, columns, panel):
            # A whole panel is made in its place: its stores go out between the products.
            whole = factor == 1.0 and column + panel <= columns
            at = out_at + r0 * out_row + column
            c, c_at, c_row = result, at, out_row
            if not whole:
                c, c_at, c_row = own, sums, panel
            start, start_at, start_row = c, c_at, c_row
            if not (whole and more):
                start, start_at, start_row = own, zeros, 0
            for k in range(0, depth, K_BLOCK):
                copy_at, copy_row, copy_k = copied + k * height, K_BLOCK, 1
                if a_k != 1:
                    copy_at, copy_row, copy_k = copied + k * ROW_BLOCK, 1, ROW_BLOCK
                multiply_panel_onto(
                    PLAIN, c, c_at, c_row, start, start_at, start_row,
                    own, copy_at, copy_row, 0, copy_k, own, laid + column * depth + k * panel,
                    height, 1, min(K_BLOCK, depth - k),
                )  # fmt: skip
                start, start_at, start_row = c, c_at, c_row
            if not whole:
                count = min(panel, columns - column)
                for r in range(height):
                    _write(out, at + r * out_row, factor, more, own, sums + r * panel, count)


@inline
def _write(out, at, factor, more, sums, sums_at, columns):
    """out = factor · the sums, or more of them, for some columns of a row."""
    step = lanes(out)
    whole = columns // step * step
    for v in range(0, whole, step):
        value = factor * load(sums, sums_at + v)
        if more:
            value = value + load(out, at + v)
        store(value, out, at + v)
    if whole < columns:
        value = factor * load(sums, sums_at + whole)
        if more:
            value = value + load_first(out, at + whole, columns - whole)
        store_first(value, out, at + whole, columns - whole)


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
