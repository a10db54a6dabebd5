"""How far the rows, or the columns, of a matrix are from being orthogonal.

With u the lines of w brought to length 1, the penalty is factor · sum of |u[i] · u[j]| over all
pairs. Sums are in float64, each by one thread.

w, grads : (rows, columns), the weight, and its gradient
units : (N, D) float64, the lines u
norms : (N,) float64, their lengths before
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import meet, share


@kernel
def penalties(partial, units, norms, w, by_columns, factor, crew):
    """Lines of length 1, and for each factor · sum of |u[i] · u[j]| over those before it.

    partial : (N,) float64
    """
    count, depth = units.shape
    first, last = share(count, crew)
    for i in range(first, last):
        squares = 0.0
        for k in range(depth):
            value = np.float64(w[k, i] if by_columns else w[i, k])
            units[i, k] = value
            squares += value * value
        # A line of zeros stays one.
        norms[i] = 1.0 if squares == 0.0 else np.sqrt(squares)
        for k in range(depth):
            units[i, k] /= norms[i]
    meet(crew)
    for i in range(first, last):
        partial[i] = 0.0
        for j in range(i):
            partial[i] += factor * abs(_dot(units, i, j))


@inline
def _dot(units, i, j):
    total = 0.0
    for k in range(units.shape[1]):
        total += units[i, k] * units[j, k]
    return total


@kernel
def add_slopes(grads, pull, units, norms, by_columns, factor, crew):
    """grads += (g - u · (u · g)) / norm for each line, with g = factor · sum of ±u of the others.

    pull : (N, D) float64, receives g
    """
    count, depth = units.shape
    first, last = share(count, crew)
    for i in range(first, last):
        for k in range(depth):
            pull[i, k] = 0.0
        for j in range(count):
            product = _dot(units, i, j)
            if j == i or product == 0.0:
                continue
            sign = factor if product > 0.0 else (-factor if product < 0.0 else product)
            for k in range(depth):
                pull[i, k] += sign * units[j, k]
        along = 0.0
        for k in range(depth):
            along += units[i, k] * pull[i, k]
        for k in range(depth):
            slope = (pull[i, k] - units[i, k] * along) / norms[i]
            if by_columns:
                grads[k, i] += slope
            else:
                grads[i, k] += slope
