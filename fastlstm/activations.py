"""Activations: by name for layers, and as functions of arrays, in Keras' words.

A layer takes either: ``Dense(8, "relu")`` or ``Dense(8, activations.relu)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.config import floatx
from fastlstm.kernels import dense
from fastlstm.kernels.activations import HardSigmoid, Linear, Relu, Sigmoid, Tanh
from fastlstm.kernels.rectifiers import (
    Elu,
    Exponential,
    HardTanh,
    LogSigmoid,
    Rectifier,
    Selu,
    Softplus,
    Softsign,
)
from fastlstm.kernels.static import Static
from fastlstm.registry import find
from fastlstm.validation import numeric_array

Array = npt.NDArray[Any]
# What layers take for one: a name, a function of this module, or None for "linear".
ActivationLike = str | Callable[..., Any] | None

__all__ = [
    "elu",
    "exponential",
    "get",
    "hard_sigmoid",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]

ACTIVATIONS: dict[str, Static] = {
    "linear": Linear(),
    "relu": Relu(),
    "tanh": Tanh(),
    "sigmoid": Sigmoid(),
    "hard_sigmoid": HardSigmoid(),
    "leaky_relu": Rectifier(0.2),
    "elu": Elu(),
    "selu": Selu(),
    "relu6": Rectifier(0.0, 6.0),
    "hard_tanh": HardTanh(),
    "softplus": Softplus(),
    "softsign": Softsign(),
    "log_sigmoid": LogSigmoid(),
    "exponential": Exponential(),
}
_NOT_FROM_OUTPUT = ("gelu", "hard_silu", "hard_swish", "mish", "silu", "swish")


def activation_name(
    activation: ActivationLike, allowed: tuple[str, ...] = tuple(ACTIVATIONS)
) -> str:
    """The name if it is among ``allowed``, also of a function of this module; None is linear."""
    if activation is None:
        return "linear"
    name = getattr(activation, "__name__", None)
    if name in globals() and globals()[name] is activation:
        activation = name
    if not isinstance(activation, str):
        raise TypeError(
            "an activation is given by name, or as a function of fastlstm.activations "
            f"({', '.join(allowed)}), got {activation!r}"
        )
    if activation in _NOT_FROM_OUTPUT:
        raise ValueError(
            f"the slope of {activation!r} does not follow from its output, which is all that a "
            f"layer keeps; use one of {', '.join(allowed)}, such as 'elu' or 'softplus'"
        )
    return find("activation", activation, {name: name for name in allowed})


def get(identifier: Any) -> Callable[[npt.ArrayLike], Array]:
    """Find an activation.

    Parameters
    ----------
    identifier : str, callable or None
        A name ("relu"), a function of this module, or None for ``linear``.

    Returns
    -------
    callable
        The function.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``identifier`` is none of these.
    """
    found: Callable[[npt.ArrayLike], Array] = globals()[
        activation_name(identifier, (*ACTIVATIONS, "softmax"))
    ]
    return found


def _apply(activation: Static, x: npt.ArrayLike) -> Array:
    values = _floats(x)
    y = np.empty_like(values)
    dense.activate_of(activation, y.reshape(1, -1), values.reshape(1, -1))
    return y


def _floats(x: npt.ArrayLike) -> Array:
    """The numbers in C order, in single or double precision."""
    array = numeric_array("x", x)
    dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(floatx())
    return np.array(array, dtype, order="C", ndmin=array.ndim)


def linear(x: npt.ArrayLike) -> Array:
    """x."""
    return _apply(ACTIVATIONS["linear"], x)


def relu(
    x: npt.ArrayLike,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Array:
    """max(x, 0): with options, x from ``threshold`` on, at most ``max_value``; below it,
    ``negative_slope`` (x - ``threshold``). A layer's activation has none: see ``layers.ReLU``.
    """
    most = np.inf if max_value is None else float(max_value)
    return _apply(Rectifier(float(negative_slope), most, float(threshold)), x)


def tanh(x: npt.ArrayLike) -> Array:
    """Hyperbolic tangent of x."""
    return _apply(ACTIVATIONS["tanh"], x)


def sigmoid(x: npt.ArrayLike) -> Array:
    """1 / (1 + e**-x)."""
    return _apply(ACTIVATIONS["sigmoid"], x)


def hard_sigmoid(x: npt.ArrayLike) -> Array:
    """x / 6 + 1/2, kept between 0 and 1."""
    return _apply(ACTIVATIONS["hard_sigmoid"], x)


def leaky_relu(x: npt.ArrayLike, negative_slope: float = 0.2) -> Array:
    """x, or ``negative_slope`` x below zero. As a layer's activation, of slope 0.2."""
    return _apply(Rectifier(float(negative_slope)), x)


def elu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """x, or ``alpha`` (e**x - 1) below zero. As a layer's activation, of alpha 1."""
    return _apply(Elu(float(alpha)), x)


def selu(x: npt.ArrayLike) -> Array:
    """1.0507 x, or 1.0507 · 1.6733 (e**x - 1) below zero."""
    return _apply(ACTIVATIONS["selu"], x)


def relu6(x: npt.ArrayLike) -> Array:
    """x, kept between 0 and 6."""
    return _apply(ACTIVATIONS["relu6"], x)


def hard_tanh(x: npt.ArrayLike) -> Array:
    """x, kept between -1 and 1."""
    return _apply(ACTIVATIONS["hard_tanh"], x)


def softplus(x: npt.ArrayLike) -> Array:
    """log(1 + e**x)."""
    return _apply(ACTIVATIONS["softplus"], x)


def softsign(x: npt.ArrayLike) -> Array:
    """x / (1 + abs(x))."""
    return _apply(ACTIVATIONS["softsign"], x)


def log_sigmoid(x: npt.ArrayLike) -> Array:
    """-log(1 + e**-x)."""
    return _apply(ACTIVATIONS["log_sigmoid"], x)


def exponential(x: npt.ArrayLike) -> Array:
    """e**x."""
    return _apply(ACTIVATIONS["exponential"], x)


def softmax(x: npt.ArrayLike, axis: int = -1) -> Array:
    """e**x over its sum along an axis."""
    values = np.ascontiguousarray(np.moveaxis(_floats(x), axis, -1))
    y = np.empty_like(values)
    dense.softmax_of(y.reshape(-1, y.shape[-1]), values.reshape(-1, y.shape[-1]))
    return np.ascontiguousarray(np.moveaxis(y, -1, axis))
