"""A recurrent layer on words: bias + x·W of each word, once for all sequences.

A word's pre-activations from its own vector are the same wherever it stands. While the weights
stay, a table of them spares a sequence the product x·W.
"""

from __future__ import annotations

from fastlstm.kernels.jit import inline
from fastlstm.kernels.matmul import K_BLOCK
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import lanes, load, store
from fastlstm.kernels.team import meet, share, take
from fastlstm.kernels.tile import project_panel

# Words whose vectors meet all panels of W before a thread takes others.
_TOGETHER = 96


@kernel
def learn(cell, table, known, new, scratch, embeddings, ids, w, bias, crew):
    """table = bias + embeddings·W for words that are not ``known`` yet.

    The operations are those of ``recurrent.forward`` in their order. All of it is one kernel, so
    that nothing comes between what is known and what is in the table.

    table : (V, P, columns)
    known : (V,) of uint8
    new : int32, room for the words of ``ids`` and their number
    scratch : (threads, ``scratch_size``)
    embeddings : (V, E)
    ids : (M,) int32, within the table
    w : packed panels (P, E, columns)
    bias : (P, columns)
    """
    if crew.member == 0:
        _list_new(new, known, ids)
    meet(crew)
    panels, columns = table.shape[1:]
    depth = embeddings.shape[1]
    count = new[0]
    x_at = crew.member * scratch.shape[1]
    sums_at = x_at + _TOGETHER * depth
    block = take(crew, -1)
    while block * _TOGETHER < count:
        first = 1 + block * _TOGETHER
        rows = min(_TOGETHER, count + 1 - first)
        for r in range(rows):
            for e in range(depth):
                scratch[crew.member, r * depth + e] = embeddings[new[first + r], e]
        for p in range(panels):
            for k in range(0, depth, K_BLOCK):
                project_panel(
                    cell, scratch, sums_at, columns, bias, p * columns, k == 0,
                    scratch, x_at + k, depth, w, (p * depth + k) * columns, min(K_BLOCK, depth - k),
                    scratch, 0, 0, w, 0, 0, rows,
                )  # fmt: skip
            for r in range(rows):
                target = (new[first + r] * panels + p) * columns
                for v in range(0, columns, lanes(table)):
                    store(load(scratch, sums_at + r * columns + v), table, target + v)
        block = take(crew, block)


def scratch_size(depth: int, columns: int) -> int:
    """Elements of scratch that ``learn`` needs for each thread."""
    return _TOGETHER * (depth + columns)


@inline
def _list_new(new, known, ids):
    """Note the unknown words, each once, from new[1] on, and their number in new[0]."""
    count = 0
    for i in range(ids.size):
        word = ids[i]
        if known[word] == 0:
            known[word] = 1
            count += 1
            new[count] = word
    new[0] = count


@kernel
def look_up(gates, table, ids, start, stop, crew):
    """gates[p, t mod slots, b] = table[ids[t, b], p] for steps ``start`` to ``stop``.

    gates : (P, slots, B, columns)
    ids : (T, B) int32, within the table
    """
    panels, slots, batch, columns = gates.shape
    first, last = share(panels, crew)
    for t in range(start, stop):
        slot = t % slots
        for b in range(batch):
            word = ids[t, b]
            for p in range(first, last):
                source = (word * panels + p) * columns
                target = ((p * slots + slot) * batch + b) * columns
                for v in range(0, columns, lanes(gates)):
                    store(load(table, source + v), gates, target + v)
