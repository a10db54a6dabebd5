"""Samples of another shape: flattened, reshaped, or with their axes exchanged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import reshape
from fastlstm.kernels.program import Program
from fastlstm.layers.across import Across, AcrossOp
from fastlstm.layers.feed import with_steps
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.shapes import check_data_format
from fastlstm.memory import Plan

# A shape of samples, without the batch.
Sample = tuple[int | None, ...]


class Flatten(Across):
    """Turn sequences into vectors: all features of the first step, then those of the second ...

    Parameters
    ----------
    data_format : str, optional
        "channels_last", as everywhere here.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    def __init__(
        self,
        data_format: str | None = None,
        *,
        name: str | None = None,
        input_shape: Sample | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        check_data_format(data_format, "Flatten")
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)

    def compute_output_shape(self, input_shape: Sample) -> Sample:
        return (_product(input_shape),)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> ReshapeOp:
        return ReshapeOp(self.compute_output_shape(_sample_of(x)), x, mask, plan)


class Reshape(Across):
    """Give each sample another shape; its numbers stay in their order.

    Parameters
    ----------
    target_shape : tuple of int
        (features,) or (time, features); one of them may be -1: what is left.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("target_shape",)

    def __init__(
        self,
        target_shape: Sequence[int],
        *,
        name: str | None = None,
        input_shape: Sample | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.target_shape = _target(target_shape)

    def check_input(self, shape: Sample) -> None:
        super().check_input(shape)
        self.compute_output_shape(tuple(shape[1:]))

    def compute_output_shape(self, input_shape: Sample) -> Sample:
        total, target = _product(input_shape), self.target_shape
        known = math.prod(size for size in target if size > 0)
        fits = total is None or total == known or (-1 in target and total % known == 0)
        if not fits:
            wanted = f"a multiple of {known}" if -1 in target else str(known)
            raise ValueError(
                f"Reshape {self.name!r} to {target} expects samples of {wanted} numbers, got shape "
                f"{tuple(input_shape)}, which has {total}"
            )
        rest = None if total is None else total // known
        return tuple(rest if size == -1 else size for size in target)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> ReshapeOp:
        return ReshapeOp(self.compute_output_shape(_sample_of(x)), x, mask, plan)


def _target(shape: Any) -> tuple[int, ...]:
    target = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in target)
    if not whole or any(size < 1 and size != -1 for size in target) or target.count(-1) > 1:
        raise ValueError(
            "Reshape target_shape expects positive whole numbers, one of which may be -1, got "
            f"{shape!r}"
        )
    if len(target) not in (1, 2):
        raise ValueError(
            f"Reshape target_shape expects (features,) or (time, features), got {target}: there "
            "are no layers here for samples of other ranks"
        )
    return target


class Permute(Across):
    """Exchange the axes of samples.

    Parameters
    ----------
    dims : tuple of int
        (2, 1) turns (time, features) into (features, time); axes are counted from 1, as the batch
        is 0.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("dims",)

    def __init__(
        self,
        dims: Sequence[int],
        *,
        name: str | None = None,
        input_shape: Sample | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
        if self.dims not in ((1,), (1, 2), (2, 1)):
            raise ValueError(
                "Permute dims expects (2, 1), the axes of (batch, time, features) in their new "
                f"order without the batch, got {dims!r}; samples have at most two axes here"
            )
        self.ranks = (len(self.dims) + 1,)

    def compute_output_shape(self, input_shape: Sample) -> Sample:
        return tuple(input_shape[dim - 1] for dim in self.dims)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> AcrossOp:
        if self.dims == (2, 1):
            return PermuteOp(x, mask, plan)
        return ReshapeOp(_sample_of(x), x, mask, plan)


def _product(shape: Sample) -> int | None:
    """How many numbers a sample has, where that is known."""
    return None if None in shape else math.prod(size or 0 for size in shape)


def _sample_of(x: np.ndarray) -> tuple[int, ...]:
    """The shape of one sample of an array, (T, B, F) or (B, F)."""
    return (len(x), x.shape[2]) if x.ndim == 3 else x.shape[1:]


class ReshapeOp(AcrossOp):
    """Another shape for arrays; where it is the same, output and input are one array."""

    def __init__(self, sample: Sample, x: np.ndarray, mask: np.ndarray, plan: Plan) -> None:
        self._same = sample == _sample_of(x)
        *steps, features = (int(size or 0) for size in sample)
        y = x if self._same else plan.array((*steps, x.shape[-2], features), x.dtype)
        super().__init__(x, mask, y)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        self._record(program, self.y, self.x)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        super().bind_backward(d_y, plan, need_d_x and not self._same)
        if self._same:
            self.d_x = d_y

    def record_input_gradient(self, program: Program, d_x: np.ndarray) -> None:
        self._record(program, d_x, self.d_y)

    def _record(self, program: Program, out: np.ndarray, x: np.ndarray) -> None:
        if not self._same:
            arrays = (with_steps(array, array.ndim == 3) for array in (out, x))
            program.add(reshape.reshape, *arrays, work=2.0 * x.size)


class PermuteOp(AcrossOp):
    """Time and features exchanged."""

    def __init__(self, x: np.ndarray, mask: np.ndarray, plan: Plan) -> None:
        super().__init__(x, mask, plan.array(x.shape[::-1], x.dtype))

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        program.add(reshape.exchange, self.y, self.x, work=2.0 * self.x.size)

    def record_input_gradient(self, program: Program, d_x: np.ndarray) -> None:
        program.add(reshape.exchange, d_x, self.d_y, work=2.0 * d_x.size)
