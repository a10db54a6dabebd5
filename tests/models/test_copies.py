"""Copies by pickle and deepcopy: models of their own, that go on just where the original is."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Input, TimeDistributed
from fastlstm.models import Ensemble

COPIES = {"pickle": lambda model: pickle.loads(pickle.dumps(model)), "deepcopy": copy.deepcopy}
each_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


def _model(optimizer):
    fastlstm.utils.set_random_seed(4)
    model = Sequential(
        [
            Input((None,)),
            Embedding(20, 5, mask_zero=True),
            Bidirectional(LSTM(6, return_sequences=True)),
            GRU(7, return_sequences=True),
            TimeDistributed(Dense(3, "softmax")),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


OPTIMIZERS = {
    "adam": lambda: fastlstm.optimizers.Adam(0.01, clipnorm=1.0),
    "all of it": lambda: fastlstm.optimizers.AdamW(
        0.01, use_ema=True, gradient_accumulation_steps=2
    ),
    "sgd": lambda: fastlstm.optimizers.SGD(0.01, momentum=0.9),
}


@each_copy
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_training_goes_on_with_the_same_bits(optimizer, copied, rng):
    model, ids = _model(optimizer()), rng.integers(0, 20, (8, 11))
    for _ in range(3):
        model.train_on_batch(ids, ids % 3)
    other = copied(model)
    before = model.get_weights()
    for _ in range(3):
        other.train_on_batch(ids, ids % 3)
    for got, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, wanted)  # nobody else's training
    for _ in range(3):
        model.train_on_batch(ids, ids % 3)
    for got, wanted in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert any(np.any(got != was) for got, was in zip(other.get_weights(), before, strict=True))
    np.testing.assert_array_equal(other(ids), model(ids))


@each_copy
def test_a_model_that_is_not_built_or_not_compiled(copied, rng):
    x = rng.standard_normal((4, 6, 2)).astype(np.float32)
    fresh = copied(Sequential([LSTM(3), Dense(1)]))
    assert fresh(x).shape == (4, 1)
    plain = Sequential([Input((None, 2)), LSTM(3)])
    other = copied(plain)
    np.testing.assert_array_equal(other(x), plain(x))
    other.set_weights([0 * w for w in other.get_weights()])
    np.testing.assert_array_equal(other(x), 0)
    assert plain(x).any()


@each_copy
def test_layers(copied, rng):
    x = rng.standard_normal((4, 6, 2)).astype(np.float32)
    model = Sequential([Input((None, 2)), Bidirectional(LSTM(3)), Dense(1)])
    for layer, data in zip(model.layers, [x, x[:, 0, :1].repeat(6, axis=1)], strict=True):
        expected = layer(data)
        other = copied(layer)
        np.testing.assert_array_equal(other(data), expected)
        other.set_weights([0 * w for w in other.get_weights()])
        np.testing.assert_array_equal(other(data), 0)
        np.testing.assert_array_equal(layer(data), expected)
    part = copied(model.layers[0].backward_layer)
    np.testing.assert_array_equal(part(x), model.layers[0].backward_layer(x))


@each_copy
def test_many_models(copied, rng):
    model = Sequential([Input((None, 2)), LSTM(3), Dense(1)])
    model.compile("adam", "mse")
    x, y = rng.standard_normal((3, 8, 5, 2)), rng.standard_normal((3, 8, 1))
    many = Ensemble(model, 3)
    many.fit(x, y, verbose=0, shuffle=False)
    other = copied(many)
    for each in (many, other):
        each.fit(x, y, verbose=0, shuffle=False)
    np.testing.assert_array_equal(other.predict(x, verbose=0), many.predict(x, verbose=0))


def test_a_stream_says_that_it_cannot():
    stream = Sequential([Input((None, 2)), LSTM(3)]).stream()
    with pytest.raises(TypeError, match="copy the model"):
        pickle.dumps(stream)
