"""Forecasts as tables: the kind that came in, each column of the type that it had."""

from __future__ import annotations

import datetime as dt
import pickle

import numpy as np
import pytest

from fastlstm.forecasting.frame import (
    Columns,
    kind_of,
    read_panel,
    write_cross_validation,
    write_forecast,
)
from fastlstm.forecasting.panel import Panel
from tests.forecasting.tables import LIBRARIES, listed, table, types

each_library = pytest.mark.parametrize("library", LIBRARIES)
DAYS = [dt.datetime(2024, 1, day) for day in range(1, 8)]


def _rows(**others):
    """Series a with three days and b with two."""
    return {
        "unique_id": ["a", "a", "a", "b", "b"],
        "ds": [*DAYS[:3], *DAYS[:2]],
        "y": [1.0, 2.0, 3.0, 4.0, 5.0],
        **others,
    }


def _again(df, names=Columns(), h=2, freq=None):  # noqa: B008
    """What comes out for the h steps after these series."""
    panel = read_panel(df, names, freq=freq)
    values = np.arange(len(panel) * h, dtype=float).reshape(len(panel), h)
    return write_forecast(kind_of(df), panel, h, {"M": values, "M-lo-80": values - 1}, names)


@each_library
def test_a_forecast_has_a_row_for_each_id_and_stamp(library):
    df = table(library, _rows())
    made = _again(df)
    assert type(made) is type(df)
    columns = listed(made)
    assert list(columns) == ["unique_id", "ds", "M", "M-lo-80"]
    assert columns["unique_id"] == ["a", "a", "b", "b"]
    assert columns["ds"] == [DAYS[3], DAYS[4], DAYS[2], DAYS[3]]
    assert columns["M"] == [0, 1, 2, 3]
    assert columns["M-lo-80"] == [-1, 0, 1, 2]
    for name, dtype in types(df).items():
        assert types(made).get(name, dtype) == dtype


@each_library
def test_a_table_without_ids_gets_none(library):
    rows = _rows()
    df = table(library, {"ds": rows["ds"][:3], "y": rows["y"][:3]})
    assert list(listed(_again(df))) == ["ds", "M", "M-lo-80"]


@each_library
@pytest.mark.parametrize(
    ("stamps", "freq", "wanted"),
    [
        ([0, 1, 2, 0, 1], None, [3, 4, 2, 3]),
        (
            ["2024-01-31", "2024-02-29", "2024-03-31", "2024-01-31", "2024-02-29"],
            None,
            ["2024-04-30", "2024-05-31", "2024-03-31", "2024-04-30"],
        ),
        (
            [f"2024-01-01 {hour}:00" for hour in ("22", "23", "21", "22", "21")],
            None,
            ["2024-01-02 00:00", "2024-01-02 01:00", "2024-01-01 23:00", "2024-01-02 00:00"],
        ),
        (
            [f"2024-01-01T23:59:5{second}" for second in (7, 8, 9, 8, 9)],
            None,
            [f"2024-01-02T00:00:0{second}" for second in (0, 1, 0, 1)],
        ),
        (
            [dt.date(2024, 1, day) for day in (3, 4, 5, 4, 5)],
            "B",
            [dt.date(2024, 1, day) for day in (8, 9, 8, 9)],
        ),
    ],
)
def test_stamps_are_written_as_they_were(library, stamps, freq, wanted):
    df = table(library, _rows(ds=stamps))
    made = _again(df, freq=freq)
    assert listed(made)["ds"] == wanted
    assert types(made)["ds"] == types(df)["ds"]


@each_library
@pytest.mark.parametrize("ids", [[7, 7, 7, 9, 9], [True, True, True, False, False]])
def test_ids_are_of_the_type_that_they_were(library, ids):
    df = table(library, _rows(unique_id=ids))
    made = _again(df)
    assert types(made)["unique_id"] == types(df)["unique_id"]
    assert listed(made)["unique_id"] == [sorted(set(ids))[n] for n in (0, 0, 1, 1)]


