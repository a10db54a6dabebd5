"""Activations: by name for layers, and as functions of arrays, in Keras' words.

A layer takes either: ``Dense(8, "relu")`` or ``Dense(8, activations.relu)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.config import floatx
from fastlstm.kernels import dense, probabilities
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
from fastlstm.kernels.smooth import Gelu, GeluTanh, HardSilu, Mish, Silu, TanhShrink
from fastlstm.kernels.sparse import (
    Celu,
    HardShrink,
    SoftShrink,
    SparsePlus,
    SparseSigmoid,
    Squareplus,
)
from fastlstm.kernels.static import Static
from fastlstm.registry import find
from fastlstm.validation import numeric_array

Array = npt.NDArray[Any]
# What layers take for one: a name, a function of this module, or None for "linear".
ActivationLike = str | Callable[..., Any] | None

__all__ = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "gelu_tanh",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

# Whose slope their output tells, so that cells may have them.
ACTIVATIONS: dict[str, Static] = {
    "linear": Linear(),
    "relu": Relu(),
    "tanh": Tanh(),
    "sigmoid": Sigmoid(),
    "hard_sigmoid": HardSigmoid(),
    "leaky_relu": Rectifier(0.2),
    "celu": Celu(),
    "elu": Elu(),
    "selu": Selu(),
    "relu6": Rectifier(0.0, 6.0),
    "hard_tanh": HardTanh(),
    "softplus": Softplus(),
    "softsign": Softsign(),
    "squareplus": Squareplus(),
    "sparse_plus": SparsePlus(),
    "sparse_sigmoid": SparseSigmoid(),
    "soft_shrink": SoftShrink(),
    "hard_shrink": HardShrink(),
    "log_sigmoid": LogSigmoid(),
    "exponential": Exponential(),
}
# Whose slope follows from their input alone.
FROM_INPUT: dict[str, Static] = {
    "gelu": Gelu(),
    "gelu_tanh": GeluTanh(),
    "silu": Silu(),
    "hard_silu": HardSilu(),
    "mish": Mish(),
    "tanh_shrink": TanhShrink(),
}
# Of a row as a whole.
OF_ROWS = ("softmax", "log_softmax", "sparsemax")
# What layers outside cells take.
LAYER_ACTIVATIONS = (*ACTIVATIONS, *FROM_INPUT, *OF_ROWS)

_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}
_FUNCTIONS_ONLY = {
    "glu": (
        "it halves the features: multiply the output of Dense(units) by that of "
        "Dense(units, activation='sigmoid') instead"
    ),
    "threshold": "it has no threshold as a name: layers.ReLU(threshold=...) is a layer of its own",
}


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
    activation = _ALIASES.get(activation, activation)
    if activation in _FUNCTIONS_ONLY and activation not in allowed:
        raise ValueError(
            f"activation {activation!r} is a function of arrays, not one of layers; "
            f"{_FUNCTIONS_ONLY[activation]}"
        )
    if activation in FROM_INPUT and activation not in allowed:
        raise ValueError(
            f"the slope of {activation!r} does not follow from its output, which is all that a "
            f"cell keeps: put Activation({activation!r}) after the layer, or use one of "
            f"{', '.join(allowed)}, such as 'elu' or 'softplus'"
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
        activation_name(identifier, (*LAYER_ACTIVATIONS, *_FUNCTIONS_ONLY))
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


def celu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """x, or ``alpha`` (e**(x / ``alpha``) - 1) below zero. As a layer's activation, of alpha 1."""
    return _apply(Celu(float(alpha)), x)


def squareplus(x: npt.ArrayLike, b: float = 4.0) -> Array:
    """(x + sqrt(x² + ``b``)) / 2. As a layer's activation, of b 4."""
    return _apply(Squareplus(float(b)), x)


