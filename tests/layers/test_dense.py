"""Dense at the end of a model: large outputs are written where the caller wants them."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm import Sequential
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import LSTM, Dense, Input
from fastlstm.models import Ensemble

STEPS, FEATURES, UNITS = 9, 3, 700
BATCH = 50  # of outputs beyond a megabyte
ACTIVATIONS = ["linear", "sigmoid", "softmax"]


def _model(activation):
    layers = [LSTM(8, return_sequences=True), Dense(UNITS, activation=activation)]
    return Sequential([Input((None, FEATURES)), *layers])


def _exact(name, z):
    if name == "softmax":
        powers = np.exp(z - z.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)
    return 1 / (1 + np.exp(-z)) if name == "sigmoid" else z


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_large_outputs_are_those_of_small_batches(activation, threads, rng):
    model = _model(activation)
    x = rng.standard_normal((BATCH, STEPS, FEATURES)).astype(np.float32)
    small = np.concatenate([model(x[n : n + 5]) for n in range(0, BATCH, 5)])
    set_num_threads(threads)
    large = model(x)
    assert large.shape == (BATCH, STEPS, UNITS)
    np.testing.assert_array_equal(large, small)
    np.testing.assert_array_equal(model(x[:, :7]), small[:, :7])
    np.testing.assert_array_equal(model.predict(x, batch_size=40, verbose=0), small)
    h = model.layers[0](x).astype(np.float64)
    kernel, bias = model.layers[1].get_weights()
    np.testing.assert_allclose(large, _exact(activation, h @ kernel + bias), atol=2e-6)


def test_outputs_of_one_call_are_left_alone_by_the_next(rng):
    model = _model("softmax")
    x, other = rng.standard_normal((2, BATCH, STEPS, FEATURES)).astype(np.float32)
    first = model(x)
    kept = first.copy()
    model(other)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(model(x), kept)


def test_outputs_of_an_ensemble(rng):
    model = _model("softmax")
    model.compile(loss="mse")
    x = rng.standard_normal((2, BATCH, STEPS, FEATURES)).astype(np.float32)
    outputs = Ensemble(model, 2).predict(x, batch_size=BATCH, verbose=0)
    assert outputs.shape == (2, BATCH, STEPS, UNITS)


def test_evaluation_sees_the_same(rng):
    model = _model("softmax")
    model.compile(loss="mse")
    x = rng.standard_normal((BATCH, STEPS, FEATURES)).astype(np.float32)
    loss = model.evaluate(x, np.zeros((BATCH, STEPS, UNITS)), batch_size=BATCH, verbose=0)
    assert loss == pytest.approx(np.mean(model(x).astype(np.float64) ** 2), rel=1e-5)
