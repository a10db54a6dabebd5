"""One vector register: memory, operators and the order of sums, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import simd
from fastlstm.kernels.host import HOST, Host
from fastlstm.kernels.jit import body
from fastlstm.kernels.simd import (
    absolute,
    copy_sign,
    fill,
    fma,
    lanes,
    load,
    load_first,
    select,
    square_root,
    store,
    store_first,
    sum_lanes,
    zero_like,
)
from tests.marks import needs_jit

DTYPES = (np.float32, np.float64)


@body
def _copy(out, x, out_at, x_at):
    store(load(x, x_at), out, out_at)


@body
def _copy_first(out, x, out_at, x_at, load_count, store_count):
    store_first(load_first(x, x_at, load_count), out, out_at, store_count)


@body
def _arithmetic(out, x, y):
    step = lanes(x)
    a = load(x, 0)
    b = load(y, 0)
    store(a + b, out, 0)
    store(a - b, out, step)
    store(a * b, out, 2 * step)
    store(a / b, out, 3 * step)
    store(1.5 - a, out, 4 * step)
    store(a * 2, out, 5 * step)
    store(-a, out, 6 * step)
    store(absolute(a), out, 7 * step)
    store(square_root(absolute(a)), out, 8 * step)
    store(copy_sign(a, b), out, 9 * step)
    store(zero_like(a), out, 10 * step)
    store(fill(x, 0.25), out, 11 * step)


@body
def _compare(out, x, y):
    step = lanes(x)
    a = load(x, 0)
    b = load(y, 0)
    store(select(a < b, 1.0, fill(x, 0.0)), out, 0)
    store(select(a <= b, 1.0, fill(x, 0.0)), out, step)
    store(select(a > b, 1.0, fill(x, 0.0)), out, 2 * step)
    store(select(a >= b, 1.0, fill(x, 0.0)), out, 3 * step)
    store(select(a == b, 1.0, fill(x, 0.0)), out, 4 * step)
    store(select(a != b, 1.0, fill(x, 0.0)), out, 5 * step)
    store(select(a > 0.0, a, b), out, 6 * step)


@body
def _fused(out, x, y, z):
    store(fma(load(x, 0), load(y, 0), load(z, 0)), out, 0)
    store(fma(load(x, 0), 3.0, load(z, 0)), out, lanes(x))


@body
def _sum(out, x):
    out[0] = sum_lanes(load(x, 0))


@body
def _powers(out, x, n):
    shift = simd.SHIFT32 if lanes(x) * 4 == HOST.vector_bytes else simd.SHIFT64
    store(simd.two_to(load(n, 0) + shift), out, 0)
    store(simd.scale(load(x, 0), load(n, 0) + shift), out, lanes(x))


def _vector(dtype, rng):
    return rng.standard_normal(HOST.lanes(8 * np.dtype(dtype).itemsize)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_load_and_store_at_any_offset(dtype, rng):
    n = len(_vector(dtype, rng))
    x = rng.standard_normal(3 * n).astype(dtype)
    for out_at, x_at in ((0, 0), (1, 2), (n, 3), (2 * n, 2 * n)):
        out = np.full_like(x, 7)
        _copy(out, x, out_at, x_at)
        expected = np.full_like(x, 7)
        expected[out_at : out_at + n] = x[x_at : x_at + n]
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_partial_load_and_store_touch_nothing_beyond(dtype, rng):
    """The arrays end exactly where the part ends, and guards stand around the output."""
    n = len(_vector(dtype, rng))
    for loaded in range(n + 1):
        for stored in range(n + 1):
            x = rng.standard_normal(loaded + 1).astype(dtype)
            out = np.full(stored + 4, 7, dtype)
            _copy_first(out, x, 2, 1, loaded, stored)
            expected = np.full_like(out, 7)
            expected[2 : 2 + stored] = np.concatenate([x[1:], np.zeros(n, dtype)])[:stored]
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic(dtype, rng):
    x, y = _vector(dtype, rng), _vector(dtype, rng)
    out = np.zeros(12 * len(x), dtype)
    _arithmetic(out, x, y)
    magnitude = np.abs(x)
    expected = [x + y, x - y, x * y, x / y, 1.5 - x, x * 2, -x, magnitude, np.sqrt(magnitude)]
    expected += [np.copysign(x, y), np.zeros_like(x), np.full_like(x, 0.25)]
    np.testing.assert_array_equal(out, np.concatenate(expected))


@pytest.mark.parametrize("dtype", DTYPES)
def test_comparisons_see_nan(dtype, rng):
    x, y = _vector(dtype, rng), _vector(dtype, rng)
    x[0], y[1], x[-1] = np.nan, np.nan, y[-1]
    out = np.zeros(7 * len(x), dtype)
    _compare(out, x, y)
    expected = [x < y, x <= y, x > y, x >= y, x == y, x != y, np.where(x > 0, x, y)]
    np.testing.assert_array_equal(out, np.concatenate(expected).astype(dtype))


@needs_jit
@pytest.mark.skipif(not HOST.fma, reason="this host rounds twice")
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_multiply_add_rounds_once(dtype, rng):
    tiny = np.finfo(dtype).eps
    x = np.full_like(_vector(dtype, rng), 1 + tiny)
    out = np.zeros(2 * len(x), dtype)
    _fused(out, x, x, np.full_like(x, -(1 + 2 * tiny)))
    np.testing.assert_array_equal(out[: len(x)], tiny * tiny)  # rounded twice, it is zero
    np.testing.assert_allclose(out[len(x) :], 2 + tiny, rtol=2 * tiny)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes_are_summed_halves_first(dtype, rng):
    x = _vector(dtype, rng) * dtype(1e3)
    out = np.zeros(1, dtype)
    _sum(out, x)
    while len(x) > 1:
        x = x[: len(x) // 2] + x[len(x) // 2 :]
    assert out[0] == x[0]


@needs_jit
@pytest.mark.parametrize(
    ("dtype", "least", "most"), [(np.float32, -126, 127), (np.float64, -1022, 1023)]
)
def test_powers_of_two(dtype, least, most, rng):
    x = _vector(dtype, rng)
    n = np.linspace(least, most, len(x)).round().astype(dtype)
    out = np.zeros(2 * len(x), dtype)
    _powers(out, x, n)
    powers = np.ldexp(dtype(1), n.astype(int))
    np.testing.assert_array_equal(out, np.concatenate([powers, x * powers]))


@needs_jit
@pytest.mark.parametrize(("dtype", "n"), [(np.float32, 140), (np.float64, 1060)])
def test_scale_overflows_and_underflows_as_it_should(dtype, n, rng):
    x = 1 + np.abs(_vector(dtype, rng))
    out = np.zeros(2 * len(x), dtype)
    _powers(out, x, np.full_like(x, n))
    np.testing.assert_array_equal(out[len(x) :], np.inf)
    _powers(out, x, np.full_like(x, -n))
    np.testing.assert_array_equal(out[len(x) :], np.ldexp(x, -n))  # a denormal


def test_lanes_fill_the_register():
    assert lanes(np.zeros(1, np.float32)) * 4 == HOST.vector_bytes
    assert lanes(np.zeros(1, np.float64)) * 8 == HOST.vector_bytes


@pytest.mark.parametrize(
    ("vector_bytes", "registers", "vectors", "rows"),
    [
        (64, 32, 4, 6),
        (32, 16, 4, 3),
        (16, 32, 4, 6),
        (16, 16, 4, 3),
        (32, 16, 3, 3),
        (64, 32, 3, 7),
        (64, 32, 16, 1),
    ],
)
def test_a_register_tile_fits_the_registers(vector_bytes, registers, vectors, rows):
    host = Host(vector_bytes, registers, fma=True, x86=True)
    assert host.tile_rows(vectors) == rows
    weights = vectors if registers >= 32 else 1
    broadcasts = 1 if registers >= 32 else rows
    if rows > 1:
        assert rows * vectors + weights + broadcasts <= registers
