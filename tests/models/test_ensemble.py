"""Ensembles: every model has the bits that it would have on its own."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm import Input, Model, Sequential
from fastlstm.layers import (
    GRU,
    LSTM,
    Add,
    Attention,
    Bidirectional,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    RepeatVector,
    SimpleRNN,
    TimeDistributed,
)
from fastlstm.losses import Quantile
from fastlstm.models import Ensemble
from fastlstm.optimizers import SGD, Adam

N, B, T, D = 7, 5, 6, 3


def _numbers():
    model = Sequential([LSTM(9, return_sequences=True, input_shape=(T, D)), SimpleRNN(4), Dense(2)])
    model.compile(Adam(0.01, global_clipnorm=0.5), "mse", metrics=["mae"])
    return model


def _classes():
    model = Sequential([Embedding(11, 6, input_shape=(T,)), LSTM(8), Dense(3, "softmax")])
    model.compile(SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _every_step():
    model = Sequential([LSTM(6, return_sequences=True, input_shape=(None, D)), Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model


def _padded():
    """Both ways over padding, and on to a sequence of its own."""
    layers = [
        Embedding(11, 6, mask_zero=True, input_shape=(T,)),
        Bidirectional(LSTM(5, return_sequences=True)),
        Bidirectional(GRU(4), merge_mode="mul"),
        RepeatVector(4),
        LSTM(3, return_sequences=True, go_backwards=True),
        TimeDistributed(Dense(2)),
    ]
    model = Sequential(layers)
    model.compile("adam", "mse")
    return model


def _data(make, rng, samples=B):
    shape = (N, samples, T)
    if make is _padded:
        return rng.integers(0, 11, shape), rng.standard_normal((N, samples, 4, 2))
    if make is _classes:
        return rng.integers(0, 11, shape), rng.integers(0, 3, (N, samples))
    x = rng.standard_normal((*shape, D)).astype(np.float32)
    if make is _every_step:
        return x, rng.integers(0, 2, (*shape, 1)).astype(np.float32)
    return x, rng.standard_normal((N, samples, 2)).astype(np.float32)


MODELS = pytest.mark.parametrize("make", [_numbers, _classes, _every_step, _padded])


def _alone(ensemble):
    """The models of an ensemble, each on its own."""
    return [ensemble[number] for number in range(len(ensemble))]


def _assert_same_weights(ensemble, models):
    for stack, *singles in zip(
        ensemble.get_weights(), *(model.get_weights() for model in models), strict=True
    ):
        np.testing.assert_array_equal(stack, np.stack(singles))


@MODELS
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_training_gives_the_bits_of_each_model_alone(make, threads, rng):
    fastlstm.set_num_threads(threads)
    ensemble = Ensemble(make(), N)
    x, y = _data(make, rng)
    models = _alone(ensemble)
    for _ in range(5):
        losses = ensemble.train_on_batch(x, y)
        expected = [
            _loss(model.train_on_batch(*xy)) for model, *xy in zip(models, x, y, strict=True)
        ]
        np.testing.assert_array_equal(losses, expected)
    _assert_same_weights(ensemble, models)
    for predicted, model, part in zip(ensemble.predict(x, verbose=0), models, x, strict=True):
        np.testing.assert_array_equal(predicted, model.predict(part, verbose=0))
    np.testing.assert_array_equal(ensemble.predict_on_batch(x), ensemble.predict(x, verbose=0))
    losses = [_loss(model.test_on_batch(*xy)) for model, *xy in zip(models, x, y, strict=True)]
    np.testing.assert_array_equal(ensemble.test_on_batch(x, y), losses)


def _loss(result):
    return result[0] if isinstance(result, list) else result


@MODELS
def test_fit_takes_batches_of_every_model(make, rng):
    x, y = _data(make, rng, samples=13)
    ensemble = Ensemble(make(), N)
    models = _alone(ensemble)
    weight = rng.uniform(0.5, 2, (N, 13)).astype(np.float32)
    history = ensemble.fit(
        x, y, batch_size=4, epochs=3, shuffle=False, verbose=0, sample_weight=weight,
        validation_data=(x, y),
    )  # fmt: skip
    alone = [
        model.fit(*xyw[:2], batch_size=4, epochs=3, shuffle=False, verbose=0, sample_weight=xyw[2])
        for model, *xyw in zip(models, x, y, weight, strict=True)
    ]
    _assert_same_weights(ensemble, models)
    for key in alone[0].history:
        mean = np.mean([one.history[key] for one in alone], axis=0)
        np.testing.assert_allclose(history.history[key], mean, rtol=1e-6)
    results = ensemble.evaluate(x, y, verbose=0, return_dict=True)
    assert results["loss"] == pytest.approx(history.history["val_loss"][-1], rel=1e-6)


def _graph():
    """A decoder that looks back, facts beside the sequence, and a part that goes past it all."""
    past, begun = Input((T, D), name="past"), Input((T,), name="begun")
    future, facts = Input((4, 2), name="future"), Input((3,), name="facts")
    states, last = GRU(6, return_sequences=True, return_state=True)(past)
    start = Dense(6, "tanh")(Concatenate()([last, facts]))
    written = GRU(6, return_sequences=True)(future, initial_state=[start])
    seen = Attention()([written, states], mask=[None, begun])
    straight = RepeatVector(4)(Dense(3)(past[:, :, 0]))
    both = Dense(3)(Concatenate()([seen, written]))
    model = Model([past, begun, future, facts], Add()([both, straight]))
    model.compile(Adam(0.01, global_clipnorm=1.0), Quantile([0.1, 0.5, 0.9]))
    return model


def _graph_data(rng, samples=B):
    x = {
        "past": rng.standard_normal((N, samples, T, D)).astype(np.float32),
        "begun": np.sort(rng.integers(0, 2, (N, samples, T)), axis=2).astype(np.float32),
        "future": rng.standard_normal((N, samples, 4, 2)).astype(np.float32),
        "facts": rng.standard_normal((N, samples, 3)).astype(np.float32),
    }
    x["begun"][..., -1] = 1
    y = rng.standard_normal((N, samples, 4, 1)).astype(np.float32)
    return x, y, rng.uniform(0, 2, (N, samples, 4)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_graph_of_several_inputs_gives_the_bits_of_each_model_alone(threads, rng):
    fastlstm.set_num_threads(threads)
    ensemble = Ensemble(_graph(), N)
    x, y, weight = _graph_data(rng)
    models = _alone(ensemble)
    parts = [({name: part[n] for name, part in x.items()}, y[n], weight[n]) for n in range(N)]
    for _ in range(3):
        losses = ensemble.train_on_batch(x, y, weight)
        expected = [model.train_on_batch(*part) for model, part in zip(models, parts, strict=True)]
        np.testing.assert_array_equal(losses, expected)
    _assert_same_weights(ensemble, models)
    together = ensemble.predict(x, verbose=0)
    for predicted, model, (part, _, _) in zip(together, models, parts, strict=True):
        np.testing.assert_array_equal(predicted, model.predict(part, verbose=0))
    in_order = [x[name] for name in ensemble[0].input_names]
    np.testing.assert_array_equal(ensemble.predict(in_order, verbose=0), together)
    history = ensemble.fit(x, y, sample_weight=weight, epochs=2, batch_size=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]


def test_inputs_of_a_graph_that_do_not_fit_are_errors(rng):
    ensemble = Ensemble(_graph(), N)
    x, y, _ = _graph_data(rng)
    with pytest.raises(
        ValueError, match=r"x\['facts'\] of shape .* = \(7, 5, ...\), got \(7, 4, 3"
    ):
        ensemble.train_on_batch({**x, "facts": x["facts"][:, :4]}, y)
    with pytest.raises(ValueError, match=r"missing \['facts'\]"):
        ensemble.predict({name: part for name, part in x.items() if name != "facts"})
    model = _graph()
    with pytest.raises(ValueError, match="one output, got 2"):
        Ensemble(Model(model.inputs, [model.output, model.output]), 3)


def test_models_start_apart_and_learn_their_own_data(rng):
    model = Sequential([LSTM(8, input_shape=(T, 1)), Dense(1)])
    model.compile(Adam(0.02), "mse")
    before = model.get_weights()
    fastlstm.utils.set_random_seed(3)
    ensemble = Ensemble(model, 4)
    kernels = ensemble.get_weights()[0]
    assert len({kernel.tobytes() for kernel in kernels}) == 4
    x = rng.uniform(-1, 1, (4, 64, T, 1)).astype(np.float32)
    y = x[:, :, -1] * np.array([1, -1, 0.5, 2], np.float32)[:, None, None]
    ensemble.fit(x, y, epochs=60, batch_size=16, verbose=0)
    errors = np.abs(ensemble.predict(x, verbose=0) - y).mean(axis=(1, 2))
    assert (errors < 0.12).all()
    for kept, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, kept)
    fastlstm.utils.set_random_seed(3)
    for first, second in zip(Ensemble(model, 4).get_weights(), [*kernels[None]], strict=False):
        np.testing.assert_array_equal(first, second)


def test_dropout_differs_between_models_and_only_in_training(rng):
    model = Sequential([LSTM(6, input_shape=(T, D)), Dropout(0.5), Dense(1)])
    model.compile("sgd", "mse")
    ensemble = Ensemble(model, N)
    first = [np.broadcast_to(weight[:1], weight.shape) for weight in ensemble.get_weights()]
    ensemble.set_weights(first)
    x = np.broadcast_to(rng.standard_normal((1, B, T, D)), (N, B, T, D))
    y = np.zeros((N, B, 1))
    assert len(set(ensemble.test_on_batch(x, y))) == 1
    assert len(set(ensemble.train_on_batch(x, y))) > 1


def test_a_loss_that_is_not_finite_stops_its_model_alone(rng):
    ensemble = Ensemble(_numbers(), N)
    x, y = _data(_numbers, rng)
    weights = ensemble.get_weights()
    weights[0][2] = 1e30
    weights[-1][2] = 3e38
    ensemble.set_weights(weights)
    before = ensemble.get_weights()
    losses = ensemble.train_on_batch(x, y)
    np.testing.assert_array_equal(np.isfinite(losses), np.arange(N) != 2)
    for old, new in zip(before, ensemble.get_weights(), strict=True):
        np.testing.assert_array_equal(old[2], new[2])
        assert (old[3] != new[3]).any()
    with pytest.raises(FloatingPointError, match="loss"):
        ensemble.fit(x, y, verbose=0)


def test_weights_in_a_file(tmp_path, rng):
    ensemble = Ensemble(_numbers(), N)
    ensemble.save_weights(tmp_path / "all.safetensors")
    other = Ensemble(_numbers(), N)
    other.load_weights(tmp_path / "all.safetensors")
    for left, right in zip(ensemble.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_errors_say_what_was_expected(rng):
    model = _numbers()
    x, y = _data(_numbers, rng)
    ensemble = Ensemble(model, N)
    with pytest.raises(ValueError, match=r"\(models, samples, ...\) = \(7, samples, ...\), got"):
        ensemble.fit(x[:3], y[:3])
    with pytest.raises(ValueError, match=r"expects y of shape .* = \(7, 5, ...\), got \(7, 3, 2\)"):
        ensemble.fit(x, y[:, :3])
    with pytest.raises(
        ValueError, match=r"expects sample_weight of shape .* = \(7, 5, ...\), got \(5,\)"
    ):
        ensemble.train_on_batch(x, y, np.ones(5))
    with pytest.raises(ValueError, match="features"):
        ensemble.predict(x[..., :2])
    with pytest.raises(ValueError, match="stateful"):
        Ensemble(Sequential([LSTM(2, stateful=True, input_shape=(T, D)), Dense(1)]), 3)
    with pytest.raises(ValueError, match="not been built"):
        Ensemble(Sequential([LSTM(2), Dense(1)]), 3)
    with pytest.raises(TypeError, match="Sequential"):
        Ensemble([model], 3)
    with pytest.raises(ValueError, match="count"):
        Ensemble(model, 0)
    with pytest.raises(RuntimeError, match="compile"):
        Ensemble(Sequential([LSTM(2, input_shape=(T, D)), Dense(2)]), N).fit(x, y)
    with pytest.raises(ValueError, match="bptt"):
        ensemble.fit(x, y, bptt="checkpoint")
    with pytest.raises(ValueError, match="weights"):
        ensemble.set_weights(ensemble.get_weights()[:-1])
    with pytest.raises(ValueError, match="weight 0 expects shape"):
        ensemble.set_weights([w[:3] for w in ensemble.get_weights()])


def test_training_goes_on_from_what_was_kept(rng):
    model = _numbers()
    x, y = _data(_numbers, rng)
    ensemble, other = Ensemble(model, N), Ensemble(model, N)
    ensemble.train_on_batch(x, y)
    assert list(ensemble.state()) == list(ensemble.optimizer.state())
    other.set_weights(ensemble.get_weights())
    other.load_state(ensemble.state(), ensemble.optimizer.steps)
    for _ in range(2):
        np.testing.assert_array_equal(ensemble.train_on_batch(x, y), other.train_on_batch(x, y))
    for name, values in ensemble.state().items():
        np.testing.assert_array_equal(values, other.state()[name])
    before = ensemble.state()
    with pytest.raises(ValueError, match=r"expects shape \(7, \d+\), got \(3, \d+\)"):
        ensemble.load_state({name: 0 * values[:3] for name, values in before.items()}, 1)
    with pytest.raises(ValueError, match=r"the state of .* has"):
        ensemble.load_state({"other": 0 * next(iter(before.values()))}, 1)
    with pytest.raises(RuntimeError, match="compile"):
        Ensemble(Sequential([LSTM(2, input_shape=(T, D)), Dense(2)]), N).load_state({}, 0)
    for name, values in ensemble.state().items():
        np.testing.assert_array_equal(values, before[name])
