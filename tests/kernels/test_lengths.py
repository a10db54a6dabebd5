"""Rows from the longest to the shortest, against NumPy's stable sort."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import lengths
from fastlstm.kernels.parallel import set_num_threads

LAUNCH = 1e9


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_counting(threads, rng):
    set_num_threads(threads)
    index = rng.integers(0, 20, 13)
    counts = np.full(13, -1, np.intp)
    ids = rng.integers(0, 3, (20, 9, 1)).astype(np.int32)
    lengths.count_ids(counts, ids, index, work=LAUNCH)
    np.testing.assert_array_equal(counts, (ids[index] != 0).sum(axis=(1, 2)))
    values = rng.integers(0, 2, (20, 9, 3)).astype(np.float32)
    lengths.count_values(counts, values, index, 1.0, work=LAUNCH)
    np.testing.assert_array_equal(counts, (values[index] != 1).any(axis=2).sum(axis=1))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 50])
def test_sorting(threads, size, rng):
    set_num_threads(threads)
    index, counts = rng.permutation(100)[:size], rng.integers(0, 9, size)
    chosen, origin = np.full(size, -1, np.intp), np.full(size, -1, np.intp)
    lengths.sort(chosen, origin, counts, index, work=LAUNCH)
    expected = np.argsort(-counts, kind="stable")
    np.testing.assert_array_equal(origin, expected)
    np.testing.assert_array_equal(chosen, index[expected])
