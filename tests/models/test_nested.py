"""Models as parts of models, and models that end at a layer of another one."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import warnings

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, Sequential, vjp
from fastlstm.layers import (
    GRU,
    LSTM,
    Add,
    Bidirectional,
    Dense,
    Embedding,
    LayerNormalization,
    symbol,
)
from fastlstm.models import Ensemble, load_model
from tests.reference import finite

T, D = 6, 3


def _encoder_in_line(api):
    """A Sequential in a Sequential in a Sequential."""
    layers = api.layers
    encoder = api.Sequential(
        [layers.LSTM(5, return_sequences=True), layers.LayerNormalization()], name="encoder"
    )
    both = api.Sequential([encoder, layers.GRU(4)], name="both")
    return api.Sequential([api.Input((None, D)), both, layers.Dense(2)])


def _graph_in_line(api):
    """A residual block, a graph, in a Sequential."""
    layers = api.layers
    x = api.Input((None, 4))
    block = api.Model(x, layers.Add()([x, layers.GRU(4, return_sequences=True)(x)]), name="block")
    return api.Sequential(
        [api.Input((None, D)), layers.Dense(4), block, layers.LSTM(3), layers.Dense(2)]
    )


def _first_in_line(api):
    """A model of words in front, which takes the ids."""
    layers = api.layers
    words = api.Input((None,), dtype="int32")
    x = layers.Embedding(20, 4, mask_zero=True)(words)
    reader = api.Model(words, layers.LSTM(5, return_sequences=True)(x), name="reader")
    return api.Sequential([reader, layers.Bidirectional(layers.GRU(3)), layers.Dense(2)])


def _siamese(api):
    """A Sequential with a model inside, called twice, and one with two inputs and outputs."""
    layers = api.layers
    inner = api.Sequential([layers.Dense(4, activation="tanh"), layers.LSTM(5)], name="inner")
    encoder = api.Sequential([api.Input((None, D)), inner, layers.Dense(3)], name="encoder")
    a, b = api.Input((3,)), api.Input((3,))
    compare = api.Model(
        [a, b],
        [layers.Dense(2, name="one")(layers.Multiply()([a, b])), layers.Subtract()([a, b])],
        name="compare",
    )
    first, second = api.Input((None, D), name="first"), api.Input((None, D), name="second")
    one, other = compare([encoder(first), encoder(second)])
    return api.Model([first, second], layers.Dense(2)(layers.Concatenate()([one, other])))


def _floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def _ids(rng):
    ids = rng.integers(0, 20, (40, T))
    ids[:, 0] = 1
    return ids


CASES = {
    "in line": (_encoder_in_line, lambda rng: _floats(rng, 40, T, D)),
    "a graph in line": (_graph_in_line, lambda rng: _floats(rng, 40, T, D)),
    "first in line": (_first_in_line, _ids),
    "siamese": (_siamese, lambda rng: [_floats(rng, 40, T, D), _floats(rng, 40, T, D)]),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


@pytest.mark.usefixtures("serial")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_learns_as_in_keras(case, keras, rng):
    make, data = case
    theirs, ours = make(keras), make(fastlstm)
    x, y = data(rng), _floats(rng, 40, 2)
    expected = theirs.predict(x, verbose=0)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)
    for model in (theirs, ours):
        model.compile("adam", "mse")
    for _ in range(10):
        expected, got = theirs.train_on_batch(x, y), ours.train_on_batch(x, y)
        np.testing.assert_allclose(got, expected, rtol=1e-4)
    for expected, got in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)


@pytest.mark.usefixtures("serial", "float64")
def test_gradients(case, rng):
    make, data = case
    model = make(fastlstm)
    model.compile("sgd", "mse")
    x, y = data(rng), rng.standard_normal((4, 2))
    x = [part[:4] for part in x] if isinstance(x, list) else x[:4]
    _, grads = model.value_and_grad(x, y)
    weights = model.get_weights()

    def value():
        model.set_weights(weights)
        return model.test_on_batch(x, y)

    for number, weight in enumerate(weights):
        directions = [np.zeros_like(other) for other in weights]
        directions[number] = rng.standard_normal(weight.shape)
        expected = finite.slope(value, weights, directions)
        got = np.vdot(grads[number], directions[number])
        assert np.isclose(got, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.usefixtures("serial")
def test_files_and_copies(case, rng, tmp_path):
    make, data = case
    model, x = make(fastlstm), data(rng)
    model.compile("adam", "mse")
    y = _floats(rng, 40, 2)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.weight_names == model.weight_names
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    expected = model.predict(x, verbose=0)
    for other in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(x, verbose=0), expected)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    again.load_weights(tmp_path / "model")
    histories = [
        other.fit(x, y, epochs=2, shuffle=False, verbose=0).history for other in (model, loaded)
    ]
    assert histories[0] == histories[1]


def test_the_same_bits_whatever_the_threads(rng):
    x, y = _floats(rng, 40, T, D), _floats(rng, 40, 2)
    results = []
    for threads in (1, 2):
        fastlstm.set_num_threads(threads)
        fastlstm.utils.set_random_seed(3)
        model = _encoder_in_line(fastlstm)
        model.compile("adam", "mse")
        model.fit(x, y, epochs=2, batch_size=16, verbose=0)
        results.append([*model.get_weights(), model.predict(x, batch_size=7, verbose=0)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


# -- it is what it would be without ---------------------------------------------------------------


@pytest.mark.usefixtures("serial")
def test_it_is_the_model_of_all_layers(rng):
    """Streams, checkpoints, ensembles, reports, and the first build from data."""
    inner = Sequential([LSTM(5, return_sequences=True), Dense(4)], name="inner")
    nested = Sequential([inner, GRU(3), Dense(2)])
    assert not nested.built
    plain = Sequential([LSTM(5, return_sequences=True), Dense(4), GRU(3), Dense(2)])
    x, y = _floats(rng, 20, 64, D), _floats(rng, 20, 2)
    for model in (nested, plain):
        model.compile("adam", "mse")
        model(x)
    assert nested.built
    assert inner.built
    nested.set_weights(plain.get_weights())
    for bptt in ("full", "checkpoint"):
        histories = [
            model.fit(x, y, epochs=2, shuffle=False, verbose=0, bptt=bptt).history["loss"]
            for model in (nested, plain)
        ]
        assert histories[0] == histories[1]
    streams = [model.stream(3) for model in (nested, plain)]
    for _ in range(3):
        step = _floats(rng, 3, D)
        np.testing.assert_array_equal(*[stream.step(step) for stream in streams])
    assert nested.memory_report(8, 64).total == plain.memory_report(8, 64).total
    assert nested.count_params() == plain.count_params()
    for one, other in zip(vjp(nested, x)[1](y)[2], vjp(plain, x)[1](y)[2], strict=True):
        np.testing.assert_array_equal(one, other)
    many = Ensemble(nested, 2)
    many.set_weights([np.stack([w, w]) for w in plain.get_weights()])
    np.testing.assert_array_equal(many.predict(np.stack([x, x]), verbose=0)[1], plain(x))


def test_names_and_the_summary():
    model = _encoder_in_line(fastlstm)
    assert model.weight_names[0].startswith("both/encoder/lstm")
    assert model.get_layer("both").get_layer("encoder").name == "encoder"
    with pytest.raises(ValueError, match=r"no layer is named 'encoder'; the layers are \['both'"):
        model.get_layer("encoder")
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    (row,) = [line for line in lines if line.startswith("both")]
    assert row.split() == [
        "both",
        "(Sequential)",
        "(None,",
        "4)",
        f"{model.layers[0].count_params()}",
    ]
    assert f"Total params: {model.count_params():,}" in lines[-3]
    assert [kind for kind, _, _ in model.diagram()] == ["InputLayer", "Sequential", "Dense"]


# -- training of the part and of the whole --------------------------------------------------------


@pytest.mark.usefixtures("serial")
def test_both_are_trained(rng):
    encoder = Sequential([Input((None, D)), LSTM(4), Dense(3)], name="encoder")
    whole = Sequential([encoder, Dense(1)])
    x = _floats(rng, 16, T, D)
    for model in (encoder, whole):
        model.compile("adam", "mse")
    for _ in range(2):
        for model, width in ((encoder, 3), (whole, 1)):
            before = [weight.copy() for weight in encoder.get_weights()]
            model.fit(x, np.ones((16, width)), verbose=0)
            for old, new, seen in zip(
                before, encoder.get_weights(), whole.get_weights(), strict=False
            ):
                assert np.any(old != new)
                np.testing.assert_array_equal(new, seen)
            np.testing.assert_array_equal(whole(x), whole.layers[1](encoder(x)))
    assert encoder.lock is whole.lock


@pytest.mark.usefixtures("serial")
def test_a_frozen_part_stays(rng):
    encoder = Sequential([Input((None, D)), LSTM(4), Dense(3)], name="encoder")
    whole = Sequential([encoder, Dense(1)])
    whole.compile("adam", "mse")
    x, y = _floats(rng, 16, T, D), np.ones((16, 1))

    def changed():
        before = whole.get_weights()
        whole.fit(x, y, verbose=0)
        return [bool(np.any(old != new)) for old, new in
                zip(before, whole.get_weights(), strict=True)]  # fmt: skip

    assert changed() == [True] * 7
    encoder.trainable = False
    assert changed() == [False] * 5 + [True] * 2
    assert len(whole.trainable_weights) == 2
    # As in Keras, a layer in a frozen model waits for it.
    encoder.layers[1].trainable = True
    assert changed() == [False] * 5 + [True] * 2
    encoder.trainable = True
    encoder.layers[0].trainable = False
    assert changed() == [False] * 3 + [True] * 4
    whole.trainable = False
    assert not encoder.trainable
    with pytest.warns(UserWarning, match="no trainable weights"):
        assert changed() == [False] * 7
    whole.trainable = True
    assert encoder.trainable
    assert encoder.layers[0].trainable
    assert changed() == [True] * 7


def test_a_layer_in_a_frozen_model_and_outside_of_it_is_trained():
    """As in Keras, where it is counted where it is reached."""
    x = Input((D,))
    shared = Dense(D)
    frozen = Model(x, shared(x), name="frozen")
    first = Input((D,))
    whole = Model(first, Add()([frozen(first), shared(first)]))
    frozen._trainable = False  # of the model alone
    assert whole.trained == [True, True]
    assert frozen.trained == [False, False]


def test_a_layer_that_is_reached_in_two_ways_is_no_matter_for_a_file(rng, tmp_path):
    shared = Dense(D)
    inner = Sequential([Input((D,)), shared], name="inner")
    x = Input((D,))
    model = Model(x, Add()([inner(x), shared(x)]))
    with pytest.raises(ValueError, match=rf"{shared.name!r} is part of several of .*save_weights"):
        model.save(tmp_path / "model")
    model.save_weights(tmp_path / "weights")
    before = model.get_weights()
    model.set_weights([2 * weight for weight in before])
    model.load_weights(tmp_path / "weights")
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert not (tmp_path / "model").exists()


# -- a model that ends at a layer -----------------------------------------------------------------


@pytest.mark.usefixtures("serial")
def test_a_model_up_to_a_layer(rng):
    x = Input((None, D), name="series")
    model = Model(x, Dense(1)(GRU(4, name="code")(LSTM(5, return_sequences=True, name="low")(x))))
    series = _floats(rng, 8, T, D)
    code = Model(model.input, model.get_layer("code").output)
    low = Model(model.inputs, model.get_layer("low").output)
    both = Model(model.input, [model.get_layer("low").output, model.output])
    rest = Model(model.get_layer("code").input, model.output)
    states = low(series)
    np.testing.assert_array_equal(states, model.layers[1](series))
    np.testing.assert_array_equal(code(series), model.layers[2](states))
    np.testing.assert_array_equal(both(series)[0], states)
    np.testing.assert_array_equal(both(series)[1], model(series))
    np.testing.assert_array_equal(rest(states), model(series))
    assert model.outputs == [model.output]
    model.compile("sgd", "mse")
    model.fit(series, np.ones(8), verbose=0)
    np.testing.assert_array_equal(rest(low(series)), model(series))


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("how", ["as built", "loaded", "copied", "pickled"])
@pytest.mark.parametrize("kind", ["in line", "graph"])
def test_a_model_up_to_a_layer_of(kind, how, rng, tmp_path):
    if kind == "in line":
        layers = [Input((None, D)), LSTM(4, return_sequences=True), GRU(3, name="code"), Dense(1)]
        model = Sequential(layers)
    else:
        x = Input((None, D))
        model = Model(x, Dense(1)(GRU(3, name="code")(LSTM(4, return_sequences=True)(x))))
    series = _floats(rng, 8, T, D)
    expected = model.layers[-2](model.layers[-3](series))
    if how == "loaded":
        model.save(tmp_path / "model")
        model = load_model(tmp_path / "model")
    elif how != "as built":
        model = copy.deepcopy(model) if how == "copied" else pickle.loads(pickle.dumps(model))
    code = Model(model.input, model.get_layer("code").output)
    gc.collect()
    np.testing.assert_array_equal(code.predict(series, verbose=0), expected)
    np.testing.assert_array_equal(
        Model(model.layers[-2].input, model.output)(model.layers[-3](series)), model(series)
    )


@pytest.mark.usefixtures("serial")
def test_what_comes_after_a_model_of_another_process(rng, monkeypatch):
    """Calls are numbered, and those of this process start anew."""
    x = Input((D,))
    there = pickle.dumps(Model(x, Dense(2)(Dense(4)(x))))
    monkeypatch.setattr(symbol, "_latest", 0)
    model = pickle.loads(there)
    whole = Model(model.input, Dense(1)(model.output))
    vectors = _floats(rng, 4, D)
    np.testing.assert_array_equal(whole(vectors), whole.layers[-1](model(vectors)))


@pytest.mark.usefixtures("serial")
def test_a_layer_that_was_called_twice_gives_the_first_output(rng):
    layer = Dense(D)
    x = Input((D,))
    first = layer(x)
    model = Model(x, layer(first))
    assert layer.output is first
    assert layer.input is x
    copied = copy.deepcopy(model)
    once = Model(copied.input, copied.layers[1].output)
    vectors = _floats(rng, 4, D)
    np.testing.assert_array_equal(once(vectors), layer(vectors))


@pytest.mark.usefixtures("serial")
def test_a_model_inside_ends_at_its_own_symbols(rng):
    whole = _encoder_in_line(fastlstm)
    both = whole.get_layer("both")
    encoder = both.get_layer("encoder")
    series = _floats(rng, 8, T, D)
    lstm = Model(encoder.input, encoder.layers[0].output)
    np.testing.assert_array_equal(lstm(series), encoder.layers[0](series))
    np.testing.assert_array_equal(Model(whole.input, whole.layers[1].input)(series), both(series))
    with pytest.raises(ValueError, match=r"depend on the input .* not among the inputs"):
        Model(whole.input, encoder.layers[0].output)


# -- dicts ----------------------------------------------------------------------------------------


def _by_name(api):
    """Names of its own for all that comes in and out."""
    layers = api.layers
    series, facts = api.Input((None, D), name="series"), api.Input((2,), name="facts")
    both = layers.Concatenate()([layers.LSTM(4)(series), facts])
    return api.Model(
        {"series": series, "facts": facts},
        {"price": layers.Dense(1)(both), "kind": layers.Dense(3, activation="softmax")(both)},
    )


SETTINGS = {
    "loss": {"price": "mse", "kind": "sparse_categorical_crossentropy"},
    "loss_weights": {"price": 0.5, "kind": 1.0},
    "metrics": {"kind": ["accuracy"]},
}


def _named_data(rng):
    x = {"series": _floats(rng, 40, T, D), "facts": _floats(rng, 40, 2)}
    return x, {"price": _floats(rng, 40, 1), "kind": rng.integers(0, 3, 40)}


@pytest.mark.usefixtures("serial")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_dicts_as_in_keras(keras, rng):
    theirs, ours = _by_name(keras), _by_name(fastlstm)
    ours.set_weights(theirs.get_weights())
    x, y = _named_data(rng)
    expected, got = theirs.predict(x, verbose=0), ours.predict(x, verbose=0)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5)
    histories = []
    for model in (theirs, ours):
        model.compile("adam", **SETTINGS)
        fit = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0,
                        validation_data=(x, y))  # fmt: skip
        histories.append(fit.history)
    assert histories[0].keys() == histories[1].keys()
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.usefixtures("serial")
def test_dicts_everywhere(rng, tmp_path):
    """Calls, symbols, batches, parts, copies and files."""
    model = _by_name(fastlstm)
    x, y = _named_data(rng)
    expected = model.predict(x, verbose=0)
    assert list(model.input) == ["facts", "series"]
    assert list(model.output) == ["kind", "price"]
    for name, value in model(x).items():
        np.testing.assert_array_equal(value, expected[name])
    inputs = {name: Input(symbol.shape[1:]) for name, symbol in model.input.items()}
    given = list(inputs.values())
    kind = model(inputs)["kind"]
    np.testing.assert_array_equal(
        Model(given, kind)([x[name] for name in inputs]), expected["kind"]
    )
    whole = Model(inputs, {"out": Dense(2)(kind)})
    assert list(whole(x)) == ["out"]
    whole.compile("sgd", "mse")
    whole.train_on_batch(x, {"out": np.zeros((40, 2))})
    model.compile("adam", **SETTINGS)
    batches = [
        tuple({name: array[at : at + 8] for name, array in side.items()} for side in (x, y))
        for at in range(0, 40, 8)
    ]
    model.fit(iter(batches), steps_per_epoch=5, verbose=0)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model")
    whole.save(tmp_path / "whole")
    for other in (load_model(tmp_path / "model"), copy.deepcopy(model)):
        again = other.predict(x, verbose=0)
        assert again.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(again[name], value)
        other.fit(x, y, verbose=0)
    np.testing.assert_array_equal(load_model(tmp_path / "whole")(x)["out"], whole(x)["out"])


def test_names_of_a_dict_go_before_those_of_symbols(rng):
    """Keras warns where they differ, and takes the dict's."""
    model = Model({"a": (x := Input((3,), name="series"))}, {"b": Dense(2)(x)})
    assert (model.input_names, model.output_names) == (["a"], ["b"])
    assert model({"a": np.ones((4, 3))})["b"].shape == (4, 2)
    with pytest.raises(ValueError, match="'a'"):
        model({"series": np.ones((4, 3))})


