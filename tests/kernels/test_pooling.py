"""Pooling over time against NumPy, and its gradients, for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import pooling
from fastlstm.kernels.parallel import set_num_threads
from tests.reference import finite, windows

WINDOWS = [(9, 3, 3, "valid"), (10, 2, 1, "same"), (7, 3, 2, "same"), (8, 5, 2, "valid")]


def _time_first(x):
    return np.ascontiguousarray(x.swapaxes(0, 1))


def _flat(x):
    """(batch, time, features) as the kernels' (T, N)."""
    return _time_first(x).reshape(x.shape[1], -1)


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("depth", [1, 7, 100])
def test_mean(depth, masked, rng):
    x = rng.standard_normal((5, 70, depth)).astype(np.float32)
    mask = rng.random((5, 70)) < 0.6 if masked else np.ones((5, 70), bool)
    if masked:
        mask[2] = False
    count = np.maximum(1, mask.sum(axis=1))
    expected = (x.astype(np.float64) * mask[..., None]).sum(axis=1) / count[:, None]
    d = rng.standard_normal((5, depth)).astype(np.float32)
    given = _time_first(mask).astype(np.uint8) if masked else np.empty((0, 5), np.uint8)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        out, d_x = np.full((5, depth), np.nan, np.float32), np.full((70, 5, depth), np.nan, "f4")
        pooling.mean(out, _time_first(x), given, work=1e9)
        pooling.mean_gradient(d_x, d, given, work=1e9)
        np.testing.assert_allclose(out, expected, atol=1e-6)
        exact = (d / count[:, None])[:, None] * mask[..., None]
        np.testing.assert_allclose(d_x, _time_first(exact), rtol=1e-6)
        results.append(out)
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_long_means_keep_their_digits():
    x = np.full((100_000, 1, 8), 0.1, np.float32)
    out = np.empty((1, 8), np.float32)
    pooling.mean(out, x, np.empty((0, 1), np.uint8))
    np.testing.assert_allclose(out, 0.1, rtol=5e-5)  # one sum after the other: 1.4e-4


def test_largest(rng):
    x = rng.integers(-3, 4, (9, 34)).astype(np.float32)  # many are equally large
    d = rng.standard_normal(34).astype(np.float32)
    for threads in (1, 3):
        set_num_threads(threads)
        out, shares, d_x = np.full(34, np.nan, "f4"), np.empty(34, "f4"), np.full_like(x, np.nan)
        pooling.largest(out, x, work=1e9)
        np.testing.assert_array_equal(out, x.max(axis=0))
        pooling.largest_gradient(d_x, shares, d, out, x, work=1e9)
        equal = x == out
        np.testing.assert_allclose(d_x, equal * d / equal.sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize("place", [0, 4, 8])
def test_nan_is_not_lost(place):
    x = np.arange(9, dtype=np.float32)[:, None].copy()
    x[place] = np.nan
    out, some = np.zeros(1, np.float32), np.zeros((3, 1), np.float32)
    pooling.largest(out, x)
    pooling.window_largest(some, x, 3, 3, 0)
    assert np.isnan(out[0])
    np.testing.assert_array_equal(np.isnan(some[:, 0]), np.arange(3) == place // 3)


@pytest.mark.parametrize(("steps", "size", "stride", "padding"), WINDOWS)
def test_windows(steps, size, stride, padding, rng):
    x = rng.standard_normal((2, steps, 3))
    before, _ = windows.padded(steps, size, stride, padding)
    for threads in (1, 3):
        set_num_threads(threads)
        for reduce in (np.mean, np.max):
            expected = windows.pool(x, reduce, size, stride, padding)
            flat = _flat(x)
            out, d_x = np.full((expected.shape[1], 6), np.nan), np.full_like(flat, np.nan)
            d = rng.standard_normal(out.shape)
            how = (size, stride, before)
            if reduce is np.mean:
                pooling.window_mean(out, flat, *how, work=1e9)
                pooling.window_mean_gradient(d_x, d, *how, work=1e9)
            else:
                pooling.window_largest(out, flat, *how, work=1e9)
                pooling.window_largest_gradient(d_x, d, out, flat, *how, work=1e9)
            np.testing.assert_allclose(out, _flat(expected), rtol=1e-12)

            def value(reduce=reduce, d=d):
                return (_flat(windows.pool(x, reduce, size, stride, padding)) * d).sum()

            np.testing.assert_allclose(d_x, _flat(finite.gradient(value, x)), atol=1e-7)


def test_of_equally_large_ones_the_first_takes_the_gradient():
    x = np.array([[1.0], [1.0], [0.0], [2.0], [2.0]])
    out, d_x = np.empty((2, 1)), np.empty_like(x)
    pooling.window_largest(out, x, 3, 2, 0)
    pooling.window_largest_gradient(d_x, np.array([[5.0], [7.0]]), out, x, 3, 2, 0)
    np.testing.assert_array_equal(d_x[:, 0], [5, 0, 0, 7, 0])
