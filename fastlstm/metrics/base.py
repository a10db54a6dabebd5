"""What all metrics share: a few sums over everything seen, and how a batch adds to them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.losses.base import Call, prepare_predictions, prepare_weights, refuse_rest
from fastlstm.losses.crossentropy import class_ids
from fastlstm.registry import snake_case
from fastlstm.validation import numeric_array

Array = npt.NDArray[Any]

# Floating-point operations an element.
WORK = 2.0
# Rows that sum up by themselves: at most so many blocks, each of at least so many elements.
_BLOCKS, _BLOCK_ELEMENTS = 8, 8192


class MetricArrays(NamedTuple):
    """What a metric works on.

    Attributes
    ----------
    sums : numpy.ndarray
        (K,) float64 with K of ``Metric.sums_size``, receives what ``Metric.add`` takes.
    row : numpy.ndarray
        (M,), scratch.
    parts : numpy.ndarray
        (``Metric.parts_size``,) float64, scratch.
    y_true : numpy.ndarray
        (M, C), or (M,) int32 class ids.
    y_pred : numpy.ndarray
        (M, C).
    weights : numpy.ndarray
        (M,), or (0,) for ones.
    """

    sums: Array
    row: Array
    parts: Array
    y_true: Array
    y_pred: Array
    weights: Array


class Named:
    """A name, and a configuration that tells all arguments."""

    def __init__(self, name: str | None = None, **rest: Any) -> None:
        refuse_rest(type(self), rest)
        self.name = snake_case(type(self).__name__) if name is None else name

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"name": self.name}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class Mean(Named):
    """Running mean of plain values, such as the losses of an epoch's batches.

    Parameters
    ----------
    name : str, optional
        Key in logs, by default "mean".
    """

    def __init__(self, name: str | None = None, **rest: Any) -> None:
        super().__init__(name, **rest)
        self.reset_state()

    def reset_state(self) -> None:
        """Forget everything seen so far."""
        self._total = 0.0
        self._weight = 0.0

    def result(self) -> float:
        """Return the mean since the last reset, or 0 if nothing has been seen."""
        return self._total / self._weight if self._weight else 0.0

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

    def __call__(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Add values, as ``update_state`` does, and return the mean of all so far."""
        self.update_state(values, sample_weight)
        return self.result()


