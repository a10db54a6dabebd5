"""Activations that dense layers and convolutions use, beside those of recurrent cells.

All have a slope that their output tells, as ``activations`` asks for: layers keep only outputs.
Sources: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
exponential linear units", ICLR 2016 (Elu); Klambauer, Unterthiner, Mayr and Hochreiter,
"Self-normalizing neural networks", NeurIPS 2017 (Selu); Dugas, Bengio, Bélisle, Nadeau and Garcia,
"Incorporating second-order functional knowledge for better option pricing", NeurIPS 2000
(Softplus).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastlstm.kernels import math
from fastlstm.kernels.jit import inline
from fastlstm.kernels.simd import select, zero_like
from fastlstm.kernels.static import Static

# Of Selu: with them a layer keeps a mean of zero and a variance of one.
_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


@inline
def less_one(x):
    """e**x - 1 for x <= 0, without the cancellation near zero."""
    t = math.tanh(0.5 * x)
    return 2.0 * t / (1.0 - t)


@inline
def _softplus(x):
    """log(1 + e**x)."""
    e = math.exp(select(x > 0.0, -x, x))
    u = 1.0 + e
    # What rounding took from e is put back in proportion.
    tail = select(u > 1.0, math.log(u) * e / select(u > 1.0, u - 1.0, 1.0), e)
    return select(x > 0.0, x, 0.0) + tail


@dataclass(frozen=True)
class Rectifier(Static):
    """y = x from ``threshold`` on, at most ``most``; below it, ``slope`` (x - ``threshold``).

    The slope may not be negative: a positive output has to come from above the threshold.
    """

    slope: float = 0.0
    most: float = np.inf
    threshold: float = 0.0

    def forward(self, x):
        above = select(x > self.most, self.most, x)
        return select(x < self.threshold, self.slope * (x - self.threshold), above)

    def derivative(self, y):
        above = select(y < self.most, 1.0, zero_like(y))
        return select(y > 0.0, above, self.slope)


@dataclass(frozen=True)
class Elu(Static):
    """y = x, or ``alpha`` (e**x - 1) below zero."""

    alpha: float = 1.0

    def forward(self, x):
        return select(x > 0.0, x, self.alpha * less_one(select(x > 0.0, 0.0, x)))

    def derivative(self, y):
        return select(y > 0.0, 1.0, y + self.alpha)


@dataclass(frozen=True)
class Selu(Static):
    """Elu of alpha 1.67..., times 1.05...: see the source."""

    def forward(self, x):
        below = _SELU_ALPHA * less_one(select(x > 0.0, 0.0, x))
        return _SELU_SCALE * select(x > 0.0, x, below)

    def derivative(self, y):
        return select(y > 0.0, _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA)


@dataclass(frozen=True)
class HardTanh(Static):
    """y = x, kept between -1 and 1."""

    def forward(self, x):
        return select(x > 1.0, 1.0, select(x < -1.0, -1.0, x))

    def derivative(self, y):
        return select(y < 1.0, select(y > -1.0, 1.0, zero_like(y)), 0.0)


@dataclass(frozen=True)
class Softplus(Static):
    """y = log(1 + e**x)."""

    def forward(self, x):
        return _softplus(x)

    def derivative(self, y):
        return -less_one(-y)


@dataclass(frozen=True)
class LogSigmoid(Static):
    """y = -log(1 + e**-x)."""

    def forward(self, x):
        return -_softplus(-x)

    def derivative(self, y):
        return -less_one(y)


@dataclass(frozen=True)
class Softsign(Static):
    """y = x / (1 + |x|)."""

    def forward(self, x):
        return x / (1.0 + select(x < 0.0, -x, x))

    def derivative(self, y):
        rest = 1.0 - select(y < 0.0, -y, y)
        return rest * rest


@dataclass(frozen=True)
class Exponential(Static):
    """y = e**x."""

    def forward(self, x):
        return math.exp(x)

    def derivative(self, y):
        return y