def test_types_of_pandas_stay():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = _rows()
    for ids in (
        pd.Categorical(rows["unique_id"]),
        np.array(rows["unique_id"], object),
        pd.array(rows["unique_id"], "string[pyarrow]"),
        pd.array([1, 1, 1, 2, 2], "Int32"),
        np.array([1, 1, 1, 2, 2], np.uint8),
    ):
        df = pd.DataFrame({**rows, "unique_id": ids})
        assert _again(df)["unique_id"].dtype == df["unique_id"].dtype
    for stamps in (
        np.array(rows["ds"], "datetime64[ns]"),
        np.array(rows["ds"], "datetime64[s]"),
        pd.array(rows["ds"], "timestamp[ms][pyarrow]"),
        np.array([0, 1, 2, 0, 1], np.int32),
    ):
        df = pd.DataFrame({**rows, "ds": stamps})
        assert _again(df)["ds"].dtype == df["ds"].dtype
        assert _again(df)["ds"].tolist()[0] == df["ds"].tolist()[2] + (
            df["ds"].tolist()[1] - df["ds"].tolist()[0]
        )
    dates = pd.DataFrame({**rows, "ds": pd.Series([d.date() for d in rows["ds"]], dtype=object)})
    assert _again(dates)["ds"].tolist()[0] == dt.date(2024, 1, 4)


def test_an_id_that_is_no_category_is_written_all_the_same():
    pd = pytest.importorskip("pandas")
    df = pd.DataFrame(_rows(unique_id=pd.Categorical(list("aaabb"))))
    panel = read_panel(pd.DataFrame(_rows(unique_id=list("aaacc"))), Columns())
    made = write_forecast(kind_of(df), panel, 1, {"M": np.zeros((2, 1))}, Columns())
    assert made["unique_id"].tolist() == ["a", "c"]


def test_types_of_polars_stay():
    pl = pytest.importorskip("polars")
    for ids in (
        pl.Series(list("aaabb"), dtype=pl.Categorical),
        pl.Series(list("aaabb"), dtype=pl.Enum(["b", "a"])),
        pl.Series([1, 1, 1, 2, 2], dtype=pl.UInt8),
    ):
        made = _again(pl.DataFrame(_rows(unique_id=ids)))
        assert made.schema["unique_id"] == ids.dtype
        assert made["unique_id"].to_list() == [ids[0], ids[0], ids[4], ids[4]]
    for dtype in (pl.Datetime("ms"), pl.Datetime("ns"), pl.Date):
        made = _again(pl.DataFrame(_rows()).with_columns(pl.col("ds").cast(dtype)))
        assert made.schema["ds"] == dtype
        assert made["ds"].cast(pl.Datetime("us")).to_list()[0] == DAYS[3]


@each_library
@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "+02:00", "America/New_York"])
@pytest.mark.parametrize("freq", ["h", "D"])
def test_stamps_keep_their_time_zone(library, zone, freq):
    pd = pytest.importorskip("pandas")
    if zone == "+02:00" and library == "polars":
        pytest.skip("polars has no zones that are offsets")
    # Clocks are put back on the 27th of October, in New York on the 3rd of November.
    start = "2024-10-31" if zone == "America/New_York" else "2024-10-24"
    offset = dt.timezone(dt.timedelta(hours=2))
    periods = {"h": 72, "D": 3}[freq]
    zone = offset if zone == "+02:00" else zone
    known = pd.DataFrame({"ds": pd.date_range(start, periods=periods, freq=freq, tz=zone)})
    known["y"] = np.arange(float(periods))
    step = {"h": pd.offsets.Hour(), "D": pd.DateOffset(days=1)}[freq]
    wanted = [known["ds"].iloc[-1] + (n + 1) * step for n in range(6)]
    df = _of(library, known)
    made = _again(df, h=6)
    assert types(made)["ds"] == types(df)["ds"]
    if library == "polars":
        # Which of two hours of one name, older versions do not say in Python's objects.
        assert made["ds"].dt.epoch("s").to_list() == [stamp.timestamp() for stamp in wanted]
    else:
        assert listed(made)["ds"] == wanted


def _of(library, df):
    """A table of pandas as one of this library."""
    if library == "polars":
        return pytest.importorskip("polars").from_pandas(df)
    if library == "pyarrow":
        return pytest.importorskip("pyarrow").Table.from_pandas(df)
    return df


