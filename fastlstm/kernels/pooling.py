"""Means and largest numbers over the steps of sequences: of all, or of windows."""

from __future__ import annotations

from fastlstm.kernels.jit import inline
from fastlstm.kernels.program import kernel
from fastlstm.kernels.simd import fill, lanes, load_first, select, store_first
from fastlstm.kernels.team import share

# Steps whose sum is taken by itself, so that long sums stay exact.
_TOGETHER = 32
# Vectors of a row that go through those steps together: their memory is neighbouring.
_VECTORS = 4


@inline
def _counted(mask, b, steps):
    """How many steps of a sample count."""
    if mask.shape[0] == 0:
        return steps
    count = 0
    for t in range(steps):
        count += 1 if mask[t, b] != 0 else 0
    return count


@kernel
def mean(out, x, mask, crew):
    """out = the mean over the steps that count; zero where none does.

    out : (B, D)
    x : (T, B, D)
    mask : (T, B), or (0, B) for all
    """
    steps, batch, depth = x.shape
    step = lanes(x)
    width = _VECTORS * step
    pieces = (depth + width - 1) // width
    first, last = share(batch * pieces, crew)
    for item in range(first, last):
        b, start = item // pieces, item % pieces * width
        stop = min(start + width, depth)
        for d in range(start, stop):
            out[b, d] = 0.0
        for t0 in range(0, steps, _TOGETHER):
            for d in range(start, stop, step):
                count = min(step, stop - d)
                part = fill(x, 0.0)
                for t in range(t0, min(steps, t0 + _TOGETHER)):
                    if mask.shape[0] == 0 or mask[t, b] != 0:
                        part = part + load_first(x, (t * batch + b) * depth + d, count)
                at = b * depth + d
                store_first(load_first(out, at, count) + part, out, at, count)
        counted = max(1, _counted(mask, b, steps))
        for d in range(start, stop):
            out[b, d] = out[b, d] / counted


@kernel
def mean_gradient(d_x, d, mask, crew):
    """The gradient of x from that of ``mean``'s output: its share at each step that counts.

    d_x : (T, B, D)
    d : (B, D)
    mask : (T, B) or (0, B)
    """
    steps, batch, depth = d_x.shape
    first, last = share(batch, crew)
    for b in range(first, last):
        counted = max(1, _counted(mask, b, steps))
        for t in range(steps):
            here = mask.shape[0] == 0 or mask[t, b] != 0
            for c in range(depth):
                d_x[t, b, c] = d[b, c] / counted if here else 0.0


@inline
def _larger(a, b):
    """The larger of two vectors' numbers; NaN where one is."""
    return select(a != a, a, select(a >= b, a, b))


@kernel
def largest(out, x, crew):
    """out = the largest of all steps, and NaN where there is one.

    out : (N,)
    x : (T, N)
    """
    step = lanes(x)
    first, last = share(out.size, crew)
    for t in range(x.shape[0]):
        for i in range(first, last, step):
            count = min(step, last - i)
            value = load_first(x, t * out.size + i, count)
            if t > 0:
                value = _larger(load_first(out, i, count), value)
            store_first(value, out, i, count)


@kernel
def largest_gradient(d_x, shares, d, out, x, crew):
    """The gradient of x from that of ``largest``'s output: steps that are equally large share it.

    d_x, x : (T, N)
    shares : (N,), of the gradient; scratch
    d, out : (N,)
    """
    step, size = lanes(x), out.size
    first, last = share(size, crew)
    for i in range(first, last):
        shares[i] = 0.0
    for t in range(x.shape[0]):
        for i in range(first, last, step):
            count = min(step, last - i)
            equal = load_first(x, t * size + i, count) == load_first(out, i, count)
            counted = load_first(shares, i, count)
            store_first(counted + select(equal, 1.0, fill(x, 0.0)), shares, i, count)
    for i in range(first, last):
        shares[i] = d[i] / shares[i]
    for t in range(x.shape[0]):
        for i in range(first, last, step):
            count = min(step, last - i)
            equal = load_first(x, t * size + i, count) == load_first(out, i, count)
            store_first(select(equal, load_first(shares, i, count), 0.0), d_x, t * size + i, count)


@inline
def _window(s, size, stride, before, steps):
    """First and past-last step of a window, but for those before or after the sequence."""
    start = s * stride - before
    return max(0, start), min(start + size, steps)


@kernel
def window_mean(out, x, size, stride, before, crew):
    """out[s] = the mean of the steps from s·stride - before on, ``size`` or those that there are.

    out : (S, N)
    x : (T, N)
    """
    first, last = share(out.shape[0], crew)
    for s in range(first, last):
        start, stop = _window(s, size, stride, before, x.shape[0])
        for i in range(x.shape[1]):
            out[s, i] = x[start, i]
        for t in range(start + 1, stop):
            for i in range(x.shape[1]):
                out[s, i] += x[t, i]
        for i in range(x.shape[1]):
            out[s, i] = out[s, i] / (stop - start)


@kernel
def window_mean_gradient(d_x, d, size, stride, before, crew):
    """The gradient of x, (T, N), from that of ``window_mean``'s output, (S, N)."""
    steps = d_x.shape[0]
    first, last = share(d_x.shape[1], crew)
    for t in range(steps):
        for i in range(first, last):
            d_x[t, i] = 0.0
    for s in range(d.shape[0]):
        start, stop = _window(s, size, stride, before, steps)
        for t in range(start, stop):
            for i in range(first, last):
                d_x[t, i] += d[s, i] / (stop - start)


@kernel
def window_largest(out, x, size, stride, before, crew):
    """out[s] = the largest of the window's steps, as in ``window_mean``."""
    step, columns = lanes(x), x.shape[1]
    first, last = share(out.shape[0], crew)
    for s in range(first, last):
        start, stop = _window(s, size, stride, before, x.shape[0])
        for i in range(0, columns, step):
            count = min(step, columns - i)
            value = load_first(x, start * columns + i, count)
            for t in range(start + 1, stop):
                value = _larger(value, load_first(x, t * columns + i, count))
            store_first(value, out, s * columns + i, count)


@kernel
def window_largest_gradient(d_x, d, out, x, size, stride, before, crew):
    """The gradient of x from that of ``window_largest``'s output: the first largest takes all.

    d_x, x : (T, N)
    d, out : (S, N)
    """
    steps, columns = x.shape
    step = lanes(x)
    first, last = share(columns, crew)
    for t in range(steps):
        for i in range(first, last):
            d_x[t, i] = 0.0
    for s in range(d.shape[0]):
        start, stop = _window(s, size, stride, before, steps)
        for i in range(first, last, step):
            count = min(step, last - i)
            left = load_first(d, s * columns + i, count)
            top = load_first(out, s * columns + i, count)
            for t in range(start, stop):
                at = t * columns + i
                found = load_first(x, at, count) == top
                taken = select(found, left, 0.0)
                store_first(load_first(d_x, at, count) + taken, d_x, at, count)
                left = select(found, 0.0, left)
