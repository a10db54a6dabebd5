"""Scalar long short-term memory of xLSTM: exponential gates, kept in range by a stabiliser.

    z = tanh(a_z)       o = sigmoid(a_o)       with a = x W_x + h W_h + b for each
    m' = max(a_f + m, a_i)
    i = exp(a_i - m')   f = exp(a_f + m - m')
    c' = f * c + i * z  n' = f * n + i         h' = o * c' / n'

Source: Beck et al., "xLSTM: Extended long short-term memory", NeurIPS 2024, with the exponential
forget gate. m only scales c and n, and cancels in h. Where n is 0 nothing has been seen yet: m is
then taken as minus infinity, so that f is 0 and i is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.math import exp, sigmoid, tanh
from fastlstm.kernels.simd import select, zero_like
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class SLSTMCell(Static):
    """Blocks i, f, z, o; states h, c, n, m."""

    blocks = 4
    states = 4
    state_names = ("h", "c", "n", "m")

    def forward(self, blocks, states):
        a_i, a_f, a_z, a_o = blocks
        _, c, n, m = states
        a_f = a_f + m
        seen = n > 0.0
        m_next = select(seen, select(a_f > a_i, a_f, a_i), a_i)
        i = exp(a_i - m_next)
        f = select(seen, exp(a_f - m_next), zero_like(a_f))
        z, o = tanh(a_z), sigmoid(a_o)
        c_next = f * c + i * z
        n_next = f * n + i
        return (i, f, z, o), (o * c_next / n_next, c_next, n_next, m_next)

    def backward(self, blocks, before, after, d_after):
        i, f, z, o = blocks
        _, c, n, _ = before
        _, c_next, n_next, _ = after
        d_h, d_c, d_n, d_m = d_after
        mean = c_next / n_next
        d_o = d_h * mean
        d_mean = d_h * o / n_next
        d_c = d_c + d_mean
        d_n = d_n - d_mean * mean
        # m' divides c' and n'; whichever gate it is the exponent of is 1.
        d_m = d_m - d_c * c_next - d_n * n_next
        kept = f >= 1.0
        d_i = (d_c * z + d_n) * i + select(kept, zero_like(d_m), d_m)
        d_f = (d_c * c + d_n * n) * f + select(kept, d_m, zero_like(d_m))
        d_blocks = (d_i, d_f, d_c * i * (1.0 - z * z), d_o * o * (1.0 - o))
        return d_blocks, (zero_like(d_h), d_c * f, d_n * f, d_f)
