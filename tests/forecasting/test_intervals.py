"""Levels, quantiles, their columns, and conformal widths."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlstm.forecasting.intervals import (
    band_names,
    between,
    check_level,
    conformal,
    quantiles_of,
    uncross,
)


@pytest.mark.parametrize(
    ("level", "wanted"),
    [
        (None, ()),
        ((), ()),
        (80, (80,)),
        ([95, 80.0, 80], (80, 95)),
        (np.array([90, 99.5]), (90, 99.5)),
    ],
)
def test_levels_rise_and_come_once(level, wanted):
    found = check_level(level)
    assert found == wanted
    assert [str(one) for one in found] == [str(one) for one in wanted]


@pytest.mark.parametrize(
    ("level", "error", "words"),
    [
        ([0.8], ValueError, "for 0.8 write 80"),
        ([100], ValueError, "less than 100, .*got 100"),
        ([-5], ValueError, "got -5"),
        ([float("nan")], ValueError, "got nan"),
        (["80"], TypeError, r"such as \[80, 95\], got \['80'\]"),
        ([True], TypeError, "numbers"),
        ([None], TypeError, "numbers"),
    ],
)
def test_levels_that_are_none_are_refused(level, error, words):
    with pytest.raises(error, match=words):
        check_level(level)


def test_quantiles_are_the_numbers_as_written():
    assert quantiles_of([50, 80, 90, 95, 98, 99.9]).tolist() == [
        0.0005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.9995
    ]  # fmt: skip
    assert quantiles_of(None).tolist() == quantiles_of(()).tolist() == [0.5]


def test_columns_go_from_the_lowest_to_the_highest_and_name_their_quantile():
    level = [80, 99.5, 50]
    names = band_names("GRU", level)
    assert [name for _, name in names] == [
        "GRU-lo-99.5", "GRU-lo-80", "GRU-lo-50", "GRU-hi-50", "GRU-hi-80", "GRU-hi-99.5"
    ]  # fmt: skip
    quantiles = quantiles_of(level)
    for place, name in names:
        _, end, one = name.split("-")
        share = float(one) / 100
        assert quantiles[place] == pytest.approx((1 - share if end == "lo" else 1 + share) / 2)
    assert band_names("GRU", ()) == []


def test_between_is_exact_for_a_normal_distribution_inside_and_outside():
    known, wanted = np.array([0.1, 0.3, 0.5, 0.8]), np.array([0.001, 0.1, 0.4, 0.75, 0.99])
    normals = [NormalDist(3.0, 2.0), NormalDist(-100.0, 0.5)]
    values = [[normal.inv_cdf(q) for q in known] for normal in normals]
    answers = [[normal.inv_cdf(q) for q in wanted] for normal in normals]
    np.testing.assert_allclose(between(values, known, wanted), answers, rtol=1e-12)


def test_between_gives_back_what_is_known_to_the_bit(rng):
    known = np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
    values = np.sort(rng.normal(size=(5, 4, 7)), axis=-1)
    np.testing.assert_array_equal(between(values, known, known), values)
    np.testing.assert_array_equal(between(values, known, [0.5])[..., 0], values[..., 3])


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=8),
)
def test_between_never_crosses(values, wanted):
    made = between(values, [0.1, 0.5, 0.9], np.sort(wanted))
    assert (np.diff(made) >= 0).all()


def test_between_puts_in_order_what_crosses():
    np.testing.assert_array_equal(between([[3.0, 1.0, 2.0]], [0.1, 0.5, 0.9], [0.5]), [[2.0]])


def test_one_quantile_is_all_that_is_known():
    np.testing.assert_array_equal(between([[7.0]], [0.5], [0.1, 0.9]), [[7.0, 7.0]])


def test_between_wants_a_value_for_each_level():
    with pytest.raises(ValueError, match=r"\(\.\.\., 3\).*got \(4, 2\)"):
        between(np.zeros((4, 2)), [0.1, 0.5, 0.9], [0.5])


def test_uncross_sorts_the_last_axis():
    np.testing.assert_array_equal(uncross([[3.0, 1.0], [1.0, 2.0]]), [[1.0, 3.0], [1.0, 2.0]])


def ranked(errors, level):
    """The width of one step, as the definition reads."""
    sizes = sorted(abs(error) for error in errors if not np.isnan(error))
    if not sizes:
        return np.nan
    rank = -(-(len(sizes) + 1) * level // 100)
    return sizes[int(min(rank, len(sizes))) - 1]


@pytest.mark.parametrize("windows", [1, 9, 10, 19, 99, 100])
def test_widths_are_errors_of_the_right_rank(windows, rng):
    errors = rng.standard_t(3, (windows, 6))
    errors[rng.random(errors.shape) < 0.2] = np.nan
    errors[:, 5] = np.nan
    levels = [95, 10, 80]
    wanted = [[ranked(errors[:, step], level) for step in range(6)] for level in levels]
    np.testing.assert_array_equal(conformal(errors, levels), wanted)


def test_widths_keep_what_they_promise(rng):
    # Of 19 errors the widest covers the next one with a probability of 19 / 20.
    errors = rng.exponential(size=(20, 40_000))
    for level, share in ((95, 0.95), (80, 0.8), (50, 0.5)):
        inside = errors[-1] <= conformal(errors[:-1], level)[0]
        assert inside.mean() == pytest.approx(share, abs=0.008)


def test_no_errors_tell_nothing():
    assert np.isnan(conformal(np.empty((0, 4)), [80, 95])).all()
    assert conformal(np.empty((0, 4)), [80, 95]).shape == (2, 4)


def test_a_share_is_no_level():
    with pytest.raises(ValueError, match="per cent"):
        conformal([[1.0]], 100)
