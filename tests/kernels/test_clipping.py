"""Gradient clipping against NumPy in float64: every length, limits and threads."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import clipping
from fastlstm.kernels.parallel import set_num_threads

# Nothing, less than a vector, whole vectors and a rest, more than a chunk.
SIZES = [0, 1, 7, 64, 1003, 2 * clipping.CHUNK + 5]
LIMITS = {np.float32: 1e-6, np.float64: 1e-14}
LAUNCH = 1e9


@pytest.fixture(params=LIMITS)
def dtype(request) -> type:
    return request.param


@pytest.fixture
def _serial():
    set_num_threads(1)


def _arrays(rng, size, dtype, count):
    return [rng.standard_normal(size).astype(dtype) for _ in range(count)]


@pytest.mark.usefixtures("_serial")
@pytest.mark.parametrize("size", SIZES)
def test_clip_by_value(size, dtype, rng):
    (g,) = _arrays(rng, size, dtype, 1)
    before = g.copy()
    clipping.clip_by_value(g, 0.5)
    np.testing.assert_array_equal(g, np.clip(before, dtype(-0.5), dtype(0.5)))


@pytest.mark.usefixtures("_serial")
def test_clip_by_value_of_what_is_not_finite():
    g = np.array([np.inf, np.nan, -np.inf, 0.1], np.float32)
    clipping.clip_by_value(g, 0.5)
    np.testing.assert_array_equal(g, np.array([0.5, np.nan, -0.5, 0.1], np.float32))


def _chunks(sizes):
    rows, first = [], 0
    for index, size in enumerate(sizes):
        for start in range(0, size, clipping.CHUNK):
            stop = min(size, start + clipping.CHUNK)
            rows.append((first + start, first + stop, index))
        first += size
    return np.array(rows, np.int64)


def _clip(g, sizes, limit, together, work=0.0):
    chunks = _chunks(sizes)
    partial = np.full(len(chunks), np.nan)
    factors = np.full(len(sizes), np.nan)
    clipping.sum_squares(partial, g, chunks, work=work)
    clipping.clip_factors(factors, partial, chunks, limit, together)
    clipping.scale(g, chunks, factors, work=work)
    return partial


@pytest.mark.usefixtures("_serial")
def test_norms_of_each_variable(dtype, rng):
    sizes = [1, 13, 5000, 9001]
    g = np.concatenate(
        [rng.standard_normal(n) * s for n, s in zip(sizes, (9, 0.01, 1, 0), strict=True)]
    )
    g = g.astype(dtype)
    before = np.split(g.copy(), np.cumsum(sizes)[:-1])
    _clip(g, sizes, 2.0, False)
    for got, old in zip(np.split(g, np.cumsum(sizes)[:-1]), before, strict=True):
        norm = np.linalg.norm(old.astype(np.float64))
        exact = old if norm <= 2 else old.astype(np.float64) * 2 / norm
        np.testing.assert_allclose(got, exact, rtol=LIMITS[dtype])


@pytest.mark.usefixtures("_serial")
def test_norm_of_all_together(dtype, rng):
    sizes = [3, 5000, 40]
    (g,) = _arrays(rng, sum(sizes), dtype, 1)
    before = g.astype(np.float64)
    norm = np.linalg.norm(before)
    _clip(g, sizes, 2 * float(norm), True)
    np.testing.assert_array_equal(g, before)
    _clip(g, sizes, 1.5, True)
    np.testing.assert_allclose(g, before * 1.5 / norm, rtol=LIMITS[dtype])


@pytest.mark.usefixtures("_serial")
def test_squares_neither_overflow_nor_vanish():
    for size in (1e30, 1e-30):
        g = np.full(25, size, np.float32)
        _clip(g, [25], size, False)
        np.testing.assert_allclose(g, np.full(25, size / 5), rtol=1e-6)


@pytest.mark.usefixtures("_serial")
def test_gradients_that_are_not_finite_stay_so():
    for bad in (np.nan, np.inf):
        g = np.array([1, bad, 3], np.float32)
        _clip(g, [1, 2], 1.0, True)
        assert np.isnan(g).all()
        g = np.array([1, bad, 3], np.float32)
        _clip(g, [1, 2], 1.0, False)
        assert g[0] == 1
        assert np.isnan(g[1])


def test_bits_do_not_depend_on_the_threads(rng):
    sizes = [5, 2 * clipping.CHUNK + 3, 1001]
    (before,) = _arrays(rng, sum(sizes), np.float32, 1)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        g = before.copy()
        partial = _clip(g, sizes, 1.0, False, work=LAUNCH)
        clipping.clip_by_value(g, 0.01, work=LAUNCH)
        results.append([partial, g])
    for other in results[1:]:
        for array, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(array, expected)
