"""The order in which the rows of a batch are computed: the longest first.

Rows do not depend on one another, so their order is free; where padding stands together, kernels
leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastlstm.kernels import lengths
from fastlstm.kernels.program import Program
from fastlstm.layers.feed import Feed
from fastlstm.layers.op import Op
from fastlstm.memory import Plan


class ByMask:
    """Lengths told by a mask that is fed beside the samples."""

    def record_lengths(
        self, program: Program, counts: np.ndarray, source: np.ndarray, index: np.ndarray
    ) -> int:
        """Record how many steps count of the samples ``index``; see ``Op.record_lengths``."""
        return program.add(lengths.count_ids, counts, source, index, work=1.0 * index.size)


class ByLength:
    """Chosen samples, sorted by how many of their steps count.

    Sequences are looked at as a whole, whatever part of them is fed: so windows of the same
    sequences have the same order.

    Attributes
    ----------
    chosen : ndarray
        (B,) the samples in that order.
    origin : ndarray
        (B,) where in the batch each of them stood.
    """

    def __init__(self, told: Op | ByMask, index: np.ndarray, plan: Plan) -> None:
        self._told, self._index = told, index
        self.chosen, self.origin, self._lengths = (
            plan.array(index.shape, index.dtype) for _ in range(3)
        )

    @staticmethod
    def suits(ops: Sequence[Op], batch: int) -> bool:
        """Whether no row must stay where it is."""
        return batch > 1 and not any(op.carries_states for op in ops)

    def record(self, program: Program, feeds: dict[str, list[Feed]]) -> None:
        """Record the sorting of the samples ``index`` of what is fed."""
        index, counts = self._index, self._lengths
        feed = feeds["mask" if isinstance(self._told, ByMask) else "x"][0]
        feed.calls.append(self._told.record_lengths(program, counts, feed.nothing, index))
        work = 1.0 * index.size**2
        program.add(lengths.sort, self.chosen, self.origin, counts, index, work=work)
