"""Optimizers as the equations read, in float64, one variable after the other."""

from __future__ import annotations

import numpy as np

# One step of a variable: parameter, gradient, what is kept of it (a dict, empty at first), number
# of the update from 1, learning rate, and the optimizer's own options.


def sgd(p, g, kept, t, rate, momentum=0.0, nesterov=False):
    v = kept["v"] = momentum * kept.get("v", 0 * p) - rate * g
    return p + (momentum * v - rate * g if nesterov else v)


def adam(p, g, kept, t, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False):
    m = kept["m"] = beta_1 * kept.get("m", 0 * p) + (1 - beta_1) * g
    v = kept["v"] = beta_2 * kept.get("v", 0 * p) + (1 - beta_2) * g**2
    if amsgrad:
        v = kept["largest"] = np.maximum(kept.get("largest", 0 * p), v)
    alpha = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return p - alpha * m / (np.sqrt(v) + epsilon)


def adamax(p, g, kept, t, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m = kept["m"] = beta_1 * kept.get("m", 0 * p) + (1 - beta_1) * g
    u = kept["u"] = np.maximum(beta_2 * kept.get("u", 0 * p), np.abs(g))
    return p - rate / (1 - beta_1**t) * m / (u + epsilon)


def nadam(p, g, kept, t, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    u = [beta_1 * (1 - 0.96**i / 2) for i in range(1, t + 2)]
    m = kept["m"] = beta_1 * kept.get("m", 0 * p) + (1 - beta_1) * g
    v = kept["v"] = beta_2 * kept.get("v", 0 * p) + (1 - beta_2) * g**2
    m_hat = u[t] * m / (1 - np.prod(u)) + (1 - u[t - 1]) * g / (1 - np.prod(u[:t]))
    return p - rate * m_hat / (np.sqrt(v / (1 - beta_2**t)) + epsilon)


def rmsprop(p, g, kept, t, rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    v = kept["v"] = rho * kept.get("v", 0 * p) + (1 - rho) * g**2
    if centered:
        mean = kept["mean"] = rho * kept.get("mean", 0 * p) + (1 - rho) * g
        v = v - mean**2
    step = kept["step"] = momentum * kept.get("step", 0 * p) + rate * g / np.sqrt(v + epsilon)
    return p - step


def adagrad(p, g, kept, t, rate, initial_accumulator_value=0.1, epsilon=1e-7):
    total = kept["total"] = kept.get("total", 0 * p + initial_accumulator_value) + g**2
    return p - rate * g / np.sqrt(total + epsilon)


def lion(p, g, kept, t, rate, beta_1=0.9, beta_2=0.99):
    m = kept.get("m", 0 * p)
    kept["m"] = beta_2 * m + (1 - beta_2) * g
    return p - rate * np.sign(beta_1 * m + (1 - beta_1) * g)


RULES = {
    "SGD": sgd,
    "Adam": adam,
    "AdamW": adam,
    "Adamax": adamax,
    "Nadam": nadam,
    "RMSprop": rmsprop,
    "Adagrad": adagrad,
    "Lion": lion,
}
DEFAULTS = {name: {"learning_rate": 0.001} for name in RULES}
DEFAULTS["SGD"] = {"learning_rate": 0.01}
DEFAULTS["AdamW"] = {"learning_rate": 0.001, "weight_decay": 0.004}


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


def train(name, params, steps, kept_as_they_are=(), **options):
    """Parameters, and their running means, after one step for each list of gradients in ``steps``.

    ``kept_as_they_are`` has the numbers of the variables that do not decay.
    """
    options = {**DEFAULTS[name], **options}
    rate = options.pop("learning_rate")
    decay = options.pop("weight_decay", None) or 0.0
    clips = {key: options.pop(key, None) for key in ("clipnorm", "clipvalue", "global_clipnorm")}
    collected = options.pop("gradient_accumulation_steps", None) or 1
    averages = options.pop("use_ema", False)
    momentum = options.pop("ema_momentum", 0.99)
    often = options.pop("ema_overwrite_frequency", None)
    params = [p.copy() for p in params]
    kept = [{} for _ in params]
    means, window = [0 * p for p in params], []
    for number, grads in enumerate(steps):
        updates = number // collected
        window.append(grads)
        if len(window) == collected:
            grads = clipped([sum(each) / collected for each in zip(*window, strict=True)], **clips)
            window = []
            now = rate(number) if callable(rate) else rate
            for i, g in enumerate(grads):
                if i not in kept_as_they_are:
                    params[i] = params[i] - params[i] * decay * now
                params[i] = RULES[name](params[i], g, kept[i], updates + 1, now, **options)
        share = momentum if updates else 0.0
        means = [share * m + (1 - share) * p for m, p in zip(means, params, strict=True)]
        if averages and often and (updates + 1) % often == 0:
            params = [m.copy() for m in means]
    return params, means
