"""Long short-term memory whose input gate is what the forget gate leaves.

    f = sigmoid(x W_xf + h W_hf + b_f)      i = 1 - f
    g = tanh(x W_xg + h W_hg + b_g)         o = sigmoid(x W_xo + h W_ho + b_o)
    c' = f * c + i * g                      h' = o * tanh(c')

Source: Greff et al., "LSTM: A search space odyssey", IEEE Transactions on Neural Networks and
Learning Systems 28(10), 2017, where it is called CIFG.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.activations import SIGMOID, TANH, activate, derivative
from fastlstm.kernels.simd import zero_like
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class CoupledLSTMCell(Static):
    """Blocks f, g, o; states h, c."""

    activation: Static = TANH
    recurrent_activation: Static = SIGMOID

    blocks = 3
    states = 2

    def gates(self, blocks):
        f = activate(self.recurrent_activation, blocks[0])
        g = activate(self.activation, blocks[1])
        o = activate(self.recurrent_activation, blocks[2])
        return f, g, o

    def forward(self, gates, states):
        f, g, o = gates
        c_next = g + f * (states[1] - g)
        return o * activate(self.activation, c_next), c_next

    def backward(self, blocks, before, after, d_after):
        f, g, o = blocks
        d_h, d_c = d_after
        t = activate(self.activation, after[1])
        d_o = d_h * t
        d_c = d_c + d_h * o * derivative(self.activation, t)
        d_f = d_c * (before[1] - g)
        d_g = d_c * (1.0 - f)
        d_blocks = (
            d_f * derivative(self.recurrent_activation, f),
            d_g * derivative(self.activation, g),
            d_o * derivative(self.recurrent_activation, o),
        )
        return d_blocks, (zero_like(d_h), d_c * f)
