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
from fastlstm.kernels.spans import counts, span_start, span_stop
from fastlstm.kernels.team import share, take
from fastlstm.kernels.tile import multiply_panel_ahead, multiply_panel_onto, multiply_two_panels
from fastlstm.kernels.transpose import transpose_square

# Steps of k at a time: a panel's slice and the rows that meet it stay in the first-level cache.
K_BLOCK = 16384 // (PANEL_VECTORS * HOST.vector_bytes)
# Rows at a time, for the same reason.
ROW_BLOCK = 48
# Rows that meet a few panels before a thread takes others, and the blocks of k that they do it for
# at a time: as much of A as the second-level cache holds.
ROW_GROUP = 3 * ROW_BLOCK
BLOCKS_TOGETHER = 4
# Parts that a product should fall into for each thread, so that a slow one does fewer of them.
ITEMS_EACH = 8
# Rows of A between which Aᵀ·B keeps its partial sums apart: part of the result's definition.
SUM_BLOCK = K_BLOCK
# Rows that are packed side by side: one place serves them all.
ROWS_TOGETHER = 4
# Panels that are packed at once; and copied, or written to the result, at once.
PANELS_PACKED = 16
PANELS_AHEAD = 4
# Columns of A that Aᵀ·B packs side by side: whole vectors and whole tiles; a tile that strode over
# wider rows would miss the caches of addresses as well.
A_GROUP = max(24, 3 * HOST.lanes(32))


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
    for k0 in range(0, depth, ROWS_TOGETHER):
        k1 = min(k0 + ROWS_TOGETHER, depth)
        for p in range(first, last):
            for g in range(blocks):
                for v in range(0, width, step):
                    unit = p * width + v
                    count = max(0, min(step, units - unit))
                    at, packed_at = g * units + unit, p * depth * columns + g * width + v
                    for k in range(k0, k1):
                        value = load_first(matrix, k * blocks * units + at, count)
                        store(value, packed, packed_at + k * columns)


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
def multiply(
    activation, out, scratch, a, a_row, a_seg, segs, seg_k, packed, bias, steps, origin, mask, crew
):  # fmt: skip
    """out = activation(A·B + bias), row by row.

    out : (M, N)
    scratch : (threads, ``scratch_size``)
    a : memory of A, flat; element (r, s·seg_k + k) stands at r·a_row + s·a_seg + k
    packed : (Q, K, 4 vectors)
    bias : (N,) or (0,)
    steps : into how many steps A's rows fall whose batches stand side by side in ``out``; or 1
    origin : of each row of the batch, its place in ``out``; or (0,) for its own
    mask : (M,), or (0,): rows that do not count are not read, nor written in ``out``
    """
    panels, _, columns = packed.shape
    rows, n = out.shape
    blocks = count_blocks(segs, seg_k)
    panel_groups = (panels + PANELS_AHEAD - 1) // PANELS_AHEAD
    # Fewer rows at a time, where there would be too little to choose from.
    plenty = rows * panel_groups >= ROW_GROUP * ITEMS_EACH * crew.size
    height = ROW_GROUP if plenty else ROW_BLOCK
    row_groups = (rows + height - 1) // height
    result, own = out.reshape(-1), scratch.reshape(-1)
    line = crew.member * scratch.shape[1]
    sums = line + columns
    in_order = steps == 1 and origin.size == 0
    item = take(crew, -1)
    while item < row_groups * panel_groups:
        # The larger of the two matrices is read once; the other one, again and again.
        group, ahead = item // panel_groups, item % panel_groups
        if rows < n:
            ahead, group = item // row_groups, item % row_groups
        first, last = group * height, min((group + 1) * height, rows)
        q_first, q_last = ahead * PANELS_AHEAD, min((ahead + 1) * PANELS_AHEAD, panels)
        # The last block of k puts whole panels into their place: stores go out between products.
        q_placed = min(q_last, n // columns) if in_order else q_first
        for start in range(0, blocks, BLOCKS_TOGETHER):
            stop = min(start + BLOCKS_TOGETHER, blocks)
            for q in range(q_first, q_last):
                if start == 0:
                    _start(own, line, columns, bias, q * columns, n)
                r = span_start(mask, first, last)
                while r < last:
                    count = span_stop(mask, r, min(r + ROW_BLOCK, last)) - r
                    place = sums + ((q - q_first) * ROW_GROUP + r - first) * columns
                    s, s_at, s_row = own, place, columns
                    if start == 0:
                        s_at, s_row = line, 0
                    for block in range(start, stop):
                        c, c_at, c_row = own, place, columns
                        if block == blocks - 1 and q < q_placed:
                            c, c_at, c_row = result, r * n + q * columns, n
                        accumulate(
                            c, c_at, c_row, 0, False, s, s_at, s_row,
                            a, r * a_row, a_row, a_seg, segs, seg_k,
                            packed, q * packed.shape[1] * columns, count, block, block + 1,
                        )  # fmt: skip
                        s, s_at, s_row = c, c_at, c_row
                    r = span_start(mask, r + count, last)
        _activate(activation, result, first, last, q_first * columns, q_placed * columns, n, mask)
        _finish(
            activation, out, own, sums, first, last, q_first, q_placed, q_last, columns, steps,
            origin, mask,
        )  # fmt: skip
        item = take(crew, item)


def scratch_size(itemsize: int) -> int:
    """Elements of scratch that ``multiply`` needs for each thread."""
    return (1 + ROW_GROUP * PANELS_AHEAD) * PANEL_VECTORS * HOST.lanes(8 * itemsize)


@inline
def count_blocks(segs, seg_k):
    """How many blocks of k a sum is taken in: whole segments, or parts of one.

    They depend on (segs, seg_k) alone: they are part of the result's definition.
    """
    together = max(1, K_BLOCK // seg_k)
    return (segs + together - 1) // together * ((seg_k + K_BLOCK - 1) // K_BLOCK)


@inline
def accumulate(
    c, c_at, c_row, c_second, two, s, s_at, s_row, a, a_at, a_row, a_seg, segs, seg_k,
    packed, packed_at, rows, start, stop,
):  # fmt: skip
    """C = S + A·P for one panel of four vectors, by some blocks of k.

    Or C += A·P for ``two`` panels of a lone row, which stand ``c_second`` apart in C.
    """
    columns = PANEL_VECTORS * lanes(c)
    together = max(1, K_BLOCK // seg_k)
    pieces = (seg_k + K_BLOCK - 1) // K_BLOCK
    for block in range(start, stop):
        seg, k = block // pieces * together, block % pieces * K_BLOCK
        at = packed_at + (seg * seg_k + k) * columns
        count, depth = min(together, segs - seg), min(K_BLOCK, seg_k - k)
        if two:
            multiply_two_panels(
                PLAIN, c, c_at, c_second, a, a_at + seg * a_seg + k, a_seg,
                packed, at, segs * seg_k * columns, count, depth,
            )  # fmt: skip
        else:
            multiply_panel_onto(
                PLAIN, c, c_at, c_row, s, s_at, s_row, a, a_at + seg * a_seg + k, a_row, a_seg, 1,
                packed, at, rows, count, depth,
            )  # fmt: skip
            s, s_at, s_row = c, c_at, c_row


@inline
def _start(line, at, columns, bias, column, n):
    """What the sums of a panel begin with: the bias, or zero."""
    step = lanes(line)
    count = min(len(bias), n)
    for v in range(0, columns, step):
        value = load_first(bias, column + v, max(0, min(step, count - column - v)))
        store(value, line, at + v)


@inline
def _activate(activation, out, first, last, start, stop, n, mask):
    """Some columns of some rows, in their place."""
    for r in range(first, last):
        if counts(mask, r):
            for v in range(r * n + start, r * n + stop, lanes(out)):
                store(activate(activation, load(out, v)), out, v)


@inline
def _finish(
    activation, out, sums, at, first, last, q_first, q_placed, q_last, columns, steps, origin, mask
):  # fmt: skip
    """Write some rows of panels that are not in their place yet.

    Of a few panels at once: writing a row of one panel alone would wait for the memory.
    """
    step = lanes(out)
    n = out.shape[1]
    batch = out.shape[0] // steps
    for r in range(first, last):
        if not counts(mask, r):
            continue
        row = r
        if steps > 1 or origin.size > 0:
            row = origin[r % batch] if origin.size > 0 else r % batch
            row = row * steps + r // batch
        for q in range(q_placed, q_last):
            sums_at = at + ((q - q_first) * ROW_GROUP + r - first) * columns
            column = q * columns
            for v in range(0, min(columns, n - column), step):
                value = activate(activation, load(sums, sums_at + v))
                store_first(value, out, row * n + column + v, min(step, n - column - v))


@kernel
def multiply_transposed(
    layout, blocks, d, partial, packed_a, packed_b, a, b, b_rows, ones, more, mask, crew
):  # fmt: skip
    """d = [A, ones]ᵀ·B over all M rows: threads take (panel, row of d) pairs, and all M rows.

    Blocks of ``SUM_BLOCK`` rows are summed from the last to the first. So a product over parts of
    the rows, from the last part to the first, each from a whole number of blocks on, has the same
    bits: each part but the last goes on from d with ``more``.

    layout : ``tile_layout(blocks)``
    blocks : how many groups B's columns form
    d : (K + ones, blocks·units)
    partial : (P, K + ones, panel columns), scratch for the sums
    packed_a : (threads, ``packed_size(K + ones)``), scratch
    packed_b : (threads · PANELS_AHEAD · SUM_BLOCK · panel columns,), scratch where b is not packed,
        or there is a mask
    a : memory of A, (M, K)
    b : memory of B, flat: (P, ``b_rows``, panel columns), b_rows at least M; or, with b_rows 0,
        (M, units)
    ones : 1 adds a column of ones to A, whose row of d is the sum of B's rows; or 0
    more : whether to add to d rather than replace it
    mask : (M,), or (0,): rows that do not count are not read. The bits, but for a zero's sign, are
        those of a B that is zero there
    """
    panels, depth, columns = partial.shape
    rows = a.shape[0]
    first, last = share(panels * depth, crew)
    a_at = crew.member * packed_a.shape[1]
    b_at = crew.member * PANELS_AHEAD * SUM_BLOCK * columns
    # Of few rows one panel is done after the other, so that its sums stay in the caches.
    group = depth if rows <= SUM_BLOCK else last - first
    for g0 in range(first, last, group):
        g1 = min(g0 + group, last)
        _start_sums(partial, d, blocks, g0, g1, more)
        for m0 in range((rows - 1) // SUM_BLOCK * SUM_BLOCK, -1, -SUM_BLOCK):
            m1 = min(m0 + SUM_BLOCK, rows)
            start = span_start(mask, m0, m1)
            if start == m1:
                continue
            # Rows that count, put side by side; those of B stand so, where there is one span.
            stop = span_stop(mask, start, m1)
            height = stop - start
            together = span_start(mask, stop, m1) == m1
            if not together:
                height = _count(mask, start, m1)
            if g0 == first:
                _pack_rows(packed_a, a_at, a, mask, start, height, ones)
            p_first, p_last = g0 // depth, (g1 + depth - 1) // depth
            for p in range(p_first, p_last):
                k0, k1 = max(0, g0 - p * depth), min(depth, g1 - p * depth)
                source, at = b, (p * b_rows + start) * columns
                ahead, ahead_row = at + b_rows * columns, columns
                if b_rows == 0:
                    n = d.shape[1]
                    ahead, ahead_row = start * n + (p + PANELS_AHEAD) * columns, n
                    place = (p - p_first) % PANELS_AHEAD
                    if place == 0:
                        count = min(PANELS_AHEAD, p_last - p)
                        _copy_panels(packed_b, b_at, b, mask, start, height, p, count, columns, n)
                    source, at = packed_b, b_at + place * SUM_BLOCK * columns
                elif not together:
                    _copy_rows(packed_b, b_at, b, at, mask, start, height, columns)
                    source, at = packed_b, b_at
                _add_product(
                    layout, partial, packed_a, a_at, source, at, p, k0, k1, height,
                    b, ahead, ahead_row,
                )  # fmt: skip
        _finish_sums(d, partial, blocks, g0, g1)


@inline
def _count(mask, first, last):
    """How many rows count."""
    total = 0
    for r in range(first, last):
        total += 1 if mask[r] != 0 else 0
    return total


@inline
def _add_product(
    layout, partial, packed_a, a_at, b, b_at, p, k0, k1, rows, ahead, ahead_at, ahead_row
):  # fmt: skip
    """Rows k0 to k1 of a panel of sums, from some packed rows of A and of a panel of B."""
    _, depth, columns = partial.shape
    k = k0
    while k < k1:
        stop = min(k1, k // A_GROUP * A_GROUP + A_GROUP)
        k_at = a_at + k // A_GROUP * A_GROUP * SUM_BLOCK + k % A_GROUP
        # Row and k strides of A are exchanged: that is all there is to the transpose.
        multiply_panel_ahead(
            layout, partial, (p * depth + k) * columns, columns, packed_a, k_at, 1, 0, A_GROUP,
            b, b_at, stop - k, 1, rows, ahead, ahead_at, ahead_row,
        )  # fmt: skip
        k = stop


@inline
def _start_sums(partial, d, blocks, first, last, more):
    """Begin with zero, or with the sums so far."""
    _, depth, columns = partial.shape
    width, units = columns // blocks, d.shape[1] // blocks
    step = lanes(partial)
    for item in range(first, last):
        p, k = item // depth, item % depth
        for g in range(blocks):
            for v in range(0, width, step):
                value = fill(partial, 0.0)
                if more:
                    count = max(0, min(step, units - p * width - v))
                    value = load_first(d, (k * blocks + g) * units + p * width + v, count)
                store(value, partial, item * columns + g * width + v)


@inline
def _finish_sums(d, partial, blocks, first, last):
    _, depth, columns = partial.shape
    width, units = columns // blocks, d.shape[1] // blocks
    step = lanes(partial)
    for item in range(first, last):
        p, k = item // depth, item % depth
        for g in range(blocks):
            for v in range(0, min(width, units - p * width), step):
                value = load(partial, item * columns + g * width + v)
                count = min(step, units - p * width - v)
                store_first(value, d, (k * blocks + g) * units + p * width + v, count)


def packed_size(depth: int) -> int:
    """Elements of scratch that each thread needs for ``depth`` packed columns of A."""
    return -(-depth // A_GROUP) * A_GROUP * SUM_BLOCK


@inline
def _pack_rows(packed, at, a, mask, row, rows, ones):
    """Some rows of [A, ones], group of columns by group: (groups, SUM_BLOCK, A_GROUP).

    They are the first ``rows`` that count from ``row`` on.
    """
    step = lanes(packed)
    one = fill(packed, 1.0)
    depth = a.shape[1]
    whole = depth // step * step
    for first in range(0, depth, A_GROUP):
        last = min(first + A_GROUP, whole)
        start = at + first * SUM_BLOCK - first
        r = row
        for m in range(rows):
            k = first
            while k + step <= last:
                store(load(a, r * depth + k), packed, start + m * A_GROUP + k)
                k += step
            if k < last:  # where a group is not of whole vectors
                value = load_first(a, r * depth + k, last - k)
                store_first(value, packed, start + m * A_GROUP + k, last - k)
            r = _next(mask, r)
    while whole < depth:
        # Where a group is not of whole vectors, one may end within what is left.
        count = min(depth, whole // A_GROUP * A_GROUP + A_GROUP) - whole
        start = at + whole // A_GROUP * A_GROUP * SUM_BLOCK + whole % A_GROUP
        r = row
        for m in range(rows):
            value = load_first(a, r * depth + whole, count)
            store_first(value, packed, start + m * A_GROUP, count)
            r = _next(mask, r)
        whole += count
    if ones > 0:
        start = at + depth // A_GROUP * A_GROUP * SUM_BLOCK + depth % A_GROUP
        for m in range(rows):
            store_first(one, packed, start + m * A_GROUP, 1)


@inline
def _next(mask, r):
    """The next row that counts; the one after the last is no row, and is not looked at."""
    return span_start(mask, r + 1, mask.size) if mask.size > 0 else r + 1


@inline
def _copy_panels(packed, at, b, mask, row, rows, panel, count, columns, n):
    """Some rows of a few panels of B, chosen as by ``_pack_rows``: (count, SUM_BLOCK, columns)."""
    step = lanes(packed)
    r = row
    for m in range(rows):
        for p in range(count):
            column = (panel + p) * columns
            for v in range(0, columns, step):
                whole = max(0, min(step, n - column - v))
                value = load_first(b, r * n + column + v, whole)
                store(value, packed, at + (p * SUM_BLOCK + m) * columns + v)
        r = _next(mask, r)


@inline
def _copy_rows(packed, at, b, b_at, mask, row, rows, columns):
    """Some rows of a panel, of which ``row`` stands at ``b_at``, chosen as by ``_pack_rows``."""
    step = lanes(packed)
    r = row
    for m in range(rows):
        for v in range(0, columns, step):
            store(load(b, b_at + (r - row) * columns + v), packed, at + m * columns + v)
        r = _next(mask, r)
