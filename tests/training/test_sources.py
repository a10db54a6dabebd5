"""What ``fit``, ``evaluate`` and ``predict`` take in the place of arrays."""

from __future__ import annotations

import itertools
import threading
import warnings

import numpy as np
import pytest

from fastlstm.data import Dataset
from fastlstm.training import evaluate, fit, predict
from fastlstm.training.callbacks import LambdaCallback
from fastlstm.utils import set_random_seed
from fastlstm.validation import as_floats
from tests.peers import import_keras, import_torch
from tests.training.fake import FakeModel

X = np.arange(10.0)
Y = X / 10
IN_ORDER = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def _fit(x, model=None, **options):
    model = FakeModel() if model is None else model
    return model, fit(model, x, **{"verbose": 0, **options})


def _batches(size=4):
    """(x, y) of each batch."""
    return [(X[at : at + size], Y[at : at + size]) for at in range(0, 10, size)]


def _generator(passes=1, size=4):
    for _ in range(passes):
        yield from _batches(size)


class Numbered:
    """Has batches by number, and nothing else of Keras."""

    def __init__(self):
        self.told = []

    def __len__(self):
        return 3

    def __getitem__(self, number):
        if not 0 <= number < 3:
            raise IndexError(number)
        return _batches()[number]

    def on_epoch_end(self):
        self.told.append("end")


class Restarting:
    """An iterable that starts over, of no known length."""

    def __iter__(self):
        return _generator()


