"""Seq2Seq on what only a look back explains, on difficult series, its bits, and where it looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastlstm
from fastlstm import Model
from fastlstm.forecasting import Forecaster, Ridge, SeasonalNaive, Seq2Seq
from fastlstm.forecasting.panel import Names, Panel

H, SEASON = 6, 8


def _small(**options):
    given = {
        "season_length": SEASON, "units": 16, "max_steps": 200, "batch_size": 32, "verbose": 0
    }  # fmt: skip
    return Seq2Seq(H, **{**given, **options})


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


@pytest.fixture(scope="module")
def fitted():
    return _small(max_steps=400).fit(_waves()[:, :-H])


def test_it_learns_more_than_the_last_season(fitted):
    y = _waves()
    error = np.abs(fitted.predict() - y[:, -H:]).mean()
    last_season = np.abs(y[:, -H - SEASON : -SEASON] - y[:, -H:]).mean()
    assert error < 0.15 * last_season
    made = fitted.predict(level=[50, 95])
    names = ["Seq2Seq-lo-95", "Seq2Seq-lo-50", "Seq2Seq", "Seq2Seq-hi-50", "Seq2Seq-hi-95"]
    assert (np.diff([made[name] for name in names], axis=0) >= 0).all()
    longer = fitted.predict(h=2 * H)
    np.testing.assert_array_equal(longer[:, :H], fitted.predict())


def test_same_seed_same_bits_for_any_number_of_threads():
    y, threads, made = _waves(), fastlstm.get_num_threads(), []
    try:
        for count in (1, 2):
            fastlstm.set_num_threads(count)
            made.append(_small(max_steps=10, members=2).fit(y).predict())
    finally:
        fastlstm.set_num_threads(threads)
    np.testing.assert_array_equal(*made)
    other = _small(max_steps=10, members=2, seed=1).fit(y).predict()
    assert np.abs(other - made[0]).max() > 1e-3


@pytest.mark.parametrize("h", [H, 16])
def test_long_windows_are_read_and_written_a_season_at_a_time(h):
    y = _waves(2, 300)
    model = _small(input_size=80, max_steps=150).set_params(h=h).fit(y[:, :-h])
    names = {layer.name: layer for layer in model.models_[0].layers}
    assert names["reader"].features == SEASON * 2  # values, and whether they are there
    assert np.abs(model.predict() - y[:, -h:]).mean() < 0.7
    assert model.attention().shape == (h, 80)


def test_a_network_for_each_series_has_the_attention_that_it_would_have_alone():
    y = _waves()
    options = {"pooled": False, "max_steps": 20, "units": 8, "input_size": 16}
    model = _small(**options).fit(y)
    alone = _small(**options).fit(y[2])
    np.testing.assert_array_equal(alone.predict(), model.predict()[2])
    np.testing.assert_array_equal(alone.attention(), model.attention(2))


def test_a_column_that_is_known_in_the_future_is_used():
    generator = np.random.default_rng(4)
    flags = (generator.random((4, 200)) < 0.3).astype(float)
    y = 10 * (1 + flags) + 0.1 * generator.normal(size=flags.shape)
    panel = Panel.of_arrays(y[:, :-H])
    known = flags[:, :-H].reshape(-1, 1)
    panel = replace(panel, futr=known, names=Names(futr=("promotion",)))
    model = _small(season_length=1, input_size=12, max_steps=400, units=64)
    model._check()
    model._fit(panel)
    future = flags[:, -H:, np.newaxis]
    made, opposite = (
        model._forecast(panel, H, f, np.array([0.5])).point for f in (future, 1 - future)
    )
    assert np.abs(made - y[:, -H:]).mean() < 1.5
    assert np.abs(opposite - y[:, -H:]).mean() > 5.0
    assert np.abs(model._attention(panel, future) - model._attention(panel, 1 - future)).max() > 0


def test_attention_is_that_of_queries_and_keys_in_the_network(fitted):
    (model,) = fitted.models_
    query, _, keys, began = model.get_layer("attention").input
    inside = Model([symbol for symbol in model.inputs if symbol is not began], [query, keys])
    windows, scales = fitted._last(fitted.panel_, None)
    given = fitted._inputs(windows, *scales)
    assert (given.pop("began") == 1).all()
    queries, keys = (np.float64(part) for part in inside.predict(given, verbose=0))
    weights = np.exp(queries @ keys.swapaxes(1, 2))
    weights /= weights.sum(axis=2, keepdims=True)
    for s in range(len(fitted.panel_)):
        np.testing.assert_allclose(fitted.attention(s), weights[s], rtol=2e-4)
    assert np.abs(weights[0] - weights[1]).max() > 1e-3


def test_rows_of_attention_sum_to_one_and_what_was_before_the_series_has_none():
    y = _waves()
    model = _small(max_steps=20).fit([y[0], y[1, :10]])
    weights = model.attention(0)
    assert weights.shape == (H, model.input_size_)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    short = model.attention(1)
    np.testing.assert_allclose(short.sum(axis=1), 1, rtol=1e-6)
    assert (short[:, : model.input_size_ - 10] == 0).all()
    with pytest.raises(ValueError, match="there is no series 'x'"):
        model.attention("x")
    with pytest.raises(ValueError, match="SeasonalNaive has no attention to show; Seq2Seq has"):
        SeasonalNaive(H, verbose=0).fit(y).attention()


def test_the_picture_of_attention_shows_the_weights(fitted):
    plt = pytest.importorskip("matplotlib.pyplot")
    figure = fitted.plot_attention(1)
    above, below, *_ = figure.axes
    np.testing.assert_array_equal(
        above.lines[0].get_ydata(), fitted.panel_.series(1)[-fitted.input_size_ :]
    )
    (mesh,) = below.collections
    np.testing.assert_allclose(mesh.get_array(), 100 * fitted.attention(1), rtol=1e-12)
    assert "Seq2Seq" in above.get_title(loc="left")
    plt.close(figure)


def test_the_attention_of_a_model_that_was_chosen():
    y = _waves(2, 100)
    model = Forecaster(H, models=[_small(max_steps=60)], verbose=0).fit(y)
    assert model.attention(1).shape[0] == H
    chosen = Forecaster(H, models=[Ridge(H)], verbose=0).fit(y)
    with pytest.raises(ValueError, match="Ridge has no attention"):
        chosen.plot_attention()


def test_arguments_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="units"):
        _small(units=0).fit(_waves())
    with pytest.raises(ValueError, match="log expects True, False or None"):
        _small(log="yes").fit(_waves())
