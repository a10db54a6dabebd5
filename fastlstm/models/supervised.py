"""Layers bound to a batch together with its targets and loss: one step of training or testing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np

from fastlstm.kernels.layout import halt_unless_finite
from fastlstm.kernels.masks import weigh
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer
from fastlstm.layers.chain import Chain
from fastlstm.layers.dense import DenseOp
from fastlstm.layers.feed import Feed
from fastlstm.losses.base import MEANS, LossArrays
from fastlstm.memory import Plan
from fastlstm.metrics import Metric
from fastlstm.metrics.base import MetricArrays
from fastlstm.training.data import Data


class Compiled(Protocol):
    """What a step needs of the model that takes it."""

    loss: Any
    optimizer: Any
    metrics: list[Metric]
    weighted_metrics: list[Metric]

    @property
    def flat_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """All weights, and their gradients."""


class Supervised(Chain):
    """A chain that also holds targets, weights and the loss of each row.

    Rows are samples, or all steps of all samples where the output is a sequence. The ``task`` is
    "train", "test", or "gradient": backward, with no update.
    """

    hands_out = False

    def __init__(
        self,
        layers: list[Layer],
        shape: tuple[int, ...],
        plan: Plan,
        *,
        model: Compiled,
        weighted: bool,
        task: str,
        masked: bool = False,
    ) -> None:
        saving = task != "test"
        super().__init__(layers, shape, plan, saving=saving, training=saving, masked=masked)
        for op in self.ops:
            op.omit_initial_gradients()
        self.model, self.trains = model, task == "train"
        self.loss = loss = model.loss
        steps_and_batch, classes = self.y.shape[:-1], self.y.shape[-1]
        rows = int(np.prod(steps_and_batch))
        dtype = self.y.dtype
        target_shape = loss.target_shape(self.y.shape)
        self.y_true = plan.array(target_shape, np.dtype(np.int32) if loss.sparse else dtype)
        self.weights = plan.array(steps_and_batch if weighted else (0,), dtype)
        self.row_loss = plan.array((rows,), dtype)
        self.rows_y = self.y.reshape(rows, classes)
        self.rows_true = self.y_true.reshape((rows,) if loss.sparse else (rows, target_shape[-1]))
        self.rows_d_y = self.d_y.reshape(rows, classes) if saving else np.empty((0, classes), dtype)
        self.rows_weights = self.weights.reshape(-1)
        self._no_weights = np.empty(0, dtype)
        self._rows_mask = self.y_mask.reshape(-1)
        # The weights of the loss and of the metrics, with and without those of the samples, where
        # some rows do not count.
        size = self._rows_mask.size
        self._masked_weights = [plan.array((size,), dtype) for _ in range(3)]
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
        # What a batch adds to the loss, and to each metric.
        sizes = [metric.sums_size(classes) for metric in model.metrics]
        self.totals = [np.zeros(size) for size in (1, *sizes)]
        self._metric_scratch = [
            plan.scratch(((metric.parts_size(rows, classes),), np.float64))[0]
            for metric in model.metrics
        ]
        timed = self.y.ndim == 3
        self.feeds["y"] = Feed(self.y_true, timed)
        if masked:
            self.feeds["mask"] = Feed(self.mask, True)
        if weighted:
            self.feeds["weight"] = Feed(self.weights, timed)

    def parts(self) -> dict[str, Callable[[Program], None]]:
        """What the program does, in order; see ``Chain.parts``."""
        parts: dict[str, Callable[[Program], None]] = {
            "pack": self._record_packing,
            "feed": self._record_feeds,
            "forward": self._record_forward,
            "loss": self._record_loss,
        }
        if self.saving:
            parts["backward"] = self._record_backward
        if self.trains:
            parts["update"] = self._record_update
        return {**parts, "metrics": self._record_metrics}

    def _record_loss(self, program: Program) -> None:
        weights = self.rows_weights
        if self._rows_mask.size:
            scaled = self.loss.reduction in MEANS
            cases = [(weights, scaled), (weights, False), (self._no_weights, False)]
            for out, (given, by_count) in zip(self._masked_weights, cases, strict=True):
                program.add(weigh, out, self._rows_mask, given, by_count, work=2.0 * out.size)
            weights = self._masked_weights[0]
        arrays = LossArrays(
            self.totals[0],
            self.rows_d_y,
            self.row_loss,
            self.rows_true,
            self.rows_y,
            weights,
        )
        for kernel, args, work in self.loss.calls(arrays, self.fused or self.loss.from_logits):
            program.add(kernel, *args, work=work)
        if self.trains:
            program.add(halt_unless_finite, self.totals[0])

    def _record_update(self, program: Program) -> None:
        self.model.optimizer.record(program, *self.model.flat_weights, only_finite=True)

    def _record_metrics(self, program: Program) -> None:
        """Metrics see the batch's outputs; as in Keras, sample weights are for the loss alone.

        And for the model's ``weighted_metrics``.
        """
        metrics = self.model.metrics
        missing = self.loss.fuses if self.fused or self.loss.from_logits else None
        if self.fused and not all(missing in metric.accepts_logits for metric in metrics):
            self._last.record_finish(program, self.rows_y)
            missing = None
        for metric, sums, parts in zip(metrics, self.totals[1:], self._metric_scratch, strict=True):
            accepted = missing in metric.accepts_logits
            if missing and metric.needs_probabilities and not accepted:
                raise ValueError(
                    f"{metric.name} needs probabilities, but the loss has from_logits=True: give "
                    f"the last layer activation={missing!r} and leave from_logits out, which "
                    "computes the same"
                )
            weights = self._metric_weights(self._is_weighted(metric))
            # The loss is done with its rows.
            arrays = MetricArrays(sums, self.row_loss, parts, self.rows_true, self.rows_y, weights)
            for kernel, args, work in metric.calls(arrays, accepted):
                program.add(kernel, *args, work=work)

    def _metric_weights(self, weighted: bool) -> np.ndarray:
        """The weights that a metric sees, flat."""
        if self._rows_mask.size:
            return self._masked_weights[1 if weighted else 2]
        return self.rows_weights if weighted else self._no_weights

    def _is_weighted(self, metric: Metric) -> bool:
        return any(metric is other for other in self.model.weighted_metrics)

    def load(self, data: Data, index: np.ndarray, start: int = 0) -> None:
        """Take the samples ``index`` of the data, from a step on."""
        self.first_step[0] = start
        self.resumes = start > 0
        more = {}
        if data.weight is not None:
            more["weight"] = data.weight
        if data.mask is not None:
            more["mask"] = data.mask
        self.feed(index, x=data.x, y=data.y, **more)

    def evaluate(self) -> float:
        """Compute the output, the loss, and the loss's gradient where one is kept."""
        self.forward(last="loss")
        return float(self.totals[0][0])

    def test(self) -> float:
        """Compute the loss, and let the metrics see the outputs."""
        self.forward(last="metrics")
        self._update_metrics()
        return float(self.totals[0][0])

    def train(self) -> float:
        """Update the weights, unless the loss or a gradient is not finite; returns the loss.

        NaN stands for a gradient that is not finite.
        """
        optimizer = self.model.optimizer
        optimizer.prepare()
        if not self.forward(last="metrics"):
            loss = float(self.totals[0][0])
            return float("nan") if np.isfinite(loss) else loss
        optimizer.steps += 1
        for layer in self.layers:
            layer.changed()
        self._update_metrics()
        return float(self.totals[0][0])

    def _update_metrics(self) -> None:
        for metric, sums in zip(self.model.metrics, self.totals[1:], strict=True):
            if metric.runs_python:
                flat = self._metric_weights(self._is_weighted(metric))
                shaped = flat.reshape(self.y.shape[:-1]) if flat.size else None
                weights = None if shaped is None else self._batch_first(shaped)
                metric.update_state(
                    self._batch_first(self.y_true), self._batch_first(self.y), weights
                )
            else:
                metric.add(sums)

    def _batch_first(self, array: np.ndarray) -> np.ndarray:
        """A copy in the user's order."""
        return (array.swapaxes(0, 1) if self.y.ndim == 3 else array).copy()
