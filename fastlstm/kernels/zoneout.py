"""Zoneout: after a step, states keep some of what they were before, unit by unit.

    s' = z * s + (1 - z) * made

``made`` is what the cell makes of the states s before; z is 1 or 0, drawn for each step, row and
unit, or the probability of 1 everywhere, which is the expectation. How many states have it is the
type ``Feed``: h, or h and the one after it.

    zones  (Z, T, B, H), z of each state; or one slot, the same at each step
    made   (Z, T, B, H), what the cell made of each, for backward; or one slot, which nobody reads

Source: Krueger et al., "Zoneout: Regularizing RNNs by randomly preserving hidden activations",
ICLR 2017.
"""

from __future__ import annotations

from numba.extending import overload

from fastlstm.kernels.cell import load_h, store_h
from fastlstm.kernels.dropout import drawn, least_draw
from fastlstm.kernels.jit import INLINE, inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fma
from fastlstm.kernels.team import share


@kernel
def draw(zones, seed, rate, row, crew):
    """zones = 1 with the probability ``rate``, else 0.

    zones : (M, N), which may be rows of something larger
    seed : (1,) uint64
    row : number of the first row there, of which what is drawn is a function
    """
    rows, columns = zones.shape
    least, key = least_draw(rate), seed[0]
    first, last = share(rows, crew)
    for r in range(first, last):
        for c in range(columns):
            zones[r, c] = 1.0 if drawn(key, (row + r) * columns + c) < least else 0.0


def zone_count(feed):  # pragma: no cover
    """How many states have it: a constant to the compiler."""
    return feed.zones


@inline
def _place(array, line, t, r, unit):
    """Where a unit of a row stands."""
    slots, batch, units = array.shape[1:]
    return ((line * slots + min(t, slots - 1)) * batch + r) * units + unit


@inline
def _load_line(array, line, t, r, unit, second, count):
    return load_h(array, _place(array, line, t, r, unit), second, count)


@inline
def _blend(line, before, after, zones, made, t, r, unit, second, count):
    """One state after a step; what the cell made of it is noted."""
    store_h(after, made, _place(made, line, t, r, unit), second, count)
    z = _load_line(zones, line, t, r, unit, second, count)
    # Exactly one of the two where z is 0 or 1.
    return fma(z, before, (1.0 - z) * after)


def blend(feed, before, after, zones, made, t, r, unit, second, count):  # pragma: no cover
    """States after a step, from those before it and what the cell made of them."""
    places = t, r, unit, second, count
    zoned = [
        _blend(line, before[line], after[line], zones, made, *places) for line in range(feed.zones)
    ]
    return (*zoned, *after[feed.zones :])


def made_states(feed, after, made, t, r, unit, second, count):  # pragma: no cover
    """What the cell made of the states, from those after the step and what was noted."""
    zoned = [
        _load_line(made, line, t, r, unit, second, count) for line in range(feed.zones)
    ]  # fmt: skip
    return (*zoned, *after[feed.zones :])


def part(feed, d_after, zones, t, r, unit, second, count):  # pragma: no cover
    """Gradients of what the cell made, from those of the states after the step."""
    zoned = [
        fma(-_load_line(zones, line, t, r, unit, second, count), d_after[line], d_after[line])
        for line in range(feed.zones)
    ]
    return (*zoned, *d_after[feed.zones :])


def join(feed, d_before, d_after, zones, t, r, unit, second, count):  # pragma: no cover
    """Gradients of the states before: what came through the cell, and what passed by it."""
    zoned = [
        fma(_load_line(zones, line, t, r, unit, second, count), d_after[line], d_before[line])
        for line in range(feed.zones)
    ]
    return (*zoned, *d_before[feed.zones :])


@overload(zone_count, jit_options=INLINE)
def _zone_count(feed):
    known = feed.value.zones
    return lambda feed: known


@overload(blend, jit_options=INLINE)
def _blend_states(feed, before, after, zones, made, t, r, unit, second, count):
    def none(feed, before, after, zones, made, t, r, unit, second, count):
        return after

    def one(feed, before, after, zones, made, t, r, unit, second, count):
        h = _blend(0, before[0], after[0], zones, made, t, r, unit, second, count)
        return (h, *after[1:])

    def two(feed, before, after, zones, made, t, r, unit, second, count):
        h = _blend(0, before[0], after[0], zones, made, t, r, unit, second, count)
        c = _blend(1, before[1], after[1], zones, made, t, r, unit, second, count)
        return (h, c, *after[2:])

    return (none, one, two)[feed.value.zones]


@overload(made_states, jit_options=INLINE)
def _made_states(feed, after, made, t, r, unit, second, count):
    def none(feed, after, made, t, r, unit, second, count):
        return after

    def one(feed, after, made, t, r, unit, second, count):
        h = _load_line(made, 0, t, r, unit, second, count)
        return (h, *after[1:])

    def two(feed, after, made, t, r, unit, second, count):
        h = _load_line(made, 0, t, r, unit, second, count)
        c = _load_line(made, 1, t, r, unit, second, count)
        return (h, c, *after[2:])

    return (none, one, two)[feed.value.zones]


@overload(part, jit_options=INLINE)
def _part(feed, d_after, zones, t, r, unit, second, count):
    def none(feed, d_after, zones, t, r, unit, second, count):
        return d_after

    def one(feed, d_after, zones, t, r, unit, second, count):
        z = _load_line(zones, 0, t, r, unit, second, count)
        return (fma(-z, d_after[0], d_after[0]), *d_after[1:])

    def two(feed, d_after, zones, t, r, unit, second, count):
        z = _load_line(zones, 0, t, r, unit, second, count)
        z_c = _load_line(zones, 1, t, r, unit, second, count)
        h, c = fma(-z, d_after[0], d_after[0]), fma(-z_c, d_after[1], d_after[1])
        return (h, c, *d_after[2:])

    return (none, one, two)[feed.value.zones]


@overload(join, jit_options=INLINE)
def _join(feed, d_before, d_after, zones, t, r, unit, second, count):
    def none(feed, d_before, d_after, zones, t, r, unit, second, count):
        return d_before

    def one(feed, d_before, d_after, zones, t, r, unit, second, count):
        z = _load_line(zones, 0, t, r, unit, second, count)
        return (fma(z, d_after[0], d_before[0]), *d_before[1:])

    def two(feed, d_before, d_after, zones, t, r, unit, second, count):
        z = _load_line(zones, 0, t, r, unit, second, count)
        z_c = _load_line(zones, 1, t, r, unit, second, count)
        h, c = fma(z, d_after[0], d_before[0]), fma(z_c, d_after[1], d_before[1])
        return (h, c, *d_before[2:])

    return (none, one, two)[feed.value.zones]
