"""More losses of one output at a time: equations for ``losses.elementwise``.

Each takes vectors of predictions and targets and an option, and returns loss and slope. NaN stays
NaN: a ``select`` keeps what it compares unless the comparison holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastlstm.kernels.jit import inline
from fastlstm.kernels.losses import EPSILON, log_one_plus, log_one_plus_of
from fastlstm.kernels.math import exp, log, power, tanh
from fastlstm.kernels.simd import absolute, select
from fastlstm.kernels.static import Static

_LN2 = math.log(2.0)
# Least divisor of the focal slope: a normal number in either precision.
_TINY = 1e-37


@inline
def at_least(x, least):
    """max(x, least), and NaN for NaN."""
    return select(x < least, least, x)


@inline
def clipped(p, low, high):
    """p kept within the two, and NaN for NaN."""
    return select(p < low, low, select(p > high, high, p))


# -- numbers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogCosh(Static):
    """log cosh(e) with e = y - t.

    |e| + log((1 + z) / 2) with z = e^-2|e|; near 0, where that cancels, -½ log(1 - tanh² e).
    """

    def equation(self, y, t, option):
        error = y - t
        size = absolute(error)
        slope = tanh(error)
        square = slope * slope
        z = exp(-2.0 * size)
        # Both are 2 artanh(s) / 2 or 2 artanh(s), with s <= 1/3.
        near = square < 0.5
        twice = log_one_plus_of(select(near, square / (2.0 - square), z / (2.0 + z)))
        return select(near, 0.5 * twice, size + (twice - _LN2)), slope


@dataclass(frozen=True)
class Percentage(Static):
    """100 |y - t| / max(|t|, EPSILON)."""

    def equation(self, y, t, option):
        error = y - t
        scale = 100.0 / at_least(absolute(t), EPSILON)
        slope = select(error > 0.0, scale, select(error < 0.0, -scale, error))
        return absolute(error) * scale, slope


@dataclass(frozen=True)
class SquaredLogarithmic(Static):
    """(log(1 + y) - log(1 + t))², both kept at or above ``EPSILON``."""

    def equation(self, y, t, option):
        one_plus = at_least(y, EPSILON) + 1.0
        error = log(one_plus) - log(at_least(t, EPSILON) + 1.0)
        return error * error, select(y < EPSILON, 0.0, 2.0 * error / one_plus)


@dataclass(frozen=True)
class Poisson(Static):
    """y - t log(y + EPSILON)."""

    def equation(self, y, t, option):
        rate = y + EPSILON
        return y - t * log(rate), 1.0 - t / rate


@dataclass(frozen=True)
class Pinball(Static):
    """q e where e = t - y is positive, else (q - 1) e; the option is q."""

    def equation(self, y, t, q):
        error = t - y
        value = select(error > 0.0, q * error, (q - 1.0) * error)
        return value, select(error > 0.0, -q, select(error < 0.0, 1.0 - q, error))


# -- yes or no -------------------------------------------------------------------------------


@inline
def _margin(y, t):
    """1 - t y, and the sign t; a target of 0 stands for -1."""
    sign = select(t == 0.0, -1.0, t)
    return 1.0 - sign * y, sign


@dataclass(frozen=True)
class Hinge(Static):
    """max(1 - t y, 0)."""

    def equation(self, y, t, option):
        margin, sign = _margin(y, t)
        value = select(margin < 0.0, 0.0, margin)
        return value, select(margin > 0.0, -sign, value)


@dataclass(frozen=True)
class SquaredHinge(Static):
    """max(1 - t y, 0)²."""

    def equation(self, y, t, option):
        margin, sign = _margin(y, t)
        value = select(margin < 0.0, 0.0, margin)
        return value * value, -2.0 * sign * value


@dataclass(frozen=True)
class Divergence(Static):
    """t log(t / p), both kept within EPSILON and 1; the option is the number of columns.

    The kernel takes a mean over columns where the divergence is a sum.
    """

    def equation(self, y, t, columns):
        p, t = clipped(y, EPSILON, 1.0), clipped(t, EPSILON, 1.0)
        ratio = t / p
        slope = select(y < EPSILON, 0.0, select(y > 1.0, 0.0, -columns * ratio))
        return columns * t * log(ratio), slope


# -- focal: option holds gamma, the smoothing, and the weight of t as option[2] + option[3] t --


@dataclass(frozen=True)
class FocalLogits(Static):
    """a^gamma times the binary cross-entropy, a = t (1 - p) + (1 - t) p, p = sigmoid(y)."""

    def equation(self, y, t, option):
        t = t * (1.0 - option[1]) + 0.5 * option[1]
        z = exp(-absolute(y))
        p = select(y < 0.0, z, 1.0) / (1.0 + z)
        q = select(y < 0.0, 1.0, z) / (1.0 + z)
        entropy = select(y < 0.0, 0.0, y) - y * t + log_one_plus(z)
        away = t * q + (1.0 - t) * p
        factor = (option[2] + option[3] * t) * power(away, option[0])
        turn = option[0] * (1.0 - 2.0 * t) * (p * q / at_least(away, _TINY))
        return factor * entropy, factor * (turn * entropy + (p - t))


@dataclass(frozen=True)
class FocalProbabilities(Static):
    """The same of probabilities; the entropy's are kept away from 0 and 1 by ``EPSILON``."""

    def equation(self, y, t, option):
        t = t * (1.0 - option[1]) + 0.5 * option[1]
        p = clipped(y, EPSILON, 1.0 - EPSILON)
        entropy = -(t * log(p) + (1.0 - t) * log(1.0 - p))
        away = at_least(t * (1.0 - y) + (1.0 - t) * y, 0.0)
        factor = (option[2] + option[3] * t) * power(away, option[0])
        turn = option[0] * (1.0 - 2.0 * t) / at_least(away, EPSILON)
        straight = (p - t) / (p * (1.0 - p))
        straight = select(y < EPSILON, 0.0, select(y > 1.0 - EPSILON, 0.0, straight))
        return factor * entropy, factor * (turn * entropy + straight)
