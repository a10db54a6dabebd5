"""Gated recurrent unit."""

from __future__ import annotations

from typing import Any, ClassVar

from fastlstm.activations import ACTIVATIONS, ActivationLike, activation_name
from fastlstm.cells.gru import GRUCell
from fastlstm.cells.reset_gru import ResetGRUCell
from fastlstm.layers.recurrent import Recurrent
from fastlstm.layers.reset_op import BackwardsResetOp, ResetOp, Stage


class GRU(Recurrent):
    """Gated recurrent unit, the reset gate after the recurrent product or before it.

    Equations and their source: ``fastlstm.cells.gru`` and ``fastlstm.cells.reset_gru``. Weights:
    kernel (features, 3·units), recurrent_kernel (units, 3·units), bias (2, 3·units), that of x·W
    and that of h·U, or with ``reset_after=False`` one of (3·units,); gates in the order z, r, h.

    Parameters
    ----------
    units : int
        Size of h.
    activation : str or callable
        Activation of the candidate: a name or function of ``fastlstm.activations``.
    recurrent_activation : str or callable
        Activation of the two gates, one of the same.
    use_bias, kernel_initializer, recurrent_initializer, bias_initializer
        As for ``LSTM``.
    reset_after : bool
        Whether the reset gate stands after the product, as in cuDNN and by default in Keras, or
        before it, which takes two products a step, one after the other.
    kernel_regularizer, recurrent_regularizer, bias_regularizer
        As for ``LSTM``.
    kernel_constraint, recurrent_constraint, bias_constraint
        As for ``LSTM``.
    return_sequences, return_state, go_backwards, stateful, dropout, recurrent_dropout, zoneout
        As for ``LSTM``; the only state is h.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        *Recurrent.config_names,
        "activation",
        "recurrent_activation",
        "reset_after",
    )

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        *,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, use_bias, **options)
        self.activation = activation_name(activation)
        self.recurrent_activation = activation_name(recurrent_activation)
        self.reset_after = bool(reset_after)
        kind = GRUCell if self.reset_after else ResetGRUCell
        self.cell = kind(ACTIVATIONS[self.activation], ACTIVATIONS[self.recurrent_activation])
        if not self.reset_after:
            self.ops, self.takes_words = (ResetOp, BackwardsResetOp), False

    def _place(self) -> None:
        super()._place()
        if not self.reset_after:
            first, second = self.cell.stages
            self.stages = Stage(self, first, 0), Stage(self, second, first.blocks)
