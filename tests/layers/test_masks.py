"""Padding: what is masked has no part in the states, the loss, the gradient and the metrics."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Input,
    Masking,
    RepeatVector,
)
from fastlstm.models import load_model

WORDS, B, T = 30, 6, 9
LENGTHS = np.array([9, 1, 4, 9, 6, 2])


def _ids(rng):
    return rng.integers(1, WORDS, (B, T)) * (np.arange(T) < LENGTHS[:, None])


def _tagger(loss="sparse_categorical_crossentropy", **options):
    fastlstm.utils.set_random_seed(2)
    model = Sequential(
        [
            Input((None,)),
            Embedding(WORDS, 5, mask_zero=True),
            Bidirectional(LSTM(6, return_sequences=True)),
            GRU(7, return_sequences=True),
            Dense(4, activation="softmax"),
        ]
    )
    model.compile("adam", loss, metrics=["accuracy"], **options)
    return model


def _classifier():
    fastlstm.utils.set_random_seed(2)
    model = Sequential(
        [Input((None,)), Embedding(WORDS, 5, mask_zero=True), LSTM(6), Dense(1, "sigmoid")]
    )
    model.compile("adam", "binary_crossentropy")
    return model


@pytest.mark.parametrize("make", [_tagger, _classifier])
def test_outputs_are_those_of_the_sequence_alone(make, rng):
    model, ids = make(), _ids(rng)
    got = model(ids)
    for b, length in enumerate(LENGTHS):
        alone = model(ids[b : b + 1, :length])[0]
        np.testing.assert_array_equal(got[b, :length] if got.ndim == 3 else got[b], alone)


def test_padding_in_front_is_as_good(rng):
    model, ids = _classifier(), _ids(rng)
    turned = np.stack([np.roll(row, T - n) for row, n in zip(ids, LENGTHS, strict=True)])
    np.testing.assert_array_equal(model(turned), model(ids))


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_loss_and_gradient_are_those_of_what_counts(reduction, weighted, rng):
    """One batch with padding, and the same sentences one by one."""
    loss = fastlstm.losses.SparseCategoricalCrossentropy(reduction=reduction)
    model, ids = _tagger(loss), _ids(rng)
    tags = ids % 4
    weights = rng.random((B, T)).astype(np.float32) if weighted else None
    value, grads = model.value_and_grad(ids, tags, weights)

    alone = _tagger(fastlstm.losses.SparseCategoricalCrossentropy(reduction="sum"))
    total, sums = 0.0, [np.zeros(grad.shape) for grad in grads]
    for b, length in enumerate(LENGTHS):
        part = slice(b, b + 1), slice(length)
        one, parts = alone.value_and_grad(
            ids[part], tags[part], None if weights is None else weights[part]
        )
        total += one
        for whole, grad in zip(sums, parts, strict=True):
            whole += grad
    count = {"sum": 1.0, "sum_over_batch_size": LENGTHS.sum()}.get(reduction)
    if count is None:
        ones = np.ones((B, T)) if weights is None else weights
        count = ones[np.arange(T) < LENGTHS[:, None]].sum()
    assert value == pytest.approx(total / count, rel=1e-5)
    for got, whole in zip(grads, sums, strict=True):
        np.testing.assert_allclose(got, whole / count, atol=1e-5)


def test_metrics_see_what_counts(rng):
    model, ids = _tagger(), _ids(rng)
    tags = ids % 4
    _, accuracy = model.evaluate(ids, tags, verbose=0)
    right = model(ids).argmax(axis=-1) == tags
    assert accuracy == pytest.approx(right[ids != 0].mean(), rel=1e-6)


@pytest.mark.parametrize("bptt", ["full", "checkpoint"])
def test_training_has_the_same_bits_whatever_the_threads(bptt, rng):
    steps = 300
    ids = rng.integers(1, WORDS, (4, steps)) * (np.arange(steps) < [[300], [40], [7], [150]])
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        fastlstm.utils.set_random_seed(2)
        layers = [Embedding(WORDS, 5, mask_zero=True), Dropout(0.1), LSTM(6, return_sequences=True)]
        model = Sequential([Input((None,)), *layers, GRU(5, return_sequences=True), Dense(4)])
        model.compile("adam", "mse")
        model.fit(ids, np.eye(4)[ids % 4], epochs=3, verbose=0, bptt=bptt, shuffle=False)
        results.append(model.get_weights())
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)


def _copies(model):
    return [type(layer).from_config(layer.get_config()) for layer in model.layers]


def test_checkpointed_training_is_the_full_one(rng):
    steps = 300
    ids = rng.integers(1, WORDS, (4, steps)) * (np.arange(steps) < [[300], [40], [7], [150]])
    weights = []
    for bptt in ("full", "checkpoint"):
        fastlstm.utils.set_random_seed(2)
        layers = [Embedding(WORDS, 5, mask_zero=True), LSTM(6, return_sequences=True), Dense(4)]
        model = Sequential([Input((None,)), *layers])
        model.compile("adam", "mse")
        model.train_on_batch(ids, np.eye(4)[ids % 4], bptt=bptt)
        weights.append(model.get_weights())
    for got, wanted in zip(*weights, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_masking_by_value(rng):
    x = rng.standard_normal((B, T, 3)).astype(np.float32)
    mask = rng.random((B, T)) < 0.6
    x[~mask] = -2.0
    plain = Sequential([Input((None, 3)), LSTM(5, return_sequences=True), Dense(2)])
    masked = Sequential([Input((None, 3)), Masking(-2.0), *_copies(plain)])
    masked.build()
    masked.set_weights(plain.get_weights())
    np.testing.assert_array_equal(masked(x), plain(x, mask=mask))
    zeroed = masked.layers[0](x)
    np.testing.assert_array_equal(zeroed, np.where(mask[..., None], x, 0))
    x[0, 0] = [-2.0, -2.0, 1.0]  # not all of it
    np.testing.assert_array_equal(masked.layers[0](x)[0, 0], x[0, 0])


def test_gradient_of_masking(rng):
    x = rng.standard_normal((B, T, 3))
    x[:, ::2] = 0
    _, pull = fastlstm.vjp(Masking(dtype="float64"), x)
    d_y = rng.standard_normal(x.shape)
    np.testing.assert_array_equal(pull(d_y)[0], np.where(x.any(axis=-1, keepdims=True), d_y, 0))


def test_a_given_mask_and_that_of_the_ids_both_hold(rng):
    model, ids = _classifier(), _ids(rng)
    given = rng.random((B, T)) < 0.7
    np.testing.assert_array_equal(model(ids, mask=given), model(np.where(given, ids, 0)))


def test_a_mask_ends_where_its_steps_do(rng):
    ids = _ids(rng)
    model = Sequential(
        [
            Input((None,)),
            Embedding(WORDS, 5, mask_zero=True),
            LSTM(6),
            RepeatVector(T),
            LSTM(4, return_sequences=True),
        ]
    )
    h = model.layers[1](model.layers[0](ids), mask=ids != 0)
    np.testing.assert_array_equal(model(ids), model.layers[3](model.layers[2](h)))


def test_streams_wait_while_there_is_padding(rng):
    model = _classifier()
    stream = model.stream()
    first = stream.step([3]).copy()
    np.testing.assert_array_equal(stream.step([0]), first)
    expected = model(np.array([[3, 7]]))
    np.testing.assert_array_equal(stream.step([7]), expected)


def test_what_is_all_padding_has_no_loss(rng):
    model, ids = _tagger(), np.zeros((2, 4), int)
    loss, grads = model.value_and_grad(ids, ids)
    assert loss == 0
    assert all(not grad.any() for grad in grads)


def test_files(tmp_path, rng):
    model, ids = _tagger(), _ids(rng)
    model.fit(ids, ids % 4, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.layers[0].mask_zero
    np.testing.assert_array_equal(loaded(ids), model(ids))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Masking("none"), ["mask_value"]),
        (lambda: Masking()(np.zeros((2, 3))), ["Masking", "(2, 3)"]),
    ],
)
def test_what_does_not_fit_is_said(make, words):
    with pytest.raises(ValueError, match=words[0]) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