# -- what does not fit is said --------------------------------------------------------------------


def _built():
    return Sequential([Input((4, D)), Dense(2)], name="inner")


def _added_later():
    inner = _built()
    Sequential([inner, Dense(1)])
    inner.add(Dense(3))


def _two_inputs():
    a, b = Input((3,)), Input((3,))
    return Model([a, b], Add()([a, b]), name="sum")


def _fixed():
    x = Input((4, 3))
    return Model(x, Dense(2)(x), name="fixed")


def _itself():
    model = Sequential([Dense(1)])
    model.add(model)


@pytest.mark.parametrize(
    ("act", "error", "parts"),
    [
        (_added_later, ValueError, ["'inner' is part of another model"]),
        (_itself, ValueError, ["this model itself"]),
        (lambda: Sequential([Sequential()]), ValueError, ["no layers yet"]),
        (lambda: Sequential([_two_inputs()]), ValueError,
         ["2 inputs and 1 outputs", "Model(inputs"]),
        (lambda: Sequential([_built(), _built()]), ValueError, ["named 'inner' already"]),
        (lambda: Sequential([Dense(4, input_shape=(3,)), Sequential([Embedding(3, 2)])]),
         ValueError, ["takes ids"]),
        (lambda: Sequential([Dense(4, input_shape=(3,)), Sequential([Dense(2, dtype="float64")])]),
         ValueError, ["float64", "one precision"]),
        (lambda: Sequential([Input((None, 2)), _built()]), ValueError, ["built for 3 features"]),
        (lambda: Sequential([Input((5, 3)), _fixed()]), ValueError,
         ["'fixed' expects shape (None, 4, 3)", "(None, 5, 3)"]),
        (lambda: _fixed()(Input((5, 3))), ValueError, ["'fixed' expects shape (None, 4, 3)"]),
        (lambda: _fixed()(Input((3,))), ValueError, ["'fixed' expects shape (None, 4, 3)"]),
        (lambda: Dense(2, name="alone").output, AttributeError, ["'alone'", "not called"]),
        (lambda: Sequential([Dense(2)]).input, ValueError, ["no weights yet"]),
        (lambda: Bidirectional(_built()), TypeError, ["Bidirectional", "Sequential"]),
        (lambda: Model({1: Input((2,))}, Input((2,))), TypeError, ["dict of symbols"]),
        (lambda: Sequential([LayerNormalization]), TypeError, ["a class needs its arguments"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(act, error, parts):
    with pytest.raises(error) as caught:
        act()
    for part in parts:
        assert part in str(caught.value)
