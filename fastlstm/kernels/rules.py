"""The optimizers' equations on vectors of neighbouring elements; ``optimizers.step`` drives them.

A rule is a ``Static`` that says how many moments it keeps of each element, and has one method:

    moments = 2

    def update(self, p, g, moments, rates):
        '''Parameters, gradients and moments -> parameters and moments after the step.'''

``rates`` are the six numbers of the step at hand, as the optimizer of the same name sets them; the
meaning and the source of the equations stand in its docstring.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.jit import inline
from fastlstm.kernels.simd import absolute, select, square_root
from fastlstm.kernels.static import Static


@inline
def _larger(x, y):
    """The larger one; NaN where ``y`` is."""
    return select(x > y, x, y)


@dataclass(frozen=True)
class SGD(Static):
    """Rates: learning_rate."""

    moments = 0

    def update(self, p, g, moments, rates):
        return p - g * rates[0], ()


@dataclass(frozen=True)
class Momentum(Static):
    """Moment: velocity. Rates: learning_rate, momentum."""

    moments = 1

    def update(self, p, g, moments, rates):
        (v,) = moments
        v = v * rates[1] - g * rates[0]
        return p + v, (v,)


@dataclass(frozen=True)
class Nesterov(Static):
    """As ``Momentum``."""

    moments = 1

    def update(self, p, g, moments, rates):
        (v,) = moments
        g = g * rates[0]
        v = v * rates[1] - g
        return p + (v * rates[1] - g), (v,)


@dataclass(frozen=True)
class Adam(Static):
    """Moments: m, v. Rates: corrected learning rate, 1 - beta_1, 1 - beta_2, epsilon."""

    moments = 2

    def update(self, p, g, moments, rates):
        m, v = moments
        m = m + (g - m) * rates[1]
        v = v + (g * g - v) * rates[2]
        return p - m * rates[0] / (square_root(v) + rates[3]), (m, v)


@dataclass(frozen=True)
class AMSGrad(Static):
    """Moments: m, v, the largest v. Rates: as ``Adam``."""

    moments = 3

    def update(self, p, g, moments, rates):
        m, v, largest = moments
        m = m + (g - m) * rates[1]
        v = v + (g * g - v) * rates[2]
        largest = _larger(largest, v)
        return p - m * rates[0] / (square_root(largest) + rates[3]), (m, v, largest)


@dataclass(frozen=True)
class Adamax(Static):
    """Moments: m, u. Rates: corrected learning rate, 1 - beta_1, beta_2, epsilon."""

    moments = 2

    def update(self, p, g, moments, rates):
        m, u = moments
        m = m + (g - m) * rates[1]
        u = _larger(u * rates[2], absolute(g))
        return p - m * rates[0] / (u + rates[3]), (m, u)


@dataclass(frozen=True)
class Nadam(Static):
    """Moments: m, v. Rates: of m, of g, 1 - beta_1, 1 - beta_2, correction of v, epsilon."""

    moments = 2

    def update(self, p, g, moments, rates):
        m, v = moments
        m = m + (g - m) * rates[2]
        v = v + (g * g - v) * rates[3]
        return p - (m * rates[0] + g * rates[1]) / (square_root(v * rates[4]) + rates[5]), (m, v)


@inline
def _mean(mean, x, rho, rest):
    return mean * rho + x * rest


@dataclass(frozen=True)
class RMSprop(Static):
    """Moment: v. Rates: learning_rate, rho, 1 - rho, epsilon, momentum."""

    moments = 1

    def update(self, p, g, moments, rates):
        (v,) = moments
        v = _mean(v, g * g, rates[1], rates[2])
        return p - g * rates[0] / square_root(v + rates[3]), (v,)


@dataclass(frozen=True)
class RMSpropMomentum(Static):
    """Moments: v, velocity. Rates: as ``RMSprop``."""

    moments = 2

    def update(self, p, g, moments, rates):
        v, velocity = moments
        v = _mean(v, g * g, rates[1], rates[2])
        velocity = velocity * rates[4] + g * rates[0] / square_root(v + rates[3])
        return p - velocity, (v, velocity)


@inline
def _variance(v, mean):
    """v - mean², which rounding may bring below zero where all gradients were alike."""
    x = v - mean * mean
    return select(x < 0.0, 0.0, x)


@dataclass(frozen=True)
class RMSpropCentered(Static):
    """Moments: v, mean gradient. Rates: as ``RMSprop``."""

    moments = 2

    def update(self, p, g, moments, rates):
        v, mean = moments
        v = _mean(v, g * g, rates[1], rates[2])
        mean = _mean(mean, g, rates[1], rates[2])
        return p - g * rates[0] / square_root(_variance(v, mean) + rates[3]), (v, mean)


@dataclass(frozen=True)
class RMSpropCenteredMomentum(Static):
    """Moments: v, velocity, mean gradient. Rates: as ``RMSprop``."""

    moments = 3

    def update(self, p, g, moments, rates):
        v, velocity, mean = moments
        v = _mean(v, g * g, rates[1], rates[2])
        mean = _mean(mean, g, rates[1], rates[2])
        step = g * rates[0] / square_root(_variance(v, mean) + rates[3])
        velocity = velocity * rates[4] + step
        return p - velocity, (v, velocity, mean)


@dataclass(frozen=True)
class Adagrad(Static):
    """Moment: accumulator. Rates: learning_rate, epsilon."""

    moments = 1

    def update(self, p, g, moments, rates):
        (total,) = moments
        total = total + g * g
        return p - g * rates[0] / square_root(total + rates[1]), (total,)


@dataclass(frozen=True)
class Lion(Static):
    """Moment: m. Rates: learning_rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2."""

    moments = 1

    def update(self, p, g, moments, rates):
        (m,) = moments
        u = m * rates[1] + g * rates[2]
        # Times 0, so that NaN stays visible.
        step = select(u > 0.0, rates[0], select(u < 0.0, -rates[0], u * 0.0))
        return p - step, (m * rates[3] + g * rates[4],)
