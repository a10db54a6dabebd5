"""The step of an LSTM whose sums are normalised, row by row: what comes between its products.

    a = x W    b = h U    LN(v; gamma, beta) = gamma * (v - mean) / sqrt(var + epsilon) + beta
    i, f, g, o = LN(a; gamma_x, beta_x) + LN(b; gamma_h, beta_h) + bias, each through its activation
    c' = f * c + i * g            h' = o * tanh(LN(c'; gamma_c, beta_c))

Mean and variance of a and b are those of all four gates together, those of c' of its units. c goes
on as it is; TensorFlow Addons' LayerNormLSTMCell, else the same, hands on its normalised values.

Source: Ba, Kiros and Hinton, "Layer normalization", 2016, equations 29 to 31 of its appendix.

All arrays are those of one step, but for

    moments  (6, S, B): mean and 1 / sqrt(var + epsilon) of the rows of a, of b and of c'
    zones    (Z, T, B, H), what states keep of themselves, or one slot: ``zoneout``
"""

from __future__ import annotations

from fastlstm.kernels.activations import activate, derivative
from fastlstm.kernels.cell import cell_gates
from fastlstm.kernels.jit import inline
from fastlstm.kernels.layer_norm import row_gradient, row_moments
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fill, fma, lanes, load_first, store_first
from fastlstm.kernels.team import share
from fastlstm.kernels.zoneout import zone_count


@kernel
def forward(
    cell, feed, h, c, gates, cells, moments, h_before, c_before, a, b, counts, zones,
    bias, gamma_x, beta_x, gamma_h, beta_h, gamma_c, beta_c, epsilon, slot, t, crew,
):  # fmt: skip
    """h and c from the sums of a step.

    cell : ``cells.lstm.LSTMCell``, which has the activations
    feed : ``Feed``, which states have zoneout
    h, c : (B, H); c may be ``c_before``
    gates, cells : (B, 4 H) and (B, H), i, f, g, o and c' as the step makes it, for backward
    a, b : (B, 4 H)
    counts : (B,), or (0,) where all rows count; the others keep h and c
    slot, t : the step's place in ``moments`` and in ``zones``
    """
    rows, units = h.shape
    columns, step = 4 * units, lanes(h)
    first, last = share(rows, crew)
    for r in range(first, last):
        if counts.size > 0 and counts[r] == 0:
            _hold(h, c, cells, moments, h_before, c_before, slot, r)
        else:
            mean_x, scale_x = row_moments(a, r * columns, columns, epsilon)
            mean_h, scale_h = row_moments(b, r * columns, columns, epsilon)
            for j in range(0, units, step):
                count, at = min(step, units - j), r * units + j
                of_x = _normal(a, r, 0, j, units, count, mean_x, scale_x, gamma_x, beta_x)
                of_h = _normal(b, r, 0, j, units, count, mean_h, scale_h, gamma_h, beta_h)
                a_i = of_x + of_h + load_first(bias, j, count)
                of_x = _normal(a, r, 1, j, units, count, mean_x, scale_x, gamma_x, beta_x)
                of_h = _normal(b, r, 1, j, units, count, mean_h, scale_h, gamma_h, beta_h)
                a_f = of_x + of_h + load_first(bias, units + j, count)
                of_x = _normal(a, r, 2, j, units, count, mean_x, scale_x, gamma_x, beta_x)
                of_h = _normal(b, r, 2, j, units, count, mean_h, scale_h, gamma_h, beta_h)
                a_g = of_x + of_h + load_first(bias, 2 * units + j, count)
                of_x = _normal(a, r, 3, j, units, count, mean_x, scale_x, gamma_x, beta_x)
                of_h = _normal(b, r, 3, j, units, count, mean_h, scale_h, gamma_h, beta_h)
                a_o = of_x + of_h + load_first(bias, 3 * units + j, count)
                i, f, g, o = cell_gates(cell, (a_i, a_f, a_g, a_o))
                gate = r * columns + j
                store_first(i, gates, gate, count)
                store_first(f, gates, gate + units, count)
                store_first(g, gates, gate + 2 * units, count)
                store_first(o, gates, gate + 3 * units, count)
                before = load_first(c_before, at, count)
                made = fma(f, before, i * g)
                store_first(made, cells, at, count)
                store_first(_kept(feed, 1, before, made, zones, t, r, j, count), c, at, count)
            mean_c, scale_c = row_moments(cells, r * units, units, epsilon)
            for j in range(0, units, step):
                count, at = min(step, units - j), r * units + j
                seen = _normal(cells, r, 0, j, units, count, mean_c, scale_c, gamma_c, beta_c)
                o = load_first(gates, r * columns + 3 * units + j, count)
                made = o * activate(cell.activation, seen)
                before = load_first(h_before, at, count)
                store_first(_kept(feed, 0, before, made, zones, t, r, j, count), h, at, count)
            moments[0, slot, r], moments[1, slot, r] = mean_x, scale_x
            moments[2, slot, r], moments[3, slot, r] = mean_h, scale_h
            moments[4, slot, r], moments[5, slot, r] = mean_c, scale_c


