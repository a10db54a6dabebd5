"""RMSprop."""

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

_RULES = {
    (False, False): rules.RMSprop(),
    (True, False): rules.RMSpropMomentum(),
    (False, True): rules.RMSpropCentered(),
    (True, True): rules.RMSpropCenteredMomentum(),
}


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of the squared gradient.

        v = rho · v + (1 - rho) g²
        p -= learning_rate · g / √(v + epsilon)

    With ``momentum`` that step is added to momentum times the last one. With ``centered`` the
    variance of the gradient, v - (its mean)², takes the place of v; where rounding would bring it
    below 0, it is 0.

    Source: Hinton, "Neural networks for machine learning", lecture 6, 2012; epsilon is inside the
    root, as in Keras.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size, at least 0.
    rho : float
        How much of the averages is kept at each step, in [0, 1).
    momentum : float
        How much of the last step is kept, in [0, 1].
    epsilon : float
        Keeps the division defined, greater than 0.
    centered : bool
        Divide by the root of the variance.
    **options
        ``weight_decay``, clipping, averages and so on; see ``Optimizer``.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = real_number("rho", rho, below=1.0)
        self.momentum = real_number("momentum", momentum, most=1.0)
        self.epsilon = real_number("epsilon", epsilon, above=0.0)
        self.centered = bool(centered)

    def _config(self) -> dict[str, Any]:
        return {
            **super()._config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }

    def _moment_names(self) -> Sequence[str]:
        momentum = ("momentum",) if self.momentum else ()
        return ("velocity", *momentum, *(("average_gradient",) if self.centered else ()))

    def _rule(self) -> Static:
        return _RULES[bool(self.momentum), self.centered]

    def _step_rates(self, learning_rate: float, t: int) -> Sequence[float]:
        return learning_rate, self.rho, 1.0 - self.rho, self.epsilon, self.momentum
