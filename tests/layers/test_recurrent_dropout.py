"""Dropout of what recurrent layers see of their own last output."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

from fastlstm import Sequential
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import (
    GRU,
    LSTM,
    SLSTM,
    Bidirectional,
    CoupledLSTM,
    Dense,
    Embedding,
    Input,
    MinGRU,
    PeepholeLSTM,
    ProjectedLSTM,
    SimpleRNN,
    SpatialDropout1D,
)
from fastlstm.models import Ensemble
from fastlstm.utils import set_random_seed
from tests.layers.training import Trained
from tests.reference import cells, finite

RATE = 0.4
B, T, D = 5, 6, 3
CELLS = {
    "lstm": (LSTM, {}, cells.lstm),
    "coupled": (CoupledLSTM, {}, cells.coupled_lstm),
    "gru": (GRU, {}, cells.gru),
    "gru-reset": (GRU, {"reset_after": False}, cells.reset_gru),
    "peephole": (PeepholeLSTM, {}, cells.peephole_lstm),
    "projected": (ProjectedLSTM, {"proj_size": 4}, cells.projected_lstm),
    "rnn": (SimpleRNN, {}, cells.simple_rnn),
    "slstm": (SLSTM, {}, cells.slstm),
}
every_cell = pytest.mark.parametrize("name", CELLS)


def _make(rng, name, units=11, dtype="float64", rate=RATE, **more):
    kind, options, _ = CELLS[name]
    more = {"return_sequences": True, "return_state": True, **options, **more}
    layer = kind(units, recurrent_dropout=rate, dtype=dtype, **more)
    layer.build((None, D))
    layer.set_weights([0.3 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    states = [1.0 + rng.random((B, size)) for size in layer.state_sizes]
    return layer, rng.standard_normal((B, T, D)).astype(dtype), states


def _kept(rows, units, seed=1, rate=RATE, dtype="float64"):
    """What h is multiplied by: what is dropped of whole features is drawn in the same way."""
    set_random_seed(seed)
    ones = np.ones((rows, 1, units), dtype)
    return SpatialDropout1D(rate, dtype=dtype)(ones, training=True)[:, 0]


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@every_cell
def test_the_equations(name, masked, rng):
    """A row's dropped units are rows of zeros in its recurrent kernel, the others are scaled up."""
    layer, x, states = _make(rng, name)
    mask = rng.random((B, T)) < 0.6 if masked else None
    got = Trained(layer, x, mask).outputs(states, seed=3)
    kept = _kept(B, layer.output_size, seed=3)
    assert set(np.unique(kept)) == {0.0, 1 / (1 - RATE)}
    if name == "slstm":
        states = [states[0], *(state * np.exp(states[3]) for state in states[1:3])]
    kernel, recurrent, *bias = layer.get_weights()
    for row in range(B):
        weights = [kernel, kept[row][:, None] * recurrent, *bias]
        one = slice(row, row + 1)
        y, last = cells.sequence(
            CELLS[name][2], x[one], [s[one] for s in states], weights,
            None if mask is None else mask[one],
        )  # fmt: skip
        np.testing.assert_allclose(got[0][one], y, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(got[1][one], last[0], rtol=1e-11, atol=1e-12)
    # Nothing is dropped in inference.
    whole, _, _ = _make(np.random.default_rng(0), name, rate=0.0)
    whole.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x)[0], whole(x)[0])


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@every_cell
def test_gradients_by_finite_differences(name, masked, backwards, rng):
    layer, x, states = _make(rng, name, go_backwards=backwards)
    mask = rng.random((B, T)) < 0.6 if masked else None
    weights, trained = layer.get_weights(), Trained(layer, x, mask)
    d_outputs = [rng.standard_normal(output.shape) for output in trained.outputs(states)]
    gradients = trained.gradients(d_outputs)

    def value():
        layer.set_weights(weights)
        got = trained.outputs(states)
        return sum((one * d).sum() for one, d in zip(got, d_outputs, strict=True))

    inputs = [x, *states, *weights]
    for index, gradient in enumerate(gradients):
        directions = [np.zeros_like(array) for array in inputs]
        directions[index] = rng.standard_normal(inputs[index].shape)
        slope = finite.slope(value, inputs, directions)
        assert np.isclose((gradient * directions[index]).sum(), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, B])
@every_cell
def test_the_same_bits_whatever_the_threads(name, rows, dtype, rng):
    layer, x, states = _make(rng, name, 70, dtype)
    x, states = x[:rows], [state[:rows].astype(dtype) for state in states]
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        trained = Trained(layer, x)
        outputs = trained.outputs(states)
        results.append([*outputs, *trained.gradients(outputs)])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


def _compiled(layers):
    set_random_seed(1)
    model = Sequential([Input((None, D)), *layers])
    model.compile("sgd", "mse")
    return model


