"""The gate math of time steps, on one thread: what the sequence driver does for each step."""

from __future__ import annotations

import numba
import numpy as np

from bench.shapes import Row
from fastlstm.cells.lstm import LSTMCell
from fastlstm.kernels.cell import (
    cell_forward,
    cell_gates,
    join_states,
    load_blocks,
    load_h,
    panel_units,
    store_carry,
    store_h,
)
from fastlstm.kernels.jit import FASTMATH, inline
from fastlstm.kernels.simd import lanes
from fastlstm.kernels.tile import multiply_panel

CELL = LSTMCell()
# In one call from Python, so that the call itself does not show.
STEPS = 20


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

    def multiply(self, steps: int = STEPS) -> float:
        """gates += h·U, panel by panel, ``steps`` times; the operations of that."""
        _multiply(self.gates, self.h, self.u, steps)
        return 2.0 * steps * self.gates.size * self.h.shape[1]

    def activate(self, steps: int = STEPS) -> float:
        """The cell's equations for all units; number of sigmoids and tanhs in that."""
        _activate(self.h_next, self.carry, self.gates, steps)
        return 5.0 * steps * self.h.size


# Not cached on disk: the library's cache is keyed by the library's own sources.
@numba.njit(fastmath=FASTMATH)
def _multiply(gates, h, u, steps):
    panels, batch, columns = gates.shape
    units = h.shape[1]
    for _ in range(steps):
        for p in range(panels):
            multiply_panel(
                CELL, gates, p * batch * columns, columns, h, 0, units, 0, 1,
                u, p * units * columns, batch, 1, units,
            )  # fmt: skip


@inline
def _activate_rows(h, carry, gates, p, r, pair):
    _, panels, batch, width = carry.shape
    columns = gates.shape[2]
    at = (p * batch + r) * columns
    carry_at = (p * batch + r) * width
    h_at = r * h.shape[1] + p * width
    stride = panels * batch * width
    step = lanes(gates)
    for v in range(0, width, step):
        second = pair * width
        before = load_h(h, h_at + v, pair * h.shape[1], step)
        states = join_states(CELL, before, carry, carry_at + v, second, stride)
        blocks = load_blocks(CELL, gates, gates, at + v, pair * columns, width)
        _, states = cell_forward(CELL, cell_gates(CELL, blocks), states, ())
        # The gates stay as they are, so that every step meets the same values.
        store_h(states[0], h, h_at + v, pair * h.shape[1], step)
        store_carry(states, carry, carry_at + v, second, stride)


@numba.njit(fastmath=FASTMATH)
def _activate(h, carry, gates, steps):
    batch = gates.shape[1]
    for _ in range(steps):
        for p in range(gates.shape[0]):
            for r in range(0, batch, 2):
                _activate_rows(h, carry, gates, p, r, 1 if r + 1 < batch else 0)
