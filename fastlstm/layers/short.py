"""Short forms, as in Keras: a layer that joins its inputs, made and called at once.

And what stands for layers of Keras that cannot be here.
"""

from __future__ import annotations

from typing import Any, NoReturn

from fastlstm.layers import merging
from fastlstm.layers.dot import Dot


def add(inputs: Any, **options: Any) -> Any:
    """``Add(**options)(inputs)``."""
    return merging.Add(**options)(inputs)


def subtract(inputs: Any, **options: Any) -> Any:
    """``Subtract(**options)(inputs)``."""
    return merging.Subtract(**options)(inputs)


def multiply(inputs: Any, **options: Any) -> Any:
    """``Multiply(**options)(inputs)``."""
    return merging.Multiply(**options)(inputs)


def average(inputs: Any, **options: Any) -> Any:
    """``Average(**options)(inputs)``."""
    return merging.Average(**options)(inputs)


def maximum(inputs: Any, **options: Any) -> Any:
    """``Maximum(**options)(inputs)``."""
    return merging.Maximum(**options)(inputs)


def minimum(inputs: Any, **options: Any) -> Any:
    """``Minimum(**options)(inputs)``."""
    return merging.Minimum(**options)(inputs)


def concatenate(inputs: Any, axis: int = -1, **options: Any) -> Any:
    """``Concatenate(axis, **options)(inputs)``."""
    return merging.Concatenate(axis, **options)(inputs)


def dot(inputs: Any, axes: Any, normalize: bool = False, **options: Any) -> Any:
    """``Dot(axes, normalize, **options)(inputs)``."""
    return Dot(axes, normalize, **options)(inputs)


def Lambda(function: Any = None, *_: Any, **__: Any) -> NoReturn:
    """Keras' layer of a Python function, which compiled layers cannot run: always an error.

    Raises
    ------
    TypeError
        With what to use instead.
    """
    raise TypeError(
        f"Lambda runs Python for each batch, here of {function!r}, and a model is compiled as a "
        "whole. On symbols there are + - * / and indices such as x[:, -1] and x[..., 1:3]; as "
        "layers Rescaling, Slice, Reshape, Permute, Activation, RepeatVector, Dot, Maximum and "
        "Average"
    )
