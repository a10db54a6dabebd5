"""Every recurrent layer by one table: equations, gradients, bits, masks, streams, files."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import (
    GRU,
    LSTM,
    SLSTM,
    CoupledLSTM,
    Dense,
    LayerNormLSTM,
    MinGRU,
    MinLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
    SimpleRNN,
)
from fastlstm.models import Sequential, load_model
from tests.example import load_example
from tests.reference import cells, finite

OTHER = {"activation": "relu", "recurrent_activation": "hard_sigmoid"}
RESET = {"reset_after": False}
PROJECTION = {"proj_size": 5}
# The layer, its options, the reference of a step.
TABLE = {
    "lstm": (LSTM, {}, cells.lstm),
    "lstm-other": (LSTM, OTHER, cells.lstm),
    "coupled": (CoupledLSTM, {}, cells.coupled_lstm),
    "coupled-other": (CoupledLSTM, OTHER, cells.coupled_lstm),
    "peephole": (PeepholeLSTM, {}, cells.peephole_lstm),
    "peephole-other": (PeepholeLSTM, OTHER, cells.peephole_lstm),
    "projected": (ProjectedLSTM, PROJECTION, cells.projected_lstm),
    "projected-other": (ProjectedLSTM, {**PROJECTION, **OTHER}, cells.projected_lstm),
    "layer_norm": (LayerNormLSTM, {}, cells.layer_norm_lstm),
    "layer_norm-other": (LayerNormLSTM, OTHER, cells.layer_norm_lstm),
    "gru": (GRU, {}, cells.gru),
    "gru-other": (GRU, OTHER, cells.gru),
    "gru-reset": (GRU, RESET, cells.reset_gru),
    "gru-reset-other": (GRU, {**RESET, **OTHER}, cells.reset_gru),
    "rnn": (SimpleRNN, {}, cells.simple_rnn),
    "rnn-hard": (SimpleRNN, {"activation": "hard_sigmoid"}, cells.simple_rnn),
    "min_gru": (MinGRU, {}, cells.min_gru),
    "min_lstm": (MinLSTM, {}, cells.min_lstm),
    "slstm": (SLSTM, {}, cells.slstm),
}
# The example of a new cell, for those who would add one.
TABLE["li_gru"] = (load_example(), {}, cells.li_gru)
# batch, steps, features, units
SHAPES = [(1, 1, 1, 1), (2, 9, 3, 7), (5, 4, 17, 33), (33, 3, 2, 50), (1, 6, 150, 130)]

every_layer = pytest.mark.parametrize("name", TABLE)


def _make(rng, name, shape, dtype="float64", **more):
    """A built layer with random weights, biases included, and input for it."""
    kind, options, _ = TABLE[name]
    batch, steps, features, units = shape
    layer = kind(units, dtype=dtype, **options, **more)
    layer.build((None, features))
    scale = (features + units) ** -0.5
    layer.set_weights([scale * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer, rng.standard_normal((batch, steps, features)).astype(dtype)


def _states(rng, layer, batch):
    """States to start from; a sum of positive weights is one of sLSTM's."""
    states = [0.5 * rng.standard_normal((batch, size)) for size in layer.state_sizes]
    if isinstance(layer, SLSTM):
        states[2] = 1.0 + np.abs(states[2])
    return [state.astype(layer.dtype) for state in states]


