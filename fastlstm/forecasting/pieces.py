"""Stretches of series side by side, as a network reads them that goes along whole series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.seasonal import repeated

Array = npt.NDArray[Any]


class Piece(NamedTuple):
    """Some of a series' values, one after the other, and what they are scaled by.

    Attributes
    ----------
    values : ndarray
        (n,) NaN where one is missing.
    after : ndarray
        Values that follow, h at most, which are to be forecast but not to be seen.
    front : int
        Steps before the first value, where nothing is known.
    shift, unit : float
        What a network sees is ``(value - shift) / unit``.
    """

    values: Array
    after: Array
    front: int
    shift: float
    unit: float

    @classmethod
    def of(cls, values: Array, after: Array, front: int, season: int) -> Piece:
        """Scaled by the mean, and by how far values a season apart are from each other."""
        season = season if 2 * season <= len(values) else 1
        _, unit = repeated(values[np.newaxis], season, 1)
        known = values[np.isfinite(values)]
        shift = float(known.mean()) if known.size else 0.0
        return cls(values, after, front, shift, unit.item())

    @property
    def scaled(self) -> Array:
        """(n,) what a network sees."""
        return np.asarray((self.values - self.shift) / self.unit)

    @property
    def steps(self) -> int:
        """How many there are, those before the first value included."""
        return self.front + len(self.values)


class Pieces(NamedTuple):
    """P pieces of T steps each; behind the end of one nothing is there.

    Attributes
    ----------
    values : ndarray
        (P, T, 2) float32 scaled values, 0 where one is missing, beside whether it is there.
    later : ndarray
        (P, T + h) float32 scaled values, NaN where missing, and those that come after.
    ends : ndarray
        (P,) steps of each.
    shifts, units : ndarray
        (P, 1) what they are scaled by.
    """

    values: Array
    later: Array
    ends: Array
    shifts: Array
    units: Array

    @classmethod
    def of(cls, pieces: Sequence[Piece], steps: int, h: int) -> Pieces:
        """The same as arrays, each of so many steps."""
        shifts, units = np.array([[p.shift, p.unit] for p in pieces]).T[:, :, np.newaxis]
        ends = np.array([p.steps for p in pieces])
        later = np.full((len(pieces), steps + h), np.nan)
        for row, piece in zip(later, pieces, strict=True):
            both = np.concatenate([piece.values, piece.after])
            row[piece.front : piece.front + len(both)] = both
        later = (later - shifts) / units
        there = np.isfinite(later[:, :steps]) & (np.arange(steps) < ends[:, np.newaxis])
        values = np.stack([np.where(there, later[:, :steps], 0.0), there], axis=2)
        return cls(values.astype(np.float32), later.astype(np.float32), ends, shifts, units)
