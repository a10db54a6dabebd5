"""Activations as functions, as names, and as layers."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import activations
from fastlstm.layers import ELU, GRU, LSTM, Activation, Conv1D, Dense, Input, LeakyReLU, ReLU
from tests.peers import import_keras
from tests.reference import finite

NAMES = [name for name in activations.__all__ if name != "get"]
LAYERS = {
    "relu": (ReLU, (), {}),
    "relu-bounds": (ReLU, (2.0, 0.5, 1.0), {}),
    "leaky": (LeakyReLU, (), {}),
    "leaky-slope": (LeakyReLU, (0.01,), {}),
    "elu": (ELU, (), {}),
    "elu-alpha": (ELU, (2.5,), {}),
}


@pytest.mark.parametrize("name", NAMES)
def test_functions_are_those_of_keras(name):
    keras = import_keras()
    x = np.linspace(-9, 9, 400, dtype=np.float32).reshape(4, 100)
    x = np.concatenate([x, 1e-4 * x, 10 * x])
    if name == "exponential":
        x = np.minimum(x, 80)
    ours = getattr(activations, name)(x)
    theirs = keras.ops.convert_to_numpy(getattr(keras.activations, name)(x))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=5e-6, atol=2e-7)


@pytest.mark.parametrize("name", NAMES)
def test_functions_keep_shape_and_precision(name, rng):
    function = getattr(activations, name)
    assert activations.get(name) is function
    x = rng.standard_normal((3, 2, 5))[:, :, ::2]
    y = function(x)
    assert y.shape == x.shape
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, function(x.copy()))
    assert function([1, 2]).dtype == fastlstm.config.floatx()
    if name != "softmax":
        assert function(0.5).shape == ()
        assert np.isnan(function([np.nan, 1.0])[0])


@pytest.mark.parametrize(
    ("options", "x", "expected"),
    [
        ({}, [-1.0, 0.0, 2.0], [0.0, 0.0, 2.0]),
        ({"negative_slope": 0.5}, [-1.0, 3.0], [-0.5, 3.0]),
        ({"max_value": 2.0, "threshold": 1.0}, [0.5, 1.0, 1.5, 9.0], [0.0, 1.0, 1.5, 2.0]),
    ],
)
def test_relu_has_options(options, x, expected):
    np.testing.assert_array_equal(activations.relu(x, **options), expected)


def test_softmax_along_any_axis(rng):
    x = rng.standard_normal((3, 4, 5))
    y = activations.softmax(x, axis=1)
    np.testing.assert_allclose(y.sum(1), 1.0)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(1, keepdims=True))


def test_small_arguments_keep_their_digits():
    x = np.array([-30.0, -20.0, -1e-9])
    np.testing.assert_allclose(activations.softplus(x[:2]), np.exp(x[:2]), rtol=1e-8)
    np.testing.assert_allclose(activations.elu(x[2:]), x[2:], rtol=1e-8)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "linear"])
def test_slopes_against_finite_differences(name, rng):
    layer = Activation(name, dtype="float64")
    x = rng.uniform(-2, 2, (3, 7)) + 0.01  # off the corners
    _, pullback = fastlstm.vjp(layer, x)
    d_y = rng.standard_normal(x.shape)
    function = getattr(activations, name)
    expected = finite.gradient(lambda: float((function(x) * d_y).sum()), x)
    np.testing.assert_allclose(pullback(d_y)[0], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["elu", "softsign", "softplus", "leaky_relu", "hard_tanh"])
@pytest.mark.parametrize(
    "make",
    [
        lambda name: LSTM(4, activation=name, dtype="float64"),
        lambda name: GRU(4, activation=name, recurrent_activation=name, dtype="float64"),
        lambda name: Conv1D(4, 2, activation=name, dtype="float64"),
        lambda name: Dense(4, activation=name, dtype="float64"),
    ],
    ids=["lstm", "gru", "conv", "dense"],
)
def test_layers_take_them_all(make, name, rng):
    layer = make(getattr(activations, name))
    assert layer.get_config()["activation"] == name
    x = rng.standard_normal((2, 5, 3))
    y, pullback = fastlstm.vjp(layer, x)
    d_y = rng.standard_normal(y.shape)

    def value():
        return float((fastlstm.vjp(layer, x)[0] * d_y).sum())

    expected = finite.gradient(value, x)
    np.testing.assert_allclose(pullback(d_y)[0], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_their_own(name, rng):
    keras = import_keras()
    kind, arguments, options = LAYERS[name]
    layer = kind(*arguments, **options)
    x = rng.uniform(-4, 4, (3, 5, 2)).astype(np.float32)
    y, pullback = fastlstm.vjp(layer, x)
    torch = pytest.importorskip("torch")
    given = torch.tensor(x, requires_grad=True)
    theirs = getattr(keras.layers, kind.__name__)(*arguments, **options)(given)
    np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-6, atol=1e-6)
    d_y = rng.standard_normal(y.shape).astype(np.float32)
    (theirs * torch.tensor(d_y)).sum().backward()
    np.testing.assert_allclose(pullback(d_y)[0], given.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_they_are_saved_with_a_model(tmp_path, rng):
    model = fastlstm.Sequential(
        [Input((4, 3)), LSTM(5, activation="softsign"), LeakyReLU(0.1), ReLU(6.0), Dense(2, "elu")]
    )
    model.save(tmp_path / "model.fastlstm")
    again = fastlstm.models.load_model(tmp_path / "model.fastlstm")
    x = rng.standard_normal((2, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ("gelu", ValueError, "'gelu' does not follow from its output"),
        ("rleu", ValueError, "Did you mean 'relu'"),
        (np.tanh, TypeError, "a function of fastlstm.activations"),
        (3, TypeError, "given by name"),
    ],
)
def test_what_is_no_activation(wrong, kind, message):
    for take in (Dense, Activation):
        with pytest.raises(kind, match=message):
            take(3, activation=wrong) if take is Dense else take(wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ReLU(-1.0),
        lambda: ReLU(negative_slope=-0.1),
        lambda: LeakyReLU(np.nan),
        lambda: ELU("a"),
    ],
)
def test_numbers_of_layers_are_checked(make):
    with pytest.raises(ValueError, match="expects a number at least 0"):
        make()