def test_segments_drop_the_same(rng):
    x = rng.standard_normal((B, 300, D)).astype(np.float32)
    y = rng.standard_normal((B, 300, 2))
    options = {"return_sequences": True, "recurrent_dropout": RATE}
    results = []
    for way in ("full", "checkpoint"):
        others = [GRU(4, reset_after=False, **options), ProjectedLSTM(5, 3, **options)]
        layers = [LSTM(5, dropout=0.1, **options), GRU(4, **options), *others, Dense(2)]
        model = _compiled(layers)
        model.fit(x, y, epochs=2, batch_size=4, verbose=0, bptt=way)
        results.append(model.get_weights())
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_each_direction_and_each_batch_drop_their_own(rng):
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    options = {"recurrent_dropout": RATE, "return_sequences": True}
    layer = Bidirectional(LSTM(7, **options), merge_mode=None)
    layer.build((None, D))
    parts = []
    for part in layer.layers:
        parts.append(type(part).from_config(part.get_config()))
        assert parts[-1].recurrent_dropout == RATE
        parts[-1].build((None, D))
        parts[-1].set_weights(part.get_weights())
    set_random_seed(5)
    both = layer(x, training=True)
    assert np.any(layer(x, training=True)[0] != both[0])
    set_random_seed(5)
    for got, part in zip(both, parts, strict=True):
        wanted = part(x, training=True)
        np.testing.assert_array_equal(got, wanted[:, ::-1] if part.go_backwards else wanted)


def test_a_stack_in_the_shape_of_a_wavefront(rng):
    """Small layers, which go forward side by side where nothing is drawn."""
    x = rng.standard_normal((4, 100, D)).astype(np.float32)
    options = {"return_sequences": True, "recurrent_dropout": RATE}
    model = _compiled([LSTM(8, **options), LSTM(8, **options)])
    copies = []
    for layer in model.layers[-2:]:
        copies.append(LSTM.from_config(layer.get_config()))
        copies[-1].build((None, layer.features))
        copies[-1].set_weights(layer.get_weights())
    set_random_seed(2)
    together = model(x, training=True)
    set_random_seed(2)
    alone = x
    for copy in copies:
        alone = copy(alone, training=True)
    np.testing.assert_array_equal(together, alone)


def test_above_an_embedding(rng):
    """What is looked up where nothing is dropped is computed where something is."""
    ids = rng.integers(0, 20, (B, T))
    for options in ({"dropout": RATE}, {"recurrent_dropout": RATE}):
        model = Sequential([Embedding(20, 6), LSTM(8, **options)])
        whole = model(ids)
        assert np.any(model(ids, training=True) != whole)


def test_models_of_an_ensemble_drop_differently(rng):
    x, y = rng.standard_normal((B, T, D)), rng.standard_normal((B, 2))
    layers = [
        PeepholeLSTM(4, recurrent_dropout=RATE, return_sequences=True),
        ProjectedLSTM(4, 3, recurrent_dropout=RATE, return_sequences=True),
        GRU(4, recurrent_dropout=RATE, reset_after=False),
        Dense(2),
    ]
    many = Ensemble(_compiled(layers), 2)
    many.set_weights([np.stack([w[0]] * 2) for w in many.get_weights()])
    many.train_on_batch(np.stack([x] * 2), np.stack([y] * 2))
    assert any(np.any(first != second) for first, second in many.get_weights())


def _of_keras(kind, **options):
    """Keras' layer of the same name, if Keras is here."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras")
    layer = getattr(keras.layers, kind)(**options)

    def call(x, states):
        y = layer(x, initial_state=states, training=True)
        return keras.ops.convert_to_numpy(y)

    return layer, call


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_what_is_multiplied_is_what_keras_multiplies():
    """Through weights that show it: the same units at each step, scaled by 1 / (1 - rate)."""
    units, rows = 40, 3
    options = {"units": units, "recurrent_dropout": RATE, "return_sequences": True}
    x = np.zeros((rows, T, 1), np.float32)
    state = np.ones((rows, units), np.float32)
    # h' = kept * h: powers of 1 / (1 - rate), or nothing from the first step on.
    identity = [np.zeros((1, units)), np.eye(units)]
    ours = SimpleRNN(activation="linear", use_bias=False, **options)
    ours.build((None, 1))
    theirs, call = _of_keras("SimpleRNN", activation="linear", use_bias=False, **options)
    theirs.build(x.shape)
    for layer in (ours, theirs):
        layer.set_weights(identity)
    powers = (1 - RATE) ** -np.arange(1.0, T + 1)[:, None]
    for y in (ours(x, initial_state=[state], training=True), call(x, state)):
        kept = y[:, :1] != 0
        assert 0 < kept.sum() < kept.size
        np.testing.assert_allclose(y, kept * powers, rtol=1e-5)
    # h' = z * h + (1 - z) * 0, where z = 1/2 sees all of h.
    for reset_after in (True, False):
        options["reset_after"] = reset_after
        ours = GRU(use_bias=False, **options)
        ours.build((None, 1))
        theirs, call = _of_keras("GRU", use_bias=False, **options)
        theirs.build(x.shape)
        for layer in (ours, theirs):
            layer.set_weights([np.zeros((1, 3 * units)), np.zeros((units, 3 * units))])
        halves = np.tile(0.5 ** np.arange(1.0, T + 1)[None, :, None], (rows, 1, units))
        for y in (ours(x, initial_state=[state], training=True), call(x, state)):
            np.testing.assert_allclose(y, halves, rtol=1e-6)


def test_a_layer_without_a_recurrent_product_says_so():
    with pytest.raises(ValueError, match="MinGRU recurrent_dropout has nothing to drop"):
        MinGRU(3, recurrent_dropout=0.1)
