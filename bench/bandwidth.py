"""The memory's bandwidth: all threads read an array far larger than any cache.

Reading is the fastest thing that memory does, so no kernel can do better than this.
"""

from __future__ import annotations

import time
from functools import cache

import numba
import numpy as np

TRIES = 8
# The array is this many times as large as the last-level cache.
CACHES = 8


@cache
def _compiled():
    # Without the order of a sum kept, the loop is made of vectors.
    @numba.njit(parallel=True, fastmath=True)
    def read(parts):
        total = 0.0
        for i in numba.prange(parts.shape[0]):
            part = parts[i]
            here = np.float32(0)
            for j in range(part.size):
                here += part[j]
            total += here
        return total

    return read


def bandwidth_gbs(threads: int, cache_bytes: int) -> float:
    """GB/s of all threads together, best of some tries.

    Parameters
    ----------
    threads : int
        Threads that read, each a part of its own.
    cache_bytes : int
        Size of the last-level cache.
    """
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        return _measure(threads, cache_bytes)
    finally:
        numba.set_num_threads(before)


def _measure(threads: int, cache_bytes: int) -> float:
    parts = np.ones((threads, CACHES * cache_bytes // 4 // threads), np.float32)
    read = _compiled()
    read(parts)
    best = np.inf
    for _ in range(TRIES):
        start = time.perf_counter()
        read(parts)
        best = min(best, time.perf_counter() - start)
    return parts.nbytes / best / 1e9
