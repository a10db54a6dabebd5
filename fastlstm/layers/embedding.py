"""Rows of a trainable table, chosen by ids."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastlstm import constraints, initializers, regularizers
from fastlstm.kernels import embedding, layout, masks
from fastlstm.kernels.lengths import count_ids
from fastlstm.kernels.program import Program
from fastlstm.layers.base import Layer, WeightSpec
from fastlstm.layers.op import Op
from fastlstm.layers.penalties import with_rules
from fastlstm.layers.recurrent import Recurrent
from fastlstm.layers.segment import WHOLE, Segment
from fastlstm.layers.vocabulary import WordsOp, shared_vocabulary
from fastlstm.memory import Plan
from fastlstm.validation import whole_number


class Embedding(Layer):
    """Turn ids, (batch, time) or (batch,), into vectors of ``output_dim`` numbers.

    Parameters
    ----------
    input_dim : int
        Size of the vocabulary: ids run from 0 to ``input_dim`` - 1.
    output_dim : int
        Size of the vectors.
    embeddings_initializer : str or Initializer
        Initial values of the table (input_dim, output_dim).
    mask_zero : bool
        Whether the id 0 is padding, which has no part in what follows: recurrent layers keep
        their states over it, and it counts in no loss or metric.
    embeddings_regularizer : str or Regularizer, optional
        Penalty that is part of the loss, of all rows of the table: each step then works on all of
        them.
    embeddings_constraint : str or Constraint, optional
        What brings the table back after each update.
    weights : array_like, or list of one, optional
        Values of the table, such as word vectors trained elsewhere, in the place of initial ones.
    input_length : int, optional
        Number of steps, as older Keras code gives it; short for ``input_shape=(input_length,)``.
    name, input_shape, dtype, trainable
        As for every layer; ``input_shape`` is (time,), time may be None.
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "input_dim",
        "output_dim",
        "embeddings_initializer",
        "mask_zero",
        "embeddings_regularizer",
        "embeddings_constraint",
    )
    takes_ids = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        *,
        mask_zero: bool = False,
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        weights: Any = None,
        input_length: int | None = None,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        **rest: Any,
    ) -> None:
        if input_shape is None and input_length is not None:
            input_shape = (input_length,)
        super().__init__(
            name=name, input_shape=input_shape, dtype=dtype, trainable=trainable, **rest
        )
        self.input_dim = whole_number(input_dim, "Embedding input_dim")
        self.output_dim = whole_number(output_dim, "Embedding output_dim")
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.mask_zero = bool(mask_zero)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        if weights is not None:
            self.build((None,))
            self.set_weights(list(weights) if _is_list_of_one(weights) else [weights])

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        if len(shape) not in (1, 2):
            raise ValueError(
                f"Embedding expects ids (batch, time) or (batch,), got shape {tuple(shape)}"
            )

    def weight_specs(self, input_shape: tuple[int | None, ...]) -> list[WeightSpec]:
        shape = (self.input_dim, self.output_dim)
        return with_rules(self, [WeightSpec("embeddings", shape, self.embeddings_initializer)])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape, self.output_dim)

    def record_check(self, program: Program, flat: np.ndarray) -> None:
        program.add(layout.halt_unless_within, flat, self.input_dim)

    def _place(self) -> None:
        # Rows of the gradient that are not zero: those of the ids of the last backward.
        self.touched = np.zeros(self.input_dim, np.uint8)

    def bind(
        self, x: np.ndarray, mask: np.ndarray, plan: Plan, *, saving: bool, training: bool
    ) -> EmbeddingOp:
        return EmbeddingOp(self, x, mask, plan)

    def bind_with(
        self, above: Layer, x: np.ndarray, mask: np.ndarray, plan: Plan
    ) -> tuple[Op, Op] | None:
        if not isinstance(above, Recurrent) or above.go_backwards or not above.takes_words:
            return None
        words = shared_vocabulary(self, above)
        if words is None:
            return None
        op = EmbeddingOp(self, x, mask, plan, passing=True)
        if op.made_mask is not None:
            mask = op.made_mask
        return op, WordsOp(words, x, mask, plan)


def _is_list_of_one(weights: Any) -> bool:
    """Whether it is a table in a list, as ``get_weights`` gives it."""
    return isinstance(weights, (list, tuple)) and len(weights) == 1 and np.ndim(weights[0]) == 2


class EmbeddingOp(Op):
    """Embedding bound to arrays; ``passing`` the ids on, where the layer above looks up itself."""

    def __init__(
        self,
        layer: Embedding,
        x: np.ndarray,
        mask: np.ndarray,
        plan: Plan,
        *,
        passing: bool = False,
    ) -> None:
        self.layer, self.ids, self.given = layer, x, mask
        self._mask = mask[:0]  # of what its gradient leaves out
        if layer.mask_zero and x.ndim == 2:
            self.made_mask = plan.array(x.shape, np.uint8)
            self.says_lengths = not len(mask)
        self.y = x if passing else plan.array((*x.shape, layer.output_dim), layer.dtype)
        self.table = layer.param("embeddings")

    def record_forward(self, program: Program, segment: Segment = WHOLE) -> None:
        if self.made_mask is not None:
            arrays = (self.made_mask, self.ids, self.given)
            flat = (segment.of(array).reshape(-1) for array in arrays)
            program.add(masks.of_ids, *flat, work=1.0 * self.ids.size)
        if self.y is self.ids:
            return
        rows, ids = self._rows(self.y, segment)
        program.add(embedding.look_up, rows, ids, self.table, work=2.0 * rows.size)

    def record_lengths(
        self, program: Program, lengths: np.ndarray, source: np.ndarray, index: np.ndarray
    ) -> int:
        return program.add(count_ids, lengths, source, index, work=1.0 * self.ids.size)

    def bind_backward(self, d_y: np.ndarray, plan: Plan, need_d_x: bool) -> None:
        self.d_y = d_y

    def leave_out(self, mask: np.ndarray, *, unread: bool = False) -> None:
        self._mask = mask

    def record_backward(self, program: Program, segment: Segment = WHOLE) -> None:
        d_table, touched = self.layer.flat_grads.reshape(self.table.shape), self.layer.touched
        rows, ids = self._rows(self.d_y, segment)
        if segment.last and not self.adds:
            program.add(embedding.clear_rows, d_table, touched, work=2.0 * rows.size)
        mask = segment.of(self._mask).reshape(-1)
        program.add(embedding.add_rows, d_table, touched, rows, ids, mask, work=4.0 * rows.size)

    def _rows(self, array: np.ndarray, segment: Segment) -> tuple[np.ndarray, np.ndarray]:
        """An array's rows, one for each id, and the ids."""
        rows = segment.of(array).reshape(-1, self.layer.output_dim)
        return rows, segment.of(self.ids).reshape(-1)
