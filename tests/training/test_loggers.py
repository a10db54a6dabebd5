"""Logs in files: CSV as Keras writes it, and what TensorBoard reads."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

from fastlstm.optimizers import SGD
from fastlstm.training import CSVLogger, LambdaCallback, TensorBoard, fit
from tests.peers import import_keras
from tests.training.fake import FakeModel

X = np.arange(6.0)


# -- CSVLogger -------------------------------------------------------------------------------


def _write(callback, epochs):
    callback.set_model(FakeModel())
    callback.set_params({})
    callback.on_train_begin()
    for epoch, logs in enumerate(epochs):
        callback.on_epoch_end(epoch, logs)
    callback.on_train_end()


RUNS = [
    [{"loss": 0.5, "mae": 0.25}, {"loss": 1 / 3, "mae": 1e-9}],
    [{"loss": 0.5}, {"loss": 0.25, "val_loss": 2.0}],
    [{"loss": 1.0, "val_loss": 2.0, "mae": 3.0}, {"loss": 1.5}],
    [{"loss": np.float32(0.1), "list": [1, 2], "text": "a,b", "none": np.array(2.0)}],
    [],
]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("epochs", RUNS, ids=len)
def test_the_file_is_that_of_keras(epochs, separator, tmp_path):
    keras = import_keras()
    for kind, name in ((CSVLogger, "ours"), (keras.callbacks.CSVLogger, "theirs")):
        _write(kind(str(tmp_path / name), separator), [dict(logs) for logs in epochs])
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("append", [False, True])
def test_a_second_run(append, tmp_path):
    path = tmp_path / "log.csv"
    callback = CSVLogger(path, append=append)
    fit(FakeModel(), X, X, epochs=2, verbose=0, callbacks=callback)
    before = path.read_text()
    fit(FakeModel(), X, X, epochs=3, initial_epoch=2, verbose=0, callbacks=callback)
    lines = path.read_text().splitlines()
    epochs = [line.split(",")[0] for line in lines]
    assert epochs == (["epoch", "0", "1", "2"] if append else ["epoch", "2"])
    assert path.read_text().startswith(before) == append
    assert lines[0] == "epoch,loss,seen,val_loss,val_seen"
    assert lines[-1].endswith(",NA,NA")


def test_an_empty_file_gets_its_header(tmp_path):
    path = tmp_path / "log.csv"
    path.touch()
    _write(CSVLogger(path, append=True), [{"loss": 1.0}])
    assert path.read_text().splitlines() == ["epoch,loss,val_loss", "0,1.0,NA"]


def test_lines_are_there_when_the_epoch_is_over(tmp_path):
    path = tmp_path / "log.csv"

    def look(epoch, logs):
        assert len(path.read_text().splitlines()) == epoch + 2

    callbacks = [CSVLogger(path), LambdaCallback(on_epoch_end=look)]
    fit(FakeModel(), X, X, epochs=3, verbose=0, callbacks=callbacks)


def test_appending_to_other_columns_is_refused(tmp_path):
    path = tmp_path / "log.csv"
    _write(CSVLogger(path), [{"loss": 1.0, "mae": 2.0}])
    before = path.read_text()
    _write(CSVLogger(path, append=True), [{"loss": 1.0}])
    with pytest.raises(ValueError, match=r"columns epoch, loss, mae, .* none for acc: give it"):
        _write(CSVLogger(path, append=True), [{"loss": 1.0, "acc": 2.0}])
    with pytest.raises(ValueError, match="none for epoch, loss"):
        _write(CSVLogger(path, ";", append=True), [{"loss": 1.0}])
    assert path.read_text() == before + "0,1.0,NA,NA,NA\n"


def test_its_arguments_are_checked(tmp_path):
    for separator in ("", ", ", 3, '"', "\n"):
        with pytest.raises(ValueError, match="one character as separator"):
            CSVLogger("x", separator)
    model = FakeModel()
    with pytest.raises(FileNotFoundError):
        fit(model, X, X, verbose=0, callbacks=CSVLogger(tmp_path / "no" / "log.csv"))
    assert not model.trained


# -- TensorBoard -----------------------------------------------------------------------------


def _scalars(folder):
    """Tag, step and value of all entries in a folder's files: records of a protocol buffer each."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        blob, at = path.read_bytes(), 0
        while at < len(blob):
            (length,) = struct.unpack_from("<Q", blob, at)
            event = Event.FromString(blob[at + 12 : at + 12 + length])
            at += 12 + length + 4
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
    return found


def _model(rate=0.5):
    model = FakeModel()
    model.optimizer = SGD(rate)
    return model


def test_epochs_are_written_as_keras_names_them(tmp_path):
    pytest.importorskip("tensorboardX")
    callback = TensorBoard(tmp_path)
    history = fit(_model(), X, X, epochs=2, validation_split=0.5, verbose=0, callbacks=callback)
    for run, prefix in (("train", ""), ("validation", "val_")):
        values = {(tag, step): value for tag, step, value in _scalars(tmp_path / run)}
        for name in ("loss", "seen"):
            got = [values.pop((f"epoch_{name}", epoch)) for epoch in range(2)]
            assert got == pytest.approx(history.history[prefix + name])
        if run == "train":
            assert [values.pop(("epoch_learning_rate", epoch)) for epoch in range(2)] == [0.5, 0.5]
        assert not values


@pytest.mark.parametrize(("freq", "steps"), [("batch", [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6])])
def test_batches_too(freq, steps, tmp_path):
    pytest.importorskip("tensorboardX")
    callback = TensorBoard(str(tmp_path), update_freq=freq)
    for _ in range(2):
        fit(_model(), X, X, batch_size=2, epochs=2, verbose=0, callbacks=callback)
    found = [step for tag, step, _ in _scalars(tmp_path / "train") if tag == "batch_loss"]
    assert found == steps * 2
    assert not (tmp_path / "validation").exists()


def test_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'fastlstm\[tensorboard\]'"):
        TensorBoard()


@pytest.mark.parametrize("freq", [0, -1, 1.5, "step", True])
def test_update_freq_is_checked(freq):
    with pytest.raises(ValueError, match="'epoch', 'batch' or a number of batches, got"):
        TensorBoard(update_freq=freq)
