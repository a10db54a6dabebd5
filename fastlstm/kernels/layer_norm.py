"""Rows brought to mean 0 and variance 1, and the gradient of that.

Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
"""

from __future__ import annotations

import math

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.matmul import SUM_BLOCK
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import SUM_VECTORS, load_or, row_sum
from fastlstm.kernels.simd import fill, fma, lanes, load_first, store_first, sum_lanes
from fastlstm.kernels.team import share


@kernel
def normalize(y, means, scales, x, gamma, beta, epsilon, crew):
    """y = z · gamma + beta with z = (x - mean) / sqrt(variance + epsilon), row by row.

    y, x : (M, N)
    means, scales : (M,), each row's mean and 1 / sqrt(variance + epsilon), for backward
    gamma, beta : (N,), or (0,) for ones and zeros
    """
    rows, n = x.shape
    step = lanes(x)
    first, last = share(rows, crew)
    for r in range(first, last):
        at = r * n
        mean, scale = row_moments(x, at, n, epsilon)
        means[r], scales[r] = mean, scale
        for j in range(0, n, step):
            count = min(step, n - j)
            z = (load_first(x, at + j, count) - mean) * scale
            store_first(fma(z, _gamma(x, gamma, j, count), _beta(x, beta, j, count)), y, at + j,
                        count)  # fmt: skip


@inline
def row_moments(x, at, n, epsilon):
    """Mean and 1 / sqrt(variance + epsilon) of ``n`` elements."""
    mean = row_sum(x, at, n) / n
    return mean, 1.0 / math.sqrt(_square_sum(x, at, n, mean) / n + epsilon)


@inline
def _square_sum(x, at, n, mean):
    """Sum of (x - mean)² of ``n`` elements, in float64."""
    step = lanes(x)
    total = 0.0
    for j0 in range(0, n, step * SUM_VECTORS):
        part = fill(x, 0.0)
        for j in range(j0, min(n, j0 + step * SUM_VECTORS), step):
            away = load_or(x, at + j, n - j, mean) - mean
            part = fma(away, away, part)
        total += np.float64(sum_lanes(part))
    return total


@inline
def _gamma(x, gamma, j, count):
    value = fill(x, 1.0)
    if len(gamma) > 0:
        value = load_first(gamma, j, count)
    return value


@inline
def _beta(x, beta, j, count):
    value = fill(x, 0.0)
    if len(beta) > 0:
        value = load_first(beta, j, count)
    return value


@kernel
def weight_gradients(d_gamma, d_beta, d, x, means, scales, more, crew):
    """d_gamma = the sum of d · z over all rows, d_beta = that of d, the gradient of y.

    d_gamma, d_beta : (N,), or (0,) where there is none
    more : whether to go on from what is there

    Blocks of ``SUM_BLOCK`` rows are summed from the last to the first, as in
    ``matmul.multiply_transposed``, so that rows may come in parts.
    """
    rows, n = x.shape
    step = lanes(x)
    first, last = share((n + step - 1) // step, crew)
    if not more:
        for j in range(first * step, min(last * step, n)):
            if len(d_gamma) > 0:
                d_gamma[j] = 0.0
            if len(d_beta) > 0:
                d_beta[j] = 0.0
    for r0 in range((rows - 1) // SUM_BLOCK * SUM_BLOCK, -1, -SUM_BLOCK):
        for j in range(first * step, min(last * step, n), step):
            count = min(step, n - j)
            along, plain = fill(x, 0.0), fill(x, 0.0)
            for r in range(r0, min(rows, r0 + SUM_BLOCK)):
                slope = load_first(d, r * n + j, count)
                z = (load_first(x, r * n + j, count) - means[r]) * scales[r]
                along = fma(slope, z, along)
                plain = plain + slope
            if len(d_gamma) > 0:
                store_first(load_first(d_gamma, j, count) + along, d_gamma, j, count)
            if len(d_beta) > 0:
                store_first(load_first(d_beta, j, count) + plain, d_beta, j, count)


@kernel
def input_gradient(d, x, means, scales, gamma, crew):
    """d, the gradient of y, becomes that of x: scale · (g - mean(g) - z · mean(g · z)).

    Here g is d · gamma, and means are those along a row.

    d, x : (M, N)
    """
    rows, n = x.shape
    first, last = share(rows, crew)
    for r in range(first, last):
        row_gradient(d, r * n, d, x, r * n, n, means[r], scales[r], gamma)


@inline
def row_gradient(out, out_at, d, x, at, n, mean, scale, gamma):
    """That of one row, of ``n`` elements at ``at`` in d and x; ``out`` may be d."""
    step = lanes(x)
    plain, along = 0.0, 0.0
    for j0 in range(0, n, step * SUM_VECTORS):
        plain_part, along_part = fill(x, 0.0), fill(x, 0.0)
        for j in range(j0, min(n, j0 + step * SUM_VECTORS), step):
            count = min(step, n - j)
            # Lanes beyond the row have a slope of zero.
            slope = load_first(d, at + j, count) * _gamma(x, gamma, j, count)
            z = (load_first(x, at + j, count) - mean) * scale
            plain_part = plain_part + slope
            along_part = fma(slope, z, along_part)
        plain += np.float64(sum_lanes(plain_part))
        along += np.float64(sum_lanes(along_part))
    for j in range(0, n, step):
        count = min(step, n - j)
        slope = load_first(d, at + j, count) * _gamma(x, gamma, j, count)
        z = (load_first(x, at + j, count) - mean) * scale
        value = fma(z, -along / n, slope - plain / n) * scale
        store_first(value, out, out_at + j, count)
