"""A layer or model bound to arrays so that it takes each step of longer ones by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlstm.kernels import reshape
from fastlstm.kernels.program import Program
from fastlstm.layers.chain import Chain, record_sums
from fastlstm.layers.graph import Graph
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.memory import Plan


class ByStepOp(Op):
    """A graph whose samples are the steps of x, all steps of all samples side by side.

    Steps of S·B samples are a batch, so the graph sees one that is S times as large. Vectors are
    where they are; of a step that is a sequence itself, time comes first, so it is copied. What the
    graph gives for a step may be one too, of which all numbers then stand in a row.

    Parameters
    ----------
    graph : Graph
        Of one input and one output.
    sample : tuple of int
        What a step is: (features,), (time, features), or (time,) for ids.
    x : ndarray
        (S, B, numbers of a step).
    """

    def __init__(
        self,
        graph: Graph,
        sample: tuple[int, ...],
        x: np.ndarray,
        plan: Plan,
        *,
        saving: bool,
        training: bool,
    ) -> None:
        steps, batch, size = x.shape
        self.x, count = x, steps * batch
        self._rows = x.reshape(1, count, size)
        self._timed = len(sample) == 2 or graph.takes_ids[0]
        shape = (sample[0], count, *sample[1:]) if self._timed else (count, *sample)
        given = None if self._timed else x.reshape(shape)
        self._inner = _Inner(graph, shape, given, plan, saving=saving, training=training)
        y = self._inner.y
        self.gives_sequences = y.ndim == 3
        if self.gives_sequences:
            self.y = plan.array((steps, batch, math.prod(y.shape[::2])), y.dtype)
        else:
            self.y = y.reshape(steps, batch, -1)

    @property
    def forward_weights(self) -> Sequence[Any]:
        return [weights for op in self._inner.ops for weights in op.forward_weights]

    @property
    def backward_weights(self) -> list[Any]:
        return [weights for op in self._inner.ops for weights in op.backward_weights]

    @property
    def seeds(self) -> list[np.ndarray]:
        return [seed for op in self._inner.ops for seed in op.seeds]

    def start(self, resume: bool = False) -> None:
        for op in self._inner.ops:  # whose sequences all begin here
            op.start()

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self._timed:
            program.add(reshape.reshape, self._inside, self._rows, work=2.0 * self.x.size)
        self._inner.record_all_forward(program)
        if self.gives_sequences:
            rows = self.y.reshape(1, -1, self.y.shape[2])
            program.add(reshape.reshape, rows, self._inner.y, work=2.0 * rows.size)

    @property
    def _inside(self) -> np.ndarray:
        """What the graph takes, (time, S·B, numbers)."""
        x = self._inner.x
        return x.reshape(*x.shape[:2], -1)

    def omit_initial_gradients(self) -> None:
        for op in self._inner.ops:
            op.omit_initial_gradients()

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self._d_y = d_y
        y = self._inner.y
        d_rows: np.ndarray = d_y.reshape(y.shape)
        if self.gives_sequences:
            d_rows = plan.array(y.shape, y.dtype)
        self._d_rows = d_rows
        self._inner.bind_gradients(d_rows, plan, need_d_x)
        d_x = self._inner.d_x
        self.d_x = None
        if need_d_x and d_x is not None:
            self.d_x = plan.array(self.x.shape, d_x.dtype) if self._timed else d_x.reshape(
                self.x.shape
            )  # fmt: skip

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self.gives_sequences:
            d_y = self._d_y.reshape(1, -1, self._d_y.shape[2])
            program.add(reshape.reshape, self._d_rows, d_y, work=2.0 * d_y.size)
        self._inner.record_all_backward(program, adds=self.adds)
        if self._timed and self.d_x is not None and self._inner.d_x is not None:
            rows = self.d_x.reshape(self._rows.shape)
            program.add(reshape.reshape, rows, self._inner.d_x, work=2.0 * self.x.size)

    def record_update(self, program: Program) -> None:
        for op in self._inner.ops:
            op.record_update(program)


class _Inner(Chain):
    """The chain of the graph, between arrays of a longer one: it records what it is asked for."""

    hands_out = False

    def __init__(
        self,
        graph: Graph,
        shape: tuple[int, ...],
        given: np.ndarray | None,
        plan: Plan,
        *,
        saving: bool,
        training: bool,
    ) -> None:
        self._given = given
        self._d_last: np.ndarray | None = None
        super().__init__(graph, [shape], plan, saving=saving, training=training)

    def _make_inputs(self, shapes: Sequence[tuple[int, ...]], plan: Plan) -> list[np.ndarray]:
        return super()._make_inputs(shapes, plan) if self._given is None else [self._given]

    def _told_lengths(self) -> None:
        return None  # rows stay where they are

    def _bind(self, number: int, plan: Plan, training: bool) -> list[Op]:
        # No two together, whose panels would follow the weights of one of them.
        layer, _, _, options = self.graph.steps[number]
        (x, mask), *rest = self._taken(number)
        arrays, masks = [x, *(v.array for v in rest)], [mask, *(v.mask for v in rest)]
        op = layer.bind_inputs(
            arrays, masks, plan, saving=self.saving, training=training, **options
        )
        if len(self.graph.steps[number].gives) > 1:
            op.give_states(plan)
        return [op]

    def bind_gradients(self, d_y: np.ndarray, plan: Plan, input_gradient: bool) -> None:
        """Lay out what backward needs, for a gradient that comes in this array."""
        self._d_last = d_y
        self._bind_backward(plan, input_gradient)

    def _bind_backward(self, plan: Plan, input_gradient: bool) -> None:
        if self._d_last is not None:  # not yet, where the chain is made
            super()._bind_backward(plan, input_gradient)

    def _make_gradients(self, plan: Plan) -> list[np.ndarray]:
        assert self._d_last is not None
        return [self._d_last]

    def record_all_forward(self, program: Program) -> None:
        """Record what computes the output."""
        self._record_forward(program)

    def record_all_backward(self, program: Program, *, adds: bool) -> None:
        """Record the gradients, with weights that are packed; those of the weights ``adds``."""
        for op, sums in self._backward:
            record_sums(program, sums)
            op.adds = op.adds or adds
            op.record_backward(program)
        record_sums(program, self._input_sums)
