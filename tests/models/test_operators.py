"""Operators and indices of symbols, and the short forms of layers that join."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, vjp
from fastlstm.layers import GRU, LSTM, Add, Dense, Embedding, Lambda, Multiply
from fastlstm.models import load_model
from tests.reference import finite

B, T, D = 5, 6, 4

# What people write, of a sequence x (batch, T, D), another one y, and a vector v (batch, D).
SEQUENCES = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / (y * y + 1.0),
    "negative": lambda x, y: -x + y,
    "numbers": lambda x, y: 2 * x + y / 4 - (1.5 - x) * 0.5 + 1,
    "numpy's numbers": lambda x, y: np.float32(2) * x - np.float64(0.5) + y * np.int64(3),
    "twice": lambda x, y: x * x + y,
    "one feature": lambda x, y: x * y[..., :1],
    "one step": lambda x, y: y[:, 2:3] - x,
    "one of both": lambda x, y: x[:, :1] * y[..., -1:],
    "steps": lambda x, y: x[:, 1:5] * y[:, ::2][:, :1],
    "features": lambda x, y: x[..., :3] + y[:, :, 1:],
    "a step": lambda x, y: x[:, -1] + y[:, 0],
    "a feature": lambda x, y: x[:, :, 1] - y[..., 0],
    "steps and features": lambda x, y: x[:, 1:3, ::2] + y[:, 3:5, 2:],
    "a step's features": lambda x, y: x[:, -1, 1:] * y[:, 3, :-1],
    "whole": lambda x, y: x[:] + y[:, :][...],
}
VECTORS = {
    "features": lambda v: v[:, 1:] - v[..., :-1],
    "one feature": lambda v: v * v[:, :1] / (2.0 + v[:, 2:3] * v[:, 2:3]),
}
CASES = {
    **{name: (how, [(T, D), (T, D)]) for name, how in SEQUENCES.items()},
    **{f"vector, {name}": (how, [(D,)]) for name, how in VECTORS.items()},
}

every_case = pytest.mark.parametrize("name", CASES)


def _case(name, rng, dtype=np.float64):
    how, shapes = CASES[name]
    arrays = [rng.standard_normal((B, *shape)).astype(dtype) for shape in shapes]
    inputs = [Input(shape) for shape in shapes]
    return Model(inputs, how(*inputs)), how, arrays


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


@pytest.mark.usefixtures("serial", "float64")
@every_case
def test_values_and_gradients(name, rng):
    """They are what NumPy makes of the same words, and so are the slopes."""
    model, how, arrays = _case(name, rng)
    given = arrays if len(arrays) > 1 else arrays[0]
    expected = how(*arrays)
    y, pull = vjp(model, given)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-15)
    assert model.output_shape[1:] == expected.shape[1:]
    d_y = rng.standard_normal(y.shape)
    d_xs = pull(d_y)[0]
    for array, d_x in zip(arrays, d_xs if len(arrays) > 1 else [d_xs], strict=True):
        slopes = finite.gradient(lambda: float(np.vdot(how(*arrays), d_y)), array)
        np.testing.assert_allclose(d_x, slopes, rtol=1e-6, atol=1e-8)


@pytest.mark.usefixtures("serial")
@every_case
def test_a_file_holds_them(name, rng, tmp_path):
    _, how, arrays = _case(name, rng, np.float32)
    inputs = [Input(array.shape[1:]) for array in arrays]
    made = how(*inputs)
    model = Model(inputs, Dense(2)(made))
    given = arrays if len(arrays) > 1 else arrays[0]
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(given, verbose=0), model.predict(given, verbose=0))
    assert loaded.get_config()["calls"] == model.get_config()["calls"]


def _tower(api):
    """A residual of recurrent layers over words, a gate, and the last step beside the first."""
    words = api.Input((T,), dtype="int32")
    x = api.layers.Embedding(20, D, mask_zero=True)(words)
    x = x + api.layers.LSTM(D, return_sequences=True)(x)
    x = 0.5 * x - api.layers.GRU(D, return_sequences=True)(x) * api.layers.Dense(1)(x)
    both = api.layers.concatenate([x[:, -1], x[:, 0, 1:], api.layers.Dense(3)(x[:, 2:4, 0])])
    hidden = api.layers.add([both, api.layers.Dense(10)(both)])
    return api.Model(words, api.layers.Dense(2)(hidden) + 1.0)


@pytest.mark.usefixtures("serial")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_learns_as_in_keras(keras, rng):
    """With the masks that are left, and the weights in the same order."""
    theirs, ours = _tower(keras), _tower(fastlstm)
    ours.set_weights(theirs.get_weights())
    ids = rng.integers(1, 20, (32, T))
    ids[:, 4:] *= rng.integers(0, 2, (32, 2))
    y = rng.standard_normal((32, 2)).astype(np.float32)
    np.testing.assert_allclose(
        ours.predict(ids, verbose=0), theirs.predict(ids, verbose=0), rtol=1e-4, atol=1e-5
    )
    for model in (theirs, ours):
        model.compile("adam", "mse")
    for _ in range(10):
        expected, got = theirs.train_on_batch(ids, y), ours.train_on_batch(ids, y)
        np.testing.assert_allclose(got, expected, rtol=1e-4)
    for expected, got in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)


def test_the_same_bits_whatever_the_threads(rng):
    ids, y = rng.integers(0, 20, (200, T)), rng.standard_normal((200, 2)).astype(np.float32)
    results = []
    for threads in (1, 2):
        fastlstm.set_num_threads(threads)
        fastlstm.utils.set_random_seed(3)
        model = _tower(fastlstm)
        model.compile("adam", "mse")
        model.fit(ids, y, epochs=2, verbose=0)
        results.append([*model.get_weights(), model.predict(ids, batch_size=7, verbose=0)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("serial")
def test_a_mask_ends_at_an_operator_but_not_at_a_layer(rng):
    """As in Keras, and nobody would guess it: so it is said, and tested."""
    words = Input((T,))
    x = Embedding(20, D, mask_zero=True)(words)
    lstm = LSTM(3)
    masked, not_masked = lstm(Add()([x, x])), lstm(x + x)
    scaled = lstm(2.0 * x)
    model = Model(words, [masked, not_masked, scaled])
    ids = np.array([[3, 4, 5, 0, 0, 0]])
    first, second, third = model(ids)
    vectors = 2.0 * model.layers[1](ids)
    np.testing.assert_array_equal(first, lstm(vectors[:, :3]))
    np.testing.assert_array_equal(second, lstm(vectors))
    np.testing.assert_array_equal(third, second)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("kind", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
def test_vectors_beside_sequences_as_in_keras(kind, keras, rng):
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    v = rng.standard_normal((B, D)).astype(np.float32)
    for arrays in ([x, v], [v, x]):
        expected = np.asarray(getattr(keras.layers, kind)()(arrays))
        layer = getattr(fastlstm.layers, kind)()
        y, pull = vjp(layer, arrays)
        np.testing.assert_allclose(y, expected, rtol=1e-6)
        steps = [array if array.ndim == 3 else np.repeat(array[:, None], T, 1) for array in arrays]
        _, pull_steps = vjp(layer, steps)
        d_y = rng.standard_normal(y.shape).astype(np.float32)
        for d_x, d_steps in zip(pull(d_y)[0], pull_steps(d_y)[0], strict=True):
            whole = d_steps if d_x.ndim == 3 else d_steps.sum(axis=1)
            np.testing.assert_allclose(d_x, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("serial")
def test_the_mask_of_one_step_is_for_all():
    """One word beside a sentence: what comes after sees a step where either of them counts."""
    one, many = Input((1,)), Input((T,))
    words = Embedding(20, D, mask_zero=True)
    model = Model([one, many], LSTM(3)(Add()([words(one), words(many)])))
    words, lstm = model.layers[2], model.layers[-1]
    ids = [np.array([[0], [2]]), np.array([[3, 4, 0, 0, 0, 0]] * 2)]
    vectors = words(ids[0]) + words(ids[1])
    got = model(ids)
    np.testing.assert_array_equal(got[:1], lstm(vectors[:1, :2]))
    np.testing.assert_array_equal(got[1:], lstm(vectors[1:]))


def test_short_forms(rng):
    """They make the layer and call it; arguments go where Keras has them."""
    x, y = (rng.standard_normal((B, D)).astype(np.float32) for _ in range(2))
    layers = fastlstm.layers
    expected = {
        "add": x + y, "subtract": x - y, "multiply": x * y, "average": (x + y) / 2,
        "maximum": np.maximum(x, y), "minimum": np.minimum(x, y),
        "concatenate": np.concatenate([x, y], 1),
    }  # fmt: skip
    np.testing.assert_allclose(
        layers.dot([x, y], 1, normalize=True)[:, 0],
        (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1), rtol=1e-5,
    )  # fmt: skip
    first, second = Input((D,)), Input((D,))
    for name, value in expected.items():
        short = getattr(layers, name)
        np.testing.assert_allclose(short([x, y]), value, rtol=1e-6)
        model = Model([first, second], short([first, second], name="joined"))
        assert model.layers[-1].name == "joined"
        np.testing.assert_allclose(model([x, y]), value, rtol=1e-6)


WAITS = {
    "products": lambda x: fastlstm.layers.dot([x, x], axes=2),
    "a step": lambda x: x[:, 0] + x[:, -1],
}


@pytest.mark.parametrize("name", WAITS)
def test_what_looks_across_steps_is_not_streamed(name):
    x = Input((None, D))
    model = Model(x, WAITS[name](LSTM(D, return_sequences=True)(x)))
    with pytest.raises(ValueError, match="needs the end of the sequence first"):
        model.stream()


@pytest.mark.usefixtures("serial")
def test_what_works_step_by_step_is_streamed(rng):
    x = Input((None, D))
    y = 0.5 * LSTM(D, return_sequences=True)(x) + x
    both = fastlstm.layers.concatenate([y[..., 1:], -y[..., ::2]], axis=-1)
    model = Model(x, fastlstm.layers.concatenate([LSTM(3)(both), GRU(2)(both)], axis=1))
    series = rng.standard_normal((3, T, D)).astype(np.float32)
    stream = model.stream(3)
    for t in range(T):
        got = stream.step(series[:, t])
        np.testing.assert_array_equal(got, model(series[:, : t + 1]))


S, V = Input((T, D)), Input((D,))


@pytest.mark.parametrize(
    ("act", "error", "parts"),
    [
        (lambda: S[0], TypeError, ["samples", "x[:, 0]"]),
        (lambda: S[:, -1, 0], TypeError, ["no axis but the batch's", "x[:, -1, 0:1]"]),
        (lambda: V[:, -1], TypeError, ["no axis but the batch's", "x[:, -1:]"]),
        (lambda: S[:, 0, 0, 0], IndexError, ["3 axes"]),
        (lambda: S[..., 0, ...], IndexError, ["3 axes"]),
        (lambda: S[:, ::-1], TypeError, ["go_backwards=True"]),
        (lambda: S[:, None], TypeError, ["Reshape", "RepeatVector"]),
        (lambda: S[:, [0, 1]], TypeError, ["slices and whole numbers"]),
        (lambda: S[:, True], TypeError, ["slices and whole numbers"]),
        (lambda: S[:, 6], ValueError, ["no step", "of 6"]),
        (lambda: S[..., 4:], ValueError, ["no feature", "of 4"]),
        (lambda: 1.0 / S, TypeError, ["has no layer", "Divide"]),
        (lambda: S / 0, ZeroDivisionError, ["divided by zero"]),
        (lambda: S**2, TypeError, ["Multiply()([x, x])"]),
        (lambda: S @ S, TypeError, ["Dot(axes)"]),
        (lambda: abs(S), TypeError, ["Maximum()([x, -x])"]),
        (lambda: S + np.ones(D), TypeError, ["ndarray", "Input of their own"]),
        (lambda: np.ones(D) * S, TypeError, ["ndarray", "Input of their own"]),
        (lambda: S + "a", TypeError, ["symbols or numbers", "str"]),
        (lambda: S + np.inf, ValueError, ["Rescaling offset", "inf"]),
        (lambda: S + Input((T, 3)), ValueError, ["one shape", "(None, 6, 3)"]),
        (lambda: np.add.reduce(S), TypeError, ["no numbers yet"]),
        (lambda: np.exp(S), TypeError, ["no numbers yet"]),
        (lambda: Multiply()([S, Input((3,))]), ValueError, ["one shape", "(None, 3)"]),
        (lambda: Lambda(lambda x: x[:, 0]), TypeError, ["Lambda", "x[:, -1]", "Rescaling"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(act, error, parts):
    with pytest.raises(error) as caught:
        act()
    for part in parts:
        assert part in str(caught.value)
