"""Metrics that count: of how many outputs which answer was given to which truth.

sums     (K,) float64, receives what a batch adds
parts    (blocks · K,) float64, scratch: the sums of each block of rows
y_true   (M,) class ids, which stand for one-hot rows, or (M, C)
y_pred   (M, C)
weights  (M,), or (0,) for ones

Threads take blocks, whose number the shape fixes, and then places of the sums.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from fastlstm.kernels.jit import INLINE, body, inline
from fastlstm.kernels.metrics import argmax
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import load_or, row_max, row_weight
from fastlstm.kernels.simd import (
    absolute,
    eight,
    fill,
    lanes,
    load_eight,
    select,
    store_eight,
    sum_lanes,
)
from fastlstm.kernels.team import meet, share

# Keras takes a largest prediction for none if it is no larger than this.
_NOTHING = 1e-9


@inline
def clear_parts(sums, parts, first, last):
    """Zero the parts of some blocks."""
    for i in range(first * len(sums), last * len(sums)):
        parts[i] = 0.0


@inline
def combine(sums, parts, crew):
    """sums = the parts of all blocks, in order."""
    meet(crew)
    count = len(sums)
    first, last = share(count, crew)
    for i in range(first, last):
        total = 0.0
        for at in range(i, len(parts), count):
            total += parts[at]
        sums[i] = total


def target(y_true, m, j):  # pragma: no cover
    """What is true of output ``j`` of row ``m``: a number, of class ids 1 or 0."""
    return y_true[m, j] if y_true.ndim == 2 else float(y_true[m] == j)


@overload(target, jit_options=INLINE)
def _choose_target(y_true, m, j):
    if y_true.ndim == 2:
        return lambda y_true, m, j: y_true[m, j]
    return lambda y_true, m, j: 1.0 if y_true[m] == j else 0.0


def true_class(y_true, m):  # pragma: no cover
    """The class of row ``m``."""
    return argmax(y_true, m) if y_true.ndim == 2 else y_true[m]


@overload(true_class, jit_options=INLINE)
def _choose_class(y_true, m):
    if isinstance(y_true, types.Array) and y_true.ndim == 2:
        return lambda y_true, m: argmax(y_true, m)
    return lambda y_true, m: y_true[m]


# -- either side of thresholds ---------------------------------------------------------------


@kernel
def histogram(
    sums, parts, y_true, y_pred, weights, thresholds, even, top_k, class_id, crew
):  # fmt: skip
    """Weight of the outputs above so many thresholds: of false ones, then of true ones.

    sums : (2 (T + 1),)
    thresholds : (T,) in rising order, of the dtype of y_pred
    even : whether they divide 0 to 1 evenly, but for the two at the ends
    top_k : outputs of a row that count, the others are below everything; 0 for all
    class_id : the one output that is looked at, or -1 for all
    """
    rows, columns = y_pred.shape
    count = len(thresholds) + 1
    blocks = len(parts) // len(sums)
    first, last = share(blocks, crew)
    clear_parts(sums, parts, first, last)
    start, stop = (0, columns) if class_id < 0 else (class_id, class_id + 1)
    for block in range(first, last):
        at = block * len(sums)
        for m in range(rows * block // blocks, rows * (block + 1) // blocks):
            weight = row_weight(weights, m)
            low, last_low = -np.inf, columns
            if top_k > 0:
                low, last_low = _kth(y_pred, m, top_k)
            for j in range(start, stop):
                y = y_pred[m, j]
                above = 0
                if y > low or (y == low and j <= last_low):
                    above = _above_even(thresholds, y) if even else _above(thresholds, y)
                side = count if target(y_true, m, j) != 0.0 else 0
                parts[at + side + above] += weight
    combine(sums, parts, crew)


@body
def _above(thresholds, y):
    """How many of the thresholds are below y; none for NaN."""
    low, high = 0, len(thresholds)
    while low < high:
        middle = (low + high) // 2
        if thresholds[middle] < y:
            low = middle + 1
        else:
            high = middle
    return low


@body
def _above_even(thresholds, y):
    """The same, from a guess that is seldom wrong by more than one."""
    count = len(thresholds)
    guess = 0
    if y >= 1.0:
        guess = count - 1
    elif y > 0.0:
        guess = int(y * (count - 1)) + 1
    while guess > 0 and not thresholds[guess - 1] < y:
        guess -= 1
    while guess < count and thresholds[guess] < y:
        guess += 1
    return guess


@body
def _kth(x, m, k):
    """The k-th largest element of row ``m`` and its column; of equals the first is larger."""
    columns = x.shape[1]
    value, place = np.inf, -1
    for _ in range(min(k, columns)):
        best, best_place = -np.inf, columns
        for j in range(columns):
            y = x[m, j]
            after = y < value or (y == value and j > place)
            if after and y > best:
                best, best_place = y, j
        value, place = best, best_place
    return value, place


@kernel
def sides(sums, parts, y_true, y_pred, weights, threshold, crew):
    """What ``histogram`` finds for one threshold and targets (M, C), by vectors.

    sums : (4,), false ones below and above, true ones below and above
    """
    rows, columns = y_pred.shape
    blocks = len(parts) // len(sums)
    first, last = share(blocks, crew)
    clear_parts(sums, parts, first, last)
    step = lanes(y_pred)
    one, zero = fill(y_pred, 1.0), fill(y_pred, 0.0)
    for block in range(first, last):
        at = 4 * block
        for m in range(rows * block // blocks, rows * (block + 1) // blocks):
            # Counts are whole numbers, exact in any precision.
            true, above, both = zero, zero, zero
            for j in range(0, columns, step):
                place = m * columns + j
                t = load_or(y_true, place, columns - j, 0.0) != 0.0
                y = load_or(y_pred, place, columns - j, -np.inf) > threshold
                true = true + select(t, one, zero)
                above = above + select(y, one, zero)
                both = both + select(t, select(y, one, zero), zero)
            weight = row_weight(weights, m)
            trues, aboves = np.float64(sum_lanes(true)), np.float64(sum_lanes(above))
            boths = np.float64(sum_lanes(both))
            parts[at] += weight * (columns - trues - aboves + boths)
            parts[at + 1] += weight * (aboves - boths)
            parts[at + 2] += weight * (trues - boths)
            parts[at + 3] += weight * boths
    combine(sums, parts, crew)


# -- class by class --------------------------------------------------------------------------


@kernel
def classes(sums, row, parts, y_true, y_pred, weights, threshold, largest, crew):
    """Of each class: weight of the true ones that were found, of all found, of all true ones.

    sums : (3 C,)
    row : (M,), scratch
    y_true : (M, C)
    largest : whether a row's largest outputs are what is found, else those above the threshold
    """
    rows, columns = y_pred.shape
    blocks = len(parts) // len(sums)
    first, last = share(blocks, crew)
    whole = columns // 8 * 8
    for block in range(first, last):
        at = block * len(sums)
        start, stop = rows * block // blocks, rows * (block + 1) // blocks
        _limits(row, y_pred, threshold, largest, start, stop)
        for j in range(0, whole, 8):
            both, found, true = eight(0.0), eight(0.0), eight(0.0)
            for m in range(start, stop):
                weight = eight(row_weight(weights, m))
                t = load_eight(y_true, m * columns + j)
                f = _found(load_eight(y_pred, m * columns + j), row[m], largest, weight)
                both, found, true = both + f * t, found + f, true + weight * t
            store_eight(both, parts, at + j)
            store_eight(found, parts, at + columns + j)
            store_eight(true, parts, at + 2 * columns + j)
        for j in range(whole, columns):
            one, two, three = 0.0, 0.0, 0.0
            for m in range(start, stop):
                weight, t = row_weight(weights, m), np.float64(y_true[m, j])
                f = weight if _is_found(y_pred[m, j], row[m], largest) else 0.0
                one, two, three = one + f * t, two + f, three + weight * t
            parts[at + j] = one
            parts[at + columns + j], parts[at + 2 * columns + j] = two, three
    combine(sums, parts, crew)


@kernel
def classes_of_ids(sums, row, parts, y_true, y_pred, weights, threshold, largest, crew):
    """The same for class ids, (M,)."""
    rows, columns = y_pred.shape
    blocks = len(parts) // len(sums)
    first, last = share(blocks, crew)
    clear_parts(sums, parts, first, last)
    whole = columns // 8 * 8
    for block in range(first, last):
        at = block * len(sums)
        start, stop = rows * block // blocks, rows * (block + 1) // blocks
        _limits(row, y_pred, threshold, largest, start, stop)
        for j in range(0, whole, 8):
            found = eight(0.0)
            for m in range(start, stop):
                y, weight = load_eight(y_pred, m * columns + j), eight(row_weight(weights, m))
                found = found + _found(y, row[m], largest, weight)
            store_eight(found, parts, at + columns + j)
        for m in range(start, stop):
            weight, label = row_weight(weights, m), y_true[m]
            for j in range(whole, columns):
                if _is_found(y_pred[m, j], row[m], largest):
                    parts[at + columns + j] += weight
            if 0 <= label < columns:
                parts[at + 2 * columns + label] += weight
                if _is_found(y_pred[m, label], row[m], largest):
                    parts[at + label] += weight
    combine(sums, parts, crew)


@inline
def _limits(row, y_pred, threshold, largest, start, stop):
    """What the outputs of some rows are compared with."""
    columns = y_pred.shape[1]
    for m in range(start, stop):
        row[m] = row_max(y_pred, m * columns, columns) if largest else threshold


@inline
def _found(y, limit, largest, weight):
    """The weight where an output is found, of a vector."""
    if largest:
        found = select(absolute(y) > _NOTHING, select(y >= limit, weight, 0.0), 0.0)
    else:
        found = select(y > limit, weight, 0.0)
    return found


@inline
def _is_found(y, limit, largest):
    return (abs(y) > _NOTHING and y >= limit) if largest else y > limit


@kernel
def confusion(sums, codes, y_true, y_pred, weights, threshold, crew):
    """Weight of the rows of each class for which each class was predicted; (classes, classes).

    With one output there are two classes, on either side of the threshold.

    sums : (classes²,)
    codes : (M,) float64, scratch: each row's place among the sums, or -1 for none
    """
    rows, columns = y_pred.shape
    count = max(2, columns)
    first, last = share(rows, crew)
    for m in range(first, last):
        if columns > 1:
            true, found = true_class(y_true, m), argmax(y_pred, m)
        else:
            true = 1 if np.float64(target(y_true, m, 0)) > 0.5 else 0
            found = 1 if y_pred[m, 0] > threshold else 0
        fits = 0 <= true < count and found >= 0
        codes[m] = true * count + found if fits else -1
    meet(crew)
    first, last = share(len(sums), crew)
    for i in range(first, last):
        sums[i] = 0.0
    for m in range(rows):
        code = int(codes[m])
        if first <= code < last:
            sums[code] += row_weight(weights, m)


@kernel
def moments(sums, parts, y_true, y_pred, weights, crew):
    """Of each column Σ w t, Σ w t² and Σ w (t - y)²; then Σ w, and the number of elements.

    sums : (3 C + 2,)
    """
    rows, columns = y_pred.shape
    blocks = len(parts) // len(sums)
    first, last = share(blocks, crew)
    whole = columns // 8 * 8
    for block in range(first, last):
        at = block * len(sums)
        start, stop = rows * block // blocks, rows * (block + 1) // blocks
        for j in range(0, whole, 8):
            total, squares, errors = eight(0.0), eight(0.0), eight(0.0)
            for m in range(start, stop):
                t = load_eight(y_true, m * columns + j)
                error = t - load_eight(y_pred, m * columns + j)
                weighted = t * row_weight(weights, m)
                total, squares = total + weighted, squares + weighted * t
                errors = errors + error * error * row_weight(weights, m)
            store_eight(total, parts, at + j)
            store_eight(squares, parts, at + columns + j)
            store_eight(errors, parts, at + 2 * columns + j)
        for j in range(whole, columns):
            one, two, three = 0.0, 0.0, 0.0
            for m in range(start, stop):
                weight, t = row_weight(weights, m), np.float64(y_true[m, j])
                error = t - np.float64(y_pred[m, j])
                one, two = one + weight * t, two + weight * t * t
                three += weight * error * error
            parts[at + j] = one
            parts[at + columns + j], parts[at + 2 * columns + j] = two, three
        weight = 0.0
        for m in range(start, stop):
            weight += row_weight(weights, m)
        parts[at + 3 * columns] = weight
        parts[at + 3 * columns + 1] = (stop - start) * columns
    combine(sums, parts, crew)
