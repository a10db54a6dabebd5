"""Layers and models at every step: of vectors, and of steps that are sequences themselves."""

from __future__ import annotations

import copy
import os
import pickle
import warnings

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, Sequential, vjp
from fastlstm.layers import (
    CRF,
    GRU,
    LSTM,
    Add,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    SpatialDropout1D,
    TimeDistributed,
)
from fastlstm.models import Ensemble, clone_model, load_model
from tests.reference import finite

os.environ.setdefault("KERAS_BACKEND", "torch")

# Keras' own way to NumPy is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

B, S, W, D, WORDS = 4, 5, 6, 3, 20


@pytest.fixture(scope="module")
def keras():
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


def _vectors(api, steps=S):
    """A model of layers for vectors, after a mask."""
    of = api.layers
    inner = api.Sequential(
        [api.Input((D,)), of.Dense(6, "tanh"), of.Dropout(0.0), of.Dense(4)], name="inner"
    )
    layers = [of.Masking(), of.TimeDistributed(inner), of.LSTM(5), of.Dense(1)]
    return api.Sequential([api.Input((steps, D)), *layers])


def _across(api, steps=S):
    """A vector that is made a sequence inside, by a graph that branches."""
    of = api.layers
    x = api.Input((D,), name="step")
    y = of.GRU(4, return_sequences=True)(of.RepeatVector(3)(x))
    both = of.Concatenate()([of.LSTM(3)(y), of.Dense(2)(x)])
    inner = api.Model(x, of.Dense(4)(both), name="inner")
    series = api.Input((steps, D), name="series")
    return api.Model(series, of.Dense(2)(of.TimeDistributed(inner, name="each")(series)))


def _sentences(api, steps=S):
    """Words to sentences, sentences to a text."""
    of = api.layers
    inner = api.Sequential(
        [
            api.Input((W, D)),
            of.Conv1D(4, 3, activation="tanh"),
            of.Bidirectional(of.LSTM(3, return_sequences=True)),
            of.LSTM(4),
        ],
        name="inner",
    )
    layers = [of.TimeDistributed(inner), of.GRU(5, return_sequences=True), of.Dense(1)]
    return api.Sequential([api.Input((steps, W, D)), *layers])


def _ids(api, steps=S):
    """The same of ids, some of which are padding."""
    of = api.layers
    inner = api.Sequential(
        [
            api.Input((W,), dtype="int32"),
            of.Embedding(WORDS, 4, mask_zero=True),
            of.GRU(4, return_sequences=True),
            of.LSTM(3),
            of.Dense(4, "tanh"),
        ],
        name="inner",
    )
    layers = [of.TimeDistributed(inner), of.LSTM(5), of.Dense(1)]
    return api.Sequential([api.Input((steps, W), dtype="int32"), *layers])


def _masked_words(api, steps=S):
    of = api.layers
    inner = api.Sequential([api.Input((W, D)), of.Masking(), of.LSTM(4)], name="inner")
    return api.Sequential(
        [api.Input((steps, W, D)), of.TimeDistributed(inner), of.LSTM(3), of.Dense(1)]
    )


def _layers(api, steps=S):
    """Layers as they are, of which two see the same input."""
    of = api.layers
    x = api.Input((steps, W, D), name="x")
    lstm = of.TimeDistributed(of.Bidirectional(of.LSTM(2)), name="both")
    mean = of.TimeDistributed(of.GlobalAveragePooling1D(), name="mean")
    seen = of.Concatenate()([lstm(x), mean(x), of.TimeDistributed(of.Flatten(), name="all")(x)])
    return api.Model(x, of.Dense(1)(of.LSTM(3)(seen)))


def _twins(api, steps=S):
    """One encoder for two texts."""
    of = api.layers
    inner = api.Sequential([api.Input((W, D)), of.LSTM(4)], name="inner")
    first, second = api.Input((steps, W, D), name="first"), api.Input((steps, W, D), name="second")
    each = of.TimeDistributed(inner, name="each")
    both = [of.GlobalAveragePooling1D()(each(text)) for text in (first, second)]
    return api.Model([first, second], of.Dense(1)(of.Multiply()(both)))


def _one_by_one(api, steps=S):
    """What takes each step goes through it layer by layer."""
    of, each = api.layers, api.layers.TimeDistributed
    inside = [of.Conv1D(4, 3, activation="tanh"), of.Dense(5, "tanh"), of.MaxPooling1D(2)]
    inside += [of.GRU(3, return_sequences=True), of.Flatten()]
    return api.Sequential([api.Input((steps, W, D)), *map(each, inside), of.LSTM(4), of.Dense(1)])


