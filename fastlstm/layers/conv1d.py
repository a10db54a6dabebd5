"""Convolution over time."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np

from fastlstm import constraints, initializers, regularizers
from fastlstm.activations import LAYER_ACTIVATIONS, ActivationLike, activation_name
from fastlstm.kernels import unfold
from fastlstm.kernels.program import Program
from fastlstm.layers.across import AcrossOp
from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.dense import DenseOp
from fastlstm.layers.packed import Packed
from fastlstm.layers.penalties import with_rules
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.shapes import check_data_format, check_features, check_rank, one_number
from fastlstm.layers.window import Window, padding_name
from fastlstm.memory import Plan
from fastlstm.validation import whole_number


class Conv1D(Layer):
    """y[t] = activation(the sum over k of x[t·strides + k·dilation_rate] · kernel[k], plus bias).

    The windows' steps are laid side by side, and a matrix product does the rest.

    Parameters
    ----------
    filters : int
        Features of the output.
    kernel_size : int
        Steps that each of its steps is made of.
    strides : int
        Steps from one window to the next.
    padding : str
        "valid" for windows within the sequence alone; "same" for as many as there are strides,
        over zeros around it; "causal" for zeros before it alone, so that no output depends on a
        later input.
    data_format : str, optional
        "channels_last", as everywhere here.
    dilation_rate : int
        Steps from one of a window's to the next; above 1 only with strides of 1.
    groups : int
        1: every filter sees all features.
    activation : str, optional
        As for ``Dense``.
    use_bias : bool
        Whether there is a bias.
    kernel_initializer, bias_initializer : str or Initializer
        Initial values of kernel (kernel_size, features, filters) and bias (filters).
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties that are part of the loss, such as "l2"; see ``fastlstm.regularizers``.
    activity_regularizer : str or Regularizer, optional
        As for every layer.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What brings the weights back after each update, such as "max_norm"; see
        ``fastlstm.constraints``. Norms are along the axes that they name: [0, 1] for all weights
        that lead to one filter.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time, features), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "dilation_rate",
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int = 1,
        groups: int = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        **rest: Any,
    ) -> None:
        check_data_format(data_format, "Conv1D")
        rest["activity_regularizer"] = activity_regularizer
        super().__init__(name=name, input_shape=input_shape, dtype=dtype, **rest)
        self.filters = whole_number(filters, "Conv1D filters")
        self.kernel_size = one_number(kernel_size, "Conv1D kernel_size")
        self.strides = one_number(strides, "Conv1D strides")
        self.padding = padding_name(padding, ("valid", "same", "causal"), "Conv1D")
        self.dilation_rate = one_number(dilation_rate, "Conv1D dilation_rate")
        if self.strides > 1 and self.dilation_rate > 1:
            raise ValueError(
                f"Conv1D expects strides=1 or dilation_rate=1, got strides={self.strides} and "
                f"dilation_rate={self.dilation_rate}"
            )
        if groups != 1:
            raise ValueError(
                f"Conv1D expects groups=1, every filter over all features, got {groups!r}"
            )
        self.activation = activation_name(activation, LAYER_ACTIVATIONS)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.window = Window(self.kernel_size, self.strides, self.padding, self.dilation_rate)

    @property
    def units(self) -> int:
        """Columns of the matrix product."""
        return self.filters

    @property
    def causal(self) -> bool:
        """Even with padding="causal" a step needs those before, which no state keeps."""
        return self.window.by_steps

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        check_rank(self, shape, (3,))
        check_features(self, shape, self._specs[0].shape[1] if self._specs else None)
        self.compute_output_shape(tuple(shape[1:]))

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        shape = (self.kernel_size, int(input_shape[-1] or 0), self.filters)
        specs = [WeightSpec("kernel", shape, self.kernel_initializer)]
        if self.use_bias:
            specs.append(WeightSpec("bias", (self.filters,), self.bias_initializer))
        return with_rules(self, specs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.window.output_steps(input_shape[0], "Conv1D"), self.filters

    def _place(self) -> None:
        self.packed_kernel = Packed(self.param("kernel").reshape(-1, self.filters), 1)
        self.bias = self.param("bias") if self.use_bias else np.empty(0, self.dtype)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> Conv1DOp:
        return Conv1DOp(self, x, mask, plan, saving=saving)


class Conv1DOp(AcrossOp):
    """Conv1D bound to arrays: the windows side by side, and a dense layer over them."""

    def __init__(
        self, layer: Conv1D, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool
    ) -> None:
        window = layer.window
        steps, batch, depth = x.shape
        self._copies = not window.by_steps
        self.windows = x
        if self._copies:
            shape = (window.count(steps), batch, window.size * depth)
            self.windows = plan.array(shape, x.dtype)
        self.product = DenseOp(cast(Any, layer), self.windows, plan, saving=saving)
        super().__init__(x, mask, self.product.y)
        self.how = window.size, window.stride, window.dilation, window.before(steps)

    @property
    def forward_weights(self) -> list[Packed]:
        return self.product.forward_weights

    @property
    def backward_weights(self) -> list[Packed]:
        return self.product.backward_weights

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self._copies:
            work = 2.0 * self.windows.size
            program.add(unfold.unfold, self.windows, self.x, *self.how, work=work)
        self.product.record_forward(program, segment)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        super().bind_backward(d_y, plan, need_d_x and self._copies)
        self.product.bind_backward(d_y, plan, need_d_x and not self._copies)
        if not self._copies:
            self.d_x = self.product.d_x
        elif need_d_x:
            # When their gradient is made, the windows have had their part in the kernel's.
            self.product.d_x = self.windows

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        self.product.adds = self.adds
        self.product.record_backward(program, segment)
        super().record_backward(program, segment)

    def record_input_gradient(self, program: Program, d_x: np.ndarray) -> None:
        if self._copies:
            d_windows = self.product.d_x
            work = 2.0 * self.windows.size
            program.add(unfold.fold, d_x, d_windows, *self.how, work=work)
