"""Losses with Keras' names and values.

A loss reads rows: y_pred is (M, C), with batch and time steps together in M. Its value is the
mean over rows of weight · row loss, and a row's loss is the mean over C, or the cross-entropy.
"""

from __future__ import annotations

from typing import Any

from fastlstm.losses.base import Loss
from fastlstm.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from fastlstm.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError
from fastlstm.registry import named, resolve

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get",
]

_TABLE = named(
    MeanSquaredError,
    MeanAbsoluteError,
    Huber,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    mse=MeanSquaredError,
    MSE=MeanSquaredError,
    mae=MeanAbsoluteError,
    MAE=MeanAbsoluteError,
    bce=BinaryCrossentropy,
    BCE=BinaryCrossentropy,
)


def get(identifier: Any) -> Loss:
    """Find a loss.

    Parameters
    ----------
    identifier : str, Loss, class or dict
        A name ("mse", "MeanSquaredError"), an instance, a class or a configuration.

    Returns
    -------
    Loss
        The instance itself, or a new one.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``identifier`` is none of these.
    """
    return resolve("loss", identifier, Loss, _TABLE)
