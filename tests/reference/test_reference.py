"""The references are judged by finite differences, so that they can judge everything else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference import ctc, dense, embedding, finite, lstm, rnn
from tests.reference.rnn import ACTIVATIONS

B, T, D, U = 3, 4, 2, 3


def _weights(rng, blocks):
    return (
        rng.standard_normal((D, blocks * U)),
        rng.standard_normal((U, blocks * U)),
        rng.standard_normal(blocks * U),
    )


@pytest.mark.parametrize("masked", [False, True])
def test_lstm(rng, masked):
    x, weights = rng.standard_normal((B, T, D)), _weights(rng, 4)
    states = [rng.standard_normal((B, U)) for _ in range(2)]
    mask = rng.random((B, T)) < 0.5 if masked else None
    d_y, d_h, d_c = (rng.standard_normal(s) for s in ((B, T, U), (B, U), (B, U)))

    def value():
        y, (h, c), _ = lstm.forward(x, *weights, states, mask)
        return (y * d_y).sum() + (h * d_h).sum() + (c * d_c).sum()

    steps = lstm.forward(x, *weights, states, mask)[2]
    got = lstm.backward(steps, *weights[:2], d_y, [d_h, d_c])
    for array, d_array in zip((x, *states, *weights), (got.x, *got.states, *got[2:]), strict=True):
        np.testing.assert_allclose(finite.gradient(value, array), d_array, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rnn(rng, activation, masked):
    x, weights = rng.standard_normal((B, T, D)), _weights(rng, 1)
    states = [rng.standard_normal((B, U))]
    mask = rng.random((B, T)) < 0.5 if masked else None
    d_y, d_h = rng.standard_normal((B, T, U)), rng.standard_normal((B, U))

    def value():
        y, (h,), _ = rnn.forward(x, *weights, states, mask, activation)
        return (y * d_y).sum() + (h * d_h).sum()

    steps = rnn.forward(x, *weights, states, mask, activation)[2]
    got = rnn.backward(steps, *weights[:2], d_y, [d_h], activation)
    for array, d_array in zip((x, *states, *weights), (got.x, *got.states, *got[2:]), strict=True):
        np.testing.assert_allclose(finite.gradient(value, array), d_array, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "softmax"])
def test_dense(rng, activation):
    x, kernel, bias = (rng.standard_normal(shape) for shape in ((B, T, D), (D, U), (U,)))
    d_y = rng.standard_normal((B, T, U))

    def value():
        return (dense.forward(x, kernel, bias, activation) * d_y).sum()

    got = dense.backward(x, kernel, dense.forward(x, kernel, bias, activation), d_y, activation)
    for array, d_array in zip((x, kernel, bias), got, strict=True):
        np.testing.assert_allclose(finite.gradient(value, array), d_array, rtol=1e-6, atol=1e-8)


def test_embedding(rng):
    ids, table = rng.integers(0, 5, (B, T)), rng.standard_normal((5, D))
    d_y = rng.standard_normal((B, T, D))

    def value():
        return (embedding.forward(ids, table) * d_y).sum()

    got = embedding.backward(ids, table, d_y)
    np.testing.assert_allclose(finite.gradient(value, table), got, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("labels", [(), (1,), (2, 1), (1, 1), (2, 2, 1)])
def test_ctc(rng, labels):
    y = rng.standard_normal((5, 3))
    loss, got = ctc.recursion(labels, y)
    np.testing.assert_allclose(loss, ctc.brute_force(labels, y), rtol=1e-13)
    slopes = finite.gradient(lambda: ctc.brute_force(labels, y), y)
    np.testing.assert_allclose(slopes, got, rtol=1e-6, atol=1e-9)


def test_ctc_of_all_label_sequences_is_certain(rng):
    sums = ctc.all_label_sequences(rng.standard_normal((5, 3)), blank=1)
    np.testing.assert_allclose(np.logaddexp.reduce(list(sums.values())), 0, atol=1e-13)
    assert ctc.collapse([0, 0, 1, 0, 2, 2, 1], blank=1) == (0, 0, 2)
