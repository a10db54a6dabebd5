"""Minimal long short-term memory: gates that do not see h, and that sum to 1.

    f = sigmoid(x W_f + b_f)        i = sigmoid(x W_i + b_i)        n = x W_n + b_n
    h' = (f * h + i * n) / (f + i)

Source: Feng et al., "Were RNNs all we needed?", arXiv 2410.01201, 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.math import sigmoid
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class MinLSTMCell(Static):
    """Blocks f, i, n; state h."""

    blocks = 3
    states = 1
    recurrent = False

    def forward(self, blocks, states):
        a_f, a_i, n = blocks
        h = states[0]
        # f / (f + i), with numerators that neither vanish nor overflow together.
        f, i = sigmoid(a_f), sigmoid(a_i)
        share = i / (f + i)
        return (f, i, n), (h + share * (n - h),)

    def backward(self, blocks, before, after, d_after):
        f, i, n = blocks
        d_h = d_after[0]
        total = f + i
        share = i / total
        # d share / d i = f / total², and to f: -i / total².
        d_share = d_h * (n - before[0]) / total
        d_f = -d_share * share * f * (1.0 - f)
        d_i = d_share * (1.0 - share) * i * (1.0 - i)
        return (d_f, d_i, d_h * share), (d_h * (1.0 - share),)
