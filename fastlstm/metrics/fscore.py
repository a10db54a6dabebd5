"""Precision and recall in one number, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels import counts as kernels
from fastlstm.losses.base import Call
from fastlstm.metrics.base import WORK, Array, Metric, MetricArrays, need_columns_or_ids, parts_of

# Keras adds it to each divisor.
_EPSILON = 1e-7
_AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """(1 + beta²) precision · recall / (beta² precision + recall).

    Parameters
    ----------
    average : str, optional
        None for an array of one score a class, "micro" for the score of all answers together,
        "macro" for the mean of the classes, "weighted" for their mean by how often they are true.
    beta : float
        How much more recall counts than precision.
    threshold : float, optional
        Above which an output counts as found, greater than 0 and at most 1; by default the largest
        of each row, and its equals.
    name : str
        Key in logs.
    """

    needs_probabilities = True
    takes_ids = True

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        **rest: Any,
    ) -> None:
        super().__init__(name, **rest)
        if average not in _AVERAGES:
            raise ValueError(
                f"{name} expects average None, 'micro', 'macro' or 'weighted'; got {average!r}"
            )
        if not 0.0 < beta < np.inf:
            raise ValueError(f"{name} expects beta greater than 0 and finite, got {beta!r}")
        if threshold is not None and not 0.0 < threshold <= 1.0:
            raise ValueError(
                f"{name} expects a threshold greater than 0 and at most 1, or None; got "
                f"{threshold!r}"
            )
        self.average, self.beta = average, float(beta)
        self.threshold = None if threshold is None else float(threshold)

    def sums_size(self, columns: int) -> int:
        """Of each class, what was found rightly, what was found, and what is true."""
        return 3 * columns

    def parts_size(self, rows: int, columns: int) -> int:
        """Sums of each block of rows."""
        return parts_of(rows, columns, self.sums_size(columns))

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        need_columns_or_ids(self.name, arrays.y_true, arrays.y_pred)
        kernel = kernels.classes_of_ids if arrays.y_true.ndim == 1 else kernels.classes
        largest = self.threshold is None
        # In the predictions' precision, so that an equal one is not above it.
        threshold = float(arrays.y_pred.dtype.type(self.threshold or 0.0))
        return [(kernel, (*arrays, threshold, largest), WORK * arrays.y_pred.size)]

    def result_of(self, sums: Array) -> Any:
        """A number, or an array of one a class; 0 if nothing has been seen."""
        both, found, true = np.reshape(sums, (3, -1))
        if self.average == "micro" or not len(sums):
            both, found, true = (np.array([side.sum()]) for side in (both, found, true))
        precision, recall = both / (found + _EPSILON), both / (true + _EPSILON)
        square = self.beta**2
        scores = (1.0 + square) * precision * recall / (square * precision + recall + _EPSILON)
        if self.average == "weighted":
            return float(np.sum(scores * true / (true.sum() + _EPSILON)))
        return scores if self.average is None else float(scores.mean())

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**config, **super().get_config()}


class F1Score(FBetaScore):
    """2 precision · recall / (precision + recall); arguments as for ``FBetaScore``."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        **rest: Any,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, **rest)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        del config["beta"]
        return config
