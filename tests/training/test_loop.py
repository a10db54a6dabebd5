"""The loop with a model that only remembers: order, logs, validation, errors, interruptions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastlstm.training import Batches, Callback, Data, History, evaluate, fit, predict, progress
from fastlstm.training.callbacks import LambdaCallback
from fastlstm.training.callbacks.base import HOOKS
from fastlstm.utils import set_random_seed
from tests.training.fake import FakeModel

X = np.arange(10.0)
Y = X / 10


def _fit(model=None, x=X, y=Y, **options):
    model = FakeModel() if model is None else model
    options = {"verbose": 0, "shuffle": False, "batch_size": 4, **options}
    return model, fit(model, x, y, **options)


def _joined(batches):
    return list(itertools.chain.from_iterable(batches))


# -- batches and logs ------------------------------------------------------------------------


def test_batches_in_order_with_the_rest_at_the_end():
    model, _ = _fit(epochs=2)
    assert model.trained == 2 * [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_loss_is_the_mean_weighted_by_batch_size_and_metrics_start_afresh():
    model, history = _fit(epochs=2)
    # Batch means .15, .55, .85; w goes 0, -1, -2 in the first epoch.
    first = (4 * 0.15 + 4 * (0.55 - 1) + 2 * (0.85 - 2)) / 10
    assert history.history["loss"] == pytest.approx([first, first - 3])
    assert history.history["seen"] == [4.5, 4.5]
    assert history.epoch == [0, 1]
    assert list(history.history) == ["loss", "seen"]
    assert model.history is history
    assert isinstance(history, History)


def test_shuffling_takes_every_sample_once_in_a_new_order_each_epoch():
    set_random_seed(3)
    model, _ = _fit(epochs=2, shuffle=True)
    epochs = [_joined(model.trained[:3]), _joined(model.trained[3:])]
    assert [sorted(epoch) for epoch in epochs] == [X.tolist()] * 2
    assert epochs[0] != epochs[1]
    assert X.tolist() not in epochs
    set_random_seed(3)
    again, _ = _fit(epochs=2, shuffle=True)
    assert again.trained == model.trained
    other, _ = _fit(epochs=2, shuffle=True)
    assert other.trained != model.trained


def test_initial_epoch_counts_on():
    model, history = _fit(epochs=5, initial_epoch=3)
    assert history.epoch == [3, 4]
    assert len(model.trained) == 6
    assert _fit(epochs=2, initial_epoch=2)[1].epoch == []
    assert _fit(epochs=0)[1].history == {}


def test_defaults_are_those_of_keras():
    model = FakeModel()
    set_random_seed(0)
    fit(model, np.arange(70.0), np.zeros(70), verbose=0)
    assert [len(batch) for batch in model.trained] == [32, 32, 6]
    assert model.trained[0] != list(range(32))
    model, _ = _fit(x=np.arange(70.0), y=np.zeros(70), batch_size=None)
    assert [len(batch) for batch in model.trained] == [32, 32, 6]


def test_steps_per_epoch_goes_on_where_the_last_epoch_stopped():
    model, _ = _fit(epochs=3, steps_per_epoch=1)
    assert model.trained == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    model, _ = _fit(epochs=2, steps_per_epoch=3)
    assert model.trained == 2 * [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_epoch_ends_when_the_data_runs_out():
    with pytest.warns(UserWarning, match="ran out after 3 of steps_per_epoch=5 batches"):
        model, history = _fit(steps_per_epoch=5)
    assert len(model.trained) == 3
    assert history.epoch == [0]


def test_batches_draw_again_only_when_used_up():
    set_random_seed(1)
    batches = Batches(6, 2, shuffle=True, steps=2)
    assert len(batches) == 2
    seen = [index.tolist() for index in batches.epoch()]
    with pytest.warns(UserWarning, match="ran out after 1"):
        seen += [index.tolist() for index in batches.epoch()]
    assert sorted(_joined(seen)) == list(range(6))
    assert len(list(batches.epoch())) == 2


# -- validation ------------------------------------------------------------------------------


def test_validation_data_is_tested_after_each_epoch():
    model, history = _fit(epochs=2, validation_data=(X[:6] + 50, Y[:6]))
    assert model.tested == 2 * [[50, 51, 52, 53], [54, 55]]
    assert list(history.history) == ["loss", "seen", "val_loss", "val_seen"]
    # The mean of Y[:6] is .25, w is -3 and then -6.
    assert history.history["val_loss"] == pytest.approx([-2.75, -5.75])
    assert history.history["val_seen"] == [52.5, 52.5]
    assert history.history["seen"] == [4.5, 4.5]


def test_validation_split_takes_the_last_samples_before_shuffling():
    model, _ = _fit(validation_split=0.25, shuffle=True)
    assert sorted(_joined(model.trained)) == list(range(7))
    assert model.tested == [[7, 8, 9]]


def test_validation_data_goes_before_the_split():
    model, _ = _fit(validation_split=0.5, validation_data=(X, Y))
    assert _joined(model.trained) == X.tolist()
    assert _joined(model.tested) == X.tolist()


def test_weights_are_split_with_their_samples():
    data = Data((X,), (Y,), (np.arange(10) * 2,))
    train, test = data.split(0.2)
    assert (len(train), len(test)) == (8, 2)
    assert test.weight[0].tolist() == [16, 18]
    assert np.shares_memory(train.x[0], data.x[0])


@pytest.mark.parametrize(
    ("freq", "epochs"), [(1, [0, 1, 2, 3]), (2, [1, 3]), ([1, 4], [0, 3]), ({2}, [1])]
)
def test_validation_freq(freq, epochs):
    seen = {}
    logs = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.update({epoch: dict(logs)}))
    _, history = _fit(
        epochs=4, validation_data=[X, Y, np.ones(10)], validation_freq=freq, callbacks=logs
    )
    assert [epoch for epoch in seen if "val_loss" in seen[epoch]] == epochs
    assert len(history.history["val_loss"]) == len(epochs)


def test_validation_batch_size():
    model, _ = _fit(validation_data=(X, Y), validation_batch_size=7)
    assert [len(batch) for batch in model.tested] == [7, 3]


# -- callbacks on the way --------------------------------------------------------------------


class Recorder(Callback):
    """Writes down every call."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []


