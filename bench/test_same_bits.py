"""Every row of the table: the same bits for any number of threads, run again, or split up."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastlstm
from bench import ours, work
from bench.shapes import ROWS, Row

STEPS = 5  # of Adam
THREADS = (1, 2, 3, 2)

each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastlstm.get_num_threads()
    yield
    fastlstm.set_num_threads(before)


def _digest(*arrays: Any) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _trained(row: Row) -> str:
    model, x, y = ours.build(row), work.inputs(row), work.targets(row)
    losses = [model.train_on_batch(x, y) for _ in range(STEPS)]
    gradients = model.value_and_grad(x, y)[1] if hasattr(model, "value_and_grad") else []
    return _digest(*losses, *gradients, *model.get_weights(), model.predict_on_batch(x))


@each_row
def test_threads_and_repeated_runs(row: Row) -> None:
    digests = set()
    for threads in THREADS:
        fastlstm.set_num_threads(threads)
        digests.add(_trained(row))
    assert len(digests) == 1


@each_row
def test_parts_of_the_batch(row: Row) -> None:
    fastlstm.set_num_threads(2)
    model, x = ours.build(row), work.inputs(row)
    whole = model.predict_on_batch(x)
    axis = 1 if row.models > 1 else 0  # of the samples
    for size in {1, 3, max(1, row.batch // 2)}:
        parts = [
            model.predict_on_batch(np.take(x, range(start, min(start + size, row.batch)), axis))
            for start in range(0, row.batch, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts, axis), whole)


@each_row
def test_parts_of_the_steps(row: Row) -> None:
    if row.models > 1:
        pytest.skip("streams are of one model")
    steps = min(row.steps, 200)
    shorter = dataclasses.replace(row, steps=steps)
    model, x = ours.build(shorter), work.inputs(shorter)
    whole = model.predict_on_batch(x)
    stream = model.stream(row.batch)
    for t in range(steps):
        y = stream.step(np.ascontiguousarray(x[:, t]))
        if row.every_step:
            np.testing.assert_array_equal(y, whole[:, t])
    if not row.every_step:
        np.testing.assert_array_equal(y, whole)
