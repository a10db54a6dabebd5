"""The season before, again and again: what a network's answer is added to, and its unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# A season that repeats itself exactly has no unit of its own; this part of the spread is taken.
_LEAST = 0.02


def repeated(past: Array, season: int, h: int) -> tuple[Array, Array]:
    """Last season of each window, over and over, and how far it is off from one to the next.

    Errors in these units are what the mean absolute scaled error counts, so that a network which
    learns in them gives each series the weight that it has there.

    Parameters
    ----------
    past : ndarray
        (B, L) windows, NaN where a value is missing. What is missing in the last season is taken
        from those before; what is missing in all of them is the mean of the window, or 0.
    season : int
        Steps of a season. Where the window is shorter than one, its last value is repeated.
    h : int
        Steps to come.

    Returns
    -------
    base : ndarray
        (B, h)
    unit : ndarray
        (B, 1) mean absolute difference of values a season apart, never 0.
    """
    return last_season(past, season, h), unit_between(past, season)


def last_season(past: Array, season: int, h: int) -> Array:
    """The base alone, as ``repeated`` gives it."""
    look_back = past.shape[1]
    season = season if season <= look_back else 1
    steps = np.arange(h) % season
    last = past[:, look_back - season :]
    if np.isfinite(last).all():
        return np.take(last, steps, axis=1)
    mean, _, _ = _mean(past)
    last = np.full((len(past), season), np.nan)
    for end in range(look_back, 0, -season):
        first = max(end - season, 0)
        # A season that the window cuts off has its last steps only.
        part = last[:, season - (end - first) :]
        np.copyto(part, past[:, first:end], where=np.isnan(part))
        if not np.isnan(last).any():
            break
    return np.where(np.isnan(last), mean, last)[:, steps]


def unit_between(past: Array, season: int) -> Array:
    """The unit alone, as ``repeated`` gives it."""
    season = season if season <= past.shape[1] else 1
    mean, values, count = _mean(past)
    away = values - mean
    apart = past[:, season:] - past[:, :-season]
    np.abs(apart, out=apart)
    pairs: Any = max(apart.shape[1], 1)
    if values is not past:
        away[np.isnan(past)] = 0.0
        both = np.isfinite(apart)
        pairs = np.maximum(both.sum(axis=1, keepdims=True), 1)
        apart[~both] = 0.0
    away *= away
    spread = np.sqrt(away.sum(axis=1, keepdims=True) / count)
    unit = np.maximum(apart.sum(axis=1, keepdims=True) / pairs, _LEAST * spread)
    largest = np.abs(values, out=away).max(axis=1, keepdims=True, initial=0.0)
    return np.where(unit > 1e-10 * largest, unit, 1.0)


def _mean(past: Array) -> tuple[Array, Array, Any]:
    """(B, 1) means, the values with 0 for those that are missing, and how many there are."""
    present = np.isfinite(past)
    count: Any = past.shape[1]
    if not present.all():
        count = np.maximum(present.sum(axis=1, keepdims=True), 1)
        past = np.where(present, past, 0.0)
    return past.sum(axis=1, keepdims=True) / count, past, count


def relative(past: Array, unit: Array, logarithms: Array) -> Array:
    """The unit of each window in proportion to its level.

    Parameters
    ----------
    past : ndarray
        (B, L) windows, NaN where a value is missing.
    unit : ndarray
        (B, 1) as ``repeated`` gives it.
    logarithms : ndarray
        (B,) of bool, where values are logarithms, whose differences are in proportion already.

    Returns
    -------
    ndarray
        (B, 1). 0 of a window that does not vary; at most 2.
    """
    _, values, count = _mean(past)
    level = np.abs(values).sum(axis=1, keepdims=True) / count
    # Of the values that there are; where there is none, NaN is not greater than NaN.
    largest, least = (np.max, np.min) if values is past else (np.fmax.reduce, np.fmin.reduce)
    varies = largest(past, axis=1, keepdims=True) > least(past, axis=1, keepdims=True)
    level = np.where(logarithms[:, np.newaxis] | ~varies, 1.0, level)
    return np.where(varies, np.minimum(unit / level, 2.0), 0.0)