def _record(name):
    def hook(self, *args):
        if args and isinstance(args[-1], dict):
            args = (*args[:-1], sorted(args[-1]))
        self.calls.append((name, *args))

    return hook


for _name in HOOKS:
    setattr(Recorder, _name, _record(_name))


def test_order_of_the_calls():
    recorder = Recorder()
    logs = ["loss", "seen"]
    _fit(callbacks=[recorder], validation_data=(X[:4], Y[:4]), batch_size=5)
    assert recorder.calls == [
        ("on_train_begin", []),
        ("on_epoch_begin", 0, []),
        ("on_train_batch_begin", 0, []),
        ("on_train_batch_end", 0, logs),
        ("on_train_batch_begin", 1, []),
        ("on_train_batch_end", 1, logs),
        ("on_test_begin", []),
        ("on_test_batch_begin", 0, []),
        ("on_test_batch_end", 0, logs),
        ("on_test_end", logs),
        ("on_epoch_end", 0, [*logs, "val_loss", "val_seen"]),
        ("on_train_end", [*logs, "val_loss", "val_seen"]),
    ]
    assert recorder.params == {
        "epochs": 1,
        "steps": 2,
        "verbose": 0,
        "metrics": [*logs, "val_loss", "val_seen"],
    }
    recorder.calls.clear()
    predict(FakeModel(), X[:3], callbacks=recorder, verbose=0)
    evaluate(FakeModel(), X[:3], Y[:3], callbacks=recorder, verbose=0)
    assert recorder.calls == [
        ("on_predict_begin", []),
        ("on_predict_batch_begin", 0, []),
        ("on_predict_batch_end", 0, ["outputs"]),
        ("on_predict_end", []),
        ("on_test_begin", []),
        ("on_test_batch_begin", 0, []),
        ("on_test_batch_end", 0, logs),
        ("on_test_end", logs),
    ]


def test_batch_logs_are_running_means():
    seen = []
    end = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
    _fit(FakeModel(losses=[1.0, 2.0, 6.0]), callbacks=[end])
    assert seen == pytest.approx([1, 1.5, (4 + 8 + 12) / 10])


def test_stopping_after_a_batch_and_after_an_epoch():
    def stop(batch, logs):
        model.stop_training = batch == 1

    model = FakeModel()
    model.stop_training = True  # left over from an earlier run
    _, history = _fit(model, epochs=2)
    assert history.epoch == [0, 1]
    model = FakeModel()
    _, history = _fit(
        model, epochs=5, callbacks=LambdaCallback(on_train_batch_end=stop), validation_data=(X, Y)
    )
    assert len(model.trained) == 2
    assert history.epoch == [0]
    assert "val_loss" in history.history

    def stop_later(epoch, logs):
        model.stop_training = epoch == 2

    model = FakeModel()
    _, history = _fit(model, epochs=5, callbacks=LambdaCallback(on_epoch_end=stop_later))
    assert history.epoch == [0, 1, 2]


