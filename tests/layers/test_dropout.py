"""Dropout of the inputs of recurrent layers, and of whole features."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import GRU, LSTM, Bidirectional, Dense, Input, SimpleRNN, SpatialDropout1D
from fastlstm.models import Ensemble
from fastlstm.utils import set_random_seed

B, T, D = 12, 10, 6
RATE = 0.4


def _x(rng, steps=T):
    return rng.standard_normal((B, steps, D)).astype(np.float32)


def _with(layers, weights=None, seed=1):
    set_random_seed(seed)
    model = Sequential([Input((None, D)), *layers])
    model.compile("sgd", "mse")
    if weights is not None:
        model.set_weights(weights)
    return model


def test_features_are_dropped_from_the_whole_sequence(rng):
    x = 1 + np.abs(_x(rng))
    layer = SpatialDropout1D(RATE)
    np.testing.assert_array_equal(layer(x), x)
    dropped = layer(x, training=True)
    kept = dropped[:, 0] != 0
    expected = np.where(kept[:, None], x / np.float32(1 - RATE), 0)
    np.testing.assert_allclose(dropped, expected, rtol=1e-6)
    assert 0.3 < 1 - kept.mean() < 0.5
    assert np.any(layer(x, training=True) != dropped)


@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
@pytest.mark.parametrize("kind", [LSTM, GRU, SimpleRNN])
def test_a_layer_that_drops_is_a_layer_over_what_was_dropped(kind, backwards, rng):
    """Outputs and all gradients; the same seed draws the same mask."""
    x, y = _x(rng), rng.standard_normal((B, T, 4))
    options = {"return_sequences": True, "go_backwards": backwards}
    one = _with([Dense(5), kind(4, dropout=RATE, **options)])
    two = _with([Dense(5), SpatialDropout1D(RATE), kind(4, **options)], one.get_weights())
    results = []
    for model in (one, two):
        set_random_seed(3)
        loss, grads = model.value_and_grad(x, y)
        results.append([loss, *grads])
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(one(x), two(x))  # nothing is dropped in inference
    assert np.any(one(x, training=True) != one(x))


def test_each_direction_drops_its_own(rng):
    x = _x(rng)
    layer = Bidirectional(LSTM(4, dropout=RATE, return_sequences=True), merge_mode=None)
    layer.build((None, D))
    parts = []
    for part in layer.layers:
        parts.append(type(part).from_config({**part.get_config(), "dropout": 0.0}))
        parts[-1].build((None, D))
        parts[-1].set_weights(part.get_weights())
    set_random_seed(5)
    both = layer(x, training=True)
    set_random_seed(5)
    for got, part in zip(both, parts, strict=True):
        wanted = part(SpatialDropout1D(RATE)(x, training=True))
        wanted = wanted[:, ::-1] if part.go_backwards else wanted
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("bptt", ["full", "checkpoint"])
def test_training_has_the_same_bits(bptt, rng):
    """Whatever the threads; and in segments, of which each drops the same."""
    x, y = _x(rng, 300), rng.standard_normal((B, 300, 3))
    results = []
    for threads, way in ((1, "full"), (1, bptt), (2, bptt), (3, bptt)):
        set_num_threads(threads)
        options = {"return_sequences": True}
        model = _with([LSTM(5, dropout=RATE, **options), GRU(4, dropout=0.1, **options), Dense(3)])
        model.fit(x, y, epochs=2, batch_size=4, verbose=0, bptt=way)
        results.append(model.get_weights())
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_a_stack_in_the_shape_of_a_wavefront(rng):
    """Which goes on with the first steps of a layer before the last ones of another."""
    x = rng.standard_normal((4, 100, D)).astype(np.float32)
    options = {"return_sequences": True}
    one = _with([LSTM(8, dropout=RATE, **options), LSTM(8, dropout=RATE, **options)])
    drops = [SpatialDropout1D(RATE), SpatialDropout1D(RATE)]
    two = _with([drops[0], LSTM(8, **options), drops[1], LSTM(8, **options)], one.get_weights())
    outputs = []
    for model in (one, two):
        set_random_seed(3)
        outputs.append(model(x, training=True))
    np.testing.assert_array_equal(*outputs)


def test_models_of_an_ensemble_drop_differently(rng):
    x, y = _x(rng), rng.standard_normal((B, 2))
    many = Ensemble(_with([LSTM(4, dropout=RATE), Dense(2)]), 2)
    many.set_weights([np.stack([w[0]] * 2) for w in many.get_weights()])
    many.train_on_batch(np.stack([x] * 2), np.stack([y] * 2))
    assert any(np.any(first != second) for first, second in many.get_weights())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LSTM(3, dropout=1.0), "LSTM dropout"),
        (lambda: SpatialDropout1D(-0.1), "SpatialDropout1D rate"),
        (lambda: SpatialDropout1D(0.1)(np.zeros((2, 3))), "use Dropout"),
        (lambda: fastlstm.layers.Dropout("0.1"), "Dropout rate"),
    ],
)
def test_what_does_not_fit_is_said(make, words):
    with pytest.raises(ValueError, match=words):
        make()
