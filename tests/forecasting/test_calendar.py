"""Columns of the calendar, against Python's own."""

from __future__ import annotations

import calendar
import datetime as dt
import math
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from fastlstm.forecasting.calendar import features, places_in_week
from fastlstm.forecasting.frequency import Frequency

ALL = [f"{cycle}_{way}" for cycle in ("hour", "day", "week", "year") for way in ("sin", "cos")]
ALL.insert(6, "month")


def _slow(stamp, name):
    """One column at one stamp, as it reads."""
    stamp = stamp.astype(object)
    day = (stamp.hour + (stamp.minute + stamp.second / 60) / 60) / 24
    year = 366 if calendar.isleap(stamp.year) else 365
    parts = {
        "hour": (stamp.minute + stamp.second / 60) / 60,
        "day": day,
        "week": (stamp.weekday() + day) / 7,
        "month": (stamp.day - 1 + day) / calendar.monthrange(stamp.year, stamp.month)[1],
        "year": (stamp.timetuple().tm_yday - 1 + day) / year,
    }
    cycle, _, way = name.partition("_")
    if not way:
        return parts[cycle] - 0.5
    return getattr(math, way)(2 * math.pi * parts[cycle])


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("s", ""), ("15min", ""), ("h", "hour"), ("6h", "hour"), ("D", "hour day"),
        ("36h", "hour"), ("7D", "hour day week"), ("B", "hour day"), ("5B", "hour day week"),
        ("W-MON", "hour day week"),
    ],
)  # fmt: skip
def test_cycles_within_a_step_are_left_out(name, left_out):
    stamps = Frequency.of(name).stamps(np.datetime64("2023-12-25T05:20"), 0, 500)
    columns, names = features(stamps, Frequency.of(name))
    assert list(names) == [wanted for wanted in ALL if wanted.split("_")[0] not in left_out.split()]
    wanted = [[_slow(stamp, column) for column in names] for stamp in stamps]
    np.testing.assert_allclose(columns, wanted, atol=1e-9)
    assert (columns.std(axis=0) > 0).all()


@pytest.mark.parametrize(("name", "different"), [("MS", 12), ("ME", 12), ("2MS", 6), ("QE", 4)])
def test_months_have_their_place_in_the_year(name, different):
    stamps = Frequency.of(name).stamps(np.datetime64("2024-03-31"), 0, 24)
    columns, names = features(stamps, Frequency.of(name))
    assert names == ("year_sin", "year_cos")
    assert len(np.unique(columns.round(9), axis=0)) == different
    months = np.array([stamp.astype(object).month - 1 for stamp in stamps])
    np.testing.assert_allclose(columns[:, 0], np.sin(2 * np.pi * months / 12), atol=1e-12)


@pytest.mark.parametrize("name", ["YS", "YE-JUN", "12MS", "4QE"])
def test_years_have_none(name):
    columns, names = features(np.array(["2024-06-30", "2025-06-30"], "M8[us]"), Frequency.of(name))
    assert columns.shape == (2, 0)
    assert names == ()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("month", [3, 4, 10, 11])
def test_hours_are_those_of_local_clocks(zone, month):
    stamps = Frequency.of("30min").stamps(np.datetime64(f"2024-{month:02}-01"), 0, 48 * 30)
    columns = features(stamps, Frequency.of("30min"), zone)[0]
    utc = [stamp.replace(tzinfo=dt.timezone.utc) for stamp in stamps.tolist()]
    local = [stamp.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for stamp in utc]
    wanted, _ = features(np.array(local, "datetime64[us]"), Frequency.of("30min"))
    np.testing.assert_array_equal(columns, wanted)
    offset = features(stamps, Frequency.of("30min"), "+01:00")[0]
    ahead = features(stamps + np.timedelta64(1, "h"), Frequency.of("30min"))[0]
    np.testing.assert_array_equal(offset, ahead)


def test_days_are_local_already():
    stamps = Frequency.of("D").stamps(np.datetime64("2024-03-01"), 0, 60)
    columns, _ = features(stamps, Frequency.of("D"), "America/New_York")
    np.testing.assert_array_equal(columns, features(stamps, Frequency.of("D"))[0])


def test_whole_numbers_have_none():
    columns, names = features(np.arange(5), Frequency.of(1))
    assert columns.shape == (5, 0)
    assert names == ()


def test_no_stamps_have_columns_too():
    columns, names = features(np.empty(0, "datetime64[us]"), Frequency.of("h"))
    assert columns.shape == (0, len(names)) == (0, 7)


@pytest.mark.parametrize("name", ["h", "30min", "12h", "15min"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_places_in_the_week_are_those_of_the_clock(name, zone):
    frequency = Frequency.of(name)
    stamps = frequency.stamps(np.datetime64("2024-03-08", "us"), 0, 300)
    places, count = places_in_week(stamps, frequency, zone)
    step = dt.timedelta(microseconds=frequency.count)
    assert count == dt.timedelta(7) // step
    for stamp, place in zip(stamps.astype(object), places, strict=True):
        clock = stamp.replace(tzinfo=dt.timezone.utc).astimezone(ZoneInfo(zone or "UTC"))
        since = dt.timedelta(clock.weekday(), hours=clock.hour, minutes=clock.minute)
        assert place == since // step


@pytest.mark.parametrize("freq", ["D", "MS", "W", "B", "5h", "min", 1])
def test_some_steps_have_no_place_in_a_week(freq):
    frequency = Frequency.of(freq)
    start = np.int64(0) if freq == 1 else np.datetime64("2024-01-01", "us")
    places, count = places_in_week(frequency.stamps(start, 0, 20), frequency)
    assert (len(places), count) == (0, 0)
