"""Long short-term memory whose gates see the cell state.

    i = sigmoid(x W_xi + h W_hi + p_i * c + b_i)    f = sigmoid(x W_xf + h W_hf + p_f * c + b_f)
    g = tanh(x W_xg + h W_hg + b_g)                 c' = f * c + i * g
    o = sigmoid(x W_xo + h W_ho + p_o * c' + b_o)   h' = o * tanh(c')

Source: Gers, Schraudolph and Schmidhuber, "Learning precise timing with LSTM recurrent networks",
JMLR 3, 2002.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.activations import SIGMOID, TANH, activate, derivative
from fastlstm.kernels.simd import fma, zero_like
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class PeepholeLSTMCell(Static):
    """Blocks i, f, g, o; states h, c; each unit's own weights p_i, p_f, p_o."""

    activation: Static = TANH
    recurrent_activation: Static = SIGMOID

    blocks = 4
    states = 2
    own = 3

    def forward(self, blocks, states, own):
        a_i, a_f, a_g, a_o = blocks
        p_i, p_f, p_o = own
        c = states[1]
        i = activate(self.recurrent_activation, fma(p_i, c, a_i))
        f = activate(self.recurrent_activation, fma(p_f, c, a_f))
        g = activate(self.activation, a_g)
        c_next = fma(f, c, i * g)
        o = activate(self.recurrent_activation, fma(p_o, c_next, a_o))
        return (i, f, g, o), (o * activate(self.activation, c_next), c_next)

    def backward(self, blocks, before, after, d_after, own):
        i, f, g, o = blocks
        p_i, p_f, p_o = own
        _, c = before
        _, c_next = after
        d_h, d_c = d_after
        t = activate(self.activation, c_next)
        # h' = o * activation(c'), where o sees c' as well
        d_o = d_h * t * derivative(self.recurrent_activation, o)
        d_c = d_c + d_h * o * derivative(self.activation, t)
        d_c = fma(d_o, p_o, d_c)
        # c' = f * c + i * g
        d_i = d_c * g * derivative(self.recurrent_activation, i)
        d_f = d_c * c * derivative(self.recurrent_activation, f)
        d_g = d_c * i * derivative(self.activation, g)
        d_c = fma(d_c, f, fma(d_i, p_i, d_f * p_f))
        return (d_i, d_f, d_g, d_o), (zero_like(d_h), d_c)

    def own_gradients(self, sums, d_blocks, before, after):
        s_i, s_f, s_o = sums
        d_i, d_f, _, d_o = d_blocks
        c, c_next = before[1], after[1]
        return fma(d_i, c, s_i), fma(d_f, c, s_f), fma(d_o, c_next, s_o)
