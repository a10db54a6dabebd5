"""How much of the targets' variance is explained."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fastlstm.kernels import counts as kernels
from fastlstm.losses.base import Call
from fastlstm.metrics.base import WORK, Array, Metric, MetricArrays, need_columns, parts_of
from fastlstm.validation import whole_number

_AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


class R2Score(Metric):
    """1 - Σ (t - y)² / Σ (t - mean t)² of each column, over everything seen.

    A column whose targets are all equal has a score of 0, or 1 where it is predicted exactly (for
    which Keras gives NaN).

    Parameters
    ----------
    class_aggregation : str, optional
        "uniform_average" for the mean of the columns, "variance_weighted_average" for that by
        their variance, None for an array of all.
    num_regressors : int
        Number of inputs that a column depends on, for the adjusted score; 0 for the plain one.
    name : str
        Key in logs.
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        **rest: Any,
    ) -> None:
        super().__init__(name, **rest)
        if class_aggregation not in _AGGREGATIONS:
            raise ValueError(
                f"R2Score expects class_aggregation None, 'uniform_average' or "
                f"'variance_weighted_average'; got {class_aggregation!r}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = whole_number(num_regressors, "R2Score num_regressors", 0)

    def sums_size(self, columns: int) -> int:
        """Σ t, Σ t² and the squared errors of each column; the weight and number of all."""
        return 3 * columns + 2

    def parts_size(self, rows: int, columns: int) -> int:
        """Sums of each block of rows."""
        return parts_of(rows, columns, self.sums_size(columns))

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        sums, _, parts, y_true, y_pred, weights = arrays
        need_columns(self.name, y_true, y_pred)
        args = (sums, parts, y_true, y_pred, weights)
        return [(kernels.moments, args, WORK * y_pred.size)]

    def result_of(self, sums: Array) -> Any:
        """A number, or an array of one a column; 0 if nothing has been seen."""
        if not len(sums) or not sums[-2]:
            return 0.0
        total, squares, errors = np.reshape(sums[:-2], (3, -1))
        # Rounding leaves a little where all targets are equal.
        spread = squares - total * (total / sums[-2])
        spread = np.where(spread > 1e-14 * squares, spread, 0.0)
        exact = np.where(errors == 0.0, 1.0, 0.0 * errors)
        scores = 1.0 - np.divide(errors, spread, out=1.0 - exact, where=spread != 0.0)
        score: Any = scores
        if self.class_aggregation == "uniform_average":
            score = float(scores.mean())
        elif self.class_aggregation == "variance_weighted_average":
            weight = spread.sum()
            score = float((spread * scores).sum() / weight) if weight else float(scores.mean())
        return self._adjusted(score, int(sums[-1]))

    def _adjusted(self, score: Any, count: int) -> Any:
        if not self.num_regressors:
            return score
        rest = count - self.num_regressors - 1
        if rest <= 0:
            warnings.warn(
                f"{self.name} has seen {count} numbers, too few to adjust the score for "
                f"{self.num_regressors} regressors; it is the plain one",
                stacklevel=3,
            )
            return score
        return 1.0 - (1.0 - score) * (count - 1) / rest

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = {
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
        return {**config, **super().get_config()}
