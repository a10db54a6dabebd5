"""Optimizers in models: what they keep, save and average, and how training goes on from a file."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential, optimizers
from fastlstm.layers import LSTM, Dense, Embedding
from fastlstm.models import Ensemble, load_model
from fastlstm.optimizers import SGD, Adam, AdamW, Lion, RMSprop
from fastlstm.optimizers.schedules import CosineDecay, LearningRateSchedule
from tests.optimizers.problem import EACH, OPTIONS
from tests.peers import import_keras

N, T, D = 8, 5, 3


def _model(optimizer):
    model = Sequential([LSTM(6, input_shape=(T, D)), Dense(2)])
    model.compile(optimizer, "mse")
    model.build()
    return model


def _data(rng, *lead):
    x = rng.standard_normal((*lead, N, T, D)).astype(np.float32)
    return x, rng.standard_normal((*lead, N, 2)).astype(np.float32)


def _assert_equal(arrays, expected):
    for array, other in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=str)
@pytest.mark.parametrize(("name", "own"), EACH, ids=str)
def test_training_goes_on_from_a_file(name, own, options, tmp_path, rng):
    """With the bits of one that never stopped, also within a window of gradients."""
    x, y = _data(rng)
    options = {**own, **options, "learning_rate": CosineDecay(0.1, 20)}
    optimizer = getattr(optimizers, name)(**options)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model = _model(optimizer)
    for _ in range(4):
        model.train_on_batch(x, y)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.optimizer.get_config() == optimizer.get_config()
    assert again.optimizer.steps == 4
    for each in (model, again):
        for _ in range(5):
            each.train_on_batch(x, y)
        each.finalize_weights()
    _assert_equal(again.get_weights(), model.get_weights())
    _assert_equal(again.optimizer.state().values(), model.optimizer.state().values())


def test_an_exclusion_is_in_the_file(tmp_path, rng):
    optimizer = AdamW()
    optimizer.exclude_from_weight_decay(var_list=["dense/kernel"], var_names=["bias$"])
    model = Sequential([LSTM(6, input_shape=(T, D), name="lstm"), Dense(2, name="dense")])
    model.compile(optimizer, "mse")
    model.save(tmp_path / "model")
    names = load_model(tmp_path / "model").optimizer.excluded_from_weight_decay(model.weight_names)
    assert names == ["lstm/bias", "dense/kernel", "dense/bias"]
    model.save_weights(tmp_path / "weights")
    model.load_weights(tmp_path / "model")


def test_a_wrong_exclusion_leaves_the_model_as_it_was(rng):
    model = _model("adam")
    before = model.optimizer
    wrong = AdamW()
    wrong.exclude_from_weight_decay(var_list=["dense/bia"])
    with pytest.raises(ValueError, match="exclude_from_weight_decay names 'dense/bia'"):
        model.compile(wrong, "mae")
    assert model.optimizer is before
    assert np.isfinite(model.train_on_batch(*_data(rng)))


def test_options_may_be_numpy_scalars(tmp_path):
    four = np.int64(4)
    options = {"gradient_accumulation_steps": four, "ema_overwrite_frequency": four}
    model = _model(SGD(np.float32(0.5), weight_decay=np.float32(0.5), clipnorm=four, **options))
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model").optimizer
    assert again.get_config() == model.optimizer.get_config()


@pytest.mark.parametrize("wrong", [["nothing"], "dense/bias", 3, [1], {"a": 1}], ids=str)
def test_a_hostile_exclusion(wrong, tmp_path):
    _model("adam").save(tmp_path / "model")
    blob = (tmp_path / "model").read_bytes()
    length = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + length])
    config = json.loads(header["__metadata__"]["config"])
    config["compile"]["not_decayed"] = wrong
    header["__metadata__"]["config"] = json.dumps(config)
    raw = json.dumps(header).encode()
    (tmp_path / "model").write_bytes(len(raw).to_bytes(8, "little") + raw + blob[8 + length :])
    with pytest.raises(ValueError, match="model"):
        load_model(tmp_path / "model")


def test_a_file_from_before_exclusions(tmp_path):
    """Older files have neither that entry nor the newer options."""
    _model("adam").save(tmp_path / "model")
    blob = (tmp_path / "model").read_bytes()
    length = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + length])
    config = json.loads(header["__metadata__"]["config"])
    del config["compile"]["not_decayed"]
    options = config["compile"]["optimizer"]["config"]
    for key in ("weight_decay", "use_ema", "ema_momentum", "gradient_accumulation_steps"):
        del options[key]
    header["__metadata__"]["config"] = json.dumps(config)
    raw = json.dumps(header).encode()
    (tmp_path / "model").write_bytes(len(raw).to_bytes(8, "little") + raw + blob[8 + length :])
    assert isinstance(load_model(tmp_path / "model").optimizer, Adam)


def test_a_model_saved_before_its_first_batch(tmp_path):
    model = Sequential([LSTM(6, input_shape=(T, D)), Dense(2)])
    model.compile("adam", "mse")
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").optimizer.steps == 0


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_it_keeps_is_in_the_report(options):
    model = _model(RMSprop(momentum=0.5, centered=True, **options))
    kept = model.optimizer.state()
    arrays = 3 + options.get("use_ema", False) + ("gradient_accumulation_steps" in options)
    assert len(kept) == arrays
    assert model.memory_report(N).training.moments == arrays * 4 * model.count_params()


def test_what_does_not_fit_is_refused(monkeypatch):
    model = _model("sgd")
    room = 10 * 4 * model.count_params()
    monkeypatch.setattr("fastlstm.memory._SMALL", 0)
    monkeypatch.setattr("fastlstm.memory.available_memory", lambda: room // 4)
    model.compile("adam", "mse")
    with pytest.raises(MemoryError, match="the moments of Adam need"):
        model.compile(Adam(use_ema=True), "mse")
    with pytest.raises(MemoryError, match="the moments of Adam need"):
        model.compile(Adam(gradient_accumulation_steps=2), "mse")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("name", "own"), EACH, ids=str)
def test_the_models_of_an_ensemble_have_the_bits_of_each_alone(name, own, options, rng):
    optimizer = getattr(optimizers, name)(**{**own, **options})
    optimizer.exclude_from_weight_decay(var_names=["recurrent"])
    fastlstm.set_num_threads(2)
    ensemble = Ensemble(_model(optimizer), 3)
    models = [ensemble[number] for number in range(3)]
    x, y = _data(rng, 3)
    for _ in range(7):
        ensemble.train_on_batch(x, y)
        for number, model in enumerate(models):
            model.train_on_batch(x[number], y[number])
    for finish in (False, True):
        if finish:
            ensemble.finalize_weights()
            for model in models:
                model.finalize_weights()
        for number, model in enumerate(models):
            _assert_equal(ensemble[number].get_weights(), model.get_weights())


class _Constant(LearningRateSchedule):
    """A user's own schedule, that no configuration knows."""

    def __call__(self, step):
        return 0.5


