"""Dropout whose mask is a function of (seed, position): no mask is stored, no thread matters.

The hash is the finaliser of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
Generators", OOPSLA 2014 (SplitMix64).
"""

from __future__ import annotations

import math

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import lanes, load_first, store_first
from fastlstm.kernels.team import share

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
# How many different numbers are drawn.
_DRAWS = 2.0**53


@inline
def hashed(seed, position):
    """64 bits that look random, of a seed and a place."""
    z = seed + _GOLDEN * np.uint64(position + 1)
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@inline
def least_draw(rate):
    """The smallest draw that is not below ``rate``; see ``drawn``."""
    return np.uint64(math.ceil(rate * _DRAWS))


@inline
def drawn(seed, position):
    """One of 2**53 whole numbers from 0 on: compared as it is, it stays in vectors of integers."""
    return hashed(seed, position) >> np.uint64(11)


@kernel
def drop(out, x, seed, rate, row, crew):
    """out = x / (1 - rate) where kept, else 0; the same call on gradients is the backward.

    out, x : (M, N), which may be rows of something larger
    seed : (1,) uint64
    row : number of the first row there, of which the mask is a function
    """
    rows, columns = x.shape
    scale, least, key = 1.0 / (1.0 - rate), least_draw(rate), seed[0]
    first, last = share(rows, crew)
    for r in range(first, last):
        for c in range(columns):
            kept = drawn(key, (row + r) * columns + c) >= least
            out[r, c] = x[r, c] * scale if kept else 0.0


@kernel
def draw_kept(kept, seed, rate, crew):
    """kept = 1 / (1 - rate) where it is to be kept, else 0; (M, N), of which it is a function."""
    rows, columns = kept.shape
    scale, least, key = 1.0 / (1.0 - rate), least_draw(rate), seed[0]
    first, last = share(rows, crew)
    for r in range(first, last):
        for c in range(columns):
            kept[r, c] = scale if drawn(key, r * columns + c) >= least else 0.0


@kernel
def keep(out, x, kept, crew):
    """out = x * kept, all of whose rows go with as many of x, again and again.

    out, x : (M, N)
    kept : (P, N)
    """
    rows, columns = x.shape
    step, period = lanes(x), len(kept)
    first, last = share(rows, crew)
    for r in range(first, last):
        at, kept_at = r * columns, r % period * columns
        for c in range(0, columns, step):
            count = min(step, columns - c)
            value = load_first(x, at + c, count) * load_first(kept, kept_at + c, count)
            store_first(value, out, at + c, count)
