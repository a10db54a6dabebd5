"""What a recurrent layer that projects its output does between two steps, row by row."""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fma, lanes, load_first, store_first
from fastlstm.kernels.team import share


@kernel
def hold(h, before, counts, crew):
    """h = before in the rows whose step does not count.

    h, before : (B, P)
    counts : (B,)
    """
    first, last = share(h.shape[0], crew)
    for r in range(first, last):
        if counts[r] == 0:
            for c in range(h.shape[1]):
                h[r, c] = before[r, c]


@kernel
def blend(h, before, zones, crew):
    """h = zones * before + (1 - zones) * h, as in ``zoneout``; all are (B, P)."""
    rows, n = h.shape
    step = lanes(h)
    first, last = share(rows, crew)
    for r in range(first, last):
        for c in range(0, n, step):
            at, count = r * n + c, min(step, n - c)
            z, made = load_first(zones, at, count), load_first(h, at, count)
            kept = fma(z, load_first(before, at, count), (1.0 - z) * made)
            store_first(kept, h, at, count)


@kernel
def part(d, d_h, zones, crew):
    """Part the gradient of h, in ``d``: some of it passes by what is blended, in ``d_h``.

    d, d_h, zones : (B, P)
    """
    rows, n = d.shape
    step = lanes(d)
    first, last = share(rows, crew)
    for r in range(first, last):
        for c in range(0, n, step):
            at, count = r * n + c, min(step, n - c)
            z, whole = load_first(zones, at, count), load_first(d, at, count)
            store_first(fma(z, whole, load_first(d_h, at, count)), d_h, at, count)
            store_first(fma(-z, whole, whole), d, at, count)


@kernel
def receive(d, d_h, d_fed, d_out, counts, crew):
    """Part the gradient of a step's h: ``d`` is what goes through the step, the rest passes by.

    d : (B, P), leaves as d_h + d_fed + d_out; or zero in rows whose step does not count
    d_h : (B, P), what passed by the steps after; leaves as what passes by this one as well
    d_fed : (B, P), from the product of the step after
    d_out : (B, P), from the layers above
    counts : (B,), or (0,) where all count
    """
    first, last = share(d.shape[0], crew)
    for r in range(first, last):
        through = counts.size == 0 or counts[r] != 0
        for c in range(d.shape[1]):
            total = d_h[r, c] + d_fed[r, c] + d_out[r, c]
            d[r, c] = total if through else 0.0
            d_h[r, c] = 0.0 if through else total
