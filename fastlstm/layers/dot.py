"""Products of two inputs along an axis of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import products, reshape, unit
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.several import Several
from fastlstm.layers.symbol import Shape
from fastlstm.memory import Plan

# The least length that an input is divided by, as in Keras.
_LEAST = 1e-7


class Dot(Several):
    """The product of two inputs, sample by sample, summed along an axis of each.

    What is left of the first input comes before what is left of the second: of (batch, a, n) and
    (batch, b, n) with ``axes=2`` that is (batch, a, b); of (batch, a, n) and (batch, n) with
    ``axes=(2, 1)`` it is (batch, a); and of two (batch, n) with ``axes=1`` it is (batch, 1). A
    mask ends here, as in Keras.

    Parameters
    ----------
    axes : int or tuple of int
        The axis of both, or of each; 0 is the batch, which goes on.
    normalize : bool
        Whether inputs are brought to length one along the axis first: the cosine of the angle
        between the two.
    name, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("axes", "normalize")
    most = 2

    def __init__(
        self,
        axes: int | Sequence[int],
        normalize: bool = False,
        *,
        name: str | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, **rest)
        pair = tuple(axes) if isinstance(axes, (tuple, list)) else (axes, axes)
        whole = all(isinstance(axis, int) and not isinstance(axis, bool) for axis in pair)
        if len(pair) != 2 or not whole:
            raise ValueError(f"Dot axes expects a whole number or two of them, got {axes!r}")
        if 0 in pair:
            raise ValueError(
                f"Dot axes expects axes of samples, 1, 2 or -1, got {axes!r}: 0 is the batch"
            )
        self.axes = pair if isinstance(axes, (tuple, list)) else axes
        self._pair: tuple[int, int] = (pair[0], pair[1])
        self.normalize = bool(normalize)

    def shapes_after(self, shapes: Sequence[Shape], **options: Any) -> list[Shape]:
        self.check_several(shapes)
        listed = " and ".join(str(tuple(shape)) for shape in shapes)
        if any(len(shape) not in (2, 3) for shape in shapes):
            raise ValueError(
                f"Dot expects inputs (batch, features) or (batch, time, features), got {listed}"
            )
        left, summed = [], []
        for shape, axis in zip(shapes, self._axes_of(shapes), strict=True):
            if not 0 < axis < len(shape):
                raise ValueError(f"Dot has axes={self.axes}, which {listed} do not have")
            summed.append(shape[axis])
            left += [size for place, size in enumerate(shape) if place not in (0, axis)]
        if None not in summed and summed[0] != summed[1]:
            raise ValueError(
                f"Dot sums along axes of one size, got {summed[0]} and {summed[1]}, those that "
                f"axes={self.axes} are of {listed}"
            )
        return [(shapes[0][0], *(left or [1]))]

    def _axes_of(self, shapes: Sequence[Any]) -> list[int]:
        """The axis of each input, counted from the front."""
        pairs = zip(self._pair, shapes, strict=True)
        return [axis + len(shape) if axis < 0 else axis for axis, shape in pairs]

    @property
    def causal(self) -> bool:
        return False

    def bind_inputs(
        self,
        xs: list[np.ndarray],
        masks: list[np.ndarray],
        plan: Plan,
        *,
        saving: bool,
        training: bool,
    ) -> Op:
        axes = self._axes_of([x.shape for x in xs])
        return DotOp(xs, axes, self.normalize, masks[0], plan)


class DotOp(Op):
    """Dot bound to arrays: rows of the first times rows of the second, sample by sample.

    An input whose steps are summed is turned first, so that what is summed is a row; a vector is
    a sequence of one row.
    """

    causal = False

    def __init__(
        self,
        xs: list[np.ndarray],
        axes: list[int],
        normalize: bool,
        mask: np.ndarray,
        plan: Plan,
    ) -> None:
        self.made_mask = mask[:0]
        self._sides = [_Side(x, axis, normalize, plan) for x, axis in zip(xs, axes, strict=True)]
        # A vector comes first, so that what is left of the other is one row.
        self._swapped = xs[0].ndim == 3 and xs[1].ndim == 2
        if self._swapped:
            self._sides.reverse()
        first, second = (side.rows for side in self._sides)
        batch, dtype = first.shape[1], first.dtype
        self._y = plan.array((len(first), batch, len(second)), dtype)
        self.y = self._y if all(x.ndim == 3 for x in xs) else self._y[0]
        size = products.scratch_size(len(first), len(second), first.shape[2], dtype.itemsize)
        self._scratch = plan.array((get_num_threads(), size), dtype)
        self._work = 2.0 * first.size * len(second)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        for side in self._sides:
            side.record_forward(program)
        first, second = (side.rows for side in self._sides)
        program.add(products.products, self._y, self._scratch, first, second, work=self._work)

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        self._d_y = d_ys[0].reshape(self._y.shape)
        for side in self._sides:
            side.bind_backward(plan)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.bind_gradients([d_y], plan, [need_d_x] * 2)

    @property
    def d_xs(self) -> list[np.ndarray | None]:
        sides = reversed(self._sides) if self._swapped else self._sides
        return [side.d_x for side in sides]

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        first, second = self._sides
        d_rows = first.d_rows, second.d_rows
        arrays = *d_rows, self._scratch, self._d_y, first.rows, second.rows
        program.add(products.products_gradients, *arrays, work=2.0 * self._work)
        for side in self._sides:
            side.record_backward(program)


class _Side:
    """An input, (T, B, D) or (B, D), as rows of what is summed: (I, B, K)."""

    def __init__(self, x: np.ndarray, axis: int, normalize: bool, plan: Plan) -> None:
        self._x = x if x.ndim == 3 else x.reshape(1, *x.shape)
        self._ndim = x.ndim
        self._turns = x.ndim == 3 and axis == 1
        shape = self._x.shape[::-1] if self._turns else self._x.shape
        self._given = plan.array(shape, x.dtype) if self._turns else self._x
        self.rows = self._given
        self._lengths: np.ndarray | None = None
        if normalize:
            self.rows = plan.array(shape, x.dtype)
            self._lengths = plan.array((shape[0] * shape[1],), np.float64)

    def record_forward(self, program: Program) -> None:
        size = 2.0 * self.rows.size
        if self._turns:
            program.add(reshape.exchange, self._given, self._x, work=size)
        if self._lengths is not None:
            arrays = _flat(self.rows), self._lengths, _flat(self._given)
            program.add(unit.unit_rows, *arrays, _LEAST, work=2.0 * size)

    def bind_backward(self, plan: Plan) -> None:
        dtype = self._x.dtype
        self.d_rows = plan.array(self.rows.shape, dtype)
        self._d_x = plan.array(self._x.shape, dtype) if self._turns else self.d_rows

    @property
    def d_x(self) -> np.ndarray:
        """The gradient of the input."""
        return self._d_x if self._ndim == 3 else self._d_x[0]

    def record_backward(self, program: Program) -> None:
        """Record: from ``d_rows``, ``d_x``."""
        size = 2.0 * self.rows.size
        if self._lengths is not None:
            d_rows = _flat(self.d_rows)
            arrays = d_rows, d_rows, _flat(self.rows), self._lengths
            program.add(unit.unit_rows_gradient, *arrays, _LEAST, work=2.0 * size)
        if self._turns:
            program.add(reshape.exchange, self._d_x, self.d_rows, work=size)


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])
