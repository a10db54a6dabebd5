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

    def __init__(self, op: Op, index: np.ndarray, plan: Plan) -> None:
        self._op, self._index = op, index
        self.chosen, self.origin, self._lengths = (
            plan.array(index.shape, index.dtype) for _ in range(3)
        )

    @staticmethod
    def suits(ops: Sequence[Op], batch: int) -> bool:
        """Whether the samples say how long they are, and no row must stay where it is."""
        return batch > 1 and ops[0].says_lengths and not any(op.carries_states for op in ops)

    def record(self, program: Program, feed: Feed) -> None:
        """Record the sorting of the samples ``index`` of what ``feed`` copies from."""
        index, counts = self._index, self._lengths
        feed.calls.append(self._op.record_lengths(program, counts, feed.nothing, index))
        work = 1.0 * index.size**2
        program.add(lengths.sort, self.chosen, self.origin, counts, index, work=work)
