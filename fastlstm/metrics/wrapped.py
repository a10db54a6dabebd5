"""Means of losses, and of whatever a function makes of targets and predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastlstm import losses
from fastlstm.kernels import metrics as kernels
from fastlstm.losses.base import Call, LossArrays
from fastlstm.metrics.base import (
    Array,
    MeanMetric,
    Metric,
    MetricArrays,
    need_columns,
)
from fastlstm.registry import serialize, snake_case
from fastlstm.validation import numeric_array


class LossMetric(MeanMetric):
    """Mean of a loss over rows."""

    direction = "min"
    loss: losses.Loss

    def __init__(self, loss: losses.Loss, name: str | None = None, **rest: Any) -> None:
        super().__init__(name, **rest)
        if loss.of_sequences:
            raise ValueError(
                f"{loss.name} is a loss of whole sequences, which metrics do not measure; what "
                "evaluate returns first is its mean"
            )
        self.loss = loss
        if loss.fuses is not None and not loss.from_logits:
            self.accepts_logits = (loss.fuses,)

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        self._check(arrays.y_true, arrays.y_pred)
        value_only = arrays.y_pred[:0]
        inner = LossArrays(
            arrays.sums[:1], value_only, arrays.row, arrays.y_true, arrays.y_pred, arrays.weights
        )
        args = (arrays.sums, arrays.row, arrays.weights)
        return [
            self.loss.call(inner, from_logits or self.loss.from_logits),
            (kernels.sum_rows, args, float(len(arrays.row))),
        ]

    def prepare_targets(self, true: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Targets as the loss wants them."""
        return self.loss.prepare_targets(true, shape, dtype)

    def _check(self, y_true: Array, y_pred: Array) -> None:
        wanted = self.loss.target_shape(y_pred.shape)
        if y_true.shape == wanted:
            return
        if self.loss.sparse:
            raise ValueError(
                f"{self.name} expects targets that are class ids, got targets of shape "
                f"{y_true.shape} for predictions of shape {y_pred.shape}"
            )
        if wanted == y_pred.shape:
            need_columns(self.name, y_true, y_pred)
        raise ValueError(f"{self.name} expects targets of shape {wanted}, got {y_true.shape}")


class _OfLoss(LossMetric):
    """The mean of a loss that has no options."""

    made: ClassVar[type[losses.Loss]]

    def __init__(self, name: str | None = None, **rest: Any) -> None:
        super().__init__(self.made(), name, **rest)


class MeanAbsoluteError(_OfLoss):
    """Mean of |y - t|."""

    made = losses.MeanAbsoluteError


class MeanSquaredError(_OfLoss):
    """Mean of (y - t)²."""

    made = losses.MeanSquaredError


class RootMeanSquaredError(MeanSquaredError):
    """Root of the mean of (y - t)² over everything seen."""

    def result_of(self, sums: Array) -> float:
        """The root of the mean."""
        mean = super().result_of(sums)
        return math.sqrt(mean) if mean >= 0.0 else math.nan


class MeanAbsolutePercentageError(_OfLoss):
    """100 times the mean of |y - t| / |t|, where |t| counts as 1e-7 at least."""

    made = losses.MeanAbsolutePercentageError


class MeanSquaredLogarithmicError(_OfLoss):
    """Mean of (log(1 + y) - log(1 + t))²."""

    made = losses.MeanSquaredLogarithmicError


class LogCoshError(_OfLoss):
    """Mean of log cosh(y - t)."""

    made = losses.LogCosh

    def __init__(self, name: str = "logcosh", **rest: Any) -> None:
        super().__init__(name, **rest)


class CosineSimilarity(_OfLoss):
    """Mean of Σ t y / (|t| |y|): 1 where the directions agree. The loss has the other sign."""

    made = losses.CosineSimilarity
    direction = "max"

    def result_of(self, sums: Array) -> float:
        """The mean."""
        return 0.0 - super().result_of(sums)


class Poisson(_OfLoss):
    """Mean of y - t log y."""

    made = losses.Poisson


class KLDivergence(_OfLoss):
    """Mean of Σ t log(t / y)."""

    made = losses.KLDivergence


class Hinge(_OfLoss):
    """Mean of max(1 - t y, 0)."""

    made = losses.Hinge


class SquaredHinge(_OfLoss):
    """Mean of max(1 - t y, 0)²."""

    made = losses.SquaredHinge


class CategoricalHinge(_OfLoss):
    """Mean of max(1 + max (1 - t) y - Σ t y, 0)."""

    made = losses.CategoricalHinge


class _Entropy(LossMetric):
    """The mean of a cross-entropy with smoothed targets."""

    made: ClassVar[Any]

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        **rest: Any,
    ) -> None:
        super().__init__(self.made(from_logits, label_smoothing), name, dtype=dtype, **rest)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.loss.get_config()}


