"""Losses that look at one output at a time: squared, absolute and Huber error, binary entropy.

total     (1,) float64, receives the sum over rows of weight · row_loss / M
d_pred    (M, C), gradient of the result; or (0, C) where only the value is wanted
row_loss  (M,), each row's mean over C, without its weight
y_true    (M, C)
y_pred    (M, C)
weights   (M,), or (0,) for ones

Threads take rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba.extending import overload

from fastlstm.kernels.jit import INLINE, body, inline
from fastlstm.kernels.math import exp
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import SUM_VECTORS, first_lanes, load_or, mean_of_rows, row_weight
from fastlstm.kernels.simd import (
    absolute,
    fill,
    fma,
    lanes,
    select,
    store_first,
    sum_lanes,
    zero_like,
)
from fastlstm.kernels.static import Static, method
from fastlstm.kernels.team import share

# Keras keeps probabilities this far from 0 and 1.
EPSILON = 1e-7

# artanh(s) = s(1 + s²/3 + s⁴/5 + ...): with so many terms, exact to float64 for s² <= 1/9.
_ARTANH_TERMS = 17


# -- equations on vectors: option is the loss's one parameter, an array of several, or 0 ------


@dataclass(frozen=True)
class Squared(Static):
    """(y - t)²."""

    def equation(self, y, t, option):
        error = y - t
        return error * error, 2.0 * error


@dataclass(frozen=True)
class Absolute(Static):
    """|y - t|; the slope at 0 is 0."""

    def equation(self, y, t, option):
        error = y - t
        return absolute(error), select(error > 0.0, 1.0, select(error < 0.0, -1.0, error))


@dataclass(frozen=True)
class Huber(Static):
    """½ e² where |e| <= delta, else delta (|e| - ½ delta), with e = y - t."""

    def equation(self, y, t, delta):
        error = y - t
        size = absolute(error)
        value = select(size <= delta, 0.5 * error * error, delta * (size - 0.5 * delta))
        return value, select(error > delta, delta, select(error < -delta, -delta, error))


@dataclass(frozen=True)
class BinaryLogits(Static):
    """-t log p - (1 - t) log(1 - p) with p = sigmoid(y): max(y, 0) - y t + log(1 + e^-|y|).

    The option smooths the labels towards ½.
    """

    def equation(self, y, t, smoothing):
        t = t * (1.0 - smoothing) + 0.5 * smoothing
        z = exp(-absolute(y))
        value = select(y < 0.0, 0.0, y) - y * t + log_one_plus(z)
        return value, select(y < 0.0, z, 1.0) / (1.0 + z) - t


@inline
def log_one_plus(z):
    """log(1 + z) of a vector, for z in [0, 1]."""
    return log_one_plus_of(z / (2.0 + z))


@inline
def log_one_plus_of(s):
    """log(1 + z) from s = z / (2 + z) <= 1/3: 2·artanh(s)."""
    s2 = s * s
    series = zero_like(s)
    for k in range(_ARTANH_TERMS - 1, 0, -1):
        series = fma(series, s2, 1.0 / (2 * k + 1))
    return 2.0 * fma(s * s2, series, s)


def _equation(loss, y, t, option):  # pragma: no cover
    """Loss and slope of a vector of outputs."""
    return loss.equation(y, t, option)


@overload(_equation, jit_options=INLINE)
def _choose_equation(loss, y, t, option):
    equation = method(loss, "equation")
    return lambda loss, y, t, option: equation(loss, y, t, option)


@kernel
def elementwise(loss, total, d_pred, row_loss, y_true, y_pred, weights, option, crew):
    """Mean of one of the equations above over each row."""
    rows, columns = y_pred.shape
    first, last = share(rows, crew)
    wants_gradient = d_pred.shape[0] > 0
    step = lanes(y_pred)
    for m in range(first, last):
        at = m * columns
        factor = row_weight(weights, m) / (rows * columns)
        row = 0.0
        for j0 in range(0, columns, step * SUM_VECTORS):
            part = fill(y_pred, 0.0)
            for j in range(j0, min(columns, j0 + step * SUM_VECTORS), step):
                count = min(step, columns - j)
                value, slope = _equation(
                    loss,
                    load_or(y_pred, at + j, count, 0.0),
                    load_or(y_true, at + j, count, 0.0),
                    option,
                )
                part = part + (value if count == step else select(
                    first_lanes(y_pred, count), value, 0.0
                ))  # fmt: skip
                if wants_gradient:
                    store_first(slope * factor, d_pred, at + j, count)
            row += np.float64(sum_lanes(part))
        row_loss[m] = row / columns
    mean_of_rows(total, row_loss, weights, crew)


@kernel
def binary_probabilities(
    total, d_pred, row_loss, y_true, y_pred, weights, smoothing, crew
):  # fmt: skip
    """Binary cross-entropy of probabilities, kept away from 0 and 1 by ``EPSILON``."""
    rows, columns = y_pred.shape
    first, last = share(rows, crew)
    wants_gradient = d_pred.shape[0] > 0
    for m in range(first, last):
        factor = row_weight(weights, m) / (rows * columns)
        row = 0.0
        for j in range(columns):
            t = np.float64(y_true[m, j]) * (1.0 - smoothing) + 0.5 * smoothing
            p, clipped = clip_probability(np.float64(y_pred[m, j]))
            row -= t * np.log(p) + (1.0 - t) * np.log(1.0 - p)
            if wants_gradient:
                d_pred[m, j] = 0.0 if clipped else factor * (p - t) / (p * (1.0 - p))
        row_loss[m] = row / columns
    mean_of_rows(total, row_loss, weights, crew)


@body
def clip_probability(p):
    """The probability, kept away from 0 and 1, and whether it had to be; NaN stays NaN."""
    if p < EPSILON:
        return EPSILON, True
    if p > 1.0 - EPSILON:
        return 1.0 - EPSILON, True
    return p, False
