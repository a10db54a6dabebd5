"""Which class is taken for which."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels import counts as kernels
from fastlstm.losses.base import Call
from fastlstm.metrics.base import WORK, Array, Metric, MetricArrays, need_columns_or_ids
from fastlstm.validation import whole_number


class ConfusionMatrix(Metric):
    """Weight of the rows of each class (down) that were predicted as each class (across).

    The prediction is the largest output, the first of equals; with a single output, which makes
    two classes, it is 1 where that is above ½. Targets are class ids or one-hot.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    name : str
        Key in logs.
    """

    accepts_logits = ("softmax", "sigmoid")
    takes_ids = True

    def __init__(self, num_classes: int, name: str = "confusion_matrix", **rest: Any) -> None:
        super().__init__(name, **rest)
        self.num_classes = whole_number(num_classes, "ConfusionMatrix num_classes", 2)

    def sums_size(self, columns: int) -> int:
        """All pairs of classes."""
        if max(columns, 2) != self.num_classes:
            raise ValueError(
                f"{self.name} expects predictions of num_classes={self.num_classes} columns, or "
                f"one for two classes; got {columns}"
            )
        return self.num_classes**2

    def parts_size(self, rows: int, columns: int) -> int:
        """A place for each row."""
        return rows

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        sums, _, codes, y_true, y_pred, weights = arrays
        need_columns_or_ids(self.name, y_true, y_pred)
        args = (sums, codes, y_true, y_pred, weights, 0.0 if from_logits else 0.5)
        return [(kernels.confusion, args, WORK * (y_pred.size + len(sums)))]

    def result_of(self, sums: Array) -> Array:
        """The matrix, (num_classes, num_classes)."""
        seen = sums if len(sums) else np.zeros(self.num_classes**2)
        return seen.reshape(self.num_classes, self.num_classes).copy()

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return {"num_classes": self.num_classes, **super().get_config()}