class BinaryCrossentropy(_Entropy):
    """Mean of the binary cross-entropy; arguments as for the loss."""

    made = losses.BinaryCrossentropy


class CategoricalCrossentropy(_Entropy):
    """Mean of the cross-entropy of one-hot targets; arguments as for the loss."""

    made = losses.CategoricalCrossentropy


class SparseCategoricalCrossentropy(LossMetric):
    """Mean of the cross-entropy of class ids; arguments as for the loss."""

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        **rest: Any,
    ) -> None:
        chosen = losses.SparseCategoricalCrossentropy(from_logits)
        super().__init__(chosen, name, dtype=dtype, **rest)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **self.loss.get_config()}


class MeanMetricWrapper(LossMetric):
    """Mean of any loss.

    ``MeanMetricWrapper(fn)`` of a function of Python is a ``FunctionMetric``.

    Parameters
    ----------
    fn : Loss, str, class, dict or callable
        A loss, whatever names one to ``fastlstm.losses.get``, or a function
        ``fn(y_true, y_pred, **kwargs)``.
    name : str, optional
        Key in logs, by default that of the loss or the function.
    **kwargs
        Passed to the function at each call; a loss takes none.
    """

    def __new__(cls, fn: Any, name: str | None = None, **kwargs: Any) -> Any:
        """The metric, or a ``FunctionMetric``."""
        if callable(fn) and not _is_loss(fn):
            return FunctionMetric(fn, name, **kwargs)
        return super().__new__(cls)

    def __init__(self, fn: Any, name: str | None = None, **kwargs: Any) -> None:
        loss = losses.get(fn)
        if kwargs:
            raise TypeError(
                f"MeanMetricWrapper passes {sorted(kwargs)} on to a function of Python; give "
                f"a loss its options where it is made, as in {type(loss).__name__}(...)"
            )
        super().__init__(loss, loss.name if name is None else name)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"fn": serialize(self.loss), **super().get_config()}


class FunctionMetric(Metric):
    """Mean of what a function of Python makes of targets and predictions.

    It sees copies: ``y_true`` (batch, C), (batch, time, C) or class ids without the C, and
    ``y_pred`` (batch, C) or (batch, time, C), after the last activation. What it returns is a mean
    over everything: a number counts once a batch, an array of one value for each sample (and
    step) by its sample weights. A file of the model does not have it: give it to ``compile`` again
    after ``load_model``.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred, **kwargs)``, returns a number or an array (batch, ...).
    name : str, optional
        Key in logs, by default the function's name.
    **kwargs
        Passed to it at each call.
    """

    runs_python = True

    def __init__(self, fn: Callable[..., Any], name: str | None = None, **kwargs: Any) -> None:
        own = getattr(fn, "__name__", None) or snake_case(type(fn).__name__)
        super().__init__(own if name is None else name)
        self.fn, self.kwargs = fn, kwargs

    def sums_size(self, columns: int) -> int:
        """Two: of values and of their weights."""
        return 2

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """None."""
        return []

    def result_of(self, sums: Array) -> float:
        """The mean, or 0 if nothing has been seen."""
        return float(sums[0] / sums[1]) if len(sums) and sums[1] else 0.0

    def update(self, y_true: Array, y_pred: Array, weights: Array, from_logits: bool) -> None:
        """Add rows; see ``Metric.update``."""
        self.update_state(y_true, y_pred, weights if len(weights) else None)

    def update_state(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
    ) -> None:
        """Add arrays, which the function gets as they are."""
        values = numeric_array(f"what {self.name} returns", self.fn(y_true, y_pred, **self.kwargs))
        if values.ndim and len(values) != np.shape(y_pred)[0]:
            raise ValueError(
                f"{self.name} expects its function to return a number or one value a sample, "
                f"{np.shape(y_pred)[0]} of them; got an array of shape {values.shape}"
            )
        weights = np.ones(values.shape[:1])
        if sample_weight is not None and values.ndim:
            weights = numeric_array("sample_weight", sample_weight).astype(float)
        while weights.ndim > values.ndim:
            weights = weights.mean(axis=-1)
        values = values.astype(float)
        if values.ndim > weights.ndim:
            values = values.mean(axis=tuple(range(weights.ndim, values.ndim)))
        self.add(np.array([float((values * weights).sum()), float(weights.sum())]))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"fn": self.fn, **super().get_config(), **self.kwargs}


def _is_loss(fn: Any) -> bool:
    return (
        isinstance(fn, losses.Loss)
        or (isinstance(fn, type) and issubclass(fn, losses.Loss))
        or fn in losses.CLASS_OF
    )
