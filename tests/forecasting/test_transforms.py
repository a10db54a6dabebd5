"""Transforms of series come back exactly, and say which series they are not for."""

import numpy as np
import pytest

from fastlstm.forecasting.transforms import (
    Affine,
    Arcsinh,
    BoxCox,
    Difference,
    series_transform,
    tamed,
)

NAMES = ["standard", "robust", "minmax", "log1p", "boxcox", None]


@pytest.fixture
def series(rng):
    y = rng.lognormal(2.0, 0.8, 200)
    y[[3, 50]] = np.nan
    return y


@pytest.mark.parametrize("name", NAMES)
def test_back_again_is_where_it_began(name, series):
    made = series_transform(name, series)
    np.testing.assert_allclose(made.inverse(made.transform(series)), series, rtol=1e-12)
    # Elementwise, so of any shape, and beyond the values that it was fitted to.
    more = series[4:24].reshape(4, 5) * 3
    np.testing.assert_allclose(made.inverse(made.transform(more)), more, rtol=1e-12)
    assert np.array_equal(np.isnan(made.transform(series)), np.isnan(series))


@pytest.mark.parametrize("name", NAMES)
def test_all_of_them_rise(name, series):
    made = series_transform(name, series)
    values = np.sort(series[~np.isnan(series)])
    assert (np.diff(made.transform(values)) > 0).all()


def test_what_they_make(series):
    known = series[~np.isnan(series)]
    z = series_transform("standard", series).transform(known)
    assert (z.mean(), z.std()) == pytest.approx((0.0, 1.0), abs=1e-12)
    z = series_transform("robust", series).transform(known)
    assert np.median(z) == pytest.approx(0.0)
    assert np.diff(np.quantile(z, [0.25, 0.75])) == pytest.approx(1.3489795)
    z = series_transform("minmax", series).transform(known)
    assert (z.min(), z.max()) == (0.0, 1.0)
    np.testing.assert_allclose(
        series_transform("log1p", series).transform(known), np.log(1 + known)
    )
    np.testing.assert_array_equal(series_transform(None, series).transform(known), known)


@pytest.mark.parametrize("power", [-1.0, -0.5, 0.0, 0.05, 1.0, 2.0])
def test_box_and_cox_by_their_equation(power):
    y = np.array([0.3, 1.0, 7.0])
    wanted = np.log(y) if power == 0.0 else (y**power - 1) / power
    np.testing.assert_allclose(BoxCox(power).transform(y), wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("shape", "unit"), [(0.0, 1.0), (0.5, 1e4), (1.5, 1e-5)])
def test_the_power_is_the_most_likely_one(shape, unit, rng):
    stats = pytest.importorskip("scipy.stats")
    z = 6.0 + rng.normal(size=400)
    y = unit * (np.exp(z / 2) if shape == 0.0 else z ** (1 / shape))
    # In other units the likelihoods differ by the same for all powers.
    found = series_transform("boxcox", y).power
    assert found == pytest.approx(stats.boxcox_normmax(y / unit, method="mle"), abs=0.0251)


def test_what_no_value_becomes_goes_to_the_end_of_them():
    assert BoxCox(0.5).inverse([-2.5, -2.0]).tolist() == [0.0, 0.0]
    assert BoxCox(-0.5).inverse([2.5]).tolist() == [np.inf]


@pytest.mark.parametrize("name", ["standard", "robust", "minmax", "boxcox"])
def test_constant_series_come_back_too(name):
    made = series_transform(name, [3.1] * 10)
    np.testing.assert_allclose(made.inverse(made.transform([3.1, 4.0])), [3.1, 4.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "y", "words"),
    [
        ("boxcox", [1.0, 0.0, 2.0], "boxcox expects positive values, but 1 are not, such as 0;"),
        ("boxcox", [1.0, -4.0, -2.0], "2 are not, such as -4; take 'log1p'"),
        ("log1p", [1.0, -1.0], "greater than -1, but 1 are not, such as -1; leave it out"),
        ("log", [1.0], "one of 'standard', .*got 'log'"),
        ("standard", [np.nan], "at least one value"),
        ("standard", [[1.0]], r"shape \(time,\), got \(1, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(name, y, words):
    with pytest.raises(ValueError, match=words):
        series_transform(name, y)


def test_values_that_come_later_are_looked_at_too():
    with pytest.raises(ValueError, match="positive"):
        series_transform("boxcox", [1.0, 2.0, 5.0]).transform([0.0])


@pytest.mark.parametrize("season", [1, 7, 39])
def test_changes_go_on_from_the_end_of_the_series(season, rng):
    y = np.cumsum(rng.normal(size=100))
    made = Difference.of(y[:40], season)
    changes = made.transform(y)
    assert np.isnan(changes[:season]).all()
    np.testing.assert_array_equal(changes[season:], y[season:] - y[:-season])
    np.testing.assert_allclose(made.inverse(changes[40:]), y[40:], rtol=0, atol=1e-12)
    whole = made.inverse(changes[season:], after=y[:season])
    np.testing.assert_allclose(whole, y[season:], rtol=0, atol=1e-12)


def test_a_value_missing_at_the_end_is_that_of_the_season_before():
    made = Difference.of([1.0, 2.0, 3.0, np.nan], 2)
    assert made.inverse([1.0, 1.0, 1.0]).tolist() == [4.0, 3.0, 5.0]


def test_differences_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="difference=3 expects a series of more than 3 values"):
        Difference.of([1.0, 2.0, 3.0], 3)
    with pytest.raises(ValueError, match="whole number"):
        Difference.of([1.0, 2.0, 3.0], 0)
    with pytest.raises(ValueError, match="2 values before them"):
        Difference.of([1.0, 2.0, 3.0], 2).inverse([1.0], after=[1.0])


def test_heavy_tails_are_told_and_brought_down(rng):
    n = 20_000
    light = [rng.normal(3, 2, n), rng.uniform(0, 9, n), rng.standard_t(10, n)]
    heavy = [rng.standard_t(2, n), rng.lognormal(1, 1.5, n)]
    for y, kind in [(y, Affine) for y in light] + [(y, Arcsinh) for y in heavy]:
        y[[3, 50]] = np.nan
        made = tamed(y)
        assert isinstance(made, kind)
        np.testing.assert_allclose(made.inverse(made.transform(y)), y, rtol=1e-9, atol=1e-9)
    z = tamed(heavy[0]).transform(heavy[0])
    assert np.nanmax(np.abs(z)) < 10 < np.nanmax(np.abs(heavy[0]))
    assert np.nanmedian(z) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("y", "unit"), [([5.0, 5.0, 5.0], 1.0), ([np.nan], 1.0), ([0.0] * 9 + [8.0], 2.4)]
)
def test_without_a_usual_distance_it_is_the_spread(y, unit):
    made = tamed(y)
    assert isinstance(made, Affine)
    assert (made.shift, made.scale) == pytest.approx((0.0, unit))
