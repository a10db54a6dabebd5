"""MQRNN on series that a window explains, on difficult ones, and its bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastlstm
from fastlstm.forecasting.mqrnn import MQRNN
from fastlstm.forecasting.network import usual_look_back
from fastlstm.forecasting.panel import Names, Panel
from fastlstm.forecasting.updates import usual_steps

H, SEASON = 6, 8


def _small(**options):
    given = {"season_length": SEASON, "units": 16, "max_steps": 150, "batch_size": 32, "verbose": 0}
    return MQRNN(H, **{**given, **options})


def _waves(count=3, length=160, seed=0):
    """Two seasons, 8 and 16, of which the last 8 steps say half, and a little noise."""
    generator = np.random.default_rng(seed)
    t = np.arange(length)
    return np.stack(
        [
            20 + 4 * np.sin(2 * np.pi * t / 8 + s) + 3 * np.sin(2 * np.pi * t / 16 + 2 * s)
            + 0.05 * generator.normal(size=length)
            for s in range(count)
        ]
    )  # fmt: skip


def test_it_learns_more_than_the_last_season():
    y = _waves()
    model = _small(max_steps=400).fit(y[:, :-H])
    error = np.abs(model.predict() - y[:, -H:]).mean()
    last_season = np.abs(y[:, -H - SEASON : -SEASON] - y[:, -H:]).mean()
    assert error < 0.1 * last_season
    assert model.history_[0]["loss"][-1] < 0.2 * model.history_[0]["loss"][0]


def test_same_seed_same_bits_for_any_number_of_threads():
    y, threads, made = _waves(), fastlstm.get_num_threads(), []
    try:
        for count in (1, 2, 1):
            fastlstm.set_num_threads(count)
            made.append(_small(max_steps=20, members=2).fit(y).predict(level=[80]))
    finally:
        fastlstm.set_num_threads(threads)
    for name, values in made[0].items():
        np.testing.assert_array_equal(values, made[1][name])
        np.testing.assert_array_equal(values, made[2][name])
    other = _small(max_steps=20, members=2, seed=1).fit(y).predict()
    assert np.abs(other - made[0]["MQRNN"]).max() > 1e-3


def test_intervals_are_in_order_around_the_forecast():
    made = _small().fit(_waves()).predict(level=[50, 95])
    names = ["MQRNN-lo-95", "MQRNN-lo-50", "MQRNN", "MQRNN-hi-50", "MQRNN-hi-95"]
    steps = np.diff([made[name] for name in names], axis=0)
    assert (steps >= 0).all()
    assert (steps > 0).mean() > 0.9


def test_values_that_are_missing_change_little():
    y = _waves()
    holes = y.copy()
    holes[:, 60:75] = np.nan
    holes[1, -3:] = np.nan
    before, after = (_small(max_steps=300).fit(v[:, :-H]).predict() for v in (y, holes))
    assert np.isfinite(after).all()
    assert np.abs(after - y[:, -H:])[[0, 2]].mean() < 0.5
    assert not np.array_equal(before, after)


def test_constant_series_go_on():
    y = np.stack([np.full(80, 7.0), np.zeros(80), _waves()[0, :80]])
    made = _small(max_steps=200).fit(y).predict()
    np.testing.assert_allclose(made[0], 7.0, rtol=0.05)
    np.testing.assert_allclose(made[1], 0.0, atol=0.5)


def test_more_steps_than_trained_go_on_from_its_own():
    y = _waves()
    model = _small(max_steps=400).fit(y[:, : -2 * H])
    longer = model.predict(h=2 * H)
    assert longer.shape == (3, 2 * H)
    np.testing.assert_array_equal(longer[:, :H], model.predict())
    assert np.abs(longer - y[:, -2 * H :]).mean() < 0.5


def test_a_short_series_is_forecast_beside_longer_ones_but_alone_is_an_error():
    y = _waves()
    made = _small().fit([y[0], y[1, :9]]).predict()
    assert np.isfinite(made).all()
    with pytest.raises(ValueError, match=r"needs a series of at least .* has 9"):
        _small(input_size=8).fit([y[1, :9]])


def test_series_near_zero_and_below_are_taken_as_they_are():
    y = _waves() - 20
    made = _small(max_steps=400).fit(y[:, :-H]).predict()
    assert np.abs(made - y[:, -H:]).mean() < 0.5
    with pytest.raises(ValueError, match="log=True expects values greater than 0"):
        _small(log=True).fit(y)


def _promotions():
    """Demand that doubles where a column says so, at steps that nothing else tells."""
    generator = np.random.default_rng(4)
    flags = (generator.random((4, 200)) < 0.3).astype(float)
    y = 10 * (1 + flags) + 0.1 * generator.normal(size=flags.shape)
    panel = Panel.of_arrays(y[:, :-H])
    known = flags[:, :-H].reshape(-1, 1)
    return replace(panel, futr=known, names=Names(futr=("promotion",))), flags, y


def test_a_column_that_is_known_in_the_future_is_used():
    panel, flags, y = _promotions()
    model = _small(season_length=1, input_size=12, max_steps=400, units=64)
    model._check()
    model._fit(panel)
    future = flags[:, -H:, np.newaxis]
    made, opposite = (
        model._forecast(panel, H, f, np.array([0.5])).point for f in (future, 1 - future)
    )
    assert np.abs(made - y[:, -H:]).mean() < 1.0
    assert np.abs(opposite - y[:, -H:]).mean() > 5.0


def test_what_is_held_out_stops_it_and_gives_its_loss():
    model = _small(patience=2).fit(_waves())
    (history,) = model.history_
    assert len(history["val_loss"]) == len(history["loss"]) > 3
    assert min(history["val_loss"]) < history["val_loss"][0]


def test_long_windows_of_many_seasons_are_read_a_season_at_a_time():
    y = _waves(2, 300)
    model = _small(input_size=80, max_steps=300).fit(y[:, :-H])
    assert np.abs(model.predict() - y[:, -H:]).mean() < 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": 0}, "members"),
        ({"season_length": 0}, "season_length"),
        ({"log": "yes"}, "log expects True, False or None, got 'yes'"),
        ({"scaler": "minmax"}, "scaler expects one of"),
    ],
)
def test_arguments_that_do_not_fit_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        _small(**options).fit(_waves())


def test_usual_sizes():
    panel = Panel.of_arrays([np.arange(500.0)])
    assert usual_look_back(panel, 48, 24) == 168
    assert usual_look_back(panel, 12, 12) == 24
    assert usual_look_back(panel, 400, 24) == 100
    assert [usual_steps(n, 256) for n in (10, 25600, 10**6)] == [200, 1000, 4000]


def test_a_small_panel_is_not_learned_by_heart(rng):
    """Of noise there is little to learn: fewer updates are taken than may be."""
    options = {"learning_rate": 1e-2, "units": 64, "input_size": 24, "max_steps": None}
    model = _small(**options).fit(rng.standard_normal((4, 80)))
    assert model.steps_ < usual_steps(4 * 40, 32)
    assert model.history_[0]["step"][-1] == model.steps_
    assert _small(max_steps=40).fit(_waves(2, 120)).steps_ == 40
    # Where there are more values than weights nothing is held out.
    many = _small(max_steps=None, units=2, input_size=2 * H).fit(_waves(20, 160))
    assert many.models_[0].count_params() < 20 * 160
    assert many.steps_ == usual_steps(20 * (160 - 3 * H + 1), 32)


def test_it_begins_as_the_last_season_as_far_off_as_it_usually_is(rng):
    y = rng.standard_normal((40, 160)) + 10 * np.sin(2 * np.pi * np.arange(160) / SEASON)
    made = _small(max_steps=1, learning_rate=1e-9, log=False).fit(y[:, :-H])
    made = made.predict(level=[80])
    np.testing.assert_allclose(made["MQRNN"], y[:, -H - SEASON : -SEASON], atol=1e-4)
    inside = (made["MQRNN-lo-80"] <= y[:, -H:]) & (y[:, -H:] <= made["MQRNN-hi-80"])
    assert inside.mean() == pytest.approx(0.8, abs=0.06)
