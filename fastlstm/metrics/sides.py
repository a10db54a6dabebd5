"""What lies on either side of thresholds: true and false positives and negatives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

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
from fastlstm.validation import whole_number

# Keras' threshold where a row's k largest count: below every prediction.
_BELOW_ALL = -1e10


class Sides(Metric):
    """Base class of metrics that count outputs above thresholds, and below.

    Every output of every row is an answer of its own, unless ``class_id`` picks one. Targets other
    than 0 are true; class ids count as one-hot rows.
    """

    accepts_logits = ("sigmoid",)
    needs_probabilities = True
    takes_ids = True

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name, **rest)
        self.thresholds = thresholds
        self.top_k = None if top_k is None else whole_number(top_k, f"{self.name} top_k")
        self.class_id = (
            None if class_id is None else whole_number(class_id, f"{self.name} class_id", 0)
        )
        levels = _levels(self.name, thresholds, _BELOW_ALL if top_k else 0.5)
        order = np.argsort(levels, kind="stable")
        self._levels, self._places = levels[order], np.argsort(order)

    def sums_size(self, columns: int) -> int:
        """Of false answers, then of true ones, those above 0, 1, 2 ... thresholds."""
        if self.class_id is not None and self.class_id >= columns:
            raise ValueError(
                f"{self.name} looks at class_id={self.class_id}, but the predictions have "
                f"{columns} columns, numbered from 0"
            )
        return 2 * (len(self._levels) + 1)

    def parts_size(self, rows: int, columns: int) -> int:
        """Sums of each block of rows."""
        return parts_of(rows, columns, self.sums_size(columns))

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        sums, _, parts, y_true, y_pred, weights = arrays
        need_columns_or_ids(self.name, y_true, y_pred)
        levels = self._levels
        if from_logits and self.top_k is None:
            levels = np.array([logit(level) for level in levels])
        work = WORK * y_pred.size
        plain = self.top_k is None and self.class_id is None and y_true.ndim == 2
        if len(levels) == 1 and plain:
            return [(kernels.sides, (sums, parts, y_true, y_pred, weights, float(levels[0])), work)]
        args = (
            sums, parts, y_true, y_pred, weights, levels.astype(y_pred.dtype), False,
            self.top_k or 0, -1 if self.class_id is None else self.class_id,
        )  # fmt: skip
        return [(kernels.histogram, args, work)]

    def result_of(self, sums: Array) -> Any:
        """A number, or an array of one for each threshold."""
        values = self.value_of(*quarters(sums, len(self._levels)))[self._places]
        return float(values[0]) if np.ndim(self.thresholds) == 0 or len(values) == 1 else values

    @abstractmethod
    def value_of(self, tp: Array, fp: Array, tn: Array, fn: Array) -> Array:
        """The metric, from the true and false positives and negatives of each threshold."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        thresholds = self.thresholds
        if isinstance(thresholds, Sequence | np.ndarray):
            thresholds = [float(level) for level in thresholds]
        config = {"thresholds": thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**config, **super().get_config()}


class _Count(Sides):
    """One of the four counts."""

    which: ClassVar[int]

    def __init__(self, thresholds: Any = None, name: str | None = None, **rest: Any) -> None:
        super().__init__(thresholds, name=name, **rest)

    def value_of(self, tp: Array, fp: Array, tn: Array, fn: Array) -> Array:
        """The count."""
        return (tp, fp, tn, fn)[self.which]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        return {"thresholds": config["thresholds"], "name": config["name"]}


class TruePositives(_Count):
    """Weight of the true answers above the threshold.

    Parameters
    ----------
    thresholds : float or list of float, optional
        From 0 to 1, by default 0.5; a list gives an array.
    name : str, optional
        Key in logs.
    """

    which = 0


class FalsePositives(_Count):
    """Weight of the false answers above the threshold; arguments as for ``TruePositives``."""

    which = 1
    direction = "min"


class TrueNegatives(_Count):
    """Weight of the false answers not above the threshold; arguments as for ``TruePositives``."""

    which = 2


class FalseNegatives(_Count):
    """Weight of the true answers not above the threshold; arguments as for ``TruePositives``."""

    which = 3
    direction = "min"


class Precision(Sides):
    """Part of the positives that are true; 0 where there are none.

    Parameters
    ----------
    thresholds : float or list of float, optional
        From 0 to 1, by default 0.5, or none with ``top_k``; a list gives an array.
    top_k : int, optional
        Only the k largest outputs of a row count as positive.
    class_id : int, optional
        The one output that is looked at.
    name : str, optional
        Key in logs.
    """

    def value_of(self, tp: Array, fp: Array, tn: Array, fn: Array) -> Array:
        """tp / (tp + fp)."""
        values: Array = ratio(tp, tp + fp)
        return values


class Recall(Sides):
    """Part of the true answers that were found; arguments as for ``Precision``."""

    def value_of(self, tp: Array, fp: Array, tn: Array, fn: Array) -> Array:
        """tp / (tp + fn)."""
        values: Array = ratio(tp, tp + fn)
        return values


def quarters(sums: Array, count: int) -> tuple[Array, Array, Array, Array]:
    """True and false positives, true and false negatives at each of ``count`` thresholds."""
    false, true = np.reshape(sums, (2, -1)) if len(sums) else np.zeros((2, count + 1))
    above = [np.cumsum(side[::-1])[::-1][1:] for side in (true, false)]
    below = [np.cumsum(side)[:-1] for side in (false, true)]
    return above[0], above[1], below[0], below[1]


def _levels(name: str, thresholds: Any, default: float) -> Array:
    if thresholds is None:
        return np.array([default])
    levels = np.array(thresholds, float, ndmin=1)
    if levels.ndim != 1 or not levels.size or not ((levels >= 0.0) & (levels <= 1.0)).all():
        raise ValueError(
            f"{name} expects thresholds, one or a list, from 0 to 1; got {thresholds!r}"
        )
    return levels
