"""What layers have in common whose output at one step is made of several of the input's."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from fastlstm.kernels.program import Program
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan


class Across(Weightless):
    """Base class of layers that need all of a sequence, and after which a mask says nothing."""

    @property
    def causal(self) -> bool:
        return False


class AcrossOp(Op):
    """Such a layer bound to arrays: it cannot work by segments, and the mask ends with it."""

    causal = False

    def __init__(self, x: np.ndarray, mask: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y
        self.made_mask = mask[:0]

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y
        self.d_x = plan.array(self.x.shape, self.x.dtype) if need_d_x else None

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self.d_x is not None:
            self.record_input_gradient(program, self.d_x)

    @abstractmethod
    def record_input_gradient(self, program: Program, d_x: np.ndarray) -> None:
        """Record what fills in ``d_x`` from ``d_y``."""


def steps_of(array: np.ndarray) -> np.ndarray:
    """All numbers of a step of all samples, one step a row."""
    return array.reshape(len(array), -1)
