"""Gamma functions against Python's, and against what is known of them exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastlstm.kernels.gamma import digamma, digamma_rise, log_gamma, log_gamma_rise

PLACES = [float(x) for x in np.logspace(-10, 12, 400)]
EULER = 0.57721566490153286061


def _of(value, exact):
    """Error in units of the result, or of one."""
    return abs(value - exact) / max(1.0, abs(exact))


def test_log_gamma_is_pythons():
    assert max(_of(log_gamma(x), math.lgamma(x)) for x in PLACES) < 1e-14


@pytest.mark.parametrize("n", [1, 2, 5, 10, 11, 100])
def test_digamma_of_whole_numbers_is_a_sum(n):
    exact = math.fsum([-EULER, *(1 / k for k in range(1, n))])
    assert _of(digamma(float(n)), exact) < 1e-14
    halves = [-EULER, -2 * math.log(2), *(2 / (2 * k - 1) for k in range(1, n + 1))]
    assert _of(digamma(n + 0.5), math.fsum(halves)) < 1e-14


def test_digamma_obeys_its_recurrence():
    assert max(_of(digamma(x + 1) - 1 / x, digamma(x)) for x in PLACES) < 1e-14


def test_digamma_is_the_slope_of_log_gamma():
    for x in (0.3, 1.7, 9.99, 10.01, 80.0):
        step = 1e-4 * x
        slope = (math.lgamma(x + step) - math.lgamma(x - step)) / (2 * step)
        # The differences' own error, a third derivative's, is larger near 0.
        assert digamma(x) == pytest.approx(slope, abs=1e-8 / min(x, 1))


@pytest.mark.parametrize("t", [0, 1, 3, 40, 1000])
def test_rises_by_whole_steps_are_sums(t):
    for x in PLACES:
        exact = math.fsum(math.log1p(k / x) for k in range(t))
        exact_slope = math.fsum(1 / (x + k) for k in range(t))
        assert abs(log_gamma_rise(x, float(t)) - exact) < 1e-14 * max(1.0, exact, t), x
        assert _of(digamma_rise(x, float(t)), exact_slope) < 1e-14, x


def test_rises_by_half_a_step():
    """Against differences where these keep their digits, and beyond against the series."""
    for x in PLACES:
        if x < 100:
            exact = math.lgamma(x + 0.5) - math.lgamma(x) - 0.5 * math.log(x)
            exact_slope, limit = digamma(x + 0.5) - digamma(x), 1e-13
        else:
            exact = -1 / (8 * x) + 1 / (192 * x**3) - 1 / (640 * x**5)
            exact_slope, limit = 1 / (2 * x) + 1 / (8 * x**2) - 1 / (64 * x**4), 1e-14
        assert _of(log_gamma_rise(x, 0.5), exact) < limit, x
        assert _of(digamma_rise(x, 0.5), exact_slope) < limit, x


def test_rises_vanish_where_there_is_no_end():
    assert log_gamma_rise(1e26, 7.0) == pytest.approx(21 / 1e26, abs=1e-14)
    assert digamma_rise(1e26, 7.0) * 1e26 == pytest.approx(7, rel=1e-12)


@pytest.mark.parametrize("x", [0.0, -1.0, -1e300, -math.inf, math.nan])
def test_what_is_not_positive_gives_nan(x):
    assert math.isnan(log_gamma(x))
    assert math.isnan(digamma(x))
