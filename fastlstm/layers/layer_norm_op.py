"""An LSTM whose sums are normalised, bound to arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm.kernels import dropout as dropping
from fastlstm.kernels import layer_norm, layout, matmul, normalized_lstm
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.cell import PLAIN
from fastlstm.kernels.program import Program
from fastlstm.layers.backwards import BackwardsOp
from fastlstm.layers.packed import Packed
from fastlstm.layers.recurrent_op import NO_MASK, NO_ORIGIN
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.stepwise_op import StepwiseOp
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.layer_norm_lstm import LayerNormLSTM

# Steps whose x·W is taken at once, where nothing is saved.
_AHEAD = 16


class LayerNormOp(StepwiseOp):
    """Sequence forward and back-propagation through time; see ``kernels.normalized_lstm``.

    All arrays are rows: ``of_x`` and ``of_h`` are the products, ``gates`` and ``cells`` what is
    made of them. c has one panel, of all units.
    """

    layer: LayerNormLSTM

    @property
    def _carry_panels(self) -> tuple[int, int, int]:
        return 1, self.batch, self.layer.units

    def _lay_out_gates(self, plan: Plan, saving: bool) -> None:
        self._lay_out_products(plan)
        dtype, units = self.layer.dtype, self.layer.units
        slots = self.steps if saving else 1
        ahead = self.steps if saving else min(self.steps, _AHEAD)
        self.of_x = plan.array((ahead, self.batch, 4 * units), dtype)
        self.of_h = plan.array((slots, self.batch, 4 * units), dtype)
        self.gates = self.gates_h = plan.array(self.of_h.shape, dtype)
        if self.zones.count > 1:  # where there is room for what the step makes of c
            self.cells = self.zones.made[1]
        else:
            self.cells = plan.array((slots, self.batch, units), dtype)
        self.moments = plan.array((6, slots, self.batch), dtype)

    @property
    def _weights(self) -> list[Packed]:
        return [self.layer.packed_kernel, self.layer.packed_recurrent]

    def _norm(self, name: str) -> list[np.ndarray]:
        return [self.layer.param(f"{name}_{part}") for part in ("gamma", "beta")]

    def record_steps(self, program: Program, start: int, stop: int) -> None:
        layer = self.layer
        kernel, recurrent = (weights.forward for weights in self._weights)
        bias = np.zeros(4 * layer.units, layer.dtype)
        if layer.use_bias:
            bias = layer.param("bias")
        norms = [*self._norm("kernel"), *self._norm("recurrent"), *self._norm("state")]
        ahead = len(self.of_x)
        for t in range(start, stop):
            if t == start or t % ahead == 0:
                last = min(stop, (t // ahead + 1) * ahead)
                out = self.of_x[t % ahead :][: last - t].reshape(-1, 4 * layer.units)
                self._record_product(program, out, self.x[t:last].reshape(-1), self.depth, kernel)
            slot = t % len(self.of_h)
            h, c = self._slot(self.h, t + 1), self._slot(self.carry[0, :, 0], t + 1)
            c_before = self._slot(self.carry[0, :, 0], t)
            of_h = self.of_h[slot]
            fed = self._slot(self.fed, t).reshape(-1)
            self._record_product(program, of_h, fed, layer.units, recurrent)
            program.add(
                normalized_lstm.forward,
                self.cell, self.feed, h, c, self.gates[slot], self.cells[slot], self.moments,
                self._slot(self.h, t), c_before, self.of_x[t % ahead], of_h, self._counts(t),
                self.zones.values, bias, *norms, layer.norm_epsilon, slot, t,
                work=60.0 * of_h.size,
            )  # fmt: skip
            if self.kept is not None:
                program.add(dropping.keep, self._slot(self.fed, t + 1), h, self._factors)

    def _counts(self, step: int) -> np.ndarray:
        """Which rows count at a step, (B,), or (0,) for all."""
        counts: np.ndarray = self.mask[step] if len(self.mask) else self.mask.reshape(-1)
        return counts

    # -- backward -----------------------------------------------------------------------------

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        super().bind_backward(d_y, plan, need_d_x)
        dtype, shape = self.layer.dtype, self.h.shape[1:]
        self.d_of_h = plan.array(self.of_h.shape, dtype)
        self.d_cells = plan.array(self.cells.shape, dtype)
        self.d_state, self.d_fed = plan.array(shape, dtype), plan.array(shape, dtype)
        self.d_made = plan.array(shape, dtype)
        # Not in the arena, where the zeros would not last.
        self._nothing = np.zeros(shape, dtype)

    def _bind_weight_gradients(self, plan: Plan) -> None:
        columns, dtype = self.layer.packed_kernel.columns, self.layer.dtype
        panels = self.layer.packed_kernel.panels
        size = self.threads * matmul.PANELS_AHEAD * matmul.SUM_BLOCK * columns
        self._scratches = [
            plan.scratch(
                ((panels, depth, columns), dtype),
                ((self.threads, matmul.packed_size(depth)), dtype),
                ((size,), dtype),
            )
            for depth in (self.depth, self.layer.units)
        ]

    @property
    def backward_weights(self) -> list[Packed]:
        packed = [self.layer.packed_recurrent]
        return packed if self.d_x is None else [*packed, self.layer.packed_kernel]

    def _record_start(self, program: Program) -> None:
        for array in (self.d_carry, self.d_state, self.d_fed):
            layout.record_clear(program, array)
        if self.d_final:
            layout.record_copy(program, self.d_state, self.d_final[0])
            layout.record_copy(program, self.d_carry, self.d_final[1])

    def record_through_time(self, program: Program, segment: Segment = WHOLE) -> None:
        if segment.last:
            self._record_start(program)
        if self.zeroes:
            self._record_zeros(program, self.d_y, segment)
        layer, steps = self.layer, segment.steps or self.steps
        gamma_h, _ = self._norm("recurrent")
        for t in reversed(range(steps)):
            d_out = self._nothing
            if layer.return_sequences:
                d_out = self.d_y[t]
            elif segment.last and t == steps - 1:
                d_out = self.d_y
            if self.d_hs is not None:
                kept = self.d_hs[t]
                layout.record_copy(program, kept, self.d_state)
                for part in (self.d_fed, d_out):
                    program.add(layout.add, kept[np.newaxis], part[np.newaxis])
            d = self.d_of_h[t]
            program.add(
                normalized_lstm.backward,
                self.cell, self.feed, self.gates[t], d, self.d_cells[t], self.d_state,
                self.d_carry[0, 0, 0], self.d_made, self.cells[t], self.moments, self.d_fed, d_out,
                self.carry[0, t, 0], self.of_h[t], self._counts(t), self.zones.values, gamma_h,
                *self._norm("state"), t, t, work=40.0 * d.size,
            )  # fmt: skip
            panels = layer.packed_recurrent.transposed
            self._record_product(program, self.d_fed, d.reshape(-1), d.shape[1], panels)
            if self.kept is not None:
                program.add(dropping.keep, self.d_fed, self.d_fed, self._factors)

    def _record_weight_gradients(self, program: Program, segment: Segment) -> None:
        grads = dict(zip(self.layer.weight_names, self.layer.grads(), strict=True))
        more = self.adds or not segment.last
        rows = segment.rows
        moments = [segment.of(part).reshape(-1) for part in self.moments]
        mask = segment.of(self.mask).reshape(-1)
        parts = (
            ("kernel", self.gates, self.of_x, moments[:2]),
            ("recurrent", self.gates, self.of_h, moments[2:4]),
            ("state", self.d_cells, self.cells, moments[4:]),
        )
        for name, d, values, scales in parts:
            program.add(
                layer_norm.weight_gradients, grads[f"{name}_gamma"], grads[f"{name}_beta"],
                rows(d), rows(values), *scales, more, work=6.0 * rows(values).size,
            )  # fmt: skip
        if self.layer.use_bias:  # which is added where a beta is
            layout.record_copy(program, grads["bias"], grads["kernel_beta"])
        # From here on the gates' gradient is that of x·W.
        gamma, _ = self._norm("kernel")
        program.add(
            layer_norm.input_gradient, rows(self.gates), rows(self.of_x), *moments[:2], gamma,
            work=15.0 * rows(self.gates).size,
        )  # fmt: skip
        fed = self.fed[:-1]
        products = ("kernel", self.x, self.gates), ("recurrent_kernel", fed, self.d_of_h)
        for (name, a, d), scratch in zip(products, self._scratches, strict=True):
            program.add(
                matmul.multiply_transposed,
                PLAIN, 1, grads[name], *scratch, rows(a), rows(d).reshape(-1), 0, 0, more, mask,
                work=2.0 * len(rows(a)) * grads[name].size,
            )  # fmt: skip

    def _record_input_gradient(self, program: Program, d_x: np.ndarray, mask: np.ndarray) -> None:
        columns, steps = 4 * self.layer.units, len(d_x)
        out, gates = d_x.reshape(-1, self.depth), self.gates[:steps].reshape(-1)
        program.add(
            matmul.multiply,
            Linear(), out, self.scratch_rows, gates, columns, 0, 1, columns,
            self.layer.packed_kernel.transposed, self.no_bias, 1, NO_ORIGIN, NO_MASK,
            work=2.0 * out.size * columns,
        )  # fmt: skip


class BackwardsLayerNormOp(BackwardsOp, LayerNormOp):
    """The same from the last step to the first."""
