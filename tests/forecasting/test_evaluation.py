"""Scores of cross-validated forecasts, from tables and arrays, against the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.forecasting import Naive, SeasonalNaive, evaluate


def _series(rng):
    return [10 + rng.standard_normal(60), 100 + 5 * rng.standard_normal(50)]


def test_scores_are_those_of_the_definitions(rng):
    series = _series(rng)
    cv = Naive(4).fit(series).cross_validation(n_windows=3, level=[50, 80])
    [row] = evaluate(cv, series, season=2)
    away = np.abs(cv["y"] - cv["Naive"]).reshape(2, -1)
    assert row["mae"] == pytest.approx(away.mean())
    units = [np.abs(y[2:] - y[:-2]).mean() for y in series]
    assert row["mase"] == pytest.approx((away.mean(axis=1) / units).mean())
    inside = (cv["Naive-lo-50"] <= cv["y"]) & (cv["y"] <= cv["Naive-hi-50"])
    assert row["cover 50"] == pytest.approx(100 * inside.mean())
    assert list(row) == ["model", "mae", "rmse", "smape", "mase", "cover 50", "cover 80"]


def test_models_side_by_side_in_tables(rng):
    frames = pytest.importorskip("pandas")
    stamps = frames.date_range("2024-01-01", periods=60, freq="D")
    table = frames.concat(
        [
            frames.DataFrame({"unique_id": name, "ds": stamps[: len(y)], "y": y})
            for name, y in zip("ab", _series(rng), strict=True)
        ]
    )
    one = SeasonalNaive(4).fit(table).cross_validation(n_windows=2, level=[80])
    other = Naive(4).fit(table).cross_validation(n_windows=2)
    both = one.merge(other.drop(columns="y"), on=["unique_id", "ds", "cutoff"])
    rows = evaluate(both, table, season=7)
    assert {row["model"] for row in rows} == {"SeasonalNaive", "Naive"}
    assert rows[0]["mae"] <= rows[1]["mae"]
    [alone] = evaluate(one, table, season=7)
    assert alone == next(row for row in rows if row["model"] == "SeasonalNaive")
    both.loc[both["unique_id"] == "b", "y"] = np.nan
    assert np.isfinite([row["mae"] for row in evaluate(both)]).all()


def test_what_does_not_fit(rng):
    y = _series(rng)[0]
    cv = Naive(4).fit(y).cross_validation()
    with pytest.raises(ValueError, match="expects the column 'z'"):
        evaluate(cv, target_col="z")
    with pytest.raises(ValueError, match="columns of forecasts"):
        evaluate({"y": y})
    with pytest.raises(TypeError, match="what cross_validation gives, got list"):
        evaluate([1.0, 2.0])
