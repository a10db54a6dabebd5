"""A sample's numbers in other steps: reshaped, or with time and features exchanged."""

from __future__ import annotations

from fastlstm.kernels.program import kernel
from fastlstm.kernels.team import share


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
    first, last = share(depth, crew)
    for d in range(first, last):
        for b in range(batch):
            for t in range(steps):
                out[d, b, t] = x[t, b, d]