@each_library
def test_days_that_begin_at_one_are_days(library):
    # Clocks in Sao Paulo were put forward at midnight, on the 4th of November 2018.
    pd = pytest.importorskip("pandas")
    days = pd.to_datetime([f"2018-11-{day:02}" for day in range(1, 9)])
    days = days.tz_localize("America/Sao_Paulo", nonexistent="shift_forward")
    known = pd.DataFrame({"ds": days, "y": np.arange(8.0)})
    assert listed(_again(_of(library, known.iloc[:3]), h=5))["ds"] == known["ds"].tolist()[3:]
    panel = read_panel(_of(library, known), Columns())
    assert panel.frequency.alias == "D"
    assert panel.lengths.tolist() == [8]


@each_library
def test_the_kind_of_a_table_can_be_pickled(library):
    df = table(library, _rows())
    assert pickle.loads(pickle.dumps(kind_of(df))) == kind_of(df)


# -- cross-validation ------------------------------------------------------------------------------


def _parts(panel, h):
    """Two cutoffs, one step apart."""
    parts = []
    for left in (h + 1, h):
        known = panel.until(panel.lengths - left)
        at = (panel.offsets[:-1] + known.lengths)[:, np.newaxis] + np.arange(h)
        parts.append((known, {"M": panel.y[at] + 0.5}, panel.y[at]))
    return parts


@each_library
@pytest.mark.parametrize("stamps", [[0, 1, 2, 3, 4], DAYS[:5]])
def test_cross_validation_has_rows_by_id_cutoff_and_stamp(library, stamps):
    rows = {"id": [1] * 5 + [0] * 5, "when": stamps * 2, "load": np.arange(10.0)}
    df = table(library, rows)
    names = Columns("id", "when", "load")
    parts = _parts(read_panel(df, names), 2)
    made = write_cross_validation(kind_of(df), parts, 2, names)
    columns = listed(made)
    assert list(columns) == ["id", "when", "cutoff", "M", "load"]
    assert columns["id"] == [0] * 4 + [1] * 4
    assert columns["cutoff"] == [stamps[n] for n in (1, 1, 2, 2)] * 2
    assert columns["when"] == [stamps[n] for n in (2, 3, 3, 4)] * 2
    assert columns["load"] == [7, 8, 8, 9, 2, 3, 3, 4]
    assert columns["M"] == [value + 0.5 for value in columns["load"]]
    assert types(made)["cutoff"] == types(made)["when"] == types(df)["when"]


# -- arrays ----------------------------------------------------------------------------------------


def test_forecasts_of_arrays_are_arrays():
    one, two = Panel.of_arrays([1.0, 2.0]), Panel.of_arrays({"a": [1.0, 2.0], "b": [3.0]})
    values = np.arange(6.0).reshape(2, 3)
    single = write_forecast(None, one, 3, {"M": values[:1]}, Columns())
    np.testing.assert_array_equal(single, values[0])
    np.testing.assert_array_equal(write_forecast(None, two, 3, {"M": values}, Columns()), values)
    made = write_forecast(None, two, 3, {"M": values, "M-lo-80": values}, Columns())
    assert list(made) == ["M", "M-lo-80"]
    assert made["M"].shape == (2, 3)


def test_cross_validation_of_arrays_is_a_mapping_of_arrays():
    panel = Panel.of_arrays(np.arange(10.0).reshape(2, 5))
    made = write_cross_validation(None, _parts(panel, 2), 2, Columns())
    assert list(made) == ["cutoff", "M", "y"]
    assert made["cutoff"].tolist() == [[1, 2], [1, 2]]
    assert made["y"].tolist() == [[[2, 3], [3, 4]], [[7, 8], [8, 9]]]
    np.testing.assert_array_equal(made["M"], made["y"] + 0.5)
    single = write_cross_validation(None, _parts(panel.take([1]), 2), 2, Columns())
    assert single["cutoff"].tolist() == [1, 2]
    assert single["y"].tolist() == [[7, 8], [8, 9]]


def test_arrays_are_no_tables():
    for arrays in (np.zeros(3), [1.0, 2.0], {"a": [1.0]}, [[1.0], [2.0, 3.0]]):
        assert kind_of(arrays) is None