def _expected(name, layer, x, states, mask=None):
    _, options, step = TABLE[name]
    options = {key: options[key] for key in options if key in OTHER or key == "activation"}
    true = states
    if isinstance(layer, SLSTM):
        h, c, n, m = states
        true = [h, c * np.exp(m), n * np.exp(m)]
    y, last = cells.sequence(step, x, true, layer.get_weights(), mask, **options)
    return y, last


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_layer
def test_the_equations(name, shape, masked, rng):
    layer, x = _make(rng, name, shape, return_sequences=True, return_state=True)
    states = _states(rng, layer, shape[0])
    mask = rng.random(shape[:2]) < 0.6 if masked else None
    y, *last = layer(x, initial_state=states, mask=mask)
    expected, expected_last = _expected(name, layer, x, states, mask)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-12)
    if isinstance(layer, SLSTM):
        h, c, n, m = last
        last = [h, c * np.exp(m), n * np.exp(m)]
    for state, other in zip(last, expected_last, strict=True):
        np.testing.assert_allclose(state, other, rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("bias", [True, False], ids=["", "no-bias"])
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@every_layer
def test_gradients_by_finite_differences(name, masked, bias, rng):
    """Of all inputs, by the gradients of all outputs, along random directions."""
    shape = (3, 5, 4, 11)
    options = {"return_sequences": True, "return_state": True, "use_bias": bias}
    layer, x = _make(rng, name, shape, **options)
    states, weights = _states(rng, layer, 3), layer.get_weights()
    mask = rng.random((3, 5)) < 0.6 if masked else None
    outputs, pullback = fastlstm.vjp(layer, x, initial_state=states, mask=mask)
    d_outputs = [rng.standard_normal(output.shape) for output in outputs]
    d_x, d_states, d_weights = pullback(*d_outputs)

    def value():
        layer.set_weights(weights)
        got = layer(x, initial_state=states, mask=mask)
        return sum((one * d).sum() for one, d in zip(got, d_outputs, strict=True))

    inputs, gradients = [x, *states, *weights], [d_x, *d_states, *d_weights]
    for index, gradient in enumerate(gradients):
        assert gradient.shape == inputs[index].shape
        directions = [np.zeros_like(array) for array in inputs]
        directions[index] = rng.standard_normal(inputs[index].shape)
        slope = finite.slope(value, inputs, directions)
        assert np.isclose((gradient * directions[index]).sum(), slope, rtol=1e-6, atol=1e-7)


def _everything(layer, x, states):
    outputs, pullback = fastlstm.vjp(layer, x, initial_state=states)
    d_x, d_states, d_weights = pullback(*outputs)
    return [*outputs, d_x, *d_states, *d_weights]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 37])
@every_layer
def test_the_same_bits_whatever_the_threads(name, batch, dtype, rng):
    options = {"return_sequences": True, "return_state": True}
    layer, x = _make(rng, name, (batch, 12, 20, 70), dtype, **options)
    states = _states(rng, layer, batch)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        results.append(_everything(layer, x, states))
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@every_layer
def test_the_same_bits_whatever_the_split(name, rng):
    """Rows alone or together; all steps at once, in two parts, or one by one in a stream."""
    layer, x = _make(rng, name, (7, 9, 5, 34), "float32", return_sequences=True)
    model = Sequential([layer])
    whole = model(x)
    for row in range(7):
        np.testing.assert_array_equal(model(x[row : row + 1]), whole[row : row + 1])
    stream = model.stream(7)
    for t in range(9):
        np.testing.assert_array_equal(stream.step(x[:, t]), whole[:, t])
    twin = type(layer).from_config({**layer.get_config(), "return_state": True, "name": "twin"})
    twin.build((None, 5))
    twin.set_weights(layer.get_weights())
    first, *states = twin(x[:, :4])
    second, *_ = twin(x[:, 4:], initial_state=states)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)


@every_layer
def test_checkpoints_and_windows(name, rng):
    """The gradient by way of checkpoints has the same bits; windows go on where they stopped."""
    kind, options, _ = TABLE[name]
    layer, x = _make(rng, name, (3, 25, 4, 18), "float32", return_sequences=True)
    model = Sequential([layer, kind(9, **options), Dense(1)])
    model.compile("adam", "mse")
    y = rng.standard_normal((3, 1)).astype(np.float32)
    loss, gradients = model.value_and_grad(x, y)
    other_loss, others = model.value_and_grad(x, y, bptt="checkpoint")
    assert loss == other_loss
    for one, other in zip(gradients, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [name for name in TABLE if name != "li_gru"])
def test_files_and_configurations(name, rng, tmp_path):
    """Files hold the library's own layers."""
    layer, x = _make(rng, name, (2, 4, 3, 10), "float32")
    model = Sequential([layer, Dense(1)])
    expected = model(x)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model")(x), expected)
    again = type(layer).from_config(layer.get_config())
    again.build((None, 3))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


@every_layer
def test_training_gets_somewhere(name, rng):
    """Follow the mean of what was seen so far."""
    layer, x = _make(rng, name, (64, 12, 2, 16), "float32", return_sequences=True)
    y = np.cumsum(x[..., :1], axis=1) / np.arange(1, 13, dtype=np.float32)[None, :, None]
    model = Sequential([layer, Dense(1)])
    model.compile(fastlstm.optimizers.Adam(0.01), "mse")
    losses = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
