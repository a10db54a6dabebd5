"""A fully connected layer, as the equation reads: y = activation(x·W + b)."""

from __future__ import annotations

import numpy as np

from tests.reference.math import exp
from tests.reference.rnn import ACTIVATIONS


def softmax(a: np.ndarray) -> np.ndarray:
    """e**a over its sum, along the last axis."""
    powers = exp(a - a.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def forward(x, kernel, bias, activation="linear"):
    """Outputs (..., units) of inputs (..., features)."""
    a = x @ kernel + bias
    return softmax(a) if activation == "softmax" else ACTIVATIONS[activation][0](a)


def backward(x, kernel, y, d_y, activation="linear"):
    """Gradients of x, kernel and bias, from the output and its gradient."""
    if activation == "softmax":
        d_a = y * (d_y - (d_y * y).sum(axis=-1, keepdims=True))
    else:
        d_a = d_y * ACTIVATIONS[activation][1](y)
    rows_x, rows_d = x.reshape(-1, x.shape[-1]), d_a.reshape(-1, d_a.shape[-1])
    return d_a @ kernel.T, rows_x.T @ rows_d, rows_d.sum(axis=0)
