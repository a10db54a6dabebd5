"""A recurrent layer from a cell, or from several, one above the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from fastlstm.layers.recurrent import Recurrent
from fastlstm.layers.rnn_cells import StackedRNNCells, as_cell
from fastlstm.layers.stacked_op import StackedOp, flat_states
from fastlstm.layers.with_states import WithStates
from fastlstm.layers.wrapper import Wrapper
from fastlstm.memory import Plan
from fastlstm.registry import serialize


class RNN(WithStates, Wrapper):
    """The recurrent layer of a cell; of several cells, a stack of such layers as one.

    ``RNN(LSTMCell(32), return_sequences=True)`` is ``LSTM(32, return_sequences=True)``: with one
    cell, what is made is its layer. With several, each layer takes the outputs of the one below;
    the last one's are those of the stack. Weights are those of the cells, the first one's first.

    Parameters
    ----------
    cell : cell, list of cells or StackedRNNCells
        Such as ``LSTMCell(32)``, or ``[LSTMCell(32), GRUCell(16)]``.
    return_sequences : bool
        Return h of every step rather than of the last one.
    return_state : bool
        Return the final states as well, for each cell a list.
    go_backwards : bool
        Take the steps from the last to the first, and return them in that order.
    stateful : bool
        Start each batch from the final states of the one before.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    **options
        What else the recurrent layers take that is about outputs, which the last one gets; and what
        changes nothing, such as ``unroll``.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "return_sequences",
        "return_state",
        "go_backwards",
        "stateful",
    )

    def __new__(
        cls,
        cell: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **options: Any,
    ) -> Any:
        """The layer of one cell; or a stack, of which ``__init__`` learns more."""
        cells = cell.cells if isinstance(cell, StackedRNNCells) else cell
        if isinstance(cells, (list, tuple)) and len(cells) == 1:
            (cells,) = cells
        if cells is None or isinstance(cells, (list, tuple)):  # None where this makes a copy
            return super().__new__(cls)
        return as_cell(cells).make_layer(
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            **options,
        )

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **options: Any,
    ) -> None:
        stack = cell if isinstance(cell, StackedRNNCells) else StackedRNNCells(cell)
        self._cells = stack.cells
        super().__init__(
            name=name,
            input_shape=input_shape,
            dtype=dtype or self._cells[0].dtype,
            trainable=trainable,
            activity_regularizer=options.pop("activity_regularizer", None),
        )
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self._options = options
        last = len(self._cells) - 1
        self._layers = [
            cell.make_layer(
                name=f"cell_{number}",
                dtype=self.dtype.name,
                return_sequences=self.return_sequences if number == last else True,
                return_state=self.return_state,
                go_backwards=self.go_backwards and number == 0,
                stateful=self.stateful,
                **(options if number == last else {}),
            )
            for number, cell in enumerate(self._cells)
        ]

    @property
    def layers(self) -> list[Recurrent]:
        """The layers of the cells, the first one below."""
        return self._layers

    @property
    def prefixes(self) -> list[str]:
        return [f"{layer.name}/" for layer in self.layers]

    @property
    def causal(self) -> bool:
        return not self.go_backwards

    @property
    def state_sizes(self) -> list[int]:
        """Sizes of the states, cell by cell."""
        return [units for layer in self.layers for units in layer.state_sizes]

    def output_shapes(self, input_shape: Any) -> list[tuple[int | None, ...]]:
        states = [(units,) for units in self.state_sizes] if self.return_state else []
        return [self.compute_output_shape(input_shape), *states]

    def _inputs(self, shape: tuple[int | None, ...]) -> Iterator[tuple[int | None, ...]]:
        """Shape of one input sample of each layer."""
        for layer in self.layers:
            yield shape
            shape = layer.compute_output_shape(shape)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        self.layers[0].check_input(shape)

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[Any]:
        return [
            spec._replace(name=prefix + spec.name)
            for prefix, layer, shape in zip(
                self.prefixes, self.layers, self._inputs(input_shape), strict=True
            )
            for spec in layer.weight_specs(shape)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.check_input((None, *input_shape))
        for layer, shape in zip(self.layers, self._inputs(tuple(input_shape)), strict=True):
            layer.build(shape)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.layers[-1].compute_output_shape(input_shape)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> StackedOp:
        ops = []
        for layer in self.layers:
            op = layer.bind(x, mask, plan, saving=saving, training=training)
            ops.append(op)
            x, mask = op.y, op.mask  # in the order in which the first one takes the steps
        return StackedOp(ops)

    def reset_states(self) -> None:
        """Forget the states carried from batch to batch."""
        for layer in self.layers:
            layer.reset_states()

    def __call__(
        self, x: Any, *, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Output for arrays, batch first.

        Parameters
        ----------
        x : array_like
            (batch, time, features).
        initial_state : list, optional
            States before the first step, cell by cell, each (batch, units): for each cell a list,
            or all in one.
        mask : array_like, optional
            (batch, time) of booleans; where False, the step keeps the states and repeats h.
        training : bool
            Whether dropout is active.

        Returns
        -------
        ndarray or list
            (batch, time, units) where ``return_sequences``, else (batch, units); with
            ``return_state`` a list of that and, for each cell, a list of its final states.
        """
        outputs = self.called(x, initial_state, mask, training)
        if not self.return_state:
            return outputs
        output, *states = outputs
        parts = []
        for layer in self.layers:
            parts.append(states[: layer.cell.states])
            del states[: layer.cell.states]
        return [output, *parts]

    def _called_on_symbols(self, x: Any, initial_state: Any) -> Any:
        states = None if initial_state is None else flat_states(initial_state)
        return super()._called_on_symbols(x, states)

    def get_config(self) -> dict[str, Any]:
        cells = [serialize(cell) for cell in self._cells]
        for cell, layer in zip(cells, self.layers, strict=True):
            cell["config"]["trainable"] = layer.trainable
        return {**super().get_config(), **self._options, "cell": cells}