def test_an_ensemble_takes_a_schedule_of_ones_own(rng):
    ensemble = Ensemble(_model(SGD(_Constant())), 2)
    assert ensemble.optimizer.learning_rate == 0.5
    assert np.isfinite(ensemble.train_on_batch(*_data(rng, 2))).all()


def test_a_model_of_an_ensemble_that_is_held_up(rng):
    """Its gradients are collected anew, and its mean weights start from what they are."""
    options = {"use_ema": True, "ema_momentum": 0.5, "gradient_accumulation_steps": 2}
    ensemble = Ensemble(_model(SGD(0.1, **options)), 2)
    whole, held = ensemble[0], ensemble[1]
    x, y = _data(rng, 2)
    bad = y.copy()
    bad[1] = 1e38
    ensemble.train_on_batch(x, bad)
    for _ in range(4):
        ensemble.train_on_batch(x, y)
    for target in (y[0],) * 5:
        whole.train_on_batch(x[0], target)
    _assert_equal(ensemble[0].get_weights(), whole.get_weights())
    # The first window of the model that was held up has one gradient and counts as two.
    held.compile(SGD(0.05), "mse")
    held.train_on_batch(x[1], y[1])
    held.compile(SGD(0.1, gradient_accumulation_steps=2), "mse")
    for _ in range(2):
        held.train_on_batch(x[1], y[1])
    for got, expected in zip(ensemble[1].get_weights(), held.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    ensemble.finalize_weights()
    assert all(np.isfinite(weight).all() for weight in ensemble.get_weights())


def test_gradients_that_overflow_update_nothing(rng):
    x, y = _data(rng)
    model = _model(Lion(gradient_accumulation_steps=2, use_ema=True))
    model.train_on_batch(x, y)
    before = [model.get_weights(), [row.copy() for row in model.optimizer.state().values()]]
    with pytest.raises(FloatingPointError):
        model.train_on_batch(x, np.full_like(y, 1e38))
    _assert_equal(model.get_weights(), before[0])
    _assert_equal(model.optimizer.state().values(), before[1])
    assert model.optimizer.steps == 1


def test_one_update_for_several_batches_is_that_of_their_mean(rng):
    """As from one batch that holds them all."""
    x, y = _data(rng)
    models = [_model(Adam(0.1)), _model(Adam(0.1, gradient_accumulation_steps=4))]
    models[1].set_weights(models[0].get_weights())
    for _ in range(3):
        models[0].train_on_batch(x, y)
        for part in np.split(np.arange(N), 4):
            models[1].train_on_batch(x[part], y[part])
    assert models[1].optimizer.iterations == models[0].optimizer.iterations == 3
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_words_of_an_earlier_window_have_no_part_in_the_next():
    model = Sequential([Embedding(6, 2, input_shape=(1,)), LSTM(3), Dense(1)])
    model.compile(SGD(0.5, gradient_accumulation_steps=2), "mse")
    for window in ((0, 1), (2, 3), (4, 5), (0, 5)):
        before = model.get_weights()[0]
        for word in window:
            model.train_on_batch([[word]], [[1.0]])
        changed = (model.get_weights()[0] != before).any(axis=1)
        assert np.flatnonzero(changed).tolist() == list(window)


def test_fit_ends_with_the_averages_as_in_keras(rng):
    keras = import_keras()
    x, y = _data(rng)
    options = {"use_ema": True, "ema_momentum": 0.7, "weight_decay": 0.1}
    ours = _model(SGD(0.1, **options))
    theirs = keras.Sequential([keras.Input((T, D)), keras.layers.LSTM(6), keras.layers.Dense(2)])
    theirs.compile(keras.optimizers.SGD(0.1, **options), "mse")
    theirs.set_weights(ours.get_weights())
    for model in (ours, theirs):
        for _ in range(2):  # the second run starts from the averages
            model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for got, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_fit_of_no_epochs_leaves_the_weights(rng):
    model = _model(SGD(use_ema=True))
    before = model.get_weights()
    model.fit(*_data(rng), epochs=0, verbose=0)
    model.finalize_weights()
    _assert_equal(model.get_weights(), before)
