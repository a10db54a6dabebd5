"""A sequence that looks at another: by products, or by sums, of what stands at their steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastlstm import initializers
from fastlstm.kernels.program import Program
from fastlstm.layers.attention_masks import Counted, with_masks, without_masks
from fastlstm.layers.attention_op import AttentionOp, How
from fastlstm.layers.base import WeightSpec
from fastlstm.layers.draws import Draws
from fastlstm.layers.dropout import check_rate
from fastlstm.layers.op import Op
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.several import Several
from fastlstm.layers.symbol import Shape
from fastlstm.memory import Plan


class _Attention(Several):
    """Base class: [query, value] or [query, value, key], each (batch, time, features)."""

    config_names: ClassVar[tuple[str, ...]] = ("use_scale", "dropout", "seed")
    most = 3
    looks = True

    def __init__(
        self,
        use_scale: bool,
        dropout: float = 0.0,
        *,
        seed: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable, **rest)
        self.use_scale = bool(use_scale)
        self.dropout = check_rate(dropout, f"{type(self).__name__} dropout")
        self.draws = Draws(seed, type(self).__name__)
        self.seed = self.draws.seed

    @property
    def causal(self) -> bool:
        """Even with ``use_causal_mask`` a step needs those before, which no state keeps."""
        return False

    @abstractmethod
    def how(self, training: bool, causal: bool) -> How:
        """What sets this kind apart."""

    def options(self, training: bool, causal: bool) -> dict[str, Any]:
        """What both kinds have in common."""
        dropout = self.dropout if training else 0.0
        return {"causal": causal, "dropout": dropout, "draws": self.draws}

    def shapes_after(self, shapes: Sequence[Shape], **options: Any) -> list[Shape]:
        shapes = without_masks(shapes, options, type(self).__name__)
        self.check_several(shapes)
        query, value, key = (*shapes, shapes[1])[:3]
        kind, listed = type(self).__name__, ", ".join(str(tuple(shape)) for shape in shapes)
        if any(len(shape) != 3 for shape in shapes):
            raise ValueError(
                f"{kind} expects [query, value] or [query, value, key], each (batch, time, "
                f"features), got {listed}"
            )
        if query[2] != key[2] or query[2] is None or value[2] is None:
            raise ValueError(
                f"{kind} compares queries with keys, which must have as many features, got {listed}"
            )
        if None not in (value[1], key[1]) and value[1] != key[1]:
            raise ValueError(f"{kind} expects a key for each step of value, got {listed}")
        scores = (query[0], query[1], value[1])
        mean = (query[0], query[1], value[2])
        return [mean, scores] if options.get("return_attention_scores") else [mean]

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
        query, value, key = (*xs, xs[1])[:3]
        counted = Counted(xs, masks[:2], given, plan, replaces=True)
        op = _LookingOp(self.how(training, use_causal_mask), query, key, value, counted, plan)
        op.inputs = len(xs)
        if any(given.values()):
            op.made_mask = counted.asked
        return op

    def __call__(
        self,
        inputs: Any,
        mask: Any = None,
        *,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The mean of values that each query looks at.

        Parameters
        ----------
        inputs : list of array_like or Symbol
            [query, value] or [query, value, key]: (batch, Tq, D), (batch, Tv, E), (batch, Tv, D);
            without keys, the values are compared.
        mask : list of array_like or Symbol, optional
            [query_mask, value_mask], each (batch, time) or None, True where a step counts: in the
            place of those that come with the inputs, from Embedding(mask_zero=True) and Masking.
            The output's mask is that of the query.
        training : bool
            Whether dropout is active.
        return_attention_scores : bool
            Return the weights as well, (batch, Tq, Tv).
        use_causal_mask : bool
            Whether no step looks at later ones.

        Returns
        -------
        ndarray or Symbol, or list of two
            (batch, Tq, E). Values that a mask leaves out have no weight, and queries zeros.
        """
        options = {
            "return_attention_scores": bool(return_attention_scores),
            "use_causal_mask": bool(use_causal_mask),
        }
        if mask is not None:
            if not isinstance(mask, (list, tuple)) or len(mask) not in (2, 3):
                raise ValueError(
                    f"{type(self).__name__} expects mask=[query_mask, value_mask], got "
                    f"{type(mask).__name__}"
                )
            # As in Keras, there may be a third, which nothing looks at.
            both = dict(zip(("query_mask", "value_mask"), mask, strict=False))
            inputs, named = with_masks(inputs, both)
            options.update(named)
        return self.call_with(inputs, training=training, **options)


