"""Each bad input is refused with a word on what came, what was expected and what to do.

And it changes nothing: neither weights nor the optimizer nor carried states.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.layers import LSTM, Bidirectional, Dense, Embedding, SimpleRNN
from fastlstm.models import load_model

T, D = 5, 3
NUMBERS = "float32"


def _regression():
    model = Sequential([LSTM(4, stateful=True, input_shape=(None, D)), Dense(2)])
    model.compile(loss="mse")
    return model


def _classes():
    model = Sequential([SimpleRNN(4, input_shape=(T, D)), Dense(3, activation="softmax")])
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _words():
    model = Sequential([Embedding(10, 4, input_shape=(T,)), LSTM(4), Dense(1, "sigmoid")])
    model.compile(loss="binary_crossentropy")
    return model


def _x(n=2):
    return np.random.default_rng(0).random((n, T, D), NUMBERS)


def _y(n=2):
    return np.random.default_rng(1).random((n, 2), NUMBERS)


def _with(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def _state(model):
    """Everything that training changes."""
    carried = [getattr(layer, "_states", {}) for layer in model.layers]
    copies = [array.copy() for states in carried for pair in states.values() for array in pair]
    moments = [] if model.optimizer is None else list(model.optimizer.state().values())
    iterations = 0 if model.optimizer is None else model.optimizer.iterations
    return [*model.get_weights(), *copies, *(m.copy() for m in moments), np.array(iterations)]


def _assert_same(before, after):
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def _refused(model, call, error, words):
    """The call raises, says all ``words``, and leaves the model as it was."""
    before = _state(model)
    with pytest.raises(error) as caught:
        call(model)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    _assert_same(before, _state(model))


# -- inputs ---------------------------------------------------------------------------------------

BAD_X = {
    "no time axis": (_x()[:, 0], ValueError, ["(batch, time, features)", "(2, 3)", "feature axis"]),
    "a number": (np.float32(1), ValueError, ["(batch, time, features)"]),
    "four axes": (_x()[None], ValueError, ["(batch, time, features)", "2, 5, 3)"]),
    "other features": (_x()[..., :2], ValueError, ["2", "3", "features"]),
    "empty batch": (_x()[:0], ValueError, ["(0, 5, 3)", "at least one"]),
    "no steps": (_x()[:, :0], ValueError, ["(2, 0, 3)", "at least one"]),
    "NaN": (_with(_x(), (1, 2, 0), np.nan), ValueError, ["nan", "[1, 2, 0]", "finite"]),
    "infinity": (_with(_x(), (0, 4, 1), -np.inf), ValueError, ["-inf", "[0, 4, 1]", "finite"]),
    "too large": (_with(_x().astype(float), 0, 1e300), ValueError, ["1e+300", "float32"]),
    "objects": (_x().astype(object), TypeError, ["object", "astype"]),
    "strings": (_x().astype(str), TypeError, ["<U", "astype"]),
    "dates": (_x().astype("M8[s]"), TypeError, ["datetime64", "real numbers"]),
    "complex": (_x() + 1j, TypeError, ["complex", "real numbers"]),
    "masked": (np.ma.masked_less(_x(), 0.5), TypeError, ["masked", "filled"]),
    "ragged": ([[[1, 2, 3]], [[1, 2, 3], [4, 5]]], ValueError, ["one shape"]),
    "None": (None, TypeError, ["object"]),
    "a dict": ({"y": 1}, (ValueError, TypeError), ["dict", "missing"]),
}


@pytest.mark.parametrize("name", BAD_X)
@pytest.mark.parametrize("method", ["fit", "train_on_batch", "evaluate", "predict", "call", "vjp"])
def test_inputs(name, method):
    x, error, words = BAD_X[name]
    model = _regression()
    model.train_on_batch(_x(), _y())  # there is something to spoil
    calls = {
        "fit": lambda m: m.fit(x, _y(), batch_size=2, shuffle=False, verbose=0),
        "train_on_batch": lambda m: m.train_on_batch(x, _y()),
        "evaluate": lambda m: m.evaluate(x, _y(), batch_size=2, verbose=0),
        "predict": lambda m: m.predict(x, batch_size=2, verbose=0),
        "call": lambda m: m(x),
        "vjp": lambda m: fastlstm.vjp(m, x),
    }
    _refused(model, calls[method], error, words)


@pytest.mark.parametrize("name", BAD_X)
def test_inputs_do_not_build_a_model(name):
    """Otherwise the right data would be refused afterwards, for the shape of the wrong."""
    if name in ("other features", "too large"):
        pytest.skip("fits a model that is not built")
    x, error, _ = BAD_X[name]
    for model in (Sequential([LSTM(4), Dense(2)]), LSTM(4)):
        with pytest.raises(error):
            model(x)
        assert not model.built
        assert model(_x()).shape[0] == 2


def test_a_shape_that_a_later_layer_refuses_builds_nothing():
    model = Sequential([LSTM(4), LSTM(4)])
    with pytest.raises(ValueError, match=r"\(batch, time, features\)"):
        model(_x())
    assert not any(layer.built for layer in model.layers)


BAD_IDS = {
    "negative": (-1, ValueError, ["0 to 9", "-1"]),
    "too large": (10, ValueError, ["0 to 9", "10", "Embedding"]),
    "far too large": (2**40, ValueError, ["0 to 9", str(2**40)]),
    "a fraction": (1.5, TypeError, ["whole-number"]),
    "NaN": (np.nan, TypeError, ["NaN"]),
    "infinity": (np.inf, TypeError, ["infinity"]),
}


@pytest.mark.parametrize("name", BAD_IDS)
def test_embedding_ids(name):
    value, error, words = BAD_IDS[name]
    ids = np.zeros((2, T), type(value))
    ids[1, 3] = value
    model = _words()
    model.train_on_batch(np.ones((2, T), int), np.ones((2, 1)))
    for call in (
        lambda m: m.train_on_batch(ids, np.ones((2, 1))),
        lambda m: m.predict(ids, verbose=0),
        lambda m: m.fit(ids, np.ones((2, 1)), verbose=0),
        lambda m: m(ids),
    ):
        _refused(model, call, error, words)


def test_embedding_ids_of_other_kinds():
    _refused(_words(), lambda m: m(np.ones((2, T), bool)), TypeError, ["booleans"])
    _refused(_words(), lambda m: m(np.ones((2, T, 1))), ValueError, ["(batch, time)", "(2, 5, 1)"])
    for ids in (np.ones((2, T)), np.ones((2, T), np.uint8), [[1] * T] * 2):
        assert _words()(ids).shape == (2, 1)  # whole numbers of any type are ids


# -- targets --------------------------------------------------------------------------------------

BAD_Y = {
    "columns": (_regression, _y()[:, :1], ValueError, ["(2, 1)", "(2, 2)"]),
    "rows": (_regression, _y(3), ValueError, ["2 samples", "3"]),
    "rank": (_regression, _y()[:, 0], ValueError, ["(2,)", "(2, 2)"]),
    "missing": (_regression, None, ValueError, ["y"]),
    "NaN": (_regression, _with(_y(), (1, 1), np.nan), ValueError, ["nan", "[1, 1]"]),
    "infinity": (_regression, _with(_y(), (1, 1), np.inf), ValueError, ["inf", "[1, 1]"]),
    "strings": (_regression, np.array([["a", "b"]] * 2), TypeError, ["<U1"]),
    "objects": (_regression, _y().astype(object), TypeError, ["object"]),
    "complex": (_regression, _y() + 1j, TypeError, ["complex"]),
    "masked": (_regression, np.ma.masked_less(_y(), 0.5), TypeError, ["masked"]),
    "class too large": (_classes, [0, 3], ValueError, ["0 to 2", "3"]),
    "class negative": (_classes, [0, -1], ValueError, ["0 to 2", "-1"]),
    "class fraction": (_classes, [0, 0.5], TypeError, ["whole-number"]),
    "one-hot": (_classes, np.eye(3)[:2], ValueError, ["(2, 3)", "'categorical_crossentropy'"]),
    "below 0": (_words, [[-0.5], [1]], ValueError, ["0 to 1", "-0.5"]),
    "above 1": (_words, [[0], [2]], ValueError, ["0 to 1", "2"]),
}


@pytest.mark.parametrize("name", BAD_Y)
@pytest.mark.parametrize("method", ["fit", "train_on_batch", "evaluate", "value_and_grad"])
def test_targets(name, method):
    make, y, error, words = BAD_Y[name]
    model = make()
    x = np.ones((2, T), int) if make is _words else _x()
    options = {"fit": {"verbose": 0, "batch_size": 2, "shuffle": False}}
    options["evaluate"] = {"verbose": 0, "batch_size": 2}
    _refused(model, lambda m: getattr(m, method)(x, y, **options.get(method, {})), error, words)


def test_class_ids_for_a_loss_that_reads_one_hot_targets():
    model = Sequential([LSTM(4, input_shape=(T, D)), Dense(3, activation="softmax")])
    model.compile(loss="categorical_crossentropy")
    _refused(
        model,
        lambda m: m.fit(_x(), [0, 2], verbose=0),
        ValueError,
        ["(2,)", "(2, 3)", "sparse_categorical_crossentropy"],
    )


def test_the_mistake_of_the_tutorial():
    """Targets for every step, but a model that gives one output a sequence."""
    model = Sequential(
        [
            LSTM(50, return_sequences=True, input_shape=(10, 10)),
            LSTM(50),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    x, y = np.random.default_rng(0).random((2, 100, 10, 10))
    _refused(
        model,
        lambda m: m.fit(x, y, epochs=1, batch_size=32, verbose=0),
        ValueError,
        ["(100, 10, 10)", "(100, 10)", "return_sequences=True", "one target per sequence"],
    )


def test_one_target_a_sequence_for_a_model_that_gives_every_step():
    model = Sequential([LSTM(4, return_sequences=True, input_shape=(T, D)), Dense(2)])
    model.compile(loss="mse")
    _refused(
        model,
        lambda m: m.fit(_x(), _y(), verbose=0),
        ValueError,
        ["(2, 2)", "(2, 5, 2)", "every step", "return_sequences=False"],
    )


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        (np.ones(3), ValueError, ["(2,)", "(3,)"]),
        (np.ones((2, 2)), ValueError, ["(2,)", "(2, 2)"]),
        ([1, np.nan], ValueError, ["finite"]),
        (["a", "b"], TypeError, ["<U1"]),
    ],
)
def test_sample_weights(weights, error, words):
    _refused(
        _regression(), lambda m: m.train_on_batch(_x(), _y(), sample_weight=weights), error, words
    )
    _refused(
        _regression(),
        lambda m: m.fit(_x(), _y(), sample_weight=weights, batch_size=2, shuffle=False, verbose=0),
        error,
        words,
    )


def test_validation_data_are_checked_before_training():
    model = _classes()
    model.train_on_batch(_x(), [0, 1])
    for bad in ((_x()[..., :2], [0, 1]), (_x(), [0, 3]), (_x(),), 5):
        before = _state(model)
        with pytest.raises((ValueError, TypeError)):
            model.fit(_x(), [0, 1], validation_data=bad, verbose=0)
        _assert_same(before, _state(model))


# -- masks, states and gradients ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"mask": np.ones((T, 2), bool)}, ValueError, ["(2, 5)", "(5, 2)"]),
        ({"mask": np.ones(2, bool)}, ValueError, ["(batch, time)", "(2,)"]),
        ({"mask": [["a"] * T] * 2}, TypeError, ["mask"]),
        ({"initial_state": np.zeros((2, 4))}, ValueError, ["2", "h", "c"]),
        ({"initial_state": [np.zeros((2, 4))]}, ValueError, ["2", "1"]),
        ({"initial_state": [np.zeros((3, 4))] * 2}, ValueError, ["(2, 4)", "(3, 4)"]),
        ({"initial_state": [np.zeros((2, 5))] * 2}, ValueError, ["(2, 4)", "(2, 5)"]),
        ({"initial_state": [np.full((2, 4), np.nan)] * 2}, ValueError, ["nan"]),
    ],
)
def test_masks_and_initial_states(options, error, words):
    layer = LSTM(4)
    expected = layer(_x())
    for call in (lambda: layer(_x(), **options), lambda: fastlstm.vjp(layer, _x(), **options)):
        with pytest.raises(error) as caught:
            call()
        for word in words:
            assert word in str(caught.value), str(caught.value)
    np.testing.assert_array_equal(layer(_x()), expected)


def test_a_stateful_layer_and_another_batch_size():
    model = _regression()
    model.predict(_x(), batch_size=2, verbose=0)
    _refused(model, lambda m: m(_x(3)), ValueError, ["batch of 2", "batch of 3", "reset_states()"])
    model.reset_states()
    assert model(_x(3)).shape == (3, 2)


# -- before compile, before build -----------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["fit", "evaluate", "train_on_batch", "test_on_batch", "value_and_grad"]
)
def test_not_compiled(method):
    model = Sequential([LSTM(4, input_shape=(T, D)), Dense(2)])
    with pytest.raises(RuntimeError, match=r"call model\.compile\("):
        getattr(model, method)(_x(), _y())


def test_no_layers():
    model = Sequential()
    model.compile(loss="mse")
    for call in (lambda: model.fit(_x(), _y()), lambda: model(_x()), model.build):
        with pytest.raises(ValueError, match=r"no layers|input"):
            call()


def test_not_built():
    model = Sequential([LSTM(4), Dense(2)])
    for call in (model.get_weights, lambda: model.set_weights([]), lambda: model.save("x")):
        with pytest.raises(ValueError, match="build"):
            call()


def test_what_add_refuses():
    model = Sequential([LSTM(4, input_shape=(T, D), name="first")])
    count = len(model.get_weights())
    for layer, error, words in (
        (LSTM(4), ValueError, ["(batch, time, features)", "(batch, 4)"]),
        (LSTM, TypeError, ["class", "arguments"]),
        (5, TypeError, ["layer", "int"]),
        (fastlstm.Input((T, D)), ValueError, ["Input"]),
        (Embedding(3, 2), ValueError, ["first"]),
        (LSTM(4, return_state=True), ValueError, ["return_state"]),
        (Dense(4, name="first"), ValueError, ["'first'"]),
        (model.layers[0], ValueError, ["'first'"]),
    ):
        with pytest.raises(error) as caught:
            model.add(layer)
        for word in words:
            assert word in str(caught.value), str(caught.value)
        assert len(model.layers) == 1
    assert len(model.get_weights()) == count
    both = Bidirectional(LSTM(4, input_shape=(T, D)))
    both.build((T, D))
    with pytest.raises(ValueError, match="part of 'bidirectional"):
        Sequential([both.forward_layer]).build()


@pytest.mark.parametrize("units", [0, -1, 1.5, "8", None, True])
@pytest.mark.parametrize("layer", [LSTM, SimpleRNN, Dense, lambda units: Embedding(units, 3)])
def test_units(layer, units):
    with pytest.raises(ValueError, match="whole number of at least 1") as caught:
        layer(units)
    assert repr(units) in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 3), (-1, 3), ("a", 3), (5.0, 3)])
def test_input_shapes(shape):
    with pytest.raises(ValueError, match="positive whole numbers"):
        LSTM(4, input_shape=shape)


# -- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda w: w[:-1], ValueError, ["5 weights", "4"]),
        (lambda w: [*w, w[0]], ValueError, ["5 weights", "6"]),
        (lambda w: [w[0].T, *w[1:]], ValueError, ["(3, 16)", "(16, 3)", "kernel"]),
        (lambda w: [*w[:-1], w[-1][:1]], ValueError, ["(2,)", "(1,)", "bias"]),
        (lambda w: [*w[:-1], w[-1] * np.nan], ValueError, ["nan", "bias"]),
        (lambda w: [*w[:-1], ["a", "b"]], TypeError, ["bias"]),
    ],
)
def test_weights(change, error, words):
    model = _regression()
    other = [weight + 1 for weight in model.get_weights()]
    _refused(model, lambda m: m.set_weights(change(other)), error, words)


def test_weights_cannot_be_changed_by_the_back_door():
    """Packed copies would not follow."""
    layer = _regression().layers[0]
    with pytest.raises(ValueError, match="read-only"):
        layer.weights[0][...] = 0
    copy = layer.get_weights()[0]
    copy[...] = 7
    assert not np.any(layer.get_weights()[0] == 7)


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: _regression().compile(optimizer="adm", loss="mse"), "'adam'"),
        (lambda: _regression().compile(loss="mean_square_error"), "'mean_squared_error'"),
        (lambda: _regression().compile(loss="binary_cross_entropy"), "'binary_crossentropy'"),
        (lambda: _regression().compile(loss="mse", metrics=["acuracy"]), "'accuracy'"),
        (lambda: Dense(3, activation="sofmax"), "'softmax'"),
        (lambda: SimpleRNN(3, activation="Tanhh"), "'tanh'"),
        (lambda: Dense(3, kernel_initializer="glorot_unifrom"), "'glorot_uniform'"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(call, word):
    with pytest.raises(ValueError, match="nknown") as caught:
        call()
    assert f"Did you mean {word}?" in str(caught.value)


def test_an_unknown_name_leaves_the_model_compiled_as_it_was():
    model = _regression()
    optimizer, loss = model.optimizer, model.loss
    for options in ({"optimizer": "?"}, {"loss": "?"}, {"metrics": ["?"]}):
        with pytest.raises(ValueError, match="nknown"):
            model.compile(**{"optimizer": "sgd", "loss": "mae", **options})
        assert (model.optimizer, model.loss) == (optimizer, loss)
    with pytest.raises(ValueError, match="loss"):
        model.compile()


# -- a loss that is not finite --------------------------------------------------------------------


def test_a_loss_that_is_not_finite_updates_nothing():
    model = _regression()
    model.train_on_batch(_x(), _y())
    before = _state(model)
    with pytest.raises(FloatingPointError, match="loss"):
        model.train_on_batch(_x(), np.full((2, 2), 1e30))
    _assert_same(before, _state(model))
    with pytest.raises(FloatingPointError, match="batch 1 of epoch 1"):
        model.fit(_x(), np.full((2, 2), 1e30), batch_size=2, shuffle=False, verbose=0)
    _assert_same(before, _state(model))


def test_a_gradient_that_is_not_finite_updates_nothing():
    model = Sequential([Dense(1, input_shape=(1,), kernel_initializer="zeros")])
    model.compile(optimizer="adam", loss="mse")
    model.train_on_batch(np.ones((2, 1)), np.ones((2, 1)))
    before = _state(model)
    x, y = np.full((2, 1), 1e21), np.full((2, 1), -1e18)
    assert np.isfinite(model.test_on_batch(x, y))  # the loss is 4e36, its gradient 4e39
    with pytest.raises(FloatingPointError, match="or its gradient, is nan; nothing was updated"):
        model.train_on_batch(x, y)
    _assert_same(before, _state(model))


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    model = _words()
    model.train_on_batch(np.ones((2, T), int), np.ones((2, 1)))
    path = tmp_path / "model.safetensors"
    model.save(path)
    return path


def _split(path):
    blob = path.read_bytes()
    (length,) = struct.unpack("<Q", blob[:8])
    return json.loads(blob[8 : 8 + length]), blob[8 + length :]


def _join(path, header, data):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


def _unreadable(path):
    """Neither a model nor weights come from it, and the model that should get them stays."""
    with pytest.raises(ValueError, match="model") as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    model = _words()
    _refused(model, lambda m: m.load_weights(path), ValueError, [str(path)])


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 1000, -1, -100])
def test_truncated_files(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    _unreadable(file)


@pytest.mark.parametrize("at", [0, 7, 8, 9, 20])
def test_a_damaged_header(file, at):
    blob = bytearray(file.read_bytes())
    blob[at] ^= 0xFF
    file.write_bytes(bytes(blob))
    _unreadable(file)


def test_a_longer_file(file):
    file.write_bytes(file.read_bytes() + b"more")
    _unreadable(file)


@pytest.mark.parametrize(
    "blob",
    [
        b"text\n",
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"\x80\x05." + bytes(100),
        bytes(1000),
        b"{}" * 99,
    ],
    ids=["text", "HDF5", "pickle", "zeros", "json"],
)
def test_foreign_files(file, blob):
    file.write_bytes(blob)
    _unreadable(file)


def test_a_keras_file_is_recognized(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", "{}" * 100)
    with pytest.raises(ValueError, match="Keras"):
        load_model(file)


def test_a_safetensors_file_of_somebody_else(file):
    header, data = _split(file)
    for metadata in (None, {}, {"format": "pt"}):
        other = {name: entry for name, entry in header.items() if name != "__metadata__"}
        if metadata is not None:
            other["__metadata__"] = metadata
        _join(file, other, data)
        _unreadable(file)


def _config(header):
    return json.loads(header["__metadata__"]["config"])


def _rewrite(path, change):
    header, data = _split(path)
    config = _config(header)
    change(header, config)
    header["__metadata__"]["config"] = json.dumps(config)
    _join(path, header, data)


def _first_layer(config):
    return config["model"]["layers"][0]


HOSTILE = {
    "a class that is not a layer": lambda h, c: _first_layer(c).update(class_name="os.system"),
    "a class of the module": lambda h, c: _first_layer(c).update(class_name="Layer"),
    "no class": lambda h, c: _first_layer(c).pop("class_name"),
    "an argument too many": lambda h, c: _first_layer(c)["config"].update(evil=1),
    "a huge table": lambda h, c: _first_layer(c)["config"].update(input_dim=2**40),
    "a table of another size": lambda h, c: _first_layer(c)["config"].update(input_dim=11),
    "units of no number": lambda h, c: c["model"]["layers"][1]["config"].update(units="4"),
    "a huge layer": lambda h, c: c["model"]["layers"][1]["config"].update(units=2**40),
    "an input of no shape": lambda h, c: c["model"].update(input_shape="x"),
    "an input of a huge shape": lambda h, c: c["model"].update(input_shape=[-5]),
    "layers that are no list": lambda h, c: c["model"].update(layers=5),
    "no layers": lambda h, c: c["model"].update(layers=[]),
    "no model": lambda h, c: c.update(model=None),
    "an optimizer from elsewhere": lambda h, c: c["compile"]["optimizer"].update(
        class_name="os.system"
    ),
    "a loss from elsewhere": lambda h, c: c["compile"]["loss"].update(class_name="eval"),
    "metrics that are no list": lambda h, c: c["compile"].update(metrics=3),
    "an iteration count of no number": lambda h, c: c["compile"].update(iterations="many"),
    "a negative iteration count": lambda h, c: c["compile"].update(iterations=-1),
    "a negative learning rate": lambda h, c: c["compile"]["optimizer"]["config"].update(
        learning_rate=-1
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_configurations(file, name):
    _rewrite(file, HOSTILE[name])
    with pytest.raises(ValueError, match="model") as caught:
        load_model(file)
    assert str(file) in str(caught.value)


def _tensor(header, ending):
    (name,) = [n for n in header if n.endswith(ending) and not n.startswith("optimizer")]
    return name


TENSORS = {
    "another shape": lambda h: h[_tensor(h, "embeddings")].update(shape=[4, 10]),
    "a huge shape": lambda h: h[_tensor(h, "embeddings")].update(shape=[2**40, 2**20]),
    "a huge empty shape": lambda h: h[_tensor(h, "embeddings")].update(shape=[2**40, 0]),
    "a negative shape": lambda h: h[_tensor(h, "embeddings")].update(shape=[-10, -4]),
    "another type": lambda h: h[_tensor(h, "embeddings")].update(dtype="I32"),
    "an unknown type": lambda h: h[_tensor(h, "embeddings")].update(dtype="Q99"),
    "offsets beyond the end": lambda h: h[_tensor(h, "embeddings")].update(
        data_offsets=[10**9, 10**9 + 160]
    ),
    "offsets that overlap": lambda h: h[_tensor(h, "embeddings")].update(data_offsets=[0, 160]),
    "a missing tensor": lambda h: h.pop(_tensor(h, "embeddings")),
    "another name": lambda h: h.update(other=h.pop(_tensor(h, "embeddings"))),
    "a tensor too many": lambda h: h.update(
        more={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    ),
    "no shape": lambda h: h[_tensor(h, "embeddings")].pop("shape"),
    "an entry that is none": lambda h: h.update({_tensor(h, "embeddings"): 5}),
}


@pytest.mark.parametrize("name", TENSORS)
def test_hostile_tensors(file, name):
    header, data = _split(file)
    TENSORS[name](header)
    _join(file, header, data)
    _unreadable(file)


def test_a_name_that_occurs_twice(file):
    header, data = _split(file)
    raw = json.dumps(header)
    entry = (
        json.dumps(_tensor(header, "embeddings"))
        + ": "
        + json.dumps(header[_tensor(header, "embeddings")])
    )
    _join(file, (raw[:-1] + ", " + entry + "}").encode(), data)
    _unreadable(file)


def test_a_header_nested_too_deep(file):
    _join(file, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"")
    _unreadable(file)


def test_a_header_that_claims_to_be_huge(file):
    file.write_bytes(struct.pack("<Q", 2**62) + b"{" * 100)
    _unreadable(file)


def test_weights_that_are_not_finite(file):
    header, data = _split(file)
    start, _ = header[_tensor(header, "embeddings")]["data_offsets"]
    spoiled = bytearray(data)
    spoiled[start : start + 4] = np.float32(np.nan).tobytes()
    _join(file, header, bytes(spoiled))
    _unreadable(file)


def test_moments_of_another_shape(file):
    header, data = _split(file)
    name = next(n for n in header if n.startswith("optimizer"))
    header[name]["shape"] = [1, *header[name]["shape"]]
    _join(file, header, data)
    with pytest.raises(ValueError, match="model"):
        load_model(file)
    model = _words()
    model.load_weights(file)  # which needs no moments


def test_weights_of_another_model(file):
    _refused(_regression(), lambda m: m.load_weights(file), ValueError, [str(file), "6", "5"])
    model = Sequential([Embedding(10, 5, input_shape=(T,)), LSTM(4), Dense(1)])
    _refused(model, lambda m: m.load_weights(file), ValueError, ["(10, 5)", "(10, 4)"])


def test_missing_files_and_folders(tmp_path):
    model = _words()
    for call in (load_model, model.load_weights):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "none")
        with pytest.raises((IsADirectoryError, ValueError, PermissionError)):
            call(tmp_path)
    with pytest.raises(IsADirectoryError, match="file name"):
        model.save(tmp_path)


def test_a_save_that_fails_keeps_the_old_file(file, monkeypatch):
    before = file.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(OSError, match="No space"):
                _words().save(file)
        assert file.read_bytes() == before
        assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_that_exists_is_kept_where_asked(file):
    before = file.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite"):
        _words().save(file, overwrite=False)
    assert file.read_bytes() == before
