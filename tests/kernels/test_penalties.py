"""Kernels of regularizers and constraints against NumPy in float64: every length and axis."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import constraints, penalties
from fastlstm.kernels.parallel import set_num_threads

LIMITS = {np.float32: 2e-6, np.float64: 1e-14}
LAUNCH = 1e9
# First, past-last element and factors of each chunk: nothing, odd places, more than vectors.
CHUNKS = np.array([(0, 0, 0), (0, 7, 1), (9, 10, 0), (11, 75, 1), (80, 1003, 0), (1003, 2000, 2)])
FACTORS = np.array([(0.3, 0.0), (0.0, 0.2), (0.1, 0.4)])


@pytest.fixture(params=LIMITS)
def dtype(request) -> type:
    return request.param


def _arrays(rng, dtype):
    w, g = rng.standard_normal((2, 2011)).astype(dtype)
    w[[3, 80, 1500]] = 0
    return w, g


def test_penalties(dtype, rng):
    w, _ = _arrays(rng, dtype)
    partial, total = np.full(len(CHUNKS), np.nan), np.full(1, 0.5)
    penalties.penalties(partial, w, CHUNKS, FACTORS)
    exact = []
    for first, last, k in CHUNKS:
        part, (l1, l2) = w[first:last].astype(np.float64), FACTORS[k]
        exact.append(l1 * np.abs(part).sum() + l2 * np.square(part).sum())
    np.testing.assert_allclose(partial, exact, rtol=1e-13)
    penalties.add_sum(total, partial)
    np.testing.assert_allclose(total, 0.5 + sum(exact), rtol=1e-13)


def test_slopes(dtype, rng):
    w, g = _arrays(rng, dtype)
    exact = g.astype(np.float64)
    for first, last, k in CHUNKS:
        part, (l1, l2) = w[first:last].astype(np.float64), FACTORS[k]
        exact[first:last] += l1 * np.sign(part) + 2 * l2 * part
    penalties.add_slopes(g, w, CHUNKS, FACTORS)
    np.testing.assert_allclose(g, exact, rtol=LIMITS[dtype], atol=LIMITS[dtype])
    assert (g[2000:] == exact[2000:]).all()


def test_nan_stays_visible():
    w, g, partial = np.full(9, np.nan, np.float32), np.zeros(9, np.float32), np.zeros(1)
    chunks = np.array([(0, 9, 0)])
    penalties.penalties(partial, w, chunks, FACTORS)
    penalties.add_slopes(g, w, chunks, FACTORS)
    assert np.isnan(partial).all()
    assert np.isnan(g).all()
    constraints.at_least_zero(w)
    assert np.isnan(w).all()
    w[1:] = 1
    constraints.bound_norms(w, np.zeros(3), 3, 3, 0.0, 1.0, 1.0)
    assert np.isnan(w).tolist() == [True, False, False] * 3


def _bounded(w, axis, low, high, rate):
    norms = np.sqrt(np.square(w.astype(np.float64)).sum(axis=axis, keepdims=True))
    return w * (rate * np.clip(norms, low, high) + (1 - rate) * norms) / (1e-7 + norms)


@pytest.mark.parametrize("bounds", [(0.0, 2.0, 1.0), (1.0, 1.0, 1.0), (3.0, 4.0, 0.3)], ids=str)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((5, 130), 0), ((5, 130), 1), ((5, 130), (0, 1)), ((1, 1), 0), ((70,), 0), ((3, 4, 66), 1)],
    ids=str,
)
def test_bound_norms(shape, axis, bounds, dtype, rng):
    w = (rng.standard_normal(shape) * rng.uniform(0.1, 3, shape[-1])).astype(dtype)
    w[..., -1] = 0  # whose norm is 0 unless it is part of a larger group
    exact = _bounded(w, axis, *bounds)
    axes = (axis,) if isinstance(axis, int) else axis
    depth = int(np.prod([shape[one] for one in axes]))
    inner = int(np.prod(shape[axes[-1] + 1 :]))
    flat = w.reshape(-1)
    constraints.bound_norms(flat, np.full(w.size // depth, np.nan), depth, inner, *bounds)
    np.testing.assert_allclose(w, exact, rtol=LIMITS[dtype], atol=LIMITS[dtype])


def test_at_least_zero(dtype, rng):
    w, _ = _arrays(rng, dtype)
    expected = np.maximum(w, 0)
    constraints.at_least_zero(w)
    np.testing.assert_array_equal(w, expected)


def test_bits_do_not_depend_on_the_threads(rng):
    arrays, matrix = _arrays(rng, np.float32), rng.standard_normal((40, 300)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        (w, g), total = (array.copy() for array in arrays), np.zeros(1)
        partial, factors = np.zeros(len(CHUNKS)), np.zeros(300)
        penalties.penalties(partial, w, CHUNKS, FACTORS, work=LAUNCH)
        penalties.add_sum(total, partial, work=LAUNCH)
        penalties.add_slopes(g, w, CHUNKS, FACTORS, work=LAUNCH)
        constraints.at_least_zero(w, work=LAUNCH)
        bounded = matrix.reshape(-1).copy()
        constraints.bound_norms(bounded, factors, 40, 300, 0.5, 1.0, 0.9, work=LAUNCH)
        results.append([w, g, total, bounded])
    for other in results[1:]:
        for array, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(array, expected)