def test_logs_added_by_a_callback_reach_the_history():
    def add(epoch, logs):
        logs["extra"] = epoch

    _, history = _fit(epochs=2, callbacks=[LambdaCallback(on_epoch_end=add)])
    assert history.history["extra"] == [0, 1]


# -- evaluate and predict --------------------------------------------------------------------


def test_evaluate():
    model = FakeModel()
    model.w = 2.0
    assert evaluate(model, X, Y, batch_size=4, verbose=0) == pytest.approx([2.45, 4.5])
    assert model.tested == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    result = evaluate(model, X, Y, verbose=0, return_dict=True)
    assert result == pytest.approx({"loss": 2.45, "seen": 4.5})
    model.metrics = []
    model._step = lambda data, index: 1.5
    assert evaluate(model, X, Y, verbose=0) == 1.5
    assert model.w == 2.0
    assert not model.trained


@pytest.mark.parametrize("batch_size", [1, 4, 10, 32, None])
def test_predict_keeps_the_order_of_the_samples(batch_size):
    outputs = predict(FakeModel(), X, batch_size=batch_size, verbose=0)
    np.testing.assert_array_equal(outputs, np.stack([X, 2 * X], axis=1))


def test_predict_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"at least one sample, got x of shape \(0,\)"):
        predict(FakeModel(), X[:0])


# -- what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "word"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_a_loss_that_is_not_finite_is_an_error(loss, word):
    model = FakeModel(losses=[1.0, 1.0, 1.0, 1.0, loss])
    with pytest.raises(FloatingPointError) as error:
        _fit(model, epochs=3)
    assert f"loss is {word} at batch 2 of epoch 2" in str(error.value)
    for advice in ("learning_rate", "clipnorm", "data"):
        assert advice in str(error.value)
    assert model.w == -4
    assert model.history.epoch == [0]


def test_an_interrupted_run_leaves_the_model_and_its_history(capsys):
    def interrupt(batch, logs=None):
        if len(model.trained) == 4:
            raise KeyboardInterrupt

    model = FakeModel()
    with pytest.raises(KeyboardInterrupt):
        _fit(model, epochs=3, verbose=1, callbacks=LambdaCallback(on_train_batch_begin=interrupt))
    assert model.w == -4
    assert model.history.epoch == [0]
    assert "Epoch 2/3" in capsys.readouterr().err
    _, history = _fit(model, epochs=1)
    assert history.epoch == [0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch_size expects a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size .* got 2.5"),
        ({"epochs": -1}, "epochs expects a whole number of at least 0"),
        ({"epochs": True}, "epochs"),
        ({"initial_epoch": -1}, "initial_epoch"),
        ({"steps_per_epoch": 0}, "steps_per_epoch"),
        ({"validation_batch_size": 0}, "validation_batch_size"),
        ({"validation_split": 1.0}, "from 0 to less than 1, got 1.0"),
        ({"validation_split": -0.1}, "from 0 to less than 1"),
        ({"validation_split": 0.01}, "of 10 samples leaves 9 to train on and 1|leaves"),
        ({"validation_freq": 0}, "validation_freq"),
        ({"validation_freq": "2"}, "validation_freq"),
        ({"validation_freq": [0]}, "validation_freq"),
        ({"validation_data": X}, r"tuple \(x, y\), .* got ndarray"),
        ({"validation_data": (X,)}, r"tuple \(x, y\)"),
        ({"verbose": 3}, "verbose expects 0, 1, 2 or 'auto', got 3"),
        ({"verbose": "yes"}, "verbose"),
        ({"shuffle": "batch"}, "shuffle expects True or False"),
    ],
)
def test_arguments_are_checked_before_anything_happens(options, text):
    model = FakeModel()
    if options.get("validation_split") == 0.01:
        options = {"validation_split": 0.01, "x": X[:1], "y": Y[:1]}
    with pytest.raises(ValueError, match=text):
        _fit(model, **options)
    assert not model.trained
    assert model.history is None


@pytest.mark.parametrize("wrong", [[History], [print], "early_stopping"])
def test_callbacks_are_checked_before_anything_happens(wrong):
    model = FakeModel()
    with pytest.raises(TypeError, match="expects Callback instances, got"):
        _fit(model, callbacks=wrong)
    assert not model.trained


def test_a_class_in_place_of_an_instance_is_explained():
    with pytest.raises(TypeError, match=r"write History\(\)"):
        _fit(callbacks=[History])


