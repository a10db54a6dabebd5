"""Optimizer kernels against NumPy in float64: every length, stretches that decay, threads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fastlstm.kernels import optimizers, rules
from fastlstm.kernels.parallel import set_num_threads
from tests.marks import needs_jit

# Nothing, less than a vector, whole vectors and a rest, more than a thread takes at once.
SIZES = [0, 1, 7, 64, 1003, 8197]
LIMITS = {np.float32: 3e-6, np.float64: 1e-14}
LAUNCH = 1e9
# A rule with as many moments as the place in the list, and its rates.
RULES = [
    (rules.SGD(), (0.1,)),
    (rules.Momentum(), (0.1, 0.9)),
    (rules.Adam(), (0.01, 0.1, 0.001, 1e-7)),
    (rules.RMSpropCenteredMomentum(), (0.01, 0.9, 0.1, 1e-3, 0.5)),
]
NOW, ALL = np.ones(1), np.zeros(1)


@pytest.fixture(params=LIMITS)
def dtype(request) -> type:
    return request.param


@pytest.fixture
def _serial():
    set_num_threads(1)


def _exact(count, rates, p, g, moments):
    """Parameters and moments after the step of the rule with so many moments."""
    if count == 0:
        return p - rates[0] * g, []
    if count == 1:
        v = rates[1] * moments[0] - rates[0] * g
        return p + v, [v]
    if count == 2:
        m = moments[0] + (g - moments[0]) * rates[1]
        v = moments[1] + (g**2 - moments[1]) * rates[2]
        return p - rates[0] * m / (np.sqrt(v) + rates[3]), [m, v]
    v = rates[1] * moments[0] + rates[2] * g**2
    mean = rates[1] * moments[2] + rates[2] * g
    step = rates[4] * moments[1] + rates[0] * g / np.sqrt(v - mean**2 + rates[3])
    return p - step, [v, step, mean]


def _arrays(rng, count, size, dtype):
    p, g = rng.standard_normal((2, size)).astype(dtype)
    moments = rng.uniform(0.3, 0.5, (count, size)).astype(dtype)
    if count == 3:
        moments[0] += 1  # a mean square is larger than the square of a mean
    return p, g, moments


def _step(rule, p, moments, g, rates, decays=(0.0,), bounds=None, window=NOW, work=0.0):
    numbers = np.zeros(optimizers.RATES)
    numbers[: len(rates)] = rates
    bounds = np.array([[0, p.size]] if bounds is None else bounds)
    optimizers.step(rule, p, moments, g, numbers, np.array(decays), bounds, window, work=work)


@pytest.mark.usefixtures("_serial")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", range(4))
def test_step(count, size, dtype, rng):
    rule, rates = RULES[count]
    assert rule.moments == count
    p, g, moments = _arrays(rng, count, size, dtype)
    before = [array.astype(np.float64) for array in (p, g, moments)]
    _step(rule, p, moments, g, rates)
    exact, exact_moments = _exact(count, rates, *before)
    np.testing.assert_allclose(p, exact, rtol=LIMITS[dtype], atol=LIMITS[dtype])
    for row, expected in zip(moments, exact_moments, strict=True):
        np.testing.assert_allclose(row, expected, rtol=LIMITS[dtype], atol=LIMITS[dtype])
    np.testing.assert_array_equal(g, before[1])


@pytest.mark.usefixtures("_serial")
def test_stretches_decay_before_the_step(dtype, rng):
    """Of any length, whole vectors or not."""
    size, ends = 1003, [0, 1, 18, 19, 700, 701, 1003]
    bounds = list(pairwise(ends))
    decays = rng.uniform(0, 0.5, len(bounds))
    decays[2] = 0
    p, g, moments = _arrays(rng, 2, size, dtype)
    before = [array.astype(np.float64) for array in (p, g, moments)]
    rule, rates = RULES[2]
    _step(rule, p, moments, g, rates, decays, bounds)
    before[0] *= 1 - np.repeat(decays, np.diff(ends))
    exact, _ = _exact(2, rates, *before)
    np.testing.assert_allclose(p, exact, rtol=LIMITS[dtype], atol=LIMITS[dtype])


@pytest.mark.usefixtures("_serial")
@pytest.mark.parametrize("bounds", [[], [(7, 8)], [(1, 18), (19, 700), (701, 1000)]], ids=str)
def test_what_is_in_no_stretch_stays_as_it_is(bounds, dtype, rng):
    """Parameters and moments, whatever their gradients; what is in one has the same bits."""
    rule, rates = RULES[2]
    arrays = p, g, moments = _arrays(rng, 2, 1003, dtype)
    before, (means, blend) = [array.copy() for array in arrays], (p + 1, np.array([0.8, 1.0]))
    inside = np.zeros(p.size, bool)
    for first, last in bounds:
        inside[first:last] = True
    g[~inside] = np.nan
    expected = [array.copy() for array in arrays]
    expected[1][~inside] = 0
    _step(rule, expected[0], expected[2], expected[1], rates, (0.1,))
    table = np.array(bounds, np.int64).reshape(-1, 2)
    _step(rule, p, moments, g, rates, (0.1,) * len(bounds), table)
    for got, whole, old in zip(
        (p, *moments), (expected[0], *expected[2]), [before[0], *before[2]], strict=True
    ):
        np.testing.assert_array_equal(got, np.where(inside, whole, old))
    optimizers.average(p, means, table, blend)
    np.testing.assert_array_equal(p[~inside], before[0][~inside])
    np.testing.assert_array_equal(means[~inside], before[0][~inside] + 1)
    np.testing.assert_array_equal(p[inside], means[inside])


@pytest.mark.usefixtures("_serial")
def test_nothing_happens_within_a_window(rng):
    rule, rates = RULES[2]
    arrays = p, g, moments = _arrays(rng, 2, 100, np.float32)
    before = [array.copy() for array in arrays]
    _step(rule, p, moments, g, rates, (0.5,), window=ALL)
    for array, expected in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.usefixtures("_serial")
@pytest.mark.parametrize("size", SIZES)
def test_accumulate(size, dtype, rng):
    steps = rng.standard_normal((3, size)).astype(dtype)
    total = np.zeros(size, dtype)
    for grads in steps[:2]:
        before = grads.copy()
        optimizers.accumulate(total, grads, np.zeros(1))
        np.testing.assert_array_equal(grads, before)
    mean = steps.astype(np.float64).mean(axis=0)
    optimizers.accumulate(total, steps[2], np.full(1, 3.0))
    np.testing.assert_allclose(steps[2], mean, rtol=LIMITS[dtype], atol=LIMITS[dtype])
    np.testing.assert_array_equal(total, np.zeros(size))


@pytest.mark.usefixtures("_serial")
@pytest.mark.parametrize("overwrites", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_average(size, overwrites, dtype, rng):
    p, means = rng.standard_normal((2, size)).astype(dtype)
    before = p.copy()
    exact = 0.8 * means.astype(np.float64) + 0.2 * p
    optimizers.average(p, means, np.array([[0, size]]), np.array([0.8, float(overwrites)]))
    np.testing.assert_allclose(means, exact, rtol=LIMITS[dtype], atol=LIMITS[dtype])
    np.testing.assert_array_equal(p, means if overwrites else before)


@needs_jit
@pytest.mark.usefixtures("_serial")
def test_fading_moments_become_zero_rather_than_slow():
    tiny = np.finfo(np.float32).smallest_normal
    p, g, moments = np.ones(9, np.float32), np.zeros(9, np.float32), np.full((2, 9), tiny, "f4")
    _step(rules.Adam(), p, moments, g, (0.0, 0.5, 0.5, 1e-7))
    np.testing.assert_array_equal(moments, np.zeros((2, 9)))
    # Only in the kernel: afterwards, NumPy still has them.
    assert (np.full(9, tiny, np.float32) / np.float32(2)).all()


def test_bits_do_not_depend_on_the_threads(rng):
    size, bounds = 8197, [(0, 5), (5, 4103), (4110, 8197)]
    for count, (rule, rates) in enumerate(RULES):
        arrays = _arrays(rng, count, size, np.float32)
        results = []
        for threads in (1, 2, 3):
            set_num_threads(threads)
            p, g, moments = (array.copy() for array in arrays)
            total, means = np.full((2, size), 0.3, np.float32)
            optimizers.accumulate(total, g, np.full(1, 3.0), work=LAUNCH)
            _step(rule, p, moments, g, rates, (0.1, 0.0, 0.1), bounds, work=LAUNCH)
            optimizers.average(p, means, np.array(bounds), np.array([0.3, 0.0]), work=LAUNCH)
            results.append([p, moments, g, total, means])
        for other in results[1:]:
            for array, expected in zip(other, results[0], strict=True):
                np.testing.assert_array_equal(array, expected)
