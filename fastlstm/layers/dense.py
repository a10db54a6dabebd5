"""The fully connected layer."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm import constraints, initializers, regularizers
from fastlstm.activations import LAYER_ACTIVATIONS, ActivationLike, activation_name
from fastlstm.kernels import matmul
from fastlstm.kernels.activations import Linear
from fastlstm.kernels.cell import PLAIN
from fastlstm.kernels.masks import record_clear_masked
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.elementwise import (
    OfRows,
    keeps_input,
    kind_of,
    record_all,
    record_gradient,
    record_of,
)
from fastlstm.layers.op import Op
from fastlstm.layers.packed import Packed
from fastlstm.layers.penalties import with_rules
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.memory import Plan, stand_in
from fastlstm.validation import whole_number

# Bytes of sequences that are not copied into the caller's order, but written there.
_WORTH_HANDING_OUT = 1 << 20
_NO_ORIGIN = np.empty(0, np.intp)


class Dense(Layer):
    """y = activation(x·kernel + bias), on vectors or on every step of sequences.

    Parameters
    ----------
    units : int
        Size of the output.
    activation : str or callable, optional
        A name or function of ``fastlstm.activations``: "relu", "gelu" ...; None is linear.
    use_bias : bool
        Whether there is a bias.
    kernel_initializer, bias_initializer : str or Initializer
        Initial values of kernel (features, units) and bias (units).
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties that are part of the loss, such as "l2"; see ``fastlstm.regularizers``.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What brings the weights back after each update, such as "max_norm"; see
        ``fastlstm.constraints``.
    name, input_shape, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "units",
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
        units: int,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        *,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        super().__init__(
            name=name, input_shape=input_shape, dtype=dtype, trainable=trainable, **rest
        )
        self.units = whole_number(units, "Dense units")
        self.activation = activation_name(activation, LAYER_ACTIVATIONS)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        if len(shape) not in (2, 3):
            raise ValueError(
                "Dense expects input (batch, features) or (batch, time, features), got shape "
                f"{tuple(shape)}"
            )
        if shape[-1] is None:
            raise ValueError(f"Dense {self.name!r} needs to know the number of features")
        if self.built and shape[-1] != self._specs[0].shape[0]:
            raise ValueError(
                f"Dense {self.name!r} was built for {self._specs[0].shape[0]} features, got input "
                f"of shape {tuple(shape)} with {shape[-1]}"
            )

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        shape = (int(input_shape[-1] or 0), self.units)
        specs = [WeightSpec("kernel", shape, self.kernel_initializer)]
        if self.use_bias:
            specs.append(WeightSpec("bias", (self.units,), self.bias_initializer))
        return with_rules(self, specs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def _place(self) -> None:
        self.packed_kernel = Packed(self.param("kernel"), 1)
        self.bias = self.param("bias") if self.use_bias else np.empty(0, self.dtype)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> DenseOp:
        return DenseOp(self, x, plan, saving=saving)

    def bind_last(self, x: np.ndarray, plan: Plan) -> DenseOp | None:
        size = x.size // x.shape[-1] * self.units * x.itemsize
        return _LastDense(self, x, plan) if x.ndim == 3 and size >= _WORTH_HANDING_OUT else None


class DenseOp(Op):
    """Dense bound to arrays, whose rows stand for all samples and steps.

    Set ``logits`` to leave out a final softmax or sigmoid, where the loss includes it: ``y`` then
    holds pre-activations, and ``d_y`` their gradient. ``record_finish`` catches up on it.
    """

    def __init__(self, layer: Dense, x: np.ndarray, plan: Plan, *, saving: bool = False) -> None:
        self.layer, self.kind = layer, kind_of(layer.activation)
        self.x, self.depth = x, x.shape[-1]
        self.y = self._place((*x.shape[:-1], layer.units), plan)
        # Pre-activations, where backward has the activation's slope from them.
        apart = saving and keeps_input(self.kind)
        self.before = plan.array(self.y.shape, layer.dtype) if apart else self.y
        self.threads = get_num_threads()
        self.logits = False
        self._mask, self._unread = np.empty((0, *x.shape[1:-1]), np.uint8), False
        size = matmul.scratch_size(layer.dtype.itemsize)
        (self.scratch,) = plan.scratch(((self.threads, size), layer.dtype))

    @property
    def forward_weights(self) -> list[Packed]:
        return [self.layer.packed_kernel]

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        y, x, before = (_rows(array, segment) for array in (self.y, self.x, self.before))
        self._record_rows(program, before, x, 1, _NO_ORIGIN, self._flat_mask(segment))
        if not self._unread:
            record_clear_masked(program, before, self._flat_mask(segment))
        if self.before is not self.y:
            record_of(program, self.kind, y, before)

    def _record_rows(
        self,
        program: Program,
        y: np.ndarray,
        x: np.ndarray,
        steps: int,
        origin: np.ndarray,
        mask: np.ndarray,
    ) -> list[tuple[int, int]]:
        """Record rows of the output, in an order of so many ``steps``; the calls that write it."""
        layer, kind = self.layer, self.kind
        later = isinstance(kind, OfRows) or self.logits or self.before is not self.y
        number = program.add(
            matmul.multiply,
            Linear() if later else kind,
            y, self.scratch, x.reshape(-1), self.depth, 0, 1, self.depth,
            layer.packed_kernel.forward, layer.bias, steps, origin, mask,
            work=2.0 * len(x) * layer.units * self.depth,
        )  # fmt: skip
        calls = [(number, 1)]
        if isinstance(kind, OfRows) and not self.logits:
            calls += record_all(program, kind, y, len(x) * layer.units)
        return calls

    def leave_out(self, mask: np.ndarray, *, unread: bool = False) -> None:
        self._mask, self._unread = mask, unread

    def _flat_mask(self, segment: Segment) -> np.ndarray:
        return segment.of(self._mask).reshape(-1)

    def _place(self, shape: tuple[int, ...], plan: Plan) -> np.ndarray:
        """The array of the output."""
        return plan.array(shape, self.layer.dtype)

    def record_finish(self, program: Program, rows: np.ndarray) -> None:
        """Record what turns pre-activations, left by ``logits``, into outputs."""
        record_all(program, self.kind, rows, rows.size)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        layer, dtype, ones = self.layer, self.layer.dtype, int(self.layer.use_bias)
        self.d_y = d_y
        depth = self.depth + ones
        columns = layer.packed_kernel.columns
        self.product_scratch = plan.scratch(
            ((layer.packed_kernel.panels, depth, columns), dtype),
            ((self.threads, matmul.packed_size(depth)), dtype),
            ((self.threads * matmul.PANELS_AHEAD * matmul.SUM_BLOCK * columns,), dtype),
        )
        self.d_weights = layer.flat_grads.reshape(depth, layer.units)
        self.d_x = None
        if need_d_x:
            self.d_x = plan.array(self.x.shape, dtype)
        self.no_bias = np.empty(0, dtype)

    @property
    def backward_weights(self) -> list[Packed]:
        return [] if self.d_x is None else [self.layer.packed_kernel]

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        layer = self.layer
        d_rows, rows = _rows(self.d_y, segment), _rows(self.y, segment)
        work = 2.0 * rows.size * self.depth
        if not self.logits:
            record_gradient(program, self.kind, d_rows, rows, _rows(self.before, segment))
        program.add(
            matmul.multiply_transposed,
            PLAIN, 1, self.d_weights, *self.product_scratch, _rows(self.x, segment),
            d_rows.reshape(-1), 0, int(layer.use_bias), self.adds or not segment.last,
            self._flat_mask(segment), work=work,
        )  # fmt: skip
        if self.d_x is not None:
            program.add(
                matmul.multiply,
                Linear(), _rows(self.d_x, segment), self.scratch, d_rows.reshape(-1),
                layer.units, 0, 1, layer.units,
                layer.packed_kernel.transposed, self.no_bias, 1, _NO_ORIGIN,
                self._flat_mask(segment), work=work,
            )  # fmt: skip
            record_clear_masked(program, _rows(self.d_x, segment), self._flat_mask(segment))


class _LastDense(DenseOp):
    """The last layer of all, in inference, which writes its output into the caller's array."""

    def _place(self, shape: tuple[int, ...], plan: Plan) -> np.ndarray:
        return stand_in(shape, self.layer.dtype)

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        pass  # all of it is in ``record_output``

    def record_output(self, program: Program, origin: np.ndarray) -> list[tuple[int, int]]:
        nowhere = np.empty((0, self.layer.units), self.layer.dtype)
        x, mask = _rows(self.x, WHOLE), self._flat_mask(WHOLE)
        return self._record_rows(program, nowhere, x, len(self.x), origin, mask)


def _rows(array: np.ndarray, segment: Segment) -> np.ndarray:
    """All samples and steps of a segment, one a row."""
    return segment.of(array).reshape(-1, array.shape[-1])
