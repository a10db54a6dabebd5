"""A vector as a sequence of itself."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import repeat
from fastlstm.kernels.program import Program
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan
from fastlstm.validation import whole_number


class RepeatVector(Weightless):
    """Make a sequence of a vector, the same at each step, as what a decoder reads.

    Parameters
    ----------
    n : int
        Number of steps.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (features,).
    """

    config_names: ClassVar[tuple[str, ...]] = ("n",)
    ranks = (2,)
    advice = "let the recurrent layer below return its last step alone"

    def __init__(
        self,
        n: int,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        super().__init__(
            name=name, input_shape=input_shape, dtype=dtype, trainable=trainable, **rest
        )
        self.n = whole_number(n, "RepeatVector n")

    @property
    def causal(self) -> bool:
        return False

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (self.n, *input_shape)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> RepeatVectorOp:
        return RepeatVectorOp(self, x, plan)


class RepeatVectorOp(Op):
    """RepeatVector bound to arrays."""

    causal = False

    def __init__(self, layer: RepeatVector, x: np.ndarray, plan: Plan) -> None:
        self.x = x
        self.y = plan.array((layer.n, *x.shape), x.dtype)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        y, x = self.y.reshape(len(self.y), -1), self.x.reshape(-1)
        program.add(repeat.repeat, y, x, work=1.0 * y.size)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y
        self.d_x = plan.array(self.x.shape, self.x.dtype) if need_d_x else None

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self.d_x is not None:
            d_y, d_x = self.d_y.reshape(len(self.d_y), -1), self.d_x.reshape(-1)
            program.add(repeat.sum_steps, d_x, d_y, work=1.0 * d_y.size)
