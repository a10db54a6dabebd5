"""Nadam."""

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

# How fast the momentum approaches beta_1, as in the paper and in Keras.
_DECAY = 0.96


class Nadam(Optimizer):
    """Adam with Nesterov's momentum, which grows towards beta_1.

        u_t = beta_1 (1 - 0.96^t / 2)        U_t = u_1 · u_2 · ... · u_t
        m += (g - m)(1 - beta_1)             v += (g² - v)(1 - beta_2)
        m' = u_{t+1} m / (1 - U_{t+1}) + (1 - u_t) g / (1 - U_t)
        p -= learning_rate · m' / (√(v / (1 - beta_2^t)) + epsilon)

    Source: Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size, at least 0.
    beta_1, beta_2 : float
        How much of the averages is kept at each step, in [0, 1).
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
        self._product = 0, 1.0

    def _config(self) -> dict[str, Any]:
        return {
            **super()._config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }

    def _moment_names(self) -> Sequence[str]:
        return "momentum", "velocity"

    def _rule(self) -> Static:
        return rules.Nadam()

    def _step_rates(self, learning_rate: float, t: int) -> Sequence[float]:
        u, u_next, product = self._momentum(t), self._momentum(t + 1), self._momentum_product(t)
        return (
            learning_rate * u_next / (1.0 - product * u_next),
            learning_rate * (1.0 - u) / (1.0 - product),
            1.0 - self.beta_1,
            1.0 - self.beta_2,
            1.0 / (1.0 - self.beta_2**t),
            self.epsilon,
        )

    def _momentum(self, t: int) -> float:
        return self.beta_1 * (1.0 - 0.5 * _DECAY**t)

    def _momentum_product(self, t: int) -> float:
        """Product of all momenta to number t: always taken in order, for the same bits."""
        last, product = self._product
        if t < last:
            last, product = 0, 1.0
        while last < t and product > 0.0:  # below the smallest number it stays zero
            last += 1
            product *= self._momentum(last)
        self._product = t, product
        return product
