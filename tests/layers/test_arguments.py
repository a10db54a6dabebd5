"""Arguments of constructors: those that Keras has are accepted, or refused with a word on why."""

from __future__ import annotations

import inspect
import os
import warnings

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, Sequential, layers
from fastlstm.models import load_model
from fastlstm.registry import arguments_of_class
from tests.reference import finite

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

# Keras' own way to NumPy is older than NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Positional arguments without which a layer cannot be made; for both, what the name says there.
NEEDED = {
    "Activation": lambda api: ("tanh",),
    "Bidirectional": lambda api: (api.LSTM(3),),
    "Conv1D": lambda api: (4, 2),
    "Dense": lambda api: (3,),
    "Dropout": lambda api: (0.5,),
    "Embedding": lambda api: (7, 3),
    "GRU": lambda api: (3,),
    "GRUCell": lambda api: (3,),
    "GaussianNoise": lambda api: (0.5,),
    "InputLayer": lambda api: ((3, 2),),
    "LSTM": lambda api: (3,),
    "LSTMCell": lambda api: (3,),
    "MultiHeadAttention": lambda api: (2, 3),
    "Permute": lambda api: ((2, 1),),
    "Dot": lambda api: (1,),
    "RNN": lambda api: (api.LSTMCell(3),),
    "RepeatVector": lambda api: (3,),
    "Rescaling": lambda api: (2.0,),
    "Reshape": lambda api: ((-1,),),
    "SimpleRNN": lambda api: (3,),
    "SimpleRNNCell": lambda api: (3,),
    "SpatialDropout1D": lambda api: (0.5,),
    "StackedRNNCells": lambda api: ([api.LSTMCell(3), api.GRUCell(3)],),
    "TimeDistributed": lambda api: (api.Dense(3),),
}
SHARED = sorted(
    name
    for name in layers.__all__
    if isinstance(getattr(keras.layers, name, None), type)
    and isinstance(getattr(layers, name), type)
    and name != "Layer"
)
# What nobody means by chance: neither None, nor False, nor a default of Keras'.
ASKED = {"l2": "a rule", "asked": "a value"}


