"""A recurrent layer that takes the steps from the last to the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastlstm.kernels import layout
from fastlstm.kernels.program import Program
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.layers.segment import Segment
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.dropout import DropoutOp
    from fastlstm.layers.recurrent import Recurrent


class BackwardsOp(RecurrentOp):
    """A recurrent layer bound to its input in reverse; its output stays in that order.

    What reads the input twice for each step, forward and for W's gradient, wants it in the order of
    the states: so it is copied, which takes a hundredth of what is then done with it.
    """

    causal = False

    def __init__(
        self,
        layer: Recurrent,
        x: np.ndarray,
        mask: np.ndarray,
        plan: Plan,
        *,
        saving: bool,
        training: bool = False,
        dropout: DropoutOp | None = None,
        kept: DropoutOp | None = None,
    ) -> None:
        self._given_x, self._given_mask = x, mask
        turned = plan.array(x.shape, x.dtype), plan.array(mask.shape, mask.dtype)
        super().__init__(
            layer, *turned, plan, saving=saving, training=training, dropout=dropout, kept=kept
        )

    def record_input(self, program: Program, segment: Segment) -> None:
        super().record_input(program, segment)
        layout.record_reversed(program, self.x, self._given_x)
        layout.record_reversed(program, self.mask, self._given_mask)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        super().bind_backward(d_y, plan, need_d_x)
        if need_d_x:
            self._d_turned = plan.array(self.x.shape, self.x.dtype)

    def _record_input_gradient(self, program: Program, d_x: np.ndarray, mask: np.ndarray) -> None:
        super()._record_input_gradient(program, self._d_turned, mask)
        layout.record_reversed(program, d_x, self._d_turned)
