"""Layers that go backwards, and both directions together."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Model, Sequential
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
    MinLSTM,
    SimpleRNN,
)
from fastlstm.models import load_model
from tests.reference import finite

CELLS = [LSTM, GRU, SimpleRNN, SLSTM, CoupledLSTM, MinGRU, MinLSTM]
MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
}
B, T, D, U = 5, 7, 3, 6


def _built(layer, features=D):
    layer.build((None, features))
    return layer


def _random_weights(rng, layer):
    layer.set_weights([0.5 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


def _like(layer, **changes):
    """A layer with the same settings, but for the changes, and the same weights."""
    made = type(layer).from_config({**layer.get_config(), **changes})
    _built(made).set_weights(layer.get_weights())
    return made


# -- going backwards ----------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("kind", CELLS)
def test_backwards_is_forwards_on_what_is_turned(kind, sequences, masked, rng):
    layer = kind(U, go_backwards=True, return_sequences=sequences, return_state=True)
    _random_weights(rng, _built(layer))
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    mask = rng.random((B, T)) < 0.6 if masked else None
    turned = None if mask is None else mask[:, ::-1]
    forwards = _like(layer, go_backwards=False)
    for got, expected in zip(layer(x, mask=mask), forwards(x[:, ::-1], mask=turned), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_of_backwards(kind, rng):
    layer = kind(U, go_backwards=True, return_sequences=True, return_state=True, dtype="float64")
    _random_weights(rng, _built(layer))
    x = rng.standard_normal((B, T, D))
    outputs, pull = fastlstm.vjp(layer, x)
    d_outputs = [rng.standard_normal(out.shape) for out in outputs]
    d_x, d_states, d_weights = pull(d_outputs)
    _, other = fastlstm.vjp(_like(layer, go_backwards=False), x[:, ::-1].copy())
    expected = other(d_outputs)
    np.testing.assert_array_equal(d_x, expected[0][:, ::-1])
    for got, wanted in zip([*d_states, *d_weights], [*expected[1], *expected[2]], strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_stack_with_one_that_goes_backwards(rng):
    """In a wavefront's shape: what goes backwards needs all of the layer below first."""
    layers = [LSTM(8, return_sequences=True, go_backwards=backwards) for backwards in (0, 1, 0)]
    model = Sequential([Input((None, D)), *layers])
    x = rng.standard_normal((4, 100, D)).astype(np.float32)
    y = x
    for layer in layers:
        y = layer(y)
    np.testing.assert_array_equal(model(x), y)


# -- both directions ----------------------------------------------------------------------------


def _both(rng, kind, mode="concat", dtype="float32", **options):
    layer = Bidirectional(kind(U, dtype=dtype, **options), merge_mode=mode)
    return _random_weights(rng, _built(layer))


def _expected(layer, x, mask=None):
    """Outputs of both directions, the second's sequences turned; and all states."""
    results = [_like(part, return_state=True)(x, mask=mask) for part in layer.layers]
    (first, *states), (second, *others) = results
    if layer.return_sequences:
        counts = np.ones(x.shape[:2]) if mask is None else mask
        first, second = (np.where(counts[..., None], y, 0) for y in (first, second[:, ::-1]))
    return first, second, [*states, *others]


