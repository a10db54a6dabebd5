"""Categorical cross-entropy, with the softmax in the same pass or of given probabilities.

total     (1,) float64, receives the sum over rows of weight · row_loss / M
d_pred    (M, C), gradient of the result with respect to y_pred; or (0, C): value only
row_loss  (M,), each row's cross-entropy, without its weight; 0 where that is 0
y_true    (M,) class ids, or (M, C) target probabilities
y_pred    (M, C), logits or probabilities
weights   (M,), or (0,) for ones

Threads take rows: those that weigh nothing, and take no time, may stand together.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.losses import clip_probability
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import (
    ROWS_TAKEN,
    exp_row,
    fill_row,
    load_or,
    mean_of_rows,
    row_max,
    row_sum,
    row_weight,
    scale_row,
)
from fastlstm.kernels.simd import fill, fma, lanes, store_first
from fastlstm.kernels.team import share, take


@inline
def some(norm):
    """The sum to divide a row by; 1 for a row of zeros, which are then clipped, and no 0 / 0."""
    return 1.0 if norm == 0.0 else norm


@inline
def leave_out(row_loss, d_pred, m):
    """No loss and no gradient, of a row that weighs nothing: padding, for one."""
    row_loss[m] = 0.0
    if d_pred.shape[0] > 0:
        fill_row(d_pred, m * d_pred.shape[1], d_pred.shape[1], 0.0)


# -- class ids -------------------------------------------------------------------------------


@kernel
def sparse_logits(total, d_pred, row_loss, y_true, y_pred, weights, crew):
    """log Σ e**y - y[t]; its gradient is softmax(y) - onehot(t).

    A row that weighs nothing is not read, nor written in ``d_pred``.
    """
    rows, columns = y_pred.shape
    wants_gradient = d_pred.shape[0] > 0
    block = take(crew, -1)
    while block * ROWS_TAKEN < rows:
        for m in range(block * ROWS_TAKEN, min((block + 1) * ROWS_TAKEN, rows)):
            if row_weight(weights, m) == 0.0:
                row_loss[m] = 0.0
                continue
            at = m * columns
            label = _valid(y_true[m], columns)
            high = row_max(y_pred, at, columns)
            norm = exp_row(d_pred, wants_gradient, y_pred, at, columns, high)
            if label < 0:
                norm = np.nan
            margin = np.float64(y_pred[m, max(label, 0)]) - np.float64(high)
            row_loss[m] = np.log(norm) - margin
            if wants_gradient:
                factor = row_weight(weights, m) / rows
                scale_row(d_pred, at, columns, factor / norm)
                d_pred[m, max(label, 0)] -= factor
        block = take(crew, block)
    mean_of_rows(total, row_loss, weights, crew)


@kernel
def sparse_probabilities(total, d_pred, row_loss, y_true, y_pred, weights, crew):
    """-log q[t], where q = y / Σ y is kept away from 0 and 1."""
    rows, columns = y_pred.shape
    first, last = share(rows, crew)
    wants_gradient = d_pred.shape[0] > 0
    for m in range(first, last):
        if row_weight(weights, m) == 0.0:
            leave_out(row_loss, d_pred, m)
            continue
        at = m * columns
        label = _valid(y_true[m], columns)
        norm = some(row_sum(y_pred, at, columns)) if label >= 0 else np.nan
        y = np.float64(y_pred[m, max(label, 0)])
        q, clipped = clip_probability(y / norm)
        row_loss[m] = -np.log(q)
        if wants_gradient:
            factor = 0.0 if clipped else row_weight(weights, m) / rows
            fill_row(d_pred, at, columns, factor / norm)
            if not clipped:
                d_pred[m, max(label, 0)] -= factor / y
    mean_of_rows(total, row_loss, weights, crew)


@inline
def _valid(label, classes):
    """The label, or -1: a wrong one must not read or write beyond its row."""
    return label if 0 <= label < classes else -1


# -- target probabilities --------------------------------------------------------------------


@kernel
def logits(total, d_pred, row_loss, y_true, y_pred, weights, smoothing, crew):
    """Σ t · (log Σ e**y - y); its gradient is Σ t · softmax(y) - t.

    A row that weighs nothing is not read, nor written in ``d_pred``.
    """
    rows, columns = y_pred.shape
    wants_gradient = d_pred.shape[0] > 0
    step = lanes(y_pred)
    keep, base = 1.0 - smoothing, smoothing / columns
    block = take(crew, -1)
    while block * ROWS_TAKEN < rows:
        for m in range(block * ROWS_TAKEN, min((block + 1) * ROWS_TAKEN, rows)):
            if row_weight(weights, m) == 0.0:
                row_loss[m] = 0.0
                continue
            at = m * columns
            high = row_max(y_pred, at, columns)
            norm = exp_row(d_pred, wants_gradient, y_pred, at, columns, high)
            mass, margin = 0.0, 0.0
            for j in range(columns):
                t = np.float64(y_true[m, j]) * keep + base
                mass += t
                margin += t * (np.float64(y_pred[m, j]) - np.float64(high))
            row_loss[m] = mass * np.log(norm) - margin
            if wants_gradient:
                factor = row_weight(weights, m) / rows
                for j in range(0, columns, step):
                    count = min(step, columns - j)
                    t = fma(load_or(y_true, at + j, count, 0.0), keep, fill(y_true, base))
                    p = load_or(d_pred, at + j, count, 0.0) * (mass / norm)
                    store_first((p - t) * factor, d_pred, at + j, count)
        block = take(crew, block)
    mean_of_rows(total, row_loss, weights, crew)


@kernel
def probabilities(total, d_pred, row_loss, y_true, y_pred, weights, smoothing, crew):
    """-Σ t · log q, where q = y / Σ y is kept away from 0 and 1."""
    rows, columns = y_pred.shape
    first, last = share(rows, crew)
    wants_gradient = d_pred.shape[0] > 0
    keep, base = 1.0 - smoothing, smoothing / columns
    for m in range(first, last):
        if row_weight(weights, m) == 0.0:
            leave_out(row_loss, d_pred, m)
            continue
        factor = row_weight(weights, m) / rows
        norm = some(row_sum(y_pred, m * columns, columns))
        loss, mass = 0.0, 0.0
        for j in range(columns):
            t = np.float64(y_true[m, j]) * keep + base
            y = np.float64(y_pred[m, j])
            q, clipped = clip_probability(y / norm)
            # A logarithm is slow, and most targets are 0.
            if t != 0.0 or q != q:
                loss -= t * np.log(q)
            if not clipped:
                mass += t
            if wants_gradient:
                d_pred[m, j] = 0.0 if clipped else -factor * t / y
        row_loss[m] = loss
        if wants_gradient:
            # What every y takes from the others by way of Σ y.
            shared = factor * mass / norm
            for j in range(columns):
                d_pred[m, j] += shared
    mean_of_rows(total, row_loss, weights, crew)
