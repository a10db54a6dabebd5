"""Inputs among the layers of a model, where Keras has them."""

from __future__ import annotations

import copy
import os
import pickle
import warnings

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, Sequential
from fastlstm.layers import GRU, LSTM, Add, Concatenate, Dense, Embedding, InputLayer
from fastlstm.models import clone_model, load_model, model_from_json

os.environ.setdefault("KERAS_BACKEND", "torch")

# Keras' own way to NumPy is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

B, T, D = 4, 6, 3


@pytest.fixture(scope="module")
def keras():
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


def _in_line(api):
    x = api.Input((None, D), name="x")
    y = api.layers.LSTM(4, return_sequences=True, name="low")(x)
    return api.Model(x, api.layers.Dense(1, name="dense")(api.layers.GRU(4, name="high")(y)))


def _branches(api):
    """One input is near an output and far from the other; one is only deep inside."""
    of = api.layers
    facts, series = api.Input((5,), name="facts"), api.Input((None, D), name="series")
    code = of.LSTM(4, name="code")(of.LSTM(4, return_sequences=True, name="low")(series))
    both = of.Concatenate(name="both")([facts, of.Dense(4, name="up")(code)])
    first, second = of.Dense(1, name="first")(both), of.Dense(2, name="second")(facts)
    return api.Model([facts, series], [second, first])


def _shared(api):
    of = api.layers
    a, b = api.Input((None, D), name="a"), api.Input((None, D), name="b")
    lstm, dense = of.LSTM(4, name="shared"), of.Dense(4, name="twice")
    left = dense(lstm(a))
    right = dense(dense(lstm(b)))
    return api.Model([b, a], of.Add(name="sum")([left, right]))


def _nested(api):
    of = api.layers
    inner = api.Sequential([api.Input((None, D)), of.LSTM(4, name="lstm")], name="encoder")
    x = api.Input((None, D), name="inside")
    low = of.GRU(D, return_sequences=True, name="gru")(x)
    graph = api.Model(x, [low, of.Dense(2, name="of")(low)], name="graph")
    a, b = api.Input((None, D), name="a"), api.Input((4,), name="b")
    sequence, wide = graph(a)
    code = of.Concatenate(name="codes")([b, inner(sequence), inner(a)])
    pooled = of.GlobalAveragePooling1D(name="mean")(wide)
    return api.Model([a, b], of.Concatenate(name="all")([pooled, of.Dense(3, name="end")(code)]))


