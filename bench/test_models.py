"""Whole models: forward, loss with its gradient, and a training step as ``fit`` takes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import ours, work
from bench.measure import measure
from bench.shapes import ROWS, Row

TRAINED = {name: row for name, row in ROWS.items() if not row.carried}
SINGLE = {name: row for name, row in TRAINED.items() if row.models == 1}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.benchmark(group="forward")
def test_forward(benchmark: Any, row: Row) -> None:
    run, to_array = ours.forward(row)
    assert np.isfinite(to_array(run())).all()
    measure(benchmark, run, row.flops("forward"))


@pytest.mark.parametrize("row", SINGLE.values(), ids=SINGLE)
@pytest.mark.benchmark(group="forward and backward")
def test_value_and_grad(benchmark: Any, row: Row) -> None:
    model, x, y = ours.build(row), work.inputs(row), work.targets(row)
    loss, grads = model.value_and_grad(x, y)
    assert np.isfinite(loss)
    assert all(np.isfinite(grad).all() for grad in grads)
    measure(benchmark, lambda: model.value_and_grad(x, y), row.flops("train"))


@pytest.mark.parametrize("row", TRAINED.values(), ids=TRAINED)
@pytest.mark.benchmark(group="training step")
def test_training_step(benchmark: Any, row: Row) -> None:
    run, _ = ours.train(row)
    assert np.mean(run()) > np.mean(run()), "the loss did not fall"
    measure(benchmark, run, row.flops("train"))
