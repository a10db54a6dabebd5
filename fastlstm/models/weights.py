"""Weights by class: what ``class_weight`` makes of the targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fastlstm.training.data import Data


def weigh_classes(
    data: Data, class_weight: Any, classes: int, sparse: bool, dtype: np.dtype[Any]
) -> Data:
    """Multiply the weights of samples, or of their steps, by those of their classes.

    Parameters
    ----------
    data : Data
        With targets that are class ids, one-hot, or a single column of 0 and 1.
    class_weight : mapping of int to float
        Weights by class; those left out are 1.
    classes : int
        Number of outputs; a single one makes two classes.
    sparse : bool
        Whether the targets are class ids.
    dtype : dtype
        Of the weights.

    Returns
    -------
    Data
        The same samples and targets.

    Raises
    ------
    ValueError, TypeError
        If it is no such mapping, or the targets are no classes.
    """
    table = _table(class_weight, max(classes, 2))
    (y,) = data.y
    # What the loss ignores may be no class; its weight counts for nothing.
    weight = table.take(y, mode="clip") if sparse else table[_class_of(y)]
    if data.weight is not None:
        (given,) = data.weight
        weight = weight * given.reshape(given.shape + (1,) * (weight.ndim - given.ndim))
    return replace(data, weight=(np.ascontiguousarray(weight, dtype),))


def _table(class_weight: Any, count: int) -> np.ndarray:
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "class_weight expects a dict of weights by class, such as {0: 1.0, 1: 20.0}; got "
            f"{type(class_weight).__name__}"
        )
    table = np.ones(count)
    for key, value in class_weight.items():
        whole = isinstance(key, (int, np.integer)) and not isinstance(key, bool)
        if not whole or not 0 <= key < count:
            raise ValueError(
                f"class_weight has a weight for class {key!r}, but the model's classes are 0 to "
                f"{count - 1}"
            )
        number = isinstance(value, (int, float, np.integer, np.floating))
        if not number or not 0.0 <= value < np.inf:
            raise ValueError(
                f"class_weight expects finite weights of at least 0, got {value!r} for class {key}"
            )
        table[key] = value
    return table


def _class_of(y: np.ndarray) -> np.ndarray:
    """Class ids of one-hot rows, or of a column of 0 and 1."""
    if y.shape[-1] == 1:
        column = y[..., 0]
        if not np.isin(column, (0, 1)).all():
            wrong = column[~np.isin(column, (0, 1))].flat[0]
            raise ValueError(
                f"class_weight expects targets that are classes, 0 or 1 for a single output; got "
                f"{wrong:g}. For other targets, use sample_weight"
            )
        return column.astype(np.intp)
    sums = y.sum(axis=-1)
    if (y < 0).any() or not np.allclose(sums, 1.0, atol=1e-3):
        raise ValueError(
            "class_weight expects targets of one class a row, whose numbers add up to 1; got rows "
            f"with sums from {sums.min():g} to {sums.max():g}. For several classes a row, or "
            "numbers, use sample_weight"
        )
    ids: np.ndarray = y.argmax(axis=-1)
    return ids
