"""A recurrent layer whose output is a product of the cell's, bound to arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm.kernels import dropout as dropping
from fastlstm.kernels import layout, matmul, projection, recurrent
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.cell import PLAIN, Feed
from fastlstm.kernels.program import Program
from fastlstm.layers.backwards import BackwardsOp
from fastlstm.layers.packed import Packed
from fastlstm.layers.recurrent_op import NO_MASK, NO_ORIGIN
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.stepwise_op import StepwiseOp
from fastlstm.layers.zoneout import Zones
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.projected_lstm import ProjectedLSTM


class ProjectedOp(StepwiseOp):
    """Sequence forward and back-propagation through time, a product more between two steps.

    ``h`` is the layer's output, (T+1, B, P); ``made`` is what the cell makes, (T+1, B, H), of
    which h is the product with the projection. The driver is called for one step at a time.
    """

    layer: ProjectedLSTM

    def _lay_out_gates(self, plan: Plan, saving: bool) -> None:
        self._lay_out_products(plan)
        super()._lay_out_gates(plan, saving)
        dtype = self.layer.dtype
        slots = self.steps + 1 if saving else 2
        self.made = plan.array((slots, self.batch, self.layer.units), dtype)

    @property
    def _step(self) -> Feed:
        """What the driver does: zoneout of c, as h is made by the projection."""
        return Feed(zones=self.zones.count, whole=True)

    @property
    def _zones_h(self) -> Zones:
        """What h keeps of itself."""
        return self._more_zones[0]

    @property
    def _weights(self) -> list[Packed]:
        return [*super()._weights, self.layer.packed_projection]

    def _record_feed(self, program: Program) -> None:
        super()._record_feed(program)
        layout.record_clear(program, self.made[0])  # which a row that does not count yet holds

    def record_steps(self, program: Program, start: int, stop: int) -> None:
        layer = self.layer
        w, u, bias, projection_panels = (weights.forward for weights in self._weights)
        for t in range(start, stop):
            # The driver finds both in the same slot.
            fed = self.fed if len(self.fed) == len(self.made) else self.fed[t - t % 2 :][:2]
            program.add(
                recurrent.forward,
                self.cell, self._step, self.made, fed, self.carry, self.gates, self.gates_h,
                self.x, self.mask, self._factors, self.zones.values, self.zones.made,
                w, u, bias[:, 0], bias[:, 0], layer.own_weights,
                self.rows, t, t + 1, self.chunk, work=self.work.flops,
            )  # fmt: skip
            h, made = self._slot(self.h, t + 1), self._slot(self.made, t + 1)
            self._record_product(program, h, made.reshape(-1), layer.units, projection_panels)
            if self._zones_h.count:
                before, zones = self._slot(self.h, t), self._zones_h.at(t)
                program.add(projection.blend, h, before, zones, work=3.0 * h.size)
            if len(self.mask):
                program.add(projection.hold, h, self._slot(self.h, t), self.mask[t])
            if self.kept is not None:
                program.add(dropping.keep, self._slot(self.fed, t + 1), h, self._factors)

    # -- backward -----------------------------------------------------------------------------

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        super().bind_backward(d_y, plan, need_d_x)
        dtype, shape = self.layer.dtype, self.h.shape[1:]
        self.d_projected = plan.array((self.steps, *shape), dtype)
        self.d_state, self.d_fed = plan.array(shape, dtype), plan.array(shape, dtype)
        self.d_made = plan.array(self.made.shape[1:], dtype)
        # Not in the arena, where the zeros would not last.
        self._nothing = np.zeros(shape, dtype)
        # For the driver, whose h is what the cell makes.
        self._no_out = np.empty((0, *self.made.shape[1:]), dtype)

    def _bind_weight_gradients(self, plan: Plan) -> None:
        super()._bind_weight_gradients(plan)
        panels, _, columns = self.layer.packed_projection.forward_shape
        shape = panels, self.layer.units, columns
        size = matmul.PANELS_AHEAD * matmul.SUM_BLOCK * columns
        self._projection_scratch = plan.scratch(
            (shape, self.layer.dtype),
            ((self.threads, matmul.packed_size(self.layer.units)), self.layer.dtype),
            ((self.threads * size,), self.layer.dtype),
        )

    @property
    def backward_weights(self) -> list[Packed]:
        packed = [self.layer.packed_projection, self.layer.packed_recurrent]
        return packed if self.d_x is None else [*packed, self.layer.packed_kernel]

    def _record_start(self, program: Program) -> None:
        for array in (self.d_carry, self.d_h, self.d_fed, self.d_state):
            layout.record_clear(program, array)
        if self.d_final:
            layout.record_copy(program, self.d_state, self.d_final[0])
            for d_carry, d_state in zip(self.d_carry, self.d_final[1:], strict=True):
                program.add(layout.to_panels, d_carry[0], d_state)

    def record_through_time(self, program: Program, segment: Segment = WHOLE) -> None:
        if segment.last:
            self._record_start(program)
        if self.zeroes:
            self._record_zeros(program, self.d_y, segment)
        layer, steps = self.layer, segment.steps or self.steps
        counts = self.mask if len(self.mask) else [self.mask.reshape(-1)] * steps
        for t in reversed(range(steps)):
            d_out = self._nothing
            if layer.return_sequences:
                d_out = self.d_y[t]
            elif segment.last and t == steps - 1:
                d_out = self.d_y
            d = self.d_projected[t]
            program.add(projection.receive, d, self.d_state, self.d_fed, d_out, counts[t])
            if self._zones_h.count:
                program.add(
                    projection.part, d, self.d_state, self._zones_h.at(t), work=3.0 * d.size
                )
            self._record_keeping(program, t)
            panels = layer.packed_projection.transposed
            self._record_product(program, self.d_made, d.reshape(-1), d.shape[1], panels)
            program.add(layout.to_panels, self.d_h, self.d_made)
            program.add(
                recurrent.backward,
                self.cell, self._step, self.gates, self.gates_h, self.d_h, self.d_h,
                self.d_carry, self._no_out, self.made, self.carry, self.mask, self._factors,
                self.zones.values, self.zones.made,
                layer.packed_recurrent.transposed, layer.own_weights, self.rows_back,
                t, t + 1, False, work=40.0 * self.made[0].size,
            )  # fmt: skip
            # What h gave to this step's product.
            columns = self.columns
            gates = self.gates.reshape(-1)[t * self.batch * columns :]
            program.add(
                matmul.multiply,
                Linear(), self.d_fed, self.scratch_step,
                gates, columns, self.gate_rows * columns, self.panels, columns,
                layer.packed_recurrent.transposed, self.no_bias, 1, NO_ORIGIN, NO_MASK,
                work=2.0 * self.d_fed.size * 4 * layer.units,
            )  # fmt: skip
            if len(self.mask):
                program.add(projection.hold, self.d_fed, self._nothing, self.mask[t])
            if self.kept is not None:
                program.add(dropping.keep, self.d_fed, self.d_fed, self._factors)

    def _record_keeping(self, program: Program, step: int) -> None:
        if self.d_hs is not None:  # what goes through the step, and what passes by it
            kept = self.d_hs[step]
            layout.record_copy(program, kept, self.d_projected[step])
            program.add(layout.add, kept[np.newaxis], self.d_state[np.newaxis])

    def _record_weight_gradients(self, program: Program, segment: Segment) -> None:
        super()._record_weight_gradients(program, segment)
        d, steps = self.layer.grads()[-1], segment.steps or self.steps
        made = self.made[1 : 1 + steps].reshape(-1, self.layer.units)
        program.add(
            matmul.multiply_transposed,
            PLAIN, 1, d, *self._projection_scratch, made, self.d_projected.reshape(-1), 0, 0,
            self.adds or not segment.last, NO_MASK, work=2.0 * len(made) * d.size,
        )  # fmt: skip


class BackwardsProjectedOp(BackwardsOp, ProjectedOp):
    """The same from the last step to the first."""
