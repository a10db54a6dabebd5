"""A recurrent layer bound to arrays: its states, its tape, and the launches of the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm.kernels import layout, matmul, recurrent
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.cell import Panels, panel_units
from fastlstm.kernels.parallel import get_num_threads, workers
from fastlstm.kernels.team import TEAM_WORDS
from fastlstm.layers import split
from fastlstm.layers.chain import Op
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.recurrent import Recurrent

# Rows that a panel of W should meet at once; steps are taken together to reach it.
_ROWS_TOGETHER = 128
# Work of one launch: Python sees Ctrl-C between launches, a fraction of a second apart.
_WORK_PER_LAUNCH = 5e9


class RecurrentOp(Op):
    """Sequence forward and back-propagation through time for one layer and shape.

    The arrays are those that ``fastlstm.kernels.recurrent`` describes.
    """

    def __init__(
        self, layer: Recurrent, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool
    ) -> None:
        self.layer, self.cell, self.x, self.mask = layer, layer.cell, x, mask
        self.steps, self.batch, self.depth = x.shape
        units, dtype = layer.units, layer.dtype
        packed = layer.packed_kernel
        self.panels, self.width, self.columns = packed.panels, packed.width, packed.columns
        self.threads = get_num_threads()
        self.by_units = split.by_units(
            self.batch, units, self.cell.blocks, dtype.itemsize, self.threads
        )
        self.team = plan.array((TEAM_WORDS,), np.int64)
        together = -(-_ROWS_TOGETHER * self.threads // self.batch)
        self.chunk = max(1, min(self.steps, together))
        slots = self.steps + 1 if saving or layer.return_sequences else 2
        self.h = plan.array((slots, self.batch, units), dtype)
        others = self.cell.states - 1
        slots = self.steps + 1 if saving else 2
        self.carry = plan.array((others, slots, self.panels, self.batch, self.width), dtype)
        slots = self.steps if saving else self.chunk
        self.gates = plan.array((self.panels, slots, self.batch, self.columns), dtype)
        self.last_h = self.h[self.steps % self.h.shape[0]]
        self.last_carry = self.carry[:, self.steps % self.carry.shape[1]]
        self.y = self.h[1:] if layer.return_sequences else self.last_h
        self.initial_state: list[np.ndarray] | None = None
        self.d_final: list[np.ndarray] | None = None

    # -- forward ------------------------------------------------------------------------------

    def forward(self) -> None:
        self._start()
        layer = self.layer
        w = layer.packed_kernel.forward(layer.version)
        u = layer.packed_recurrent.forward(layer.version)
        bias = layer.packed_bias.forward(layer.version).reshape(self.panels, self.columns)
        work = 2.0 * self.batch * (self.depth + layer.units) * self.cell.blocks * layer.units
        stride = self._steps_per_launch(work)
        for start in range(0, self.steps, stride):
            stop = min(start + stride, self.steps)
            recurrent.forward(
                self.cell, self.h, self.carry, self.gates, self.x, self.mask, w, u, bias,
                self.team, self.by_units, start, stop, self.chunk,
                work=work * (stop - start), most=workers(),
            )  # fmt: skip

    def _start(self) -> None:
        carried = self.layer.carried_states(self.batch)
        if self.initial_state is not None:
            np.copyto(self.h[0], self.initial_state[0])
            for carry, state in zip(self.carry, self.initial_state[1:], strict=True):
                layout.to_panels(carry[0], state)
        elif carried is not None:
            np.copyto(self.h[0], carried[0])
            np.copyto(self.carry[:, 0], carried[1])
        else:
            self.h[0].fill(0)
            self.carry[:, 0].fill(0)

    def _steps_per_launch(self, work: float) -> int:
        """A multiple of the chunk, so that chunks start at the same steps in every launch."""
        return max(1, round(_WORK_PER_LAUNCH / work / self.chunk)) * self.chunk

    def commit(self) -> None:
        if self.layer.stateful:
            self.layer.keep_states(self.last_h, self.last_carry)

    def set_initial_state(self, states: Any) -> None:
        if states is not None:
            states = self.layer.check_states(states, self.batch, "initial_state")
        self.initial_state = states

    def final_states(self) -> list[np.ndarray] | None:
        if not self.layer.return_state:
            return None
        return [self.last_h.copy(), *self._unpacked(self.last_carry)]

    # -- backward -----------------------------------------------------------------------------

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        layer, dtype = self.layer, self.layer.dtype
        units = layer.units
        self.d_y = d_y
        plain = panel_units(1, dtype.itemsize)
        self.d_h = plan.array((-(-units // plain), self.batch, plain), dtype)
        self.d_h_above = plan.array(self.d_h.shape, dtype)
        others = self.cell.states - 1
        self.d_carry = plan.array((others, 1, self.panels, self.batch, self.width), dtype)
        nothing = np.empty((0, self.batch, units), dtype)
        self.d_out = d_y if layer.return_sequences else nothing
        rows, ones = self.steps * self.batch, int(layer.use_bias)
        self.d_x = plan.array(self.x.shape, dtype) if need_d_x else None
        self.rows_x = self.x.reshape(rows, self.depth)
        self.rows_h = self.h[: self.steps].reshape(rows, units)
        self.rows_gates = self.gates.reshape(self.panels, rows, self.columns)
        grads = layer.flat_grads
        kernel_size = self.depth * self.cell.blocks * units
        self.d_kernel = grads[:kernel_size].reshape(self.depth, -1)
        # The bias follows the recurrent kernel: one product of [h, 1] gives both gradients.
        self.d_recurrent = grads[kernel_size:].reshape(units + ones, -1)
        self.scratch_kernel = self._product_scratch(plan, self.depth)
        self.scratch_recurrent = self._product_scratch(plan, units + ones)
        (self.scratch_rows,) = plan.scratch(((self.threads, matmul.ROW_BLOCK * plain), dtype))
        self.no_bias = np.empty(0, dtype)

    def _product_scratch(self, plan: Plan, depth: int) -> list[np.ndarray]:
        dtype = self.layer.dtype
        return plan.scratch(
            ((self.panels, depth, self.columns), dtype),
            ((self.threads, matmul.SUM_BLOCK * (depth + matmul.A_PADDING)), dtype),
            ((self.threads, 0), dtype),
        )

    def backward(self) -> None:
        self._start_backward()
        layer = self.layer
        u = layer.packed_recurrent.transposed(layer.version)
        work = 2.0 * self.batch * layer.units * self.cell.blocks * layer.units
        stride = self._steps_per_launch(work)
        for start in range((self.steps - 1) // stride * stride, -1, -stride):
            stop = min(start + stride, self.steps)
            recurrent.backward(
                self.cell, self.gates, self.d_h, self.d_carry, self.d_out, self.h, self.carry,
                self.mask, u, self.team, self.by_units, start, stop,
                work=work * (stop - start), most=workers(),
            )  # fmt: skip
        self._weight_gradients()
        if self.d_x is not None:
            self._input_gradient()

    def _start_backward(self) -> None:
        self.d_carry.fill(0)
        if self.layer.return_sequences:
            self.d_h.fill(0)
        else:
            layout.to_panels(self.d_h, self.d_y)
        if self.d_final is not None:
            layout.to_panels(self.d_h_above, self.d_final[0])
            self.d_h += self.d_h_above
            for d_carry, d_state in zip(self.d_carry, self.d_final[1:], strict=True):
                layout.to_panels(d_carry[0], d_state)

    def _weight_gradients(self) -> None:
        blocks, ones = self.cell.blocks, int(self.layer.use_bias)
        work = 2.0 * self.rows_x.shape[0] * blocks * self.layer.units
        for d, scratch, rows, extra in (
            (self.d_kernel, self.scratch_kernel, self.rows_x, 0),
            (self.d_recurrent, self.scratch_recurrent, self.rows_h, ones),
        ):
            matmul.multiply_transposed(
                Panels(blocks), d, *scratch, rows, self.rows_gates, extra, True,
                work=work * rows.shape[1], most=self.threads,
            )  # fmt: skip

    def _input_gradient(self) -> None:
        layer, columns = self.layer, self.columns
        rows = self.rows_x.shape[0]
        w = layer.packed_kernel.transposed(layer.version)
        assert self.d_x is not None
        matmul.multiply(
            Linear(), self.d_x.reshape(rows, self.depth), self.scratch_rows,
            self.gates, columns, rows * columns, self.panels, columns, w, self.no_bias,
            work=2.0 * rows * self.depth * self.cell.blocks * layer.units, most=self.threads,
        )  # fmt: skip

    def initial_gradients(self) -> list[np.ndarray]:
        """Copies of the gradients of the states before the first step."""
        d_h = np.empty((self.batch, self.layer.units), self.layer.dtype)
        layout.from_panels(d_h, self.d_h)
        return [d_h, *self._unpacked(self.d_carry[:, 0])]

    def _unpacked(self, carry: np.ndarray) -> list[np.ndarray]:
        out = []
        for panels in carry:
            matrix = np.empty((self.batch, self.layer.units), self.layer.dtype)
            layout.from_panels(matrix, np.ascontiguousarray(panels))
            out.append(matrix)
        return out
