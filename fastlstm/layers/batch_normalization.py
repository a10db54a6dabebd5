"""Batch normalization."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm import constraints, initializers, regularizers
from fastlstm.kernels import layout
from fastlstm.kernels import normalization as kernels
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.op import Op
from fastlstm.layers.penalties import with_rules
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.memory import Plan
from fastlstm.validation import real_number


class BatchNormalization(Layer):
    """Bring each feature to mean 0 and variance 1, and then to a scale and centre of its own.

        y = (x - mean) / √(variance + epsilon) · gamma + beta

    In training, mean and variance are those of the batch, over all samples and steps but those that
    a mask leaves out; and the moving ones follow, once the step has updated the weights:

        moving = momentum · moving + (1 - momentum) · the batch's

    A step that is given up, since its loss or a gradient is not finite, leaves them as they were.
    Otherwise, and in training too while ``trainable`` is False, the moving ones take their place.

    Source: Ioffe and Szegedy, "Batch normalization: Accelerating deep network training by reducing
    internal covariate shift", ICML 2015. Weights: gamma, beta, moving_mean, moving_variance, each
    (features,); the last two are not trained by gradients.

    Parameters
    ----------
    axis : int
        The axis of the features, the last one.
    momentum : float
        How much of the moving moments is kept at each step, in [0, 1].
    epsilon : float
        Keeps the division defined, greater than 0.
    center, scale : bool
        Whether there is a beta, and a gamma.
    beta_initializer, gamma_initializer : str or Initializer
        Initial values; zeros and ones.
    moving_mean_initializer, moving_variance_initializer : str or Initializer
        Initial values; zeros and ones.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Penalties that are part of the loss.
    beta_constraint, gamma_constraint : str or Constraint, optional
        What brings the weights back after each update.
    renorm, synchronized : bool
        Accepted as in Keras; only False is here.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "axis",
        "momentum",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
        "moving_mean_initializer",
        "moving_variance_initializer",
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
    )
    by_parts = False

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        *,
        renorm: bool = False,
        synchronized: bool = False,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        super().__init__(
            name=name, input_shape=input_shape, dtype=dtype, trainable=trainable, **rest
        )
        for option, value in (("renorm", renorm), ("synchronized", synchronized)):
            if value:
                raise ValueError(f"BatchNormalization has no {option} yet: leave it at False")
        self.axis = axis
        self.momentum = real_number("BatchNormalization momentum", momentum, most=1.0)
        self.epsilon = real_number("BatchNormalization epsilon", epsilon, above=0.0)
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        if len(shape) not in (2, 3):
            raise ValueError(
                "BatchNormalization expects input (batch, features) or (batch, time, features), "
                f"got shape {tuple(shape)}"
            )
        if self.axis not in (-1, len(shape) - 1):
            raise ValueError(
                f"BatchNormalization {self.name!r} expects axis to be the last one, -1, got "
                f"{self.axis!r} for input of shape {tuple(shape)}; move the features there with "
                "np.moveaxis"
            )
        if shape[-1] is None:
            raise ValueError(
                f"BatchNormalization {self.name!r} needs to know the number of features"
            )
        if self.built and shape[-1] != self.specs[0].shape[0]:
            raise ValueError(
                f"BatchNormalization {self.name!r} was built for {self.specs[0].shape[0]} "
                f"features, got input of shape {tuple(shape)} with {shape[-1]}"
            )

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        shape = (int(input_shape[-1] or 0),)
        specs = [
            WeightSpec("gamma", shape, self.gamma_initializer),
            WeightSpec("beta", shape, self.beta_initializer),
            WeightSpec("moving_mean", shape, self.moving_mean_initializer, trainable=False),
            WeightSpec("moving_variance", shape, self.moving_variance_initializer, trainable=False),
        ]
        left_out = {"gamma": not self.scale, "beta": not self.center}
        return with_rules(self, [spec for spec in specs if not left_out.get(spec.name)])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def named(self, values: list[np.ndarray], name: str) -> np.ndarray:
        """One of the weights, or of their gradients; empty where there is none."""
        found = dict(zip(self.weight_names, values, strict=True)).get(name)
        return np.empty(0, self.dtype) if found is None else found

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> BatchNormalizationOp:
        learns = training and self.trainable
        return BatchNormalizationOp(self, x, mask, plan, learns=learns, saving=saving)


