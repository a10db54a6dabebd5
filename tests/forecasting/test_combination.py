"""Means of forecasters, and when the choice makes one."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.forecasting import (
    MQRNN,
    Combination,
    Drift,
    Forecaster,
    Naive,
    Ridge,
    comparison,
    load,
)
from fastlstm.forecasting.combination import mean_of

H = 4
SMALL = {"units": 4, "max_steps": 3, "input_size": 12, "verbose": 0}


@pytest.fixture
def series(rng):
    t = np.arange(100)
    return {name: 10 + n + np.sin(t / 3) + rng.standard_normal(100) for n, name in enumerate("ab")}


def _models():
    return [MQRNN(H, level=[80], **SMALL), Ridge(H, input_size=12)]


def test_it_is_the_mean_of_what_each_says(series):
    mixed = Combination(H, level=[80], models=_models(), alias="both").fit(series).predict()
    each = [model.set_params(level=[80], conformal=False).fit(series).predict()
            if isinstance(model, MQRNN) else model.set_params(level=[80]).fit(series).predict()
            for model in _models()]  # fmt: skip
    for end in ("", "-lo-80", "-hi-80"):
        pairs = zip(each, ("MQRNN", "Ridge"), strict=True)
        expected = np.mean([made[name + end] for made, name in pairs], axis=0)
        np.testing.assert_array_equal(mixed["both" + end], expected)


def test_the_models_given_are_not_fitted_and_errors_name_them(series):
    models = _models()
    Combination(H, models=models).fit(series)
    assert not any(hasattr(model, "panel_") or hasattr(model, "models_") for model in models)
    with pytest.raises(TypeError, match="models expects forecasters, at least one"):
        Combination(H).fit(series)
    with pytest.raises(ValueError, match="models expect h=4 all of them, got Naive"):
        Combination(H, models=[Naive(3)]).fit(series)


def test_it_goes_on_and_is_kept(series, tmp_path):
    model = Combination(H, models=_models()).fit(series)
    again = load_saved(model, tmp_path)
    np.testing.assert_array_equal(again.predict(), model.predict())
    made = model.step([10.0, 11.0])
    again.update({"a": [10.0], "b": [11.0]})
    np.testing.assert_array_equal(made, again.predict())
    before = model.predict()
    model.update({"a": [10.0], "b": [11.0]}, steps=2)
    assert (model.predict() != before).any()


def load_saved(model, folder):
    model.save(folder / "model.safetensors")
    return load(folder / "model.safetensors")


def test_the_choice_adds_the_mean_of_those_that_are_nearly_as_good(rng, monkeypatch):
    made = [10 + np.sin(2 * np.pi * np.arange(240) / 24) + 0.3 * rng.standard_normal(240)]
    model = Forecaster(H, freq="h", verbose=0).fit(made)
    rows = [row for row in model.selection_ if not row["model"].startswith("mean of ")]
    errors = {row["model"]: row["mase"] for row in rows}
    monkeypatch.setattr(comparison, "_NEARLY", errors["Ridge"] / min(errors.values()) - 0.99)
    model.fit(made)
    (mixed,) = [row["model"] for row in model.selection_ if row["model"].startswith("mean of ")]
    near = {name for name, error in errors.items() if error <= 1.01 * errors["Ridge"]}
    assert set(mixed.removeprefix("mean of ").split(", ")) == near - {
        "Naive",
        "SeasonalNaive",
        "Drift",
    }
    assert not hasattr(model, "_forecasts")
    given = Forecaster(H, freq="h", verbose=0, models=["Ridge", "MQRNN"]).fit(made)
    assert not any(row["model"].startswith("mean of ") for row in given.selection_)


def test_quantiles_of_a_mean_are_in_order(rng):
    from fastlstm.forecasting.forecast import Forecast

    given = [Forecast(rng.random((2, 3)), rng.random((2, 3, 5))) for _ in range(3)]
    made = mean_of(given)
    assert (np.diff(made.bands, axis=2) >= 0).all()
    np.testing.assert_allclose(made.point, sum(one.point for one in given) / 3)


def test_of_rules(series):
    made = Combination(2, models=[Naive(2), Drift(2)]).fit([1.0, 2.0, 3.0]).predict(level=[80])
    assert (made["Combination-lo-80"] <= made["Combination-hi-80"]).all()
