"""Rows of length one, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm.kernels import unit
from tests.reference import finite

LEAST = 1e-7


def _unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), LEAST)


def _run(x, d_out):
    out, d_x, lengths = np.empty_like(x), np.empty_like(x), np.empty(len(x))
    unit.unit_rows(out, lengths, x, LEAST, work=1e9)
    unit.unit_rows_gradient(d_x, d_out, out, lengths, LEAST, work=1e9)
    return out, lengths, d_x


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 5), (3, 33)])
def test_values_and_gradients(rows, columns, rng):
    x, d_out = rng.standard_normal((2, rows, columns))
    out, lengths, d_x = _run(x, d_out)
    np.testing.assert_allclose(out, _unit(x), rtol=1e-13)
    np.testing.assert_allclose(lengths, np.linalg.norm(x, axis=1), rtol=1e-13)
    slopes = finite.gradient(lambda: float(np.vdot(_unit(x), d_out)), x)
    np.testing.assert_allclose(d_x, slopes, atol=1e-7)


def test_rows_next_to_nothing_and_large_ones(rng):
    """What is shorter than the least length is divided by that, and so is its gradient."""
    x = np.array([[0.0, 0.0], [3e-9, -4e-9], [3e30, 4e30]], np.float32)
    d_out = rng.standard_normal(x.shape).astype(np.float32)
    out, lengths, d_x = _run(x, d_out)
    np.testing.assert_allclose(out, [[0, 0], [0.03, -0.04], [0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(lengths, [LEAST, LEAST, 5e30], rtol=1e-6)
    np.testing.assert_allclose(d_x[:2], d_out[:2] / LEAST, rtol=1e-6)


def test_gradients_may_come_in_the_place_of_those_of_the_output(rng):
    x, d_out = rng.standard_normal((2, 6, 5))
    out, lengths, d_x = _run(x, d_out)
    unit.unit_rows_gradient(d_out, d_out, out, lengths, LEAST)
    np.testing.assert_array_equal(d_out, d_x)


def test_the_same_bits_whatever_the_threads(rng):
    x, d_out = rng.standard_normal((2, 50, 9)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        results.append(_run(x, d_out))
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
