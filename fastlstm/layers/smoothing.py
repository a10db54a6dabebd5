"""Exponential smoothing within a network, whose coefficients come from another layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import smoothing
from fastlstm.kernels.program import Program
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.several import Several
from fastlstm.layers.symbol import Shape
from fastlstm.memory import Plan

# Operations for each number of a window, about.
_WORK = 8.0


class Smoothing(Several):
    """Level and seasons of series, and what is left of their windows without these.

    Takes values (batch, time, 2), each beside 1, or 0 where it is missing, and coefficients (batch,
    4 + all steps of seasons): logits of how fast the level, the first and the second season follow,
    the level at first, and the first seasons; and starts (batch, 1), how many steps, fewer than
    ``stride``, the first origin is behind the first one that has ``look_back`` values.
    ``kernels/smoothing.py`` has the equations. Gives

    - windows (batch, origins, look_back + ahead + 1): the last ``look_back`` values at each origin
      less their seasons and the level there; the season of the ``ahead`` steps to come; both over
      the standard deviation of the values in the window; and the logarithm of this
    - bases (batch, origins, horizon · outputs): level and season of each step to come, what
      ``outputs`` answers for it are to be added to.

    Parameters
    ----------
    look_back, horizon : int
        Steps of a window, and of a forecast.
    seasons : sequence of int
        Lengths of one or two seasons, or none.
    outputs : int
        Answers for each step of a forecast.
    ahead : int
        Steps to come whose season is part of a window.
    stride : int
        From one origin to the next.
    penalty : float
        Weight of the mean square of the level's second differences, whose gradient is added to that
        of the coefficients. It is not part of the loss that training tells.
    name, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "look_back",
        "horizon",
        "seasons",
        "outputs",
        "ahead",
        "stride",
        "penalty",
    )
    fewest = most = 3
    by_parts = False

    def __init__(
        self,
        look_back: int,
        horizon: int,
        seasons: Sequence[int] = (),
        outputs: int = 1,
        ahead: int = 0,
        stride: int = 1,
        penalty: float = 0.0,
        *,
        name: str | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, **rest)
        self.look_back, self.horizon, self.outputs = look_back, horizon, outputs
        self.seasons, self.ahead, self.stride = list(seasons), ahead, stride
        self.penalty = float(penalty)

    @property
    def lengths(self) -> tuple[int, int]:
        """Steps of both seasons; 0 of one that there is not."""
        first, second = ([*self.seasons, 0, 0])[:2]
        return first, second

    @property
    def causal(self) -> bool:
        """Windows begin later than the series."""
        return False

    def shapes_after(self, shapes: Sequence[Shape], **options: Any) -> list[Shape]:
        self.check_several(shapes)
        values, coefficients, starts = shapes
        wanted = smoothing.HEAD + sum(self.lengths)
        fits = tuple(coefficients[1:]) == (wanted,) and tuple(starts[1:]) == (1,)
        if len(values) != 3 or values[2] != 2 or not fits:
            raise ValueError(
                f"Smoothing {self.name!r} expects values (batch, time, 2), coefficients "
                f"(batch, {wanted}) and starts (batch, 1), got {tuple(values)}, "
                f"{tuple(coefficients)} and {tuple(starts)}"
            )
        steps, least = values[1], self.look_back + self.stride - 1
        if steps is not None and steps < least:
            raise ValueError(
                f"Smoothing {self.name!r} expects at least {least} steps, of a window and to the "
                f"next, got {steps}"
            )
        origins = None if steps is None else self.origins(steps)
        return [
            (values[0], origins, self.look_back + self.ahead + 1),
            (values[0], origins, self.horizon * self.outputs),
        ]

    def origins(self, steps: int) -> int:
        """How many there are, wherever the first one is."""
        return (steps - self.look_back + 1) // self.stride

    def bind_inputs(
        self,
        xs: list[np.ndarray],
        masks: list[np.ndarray],
        plan: Plan,
        *,
        saving: bool,
        training: bool,
    ) -> SmoothingOp:
        return SmoothingOp(self, xs, masks[0], plan)


class SmoothingOp(Op):
    """Smoothing bound to arrays."""

    causal = False

    def __init__(
        self, layer: Smoothing, xs: list[np.ndarray], mask: np.ndarray, plan: Plan
    ) -> None:
        self.layer, (self.values, self.coefficients, self._starts) = layer, xs
        self.made_mask = mask[:0]
        steps, batch, _ = self.values.shape
        self._states = [plan.array(shape, layer.dtype) for shape in self._shapes]
        self._surprise = plan.array((batch, steps), layer.dtype)
        origins = layer.origins(steps)
        self.y = plan.array((origins, batch, layer.look_back + layer.ahead + 1), layer.dtype)
        self._base = plan.array((origins, batch, layer.horizon * layer.outputs), layer.dtype)

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        steps, batch, _ = self.values.shape
        return [(batch, steps + season) for season in (0, *self.layer.lengths)]

    @property
    def _how(self) -> tuple[int, int, int]:
        return self.layer.look_back, self.layer.horizon, self.layer.stride

    @property
    def ys(self) -> Sequence[np.ndarray]:
        return [self.y, self._base]

    def give_states(self, plan: Plan) -> None:
        """Both outputs are there already."""

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        arrays = (*self._states, self._surprise, self.values, self.coefficients)
        program.add(smoothing.smooth, *arrays, work=_WORK * self._surprise.size)
        arrays = (self.y, self._base, *self._states, self.values, self._starts)
        work = _WORK * (self.y.size + self._base.size)
        program.add(smoothing.windows, *arrays, *self._how, work=work)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        raise NotImplementedError("both outputs have a gradient")

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        dtype = self.layer.dtype
        self._d_ys = d_ys
        self._d_states = [plan.array(shape, dtype) for shape in self._shapes]
        self._d_coefficients = plan.array(self.coefficients.shape, dtype)

    @property
    def d_xs(self) -> Sequence[np.ndarray | None]:
        return [None, self._d_coefficients, None]

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        arrays = (*self._d_states, *self._d_ys, self.values, self._starts)
        work = _WORK * (self.y.size + self._base.size)
        program.add(smoothing.windows_back, *arrays, *self._how, work=work)
        arrays = (self._d_coefficients, *self._d_states, self._surprise, *self._given)
        penalty = self.layer.penalty / self._surprise.size
        program.add(smoothing.smooth_back, *arrays, penalty, work=_WORK * self._surprise.size)

    @property
    def _given(self) -> tuple[np.ndarray, np.ndarray]:
        return self.values, self.coefficients
