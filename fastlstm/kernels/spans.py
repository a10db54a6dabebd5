"""Which rows a kernel may leave out: those that a mask of 0 and 1 says do not count.

An empty mask stands for one of ones: then there is one span, of all rows.
"""

from __future__ import annotations

from fastlstm.kernels.jit import inline


@inline
def narrow(mask, t, first, last):
    """The rows from the first that counts at step ``t`` to the last; of (T, B), or (0, B).

    Both are ``first`` where none does.
    """
    if mask.shape[0] == 0:
        return first, last
    low, high = first, last
    while high > low and mask[t, high - 1] == 0:
        high -= 1
    if high == low:
        return first, first
    while mask[t, low] == 0:
        low += 1
    return low, high


@inline
def span_start(mask, r, last):
    """The first row from ``r`` on that counts, or ``last``; of (M,), or (0,)."""
    if mask.size > 0:
        while r < last and mask[r] == 0:
            r += 1
    return r


@inline
def span_stop(mask, r, last):
    """The first row from ``r`` on that does not count, or ``last``."""
    if mask.size == 0:
        return last
    while r < last and mask[r] != 0:
        r += 1
    return r


@inline
def counts(mask, r):
    """Whether a row counts."""
    return mask.size == 0 or mask[r] != 0
