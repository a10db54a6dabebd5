"""The normal distribution's share below a number, against the complementary error function."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastlstm.kernels.jit import body
from fastlstm.kernels.normal import normal
from fastlstm.kernels.simd import lanes, load, store
from tests.marks import needs_jit

pytestmark = needs_jit


@body
def _normal(share, density, x):
    for at in range(0, len(x), lanes(x)):
        below, there = normal(load(x, at))
        store(below, share, at)
        store(there, density, at)


# Largest errors in units of the last place, up to where the reference itself has rounded its
# argument by as much.
@pytest.mark.parametrize(("dtype", "far", "limit"), [(np.float32, 12.9, 8), (np.float64, 5.0, 24)])
def test_share_and_density(dtype, far, limit):
    x = np.linspace(-far, far, 1 << 14).astype(dtype)
    share, density = np.empty_like(x), np.empty_like(x)
    _normal(share, density, x)
    exact = np.array([0.5 * math.erfc(-float(v) / math.sqrt(2)) for v in x])
    there = np.exp(-0.5 * x.astype(np.float64) ** 2) / math.sqrt(2 * math.pi)
    eps = np.finfo(dtype).eps
    assert np.max(np.abs(share - exact) / exact) < limit * eps
    assert np.max(np.abs(density - there) / there) < limit * eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_far_away(dtype):
    x = np.zeros(16, dtype)
    x[:7] = [0, -1e30, 1e30, -np.inf, np.inf, np.nan, -20]
    share, density = np.empty_like(x), np.empty_like(x)
    _normal(share, density, x)
    np.testing.assert_array_equal(share[1:5], [0, 1, 0, 1])
    assert abs(share[0] - 0.5) <= np.finfo(dtype).eps
    assert np.isnan(share[5])
    assert np.isnan(density[5])
    assert 0 <= share[6] < 1e-80 if dtype is np.float64 else share[6] == 0
