"""Dropout."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.kernels import dropout
from fastlstm.kernels.program import Program
from fastlstm.layers.draws import Draws
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan
from fastlstm.validation import real_number


class Dropout(Weightless):
    """Set a fraction of the inputs to zero in training, and scale up the others.

    Source: Srivastava et al., "Dropout", JMLR 15, 2014, in its inverted form.

    Parameters
    ----------
    rate : float
        Fraction to drop, at least 0 and below 1.
    noise_shape : tuple of int or None, optional
        (batch, 1, features), each perhaps None, for what ``SpatialDropout1D`` does: to drop the
        same features at every step of a sequence. Other shapes are not here.
    seed : int, optional
        Makes what is dropped repeatable on its own; by default it comes from the generator that
        ``fastlstm.utils.set_random_seed`` seeds. Either way it differs from batch to batch.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("rate", "noise_shape", "seed")

    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
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
        self.rate = check_rate(rate, f"{type(self).__name__} rate")
        self.noise_shape = None if noise_shape is None else _noise_shape(noise_shape)
        # Whether what is dropped of a sample is so at every step.
        self.by_sample = self.noise_shape is not None and self.noise_shape[1] == 1
        self.draws = Draws(seed, type(self).__name__)
        self.seed = self.draws.seed

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        super().check_input(shape)
        if self.noise_shape is None:
            return
        sizes = zip(self.noise_shape[1:], shape[1:], strict=False)
        if len(shape) != 3 or any(size not in (None, 1, given) for size, given in sizes):
            raise ValueError(
                f"Dropout {self.name!r} with noise_shape={self.noise_shape} expects input that it "
                f"fits, (batch, time, features), got shape {tuple(shape)}"
            )

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> DropoutOp:
        active = training and self.rate > 0
        return DropoutOp(
            self.rate, x, plan, active=active, by_sample=self.by_sample, draws=self.draws
        )


def check_rate(rate: Any, what: str) -> float:
    """A fraction to drop."""
    return real_number(what, rate, below=1.0)


def _noise_shape(shape: Any) -> tuple[int | None, ...]:
    """The shape of what is drawn, if it is that of all numbers, or of one step of each sample."""
    given = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    whole = all(size is None or (type(size) is int and size > 0) for size in given)
    if len(given) != 3 or not whole or given[0] == 1 or given[2] == 1:
        raise ValueError(
            "Dropout expects noise_shape=(None, 1, None), which drops the same features at every "
            f"step as SpatialDropout1D does, or None; got {shape!r}"
        )
    return given


class SpatialDropout1D(Dropout):
    """Dropout of whole features: what is dropped of a sequence is so at every step.

    Source: Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.

    Parameters
    ----------
    rate, seed, name, input_shape, dtype, trainable
        As for ``Dropout``; ``input_shape`` is (time, features).
    """

    config_names: ClassVar[tuple[str, ...]] = ("rate", "seed")
    ranks = (3,)
    advice = "for vectors use Dropout"

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(rate, seed=seed, **options)
        self.by_sample = True


class DropoutOp(Op):
    """Dropout bound to arrays; where it is not active, output and input are one array.

    What is dropped differs from step to step, or, ``by_sample``, does not.
    """

    def __init__(
        self,
        rate: float,
        x: np.ndarray,
        plan: Plan,
        *,
        active: bool,
        by_sample: bool = False,
        draws: Draws | None = None,
    ) -> None:
        self.rate, self.x, self.active = rate, x, active
        self.y = plan.array(x.shape, x.dtype) if active else x
        self.seed = np.zeros(1, np.uint64)
        self._draws = draws or Draws()
        # Of a step that is like all others: drawn once, and kept for backward.
        self._kept = plan.array(x.shape[1:], x.dtype) if active and by_sample else None

    @property
    def seeds(self) -> list[np.ndarray]:
        return [self.seed] if self.active else []

    def start(self, resume: bool = False) -> None:
        if self.active:
            self.seed[0] = self._draws.draw()

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self._kept is not None:
            work = 20.0 * self._kept.size
            program.add(dropout.draw_kept, self._kept, self.seed, self.rate, work=work)
        self._record(program, self.y, self.x, segment)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y
        self.d_x = d_y

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        self._record(program, self.d_y, self.d_y, segment)

    def _record(self, program: Program, out: np.ndarray, x: np.ndarray, segment: Segment) -> None:
        if not self.active:
            return
        rows = segment.rows(x)
        if self._kept is not None:
            program.add(dropout.keep, segment.rows(out), rows, self._kept, work=2.0 * rows.size)
        else:
            program.add(
                dropout.drop, segment.rows(out), rows, self.seed, self.rate,
                segment.start * x.shape[1], work=20.0 * rows.size,
            )  # fmt: skip
