"""Rows of a batch from the longest to the shortest, so that steps that do not count stand together.

lengths  (B,) intp: of each row, how many steps count
index    (B,) the samples that were chosen, within 0 and N - 1
source   (N, T, D), where they are taken from; (N, T, 1) of ids
"""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share


@kernel
def count_ids(lengths, source, index, crew):
    """Steps whose id is not 0."""
    steps = source.shape[1]
    first, last = share(index.size, crew)
    for b in range(first, last):
        total = 0
        for t in range(steps):
            total += 1 if source[index[b], t, 0] != 0 else 0
        lengths[b] = total


@kernel
def count_values(lengths, source, index, value, crew):
    """Steps of which any number differs from ``value``."""
    steps, depth = source.shape[1:]
    first, last = share(index.size, crew)
    for b in range(first, last):
        total = 0
        for t in range(steps):
            d = 0
            while d < depth and source[index[b], t, d] == value:
                d += 1
            total += 1 if d < depth else 0
        lengths[b] = total


@kernel
def sort(chosen, origin, lengths, index, crew):
    """chosen[r] = index[origin[r]]: the longest first, those of one length in their order.

    chosen, origin : (B,)
    """
    first, last = share(index.size, crew)
    for b in range(first, last):
        place = 0
        for other in range(b):
            place += 1 if lengths[other] >= lengths[b] else 0
        for other in range(b + 1, index.size):
            place += 1 if lengths[other] > lengths[b] else 0
        origin[place] = b
        chosen[place] = index[b]
