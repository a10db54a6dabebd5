"""RepeatVector and TimeDistributed: a sequence to a vector, and that to a sequence."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import (
    LSTM,
    Dense,
    Dropout,
    Input,
    RepeatVector,
    SpatialDropout1D,
    TimeDistributed,
)
from fastlstm.models import Ensemble, load_model

B, T, D, N = 6, 9, 3, 4


def _model(**options):
    fastlstm.utils.set_random_seed(1)
    model = Sequential(
        [
            Input((None, D)),
            LSTM(8, **options),
            RepeatVector(N),
            LSTM(7, return_sequences=True),
            TimeDistributed(Dropout(0.2)),
            TimeDistributed(Dense(2)),
        ]
    )
    model.compile("adam", "mse")
    return model


def _data(rng):
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    return x, rng.standard_normal((B, N, 2)).astype(np.float32)


def test_outputs_are_those_of_the_parts(rng):
    model, (x, _) = _model(), _data(rng)
    encoder, repeat, decoder, _, dense = model.layers
    h = encoder(x)
    sequence = np.repeat(h[:, None], N, axis=1)
    np.testing.assert_array_equal(repeat(h), sequence)
    kernel, bias = dense.get_weights()
    expected = decoder(sequence).astype(np.float64) @ kernel + bias
    assert model.output_shape == (None, N, 2)
    np.testing.assert_allclose(model(x), expected, atol=1e-6)
    np.testing.assert_array_equal(model(x[:2]), model(x)[:2])


def test_gradient_of_repeating_is_a_sum(rng):
    h = rng.standard_normal((B, 5))
    layer = RepeatVector(N, dtype="float64")
    _, pull = fastlstm.vjp(layer, h)
    d_y = rng.standard_normal((B, N, 5))
    d_h, _, _ = pull(d_y)
    np.testing.assert_allclose(d_h, d_y.sum(axis=1), rtol=1e-14)


def test_a_mask_ends_with_its_steps(rng):
    """The decoder's steps are not the encoder's: whose mask is nothing to them."""
    model, (x, _) = _model(), _data(rng)
    mask = np.arange(T) < np.array([[9], [5], [7], [1], [2], [8]])
    expected = np.concatenate([model(x[b : b + 1, : mask[b].sum()]) for b in range(B)])
    np.testing.assert_array_equal(model(x, mask=mask), expected)


def test_training_has_the_same_bits_whatever_the_threads(rng):
    x, y = _data(rng)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        model = _model()
        model.fit(x, y, epochs=4, batch_size=2, verbose=0)
        results.append(model.get_weights())
    for other in results[1:]:
        for got, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_long_inputs_can_be_trained_in_little_memory(rng):
    """Also where that memory holds what something else has left there."""
    x = rng.standard_normal((B, 400, D)).astype(np.float32)
    y = rng.standard_normal((B, N, 2)).astype(np.float32)
    layers = [LSTM(8), RepeatVector(N), LSTM(7, return_sequences=True), TimeDistributed(Dense(2))]
    model = Sequential([Input((None, D)), *layers])
    model.compile("adam", "mse")
    results = [model.value_and_grad(x, y, bptt=bptt) for bptt in ("full", "checkpoint") * 2]
    for loss, grads in results[1:]:
        assert loss == results[0][0]
        for got, wanted in zip(grads, results[0][1], strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_files(tmp_path, rng):
    model, (x, y) = _model(), _data(rng)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.weight_names == model.weight_names


def test_many_at_once(rng):
    x, y = _data(rng)
    many = Ensemble(_model(), 3)
    many.fit(np.stack([x] * 3), np.stack([y] * 3), verbose=0)
    assert many.predict(np.stack([x] * 3), verbose=0).shape == (3, B, N, 2)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: RepeatVector(0), ValueError, ["RepeatVector n"]),
        (lambda: RepeatVector(2)(np.zeros((2, 3, 4))), ValueError, ["last step", "(2, 3, 4)"]),
        (lambda: TimeDistributed(SpatialDropout1D(0.1)), TypeError, ["SpatialDropout1D"]),
        (lambda: TimeDistributed(Dense(3))(np.zeros((2, 3))), ValueError, ["(2, 3)", "itself"]),
        (lambda: _model().stream(), ValueError, ["stream", "repeat_vector"]),
        (
            lambda: _model().fit(np.zeros((2, 5, D)), np.zeros((2, N, 2)), bptt=2, verbose=0),
            ValueError,
            ["bptt=2"],
        ),
    ],
)
def test_what_does_not_fit_is_said(make, kind, words):
    with pytest.raises(kind) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
