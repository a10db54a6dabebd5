"""Penalties of weights: what regularizers add to a loss, and to its gradient.

Sums are taken over fixed chunks in float64, so that their bits do not depend on who computes them.

params, grads : (size,), the flat weights, and their gradients
chunks : (N, 3): first element, past-last element, and which row of ``factors`` counts for them
factors : (K, 2) float64: l1 and l2
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import (
    absolute,
    eight,
    lanes,
    load_eight,
    load_first,
    select,
    store_first,
    sum_lanes,
)
from fastlstm.kernels.team import share


@kernel
def penalties(partial, params, chunks, factors, crew):
    """l1 · sum of |w| + l2 · sum of w², of each chunk.

    partial : (N,) float64
    """
    first, last = share(len(partial), crew)
    for n in range(first, last):
        k = chunks[n, 2]
        partial[n] = _penalty(params, chunks[n, 0], chunks[n, 1], factors[k, 0], factors[k, 1])


@inline
def _penalty(params, first, last, l1, l2):
    # Two sums at once, so that none waits for itself.
    s0 = s1 = eight(0.0)
    together = first + (last - first) // 16 * 16
    for at in range(first, together, 16):
        x0, x1 = load_eight(params, at), load_eight(params, at + 8)
        s0 = s0 + (l1 + l2 * absolute(x0)) * absolute(x0)
        s1 = s1 + (l1 + l2 * absolute(x1)) * absolute(x1)
    total = sum_lanes(s0 + s1)
    for at in range(together, last):
        x = abs(np.float64(params[at]))
        total += (l1 + l2 * x) * x
    return total


@kernel
def add_sum(total, partial, crew):
    """total += sum of ``partial``, in order.

    total : (1,) float64
    """
    if crew.member > 0:
        return
    addend = 0.0
    for n in range(len(partial)):
        addend += partial[n]
    total[0] += addend


@kernel
def add_slopes(grads, params, chunks, factors, crew):
    """grads += l1 · sign(w) + 2 · l2 · w; the slope of |w| at 0 is 0."""
    step = lanes(params)
    first, last = share(len(chunks), crew)
    for n in range(first, last):
        stop, k = chunks[n, 1], chunks[n, 2]
        l1, l2 = factors[k, 0], factors[k, 1]
        for at in range(chunks[n, 0], stop, step):
            count = min(step, stop - at)
            w = load_first(params, at, count)
            sign = select(w > 0.0, 1.0, select(w < 0.0, -1.0, w))
            slope = l1 * sign + (2.0 * l2) * w
            store_first(load_first(grads, at, count) + slope, grads, at, count)
