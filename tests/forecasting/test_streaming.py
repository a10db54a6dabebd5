"""Values one by one: the forecasts of update and predict, and series that are kept."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from fastlstm.forecasting import (
    ESRNN,
    MQRNN,
    Combination,
    DeepAR,
    Drift,
    Forecaster,
    Naive,
    Ridge,
    SeasonalNaive,
    SegRNN,
    load,
)
from fastlstm.forecasting.sliding import _ROOM
from tests.forecasting.small import KINDS, SEASON, H, make, same, series
from tests.forecasting.tables import table


@pytest.mark.parametrize("level", [None, [80]])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_an_update_and_a_forecast(kind, level, rng):
    known = series(rng)
    known[1][-3] = np.nan
    model = make(kind, level=level).fit([y[:-7] for y in known])
    slow = copy.deepcopy(model)
    for t in range(-7, 0):
        values = [y[t] for y in known]
        made = model.step(values)
        same(made, slow.update([[value] for value in values]).predict())
    np.testing.assert_array_equal(model.panel_.y, slow.panel_.y)
    same(model.predict(), slow.predict())


@pytest.mark.parametrize("kind", [SeasonalNaive, Ridge, MQRNN, SegRNN])
def test_a_long_stream_of_one_series(kind, rng):
    """Longer than there is room for at first."""
    count = _ROOM + 40
    (known,) = series(rng, 1, 70 + count)
    model = make(kind).fit(known[:70])
    slow = copy.deepcopy(model)
    for t in range(70, 70 + count):
        made = model.step(float(known[t]))
        assert made.shape == (H,)
        if t % 50 == 0 or t > 65 + count:
            slow.update(known[len(slow.panel_.y) : t + 1])
            same(made, slow.predict())
    np.testing.assert_array_equal(model.panel_.y, known)


@pytest.mark.parametrize("kind", [MQRNN, SegRNN, DeepAR, Forecaster])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_stamps_and_known_columns_go_on(kind, zone, rng):
    pd = pytest.importorskip("pandas")
    n, futr = 90, kind is not Forecaster
    stamps = pd.date_range("2024-03-28", periods=n, freq="h", tz=zone)
    parts = [
        {"unique_id": [name] * n, "ds": stamps, "y": y[:n], "on": rng.random(n)}
        for name, y in zip("ab", series(rng, 2, n + 5), strict=True)
    ]
    df = pd.concat([table("pandas", part) for part in parts])
    row = df.groupby("unique_id").cumcount()
    model = make(kind, level=[80])
    model.fit(df[row < 60], futr_exog=["on"] if futr else ())
    slow = copy.deepcopy(model)
    for t in range(60, 70):
        now = df[row == t]
        options = {"futr_df": df} if futr else {}
        wanted = slow.update(now).predict(**options)
        beside = np.stack([part["on"][t : t + 1 + H] for part in parts])[..., np.newaxis]
        made = model.step(
            dict(zip(now["unique_id"], now["y"], strict=True)), futr=beside if futr else None
        )
        for name, values in made.items():
            np.testing.assert_array_equal(values.ravel(), wanted[name])
    np.testing.assert_array_equal(model.panel_.futr, slow.panel_.futr)
    assert model.predict(**options).equals(slow.predict(**options))


def test_logarithms_are_taken_as_long_as_series_are_positive(rng):
    """At the step at which one falls to zero, and after it."""
    known = np.stack(series(rng, 2, 90)[:1] * 2)
    model = make(MQRNN).fit(known[:, :60])
    slow = copy.deepcopy(model)
    known[1, 65] = 0.0
    for t in range(60, 70):
        made = model.step(known[:, t])
        same(made, slow.update(known[:, t : t + 1]).predict())
    with pytest.raises(ValueError, match=r"log=True expects values greater than 0, got -1"):
        make(MQRNN, log=True).fit(known[0]).step(-1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"transform": "difference", "season_length": SEASON},
        {"transform": "boxcox"},
        {"scaler": "series_robust"},
        {"distribution": "NegativeBinomial"},
    ],
)
def test_paths_go_on_whatever_is_done_to_series(options, rng):
    known = [np.round(y) for y in series(rng)]
    model = make(DeepAR, level=[80], **options).fit([y[:-3] for y in known])
    slow = copy.deepcopy(model)
    for t in (-3, -2, -1):
        values = [y[t] for y in known]
        same(model.step(values), slow.update([[value] for value in values]).predict())


def test_paths_of_more_series_than_go_side_by_side(rng, monkeypatch):
    monkeypatch.setattr("fastlstm.forecasting.paths._ROWS", 2 * 20)
    known = series(rng)
    model = make(DeepAR).fit([y[:-1] for y in known])
    slow = copy.deepcopy(model).update([y[-1:] for y in known])
    same(model.step([y[-1] for y in known]), slow.predict())


def _mean(level):
    quick = {"units": 8, "max_steps": 4, "input_size": 24, "verbose": 0}
    models = [Ridge(H), Naive(H), MQRNN(H, **quick), SegRNN(H, **quick)]
    return Combination(H, models=models, level=level, verbose=0)


def _smoothing(level):
    return ESRNN(H, units=8, max_steps=4, season_length=SEASON, level=level, verbose=0, members=2)


@pytest.mark.parametrize("level", [None, [80]])
@pytest.mark.parametrize("made", [_mean, _smoothing])
def test_what_forecaster_chooses_from_goes_on_too(made, level, rng):
    """Far enough for pieces of the series to become longer."""
    known = series(rng, 2)
    model = made(level).fit([y[:-30] for y in known])
    slow = copy.deepcopy(model)
    for t in range(-30, 0):
        values = [y[t] for y in known]
        said = model.step(values)
        slow.update([[value] for value in values])
        if t < -25 or t % 6 == 0:
            same(said, slow.predict())
    same(model.predict(), slow.predict())


def test_a_member_that_refuses_a_value_leaves_the_others_as_they_were(rng):
    known = [y - y.min() + 1.0 for y in series(rng)]
    model = Combination(H, models=[Naive(H), make(MQRNN, log=True)], verbose=0).fit(known)
    slow = copy.deepcopy(model)
    model.step([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="log=True expects values greater than 0"):
        model.step([1.0, -2.0, 3.0])
    slow.update([[1.0], [2.0], [3.0]])
    same(model.step([4.0, 5.0, 6.0]), slow.update([[4.0], [5.0], [6.0]]).predict())


class _Doubled(SegRNN):
    """What a user might do to series in a way of their own."""

    def _transformed(self, panel):
        return replace(panel, y=2 * panel.y - np.nanmean(panel.y))

    def _restored(self, values, panel):
        return 0.5 * (values + np.nanmean(panel.y))


def test_series_that_are_changed_in_a_way_of_ones_own_are_read_again(rng):
    known = series(rng)
    model = _Doubled(H, units=8, max_steps=4, input_size=24, verbose=0).fit([y[:-3] for y in known])
    slow = copy.deepcopy(model)
    for t in (-3, -2):
        values = [y[t] for y in known]
        same(model.step(values), slow.update([[value] for value in values]).predict())


@pytest.mark.parametrize("kind", [Naive, SeasonalNaive, Drift, MQRNN])
def test_missing_values(kind, rng):
    known = series(rng, 2)
    model = make(kind).fit({"a": known[0][:40], "b": known[1][:40]})
    slow = copy.deepcopy(model)
    for values in ({"a": 1.0}, {"b": None, "a": 2}, {"a": np.nan, "b": 3.0}, {}):
        made = model.step(values)
        rows = {name: [values.get(name) or np.nan] for name in "ab"}
        same(made, slow.update(rows).predict())


def test_what_came_is_there_for_everything_else(rng, tmp_path):
    known = series(rng)
    model = make(MQRNN).fit([y[:-3] for y in known])
    other = copy.deepcopy(model).update([y[-3:] for y in known])
    for t in (-3, -2, -1):
        model.step(np.array([y[t] for y in known]))
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(made.predict(), other.predict())
        np.testing.assert_array_equal(made.step(np.ones(3)), copy.deepcopy(other).step(np.ones(3)))
    model.save(tmp_path / "file")
    np.testing.assert_array_equal(load(tmp_path / "file").predict(), other.predict())
    assert model.scores() == other.scores()
    model.update([y[:2] for y in known])
    other.update([y[:2] for y in known])
    np.testing.assert_array_equal(model.step([1.0, 2, 3]), other.step([1.0, 2, 3]))
    model.fit(known)
    assert len(model.panel_.y) == sum(map(len, known))
    model.step([1.0, 2, 3])
    rule = make(Naive).fit(known)
    rule.step([1.0, 2, 3])
    assert rule.set_params(h=H - 1).step([1.0, 2, 3]).shape == (3, H - 1)


def test_the_forecaster_calls_columns_by_its_own_name(rng):
    model = make(Forecaster, alias="best", level=[90]).fit(series(rng))
    assert list(model.step([1.0, 2, 3])) == ["best", "best-lo-90", "best-hi-90"]
    assert model.step([1.0, 2, 3], level=[]).shape == (3, H)


@pytest.mark.parametrize("kind", [Naive, MQRNN])
def test_values_that_do_not_fit_change_nothing(kind, rng):
    model = make(kind).fit(series(rng))
    same = copy.deepcopy(model)
    for wrong, message in [
        ([1.0, 2.0], r"\(series,\) = \(3,\)"),
        (4.0, r"\(series,\) = \(3,\)"),
        ([1.0, np.inf, 2.0], "finite values, or NaN"),
        ({"x": 1.0}, "knows no series 'x'"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.step(wrong)
    with pytest.raises(ValueError, match="learned from no such column"):
        model.step(np.ones(3), futr=np.ones((3, 7, 1)))
    with pytest.raises(ValueError, match="not fitted yet"):
        make(kind).step(1.0)
    np.testing.assert_array_equal(model.step(np.ones(3)), same.step(np.ones(3)))


def test_columns_beside_the_target_are_asked_for(rng):
    n = 60
    columns = {"unique_id": ["a"] * n, "ds": np.arange(n), "y": rng.random(n), "on": rng.random(n)}
    df = table("polars", columns) if pytest.importorskip("polars") else None
    model = make(MQRNN).fit(df, futr_exog=["on"])
    with pytest.raises(ValueError, match=r"columns\) = \(1, 7, 1\), got None"):
        model.step(1.0)
    with pytest.raises(ValueError, match=r"got shape \(6, 1\)"):
        model.step(1.0, futr=np.ones((H, 1)))
    with pytest.raises(ValueError, match="not finite"):
        model.step(1.0, futr=np.full((1 + H, 1), np.nan))
    assert model.step(1.0, futr=np.ones((1 + H, 1))).shape == (H,)
    model = make(MQRNN).fit(df, hist_exog=["on"])
    with pytest.raises(ValueError, match=r"use update\(df\) and predict\(\) instead"):
        model.step(1.0)