class Metric(Named, ABC):
    """Base class of metrics on targets and predictions.

    What has been seen is kept as ``sums_size`` sums, to which each batch adds. The kernels of
    ``calls`` write what a batch adds, at the end of a recorded step.

    Parameters
    ----------
    name : str, optional
        Key in logs, by default the class name in snake case.

    Attributes
    ----------
    accepts_logits : tuple of str
        Final activations in the place of whose outputs ``update`` may be given their
        pre-activations, "softmax" and "sigmoid"; all others must be applied.
    needs_probabilities : bool
        Whether logits that it does not accept have no meaning for it.
    takes_ids : bool
        Whether targets may be class ids, standing for one-hot rows.
    takes_any_id : bool
        Whether those may be ids of no class, which no prediction is right about.
    takes_labels : bool
        Whether targets are labels with a length of their own; its ``update_state`` has a mask.
    runs_python : bool
        Whether it is a function of Python, which ``calls`` nothing: it sees copies of the arrays.
    leaves_out : bool
        Whether rows that weigh nothing are not read.
    direction : str
        "max" where higher is better, "min" where lower is.
    """

    accepts_logits: tuple[str, ...] = ()
    needs_probabilities: ClassVar[bool] = False
    takes_ids: ClassVar[bool] = False
    takes_any_id: ClassVar[bool] = False
    takes_labels: ClassVar[bool] = False
    runs_python: ClassVar[bool] = False
    leaves_out: ClassVar[bool] = False
    direction: str = "max"

    def __init__(self, name: str | None = None, **rest: Any) -> None:
        super().__init__(name, **rest)
        self._sums = np.zeros(0)
        self._fresh = True

    @abstractmethod
    def sums_size(self, columns: int) -> int:
        """Number of sums for predictions of so many columns; an error if these do not fit."""

    def parts_size(self, rows: int, columns: int) -> int:
        """Numbers of scratch that the kernels need."""
        return 0

    @abstractmethod
    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, their arguments and their work; ``from_logits`` as in ``update``."""

    def result(self) -> Any:
        """Return the metric since the last reset: a number, or an array of several."""
        return self.result_of(self._sums)

    @abstractmethod
    def result_of(self, sums: Array) -> Any:
        """The result, from the sums; there are none, (0,), where nothing has ever been seen."""

    def reset_state(self) -> None:
        """Forget everything seen so far."""
        self._sums.fill(0.0)
        self._fresh = True

    def add(self, sums: Array) -> None:
        """Add what the kernels of ``calls`` found."""
        if len(sums) != len(self._sums):
            if not self._fresh:
                raise ValueError(
                    f"{self.name} has seen predictions with another number of columns since its "
                    "last reset_state(); use a metric of its own for each output"
                )
            self._sums = np.zeros(len(sums))
        self._fresh = False
        self._sums += sums

    def update(self, y_true: Array, y_pred: Array, weights: Array, from_logits: bool) -> None:
        """Add checked arrays, in the form that a loss reads.

        Parameters
        ----------
        y_true, y_pred, weights : numpy.ndarray
            As in ``MetricArrays``.
        from_logits : bool
            Whether ``y_pred`` holds logits, of an activation that the metric accepts.
        """
        rows, columns = y_pred.shape
        sums = np.zeros(self.sums_size(columns))
        parts = np.empty(self.parts_size(rows, columns))
        row = np.empty(rows, y_pred.dtype)
        arrays = MetricArrays(sums, row, parts, y_true, y_pred, weights)
        for kernel, args, work in self.calls(arrays, from_logits):
            kernel(*args, work=work)
        self.add(sums)

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
        true = self.prepare_targets(numeric_array("y_true", y_true), pred.shape, pred.dtype)
        columns = pred.shape[-1]
        rows = pred.reshape(-1, columns)
        self.update(
            true.reshape(len(rows), -1) if true.ndim == pred.ndim else true.reshape(-1),
            rows,
            prepare_weights(sample_weight, pred.shape[:-1], pred.dtype).reshape(-1),
            False,
        )

    def __call__(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Any:
        """Add arrays, as ``update_state`` does, and return the metric of all so far."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def prepare_targets(self, true: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Targets for predictions of a shape, checked."""
        shape = tuple(shape)
        if self.takes_ids and shape[-1] > 1 and true.shape in (shape[:-1], (*shape[:-1], 1)):
            return class_ids(true, shape[:-1], shape[-1], self.name)
        return same_shape(self.name, true, shape, dtype)


class MeanMetric(Metric):
    """A metric that is a weighted mean over rows: its sums are [Σ weight · value, Σ weight]."""

    def sums_size(self, columns: int) -> int:
        """Two."""
        return 2

    def result_of(self, sums: Array) -> float:
        """The mean, or 0 if nothing has been seen."""
        return float(sums[0] / sums[1]) if len(sums) and sums[1] else 0.0


def parts_of(rows: int, columns: int, sums: int) -> int:
    """Size of the sums of all blocks of rows; how many there are, depends on the shape alone."""
    blocks = min(_BLOCKS, rows, -(-rows * columns // _BLOCK_ELEMENTS))
    return max(1, blocks) * sums


def same_shape(name: str, true: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Targets of the predictions' shape, checked."""
    if true.ndim == len(shape) - 1 and shape[-1] == 1:
        true = true[..., np.newaxis]
    if true.shape != shape:
        raise ValueError(
            f"{name} expects y_true of the predictions' shape {shape}, got {true.shape}"
        )
    return np.ascontiguousarray(true, dtype)


def need_columns(name: str, y_true: Array, y_pred: Array) -> None:
    """An error unless targets and predictions have one shape."""
    if y_true.shape == y_pred.shape:
        return
    advice = "It is no metric for quantiles, of which each target has several"
    if y_true.ndim == 1:
        advice = "For targets that are class ids, use 'accuracy' or 'sparse_categorical_accuracy'"
    raise ValueError(
        f"{name} expects targets of the predictions' shape {y_pred.shape}, got {y_true.shape}. "
        f"{advice}"
    )


def need_columns_or_ids(name: str, y_true: Array, y_pred: Array) -> None:
    """An error unless targets have the predictions' shape, or are class ids."""
    if y_true.ndim != 1:
        need_columns(name, y_true, y_pred)


def logit(probability: float) -> float:
    """The logit of a probability; infinite beyond 0 and 1."""
    if not 0.0 < probability < 1.0:
        return -math.inf if probability <= 0.0 else math.inf
    return math.log(probability / (1.0 - probability))


def ratio(part: Any, whole: Any) -> Any:
    """part / whole, and 0 where that is a division by zero."""
    whole = np.asarray(whole, float)
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole != 0.0)
