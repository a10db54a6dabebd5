"""What is drawn for zoneout: the right share, a function of seed and place."""

from __future__ import annotations

import numpy as np
import pytest

from fastlstm.kernels.parallel import set_num_threads
from fastlstm.kernels.zoneout import draw


def _draw(shape, seed, rate, row=0):
    zones = np.full(shape, np.nan, np.float32)
    draw(zones, np.full(1, seed, np.uint64), rate, row, work=1e9)
    return zones


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_the_share(rate):
    set_num_threads(1)
    zones = _draw((200, 500), 7, rate)
    assert set(np.unique(zones)) == ({0.0, 1.0} if rate else {0.0})
    # Five standard deviations.
    assert abs(zones.mean() - rate) <= 5 * np.sqrt(rate * (1 - rate) / zones.size)
    for axis in (0, 1):  # nor does any row or column stand out
        spread = np.sqrt(rate * (1 - rate) / zones.shape[axis])
        assert np.abs(zones.mean(axis=axis) - rate).max() <= 5 * spread


def test_a_function_of_seed_and_place():
    set_num_threads(1)
    whole = _draw((33, 21), 3, 0.5)
    assert np.mean(_draw((33, 21), 4, 0.5) == whole) < 0.7
    np.testing.assert_array_equal(_draw((13, 21), 3, 0.5, row=20), whole[20:])
    for threads in (2, 3):
        set_num_threads(threads)
        np.testing.assert_array_equal(_draw((33, 21), 3, 0.5), whole)
