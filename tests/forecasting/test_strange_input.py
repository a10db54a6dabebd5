"""What users may try first: it works, or an error says what to do instead."""

from __future__ import annotations

import decimal

import numpy as np
import pytest

from fastlstm.forecasting import MQRNN, Naive, SeasonalNaive, load
from tests.forecasting.small import make
from tests.forecasting.tables import table

N = 30


def _stamps(n=N):
    return np.datetime64("2024-01-01", "us") + np.arange(n) * np.timedelta64(1, "D")


def _table(**columns):
    ids, stamps = ["a"] * N + ["b"] * N, np.tile(_stamps(), 2)
    return table("pandas", {"unique_id": ids, "ds": stamps, "y": np.arange(2.0 * N), **columns})


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


def test_a_series_of_pandas_with_stamps_is_a_table(pandas):
    series = pandas.Series(np.arange(float(N)), index=pandas.DatetimeIndex(_stamps()), name="load")
    model = SeasonalNaive(3, season_length=7, verbose=0).fit(series)
    made = model.predict()
    assert list(made.columns) == ["ds", "SeasonalNaive"]
    assert made["ds"].tolist() == list(pandas.date_range("2024-01-31", periods=3))
    assert made["SeasonalNaive"].tolist() == [23.0, 24.0, 25.0]
    assert model.predict(series[:20])["SeasonalNaive"].tolist() == [13.0, 14.0, 15.0]
    cv = Naive(2, verbose=0).cross_validation(series)
    assert cv["y"].tolist() == [28.0, 29.0]
    more = pandas.Series([7.0], index=pandas.DatetimeIndex(["2024-01-31"]))
    assert model.update(more).panel_.y[-1] == 7
    zoned = series.tz_localize("Europe/Paris")
    assert str(Naive(2, verbose=0).fit(zoned).predict()["ds"].dt.tz) == "Europe/Paris"
    assert Naive(2, verbose=0).fit(series.reset_index(drop=True)).predict().tolist() == [29.0, 29.0]


def test_stamps_that_would_be_lost_are_errors(pandas):
    stamps = pandas.DatetimeIndex(_stamps())
    series = pandas.Series(np.arange(float(N)), index=stamps)
    for several in ({"a": series, "b": series}, [series, series]):
        with pytest.raises(TypeError, match=r"has stamps as its index.*pandas.concat\(by_ids"):
            Naive(2).fit(several)
    long = pandas.concat({"a": series, "b": series}, names=["unique_id", "ds"])
    assert len(Naive(2, verbose=0).fit(long.rename("y").reset_index()).predict()) == 4
    with pytest.raises(TypeError, match=r"got periods; series.to_timestamp\(\) makes stamps"):
        Naive(2).fit(series.to_period("D"))
    df = _table()
    df["ds"] = df["ds"].dt.to_period("D")
    with pytest.raises(TypeError, match=r"got periods; column.dt.to_timestamp\(\) makes stamps"):
        Naive(2).fit(df)
    df["ds"] = df["ds"].dt.to_timestamp()
    assert len(Naive(2, verbose=0).fit(df).predict()) == 4


def test_decimals_are_numbers(pandas):
    df = _table()
    known = Naive(2, verbose=0).fit(df).predict()
    df["y"] = [decimal.Decimal(str(value)) for value in df["y"]]
    assert Naive(2, verbose=0).fit(df).predict().equals(known)
    df.loc[3, "y"] = None
    assert np.isnan(Naive(2, verbose=0).fit(df).panel_.y[3])


def test_the_name_of_one_column_is_no_list_of_names(pandas):
    df = _table(price=np.arange(2.0 * N))
    for argument in ("futr_exog", "hist_exog", "static_exog"):
        for call in (Naive(2).fit, Naive(2).cross_validation):
            with pytest.raises(TypeError, match=rf"{argument} expects a list.*\['price'\]"):
                call(df, **{argument: "price"})


def test_static_columns_have_one_row_for_each_id(pandas):
    df = _table(size=np.repeat([1.0, 2.0], N), grows=np.arange(2.0 * N))
    with pytest.raises(ValueError, match=r"got None. .*static_df=df\[.*drop_duplicates") as got:
        Naive(2).fit(df, static_exog=["size"])
    advice = str(got.value).rpartition("static_df=")[2]
    model = Naive(2, verbose=0)
    model.fit(df, static_exog=["size"], static_df=eval(advice, {"df": df}))
    assert model.panel_.static.tolist() == [[1.0], [2.0]]
    for name in ("size", "grows"):
        with pytest.raises(ValueError, match=r"several of 'a', 'b'; .* change with time are futr"):
            Naive(2).fit(df, static_exog=[name], static_df=df[["unique_id", name]])


@pytest.mark.parametrize("huge", [1e160, -1e300])
def test_values_whose_squares_overflow_are_errors(huge):
    y = np.arange(20.0)
    y[3] = huge
    with pytest.raises(ValueError, match=r"series 0 has .* squares of values beyond 1e"):
        Naive(2).fit(y)


def test_what_are_no_series_is_told(pandas, tmp_path):
    for wrong, match in (
        ("data.csv", "got 'data.csv'; a file is read first"),
        (tmp_path, "a file is read first"),
        (None, "got NoneType"),
        ({1.0, 2.0}, "got set"),
        ((float(n) for n in range(9)), "got generator"),
        (_table().groupby("unique_id"), "got DataFrameGroupBy"),
        (_table().to_dict("records"), r"rows of a table; pandas.DataFrame\(rows\)"),
        (_table().to_dict("list"), r"'unique_id' has dtype .*pandas.DataFrame\(columns\)"),
    ):
        with pytest.raises(TypeError, match=match):
            Naive(2).fit(wrong)


def test_static_columns_go_with_a_table(pandas):
    model = Naive(2, verbose=0).fit(_table())
    for call in (model.predict, model.cross_validation):
        with pytest.raises(ValueError, match="static_df has a row for each series in df, but df"):
            call(static_df=_table())


def test_one_level_is_shown_beside_scores():
    model = Naive(2, verbose=0).fit(np.arange(20.0))
    with pytest.raises(ValueError, match=r"level expects one coverage .* got \[80, 95\]"):
        model.anomaly_scores(level=[80, 95])
    with pytest.raises(ValueError, match=r"for 0\.99 write 99"):
        model.anomaly_scores(level=0.99)


def test_a_series_whose_values_end_early_is_not_called_short():
    y = np.where(np.arange(90) > 3, np.nan, 1.0)
    model = make(MQRNN)
    with pytest.raises(ValueError, match=r"values beyond its first 12 points .* later are missing"):
        model.fit(y)
    with pytest.raises(ValueError, match=r"at least 18 points to learn from, but .* has 17"):
        model.fit(np.arange(17.0))


def test_classes_of_ones_own_come_by_their_names(tmp_path):
    Naive(2, verbose=0).fit(np.arange(9.0)).save(tmp_path / "made")
    with pytest.raises(TypeError, match=r"mapping of names to classes, such as \{'Mine': Mine\}"):
        load(tmp_path / "made", custom_objects=[Naive])


def test_a_name_of_a_frequency_is_checked_first():
    with pytest.raises(ValueError, match="freq='hourly' means nothing here"):
        Naive(2, freq="hourly").fit(None)
