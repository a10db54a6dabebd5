"""Losses of numbers: squared, absolute and relative errors, and what lies between them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import equations
from fastlstm.kernels import losses as kernels
from fastlstm.losses.base import ENTROPY_WORK, ERROR_WORK, MEAN, Call, Loss, LossArrays


class Elementwise(Loss):
    """A loss of each element alone: what its ``equation`` says, averaged."""

    equation: ClassVar[Any]
    element_work: ClassVar[float] = ERROR_WORK
    option: float = 0.0

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        args = (self.equation, *arrays, self.option)
        return kernels.elementwise, args, self.element_work * arrays.y_pred.size


class MeanSquaredError(Elementwise):
    """Mean of (y - t)²."""

    equation = kernels.Squared()


class MeanAbsoluteError(Elementwise):
    """Mean of |y - t|; the gradient where they are equal is 0."""

    equation = kernels.Absolute()


class MeanAbsolutePercentageError(Elementwise):
    """100 times the mean of |y - t| / |t|, where |t| counts as 1e-7 at least."""

    equation = equations.Percentage()


class MeanSquaredLogarithmicError(Elementwise):
    """Mean of (log(1 + y) - log(1 + t))², where y and t count as 1e-7 at least.

    A prediction below that has no gradient, so that the last activation should keep them above 0.
    """

    equation = equations.SquaredLogarithmic()
    element_work = ENTROPY_WORK


class LogCosh(Elementwise):
    """Mean of log cosh(y - t): ½e² for small errors, |e| - log 2 for large; exact for both."""

    equation = equations.LogCosh()
    element_work = ENTROPY_WORK


class Huber(Elementwise):
    """Squared for small errors, linear for large: ½e² where |e| <= delta, else delta(|e| - ½delta).

    Source: Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics
    35(1), 1964.

    Parameters
    ----------
    delta : float
        Error at which the loss becomes linear, greater than 0.
    reduction, name
        As for ``Loss``.
    """

    equation = kernels.Huber()

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = MEAN,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(reduction, name, **rest)
        if not 0.0 < delta < np.inf:
            raise ValueError(f"Huber expects delta greater than 0 and finite, got {delta!r}")
        self.delta = self.option = float(delta)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"delta": self.delta, **super().get_config()}
