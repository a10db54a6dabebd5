"""RNN and its cells: the layers that they make, and stacks of them run as one."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastlstm
from fastlstm.kernels.parallel import set_num_threads
from fastlstm.layers import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    Concatenate,
    Dense,
    Embedding,
    GRUCell,
    Input,
    LSTMCell,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
)
from fastlstm.models import Ensemble, Model, Sequential, load_model
from fastlstm.models.gradient_flow import gradients
from tests.peers import import_keras
from tests.reference import finite

B, T, D = 4, 7, 3


def _cells(of=None):
    """A stack of all kinds: of ours, or of Keras'."""
    lstm, gru, simple = (
        (of.LSTMCell, of.GRUCell, of.SimpleRNNCell) if of else (LSTMCell, GRUCell, SimpleRNNCell)
    )
    return [lstm(6), gru(5, activation="relu"), simple(4, use_bias=False), lstm(3)]


def _stack(rng, dtype="float32", **options):
    layer = RNN(_cells(), dtype=dtype, **options)
    layer.build((None, D))
    layer.set_weights([0.5 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


def _input(rng, dtype="float32"):
    return rng.standard_normal((B, T, D)).astype(dtype)


def _mask(rng):
    mask = rng.random((B, T)) < 0.7
    mask[:, 2] = True
    return mask


@pytest.mark.parametrize(
    ("cell", "layer"),
    [
        (LSTMCell(5, "relu", unit_forget_bias=False), LSTM(5, "relu", unit_forget_bias=False)),
        (GRUCell(5, dropout=0.3, use_bias=False), GRU(5, dropout=0.3, use_bias=False)),
        ([SimpleRNNCell(5, activation="linear")], SimpleRNN(5, "linear")),
        (StackedRNNCells([LSTMCell(2, dtype="float64")]), LSTM(2, dtype="float64")),
    ],
)
def test_one_cell_makes_its_layer(cell, layer):
    options = {"return_sequences": True, "go_backwards": True, "stateful": True, "name": "mine"}
    made = RNN(cell, **options, unroll=True)
    assert type(made) is type(layer)
    expected = {**layer.get_config(), **options}
    assert made.get_config() == expected
    by_place = RNN(cell, True, False, True, True, name="mine")
    assert by_place.get_config() == expected


def test_cells_tell_their_sizes():
    cells = StackedRNNCells([LSTMCell(6), GRUCell(5)])
    assert cells.state_size == [[6, 6], 5]
    assert cells.output_size == 5
    assert cells.cells[0].output_size == 6
    assert Bidirectional(RNN(GRUCell(5))).forward_layer.units == 5


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_against_keras(sequences, masked, backwards, rng):
    """Weights in Keras' order, outputs, and final states by cell."""
    keras = import_keras()
    options = {"return_sequences": sequences, "return_state": True, "go_backwards": backwards}
    layer, x = _stack(rng, **options), _input(rng)
    mask = _mask(rng) if masked else None
    states = [
        [rng.standard_normal((B, cell.units)).astype(np.float32) for _ in range(cell.cell.states)]
        for cell in layer.layers
    ]
    theirs = keras.layers.RNN(_cells(keras.layers), **options)
    theirs.build((None, T, D))
    theirs.set_weights(layer.get_weights())
    for initial in (None, states):
        if masked and initial:  # what comes before the first step that counts is not Keras' 0 then
            mask[:, [0, -1]] = True
        y, *finals = layer(x, initial_state=initial, mask=mask)
        expected, *expected_finals = theirs(
            x, initial_state=initial, mask=None if mask is None else keras.ops.array(mask)
        )
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=2e-5, atol=2e-6)
        assert [len(final) for final in finals] == [len(final) for final in expected_finals]
        for got, wanted in zip(finals, expected_finals, strict=True):
            for one, other in zip(got, wanted, strict=True):
                np.testing.assert_allclose(one, other.detach().numpy(), rtol=2e-5, atol=2e-6)
    flat = [state for part in states for state in part]
    np.testing.assert_array_equal(
        layer(x, initial_state=flat, mask=mask)[0], layer(x, initial_state=states, mask=mask)[0]
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_are_those_of_layers_one_by_one(threads, rng):
    """In training as well: a stack is its layers, and nothing else."""
    set_num_threads(threads)
    x, y = rng.standard_normal((40, 9, D)), rng.standard_normal((40, 1))
    results = []
    for layers in (
        [RNN([LSTMCell(33), GRUCell(20)])],
        [LSTM(33, return_sequences=True), GRU(20)],
    ):
        fastlstm.utils.set_random_seed(2)
        model = Sequential([Input((None, D)), *layers, Dense(1)])
        model.compile("adam", "mse")
        _, grads = model.value_and_grad(x, y)
        _, others = model.value_and_grad(x, y, bptt="checkpoint")
        history = model.fit(x, y, epochs=3, batch_size=16, verbose=0)
        results.append([*grads, *others, *model.get_weights(), model(x), history.history["loss"]])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_gradients_by_finite_differences(masked, backwards, rng):
    options = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    layer, x = _stack(rng, "float64", **options), _input(rng, "float64")
    mask = _mask(rng) if masked else None
    states = [
        rng.standard_normal((B, cell.units))
        for cell in layer.layers
        for _ in range(cell.cell.states)
    ]
    weights = layer.get_weights()
    outputs, pullback = fastlstm.vjp(layer, x, initial_state=states, mask=mask)
    d_outputs = [rng.standard_normal(output.shape) for output in outputs]
    d_x, d_states, d_weights = pullback(*d_outputs)
    assert len(d_states) == len(states) == 6

    def value():
        layer.set_weights(weights)
        y, *finals = layer(x, initial_state=states, mask=mask)
        got = [y, *(state for final in finals for state in final)]
        return sum((one * d).sum() for one, d in zip(got, d_outputs, strict=True))

    for array, got in zip([x, *states, *weights], [d_x, *d_states, *d_weights], strict=True):
        direction = rng.standard_normal(array.shape)
        slope = finite.slope(value, [array], [direction])
        assert np.sum(got * direction) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_the_same_bits_whatever_the_threads_and_the_split(rng):
    layer, x = _stack(rng, return_sequences=True), _input(rng)
    results = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        y, pullback = fastlstm.vjp(layer, x)
        results.append([y, pullback(y)[0]])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    model = Sequential([layer])
    whole = model(x)
    for row in range(B):
        np.testing.assert_array_equal(model(x[row : row + 1]), whole[row : row + 1])
    stream = model.stream(B)
    for t in range(T):
        np.testing.assert_array_equal(stream.step(x[:, t]), whole[:, t])
    stream.reset()
    np.testing.assert_array_equal(stream.step(x[:, 0]), whole[:, 0])


def test_checkpoints_and_windows(rng):
    """Of long sequences, where the last state of a stack is its output."""
    x = rng.standard_normal((3, 64, 2)).astype(np.float32)
    for sequences in (False, True):
        model = Sequential(
            [Input((None, 2)), RNN([GRUCell(5), LSTMCell(6)], return_sequences=sequences), Dense(1)]
        )
        model.compile("adam", "mse")
        y = np.ones(model(x).shape)
        loss, expected = model.value_and_grad(x, y)
        other, got = model.value_and_grad(x, y, bptt="checkpoint")
        assert loss == other
        for one, two in zip(got, expected, strict=True):
            np.testing.assert_array_equal(one, two)
    history = model.fit(x, y, epochs=2, bptt=16, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]


def test_stateful(rng):
    layer, x = _stack(rng, stateful=True, return_sequences=True), _input(rng)
    whole = layer(x)
    layer.reset_states()
    parts = [layer(x[:, :3]), layer(x[:, 3:])]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_files_and_copies(tmp_path, rng):
    ids = rng.integers(0, 20, (6, 9))
    model = Sequential([Input((None,)), Embedding(20, 4), RNN(_cells()), Dense(2)])
    model.compile("adam", "mse")
    model.fit(ids, rng.random((6, 2)), verbose=0)
    model.save(tmp_path / "model")
    names = [name for name in model.weight_names if "/cell_" in name]
    assert len(names) == 11
    assert names[0].endswith("/cell_0/kernel")
    for copied in (
        load_model(tmp_path / "model"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
    ):
        np.testing.assert_array_equal(copied(ids), model(ids))
        assert copied.weight_names == model.weight_names
        copied.fit(ids, rng.random((6, 2)), verbose=0)
        assert np.any(copied(ids) != model(ids))
    layer = _stack(rng, return_sequences=True, unroll=True)
    again = RNN.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build((None, D))
    again.set_weights(layer.get_weights())
    x = _input(rng)
    np.testing.assert_array_equal(again(x), layer(x))


def test_in_an_ensemble(rng):
    model = Sequential([Input((None, D)), RNN([LSTMCell(4), GRUCell(3)]), Dense(1)])
    model.compile("adam", "mse")
    ensemble = Ensemble(model, 3)
    x = rng.standard_normal((3, 8, T, D)).astype(np.float32)
    losses = ensemble.fit(x, np.ones((3, 8, 1)), epochs=30, verbose=0).history["loss"]
    assert np.all(np.asarray(losses[-1]) < np.asarray(losses[0]))


def test_gradients_on_their_way_back_through_a_stack(rng):
    x, y = rng.standard_normal((B, T, D)), rng.standard_normal((B, 3))
    found = []
    for layers in ([RNN([LSTMCell(4), GRUCell(3)])], [LSTM(4, return_sequences=True), GRU(3)]):
        fastlstm.utils.set_random_seed(2)
        model = Sequential([Input((T, D)), *layers])
        model.compile("adam", "mse")
        found.append(gradients(model, x, y))
    assert [name.split("/")[1] for name in found[0]] == ["cell_0", "cell_1"]
    for one, other in zip(found[0].values(), found[1].values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_dropout_inside_a_stack(rng):
    """Each layer drops what it is given, in training alone."""
    layer = RNN([LSTMCell(4, dropout=0.5), GRUCell(30, dropout=0.5)], return_sequences=True)
    x = _input(rng)
    np.testing.assert_array_equal(layer(x), layer(x))
    assert np.any(layer(x, training=True) != layer(x, training=True))


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: RNN(LSTMCell), TypeError, ["with its arguments", "got LSTMCell"]),
        (lambda: RNN(LSTM(3)), TypeError, ["LSTMCell", "got LSTM", "CONTRIBUTING.md"]),
        (lambda: RNN([]), ValueError, ["at least one cell"]),
        (lambda: RNN([LSTMCell(3), 4]), TypeError, ["got int"]),
        (lambda: RNN([LSTMCell(3)] * 2), ValueError, ["twice", "make one for each"]),
        (lambda: LSTMCell(3, return_sequences=True), TypeError, ["LSTMCell", "RNN(LSTMCell(32)"]),
        (lambda: LSTMCell(0), ValueError, ["units", "0"]),
        (lambda: GRUCell(3, actvation="relu"), TypeError, ["GRU", "'actvation'"]),
        (lambda: RNN([LSTMCell(3), GRUCell(3)], kernel=1), TypeError, ["'kernel'"]),
        (lambda: Bidirectional(RNN([GRUCell(3), GRUCell(3)])), TypeError, ["Bidirectional", "RNN"]),
        (
            lambda: RNN([GRUCell(3), GRUCell(3)])(np.zeros((2, 4, 3)), initial_state=[np.zeros(1)]),
            ValueError,
            ["2 arrays", "got 1"],
        ),
        (lambda: RNN([GRUCell(3), GRUCell(3)])(np.zeros((2, 4))), ValueError, ["feature axis"]),
    ],
)
def test_what_does_not_fit_is_said(make, kind, words):
    with pytest.raises(kind) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_states_in_graphs(rng):
    """An encoder's states start a decoder, and all weights are trained through them."""
    x, z = rng.standard_normal((2, B, T, D)).astype(np.float32)
    stacks = [RNN([LSTMCell(6), GRUCell(5)], return_state=True), RNN([LSTMCell(6), GRUCell(5)])]
    layers = [
        LSTM(6, return_sequences=True, return_state=True),
        GRU(5, return_state=True),
        LSTM(6, return_sequences=True),
        GRU(5),
    ]
    given, other = Input((None, D)), Input((None, D))
    _, *states = stacks[0](given)
    assert [len(part) for part in states] == [2, 1]
    model = Model([given, other], stacks[1](other, initial_state=states))
    y, *states = layers[0](given)
    _, last = layers[1](y)
    y = layers[2](other, initial_state=states)
    expected = Model([given, other], layers[3](y, initial_state=[last]))
    weights = [weight for stack in stacks for weight in stack.get_weights()]
    for layer in layers:
        layer.set_weights(weights[:3])
        del weights[:3]
    np.testing.assert_array_equal(model([x, z]), expected([x, z]))
    gradients = []
    for one, parts in ((model, stacks), (expected, layers)):
        one.compile("adam", "mse")
        one.value_and_grad([x, z], np.ones((B, 5)))
        gradients.append([grad.copy() for part in parts for grad in part.grads()])
    assert len(gradients[0]) == 12
    for got, wanted in zip(*gradients, strict=True):
        np.testing.assert_array_equal(got, wanted)
        assert np.any(got != 0)


def test_states_in_a_file(tmp_path, rng):
    x = Input((None, D))
    y, (h, c), (g,) = RNN([LSTMCell(5), GRUCell(6)], return_state=True)(x)
    model = Model(x, [y, g, Dense(2)(c), h])
    model.save(tmp_path / "model")
    values = rng.standard_normal((B, T, D)).astype(np.float32)
    for one, other in zip(load_model(tmp_path / "model")(values), model(values), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_stack_called_twice_has_one_set_of_weights(rng):
    layer = RNN([LSTMCell(4), GRUCell(3)])
    a, b = Input((T, D)), Input((T, D))
    model = Model([a, b], Concatenate()([layer(a), layer(b)]))
    model.compile("adam", "mse")
    x, z = rng.standard_normal((2, B, T, D)).astype(np.float32)
    y = np.ones((B, 6), np.float32)
    _, both = model.value_and_grad([x, z], y)
    alone = Model(a, layer(a))
    alone.compile("adam", "mse")
    parts = [alone.value_and_grad(part, y[:, :3])[1] for part in (x, z)]
    for one, two, sums in zip(*parts, both, strict=True):
        np.testing.assert_allclose((one + two) / 2, sums, rtol=1e-4, atol=1e-6)


def test_frozen_stacks(tmp_path, rng):
    layer = RNN([LSTMCell(4), GRUCell(3)], input_shape=(T, D))
    model = Sequential([layer, Dense(1)])
    layer.layers[0].trainable = False
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(_input(rng), np.ones((B, 1)), verbose=0)
    same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert same == [True] * 3 + [False] * 5
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.layers[0].trained == layer.trained == [False] * 3 + [True] * 3
    layer.trainable = False
    assert not any(layer.trained)
