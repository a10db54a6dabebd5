"""Several arrays as one, element by element or side by side, and the gradients back to them.

An array whose steps or features are one goes with every step or feature of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastlstm.kernels.merge import merged
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import lanes, load_first, store_first
from fastlstm.kernels.static import Static
from fastlstm.kernels.team import share


@dataclass(frozen=True)
class Difference(Static):
    """a - b."""

    def merged(self, a, b):
        return a - b


@dataclass(frozen=True)
class Larger(Static):
    """The larger one."""

    def merged(self, a, b):
        return max(a, b)


@dataclass(frozen=True)
class Smaller(Static):
    """The smaller one."""

    def merged(self, a, b):
        return min(a, b)


@dataclass(frozen=True)
class Ratio(Static):
    """a / b."""

    def merged(self, a, b):
        return a / b


@kernel
def fold(how, out, x, crew):
    """out = ``how`` of out and x; (T, B, D), and x (T or 1, B, D or 1)."""
    steps, batch, depth = out.shape
    timed, deep = x.shape[0] > 1, x.shape[2] > 1
    first, last = share(steps, crew)
    for t in range(first, last):
        at = t if timed else 0
        for b in range(batch):
            if deep:
                for d in range(depth):
                    out[t, b, d] = merged(how, out[t, b, d], x[at, b, d])
            else:
                for d in range(depth):
                    out[t, b, d] = merged(how, out[t, b, d], x[at, b, 0])


@kernel
def spread(out, x, crew):
    """out = x; (T, B, D), and x (T or 1, B, D or 1)."""
    steps, batch, depth = out.shape
    timed, deep = x.shape[0] > 1, x.shape[2] > 1
    first, last = share(steps, crew)
    for t in range(first, last):
        at = t if timed else 0
        for b in range(batch):
            for d in range(depth):
                out[t, b, d] = x[at, b, d if deep else 0]


@kernel
def reduce(d_x, d_out, factor, crew):
    """The gradient of ``spread`` times a factor: sums over what one number went to."""
    steps, batch, depth = d_out.shape
    timed, deep = d_x.shape[0] > 1, d_x.shape[2] > 1
    first, last = share(batch, crew)
    for b in range(first, last):
        for t in range(d_x.shape[0]):
            for d in range(d_x.shape[2]):
                d_x[t, b, d] = 0.0
    for t in range(steps):
        at = t if timed else 0
        for b in range(first, last):
            if deep:
                for d in range(depth):
                    d_x[at, b, d] += factor * d_out[t, b, d]
            else:
                total = 0.0
                for d in range(depth):
                    total += d_out[t, b, d]
                d_x[at, b, 0] += factor * total


@kernel
def count_equal(counts, out, x, crew):
    """counts += where x is what was chosen; shapes as for ``fold``."""
    steps, batch, depth = out.shape
    timed, deep = x.shape[0] > 1, x.shape[2] > 1
    first, last = share(steps, crew)
    for t in range(first, last):
        for b in range(batch):
            for d in range(depth):
                if x[t if timed else 0, b, d if deep else 0] == out[t, b, d]:
                    counts[t, b, d] += 1.0


@kernel
def part_of_chosen(d_part, d_out, counts, out, x, crew):
    """d_part = d_out where x is what was chosen, shared with those equal to it; else zero."""
    steps, batch, depth = out.shape
    timed, deep = x.shape[0] > 1, x.shape[2] > 1
    first, last = share(steps, crew)
    for t in range(first, last):
        for b in range(batch):
            for d in range(depth):
                chosen = x[t if timed else 0, b, d if deep else 0] == out[t, b, d]
                d_part[t, b, d] = d_out[t, b, d] / counts[t, b, d] if chosen else 0.0


@kernel
def either(mask, other, crew):
    """mask = 1 where it or the other is; both flat."""
    first, last = share(mask.size, crew)
    for i in range(first, last):
        mask[i] |= other[i]


@kernel
def fill(flat, value, crew):
    """Every element of uint8 = value."""
    first, last = share(flat.size, crew)
    for i in range(first, last):
        flat[i] = np.uint8(value)


@kernel
def scale(flat, factor, crew):
    """flat *= factor, element by element."""
    step = lanes(flat)
    first, last = share(flat.size, crew)
    for at in range(first, last, step):
        count = min(step, last - at)
        store_first(load_first(flat, at, count) * factor, flat, at, count)


@kernel
def rescale(out, x, factor, offset, crew):
    """out = factor · x + offset, element by element; both flat."""
    step = lanes(out)
    first, last = share(out.size, crew)
    for at in range(first, last, step):
        count = min(step, last - at)
        store_first(load_first(x, at, count) * factor + offset, out, at, count)


@kernel
def add_scaled(total, part, factor, crew):
    """total += factor · part, element by element."""
    first, last = share(total.size, crew)
    for i in range(first, last):
        total[i] += factor * part[i]
