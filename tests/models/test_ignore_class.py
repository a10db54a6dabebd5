"""Targets of a class that the loss ignores: Keras' losses, weights and metrics; masks."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm.layers import LSTM, Activation, Dense, Input, Masking
from fastlstm.losses import SparseCategoricalCrossentropy, sparse_categorical_crossentropy
from tests.peers import import_keras

N, T, D, C = 6, 5, 3, 4
REDUCTIONS = ["sum_over_batch_size", "mean_with_sample_weight", "sum", "none"]


def _data(rng, ignored):
    x = rng.standard_normal((N, T, D)).astype(np.float32)
    x[2, 3:] = 0
    y = rng.integers(0, C, (N, T))
    y[rng.random((N, T)) < 0.4] = ignored
    y[3] = ignored
    return x, y


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignored", [-1, 255, 2])
@pytest.mark.parametrize("from_logits", [False, True])
def test_values_are_those_of_keras(reduction, ignored, from_logits, rng):
    keras = import_keras()
    _, y = _data(rng, ignored)
    pred = rng.uniform(0.1, 1, (N, T, C)).astype(np.float32)
    weight = rng.uniform(0, 2, (N, T)).astype(np.float32)
    options = {"from_logits": from_logits, "ignore_class": ignored, "reduction": reduction}
    ours = SparseCategoricalCrossentropy(**options)
    theirs = keras.losses.SparseCategoricalCrossentropy(**options)
    for given in ((y, pred), (y, pred, weight)):
        expected = keras.ops.convert_to_numpy(theirs(*given))
        np.testing.assert_allclose(ours(*given), expected, rtol=2e-5, atol=1e-6)
    rows = sparse_categorical_crossentropy(y, pred, from_logits, ignored)
    expected = keras.losses.sparse_categorical_crossentropy(y, pred, from_logits, ignored)
    np.testing.assert_allclose(rows, keras.ops.convert_to_numpy(expected), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("ignored", [-1, 2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_training_is_that_of_keras(ignored, masked, weighted, apart, rng):
    keras = import_keras()
    x, y = _data(rng, ignored)
    weight = rng.uniform(0, 2, (N, T)).astype(np.float32) if weighted else None

    def make(api):
        layers = [api.layers.Masking()] if masked else []
        layers.append(api.layers.LSTM(5, return_sequences=True))
        if apart:  # an activation of its own, which is not fused with the loss
            layers += [api.layers.Dense(C), api.layers.Activation("softmax")]
        else:
            layers.append(api.layers.Dense(C, activation="softmax"))
        model = api.Sequential([api.layers.Input((T, D)), *layers])
        loss = api.losses.SparseCategoricalCrossentropy(ignore_class=ignored)
        model.compile("sgd", loss, metrics=["accuracy"])
        return model

    theirs, ours = make(keras), make(fastlstm)
    ours.set_weights(theirs.get_weights())
    found = [
        model.fit(x, y, sample_weight=weight, batch_size=4, epochs=3, shuffle=False, verbose=0)
        for model in (ours, theirs)
    ]
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(*(made.history[name] for made in found), rtol=3e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=2e-6)


def test_it_is_a_mask_of_rows(rng):
    """In double precision: as weights of 0 and a mean over what counts."""
    x, y = _data(rng, -1)
    layers = [LSTM(5, return_sequences=True, dtype="float64")]
    layers.append(Dense(C, activation="softmax", dtype="float64"))
    model = fastlstm.Sequential([Input((T, D)), *layers])
    model.compile("sgd", SparseCategoricalCrossentropy(ignore_class=-1))
    value, gradients = model.value_and_grad(x, y)
    counted = (y >= 0).astype(np.float64)
    model.compile("sgd", SparseCategoricalCrossentropy(reduction="mean_with_sample_weight"))
    expected, others = model.value_and_grad(x, np.maximum(y, 0), sample_weight=counted)
    assert value == pytest.approx(expected, rel=1e-12)
    for one, other in zip(gradients, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)


def test_where_nothing_counts_there_is_no_loss(rng):
    model = fastlstm.Sequential([Input((D,)), Dense(C, activation="softmax")])
    model.compile("sgd", SparseCategoricalCrossentropy(ignore_class=-1))
    before = model.get_weights()
    assert model.train_on_batch(rng.standard_normal((N, D)), np.full(N, -1)) == 0
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_class_weights_of_what_is_ignored(rng):
    x, y = rng.standard_normal((N, D)), np.array([0, 1, 255, 3, 255, 2])
    model = fastlstm.Sequential([Input((D,)), Dense(C, activation="softmax")])
    model.compile("sgd", SparseCategoricalCrossentropy(ignore_class=255))
    start, found = model.get_weights(), []
    for ids, options in ((y, {"class_weight": {0: 2.0}}), (y, {"sample_weight": 1.0 + (y == 0)})):
        model.set_weights(start)
        found.append(model.fit(x, ids, batch_size=N, verbose=0, **options).history["loss"])
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_what_does_not_fit_is_said(rng):
    for wrong in ("a", 1.5, True, 2**40):
        with pytest.raises(ValueError, match="ignore_class expects a class id"):
            SparseCategoricalCrossentropy(ignore_class=wrong)
    loss = SparseCategoricalCrossentropy(ignore_class=-1)
    assert loss.get_config() == {"from_logits": False, "ignore_class": -1}
    assert "ignore_class" not in SparseCategoricalCrossentropy().get_config()
    with pytest.raises(ValueError, match="got -2"):
        loss([-2, -1], np.ones((2, C)))
    x, y = _data(rng, -1)
    model = fastlstm.Sequential([Input((T, D)), Masking(), Dense(C), Activation("softmax")])
    model.compile("sgd", loss, metrics=["sparse_top_k_categorical_accuracy"])
    with pytest.raises(ValueError, match="ignore_class=-1: ignore one of the classes"):
        model.fit(x, y, verbose=0)
    y[0, 0] = -2
    with pytest.raises(ValueError, match="got -2"):
        model.fit(x, y, verbose=0)
