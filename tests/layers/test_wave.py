"""Stacked layers as a wavefront: where they go so, and with the bits of one after the other."""

from __future__ import annotations

import numpy as np
import pytest

import fastlstm
from fastlstm.layers import GRU, LSTM, Dense, Embedding, LayerNormLSTM, MinGRU, SimpleRNN, split
from fastlstm.models import Sequential
from tests.marks import needs_jit

STACKS = {
    "two": lambda: [LSTM(32, return_sequences=True), LSTM(20, return_sequences=True)],
    "kinds": lambda: [
        GRU(24, return_sequences=True),
        SimpleRNN(32, return_sequences=True),
        LSTM(9),
    ],
    "no-product": lambda: [MinGRU(32, return_sequences=True), LSTM(17, stateful=True)],
    "five": lambda: [LSTM(16 + i, return_sequences=True) for i in range(5)],
    "words": lambda: [Embedding(50, 5), LSTM(32, return_sequences=True), GRU(32)],
    "between-steps": lambda: [
        LayerNormLSTM(30, return_sequences=True),
        LSTM(32, zoneout=0.1, zoneout_cell=0.2, return_sequences=True),
    ],
    "parted": lambda: [
        LSTM(32, return_sequences=True),
        LSTM(31, return_sequences=True),
        Dense(8, "tanh"),
        GRU(30, return_sequences=True),
        GRU(29, return_sequences=True),
    ],
}


def _data(model, rng, batch, steps):
    if model.layers[0].takes_ids:
        return rng.integers(0, 50, (batch, steps))
    return rng.standard_normal((batch, steps, 6)).astype(np.float32)


def _parts(model):
    """How many calls of the layout that was used last a thread runs alone."""
    *_, chain = model._runner._chains.values()
    return sum(turn >= 0 for turn, _ in chain.program._turns)


@needs_jit
@pytest.mark.parametrize("steps", [51, 400])
@pytest.mark.parametrize("name", STACKS)
def test_same_bits(name, steps, rng, monkeypatch):
    model = Sequential(STACKS[name]())
    batch = 1 if steps == 400 else 5
    x = _data(model, rng, batch, steps)
    mask = rng.random(x.shape[:2]) < 0.8
    results, alone = [], []
    for threads in (1, 2, 3):
        fastlstm.set_num_threads(threads)
        for masked in (None, mask):
            results.append(_bits(model, x, masked))
            alone.append(_parts(model))
    assert alone[:2] == [0, 0]
    assert min(alone[2:4]) > 0
    monkeypatch.setattr(split, "wave_steps", lambda *_: 0)
    model._runner.forget()
    for number, masked in enumerate((None, mask)):
        plain = _bits(model, x, masked)
        assert _parts(model) == 0
        assert results[number::2] == 3 * [plain]


def _bits(model, x, mask):
    model.reset_states()
    return [model(x, mask=mask).tobytes() for _ in range(2)]


@needs_jit
def test_same_bits_in_training_and_streams(rng, monkeypatch):
    x = rng.standard_normal((4, 60, 6)).astype(np.float32)
    y = rng.standard_normal((4, 60, 20)).astype(np.float32)
    trained = []
    fastlstm.set_num_threads(2)
    for wave in (True, False):
        if not wave:
            monkeypatch.setattr(split, "wave_steps", lambda *_: 0)
        fastlstm.utils.set_random_seed(3)
        model = Sequential(STACKS["two"]())
        model.compile("adam", "mse")
        for _ in range(5):
            model.train_on_batch(x, y)
        assert (_parts(model) > 0) == wave
        trained.append([w.tobytes() for w in model.get_weights()])
        whole = model(x)
        stream = model.stream(4)
        for t in range(60):
            np.testing.assert_array_equal(stream.step(x[:, t]), whole[:, t])
    assert trained[0] == trained[1]


@pytest.mark.parametrize(
    ("steps", "batch", "units", "threads", "expected"),
    [
        (100, 1, [32, 32], 2, True),
        (100, 1, [32, 32], 8, True),
        (100, 16, [32, 16, 8], 2, True),
        (100, 16, [32, 32], 8, False),  # two of eight threads would work
        (100, 64, [32, 32], 2, False),
        (100, 1, [32, 33], 2, False),
        (100, 1, [32], 2, False),
        (100, 1, [32, 32], 1, False),
        (20, 1, [32, 32], 2, False),
        (100, 1, [8, 8], 2, False),  # less work than to wake a thread
    ],
)
def test_where_they_do(steps, batch, units, threads, expected):
    layers = [split.Work(batch, u, u, 4, 4) for u in units]
    assert (split.wave_steps(layers, steps, threads) > 0) == expected
