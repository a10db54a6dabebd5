"""Moving batches between the public order, (batch, time, features), and the kernels' own."""

from __future__ import annotations

import numpy as np
from numba import prange

from fastlstm.kernels.jit import kernel
from fastlstm.kernels.matmul import share


@kernel
def gather(out, source, index, threads):
    """out[t, b] = source[index[b], t]: chosen samples, time first.

    out : (T, B, D)
    source : (N, T, D), same dtype
    index : (B,), within 0 and N - 1
    """
    steps, batch, depth = out.shape
    for i in prange(threads):
        first, last = share(steps, np.intp(i), threads)
        for t in range(first, last):
            for b in range(batch):
                row = index[b]
                for d in range(depth):
                    out[t, b, d] = source[row, t, d]


@kernel
def to_panels(panels, matrix, threads):
    """panels[p, b, u] = matrix[b, p·width + u], zero beyond the last column.

    panels : (P, B, width)
    matrix : (B, H)
    """
    count, batch, width = panels.shape
    units = matrix.shape[1]
    for p in range(count):
        for b in range(batch):
            for u in range(width):
                unit = p * width + u
                panels[p, b, u] = matrix[b, unit] if unit < units else 0.0


@kernel
def from_panels(matrix, panels, threads):
    """matrix[b, p·width + u] = panels[p, b, u], the inverse of ``to_panels``."""
    width = panels.shape[2]
    batch, units = matrix.shape
    for b in range(batch):
        for unit in range(units):
            matrix[b, unit] = panels[unit // width, b, unit % width]
