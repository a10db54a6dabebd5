"""Losses with Keras' names and values.

A loss reads rows: y_pred is (M, C), with batch and time steps together in M. Its value is the
mean over rows of weight · row loss, and a row's loss is the mean over C, or what its class says.
``CTC`` and ``CRF`` are losses of whole sequences: of (batch, time, C) each sample has one.
Functions in lower case give the loss of each row.
"""

from __future__ import annotations

from typing import Any

from fastlstm.losses.base import Loss
from fastlstm.losses.crf import CRF
from fastlstm.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from fastlstm.losses.ctc import CTC
from fastlstm.losses.distribution import CosineSimilarity, KLDivergence, Poisson
from fastlstm.losses.focal import BinaryFocalCrossentropy, CategoricalFocalCrossentropy
from fastlstm.losses.functions import (
    CLASS_OF,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    cosine_similarity,
    ctc,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    quantile,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from fastlstm.losses.likelihood import Gaussian, NegativeBinomial, StudentT
from fastlstm.losses.margin import CategoricalHinge, Hinge, SquaredHinge
from fastlstm.losses.pinball import Quantile
from fastlstm.losses.regression import (
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
)
from fastlstm.registry import named, resolve

__all__ = [
    "CRF",
    "CTC",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Gaussian",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "NegativeBinomial",
    "Poisson",
    "Quantile",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "StudentT",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "ctc",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "quantile",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]

_TABLE = named(
    *CLASS_OF.values(),
    CRF,
    Gaussian,
    NegativeBinomial,
    StudentT,
    mse=MeanSquaredError,
    MSE=MeanSquaredError,
    mae=MeanAbsoluteError,
    MAE=MeanAbsoluteError,
    mape=MeanAbsolutePercentageError,
    MAPE=MeanAbsolutePercentageError,
    msle=MeanSquaredLogarithmicError,
    MSLE=MeanSquaredLogarithmicError,
    bce=BinaryCrossentropy,
    BCE=BinaryCrossentropy,
    kl_divergence=KLDivergence,
    kld=KLDivergence,
    KLD=KLDivergence,
    kullback_leibler_divergence=KLDivergence,
    logcosh=LogCosh,
)


def get(identifier: Any) -> Loss:
    """Find a loss.

    Parameters
    ----------
    identifier : str, Loss, class, function or dict
        A name ("mse", "MeanSquaredError"), an instance, a class, a function of this module or a
        configuration.

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
    if callable(identifier) and not isinstance(identifier, (type, Loss)):
        if identifier in CLASS_OF:
            return CLASS_OF[identifier]()
        raise TypeError(
            f"a loss needs its gradient, which the function {identifier!r} does not tell: derive a "
            "class from fastlstm.losses.Loss, or use one of this module. As a metric, any function "
            "of y_true and y_pred will do"
        )
    return resolve("loss", identifier, Loss, _TABLE)
