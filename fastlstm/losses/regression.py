"""Losses of numbers: squared and absolute errors, and between them Huber's."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels import losses as kernels
from fastlstm.losses.base import Array, Loss, elementwise

_SQUARED = kernels.Squared()
_ABSOLUTE = kernels.Absolute()
_HUBER = kernels.Huber()


class MeanSquaredError(Loss):
    """Mean of (y - t)²."""

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient; see ``Loss.compute``."""
        return elementwise(_SQUARED, d_pred, row_loss, y_true, y_pred, weights)


class MeanAbsoluteError(Loss):
    """Mean of |y - t|; the gradient where they are equal is 0."""

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient; see ``Loss.compute``."""
        return elementwise(_ABSOLUTE, d_pred, row_loss, y_true, y_pred, weights)


class Huber(Loss):
    """Squared for small errors, linear for large: ½e² where |e| <= delta, else delta(|e| - ½delta).

    Source: Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics
    35(1), 1964.

    Parameters
    ----------
    delta : float
        Error at which the loss becomes linear, greater than 0.
    """

    def __init__(self, delta: float = 1.0) -> None:
        if not 0.0 < delta < np.inf:
            raise ValueError(f"Huber expects delta greater than 0 and finite, got {delta!r}")
        self.delta = float(delta)

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient; see ``Loss.compute``."""
        return elementwise(_HUBER, d_pred, row_loss, y_true, y_pred, weights, self.delta)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"delta": self.delta}
