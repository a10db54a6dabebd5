"""The largest few of each row of a matrix."""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import load_or, max_lanes
from fastlstm.kernels.simd import lanes
from fastlstm.kernels.team import share


@kernel
def largest(places, values, x, crew):
    """Columns of each row's largest elements and these, from the largest on; of equals the first.

    A whole vector is passed over where nothing in it is larger than the least of those found.

    places : (M, K), K at most C
    values : (M, K), same dtype as x
    x : (M, C), without NaN
    """
    rows, wanted = places.shape
    columns, step = x.shape[1], lanes(x)
    first, last = share(rows, crew)
    for r in range(first, last):
        found = 0
        for c0 in range(0, columns, step):
            count = min(step, columns - c0)
            least = values[r, wanted - 1]
            top = max_lanes(load_or(x, r * columns + c0, count, -np.inf))
            if found == wanted and not top > least:
                continue
            for c in range(c0, c0 + count):
                value = x[r, c]
                if found == wanted and not value > values[r, wanted - 1]:
                    continue
                place = min(found, wanted - 1)
                while place > 0 and values[r, place - 1] < value:
                    values[r, place] = values[r, place - 1]
                    places[r, place] = places[r, place - 1]
                    place -= 1
                values[r, place], places[r, place] = value, c
                found = min(found + 1, wanted)
