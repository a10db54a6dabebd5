"""Copies of a weight matrix in panel order, to be made anew when the weights have changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels import columns, matmul
from fastlstm.kernels.cell import panel_units
from fastlstm.kernels.program import Program
from fastlstm.memory import aligned


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

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_forward": None, "_transposed": None}

    @property
    def columns(self) -> int:
        """Columns of a panel."""
        return self.blocks * self.width

    @property
    def forward_shape(self) -> tuple[int, int, int]:
        """Shape of ``forward``."""
        return self.panels, self.matrix.shape[0], self.columns

    @property
    def transposed_shape(self) -> tuple[int, int, int]:
        """Shape of ``transposed``."""
        plain = panel_units(1, self.matrix.itemsize)
        depth = self.panels * self.columns if self.in_panels else self.matrix.shape[1]
        return -(-self.matrix.shape[0] // plain), depth, plain

    @property
    def forward(self) -> np.ndarray:
        """Panels (P, K, columns) of B, as ``pack_forward`` left them."""
        if self._forward is None:
            self._forward = aligned(self.forward_shape, self.matrix.dtype)
        return self._forward

    @property
    def transposed(self) -> np.ndarray:
        """Panels (Q, K, 4 vectors) of Bᵀ, K in the order of A's panels, or plain for one block."""
        if self._transposed is None:
            self._transposed = aligned(self.transposed_shape, self.matrix.dtype)
        return self._transposed

    def pack_forward(self, program: Program) -> None:
        """Record the packing of B."""
        args = (self.forward, self.matrix, self.blocks, self.width)
        program.add(matmul.pack, *args, work=8.0 * self.matrix.size)

    def pack_transposed(self, program: Program) -> None:
        """Record the packing of Bᵀ."""
        # One block means A is an ordinary row-major matrix: its k runs over the columns of B.
        width = self.width if self.in_panels else self.matrix.shape[1]
        args = (self.transposed, self.matrix, self.blocks, width)
        program.add(matmul.pack_transposed, *args, work=8.0 * self.matrix.size)

    in_panels = False


class PackedGates(Packed):
    """A matrix whose product is kept in panel order: a cell's gates."""

    in_panels = True


class PackedColumns(PackedGates):
    """Some of the gates' columns, for a product of their own.

    Parameters
    ----------
    matrix : ndarray
        View of all columns of the weights, (K, N).
    start, count : int
        The first of the columns, and how many.
    blocks : int
        Groups that these columns fall into.
    """

    def __init__(self, matrix: np.ndarray, start: int, count: int, blocks: int) -> None:
        super().__init__(np.empty((len(matrix), count), matrix.dtype), blocks)
        self.whole, self.start = matrix, start

    def _record_taking(self, program: Program) -> None:
        args = (self.matrix, self.whole, self.start)
        program.add(columns.take_columns, *args, work=2.0 * self.matrix.size)

    def pack_forward(self, program: Program) -> None:
        self._record_taking(program)
        super().pack_forward(program)

    def pack_transposed(self, program: Program) -> None:
        self._record_taking(program)
        super().pack_transposed(program)
