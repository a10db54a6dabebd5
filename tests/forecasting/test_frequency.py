"""Frequencies, against pandas' own calendar where it is installed."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from fastlstm.forecasting.frequency import Frequency, as_stamps, written

NAMES = [
    "h", "2h", "D", "3D", "B", "2B", "W", "W-MON", "2W-TUE", "MS", "2MS", "ME", "5ME", "QS",
    "QS-FEB", "QE", "QE-NOV", "2QE", "YS", "YS-APR", "YE", "YE-JUN", "15min", "90min", "s", "10ms",
    "7us",
]  # fmt: skip


def _days(*texts):
    return np.array(texts, "datetime64[us]")


@pytest.mark.parametrize("name", NAMES)
def test_stamps_and_their_numbers_are_those_of_pandas(name):
    pd = pytest.importorskip("pandas")
    wanted = pd.date_range("2019-11-20 06:30", periods=60, freq=name).to_numpy()
    wanted = wanted.astype("datetime64[us]")
    frequency = Frequency.of(name)
    np.testing.assert_array_equal(frequency.stamps(wanted[0], 0, 60), wanted)
    np.testing.assert_array_equal(frequency.stamps(wanted[10], -10, 5), wanted[:5])
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(frequency.positions(wanted[0], wanted[order]), order)
    np.testing.assert_array_equal(frequency.positions(wanted[50], wanted), np.arange(60) - 50)
    assert frequency.alias == pd.tseries.frequencies.to_offset(name).freqstr


@pytest.mark.parametrize("name", [name for name in NAMES if name != "2B"])
def test_the_frequency_is_found_though_stamps_are_missing(name):
    frequency = Frequency.of(name)
    start = {"W": "2020-01-05", "W-MON": "2020-01-06", "2W-TUE": "2020-01-07"}.get(name)
    start = start or {"QS-FEB": "2020-02-01", "QE-NOV": "2020-02-29", "YS-APR": "2020-04-01"}.get(
        name
    )
    start = start or {"YE-JUN": "2020-06-30", "YE": "2020-12-31"}.get(name)
    start = start or ("2020-03-31" if name.endswith("E") else "2020-01-01")
    stamps = frequency.stamps(np.datetime64(start), 0, 40)
    assert Frequency.infer(stamps) == frequency
    assert Frequency.infer(np.delete(stamps, [4, 5, 9])) == frequency


def test_stamps_of_whole_numbers():
    frequency = Frequency.of(2)
    assert frequency.alias == "2"
    np.testing.assert_array_equal(frequency.stamps(10, 1, 3), [12, 14, 16])
    np.testing.assert_array_equal(frequency.positions(10, [16, 8]), [3, -1])
    assert Frequency.infer([1, 3, 5, 11]) == frequency
    assert Frequency.infer(np.arange(4, dtype=np.uint16)) == Frequency.of(1)
    with pytest.raises(
        ValueError, match="1 of 2 stamps are not on the grid of freq='2' from 10 on: 13"
    ):
        frequency.positions(10, [12, 13])


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("H", "h"), ("T", "min"), ("S", "s"), ("M", "ME"), ("Q", "QE-DEC"), ("Y", "YE-DEC"),
        ("A-JUN", "YE-JUN"), ("AS", "YS-JAN"), ("1d", "D"), ("24h", "D"), ("60min", "h"),
        ("1mo", "MS"), ("1q", "QS-JAN"), ("1y", "YS-JAN"), ("1w", "7D"), ("QE-MAR", "QE-DEC"),
        ("QS-JUL", "QS-JAN"), (" 2 h", "2h"), ("1500ms", "1500ms"),
    ],
)  # fmt: skip
def test_other_names_mean_the_same(name, same):
    assert Frequency.of(name) == Frequency.of(same)
    assert Frequency.of(name).alias == same


def test_durations_and_offsets_of_pandas_are_frequencies_too():
    assert Frequency.of(datetime.timedelta(minutes=90)).alias == "90min"
    assert Frequency.of(np.timedelta64(1, "D")).alias == "D"
    assert Frequency.of(Frequency.of("W-TUE")) == Frequency.of("W-TUE")
    pd = pytest.importorskip("pandas")
    assert Frequency.of(pd.offsets.MonthBegin()).alias == "MS"
    assert Frequency.of(pd.Timedelta("3h")).alias == "3h"
    with pytest.raises(ValueError, match="'MS', 'ME'"):
        Frequency.of(np.timedelta64(1, "M"))
    for wrong in (np.timedelta64(0, "s"), np.timedelta64(7, "ns")):
        with pytest.raises(ValueError, match="some microseconds"):
            Frequency.of(wrong)


@pytest.mark.parametrize(
    ("name", "season"),
    [
        ("h", 24), ("2h", 12), ("7h", 1), ("30min", 48), ("15min", 96), ("min", 1440), ("s", 3600),
        ("10ms", 100), ("D", 7), ("2D", 1), ("7D", 1), ("W", 52), ("2W", 26), ("B", 5), ("MS", 12),
        ("2ME", 6), ("QE", 4), ("YS", 1), (1, 1), (24, 1),
    ],
)  # fmt: skip
def test_season(name, season):
    assert Frequency.of(name).season == season


def test_which_steps_are_whole_days():
    whole = {name for name in NAMES if Frequency.of(name).whole_days}
    assert whole == set(NAMES) - {"h", "2h", "15min", "90min", "s", "10ms", "7us"}
    assert not Frequency.of(1).whole_days


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("m", ValueError, "minutes are 'min'"),
        ("fortnight", ValueError, "means nothing here; it may be 'h', 'D'"),
        ("0h", ValueError, "means nothing here"),
        ("-1h", ValueError, "means nothing here"),
        ("W-JAN", ValueError, "means nothing here"),
        ("MS-JAN", ValueError, "means nothing here"),
        ("D-MON", ValueError, "means nothing here"),
        ("B-MON", ValueError, "means nothing here"),
        (0, ValueError, "a step of at least 1, got 0"),
        (True, TypeError, "a name or a whole number, got True"),
        (1.5, TypeError, "a name or a whole number, got 1.5"),
    ],
)
def test_what_is_no_frequency_is_said(name, error, text):
    with pytest.raises(error, match=text):
        Frequency.of(name)


@pytest.mark.parametrize(
    ("name", "stamps", "text"),
    [
        ("h", ("2020-01-01", "2020-01-01T01:30", "2020-01-01T02"), "1 of 3 .*T01:30;.*'30min'"),
        ("W", ("2020-01-06", "2020-01-13"), "2 of 2 .* look like freq='W-MON'"),
        ("MS", ("2020-01-31", "2020-02-29"), "2 of 2 .* look like freq='ME'"),
        ("ME", ("2020-01-01", "2020-02-01"), "look like freq='MS'"),
        ("MS", ("2020-01-15", "2020-02-15"), "2 of 2 .*2020-01-15, 2020-02-15"),
        ("QS", ("2020-02-01", "2020-05-01"), "look like freq='QS-FEB'"),
        ("B", ("2020-01-03", "2020-01-04", "2020-01-05"), "2 of 3 .*'D'"),
        ("D", ("2020-01-01", "2020-01-02T01", "2020-01-04T07"), "round the stamps"),
        ("MS", ("2020-01-01", "2020-02-01T01"), "1 of 2 .*2020-02-01T01"),
    ],
)  # fmt: skip
def test_stamps_beside_the_grid_are_named(name, stamps, text):
    stamps = _days(*stamps)
    with pytest.raises(ValueError, match=text):
        Frequency.of(name).positions(stamps[0], stamps)


def test_dates_are_no_whole_numbers():
    with pytest.raises(
        ValueError, match="freq='D' expects stamps that are dates and times, got whole"
    ):
        Frequency.of("D").positions(1, [1, 2])
    with pytest.raises(
        ValueError, match="freq='1' expects stamps that are whole numbers, got dates"
    ):
        Frequency.of(1).positions(*_days("2020-01-01"), _days("2020-01-01"))
    with pytest.raises(TypeError, match="expect datetime64 or whole numbers, got float64"):
        as_stamps([0.5])


def test_stamps_on_no_grid_have_no_frequency():
    with pytest.raises(ValueError, match="from 1 stamp; pass freq"):
        Frequency.infer(_days("2020-01-01"))
    with pytest.raises(ValueError, match="sort them first"):
        Frequency.infer([3, 2])
    beside = _days("2020-01-01T00", "2020-01-01T01", "2020-01-01T02", "2020-01-01T02:20")
    with pytest.raises(
        ValueError, match=r"2 of 3 stamps come h after .* 1 by no multiple .*T02:20"
    ):
        Frequency.infer(beside)
    months = _days("2020-01-01", "2020-04-01", "2020-07-01", "2020-08-01")
    with pytest.raises(ValueError, match="2 of 3 stamps come 3MS after"):
        Frequency.infer(months)


def test_weekdays_are_business_days_only_over_a_weekend():
    monday = np.datetime64("2020-01-06")
    assert Frequency.infer(Frequency.of("B").stamps(monday, 0, 6)).alias == "B"
    assert Frequency.infer(Frequency.of("D").stamps(monday, 0, 5)).alias == "D"


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        (np.datetime64("2020-01-01"), "2020-01-01"),
        (np.datetime64("2020-01-01T10"), "2020-01-01T10:00"),
        (np.datetime64("2020-01-01T00:00:05"), "2020-01-01T00:00:05"),
        (np.datetime64("2020-01-01T00:00:00.25"), "2020-01-01T00:00:00.250000"),
        (np.int64(7), "7"),
    ],
)
def test_stamps_are_written_short(stamp, text):
    assert written(stamp) == text
