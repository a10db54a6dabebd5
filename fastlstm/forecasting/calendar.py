"""What the calendar says of a stamp, as columns for networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.frequency import Frequency, as_stamps
from fastlstm.forecasting.zones import on_clocks

Array = npt.NDArray[Any]

_DAY = 86_400_000_000
_WEEK = 7 * _DAY
# Microseconds of what repeats, and where one begins: the fifth of January 1970 was a Monday.
_CYCLES = (("hour", _DAY // 24, 0), ("day", _DAY, 0), ("week", _WEEK, 4 * _DAY))
# A week of more steps than quarters of an hour is too long to learn each of them.
_MOST_PLACES = 7 * 24 * 4


def features(
    stamps: npt.ArrayLike, frequency: Frequency, zone: str | None = None
) -> tuple[Array, tuple[str, ...]]:
    """Columns of what varies from stamp to stamp: time of day, day of the week, of the year.

    A cycle is the sine and the cosine of where the stamp stands in it, so that its end is near its
    beginning. Where it stands in its month is a number from -0.5 to 0.5.

    Parameters
    ----------
    stamps : array_like
        (n,) datetime64, or whole numbers, which say nothing.
    frequency : Frequency
    zone : str, optional
        Time zone on whose clocks days and hours are counted; stamps are in UTC then, but for steps
        of whole days, which are local already.

    Returns
    -------
    features : ndarray
        (n, k) float64.
    names : tuple of str
        Of the k columns: "hour_sin", "hour_cos", "day_sin", "day_cos", "week_sin", "week_cos",
        "month", "year_sin", "year_cos", but for the cycles of which each step is a multiple; of
        months, quarters and years, the year's alone.

    Examples
    --------
    >>> noon = np.array(["2024-01-01T12:00"], "datetime64[us]")
    >>> columns, names = features(noon, Frequency.of("12h"))
    >>> names
    ('day_sin', 'day_cos', 'week_sin', 'week_cos', 'month', 'year_sin', 'year_cos')
    >>> columns[0, :2].round(3).tolist()
    [0.0, -1.0]
    """
    stamps = as_stamps(stamps)
    columns: dict[str, Array] = {}
    if frequency.months:
        if frequency.months % 12:
            _cycle(columns, "year", stamps.astype("datetime64[M]").astype(np.int64) % 12 / 12)
    elif frequency.unit:
        if zone is not None and not frequency.whole_days:
            stamps = on_clocks(stamps, zone)
        micros, step = stamps.astype(np.int64), _step(frequency)
        for name, size, begin in _CYCLES:
            if step % size:
                _cycle(columns, name, (micros - begin) % size / size)
        columns["month"] = _part(stamps, "M") - 0.5
        _cycle(columns, "year", _part(stamps, "Y"))
    table = np.empty((len(stamps), len(columns)))
    for place, column in enumerate(columns.values()):
        table[:, place] = column
    return table, tuple(columns)


def places_in_week(
    stamps: npt.ArrayLike, frequency: Frequency, zone: str | None = None
) -> tuple[Array, int]:
    """Which step of its week a stamp is, of steps of which a day has several.

    Parameters
    ----------
    stamps, frequency, zone
        As for ``features``.

    Returns
    -------
    places : ndarray
        (n,) int64, 0 for the first step of a Monday; empty where there are none.
    count : int
        How many a week has; 0 of whole numbers, steps of a day or more, steps of which no day is a
        multiple, and those below a quarter of an hour.

    Examples
    --------
    >>> monday = np.array(["2024-01-01T00:00", "2024-01-02T12:00"], "datetime64[us]")
    >>> places_in_week(monday, Frequency.of("6h"))
    (array([0, 6]), 28)
    """
    nothing = np.empty(0, np.int64), 0
    if frequency.unit != "us" or frequency.count >= _DAY or _DAY % frequency.count:
        return nothing
    count = _WEEK // frequency.count
    if count > _MOST_PLACES:
        return nothing
    stamps = as_stamps(stamps)
    if zone is not None:
        stamps = on_clocks(stamps, zone)
    return (stamps.astype(np.int64) - 4 * _DAY) % _WEEK // frequency.count, count


def _step(frequency: Frequency) -> int:
    """Microseconds of a step; five business days are a week."""
    if frequency.unit == "us":
        return frequency.count
    if frequency.unit == "W":
        return frequency.count * _WEEK
    weeks, days = divmod(frequency.count, 5)
    return weeks * _WEEK + days * _DAY


def _cycle(columns: dict[str, Array], name: str, part: Array) -> None:
    columns[f"{name}_sin"], columns[f"{name}_cos"] = (
        np.sin(2 * np.pi * part),
        np.cos(2 * np.pi * part),
    )


def _part(stamps: Array, unit: str) -> Array:
    """(n,) how much of its month or year is over at a stamp, from 0 to 1."""
    begin = stamps.astype(f"datetime64[{unit}]")
    end = (begin + 1).astype(stamps.dtype)
    part: Array = (stamps - begin) / (end - begin.astype(stamps.dtype))
    return part
