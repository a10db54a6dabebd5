"""The loss of a model that ends with a conditional random field."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fastlstm.kernels import crf as kernels
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.losses.base import Array
from fastlstm.losses.sequences import Recorder, SequenceArrays, SequenceLoss
from fastlstm.memory import Plan


class CRF(SequenceLoss):
    """-log of the probability of each sequence's tags, for a model whose last layer is a ``CRF``.

    Targets are class ids, (batch, time), of which any will do at steps that a mask leaves out. On
    arrays, there are the functions in ``fastlstm.crf``.

    Parameters
    ----------
    reduction, name
        As for ``Loss``; a mean is one over sequences.
    """

    def bind(self, arrays: SequenceArrays, plan: Plan) -> Recorder:
        """Lay out scratch; see ``SequenceLoss.bind``."""
        total, d_pred, row_loss, y_true, y_pred, mask, weights = arrays
        steps, batch, tags = y_pred.shape
        threads, gradient = get_num_threads(), len(d_pred) > 0
        requests = kernels.scratch(steps, batch, tags, y_pred.dtype, threads, gradient)
        scratch = kernels.Scratch(*plan.scratch(*requests))

        def record(program: Program, op: Any) -> None:
            if not hasattr(op, "d_scores"):
                raise ValueError(
                    f"loss {self.name!r} is that of the layer CRF(tags): expected it to make the "
                    "output, and nothing else to take what it gives"
                )
            d_transitions, d_start, d_end = op.d_scores
            transitions, start, end = op.scores
            kernels.record_loss(
                program, scratch, total, row_loss, d_pred, d_transitions, d_start, d_end,
                op.x, y_true, mask, transitions, start, end, weights,
            )  # fmt: skip

        return record

    def _evaluate(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> tuple[float, Array, Array]:
        raise TypeError(
            f"loss {self.name!r} needs the scores of the layer CRF, which predictions do not tell; "
            "on arrays, use fastlstm.crf.crf_log_likelihood"
        )
