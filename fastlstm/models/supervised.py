"""Layers bound to a batch together with its targets and loss: one step of training or testing."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from fastlstm.kernels import layout
from fastlstm.layers.base import Layer
from fastlstm.layers.chain import Chain, has_time
from fastlstm.layers.dense import DenseOp
from fastlstm.losses import Loss
from fastlstm.memory import Plan
from fastlstm.metrics import Metric
from fastlstm.training.data import Data


class Supervised(Chain):
    """A chain that also holds targets, weights and the loss of each row.

    Rows are samples, or all steps of all samples where the output is a sequence.
    """

    def __init__(
        self,
        layers: list[Layer],
        shape: tuple[int, ...],
        plan: Plan,
        *,
        loss: Loss,
        weighted: bool,
        saving: bool,
        training: bool,
    ) -> None:
        super().__init__(layers, shape, plan, saving=saving, training=training)
        self.loss = loss
        steps_and_batch, classes = self.y.shape[:-1], self.y.shape[-1]
        rows = int(np.prod(steps_and_batch))
        dtype = self.y.dtype
        target_shape = steps_and_batch if loss.sparse else self.y.shape
        self.y_true = plan.array(target_shape, np.dtype(np.int32) if loss.sparse else dtype)
        self.weights = plan.array(steps_and_batch if weighted else (0,), dtype)
        self.row_loss = plan.array((rows,), dtype)
        self.rows_y = self.y.reshape(rows, classes)
        self.rows_true = self.y_true.reshape((rows,) if loss.sparse else (rows, classes))
        self.rows_d_y = self.d_y.reshape(rows, classes) if saving else np.empty((0, classes), dtype)
        self.rows_weights = self.weights.reshape(-1)
        self._no_weights = np.empty(0, dtype)
        self._last = cast(Any, self.ops[-1])
        activation = getattr(layers[-1], "activation", None)
        self.fused = (
            isinstance(self._last, DenseOp)
            and loss.fuses is not None
            and loss.fuses == activation
            and not loss.from_logits
        )
        if self.fused:
            self._last.logits = True
        self._index = np.empty(self.y.shape[-2], np.intp)
        timed = self.y.ndim == 3
        self._inputs = [
            (_with_steps(self.x, has_time(self.x.ndim, layers[0].takes_ids)), "x"),
            (_with_steps(self.y_true, timed), "y"),
        ]
        if weighted:
            self._inputs.append((_with_steps(self.weights, timed), "weight"))

    def load(self, data: Data, index: np.ndarray) -> None:
        """Copy the samples ``index`` of the data in, time first."""
        np.copyto(self._index, index)
        for target, name in self._inputs:
            source = getattr(data, name)
            source = source.reshape(source.shape[0], target.shape[0], target.shape[2])
            layout.gather(target, source, self._index, work=2.0 * target.size)

    def evaluate(self) -> float:
        """Compute the output, the loss, and the loss's gradient where one is kept."""
        self.forward()
        return self.loss.compute(
            self.rows_d_y,
            self.row_loss,
            self.rows_true,
            self.rows_y,
            self.rows_weights,
            self.fused or self.loss.from_logits,
        )

    def update(self, metrics: list[Metric]) -> None:
        """Let metrics see this batch; as in Keras, sample weights are for the loss alone."""
        logits = self.fused
        if logits and not all(metric.accepts_logits for metric in metrics):
            self._last.finish()
            logits = False
        from_logits = logits or self.loss.from_logits
        for metric in metrics:
            metric.update(self.rows_true, self.rows_y, self._no_weights, from_logits)


def _with_steps(target: np.ndarray, timed: bool) -> np.ndarray:
    """View of a batch as (T, B, D); one step where it has no time."""
    if timed:
        return target.reshape(target.shape[0], target.shape[1], -1)
    return target.reshape(1, target.shape[0], -1)
