"""The outputs of two layers as one, and its gradient back to each of them.

A second layer that went backwards has its last step first: what is ``turned`` is read, or written,
from the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from numba.extending import overload

from fastlstm.kernels.jit import INLINE
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import lanes, load_first, store_first
from fastlstm.kernels.static import Static, method
from fastlstm.kernels.team import share


@dataclass(frozen=True)
class Sum(Static):
    """a + b."""

    def merged(self, a, b):
        return a + b

    def parted(self, d, a, b):
        return d, d


@dataclass(frozen=True)
class Mean(Static):
    """(a + b) / 2."""

    def merged(self, a, b):
        return (a + b) * 0.5

    def parted(self, d, a, b):
        return d * 0.5, d * 0.5


@dataclass(frozen=True)
class Product(Static):
    """a · b."""

    def merged(self, a, b):
        return a * b

    def parted(self, d, a, b):
        return d * b, d * a


def merged(how, a, b):  # pragma: no cover
    """Two vectors as one."""
    return how.merged(a, b)


def parted(how, d, a, b):  # pragma: no cover
    """The gradient of ``merged``, for each of the two."""
    return how.parted(d, a, b)


@overload(merged, jit_options=INLINE)
def _merged(how, a, b):
    implementation = method(how, "merged")
    return lambda how, a, b: implementation(how, a, b)


@overload(parted, jit_options=INLINE)
def _parted(how, d, a, b):
    implementation = method(how, "parted")
    return lambda how, d, a, b: implementation(how, d, a, b)


@kernel
def join(out, a, b, turned, crew):
    """out = [a, b], column beside column.

    out : (T, B, M + N)
    a, b : (T, B, M) and (T, B, N)
    """
    steps, batch, width = a.shape
    other = b.shape[2]
    first, last = share(steps, crew)
    for t in range(first, last):
        s = steps - 1 - t if turned else t
        for r in range(batch):
            for u in range(width):
                out[t, r, u] = a[t, r, u]
            for u in range(other):
                out[t, r, width + u] = b[s, r, u]


@kernel
def split(d_a, d_b, d_out, turned, crew):
    """The gradient of ``join``."""
    steps, batch, width = d_a.shape
    other = d_b.shape[2]
    first, last = share(steps, crew)
    for t in range(first, last):
        s = steps - 1 - t if turned else t
        for r in range(batch):
            for u in range(width):
                d_a[t, r, u] = d_out[t, r, u]
            for u in range(other):
                d_b[s, r, u] = d_out[t, r, width + u]


@kernel
def merge(how, out, a, b, turned, crew):
    """out = a and b, element by element; all are (T, N)."""
    steps, size = out.shape
    first, last = share(steps, crew)
    for t in range(first, last):
        at, b_at = t * size, (steps - 1 - t if turned else t) * size
        for i in range(0, size, lanes(out)):
            count = min(lanes(out), size - i)
            value = merged(how, load_first(a, at + i, count), load_first(b, b_at + i, count))
            store_first(value, out, at + i, count)


@kernel
def part(how, d_a, d_b, d_out, a, b, turned, crew):
    """The gradient of ``merge``."""
    steps, size = d_out.shape
    first, last = share(steps, crew)
    for t in range(first, last):
        at, b_at = t * size, (steps - 1 - t if turned else t) * size
        for i in range(0, size, lanes(d_out)):
            count = min(lanes(d_out), size - i)
            x, y = load_first(a, at + i, count), load_first(b, b_at + i, count)
            d_x, d_y = parted(how, load_first(d_out, at + i, count), x, y)
            store_first(d_x, d_a, at + i, count)
            store_first(d_y, d_b, b_at + i, count)
