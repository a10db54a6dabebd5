"""Metrics with Keras' names and values: weighted means over the rows seen since the last reset."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm import losses
from fastlstm.kernels import metrics as kernels
from fastlstm.losses.base import Call, LossArrays, prepare_predictions, prepare_weights
from fastlstm.losses.crossentropy import class_ids
from fastlstm.registry import named, resolve, snake_case
from fastlstm.utils import numeric_array

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "get",
]

Array = npt.NDArray[Any]

# Floating-point operations an element.
_WORK = 2.0


class MetricArrays(NamedTuple):
    """What a metric works on, in the order of its kernel's arguments.

    Attributes
    ----------
    total : numpy.ndarray
        (1,) float64, receives what ``Metric.add`` takes.
    row : numpy.ndarray
        (M,), scratch.
    y_true : numpy.ndarray
        (M, C), or (M,) int32 class ids.
    y_pred : numpy.ndarray
        (M, C).
    weights : numpy.ndarray
        (M,), or (0,) for ones.
    """

    total: Array
    row: Array
    y_true: Array
    y_pred: Array
    weights: Array


class _Average:
    """A running weighted mean."""

    def __init__(self, name: str | None = None) -> None:
        self.name = snake_case(type(self).__name__) if name is None else name
        self.reset_state()

    def reset_state(self) -> None:
        """Forget everything seen so far."""
        self._total = 0.0
        self._weight = 0.0

    def result(self) -> float:
        """Return the mean since the last reset, or 0 if nothing has been seen."""
        return self._total / self._weight if self._weight else 0.0

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"name": self.name}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class Mean(_Average):
    """Running mean of plain values, such as the losses of an epoch's batches.

    Parameters
    ----------
    name : str, optional
        Key in logs, by default "mean".
    """

    def update_state(
        self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Add values to the mean.

        Parameters
        ----------
        values : array_like
            Numbers of any shape.
        sample_weight : array_like, optional
            Their weights, of a shape that broadcasts to theirs.
        """
        array = numeric_array("values", values).astype(np.float64)
        weights = numeric_array("sample_weight", 1.0 if sample_weight is None else sample_weight)
        spread = np.broadcast_to(weights, array.shape).astype(np.float64)
        self._total += float(np.sum(array * spread))
        self._weight += float(np.sum(spread))


