"""Back-propagation through long sequences in the memory of short ones.

Only the states at the start of each segment are kept from the forward pass; the tape between them
is computed again when the gradient comes by. Both the number of segments and the steps of each are
near the square root of all steps, and so is the memory, for the price of one more forward pass.
Part of that comes back, as the tape of a segment stays in the caches: measured with 8 rows of
10,000 steps and 64 units, 1.1 times the time and a fortieth of the memory.

Sources: Chen et al., "Training deep nets with sublinear memory cost", 2016; Gruslys et al.,
"Memory-efficient backpropagation through time", NeurIPS 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlstm.kernels import layout
from fastlstm.kernels.matmul import SUM_BLOCK
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer
from fastlstm.layers.graph import Graph
from fastlstm.layers.op import Op
from fastlstm.layers.segment import Segment
from fastlstm.memory import Plan
from fastlstm.models.supervised import Supervised

# Times √steps in a segment: half as many barriers between kernels as with 1, for little memory.
_LENGTH = 2
# With fewer segments there is too little to gain.
_FEWEST = 4
# What is fed segment by segment.
_OF_STEPS = ("x", "mask")


def segments(steps: int, batch: int) -> list[Segment]:
    """A sequence in parts; one, where it is short."""
    # Sums over all rows are taken in blocks, which a segment must not cut.
    unit = SUM_BLOCK // math.gcd(SUM_BLOCK, batch)
    size = -(-math.ceil(_LENGTH * math.sqrt(steps)) // unit) * unit
    if size * (_FEWEST - 1) >= steps:
        return [Segment(0, steps)]
    starts = range(0, steps, size)
    return [Segment(t, min(size, steps - t), t + size >= steps) for t in starts]


def over_time(layers: Sequence[Layer]) -> Sequence[Layer]:
    """The layers up to the first that returns no sequences."""
    reduces = [not getattr(layer, "return_sequences", True) for layer in layers]
    return layers[: reduces.index(True) + 1] if True in reduces else layers


class Checkpointed(Supervised):
    """A training step whose layers over sequences work segment by segment, all in one memory.

    The bits are those of ``Supervised``. Layers after the last step of a sequence, and the loss,
    see all at once.
    """

    def __init__(
        self, graph: Graph, shapes: Sequence[tuple[int, ...]], plan: Plan, **options: Any
    ) -> None:
        (shape,) = shapes
        self._steps = shape[0]
        self._segments = segments(*shape[:2])
        self._timed = len(over_time(graph.layers))
        longest = self._segments[0].steps or 0
        super().__init__(graph, [(longest, *shape[1:])], plan, **options)

    # -- memory -------------------------------------------------------------------------------

    def _pass_on(self, op: Op, plan: Plan) -> np.ndarray:
        if len(self.ops) != self._timed:
            return op.y
        # States after each segment.
        self._kept = [
            [plan.array(state.shape, state.dtype) for state in self._states(0)]
            for _ in self._segments
        ]
        if op.y.ndim == 3:
            return plan.array((self._steps, *op.y.shape[1:]), op.y.dtype)
        return self._kept[-1][-len(op.states(0))]

    def _pass_mask(self, mask: np.ndarray, plan: Plan) -> np.ndarray:
        self._top_mask = mask
        return plan.array((self._steps, mask.shape[1]), np.uint8) if len(mask) else mask

    def _pass_back(self, d_y: np.ndarray, op: Op, plan: Plan) -> np.ndarray:
        if op is not self.ops[self._timed - 1] or op.y.ndim != 3:
            return d_y
        self._d_top = plan.array(op.y.shape, d_y.dtype)
        return self._d_top

    def _states(self, step: int) -> list[np.ndarray]:
        """States of all layers before a step of a segment."""
        return [state for op in self.ops[: self._timed] for state in op.states(step)]

    @property
    def _top(self) -> Op:
        """The last op that works segment by segment."""
        return self.ops[self._timed - 1]

    # -- the program --------------------------------------------------------------------------

    def _record_feeds(self, program: Program) -> None:
        if self.order is not None:
            self.order.record(program, self.feeds)
        for name, feeds in self.feeds.items():
            for feed in feeds:
                if name not in _OF_STEPS:
                    feed.record(program, self.chosen, self.first_step)

    def _record_forward(self, program: Program) -> None:
        top = self._top
        for number, segment in enumerate(self._segments):
            self._record_segment(program, number)
            layout.record_copies(program, self._kept[number], self._states(segment.steps or 0))
            if top.y.ndim == 3:
                layout.record_copy(program, _steps_of(self.y, segment), segment.of(top.y))
                if len(self.masks[0]):
                    pair = _steps_of(self.masks[0], segment), segment.of(self._top_mask)
                    layout.record_copy(program, *pair)
        for op in self.ops[self._timed :]:
            op.record_start(program)
            op.record_forward(program)

    def _record_segment(self, program: Program, number: int) -> None:
        """Record a segment's forward pass, from the states that were kept."""
        segment = self._segments[number]
        start = np.array([segment.start], np.intp)
        for name in _OF_STEPS:
            for feed in self.feeds.get(name, []):
                feed.record(program, self.chosen, start, segment)
        if number > 0:
            layout.record_copies(program, self._states(0), self._kept[number - 1])
        for op in self.ops[: self._timed]:
            if number == 0:
                op.record_start(program)
            op.record_forward(program, segment)

    def _record_backward(self, program: Program) -> None:
        through = [op for op, _ in self._backward]  # from the last on
        for op in through:
            for packed in op.backward_weights:
                packed.pack_transposed(program)
        above = len(self.ops) - self._timed
        for op in through[:above]:
            op.record_backward(program)
        for number in reversed(range(len(self._segments))):
            segment = self._segments[number]
            if not segment.last:  # whose tape is still there
                self._record_segment(program, number)
            if self._top.y.ndim == 3:
                layout.record_copy(program, segment.of(self._d_top), _steps_of(self.d_y, segment))
            for op in through[above:]:
                op.record_backward(program, segment)

    def commit(self, resume: bool = False) -> None:
        # Back to where the layers look for them.
        for state, kept in zip(self._states(self.x.shape[0]), self._kept[-1], strict=True):
            np.copyto(state, kept)
        super().commit(resume)


def _steps_of(array: np.ndarray, segment: Segment) -> np.ndarray:
    """A segment's steps of an array that has all of them."""
    return segment.of(array[segment.start :])