@inline
def _normal(values, r, block, j, units, count, mean, scale, gamma, beta):
    """Some units of a block of row r, normalised; ``values`` has as many blocks as ``gamma``."""
    k = block * units + j
    z = (load_first(values, r * len(gamma) + k, count) - mean) * scale
    return fma(z, load_first(gamma, k, count), load_first(beta, k, count))


@inline
def _zones_of(zones, line, t, r, j, count):
    """What some units of a state keep of themselves."""
    slots, batch, units = zones.shape[1:]
    at = ((line * slots + min(t, slots - 1)) * batch + r) * units + j
    return load_first(zones, at, count)


@inline
def _kept(feed, line, before, made, zones, t, r, j, count):
    """A state after the step, from that before and what the step makes of it."""
    after = made
    if zone_count(feed) > line:
        z = _zones_of(zones, line, t, r, j, count)
        after = fma(z, before, (1.0 - z) * made)
    return after


@inline
def _hold(h, c, cells, moments, h_before, c_before, slot, r):
    """A row that does not count. What backward reads is to be finite."""
    units, step = h.shape[1], lanes(h)
    for j in range(0, units, step):
        count, at = min(step, units - j), r * units + j
        store_first(load_first(h_before, at, count), h, at, count)
        store_first(load_first(c_before, at, count), c, at, count)
        store_first(fill(h, 0.0), cells, at, count)
    for k in range(6):
        moments[k, slot, r] = 0.0


@kernel
def backward(
    cell, feed, gates, d_b, d_cells, d_h, d_c, d_made, cells, moments, d_fed, d_out, c_before, b,
    counts, zones, gamma_h, gamma_c, beta_c, slot, t, crew,
):  # fmt: skip
    """Gradients of a step's sums, from those of h and c.

    gates : (B, 4 H), leaves as the gradient of the gates' pre-activations
    d_b : (B, 4 H), that of b
    d_cells : (B, H), that of LN(c')
    d_h, d_c : (B, H), what passes by the step after; leave as what passes by this one, d_c as all
    d_made : (B, H), scratch
    d_fed, d_out : (B, H), gradients of h by the product after, and by the layers above
    """
    rows, units = d_h.shape
    columns, step = 4 * units, lanes(d_h)
    first, last = share(rows, crew)
    for r in range(first, last):
        counted = counts.size == 0 or counts[r] != 0
        mean_c, scale_c = moments[4, slot, r], moments[5, slot, r]
        for j in range(0, units, step):
            count, at = min(step, units - j), r * units + j
            total = load_first(d_h, at, count) + load_first(d_fed, at, count)
            total = total + load_first(d_out, at, count)
            if counted:
                gate = r * columns + 3 * units + j
                o = load_first(gates, gate, count)
                seen = _normal(cells, r, 0, j, units, count, mean_c, scale_c, gamma_c, beta_c)
                y = activate(cell.activation, seen)
                d = total
                past = fill(d_h, 0.0)
                if zone_count(feed) > 0:
                    z = _zones_of(zones, 0, t, r, j, count)
                    d, past = fma(-z, total, total), z * total
                d_o = d * y * derivative(cell.recurrent_activation, o)
                store_first(d_o, gates, gate, count)
                store_first(d * o * derivative(cell.activation, y), d_cells, at, count)
                store_first(past, d_h, at, count)
            else:
                store_first(total, d_h, at, count)
        if counted:
            row_gradient(
                d_made, r * units, d_cells, cells, r * units, units, mean_c, scale_c, gamma_c
            )
            for j in range(0, units, step):
                _leave_cell(cell, feed, gates, d_c, d_made, c_before, zones, t, r, j)
            at = r * columns
            mean, scale = moments[2, slot, r], moments[3, slot, r]
            row_gradient(d_b, at, gates, b, at, columns, mean, scale, gamma_h)
        else:
            for j in range(0, columns, step):
                count, at = min(step, columns - j), r * columns + j
                store_first(fill(d_h, 0.0), gates, at, count)
                store_first(fill(d_h, 0.0), d_b, at, count)
            for j in range(0, units, step):
                count = min(step, units - j)
                store_first(fill(d_h, 0.0), d_cells, r * units + j, count)


@inline
def _leave_cell(cell, feed, gates, d_c, d_made, c_before, zones, t, r, j):
    """Gradients of the gates i, f and g of some units, and of c before."""
    units = d_c.shape[1]
    count, at = min(lanes(d_c), units - j), r * units + j
    gate = 4 * r * units + j
    above = load_first(d_c, at, count)
    d = above + load_first(d_made, at, count)
    if zone_count(feed) > 1:
        z = _zones_of(zones, 1, t, r, j, count)
        d = fma(-z, above, above) + load_first(d_made, at, count)
    i = load_first(gates, gate, count)
    f = load_first(gates, gate + units, count)
    g = load_first(gates, gate + 2 * units, count)
    before = load_first(c_before, at, count)
    d_before = d * f
    if zone_count(feed) > 1:
        z = _zones_of(zones, 1, t, r, j, count)
        d_before = fma(z, above, d * f)
    store_first(d_before, d_c, at, count)
    opened, made = cell.recurrent_activation, cell.activation
    store_first(d * g * derivative(opened, i), gates, gate, count)
    store_first(d * before * derivative(opened, f), gates, gate + units, count)
    store_first(d * i * derivative(made, g), gates, gate + 2 * units, count)
