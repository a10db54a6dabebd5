"""Dropout."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm import utils
from fastlstm.kernels import dropout
from fastlstm.kernels.program import Program
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
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("rate",)
    # Whether what is dropped of a sample is so at every step.
    by_sample: ClassVar[bool] = False

    def __init__(
        self,
        rate: float,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, trainable=trainable)
        self.rate = check_rate(rate, f"{type(self).__name__} rate")

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> DropoutOp:
        active = training and self.rate > 0
        return DropoutOp(self.rate, x, plan, active=active, by_sample=self.by_sample)


def check_rate(rate: Any, what: str) -> float:
    """A fraction to drop."""
    return real_number(what, rate, below=1.0)


class SpatialDropout1D(Dropout):
    """Dropout of whole features: what is dropped of a sequence is so at every step.

    Source: Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.

    Parameters
    ----------
    rate, name, input_shape, dtype, trainable
        As for ``Dropout``; ``input_shape`` is (time, features).
    """

    by_sample = True
    ranks = (3,)
    advice = "for vectors use Dropout"


class DropoutOp(Op):
    """Dropout bound to arrays; where it is not active, output and input are one array.

    What is dropped differs from step to step, or, ``by_sample``, does not.
    """

    def __init__(
        self, rate: float, x: np.ndarray, plan: Plan, *, active: bool, by_sample: bool = False
    ) -> None:
        self.rate, self.x, self.active = rate, x, active
        self.y = plan.array(x.shape, x.dtype) if active else x
        self.seed = np.zeros(1, np.uint64)
        self._period = x.shape[1] if by_sample else 0

    @property
    def seeds(self) -> list[np.ndarray]:
        return [self.seed] if self.active else []

    def start(self, resume: bool = False) -> None:
        if self.active:
            self.seed[0] = utils.rng().integers(0, 2**63)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        self._record(program, self.y, self.x, segment)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y
        self.d_x = d_y

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        self._record(program, self.d_y, self.d_y, segment)

    def _record(self, program: Program, out: np.ndarray, x: np.ndarray, segment: Segment) -> None:
        if self.active:
            rows = segment.rows(x)
            program.add(
                dropout.drop, segment.rows(out), rows, self.seed, self.rate,
                segment.start * x.shape[1], self._period, work=20.0 * rows.size,
            )  # fmt: skip
