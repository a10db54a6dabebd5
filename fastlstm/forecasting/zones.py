"""Time zones: stamps of columns that have one, in UTC and on local clocks."""

from __future__ import annotations

import datetime
import re
from typing import Any
from zoneinfo import ZoneInfo

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt

from fastlstm.forecasting.frequency import as_stamps

Array = npt.NDArray[Any]

_OFFSET = re.compile(r"(?:UTC)?([+-])(\d\d):?(\d\d)")
# Clocks that skip midnight show 01:00 on one day of a year.
_FEW = 0.2


def zone_of(column: Any) -> str | None:
    """The time zone of a narwhals series, None if it has none."""
    # Of pandas' types narwhals does not know those with zones such as America/New_York.
    zone = getattr(getattr(nw.to_native(column), "dtype", None), "tz", None)
    if zone is None and column.dtype == nw.Datetime:
        zone = column.dtype.time_zone
    return None if zone is None else str(zone)


def stamps_in_zone(column: Any, local: bool | None) -> Array:
    """(n,) stamps of a narwhals series that has a time zone, without it.

    Parameters
    ----------
    column : narwhals.Series
    local : bool or None
        Whether they are those of local clocks, or UTC; by default local if all have the same time
        of day, as stamps of days do.
    """
    if column.implementation.is_pandas_like():
        native = nw.to_native(column).dt
        wall = native.tz_localize(None).to_numpy()
        utc = native.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    else:
        wall = column.dt.replace_time_zone(None).to_numpy()
        utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy()
    wall, utc = as_stamps(wall), as_stamps(utc)
    if local is False or not len(wall):
        return utc
    wall = _at_one_time(wall, utc, zone_of(column) or "UTC")
    local = local or len(np.unique(_time_of_day(wall))) == 1
    return wall if local else utc


def in_utc(stamps: Array, zone: str) -> Array:
    """Local stamps in UTC; one that clocks skip is as late as if they had not been put forward."""
    tz = _named(zone)
    distinct, places = np.unique(stamps, return_inverse=True)
    ahead = [stamp.replace(tzinfo=tz).utcoffset() for stamp in distinct.tolist()]
    utc: Array = stamps - np.array(ahead, "timedelta64[us]")[places]
    return utc


def on_clocks(stamps: Array, zone: str) -> Array:
    """Stamps in UTC as local clocks show them."""
    tz = _named(zone)
    days, places = np.unique(stamps.astype("datetime64[D]"), return_inverse=True)
    ahead = _ahead_of_utc(days, tz)
    wall: Array = stamps + ahead[places]
    # Days on which clocks are put forward or back, hour by hour.
    changes = np.flatnonzero((ahead != _ahead_of_utc(days + 1, tz))[places])
    wall[changes] = stamps[changes] + _ahead_of_utc(stamps[changes], tz)
    return wall


def with_zone(column: Any, zone: str) -> Any:
    """A narwhals series of stamps in UTC, in this time zone."""
    if column.implementation.is_pandas_like():
        native = nw.to_native(column).dt.tz_localize("UTC").dt.tz_convert(zone)
        return nw.from_native(native, series_only=True)
    return column.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)


def _named(zone: str) -> datetime.tzinfo:
    match = _OFFSET.fullmatch(zone)
    if not match:
        return ZoneInfo(zone)
    minutes = int(match[2]) * 60 + int(match[3])
    return datetime.timezone(datetime.timedelta(minutes=-minutes if match[1] == "-" else minutes))


def _ahead_of_utc(stamps: Array, tz: datetime.tzinfo) -> Array:
    """(n,) how far clocks are ahead at these stamps in UTC."""
    aware = [
        stamp.replace(tzinfo=datetime.timezone.utc).astimezone(tz)
        for stamp in stamps.astype("datetime64[us]").tolist()
    ]
    return np.array([stamp.utcoffset() for stamp in aware], "timedelta64[us]")


def _time_of_day(stamps: Array) -> Array:
    times: Array = stamps - stamps.astype("datetime64[D]")
    return times


def _at_one_time(wall: Array, utc: Array, zone: str) -> Array:
    """Local stamps with the usual time of day also where clocks skipped it."""
    times, counts = np.unique(_time_of_day(wall), return_counts=True)
    usual = times[np.argmax(counts)]
    odd = np.flatnonzero(_time_of_day(wall) != usual)
    if not odd.size or odd.size > _FEW * len(wall):
        return wall
    meant = wall.copy()
    meant[odd] = wall[odd].astype("datetime64[D]") + usual
    return meant if np.array_equal(in_utc(meant[odd], zone), utc[odd]) else wall
