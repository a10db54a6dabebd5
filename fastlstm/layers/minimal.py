"""Minimal recurrent units, whose gates see the input alone: no weights for h."""

from __future__ import annotations

from typing import Any, ClassVar

from fastlstm.cells.mingru import MinGRUCell
from fastlstm.cells.minlstm import MinLSTMCell
from fastlstm.layers.recurrent import Recurrent


class _Minimal(Recurrent):
    cell_class: ClassVar[type]
    config_names: ClassVar[tuple[str, ...]] = tuple(
        name for name in Recurrent.config_names if name != "recurrent_initializer"
    )

    def __init__(
        self,
        units: int,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
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
            recurrent_initializer="zeros",
            bias_initializer=bias_initializer,
            return_sequences=return_sequences,
            return_state=return_state,
            stateful=stateful,
            name=name,
            input_shape=input_shape,
            dtype=dtype,
        )
        self.cell = self.cell_class()


class MinGRU(_Minimal):
    """Minimal gated recurrent unit.

    Equations and their source: ``fastlstm.cells.mingru``. Weights: kernel (features, 2·units) and
    bias (2·units), in the order z, n.

    Parameters
    ----------
    units : int
        Size of h.
    use_bias, kernel_initializer, bias_initializer
        As for ``LSTM``.
    return_sequences, return_state, stateful, name, input_shape, dtype
        As for ``LSTM``; the only state is h.
    """

    cell_class = MinGRUCell


class MinLSTM(_Minimal):
    """Minimal long short-term memory, its two gates normalised to sum to 1.

    Equations and their source: ``fastlstm.cells.minlstm``. Weights: kernel (features, 3·units) and
    bias (3·units), in the order f, i, n. Parameters as for ``MinGRU``.
    """

    cell_class = MinLSTMCell
