"""Layers over sequences whose states come in and go out, from arrays or from other layers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from fastlstm.layers.base import Layer, refuse_arrays
from fastlstm.layers.symbol import Call, is_symbolic, symbols
from fastlstm.memory import Plan


class WithStates(Layer):
    """Base class of layers that may start from states that somebody gives."""

    @property
    @abstractmethod
    def state_sizes(self) -> list[int]:
        """Sizes of the states, in the order of ``initial_state``."""

    @abstractmethod
    def reset_states(self) -> None:
        """Forget the states carried from batch to batch."""

    def reset_state(self) -> None:
        """The same, as Keras 3 names it."""
        self.reset_states()

    def bind_inputs(
        self,
        xs: list[np.ndarray],
        masks: list[np.ndarray],
        plan: Plan,
        *,
        saving: bool,
        training: bool,
    ) -> Any:
        """Bind to a sequence, and to the states before its first step where they are given."""
        op: Any = self.bind(xs[0], masks[0], plan, saving=saving, training=training)
        op.start_from(xs[1:])
        return op

    def called(self, x: Any, initial_state: Any, mask: Any, training: bool) -> Any:
        """The outputs for arrays, or for symbols."""
        if is_symbolic(x):
            refuse_arrays(mask=mask, training=training or None)
            return self._called_on_symbols(x, initial_state)
        return self.runner.call(x, mask=mask, training=training, initial_state=initial_state)

    def _called_on_symbols(self, x: Any, initial_state: Any) -> Any:
        """As in Keras, the states may follow the sequence in one list."""
        given, *states = symbols(x, type(self).__name__)
        if initial_state is not None:
            states += symbols(initial_state, f"initial_state of {type(self).__name__}")
        self.check_input(given.shape)
        wanted = [(None, units) for units in self.state_sizes]
        shapes = [state.shape for state in states]
        if states and shapes != wanted:
            raise ValueError(
                f"initial_state of {type(self).__name__} {self.name!r} expects symbols of the "
                f"shapes {wanted}, got {shapes}"
            )
        self.build(given.shape[1:])
        return Call(self, [given, *states], self.shapes_after([given.shape])).result
