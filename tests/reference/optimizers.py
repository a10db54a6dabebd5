"""Optimizers as the equations read, in float64, one variable after the other."""

from __future__ import annotations

import numpy as np


def clipped(grads, clipnorm=None, clipvalue=None, global_clipnorm=None):
    """Gradients with their size limited."""
    if clipnorm is not None:
        return [g * clipnorm / max(np.linalg.norm(g), clipnorm) for g in grads]
    if global_clipnorm is not None:
        norm = np.sqrt(sum((g**2).sum() for g in grads))
        return [g * global_clipnorm / max(norm, global_clipnorm) for g in grads]
    if clipvalue is not None:
        return [np.clip(g, -clipvalue, clipvalue) for g in grads]
    return grads


def adam(params, steps, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **clips):
    """Parameters after one step for each list of gradients in ``steps``."""
    params = [p.copy() for p in params]
    m, v = ([np.zeros_like(p) for p in params] for _ in range(2))
    for t, grads in enumerate(steps, start=1):
        alpha = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        for i, g in enumerate(clipped(grads, **clips)):
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            v[i] = beta_2 * v[i] + (1 - beta_2) * g**2
            params[i] = params[i] - alpha * m[i] / (np.sqrt(v[i]) + epsilon)
    return params


def sgd(params, steps, learning_rate=0.01, momentum=0.0, nesterov=False, **clips):
    """Parameters after one step for each list of gradients in ``steps``."""
    params = [p.copy() for p in params]
    velocity = [np.zeros_like(p) for p in params]
    for grads in steps:
        for i, g in enumerate(clipped(grads, **clips)):
            velocity[i] = momentum * velocity[i] - learning_rate * g
            step = momentum * velocity[i] - learning_rate * g if nesterov else velocity[i]
            params[i] = params[i] + step
    return params
