"""Gate math of one time step on one thread: the tile product, and the cell's equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.gates import Step
from bench.measure import measure
from bench.shapes import ROWS, Row

each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


@each_row
@pytest.mark.benchmark(group="gates: h·U of one step")
def test_tile_product(benchmark: Any, row: Row) -> None:
    step = Step(row)
    step.multiply()
    expected = np.einsum("bk,pkc->pbc", step.h, step.u)
    np.testing.assert_allclose(step.gates, expected, rtol=1e-4, atol=1e-4)
    # The sum grows from call to call, and costs the same whatever its value.
    measure(benchmark, step.multiply, step.flops)


@each_row
@pytest.mark.benchmark(group="gates: activations of one step")
def test_activations(benchmark: Any, row: Row) -> None:
    step = Step(row)
    step.multiply()
    # A sigmoid or tanh counts as one operation: the figure is activations a second.
    measure(benchmark, step.activate, 5.0 * step.h.size)
    assert np.isfinite(step.h_next).all()
