"""One output bound together with its targets, its loss and its metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels import combine
from fastlstm.kernels.masks import of_classes, weigh
from fastlstm.kernels.program import Program
from fastlstm.layers.dense import DenseOp
from fastlstm.layers.feed import Feed
from fastlstm.layers.op import Op
from fastlstm.losses.base import MEANS, LossArrays
from fastlstm.memory import Plan
from fastlstm.metrics import Metric
from fastlstm.metrics.base import MetricArrays
from fastlstm.models.goals import Goal


class Head:
    """The loss of each row of an output, and what its metrics make of it.

    Rows are samples, or all steps of all samples where the output is a sequence.

    Attributes
    ----------
    total : ndarray
        (1,), the loss of the batch.
    sums : list of ndarray
        What the batch adds to each metric.
    y_true, weights : ndarray
        Targets and weights, which ``feeds`` fill in.
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
        self.goal, self.y = goal, y
        loss, dtype = goal.loss, y.dtype
        steps_and_batch, classes = y.shape[:-1], y.shape[-1]
        rows = int(np.prod(steps_and_batch))
        timed = y.ndim == 3
        target_shape = loss.target_shape(y.shape)
        if loss.labelled:  # as many as there are steps, where nobody has said how many
            target_shape = y.shape[1], labels or y.shape[0]
        self.y_true = plan.array(target_shape, np.dtype(np.int32) if loss.sparse else dtype)
        weighed = steps_and_batch[-1:] if loss.of_sequences else steps_and_batch
        self.weights = plan.array(weighed if weighted else (0,), dtype)
        self.row_loss = plan.array((rows,), dtype)
        self.rows_y = y.reshape(rows, classes)
        self.rows_true = self.y_true.reshape((-1,) if loss.sparse else (rows, target_shape[-1]))
        nothing = np.empty((0, classes), dtype)
        self.rows_d_y = nothing if d_y is None else d_y.reshape(rows, classes)
        self.rows_weights = self.weights.reshape(-1)
        self._no_weights = np.empty(0, dtype)
        self._rows_mask = mask.reshape(-1)
        self._rows_read = self._rows_mask[:0]  # of the gradient of the output
        # The weights of the loss and of the metrics, with and without those of the samples, where
        # some rows do not count.
        size = self._rows_mask.size
        self._masked_weights = [plan.array((size,), dtype) for _ in range(3)]
        # Which rows the loss counts: not those of a class that it ignores.
        self._counted = self._rows_mask
        if loss.ignored is not None:
            self._counted = plan.array((rows,), np.uint8)
            self._masked_weights[0] = plan.array((rows,), dtype)
            self._check_metrics(loss.ignored, classes)
        self._fused: DenseOp | None = None
        self.total = np.zeros(1)
        self.sums = [np.zeros(metric.sums_size(classes)) for metric in goal.metrics]
        self._metric_scratch = [
            plan.scratch(((metric.parts_size(rows, classes),), np.float64))[0]
            for metric in goal.metrics
        ]
        self.target_feed = Feed(self.y_true, timed and not loss.labelled)
        timed = timed and not loss.of_sequences
        self.weight_feeds = [Feed(self.weights, timed)] if weighted else []

    def _check_metrics(self, ignored: int, classes: int) -> None:
        """An error where a metric would look up a class that there is not."""
        for metric in self.goal.metrics:
            if not (0 <= ignored < classes or metric.takes_any_id or metric.runs_python):
                raise ValueError(
                    f"metric {metric.name!r} needs targets from 0 to {classes - 1}, but the loss "
                    f"has ignore_class={ignored}: ignore one of the classes, or leave the metric "
                    "out; 'accuracy' may stay, and counts what is ignored as wrong"
                )

    def explain(self, where: np.ndarray) -> None:
        """An error that says why a loss is not finite; ``where`` numbers the rows in the data."""

    def fuse(self, op: Op, activation: Any) -> None:
        """Let the loss include the activation of the layer that makes the output, if it can."""
        loss = self.goal.loss
        fits = loss.fuses is not None and loss.fuses == activation and not loss.from_logits
        if fits and isinstance(op, DenseOp):
            self._fused, op.logits = op, True

    def leave_out(self) -> DenseOp | None:
        """Do nothing for rows that do not count; the op of which they are not even read."""
        if self._fused is None:
            return None
        self._rows_read = self._rows_mask
        kinds: list[Any] = [self.goal.loss, *self.goal.metrics]
        return self._fused if all(kind.leaves_out for kind in kinds) else None

    def record_loss(self, program: Program) -> None:
        """Record what makes the loss, and its gradient where it is kept."""
        goal, weights = self.goal, self.rows_weights
        if goal.loss.ignored is not None:
            args = self.rows_true, goal.loss.ignored, self._rows_mask
            program.add(of_classes, self._counted, *args, work=2.0 * self._counted.size)
        if self._counted.size:
            scaled = goal.loss.reduction in MEANS
            cases = [
                (self._counted, weights, scaled),
                (self._rows_mask, weights, False),
                (self._rows_mask, self._no_weights, False),
            ]
            for out, (mask, given, by_count) in zip(self._masked_weights, cases, strict=True):
                if out.size:
                    program.add(weigh, out, mask, given, by_count, work=2.0 * out.size)
            weights = self._masked_weights[0]
        arrays = LossArrays(
            self.total,
            self.rows_d_y,
            self.row_loss,
            self.rows_true,
            self.rows_y,
            weights,
        )
        logits = self._fused is not None or goal.loss.from_logits
        for kernel, args, work in goal.loss.calls(arrays, logits, self._rows_read):
            program.add(kernel, *args, work=work)
        if goal.weight != 1.0 and len(self.rows_d_y):
            flat = self.rows_d_y.reshape(-1)
            program.add(combine.scale, flat, goal.weight, work=1.0 * flat.size)

    def record_metrics(self, program: Program) -> None:
        """Metrics see the batch's outputs; as in Keras, sample weights are for the loss alone.

        And for the ``weighted_metrics``.
        """
        loss, metrics = self.goal.loss, self.goal.metrics
        missing = loss.fuses if self._fused is not None or loss.from_logits else None
        if self._fused is not None and not all(
            missing in metric.accepts_logits for metric in metrics
        ):
            self._fused.record_finish(program, self.rows_y)
            missing = None
        for metric, sums, parts in zip(metrics, self.sums, self._metric_scratch, strict=True):
            accepted = missing in metric.accepts_logits
            if missing and metric.needs_probabilities and not accepted:
                raise ValueError(
                    f"{metric.name} needs probabilities, but the loss has from_logits=True: give "
                    f"the last layer activation={missing!r} and leave from_logits out, which "
                    "computes the same"
                )
            weights = self._metric_weights(self.goal.is_weighted(metric))
            # The loss is done with its rows.
            arrays = MetricArrays(sums, self.row_loss, parts, self.rows_true, self.rows_y, weights)
            for kernel, args, work in metric.calls(arrays, accepted):
                program.add(kernel, *args, work=work)

    def _metric_weights(self, weighted: bool) -> np.ndarray:
        """The weights that a metric sees, flat."""
        if self._rows_mask.size:
            return self._masked_weights[1 if weighted else 2]
        return self.rows_weights if weighted else self._no_weights

    def update_metrics(self, origin: np.ndarray, share: float = 1.0) -> None:
        """Add the batch to the metrics, or such a ``share`` of its steps.

        ``origin`` is where its rows stood, or (0,).
        """
        for metric, sums in zip(self.goal.metrics, self.sums, strict=True):
            if metric.runs_python:
                self._call(metric, origin)
            else:
                metric.add(sums)
        if self.goal.mean is not None:
            batch = self.y.shape[1 if self.y.ndim == 3 else 0]
            self.goal.mean.add(float(self.total[0]), share * batch)

    def _call(self, metric: Metric, origin: np.ndarray) -> None:
        flat = self._metric_weights(self.goal.is_weighted(metric))
        shaped = flat.reshape(self.y.shape[:-1]) if flat.size else None
        weights = None if shaped is None else self._batch_first(shaped, origin)
        y_true, y = (self._batch_first(array, origin) for array in (self.y_true, self.y))
        metric.update_state(y_true, y, weights)

    def _batch_first(
        self, array: np.ndarray, origin: np.ndarray, timed: bool | None = None
    ) -> np.ndarray:
        """A copy in the user's order."""
        timed = self.y.ndim == 3 if timed is None else timed
        copy = (array.swapaxes(0, 1) if timed else array).copy()
        if origin.size:
            copy[origin] = copy.copy()
        return copy
