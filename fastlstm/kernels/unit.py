"""Rows of length one.

Norms of rows are summed in order, in float64.
"""

from __future__ import annotations

import math

import numpy as np

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share


@kernel
def unit_rows(out, lengths, x, least, crew):
    """out = each row of x over its length, or over ``least`` where that is more.

    out, x : (M, N)
    lengths : (M,) what each row was divided by
    """
    rows, columns = x.shape
    first, last = share(rows, crew)
    for m in range(first, last):
        total = 0.0
        for n in range(columns):
            value = np.float64(x[m, n])  # where no square is too large
            total += value * value
        lengths[m] = max(math.sqrt(total), least)
        for n in range(columns):
            out[m, n] = x[m, n] / lengths[m]


@kernel
def unit_rows_gradient(d_x, d_out, out, lengths, least, crew):
    """The gradient of ``unit_rows``; d_x may be d_out."""
    rows, columns = d_x.shape
    first, last = share(rows, crew)
    for m in range(first, last):
        along = 0.0
        if lengths[m] > least:  # or else it is a constant that the row is divided by
            for n in range(columns):
                along += d_out[m, n] * out[m, n]
        for n in range(columns):
            d_x[m, n] = (d_out[m, n] - along * out[m, n]) / lengths[m]
