"""The vector logarithm: how far it is from the right one, and where it has none."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels.math import log, power
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import lanes, load_first, store_first
from tests.marks import needs_jit

ULPS = {np.float32: 2.0, np.float64: 2.5}


@kernel
def _logs(out, x, crew):
    for i in range(0, x.size, lanes(x)):
        count = min(lanes(x), x.size - i)
        store_first(log(load_first(x, i, count)), out, i, count)


@kernel
def _powers(out, x, exponent, crew):
    for i in range(0, x.size, lanes(x)):
        count = min(lanes(x), x.size - i)
        store_first(power(load_first(x, i, count), exponent), out, i, count)


def _log(x):
    out = np.full_like(x, -7.0)
    _logs(out, x)
    return out


def _wide(x):
    return x.astype(np.longdouble)


@needs_jit
@pytest.mark.parametrize("dtype", ULPS)
def test_it_is_right_to_few_ulps(dtype, rng):
    info = np.finfo(dtype)
    exponents = rng.uniform(np.log2(info.tiny), np.log2(info.max) - 1e-3, 20_000)
    x = np.concatenate(
        [
            np.exp2(exponents).astype(dtype),
            rng.uniform(0.5, 2.0, 20_000).astype(dtype),
            (1 + rng.uniform(-1, 1, 5_000) * 1e-3).astype(dtype),
            np.array([1, info.tiny, info.max, np.sqrt(0.5), np.sqrt(2), 1 - info.epsneg], dtype),
        ]
    )
    exact = np.log(_wide(x))
    spacing = np.spacing(np.abs(exact).astype(dtype))
    errors = np.abs(_wide(_log(x)) - exact) / np.maximum(spacing, info.tiny)
    assert errors.max() < ULPS[dtype]
    assert _log(np.ones(1, dtype))[0] == 0


@pytest.mark.parametrize("dtype", ULPS)
def test_limits(dtype):
    x = np.array([0.0, -0.0, np.inf, np.nan, -1.0, -np.inf], dtype)
    np.testing.assert_array_equal(_log(x), [-np.inf, -np.inf, np.inf, np.nan, np.nan, np.nan])


def test_a_part_of_a_vector_has_the_bits_of_a_whole_one(rng):
    x = rng.uniform(0, 5, 64).astype(np.float32)
    whole = _log(x)
    for count in (1, 3, 11):
        np.testing.assert_array_equal(_log(x[:count].copy()), whole[:count])


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0, 3.7])
def test_powers(exponent, rng):
    for dtype, limit in ((np.float32, 3e-6), (np.float64, 5e-15)):
        x = np.concatenate([[0, 1], rng.uniform(0, 1, 50)]).astype(dtype)
        out = np.empty_like(x)
        _powers(out, x, exponent)
        np.testing.assert_allclose(out, _wide(x) ** exponent, rtol=limit, atol=1e-18)
        assert out[0] == (1.0 if exponent == 0 else pytest.approx(0.0, abs=1e-18))
