"""How far what a network reads is from the labels, where nobody has aligned them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.kernels.ctc_decode import greedy
from fastlstm.kernels.edits import edits
from fastlstm.kernels.parallel import get_num_threads, workers
from fastlstm.kernels.program import Program
from fastlstm.losses.base import (
    ENTROPY_WORK,
    Call,
    prepare_predictions,
    prepare_weights,
)
from fastlstm.losses.ctc import check_labels, count_labels
from fastlstm.metrics.base import Array, Metric, MetricArrays
from fastlstm.validation import numeric_array, whole_number

# Floating-point operations, or what takes as long, of a label found beside one of the target.
_PAIR_WORK = 3.0


class LabelErrorRate(Metric):
    """Labels to put in, take out or exchange, as a share of all labels: for the loss "ctc".

    What the network reads are the labels of its likeliest alignment, as
    ``fastlstm.ctc.ctc_greedy_decode`` has it. The distances of all sequences, Levenshtein's, are
    added up, and so are the lengths of their targets; the metric is the one over the other, and
    above 1 where far too many labels are read. Steps that a mask leaves out are skipped. In
    ``weighted_metrics`` a sequence counts as often as it weighs.

    Parameters
    ----------
    blank : int
        The class that stands for no label, that of the loss.
    name : str, optional
        Key in logs, by default "label_error_rate".

    Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification:
    labelling unsegmented sequence data with recurrent neural networks", ICML 2006, eq. 1, which has
    the mean of the sequences' shares instead.

    Examples
    --------
    Read is 1, 1, and the label 2 is missing:

    >>> import numpy as np
    >>> from fastlstm.metrics import LabelErrorRate
    >>> rate = LabelErrorRate()
    >>> rate.update_state([[1, 1, 2]], 9 * np.eye(3)[[[1, 1, 0, 1, 0]]])
    >>> print(round(rate.result(), 4))
    0.3333
    """

    runs_python = True
    takes_labels = True
    direction = "min"

    def __init__(self, blank: int = 0, name: str | None = None, **rest: Any) -> None:
        super().__init__(name, **rest)
        self.blank = whole_number(blank, "LabelErrorRate blank", least=0)

    def sums_size(self, columns: int) -> int:
        """Two: of distances and of labels."""
        return 2

    def calls(self, arrays: MetricArrays, from_logits: bool) -> list[Call]:
        """None."""
        return []

    def result_of(self, sums: Array) -> float:
        """The share, or 0 where no labels have been seen."""
        return float(sums[0] / sums[1]) if len(sums) and sums[1] else 0.0

    def update_state(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> None:
        """Add sequences.

        Parameters
        ----------
        y_true : array_like
            (batch, labels), filled up with the blank or negative ids.
        y_pred : array_like
            (batch, time, classes), logits or probabilities.
        sample_weight : array_like, optional
            (batch,).
        mask : array_like, optional
            (batch, time), which steps count; by default all.

        Raises
        ------
        ValueError
            If shapes or labels do not fit.
        TypeError
            If the arrays do not hold numbers.
        """
        pred, true = numeric_array("y_pred", y_pred), numeric_array("y_true", y_true)
        if pred.ndim != 3 or true.ndim != 2 or len(true) != len(pred):
            raise ValueError(
                f"{self.name} expects y_true (batch, labels) and y_pred (batch, time, classes), "
                f"got {true.shape} and {pred.shape}"
            )
        pred = prepare_predictions(pred, self.name)
        if self.blank >= pred.shape[2]:
            raise ValueError(
                f"{self.name} has blank={self.blank}, but the predictions have {pred.shape[2]} "
                f"classes; expected a class from 0 to {pred.shape[2] - 1}"
            )
        counts = count_labels(true, self.blank, self.name)
        labels = check_labels(true, counts, self.blank, pred.shape[2], self.name)
        weights = prepare_weights(sample_weight, pred.shape[:1], np.float64)
        found = self._distances(*_side_by_side(pred, mask), np.ascontiguousarray(labels))
        self.add(found.sum(axis=0) if not len(weights) else weights @ found)

    def _distances(self, pred: Array, lengths: Array, labels: Array) -> Array:
        """Of each sequence, its distance and its number of labels: (batch, 2)."""
        batch, steps, _ = pred.shape
        threads = min(get_num_threads(), workers())
        read, found = np.empty((batch, steps), np.int32), np.empty((batch, 2))
        scratch = np.empty((threads, labels.shape[1] + 1), np.int32)
        program = Program(threads)
        work = ENTROPY_WORK * pred.size
        program.add(greedy, read, np.empty(batch), pred, lengths, self.blank, True, work=work)
        work = _PAIR_WORK * steps * labels.size
        program.add(edits, found, scratch, read, labels, work=work)
        program.run()
        return found

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "blank": self.blank}


def _side_by_side(pred: Array, mask: npt.ArrayLike | None) -> tuple[Array, Array]:
    """Predictions with the steps that count in front, and how many those are."""
    batch, steps = pred.shape[:2]
    if mask is None:
        return pred, np.full(batch, steps, np.int32)
    counts = np.asarray(mask).astype(bool)
    if counts.shape != (batch, steps):
        raise ValueError(
            f"mask expects shape {(batch, steps)}, one for each step, got {counts.shape}"
        )
    order = np.argsort(~counts, axis=1, kind="stable")
    together = np.take_along_axis(pred, order[..., np.newaxis], axis=1)
    return np.ascontiguousarray(together), counts.sum(axis=1, dtype=np.int32)
