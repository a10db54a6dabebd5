"""Some steps of a sequence, and a sequence around some steps: each is the other's gradient."""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share


@kernel
def take(out, x, start, stride, crew):
    """out[s] = x[start + s·stride].

    out : (S, N)
    x : (T, N)
    """
    steps, size = out.shape
    first, last = share(steps, crew)
    for s in range(first, last):
        for i in range(size):
            out[s, i] = x[start + s * stride, i]


@kernel
def put(out, x, start, stride, crew):
    """out[start + s·stride] = x[s], and zero between and around.

    out : (T, N)
    x : (S, N)
    """
    steps, size = out.shape
    first, last = share(steps, crew)
    for t in range(first, last):
        away = t - start
        s = away // stride
        here = away >= 0 and away % stride == 0 and s < x.shape[0]
        for i in range(size):
            out[t, i] = x[s, i] if here else 0.0
