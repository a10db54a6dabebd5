"""Bounds of a row: by hand for small ones, and nowhere above what they bound."""

import pytest

from bench.roofline import Machine, compulsory_bytes, last_level_cache
from bench.shapes import ROWS, Row
from bench.work import inputs, stacked, targets, weights

ROW = Row("small", 2, 3, 4, (5,))
PARAMETERS = (4 + 5 + 1) * 20 + 6
BATCH = 2 * 3 * 4


def test_forward_reads_batch_and_parameters_and_writes_outputs():
    # Outputs count twice, as everything that is handed on.
    assert compulsory_bytes(ROW, "forward", 0) == 4 * (BATCH + PARAMETERS + 2 * 2)


def test_training_moves_parameters_eight_times_and_what_is_saved_twice():
    saved = 2 * 3 * 6 * 5 + 2
    assert compulsory_bytes(ROW, "train", 0) == 4 * (BATCH + 8 * PARAMETERS + 2 * saved)


def test_what_fits_the_cache_is_not_transferred():
    working_set = 4 * (BATCH + PARAMETERS + 2)
    assert compulsory_bytes(ROW, "forward", working_set) == 0
    half = compulsory_bytes(ROW, "forward", working_set // 2)
    assert half == pytest.approx(compulsory_bytes(ROW, "forward", 0) / 2, rel=1e-2)


def test_forward_meets_few_rows_of_an_embedding():
    row = Row("words", 2, 3, 4, (5,), vocabulary=1000)
    assert compulsory_bytes(row, "forward", 0) == 4 * (6 + PARAMETERS + 6 * 4 + 2 * 2)


def test_attainable_time_is_the_longer_one():
    machine = Machine(100.0, 10.0, 0)
    assert machine.attainable_seconds(1e9, 1e6) == pytest.approx(0.01)
    assert machine.attainable_seconds(1e9, 1e9) == pytest.approx(0.1)


def test_last_level_cache_is_a_size():
    assert last_level_cache() >= 1 << 10


def test_models_multiply_operations_and_lead_the_arrays():
    row, one = ROWS["many-small"], Row("one", 8, 48, 1, (16,))
    assert row.flops("train") == 512 * one.flops("train")
    assert inputs(row).shape == (512, 8, 48, 1)
    assert targets(row).shape == (512, 8, 1)
    kernels = stacked(row)[0]
    assert kernels.shape == (512, 1, 64)
    assert (kernels[3] == weights(row, 3).layers[0][0]).all()
    assert (kernels[0] != kernels[1]).any()
