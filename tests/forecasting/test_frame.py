"""Tables as panels: what is read from each library, and what is refused with which words."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import numpy as np
import pytest

from fastlstm.forecasting.frame import (
    Columns,
    check_no_columns,
    kind_of,
    read_future,
    read_panel,
)
from fastlstm.forecasting.frequency import Frequency
from tests.forecasting.tables import LIBRARIES, table

each_library = pytest.mark.parametrize("library", LIBRARIES)
HOURS = [dt.datetime(2024, 1, 1, hour) for hour in range(6)]


def _two(**others):
    """Two series of three hours, b's rows first and not in order."""
    return {
        "unique_id": ["b", "b", "a", "a", "a", "b"],
        "ds": [HOURS[3], HOURS[2], HOURS[0], HOURS[1], HOURS[2], HOURS[4]],
        "y": [4.0, 3.0, 0.0, 1.0, 2.0, 5.0],
        **others,
    }


@each_library
def test_a_long_table_is_a_panel_by_id_and_stamp(library):
    panel = read_panel(table(library, _two()), Columns())
    assert panel.ids.tolist() == ["a", "b"]
    assert panel.offsets.tolist() == [0, 3, 6]
    assert panel.y.tolist() == [0, 1, 2, 3, 4, 5]
    assert panel.starts.astype(object).tolist() == [HOURS[0], HOURS[2]]
    assert panel.frequency == Frequency.of("h")
    assert panel.futr.shape == panel.hist.shape == (6, 0)
    assert panel.static.shape == (2, 0)
    assert panel.notes == (
        "rows were sorted by id and stamp",
        "the frequency is h, by the stamps of 'a'",
    )
    assert len(read_panel(table(library, _two()), Columns(), freq="h").notes) == 1


@each_library
def test_the_order_of_rows_makes_no_difference(library):
    rows = {"x": [3.0, 2.0, 0.0, 1.0, 2.0, 4.0], **_two()}
    order = [5, 0, 3, 1, 4, 2]
    shuffled = {name: [values[n] for n in order] for name, values in rows.items()}
    one = read_panel(table(library, rows), Columns(futr=("x",)))
    other = read_panel(table(library, shuffled), Columns(futr=("x",)))
    np.testing.assert_array_equal(one.y, other.y)
    np.testing.assert_array_equal(one.futr, other.futr)
    assert one.ids.tolist() == other.ids.tolist()


@each_library
def test_columns_have_any_names(library):
    rows = dict(zip(("zone", "when", "load"), _two().values(), strict=True))
    panel = read_panel(table(library, rows), Columns("zone", "when", "load"))
    assert panel.y.tolist() == [0, 1, 2, 3, 4, 5]


@each_library
def test_stamps_that_are_not_there_are_missing_values(library):
    rows = {
        "unique_id": [7, 7, 7, 8],
        "ds": [HOURS[0], HOURS[1], HOURS[4], HOURS[3]],
        "y": [1.0, None, 5.0, 2.0],
        "known": [10, 11, 14, 23],
        "past": [True, False, True, True],
    }
    panel = read_panel(table(library, rows), Columns(futr=("known",), hist=("past",)))
    assert panel.ids.tolist() == [7, 8]
    assert panel.lengths.tolist() == [5, 1]
    np.testing.assert_array_equal(panel.y, [1, np.nan, np.nan, np.nan, 5, 2])
    assert panel.futr[:, 0].tolist() == [10, 11, 11, 11, 14, 23]
    assert panel.hist[:, 0].tolist() == [1, 0, 0, 0, 1, 1]
    assert panel.names == (("known",), ("past",), ())
    assert panel.notes == (
        "the frequency is h, by the stamps of 7",
        "2 stamps that are not there, in 1 of 2 series, are missing values",
        "1 of 4 rows have no value",
        "there 'known' have the value of the stamp before",
        "there 'past' have the value of the stamp before",
    )


