"""Losses with their gradients, and metrics, each of one batch; ``losses.py`` has PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.losses import LOSSES, METRICS, SHAPES, our_loss, our_metric
from bench.measure import measure

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")


@each_shape
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.benchmark(group="loss and gradient")
def test_loss(benchmark: Any, name: str, shape: tuple[int, int]) -> None:
    run = our_loss(name, shape)
    assert np.isfinite(run())
    # The figure is elements a nanosecond, not floating-point operations.
    measure(benchmark, run, float(np.prod(shape)))


@each_shape
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.benchmark(group="metric of a batch")
def test_metric(benchmark: Any, name: str, shape: tuple[int, int]) -> None:
    run = our_metric(name, shape)
    assert np.isfinite(run().result()).all()
    measure(benchmark, run, float(np.prod(shape)))
