"""What Keras' users pass beside layers: models' methods, optimizers, losses, metrics, callbacks."""

from __future__ import annotations

import inspect
import os
import warnings

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential, callbacks, metrics, optimizers
from fastlstm.layers import LSTM, Dense, Input
from fastlstm.registry import arguments_of_class

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

NEEDED = {
    "FBetaScore": (),
    "MeanMetricWrapper": None,  # takes a loss here, and a function there
    "LearningRateScheduler": None,
    "ModelCheckpoint": ("model",),
    "CSVLogger": ("log.csv",),
    "Optimizer": None,
    "Loss": None,
    "Metric": None,
    "CallbackList": None,
    "LambdaCallback": None,  # takes hooks by name
}
ASKED = {"something": "that nobody means by chance"}


def _shared():
    for part in ("optimizers", "losses", "metrics", "callbacks"):
        ours, theirs = getattr(fastlstm, part), getattr(keras, part)
        for name in sorted(vars(ours)):
            both = (getattr(ours, name), getattr(theirs, name, None))
            if all(isinstance(kind, type) for kind in both) and NEEDED.get(name, ()) is not None:
                yield part, name


SHARED = list(_shared())


def _defaults(kind):
    found = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = inspect.signature(inspect.unwrap(base.__init__)).parameters.values()
        for p in parameters:
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.default is not p.empty:
                found.setdefault(p.name, p.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


def _refusal(kind, needed, argument):
    """What is said of an argument that asks for something; None where it is accepted."""
    try:
        kind(*needed, **{argument: ASKED})
    except TypeError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("part", "name"), SHARED, ids=[name for _, name in SHARED])
def test_every_argument_of_keras(part, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "TensorBoard":
        pytest.importorskip("tensorboardX")
    kind, needed = getattr(getattr(fastlstm, part), name), NEEDED.get(name, ())
    for argument, default in _defaults(getattr(getattr(keras, part), name)).items():
        kind(*needed, **{argument: default})
        if argument in arguments_of_class(kind):
            continue
        said = _refusal(kind, needed, argument)
        assert said is None or f"{name} has no {argument!r} yet" in said


def test_what_is_shared_is_walked():
    assert len(SHARED) > 60
    assert {part for part, _ in SHARED} == {"optimizers", "losses", "metrics", "callbacks"}


def _model():
    model = Sequential([Input((4, 2)), LSTM(3), Dense(1)])
    model.compile("sgd", "mse", jit_compile=True, steps_per_execution=4, run_eagerly=False)
    return model


X, Y = np.zeros((4, 4, 2), np.float32), np.zeros((4, 1), np.float32)


def test_methods_take_what_changes_nothing(tmp_path, serial):
    model, lines = _model(), []
    model.fit(X, Y, verbose=0, workers=1, use_multiprocessing=False, max_queue_size=10)
    model.evaluate(X, Y, verbose=0, workers=1)
    model.predict(X, verbose=0, workers=1)
    model.summary(line_length=80, print_fn=lines.append, expand_nested=False)
    assert any("lstm" in line for line in lines)
    model.save(tmp_path / "model", zipped=True)
    model.save_weights(tmp_path / "weights", max_shard_size=None)
    model.load_weights(tmp_path / "weights", skip_mismatch=False)


@pytest.mark.parametrize(
    ("act", "parts"),
    [
        (lambda m: m.compile("sgd", "mse", target_tensors=[X]), ["compile", "targets to fit"]),
        (lambda m: m.compile("sgd", "mse", loss_weigths=1), ["Did you mean 'loss_weights'"]),
        (lambda m: m.fit(X, Y, nb_epoch=2), ["fit has no 'nb_epoch'", "epochs"]),
        (lambda m: m.fit(X, Y, epoch=2), ["fit has no argument 'epoch'", "'epochs'"]),
        (lambda m: m.fit(X, Y, validation_mask=Y), ["validation_data"]),
        (lambda m: m.evaluate(X, Y, epochs=2), ["evaluate has no argument 'epochs'"]),
        (lambda m: m.predict(X, training=True), ["predict has no argument 'training'"]),
        (lambda m: m.summary(show_trainable=True), ["layer.trainable"]),
        (lambda m: m.load_weights("file", skip_mismatch=True), ["set_weights"]),
        (lambda _: optimizers.Adam(lr=0.1), ["Adam has no 'lr'", "learning_rate"]),
        (lambda _: optimizers.SGD(decay=0.1), ["InverseTimeDecay"]),
        (lambda _: optimizers.Adam(learn_rate=0.1), ["Did you mean 'learning_rate'"]),
        (lambda _: metrics.SparseCategoricalCrossentropy(ignore_class=0), ["the loss"]),
        (lambda _: metrics.AUC(multi_label=True), ["an output"]),
        (lambda _: metrics.CosineSimilarity(axis=1), ["leave it at -1"]),
        (lambda _: metrics.BinaryAccuracy(treshold=0.4), ["Did you mean 'threshold'"]),
    ],
)
def test_what_is_not_here_is_said(act, parts):
    with pytest.raises(TypeError) as caught:
        act(_model())
    for part in parts:
        assert part in str(caught.value)


def test_a_threshold_to_begin_with(tmp_path, serial):
    model, saved = _model(), {}
    for threshold in (-1.0, 1e9):
        path = tmp_path / str(threshold)
        keeper = callbacks.ModelCheckpoint(
            path, "loss", save_best_only=True, initial_value_threshold=threshold
        )
        model.fit(X, Y + 1, verbose=0, callbacks=[keeper])
        saved[threshold] = path.exists()
    assert saved == {-1.0: False, 1e9: True}


def test_an_error_where_the_loss_is_not_finite(serial):
    model = _model()
    model.compile(optimizers.SGD(1e30), "mse")
    data = X + 1, np.full_like(Y, 1e15)
    with pytest.raises(RuntimeError, match="the loss is not finite"):
        model.fit(*data, epochs=9, verbose=0, callbacks=[callbacks.TerminateOnNaN(True)])
