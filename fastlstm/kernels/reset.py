"""The driver of the cell whose second product waits for a gate: the GRU that resets before it.

As in ``fastlstm.kernels.recurrent``, whose letters these are, threads take rows through all steps,
or parts of the units with barriers. Each step has two halves, and each half a cell, gates and
weights of its own: those of z and r, and those of the candidate n, which are called ``late``.

gates  (P, T, B, columns) of z and r: pre-activations, then gates, then their gradient, in place;
       with one slot where nothing is saved
late   (Q, T, B, 4 vectors) of n, the same
reset  (T, B, H), r * h, or what is kept of it: what the second product reads; or one slot
u      packed panels (P, H, columns) of z and r, ``u_late`` (Q, H, 4 vectors) of n; w, bias alike
"""

from __future__ import annotations

from fastlstm.kernels.cell import (
    cell_backward,
    cell_forward,
    drops,
    load_h,
    store_h,
    unit_count,
)
from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.recurrent import (
    _go_together,
    _project,
    _return_dropped,
    _return_gradient,
)
from fastlstm.kernels.simd import fill, lanes, store, zero_like
from fastlstm.kernels.team import meet, share, take
from fastlstm.kernels.zoneout import blend, join, part


@kernel
def forward(
    cell, late_cell, feed, h, fed, reset, gates, late, x, mask, kept, zones, made, w, w_late, u,
    u_late, bias, bias_late, rows, start, stop, crew,
):  # fmt: skip
    """Run steps ``start`` to ``stop``: h, reset and both gates from x and h at ``start``.

    cell, late_cell : ``cells.reset_gru.ResetCell`` and ``CandidateCell``
    feed, rows : as for ``recurrent.forward``
    """
    batch, by_units = h.shape[1], rows == 0
    if by_units or crew.size == 1:
        rows = batch
    p_first, p_last = share(gates.shape[0], crew) if by_units else (0, gates.shape[0])
    q_first, q_last = share(late.shape[0], crew) if by_units else (0, late.shape[0])
    first = 0 if by_units else rows * take(crew, -1)
    while first < batch:
        last = min(first + rows, batch)
        for t in range(start, stop):
            now, after, slot = t % h.shape[0], (t + 1) % h.shape[0], t % gates.shape[1]
            p = p_first
            while p < p_last:
                two = last - first == 1 and p + 1 < p_last
                _project(
                    cell, gates, gates, x, fed, w, u, bias, bias, (now, 0, 0, 0, slot), t, p, p,
                    two, False, first, last, 0,
                )  # fmt: skip
                for s in range(p, p + 1 + two):
                    _open_gates(cell, gates, reset, fed, now, slot, s, first, last)
                p += 1 + two
            if by_units:
                meet(crew)
            q = q_first
            while q < q_last:
                two = last - first == 1 and q + 1 < q_last
                _project(
                    late_cell, late, late, x, reset, w_late, u_late, bias_late, bias_late,
                    (slot, 0, 0, 0, slot), t, q, q, two, False, first, last, 0,
                )  # fmt: skip
                for s in range(q, q + 1 + two):
                    _take_candidate(
                        cell, late_cell, feed, h, fed, gates, late, mask, kept, zones, made, now,
                        after, slot, t, s, first, last,
                    )  # fmt: skip
                q += 1 + two
            if by_units:
                meet(crew)
        first = batch if by_units else rows * take(crew, first // rows)


@inline
def _open_gates(cell, gates, reset, fed, now, slot, p, first, last):
    """z, r and r * h of one panel. Of all rows: a row that does not count is read as well."""
    slots, batch, columns = gates.shape[1:]
    units = fed.shape[2]
    width = unit_count(cell, gates)
    for v in range(0, width, lanes(gates)):
        unit = p * width + v
        count = min(lanes(gates), units - unit)
        r = first if count > 0 else last
        while r < last:
            paired = r + 1 < last
            second = columns if paired else 0
            h_second = units if paired else 0
            at = ((p * slots + slot) * batch + r) * columns + v
            z = load_h(gates, at, second, lanes(gates))
            a_r = load_h(gates, at + width, second, lanes(gates))
            seen = load_h(fed, (now * batch + r) * units + unit, h_second, count)
            saved, made = cell_forward(cell, (z, a_r), (seen,), ())
            store_h(saved[0], gates, at, second, lanes(gates))
            store_h(saved[1], gates, at + width, second, lanes(gates))
            store_h(made[0], reset, (slot * batch + r) * units + unit, h_second, count)
            r += 1 + paired


@inline
def _take_candidate(
    cell, late_cell, feed, h, fed, gates, late, mask, kept, zones, made, now, after, slot, t, q,
    first, last,
):  # fmt: skip
    """n and the next h of one panel, while it is in the cache."""
    slots, batch, columns = late.shape[1:]
    units = h.shape[2]
    for v in range(0, columns, lanes(h)):
        unit = q * columns + v
        count = min(lanes(h), units - unit)
        r = first if count > 0 else last
        while r < last:
            paired = _go_together(mask, t, r, last)
            h_second = units if paired else 0
            late_second = columns if paired else 0
            state = load_h(h, (now * batch + r) * units + unit, h_second, count)
            if mask.shape[0] == 0 or mask[t, r] != 0:
                at = ((q * slots + slot) * batch + r) * columns + v
                z_at, z_second = _place_of_z(cell, gates, slot, r, unit, paired)
                z = load_h(gates, z_at, z_second, lanes(h))
                blocks = (load_h(late, at, late_second, lanes(h)),)
                saved, states = cell_forward(late_cell, blocks, (state, z), ())
                store_h(saved[0], late, at, late_second, lanes(h))
                states = blend(feed, (state,), states[:1], zones, made, t, r, unit, h_second, count)
                state = states[0]
            store_h(state, h, (after * batch + r) * units + unit, h_second, count)
            if drops(feed):
                left = state * load_h(kept, r * units + unit, h_second, count)
                store_h(left, fed, (after * batch + r) * units + unit, h_second, count)
            r += 1 + paired


@inline
def _place_of_z(cell, gates, slot, r, unit, paired):
    """Where z of a unit stands, whose panel is another one than that of n; and the next row's."""
    slots, batch, columns = gates.shape[1:]
    width = unit_count(cell, gates)
    at = ((unit // width * slots + slot) * batch + r) * columns + unit % width
    return at, columns if paired else 0


@kernel
def backward(
    cell, late_cell, feed, gates, late, d_h, d_fed, d_reset, d_out, h, fed, mask, kept, zones, u,
    u_late, rows, start, stop, whole, crew,
):  # fmt: skip
    """Back-propagate through steps ``stop`` - 1 down to ``start``.

    gates, late : saved by ``forward`` with all slots; leave as the pre-activations' gradients
    d_h, d_fed, d_out, whole : as for ``recurrent.backward``
    d_reset : scratch as large as d_h
    u : packed panels of the transposed weights of z and r, (Q, P · columns, 4 vectors); ``u_late``
        of those of n, (Q, Q · 4 vectors, 4 vectors)
    """
    batch, by_units = h.shape[1], rows == 0
    if by_units or crew.size == 1:
        rows = batch
    q_first, q_last = share(late.shape[0], crew) if by_units else (0, late.shape[0])
    first = 0 if by_units else rows * take(crew, -1)
    while first < batch:
        last = min(first + rows, batch)
        for t in range(stop - 1, start - 1, -1):
            for q in range(q_first, q_last):
                _leave_candidate(
                    cell, late_cell, feed, gates, late, d_h, d_reset, d_out, h, mask, zones, t, q,
                    first, last,
                )  # fmt: skip
            if by_units:
                meet(crew)
            q = q_first
            while q < q_last:
                two = last - first == 1 and q + 1 < q_last
                _return_gradient(late, d_reset, u_late, t, q, two, first, last)
                for s in range(q, q + 1 + two):
                    _close_reset(cell, feed, gates, d_h, d_reset, fed, kept, t, s, first, last)
                q += 1 + two
            # Those who are ahead change no gates but those of the step before.
            if t > start or whole:
                if by_units:
                    meet(crew)
                q = q_first
                while q < q_last:
                    two = last - first == 1 and q + 1 < q_last
                    if drops(feed):
                        _return_dropped(gates, d_h, d_fed, kept, u, t, q, two, first, last)
                    else:
                        _return_gradient(gates, d_h, u, t, q, two, first, last)
                    q += 1 + two
        first = batch if by_units else rows * take(crew, first // rows)


@inline
def _leave_candidate(
    cell, late_cell, feed, gates, late, d_h, d_reset, d_out, h, mask, zones, t, q, first, last
):  # fmt: skip
    """Gradients of the pre-activations of n and z in one panel of n, and of h beside them.

    d_reset begins with zero there.
    """
    slots, batch, columns = late.shape[1:]
    units = h.shape[2]
    for v in range(0, columns, lanes(h)):
        unit = q * columns + v
        count = min(lanes(h), units - unit)
        for r in range(first, last):
            store(fill(d_reset, 0.0), d_reset, (q * batch + r) * columns + v)
        r = first if count > 0 else last
        while r < last:
            paired = _go_together(mask, t, r, last)
            h_second = units if paired else 0
            second = columns if paired else 0
            at = ((q * slots + t) * batch + r) * columns + v
            h_at = (t * batch + r) * units + unit
            d_at = (q * batch + r) * columns + v
            z_at, z_second = _place_of_z(cell, gates, t, r, unit, paired)
            d_above = load_h(d_h, d_at, second, lanes(h))
            if d_out.shape[0] > 0:
                d_above = d_above + load_h(d_out, h_at, h_second, count)
            if mask.shape[0] == 0 or mask[t, r] != 0:
                before = (
                    load_h(h, h_at, h_second, count),
                    load_h(gates, z_at, z_second, lanes(h)),
                )
                blocks = (load_h(late, at, second, lanes(h)),)
                d_made = part(feed, (d_above,), zones, t, r, unit, h_second, count)
                d_blocks, d_before = cell_backward(late_cell, blocks, before, before, d_made, ())
                store_h(d_blocks[0], late, at, second, lanes(h))
                store_h(d_blocks[1], gates, z_at, z_second, lanes(h))
                d_joined = join(
                    feed, d_before, (d_above,), zones, t, r, unit, h_second, count
                )  # fmt: skip
                d_above = d_joined[0]
            else:
                nothing = zero_like(d_above)
                store_h(nothing, late, at, second, lanes(h))
                store_h(nothing, gates, z_at, z_second, lanes(h))
            store_h(d_above, d_h, d_at, second, lanes(h))
            r += 1 + paired


@inline
def _close_reset(cell, feed, gates, d_h, d_reset, fed, kept, t, q, first, last):
    """The gradient of r's pre-activation, and of h by way of r * h, for the units of a panel."""
    batch, columns = d_h.shape[1:]
    units = fed.shape[2]
    width = unit_count(cell, gates)
    for v in range(0, columns, lanes(d_h)):
        unit = q * columns + v
        count = min(lanes(d_h), units - unit)
        r = first if count > 0 else last
        while r < last:
            paired = r + 1 < last
            h_second = units if paired else 0
            second = columns if paired else 0
            d_at = (q * batch + r) * columns + v
            at, gates_second = _place_of_z(cell, gates, t, r, unit, paired)
            seen = load_h(fed, (t * batch + r) * units + unit, h_second, count)
            d_made = load_h(d_reset, d_at, second, lanes(d_h))
            opened = load_h(gates, at + width, gates_second, lanes(d_h))
            d_blocks, d_before = cell_backward(cell, (opened,), (seen,), (seen,), (d_made,), ())
            store_h(d_blocks[0], gates, at + width, gates_second, lanes(d_h))
            d_seen = d_before[0]
            if drops(feed):
                d_seen = d_seen * load_h(kept, r * units + unit, h_second, count)
            d_above = load_h(d_h, d_at, second, lanes(d_h)) + d_seen
            store_h(d_above, d_h, d_at, second, lanes(d_h))
            r += 1 + paired
