"""What losses of whole sequences need besides: where steps stand, weights, tags as columns.

mask     (T, B) uint8, 0 where a step does not count
weights  (B,) of the sequences, or (0,) for ones
"""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import row_weight
from fastlstm.kernels.team import share


@kernel
def order_steps(places, lengths, mask, crew):
    """Number the steps of each sequence: those that count, in order, and then the others.

    places : (T, B) int32, receives where in the sequence they stand
    lengths : (B,) int32, receives how many count
    """
    steps, batch = mask.shape
    first, last = share(batch, crew)
    for b in range(first, last):
        count = 0
        for t in range(steps):
            count += 1 if mask[t, b] != 0 else 0
        lengths[b] = count
        here, beyond = 0, count
        for t in range(steps):
            if mask[t, b] != 0:
                places[here, b] = t
                here += 1
            else:
                places[beyond, b] = t
                beyond += 1


@kernel
def weigh_sequences(out, weights, by_weight, crew):
    """out = weights that make a mean over all sequences their sum; or the mean ``by_weight``.

    out : (B,)
    """
    batch = len(out)
    total = 1.0
    if by_weight:
        total = 0.0
        for b in range(batch):
            total += np.float64(row_weight(weights, b))
    factor = batch / total if total != 0.0 else 0.0
    first, last = share(batch, crew)
    for b in range(first, last):
        out[b] = row_weight(weights, b) * factor


@kernel
def spread_weights(out, mask, weights, crew):
    """out = the weight of the sequence that a step belongs to, 0 where it does not count.

    out : (T, B)
    mask : or (0, B): all count
    """
    steps, batch = out.shape
    first, last = share(steps, crew)
    for t in range(first, last):
        for b in range(batch):
            counts = len(mask) == 0 or mask[t, b] != 0
            out[t, b] = row_weight(weights, b) if counts else 0.0


@kernel
def one_hot(out, tags, mask, crew):
    """out = 1 in the column of each step's tag, and 0 elsewhere and where a step does not count.

    out : (T, B, K)
    tags : (T, B) int32
    mask : or (0, B): all count
    """
    steps, batch, columns = out.shape
    first, last = share(steps, crew)
    for t in range(first, last):
        for b in range(batch):
            for k in range(columns):
                out[t, b, k] = 0.0
            if len(mask) == 0 or mask[t, b] != 0:
                out[t, b, tags[t, b]] = 1.0
