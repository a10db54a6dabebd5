"""One step of each optimizer, beside PyTorch's where that is installed and has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench import optimizers
from bench.measure import measure
from bench.shapes import ROWS
from fastlstm import optimizers as library

# 17,000 weights, 200,000, and 20 million: more than any cache holds.
SIZES = {name: ROWS[name] for name in ("forecast", "forecast-deep", "lm")}
PEERS = {name: peer for name, (peer, _) in optimizers.TABLE.items() if peer}

each_size = pytest.mark.parametrize("size", SIZES)


def _measure(benchmark: Any, name: str, size: str, step: tuple[Callable[[], Any], Any]) -> None:
    run, params = step
    benchmark.group = f"step of {name}, weights of {size}"
    before = params.copy()
    run()
    assert np.isfinite(params).all()
    assert np.abs(params - before).max() > 0, "nothing was updated"
    measure(benchmark, run, getattr(library, name).step_work * params.size)


@each_size
@pytest.mark.parametrize("name", optimizers.TABLE)
def test_fastlstm(benchmark: Any, name: str, size: str) -> None:
    _measure(benchmark, name, size, optimizers.ours(name, SIZES[size]))


@each_size
@pytest.mark.parametrize("name", PEERS)
def test_pytorch(benchmark: Any, name: str, size: str) -> None:
    torch = pytest.importorskip("torch")
    _measure(benchmark, name, size, optimizers.pytorch(name, SIZES[size], torch))
