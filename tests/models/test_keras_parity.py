"""The models that people copy from tutorials learn as they do in Keras, step by step."""

from __future__ import annotations

import os
import warnings
from functools import partial

import numpy as np
import pytest

import fastlstm

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

torch.set_num_threads(1)
# Keras' own way to NumPy is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
STEPS = 20


def _sequence_classifier(api):
    """LSTM on LSTM with one class per sequence."""
    return api.Sequential(
        [
            api.layers.Input(shape=(10, 10)),
            api.layers.LSTM(50, return_sequences=True),
            api.layers.LSTM(50),
            api.layers.Dense(10, activation="softmax"),
        ]
    )


def _sentiment(api):
    """Words to vectors, LSTM on LSTM, yes or no."""
    return api.Sequential(
        [
            api.layers.Input(shape=(20,), dtype="int32"),
            api.layers.Embedding(300, 128),
            api.layers.LSTM(128, return_sequences=True),
            api.layers.LSTM(128),
            api.layers.Dense(1, activation="sigmoid"),
        ]
    )


def _gated(api):
    """Every other cell that both have, with activations that are not the usual ones."""
    return api.Sequential(
        [
            api.layers.Input(shape=(12, 4)),
            api.layers.GRU(33, return_sequences=True, bias_initializer="glorot_uniform"),
            api.layers.GRU(
                17, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True
            ),
            api.layers.LSTM(
                9, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True
            ),
            api.layers.SimpleRNN(8, activation="sigmoid"),
            api.layers.Dense(1),
        ]
    )


def _reset_before(api):
    """The GRU whose reset gate stands before the product, both ways."""
    gru = partial(api.layers.GRU, reset_after=False, return_sequences=True)
    return api.Sequential(
        [
            api.layers.Input(shape=(12, 4)),
            gru(33, bias_initializer="glorot_uniform"),
            api.layers.Bidirectional(gru(17)),
            gru(9, activation="relu", recurrent_activation="hard_sigmoid", go_backwards=True),
            api.layers.GRU(8, reset_after=False, use_bias=False),
            api.layers.Dense(1),
        ]
    )


def _gated_data(rng):
    x = rng.standard_normal((96, 12, 4)).astype(np.float32)
    return x, x[:, :, :1].sum(axis=1)


def _sequence_data(rng):
    x = rng.random((100, 10, 10)).astype(np.float32)
    return x, np.eye(10, dtype=np.float32)[rng.integers(0, 10, 100)]


def _sentiment_data(rng):
    x = rng.integers(0, 300, (512, 20))
    return x, (x.mean(axis=1, keepdims=True) > 150).astype(np.float32)


def _counts(api):
    """Rates of counts."""
    return api.Sequential(
        [
            api.layers.Input(shape=(10, 10)),
            api.layers.LSTM(32),
            api.layers.Dense(3, activation="sigmoid"),
        ]
    )


def _count_data(rng):
    x = rng.random((100, 10, 10)).astype(np.float32)
    return x, rng.poisson(2 * x[:, -1, :3]).astype(np.float32)


def _directions(api):
    """Both directions, merged in every way, and one that goes backwards alone."""
    both = api.layers.Bidirectional
    return api.Sequential(
        [
            api.layers.Input(shape=(12, 4)),
            both(api.layers.LSTM(7, return_sequences=True)),
            both(api.layers.GRU(9, return_sequences=True), merge_mode="sum"),
            both(api.layers.SimpleRNN(8, return_sequences=True), merge_mode="mul"),
            both(
                api.layers.LSTM(6, return_sequences=True),
                merge_mode="ave",
                backward_layer=api.layers.LSTM(6, return_sequences=True, go_backwards=True),
            ),
            api.layers.GRU(5, return_sequences=True, go_backwards=True),
            both(api.layers.LSTM(4)),
            api.layers.Dense(1),
        ]
    )


def _encoder_decoder(api):
    """A sequence to one vector, and that to a shorter sequence."""
    return api.Sequential(
        [
            api.layers.Input(shape=(12, 4)),
            api.layers.LSTM(9),
            api.layers.RepeatVector(5),
            api.layers.LSTM(7, return_sequences=True),
            api.layers.TimeDistributed(api.layers.Dense(3, activation="softmax")),
        ]
    )


def _encoder_decoder_data(rng):
    x = rng.standard_normal((96, 12, 4)).astype(np.float32)
    return x, np.eye(3, dtype=np.float32)[rng.integers(0, 3, (96, 5))]


