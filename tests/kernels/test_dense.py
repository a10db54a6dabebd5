"""Softmax rows and activation derivatives against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import dense
from fastlstm.kernels.activations import Linear, Relu, Sigmoid, Tanh
from fastlstm.kernels.parallel import set_num_threads
from tests.reference.dense import backward, softmax
from tests.reference.rnn import ACTIVATIONS

SHAPES = [(1, 1), (3, 2), (5, 7), (4, 33), (2, 1000)]
LIMITS = {np.float32: 2e-6, np.float64: 1e-13}
TYPES = {"linear": Linear(), "relu": Relu(), "sigmoid": Sigmoid(), "tanh": Tanh()}


@pytest.fixture(autouse=True)
def _serial():
    set_num_threads(1)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax(shape, dtype, rng):
    y = (3 * rng.standard_normal(shape)).astype(dtype)
    exact = softmax(y.astype(np.float64))
    dense.softmax(y)
    np.testing.assert_allclose(y, exact, rtol=LIMITS[dtype])


def test_softmax_of_large_numbers_and_of_what_is_not_finite():
    y = np.array(
        [
            [1e30, 0, -1e30],
            [-1e30, -1e30, -1e30],
            [0, np.nan, 0],
            [0, np.inf, 0],
            [0, -np.inf, 0],
        ],
        np.float32,
    )
    dense.softmax(y)
    np.testing.assert_array_equal(y[0], [1, 0, 0])
    np.testing.assert_allclose(y[1], 1 / 3, rtol=1e-6)
    assert np.isnan(y[2]).all()
    assert np.isnan(y[3, 1])
    np.testing.assert_allclose(y[4], [0.5, 0, 0.5])


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_gradient(shape, dtype, rng):
    y = softmax(rng.standard_normal(shape)).astype(dtype)
    d = rng.standard_normal(shape).astype(dtype)
    kernel = np.eye(shape[1])  # the gradient of its input is that of the logits
    exact, _, _ = backward(np.zeros(shape), kernel, y.astype(np.float64), d, "softmax")
    dense.softmax_gradient(d, y)
    np.testing.assert_allclose(d, exact, rtol=0, atol=LIMITS[dtype])


@pytest.mark.parametrize("name", TYPES)
def test_activation_gradient(name, rng):
    for shape in SHAPES:
        y = ACTIVATIONS[name][0](rng.standard_normal(shape)).astype(np.float32)
        d = rng.standard_normal(shape).astype(np.float32)
        expected = d * ACTIVATIONS[name][1](y.astype(np.float64))
        dense.activation_gradient(TYPES[name], d, y)
        np.testing.assert_allclose(d, expected, rtol=1e-6, atol=1e-6)


def test_bits_do_not_depend_on_the_threads(rng):
    logits = rng.standard_normal((33, 50)).astype(np.float32)
    d = rng.standard_normal((33, 50)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        y, d_logits, d_a = logits.copy(), d.copy(), d.copy()
        dense.softmax(y, work=1e9)
        dense.softmax_gradient(d_logits, y, work=1e9)
        dense.activation_gradient(Tanh(), d_a, y, work=1e9)
        results.append(np.stack([y, d_logits, d_a]))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])
