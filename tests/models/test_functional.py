"""Models as graphs of layers: several inputs and outputs, shared layers, models in models."""

from __future__ import annotations

import copy
import os
import pickle
import threading
import warnings

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, Sequential, vjp
from fastlstm.layers import (
    GRU,
    LSTM,
    Add,
    Average,
    Bidirectional,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Maximum,
    Minimum,
    Multiply,
    RepeatVector,
    Subtract,
)
from fastlstm.models import Ensemble, load_model
from tests.reference import finite

T, B, D = 6, 5, 3


# -- graphs that people build, in the words of both libraries ----------------------------------


def _encoder_decoder(api):
    """Sequence to sequence with the encoder's states: Keras' own tutorial."""
    source, target = api.Input((None, D), name="source"), api.Input((None, 2), name="target")
    _, h, c = api.layers.LSTM(7, return_state=True)(source)
    sequence, _, _ = api.layers.LSTM(7, return_sequences=True, return_state=True)(
        target, initial_state=[h, c]
    )
    return api.Model([source, target], api.layers.Dense(4, activation="softmax")(sequence))


def _siamese(api):
    """One encoder for two texts, compared."""
    first, second = api.Input((None,), dtype="int32"), api.Input((None,), dtype="int32")
    words = api.layers.Embedding(20, 5, mask_zero=True)
    encoder = api.layers.Bidirectional(api.layers.GRU(4))
    a, b = encoder(words(first)), encoder(words(second))
    features = api.layers.Concatenate()(
        [
            api.layers.Multiply()([a, b]),
            api.layers.Subtract()([a, b]),
            api.layers.Maximum()([a, b]),
            api.layers.Minimum()([a, b]),
        ]
    )
    hidden = api.layers.Dense(6, activation="tanh")(features)
    return api.Model([first, second], api.layers.Dense(1, activation="sigmoid")(hidden))


def _residual(api):
    """Layers whose input is added to their output, and a gate over all features."""
    x = api.Input((None, D))
    y = api.layers.Dense(6)(x)
    for _ in range(2):
        y = api.layers.Add()([y, api.layers.LSTM(6, return_sequences=True)(y)])
    gate = api.layers.Dense(1, activation="sigmoid")(y)
    both = api.layers.Multiply()([y, gate])
    both = api.layers.Concatenate(axis=1)([both, api.layers.Average()([both, y])])
    return api.Model(x, api.layers.Dense(2)(both))


def _two_heads(api):
    """A class and a number of one sequence, and the hidden layer itself is an output."""
    x = api.Input((None, D))
    hidden = api.layers.LSTM(6, name="hidden")(x)
    number = api.layers.Dense(1, name="number")(hidden)
    kind = api.layers.Dense(3, activation="softmax", name="kind")(hidden)
    return api.Model(x, [number, kind, hidden])


def _nested(api):
    """A model that is called twice in another one."""
    x = api.Input((None, D))
    inner = api.Model(x, api.layers.Dense(4)(api.layers.SimpleRNN(5)(x)), name="inner")
    first, second = api.Input((None, D)), api.Input((None, D))
    both = api.layers.Concatenate()([inner(second), inner(first)])
    return api.Model([first, second], api.layers.Dense(1)(both))


def _both_ways(api):
    """Two directions over padding that go on apart, and on whose states two others go on."""
    words, series = api.Input((None,), dtype="int32"), api.Input((None, D))
    lstm, both = api.layers.LSTM, api.layers.Bidirectional
    known = api.layers.Embedding(20, 5, mask_zero=True)(words)
    layer = both(lstm(4, return_sequences=True, return_state=True), merge_mode=None)
    ahead, back, *states = layer(known)
    last = both(lstm(4), merge_mode="sum")(series, initial_state=states)
    first, second = both(lstm(3), merge_mode=None)(api.layers.Add()([ahead, back]))
    parts = [lstm(3)(ahead), lstm(3)(back), last, first, second]
    return api.Model([words, series], api.layers.Dense(2)(api.layers.Concatenate()(parts)))