def _arguments_of_keras(name):
    """Names and defaults of what Keras' layer takes, its bases' among them."""
    kind, found = getattr(keras.layers, name), {}
    for base in kind.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        for p in parameters:
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self":
                found.setdefault(p.name, p.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    needed = NEEDED.get(name, lambda api: ())(keras.layers)
    return {
        argument: default
        for argument, default in found.items()
        if default is not inspect.Parameter.empty and _makes(kind, needed, argument, default)
    }


def _makes(kind, needed, argument, default):
    """Whether it is an argument for users, and not one that the class gives to its base."""
    try:
        kind(*needed, **{argument: default})
    except (TypeError, ValueError):
        return False
    return True


def _made(name, /, **options):
    return getattr(layers, name)(*NEEDED.get(name, lambda api: ())(layers), **options)


def test_layers_are_walked():
    assert len(SHARED) > 35
    assert {"LSTM", "Conv1D", "MultiHeadAttention"} < set(SHARED)
    assert {"kernel_constraint", "seed", "trainable", "name"} < set(_arguments_of_keras("LSTM"))


@pytest.mark.parametrize("name", SHARED)
def test_every_argument_of_keras(name):
    """Keras' default is accepted; what is not here says so, and what to do."""
    refused, kind = [], getattr(layers, name)
    # A cell's are those of its layer; and RNN makes the layer of its cell.
    kind = layers.LSTM if kind is layers.RNN else getattr(kind, "layer", kind)
    known = arguments_of_class(kind)
    for argument, default in _arguments_of_keras(name).items():
        _made(name, **{argument: default})
        if argument in known:
            continue
        try:
            _made(name, **{argument: ASKED})
        except (TypeError, ValueError) as error:
            text = str(error)
            assert argument in text, text
            assert "unexpected" not in text, text
            refused.append(argument)
    assert "kernel_initializer" not in refused
    assert "trainable" not in refused


@pytest.mark.parametrize("name", SHARED)
def test_what_nobody_has_is_refused_by_name(name):
    with pytest.raises(TypeError, match=r"no argument 'trainabel'\. Did you mean 'trainable'"):
        _made(name, trainabel=False)


# -- what they do -------------------------------------------------------------------------------

B, T, D = 6, 5, 4
NORMS = {"class_name": "MaxNorm", "config": {"max_value": 0.7, "axis": 0}}


def _regular(api, **options):
    """Layers that had no rules for their weights for long, with all of them."""
    names = ("kernel", "bias")
    rules = {f"{name}_regularizer": "l2" for name in names}
    rules |= {f"{name}_constraint": "non_neg" for name in names}
    x = api.Input((T, D))
    y = api.layers.Conv1D(D, 2, padding="same", **rules, **options)(x)
    norms = {"beta_regularizer": "l1", "gamma_regularizer": "l2", "gamma_constraint": "unit_norm"}
    y = api.layers.LayerNormalization(beta_constraint="non_neg", **norms, **options)(y)
    of_heads = {"kernel_regularizer": "l2", "bias_regularizer": "l2", "kernel_constraint": NORMS}
    if api is keras:
        of_heads["kernel_constraint"] = keras.constraints.MaxNorm(**NORMS["config"])
    y = api.layers.MultiHeadAttention(2, 3, **of_heads, **options)(y, y)
    return api.Model(x, api.layers.Dense(1, **options)(y))


def test_rules_are_those_of_keras(rng, serial):
    ours, theirs = _regular(fastlstm), _regular(keras)
    ours.set_weights(theirs.get_weights())
    x, y = (rng.standard_normal((B, T, size)).astype(np.float32) for size in (D, 1))
    for model in (ours, theirs):
        model.compile("sgd", "mse")
    for _ in range(5):
        theirs.reset_metrics()
        assert ours.train_on_batch(x, y) == pytest.approx(theirs.train_on_batch(x, y), rel=1e-5)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_gradients_of_rules(rng, serial):
    model = _regular(fastlstm, dtype="float64")
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, 1))
    # Away from 0, where an absolute value has no slope.
    weights = [w + 0.3 for w in model.get_weights()]
    model.set_weights(weights)
    _, grads = model.value_and_grad(x, y)

    def loss():
        model.set_weights(weights)
        return model.test_on_batch(x, y)

    for weight, grad in zip(weights, grads, strict=True):
        np.testing.assert_allclose(grad, finite.gradient(loss, weight), rtol=1e-5, atol=1e-7)


def test_they_are_saved(tmp_path, serial):
    model = _regular(fastlstm)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.get_config() == model.get_config()
    norm = loaded.layers[2]
    assert (norm.beta_regularizer.l1, norm.gamma_regularizer.l2) == (0.01, 0.01)


DRAWING = {
    "Dropout": lambda seed: layers.Dropout(0.5, seed=seed),
    "SpatialDropout1D": lambda seed: layers.SpatialDropout1D(0.5, seed),
    "GaussianNoise": lambda seed: layers.GaussianNoise(0.5, seed),
    "LSTM": lambda seed: layers.LSTM(
        3, dropout=0.3, recurrent_dropout=0.3, seed=seed, recurrent_initializer="ones"
    ),
    "Attention": lambda seed: layers.Attention(dropout=0.5, seed=seed),
    "MultiHeadAttention": lambda seed: layers.MultiHeadAttention(2, 3, dropout=0.5, seed=seed),
}


@pytest.mark.parametrize("name", DRAWING)
def test_seeds_repeat_what_is_drawn(name, rng, serial):
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    results = []
    for seed, before in ((5, 1), (5, 2), (6, 1), (None, 1)):
        fastlstm.utils.set_random_seed(before)
        layer = type(made := DRAWING[name](seed)).from_config(made.get_config())
        arrays = (x, x) if name.startswith("Multi") else ([x, x] if "Att" in name else x,)
        layer(*arrays)
        layer.set_weights([np.full_like(w, 0.3) for w in layer.get_weights()])
        results.append([layer(*arrays, training=True) for _ in range(2)])
    first, again, other, free = results
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - first[1]).max() > 0  # each batch draws anew
    assert np.abs(first[0] - other[0]).max() > 0
    assert np.abs(first[0] - free[0]).max() > 0


