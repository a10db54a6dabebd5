"""A recurrent layer in both directions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.layers.bidirectional_op import MERGES, BidirectionalOp
from fastlstm.layers.recurrent import Recurrent
from fastlstm.layers.with_states import WithStates
from fastlstm.layers.wrapper import Wrapper, check_inside
from fastlstm.memory import Plan
from fastlstm.registry import find, serialize


class Bidirectional(WithStates, Wrapper):
    """Run a recurrent layer over sequences in both directions and merge what they give.

    Source: Schuster and Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on
    Signal Processing 45(11), 1997. Weights: those of ``forward_layer``, then those of
    ``backward_layer``.

    Parameters
    ----------
    layer : Recurrent
        The layer for the forward direction; what is used is a copy of it.
    merge_mode : {"concat", "sum", "mul", "ave"} or None
        How both outputs become one; with None a call returns both, the forward layer's first. The
        backward layer's sequences are turned before, so that both have the input's order of steps.
    weights : None
        Accepted as in Keras; call ``set_weights`` once the layer is built.
    backward_layer : Recurrent, optional
        The layer for the other direction, with ``go_backwards`` other than the forward layer's; by
        default one like ``layer``.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = ("merge_mode",)

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        layer = _recurrent(layer, "layer")
        super().__init__(
            name=name,
            input_shape=input_shape or layer.input_shape,
            dtype=dtype or layer.dtype.name,
            trainable=trainable,
            weights=weights,
            **rest,
        )
        if merge_mode not in (*MERGES, None):
            known = ", ".join(repr(mode) for mode in MERGES)
            raise ValueError(
                f"Bidirectional expects merge_mode to be one of {known} or None, got {merge_mode!r}"
            )
        self.merge_mode = merge_mode
        self._given_backward = backward_layer is not None
        other = layer
        if backward_layer is not None:
            other = _recurrent(backward_layer, "backward_layer")
            _check_pair(layer, other, merge_mode)
        check_inside("Bidirectional", (layer, other))
        self.forward_layer = _copy(layer, "forward", layer.go_backwards)
        self.backward_layer = _copy(other, "backward", not layer.go_backwards)

    @property
    def layers(self) -> tuple[Recurrent, Recurrent]:
        """The layers of both directions."""
        return self.forward_layer, self.backward_layer

    @property
    def prefixes(self) -> tuple[str, str]:
        return "forward/", "backward/"

    @property
    def return_sequences(self) -> bool:
        """Whether there is an output for every step."""
        return self.forward_layer.return_sequences

    @property
    def return_state(self) -> bool:
        """Whether a call returns the final states as well."""
        return self.forward_layer.return_state

    @property
    def stateful(self) -> bool:
        """Whether each batch starts from the final states of the one before."""
        return self.forward_layer.stateful

    @property
    def causal(self) -> bool:
        return False

    @property
    def state_sizes(self) -> list[int]:
        """Sizes of the states, the forward layer's first."""
        return [units for layer in self.layers for units in layer.state_sizes]

    def output_shapes(self, input_shape: Any) -> list[tuple[int | None, ...]]:
        states = [(units,) for units in self.state_sizes] if self.return_state else []
        if self.merge_mode is None:
            return [*(layer.compute_output_shape(input_shape) for layer in self.layers), *states]
        return [self.compute_output_shape(input_shape), *states]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        *steps, units = self.forward_layer.compute_output_shape(input_shape)
        if self.merge_mode in ("concat", None):
            units = (units or 0) + self.backward_layer.output_size
        return (*steps, units)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> BidirectionalOp:
        first, second = (
            layer.bind(x, mask, plan, saving=saving, training=training) for layer in self.layers
        )
        return BidirectionalOp(first, second, self.merge_mode, mask, plan)

    def reset_states(self) -> None:
        """Forget the states carried from batch to batch."""
        for layer in self.layers:
            layer.reset_states()

    def __call__(
        self, x: Any, *, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Output for arrays, batch first, or for symbols.

        Parameters
        ----------
        x : array_like or Symbol
            (batch, time, features).
        initial_state : list of array_like or Symbol, optional
            States before the first step of the forward layer, then those of the backward layer.
        mask : array_like, optional
            (batch, time) of booleans; where False, a step keeps the states and its output is 0.
        training : bool
            Whether dropout is active.

        Returns
        -------
        ndarray or Symbol, or list
            The merged output, or with ``merge_mode=None`` both; with ``return_state`` the final
            states follow, the forward layer's first.
        """
        return self.called(x, initial_state, mask, training)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["layer"] = serialize(self.forward_layer)
        alike = self.forward_layer.trainable == self.backward_layer.trainable
        if self._given_backward or not alike:
            config["backward_layer"] = serialize(self.backward_layer)
        return config


def _recurrent(layer: Any, what: str) -> Recurrent:
    """A recurrent layer, or one from its configuration."""
    if isinstance(layer, dict):
        kinds = {kind.__name__: kind for kind in _kinds(Recurrent)}
        layer = find("layer", layer["class_name"], kinds).from_config(layer["config"])
    if not isinstance(layer, Recurrent):
        raise TypeError(
            f"Bidirectional expects {what} to be a recurrent layer, such as LSTM(32), got "
            f"{type(layer).__name__}"
        )
    if layer.built:
        raise ValueError(
            f"Bidirectional makes layers of its own like {layer.name!r}, which has weights "
            "already; give it a new layer, and copy the weights with set_weights() after building"
        )
    return layer


def _kinds(base: type[Recurrent]) -> list[type[Recurrent]]:
    """All classes of recurrent layers that there are."""
    below = [kind for child in base.__subclasses__() for kind in _kinds(child)]
    return [*base.__subclasses__(), *below]


def _check_pair(layer: Recurrent, other: Recurrent, merge_mode: str | None) -> None:
    if layer.go_backwards == other.go_backwards:
        raise ValueError(
            "Bidirectional expects layer and backward_layer to go in opposite directions; give the "
            "backward_layer go_backwards=True"
        )
    alike = ["return_sequences", "return_state", "stateful", "dtype"]
    if merge_mode not in ("concat", None):
        alike.append("output_size" if layer.units == other.units else "units")
    for name in alike:
        if getattr(layer, name) != getattr(other, name):
            raise ValueError(
                f"Bidirectional expects layer and backward_layer to have the same {name}, got "
                f"{getattr(layer, name)} and {getattr(other, name)}"
            )


def _copy(layer: Recurrent, side: str, go_backwards: bool) -> Recurrent:
    """A new layer of the same kind, named for its side."""
    config = layer.get_config()
    name = config["name"].removeprefix("forward_").removeprefix("backward_")
    config.update(name=f"{side}_{name}", go_backwards=go_backwards)
    made = type(layer).from_config(config)
    assert isinstance(made, Recurrent)
    return made
