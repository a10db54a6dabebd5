"""Numbers with an exponent of their own: sums and exponentials of any size."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import extended
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import lanes, load, store
from tests.marks import needs_jit
from tests.reference import math as exact

LIMITS = {np.float32: 3e-7, np.float64: 6e-16}
LN2_ERROR = {np.float32: 4e-12, np.float64: 1e-19}


@kernel
def _split(m, e, x, crew):
    for at in range(0, x.size, lanes(x)):
        one, other = extended.split_exp(load(x, at))
        store(one, m, at)
        store(other, e, at)


@kernel
def _add(m, e, values, exponents, normal, crew):
    n = values.shape[1]
    for at in range(0, n, lanes(values)):
        one, other = extended.add_three(
            load(values, at), load(exponents, at),
            load(values, n + at), load(exponents, n + at),
            load(values, 2 * n + at), load(exponents, 2 * n + at),
        )  # fmt: skip
        if normal:
            one, other = extended.normalise(one, other)
        store(one, m, at)
        store(other, e, at)


@kernel
def _add_pair(m, e, values, exponents, crew):
    n = values.shape[1]
    for at in range(0, n, lanes(values)):
        one, other = extended.add_two(
            load(values, at), load(exponents, at), load(values, n + at), load(exponents, n + at)
        )
        store(one, m, at)
        store(other, e, at)


@needs_jit
@pytest.mark.parametrize("dtype", LIMITS)
def test_exponentials(dtype):
    if dtype == np.float64 and not exact.HAS_LONGER:
        pytest.skip("no floating-point type longer than float64 to compare with")
    sizes = np.concatenate([np.linspace(0, 100, 1001), np.geomspace(100, 1e6, 23)])
    x = -np.resize(sizes, 1024).astype(dtype)
    m, e = np.empty_like(x), np.empty_like(x)
    _split(m, e, x)
    assert ((m > 0.7) & (m < 1.5)).all()
    np.testing.assert_array_equal(e, np.rint(e))
    wide = np.longdouble
    back = np.log(m.astype(wide)) + e.astype(wide) * np.log(wide(2))
    # The error is that of m, and the one that ln 2 has in the reduction.
    errors = np.abs(back - x.astype(wide)).astype(float)
    assert (errors <= 2 * LIMITS[dtype] + LN2_ERROR[dtype] * np.abs(x)).all()


@pytest.mark.parametrize("dtype", LIMITS)
def test_exponentials_without_digits_of_their_own(dtype):
    x = np.full(16, -np.inf, dtype)
    x[:4] = -3e6, -1e16, -1e25, np.nan
    m, e = np.empty_like(x), np.empty_like(x)
    _split(m, e, x)
    np.testing.assert_allclose(e[:3], np.array([-3e6, -1e16, -1e25]) / np.log(2), rtol=1e-6)
    assert np.isnan(m[3])
    assert (e[4:] == extended.ZERO).all()
    assert np.isfinite(m[4:]).all()


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shift", [0, -900, 20_000, -2_000_000])
def test_sums(dtype, shift, rng):
    values = rng.uniform(0.01, 1000, (3, 64)).astype(dtype)
    exponents = rng.integers(-40, 40, (3, 64)).astype(dtype)
    exponents[rng.random((3, 64)) < 0.3] = extended.ZERO
    exponents[0, 0] = -3000  # too small to be seen in a sum
    exponents[1, 0] = 0
    exponents[1, exponents.max(axis=0) < extended.NOTHING] = 0
    m, e = np.empty(64, dtype), np.empty(64, dtype)
    for kernel_, count in ((_add, 3), (_add_pair, 2)):
        exponents[1, exponents[:count].max(axis=0) < extended.NOTHING] = 0
        sums = (values[:count] * 2.0 ** exponents[:count].astype(float)).sum(axis=0)
        moved = (exponents + dtype(shift)).astype(dtype)
        for normal in (False, True) if count == 3 else ((),):
            kernel_(m, e, values, moved, *((normal,) if count == 3 else ()))
            got = m * 2.0 ** (e.astype(float) - shift)
            np.testing.assert_allclose(got, sums, rtol=3 * LIMITS[dtype])
            if normal:
                assert ((m >= 1) & (m < 2)).all()


@pytest.mark.parametrize("dtype", LIMITS)
def test_zeros_stay_zero(dtype):
    values = np.full((3, 16), 1.5, dtype)
    exponents = np.full((3, 16), extended.ZERO, dtype)
    m, e = np.empty(16, dtype), np.empty(16, dtype)
    _add(m, e, values, exponents, True)
    assert (e < extended.NOTHING).all()
