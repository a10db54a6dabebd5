"""A layer or a model, at every step of sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels.program import Program
from fastlstm.layers.activation import Activation, Softmax
from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.batch_normalization import BatchNormalization
from fastlstm.layers.by_step import ByStepOp
from fastlstm.layers.crf import CRF
from fastlstm.layers.dense import Dense
from fastlstm.layers.dropout import Dropout
from fastlstm.layers.gaussian_noise import GaussianNoise
from fastlstm.layers.graph import Graph
from fastlstm.layers.layer_normalization import LayerNormalization
from fastlstm.layers.op import Op
from fastlstm.layers.rectifiers import ELU, LeakyReLU, ReLU
from fastlstm.layers.rescaling import Rescaling
from fastlstm.layers.symbol import Shape
from fastlstm.layers.wrapper import Wrapper, check_inside
from fastlstm.memory import Plan
from fastlstm.registry import serialize

# Those that take each step by itself anyhow.
_LAYERS = (
    Dense,
    Dropout,
    Activation,
    GaussianNoise,
    LayerNormalization,
    Softmax,
    ReLU,
    LeakyReLU,
    ELU,
    Rescaling,
)


class Reader:
    """Makes what stands inside from its configuration; the package of models says how."""

    read: ClassVar[Callable[[dict[str, Any]], Any]]


class TimeDistributed(Wrapper):
    """Apply a layer or a model to every step of sequences, each with the same weights.

    ``TimeDistributed(Dense(1))`` is ``Dense(1)``, and as fast, as are all layers that take each
    step by itself. What takes sequences is for steps that are sequences themselves: an encoder of
    words makes a vector of each sentence, and the layers above see a sequence of those. The steps
    of all samples are one large batch then. Dropout and noise draw anew for every step.

    As in Keras, a mask goes on to what comes after; inside there are the masks that layers inside
    make, such as ``Embedding(mask_zero=True)``.

    Parameters
    ----------
    layer : Layer or Model
        What to apply, with one input and one output. Where it gives a sequence for each step,
        another ``TimeDistributed`` comes after it, until there is a vector. A model's weights
        belong to this layer from then on: it may be called and saved by itself, and is trained as a
        part of this.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features); (steps, time, features), or
        (steps, time) for ids, where a step is a sequence. The first may be None.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm import Sequential
    >>> from fastlstm.layers import GRU, LSTM, Dense, Embedding, Input
    >>> encoder = Sequential([Input((12,)), Embedding(1000, 16, mask_zero=True), LSTM(8)])
    >>> model = Sequential([Input((None, 12)), TimeDistributed(encoder), GRU(8), Dense(1)])
    >>> model.predict(np.ones((4, 5, 12), "int32"), verbose=0).shape
    (4, 1)
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
            layer = Reader.read(layer)
        is_model = hasattr(layer, "graph")
        if not (is_model and layer.layers) and not isinstance(layer, Layer):
            raise TypeError(
                f"TimeDistributed expects a layer, or a model that has layers, got {layer!r}"
            )
        self.layer, self._of_model = layer, is_model
        # Whether what it takes is a batch of steps, rather than of sequences.
        self.folds = is_model or not isinstance(layer, _LAYERS)
        _check(layer, self.layers)
        check_inside("TimeDistributed", self.layers)
        super().__init__(
            name=name,
            input_shape=input_shape,
            dtype=dtype or self.layers[0].dtype.name,
            trainable=trainable,
            **rest,
        )

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(_names(self.layer)) if self._of_model else (self.layer,)

    @property
    def prefixes(self) -> tuple[str, ...]:
        return tuple(_names(self.layer).values()) if self._of_model else ("",)

    def _graph(self) -> Graph:
        found: Graph = self.layer.graph if self._of_model else Graph.of([self.layer])
        return found

    @property
    def _taker(self) -> Layer:
        graph = self._graph()
        return graph.taker(graph.inputs[0])

    @property
    def activation(self) -> Any:
        """The layer's activation, if it has one, and its output is that of this layer."""
        return None if self.folds else getattr(self.layer, "activation", None)

    @property
    def takes_ids(self) -> bool:  # type: ignore[override]
        """Whether each step is a sequence of ids."""
        return self._graph().takes_ids[0]

    @property
    def input_dim(self) -> int | None:
        """How many ids there are, where it takes any."""
        return getattr(self._taker, "input_dim", None)

    @property
    def by_parts(self) -> bool:  # type: ignore[override]
        """Whether training may take sequences in segments."""
        return not self.folds

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        ids = self.takes_ids
        if len(shape) not in ((3,) if ids else (3, 4)):
            forms = "of ids (batch, steps, time)" if ids else "(batch, time, features)"
            advice = "for vectors use the layer itself"
            if len(shape) > 3:
                advice = "a step is a vector, or a sequence (time, features), and no more"
            raise ValueError(
                f"TimeDistributed expects input {forms}, got shape {tuple(shape)}; {advice}"
            )
        if self.folds or len(shape) == 4:
            self._step_output(shape)
        else:
            super().check_input(shape)

    def _folds(self, input_shape: Shape) -> bool:
        """Whether it does for samples of this shape: what takes vectors does for sequences."""
        return self.folds or len(input_shape) == 3

    def _step_output(self, shape: Shape) -> Shape:
        """The shape that a step gives, the batch in front."""
        step: Shape = (None, *shape[2:])
        try:
            (made,) = self.layer.shapes_after([step])
        except ValueError as error:
            if isinstance(self.layer, Layer) and len(shape) == 3 and not self.takes_ids:
                raise ValueError(
                    f"TimeDistributed of {type(self.layer).__name__} gives it each step by itself, "
                    f"of shape {step}, for input {tuple(shape)}: what takes sequences, such as "
                    "recurrent layers, takes these as they are, without TimeDistributed; it is for "
                    f"steps that are sequences, (batch, steps, time, features). {error}"
                ) from error
            raise
        return made

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        if not self._folds(input_shape):
            return super().weight_specs(input_shape)
        graph, specs = self._graph(), {}
        shapes = graph.all_shapes([(None, *input_shape[1:])])
        for step in graph.steps:
            if step.layer not in specs:
                specs[step.layer] = step.layer.specs_for([shapes[n] for n in step.takes])
        return [
            spec._replace(name=prefix + spec.name)
            for prefix, layer in zip(self.prefixes, self.layers, strict=True)
            for spec in specs[layer]
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.built:
            return
        self.check_input((None, *input_shape))
        self.folds = self._folds(input_shape)
        step = tuple(input_shape[1:]) if self.folds else tuple(input_shape)
        self.layer.build((None, *step) if self._of_model else step)
        self._step = step
        Layer.build(self, input_shape)

    def _place(self) -> None:
        super()._place()
        if self._of_model:
            self.layer.held_by(self)

    def forget(self) -> None:
        super().forget()
        if self._of_model and self.built:
            self.layer.held_by(self)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if not self._folds(input_shape):
            return self.layer.compute_output_shape(input_shape)
        return (input_shape[0], *self._step_output((None, *input_shape))[1:])

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> Op:
        if not self.folds:
            return self.layer.bind(x, mask, plan, saving=saving, training=training)
        sample = self.step_shape(x.shape[2])
        return ByStepOp(self._graph(), sample, x, plan, saving=saving, training=training)

    def step_shape(self, size: int) -> tuple[int, ...]:
        """The shape of a step of ``size`` numbers, which arrays in chains have in a row."""
        features = int(self._step[-1] or 0)
        return (size,) if len(self._step) == 1 else (size // features, features)

    def bind_last(self, x: np.ndarray, plan: Plan) -> Op | None:
        return None if self.folds else self.layer.bind_last(x, plan)

    def record_check(self, program: Program, flat: np.ndarray) -> None:
        self._taker.record_check(program, flat)

    def get_config(self) -> dict[str, Any]:
        layer = serialize(self.layer)
        if self._of_model:  # classes of the user's own are models like all others
            layer["class_name"] = "Model" if "calls" in layer["config"] else "Sequential"
        return {**super().get_config(), "layer": layer}


def _names(model: Any, before: str = "") -> dict[Layer, str]:
    """The layers of a model in the order of its weights, with what those names begin with."""
    found: dict[Layer, str] = {}
    for entry in model.entries:
        name = f"{before}{entry.name}/"
        inside = _names(entry, name) if hasattr(entry, "graph") else {entry: name}
        for layer, known in inside.items():
            found.setdefault(layer, known)
    return found


def _check(layer: Any, layers: tuple[Layer, ...]) -> None:
    """An error where steps cannot be taken for samples."""
    if hasattr(layer, "graph"):
        count = len(layer.graph.inputs), len(layer.graph.outputs)
        if count != (1, 1):
            raise ValueError(
                f"TimeDistributed expects a model of one input and one output, got {layer.name!r} "
                f"with {count[0]} and {count[1]}"
            )
    for each in layers:
        if isinstance(each, BatchNormalization):
            why = "whose moments would be those of all steps together; LayerNormalization has none"
        elif isinstance(each, CRF):
            why = "whose loss is of whole sequences; put it after TimeDistributed"
        elif getattr(each, "stateful", False):
            why = "which is stateful, while each step begins anew; leave stateful at False"
        elif each is layer and getattr(each, "return_state", False):
            why = "which returns states besides; leave return_state at False"
        elif each is layer and getattr(each, "by_sample", False):
            why = "which draws once for each sequence, and vectors are none"
        else:
            continue
        raise TypeError(f"TimeDistributed cannot take {type(each).__name__} {each.name!r}, {why}")
