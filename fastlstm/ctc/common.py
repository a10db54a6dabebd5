"""What the loss and the decoders share: checks of arguments, and how a kernel is run."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.kernels.parallel import get_num_threads, workers
from fastlstm.kernels.program import Kernel, Program
from fastlstm.losses.base import prepare_predictions
from fastlstm.validation import numeric_array, whole_number

Array = npt.NDArray[Any]

ADVICE = "take fewer or shorter sequences at once"


def check_logits(y_pred: npt.ArrayLike, name: str) -> Array:
    """(batch, time, classes), C-contiguous and of a floating-point type."""
    pred = numeric_array("y_pred", y_pred)
    if pred.ndim != 3:
        raise ValueError(
            f"{name} expects y_pred of shape (batch, time, classes), got {pred.shape}; a single "
            "sequence is a batch of one: y_pred[np.newaxis]"
        )
    return prepare_predictions(pred, name)


def check_lengths(name: str, lengths: npt.ArrayLike | None, batch: int, most: int) -> Array:
    """(batch,) int32, each from 0 to ``most``, which all are by default."""
    if lengths is None:
        return np.full(batch, most, np.int32)
    given = numeric_array(name, lengths)
    if given.shape == (batch, 1):
        given = given[:, 0]
    if given.shape != (batch,):
        raise ValueError(f"{name} expects shape ({batch},), one for each row, got {given.shape}")
    whole = np.trunc(given.astype(np.float64))
    wrong = np.flatnonzero(~((given == whole) & (whole >= 0) & (whole <= most)))
    if wrong.size:
        raise ValueError(
            f"{name} expects whole numbers from 0 to {most}, the length of the array, got "
            f"{given[wrong[0]]} at [{wrong[0]}]"
        )
    return whole.astype(np.int32)


def check_blank(blank: int, classes: int) -> None:
    """An error unless it is a class."""
    if whole_number(blank, "blank", least=0) >= classes:
        raise ValueError(
            f"blank expects one of the {classes} classes, from 0 to {classes - 1}, got {blank}"
        )


def check_finite(pred: Array, lengths: Array, name: str) -> None:
    """An error for NaN, infinity, and steps in which no class is possible."""
    used = np.arange(pred.shape[1]) < lengths[:, np.newaxis]
    wrong = used & ~np.isfinite(pred.max(axis=2))
    if wrong.any():
        row, step = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name} expects finite logits, or -inf for classes that are not possible, of which "
            f"each step has others; the largest of y_pred at [{row}, {step}] is "
            f"{pred[row, step].max()}"
        )


def scratch_threads() -> int:
    """Threads that scratch is laid out for."""
    return min(get_num_threads(), workers())


def run(kernel: Kernel, threads: int, work: float, *args: Any) -> None:
    """Run a kernel on no more threads than its scratch was laid out for."""
    program = Program(threads)
    program.add(kernel, *args, work=work)
    program.run()
