"""A recurrent layer on words: bias + x·W of every word, once for all sequences.

A word's pre-activations from its own vector are the same wherever it stands. While the weights
stay, a table of them spares a sequence the product x·W.
"""

from __future__ import annotations

from fastlstm.kernels.matmul import K_BLOCK
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import lanes, load, store
from fastlstm.kernels.team import share, take
from fastlstm.kernels.tile import project_panel

# Words whose vectors meet all panels of W before a thread takes others.
_WORDS = 96


@kernel
def project(cell, table, embeddings, w, bias, crew):
    """table = bias + embeddings·W, by the operations of ``recurrent.forward`` in their order.

    table : (V, P, columns)
    embeddings : (V, E)
    w : packed panels (P, E, columns)
    bias : (P, columns)
    """
    words, panels, columns = table.shape
    depth = embeddings.shape[1]
    block = take(crew, -1)
    while block * _WORDS < words:
        first = block * _WORDS
        count = min(_WORDS, words - first)
        for p in range(panels):
            for k in range(0, depth, K_BLOCK):
                project_panel(
                    cell, table, (first * panels + p) * columns, panels * columns,
                    bias, p * columns, k == 0,
                    embeddings, first * depth + k, depth,
                    w, (p * depth + k) * columns, min(K_BLOCK, depth - k),
                    embeddings, 0, 0, w, 0, 0, count,
                )  # fmt: skip
        block = take(crew, block)


@kernel
def look_up(gates, table, ids, start, stop, crew):
    """gates[p, t mod slots, b] = table[ids[t, b], p] for steps ``start`` to ``stop``.

    gates : (P, slots, B, columns)
    ids : (T, B) int32, within the table
    """
    panels, slots, batch, columns = gates.shape
    first, last = share(panels, crew)
    for t in range(start, stop):
        for b in range(batch):
            word = ids[t, b]
            for p in range(first, last):
                source = (word * panels + p) * columns
                target = ((p * slots + t % slots) * batch + b) * columns
                for v in range(0, columns, lanes(gates)):
                    store(load(table, source + v), gates, target + v)
