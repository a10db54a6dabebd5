"""Layers of one input and one output by one table: values, gradients, bits, masks, files."""

from __future__ import annotations

import re

import numpy as np
import pytest

import fastlstm
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import (
    GRU,
    LSTM,
    Activation,
    AveragePooling1D,
    Conv1D,
    Cropping1D,
    Dense,
    Embedding,
    Flatten,
    GaussianNoise,
    GetItem,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    LayerNormalization,
    MaxPooling1D,
    Permute,
    Rescaling,
    Reshape,
    Slice,
    Softmax,
    TimeDistributed,
    ZeroPadding1D,
)
from fastlstm.models import Ensemble, Sequential, load_model
from tests.reference import dense, finite, layer_norm, rnn, windows

B, T, D = 5, 8, 6


def _norm(x, gamma=1.0, beta=0.0):
    return layer_norm.forward(x, gamma, beta, 1e-3)


def _conv(activation="linear", **how):
    def forward(x, kernel, bias=0.0):
        return rnn.ACTIVATIONS[activation][0](windows.convolve(x, kernel, bias, **how))

    return forward


def _pad(x):
    return np.pad(x, ((0, 0), (2, 1), (0, 0)))


# The layer, its arguments, and what it computes from x, batch first, and its weights.
TABLE = {
    "norm": (LayerNormalization, {}, _norm),
    "norm-scale": (LayerNormalization, {"center": False}, _norm),
    "norm-center": (LayerNormalization, {"scale": False}, lambda x, beta: _norm(x, 1.0, beta)),
    "norm-alone": (LayerNormalization, {"scale": False, "center": False}, _norm),
    "average": (GlobalAveragePooling1D, {}, lambda x: x.mean(axis=1)),
    "average-dims": (
        GlobalAveragePooling1D, {"keepdims": True}, lambda x: x.mean(axis=1, keepdims=True)
    ),
    "max": (GlobalMaxPooling1D, {}, lambda x: x.max(axis=1)),
    "max-dims": (GlobalMaxPooling1D, {"keepdims": True}, lambda x: x.max(axis=1, keepdims=True)),
    "flatten": (Flatten, {}, lambda x: x.reshape(len(x), -1)),
    "reshape": (Reshape, {"target_shape": (12, 4)}, lambda x: x.reshape(len(x), 12, 4)),
    "reshape-rest": (Reshape, {"target_shape": (-1, 3)}, lambda x: x.reshape(len(x), 16, 3)),
    "reshape-flat": (Reshape, {"target_shape": (-1,)}, lambda x: x.reshape(len(x), 48)),
    "reshape-same": (Reshape, {"target_shape": (8, 6)}, lambda x: x),
    "permute": (Permute, {"dims": (2, 1)}, lambda x: x.swapaxes(1, 2)),
    "permute-not": (Permute, {"dims": (1, 2)}, lambda x: x),
    "relu": (Activation, {"activation": "relu"}, rnn.ACTIVATIONS["relu"][0]),
    "tanh": (Activation, {"activation": "tanh"}, np.tanh),
    "linear": (Activation, {"activation": "linear"}, lambda x: x),
    "softmax": (Softmax, {}, dense.softmax),
    "softmax-name": (Activation, {"activation": "softmax"}, dense.softmax),
    "noise": (GaussianNoise, {"stddev": 0.3}, lambda x: x),  # in training alone
    "conv": (Conv1D, {"filters": 7, "kernel_size": 3}, _conv()),
    "conv-same": (
        Conv1D, {"filters": 4, "kernel_size": 2, "padding": "same", "activation": "tanh"},
        _conv("tanh", padding="same"),
    ),
    "conv-causal": (
        Conv1D, {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
        _conv(padding="causal", dilation=2),
    ),
    "conv-strides": (
        Conv1D, {"filters": 9, "kernel_size": 3, "strides": 2, "padding": "same",
                 "use_bias": False},
        _conv(padding="same", stride=2),
    ),
    "conv-one": (Conv1D, {"filters": 5, "kernel_size": 1}, _conv()),
    "max-pooling": (MaxPooling1D, {}, lambda x: windows.pool(x, np.max, 2, 2)),
    "max-pooling-same": (
        MaxPooling1D, {"pool_size": 3, "strides": 2, "padding": "same"},
        lambda x: windows.pool(x, np.max, 3, 2, "same"),
    ),
    "average-pooling": (
        AveragePooling1D, {"pool_size": 3}, lambda x: windows.pool(x, np.mean, 3, 3)
    ),
    "average-pooling-same": (
        AveragePooling1D, {"pool_size": 3, "strides": 1, "padding": "same"},
        lambda x: windows.pool(x, np.mean, 3, 1, "same"),
    ),
    "cropping": (Cropping1D, {"cropping": (2, 1)}, lambda x: x[:, 2:-1]),
    "padding": (ZeroPadding1D, {"padding": (2, 1)}, _pad),
    "slice": (Slice, {"start": -5, "stop": -1}, lambda x: x[:, -5:-1]),
    "slice-features": (Slice, {"start": -3, "stop": -1, "axis": -1}, lambda x: x[..., -3:-1]),
    "slice-features-step": (Slice, {"start": 1, "step": 2, "axis": -1}, lambda x: x[..., 1::2]),
    "item-step": (GetItem, {"steps": -1}, lambda x: x[:, -1]),
    "item-feature": (GetItem, {"features": 2}, lambda x: x[..., 2]),
    "item-both": (
        GetItem, {"steps": [1, 6, 2], "features": [2, None, 1]}, lambda x: x[:, 1:6:2, 2:]
    ),
    "item-some": (GetItem, {"steps": 3, "features": [1, 3, 1]}, lambda x: x[:, 3, 1:3]),
    "rescaling": (Rescaling, {"scale": -2.5, "offset": 0.5}, lambda x: 0.5 - 2.5 * x),
    "slice-step": (Slice, {"start": 1, "step": 3}, lambda x: x[:, 1::3]),
}  # fmt: skip
# Those that work on each step by itself, so that they stream and go by segments.
BY_STEPS = [
    name
    for name in TABLE
    if name.startswith(("norm", "relu", "tanh", "softmax", "noise", "rescaling", "slice-features"))
] + ["linear", "conv-one"]
# Those by step at which a mask ends all the same, as in Keras.
ENDS = ["conv-one", "slice-features", "slice-features-step"]
ACROSS = [name for name in TABLE if name not in BY_STEPS]

every_layer = pytest.mark.parametrize("name", TABLE)


def _make(rng, name, dtype="float64", sample=(T, D), batch=B):
    """A built layer with random weights, and input for it."""
    kind, options, _ = TABLE[name]
    layer = kind(**options, dtype=dtype)
    layer.build(sample)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer, rng.standard_normal((batch, *sample)).astype(dtype)


@pytest.mark.usefixtures("serial")
@every_layer
def test_the_value(name, rng):
    layer, x = _make(rng, name)
    expected = TABLE[name][2](x, *layer.get_weights())
    got = layer(x)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    shape = layer.compute_output_shape((T, D))
    assert (len(x), *shape) == got.shape
    # A time that is not known leaves one open, and no other.
    open_shape = layer.compute_output_shape((None, D)) if name != "reshape" else shape
    assert all(size in (None, known) for size, known in zip(open_shape, shape, strict=True))


@pytest.mark.usefixtures("serial")
@every_layer
def test_gradients_by_finite_differences(name, rng):
    layer, x = _make(rng, name)
    weights = layer.get_weights()
    y, pullback = fastlstm.vjp(layer, x)
    d_y = rng.standard_normal(y.shape)
    d_x, _, d_weights = pullback(d_y)
    for one, other in zip(pullback(d_y)[2], d_weights, strict=True):
        np.testing.assert_array_equal(one, other)

    def value():
        layer.set_weights(weights)
        return (layer(x) * d_y).sum()

    inputs = [x, *weights]
    for index, gradient in enumerate([d_x, *d_weights]):
        directions = [np.zeros_like(array) for array in inputs]
        directions[index] = rng.standard_normal(inputs[index].shape)
        slope = finite.slope(value, inputs, directions)
        assert gradient.shape == inputs[index].shape
        assert np.isclose((gradient * directions[index]).sum(), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_layer
def test_the_same_bits_whatever_the_threads_and_the_batch(name, dtype, rng):
    # Large enough that kernels really are launched on several threads.
    sample = (8, 6) if name.startswith("reshape") else (40, 70)
    layer, x = _make(rng, name, dtype, sample, 1500 if sample == (8, 6) else 37)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        y, pullback = fastlstm.vjp(layer, x)
        d_x, _, d_weights = pullback(np.cos(y))
        results.append([y, layer(x), d_x, *d_weights])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    for row in (0, 3):
        np.testing.assert_array_equal(layer(x[row : row + 1])[0], results[0][0][row])


def _model(layer, dtype="float32"):
    """The layer between others."""
    return Sequential(
        [Input((T, D)), LSTM(D, return_sequences=True, dtype=dtype), layer, Dense(2, dtype=dtype)]
    )


@every_layer
def test_a_model_with_it_trains_and_is_saved(name, rng, tmp_path):
    kind, options, _ = TABLE[name]
    model = _model(kind(**options))
    model.compile("sgd", "mse")
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    y = np.zeros(model(x).shape, np.float32)
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.layers[1].get_config() == model.layers[1].get_config()
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize("name", BY_STEPS)
def test_step_by_step_and_by_segments(name, rng):
    kind, options, _ = TABLE[name]
    x = rng.standard_normal((4, 300, D)).astype(np.float32)
    layers = [LSTM(D, return_sequences=True, dropout=0.2), kind(**options), Dense(2)]
    model = Sequential([Input((None, D)), *layers])
    model.compile("sgd", "mse")
    whole = model(x[:, :T])
    stream = model.stream(4)
    for t in range(T):
        np.testing.assert_array_equal(stream.step(x[:, t]), whole[:, t])
    results = []
    for threads, bptt in ((1, "full"), (1, "checkpoint"), (2, "checkpoint"), (3, "full")):
        set_num_threads(threads)
        fastlstm.utils.set_random_seed(4)
        loss, gradients = model.value_and_grad(x, x[..., :2], bptt=bptt)
        results.append([loss, *gradients])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize("name", ACROSS)
def test_what_looks_across_steps_refuses_to_go_step_by_step(name):
    kind, options, _ = TABLE[name]
    model = _model(kind(**options))
    model.compile("sgd", "mse")
    layer = model.layers[1].name
    with pytest.raises(ValueError, match=f"layer '{layer}'"):
        model.stream()
    with pytest.raises(ValueError, match=f"layer '{layer}'"):
        model.check_bptt(2)
    assert model.check_bptt("checkpoint") == "checkpoint"  # no recurrent layer comes after it


# -- vectors --------------------------------------------------------------------------------------

VECTORS = {
    "norm": _norm,
    "flatten": lambda x: x,
    "reshape": lambda x: x.reshape(len(x), 12, 4),
    "reshape-flat": lambda x: x,
    "relu": rnn.ACTIVATIONS["relu"][0],
    "softmax": dense.softmax,
}


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name, rng):
    layer, x = _make(rng, name, sample=(48,))
    y, pullback = fastlstm.vjp(layer, x)
    np.testing.assert_allclose(y, VECTORS[name](x, *layer.get_weights()), rtol=1e-10, atol=1e-12)
    d_y = rng.standard_normal(y.shape)
    d_x, *_ = pullback(d_y)
    direction = rng.standard_normal(x.shape)
    slope = finite.slope(lambda: (layer(x) * d_y).sum(), [x], [direction])
    assert np.isclose((d_x * direction).sum(), slope, rtol=1e-6, atol=1e-7)


# -- noise ----------------------------------------------------------------------------------------


def test_noise_is_for_training_alone_and_differs_from_call_to_call(rng):
    x = rng.standard_normal((200, T, D)).astype(np.float32)
    layer = GaussianNoise(0.3)
    np.testing.assert_array_equal(layer(x), x)
    first, second = (layer(x, training=True) - x for _ in range(2))
    assert np.any(first != second)
    for noise in (first, second):
        assert abs(noise.std() - 0.3) < 0.01
        assert abs(noise.mean()) < 0.015
    np.testing.assert_array_equal(GaussianNoise(0.0)(x, training=True), x)


def test_noise_with_a_seed_of_its_own_is_repeatable(rng):
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    runs = []
    for seed in (5, 5, 6):
        fastlstm.utils.set_random_seed(seed + len(runs))
        layer = GaussianNoise(0.3, seed=seed)
        runs.append([layer(x, training=True) for _ in range(2)])
    np.testing.assert_array_equal(runs[1], runs[0])
    assert np.any(runs[2][0] != runs[0][0])
    assert np.any(runs[0][0] != runs[0][1])


def test_training_with_noise_has_the_same_bits_whatever_the_threads(rng):
    x = rng.standard_normal((37, T, D)).astype(np.float32)
    weights = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        fastlstm.utils.set_random_seed(3)
        model = Sequential([GaussianNoise(0.5, input_shape=(T, D)), GRU(20), Dense(1)])
        model.compile("sgd", "mse")
        model.fit(x, x[:, 0, :1], epochs=2, verbose=0)
        weights.append(model.get_weights())
    for others in weights[1:]:
        for one, other in zip(weights[0], others, strict=True):
            np.testing.assert_array_equal(other, one)


# -- masks ----------------------------------------------------------------------------------------

WORDS = 30
LENGTHS = np.array([8, 1, 4, 8, 6])


def _ids(rng):
    return rng.integers(1, WORDS, (B, T)) * (np.arange(T) < LENGTHS[:, None])


def _masked(*layers, steps=None):
    fastlstm.utils.set_random_seed(2)
    return Sequential([Input((steps,)), Embedding(WORDS, D, mask_zero=True), *layers])


def test_the_mean_is_over_the_steps_that_count(rng):
    ids = _ids(rng)
    model = _masked(GlobalAveragePooling1D(), Dense(3))
    got = model(ids)
    for b, length in enumerate(LENGTHS):
        alone = model(ids[b : b + 1, :length])[0]
        np.testing.assert_allclose(got[b], alone, rtol=1e-5, atol=1e-6)
    nothing = _masked(GlobalAveragePooling1D())(np.zeros((2, T), int))
    np.testing.assert_array_equal(nothing, 0)


def test_the_gradient_of_a_mean_is_that_of_the_steps_that_count(rng):
    x, mask = rng.standard_normal((B, T, D)), np.arange(T) < LENGTHS[:, None]
    layer = GlobalAveragePooling1D(dtype="float64")
    y, pullback = fastlstm.vjp(layer, x, mask=mask)
    d_y = rng.standard_normal(y.shape)
    d_x, *_ = pullback(d_y)
    expected = (d_y / LENGTHS[:, None])[:, None] * mask[..., None]
    np.testing.assert_allclose(d_x, expected, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in BY_STEPS if name not in ENDS])
