"""An embedding and the recurrent layer above it as one: what the layer makes of every word.

Where weights stay as they are, bias + x·W of a word is the same wherever the word stands. It is
computed when a word is first met, and looked up from then on: a layer with as many inputs as units
then takes half of the time.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastlstm.kernels import layout
from fastlstm.kernels import vocabulary as kernels
from fastlstm.kernels.program import Program
from fastlstm.layers.packed import Packed
from fastlstm.layers.recurrent_op import RecurrentOp
from fastlstm.memory import Plan, aligned

if TYPE_CHECKING:
    from fastlstm.layers.embedding import Embedding
    from fastlstm.layers.recurrent import Recurrent

# The largest table, in bytes.
_MOST = 1 << 27
# Bytes of gates that are looked up before the steps that use them: what stays in the caches.
_AHEAD = 1 << 18
# Tables in use, by the identities of their layers: a layout of any shape finds them.
_tables: weakref.WeakValueDictionary[tuple[int, int], Vocabulary] = weakref.WeakValueDictionary()


class Vocabulary:
    """bias + x·W of the rows of an embedding, (V, P, columns), as far as they are known.

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
        # The system gives memory for the words that are met.
        self.table = aligned(self.forward_shape, layer.dtype)
        self.known = np.zeros(embedding.input_dim, np.uint8)

    @property
    def version(self) -> tuple[int, int]:
        """Of the weights that the table depends on."""
        return self.embedding.version, self.layer.version

    def pack_forward(self, program: Program) -> None:
        """Record: with other weights, no word is known."""
        layout.record_clear(program, self.known)


class WordsOp(RecurrentOp):
    """A recurrent layer bound to ids, for inference: its inputs' product is looked up."""

    vocabulary: Vocabulary

    def __init__(
        self, vocabulary: Vocabulary, ids: np.ndarray, mask: np.ndarray, plan: Plan
    ) -> None:
        self.vocabulary, self.ids = vocabulary, ids
        layer, embedding = vocabulary.layer, vocabulary.embedding
        super().__init__(layer, np.empty((*ids.shape, 0), layer.dtype), mask, plan, saving=False)
        self.new = plan.array((1 + min(ids.size, embedding.input_dim),), np.int32)
        size = kernels.scratch_size(embedding.output_dim, self.columns)
        (self.scratch_words,) = plan.scratch(((self.threads, size), layer.dtype))

    @property
    def forward_weights(self) -> Sequence[Packed | Vocabulary]:
        return [*super().forward_weights, self.vocabulary]

    def record_start(self, program: Program) -> None:
        super().record_start(program)
        self._record_learning(program)

    def record_advance(self, program: Program) -> None:
        super().record_advance(program)
        self._record_learning(program)

    def _record_learning(self, program: Program) -> None:
        layer, words = self.layer, self.vocabulary
        w, bias = layer.packed_kernel.forward, layer.packed_biases[0].forward[:, 0]
        program.add(
            kernels.learn,
            self.cell, words.table, words.known, self.new, self.scratch_words,
            words.embedding.param("embeddings"), self.ids.reshape(-1), w, bias,
        )  # fmt: skip

    def _steps_ahead(self) -> int:
        step = self.batch * self.panels * self.columns * self.layer.dtype.itemsize
        return max(2, min(self.steps, _AHEAD // step))

    def record_steps(self, program: Program, start: int, stop: int) -> None:
        for first in range(start, stop, self.chunk):
            last = min(first + self.chunk, stop)
            program.add(
                kernels.look_up, self.gates, self.vocabulary.table, self.ids, first, last,
                work=2.0 * (last - first) * self.batch * self.panels * self.columns,
            )  # fmt: skip
            super().record_steps(program, first, last)


def shared_vocabulary(embedding: Embedding, layer: Recurrent) -> Vocabulary | None:
    """The one table of two layers; None where it would be too large."""
    packed = layer.packed_kernel
    columns = packed.panels * packed.columns
    if embedding.input_dim * columns * layer.dtype.itemsize > _MOST:
        return None
    pair = id(embedding), id(layer)
    made = _tables.get(pair)
    if made is None:
        # A table keeps its layers alive, so that nobody else gets their numbers.
        made = _tables[pair] = Vocabulary(embedding, layer)
    return made
