"""Scores of points that are not as expected, planted and none."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from fastlstm.forecasting import MQRNN, Naive, Ridge, SeasonalNaive
from fastlstm.forecasting.anomalies import surprise
from fastlstm.forecasting.calibration import QUANTILES

SEASON = 12


def _series(rng, n=400):
    return 20 + 5 * np.sin(2 * np.pi * np.arange(n) / SEASON) + 0.5 * rng.standard_normal(n)


def test_surprise_is_the_probability_of_both_tails():
    normal = NormalDist(3.0, 2.0)
    values = np.array([normal.inv_cdf(q) for q in QUANTILES])
    y = np.array([-9.0, -1.0, 2.9, 3.0, 4.0, 7.5, 13.0])
    exact = [-np.log10(2 * min(normal.cdf(v), 1 - normal.cdf(v))) for v in y]
    np.testing.assert_allclose(surprise(y, np.tile(values, (7, 1)), QUANTILES), exact, rtol=1e-6)


def test_surprise_has_bounds_where_there_is_nothing_to_measure_by():
    same = np.full((4, 3), 5.0)
    made = surprise([5.0, 6.0, -1e30, np.nan], same, [0.1, 0.5, 0.9])
    assert made[0] < 1.3 < 100 < made[1] < 310
    assert np.isfinite(made[2])
    assert np.isnan(made[3])


@pytest.mark.parametrize(
    ("kind", "h"), [(Ridge, 1), (Ridge, 5), (SeasonalNaive, 1), (SeasonalNaive, 5), (MQRNN, 5)]
)
def test_what_was_planted_is_found(kind, h, rng):
    """By a copy that has not seen it, and by a forecaster that learned from other series."""
    y = _series(rng)
    y[350] += 8.0
    y[380] -= 8.0
    options = {"verbose": 0, "freq": "MS"}
    if kind is MQRNN:
        options |= {"units": 8, "max_steps": 60, "learning_rate": 1e-2, "input_size": 24}
        options |= {"conformal": False, "batch_size": 64}
    model, learned = kind(5, **options).fit(y), kind(5, **options).fit(_series(rng))
    for found in (model.anomaly_scores(last=98, h=h), learned.anomaly_scores(y, last=98, h=h)):
        scores = found["anomaly"]
        assert scores.shape == (98,)
        np.testing.assert_array_equal(found["y"], y[-98:])
        # A season later what was planted is expected again, and misses.
        assert set(np.argsort(scores)[::-1][:4]) >= {350 - 302, 380 - 302}
        assert scores[[48, 78]].min() > 2
        low, high = found[f"{kind.__name__}-lo-99"], found[f"{kind.__name__}-hi-99"]
        outside = (found["y"] < low) | (found["y"] > high)
        assert outside[[48, 78]].all()
        # The score is of both sides, the interval of each.
        assert (outside != (scores > 2)).sum() <= 6
        assert (scores > 3).sum() <= 8


@pytest.mark.parametrize(("kind", "h"), [(SeasonalNaive, 1), (SeasonalNaive, 5), (Ridge, 5)])
def test_what_surprised_does_not_spoil_what_is_expected_next(kind, h, rng):
    """A season later it would be expected again, unless it is left out."""
    y = _series(rng)
    y[350:354] += 8.0
    options = {"verbose": 0, "freq": "MS"}
    model = kind(5, **options).fit(_series(rng))
    taken = model.anomaly_scores(y, last=98, h=h)
    left = model.anomaly_scores(y, last=98, h=h, leave_out=4)
    fault, later = slice(48, 52), slice(60, 64)
    assert left["anomaly"][fault].min() > 4
    assert taken["anomaly"][later].max() > 1.5 * left["anomaly"][later].max()
    # Up to the fault nothing was left out. (A regression learns how wide it is from what there is.)
    np.testing.assert_allclose(taken[kind.__name__][:48], left[kind.__name__][:48], rtol=1e-9)
    alike = 1e-9 if kind is SeasonalNaive else 0.1
    np.testing.assert_allclose(taken["anomaly"][:48], left["anomaly"][:48], alike, alike)
    np.testing.assert_array_equal(taken["y"], left["y"])
    with pytest.raises(ValueError, match="leave_out"):
        model.anomaly_scores(leave_out=-1)


def test_a_level_that_stays_is_learned(rng):
    y = _series(rng, 200)
    y[150:] += 30.0
    found = Naive(4).fit(y).anomaly_scores(last=80, h=1, leave_out=3)["anomaly"]
    assert (found[30:34] > 3).all()
    assert (found[36:] > 3).mean() < 0.1
    assert (found[30:35] > 3).sum() == 5


def test_distances_are_measured_by_both_sides():
    """A tail that is told by nothing does not make all beyond it infinitely improbable."""
    quantiles, values = [0.025, 0.25, 0.5, 0.75, 0.975], [-8.0, -1.0, 0.0, 1.0, 1.001]
    made = surprise([-6.0, 6.0, 4.5005, -9.0, 18.0], np.tile(values, (5, 1)), quantiles)
    assert made[0] == made[1]
    assert made[2] == pytest.approx(-np.log10(0.05), abs=1e-6)
    exact = -np.log10(2 * NormalDist().cdf(-NormalDist().inv_cdf(0.975) * 4 * 1.0))
    assert made[4] == pytest.approx(exact, rel=1e-2)


def test_tables_series_and_gaps(rng):
    frames = pytest.importorskip("pandas")
    stamps = frames.date_range("2024-01-01", periods=100, freq="D")
    parts = [
        frames.DataFrame({"unique_id": name, "ds": stamps[:n], "y": _series(rng, n)})
        for name, n in (("a", 100), ("b", 90))
    ]
    table = frames.concat(parts, ignore_index=True)
    table.loc[97, "y"] = np.nan
    found = Naive(4).fit(table).anomaly_scores(last=10)
    assert list(found) == ["unique_id", "ds", "y", "Naive", "Naive-lo-99", "Naive-hi-99", "anomaly"]
    assert len(found) == 20
    assert found["ds"].iloc[9] == stamps[99]
    assert found["ds"].iloc[10] == stamps[80]
    assert found["anomaly"].isna().tolist() == [n == 7 for n in range(20)]


def test_points_that_do_not_fit(rng):
    model = Naive(4).fit(_series(rng, 50))
    assert len(model.anomaly_scores()["anomaly"]) == 12
    with pytest.raises(ValueError, match="fewer points than there are"):
        model.anomaly_scores(last=50)
