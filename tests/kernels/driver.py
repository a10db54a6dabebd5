"""Runs the recurrent driver on arrays in public order, (batch, time, features)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels import masks, matmul, recurrent
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.cell import Feed, is_apart, panel_units, tile_layout

LAUNCH = 1e9  # work that is shared between the threads where there are several


def _time_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.swapaxes(0, 1))


class Driver:
    """One cell with its weights, laid out for sequences of one shape."""

    def __init__(
        self,
        cell: Any,
        x,
        kernel,
        recurrent_kernel,
        bias,
        mask=None,
        chunk=3,
        rows=2,
        unpacked=False,
    ) -> None:
        self.cell, self.dtype = cell, x.dtype
        self.rows = rows
        self.batch, self.steps, self.depth = x.shape
        self.units = len(recurrent_kernel)
        self.width = panel_units(cell.blocks, x.itemsize)
        self.plain = panel_units(1, x.itemsize)
        self.panels = -(-self.units // self.width)
        self.columns = cell.blocks * self.width
        self.chunk = min(chunk, self.steps)
        self.x = _time_first(x)
        self.mask = self._empty(0, self.batch, dtype=np.uint8)
        if mask is not None:
            self.mask = _time_first(mask).astype(np.uint8)
        self.zones = 2 * [self._empty(0, 1, self.batch, self.units)]
        self.w, self.u = self._pack(kernel), self._pack(recurrent_kernel)
        biases = bias.reshape(-1, kernel.shape[1])
        self.biases = [self._pack(row[None]).reshape(self.panels, self.columns) for row in biases]
        if unpacked:
            self.w, self.u = kernel[None], recurrent_kernel[None]
            self.biases = [row[None] for row in biases]
        self.w_turned = self._pack_transposed(kernel)
        self.u_turned = self._pack_transposed(recurrent_kernel)

    def _empty(self, *shape, dtype=None) -> np.ndarray:
        """An array of NaN, so that whatever is read before it is written shows."""
        return np.full(shape, 0 if dtype else np.nan, dtype or self.dtype)

    def _pack(self, matrix) -> np.ndarray:
        packed = self._empty(self.panels, len(matrix), self.columns)
        matmul.pack(packed, matrix, self.cell.blocks, self.width)
        return packed

    def _pack_transposed(self, matrix) -> np.ndarray:
        packed = self._empty(-(-len(matrix) // self.plain), self.panels * self.columns, self.plain)
        matmul.pack_transposed(packed, matrix, self.cell.blocks, self.width)
        return packed

    def _panels(self, state) -> np.ndarray:
        """A state (batch, units) in panel order, zero beyond the last unit."""
        padded = np.zeros((self.batch, self.panels * self.width), self.dtype)
        padded[:, : self.units] = state
        return padded.reshape(self.batch, self.panels, self.width).swapaxes(0, 1)

    def _from_panels(self, panels) -> np.ndarray:
        return np.concatenate(list(panels), axis=1)[:, : self.units]

    def forward(self, states, *, saving=True, split=None):
        """All outputs and the last states; ``split`` starts a second launch at that step."""
        others, slots = len(states) - 1, self.steps + 1
        self.h = self._empty(slots, self.batch, self.units)
        carry_slots = slots if saving else 2
        self.carry = self._empty(others, carry_slots, self.panels, self.batch, self.width)
        gate_slots = self.steps if saving else self.chunk
        shape = self.panels, gate_slots, self.batch, self.columns
        self.gates = self.gates_h = self._empty(*shape)
        if is_apart(self.cell):
            self.gates_h = self._empty(*shape)
        self.h[0] = states[0]
        for index, state in enumerate(states[1:]):
            self.carry[index, 0] = self._panels(state)
        for start, stop in ((0, split), (split, self.steps)) if split else ((0, self.steps),):
            recurrent.forward(
                self.cell, Feed(), self.h, self.h, self.carry, self.gates, self.gates_h, self.x,
                self.mask, self.h[0, :0], *self.zones, self.w, self.u, self.biases[0],
                self.biases[-1], self.h[0, :0], self.rows, start, stop, self.chunk,
                work=LAUNCH,
            )  # fmt: skip
        last = self.carry[:, self.steps % carry_slots]
        return self.h[1:].swapaxes(0, 1), [self.h[-1], *map(self._from_panels, last)]

    def backward(self, d_outputs, d_states, *, split=None):
        """Gradients of x, the states before, kernel, recurrent kernel and bias."""
        d_h = self._empty(len(self.u_turned), self.batch, self.plain)
        padded = np.zeros((self.batch, len(d_h) * self.plain), self.dtype)
        padded[:, : self.units] = d_states[0]
        d_h[...] = padded.reshape(self.batch, len(d_h), self.plain).swapaxes(0, 1)
        d_carry = np.zeros((len(d_states) - 1, 1, *self.carry.shape[2:]), self.dtype)
        for index, d_state in enumerate(d_states[1:]):
            d_carry[index, 0] = self._panels(d_state)
        d_out = self._empty(0, self.batch, self.units)
        if d_outputs is not None:
            d_out = _time_first(d_outputs)
        for start, stop in ((split, self.steps), (0, split)) if split else ((0, self.steps),):
            recurrent.backward(
                self.cell, Feed(), self.gates, self.gates_h, d_h, d_h, d_carry, d_out, self.h,
                self.carry, self.mask, self.h[0, :0], *self.zones, self.u_turned, self.h[0, :0],
                self.rows, start, stop, True, work=LAUNCH,
            )  # fmt: skip
        h = self.h[:-1].reshape(-1, self.units)
        d_kernel = self._transposed(self.x.reshape(-1, self.depth), 1, self.gates)
        d_recurrent = self._transposed(h, 1, self.gates_h)
        d_bias = d_recurrent[-1]
        if is_apart(self.cell):
            d_bias = np.stack([d_kernel[-1], d_bias])
        d_states_before = [
            np.concatenate(list(d_h), axis=1)[:, : self.units],
            *(self._from_panels(d_state[0]) for d_state in d_carry),
        ]
        return self._d_x(), d_states_before, d_kernel[:-1], d_recurrent[:-1], d_bias

    def _transposed(self, a, ones, gates) -> np.ndarray:
        rows, depth = a.shape
        d = self._empty(depth + ones, self.cell.blocks * self.units)
        partial = self._empty(self.panels, depth + ones, self.columns)
        packed = self._empty(3, matmul.packed_size(depth + ones))
        room = 3 * matmul.PANELS_AHEAD * matmul.SUM_BLOCK * self.columns
        gates = gates.reshape(self.panels, rows, self.columns)
        matmul.multiply_transposed(
            tile_layout(self.cell.blocks), self.cell.blocks, d, partial, packed,
            self._empty(room), a, gates.reshape(-1), rows, ones, False, self.mask.reshape(-1),
            work=LAUNCH,
        )  # fmt: skip
        return d

    def _d_x(self) -> np.ndarray:
        rows = self.steps * self.batch
        d_x = self._empty(rows, self.depth)
        scratch = self._empty(3, matmul.scratch_size(self.w_turned.itemsize))
        matmul.multiply(
            Linear(), d_x, scratch, self.gates.reshape(-1),
            self.columns, rows * self.columns, self.panels, self.columns,
            self.w_turned, np.zeros(0, self.dtype), 1, np.zeros(0, int), self.mask.reshape(-1),
            work=LAUNCH,
        )  # fmt: skip
        if self.mask.size:
            masks.clear_masked(d_x, self.mask.reshape(-1), work=LAUNCH)
        return d_x.reshape(self.steps, self.batch, self.depth).swapaxes(0, 1)
