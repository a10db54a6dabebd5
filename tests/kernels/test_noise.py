"""Noise: normal, a function of seed and position, whatever the threads and parts."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from fastlstm.kernels.noise import add_noise
from fastlstm.kernels.parallel import set_num_threads


def _noise(shape, seed, dtype=np.float32, stddev=1.0):
    out = np.full(shape, np.nan, dtype)
    add_noise(out, np.zeros(shape, dtype), np.full(1, seed, np.uint64), stddev, 0, work=1e9)
    return out


def test_it_is_normal():
    """The sorted numbers lie near the quantiles, and rows and columns are like one another."""
    set_num_threads(1)
    noise = _noise((300, 500), 7)
    places = (np.arange(noise.size) + 0.5) / noise.size
    # Kolmogorov and Smirnov: at 1.95 / sqrt(n), one generator in a thousand would fail.
    normal = NormalDist()
    share = np.array([normal.cdf(value) for value in np.sort(noise, axis=None)])
    assert np.abs(share - places).max() <= 1.95 / np.sqrt(noise.size)
    for axis in (0, 1):
        spread = noise.shape[axis] ** -0.5
        assert np.abs(noise.mean(axis=axis)).max() <= 5 * spread
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.015


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_number_is_the_quantile_of_a_uniform_one(dtype):
    """The ends as well: equal steps of probability give what the normal distribution says."""
    set_num_threads(1)
    noise = np.sort(_noise((1, 20_000), 3, dtype), axis=None).astype(np.float64)
    normal = NormalDist()
    u = np.array([normal.cdf(value) for value in noise]) * 2**24 - 0.5
    inner = np.abs(noise) < 2.5  # beyond, a rounding of the number is many steps of u
    np.testing.assert_allclose(u[inner], np.round(u[inner]), atol=0.5)
    assert 3.3 < np.abs(noise).max() < 5.5


def test_it_depends_on_the_seed_and_is_added(rng):
    set_num_threads(1)
    x = rng.standard_normal((33, 21)).astype(np.float32)
    out, seed = np.full_like(x, np.nan), np.full(1, 3, np.uint64)
    add_noise(out, x, seed, 0.25, 0)
    np.testing.assert_allclose(out - x, 0.25 * _noise(x.shape, 3), atol=1e-6)
    assert np.mean(_noise(x.shape, 3) == _noise(x.shape, 4)) < 0.01


def test_threads_and_parts_have_the_same_bits(rng):
    x = rng.standard_normal((33, 21)).astype(np.float32)
    seed, results = np.full(1, 3, np.uint64), []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        out = np.full_like(x, np.nan)
        add_noise(out, x, seed, 0.5, 0, work=1e9)
        results.append(out)
    out = np.full_like(x, np.nan)
    for first, last in ((20, 33), (0, 20)):
        add_noise(out[first:last], x[first:last], seed, 0.5, first)
    for other in (*results[1:], out):
        np.testing.assert_array_equal(other, results[0])
