"""Scores are their definitions, term by term, and leave out what is not known."""

from statistics import NormalDist

import numpy as np
import pytest

from fastlstm.forecasting import scores

NAN = float("nan")


def test_errors_by_hand():
    y, f = [1.0, 2.0, NAN, 4.0], [2.0, 2.0, 9.0, 1.0]
    assert scores.mae(y, f) == pytest.approx((1 + 0 + 3) / 3)
    assert scores.mse(y, f) == pytest.approx((1 + 0 + 9) / 3)
    assert scores.rmse(y, f) == pytest.approx((10 / 3) ** 0.5)
    assert scores.smape(y, f) == pytest.approx(200 * (1 / 3 + 0 + 3 / 5) / 3)


def test_smape_of_zeros_is_no_error_and_of_other_signs_all_there_is():
    assert scores.smape([0.0, 1.0], [0.0, -1.0]) == 100.0


def test_mase_is_in_units_of_the_change_from_season_to_season():
    past = [1.0, 5.0, 2.0, NAN, 4.0, 7.0]
    # |2 - 1| and |4 - 2| two steps apart, the pairs of which one is missing left out.
    assert scores.mase([10.0], [13.0], past, 2) == pytest.approx(3.0 / ((1 + 2) / 2))
    assert scores.mase([10.0], [13.0], past, 1) == pytest.approx(3.0 / ((4 + 3 + 3) / 3))


@pytest.mark.parametrize(("past", "season"), [([1.0, 2.0], 2), ([1.0], 1), ([3.0, 3.0], 1)])
def test_mase_without_a_unit_is_nan(past, season):
    assert np.isnan(scores.mase([1.0], [2.0], past, season))


def test_mase_is_of_one_series():
    with pytest.raises(ValueError, match="one series"):
        scores.mase([1.0], [2.0], [[1.0, 2.0]], 1)


def test_owa_is_the_mean_of_both_ratios():
    assert scores.owa(10.0, 1.0, 20.0, 4.0) == pytest.approx((0.5 + 0.25) / 2)


def test_pinball_by_hand_and_by_shape():
    assert scores.pinball([3.0, 3.0], [1.0, 4.0], 0.9) == pytest.approx((0.9 * 2 + 0.1 * 1) / 2)
    y = np.array([[3.0, NAN]])
    f = np.array([[[1.0, 4.0], [0.0, 0.0]]])
    assert scores.pinball(y, f, [0.1, 0.9]) == pytest.approx((0.1 * 2 + 0.1 * 1) / 2)


def test_the_median_minimises_the_pinball_loss_of_one_half(rng):
    y = rng.exponential(size=2001)
    losses = [scores.pinball(y, np.full(2001, c), 0.5) for c in np.quantile(y, [0.4, 0.5, 0.6])]
    assert np.argmin(losses) == 1
    assert 2 * losses[1] == pytest.approx(scores.mae(y, np.full(2001, np.median(y))))


def test_coverage_counts_the_ends():
    y = [1.0, 2.0, 3.0, NAN, 9.0]
    assert scores.coverage(y, np.ones(5), np.full(5, 3.0)) == pytest.approx(3 / 4)
    assert scores.coverage([1.0], [2.0], [0.0]) == 0.0


def test_crps_is_that_of_a_normal_distribution():
    normal, q = NormalDist(2.0, 3.0), (np.arange(999) + 0.5) / 999
    f = [normal.inv_cdf(level) for level in q]
    for y in (-4.0, 2.0, 5.0):
        z = (y - 2.0) / 3.0
        exact = 3.0 * (z * (2 * NormalDist().cdf(z) - 1) + 2 * NormalDist().pdf(z) - np.pi**-0.5)
        assert scores.crps([y], [f], q) == pytest.approx(exact, rel=2e-3)


def test_crps_weighs_uneven_levels_by_what_they_stand_for():
    # The levels .1, .5, .6 stand for 0 to .3, .3 to .55 and .55 to 1.
    losses = [0.1 * 3.0, 0.5 * 2.0, 0.6 * 1.0]
    wanted = 2 * np.dot(losses, [0.3, 0.25, 0.45])
    assert scores.crps([4.0], [[1.0, 2.0, 3.0]], [0.1, 0.5, 0.6]) == pytest.approx(wanted)


def test_crps_of_one_median_is_the_absolute_error():
    assert scores.crps([1.0, 2.0], [2.0, 5.0], 0.5) == pytest.approx(2.0)
    assert scores.crps([1.0, 2.0], [[2.0], [5.0]], [0.5]) == pytest.approx(2.0)


def test_crps_wants_rising_levels():
    with pytest.raises(ValueError, match="rise"):
        scores.crps([1.0], [[1.0, 2.0]], [0.9, 0.1])


POINT = ["mae", "mse", "rmse", "smape"]


@pytest.mark.parametrize("name", POINT)
def test_nothing_known_is_nan_and_a_missing_forecast_is_not_left_out(name):
    score = getattr(scores, name)
    assert np.isnan(score([NAN], [1.0]))
    assert np.isnan(score([1.0, 2.0], [1.0, NAN]))


def test_a_missing_end_of_an_interval_is_not_left_out():
    assert np.isnan(scores.coverage([1.0, 2.0], [0.0, NAN], [2.0, 3.0]))


@pytest.mark.parametrize("name", POINT)
def test_shapes_that_differ_are_refused(name):
    with pytest.raises(ValueError, match=r"\(2,\).*got \(1,\)"):
        getattr(scores, name)([1.0, 2.0], [1.0])


@pytest.mark.parametrize("q", [0.0, 1.0, [0.5, 1.5], 80])
def test_levels_of_quantiles_lie_between_0_and_1(q):
    with pytest.raises(ValueError, match="between 0 and 1"):
        scores.pinball([1.0], [1.0], q)
