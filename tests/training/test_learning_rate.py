"""Callbacks that change the learning rate: against Keras, and in the loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastlstm.optimizers import SGD
from fastlstm.optimizers.schedules import CosineDecay
from fastlstm.training import LearningRateScheduler, ReduceLROnPlateau, fit
from tests.peers import import_keras
from tests.training.fake import FakeModel

X = np.arange(6.0)


def _model(rate=1.0):
    model = FakeModel()
    model.optimizer = SGD(rate)
    return model


# -- LearningRateScheduler -------------------------------------------------------------------


def test_a_rate_for_each_epoch():
    model = _model(1.0)
    seen = []

    def schedule(epoch, rate):
        seen.append((epoch, rate))
        return rate / 2 if epoch else rate

    history = fit(model, X, X, epochs=3, verbose=0, callbacks=LearningRateScheduler(schedule))
    assert seen == [(0, 1.0), (1, 1.0), (2, 0.5)]
    assert history.history["learning_rate"] == [1.0, 0.5, 0.25]
    assert model.optimizer.learning_rate == 0.25


def test_functions_of_the_epoch_alone():
    for function, rates in (
        (lambda epoch: 1 / (epoch + 1), [1, 0.5]),
        (lambda epoch, *more: len(more), [1, 1]),
        (math.exp, [1, math.e]),
        (CosineDecay(0.5, 2), [0.5, 0.25]),
    ):
        callback = LearningRateScheduler(function)
        history = fit(_model(), X, X, epochs=2, verbose=0, callbacks=callback)
        assert history.history["learning_rate"] == pytest.approx(rates)


@pytest.mark.parametrize("wrong", [0.1, None, lambda: 0.1, lambda a, b, c: 0.1])
def test_what_is_no_function_of_epoch_and_rate(wrong):
    with pytest.raises(TypeError, match="a function of epoch and learning rate, got"):
        LearningRateScheduler(wrong)


@pytest.mark.parametrize("rate", ["fast", -1.0, float("nan"), None])
def test_a_rate_that_is_none(rate):
    callback = LearningRateScheduler(lambda epoch: rate)
    with pytest.raises(ValueError, match=r"returned .* for epoch 0: learning_rate expects"):
        fit(_model(), X, X, verbose=0, callbacks=callback)


def test_an_error_in_the_function_is_not_taken_for_a_wrong_signature():
    def schedule(epoch, rate):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        fit(_model(), X, X, verbose=0, callbacks=LearningRateScheduler(schedule))


def test_it_says_what_it_does(capsys):
    fit(_model(), X, X, verbose=0, callbacks=LearningRateScheduler(lambda epoch: 0.25, verbose=1))
    assert capsys.readouterr().out == "Epoch 1: setting the learning rate to 0.25\n"


@pytest.mark.parametrize("make", [lambda: LearningRateScheduler(float), ReduceLROnPlateau])
def test_what_a_schedule_tells_cannot_be_set(make):
    model = _model(CosineDecay(0.1, 5))
    with pytest.raises(TypeError, match=r"sets the learning rate, .* comes from a schedule"):
        fit(model, X, X, verbose=0, validation_data=(X, X), callbacks=make())
    assert not model.trained
    model.optimizer = None
    with pytest.raises(RuntimeError, match="needs an optimizer"):
        fit(model, X, X, verbose=0, validation_data=(X, X), callbacks=make())


# -- ReduceLROnPlateau -----------------------------------------------------------------------


class _Optimizer:
    """As Keras' callback sees one."""

    learning_rate = 1.0


def _drive(callback, values, model):
    callback.set_model(model)
    callback.set_params({"metrics": ["loss", "val_loss"]})
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        logs = {"loss": 0.0} if value is None else {"loss": 0.0, "val_loss": value}
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, logs)
        assert logs["learning_rate"] == (rates[-1] if rates else 1.0)
        rates.append(model.optimizer.learning_rate)
    callback.on_train_end()
    return rates


@pytest.mark.parametrize(
    ("options", "values", "rates"),
    [
        ({"patience": 2}, [3, 2, 2, 2, 2, 2], [1, 1, 1, 0.1, 0.1, 0.01]),
        ({"patience": 1, "factor": 0.5}, [3, 2, 1, 1, 0], [1, 1, 1, 0.5, 0.5]),
        ({"patience": 1, "cooldown": 2}, [3, 3, 3, 3, 3], [1, 0.1, 0.1, 0.01, 0.01]),
        ({"patience": 1, "min_lr": 0.05}, [3, 3, 3, 3], [1, 0.1, 0.05, 0.05]),
        ({"patience": 1, "mode": "max"}, [1, 2, 2, 3], [1, 1, 0.1, 0.1]),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.75, 2], [1, 0.1, 0.1]),
        ({"patience": 1}, [3, None, 3, None], [1, 1, 0.1, 0.1]),
        ({"patience": 0, "factor": 0.0}, [3, 3], [1, 0]),
    ],
)
def test_reduction(options, values, rates):
    assert _drive(ReduceLROnPlateau(**options), values, _model()) == pytest.approx(rates)


QUARTERS = st.integers(0, 8).map(lambda n: n / 4)  # exact, so that ties are ties in both


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(QUARTERS, min_size=1, max_size=14),
    options=st.fixed_dictionaries(
        {
            "factor": st.sampled_from([0.5, 0.25]),
            "patience": st.integers(0, 3),
            "mode": st.sampled_from(["auto", "min", "max"]),
            "min_delta": st.sampled_from([0, 0.25, 1.0]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0.0, 0.125]),
        }
    ),
)
def test_reduction_is_that_of_keras(values, options):
    keras = import_keras()
    theirs = FakeModel()
    theirs.optimizer = _Optimizer()
    expected = _drive(keras.callbacks.ReduceLROnPlateau(**options), values, theirs)
    assert _drive(ReduceLROnPlateau(**options), values, _model()) == expected


def test_defaults_are_those_of_keras():
    keras = import_keras()
    ours, theirs = ReduceLROnPlateau(), keras.callbacks.ReduceLROnPlateau()
    for name in ("monitor", "factor", "patience", "verbose", "mode", "cooldown", "min_lr"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.min_delta == theirs.min_delta


def test_a_plateau_in_training():
    model = _model()
    callback = ReduceLROnPlateau("loss", patience=1, mode="max")
    history = fit(model, X, X, epochs=3, verbose=0, callbacks=callback)
    # The fake model's loss falls at every step.
    assert history.history["learning_rate"] == pytest.approx([1, 1, 0.1])
    assert model.optimizer.learning_rate == pytest.approx(0.01)
    assert fit(model, X, X, epochs=1, verbose=0, callbacks=callback).epoch == [0]
    assert callback.wait == 0


def test_reduction_says_what_it_does(capsys):
    _drive(ReduceLROnPlateau(patience=1, verbose=1), [1, 1], _model())
    assert capsys.readouterr().out == (
        "Epoch 2: val_loss has stopped improving, reducing the learning rate to 0.1\n"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"factor": 1.0}, "factor expects a number at least 0 and less than 1, got 1"),
        ({"factor": -0.5}, "factor"),
        ({"patience": 1.5}, "patience expects a whole number of at least 0"),
        ({"cooldown": -1}, "cooldown expects a whole number of at least 0"),
        ({"min_lr": -1.0}, "min_lr expects a number at least 0"),
        ({"mode": "up"}, "'auto', 'min' or 'max', got 'up'"),
    ],
)
def test_arguments_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        ReduceLROnPlateau(**options)
