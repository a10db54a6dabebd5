"""Streams: the bits of ``predict`` on the sequence so far, for the price of one step."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import fastlstm
from fastlstm import Sequential
from fastlstm.layers import LSTM, Dense, Dropout, Embedding, SimpleRNN
from tests.marks import needs_jit

T, D = 7, 5


def _vectors(units=20):
    return Sequential(
        [
            LSTM(units, return_sequences=True, input_shape=(None, D)),
            Dropout(0.5),
            SimpleRNN(9, activation="relu", return_sequences=True),
            LSTM(13),
            Dense(3, activation="softmax"),
        ]
    )


def _every_step():
    return Sequential([LSTM(20, return_sequences=True, input_shape=(None, D)), Dense(2)])


def _ids():
    return Sequential([Embedding(11, 6, input_shape=(None,)), LSTM(20), Dense(1)])


def _sequences(model, batch, rng):
    if model.layers[0].takes_ids:
        return rng.integers(0, 11, (batch, T)).astype(np.int32)
    return rng.standard_normal((batch, T, D)).astype(np.float32)


def _predict(model, x):
    """Output after the last step."""
    y = model.predict(x, verbose=0)
    return y[:, -1] if y.ndim == 3 else y


@pytest.mark.parametrize("make", [_vectors, _every_step, _ids])
@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("threads", [1, 2])
def test_each_step_is_predict_on_the_sequence_so_far(make, batch, threads, rng):
    fastlstm.set_num_threads(threads)
    model = make()
    x = _sequences(model, batch, rng)
    stream = model.stream(batch)
    for _ in range(2):
        for t in range(T):
            y = stream.step(x[:, t])
            np.testing.assert_array_equal(y, _predict(model, x[:, : t + 1]))
        stream.reset()


def test_large_layers_share_a_step_between_threads(rng):
    model = _vectors(units=600)
    x = _sequences(model, 1, rng)
    outputs = []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        stream = model.stream()
        outputs.append([stream.step(x[:, t]).copy() for t in range(T)])
    np.testing.assert_array_equal(outputs[1], outputs[0])
    np.testing.assert_array_equal(outputs[2], outputs[0])


def test_an_output_of_more_than_a_megabyte(rng):
    """Such a one is written into the caller's array where there is one."""
    model = Sequential([LSTM(4, return_sequences=True, input_shape=(None, 3)), Dense(9_000)])
    stream = model.stream(30)
    x = rng.standard_normal((30, 3, 3)).astype(np.float32)
    whole = model(x)
    assert whole[:, 0].nbytes > 1 << 20
    for t in range(3):
        np.testing.assert_array_equal(stream.step(x[:, t]), whole[:, t])


def test_rows_start_anew_one_by_one(rng):
    model = _vectors()
    x = _sequences(model, 4, rng)
    stream = model.stream(4)
    for t in range(3):
        stream.step(x[:, t])
    stream.reset(2)
    stream.reset([True, False, False, False])
    for t in range(3, T):
        y = stream.step(x[:, t])
    expected = _predict(model, x)
    expected[[0, 2]] = _predict(model, x[[0, 2], 3:])
    np.testing.assert_array_equal(y, expected)


def test_streams_are_independent_and_follow_the_weights(rng):
    model = _vectors()
    x = _sequences(model, 1, rng)
    first, second = model.stream(), model.stream()
    for t in range(T):
        first.step(x[:, t])
    second.step(x[:, 0])
    np.testing.assert_array_equal(second.step(x[:, 1]), _predict(model, x[:, :2]))
    model.set_weights([weight * 0.5 for weight in model.get_weights()])
    second.reset()
    np.testing.assert_array_equal(second.step(x[:, 0]), _predict(model, x[:, :1]))


def test_a_stream_of_a_model_that_has_grown_since(rng):
    model = _every_step()
    x = _sequences(model, 1, rng)
    stream = model.stream()
    expected = stream.step(x[:, 0]).copy()
    np.testing.assert_array_equal(expected, _predict(model, x[:, :1]))
    model.add(Dense(2))
    model.predict(x, verbose=0)
    with pytest.raises(RuntimeError, match="other layers than when this stream was made"):
        stream.step(x[:, 1])


def test_what_else_may_be_given(rng):
    model, ids = _every_step(), _ids()
    x = _sequences(model, 1, rng)
    expected = _predict(model, x[:, :1])
    for given in (x[0, 0], x[:, 0].tolist(), x[0, 0].astype(np.float64), x[:, 0][:, ::1]):
        np.testing.assert_array_equal(model.stream().step(given), expected)
    np.testing.assert_array_equal(ids.stream().step(3), _predict(ids, np.array([[3]])))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_number_leaves_the_states_as_they_were(bad, rng):
    model = _vectors()
    x = _sequences(model, 1, rng)
    stream = model.stream()
    stream.step(x[:, 0])
    wrong = x[:, 1].copy()
    wrong[0, -1] = bad
    with pytest.raises(ValueError, match=r"x .*(NaN|infinit|finite)"):
        stream.step(wrong)
    np.testing.assert_array_equal(stream.step(x[:, 1]), _predict(model, x[:, :2]))


def test_a_bad_id_leaves_the_states_as_they_were():
    model = _ids()
    stream = model.stream()
    stream.step(np.array([4], np.int32))
    for wrong in (11, -1):
        with pytest.raises(ValueError, match="0 to 10"):
            stream.step(np.array([wrong], np.int32))
    np.testing.assert_array_equal(stream.step([5]), _predict(model, np.array([[4, 5]])))


def test_errors_say_what_was_expected():
    stream = _vectors().stream(2)
    for wrong in (np.zeros(D), np.zeros((1, D)), np.zeros((2, D + 1)), np.zeros((2, 1, D))):
        with pytest.raises(ValueError, match=r"\(batch, features\) = \(2, 5\), got"):
            stream.step(wrong)
    with pytest.raises((ValueError, TypeError), match="batch"):
        _vectors().stream(0)
    with pytest.raises(ValueError, match="no weights yet"):
        Sequential([LSTM(3)]).stream()
    with pytest.raises(ValueError, match="model of sequences"):
        Sequential([Dense(3, input_shape=(4,))]).stream()


@needs_jit
def test_steps_allocate_nothing(rng):
    model = _vectors()
    x = np.ascontiguousarray(_sequences(model, 1, rng)[:, 0])
    stream = model.stream()
    stream.step(x)
    _nrt_python.memsys_enable_stats()
    tracemalloc.start()
    try:
        stream.step(x)
        before = rtsys.get_allocation_stats(), tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(1000):
            stream.step(x)
        after, peak = rtsys.get_allocation_stats(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        _nrt_python.memsys_disable_stats()
    assert after == before[0]
    assert peak - before[1] < 1000  # a tuple here, a number there


@needs_jit
def test_others_run_meanwhile(rng):
    """The lock of the interpreter is free while a step computes."""
    model = Sequential([LSTM(1500, input_shape=(None, D)), Dense(1)])
    stream = model.stream()
    x = rng.standard_normal((1, D)).astype(np.float32)
    stream.step(x)
    done = threading.Event()
    counts = [0]

    def count():
        while not done.is_set():
            counts[0] += 1

    worker = threading.Thread(target=count)
    worker.start()
    for _ in range(30):
        stream.step(x)
    done.set()
    worker.join()
    assert counts[0] > 0
