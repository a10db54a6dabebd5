"""Several inputs as one: element by element, or side by side."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import columns, combine, layout
from fastlstm.kernels.merge import Product, Sum, merge
from fastlstm.kernels.program import Program
from fastlstm.kernels.static import Static
from fastlstm.layers.feed import with_steps
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.several import Several
from fastlstm.layers.symbol import Shape
from fastlstm.memory import Plan


class _Elementwise(Several):
    """Base class: inputs of one shape, or with one step or one feature for all of another.

    Vectors beside sequences go with every step, as in Keras.
    """

    @abstractmethod
    def fold(self) -> Static:
        """What makes one number of two."""

    def shapes_after(self, shapes: Sequence[Shape], **options: Any) -> list[Shape]:
        self.check_several(shapes)
        kind = type(self).__name__
        if any(len(shape) not in (2, 3) for shape in shapes):
            raise ValueError(
                f"{kind} expects inputs (batch, features) or (batch, time, features), got "
                f"{_listed(shapes)}"
            )
        ndim = max(map(len, shapes))
        full = [shape if len(shape) == ndim else (shape[0], 1, shape[1]) for shape in shapes]
        made: list[int | None] = []
        for sizes in zip(*full, strict=True):
            known = {size for size in sizes if size not in (1, None)}
            if len(known) > 1:
                raise ValueError(
                    f"{kind} expects inputs of one shape, or with one step or one feature for all "
                    f"of another, got {_listed(shapes)}"
                )
            unknown = None if None in sizes else 1
            made.append(known.pop() if known else unknown)
        return [tuple(made)]

    def waits(self, shapes: Sequence[Shape]) -> bool:
        """One step for all of another input is not a step of it."""
        return len(shapes[0]) == 3 and len({shape[1] for shape in shapes}) > 1

    def bind_inputs(
        self,
        xs: list[np.ndarray],
        masks: list[np.ndarray],
        plan: Plan,
        *,
        saving: bool,
        training: bool,
        ends_mask: bool = False,
    ) -> Op:
        if ends_mask:  # as in Keras, where it was an operator that made the call
            masks = [mask[:0] for mask in masks]
        return ElementwiseOp(self, xs, masks, plan)


class Add(_Elementwise):
    """The sum of several inputs, element by element.

    Parameters
    ----------
    name, dtype, trainable
        As for every layer.
    """

    def fold(self) -> Static:
        return Sum()


class Subtract(_Elementwise):
    """The first of two inputs less the second, element by element.

    Parameters
    ----------
    name, dtype, trainable
        As for every layer.
    """

    most = 2

    def fold(self) -> Static:
        return combine.Difference()


class Average(Add):
    """The mean of several inputs, element by element.

    Parameters
    ----------
    name, dtype, trainable
        As for every layer.
    """


class Multiply(_Elementwise):
    """The product of several inputs, element by element.

    Parameters
    ----------
    name, dtype, trainable
        As for every layer.
    """

    def fold(self) -> Static:
        return Product()


class Divide(_Elementwise):
    """The first of two inputs over the second, element by element; Keras has no such layer.

    Parameters
    ----------
    name, dtype, trainable
        As for every layer.
    """

    most = 2

    def fold(self) -> Static:
        return combine.Ratio()


class Maximum(_Elementwise):
    """The largest of several inputs, element by element.

    Where several are largest, each has an equal part of the gradient.

    Parameters
    ----------
    name, dtype, trainable
        As for every layer.
    """

    def fold(self) -> Static:
        return combine.Larger()


class Minimum(_Elementwise):
    """The smallest of several inputs, element by element; see ``Maximum``.

    Parameters
    ----------
    name, dtype, trainable
        As for every layer.
    """

    def fold(self) -> Static:
        return combine.Smaller()


class ElementwiseOp(Op):
    """One of these layers bound to arrays."""

    def __init__(
        self, layer: _Elementwise, xs: list[np.ndarray], masks: list[np.ndarray], plan: Plan
    ) -> None:
        self.layer = layer
        self._ranks = [x.ndim for x in xs]
        self._timed = 3 in self._ranks
        self._xs = [with_steps(x, x.ndim == 3) for x in xs]
        steps, depth = (max(x.shape[axis] for x in self._xs) for axis in (0, 2))
        whole = (steps, self._xs[0].shape[1], depth)
        self.y = plan.array(whole if self._timed else whole[1:], layer.dtype)
        self._y = with_steps(self.y, self._timed)
        self._alike = len(xs) > 1 and all(x.shape == whole for x in self._xs)
        self._mean = 1.0 / len(xs) if isinstance(layer, Average) else 1.0
        self._masks = masks if all(len(mask) for mask in masks) else []
        self._spread: list[np.ndarray] = []  # masks of one step, for all steps
        self.made_mask = masks[0][:0]
        if self._masks:
            self.made_mask = plan.array(whole[:2], np.uint8)
            self._spread = [
                mask if len(mask) == steps else plan.array(whole[:2], np.uint8) for mask in masks
            ]

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        y, (first, *others) = segment.of(self._y), map(segment.of, self._xs)
        work, how = 3.0 * y.size, self.layer.fold()
        if self._alike and not _chooses(how):
            _record_two(program, how, y, first, others.pop(0))
        else:
            program.add(combine.spread, y, first, work=work)
        for x in others:
            program.add(combine.fold, how, y, x, work=work)
        if self._mean != 1.0:
            program.add(combine.scale, y.reshape(-1), self._mean, work=work)
        for mask, spread in zip(self._masks, self._spread, strict=True):
            if mask is not spread:
                arrays = (segment.of(spread)[..., None], segment.of(mask)[..., None])
                program.add(combine.spread, *arrays)
        if self._masks and self.made_mask is not None:
            masks = list(map(segment.of, self._spread))
            record_either(program, segment.of(self.made_mask), masks)

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        self._d_y = with_steps(d_ys[0], self._timed)
        dtype = self.layer.dtype
        self._d_xs = [
            plan.array(x.shape, dtype) if needed else None
            for x, needed in zip(self._xs, needs, strict=True)
        ]
        self._part, self._counts = plan.scratch((self._y.shape, dtype), (self._y.shape, dtype))

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.bind_gradients([d_y], plan, [need_d_x] * len(self._xs))

    @property
    def d_xs(self) -> list[np.ndarray | None]:
        pairs = zip(self._d_xs, self._ranks, strict=True)
        return [d_x if d_x is None or rank == 3 else d_x[0] for d_x, rank in pairs]

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        y, d_y, part, counts = map(segment.of, (self._y, self._d_y, self._part, self._counts))
        xs = list(map(segment.of, self._xs))
        work, how = 3.0 * y.size, self.layer.fold()
        chooses = _chooses(how)
        if chooses:
            layout.record_clear(program, counts)
            for x in xs:
                program.add(combine.count_equal, counts, y, x, work=work)
        for number, d_x in enumerate(self._d_xs):
            if d_x is None:
                continue
            d_part, factor = d_y, self._mean
            if chooses:
                d_part = part
                arrays = (d_part, d_y, counts, y, xs[number])
                program.add(combine.part_of_chosen, *arrays, work=work)
            elif isinstance(how, Product) and self._alike and len(xs) == 2:
                _record_two(program, how, segment.of(d_x), d_y, xs[1 - number])
                continue
            elif isinstance(how, Product):
                d_part = part
                layout.record_copy(program, d_part, d_y)
                for other, x in enumerate(xs):
                    if other != number:
                        program.add(combine.fold, how, d_part, x, work=work)
            elif isinstance(how, combine.Ratio):
                # d_a = d / b and d_b = -d · (a / b) / b
                d_part = part
                layout.record_copy(program, d_part, d_y)
                if number:
                    program.add(combine.fold, Product(), d_part, y, work=work)
                    factor = -1.0
                program.add(combine.fold, how, d_part, xs[1], work=work)
            elif isinstance(how, combine.Difference) and number:
                factor = -1.0
            program.add(combine.reduce, segment.of(d_x), d_part, factor, work=work)


def _chooses(how: Static) -> bool:
    """Whether it takes one of the numbers, rather than something that is made of them."""
    return isinstance(how, (combine.Larger, combine.Smaller))


def _record_two(
    program: Program, how: Static, out: np.ndarray, a: np.ndarray, b: np.ndarray
) -> None:
    """Record: out = ``how`` of a and b, for arrays of one shape."""
    out, a, b = (array.reshape(len(array), -1) for array in (out, a, b))
    program.add(merge, how, out, a, b, False, work=3.0 * out.size)


class Concatenate(Several):
    """Several inputs side by side.

    Parameters
    ----------
    axis : int
        -1 for feature beside feature, or 1 for the steps of one after those of another.
    name, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("axis",)

    def __init__(
        self,
        axis: int = -1,
        *,
        name: str | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, **rest)
        if axis not in (-2, -1, 1, 2):
            raise ValueError(f"Concatenate expects axis to be -1, 1 or 2, got {axis!r}")
        self.axis = int(axis)

    def over_time(self, ndim: int) -> bool:
        """Whether steps are what is put one after the other, in inputs of this rank."""
        return ndim == 3 and self.axis in (1, -2)

    def waits(self, shapes: Sequence[Shape]) -> bool:
        return self.over_time(len(shapes[0]))

    def shapes_after(self, shapes: Sequence[Shape], **options: Any) -> list[Shape]:
        self.check_several(shapes)
        ndim = len(shapes[0])
        if any(len(shape) != ndim or ndim not in (2, 3) for shape in shapes):
            raise ValueError(
                "Concatenate expects inputs that are all (batch, features) or all (batch, time, "
                f"features), got {_listed(shapes)}"
            )
        if ndim == 2 and self.axis in (2, -2):
            raise ValueError(f"Concatenate has axis={self.axis}, got {_listed(shapes)}")
        axis = 1 if self.over_time(ndim) else ndim - 1
        made: list[int | None] = []
        for place, sizes in enumerate(zip(*shapes, strict=True)):
            known = {size for size in sizes if size is not None}
            if place == axis:
                made.append(None if None in sizes else sum(size or 0 for size in sizes))
            elif len(known) > 1:
                raise ValueError(
                    f"Concatenate expects inputs that differ along axis {axis} alone, got "
                    f"{_listed(shapes)}"
                )
            else:
                made.append(known.pop() if known else None)
        return [tuple(made)]

    def bind_inputs(
        self,
        xs: list[np.ndarray],
        masks: list[np.ndarray],
        plan: Plan,
        *,
        saving: bool,
        training: bool,
    ) -> Op:
        return ConcatenateOp(self, xs, masks, plan)


