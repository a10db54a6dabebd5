"""The processor's fused-multiply-add peak, measured with the library's own register tile.

Each thread multiplies a few rows by one packed panel, over and over: everything it touches stays
in its first-level cache. The best of several shapes is taken.
"""

from __future__ import annotations

import time
from functools import cache

import numba
import numpy as np

from fastlstm.kernels.cell import PANEL_VECTORS, PLAIN, panel_vectors
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import FASTMATH
from fastlstm.kernels.tile import multiply_panel

DEPTHS = (64, 96, 128)
TRIES = 15
# Operations of one thread in one try: some milliseconds, many times what a launch costs.
TRY_FLOPS = 3e8


@cache
def _compiled():
    # Not on disk: the library's cache is keyed by the library's own sources.
    @numba.njit(parallel=True, fastmath=FASTMATH)
    def multiply_often(c, a, panel, repeats):
        threads, rows, columns = c.shape
        depth = a.shape[2]
        for i in numba.prange(threads):
            for _ in range(repeats):
                multiply_panel(
                    PLAIN, c, i * rows * columns, columns, a, i * rows * depth, depth, 0, 1,
                    panel, i * depth * columns, rows, 1, depth,
                )  # fmt: skip

    return multiply_often


def peak_gflops(threads: int) -> float:
    """Float32 GFLOP/s of all threads together."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        return max(_measure(threads, depth) for depth in DEPTHS)
    finally:
        numba.set_num_threads(before)


def _measure(threads: int, depth: int) -> float:
    rows = 4 * HOST.tile_rows(panel_vectors(PLAIN.blocks))
    columns = PANEL_VECTORS * HOST.lanes(32)
    c = np.zeros((threads, rows, columns), np.float32)
    a = np.full((threads, rows, depth), 1e-3, np.float32)
    panel = np.full((threads, depth, columns), 1e-3, np.float32)
    work = _compiled()
    flops = 2 * c.size * depth
    repeats = round(TRY_FLOPS * threads / flops)
    work(c, a, panel, repeats)
    best = np.inf
    for _ in range(TRIES):
        start = time.perf_counter()
        work(c, a, panel, repeats)
        best = min(best, time.perf_counter() - start)
    return flops * repeats / best / 1e9
