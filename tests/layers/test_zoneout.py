"""Zoneout: states of which some units stay, step by step, what they were."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.kernels.cell import Feed
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import (
    GRU,
    LSTM,
    RNN,
    SLSTM,
    Bidirectional,
    CoupledLSTM,
    Dense,
    GRUCell,
    Input,
    LSTMCell,
    MinGRU,
    MinLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
    SimpleRNN,
)
from fastlstm.models import Ensemble, load_model
from fastlstm.utils import set_random_seed
from tests.layers.training import Trained
from tests.reference import cells, finite

H, C = 0.3, 0.45
B, T, D = 5, 6, 3
CELLS = {
    "lstm": (LSTM, {}, cells.lstm),
    "coupled": (CoupledLSTM, {}, cells.coupled_lstm),
    "peephole": (PeepholeLSTM, {}, cells.peephole_lstm),
    "projected": (ProjectedLSTM, {"proj_size": 4}, cells.projected_lstm),
    "gru": (GRU, {}, cells.gru),
    "gru-reset": (GRU, {"reset_after": False}, cells.reset_gru),
    "rnn": (SimpleRNN, {}, cells.simple_rnn),
    "min_gru": (MinGRU, {}, cells.min_gru),
    "min_lstm": (MinLSTM, {}, cells.min_lstm),
    "slstm": (SLSTM, {}, cells.slstm),
}
every_cell = pytest.mark.parametrize("name", CELLS)
masked = pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])


def _rates(kind):
    return {"zoneout": H, **({"zoneout_cell": C} if kind.has_memory_cell else {})}


def _make(rng, name, units=11, dtype="float64", batch=B, **more):
    kind, options, _ = CELLS[name]
    more = {"return_sequences": True, "return_state": True, **_rates(kind), **options, **more}
    layer = kind(units, dtype=dtype, **more)
    layer.build((None, D))
    layer.set_weights([0.3 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    states = [(1.0 + rng.random((batch, size))).astype(dtype) for size in layer.state_sizes]
    return layer, rng.standard_normal((batch, T, D)).astype(dtype), states


def _expected(name, layer, x, states, mask, zones):
    if name == "slstm":
        states = [states[0], *(state * np.exp(states[3]) for state in states[1:3])]
    if layer.go_backwards:
        x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
    return cells.sequence(CELLS[name][2], x, states, layer.get_weights(), mask, zones)


def _drawn(trained):
    """What the states kept of themselves at the last call, (batch, time, units) each."""
    op = trained.chain.ops[0]
    values = [op.zones.values, *(zones.values for zones in op._more_zones)]
    if len(values) > 1:  # h is made by the projection
        values = [values[1], values[0][1:]]
    return [zones.swapaxes(0, 1).copy() for part in values for zones in part]


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
@masked
@every_cell
def test_the_equations(name, masked, backwards, rng):
    layer, x, states = _make(rng, name, go_backwards=backwards)
    mask = rng.random((B, T)) < 0.6 if masked else None
    trained = Trained(layer, x, mask)
    got = trained.outputs(states, seed=3)
    zones = _drawn(trained)
    assert len(zones) == 1 + layer.has_memory_cell
    for zone in zones:
        assert set(np.unique(zone)) == {0.0, 1.0}
    y, last = _expected(name, layer, x, states, mask, zones)
    np.testing.assert_allclose(got[0], y, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(got[1], last[0], rtol=1e-11, atol=1e-12)
    # In inference, the expectation.
    got = layer(x, initial_state=states, mask=mask)
    means = [np.full_like(zone, rate) for zone, rate in zip(zones, (H, C), strict=False)]
    y, last = _expected(name, layer, x, states, mask, means)
    np.testing.assert_allclose(got[0], y, rtol=1e-11, atol=1e-12)
    if name != "slstm":
        for state, wanted in zip(got[1:], last, strict=True):
            np.testing.assert_allclose(state, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("training", [True, False], ids=["drawn", "expected"])
@masked
@every_cell
def test_gradients_by_finite_differences(name, masked, training, rng):
    layer, x, states = _make(rng, name)
    mask = rng.random((B, T)) < 0.6 if masked else None
    weights, trained = layer.get_weights(), Trained(layer, x, mask)

    def call():
        if training:
            return trained.outputs(states)
        return layer(x, initial_state=states, mask=mask)

    d_outputs = [rng.standard_normal(output.shape) for output in call()]
    if training:
        gradients = trained.gradients(d_outputs)
    else:
        _, pullback = fastlstm.vjp(layer, x, initial_state=states, mask=mask)
        d_x, d_states, d_weights = pullback(*d_outputs)
        gradients = [d_x, *d_states, *d_weights]

    def value():
        layer.set_weights(weights)
        return sum((one * d).sum() for one, d in zip(call(), d_outputs, strict=True))

    inputs = [x, *states, *weights]
    for index, gradient in enumerate(gradients):
        directions = [np.zeros_like(array) for array in inputs]
        directions[index] = rng.standard_normal(inputs[index].shape)
        slope = finite.slope(value, inputs, directions)
        assert np.isclose((gradient * directions[index]).sum(), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("batch", [1, 9])
@pytest.mark.parametrize("name", ["lstm", "peephole", "projected", "gru-reset"])
def test_the_same_bits_whatever_the_threads(name, batch, rng):
    layer, x, states = _make(rng, name, 70, "float32", batch)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        trained = Trained(layer, x)
        outputs = trained.outputs(states)
        results.append([*outputs, *trained.gradients(outputs)])
        results[-1] += layer(x, initial_state=states)
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["lstm", "projected", "gru", "gru-reset"])
def test_the_same_bits_whatever_the_split(name, rng):
    """In inference: rows alone or together, steps at once, in two parts or in a stream."""
    layer, x, _ = _make(rng, name, 34, "float32", return_state=False)
    model = Sequential([layer])
    whole = model(x)
    for row in range(B):
        np.testing.assert_array_equal(model(x[row : row + 1]), whole[row : row + 1])
    stream = model.stream(B)
    for t in range(T):
        np.testing.assert_array_equal(stream.step(x[:, t]), whole[:, t])
    twin = type(layer).from_config({**layer.get_config(), "return_state": True, "name": "twin"})
    twin.build((None, D))
    twin.set_weights(layer.get_weights())
    first, *states = twin(x[:, :4])
    second, *_ = twin(x[:, 4:], initial_state=states)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)


def _compiled(layers):
    set_random_seed(1)
    model = Sequential([Input((None, D)), *layers])
    model.compile("sgd", "mse")
    return model


def _stack():
    both = {"zoneout": H, "zoneout_cell": C, "return_sequences": True}
    h = {"zoneout": H, "return_sequences": True}
    return [
        LSTM(5, dropout=0.1, recurrent_dropout=0.1, **both),
        GRU(4, **h),
        GRU(4, reset_after=False, **h),
        ProjectedLSTM(5, 3, **both),
        Dense(2),
    ]


def test_segments_draw_the_same(rng):
    x = rng.standard_normal((B, 300, D)).astype(np.float32)
    y = rng.standard_normal((B, 300, 2))
    results = []
    for way in ("full", "checkpoint"):
        model = _compiled(_stack())
        model.fit(x, y, epochs=2, batch_size=4, verbose=0, bptt=way)
        results.append(model.get_weights())
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.usefixtures("serial")
def test_each_step_row_unit_state_and_batch_draws_its_own(rng):
    layer, x, states = _make(rng, "lstm", 60, zoneout=0.5, zoneout_cell=0.5)
    trained = Trained(layer, x)
    trained.outputs(states, seed=1)
    h, c = first = _drawn(trained)
    trained.outputs(states, seed=1)
    for one, other in zip(first, _drawn(trained), strict=True):
        np.testing.assert_array_equal(one, other)
    trained.outputs(states, seed=2)
    pairs = [(h, c), (h, _drawn(trained)[0]), (h[1:], h[:-1]), (h[:, 1:], h[:, :-1])]
    pairs.append((h[..., 1:], h[..., :-1]))
    for one, other in pairs:  # of independent halves half are the same
        assert abs(np.mean(one == other) - 0.5) < 5 * 0.5 / np.sqrt(one.size)


def test_each_direction_draws_its_own(rng):
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    options = {"zoneout": H, "zoneout_cell": C, "return_sequences": True}
    layer = Bidirectional(LSTM(7, **options), merge_mode=None)
    layer.build((None, D))
    parts = []
    for part in layer.layers:
        parts.append(type(part).from_config(part.get_config()))
        assert (parts[-1].zoneout, parts[-1].zoneout_cell) == (H, C)
        parts[-1].build((None, D))
        parts[-1].set_weights(part.get_weights())
    set_random_seed(5)
    both = layer(x, training=True)
    set_random_seed(5)
    for got, part in zip(both, parts, strict=True):
        wanted = part(x, training=True)
        np.testing.assert_array_equal(got, wanted[:, ::-1] if part.go_backwards else wanted)


def test_a_stack_in_the_shape_of_a_wavefront(rng):
    """Small layers go forward side by side in inference, and not where something is drawn."""
    x = rng.standard_normal((4, 100, D)).astype(np.float32)
    options = {"return_sequences": True, "zoneout": H}
    model = _compiled([LSTM(8, **options), LSTM(8, **options)])
    copies = []
    for layer in model.layers[-2:]:
        copies.append(LSTM.from_config(layer.get_config()))
        copies[-1].build((None, layer.features))
        copies[-1].set_weights(layer.get_weights())
    for training in (True, False):
        set_random_seed(2)
        together = model(x, training=training)
        set_random_seed(2)
        alone = x
        for copy in copies:
            alone = copy(alone, training=training)
        np.testing.assert_array_equal(together, alone)


def test_cells_files_and_ensembles(rng, tmp_path):
    x, y = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, 2))
    stack = RNN(
        [LSTMCell(4, zoneout=H, zoneout_cell=C), GRUCell(3, zoneout=H)], return_sequences=True
    )
    model = _compiled([stack, *_stack()])
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.layers[-2].get_config() == model.layers[-2].get_config()
    assert again.layers[-2].zoneout_cell == C
    np.testing.assert_array_equal(again(x), model(x))
    plain = [layer.zoneout for layer in again.layers[0].layers]
    assert plain == [H, H]
    many = Ensemble(_compiled(_stack()), 2)
    many.set_weights([np.stack([w[0]] * 2) for w in many.get_weights()])
    many.train_on_batch(np.stack([x] * 2), np.stack([y] * 2))
    assert any(np.any(first != second) for first, second in many.get_weights())


def test_without_it_nothing_is_another(rng):
    """A layer without zoneout runs the driver that knows nothing of it."""
    layer, x, states = _make(rng, "gru", zoneout=0.0)
    trained = Trained(layer, x)
    op = trained.chain.ops[0]
    assert op.feed == Feed()
    assert op.zones.values.size == op.zones.made.size == 0
    np.testing.assert_array_equal(trained.outputs(states)[0], layer(x, initial_state=states)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(3, zoneout=1.0), "LSTM zoneout expects"),
        (lambda: GRU(3, zoneout=-0.1), "GRU zoneout expects"),
        (lambda: LSTM(3, zoneout_cell="0.1"), "LSTM zoneout_cell expects"),
        (lambda: GRU(3, zoneout_cell=0.1), "GRU zoneout_cell is for layers with a memory cell"),
        (lambda: SLSTM(3, zoneout_cell=0.1), "SLSTM zoneout_cell is for layers with a memory"),
        (lambda: LSTM(3, zone_out=0.1), "Did you mean 'zoneout'"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
