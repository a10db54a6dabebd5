"""Metrics with Keras' names and values, over the rows seen since the last reset.

Most are numbers. Those of each class, or of several thresholds, are arrays: ``History`` and
``evaluate`` have them as they are, a progress line shows those of up to eight numbers (of others
their shape), and callbacks cannot monitor them.
"""

from __future__ import annotations

from typing import Any

from fastlstm import losses
from fastlstm.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from fastlstm.metrics.auc import AUC
from fastlstm.metrics.base import Mean, Metric
from fastlstm.metrics.confusion import ConfusionMatrix
from fastlstm.metrics.fscore import F1Score, FBetaScore
from fastlstm.metrics.label_error_rate import LabelErrorRate
from fastlstm.metrics.perplexity import Perplexity
from fastlstm.metrics.r2 import R2Score
from fastlstm.metrics.sides import (
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from fastlstm.metrics.wrapped import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    FunctionMetric,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanMetricWrapper,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from fastlstm.registry import named, resolve

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConfusionMatrix",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "FunctionMetric",
    "Hinge",
    "KLDivergence",
    "LabelErrorRate",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "Perplexity",
    "Poisson",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "get",
]

_TABLE: dict[str, type[Metric]] = named(
    Accuracy,
    AUC,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConfusionMatrix,
    CosineSimilarity,
    F1Score,
    FBetaScore,
    FalseNegatives,
    FalsePositives,
    Hinge,
    KLDivergence,
    LabelErrorRate,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanMetricWrapper,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Perplexity,
    Poisson,
    Precision,
    R2Score,
    Recall,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
    acc=Accuracy,
    bce=BinaryCrossentropy,
    BCE=BinaryCrossentropy,
    fbeta_score=FBetaScore,
    kld=KLDivergence,
    KLD=KLDivergence,
    log_cosh=LogCoshError,
    logcosh=LogCoshError,
    mae=MeanAbsoluteError,
    MAE=MeanAbsoluteError,
    mape=MeanAbsolutePercentageError,
    MAPE=MeanAbsolutePercentageError,
    mse=MeanSquaredError,
    MSE=MeanSquaredError,
    msle=MeanSquaredLogarithmicError,
    MSLE=MeanSquaredLogarithmicError,
    rmse=RootMeanSquaredError,
    RMSE=RootMeanSquaredError,
)


def get(identifier: Any) -> Metric:
    """Find a metric.

    Parameters
    ----------
    identifier : str, Metric, class, Loss, function or dict
        A name ("accuracy", "mae"), an instance, a class, a configuration; a loss, or a function
        ``fn(y_true, y_pred)``, of which the metric is the mean.

    Returns
    -------
    Metric
        The instance itself, or a new one. A name becomes the key in logs.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If ``identifier`` is none of these.
    """
    is_class = isinstance(identifier, type)
    if isinstance(identifier, losses.Loss) or (
        callable(identifier) and not is_class and not isinstance(identifier, Metric)
    ):
        wrapper: Metric = MeanMetricWrapper(identifier)
        return wrapper
    metric = resolve("metric", identifier, Metric, _TABLE)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric
