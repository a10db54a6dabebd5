"""Intervals that are calibrated on the past: what they promise, and in which order they stand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fastlstm.forecasting import MQRNN, DeepAR, Forecaster, Naive, Ridge, SeasonalNaive, load
from fastlstm.forecasting.calibration import (
    LEVELS,
    QUANTILES,
    Calibration,
    Past,
    calibrated,
    past_cutoffs,
    past_of,
)
from fastlstm.forecasting.forecast import Forecast
from fastlstm.forecasting.intervals import quantiles_of
from fastlstm.forecasting.panel import Panel
from tests.forecasting.small import make, same, series

H = 6


def _of_normal(windows, h, wide, rng, log=False):
    """What came, medians and quantiles by one who thinks that the spread is ``wide`` times less."""
    from statistics import NormalDist

    scores = np.array([NormalDist().inv_cdf(q) for q in QUANTILES])
    spread = 0.1 * (1 + np.arange(h))
    y = spread * rng.standard_normal((windows, h))
    bands = np.broadcast_to(spread[:, np.newaxis] * scores / wide, (windows, h, len(scores)))
    point = np.zeros((windows, h))
    return tuple(np.exp(one) for one in (y, point, bands)) if log else (y, point, bands)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("wide", [0.5, 1.0, 2.0])
def test_intervals_hold_what_they_promise_however_wrong_they_were(wide, log, rng):
    positive = np.full(4000, log)
    y, point, bands = _of_normal(4000, H, wide, rng, log)
    made = calibrated(y, point, bands, positive)
    assert np.abs(made.factors / wide - 1).max() < 0.15
    y, point, bands = _of_normal(4000, H, wide, rng, log)
    after = made.applied(point, bands, QUANTILES, positive)
    for place, level in enumerate(LEVELS):
        low, high = after[..., len(LEVELS) - 1 - place], after[..., len(LEVELS) + 1 + place]
        inside = (low <= y) & (y <= high)
        assert inside.mean() == pytest.approx(level / 100, abs=0.02)
    np.testing.assert_allclose(after[..., len(LEVELS)], point)
    assert not log or (after > 0).all()


def test_the_rank_is_that_of_a_finite_sample(rng):
    """Of 19 windows the widest error is that of 95 per cent; of fewer it is all there is."""
    y, point, bands = _of_normal(19, 1, 1.0, rng)
    made = calibrated(y, point, bands, np.zeros(19, bool), smooth=0)
    widest = np.abs(y[:, 0]).max() / bands[0, 0, len(LEVELS) + 1 + LEVELS.index(95)]
    assert made.factors[LEVELS.index(95), 0] == pytest.approx(widest)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, (3, 4), elements=st.floats(0.1, 10)),
    arrays(np.float64, (2, 4, 9), elements=st.floats(-1e3, 1e3)),
    st.booleans(),
)
def test_quantiles_never_cross(factors, values, positive):
    made = Calibration(np.concatenate([factors, factors[:2]]))
    quantiles = quantiles_of([30, 60, 85, 97])
    bands = np.sort(np.exp(values / 200) if positive else values, axis=2)
    after = made.applied(bands[..., 4], bands, quantiles, np.full(2, positive))
    assert (np.diff(after, axis=2) >= 0).all()
    np.testing.assert_allclose(after[..., 4], bands[..., 4], rtol=1e-12)


def test_values_that_are_missing_or_intervals_without_width_change_nothing(rng):
    y, point, bands = _of_normal(60, H, 2.0, rng)
    wanted = calibrated(y, point, bands, np.zeros(60, bool)).factors
    nothing = np.full((20, H), np.nan)
    longer = [np.concatenate([y, nothing]), np.concatenate([point, nothing]), np.zeros((80, H, 11))]
    longer[2][:60], longer[1][60:] = bands, 0.0
    longer[0][70:] = 1.0
    found = calibrated(*longer, np.zeros(80, bool)).factors
    np.testing.assert_array_equal(found, wanted)
    none = calibrated(nothing, nothing, np.zeros((20, H, 11)), np.zeros(20, bool))
    np.testing.assert_array_equal(none.factors, 1.0)


def test_cutoffs_lie_in_the_last_fifth_or_are_one():
    for count, length, h in ((1, 1000, 24), (1, 50, 6), (3, 90, 6), (400, 700, 48), (1, 8, 6)):
        left = past_cutoffs(Panel.of_arrays([np.arange(float(length))] * count), h)
        assert left[-1] == h
        assert (np.diff(left) < 0).all()
        assert left[0] <= max(h, length // 5)
        assert len(left) * count < 256 + count
    assert len(past_cutoffs(Panel.of_arrays(np.arange(5000.0)), 24)) == 256


def _noisy(rng, count, length):
    wave = 20 + 5 * np.sin(2 * np.pi * np.arange(length) / 12)
    return wave + rng.standard_t(4, (count, length))


class _TooSure:
    """One whose intervals are three times too narrow."""

    def _forecast(self, panel, h, future, quantiles):
        point, bands = super()._forecast(panel, h, future, quantiles)
        return Forecast(point, point[..., np.newaxis] + (bands - point[..., np.newaxis]) / 3)


class _SureMQRNN(_TooSure, MQRNN):
    pass


class _SureDeepAR(_TooSure, DeepAR):
    pass


@pytest.mark.parametrize("kind", [_SureMQRNN, _SureDeepAR])
def test_a_network_that_is_too_sure_learns_how_uncertain_it_is(kind, rng):
    y = _noisy(rng, 24, 60)
    options = {"units": 8, "max_steps": 100, "input_size": 12, "season_length": 12, "verbose": 0}
    options["learning_rate"] = 1e-2
    found = {}
    for conformal in (False, None):
        model = kind(H, level=[80], conformal=conformal, **options)
        made = model.fit(y[:, :-H]).predict()
        low, high = (made[f"{kind.__name__}-{end}-80"] for end in ("lo", "hi"))
        found[conformal] = ((low <= y[:, -H:]) & (y[:, -H:] <= high)).mean()
        assert (model.calibration_ is None) == (conformal is False)
    assert found[False] < 0.6
    assert 0.7 < found[None] < 0.92
    # A backtest is calibrated by what comes before its first cutoff.
    made = kind(H, **options).cross_validation(y, level=[80])
    low, high = (made[f"{kind.__name__}-{end}-80"] for end in ("lo", "hi"))
    assert 0.7 < ((low <= made["y"]) & (made["y"] <= high)).mean() < 0.92


def test_series_that_are_too_short_for_it(rng, capsys):
    y = rng.standard_normal((3, 13))
    options = {"units": 4, "max_steps": 2, "input_size": 2}
    with pytest.raises(ValueError, match=r"conformal=True.*too short.*Take conformal=False"):
        MQRNN(H, verbose=0, conformal=True, **options).fit(y)
    model = MQRNN(H, level=[80], **options).fit(y)
    assert "intervals are not calibrated" in capsys.readouterr().err
    assert model.calibration_ is None
    with pytest.raises(ValueError, match="conformal expects"):
        MQRNN(H, conformal="yes", **options).fit(y)


def test_what_is_asked_for_decides_by_default(rng):
    y = _noisy(rng, 2, 60)
    options = {"units": 4, "max_steps": 2, "input_size": 12, "verbose": 0}
    assert MQRNN(H, **options).fit(y).calibration_ is None
    model = MQRNN(H, conformal=True, **options).fit(y)
    assert model.calibration_.factors.shape == (len(LEVELS), H)
    far = model.predict(h=3 * H, level=[80, 90.5])
    assert (far["MQRNN-lo-90.5"] <= far["MQRNN-lo-80"]).all()
    # The forecast itself is that of the network, calibrated or not.
    plain = MQRNN(H, conformal=False, **options).fit(y)
    np.testing.assert_array_equal(plain.predict(), model.predict())


def test_what_is_long_ago_and_windows_that_overlap_count_less(rng):
    """Errors three times as large since the last stretch: these are what intervals hold."""
    y, _, bands = _of_normal(400, H, 1.0, rng)
    left = np.arange(200, 0, -1) + H - 1
    made = np.repeat(-left, 2)
    past = past_of(bands, y, np.zeros(400, bool), made, left)
    np.testing.assert_allclose(past.share, 1 / H)
    assert np.abs(past.calibration().factors[:4] - 1).max() < 0.35
    for place in range(6):
        later, _, same = _of_normal(40, H, 3.0, rng)
        now = place * 200
        none = np.zeros(40, bool)
        past = past.and_then(3.0 * same, 3.0 * later, none, now, 1.0, past.calibration())
    assert np.abs(past.calibration().factors[:4] / 3 - 1).max() < 0.35


def test_nothing_that_has_not_come_yet_counts(rng):
    y, _, bands = _of_normal(50, H, 1.0, rng)
    left = np.arange(50, 0, -1) + H - 1
    first = past_of(bands, y, np.zeros(50, bool), -left, left)
    none, widths = np.zeros(50, bool), first.calibration()
    wild = first.and_then(bands, 1e6 * y, none, -2, 1.0, widths).followed(0)
    tame = first.and_then(bands, y, none, -2, 1.0, widths).followed(0)
    # Two of the six steps have come.
    early = [past.calibration(0).factors for past in (wild, tame)]
    np.testing.assert_array_equal(early[0][:, 3:], early[1][:, 3:])
    assert (early[0][-1, :2] > early[1][-1, :2]).all()


def test_a_backtest_is_calibrated_by_what_came_on_the_way(rng):
    """Noise that is far larger from the first cutoff on; and values to come are unseen."""
    y = 100 + _noisy(rng, 6, 240)
    y[:, 120:] += 4.5 * rng.standard_normal((6, 120))
    options = {"units": 8, "max_steps": 30, "input_size": 24, "season_length": 12, "verbose": 0}
    model = MQRNN(H, learning_rate=1e-3, **options)
    made = model.cross_validation(y, n_windows=20, level=[80])
    low, high = made["MQRNN-lo-80"], made["MQRNN-hi-80"]
    inside = (low <= made["y"]) & (made["y"] <= high)
    assert inside[:, 0].mean() < 0.75
    assert inside[:, 10:].mean() == pytest.approx(0.8, abs=0.08)
    other = y.copy()
    other[:, -H:] += 1000.0
    again = model.cross_validation(other, n_windows=20, level=[80])
    for name in ("MQRNN", "MQRNN-lo-80", "MQRNN-hi-80"):
        np.testing.assert_array_equal(again[name], made[name])


def test_models_that_learn_anew_at_each_cutoff_are_calibrated_once(rng, monkeypatch):
    fits = []
    learn = MQRNN._fit
    monkeypatch.setattr(
        MQRNN, "_fit", lambda self, panel: (fits.append(len(panel.y)), learn(self, panel))[1]
    )
    options = {"units": 4, "max_steps": 5, "input_size": 12, "season_length": 12, "verbose": 0}
    y = _noisy(rng, 2, 120)
    made = MQRNN(H, **options).cross_validation(y, n_windows=3, level=[80], refit=True)
    # Without the last points, then at each of three cutoffs.
    assert len(fits) == 4
    assert fits[1] < fits[0] == 204
    assert fits[2:] == [216, 228]
    assert (made["MQRNN-lo-80"] < made["MQRNN-hi-80"]).all()


@pytest.mark.parametrize("wide", [0.5, 2.0])
def test_coverage_is_followed_where_windows_to_come_are_unlike_those_before(wide, rng):
    """Two series: factors of 256 windows before would hold far too little, or too much."""
    y, _, bands = _of_normal(256, H, 1.0, rng)
    left, none = H * np.arange(128, 0, -1), np.zeros(2, bool)
    past = past_of(bands, y, np.zeros(256, bool), np.repeat(-left, 2), left)
    first, inside = past.calibration(), []
    for place in range(60):
        now, calibration = H * place, past.calibration(H * place)
        came, point, given = _of_normal(2, H, 1.0, rng)
        after = calibration.applied(point, given, QUANTILES, none)
        inside.append(
            [
                ((after[..., 5 - n] <= wide * came) & (wide * came <= after[..., 5 + n])).mean()
                for n in (2, 4)
            ]
        )
        past = past.and_then(given, wide * came, none, now, 1.0, calibration).followed(now + H)
        assert not past.waiting
    assert np.abs(past.calibration().factors[1:4] / first.factors[1:4] / wide - 1).max() < 0.35
    np.testing.assert_allclose(np.mean(inside[10:], axis=0), [0.8, 0.95], atol=0.03)


def test_windows_count_for_coverage_when_all_of_them_has_come(rng):
    y, _, bands = _of_normal(4, H, 1.0, rng)
    none, past = np.zeros(4, bool), Past.empty(H)
    assert past.calibration() is None
    past = past.and_then(bands, 100 * y, none, 0, 1.0, None)
    past = past.and_then(bands, 0 * y, none, 3, 1.0, None)
    assert past.followed(H - 1).calibration() is None
    some = past.followed(H)
    held = 1 - np.array(LEVELS) / 100
    missed = np.minimum(1.0, 5 * held)
    np.testing.assert_allclose(some.shift, 0.4 * (missed - held), atol=0.05)
    np.testing.assert_allclose(some.followed(H + 3).shift, some.shift - 0.4 * held)
    np.testing.assert_allclose(some.calibration().factors, np.exp(some.shift)[:, None].repeat(H, 1))
    # One value tells less than many, and what is missing nothing.
    one = Past.empty(1).and_then(bands[:1, :1], 1e3 + y[:1, :1], none[:1], 0, 1.0, None).followed(1)
    np.testing.assert_allclose(one.shift, 0.1 * (missed - held))
    y[:] = np.nan
    assert (
        not past.and_then(bands, y, none, 9, 1.0, None).followed(99).shift[0]
        - (past.followed(99).shift[0])
    )


def test_medians_below_zero_of_positive_series_make_no_intervals_without_end():
    """A regression may forecast such; logarithms of these would be hundreds away."""
    bands = np.linspace(-2.0, 1.0, len(QUANTILES)) * np.ones((3, H, 1))
    y, positive = np.full((3, H), 2.0), np.full(3, True)
    made = calibrated(y, bands[..., len(LEVELS)], bands, positive)
    after = made.applied(bands[..., len(LEVELS)], bands, QUANTILES, positive)
    assert np.abs(after).max() < 30
    bands += 1.9
    made = calibrated(y, bands[..., len(LEVELS)], bands, positive)
    after = made.applied(bands[..., len(LEVELS)], bands, QUANTILES, positive)
    assert after.min() > 0
    assert after.max() < 30


@pytest.mark.parametrize("kind", [MQRNN, DeepAR, Ridge, SeasonalNaive, Forecaster])
def test_intervals_learn_from_new_rows(kind, rng, tmp_path):
    """At once, in pieces or by steps, the same bits; forecasts themselves stay as they are."""
    y = np.stack([one[:80] for one in series(rng)])
    later = np.stack([one[:54] for one in series(rng)]) + 6 * rng.standard_normal((3, 54))
    options = {"models": [Naive(H), Ridge(H)]} if kind is Forecaster else {}
    model = make(kind, level=[80], **options).fit(y)
    name = model.name

    def wide(made):
        return (made[f"{name}-hi-80"] - made[f"{name}-lo-80"]).mean()

    without = make(kind, level=[80], **options).fit(y)
    getattr(without, "chosen_", without)._own_past = lambda: None
    same(model.update(later[:, :5]).predict(), without.update(later[:, :5]).predict())
    # Not enough of them for a window yet. A file keeps what they are counted from.
    model.save(tmp_path / "model")
    pieces, steps = load(tmp_path / "model"), load(tmp_path / "model")
    model.update(later[:, 5:])
    for some in np.split(later[:, 5:], [1, 8, 9, 30], axis=1):
        pieces.update(some)
    same(pieces.predict(), model.predict())
    for values in later[:, 5:].T:
        made = steps.step(values)
    same(made, model.predict())
    unlike = without.update(later[:, 5:]).predict()
    np.testing.assert_array_equal(unlike[name], model.predict()[name])
    assert abs(np.log(wide(model.predict()) / wide(unlike))) > 0.03


def test_coverage_comes_true_as_values_come(rng):
    """A network that has hardly learned, and noise six times as large from its last value on."""
    y = np.stack([one[:360] for one in series(rng, 3, 380)])
    y[:, 120:] += 6 * rng.standard_normal((3, 240))
    model = make(MQRNN, level=[80]).fit(y[:, :120])
    inside = {True: [], False: []}
    for follows in inside:
        one = copy.deepcopy(model)
        if not follows:
            one._own_past = lambda: None
        for t in range(120, 354):
            made = one.step(y[:, t])
            if t % H == 0:
                came = y[:, t + 1 : t + 1 + H]
                held = (made["MQRNN-lo-80"] <= came) & (came <= made["MQRNN-hi-80"])
                inside[follows].append(held.mean())
    assert np.mean(inside[True][10:]) == pytest.approx(0.8, abs=0.04)
    assert abs(np.mean(inside[False][10:]) - 0.8) > 0.08


def test_series_that_are_new_or_late_count_from_where_they_began(rng):
    y = _noisy(rng, 3, 90)
    model = make(MQRNN, level=[80]).fit({"a": y[0, :60], "b": y[1, :60]})
    model.update({"a": y[0, 60:80], "c": y[2, :50]})
    first = model.calibration_.factors
    assert len(model._past.waiting) == 0
    # Two windows of "b"; one of "c" with two values more.
    model.update({"b": y[1, 60:75], "c": y[2, 50:56]})
    assert (model.calibration_.factors != first).any()
    windows = np.bincount((model._past.made[model._past.made >= 0] // H).astype(int))
    assert windows.tolist() == [3, 2, 1]
    model.update({"c": y[2, 56:57]})
    assert len(model._past.made[model._past.made >= 0]) == 6


def test_intervals_of_rules_follow_their_coverage_in_a_backtest(rng):
    """Noise that is three times as large from the first cutoff on."""
    y = 100 + rng.standard_normal((4, 1260))
    y[:, 900:] = 100 + 3 * rng.standard_normal((4, 360))
    made = Naive(H).cross_validation(y, n_windows=60, level=[80, 95])
    for level in (80, 95):
        low, high = made[f"Naive-lo-{level}"], made[f"Naive-hi-{level}"]
        inside = (low <= made["y"]) & (made["y"] <= high)
        assert inside[:, 0].mean() < level / 100 - 0.1
        assert inside[:, 12:].mean() == pytest.approx(level / 100, abs=0.03)
