"""A vector as a sequence, and the gradient of that."""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share


@kernel
def repeat(out, x, crew):
    """out[t] = x.

    out : (T, N)
    x : (N,)
    """
    steps, size = out.shape
    first, last = share(steps, crew)
    for t in range(first, last):
        for i in range(size):
            out[t, i] = x[i]


@kernel
def sum_steps(d_x, d_out, crew):
    """d_x = the sum of d_out over all steps, from the first on."""
    steps, size = d_out.shape
    first, last = share(size, crew)
    for i in range(first, last):
        d_x[i] = d_out[0, i]
    for t in range(1, steps):
        for i in range(first, last):
            d_x[i] += d_out[t, i]
