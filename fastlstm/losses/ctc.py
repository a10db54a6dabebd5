"""Connectionist temporal classification as a loss that models are trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.kernels import ctc as kernels
from fastlstm.kernels import sequences
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.losses.base import ENTROPY_WORK, MEAN, Array
from fastlstm.losses.sequences import Recorder, SequenceArrays, SequenceLoss
from fastlstm.memory import Plan
from fastlstm.validation import all_finite, numeric_array, whole_number

# Floating-point operations of a place at a step, forward, and with the way back.
_FORWARD_WORK, _BOTH_WORK = 30.0, 90.0


class CTC(SequenceLoss):
    """-log of the probability of label sequences that nobody has aligned with the steps.

    Targets are (batch, labels), class ids filled up with the blank or negative ids, as
    ``fastlstm.utils.pad_sequences(labels, padding="post")`` does; predictions are logits (batch,
    time, classes), one class of which is the blank: the last layer is a ``Dense(classes)`` without
    an activation. Steps that a mask leaves out are skipped. What a model has learned,
    ``fastlstm.ctc.ctc_greedy_decode`` and ``ctc_beam_search_decode`` read out of its predictions.

    Parameters
    ----------
    blank : int
        The class that stands for no label. It is 0, as Keras has it, where it fills up the targets
        as well.
    zero_infinity : bool
        Whether a sequence that has more labels than its steps have room for has a loss, and a
        gradient, of 0. Otherwise that is an error. Equal labels side by side need a step more, for
        the blank between them.
    reduction, name
        As for ``Loss``; a mean is one over sequences.

    Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification:
    labelling unsegmented sequence data with recurrent neural networks", ICML 2006.

    Examples
    --------
    A single label in three steps of even odds can be aligned in six ways:

    >>> import numpy as np
    >>> from fastlstm.losses import CTC
    >>> loss = CTC()([[1]], np.zeros((1, 3, 2)))
    >>> print(round(np.exp(-loss) * 2**3, 6))
    6.0
    """

    labelled = True
    refused = ("softmax", "sigmoid")

    def __init__(
        self,
        reduction: str | None = MEAN,
        name: str | None = None,
        *,
        blank: int = 0,
        zero_infinity: bool = False,
        **rest: Any,
    ) -> None:
        super().__init__(reduction, name, **rest)
        self.blank = whole_number(blank, "CTC blank", least=0)
        self.zero_infinity = bool(zero_infinity)

    def bind(self, arrays: SequenceArrays, plan: Plan) -> Recorder:
        """Lay out steps and scratch; see ``SequenceLoss.bind``."""
        total, d_pred, row_loss, y_true, y_pred, mask, weights = arrays
        (steps, batch), labels = y_pred.shape[:2], y_true.shape[1]
        masked, gradient, dtype = len(mask) > 0, len(d_pred) > 0, y_pred.dtype
        places = plan.array((steps if masked else 0, batch), np.int32)
        lengths = plan.array((batch if masked else 0,), np.int32)
        size = kernels.scratch_size(steps, labels, dtype.itemsize, gradient)
        (scratch,) = plan.scratch(((get_num_threads(), size), dtype))

        def record(program: Program, op: Any) -> None:
            if masked:
                work = 4.0 * mask.size
                program.add(sequences.order_steps, places, lengths, mask, work=work)
            program.add(
                kernels.ctc, total, d_pred, row_loss, scratch, y_true, np.empty(0, np.int32),
                y_pred, lengths, places, weights, self.blank, self.zero_infinity, True,
                work=work_of(y_pred, labels, gradient),
            )  # fmt: skip

        return record

    def prepare_targets(
        self, y_true: npt.ArrayLike, shape: Sequence[int], dtype: npt.DTypeLike
    ) -> Array:
        """Check labels; see ``Loss.prepare_targets``.

        Parameters
        ----------
        y_true : array_like
            (batch, labels), whole numbers of any type.
        shape : sequence of int
            (batch, time, classes), the shape of the predictions.
        dtype : dtype
            Not used: ids are int32.

        Returns
        -------
        numpy.ndarray
            (batch, labels) int32, filled up with -1.

        Raises
        ------
        ValueError
            If a shape does not fit, an id is no class or the blank, or a row has more labels than
            there are steps.
        TypeError
            If labels are no whole numbers.
        """
        if len(shape) != 3:
            raise ValueError(
                f"{self.name} expects predictions (batch, time, classes), one row of logits a "
                f"step, got shape {tuple(shape)}; let the last recurrent layer return every step "
                "with return_sequences=True"
            )
        batch, steps, classes = shape
        if self.blank >= classes:
            raise ValueError(
                f"{self.name} has blank={self.blank}, but the predictions have {classes} classes; "
                f"expected a class from 0 to {classes - 1}. Dense needs a unit for each label and "
                "one for the blank"
            )
        true = numeric_array("y_true", y_true)
        if true.ndim != 2 or len(true) != batch or true.shape[1] == 0:
            raise ValueError(
                f"{self.name} expects y_true of shape (batch, labels), ({batch}, ...) here, got "
                f"{true.shape}; fill shorter rows up with the blank, {self.blank}, or -1"
            )
        fractions = true.dtype.kind == "f" and not (
            all_finite(true) and np.array_equal(true, np.trunc(true))
        )
        if true.dtype.kind not in "iuf" or fractions:
            raise TypeError(
                f"{self.name} expects labels that are class ids, whole numbers; got {true.dtype}"
                + (" with fractions, NaN or infinity" if fractions else "")
            )
        counts = count_labels(true, self.blank, self.name)
        found = check_labels(true, counts, self.blank, classes, self.name)
        needed = _steps_needed(found)
        if not self.zero_infinity and needed.max() > steps:
            raise ValueError(self._too_long(found, needed, int(needed.argmax()), steps))
        return np.ascontiguousarray(found)

    def explain(self, row_loss: Array, y_true: Array, mask: Array, where: Array) -> None:
        """An error where a sequence has more labels than steps that count."""
        if not len(mask):  # all sequences are as long as the predictions, to which targets fit
            return
        needed, lengths = _steps_needed(y_true), mask.sum(axis=0, dtype=np.intp)
        wrong = np.flatnonzero(np.isinf(row_loss) & (needed > lengths))
        if len(wrong):
            row = int(wrong[np.argmin(where[wrong])])
            text = self._too_long(y_true, needed, row, int(lengths[row]), int(where[row]))
            raise ValueError(text)

    def _too_long(
        self, true: Array, needed: Array, row: int, steps: int, sample: int | None = None
    ) -> str:
        count = int((true[row] >= 0).sum())
        equal = int(needed[row]) - count
        beside = f" and a blank between equal ones ({equal})" if equal else ""
        return (
            f"{self.name} needs a step for each label{beside}: sample "
            f"{row if sample is None else sample} has {count} labels, which take "
            f"{needed[row]} steps, and {steps} that count. Take longer input, or fewer steps "
            "together, or leave such samples out with CTC(zero_infinity=True)"
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        options = {"blank": self.blank, "zero_infinity": self.zero_infinity}
        return {**options, **super().get_config()}


def work_of(y_pred: Array, labels: int, gradient: bool) -> float:
    """Floating-point operations of the kernel."""
    rows = y_pred.size // y_pred.shape[2]
    places = _BOTH_WORK if gradient else _FORWARD_WORK
    return ENTROPY_WORK * y_pred.size + places * rows * (labels + 1)


def count_labels(true: Array, blank: int, name: str) -> Array:
    """Number of labels in each row before those that it is filled up with."""
    filler = (true == blank) | (true < 0)
    ends = np.concatenate([filler, np.ones((len(true), 1), bool)], axis=1).argmax(axis=1)
    late = ~filler & (np.arange(true.shape[1]) > ends[:, np.newaxis])
    if late.any():
        row, column = np.argwhere(late)[0]
        raise ValueError(
            f"{name} expects labels before what a row is filled up with (the blank, {blank}, or "
            f"negative ids), got {true[row, column]} after {true[row, ends[row]]} in row {row} of "
            "y_true; take the blank out of the labels, or give label_lengths to fastlstm.ctc"
        )
    return ends


def check_labels(true: Array, counts: Array, blank: int, classes: int, name: str) -> Array:
    """Labels as int32; those that do not count become -1."""
    used = np.arange(true.shape[1]) < counts[:, np.newaxis]
    with np.errstate(invalid="ignore"):  # NaN is found just below
        ids = true.astype(np.int32)
    wrong = used & ((ids != true) | (ids < 0) | (ids >= classes) | (ids == blank))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name} expects labels to be class ids from 0 to {classes - 1} (the predictions "
            f"have {classes} classes) other than the blank, {blank}; got {true[row, column]} at "
            f"[{row}, {column}]"
        )
    return np.where(used, ids, np.int32(-1))


def _steps_needed(true: Array) -> Array:
    """Steps that the shortest alignment of each row takes; of labels filled up with -1."""
    used = true >= 0
    equal = used[:, 1:] & (true[:, 1:] == true[:, :-1])
    return np.asarray(used.sum(axis=1) + equal.sum(axis=1))
