"""Moving batches between the public order, (batch, time, features), and the kernels' own."""

from __future__ import annotations

import numpy as np

from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import eight, load_eight, sum_lanes
from fastlstm.kernels.team import halt, share


@kernel
def gather(out, source, index, start, crew):
    """out[t, b] = source[index[b], start[0] + t]: chosen samples and steps, time first.

    out : (T, B, D)
    source : (N, at least start[0] + T, D), same dtype
    index : (B,), within 0 and N - 1
    start : (1,)
    """
    steps, batch, depth = out.shape
    first, last = share(steps, crew)
    before = start[0]
    for t in range(first, last):
        for b in range(batch):
            row = index[b]
            for d in range(depth):
                out[t, b, d] = source[row, before + t, d]


@kernel
def scatter(out, y, origin, crew):
    """out[origin[b]·T + t] = y[t, b]: back to the public order.

    out : (B · T, D)
    y : (T, B, D)
    origin : (B,), or (0,) for rows in their own order
    """
    steps, batch, depth = y.shape
    first, last = share(batch, crew)
    for b in range(first, last):
        row = origin[b] if origin.size > 0 else b
        for t in range(steps):
            for d in range(depth):
                out[row * steps + t, d] = y[t, b, d]


def record_clear(program, array):
    """Record: zero every element, of an array of any shape."""
    program.add(clear, array.reshape(-1))


def record_copies(program, targets, sources):
    """Record: each target becomes its source, if it is not the same memory."""
    for target, source in zip(targets, sources, strict=True):
        if target.ctypes.data != source.ctypes.data:
            record_copy(program, target, source)


def record_copy(program, out, x):
    """Record: out = x, for arrays of one shape, whatever it is."""
    program.add(copy, out.reshape(-1), x.reshape(-1))


@kernel
def clear(flat, crew):
    """Zero every element."""
    first, last = share(flat.size, crew)
    for i in range(first, last):  # a slice would take Numba seconds to compile
        flat[i] = 0


@kernel
def fill(flat, value, crew):
    """Set every element to a value."""
    first, last = share(flat.size, crew)
    for i in range(first, last):
        flat[i] = value


@kernel
def copy(out, x, crew):
    """out = x; both are flat."""
    first, last = share(x.size, crew)
    for i in range(np.uintp(first), np.uintp(last)):  # which needs no look at its sign
        out[i] = x[i]


@kernel
def copy_where(out, x, flag, crew):
    """out = x where flag[0], else nothing; both are flat."""
    if flag[0] != 0:
        first, last = share(x.size, crew)
        for i in range(first, last):
            out[i] = x[i]


@kernel
def clear_where(flat, flag, crew):
    """Zero every element where flag[0], else nothing."""
    if flag[0] != 0:
        first, last = share(flat.size, crew)
        for i in range(first, last):
            flat[i] = 0


def record_reversed(program, out, x):
    """Record: out = x from its last step to its first, for arrays of one shape (T, ...)."""
    if x.size > 0:
        program.add(reverse, out.reshape(len(out), -1), x.reshape(len(x), -1))


@kernel
def reverse(out, x, crew):
    """out[T - 1 - t] = x[t]; both are (T, N)."""
    steps, size = x.shape
    first, last = share(steps, crew)
    for t in range(first, last):
        for i in range(size):
            out[steps - 1 - t, i] = x[t, i]


@kernel
def halt_unless_finite(flat, crew):
    """Let nothing run after this where an element is NaN or infinite."""
    first, last = share(flat.size, crew)
    whole = first + (last - first) // 8 * 8
    # What is infinite or NaN leaves NaN when taken from itself.
    nothing = eight(0.0)
    for i in range(first, whole, 8):
        x = load_eight(flat, i)
        nothing = nothing + (x - x)
    rest = sum_lanes(nothing)
    for i in range(whole, last):
        rest += np.float64(flat[i]) - np.float64(flat[i])
    if rest != 0.0:
        halt(crew)


@kernel
def halt_unless_within(flat, limit, crew):
    """Let nothing run after this where an id is not one of 0 to ``limit`` - 1."""
    first, last = share(flat.size, crew)
    for i in range(first, last):
        if not 0 <= flat[i] < limit:
            halt(crew)
            break


@kernel
def add(out, x, crew):
    """out += x, element by element; both are (P, B, width)."""
    first, last = share(out.shape[0], crew)
    for p in range(first, last):
        for b in range(out.shape[1]):
            for u in range(out.shape[2]):
                out[p, b, u] += x[p, b, u]


@kernel
def to_panels(panels, matrix, crew):
    """panels[p, b, u] = matrix[b, p·width + u], zero beyond the last column.

    panels : (P, B, width)
    matrix : (B, H)
    """
    count, batch, width = panels.shape
    units = matrix.shape[1]
    first, last = share(count, crew)
    for p in range(first, last):
        for b in range(batch):
            for u in range(width):
                unit = p * width + u
                panels[p, b, u] = matrix[b, unit] if unit < units else 0.0


@kernel
def from_panels(matrix, panels, crew):
    """matrix[b, p·width + u] = panels[p, b, u], the inverse of ``to_panels``."""
    count, _, width = panels.shape
    batch, units = matrix.shape
    first, last = share(batch, crew)
    for b in range(first, last):
        for p in range(count):
            for u in range(min(width, units - p * width)):  # a division for each would take longer
                matrix[b, p * width + u] = panels[p, b, u]
