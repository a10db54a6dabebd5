"""A GRU whose reset gate stands before the product, bound to arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastlstm.kernels import columns, layout, matmul, reset
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.cell import tile_layout
from fastlstm.kernels.program import Program
from fastlstm.layers.backwards import BackwardsOp
from fastlstm.layers.packed import Packed, PackedColumns
from fastlstm.layers.recurrent_op import NO_MASK, NO_ORIGIN, RecurrentOp
from fastlstm.layers.segment import Segment
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.gru import GRU


class Stage:
    """Weights of one of the step's two products: some columns of a GRU's, and what is made of them.

    Parameters
    ----------
    layer : GRU
        The layer.
    cell : Static
        What comes after the product.
    start : int
        The first of the layer's blocks that it has.
    """

    def __init__(self, layer: GRU, cell: Any, start: int) -> None:
        units = layer.units
        self.cell, self.start, self.count = cell, start * units, cell.blocks * units

        def part(matrix: np.ndarray) -> PackedColumns:
            return PackedColumns(matrix, self.start, self.count, cell.blocks)

        self.kernel = part(layer.param("kernel"))
        self.recurrent = part(layer.param("recurrent_kernel"))
        bias = layer.param("bias") if layer.use_bias else np.zeros(3 * units, layer.dtype)
        self.bias = part(bias[np.newaxis])

    @property
    def packed(self) -> list[Packed]:
        """All of them, as the driver takes them."""
        return [self.kernel, self.recurrent, self.bias]


class ResetOp(RecurrentOp):
    """Sequence forward and back-propagation through time; see ``fastlstm.kernels.reset``."""

    layer: GRU

    def _lay_out_gates(self, plan: Plan, saving: bool) -> None:
        self.unpacked = False
        self.chunk = 1
        slots, dtype = self.steps if saving else 1, self.layer.dtype
        self.stages = self.layer.stages
        self.stage_gates = [
            plan.array((stage.kernel.panels, slots, self.batch, stage.kernel.columns), dtype)
            for stage in self.stages
        ]
        self.reset = plan.array((slots, *self.h.shape[1:]), dtype)

    def _steps_ahead(self) -> int:
        return 1

    @property
    def _weights(self) -> list[Packed]:
        return [packed for stage in self.stages for packed in stage.packed]

    def record_steps(self, program: Program, start: int, stop: int) -> None:
        cells = [stage.cell for stage in self.stages]
        weights = [[packed.forward for packed in stage.packed] for stage in self.stages]
        (w, u, bias), (w_late, u_late, bias_late) = weights
        program.add(
            reset.forward,
            *cells, self.feed, self.h, self.fed, self.reset, *self.stage_gates, self.x, self.mask,
            self._factors, self.zones.values, self.zones.made,
            w, w_late, u, u_late, bias[:, 0], bias_late[:, 0],
            self.rows, start, stop, work=self.work.flops * (stop - start),
        )  # fmt: skip

    # -- backward -----------------------------------------------------------------------------

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        super().bind_backward(d_y, plan, need_d_x)
        self.d_reset = plan.array(self.d_h.shape, self.layer.dtype)
        if need_d_x:
            self._d_late = plan.array(self.x.shape, self.layer.dtype)

    def _bind_weight_gradients(self, plan: Plan) -> None:
        self.gate_rows = self.stage_gates[0].shape[1] * self.batch
        rows = self.layer.flat_grads.reshape(-1, 3 * self.layer.units)
        self._stage_grads = [
            plan.array((len(rows), stage.count), self.layer.dtype) for stage in self.stages
        ]
        self._stage_products: list[list[Any]] = []
        depth, ones = self.depth, int(self.layer.use_bias)
        seen = self.fed[:-1], self.reset
        for stage, gates, d, h in zip(
            self.stages, self.stage_gates, self._stage_grads, seen, strict=True
        ):
            self._stage_products.append([])
            # The bias follows the last kernel: one product of [h, 1] gives both gradients.
            for a, part, more in ((self.x, d[:depth], 0), (h, d[depth:], ones)):
                shape = (stage.kernel.panels, len(part), stage.kernel.columns)
                scratch = plan.scratch(
                    (shape, self.layer.dtype),
                    ((self.threads, matmul.packed_size(len(part))), self.layer.dtype),
                    ((0,), self.layer.dtype),
                )
                self._stage_products[-1].append((part, scratch, a, gates, more))

    @property
    def backward_weights(self) -> list[Packed]:
        weights: list[Packed] = [stage.recurrent for stage in self.stages]
        if self.d_x is not None:
            weights += [stage.kernel for stage in self.stages]
        return weights

    def _record_back(
        self, program: Program, start: int, stop: int, whole: bool, work: float
    ) -> None:
        cells = [stage.cell for stage in self.stages]
        u, u_late = (stage.recurrent.transposed for stage in self.stages)
        program.add(
            reset.backward,
            *cells, self.feed, *self.stage_gates, self.d_h, self.d_fed, self.d_reset, self.d_out,
            self.h, self.fed, self.mask, self._factors, self.zones.values, u, u_late,
            self.rows_back, start, stop, whole, work=work,
        )  # fmt: skip

    def _record_weight_gradients(self, program: Program, segment: Segment) -> None:
        rows = self.layer.flat_grads.reshape(-1, 3 * self.layer.units)
        for stage, d, products in zip(
            self.stages, self._stage_grads, self._stage_products, strict=True
        ):
            blocks = stage.cell.blocks
            for part, scratch, a, gates, ones in products:
                steps = segment.of(a)
                flat = steps.reshape(-1, steps.shape[2])
                program.add(
                    matmul.multiply_transposed,
                    tile_layout(blocks), blocks, part, *scratch, flat, gates.reshape(-1),
                    self.gate_rows, ones, not segment.last, NO_MASK,
                    work=2.0 * len(flat) * part.size,
                )  # fmt: skip
            if segment.start == 0:  # the last one on the way back: the sum is whole
                work = 2.0 * d.size
                program.add(columns.put_columns, rows, d, stage.start, self.adds, work=work)

    def _record_input_gradient(self, program: Program, d_x: np.ndarray, mask: np.ndarray) -> None:
        late = self._d_late[: len(d_x)]
        for stage, gates, out in zip(self.stages, self.stage_gates, (d_x, late), strict=True):
            width = stage.kernel.columns
            program.add(
                matmul.multiply,
                Linear(), out.reshape(-1, self.depth), self.scratch_rows,
                gates.reshape(-1), width, self.gate_rows * width, stage.kernel.panels, width,
                stage.kernel.transposed, self.no_bias, 1, NO_ORIGIN, NO_MASK,
                work=2.0 * d_x.size * stage.count,
            )  # fmt: skip
        program.add(layout.add, d_x, late, work=1.0 * d_x.size)


class BackwardsResetOp(BackwardsOp, ResetOp):
    """The same from the last step to the first."""
