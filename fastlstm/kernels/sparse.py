"""Activations that are zero over a stretch, or come near it by a square root.

Their slope follows from their output, as that of those in ``rectifiers``.
Sources: Barron, "Continuously differentiable exponential linear units", arXiv 1704.07483, 2017
(Celu, which is ``rectifiers.Elu`` drawn out along x); Donoho, "De-noising by soft-thresholding",
IEEE Transactions on Information Theory 41(3), 1995 (HardShrink, SoftShrink); Martins and Astudillo,
"From softmax to sparsemax", ICML 2016 (SparseSigmoid, and SparsePlus, whose slope it is); Barron,
"Squareplus: a softplus-like algebraic rectifier", arXiv 2112.11687, 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.rectifiers import less_one
from fastlstm.kernels.simd import absolute, fma, select, square_root, zero_like
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class Celu(Static):
    """y = x, or ``alpha`` (e**(x / ``alpha``) - 1) below zero."""

    alpha: float = 1.0

    def forward(self, x):
        below = self.alpha * less_one(select(x > 0.0, 0.0, x / self.alpha))
        return select(x > 0.0, x, below)

    def derivative(self, y):
        return select(y > 0.0, 1.0, y / self.alpha + 1.0)


@dataclass(frozen=True)
class HardShrink(Static):
    """y = x, or zero where x is no further from zero than ``threshold``."""

    threshold: float = 0.5

    def forward(self, x):
        return select(absolute(x) <= self.threshold, 0.0, x)

    def derivative(self, y):
        return select(y == 0.0, zero_like(y), 1.0)


@dataclass(frozen=True)
class SoftShrink(Static):
    """y = x, by ``threshold`` nearer to zero, and no further than that."""

    threshold: float = 0.5

    def forward(self, x):
        above = select(x > self.threshold, x - self.threshold, x + self.threshold)
        return select(absolute(x) <= self.threshold, 0.0, above)

    def derivative(self, y):
        return select(y == 0.0, zero_like(y), 1.0)


@dataclass(frozen=True)
class SparsePlus(Static):
    """y = x from 1 on, 0 up to -1, and (x + 1)² / 4 between them."""

    def forward(self, x):
        above = x + 1.0
        bent = 0.25 * (above * above)
        return select(x >= 1.0, x, select(x <= -1.0, 0.0, bent))

    def derivative(self, y):
        return select(y < 1.0, square_root(y), 1.0)


@dataclass(frozen=True)
class SparseSigmoid(Static):
    """y = (x + 1) / 2, kept between 0 and 1."""

    def forward(self, x):
        y = 0.5 * (x + 1.0)
        return select(y > 1.0, 1.0, select(y < 0.0, 0.0, y))

    def derivative(self, y):
        inside = select(y > 0.0, 0.5, zero_like(y))
        return select(y < 1.0, inside, zero_like(y))


@dataclass(frozen=True)
class Squareplus(Static):
    """y = (x + sqrt(x² + ``b``)) / 2, without the cancellation below zero."""

    b: float = 4.0

    def forward(self, x):
        far = square_root(fma(x, x, self.b)) + absolute(x)
        return select(x > 0.0, 0.5 * far, (0.5 * self.b) / far)

    def derivative(self, y):
        # Of y · (y - x) = b / 4.
        square = y * y
        return square / (square + 0.25 * self.b)