def _padded_tagger(api):
    """Sentences of several lengths, a tag a word."""
    return api.Sequential(
        [
            api.layers.Input(shape=(15,), dtype="int32"),
            api.layers.Embedding(40, 8, mask_zero=True),
            api.layers.LSTM(9, return_sequences=True),
            api.layers.Bidirectional(api.layers.GRU(7, return_sequences=True)),
            api.layers.Dense(5, activation="softmax"),
        ]
    )


def _padded_tagger_data(rng):
    lengths = rng.integers(1, 16, (96, 1))
    x = rng.integers(1, 40, (96, 15)) * (np.arange(15) < lengths)
    return x, x % 5


def _padded_series(api):
    """Rows of features, some of which are missing, and one number for each sequence."""
    return api.Sequential(
        [
            api.layers.Input(shape=(12, 4)),
            api.layers.Masking(-1.0),
            api.layers.Bidirectional(api.layers.LSTM(6, return_sequences=True), merge_mode="sum"),
            api.layers.GRU(5),
            api.layers.Dense(1),
        ]
    )


def _padded_series_data(rng):
    x = rng.standard_normal((96, 12, 4)).astype(np.float32)
    x[rng.random((96, 12)) < 0.4] = -1.0
    return x, x[:, -1:, 0]


CASES = {
    "focal classes": (
        _sequence_classifier, _sequence_data, "categorical_focal_crossentropy", "f1_score", 32
    ),
    "focal words": (_sentiment, _sentiment_data, "binary_focal_crossentropy", "auc", 128),
    "counts": (_counts, _count_data, "poisson", "r2_score", 32),
    "logarithms": (_counts, _count_data, "mean_squared_logarithmic_error", "log_cosh_error", 32),
    "sequence classifier": (
        _sequence_classifier, _sequence_data, "categorical_crossentropy", "accuracy", 32
    ),
    "sentiment": (_sentiment, _sentiment_data, "binary_crossentropy", "accuracy", 128),
    "encoder-decoder": (
        _encoder_decoder, _encoder_decoder_data, "categorical_crossentropy", "accuracy", 32
    ),
    "padded tagger": (
        _padded_tagger, _padded_tagger_data, "sparse_categorical_crossentropy", "accuracy", 32
    ),
    "padded series": (_padded_series, _padded_series_data, "mse", "mae", 32),
    "directions": (_directions, _gated_data, "mse", "mae", 32),
    "reset before": (_reset_before, _gated_data, "mse", "mae", 32),
    "gated": (_gated, _gated_data, "mse", "mae", 32),
}  # fmt: skip


@pytest.fixture(params=CASES)
def pair(request, rng):
    """The same model twice, with the same weights; and 20 batches."""
    make, data, loss, metric, batch = CASES[request.param]
    theirs, ours = make(keras), make(fastlstm)
    ours.set_weights(theirs.get_weights())
    theirs.compile(optimizer="adam", loss=loss, metrics=[metric])
    ours.compile(optimizer="adam", loss=loss, metrics=[metric])
    x, y = data(rng)
    batches = []
    while len(batches) < STEPS:
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            index = order[start : start + batch]
            batches.append((x[index], y[index]))
    return theirs, ours, batches[:STEPS], x


def test_the_loss_of_each_step_agrees(pair):
    theirs, ours, batches, x = pair
    for step, (batch_x, batch_y) in enumerate(batches):
        theirs.reset_metrics()  # Keras goes on counting from batch to batch
        expected = theirs.train_on_batch(batch_x, batch_y)
        got = ours.train_on_batch(batch_x, batch_y)
        assert np.isclose(got[0], expected[0], rtol=1e-4, atol=0), f"step {step}"
        np.testing.assert_allclose(
            got[1], expected[1], rtol=1e-4, atol=1e-6, err_msg=f"step {step}"
        )
    np.testing.assert_allclose(
        ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-3, atol=1e-4
    )


def test_weights_have_the_same_order_and_shapes(pair):
    theirs, ours, _, _ = pair
    shapes = [weight.shape for weight in theirs.get_weights()]
    assert [weight.shape for weight in ours.get_weights()] == shapes
    assert ours.layers[-1].count_params() == theirs.layers[-1].count_params()


def test_fit_takes_the_same_arguments(rng):
    """The tutorial's call, in both; without shuffling, the history agrees as well."""
    histories = []
    weights = None
    x, y = _sequence_data(rng)
    for api in (keras, fastlstm):
        model = _sequence_classifier(api)
        weights = weights or model.get_weights()
        model.set_weights(weights)
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(
            x, y, epochs=2, batch_size=32, validation_split=0.25, shuffle=False, verbose=0
        )
        histories.append(history.history)
    theirs, ours = histories
    assert set(ours) == set(theirs)
    for key, values in theirs.items():
        np.testing.assert_allclose(ours[key], values, rtol=1e-4, err_msg=key)
