"""The loss of arrays, batch first, and its gradient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.ctc.common import (
    ADVICE,
    Array,
    check_blank,
    check_lengths,
    check_logits,
    run,
    scratch_threads,
)
from fastlstm.kernels import ctc as kernels
from fastlstm.losses.base import prepare_weights
from fastlstm.losses.ctc import check_labels, count_labels, work_of
from fastlstm.memory import check_room
from fastlstm.validation import numeric_array

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", None)


def ctc_loss(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    label_lengths: npt.ArrayLike | None = None,
    input_lengths: npt.ArrayLike | None = None,
    blank: int = 0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: str | None = "sum_over_batch_size",
    zero_infinity: bool = False,
) -> float | Array:
    """-log of the probability of label sequences, over all their alignments.

    With p the softmax of ``y_pred``, a sequence's loss is -log Σ Π p_t(k_t), where the product runs
    over its steps t, and the sum over all alignments k that become its labels when repeated classes
    are merged and blanks are taken out: Graves et al. (2006), equations 3 and 14.

    Parameters
    ----------
    y_true : array_like
        (batch, labels), class ids, each row filled up with ``blank`` or negative ids.
    y_pred : array_like
        (batch, time, classes), logits; logarithms of probabilities are logits, too.
    label_lengths : array_like of int, optional
        (batch,), how many labels of each row count. By default those before what it is filled up
        with.
    input_lengths : array_like of int, optional
        (batch,), how many steps of each row count; by default all.
    blank : int
        The class that stands for no label, as Keras' ``mask_index``.
    sample_weight : array_like, optional
        (batch,), by which losses are multiplied. A sequence of weight 0 has no part, whatever its
        loss. ``1 / label_lengths`` makes the mean that of PyTorch's ``reduction="mean"``.
    reduction : {"sum_over_batch_size", "mean", "sum", "none"} or None
        What is made of the sequences' losses; the first two are the same, the last two are each
        sequence's own.
    zero_infinity : bool
        Whether the loss of a sequence that no alignment fits, since it has more labels than its
        steps have room for, is 0 rather than infinite. Equal labels side by side need a step more,
        for the blank between them.

    Returns
    -------
    float or numpy.ndarray
        The loss, or (batch,) losses. NaN in ``y_pred`` shows in it.

    Raises
    ------
    ValueError
        If shapes, ids, lengths or options do not fit.
    TypeError
        If the arrays do not hold numbers.
    MemoryError
        If there is no room for what has to be kept.

    Examples
    --------
    A single label in three steps of even odds can be aligned in six ways:

    >>> import numpy as np
    >>> from fastlstm.ctc import ctc_loss
    >>> loss = ctc_loss([[1]], np.zeros((1, 3, 2)))
    >>> print(round(np.exp(-loss) * 2**3, 6))
    6.0
    """
    batch = _prepare(
        y_true, y_pred, label_lengths, input_lengths, blank, sample_weight, reduction
    )  # fmt: skip
    return batch.compute(zero_infinity, batch.y_pred[:0])


def ctc_value_and_grad(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    label_lengths: npt.ArrayLike | None = None,
    input_lengths: npt.ArrayLike | None = None,
    blank: int = 0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: str | None = "sum_over_batch_size",
    zero_infinity: bool = False,
) -> tuple[float | Array, Array]:
    """``ctc_loss`` and its gradient with respect to the logits.

    The gradient of a sequence's loss is p_t(k) - γ_t(k), where γ is the part that alignments with
    class k at step t have in the probability of the labels: Graves et al. (2006), equation 16.

    Parameters
    ----------
    y_true, y_pred, label_lengths, input_lengths, blank, sample_weight, reduction, zero_infinity
        As for ``ctc_loss``.

    Returns
    -------
    value : float or numpy.ndarray
        As ``ctc_loss``.
    d_pred : numpy.ndarray
        (batch, time, classes), gradient of the value, or of each sequence's own where they are not
        reduced. It is 0 beyond the end of a sequence, and NaN where the loss is infinite or NaN.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As ``ctc_loss``.
    """
    batch = _prepare(
        y_true, y_pred, label_lengths, input_lengths, blank, sample_weight, reduction
    )  # fmt: skip
    check_room(batch.y_pred.nbytes, "the gradient of the CTC loss", ADVICE)
    d_pred = np.empty_like(batch.y_pred)
    return batch.compute(zero_infinity, d_pred), d_pred


class _Batch(NamedTuple):
    """Checked arguments of the loss, as the kernel takes them."""

    y_true: Array
    y_pred: Array
    label_lengths: Array
    input_lengths: Array
    blank: int
    weights: Array
    reduction: str | None

    def compute(self, zero_infinity: bool, d_pred: Array) -> float | Array:
        """The value; the gradient goes into ``d_pred`` unless that is empty."""
        batch, steps, _ = self.y_pred.shape
        labels, dtype = self.y_true.shape[1], self.y_pred.dtype
        gradient, threads = len(d_pred) > 0, scratch_threads()
        size = kernels.scratch_size(steps, labels, dtype.itemsize, gradient)
        check_room(threads * size * dtype.itemsize, "alignments", ADVICE)
        total, row_loss = np.empty(1), np.empty(batch, dtype)
        # The kernel's result, and gradient, is the mean.
        weights = self.weights
        if self.reduction in ("sum", "none", None):
            weights = batch * (np.ones(batch) if len(weights) == 0 else weights)
        run(
            kernels.ctc, threads, work_of(self.y_pred, labels, gradient),
            total, d_pred, row_loss, np.empty((threads, size), dtype),
            self.y_true, self.label_lengths, self.y_pred, self.input_lengths,
            np.empty((0, batch), np.int32), weights, self.blank, bool(zero_infinity), False,
        )  # fmt: skip
        if self.reduction in ("none", None):
            if len(self.weights) == 0:
                return row_loss
            # An infinite loss of weight 0 is nothing.
            used = np.where(self.weights == 0, 0, row_loss)
            return (used * self.weights).astype(dtype)
        return float(total[0])


def _prepare(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    label_lengths: npt.ArrayLike | None,
    input_lengths: npt.ArrayLike | None,
    blank: int,
    sample_weight: npt.ArrayLike | None,
    reduction: str | None,
) -> _Batch:
    pred = check_logits(y_pred, "ctc_loss")
    batch, steps, classes = pred.shape
    check_blank(blank, classes)
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction expects one of {_REDUCTIONS}, got {reduction!r}")
    true = numeric_array("y_true", y_true)
    if true.ndim != 2 or len(true) != batch:
        raise ValueError(
            f"ctc_loss expects y_true of shape (batch, labels), ({batch}, ...) here, got "
            f"{true.shape}; fill shorter rows up with the blank, {blank}, or -1"
        )
    if label_lengths is None:
        label_lengths = count_labels(true, blank, "ctc_loss")
    counts = check_lengths("label_lengths", label_lengths, batch, true.shape[1])
    weights = prepare_weights(sample_weight, (batch,), np.float64)
    return _Batch(
        check_labels(true, counts, blank, classes, "ctc_loss"),
        pred,
        counts,
        check_lengths("input_lengths", input_lengths, batch, steps),
        int(blank),
        weights,
        reduction,
    )
