"""Layer normalization."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm import constraints, initializers, regularizers
from fastlstm.kernels import layer_norm
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.op import Op
from fastlstm.layers.penalties import with_rules
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.shapes import (
    check_axis_is_last,
    check_features,
    check_last_axis,
    check_rank,
)
from fastlstm.memory import Plan
from fastlstm.validation import real_number


class LayerNormalization(Layer):
    """Bring the features of each sample, or of each step, to mean 0 and variance 1.

    y = gamma · (x - mean) / sqrt(variance + epsilon) + beta, with mean and variance of the
    features of one step alone.

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.

    Parameters
    ----------
    axis : int
        -1: the last axis, which has the features, is the only one there is.
    epsilon : float
        What keeps a division by zero away.
    center, scale : bool
        Whether there is a beta, and a gamma.
    beta_initializer, gamma_initializer : str or Initializer
        Their initial values, (features,) each.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Penalties that are part of the loss, such as "l2"; see ``fastlstm.regularizers``.
    beta_constraint, gamma_constraint : str or Constraint, optional
        What brings the weights back after each update; see ``fastlstm.constraints``.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "axis",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
    )

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.axis = check_last_axis(axis, "LayerNormalization")
        self.epsilon = real_number("LayerNormalization epsilon", epsilon)
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        check_rank(self, shape, (2, 3))
        check_axis_is_last(self, self.axis, shape)
        check_features(self, shape, self._specs[0].shape[0] if self._specs else None)

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        shape = (int(input_shape[-1] or 0),)
        specs = []
        if self.scale:
            specs.append(WeightSpec("gamma", shape, self.gamma_initializer))
        if self.center:
            specs.append(WeightSpec("beta", shape, self.beta_initializer))
        return with_rules(self, specs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> LayerNormalizationOp:
        return LayerNormalizationOp(self, x, plan)


class LayerNormalizationOp(Op):
    """LayerNormalization bound to arrays, whose rows stand for all samples and steps."""

    def __init__(self, layer: LayerNormalization, x: np.ndarray, plan: Plan) -> None:
        self.layer, self.x = layer, x
        self.y = plan.array(x.shape, x.dtype)
        self.means, self.scales = (plan.array(x.shape[:-1], x.dtype) for _ in range(2))
        nothing = np.empty(0, x.dtype)
        self.gamma = layer.param("gamma") if layer.scale else nothing
        self.beta = layer.param("beta") if layer.center else nothing

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        rows = segment.rows(self.x)
        program.add(
            layer_norm.normalize, segment.rows(self.y), *self._moments(segment), rows,
            self.gamma, self.beta, self.layer.epsilon, work=10.0 * rows.size,
        )  # fmt: skip

    def _moments(self, segment: Segment) -> list[np.ndarray]:
        """Each row's mean and factor."""
        return [segment.of(array).reshape(-1) for array in (self.means, self.scales)]

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y
        self.d_x = d_y if need_d_x else None
        grads = self.layer.flat_grads
        split = self.gamma.size
        self.d_gamma, self.d_beta = grads[:split], grads[split:]

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        rows, d_rows = segment.rows(self.x), segment.rows(self.d_y)
        moments = self._moments(segment)
        if self.layer.weight_count:
            program.add(
                layer_norm.weight_gradients, self.d_gamma, self.d_beta, d_rows, rows, *moments,
                self.adds or not segment.last, work=6.0 * rows.size,
            )  # fmt: skip
        if self.d_x is not None:
            program.add(
                layer_norm.input_gradient, d_rows, rows, *moments, self.gamma,
                work=15.0 * rows.size,
            )  # fmt: skip