@each_library
def test_a_table_without_ids_is_one_series(library):
    rows = {"ds": HOURS[:3], "y": [1, 2, 3]}
    panel = read_panel(table(library, rows), Columns())
    assert panel.ids.tolist() == ["y"]
    assert panel.y.tolist() == [1, 2, 3]


@each_library
@pytest.mark.parametrize(
    ("stamps", "alias", "start"),
    [
        ([3, 5, 7], "2", 3),
        (["2024-01-31", "2024-02-29", "2024-03-31"], "ME", np.datetime64("2024-01-31", "us")),
        (["2024-01-01 00:30", "2024-01-01 01:30", "2024-01-01 02:30"], "h", None),
        (["2024-01-01T00:00:15", "2024-01-01T00:00:16", "2024-01-01T00:00:17"], "s", None),
        ([dt.date(2024, 1, 5), dt.date(2024, 1, 8), dt.date(2024, 1, 9)], "B", None),
    ],
)
def test_stamps_are_whole_numbers_strings_or_dates_too(library, stamps, alias, start):
    freq = alias if alias == "B" else None
    panel = read_panel(table(library, {"ds": stamps, "y": [1.0, 2, 3]}), Columns(), freq=freq)
    assert panel.frequency.alias == alias
    assert panel.lengths.tolist() == [3]
    if start is not None:
        assert panel.starts.tolist() == np.array([start]).tolist()


@each_library
def test_the_frequency_given_holds(library):
    rows = table(library, {"ds": HOURS[::2], "y": [1.0, 2, 3]})
    assert read_panel(rows, Columns()).lengths.tolist() == [3]
    panel = read_panel(rows, Columns(), freq="h")
    np.testing.assert_array_equal(panel.y, [1, np.nan, 2, np.nan, 3])


# -- time zones ------------------------------------------------------------------------------------


def _in_zone(library, stamps, zone):
    """A table of one series whose stamps, given in UTC, are in a time zone."""
    aware = [stamp.replace(tzinfo=dt.timezone.utc) for stamp in stamps]
    if library == "pandas":
        import pandas as pd

        column = pd.Series(pd.to_datetime(aware)).dt.tz_convert(zone)
    elif library == "polars":
        import polars as pl

        column = pl.Series(aware).dt.convert_time_zone(zone)
    else:
        import pyarrow as pa

        column = pa.array(aware, pa.timestamp("us", zone))
    return table(library, {"ds": column, "y": np.arange(float(len(stamps)))})


# Clocks in Berlin are put back at 01:00 UTC.
OCTOBER = [dt.datetime(2024, 10, 26, 20) + dt.timedelta(hours=n) for n in range(10)]


@each_library
def test_hours_are_in_utc_so_that_none_comes_twice(library):
    panel = read_panel(_in_zone(library, OCTOBER, "Europe/Berlin"), Columns())
    assert panel.frequency.alias == "h"
    assert panel.lengths.tolist() == [10]
    assert panel.stamps(0).astype(object).tolist() == OCTOBER
    assert panel.zone == "Europe/Berlin"


@each_library
def test_days_are_local_so_that_one_may_have_25_hours(library):
    midnights = [dt.datetime(2024, 10, 25, 22), dt.datetime(2024, 10, 26, 22)]
    midnights += [dt.datetime(2024, 10, 27, 23), dt.datetime(2024, 10, 28, 23)]
    df = _in_zone(library, midnights, "Europe/Berlin")
    for freq in (None, "D"):
        panel = read_panel(df, Columns(), freq=freq)
        assert panel.frequency.alias == "D"
        days = [dt.datetime(2024, 10, day) for day in (26, 27, 28, 29)]
        assert panel.stamps(0).astype(object).tolist() == days


@each_library
def test_stamps_with_and_without_a_zone_do_not_meet(library):
    aware = read_panel(_in_zone(library, OCTOBER[:5], "Europe/Berlin"), Columns())
    naive = table(library, {"ds": OCTOBER[5:], "y": np.zeros(5)})
    with pytest.raises(
        ValueError, match=r"new rows expect stamps in 'Europe/Berlin', .*got no time"
    ):
        aware.append(read_panel(naive, Columns(), known=aware))
    with pytest.raises(ValueError, match="rows of futr_df expect stamps in 'Europe/Berlin'"):
        read_future(naive, aware, 5, Columns(futr=("y",)))
    # Two zones do: the same moments are the same stamps.
    other = read_panel(_in_zone(library, OCTOBER[5:], "Asia/Tokyo"), Columns())
    assert aware.append(other).stamps(0).astype(object).tolist() == OCTOBER


