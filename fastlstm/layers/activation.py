"""Activations as layers of their own."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm.activations import LAYER_ACTIVATIONS, ActivationLike, activation_name
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.program import Program
from fastlstm.layers.elementwise import SOFTMAX, Kind, kind_of, record_gradient, record_of
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.shapes import check_axis_is_last, check_last_axis
from fastlstm.layers.weightless import Weightless
from fastlstm.memory import Plan


class Activation(Weightless):
    """Apply an activation to every number, or softmax to the features of each step.

    Parameters
    ----------
    activation : str or callable
        A name or function of ``fastlstm.activations``: "relu", "tanh", "gelu", "softmax" ...
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("activation",)

    def __init__(
        self,
        activation: ActivationLike,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.activation = activation_name(activation, LAYER_ACTIVATIONS)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> ActivationOp:
        return ActivationOp(kind_of(self.activation), x, plan)


class Softmax(Weightless):
    """e**x over its sum along the features of each sample, or of each step.

    Steps that do not count are turned into probabilities as well; in Keras a mask of steps makes
    this layer fail.

    Parameters
    ----------
    axis : int
        -1: the last axis is the only one there is.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = ("axis",)

    def __init__(
        self,
        axis: int = -1,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.axis = check_last_axis(axis, "Softmax")

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        super().check_input(shape)
        check_axis_is_last(self, self.axis, shape)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> ActivationOp:
        return ActivationOp(SOFTMAX, x, plan)


class ActivationOp(Op):
    """An activation bound to arrays; where it is linear, output and input are one."""

    def __init__(self, kind: Kind, x: np.ndarray, plan: Plan) -> None:
        self.kind, self.x = kind, x
        self.y = x if kind == Linear() else plan.array(x.shape, x.dtype)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self.y is not self.x:
            record_of(program, self.kind, segment.rows(self.y), segment.rows(self.x))

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = self.d_x = d_y

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        rows = (segment.rows(array) for array in (self.d_y, self.y, self.x))
        record_gradient(program, self.kind, *rows)
