"""What all losses share: the base class, checks of targets and weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.config import floatx
from fastlstm.kernels.masks import clear_weightless, weigh
from fastlstm.kernels.program import Kernel
from fastlstm.kernels.rowlosses import rescale
from fastlstm.registry import arguments_of_class, check_rest, snake_case
from fastlstm.validation import numeric_array

Array = npt.NDArray[Any]
Call = tuple[Kernel, tuple[Any, ...], float]


class LossArrays(NamedTuple):
    """What a loss works on, in the order of its kernels' arguments; all of one dtype.

    Attributes
    ----------
    total : numpy.ndarray
        (1,) float64, receives the sum over rows of weight · row loss / M.
    d_pred : numpy.ndarray
        (M, C), receives the gradient with respect to ``y_pred``; or (0, C): value only.
    row_loss : numpy.ndarray
        (M,), receives each row's loss without its weight.
    y_true : numpy.ndarray
        (M, C), or (M,) int32 where the loss is ``sparse``.
    y_pred : numpy.ndarray
        (M, C): logits where that is said, else values or probabilities.
    weights : numpy.ndarray
        (M,), or (0,) for ones.
    """

    total: Array
    d_pred: Array
    row_loss: Array
    y_true: Array
    y_pred: Array
    weights: Array


# Floating-point operations an element, exponentials and logarithms counted by their time.
ERROR_WORK = 8.0
ENTROPY_WORK = 40.0

_EVERY_ROW = np.empty(0, np.uint8)
MEAN = "sum_over_batch_size"
# Means over all rows.
MEANS = (MEAN, "mean")
BY_WEIGHT = "mean_with_sample_weight"
_REDUCTIONS = (*MEANS, BY_WEIGHT, "sum", "none")
# Arguments that Keras' losses and metrics have and those here do not.
_INSTEAD = {
    "axis": "the last one is the only one there is; leave it at -1",
    "from_sorted_ids": "give predictions of all classes",
    "ignore_class": (
        "give it to the loss, losses.SparseCategoricalCrossentropy(ignore_class=...), whose mean "
        "evaluate returns first"
    ),
    "label_weights": "weigh the samples, or make an output of each label",
    "multi_label": "make an output, and its metric, of each label",
    "num_labels": "make an output, and its metric, of each label",
}


def refuse_rest(kind: type, arguments: dict[str, Any]) -> None:
    """An error where arguments that a loss or metric does not know ask for what is not here."""
    rest = {name: value for name, value in arguments.items() if (name, value) != ("axis", -1)}
    if rest:  # sums are in float64, whatever the dtype
        check_rest(kind.__name__, rest, arguments_of_class(kind), _INSTEAD, {"dtype"})


class Loss(ABC):
    """Base class of the losses.

    Parameters
    ----------
    reduction : str or None
        What becomes of the rows' weighted losses: "sum_over_batch_size" or "mean", their sum
        divided by the number of rows; "mean_with_sample_weight", divided by the sum of the
        weights; "sum"; "none" or None, an array of them, which no model can be trained with.
    name : str, optional
        Name in errors, by default the class name in snake case.

    Attributes
    ----------
    fuses : str or None
        Final activation whose pre-activations ``call`` takes instead of its output:
        "softmax", "sigmoid" or None.
    leaves_out : bool
        Whether ``call``, of logits, neither reads nor writes the rows that weigh nothing.
    sparse : bool
        Whether targets are class ids, (M,) int32, rather than (M, C) numbers.
    unit_targets : bool
        Whether targets must be within 0 and 1.
    from_logits : bool
        Whether the user's predictions are logits.
    of_sequences : bool
        Whether it is a loss of whole sequences rather than of rows: a ``SequenceLoss``.
    labelled : bool
        Whether targets have a length of their own, (batch, labels).
    ignored : int or None
        Class id of the targets that do not count, where there is one.
    """

    fuses: ClassVar[str | None] = None
    leaves_out: ClassVar[bool] = False
    sparse: ClassVar[bool] = False
    unit_targets: ClassVar[bool] = False
    of_sequences: ClassVar[bool] = False
    labelled: ClassVar[bool] = False
    from_logits: bool = False
    ignored: int | None = None
    reduction: str = MEAN
    _name: str | None = None

    def __init__(self, reduction: str | None = MEAN, name: str | None = None, **rest: Any) -> None:
        refuse_rest(type(self), rest)
        reduction = "none" if reduction is None else reduction
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"reduction expects one of {', '.join(map(repr, _REDUCTIONS))}, got {reduction!r}"
            )
        self.reduction, self._name = reduction, name

    @property
    def name(self) -> str:
        """The loss's name in errors."""
        return self._name or snake_case(type(self).__name__)

    def target_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the targets for predictions of a shape (..., C)."""
        return shape[:-1] if self.sparse else shape

    def weight_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the weights of what has a loss of its own, for predictions of a shape."""
        return shape[:-1]

    @abstractmethod
    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, its arguments and its work for checked arrays.

        Parameters
        ----------
        arrays : LossArrays
            What the kernel reads and writes.
        from_logits : bool
            Whether ``y_pred`` has not been through the activation in ``fuses``.
        """

    def calls(self, arrays: LossArrays, from_logits: bool, read: Array = _EVERY_ROW) -> list[Call]:
        """All that computes the loss, as its ``reduction`` wants it; arguments as for ``call``.

        ``read`` is a mask, (M,) of uint8, of the rows whose gradient anybody reads; or (0,).
        """
        calls = [self.call(arrays, from_logits)]
        if self.leaves_out and from_logits and len(arrays.weights) and len(arrays.d_pred):
            rows = arrays.d_pred
            calls.append((clear_weightless, (rows, arrays.weights, read), float(rows.size)))
        by_weight = self.reduction == BY_WEIGHT
        if self.reduction == "sum" or (by_weight and len(arrays.weights)):
            count = len(arrays.row_loss)
            args = (arrays.total, arrays.d_pred, arrays.weights, count, by_weight)
            calls.append((rescale, args, float(arrays.d_pred.size + count)))
        return calls

    def check_reduces(self) -> None:
        """An error unless the loss is one number."""
        if self.reduction == "none":
            raise ValueError(
                f"{self.name} has reduction='none' and gives a loss a row; training needs one "
                f"number: leave reduction at {MEAN!r}, or use 'sum'"
            )

    def compute(
        self,
        d_pred: Array,
        row_loss: Array,
        y_true: Array,
        y_pred: Array,
        weights: Array,
        from_logits: bool,
    ) -> float:
        """Value and gradient, now, for what ``LossArrays`` describes."""
        arrays = LossArrays(np.zeros(1), d_pred, row_loss, y_true, y_pred, weights)
        for kernel, args, work in self.calls(arrays, from_logits):
            kernel(*args, work=work)
        return float(arrays.total[0])

    def __call__(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Any:
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
        float or numpy.ndarray
            Mean over all rows, or what ``reduction`` says; with "none" an array of shape (...).

        Raises
        ------
        ValueError
            If shapes or class ids do not fit.
        TypeError
            If the arrays do not hold numbers.
        """
        value, rows, weights = self._evaluate(y_true, y_pred, sample_weight)
        if self.reduction != "none":
            return value
        return rows * weights.reshape(rows.shape) if weights.size else rows

    def rows(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
        """Loss of each row; see ``__call__`` for the arrays."""
        return self._evaluate(y_true, y_pred, None)[1]

    def _evaluate(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> tuple[float, Array, Array]:
        """The value, each row's loss without its weight, and the weights."""
        pred = numeric_array("y_pred", y_pred)
        true_shape = np.shape(y_true)
        if pred.ndim == 1 and len(true_shape) == 2 and true_shape[1] == 1:
            pred = pred[:, np.newaxis]
        pred = prepare_predictions(pred, self.name)
        true = self.prepare_targets(y_true, pred.shape, pred.dtype)
        weights = prepare_weights(sample_weight, pred.shape[:-1], pred.dtype).reshape(-1)
        if self.ignored is not None:
            counts = (true.reshape(-1) != self.ignored).astype(np.uint8)
            given, weights = weights, np.empty(counts.size, pred.dtype)
            weigh(weights, counts, given, self.reduction in MEANS)
        columns, dtype = pred.shape[-1], pred.dtype
        rows = pred.reshape(-1, columns)
        row_loss = np.empty(len(rows), dtype)
        value = self.compute(
            np.zeros((0, columns), dtype),
            row_loss,
            true.reshape(-1) if self.sparse else true.reshape(len(rows), -1),
            rows,
            weights,
            self.from_logits,
        )
        return value, row_loss.reshape(pred.shape[:-1]), weights

    def prepare_targets(
        self, y_true: npt.ArrayLike, shape: Sequence[int], dtype: npt.DTypeLike
    ) -> Array:
        """Check targets and bring them into the form that a kernel reads.

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
        given, shape = tuple(shape), self.target_shape(tuple(shape))
        if true.ndim == len(shape) - 1 and shape[-1] == 1:
            true = true[..., np.newaxis]
        if true.shape != shape:
            wanted = f"the predictions' shape {shape}"
            if shape != given:
                wanted = f"shape {shape} for predictions of shape {given}"
            raise ValueError(
                f"{self.name} expects y_true of {wanted}, got {true.shape}."
                f"{self._shape_advice(true.shape, shape)}"
            )
        prepared = np.ascontiguousarray(true, dtype)
        self.check_targets(prepared)
        return prepared

    def check_targets(self, targets: Array) -> None:  # noqa: B027 - most losses take any number
        """An error where the loss does not exist for such targets."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; name and reduction where they were chosen."""
        config = {} if self._name is None else {"name": self._name}
        return config if self.reduction == MEAN else {"reduction": self.reduction, **config}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"

    def _shape_advice(self, given: tuple[int, ...], shape: tuple[int, ...]) -> str:
        return ""


def check_axis(axis: int) -> None:
    """An error unless ``axis`` is the last one, which all losses work along."""
    if axis != -1:
        raise ValueError(
            f"axis expects -1, the last one, along which all losses work here; got {axis!r}. Move "
            "it there with np.moveaxis"
        )


def prepare_predictions(pred: Array, name: str) -> Array:
    """Check predictions of shape (..., outputs); return them C-contiguous, as floats."""
    if pred.ndim == 0 or pred.size == 0:
        raise ValueError(
            f"{name} expects y_pred of shape (..., outputs) and not empty, got {pred.shape}"
        )
    dtype = pred.dtype if pred.dtype in (np.float32, np.float64) else np.dtype(floatx())
    return np.ascontiguousarray(pred, dtype)


def prepare_weights(
    sample_weight: npt.ArrayLike | None, rows: Sequence[int], dtype: npt.DTypeLike
) -> Array:
    """Check sample weights and spread them over all rows.

    Parameters
    ----------
    sample_weight : array_like, optional
        (N,), or as many of the rows' dimensions as given.
    rows : sequence of int
        (N, ...), the predictions' shape without the last dimension.
    dtype : dtype
        Their type.

    Returns
    -------
    numpy.ndarray
        C-contiguous, of shape ``rows``; without weights (0,), which stands for ones.

    Raises
    ------
    ValueError
        If the shape does not fit or a weight is not finite.
    TypeError
        If the weights are not numbers.
    """
    if sample_weight is None:
        return np.zeros(0, dtype)
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
