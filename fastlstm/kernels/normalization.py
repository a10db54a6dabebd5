"""Batch normalization: moments of features over all rows, what they make of the rows, and back.

Sums over rows run in blocks of a constant size, in float64, so that their bits do not depend on
who computes them.

x, y, d : (M, F), a row for each step of each sample
mask : (M,) of uint8, or (0,) where all rows count
stats : (3, F) float64: mean, variance, and 1 / root of variance + epsilon
part : (1,) float64: 1 / rows that count; or 0 where the moments are not those of the rows
gamma, beta : (F,), or (0,) for ones and zeros
partial : (2, blocks, F) float64; scratch
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import meet, share

# Rows that are summed before their sum is added to others: part of the result's definition.
BLOCK = 64
# Keeps means defined where no row counts, as in Keras.
NONE_COUNTS = 1e-7


@kernel
def batch_moments(stats, part, partial, x, mask, epsilon, crew):
    """Moments of the rows that count: of the mean first, and then around it."""
    rows, features = x.shape
    blocks = partial.shape[1]
    count = float(rows)
    if len(mask) > 0:
        count = NONE_COUNTS
        for m in range(rows):
            count += mask[m]
    first, last = share(blocks, crew)
    low, high = share(features, crew)
    for n in range(first, last):
        for f in range(features):
            partial[0, n, f] = 0.0
        for m in range(n * BLOCK, min((n + 1) * BLOCK, rows)):
            if len(mask) == 0 or mask[m] != 0:
                for f in range(features):
                    partial[0, n, f] += np.float64(x[m, f])
    meet(crew)
    _add_blocks(stats, 0, partial, 0, low, high)
    for f in range(low, high):
        stats[0, f] /= count
    meet(crew)
    for n in range(first, last):
        for f in range(features):
            partial[1, n, f] = 0.0
        for m in range(n * BLOCK, min((n + 1) * BLOCK, rows)):
            if len(mask) == 0 or mask[m] != 0:
                for f in range(features):
                    centred = np.float64(x[m, f]) - stats[0, f]
                    partial[1, n, f] += centred * centred
    meet(crew)
    _add_blocks(stats, 1, partial, 1, low, high)
    for f in range(low, high):
        stats[1, f] /= count
        stats[2, f] = 1.0 / np.sqrt(stats[1, f] + epsilon)
    if crew.member == 0:
        part[0] = 1.0 / count


@inline
def _add_blocks(sums, row, partial, which, low, high):
    """A row of ``sums`` becomes the sum of all blocks, for some of the features."""
    for f in range(low, high):
        sums[row, f] = 0.0
    for n in range(partial.shape[1]):
        for f in range(low, high):
            sums[row, f] += partial[which, n, f]


@kernel
def moving_moments(stats, part, moving_mean, moving_variance, epsilon, crew):
    """Moments that were gathered before, each (F,)."""
    first, last = share(len(moving_mean), crew)
    for f in range(first, last):
        stats[0, f], stats[1, f] = moving_mean[f], moving_variance[f]
        stats[2, f] = 1.0 / np.sqrt(stats[1, f] + epsilon)
    if crew.member == 0:
        part[0] = 0.0


@kernel
def normalize(y, x, stats, gamma, beta, crew):
    """y = (x - mean) / root · gamma + beta."""
    rows, features = x.shape
    first, last = share(rows, crew)
    for m in range(first, last):
        for f in range(features):
            value = (np.float64(x[m, f]) - stats[0, f]) * stats[2, f]
            if len(gamma) > 0:
                value = value * gamma[f]
            if len(beta) > 0:
                value = value + beta[f]
            y[m, f] = value


@kernel
def weight_gradients(sums, d_gamma, d_beta, partial, d, x, stats, crew):
    """d_beta = sum of d over all rows; d_gamma = that of d · (x - mean) / root.

    sums : (2, F) float64, receives both
    """
    rows, features = x.shape
    first, last = share(partial.shape[1], crew)
    low, high = share(features, crew)
    for n in range(first, last):
        for f in range(features):
            partial[0, n, f] = partial[1, n, f] = 0.0
        for m in range(n * BLOCK, min((n + 1) * BLOCK, rows)):
            for f in range(features):
                slope = np.float64(d[m, f])
                partial[0, n, f] += slope
                partial[1, n, f] += slope * ((np.float64(x[m, f]) - stats[0, f]) * stats[2, f])
    meet(crew)
    _add_blocks(sums, 0, partial, 0, low, high)
    _add_blocks(sums, 1, partial, 1, low, high)
    for f in range(low, high):
        if len(d_beta) > 0:
            d_beta[f] = sums[0, f]
        if len(d_gamma) > 0:
            d_gamma[f] = sums[1, f]


@kernel
def input_gradient(d, x, stats, part, sums, gamma, mask, crew):
    """d, the gradient of y, becomes that of x.

    Rows that count have a part in the moments, and so in all rows:

        d = gamma / root · (d - (sums[0] + (x - mean) / root · sums[1]) · part)
    """
    rows, features = x.shape
    first, last = share(rows, crew)
    for m in range(first, last):
        counts = part[0] if len(mask) == 0 or mask[m] != 0 else 0.0
        for f in range(features):
            normal = (np.float64(x[m, f]) - stats[0, f]) * stats[2, f]
            value = np.float64(d[m, f]) - (sums[0, f] + normal * sums[1, f]) * counts
            if len(gamma) > 0:
                value = value * gamma[f]
            d[m, f] = value * stats[2, f]


@kernel
def advance(moving_mean, moving_variance, stats, momentum, crew):
    """moving = momentum · moving + (1 - momentum) · the batch's, for both moments."""
    first, last = share(len(moving_mean), crew)
    for f in range(first, last):
        moving_mean[f] = momentum * moving_mean[f] + (1.0 - momentum) * stats[0, f]
        moving_variance[f] = momentum * moving_variance[f] + (1.0 - momentum) * stats[1, f]
