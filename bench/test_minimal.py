"""Minimal recurrent layers, a training step each, in turn with PyTorch's GRU and the paper's scan.

Without h·U the states are h' = a * h + b, which PyTorch cannot do step by step at any speed. The
paper takes all steps at once in logarithms, a cumulative sum and one of exponentials, for which b
must be positive: n is then g(x W_n + b_n) with a g that is. It is the same work at a similar size,
not the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastlstm
from bench.measure import measure_in_turn
from fastlstm import Input, Sequential
from fastlstm.layers import MinGRU, MinLSTM

KINDS = {"MinGRU": MinGRU, "MinLSTM": MinLSTM}
# batch, steps, features, units: one as in a forecast, a tagger, long ones, and a large one.
SHAPES = [
    (32, 24, 1, 64),
    (64, 96, 8, 128),
    (8, 1000, 4, 64),
    (1, 5000, 64, 256),
    (128, 80, 128, 128),
]


def _scan(torch: Any, log_a: Any, log_b: Any) -> Any:
    """log h of h' = a * h + b from h = 0, for all steps at once; (batch, time, units)."""
    sums = log_a.cumsum(dim=1)
    return sums + torch.logcumsumexp(log_b - sums, dim=1)


def _log_g(torch: Any, x: Any) -> Any:
    """Logarithm of g: x + 1/2 where x is not negative, else sigmoid(x)."""
    softplus = torch.nn.functional.softplus
    return torch.where(x >= 0, (torch.relu(x) + 0.5).log(), -softplus(-x))


def _minimal(torch: Any, name: str, features: int, units: int) -> tuple[Any, Callable[[Any], Any]]:
    """The layer as the paper has it, appendix B: its weights, and what computes its output."""
    softplus = torch.nn.functional.softplus
    linear = torch.nn.Linear(features, (2 if name == "MinGRU" else 3) * units)

    def gru(x: Any) -> Any:
        z, n = linear(x).chunk(2, dim=-1)
        return _scan(torch, -softplus(z), -softplus(-z) + _log_g(torch, n)).exp()

    def lstm(x: Any) -> Any:
        f, i, n = linear(x).chunk(3, dim=-1)
        # log of i over f, of which both shares are made.
        odds = softplus(-f) - softplus(-i)
        return _scan(torch, -softplus(odds), -softplus(-odds) + _log_g(torch, n)).exp()

    return linear, gru if name == "MinGRU" else lstm


def _step_of(
    torch: Any, module: Any, output: Callable[[Any], Any], x: np.ndarray, y: np.ndarray
) -> Callable[[], float]:
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    given, wanted = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(output(given), wanted)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


@pytest.mark.parametrize("shape", SHAPES, ids="B{0[0]}-T{0[1]}-D{0[2]}-H{0[3]}".format)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.benchmark(group="minimal layers, training step")
def test_training_step(benchmark: Any, name: str, shape: tuple[int, int, int, int]) -> None:
    batch, steps, features, units = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, steps, features), dtype=np.float32)
    y = rng.standard_normal((batch, steps, units), dtype=np.float32)
    model = Sequential([Input((steps, features)), KINDS[name](units, return_sequences=True)])
    model.compile("adam", "mse")
    assert model.train_on_batch(x, y) > model.train_on_batch(x, y)
    peers: dict[str, Callable[[], Any]] = {}
    if not benchmark.disabled:
        torch = pytest.importorskip("torch")
        torch.set_num_threads(fastlstm.get_num_threads())
        gru = torch.nn.GRU(features, units, batch_first=True)
        modules = {
            "pytorch_scan": _minimal(torch, name, features, units),
            "pytorch_gru": (gru, lambda given: gru(given)[0]),
        }
        peers = {key: _step_of(torch, *module, x, y) for key, module in modules.items()}
    measure_in_turn(benchmark, lambda: model.train_on_batch(x, y), **peers)
