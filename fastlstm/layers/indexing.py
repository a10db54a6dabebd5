"""An index of several axes, or of single steps and features, as one layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer
from fastlstm.layers.cropping import Slice
from fastlstm.layers.op import Op
from fastlstm.layers.reshape import Flatten
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan

# One step or feature, or those from the first to before the second, every third; None for all.
Place = int | Sequence[int | None] | None


class GetItem(Weightless):
    """x[:, steps, features], which an index of a symbol calls; see ``Slice`` for one slice alone.

    The axis of a single step, or of a single feature, goes. A mask ends here, as in Keras.

    Parameters
    ----------
    steps, features : int, (start, stop, step) or None
        As Python counts them; None takes all.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = ("steps", "features")
    ranks = (3,)

    def __init__(
        self,
        steps: Place = None,
        features: Place = None,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.steps, self.features = steps, features
        if isinstance(steps, int) and isinstance(features, int):
            raise ValueError("GetItem expects to keep steps or features, got one number for each")
        given = [(axis, place) for axis, place in ((1, steps), (-1, features)) if place is not None]
        options: Any = {"name": self.name, "dtype": self.dtype.name}
        self._parts: list[Layer] = [
            Slice(*bounds(place), axis=axis, **options) for axis, place in given
        ]
        if any(isinstance(place, int) for _, place in given):
            self._parts.append(Flatten(**options))

    @property
    def causal(self) -> bool:
        return all(part.causal for part in self._parts)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        super().check_input(shape)
        self.compute_output_shape(tuple(shape[1:]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        for part in self._parts:
            input_shape = part.compute_output_shape(input_shape)
        return input_shape

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> InTurnOp:
        ops: list[Op] = []
        for part in self._parts:
            ops.append(part.bind(x, mask, plan, saving=saving, training=training))
            x = ops[-1].y
        return InTurnOp(ops, x, mask)


def bounds(place: Any) -> tuple[int | None, int | None, int]:
    """Start, stop and step of what an index takes."""
    if isinstance(place, int):
        return place, None if place == -1 else place + 1, 1
    if not isinstance(place, (tuple, list)) or len(place) != 3:
        raise ValueError(f"GetItem expects whole numbers or (start, stop, step), got {place!r}")
    start, stop, step = place
    return start, stop, 1 if step is None else step


class InTurnOp(Op):
    """Ops one after the other, as one."""

    def __init__(self, ops: list[Op], y: np.ndarray, mask: np.ndarray) -> None:
        self._ops, self.y = ops, y
        self.made_mask = mask[:0]
        self.causal = all(op.causal for op in ops)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        for op in self._ops:
            op.record_forward(program, segment)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_x: np.ndarray | None = d_y
        for op in reversed(self._ops):
            if self.d_x is not None:
                op.bind_backward(self.d_x, plan, need_d_x)
                self.d_x = op.d_x

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        for op in reversed(self._ops):
            op.record_backward(program, segment)
