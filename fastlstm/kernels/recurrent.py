"""The driver of every recurrent layer: sequence forward, one step, back-propagation through time.

A cell says what happens between a unit's pre-activations and its next states; everything else is
here, once. The threads of a crew take pieces of the batch, some rows each, and run all steps
without a barrier; or all rows and parts of the units, with a barrier a step, but without one where
there is no h·U: then a unit sees no other. The bits are the same, and the choice is in
``fastlstm.layers.split``.

Arrays, all C-contiguous (T steps, B batch, D features, H units, G blocks, P panels, S states;
``columns`` = G · units of a panel):

h      (T+1, B, H), slot t is the state before step t; or 2 slots, used in turn
fed    what h·U reads: h itself; or, where ``feed`` drops, an array as large of h times ``kept``
kept   (B, H), what h is multiplied by on its way to the product, the same at each step; or (0, H)
carry  (S-1, T+1, P, B, units of a panel): the other states, in panel order; or 1 slot, in place
gates  (P, T, B, columns): pre-activations, then what the cell saves, then their gradient, all in
       place. Where nothing is saved, as many slots as ``chunk`` steps, used in turn; or, without a
       chunk, (2 · threads, 1, rows, columns): a thread's place for a panel, or for two
gates_h  the same array; or, where the cell keeps them apart, that of h·U, ``gates`` that of x·W
x      (T, B, D)
mask   (T, B) of 0 and 1, or (0, B): where it is 0 the row keeps its states. Rows before the first
       and after the last that count at a step cost nothing there: their gates are left as they are
w, u   packed panels (P, D, columns) and (P, H, columns), or (P, 0, columns) where there is no h·U
bias   (P, columns); bias_h, as large, is h·U's where it is apart. For a lone row of whole pairs of
       panels all weights may be as they are: (1, D, G · H), (1, H, G · H) and (1, G · H)
own    (N, H), weights of each unit's own that the cell reads beside the products; or (0, H)
zones, made  what states keep of themselves, and what the cell made of them: ``zoneout``
"""

from __future__ import annotations

from fastlstm.kernels.cell import (
    add_own,
    cell_backward,
    cell_forward,
    cell_gates,
    cell_own_gradients,
    clear_blocks,
    drops,
    has_gates,
    is_apart,
    join_states,
    load_blocks,
    load_fours,
    load_h,
    load_own,
    store_blocks,
    store_carry,
    store_fours,
    store_h,
    takes_all,
    unit_count,
)
from fastlstm.kernels.jit import inline
from fastlstm.kernels.matmul import K_BLOCK, SUM_BLOCK, accumulate, count_blocks
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fill, fma, lanes, load, load_first, store, store_first
from fastlstm.kernels.spans import narrow
from fastlstm.kernels.team import meet, share, take
from fastlstm.kernels.tile import project_panel, project_two_panels
from fastlstm.kernels.zoneout import blend, join, made_states, part

# Steps of k for which x·W and h·U are taken in one go: longer slices of both together would drive
# each other out of the first-level cache.
JOINT_BLOCK = 5 * K_BLOCK // 4


