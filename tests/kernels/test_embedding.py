"""Embedding look-up and its gradient against the obvious loop, for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import embedding
from fastlstm.kernels.parallel import set_num_threads
from tests.reference import embedding as reference

LAUNCH = 1e9
ALL = np.empty(0, np.uint8)  # a mask that leaves nothing out


@pytest.mark.parametrize("depth", [1, 3, 17, 128])
def test_look_up_and_gradient(depth, rng):
    ids = rng.integers(0, 11, 100).astype(np.int32)  # each row many times
    table = rng.standard_normal((12, depth)).astype(np.float32)
    d_out = rng.standard_normal((100, depth)).astype(np.float32)
    tables = []
    for threads in (1, 2, 3):
        set_num_threads(threads)
        out = np.full((100, depth), np.nan, np.float32)
        embedding.look_up(out, ids, table, work=LAUNCH)
        np.testing.assert_array_equal(out, reference.forward(ids, table))
        d_table, touched = np.zeros_like(table), np.zeros(len(table), np.uint8)
        embedding.add_rows(d_table, touched, d_out, ids, ALL, work=LAUNCH)
        np.testing.assert_array_equal(np.flatnonzero(touched), np.unique(ids))
        tables.append(d_table)
        parts = np.zeros_like(table)
        for part in (slice(60, None), slice(0, 60)):
            embedding.add_rows(parts, touched, d_out[part], ids[part], ALL, work=LAUNCH)
        np.testing.assert_array_equal(parts, d_table)
        mask, some = (ids != 5).astype(np.uint8), d_out * (ids != 5)[:, None]
        masked, touched[:] = np.zeros_like(table), 0
        embedding.add_rows(masked, touched, d_out, ids, mask, work=LAUNCH)
        np.testing.assert_array_equal(np.flatnonzero(touched), np.unique(ids[ids != 5]))
        np.testing.assert_allclose(masked, reference.backward(ids, table, some), atol=1e-5)
    np.testing.assert_allclose(tables[0], reference.backward(ids, table, d_out), atol=1e-5)
    np.testing.assert_array_equal(tables[0][11], 0)  # no id 11
    np.testing.assert_array_equal(tables[1], tables[0])
    np.testing.assert_array_equal(tables[2], tables[0])


def test_clear_rows_clears_those_rows_and_no_other():
    table, touched = np.ones((6, 3), np.float32), np.array([0, 1, 0, 0, 1, 0], np.uint8)
    embedding.clear_rows(table, touched)
    np.testing.assert_array_equal(table[:, 0], [1, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(touched, 0)