def test_noise_shape_is_spatial_dropout(rng, serial):
    x = rng.standard_normal((B, T, D)).astype(np.float32)
    by_shape = layers.Dropout(0.5, noise_shape=(None, 1, D), seed=3)
    expected = layers.SpatialDropout1D(0.5, seed=3)(x, training=True)
    again = layers.Dropout.from_config(by_shape.get_config())
    np.testing.assert_array_equal(by_shape(x, training=True), expected)
    np.testing.assert_array_equal(again(x, training=True), expected)
    plain = layers.Dropout(0.5, seed=3)(x, training=True)
    assert np.abs(plain - expected).max() > 0


def test_embedding_of_given_weights(rng, serial):
    table = rng.standard_normal((7, 3)).astype(np.float32)
    ids = rng.integers(0, 7, (B, T))
    for given in (table, [table], table.tolist()):
        layer = layers.Embedding(7, 3, weights=given, trainable=False)
        np.testing.assert_array_equal(layer(ids), table[ids])
    model = Sequential([Input((T,)), layer, layers.LSTM(2)])
    np.testing.assert_array_equal(model.get_weights()[0], table)
    assert "weights" not in layer.get_config()
    with pytest.raises(ValueError, match=r"expects shape \(7, 3\), got \(3, 7\)"):
        layers.Embedding(7, 3, weights=table.T)


def test_any_layer_may_be_frozen(rng, serial):
    x, y = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, 1))
    start = Input((T, D))
    seen = layers.Conv1D(D, 3, padding="same", trainable=False)(start)
    seen = layers.LayerNormalization(trainable=False)(layers.Activation("relu")(seen))
    model = Model(start, layers.Dense(1)(seen))
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(x, y)
    changed = [np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, False, False, True, True]
    assert [layer.trainable for layer in model.layers] == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("act", "error", "parts"),
    [
        (lambda: layers.CRF(3, activity_regularizer="l2"), TypeError, ["the layer below"]),
        (lambda: layers.LSTM(3, batch_input_shape=(1, 2, 3)), TypeError, ["input_shape"]),
        (lambda: layers.LSTM(3, time_major=True), TypeError, ["swapaxes"]),
        (lambda: layers.Conv1D(3, 2, lora_rank=4), TypeError, ["lora_rank", "trainable=False"]),
        (lambda: layers.Bidirectional(layers.LSTM(3), "sum", [0]), TypeError, ["set_weights"]),
        (lambda: layers.Dropout(0.5, (None, 1)), ValueError, ["SpatialDropout1D", "(None, 1)"]),
        (lambda: layers.Dropout(0.5, (1, 1, None)), ValueError, ["SpatialDropout1D"]),
        (lambda: layers.Dropout(0.5, (None, 1, 3))(np.zeros((2, 3, 4))), ValueError,
         ["(2, 3, 4)", "(None, 1, 3)"]),
        (lambda: layers.Dropout(0.5, seed=-1), ValueError, ["Dropout seed", "-1"]),
        (lambda: layers.MultiHeadAttention(2, 3, attention_axes=(1, 2)), TypeError, ["over time"]),
        (lambda: layers.TimeDistributed(layers.Dropout(0.5, (None, 1, None))), TypeError,
         ["vectors"]),
        (lambda: layers.StackedRNNCells([layers.GRUCell(2)], trainable=False), TypeError, ["RNN"]),
    ],
)  # fmt: skip
def test_what_is_not_here_is_said(act, error, parts):
    with pytest.raises(error) as caught:
        act()
    for part in parts:
        assert part in str(caught.value)
