"""Simple rules to forecast a series by, which every model should beat.

A rule forecasts from many points of a series at once, its origins: (W, h), where row w knows the
first ``origins[w]`` values only. That gives the errors it would have made in the past. Values that
are missing are NaN; where a rule knows no value yet, so is its forecast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.validation import numeric_array, whole_number

Array = npt.NDArray[Any]


def naive(y: npt.ArrayLike, h: int) -> Array:
    """The last value, again and again.

    Parameters
    ----------
    y : array_like
        (n,) the series.
    h : int
        Steps to forecast.

    Returns
    -------
    ndarray
        (h,)
    """
    series = _series(y)
    return naive_from(series, whole_number(h, "h"), np.array([len(series)]))[0]


def seasonal_naive(y: npt.ArrayLike, h: int, season: int) -> Array:
    """The last season, again and again.

    Parameters
    ----------
    y : array_like
        (n,) the series. A value that is missing in its last season is taken from the one before,
        and one that is missing in all of them is its last value.
    h : int
        Steps to forecast.
    season : int
        Steps of a season.

    Returns
    -------
    ndarray
        (h,)
    """
    series, h = _series(y), whole_number(h, "h")
    season = whole_number(season, "season")
    return seasonal_naive_from(series, h, np.array([len(series)]), season)[0]


def drift(y: npt.ArrayLike, h: int) -> Array:
    """The line through the first and the last value.

    Parameters
    ----------
    y : array_like
        (n,) the series.
    h : int
        Steps to forecast.

    Returns
    -------
    ndarray
        (h,)
    """
    series = _series(y)
    return drift_from(series, whole_number(h, "h"), np.array([len(series)]))[0]


def naive_from(y: Array, h: int, origins: Array) -> Array:
    """``naive`` at each origin: (W, h)."""
    place = _last_places(y, 1)[origins]
    return np.repeat(_at(y, place)[:, np.newaxis], h, axis=1)


def seasonal_naive_from(y: Array, h: int, origins: Array, season: int) -> Array:
    """``seasonal_naive`` at each origin: (W, h)."""
    # Step k comes from the last step before the origin that is whole seasons before it.
    back = season * (np.arange(h) // season + 1) - np.arange(h)
    place = _last_places(y, season)[np.maximum(origins[:, np.newaxis] - back + 1, 0)]
    return np.where(place >= 0, _at(y, place), naive_from(y, h, origins))


def drift_from(y: Array, h: int, origins: Array) -> Array:
    """``drift`` at each origin: (W, h)."""
    present = np.flatnonzero(~np.isnan(y))
    first = present[0] if present.size else 0
    place = _last_places(y, 1)[origins]
    slope = (_at(y, place) - y[first]) / np.maximum(place - first, 1)
    steps = origins[:, np.newaxis] + np.arange(h) - place[:, np.newaxis]
    return _at(y, place)[:, np.newaxis] + steps * slope[:, np.newaxis]


def targets(y: Array, h: int, origins: Array) -> Array:
    """What came after each origin: (W, h), NaN beyond the end."""
    longer = np.concatenate([y, np.full(h, np.nan)])
    windows = np.lib.stride_tricks.sliding_window_view(longer, h)
    came: Array = windows[origins]
    return came


def filled(y: Array, season: int) -> Array:
    """The series without gaps: along the line between the values whole seasons before and after.

    Where there is none on one side, by that on the other; where a phase of the season has no value
    at all, along the line between the values next to it.
    """
    if not np.isnan(y).any():
        return y
    made = y.copy()
    for phase in range(min(season, len(y))):
        _fill(made[phase::season])
    _fill(made)
    return made


def _fill(y: Array) -> None:
    """Along the line between those that are there, in place."""
    missing = np.isnan(y)
    if missing.any() and not missing.all():
        places = np.arange(len(y))
        y[missing] = np.interp(places[missing], places[~missing], y[~missing])


def _last_places(y: Array, season: int) -> Array:
    """(n + 1,) of the first t values, where the last one that is present stands.

    Only t - 1 and the steps whole seasons before it are looked at; -1 where none has a value.
    """
    n = len(y)
    rows = -(-n // season)
    place = np.full(rows * season, -1)
    place[:n] = np.where(np.isnan(y), -1, np.arange(n))
    last = np.maximum.accumulate(place.reshape(rows, season), axis=0).ravel()[:n]
    return np.concatenate([[-1], last])


def _at(y: Array, place: Array) -> Array:
    return np.where(place >= 0, y[np.maximum(place, 0)], np.nan)


def _series(y: npt.ArrayLike) -> Array:
    series = numeric_array("y", y).astype(np.float64)
    if series.ndim != 1 or not series.size:
        raise ValueError(
            f"a rule expects one series, shape (time,) with at least one step, got {series.shape}"
        )
    return series
