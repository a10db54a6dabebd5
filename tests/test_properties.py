"""Whatever the shape: layers against the references, forward and backward, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastlstm
from fastlstm.layers import LSTM, Dense, Embedding, SimpleRNN
from tests.reference import dense, embedding, lstm, rnn

pytestmark = pytest.mark.usefixtures("float64", "serial")

sizes = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _assert_close(got, expected):
    for one, other in zip(got, expected, strict=True):
        scale = max(1.0, np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11 * scale)


def _check_recurrent(layer, reference, options, shape, masked, seed):
    batch, steps, features = shape
    rng = np.random.default_rng(seed)
    layer.build((None, features))
    weights = [rng.uniform(-0.5, 0.5, w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    x = rng.standard_normal((batch, steps, features))
    count = layer.cell.states
    states = [rng.standard_normal((batch, layer.units)) for _ in range(count)]
    mask = rng.random((batch, steps)) < rng.random() if masked else None
    d_y = rng.standard_normal((batch, steps, layer.units))
    d_final = [rng.standard_normal((batch, layer.units)) for _ in range(count)]

    outputs, pullback = fastlstm.vjp(layer, x, initial_state=states, mask=mask)
    d_x, d_states, d_weights = pullback(d_y, *d_final)

    y, final, tape = reference.forward(x, *weights, states, mask, **options)
    expected = reference.backward(tape, *weights[:2], d_y, d_final, **options)
    _assert_close(outputs, [y, *final])
    _assert_close([d_x, *d_states, *d_weights], [expected.x, *expected.states, *expected[2:]])


@examples
@given(sizes, st.integers(1, 12), sizes, sizes, st.booleans(), seeds)
def test_lstm(batch, steps, features, units, masked, seed):
    layer = LSTM(units, return_sequences=True, return_state=True)
    _check_recurrent(layer, lstm, {}, (batch, steps, features), masked, seed)


@examples
@given(sizes, st.integers(1, 12), sizes, sizes, st.booleans(), seeds)
def test_simple_rnn(batch, steps, features, units, masked, seed):
    layer = SimpleRNN(units, return_sequences=True, return_state=True)
    _check_recurrent(layer, rnn, {}, (batch, steps, features), masked, seed)


@examples
@given(
    st.lists(sizes, min_size=2, max_size=3),
    st.integers(1, 200),
    st.sampled_from(["linear", "tanh", "softmax"]),
    st.booleans(),
    seeds,
)
def test_dense(shape, units, activation, use_bias, seed):
    rng = np.random.default_rng(seed)
    layer = Dense(units, activation, use_bias=use_bias)
    layer.build(tuple(shape[1:]))
    weights = [rng.uniform(-1, 1, w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    x, d_y = rng.standard_normal(shape), rng.standard_normal([*shape[:-1], units])
    y, pullback = fastlstm.vjp(layer, x)
    d_x, _, d_weights = pullback(d_y)
    bias = weights[1] if use_bias else np.zeros(units)
    expected_y = dense.forward(x, weights[0], bias, activation)
    expected = dense.backward(x, weights[0], expected_y, d_y, activation)
    _assert_close([y, d_x, *d_weights], [expected_y, *expected[: 2 + use_bias]])


@examples
@given(st.lists(sizes, min_size=1, max_size=2), sizes, sizes, seeds)
def test_embedding(shape, rows, depth, seed):
    rng = np.random.default_rng(seed)
    layer = Embedding(rows, depth)
    layer.build(tuple(shape[1:]))
    table = rng.standard_normal((rows, depth))
    layer.set_weights([table])
    ids, d_y = rng.integers(0, rows, shape), rng.standard_normal([*shape, depth])
    y, pullback = fastlstm.vjp(layer, ids)
    _, _, d_weights = pullback(d_y)
    _assert_close(
        [y, *d_weights], [embedding.forward(ids, table), embedding.backward(ids, table, d_y)]
    )


@examples
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 20), seeds)
def test_a_batch_is_its_rows(batch, steps, units, seed):
    """Bit by bit, for any split of the batch and of the sequence."""
    rng = np.random.default_rng(seed)
    layer = LSTM(units, return_sequences=True, return_state=True)
    x = rng.standard_normal((batch, steps, 3))
    whole, *last = layer(x)
    row, step = rng.integers(0, batch), rng.integers(0, steps + 1)
    part, *states = layer(x[row : row + 1])
    np.testing.assert_array_equal(part, whole[row : row + 1])
    for state, expected in zip(states, last, strict=True):
        np.testing.assert_array_equal(state, expected[row : row + 1])
    if 0 < step < steps:
        _, *states = layer(x[:, :step])
        rest, *_ = layer(x[:, step:], initial_state=states)
        np.testing.assert_array_equal(rest, whole[:, step:])
