"""How long sequences are parted, to be worked through part by part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

from fastlstm.kernels.matmul import SUM_BLOCK
from fastlstm.layers.chain import has_time
from fastlstm.layers.graph import Graph
from fastlstm.layers.segment import Segment
from fastlstm.layers.time_distributed import TimeDistributed

# Times √steps in a segment: half as many barriers between kernels as with 1, for little memory.
_LENGTH = 2
# With fewer segments there is too little to gain.
_FEWEST = 4


def segments(steps: int, batch: int) -> list[Segment]:
    """A sequence in parts; one, where it is short."""
    # Sums over all rows are taken in blocks, which a segment must not cut.
    unit = SUM_BLOCK // math.gcd(SUM_BLOCK, batch)
    size = -(-math.ceil(_LENGTH * math.sqrt(steps)) // unit) * unit
    if size * (_FEWEST - 1) >= steps:
        return [Segment(0, steps)]
    starts = range(0, steps, size)
    return [Segment(t, min(size, steps - t), t + size >= steps) for t in starts]


def public_shapes(graph: Graph, shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Shapes of the inputs with the batch first, of those with the time first."""
    found = []
    for number, shape, ids in zip(graph.inputs, shapes, graph.takes_ids, strict=True):
        if has_time(len(shape), ids):
            taker, (steps, batch, *step) = graph.taker(number), shape
            shape = (batch, steps, *(taker.step_shape(*step) if _folded(taker) else step))
        found.append(shape)
    return found


def streamed_inputs(graph: Graph, shapes: Sequence[tuple[int, ...]]) -> dict[int, list[Segment]]:
    """The inputs that are long enough to be taken in segments, of shapes with the time first."""
    found = {}
    for number, shape, ids in zip(graph.inputs, shapes, graph.takes_ids, strict=True):
        if has_time(len(shape), ids) and not _folded(graph.taker(number)):
            parts = segments(*shape[:2])
            if len(parts) > 1:
                found[number] = parts
    return found


def _folded(layer: Any) -> TypeGuard[TimeDistributed]:
    """Whether it takes steps that may be sequences themselves, all of them at once."""
    return isinstance(layer, TimeDistributed) and layer.folds
