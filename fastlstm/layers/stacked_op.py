"""Recurrent layers one above the other, bound to arrays as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlstm.kernels.program import Program
from fastlstm.layers.op import Op
from fastlstm.layers.packed import Packed
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.wave import record_stack, stacks
from fastlstm.memory import Plan


class StackedOp(Op):
    """Recurrent ops of which each reads the output of the one before."""

    def __init__(self, ops: Sequence[RecurrentOp]) -> None:
        self.ops = ops
        self.y = ops[-1].y
        self.causal = ops[0].causal

    @property
    def recurrent_ops(self) -> Sequence[RecurrentOp]:
        return self.ops

    @property
    def forward_weights(self) -> list[Any]:
        return [weights for op in self.ops for weights in op.forward_weights]

    @property
    def backward_weights(self) -> list[Packed]:
        return [weights for op in self.ops for weights in op.backward_weights]

    @property
    def seeds(self) -> list[np.ndarray]:
        return [seed for op in self.ops for seed in op.seeds]

    # -- forward ------------------------------------------------------------------------------

    def start(self, resume: bool = False) -> None:
        for op in self.ops:
            op.start(resume)

    def record_start(self, program: Program) -> None:
        for op in self.ops:
            op.record_start(program)

    def record_advance(self, program: Program) -> None:
        for op in self.ops:
            op.record_advance(program)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        if segment == WHOLE:
            for stack in stacks(self.ops):
                record_stack(program, stack)
        else:
            for op in self.ops:
                op.record_forward(program, segment)

    # -- backward -----------------------------------------------------------------------------

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.bind_gradients([d_y], plan, [need_d_x])

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        first, d_y = self.ops[0], d_ys[0]
        d_states = self._apart(d_ys[1:])
        for op, part in zip(reversed(self.ops), reversed(d_states), strict=True):
            op.bind_gradients([d_y, *part], plan, [needs[0] or op is not first])
            if op is not first:
                assert op.d_x is not None
                d_y = op.d_x
        self.d_x = first.d_x

    @property
    def d_xs(self) -> list[np.ndarray | None]:
        return [self.d_x, *(array for op in self.ops for array in op.d_xs[1:])]

    def omit_initial_gradients(self) -> None:
        for op in self.ops:
            op.omit_initial_gradients()

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        for op in reversed(self.ops):
            op.adds = self.adds
            op.record_backward(program, segment)

    # -- states -------------------------------------------------------------------------------

    def states(self, step: int) -> list[np.ndarray]:
        """Those of the last op before the others: the first one is the output, where it is h."""
        return [state for op in reversed(self.ops) for state in op.states(step)]

    def start_from(self, states: list[np.ndarray]) -> None:
        """Take the states before the first step from other layers, cell by cell."""
        for op, part in zip(self.ops, self._apart(states), strict=True):
            op.start_from(part)

    def _apart(self, states: list[Any]) -> list[list[Any]]:
        """The states of each cell."""
        counts = [op.cell.states for op in self.ops]
        ends = np.cumsum(counts)
        return [states[end - count : end] for count, end in zip(counts, ends, strict=True)]

    def give_states(self, plan: Plan) -> None:
        for op in self.ops:
            op.give_states(plan)

    @property
    def ys(self) -> list[np.ndarray]:
        return [self.y, *(array for op in self.ops for array in op.ys[1:])]

    def record_states(self, program: Program) -> None:
        for op in self.ops:
            op.record_states(program)

    def set_initial_state(self, states: Any) -> None:
        parts: list[Any] = [None for _ in self.ops]
        if states is not None:
            flat, count = flat_states(states), sum(op.cell.states for op in self.ops)
            if len(flat) != count:
                raise ValueError(
                    f"initial_state of RNN expects {count} arrays, the states of its "
                    f"{len(self.ops)} cells one after the other, got {len(flat)}"
                )
            parts = self._apart(flat)
        for op, part in zip(self.ops, parts, strict=True):
            op.set_initial_state(part)

    def final_states(self) -> list[np.ndarray] | None:
        finals = [op.final_states() for op in self.ops]
        return [state for final in finals for state in final or []] or None

    def take_final_gradients(self, plan: Plan) -> None:
        for op in self.ops:
            op.take_final_gradients(plan)
        self.d_final = [array for op in self.ops for array in op.d_final]

    def initial_gradients(self) -> list[np.ndarray]:
        return [array for op in self.ops for array in op.initial_gradients()]

    @property
    def carries_states(self) -> bool:
        return any(op.carries_states for op in self.ops)

    def commit(self, resume: bool = False) -> None:
        for op in self.ops:
            op.commit(resume)


def flat_states(states: Any) -> list[Any]:
    """The states of a list, or of lists in it."""
    if not isinstance(states, (list, tuple)):
        return [states]
    return [
        state for part in states for state in (part if isinstance(part, (list, tuple)) else [part])
    ]