@kernel
def forward(
    cell, feed, h, fed, carry, gates, gates_h, x, mask, kept, zones, made, w, u, bias, bias_h, own,
    rows, start, stop, chunk, crew,
):  # fmt: skip
    """Run steps ``start`` to ``stop``: h, carry and gates from x and the states at ``start``.

    feed : ``Feed``, whether the product reads h or what is kept of it, and which states have zones
    rows : how many a thread takes at a time, where there are several; 0 for all of them and a part
        of the units
    chunk : for how many steps x·W is taken ahead; 1 for not at all, 0 if gates have no panels
    """
    batch, by_units = h.shape[1], rows == 0
    if by_units or (crew.size == 1 and chunk > 0):
        rows = batch
    p_first, p_last = 0, carry.shape[2]
    if by_units and w.shape[0] == p_last:
        p_first, p_last = share(p_last, crew)
    elif by_units:  # not packed: in pairs
        p_first, p_last = share(p_last // 2, crew)
        p_first, p_last = 2 * p_first, 2 * p_last
    width = unit_count(cell, gates)
    first = 0 if by_units else rows * take(crew, -1)
    while first < batch:
        last = min(first + rows, batch)
        above = 0 if chunk > 0 else first  # rows that have no place in the gates
        for t in range(start, stop):
            slots = _slots(h, carry, gates, t)
            if chunk > 1 and (t == start or t % chunk == 0):
                s1 = min(stop, (t // chunk + 1) * chunk)
                _project_inputs(
                    cell,
                    feed,
                    gates,
                    x,
                    h,
                    mask,
                    w,
                    u,
                    bias,
                    t,
                    s1,
                    first,
                    last,
                    p_first,
                    p_last,
                )
            low, high = _rows_of(feed, mask, t, first, last)
            p = p_first if low < high else p_last
            while p < p_last:
                # A lone row goes through two panels at once, so that neither waits for itself.
                two = high - low == 1 and p + 1 < p_last
                place = p if chunk > 0 else 2 * crew.member
                _project(
                    cell, gates, gates_h, x, fed, w, u, bias, bias_h, slots, t, p, place, two,
                    chunk > 1, low, high, above,
                )  # fmt: skip
                full = two and (p + 2) * width <= h.shape[2]
                for q in range(p, p + 1 + (two and not full)):
                    _apply_cell(
                        cell, feed, h, fed, carry, gates, gates_h, mask, kept, zones, made, own,
                        slots, t, q, place + q - p, full, low, high, above,
                    )  # fmt: skip
                p += 1 + two
            if high - low < last - first:
                _keep_states(h, carry, slots, p_first, p_last, first, low)
                _keep_states(h, carry, slots, p_first, p_last, high, last)
            if by_units and u.shape[1] > 0:
                meet(crew)
        first = batch if by_units else rows * take(crew, first // rows)


@inline
def _rows_of(feed, mask, t, first, last):
    """The rows that are computed at a step: up to those that do not count, or all."""
    if takes_all(feed):
        return first, last
    return narrow(mask, t, first, last)


@inline
def _project_inputs(
    cell, feed, gates, x, h, mask, w, u, bias, s0, s1, first, last, p_first, p_last
):  # fmt: skip
    """gates = bias + x·W for some steps at once, so that each panel of W is read once."""
    _, slots, batch, columns = gates.shape
    depth = x.shape[2]
    # Rows of neighbouring steps lie side by side when this thread has the whole batch, and all
    # of it counts.
    whole = last - first == batch
    for t in range(s0, s1 if whole else s0):
        low, high = _rows_of(feed, mask, t, first, last)
        whole = whole and high - low == batch
    for p in range(p_first, p_last):
        for k in range(0, depth, K_BLOCK):
            for t in range(s0, s0 + 1 if whole else s1):
                low, high = _rows_of(feed, mask, t, first, last)
                project_panel(
                    cell, gates, ((p * slots + t % slots) * batch + low) * columns, columns,
                    bias, p * columns, k == 0,
                    x, (t * batch + low) * depth + k, depth,
                    w, (p * depth + k) * columns, min(K_BLOCK, depth - k),
                    h, 0, 0, u, 0, 0, batch * (s1 - s0) if whole else high - low,
                )  # fmt: skip


@inline
def _keep_states(h, carry, slot_of, p_first, p_last, first, last):
    """The states of some rows after a step that they have no part in: those before it."""
    others, slots, panels, batch, width = carry.shape
    units = h.shape[2]
    step = lanes(h)
    u_first, u_last = p_first * width, min(p_last * width, units)
    now, after = slot_of[0] * batch, slot_of[1] * batch
    for r in range(first, last):
        for unit in range(u_first, u_last, step):
            count = min(step, u_last - unit)
            value = load_first(h, (now + r) * units + unit, count)
            store_first(value, h, (after + r) * units + unit, count)
    if slot_of[2] == slot_of[3]:  # in place
        return
    for s in range(others):
        now, after = s * slots + slot_of[2], s * slots + slot_of[3]
        for p in range(p_first, p_last):
            target, source = (after * panels + p) * batch, (now * panels + p) * batch
            for at in range(first * width, last * width, step):
                store(load(carry, source * width + at), carry, target * width + at)


@inline
def _slots(h, carry, gates, t):
    """Where step t finds h, the other states and the gates, and where it leaves the states.

    Taken once a step: a division takes as long as dozens of multiplications.
    """
    states, others = h.shape[0], carry.shape[1]
    return t % states, (t + 1) % states, t % others, (t + 1) % others, t % gates.shape[1]


@inline
def _project(
    cell, gates, gates_h, x, h, w, u, bias, bias_h, slot_of, t, p, place, two, ahead, first, last,
    above,
):  # fmt: skip
    """gates = bias + x·W + h·U for one step and panel, or for two panels of a lone row.

    Where x·W was taken ``ahead``, it is in the gates already. They are at ``place``, without the
    rows ``above``.
    """
    slots, height, columns = gates.shape[1:]
    batch, depth, units = h.shape[1], x.shape[2], h.shape[2]
    at = ((place * slots + slot_of[4]) * height + first - above) * columns
    x_at = (t * batch + first) * depth
    h_at = (slot_of[0] * batch + first) * units
    line, block = w.shape[2], unit_count(cell, gates)
    w_apart, u_apart, bias_apart = depth * line, u.shape[1] * line, line
    if line > columns:  # not packed
        w_apart = u_apart = bias_apart = block
        block = units
    apart, reach = is_apart(cell), u.shape[1]
    k, j = depth if ahead else 0, 0
    # Blocks of x, then of h; the last of x and the first of h together, unless they are apart.
    while k < depth or j < reach:
        x_count = min(K_BLOCK, depth - k)
        h_count = min(K_BLOCK, JOINT_BLOCK - x_count, reach - j) if k + x_count == depth else 0
        if apart and x_count > 0:
            h_count = 0
        w_at, u_at = p * w_apart + k * line, p * u_apart + j * line
        of_h = apart and h_count > 0
        fresh = j == 0 if of_h else k == 0 and not ahead
        target = gates_h if of_h else gates
        start = bias_h if of_h else bias
        if two:
            project_two_panels(
                cell, target, at, slots * height * columns, start, p * bias_apart, bias_apart,
                fresh, x, x_at + k, w, w_at, w_apart, x_count,
                h, h_at + j, u, u_at, u_apart, h_count, line, block,
            )  # fmt: skip
        else:
            project_panel(
                cell, target, at, columns, start, p * columns, fresh,
                x, x_at + k, depth, w, w_at, x_count,
                h, h_at + j, units, u, u_at, h_count, last - first,
            )  # fmt: skip
        k += x_count
        j += h_count


@inline
def _apply_cell(
    cell, feed, h, fed, carry, gates, gates_h, mask, kept, zones, made, own, slot_of, t, p, place,
    two, first, last, above,
):  # fmt: skip
    """The cell's equations for one step and panel, while its gates are in the cache.

    A cell takes pairs: two rows; or, with ``two``, a lone row in two full panels side by side.
    Where a mask parts the rows, or one is left, a row is its own pair.
    """
    slots, height, columns = gates.shape[1:]
    panels, batch = carry.shape[2:4]
    width = unit_count(cell, gates)
    units = h.shape[2]
    gates_apart = slots * height * columns if two else columns
    h_apart = width if two else units
    carry_apart = batch * width if two else width
    carry_stride = carry.shape[1] * panels * batch * width
    h_now, h_next = slot_of[0] * batch, slot_of[1] * batch
    carry_now = (slot_of[2] * panels + p) * batch
    carry_next = (slot_of[3] * panels + p) * batch
    gates_now = (place * slots + slot_of[4]) * height - above
    masked = mask.shape[0] > 0
    for v in range(0, width, lanes(h)):
        unit = p * width + v
        count = min(lanes(h), units - unit)
        weights = load_own(cell, own, unit, width if two else 0, units, max(0, count))
        opened = first
        if has_gates(cell) and count > 0:
            while opened + 4 <= last:
                at = (gates_now + opened) * columns + v
                fours = cell_gates(cell, load_fours(cell, gates, at, columns, width))
                store_fours(cell, fours, gates, at, columns, width)
                opened += 4
        r = first if count > 0 else last
        while r < last:
            # Nor is a row whose gates are open a pair with one whose are not.
            paired = two or (r + 1 != opened and _go_together(mask, t, r, last))
            h_second = h_apart if paired else 0
            carry_second = carry_apart if paired else 0
            states = join_states(
                cell,
                load_h(h, (h_now + r) * units + unit, h_second, count),
                carry, (carry_now + r) * width + v, carry_second, carry_stride,
            )  # fmt: skip
            if not masked or mask[t, r] != 0:
                at = (gates_now + r) * columns + v
                gates_second = gates_apart if paired else 0
                blocks = load_blocks(cell, gates, gates_h, at, gates_second, width)
                if r >= opened:
                    blocks = cell_gates(cell, blocks)
                saved, after = cell_forward(cell, blocks, states, weights)
                if r >= opened:
                    store_blocks(cell, saved, gates, gates_h, at, gates_second, width)
                states = blend(feed, states, after, zones, made, t, r, unit, h_second, count)
            store_h(states[0], h, (h_next + r) * units + unit, h_second, count)
            if drops(feed):
                left = states[0] * load_h(kept, r * units + unit, h_second, count)
                store_h(left, fed, (h_next + r) * units + unit, h_second, count)
            store_carry(states, carry, (carry_next + r) * width + v, carry_second, carry_stride)
            r += 1 + (paired and not two)


@inline
def _go_together(mask, t, r, last):
    """Whether a row and the next are a pair: both take the step, or neither."""
    return r + 1 < last and (mask.shape[0] == 0 or mask[t, r] == mask[t, r + 1])


@kernel
def backward(
    cell, feed, gates, gates_h, d_h, d_fed, d_carry, d_out, h, carry, mask, kept, zones, made,
    u, own, rows, start, stop, whole, crew,
):  # fmt: skip
    """Back-propagate through steps ``stop`` - 1 down to ``start``.

    gates : saved by ``forward`` with all slots; leaves as the gradient of the pre-activations
    d_h : (Q, B, 4 vectors), gradient of the last h in panels of plain columns; leaves as that of
        the first
    d_fed : scratch as large as d_h where ``feed`` drops, or d_h
    d_carry : (S-1, 1, P, B, units of a panel), the same for the other states
    d_out : (T, B, H), what the layers above add to the gradient of each step's h; or (0, B, H)
    u : packed Uᵀ panels (Q, P · columns, 4 vectors)
    rows : as for ``forward``
    whole : whether the gradient of h before ``start`` is wanted; if not, d_h leaves without it
    """
    batch, by_units = h.shape[1], rows == 0
    if by_units or crew.size == 1:
        rows = batch
    p_first, p_last = share(gates.shape[0], crew) if by_units else (0, gates.shape[0])
    q_first, q_last = share(u.shape[0], crew) if by_units else (0, u.shape[0])
    first = 0 if by_units else rows * take(crew, -1)
    while first < batch:
        last = min(first + rows, batch)
        for t in range(stop - 1, start - 1, -1):
            low, high = _rows_of(feed, mask, t, first, last)
            if gates.shape[1] * gates.shape[2] == 1:  # what takes a lone row reads all its gates
                low, high = first, last
            p = p_first if low < high else p_last
            while p < p_last:
                two = high - low == 1 and p + 1 < p_last
                two = two and (p + 2) * unit_count(cell, gates) <= h.shape[2]
                _differentiate_cell(
                    cell, feed, gates, gates_h, d_h, d_carry, d_out, h, carry, mask, zones, made,
                    own, t, p, two, low, high,
                )  # fmt: skip
                p += 1 + two
            if high - low < last - first and d_out.shape[0] > 0:
                u_first = p_first * unit_count(cell, gates)
                u_last = min(p_last * unit_count(cell, gates), h.shape[2])
                _pass_gradient(d_h, d_out, t, u_first, u_last, first, low)
                _pass_gradient(d_h, d_out, t, u_first, u_last, high, last)
            if (t > start or whole) and u.shape[0] > 0:
                if by_units:
                    meet(crew)
                q = q_first if low < high else q_last
                while q < q_last:
                    two = high - low == 1 and q + 1 < q_last
                    if drops(feed):
                        _return_dropped(gates_h, d_h, d_fed, kept, u, t, q, two, low, high)
                    else:
                        _return_gradient(gates_h, d_h, u, t, q, two, low, high)
                    q += 1 + two
                if by_units:
                    meet(crew)
        first = batch if by_units else rows * take(crew, first // rows)


@inline
def _return_gradient(gates, d_h, u, t, q, two, first, last):
    """d_h += d_gates·Uᵀ for one step and panel of units, or for two panels of a lone row."""
    panels, slots, batch, columns = gates.shape
    d_columns = u.shape[2]
    at = (q * batch + first) * d_columns
    accumulate(
        d_h, at, d_columns, batch * d_columns, two, d_h, at, d_columns,
        gates, (t * batch + first) * columns, columns, slots * batch * columns, panels, columns,
        u, q * u.shape[1] * d_columns, last - first, 0, count_blocks(panels, columns),
    )  # fmt: skip


@inline
def _return_dropped(gates, d_h, d_fed, kept, u, t, q, two, first, last):
    """d_h += kept * (d_gates·Uᵀ), by way of ``d_fed``, else as ``_return_gradient``."""
    batch, columns = d_h.shape[1:]
    units = kept.shape[1]
    for s in range(q, q + 1 + two):
        for at in range((s * batch + first) * columns, (s * batch + last) * columns, lanes(d_fed)):
            store(fill(d_fed, 0.0), d_fed, at)
    _return_gradient(gates, d_fed, u, t, q, two, first, last)
    for s in range(q, q + 1 + two):
        for r in range(first, last):
            for v in range(0, columns, lanes(d_fed)):
                unit, at = s * columns + v, (s * batch + r) * columns + v
                count = max(0, min(lanes(d_fed), units - unit))
                factors = load_first(kept, r * units + unit, count)
                store(fma(factors, load(d_fed, at), load(d_h, at)), d_h, at)


@inline
def _pass_gradient(d_h, d_out, t, u_first, u_last, first, last):
    """d_h += d_out for some units of rows that have no part in a step."""
    batch, units = d_out.shape[1:]
    columns = d_h.shape[2]
    step = lanes(d_h)
    for unit in range(u_first, u_last, step):
        count = min(step, u_last - unit)
        for r in range(first, last):
            at = _in_plain_panels(unit, r, batch, columns)
            above = load_first(d_out, (t * batch + r) * units + unit, count)
            store(load(d_h, at) + above, d_h, at)


@inline
def _differentiate_cell(
    cell, feed, gates, gates_h, d_h, d_carry, d_out, h, carry, mask, zones, made, own, t, p, two,
    first, last,
):  # fmt: skip
    """Gradient of one step's and panel's pre-activations, and what passes to the step before.

    Pairs are those of ``_apply_cell``.
    """
    panels, slots, batch, columns = gates.shape
    width = unit_count(cell, gates)
    units = h.shape[2]
    d_columns = d_h.shape[2]
    gates_apart = slots * batch * columns if two else columns
    h_apart = width if two else units
    carry_apart = batch * width if two else width
    carry_stride = carry.shape[1] * panels * batch * width
    d_stride = panels * batch * width
    masked = mask.shape[0] > 0
    for v in range(0, width, lanes(h)):
        unit = p * width + v
        count = min(lanes(h), units - unit)
        weights = load_own(cell, own, unit, width if two else 0, units, max(0, count))
        d_h_at = _in_plain_panels(unit, 0, batch, d_columns)
        d_apart = d_columns
        if two:
            d_apart = _in_plain_panels(unit + width, 0, batch, d_columns) - d_h_at
        r = first if count > 0 else last
        while r < last:
            paired = two or _go_together(mask, t, r, last)
            h_second = h_apart if paired else 0
            d_second = d_apart if paired else 0
            carry_second = carry_apart if paired else 0
            at = ((p * slots + t) * batch + r) * columns + v
            h_at = (t * batch + r) * units + unit
            d_h_row = d_h_at + r * d_columns
            d_carry_at = (p * batch + r) * width + v
            gates_second = gates_apart if paired else 0
            d_above = load_h(d_h, d_h_row, d_second, lanes(h))
            if d_out.shape[0] > 0:
                d_above = d_above + load_h(d_out, h_at, h_second, count)
            d_states = join_states(cell, d_above, d_carry, d_carry_at, carry_second, d_stride)
            if not masked or mask[t, r] != 0:
                carry_at = ((t * panels + p) * batch + r) * width + v
                before = join_states(
                    cell, load_h(h, h_at, h_second, count),
                    carry, carry_at, carry_second, carry_stride,
                )  # fmt: skip
                after = join_states(
                    cell, load_h(h, h_at + batch * units, h_second, count),
                    carry, carry_at + d_stride, carry_second, carry_stride,
                )  # fmt: skip
                after = made_states(feed, after, made, t, r, unit, h_second, count)
                d_made = part(feed, d_states, zones, t, r, unit, h_second, count)
                saved = load_blocks(cell, gates, gates_h, at, gates_second, width)
                d_blocks, d_before = cell_backward(cell, saved, before, after, d_made, weights)
                store_blocks(cell, d_blocks, gates, gates_h, at, gates_second, width)
                d_states = join(feed, d_before, d_states, zones, t, r, unit, h_second, count)
            else:
                clear_blocks(cell, gates, gates_h, at, gates_second, width)
            store_h(d_states[0], d_h, d_h_row, d_second, lanes(h))
            store_carry(d_states, d_carry, d_carry_at, carry_second, d_stride)
            r += 1 + (paired and not two)


@kernel
def own_gradients(cell, feed, d, gates, h, carry, mask, made, steps, more, crew):
    """d = gradient of each unit's own weights, from that of the pre-activations of all steps.

    Rows are summed in blocks from the last to the first, as in ``matmul.multiply_transposed``.

    d : (N, H)
    gates, h, carry, mask, made : as ``backward`` leaves them, with all slots
    steps : the first ones, which count
    more : whether to add to d rather than replace it
    """
    panels, slots, batch, columns = gates.shape
    units, width = h.shape[2], unit_count(cell, gates)
    carry_stride = carry.shape[1] * panels * batch * width
    first, last = share(panels, crew)
    for p in range(first, last):
        for v in range(0, width, lanes(h)):
            unit = p * width + v
            count = max(0, min(lanes(h), units - unit))
            if not more:
                for n in range(d.shape[0]):
                    store_first(fill(d, 0.0), d, n * units + unit, count)
            for m0 in range((steps * batch - 1) // SUM_BLOCK * SUM_BLOCK, -1, -SUM_BLOCK):
                sums = load_own(cell, d, unit, 0, units, 0)  # nothing of them: zeros
                for m in range(m0, min(m0 + SUM_BLOCK, steps * batch)):
                    t, r = m // batch, m % batch
                    at = ((p * slots + t) * batch + r) * columns + v
                    d_blocks = load_blocks(cell, gates, gates, at, 0, width)
                    h_at, carry_at = m * units + unit, ((t * panels + p) * batch + r) * width + v
                    before = join_states(
                        cell, load_h(h, h_at, 0, count), carry, carry_at, 0, carry_stride
                    )
                    after = join_states(
                        cell, load_h(h, h_at + batch * units, 0, count),
                        carry, carry_at + panels * batch * width, 0, carry_stride,
                    )  # fmt: skip
                    after = made_states(feed, after, made, t, r, unit, 0, count)
                    if mask.shape[0] == 0 or mask[t, r] != 0:
                        sums = cell_own_gradients(cell, sums, d_blocks, before, after)
                add_own(sums, d, unit, units, count)


@inline
def _in_plain_panels(unit, r, batch, columns):
    """Where a row's unit stands in (Q, B, columns)."""
    return (unit // columns * batch + r) * columns + unit % columns
