"""What is made of whole rows beside softmax: its logarithm, and its sparse relative.

Source of sparsemax: Martins and Astudillo, "From softmax to sparsemax", ICML 2016; its threshold is
found as by Michelot, "A finite algorithm for finding the projection of a point onto the canonical
simplex of R^n", Journal of Optimization Theory and Applications 50(1), 1986.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.math import exp_falling
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import exp_row, row_max, row_sum
from fastlstm.kernels.simd import lanes, load_first, store_first
from fastlstm.kernels.team import share


@kernel
def log_softmax(y, x, crew):
    """Each row of y is x - log(sum(exp(x))) of that of x; both are (M, C), and may be one."""
    first, last = share(y.shape[0], crew)
    classes, step = y.shape[1], lanes(y)
    for r in range(first, last):
        at = r * classes
        high = row_max(x, at, classes)
        rest = np.log(exp_row(y, False, x, at, classes, high))
        for c in range(0, classes, step):
            count = min(step, classes - c)
            store_first(load_first(x, at + c, count) - high - rest, y, at + c, count)


@kernel
def log_softmax_gradient(d, y, crew):
    """d, the gradient of rows y = log_softmax(x), becomes that of x: d - exp(y) · sum(d)."""
    first, last = share(y.shape[0], crew)
    classes, step = y.shape[1], lanes(y)
    for r in range(first, last):
        at = r * classes
        total = row_sum(d, at, classes)
        for c in range(0, classes, step):
            count = min(step, classes - c)
            p = exp_falling(load_first(y, at + c, count))
            store_first(load_first(d, at + c, count) - p * total, d, at + c, count)


@kernel
def sparsemax(y, x, crew):
    """Each row of y is the point with elements >= 0 and sum 1 that is nearest to that of x.

    y, x : (M, C); they may be one
    """
    first, last = share(y.shape[0], crew)
    for r in range(first, last):
        high = row_max(x, r * x.shape[1], x.shape[1])
        threshold = _threshold(x, r, high)
        for c in range(y.shape[1]):
            above = np.float64(x[r, c]) - high - threshold
            y[r, c] = 0.0 if above <= 0.0 else above


@inline
def _threshold(x, r, high):
    """What is taken from the row's elements less ``high``, so that those above zero sum to 1."""
    threshold, kept = -1.0, x.shape[1] + 1
    while True:
        # Each round leaves out what the last one's threshold left nothing of.
        total, count = 0.0, 0
        for c in range(x.shape[1]):
            value = np.float64(x[r, c]) - high
            if value > threshold:
                total += value
                count += 1
        if count == 0 or count == kept:
            break
        threshold, kept = (total - 1.0) / count, count
    return threshold


@kernel
def sparsemax_gradient(d, y, crew):
    """d, the gradient of rows y = sparsemax(x), becomes that of x: less its mean where y > 0."""
    first, last = share(y.shape[0], crew)
    for r in range(first, last):
        total, count = 0.0, 0
        for c in range(y.shape[1]):
            if y[r, c] > 0.0:
                total += d[r, c]
                count += 1
        mean = total / max(1, count)
        for c in range(y.shape[1]):
            d[r, c] = d[r, c] - mean if y[r, c] > 0.0 else 0.0
