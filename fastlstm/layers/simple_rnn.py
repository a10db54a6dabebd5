"""The simple recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar

from fastlstm.activations import ACTIVATIONS, ActivationLike, activation_name
from fastlstm.cells.rnn import RNNCell
from fastlstm.layers.recurrent import Recurrent


class SimpleRNN(Recurrent):
    """Fully connected recurrent layer, h' = activation(x·W + h·U + b).

    Parameters
    ----------
    units : int
        Size of h.
    activation : str or callable
        A name or function of ``fastlstm.activations``.
    use_bias, kernel_initializer, recurrent_initializer, bias_initializer
        As for ``LSTM``; kernel (features, units), recurrent_kernel (units, units), bias (units).
    kernel_regularizer, recurrent_regularizer, bias_regularizer
        As for ``LSTM``.
    kernel_constraint, recurrent_constraint, bias_constraint
        As for ``LSTM``.
    return_sequences, return_state, go_backwards, stateful, dropout, recurrent_dropout, zoneout
        As for ``LSTM``; the only state is h.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = (*Recurrent.config_names, "activation")

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, use_bias, **options)
        self.activation = activation_name(activation)
        self.cell = RNNCell(ACTIVATIONS[self.activation])