SOURCES = {
    "Dataset": lambda: Dataset(X, Y, batch_size=4),
    "prefetched": lambda: Dataset(X, Y, batch_size=4, prefetch=2),
    "numbered": Numbered,
    "iterable": Restarting,
    "endless": lambda: itertools.cycle(_batches()),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_fit_is_that_of_arrays(kind):
    expected = FakeModel()
    history = fit(expected, X, Y, epochs=3, batch_size=4, shuffle=False, verbose=0)
    steps = 3 if kind == "endless" else None
    model, got = _fit(SOURCES[kind](), epochs=3, shuffle=False, steps_per_epoch=steps)
    assert model.trained == expected.trained
    assert got.history == history.history


@pytest.mark.parametrize("kind", SOURCES)
def test_evaluate_and_predict_are_those_of_arrays(kind):
    steps = 3 if kind == "endless" else None
    expected = evaluate(FakeModel(), X, Y, batch_size=4, verbose=0)
    assert evaluate(FakeModel(), SOURCES[kind](), steps=steps, verbose=0) == expected
    outputs = predict(FakeModel(), SOURCES[kind](), steps=steps, verbose=0)
    np.testing.assert_array_equal(outputs, np.stack([X, 2 * X], axis=1))


@pytest.mark.parametrize("kind", SOURCES)
def test_validation_starts_over_each_time_where_it_can(kind):
    steps = 2 if kind == "endless" else None
    model, history = _fit(X, y=Y, epochs=2, validation_data=SOURCES[kind](), validation_steps=steps)
    assert len(history.history["val_loss"]) == 2
    if kind == "endless":  # the next two batches each time
        assert model.tested == [IN_ORDER[i] for i in (0, 1, 2, 0)]
    else:
        assert model.tested == 2 * IN_ORDER


def test_validation_steps_are_the_first_ones_each_time():
    for data in ((X, Y), Dataset(X, Y, batch_size=4), Numbered()):
        size = 4 if isinstance(data, tuple) else None
        model, _ = _fit(X, y=Y, epochs=2, batch_size=size, validation_data=data, validation_steps=2)
        assert model.tested == 2 * IN_ORDER[:2]
    np.testing.assert_array_equal(
        predict(FakeModel(), X, batch_size=4, steps=2, verbose=0)[:, 0], X[:8]
    )


# -- how long an epoch is -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Dataset", "prefetched", "numbered", "iterable"])
def test_an_epoch_goes_on_where_the_last_one_stopped(kind):
    model, _ = _fit(SOURCES[kind](), epochs=3, steps_per_epoch=1, shuffle=False)
    assert model.trained == IN_ORDER
    model, _ = _fit(SOURCES[kind](), epochs=2, steps_per_epoch=3, shuffle=False)
    assert model.trained == 2 * IN_ORDER
    with pytest.warns(UserWarning, match="ran out after 1 of the 2 batches asked for"):
        model, _ = _fit(SOURCES[kind](), epochs=3, steps_per_epoch=2, shuffle=False)
    assert model.trained == IN_ORDER + IN_ORDER[:2]


def test_a_generator_that_runs_out_ends_the_training():
    with (
        pytest.warns(UserWarning, match="generator without steps_per_epoch"),
        pytest.warns(UserWarning, match="training ends after 1 of 3 epochs"),
    ):
        model, history = _fit(_generator(), epochs=3)
    assert model.trained == IN_ORDER
    assert history.epoch == [0]
    assert model.finalized == 1
    # One pass was all that was asked for.
    model, _ = _fit(_generator(), epochs=1)
    assert model.trained == IN_ORDER


def test_a_generator_with_fewer_steps_than_asked_for():
    with pytest.warns(UserWarning, match="ran out after 3 of the 5 batches asked for"):
        model, _ = _fit(_generator(), epochs=1, steps_per_epoch=5)
    assert model.trained == IN_ORDER
    model, _ = _fit(_generator(passes=2), epochs=2, steps_per_epoch=2)
    assert model.trained == [IN_ORDER[i] for i in (0, 1, 2, 0)]


def test_what_is_empty_is_refused():
    with pytest.raises(ValueError, match="at least one batch in the first epoch"):
        _fit(iter([]))
    for run in (evaluate, predict):
        with pytest.raises(ValueError, match="at least one batch, and got none"):
            run(FakeModel(), iter([]), verbose=0)


def test_the_number_of_steps_is_learned():
    class Steps(LambdaCallback):
        seen: tuple = ()

        def on_epoch_begin(self, epoch, logs=None):
            self.seen += (self.params["steps"],)

    for source, steps in [(Dataset(X, Y, batch_size=4), 3), (Restarting(), None)]:
        callback = Steps()
        _fit(source, callbacks=callback)
        assert callback.seen == (steps,)


@pytest.mark.parametrize(("verbose", "place"), [(1, "err"), (2, "out")])
def test_what_the_user_sees_of_an_unknown_number_of_steps(verbose, place, capsys):
    _fit(Restarting(), epochs=2, verbose=verbose)
    shown = getattr(capsys.readouterr(), place)
    assert "Epoch 2/2" in shown
    assert "loss=" in shown


# -- in which order -------------------------------------------------------------------------


def test_numbered_batches_are_shuffled_as_in_keras():
    set_random_seed(1)
    source = Numbered()
    model, _ = _fit(source, epochs=6)
    epochs = [model.trained[at : at + 3] for at in range(0, 18, 3)]
    assert all(sorted(epoch) == IN_ORDER for epoch in epochs)
    assert len({str(epoch) for epoch in epochs}) > 1
    assert source.told == ["end"] * 6


def test_a_data_set_keeps_its_own_order_and_counts_its_epochs():
    def make():
        return Dataset(X, Y, batch_size=4, shuffle=True, seed=2)

    expected = [x.tolist() for dataset in [make()] for _ in range(4) for x, _ in dataset]
    dataset = make()
    model, _ = _fit(dataset, epochs=2, validation_data=make())
    _fit(dataset, model, epochs=2)
    assert model.trained == expected
    # Another process goes on from the epoch's number.
    again, _ = _fit(make(), epochs=4, initial_epoch=2)
    assert again.trained == expected[6:]
    again, _ = _fit(make(), epochs=8, initial_epoch=4, steps_per_epoch=1)
    assert again.trained == expected[4:8]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_run_that_was_stopped_goes_on_within_an_epoch(prefetch):
    def make():
        return Dataset(X, Y, batch_size=2, shuffle=True, seed=2, prefetch=prefetch)

    whole, _ = _fit(make(), epochs=3)
    states = []

    def stop(batch, logs):
        states.append(dataset.state())
        model.stop_training = len(states) == 8

    model, dataset = FakeModel(), make()
    _fit(dataset, model, epochs=3, callbacks=LambdaCallback(on_train_batch_end=stop))
    resumed = make()
    resumed.set_state(states[-1])
    _fit(resumed, model, epochs=3, initial_epoch=1)
    assert model.trained == whole.trained


# -- what a batch is ------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tuple, list])
def test_batches_of_one_two_or_three_parts(make):
    class Model(FakeModel):
        def prepare(self, x, y, sample_weight=None):
            given.append((y is not None, sample_weight is not None))
            return super().prepare(x, X[:2] if y is None else y, sample_weight)

    given: list = []
    parts = (X[:2], Y[:2], np.ones(2))
    _fit(iter([make(parts[:1]), make(parts[:2]), make(parts), X[:2]]), Model())
    assert given == [(False, False), (True, False), (True, True), (False, False)]
    with pytest.raises(ValueError, match=r"x, .* or .*; got a tuple of 5"):
        _fit(iter([(1, 2, 3, 4, 5)]))


def test_classes_are_weighed_batch_by_batch():
    class Model(FakeModel):
        def weigh_classes(self, data, class_weight):
            seen.append((len(data), class_weight))
            return data

    seen: list = []
    _fit(Dataset(X, Y, batch_size=4), Model(), class_weight={0: 2.0})
    assert seen == [(4, {0: 2.0}), (4, {0: 2.0}), (2, {0: 2.0})]


@pytest.mark.parametrize("kind", ["Dataset", "numbered", "iterable", "endless"])
@pytest.mark.parametrize(
    "options",
    [{"y": Y}, {"sample_weight": Y}, {"mask": Y}, {"batch_size": 4}, {"validation_split": 0.5}],
    ids=lambda options: next(iter(options)),
)
def test_what_goes_with_arrays_alone_is_refused(kind, options):
    model = FakeModel()
    name = next(iter(options))
    with pytest.raises(ValueError, match=f"{name} cannot be given together with a"):
        _fit(SOURCES[kind](), model, steps_per_epoch=3, **options)
    assert not model.trained
    if name != "validation_split":
        with pytest.raises(ValueError, match=f"{name} cannot be given together with a"):
            evaluate(model, **{"x": SOURCES[kind](), "y": None, "verbose": 0, **options})


def test_batches_to_validate_on_have_their_own_size():
    model = FakeModel()
    with pytest.raises(ValueError, match="validation_batch_size cannot be given together with a D"):
        _fit(X, model, y=Y, validation_data=SOURCES["Dataset"](), validation_batch_size=3)
    assert not model.trained
    _fit(SOURCES["Dataset"](), model, validation_data=(X, Y), validation_batch_size=7)
    assert [len(batch) for batch in model.tested] == [7, 3]


def test_a_stateful_model_needs_batches_of_one_size():
    model = FakeModel(stateful=True)
    with pytest.raises(ValueError, match=r"as many samples.* batch 3 has 2, the first had 4"):
        _fit(Dataset(X, Y, batch_size=4), model)
    _fit(Dataset(X, Y, batch_size=4, drop_remainder=True), model)
    assert model.trained[-2:] == IN_ORDER[:2]
    with pytest.warns(UserWarning, match="shuffle=False"):
        _fit(Dataset(X, Y, batch_size=5, shuffle=True), model)


class Checking(FakeModel):
    """Wants finite numbers."""

    def prepare_inputs(self, x):
        return (as_floats(x, np.dtype(float), "x"),)


def test_a_number_that_is_not_finite_is_found_in_its_batch():
    x = np.arange(40.0)
    x[23] = np.nan
    model = Checking()
    dataset = Dataset(x, x, batch_size=8)
    with pytest.raises(ValueError, match=r"x has nan at index \[7\].*batch 3 .*row 7 is sample 23"):
        _fit(dataset, model)
    assert len(model.trained) == 2
    dataset = Dataset(x, x, batch_size=8, shuffle=True, seed=4)
    (row,) = (b.numbers.tolist().index(23) for b in dataset.batches() if 23 in b.numbers)
    with pytest.raises(ValueError, match=rf"row {row} is sample 23\)"):
        _fit(Dataset(x, x, batch_size=8, shuffle=True, seed=4), Checking())
    with pytest.raises(ValueError, match=r"\(in batch 3 of the epoch\)"):
        evaluate(Checking(), ((b, b) for b in x.reshape(5, 8)), verbose=0)


# -- memory-mapped arrays -------------------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    """X and Y in files."""
    arrays = []
    for name, values in (("x", X), ("y", Y)):
        array = np.memmap(tmp_path / name, values.dtype, "w+", shape=values.shape)
        array[:] = values
        arrays.append(array)
    return arrays


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("split", [0.0, 0.4])
def test_mapped_arrays_give_the_very_run_of_others(mapped, shuffle, split):
    runs = []
    for x, y in ((X, Y), mapped):
        set_random_seed(3)
        model, history = _fit(
            x, y=y, epochs=3, batch_size=4, shuffle=shuffle, validation_split=split
        )
        runs.append((model.trained, model.tested, history.history))
    assert runs[0] == runs[1]
    assert evaluate(FakeModel(), *mapped, verbose=0) == evaluate(FakeModel(), X, Y, verbose=0)
    np.testing.assert_array_equal(predict(FakeModel(), mapped[0], batch_size=3, verbose=0)[:, 0], X)


def test_mapped_arrays_are_looked_at_batch_by_batch(mapped):
    mapped[0][9] = np.inf
    model = Checking()
    with pytest.raises(ValueError, match=r"x has inf at index .*row 1 is sample 9"):
        _fit(mapped[0], model, y=mapped[1], batch_size=4, shuffle=False)
    assert model.trained == IN_ORDER[:2]
    with pytest.raises(ValueError, match=r"stateful model .* got 10 samples and batch_size=4"):
        _fit(mapped[0], FakeModel(stateful=True), y=mapped[1], batch_size=4)


def test_large_windows_are_never_copied_as_a_whole(monkeypatch):
    """The very run of a copy; and none of a view of which there could be no copy."""
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(13.0), 4)
    monkeypatch.setattr("fastlstm.training.feeding._LARGE", 1)
    runs = []
    for x in (windows, windows.copy()):
        set_random_seed(3)
        model, history = _fit(x, y=Y, batch_size=4, epochs=2, validation_split=0.3)
        runs.append((str(model.trained), history.history["loss"]))
    assert runs[0] == runs[1]
    huge = np.broadcast_to(np.float32(1.0), (2**45,))
    model, _ = _fit(huge, y=huge, batch_size=4, steps_per_epoch=3, shuffle=False)
    assert model.trained == 3 * [[1.0] * 4]


