"""A batch of sentences whose mean length is a quarter of the longest, in turn with a full one.

What is timed is the padded batch; ``full_over_this``, in ``--benchmark-json``, is how many times as
long the full one takes, of the fastest rounds. PyTorch packs its sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastlstm
from bench.measure import measure_in_turn
from fastlstm.layers import LSTM, Bidirectional, Dense, Embedding, Input

WORDS, FEATURES, TAGS, STEPS = 10_000, 128, 3_000, 80
# Kind of model, batch, units.
SHAPES = [
    ("classifier", 128, 128),
    ("classifier", 32, 256),
    ("both ways", 64, 128),
    ("tagger", 64, 128),
    ("tagger", 256, 64),
]

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "{} B{} H{}".format(*shape))
each_lengths = pytest.mark.parametrize("lengths", ["uniform", "exponential"])


def _lengths(kind: str, batch: int) -> np.ndarray:
    """Of each row, in no order; one is of all steps, and their mean a quarter of that."""
    rng = np.random.default_rng(1)
    places = (np.arange(batch) + 0.5) / batch
    drawn = places if kind == "uniform" else -np.log(places)
    low, high = 1e-3, 1e6
    while high / low > 1.001:
        scale = np.sqrt(low * high)
        lengths = np.clip(np.ceil(scale * drawn), 1, STEPS)
        lengths[np.argmax(lengths)] = STEPS
        low, high = (scale, high) if lengths.mean() < STEPS / 4 else (low, scale)
    return rng.permutation(lengths.astype(int))


def _batches(shape: tuple[str, int, int], lengths: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a full batch, and of one with padding."""
    batch = shape[1]
    full = np.random.default_rng(0).integers(1, WORDS, (batch, STEPS))
    counts = np.arange(STEPS) < _lengths(lengths, batch)[:, np.newaxis]
    return full, np.where(counts, full, 0)


def _targets(shape: tuple[str, int, int], ids: np.ndarray) -> np.ndarray:
    return ids % TAGS if shape[0] == "tagger" else ids[:, :1] % 2


def _model(shape: tuple[str, int, int]) -> fastlstm.Sequential:
    kind, _, units = shape
    layers: list[Any] = [Input((None,)), Embedding(WORDS, FEATURES, mask_zero=True)]
    if kind == "classifier":
        layers += [LSTM(units, return_sequences=True), LSTM(units), Dense(1, "sigmoid")]
    elif kind == "both ways":
        layers += [Bidirectional(LSTM(units, return_sequences=True)), Bidirectional(LSTM(units))]
        layers += [Dense(1, "sigmoid")]
    else:
        layers += [LSTM(units, return_sequences=True), Dense(TAGS, "softmax")]
    model = fastlstm.Sequential(layers)
    sparse = kind == "tagger"
    model.compile("adam", "sparse_categorical_crossentropy" if sparse else "binary_crossentropy")
    return model


@each_shape
@each_lengths
@pytest.mark.benchmark(group="padding, training step")
def test_training_step(benchmark: Any, shape: tuple[str, int, int], lengths: str) -> None:
    model = _model(shape)
    pairs = [(ids, _targets(shape, ids)) for ids in _batches(shape, lengths)]
    full, padded = ((lambda pair=pair: model.train_on_batch(*pair)) for pair in pairs)
    assert np.isfinite([full(), padded()]).all()
    measure_in_turn(benchmark, padded, full=full)


@each_shape
@each_lengths
@pytest.mark.benchmark(group="padding, forward")
def test_forward(benchmark: Any, shape: tuple[str, int, int], lengths: str) -> None:
    model = _model(shape)
    full, padded = (
        (lambda ids=ids: model.predict_on_batch(ids)) for ids in _batches(shape, lengths)
    )
    assert np.isfinite(padded()).all()
    measure_in_turn(benchmark, padded, full=full)


@each_lengths
@pytest.mark.benchmark(group="padding, training step beside PyTorch's")
def test_beside_pytorch(benchmark: Any, lengths: str) -> None:
    shape = SHAPES[0]
    model = _model(shape)
    _, ids = _batches(shape, lengths)
    y = _targets(shape, ids)
    packed = _pytorch(shape[2], ids, y)
    assert np.isfinite([packed(), model.train_on_batch(ids, y)]).all()
    measure_in_turn(benchmark, lambda: model.train_on_batch(ids, y), pytorch=packed)


def _pytorch(units: int, ids: np.ndarray, y: np.ndarray) -> Callable[[], float]:
    """A training step of the classifier on packed sequences."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(fastlstm.get_num_threads())
    rnn = torch.nn.utils.rnn
    table = torch.nn.Embedding(WORDS, FEATURES, padding_idx=0)
    lstm = torch.nn.LSTM(FEATURES, units, num_layers=2)
    last = torch.nn.Linear(units, 1)
    optimizer = torch.optim.Adam(torch.nn.ModuleList([table, lstm, last]).parameters(), fused=True)
    lengths, words = torch.from_numpy((ids != 0).sum(axis=1)), torch.from_numpy(ids.T.copy())
    targets = torch.from_numpy(y.astype(np.float32))

    def run() -> float:
        optimizer.zero_grad()
        sentences = rnn.pack_padded_sequence(table(words), lengths, enforce_sorted=False)
        _, (h, _) = lstm(sentences)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(last(h[-1]), targets)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run
