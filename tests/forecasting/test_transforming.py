"""Transforms and scalers by name: exactly back, and networks that use them."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.forecasting import MQRNN, DeepAR, SegRNN
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.transforming import SERIES_SCALERS, TRANSFORMS, Transforms

H, SEASON = 6, 12
SMALL = {"units": 8, "max_steps": 4, "input_size": 24, "season_length": SEASON, "verbose": 0}


def _panel(rng, h=0):
    lengths = (60 + h, 40 + h, 10 + h)
    return [np.exp(rng.standard_normal(n)) + 0.01 for n in lengths]


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("h", [5, 30])
def test_what_goes_in_comes_back(name, h, rng):
    """The values that follow, transformed as what they are, are themselves after the way back."""
    longer = _panel(rng, h)[:2]
    whole = Panel.of_arrays(longer)
    panel = whole.until(whole.lengths - h)
    made = Transforms.of(name, panel, SEASON)
    seen = made.transform(whole)
    later = np.stack([seen.series(s)[-h:] for s in range(2)])
    wanted = np.stack([y[-h:] for y in longer])
    paths = made.paths_back(np.repeat(later[:, np.newaxis], 3, axis=1), panel)
    np.testing.assert_allclose(paths, np.repeat(wanted[:, np.newaxis], 3, axis=1), rtol=1e-9)
    quantiles = later[..., np.newaxis] + np.array([-0.1, 0.0, 0.2])
    back = made.quantiles_back(quantiles, panel, 1)
    np.testing.assert_allclose(back[..., 1], wanted, rtol=1e-9)
    assert (np.diff(back, axis=2) > 0).all()
    if name == "difference":
        far = h > SEASON
        wide = np.sqrt(1 + np.arange(h) // SEASON)
        np.testing.assert_allclose((back[..., 2] - back[..., 1])[0], 0.2 * wide)
        assert far == (wide.max() > 1)


def test_series_that_are_new_or_short_have_transforms_of_their_own(rng):
    series = _panel(rng)
    made = Transforms.of("boxcox", Panel.of_arrays(series[:1]), SEASON)
    other = Panel.of_arrays({"x": series[1] ** 3, 0: series[0]})
    seen = made.transform(other)
    values = np.stack([seen.series(s)[-H:] for s in range(2)])[..., np.newaxis]
    back = made.quantiles_back(values, other, 0)
    np.testing.assert_allclose(back[0, :, 0], series[1][-H:] ** 3, rtol=1e-9)
    short = Panel.of_arrays(series)
    seen = Transforms.of("difference", short, SEASON).transform(short)
    assert np.isnan(seen.series(2)).all()
    with pytest.raises(ValueError, match=r"more than one season, 12 points.* longest has 10"):
        Transforms.of("difference", short.take([2]), SEASON)


@pytest.mark.parametrize("kind", [MQRNN, SegRNN, DeepAR])
@pytest.mark.parametrize("name", TRANSFORMS[1:])
def test_networks_forecast_in_units_of_the_series(kind, name, rng):
    series = [100 * np.exp(0.1 * rng.standard_normal(n)) for n in (70, 60)]
    options = {**SMALL, "transform": name, "level": [80], "conformal": False}
    made = kind(H, **options).fit(series).predict(h=2 * H)
    point = made[kind.__name__]
    assert (point > 10).all()
    assert (point < 1000).all()
    assert all((np.abs(values - point) < 500).all() for values in made.values())
    assert (made[f"{kind.__name__}-lo-80"] <= made[f"{kind.__name__}-hi-80"]).all()


@pytest.mark.parametrize("kind", [MQRNN, SegRNN])
@pytest.mark.parametrize("scaler", SERIES_SCALERS)
def test_scalers_of_whole_series(kind, scaler, rng):
    series = {"a": 1000 + rng.standard_normal(70), "b": rng.standard_normal(60)}
    model = kind(H, **SMALL, scaler=scaler, **({"log": False} if kind is MQRNN else {}))
    made = model.fit(series).predict()
    assert (np.abs(made[0] - 1000) < 20).all()
    assert (np.abs(made[1]) < 20).all()
    affine = model._series_scalers.fitted["a"]
    shift, scale = {
        "series_standard": (series["a"].mean(), series["a"].std()),
        "series_robust": (np.median(series["a"]), affine.scale),
        "series_minmax": (series["a"].min(), np.ptp(series["a"])),
    }[scaler]
    assert (affine.shift, affine.scale) == pytest.approx((shift, scale))
    new = model.predict({"c": 5e5 + rng.standard_normal(50)})
    assert (np.abs(new - 5e5) < 20).all()


def test_what_does_not_fit_is_an_error_that_names_the_series(rng):
    series = {"good": np.arange(1.0, 60), "bad": np.arange(-3.0, 60)}
    for name, words in (("log1p", "values greater than -1"), ("boxcox", "positive values")):
        with pytest.raises(ValueError, match=f"series 'bad': {name} expects {words}"):
            MQRNN(H, **SMALL, transform=name).fit(series)
    with pytest.raises(ValueError, match=r"transform expects one of None, 'log1p'.*got 'log'"):
        SegRNN(H, **SMALL, transform="log").fit(series)
    with pytest.raises(ValueError, match=r"log=True is a transform too"):
        MQRNN(H, **SMALL, transform="log1p", log=True).fit(series)
    with pytest.raises(ValueError, match=r"one of counts.*leave out transform='log1p'"):
        DeepAR(H, **SMALL, distribution="NegativeBinomial", transform="log1p").fit(series)
    with pytest.raises(ValueError, match="of whole series, one of 'series_standard'"):
        MQRNN(H, **SMALL, scaler="minmax").fit(series)
