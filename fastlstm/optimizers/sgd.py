"""Gradient descent."""

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


class SGD(Optimizer):
    """Gradient descent, with momentum where asked for.

        v = momentum · v - learning_rate · g
        p += v                    with nesterov: p += momentum · v - learning_rate · g

    Source: Sutskever et al., "On the importance of initialization and momentum in deep
    learning", ICML 2013; the learning rate is part of the velocity, as in Keras.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size, at least 0.
    momentum : float
        How much of the velocity is kept at each step, in [0, 1].
    nesterov : bool
        Look ahead along the velocity.
    **options
        ``weight_decay``, clipping, averages and so on; see ``Optimizer``.
    """

    step_work = 4.0

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.momentum = real_number("momentum", momentum, most=1.0)
        self.nesterov = bool(nesterov)

    def _config(self) -> dict[str, Any]:
        return {**super()._config(), "momentum": self.momentum, "nesterov": self.nesterov}

    def _moment_names(self) -> Sequence[str]:
        return ("momentum",) if self.momentum else ()

    def _rule(self) -> Static:
        if not self.momentum:
            return rules.SGD()
        return rules.Nesterov() if self.nesterov else rules.Momentum()

    def _step_rates(self, learning_rate: float, t: int) -> Sequence[float]:
        return learning_rate, self.momentum
