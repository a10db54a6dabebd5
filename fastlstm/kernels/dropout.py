"""Dropout whose mask is a function of (seed, position): no mask is stored, no thread matters.

The hash is the finaliser of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
Generators", OOPSLA 2014 (SplitMix64).
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


@inline
def hashed(seed, position):
    """64 bits that look random, of a seed and a place."""
    z = seed + _GOLDEN * np.uint64(position + 1)
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@inline
def uniform(seed, position):
    """A number in [0, 1)."""
    return np.float64(hashed(seed, position) >> np.uint64(11)) * _UNIT


@kernel
def drop(out, x, seed, rate, row, period, crew):
    """out = x / (1 - rate) where kept, else 0; the same call on gradients is the backward.

    out, x : (M, N), which may be rows of something larger
    seed : (1,) uint64
    row : number of the first row there, of which the mask is a function
    period : after how many rows it begins again; 0 for never
    """
    rows, columns = x.shape
    scale = 1.0 / (1.0 - rate)
    first, last = share(rows, crew)
    for r in range(first, last):
        number = (row + r) % period if period > 0 else row + r
        for c in range(columns):
            kept = uniform(seed[0], number * columns + c) >= rate
            out[r, c] = x[r, c] * scale if kept else 0.0


@kernel
def keep(out, x, kept, crew):
    """out = x * kept; all are (M, N)."""
    rows, columns = x.shape
    first, last = share(rows, crew)
    for r in range(first, last):
        for c in range(columns):
            out[r, c] = x[r, c] * kept[r, c]
