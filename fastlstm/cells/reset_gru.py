"""Gated recurrent unit, the reset gate before the product.

    z = sigmoid(x W_xz + h W_hz + b_z)      r = sigmoid(x W_xr + h W_hr + b_r)
    n = tanh(x W_xn + (r * h) W_hn + b_n)
    h' = z * h + (1 - z) * n

Source: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
machine translation", EMNLP 2014; Keras' GRU with ``reset_after=False``.

A step has two products, of which the second waits for all of the reset gate. So there are two
cells, and a driver for both of them: ``fastlstm.kernels.reset``.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.activations import SIGMOID, TANH, activate, derivative
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class ResetCell(Static):
    """Blocks z, r; from what the product sees of h it makes r * h."""

    recurrent_activation: Static = SIGMOID

    blocks = 2
    states = 1

    def forward(self, blocks, states):
        z = activate(self.recurrent_activation, blocks[0])
        r = activate(self.recurrent_activation, blocks[1])
        return (z, r), (r * states[0],)

    def backward(self, blocks, before, after, d_after):
        """Of r alone: that of z is known by then."""
        r, d_reset = blocks[0], d_after[0]
        d_r = d_reset * before[0] * derivative(self.recurrent_activation, r)
        return (d_r,), (d_reset * r,)


@dataclass(frozen=True)
class CandidateCell(Static):
    """Block n; states h, and z, which it only reads."""

    activation: Static = TANH
    recurrent_activation: Static = SIGMOID

    blocks = 1
    states = 2

    def forward(self, blocks, states):
        h, z = states
        n = activate(self.activation, blocks[0])
        return (n,), (n + z * (h - n), z)

    def backward(self, blocks, before, after, d_after):
        """Gradients of the pre-activations of n and z, and of h but for the products."""
        n = blocks[0]
        h, z = before
        d_h = d_after[0]
        d_n = d_h * (1.0 - z) * derivative(self.activation, n)
        d_z = d_h * (h - n) * derivative(self.recurrent_activation, z)
        return (d_n, d_z), (d_h * z,)


@dataclass(frozen=True)
class ResetGRUCell(Static):
    """Blocks z, r, n of both cells; state h."""

    activation: Static = TANH
    recurrent_activation: Static = SIGMOID

    blocks = 3
    states = 1

    @property
    def stages(self) -> tuple[ResetCell, CandidateCell]:
        """The cells of the two products."""
        return (
            ResetCell(self.recurrent_activation),
            CandidateCell(self.activation, self.recurrent_activation),
        )
