"""Cross-entropies, fused with the softmax or sigmoid before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.kernels import crossentropy
from fastlstm.kernels import losses as kernels
from fastlstm.losses.base import (
    ENTROPY_WORK,
    MEAN,
    Array,
    Call,
    Loss,
    LossArrays,
    check_axis,
)
from fastlstm.validation import numeric_array

_BINARY = kernels.BinaryLogits()


class Smoothed(Loss):
    """A cross-entropy whose targets may be moved from certainty."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(reduction, name, **rest)
        check_axis(axis)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(
                f"label_smoothing expects a number from 0 to 1, got {label_smoothing!r}"
            )
        self.from_logits = bool(from_logits)
        self.label_smoothing = float(label_smoothing)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}
        return {**config, **super().get_config()}


class BinaryCrossentropy(Smoothed):
    """Mean of -t log p - (1 - t) log(1 - p): each output is a yes or no of its own.

    Probabilities are kept 1e-7 away from 0 and 1, logits are exact everywhere.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits, the sigmoid not yet taken.
    label_smoothing : float
        Moves targets towards ½ by this part of the way, in [0, 1].
    axis : int
        Only the last one, -1.
    reduction, name
        As for ``Loss``.
    """

    fuses = "sigmoid"
    unit_targets = True

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        args = (*arrays, self.label_smoothing)
        work = ENTROPY_WORK * arrays.y_pred.size
        if from_logits:
            return kernels.elementwise, (_BINARY, *args), work
        return kernels.binary_probabilities, args, work


class CategoricalCrossentropy(Smoothed):
    """-Σ t log p over the classes of a row; targets are one-hot or probabilities.

    Probabilities are divided by their sum and kept 1e-7 away from 0 and 1; logits are exact
    everywhere.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits, the softmax not yet taken.
    label_smoothing : float
        Moves targets towards 1 / C by this part of the way, in [0, 1].
    axis : int
        Only the last one, -1.
    reduction, name
        As for ``Loss``.
    """

    fuses = "softmax"
    leaves_out = True

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        kernel = crossentropy.logits if from_logits else crossentropy.probabilities
        args = (*arrays, self.label_smoothing)
        return kernel, args, ENTROPY_WORK * arrays.y_pred.size

    def _shape_advice(self, given: tuple[int, ...], shape: tuple[int, ...]) -> str:
        return ids_advice(given, shape)


class SparseCategoricalCrossentropy(Loss):
    """-log p[t], where the target t is a class id.

    Probabilities are divided by their sum and kept 1e-7 away from 0 and 1; logits are exact
    everywhere.

    Parameters
    ----------
    from_logits : bool
        Whether predictions are logits, the softmax not yet taken.
    ignore_class : int, optional
        Targets of this id, such as -1 for what nobody has labelled, have no loss and do not count
        in a mean, as if a mask left them out. Metrics see them: there they are what nobody can
        predict, unless it is one of the classes.
    axis : int
        Only the last one, -1.
    reduction, name
        As for ``Loss``.
    """

    fuses = "softmax"
    leaves_out = True
    sparse = True

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        *,
        reduction: str | None = MEAN,
        axis: int = -1,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(reduction, name, **rest)
        check_axis(axis)
        self.from_logits = bool(from_logits)
        self.ignored = None if ignore_class is None else _class_id(ignore_class)

    @property
    def ignore_class(self) -> int | None:
        """Class id of the targets that do not count."""
        return self.ignored

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Kernel, arguments and work; see ``Loss.call``."""
        kernel = crossentropy.sparse_logits if from_logits else crossentropy.sparse_probabilities
        return kernel, arrays, ENTROPY_WORK * arrays.y_pred.size

    def prepare_targets(
        self, y_true: npt.ArrayLike, shape: Sequence[int], dtype: npt.DTypeLike
    ) -> Array:
        """Check class ids; see ``Loss.prepare_targets``.

        Parameters
        ----------
        y_true : array_like
            (...) or (..., 1) ids, whole numbers from 0 to C - 1 of any type; or ``ignore_class``.
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
        true, rows = numeric_array("y_true", y_true), shape[:-1]
        return class_ids(true, rows, shape[-1], self.name, self.ignored)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        ignored = {} if self.ignored is None else {"ignore_class": self.ignored}
        return {"from_logits": self.from_logits, **ignored, **super().get_config()}


def _class_id(value: int) -> int:
    """An id of any class, of those that there are or not."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or abs(value) >> 31:
        raise ValueError(
            f"ignore_class expects a class id, a whole number such as -1, or None; got {value!r}"
        )
    return int(value)


def ids_advice(given: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What to do where one-hot targets are expected, and these look like class ids."""
    if given in (shape[:-1], (*shape[:-1], 1)):
        return (
            " For targets that are class ids, use sparse_categorical_crossentropy, or make them "
            "one-hot with fastlstm.utils.to_categorical."
        )
    return ""


def class_ids(
    true: Array, rows: tuple[int, ...], classes: int, name: str, ignored: int | None = None
) -> Array:
    """Check class ids of shape ``rows`` or ``(*rows, 1)`` and return them as int32.

    One that is ``ignored`` need not be a class.
    """
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
    outside = (ids < 0) | (ids >= classes)
    if ignored is not None:
        outside &= ids != ignored
    wrong = np.flatnonzero((ids != true) | outside)
    if wrong.size:
        at = tuple(int(i) for i in np.unravel_index(wrong[0], rows))
        raise ValueError(
            f"{name} expects class ids from 0 to {classes - 1} (the predictions have {classes} "
            f"classes), got {true[at]} at {list(at)}"
        )
    return np.ascontiguousarray(ids)
