"""How many classes a model hesitates between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlstm import losses
from fastlstm.losses.base import Call
from fastlstm.metrics.base import Array, MeanMetric, MetricArrays
from fastlstm.metrics.wrapped import LossMetric


class Perplexity(MeanMetric):
    """e to the mean cross-entropy of everything seen, for class ids or one-hot targets.

    Infinite where that is too large for a number. Predictions are probabilities, or what a loss
    that includes the softmax reads.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits, the softmax not yet taken.
    name : str
        Key in logs.
    """

    direction = "min"
    accepts_logits = ("softmax",)
    takes_ids = True

    def __init__(self, from_logits: bool = False, name: str = "perplexity", **rest: Any) -> None:
        super().__init__(name, **rest)
        self.from_logits = bool(from_logits)
        self._sparse = LossMetric(losses.SparseCategoricalCrossentropy(from_logits), name)
        self._one_hot = LossMetric(losses.CategoricalCrossentropy(from_logits), name)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"from_logits": self.from_logits, **super().get_config()}

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """Kernels, arguments and work; see ``Metric.calls``."""
        fitting = self._sparse if arrays.y_true.ndim == 1 else self._one_hot
        return fitting.calls(arrays, from_logits)

    def result_of(self, sums: Array) -> float:
        """e to the mean; 0 if nothing has been seen."""
        if not len(sums) or not sums[1]:
            return 0.0
        mean = super().result_of(sums)
        return math.inf if mean > 709.0 else math.exp(mean)

    def prepare_targets(self, true: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Class ids or one-hot rows, checked."""
        fits = true.shape == tuple(shape)
        return (self._one_hot if fits else self._sparse).prepare_targets(true, shape, dtype)
