"""The forecaster that chooses: by what, of which, and what it says about it."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.forecasting import MQRNN, Drift, Forecaster, Naive, SeasonalNaive
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.panel import Panel

H, SEASON = 6, 12
SMALL = {"units": 8, "max_steps": 4, "input_size": 24}


def _series(rng, count=3, n=120):
    t = np.arange(n)
    wave = 20 + 5 * np.sin(2 * np.pi * t / SEASON)
    return [wave[: n - 5 * s] + 10 * s + rng.standard_normal(n - 5 * s) for s in range(count)]


class _Says(MQRNN):
    """A network that forecasts what it is told to, off by an error of its own."""

    def __init__(self, h, freq=None, input_size=None, level=None, seed=0, verbose=1, *, off=0.0):
        super().__init__(h, freq, input_size, level, seed, verbose)
        self.off = off

    def _fit(self, panel):
        self.input_size_ = 24

    def _forecast(self, panel, h, future, quantiles):
        point = np.stack(
            [20 + 10 * s + 5 * np.sin(2 * np.pi * (n + np.arange(h)) / SEASON) + self.off
             for s, n in zip(panel.ids, _ends(panel), strict=True)]
        )  # fmt: skip
        return Forecast(point, point[..., np.newaxis] + 0.2 * (quantiles - 0.5))


def _ends(panel):
    """Numbers of the steps that come, where stamps are whole numbers."""
    return panel.starts.astype(np.int64) + panel.lengths


class _Other(_Says):
    pass


def test_the_best_is_chosen_and_calibrated(rng, capsys):
    model = Forecaster(H, freq="MS", models=[Naive(H), _Other(H, off=9.0), _Says(H)], level=[80])
    series = _series(rng)
    made = model.fit(series).predict()
    printed = capsys.readouterr().err
    assert printed.startswith("_Says is chosen: mean absolute scaled error of 6 steps")
    assert isinstance(model.chosen_, _Says)
    names = [row["model"] for row in model.selection_]
    assert names[0] == "_Says"
    assert set(names) == {"_Says", "_Other", "Naive", "SeasonalNaive", "Ridge"}
    errors = [row["mase"] for row in model.selection_]
    assert errors == sorted(errors)
    # Its intervals were a tenth of what they must be.
    assert 60 < model.selection_[0]["cover 80"] < 95
    wide = made["Forecaster-hi-80"] - made["Forecaster-lo-80"]
    assert 1.5 < wide.mean() < 4.0
    assert made["Forecaster"].shape == (3, H)


def test_of_models_that_are_alike_the_simplest_is_chosen(rng):
    """A network that is no better than ridge regression, or hardly, is not taken."""
    series = _series(rng)
    models = ["Ridge", _Says(H, off=0.0)]
    rule = Forecaster(H, freq="MS", verbose=0, models=["Ridge"]).fit(series)
    best = rule.selection_[0]["mase"]
    least, most = 0.0, 2.0
    for _ in range(20):
        off = (least + most) / 2
        model = Forecaster(H, freq="MS", verbose=0, models=["Ridge", _Says(H, off=off)])
        errors = {row["model"]: row["mase"] for row in model.fit(series).selection_}
        if 0.992 * best < errors["_Says"] < best:
            break
        least, most = (off, most) if errors["_Says"] < best else (least, off)
    assert errors["_Says"] < best
    assert model.chosen_.name == "Ridge"
    assert "_Says was better by less than 1 %, and is less simple" in model.explanation()
    first = Forecaster(H, freq="MS", verbose=0, models=models).fit(series)
    assert first.chosen_.name == "_Says"


def test_a_network_alone_is_compared_with_rules_all_the_same(rng, capsys):
    model = Forecaster(H, freq="MS", models=[_Says(H, off=4.0)]).fit(_series(rng))
    printed = capsys.readouterr().err
    assert model.chosen_.name == "_Says"
    for rule in ("SeasonalNaive", "Ridge"):
        assert f"{rule} was better, but is not among the models." in printed


def test_names_all_and_what_is_not_one(rng):
    series = _series(rng, 1, 60)
    model = Forecaster(H, verbose=0, models=["Drift", "Naive"]).fit(series)
    assert {type(model.chosen_)} <= {Drift, Naive}
    everything = Forecaster(H, models="all")._candidates(Panel.of_arrays(series))
    names = [one.name for one in everything]
    assert {"MQRNN", "DeepAR", "SegRNN", "Ridge"} <= set(names)
    assert names[0] == "Naive"


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (["ridge"], ValueError, "names among MQRNN, .*got 'ridge'; did you mean 'Ridge'"),
        (["seasonalnaiv"], ValueError, "did you mean 'SeasonalNaive'"),
        (["ARIMA"], ValueError, "names among MQRNN, .*got 'ARIMA'$"),
        ([3], TypeError, r"of h=6 steps or their names, such as \['Ridge', MQRNN\(6\)\]; got 3"),
        ("MQRNN", TypeError, "in a list, or \"all\" of them; got 'MQRNN': put it in a list"),
        (Naive(H), TypeError, "got Naive alone: put it in a list"),
        (Naive, TypeError, "got Naive alone: put it in a list"),
        ({"Naive": 1}, TypeError, 'in a list, or "all" of them; got {'),
        ([], ValueError, "at least one; got none. Leave models out"),
        ((), ValueError, "at least one; got none"),
        (["Ridge", MQRNN], TypeError, r"got the class MQRNN: write MQRNN\(6\)"),
        (
            ["Ridge", MQRNN(12)],
            ValueError,
            r"got MQRNN of h=12: write MQRNN\(h=6, ...\), or Forecaster\(h=12, ...\)",
        ),
        (["Naive", Drift(H), "Naive"], ValueError, "name of its own, but 'Naive' is there 2 times"),
        (
            [MQRNN(H), MQRNN(H, units=8)],
            ValueError,
            "'MQRNN' is there 2 times: leave out .* by alias, such as .*alias='my MQRNN'",
        ),
    ],
)
def test_models_that_are_not_what_they_should_be(wrong, error, words, rng):
    with pytest.raises(error, match=words):
        Forecaster(H, models=wrong, verbose=0).fit(_series(rng, 1, 60))


def test_the_same_kind_twice_by_names_of_their_own(rng):
    two = [MQRNN(H, **SMALL, alias="one"), MQRNN(H, **SMALL, alias="other")]
    model = Forecaster(H, models=two, verbose=0, freq="MS").fit(_series(rng))
    assert {row["model"] for row in model.selection_} >= {"one", "other"}


def test_series_too_short_to_compare_get_a_rule(rng, capsys):
    model = Forecaster(H, freq="MS").fit(np.arange(5.0))
    assert isinstance(model.chosen_, Naive)
    assert "Naive is taken unseen: the longest series has 5 points" in capsys.readouterr().err
    model = Forecaster(14, freq="MS", verbose=0).fit(np.arange(13.0))
    assert isinstance(model.chosen_, SeasonalNaive)
    assert np.isnan(model.selection_[0]["mase"])
    assert model.predict(level=[80])["Forecaster"].shape == (14,)


def test_what_could_not_learn_says_why(rng):
    series = [rng.standard_normal(10), rng.standard_normal(3)]
    model = Forecaster(H, verbose=0, models=["Naive", MQRNN(H)]).fit(series)
    [row] = [row for row in model.selection_ if row["model"] == "MQRNN"]
    assert np.isnan(row["mase"])
    assert "needs a series of at least" in row["why"]


def test_constant_series_and_gaps_have_errors_of_their_own(rng):
    series = [*_series(rng, 2, 80), np.full(80, 7.0), np.zeros(40), np.tile([1.0, 3.0], 30)]
    series[0][30:40] = np.nan
    series[1][-3:] = np.nan
    model = Forecaster(H, verbose=0, models=["Naive", "SeasonalNaive", "Ridge"]).fit(series)
    assert np.isfinite([row["mase"] for row in model.selection_]).all()
    assert np.isfinite(model.predict()).all()


def test_the_choice_sees_only_what_was_there(rng):
    """Of a backtest, what comes after the cutoff changes nothing."""
    series = _series(rng)
    model = Forecaster(H, freq="MS", verbose=0, models=["Ridge", "Naive", _Says(H)]).fit(series)
    found = model.cross_validation(level=[80])
    changed = [one.copy() for one in series]
    for one in changed:
        one[-H:] = 1e6
    other = model.cross_validation(changed, level=[80])
    for name in ("Forecaster", "Forecaster-lo-80"):
        np.testing.assert_array_equal(found[name], other[name])


def test_networks_take_half_of_their_updates_to_be_compared(rng):
    steps = []

    class _Counts(MQRNN):
        def _steps_of(self, windows):
            steps.append(super()._steps_of(windows))
            return 1

    model = Forecaster(H, verbose=0, models=[_Counts(H, **SMALL)]).fit(_series(rng))
    assert steps == [2, 4]
    assert isinstance(model.chosen_, MQRNN)
