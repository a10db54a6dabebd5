"""DeepAR: what it learns, that paths depend on nothing but their series, and errors."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from fastlstm.forecasting import recursion
from fastlstm.forecasting.deepar import DeepAR
from fastlstm.forecasting.distributions import distribution
from fastlstm.forecasting.paths import draws_of
from fastlstm.kernels.parallel import set_num_threads

H, SEASON, LENGTH = 12, 24, 240
QUICK = {"h": H, "freq": "h", "verbose": 0, "units": 12, "n_paths": 60, "batch_size": 16}


def _table(rng, series=4, length=LENGTH, counts=False):
    """Hourly days of several levels and phases, with noise of a tenth."""
    frames = []
    for s in range(series):
        t = np.arange(length)
        level = 20.0 * (s + 1) * (1 + 0.5 * np.sin(2 * np.pi * (t / SEASON + s / 7)))
        y = rng.poisson(level) if counts else level * (1 + 0.1 * rng.standard_normal(length))
        ds = pd.date_range("2024-01-01", periods=length, freq="h")
        frames.append(pd.DataFrame({"unique_id": f"s{s}", "ds": ds, "y": y.astype(float)}))
    return pd.concat(frames, ignore_index=True)


def _split(table, h=H):
    rank = table.groupby("unique_id").cumcount(ascending=False)
    return table[rank >= h].reset_index(drop=True), table[rank < h].reset_index(drop=True)


@pytest.fixture(scope="module")
def known_and_true():
    return _split(_table(np.random.default_rng(5)))


@pytest.fixture(scope="module")
def fitted(known_and_true):
    return DeepAR(**QUICK, level=[80], max_steps=250, conformal=False).fit(known_and_true[0])


@pytest.mark.parametrize("law", ["StudentT", "Normal", "NegativeBinomial"])
def test_it_learns_days_and_their_noise(law, fitted, known_and_true, rng):
    """Better than a season before, and as wide as the noise."""
    known, true = known_and_true
    model = fitted
    if law != "StudentT":
        known, true = _split(_table(rng, counts=law == "NegativeBinomial"))
        model = DeepAR(**QUICK, level=[80], max_steps=250, distribution=law, conformal=False)
        model.fit(known)
    [history] = model.history_
    assert history["loss"][-1] < history["loss"][0] - 0.3
    made = model.predict()
    rank = known.groupby("unique_id").cumcount(ascending=False)
    before = known[(rank < SEASON) & (rank >= SEASON - H)]["y"].to_numpy()
    error = np.abs(made["DeepAR"].to_numpy() - true["y"].to_numpy()).mean()
    assert error < 0.95 * np.abs(before - true["y"].to_numpy()).mean()
    inside = (true["y"] >= made["DeepAR-lo-80"]) & (true["y"] <= made["DeepAR-hi-80"])
    assert 0.6 < inside.mean() <= 0.98
    if law == "NegativeBinomial":
        paths = model.sample_paths()
        assert (paths >= 0).all()
        np.testing.assert_array_equal(paths, np.floor(paths))


def test_a_forecast_depends_on_neither_the_batch_nor_the_other_series(fitted, known_and_true):
    known, _ = known_and_true
    made = fitted.predict()
    for name in ("s2", "s0"):
        alone = fitted.predict(known[known["unique_id"] == name])
        of_all = made[made["unique_id"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, of_all, check_exact=True)


def test_the_stream_may_take_few_series_at_a_time(fitted, monkeypatch):
    expected = fitted.sample_paths()
    for series, threads in ((3, 1), (1, 3)):
        set_num_threads(threads)
        monkeypatch.setattr("fastlstm.forecasting.paths._ROWS", series * QUICK["n_paths"])
        np.testing.assert_array_equal(fitted.sample_paths(), expected)


def test_bits_do_not_depend_on_the_threads(known_and_true):
    made = []
    for threads in (1, 2):
        set_num_threads(threads)
        made.append(DeepAR(**QUICK, max_steps=4, seed=3).fit(known_and_true[0]).sample_paths())
    np.testing.assert_array_equal(*made)
    other = DeepAR(**QUICK, max_steps=4, seed=4).fit(known_and_true[0]).sample_paths()
    assert (other != made[0]).any()


def test_paths_go_on_as_far_as_one_likes(fitted):
    """The first steps are the same, whatever follows."""
    short, far = fitted.sample_paths(), fitted.sample_paths(h=5 * H)
    assert far.shape == (4, QUICK["n_paths"], 5 * H)
    np.testing.assert_array_equal(far[..., :H], short)
    assert len(fitted.predict(h=5 * H)) == 4 * 5 * H


def test_forecasts_are_quantiles_of_the_paths(fitted):
    paths, made = fitted.sample_paths(), fitted.predict(level=[80])
    np.testing.assert_array_equal(made["DeepAR"], np.median(paths, axis=1).ravel())
    low, high = np.quantile(paths, [0.1, 0.9], axis=1)
    np.testing.assert_allclose(made["DeepAR-lo-80"], low.ravel(), rtol=1e-12)
    np.testing.assert_allclose(made["DeepAR-hi-80"], high.ravel(), rtol=1e-12)


@pytest.mark.parametrize("name", ["Normal", "StudentT"])
def test_fifty_paths_are_as_close_as_a_hundred_independent_ones(name):
    """Quantiles of what adds up over the steps, where those of very many paths are known."""
    law, levels, series, h = distribution(name), [0.025, 0.1, 0.5, 0.9, 0.975], 300, 8

    def ends(n, draw):
        value = np.zeros((series, n))
        for step in range(h):
            parameters = np.zeros((series, n, law.count), np.float32)
            parameters[..., 0], parameters[..., 2:] = 0.9 * value, 3.0
            value = draw(parameters, step)
        return value

    generators = [np.random.default_rng([7, s]) for s in range(series)]
    spread = ends(50, draws_of(law, generators, series, 50, h))
    alone = ends(100, lambda parameters, step: law.sample_each(parameters, generators))
    many = ends(4000, lambda parameters, step: law.sample_each(parameters, generators))
    exact = np.quantile(many, levels)
    error, other = (
        np.sqrt(((np.quantile(paths, levels, axis=1).T - exact) ** 2).mean(axis=0))
        for paths in (spread, alone)
    )
    assert (error < other).all()
    assert error[2] < 0.75 * other[2]
    # Each path by itself is like any other.
    assert spread[:, 0].std() == pytest.approx(many.std(), rel=0.15)


def test_the_first_step_is_that_of_the_trained_network(fitted):
    """What encoder and stream make of a window is what the network in training makes of it."""
    panel = fitted.panel_
    known = panel.until(panel.lengths - 1)
    reader = fitted._reader(known, 1)
    x, _, _ = fitted._batch(reader.last())
    parameters = fitted.models_[0].predict(x, verbose=0)[:, -1]
    shift, scale = fitted._scales(reader.last())
    [(_, paths)] = list(fitted._drawn(known, 1, None))
    exact = fitted._law.quantiles(parameters, [0.5]) * scale + shift
    found = np.median(paths[..., 0], axis=1)[:, np.newaxis]
    wide = (paths.std(axis=1) / np.sqrt(QUICK["n_paths"])) * 5
    assert (np.abs(found - exact) < wide).all()


def test_the_stepper_goes_on_from_the_encoder_with_the_same_bits(rng):
    for offsets in (False, True):
        model = recursion.network(5, 2, units=6, layers=3, dropout=0.2, offsets=offsets)
        x = {recursion.STEPS: rng.standard_normal((3, 9, 5)).astype(np.float32)}
        if offsets:
            x[recursion.OFFSETS] = rng.standard_normal((3, 9, 2)).astype(np.float32)
        whole = model.predict(x, verbose=0)
        encoder, stepper, names = recursion.parts(model)
        past = {name: array[:, :4] for name, array in x.items()}
        made, *states = encoder.predict(past, verbose=0)
        np.testing.assert_array_equal(made, whole[:, :4])
        stream = stepper.stream(3)
        stream.reset(start=dict(zip(names, states, strict=True)))
        for t in range(4, 9):
            step = {name: array[:, t] for name, array in x.items()}
            made = stream.step(step if offsets else step[recursion.STEPS])
            np.testing.assert_array_equal(made, whole[:, t])


def test_inputs_of_a_step_are_what_came_before_it(known_and_true):
    """Value and season before, with flags, in units of the window, and never the step itself."""
    known, _ = known_and_true
    model = DeepAR(**QUICK, input_size=10, lags=[1, 24], max_steps=1).fit(known)
    reader = model._reader(model.panel_, H)
    series, at = np.array([1]), np.array([30])
    x, y, weight = model._batch(reader.read(series, at))
    values = model.panel_.series(1)
    past = values[20:30]
    scaled = (values - past.mean()) / past.std()
    steps = x["steps"][0]
    np.testing.assert_allclose(y[0, :, 0], scaled[20 : 30 + H], rtol=1e-5)
    np.testing.assert_allclose(steps[:, 0], scaled[19 : 29 + H], rtol=1e-5)
    # Before the series began there is nothing, which the flags tell.
    np.testing.assert_allclose(steps[4:, 1], scaled[: 10 + H - 4], rtol=1e-5)
    np.testing.assert_array_equal(steps[:, 2], 1)
    np.testing.assert_array_equal(steps[:, 3], np.arange(10 + H) >= 4)
    np.testing.assert_array_equal(steps[:4, 1], 0)
    np.testing.assert_array_equal(weight, 1)


@pytest.mark.parametrize("scaler", ["series_standard", "series_robust", "series_minmax"])
def test_whole_series_may_be_scaled_alike(scaler, known_and_true):
    """By their own numbers, be they known from the fit or new, and the same for all windows."""
    known, _ = known_and_true
    model = DeepAR(**QUICK, scaler=scaler, max_steps=3).fit(known)
    y = known.groupby("unique_id")["y"]
    shift, scale = {
        "series_standard": (y.mean(), y.std(ddof=0)),
        "series_robust": (y.median(), (y.quantile(0.75) - y.quantile(0.25)) / 1.3489795),
        "series_minmax": (y.min(), y.max() - y.min()),
    }[scaler]
    reader = model._reader(model.panel_, H)
    for at in (60, 200):
        found = np.hstack(model._scales(reader.read(np.arange(4), np.full(4, at))))
        np.testing.assert_allclose(found, np.stack([shift, scale], axis=1), rtol=1e-6)
    _, targets, _ = model._batch(reader.read(np.array([2]), np.array([100])))
    wanted = (model.panel_.series(2)[52 : 100 + H] - shift.iloc[2]) / scale.iloc[2]
    np.testing.assert_allclose(targets[0, :, 0], wanted, rtol=1e-4, atol=1e-5)
    # A series with another name brings numbers of its own.
    other = known[known["unique_id"] == "s1"].assign(unique_id="new", y=lambda t: 10 * t["y"])
    assert np.isfinite(model.sample_paths(other)).all()
    own = model._series_scalers.fitted["new"]
    np.testing.assert_allclose([own.shift, own.scale], 10 * found[1], rtol=1e-6)
    again = pickle.loads(pickle.dumps(model)).update(other)
    assert len(again.predict()) == 5 * H


def test_counts_have_a_scale_of_their_own():
    with pytest.raises(ValueError, match="divided by 1 \\+ their mean in the window: leave out"):
        DeepAR(4, distribution="NegativeBinomial", scaler="series_robust").fit(np.arange(50.0))


def test_missing_values_are_neither_learned_nor_fatal(known_and_true):
    known = known_and_true[0].copy()
    known.loc[known.index % 5 == 0, "y"] = np.nan
    known.loc[known.index[-1], "y"] = np.nan
    model = DeepAR(**QUICK, max_steps=5).fit(known)
    x, y, weight = model._batch(model._reader(model.panel_, H).read(np.array([0]), np.array([60])))
    assert np.isfinite(x["steps"]).all()
    assert (weight == 0).sum() > 5
    assert (y[..., 0][weight == 0] == 0).all()
    assert np.isfinite(model.sample_paths()).all()


def test_columns_of_the_future_and_of_the_series_are_read(rng):
    """Levels that only a column tells, and only for the steps to come."""
    table = _table(rng, series=3, length=200)
    table["on"] = rng.integers(0, 2, len(table)) * 3.0 + 100.0
    table["y"] = table["on"] * 10 + rng.standard_normal(len(table))
    static = pd.DataFrame({"unique_id": ["s0", "s1", "s2"], "size": [1.0, 2.0, 5.0]})
    known, true = _split(table)
    model = DeepAR(**QUICK, max_steps=150, learning_rate=1e-2)
    model.fit(known, futr_exog=["on"], static_exog=["size"], static_df=static)
    made = model.predict(futr_df=true.drop(columns="y"))
    assert np.abs(made["DeepAR"].to_numpy() - true["y"].to_numpy()).mean() < 5
    with pytest.raises(ValueError, match="futr_df"):
        model.predict()


def test_held_out_points_stop_training(known_and_true):
    model = DeepAR(**QUICK, max_steps=40, patience=1, learning_rate=1.0).fit(known_and_true[0])
    [history] = model.history_
    assert len(history["val_loss"]) == len(history["loss"]) < 20


def test_plain_arrays_and_whole_numbers(rng):
    model = DeepAR(h=4, max_steps=3, verbose=0, units=4, n_paths=10, layers=1, season_length=7)
    assert model.fit(rng.standard_normal(60)).predict().shape == (4,)
    assert model.sample_paths().shape == (1, 10, 4)
    assert model._lags == [1, 7, 14]
    assert model.fit([rng.standard_normal(60), rng.standard_normal(40)]).predict().shape == (2, 4)
    assert model.sample_paths(rng.standard_normal(30), h=6).shape == (1, 10, 6)
    assert (
        model.set_params(max_steps=None).fit(rng.standard_normal(30)).history_[0]["step"][-1] == 200
    )


def test_copies_and_cross_validation(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(again.predict(), fitted.predict())
    quick = DeepAR(**QUICK, max_steps=2).fit(_table(np.random.default_rng(1)))
    assert len(quick.cross_validation(n_windows=2)) == 4 * 2 * H


def test_columns_of_the_past_are_refused(known_and_true):
    known = known_and_true[0].assign(wind=1.0)
    with pytest.raises(ValueError, match=r"step by step.*hist_exog=\['wind'\].*MQRNN"):
        DeepAR(**QUICK).fit(known, hist_exog=["wind"])


def test_numbers_that_are_no_counts_are_refused(known_and_true):
    with pytest.raises(ValueError, match=r"expects counts.*StudentT"):
        DeepAR(**QUICK, distribution="NegativeBinomial").fit(known_and_true[0])


def test_series_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match=r"h=12 needs .* at least 13 points .* has 12"):
        DeepAR(12, verbose=0).fit(np.arange(12.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distribution": "poisson"}, "distribution expects"),
        ({"n_paths": 0}, "n_paths"),
        ({"lags": [0]}, "a lag"),
        ({"scaler": "max"}, "scaler expects .* or, of whole series, one of 'series_standard'"),
        ({"layers": 0}, "layers"),
        ({"season_length": 0}, "season_length"),
        ({"max_steps": 0}, "max_steps"),
    ],
)
def test_arguments_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        DeepAR(4, **options).fit(np.arange(50.0))
