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
    np.ones(32 * MIB, np.uint8)
    used = memory.since(start)
    assert 30 * MIB < used.added < 48 * MIB
    assert used.total == start + used.added
