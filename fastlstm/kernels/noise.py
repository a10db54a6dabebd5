"""Normal noise that is a function of (seed, position), as the mask of ``dropout`` is.

A number between -1 and 1 goes through the inverse of the error function. Source of its polynomials:
Giles, "Approximating the erfinv function", GPU Computing Gems, 2010: right to some 3e-7.
"""

from __future__ import annotations

import math

import numpy as np

from fastlstm.kernels.dropout import hashed
from fastlstm.kernels.jit import inline
from fastlstm.kernels.math import log
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fma, lanes, load_first, select, square_root, store_first
from fastlstm.kernels.team import share

_UNIT = 2.0**-23
_ROOT_2 = math.sqrt(2.0)


@kernel
def add_noise(out, x, seed, stddev, row, crew):
    """out = x + stddev · noise.

    out, x : (M, N), which may be rows of something larger; not the same array
    seed : (1,) uint64
    row : number of the first row there, of which the noise is a function
    """
    rows, columns = x.shape
    step, key = lanes(x), seed[0]
    first, last = share(rows, crew)
    for r in range(first, last):
        for c in range(columns):
            # The middles of 2**24 parts of (-1, 1): exact in either precision, and never ±1.
            part = hashed(key, (row + r) * columns + c) >> np.uint64(40)
            out[r, c] = (np.float64(part) + 0.5) * _UNIT - 1.0
        for c in range(0, columns, step):
            at, count = r * columns + c, min(step, columns - c)
            value = _inverse_erf(load_first(out, at, count)) * (_ROOT_2 * stddev)
            store_first(load_first(x, at, count) + value, out, at, count)


@inline
def _inverse_erf(u):
    """The number whose error function is u, between -1 and 1."""
    w = -log((1.0 - u) * (1.0 + u))
    near, far = w - 2.5, square_root(w) - 3.0
    p = fma(near, 2.81022636e-08, 3.43273939e-07)
    p = fma(p, near, -3.5233877e-06)
    p = fma(p, near, -4.39150654e-06)
    p = fma(p, near, 0.00021858087)
    p = fma(p, near, -0.00125372503)
    p = fma(p, near, -0.00417768164)
    p = fma(p, near, 0.246640727)
    p = fma(p, near, 1.50140941)
    q = fma(far, -0.000200214257, 0.000100950558)
    q = fma(q, far, 0.00134934322)
    q = fma(q, far, -0.00367342844)
    q = fma(q, far, 0.00573950773)
    q = fma(q, far, -0.0076224613)
    q = fma(q, far, 0.00943887047)
    q = fma(q, far, 1.00167406)
    q = fma(q, far, 2.83297682)
    return select(w < 5.0, p, q) * u
