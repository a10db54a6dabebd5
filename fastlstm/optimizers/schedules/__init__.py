"""Learning rates that change from step to step, with Keras' arguments and values.

A schedule is called with the number of gradients so far, from 0, and returns the learning rate of
the next update: ``Adam(learning_rate=CosineDecay(1e-3, 10_000))``.
"""

from __future__ import annotations

from typing import Any

from fastlstm.optimizers.schedules.base import LearningRateSchedule
from fastlstm.optimizers.schedules.cosine import CosineDecay, CosineDecayRestarts, OneCycle
from fastlstm.optimizers.schedules.decay import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from fastlstm.registry import named, resolve

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "get",
]

_TABLE = named(
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
)


def get(identifier: Any) -> LearningRateSchedule:
    """Find a schedule.

    Parameters
    ----------
    identifier : LearningRateSchedule or dict
        An instance, or a configuration as a model file holds it.

    Returns
    -------
    LearningRateSchedule
        The instance itself, or a new one.

    Raises
    ------
    ValueError
        If the name is unknown, or its arguments do not fit.
    """
    return resolve("learning rate schedule", identifier, LearningRateSchedule, _TABLE)
