"""How often predictions are right.

total      (1,) float64, receives the sum over rows of weight · match
row_match  (M,), receives 1 where the row is right, else 0; or the fraction of it that is
y_true     (M,) class ids, or (M, C)
y_pred     (M, C), probabilities or logits: only their order matters
weights    (M,), or (0,) for ones

Threads take rows.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import body
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import row_max, weighted_sum
from fastlstm.kernels.team import meet, share

# Elements among which the place of a maximum is looked for one by one.
_BLOCK = 256


@kernel
def sparse_accuracy(total, row_match, y_true, y_pred, weights, crew):
    """Whether the largest prediction is that of the class id."""
    first, last = share(len(row_match), crew)
    for m in range(first, last):
        row_match[m] = 1.0 if _argmax(y_pred, m) == y_true[m] else 0.0
    meet(crew)
    if crew.member == 0:
        total[0] = weighted_sum(row_match, weights)


@kernel
def categorical_accuracy(total, row_match, y_true, y_pred, weights, crew):
    """Whether the largest prediction stands where the largest target does."""
    first, last = share(len(row_match), crew)
    for m in range(first, last):
        row_match[m] = 1.0 if _argmax(y_pred, m) == _argmax(y_true, m) else 0.0
    meet(crew)
    if crew.member == 0:
        total[0] = weighted_sum(row_match, weights)


@kernel
def binary_accuracy(total, row_match, y_true, y_pred, weights, threshold, crew):
    """Fraction of the row's predictions on their target's side of the threshold."""
    first, last = share(len(row_match), crew)
    for m in range(first, last):
        row_match[m] = _binary_matches(y_true, y_pred, threshold, m)
    meet(crew)
    if crew.member == 0:
        total[0] = weighted_sum(row_match, weights)


@kernel
def total_weight(total, weights, crew):
    """Sum of the weights; NumPy's would make a copy of float32 weights first."""
    if crew.member == 0:
        total[0] = 0.0
        for m in range(len(weights)):
            total[0] += np.float64(weights[m])


@body
def _argmax(x, m):
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
def _binary_matches(y_true, y_pred, threshold, m):
    matches = 0
    for j in range(y_pred.shape[1]):
        matches += y_true[m, j] == (1.0 if y_pred[m, j] > threshold else 0.0)
    return matches / y_pred.shape[1]
