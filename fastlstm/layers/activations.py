"""Activations by name, as layers' users write them."""

from __future__ import annotations

from fastlstm.kernels.activations import HardSigmoid, Linear, Relu, Sigmoid, Tanh
from fastlstm.kernels.static import Static
from fastlstm.registry import find

ACTIVATIONS: dict[str, Static] = {
    "linear": Linear(),
    "relu": Relu(),
    "tanh": Tanh(),
    "sigmoid": Sigmoid(),
    "hard_sigmoid": HardSigmoid(),
}


def activation_name(activation: str | None, allowed: tuple[str, ...] = tuple(ACTIVATIONS)) -> str:
    """The name if it is among ``allowed``; None means linear, as in Keras."""
    if activation is None:
        activation = "linear"
    if not isinstance(activation, str):
        raise TypeError(
            f"an activation is given by name ({', '.join(allowed)}), got {activation!r}"
        )
    return find("activation", activation, {name: name for name in allowed})
