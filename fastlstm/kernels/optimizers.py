"""Optimizer steps and gradient clipping over the flat parameter buffer.

All arrays are one-dimensional and equally long, all updates in place. Threads take whole vectors,
so that an element's bits do not depend on who computes it. Norms are sums over fixed chunks.
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import body, inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import (
    eight,
    lanes,
    load,
    load_eight,
    load_first,
    select,
    square_root,
    store,
    store_first,
    sum_lanes,
)
from fastlstm.kernels.team import share

# Elements whose squares are summed by one thread: part of the result's definition.
CHUNK = 4096


@inline
def _share_vectors(size, step, crew):
    """First and past-last element of a thread's part, which starts on a vector of ``step``."""
    first, last = share((size + step - 1) // step, crew)
    return first * step, min(last * step, size)


# -- Adam ------------------------------------------------------------------------------------


@kernel
def adam(params, m, v, grads, rates, crew):
    """One step of Adam.

        m += (g - m) · rate_1        v += (g² - v) · rate_2
        p -= alpha · m / (√v + epsilon)

    m, v : moments
    rates : (4,) float64: alpha, the learning rate with the correction for the moments' start at
        zero; rate_1 and rate_2, 1 - beta_1 and 1 - beta_2; epsilon
    """
    alpha, rate_1, rate_2, epsilon = rates[0], rates[1], rates[2], rates[3]
    step = lanes(params)
    first, last = _share_vectors(len(params), step, crew)
    whole = first + (last - first) // step * step
    for at in range(first, whole, step):
        p, m_next, v_next = _adam_equations(
            load(params, at), load(m, at), load(v, at), load(grads, at),
            alpha, rate_1, rate_2, epsilon,
        )  # fmt: skip
        store(m_next, m, at)
        store(v_next, v, at)
        store(p, params, at)
    if whole < last:
        rest = last - whole
        p, m_next, v_next = _adam_equations(
            load_first(params, whole, rest), load_first(m, whole, rest),
            load_first(v, whole, rest), load_first(grads, whole, rest),
            alpha, rate_1, rate_2, epsilon,
        )  # fmt: skip
        store_first(m_next, m, whole, rest)
        store_first(v_next, v, whole, rest)
        store_first(p, params, whole, rest)


@inline
def _adam_equations(p, m, v, g, alpha, rate_1, rate_2, epsilon):
    m = m + (g - m) * rate_1
    v = v + (g * g - v) * rate_2
    return p - m * alpha / (square_root(v) + epsilon), m, v


# -- stochastic gradient descent -------------------------------------------------------------


@kernel
def sgd(params, velocity, grads, rates, nesterov, crew):
    """One step of gradient descent.

        v = momentum · v - learning_rate · g
        p += v                    or, with ``nesterov``, momentum · v - learning_rate · g

    velocity : as long as params; or empty where the momentum is 0
    rates : (2,) float64: learning_rate, momentum
    """
    learning_rate, momentum = rates[0], rates[1]
    step = lanes(params)
    first, last = _share_vectors(len(params), step, crew)
    for at in range(first, last, step):
        count = min(step, last - at)
        p = load_first(params, at, count)
        g = load_first(grads, at, count) * learning_rate
        if len(velocity) == 0:
            p = p - g
        else:
            v = load_first(velocity, at, count) * momentum - g
            store_first(v, velocity, at, count)
            p = p + (v * momentum - g if nesterov else v)
        store_first(p, params, at, count)


# -- clipping --------------------------------------------------------------------------------


@kernel
def clip_by_value(grads, limit, crew):
    """Bring every element into [-limit, limit]; NaN stays NaN."""
    step = lanes(grads)
    first, last = _share_vectors(len(grads), step, crew)
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
    # In float64, where the square of a float32 neither overflows nor vanishes.
    sums = eight(0.0)
    whole = first + (last - first) // 8 * 8
    for at in range(first, whole, 8):
        g = load_eight(grads, at)
        sums = sums + g * g
    total = sum_lanes(sums)
    for at in range(whole, last):
        total += np.float64(grads[at]) * np.float64(grads[at])
    return total


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
