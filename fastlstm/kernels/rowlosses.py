"""Losses that look at a whole row at once, and what brings any loss to another mean.

total     (1,) float64, receives the sum over rows of weight · row_loss / M
d_pred    (M, C), gradient of the result with respect to y_pred; or (0, C): value only
row_loss  (M,), each row's loss, without its weight
y_true    (M, C), or (M, C / Q) for Q quantiles
y_pred    (M, C)
weights   (M,), or (0,) for ones

Threads take rows.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.crossentropy import exp_row, scale_row, some
from fastlstm.kernels.equations import clipped
from fastlstm.kernels.jit import body, inline
from fastlstm.kernels.losses import EPSILON
from fastlstm.kernels.math import exp, log, power
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import (
    SUM_VECTORS,
    first_lanes,
    load_or,
    max_lanes,
    mean_of_rows,
    row_max,
    row_sum,
    row_weight,
)
from fastlstm.kernels.simd import fill, fma, lanes, select, store_first, sum_lanes
from fastlstm.kernels.team import share

# Keras keeps the squares of lengths at or above this.
_LEAST_SQUARE = 1e-12
# Below this, log(1 - a) / a is taken from its series.
_NEAR = 1e-3


# -- directions ------------------------------------------------------------------------------


@inline
def _products(x, y, at, n):
    """Σ x y of a row, in float64."""
    step = lanes(x)
    total = 0.0
    for j0 in range(0, n, step * SUM_VECTORS):
        part = fill(x, 0.0)
        for j in range(j0, min(n, j0 + step * SUM_VECTORS), step):
            part = fma(load_or(x, at + j, n - j, 0.0), load_or(y, at + j, n - j, 0.0), part)
        total += np.float64(sum_lanes(part))
    return total


@kernel
def cosine(total, d_pred, row_loss, y_true, y_pred, weights, crew):
    """-Σ t y / (|t| |y|)."""
    rows, columns = y_pred.shape
    first, last = share(rows, crew)
    step = lanes(y_pred)
    for m in range(first, last):
        at = m * columns
        square = _products(y_pred, y_pred, at, columns)
        lengths = _length(square) * _length(_products(y_true, y_true, at, columns))
        product = _products(y_true, y_pred, at, columns) / lengths
        row_loss[m] = -product
        if d_pred.shape[0] > 0:
            factor = row_weight(weights, m) / rows
            along = 0.0 if square < _LEAST_SQUARE else factor * product / square
            for j in range(0, columns, step):
                count = min(step, columns - j)
                t = load_or(y_true, at + j, count, 0.0) * (factor / lengths)
                d = load_or(y_pred, at + j, count, 0.0) * along - t
                store_first(d, d_pred, at + j, count)
    mean_of_rows(total, row_loss, weights, crew)


@inline
def _length(square):
    return np.sqrt(_LEAST_SQUARE if square < _LEAST_SQUARE else square)


# -- margins ---------------------------------------------------------------------------------


@inline
def _other(y_true, y_pred, at, count):
    """(1 - t) y of a vector; -infinity beyond the row."""
    return (1.0 - load_or(y_true, at, count, 0.0)) * load_or(y_pred, at, count, -np.inf)


@inline
def _highest_other(y_true, y_pred, at, n):
    """Largest (1 - t) y of a row; NaN does not count."""
    step = lanes(y_pred)
    high = fill(y_pred, -np.inf)
    for j in range(0, n, step):
        value = _other(y_true, y_pred, at + j, n - j)
        high = select(value > high, value, high)
    return max_lanes(high)


@body
def _place_of_highest(y_true, y_pred, m, high):
    """Column of the largest (1 - t) y of a row, which is ``high``; 0 if all are NaN."""
    columns, step = y_pred.shape[1], lanes(y_pred)
    start = 0
    for j in range(0, columns, step):
        if max_lanes(_other(y_true, y_pred, m * columns + j, columns - j)) == high:
            start = j
            break
    place, best = start, -np.inf
    for j in range(start, min(columns, start + step)):
        value = (1.0 - y_true[m, j]) * y_pred[m, j]
        if value > best:
            place, best = j, value
    return place


@kernel
def categorical_hinge(total, d_pred, row_loss, y_true, y_pred, weights, crew):
    """max(max (1 - t) y - Σ t y + 1, 0); the first of equal maxima has the gradient."""
    rows, columns = y_pred.shape
    first, last = share(rows, crew)
    step = lanes(y_pred)
    for m in range(first, last):
        at = m * columns
        high = _highest_other(y_true, y_pred, at, columns)
        margin = np.float64(high) - _products(y_true, y_pred, at, columns) + 1.0
        row_loss[m] = 0.0 if margin < 0.0 else margin
        if d_pred.shape[0] > 0:
            # NaN times nothing is NaN, where the margin is.
            factor = 0.0 if margin <= 0.0 else row_weight(weights, m) / rows + 0.0 * margin
            for j in range(0, columns, step):
                count = min(step, columns - j)
                d = load_or(y_true, at + j, count, 0.0) * -factor
                store_first(d, d_pred, at + j, count)
            j = _place_of_highest(y_true, y_pred, m, high)
            d_pred[m, j] += factor * (1.0 - y_true[m, j])
    mean_of_rows(total, row_loss, weights, crew)


# -- quantiles -------------------------------------------------------------------------------


@kernel
def quantiles(total, d_pred, row_loss, y_true, y_pred, weights, levels, crew):
    """Mean pinball loss of each target's Q predictions, which stand side by side.

    levels : (Q,) float64
    """
    rows, columns = y_pred.shape
    count = len(levels)
    first, last = share(rows, crew)
    for m in range(first, last):
        factor = row_weight(weights, m) / (rows * columns)
        row = 0.0
        for target in range(columns // count):
            t = np.float64(y_true[m, target])
            for q in range(count):
                error = t - np.float64(y_pred[m, target * count + q])
                slope = levels[q] - (0.0 if error > 0.0 else 1.0)
                row += slope * error
                if d_pred.shape[0] > 0:
                    # At 0 there is none; NaN times nothing is NaN.
                    d = -factor * slope if error != 0.0 else 0.0
                    d_pred[m, target * count + q] = d if error == error else error
        row_loss[m] = row / columns
    mean_of_rows(total, row_loss, weights, crew)


# -- focal -----------------------------------------------------------------------------------


@inline
def _log_by_distance(log_p, away):
    """log(p) / (1 - p) from its two parts; their quotient means nothing where p is near 1."""
    series = fma(fma(fma(fma(away, 0.2, 0.25), away, 1.0 / 3.0), away, 0.5), away, 1.0)
    return select(away < _NEAR, -series, log_p / away)


@kernel
def focal_logits(
    total, d_pred, row_loss, y_true, y_pred, weights, alpha, gamma, smoothing, crew
):  # fmt: skip
    """-Σ alpha (1 - p)^gamma t log p with p = softmax(y).

    With r = log p / (1 - p) and g = p times the slope by p, that by y is g - p Σ g.
    """
    rows, columns = y_pred.shape
    first, last = share(rows, crew)
    wants_gradient = d_pred.shape[0] > 0
    step = lanes(y_pred)
    keep, base = 1.0 - smoothing, smoothing / columns
    for m in range(first, last):
        at = m * columns
        high = row_max(y_pred, at, columns)
        norm = exp_row(d_pred, False, y_pred, at, columns, high)
        shift, inverse = np.log(norm), 1.0 / norm
        row, shared = 0.0, 0.0
        factor = row_weight(weights, m) / rows
        for j in range(0, columns, step):
            count = min(step, columns - j)
            y = load_or(y_pred, at + j, count, -np.inf) - high
            t = fma(load_or(y_true, at + j, count, 0.0), keep, fill(y_true, base))
            p = exp(y) * inverse
            away = select(p > 1.0, 0.0, 1.0 - p)
            r = _log_by_distance(select(y < -1e30, -1e30, y) - shift, away)
            weight = alpha * t * power(away, gamma)
            g = weight * (gamma * p * r - 1.0)
            row -= _sum_first(weight * r * away, y_pred, count)
            shared += _sum_first(g, y_pred, count)
            if wants_gradient:
                store_first(g, d_pred, at + j, count)
        row_loss[m] = row
        if wants_gradient:
            for j in range(0, columns, step):
                count = min(step, columns - j)
                p = exp(load_or(y_pred, at + j, count, -np.inf) - high) * inverse
                g = load_or(d_pred, at + j, count, 0.0)
                store_first((g - p * shared) * factor, d_pred, at + j, count)
    mean_of_rows(total, row_loss, weights, crew)


@kernel
def focal_probabilities(
    total, d_pred, row_loss, y_true, y_pred, weights, alpha, gamma, smoothing, crew
):  # fmt: skip
    """The same with q = y / Σ y, kept away from 0 and 1, in the place of p."""
    rows, columns = y_pred.shape
    first, last = share(rows, crew)
    wants_gradient = d_pred.shape[0] > 0
    step = lanes(y_pred)
    keep, base = 1.0 - smoothing, smoothing / columns
    for m in range(first, last):
        at = m * columns
        inverse = 1.0 / some(row_sum(y_pred, at, columns))
        row, shared = 0.0, 0.0
        factor = row_weight(weights, m) / rows * inverse
        for j in range(0, columns, step):
            count = min(step, columns - j)
            share_of = load_or(y_pred, at + j, count, 0.0) * inverse
            q = clipped(share_of, EPSILON, 1.0 - EPSILON)
            t = fma(load_or(y_true, at + j, count, 0.0), keep, fill(y_true, base))
            r = _log_by_distance(log(q), 1.0 - q)
            weight = alpha * t * power(1.0 - q, gamma)
            slope = weight * (gamma * r - 1.0 / q)
            slope = select(share_of == q, slope, select(q == q, 0.0, q))
            row -= _sum_first(weight * r * (1.0 - q), y_pred, count)
            shared += _sum_first(slope * q, y_pred, count)
            if wants_gradient:
                store_first(slope, d_pred, at + j, count)
        row_loss[m] = row
        if wants_gradient:
            for j in range(0, columns, step):
                count = min(step, columns - j)
                d = (load_or(d_pred, at + j, count, 0.0) - shared) * factor
                store_first(d, d_pred, at + j, count)
    mean_of_rows(total, row_loss, weights, crew)


@inline
def _sum_first(x, array, count):
    """Sum of the first lanes of a vector like the array's, in float64."""
    return np.float64(sum_lanes(select(first_lanes(array, count), x, 0.0)))


# -- reductions ------------------------------------------------------------------------------


@kernel
def rescale(total, d_pred, weights, rows, by_weight, crew):
    """From the mean over rows to their sum; or, ``by_weight``, to the mean by weight."""
    factor = np.float64(rows)
    if by_weight:
        weight = 0.0
        for m in range(len(weights)):
            weight += np.float64(weights[m])
        factor = factor / weight if weight != 0.0 else 0.0
    if crew.member == 0:
        total[0] *= factor
    columns = d_pred.shape[1]
    first, last = share(d_pred.shape[0], crew)
    for m in range(first, last):
        scale_row(d_pred, m * columns, columns, factor)