def test_a_stateful_model_needs_whole_batches():
    model = FakeModel(stateful=True)
    for run in (
        lambda: _fit(model),
        lambda: _fit(model, batch_size=5, validation_data=(X[:7], Y[:7])),
        lambda: evaluate(model, X, Y, batch_size=4, verbose=0),
        lambda: predict(model, X, batch_size=4, verbose=0),
    ):
        with pytest.raises(ValueError, match=r"stateful model .* got (10|7) samples and batch"):
            run()
    assert not model.trained
    _fit(model, batch_size=5)
    # A single batch of any size continues nothing.
    assert len(predict(model, X[:3], batch_size=4, verbose=0)) == 3
    with pytest.warns(UserWarning, match="shuffle=False"):
        _fit(model, batch_size=5, shuffle=True)


# -- what the user sees ----------------------------------------------------------------------


def test_silence(capsys):
    _fit(epochs=2, verbose=0, validation_data=(X, Y))
    evaluate(FakeModel(), X, Y, verbose=0)
    predict(FakeModel(), X, verbose=0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [1, True, "auto"])
def test_one_bar_an_epoch(verbose, capsys):
    _fit(epochs=2, verbose=verbose, validation_data=(X, Y))
    printed, bars = capsys.readouterr()
    assert printed == ""
    lines = [line.split("\r")[-1] for line in bars.strip("\n").split("\n")]
    assert len(lines) == 2
    for epoch, line in enumerate(lines, start=1):
        assert line.startswith(f"Epoch {epoch}/2: 100%|")
        assert "| 3/3 [" in line
        for entry in ("loss=", "seen=4.5", "val_loss=", "val_seen=4.5", "samples/s]"):
            assert entry in line
    # In a file, a bar is drawn when it begins and when it ends.
    assert bars.count("\r") <= 8


def test_one_line_an_epoch(capsys):
    _fit(epochs=2, verbose=2)
    printed, bars = capsys.readouterr()
    assert bars == ""
    lines = printed.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("Epoch 2/2 - 0.0s - loss=-3.35")
    assert lines[1].endswith("samples/s")


def test_short_evaluations_show_no_bar_unless_asked(capsys):
    evaluate(FakeModel(), X, Y)
    predict(FakeModel(), X)
    assert capsys.readouterr() == ("", "")
    evaluate(FakeModel(), X, Y, verbose=1)
    predict(FakeModel(), X, verbose=2)
    printed, bars = capsys.readouterr()
    assert "Evaluate: 100%" in bars
    assert "Predict - " in printed


@pytest.fixture
def clock(monkeypatch):
    """A clock that is read once a millisecond, and that tests can put forward."""
    now = [0.0]

    def tick():
        now[0] += 0.001
        return now[0]

    monkeypatch.setattr(progress.time, "perf_counter", tick)
    return now


@pytest.mark.parametrize(("live", "least", "most"), [(True, 5, 12), (False, 0, 0)])
def test_a_bar_is_drawn_at_most_ten_times_a_second(live, least, most, clock, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_is_live", lambda: live)
    asked = []
    bar = progress.Progress(1)
    bar.start("Epoch 1/1", 1000)
    for _ in range(1000):
        bar.update(1, lambda: asked.append(1) or {"loss": 1.0})
    bar.finish({"loss": 1.0})
    # Some 1000 readings of the clock: about one second.
    assert least <= len(asked) <= most
    assert "1000/1000" in capsys.readouterr().err


def test_the_rate_is_that_of_training_alone(clock, capsys):
    bar = progress.Progress(2)
    bar.start("Epoch 1/1", 1)
    clock[0] += 2
    bar.update(100, dict)
    bar.pause()
    clock[0] += 3
    bar.finish({})
    # 100 samples in two seconds, and three more of validation.
    assert capsys.readouterr().out == "Epoch 1/1 - 5.0s - 49.98 samples/s\n"


def test_the_bar_of_a_long_evaluation_appears_late(clock, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_is_live", lambda: True)
    bar = progress.Progress(1, delay=True)
    bar.start("Evaluate", 3)
    bar.update(1, dict)
    assert capsys.readouterr().err == ""
    clock[0] += 61
    bar.update(1, dict)
    shown = capsys.readouterr().err
    assert "2/3 [01:01<" in shown
    bar.finish({})
    assert "3/3" not in capsys.readouterr().err


def test_weights_are_finalized_before_the_end_of_training():
    model, seen = FakeModel(), []
    end = LambdaCallback(
        on_epoch_end=lambda *_: seen.append(model.finalized),
        on_train_end=lambda *_: seen.append(model.finalized),
    )
    fit(model, X, X, epochs=2, verbose=0, callbacks=end)
    fit(model, X, X, epochs=0, verbose=0)
    assert seen == [0, 0, 1]
    assert model.finalized == 1