def sparse_plus(x: npt.ArrayLike) -> Array:
    """x from 1 on, 0 up to -1, and (x + 1)² / 4 between them."""
    return _apply(ACTIVATIONS["sparse_plus"], x)


def sparse_sigmoid(x: npt.ArrayLike) -> Array:
    """(x + 1) / 2, kept between 0 and 1."""
    return _apply(ACTIVATIONS["sparse_sigmoid"], x)


def soft_shrink(x: npt.ArrayLike, threshold: float = 0.5) -> Array:
    """x, by ``threshold`` nearer to zero and no further. As a layer's activation, by 0.5."""
    return _apply(SoftShrink(float(threshold)), x)


def hard_shrink(x: npt.ArrayLike, threshold: float = 0.5) -> Array:
    """x, or zero up to ``threshold`` away from it. As a layer's activation, up to 0.5."""
    return _apply(HardShrink(float(threshold)), x)


def tanh_shrink(x: npt.ArrayLike) -> Array:
    """x - tanh(x)."""
    return _apply(FROM_INPUT["tanh_shrink"], x)


def threshold(x: npt.ArrayLike, threshold: float, default_value: float) -> Array:
    """x above ``threshold``, and else ``default_value``."""
    values = _floats(x)
    return np.asarray(np.where(values <= threshold, default_value, values), values.dtype)


def gelu(x: npt.ArrayLike, approximate: bool = False) -> Array:
    """x times the normal distribution's share below x, or as ``gelu_tanh`` where ``approximate``.

    As a layer's activation, "gelu" is not approximate, and "gelu_tanh" is.
    """
    return _apply(FROM_INPUT["gelu_tanh" if approximate else "gelu"], x)


def gelu_tanh(x: npt.ArrayLike) -> Array:
    """x / 2 · (1 + tanh(sqrt(2 / pi) · (x + 0.044715 x³)))."""
    return _apply(FROM_INPUT["gelu_tanh"], x)


def silu(x: npt.ArrayLike) -> Array:
    """x · sigmoid(x); "swish" is the same."""
    return _apply(FROM_INPUT["silu"], x)


def hard_silu(x: npt.ArrayLike) -> Array:
    """x · hard_sigmoid(x); "hard_swish" is the same."""
    return _apply(FROM_INPUT["hard_silu"], x)


def mish(x: npt.ArrayLike) -> Array:
    """x · tanh(log(1 + e**x))."""
    return _apply(FROM_INPUT["mish"], x)


# As Keras names them too.
swish, hard_swish = silu, hard_silu


def glu(x: npt.ArrayLike, axis: int = -1) -> Array:
    """The first half along an axis, times the sigmoid of the second one."""
    values = _floats(x)
    if values.ndim == 0 or values.shape[axis] % 2:
        raise ValueError(
            f"glu expects an even number along axis {axis} to halve, got shape {values.shape}"
        )
    first, second = np.split(values, 2, axis)
    return np.asarray(first * sigmoid(second))


def softmax(x: npt.ArrayLike, axis: int = -1) -> Array:
    """e**x over its sum along an axis."""
    return _along(dense.softmax_of, x, axis)


def log_softmax(x: npt.ArrayLike, axis: int = -1) -> Array:
    """Logarithm of e**x over its sum along an axis."""
    return _along(probabilities.log_softmax, x, axis)


def sparsemax(x: npt.ArrayLike, axis: int = -1) -> Array:
    """The nearest numbers along an axis that are at least 0 and sum to 1."""
    return _along(probabilities.sparsemax, x, axis)


def _along(kernel: Callable[..., Any], x: npt.ArrayLike, axis: int) -> Array:
    """A kernel's (y, x), whose rows are along an axis."""
    values = np.ascontiguousarray(np.moveaxis(_floats(x), axis, -1))
    y = np.empty_like(values)
    kernel(y.reshape(-1, y.shape[-1]), values.reshape(-1, y.shape[-1]))
    return np.ascontiguousarray(np.moveaxis(y, -1, axis))
