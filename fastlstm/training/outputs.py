"""Predictions, brought together batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.data.batch import Batch

Array = npt.NDArray[Any]
Index = npt.NDArray[np.intp]


class Outputs:
    """The outputs of so many samples, whose numbers follow one another."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._outputs: Array | None = None
        self._filled = 0

    def add(self, part: Array, index: Index, batch: Batch | None) -> None:
        """Take those of a batch."""
        if self._outputs is None:
            self._outputs = np.empty((self._total, *part.shape[1:]), part.dtype)
        self._outputs[index[0] : index[0] + len(index)] = part
        self._filled += len(index)

    def result(self) -> Array:
        """All of them."""
        assert self._outputs is not None
        return self._outputs[: self._filled]


class StreamedOutputs:
    """The outputs of samples that come in any number and order."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._numbers: list[Index] = []
        self._lengths: list[Array] = []

    def add(self, part: Array, index: Index, batch: Batch | None) -> None:
        """Take those of a batch."""
        assert batch is not None
        self._parts.append(part)
        if batch.numbers is not None:
            self._numbers.append(batch.numbers)
        if batch.lengths is not None:
            self._lengths.append(batch.lengths)

    def result(self) -> Any:
        """All of them, in the order of the samples; a list where their steps differ."""
        if not self._parts:
            raise ValueError("predict expects at least one batch, and got none")
        numbers = np.concatenate(self._numbers) if self._numbers else np.arange(0)
        order = None if (np.diff(numbers) > 0).all() else np.argsort(numbers)
        # A step each, of sequences that were filled up to the longest of their batch.
        if self._lengths and self._parts[0].ndim > 2:
            outputs = [
                row[:length].copy()
                for part, lengths in zip(self._parts, self._lengths, strict=True)
                for row, length in zip(part, lengths, strict=True)
            ]
            return outputs if order is None else [outputs[i] for i in order]
        joined = np.concatenate(self._parts)
        return joined if order is None else joined[order]
