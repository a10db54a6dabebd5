"""Products along an axis of each of two inputs: against NumPy, and against Keras."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, vjp
from fastlstm.layers import LSTM, Dense, Dot, Embedding
from fastlstm.models import load_model
from tests.reference import finite

B = 5
# Shapes of samples, axes, and the sum that it is.
CASES = {
    "vectors": ((4,), (4,), 1, "bn,bn->b"),
    "vectors-last": ((4,), (4,), -1, "bn,bn->b"),
    "steps by steps": ((6, 4), (3, 4), 2, "bin,bjn->bij"),
    "steps by steps, last": ((6, 4), (3, 4), -1, "bin,bjn->bij"),
    "features by features": ((6, 4), (6, 3), 1, "bni,bnj->bij"),
    "features by steps": ((6, 4), (3, 6), (1, 2), "bni,bjn->bij"),
    "matrices": ((6, 4), (4, 3), (2, 1), "bin,bnj->bij"),
    "matrices, counted from the end": ((6, 4), (4, 3), [-1, -2], "bin,bnj->bij"),
    "steps by a vector": ((6, 4), (4,), (2, 1), "bin,bn->bi"),
    "features by a vector": ((6, 4), (6,), (1, 1), "bni,bn->bi"),
    "features by a vector, one axis": ((6, 4), (6,), 1, "bni,bn->bi"),
    "a vector by steps": ((4,), (6, 4), (1, 2), "bn,bin->bi"),
    "a vector by features": ((6,), (6, 4), 1, "bn,bni->bi"),
    "one of each": ((1, 1), (1, 1), 2, "bin,bjn->bij"),
}

every_case = pytest.mark.parametrize("name", CASES)
both_ways = pytest.mark.parametrize("normalize", [False, True])


def _axes(name):
    """The axis of each, counted from the front."""
    first, second, axes, _ = CASES[name]
    pair = axes if isinstance(axes, (tuple, list)) else (axes, axes)
    return [axis % (len(shape) + 1) for axis, shape in zip(pair, (first, second), strict=True)]


def _expected(name, normalize, arrays):
    if normalize:
        arrays = [
            x / np.linalg.norm(x, axis=axis, keepdims=True)
            for x, axis in zip(arrays, _axes(name), strict=True)
        ]
    y = np.einsum(CASES[name][3], *arrays)
    return y[:, None] if y.ndim == 1 else y


def _arrays(name, rng, dtype=np.float64):
    return [rng.standard_normal((B, *shape)).astype(dtype) for shape in CASES[name][:2]]


@pytest.mark.usefixtures("serial", "float64")
@both_ways
@every_case
def test_values_and_gradients(name, normalize, rng):
    arrays = _arrays(name, rng)
    layer = Dot(CASES[name][2], normalize)
    expected = _expected(name, normalize, arrays)
    y, pull = vjp(layer, arrays)
    assert layer.compute_output_shape([x.shape[1:] for x in arrays]) == expected.shape[1:]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(layer(arrays), y)
    d_y = rng.standard_normal(y.shape)
    for array, d_x in zip(arrays, pull(d_y)[0], strict=True):
        slopes = finite.gradient(
            lambda: float(np.vdot(_expected(name, normalize, arrays), d_y)), array
        )
        np.testing.assert_allclose(d_x, slopes, rtol=1e-6, atol=1e-7)


@pytest.mark.usefixtures("serial")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@both_ways
@every_case
def test_as_in_keras(name, normalize, rng):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras")
    arrays, axes = _arrays(name, rng, np.float32), CASES[name][2]
    given = [torch.tensor(x, requires_grad=True) for x in arrays]
    if isinstance(axes, list):  # Keras' own shapes know no such axes
        axes = tuple(_axes(name))
    expected = keras.layers.Dot(axes, normalize=normalize)(given)
    y, pull = vjp(Dot(CASES[name][2], normalize=normalize), arrays)
    assert y.shape == tuple(expected.shape)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-4, atol=1e-5)
    d_y = rng.standard_normal(y.shape).astype(np.float32)
    (expected * torch.tensor(d_y)).sum().backward()
    for d_x, x in zip(pull(d_y)[0], given, strict=True):
        np.testing.assert_allclose(d_x, x.grad, rtol=1e-4, atol=1e-5)


@both_ways
@pytest.mark.parametrize("name", ["matrices", "features by features", "a vector by steps"])
def test_the_same_bits_whatever_the_threads_and_the_batch(name, normalize, rng):
    shapes = [tuple(10 * size for size in shape) for shape in CASES[name][:2]]
    arrays = [rng.standard_normal((37, *shape)).astype(np.float32) for shape in shapes]
    layer, results = Dot(CASES[name][2], normalize), []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        y, pull = vjp(layer, arrays)
        results.append([y, layer(arrays), *pull(np.cos(y))[0]])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(layer([x[3:4] for x in arrays])[0], results[0][0][3])


@pytest.mark.usefixtures("serial")
def test_an_input_with_itself(rng):
    """Each place of it has its part of the gradient."""
    x = Input((6, 4))
    model = Model(x, Dot(2)([x, x]))
    series = rng.standard_normal((B, 6, 4)).astype(np.float32)
    y, pull = vjp(model, series)
    np.testing.assert_allclose(y, series @ series.swapaxes(1, 2), rtol=1e-5, atol=1e-6)
    d_y = rng.standard_normal(y.shape).astype(np.float32)
    expected = (d_y + d_y.swapaxes(1, 2)) @ series
    np.testing.assert_allclose(pull(d_y)[0], expected, rtol=1e-4, atol=1e-5)


def _similar(normalize=True):
    """Two texts by the cosine of the angle between their codes."""
    first, second = Input((None,)), Input((None,))
    words, code = Embedding(20, 5, mask_zero=True), LSTM(6)
    cosine = Dot(axes=1, normalize=normalize)([code(words(first)), code(words(second))])
    return Model([first, second], Dense(1, activation="sigmoid")(cosine))


@pytest.mark.usefixtures("serial")
def test_a_model_with_it_trains_and_is_saved(rng, tmp_path):
    model = _similar()
    x = [rng.integers(1, 20, (32, 5)) for _ in range(2)]
    y = (x[0][:, :1] > x[1][:, :1]).astype(np.float32)
    model.compile("adam", "binary_crossentropy")
    losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    (dot,) = [layer for layer in loaded.layers if isinstance(layer, Dot)]
    assert (dot.axes, dot.normalize) == (1, True)


@pytest.mark.usefixtures("serial")
def test_a_mask_ends_here(rng):
    words = Input((6,))
    x = Embedding(20, 4, mask_zero=True)(words)
    model = Model(words, LSTM(3)(Dot(axes=2)([x, x])))
    ids = np.array([[3, 4, 0, 0, 0, 0]])
    vectors = model.layers[1](ids)
    expected = model.layers[-1](vectors @ vectors.swapaxes(1, 2))
    np.testing.assert_allclose(model(ids), expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_streamed_through_it():
    x = Input((None, 4))
    with pytest.raises(ValueError, match="'similar' needs the end"):
        Model(x, Dot(2, name="similar")([x, x])).stream()


X = np.zeros((2, 3, 4))


@pytest.mark.parametrize(
    ("act", "error", "parts"),
    [
        (lambda: Dot(0), ValueError, ["0 is the batch"]),
        (lambda: Dot((0, 1)), ValueError, ["0 is the batch"]),
        (lambda: Dot(1.5), ValueError, ["whole number or two", "1.5"]),
        (lambda: Dot((1, 2, 3)), ValueError, ["whole number or two", "(1, 2, 3)"]),
        (lambda: Dot("12"), ValueError, ["whole number or two"]),
        (lambda: Dot(True), ValueError, ["whole number or two"]),
        (lambda: Dot(1)([X, X, X]), ValueError, ["2 inputs, got 3"]),
        (lambda: Dot(1)([X]), ValueError, ["2 inputs, got 1"]),
        (lambda: Dot(1)(X), TypeError, ["list of 2 inputs"]),
        (lambda: Dot((1, 2))([X, X]), ValueError, ["one size, got 3 and 4", "axes=(1, 2)"]),
        (lambda: Dot(2)([X, X[:, 0]]), ValueError, ["axes=2", "(2, 4) do not have"]),
        (lambda: Dot(-3)([X, X]), ValueError, ["axes=-3", "do not have"]),
        (lambda: Dot(1)([X[..., None], X]), ValueError, ["(batch, time, features)"]),
    ],
)
def test_what_does_not_fit_is_said(act, error, parts):
    with pytest.raises(error) as caught:
        act()
    for part in parts:
        assert part in str(caught.value)
