"""A sample's numbers in other steps: reshaped, or with time and features exchanged."""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import lanes
from fastlstm.kernels.team import share
from fastlstm.kernels.transpose import transpose_square


@kernel
def reshape(out, x, crew):
    """out = each sample's numbers, step after step, in steps of another size.

    out : (S, B, E)
    x : (T, B, D), where T·D is S·E
    """
    steps, batch, depth = x.shape
    width = out.shape[2]
    first, last = share(batch, crew)
    for b in range(first, last):
        s, e = 0, 0
        for t in range(steps):
            d = 0
            while d < depth:
                # As many as fit into the step and are left of the other one.
                run = min(depth - d, width - e)
                for i in range(run):
                    out[s, b, e + i] = x[t, b, d + i]
                d, e = d + run, e + run
                if e == width:
                    s, e = s + 1, 0


@kernel
def exchange(out, x, crew):
    """out[d, b, t] = x[t, b, d].

    out : (D, B, T)
    x : (T, B, D)
    """
    depth, batch, steps = out.shape
    side = lanes(x)
    first, last = share(-(-depth // side), crew)
    for d0 in range(first * side, min(last * side, depth), side):
        d1 = min(d0 + side, depth)
        whole = steps - steps % side if d1 - d0 == side else 0
        for b in range(batch):
            for t in range(0, whole, side):
                transpose_square(
                    out, (d0 * batch + b) * steps + t, batch * steps,
                    x, (t * batch + b) * depth + d0, batch * depth,
                )  # fmt: skip
            for d in range(d0, d1):
                for t in range(whole, steps):
                    out[d, b, t] = x[t, b, d]
