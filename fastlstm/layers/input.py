"""The input of a model: its shape, and nothing else."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from fastlstm import config
from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.op import Op
from fastlstm.layers.shapes import sample_shape
from fastlstm.layers.symbol import Shape, Symbol
from fastlstm.memory import Plan
from fastlstm.validation import whole_number

_KINDS = "numbers, such as 'float32' or 'int32'"


def Input(
    shape: tuple[int | None, ...] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: tuple[int | None, ...] | None = None,
    name: str | None = None,
    tensor: Symbol | None = None,
    optional: bool = False,
) -> Symbol:
    """Where a model begins: the shape of one sample.

    It is the first entry of a ``Sequential``, or what the first layers of a ``Model`` are called
    on. A ``Model`` has an ``InputLayer`` among its layers for each.

    Parameters
    ----------
    shape : tuple of int or None
        (time, features), (features,), or (time,) for ids; a time of None means any.
    batch_size : int, optional
        Accepted as in Keras; any batch size works.
    dtype : optional
        Accepted as in Keras, any type of numbers; the first layer decides.
    sparse, ragged : bool, optional
        Accepted as in Keras where they ask for nothing: arrays are dense.
    batch_shape : tuple of int or None, optional
        The same as ``shape``, with the batch size in front.
    name : str, optional
        Name in summaries, and of the array where a model takes a dict of them.
    tensor : Symbol, optional
        A symbol that there is already, to begin at.
    optional : bool
        False: a model takes all of its inputs.

    Returns
    -------
    Symbol
    """
    layer = InputLayer(
        shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name
    )
    return layer.output


class InputLayer(Layer):
    """An input among the layers of a ``Model``; or the first entry of a ``Sequential``.

    It computes nothing and has no weights.

    Parameters
    ----------
    shape, batch_size, dtype, sparse, ragged, batch_shape, optional, name
        As those of ``Input``.
    input_tensor : Symbol, optional
        A symbol that there is already, to begin at.
    **rest
        As for every layer.

    Attributes
    ----------
    batch_shape : tuple of int or None
        The shape with the batch size in front, which is None where it was not given.
    output : Symbol
        What layers are called on.
    """

    def __init__(
        self,
        shape: tuple[int | None, ...] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: tuple[int | None, ...] | None = None,
        input_tensor: Symbol | None = None,
        optional: bool = False,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, sparse=sparse, ragged=ragged, optional=optional, **rest)
        if shape is None:
            shape = self.input_shape  # as Keras named it once
        self.input_shape = None
        self.dtype = _number_type(dtype, self.name)
        if input_tensor is not None:
            if not isinstance(input_tensor, Symbol):
                raise TypeError(
                    f"InputLayer {self.name!r} expects a symbol that there is already as its "
                    f"tensor, got {type(input_tensor).__name__}: give the shape of one sample"
                )
            batch_shape = input_tensor.shape
        elif (shape is None) == (batch_shape is None):
            raise ValueError(
                f"InputLayer {self.name!r} expects the shape of one sample, shape=(time, features),"
                f" or batch_shape=(None, time, features), and not both; got shape={shape!r} and "
                f"batch_shape={batch_shape!r}"
            )
        if batch_shape is not None:
            if batch_size is not None or not len(batch_shape):
                raise ValueError(
                    f"InputLayer {self.name!r} expects the batch size in one place, in front of "
                    f"batch_shape or as batch_size; got batch_shape={batch_shape!r} and "
                    f"batch_size={batch_size!r}"
                )
            batch_size, shape = batch_shape[0], tuple(batch_shape[1:])
        if batch_size is not None:
            batch_size = whole_number(batch_size, f"the batch_size of {self.name!r}")
        sample = sample_shape(shape, self.name)
        self.batch_shape: Shape = (batch_size, *sample)
        made = Symbol((None, *sample), self.name)
        self._symbol = made if input_tensor is None else input_tensor
        if self._symbol.made_by is None and self._symbol.layer is None:
            self._symbol.layer = self
        self.built = True

    @property
    def input(self) -> Symbol:
        """What layers are called on."""
        return self._symbol

    @property
    def output(self) -> Symbol:
        """What layers are called on."""
        return self._symbol

    def check_input(self, shape: Shape) -> None:
        self._refuse()

    def weight_specs(self, input_shape: Shape) -> list[WeightSpec]:
        return []

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.batch_shape[1:]

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> Op:
        self._refuse()

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TypeError(
            f"InputLayer {self.name!r} is where a model begins, and takes nothing: call layers on "
            "its output, or put it first in a Sequential"
        )

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "batch_shape": list(self.batch_shape), "dtype": self.dtype.name}


def input_layer(symbol: Symbol) -> InputLayer:
    """The layer of a symbol that a model begins with; a new one, where a layer makes it."""
    found = symbol.layer
    if isinstance(found, InputLayer):
        return found
    return InputLayer(input_tensor=symbol, name=symbol.name)


def _number_type(dtype: Any, name: str) -> np.dtype[Any]:
    """The type of an input's numbers; of layers without a say, which the layers above have."""
    try:
        found = np.dtype(config.floatx() if dtype is None else dtype)
    except TypeError:
        found = np.dtype(object)
    if found.kind not in "biuf" or found == np.float16:
        raise ValueError(
            f"InputLayer {name!r} expects dtype to be one of {_KINDS}, got {dtype!r}; words and "
            "other things are to be numbers before, such as ids for Embedding"
        )
    return found
