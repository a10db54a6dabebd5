"""The bytes that a model takes are known before it runs, and refused where there is no room."""

from __future__ import annotations

import gc
import platform
import weakref

import numpy as np
import pytest

from fastlstm import Sequential, memory, vjp
from fastlstm.layers import LSTM, Dense, Embedding
from tests.marks import needs_jit
from tests.process import run_python

# As glibc has malloc_trim and Linux has /proc.
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="measures on Linux")


def _model(time=None):
    model = Sequential([LSTM(32, input_shape=(time, 5), return_sequences=True), Dense(3)])
    model.compile("adam", loss="mse")
    return model


def _data(batch, time):
    return np.zeros((batch, time, 5), np.float32), np.zeros((batch, time, 3), np.float32)


# -- the report ---------------------------------------------------------------------------------


def test_what_is_in_it():
    model = _model()
    report = model.memory_report(16, time=20)
    weights = 4 * model.count_params()
    assert (report.batch, report.time) == (16, 20)
    for use in (report.training, report.prediction):
        assert use.weights == weights
        assert use.packed >= weights
        assert use.scratch > 0
        assert use.total == sum(vars(use).values())
    assert report.training.gradients == weights
    assert report.training.moments == 2 * weights
    assert report.prediction.gradients == report.prediction.moments == 0
    assert report.training.activations > 4 * 16 * 20 * 32 * 6  # h, c and the gates of all steps
    assert report.prediction.output == 4 * 16 * 20 * 3
    assert report.total == report.training.total > report.prediction.total


def test_it_is_what_the_model_then_lays_out():
    model = _model()
    report = model.memory_report(16, time=20)
    x, y = _data(16, 20)
    model.predict(x, batch_size=16, verbose=0)
    for use, run in (
        (report.prediction, lambda: model.predict(x, batch_size=16, verbose=0)),
        (report.training, lambda: model.train_on_batch(x, y)),
    ):
        run()
        assert model._runner._arena.nbytes == use.activations + use.scratch
    packed = [model.layers[0].packed_kernel, model.layers[0].packed_recurrent]
    packed += [*model.layers[0].packed_biases, model.layers[1].packed_kernel]
    panels = [part for each in packed for part in (each._forward, each._transposed)]
    assert report.training.packed == sum(part.nbytes for part in panels if part is not None)
    assert model.memory_report(16, time=20) == report


def test_before_it_is_compiled_there_is_no_training():
    model = Sequential([LSTM(8, input_shape=(4, 5))])
    report = model.memory_report(2)
    assert report.training is None
    assert report.total == report.prediction.total
    assert "training" not in str(report)


def test_the_steps_come_from_the_shape_where_it_has_them():
    assert _model(time=20).memory_report(4) == _model().memory_report(4, time=20)
    assert _model(time=20).memory_report(4, time=30).time == 30


def test_models_without_steps():
    model = Sequential([Dense(3, input_shape=(5,))])
    assert model.memory_report(4).time is None
    assert "of 4 samples\n" in str(model.memory_report(4))
    with pytest.raises(ValueError, match=r"time=7, but the input \(None, 5\) has no steps"):
        model.memory_report(4, time=7)


@pytest.mark.parametrize(("bptt", "least"), [("checkpoint", 4), (50, 15)])
def test_less_of_the_tape(bptt, least):
    model, (x, y) = _model(), _data(16, 1000)
    full, less = model.memory_report(16, 1000), model.memory_report(16, 1000, bptt=bptt)
    assert less.prediction == full.prediction
    assert least * less.training.activations < full.training.activations
    model.train_on_batch(x, y, bptt=bptt)
    assert model._runner._arena.nbytes == less.training.activations + less.training.scratch


def test_ids():
    model = Sequential([Embedding(50, 8, input_shape=(None,)), LSTM(8), Dense(1, "sigmoid")])
    model.compile("adam", loss="binary_crossentropy")
    assert model.memory_report(4, time=6).time == 6
    with pytest.raises(ValueError, match="needs the number of steps"):
        model.memory_report(4)


@pytest.mark.parametrize("batch", [0, -1, 2.5, "4", None])
def test_wrong_sizes(batch):
    with pytest.raises(ValueError, match="memory_report batch expects a whole number"):
        _model().memory_report(batch, time=3)
    with pytest.raises(ValueError, match="time"):
        _model().memory_report(3, time=batch)


def test_a_model_whose_shape_is_not_known():
    with pytest.raises(ValueError, match="needs the input's shape"):
        Sequential([LSTM(8)]).memory_report(4, time=3)


def test_a_table_to_print():
    text = str(_model().memory_report(64, time=1000))
    assert text.startswith("Memory for batches of 64 samples of 1000 steps\n")
    lines = text.splitlines()
    assert lines[1].split() == ["training", "prediction"]
    assert [line.split()[0] for line in lines[2:]] == [
        "weights", "gradients", "moments", "packed", "activations", "scratch", "output", "total"
    ]  # fmt: skip
    assert all(line.count("MB") == 2 for line in lines[2:])


def test_what_cannot_be_had_is_measured_all_the_same():
    """A report takes no memory itself."""
    report = _model().memory_report(1_000_000, time=1_000_000)
    assert report.total > 9e14


