"""One output bound together with a loss of whole sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels import combine
from fastlstm.kernels.program import Program
from fastlstm.layers.op import Op
from fastlstm.losses.sequences import SequenceArrays, SequenceLoss
from fastlstm.memory import Plan
from fastlstm.models.goals import Goal
from fastlstm.models.head import Head


class SequenceHead(Head):
    """The loss of each sequence of an output; its metrics see rows, as those of every head."""

    def __init__(
        self,
        goal: Goal,
        y: np.ndarray,
        d_y: np.ndarray | None,
        mask: np.ndarray,
        plan: Plan,
        *,
        weighted: bool,
        labels: int | None = None,
    ) -> None:
        super().__init__(goal, y, d_y, mask, plan, weighted=weighted, labels=labels)
        assert isinstance(goal.loss, SequenceLoss)
        self._loss, self._mask = goal.loss, mask
        self._losses = plan.array((y.shape[1],), y.dtype)
        self._d_y = y[:0] if d_y is None else d_y
        arrays = SequenceArrays(
            self.total, self._d_y, self._losses, self.y_true, y, mask, self.weights
        )
        self._record = goal.loss.bind_reduced(arrays, plan)
        self._op: Any = None

    def fuse(self, op: Op, activation: Any) -> None:
        if activation in self._loss.refused:
            raise ValueError(
                f"{self._loss.name} takes logits, but the output has been through "
                f"activation={activation!r}: leave the activation of the last layer out"
            )
        self._op = op

    def leave_out(self) -> None:
        """The output's rows that do not count are not read; their gradient is zero."""

    def record_loss(self, program: Program) -> None:
        self._record(program, self._op)
        if self.goal.weight != 1.0 and len(self._d_y):
            flat = self._d_y.reshape(-1)
            program.add(combine.scale, flat, self.goal.weight, work=1.0 * flat.size)

    def explain(self, where: np.ndarray) -> None:
        self._loss.explain(self._losses, self.y_true, self._mask, where)
