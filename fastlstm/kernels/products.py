"""Products of all rows of one array with all rows of another, sample by sample.

a      (I, B, K)
c      (J, B, K)
out    (I, B, J)

A thread takes samples as a whole, so every sum has one order. The rows of c are turned into
columns first, in ``turned`` (threads, K·J): then the inner loop runs over neighbouring numbers.
"""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share


@kernel
def products(out, turned, a, c, crew):
    """out[i, b, j] = the sum of a[i, b, k] · c[j, b, k] over k."""
    rows, batch, depth = a.shape
    columns = c.shape[0]
    first, last = share(batch, crew)
    for b in range(first, last):
        for j in range(columns):
            for k in range(depth):
                turned[crew.member, k * columns + j] = c[j, b, k]
        for i in range(rows):
            for j in range(columns):
                out[i, b, j] = 0.0
            for k in range(depth):
                value = a[i, b, k]
                for j in range(columns):
                    out[i, b, j] += value * turned[crew.member, k * columns + j]


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
                value = d_out[i, b, j]
                for k in range(depth):
                    d_a[i, b, k] += value * c[j, b, k]
                for k in range(depth):
                    d_c[j, b, k] += value * a[i, b, k]
