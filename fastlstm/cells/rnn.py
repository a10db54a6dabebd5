"""The simple (Elman) recurrent network.

    h' = activation(x W_x + h W_h + b)

Source: Elman, "Finding Structure in Time", Cognitive Science 14(2), 1990.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.activations import TANH, activate, derivative
from fastlstm.kernels.simd import zero_like
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class RNNCell(Static):
    """One block, one state; the activation is a type from ``kernels.activations``."""

    activation: Static = TANH

    blocks = 1
    states = 1

    def forward(self, blocks, states):
        h_next = activate(self.activation, blocks[0])
        return (h_next,), (h_next,)

    def backward(self, blocks, before, after, d_after):
        d_h = d_after[0]
        return (d_h * derivative(self.activation, after[0]),), (zero_like(d_h),)
