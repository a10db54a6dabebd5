"""Activations as types: a kernel resolves ``activate`` by the type, so its loop has no branch.

Each has ``forward(x)`` and ``derivative(y)``, the latter from the output y = forward(x); or, for
those of ``smooth``, ``slope_at(x)`` instead, from the input.
"""

from __future__ import annotations

from dataclasses import dataclass

from numba.extending import overload

from fastlstm.kernels import math
from fastlstm.kernels.jit import INLINE
from fastlstm.kernels.simd import select, zero_like
from fastlstm.kernels.static import Static, method


@dataclass(frozen=True)
class Linear(Static):
    """y = x."""

    def forward(self, x):
        return x

    def derivative(self, y):
        return zero_like(y) + 1.0


@dataclass(frozen=True)
class Relu(Static):
    """y = max(x, 0), and NaN for NaN."""

    def forward(self, x):
        return select(x < 0.0, 0.0, x)

    def derivative(self, y):
        return select(y > 0.0, 1.0, zero_like(y))


@dataclass(frozen=True)
class Tanh(Static):
    """y = tanh(x)."""

    def forward(self, x):
        return math.tanh(x)

    def derivative(self, y):
        return 1.0 - y * y


TANH = Tanh()


@dataclass(frozen=True)
class Sigmoid(Static):
    """y = 1 / (1 + exp(-x))."""

    def forward(self, x):
        return math.sigmoid(x)

    def derivative(self, y):
        return y * (1.0 - y)


SIGMOID = Sigmoid()


@dataclass(frozen=True)
class HardSigmoid(Static):
    """y = x / 6 + 1/2, kept between 0 and 1."""

    def forward(self, x):
        y = x / 6.0 + 0.5
        return select(y > 1.0, 1.0, select(y < 0.0, 0.0, y))

    def derivative(self, y):
        inside = select(y > 0.0, 1.0 / 6.0, zero_like(y))
        return select(y < 1.0, inside, zero_like(y))


def activate(activation, x):  # pragma: no cover
    """The activation of a vector of pre-activations."""
    return activation.forward(x)


def derivative(activation, y):  # pragma: no cover
    """The activation's derivative, from its output."""
    return activation.derivative(y)


def slope_at(activation, x):  # pragma: no cover
    """The same from its input, of activations whose output does not tell it."""
    return activation.slope_at(x)


@overload(activate, jit_options=INLINE)
def _activate(activation, x):
    forward = method(activation, "forward")
    return lambda activation, x: forward(activation, x)


@overload(derivative, jit_options=INLINE)
def _derivative(activation, y):
    implementation = method(activation, "derivative")
    return lambda activation, y: implementation(activation, y)


@overload(slope_at, jit_options=INLINE)
def _slope_at(activation, x):
    implementation = method(activation, "slope_at")
    return lambda activation, x: implementation(activation, x)