MODELS = [_vectors, _across, _sentences, _ids, _masked_words, _layers, _twins, _one_by_one]


def _data(make, rng, count=B):
    floats = rng.standard_normal((count, S, W, D)).astype(np.float32)
    if make in (_vectors, _across):
        x = floats[:, :, 0].copy()
        x[1, 3:] = x[2, :1] = 0
    elif make is _ids:
        x = rng.integers(1, WORDS, (count, S, W))
        x[1, 2, 3:] = x[2, 0, 2:] = x[0, :, -1] = 0
    elif make is _twins:
        x = [floats, floats[::-1].copy()]
    else:
        x = floats
        x[1, 2, 3:] = x[2, 0, 2:] = 0
    shape = {_across: (count, S, 2), _sentences: (count, S, 1)}.get(make, (count, 1))
    return x, rng.standard_normal(shape).astype(np.float32)


def _pair(make, keras):
    ours, theirs = make(fastlstm), make(keras)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


# -- against Keras --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MODELS)
def test_forward_and_gradients_are_those_of_keras(make, keras, rng):
    import torch

    ours, theirs = _pair(make, keras)
    x, _ = _data(make, rng)
    xs = x if isinstance(x, list) else [x]
    floats = xs[0].dtype.kind == "f"
    given = [torch.tensor(array, requires_grad=floats) for array in xs]
    y = theirs(given if len(given) > 1 else given[0])
    got, pull = vjp(ours, x)
    np.testing.assert_allclose(got, y.detach().numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours.predict(x, verbose=0), got, rtol=1e-5, atol=1e-7)
    d_y = rng.standard_normal(got.shape).astype(np.float32)
    y.backward(torch.tensor(d_y))
    d_x, _, d_weights = pull(d_y)
    for grad, variable in zip(d_weights, theirs.trainable_variables, strict=True):
        expected = variable.value.grad.numpy()
        np.testing.assert_allclose(grad, expected, rtol=1e-3, atol=1e-5, err_msg=variable.path)
    if floats:
        for grad, array in zip(d_x if len(xs) > 1 else [d_x], given, strict=True):
            np.testing.assert_allclose(grad, array.grad.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
def test_training_goes_as_in_keras(make, keras, rng):
    ours, theirs = _pair(make, keras)
    for api, model in ((fastlstm, ours), (keras, theirs)):
        model.compile(api.optimizers.Adam(0.01, epsilon=1e-3), "mse")
    x, y = _data(make, rng)
    for step in range(12):
        expected = float(theirs.train_on_batch(x, y))
        assert ours.train_on_batch(x, y) == pytest.approx(expected, rel=1e-4), f"step {step}"
    for got, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=2e-4)


def test_any_number_of_steps_and_words(keras, rng):
    inner = Sequential([Input((None, D)), LSTM(4)])
    model = Sequential([Input((None, None, D)), TimeDistributed(inner), LSTM(3)])
    lstm = keras.layers.TimeDistributed(keras.layers.LSTM(4))
    theirs = keras.Sequential([keras.Input((None, None, D)), lstm, keras.layers.LSTM(3)])
    theirs.set_weights(model.get_weights())
    for steps, words in ((2, 3), (7, 5), (1, 1)):
        x = rng.standard_normal((B, steps, words, D)).astype(np.float32)
        np.testing.assert_allclose(model(x), theirs(x).detach().numpy(), rtol=1e-4, atol=1e-6)


# -- against itself --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.usefixtures("float64")
def test_gradients_are_slopes(make, rng):
    model = make(fastlstm)
    model.compile("sgd", "mse")
    x, y = _data(make, rng)
    _, grads = model.value_and_grad(x, y)
    weights = model.get_weights()
    moves = [rng.standard_normal(weight.shape) for weight in weights]

    def loss():
        model.set_weights(weights)
        return model.value_and_grad(x, y)[0]

    expected = finite.slope(loss, weights, moves)
    got = sum(float((grad * move).sum()) for grad, move in zip(grads, moves, strict=True))
    assert got == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("make", [_vectors, _sentences, _ids])
