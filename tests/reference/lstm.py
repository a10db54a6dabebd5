"""LSTM one step after the other, as the equations read. Arrays are (batch, time, features)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.reference.math import sigmoid


class Step(NamedTuple):
    """What the backward pass needs of one step."""

    x: np.ndarray
    h: np.ndarray
    c: np.ndarray
    gates: tuple[np.ndarray, ...]
    c_next: np.ndarray
    keep: np.ndarray


class Gradients(NamedTuple):
    """Gradients of everything that goes in."""

    x: np.ndarray
    states: list[np.ndarray]
    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray


def forward(x, kernel, recurrent, bias, states, mask=None):
    """All outputs (batch, time, units), last states [h, c], and the steps for ``backward``."""
    h, c = states
    outputs, steps = [], []
    for t in range(x.shape[1]):
        keep = np.ones(len(x), bool) if mask is None else mask[:, t].astype(bool)
        a_i, a_f, a_g, a_o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        c_next = f * c + i * g
        h_next = o * np.tanh(c_next)
        steps.append(Step(x[:, t], h, c, (i, f, g, o), c_next, keep))
        # A masked step holds the states, and so repeats the output.
        h = np.where(keep[:, None], h_next, h)
        c = np.where(keep[:, None], c_next, c)
        outputs.append(h)
    return np.stack(outputs, axis=1), [h, c], steps


def backward(steps, kernel, recurrent, d_outputs, d_states) -> Gradients:
    """Gradients, given those of all outputs and of the last states."""
    d_h, d_c = d_states
    d_x = np.zeros((len(d_h), len(steps), len(kernel)))
    d_kernel, d_recurrent = np.zeros_like(kernel), np.zeros_like(recurrent)
    d_bias = np.zeros(kernel.shape[1])
    for t in reversed(range(len(steps))):
        step = steps[t]
        i, f, g, o = step.gates
        keep = step.keep[:, None]
        d_h = d_h + d_outputs[:, t]
        tanh_c = np.tanh(step.c_next)
        d_c_next = d_c + d_h * o * (1 - tanh_c**2)
        d_a = np.concatenate(
            [
                d_c_next * g * i * (1 - i),
                d_c_next * step.c * f * (1 - f),
                d_c_next * i * (1 - g**2),
                d_h * tanh_c * o * (1 - o),
            ],
            axis=1,
        )
        d_a = np.where(keep, d_a, 0)
        d_kernel += step.x.T @ d_a
        d_recurrent += step.h.T @ d_a
        d_bias += d_a.sum(axis=0)
        d_x[:, t] = d_a @ kernel.T
        d_h = np.where(keep, d_a @ recurrent.T, d_h)
        d_c = np.where(keep, d_c_next * f, d_c)
    return Gradients(d_x, [d_h, d_c], d_kernel, d_recurrent, d_bias)
