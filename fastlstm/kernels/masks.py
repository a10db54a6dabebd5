"""Which steps of which samples count: masks of 0 and 1, (T, B) uint8; (0, B) for all."""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share


@kernel
def of_ids(mask, ids, given, crew):
    """mask = whether an id is not 0, and ``given`` does not leave the step out; all flat."""
    first, last = share(ids.size, crew)
    for i in range(first, last):
        counts = ids[i] != 0 and (given.size == 0 or given[i] != 0)
        mask[i] = 1 if counts else 0


@kernel
def of_rows(mask, rows, crew):
    """mask, (T, B), = whether a number of rows, (B, T), is not 0."""
    first, last = share(mask.shape[0], crew)
    for t in range(first, last):
        for b in range(mask.shape[1]):
            mask[t, b] = 1 if rows[b, t] != 0.0 else 0


@kernel
def of_both(mask, one, other, crew):
    """mask = whether a step counts in one and in the other; all flat."""
    first, last = share(mask.size, crew)
    for i in range(first, last):
        mask[i] = 1 if one[i] != 0 and other[i] != 0 else 0


@kernel
def of_classes(mask, ids, ignored, given, crew):
    """mask = whether an id is not ``ignored``, and ``given`` does not leave the row out; all flat.

    given : as many as there are rows, or (0,)
    """
    first, last = share(ids.size, crew)
    for m in range(first, last):
        counts = ids[m] != ignored and (given.size == 0 or given[m] != 0)
        mask[m] = 1 if counts else 0


@kernel
def of_values(mask, out, x, value, given, crew):
    """mask = whether any number of a row differs from ``value``; out = x there, and else zero.

    mask, given : (M,), or ``given`` (0,)
    out, x : (M, D)
    """
    first, last = share(x.shape[0], crew)
    for m in range(first, last):
        differs = False
        for d in range(x.shape[1]):
            if x[m, d] != value:
                differs = True
        counts = differs and (given.size == 0 or given[m] != 0)
        mask[m] = 1 if counts else 0
        for d in range(x.shape[1]):
            out[m, d] = x[m, d] if counts else 0.0


@kernel
def clear_masked(rows, mask, crew):
    """Zero the rows, (M, D), that do not count."""
    first, last = share(rows.shape[0], crew)
    for m in range(first, last):
        if mask[m] == 0:
            for d in range(rows.shape[1]):
                rows[m, d] = 0.0


def record_clear_masked(program, rows, mask):
    """Record: zero the rows, (M, D), that do not count in a mask of M elements, or of none."""
    if mask.size > 0:
        program.add(clear_masked, rows, mask.reshape(-1), work=1.0 * rows.size)


@kernel
def clear_weightless(rows, weights, mask, crew):
    """Zero the rows, (M, D), that count in ``mask``, (M,) or (0,), and weigh nothing."""
    first, last = share(rows.shape[0], crew)
    for m in range(first, last):
        if weights[m] == 0.0 and (mask.size == 0 or mask[m] != 0):
            for d in range(rows.shape[1]):
                rows[m, d] = 0.0


@kernel
def weigh(out, mask, weights, scaled, crew):
    """out = the rows' weights, those of one without any, and 0 where a row does not count.

    out : (M,)
    mask : (M,)
    weights : (M,) or (0,)
    scaled : whether to multiply by M over the number that count, so that a mean over all rows is
        one over those
    """
    rows = mask.size
    valid = 0
    for m in range(rows):
        valid += mask[m]
    factor = rows / valid if scaled and valid > 0 else 1.0
    first, last = share(rows, crew)
    for m in range(first, last):
        weight = 1.0 if weights.size == 0 else weights[m]
        out[m] = weight * factor if mask[m] != 0 else 0.0
