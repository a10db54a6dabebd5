"""What users do with a forecaster, whichever it is: fit, predict, validate, go on, ask for more."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from fastlstm import set_num_threads
from fastlstm.forecasting import (
    ESRNN,
    MQRNN,
    DeepAR,
    Drift,
    Forecaster,
    Naive,
    Ridge,
    SeasonalNaive,
    SegRNN,
)

H, SEASON = 6, 12
SMALL = {"units": 8, "max_steps": 4}


def _make(kind, **options):
    if kind in NETWORKS:
        options = {"units": 8, "max_steps": 4, "input_size": 24, **options}
        if kind is DeepAR:
            options = {"n_paths": 20, "layers": 1, **options}
    if kind is Forecaster:
        options.setdefault("models", [Naive(H), SeasonalNaive(H), MQRNN(H, **SMALL)])
    return kind(H, verbose=0, **options)


KINDS = [Naive, SeasonalNaive, Drift, Ridge, MQRNN, SegRNN, ESRNN, DeepAR, Forecaster]
NETWORKS = [MQRNN, SegRNN, ESRNN, DeepAR]


def _series(rng, count=3, n=90):
    t = np.arange(n)
    wave = 20 + 5 * np.sin(2 * np.pi * t / SEASON)
    return [wave[: n - 5 * s] + 10 * s + rng.standard_normal(n - 5 * s) for s in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_in_and_out(kind, rng):
    series = _series(rng)
    model = _make(kind).fit(series)
    assert model.predict().shape == (3, H)
    assert model.fit(series[0]).predict().shape == (H,)
    assert model.fit({"a": series[0], "b": series[1]}).predict(h=3).shape == (2, 3)
    assert np.isfinite(model.predict(h=3 * H)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_each_other_and_the_forecast(kind, rng):
    model = _make(kind, level=[80, 95]).fit(_series(rng))
    said = model.predict()
    name = model.name
    assert list(said) == [
        name, f"{name}-lo-95", f"{name}-lo-80", f"{name}-hi-80", f"{name}-hi-95"
    ]  # fmt: skip
    order = [said[f"{name}-lo-95"], said[f"{name}-lo-80"], said[name]]
    order += [said[f"{name}-hi-80"], said[f"{name}-hi-95"]]
    assert (np.diff(np.stack(order), axis=0) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_forecast_of_a_series_is_its_own(kind, rng):
    """Of a fitted model it depends neither on the series beside it nor on their order."""
    series = _series(rng)
    model = _make(kind).fit({"a": series[0], "b": series[1], "c": series[2]})
    both = model.predict({"c": series[2], "a": series[0]})
    alone = model.predict({"a": series[0]})[np.newaxis]
    np.testing.assert_array_equal(both[1], alone[0])
    np.testing.assert_array_equal(model.predict()[0], alone[0])


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_same_seed_gives_the_same_bits(kind, rng):
    series = _series(rng)
    made = []
    for threads in (1, 2, 1):
        set_num_threads(threads)
        np.random.default_rng().random()
        made.append(_make(kind, seed=3).fit(series).predict())
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])
    assert (_make(kind, seed=4).fit(series).predict() != made[0]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_constants_and_short_series(kind, rng):
    series = _series(rng)
    series[0][30:37] = np.nan
    series[1][-2:] = np.nan
    series.append(np.full(60, 7.0))
    model = _make(kind).fit(series)
    said = model.predict()
    assert np.isfinite(said).all()
    short = model.predict([series[0][-14:], series[1][:20]])
    assert np.isfinite(short).all()


@pytest.mark.parametrize("kind", NETWORKS)
def test_too_short_says_how_many_points_are_needed(kind):
    with pytest.raises(ValueError, match=r"needs a series of at least \d+ points"):
        _make(kind).fit(np.arange(7.0))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_fitted_is_lost_by_an_error(kind, rng):
    series = _series(rng)
    model = _make(kind).fit(series)
    before = model.predict()
    for wrong in (np.full(40, np.nan), np.array([1.0, np.inf] * 20), np.ones((2, 3, 4))):
        with pytest.raises((ValueError, TypeError)):
            model.fit(wrong)
    np.testing.assert_array_equal(model.predict(), before)


@pytest.mark.parametrize("kind", [MQRNN, ESRNN, Ridge, DeepAR])
def test_going_on_by_new_rows_is_being_given_all(kind, rng):
    series = _series(rng)
    model = _make(kind).fit([one[:-10] for one in series])
    frames = pytest.importorskip("pandas")
    stamps = frames.date_range("2024-01-31", periods=90, freq="ME")

    def table(first, last):
        parts = [
            frames.DataFrame({"unique_id": f"s{n}", "ds": stamps[: len(one)], "y": one})
            for n, one in enumerate(series)
        ]
        return frames.concat([part.iloc[first : len(part) + last] for part in parts])

    model = _make(kind).fit(table(0, -10))
    whole = model.predict(table(0, 0))
    rest = frames.concat(
        [
            frames.DataFrame({"unique_id": f"s{n}", "ds": stamps[: len(one)], "y": one}).iloc[-10:]
            for n, one in enumerate(series)
        ]
    )
    with pytest.raises(ValueError, match="go on where the series ended"):
        model.update(rest.groupby("unique_id").tail(9))
    frames.testing.assert_frame_equal(model.update(rest).predict(), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_those_of_scikit_learn(kind):
    from sklearn.base import clone

    model = _make(kind, level=[80])
    again = clone(model)
    assert again is not model
    assert again.get_params()["level"] == [80]
    assert again.set_params(seed=5).seed == 5
    with pytest.raises(ValueError, match="no parameter 'sead'"):
        model.set_params(sead=5)
    with pytest.raises(ValueError, match=r"not fitted yet; call fit\(df\) first"):
        model.predict()


@pytest.mark.parametrize(
    ("model", "params", "instead"),
    [
        (MQRNN, {"futr_exog_list": ["price"]}, r"use instead: fit\(df, futr_exog="),
        (Forecaster, {"static_df": None}, r"use instead: fit\(df, static_exog="),
        (SegRNN, {"random_seed": 1}, "use instead: seed$"),
        (Ridge, {"scaler_type": "robust"}, "no argument 'scaler_type'; it has h, freq, "),
        (SeasonalNaive, {"sead": 1}, "SeasonalNaive has no argument 'sead'; it has h, freq, "),
    ],
)
def test_arguments_of_other_libraries_are_told_where_to_go(model, params, instead):
    with pytest.raises(TypeError, match=instead):
        model(h=3, **params)
    assert str(inspect.signature(model)).startswith("(h: 'int', freq")


@pytest.mark.parametrize("kind", [Ridge, MQRNN])
@pytest.mark.parametrize("refit", [False, True])
def test_cross_validation_sees_nothing_that_comes_later(kind, refit, rng):
    series = _series(rng)
    model = _make(kind).fit(series)
    before = model.predict()
    found = model.cross_validation(series, n_windows=2, step_size=4, refit=refit)
    np.testing.assert_array_equal(model.predict(), before)
    changed = [one.copy() for one in series]
    for one in changed:
        one[-4:] = 1e6
    other = model.cross_validation(changed, n_windows=2, step_size=4, refit=refit)
    name = model.name
    # Of the last cutoff, six steps before the end, refitted models have seen no change either.
    np.testing.assert_array_equal(found[name], other[name])
    with pytest.raises(ValueError, match="need series of more than"):
        model.cross_validation([series[0][:20]], n_windows=5)


def test_the_choice_is_told(rng, capsys):
    series = _series(rng)
    model = Forecaster(H, models=[Naive(H), SeasonalNaive(H, season_length=SEASON)], verbose=1)
    model.fit(series)
    printed = capsys.readouterr().err
    assert "SeasonalNaive is chosen" in printed
    assert [row["model"] for row in model.selection_] == ["SeasonalNaive", "Ridge", "Naive"]
    assert model.selection_[0]["mase"] < model.selection_[-1]["mase"]


def test_series_that_teach_nothing_are_told(rng, capsys):
    series = {"a": _series(rng)[0], "flat": np.full(60, 2.0), "short": np.arange(5.0)}
    MQRNN(H, units=4, max_steps=1, input_size=12).fit(series)
    printed = capsys.readouterr().err
    assert "MQRNN: 1 of 3 series are constant, and teach a network nothing: 'flat'" in printed
    assert "1 of 3 series are no longer than h=6, and are forecast without" in printed
    SeasonalNaive(H).fit(series)
    MQRNN(H, units=4, max_steps=1, input_size=12, verbose=0).fit(series)
    assert capsys.readouterr() == ("", "")


def test_one_row_in_one_row_out(rng):
    y = _series(rng, count=1)
    y = next(iter(y.values())) if isinstance(y, dict) else np.asarray(y).reshape(-1)
    flat, row = (Naive(H, verbose=0).fit(one).predict() for one in (y, y[np.newaxis]))
    assert flat.shape == (H,)
    assert row.shape == (1, H)
    np.testing.assert_array_equal(flat, row[0])
    assert Naive(H, verbose=0).fit([y]).predict().shape == (1, H)
    model = Naive(H, verbose=0).fit(y)
    assert model.predict(y[np.newaxis]).shape == (1, H)
    assert model.cross_validation(y[np.newaxis])["Naive"].shape == (1, 1, H)
    assert model.cross_validation()["Naive"].shape == (1, H)


def test_what_a_rule_leaves_out_is_told(capsys):
    pandas = pytest.importorskip("pandas")
    stamps = pandas.date_range("2024-01-01", periods=20)
    table = pandas.DataFrame({"ds": stamps, "y": range(20), "promo": 1.0, "wind": 2.0})
    model = Naive(2).fit(table, futr_exog=["promo"], hist_exog=["wind"])
    words = "columns beside the target are not used: 'promo', 'wind'"
    assert words in model.notes_
    assert f"Naive: {words}" in capsys.readouterr().err.splitlines()
    Naive(2, verbose=0).fit(table, futr_exog=["promo"])
    assert capsys.readouterr().err == ""


def test_cross_validation_takes_names_of_columns():
    pandas = pytest.importorskip("pandas")
    stamps = pandas.date_range("2024-01-01", periods=40)
    table = pandas.DataFrame({"day": stamps, "sold": np.arange(40.0), "promo": np.arange(40) % 2})
    names = {"time_col": "day", "target_col": "sold"}
    made = Naive(2, verbose=0).cross_validation(table, n_windows=3, **names)
    assert list(made) == ["day", "cutoff", "Naive", "sold"]
    known = MQRNN(2, units=4, max_steps=2, input_size=6, verbose=0)
    one = known.cross_validation(table, futr_exog=["promo"], **names)
    known.fit(table, futr_exog=["promo"], **names)
    np.testing.assert_array_equal(one["MQRNN"], known.cross_validation()["MQRNN"])
    without = known.cross_validation(table, futr_exog=[])
    assert (without["MQRNN"] != one["MQRNN"]).all()
    with pytest.raises(TypeError, match=r"expected id_col, .* got 'futr'"):
        known.cross_validation(table, futr=["promo"])
    with pytest.raises(ValueError, match="pass the table too"):
        known.cross_validation(futr_exog=["promo"])
