"""A layer for vectors, at every step of sequences."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.layers.activation import Activation, Softmax
from fastlstm.layers.base import Layer
from fastlstm.layers.dense import Dense
from fastlstm.layers.dropout import Dropout
from fastlstm.layers.gaussian_noise import GaussianNoise
from fastlstm.layers.layer_normalization import LayerNormalization
from fastlstm.layers.op import Op
from fastlstm.layers.wrapper import Wrapper, check_inside
from fastlstm.memory import Plan
from fastlstm.registry import find, serialize

# Those that take each step by itself anyhow.
_LAYERS = (Dense, Dropout, Activation, GaussianNoise, LayerNormalization, Softmax)
_KINDS: dict[str, type[Layer]] = {kind.__name__: kind for kind in _LAYERS}


class TimeDistributed(Wrapper):
    """Apply a layer to every step of sequences, each with the same weights.

    These layers do so by themselves: ``TimeDistributed(Dense(1))`` is ``Dense(1)``, and as fast.
    Dropout and noise draw anew for every step.

    Parameters
    ----------
    layer : Dense, Dropout, Activation, GaussianNoise, LayerNormalization or Softmax
        What to apply.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        layer: Any,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        if isinstance(layer, dict):
            layer = find("layer", layer["class_name"], _KINDS).from_config(layer["config"])
        if hasattr(layer, "graph"):
            raise TypeError(
                f"TimeDistributed expects a layer, got {type(layer).__name__} {layer.name!r}: put "
                "it around each of its layers, or around none, as Dense and the like take every "
                "step by themselves"
            )
        if not isinstance(layer, _LAYERS) or getattr(layer, "by_sample", False):
            raise TypeError(
                f"TimeDistributed expects a layer for vectors ({', '.join(_KINDS)}), got "
                f"{type(layer).__name__}; recurrent layers take sequences as they are"
            )
        super().__init__(
            name=name,
            input_shape=input_shape,
            dtype=dtype or layer.dtype.name,
            trainable=trainable,
            **rest,
        )
        check_inside("TimeDistributed", (layer,))
        self.layer: Layer = layer

    @property
    def layers(self) -> tuple[Layer]:
        return (self.layer,)

    @property
    def prefixes(self) -> tuple[str]:
        return ("",)

    @property
    def activation(self) -> Any:
        """The layer's activation, if it has one."""
        return getattr(self.layer, "activation", None)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        if len(shape) != 3:
            raise ValueError(
                f"TimeDistributed expects input (batch, time, features), got shape {tuple(shape)}; "
                "for vectors use the layer itself"
            )
        super().check_input(shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.layer.compute_output_shape(input_shape)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> Op:
        return self.layer.bind(x, mask, plan, saving=saving, training=training)

    def bind_last(self, x: np.ndarray, plan: Plan) -> Op | None:
        return self.layer.bind_last(x, plan)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize(self.layer)}
