"""Long short-term memory, and the variant with one gate less."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm import initializers
from fastlstm.activations import ACTIVATIONS, ActivationLike, activation_name
from fastlstm.cells.cifg import CoupledLSTMCell
from fastlstm.cells.lstm import LSTMCell
from fastlstm.cells.peephole import PeepholeLSTMCell
from fastlstm.layers.base import WeightSpec
from fastlstm.layers.recurrent import Recurrent


class LSTM(Recurrent):
    """Long short-term memory.

    Equations and their source: ``fastlstm.cells.lstm``. Weights: kernel (features, 4·units),
    recurrent_kernel (units, 4·units), bias (4·units), gates in the order i, f, c, o.

    Parameters
    ----------
    units : int
        Size of h and c.
    activation : str or callable
        Activation of the candidate and of the state: a name or function of
        ``fastlstm.activations`` ("tanh", "relu", "linear" ...).
    recurrent_activation : str or callable
        Activation of the three gates, one of the same.
    use_bias : bool
        Whether there is a bias.
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
        Initial values; Glorot uniform, orthogonal, and zeros.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties that are part of the loss, such as "l2"; see ``fastlstm.regularizers``.
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
        What brings the weights back after each update; see ``fastlstm.constraints``.
    unit_forget_bias : bool
        Start the forget gate's bias at 1.
    return_sequences : bool
        Return h of every step rather than of the last one.
    return_state : bool
        Return the final h and c as well.
    go_backwards : bool
        Take the steps from the last to the first, and return them in that order.
    stateful : bool
        Start each batch from the final states of the one before.
    dropout : float
        Fraction of the inputs to drop in training, the same ones at each step of a sequence.
    recurrent_dropout : float
        Fraction of h to drop on its way to the recurrent product, likewise; see ``Recurrent``.
    zoneout, zoneout_cell : float
        Probability that a unit of h, or of c, stays what it was before a step; see ``Recurrent``.
    zero_output_for_mask : bool
        With ``return_sequences``: whether steps that a mask leaves out give zeros rather than h
        again.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        *Recurrent.config_names,
        "activation",
        "recurrent_activation",
        "unit_forget_bias",
    )
    cell_class: ClassVar[type] = LSTMCell
    has_memory_cell = True
    forget_block: ClassVar[int] = 1

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        *,
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, use_bias, **options)
        self.activation = activation_name(activation)
        self.recurrent_activation = activation_name(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)
        self.cell = self.cell_class(
            ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation]
        )

    def initial_bias(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        if not self.unit_forget_bias:
            return super().initial_bias(shape, dtype)
        units, at = self.units, self.forget_block * self.units
        return np.concatenate(
            [
                self.bias_initializer((at,), dtype),
                np.ones(units, dtype),
                self.bias_initializer((shape[0] - at - units,), dtype),
            ]
        )


class CoupledLSTM(LSTM):
    """Long short-term memory whose input gate is 1 minus the forget gate.

    Equations and their source: ``fastlstm.cells.cifg``. A quarter fewer weights: kernel (features,
    3·units), recurrent_kernel (units, 3·units), bias (3·units), in the order f, c, o. Parameters as
    for ``LSTM``.
    """

    cell_class = CoupledLSTMCell
    forget_block = 0


class PeepholeLSTM(LSTM):
    """Long short-term memory whose gates see the cell state, each unit that of its own.

    Equations and their source: ``fastlstm.cells.peephole``. Weights: those of ``LSTM``, and then
    peephole (3, units), by which c goes to the gates i, f and o. With zeros there it is ``LSTM``.

    Parameters
    ----------
    units, activation, recurrent_activation, use_bias
        As for ``LSTM``.
    peephole_initializer : str or Initializer
        Initial values of the peepholes; zeros.
    **options
        As for ``LSTM``.
    """

    cell_class = PeepholeLSTMCell
    config_names: ClassVar[tuple[str, ...]] = (*LSTM.config_names, "peephole_initializer")

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        *,
        peephole_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(units, activation, recurrent_activation, use_bias, **options)
        self.peephole_initializer = initializers.get(peephole_initializer)

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        shape = (self.cell.own, self.units)
        own = WeightSpec("peephole", shape, self.peephole_initializer)
        return [*super().weight_specs(input_shape), own]

    @property
    def own_weights(self) -> np.ndarray:
        return self.param("peephole")
