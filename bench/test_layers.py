"""Layers around recurrent ones, a training step each, in turn with PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastlstm
from bench.measure import measure_in_turn
from fastlstm import Input, Model
from fastlstm.layers import (
    GRU,
    BatchNormalization,
    Conv1D,
    LayerNormalization,
    MultiHeadAttention,
    PeepholeLSTM,
    ProjectedLSTM,
)

BATCH, STEPS, FEATURES = 32, 50, 128

LAYERS: dict[str, Callable[[Any], Any]] = {
    "heads": lambda x: MultiHeadAttention(4, FEATURES // 4)(x, x),
    "convolution": Conv1D(FEATURES, 5, padding="same"),
    "layer normalization": LayerNormalization(),
    "batch normalization": BatchNormalization(),
    "projection": ProjectedLSTM(256, FEATURES, return_sequences=True),
    "reset before": GRU(FEATURES, reset_after=False, return_sequences=True),
    "peepholes": PeepholeLSTM(FEATURES, return_sequences=True),
}


def _theirs(torch: Any, name: str) -> tuple[Any, Callable[[Any], Any]] | None:
    """PyTorch's module, and what computes its output; None where there is none."""
    nn = torch.nn
    if name == "heads":
        heads = nn.MultiheadAttention(FEATURES, 4, batch_first=True)
        return heads, lambda x: heads(x, x, x, need_weights=False)[0]
    if name == "convolution":
        conv = nn.Conv1d(FEATURES, FEATURES, 5, padding="same")
        return conv, lambda x: conv(x.transpose(1, 2)).transpose(1, 2)
    if name == "layer normalization":
        norm = nn.LayerNorm(FEATURES)
        return norm, norm
    if name == "batch normalization":
        batch = nn.BatchNorm1d(FEATURES)
        return batch, lambda x: batch(x.reshape(-1, FEATURES)).reshape(x.shape)
    if name == "projection":
        lstm = nn.LSTM(FEATURES, 256, batch_first=True, proj_size=FEATURES)
        return lstm, lambda x: lstm(x)[0]
    return None


def _step_of(torch: Any, name: str, x: np.ndarray, y: np.ndarray) -> Callable[[], Any] | None:
    found = _theirs(torch, name)
    if found is None:
        return None
    module, output = found
    optimizer = torch.optim.Adam(module.parameters())
    given, wanted = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(output(given), wanted)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.benchmark(group="layers, training step")
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_training_step(benchmark: Any, name: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, BATCH, STEPS, FEATURES), dtype=np.float32)
    inputs = Input((STEPS, FEATURES))
    model = Model(inputs, LAYERS[name](inputs))
    model.compile("adam", "mse")
    assert model.train_on_batch(x, y) > model.train_on_batch(x, y)
    peers: dict[str, Callable[[], Any]] = {}
    if not benchmark.disabled:
        torch = pytest.importorskip("torch")
        torch.set_num_threads(fastlstm.get_num_threads())
        step = _step_of(torch, name, x, y)
        peers = {} if step is None else {"pytorch": step}
    measure_in_turn(benchmark, lambda: model.train_on_batch(x, y), **peers)
