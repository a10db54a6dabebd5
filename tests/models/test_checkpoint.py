"""Checkpointed back-propagation through time: the bits of the full one, in less memory."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import fastlstm
from fastlstm import Sequential
from fastlstm.kernels import program
from fastlstm.layers import LSTM, Dense, Dropout, Embedding, SimpleRNN
from fastlstm.memory import Plan
from fastlstm.models.checkpoint import Checkpointed
from fastlstm.models.segments import segments
from fastlstm.models.supervised import Supervised
from fastlstm.optimizers import Adam
from tests.marks import needs_jit
from tests.process import run_python

D, C = 5, 3


def _last():
    return [LSTM(17, input_shape=(None, D)), Dense(C, "softmax")]


def _stack():
    return [
        Dropout(0.1, input_shape=(None, D)),
        LSTM(9, return_sequences=True),
        Dropout(0.2),
        Dense(12, "tanh"),
        SimpleRNN(11),
        Dropout(0.3),
        Dense(C),
    ]


def _words():
    return [Embedding(20, 7, input_shape=(None,)), LSTM(6), Dense(1, "sigmoid")]


def _every_step():
    return [
        SimpleRNN(10, return_sequences=True, input_shape=(None, D)),
        LSTM(8, return_sequences=True, use_bias=False),
        Dense(C, "softmax"),
    ]


def _bare():
    return [LSTM(C, return_sequences=True, input_shape=(None, D)), Dropout(0.2)]


def _bare_last():
    return [SimpleRNN(C, "relu", input_shape=(None, D))]


# Layers, batch, steps, loss, metrics. A segment is a multiple of 8 or 16 steps for 8 rows, by
# the processor, of up to 128 for an odd number of them; no number of steps is a multiple of those.
CASES = {
    "last": (_last, 8, 131, "categorical_crossentropy", ["accuracy"]),
    "stack": (_stack, 6, 333, "mae", []),
    "words": (_words, 5, 531, "binary_crossentropy", ["mae"]),
    "every step": (_every_step, 8, 150, "sparse_categorical_crossentropy", ["accuracy"]),
    "bare": (_bare, 4, 200, "mse", []),
    "bare last": (_bare_last, 16, 99, "mse", []),
}


def _data(name, rng):
    make, batch, steps, loss, _ = CASES[name]
    x = rng.standard_normal((batch, steps, D)).astype(np.float32)
    if make is _words:
        return rng.integers(0, 20, (batch, steps)), rng.integers(0, 2, (batch, 1))
    rows = (batch, steps) if make in (_every_step, _bare) else (batch,)
    if loss == "sparse_categorical_crossentropy":
        return x, rng.integers(0, C, rows)
    return x, rng.random((*rows, C)).astype(np.float32)


def _compiled(name):
    make, _, _, loss, metrics = CASES[name]
    fastlstm.utils.set_random_seed(3)
    model = Sequential(make())
    model.compile(Adam(0.01, global_clipnorm=0.5), loss, metrics=metrics)
    return model


def _results(name, x, y, weight, bptt):
    """Losses and metrics of three steps, then a loss and its gradients, then the weights."""
    model = _compiled(name)
    steps = [model.train_on_batch(x, y, weight, bptt=bptt) for _ in range(3)]
    loss, gradients = model.value_and_grad(x, y, weight, bptt=bptt)
    return [*np.ravel(steps), loss, *gradients, *model.get_weights()]


def _assert_same_bits(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", CASES)
def test_the_bits_of_the_full_way(name, rng):
    _, batch, steps, _, _ = CASES[name]
    parts = segments(steps, batch)
    assert len(parts) >= 4
    assert parts[-1].steps < parts[0].steps
    x, y = _data(name, rng)
    weight = rng.random(batch).astype(np.float32)
    fastlstm.set_num_threads(1)
    expected = _results(name, x, y, weight, "full")
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        _assert_same_bits(_results(name, x, y, weight, "checkpoint"), expected)


def test_a_weight_for_each_step(rng):
    x, y = _data("every step", rng)
    weight = rng.random(y.shape)
    expected = _results("every step", x, y, weight, "full")
    _assert_same_bits(_results("every step", x, y, weight, "checkpoint"), expected)


def test_a_whole_number_of_segments(rng):
    x, y = _data("last", rng)
    sizes = {steps: {part.steps for part in segments(steps, 8)} for steps in range(96, 132)}
    whole = next(steps for steps, found in sizes.items() if len(found) == 1 and steps not in found)
    x = np.ascontiguousarray(x[:, :whole])
    expected = _results("last", x, y, None, "full")
    _assert_same_bits(_results("last", x, y, None, "checkpoint"), expected)


def test_in_several_launches(rng, monkeypatch):
    x, y = _data("stack", rng)
    expected = _results("stack", x, y, None, "checkpoint")
    monkeypatch.setattr(program, "WORK_PER_LAUNCH", 1.0)
    _assert_same_bits(_results("stack", x, y, None, "checkpoint"), expected)


@pytest.mark.parametrize("name", ["last", "every step"])
def test_fit(name, rng):
    """With a last batch that is smaller, and validation between epochs."""
    parts = [_data(name, rng) for _ in range(3)]
    x, y = (np.concatenate(arrays)[:20] for arrays in zip(*parts, strict=True))
    results = []
    for bptt in ("full", "checkpoint"):
        model = _compiled(name)
        history = model.fit(
            x, y, batch_size=8, epochs=2, validation_split=0.1, verbose=0, bptt=bptt
        )
        results.append([*history.history.values(), *model.get_weights()])
    _assert_same_bits(results[1], results[0])


def test_a_stateful_model(rng):
    """Its states go on from batch to batch."""
    results = []
    x = rng.standard_normal((8, 300, D)).astype(np.float32)
    y = rng.standard_normal((8, 1)).astype(np.float32)
    for bptt in ("full", "checkpoint"):
        fastlstm.utils.set_random_seed(3)
        model = Sequential(
            [
                LSTM(7, return_sequences=True, stateful=True, input_shape=(None, D)),
                SimpleRNN(6, stateful=True),
                Dense(1),
            ]
        )
        model.compile(loss="mse")
        losses = [
            model.train_on_batch(np.ascontiguousarray(x[:, part]), y, bptt=bptt)
            for part in (slice(0, 140), slice(140, 300))
        ]
        results.append([*losses, model.predict(x, verbose=0), *model.get_weights()])
    _assert_same_bits(results[1], results[0])


@pytest.mark.parametrize("shape", [(8, D), (8, 20, D)], ids=["no steps", "few steps"])
def test_where_segments_make_no_sense(shape, rng):
    layers = [Dense(4, input_shape=shape[1:])] if len(shape) == 2 else _last()
    model = Sequential([*layers, Dense(1)])
    model.compile(loss="mse")
    x, y = rng.standard_normal(shape), rng.standard_normal((8, 1))
    assert np.isfinite(model.train_on_batch(x, y, bptt="checkpoint"))
    (chain,) = model._runner._chains.values()
    assert type(chain) is Supervised


# -- segments and memory --------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 5, 8, 100, 128, 1000])
@pytest.mark.parametrize("steps", [1, 50, 512, 1000, 100_000])
def test_segments_cover_every_step_once(steps, batch):
    parts = segments(steps, batch)
    covered = [t for part in parts for t in range(part.start, part.start + part.steps)]
    assert covered == list(range(steps))
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len({part.steps for part in parts[:-1]}) <= 1


def _planned(model, kind, steps):
    """Bytes that a training step takes."""
    plan = Plan()
    kind(model.graph, [(steps, 8, D)], plan, model=model, weighted=False, task="train")
    return plan.total_bytes


@pytest.mark.parametrize("name", ["last", "every step"])
def test_memory_grows_with_the_square_root_of_the_steps(name):
    model = _compiled(name)
    # Each step's output, its gradient, its target and its loss are there in full.
    data = 4 * 8 * (2 * C + 2) if name == "every step" else 0
    sizes = [_planned(model, Checkpointed, steps) - data * steps for steps in (4096, 16384, 65536)]
    assert sizes[1] / sizes[0] <= 2.3
    assert sizes[2] / sizes[1] <= 2.3
    assert sizes[1] < _planned(model, Supervised, 16384) / 20


@needs_jit
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of one process")
def test_a_hundred_thousand_steps_in_less_than_a_gigabyte():
    # Not from ``getrusage``: a child inherits the peak of the process that started it.
    run_python(
        """
        import re
        import numpy as np
        from fastlstm import Sequential
        from fastlstm.layers import LSTM, Dense
        model = Sequential([LSTM(64, input_shape=(None, 4)), Dense(1)])
        model.compile("adam", "mse")
        x = np.random.default_rng(0).standard_normal((8, 100_000, 4), np.float32)
        model.train_on_batch(x, np.ones((8, 1)), bptt="checkpoint")
        peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
        assert int(peak[1]) < 2**20
        """
    )
