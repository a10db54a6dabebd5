"""Level and seasons: what exponential smoothing starts from, and what it makes of a series."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.kernels import smoothing

Array = npt.NDArray[Any]

# Seasons of the longest kind that are averaged.
_SEASONS = 4
# How fast level, first and second season may follow at first: hardly, somewhat, and nearly all.
_LEVEL = (0.01, 0.1, 0.4, 0.95)
_FIRST, _SECOND = (0.03, 0.3, 0.95), (0.003, 0.1, 0.4)
# What is tried for a series that is too short to tell.
_USUAL = (0.1, 0.3, 0.1)
# Forecasts that tell what is chance.
_SEVERAL = 10
# The rate of a season that is not there.
_NONE = 1e-3
# Series that are tried at a time.
_TOGETHER = 16


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


def likely(series: Sequence[Array], seasons: Sequence[int], h: int) -> list[Array]:
    """The coefficients by which each series is forecast best, of a few rates, or as well by chance.

    Without this a network spends its training on what no one step of the gradient can say: whether
    a series repeats its last season, or its mean one, and whether a second season is there at all.

    Parameters
    ----------
    series : sequence of ndarray
        (n,) each, NaN where a value is missing.
    seasons : sequence of int
        Lengths of one or two, or none.
    h : int
        Steps of a forecast. They start a season apart, in the second half of the series.

    Returns
    -------
    list of ndarray
        (4 + all steps of seasons,) each, as in ``kernels/smoothing.py``.
    """
    lengths = np.array([len(values) for values in series])
    found: list[Array] = [np.empty(0)] * len(series)
    for length in np.unique(lengths):
        # Series of a length are tried side by side.
        index = np.flatnonzero(lengths == length)
        for first in range(0, len(index), _TOGETHER):
            some = index[first : first + _TOGETHER]
            rows = _likely(np.stack([series[s] for s in some]), seasons, h)
            for s, row in zip(some, rows, strict=True):
                found[s] = row
    return found


def _likely(values: Array, seasons: Sequence[int], h: int) -> Array:
    """(B, ...) the same of (B, n) series."""
    begun = [first_seasons(row, seasons) for row in values]
    # (B, 1 + all steps of seasons)
    own = np.stack([np.concatenate([[level], *firsts]) for level, firsts in begun])
    length = values.shape[1]
    origins = np.arange(length - 1 - h, length // 2, -min(seasons, default=1))
    ahead = origins[:, np.newaxis] + 1 + np.arange(h)
    targets = values[:, ahead]
    there = np.isfinite(targets)
    usual = _coefficients([_USUAL], np.ones((1, own.shape[1])), own)[:, 0]
    if not there.any():
        return usual
    # Few forecasts would take a level that is the last value by chance.
    rates = [
        _LEVEL if len(origins) >= _SEVERAL else _LEVEL[:-1],
        *(_FIRST, _SECOND)[: len(seasons)],
    ]
    # All seasons, then none, and the first alone.
    tried, kept = [], []
    for count in (len(seasons), *range(len(seasons))):
        some = [(*one, _NONE, _NONE)[:3] for one in product(*rates[: 1 + count])]
        tried += some
        own_part = np.repeat(np.arange(len(seasons)) < count, seasons)
        kept += [np.concatenate([[1.0], own_part])] * len(some)
    table = _coefficients(tried, np.array(kept), own)
    batch, candidates, width = table.shape
    present = np.isfinite(values)
    pairs = np.stack([np.where(present, values, 0.0).T, present.T], axis=2)
    made = _smoothed(
        np.repeat(pairs, candidates, axis=1), table.reshape(batch * candidates, width), seasons
    )
    levels, *found = (array.reshape(batch, candidates, -1) for array in made)
    forecast = np.repeat(levels[:, :, origins, np.newaxis], h, axis=3)
    for season, m in zip(found, seasons, strict=True):
        forecast += season[:, :, origins[:, np.newaxis] + 1 + np.arange(h) % m]
    away = forecast - targets[:, np.newaxis]
    off = np.abs(np.where(there[:, np.newaxis], away, 0.0)).sum(axis=3)
    best = table[np.arange(batch), _fastest(off, table)]
    told = there.reshape(batch, -1).any(axis=1, keepdims=True)
    return np.where(told, best, usual)


def _fastest(off: Array, table: Array) -> Array:
    """(B,) which of the coefficients to take, (B, C, ...), by (B, C, S) errors at S origins.

    The best, but for a level that follows faster if it errs no more than by chance: by no more than
    the standard error of the difference, which takes several to tell. A level that did not move in
    the past may move later; one that hardly follows is wrong for ever then, while one that follows
    too fast is a bit noisy.
    """
    rows, best = np.arange(len(off)), off.sum(axis=2).argmin(axis=1)
    more = off - off[rows, best][:, np.newaxis]
    count = off.shape[2]
    chance = more.std(axis=2) / np.sqrt(count - 1) if count >= _SEVERAL else 0.0
    rest = table[..., 1:]
    same = (rest == rest[rows, best][:, np.newaxis]).all(axis=2)
    alike = same & (more.mean(axis=2) <= chance)
    # Rates rise along the table; the best is among them.
    last: Array = alike.shape[1] - 1 - alike[:, ::-1].argmax(axis=1)
    return last


def _coefficients(rates: Sequence[Sequence[float]], kept: Array, own: Array) -> Array:
    """(B, C, ...) of C rates and the parts of what is a series' own that go with them."""
    parts = np.array(rates)
    made = np.empty((len(own), len(parts), parts.shape[1] + own.shape[1]))
    made[..., : parts.shape[1]] = np.log(parts / (1.0 - parts))
    made[..., parts.shape[1] :] = own[:, np.newaxis] * kept
    return made


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
    made = _smoothed(values[:, np.newaxis], coefficients[np.newaxis], seasons)
    return [array[0] for array in made]


def _smoothed(values: Array, coefficients: Array, seasons: Sequence[int]) -> list[Array]:
    """The same of (n, B, 2) values by (B, ...) coefficients."""
    steps, batch, _ = values.shape
    first, second = (*seasons, 0, 0)[:2]
    made = [np.empty((batch, steps + m)) for m in (0, first, second)]
    given = values.astype(np.float64), coefficients.astype(np.float64)
    smoothing.smooth(*made, np.empty((batch, steps)), *given)
    return made[: 1 + len(seasons)]


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
