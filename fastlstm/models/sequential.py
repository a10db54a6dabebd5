"""The model that people build most: layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastlstm.layers.base import Layer
from fastlstm.layers.graph import Graph
from fastlstm.layers.input import Input, InputLayer
from fastlstm.layers.runner import Arrays
from fastlstm.layers.symbol import Shape, Symbol
from fastlstm.models.model import Model
from fastlstm.models.structure import serialized


class Sequential(Model):
    """Layers one after the other, with Keras' methods to train, test and use them.

    Parameters
    ----------
    layers : list of Layer or Model, optional
        First to last; an ``Input`` or ``InputLayer`` may stand before them, and is none of
        ``model.layers``. More come with ``add``. A model of one input and one output may stand
        among them, such as an encoder that was trained before.
    trainable : bool
        Whether training changes the weights; an attribute too, that may be set at any time.
    name : str, optional
        Name in summaries and files.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm.layers import LSTM, Dense
    >>> model = Sequential([LSTM(8, input_shape=(None, 3)), Dense(1)])
    >>> model.compile(optimizer="adam", loss="mse")
    >>> model.predict(np.zeros((4, 10, 3)), verbose=0).shape
    (4, 1)
    """

    connected = False

    def __init__(
        self,
        layers: Sequence[Layer | Model | Symbol] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ):
        if isinstance(trainable, str):
            raise TypeError(
                f"Sequential expects trainable, True or False, after the layers, got {trainable!r};"
                f" a name is given as name={trainable!r}"
            )
        super(Model, self).__init__(name or "sequential", Graph.of([]))
        self._start_untrained()
        self.layers = []
        self._ends: tuple[Symbol, Symbol] | None = None
        self.input_names, self.output_names = ["x"], ["output"]
        self._sample_shape: tuple[int | None, ...] | None = None
        for layer in layers or []:
            self.add(layer)
        if not trainable:
            self.trainable = False

    def add(self, layer: Layer | Model | Symbol) -> None:
        """Put a layer, a model, or at the very start an ``Input``, on top."""
        if self.is_part:
            raise ValueError(
                f"model {self.name!r} is part of another model, which has its layers as they are; "
                "add layers before it becomes one"
            )
        if isinstance(layer, InputLayer):
            layer = layer.output
        if isinstance(layer, Symbol):
            if self.layers or self._sample_shape is not None:
                raise ValueError("Input is the first entry of a Sequential, got it later")
            self._sample_shape, self.input_names = layer.shape[1:], [layer.name]
            return
        if not isinstance(layer, (Layer, Model)):
            raise TypeError(
                f"Sequential.add expects a layer, such as LSTM(32), got {type(layer).__name__}; "
                "a class needs its arguments, as in Dense(1)"
            )
        self._check_new(layer)
        if not self.layers and self._sample_shape is None:
            self._sample_shape = _sample_shape_of(layer)
        if self._sample_shape is not None:
            shape = self.output_shape[1:] if self.layers else self._sample_shape
            _build_layer(layer, shape)
        if isinstance(layer, Model):
            layer.is_part = True
        self.layers.append(layer)
        self._ends = None
        self._owns, self._params = False, self._params[:0]
        self._familiar = ()
        self._runner.change(Graph.of(self.layers))

    def _check_new(self, layer: Layer | Model) -> None:
        if isinstance(layer, Model):
            if layer is self or not layer.layers:
                raise ValueError(
                    f"model {layer.name!r} cannot be a part: it is this model itself, or has no "
                    "layers yet"
                )
            count = len(layer.graph.inputs), len(layer.graph.outputs)
            if count != (1, 1):
                raise ValueError(
                    f"model {layer.name!r} has {count[0]} inputs and {count[1]} outputs; "
                    "Sequential passes on one: call it on symbols, and build a "
                    "Model(inputs, outputs)"
                )
        states = getattr(layer, "return_state", False)
        if states or getattr(layer, "merge_mode", "concat") is None:
            why = "return_state=True" if states else "merge_mode=None"
            raise ValueError(
                f"layer {layer.name!r} has {why} and so several outputs; Sequential passes on one. "
                "Call the layer itself on arrays to get them all, or build a Model(inputs, outputs)"
            )
        if any(other.name == layer.name for other in self.layers):
            raise ValueError(
                f"a layer is named {layer.name!r} already; names in a model must differ"
            )
        inside = layer.all_layers if isinstance(layer, Model) else [layer]
        if self.layers and inside[0].dtype != self.all_layers[0].dtype:
            raise ValueError(
                f"layer {layer.name!r} computes in {inside[0].dtype}, the others in "
                f"{self.all_layers[0].dtype}; one model has one precision"
            )
        ids = layer.graph.takes_ids[0] if isinstance(layer, Model) else layer.takes_ids
        if self.layers and ids:
            raise ValueError(f"{type(layer).__name__} takes ids and can only be the first layer")

    def build(self, input_shape: Any = None) -> None:
        """Create the weights.

        Parameters
        ----------
        input_shape : tuple of int or None
            Shape of the input with the batch in front, such as (None, 10, 3).
        """
        if input_shape is not None and self._sample_shape is None:
            self._sample_shape = tuple(input_shape)[1:]
        if self._sample_shape is None:
            raise ValueError(
                "build needs the input's shape: build((None, time, features)), or input_shape on "
                "the first layer"
            )
        self._ensure_built(self._sample_shape)

    def _build_for(self, samples: Arrays) -> None:
        self._ensure_built(samples[0].shape[1:])

    def _ensure_built(self, sample_shape: tuple[int | None, ...]) -> None:
        if self._owns or self.holder is not None:
            return
        shape = self._sample_shape or tuple(sample_shape)
        for layer in self.layers:
            shape = _build_layer(layer, shape)
        if self._sample_shape is None:
            self._sample_shape = tuple(sample_shape)
        self._join()
        if not self._params.size or not any(layer._owner for layer in self.all_layers):
            self._gather()
            if self.optimizer is not None:
                self._build_optimizer(self.optimizer)

    def _check_shapes(self, samples: Arrays) -> None:
        """What does not fit, the layers say."""

    def shapes_after(self, shapes: Sequence[Shape]) -> list[Shape]:
        return self.output_shapes_of(shapes)

    @property
    def symbols(self) -> tuple[list[Symbol], list[Symbol]]:
        """Its input and its output, for other models that begin or end here."""
        self._need_weights()
        if self._ends is None:
            y = x = Input(self.input_shape[1:], name=self.input_names[0])
            for layer in self.layers:
                y = layer(y)
            self._ends = x, y
        first, last = self._ends
        return [first], [last]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_ends": None}

    @property
    def input_shapes(self) -> list[Shape]:
        if self._sample_shape is None:
            raise ValueError("the model has not been built: its input shape is not known yet")
        return [(None, *self._sample_shape)]

    def get_config(self) -> dict[str, Any]:
        """Names, input shape and layers, as plain values."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "input_shape": None if self._sample_shape is None else list(self._sample_shape),
            "layers": [serialized(layer) for layer in self.layers],
        }


def _build_layer(layer: Layer | Model, sample_shape: Shape) -> Shape:
    """Build a layer or a model for samples of this shape; the shape of what it makes of one."""
    shape = (None, *sample_shape)
    if isinstance(layer, Model):
        layer.build(shape)
    elif layer.built:
        layer.check_input(shape)
    else:
        layer.build(sample_shape)
    return layer.shapes_after([shape])[0][1:]


def _sample_shape_of(layer: Layer | Model) -> Shape | None:
    """The shape of the samples that a first layer or model was made for, if it says."""
    if isinstance(layer, Sequential):
        return layer._sample_shape
    return layer.input_shape[1:] if isinstance(layer, Model) else layer.input_shape
