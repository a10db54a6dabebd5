"""The regression is scikit-learn's on the windows written out."""

import numpy as np
import pytest

from fastlstm.forecasting import ridge
from fastlstm.forecasting.ridge import Moments, RidgeFit, best_penalty, fit_ridge, usual_alpha


def written_out(series, look_back, h, center):
    rows = [
        one[t : t + look_back + h] for one in series for t in range(len(one) - look_back - h + 1)
    ]
    past, future = np.array(rows)[:, :look_back], np.array(rows)[:, look_back:]
    shift = past[:, -1:] if center == "last" else past.mean(axis=1, keepdims=True)
    return past, past - shift, future - shift, shift


@pytest.fixture
def series(rng):
    return [40 + np.cumsum(rng.normal(size=n)) for n in (60, 17, 90, 9)]


@pytest.mark.parametrize("center", ["last", "mean"])
@pytest.mark.parametrize("alpha", [0.0, 0.01, 1.0, 30.0])
def test_it_is_that_of_scikit_learn(series, center, alpha, monkeypatch):
    linear_model = pytest.importorskip("sklearn.linear_model")
    past, x, y, shift = written_out(series, 12, 5, center)
    peer = linear_model.Ridge(alpha) if alpha else linear_model.LinearRegression()
    peer.fit(x, y)
    # The sums go over blocks of windows, of which there are several here.
    monkeypatch.setattr(ridge, "_TOGETHER", 16)
    fit = fit_ridge(series, 12, 5, alpha, center)
    np.testing.assert_allclose(fit.weights, peer.coef_.T, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fit.predict(past), peer.predict(x) + shift, rtol=0, atol=1e-9)


def test_the_intercept_bears_no_penalty():
    # A ramp rises by the same in each step: windows do not differ, only the intercept knows.
    fit = fit_ridge([np.arange(40.0) * 3.0], 4, 3, alpha=1e9)
    np.testing.assert_allclose(fit.weights, 0.0, atol=1e-6)
    np.testing.assert_allclose(fit.predict([[0.0, 3.0, 6.0, 9.0]]), [[12.0, 15.0, 18.0]])


def test_without_noise_and_penalty_a_season_goes_on_for_ever():
    y = np.sin(np.arange(120) * 2 * np.pi / 12) + 5
    fit = fit_ridge([y[:80]], 13, 6, alpha=1e-9)
    np.testing.assert_allclose(fit.predict(y[np.newaxis, 67:80], 40)[0], y[80:], atol=1e-4)


def test_steps_beyond_its_own_come_from_its_forecasts(series):
    fit = fit_ridge(series, 12, 5)
    window = series[0][np.newaxis, -12:]
    first = fit.predict(window)
    second = fit.predict(np.concatenate([window, first], axis=1)[:, -12:])
    wanted = np.concatenate([first, second], axis=1)[:, :8]
    np.testing.assert_array_equal(fit.predict(window, 8), wanted)
    np.testing.assert_array_equal(fit.predict(window, 2), wanted[:, :2])


def test_short_series_are_left_out_and_too_short_ones_an_error(series):
    with_short, without = fit_ridge(series, 12, 5), fit_ridge([series[n] for n in (0, 1, 2)], 12, 5)
    np.testing.assert_array_equal(with_short.weights, without.weights)
    with pytest.raises(ValueError, match="12 values expects a series of at least 17"):
        fit_ridge([series[3]], 12, 5)


def test_windows_of_another_length_are_refused():
    fit = RidgeFit(np.zeros((4, 2)), np.zeros(2), "last")
    with pytest.raises(ValueError, match=r"windows of 4 values.*got \(1, 3\)"):
        fit.predict([[1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    "arguments", [{"alpha": -1.0}, {"center": "median"}, {"look_back": 0}, {"h": 1.5}]
)
def test_arguments_that_do_not_fit_are_refused(arguments):
    with pytest.raises(ValueError, match="expects"):
        fit_ridge([np.arange(30.0)], **{"look_back": 4, "h": 2, **arguments})


def test_moments_give_the_same_regression_and_its_errors() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((90, 4)), generator.standard_normal((90, 3)) + 1
    learned = Moments(x[:20], y[:20])
    learned += Moments(x[20:60], y[20:60])
    held = Moments(x[60:], y[60:])
    weights = learned.solve(2.0)
    centred = x[:60] - x[:60].mean(axis=0)
    slopes = np.linalg.solve(centred.T @ centred + 2 * np.eye(4), centred.T @ y[:60])
    np.testing.assert_allclose(weights[:4], slopes, rtol=1e-9)
    np.testing.assert_allclose(weights[4], (y[:60] - x[:60] @ slopes).mean(axis=0), rtol=1e-9)
    errors = y[60:] - x[60:] @ weights[:4] - weights[4]
    assert held.loss(weights) == pytest.approx((errors**2).sum())


def test_the_best_penalty_is_that_of_other_rows() -> None:
    generator = np.random.default_rng(0)
    x, noise = generator.standard_normal((200, 30)), generator.standard_normal((200, 1))
    parts = slice(0, 40), slice(40, 200)
    alphas = (1e-3, 1e0, 1e3)
    for strength, expected in ((100.0, 1e-3), (0.3, None)):
        y = strength * x[:, :1] + noise
        learned, held = (Moments(x[part], y[part]) for part in parts)
        losses = [held.loss(learned.solve(alpha)) for alpha in alphas]
        wanted = alphas[int(np.argmin(losses))]
        assert best_penalty(learned, held, alphas) == wanted
        assert expected is None or wanted == expected
    # What no regression explains.
    learned = Moments(x[:40], noise[:40])
    held = Moments(x[40:], -10 * x[40:] @ learned.solve(1e-3)[:30])
    assert best_penalty(learned, held, alphas) is None
    assert best_penalty(Moments(x[:0], noise[:0]), held, alphas) is None


@pytest.mark.parametrize("center", ["last", "mean"])
def test_the_usual_alpha_forecasts_the_last_quarter_best(rng, center, monkeypatch):
    look_back, h, found = 20, 3, set()
    for noise in (0.01, 0.3, 3.0):
        t = np.arange(160)
        series = [np.sin(t / 3) + noise * rng.normal(size=n)[: len(t)] for n in (160, 160)]
        errors = []
        for alpha in (1.0, 10.0, 100.0, 1000.0):
            # 138 windows, of which the last 34 are held out, and three before them are neither.
            fit = fit_ridge([y[: 104 + look_back - 1] for y in series], look_back, h, alpha, center)
            parts = [written_out([y], look_back, h, center) for y in series]
            errors.append(
                sum(
                    ((fit.predict(past) - shift - after)[104:] ** 2).sum()
                    for past, _, after, shift in parts
                )
            )
        wanted = (1.0, 10.0, 100.0, 1000.0)[int(np.argmin(errors))]
        # The sums go over blocks of windows, of which there are several here.
        monkeypatch.setattr(ridge, "_TOGETHER", 16)
        found.add(usual_alpha(series, look_back, h, center))
        assert usual_alpha(series, look_back, h, center) == wanted
    assert len(found) > 1


def test_the_usual_alpha_is_the_largest_where_nothing_can_be_said(rng):
    assert usual_alpha([rng.normal(size=7)], 6, 4) == 1000.0
    assert usual_alpha([rng.normal(size=12)], 6, 4) == 1000.0
    walk = np.cumsum(rng.normal(size=400))
    assert usual_alpha([walk], 50, 5) == 1000.0