def test_a_mask_passes_through_what_works_step_by_step(name, rng):
    """What comes after sees the sentence alone, and the loss what counts."""
    kind, options, _ = TABLE[name]
    model, ids = _masked(kind(**options), LSTM(4)), _ids(rng)
    got = model(ids)
    for b, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(got[b], model(ids[b : b + 1, :length])[0])


@pytest.mark.parametrize(
    "name",
    [
        "max-dims", "average-dims", "reshape", "reshape-same", "permute", "permute-not", "conv-one",
        "conv-same", "max-pooling", "average-pooling", "cropping", "padding", "slice",
        "slice-features", "item-both",
    ],
)  # fmt: skip
def test_a_mask_ends_with_what_looks_across_steps(name, rng):
    """As in Keras: what comes after takes every step, padding too, and so does the loss."""
    ids = _ids(rng)
    kind, options, _ = TABLE[name]
    model = _masked(kind(**options), LSTM(4, return_sequences=True), steps=T)
    embedding, layer, lstm = model.layers
    model(ids)
    mask = ids != 0 if name == "average-dims" else None
    expected = lstm(layer(embedding(ids), mask=mask))
    np.testing.assert_array_equal(model(ids), expected)
    model.compile("sgd", "mse")
    loss = model.evaluate(ids, np.zeros(expected.shape), verbose=0)
    assert loss == pytest.approx((expected**2).mean(), rel=1e-5)


