"""Run by ``test_jit_disabled``, which expects the second of these to fail."""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import lanes, load, store


@kernel
def _double(out, x, at, crew):
    value = load(x, at)
    store(value + value, out, at)


def test_within_the_array():
    x = np.ones(lanes(np.zeros(1)))
    _double(x, x, 0)
    assert (x == 2).all()


def test_beyond_the_array():
    x = np.ones(4 + lanes(np.zeros(1)) - 1)
    _double(x, x, 4)
