"""Matrix products on the register tile: A·B, Aᵀ·B and A·Bᵀ over packed panels.

Glossary: A is (M, K), B is (K, N). A *panel* holds ``PANEL_VECTORS`` vectors of neighbouring
columns for all k, so that a tile reads it from first to last; the last panel is filled up with
zeros. A *block* is one of G column groups that stand side by side in B (the gates of a cell);
a panel then holds the same units of every block.
"""

from __future__ import annotations

from fastlstm.kernels.activations import activate
from fastlstm.kernels.cell import PANEL_VECTORS, PLAIN
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fill, lanes, load, load_first, store, store_first
from fastlstm.kernels.team import share
from fastlstm.kernels.tile import multiply_panel, multiply_two_panels
from fastlstm.kernels.transpose import transpose_square

# Rows a thread must get before the rows are shared rather than the panels.
MIN_ROWS = 4
# Bytes of A that are used on all panels before the next ones.
GROUP_BYTES = 1 << 20
# Steps of k at a time: a panel's slice and the rows that meet it stay in the first-level cache.
K_BLOCK = 16384 // (PANEL_VECTORS * HOST.vector_bytes)
# Rows at a time, for the same reason; ``scratch`` has this many.
ROW_BLOCK = 48
# Rows of A between which Aᵀ·B keeps its partial sums apart: part of the result's definition.
SUM_BLOCK = K_BLOCK
# Panels that are packed at once.
PANELS_PACKED = 16
# Elements between packed rows of A, so that they do not collide in the caches.
A_PADDING = 16


@kernel
def pack(packed, matrix, blocks, width, crew):
    """Pack B, (K, blocks·units), as panels.

    packed : (P, K, blocks·width), ``width`` units of each block in a panel
    """
    first, last = share(packed.shape[0], crew)
    for p in range(first, last, PANELS_PACKED):
        _pack(packed, matrix, blocks, width, p, min(p + PANELS_PACKED, last))


@inline
def _pack(packed, matrix, blocks, width, first, last):
    """A few panels at once: where rows are long, each one visited costs a page of memory."""
    _, depth, columns = packed.shape
    step = lanes(packed)
    units = matrix.shape[1] // blocks
    for k in range(depth):
        for p in range(first, last):
            for g in range(blocks):
                for v in range(0, width, step):
                    unit = p * width + v
                    count = max(0, min(step, units - unit))
                    value = load_first(matrix, (k * blocks + g) * units + unit, count)
                    store(value, packed, (p * depth + k) * columns + g * width + v)


@kernel
def pack_transposed(packed, matrix, blocks, width, crew):
    """Pack Bᵀ, where B is (N, blocks·units), for a product whose k runs in panel order.

    packed : (Q, P·blocks·width, 4 vectors); k = (panel, block, unit in the panel)
    width : whole vectors, or all units of one block
    """
    first, last = share(packed.shape[0], crew)
    for q in range(first, last):
        _pack_transposed(packed, matrix, blocks, width, q)


@inline
def _pack_transposed(packed, matrix, blocks, width, q):
    _, depth, columns = packed.shape
    stride = matrix.shape[1]
    units = stride // blocks
    step = lanes(packed)
    rows = min(columns, matrix.shape[0] - q * columns)
    for k in range(0, depth, step):
        unit = k // (blocks * width) * width + k % width
        column = k // width % blocks * units + unit
        whole = rows // step * step if units - unit >= step else 0
        for n in range(0, whole, step):
            transpose_square(
                packed, (q * depth + k) * columns + n, columns,
                matrix, (q * columns + n) * stride + column, stride,
            )  # fmt: skip
        for i in range(min(step, depth - k)):
            for n in range(whole, columns):
                inside = unit + i < units and n < rows
                packed[q, k + i, n] = matrix[q * columns + n, column + i] if inside else 0.0


