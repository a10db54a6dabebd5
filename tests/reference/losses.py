"""Losses of rows, as the equations read: one number a row, in float64."""

from __future__ import annotations

import math

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


def mean_absolute_percentage_error(t, y):
    """100 |y - t| / |t|."""
    return 100 * (np.abs(y - t) / np.maximum(np.abs(t), EPSILON)).mean(axis=1)


def mean_squared_logarithmic_error(t, y):
    """(log(1 + y) - log(1 + t))²."""
    t, y = np.maximum(t, EPSILON), np.maximum(y, EPSILON)
    return ((np.log(1 + y) - np.log(1 + t)) ** 2).mean(axis=1)


def log_cosh(t, y):
    """log cosh(y - t)."""
    size = np.abs(y - t)
    # Near 0 the other way loses its digits.
    near = np.log1p(np.sinh(np.minimum(size, 1)) ** 2) / 2
    return np.where(size < 1, near, size + np.log1p(np.exp(-2 * size)) - np.log(2)).mean(axis=1)


def poisson(t, y):
    """y - t log y."""
    return (y - t * np.log(y + EPSILON)).mean(axis=1)


def kl_divergence(t, y):
    """Σ t log(t / y)."""
    t, y = np.clip(t, EPSILON, 1), np.clip(y, EPSILON, 1)
    return (t * np.log(t / y)).sum(axis=1)


def cosine_similarity(t, y):
    """-Σ t y / (|t| |y|)."""
    lengths = [np.sqrt(np.maximum((x**2).sum(axis=1), 1e-12)) for x in (t, y)]
    return -(t * y).sum(axis=1) / (lengths[0] * lengths[1])


def hinge(t, y):
    """max(1 - t y, 0), where 0 stands for -1."""
    return np.maximum(1 - np.where(t == 0, -1, t) * y, 0).mean(axis=1)


def squared_hinge(t, y):
    """max(1 - t y, 0)², where 0 stands for -1."""
    return (np.maximum(1 - np.where(t == 0, -1, t) * y, 0) ** 2).mean(axis=1)


def categorical_hinge(t, y):
    """max(1 + max (1 - t) y - Σ t y, 0)."""
    return np.maximum(1 + ((1 - t) * y).max(axis=1) - (t * y).sum(axis=1), 0)


def quantile(t, y, quantiles=0.5):
    """Mean over targets and quantiles of q e, or (q - 1) e where that is larger."""
    levels = np.array(quantiles, ndmin=1)
    error = t[:, :, None] - y.reshape(*t.shape, len(levels))
    return np.maximum(levels * error, (levels - 1) * error).mean(axis=(1, 2))


def binary_focal_crossentropy(
    t,
    y,
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
):
    """(1 - p_t)^gamma (-t log p - (1 - t) log(1 - p))."""
    t = t * (1 - label_smoothing) + label_smoothing / 2
    p = sigmoid(y) if from_logits else y
    log_p, log_q = np.log(clip(p)), np.log(1 - clip(p))
    if from_logits:
        log_p, log_q = -np.logaddexp(0, -y), -np.logaddexp(0, y)
    weight = t * alpha + (1 - t) * (1 - alpha) if apply_class_balancing else 1.0
    away = t * (1 - p) + (1 - t) * p
    return -(weight * away**gamma * (t * log_p + (1 - t) * log_q)).mean(axis=1)


def categorical_focal_crossentropy(
    t, y, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0
):
    """-Σ alpha (1 - p)^gamma t log p."""
    t = t * (1 - label_smoothing) + label_smoothing / y.shape[1]
    log_p = log_softmax(y) if from_logits else np.log(clip(y / y.sum(axis=1, keepdims=True)))
    return -(alpha * (1 - np.exp(log_p)) ** gamma * t * log_p).sum(axis=1)


# -- likelihoods: t (M, C), y (M, C · P), the parameters of each target side by side ---------------


def gaussian(t, y, least_scale=1e-6):
    """-log of the normal density."""
    a, b = _parameters(t, y, 2)
    s = least_scale + np.logaddexp(0, b)
    return (0.5 * ((t - a) / s) ** 2 + np.log(s * np.sqrt(2 * np.pi))).mean(axis=1)


def student_t(t, y, least_scale=1e-6):
    """-log of the density of Student's t."""
    a, b, c = _parameters(t, y, 3)
    s, v = least_scale + np.logaddexp(0, b), 2 + np.logaddexp(0, c)
    norm = _lgamma((v + 1) / 2) - _lgamma(v / 2) - 0.5 * np.log(v * np.pi) - np.log(s)
    return ((v + 1) / 2 * np.log(1 + ((t - a) / s) ** 2 / v) - norm).mean(axis=1)


def negative_binomial(t, y):
    """-log of the probability of counts with mean m and variance m + d m²."""
    a, b = _parameters(t, y, 2)
    m, r = np.exp(a), np.exp(-b)
    ways = _lgamma(t + r) - _lgamma(r) - _lgamma(t + 1)
    return -(ways + r * np.log(r / (r + m)) + t * np.log(m / (r + m))).mean(axis=1)


_lgamma = np.vectorize(math.lgamma, otypes=[float])


def _parameters(t, y, count):
    return np.moveaxis(y.reshape(*t.shape, count), -1, 0)
