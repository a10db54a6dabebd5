"""``fastlstm.vjp`` of every layer in float64: against the references and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm.layers import LSTM, Dense, Dropout, Embedding, SimpleRNN
from fastlstm.models import Sequential
from tests.reference import dense, embedding, finite, lstm, rnn

pytestmark = pytest.mark.usefixtures("float64", "serial")

B, T, D, U = 3, 5, 4, 9
ACTIVATIONS = ["linear", "relu", "sigmoid", "tanh"]


def _normal(rng, *shape):
    return rng.standard_normal(shape)


def _randomize(layer, rng, shape):
    """Build, and give every weight, biases included, random values."""
    layer.build(shape)
    weights = [0.5 * rng.standard_normal(w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    return weights


def _assert_close(got, expected):
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-11)


# -- recurrent layers -----------------------------------------------------------------------------


def _recurrent(kind, **options):
    """The layer, its reference, and the number of its states."""
    if kind == "lstm":
        return LSTM(U, **options), lstm, {}, 2
    return SimpleRNN(U, activation=kind, **options), rnn, {"activation": kind}, 1


RECURRENT = ["lstm", "tanh", "relu"]


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layer_with_everything(kind, masked, rng):
    """Initial states, all outputs and the final states, each with a gradient."""
    layer, reference, options, count = _recurrent(kind, return_sequences=True, return_state=True)
    weights = _randomize(layer, rng, (T, D))
    x, states = _normal(rng, B, T, D), [_normal(rng, B, U) for _ in range(count)]
    mask = rng.random((B, T)) < 0.6 if masked else None
    d_y, d_final = _normal(rng, B, T, U), [_normal(rng, B, U) for _ in range(count)]

    outputs, pullback = fastlstm.vjp(layer, x, initial_state=states, mask=mask)
    d_x, d_states, d_weights = pullback(d_y, *d_final)

    y, final, steps = reference.forward(x, *weights, states, mask, **options)
    expected = reference.backward(steps, *weights[:2], d_y, d_final, **options)
    _assert_close(outputs, [y, *final])
    _assert_close([d_x, *d_states, *d_weights], [expected.x, *expected.states, *expected[2:]])
    _assert_close(layer(x, initial_state=states, mask=mask), outputs)


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("kind", RECURRENT)
def test_what_a_recurrent_layer_returns(kind, return_sequences, return_state, rng):
    layer, reference, options, count = _recurrent(
        kind, return_sequences=return_sequences, return_state=return_state
    )
    weights = _randomize(layer, rng, (None, D))
    x, zeros = _normal(rng, B, T, D), [np.zeros((B, U))] * count
    outputs, pullback = fastlstm.vjp(layer, x)
    d_y = _normal(rng, B, T, U) if return_sequences else _normal(rng, B, U)
    d_final = [_normal(rng, B, U) for _ in range(count)] if return_state else zeros

    y, final, steps = reference.forward(x, *weights, zeros, **options)
    d_all = d_y if return_sequences else np.pad(d_y[:, None], ((0, 0), (T - 1, 0), (0, 0)))
    expected = reference.backward(steps, *weights[:2], d_all, d_final, **options)
    if not return_sequences:
        y = y[:, -1]

    assert isinstance(outputs, list) == return_state
    _assert_close(outputs if return_state else [outputs], [y, *final] if return_state else [y])
    d_x, d_states, d_weights = pullback(d_y, *(d_final if return_state else []))
    _assert_close([d_x, *d_states, *d_weights], [expected.x, *expected.states, *expected[2:]])


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layer_without_bias(kind, rng):
    layer, reference, options, count = _recurrent(kind, use_bias=False, return_sequences=True)
    weights = _randomize(layer, rng, (T, D))
    assert len(weights) == 2
    x, zeros = _normal(rng, B, T, D), [np.zeros((B, U))] * count
    d_y, bias = _normal(rng, B, T, U), np.zeros(weights[0].shape[1])
    y, pullback = fastlstm.vjp(layer, x)
    expected_y, _, steps = reference.forward(x, *weights, bias, zeros, **options)
    expected = reference.backward(steps, *weights, d_y, zeros, **options)
    d_x, _, d_weights = pullback(d_y)
    _assert_close([y, d_x, *d_weights], [expected_y, expected.x, expected[2], expected[3]])


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_one_layer_takes_sequences_of_any_length(steps, rng):
    layer = LSTM(U, return_sequences=True)
    weights = _randomize(layer, rng, (None, D))
    for batch in (1, 4, 2):
        x, zeros = _normal(rng, batch, steps, D), [np.zeros((batch, U))] * 2
        d_y = _normal(rng, batch, steps, U)
        y, pullback = fastlstm.vjp(layer, x)
        expected_y, _, tape = lstm.forward(x, *weights, zeros)
        expected = lstm.backward(tape, *weights[:2], d_y, zeros)
        d_x, _, d_weights = pullback(d_y)
        _assert_close([y, d_x, *d_weights], [expected_y, expected.x, *expected[2:]])


# -- the other layers -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(B, D), (B, T, D)], ids=["vectors", "sequences"])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, "softmax", None])
def test_dense(activation, shape, rng):
    layer = Dense(U, activation=activation)
    kernel, bias = _randomize(layer, rng, shape[1:])
    x, d_y = _normal(rng, *shape), _normal(rng, *shape[:-1], U)
    y, pullback = fastlstm.vjp(layer, x)
    d_x, d_states, d_weights = pullback(d_y)
    expected_y = dense.forward(x, kernel, bias, activation or "linear")
    expected = dense.backward(x, kernel, expected_y, d_y, activation or "linear")
    _assert_close([y, d_x, *d_weights], [expected_y, *expected])
    assert d_states == []


def test_dense_without_bias(rng):
    layer = Dense(U, activation="tanh", use_bias=False)
    (kernel,) = _randomize(layer, rng, (D,))
    x, d_y = _normal(rng, B, D), _normal(rng, B, U)
    y, pullback = fastlstm.vjp(layer, x)
    d_x, _, (d_kernel,) = pullback(d_y)
    expected_y = dense.forward(x, kernel, np.zeros(U), "tanh")
    expected = dense.backward(x, kernel, expected_y, d_y, "tanh")
    _assert_close([y, d_x, d_kernel], [expected_y, *expected[:2]])


@pytest.mark.parametrize("shape", [(B, T), (B,)], ids=["sequences", "ids"])
def test_embedding(shape, rng):
    layer = Embedding(6, U)
    (table,) = _randomize(layer, rng, shape[1:])
    for _ in range(3):  # the gradient of the batch before must be gone
        ids, d_y = rng.integers(0, 6, shape), _normal(rng, *shape, U)
        y, pullback = fastlstm.vjp(layer, ids)
        d_x, d_states, (d_table,) = pullback(d_y)
        _assert_close([y], [embedding.forward(ids, table)])
        _assert_close([d_table], [embedding.backward(ids, table, d_y)])
        assert d_x is None
        assert d_states == []


@pytest.mark.parametrize("shape", [(B, D), (B, T, D)])
def test_dropout_outside_training_passes_everything(shape, rng):
    x, d_y = _normal(rng, *shape), _normal(rng, *shape)
    y, pullback = fastlstm.vjp(Dropout(0.5), x)
    d_x, d_states, d_weights = pullback(d_y)
    _assert_close([y, d_x], [x, d_y])
    assert (d_states, d_weights) == ([], [])


# -- models: each layer hands its gradient to the one below ---------------------------------------


def _models():
    return {
        "lstm-lstm-softmax": [
            LSTM(5, return_sequences=True, input_shape=(T, D)),
            LSTM(4),
            Dense(3, activation="softmax"),
        ],
        "embedding-lstm-sigmoid": [Embedding(6, 5, input_shape=(T,)), LSTM(4), Dense(1, "sigmoid")],
        "dense-rnn-dense": [
            Dense(5, "tanh", input_shape=(T, D)),
            SimpleRNN(4, return_sequences=True),
            Dropout(0.5),
            Dense(2),
        ],
        "rnn-rnn": [
            SimpleRNN(4, return_sequences=True, input_shape=(T, D)),
            SimpleRNN(3, activation="relu"),
        ],
    }


@pytest.mark.parametrize(
    "name", ["lstm-lstm-softmax", "embedding-lstm-sigmoid", "dense-rnn-dense", "rnn-rnn"]
)
def test_model_against_finite_differences(name, rng):
    model = Sequential(_models()[name])
    model.build()
    weights = [0.5 * rng.standard_normal(w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    ids = name.startswith("embedding")
    x = rng.integers(0, 6, (B, T)) if ids else _normal(rng, B, T, D)
    y, pullback = fastlstm.vjp(model, x)
    np.testing.assert_array_equal(y, model(x))
    d_y = _normal(rng, *y.shape)
    d_x, _, d_weights = pullback(d_y)

    def value():
        model.set_weights(weights)
        return (model(x) * d_y).sum()

    arrays, gradients = weights, d_weights
    if not ids:
        arrays, gradients = [x, *weights], [d_x, *d_weights]
    for index, gradient in enumerate(gradients):
        directions = [np.zeros_like(array) for array in arrays]
        directions[index] = rng.standard_normal(arrays[index].shape)
        expected = finite.slope(value, arrays, directions)
        got = (gradient * directions[index]).sum()
        assert np.isclose(got, expected, rtol=1e-6, atol=1e-8), index


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_value_and_grad_of_a_sequence_model(loss, rng):
    model = Sequential([LSTM(4, return_sequences=True, input_shape=(T, D)), Dense(2)])
    model.compile(loss=loss)
    x, y = _normal(rng, B, T, D), _normal(rng, B, T, 2)
    _check_value_and_grad(model, x, y, rng)


@pytest.mark.parametrize(
    ("activation", "loss", "sparse"),
    [
        ("softmax", "categorical_crossentropy", False),
        ("softmax", "sparse_categorical_crossentropy", True),
        ("sigmoid", "binary_crossentropy", False),
        ("sigmoid", "mse", False),
        ("softmax", "mse", False),
    ],
)
def test_value_and_grad_of_losses_with_and_without_their_activation(activation, loss, sparse, rng):
    model = Sequential([SimpleRNN(4, input_shape=(T, D)), Dense(3, activation)])
    model.compile(loss=loss)
    x = _normal(rng, B, T, D)
    y = rng.integers(0, 3, B) if sparse else np.eye(3)[rng.integers(0, 3, B)]
    _check_value_and_grad(model, x, y, rng, sample_weight=rng.random(B))


def _check_value_and_grad(model, x, y, rng, **options):
    weights = model.get_weights()
    before = [w.copy() for w in weights]
    loss, grads = model.value_and_grad(x, y, **options)
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)  # it updates nothing

    def value():
        model.set_weights(weights)
        return model.value_and_grad(x, y, **options)[0]

    assert value() == loss
    for index, gradient in enumerate(grads):
        assert gradient.shape == weights[index].shape
        directions = [np.zeros_like(weight) for weight in weights]
        directions[index] = rng.standard_normal(weights[index].shape)
        expected = finite.slope(value, weights, directions)
        assert np.isclose((gradient * directions[index]).sum(), expected, rtol=1e-5, atol=1e-8)


# -- the pullback itself --------------------------------------------------------------------------


def test_a_pullback_may_be_called_again_and_after_other_calls(rng):
    layer = LSTM(U, return_sequences=True)
    _randomize(layer, rng, (None, D))
    x, other = _normal(rng, B, T, D), _normal(rng, 2 * B, 2 * T, D)
    d_y = _normal(rng, B, T, U)
    y, pullback = fastlstm.vjp(layer, x)
    first = pullback(d_y)
    twice = pullback(2 * d_y)
    layer(other)
    _, pullback_other = fastlstm.vjp(layer, other)
    pullback_other(_normal(rng, 2 * B, 2 * T, U))
    again = pullback(d_y)
    _assert_close([first[0], *first[2]], [again[0], *again[2]])
    _assert_close([2 * first[0], *(2 * d for d in first[2])], [twice[0], *twice[2]])
    np.testing.assert_array_equal(y, layer(x))


def test_a_pullback_says_what_it_expects(rng):
    _, pullback = fastlstm.vjp(LSTM(U, return_state=True), _normal(rng, B, T, D))
    with pytest.raises(ValueError, match=r"3 gradients.*got 1"):
        pullback(np.zeros((B, U)))
    with pytest.raises(ValueError, match=r"gradient 1 expects shape \(3, 9\), got \(3, 8\)"):
        pullback(np.zeros((B, U)), np.zeros((B, U - 1)), np.zeros((B, U)))
    with pytest.raises(ValueError, match="nan"):
        pullback(np.full((B, U), np.nan), np.zeros((B, U)), np.zeros((B, U)))
