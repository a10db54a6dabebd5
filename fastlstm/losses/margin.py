"""Losses of a margin: predictions are scores, whose sign or order is the answer."""

from __future__ import annotations

from fastlstm.kernels import equations, rowlosses
from fastlstm.losses.base import ERROR_WORK, Call, Loss, LossArrays
from fastlstm.losses.crossentropy import ids_advice
from fastlstm.losses.regression import Elementwise


class Hinge(Elementwise):
    """Mean of max(1 - t y, 0), for targets of 1 and -1, or 1 and 0.

    A target of 0 counts as -1. (Keras asks whether the whole batch has nothing but 0 and 1; here
    a row's loss depends on that row alone.)
    """

    equation = equations.Hinge()


class SquaredHinge(Elementwise):
    """Mean of max(1 - t y, 0)², for targets as in ``Hinge``."""

    equation = equations.SquaredHinge()


class CategoricalHinge(Loss):
    """max(1 + max (1 - t) y - Σ t y, 0): the right class's score leads by 1; targets are one-hot.

    Of several classes with the highest wrong score, the first has the gradient.
    """

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        return rowlosses.categorical_hinge, arrays, ERROR_WORK * arrays.y_pred.size

    def _shape_advice(self, given: tuple[int, ...], shape: tuple[int, ...]) -> str:
        return ids_advice(given, shape)