class BatchNormalizationOp(Op):
    """BatchNormalization bound to arrays; with the moments of the batch where it ``learns``."""

    def __init__(
        self,
        layer: BatchNormalization,
        x: np.ndarray,
        mask: np.ndarray,
        plan: Plan,
        *,
        learns: bool,
        saving: bool,
    ) -> None:
        self.layer, self.x, self._learns = layer, x, learns
        # Where nothing goes back, there is no step whose end it could wait for.
        self._follows_at_once = learns and not saving
        self.y = plan.array(x.shape, x.dtype)
        self._mask = mask.reshape(-1) if x.ndim == 3 else np.empty(0, np.uint8)
        features = x.shape[-1]
        rows = x.size // features
        self._work = 8.0 * x.size
        self._stats = plan.array((3, features), np.float64)
        self._part = plan.array((1,), np.float64)
        self._blocks = (2, -(-rows // kernels.BLOCK), features)
        (self._partial,) = plan.scratch((self._blocks, np.float64))
        weights = layer.views()
        self._gamma, self._beta = (layer.named(weights, name) for name in ("gamma", "beta"))
        self._moving = [layer.named(weights, f"moving_{name}") for name in ("mean", "variance")]

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        x, y, epsilon = _rows(self.x), _rows(self.y), self.layer.epsilon
        if self._learns:
            args = self._stats, self._part, self._partial, x, self._mask, epsilon
            program.add(kernels.batch_moments, *args, work=self._work)
        else:
            program.add(kernels.moving_moments, self._stats, self._part, *self._moving, epsilon)
        rest = self._stats, self._gamma, self._beta
        program.add(kernels.normalize, y, x, *rest, work=self._work)
        if self._follows_at_once:
            self._record_moving(program)

    def _record_moving(self, program: Program) -> None:
        momentum = self.layer.momentum
        program.add(kernels.advance, *self._moving, self._stats, momentum)

    def record_update(self, program: Program) -> None:
        if self._learns:
            self._record_moving(program)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y
        self.d_x = d_y if need_d_x else None
        gradients = self.layer.grads()
        self._d_gamma, self._d_beta = (
            self.layer.named(gradients, name) for name in ("gamma", "beta")
        )
        # Gradients of the weights as they are of another op's, where there is one.
        self._apart: list[tuple[np.ndarray, np.ndarray]] = []
        if self.adds:
            whole = [self._d_gamma, self._d_beta]
            self._d_gamma, self._d_beta = (plan.array(d.shape, d.dtype) for d in whole)
            self._apart = list(zip(whole, (self._d_gamma, self._d_beta), strict=True))
        self._sums = plan.array((2, d_y.shape[-1]), np.float64)
        (self._partial_back,) = plan.scratch((self._blocks, np.float64))

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        d, x = _rows(self.d_y), _rows(self.x)
        args = self._sums, self._d_gamma, self._d_beta, self._partial_back, d, x, self._stats
        program.add(kernels.weight_gradients, *args, work=self._work)
        for total, part in self._apart:
            program.add(layout.add, *(array.reshape(1, 1, -1) for array in (total, part)))
        if self.d_x is not None:
            rest = self._stats, self._part, self._sums, self._gamma, self._mask
            program.add(kernels.input_gradient, d, x, *rest, work=self._work)

    def commit(self, resume: bool = False) -> None:
        if self._follows_at_once:
            self.layer.changed()


def _rows(array: np.ndarray) -> np.ndarray:
    """All steps of all samples, one a row."""
    return array.reshape(-1, array.shape[-1])
