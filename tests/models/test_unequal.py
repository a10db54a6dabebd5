"""Sequences of unequal length, and masks, in fit, evaluate and predict."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.data import Batch, Dataset
from fastlstm.layers import GRU, LSTM, Bidirectional, Dense, Embedding, Input, Masking

LENGTHS = np.array([5, 2, 9, 9, 1, 4, 7, 2])
STEPS = LENGTHS.max()
GENERATOR = np.random.default_rng(7)
X = [GENERATOR.normal(size=(length, 3)).astype(np.float32) for length in LENGTHS]
PADDED = np.stack([np.pad(x, ((0, STEPS - len(x)), (0, 0))) for x in X])
MASK = np.arange(STEPS) < LENGTHS[:, None]
LABELS = GENERATOR.normal(size=(8, 1)).astype(np.float32)
TAGS = [GENERATOR.integers(0, 4, length) for length in LENGTHS]
PADDED_TAGS = np.stack([np.pad(tags, (0, STEPS - len(tags))) for tags in TAGS])


def _tagger(*first):
    fastlstm.utils.set_random_seed(1)
    layers = [Bidirectional(LSTM(4, return_sequences=True)), GRU(5, return_sequences=True)]
    model = Sequential([Input((None, 3)), *first, *layers, Dense(4, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _causal(*first):
    fastlstm.utils.set_random_seed(1)
    layers = [LSTM(4, return_sequences=True), Dense(4, "softmax")]
    model = Sequential([Input((None, 3)), *first, *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _regressor(*first):
    fastlstm.utils.set_random_seed(1)
    model = Sequential([Input((None, 3)), *first, LSTM(4), Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def _equal(got, expected):
    for a, b in zip(got.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "y", "bptt"),
    [
        (_tagger, PADDED_TAGS, "full"),
        (_regressor, LABELS, "full"),
        (_causal, PADDED_TAGS, 4),
    ],
    ids=["tagger", "regressor", "windows"],
)
def test_a_mask_does_what_a_masking_layer_does(make, y, bptt):
    expected, model = make(Masking()), make()
    weights = np.linspace(0.5, 2.0, 8)
    options = {"batch_size": 3, "epochs": 2, "verbose": 0, "sample_weight": weights, "bptt": bptt}
    fastlstm.utils.set_random_seed(2)
    history = expected.fit(PADDED, y, **options)
    fastlstm.utils.set_random_seed(2)
    got = model.fit(PADDED, y, mask=MASK, **options)
    assert got.history == history.history
    _equal(model, expected)
    options = {"batch_size": 3, "verbose": 0}
    assert model.evaluate(PADDED, y, mask=MASK, **options) == expected.evaluate(
        PADDED, y, **options
    )
    np.testing.assert_array_equal(
        model.predict(PADDED, mask=MASK, **options), expected.predict(PADDED, **options)
    )


def test_a_mask_of_long_sequences_with_checkpoints():
    generator = np.random.default_rng(3)
    x = generator.normal(size=(4, 300, 3))
    y = generator.integers(0, 4, (4, 300))
    mask = np.arange(300) < np.array([[300], [40], [7], [150]])
    weights = []
    for bptt in ("full", "checkpoint"):
        model = _causal()
        model.fit(x, y, mask=mask, bptt=bptt, shuffle=False, verbose=0, epochs=2)
        weights.append(model)
    _equal(*weights)


@pytest.mark.parametrize("kind", ["list", "objects"])
def test_outputs_are_those_of_each_sequence_alone(kind):
    x = X
    if kind == "objects":
        x = np.empty(8, object)
        x[:] = X
    model = _tagger()
    outputs = model.predict(x, batch_size=3, verbose=0)
    assert [len(output) for output in outputs] == LENGTHS.tolist()
    for output, sequence in zip(outputs, X, strict=True):
        np.testing.assert_array_equal(output, model(sequence[None])[0])
    model = _regressor()
    outputs = model.predict(x, batch_size=3, verbose=0)
    assert outputs.shape == (8, 1)
    for output, sequence in zip(outputs, X, strict=True):
        np.testing.assert_array_equal(output, model(sequence[None])[0])
    np.testing.assert_array_equal(model.predict(x, batch_size=3, steps=2, verbose=0), outputs[:6])


@pytest.mark.parametrize(
    ("make", "y", "padded"), [(_tagger, TAGS, PADDED_TAGS), (_regressor, LABELS, LABELS)]
)
def test_lists_train_as_padded_arrays_with_a_mask(make, y, padded):
    expected, model = make(), make()
    options = {"batch_size": 8, "epochs": 3, "verbose": 0}
    history = expected.fit(PADDED, padded, mask=MASK, shuffle=False, **options)
    got = model.fit(X, y, shuffle=False, **options)
    assert got.history == history.history
    _equal(model, expected)
    assert model.evaluate(X, y, verbose=0, steps=1) == expected.evaluate(
        PADDED, padded, mask=MASK, verbose=0
    )


def test_batches_of_like_lengths():
    model = _tagger()
    history = model.fit(X, TAGS, batch_size=2, epochs=30, verbose=0, validation_split=0.25)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert len(history.history["val_loss"]) == 30
    loss, accuracy = model.evaluate(X[:6], TAGS[:6], batch_size=1, verbose=0)
    outputs = model.predict(X[:6], verbose=0)
    right = [np.mean(out.argmax(1) == tags) for out, tags in zip(outputs, TAGS[:6], strict=True)]
    right = np.average(right, weights=LENGTHS[:6])
    assert accuracy == pytest.approx(right)
    assert np.isfinite(loss)


def test_a_data_set_of_sequences_and_batches_with_masks():
    expected, models = _regressor(), [_regressor(), _regressor()]
    options = {"epochs": 2, "verbose": 0}
    dataset = Dataset.sequences(X, LABELS, batch_size=3, bucket_by_length=False)
    expected.fit(X, LABELS, batch_size=3, shuffle=False, **options)
    models[0].fit(dataset, **options)
    masked = Dataset(PADDED, LABELS, mask=MASK, batch_size=3)
    for _ in range(2):
        models[1].fit((Batch(b.x, b.y, mask=b.mask) for b in masked.batches()), verbose=0)
    for model in models:
        _equal(model, expected)
    np.testing.assert_array_equal(
        expected.predict(masked, verbose=0), expected.predict(X, batch_size=3, verbose=0)
    )


def test_ids_of_unequal_length():
    """A list of lists, as data sets of words come."""
    words = [[3, 1, 2], [5], [1, 4, 4, 2, 6], [2, 2]]
    fastlstm.utils.set_random_seed(1)
    model = Sequential([Embedding(8, 5), LSTM(4), Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(words, [0, 1, 0, 1], epochs=40, batch_size=2, verbose=0)
    outputs = model.predict(words, verbose=0)
    for output, ids in zip(outputs, words, strict=True):
        np.testing.assert_array_equal(output, model(np.array([ids]))[0])


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((X, LABELS), {"mask": MASK}, "mask cannot be given together with a list of sequences"),
        (
            (PADDED, PADDED_TAGS),
            {"mask": MASK[:, :4]},
            r"time\) = \(8, 9\), got \(8, 4\)",
        ),
        ((X, TAGS[::-1]), {}, r"y\[0\] has 2 steps, but x\[0\] has 5"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, options, text):
    with pytest.raises(ValueError, match=text):
        _tagger().fit(*arguments, **options, verbose=0)


def test_a_mask_needs_steps():
    model = Sequential([Input((3,)), Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="mask says which steps of sequences count"):
        model.fit(PADDED[:, 0], LABELS, mask=MASK[:, :1], verbose=0)


def test_an_ensemble_has_no_masks():
    ensemble = fastlstm.models.Ensemble(_regressor(), 2)
    stacked = np.stack([PADDED, PADDED])
    with pytest.raises(ValueError, match="an Ensemble takes no mask"):
        ensemble.fit(stacked, np.stack([LABELS, LABELS]), mask=MASK, verbose=0)
