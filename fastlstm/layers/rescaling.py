"""Every number times a factor, plus another number."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import combine
from fastlstm.kernels.program import Program
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.symbol import Call, Shape, Symbol
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan
from fastlstm.validation import real_number


class Rescaling(Weightless):
    """scale · x + offset, number by number; what ``2 * x`` and ``x - 1.0`` make of a symbol.

    Parameters
    ----------
    scale, offset : float
        What every number is multiplied by, and what is added then.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("scale", "offset")

    def __init__(
        self,
        scale: float,
        offset: float = 0.0,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.scale = real_number("Rescaling scale", scale, above=-math.inf)
        self.offset = real_number("Rescaling offset", offset, above=-math.inf)

    def symbolic_call(self, inputs: list[Symbol], **options: Any) -> Any:
        if not options:
            return super().symbolic_call(inputs)
        (given,) = inputs
        made: list[Shape] = self.shapes_after([given.shape])
        self.build(given.shape[1:])
        return Call(self, inputs, made, options).result

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> RescalingOp:
        return RescalingOp(self, x, plan)

    def bind_inputs(
        self,
        xs: list[np.ndarray],
        masks: list[np.ndarray],
        plan: Plan,
        *,
        saving: bool,
        training: bool,
        ends_mask: bool = False,
    ) -> RescalingOp:
        op = RescalingOp(self, xs[0], plan)
        if ends_mask:
            op.made_mask = masks[0][:0]
        return op


class RescalingOp(Op):
    """Rescaling bound to arrays."""

    def __init__(self, layer: Rescaling, x: np.ndarray, plan: Plan) -> None:
        self._layer, self.x = layer, x
        self.y = plan.array(x.shape, layer.dtype)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        y, x = segment.rows(self.y).reshape(-1), segment.rows(self.x).reshape(-1)
        layer = self._layer
        program.add(combine.rescale, y, x, layer.scale, layer.offset, work=2.0 * y.size)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = self.d_x = d_y

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        flat = segment.rows(self.d_y).reshape(-1)
        program.add(combine.scale, flat, self._layer.scale, work=1.0 * flat.size)