# -- other frameworks' ----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_keras_pydataset(workers):
    keras = import_keras()

    class Mine(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, number):
            threads.add(threading.current_thread().name)
            return _batches()[number]

    threads: set = set()
    model, _ = _fit(Mine(workers=workers), shuffle=False, epochs=2)
    assert model.trained == 2 * IN_ORDER
    assert threads == {"MainThread" if workers == 1 else "fastlstm-prefetch"}

    class Endless(keras.utils.PyDataset):
        num_batches = None

        def __getitem__(self, number):
            return _batches()[number % 3]

    model, _ = _fit(Endless(), shuffle=False, steps_per_epoch=4)
    assert model.trained == IN_ORDER + IN_ORDER[:1]
    with pytest.raises(ValueError, match="does not end: pass steps_per_epoch"):
        _fit(Endless())


def test_torch_data_loader():
    torch = import_torch()
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    model, history = _fit(loader, epochs=2)
    assert model.trained == 2 * IN_ORDER
    assert history.params["steps"] == 3


def test_arrays_of_others_are_still_arrays():
    torch = import_torch()
    for x in (X.tolist(), torch.tensor(X), tuple(X), range(10)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            model, _ = _fit(x, y=Y, batch_size=4, shuffle=False)
        assert model.trained == IN_ORDER
