"""Callbacks: early stopping against Keras' own, checkpoints, and the small ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastlstm.callbacks
from fastlstm import training
from fastlstm.training import (
    Callback,
    CallbackList,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    TerminateOnNaN,
    fit,
)
from tests.peers import import_keras
from tests.training.fake import FakeModel

X = np.arange(6.0)
KNOWN = ["loss", "seen", "val_loss", "val_seen"]


def _drive(callback, values, monitor="val_loss", model=None):
    """Run a callback over epochs of these values; returns the last epoch."""
    model = FakeModel() if model is None else model
    callback.set_model(model)
    callback.set_params({"metrics": KNOWN})
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        model.w = float(epoch)
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {} if value is None else {"loss": 0.0, monitor: value})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch, model


# -- EarlyStopping ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "values", "last", "weight"),
    [
        ({"patience": 2}, [3, 2, 1, 1, 1, 0], 4, 4),
        ({"patience": 2, "restore_best_weights": True}, [3, 2, 1, 1, 1, 0], 4, 2),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.75, 2.5], 1, 1),
        ({"patience": 1, "mode": "max"}, [1, 2, 3, 2, 9], 3, 3),
        ({"patience": 1, "baseline": 1}, [3, 2, 1.5, 0.5, 0.25], 4, 4),
        ({"patience": 2, "baseline": 1}, [3, 3, 2, 0.5], 1, 1),
        ({"patience": 1, "start_from_epoch": 3}, [1, 2, 3, 9, 9, 9], 4, 4),
        ({"patience": 9, "restore_best_weights": True}, [3, 1, 2], 2, 1),
    ],
)
def test_early_stopping(options, values, last, weight):
    epoch, model = _drive(EarlyStopping(**options), values)
    assert epoch == last
    assert model.w == weight


QUARTERS = st.integers(0, 12).map(lambda n: n / 4)  # exact, so that ties are ties in both


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(QUARTERS, min_size=1, max_size=12),
    options=st.fixed_dictionaries(
        {
            "patience": st.integers(0, 3),
            "min_delta": st.sampled_from([0, 0.25, 1.0]),
            "mode": st.sampled_from(["auto", "min", "max"]),
            "baseline": st.none() | QUARTERS,
            "restore_best_weights": st.booleans(),
            "start_from_epoch": st.integers(0, 3),
        }
    ),
)
def test_early_stopping_is_that_of_keras(values, options):
    keras = import_keras()
    ours, theirs = EarlyStopping(**options), keras.callbacks.EarlyStopping(**options)
    results = []
    for callback in (ours, theirs):
        epoch, model = _drive(callback, values)
        results.append((epoch, model.w, callback.stopped_epoch))
    assert results[0] == results[1]


def test_an_instance_serves_several_runs():
    callback = EarlyStopping(patience=1, restore_best_weights=True)
    assert _drive(callback, [1, 2])[0] == 1
    assert callback.stopped_epoch == 1
    epoch, model = _drive(callback, [9, 8, 7])
    assert epoch == 2
    assert callback.stopped_epoch == 0
    assert model.w == 2


def test_kept_weights_are_copies():
    model = FakeModel()
    live = np.zeros(1)
    model.get_weights = lambda: [live]
    callback = EarlyStopping(patience=1, restore_best_weights=True)
    callback.set_model(model)
    callback.set_params({"metrics": KNOWN})
    callback.on_train_begin()
    callback.on_epoch_end(0, {"val_loss": 1})
    live += 5
    callback.on_epoch_end(1, {"val_loss": 2})
    callback.on_train_end()
    assert model.w == 0


def test_early_stopping_says_what_it_does(capsys):
    _drive(EarlyStopping(patience=1, restore_best_weights=True, verbose=1), [1, 2])
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 2: early stopping",
        "Restoring model weights from the best epoch: 1.",
    ]


def test_epochs_without_validation_are_passed_over():
    epoch, model = _drive(EarlyStopping(patience=1), [3, None, 2, None, 2, None])
    assert epoch == 4
    model = FakeModel()
    fit(
        model, X, X, epochs=4, verbose=0, validation_data=(X, X), validation_freq=2,
        callbacks=EarlyStopping(),
    )  # fmt: skip
    assert model.history.epoch == [0, 1, 2, 3]


def test_direction_is_that_of_the_metric():
    # The fake model's metric is one where more is better.
    assert _drive(EarlyStopping("val_seen", patience=1), [1, 2, 3, 2], "val_seen")[0] == 3
    assert _drive(EarlyStopping("val_loss", patience=1), [1, 2, 3, 2])[0] == 1
    with pytest.raises(ValueError, match=r"'val_sen' is better\. Did you mean 'val_seen'\? Pass"):
        _drive(EarlyStopping("val_sen"), [1])
    with pytest.raises(ValueError, match=r"'qqqq' is better\. Pass mode='max'"):
        _drive(EarlyStopping("qqqq"), [1])


def test_a_monitor_that_needs_validation_is_refused_before_training():
    model = FakeModel()
    with pytest.raises(ValueError, match=r"'val_loss', but nothing is validated: .* loss, seen"):
        fit(model, X, X, verbose=0, callbacks=EarlyStopping())
    assert not model.trained


def test_a_monitor_that_is_not_in_the_logs_is_an_error_with_a_suggestion():
    with pytest.raises(ValueError, match=r"Did you mean 'val_loss'\? Available: loss, val_loss"):
        _drive(EarlyStopping("val_los", mode="min"), [1])


def test_a_monitor_may_come_from_another_callback():
    def add(epoch, logs):
        logs["score"] = [1, 2, 1, 5][epoch]

    model = FakeModel()
    callbacks = [LambdaCallback(on_epoch_end=add), EarlyStopping("score", mode="max")]
    fit(model, X, X, epochs=4, verbose=0, callbacks=callbacks)
    assert model.history.epoch == [0, 1, 2]


def test_nan_is_no_improvement():
    epoch, model = _drive(
        EarlyStopping(patience=2, restore_best_weights=True), [3, 1, np.nan, np.nan, 0]
    )
    assert epoch == 3
    assert model.w == 1


@pytest.mark.parametrize("make", [EarlyStopping, lambda mode: ModelCheckpoint("x", mode=mode)])
def test_modes_are_checked(make):
    with pytest.raises(ValueError, match="'auto', 'min' or 'max', got 'up'"):
        make(mode="up")


# -- ModelCheckpoint -------------------------------------------------------------------------


def test_a_file_after_each_epoch(tmp_path):
    path = tmp_path / "new" / "folder" / "model.{epoch:02d}-{val_loss:.2f}.x"
    _, model = _drive(ModelCheckpoint(path), [0.5, 0.25])
    assert model.saved == ["model.01-0.50.x", "model.02-0.25.x"]
    assert (tmp_path / "new" / "folder" / "model.02-0.25.x").read_text() == "model 1.0"


@pytest.mark.parametrize(("mode", "epochs"), [("auto", [0, 1, 3]), ("max", [0, 2])])
def test_only_the_best(mode, epochs, tmp_path):
    path = str(tmp_path / "{epoch}")
    _, model = _drive(ModelCheckpoint(path, save_best_only=True, mode=mode), [4, 3, 5, 1, None])
    assert model.saved == [str(epoch + 1) for epoch in epochs]


def test_weights_only(tmp_path):
    _, model = _drive(ModelCheckpoint(tmp_path / "w", save_weights_only=True), [1])
    assert (tmp_path / "w").read_text() == "weights 0.0"
    assert model.saved == ["w"]


def test_after_so_many_batches(tmp_path):
    model = FakeModel()
    path = tmp_path / "{epoch}-{batch}-{loss:.0f}"
    fit(
        model, X, 0 * X, batch_size=2, epochs=2, verbose=0, shuffle=False,
        callbacks=ModelCheckpoint(path, save_freq=2),
    )  # fmt: skip
    # Batches 2, 4 and 6 of the run; w is -1, -2, ... and the losses are running means.
    assert model.saved == ["1-2--0", "2-1--3", "2-3--4"]


def test_checkpoints_say_what_they_do(tmp_path, capsys):
    path = tmp_path / "m"
    _drive(ModelCheckpoint(path, verbose=1, save_best_only=True), [4, 5, 3])
    assert capsys.readouterr().out.splitlines() == [
        f"Epoch 1: val_loss improved to 4, saving model to {path}",
        "Epoch 2: val_loss did not improve from 4",
        f"Epoch 3: val_loss improved from 4 to 3, saving model to {path}",
    ]
    _drive(ModelCheckpoint(path, verbose=1), [1])
    assert capsys.readouterr().out == f"Epoch 1: saving model to {path}\n"


def test_a_file_name_that_cannot_be_filled_in(tmp_path):
    with pytest.raises(ValueError, match=r"cannot fill in 'accuracy' .* available: epoch, loss"):
        _drive(ModelCheckpoint(tmp_path / "{accuracy}"), [1])


@pytest.mark.parametrize("freq", [0, -1, 1.5, "batch", True])
def test_save_freq_is_checked(freq):
    with pytest.raises(ValueError, match="save_freq 'epoch' or a number of batches"):
        ModelCheckpoint("x", save_freq=freq)


# -- the small ones --------------------------------------------------------------------------


def test_terminate_on_nan(capsys):
    model = FakeModel(losses=[1.0, np.nan, 1.0])
    history = fit(model, X, X, batch_size=2, epochs=3, verbose=0, callbacks=TerminateOnNaN())
    assert len(model.trained) == 2
    assert np.isnan(history.history["loss"]).all()
    assert "Batch 2: the loss is not finite" in capsys.readouterr().out


def test_lambda_callback_refuses_unknown_hooks():
    with pytest.raises(TypeError, match=r"'on_epoch_ends'. Did you mean 'on_epoch_end'\?"):
        LambdaCallback(on_epoch_ends=print)
    with pytest.raises(TypeError, match="expects a function as on_epoch_end, got 3"):
        LambdaCallback(on_epoch_end=3)
    LambdaCallback(on_epoch_end=None).on_epoch_end(0, {})


def test_hooks_that_nobody_overrides_are_left_out():
    class Own(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    seen = []
    calls = CallbackList([Callback(), Own(), LambdaCallback(on_test_end=print)])
    assert calls.hook("on_train_batch_begin") is None
    assert calls.hook("on_test_end") is not None
    calls.hook("on_train_batch_end")(7, {})
    assert seen == [7]
    calls.call("on_train_begin")


def test_callbacks_are_where_users_look_for_them():
    for name in fastlstm.callbacks.__all__:
        assert getattr(fastlstm.callbacks, name) is getattr(training, name)
