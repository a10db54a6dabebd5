"""What every layer is: a configuration, named weights, and a way to bind itself to arrays."""

from __future__ import annotations

import itertools
import math
import weakref
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastlstm import config, regularizers
from fastlstm.kernels import layout
from fastlstm.kernels.program import Program
from fastlstm.layers.freezing import Freezable
from fastlstm.layers.graph import Graph
from fastlstm.layers.instead import check_rest
from fastlstm.layers.op import Op
from fastlstm.layers.runner import Runner
from fastlstm.layers.shapes import sample_shape
from fastlstm.layers.symbol import Call, Called, Shape, Symbol, is_symbolic, symbols
from fastlstm.memory import Plan, check_room
from fastlstm.registry import serialize, snake_case
from fastlstm.validation import as_floats

_names: Counter[str] = Counter()


def forget_names() -> None:
    """Give the next layers the first names again."""
    _names.clear()


class WeightSpec(NamedTuple):
    """A weight before it has values."""

    name: str
    shape: tuple[int, ...]
    initializer: Any
    trainable: bool = True
    regularizer: Any = None
    constraint: Any = None


class Layer(Freezable, Called, ABC):
    """Base class of all layers.

    Parameters
    ----------
    name : str, optional
        Name in summaries and files; made from the class name by default.
    input_shape : tuple of int or None, optional
        Shape of one sample, without the batch: (time, features) or (features,); a time of None
        means any.
    dtype : "float32" or "float64", optional
        Precision; ``fastlstm.config.floatx()`` by default.
    trainable : bool
        Whether training changes the weights; an attribute too, that may be set at any time.
    activity_regularizer : str or Regularizer, optional
        Penalty of the outputs, such as "l2", that is part of the loss: what it makes of all that a
        call gives, over the number of samples. Steps that a mask leaves out count as well.
    **rest
        What Keras has besides: accepted where it changes nothing, such as ``autocast``; else an
        error says what to do instead.
    """

    # Names of constructor arguments that rebuild the layer; subclasses add theirs.
    config_names: ClassVar[tuple[str, ...]] = ()
    takes_ids: ClassVar[bool] = False
    # Whether training may take sequences in segments, with the result of the whole.
    by_parts: ClassVar[bool] = True
    # Why there is no ``activity_regularizer``, where there is none.
    not_penalised: ClassVar[str] = ""
    # Whether each step of the first input is answered by itself, by a look at all of the others.
    looks: ClassVar[bool] = False
    # Changes of any layer's weights: where it has not moved on, nobody's have changed.
    changes: ClassVar[int] = 0

    def __init__(
        self,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        activity_regularizer: Any = None,
        **rest: Any,
    ) -> None:
        check_rest(type(self), rest)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self._check_activity()
        self._trainable = bool(trainable)
        self.name = name or _default_name(type(self).__name__)
        self.input_shape = None if input_shape is None else sample_shape(input_shape, self.name)
        self.built = False
        self.dtype = np.dtype(config.check_floatx(dtype or config.floatx()))
        self.version = 0  # counts changes of the weights, so that packed copies know their age
        self.packed_version = -1  # of the weights that the panels were made from
        self._specs: list[WeightSpec] = []
        self._params = np.empty(0, self.dtype)
        self._grads = np.empty(0, self.dtype)
        self._owner: Any = None
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()  # models that have this layer
        self._runner: Runner | None = None
        self.calls: list[Call] = []

    def _first_call(self, what: str) -> Call:
        if not self.calls:
            for user in self.users:  # models of layers in line make symbols when first asked
                if user.built:
                    user.symbols  # noqa: B018
        return super()._first_call(what)

    def __init_subclass__(cls, **options: Any) -> None:
        if "call" in vars(cls):
            raise TypeError(
                f"{cls.__name__} defines call(), which runs Python for each batch; layers here are "
                "compiled. Put together those that there are, as a Model(inputs, outputs), which "
                "is called like a layer; CONTRIBUTING.md says how a new one is written"
            )
        super().__init_subclass__(**options)

    def _check_activity(self) -> None:
        """An error where outputs are penalised in a way that there is not."""
        if self.activity_regularizer is None:
            return
        kind = type(self).__name__
        if self.not_penalised:
            raise TypeError(f"{kind} has no 'activity_regularizer': {self.not_penalised}")
        if isinstance(self.activity_regularizer, regularizers.OrthogonalRegularizer):
            raise TypeError(
                f"{kind} expects an activity_regularizer of single numbers, such as 'l2'; "
                "OrthogonalRegularizer is for kernels"
            )

    def changed(self) -> None:
        """Note that the weights have changed: whoever holds panels of them packs them anew."""
        self.version += 1
        Layer.changes += 1
        owner = self._owner
        while isinstance(owner, Layer):  # this one is part of it
            owner.version += 1
            owner = owner._owner

    # -- what a subclass says -----------------------------------------------------------------

    @abstractmethod
    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """An error unless inputs of ``shape``, the batch included, fit this layer."""

    @abstractmethod
    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        """Weights for samples of ``input_shape``."""

    @abstractmethod
    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of one output sample."""

    @property
    def causal(self) -> bool:
        """Whether no step's output depends on a later step's input."""
        return True

    def waits(self, shapes: Sequence[Shape]) -> bool:
        """Whether it needs all steps of inputs of these shapes before it gives the first one."""
        return not self.causal

    def output_shapes(self, input_shape: Any) -> list[tuple[int | None, ...]]:
        """Shapes of all that a call returns, for one sample."""
        return [self.compute_output_shape(input_shape)]

    @abstractmethod
    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> Op:
        """Lay out a computation on ``x``, (T, B, F), (B, F) or ids.

        ``saving`` keeps what backward needs; ``training`` turns dropout on.
        """

    def shapes_after(self, shapes: Sequence[Shape], **options: Any) -> list[Shape]:
        """Shapes of all outputs for inputs of these, the batch included, where they fit."""
        self.check_input(shapes[0])
        return [(shapes[0][0], *shape) for shape in self.output_shapes(shapes[0][1:])]

    def specs_for(self, shapes: Sequence[Shape]) -> list[WeightSpec]:
        """Weights for inputs of these shapes, the batch included."""
        return self.weight_specs(shapes[0][1:])

    def build_for(self, shapes: Sequence[Shape], **options: Any) -> None:
        """As ``build``, for inputs of these shapes, the batch included, of a call that says so."""
        self.build(shapes[0][1:])

    def bind_inputs(
        self,
        xs: list[np.ndarray],
        masks: list[np.ndarray],
        plan: Plan,
        *,
        saving: bool,
        training: bool,
    ) -> Op:
        """As ``bind``, for layers that may have several inputs."""
        return self.bind(xs[0], masks[0], plan, saving=saving, training=training)

    def bind_with(
        self, above: Layer, x: np.ndarray, mask: np.ndarray, plan: Plan
    ) -> tuple[Op, Op] | None:
        """For inference, this layer and the one ``above`` as one, where that is faster."""
        return None

    def bind_last(self, x: np.ndarray, plan: Plan) -> Op | None:
        """For inference, the last layer of all, where it can write the caller's array itself."""
        return None

    def record_check(self, program: Program, flat: np.ndarray) -> None:
        """Record what halts the program where an input, all of it flat, is not right."""
        program.add(layout.halt_unless_finite, flat)

    # -- weights ------------------------------------------------------------------------------

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for samples of ``input_shape`` (without the batch)."""
        if not self.built:
            self.check_input((None, *input_shape))
            self.make_weights(self.weight_specs(tuple(input_shape)))

    def make_weights(self, specs: list[WeightSpec]) -> None:
        """Create these weights, with their initial values."""
        self._specs = specs
        needed = self.weight_count * self.dtype.itemsize
        check_room(needed, f"the weights of layer {self.name!r}", "make the layer smaller")
        self._params = np.zeros(self.weight_count, self.dtype)
        self._grads = np.empty(0, self.dtype)
        self.initialize()
        self.built = True
        self._place()

    def initialize(self) -> None:
        """Draw all weights anew from their initializers."""
        for spec, value in zip(self._specs, self._values(self._params), strict=True):
            value[...] = spec.initializer(spec.shape, self.dtype)
        self.changed()

    def _place(self) -> None:
        """Follow the weights to where they are now."""

    @property
    def weight_count(self) -> int:
        """Numbers in all weights together."""
        return sum(math.prod(spec.shape) for spec in self._specs)

    @property
    def specs(self) -> list[WeightSpec]:
        """What each weight is, in the order of ``get_weights``, where the layer is built."""
        return self._specs

    @property
    def weight_names(self) -> list[str]:
        """Names of the weights, in the order of ``get_weights``."""
        return [spec.name for spec in self._specs]

    @property
    def trained(self) -> list[bool]:
        """Which of the weights training changes, in the order of ``get_weights``."""
        return [self.trainable and spec.trainable for spec in self._specs]

    @property
    def weights(self) -> list[np.ndarray]:
        """Read-only views of the weights."""
        views = self._values(self._params)
        for view in views:
            view.flags.writeable = False
        return views

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights, in Keras' order and shapes."""
        return [value.copy() for value in self._values(self._params)]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Replace all weights; the shapes must be those of ``get_weights``."""
        checked = self.check_weights(weights)
        for target, value in zip(self._values(self._params), checked, strict=True):
            target[...] = value
        self.changed()

    def check_weights(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        """The weights as arrays, if they fit this layer; an error otherwise."""
        if not self.built:
            raise ValueError(
                f"layer {self.name!r} has no weights yet: build it, or call it on data, first"
            )
        if len(weights) != len(self._specs):
            raise ValueError(
                f"layer {self.name!r} expects {len(self._specs)} weights "
                f"({', '.join(self.weight_names)}), got {len(weights)}"
            )
        checked = []
        for spec, weight in zip(self._specs, weights, strict=True):
            what = f"weight {spec.name!r} of layer {self.name!r}"
            value = as_floats(weight, self.dtype, what)
            if value.shape != spec.shape:
                raise ValueError(f"{what} expects shape {spec.shape}, got {value.shape}")
            checked.append(value)
        return checked

    def count_params(self) -> int:
        """Numbers in all weights together, as Keras names it."""
        return self.weight_count

    def adopt(self, owner: object, params: np.ndarray, grads: np.ndarray) -> None:
        """Move the weights into a model's flat buffers, of which these are this layer's part.

        Other models that have the layer lay out anew; one that is trained takes them back.
        """
        self.check_free(owner)
        for user in list(self.users):
            if user is not owner:
                user.let_go()
        self._owner = owner
        params[:] = self._params
        self._params, self._grads = params, grads
        self.changed()
        self._runner = None  # its layouts hold views of the old buffers
        self._place()

    def check_free(self, owner: object) -> None:
        """An error if another layer is made of this one."""
        if isinstance(self._owner, Layer) and self._owner is not owner:
            raise ValueError(
                f"layer {self.name!r} is part of {self._owner.name!r} already; make a new layer "
                "and copy the weights with set_weights(other.get_weights())"
            )

    def _values(self, flat: np.ndarray) -> list[np.ndarray]:
        sizes = [math.prod(spec.shape) for spec in self._specs]
        ends = list(itertools.accumulate(sizes))
        return [
            flat[end - size : end].reshape(spec.shape)
            for spec, size, end in zip(self._specs, sizes, ends, strict=True)
        ]

    def views(self) -> list[np.ndarray]:
        """Writable views of the weights, in the order of ``get_weights``."""
        return self._values(self._params)

    def forget(self) -> None:
        """Lay out anew at the next call of the layer alone."""
        self._runner = None

    def param(self, name: str) -> np.ndarray:
        """Writable view of one weight."""
        return self._values(self._params)[self.weight_names.index(name)]

    @property
    def flat_params(self) -> np.ndarray:
        """All weights, one flat array: the very memory that they are in."""
        return self._params

    @property
    def flat_grads(self) -> np.ndarray:
        """This layer's part of the gradients, one flat array."""
        if self._grads.size != self._params.size:
            self._grads = np.zeros_like(self._params)
        return self._grads

    def grads(self) -> list[np.ndarray]:
        """Views of the gradients, in the order of ``get_weights``."""
        return self._values(self.flat_grads)

    # -- copies -------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """A copy is of the layer alone; a model that is copied takes its layers in again."""
        alone: dict[str, Any] = {"_owner": None, "_runner": None, "users": None, "calls": []}
        return {**self.__dict__, **alone, "_grads": self._params[:0]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.users = weakref.WeakSet()
        # Views of an array are copied as arrays of their own: take them anew.
        if self.built:
            self.packed_version = -1
            self._place()

    # -- configuration ------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        out: dict[str, Any] = {"name": self.name, "dtype": self.dtype.name}
        out["trainable"] = self.trainable
        if self.input_shape is not None:
            out["input_shape"] = list(self.input_shape)
        if self.activity_regularizer is not None:
            out["activity_regularizer"] = serialize(self.activity_regularizer)
        for name in self.config_names:
            value = getattr(self, name)
            out[name] = serialize(value) if hasattr(value, "get_config") else value
        return out

    @classmethod
    def from_config(cls, arguments: dict[str, Any]) -> Layer:
        """The layer that ``get_config`` described."""
        # Not by way of the constructor, where a subclass may not have it.
        rest = {name: value for name, value in arguments.items() if name != "trainable"}
        layer = cls(**rest)
        layer._trainable = bool(arguments.get("trainable", True))
        return layer

    def __call__(self, x: Any, *, mask: Any = None, training: bool = False) -> Any:
        """Output for arrays, batch first; builds the layer where that was not done yet.

        Parameters
        ----------
        x : array_like
            Input, (batch, time, features), (batch, features) or ids.
        mask : array_like, optional
            (batch, time) of booleans, for layers over sequences.
        training : bool
            Whether dropout is active.
        """
        if is_symbolic(x):
            refuse_arrays(mask=mask, training=training or None)
            return self.symbolic_call(symbols(x, type(self).__name__))
        return self.runner.call(x, mask=mask, training=training)

    def symbolic_call(self, inputs: list[Symbol]) -> Any:
        """The outputs for symbols: the layer becomes part of a graph."""
        if len(inputs) > 1:
            raise ValueError(
                f"{type(self).__name__} takes one input, got {len(inputs)}; join them first, for "
                "instance with Concatenate()"
            )
        (given,) = inputs
        if self.takes_ids and given.made_by is not None:
            raise ValueError(f"{type(self).__name__} takes ids, straight from an Input")
        self.check_input(given.shape)
        self.build(given.shape[1:])
        return Call(self, inputs, self.shapes_after([given.shape])).result

    @property
    def runner(self) -> Runner:
        """Runs this layer on its own."""
        if self._runner is None:
            self._runner = Runner(Graph.of([self]), getattr(self._owner, "lock", None))
        return self._runner

    def runner_for(self, x: Any, **options: Any) -> Runner:
        """What runs this layer on an input, or on a list of several."""
        return self.runner

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name!r}>"


def refuse_arrays(**arguments: Any) -> None:
    """An error where a call on symbols came with something for arrays."""
    for name, value in arguments.items():
        if value is not None:
            raise TypeError(
                f"{name}= is for calls on arrays: say it when the model is called. Masks come from "
                "Embedding(mask_zero=True) and Masking"
            )


def _default_name(class_name: str) -> str:
    base = snake_case(class_name)
    count = _names[base]
    _names[base] += 1
    return base if count == 0 else f"{base}_{count}"
