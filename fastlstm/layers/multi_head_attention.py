"""Attention of several heads, between learned projections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np

from fastlstm import constraints, initializers, regularizers
from fastlstm.kernels import layout
from fastlstm.kernels.program import Program
from fastlstm.layers.attention_masks import Counted, with_masks, without_masks
from fastlstm.layers.attention_op import AttentionOp, How
from fastlstm.layers.base import WeightSpec
from fastlstm.layers.dense import DenseOp
from fastlstm.layers.draws import Draws
from fastlstm.layers.dropout import check_rate
from fastlstm.layers.op import Op
from fastlstm.layers.packed import Packed
from fastlstm.layers.penalties import with_rules
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.several import Several
from fastlstm.layers.symbol import Shape, is_symbolic
from fastlstm.memory import Plan
from fastlstm.validation import whole_number

_PARTS = ("query", "key", "value", "attention_output")


class MultiHeadAttention(Several):
    """Several heads look at a sequence, each by products of its own projections.

        head = softmax(q W_q · (k W_k)ᵀ / √key_dim) · v W_v        output = [heads] W_o

    Source: Vaswani et al., "Attention is all you need", NeurIPS 2017. Weights, as in Keras: kernels
    (features, heads, key_dim) and biases (heads, key_dim) of query, key and value, and those of
    the output, (heads, value_dim, outputs) and (outputs,).

    Parameters
    ----------
    num_heads, key_dim : int
        How many heads, and the size of each one's queries and keys.
    value_dim : int, optional
        Size of each head's values; ``key_dim`` by default.
    dropout : float
        Fraction of the weights to drop in training.
    use_bias : bool
        Whether the projections have a bias.
    output_shape : int, optional
        Size of the output; the query's by default.
    kernel_initializer, bias_initializer : str or Initializer
        Initial values; Glorot uniform and zeros.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties that are part of the loss, of each of the kernels, and of the biases.
    kernel_constraint, bias_constraint : str or Constraint, optional
        What brings each of them back after an update.
    attention_axes, activity_regularizer : None
        Accepted as in Keras; only None is here, and (1,) for the first.
    seed : int, optional
        Makes what is dropped repeatable on its own; see ``Dropout``.
    name, dtype, trainable
        As for every layer.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "num_heads",
        "key_dim",
        "value_dim",
        "dropout",
        "use_bias",
        "output_shape",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
        "seed",
    )
    most = 3
    not_penalised = (
        "Keras penalises each of its projections; put ActivityRegularization after it, which "
        "penalises what it gives"
    )
    looks = True

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | None = None,
        attention_axes: Any = None,
        *,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        if attention_axes in (1, (1,), [1]):
            attention_axes = None
        rest.update(attention_axes=attention_axes, activity_regularizer=activity_regularizer)
        super().__init__(name=name, dtype=dtype, trainable=trainable, **rest)
        what = "MultiHeadAttention"
        self.num_heads = whole_number(num_heads, f"{what} num_heads")
        self.key_dim = whole_number(key_dim, f"{what} key_dim")
        self.value_dim = whole_number(value_dim or key_dim, f"{what} value_dim")
        self.dropout = check_rate(dropout, f"{what} dropout")
        self.use_bias = bool(use_bias)
        self.output_shape = (
            None if output_shape is None else whole_number(output_shape, f"{what} output_shape")
        )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.draws = Draws(seed, what)
        self.seed = self.draws.seed

    @property
    def causal(self) -> bool:
        """Even with ``use_causal_mask`` a step needs those before, which no state keeps."""
        return False

    def shapes_after(self, shapes: Sequence[Shape], **options: Any) -> list[Shape]:
        shapes = without_masks(shapes, options, type(self).__name__)
        self.check_several(shapes)
        query, value, key = (*shapes, shapes[1])[:3]
        listed = ", ".join(str(tuple(shape)) for shape in shapes)
        if any(len(shape) != 3 or shape[2] is None for shape in shapes):
            raise ValueError(
                "MultiHeadAttention expects query, value and perhaps key, each (batch, time, "
                f"features), got {listed}"
            )
        if None not in (value[1], key[1]) and value[1] != key[1]:
            raise ValueError(
                f"MultiHeadAttention expects a key for each step of value, got {listed}"
            )
        made = (query[0], query[1], self.output_shape or query[2])
        scores = (query[0], query[1], None if value[1] is None else self.num_heads * value[1])
        return [made, scores] if options.get("return_attention_scores") else [made]

    def specs_for(self, shapes: Sequence[Shape]) -> list[WeightSpec]:
        query, value, key = (*shapes, shapes[1])[:3]
        heads, size, values = self.num_heads, self.key_dim, self.value_dim
        outputs = int(self.output_shape or query[2] or 0)
        kernels = [
            (int(query[2] or 0), heads, size),
            (int(key[2] or 0), heads, size),
            (int(value[2] or 0), heads, values),
            (heads, values, outputs),
        ]
        specs = []
        for part, kernel in zip(_PARTS, kernels, strict=True):
            specs.append(WeightSpec(f"{part}/kernel", kernel, self.kernel_initializer))
            if self.use_bias:
                bias = (outputs,) if part == _PARTS[-1] else kernel[1:]
                specs.append(WeightSpec(f"{part}/bias", bias, self.bias_initializer))
        return with_rules(self, specs)

    def _place(self) -> None:
        self.projections = []
        at = 0
        for part in _PARTS:
            kernel = self.param(f"{part}/kernel")
            columns = kernel.shape[-1] if part == _PARTS[-1] else math.prod(kernel.shape[1:])
            bias = self.param(f"{part}/bias").reshape(-1) if self.use_bias else None
            made = Projection(self, kernel.reshape(-1, columns), bias, at)
            self.projections.append(made)
            at += made.size

    def bind_inputs(
        self,
        xs: list[np.ndarray],
        masks: list[np.ndarray],
        plan: Plan,
        *,
        saving: bool,
        training: bool,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        **given: bool,
    ) -> Op:
        scale = np.full(1, 1.0 / math.sqrt(self.key_dim), self.dtype)
        dropout = self.dropout if training else 0.0
        how = How(
            scale,
            None,
            heads=self.num_heads,
            causal=use_causal_mask,
            dropout=dropout,
            draws=self.draws,
            clears=False,
            hides=True,
        )
        return MultiHeadOp(self, how, xs, Counted(xs, masks, given, plan), plan)

    def __call__(  # type: ignore[override]
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        *,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """What the heads see of the values, for each query.

        Parameters
        ----------
        query, value, key : array_like or Symbol
            (batch, Tq, D), (batch, Tv, E) and (batch, Tv, F); without a key, the value.
        query_mask, value_mask, key_mask : array_like or Symbol, optional
            (batch, time), True where a step counts; in the place of those that come with query and
            value, from Embedding(mask_zero=True) and Masking. A key counts where it does in
            ``key_mask``, and its value in ``value_mask``.
        attention_mask : array_like or Symbol, optional
            (batch, Tq, Tv), True where a query may look at a value; Tq and Tv may be 1, and arrays
            may be (Tq, Tv) for all samples alike. Goes together with the others.
        training : bool
            Whether dropout is active.
        return_attention_scores : bool
            Return the weights as well, (batch, heads, Tq, Tv); for arrays.
        use_causal_mask : bool
            Whether no step looks at later ones.

        Returns
        -------
        ndarray or Symbol, or tuple of two ndarray
            (batch, Tq, outputs). A query that may look at no value at all has weights of zero.
        """
        if value is None:
            raise TypeError("MultiHeadAttention expects query and value")
        inputs = [query, value] if key is None else [query, value, key]
        if return_attention_scores and is_symbolic(inputs):
            raise ValueError(
                "return_attention_scores=True is for calls of MultiHeadAttention on arrays; make "
                "a model of what comes before, and call the layer on what that predicts"
            )
        options = {
            "return_attention_scores": bool(return_attention_scores),
            "use_causal_mask": bool(use_causal_mask),
        }
        if key is None and key_mask is not None:
            raise ValueError("MultiHeadAttention expects key_mask together with a key")
        given = {
            "query_mask": query_mask,
            "value_mask": value_mask,
            "key_mask": key_mask,
            "attention_mask": attention_mask,
        }
        inputs, named = with_masks(inputs, given)
        made = self.call_with(inputs, training=training, **options, **named)
        if not return_attention_scores:
            return made
        output, weights = made
        by_head = weights.reshape(*weights.shape[:2], self.num_heads, -1)
        return output, np.ascontiguousarray(by_head.swapaxes(1, 2))


class Projection:
    """A dense layer that is part of another: its weights are a stretch of that one's."""

    activation = "linear"

    def __init__(
        self, layer: MultiHeadAttention, kernel: np.ndarray, bias: np.ndarray | None, start: int
    ) -> None:
        self.layer, self.dtype, self._start = layer, layer.dtype, start
        self.units, self.use_bias = kernel.shape[1], bias is not None
        self.packed_kernel = Packed(kernel, 1)
        self.bias = np.empty(0, layer.dtype) if bias is None else bias
        self.size = kernel.size + self.bias.size

    @property
    def flat_grads(self) -> np.ndarray:
        """Gradients of the kernel and the bias."""
        return self.layer.flat_grads[self._start : self._start + self.size]


class MultiHeadOp(Op):
    """MultiHeadAttention bound to arrays: dense layers around an attention."""

    causal = False

    def __init__(
        self,
        layer: MultiHeadAttention,
        how: How,
        xs: list[np.ndarray],
        counted: Counted,
        plan: Plan,
    ) -> None:
        query, value, key = (*xs, xs[1])[:3]
        self._inputs = len(xs)
        self._before = [
            DenseOp(cast(Any, projection), x, plan)
            for projection, x in zip(layer.projections, (query, key, value), strict=False)
        ]
        q, k, v = (op.y for op in self._before)
        self._attention = AttentionOp(how, q, k, v, counted, plan)
        self._after = DenseOp(cast(Any, layer.projections[-1]), self._attention.y, plan)
        self.y = self._after.y
        self.made_mask = counted.asked

    @property
    def _dense(self) -> list[DenseOp]:
        return [*self._before, self._after]

    @property
    def forward_weights(self) -> list[Packed]:
        return [packed for op in self._dense for packed in op.forward_weights]

    @property
    def backward_weights(self) -> list[Packed]:
        return [packed for op in self._dense for packed in op.backward_weights]

    @property
    def seeds(self) -> list[np.ndarray]:
        return self._attention.seeds

    def start(self, resume: bool = False) -> None:
        self._attention.start(resume)

    def give_states(self, plan: Plan) -> None:
        self._attention.give_states(plan)

    @property
    def ys(self) -> list[np.ndarray]:
        return [self.y, *self._attention.ys[1:]]

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        for op in (*self._before, self._attention, self._after):
            op.record_forward(program)

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        self._after.bind_backward(d_ys[0], plan, True)
        d_mean = cast(np.ndarray, self._after.d_x)
        self._attention.bind_gradients([d_mean, *d_ys[1:]], plan, [True] * 3)
        need_q, need_v, need_k = (*needs, needs[1])[:3]
        wanted = need_q, need_k, need_v
        for op, d, need in zip(self._before, self._attention.d_xs, wanted, strict=True):
            op.bind_backward(d, plan, need)
        for op in self._dense:
            op.adds = self.adds

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.bind_gradients([d_y], plan, [need_d_x] * 3)

    @property
    def d_xs(self) -> list[np.ndarray | None]:
        d_q, d_k, d_v = (op.d_x for op in self._before)
        if self._inputs == 2:
            return [d_q, d_v]
        return [d_q, d_v, d_k, *[None] * (self._inputs - 3)]  # masks have none

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        for op in (self._after, self._attention, *self._before):
            op.record_backward(program)
        _, d_k, d_v = (op.d_x for op in self._before)
        if self._inputs == 2 and d_k is not None and d_v is not None:
            program.add(layout.add, d_v, d_k, work=1.0 * d_v.size)
