"""Adam."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastlstm.kernels import rules
from fastlstm.kernels.static import Static
from fastlstm.optimizers.base import Optimizer
from fastlstm.optimizers.options import Options, Rate
from fastlstm.validation import real_number

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square.

        m += (g - m)(1 - beta_1)        v += (g² - v)(1 - beta_2)
        p -= learning_rate · √(1 - beta_2^t) / (1 - beta_1^t) · m / (√v + epsilon)

    Source: Kingma and Ba, "Adam: A method for stochastic optimization", ICLR 2015; epsilon
    stands as in Keras ("epsilon hat" in the paper). With ``amsgrad`` the largest v so far takes
    the place of v: Reddi et al., "On the convergence of Adam and beyond", ICLR 2018.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size, at least 0.
    beta_1, beta_2 : float
        How much of the averages is kept at each step, in [0, 1).
    epsilon : float
        Keeps the division defined, greater than 0.
    amsgrad : bool
        Divide by the root of the largest v so far.
    **options
        ``weight_decay``, clipping, averages and so on; see ``Optimizer``.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = real_number("beta_1", beta_1, below=1.0)
        self.beta_2 = real_number("beta_2", beta_2, below=1.0)
        self.epsilon = real_number("epsilon", epsilon, above=0.0)
        self.amsgrad = bool(amsgrad)

    def _config(self) -> dict[str, Any]:
        return {
            **super()._config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }

    def _moment_names(self) -> Sequence[str]:
        names = ("momentum", "velocity")
        return (*names, "velocity_hat") if self.amsgrad else names

    def _rule(self) -> Static:
        return rules.AMSGrad() if self.amsgrad else rules.Adam()

    def _step_rates(self, learning_rate: float, t: int) -> Sequence[float]:
        # Both moments start at zero and are too small at first.
        correction = math.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        return learning_rate * correction, 1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon
