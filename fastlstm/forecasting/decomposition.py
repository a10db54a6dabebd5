"""Level and seasons: what exponential smoothing starts from, and what it makes of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.kernels import smoothing

Array = npt.NDArray[Any]

# Seasons of the longest kind that are averaged.
_SEASONS = 4


def first_seasons(values: Array, seasons: Sequence[int]) -> tuple[float, list[Array]]:
    """Level and seasons at the beginning of a series, additive.

    Seasons are the means of what is left when the moving average of the longest one is taken away,
    the shorter first, each nearer to 0 the fewer values it has.

    Parameters
    ----------
    values : ndarray
        (n,) NaN where a value is missing.
    seasons : sequence of int
        Lengths, rising.

    Returns
    -------
    level : float
        Mean of the first season, without the seasons themselves.
    firsts : list of ndarray
        (m,) each, from the first step on. 0 where nothing is known.
    """
    longest = max(seasons, default=1)
    y = values[: _SEASONS * longest]
    there = np.isfinite(y)
    filled = np.where(there, y, 0.0)
    rest = filled - _moving_average(filled, there, longest)
    rest -= rest[there].mean() if there.any() else 0.0
    firsts = []
    for season in seasons:
        phase = np.arange(len(y)) % season
        count = np.bincount(phase, there, season)
        total = np.bincount(phase, np.where(there, rest, 0.0), season)
        first = total / (count + 1.0)
        rest = rest - first[phase]
        firsts.append(first)
    seasonal = sum((np.resize(first, len(y)) for first in firsts), np.zeros(len(y)))
    some = np.flatnonzero(there)[:longest]
    return float((y - seasonal)[some].mean()) if some.size else 0.0, firsts


def smoothed(values: Array, coefficients: Array, seasons: Sequence[int]) -> list[Array]:
    """Level and seasons of a series at each step, by its coefficients, in double precision.

    Parameters
    ----------
    values : ndarray
        (n, 2) values, each beside whether it is there.
    coefficients : ndarray
        (4 + all steps of seasons,) as in ``kernels/smoothing.py``.
    seasons : sequence of int
        Lengths of one or two, or none.

    Returns
    -------
    list of ndarray
        (n,) levels, and of each season (n + m,), those of one season to come included.
    """
    steps = len(values)
    first, second = (*seasons, 0, 0)[:2]
    made = [np.empty((1, steps + m)) for m in (0, first, second)]
    given = values[:, np.newaxis].astype(np.float64), coefficients[np.newaxis].astype(np.float64)
    smoothing.smooth(*made, np.empty((1, steps)), *given)
    return [array[0] for array in made[: 1 + len(seasons)]]


def _moving_average(filled: Array, there: Array, season: int) -> Array:
    """Means over a season around each step, of the values there are; fewer at the ends."""
    reach = min(season, len(filled))
    before = reach // 2
    sums = np.concatenate([[0.0], np.cumsum(filled)])
    counts = np.concatenate([[0], np.cumsum(there)])
    # At the ends whole seasons too, which stand off the middle: a part would not be without season.
    first = np.clip(np.arange(len(filled)) - before, 0, len(filled) - reach)
    last = first + reach
    return np.asarray((sums[last] - sums[first]) / np.maximum(counts[last] - counts[first], 1))
