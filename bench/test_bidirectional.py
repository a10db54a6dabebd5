"""A tagger that reads sentences both ways, beside PyTorch's where that is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastlstm
from bench.measure import measure
from fastlstm.layers import LSTM, Bidirectional, Dense, Input

BATCH, STEPS, FEATURES, TAGS = 32, 50, 100, 9
UNITS = [50, 100, 300]

each_size = pytest.mark.parametrize("units", UNITS, ids=lambda units: f"H{units}")


def _flops(units: int, passes: int) -> float:
    """Of the products: of both directions, and of the dense layer."""
    return 2.0 * passes * BATCH * STEPS * (2 * (FEATURES + units) * 4 * units + 2 * units * TAGS)


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, STEPS, FEATURES), dtype=np.float32)
    return x, rng.integers(0, TAGS, (BATCH, STEPS))


def _ours(units: int) -> fastlstm.Sequential:
    layer = Bidirectional(LSTM(units, return_sequences=True))
    model = fastlstm.Sequential([Input((STEPS, FEATURES)), layer, Dense(TAGS, "softmax")])
    model.compile(fastlstm.optimizers.Adam(clipnorm=1.0), "sparse_categorical_crossentropy")
    return model


@each_size
@pytest.mark.benchmark(group="both directions, forward")
def test_forward(benchmark: Any, units: int) -> None:
    model, (x, _) = _ours(units), _data()
    assert np.isfinite(model(x)).all()
    measure(benchmark, lambda: model(x), _flops(units, 1))


@each_size
@pytest.mark.benchmark(group="both directions, training step")
def test_training_step(benchmark: Any, units: int) -> None:
    model, (x, y) = _ours(units), _data()
    assert model.train_on_batch(x, y) > model.train_on_batch(x, y)
    measure(benchmark, lambda: model.train_on_batch(x, y), _flops(units, 3))


def _pytorch(units: int) -> tuple[Any, Any, Any]:
    """PyTorch itself, the layers, and what computes logits with them."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(fastlstm.get_num_threads())
    lstm = torch.nn.LSTM(FEATURES, units, batch_first=True, bidirectional=True)
    layers = torch.nn.ModuleList([lstm, torch.nn.Linear(2 * units, TAGS)])
    return torch, layers, lambda x: layers[1](lstm(x)[0])


@each_size
@pytest.mark.benchmark(group="both directions, forward")
def test_pytorch_forward(benchmark: Any, units: int) -> None:
    torch, _, logits = _pytorch(units)
    x = torch.from_numpy(_data()[0])

    def run() -> Any:
        with torch.inference_mode():
            return torch.softmax(logits(x), dim=-1)

    assert run().shape == (BATCH, STEPS, TAGS)
    measure(benchmark, run, _flops(units, 1))


@each_size
@pytest.mark.benchmark(group="both directions, training step")
def test_pytorch_training_step(benchmark: Any, units: int) -> None:
    torch, layers, logits = _pytorch(units)
    x, y = (torch.from_numpy(array) for array in _data())
    optimizer = torch.optim.Adam(layers.parameters(), fused=True)

    def run() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits(x).reshape(-1, TAGS), y.reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(layers.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    assert run() > run()
    measure(benchmark, run, _flops(units, 3))
