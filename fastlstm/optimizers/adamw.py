"""Adam with weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlstm.optimizers.adam import Adam
from fastlstm.optimizers.options import DecayedOptions, Rate

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AdamW(Adam):
    """``Adam`` after p -= learning_rate · weight_decay · p, which it does not see.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size, at least 0.
    weight_decay : float
        How much of the weights is taken off, times the learning rate, at each update.
    beta_1, beta_2, epsilon, amsgrad
        As for ``Adam``.
    **options
        Clipping, averages and so on; see ``Optimizer``.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[DecayedOptions],
    ) -> None:
        if weight_decay is None:
            raise ValueError("AdamW expects weight_decay as a number, got None; Adam has none")
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options
        )
