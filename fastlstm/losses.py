"""Losses with Keras' names and values.

A loss reads rows: y_pred is (M, C), with batch and time steps together in M. Its value is the
mean over rows of weight · row loss, and a row's loss is the mean over C, or the cross-entropy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastlstm.config import floatx
from fastlstm.kernels import crossentropy
from fastlstm.kernels import losses as kernels
from fastlstm.registry import named, resolve, snake_case
from fastlstm.utils import numeric_array

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

Array = npt.NDArray[Any]

# Floating-point operations an element, exponentials and logarithms counted by their time.
_ERROR_WORK = 8.0
_ENTROPY_WORK = 40.0


class Loss(ABC):
    """Base class of the losses.

    Attributes
    ----------
    fuses : str or None
        Final activation whose pre-activations ``compute`` takes instead of its output:
        "softmax", "sigmoid" or None.
    sparse : bool
        Whether targets are class ids, (M,) int32, rather than (M, C) numbers.
    from_logits : bool
        Whether the user's predictions are logits.
    """

    fuses: ClassVar[str | None] = None
    sparse: ClassVar[bool] = False
    from_logits: bool = False

    @property
    def name(self) -> str:
        """The loss's name in strings."""
        return snake_case(type(self).__name__)

    @abstractmethod
    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient for checked arrays, all of one dtype; allocates nothing.

        Parameters
        ----------
        d_pred : numpy.ndarray
            (M, C), receives the gradient with respect to ``y_pred``; or (0, C): value only.
        row_loss : numpy.ndarray
            (M,), receives each row's loss without its weight.
        y_true : numpy.ndarray
            (M, C), or (M,) int32 where ``sparse``.
        y_pred : numpy.ndarray
            (M, C): logits where ``from_logits``, else values or probabilities.
        weights : numpy.ndarray
            (M,), or (0,) for ones.
        from_logits : bool
            Whether ``y_pred`` has not been through the activation in ``fuses``.

        Returns
        -------
        float
            Sum over rows of weight · row loss / M.
        """

    def __call__(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
    ) -> float:
        """Value of the loss for arrays of any leading shape.

        Parameters
        ----------
        y_true : array_like
            (..., C), or (...) class ids.
        y_pred : array_like
            (..., C).
        sample_weight : array_like, optional
            (...), or the first of these dimensions.

        Returns
        -------
        float
            Mean over all rows.

        Raises
        ------
        ValueError
            If shapes or class ids do not fit.
        TypeError
            If the arrays do not hold numbers.
        """
        pred = numeric_array("y_pred", y_pred)
        true_shape = np.shape(y_true)
        if pred.ndim == 1 and len(true_shape) == 2 and true_shape[1] == 1:
            pred = pred[:, np.newaxis]
        if pred.ndim == 0 or pred.size == 0:
            raise ValueError(
                f"{self.name} expects y_pred of shape (..., outputs) and not empty, "
                f"got {pred.shape}"
            )
        dtype = pred.dtype if pred.dtype in (np.float32, np.float64) else np.dtype(floatx())
        true = self.prepare_targets(y_true, pred.shape, dtype)
        weights = np.zeros(0, dtype)
        if sample_weight is not None:
            weights = prepare_weights(sample_weight, pred.shape[:-1], dtype).reshape(-1)
        columns = pred.shape[-1]
        rows = np.ascontiguousarray(pred, dtype).reshape(-1, columns)
        return self.compute(
            np.zeros((0, columns), dtype),
            np.empty(len(rows), dtype),
            true.reshape(-1) if self.sparse else true.reshape(-1, columns),
            rows,
            weights,
            self.from_logits,
        )

    def prepare_targets(
        self, y_true: npt.ArrayLike, shape: Sequence[int], dtype: npt.DTypeLike
    ) -> Array:
        """Check targets and bring them into the form that ``compute`` reads.

        Parameters
        ----------
        y_true : array_like
            Targets as the user gave them. A last dimension of 1 may be left out.
        shape : sequence of int
            (..., C), the shape of the predictions.
        dtype : dtype
            Their type.

        Returns
        -------
        numpy.ndarray
            C-contiguous, of this shape and dtype.

        Raises
        ------
        ValueError
            If the shape does not fit.
        TypeError
            If the targets are not numbers.
        """
        true = numeric_array("y_true", y_true)
        shape = tuple(shape)
        if true.ndim == len(shape) - 1 and shape[-1] == 1:
            true = true[..., np.newaxis]
        if true.shape != shape:
            raise ValueError(
                f"{self.name} expects y_true of the predictions' shape {shape}, "
                f"got {true.shape}.{self._shape_advice(true.shape, shape)}"
            )
        return np.ascontiguousarray(true, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"

    def _shape_advice(self, given: tuple[int, ...], shape: tuple[int, ...]) -> str:
        return ""


class MeanSquaredError(Loss):
    """Mean of (y - t)²."""

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient; see ``Loss.compute``."""
        return _elementwise(_SQUARED, d_pred, row_loss, y_true, y_pred, weights)


