"""Windows of a sequence side by side, so that a convolution over time is a matrix product.

The letters: ``taps`` steps of a window, ``dilation`` steps apart; windows begin ``stride`` steps
apart, the first one ``before`` steps before the sequence. What lies outside of it is zero.
"""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share


@kernel
def unfold(out, x, taps, stride, dilation, before, crew):
    """out[s, b] = the steps x[s·stride - before + k·dilation, b] of all taps k, side by side.

    out : (S, B, taps·D)
    x : (T, B, D)
    """
    steps, batch, depth = x.shape
    first, last = share(out.shape[0], crew)
    for s in range(first, last):
        for k in range(taps):
            t = s * stride - before + k * dilation
            inside = 0 <= t < steps
            for b in range(batch):
                for d in range(depth):
                    out[s, b, k * depth + d] = x[t, b, d] if inside else 0.0


@kernel
def fold(d_x, d, taps, stride, dilation, before, crew):
    """The gradient of x from that of ``unfold``'s output: at each step, from its first tap on.

    d_x : (T, B, D)
    d : (S, B, taps·D)
    """
    steps, batch, depth = d_x.shape
    first, last = share(steps, crew)
    for t in range(first, last):
        for b in range(batch):
            for c in range(depth):
                d_x[t, b, c] = 0.0
        for k in range(taps):
            away = t + before - k * dilation
            s = away // stride
            if away >= 0 and away % stride == 0 and s < d.shape[0]:
                for b in range(batch):
                    for c in range(depth):
                        d_x[t, b, c] += d[s, b, k * depth + c]
