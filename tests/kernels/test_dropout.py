"""Dropout's mask: the right share, a function of seed and position, the same forward and back."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels.dropout import draw_kept, drop, keep
from fastlstm.kernels.parallel import set_num_threads


def _drop(x, seed, rate):
    out = np.full_like(x, np.nan)
    drop(out, x, np.full(1, seed, np.uint64), rate, 0, work=1e9)
    return out


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_share_and_scale(rate):
    set_num_threads(1)
    out = _drop(np.ones((200, 500), np.float32), 7, rate)
    kept = out != 0
    np.testing.assert_allclose(out[kept], 1 / (1 - rate), rtol=1e-6)
    # Five standard deviations of the share of kept elements.
    assert abs(kept.mean() - (1 - rate)) <= 5 * np.sqrt(rate * (1 - rate) / out.size)
    for axis in (0, 1):  # nor does any row or column stand out
        spread = np.sqrt(rate * (1 - rate) / out.shape[axis])
        assert np.abs(kept.mean(axis=axis) - (1 - rate)).max() <= 5 * spread


def test_the_mask_depends_on_the_seed_and_not_on_data_or_threads(rng):
    x, d = (rng.standard_normal((33, 21)).astype(np.float32) for _ in range(2))
    set_num_threads(1)
    expected = _drop(x, 3, 0.5)
    np.testing.assert_array_equal(_drop(d, 3, 0.5) == 0, expected == 0)
    assert np.mean((_drop(x, 4, 0.5) == 0) == (expected == 0)) < 0.7
    for threads in (2, 3):
        set_num_threads(threads)
        np.testing.assert_array_equal(_drop(x, 3, 0.5), expected)


def test_rows_in_parts_have_the_mask_they_have_together(rng):
    x = rng.standard_normal((33, 21)).astype(np.float32)
    out, seed = np.full_like(x, np.nan), np.full(1, 3, np.uint64)
    for first, last in ((20, 33), (0, 20)):
        drop(out[first:last], x[first:last], seed, 0.5, first)
    np.testing.assert_array_equal(out, _drop(x, 3, 0.5))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_mask_that_begins_again(threads, rng):
    set_num_threads(threads)
    x = rng.standard_normal((60, 37)).astype(np.float32)
    kept, out = np.full((20, 37), np.nan, np.float32), np.full_like(x, np.nan)
    draw_kept(kept, np.full(1, 3, np.uint64), 0.5, work=1e9)
    keep(out, x, kept, work=1e9)
    for start in range(0, 60, 20):
        part = slice(start, start + 20)
        np.testing.assert_array_equal(out[part], _drop(x[part], 3, 0.5))
