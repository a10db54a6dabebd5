"""The losses as functions, in Keras' lower-case names: one value a row.

Each takes ``y_true`` and ``y_pred`` of shape (..., C) as array_like, and returns an array of shape
(...), without weights or means over rows; options are those of the class of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy.typing as npt

from fastlstm.losses.base import Array, Loss
from fastlstm.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from fastlstm.losses.ctc import CTC
from fastlstm.losses.distribution import CosineSimilarity, KLDivergence, Poisson
from fastlstm.losses.focal import BinaryFocalCrossentropy, CategoricalFocalCrossentropy
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


def mean_squared_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """(y - t)², the mean of each row."""
    return MeanSquaredError().rows(y_true, y_pred)


def mean_absolute_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """|y - t|, the mean of each row."""
    return MeanAbsoluteError().rows(y_true, y_pred)


def mean_absolute_percentage_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """100 |y - t| / |t|, the mean of each row."""
    return MeanAbsolutePercentageError().rows(y_true, y_pred)


def mean_squared_logarithmic_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """(log(1 + y) - log(1 + t))², the mean of each row."""
    return MeanSquaredLogarithmicError().rows(y_true, y_pred)


def log_cosh(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """log cosh(y - t), the mean of each row."""
    return LogCosh().rows(y_true, y_pred)


def poisson(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """y - t log y, the mean of each row."""
    return Poisson().rows(y_true, y_pred)


def kl_divergence(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """Σ t log(t / y) of each row."""
    return KLDivergence().rows(y_true, y_pred)


def hinge(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """max(1 - t y, 0), the mean of each row."""
    return Hinge().rows(y_true, y_pred)


def squared_hinge(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """max(1 - t y, 0)², the mean of each row."""
    return SquaredHinge().rows(y_true, y_pred)


def categorical_hinge(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """max(1 + max (1 - t) y - Σ t y, 0) of each row."""
    return CategoricalHinge().rows(y_true, y_pred)


def huber(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, delta: float = 1.0) -> Array:
    """½e² where |e| <= delta, else delta(|e| - ½delta), the mean of each row."""
    return Huber(delta).rows(y_true, y_pred)


def quantile(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, quantiles: float | Iterable[float] = 0.5
) -> Array:
    """The pinball loss, the mean of each row; shapes as for ``Quantile``."""
    return Quantile(quantiles).rows(y_true, y_pred)


def cosine_similarity(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, axis: int = -1) -> Array:
    """-Σ t y / (|t| |y|) of each row."""
    return CosineSimilarity(axis).rows(y_true, y_pred)


def binary_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """-t log p - (1 - t) log(1 - p), the mean of each row."""
    return BinaryCrossentropy(from_logits, label_smoothing, axis).rows(y_true, y_pred)


def categorical_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """-Σ t log p of each row."""
    return CategoricalCrossentropy(from_logits, label_smoothing, axis).rows(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Array:
    """-log p[t] of each row, for class ids of shape (...); 0 for those of ``ignore_class``."""
    loss = SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis)
    return loss.rows(y_true, y_pred)


def binary_focal_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """(1 - p_t)^gamma times the binary cross-entropy, the mean of each row."""
    loss = BinaryFocalCrossentropy(
        apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis
    )
    return loss.rows(y_true, y_pred)


def categorical_focal_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """-Σ alpha (1 - p)^gamma t log p of each row."""
    loss = CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing, axis)
    return loss.rows(y_true, y_pred)


def ctc(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
    """-log of the probability of each sequence's labels; arrays as for ``CTC``."""
    return CTC().rows(y_true, y_pred)


# Which loss a function stands for, where Keras' users pass it to ``compile``.
CLASS_OF: dict[Callable[..., Any], type[Loss]] = {
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
    mean_absolute_percentage_error: MeanAbsolutePercentageError,
    mean_squared_logarithmic_error: MeanSquaredLogarithmicError,
    log_cosh: LogCosh,
    poisson: Poisson,
    kl_divergence: KLDivergence,
    hinge: Hinge,
    squared_hinge: SquaredHinge,
    categorical_hinge: CategoricalHinge,
    huber: Huber,
    quantile: Quantile,
    cosine_similarity: CosineSimilarity,
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    binary_focal_crossentropy: BinaryFocalCrossentropy,
    categorical_focal_crossentropy: CategoricalFocalCrossentropy,
    ctc: CTC,
}
