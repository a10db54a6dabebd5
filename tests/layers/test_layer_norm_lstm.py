"""What is a layer-normalised LSTM's own; ``test_cells`` walks it with all others."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Model, Sequential
from fastlstm.layers import (
    LSTM,
    RNN,
    Bidirectional,
    Dense,
    Input,
    LayerNormalization,
    LayerNormLSTM,
    LayerNormLSTMCell,
    Masking,
    ProjectedLSTM,
)
from fastlstm.models import Ensemble, load_model
from fastlstm.utils import set_random_seed
from tests.layers.training import Trained
from tests.reference import cells, finite

B, T, D, UNITS = 5, 7, 3, 10
pytestmark = pytest.mark.usefixtures("serial")


def _make(rng, dtype="float64", **options):
    options = {"return_sequences": True, "return_state": True, **options}
    layer = LayerNormLSTM(UNITS, dtype=dtype, **options)
    layer.build((None, D))
    layer.set_weights([0.5 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    states = [rng.standard_normal((B, UNITS)).astype(dtype) for _ in range(2)]
    return layer, rng.standard_normal((B, T, D)).astype(dtype), states


def test_weights_at_the_start():
    layer = LayerNormLSTM(4)
    layer.build((None, D))
    assert layer.weight_names == [
        "kernel", "recurrent_kernel", "bias", "kernel_gamma", "kernel_beta",
        "recurrent_gamma", "recurrent_beta", "state_gamma", "state_beta",
    ]  # fmt: skip
    shapes = [(D, 16), (4, 16), (16,), (16,), (16,), (16,), (16,), (4,), (4,)]
    assert [weight.shape for weight in layer.weights] == shapes
    for name, weight in zip(layer.weight_names[3:], layer.weights[3:], strict=True):
        assert np.all(weight == (1.0 if name.endswith("gamma") else 0.0))
    np.testing.assert_array_equal(layer.weights[2], np.repeat([0.0, 1.0, 0.0, 0.0], 4))


def test_a_step_is_three_layer_normalizations(rng):
    """The sums, and c, as the layer of that name makes them."""
    epsilon = 0.02
    layer, x, (h, c) = _make(rng, norm_epsilon=epsilon)
    kernel, recurrent, bias, *norms = layer.get_weights()

    def normal(value, gamma, beta):
        norm = LayerNormalization(epsilon=epsilon, dtype="float64")
        norm.build(value.shape[1:])
        norm.set_weights([gamma, beta])
        return norm(value)

    sums = normal(x[:, 0] @ kernel, *norms[:2]) + normal(h @ recurrent, *norms[2:4]) + bias
    i, f, g, o = np.split(sums, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
    c_next = f * c + i * np.tanh(g)
    y, h_last, c_last = layer(x[:, :1], initial_state=[h, c])
    np.testing.assert_allclose(h_last, o * np.tanh(normal(c_next, *norms[4:])), rtol=1e-10)
    np.testing.assert_allclose(c_last, c_next, rtol=1e-10)
    np.testing.assert_array_equal(y[:, 0], h_last)


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
def test_dropout_and_zoneout(backwards, masked, rng):
    """Both ways between two steps at once: equations, and gradients by finite differences."""
    options = {"recurrent_dropout": 0.4, "zoneout": 0.3, "zoneout_cell": 0.2}
    layer, x, states = _make(rng, go_backwards=backwards, **options)
    mask = rng.random((B, T)) < 0.6 if masked else None
    weights, trained = layer.get_weights(), Trained(layer, x, mask)
    got = trained.outputs(states)
    op = trained.chain.ops[0]
    zones, kept = [zone.swapaxes(0, 1).copy() for zone in op.zones.values], op.kept.y[0].copy()
    turned, turned_mask = (x[:, ::-1], mask) if backwards else (x, mask)
    if backwards and masked:
        turned_mask = mask[:, ::-1]
    for row in range(B):
        own = [weights[0], kept[row][:, None] * weights[1], *weights[2:]]
        one = slice(row, row + 1)
        y, last = cells.sequence(
            cells.layer_norm_lstm, turned[one], [state[one] for state in states], own,
            None if mask is None else turned_mask[one], [zone[one] for zone in zones],
        )  # fmt: skip
        for value, wanted in zip((part[one] for part in got), (y, *last), strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-10, atol=1e-12)
    d_outputs = [rng.standard_normal(output.shape) for output in got]
    gradients = trained.gradients(d_outputs)

    def value():
        layer.set_weights(weights)
        parts = zip(trained.outputs(states), d_outputs, strict=True)
        return sum((one * d).sum() for one, d in parts)

    inputs = [x, *states, *weights]
    for index, gradient in enumerate(gradients):
        directions = [np.zeros_like(array) for array in inputs]
        directions[index] = rng.standard_normal(inputs[index].shape)
        slope = finite.slope(value, inputs, directions)
        assert np.isclose((gradient * directions[index]).sum(), slope, rtol=1e-6, atol=1e-7)


def test_both_directions_cells_files_and_ensembles(rng, tmp_path):
    set_random_seed(1)
    stack = RNN([LayerNormLSTMCell(6, zoneout=0.1), LayerNormLSTMCell(5)], return_sequences=True)
    layers = [Masking(), Bidirectional(LayerNormLSTM(4, return_sequences=True)), stack]
    model = Sequential([Input((None, D)), *layers, LayerNormLSTM(3, recurrent_dropout=0.1)])
    model.compile("adam", "mse")
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    x[1, 4:] = x[3, 2:] = 0.0
    y = rng.standard_normal((B, 3)).astype(np.float32)
    losses = model.fit(x, y, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_array_equal(again(x), model(x))
    assert isinstance(again.layers[1].forward_layer, LayerNormLSTM)
    assert isinstance(RNN(LayerNormLSTMCell(6)), LayerNormLSTM)
    plain = Sequential([Input((None, D)), LayerNormLSTM(4), Dense(1)])
    plain.compile("adam", "mse")
    many = Ensemble(plain, 2)
    many.fit(np.stack([x] * 2), np.stack([y[:, :1]] * 2), verbose=0)
    two = many.predict(np.stack([x] * 2), verbose=0)
    for number in range(2):
        np.testing.assert_array_equal(two[number], many[number](x))


def test_stateful(rng):
    layer, x, _ = _make(rng, "float32", stateful=True, return_state=False)
    twin = LayerNormLSTM.from_config({**layer.get_config(), "stateful": False, "name": "twin"})
    twin.build((None, D))
    twin.set_weights(layer.get_weights())
    parts = [layer(x[:, :3]), layer(x[:, 3:])]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), twin(x))
    layer.reset_states()
    np.testing.assert_array_equal(layer(x[:, :3]), parts[0])


@pytest.mark.parametrize(
    "kind", [lambda **o: LayerNormLSTM(4, **o), lambda **o: ProjectedLSTM(6, 4, **o)]
)
def test_gradients_of_states_that_other_layers_make(kind, rng):
    """A decoder from an encoder's last states: a product lies between two steps of either."""
    size = kind().state_sizes[1]
    inputs = Input((T, D), dtype="float64"), Input((T, D), dtype="float64")
    _, h, c = LSTM(size, return_state=True, dtype="float64")(inputs[0])
    h = Dense(4, dtype="float64")(h)
    outputs = kind(return_sequences=True, dtype="float64")(inputs[1], initial_state=[h, c])
    model = Model(inputs, outputs)
    model.compile("sgd", "mse")
    data = [rng.standard_normal((B, T, D)) for _ in range(2)]
    y = rng.standard_normal((B, T, 4))
    weights = model.get_weights()
    _, gradients = model.value_and_grad(data, y)

    def value():
        model.set_weights(weights)
        return model.value_and_grad(data, y)[0]

    for index in range(3):  # the encoder's
        directions = [np.zeros_like(weight) for weight in weights]
        directions[index] = rng.standard_normal(weights[index].shape)
        slope = finite.slope(value, weights, directions)
        assert np.isclose((gradients[index] * directions[index]).sum(), slope, rtol=1e-5)


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="LayerNormLSTM norm_epsilon expects"):
        LayerNormLSTM(3, norm_epsilon=-1.0)
    layer = LayerNormLSTM(3)
    with pytest.raises(ValueError, match="LayerNormLSTM expects input"):
        layer(np.zeros((2, 3)))
    assert isinstance(fastlstm.layers.RNN(LayerNormLSTMCell(3)), LayerNormLSTM)
