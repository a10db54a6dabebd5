"""A small problem for all optimizers: variables, gradients, and ways to take the steps."""

from __future__ import annotations

import numpy as np

SHAPES = [(3, 5), (5,), (7, 11), (1,)]
SIZES = [15, 5, 77, 1]
STEPS = 20

VARIANTS = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    ("Adam", {"learning_rate": 0.05, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.3, "amsgrad": True}),
    ("Adamax", {}),
    ("Adamax", {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    ("Nadam", {}),
    ("Nadam", {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    ("RMSprop", {}),
    ("RMSprop", {"learning_rate": 0.01, "rho": 0.8, "momentum": 0.9, "epsilon": 1e-3}),
    ("RMSprop", {"learning_rate": 0.01, "centered": True, "epsilon": 1e-3}),
    ("RMSprop", {"learning_rate": 0.01, "momentum": 0.5, "centered": True, "epsilon": 1e-3}),
    ("Adagrad", {}),
    ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    ("Lion", {}),
    ("Lion", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.9}),
]
# One of each, for what does not hang on its own options.
EACH = [VARIANTS[i] for i in (1, 3, 6, 8, 10, 15, 16, 18)]
OPTIONS = [
    {"clipnorm": 0.9},
    {"global_clipnorm": 1.5},
    {"clipvalue": 0.3},
    {"weight_decay": 0.5},
    {"use_ema": True, "ema_momentum": 0.8},
    {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 3},
    {
        "gradient_accumulation_steps": 3,
        "global_clipnorm": 1.0,
        "weight_decay": 0.5,
        "use_ema": True,
        "ema_overwrite_frequency": 2,
    },
]


def segments():
    offsets = np.cumsum([0, *SIZES]).tolist()
    return [(f"v{i}", offsets[i], SIZES[i]) for i in range(len(SIZES))]


def flat(arrays, dtype):
    return np.concatenate([array.ravel() for array in arrays]).astype(dtype)


def problem(rng):
    """Starting values, and gradients of very different size that clip at some steps only."""
    params = [rng.standard_normal(shape) for shape in SHAPES]
    sizes = rng.uniform(0, 0.6, (STEPS, len(SHAPES)))
    sizes[3] = 0
    steps = [
        [size * rng.standard_normal(shape) for size, shape in zip(row, SHAPES, strict=True)]
        for row in sizes
    ]
    return params, steps


def take_steps(optimizer, params, steps, dtype):
    """Values after the steps of an optimizer that starts afresh."""
    values = flat(params, dtype)
    optimizer.build(segments(), values.size, dtype)
    for grads in steps:
        optimizer.update(values, flat(grads, dtype))
    return values