@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("mode", [*MERGES, None])
@pytest.mark.parametrize("kind", CELLS)
def test_both_directions(kind, mode, sequences, masked, rng):
    layer = _both(rng, kind, mode, return_sequences=sequences, return_state=True)
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    mask = rng.random((B, T)) < 0.6 if masked else None
    first, second, states = _expected(layer, x, mask)
    merged = [first, second] if mode is None else [MERGES[mode](first, second)]
    for threads in (1, 2, 3):
        set_num_threads(threads)
        for got, wanted in zip(layer(x, mask=mask), [*merged, *states], strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("mode", [*MERGES, None])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_gradients(kind, mode, sequences, rng):
    """Of the input, the initial states and the weights, along random directions."""
    layer = _both(rng, kind, mode, "float64", return_sequences=sequences, return_state=True)
    x = rng.standard_normal((2, 4, D))
    count = sum(part.cell.states for part in layer.layers)
    states = [rng.standard_normal((2, U)) for _ in range(count)]
    mask = np.array([[1, 1, 0, 1], [1, 1, 1, 0]], bool)
    outputs, pull = fastlstm.vjp(layer, x, initial_state=states, mask=mask)
    d_outputs = [rng.standard_normal(out.shape) for out in outputs]
    d_x, d_states, d_weights = pull(d_outputs)
    weights = layer.get_weights()
    arrays, gradients = [x, *states, *weights], [d_x, *d_states, *d_weights]

    def value():
        layer.set_weights(weights)
        results = layer(x, initial_state=states, mask=mask)
        return sum(np.sum(d * y) for d, y in zip(d_outputs, results, strict=True))

    for array, got in zip(arrays, gradients, strict=True):
        direction = rng.standard_normal(array.shape)
        expected = finite.slope(value, [array], [direction])
        assert np.sum(got * direction) == pytest.approx(expected, rel=1e-6, abs=1e-8)


# -- in graphs ----------------------------------------------------------------------------------


def _in_graph(layer, outputs=slice(None)):
    """A model of the layer and the states it starts from."""
    x = Input((None, D))
    states = [Input((units,)) for units in layer.state_sizes]
    made = layer(x, initial_state=states)
    return Model([x, *states], (made if isinstance(made, list) else [made])[outputs])


@pytest.mark.parametrize("states", [False, True], ids=["", "states"])
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("mode", ["concat", None])
def test_a_graph_gives_what_a_call_gives(mode, sequences, states, rng):
    layer = _both(rng, LSTM, mode, return_sequences=sequences, return_state=states)
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    mask = rng.random((B, T)) < 0.6
    start = [rng.standard_normal((B, U)).astype(np.float32) for _ in range(4)]
    wanted = layer(x, initial_state=start, mask=mask)
    wanted = wanted if isinstance(wanted, list) else [wanted]
    model = _in_graph(layer)
    alone = Model(model.inputs, model.outputs[:1])
    for threads in (1, 2):
        set_num_threads(threads)
        got = model([x, *start], mask=mask)
        for one, other in zip(got if isinstance(got, list) else [got], wanted, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(alone([x, *start], mask=mask), wanted[0])


@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize("outputs", [slice(None), slice(1, 2), slice(1, 4)])
def test_gradients_in_a_graph(outputs, sequences, rng):
    """Of all that a graph takes, from all or some of what the layer gives, over masked steps."""
    options = {"return_sequences": sequences, "return_state": True}
    layer = _both(rng, LSTM, None, "float64", **options)
    model = _in_graph(layer, outputs)
    xs = [rng.standard_normal((2, 4, D)), *(rng.standard_normal((2, U)) for _ in range(4))]
    mask = np.array([[1, 1, 0, 1], [1, 1, 1, 0]], bool)
    made, pull = fastlstm.vjp(model, xs, mask=mask)
    made = made if isinstance(made, list) else [made]
    d_outputs = [rng.standard_normal(y.shape) for y in made]
    d_xs, _, d_weights = pull(d_outputs)
    weights = model.get_weights()

    def value():
        model.set_weights(weights)
        results = model(xs, mask=mask)
        results = results if isinstance(results, list) else [results]
        return sum(np.sum(d * y) for d, y in zip(d_outputs, results, strict=True))

    for array, got in zip([*xs, *weights], [*d_xs, *d_weights], strict=True):
        direction = rng.standard_normal(array.shape)
        expected = finite.slope(value, [array], [direction])
        assert np.sum(got * direction) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_a_lone_output_of_a_layer_that_gives_states(rng):
    """A model gives what it was said to give."""
    x = Input((None, D))
    y, *_ = LSTM(U, return_sequences=True, return_state=True)(x)
    model = Model(x, y)
    values = rng.standard_normal((B, T, D)).astype(np.float32)
    made, pull = fastlstm.vjp(model, values)
    np.testing.assert_array_equal(model(values), model.predict(values, verbose=0))
    np.testing.assert_array_equal(made, model(values))
    _, _, (d_kernel, *_) = pull(np.ones_like(made))
    assert d_kernel.any()


def _tagger(threads=2):
    set_num_threads(threads)
    fastlstm.utils.set_random_seed(3)
    model = Sequential(
        [
            Input((None,)),
            Embedding(50, 8),
            Bidirectional(LSTM(U, return_sequences=True)),
            Bidirectional(GRU(33, return_sequences=True), merge_mode="sum"),
            Dense(4, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_training_has_the_same_bits_whatever_the_threads(rng):
    ids = rng.integers(0, 50, (24, 11))
    results = []
    for threads in (1, 2, 3):
        model = _tagger(threads)
        history = model.fit(ids, ids % 4, epochs=3, batch_size=8, verbose=0, shuffle=False)
        results.append((history.history, [*model.get_weights(), model.predict(ids, verbose=0)]))
        np.testing.assert_array_equal(model(ids[:5]), results[0][1][-1][:5])
    for losses, arrays in results[1:]:
        assert losses == results[0][0]
        for got, wanted in zip(arrays, results[0][1], strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_it_learns_what_one_direction_cannot(rng):
    """Whether the last number is positive, asked at the first step."""
    x = rng.standard_normal((256, 6, 1)).astype(np.float32)
    y = np.repeat((x[:, -1:] > 0), 6, axis=1).astype(np.float32)
    model = Sequential(
        [Bidirectional(LSTM(8, return_sequences=True), input_shape=(None, 1)), Dense(1, "sigmoid")]
    )
    model.compile(fastlstm.optimizers.Adam(0.02), "binary_crossentropy")
    model.fit(x, y, epochs=30, verbose=0)
    assert np.mean((model(x)[:, 0] > 0.5) == (y[:, 0] > 0.5)) > 0.95


def test_files(tmp_path, rng):
    model = _tagger()
    ids = rng.integers(0, 50, (6, 9))
    model.fit(ids, ids % 4, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded(ids), model(ids))
    assert loaded.weight_names == model.weight_names
    assert any("/backward/recurrent_kernel" in name for name in model.weight_names)
    loaded.fit(ids, ids % 4, verbose=0)


def test_the_parts_follow_the_whole_and_the_whole_its_parts(rng):
    layer = _both(rng, LSTM, return_sequences=True)
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    before = layer(x)
    np.testing.assert_array_equal(layer.forward_layer(x), before[..., :U])
    layer.set_weights([0.5 * w for w in layer.get_weights()])
    after = layer(x)
    assert np.any(after != before)
    np.testing.assert_array_equal(layer.forward_layer(x), after[..., :U])
    layer.backward_layer.set_weights([0 * w for w in layer.backward_layer.get_weights()])
    np.testing.assert_array_equal(layer(x)[..., U:], 0)
    np.testing.assert_array_equal(layer(x)[..., :U], after[..., :U])


def test_arguments_of_keras_that_change_nothing():
    GRU(3, reset_after=True)
    LSTM(
        3, recurrent_dropout=0.0, kernel_regularizer=None, seed=None, unroll=True, implementation=2
    )


def test_a_backward_layer_of_another_kind(rng):
    layer = Bidirectional(LSTM(4), backward_layer=GRU(3, go_backwards=True))
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    assert layer(x).shape == (B, 7)
    copied = Bidirectional.from_config(layer.get_config())
    copied.build((None, D))
    copied.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copied(x), layer(x))


def test_stateful(rng):
    """As in Keras, each direction goes on from its own last states."""
    layer = _both(rng, LSTM, stateful=True, return_sequences=True)
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    first, again = layer(x), layer(x)
    assert np.any(first != again)
    layer.reset_states()
    np.testing.assert_array_equal(layer(x), first)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: LSTM(3, recurrent_dropout=1.5), ValueError, ["LSTM recurrent_dropout"]),
        (lambda: GRU(3, time_major=True), TypeError, ["GRU", "swapaxes"]),
        (lambda: SimpleRNN(3, go_backward=True), TypeError, ["'go_backward'", "'go_backwards'"]),
        (lambda: Bidirectional(Dense(3)), TypeError, ["recurrent layer", "Dense"]),
        (lambda: Bidirectional(LSTM(3), merge_mode="max"), ValueError, ["concat", "max"]),
        (lambda: Bidirectional(LSTM(3), backward_layer=LSTM(3)), ValueError, ["go_backwards"]),
        (
            lambda: Bidirectional(LSTM(3), "sum", backward_layer=LSTM(4, go_backwards=True)),
            ValueError,
            ["units", "3", "4"],
        ),
        (
            lambda: Bidirectional(
                LSTM(3), backward_layer=LSTM(3, go_backwards=True, return_sequences=True)
            ),
            ValueError,
            ["return_sequences"],
        ),
        (lambda: Bidirectional(_built(LSTM(3))), ValueError, ["weights"]),
        (
            lambda: Sequential([Input((None, 2)), Bidirectional(LSTM(3), merge_mode=None)]),
            ValueError,
            ["merge_mode=None"],
        ),
        (
            lambda: Sequential([Input((None, 2)), Bidirectional(LSTM(3))]).stream(),
            ValueError,
            ["stream", "end of the sequence"],
        ),
        (
            lambda: _tagger().fit(np.zeros((4, 5), int), np.zeros((4, 5), int), bptt="checkpoint"),
            ValueError,
            ["checkpoint", "bptt='full'"],
        ),
        (
            lambda: Bidirectional(LSTM(3))(np.zeros((2, 4, 3)), initial_state=[np.zeros((2, 3))]),
            ValueError,
            ["4 arrays"],
        ),
    ],
)
def test_what_does_not_fit_is_said(make, kind, words):
    with pytest.raises(kind) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
