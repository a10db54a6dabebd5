"""Where the samples of a data set lie, and how some of them are brought together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastlstm.data.batch import Batch, Index
from fastlstm.data.mapped import advise

Array = npt.NDArray[Any]


class Samples(Protocol):
    """Numbered samples."""

    def __len__(self) -> int:
        """How many there are."""

    def take(self, index: Index | slice) -> Batch:
        """Bring samples together."""

    def where(self, number: int) -> str:
        """Words for where a sample is, for errors."""


class ArraySamples:
    """Rows of arrays, which are read when they are needed and not before.

    Parameters
    ----------
    x : array_like, or tuple or dict of them
        (N, ...) inputs: arrays, memory-mapped ones, views.
    y : array_like, or tuple or dict, optional
        (N, ...) targets.
    sample_weight : array_like, optional
        (N,) or (N, T) weights.
    mask : array_like, optional
        (N, T) of booleans: the steps that count.
    words : str
        What ``where`` calls a sample, before its number.
    first, stride : int
        The number of the first sample, and what lies between two neighbours'.

    Raises
    ------
    ValueError, TypeError
        If there are no samples, or not as many of each.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        mask: Any = None,
        *,
        words: str = "sample",
        first: int = 0,
        stride: int = 1,
    ) -> None:
        self._words, self._first, self._stride = words, first, stride
        given = {"x": x, "y": y, "sample_weight": sample_weight, "mask": mask}
        self._parts = [_each(as_rows, part, name) for name, part in given.items()]
        self._scattered: bool | None = None  # as the system was told
        sizes: dict[str, int] = {}
        for part, name in zip(self._parts, given, strict=True):
            _each(lambda array, label: sizes.update({label: len(array)}), part, name)
        self._total = next(iter(sizes.values()))
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{name} has {size}" for name, size in sizes.items())
            raise ValueError(f"expected as many samples everywhere, but {counts}")
        if not self._total:
            raise ValueError("a data set expects at least one sample, got none")

    def __len__(self) -> int:
        return self._total

    def take(self, index: Index | slice) -> Batch:
        """Views where the index is a slice, copies otherwise."""
        scattered = not isinstance(index, slice)
        if scattered != self._scattered:
            self._scattered = scattered
            for part in self._parts:
                _each(lambda array, _: advise(array, scattered), part)
        x, y, weight, mask = (
            _each(lambda array, _: _chosen(array, index), part) for part in self._parts
        )
        return Batch(x, y, weight, mask, numbers(index))

    def rows(self, first: int, last: int) -> ArraySamples:
        """The samples ``first`` to ``last`` - 1, without copying."""
        parts = (_each(lambda array, _: array[first:last], part) for part in self._parts)
        start = self._first + first * self._stride
        return ArraySamples(*parts, words=self._words, first=start, stride=self._stride)

    def where(self, number: int) -> str:
        """Words for where a sample is, for errors."""
        return f"{self._words} {self._first + number * self._stride}"


class Joined:
    """The samples of several parts, one part after the other.

    Parameters
    ----------
    parts : sequence of Samples
        All with inputs, targets and weights of the same kind and shape.
    """

    def __init__(self, parts: Sequence[Samples]) -> None:
        self.parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, index: Index | slice) -> Batch:
        """Copies, in the order of the index."""
        wanted = numbers(index)
        owners = np.searchsorted(self._starts, wanted, side="right") - 1
        pieces, order = [], []
        for owner in np.unique(owners):
            chosen = np.flatnonzero(owners == owner)
            pieces.append(self.parts[owner].take(wanted[chosen] - self._starts[owner]))
            order.append(chosen)
        places = np.argsort(np.concatenate(order))
        columns = zip(*(piece[:3] for piece in pieces), strict=True)
        x, y, weight = (
            None if column[0] is None else np.concatenate(column)[places] for column in columns
        )
        return Batch(x, y, weight, numbers=wanted)

    def where(self, number: int) -> str:
        """Words for where a sample is, for errors."""
        owner = int(np.searchsorted(self._starts, number, side="right")) - 1
        return self.parts[owner].where(number - int(self._starts[owner]))


def as_rows(value: Any, name: str) -> Array:
    """An array whose first axis is the sample; no element of it is read.

    Parameters
    ----------
    value : array_like
        An array stays where it is; lists are read.
    name : str
        What the caller calls it, for errors.

    Returns
    -------
    numpy.ndarray
        Of real numbers.

    Raises
    ------
    ValueError, TypeError
        If it has no samples.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; fill it first")
    try:
        value = np.asarray(value)  # no copy of arrays, memory-mapped ones too
    except ValueError as error:
        raise ValueError(
            f"{name} does not form an array of one shape ({error}); sequences of unequal length "
            "are for Dataset.sequences, several inputs for a tuple or a dict"
        ) from error
    if value.ndim == 0:
        raise ValueError(f"{name} expects samples along its first axis, got a single number")
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name} expects real numbers, got dtype {value.dtype}")
    return value


def numbers(index: Index | slice) -> Index:
    """The numbers that a slice from here to there stands for."""
    return np.arange(index.start, index.stop) if isinstance(index, slice) else index


def _chosen(array: Array, index: Index | slice) -> Array:
    """Some rows: a view of neighbours, or else a copy in the order that models read."""
    rows = array[index]
    # NumPy may copy the rows of a view in the order of the view.
    return rows if isinstance(index, slice) else np.ascontiguousarray(rows)


def _each(use: Callable[[Any, str], Any], part: Any, name: str = "") -> Any:
    """The same of one array or each of several, in their tuple or dict; None stays."""
    if part is None:
        return None
    if isinstance(part, tuple):
        return tuple(use(array, f"{name}[{i}]") for i, array in enumerate(part))
    if isinstance(part, dict):
        return {key: use(array, f"{name}[{key!r}]") for key, array in part.items()}
    return use(part, name)