class MeanAbsoluteError(Loss):
    """Mean of |y - t|; the gradient where they are equal is 0."""

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient; see ``Loss.compute``."""
        return _elementwise(_ABSOLUTE, d_pred, row_loss, y_true, y_pred, weights)


class Huber(Loss):
    """Squared for small errors, linear for large: ½e² where |e| <= delta, else delta(|e| - ½delta).

    Source: Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics
    35(1), 1964.

    Parameters
    ----------
    delta : float
        Error at which the loss becomes linear, greater than 0.
    """

    def __init__(self, delta: float = 1.0) -> None:
        if not 0.0 < delta < np.inf:
            raise ValueError(f"Huber expects delta greater than 0 and finite, got {delta!r}")
        self.delta = float(delta)

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient; see ``Loss.compute``."""
        return _elementwise(_HUBER, d_pred, row_loss, y_true, y_pred, weights, self.delta)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"delta": self.delta}


class BinaryCrossentropy(Loss):
    """Mean of -t log p - (1 - t) log(1 - p): each output is a yes or no of its own.

    Probabilities are kept 1e-7 away from 0 and 1, logits are exact everywhere.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits, the sigmoid not yet taken.
    label_smoothing : float
        Moves targets towards ½ by this part of the way, in [0, 1].
    """

    fuses = "sigmoid"

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        self.from_logits = bool(from_logits)
        self.label_smoothing = _fraction(label_smoothing)

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient; see ``Loss.compute``."""
        smoothing = self.label_smoothing
        if from_logits:
            return _elementwise(
                _BINARY, d_pred, row_loss, y_true, y_pred, weights, smoothing, _ENTROPY_WORK
            )
        return kernels.binary_probabilities(
            d_pred, row_loss, y_true, y_pred, weights, smoothing,
            work=_ENTROPY_WORK * y_pred.size,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


class CategoricalCrossentropy(Loss):
    """-Σ t log p over the classes of a row; targets are one-hot or probabilities.

    Probabilities are divided by their sum and kept 1e-7 away from 0 and 1; logits are exact
    everywhere.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits, the softmax not yet taken.
    label_smoothing : float
        Moves targets towards 1 / C by this part of the way, in [0, 1].
    """

    fuses = "softmax"

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        self.from_logits = bool(from_logits)
        self.label_smoothing = _fraction(label_smoothing)

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient; see ``Loss.compute``."""
        kernel = crossentropy.logits if from_logits else crossentropy.probabilities
        return kernel(
            d_pred, row_loss, y_true, y_pred, weights, self.label_smoothing,
            work=_ENTROPY_WORK * y_pred.size,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}

    def _shape_advice(self, given: tuple[int, ...], shape: tuple[int, ...]) -> str:
        if given in (shape[:-1], (*shape[:-1], 1)):
            return " For targets that are class ids, use sparse_categorical_crossentropy."
        return ""


