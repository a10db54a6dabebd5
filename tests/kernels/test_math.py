"""The vectorised exp, log, sigmoid and tanh: the errors that kernels/math.py states, everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import math
from fastlstm.kernels.host import HOST
from fastlstm.kernels.jit import body
from fastlstm.kernels.simd import flush_denormals, lanes, load, restore_denormals, store
from tests.marks import needs_jit
from tests.reference import math as exact

pytestmark = needs_jit

# Largest errors in units of the last place, as the docstring of kernels/math.py states them.
LIMITS = {
    np.float32: {"exp": 1.1, "log": 1.1, "sigmoid": 5.4, "tanh": 4.1},
    np.float64: {"exp": 1.1, "log": 1.1, "sigmoid": 2.3, "tanh": 2.6},
}

_TYPES = {np.float32: (np.uint32, 23), np.float64: (np.uint64, 52)}


@body
def _exp(out, x):
    for at in range(0, len(x), lanes(x)):
        store(math.exp(load(x, at)), out, at)


@body
def _log(out, x):
    for at in range(0, len(x), lanes(x)):
        store(math.log(load(x, at)), out, at)


@body
def _sigmoid(out, x):
    for at in range(0, len(x), lanes(x)):
        store(math.sigmoid(load(x, at)), out, at)


@body
def _tanh(out, x):
    for at in range(0, len(x), lanes(x)):
        store(math.tanh(load(x, at)), out, at)


@body
def _tanh_flushed(out, x):
    mode = flush_denormals()
    for at in range(0, len(x), lanes(x)):
        store(math.tanh(load(x, at)), out, at)
    restore_denormals(mode)


@body
def _exp_falling(out, x):
    mode = flush_denormals()
    for at in range(0, len(x), lanes(x)):
        store(math.exp_falling(load(x, at)), out, at)
    restore_denormals(mode)


KERNELS = {"exp": _exp, "log": _log, "sigmoid": _sigmoid, "tanh": _tanh}


def _apply(function, x):
    padded = np.zeros(-(-len(x) // 16) * 16, x.dtype)
    padded[: len(x)] = x
    out = np.full_like(padded, 7.0)
    function(out, padded)
    return out[: len(x)]


def _every_exponent(dtype):
    """Both signs of every exponent, many mantissas each: denormals, infinities and NaN included."""
    unsigned, mantissa_bits = _TYPES[dtype]
    exponents = np.arange(1 << (np.dtype(dtype).itemsize * 8 - mantissa_bits), dtype=unsigned)
    count = 2048 if dtype == np.float32 else 256
    rng = np.random.default_rng(1)
    mantissas = rng.integers(0, 1 << mantissa_bits, (len(exponents), count), dtype=unsigned)
    mantissas[:, :3] = 0, 1, (1 << mantissa_bits) - 1
    return ((exponents[:, None] << unsigned(mantissa_bits)) | mantissas).ravel().view(dtype)


def _where_it_bends(dtype):
    """Densely where the functions are neither linear nor saturated, and around their limits."""
    rng = np.random.default_rng(2)
    wide = rng.uniform(-110, 110, 300_000)
    narrow = rng.uniform(-2, 2, 300_000)
    limits = [87.33654, 88.72284, 103.9721, 708.3964, 709.7827, 745.1332, 30, 50, 15, 25]
    edges = np.concatenate([s * np.linspace(v - 1, v + 1, 10_001) for v in limits for s in (-1, 1)])
    return np.concatenate([wide, narrow, edges]).astype(dtype)


def _exact(name, x):
    longer = np.float64 if x.dtype == np.float32 else np.longdouble
    if name == "log":  # denormals count as nothing there
        x = np.where((x > 0) & (x < np.finfo(x.dtype).smallest_normal), x.dtype.type(0), x)
    with np.errstate(invalid="ignore"):  # signalling NaN
        return getattr(exact, name)(x.astype(longer))


@pytest.mark.parametrize("sample", [_every_exponent, _where_it_bends])
@pytest.mark.parametrize("dtype", _TYPES)
@pytest.mark.parametrize("name", KERNELS)
def test_errors_stay_below_the_stated_limits(name, dtype, sample):
    if dtype == np.float64 and not exact.HAS_LONGER:
        pytest.skip("no floating-point type longer than float64 to compare with")
    x = sample(dtype)
    errors = exact.ulp_errors(_apply(KERNELS[name], x), _exact(name, x))
    worst = errors.argmax()
    assert errors[worst] <= LIMITS[dtype][name], f"{name}({x[worst]!r}): {errors[worst]:.2f} ulp"


def test_sigmoid_is_better_where_it_matters():
    x = np.linspace(-20, 20, 2_000_001, dtype=np.float32)
    errors = exact.ulp_errors(_apply(_sigmoid, x), _exact("sigmoid", x))
    assert errors.max() <= 3.2


@pytest.mark.parametrize("sample", [_every_exponent, _where_it_bends])
@pytest.mark.parametrize("dtype", _TYPES)
def test_falling_exponentials_have_the_bits_of_others(dtype, sample):
    x = -np.abs(sample(dtype))
    expected = _apply(_exp, x)
    expected[expected < np.finfo(dtype).smallest_normal] = 0
    np.testing.assert_array_equal(_apply(_exp_falling, x), expected)


@pytest.mark.parametrize("dtype", _TYPES)
def test_special_values(dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(_apply(_exp, x), np.array([1, 1, np.inf, 0, np.nan], dtype))
    np.testing.assert_array_equal(_apply(_sigmoid, x), np.array([0.5, 0.5, 1, 0, np.nan], dtype))
    expected = np.array([-np.inf, -np.inf, np.inf, np.nan, np.nan], dtype)
    np.testing.assert_array_equal(_apply(_log, x), expected)
    np.testing.assert_array_equal(_apply(_log, np.ones(1, dtype)), [0])
    got = _apply(_tanh, x)
    np.testing.assert_array_equal(got, np.array([0, 0, 1, -1, np.nan], dtype))
    np.testing.assert_array_equal(np.signbit(got[:4]), [False, True, False, True])


@pytest.mark.parametrize("dtype", _TYPES)
def test_symmetry(dtype):
    """tanh is odd to the last bit, so that nothing drifts to one side."""
    x = _where_it_bends(dtype)
    np.testing.assert_array_equal(_apply(_tanh, -x), -_apply(_tanh, x))


def test_a_lane_does_not_matter():
    x = _where_it_bends(np.float32)[:4096]
    for function in KERNELS.values():
        whole = _apply(function, x)
        for shift in range(1, 16):
            moved = np.concatenate([x[:shift], x])
            np.testing.assert_array_equal(_apply(function, moved)[shift:], whole)


@pytest.mark.skipif(not HOST.x86, reason="only x86 has the mode")
def test_denormals_are_flushed_where_asked_and_nowhere_else():
    x = np.full(16, np.finfo(np.float32).smallest_subnormal)
    np.testing.assert_array_equal(_apply(_tanh, x), x)
    np.testing.assert_array_equal(_apply(_tanh_flushed, x), 0)
    np.testing.assert_array_equal(_apply(_tanh, x), x)  # the mode has been given back
    assert np.all(x != 0)


def test_the_docstring_states_these_limits():
    stated = (
        "exp and log {exp} ulp, sigmoid {sigmoid}, tanh {tanh}, and in double precision {double}"
    )
    stated = stated.format(**LIMITS[np.float32], double=LIMITS[np.float64]["tanh"])
    assert stated in " ".join(math.__doc__.split())


def test_tanh_stays_within_its_limits_and_reaches_them():
    """Rounding must not carry it beyond 1, where 1 - tanh² would turn negative."""
    bits = np.arange(*np.array([6, 10], np.float32).view(np.uint32), dtype=np.uint32)
    y = _apply(_tanh, bits.view(np.float32))
    assert y.max() == 1
    np.testing.assert_array_equal(y[-1000:], 1)