def test_the_same_bits_for_threads_and_batches(make, rng):
    model = make(fastlstm)
    x, y = _data(make, rng, 12)
    model.compile("adam", "mse")
    fresh, results = model.get_weights(), []
    for threads in (1, 2):
        fastlstm.set_num_threads(threads)
        model.set_weights(fresh)
        model.compile("adam", "mse")
        outputs = model.predict(x, verbose=0, batch_size=5)
        np.testing.assert_array_equal(outputs, model.predict(x, verbose=0))
        model.fit(x, y, epochs=2, batch_size=5, shuffle=False, verbose=0)
        results.append([outputs, *model.get_weights()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("serial")
def test_it_is_the_layer_at_every_step(rng):
    x, _ = _data(_sentences, rng)
    lstm = LSTM(4)
    layer = TimeDistributed(lstm)
    y = layer(x)
    assert y.shape == (B, S, 4)
    np.testing.assert_array_equal(y, np.stack([lstm(x[:, t]) for t in range(S)], 1))
    ids, _ = _data(_ids, rng)
    model = Sequential([Embedding(WORDS, 4, mask_zero=True), GRU(3)])
    y = TimeDistributed(model)(ids)
    np.testing.assert_array_equal(y, np.stack([model(ids[:, t]) for t in range(S)], 1))
    with pytest.raises(ValueError, match="ids from 0 to 19, got 20"):
        TimeDistributed(Sequential([Embedding(WORDS, 4), GRU(3)]))(np.full((2, 3, 4), 20))


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("make", MODELS)
def test_calls_again_and_other_shapes(make, rng):
    """The same shape takes a shorter way from the second call on."""
    model = make(fastlstm, None)
    x, _ = _data(make, rng)
    several = isinstance(x, list)
    for steps in (S, S, 2, S, S):
        x = [array[::-1].copy() for array in x] if several else x[::-1].copy()
        part = [array[:, :steps].copy() for array in x] if several else x[:, :steps].copy()
        np.testing.assert_array_equal(model(part), model.predict(part, verbose=0))


@pytest.mark.usefixtures("serial")
def test_a_stream_of_sentences(rng):
    for make in (_sentences, _ids):
        encoder = copy.deepcopy(make(fastlstm).layers[0].layer)
        layers = [TimeDistributed(encoder), LSTM(5, return_sequences=True), Dense(1)]
        shape = (None, W) if make is _ids else (None, W, D)
        model = Sequential([Input(shape), *layers])
        x, _ = _data(make, rng)
        stream, y = model.stream(B), model.predict(x, verbose=0)
        for t in range(S):
            np.testing.assert_array_equal(stream.step(x[:, t]), y[:, t])
        with pytest.raises(ValueError, match=r"stream.step expects x of shape"):
            stream.step(x[:, 0, :2])
    endless = Sequential([Input((None, None, D)), TimeDistributed(LSTM(3)), LSTM(2)])
    with pytest.raises(ValueError, match="size of a step"):
        endless.stream()


@pytest.mark.usefixtures("serial")
def test_several_models_at_once(rng):
    model = _sentences(fastlstm)
    model.compile("sgd", "mse")
    ensemble = Ensemble(model, 2)
    x, y = _data(_sentences, rng)
    both = [np.stack([array, 2 * array]) for array in (x, y)]
    losses = []
    for number in range(2):
        model.set_weights([weight[number] for weight in ensemble.get_weights()])
        losses.append(model.train_on_batch(both[0][number], both[1][number]))
    np.testing.assert_allclose(ensemble.train_on_batch(*both), losses, rtol=1e-6)


@pytest.mark.usefixtures("serial")
def test_a_mask_of_steps_goes_on(rng):
    """Sentences that do not count are none to the layers above."""
    x, y = _data(_ids, rng)
    model = _ids(fastlstm, None)
    lengths = np.array([5, 3, 1, 4])
    got = model.predict(x, verbose=0, lengths=lengths)
    for row, length in enumerate(lengths):
        alone = model.predict(x[row : row + 1, :length], verbose=0)
        np.testing.assert_array_equal(got[row : row + 1], alone)
    model.compile("sgd", "mse")
    loss = model.train_on_batch(x, y, lengths=lengths)
    assert loss == pytest.approx(((got - y) ** 2).mean(), rel=1e-5)


@pytest.mark.usefixtures("serial")
def test_dropout_inside_draws_for_every_step():
    inner = Sequential([Input((8,)), Dropout(0.5)])
    y = TimeDistributed(inner)(np.ones((3, 4, 8), np.float32), training=True)
    assert set(np.unique(y)) == {0.0, 2.0}
    rows = y.reshape(12, 8)
    assert len(np.unique(rows, axis=0)) > 8


@pytest.mark.usefixtures("serial")
def test_step_by_step_and_in_windows(rng):
    x, _ = _data(_vectors, rng)
    inner = Sequential([Input((D,)), Dense(6, "tanh"), Dense(4)])
    model = Sequential(
        [Input((None, D)), TimeDistributed(inner), LSTM(5, return_sequences=True), Dense(1)]
    )
    stream, y = model.stream(B), model.predict(x, verbose=0)
    for t in range(S):
        np.testing.assert_array_equal(stream.step(x[:, t]), y[:, t])
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(x, y + 1, bptt=2))
    with pytest.raises(ValueError, match=r"checkpoint.*'time_distributed.*use bptt='full'"):
        model.train_on_batch(x, y, bptt="checkpoint")
    pooled = _twins(fastlstm)
    pooled.compile("sgd", "mse")
    data = _data(_twins, rng)
    full, checkpoint = (pooled.value_and_grad(*data, bptt=b)[1] for b in ("full", "checkpoint"))
    for one, other in zip(full, checkpoint, strict=True):
        np.testing.assert_array_equal(one, other)


# -- as part of a model ----------------------------------------------------------------------------


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("how", ["loaded", "copied", "pickled", "cloned"])
def test_it_survives(make, how, rng, tmp_path):
    model, (x, y) = make(fastlstm), _data(make, rng)
    model.compile("adam", "mse")
    model.train_on_batch(x, y)
    if how == "cloned":
        again = clone_model(model)
        assert again.get_config() == model.get_config()
        again.set_weights(model.get_weights())
    elif how == "loaded":
        model.save(tmp_path / "model")
        again = load_model(tmp_path / "model")
        assert again.weight_names == model.weight_names
    else:
        again = copy.deepcopy(model) if how == "copied" else pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    if how != "cloned":
        assert again.train_on_batch(x, y) == model.train_on_batch(x, y)
        for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("serial")
def test_the_model_inside_follows(rng, tmp_path):
    """It is called and saved by itself, before and after training."""
    inner = Sequential([LSTM(4), Dense(3)], name="encoder")
    model = Sequential([Input((S, W, D)), TimeDistributed(inner, name="each"), GRU(3), Dense(1)])
    model.compile("sgd", "mse")
    x, y = _data(_masked_words, rng)
    before = inner.predict(x[:, 0], verbose=0)
    np.testing.assert_array_equal(model.get_layer("each")(x)[:, 0], before)
    model.fit(x, y, verbose=0, epochs=2)
    after = inner.predict(x[:, 0], verbose=0)
    assert (before != after).any()
    np.testing.assert_array_equal(model.get_layer("each")(x)[:, 0], after)
    inner.set_weights([weight * 0.5 for weight in inner.get_weights()])
    np.testing.assert_array_equal(model.get_layer("each")(x)[:, 0], inner(x[:, 0]))
    names = [name.partition("/")[0] for name in model.weight_names]
    assert names[:5] == ["each"] * 5
    assert len(set(model.weight_names)) == len(names)
    inner.save(tmp_path / "inner")
    inner.save_weights(tmp_path / "weights")
    alone = load_model(tmp_path / "inner")
    alone.load_weights(tmp_path / "weights")
    for other in (alone, copy.deepcopy(inner)):
        np.testing.assert_array_equal(other(x[:, 0]), inner(x[:, 0]))
        other.compile("sgd", "mse")
        other.fit(x[:, 0], np.zeros((B, 3)), verbose=0)
    with pytest.raises(ValueError, match=r"'encoder' is part of layer 'each'.*deepcopy"):
        inner.compile("sgd", "mse")


@pytest.mark.usefixtures("serial")
def test_one_that_was_trained_before(rng):
    encoder = Sequential([Input((W, D)), LSTM(4)])
    encoder.compile("sgd", "mse")
    x, y = _data(_masked_words, rng)
    encoder.fit(x[:, 0], np.zeros((B, 4)), verbose=0)
    weights, states = encoder.get_weights(), encoder.predict(x[:, 1], verbose=0)
    encoder.trainable = False
    model = Sequential([Input((S, W, D)), TimeDistributed(encoder), GRU(3), Dense(1)])
    np.testing.assert_array_equal(model.layers[0](x)[:, 1], states)
    model.compile("sgd", "mse")
    assert len(model.trainable_weights) == 5
    model.train_on_batch(x, y)
    for one, other in zip(weights, model.get_weights()[:3], strict=True):
        np.testing.assert_array_equal(one, other)
    encoder.trainable = True
    model.train_on_batch(x, y)
    assert (weights[0] != model.get_weights()[0]).any()


@pytest.mark.usefixtures("serial")
def test_memory_and_summary(rng):
    model = _sentences(fastlstm)
    model.compile("adam", "mse")
    assert model.memory_report(B).training.packed > 0
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert any("(TimeDistributed)" in line and "(None, 5, 4)" in line for line in lines)
    assert model.layers[0].layer.name == "inner"
    assert model.layers[0].get_weights()[0].shape == (3, D, 4)


@pytest.mark.usefixtures("serial")
def test_regularizers_inside_count(rng):
    def model(rate):
        lstm = LSTM(4, kernel_regularizer=fastlstm.regularizers.L2(rate))
        inner = Sequential([Input((W, D)), lstm])
        made = Sequential([Input((S, W, D)), TimeDistributed(inner), LSTM(3)])
        made.compile("sgd", "mse")
        return made

    plain, penalized = model(0.0), model(0.5)
    penalized.set_weights(plain.get_weights())
    x, y = _data(_masked_words, rng)[0], np.zeros((B, 3))
    penalty = 0.5 * (plain.get_weights()[0] ** 2).sum()
    got = penalized.evaluate(x, y, verbose=0) - plain.evaluate(x, y, verbose=0)
    assert got == pytest.approx(penalty, rel=1e-5)


def _two_inputs():
    a, b = Input((D,)), Input((D,))
    return Model([a, b], Dense(2)(Add()([a, b])))


@pytest.mark.parametrize(
    ("act", "error", "parts"),
    [
        (lambda: TimeDistributed(3), TypeError, ["a layer", "3"]),
        (lambda: TimeDistributed(Sequential()), TypeError, ["has layers"]),
        (lambda: TimeDistributed(_two_inputs()), ValueError, ["one input", "2 and 1"]),
        (lambda: TimeDistributed(BatchNormalization()), TypeError, ["LayerNormalization"]),
        (lambda: TimeDistributed(Sequential([Dense(2), BatchNormalization()])), TypeError,
         ["moments"]),
        (lambda: TimeDistributed(CRF(3)), TypeError, ["after TimeDistributed"]),
        (lambda: TimeDistributed(LSTM(3, stateful=True)), TypeError, ["stateful"]),
        (lambda: TimeDistributed(LSTM(3, return_state=True)), TypeError, ["return_state"]),
        (lambda: TimeDistributed(LSTM(3))(np.zeros((2, 3, 4))), ValueError,
         ["without TimeDistributed", "(2, 3, 4)"]),
        (lambda: TimeDistributed(SpatialDropout1D(0.1)), TypeError, ["SpatialDropout1D"]),
        (lambda: TimeDistributed(LSTM(3, return_sequences=True))(np.zeros((2, 3, 4, 5))),
         ValueError, ["a sequence for each step", "Flatten()"]),
        (lambda: TimeDistributed(Conv1D(3, 2))(np.zeros((2, 3, 4, 5))), ValueError,
         ["a sequence for each step"]),
        (lambda: TimeDistributed(Embedding(3, 2))(np.zeros((2, 3, 4), int)), ValueError,
         ["a sequence for each step"]),
        (lambda: TimeDistributed(Dense(3))(np.zeros((2, 3, 4, 5))), ValueError,
         ["a sequence for each step"]),
        (lambda: TimeDistributed(LSTM(3))(np.zeros((2, 3, 4, 5, 6))), ValueError,
         ["(2, 3, 4, 5, 6)"]),
        (lambda: TimeDistributed(LSTM(3))(np.zeros((2, 3))), ValueError, ["(2, 3)", "itself"]),
        (lambda: Dense(2)(Input((S, W, D))), ValueError, ["Dense"]),
        (lambda: LSTM(2)(Input((S, W, D))), ValueError, ["LSTM"]),
        (lambda: Add()([Input((S, W, D))] * 2), ValueError, ["Add"]),
        (lambda: GlobalAveragePooling1D()(Input((S, W, D))), ValueError, ["(None, 5, 6, 3)"]),
        (lambda: Bidirectional(LSTM(2))(Input((S, W, D))), ValueError, ["5, 6, 3)"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(act, error, parts):
    with pytest.raises(error) as caught:
        act()
    for part in parts:
        assert part in str(caught.value)
