"""Embedding: rows of a table, forward and backward. Ids are checked before they come here."""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.spans import counts
from fastlstm.kernels.team import share


@kernel
def look_up(out, ids, table, crew):
    """out[m] = table[ids[m]].

    out : (M, E)
    ids : (M,) int32, within the table
    table : (V, E)
    """
    depth = table.shape[1]
    first, last = share(ids.size, crew)
    for m in range(first, last):
        row = ids[m]
        for e in range(depth):
            out[m, e] = table[row, e]


@kernel
def add_rows(d_table, touched, d_out, ids, mask, crew):
    """d_table[ids[m]] += d_out[m], and touched[ids[m]] = 1; of rows that count in (M,), or (0,).

    Threads take columns, so each sum runs over m from the last to the first, as back-propagation
    through parts of a sequence does.
    """
    first, last = share(d_table.shape[1], crew)
    for m in range(ids.size - 1, -1, -1):
        if not counts(mask, m):
            continue
        row = ids[m]
        touched[row] = 1
        for e in range(first, last):
            d_table[row, e] += d_out[m, e]


@kernel
def clear_rows(d_table, touched, crew):
    """Zero the rows that are marked in ``touched``, (V,) of uint8: cheaper than all of them."""
    first, last = share(touched.size, crew)
    for row in range(first, last):
        if touched[row]:
            touched[row] = 0
            for e in range(d_table.shape[1]):
                d_table[row, e] = 0.0
