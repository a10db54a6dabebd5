"""Whole models as people train them, a step each, in turn with PyTorch's: what is around layers.

Taggers with a conditional random field, language models over a large vocabulary, gradients that are
collected over batches, and running means of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.beside import step_of, torch_or_skip
from bench.measure import measure_in_turn
from fastlstm import Sequential, losses, optimizers
from fastlstm.layers import CRF, LSTM, Bidirectional, Dense, Embedding, Input

BATCH, STEPS, UNITS = 32, 50, 128
WORDS, TAGS = 20_000, 9
COLLECTED = 4

TASKS = ["crf tagger", "words", "words, both ways", "last word", "collected", "mean weights"]


def _layers(name: str) -> list[Any]:
    embedding, lstm = Embedding(WORDS, UNITS), LSTM(UNITS, return_sequences=True)
    if name == "crf tagger":
        return [embedding, Bidirectional(lstm), Dense(TAGS), CRF(TAGS)]
    if name == "words":
        return [embedding, lstm, Dense(WORDS)]
    if name == "last word":
        return [embedding, LSTM(UNITS), Dense(WORDS)]
    if name == "words, both ways":
        return [embedding, Bidirectional(lstm), Dense(WORDS // 10)]
    return [Dense(UNITS), lstm, LSTM(UNITS), Dense(1)]


def _ours(name: str) -> Sequential:
    options = {
        "collected": {"gradient_accumulation_steps": COLLECTED},
        "mean weights": {"use_ema": True},
    }
    ids = name not in options
    model = Sequential([Input((STEPS,) if ids else (STEPS, UNITS)), *_layers(name)])
    loss: Any = losses.SparseCategoricalCrossentropy(from_logits=True) if ids else "mse"
    adam = optimizers.Adam(**options.get(name, {}))
    model.compile(adam, "crf" if name == "crf tagger" else loss)
    return model


def _data(name: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    if name in ("collected", "mean weights"):
        x = rng.standard_normal((BATCH, STEPS, UNITS), dtype=np.float32)
        return x, rng.standard_normal((BATCH, 1), dtype=np.float32)
    classes = {"crf tagger": TAGS, "words, both ways": WORDS // 10}.get(name, WORDS)
    shape = (BATCH,) if name == "last word" else (BATCH, STEPS)
    return rng.integers(0, WORDS, (BATCH, STEPS)), rng.integers(0, classes, shape)


def _chain_loss(torch: Any, chain: Any) -> Callable[[Any, Any], Any]:
    """Minus the logarithm of the tags' probability, time first; ``chain`` has the transitions."""

    def loss(emissions: Any, tags: Any) -> Any:
        emissions, tags = emissions.transpose(0, 1), tags.T
        alpha = chain.start + emissions[0]
        for emission in emissions[1:]:
            alpha = torch.logsumexp(alpha[:, :, None] + chain.between, dim=1) + emission
        score = chain.start[tags[0]] + emissions.gather(2, tags[:, :, None]).sum(dim=(0, 2))
        score = score + chain.between[tags[:-1], tags[1:]].sum(dim=0) + chain.end[tags[-1]]
        return (torch.logsumexp(alpha + chain.end, dim=1) - score).mean()

    return loss


def _theirs(torch: Any, name: str) -> Callable[[], Any]:
    nn = torch.nn
    both = name in ("crf tagger", "words, both ways")
    stacked = name in ("collected", "mean weights")
    x, y = _data(name)
    first = nn.Linear(UNITS, UNITS) if stacked else nn.Embedding(WORDS, UNITS)
    lstm = nn.LSTM(UNITS, UNITS, 2 if stacked else 1, batch_first=True, bidirectional=both)
    outputs = {"crf tagger": TAGS, "words, both ways": WORDS // 10}.get(name, WORDS)
    last = nn.Linear((1 + both) * UNITS, 1 if stacked else outputs)
    parts = nn.ModuleList([first, lstm, last])

    def forward(given: Any) -> Any:
        h = lstm(first(given))[0]
        return last(h[:, -1] if stacked or name == "last word" else h)

    if name == "crf tagger":
        chain = nn.Module()
        chain.between = nn.Parameter(torch.zeros(TAGS, TAGS))
        chain.start, chain.end = (nn.Parameter(torch.zeros(TAGS)) for _ in range(2))
        parts.append(chain)
        return step_of(torch, parts, forward, x, y, _chain_loss(torch, chain))
    if name == "collected":
        return _collecting(torch, parts, forward, x, y)
    if name == "mean weights":
        step = step_of(torch, parts, forward, x, y)
        average = torch.optim.swa_utils.AveragedModel(
            parts, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
        )
        return lambda: (step(), average.update_parameters(parts))

    def entropy(logits: Any, classes: Any) -> Any:
        return nn.functional.cross_entropy(logits.flatten(0, -2), classes.flatten())

    return step_of(torch, parts, forward, x, y, entropy)


def _collecting(torch: Any, parts: Any, forward: Any, x: Any, y: Any) -> Callable[[], float]:
    """One batch; every fourth one updates."""
    optimizer = torch.optim.Adam(parts.parameters(), fused=True)
    given, wanted = torch.from_numpy(x), torch.from_numpy(y)
    count = 0

    def step() -> float:
        nonlocal count
        loss = torch.nn.functional.mse_loss(forward(given), wanted)
        (loss / COLLECTED).backward()
        count += 1
        if count % COLLECTED == 0:
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.detach())

    return step


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.benchmark(group="tasks, training step")
def test_training_step(benchmark: Any, name: str) -> None:
    model, (x, y) = _ours(name), _data(name)
    assert np.isfinite([model.train_on_batch(x, y) for _ in range(COLLECTED)]).all()
    peers = {} if benchmark.disabled else {"pytorch": _theirs(torch_or_skip(), name)}
    measure_in_turn(benchmark, lambda: model.train_on_batch(x, y), **peers)
