"""Predicting once more for a small array, with as little as possible around the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlstm.kernels.parallel import get_num_threads
from fastlstm.layers.chain import Chain, time_first

# Elements up to which NumPy copies them before a kernel could be told where they are.
_SMALL = 1 << 15


class Repeat:
    """A chain's forward pass for arrays of the shape and type that it was last given.

    What can be settled beforehand is, and the program itself checks the values: a call costs
    3 microseconds besides its kernels, a tenth of what it takes to look at everything.
    """

    def __init__(self, chain: Chain, samples: np.ndarray) -> None:
        self._shape, self._dtype = samples.shape, samples.dtype
        self._x = time_first(chain.x, chain.ids[0]).reshape(samples.shape)  # a view
        self._y = time_first(chain.y, ids=False)
        self._run = chain.bound("check", "forward")
        self._packed = chain.packed
        self._threads = get_num_threads()

    @staticmethod
    def suits(chain: Chain) -> bool:
        """Whether a chain has little data, one output, and no states that Python moves."""
        one = len(chain.xs) == len(chain.ys) == 1 and not chain.ops[-1].several
        small = max(chain.x.size, chain.y.size) <= _SMALL
        return one and small and not any(op.carries_states for op in chain.ops)

    def __call__(self, x: Any) -> np.ndarray | None:
        """The output; None where x is unlike the last, or wrong, or the weights have changed."""
        if (
            type(x) is not np.ndarray
            or x.shape != self._shape
            or x.dtype != self._dtype
            or get_num_threads() != self._threads
        ):
            return None
        for packed in self._packed:
            if packed.packed_version != packed.version:
                return None
        self._x[...] = x
        return self._y.copy() if self._run() else None