def _floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def _encoder_decoder_data(rng):
    return [_floats(rng, 40, 5, D), _floats(rng, 40, 4, 2)], rng.integers(0, 4, (40, 4))


def _siamese_data(rng):
    texts = [rng.integers(0, 20, (40, 7)).astype(np.int32) for _ in range(2)]
    for text in texts:
        text[:, 0] = 1
    return texts, rng.integers(0, 2, (40, 1)).astype(np.float32)


def _residual_data(rng):
    return _floats(rng, 40, T, D), _floats(rng, 40, 2 * T, 2)


def _two_heads_data(rng):
    y = [_floats(rng, 40, 1), rng.integers(0, 3, 40), _floats(rng, 40, 6)]
    return _floats(rng, 40, T, D), y


def _nested_data(rng):
    return [_floats(rng, 40, T, D), _floats(rng, 40, T, D)], _floats(rng, 40, 1)


def _both_ways_data(rng):
    words = rng.integers(0, 20, (40, 7)).astype(np.int32)
    words[:, 0] = 1
    return [words, _floats(rng, 40, T, D)], _floats(rng, 40, 2)


CASES = {
    "encoder-decoder": (
        _encoder_decoder, _encoder_decoder_data, {"loss": "sparse_categorical_crossentropy"}
    ),
    "siamese": (_siamese, _siamese_data, {"loss": "binary_crossentropy"}),
    "residual": (_residual, _residual_data, {"loss": "mse"}),
    "two heads": (
        _two_heads, _two_heads_data,
        {
            "loss": ["mse", "sparse_categorical_crossentropy", "mae"],
            "loss_weights": [0.5, 2.0, 0.1],
        },
    ),
    "nested": (_nested, _nested_data, {"loss": "mse"}),
    "both ways": (_both_ways, _both_ways_data, {"loss": "mse"}),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def _as_list(values):
    return values if isinstance(values, list) else [values]


# -- beside Keras -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_learns_as_in_keras(case, keras, rng):
    make, data, settings = case
    theirs, ours = make(keras), make(fastlstm)
    shapes = [weight.shape for weight in theirs.get_weights()]
    assert [weight.shape for weight in ours.get_weights()] == shapes
    ours.set_weights(theirs.get_weights())
    x, y = data(rng)
    for expected, got in zip(
        _as_list(theirs.predict(x, verbose=0)), _as_list(ours.predict(x, verbose=0)), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    for model in (theirs, ours):
        model.compile(optimizer="adam", **settings)
    for step in range(20):
        theirs.reset_metrics()
        expected = theirs.train_on_batch(x, y, return_dict=True)
        got = ours.train_on_batch(x, y, return_dict=True)
        assert set(expected) <= set(got)
        for key, value in expected.items():
            np.testing.assert_allclose(got[key], value, rtol=1e-4, err_msg=f"{key}, step {step}")
    for expected, got in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)


# -- gradients ----------------------------------------------------------------------------------


@pytest.fixture
def float64():
    fastlstm.config.set_floatx("float64")
    yield
    fastlstm.config.set_floatx("float32")


def test_gradients(case, rng, float64):
    make, data, settings = case
    model = make(fastlstm)
    model.compile("sgd", **settings)
    x, y = data(rng)
    x, y = ([part[:4] for part in side] if isinstance(side, list) else side[:4] for side in (x, y))
    loss, grads = model.value_and_grad(x, y)
    weights = model.get_weights()
    directions = [rng.standard_normal(weight.shape) for weight in weights]

    def value():
        model.set_weights(weights)
        return model.test_on_batch(x, y, return_dict=True)["loss"]

    assert np.isclose(value(), loss, rtol=1e-12)
    expected = finite.slope(value, weights, directions)
    got = sum(np.vdot(grad, way) for grad, way in zip(grads, directions, strict=True))
    assert np.isclose(got, expected, rtol=1e-5)
    for number, way in enumerate(directions):
        alone = [way if place == number else np.zeros_like(other)
                 for place, other in enumerate(directions)]  # fmt: skip
        expected = finite.slope(value, weights, alone)
        assert np.isclose(np.vdot(grads[number], way), expected, rtol=1e-4, atol=1e-8)


MERGES = {
    "add": (Add, np.add), "subtract": (Subtract, np.subtract), "multiply": (Multiply, np.multiply),
    "average": (Average, lambda a, b: (a + b) / 2), "maximum": (Maximum, np.maximum),
    "minimum": (Minimum, np.minimum),
    "concatenate": (Concatenate, lambda a, b: np.concatenate([a, b], axis=-1)),
    "one after the other": (lambda: Concatenate(axis=1), lambda a, b: np.concatenate([a, b], 1)),
}  # fmt: skip
SHAPES = {
    "steps": ((B, T, D), (B, T, D)),
    "vectors": ((B, D), (B, D)),
    "one feature": ((B, T, D), (B, T, 1)),
    "one step": ((B, 1, D), (B, T, D)),
}


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("merge", MERGES)
def test_merging(merge, shapes, rng, float64):
    make, how = MERGES[merge]
    arrays = [rng.standard_normal(shape) for shape in SHAPES[shapes]]
    if "one" in shapes and make not in (Add, Subtract, Multiply, Average, Maximum, Minimum):
        pytest.skip("it takes no one step or feature for all")
    layer = make()
    expected = how(*arrays)
    got, pull = vjp(layer, arrays)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    np.testing.assert_array_equal(layer(arrays), got)
    d_out = rng.standard_normal(expected.shape)
    d_xs, _, _ = pull(d_out)
    for array, d_x in zip(arrays, d_xs, strict=True):
        slopes = finite.gradient(lambda: float(np.vdot(how(*arrays), d_out)), array)
        np.testing.assert_allclose(d_x, slopes, atol=1e-8)


def test_equal_ones_share_the_gradient_of_the_largest(rng):
    x = rng.standard_normal((B, D)).astype(np.float32)
    _, pull = vjp(Maximum(), [x, x, x - 1])
    d_out = rng.standard_normal((B, D)).astype(np.float32)
    first, second, third = pull(d_out)[0]
    np.testing.assert_array_equal(first, d_out / 2)
    np.testing.assert_array_equal(second, first)
    assert not third.any()


def test_gradients_of_several_inputs(rng, float64):
    model = _encoder_decoder(fastlstm)
    x = [rng.standard_normal((B, 4, D)), rng.standard_normal((B, 3, 2))]
    y, pull = vjp(model, x)
    d_y = rng.standard_normal(y.shape)
    d_xs, _, _ = pull(d_y)
    for array, d_x in zip(x, d_xs, strict=True):
        slopes = finite.gradient(lambda: float(np.vdot(model(x), d_y)), array)
        np.testing.assert_allclose(d_x, slopes, rtol=1e-5, atol=1e-9)


# -- the engine's promises ----------------------------------------------------------------------


def _trained(make, data, settings, threads):
    fastlstm.set_num_threads(threads)
    fastlstm.utils.set_random_seed(3)
    model = make(fastlstm)
    model.compile("adam", **settings)
    x, y = data(np.random.default_rng(4))
    model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    return [*model.get_weights(), *_as_list(model.predict(x, batch_size=7, verbose=0))]


def test_same_bits_for_any_number_of_threads(case):
    before = fastlstm.get_num_threads()
    try:
        for one, more in zip(_trained(*case, 1), _trained(*case, 2), strict=True):
            np.testing.assert_array_equal(one, more)
    finally:
        fastlstm.set_num_threads(before)


def test_a_file_holds_all_of_it(case, rng, tmp_path):
    make, data, settings = case
    model = make(fastlstm)
    model.compile("adam", **settings)
    x, y = data(rng)
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.weight_names == model.weight_names
    for copied in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for first, second in zip(
            _as_list(copied.predict(x, verbose=0)), _as_list(model.predict(x, verbose=0)),
            strict=True,
        ):  # fmt: skip
            np.testing.assert_array_equal(first, second)
    histories = [
        other.fit(x, y, epochs=2, shuffle=False, verbose=0).history for other in (model, loaded)
    ]
    assert histories[0] == histories[1]
    again = Model.from_config(model.get_config())
    assert [weight.shape for weight in again.get_weights()] == [
        weight.shape for weight in model.get_weights()
    ]


def test_a_graph_in_line_is_a_sequential(rng):
    x = Input((None, D))
    model = Model(x, Dense(2)(LSTM(5)(LSTM(4, return_sequences=True)(x))))
    same = Sequential([Input((None, D)), LSTM(4, return_sequences=True), LSTM(5), Dense(2)])
    same.set_weights(model.get_weights())
    data = _floats(rng, 40, 64, D), _floats(rng, 40, 2)
    for each in (model, same):
        each.compile("adam", "mse")
    for bptt in ("full", "checkpoint"):
        histories = [
            each.fit(*data, epochs=2, shuffle=False, verbose=0, bptt=bptt).history["loss"]
            for each in (model, same)
        ]
        assert histories[0] == histories[1]
    streams = [each.stream(3) for each in (model, same)]
    for _ in range(3):
        step = _floats(rng, 3, D)
        np.testing.assert_array_equal(*[stream.step(step) for stream in streams])
    report = model.memory_report(8, 64)
    assert report.total == same.memory_report(8, 64).total


# -- layers and models in common ---------------------------------------------------------------


def test_models_with_layers_in_common(rng):
    """An encoder of its own follows the training of the whole, and the other way round."""
    x = Input((None, D))
    code = LSTM(4)(x)
    encoder = Model(x, code)
    whole = Model(x, Dense(D)(LSTM(5, return_sequences=True)(RepeatVector(T)(code))))
    for model, loss in ((whole, "mse"), (encoder, "mse")):
        model.compile("adam", loss)
    series = _floats(rng, 16, T, D)
    stream_before = encoder.predict(series, verbose=0)
    for _ in range(2):
        whole.fit(series, series, verbose=0)
        after = encoder.predict(series, verbose=0)
        assert not np.array_equal(after, stream_before)
        same = LSTM(4)
        same.build((None, D))
        same.set_weights(whole.get_weights()[:3])
        np.testing.assert_array_equal(same(series), after)
        encoder.fit(series, np.zeros((16, 4)), verbose=0)
        np.testing.assert_array_equal(encoder.get_weights()[0], whole.get_weights()[0])
        stream_before = encoder.predict(series, verbose=0)
    assert encoder.lock is whole.lock


def test_a_third_model_follows_too(rng):
    """It has the layers neither first nor last, and holds no weights of its own."""
    x = Input((None, D))
    code = LSTM(4)(x)
    first, third = Model(x, Dense(2)(code)), Model(x, code)
    second = Model(x, Dense(3)(code))
    series = _floats(rng, 8, T, D)
    layer = first.layers[1]
    for model in (first, second, first):
        before = third.predict(series, verbose=0)
        np.testing.assert_array_equal(layer(series), before)
        model.compile("adam", "mse")
        model.fit(series, np.ones((8, *model.output_shape[1:])), verbose=0)
        after = third.predict(series, verbose=0)
        assert not np.array_equal(after, before)
        np.testing.assert_array_equal(third.get_weights()[0], model.get_weights()[0])
        np.testing.assert_array_equal(layer(series), after)
    other = Input((None, D))
    apart = Model(other, GRU(4)(other))
    both = Model([x, other], Add()([code, apart.layers[1](other)]))
    assert both.lock is apart.lock is first.lock is second.lock is third.lock


def test_models_with_layers_in_common_in_threads(rng):
    x = Input((None, D))
    code = LSTM(8)(x)
    models = [Model(x, code), Model(x, Dense(2)(code)), Model(x, Dense(3)(code))]
    for model in models:
        model.compile("sgd", "mse")
    series = _floats(rng, 64, T, D)
    failed = []

    def work(model):
        try:
            for _ in range(20):
                model.train_on_batch(series, np.zeros((64, *model.output_shape[1:])))
        except Exception as error:  # shown by the assertion below
            failed.append(error)

    threads = [threading.Thread(target=work, args=[model]) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    np.testing.assert_array_equal(models[0].get_weights()[0], models[2].get_weights()[0])


def test_a_layer_may_be_the_part_of_another_sequential(rng):
    layer = LSTM(4)
    first = Sequential([Input((None, D)), layer, Dense(1)])
    second = Sequential([Input((None, D)), layer, Dense(2)])
    first.compile("sgd", "mse")
    series = _floats(rng, 8, T, D)
    before = second.predict(series, verbose=0)
    first.fit(series, np.ones(8), verbose=0)
    assert not np.array_equal(second.predict(series, verbose=0), before)


def test_a_sequential_inside_a_model(rng):
    encoder = Sequential([LSTM(4), Dense(3)], name="encoder")
    first, second = Input((None, D), name="first"), Input((None, D), name="second")
    model = Model([first, second], Add()([encoder(first), encoder(second)]))
    assert [type(layer).__name__ for layer in model.layers[:2]] == ["InputLayer"] * 2
    assert model.layers[2] is encoder
    assert model.weight_names[0].startswith("encoder/lstm")
    x = [_floats(rng, 4, T, D) for _ in range(2)]
    np.testing.assert_allclose(model(x), encoder(x[0]) + encoder(x[1]), rtol=1e-6)
    np.testing.assert_array_equal(model({"second": x[1], "first": x[0]}), model(x))


def test_dropout_and_states_of_a_graph(rng):
    x = Input((None, D))
    _, h = GRU(4, return_state=True)(x)
    y = Dropout(0.5)(GRU(4)(x, initial_state=h))
    model = Model(x, Dense(1)(y))
    series = _floats(rng, 8, T, D)
    assert not np.array_equal(model(series, training=True), model(series, training=True))
    np.testing.assert_array_equal(model(series), model(series))


def test_a_lone_input_that_a_layer_takes_twice(rng):
    x = Input((T, D))
    model = Model(x, Multiply()([x, Add()([x, x])]))
    series = _floats(rng, 4, T, D)
    np.testing.assert_allclose(model.predict(series, verbose=0), 2 * series**2, rtol=1e-6)
    with pytest.raises(ValueError, match=r"x expects shape \(batch, 6, 3\)"):
        model(series[:, :2])


def test_summary_shows_what_is_connected():
    lines: list[str] = []
    _encoder_decoder(fastlstm).summary(print_fn=lines.append)
    (decoder,) = [line for line in lines if line.endswith("target, lstm, lstm")] or [
        line for line in lines if "target, lstm" in line
    ]
    assert "(None, None, 7), (None, 7), (None, 7)" in decoder
    assert lines[-3].startswith("Total params: ")


# -- what does not fit is said ------------------------------------------------------------------


def _model():
    first, second = Input((None, D), name="series"), Input((2,), name="facts")
    return Model([first, second], Dense(1, name="out")(Concatenate()([LSTM(4)(first), second])))


def _compiled():
    model = _model()
    model.compile("adam", "mse")
    return model


X = [np.zeros((4, T, D)), np.zeros((4, 2))]


@pytest.mark.parametrize(
    ("act", "error", "parts"),
    [
        (lambda: _model().predict(X[0], verbose=0), ValueError, ["list of 2", "series", "facts"]),
        (lambda: _model().predict({"series": X[0]}, verbose=0), ValueError, ["facts", "missing"]),
        (lambda: _model().predict([X[0], np.zeros((3, 2))], verbose=0), ValueError, ["as many"]),
        (lambda: _model().predict([X[0], np.zeros((4, 3))], verbose=0), ValueError,
         ["x['facts']", "(batch, 2)", "(4, 3)"]),
        (lambda: _model().predict([X[0][0], X[1]], verbose=0), ValueError, ["x['series']"]),
        (lambda: _model().predict([X[0] * np.nan, X[1]], verbose=0), ValueError, ["x['series']"]),
        (lambda: _compiled().fit(X, verbose=0), ValueError, ["targets"]),
        (lambda: _compiled().fit(X, np.zeros((4, 3)), verbose=0), ValueError, ["(4, 3)"]),
        (lambda: _two_heads(fastlstm).compile("adam", ["mse", "mse"]), ValueError,
         ["3 outputs", "got 2"]),
        (lambda: _two_heads(fastlstm).compile("adam", {"number": "mse"}), ValueError,
         ["none for", "kind"]),
        (lambda: _two_heads(fastlstm).compile("adam", "mse", metrics=["mae"]), ValueError,
         ["metrics", "3 outputs"]),
        (lambda: _two_heads(fastlstm).compile("adam", "mse", metrics={"x": ["mae"]}), ValueError,
         ["names of the outputs", "'x'"]),
        (lambda: Model(Input((2,)), Dense(1)(Input((2,)))), ValueError, ["not among the inputs"]),
        (lambda: Model([(a := Input((2,))), Input((3,))], Dense(1)(a)), ValueError,
         ["no output depends"]),
        (lambda: Model(np.zeros((2, 2)), Dense(1)(Input((2,)))), TypeError, ["symbols"]),
        (lambda: np.tanh(Input((2,))), TypeError, ["no numbers yet"]),
        (lambda: bool(Input((2,))), TypeError, ["no numbers yet"]),
        (lambda: list(Input((2,))), TypeError, ["no numbers yet"]),
        (lambda: Dense(1)([Input((2,)), Input((2,))]), ValueError, ["Concatenate"]),
        (lambda: Add()([Input((2,)), Input((3,))]), ValueError, ["one shape", "(None, 3)"]),
        (lambda: Add()([Input((2,)), Input((2, 3))]), ValueError, ["one shape", "(None, 2, 3)"]),
        (lambda: Add()(Input((2,))), ValueError, ["at least 2 inputs", "got 1"]),
        (lambda: Subtract()([Input((2,))] * 3), ValueError, ["2 inputs, got 3"]),
        (lambda: Add()(np.zeros((2, 2))), TypeError, ["list of 2 inputs"]),
        (lambda: Concatenate()([Input((2, 3)), Input((4, 3))]), ValueError, ["axis 2"]),
        (lambda: LSTM(4)(Input((None, D)), initial_state=[Input((3,)), Input((4,))]), ValueError,
         ["initial_state", "(None, 4)"]),
        (lambda: Embedding(5, 2)(Dense(2)(Input((2,)))), ValueError, ["straight from an Input"]),
        (lambda: LSTM(4)(Input((None, D)), mask=np.ones((2, 2))), TypeError, ["mask="]),
        (lambda: Bidirectional(LSTM(2), merge_mode=None)(Input((None, D)),
                                                         initial_state=[Input((2,))]),
         ValueError, ["initial_state", "Bidirectional"]),
        (lambda: _compiled().fit(X, np.zeros(4), bptt=3, verbose=0), ValueError,
         ["target for every step", "(None, 1)"]),
        (lambda: Ensemble(_two_heads(fastlstm), 2), ValueError, ["one output", "Concatenate"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(act, error, parts):
    with pytest.raises(error) as caught:
        act()
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["call", "train_step", "test_step", "compute_loss"])
def test_subclassing_says_what_to_do_instead(name):
    with pytest.raises(TypeError, match=rf"defines {name}\(\).*Model\(inputs, outputs\)"):
        type("Mine", (Model,), {name: lambda self, x: x})


def test_subclassing_a_layer_says_what_to_do_instead():
    with pytest.raises(TypeError, match=r"defines call\(\).*Model\(inputs, outputs\)"):
        type("Mine", (Dense,), {"call": lambda self, x: x})