@kernel
def multiply(activation, out, scratch, a, a_row, a_seg, segs, seg_k, packed, bias, crew):
    """out = activation(A·B + bias), row by row.

    out : (M, N)
    scratch : (threads, ROW_BLOCK · 4 vectors)
    a : memory of A, flat; element (r, s·seg_k + k) stands at r·a_row + s·a_seg + k
    packed : (Q, K, 4 vectors)
    bias : (N,) or (0,)
    """
    columns = packed.shape[2]
    rows, n = out.shape
    # A thread reads all of what is not shared: share the larger of the two matrices.
    by_rows = rows >= n and rows >= MIN_ROWS * crew.size
    first, last = share(rows, crew) if by_rows else (0, rows)
    q_first, q_last = (0, packed.shape[0]) if by_rows else share(packed.shape[0], crew)
    # Rows whose part of A stays in the caches meet every panel in turn.
    depth = segs * seg_k
    group = max(ROW_BLOCK, GROUP_BYTES // (depth * out.itemsize) // ROW_BLOCK * ROW_BLOCK)
    at = crew.member * scratch.shape[1]
    for g0 in range(first, last, group):
        for q in range(q_first, q_last):
            for r0 in range(g0, min(g0 + group, last), ROW_BLOCK):
                height = min(ROW_BLOCK, min(g0 + group, last) - r0)
                _start(scratch, at, height, columns, bias, q * columns, n)
                accumulate(
                    scratch, at, columns, 0, False, a, r0 * a_row, a_row, a_seg, segs, seg_k,
                    packed, q * packed.shape[1] * columns, height,
                )  # fmt: skip
                _finish(activation, out, scratch, at, r0, height, q * columns, columns)


@inline
def accumulate(
    c, c_at, c_row, c_second, two, a, a_at, a_row, a_seg, segs, seg_k, packed, packed_at, rows
):  # fmt: skip
    """C += A·P for one panel of four vectors, k block by k block; or for ``two`` of a lone row.

    The blocks depend on (segs, seg_k) alone: they are part of the result's definition.
    """
    columns = PANEL_VECTORS * lanes(c)
    seg_block = max(1, K_BLOCK // seg_k)
    for s in range(0, segs, seg_block):
        for k in range(0, seg_k, K_BLOCK):
            at = packed_at + (s * seg_k + k) * columns
            count, depth = min(seg_block, segs - s), min(K_BLOCK, seg_k - k)
            if two:
                multiply_two_panels(
                    PLAIN, c, c_at, c_second, a, a_at + s * a_seg + k, a_seg,
                    packed, at, segs * seg_k * columns, count, depth,
                )  # fmt: skip
            else:
                multiply_panel(
                    PLAIN, c, c_at, c_row, a, a_at + s * a_seg + k, a_row, a_seg, 1,
                    packed, at, rows, count, depth,
                )  # fmt: skip


@inline
def _start(scratch, at, rows, columns, bias, column, n):
    """Begin each row's sum with the bias, or zero."""
    step = lanes(scratch)
    count = min(len(bias), n)
    for v in range(0, columns, step):
        value = load_first(bias, column + v, max(0, min(step, count - column - v)))
        for r in range(rows):
            store(value, scratch, at + r * columns + v)


@inline
def _finish(activation, out, scratch, at, row, rows, column, columns):
    step = lanes(out)
    n = out.shape[1]
    for r in range(rows):
        for v in range(0, min(columns, n - column), step):
            value = activate(activation, load(scratch, at + r * columns + v))
            store_first(value, out, (row + r) * n + column + v, min(step, n - column - v))


@kernel
def multiply_transposed(
    layout, blocks, d, partial, packed_a, packed_b, a, b, b_rows, ones, more, crew
):  # fmt: skip
    """d = [A, ones]ᵀ·B over all M rows: threads take (panel, row of d) pairs, and all M rows.

    Blocks of ``SUM_BLOCK`` rows are summed from the last to the first. So a product over parts of
    the rows, from the last part to the first, each from a whole number of blocks on, has the same
    bits: each part but the last goes on from d with ``more``.

    layout : ``tile_layout(blocks)``
    blocks : how many groups B's columns form
    d : (K + ones, blocks·units)
    partial : (P, K + ones, panel columns), scratch for the sums
    packed_a : (threads, SUM_BLOCK · (K + ones + A_PADDING)), scratch
    packed_b : (threads, SUM_BLOCK · panel columns), scratch where b is not packed
    a : memory of A, (M, K)
    b : memory of B, flat: (P, ``b_rows``, panel columns), b_rows at least M; or, with b_rows 0,
        (M, units)
    ones : 1 adds a column of ones to A, whose row of d is the sum of B's rows; or 0
    more : whether to add to d rather than replace it
    """
    panels, depth, columns = partial.shape
    rows = a.shape[0]
    first, last = share(panels * depth, crew)
    _start_sums(partial, d, blocks, first, last, more)
    a_row = depth + A_PADDING
    a_at = crew.member * packed_a.shape[1]
    b_at = crew.member * packed_b.shape[1]
    for m0 in range((rows - 1) // SUM_BLOCK * SUM_BLOCK, -1, -SUM_BLOCK):
        height = min(SUM_BLOCK, rows - m0)
        _copy_rows(packed_a, a_at, a_row, a, m0, height, depth - ones, ones)
        for p in range(first // depth, (last + depth - 1) // depth):
            k0 = max(0, first - p * depth)
            count = min(depth, last - p * depth) - k0
            at = (p * depth + k0) * columns
            # Row and k strides of A are exchanged: that is all there is to the transpose.
            if b_rows > 0:
                multiply_panel(
                    layout, partial, at, columns, packed_a, a_at + k0, 1, 0, a_row,
                    b, (p * b_rows + m0) * columns, count, 1, height,
                )  # fmt: skip
            else:
                _copy_panel(packed_b, b_at, b, m0, height, p * columns, columns, d.shape[1])
                multiply_panel(
                    layout, partial, at, columns, packed_a, a_at + k0, 1, 0, a_row,
                    packed_b, b_at, count, 1, height,
                )  # fmt: skip
    width = columns // blocks
    units = d.shape[1] // blocks
    for item in range(first, last):
        p, k = item // depth, item % depth
        for g in range(blocks):
            for u in range(min(width, units - p * width)):
                d[k, g * units + p * width + u] = partial[p, k, g * width + u]


@inline
def _start_sums(partial, d, blocks, first, last, more):
    """Begin with zero, or with the sums so far."""
    _, depth, columns = partial.shape
    zero = fill(partial, 0.0)
    for at in range(first * columns, last * columns, lanes(partial)):
        store(zero, partial, at)
    if more:
        width = columns // blocks
        units = d.shape[1] // blocks
        for item in range(first, last):
            p, k = item // depth, item % depth
            for g in range(blocks):
                for u in range(min(width, units - p * width)):
                    partial[p, k, g * width + u] = d[k, g * units + p * width + u]


@inline
def _copy_rows(packed, at, stride, a, row, rows, depth, ones):
    """Rows of A, ``stride`` apart: a power of two apart they would collide in the caches."""
    step = lanes(packed)
    one = fill(packed, 1.0)
    for m in range(rows):
        start = at + m * stride
        for k in range(0, depth, step):
            count = min(step, depth - k)
            store_first(load_first(a, (row + m) * depth + k, count), packed, start + k, count)
        store_first(one, packed, start + depth, ones)


@inline
def _copy_panel(packed, at, b, row, rows, column, columns, n):
    step = lanes(packed)
    for r in range(rows):
        for v in range(0, columns, step):
            count = max(0, min(step, n - column - v))
            value = load_first(b, (row + r) * n + column + v, count)
            store(value, packed, at + r * columns + v)
