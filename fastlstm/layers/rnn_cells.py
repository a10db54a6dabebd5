"""Cells as Keras' users write them: what ``RNN`` is to make a layer of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fastlstm.layers.gru import GRU
from fastlstm.layers.instead import check_rest
from fastlstm.layers.layer_norm_lstm import LayerNormLSTM
from fastlstm.layers.lstm import LSTM
from fastlstm.layers.recurrent import Recurrent
from fastlstm.layers.simple_rnn import SimpleRNN
from fastlstm.registry import find, serialize

# What is said about sequences is said to RNN.
_OF_SEQUENCES = ("return_sequences", "return_state", "go_backwards", "stateful", "input_shape")


class RecurrentCell:
    """Base class: the options of a recurrent layer, but for those about sequences.

    A cell computes nothing by itself: ``RNN`` makes the layer of it, whose kernels take all steps.
    """

    layer: ClassVar[type[Recurrent]]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        kind = type(self).__name__
        for name in _OF_SEQUENCES:
            if name in options:
                raise TypeError(
                    f"{kind} has no argument {name!r}, which is about sequences: give it to RNN, "
                    f"as in RNN({kind}(32), {name}=...)"
                )
        if options.get("activity_regularizer") is not None:
            raise TypeError(
                f"{kind} has no 'activity_regularizer': give it to RNN, as in "
                f"RNN({kind}(32), activity_regularizer=...)"
            )
        self._given = {name: options.get(name) for name in ("name", "dtype")}
        # Whatever does not fit, the layer says.
        made = self.layer(*arguments, **{**options, "name": options.get("name") or "cell"})
        self._options = {
            name: value
            for name, value in made.get_config().items()
            if name not in (*_OF_SEQUENCES, *self._given)
        }
        self._states = made.cell.states
        self.units = made.units

    @property
    def dtype(self) -> str | None:
        """Precision, where one was asked for."""
        return self._given["dtype"]

    @property
    def state_size(self) -> int | list[int]:
        """Size of the state, or of each where there are several."""
        return self.units if self._states == 1 else [self.units] * self._states

    @property
    def output_size(self) -> int:
        """Size of the output, which is that of h."""
        return self.units

    def make_layer(self, **options: Any) -> Recurrent:
        """The layer of this cell, with a layer's options besides."""
        given = {name: value for name, value in self._given.items() if value is not None}
        return self.layer(**{**self._options, **given, **options})

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal cell."""
        given = {name: value for name, value in self._given.items() if value is not None}
        return {**self._options, **given}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} units={self.units}>"


class LSTMCell(RecurrentCell):
    """Cell of an ``LSTM``, for ``RNN``.

    Parameters
    ----------
    *arguments, **options
        Those of ``LSTM``, but for return_sequences, return_state, go_backwards, stateful and
        input_shape, which ``RNN`` has.
    """

    layer = LSTM


class LayerNormLSTMCell(RecurrentCell):
    """Cell of a ``LayerNormLSTM``, for ``RNN``; arguments are those of it, as with ``LSTMCell``."""

    layer = LayerNormLSTM


class GRUCell(RecurrentCell):
    """Cell of a ``GRU``, for ``RNN``; arguments are those of ``GRU``, as with ``LSTMCell``."""

    layer = GRU


class SimpleRNNCell(RecurrentCell):
    """Cell of a ``SimpleRNN``, for ``RNN``; arguments are those of it, as with ``LSTMCell``."""

    layer = SimpleRNN


class StackedRNNCells:
    """Cells one above the other, for ``RNN``: each takes the output of the one below.

    Parameters
    ----------
    cells : list of cells
        ``LSTMCell``, ``GRUCell`` and others in any order, the first one below.
    name : str, optional
        Accepted as in Keras.
    trainable, dtype, **rest
        Accepted as in Keras where they ask for nothing; ``RNN`` and the cells take them.
    """

    def __init__(
        self,
        cells: Any,
        name: str | None = None,
        *,
        trainable: bool = True,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        check_rest(StackedRNNCells, rest)
        if dtype is not None or not trainable:
            raise TypeError(
                "StackedRNNCells has no dtype and no trainable of its own: give them to RNN, as in "
                "RNN([LSTMCell(32), LSTMCell(32)], trainable=False)"
            )
        if not isinstance(cells, (list, tuple)) or not cells:
            raise ValueError(
                "StackedRNNCells expects a list of at least one cell, such as [LSTMCell(32), "
                f"LSTMCell(32)], got {cells!r}"
            )
        self.cells = [as_cell(cell) for cell in cells]
        if len({id(cell) for cell in self.cells}) < len(self.cells):
            raise ValueError(
                "StackedRNNCells got a cell twice, which would have its weights in two places; "
                "make one for each, as in [LSTMCell(32) for _ in range(2)]"
            )
        self.name = name

    @property
    def state_size(self) -> list[int | list[int]]:
        """That of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """That of the uppermost cell."""
        return self.cells[-1].output_size

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal stack."""
        return {"cells": [serialize(cell) for cell in self.cells], "name": self.name}


_CELLS: dict[str, type[RecurrentCell]] = {
    kind.__name__: kind for kind in (LSTMCell, LayerNormLSTMCell, GRUCell, SimpleRNNCell)
}


def as_cell(cell: Any) -> RecurrentCell:
    """A cell, or one from its configuration."""
    if isinstance(cell, Mapping) and isinstance(cell.get("class_name"), str):
        return find("cell", cell["class_name"], _CELLS)(**cell["config"])
    if not isinstance(cell, RecurrentCell):
        given = cell.__name__ if isinstance(cell, type) else type(cell).__name__
        raise TypeError(
            f"RNN expects a cell with its arguments, such as {', '.join(_CELLS)}(32), or a list of "
            f"them, got {given}; how to write a cell of one's own, whose equations are compiled, "
            "is in CONTRIBUTING.md"
        )
    return cell