class ConcatenateOp(Op):
    """Concatenate bound to arrays."""

    def __init__(
        self, layer: Concatenate, xs: list[np.ndarray], masks: list[np.ndarray], plan: Plan
    ) -> None:
        self._xs, self._masks = xs, masks
        self._over_time = layer.over_time(xs[0].ndim)
        axis = 0 if self._over_time else xs[0].ndim - 1
        sizes = [x.shape[axis] for x in xs]
        shape = list(xs[0].shape)
        shape[axis] = sum(sizes)
        self._starts = [sum(sizes[:number]) for number in range(len(sizes))]
        self.y = plan.array(tuple(shape), layer.dtype)
        self.made_mask = masks[0][:0]
        if (any if self._over_time else all)(len(mask) for mask in masks):
            self.made_mask = plan.array(self.y.shape[:2], np.uint8)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        for x, place in zip(self._xs, self._places(self.y, segment), strict=True):
            if self._over_time:
                layout.record_copy(program, place, x)
            else:
                rows, at = place
                part = segment.rows(x)
                program.add(columns.put_columns, rows, part, at, False, work=1.0 * part.size)
        if self.made_mask is not None and len(self.made_mask):
            self._record_mask(program, self.made_mask, segment)

    def _record_mask(self, program: Program, made: np.ndarray, segment: Segment) -> None:
        """Where a step has no mask, it counts."""
        if not self._over_time:
            record_either(program, segment.of(made), list(map(segment.of, self._masks)))
            return
        for x, mask, at in zip(self._xs, self._masks, self._starts, strict=True):
            part = made[at : at + len(x)]
            if len(mask):
                layout.record_copy(program, part, mask)
            else:
                program.add(combine.fill, part.reshape(-1), 1)

    def _places(self, whole: np.ndarray, segment: Segment) -> list[Any]:
        """Where each input's part is: those steps, or all rows and the first column."""
        if self._over_time:
            pairs = zip(self._starts, self._xs, strict=True)
            return [whole[at : at + len(x)] for at, x in pairs]
        return [(segment.rows(whole), at) for at in self._starts]

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        self._d_y = d_ys[0]
        pairs = zip(self._xs, needs, strict=True)
        self._d_xs = [plan.array(x.shape, x.dtype) if needed else None for x, needed in pairs]

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.bind_gradients([d_y], plan, [need_d_x] * len(self._xs))

    @property
    def d_xs(self) -> list[np.ndarray | None]:
        return self._d_xs

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        for d_x, place in zip(self._d_xs, self._places(self._d_y, segment), strict=True):
            if d_x is None:
                continue
            if self._over_time:
                layout.record_copy(program, d_x, place)
            else:
                rows, at = place
                d_rows = segment.rows(d_x)
                program.add(columns.take_columns, d_rows, rows, at, work=1.0 * d_rows.size)


def record_either(program: Program, made: np.ndarray, masks: list[np.ndarray]) -> None:
    """Record: a step counts where it does in any of the inputs, as in Keras."""
    layout.record_copy(program, made, masks[0])
    for mask in masks[1:]:
        program.add(combine.either, made.reshape(-1), mask.reshape(-1))


def _listed(shapes: Sequence[Shape]) -> str:
    return " and ".join(str(tuple(shape)) for shape in shapes)