class SparseCategoricalCrossentropy(Loss):
    """-log p[t], where the target t is a class id.

    Probabilities are divided by their sum and kept 1e-7 away from 0 and 1; logits are exact
    everywhere.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits, the softmax not yet taken.
    """

    fuses = "softmax"
    sparse = True

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = bool(from_logits)

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient; see ``Loss.compute``."""
        kernel = crossentropy.sparse_logits if from_logits else crossentropy.sparse_probabilities
        return kernel(d_pred, row_loss, y_true, y_pred, weights, work=_ENTROPY_WORK * y_pred.size)

    def prepare_targets(
        self, y_true: npt.ArrayLike, shape: Sequence[int], dtype: npt.DTypeLike
    ) -> Array:
        """Check class ids; see ``Loss.prepare_targets``.

        Parameters
        ----------
        y_true : array_like
            (...) or (..., 1) ids, whole numbers from 0 to C - 1 of any type.
        shape : sequence of int
            (..., C), the shape of the predictions.
        dtype : dtype
            Not used: ids are int32.

        Returns
        -------
        numpy.ndarray
            (...) int32, C-contiguous.

        Raises
        ------
        ValueError
            If the shape does not fit, or an id is not one of the classes.
        """
        shape = tuple(shape)
        return class_ids(numeric_array("y_true", y_true), shape[:-1], shape[-1], self.name)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"from_logits": self.from_logits}


def class_ids(true: Array, rows: tuple[int, ...], classes: int, name: str) -> Array:
    """Check class ids of shape ``rows`` or ``(*rows, 1)`` and return them as int32."""
    if true.shape == (*rows, 1):
        true = true[..., 0]
    if true.shape != rows:
        advice = ""
        if true.shape == (*rows, classes):
            advice = " For one-hot targets, use categorical_crossentropy."
        raise ValueError(
            f"{name} expects y_true as class ids of shape {rows}, got {true.shape}.{advice}"
        )
    with np.errstate(invalid="ignore"):  # NaN is found just below
        ids = true.astype(np.int32)
    wrong = np.flatnonzero((ids != true) | (ids < 0) | (ids >= classes))
    if wrong.size:
        at = tuple(int(i) for i in np.unravel_index(wrong[0], rows))
        raise ValueError(
            f"{name} expects class ids from 0 to {classes - 1} (the predictions have {classes} "
            f"classes), got {true[at]} at {list(at)}"
        )
    return np.ascontiguousarray(ids)


def prepare_weights(
    sample_weight: npt.ArrayLike, rows: Sequence[int], dtype: npt.DTypeLike
) -> Array:
    """Check sample weights and spread them over all rows.

    Parameters
    ----------
    sample_weight : array_like
        (N,), or as many of the rows' dimensions as given.
    rows : sequence of int
        (N, ...), the predictions' shape without the last dimension.
    dtype : dtype
        Their type.

    Returns
    -------
    numpy.ndarray
        C-contiguous, of shape ``rows``.

    Raises
    ------
    ValueError
        If the shape does not fit or a weight is not finite.
    TypeError
        If the weights are not numbers.
    """
    weights = numeric_array("sample_weight", sample_weight)
    rows = tuple(rows)
    if weights.shape == (*rows, 1):
        weights = weights[..., 0]
    if weights.shape != rows[: weights.ndim]:
        raise ValueError(
            f"sample_weight expects shape {rows[:1]} or {rows}, one weight a sample or a row of "
            f"predictions; got {weights.shape}"
        )
    if not np.isfinite(weights).all():
        raise ValueError("sample_weight expects finite numbers, got NaN or infinity")
    weights = weights.reshape(weights.shape + (1,) * (len(rows) - weights.ndim))
    return np.ascontiguousarray(np.broadcast_to(weights, rows), dtype)


def _elementwise(
    equation: Any,
    d_pred: Array,
    row_loss: Array,
    y_true: Array,
    y_pred: Array,
    weights: Array,
    option: float = 0.0,
    work: float = _ERROR_WORK,
) -> float:
    return kernels.elementwise(
        equation, d_pred, row_loss, y_true, y_pred, weights, option, work=work * y_pred.size
    )


def _fraction(label_smoothing: float) -> float:
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing expects a number from 0 to 1, got {label_smoothing!r}")
    return float(label_smoothing)


_SQUARED = kernels.Squared()
_ABSOLUTE = kernels.Absolute()
_HUBER = kernels.Huber()
_BINARY = kernels.BinaryLogits()

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
