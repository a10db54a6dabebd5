"""Peak memory since a mark."""

import sys

import numpy as np
import pytest

from bench import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
MIB = 1 << 20


def test_peak_counts_from_the_mark():
    np.ones(64 * MIB, np.uint8)  # a peak before the mark
    start = memory.mark()
    assert memory.since(start).added < 16 * MIB
    np.ones(80 * MIB, np.uint8)  # more than malloc ever takes from what was freed before
    used = memory.since(start)
    assert 78 * MIB < used.added < 96 * MIB
    assert used.total == start + used.added
