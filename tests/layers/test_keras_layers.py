"""The layers of one input and one output against Keras: values, gradients, masks, and training."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

import fastlstm

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

torch.set_num_threads(1)
# Keras' own way to NumPy is older than NumPy 2; and it warns of a mask that ends.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning"),
    pytest.mark.usefixtures("serial"),
]

B, T, D = 4, 9, 6

# Positional arguments and others, as one writes them for both.
LAYERS = {
    "norm": ("LayerNormalization", (), {}),
    "norm-other": ("LayerNormalization", (-1, 1e-5), {"center": False}),
    "norm-center": ("LayerNormalization", (), {"scale": False, "beta_initializer": "ones"}),
    "average": ("GlobalAveragePooling1D", (), {}),
    "average-dims": ("GlobalAveragePooling1D", (), {"keepdims": True}),
    "max": ("GlobalMaxPooling1D", (), {}),
    "max-dims": ("GlobalMaxPooling1D", ("channels_last", True), {}),
    "flatten": ("Flatten", (), {}),
    "reshape": ("Reshape", ((-1, 27),), {}),
    "permute": ("Permute", ((2, 1),), {}),
    "activation": ("Activation", ("hard_sigmoid",), {}),
    "relu": ("Activation", ("relu",), {}),
    "softmax": ("Softmax", (), {}),
    "softmax-axis": ("Softmax", (2,), {}),
    "conv": ("Conv1D", (5, 3), {}),
    "conv-strides": ("Conv1D", (5, 4, 2, "same"), {"activation": "tanh", "use_bias": False}),
    "conv-causal": ("Conv1D", (5, [2]), {"padding": "CAUSAL", "dilation_rate": 3}),
    "conv-causal-strides": ("Conv1D", (5, 3, 2, "causal"), {}),
    "conv-same": ("Conv1D", (5, 4, 1, "same", None, 2, 1, "relu"), {}),
    "max-pooling": ("MaxPooling1D", (), {}),
    "max-pooling-same": ("MaxPooling1D", (3, 2, "same"), {}),
    "average-pooling": ("AveragePooling1D", (4, 1), {}),
    "average-pooling-same": ("AveragePooling1D", (3, 1, "same"), {}),
    "cropping": ("Cropping1D", ((2, 3),), {}),
    "padding": ("ZeroPadding1D", (2,), {}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients(name, rng):
    kind, arguments, options = LAYERS[name]
    theirs = getattr(keras.layers, kind)(*arguments, **options)
    ours = getattr(fastlstm.layers, kind)(*arguments, **options)
    x = rng.integers(-3, 4, (B, T, D)).astype(np.float32)  # many are equally large
    if "max" not in name:
        x += rng.standard_normal(x.shape).astype(np.float32)
    theirs.build((None, T, D))
    ours.build((T, D))
    assert [w.shape for w in ours.get_weights()] == [tuple(w.shape) for w in theirs.get_weights()]
    assert ours.weight_names == [weight.name for weight in theirs.weights]
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        if one.ndim == 1:  # kernels are drawn
            np.testing.assert_array_equal(one, other)
    weights = [rng.standard_normal(w.shape).astype(np.float32) for w in ours.get_weights()]
    ours.set_weights(weights)
    theirs.set_weights(weights)

    given = torch.tensor(x, requires_grad=True)
    expected = theirs(given)
    y, pullback = fastlstm.vjp(ours, x)
    assert y.shape == tuple(expected.shape)
    assert (B, *ours.compute_output_shape((T, D))) == y.shape
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-4, atol=1e-5)
    d_y = rng.standard_normal(y.shape).astype(np.float32)
    (expected * torch.tensor(d_y)).sum().backward()
    d_x, _, d_weights = pullback(d_y)
    np.testing.assert_allclose(d_x, given.grad, rtol=1e-4, atol=1e-5)
    for got, weight in zip(d_weights, theirs.trainable_weights, strict=True):
        np.testing.assert_allclose(got, weight.value.grad, rtol=1e-4, atol=1e-4)


def _averaged(api):
    """Words, the mean over those that count of what a recurrent layer makes of them."""
    layers = api.layers
    return api.Sequential(
        [
            layers.Input(shape=(12,), dtype="int32"),
            layers.Embedding(30, 8, mask_zero=True),
            layers.LayerNormalization(),
            layers.GRU(9, return_sequences=True),
            layers.Activation("relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def _convolved(api):
    """A convolution in front; the mask ends there."""
    layers = api.layers
    return api.Sequential(
        [
            layers.Input(shape=(12,), dtype="int32"),
            layers.Embedding(30, 8, mask_zero=True),
            layers.Conv1D(7, 3, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.LSTM(6, return_sequences=True),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def _turned(api):
    """Padding that ends with a reshape, and the other shapes on the way."""
    layers = api.layers
    return api.Sequential(
        [
            layers.Input(shape=(12,), dtype="int32"),
            layers.Embedding(30, 8, mask_zero=True),
            layers.LSTM(6, return_sequences=True),
            layers.Reshape((24, 3)),
            layers.ZeroPadding1D((0, 2)),
            layers.GRU(5, return_sequences=True),
            layers.Cropping1D((1, 1)),
            layers.Permute((2, 1)),
            layers.LayerNormalization(),
            layers.AveragePooling1D(3, padding="same", strides=1),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


@pytest.mark.parametrize("make", [_averaged, _convolved, _turned])
def test_models_over_padding_learn_the_same(make, rng):
    theirs, ours = make(keras), make(fastlstm)
    ours.set_weights(theirs.get_weights())
    lengths = rng.integers(1, 13, (64, 1))
    ids = rng.integers(1, 30, (64, 12)) * (np.arange(12) < lengths)
    y = (ids.sum(axis=1, keepdims=True) > 90).astype(np.float32)
    for model in (theirs, ours):
        model.compile(optimizer="adam", loss="binary_crossentropy")
    for step in range(10):
        theirs.reset_metrics()  # Keras goes on counting from batch to batch
        expected = float(theirs.train_on_batch(ids, y))
        assert np.isclose(ours.train_on_batch(ids, y), expected, rtol=1e-4), f"step {step}"
    np.testing.assert_allclose(
        ours.predict(ids, verbose=0), theirs.predict(ids, verbose=0), rtol=1e-3, atol=1e-4
    )


def test_noise_is_as_large(rng):
    x = np.zeros((50, T, D), np.float32)
    for api in (keras, fastlstm):
        layer = api.layers.GaussianNoise(0.2, seed=1)
        noise = np.asarray(layer(x, training=True))
        assert abs(noise.std() - 0.2) < 0.01
