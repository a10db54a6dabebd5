"""How often predictions are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlstm.kernels import metrics as kernels
from fastlstm.losses.base import Call
from fastlstm.losses.crossentropy import class_ids
from fastlstm.metrics.base import WORK, Array, MeanMetric, MetricArrays, logit, need_columns
from fastlstm.validation import whole_number


class BinaryAccuracy(MeanMetric):
    """Fraction of outputs on their target's side of a threshold.

    Parameters
    ----------
    name : str
        Key in logs.
    dtype : optional
        Accepted as in Keras; sums are in float64.
    threshold : float
        Probability above which a prediction counts as 1.
    """

    accepts_logits = ("sigmoid",)
    leaves_out = True
    needs_probabilities = True

    def __init__(
        self,
        name: str = "binary_accuracy",
        dtype: Any = None,
        threshold: float = 0.5,
        **rest: Any,
    ) -> None:
        super().__init__(name, dtype=dtype, **rest)
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold expects a probability from 0 to 1, got {threshold!r}")
        self.threshold = float(threshold)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "threshold": self.threshold}

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        need_columns(self.name, arrays.y_true, arrays.y_pred)
        threshold = logit(self.threshold) if from_logits else self.threshold
        args = (*_rows(arrays), threshold)
        return [(kernels.binary_accuracy, args, WORK * arrays.y_pred.size)]


class CategoricalAccuracy(MeanMetric):
    """Fraction of rows whose largest prediction is where the largest target is."""

    accepts_logits = ("softmax", "sigmoid")
    leaves_out = True

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        need_columns(self.name, arrays.y_true, arrays.y_pred)
        return [(kernels.categorical_accuracy, _rows(arrays), WORK * arrays.y_pred.size)]


class SparseCategoricalAccuracy(MeanMetric):
    """Fraction of rows whose largest prediction is that of the target's class id."""

    takes_any_id = True
    accepts_logits = ("softmax", "sigmoid")
    leaves_out = True

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        _need_ids(self.name, arrays, "categorical_accuracy")
        return [(kernels.sparse_accuracy, _rows(arrays), WORK * arrays.y_pred.size)]

    def prepare_targets(self, true: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Class ids, checked."""
        return class_ids(true, tuple(shape[:-1]), shape[-1], self.name)


class _TopK(MeanMetric):
    """Whether the right class is among the k likeliest."""

    accepts_logits = ("softmax", "sigmoid")
    leaves_out = True

    def __init__(self, k: int = 5, name: str | None = None, **rest: Any) -> None:
        super().__init__(name, **rest)
        self.k = whole_number(k, f"{self.name} k")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"k": self.k, **super().get_config()}


class TopKCategoricalAccuracy(_TopK):
    """Fraction of rows where the largest target stands at one of the k largest predictions.

    Of equal predictions, the first counts as the largest.

    Parameters
    ----------
    k : int
        How many guesses there are.
    name : str, optional
        Key in logs.
    """

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        need_columns(self.name, arrays.y_true, arrays.y_pred)
        args = (*_rows(arrays), self.k)
        return [(kernels.categorical_top_k, args, WORK * arrays.y_pred.size)]


class SparseTopKCategoricalAccuracy(_TopK):
    """Fraction of rows where the class id's prediction is one of the k largest.

    Of equal predictions, the first counts as the largest.

    Parameters
    ----------
    k : int
        How many guesses there are.
    name : str, optional
        Key in logs.
    """

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        _need_ids(self.name, arrays, "top_k_categorical_accuracy")
        args = (*_rows(arrays), self.k)
        return [(kernels.sparse_top_k, args, WORK * arrays.y_pred.size)]

    def prepare_targets(self, true: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Class ids, checked."""
        return class_ids(true, tuple(shape[:-1]), shape[-1], self.name)


class Accuracy(MeanMetric):
    """Binary, categorical or sparse categorical accuracy, whichever fits the arrays.

    Binary for a single output, sparse categorical for class ids, else categorical: what Keras
    makes of the string "accuracy".
    """

    takes_any_id = True
    accepts_logits = ("softmax", "sigmoid")
    leaves_out = True

    def __init__(self, name: str = "accuracy", **rest: Any) -> None:
        super().__init__(name, **rest)
        self._binary = BinaryAccuracy(name)
        self._categorical = CategoricalAccuracy(name)
        self._sparse = SparseCategoricalAccuracy(name)

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        if arrays.y_true.ndim == 1:
            fitting: MeanMetric = self._sparse
        else:
            fitting = self._binary if arrays.y_pred.shape[1] == 1 else self._categorical
        return fitting.calls(arrays, from_logits)

    def prepare_targets(self, true: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Targets of the kind that is meant, checked."""
        ids = true.ndim < len(shape) or true.shape[-1] == 1
        fitting: MeanMetric = self._sparse if ids and shape[-1] > 1 else self._categorical
        return fitting.prepare_targets(true, shape, dtype)


def _rows(arrays: MetricArrays) -> tuple[Array, ...]:
    """The arrays in the order of the kernels' arguments."""
    return (arrays.sums, arrays.row, arrays.y_true, arrays.y_pred, arrays.weights)


def _need_ids(name: str, arrays: MetricArrays, other: str) -> None:
    if arrays.y_true.ndim != 1:
        raise ValueError(
            f"{name} expects targets that are class ids, one a row of predictions; got "
            f"targets of shape {arrays.y_true.shape} for predictions of shape "
            f"{arrays.y_pred.shape}. Use {other} for one-hot targets"
        )
