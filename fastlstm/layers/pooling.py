"""Shorter sequences: the largest, or the mean, of each of the windows that slide over time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import pooling
from fastlstm.kernels.program import Program
from fastlstm.layers.across import Across, AcrossOp, steps_of
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.shapes import check_data_format, one_number
from fastlstm.layers.window import Window, padding_name
from fastlstm.memory import Plan


class _Pooling(Across):
    """Base class of both."""

    config_names: ClassVar[tuple[str, ...]] = ("pool_size", "strides", "padding")
    ranks = (3,)

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        kind = type(self).__name__
        check_data_format(data_format, kind)
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.pool_size = one_number(pool_size, f"{kind} pool_size")
        given = self.pool_size if strides is None else strides
        self.strides = one_number(given, f"{kind} strides")
        self.padding = padding_name(padding, ("valid", "same"), kind)
        self.window = Window(self.pool_size, self.strides, self.padding)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        super().check_input(shape)
        self.compute_output_shape(tuple(shape[1:]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        steps, features = input_shape
        return self.window.output_steps(steps, type(self).__name__), features


class MaxPooling1D(_Pooling):
    """The largest number of each window of steps, for each feature.

    Parameters
    ----------
    pool_size : int
        Steps in a window.
    strides : int, optional
        Steps from one window to the next; ``pool_size`` by default.
    padding : str
        "valid" for windows within the sequence alone, "same" for as many as there are strides.
    data_format : str, optional
        "channels_last", as everywhere here.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> PoolingOp:
        return MaxPoolingOp(self.window, x, mask, plan)


class AveragePooling1D(_Pooling):
    """The mean of each window of steps, of those that are in the sequence.

    Parameters
    ----------
    pool_size, strides, padding, data_format, name, input_shape, dtype
        As for ``MaxPooling1D``.
    """

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> PoolingOp:
        return PoolingOp(self.window, x, mask, plan)


class PoolingOp(AcrossOp):
    """The mean of windows over arrays."""

    kernel: Any = pooling.window_mean
    kernel_back: Any = pooling.window_mean_gradient

    def __init__(self, window: Window, x: np.ndarray, mask: np.ndarray, plan: Plan) -> None:
        steps = len(x)
        super().__init__(x, mask, plan.array((window.count(steps), *x.shape[1:]), x.dtype))
        self.how = window.size, window.stride, window.before(steps)
        self._work = float(window.size * self.y.size)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        arrays = (steps_of(self.y), steps_of(self.x))
        program.add(self.kernel, *arrays, *self.how, work=self._work)

    def record_input_gradient(self, program: Program, d_x: np.ndarray) -> None:
        arrays = map(steps_of, (d_x, self.d_y, *self._seen()))
        program.add(self.kernel_back, *arrays, *self.how, work=self._work)

    def _seen(self) -> list[np.ndarray]:
        """What backward needs besides the gradient."""
        return []


class MaxPoolingOp(PoolingOp):
    """The largest of windows over arrays."""

    kernel = pooling.window_largest
    kernel_back = pooling.window_largest_gradient

    def _seen(self) -> list[np.ndarray]:
        return [self.y, self.x]
