"""Losses between distributions, rates and directions."""

from __future__ import annotations

from typing import Any

from fastlstm.kernels import equations, rowlosses
from fastlstm.kernels import losses as kernels
from fastlstm.losses.base import (
    ENTROPY_WORK,
    ERROR_WORK,
    MEAN,
    Call,
    Loss,
    LossArrays,
    check_axis,
)
from fastlstm.losses.regression import Elementwise


class Poisson(Elementwise):
    """Mean of y - t log(y + 1e-7): how unlikely counts t are at the rates y.

    Rates must not be negative, whose logarithm is NaN: let the last activation see to that.
    """

    equation = equations.Poisson()
    element_work = ENTROPY_WORK


class KLDivergence(Loss):
    """Σ t log(t / y) of two distributions, whose probabilities are kept within 1e-7 and 1."""

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        args = (equations.Divergence(), *arrays, float(arrays.y_pred.shape[1]))
        return kernels.elementwise, args, ENTROPY_WORK * arrays.y_pred.size


class CosineSimilarity(Loss):
    """-Σ t y / (|t| |y|): -1 where the directions agree, 1 where they are opposite.

    The square of a length counts as 1e-12 at least, so that a row of zeros has a loss of 0.

    Parameters
    ----------
    axis : int
        Only the last one, -1.
    reduction, name
        As for ``Loss``.
    """

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(reduction, name, **rest)
        check_axis(axis)

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        return rowlosses.cosine, arrays, ERROR_WORK * arrays.y_pred.size
