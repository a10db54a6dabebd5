"""SegRNN: its equations, what it learns, what it says of series and arguments that do not fit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import fastlstm
from fastlstm.forecasting.frequency import Frequency
from fastlstm.forecasting.panel import Panel
from fastlstm.forecasting.segrnn import SegRNN, _share
from fastlstm.forecasting.windows import WindowReader

T = np.arange(300)
Y = np.stack(
    [
        np.sin(2 * np.pi * T / 12) + 0.01 * T,
        5 + 3 * np.sin(2 * np.pi * (T + 4) / 12),
        100 * np.cos(2 * np.pi * T / 12),
    ]
)
SMALL = {"input_size": 26, "segment": 6, "units": 16, "max_steps": 20, "verbose": 0}


@cache
def small() -> SegRNN:
    """Of three series, and a horizon that is no multiple of its segments."""
    return SegRNN(15, **SMALL).fit(Y)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_forecast_is_what_the_equations_say() -> None:
    model = small()

    def weights(name: str) -> list[np.ndarray]:
        return [w.astype(np.float64) for w in model.models_[0].get_layer(name).get_weights()]

    for s, y in enumerate(Y):
        last, scale = y[-1], y.std()
        window = (y[-24:] - last) / scale
        # Each step is its value, and that it is there.
        segments = np.stack([window, np.ones(24)], axis=1).reshape(4, 12)
        kernel, bias = weights("segments")
        vectors = np.maximum(segments @ kernel + bias, 0)
        kernel, recurrent, (b_in, b_rec) = weights("reader")
        h = np.zeros(16)
        for x in vectors:
            xz, xr, xh = np.split(x @ kernel + b_in, 3)
            hz, hr, hh = np.split(h @ recurrent + b_rec, 3)
            z = sigmoid(xz + hz)
            h = z * h + (1 - z) * np.tanh(xh + sigmoid(xr + hr) * hh)
        (table,) = weights("series_table")
        wanted = []
        for place in range(3):
            told, of_state = {}, {}
            for gate in ("update", "reset", "candidate"):
                (places,), (kernel,) = weights(f"{gate}_place"), weights(f"{gate}_series")
                told[gate] = places[place] + table[s + 1] @ kernel
                kernel, bias = weights(f"{gate}_state")
                of_state[gate] = h @ kernel + bias
            z = sigmoid(told["update"] + of_state["update"])
            r = sigmoid(told["reset"] + of_state["reset"])
            c = np.tanh(told["candidate"] + r * of_state["candidate"])
            kernel, bias = weights("values")
            wanted.append((z * h + (1 - z) * c) @ kernel + bias)
        whole = (y[-26:] - last) / scale
        kernel, bias = weights("straight")
        expected = (np.concatenate(wanted)[:15] + whole @ kernel + bias) * scale + last
        np.testing.assert_allclose(model.predict()[s], expected, rtol=1e-4, atol=1e-4 * scale)


def test_learns_a_season_and_a_trend() -> None:
    options = {**SMALL, "max_steps": 300, "learning_rate": 5e-3, "dropout": 0.0}
    made = SegRNN(12, **options).fit(Y[:, :-12]).predict()
    error = np.abs(made - Y[:, -12:]).mean(axis=1)
    repeated = np.abs(Y[:, -24:-12] - Y[:, -12:]).mean(axis=1)
    assert error[0] < 0.5 * repeated[0]  # the season alone does not know the trend
    assert (error < 0.1 * Y.std(axis=1)).all()


def test_same_bits_for_the_same_seed_and_any_number_of_threads() -> None:
    before = fastlstm.get_num_threads()
    try:
        fastlstm.set_num_threads(1)
        alone = SegRNN(15, **SMALL).fit(Y).predict()
    finally:
        fastlstm.set_num_threads(before)
    np.testing.assert_array_equal(alone, small().predict())
    other = SegRNN(15, seed=1, **SMALL).fit(Y).predict()
    assert not np.array_equal(alone, other)


def test_a_forecast_depends_on_no_other_series() -> None:
    whole = small().predict()
    np.testing.assert_array_equal(small().predict({1: Y[1]}), whole[1])
    assert np.abs(small().predict({"new": Y[1]}) - whole[1]).max() > 0  # the average's numbers


def test_a_series_not_learned_from_has_the_average_numbers_and_its_own_scale() -> None:
    (table,) = small().models_[0].get_layer("series_table").get_weights()
    np.testing.assert_allclose(table[0], table[1:].mean(axis=0), rtol=1e-6)
    one, larger = small().predict({"new": Y[1]}), small().predict({"other": 1000 * Y[1]})
    np.testing.assert_allclose(larger, 1000 * one, rtol=1e-4)


def test_goes_on_from_its_own_forecasts_beyond_its_horizon() -> None:
    whole = small().predict(h=20)
    assert whole.shape == (3, 20)
    np.testing.assert_array_equal(whole[:, :15], small().predict())
    after = np.concatenate([Y, whole[:, :15]], axis=1)
    np.testing.assert_array_equal(whole[:, 15:], small().predict(after)[:, :5])


def test_levels_give_bands_in_order() -> None:
    model = SegRNN(15, level=[50, 80], **SMALL).fit(Y)
    assert model.quantiles_.tolist() == [0.1, 0.25, 0.5, 0.75, 0.9]
    made = model.predict()
    order = ["SegRNN-lo-80", "SegRNN-lo-50", "SegRNN", "SegRNN-hi-50", "SegRNN-hi-80"]
    assert (np.diff([made[name] for name in order], axis=0) >= 0).all()


def test_levels_that_were_not_learned_are_refused() -> None:
    with pytest.raises(ValueError, match=r"learned the median alone.*level=\[80, 95\]"):
        small().predict(level=[80])


def test_missing_values_and_constant_series() -> None:
    holes = Y.copy()
    holes[0, ::7], holes[1, 100:140], holes[2] = np.nan, np.nan, 4.0
    holes[0, -1] = np.nan
    model = SegRNN(15, **SMALL).fit(holes)
    assert np.isfinite(model.history_[0]["loss"]).all()
    assert np.isfinite(model.predict()).all()
    assert model._spreads[2] == 1.0


def test_the_forecast_is_the_mean_of_the_networks_and_a_regression() -> None:
    made, before = small().predict(), SegRNN(15, linear=False, **SMALL).fit(Y).predict()
    kernel, intercept = small().models_[0].get_layer("straight").get_weights()
    for s, y in enumerate(Y):
        window = (y[-26:] - y[-1]) / y.std()
        half = (window @ kernel + intercept) * y.std() + 0.5 * y[-1]
        expected = 0.5 * before[s] + half
        np.testing.assert_allclose(made[s], expected, rtol=1e-4, atol=1e-4 * y.std())
        # Sines go on; the regression knows them.
        goes_on = y[-12:] + 0.12 * (s == 0)
        assert np.abs(2 * half[:12] - goes_on).mean() < 0.05 * y.std()


def test_bands_move_along_with_the_mean() -> None:
    joined, alone = (
        SegRNN(15, level=[80], conformal=False, linear=linear, **SMALL).fit(Y).predict()
        for linear in (True, False)
    )
    assert np.abs(joined["SegRNN"] - alone["SegRNN"]).max() > 0
    width, other = (one["SegRNN-hi-80"] - one["SegRNN-lo-80"] for one in (joined, alone))
    np.testing.assert_allclose(width, other, rtol=1e-3, atol=1e-4)


def test_the_regression_is_the_one_that_the_windows_ask_for() -> None:
    model = SegRNN(15, **SMALL).fit(Y)
    x, y = [], []
    for series in Y:
        for origin in range(26, 286):
            last, scale = series[origin - 1], series.std()
            x.append(np.append((series[origin - 26 : origin] - last) / scale, 1.0))
            y.append((series[origin : origin + 15] - last) / scale)
    rows, targets = np.array(x), np.array(y)
    weights = 2 * np.vstack(model.models_[0].get_layer("straight").get_weights())
    apart = []
    for alpha in 10.0 ** np.arange(7):
        square = rows.T @ rows + alpha * np.diag([1.0] * 26 + [0.0])
        wanted = np.linalg.solve(square, rows.T @ targets)
        apart.append(np.abs(rows @ (weights - wanted)).max())
    assert min(apart) < 1e-3 < np.sort(apart)[1], apart


def test_there_is_no_regression_where_other_columns_or_too_few_windows_are() -> None:
    panel = Panel.of_arrays(Y[1], Frequency.of(1))
    with_column = panel.__class__(**{**panel.__dict__, "futr": np.ones((300, 1))})
    for given, h in ((with_column, 10), (panel.until([45]), 15)):
        model = SegRNN(h, **SMALL)
        model._fit(given)
        with pytest.raises(ValueError, match="straight"):
            model.models_[0].get_layer("straight")


def test_validation_tells_what_the_regression_counts() -> None:
    options: dict[str, Any] = {**SMALL, "val_size": 60}
    joined = SegRNN(15, **options).fit(Y)
    alone = SegRNN(15, linear=False, **options).fit(Y)
    panel = Panel.of_arrays(Y)
    reader = WindowReader(panel, 26, 15)
    x, y, _ = joined._batch(reader.read(*joined._held_out(panel, reader, 60)))
    together, network = (m.models_[0].predict(x, verbose=0)[..., 0] for m in (joined, alone))
    kernel, intercept = joined.models_[0].get_layer("straight").get_weights()
    part = x["past"][..., 0] @ kernel + intercept
    # What the network counts is the same at all steps and for all series.
    share = float((together - part).ravel() @ network.ravel() / (network.ravel() @ network.ravel()))
    np.testing.assert_allclose(together, share * network + part, rtol=1e-4, atol=1e-4)
    straight = part / (1 - share)
    errors = [
        np.mean((w * network + (1 - w) * straight - y[..., 0]) ** 2)
        for w in np.linspace(0, 1, 1001)
    ]
    assert share == pytest.approx(0.5 * (0.5 + 0.001 * np.argmin(errors)), abs=2e-3)
    assert share < 0.45  # these sines are linear


def test_parts_by_what_is_known() -> None:
    network, straight = np.array([[3.0, 1.0, 9.0]]), np.array([[1.0, 1.0, 1.0]])
    known = np.array([[True, True, False]])
    for came, best in ((2.5, 0.75), (4.0, 1.0), (0.0, 0.0)):
        target = np.array([[came, 7.0, 7.0]])
        assert _share(network, straight, target, known) == pytest.approx((0.5 + best) / 2)
    assert _share(straight, straight, network, known) == 0.5


def test_what_is_known_of_the_future_is_used() -> None:
    rng = np.random.default_rng(0)
    known = rng.standard_normal((400, 1))
    panel = Panel.of_arrays(2 * known[:, 0], Frequency.of(1))
    panel = panel.__class__(**{**panel.__dict__, "futr": known})
    options = {**SMALL, "max_steps": 200, "learning_rate": 1e-2, "dropout": 0.0}
    model = SegRNN(10, **options)
    past, future = panel.until([390]), known[np.newaxis, 390:]
    model._fit(past)
    made = model._forecast(past, 10, future, np.array([0.5])).point[0]
    assert np.abs(made - panel.y[390:]).mean() < 0.3 * np.abs(panel.y[390:]).mean()


def test_validates_on_the_last_points_alone() -> None:
    model = SegRNN(15, val_size=40, **SMALL)
    panel = Panel.of_arrays([Y[0], Y[1, :200]])
    reader = WindowReader(panel, 26, 15)
    series, origins = model._held_out(panel, reader, 40)
    for s, length in enumerate((300, 200)):
        assert origins[series == s].tolist() == list(range(length - 40, length - 15 + 1))
    _, trained = reader.origins(1, 40)
    assert trained.max() + 15 == 260
    model.fit(Y)
    assert len(model.history_[0]["val_loss"]) == 20


def test_best_weights_come_back() -> None:
    # What is learned is wrong where it is validated: the season has ended.
    ended = Y.copy()
    ended[:, -60:] = ended[:, -61:-60]
    options: dict[str, Any] = {**SMALL, "max_steps": 100, "learning_rate": 0.01}
    model = SegRNN(15, val_size=34, linear=False, **options).fit(ended)
    losses = model.history_[0]["val_loss"]
    panel = Panel.of_arrays(ended)
    reader = WindowReader(panel, 26, 15)
    x, y, weight = model._batch(reader.read(*model._held_out(panel, reader, 34)))
    assert min(losses) < losses[-1]
    # The numbers of series that were not learned from, set afterwards, have no part in it.
    again = model.models_[0].evaluate(x, y, sample_weight=weight, verbose=0, batch_size=1024)
    assert again == pytest.approx(min(losses), rel=1e-6)


@pytest.mark.parametrize(
    ("season", "h", "input_size", "expected"),
    [
        (24, 96, 336, 48),  # hours
        (24, 96, 96, 24),
        (24, 96, 144, 48),
        (24, 95, 96, 48),
        (7, 28, 84, 14),  # days
        (7, 28, 28, 14),
        (12, 18, 36, 18),  # months
        (96, 96, 672, 48),  # quarters of an hour
        (1, 96, 336, 48),  # numbers
        (1, 6, 30, 6),
        (24, 96, 10, 10),
    ],
)
def test_usual_segments(season: int, h: int, input_size: int, expected: int) -> None:
    model = SegRNN(h)
    model.season_, model.input_size_ = season, input_size
    assert model._width == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segment": 20}, "segment expects at most h=15 and input_size=26 steps, got 20"),
        ({"segment": 0}, "segment"),
        ({"val_size": 10}, "val_size expects at least h=15 points"),
        ({"linear": "yes"}, "linear expects True, False or None, got 'yes'"),
        ({"dropout": 1.0}, "dropout expects 0 <= dropout < 1, got 1.0"),
        ({"scaler": "minmax"}, "scaler expects one of .*SegRNN has 'series' besides"),
    ],
)
def test_arguments_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegRNN(15, **{**SMALL, **options}).fit(Y)


@pytest.mark.parametrize("scaler", ["standard", "last", None])
def test_windows_scaled_by_themselves(scaler: str | None) -> None:
    made = SegRNN(15, scaler=scaler, **SMALL).fit(Y).predict()
    assert made.shape == (3, 15)
    assert np.isfinite(made).all()
