"""Negative log-likelihoods of targets, whose distributions' parameters are the predictions.

total     (1,) float64, receives the sum over rows of weight · row_loss / M
d_pred    (M, C · P), gradient of the result with respect to y_pred; or (0, C · P): value only
row_loss  (M,), each row's mean over C, without its weight
y_true    (M, C)
y_pred    (M, C · P), the P unconstrained parameters of the first target, then those of the second
weights   (M,), or (0,) for ones

All is in float64, one target at a time: logarithms of gamma functions have no vectors. Threads
take rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba.extending import overload

from fastlstm.kernels.gamma import digamma_rise, log_gamma, log_gamma_rise
from fastlstm.kernels.jit import INLINE, body
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import mean_of_rows, row_weight
from fastlstm.kernels.static import Static, method
from fastlstm.kernels.team import share

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
# Student's t has a variance above this many degrees of freedom.
LEAST_FREEDOM = 2.0
# The logarithm of a dispersion is kept within these: below, counts are Poisson's to every digit.
MOST_LOG_DISPERSION = 60.0


@body
def softplus(x):
    """log(1 + e**x)."""
    return (0.0 if x < 0.0 else x) + np.log1p(np.exp(-abs(x)))


@body
def softplus_slope(x):
    """1 / (1 + e**-x), the derivative of ``softplus``."""
    z = np.exp(-abs(x))
    return (z if x < 0.0 else 1.0) / (1.0 + z)


# -- equations: of a target t and parameters a, b, c, of which a distribution uses the first; ------
# -- ``least`` is its one constant. They return the loss and its slopes by a, b and c. -------------


@dataclass(frozen=True)
class Gaussian(Static):
    """log s + ½ z² + ½ log 2π with z = (t - a) / s, and s = least + softplus(b)."""

    def equation(self, t, a, b, c, least):
        scale = least + softplus(b)
        z = (t - a) / scale
        value = np.log(scale) + 0.5 * z * z + _HALF_LOG_2PI
        return value, -z / scale, (1.0 - z * z) / scale * softplus_slope(b), 0.0


@dataclass(frozen=True)
class StudentT(Static):
    """log s + ½(v + 1) log(1 + z² / v) - log(Γ(½v + ½) / (Γ(½v) √(v π))), v = 2 + softplus(c)."""

    def equation(self, t, a, b, c, least):
        scale = least + softplus(b)
        freedom = LEAST_FREEDOM + softplus(c)
        z = (t - a) / scale
        w = z * z / freedom
        beyond = np.log1p(w)
        half = 0.5 * freedom
        value = np.log(scale) + (half + 0.5) * beyond + _HALF_LOG_2PI - log_gamma_rise(half, 0.5)
        pull = (freedom + 1.0) / (1.0 + w)
        d_a = -pull * z / (freedom * scale)
        d_b = (1.0 - pull * w) / scale * softplus_slope(b)
        d_freedom = beyond + (1.0 - pull * w) / freedom - digamma_rise(half, 0.5)
        return value, d_a, d_b, 0.5 * d_freedom * softplus_slope(c)


@dataclass(frozen=True)
class NegativeBinomial(Static):
    """Counts with mean e**a and variance e**a + e**b e**2a.

    With r = e**-b and x = a + b, the logarithm of Γ(t + r) / (Γ(r) t!) times (1 + e**x)**-r and
    (1 + e**-x)**-t is arranged so that what grows with r has cancelled.
    """

    def equation(self, t, a, b, c, least):
        log_dispersion = b
        if b < -MOST_LOG_DISPERSION:
            log_dispersion = -MOST_LOG_DISPERSION
        elif b > MOST_LOG_DISPERSION:
            log_dispersion = MOST_LOG_DISPERSION
        r = np.exp(-log_dispersion)
        x = a + log_dispersion
        above, p = softplus(x), softplus_slope(x)
        value = log_gamma(t + 1.0) - log_gamma_rise(r, t) - t * (a - above) + r * above
        d_a = (t + r) * p - t
        d_b = d_a + r * (digamma_rise(r, t) - above)
        return value, d_a, d_b if b == log_dispersion else 0.0 * value, 0.0


def _equation(distribution, t, a, b, c, least):  # pragma: no cover
    """Loss and slopes of one target."""
    return distribution.equation(t, a, b, c, least)


@overload(_equation, jit_options=INLINE)
def _choose_equation(distribution, t, a, b, c, least):
    equation = method(distribution, "equation")
    return lambda distribution, t, a, b, c, least: equation(distribution, t, a, b, c, least)


@kernel
def likelihood(
    distribution, total, d_pred, row_loss, y_true, y_pred, weights, least, crew
):  # fmt: skip
    """Mean of one of the equations above over the targets of each row."""
    rows, columns = y_true.shape
    count = y_pred.shape[1] // columns
    first, last = share(rows, crew)
    for m in range(first, last):
        factor = row_weight(weights, m) / (rows * columns)
        row = 0.0
        for j in range(columns):
            at = j * count
            c = np.float64(y_pred[m, at + 2]) if count > 2 else 0.0
            value, d_a, d_b, d_c = _equation(
                distribution,
                np.float64(y_true[m, j]),
                np.float64(y_pred[m, at]),
                np.float64(y_pred[m, at + 1]),
                c,
                least,
            )
            row += value
            if d_pred.shape[0] > 0:
                d_pred[m, at] = factor * d_a
                d_pred[m, at + 1] = factor * d_b
                if count > 2:
                    d_pred[m, at + 2] = factor * d_c
        row_loss[m] = row / columns
    mean_of_rows(total, row_loss, weights, crew)
