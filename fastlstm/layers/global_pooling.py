"""Sequences brought down to vectors: the mean, or the largest, of all steps."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import pooling
from fastlstm.kernels.program import Program
from fastlstm.layers.across import Across, AcrossOp, steps_of
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.shapes import check_data_format
from fastlstm.memory import Plan


class _GlobalPooling(Across):
    """Base class of both."""

    config_names: ClassVar[tuple[str, ...]] = ("keepdims",)
    ranks = (3,)
    advice = "the recurrent layer below returns sequences with return_sequences=True"

    def __init__(
        self,
        data_format: str | None = None,
        keepdims: bool = False,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        check_data_format(data_format, type(self).__name__)
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.keepdims = bool(keepdims)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (1, input_shape[-1]) if self.keepdims else (input_shape[-1],)

    def _output(self, x: np.ndarray, plan: Plan) -> np.ndarray:
        return plan.array((1, *x.shape[1:]) if self.keepdims else x.shape[1:], x.dtype)


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over all steps that count, (batch, features).

    Of a sequence without any such step it is zero, where Keras has NaN.

    Parameters
    ----------
    data_format : str, optional
        "channels_last", as everywhere here.
    keepdims : bool
        Whether to return a sequence of one step, (batch, 1, features).
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> GlobalAverageOp:
        return GlobalAverageOp(x, mask, self._output(x, plan))


class GlobalMaxPooling1D(_GlobalPooling):
    """The largest number of all steps for each feature, (batch, features).

    As in Keras a mask is left aside: padding has its part in it. Steps that are equally large
    share the gradient.

    Parameters
    ----------
    data_format, keepdims, name, input_shape, dtype
        As for ``GlobalAveragePooling1D``.
    """

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> GlobalMaxOp:
        return GlobalMaxOp(x, mask, self._output(x, plan))


class GlobalAverageOp(AcrossOp):
    """The mean over the steps of arrays."""

    def __init__(self, x: np.ndarray, mask: np.ndarray, y: np.ndarray) -> None:
        super().__init__(x, mask, y)
        self.mask = mask

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        out = self.y.reshape(self.x.shape[1:])
        program.add(pooling.mean, out, self.x, self.mask, work=2.0 * self.x.size)

    def record_input_gradient(self, program: Program, d_x: np.ndarray) -> None:
        d = self.d_y.reshape(d_x.shape[1:])
        program.add(pooling.mean_gradient, d_x, d, self.mask, work=2.0 * d_x.size)


class GlobalMaxOp(AcrossOp):
    """The largest of the steps of arrays."""

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        args = (self.y.reshape(-1), steps_of(self.x))
        program.add(pooling.largest, *args, work=2.0 * self.x.size)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        super().bind_backward(d_y, plan, need_d_x)
        (self.shares,) = plan.scratch(((self.y.size,), self.y.dtype))

    def record_input_gradient(self, program: Program, d_x: np.ndarray) -> None:
        program.add(
            pooling.largest_gradient, steps_of(d_x), self.shares, self.d_y.reshape(-1),
            self.y.reshape(-1), steps_of(self.x), work=4.0 * d_x.size,
        )  # fmt: skip
