"""Adagrad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from fastlstm.kernels import rules
from fastlstm.kernels.static import Static
from fastlstm.optimizers.base import Optimizer
from fastlstm.optimizers.options import Options, Rate
from fastlstm.validation import real_number

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients.

        a += g²        p -= learning_rate · g / √(a + epsilon)

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 12, 2011; epsilon is inside the root, as in Keras.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size, at least 0.
    initial_accumulator_value : float
        Where the sums start, at least 0.
    epsilon : float
        Keeps the division defined, greater than 0.
    **options
        ``weight_decay``, clipping, averages and so on; see ``Optimizer``.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        value = real_number("initial_accumulator_value", initial_accumulator_value)
        self.initial_accumulator_value = value
        self.epsilon = real_number("epsilon", epsilon, above=0.0)

    def _config(self) -> dict[str, Any]:
        return {
            **super()._config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }

    def build(
        self, segments: Sequence[tuple[str, int, int]], size: int, dtype: npt.DTypeLike
    ) -> None:
        """Start afresh for a buffer of parameters; see ``Optimizer.build``."""
        super().build(segments, size, dtype)
        self._state["accumulator"].fill(self.initial_accumulator_value)

    def _moment_names(self) -> Sequence[str]:
        return ("accumulator",)

    def _rule(self) -> Static:
        return rules.Adagrad()

    def _step_rates(self, learning_rate: float, t: int) -> Sequence[float]:
        return learning_rate, self.epsilon
