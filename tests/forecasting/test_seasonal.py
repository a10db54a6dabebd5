"""The last season over and over, and its unit, against loops over single values."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.forecasting.seasonal import relative, repeated


def _value(window, season, step):
    """The latest value that stands a number of seasons before this step, else the mean."""
    at = len(window) + step
    while at >= len(window):
        at -= season
    while at >= 0:
        if np.isfinite(window[at]):
            return window[at]
        at -= season
    return np.nanmean(window) if np.isfinite(window).any() else 0.0


@pytest.mark.parametrize(
    ("look_back", "season", "h"), [(12, 4, 4), (10, 4, 9), (5, 5, 3), (3, 7, 2)]
)
def test_base_and_unit_are_those_of_loops(look_back, season, h):
    generator = np.random.default_rng(1)
    past = generator.normal(size=(20, look_back))
    past[generator.random(past.shape) < 0.3] = np.nan
    past[0] = np.nan
    base, unit = repeated(past, season, h)
    used = season if season <= look_back else 1
    for window, row, one in zip(past, base, unit, strict=True):
        np.testing.assert_allclose(row, [_value(window, used, step) for step in range(h)])
        apart = [abs(window[t] - window[t - used]) for t in range(used, look_back)]
        apart = [value for value in apart if np.isfinite(value)]
        spread = np.nanstd(window) if np.isfinite(window).any() else 0.0
        wanted = max(np.mean(apart) if apart else 0.0, 0.02 * spread)
        np.testing.assert_allclose(one, wanted if wanted > 1e-10 else 1.0)


@pytest.mark.parametrize("level", [0.0, 3.0, 1e9 / 3])
def test_unit_of_a_constant_window_is_one(level):
    base, unit = repeated(np.full((2, 8), level), 4, 6)
    np.testing.assert_array_equal(base, level)
    np.testing.assert_array_equal(unit, 1.0)


def test_unit_of_a_season_that_repeats_exactly_is_a_part_of_the_spread():
    window = np.tile([1.0, 5.0, 2.0], 4)[np.newaxis]
    base, unit = repeated(window, 3, 4)
    np.testing.assert_array_equal(base, [[1.0, 5.0, 2.0, 1.0]])
    np.testing.assert_allclose(unit, 0.02 * window.std())


def test_units_in_proportion_are_those_of_each_window():
    generator = np.random.default_rng(2)
    past = 5 + generator.normal(size=(6, 10))
    past[generator.random(past.shape) < 0.2] = np.nan
    past[3], past[4], past[5] = 2.0, np.nan, 1e-3 * past[5]
    unit = np.array([[0.5], [3.0], [4.0], [1.0], [1.0], [1.0]])
    logarithms = np.array([False, True, False, False, True, False])
    wanted = [0.5 / np.nanmean(np.abs(past[0])), 2.0, 4.0 / np.nanmean(np.abs(past[2])), 0, 0, 2.0]
    np.testing.assert_allclose(relative(past, unit, logarithms)[:, 0], wanted)
