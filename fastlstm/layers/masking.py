"""Steps that do not count, marked by a value."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import masks
from fastlstm.kernels.lengths import count_values
from fastlstm.kernels.program import Program
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan
from fastlstm.validation import real_number


class Masking(Weightless):
    """Leave out the steps whose features are all equal to a value.

    In what follows, recurrent layers keep their states over such a step and repeat their output,
    up to the layer that returns its last step alone; and such a step has no part in the loss and
    the metrics.

    Parameters
    ----------
    mask_value : float
        The value.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = ("mask_value",)
    ranks = (3,)

    def __init__(
        self,
        mask_value: float = 0.0,
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
        self.mask_value = real_number("Masking mask_value", mask_value, above=-math.inf)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> MaskingOp:
        return MaskingOp(self, x, mask, plan)


class MaskingOp(Op):
    """Masking bound to arrays."""

    made_mask: np.ndarray

    def __init__(self, layer: Masking, x: np.ndarray, mask: np.ndarray, plan: Plan) -> None:
        self.layer, self.x, self.given = layer, x, mask
        self.y = plan.array(x.shape, x.dtype)
        self.made_mask = plan.array(x.shape[:2], np.uint8)
        self.says_lengths = not len(mask)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        x, y = segment.rows(self.x), segment.rows(self.y)
        mask, given = (segment.of(array).reshape(-1) for array in (self.made_mask, self.given))
        value = self.layer.dtype.type(self.layer.mask_value)
        program.add(masks.of_values, mask, y, x, float(value), given, work=2.0 * x.size)

    def record_lengths(
        self, program: Program, lengths: np.ndarray, source: np.ndarray, index: np.ndarray
    ) -> int:
        value = float(self.layer.dtype.type(self.layer.mask_value))
        work = 2.0 * self.x.size
        return program.add(count_values, lengths, source, index, value, work=work)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y
        self.d_x = d_y

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        rows, mask = segment.rows(self.d_y), segment.of(self.made_mask).reshape(-1)
        program.add(masks.clear_masked, rows, mask, work=1.0 * rows.size)
