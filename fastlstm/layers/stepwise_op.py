"""A recurrent layer that has products of its own between two steps, bound to arrays."""

from __future__ import annotations

import numpy as np

from fastlstm.kernels import layout, matmul
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.program import Program
from fastlstm.layers.recurrent_op import NO_MASK, NO_ORIGIN, RecurrentOp
from fastlstm.memory import Plan


class StepwiseOp(RecurrentOp):
    """Base class: what is recorded is one step after the other, with row-major products between.

    ``d_state``, (B, output size), is the gradient of h that passed by a step, ``d_fed`` that which
    came back through its product.
    """

    d_state: np.ndarray
    d_fed: np.ndarray

    def _lay_out_products(self, plan: Plan) -> None:
        self.unpacked = False
        # Of its own: both directions of a layer may be at work at once.
        size = matmul.scratch_size(self.layer.dtype.itemsize)
        self.scratch_step = plan.array((self.threads, size), self.layer.dtype)
        self.no_bias = np.empty(0, self.layer.dtype)

    def _steps_ahead(self) -> int:
        return 1

    @staticmethod
    def _slot(array: np.ndarray, step: int) -> np.ndarray:
        return array[step % len(array)]

    def _record_product(
        self, program: Program, out: np.ndarray, a: np.ndarray, depth: int, panels: np.ndarray
    ) -> None:
        program.add(
            matmul.multiply,
            Linear(), out, self.scratch_step, a, depth, 0, 1, depth, panels, self.no_bias, 1,
            NO_ORIGIN, NO_MASK,
            work=2.0 * out.size * depth,
        )  # fmt: skip

    def _record_given_gradients(self, program: Program) -> None:
        first, *others = self._d_given
        layout.record_copy(program, first, self.d_state)
        program.add(layout.add, first[np.newaxis], self.d_fed[np.newaxis])
        for target, d_carry in zip(others, self.d_carry[:, 0], strict=True):
            program.add(layout.from_panels, target, d_carry)

    def initial_gradients(self) -> list[np.ndarray]:
        return [self.d_state + self.d_fed, *self._unpacked(self.d_carry[:, 0])]
