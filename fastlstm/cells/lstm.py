"""Long short-term memory with a forget gate.

    i = sigmoid(x W_xi + h W_hi + b_i)      f = sigmoid(x W_xf + h W_hf + b_f)
    g = tanh(x W_xg + h W_hg + b_g)         o = sigmoid(x W_xo + h W_ho + b_o)
    c' = f * c + i * g                      h' = o * tanh(c')

Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997; the
forget gate is from Gers, Schmidhuber and Cummins, "Learning to Forget", 2000.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.activations import SIGMOID, TANH, activate, derivative
from fastlstm.kernels.simd import fma, zero_like
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class LSTMCell(Static):
    """Blocks i, f, g, o; states h, c; the activations are types from ``kernels.activations``."""

    activation: Static = TANH
    recurrent_activation: Static = SIGMOID

    blocks = 4
    states = 2

    def gates(self, blocks):
        a_i, a_f, a_g, a_o = blocks
        i = activate(self.recurrent_activation, a_i)
        f = activate(self.recurrent_activation, a_f)
        g = activate(self.activation, a_g)
        o = activate(self.recurrent_activation, a_o)
        return i, f, g, o

    def forward(self, gates, states):
        i, f, g, o = gates
        # Of two products, the compiler might round either one.
        c_next = fma(f, states[1], i * g)
        return o * activate(self.activation, c_next), c_next

    def backward(self, blocks, before, after, d_after):
        i, f, g, o = blocks
        _, c = before
        _, c_next = after
        d_h, d_c = d_after
        t = activate(self.activation, c_next)
        # h' = o * activation(c')
        d_o = d_h * t
        d_c = d_c + d_h * o * derivative(self.activation, t)
        # c' = f * c + i * g
        d_i = d_c * g
        d_f = d_c * c
        d_g = d_c * i
        d_blocks = (
            d_i * derivative(self.recurrent_activation, i),
            d_f * derivative(self.recurrent_activation, f),
            d_g * derivative(self.activation, g),
            d_o * derivative(self.recurrent_activation, o),
        )
        return d_blocks, (zero_like(d_h), d_c * f)
