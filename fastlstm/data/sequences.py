"""Sequences of unequal length: padded to the longest of a batch, with a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.data.batch import Batch, Index
from fastlstm.data.samples import as_rows, numbers

Array = npt.NDArray[Any]


class SequenceSamples:
    """Sequences, one a sample, that stay where they are until a batch of them is padded.

    Parameters
    ----------
    x : sequence of array_like
        N arrays (time, features), or (time,) of ids, each with a time of its own.
    y : array_like or sequence of array_like, optional
        (N, ...) targets; or N arrays with as many steps as those of ``x``.
    sample_weight : array_like or sequence of array_like, optional
        (N,) weights; or N arrays with one for each step.

    Raises
    ------
    ValueError, TypeError
        If there are no sequences, or they do not go together.
    """

    def __init__(self, x: Sequence[Any], y: Any = None, sample_weight: Any = None) -> None:
        if not len(x):
            raise ValueError("a data set expects at least one sequence, got none")
        self._x = [as_rows(sequence, f"x[{i}]") for i, sequence in enumerate(x)]
        self.lengths = np.array([len(sequence) for sequence in self._x])
        if not self.lengths.all():
            raise ValueError(
                f"x[{int(np.argmin(self.lengths))}] is a sequence of no steps; leave it out"
            )
        _check_alike(self._x, "x")
        self._y = self._beside(y, "y")
        self._weight = self._beside(sample_weight, "sample_weight")

    def _beside(self, value: Any, name: str) -> Array | list[Array] | None:
        """Rows for the sequences, or steps for theirs."""
        if value is None:
            return None
        if len(value) != len(self._x):
            raise ValueError(
                f"expected as many samples everywhere, but x has {len(self._x)} sequences and "
                f"{name} has {len(value)}"
            )
        if not _is_listed(value) or not all(np.ndim(part) for part in value):
            return as_rows(value, name)
        lengths = np.array([len(part) for part in value])
        if (lengths == self.lengths).all():
            steps = [as_rows(part, f"{name}[{i}]") for i, part in enumerate(value)]
            _check_alike(steps, name)
            return steps
        if (lengths == lengths[0]).all():
            return as_rows(value, name)
        wrong = int(np.argmax(lengths != self.lengths))
        raise ValueError(
            f"{name}[{wrong}] has {lengths[wrong]} steps, but x[{wrong}] has "
            f"{self.lengths[wrong]}; they must be as many"
        )

    def __len__(self) -> int:
        return len(self._x)

    def take(self, index: Index | slice) -> Batch:
        """Copies, filled up with zeros at the end; the mask says which steps are theirs."""
        wanted = numbers(index)
        lengths = self.lengths[wanted]
        steps = int(lengths.max())
        mask = None
        if (lengths < steps).any():
            mask = np.arange(steps) < lengths[:, None]
        x, y, weight = (
            _padded([part[i] for i in wanted], steps) if isinstance(part, list)
            else None if part is None else part[wanted]
            for part in (self._x, self._y, self._weight)
        )  # fmt: skip
        return Batch(x, y, weight, mask, wanted, lengths)

    def rows(self, first: int, last: int) -> SequenceSamples:
        """The samples ``first`` to ``last`` - 1, without copying."""
        y, weight = (None if part is None else part[first:last] for part in (self._y, self._weight))
        return SequenceSamples(self._x[first:last], y, weight)

    def where(self, number: int) -> str:
        """Words for where a sample is, for errors."""
        return f"sequence {number}"


def of_unequal_length(value: Any) -> bool:
    """Whether this is a list of arrays whose first axes, the steps, differ.

    Several inputs of a model are as many arrays of equally many samples, and no such list.
    """
    if not _is_listed(value) or len(value) == 0:
        return False
    first = value[0]
    if not hasattr(first, "__len__") or isinstance(first, (str, dict)):
        return False
    length = len(first)
    return any(hasattr(part, "__len__") and len(part) != length for part in value)


def _is_listed(value: Any) -> bool:
    """Whether this is a list of things, or an array that can do no better."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "O" and value.ndim == 1
    return isinstance(value, list)


def _check_alike(parts: list[Array], name: str) -> None:
    for number, part in enumerate(parts):
        if part.shape[1:] != parts[0].shape[1:]:
            raise ValueError(
                f"{name}[{number}] has steps of shape {part.shape[1:]}, those of {name}[0] have "
                f"{parts[0].shape[1:]}; they must be alike"
            )


def _padded(parts: list[Array], steps: int) -> Array:
    dtype = np.result_type(*{part.dtype for part in parts})
    out = np.zeros((len(parts), steps, *parts[0].shape[1:]), dtype)
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
    return out