class Metric(_Average, ABC):
    """Base class of metrics on targets and predictions.

    Parameters
    ----------
    name : str, optional
        Key in logs, by default the class name in snake case.

    Attributes
    ----------
    accepts_logits : bool
        Whether ``update`` may be given logits; if not, the final activation must be applied.
    direction : str
        "max" where higher is better, "min" where lower is.
    """

    accepts_logits: ClassVar[bool] = False
    direction: ClassVar[str] = "max"

    def update(self, y_true: Array, y_pred: Array, weights: Array, from_logits: bool) -> None:
        """Add checked arrays, in the form that a loss reads.

        Parameters
        ----------
        y_true, y_pred, weights : numpy.ndarray
            As in ``MetricArrays``.
        from_logits : bool
            Whether ``y_pred`` holds logits; only where ``accepts_logits``.
        """
        rows, total = len(y_pred), np.zeros(1)
        scratch = np.empty(rows, y_pred.dtype)
        arrays = MetricArrays(total, scratch, y_true, y_pred, weights)
        kernel, args, work = self.call(arrays, from_logits)
        kernel(*args, work=work)
        weight = np.full(1, float(rows))
        if len(weights):
            kernels.total_weight(weight, weights)
        self.add(float(total[0]), rows, float(weight[0]))

    def add(self, total: float, rows: int, weight: float) -> None:
        """Add what the kernel of ``call`` found for so many rows of this total weight."""
        self._total += total
        self._weight += weight

    def update_state(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
    ) -> None:
        """Add arrays of any leading shape.

        Parameters
        ----------
        y_true : array_like
            (..., C), or (...) class ids.
        y_pred : array_like
            (..., C), values or probabilities.
        sample_weight : array_like, optional
            (...), or the first of these dimensions.

        Raises
        ------
        ValueError
            If shapes or class ids do not fit.
        TypeError
            If the arrays do not hold numbers.
        """
        pred = numeric_array("y_pred", y_pred)
        if pred.ndim == 1:
            pred = pred[:, np.newaxis]
        pred = prepare_predictions(pred, self.name)
        true = self._prepare_targets(numeric_array("y_true", y_true), pred.shape, pred.dtype)
        columns = pred.shape[-1]
        self.update(
            true.reshape(-1, columns) if true.ndim == pred.ndim else true.reshape(-1),
            pred.reshape(-1, columns),
            prepare_weights(sample_weight, pred.shape[:-1], pred.dtype).reshape(-1),
            False,
        )

    @abstractmethod
    def call(self, arrays: MetricArrays, from_logits: bool) -> Call:
        """Kernel, its arguments and its work; ``from_logits`` as in ``update``."""

    def _prepare_targets(self, true: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        return _same_shape(self.name, true, tuple(shape), dtype)


class BinaryAccuracy(Metric):
    """Fraction of outputs on their target's side of a threshold.

    Parameters
    ----------
    name : str
        Key in logs.
    threshold : float
        Probability above which a prediction counts as 1.
    """

    accepts_logits = True

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold expects a probability from 0 to 1, got {threshold!r}")
        self.threshold = float(threshold)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "threshold": self.threshold}

    def call(self, arrays: MetricArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Metric.call``."""
        _need_columns(self.name, arrays.y_true, arrays.y_pred)
        threshold = _logit(self.threshold) if from_logits else self.threshold
        args = (*arrays, threshold)
        return kernels.binary_accuracy, args, _WORK * arrays.y_pred.size


class CategoricalAccuracy(Metric):
    """Fraction of rows whose largest prediction is where the largest target is."""

    accepts_logits = True

    def call(self, arrays: MetricArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Metric.call``."""
        _need_columns(self.name, arrays.y_true, arrays.y_pred)
        return kernels.categorical_accuracy, arrays, _WORK * arrays.y_pred.size


class SparseCategoricalAccuracy(Metric):
    """Fraction of rows whose largest prediction is that of the target's class id."""

    accepts_logits = True

    def call(self, arrays: MetricArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Metric.call``."""
        y_true, y_pred = arrays.y_true, arrays.y_pred
        if y_true.ndim != 1:
            raise ValueError(
                f"{self.name} expects targets that are class ids, one a row of predictions; got "
                f"targets of shape {y_true.shape} for predictions of shape {y_pred.shape}. "
                f"Use categorical_accuracy for one-hot targets"
            )
        return kernels.sparse_accuracy, arrays, _WORK * arrays.y_pred.size

    def _prepare_targets(self, true: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        return class_ids(true, tuple(shape[:-1]), shape[-1], self.name)


class Accuracy(Metric):
    """Binary, categorical or sparse categorical accuracy, whichever fits the arrays.

    Binary for a single output, sparse categorical for class ids, else categorical: what Keras
    makes of the string "accuracy".
    """

    accepts_logits = True

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(name)
        self._binary = BinaryAccuracy(name)
        self._categorical = CategoricalAccuracy(name)
        self._sparse = SparseCategoricalAccuracy(name)

    def call(self, arrays: MetricArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Metric.call``."""
        if arrays.y_true.ndim == 1:
            fitting: Metric = self._sparse
        else:
            fitting = self._binary if arrays.y_pred.shape[1] == 1 else self._categorical
        return fitting.call(arrays, from_logits)

    def _prepare_targets(self, true: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        ids = true.ndim < len(shape) or true.shape[-1] == 1
        fitting: Metric = self._sparse if ids and shape[-1] > 1 else self._categorical
        return fitting._prepare_targets(true, shape, dtype)


class _MeanLoss(Metric):
    """Mean of a loss that has no activation to fuse with."""

    direction = "min"
    loss: ClassVar[losses.Loss]

    def call(self, arrays: MetricArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Metric.call``."""
        _need_columns(self.name, arrays.y_true, arrays.y_pred)
        value_only = arrays.y_pred[:0]
        return self.loss.call(LossArrays(arrays.total, value_only, *arrays[1:]), False)

    def add(self, total: float, rows: int, weight: float) -> None:
        """Add what the kernel of ``call`` found: a mean over the rows."""
        super().add(total * rows, rows, weight)


class MeanAbsoluteError(_MeanLoss):
    """Mean of |y - t|."""

    loss = losses.MeanAbsoluteError()


class MeanSquaredError(_MeanLoss):
    """Mean of (y - t)²."""

    loss = losses.MeanSquaredError()


class RootMeanSquaredError(MeanSquaredError):
    """Root of the mean of (y - t)² over everything seen."""

    def result(self) -> float:
        """Return the root of the mean since the last reset."""
        mean = super().result()
        return math.sqrt(mean) if mean >= 0.0 else math.nan


def _same_shape(name: str, true: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if true.ndim == len(shape) - 1 and shape[-1] == 1:
        true = true[..., np.newaxis]
    if true.shape != shape:
        raise ValueError(
            f"{name} expects y_true of the predictions' shape {shape}, got {true.shape}"
        )
    return np.ascontiguousarray(true, dtype)


def _need_columns(name: str, y_true: Array, y_pred: Array) -> None:
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"{name} expects targets of the predictions' shape {y_pred.shape}, got "
            f"{y_true.shape}. For targets that are class ids, use 'accuracy' or "
            f"'sparse_categorical_accuracy'"
        )


def _logit(probability: float) -> float:
    if probability in (0.0, 1.0):
        return -math.inf if probability == 0.0 else math.inf
    return math.log(probability / (1.0 - probability))


_TABLE = named(
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
    acc=Accuracy,
    mae=MeanAbsoluteError,
    MAE=MeanAbsoluteError,
    mse=MeanSquaredError,
    MSE=MeanSquaredError,
    rmse=RootMeanSquaredError,
    RMSE=RootMeanSquaredError,
)


def get(identifier: Any) -> Metric:
    """Find a metric.

    Parameters
    ----------
    identifier : str, Metric, class or dict
        A name ("accuracy", "mae"), an instance, a class or a configuration.

    Returns
    -------
    Metric
        The instance itself, or a new one. A name becomes the key in logs.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``identifier`` is none of these.
    """
    metric = resolve("metric", identifier, Metric, _TABLE)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric
