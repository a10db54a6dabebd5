"""The gate math of one time step, on one thread: what the sequence driver does for each step."""

from __future__ import annotations

import numba
import numpy as np

from bench.shapes import Row
from fastlstm.cells.lstm import LSTMCell
from fastlstm.kernels.cell import (
    cell_forward,
    load_blocks,
    load_states,
    panel_units,
    store_blocks,
    store_states,
)
from fastlstm.kernels.jit import FASTMATH
from fastlstm.kernels.simd import lanes
from fastlstm.kernels.tile import multiply_panel

CELL = LSTMCell()


class Step:
    """Arrays of one step of a row's last layer, in the driver's panel order."""

    def __init__(self, row: Row) -> None:
        units = row.units[-1]
        width = panel_units(CELL.blocks, 4)
        panels = -(-units // width)
        columns = CELL.blocks * width
        rng = np.random.default_rng(0)
        self.h = rng.standard_normal((row.batch, panels * width), dtype=np.float32)
        self.u = rng.standard_normal((panels, panels * width, columns), dtype=np.float32)
        self.u /= np.float32(np.sqrt(units))
        self.gates = np.zeros((panels, row.batch, columns), np.float32)
        self.carry = np.zeros((CELL.states - 1, panels, row.batch, width), np.float32)
        self.h_next = np.zeros_like(self.h)
        self.flops = 2.0 * self.gates.size * self.h.shape[1]

    def multiply(self) -> None:
        """gates += h·U, panel by panel."""
        _multiply(CELL, self.gates, self.h, self.u)

    def activate(self) -> None:
        """The cell's equations for all units."""
        _activate(CELL, self.h_next, self.carry, self.gates)


# Not cached on disk: the library's cache is keyed by the library's own sources.
@numba.njit(fastmath=FASTMATH)
def _multiply(cell, gates, h, u):
    panels, batch, columns = gates.shape
    units = h.shape[1]
    for p in range(panels):
        multiply_panel(
            cell, gates, p * batch * columns, columns, h, 0, units, 0, 1,
            u, p * units * columns, batch, 1, units,
        )  # fmt: skip


@numba.njit(fastmath=FASTMATH)
def _activate(cell, h, carry, gates):
    _, panels, batch, width = carry.shape
    columns = gates.shape[2]
    step = lanes(gates)
    stride = panels * batch * width
    for p in range(panels):
        for r in range(batch):
            at = (p * batch + r) * columns
            carry_at = (p * batch + r) * width
            h_at = r * h.shape[1] + p * width
            for v in range(0, width, step):
                states = load_states(cell, h, h_at + v, step, carry, carry_at + v, stride)
                saved, states = cell_forward(cell, load_blocks(cell, gates, at + v, width), states)
                store_blocks(saved, gates, at + v, width)
                store_states(states, h, h_at + v, step, carry, carry_at + v, stride)
