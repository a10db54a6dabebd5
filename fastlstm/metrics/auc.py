"""The area under a curve of thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastlstm.kernels import counts as kernels
from fastlstm.losses.base import Call
from fastlstm.metrics.base import (
    WORK,
    Array,
    Metric,
    MetricArrays,
    logit,
    need_columns_or_ids,
    parts_of,
    ratio,
)
from fastlstm.metrics.sides import quarters
from fastlstm.validation import whole_number

# Keras' first and last threshold lie so far outside of 0 and 1.
_MARGIN = 1e-7
# No file may ask for a list that fills the memory.
_MOST = 100_000
_CURVES = ("ROC", "PR")
_SUMMATIONS = ("interpolation", "minoring", "majoring")


class AUC(Metric):
    """Area under the curve of recall over false positives (ROC), or precision over recall (PR).

    From the counts at a fixed number of thresholds; all outputs of all rows are answers of one
    kind. (Keras' ``multi_label``, an area for each output, is not among the arguments.)

    Source of the interpolation of PR: Davis and Goadrich, "The relationship between
    precision-recall and ROC curves", ICML 2006.

    Parameters
    ----------
    num_thresholds : int
        How many, from 2 to 100,000, evenly from 0 to 1.
    curve : str
        "ROC" or "PR".
    summation_method : str
        "interpolation", or "minoring" and "majoring" for bounds from below and above.
    name : str, optional
        Key in logs.
    thresholds : iterable of float, optional
        Thresholds between 0 and 1 to use instead; 0 and 1 are added.
    from_logits : bool
        Whether predictions are logits, the sigmoid not yet taken.
    """

    needs_probabilities = True
    takes_ids = True

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        *,
        thresholds: Iterable[float] | None = None,
        from_logits: bool = False,
        **rest: Any,
    ) -> None:
        super().__init__(name, **rest)
        if curve not in _CURVES:
            raise ValueError(f"AUC expects curve 'ROC' or 'PR', got {curve!r}")
        if summation_method not in _SUMMATIONS:
            raise ValueError(
                f"AUC expects a summation_method of {', '.join(map(repr, _SUMMATIONS))}; got "
                f"{summation_method!r}"
            )
        if whole_number(num_thresholds, "AUC num_thresholds", 2) > _MOST:
            raise ValueError(f"AUC expects num_thresholds up to {_MOST}, got {num_thresholds}")
        self.thresholds = None if thresholds is None else sorted(map(float, thresholds))
        inner = self.thresholds
        if inner is None:
            inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
        elif not all(0.0 <= level <= 1.0 for level in inner):
            raise ValueError(f"AUC expects thresholds from 0 to 1, got {self.thresholds}")
        self.num_thresholds = len(inner) + 2
        self.curve, self.summation_method = curve, summation_method
        self.from_logits = bool(from_logits)
        self._levels = np.array([-_MARGIN, *inner, 1.0 + _MARGIN])

    def sums_size(self, columns: int) -> int:
        """Of false answers, then of true ones, those above 0, 1, 2 ... thresholds."""
        return 2 * (self.num_thresholds + 1)

    def parts_size(self, rows: int, columns: int) -> int:
        """Sums of each block of rows."""
        return parts_of(rows, columns, self.sums_size(columns))

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        sums, _, parts, y_true, y_pred, weights = arrays
        need_columns_or_ids(self.name, y_true, y_pred)
        logits = from_logits or self.from_logits
        levels = np.array([logit(level) for level in self._levels]) if logits else self._levels
        even = self.thresholds is None and not logits
        args = (sums, parts, y_true, y_pred, weights, levels.astype(y_pred.dtype), even, 0, -1)
        return [(kernels.histogram, args, 4.0 * WORK * y_pred.size)]

    def result_of(self, sums: Array) -> float:
        """The area; 0 if nothing has been seen."""
        tp, fp, tn, fn = quarters(sums, self.num_thresholds)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated(tp, fp, fn)
        recall = ratio(tp, tp + fn)
        x, y = ratio(fp, fp + tn), recall
        if self.curve == "PR":
            x, y = recall, ratio(tp, tp + fp)
        heights = {
            "interpolation": (y[:-1] + y[1:]) / 2.0,
            "minoring": np.minimum(y[:-1], y[1:]),
            "majoring": np.maximum(y[:-1], y[1:]),
        }[self.summation_method]
        return float(np.sum((x[:-1] - x[1:]) * heights))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "thresholds": self.thresholds,
            "from_logits": self.from_logits,
            **super().get_config(),
        }


def _interpolated(tp: Array, fp: Array, fn: Array) -> float:
    """Area under precision and recall: between thresholds, tp is linear in the positives."""
    positives = tp + fp
    found, shown = tp[:-1] - tp[1:], positives[:-1] - positives[1:]
    slope = ratio(found, shown)
    start = tp[1:] - slope * positives[1:]
    both = (positives[:-1] > 0.0) & (positives[1:] > 0.0)
    quotient = np.divide(positives[:-1], positives[1:], out=np.ones(len(both)), where=both)
    parts = slope * (found + start * np.log(quotient))
    return float(np.sum(ratio(parts, tp[1:] + fn[1:])))
