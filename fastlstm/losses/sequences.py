"""What losses have in common whose unit is a sequence, where other losses have rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.kernels import sequences
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.losses.base import (
    BY_WEIGHT,
    MEANS,
    Array,
    Call,
    Loss,
    LossArrays,
    prepare_predictions,
    prepare_weights,
)
from fastlstm.memory import Arena, Plan
from fastlstm.validation import numeric_array


class SequenceArrays(NamedTuple):
    """What a loss of sequences works on.

    Attributes
    ----------
    total : numpy.ndarray
        (1,) float64, receives the sum over sequences of weight · row_loss / B.
    d_pred : numpy.ndarray
        (T, B, C), receives the gradient with respect to ``y_pred``; or (0, B, C): value only.
    row_loss : numpy.ndarray
        (B,), receives each sequence's loss without its weight.
    y_true : numpy.ndarray
        int32: (B, L) where the loss is ``labelled``, else (T, B).
    y_pred : numpy.ndarray
        (T, B, C).
    mask : numpy.ndarray
        (T, B) of uint8, the steps that count, or (0, B) for all.
    weights : numpy.ndarray
        (B,), or (0,) for ones.
    """

    total: Array
    d_pred: Array
    row_loss: Array
    y_true: Array
    y_pred: Array
    mask: Array
    weights: Array


# Records the loss, given the op of the layer that makes the predictions, where there is one.
Recorder = Callable[[Program, Any], None]


class SequenceLoss(Loss):
    """Base class of the losses of whole sequences: (batch, time, C) has ``batch`` of them.

    Their weights are (batch,), and steps that a mask leaves out are skipped.
    """

    of_sequences = True
    sparse = True
    # Final activations after which predictions are no logits any more.
    refused: ClassVar[tuple[str, ...]] = ()

    def weight_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:1]

    @abstractmethod
    def bind(self, arrays: SequenceArrays, plan: Plan) -> Recorder:
        """Lay out what the loss needs besides; return what records it."""

    def bind_reduced(self, arrays: SequenceArrays, plan: Plan) -> Recorder:
        """As ``bind``, for the number that ``reduction`` asks for."""
        weights, by_weight = arrays.weights, self.reduction == BY_WEIGHT
        if self.reduction in MEANS or (by_weight and not len(weights)):
            return self.bind(arrays, plan)
        factors = plan.array(arrays.row_loss.shape, arrays.row_loss.dtype)
        record_loss = self.bind(arrays._replace(weights=factors), plan)

        def record(program: Program, op: Any) -> None:
            program.add(sequences.weigh_sequences, factors, weights, by_weight)
            record_loss(program, op)

        return record

    def explain(self, row_loss: Array, y_true: Array, mask: Array, where: Array) -> None:
        """An error that says why a loss is infinite, where it is the targets' fault.

        ``where`` has the number of each sequence in the data; for the rest see ``SequenceArrays``.
        """

    def call(self, arrays: LossArrays, from_logits: bool) -> Call:
        """Of rows there is no loss."""
        raise TypeError(f"{self.name} is a loss of sequences, not of rows")

    def _evaluate(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> tuple[float, Array, Array]:
        pred = prepare_predictions(numeric_array("y_pred", y_pred), self.name)
        true = self.prepare_targets(y_true, pred.shape, pred.dtype)
        weights = prepare_weights(sample_weight, self.weight_shape(pred.shape), pred.dtype)
        pred = np.ascontiguousarray(pred.swapaxes(0, 1))
        row_loss, total = np.empty(pred.shape[1], pred.dtype), np.zeros(1)
        mask = np.empty((0, pred.shape[1]), np.uint8)
        arrays = SequenceArrays(total, pred[:0], row_loss, true, pred, mask, weights)
        record = Arena().lay_out(lambda plan: self.bind_reduced(arrays, plan))
        program = Program(most=get_num_threads())
        record(program, None)
        program.run()
        return float(total[0]), row_loss, weights
