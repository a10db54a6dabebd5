"""One step of a stream: batch 1, one time step, the state carried from call to call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import ours
from bench.measure import measure
from bench.shapes import ROWS, Row

STREAMS = {name: row for name, row in ROWS.items() if row.carried}


@pytest.mark.parametrize("row", STREAMS.values(), ids=STREAMS)
@pytest.mark.benchmark(group="streaming step")
def test_step(benchmark: Any, row: Row) -> None:
    run, _ = ours.step(row)
    first = run().copy()
    assert not np.array_equal(first, run()), "the state was not carried"
    measure(benchmark, run, row.flops("step"))
