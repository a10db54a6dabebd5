"""Losses of rows, as the equations read: one number a row, in float64."""

from __future__ import annotations

import numpy as np

# Keras keeps probabilities this far from 0 and 1.
EPSILON = 1e-7


def clip(p: np.ndarray) -> np.ndarray:
    """Probabilities, kept away from 0 and 1."""
    return np.clip(p, EPSILON, 1 - EPSILON)


def sigmoid(y: np.ndarray) -> np.ndarray:
    """1 / (1 + e**-y)."""
    return 1 / (1 + np.exp(-y))


def log_softmax(y: np.ndarray) -> np.ndarray:
    """Logarithm of e**y over its sum along each row."""
    shifted = y - y.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def mean_squared_error(t, y):
    """Mean of (y - t)²."""
    return ((y - t) ** 2).mean(axis=1)


def mean_absolute_error(t, y):
    """Mean of |y - t|."""
    return np.abs(y - t).mean(axis=1)


def huber(t, y, delta=1.0):
    """Squared up to delta, linear beyond."""
    size = np.abs(y - t)
    return np.where(size <= delta, size**2 / 2, delta * size - delta**2 / 2).mean(axis=1)


def binary_crossentropy(t, y, from_logits=False, label_smoothing=0.0):
    """Mean of -t log p - (1 - t) log(1 - p)."""
    t = t * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        log_p, log_q = -np.logaddexp(0, -y), -np.logaddexp(0, y)
    else:
        log_p, log_q = np.log(clip(y)), np.log(1 - clip(y))
    return -(t * log_p + (1 - t) * log_q).mean(axis=1)


def categorical_crossentropy(t, y, from_logits=False, label_smoothing=0.0):
    """-Σ t log p."""
    t = t * (1 - label_smoothing) + label_smoothing / y.shape[1]
    if from_logits:
        return -(t * log_softmax(y)).sum(axis=1)
    return -(t * np.log(clip(y / y.sum(axis=1, keepdims=True)))).sum(axis=1)


def sparse_categorical_crossentropy(t, y, from_logits=False):
    """-log p[t]."""
    return categorical_crossentropy(np.eye(y.shape[1])[t], y, from_logits)
