"""Baselines are forecasters: of arrays here, with intervals by their own errors."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fastlstm.forecasting.baselines import Drift, Naive, SeasonalNaive
from fastlstm.forecasting.holtwinters import HoltWinters
from fastlstm.forecasting.intervals import conformal
from fastlstm.forecasting.regression import Ridge
from fastlstm.forecasting.ridge import fit_ridge
from fastlstm.forecasting.rules import drift, naive, seasonal_naive
from fastlstm.forecasting.scores import coverage, mae

LEVEL = [80, 95]


def seasonal(rng, n, noise=0.3, season=12):
    return 10 + 3 * np.sin(np.arange(n) * 2 * np.pi / season) + noise * rng.normal(size=n)


@pytest.fixture
def series(rng):
    panel = {"a": seasonal(rng, 150), "b": seasonal(rng, 90) * 1e4, "c": seasonal(rng, 7)}
    panel["a"][20:24] = np.nan
    return panel


class SmallModel:
    """What HoltWinters asks of statsforecast: the season that it saw first, again and again."""

    def __init__(self, season_length):
        self.season = season_length

    def fit(self, y):
        if y.max() > 1e8:
            raise Exception("no model able to be fitted")  # as statsforecast does
        self.first = y[: self.season]
        return self

    def forward(self, y, h):
        return {"mean": self.first[(len(y) + np.arange(h)) % self.season]}


@pytest.fixture
def small_statsforecast(monkeypatch):
    models = SimpleNamespace(HoltWinters=SmallModel, Holt=SmallModel)
    monkeypatch.setitem(sys.modules, "statsforecast", SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "statsforecast.models", models)


MODELS = [
    Naive(4),
    Drift(4),
    SeasonalNaive(4, season_length=12),
    Ridge(4, input_size=12),
    Ridge(4, input_size=12, pooled=True, center="mean"),
    HoltWinters(4, season_length=12),
]


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.usefixtures("small_statsforecast")
def test_forecasts_have_intervals_around_them(model, series):
    made = model.fit(series).predict(h=9, level=LEVEL)
    name = model.name
    order = [f"{name}-lo-95", f"{name}-lo-80", name, f"{name}-hi-80", f"{name}-hi-95"]
    assert sorted(made) == sorted(order)
    stacked = np.stack([made[column] for column in order])
    assert stacked.shape == (5, 3, 9)
    assert np.isfinite(stacked).all()
    assert (np.diff(stacked, axis=0) >= 0).all()
    # Half widths, so as far up as down.
    np.testing.assert_allclose(stacked[2] - stacked[0], stacked[4] - stacked[2])
    # The point is the same without intervals, and more steps do not change the first.
    np.testing.assert_allclose(model.predict(), stacked[2, :, :4], rtol=1e-12)


def test_points_are_those_of_the_rules(series):
    for model, rule in [
        (Naive(5), lambda y: naive(y, 5)),
        (Drift(5), lambda y: drift(y, 5)),
        (SeasonalNaive(5, season_length=12), lambda y: seasonal_naive(y, 5, 12)),
    ]:
        wanted = [rule(y) for y in series.values()]
        np.testing.assert_array_equal(model.fit(series).predict(), wanted)


def test_seasons_are_those_of_the_frequency(rng):
    y = seasonal(rng, 30)
    np.testing.assert_array_equal(SeasonalNaive(3).fit(y).predict(), np.full(3, y[-1]))


def test_widths_are_ranked_errors_of_the_past(rng):
    y = np.cumsum(rng.normal(size=40))
    made = Naive(3, level=80).fit(y).predict()
    errors = np.full((39, 3), np.nan)
    for t in range(1, 40):
        for k in range(min(3, 40 - t)):
            errors[t - 1, k] = y[t + k] - y[t - 1]
    np.testing.assert_allclose(made["Naive-hi-80"] - y[-1], conformal(errors, 80)[0])


def test_a_step_that_the_past_was_too_short_for_is_as_uncertain_as_those_before():
    made = Naive(6, level=[80]).fit([1.0, 5.0, 2.0]).predict()
    np.testing.assert_array_equal(made["Naive-hi-80"], [6.0, 3.0, 6.0, 6.0, 6.0, 6.0])


def test_one_point_has_no_interval():
    made = Naive(2, level=[80]).fit([4.0]).predict()
    assert made["Naive"].tolist() == [4.0, 4.0]
    assert np.isnan(made["Naive-lo-80"]).all()


@pytest.mark.parametrize("model", [SeasonalNaive(6, season_length=12), Ridge(6, input_size=24)])
def test_intervals_hold_what_came(model, rng):
    panel = np.stack([seasonal(rng, 306, noise=1.0) for _ in range(60)])
    made = model.fit(panel[:, :300]).predict(level=LEVEL)
    for level in LEVEL:
        low, high = (made[f"{model.name}-{end}-{level}"] for end in ("lo", "hi"))
        assert coverage(panel[:, 300:], low, high) == pytest.approx(level / 100, abs=0.06)


def test_ridge_is_the_regression_of_the_scaled_series(rng):
    panel = [seasonal(rng, 80), 100 * seasonal(rng, 60)]
    made = Ridge(4, input_size=12, alpha=0.5).fit(panel).predict()
    pooled = Ridge(4, input_size=12, alpha=0.5, pooled=True).fit(panel).predict()
    units = [y.std() for y in panel]
    scaled = [y / unit for y, unit in zip(panel, units, strict=True)]
    both = fit_ridge(scaled, 12, 4, 0.5)
    for s, (y, unit) in enumerate(zip(scaled, units, strict=True)):
        alone = fit_ridge([y], 12, 4, 0.5)
        last = y[np.newaxis, -12:]
        np.testing.assert_allclose(made[s], unit * alone.predict(last)[0], rtol=1e-12)
        np.testing.assert_allclose(pooled[s], unit * both.predict(last)[0], rtol=1e-12)


def test_ridge_does_not_depend_on_units(rng):
    y = seasonal(rng, 80)
    made = Ridge(4, input_size=12, level=80).fit({"a": y, "b": 1e-7 * y}).predict()
    for column in made.values():
        np.testing.assert_allclose(column[1], 1e-7 * column[0], rtol=1e-9)


def test_ridge_is_better_than_the_season_where_there_is_noise(rng):
    panel = np.stack([seasonal(rng, 252, noise=1.0) for _ in range(20)])
    known, came = panel[:, :240], panel[:, 240:]
    ridge, rule = Ridge(12, input_size=36), SeasonalNaive(12, season_length=12)
    # At best, where the season were known, it would be the root of a half.
    assert mae(came, ridge.fit(known).predict()) < 0.9 * mae(came, rule.fit(known).predict())


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_ridge_of_a_few_points_is_the_last_one(n):
    y = np.arange(n) * 2.0
    np.testing.assert_allclose(Ridge(5).fit(y).predict(), np.full(5, y[-1]), rtol=1e-12)


def test_a_few_points_still_tell_how_wide_intervals_must_be():
    made = Ridge(4, level=[80]).fit([1.0, 5.0, 2.0]).predict()
    assert (made["Ridge-hi-80"] > 2.0).all()
    # Half of the points are held out, so that steps have errors of their own.
    made = Ridge(4, level=[80]).fit([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0]).predict()
    np.testing.assert_allclose(made["Ridge-hi-80"] - made["Ridge"], [1.0, 2.0, 3.0, 4.0])


def test_ridge_keeps_what_it_learned_when_the_series_goes_on(rng):
    y = seasonal(rng, 100)
    model = Ridge(3, input_size=12).fit(y[:80])
    before = model.regressions_[0]
    went_on = model.predict(y)
    assert model.regressions_[0] is before
    unit = y[:80].std()
    np.testing.assert_allclose(
        went_on, unit * before.predict(y[np.newaxis, -12:] / unit)[0], rtol=1e-12
    )


def test_a_series_that_is_new_gets_its_own_regression(rng):
    y, other = seasonal(rng, 100), seasonal(rng, 100) * 5
    made = Ridge(3, input_size=12).fit({"a": y}).predict({"z": other})
    np.testing.assert_array_equal(made, Ridge(3, input_size=12).fit({"z": other}).predict())


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.usefixtures("small_statsforecast")
def test_cross_validation_knows_nothing_of_what_comes(model, rng):
    y = seasonal(rng, 60)
    spoiled = y.copy()
    spoiled[-4:] = 1e6
    one = model.fit(y).cross_validation(level=LEVEL)
    other = model.fit(spoiled).cross_validation(level=LEVEL)
    for column in [model.name, f"{model.name}-lo-80", f"{model.name}-hi-95"]:
        np.testing.assert_array_equal(one[column], other[column])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Ridge(3, alpha=-1), "alpha expects a number"),
        (Ridge(3, center="median"), "'last' or 'mean'"),
        (SeasonalNaive(3, season_length=0), "season_length expects"),
        (Naive(0), "h expects"),
    ],
)
def test_arguments_are_checked_by_fit(model, words):
    with pytest.raises(ValueError, match=words):
        model.fit(np.arange(30.0))


# -- Holt-Winters ----------------------------------------------------------------------------------


def test_without_statsforecast_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    with pytest.raises(ImportError, match=r"statsforecast\]'; or take SeasonalNaive"):
        HoltWinters(3).fit(np.arange(30.0))


@pytest.mark.usefixtures("small_statsforecast")
def test_models_see_series_without_gaps_from_their_beginning(series):
    model = HoltWinters(4, season_length=12).fit(series)
    first = series["a"][:12]
    np.testing.assert_array_equal(model.predict()[0], first[(150 + np.arange(4)) % 12])
    assert model.models_["c"][1] is None
    np.testing.assert_array_equal(model.predict()[2], np.full(4, series["c"][-1]))


@pytest.mark.usefixtures("small_statsforecast")
def test_a_model_is_not_used_for_a_series_that_begins_elsewhere(rng):
    model = HoltWinters(4, season_length=12).fit(seasonal(rng, 60))
    later = model.panel_.since([5])
    made = model._forecast(later, 4, None, np.array([0.5])).point[0]
    np.testing.assert_array_equal(made, later.y[(55 + np.arange(4)) % 12])


@pytest.mark.usefixtures("small_statsforecast")
def test_a_series_that_statsforecast_cannot_fit_is_named():
    with pytest.raises(ValueError, match=r"to series 'x' of 40 points: no model able"):
        HoltWinters(3, season_length=4).fit({"x": np.arange(40.0) + 1e9})


def test_it_is_that_of_statsforecast(rng):
    models = pytest.importorskip("statsforecast.models")
    y = seasonal(rng, 120)
    made = HoltWinters(6, season_length=12).fit({"a": y, "b": y[:20]}).predict(level=LEVEL)
    for s, peer in enumerate((models.HoltWinters(season_length=12), models.Holt())):
        wanted = peer.fit(y if s == 0 else y[:20]).predict(6)["mean"]
        np.testing.assert_allclose(made["HoltWinters"][s], wanted)
    assert (made["HoltWinters-hi-95"] > made["HoltWinters-lo-95"]).all()
