"""Products of small matrices, sample by sample, on the register tile.

``products`` takes all rows of one array with all rows of another:

a      (I, B, K)
c      (J, B, K)
out    (I, B, J)

A thread takes samples as a whole, so every sum has one order. The second matrix of a product is
laid out as panels first, in ``scratch`` (threads, ``scratch_size``).
"""

from __future__ import annotations

from fastlstm.kernels.cell import PANEL_VECTORS, PLAIN, Strip
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import inline
from fastlstm.kernels.matmul import K_BLOCK, ROW_BLOCK
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fill, lanes, load, load_first, store, store_first
from fastlstm.kernels.team import share
from fastlstm.kernels.tile import begin_panel, multiply_panel
from fastlstm.kernels.transpose import transpose_square


_WIDE, _NARROW = Strip(3), Strip(2)


def scratch_size(rows: int, columns: int, depth: int, itemsize: int) -> int:
    """Elements that each thread needs for A·B, A·Bᵀ and Aᵀ·B of matrices of these sizes."""
    lanes = HOST.lanes(8 * itemsize)
    sizes = rows, columns, depth
    laid = max((-(-n // lanes) + 1) * lanes * k for n in sizes for k in sizes)
    copied = ROW_BLOCK * (max(sizes) + K_BLOCK)
    return ROW_BLOCK * PANEL_VECTORS * lanes + copied + laid


@inline
def _laid(scratch, member, depth):
    """Where B is laid out, behind the sums and a copy of rows of A."""
    panel = PANEL_VECTORS * lanes(scratch)
    whole = (depth + K_BLOCK - 1) // K_BLOCK * K_BLOCK
    return member * scratch.shape[1] + ROW_BLOCK * (panel + whole)


@inline
def strip_width(columns, step):
    """How wide the next strip is: so many vectors together that the last are not half empty."""
    vectors = (columns + step - 1) // step
    if vectors == 4 or vectors > 6:
        return 4 * step
    return 3 * step if vectors > 2 else 2 * step


@inline
def lay_rows(scratch, member, b, b_at, b_row, depth, columns):
    """Lay out B, whose ``depth`` rows stand from ``b_at`` on, ``b_row`` apart."""
    step = lanes(scratch)
    at = _laid(scratch, member, depth)
    for k in range(depth):
        row = b_at + k * b_row
        first = 0
        while first < columns:
            width = strip_width(columns - first, step)
            target = at + first * depth + k * width
            _copy_row(scratch, target, b, row + first, min(width, columns - first))
            first += width


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
    at = _laid(scratch, member, depth)
    whole = depth // step * step
    flat = b.reshape(-1)
    laid = scratch.reshape(-1)
    first = 0
    while first < columns:
        width = strip_width(columns - first, step)
        for column in range(first, min(first + width, columns), step):
            target = at + first * depth + column - first
            source = b_at + column * b_row
            k = 0
            if column + step <= columns:
                while k < whole:
                    transpose_square(scratch, target + k * width, width, b, source + k, b_row)
                    k += step
            for j in range(min(step, columns - column)):
                for i in range(k, depth):
                    laid[target + i * width + j] = flat[source + j * b_row + i]
        first += width


@inline
def multiply_laid(
    out, out_at, out_row, factor, more, a, a_at, a_row, a_k, scratch, member, rows, depth, columns
):  # fmt: skip
    """out = factor · A·B, or more of it; B is what was laid out last.

    A[r, k] stands at ``a_at + r * a_row + k * a_k``, and either step is 1; rows of ``out`` start
    ``out_row`` apart.
    """
    step = lanes(scratch)
    sums = member * scratch.shape[1]
    copied = sums + ROW_BLOCK * PANEL_VECTORS * step
    laid = _laid(scratch, member, depth)
    blocks = (rows + ROW_BLOCK - 1) // ROW_BLOCK
    block = (rows + blocks - 1) // blocks
    for r0 in range(0, rows, block):
        height = min(block, rows - r0)
        if a_k == 1:
            _copy(scratch, copied, K_BLOCK, a, a_at + r0 * a_row, a_row, height, depth)
        else:
            _copy(scratch, copied, ROW_BLOCK, a, a_at + r0 * a_row, a_k, depth, height)
        column = 0
        while column < columns:
            width = strip_width(columns - column, step)
            strip = laid + column * depth
            at = out_at + r0 * out_row + column
            if factor == 1.0 and width == PANEL_VECTORS * step and column + width <= columns:
                _make(out, at, out_row, more, scratch, sums, copied, a_k, strip, height, depth)
            else:
                _sum(scratch, sums, width, copied, a_k, strip, height, depth)
                count = min(width, columns - column)
                for r in range(height):
                    _write(out, at + r * out_row, factor, more, scratch, sums + r * width, count)
            column += width


@inline
def _make(out, at, out_row, more, scratch, zeros, copied, a_k, strip, rows, depth):
    """A whole strip of the result, in its place."""
    start, width = 0, PANEL_VECTORS * lanes(scratch)
    if not more:
        start = K_BLOCK
        for v in range(0, width, lanes(scratch)):
            store(fill(scratch, 0.0), scratch, zeros + v)
        a_at, a_row, a_step = _copied(copied, a_k, 0, rows)
        begin_panel(
            PLAIN, out, at, out_row, scratch, zeros, scratch, a_at, a_row, a_step,
            scratch, strip, rows, min(K_BLOCK, depth),
        )  # fmt: skip
    for k in range(start, depth, K_BLOCK):
        count = min(K_BLOCK, depth - k)
        _add(PLAIN, width, out, at, out_row, scratch, copied, a_k, strip, k, rows, count)


@inline
def _sum(scratch, sums, width, copied, a_k, strip, rows, depth):
    """The sums of a strip."""
    step = lanes(scratch)
    for at in range(sums, sums + rows * width, step):
        store(fill(scratch, 0.0), scratch, at)
    for k in range(0, depth, K_BLOCK):
        count = min(K_BLOCK, depth - k)
        if width == 4 * step:
            _add(PLAIN, width, scratch, sums, width, scratch, copied, a_k, strip, k, rows, count)
        elif width == 3 * step:
            _add(_WIDE, width, scratch, sums, width, scratch, copied, a_k, strip, k, rows, count)
        else:
            _add(_NARROW, width, scratch, sums, width, scratch, copied, a_k, strip, k, rows, count)


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


@inline
def _copy(scratch, at, width, a, a_at, a_row, rows, columns):
    """Some rows, which may stand far apart, as blocks of ``width`` columns: (blocks, rows, width)"""
    for r in range(rows):
        row = a_at + r * a_row
        for column in range(0, columns, width):
            target = at + column * rows + r * width
            _copy_row(scratch, target, a, row + column, min(width, columns - column))


@inline
def _add(layout, width, c, c_at, c_row, scratch, copied, a_k, strip, k, rows, depth):
    """Some steps of k of one strip, of the rows that were copied last."""
    a_at, a_row, a_step = _copied(copied, a_k, k, rows)
    multiply_panel(
        layout, c, c_at, c_row, scratch, a_at, a_row, 0, a_step,
        scratch, strip + k * width, rows, 1, depth,
    )  # fmt: skip


@inline
def _copied(copied, a_k, k, rows):
    """Where the copied rows stand from k on, and the steps from row to row and from k to k."""
    if a_k == 1:
        return copied + k * rows, K_BLOCK, 1
    return copied + k * ROW_BLOCK, 1, ROW_BLOCK


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
