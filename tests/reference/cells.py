"""One step of every cell as its equations read, and the loop over steps, batch first."""

from __future__ import annotations

import numpy as np

from tests.reference.math import relu, sigmoid


def _hard_sigmoid(x):
    return np.clip(x / 6 + 0.5, 0, 1)


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": relu,
    "sigmoid": sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "tanh": np.tanh,
}


def simple_rnn(x, states, kernel, recurrent, bias, activation="tanh"):
    (h,) = states
    return [ACTIVATIONS[activation](x @ kernel + h @ recurrent + bias)]


def lstm(
    x, states, kernel, recurrent, bias, activation="tanh", recurrent_activation="sigmoid"
):  # fmt: skip
    act, gate = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    h, c = states
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
    c = gate(f) * c + gate(i) * act(g)
    return [gate(o) * act(c), c]


def peephole_lstm(
    x, states, kernel, recurrent, bias, peephole, activation="tanh", recurrent_activation="sigmoid"
):  # fmt: skip
    act, gate = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    h, c = states
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
    i, f = gate(i + peephole[0] * c), gate(f + peephole[1] * c)
    c = f * c + i * act(g)
    return [gate(o + peephole[2] * c) * act(c), c]


def projected_lstm(x, states, kernel, recurrent, bias, projection, **activations):
    made, c = lstm(x, states, kernel, recurrent, bias, **activations)
    return [made @ projection, c]


def _normal(x, gamma, beta, epsilon=1e-3):
    away = x - x.mean(axis=1, keepdims=True)
    return gamma * away / np.sqrt((away**2).mean(axis=1, keepdims=True) + epsilon) + beta


def layer_norm_lstm(
    x, states, kernel, recurrent, bias, gamma_x, beta_x, gamma_h, beta_h, gamma_c, beta_c,
    activation="tanh", recurrent_activation="sigmoid",
):  # fmt: skip
    act, gate = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    h, c = states
    sums = _normal(x @ kernel, gamma_x, beta_x) + _normal(h @ recurrent, gamma_h, beta_h) + bias
    i, f, g, o = np.split(sums, 4, axis=1)
    c = gate(f) * c + gate(i) * act(g)
    return [gate(o) * act(_normal(c, gamma_c, beta_c)), c]


def coupled_lstm(
    x, states, kernel, recurrent, bias, activation="tanh", recurrent_activation="sigmoid"
):  # fmt: skip
    act, gate = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    h, c = states
    f, g, o = np.split(x @ kernel + h @ recurrent + bias, 3, axis=1)
    c = gate(f) * c + (1 - gate(f)) * act(g)
    return [gate(o) * act(c), c]


def gru(x, states, kernel, recurrent, bias, activation="tanh", recurrent_activation="sigmoid"):
    act, gate = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    (h,) = states
    x_z, x_r, x_n = np.split(x @ kernel + bias[0], 3, axis=1)
    h_z, h_r, h_n = np.split(h @ recurrent + bias[1], 3, axis=1)
    z, r = gate(x_z + h_z), gate(x_r + h_r)
    return [z * h + (1 - z) * act(x_n + r * h_n)]


def reset_gru(
    x, states, kernel, recurrent, bias, activation="tanh", recurrent_activation="sigmoid"
):  # fmt: skip
    act, gate = ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation]
    (h,) = states
    u_z, u_r, u_n = np.split(recurrent, 3, axis=1)
    x_z, x_r, x_n = np.split(x @ kernel + bias, 3, axis=1)
    z, r = gate(x_z + h @ u_z), gate(x_r + h @ u_r)
    return [z * h + (1 - z) * act(x_n + (r * h) @ u_n)]


def min_gru(x, states, kernel, bias):
    (h,) = states
    z, n = np.split(x @ kernel + bias, 2, axis=1)
    z = sigmoid(z)
    return [(1 - z) * h + z * n]


def li_gru(x, states, kernel, recurrent, bias):
    (h,) = states
    z, n = np.split(x @ kernel + h @ recurrent + bias, 2, axis=1)
    z = sigmoid(z)
    return [z * h + (1 - z) * relu(n)]


def min_lstm(x, states, kernel, bias):
    (h,) = states
    f, i, n = np.split(x @ kernel + bias, 3, axis=1)
    f, i = sigmoid(f), sigmoid(i)
    return [(f * h + i * n) / (f + i)]


def slstm(x, states, kernel, recurrent, bias):
    """Without the stabiliser, which no output shows: c and n are those of the true scale."""
    h, c, n = states
    i, f, z, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
    c = np.exp(f) * c + np.exp(i) * np.tanh(z)
    n = np.exp(f) * n + np.exp(i)
    return [sigmoid(o) * c / n, c, n]


def sequence(step, x, states, weights, mask=None, zones=(), **options):
    """Outputs (batch, time, units) and last states; a masked step holds the states.

    ``zones`` are what the first states keep of themselves, (batch, time, units) each.
    """
    outputs = []
    for t in range(x.shape[1]):
        after = step(x[:, t], states, *weights, **options)
        for n, zone in enumerate(zones):
            after[n] = zone[:, t] * states[n] + (1 - zone[:, t]) * after[n]
        if mask is not None:
            keep = mask[:, t, None].astype(bool)
            after = [np.where(keep, new, old) for new, old in zip(after, states, strict=True)]
        states = after
        outputs.append(states[0])
    return np.stack(outputs, axis=1), states
