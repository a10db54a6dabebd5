"""Targets brought into the form that the loss reads, or a word on why they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlstm.losses import Loss
from fastlstm.models.goals import Goal
from fastlstm.validation import as_floats, as_ids, numeric_array


def prepare_targets(
    loss: Loss,
    y: Any,
    output_shape: tuple[int, ...],
    input_shape: tuple[int, ...],
    dtype: np.dtype,
    what: str = "y",
) -> np.ndarray:
    """Targets (N, C) or (N, T, C), or class ids (N,) or (N, T), for outputs of ``output_shape``.

    Of what shape, the loss says.
    """
    if y is None:
        raise ValueError("targets are missing: expected y beside x")
    array = numeric_array(what, y)
    classes = output_shape[-1]
    if array.ndim == 0 or array.shape[0] != output_shape[0]:
        count = array.shape[0] if array.ndim else "no"
        raise ValueError(f"x has {output_shape[0]} samples and y has {count}; they must be as many")
    if loss.labelled:
        return loss.prepare_targets(array, output_shape, dtype)
    wanted = loss.target_shape(output_shape)
    fitted = _fitted(array, wanted, sparse=loss.sparse)
    if fitted is None:
        raise ValueError(_mismatch(loss, array.shape, output_shape, wanted, input_shape))
    if loss.sparse:
        return _class_ids(fitted, classes, what, loss.ignored)
    targets = as_floats(fitted, dtype, what)
    if loss.unit_targets and (targets.min() < 0 or targets.max() > 1):
        raise ValueError(
            f"{loss.name} expects targets from 0 to 1, got values from {targets.min():g} to "
            f"{targets.max():g}"
        )
    loss.check_targets(targets)
    return targets


def _class_ids(array: np.ndarray, classes: int, what: str, ignored: int | None) -> np.ndarray:
    """Ids of classes, and of what is ``ignored``, which need not be one."""
    if ignored is None or 0 <= ignored < classes:
        return as_ids(array, classes, what)
    left_out = array == ignored
    ids = as_ids(np.where(left_out, 0, array), classes, what)
    ids[left_out] = ignored
    return ids


def label_counts(goals: Sequence[Goal], y: Sequence[np.ndarray]) -> dict[str, Any]:
    """What a chain has to know of targets (..., labels) with a length of their own, if any have."""
    if not any(goal.loss.labelled for goal in goals):
        return {}
    pairs = zip(goals, y, strict=True)
    return {
        "labels": tuple(array.shape[-1] if goal.loss.labelled else None for goal, array in pairs)
    }


def _fitted(array: np.ndarray, wanted: tuple[int, ...], *, sparse: bool) -> np.ndarray | None:
    """The array with a last axis of 1 added or taken away where that makes it fit."""
    if array.shape == wanted:
        return array
    if sparse and array.shape == (*wanted, 1):
        return array[..., 0]
    if not sparse and wanted[-1] == 1 and array.shape == wanted[:-1]:
        return array[..., None]
    return None


def _mismatch(
    loss: Loss,
    given: tuple[int, ...],
    output: tuple[int, ...],
    wanted: tuple[int, ...],
    inputs: tuple[int, ...],
) -> str:
    text = f"y has shape {given}, but the model gives {output}"
    if len(given) > len(wanted) and given[1] == inputs[1]:
        return (
            f"{text}: either let the last recurrent layer return every step with "
            "return_sequences=True, or give one target per sequence, for instance y[:, -1]"
        )
    if len(output) == 3 and given == wanted[:1] + wanted[2:]:
        return (
            f"{text}: either give a target for every step, or let the last recurrent layer "
            "return the last step only with return_sequences=False"
        )
    if not loss.sparse and wanted == output and given == output[:-1]:
        return (
            f"{text}: these look like class ids, for which the loss is "
            "'sparse_categorical_crossentropy'; or make them one-hot"
        )
    if loss.sparse and given == output:
        return (
            f"{text}: these look like one-hot targets, for which the loss is "
            "'categorical_crossentropy'; {loss.name} expects class ids of shape {wanted}"
        ).format(loss=loss, wanted=wanted)
    return f"{text}; {loss.name} expects y of shape {wanted}"
