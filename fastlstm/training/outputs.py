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
        self._outputs: list[Array] = []
        self._filled = 0

    def add(self, parts: list[Array], index: Index, batch: Batch | None) -> None:
        """Take those of a batch, an array for each output of the model."""
        if not self._outputs:
            self._outputs = [np.empty((self._total, *p.shape[1:]), p.dtype) for p in parts]
        for output, part in zip(self._outputs, parts, strict=True):
            output[index[0] : index[0] + len(index)] = part
        self._filled += len(index)

    def result(self) -> Any:
        """All of them."""
        return one_or_all([output[: self._filled] for output in self._outputs])


class StreamedOutputs:
    """The outputs of samples that come in any number and order."""

    def __init__(self) -> None:
        self._parts: list[list[Array]] = []
        self._numbers: list[Index] = []
        self._lengths: list[Array] = []

    def add(self, parts: list[Array], index: Index, batch: Batch | None) -> None:
        """Take those of a batch, an array for each output of the model."""
        assert batch is not None
        self._parts.append(parts)
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
        return one_or_all([self._joined(parts, order) for parts in zip(*self._parts, strict=True)])

    def _joined(self, batches: tuple[Array, ...], order: Index | None) -> Any:
        """One output of the model, of all batches."""
        # A step each, of sequences that were filled up to the longest of their batch.
        if self._lengths and batches[0].ndim > 2:
            outputs = [
                row[:length].copy()
                for part, lengths in zip(batches, self._lengths, strict=True)
                for row, length in zip(part, lengths, strict=True)
            ]
            return outputs if order is None else [outputs[i] for i in order]
        joined = np.concatenate(batches)
        return joined if order is None else joined[order]


def one_or_all(outputs: list[Any]) -> Any:
    """The output of a model that has one, or the list of all."""
    return outputs if len(outputs) > 1 else outputs[0]
