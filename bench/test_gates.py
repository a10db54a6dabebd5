"""Gate math of time steps on one thread: the tile product, and the cell's equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.gates import STEPS, Step
from bench.measure import measure
from bench.shapes import ROWS, Row

each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


@each_row
@pytest.mark.benchmark(group=f"gates: h·U of {STEPS} steps")
def test_tile_product(benchmark: Any, row: Row) -> None:
    step = Step(row)
    step.multiply(steps=1)
    expected = np.einsum("bk,pkc->pbc", step.h, step.u)
    np.testing.assert_allclose(step.gates, expected, rtol=1e-4, atol=1e-4)
    # The sum grows from call to call, and costs the same whatever its value.
    measure(benchmark, step.multiply, step.multiply())


@each_row
@pytest.mark.benchmark(group=f"gates: activations of {STEPS} steps")
def test_activations(benchmark: Any, row: Row) -> None:
    step = Step(row)
    step.multiply(steps=1)
    # The figure is activations a nanosecond, not floating-point operations.
    measure(benchmark, step.activate, step.activate())
    assert np.isfinite(step.h_next).all()
