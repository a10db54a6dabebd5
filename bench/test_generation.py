"""Sequences out of a language model, and batches for scheduled sampling, in turn with PyTorch's.

PyTorch goes step by step with ``nn.LSTMCell``, which is its fastest for that, and chooses among the
next tokens by operations on all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.beside import torch_or_skip
from bench.measure import measure_in_turn
from fastlstm import Sequential, generation
from fastlstm.layers import LSTM, Dense, Embedding, Input

UNITS, LENGTH, WIDTH = 128, 50, 4
# rows, words
SHAPES = [(1, 100), (32, 1_000), (32, 10_000)]

HOW: dict[str, Callable[[Any, Any], Any]] = {
    "greedy": lambda stream, start: generation.greedy(stream, start, LENGTH),
    "sample": lambda stream, start: generation.sample(stream, start, LENGTH, seed=0),
    "top_k": lambda stream, start: generation.sample(stream, start, LENGTH, top_k=20, seed=0),
    "top_p": lambda stream, start: generation.sample(stream, start, LENGTH, top_p=0.9, seed=0),
    "beam": lambda stream, start: generation.beam_search(stream, start, LENGTH, width=WIDTH),
}

each_shape = pytest.mark.parametrize("shape", SHAPES, ids="B{0[0]}-V{0[1]}".format)


def _model(words: int) -> Sequential:
    layers = [Embedding(words, UNITS), LSTM(UNITS, return_sequences=True), Dense(words)]
    return Sequential([Input((None,)), *layers])


def _theirs(torch: Any, name: str, rows: int, words: int) -> Callable[[], Any]:
    nn = torch.nn
    embedding, cell, last = (
        nn.Embedding(words, UNITS),
        nn.LSTMCell(UNITS, UNITS),
        nn.Linear(UNITS, words),
    )

    def drawn(scores: Any) -> Any:
        if name == "top_k":
            scores, places = scores.topk(20, dim=1)
            return places.gather(1, torch.multinomial(scores.softmax(1), 1))[:, 0]
        if name == "top_p":
            p, places = scores.softmax(1).sort(dim=1, descending=True)
            p = torch.where(p.cumsum(1) - p < 0.9, p, 0.0)
            return places.gather(1, torch.multinomial(p, 1))[:, 0]
        return torch.multinomial(scores.softmax(1), 1)[:, 0]

    def one_by_one() -> Any:
        token, state = torch.ones(rows, dtype=torch.int64), None
        tokens, total = [], torch.zeros(rows)
        with torch.inference_mode():
            for _ in range(LENGTH):
                state = cell(embedding(token), state)
                scores = last(state[0])
                token = scores.argmax(1) if name == "greedy" else drawn(scores)
                total += scores.log_softmax(1).gather(1, token[:, None])[:, 0]
                tokens.append(token)
        return torch.stack(tokens, 1), total

    def beams() -> Any:
        token, state = torch.ones(rows * WIDTH, dtype=torch.int64), None
        total = torch.full((rows, WIDTH), -torch.inf)
        total[:, 0] = 0.0
        tokens = torch.empty((rows, WIDTH, 0), dtype=torch.int64)
        first = WIDTH * torch.arange(rows)[:, None]
        with torch.inference_mode():
            for _ in range(LENGTH):
                h, c = cell(embedding(token), state)
                scores = last(h).log_softmax(1).reshape(rows, WIDTH, words)
                total, place = (total[..., None] + scores).flatten(1).topk(WIDTH, dim=1)
                beam, token = place // words, (place % words)
                tokens = torch.cat(
                    [tokens.gather(1, beam[..., None].expand_as(tokens)), token[..., None]], 2
                )
                index = (beam + first).flatten()
                state, token = (h[index], c[index]), token.flatten()
        return tokens, total

    return beams if name == "beam" else one_by_one


@each_shape
@pytest.mark.parametrize("name", HOW)
@pytest.mark.benchmark(group="generation")
def test_generation(benchmark: Any, name: str, shape: tuple[int, int]) -> None:
    rows, words = shape
    stream = _model(words).stream(rows * (WIDTH if name == "beam" else 1))
    start = np.ones(rows, np.int32)

    def run() -> Any:
        stream.reset()
        return HOW[name](stream, start)

    assert run().tokens.shape[-1] == LENGTH
    peers = {} if benchmark.disabled else {"pytorch": _theirs(torch_or_skip(), name, rows, words)}
    measure_in_turn(benchmark, run, **peers)


@pytest.mark.parametrize("forcing", [0.9, 0.5])
@pytest.mark.benchmark(group="scheduled sampling, an epoch of batches")
def test_scheduled_sampling(benchmark: Any, forcing: float) -> None:
    rows, words = 32, 1_000
    model, rng = _model(words), np.random.default_rng(0)
    y = rng.integers(1, words, (2 * rows, LENGTH))
    x = generation.shift_right(y, 1)
    samples = generation.ScheduledSampling(model, x, y, forcing, batch_size=rows)
    assert len(list(samples)) == 2
    peers: dict[str, Callable[[], Any]] = {}
    if not benchmark.disabled:
        peers["pytorch"] = _their_mixing(torch_or_skip(), x, forcing, rows, words)
    measure_in_turn(benchmark, lambda: list(samples), **peers)


def _their_mixing(torch: Any, x: Any, forcing: float, rows: int, words: int) -> Callable[[], Any]:
    """Step by step: the truth, or what the model has just said."""
    nn = torch.nn
    embedding, cell, last = (
        nn.Embedding(words, UNITS),
        nn.LSTMCell(UNITS, UNITS),
        nn.Linear(UNITS, words),
    )
    true = torch.from_numpy(x)

    def run() -> list[Any]:
        batches = []
        with torch.inference_mode():
            for batch in true.split(rows):
                own = torch.rand(batch.shape) >= forcing
                fed, state = [batch[:, 0]], None
                for t in range(1, LENGTH):
                    state = cell(embedding(fed[-1]), state)
                    said = last(state[0]).argmax(1)
                    fed.append(torch.where(own[:, t], said, batch[:, t]))
                batches.append(torch.stack(fed, 1))
        return batches

    return run
