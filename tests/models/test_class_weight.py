"""class_weight: sample weights by class, as in Keras."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.layers import LSTM, Dense
from fastlstm.models import Ensemble
from tests.peers import import_keras

N, T, D, C = 24, 5, 3, 4
WEIGHTS = {0: 2.0, 1: 0.0, 3: 0.5}
KINDS = {
    "ids": ("sparse_categorical_crossentropy", C, "softmax"),
    "column of ids": ("sparse_categorical_crossentropy", C, "softmax"),
    "one-hot": ("categorical_crossentropy", C, "softmax"),
    "binary": ("binary_crossentropy", 1, "sigmoid"),
    "flat binary": ("hinge", 1, "linear"),
}


def _model(kind, api=fastlstm, sequences=False):
    _, units, activation = KINDS[kind]
    return api.Sequential(
        [
            api.layers.Input(shape=(T, D)),
            api.layers.LSTM(6, return_sequences=sequences),
            api.layers.Dense(units, activation=activation),
        ]
    )


def _targets(kind, ids):
    """Targets, and the weight of each."""
    table = np.array([WEIGHTS.get(k, 1.0) for k in range(C)])
    if kind == "ids":
        return ids, table[ids]
    if kind == "column of ids":
        return ids[..., None], table[ids]
    if kind == "one-hot":
        return np.eye(C, dtype=np.float32)[ids], table[ids]
    binary = (ids > 1).astype(np.float32)
    return (binary[..., None] if kind == "binary" else binary), np.where(binary, 0.0, 2.0)


def _weights(kind):
    return WEIGHTS if "binary" not in kind else {0: 2.0, 1: 0.0}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sequences", [False, True])
def test_it_is_as_good_as_sample_weights(kind, sequences, rng):
    x = rng.standard_normal((N, T, D)).astype(np.float32)
    y, weight = _targets(kind, rng.integers(0, C, (N, T) if sequences else N))
    own = rng.uniform(0, 2, weight.shape)
    model = _model(kind, sequences=sequences)
    start = model.get_weights()
    results = []
    for options in (
        {"sample_weight": own * weight},
        {"sample_weight": own, "class_weight": _weights(kind)},
    ):
        model.set_weights(start)
        model.compile("sgd", KINDS[kind][0])
        loss = model.train_on_batch(x, y, **options)
        history = model.fit(x, y, batch_size=7, epochs=2, shuffle=False, verbose=0, **options)
        results.append((loss, history.history["loss"], model.get_weights()))
    (loss, history, weights), (other_loss, other_history, other_weights) = results
    assert other_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(other_history, history, rtol=1e-6)
    for ours, theirs in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_fit_is_that_of_keras(kind, rng):
    keras = import_keras()
    x = rng.standard_normal((N, T, D)).astype(np.float32)
    y, _ = _targets(kind, rng.integers(0, C, N))
    theirs, ours = _model(kind, keras), _model(kind)
    ours.set_weights(theirs.get_weights())
    histories = []
    for model in (theirs, ours):
        model.compile(
            optimizer="sgd", loss=KINDS[kind][0],
            metrics=["mse"] if "ids" not in kind else ["accuracy"], weighted_metrics=["accuracy"],
        )  # fmt: skip
        history = model.fit(x, y, batch_size=6, epochs=3, shuffle=False, verbose=0,
                            validation_split=0.25, class_weight=_weights(kind))  # fmt: skip
        histories.append(history.history)
    assert set(histories[0]) == set(histories[1])
    for key, values in histories[0].items():
        np.testing.assert_allclose(histories[1][key], values, rtol=1e-4, err_msg=key)


def test_an_ensemble_weighs_the_classes_of_each_model(rng):
    model = _model("ids")
    model.compile("sgd", KINDS["ids"][0])
    ensemble = Ensemble(model, 3)
    alone = [ensemble[k] for k in range(3)]
    x = rng.standard_normal((3, N, T, D)).astype(np.float32)
    y = rng.integers(0, C, (3, N))
    w = rng.uniform(0, 2, (3, N))
    got = ensemble.train_on_batch(x, y, w, class_weight=WEIGHTS)
    expected = [m.train_on_batch(*xyw, class_weight=WEIGHTS)
                for m, *xyw in zip(alone, x, y, w, strict=True)]  # fmt: skip
    np.testing.assert_array_equal(got, expected)
    ensemble.fit(x, y, batch_size=5, verbose=0, class_weight=WEIGHTS)


@pytest.mark.parametrize(
    ("class_weight", "error", "words"),
    [
        ([1.0, 2.0], TypeError, "dict of weights by class.*got list"),
        ({4: 1.0}, ValueError, "class 4, but the model's classes are 0 to 3"),
        ({-1: 1.0}, ValueError, "class -1"),
        ({"1": 1.0}, ValueError, "class '1'"),
        ({0.5: 1.0}, ValueError, "class 0.5"),
        ({True: 1.0}, ValueError, "class True"),
        ({0: -1.0}, ValueError, "at least 0, got -1.0 for class 0"),
        ({0: float("nan")}, ValueError, "finite weights of at least 0, got nan"),
        ({0: float("inf")}, ValueError, "got inf for class 0"),
        ({0: "heavy"}, ValueError, "got 'heavy'"),
    ],
)
def test_weights_that_make_no_sense_are_refused(class_weight, error, words):
    model = _model("ids")
    model.compile("sgd", KINDS["ids"][0])
    before = model.get_weights()
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(error, match=words):
            train(np.ones((N, T, D)), np.zeros(N, int), class_weight=class_weight)
    for ours, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, old)


@pytest.mark.parametrize(
    ("units", "y", "words"),
    [
        (1, np.full((N, 1), 0.3), "classes, 0 or 1 for a single output; got 0.3"),
        (3, np.ones((N, 3)), "add up to 1; got rows with sums from 3 to 3"),
        (3, np.tile([2.0, -1.0, 0.0], (N, 1)), "one class a row"),
    ],
)
def test_targets_that_are_no_classes_are_refused(units, y, words):
    model = Sequential([LSTM(4, input_shape=(T, D)), Dense(units)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=words):
        model.fit(np.ones((N, T, D)), y, verbose=0, class_weight={0: 2.0})
