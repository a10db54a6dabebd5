"""The scalar long short-term memory of xLSTM."""

from __future__ import annotations

from typing import Any

from fastlstm.cells.slstm import SLSTMCell
from fastlstm.layers.recurrent import Recurrent


class SLSTM(Recurrent):
    """Scalar long short-term memory, with exponential gates and a stabiliser.

    Equations and their source: ``fastlstm.cells.slstm``. Weights: kernel (features, 4·units),
    recurrent_kernel (units, 4·units), bias (4·units), in the order i, f, z, o.

    Parameters
    ----------
    units : int
        Size of h, c, n and m.
    use_bias, kernel_initializer, recurrent_initializer, bias_initializer
        As for ``LSTM``; no part of the bias starts at 1.
    return_sequences, return_state, stateful, name, input_shape, dtype
        As for ``LSTM``; the states are h, c, n and m.
    """

    def __init__(
        self,
        units: int,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        return_sequences: bool = False,
        return_state: bool = False,
        stateful: bool = False,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(
            units,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            return_sequences=return_sequences,
            return_state=return_state,
            stateful=stateful,
            name=name,
            input_shape=input_shape,
            dtype=dtype,
        )
        self.cell = SLSTMCell()
