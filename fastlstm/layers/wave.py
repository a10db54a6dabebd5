"""Stacked recurrent layers as a wavefront: each on a thread of its own, some steps behind the last.

A layer's steps wait for one another, but not for the layer above. While one thread takes a layer
through some steps, another takes the layer above through those before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from fastlstm.kernels.program import Program
from fastlstm.layers import split
from fastlstm.layers.op import Op
from fastlstm.layers.recurrent_op import RecurrentOp


def stacks(ops: Sequence[Op]) -> Iterator[list[Op]]:
    """The ops in their order; recurrent ones that follow one another, together."""
    stack: list[Op] = []
    for op in ops:
        if stack and not _goes_on(op, stack[-1]):
            yield stack
            stack = []
        stack.append(op)
    yield stack


def _goes_on(op: Op, below: Op) -> bool:
    """Whether a recurrent op takes the steps of another, and no states of its own."""
    if not (isinstance(op, RecurrentOp) and isinstance(below, RecurrentOp)):
        return False
    plain = op.causal and below.causal and not (op.zeroes or below.zeroes)
    return plain and op.x is below.y and not op.given


def record_stack(program: Program, stack: Sequence[Op]) -> None:
    """Record what computes the output of one of the ``stacks``."""
    layers = [op for op in stack if isinstance(op, RecurrentOp) and op.causal]
    if layers:
        first = layers[0]
        stride = split.wave_steps([op.work for op in layers], first.steps, first.threads)
        if stride and not any(op.seeds for op in layers):
            _record_wave(program, layers, stride)
            return
    for op in stack:
        op.record_forward(program)


def _record_wave(program: Program, layers: Sequence[RecurrentOp], stride: int) -> None:
    steps = layers[0].steps
    for front in range(0, steps + (len(layers) - 1) * stride, stride):
        parts = {}
        for number, op in enumerate(layers):
            start = front - number * stride
            if 0 <= start < steps:
                stop = min(start + stride, steps)
                parts[number] = partial(op.record_steps, start=start, stop=stop)
        program.side_by_side(parts)
