"""Columns of the calendar, against Python's own."""

from __future__ import annotations

import calendar
import math

import numpy as np
import pytest

from fastlstm.forecasting.calendar import features
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


def test_whole_numbers_have_none():
    columns, names = features(np.arange(5), Frequency.of(1))
    assert columns.shape == (5, 0)
    assert names == ()


def test_no_stamps_have_columns_too():
    columns, names = features(np.empty(0, "datetime64[us]"), Frequency.of("h"))
    assert columns.shape == (0, len(names)) == (0, 7)
