"""Gated recurrent unit."""

from __future__ import annotations

from typing import Any, ClassVar

from fastlstm.cells.gru import GRUCell
from fastlstm.layers.activations import ACTIVATIONS, activation_name
from fastlstm.layers.recurrent import Recurrent


class GRU(Recurrent):
    """Gated recurrent unit, the reset gate after the product (Keras' ``reset_after=True``).

    Equations and their source: ``fastlstm.cells.gru``. Weights: kernel (features, 3·units),
    recurrent_kernel (units, 3·units), bias (2, 3·units), that of x·W and that of h·U; gates in the
    order z, r, h.

    Parameters
    ----------
    units : int
        Size of h.
    activation : str
        Activation of the candidate: "tanh", "relu", "sigmoid", "hard_sigmoid" or "linear".
    recurrent_activation : str
        Activation of the two gates, one of the same.
    use_bias, kernel_initializer, recurrent_initializer, bias_initializer
        As for ``LSTM``.
    reset_after : bool
        Accepted as in Keras; only True is here.
    return_sequences, return_state, go_backwards, stateful, dropout, recurrent_dropout
        As for ``LSTM``; the only state is h.
    name, input_shape, dtype
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        *Recurrent.config_names,
        "activation",
        "recurrent_activation",
    )

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        *,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        if not reset_after:
            raise ValueError(
                "GRU has no reset gate before the product yet: leave reset_after at True, as Keras "
                "has it by default"
            )
        super().__init__(units, use_bias, **options)
        self.activation = activation_name(activation)
        self.recurrent_activation = activation_name(recurrent_activation)
        self.cell = GRUCell(ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation])
