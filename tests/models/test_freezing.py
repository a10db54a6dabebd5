"""Frozen layers and models: what training leaves alone, in Keras' words and with its values."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential, optimizers
from fastlstm.layers import GRU, LSTM, Bidirectional, Dense, Embedding, TimeDistributed
from fastlstm.layers.freezing import Freezable
from fastlstm.models import Ensemble, load_model
from fastlstm.optimizers import SGD, Adam, AdamW
from tests.optimizers.problem import EACH, OPTIONS
from tests.peers import import_keras

N, T, D = 8, 5, 3


def _layers(**first):
    return [
        LSTM(6, input_shape=(T, D), return_sequences=True, **first),
        GRU(4, name="top"),
        Dense(2),
    ]


def _model(optimizer="adam", **first):
    model = Sequential(_layers(**first))
    model.compile(optimizer, "mse")
    return model


def _data(rng, *lead):
    x = rng.standard_normal((*lead, N, T, D)).astype(np.float32)
    return x, rng.standard_normal((*lead, N, 2)).astype(np.float32)


def _assert_equal(arrays, expected):
    for array, other in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, other)


def _changed(model, before):
    return [bool((w != old).any()) for w, old in zip(model.get_weights(), before, strict=True)]


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=str)
@pytest.mark.parametrize(("name", "own"), EACH, ids=str)
def test_no_optimizer_touches_a_frozen_layer(name, own, options, rng):
    """Neither by its step, nor by decay, nor by a running mean."""
    model = _model(getattr(optimizers, name)(**{**own, **options}), trainable=False)
    before = model.get_weights()
    for _ in range(6):
        model.train_on_batch(*_data(rng))
    model.finalize_weights()
    assert _changed(model, before) == [False] * 3 + [True] * 5


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=str)
def test_the_other_layers_learn_as_if_it_were_no_part_of_the_model(options, rng):
    """So its gradients are in no norm: as a model that is given what the frozen layer makes."""
    whole = _model(Adam(0.05, **options), trainable=False)
    part = Sequential([GRU(4, input_shape=(T, 6)), Dense(2)])
    part.compile(Adam(0.05, **options), "mse")
    part.set_weights(whole.get_weights()[3:])
    for _ in range(6):
        x, y = _data(rng)
        assert whole.train_on_batch(x, y) == part.train_on_batch(whole.layers[0](x), y)
    whole.finalize_weights()
    part.finalize_weights()
    _assert_equal(whole.get_weights()[3:], part.get_weights())


def test_where_nothing_is_frozen_all_is_one_stretch():
    model = _model(AdamW())
    model.build()
    *_, bounds, _ = model.optimizer.shared_arrays()
    assert bounds.tolist() == [[0, model.count_params()]]


def test_a_gradient_of_a_frozen_layer_need_not_be_finite(rng):
    """Only what is used has to be."""
    optimizer, values = SGD(0.5, gradient_accumulation_steps=2), np.ones(4)
    optimizer.build([("a", 0, 2), ("b", 2, 2)], 4, np.float64)
    optimizer.freeze(["a"], values)
    grads = np.array([np.nan, np.inf, 1.0, 1.0])
    for _ in range(2):
        optimizer.update(values, grads.copy())
    np.testing.assert_array_equal(values, [1, 1, 0.5, 0.5])
    optimizer.freeze([], values)
    for _ in range(2):
        optimizer.update(values, np.ones(4))
    np.testing.assert_array_equal(values, [0.5, 0.5, 0, 0])


def test_freeze_comes_after_build():
    with pytest.raises(RuntimeError, match="freeze needs build"):
        SGD().freeze([], np.ones(3))


def test_a_change_counts_from_the_next_step_on(rng):
    model = _model(Adam(0.05, use_ema=True, ema_momentum=0.5))
    x, y = _data(rng)
    model.train_on_batch(x, y)
    moments = model.optimizer.state()["momentum"].copy()
    for frozen in (True, False, True):
        model.layers[0].trainable = not frozen
        before = model.get_weights()
        model.train_on_batch(x, y)
        assert _changed(model, before) == [not frozen] * 3 + [True] * 5
    assert model.optimizer.steps == 4
    size = model.layers[0].count_params()
    assert (model.optimizer.state()["momentum"][:size] != moments[:size]).any()
    # The mean of what was freed goes on from the weights that it has.
    before = model.get_weights()
    model.finalize_weights()
    for weight, mean in zip(before[3:], model.get_weights()[3:], strict=True):
        np.testing.assert_allclose(weight, mean, atol=0.2)
    _assert_equal(model.get_weights()[:3], before[:3])


def test_a_mean_starts_where_its_weights_were_freed(rng):
    model = _model(SGD(0.0, use_ema=True, ema_momentum=0.9), trainable=False)
    before = model.get_weights()
    model.train_on_batch(*_data(rng))
    model.layers[0].trainable = True
    model.train_on_batch(*_data(rng))
    model.finalize_weights()
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-6)


def test_gradients_are_given_of_all_weights(rng):
    x, y = _data(rng)
    free, frozen = _model(), _model(trainable=False)
    frozen.set_weights(free.get_weights())
    _assert_equal(frozen.value_and_grad(x, y)[1], free.value_and_grad(x, y)[1])
    (_, first), (_, second) = (fastlstm.vjp(model, x) for model in (free, frozen))
    _assert_equal(second(y)[2], first(y)[2])


@pytest.mark.parametrize("bptt", ["checkpoint", 2])
def test_every_way_through_time(bptt, rng):
    model = Sequential(
        [LSTM(4, input_shape=(None, D), return_sequences=True, trainable=False), Dense(2)]
    )
    model.compile("adam", "mse")
    x = rng.standard_normal((2, 60, D)).astype(np.float32)
    before = None
    for _ in range(3):
        model.train_on_batch(x, x[..., :2], bptt=bptt)
        before = before or model.get_weights()
        assert _changed(model, before)[:3] == [False] * 3
    assert _changed(model, before)[3:] == [True, True]


def test_the_models_of_an_ensemble(rng):
    model = _model(SGD(0.1, use_ema=True, global_clipnorm=0.1), trainable=False)
    ensemble = Ensemble(model, 3)
    singles = [ensemble[number] for number in range(3)]
    before = ensemble.get_weights()
    x, y = _data(rng, 3)
    for _ in range(4):
        ensemble.train_on_batch(x, y)
        for number, single in enumerate(singles):
            single.train_on_batch(x[number], y[number])
    ensemble.finalize_weights()
    _assert_equal(ensemble.get_weights()[:3], before[:3])
    for number, single in enumerate(singles):
        single.finalize_weights()
        _assert_equal(ensemble[number].get_weights(), single.get_weights())
    model.trainable = False
    with pytest.warns(UserWarning, match="no trainable weights"):
        assert not any(Ensemble(model, 2)[0].trained)


def test_the_lists_of_weights():
    model = _model(trainable=False)
    layer = model.layers[0]
    assert layer.trainable is False
    assert layer.trainable_weights == layer.trainable_variables == []
    _assert_equal(layer.non_trainable_weights, layer.weights)
    _assert_equal(layer.non_trainable_variables, layer.variables)
    _assert_equal(model.non_trainable_weights, layer.weights)
    _assert_equal(model.trainable_weights, model.weights[3:])
    layer.trainable = True
    assert len(model.trainable_variables) == len(model.variables) == 8
    assert model.non_trainable_variables == []
    assert not any(weight.flags.writeable for weight in model.trainable_weights)


def test_a_model_is_frozen_with_all_its_layers(rng):
    """A layer of it that is freed has to wait for it, as in Keras."""
    model = _model()
    model.trainable = False
    assert not any(layer.trainable for layer in model.layers)
    before = model.get_weights()
    model.layers[-1].trainable = True
    with pytest.warns(UserWarning, match="no trainable weights"):
        model.train_on_batch(*_data(rng))
    assert not any(_changed(model, before))
    model.trainable = True
    model.layers[0].trainable = False
    model.train_on_batch(*_data(rng))
    assert _changed(model, before) == [False] * 3 + [True] * 5


@pytest.mark.parametrize("of", ["wrapper", "layer", "argument", "one side"])
def test_layers_in_layers(of, rng):
    inner = LSTM(4, return_sequences=True, trainable=of != "layer")
    both = Bidirectional(inner, input_shape=(T, D), trainable=of != "argument")
    model = Sequential([both, TimeDistributed(Dense(2))])
    model.compile("adam", "mse")
    if of == "wrapper":
        both.trainable = False
        assert not both.forward_layer.trainable
    if of == "one side":
        both.backward_layer.trainable = False
    before = model.get_weights()
    x, _ = _data(rng)
    model.train_on_batch(x, x[..., :2])
    kept = 3 if of == "one side" else 6
    assert _changed(model, before) == [True] * (6 - kept) + [False] * kept + [True] * 2
    assert both.trained == [of == "one side"] * 3 + [False] * 3
    again = Bidirectional.from_config(both.get_config())
    again.build((T, D))
    assert (again.trainable, again.trained) == (both.trainable, both.trained)


def test_it_is_in_the_file(tmp_path, rng):
    model = _model(Adam(0.05), trainable=False)
    x, y = _data(rng)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.trained == model.trained == [False] * 3 + [True] * 5
    for each in (model, again):
        each.train_on_batch(x, y)
    _assert_equal(again.get_weights(), model.get_weights())
    model.trainable = False
    model.layers[1].trainable = True
    model.save(tmp_path / "model")
    with pytest.warns(UserWarning, match="no trainable weights"):
        again = load_model(tmp_path / "model")
    assert not again.trainable
    assert [layer.trainable for layer in again.layers] == [False, True, False]


def test_a_copy_follows_what_was_frozen_before_it_was_made(rng, monkeypatch):
    """Also in another process, where as many changes may have been counted by chance."""
    model = _model()
    model.train_on_batch(*_data(rng))
    model.layers[0].trainable = False
    blob, before = pickle.dumps(model), model.get_weights()
    monkeypatch.setattr(Freezable, "freezes", model._followed)
    copied = pickle.loads(blob)
    copied.train_on_batch(*_data(rng))
    assert _changed(copied, before) == [False] * 3 + [True] * 5


def test_the_summary_counts_them():
    lines = []
    _model(trainable=False).summary(print_fn=lines.append)
    assert lines[-3:-2][0].startswith("Total params: 394 ")
    assert lines[-2:] == ["Trainable params: 154", "Non-trainable params: 240"]


def test_a_frozen_table_of_words(rng):
    model = Sequential([Embedding(9, 4, input_shape=(T,), trainable=False), LSTM(3), Dense(1)])
    model.compile(AdamW(), "mse")
    before = model.get_weights()
    model.train_on_batch(rng.integers(0, 9, (N, T)), np.ones((N, 1)))
    assert _changed(model, before) == [False] + [True] * 5


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 0.1}, {"use_ema": True}], ids=str)
def test_keras(options, rng):
    """Frozen at first, freed after a while, and another layer frozen; each time compiled anew."""
    keras = import_keras()
    theirs = keras.Sequential(
        [
            keras.Input((T, D)),
            keras.layers.LSTM(6, return_sequences=True, trainable=False),
            keras.layers.GRU(4),
            keras.layers.Dense(2),
        ]
    )
    ours = Sequential(_layers(trainable=False))
    ours.build()
    theirs.set_weights(ours.get_weights())
    for frozen in (0, 2):
        for model, api in ((theirs, keras), (ours, fastlstm)):
            for number, layer in enumerate(model.layers):
                layer.trainable = number != frozen
            model.compile(api.optimizers.AdamW(0.02, 0.1, epsilon=1e-3, **options), "mse")
        assert len(ours.trainable_weights) == len(theirs.trainable_weights)
        x, y = _data(rng)
        for _ in range(10):
            ours.train_on_batch(x, y)
            theirs.train_on_batch(x, y)
        for got, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-5)
