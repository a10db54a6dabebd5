"""The simple recurrent network one step after the other. Arrays are (batch, time, features)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.reference.lstm import Gradients
from tests.reference.math import relu, sigmoid

# Each activation, and its derivative from its output.
ACTIVATIONS = {
    "linear": (lambda a: a, np.ones_like),
    "relu": (relu, lambda y: (y > 0).astype(y.dtype)),
    "sigmoid": (sigmoid, lambda y: y * (1 - y)),
    "tanh": (np.tanh, lambda y: 1 - y**2),
}


class Step(NamedTuple):
    """What the backward pass needs of one step."""

    x: np.ndarray
    h: np.ndarray
    h_next: np.ndarray
    keep: np.ndarray


def forward(x, kernel, recurrent, bias, states, mask=None, activation="tanh"):
    """All outputs (batch, time, units), last states [h], and the steps for ``backward``."""
    (h,) = states
    activate, _ = ACTIVATIONS[activation]
    outputs, steps = [], []
    for t in range(x.shape[1]):
        keep = np.ones(len(x), bool) if mask is None else mask[:, t].astype(bool)
        h_next = activate(x[:, t] @ kernel + h @ recurrent + bias)
        steps.append(Step(x[:, t], h, h_next, keep))
        h = np.where(keep[:, None], h_next, h)
        outputs.append(h)
    return np.stack(outputs, axis=1), [h], steps


def backward(steps, kernel, recurrent, d_outputs, d_states, activation="tanh") -> Gradients:
    """Gradients, given those of all outputs and of the last state."""
    (d_h,) = d_states
    _, derivative = ACTIVATIONS[activation]
    d_x = np.zeros((len(d_h), len(steps), len(kernel)))
    d_kernel, d_recurrent = np.zeros_like(kernel), np.zeros_like(recurrent)
    d_bias = np.zeros(kernel.shape[1])
    for t in reversed(range(len(steps))):
        step = steps[t]
        keep = step.keep[:, None]
        d_h = d_h + d_outputs[:, t]
        d_a = np.where(keep, d_h * derivative(step.h_next), 0)
        d_kernel += step.x.T @ d_a
        d_recurrent += step.h.T @ d_a
        d_bias += d_a.sum(axis=0)
        d_x[:, t] = d_a @ kernel.T
        d_h = np.where(keep, d_a @ recurrent.T, d_h)
    return Gradients(d_x, [d_h], d_kernel, d_recurrent, d_bias)
