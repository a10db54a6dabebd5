"""Activations as functions, as names, and as layers."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import activations
from fastlstm.layers import ELU, GRU, LSTM, Activation, Conv1D, Dense, Input, LeakyReLU, ReLU
from tests.peers import import_keras
from tests.reference import finite

NAMES = [name for name in activations.__all__ if name not in ("get", "glu", "threshold")]
OF_ROWS = ("softmax", "log_softmax", "sparsemax")
# Their slope is from their input.
FROM_INPUT = ["gelu", "gelu_tanh", "silu", "hard_silu", "mish", "tanh_shrink"]
# Keras', from its second step on, has rows that do not sum to 1: see ``_sparsemax``.
KERAS_HAS = [name for name in NAMES if name not in ("gelu_tanh", "sparsemax")]
LAYERS = {
    "relu": (ReLU, (), {}),
    "relu-bounds": (ReLU, (2.0, 0.5, 1.0), {}),
    "leaky": (LeakyReLU, (), {}),
    "leaky-slope": (LeakyReLU, (0.01,), {}),
    "elu": (ELU, (), {}),
    "elu-alpha": (ELU, (2.5,), {}),
}


def _values():
    x = np.linspace(-9, 9, 400, dtype=np.float32).reshape(4, 100)
    return np.concatenate([x, 1e-4 * x, 10 * x])


@pytest.mark.parametrize("name", KERAS_HAS)
def test_functions_are_those_of_keras(name):
    keras = import_keras()
    x = _values()
    if name == "exponential":
        x = np.minimum(x, 80)
    ours = getattr(activations, name)(x)
    # In double precision, since some of these are differences of large numbers there.
    double = keras.ops.convert_to_tensor(x, "float64")
    theirs = keras.ops.convert_to_numpy(getattr(keras.activations, name)(double))
    assert ours.dtype == np.float32
    atol = 1e-6 if name == "tanh_shrink" else 2e-7
    np.testing.assert_allclose(ours, theirs, rtol=5e-6, atol=atol)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gelu", {"approximate": True}),
        ("celu", {"alpha": 2.5}),
        ("squareplus", {"b": 0.5}),
        ("soft_shrink", {"threshold": 1.5}),
        ("hard_shrink", {"threshold": 1.5}),
        ("threshold", {"threshold": 0.5, "default_value": -3.0}),
        ("glu", {}),
        ("glu", {"axis": 0}),
        ("log_softmax", {"axis": 0}),
    ],
)
def test_options_are_those_of_keras(name, options):
    keras = import_keras()
    x = _values()
    ours = getattr(activations, name)(x, **options)
    double = keras.ops.convert_to_tensor(x, "float64")
    theirs = keras.ops.convert_to_numpy(getattr(keras.activations, name)(double, **options))
    np.testing.assert_allclose(ours, theirs, rtol=5e-6, atol=1e-6)


def test_gelu_tanh_is_the_approximate_gelu(rng):
    x = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(activations.gelu(x, True), activations.gelu_tanh(x))
    np.testing.assert_allclose(activations.gelu(x), activations.gelu_tanh(x), atol=1e-3)


def _sparsemax(x):
    """As its source has it, from numbers in order."""
    falling = -np.sort(-x, axis=-1)
    sums, counts = falling.cumsum(-1) - 1, np.arange(1, x.shape[-1] + 1)
    kept = (counts * falling > sums).sum(-1, keepdims=True)
    return np.maximum(x - np.take_along_axis(sums, kept - 1, -1) / kept, 0)


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 5.0])
def test_sparsemax(scale, rng):
    x = scale * rng.standard_normal((50, 13))
    y = activations.sparsemax(x)
    np.testing.assert_allclose(y, _sparsemax(x), rtol=1e-12, atol=1e-14)
    single = activations.sparsemax(x.astype(np.float32) + 100)
    np.testing.assert_allclose(single.sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(activations.sparsemax([[4.0, 4.0, -9.0]]), [[0.5, 0.5, 0]])
    assert np.isnan(activations.sparsemax([np.nan, 1.0])).any()


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
    if name not in OF_ROWS:
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
    np.testing.assert_allclose(activations.celu(x[2:], 2.0), x[2:], rtol=1e-8)
    np.testing.assert_allclose(activations.squareplus([-1e9]), [1e-9], rtol=1e-8)
    expected = x[:2] * np.exp(x[:2])
    np.testing.assert_allclose(activations.silu(x[:2]), expected, rtol=1e-8)
    np.testing.assert_allclose(activations.mish(x[:2]), expected, rtol=1e-8)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "linear"])
def test_slopes_against_finite_differences(name, rng):
    layer = Activation(name, dtype="float64")
    x = rng.uniform(-2, 2, (3, 7)) + 0.01  # off the corners
    _, pullback = fastlstm.vjp(layer, x)
    d_y = rng.standard_normal(x.shape)
    function = getattr(activations, name)
    expected = finite.gradient(lambda: float((function(x) * d_y).sum()), x)
    np.testing.assert_allclose(pullback(d_y)[0], expected, rtol=1e-6, atol=1e-7)


CELL_NAMES = ["elu", "softsign", "softplus", "leaky_relu", "hard_tanh", "squareplus"]


@pytest.mark.parametrize("name", CELL_NAMES)
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


@pytest.mark.parametrize("name", [*FROM_INPUT, "celu", "log_softmax", "sparsemax"])
@pytest.mark.parametrize("kind", [Dense, Conv1D], ids=["dense", "conv"])
def test_layers_outside_cells_take_those_too(kind, name, rng):
    """Outputs and gradients are those of the layer without, and the activation after it."""
    arguments = (4, 2) if kind is Conv1D else (4,)
    x = rng.standard_normal((2, 5, 3))
    layer = kind(*arguments, activation=name, dtype="float64")
    plain, after = kind(*arguments, dtype="float64"), Activation(name, dtype="float64")
    apart = fastlstm.Sequential([plain, after])
    layer(x)
    apart(x)
    apart.set_weights(layer.get_weights())
    y, pullback = fastlstm.vjp(layer, x)
    theirs, pullback_apart = fastlstm.vjp(apart, x)
    np.testing.assert_allclose(y, theirs, rtol=1e-14, atol=1e-14)
    d_y = rng.standard_normal(y.shape)
    pairs = zip(_flat(pullback(d_y)), _flat(pullback_apart(d_y)), strict=True)
    for ours, other in pairs:
        np.testing.assert_allclose(ours, other, rtol=1e-12, atol=1e-13)
    # The same without backward, where nothing is kept; alone, and as the last of a model.
    np.testing.assert_array_equal(layer(x), y)
    np.testing.assert_array_equal(fastlstm.Sequential([layer]).predict(x, verbose=0), y)


def _flat(parts):
    found = []
    for part in parts:
        found += _flat(part) if isinstance(part, (list, tuple)) else [part]
    return found


@pytest.mark.parametrize("name", ["gelu", "sparsemax"])
def test_a_large_last_layer_writes_the_callers_array(name, rng):
    model = fastlstm.Sequential([Dense(96, activation=name)])
    x = rng.standard_normal((64, 50, 8)).astype(np.float32)
    few = np.concatenate([model(x[at : at + 1]) for at in range(len(x))])
    np.testing.assert_array_equal(model.predict(x, batch_size=64, verbose=0), few)


@pytest.mark.parametrize("name", ["gelu", "log_softmax"])
def test_masked_training_is_that_of_keras(name, rng):
    keras = import_keras()
    x = rng.standard_normal((4, 6, 3)).astype(np.float32)
    x[1, 3:] = 0
    x[3, 1:] = 0
    target = rng.standard_normal((4, 6, 2)).astype(np.float32)

    def make(layers):
        made = [layers.Masking(), layers.LSTM(5, return_sequences=True)]
        made += [layers.Dense(7, activation=name), layers.Dense(2)]
        return made

    theirs = keras.Sequential([keras.Input((6, 3)), *make(keras.layers)])
    ours = fastlstm.Sequential([Input((6, 3)), *make(fastlstm.layers)])
    ours.set_weights(theirs.get_weights())
    ours.compile("sgd", "mse")
    theirs.compile("sgd", "mse")
    for _ in range(3):
        mine, other = (m.train_on_batch(x, target) for m in (ours, theirs))
        np.testing.assert_allclose(mine, other, rtol=2e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", ["gelu", "mish", "sparsemax"])
def test_bits_do_not_depend_on_the_threads(name, rng):
    x = rng.standard_normal((9, 40, 3)).astype(np.float32)
    d_y = rng.standard_normal((9, 40, 33)).astype(np.float32)
    layer = Dense(33, activation=name)
    layer(x)
    results = []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        again = Dense(33, activation=name)
        again.build((40, 3))
        again.set_weights(layer.get_weights())
        y, pullback = fastlstm.vjp(again, x)
        results.append([y, *_flat(pullback(d_y))])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


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
        [
            Input((4, 3)),
            LSTM(5, activation="softsign"),
            LeakyReLU(0.1),
            ReLU(6.0),
            Dense(2, "swish"),
        ]
    )
    model.save(tmp_path / "model.fastlstm")
    again = fastlstm.models.load_model(tmp_path / "model.fastlstm")
    x = rng.standard_normal((2, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ("glu", ValueError, "it halves the features: multiply"),
        ("threshold", ValueError, r"layers.ReLU\(threshold"),
        ("rleu", ValueError, "Did you mean 'relu'"),
        (np.tanh, TypeError, "a function of fastlstm.activations"),
        (3, TypeError, "given by name"),
    ],
)
def test_what_is_no_activation(wrong, kind, message):
    for take in (Dense, Activation):
        with pytest.raises(kind, match=message):
            take(3, activation=wrong) if take is Dense else take(wrong)


@pytest.mark.parametrize("name", [*FROM_INPUT, "swish"])
def test_cells_keep_outputs_alone(name):
    with pytest.raises(ValueError, match=r"all that a cell keeps: put Activation\('"):
        LSTM(3, activation=name)
    with pytest.raises(ValueError, match="'elu' or 'softplus'"):
        GRU(3, recurrent_activation=name)


def test_glu_halves_an_axis():
    with pytest.raises(ValueError, match="an even number along axis -1"):
        activations.glu([1.0, 2.0, 3.0])


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
