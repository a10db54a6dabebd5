"""Penalties of outputs: Keras' losses and weights, finite differences, masks, threads."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import regularizers
from fastlstm.layers import (
    CRF,
    GRU,
    LSTM,
    RNN,
    ActivityRegularization,
    Bidirectional,
    Dense,
    Embedding,
    Input,
    LSTMCell,
    Masking,
    MultiHeadAttention,
    TimeDistributed,
)
from tests.peers import import_keras
from tests.reference import finite

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* was passed an input:UserWarning")

N, T, D = 6, 5, 3


def _sequence(api):
    rule = api.regularizers.L1L2(0.02, 0.03)
    return [
        api.layers.Masking(),
        api.layers.LSTM(4, return_sequences=True, activity_regularizer=rule),
        api.layers.GRU(3, return_sequences=True, activity_regularizer="l1"),
        api.layers.Dense(4, activation="softmax", activity_regularizer="l2"),
    ]


def _last(api):
    return [
        api.layers.Conv1D(4, 2, activation="tanh", activity_regularizer="l1"),
        api.layers.Bidirectional(api.layers.LSTM(4), activity_regularizer="l2"),
        api.layers.ActivityRegularization(0.1, 0.05),
        api.layers.Dense(4, activation="softmax"),
    ]


def _steps(api):
    cells = [api.layers.LSTMCell(4), api.layers.GRUCell(3)]
    return [
        api.layers.RNN(cells, return_sequences=True, activity_regularizer="l2"),
        api.layers.TimeDistributed(api.layers.Dense(4), activity_regularizer="l1"),
        api.layers.Activation("softmax", activity_regularizer="l2"),
    ]


def _below(api):
    """Layers above it leave masked steps out."""
    return [
        api.layers.Masking(),
        api.layers.GRU(3, return_sequences=True),
        api.layers.LSTM(4, return_sequences=True, activity_regularizer="l2"),
        api.layers.LSTM(3, return_sequences=True),
        api.layers.Dense(5, activation="gelu", activity_regularizer="l1"),
        api.layers.Dense(4, activation="softmax"),
    ]


MODELS = {"below": _below, "sequence": _sequence, "last": _last, "steps": _steps}


def _data(rng, name):
    x = rng.standard_normal((N, T, D)).astype(np.float32)
    x[1, 3:] = 0
    x[4, 1:] = 0
    shape = (N,) if name == "last" else (N, T)
    return x, rng.integers(0, 4, shape)


@pytest.mark.parametrize("name", MODELS)
def test_training_is_that_of_keras(name, rng):
    keras = import_keras()
    x, y = _data(rng, name)
    theirs = keras.Sequential([keras.Input((T, D)), *MODELS[name](keras)])
    ours = fastlstm.Sequential([Input((T, D)), *MODELS[name](fastlstm)])
    ours.set_weights(theirs.get_weights())
    for model in (theirs, ours):
        model.compile("sgd", "sparse_categorical_crossentropy")
    evaluated = [model.evaluate(x, y, batch_size=4, verbose=0) for model in (ours, theirs)]
    np.testing.assert_allclose(*evaluated, rtol=2e-5)
    losses = [
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history["loss"]
        for model in (ours, theirs)
    ]
    np.testing.assert_allclose(*losses, rtol=2e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=2e-6)


def test_words_and_states_are_those_of_keras(rng):
    keras = import_keras()
    ids, y = rng.integers(0, 9, (N, T)), rng.standard_normal((N, 2)).astype(np.float32)

    def make(api):
        given = api.layers.Input((T,), dtype="int32")
        words = api.layers.Embedding(9, 4, mask_zero=True, activity_regularizer="l2")(given)
        lstm = api.layers.LSTM(3, return_state=True, activity_regularizer="l1")
        h, *states = lstm(words)
        return api.Model(given, api.layers.Dense(2)(api.layers.Add()([h, *states])))

    theirs, ours = make(keras), make(fastlstm)
    ours.set_weights(theirs.get_weights())
    for model in (theirs, ours):
        model.compile("sgd", "mse")
    # Where nothing is saved, the words might be looked up by the layer above.
    evaluated = [model.evaluate(ids, y, verbose=0) for model in (ours, theirs)]
    np.testing.assert_allclose(*evaluated, rtol=2e-5)
    for _ in range(3):
        losses = [float(model.train_on_batch(ids, y)) for model in (ours, theirs)]
        np.testing.assert_allclose(*losses, rtol=2e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_against_finite_differences(name, rng):
    x, y = _data(rng, name)
    fastlstm.config.set_floatx("float64")
    try:
        model = fastlstm.Sequential([Input((T, D)), *MODELS[name](fastlstm)])
    finally:
        fastlstm.config.set_floatx("float32")
    model.compile("sgd", "sparse_categorical_crossentropy")
    value, gradients = model.value_and_grad(x, y)
    weights = model.get_weights()

    def loss():
        model.set_weights(weights)
        return float(model.evaluate(x, y, batch_size=N, verbose=0))

    np.testing.assert_allclose(loss(), value, rtol=1e-12)
    for weight, gradient in zip(weights, gradients, strict=True):
        np.testing.assert_allclose(gradient, finite.gradient(loss, weight), rtol=1e-5, atol=1e-7)


def test_bits_do_not_depend_on_the_threads(rng):
    x = rng.standard_normal((32, 40, D)).astype(np.float32)
    y = rng.integers(0, 4, (32, 40))
    results = []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        fastlstm.utils.set_random_seed(0)
        model = fastlstm.Sequential([Input((40, D)), *_sequence(fastlstm)])
        model.compile("adam", "sparse_categorical_crossentropy")
        history = model.fit(x, y, epochs=2, verbose=0).history["loss"]
        results.append([np.array(history), *model.get_weights()])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_what_it_adds_is_the_rule_over_the_samples(rng):
    x, y = rng.standard_normal((N, D)), np.zeros((N, 4))
    plain, penalised = (
        fastlstm.Sequential([Input((D,)), Dense(4, activity_regularizer=rule)])
        for rule in (None, regularizers.L1L2(0.5, 0.25))
    )
    penalised.set_weights(plain.get_weights())
    losses = []
    for model in (plain, penalised):
        model.compile("sgd", "mse")
        losses.append(model.evaluate(x, y, batch_size=N, verbose=0))
    expected = regularizers.L1L2(0.5, 0.25)(plain.predict(x, verbose=0)) / N
    assert losses[1] - losses[0] == pytest.approx(expected, rel=1e-5)


def test_it_is_saved_and_copied(tmp_path):
    model = fastlstm.Sequential([Input((T, D)), *_last(fastlstm)])
    model.save(tmp_path / "model.fastlstm")
    for again in (
        fastlstm.models.load_model(tmp_path / "model.fastlstm"),
        fastlstm.models.clone_model(model),
    ):
        conv, both, alone, last = again.layers
        assert conv.activity_regularizer.l1 == 0.01
        assert both.activity_regularizer.l2 == 0.01
        assert (alone.l1, alone.activity_regularizer.l2) == (0.1, 0.05)
        assert last.activity_regularizer is None
        assert "activity_regularizer" not in last.get_config()


def test_less_memory_gives_the_same(rng):
    """Layers whose outputs are penalised take all steps at once; those beside them, segments."""
    x, y = rng.standard_normal((N, 20, D)).astype(np.float32), rng.integers(0, 4, (N, 20))
    made = [LSTM(4, return_sequences=True) for _ in range(2)]
    made += [Dense(4, activation="softmax", activity_regularizer="l2")]
    model = fastlstm.Sequential([Input((20, D)), *made])
    model.compile("sgd", "sparse_categorical_crossentropy")
    found = [model.value_and_grad(x, y, bptt=bptt) for bptt in ("full", "checkpoint")]
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dense(3, activity_regularizer=regularizers.OrthogonalRegularizer()), "'l2'"),
        (lambda: CRF(3, activity_regularizer="l2"), "give one to the layer below"),
        (lambda: MultiHeadAttention(2, 3, activity_regularizer="l2"), "ActivityRegularization"),
        (lambda: Bidirectional(GRU(3, activity_regularizer="l2")), "Bidirectional itself"),
        (lambda: TimeDistributed(Dense(3, activity_regularizer="l2")), "TimeDistributed itself"),
        (lambda: RNN(LSTMCell(3, activity_regularizer="l2")), r"RNN\(LSTMCell"),
    ],
)
def test_what_is_not_here_is_said(make, words):
    with pytest.raises(TypeError, match=words):
        make()


def test_names_are_looked_up():
    with pytest.raises(ValueError, match="unknown regularizer"):
        LSTM(2, activity_regularizer="l3")
    assert Embedding(3, 2, activity_regularizer=None).activity_regularizer is None
    assert Masking(activity_regularizer="l1").activity_regularizer.l1 == 0.01
    with pytest.raises(ValueError, match="l1"):
        ActivityRegularization(-1.0)