# -- against the process ------------------------------------------------------------------------

PROCESS = """
import ctypes, gc, os
import numpy as np
from fastlstm import Sequential
from fastlstm.layers import LSTM, Dense, Dropout, Embedding

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

LOSS, BATCH, TIME, TASK = SETTINGS

def model():
    made = Sequential([LAYERS])
    made.compile("adam", loss=LOSS)
    return made

def data(batch, time):
    like, rng = model(), np.random.default_rng(0)
    if like.layers[0].takes_ids:
        x = rng.integers(0, 4000, (batch, time)).astype("i4")
    else:
        x = rng.random((batch, time, 32), "f4")
    shape = (batch, time, like.output_shape[-1])
    shape = shape if len(like.output_shape) == 3 else shape[::2]
    return x, np.zeros(shape[:-1], "i4") if like.loss.sparse else np.zeros(shape, "f4")

def run(model, x, y):
    result = None
    for _ in range(3):
        if TASK == "training":
            model.train_on_batch(x, y)
        else:
            result = None
            result = model.predict_step((x,), np.arange(len(x)))
    return result

run(model(), *data(64, 2))
run(model(), *data(64, 20))
x, y = data(BATCH, TIME)
gc.collect()
ctypes.CDLL(None).malloc_trim(0)  # what was freed must not serve the model that is measured
before = resident()
made = model()
report = made.memory_report(BATCH, TIME)
result = run(made, x, y)
print(getattr(report, TASK).total, resident() - before)
"""

ONE = "LSTM(256, input_shape=(None, 32)), Dense(1)"
WORDS = """Embedding(4000, 128, input_shape=(None,)), LSTM(128, return_sequences=True),
    Dropout(0.1), LSTM(128), Dense(1, "sigmoid")"""
TAGS = "LSTM(128, input_shape=(None, 32), return_sequences=True), Dense(256, 'softmax')"


@needs_jit
@needs_glibc
@pytest.mark.parametrize(
    ("layers", "settings"),
    [
        (ONE, ("mse", 64, 700, "training")),
        (WORDS, ("binary_crossentropy", 128, 150, "training")),
        (TAGS, ("sparse_categorical_crossentropy", 64, 300, "training")),
        (TAGS, ("sparse_categorical_crossentropy", 256, 300, "prediction")),
    ],
    ids=["one layer", "words", "tags", "tags predicted"],
)
def test_what_a_process_takes(layers, settings):
    code = PROCESS.replace("LAYERS", layers).replace("SETTINGS", repr(settings))
    told, taken = map(int, run_python(code).split())
    assert taken > 100e6
    assert told == pytest.approx(taken, rel=0.05)


# -- no room ------------------------------------------------------------------------------------


@pytest.fixture
def room(monkeypatch):
    """Sets how many bytes are said to be available."""
    return lambda count: monkeypatch.setattr(memory, "available_memory", lambda: count)


def test_too_large_a_batch_is_refused_before_anything_is_taken(room):
    model = _model()
    small, large = _data(2, 10), _data(200, 100)
    loss = model.test_on_batch(*small)
    needed = model.memory_report(200, time=100).training
    room(5_000_000)
    advice = r"need 19\.\d MB, and 5\.0 MB are available.* smaller batch_size or shorter sequences"
    for _ in range(2):
        with pytest.raises(MemoryError, match=advice):
            model.train_on_batch(*large)
    assert needed.activations + needed.scratch > 19e6
    assert model._runner._arena.nbytes == 0
    assert model.test_on_batch(*small) == loss
    room(None)
    model.train_on_batch(*large)


def test_what_was_laid_out_before_is_let_go_first(room):
    """Or else the old block and the new one would be there at once."""
    model = _model()
    model.train_on_batch(*_data(2, 10))
    (chain,) = model._runner._chains.values()
    gone = weakref.ref(chain)
    del chain
    room(0)
    with pytest.raises(MemoryError):
        model.train_on_batch(*_data(200, 100))
    gc.collect()
    assert gone() is None


def test_weights_are_refused(room):
    room(1000)
    with pytest.raises(MemoryError, match=r"weights of layer 'table' need 4\.0 MB, and 0\.0 MB"):
        Sequential([Embedding(100_000, 10, input_shape=(3,), name="table")])
    room(5_000_000)
    model = Sequential([Embedding(100_000, 10, input_shape=(3,))])
    with pytest.raises(MemoryError, match=r"gradients need 8\.0 MB"):
        model.build()
    room(7_000_000 + 2_000_000)
    model.build()
    room(7_000_000)
    with pytest.raises(MemoryError, match=r"moments of Adam need 8\.0 MB"):
        model.compile("adam", loss="mse")


def test_a_tape_of_ones_own_is_refused_too(room):
    room(1_000_000)
    with pytest.raises(MemoryError, match="activations"):
        vjp(LSTM(64, dtype="float32"), np.zeros((50, 100, 1)))


def test_small_things_are_not_asked_for(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: pytest.fail("asked the system"))
    _model().train_on_batch(*_data(2, 10))