class _LookingOp(AttentionOp):
    """An attention whose values may be its keys as well."""

    inputs = 2

    @property
    def d_xs(self) -> list[Any]:
        d_q, d_k, d_v = self._d_arrays
        if self.inputs == 2:
            return [d_q, self._d_both]
        return [d_q, d_v, d_k, *[None] * (self.inputs - 3)]  # masks have none

    def bind_gradients(self, d_ys: list[np.ndarray], plan: Plan, needs: list[bool]) -> None:
        super().bind_gradients(d_ys, plan, needs)
        self._d_both = self._d_arrays[2]

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        super().record_backward(program)
        if self.inputs == 2:
            self.record_sum(program, self._d_both, self._d_arrays[1])


class Attention(_Attention):
    """Attention by products of queries and keys.

        weights = softmax(scale · query · keyᵀ)        output = weights · value

    Source: Luong et al., "Effective approaches to attention-based neural machine translation",
    EMNLP 2015. Weight: scale (), with ``use_scale``.

    Parameters
    ----------
    use_scale : bool
        Whether scores are multiplied by a number that is learned.
    score_mode : "dot"
        Accepted as in Keras; for "concat" take ``AdditiveAttention``.
    dropout : float
        Fraction of the weights to drop in training.
    seed : int, optional
        Makes what is dropped repeatable on its own; see ``Dropout``.
    name, dtype, trainable
        As for every layer.
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(use_scale, dropout, **options)
        if score_mode != "dot":
            raise ValueError(
                f"Attention expects score_mode='dot', got {score_mode!r}; AdditiveAttention adds "
                "queries and keys"
            )

    def specs_for(self, shapes: Sequence[Shape]) -> list[WeightSpec]:
        return [WeightSpec("scale", (), initializers.get("ones"))] if self.use_scale else []

    def how(self, training: bool, causal: bool) -> How:
        options = self.options(training, causal)
        if not self.use_scale:
            return How(np.ones(1, self.dtype), None, **options)
        return How(self.flat_params, self.flat_grads, **options)


class AdditiveAttention(_Attention):
    """Attention by sums of queries and keys.

        weights = softmax(sum(scale · tanh(query + key)))        output = weights · value

    Source: Bahdanau et al., "Neural machine translation by jointly learning to align and
    translate", ICLR 2015. Weight: scale (features,), with ``use_scale``.

    Parameters
    ----------
    use_scale : bool
        Whether each feature is multiplied by a number that is learned.
    dropout : float
        Fraction of the weights to drop in training.
    seed : int, optional
        Makes what is dropped repeatable on its own; see ``Dropout``.
    name, dtype, trainable
        As for every layer.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(use_scale, dropout, **options)
        self._ones = np.empty(0, self.dtype)

    def specs_for(self, shapes: Sequence[Shape]) -> list[WeightSpec]:
        depth = int(shapes[0][2] or 0)
        self._ones = np.ones(depth, self.dtype)
        glorot = initializers.get("glorot_uniform")
        return [WeightSpec("scale", (depth,), glorot)] if self.use_scale else []

    def how(self, training: bool, causal: bool) -> How:
        options = self.options(training, causal)
        if not self.use_scale:
            return How(self._ones, None, additive=True, **options)
        scale, d_scale = self.flat_params, self.flat_grads
        return How(scale, d_scale, additive=True, **options)
