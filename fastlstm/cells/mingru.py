"""Minimal gated recurrent unit: gates that do not see h.

    z = sigmoid(x W_z + b_z)        n = x W_n + b_n
    h' = (1 - z) * h + z * n

Source: Feng et al., "Were RNNs all we needed?", arXiv 2410.01201, 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastlstm.kernels.math import sigmoid
from fastlstm.kernels.static import Static


@dataclass(frozen=True)
class MinGRUCell(Static):
    """Blocks z, n; state h."""

    blocks = 2
    states = 1
    recurrent = False

    def forward(self, blocks, states):
        z, n = sigmoid(blocks[0]), blocks[1]
        h = states[0]
        return (z, n), (h + z * (n - h),)

    def backward(self, blocks, before, after, d_after):
        z, n = blocks
        d_h = d_after[0]
        d_z = d_h * (n - before[0])
        return (d_z * z * (1.0 - z), d_h * z), (d_h * (1.0 - z),)
