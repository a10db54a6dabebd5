"""Gated recurrent unit, the reset gate after the product.

    z = sigmoid(x W_xz + b_xz + h W_hz + b_hz)      r = sigmoid(x W_xr + b_xr + h W_hr + b_hr)
    n = tanh(x W_xn + b_xn + r * (h W_hn + b_hn))
    h' = z * h + (1 - z) * n

Source: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
machine translation", EMNLP 2014; the reset gate stands after the product as in cuDNN, and as in
Keras with ``reset_after``.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.activations import SIGMOID, TANH, activate, derivative
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class GRUCell(Static):
    """Blocks z, r, n of x·W, and the same of h·U; state h."""

    activation: Static = TANH
    recurrent_activation: Static = SIGMOID

    blocks = 3
    states = 1
    apart = True

    def forward(self, blocks, states):
        x_z, x_r, x_n, h_z, h_r, h_n = blocks
        h = states[0]
        z = activate(self.recurrent_activation, x_z + h_z)
        r = activate(self.recurrent_activation, x_r + h_r)
        n = activate(self.activation, x_n + r * h_n)
        return (z, r, n, z, r, h_n), (n + z * (h - n),)

    def backward(self, blocks, before, after, d_after):
        z, r, n, _, _, h_n = blocks
        d_h = d_after[0]
        d_z = d_h * (before[0] - n) * derivative(self.recurrent_activation, z)
        d_n = d_h * (1.0 - z) * derivative(self.activation, n)
        d_r = d_n * h_n * derivative(self.recurrent_activation, r)
        return (d_z, d_r, d_n, d_z, d_r, d_n * r), (d_h * z,)
