"""Rules forecast as their definitions read, from each origin by what was known there."""

import numpy as np
import pytest

from fastlstm.forecasting.rules import (
    drift,
    drift_from,
    filled,
    naive,
    naive_from,
    seasonal_naive,
    seasonal_naive_from,
    targets,
)

NAN = np.nan


def last_known(y):
    return next((value for value in y[::-1] if not np.isnan(value)), NAN)


def slow_seasonal(y, h, season):
    made = []
    for step in range(len(y), len(y) + h):
        same = [y[t] for t in range(step % season, len(y), season) if not np.isnan(y[t])]
        made.append(same[-1] if same else last_known(y))
    return made


def slow_drift(y, h):
    known = [t for t in range(len(y)) if not np.isnan(y[t])]
    if not known:
        return [NAN] * h
    first, last = known[0], known[-1]
    slope = (y[last] - y[first]) / (last - first) if last > first else 0.0
    return [y[last] + slope * (len(y) + k - last) for k in range(h)]


@pytest.fixture(params=[0.0, 0.3, 0.8])
def series(request, rng):
    y = np.cumsum(rng.normal(size=41))
    y[rng.random(41) < request.param] = NAN
    y[5] = 2.5
    return y


@pytest.mark.parametrize("h", [1, 5, 23])
def test_every_origin_is_the_rule_on_what_was_known(series, h):
    origins = np.arange(1, 42)
    for season in (1, 7, 12, 60):
        made = seasonal_naive_from(series, h, origins, season)
        wanted = [slow_seasonal(series[:o], h, season) for o in origins]
        np.testing.assert_array_equal(made, wanted)
        np.testing.assert_array_equal(seasonal_naive(series, h, season), wanted[-1])
    wanted = [[last_known(series[:o])] * h for o in origins]
    np.testing.assert_array_equal(naive_from(series, h, origins), wanted)
    np.testing.assert_array_equal(naive(series, h), wanted[-1])
    wanted = [slow_drift(series[:o], h) for o in origins]
    np.testing.assert_allclose(drift_from(series, h, origins), wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(drift(series, h), wanted[-1], rtol=1e-12, atol=1e-12)


def test_rules_on_lists():
    assert naive([1, 2, 3], 2).tolist() == [3, 3]
    assert seasonal_naive([1, 2, 3, 4], 5, 3).tolist() == [2, 3, 4, 2, 3]
    assert drift([1, 2, 5], 2).tolist() == [7, 9]


def test_targets_are_what_came_and_unknown_beyond_the_end():
    np.testing.assert_array_equal(
        targets(np.arange(5.0), 3, np.array([1, 4, 5])), [[1, 2, 3], [4, NAN, NAN], [NAN] * 3]
    )


def test_gaps_are_filled_from_the_same_phase_of_the_season():
    season = np.array([0.0, 10.0, 20.0])
    y = np.concatenate([season, season + 1, season + 2, season + 3])
    holes = y.copy()
    holes[[4, 5, 6]] = NAN
    np.testing.assert_allclose(filled(holes, 3), y)
    holes[:2] = NAN
    # No value on one side: that on the other.
    assert filled(holes, 3)[:2].tolist() == [1.0, 12.0]
    assert np.isnan(holes[4])


def test_a_phase_without_values_is_filled_along_the_line():
    np.testing.assert_allclose(filled(np.array([0.0, NAN, 4.0, NAN, 0.0, NAN]), 2)[[1, 3]], [2, 2])


def test_a_series_without_gaps_is_itself():
    y = np.arange(4.0)
    assert filled(y, 2) is y


@pytest.mark.parametrize(
    "call",
    [
        lambda: naive([[1.0, 2.0]], 3),
        lambda: drift([], 3),
        lambda: seasonal_naive([1.0], 3, 0),
        lambda: naive([1.0], 0),
    ],
)
def test_what_is_no_series_or_number_of_steps_is_refused(call):
    with pytest.raises(ValueError, match="expects"):
        call()
