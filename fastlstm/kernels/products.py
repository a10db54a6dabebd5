"""Products of all rows of one array with all rows of another, sample by sample.

a      (I, B, K)
c      (J, B, K)
out    (I, B, J)

A thread takes samples as a whole, so every sum has one order. The rows of c are turned into
columns first, in ``turned`` (threads, K·J): then the inner loop runs over neighbouring numbers.
"""

from __future__ import annotations

from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.rows import add_scaled_row
from fastlstm.kernels.team import share


@inline
def turn(turned, member, x, b, start, depth):
    """turned[d, j] = x[j, b, start + d], in this member's part of ``turned``."""
    rows = x.shape[0]
    for j in range(rows):
        for d in range(depth):
            turned[member, d * rows + j] = x[j, b, start + d]


@kernel
def products(out, turned, a, c, crew):
    """out[i, b, j] = the sum of a[i, b, k] · c[j, b, k] over k."""
    rows, batch, depth = a.shape
    columns = c.shape[0]
    first, last = share(batch, crew)
    for b in range(first, last):
        turn(turned, crew.member, c, b, 0, depth)
        for i in range(rows):
            for j in range(columns):
                out[i, b, j] = 0.0
            for k in range(depth):
                at = crew.member * turned.shape[1] + k * columns
                add_scaled_row(out, (i * batch + b) * columns, a[i, b, k], turned, at, columns)


@kernel
def products_gradients(d_a, d_c, d_out, a, c, crew):
    """The gradients of ``products``."""
    rows, batch, depth = a.shape
    columns = c.shape[0]
    first, last = share(batch, crew)
    for b in range(first, last):
        for j in range(columns):
            for k in range(depth):
                d_c[j, b, k] = 0.0
        for i in range(rows):
            for k in range(depth):
                d_a[i, b, k] = 0.0
            for j in range(columns):
                a_at, c_at = (i * batch + b) * depth, (j * batch + b) * depth
                add_scaled_row(d_a, a_at, d_out[i, b, j], c, c_at, depth)
                add_scaled_row(d_c, c_at, d_out[i, b, j], a, a_at, depth)