@each_library
def test_days_in_utc_alone_are_refused(library):
    stamps = [dt.datetime(2024, 10, day) for day in (25, 26, 27, 28, 29)]
    with pytest.raises(ValueError, match=r"are D apart in UTC, but not .*'Europe/Berlin'; convert"):
        read_panel(_in_zone(library, stamps, "Europe/Berlin"), Columns())


def test_zones_that_differ_are_refused():
    pd = pytest.importorskip("pandas")
    stamps = [pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-02", tz="Asia/Tokyo")]
    df = pd.DataFrame({"ds": pd.Series(stamps, dtype=object), "y": [1.0, 2.0]})
    with pytest.raises(ValueError, match="time zones that differ from row to row"):
        read_panel(df, Columns())


# -- what is refused -------------------------------------------------------------------------------


@each_library
@pytest.mark.parametrize(
    ("changes", "columns", "error", "text"),
    [
        ({"y": [4.0, 3, 0, 1, 2, np.inf]}, {}, ValueError, "series 'b' is infinite at 1 steps"),
        ({"y": [4.0, 3, np.nan, None, None, 5]}, {}, ValueError, "series 'a' has no value: all 3"),
        ({"y": list("abcdef")}, {}, TypeError, "column 'y' is of String, expected numbers"),
        ({"unique_id": ["b", "b", None, "a", "a", "b"]}, {}, ValueError,
         "'unique_id' expects ids in all rows, but 1 of 6 have none: rows 2"),
        ({"ds": [None, *HOURS[1:]]}, {}, ValueError, "'ds' expects stamps in all rows"),
        ({"ds": [0.5, 1.0, 2.0, 3.0, 4.0, 5.0]}, {}, TypeError, "'ds' is of Float64"),
        ({"ds": ["31/01/2024"] * 6}, {}, ValueError,
         "strings that are no stamps such as '2024-01-31' .*31/01/2024.* and 1 more; convert"),
        ({"ds": ["2024-13-01"] * 6}, {}, ValueError, "Month out of range"),
        ({"ds": ["2024-01-01T00:00:00Z"] * 6}, {}, ValueError, "with utc=True"),
        ({"ds": [HOURS[3], HOURS[3], *HOURS[:3], HOURS[3]]}, {}, ValueError,
         "2 rows repeat another's: 'b' at 2024-01-01T03:00, 'b' at .*put back, use stamps with"),
        ({"unique_id": list("aaabbb"), "ds": [*HOURS[:3], HOURS[0], HOURS[1],
          dt.datetime(2024, 1, 1, 1, 20)]}, {"freq": "h"}, ValueError,
         "series 'b': 1 of 3 stamps are not on the grid of freq='h'.*01:20"),
        ({"ds": HOURS}, {"freq": "D"}, ValueError, "look like freq='h'"),
        ({}, {"freq": 1}, ValueError, "freq='1' expects stamps that are whole numbers"),
        ({"x": [1.0, 2, 3, None, 5, 6]}, {"futr": ("x",)}, ValueError,
         "column 'x' expects finite numbers, but 1 of 6 rows have none: rows 3"),
        ({"x": [1.0, 2, 3, 4, 5, np.inf]}, {"hist": ("x",)}, ValueError, "rows 5; fill them"),
        ({"x": list("abcdef")}, {"hist": ("x",)}, TypeError, "pandas.get_dummies"),
        ({}, {"futr": ("price",)}, ValueError, r"no column 'price' \(futr_exog\); it has"),
        ({"Price": [1.0] * 6}, {"hist": ("prices",)}, ValueError, "did you mean 'Price'?"),
        ({}, {"target_col": "Y"}, ValueError, r"no column 'Y' \(target_col\).*did you mean 'y'?"),
        ({}, {"futr": ("y",)}, ValueError, "one use, got 'y' for several"),
        ({"x": [1.0] * 6}, {"futr": ("x",), "hist": ("x",)}, ValueError, "one use, got 'x'"),
        ({}, {"id_col": "ds"}, ValueError, "one use, got 'ds'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(library, changes, columns, error, text):
    columns = dict(columns)
    freq = columns.pop("freq", None)
    df = table(library, _two(**changes))
    with pytest.raises(error, match=text):
        read_panel(df, Columns(**columns), freq=freq)


@each_library
def test_an_unnamed_column_of_ids_is_guessed_where_rows_repeat(library):
    rows = _two()
    rows["city"] = rows.pop("unique_id")
    with pytest.raises(ValueError, match="of their ids by id_col"):
        read_panel(table(library, rows), Columns())


@each_library
def test_a_table_with_a_column_for_each_series_is_to_be_made_long(library):
    wide = table(library, {"ds": HOURS[:2], **{name: [1.0, 2.0] for name in "abcd"}})
    with pytest.raises(ValueError, match=r"no column 'y'.*a long one by melt or unpivot"):
        read_panel(wide, Columns())


@each_library
def test_a_table_without_rows_is_refused(library):
    df = table(library, {"unique_id": ["a"], "ds": HOURS[:1], "y": [1.0]})
    empty = df.slice(0, 0) if library != "pandas" else df.iloc[:0]
    with pytest.raises(ValueError, match="at least one row, got none"):
        read_panel(empty, Columns())
    with pytest.raises(ValueError, match="cannot be told from 1 stamp; pass freq"):
        read_panel(df, Columns())
    assert read_panel(df, Columns(), freq="h").lengths.tolist() == [1]


@each_library
def test_a_grid_that_is_almost_empty_is_refused(library):
    df = table(library, {"ds": [HOURS[0], HOURS[5], dt.datetime(2030, 1, 1)], "y": [1.0, 2, 3]})
    with pytest.raises(ValueError, match=r"makes 189[0-9]{6} points of 3 rows"):
        read_panel(df, Columns(), freq="s")


def test_a_lazy_table_is_to_be_collected():
    pl = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"call \.collect"):
        kind_of(pl.DataFrame(_two()).lazy())


# -- the index of pandas ---------------------------------------------------------------------------


def test_an_index_with_a_name_is_a_column():
    pd = pytest.importorskip("pandas")
    df = pd.DataFrame(_two())
    wanted = read_panel(df, Columns()).y
    for names in ("unique_id", "ds", ["unique_id", "ds"]):
        indexed = df.set_index(names)
        np.testing.assert_array_equal(read_panel(indexed, Columns()).y, wanted)
        assert set(kind_of(indexed).dtypes) == {"unique_id", "ds", "y"}


def test_stamps_in_an_index_without_a_name_are_found():
    pd = pytest.importorskip("pandas")
    df = pd.DataFrame({"y": [1.0, 2.0]}, index=pd.to_datetime(HOURS[:2]))
    with pytest.raises(ValueError, match=r"rename_axis\('ds'\).reset_index"):
        read_panel(df, Columns())
    assert list(kind_of(df["y"]).dtypes) == ["ds", "y"]
    assert kind_of(df["y"].reset_index(drop=True)) is None


def test_other_types_of_pandas_are_numbers_too():
    pd = pytest.importorskip("pandas")
    rows = _two(n=pd.array([1, 2, 3, 4, 5, 6], "Int64"), b=pd.array([True] * 6, "boolean"))
    rows["y"] = pd.array([4, 3, 0, None, 2, 5], "Int64")
    rows["unique_id"] = pd.Categorical(rows["unique_id"])
    panel = read_panel(pd.DataFrame(rows), Columns(hist=("n", "b")))
    np.testing.assert_array_equal(panel.y, [0, np.nan, 2, 3, 4, 5])
    assert panel.hist[:, 0].tolist() == [3, 4, 5, 2, 1, 6]
    assert panel.ids.tolist() == ["a", "b"]
    objects = pd.DataFrame(_two())
    objects["ds"] = pd.Series([stamp.date() for stamp in objects["ds"]], dtype=object)
    objects["ds"] = [dt.date(2024, 1, n + 1) for n in range(6)]
    assert read_panel(objects, Columns(), freq="D").frequency.alias == "D"
    objects["ds"] = pd.Series([dt.time(n) for n in range(6)], dtype=object)
    with pytest.raises(TypeError, match="has objects of time, expected datetimes"):
        read_panel(objects, Columns())
    objects["ds"] = pd.period_range("2024", periods=6, freq="M")
    with pytest.raises(TypeError, match=r"got periods; column\.dt\.to_timestamp"):
        read_panel(objects, Columns())


def test_ids_need_not_be_of_one_type():
    pd = pytest.importorskip("pandas")
    rows = _two(unique_id=np.array([1, 1, "a", "a", "a", 1], object))
    assert read_panel(pd.DataFrame(rows), Columns()).ids.tolist() == [1, "a"]


# -- static columns --------------------------------------------------------------------------------


@each_library
def test_static_columns_come_by_id(library):
    rows = {"unique_id": ["c", "b", "a"], "size": [3, 2, 1], "big": [True, False, False]}
    static = table(library, rows)
    columns = Columns(static=("size", "big"))
    panel = read_panel(table(library, _two()), columns, static_df=static)
    assert panel.static.tolist() == [[1, 0], [2, 0]]
    again = read_panel(table(library, _two()), columns, known=panel)
    np.testing.assert_array_equal(again.static, panel.static)


@each_library
@pytest.mark.parametrize(
    ("static", "names", "text"),
    [
        (None, ("size",), "a row for each series with the columns 'size' .*; got None"),
        ({"unique_id": ["a"], "size": [1]}, ("size",), "has none for 'b'"),
        ({"unique_id": ["a", "b", "b"], "size": [1, 2, 3]}, ("size",), "got several of 'b'"),
        (
            {"unique_id": ["a", "b"], "size": [1, None]},
            ("size",),
            "finite numbers, but has none for 'b'",
        ),
        ({"unique_id": ["a", "b"], "size": [1, 2]}, ("sizes",), "did you mean 'size'"),
        ({"unique_id": ["a", "b"], "size": [1, 2]}, (), r"static_exog=\[...\]\), of 'size'"),
        ({"name": ["a", "b"], "size": [1, 2]}, ("size",), "no column 'unique_id'"),
    ],
)
def test_static_columns_that_do_not_fit_are_said(library, static, names, text):
    static = None if static is None else table(library, static)
    with pytest.raises(ValueError, match=text):
        read_panel(table(library, _two()), Columns(static=names), static_df=static)


# -- what is known of the future -------------------------------------------------------------------

WITH_X = Columns(futr=("x", "z"))


def _future(**changes):
    """Two stamps after each series, in any order, and rows that nobody asked for."""
    return {
        "ds": [HOURS[4], HOURS[5], HOURS[3], dt.datetime(2024, 1, 1, 6), HOURS[2], HOURS[5]],
        "unique_id": ["a", "b", "a", "b", "a", "c"],
        "x": [41.0, 50.0, 31.0, 60.0, None, None],
        "z": [1, 2, 3, 4, 5, 6],
        **changes,
    }


@pytest.fixture
def panel():
    """The two series, with columns x and z."""
    pytest.importorskip("polars")
    return read_panel(table("polars", _two(x=[0.0] * 6, z=[1] * 6)), WITH_X)


@each_library
def test_the_future_comes_by_id_and_stamp(library, panel):
    future = read_future(table(library, _future()), panel, 2, WITH_X)
    assert future.tolist() == [[[31, 3], [41, 1]], [[50, 2], [60, 4]]]
    first = read_future(table(library, _future()), panel, 1, WITH_X)
    np.testing.assert_array_equal(first, future[:, :1])


@each_library
def test_the_future_of_one_series_needs_no_id(library):
    rows = {"ds": HOURS[:3], "y": [1.0, 2, 3], "x": [1.0, 2, 3]}
    panel = read_panel(table(library, rows), Columns(futr=("x",)))
    df = table(library, {"ds": HOURS[3:5], "x": [4.0, 5.0]})
    assert read_future(df, panel, 2, Columns(futr=("x",))).tolist() == [[[4], [5]]]


@each_library
@pytest.mark.parametrize(
    ("changes", "h", "text"),
    [
        ({}, 3, "but 2 of 6 rows are missing: 'a' at 2024-01-01T05:00, 'b' at 2024-01-01T07:00"),
        ({"unique_id": ["a", "b", "a", "b", "a", "a"], "ds": [*_future()["ds"][:5], HOURS[4]]}, 2,
         "got several of 'a' at 2024-01-01T04:00"),
        ({"x": [41.0, np.nan, 31.0, 60.0, None, None]}, 2,
         "no finite number in column 'x' for 'b' at 2024-01-01T05:00"),
        ({"x2": [1] * 6, "x": [1.0, 2, 3, 4, np.inf, 6]}, 2, None),
        ({"ds": [*_future()["ds"][:5], dt.datetime(2024, 1, 1, 4, 30)],
          "unique_id": ["a", "b", "a", "b", "a", "a"]}, 2, "are not on the grid of freq='h'"),
    ],
)  # fmt: skip
def test_a_future_that_does_not_fit_is_said(library, panel, changes, h, text):
    df = table(library, _future(**changes))
    if text is None:
        assert read_future(df, panel, h, WITH_X).shape == (2, 2, 2)
        return
    with pytest.raises(ValueError, match=text):
        read_future(df, panel, h, WITH_X)


@each_library
def test_a_future_without_columns_is_said(library, panel):
    rows = _future()
    del rows["z"]
    with pytest.raises(ValueError, match=r"futr_df has no column 'z' \(futr_exog\)"):
        read_future(table(library, rows), panel, 2, WITH_X)
    with pytest.raises(ValueError, match="name them in fit"):
        read_future(table(library, rows), panel, 2, Columns())


def test_a_future_that_is_none_is_said(panel):
    assert read_future(None, panel, 2, Columns()) is None
    with pytest.raises(ValueError, match="expects the columns 'x', 'z' for the 2 stamps after"):
        read_future(None, panel, 2, WITH_X)
    with pytest.raises(TypeError, match="futr_df expects a data frame, got ndarray"):
        read_future(np.zeros((2, 2)), panel, 2, WITH_X)


def test_arrays_have_no_columns():
    check_no_columns(Columns())
    with pytest.raises(TypeError, match="the columns 'x', 'z' expect series in a data frame"):
        check_no_columns(WITH_X)
    with pytest.raises(TypeError, match="static_df expect"):
        check_no_columns(Columns(), object())


# -- rows that come later --------------------------------------------------------------------------


@each_library
def test_later_rows_are_read_by_what_is_known(library):
    rows = {"unique_id": ["a"] * 3, "ds": [dt.datetime(2024, n, 1) for n in (1, 2, 3)]}
    known = read_panel(table(library, {**rows, "y": [1.0, 2, 3]}), Columns())
    one = table(library, {"unique_id": ["a"], "ds": [dt.datetime(2024, 4, 1)], "y": [np.nan]})
    longer = known.append(read_panel(one, Columns(), known=known))
    np.testing.assert_array_equal(longer.y, [1, 2, 3, np.nan])
    new = table(library, {"unique_id": ["b"], "ds": [dt.datetime(2024, 4, 1)], "y": [np.nan]})
    with pytest.raises(ValueError, match="series 'b' has no value"):
        read_panel(new, Columns(), known=known)


def test_reading_tables_imports_no_library_of_them():
    code = (
        "import sys; import fastlstm.forecasting.frame; "
        "print([m for m in ('pandas', 'polars', 'pyarrow') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