def _states(api):
    of = api.layers
    source, target = api.Input((None, D), name="source"), api.Input((None, 2), name="target")
    _, h, c = of.LSTM(4, return_state=True, name="encoder")(source)
    y = of.LSTM(4, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    seen = of.MultiHeadAttention(2, 3, name="seen")(y, y)
    return api.Model([source, target], of.Add(name="sum")([seen, y]))


def _skips(api):
    """The same array near the output and far away."""
    of = api.layers
    x = api.Input((D,), name="x")
    y = x
    for number in range(3):
        y = of.Add(name=f"skip{number}")([x, of.Dense(D, name=f"dense{number}")(y)])
    late = api.Input((D,), name="late")
    return api.Model([late, x], of.Multiply(name="gate")([late, y]))


def _from_inside(api):
    """It begins at an array that a layer makes."""
    whole = _in_line(api)
    return api.Model(whole.get_layer("high").input, whole.output)


GRAPHS = [_in_line, _branches, _shared, _nested, _states, _skips]


@pytest.mark.parametrize("make", GRAPHS)
def test_layers_stand_where_keras_has_them(make, keras):
    ours, theirs = make(fastlstm), make(keras)
    names = [(type(layer).__name__, layer.name) for layer in theirs.layers]
    names = [("Model" if kind == "Functional" else kind, name) for kind, name in names]
    assert [(type(layer).__name__, layer.name) for layer in ours.layers] == names
    for index, (_, name) in enumerate(names):
        assert ours.get_layer(index=index) is ours.layers[index] is ours.get_layer(name)
    shapes = [weight.shape for weight in theirs.get_weights()]
    assert [weight.shape for weight in ours.get_weights()] == shapes
    assert ours.weight_count == theirs.count_params()


def test_a_model_from_within_has_an_input_of_its_own(keras):
    ours, theirs = _from_inside(fastlstm), _from_inside(keras)
    kinds = [type(layer).__name__ for layer in ours.layers]
    assert kinds == [type(layer).__name__ for layer in theirs.layers]
    assert kinds == ["InputLayer", "GRU", "Dense"]
    assert ours.layers[0].output is ours.input
    assert ours.layers[0].batch_shape == tuple(theirs.layers[0].batch_shape) == (None, None, 4)


@pytest.mark.parametrize("make", GRAPHS)
@pytest.mark.parametrize("how", ["loaded", "cloned", "text", "copied", "pickled"])
def test_they_survive(make, how, tmp_path):
    model = make(fastlstm)
    if how == "loaded":
        model.save(tmp_path / "model")
        again = load_model(tmp_path / "model")
    else:
        again = {
            "cloned": clone_model,
            "text": lambda made: model_from_json(made.to_json()),
            "copied": copy.deepcopy,
            "pickled": lambda made: pickle.loads(pickle.dumps(made)),
        }[how](model)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert again.get_config() == model.get_config()
    inputs = [layer for layer in again.layers if isinstance(layer, InputLayer)]
    assert {layer.output for layer in inputs} == set(again.inputs)
    assert not set(again.layers) & set(model.layers)


def test_what_an_input_was_given_is_kept(tmp_path):
    words = Input((None,), 16, "int32", name="words")
    model = Model(words, LSTM(4)(Embedding(9, 3)(words)))
    model.save(tmp_path / "model")
    (first, *_), (again, *_) = model.layers, load_model(tmp_path / "model").layers
    assert first.get_config() == again.get_config()
    assert first.get_config() == {"name": "words", "batch_shape": [16, None], "dtype": "int32"}
    assert InputLayer.from_config(first.get_config()).get_config() == first.get_config()
    assert model.predict(np.ones((3, 5), np.int32), verbose=0).shape == (3, 4)


def test_it_has_no_weights_and_nothing_to_freeze(rng):
    model = _branches(fastlstm)
    for layer in model.layers:
        if isinstance(layer, InputLayer):
            assert layer.get_weights() == layer.weights == layer.trainable_weights == []
            assert layer.count_params() == 0
            assert layer.built
            assert layer.input is layer.output
    model.trainable = False
    assert not any(layer.trainable for layer in model.layers)
    assert model.trainable_weights == []
    model.trainable = True
    model.compile("sgd", ["mse", "mse"])
    x = [rng.standard_normal((B, 5)), rng.standard_normal((B, T, D))]
    before = model.get_weights()
    model.train_on_batch(x, [np.ones((B, 2)), np.ones((B, 1))])
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert model.memory_report(B, T).training.total > 0
    assert {layer.name for layer in model.entries} == {name.split("/")[0] for name in
            model.weight_names} | {"both"}  # fmt: skip


def test_the_table_shows_them_as_keras_does(keras, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    lines: list[str] = []
    _branches(fastlstm).summary(print_fn=lines.append)
    rows = [line.split("  ") for line in lines[4:12]]
    ours = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    text: list[str] = []
    _branches(keras).summary(print_fn=text.append, line_length=140)
    cells = [line.split("│")[1:-1] for line in "".join(text).splitlines() if "│" in line]
    theirs = [[cell.strip().replace("[0][0]", "") for cell in row] for row in cells]
    assert ours == theirs
    assert ["facts (InputLayer)", "(None, 5)", "0", "-"] in ours


def test_first_in_a_sequential(keras, rng):
    x = rng.standard_normal((B, 10, 3)).astype(np.float32)
    ways = {
        "shape": {"shape": (10, 3)},
        "batch size": {"shape": (10, 3), "batch_size": B},
        "batch shape": {"batch_shape": (None, 10, 3), "name": "series", "dtype": "float32"},
        "whole batch": {"batch_shape": [B, 10, 3]},
    }
    for options in ways.values():
        ours, theirs = (
            api.Sequential([api.layers.InputLayer(**options), api.layers.LSTM(5, name="lstm")])
            for api in (fastlstm, keras)
        )
        assert [layer.name for layer in ours.layers] == ["lstm"]
        assert [layer.name for layer in theirs.layers] == ["lstm"]
        assert ours.built
        assert ours.input_shape == (None, 10, 3)
        theirs.set_weights(ours.get_weights())
        np.testing.assert_allclose(ours(x), theirs.predict(x, verbose=0), rtol=1e-4, atol=1e-6)
        given = Sequential([Input(**options), LSTM(5)])
        given.set_weights(ours.get_weights())
        np.testing.assert_array_equal(given(x), ours(x))


def test_a_layer_that_gives_the_symbol():
    layer = InputLayer((T, D), name="series")
    model = Model(layer.output, Dense(1)(GRU(2)(layer.output)))
    assert model.layers[0] is layer
    assert model.input_names == ["series"]
    assert Input(tensor=layer.output) is layer.output
    assert InputLayer(input_tensor=layer.output).output is layer.output


def test_names_are_made_as_in_keras():
    first, second = InputLayer((2,)), InputLayer((2,))
    assert first.name.startswith("input_layer")
    assert first.name != second.name


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ({}, ValueError, "expects the shape of one sample"),
        ({"shape": (3,), "batch_shape": (None, 3)}, ValueError, "and not both"),
        ({"batch_shape": (4, 3), "batch_size": 4}, ValueError, "in one place"),
        ({"batch_shape": ()}, ValueError, "in one place"),
        ({"shape": (3,), "batch_size": 0}, ValueError, "batch_size"),
        ({"shape": (3,), "dtype": "string"}, ValueError, "ids for Embedding"),
        ({"shape": (3,), "dtype": "float16"}, ValueError, "got 'float16'"),
        ({"shape": (3,), "dtype": "nothing"}, ValueError, "got 'nothing'"),
        ({"shape": (3,), "sparse": True}, TypeError, "arrays are dense"),
        ({"shape": (3,), "ragged": True}, TypeError, "sequences of unequal length"),
        ({"shape": (3,), "optional": True}, TypeError, "takes all of its inputs"),
        ({"shape": (0,)}, ValueError, "positive whole numbers"),
    ],
)
def test_what_it_refuses(options, error, part):
    for make in (Input, InputLayer):
        with pytest.raises(error, match=part):
            make(**options)


def test_it_cannot_be_called():
    with pytest.raises(TypeError, match="where a model begins"):
        InputLayer((3,))(np.zeros((2, 3)))
    with pytest.raises(TypeError, match="a symbol that there is already"):
        Input(tensor=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="first entry"):
        Sequential([Dense(2, input_shape=(3,)), InputLayer((3,))])


def test_an_input_named_as_a_layer():
    x, y = Input((D,), name="code"), Input((D,), name="other")
    model = Model([x, y], Concatenate()([Dense(2, name="code")(x), Add()([x, y])]))
    assert isinstance(model.get_layer("code"), Dense)
    assert isinstance(model.get_layer("other"), InputLayer)
