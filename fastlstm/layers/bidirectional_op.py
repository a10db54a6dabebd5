"""Both directions of a recurrent layer bound to arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlstm.kernels import layout
from fastlstm.kernels import merge as kernels
from fastlstm.kernels.masks import clear_masked
from fastlstm.kernels.program import Program
from fastlstm.kernels.static import Static
from fastlstm.layers import split
from fastlstm.layers.feed import with_steps
from fastlstm.layers.op import Op
from fastlstm.layers.packed import Packed
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.memory import Plan

# How two outputs become one; concatenation has kernels of its own.
MERGES: dict[str, Static | None] = {
    "concat": None,
    "sum": kernels.Sum(),
    "mul": kernels.Product(),
    "ave": kernels.Mean(),
}


class BidirectionalOp(Op):
    """Two recurrent ops on one input, whose outputs are merged."""

    causal = False

    def __init__(
        self,
        first: RecurrentOp,
        second: RecurrentOp,
        mode: str | None,
        mask: np.ndarray,
        plan: Plan,
    ) -> None:
        self.both = first, second
        self._how = MERGES[mode or "concat"]
        self.several = mode is None
        self._timed = first.y.ndim == 3
        # Steps that do not count give nothing, as in Keras, rather than the last output again.
        self._zeroed = mask if self._timed else mask[:0]
        *steps, units = first.y.shape
        if self._how is None:
            units += second.y.shape[-1]
        self.y = plan.array((*steps, units), first.y.dtype)
        self._outputs: list[np.ndarray] = []  # of both, where they are apart
        self._beside = split.one_each(first.work, first.threads)

    @property
    def recurrent_ops(self) -> tuple[RecurrentOp, RecurrentOp]:
        return self.both

    @property
    def forward_weights(self) -> list[Any]:
        return [weights for op in self.both for weights in op.forward_weights]

    @property
    def backward_weights(self) -> list[Packed]:
        return [weights for op in self.both for weights in op.backward_weights]

    @property
    def seeds(self) -> list[np.ndarray]:
        return [seed for op in self.both for seed in op.seeds]

    # -- forward ------------------------------------------------------------------------------

    def start(self, resume: bool = False) -> None:
        for op in self.both:
            op.start(resume)

    def record_start(self, program: Program) -> None:
        for op in self.both:
            op.record_start(program)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        self._record_both(program, [op.record_forward for op in self.both])
        if self._outputs:
            self._record_apart(program)
            return
        arrays = (self.y, *(op.y for op in self.both))
        if self._how is None:
            shaped = (with_steps(array, self._timed) for array in arrays)
            program.add(kernels.join, *shaped, self._timed, work=2.0 * self.y.size)
        else:
            rows = map(self._rows, arrays)
            program.add(kernels.merge, self._how, *rows, self._timed, work=3.0 * self.y.size)
        self._record_zeroing(program, self.y)

    def _record_apart(self, program: Program) -> None:
        """Record the copying of both outputs, the second one turned, into arrays of their own."""
        (first, second), (y, turned) = self.both, self._outputs
        layout.record_copy(program, y, first.y)
        self._record_turned(program, turned, second.y)
        for output in self._outputs:
            self._record_zeroing(program, output)

    def _record_turned(self, program: Program, out: np.ndarray, x: np.ndarray) -> None:
        """Record: the steps of x from the end, or x where there is no time."""
        if self._timed:
            layout.record_reversed(program, out, x)
        else:
            layout.record_copy(program, out, x)

    def _record_zeroing(self, program: Program, array: np.ndarray) -> None:
        if len(self._zeroed):
            rows = array.reshape(-1, array.shape[-1])
            program.add(clear_masked, rows, self._zeroed.reshape(-1), work=1.0 * rows.size)

    def _record_both(self, program: Program, parts: list[Callable[[Program], None]]) -> None:
        """Record for both directions: side by side, or one after the other."""
        if self._beside:
            program.side_by_side(dict(enumerate(parts)))
        else:
            for record in parts:
                record(program)

    def _rows(self, array: np.ndarray) -> np.ndarray:
        """(T, N), of one step where there is no time."""
        return array.reshape(len(array) if self._timed else 1, -1)

    # -- backward -----------------------------------------------------------------------------

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.bind_gradients([d_y], plan, [need_d_x])

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        self.d_y, count = d_ys[0], max(1, len(self._outputs))
        self._d_ys = d_ys[:count]
        self._d_outputs = [plan.array(op.y.shape, op.y.dtype) for op in self.both]
        for op, d_output, d_states in zip(
            self.both, self._d_outputs, self._apart(d_ys[count:]), strict=True
        ):
            op.bind_gradients([d_output, *d_states], plan, needs[:1])
        self.d_x = self.both[0].d_x

    @property
    def d_xs(self) -> list[np.ndarray | None]:
        return [self.d_x, *(array for op in self.both for array in op.d_xs[1:])]

    def omit_initial_gradients(self) -> None:
        for op in self.both:
            op.omit_initial_gradients()

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        work = 3.0 * self.y.size
        for op in self.both:
            op.adds = self.adds
        for d_y in self._d_ys:
            self._record_zeroing(program, d_y)
        if self._outputs:
            layout.record_copy(program, self._d_outputs[0], self._d_ys[0])
            self._record_turned(program, self._d_outputs[1], self._d_ys[1])
        elif self._how is None:
            arrays = (*self._d_outputs, self.d_y)
            shaped = (with_steps(array, self._timed) for array in arrays)
            program.add(kernels.split, *shaped, self._timed, work=work)
        else:
            arrays = (*self._d_outputs, self.d_y, *(op.y for op in self.both))
            program.add(kernels.part, self._how, *map(self._rows, arrays), self._timed, work=work)
        self._record_both(program, [op.record_through_time for op in self.both])
        for op in self.both:  # whose scratch is the same
            op.record_gradients(program)
        first, second = (op.d_x for op in self.both)
        if first is not None and second is not None:
            program.add(layout.add, first, second, work=1.0 * first.size)

    # -- states -------------------------------------------------------------------------------

    def start_from(self, states: list[np.ndarray]) -> None:
        """Take the states before the first step from other layers, the forward layer's first."""
        for op, part in zip(self.both, self._apart(states), strict=True):
            op.start_from(part)

    def _apart(self, states: Any) -> list[list[np.ndarray]]:
        """The states of each direction."""
        count = self.both[0].cell.states if states else 0
        return [states[:count], states[count:]]

    def give_states(self, plan: Plan) -> None:
        """Or give both outputs, where they are not merged, in the memory of the merged one."""
        if self.several:
            flat, at = self.y.reshape(-1), self.both[0].y.size
            parts = zip(self.both, (flat[:at], flat[at:]), strict=True)
            self._outputs = [part.reshape(op.y.shape) for op, part in parts]
            self.y, self.several = self._outputs[0], False
        if self.both[0].layer.return_state:
            for op in self.both:
                op.give_states(plan)

    @property
    def ys(self) -> list[np.ndarray]:
        return [
            *(self._outputs or [self.y]),
            *(array for op in self.both for array in op.ys[1:]),
        ]

    def record_states(self, program: Program) -> None:
        for op in self.both:
            op.record_states(program)

    def set_initial_state(self, states: Any) -> None:
        counts = [op.cell.states for op in self.both]
        parts: list[Any] = [None, None]
        if states is not None:
            if not isinstance(states, (list, tuple)) or len(states) != sum(counts):
                given = len(states) if isinstance(states, (list, tuple)) else type(states).__name__
                raise ValueError(
                    f"initial_state of Bidirectional expects a list of {sum(counts)} arrays, the "
                    f"states of the forward layer and then of the backward layer, got {given}"
                )
            parts = self._apart(states)
        for op, part in zip(self.both, parts, strict=True):
            op.set_initial_state(part)

    def final_states(self) -> list[np.ndarray] | None:
        finals = [op.final_states() for op in self.both]
        if finals[0] is None or finals[1] is None:
            return None
        return [*finals[0], *finals[1]]

    def take_final_gradients(self, plan: Plan) -> None:
        for op in self.both:
            op.take_final_gradients(plan)
        self.d_final = [array for op in self.both for array in op.d_final]

    def initial_gradients(self) -> list[np.ndarray]:
        return [array for op in self.both for array in op.initial_gradients()]

    def parted(self, output: np.ndarray) -> list[np.ndarray]:
        if not self.several:
            return [output]
        parts = np.split(output, [self.both[0].y.shape[-1]], axis=-1)
        return [np.ascontiguousarray(part) for part in parts]

    @property
    def carries_states(self) -> bool:
        return any(op.carries_states for op in self.both)

    def commit(self, resume: bool = False) -> None:
        for op in self.both:
            op.commit(resume)
