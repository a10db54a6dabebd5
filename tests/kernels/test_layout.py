"""Batches between the public order and the kernels' own."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels import layout
from fastlstm.kernels.parallel import set_num_threads


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_gather_takes_the_chosen_samples_time_first(dtype, rng):
    source = rng.integers(0, 100, (7, 8, 3)).astype(dtype)
    index = np.array([6, 0, 0, 3], np.intp)
    for threads in (1, 3):
        set_num_threads(threads)
        out = np.zeros((5, 4, 3), dtype)
        layout.gather(out, source, index, np.array([2]), work=1e9)
        np.testing.assert_array_equal(out, source[index, 2:7].swapaxes(0, 1))


@pytest.mark.parametrize(("units", "width"), [(1, 8), (8, 8), (21, 8), (3, 1)])
def test_panels_and_back(units, width, rng):
    matrix = rng.standard_normal((5, units)).astype(np.float32)
    panels = np.full((-(-units // width), 5, width), np.nan, np.float32)
    layout.to_panels(panels, matrix)
    padded = np.zeros((5, len(panels) * width), np.float32)
    padded[:, :units] = matrix
    np.testing.assert_array_equal(np.concatenate(list(panels), axis=1), padded)
    back = np.full_like(matrix, np.nan)
    layout.from_panels(back, panels)
    np.testing.assert_array_equal(back, matrix)


@pytest.mark.parametrize("flag", [0, 1])
def test_what_is_done_where_a_flag_says_so(flag, rng):
    x, old = (rng.standard_normal(50).astype(np.float32) for _ in range(2))
    flags = np.array([flag], np.uint8)
    for threads in (1, 3):
        set_num_threads(threads)
        out = old.copy()
        layout.copy_where(out, x, flags, work=1e9)
        np.testing.assert_array_equal(out, x if flag else old)
        layout.clear_where(out, flags, work=1e9)
        np.testing.assert_array_equal(out, out * 0 if flag else old)
