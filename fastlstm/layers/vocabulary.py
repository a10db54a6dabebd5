"""An embedding and the recurrent layer above it as one: what the layer makes of every word.

Where weights stay as they are, bias + x·W of a word is the same wherever the word stands. It is
computed once for the whole vocabulary, and looked up from then on: a layer with as many inputs as
units then takes half of the time.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastlstm.kernels import vocabulary as kernels
from fastlstm.kernels.program import Program
from fastlstm.layers.packed import Packed
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.memory import Plan

if TYPE_CHECKING:
    from fastlstm.layers.embedding import Embedding
    from fastlstm.layers.recurrent import Recurrent

# The table is made anew with the weights: the vocabulary may be so many times the words of a batch.
_WORTH = 8
# Largest table, and one so small that it is always worth it, in bytes.
_MOST, _LITTLE = 1 << 26, 1 << 18
# Bytes of gates that are looked up before the steps that use them: what stays in the caches.
_AHEAD = 1 << 18


class Vocabulary:
    """bias + x·W of every row of an embedding, (V, P, columns); to be made anew as panels are.

    Parameters
    ----------
    embedding : Embedding
        Where the words' vectors are.
    layer : Recurrent
        The layer above it.
    """

    def __init__(self, embedding: Embedding, layer: Recurrent) -> None:
        self.embedding, self.layer = embedding, layer
        self.packed_version: tuple[int, int] | None = None
        packed = layer.packed_kernel
        self.forward_shape = (embedding.input_dim, packed.panels, packed.columns)
        self._table: np.ndarray | None = None

    @property
    def version(self) -> tuple[int, int]:
        """Of the weights that the table depends on."""
        return self.embedding.version, self.layer.version

    @property
    def table(self) -> np.ndarray:
        """The table, as ``pack_forward`` left it."""
        if self._table is None:
            self._table = np.empty(self.forward_shape, self.layer.dtype)
        return self._table

    def pack_forward(self, program: Program) -> None:
        """Record the making of the table, from packed weights."""
        w, bias = self.layer.packed_kernel.forward, self.layer.packed_biases[0].forward[:, 0]
        vectors = self.embedding.param("embeddings")
        work = 2.0 * self.table.size * vectors.shape[1]
        program.add(kernels.project, self.layer.cell, self.table, vectors, w, bias, work=work)


class WordsOp(RecurrentOp):
    """A recurrent layer bound to ids, for inference: its inputs' product is looked up."""

    vocabulary: Vocabulary

    def __init__(
        self, vocabulary: Vocabulary, ids: np.ndarray, mask: np.ndarray, plan: Plan
    ) -> None:
        self.vocabulary, self.ids = vocabulary, ids
        layer = vocabulary.layer
        super().__init__(layer, np.empty((*ids.shape, 0), layer.dtype), mask, plan, saving=False)

    @property
    def forward_weights(self) -> Sequence[Packed | Vocabulary]:
        return [*super().forward_weights, self.vocabulary]

    def _steps_ahead(self) -> int:
        step = self.batch * self.panels * self.columns * self.layer.dtype.itemsize
        return max(2, min(self.steps, _AHEAD // step))

    def _steps_per_launch(self, work: float) -> int:
        return self.chunk

    def _record_inputs(self, program: Program, start: int, stop: int) -> None:
        program.add(
            kernels.look_up, self.gates, self.vocabulary.table, self.ids, start, stop,
            work=2.0 * (stop - start) * self.batch * self.panels * self.columns,
        )  # fmt: skip


def shared_vocabulary(embedding: Embedding, layer: Recurrent, tokens: int) -> Vocabulary | None:
    """The one table of two layers, where batches of so many ``tokens`` make it worth it."""
    made = Vocabulary(embedding, layer)
    size = math.prod(made.forward_shape) * layer.dtype.itemsize
    often = embedding.input_dim <= _WORTH * tokens and size <= _MOST
    if not often and size > _LITTLE:
        return None
    found = None if layer.vocabulary is None else layer.vocabulary()
    if found is not None and found.embedding is embedding:
        return found
    layer.vocabulary = weakref.ref(made)
    return made
