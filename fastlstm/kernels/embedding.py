"""Embedding: rows of a table, forward and backward. Ids are checked before they come here."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastlstm.kernels.jit import kernel
from fastlstm.kernels.matmul import share


@kernel
def look_up(out, ids, table, threads):
    """out[m] = table[ids[m]].

    out : (M, E)
    ids : (M,) int32, within the table
    table : (V, E)
    """
    depth = table.shape[1]
    for i in prange(threads):
        first, last = share(ids.size, np.intp(i), threads)
        for m in range(first, last):
            row = ids[m]
            for e in range(depth):
                out[m, e] = table[row, e]


@kernel
def add_rows(d_table, d_out, ids, threads):
    """d_table[ids[m]] += d_out[m]: threads take columns, so each sum runs over m in order."""
    depth = d_table.shape[1]
    for i in prange(threads):
        first, last = share(depth, np.intp(i), threads)
        for m in range(ids.size):
            row = ids[m]
            for e in range(first, last):
                d_table[row, e] += d_out[m, e]


@kernel
def clear_rows(d_table, ids, count, threads):
    """Zero the rows of the first ``count`` ids: cheaper than the whole table."""
    depth = d_table.shape[1]
    for m in range(count):
        row = ids[m]
        for e in range(depth):
            d_table[row, e] = 0.0
