"""Activations whose slope does not follow from their output: they fall, and then rise.

Each has ``forward(x)`` and ``slope_at(x)``, both from the input, which is to be kept for it.
Sources: Hendrycks and Gimpel, "Gaussian error linear units", arXiv 1606.08415, 2016 (Gelu, and its
approximation by tanh); Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network
function approximation in reinforcement learning", Neural Networks 107, 2018 (Silu); Howard et al.,
"Searching for MobileNetV3", ICCV 2019 (HardSilu); Misra, "Mish: a self regularized non-monotonic
activation function", BMVC 2020 (Mish).
"""

from __future__ import annotations

import math as scalars
from dataclasses import dataclass

from fastlstm.kernels import math
from fastlstm.kernels.jit import inline
from fastlstm.kernels.normal import normal
from fastlstm.kernels.simd import fma, select, zero_like
from fastlstm.kernels.static import Static

# Of GeluTanh: (1 + tanh(u)) / 2 = sigmoid(2u), and 2u = x · (_A + _B · x²).
_A = 2.0 * scalars.sqrt(2.0 / scalars.pi)
_B = 0.044715 * _A
# From here on Mish is x, in double precision too.
_MISH_ONE = 20.0


@inline
def _mish_parts(x):
    """e**x, and n = e**x · (e**x + 2): tanh(log(1 + e**x)) is n / (n + 2)."""
    e = math.exp(select(x > _MISH_ONE, _MISH_ONE, x))
    return e, e * (e + 2.0)


@dataclass(frozen=True)
class Gelu(Static):
    """y = x times the normal distribution's share below x."""

    def forward(self, x):
        share, _ = normal(x)
        return x * share

    def slope_at(self, x):
        share, density = normal(x)
        return fma(x, density, share)


@dataclass(frozen=True)
class GeluTanh(Static):
    """y = x / 2 · (1 + tanh(sqrt(2 / pi) · (x + 0.044715 x³)))."""

    def forward(self, x):
        return x * math.sigmoid(x * fma(_B * x, x, _A))

    def slope_at(self, x):
        square = x * x
        s = math.sigmoid(x * fma(square, _B, _A))
        return s * fma(x * (1.0 - s), fma(square, 3.0 * _B, _A), 1.0)


@dataclass(frozen=True)
class Silu(Static):
    """y = x · sigmoid(x)."""

    def forward(self, x):
        return x * math.sigmoid(x)

    def slope_at(self, x):
        s = math.sigmoid(x)
        return s * fma(x, 1.0 - s, 1.0)


@dataclass(frozen=True)
class HardSilu(Static):
    """y = x · (x / 6 + 1/2, kept between 0 and 1)."""

    def forward(self, x):
        share = x / 6.0 + 0.5
        return x * select(share > 1.0, 1.0, select(share < 0.0, 0.0, share))

    def slope_at(self, x):
        inside = select(x < -3.0, zero_like(x), x / 3.0 + 0.5)
        return select(x > 3.0, 1.0, inside)


@dataclass(frozen=True)
class Mish(Static):
    """y = x · tanh(log(1 + e**x))."""

    def forward(self, x):
        _, n = _mish_parts(x)
        return x * (n / (n + 2.0))

    def slope_at(self, x):
        e, n = _mish_parts(x)
        inverse = 1.0 / (n + 2.0)
        steepness = 4.0 * (e * inverse) * ((1.0 + e) * inverse)
        rising = fma(x, steepness, n * inverse)
        return select(x > _MISH_ONE, 1.0, rising)


@dataclass(frozen=True)
class TanhShrink(Static):
    """y = x - tanh(x)."""

    def forward(self, x):
        return x - math.tanh(x)

    def slope_at(self, x):
        t = math.tanh(x)
        return t * t