# -- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Flatten()(np.zeros((2, 3, 4, 5))), ["Flatten", "(2, 3, 4, 5)"]),
        (lambda: Flatten("channels_first"), ["Flatten", "channels_last", "Permute"]),
        (lambda: Reshape((2, 3, 4)), ["Reshape", "(time, features)", "(2, 3, 4)"]),
        (lambda: Reshape((-1, -1)), ["Reshape", "(-1, -1)"]),
        (lambda: Reshape((0, 2)), ["Reshape", "positive", "(0, 2)"]),
        (lambda: Reshape((4, 3))(np.zeros((2, 5, 2))), ["12 numbers", "(5, 2)", "10"]),
        (lambda: Reshape((-1, 3))(np.zeros((2, 5, 2))), ["multiple of 3", "10"]),
        (lambda: Permute((2, 3)), ["Permute", "(2, 1)", "(2, 3)"]),
        (lambda: Permute((1, 3, 2)), ["Permute", "two axes"]),
        (lambda: Permute((2, 1))(np.zeros((2, 3))), ["Permute", "(batch, time, features)"]),
        (lambda: Activation("swash"), ["unknown activation", "swash", "softmax"]),
        (lambda: Softmax(axis=0), ["Softmax", "axis=-1", "0"]),
        (lambda: Softmax(axis=1)(np.zeros((2, 3, 4))), ["last axis", "got 1", "Permute"]),
        (lambda: GaussianNoise(-1.0), ["GaussianNoise stddev", "-1.0"]),
        (lambda: GaussianNoise(1.0, seed=1.5), ["GaussianNoise seed", "1.5"]),
        (lambda: GlobalAveragePooling1D()(np.zeros((2, 3))), ["return_sequences=True"]),
        (lambda: LayerNormalization(axis=[1, 2]), ["LayerNormalization", "axis=-1", "[1, 2]"]),
        (lambda: LayerNormalization(epsilon=-1), ["LayerNormalization epsilon"]),
        (lambda: Conv1D(0, 3), ["Conv1D filters", "0"]),
        (lambda: Conv1D(4, (3, 3)), ["Conv1D kernel_size", "(3, 3)"]),
        (lambda: Conv1D(4, 3, padding="full"), ["padding of Conv1D", "full", "causal"]),
        (lambda: Conv1D(4, 3, strides=2, dilation_rate=2), ["strides=1 or dilation_rate=1"]),
        (lambda: Conv1D(4, 3, groups=2), ["groups=1", "2"]),
        (lambda: Conv1D(4, 3)(np.zeros((2, 2, 5))), ["at least 3 steps", "got 2"]),
        (lambda: MaxPooling1D(3)(np.zeros((2, 2, 5))), ["MaxPooling1D", "at least 3 steps"]),
        (lambda: AveragePooling1D(0), ["AveragePooling1D pool_size"]),
        (lambda: MaxPooling1D(padding="causal"), ["padding of MaxPooling1D", "causal"]),
        (lambda: Cropping1D(2)(np.zeros((2, 4, 5))), ["Cropping1D", "more than 4", "got 4"]),
        (lambda: Cropping1D((1, 2, 3)), ["Cropping1D cropping", "(1, 2, 3)"]),
        (lambda: ZeroPadding1D(-1), ["ZeroPadding1D padding", "-1"]),
        (lambda: Slice(3, 1)(np.zeros((2, 4, 5))), ["no step", "sequences of 4"]),
        (lambda: Slice(0.5), ["Slice start", "0.5"]),
        (lambda: Slice(1, axis=0), ["axis=1", "-1 for features", "0"]),
        (lambda: Slice(1)(np.zeros((2, 4))), ["Slice", "axis=-1"]),
        (lambda: Slice(7, axis=-1)(np.zeros((2, 4, 5))), ["no feature", "of 5"]),
        (lambda: GetItem(1, 2), ["GetItem", "one number for each"]),
        (lambda: GetItem([1, 2]), ["(start, stop, step)", "[1, 2]"]),
        (lambda: Rescaling("2"), ["Rescaling scale", "'2'"]),
        (lambda: Rescaling(1, np.inf), ["Rescaling offset", "inf"]),
    ],
)
def test_what_does_not_fit_is_said(make, words):
    with pytest.raises(ValueError, match=re.escape(words[0])) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_features_that_differ_from_those_it_was_built_for():
    for layer in (LayerNormalization(), Conv1D(4, 2)):
        layer(np.zeros((2, 5, 3)))
        with pytest.raises(ValueError, match="was built for 3 features"):
            layer(np.zeros((2, 5, 4)))


