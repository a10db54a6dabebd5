"""Adamax."""

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


class Adamax(Optimizer):
    """Adam with the largest recent gradient in place of the mean square.

        m += (g - m)(1 - beta_1)        u = max(beta_2 · u, |g|)
        p -= learning_rate / (1 - beta_1^t) · m / (u + epsilon)

    Source: Kingma and Ba, "Adam: A method for stochastic optimization", ICLR 2015, section 7.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size, at least 0.
    beta_1, beta_2 : float
        How much of the mean and of the maximum is kept at each step, in [0, 1).
    epsilon : float
        Keeps the division defined, greater than 0.
    **options
        ``weight_decay``, clipping, averages and so on; see ``Optimizer``.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = real_number("beta_1", beta_1, below=1.0)
        self.beta_2 = real_number("beta_2", beta_2, below=1.0)
        self.epsilon = real_number("epsilon", epsilon, above=0.0)

    def _config(self) -> dict[str, Any]:
        return {
            **super()._config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }

    def _moment_names(self) -> Sequence[str]:
        return "momentum", "norm"

    def _rule(self) -> Static:
        return rules.Adamax()

    def _step_rates(self, learning_rate: float, t: int) -> Sequence[float]:
        alpha = learning_rate / (1.0 - self.beta_1**t)
        return alpha, 1.0 - self.beta_1, self.beta_2, self.epsilon
