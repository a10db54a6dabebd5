"""Gradient clipping over the flat buffer of all gradients, in place.

Norms are sums over fixed chunks, so that their bits do not depend on who computes them.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import body, inline
from fastlstm.kernels.optimizers import share_vectors
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import (
    eight,
    lanes,
    load_eight,
    load_first,
    select,
    store_first,
    sum_lanes,
)
from fastlstm.kernels.team import share

# Elements whose squares are summed by one thread: part of the result's definition.
CHUNK = 4096


@kernel
def clip_by_value(grads, limit, crew):
    """Bring every element into [-limit, limit]; NaN stays NaN."""
    step = lanes(grads)
    first, last = share_vectors(len(grads), step, crew)
    for at in range(first, last, step):
        count = min(step, last - at)
        g = load_first(grads, at, count)
        g = select(g > limit, limit, g)
        store_first(select(g < -limit, -limit, g), grads, at, count)


@kernel
def sum_squares(partial, grads, chunks, crew):
    """Sum of the squares of each chunk.

    partial : (N,) float64
    chunks : (N, 3): first element, past-last element, variable that they belong to
    """
    first, last = share(len(partial), crew)
    for n in range(first, last):
        partial[n] = _sum_squares(grads, chunks[n, 0], chunks[n, 1])


@inline
def _sum_squares(grads, first, last):
    # In float64, where the square of a float32 neither overflows nor vanishes; four sums at once,
    # so that none waits for itself.
    s0 = s1 = s2 = s3 = eight(0.0)
    together = first + (last - first) // 32 * 32
    for at in range(first, together, 32):
        s0 = _add_square(s0, load_eight(grads, at))
        s1 = _add_square(s1, load_eight(grads, at + 8))
        s2 = _add_square(s2, load_eight(grads, at + 16))
        s3 = _add_square(s3, load_eight(grads, at + 24))
    whole = first + (last - first) // 8 * 8
    for at in range(together, whole, 8):
        s0 = _add_square(s0, load_eight(grads, at))
    total = sum_lanes((s0 + s1) + (s2 + s3))
    for at in range(whole, last):
        total += np.float64(grads[at]) * np.float64(grads[at])
    return total


@inline
def _add_square(total, x):
    return total + x * x


@kernel
def clip_factors(factors, partial, chunks, limit, together, crew):
    """Factor that brings the norm of each variable, or of all together, down to ``limit``.

    factors : (variables,) float64
    partial, chunks : as in ``sum_squares``
    """
    if crew.member > 0:
        return
    factors[:] = 0.0
    for n in range(len(partial)):
        factors[0 if together else chunks[n, 2]] += partial[n]
    for s in range(1 if together else len(factors)):
        norm = np.sqrt(factors[s])
        factors[s] = limit / norm if norm > limit else 1.0
        if together:
            # NaN where the norm is not finite: one bad gradient shows everywhere, as in Keras.
            factors[s] += norm - norm
        elif norm != norm:
            factors[s] = norm
    if together:
        factors[:] = factors[0]


@kernel
def scale(grads, chunks, factors, crew):
    """Multiply the gradient of each variable by its factor."""
    first, last = share(len(chunks), crew)
    for n in range(first, last):
        _scale(grads, chunks[n, 0], chunks[n, 1], factors[chunks[n, 2]])


@body
def _scale(grads, first, last, factor):
    if factor == 1.0:
        return
    step = lanes(grads)
    for at in range(first, last, step):
        count = min(step, last - at)
        store_first(load_first(grads, at, count) * factor, grads, at, count)
