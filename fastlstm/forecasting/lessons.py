"""What ES-RNN learns from: batches of pieces, with the values to come and what counts of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.cutting import Learned, Origins
from fastlstm.forecasting.fitting import Batch
from fastlstm.forecasting.pieces import Pieces

Array = npt.NDArray[Any]


class Lessons:
    """Pieces of series, and the forecasts along them.

    Parameters
    ----------
    learned : Learned
    along : Origins
        Where forecasts are made.
    least : int
        Pieces of a batch: where there are fewer, they are taken several times, from other steps.
    held : int
        Points at the end of each series that are not learned from.
    """

    def __init__(self, learned: Learned, along: Origins, least: int = 1, held: int = 0) -> None:
        self.least = least
        self.along, self.table, self._weights = along, learned.table, learned.weights
        self._read = Pieces.of(learned.pieces, along.steps, along.h)
        # Where what is held out begins; of a piece that others follow, nothing is.
        ends = self._read.ends
        self._until = np.where(learned.last, ends - held, ends + along.h)
        self._last = np.flatnonzero(learned.last)

    def __len__(self) -> int:
        return len(self._weights)

    def batch(self, index: Array, generator: np.random.Generator) -> Batch:
        """Forecasts of these pieces from a first step that is drawn, but of what is held out."""
        index = np.resize(index, max(len(index), self.least))
        starts = generator.integers(self.along.stride, size=len(index))
        to_come, targets = self._to_come(index, starts)
        return self._batch(index, starts, targets, to_come < self._beyond(self._until, index))

    def held_out(self) -> Batch:
        """Forecasts of what is held out, one of them from where it begins."""
        index = self._last
        _, starts = self.along.ending(self._until[index])
        to_come, targets = self._to_come(index, starts)
        origins = self.along.behind(starts)
        unseen = (origins + 1 >= self._beyond(self._until, index)) & (
            to_come < self._beyond(self._read.ends, index)
        )
        return self._batch(index, starts, targets, unseen)

    def _to_come(self, index: Array, starts: Array) -> tuple[Array, Array]:
        """(B, S, h) steps that are forecast, and their values, NaN where one is missing."""
        to_come = self.along.behind(starts) + 1 + np.arange(self.along.h)
        return to_come, self._read.later[index[:, np.newaxis, np.newaxis], to_come]

    def _beyond(self, ends: Array, index: Array) -> Array:
        return np.asarray(ends[index][:, np.newaxis, np.newaxis])

    def _batch(self, index: Array, starts: Array, targets: Array, wanted: Array) -> Batch:
        weight = (np.isfinite(targets) & wanted) * self._beyond(self._weights, index)
        x = {
            "values": self._read.values[index],
            "row": index[:, np.newaxis].astype(np.int32),
            "starts": starts[:, np.newaxis].astype(np.float32),
        }
        y = np.nan_to_num(targets).reshape(len(index), -1, 1)
        return x, y, weight.reshape(len(index), -1).astype(np.float32)
