"""Losses of numbers: squared and absolute errors, and between them Huber's."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import losses as kernels
from fastlstm.losses.base import ERROR_WORK, Call, Loss, LossArrays


class _Error(Loss):
    """A loss of each element alone: what its ``equation`` says, averaged."""

    equation: ClassVar[Any]
    option: float = 0.0

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        args = (self.equation, *arrays, self.option)
        return kernels.elementwise, args, ERROR_WORK * arrays.y_pred.size


class MeanSquaredError(_Error):
    """Mean of (y - t)²."""

    equation = kernels.Squared()


class MeanAbsoluteError(_Error):
    """Mean of |y - t|; the gradient where they are equal is 0."""

    equation = kernels.Absolute()


class Huber(_Error):
    """Squared for small errors, linear for large: ½e² where |e| <= delta, else delta(|e| - ½delta).

    Source: Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics
    35(1), 1964.

    Parameters
    ----------
    delta : float
        Error at which the loss becomes linear, greater than 0.
    """

    equation = kernels.Huber()

    def __init__(self, delta: float = 1.0) -> None:
        if not 0.0 < delta < np.inf:
            raise ValueError(f"Huber expects delta greater than 0 and finite, got {delta!r}")
        self.delta = self.option = float(delta)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"delta": self.delta}
