"""One output bound together with a loss of whole sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels import combine, sequences
from fastlstm.kernels.program import Program
from fastlstm.layers.crf import CRFOp
from fastlstm.layers.op import Op
from fastlstm.losses.sequences import SequenceArrays, SequenceLoss
from fastlstm.memory import Plan
from fastlstm.metrics import Metric
from fastlstm.models.goals import Goal
from fastlstm.models.head import Head


class SequenceHead(Head):
    """The loss of each sequence of an output; its metrics see rows, as those of every head.

    Where targets are labels, there are no rows to see: metrics are functions of Python.
    """

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
        # What rows weigh for metrics, without the weights of the sequences and with them.
        self._spread = [
            (given, plan.array(y.shape[:-1] if mask.size or given.size else (0, 0), y.dtype))
            for given in (self._no_weights, self.weights)
        ]

    def fuse(self, op: Op, activation: Any) -> None:
        if activation in self._loss.refused:
            raise ValueError(
                f"{self._loss.name} takes logits, but the output has been through "
                f"activation={activation!r}: leave the activation of the last layer out"
            )
        self._op = op
        if isinstance(op, CRFOp):
            op.scored = True

    def leave_out(self) -> None:
        """The output's rows that do not count are not read; their gradient is zero."""

    def record_loss(self, program: Program) -> None:
        self._record(program, self._op)
        if self.goal.weight != 1.0 and len(self._d_y):
            flats = [self._d_y.reshape(-1)]
            if isinstance(self._op, CRFOp):
                flats.append(self._op.layer.flat_grads)
            for flat in flats:
                program.add(combine.scale, flat, self.goal.weight, work=1.0 * flat.size)

    def record_metrics(self, program: Program) -> None:
        if self.goal.metrics and isinstance(self._op, CRFOp):
            self._op.record_finish(program)
        for given, out in self._spread:
            if self.goal.metrics and out.size:
                program.add(sequences.spread_weights, out, self._mask, given, work=2.0 * out.size)
        super().record_metrics(program)

    def _metric_weights(self, weighted: bool) -> np.ndarray:
        return self._spread[int(weighted)][1].reshape(-1)

    def _call(self, metric: Metric, origin: np.ndarray) -> None:
        if not self._loss.labelled:
            super()._call(metric, origin)
            return
        weights = None
        if self.goal.is_weighted(metric) and self.weights.size:
            weights = self._batch_first(self.weights, origin, timed=False)
        y_true = self._batch_first(self.y_true, origin, timed=False)
        args: list[Any] = [y_true, self._batch_first(self.y, origin), weights]
        if metric.takes_labels and self._mask.size:
            args.append(self._batch_first(self._mask, origin))
        metric.update_state(*args)

    def explain(self, where: np.ndarray) -> None:
        self._loss.explain(self._losses, self.y_true, self._mask, where)
