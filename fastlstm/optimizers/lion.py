"""Lion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastlstm.kernels import rules
from fastlstm.kernels.static import Static
from fastlstm.optimizers.base import Optimizer
from fastlstm.optimizers.options import Options, Rate
from fastlstm.validation import real_number

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Lion(Optimizer):
    """Steps of one size, in the direction of an interpolation of gradient and momentum.

        p -= learning_rate · sign(beta_1 · m + (1 - beta_1) g)
        m = beta_2 · m + (1 - beta_2) g

    Source: Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size, at least 0. Take a third to a tenth of Adam's.
    beta_1 : float
        How much of the momentum shows in the step's direction, greater than 0 and at most 1.
    beta_2 : float
        How much of the momentum is kept at each step, in [0, 1).
    **options
        ``weight_decay``, clipping, averages and so on; see ``Optimizer``.
    """

    step_work = 8.0

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = real_number("beta_1", beta_1, above=0.0, most=1.0)
        self.beta_2 = real_number("beta_2", beta_2, below=1.0)

    def _config(self) -> dict[str, Any]:
        return {**super()._config(), "beta_1": self.beta_1, "beta_2": self.beta_2}

    def _moment_names(self) -> Sequence[str]:
        return ("momentum",)

    def _rule(self) -> Static:
        return rules.Lion()

    def _step_rates(self, learning_rate: float, t: int) -> Sequence[float]:
        return learning_rate, self.beta_1, 1.0 - self.beta_1, self.beta_2, 1.0 - self.beta_2