# -- with others ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["norm", "relu", "softmax", "noise"])
def test_time_distributed_is_the_layer_itself(name, rng, tmp_path):
    kind, options, _ = TABLE[name]
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    model = Sequential([Input((T, D)), TimeDistributed(kind(**options)), LSTM(3)])
    alone = kind(**options)
    np.testing.assert_array_equal(model.layers[0](x), alone(x))
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model")(x), model(x))


def test_sequences_out_of_vectors(rng):
    """One row of numbers for each sample, as tables have them."""
    x = rng.standard_normal((40, 12)).astype(np.float32)
    model = Sequential([Input((12,)), Reshape((12, 1)), LSTM(8), Dense(1)])
    model.compile(fastlstm.optimizers.Adam(0.01), "mse")
    losses = model.fit(x, x.mean(axis=1), epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_array_equal(
        model(x)[:, 0], model.layers[2](model.layers[1](x[..., None]))[:, 0]
    )


def test_every_model_of_an_ensemble_is_as_it_is_alone(rng):
    fastlstm.utils.set_random_seed(1)
    layers = [Conv1D(7, 3, activation="relu"), LayerNormalization(), GRU(5, return_sequences=True)]
    rest = [MaxPooling1D(2), Permute((2, 1)), GlobalAveragePooling1D(), Flatten(), Dense(1)]
    model = Sequential([Input((T, D)), *layers, *rest])
    model.compile("adam", "mse")
    many = Ensemble(model, 3)
    x = rng.standard_normal((3, 20, T, D)).astype(np.float32)
    copies = [many[number] for number in range(3)]
    many.fit(x, x[..., 0, :1], epochs=2, batch_size=8, shuffle=False, verbose=0)
    together = many.predict(x, verbose=0)
    for number, alone in enumerate(copies):
        alone.fit(x[number], x[number, :, 0, :1], epochs=2, batch_size=8, shuffle=False, verbose=0)
        np.testing.assert_array_equal(together[number], alone.predict(x[number], verbose=0))
