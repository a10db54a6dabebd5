"""Calling a model again: the short way gives what the long way gives, and knows when to give up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastlstm
from fastlstm.layers import LSTM, Dense, Embedding, repeat
from fastlstm.layers.repeat import Repeat
from fastlstm.models import Sequential
from tests.marks import needs_jit


def _sequences(rng, batch=2, steps=5):
    return rng.standard_normal((batch, steps, 3)).astype(np.float32)


def _model(**options):
    layers = [LSTM(6, input_shape=(None, 3), return_sequences=True), LSTM(4, **options), Dense(2)]
    return Sequential(layers)


@pytest.fixture(params=["small", "large"], autouse=True)
def size(request, monkeypatch):
    """Both short ways, whatever the arrays' own size."""
    monkeypatch.setattr(repeat, "_SMALL", 1 << 15 if request.param == "small" else 0)
    return request.param


@pytest.fixture
def taken(monkeypatch):
    """Whether each call of ``Repeat`` gave an output."""
    outcomes = []
    call = Repeat.__call__

    def recording(self, x):
        output = call(self, x)
        outcomes.append(output is not None)
        return output

    monkeypatch.setattr(Repeat, "__call__", recording)
    return outcomes


@pytest.mark.parametrize("return_sequences", [False, True])
def test_the_same_bits_as_the_long_way(rng, taken, return_sequences):
    model = _model(return_sequences=return_sequences)
    first, second = _sequences(rng), _sequences(rng)
    expected = model.predict(first, verbose=0), model.predict(second, verbose=0)
    for x, y in [(first, expected[0]), (second, expected[1]), (first, expected[0])]:
        np.testing.assert_array_equal(model(x), y)
    assert taken == [True, True]


def test_samples_alone_and_ids(rng, taken):
    dense, embedding = Dense(2), Embedding(5, 3)
    x, ids = rng.standard_normal((4, 3)).astype(np.float32), np.array([[1, 2], [4, 0]], np.int32)
    for layer, values, others in ((dense, x, -x), (embedding, ids, ids[::-1].copy())):
        expected = [layer(v) for v in (others, values)]
        for v, y in zip((others, values), expected, strict=True):
            np.testing.assert_array_equal(layer(v), y)
    assert all(taken)


def test_an_output_is_the_callers_own(rng):
    model, x = _model(), _sequences(rng)
    outputs = [model(x) for _ in range(3)]
    kept = outputs[1].copy()
    outputs[1][...] = 7
    np.testing.assert_array_equal(outputs[2], kept)
    np.testing.assert_array_equal(model(-x), model.predict(-x, verbose=0))
    np.testing.assert_array_equal(outputs[2], kept)


def test_changed_weights_are_seen(rng, taken, size):
    model, x = _model(), _sequences(rng)
    model(x)
    model.set_weights([2 * weight for weight in model.get_weights()])
    np.testing.assert_array_equal(model(x), model.predict(x, verbose=0))
    model.compile("adam", "mse")
    model.train_on_batch(x, np.zeros((2, 2)))
    np.testing.assert_array_equal(model(x), model.predict(x, verbose=0))
    np.testing.assert_array_equal(model(x), model.predict(x, verbose=0))
    assert taken[0] is (size == "large")  # which packs them itself
    assert taken[-1] is True


@needs_jit
def test_the_long_way_again_and_again_prepares_nothing_anew(rng):
    """As in a loop that trains and predicts in turn: what a launch is told stays in memory."""
    model, x = _model(), _sequences(rng)
    weights = model.get_weights()
    model(x)
    (chain,) = model._runner._chains.values()
    before = len(chain.program._jobs)
    for _ in range(5):
        model.set_weights(weights)  # the panels are packed anew: one more launch, once
        model(x)
    assert len(chain.program._jobs) <= before + 1


def test_what_does_not_fit_takes_the_long_way(rng, taken):
    model, x = _model(), _sequences(rng)
    model(x)
    for other in (x[:1], x[:, :2], x.astype(np.float64), x.tolist(), np.asfortranarray(x)):
        np.testing.assert_allclose(model(other), model.predict(other, verbose=0), rtol=1e-6)
        model(x)
    with pytest.raises(ValueError, match="was built for 3 features"):
        model(x[..., :2])
    threads = fastlstm.get_num_threads()
    try:
        fastlstm.set_num_threads(threads + 1)
        before = len(taken)
        model(x)
        assert taken[before:] == [False]
    finally:
        fastlstm.set_num_threads(threads)


def test_wrong_values_are_an_error_and_leave_nothing_behind(rng):
    model, x = _model(), _sequences(rng)
    expected = model(x)
    for wrong in (np.nan, np.inf, -np.inf):
        for place in (0, 7, -1):  # also beyond whole vectors
            bad = x.copy()
            bad.reshape(-1)[place] = wrong
            with pytest.raises(ValueError, match="expected finite numbers"):
                model(bad)
            np.testing.assert_array_equal(model(x), expected)
    layer = Embedding(5, 3)
    ids = np.array([[1, 2]], np.int32)
    expected = layer(ids)
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match="ids from 0 to 4"):
            layer(np.array([[0, wrong]], np.int32))
        np.testing.assert_array_equal(layer(ids), expected)


def test_states_that_are_given_or_kept(rng):
    layer, x = LSTM(4), _sequences(rng)
    expected = layer(x)
    states = [np.ones((2, 4)), np.ones((2, 4))]
    assert np.any(layer(x, initial_state=states) != expected)
    np.testing.assert_array_equal(layer(x), expected)
    np.testing.assert_array_equal(layer(x), expected)
    stateful = LSTM(4, stateful=True)
    stateful(x)
    stateful.set_weights(layer.get_weights())
    stateful.reset_states()
    whole = layer(np.concatenate([x, x, x], axis=1))
    for _ in range(3):
        y = stateful(x)
    np.testing.assert_array_equal(y, whole)


def test_other_calls_in_between(rng):
    model, x = _model(), _sequences(rng)
    model.compile("sgd", "mse")
    expected = model(x)
    mask = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 1]], bool)
    for between in (
        lambda: model(x, mask=mask),
        lambda: model.predict(_sequences(rng, 9), verbose=0),
        lambda: model.evaluate(_sequences(rng, 40, 50), np.zeros((40, 2)), verbose=0),
        lambda: model.layers[0](x),
    ):
        between()
        np.testing.assert_array_equal(model(x), expected)
        np.testing.assert_array_equal(model(x), expected)


def test_a_layer_on_top(rng):
    model, x = _model(), _sequences(rng)
    model(x)
    model(x)
    model.add(Dense(3))
    for _ in range(2):
        assert model(x).shape == (2, 3)


def test_many_threads(rng):
    model = _model()
    inputs = [_sequences(rng) for _ in range(8)]
    expected = [model(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for outputs in pool.map(lambda _: [model(x) for x in inputs], range(20)):
            for y, right in zip(outputs, expected, strict=True):
                np.testing.assert_array_equal(y, right)


def test_panels_after_training_that_did_without_them(rng):
    """A lone step is trained on weights as they are: the panels must not pass for new."""
    model = Sequential([LSTM(32, input_shape=(None, 3)), Dense(1)])
    model.compile("sgd", "mse")
    x, y = _sequences(rng, 1, 1), np.ones((1, 1), np.float32)
    before = model(x)
    for _ in range(2):
        model.train_on_batch(x, y)
    after = model(x)
    assert not np.array_equal(after, before)
    other = Sequential([LSTM(32, input_shape=(None, 3)), Dense(1)])
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(after, other(x))
