"""Constraints: what brings weights back to where they are allowed, after each update."""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share

# Keeps the division by a norm defined, as in Keras.
EPSILON = 1e-7
# Neighbouring groups whose norms are summed side by side: part of the result's definition.
BLOCK = 64


@kernel
def at_least_zero(w, crew):
    """w = max(w, 0), element by element; NaN stays NaN."""
    first, last = share(len(w), crew)
    for i in range(first, last):
        if w[i] < 0.0:
            w[i] = 0.0


@kernel
def bound_norms(w, factors, depth, inner, low, high, rate, crew):
    """Bring the norm of each group of weights between two bounds, or so far on the way there.

        w *= (rate · clip(norm, low, high) + (1 - rate) · norm) / (EPSILON + norm)

    Sums are in float64.

    w : (outer · depth · inner,); the elements of a group are those along ``depth``
    factors : (outer · inner,) float64, one for each group; scratch
    """
    blocks = (inner + BLOCK - 1) // BLOCK
    first, last = share(len(factors) // inner * blocks, crew)
    for n in range(first, last):
        start, stop = n % blocks * BLOCK, min((n % blocks + 1) * BLOCK, inner)
        group, at = n // blocks * inner, n // blocks * depth * inner
        for i in range(start, stop):
            factors[group + i] = 0.0
        for k in range(depth):
            for i in range(start, stop):
                x = np.float64(w[at + k * inner + i])
                factors[group + i] += x * x
        for i in range(start, stop):
            norm = np.sqrt(factors[group + i])
            wanted = high if norm > high else (low if norm < low else norm)
            wanted = rate * wanted + (1.0 - rate) * norm
            factors[group + i] = wanted / (EPSILON + norm)
        for k in range(depth):
            for i in range(start, stop):
                w[at + k * inner + i] = w[at + k * inner + i] * factors[group + i]
