"""Windows are scaled each by itself, by the values that they have."""

import numpy as np
import pytest

from fastlstm.forecasting.scaling import window_scaler

NAMES = ["standard", "robust", "mean", "last", None]


def by_hand(name, values):
    """Shift and scale of the values of one window."""
    if name == "standard":
        return values.mean(), values.std()
    if name == "last":
        return values[-1], values.std()
    if name == "mean":
        return 0.0, np.abs(values).mean()
    if name == "robust":
        low, high = np.quantile(values, [0.25, 0.75])
        return np.median(values), (high - low) / 1.3489795
    return 0.0, 1.0


@pytest.fixture
def windows(rng):
    past = rng.normal(-5.0, 3.0, (20, 31))
    present = rng.random(past.shape) > 0.4
    return np.where(present, past, np.nan), present


@pytest.mark.parametrize("name", NAMES)
def test_shift_and_scale_are_those_of_the_values_that_are_there(name, windows):
    past, present = windows
    shift, scale = window_scaler(name).fit(past, present)
    assert shift.shape == scale.shape == (20, 1)
    assert shift.dtype == scale.dtype == np.float64
    wanted = [by_hand(name, row[there]) for row, there in zip(past, present, strict=True)]
    np.testing.assert_allclose(np.hstack([shift, scale]), wanted, rtol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_where_a_value_is_missing_does_not_matter(name, windows):
    past, present = windows
    one = window_scaler(name).fit(past, present)
    other = window_scaler(name).fit(np.where(present, past, 1e9), present)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_window_does_not_depend_on_its_neighbours(name, windows):
    past, present = windows
    both = np.array(window_scaler(name).fit(past, present))
    alone = np.array(window_scaler(name).fit(past[7:8], present[7:8]))
    np.testing.assert_array_equal(both[:, 7:8], alone)


@pytest.mark.parametrize("name", ["standard", "robust", "last"])
@pytest.mark.parametrize("value", [0.0, 0.1, -3e-12, 7e11])
def test_constant_windows_have_scale_one(name, value):
    past = np.full((2, 30), value)
    shift, scale = window_scaler(name).fit(past, np.ones(past.shape, bool))
    np.testing.assert_allclose(shift, value, rtol=1e-12)
    np.testing.assert_array_equal(scale, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_window_without_values_is_left_as_it_is(name):
    past = np.full((1, 5), np.nan)
    shift, scale = window_scaler(name).fit(past, np.zeros(past.shape, bool))
    assert (shift, scale) == (0.0, 1.0)


@pytest.mark.parametrize("name", ["standard", "robust", "mean", "last"])
def test_scale_follows_units_however_small(name, rng):
    past = rng.normal(5.0, 2.0, (3, 40))
    there = np.ones(past.shape, bool)
    shift, scale = window_scaler(name).fit(past, there)
    small_shift, small_scale = window_scaler(name).fit(1e-12 * past, there)
    np.testing.assert_allclose(small_shift, 1e-12 * shift, rtol=1e-9)
    np.testing.assert_allclose(small_scale, 1e-12 * scale, rtol=1e-9)


def test_quartiles_that_are_equal_give_way_to_the_standard_deviation():
    past = np.zeros((1, 20))
    past[0, 3] = 5.0
    shift, scale = window_scaler("robust").fit(past, np.ones(past.shape, bool))
    assert shift == 0.0
    assert scale == pytest.approx(past.std())


@pytest.mark.parametrize("name", ["Standard", 3, ["mean"]])
def test_a_name_that_is_none_is_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match="'standard', 'robust', 'mean', 'last', None"):
        window_scaler(name)
