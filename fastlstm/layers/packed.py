"""Copies of a weight matrix in panel order, made anew when the weights have changed."""

from __future__ import annotations

import numpy as np

from fastlstm.kernels import matmul
from fastlstm.kernels.cell import panel_units


class Packed:
    """Panels of B, (K, blocks·units), for A·B; and of Bᵀ, for A·Bᵀ.

    Parameters
    ----------
    matrix : ndarray
        View of the weights, (K, blocks·units).
    blocks : int
        Column groups that share a panel.
    """

    def __init__(self, matrix: np.ndarray, blocks: int) -> None:
        self.matrix = matrix
        self.blocks = blocks
        self.width = panel_units(blocks, matrix.itemsize)
        self.panels = -(-(matrix.shape[1] // blocks) // self.width)
        self._forward: np.ndarray | None = None
        self._transposed: np.ndarray | None = None
        self._versions = {"forward": -1, "transposed": -1}

    @property
    def columns(self) -> int:
        """Columns of a panel."""
        return self.blocks * self.width

    def forward(self, version: int) -> np.ndarray:
        """Panels (P, K, columns) of the weights as they are at ``version``."""
        if self._forward is None:
            shape = (self.panels, self.matrix.shape[0], self.columns)
            self._forward = np.empty(shape, self.matrix.dtype)
        if self._versions["forward"] != version:
            args = (self._forward, self.matrix, self.blocks, self.width)
            matmul.pack(*args, work=8.0 * self.matrix.size)
            self._versions["forward"] = version
        return self._forward

    def transposed(self, version: int) -> np.ndarray:
        """Panels (Q, K, 4 vectors) of Bᵀ, K in the order of A's panels, or plain for one block."""
        rows = self.matrix.shape[0]
        plain = panel_units(1, self.matrix.itemsize)
        # One block means A is an ordinary row-major matrix: its k runs over the columns of B.
        width = self.width if self.in_panels else self.matrix.shape[1]
        depth = self.panels * self.columns if self.in_panels else self.matrix.shape[1]
        if self._transposed is None:
            shape = (-(-rows // plain), depth, plain)
            self._transposed = np.empty(shape, self.matrix.dtype)
        if self._versions["transposed"] != version:
            args = (self._transposed, self.matrix, self.blocks, width)
            matmul.pack_transposed(*args, work=8.0 * self.matrix.size)
            self._versions["transposed"] = version
        return self._transposed

    in_panels = False


class PackedGates(Packed):
    """A matrix whose product is kept in panel order: a cell's gates."""

    in_panels = True
