"""Sequences made shorter or longer at their ends, and some of their steps."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import columns
from fastlstm.kernels import steps as kernels
from fastlstm.kernels.program import Program
from fastlstm.layers.across import Across, AcrossOp, steps_of
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.shapes import check_data_format, two_numbers
from fastlstm.memory import Plan
from fastlstm.validation import whole_number


class Cropping1D(Across):
    """Leave out steps at the beginning and at the end.

    Parameters
    ----------
    cropping : int or tuple of int
        How many at the beginning and at the end; one number stands for both.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = ("cropping",)
    ranks = (3,)

    def __init__(
        self,
        cropping: Any = (1, 1),
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.cropping = two_numbers(cropping, "Cropping1D cropping")

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        super().check_input(shape)
        self.compute_output_shape(tuple(shape[1:]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        steps, features = input_shape
        if steps is not None:
            steps -= sum(self.cropping)
            if steps < 1:
                raise ValueError(
                    f"Cropping1D leaves out {self.cropping[0]} and {self.cropping[1]} steps and "
                    f"expects more than {sum(self.cropping)}, got {input_shape[0]}"
                )
        return steps, features

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> TakeOp:
        return TakeOp(range(self.cropping[0], len(x) - self.cropping[1]), x, mask, plan)


class ZeroPadding1D(Across):
    """Put steps of zeros at the beginning and at the end.

    Parameters
    ----------
    padding : int or tuple of int
        How many at the beginning and at the end; one number stands for both.
    data_format : str, optional
        "channels_last", as everywhere here.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = ("padding",)
    ranks = (3,)

    def __init__(
        self,
        padding: Any = 1,
        data_format: str | None = None,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        check_data_format(data_format, "ZeroPadding1D")
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.padding = two_numbers(padding, "ZeroPadding1D padding")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        steps, features = input_shape
        return None if steps is None else steps + sum(self.padding), features

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> ZeroPaddingOp:
        return ZeroPaddingOp(self.padding, x, mask, plan)


class Slice(Across):
    """Some steps of a sequence, or some features, as Python counts them: x[:, a:b:c].

    Symbols may be indexed as well, which calls this layer. A mask ends with it, as it does in
    Keras with the index.

    Parameters
    ----------
    start, stop : int, optional
        The first one, and the one after the last; negative ones are counted from the end.
    step : int
        Take every so many.
    axis : int
        1 for steps, -1 for features.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None, or (features,).
    """

    config_names: ClassVar[tuple[str, ...]] = ("start", "stop", "step", "axis")

    def __init__(
        self,
        start: int | None = None,
        stop: int | None = None,
        step: int = 1,
        axis: int = 1,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        for what, value in (("start", start), ("stop", stop)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise ValueError(f"Slice {what} expects a whole number or None, got {value!r}")
        if axis not in (1, -1):
            raise ValueError(f"Slice expects axis=1 for steps or -1 for features, got {axis!r}")
        self.start, self.stop, self.axis = start, stop, int(axis)
        self.step = whole_number(step, "Slice step")
        self.ranks = (3,) if axis == 1 else (2, 3)
        if axis == 1:
            self.advice = "for features say axis=-1"

    @property
    def causal(self) -> bool:
        return self.axis == -1

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        super().check_input(shape)
        self.compute_output_shape(tuple(shape[1:]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        *steps, features = input_shape
        size = features if self.axis == -1 else steps[0]
        what = "feature of samples" if self.axis == -1 else "step of sequences"
        if size is not None and not self._places(size):
            raise ValueError(
                f"Slice {self.name!r} of start={self.start}, stop={self.stop}, step={self.step} "
                f"takes no {what} of {size}; choose others, or longer ones"
            )
        taken = None if size is None else len(self._places(size))
        return (*steps, taken) if self.axis == -1 else (taken, features)

    def _places(self, size: int) -> range:
        """The steps, or features, that are taken."""
        return range(size)[self.start : self.stop : self.step]

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> TakeOp | TakeFeaturesOp:
        if self.axis == -1:
            return TakeFeaturesOp(self._places(x.shape[-1]), x, mask, plan)
        return TakeOp(self._places(len(x)), x, mask, plan)


class TakeOp(AcrossOp):
    """Steps of arrays; neighbouring ones are not copied, but stay where they are."""

    def __init__(self, places: range, x: np.ndarray, mask: np.ndarray, plan: Plan) -> None:
        self._start, self._stride = places.start, places.step
        self._copies = self._stride > 1
        y = x[places.start : places.stop]
        if self._copies:
            y = plan.array((len(places), *x.shape[1:]), x.dtype)
        super().__init__(x, mask, y)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self._copies:
            arrays = (steps_of(self.y), steps_of(self.x))
            program.add(kernels.take, *arrays, self._start, self._stride, work=1.0 * self.y.size)

    def record_input_gradient(self, program: Program, d_x: np.ndarray) -> None:
        arrays = (steps_of(d_x), steps_of(self.d_y))
        program.add(kernels.put, *arrays, self._start, self._stride, work=1.0 * d_x.size)


class TakeFeaturesOp(Op):
    """Some features of every step."""

    def __init__(self, places: range, x: np.ndarray, mask: np.ndarray, plan: Plan) -> None:
        self._start, self._stride = places.start, places.step
        self.x, self.made_mask = x, mask[:0]
        self.y = plan.array((*x.shape[:-1], len(places)), x.dtype)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        y, x = segment.rows(self.y), segment.rows(self.x)
        program.add(columns.take_every, y, x, self._start, self._stride, work=1.0 * y.size)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y
        self.d_x = plan.array(self.x.shape, self.x.dtype) if need_d_x else None

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self.d_x is not None:
            d_x, d_y = segment.rows(self.d_x), segment.rows(self.d_y)
            program.add(columns.put_every, d_x, d_y, self._start, self._stride, work=1.0 * d_x.size)


class ZeroPaddingOp(AcrossOp):
    """Steps of zeros around those of arrays."""

    def __init__(
        self, padding: tuple[int, int], x: np.ndarray, mask: np.ndarray, plan: Plan
    ) -> None:
        self._start = padding[0]
        super().__init__(x, mask, plan.array((len(x) + sum(padding), *x.shape[1:]), x.dtype))

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        arrays = (steps_of(self.y), steps_of(self.x))
        program.add(kernels.put, *arrays, self._start, 1, work=1.0 * self.y.size)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y
        self.d_x = d_y[self._start : self._start + len(self.x)]

    def record_input_gradient(self, program: Program, d_x: np.ndarray) -> None:
        pass  # it is there already
