"""Metrics that are means over rows: how often predictions are right.

sums       (2,) float64, receives the sum over rows of weight · match, and that of the weights
row_match  (M,), receives 1 where the row is right, else 0; or the fraction of it that is; 0 where
           it weighs nothing
y_true     (M,) class ids, or (M, C)
y_pred     (M, C), probabilities or logits: only their order matters
weights    (M,), or (0,) for ones

Threads take rows.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import body, inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import ROWS_TAKEN, row_max, row_weight, weighted_sum
from fastlstm.kernels.team import meet, share, take

# Elements among which the place of a maximum is looked for one by one.
_BLOCK = 256


@inline
def _sum_rows(sums, row, weights, crew):
    """sums = the rows' weighted sum, and their weight."""
    meet(crew)
    if crew.member == 0:
        sums[0] = weighted_sum(row, weights)
        weight = 0.0
        for m in range(len(weights)):
            weight += np.float64(weights[m])
        sums[1] = weight if len(weights) > 0 else len(row)


@kernel
def sum_rows(sums, row, weights, crew):
    """The same of values that another kernel left in ``row``."""
    _sum_rows(sums, row, weights, crew)


@kernel
def sparse_accuracy(sums, row_match, y_true, y_pred, weights, crew):
    """Whether the largest prediction is that of the class id."""
    rows = len(row_match)
    block = take(crew, -1)
    while block * ROWS_TAKEN < rows:
        for m in range(block * ROWS_TAKEN, min((block + 1) * ROWS_TAKEN, rows)):
            if row_weight(weights, m) == 0.0:
                row_match[m] = 0.0
                continue
            row_match[m] = 1.0 if argmax(y_pred, m) == y_true[m] else 0.0
        block = take(crew, block)
    _sum_rows(sums, row_match, weights, crew)


@kernel
def categorical_accuracy(sums, row_match, y_true, y_pred, weights, crew):
    """Whether the largest prediction stands where the largest target does."""
    rows = len(row_match)
    block = take(crew, -1)
    while block * ROWS_TAKEN < rows:
        for m in range(block * ROWS_TAKEN, min((block + 1) * ROWS_TAKEN, rows)):
            if row_weight(weights, m) == 0.0:
                row_match[m] = 0.0
                continue
            row_match[m] = 1.0 if argmax(y_pred, m) == argmax(y_true, m) else 0.0
        block = take(crew, block)
    _sum_rows(sums, row_match, weights, crew)


@kernel
def sparse_top_k(sums, row_match, y_true, y_pred, weights, k, crew):
    """Whether the class id's prediction is one of the k largest."""
    first, last = share(len(row_match), crew)
    for m in range(first, last):
        if row_weight(weights, m) == 0.0:
            row_match[m] = 0.0
            continue
        row_match[m] = 1.0 if _is_among(y_pred, m, y_true[m], k) else 0.0
    _sum_rows(sums, row_match, weights, crew)


@kernel
def categorical_top_k(sums, row_match, y_true, y_pred, weights, k, crew):
    """Whether the prediction where the largest target stands is one of the k largest."""
    first, last = share(len(row_match), crew)
    for m in range(first, last):
        if row_weight(weights, m) == 0.0:
            row_match[m] = 0.0
            continue
        row_match[m] = 1.0 if _is_among(y_pred, m, argmax(y_true, m), k) else 0.0
    _sum_rows(sums, row_match, weights, crew)


@kernel
def binary_accuracy(sums, row_match, y_true, y_pred, weights, threshold, crew):
    """Fraction of the row's predictions on their target's side of the threshold."""
    first, last = share(len(row_match), crew)
    for m in range(first, last):
        if row_weight(weights, m) == 0.0:
            row_match[m] = 0.0
            continue
        row_match[m] = _binary_matches(y_true, y_pred, threshold, m)
    _sum_rows(sums, row_match, weights, crew)


@body
def argmax(x, m):
    """Column of the largest element of row ``m``, the first of equals; -1 if all are NaN."""
    columns = x.shape[1]
    high, block = -np.inf, -1
    for j in range(0, columns, _BLOCK):
        value = row_max(x, m * columns + j, min(_BLOCK, columns - j))
        if value > high or block < 0:
            high, block = value, j
    for j in range(block, min(columns, block + _BLOCK)):
        if x[m, j] == high:
            return j
    return -1


@body
def _is_among(x, m, label, k):
    """Whether fewer than k elements of row ``m`` come before that of the label; none is NaN's."""
    columns = x.shape[1]
    if not 0 <= label < columns:
        return False
    value = x[m, label]
    before = 0
    for j in range(label):
        before += x[m, j] >= value
    for j in range(label + 1, columns):
        before += x[m, j] > value
    return before < k and value == value


@body
def _binary_matches(y_true, y_pred, threshold, m):
    matches = 0
    for j in range(y_pred.shape[1]):
        matches += y_true[m, j] == (1.0 if y_pred[m, j] > threshold else 0.0)
    return matches / y_pred.shape[1]
